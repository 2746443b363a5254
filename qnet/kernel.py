"""The one place that says how inner loops are compiled.

Kernels live in modules or packages called `kernels`, take named tuples of contiguous int64 arrays,
write into arrays they are given and return an integer status. With NUMBA_DISABLE_JIT=1 the same
source runs as plain Python: the twin that the tests use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

# A thread that has done its share of a window must sleep, not spin: when another process wants the
# core, a spinning thread holds up the one it waits for by a whole time slice in every window.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile one function, cached on disk, callable without the interpreter lock."""
    return numba.njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]


def bare_kernel(function: Function) -> Function:
    """As `kernel`, for a function that makes no array: none of those it is given is counted.

    Numba counts the users of an array at every use of a field of a named tuple, in loops too; where
    all arrays outlive the call, that is for nothing, and it is half of the time.
    """
    return numba.njit(cache=True, nogil=True, _nrt=False)(function)  # type: ignore[no-any-return]


def inline_kernel(function: Function) -> Function:
    """As `kernel`, for a few lines that are copied into their caller."""
    return numba.njit(cache=True, nogil=True, inline="always")(function)  # type: ignore[no-any-return]


def parallel_kernel(function: Function) -> Function:
    """As `kernel`, with `numba.prange` loops spread over the threads of the run."""
    return numba.njit(cache=True, nogil=True, parallel=True)(function)  # type: ignore[no-any-return]
