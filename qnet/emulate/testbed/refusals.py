"""A switch that refuses entries: the relay answers in its place, and it never sees them.

Open vSwitch takes every entry that is right, so the refusal is made on the way: the controller gets
the error that a switch would send (OFPET_FLOW_MOD_FAILED, OFPFMFC_EPERM). Entries in a bundle
(OFPT_BUNDLE_ADD_MESSAGE) are passed on. Layouts: OpenFlow Switch Specification 1.0.0, clauses 5.3.3
and 5.4.4, and 1.5.1, clauses 7.3.4.2 and 7.5.4.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

from qnet.emulate.openflow.reading import Cutter, kind_of

ERROR = 1
PERMISSION = {1: (3, 2)}
"""OFPET_FLOW_MOD_FAILED and OFPFMFC_EPERM of version 1.0 on the wire; later ones have 5 and 4."""

PERMISSION_LATER = (5, 4)
QUOTED_BYTES = 0xFFFF - 12
"""Of the message that is refused, at most; 64 are the least (clause 7.5.4)."""

HEADER_BYTES = 8


class RefusedRule(NamedTuple):
    """An entry that was refused: when, on the monotonic clock, by which switch, in which message.

    `again_s` is the time after which it was sent once more, None where it was not.
    """

    time_s: float
    switch: str
    message: bytes
    again_s: float | None = None


class RuleRefusals:
    """Refuses each new entry of one switch once; a `qnet.emulate.process.relay.Sieve`.

    Connections that began before the sieve was put in are passed on uncut: where their messages
    begin is not known.
    """

    def __init__(self, connections: int) -> None:
        self._before = connections
        self._cutters: dict[tuple[int, bool], Cutter] = {}
        self._switch = ""
        self._refused: dict[bytes, RefusedRule] = {}

    def begin(self, switch: str) -> None:
        """Refuse what is said to this switch from now on."""
        self._refused = {}
        self._switch = switch

    def end(self) -> None:
        """Refuse nothing any more."""
        self._switch = ""

    @property
    def refused(self) -> tuple[RefusedRule, ...]:
        """What was refused since `begin`."""
        return tuple(self._refused.values())

    def sift(
        self, switch: str, connection: int, from_switch: bool, data: bytes
    ) -> tuple[bytes, bytes]:
        """Return what of the bytes is passed on, whole messages, and what is answered."""
        if connection <= self._before:
            return data, b""
        cutter = self._cutters.setdefault((connection, from_switch), Cutter())
        messages = cutter.cut(data)
        if from_switch or switch != self._switch:
            return b"".join(messages), b""
        passed, answers = [], []
        for one in messages:
            if self._takes(one):
                passed.append(one)
            else:
                answers.append(permission_error(one))
        return b"".join(passed), b"".join(answers)

    def _takes(self, message: bytes) -> bool:
        """Tell whether a message is passed on: an entry is when it is sent once more."""
        if not adds_entry(message):
            return True
        now, entry = time.monotonic(), message[HEADER_BYTES:]
        before = self._refused.get(entry)
        if before is None:
            self._refused[entry] = RefusedRule(now, self._switch, message)
            return False
        if before.again_s is None:
            self._refused[entry] = before._replace(again_s=now - before.time_s)
        return True


class RefusingSwitch:
    """A switch that refuses each new entry of each of its controllers once."""

    def __init__(self, sieves: Sequence[RuleRefusals]) -> None:
        self._sieves = sieves

    def begin(self, switch: str) -> None:
        """Refuse what is said to this switch from now on."""
        for one in self._sieves:
            one.begin(switch)

    def end(self) -> None:
        """Refuse nothing any more."""
        for one in self._sieves:
            one.end()

    @property
    def refused(self) -> tuple[RefusedRule, ...]:
        """What was refused since `begin`, in that order."""
        return tuple(sorted(rule for one in self._sieves for rule in one.refused))


def adds_entry(message: bytes) -> bool:
    """Tell whether a message adds an entry to a table (OFPFC_ADD)."""
    if kind_of(message) != "flow-mod":
        return False
    command = message[56:58] if message[0] == 1 else message[25:26]
    return not any(command)


def permission_error(message: bytes) -> bytes:
    """Return the error by which a switch says that it has no permission to take an entry."""
    version, _, _, xid = struct.unpack_from("!BBHI", message)
    quoted = message[:QUOTED_BYTES]
    kind, code = PERMISSION.get(version, PERMISSION_LATER)
    return struct.pack("!BBHIHH", version, ERROR, 12 + len(quoted), xid, kind, code) + quoted
