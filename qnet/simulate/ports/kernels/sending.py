"""What leaves a general port: over the link, to the next port or the listener."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.kernels.delivery import damper_due, deliver, end_following, pass_damper
from qnet.simulate.kernels.lanes import hand_on, room_ahead
from qnet.simulate.kernels.records import write_down
from qnet.simulate.kernels.sources import draw
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
    Parts,
    PortLaw,
    PositionLaw,
)
from qnet.simulate.world import (
    DONE,
    FOLLOWED,
    GAP_BYTES,
    LINK_LOST,
    NEVER,
    NODE_DOWN,
    PASSED_ON,
    Lanes,
    Network,
    NextHop,
    OwnerTally,
    PortTally,
    Routes,
    Sender,
    Tally,
    Trace,
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
def hand_over(port: int, position: int, birth: int, arrives: int, label: int, late: Ints,
              owners: Ints, damper_clock: Ints, clock_error: Ints, block_length: int,
              steady_from: int, end: int, counts: Ints, rows: Ints, block: NDArray[np.int32],
              bins: Ints, births: Ints, followed: Ints, fates: Ints) -> int:  # fmt: skip
    """Hand a frame to the listener, at once or when its damper's time has come; say when."""
    owner = owners[position]
    arrives = pass_damper(
        position, owner, birth, arrives, rows, late, damper_clock, clock_error, block_length
    )
    deliver(
        port, owner, birth, arrives, label & 0xFFFF, steady_from, end, counts, rows, block, bins,
        births,
    )  # fmt: skip
    if label & FOLLOWED and arrives <= end:
        end_following(owner, birth, label, PASSED_ON, followed, fates)
    return arrives


@bare_kernel
def send_on(port: int, position: int, came: int, started: int, leaves: int, birth: int, label: int,
            left_in: int, cut_through: bool, taken: int, network: Network, routes: Routes,
            lanes: Lanes, tally: Tally, trace: Trace | None, parts: Parts) -> None:  # fmt: skip
    """Send a frame over the link: to the next port, the point of recovery or the listener.

    Where the ways of a stream part it goes on as one copy for each. The node has it once: it is
    processed once, and what it was lost for on the way is lost for all. `taken` is the outage that
    has taken an earlier part of it, or -1.
    """
    frame_bytes, mark = label & 0xFFFF, label >> 47 << 47
    owner = routes.owner[position]
    if taken < 0:
        taken = broken_by(port, started, leaves, parts.port, parts.outage)
    if taken >= 0:
        label = (position << 16) | frame_bytes | mark
        fate = take_sent(port, position, taken, birth, label, routes.owner, tally, parts)
        if trace is not None:
            write_down(
                port, owner, came, started, leaves, leaves, birth, label, left_in, fate, trace
            )
        return
    row = parts.port[port, PortLaw.LOSS]
    if row >= 0 and is_lost(port, row, frame_bytes, parts.loss, parts.loss_dice):
        tally.port[port, PortTally.DROPPED] += 1
        parts.dropped[position, Cause.LINK] += 1
        label = (position << 16) | frame_bytes | mark
        if label & FOLLOWED:
            end_following(owner, birth, label, LINK_LOST, tally.followed, tally.fates)
        if trace is not None:
            write_down(
                port, owner, came, started, leaves, leaves, birth, label, left_in, LINK_LOST, trace
            )
        return
    inner = network.lane_first[network.lane_first.size - 1]
    stay = -1
    copy = position
    while copy >= 0:
        owner = routes.owner[copy]
        label = (copy << 16) | frame_bytes | mark
        turn = left_in + routes.shift[copy]
        target, following = int(routes.hop[copy, NextHop.LANE]), int(routes.hop[copy, NextHop.NEXT])
        arrives, doom = leaves + network.propagation[port], 0
        is_met = target >= 0 and parts.position[following, PositionLaw.RING] == AT_LISTENER
        if 0 <= target < inner and not is_met:
            if stay < 0:
                stay = network.processing_low[port]
                if network.processing_span[port] > 1:
                    stay += (draw(tally.port_dice, port, 0) * network.processing_span[port]) >> 32
            arrives += stay
            if parts.head[target] > 0 and cut_through:
                line = network.line_time[network.rate[port], frame_bytes - GAP_BYTES]
                arrives -= max(line - parts.head[target], 0)
            # What is in the node when that goes down is in a queue no more.
            stops = stops_between(
                port, leaves, max(arrives, lanes.sender[target, Sender.LAST_ARRIVAL]),
                network.propagation[port], IN_NEXT_NODE, parts.port, parts.outage,
            )  # fmt: skip
            if stops < NEVER:
                arrives, doom = stops, DOOMED
        if target < 0:
            stops = stops_in_damper(
                port, leaves, network.propagation[port], birth, owner, IN_NEXT_NODE, network,
                routes, tally, parts,
            )  # fmt: skip
            if stops < NEVER:
                taken = down_at(
                    port, stops - network.propagation[port], IN_NEXT_NODE, parts.port, parts.outage
                )
                take_sent(port, copy, taken, birth, label, routes.owner, tally, parts)
                if trace is not None:
                    write_down(
                        port, owner, came, started, leaves, arrives, birth, label, left_in,
                        NODE_DOWN, trace,
                    )  # fmt: skip
                copy = parts.fork[copy]
                continue
        if target < 0:
            arrives = hand_over(
                port, copy, birth, arrives, label, routes.late, routes.owner, routes.damper_clock,
                network.clock_error, network.block, network.steady_from, network.end, tally.port,
                tally.owner, tally.block, tally.bins, tally.birth, tally.followed, tally.fates,
            )  # fmt: skip
        reached = arrives
        if trace is not None and target >= 0:
            reached = max(arrives, lanes.sender[target, Sender.LAST_ARRIVAL])
            if is_met and tally.owner[owner, OwnerTally.HOLD] >= 0:
                due = damper_due(
                    owner, birth, tally.owner[owner, OwnerTally.HOLD], routes.damper_clock,
                    network.clock_error, network.block,
                )  # fmt: skip
                reached = max(reached, due)
        # A frame that leaves a port leaves it once; copies are written down for who follows them.
        if trace is not None and (copy == position or trace.followed[owner] > 0):
            write_down(
                port, owner, came, started, leaves, reached, birth, label, left_in, PASSED_ON, trace
            )
        if target >= 0:
            label = (following << 16) | frame_bytes | doom | mark
            hand_on(
                target, arrives, birth, label, turn, lanes.sender, lanes.base, lanes.mask,
                lanes.cells,
            )  # fmt: skip
        copy = parts.fork[copy]
