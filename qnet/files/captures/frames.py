"""Frames of a capture, one by one, in pcap or pcapng; whatever is wrong is told with its byte.

Both formats are read here, since times are to be exact: pcap with micro- or nanoseconds, pcapng
(draft-ietf-opsawg-pcapng) with the resolution and offset that each interface has. Frames may be cut
to a snap length; their bytes are those that they had. No more than one block is in memory.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

from qnet.errors import InputError, Problem
from qnet.files.tree import printable

FRAME_BYTES_KEPT_HIGHEST = 262_144
"""Of a frame; the largest snap length that there is (MAXIMUM_SNAPLEN of libpcap)."""

BLOCK_BYTES_HIGHEST = 16 * 2**20

PS_DIGITS = 12
"""Digits of a picosecond behind the point of a second."""

SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET = 0x0A0D0D0A, 1, 2, 3, 6
"""Kinds of block; others have no frames."""

RESOLUTION, OFFSET, CHECK_BYTES = 9, 14, 13
"""Codes of options of an interface."""

CLASSIC = {0xA1B2C3D4: 6, 0xA1B23C4D: 9}
"""What a pcap file begins with, and the digits of its times."""

COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}


class CapturePort(NamedTuple):
    """What the frames of an interface have in common."""

    link_type: int
    check_bytes: int
    """Of the check sequence, where frames were captured with it."""
    multiplier: int
    divisor: int
    """A tick has multiplier / divisor picoseconds."""
    offset_ps: int = 0


class CapturedFrame(NamedTuple):
    """A frame."""

    offset: int
    """Where its record or block begins in the file."""
    time_ps: int
    """Since 1970."""
    length: int
    """Bytes that it had when it was seen."""
    data: bytes
    """Its bytes, or the first of them."""
    interface: CapturePort


class CaptureReader:
    """A file that is read from its begin to its end, and what is wrong with it."""

    def __init__(self, display: str, file: BinaryIO) -> None:
        self.display, self.file, self.offset = display, file, 0

    def take(self, count: int, what: str) -> bytes:
        """Read so many bytes; raises InputError where there are fewer."""
        data = self.file.read(count)
        if len(data) < count:
            left = f"{len(data):,} of {count:,} bytes are there" if data else "the file ends here"
            self.refuse(f"{what} is cut short: {left}")
        self.offset += count
        return data

    def refuse(self, words: str, offset: int | None = None) -> NoReturn:
        """Raise InputError for what is at a byte of the file."""
        place = f"byte {self.offset if offset is None else offset:,}"
        raise InputError([Problem(printable(self.display), 0, 0, place, printable(words))])


@contextmanager
def opened(path: Path, display: str) -> Iterator[CaptureReader]:
    """Open a capture; raises InputError where it is no file or cannot be read."""

    def refuse(words: str) -> NoReturn:
        raise InputError([Problem(printable(display), 0, 0, "", words)])

    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            refuse("a folder, not a capture")
        if not stat.S_ISREG(mode):
            refuse("not a regular file")
        with path.open("rb") as file:
            yield CaptureReader(display, file)
    except FileNotFoundError:
        refuse("no such file")
    except (OSError, ValueError) as error:
        refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}".lower())


def frames_of(reader: CaptureReader) -> Iterator[CapturedFrame]:
    """Yield the frames of a capture in the order of the file; raises InputError for its faults."""
    magic = reader.file.read(4)
    for start, name in COMPRESSED.items():
        if magic.startswith(start):
            reader.refuse(f"compressed by {name}; unpack it first")
    if len(magic) < 4:
        reader.refuse("no capture: it is empty" if not magic else "no capture: too short for one")
    reader.offset = 4
    for order in "<>":
        (number,) = struct.unpack(f"{order}I", magic)
        if number == SECTION:
            yield from _of_blocks(reader, magic)
            return
        if number in CLASSIC:
            yield from _of_records(reader, order, CLASSIC[number])
            return
    words = f"begins with 0x{magic.hex()}, which neither pcap nor pcapng does"
    reader.refuse(f"no capture: {words}", 0)


# pcap


def _of_records(reader: CaptureReader, order: str, digits: int) -> Iterator[CapturedFrame]:
    head = reader.take(20, "the file's header")
    major, _, _, _, _, link = struct.unpack(f"{order}HHiIII", head)
    if major != 2:
        reader.refuse(f"pcap of version {major}, and there is 2 only", 4)
    check_bytes = (link >> 28) * 2 if link & 0x04000000 else 0
    interface = CapturePort(link & 0xFFFF, check_bytes, 10 ** (PS_DIGITS - digits), 1)
    record, per_second, read = struct.Struct(f"{order}IIII"), 10**digits, reader.file.read
    while head := read(16):
        offset = reader.offset
        if len(head) < 16:
            reader.refuse(f"a record is cut short: {len(head)} of its 16 bytes are there")
        seconds, part, kept, length = record.unpack(head)
        if part >= per_second:
            words = f"{part:,} of {per_second:,} parts of a second"
            reader.refuse(f"a frame's time has {words}", offset)
        _check_lengths(reader, offset, kept, length)
        data = read(kept)
        if len(data) < kept:
            left = f"{len(data):,} of {kept:,} bytes are there"
            reader.refuse(f"a frame is cut short: {left}", offset)
        reader.offset = offset + 16 + kept
        time_ps = (seconds * per_second + part) * interface.multiplier
        yield CapturedFrame(offset, time_ps, length, data, interface)


def _check_lengths(reader: CaptureReader, offset: int, kept: int, length: int) -> None:
    if kept > FRAME_BYTES_KEPT_HIGHEST:
        most = f"at most {FRAME_BYTES_KEPT_HIGHEST:,} of a frame can be"
        reader.refuse(f"{kept:,} bytes of a frame captured; {most}", offset)
    if kept > length:
        reader.refuse(f"{kept:,} bytes captured of a frame of {length:,}", offset)


# pcapng


def _of_blocks(reader: CaptureReader, head: bytes) -> Iterator[CapturedFrame]:
    """Yield the frames of blocks; `head` are the first bytes of the first one."""
    order, interfaces = "<", list[CapturePort]()
    while head:
        offset = reader.offset - len(head)
        if len(head) < 4:
            reader.refuse(f"a block is cut short: {len(head)} of its bytes are there", offset)
        (kind,) = struct.unpack(f"{order}I", head)
        size, begun = reader.take(4, "a block"), b""
        if kind == SECTION:
            begun = reader.take(4, "a section's header")
            order, interfaces = _order_of(reader, begun, offset), []
        body = begun + _body(reader, order, size, offset, len(begun))
        if kind == SECTION:
            (major,) = struct.unpack(f"{order}H", body[4:6])
            if major != 1:
                reader.refuse(f"pcapng of version {major}, and there is 1 only", offset)
        elif kind == INTERFACE:
            interfaces.append(_interface(reader, order, body, offset))
        elif kind in (PACKET, OLD_PACKET):
            yield _packet(reader, order, body, interfaces, (offset, kind))
        elif kind == SIMPLE_PACKET:
            words = "a simple packet block, whose frame has no time: it cannot be sent again"
            reader.refuse(words, offset)
        head = reader.file.read(4)
        reader.offset += len(head)


def _order_of(reader: CaptureReader, mark: bytes, offset: int) -> str:
    order = {"4d3c2b1a": "<", "1a2b3c4d": ">"}.get(mark.hex())
    if order is None:
        reader.refuse(f"a section has the byte order 0x{mark.hex()}, which is none", offset)
    return order


def _body(reader: CaptureReader, order: str, size: bytes, offset: int, taken: int) -> bytes:
    """Read what is between the two lengths of a block."""
    (length,) = struct.unpack(f"{order}I", size)
    least = 28 if taken else 12
    if length < least or length % 4 or length > BLOCK_BYTES_HIGHEST:
        words = f"a multiple of 4, from {least} to {BLOCK_BYTES_HIGHEST:,}"
        reader.refuse(f"a block of {length:,} bytes; its length is {words}", offset)
    rest = reader.take(length - 8 - taken, f"a block of {length:,} bytes")
    (again,) = struct.unpack(f"{order}I", rest[-4:])
    if again != length:
        reader.refuse(f"a block of {length:,} bytes ends with the length {again:,}", offset)
    return rest[:-4]


def _interface(reader: CaptureReader, order: str, body: bytes, offset: int) -> CapturePort:
    if len(body) < 8:
        reader.refuse("an interface's block is too short", offset)
    (link,) = struct.unpack(f"{order}H", body[:2])
    resolution, offset_s, check_bytes, at = 6, 0, 0, 8
    while at + 4 <= len(body):
        code, length = struct.unpack(f"{order}HH", body[at : at + 4])
        value = body[at + 4 : at + 4 + length]
        if len(value) < length:
            reader.refuse(f"option {code} of an interface goes beyond its block", offset)
        if not code:
            break
        due = {RESOLUTION: 1, OFFSET: 8, CHECK_BYTES: 1}.get(code, length)
        if length != due:
            reader.refuse(f"option {code} of an interface has {length} bytes, not {due}", offset)
        if code == RESOLUTION:
            resolution = value[0]
        elif code == OFFSET:
            (offset_s,) = struct.unpack(f"{order}q", value)
        elif code == CHECK_BYTES:
            check_bytes = value[0]
        at += 4 + (length + 3) // 4 * 4
    ticks = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    second_ps = 10**PS_DIGITS
    return CapturePort(link, check_bytes, second_ps, ticks, offset_s * second_ps)


def _packet(
    reader: CaptureReader,
    order: str,
    body: bytes,
    interfaces: list[CapturePort],
    where: tuple[int, int],
) -> CapturedFrame:
    offset, kind = where
    if len(body) < 20:
        reader.refuse("a packet's block is too short", offset)
    if kind == PACKET:
        number, high, low, kept, length = struct.unpack_from(f"{order}IIIII", body)
    else:
        number, _, high, low, kept, length = struct.unpack_from(f"{order}HHIIII", body)
    if number >= len(interfaces):
        words = f"and {len(interfaces)} are described before it"
        reader.refuse(f"a frame of interface {number}, {words}", offset)
    _check_lengths(reader, offset, kept, length)
    if kept > len(body) - 20:
        reader.refuse(f"{kept:,} bytes of a frame, and its block has {len(body) - 20:,}", offset)
    one = interfaces[number]
    time_ps = ((high << 32) + low) * one.multiplier // one.divisor + one.offset_ps
    return CapturedFrame(offset, time_ps, length, body[20 : 20 + kept], one)
