"""The one place that says how inner loops are compiled.

Kernels live in modules or packages called `kernels`, take named tuples of contiguous int64 arrays,
write into arrays they are given and return an integer status. With NUMBA_DISABLE_JIT=1 the same
source runs as plain Python: the twin that the tests use.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

# A thread that has done its share of a window must sleep, not spin: when another process wants the
# core, a spinning thread holds up the one it waits for by a whole time slice in every window.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba

Function = TypeVar("Function", bound=Callable[..., object])

_IMPORTED = re.compile(r"^from (qnet[.\w]*) import (\w*)", re.MULTILINE)


def kernel(function: Function) -> Function:
    """Compile one function, cached on disk, callable without the interpreter lock."""
    return _compiled(function)


def bare_kernel(function: Function) -> Function:
    """As `kernel`, for a function that makes no array: none of those it is given is counted.

    Numba counts the users of an array at every use of a field of a named tuple, in loops too; where
    all arrays outlive the call, that is for nothing, and it is half of the time.
    """
    return _compiled(function, _nrt=False)


def inline_kernel(function: Function) -> Function:
    """As `kernel`, for a few lines that are copied into their caller."""
    return _compiled(function, inline="always")


def parallel_kernel(function: Function) -> Function:
    """As `kernel`, with `numba.prange` loops spread over the threads of the run."""
    return _compiled(function, parallel=True)


def _compiled(function: Function, **options: object) -> Function:
    made: Any = numba.njit(cache=True, nogil=True, **options)(function)
    if made is not function:  # the compiler is on
        # Numba compiles a function anew when its own file has changed; what it calls, and the
        # numbers that it imports, are compiled into it as well.
        made._cache._cache_file._source_stamp = _stamp(function.__module__)
    return made  # type: ignore[no-any-return]


@cache
def _stamp(module: str) -> str:
    """Tell the sources of a module, and of all of qnet that it imports, from any others."""
    seen: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            source = Path(str(sys.modules[name].__file__)).read_bytes()
            seen[name] = source
            for package, first in _IMPORTED.findall(source.decode()):
                inner = f"{package}.{first}"
                waiting += [package, *([inner] if inner in sys.modules else [])]
    return sha256(b"".join(seen[name] for name in sorted(seen))).hexdigest()
