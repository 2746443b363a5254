"""Captures written for tests, byte by byte, by the words of the formats."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PS = 10**12


def frame(
    source: str = "10.0.0.1",
    target: str = "10.0.0.2",
    *,
    length: int = 100,
    tag: int | None = None,
    macs: tuple[int, int] = (1, 2),
) -> bytes:
    """An IPv4 frame without check sequence; a tag has priority and VLAN."""
    head = b"".join(mac.to_bytes(6, "big") for mac in reversed(macs))
    if tag is not None:
        head += b"\x81\x00" + tag.to_bytes(2, "big")
    addresses = bytes(int(part) for part in f"{source}.{target}".split("."))
    head += b"\x08\x00" + b"\x45" + bytes(11) + addresses
    return head + bytes(length - len(head))


@dataclass
class Shot:
    """A frame to be written, and when it was seen."""

    time_ps: int
    data: bytes
    length: int | None = None
    interface: int = 0

    @property
    def whole(self) -> int:
        return len(self.data) if self.length is None else self.length


def pcap(
    shots: Iterable[Shot], *, order: str = "<", digits: int = 9, link: int = 1, snap: int = 65535
) -> bytes:
    magic = {6: 0xA1B2C3D4, 9: 0xA1B23C4D}[digits]
    made = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for one in shots:
        seconds, part = divmod(one.time_ps, PS)
        part = part * 10**digits // PS
        made.append(struct.pack(f"{order}IIII", seconds, part, len(one.data), one.whole) + one.data)
    return b"".join(made)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    return (
        struct.pack(f"{order}II", kind, len(body) + 12)
        + body
        + struct.pack(f"{order}I", len(body) + 12)
    )


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


@dataclass
class Card:
    """An interface: how fine its times are, and from when they are counted."""

    resolution: int | None = None
    offset_s: int = 0
    link: int = 1
    check_bytes: int | None = None

    def ticks(self, time_ps: int) -> int:
        code = 6 if self.resolution is None else self.resolution
        per_second: int = 2 ** (code & 127) if code & 128 else 10**code
        return (time_ps - self.offset_s * PS) * per_second // PS


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def described(card: Card, order: str = "<") -> bytes:
    body = struct.pack(f"{order}HHI", card.link, 0, 0)
    if card.resolution is not None:
        body += option(9, bytes([card.resolution]), order)
    if card.offset_s:
        body += option(14, struct.pack(f"{order}q", card.offset_s), order)
    if card.check_bytes is not None:
        body += option(13, bytes([card.check_bytes]), order)
    return block(1, body + option(0, b"", order), order)


def packet(card: Card, one: Shot, order: str = "<", *, is_old: bool = False) -> bytes:
    ticks = card.ticks(one.time_ps)
    high, low = ticks >> 32, ticks & 0xFFFFFFFF
    if is_old:
        head = struct.pack(f"{order}HH", one.interface, 0)
    else:
        head = struct.pack(f"{order}I", one.interface)
    head += struct.pack(f"{order}IIII", high, low, len(one.data), one.whole)
    return block(2 if is_old else 6, head + one.data, order)


def pcapng(
    shots: Iterable[Shot],
    cards: Sequence[Card] = (Card(12),),
    *,
    order: str = "<",
    is_old: bool = False,
) -> bytes:
    made = [section(order), *(described(card, order) for card in cards)]
    made += [packet(cards[one.interface], one, order, is_old=is_old) for one in shots]
    return b"".join(made)
