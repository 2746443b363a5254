"""Captures in pcapng (draft-ietf-opsawg-pcapng), with times in picoseconds.

A library for this exists (Scapy's writer), which knows neither an interface's name and speed nor
times finer than microseconds; the blocks are few and plain, so they are written here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

ETHERNET = 1

FCS_BYTES = 4
PS_PER_SECOND_DIGITS = 12

INBOUND, OUTBOUND = 1, 2
"""Directions, as in the flags of a packet."""

SECTION, INTERFACE, NAMES, PACKET = 0x0A0D0D0A, 1, 4, 6
"""Kinds of block."""

COMMENT = 1
APPLICATION = 4
NAME, DESCRIPTION, SPEED, RESOLUTION, CHECK_BYTES = 2, 3, 8, 9, 13
FLAGS = 2
"""Codes of options; those of an interface and of a packet are counted apart."""


class Interface(NamedTuple):
    """A port as a capture shows it; a rate of 0 is not known."""

    name: str
    rate_bps: int
    description: str = ""


class Packet(NamedTuple):
    """A frame seen at an interface: its bytes, or the first of them, without check sequence."""

    interface: int
    time_ps: int
    data: bytes
    length: int
    """Bytes of the whole frame, without check sequence."""
    comment: str = ""
    direction: int = 0
    """INBOUND, OUTBOUND, or 0 where it is not said."""


def capture(
    application: str,
    interfaces: Sequence[Interface],
    packets: Iterable[Packet],
    *,
    comment: str = "",
    hosts: Mapping[int, str] | None = None,
    longest: int = 0,
    digits: int = PS_PER_SECOND_DIGITS,
) -> Iterator[bytes]:
    """Yield the blocks of a capture.

    `hosts` are names by IPv4 address. Frames are cut to `longest` bytes by the caller; 0 is none.
    Times are cut to so many `digits` of a second: with twelve, those after July 1970 do not fit,
    and Wireshark 4 shows those beyond 18 ms of a second wrongly.
    """
    byte_order, length_unknown = 0x1A2B3C4D, -1
    yield _block(
        SECTION,
        struct.pack("<IHHq", byte_order, 1, 0, length_unknown)
        + _options((COMMENT, comment.encode()), (APPLICATION, application.encode())),
    )
    for interface in interfaces:
        yield _block(
            INTERFACE,
            struct.pack("<HHI", ETHERNET, 0, longest)
            + _options(
                (NAME, interface.name.encode()),
                (DESCRIPTION, interface.description.encode()),
                (SPEED, struct.pack("<Q", interface.rate_bps) if interface.rate_bps else b""),
                (RESOLUTION, bytes([digits])),
                (CHECK_BYTES, b"\0"),
            ),
        )
    if hosts:
        yield _block(NAMES, b"".join(_name(*one) for one in sorted(hosts.items())) + b"\0\0\0\0")
    unit_ps = 10 ** (PS_PER_SECOND_DIGITS - digits)
    for packet in packets:
        time = packet.time_ps // unit_ps
        head = struct.pack(
            "<IIIII",
            packet.interface,
            time >> 32,
            time & 0xFFFFFFFF,
            len(packet.data),
            packet.length,
        )
        options = _options(
            (COMMENT, packet.comment.encode()),
            (FLAGS, struct.pack("<I", packet.direction) if packet.direction else b""),
        )
        yield _block(PACKET, head + _padded(packet.data) + options)


def _name(address: int, name: str) -> bytes:
    value = address.to_bytes(4, "big") + name.encode() + b"\0"
    return struct.pack("<HH", 1, len(value)) + _padded(value)


def _options(*options: tuple[int, bytes]) -> bytes:
    """Write the options that have a value, and the end of them."""
    parts = [
        struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options if value
    ]
    return b"".join(parts) + b"\0\0\0\0"


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)
