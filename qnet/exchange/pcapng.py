"""Captures in pcapng (draft-ietf-opsawg-pcapng): one interface per port, times in picoseconds.

A library for this exists (Scapy's writer), which knows neither an interface's name and speed nor
times finer than microseconds; the blocks are few and plain, so they are written here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

ETHERNET = 1
LOCAL_EXPERIMENTAL = 0x88B5
"""The EtherType that IEEE 802 leaves for experiments: frames carry nothing but their own story."""

SNAPPED_BYTES = 64
FCS_BYTES = 4
PS_PER_SECOND_DIGITS = 12

COMMENT, NAME, SPEED, RESOLUTION, APPLICATION = 1, 2, 8, 9, 4


class Interface(NamedTuple):
    """A port as a capture shows it."""

    name: str
    rate_bps: int


class Packet(NamedTuple):
    """A frame whose first bit left at a time; `number` says of which stream it is."""

    interface: int
    time_ps: int
    source: int
    target: int
    """Numbers of the nodes, which make the addresses."""
    frame_bytes: int
    number: int
    birth_ps: int
    comment: str


def capture(
    application: str, interfaces: Sequence[Interface], packets: Iterable[Packet]
) -> Iterator[bytes]:
    """Yield the blocks of a capture. Frames are cut to their first 64 bytes, and have no FCS."""
    byte_order, length_unknown = 0x1A2B3C4D, -1
    yield _block(
        0x0A0D0D0A,
        struct.pack("<IHHq", byte_order, 1, 0, length_unknown)
        + _options((APPLICATION, application.encode())),
    )
    for interface in interfaces:
        yield _block(
            1,
            struct.pack("<HHI", ETHERNET, 0, SNAPPED_BYTES)
            + _options(
                (NAME, interface.name.encode()),
                (SPEED, struct.pack("<Q", interface.rate_bps)),
                (RESOLUTION, bytes([PS_PER_SECOND_DIGITS])),
            ),
        )
    for packet in packets:
        data = _frame(packet)
        length = packet.frame_bytes - FCS_BYTES
        head = struct.pack(
            "<IIIII",
            packet.interface,
            packet.time_ps >> 32,
            packet.time_ps & 0xFFFFFFFF,
            len(data),
            length,
        )
        comment = _options((COMMENT, packet.comment.encode()))
        yield _block(6, head + _padded(data) + comment)


def _frame(packet: Packet) -> bytes:
    """Return the first bytes of a frame: addresses of the two nodes, birth, stream, zeros."""
    head = (
        _address(packet.target)
        + _address(packet.source)
        + struct.pack(">HQI", LOCAL_EXPERIMENTAL, packet.birth_ps, packet.number)
    )
    return head.ljust(min(packet.frame_bytes - FCS_BYTES, SNAPPED_BYTES), b"\0")


def _address(node: int) -> bytes:
    """Return a locally administered address: node 1 is 02:00:00:00:00:01."""
    return b"\x02" + node.to_bytes(5, "big")


def _options(*options: tuple[int, bytes]) -> bytes:
    parts = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options]
    return b"".join(parts) + b"\0\0\0\0"


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)
