"""Whether a frame is the one that is expected: byte for byte, but for what does not matter.

Frames are bytes or scapy's objects. Scapy is loaded only where one of its objects, or the name of
one of its fields, is given.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, SupportsBytes

from qnet.emulate.frames.packets import SHORTEST_BYTES
from qnet.emulate.openflow.frame import FrameHeaders, read_frame
from qnet.emulate.openflow.nouns import show_mac
from qnet.emulate.openflow.text import show_value
from qnet.errors import EnvironmentMissing, QnetError

Frame = bytes | SupportsBytes
"""Bytes from the destination address on, without check sequence, or an Ether of scapy."""

Ignored = str | range
"""A field, as in 'IP.ttl', or places of bytes from the start of the frame."""

WORKED_OUT = ("chksum", "cksum", "len", "plen", "ihl", "dataofs")
"""Fields that scapy works out from others."""

LINES_SHOWN = 12
"""Of what differs between two frames."""

BYTES_SHOWN = 16


class NoFrame(QnetError):
    """What is given as a frame, or as a part of one to ignore, is none."""

    exit_code = 2


def frame_bytes(frame: Frame) -> bytes:
    """Return a frame as bytes; raises NoFrame for what is none, or an IP packet without Ether."""
    if isinstance(frame, (bytes, bytearray, memoryview)):
        return bytes(frame)
    name = type(frame).__name__
    if not hasattr(frame, "fields_desc"):
        raise NoFrame(f"{name} is no frame: give bytes, or an Ether of scapy")
    if name not in ("Ether", "Dot3"):
        raise NoFrame(f"a frame begins with Ether, not with {name}: Ether(...)/{name}(...)")
    return bytes(frame)


class Likeness:
    """A frame that is expected, and what of it may be otherwise."""

    def __init__(self, frame: Frame, ignore: Sequence[Ignored] = ()) -> None:
        """Prepare to compare; raises NoFrame where `ignore` names what the frame does not have."""
        self.data = frame_bytes(frame)
        self.ignore = (ignore,) if isinstance(ignore, (str, range)) else tuple(ignore)
        names = [one for one in self.ignore if isinstance(one, str)]
        self._places = {place for one in self.ignore if isinstance(one, range) for place in one}
        self._fields = [tuple(one.partition(".")[::2]) for one in names]
        self._kind: Any = None
        is_raw = isinstance(frame, (bytes, bytearray, memoryview))
        if names or not is_raw:
            self._kind = _ether() if is_raw else type(frame)
            self._check(names)

    def _check(self, names: Sequence[str]) -> None:
        there = [f"{one.__class__.__name__}.{name}" for one, name in _fields(self._read(self.data))]
        for name in names:
            if name not in there:
                close = difflib.get_close_matches(name, there, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(there)}"
                raise NoFrame(f"ignore: the expected frame has no {name!r}; {hint}")

    def differences(self, data: bytes) -> tuple[str, ...]:
        """Say in what a frame is another one than that expected; nothing where it is that."""
        if self._kind is None:
            if self._same(self.data, data):
                return ()
            listed = [*_headers_apart(self.data, data)]
            return tuple(listed or self._bytes_apart(self.data, data))
        want, came = self._read(self.data), self._read(self._without_ignored(data))
        if self._same(self.data, bytes(came)):
            return ()
        return (*_layers_apart(want, came),) or self._bytes_apart(self.data, bytes(came))

    def _same(self, one: bytes, other: bytes) -> bool:
        one, other = _padded(one), _padded(other)
        return len(one) == len(other) and not self._apart(one, other)

    def _apart(self, one: bytes, other: bytes) -> list[int]:
        places = range(min(len(one), len(other)))
        return [at for at in places if one[at] != other[at] and at not in self._places]

    def _bytes_apart(self, one: bytes, other: bytes) -> tuple[str, ...]:
        apart = self._apart(_padded(one), _padded(other))
        if not apart:
            return (f"length: expected {len(one)} bytes, came {len(other)}",)
        at = apart[0]
        first, second = (two[at : at + BYTES_SHOWN].hex(" ") or "nothing" for two in (one, other))
        return (f"bytes from {at} on: expected {first}, came {second}",)

    def _read(self, data: bytes) -> Any:
        return self._kind(data)

    def _without_ignored(self, data: bytes) -> bytes:
        """Return a frame with all fields that do not matter as expected.

        What follows from them, sums and lengths, follows again where it did before.
        """
        if not self._fields:
            return data
        want, came = self._read(self.data), self._read(data)
        honest = self._worked_out(data)
        wanted = {(*key,): value for key, value in _values(want, self._fields)}
        for (place, name), _ in list(_values(came, self._fields)):
            if (place, name) in wanted:
                _layer(came, place).setfieldval(name, wanted[place, name])
        for place, name in honest:
            _layer(came, place).delfieldval(name)
        return bytes(came)

    def _worked_out(self, data: bytes) -> list[tuple[int, str]]:
        """Return places of layers, and fields of theirs, that are what scapy would work out."""
        came, again = self._read(data), self._read(data)
        found = [
            (place, field.name)
            for place, layer in enumerate(_layers(came))
            for field in layer.fields_desc
            if field.name in WORKED_OUT
        ]
        for place, name in found:
            _layer(again, place).delfieldval(name)
        again = self._read(bytes(again))
        layers, others = list(_layers(came)), list(_layers(again))
        return [
            (place, name)
            for place, name in found
            if place < len(others)
            and type(layers[place]) is type(others[place])
            and layers[place].getfieldval(name) == others[place].getfieldval(name)
        ]


def show_frame(data: bytes) -> str:
    """Say in one line what a frame is: addresses, tags, labels, what is inside and its length."""
    try:
        frame = read_frame(data)
    except ValueError:
        return f"{data[:BYTES_SHOWN].hex(' ')} ..., {len(data)} bytes"
    inner = dict(frame.inner)
    words = [f"{show_mac(frame.eth_src)} > {show_mac(frame.eth_dst)}"]
    words += [f"VLAN {tag.identifier} priority {tag.priority}" for tag in frame.tags]
    words += [f"label {one.label} TC {one.traffic_class}" for one in frame.labels]
    words += [f"type 0x{frame.ether_type:04x}"]
    words += [f"{name}={show_value(name, value)}" for name, value in inner.items()]
    return ", ".join([*words, f"{len(data)} bytes"])


def _ether() -> Any:
    try:
        from scapy.layers.l2 import Ether  # noqa: PLC0415
    except ImportError:
        raise EnvironmentMissing(
            "fields that do not matter are scapy's: pip install 'qnet-emulator[emulate]'"
        ) from None
    return Ether


def _padded(data: bytes) -> bytes:
    """Fill up a frame to the shortest that there is, as a wire does."""
    return data.ljust(SHORTEST_BYTES, b"\0")


def _layers(packet: Any) -> Iterator[Any]:
    """Give the layers of a scapy packet, outermost first."""
    while packet.__class__.__name__ not in ("NoPayload", "NoneType"):
        yield packet
        packet = packet.payload


def _layer(packet: Any, place: int) -> Any:
    return list(_layers(packet))[place]


def _fields(packet: Any) -> Iterator[tuple[Any, str]]:
    for layer in _layers(packet):
        for field in layer.fields_desc:
            yield layer, field.name


def _values(
    packet: Any, fields: Sequence[tuple[str, ...]]
) -> Iterator[tuple[tuple[int, str], Any]]:
    """Give place, name and value of the named fields that a packet has."""
    for place, layer in enumerate(_layers(packet)):
        for kind, name in fields:
            if layer.__class__.__name__ == kind and name in {one.name for one in layer.fields_desc}:
                yield (place, name), layer.getfieldval(name)


def _layers_apart(want: Any, came: Any) -> Iterator[str]:
    """Say which fields of two scapy packets differ, down to the first layer of another kind."""
    wanted, got = list(_layers(want)), list(_layers(came))
    for one, other in zip(wanted, got, strict=False):
        kind, found = one.__class__.__name__, other.__class__.__name__
        if kind != found:
            yield f"expected {kind}, came {found}"
            return
        for field in one.fields_desc:
            value, came_value = one.getfieldval(field.name), other.getfieldval(field.name)
            if value != came_value:
                words = (field.i2repr(one, value), field.i2repr(other, came_value))
                yield f"{kind}.{field.name}: expected {_short(words[0])}, came {_short(words[1])}"
    for one in wanted[len(got) :]:
        yield f"expected {one.__class__.__name__}, came nothing more"
    for one in got[len(wanted) :]:
        yield f"expected nothing more, came {one.__class__.__name__}"


def _short(words: str) -> str:
    return words if len(words) <= 60 else f"{words[:57]}..."


def _headers_apart(want: bytes, came: bytes) -> Iterator[str]:
    """Say which header fields of two frames differ, by their names in OpenFlow."""
    one, other = _read(want), _read(came)
    if one is None or other is None:
        return
    wanted, got = one.fields(), other.fields()
    for name in dict.fromkeys([*wanted, *got]):
        if wanted.get(name) != got.get(name):
            values = (
                show_value(name, two[name]) if name in two else "none" for two in (wanted, got)
            )
            yield "{}: expected {}, came {}".format(name, *values)


def _read(data: bytes) -> FrameHeaders | None:
    try:
        return read_frame(data)
    except ValueError:
        return None
