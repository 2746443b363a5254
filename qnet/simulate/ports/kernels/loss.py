"""Frames that the link loses or damages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel
from qnet.simulate.kernels.sources import draw

Ints = NDArray[np.int64]


@bare_kernel
def is_lost(port: int, row: int, frame_bytes: int, loss: Ints, dice: Ints) -> bool:
    """Draw whether a frame is lost or damaged on the way; the next node's check drops it."""
    high = draw(dice, port, 0) >> 1
    return (high << 32 | draw(dice, port, 0)) < loss[row, frame_bytes]
