"""The one place that says how inner loops are compiled.

Kernels live in modules or packages called `kernels`, take named tuples of contiguous int64 arrays,
write into arrays they are given and return an integer status. With NUMBA_DISABLE_JIT=1 the same
source runs as plain Python: the twin that the tests use.
"""

from __future__ import annotations

import ctypes
import logging
import pickle
import re
import sys
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite.ir import FunctionType, VoidType
from numba.core import cgutils, types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.extending import intrinsic
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., object])
Names = TypeVar("Names", bound=type[IntEnum])

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


def _compiled(function: Function, **options: object) -> Function:
    made: Any = numba.njit(nogil=True, **options)(function)
    if made is not function:  # the compiler is on
        try:
            made._cache = _Cache(function)
        except RuntimeError as error:  # there is no folder for it
            _say_unkept(str(error))
    return made  # type: ignore[no-any-return]


_unkept: list[str] = []


def _say_unkept(why: str) -> None:
    """Say, once in a process, that compiled code is not kept."""
    if not _unkept:
        _unkept.append(why)
        words = "compiled code cannot be kept: %s; the run goes on, and the next compiles again"
        logging.getLogger("qnet").warning(words, why)


class _Cache(FunctionCache):  # type: ignore[misc]
    """What is compiled of one function, on disk; what is damaged there is compiled anew."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        # Numba compiles a function anew when its own file has changed; what it calls, and the
        # numbers that it imports, are compiled into it as well.
        stamp = _stamp(function.__module__)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except Exception:  # whole, and of another making: no errors are named for that
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            super().save_overload(signature, data)
        except OSError as error:
            folder = error.filename or self._cache_path
            _say_unkept(f"{folder}: {(error.strerror or str(error)).lower()}")


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """An index and files of machine code, each behind a hash of all that it holds.

    A flipped bit in machine code would be run, and Numba writes the index first: a process that is
    killed in between leaves it with the code of an earlier source.
    """

    def _load_index(self) -> dict[Any, str]:
        found = self._load(self._index_path)
        return found if isinstance(found, dict) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._save(self._index_path, overloads)

    def load(self, key: Any) -> Any:
        name = self._load_index().get(key)
        found = None if name is None else self._load(self._data_path(name))
        return found[1] if isinstance(found, tuple) and found[0] == repr(key) else None

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (repr(key), data))

    def _save_data(self, name: str, data: Any) -> None:
        self._save(self._data_path(name), data)

    def _load(self, path: str) -> Any:
        """Return what was saved, or None where it is not there, not whole, or of another source."""
        try:
            raw = Path(path).read_bytes()
        except OSError:
            return None
        head, body = raw[: len(self._head(b""))], raw[len(self._head(b"")) :]
        return pickle.loads(body) if head == self._head(body) else None

    def _save(self, path: str, data: Any) -> None:
        body = self._dump(data)
        with self._open_for_write(path) as file:
            file.write(self._head(body) + body)

    def _head(self, body: bytes) -> bytes:
        made_by = f"{self._version} {self._source_stamp} ".encode()
        return sha256(made_by + body).digest()


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


def columns(names: Names) -> Names:
    """Name the columns of a table; compiled, a name is its number.

    With the compiler off it becomes a plain class of numbers: Python 3.11 takes longer to find a
    member of an enumeration than an element of an array.
    """
    if numba.config.DISABLE_JIT:
        return cast(Names, type(names.__name__, (), {one.name: int(one) for one in names}))
    return names


LINE_BYTES = 64
"""A line of the cache."""


def zeros(shape: tuple[int, ...], dtype: type[np.generic] = np.int64) -> NDArray[Any]:
    """As numpy.zeros, beginning with a line of the cache.

    NumPy's begin anywhere. Rows as long as a line then lie in two of them, and two threads with a
    row each write into one line.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + LINE_BYTES, dtype=np.uint8)
    first = -room.ctypes.data % LINE_BYTES
    return room[first : first + size].view(dtype).reshape(shape)


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of an array that begins with a line of the cache."""
    copy = zeros(array.shape, array.dtype.type)
    copy[:] = array
    return copy


def libc(name: str, result: Any, *arguments: Any) -> Any:
    """Return a function of the C library that kernels can call.

    Compiled code finds it by its name, so that it can be cached; the twin calls it by ctypes.
    """
    if numba.config.DISABLE_JIT:
        function = ctypes.CDLL(None, use_errno=True)[name]
        function.argtypes = [ctypes.c_int64] * len(arguments)
        return function
    return types.ExternalFunction(name, result(*arguments))


def _element(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Return the address of an array's element."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic  # type: ignore[untyped-decorator]
def _load_acquire(_: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _element(context, builder, signature.args[0], *arguments)
        return builder.load_atomic(place, "acquire", align=8)

    return types.int64(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def _store_release(_: Any, array: Any, index: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, value = arguments
        place = _element(context, builder, signature.args[0], array, index)
        builder.store_atomic(value, place, "release", align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _highest_bit(_: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], cgutils.false_bit)
        return builder.sub(zeros.type(63), zeros)

    return types.int64(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(_: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, number = cgutils.voidptr_t, cgutils.int32_t
        prefetch = builder.module.declare_intrinsic(
            "llvm.prefetch", (address,), FunctionType(VoidType(), [address] + 3 * [number])
        )
        place = _element(context, builder, signature.args[0], *arguments)
        to_read, keep, data = number(0), number(3), number(1)
        builder.call(prefetch, [builder.bitcast(place, address), to_read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


if numba.config.DISABLE_JIT:  # threads take turns then

    def _load_acquire(array: NDArray[np.int64], index: int) -> int:
        return int(array[index])

    def _store_release(array: NDArray[np.int64], index: int, value: int) -> None:
        array[index] = value

    def _prefetch(array: NDArray[Any], index: int) -> None:
        pass

    def _highest_bit(value: int) -> int:
        return int(value).bit_length() - 1


@kernel
def read_shared(array: NDArray[np.int64], index: int) -> int:
    """Read a number that another thread writes with `write_shared`.

    What that thread had written before, anywhere, is then seen too.
    """
    return int(_load_acquire(array, index))


@kernel
def write_shared(array: NDArray[np.int64], index: int, value: int) -> None:
    """Write a number for other threads to read with `read_shared`."""
    _store_release(array, index, value)


@inline_kernel
def highest_bit(value: int) -> int:
    """Return the position of the highest set bit of a positive number below 2**63."""
    return int(_highest_bit(value))


@inline_kernel
def prefetch(array: NDArray[Any], index: int) -> None:
    """Ask for the line of the cache with an element, by its place in the flat array.

    Nothing waits for it, and nothing happens when there is no such element.
    """
    _prefetch(array, index)
