"""What general ports counted, in the words of the observation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qnet.model.observation import Copies
from qnet.model.timeline import WORDS
from qnet.simulate.frame_sources import FrameSource
from qnet.simulate.ports.parts import GENERAL, Cause, Parts, PortLaw, RecoveryState
from qnet.simulate.world import (
    DUPLICATE,
    LINK_DOWN,
    LINK_LOST,
    NO_ROOM,
    NODE_DOWN,
    RED,
    ROGUE_NUMBER,
    STAYED,
    Receiver,
    SourceState,
    World,
)

Ints = NDArray[np.int64]

CAUSES = {
    Cause.POLICED: "beyond the committed rate",
    Cause.RESIDENCE: "beyond the longest residence",
    Cause.LINK: "lost or damaged on the link",
    Cause.ON_CUT_LINK: WORDS["cut"],
    Cause.SENT_AND_DOWN: WORDS["down"],
    Cause.IN_NODE_DOWN: WORDS["down"],
}

AFTER_SENDING = [Cause.LINK, Cause.ON_CUT_LINK, Cause.SENT_AND_DOWN]
"""Causes of losses that a frame meets after its port has sent it."""


FATES = {
    RED: CAUSES[Cause.POLICED],
    STAYED: CAUSES[Cause.RESIDENCE],
    LINK_LOST: CAUSES[Cause.LINK],
    DUPLICATE: "discarded by recovery, another copy was passed on",
    ROGUE_NUMBER: "discarded by recovery, beyond its history",
    LINK_DOWN: WORDS["cut"],
    NODE_DOWN: WORDS["down"],
}
"""What becomes of a frame or copy that a full queue has no part in."""


def no_room(owner: FrameSource) -> str:
    """Return the cause of a frame's being dropped that found its queue full."""
    return "cycle buffer full" if owner.cycles else "class buffer full"


def why_gone(owner: FrameSource, fate: int) -> str:
    """Say what has become of a frame that did not arrive."""
    return no_room(owner) if fate == NO_ROOM else FATES[fate]


def came_to(world: World, found: Sequence[FrameSource]) -> Ints:
    """Return the frames that have come to each port, out of lanes and from sources."""
    lanes, ports = world.lanes, world.network.rate.size
    taken = np.concatenate(([0], np.cumsum(lanes.receiver[:, Receiver.HEAD])))
    first = world.network.lane_first[: ports + 1]
    born = np.zeros(ports, dtype=np.int64)
    talkers = np.array([owner.ports[0].number for owner in found], dtype=np.int64)
    np.add.at(born, talkers, world.sources.state[: len(found), SourceState.SENT])
    return np.asarray(taken[first[1:]] - taken[first[:-1]] + born)


def drops_of(world: World, parts: Parts | None) -> Ints:
    """Return the frames dropped at each position, for whatever cause."""
    if parts is None:
        return world.routes.lost
    return np.asarray(world.routes.lost + parts.dropped.sum(axis=1))


def causes_at(position: int, parts: Parts | None) -> Iterator[tuple[str, int]]:
    """Yield the causes that only general ports know, and the frames dropped for each."""
    if parts is not None:
        for column, cause in CAUSES.items():
            yield cause, int(parts.dropped[position, column])


def rings_of(world: World, parts: Parts | None) -> tuple[Ints, Ints]:
    """Return the first ring of each port, and the one after its last; none where copies meet."""
    each = world.network.cycle_buffers + world.network.classes
    servers, ports = len(world.tally.port), world.network.rate.size
    first = np.minimum(np.arange(servers), ports) * each
    last = np.minimum(np.arange(servers) + 1, ports) * each
    if parts is not None:
        general = parts.port[:, PortLaw.WHAT] == GENERAL
        first[general] = parts.port[general, PortLaw.FIRST]
        last[general] = parts.port[general, PortLaw.LAST]
    return first, last


def copies_at(parts: Parts | None, elimination: int | None) -> Copies | None:
    """Return the counters of the point where a stream's copies meet, if there is one."""
    if parts is None or elimination is None:
        return None
    row = parts.recovery[parts.port[elimination, PortLaw.FIRST]]
    return Copies(
        passed=int(row[RecoveryState.PASSED]),
        discarded=int(row[RecoveryState.DISCARDED]),
        out_of_order=int(row[RecoveryState.DISORDERED]),
        rogue=int(row[RecoveryState.ROGUE]),
        resets=int(row[RecoveryState.RESETS]),
    )
