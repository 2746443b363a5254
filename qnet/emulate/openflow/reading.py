"""OpenFlow messages of any version as they go by: where each ends, its kind, the frame in it.

What a message says in full is for `ovs-ofctl ofp-parse` and tshark. Layouts: OpenFlow Switch
Specification 1.0.0 and 1.5.1, clauses 5.1 and 7.1, 7.3.6, 7.4.1. Standard library only.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

HEADER_BYTES = 8
NEWEST = 6
"""Version 1.5 on the wire."""

_SAME = {
    0: "hello",
    1: "error",
    2: "echo-request",
    3: "echo-reply",
    4: "experimenter",
    5: "features-request",
    6: "features-reply",
    7: "get-config-request",
    8: "get-config-reply",
    9: "set-config",
    10: "packet-in",
    11: "flow-removed",
    12: "port-status",
    13: "packet-out",
    14: "flow-mod",
}
_FIRST = {
    **_SAME,
    15: "port-mod",
    16: "stats-request",
    17: "stats-reply",
    18: "barrier-request",
    19: "barrier-reply",
    20: "queue-get-config-request",
    21: "queue-get-config-reply",
}
_LATER = {
    **_SAME,
    15: "group-mod",
    16: "port-mod",
    17: "table-mod",
    18: "multipart-request",
    19: "multipart-reply",
    20: "barrier-request",
    21: "barrier-reply",
    22: "queue-get-config-request",
    23: "queue-get-config-reply",
    24: "role-request",
    25: "role-reply",
    26: "get-async-request",
    27: "get-async-reply",
    28: "set-async",
    29: "meter-mod",
    30: "role-status",
    31: "table-status",
    32: "request-forward",
    33: "bundle-control",
    34: "bundle-add",
    35: "controller-status",
}

GARBAGE = "no OpenFlow"
"""Kind of bytes that are no message, and of all that follow them."""

_IN_PORT = 0x80000000
"""OXM of the basic class, field 0, four bytes (first half of the header)."""


class Cutter:
    """Cuts what comes over one connection in one direction into messages."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._lost = False

    def cut(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now; after what is none, bytes as they come."""
        if self._lost:
            return [data]
        self._rest += data
        found = []
        while len(self._rest) >= HEADER_BYTES:
            length = int.from_bytes(self._rest[2:4], "big")
            if length < HEADER_BYTES or kind_of(bytes(self._rest[:2])) == GARBAGE:
                self._lost = True
                found.append(bytes(self._rest))
                self._rest.clear()
                break
            if len(self._rest) < length:
                break
            found.append(bytes(self._rest[:length]))
            del self._rest[:length]
        return found


def kind_of(message: bytes) -> str:
    """Return what a message is called in the specification, as in packet-in."""
    if len(message) < 2:
        return GARBAGE
    version, number = message[0], message[1]
    if number == 0 and version:
        return "hello"  # of any version, since that is what it is about
    if not 1 <= version <= NEWEST:
        return GARBAGE
    return (_FIRST if version == 1 else _LATER).get(number, GARBAGE)


class CarriedFrame(NamedTuple):
    """The frame in a packet-in or a packet-out, and the port by which it came into the switch."""

    in_port: int
    data: bytes


def packet_of(message: bytes) -> CarriedFrame | None:
    """Return the frame of a packet-in or packet-out; None of other messages and of version 1.1.

    The frame of a packet-in may be cut, and that of a packet-out be empty where the switch kept it.
    """
    kind = kind_of(message)
    try:
        if kind == "packet-in":
            return _packet_in(message)
        if kind == "packet-out":
            return _packet_out(message)
    except (struct.error, IndexError):  # it ends too soon
        pass
    return None


def _packet_in(message: bytes) -> CarriedFrame | None:
    if message[0] == 1:
        return CarriedFrame(int.from_bytes(message[14:16], "big"), message[18:])
    if message[0] == 2:
        return None
    at = 16 if message[0] == 3 else 24
    length = int.from_bytes(message[at + 2 : at + 4], "big")
    in_port = _in_port(message[at + 4 : at + length])
    return CarriedFrame(in_port, message[at + length + -length % 8 + 2 :])


def _packet_out(message: bytes) -> CarriedFrame | None:
    if message[0] == 1:
        in_port, length = struct.unpack_from("!HH", message, 12)
        return CarriedFrame(in_port, message[16 + length :])
    if message[0] == NEWEST:
        (length,) = struct.unpack_from("!H", message, 12)
        match = int.from_bytes(message[18:20], "big")
        in_port = _in_port(message[20 : 16 + match])
        return CarriedFrame(in_port, message[16 + match + -match % 8 + length :])
    in_port, length = struct.unpack_from("!IH", message, 12)
    return CarriedFrame(in_port, message[24 + length :])


def _in_port(fields: bytes) -> int:
    """Return the ingress port among the fields of a match; 0 where it is not there."""
    while len(fields) >= 4:
        (head,) = struct.unpack_from("!I", fields)
        size = head & 0xFF
        if head & 0xFFFFFE00 == _IN_PORT:
            return int.from_bytes(fields[4 : 4 + size], "big")
        fields = fields[4 + size :]
    return 0
