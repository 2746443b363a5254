"""What events take: frames on lines that are cut, and in nodes that are down.

Outages are known before the run begins, port by port, in the order in which a frame comes to them:
in its own node, on the line, in the node after it. Their times are those at which a frame leaves
the port. What is in the queues of a node when it goes down is taken between two windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.kernels.delivery import damper_due, end_following
from qnet.simulate.kernels.records import is_nearly_full, write_down
from qnet.simulate.ports.parts import (
    IN_OWN_NODE,
    NOTHING,
    ON_THE_LINE,
    Cause,
    Outage,
    Parts,
    PortLaw,
    RingState,
    Wire,
)
from qnet.simulate.world import (
    DONE,
    FOLLOWED,
    LINK_DOWN,
    NEVER,
    NODE_DOWN,
    POSITIONS,
    REFUSED,
    TRACE_FULL,
    Frame,
    Network,
    OwnerTally,
    PortTally,
    Queues,
    Ring,
    Routes,
    Tally,
    Trace,
)

Ints = NDArray[np.int64]


@bare_kernel
def broken_by(port: int, begun: int, ended: int, ports: Ints, outage: Ints) -> int:
    """Return the first outage on its way that takes a frame, or a part of one, or -1.

    Its first bit leaves the port at `begun`, its last one at `ended`.
    """
    for row in range(ports[port, PortLaw.OUT_FIRST], ports[port, PortLaw.OUT_LAST]):
        if begun < outage[row, Outage.UNTIL] and ended >= outage[row, Outage.FROM]:
            return row
    return -1


@bare_kernel
def stops_between(port: int, after: int, until: int, later: int, place: int, ports: Ints,
                  outage: Ints) -> int:  # fmt: skip
    """Return when the node at an end of a port's line stops first; NEVER where it does not.

    Later than what leaves the port at `after` is there, which is so much `later`, and not after
    `until`.
    """
    stops = NEVER
    for row in range(ports[port, PortLaw.OUT_FIRST], ports[port, PortLaw.OUT_LAST]):
        if outage[row, Outage.PLACE] == place and outage[row, Outage.FROM] > after:
            stops = min(stops, outage[row, Outage.FROM] + later)
    return stops if stops <= until else NEVER


@bare_kernel
def down_at(port: int, time: int, place: int, ports: Ints, outage: Ints) -> int:
    """Return the first outage of the node at an end of a port's line at a time, or -1."""
    for row in range(ports[port, PortLaw.OUT_FIRST], ports[port, PortLaw.OUT_LAST]):
        is_now = outage[row, Outage.FROM] <= time < outage[row, Outage.UNTIL]
        if is_now and outage[row, Outage.PLACE] == place:
            return row
    return -1


@bare_kernel
def stops_in_damper(port: int, after: int, later: int, birth: int, owner: int, place: int,
                    network: Network, routes: Routes, tally: Tally,
                    parts: Parts) -> int:  # fmt: skip
    """Return when a listener's node stops while its damper has a frame, or NEVER.

    The frame leaves the port at `after` and is there so much `later`.
    """
    if tally.owner[owner, OwnerTally.HOLD] < 0:
        return NEVER
    due = damper_due(
        owner, birth, tally.owner[owner, OwnerTally.HOLD], routes.damper_clock,
        network.clock_error, network.block,
    )  # fmt: skip
    return stops_between(port, after, due, later, place, parts.port, parts.outage)


@bare_kernel
def take_sent(port: int, position: int, row: int, birth: int, label: int, owners: Ints,
              tally: Tally, parts: Parts) -> int:  # fmt: skip
    """Count a frame that an outage takes after a port, or a point of recovery, has sent it on.

    Return what becomes of it.
    """
    is_cut = parts.outage[row, Outage.PLACE] == ON_THE_LINE
    fate = LINK_DOWN if is_cut else NODE_DOWN
    tally.port[port, PortTally.DROPPED] += 1
    parts.dropped[position, Cause.ON_CUT_LINK if is_cut else Cause.SENT_AND_DOWN] += 1
    parts.broken[position, parts.outage[row, Outage.EVENT]] += 1
    if label & FOLLOWED:
        end_following(owners[position], birth, label, fate, tally.followed, tally.fates)
    return fate


@inline_kernel
def take_held(port: int, came: int, held: int, birth: int, label: int, turn: int, row: int,
              owners: Ints, tally: Tally, trace: Trace | None, parts: Parts) -> None:  # fmt: skip
    """Count a frame that is in a node which is down, or comes to it from its own sources."""
    position = (label >> 16) & POSITIONS
    owner = owners[position]
    tally.port[port, PortTally.DROPPED] += 1
    parts.dropped[position, Cause.IN_NODE_DOWN] += 1
    parts.broken[position, parts.outage[row, Outage.EVENT]] += 1
    if label & FOLLOWED:
        end_following(owner, birth, label, NODE_DOWN, tally.followed, tally.fates)
    if trace is not None:
        write_down(port, owner, came, REFUSED, held, 0, birth, label, turn, NODE_DOWN, trace)


@bare_kernel
def go_down(port: int, now: int, routes: Routes, queues: Queues, tally: Tally,
            trace: Trace | None, parts: Parts) -> int:  # fmt: skip
    """Lose all that is in a general port whose node goes down now; return DONE, or TRACE_FULL.

    Meters, shapers and credit keep what they know: their time goes on.
    """
    ring, cells, wire, law = queues.ring, queues.cells, parts.wire, parts.port[port]
    row = down_at(port, now, IN_OWN_NODE, parts.port, parts.outage)
    for here in range(law[PortLaw.FIRST], law[PortLaw.LAST]):
        while ring[here, Ring.COUNT] > 0:
            if trace is not None and is_nearly_full(port, trace):
                return TRACE_FULL
            place = ring[here, Ring.BASE] + (ring[here, Ring.FRONT] & ring[here, Ring.MASK])
            label = cells[place, Frame.LABEL]
            take_held(
                port, cells[place, Frame.ARRIVAL], ring[here, Ring.BYTES],
                cells[place, Frame.BIRTH], label, cells[place, Frame.CYCLE], row, routes.owner,
                tally, trace, parts,
            )  # fmt: skip
            ring[here, Ring.BYTES] -= label & 0xFFFF
            ring[here, Ring.FRONT] += 1
            ring[here, Ring.COUNT] -= 1
        parts.ring_state[here, RingState.DEFICIT] = 0
        parts.ring_state[here, RingState.GRANTED] = 0
    if wire[port, Wire.IS] != NOTHING:
        if trace is not None and is_nearly_full(port, trace):
            return TRACE_FULL
        take_held(
            port, wire[port, Wire.CAME], 0, wire[port, Wire.BIRTH], wire[port, Wire.LABEL], 0, row,
            routes.owner, tally, trace, parts,
        )  # fmt: skip
        wire[port, Wire.IS], wire[port, Wire.OUTAGE] = NOTHING, 0
    tally.port[port, PortTally.WAKE] = NEVER
    return DONE
