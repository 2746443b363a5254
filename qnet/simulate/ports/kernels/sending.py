"""What leaves a general port: over the link, to the next port or the listener."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.kernels.delivery import (
    Listeners,
    damper_due,
    deliver,
    end_if_followed,
    listeners_of,
    pass_damper,
)
from qnet.simulate.kernels.lanes import hand_on, room_ahead, stay_in_node
from qnet.simulate.kernels.records import write_down
from qnet.simulate.ports.kernels.loss import is_lost
from qnet.simulate.ports.kernels.outages import (
    broken_by,
    down_at,
    stops_between,
    stops_in_damper,
    take_sent,
)
from qnet.simulate.ports.parts import (
    AT_LISTENER,
    DOOMED,
    IN_NEXT_NODE,
    Cause,
    Leaving,
    Parts,
    PositionLaw,
)
from qnet.simulate.world import (
    DONE,
    GAP_BYTES,
    LINK_LOST,
    NEVER,
    PASSED_ON,
    POSITIONS,
    Lanes,
    Network,
    NextHop,
    OwnerTally,
    PortTally,
    RouteTable,
    Sender,
    Tally,
    Trace,
    World,
)

Ints = NDArray[np.int64]


@bare_kernel
def room_for_copies(position: int, port: int, sender: Ints, lane_mask: Ints, counts: Ints,
                    hop: NDArray[np.int32], fork: Ints) -> int:  # fmt: skip
    """Return DONE when all copies that a port makes of a frame can go on; else what is full."""
    status = DONE
    while position >= 0 and status == DONE:
        status = room_ahead(port, int(hop[position, NextHop.LANE]), sender, lane_mask, counts)
        position = fork[position]
    return status


@inline_kernel
def room_for(port: int, position: int, world: World, parts: Parts) -> int:
    """Return DONE when a frame, and all copies of it, can go on; else what is full."""
    sender, mask, counts = world.lanes.sender, world.lanes.mask, world.tally.port
    hop, fork = world.routes.hop, parts.fork
    status = room_ahead(port, int(hop[position, NextHop.LANE]), sender, mask, counts)
    if fork[position] >= 0 and status == DONE:
        status = room_for_copies(fork[position], port, sender, mask, counts, hop, fork)
    return status


@inline_kernel
def hand_over(position: int, owner: int, birth: int, arrives: int, label: int, tally: Tally,
              to: Listeners) -> int:  # fmt: skip
    """Hand a frame to the listener, at once or when its damper's time has come; say when."""
    arrives = pass_damper(position, owner, birth, arrives, to)
    deliver(owner, birth, arrives, label & 0xFFFF, to)
    if arrives <= to.end:
        end_if_followed(owner, birth, label, PASSED_ON, tally)
    return arrives


@inline_kernel
def fate_on_line(port: int, position: int, frame: Leaving, taken: int, tally: Tally,
                 parts: Parts) -> int:  # fmt: skip
    """Return what becomes of a frame on its line: PASSED_ON, or why it is lost, which is counted.

    `taken` is the outage that has taken an earlier part of it, or -1.
    """
    if taken < 0:
        taken = broken_by(port, frame.started, frame.leaves, parts.port, parts.outage)
    if taken >= 0:
        return take_sent(port, position, taken, tally, parts)
    row = frame.loss_row
    if row >= 0 and is_lost(port, row, frame.label & 0xFFFF, parts.loss, parts.loss_dice):
        tally.port[port, PortTally.DROPPED] += 1
        parts.dropped[position, Cause.LINK] += 1
        return LINK_LOST
    return PASSED_ON


@inline_kernel
def seen_at(target: int, arrives: int, birth: int, owner: int, is_met: bool, lanes: Lanes,
            to: Listeners) -> int:  # fmt: skip
    """Return when a frame that is put into a lane is there, or through the damper behind it."""
    reached = max(arrives, lanes.sender[target, Sender.LAST_ARRIVAL])
    hold = to.row[owner, OwnerTally.HOLD]
    if is_met and hold >= 0:
        reached = max(reached, damper_due(owner, birth, hold, reached, to))
    return reached


@bare_kernel
def send_on(
    port: int, frame: Leaving, cut_through: bool, taken: int, network: Network, routes: RouteTable,
    lanes: Lanes, tally: Tally, trace: Trace | None, parts: Parts,
) -> None:  # fmt: skip
    """Send a frame over the link: to the next port, the point of recovery or the listener.

    Where the ways of a stream part it goes on as one copy for each. The node has it once: it is
    processed once, and what it was lost for on the way is lost for all. `taken` is the outage that
    has taken an earlier part of it, or -1.
    """
    came, started, leaves, birth, label, left_in, _ = frame
    position = (label >> 16) & POSITIONS
    frame_bytes, mark = label & 0xFFFF, label >> 47 << 47
    owner = routes.owner[position]
    fate = fate_on_line(port, position, frame, taken, tally, parts)
    if fate != PASSED_ON:
        end_if_followed(owner, birth, label, fate, tally)
        if trace is not None:
            times = (came, started, leaves, leaves)
            write_down(port, owner, times, birth, label, left_in, fate, trace)
        return
    to = listeners_of(port, network, routes, tally)
    inner, propagation = network.lane_first[network.lane_first.size - 1], network.propagation[port]
    stay, copy = -1, position
    while copy >= 0:
        owner = routes.owner[copy]
        label = (copy << 16) | frame_bytes | mark
        target, following = int(routes.hop[copy, NextHop.LANE]), int(routes.hop[copy, NextHop.NEXT])
        arrives, doom, fate = leaves + propagation, 0, PASSED_ON
        is_met = target >= 0 and parts.position[following, PositionLaw.RING] == AT_LISTENER
        if 0 <= target < inner and not is_met:
            if stay < 0:
                stay = stay_in_node(port, tally.port_dice, network)
            arrives += stay
            if parts.head[target] > 0 and cut_through:
                line = network.line_time[network.rate[port], frame_bytes - GAP_BYTES]
                arrives -= max(line - parts.head[target], 0)
            # What is in the node when that goes down is in a queue no more.
            stops = stops_between(
                port, leaves, max(arrives, lanes.sender[target, Sender.LAST_ARRIVAL]), propagation,
                IN_NEXT_NODE, parts.port, parts.outage,
            )  # fmt: skip
            if stops < NEVER:
                arrives, doom = stops, DOOMED
        reached = arrives
        if target < 0:
            stops = stops_in_damper(
                leaves, propagation, birth, owner, IN_NEXT_NODE, to, parts.port, parts.outage
            )
            if stops < NEVER:
                row = down_at(port, stops - propagation, IN_NEXT_NODE, parts.port, parts.outage)
                fate = take_sent(port, copy, row, tally, parts)
                end_if_followed(owner, birth, label, fate, tally)
            else:
                reached = hand_over(copy, owner, birth, arrives, label, tally, to)
        elif trace is not None:
            reached = seen_at(target, arrives, birth, owner, is_met, lanes, to)
        # A frame that leaves a port leaves it once; copies are written down for who follows them.
        if trace is not None and (
            copy == position or trace.followed[owner] > 0 or fate != PASSED_ON
        ):
            times = (came, started, leaves, reached)
            write_down(port, owner, times, birth, label, left_in, fate, trace)
        if target >= 0:
            label = (following << 16) | frame_bytes | doom | mark
            turn = left_in + routes.shift[copy]
            hand_on(
                target, arrives, birth, label, turn, lanes.sender, lanes.base, lanes.mask,
                lanes.cells,
            )  # fmt: skip
        copy = parts.fork[copy]
