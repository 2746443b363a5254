"""What every search for room begins with: the least that a port has left for each start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel

Int64s = NDArray[np.int64]

WEIGHT_BITS = 40
"""A port's capacity in bytes per cycle is below 2**WEIGHT_BITS, so a score is too."""

UNSEEN = 2**62
"""More than any number of bytes or any score."""


@bare_kernel
def fold(row: Int64s, shift: int, period: int, left: Int64s) -> int:
    """Write into `left[phase]` the least bytes over the cycles that a phase uses."""
    for phase in range(period):
        left[phase] = UNSEEN
    length = row.shape[0]
    cycle = shift
    for _ in range(length // period):
        before_wrap = min(period, length - cycle)
        for phase in range(before_wrap):
            left[phase] = min(left[phase], row[cycle + phase])
        for phase in range(before_wrap, period):
            left[phase] = min(left[phase], row[cycle + phase - length])
        cycle = (cycle + period) % length
    return 0
