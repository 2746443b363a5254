"""What general ports counted, in the words of the observation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.model.observation import Copies, DropCause
from qnet.simulate.ports import kernels as g

Ints = NDArray[np.int64]

CAUSES: tuple[DropCause, ...] = ("buffer", "policed", "residence", "link")
"""Why frames are dropped: no room first, which every port knows, then the columns of `dropped`."""


def drop_table(no_room: Ints, parts: g.Parts | None) -> Ints:
    """Return the frames dropped, by position and cause."""
    table = np.zeros((no_room.size, len(CAUSES)), dtype=np.int64)
    table[:, 0] = no_room
    if parts is not None:
        table[:, 1:] = parts.dropped[:, : len(CAUSES) - 1]
    return table


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
