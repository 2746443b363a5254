"""The bytes of a frame: the trailer that carries virtual time, the label and the cycle tag."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnet.emulate.wires.kernels.tables import TRAILER_BYTES
from qnet.kernel import bare_kernel

Bytes = NDArray[np.uint8]


MAGIC = 0x716E6574
VERSION = 1


@bare_kernel
def write(data: Bytes, row: int, first: int, length: int, value: int) -> None:
    """Write a number into a row of bytes, most significant byte first."""
    for i in range(length):
        data[row, first + i] = (value >> (8 * (length - 1 - i))) & 0xFF


@bare_kernel
def read(data: Bytes, row: int, first: int, length: int) -> int:
    """Read a number from a row of bytes, most significant byte first."""
    value: Any = 0
    for i in range(length):
        value = (value << 8) | np.int64(data[row, first + i])
    return value


@bare_kernel
def put_trailer(data: Bytes, row: int, length: int, virtual: int, slot: int, turn: int) -> int:
    """Write the trailer behind a frame; return the new length."""
    write(data, row, length, 4, MAGIC)
    write(data, row, length + 4, 2, VERSION)
    write(data, row, length + 6, 2, 0)
    write(data, row, length + 8, 8, virtual)
    write(data, row, length + 16, 4, slot)
    write(data, row, length + 20, 4, turn)
    return length + TRAILER_BYTES


@bare_kernel
def has_trailer(data: Bytes, row: int, length: int) -> bool:
    """Say whether a frame ends with a trailer."""
    first = length - TRAILER_BYTES
    if first < 14:
        return False
    return read(data, row, first, 4) == MAGIC and read(data, row, first + 4, 2) == VERSION


@bare_kernel
def label_of(data: Bytes, row: int, length: int) -> int:
    """Return the top MPLS label and its traffic class (RFC 5462), or -1 where there is none.

    23 bits; it may be behind VLAN tags.
    """
    at = 12
    while at + 6 <= length:
        ether_type = read(data, row, at, 2)
        if ether_type in (0x8100, 0x88A8):
            at += 4
            continue
        if ether_type == 0x8847:
            return read(data, row, at + 2, 4) >> 9
        return -1
    return -1
