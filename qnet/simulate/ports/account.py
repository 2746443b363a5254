"""What general ports counted, in the words of the observation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qnet.model.observation import Copies
from qnet.simulate import kernels as k
from qnet.simulate.ports import kernels as g
from qnet.simulate.setup import Owner

Ints = NDArray[np.int64]

CAUSES = {
    g.POLICED: "beyond the committed rate",
    g.RESIDENCE: "beyond the longest residence",
    g.LINK: "lost or damaged on the link",
}


FATES = {
    k.RED: CAUSES[g.POLICED],
    k.STAYED: CAUSES[g.RESIDENCE],
    k.LINK_LOST: CAUSES[g.LINK],
    k.DUPLICATE: "discarded by recovery, another copy was passed on",
    k.ROGUE_NUMBER: "discarded by recovery, beyond its history",
}
"""What becomes of a frame or copy that a full queue has no part in."""


def no_room(owner: Owner) -> str:
    """Return the cause of a frame's being dropped that found its queue full."""
    return "cycle buffer full" if owner.cycles else "class buffer full"


def why_gone(owner: Owner, fate: int) -> str:
    """Say what has become of a frame that did not arrive."""
    return no_room(owner) if fate == k.NO_ROOM else FATES[fate]


def came_to(world: k.World, found: Sequence[Owner]) -> Ints:
    """Return the frames that have come to each port, out of lanes and from sources."""
    lanes, ports = world.lanes, world.network.rate.size
    taken = np.concatenate(([0], np.cumsum(lanes.receiver[:, k.HEAD])))
    first = world.network.lane_first[: ports + 1]
    born = np.zeros(ports, dtype=np.int64)
    talkers = np.array([owner.ports[0].number for owner in found], dtype=np.int64)
    np.add.at(born, talkers, world.sources.state[: len(found), k.SENT])
    return np.asarray(taken[first[1:]] - taken[first[:-1]] + born)


def drops_of(world: k.World, parts: g.Parts | None) -> Ints:
    """Return the frames dropped at each position, for whatever cause."""
    if parts is None:
        return world.routes.lost
    return np.asarray(world.routes.lost + parts.dropped.sum(axis=1))


def causes_at(position: int, parts: g.Parts | None) -> Iterator[tuple[str, int]]:
    """Yield the causes that only general ports know, and the frames dropped for each."""
    if parts is not None:
        for column, cause in CAUSES.items():
            yield cause, int(parts.dropped[position, column])


def rings_of(world: k.World, parts: g.Parts | None) -> tuple[Ints, Ints]:
    """Return the first ring of each port, and the one after its last; none where copies meet."""
    each = world.network.cycle_buffers + world.network.classes
    stations, ports = len(world.tally.port), world.network.rate.size
    first = np.minimum(np.arange(stations), ports) * each
    last = np.minimum(np.arange(stations) + 1, ports) * each
    if parts is not None:
        general = parts.port[:, g.WHAT] == g.GENERAL
        first[general] = parts.port[general, g.FIRST]
        last[general] = parts.port[general, g.LAST]
    return first, last


def copies_at(parts: g.Parts | None, meeting: int | None) -> Copies | None:
    """Return the counters of the point where a stream's copies meet, if there is one."""
    if parts is None or meeting is None:
        return None
    row = parts.recovery[parts.port[meeting, g.FIRST]]
    return Copies(
        passed=int(row[g.PASSED]),
        discarded=int(row[g.DISCARDED]),
        out_of_order=int(row[g.DISORDERED]),
        rogue=int(row[g.ROGUE]),
        resets=int(row[g.RESETS]),
    )
