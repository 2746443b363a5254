"""A frame that is put aside for lack of room, and when a port looks at its queues again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel
from qnet.simulate.world import DONE, NEVER, Arrived, Frame, Queues, Ring

Ints = NDArray[np.int64]


@inline_kernel
def keep_back(port: int, queue: int, frame: Arrived, stash: Ints) -> None:
    """Put aside the frame in hand: its ring, or where it is to go to, has no room."""
    stash[port, Frame.ARRIVAL] = frame.came
    stash[port, Frame.BIRTH] = frame.birth
    stash[port, Frame.LABEL] = frame.label
    stash[port, Frame.CYCLE] = frame.turn
    stash[port, Frame.QUEUE] = queue


@inline_kernel
def first_of(queue: int, ring: Ints, cells: Ints) -> Arrived:
    """Return the first frame of a ring, which stays there."""
    place = ring[queue, Ring.BASE] + (ring[queue, Ring.FRONT] & ring[queue, Ring.MASK])
    return Arrived(
        cells[place, Frame.ARRIVAL], cells[place, Frame.BIRTH], cells[place, Frame.LABEL],
        cells[place, Frame.CYCLE],
    )  # fmt: skip


@inline_kernel
def put_last(queue: int, frame: Arrived, ring: Ints, cells: Ints) -> None:
    """Append a frame to a ring that has room; its bytes are counted apart."""
    place = ring[queue, Ring.BASE] + (
        (ring[queue, Ring.FRONT] + ring[queue, Ring.COUNT]) & ring[queue, Ring.MASK]
    )
    cells[place, Frame.ARRIVAL] = frame.came
    cells[place, Frame.BIRTH] = frame.birth
    cells[place, Frame.LABEL] = frame.label
    cells[place, Frame.CYCLE] = frame.turn
    ring[queue, Ring.COUNT] += 1


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


@inline_kernel
def turn_of_tag(turn: int, shown: int, cycle_length: int, buffers: int) -> tuple[int, bool]:
    """Return the cycle in which a reserved frame leaves, and whether it is late.

    The tag, cycle modulo buffers, names the buffer. A frame that comes after its cycle's start, or
    while the buffer's last turn is under way, waits for the buffer's next turn, which may be under
    way too; it is late.
    """
    wait = turn * cycle_length - shown
    is_late = wait < 0 or wait > (buffers - 1) * cycle_length
    if is_late:
        present = shown // cycle_length
        turn = present + (turn - present) % buffers
    return turn, is_late
