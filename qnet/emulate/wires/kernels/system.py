"""What the kernels call of the C library."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, libc

Ints = NDArray[np.int64]


sendmmsg = libc("sendmmsg", types.int32, types.int32, types.intp, types.uint32, types.int32)
ppoll = libc("ppoll", types.int32, types.intp, types.uint64, types.intp, types.intp)
memcpy = libc("memcpy", types.intp, types.intp, types.intp, types.intp)
clock_gettime = libc("clock_gettime", types.int32, types.int32, types.intp)

DONT_WAIT = 0x40
POLL_IN = 1
REALTIME, MONOTONIC = 0, 1


@bare_kernel
def time_of(which: int, clock: Ints) -> int:
    """Return the nanoseconds of one of the machine's clocks."""
    clock_gettime(which, clock.ctypes.data)
    return clock[0] * 1_000_000_000 + clock[1]


@bare_kernel
def wall(clock: Ints) -> int:
    """Return the wall time."""
    return time_of(MONOTONIC, clock)


@bare_kernel
def copy(target: int, source: int, length: int) -> None:
    """Copy bytes from one address to another; compiled slices go byte by byte."""
    memcpy(target, source, length)
