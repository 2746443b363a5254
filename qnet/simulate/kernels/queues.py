"""A frame that is put aside for lack of room, and when a port looks at its queues again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel
from qnet.simulate.world import DONE, NEVER, Frame, Queues, Ring

Ints = NDArray[np.int64]


@inline_kernel
def keep_back(
    port: int, queue: int, came: int, birth: int, label: int, turn: int, stash: Ints
) -> None:
    """Put aside the frame in hand: its ring, or where it is to go to, has no room."""
    stash[port, Frame.ARRIVAL] = came
    stash[port, Frame.BIRTH] = birth
    stash[port, Frame.LABEL] = label
    stash[port, Frame.CYCLE] = turn
    stash[port, Frame.QUEUE] = queue


@inline_kernel
def take_back(port: int, queues: Queues) -> None:
    """Queue the frame that was put aside; there is room now, and its bytes are counted already."""
    ring, cells, stash = queues.ring, queues.cells, queues.stash
    queue = stash[port, Frame.QUEUE]
    if queue >= 0:
        place = ring[queue, Ring.BASE] + (
            (ring[queue, Ring.FRONT] + ring[queue, Ring.COUNT]) & ring[queue, Ring.MASK]
        )
        for column in range(4):
            cells[place, column] = stash[port, column]
        ring[queue, Ring.COUNT] += 1
        stash[port, Frame.QUEUE] = -1


@inline_kernel
def wake_at(now: int, wake: int, waiting: int, status: int) -> int:
    """Return WAKE of a port that has come to a time, knowing that it next looks at `wake`."""
    if status != DONE:
        return now
    return max(now, wake) if waiting > 0 else NEVER
