"""What the headers of a captured frame say: who sent it to whom, and with which tag."""

from __future__ import annotations

from typing import NamedTuple

from qnet.files.captures.frames import CapturedFrame, CapturePort

ETHERNET_BYTES = 14
"""Destination, source and type."""

TAGS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"

ETHERNET, COOKED, COOKED_2 = 1, 113, 276
RAW = (12, 14, 101)

SHIFTS = {ETHERNET: 0, COOKED: 2, COOKED_2: 6} | dict.fromkeys((*RAW, 228, 229), -ETHERNET_BYTES)
"""Link types that are read, and how much longer frames are there than in Ethernet."""

NO_TAG = b""


class FrameEnds(NamedTuple):
    """Addresses of a frame as it has them; b"" where it has none, or they were cut off."""

    mac_source: bytes
    mac_target: bytes
    source: bytes
    target: bytes
    tag: bytes = NO_TAG
    """Of the first VLAN tag: priority and VLAN in two bytes."""


def bytes_of(seen: CapturedFrame) -> int:
    """Return the bytes of a frame as Ethernet has it, with its check sequence."""
    interface = seen.interface
    return seen.length - SHIFTS[interface.link_type] + (0 if interface.check_bytes else 4)


def ends_of(data: bytes, interface: CapturePort) -> FrameEnds:
    """Return the addresses of a frame, by its first bytes."""
    link = interface.link_type
    if link == ETHERNET:
        return _of_ethernet(data)
    if link in (COOKED, COOKED_2):
        kind, header = (data[14:16], 16) if link == COOKED else (data[:2], 20)
        return FrameEnds(b"", b"", *_of_ip(data, kind, header))
    version = data[:1] and data[0] >> 4
    return FrameEnds(b"", b"", *_of_ip(data, {4: IPV4, 6: IPV6}.get(version or 0, b""), 0))


def _of_ethernet(data: bytes) -> FrameEnds:
    if len(data) < ETHERNET_BYTES:
        return FrameEnds(b"", b"", b"", b"")
    at, tag = 12, NO_TAG
    kind = data[12:14]
    while kind in TAGS and at < 12 + 4 * len(TAGS):
        tag = tag or data[at + 2 : at + 4]
        at += 4
        kind = data[at : at + 2]
    return FrameEnds(
        data[6:12], data[:6], *_of_ip(data, kind, at + 2), tag if len(tag) == 2 else NO_TAG
    )


def _of_ip(data: bytes, kind: bytes, at: int) -> tuple[bytes, bytes]:
    if kind == IPV4 and len(data) >= at + 20:
        return data[at + 12 : at + 16], data[at + 16 : at + 20]
    if kind == IPV6 and len(data) >= at + 40:
        return data[at + 8 : at + 24], data[at + 24 : at + 40]
    return b"", b""
