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
def write(data: Bytes, at: int, length: int, value: int) -> None:
    """Write a number into bytes, most significant byte first."""
    for i in range(length):
        data[at + i] = (value >> (8 * (length - 1 - i))) & 0xFF


@bare_kernel
def read(data: Bytes, at: int, length: int) -> int:
    """Read a number from bytes, most significant byte first."""
    value: Any = 0
    for i in range(length):
        value = (value << 8) | np.int64(data[at + i])
    return value


@bare_kernel
def put_trailer(data: Bytes, at: int, virtual: int, slot: int, turn: int) -> None:
    """Write the trailer of a frame, from `at`, where the frame ends."""
    write(data, at, 4, MAGIC)
    write(data, at + 4, 2, VERSION)
    write(data, at + 6, 2, 0)
    write(data, at + 8, 8, virtual)
    write(data, at + 16, 4, slot)
    write(data, at + 20, 4, turn)


@bare_kernel
def has_trailer(data: Bytes, at: int, length: int) -> bool:
    """Say whether the frame at a place ends with a trailer."""
    first = at + length - TRAILER_BYTES
    if first < at + 14:
        return False
    return read(data, first, 4) == MAGIC and read(data, first + 4, 2) == VERSION


@bare_kernel
def label_of(data: Bytes, at: int, length: int) -> int:
    """Return the top MPLS label and traffic class (RFC 5462) of a frame, or -1 without one.

    23 bits; it may be behind VLAN tags.
    """
    end = at + length
    at += 12
    while at + 6 <= end:
        ether_type = read(data, at, 2)
        if ether_type in (0x8100, 0x88A8):
            at += 4
            continue
        if ether_type == 0x8847:
            return read(data, at + 2, 4) >> 9
        return -1
    return -1
