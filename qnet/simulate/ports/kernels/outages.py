"""What events take: frames on lines that are cut, and in nodes that are down.

Outages are known before the run begins, port by port, in the order in which a frame comes to them:
in its own node, on the line, in the node after it. Their times are those at which a frame leaves
the port. What is in the queues of a node when it goes down is taken between two windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.kernels.delivery import Listeners, damper_due
from qnet.simulate.kernels.drops import refuse
from qnet.simulate.kernels.records import is_nearly_full
from qnet.simulate.ports.parts import (
    IN_OWN_NODE,
    NOTHING,
    ON_THE_LINE,
    Cause,
    MPacket,
    OutageState,
    Parts,
    PortLaw,
    RingState,
)
from qnet.simulate.world import (
    DONE,
    LINK_DOWN,
    NEVER,
    NODE_DOWN,
    POSITIONS,
    TRACE_FULL,
    Arrived,
    Frame,
    OwnerTally,
    PortTally,
    Ring,
    Tally,
    Trace,
    World,
)

Ints = NDArray[np.int64]


@bare_kernel
def broken_by(port: int, begun: int, ended: int, ports: Ints, outage: Ints) -> int:
    """Return the first outage on its way that takes a frame, or a part of one, or -1.

    Its first bit leaves the port at `begun`, its last one at `ended`. Of the rows of one event,
    which may be many, only the first one that is over later than that can.
    """
    row = int(ports[port, PortLaw.OUT_FIRST])
    while row < ports[port, PortLaw.OUT_LAST]:
        following = int(outage[row, OutageState.NEXT])
        low, high = row, following - 1
        while low < high:
            middle = (low + high) // 2
            if outage[middle, OutageState.UNTIL] > begun:
                high = middle
            else:
                low = middle + 1
        if begun < outage[low, OutageState.UNTIL] and ended >= outage[low, OutageState.FROM]:
            return low
        row = following
    return -1


@bare_kernel
def stops_between(port: int, after: int, until: int, later: int, place: int, ports: Ints,
                  outage: Ints) -> int:  # fmt: skip
    """Return when the node at an end of a port's line stops first; NEVER where it does not.

    Later than what leaves the port at `after` is there, which is so much `later`, and not after
    `until`.
    """
    stops, row = NEVER, int(ports[port, PortLaw.OUT_FIRST])
    while row < ports[port, PortLaw.OUT_LAST]:
        if outage[row, OutageState.PLACE] != place:
            row = int(outage[row, OutageState.NEXT])
            continue
        if outage[row, OutageState.FROM] > after:
            stops = min(stops, outage[row, OutageState.FROM] + later)
        row += 1
    return stops if stops <= until else NEVER


@bare_kernel
def down_at(port: int, time: int, place: int, ports: Ints, outage: Ints) -> int:
    """Return the first outage of the node at an end of a port's line at a time, or -1."""
    row = int(ports[port, PortLaw.OUT_FIRST])
    while row < ports[port, PortLaw.OUT_LAST]:
        if outage[row, OutageState.PLACE] != place:
            row = int(outage[row, OutageState.NEXT])
            continue
        if outage[row, OutageState.FROM] <= time < outage[row, OutageState.UNTIL]:
            return row
        row += 1
    return -1


@inline_kernel
def stops_in_damper(after: int, later: int, birth: int, owner: int, place: int, to: Listeners,
                    ports: Ints, outage: Ints) -> int:  # fmt: skip
    """Return when a listener's node stops while its damper has a frame, or NEVER.

    The frame leaves the port at `after` and is there so much `later`.
    """
    hold = to.row[owner, OwnerTally.HOLD]
    if hold < 0:
        return NEVER
    due = damper_due(owner, birth, hold, after + later, to)
    return stops_between(to.port, after, due, later, place, ports, outage)


@bare_kernel
def take_sent(port: int, position: int, row: int, tally: Tally, parts: Parts) -> int:
    """Count a frame that an outage takes after a port, or a point of recovery, has sent it on.

    Return what becomes of it.
    """
    is_cut = parts.outage[row, OutageState.PLACE] == ON_THE_LINE
    tally.port[port, PortTally.DROPPED] += 1
    parts.dropped[position, Cause.ON_CUT_LINK if is_cut else Cause.SENT_AND_DOWN] += 1
    parts.broken[position, parts.outage[row, OutageState.EVENT]] += 1
    return LINK_DOWN if is_cut else NODE_DOWN


@inline_kernel
def take_held(port: int, frame: Arrived, held: int, row: int, owners: Ints, tally: Tally,
              trace: Trace | None, parts: Parts) -> None:  # fmt: skip
    """Count a frame that is in a node which is down, or comes to it from its own sources."""
    position = (frame.label >> 16) & POSITIONS
    parts.dropped[position, Cause.IN_NODE_DOWN] += 1
    parts.broken[position, parts.outage[row, OutageState.EVENT]] += 1
    refuse(port, frame, held, NODE_DOWN, owners, tally, trace)


@bare_kernel
def go_down(port: int, now: int, world: World, trace: Trace | None, parts: Parts) -> int:
    """Lose all that is in a general port whose node goes down now; return DONE, or TRACE_FULL.

    Meters, shapers and credit keep what they know: their time goes on.
    """
    ring, cells, owners, tally = (
        world.queues.ring, world.queues.cells, world.routes.owner, world.tally
    )  # fmt: skip
    wire, law = parts.wire, parts.port[port]
    row = down_at(port, now, IN_OWN_NODE, parts.port, parts.outage)
    for here in range(law[PortLaw.FIRST], law[PortLaw.LAST]):
        while ring[here, Ring.COUNT] > 0:
            if trace is not None and is_nearly_full(port, trace):
                return TRACE_FULL
            place = ring[here, Ring.BASE] + (ring[here, Ring.FRONT] & ring[here, Ring.MASK])
            frame = Arrived(
                cells[place, Frame.ARRIVAL], cells[place, Frame.BIRTH], cells[place, Frame.LABEL],
                cells[place, Frame.CYCLE],
            )  # fmt: skip
            take_held(port, frame, ring[here, Ring.BYTES], row, owners, tally, trace, parts)
            ring[here, Ring.BYTES] -= frame.label & 0xFFFF
            ring[here, Ring.FRONT] += 1
            ring[here, Ring.COUNT] -= 1
        parts.ring_state[here, RingState.DEFICIT] = 0
        parts.ring_state[here, RingState.GRANTED] = 0
    if wire[port, MPacket.IS] != NOTHING:
        if trace is not None and is_nearly_full(port, trace):
            return TRACE_FULL
        frame = Arrived(
            wire[port, MPacket.CAME], wire[port, MPacket.BIRTH], wire[port, MPacket.LABEL], 0
        )
        take_held(port, frame, 0, row, owners, tally, trace, parts)
        wire[port, MPacket.IS], wire[port, MPacket.OUTAGE] = NOTHING, 0
    tally.port[port, PortTally.WAKE] = NEVER
    return DONE
