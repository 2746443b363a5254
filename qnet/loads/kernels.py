"""The inner loops of a forecast: frames that come over lines, and a buffer that drops the last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import kernel

Ints = NDArray[np.int64]


@kernel
def keep_apart(come: Ints, line: Ints, lasts: Ints, free: Ints) -> None:
    """Have frames, in their order, come over their lines one after the other.

    `line` has the number of the line of each, or -1, and `lasts` its line time; `free` has a row
    for each line, in which it is kept when the last frame came. Changes `come` in place.
    """
    for frame in range(come.size):
        if line[frame] >= 0:
            come[frame] = max(come[frame], free[line[frame]] + lasts[frame])
            free[line[frame]] = come[frame]


@kernel
def count_dropped(come: Ints, takes: Ints, held: Ints, counts: Ints, limit: int) -> int:
    """Count the frames for which a queue has no room, one after the other as they come.

    A frame takes the line for `takes`, and `held` bytes of the queue until it begins to leave; of
    those that are dropped, those with 1 in `counts` are counted.
    """
    begins, bytes_of = np.empty_like(come), np.empty_like(held)
    front, back, free_at, depth, dropped = 0, 0, 0, 0, 0
    for frame in range(come.size):
        now = come[frame]
        while front < back and begins[front] < now:
            depth -= bytes_of[front]
            front += 1
        if free_at <= now:
            front, depth = back, 0
        if depth + held[frame] > limit:
            dropped += counts[frame]
            continue
        begins[back], bytes_of[back] = max(free_at, now), held[frame]
        free_at = begins[back] + takes[frame]
        depth += held[frame]
        back += 1
    return int(dropped)
