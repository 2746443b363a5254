"""Faults planted in controllers, and how each is found: `python -m tests.emulate.planted [PYTHON]`.

One network keeps seven promises by the rules of `wanted`, laid by the shipped reservation app or by
Ryu's ofctl_rest (PYTHON is that of its environment). For each fault a promise is tried, by the
means that tests of users have, and what the failed test says has to name the switch and the entry
that is to blame.
"""

from __future__ import annotations

import re
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser

from qnet.emulate.openflow.nouns import show_mac
from qnet.model.emulation import Tier
from tests.emulate.promised import (
    COPIES,
    HANDS,
    LABEL,
    LABELLED,
    METERED,
    NEXT,
    PROMISES,
    TAG,
    TAGGED,
    WAYS,
    A,
    B,
    Bench,
    C,
    D,
    alone,
    bench,
    isolation,
    label,
    lasting,
    lay,
    rate,
    reach,
    tables,
    tag,
    tried,
    twice,
    way_round,
    withdrawn,
)
from tests.emulate.spoiler import Fault, as_it_is, flow

# Faults


class Planted(NamedTuple):
    """A fault, the promise that it breaks, and what has to be named."""

    fault: Fault
    promise: Callable[[Bench], None]
    switch: str
    entry: str
    """A pattern of the entry, group or meter."""


def matches(mod: Any, **fields: object) -> bool:
    return all(mod.match.get(name) == value for name, value in fields.items())


def applied(mod: Any) -> list[Any]:
    return next((one.actions for one in mod.instructions if hasattr(one, "actions")), [])


def of_entry(at: int, change: Callable[[Any], None], **fields: object) -> Fault:
    """Change the entry of a datapath that matches these fields, when it is added."""

    def spoil(datapath: int, mod: Any) -> list[tuple[int, Any]] | None:
        if datapath != at or mod.command != of.OFPFC_ADD or not matches(mod, **fields):
            return None
        change(mod)
        return [(datapath, mod)]

    return flow(spoil)


def swallowed(
    at: int, fields: Mapping[str, object], *, elsewhere: int = 0, command: Sequence[int] = (0,)
) -> Fault:
    """Lose entries that match these fields, or tell another switch of them."""

    def spoil(datapath: int, mod: Any) -> list[tuple[int, Any]] | None:
        if datapath != at or mod.command not in command or not matches(mod, **fields):
            return None
        return [(elsewhere, mod)] if elsewhere else []

    return flow(spoil)


def of_bytes(kind: int, at: int, change: Callable[[bytearray], bytearray]) -> Fault:
    """Change messages of a kind to a datapath, byte by byte."""

    def fault(datapath: int, message: bytes) -> list[tuple[int, bytes]]:
        if message[1] != kind or datapath != at:
            return [(datapath, message)]
        made = change(bytearray(message))
        made[2:4] = struct.pack("!H", len(made))
        return [(datapath, bytes(made))]

    return fault


def out(*ports: int) -> Callable[[Any], None]:
    """Have an entry send by other ports."""

    def change(mod: Any) -> None:
        actions = applied(mod)
        kept = [one for one in actions if not isinstance(one, parser.OFPActionOutput)]
        actions[:] = [*kept, *(parser.OFPActionOutput(port) for port in ports)]

    return change


def rewritten(**values: object) -> Callable[[Any], None]:
    """Have an entry set a field to another value, or one that it is not to touch."""

    def change(mod: Any) -> None:
        ((name, value),) = values.items()
        actions = applied(mod)
        found = [one for one in actions if getattr(one, "key", "") == name]
        made = parser.OFPActionSetField(**{name: value})
        actions[:] = [made if one in found else one for one in actions]
        if not found:
            actions.insert(0, made)

    return change


def without(kind: str) -> Callable[[Any], None]:
    """Take actions of a kind out of an entry."""

    def change(mod: Any) -> None:
        actions = applied(mod)
        actions[:] = [one for one in actions if type(one).__name__ != kind]

    return change


def steps_without(kind: str) -> Callable[[Any], None]:
    """Take instructions of a kind out of an entry."""

    def change(mod: Any) -> None:
        mod.instructions = [one for one in mod.instructions if type(one).__name__ != kind]

    return change


def with_(**values: object) -> Callable[[Any], None]:
    """Change the entry itself: priority, timeouts, table."""

    def change(mod: Any) -> None:
        for name, value in values.items():
            setattr(mod, name, value)

    return change


def matching(**fields: object) -> Callable[[Any], None]:
    """Have an entry match other values, or more."""

    def change(mod: Any) -> None:
        mod.match = parser.OFPMatch(**{**dict(mod.match.items()), **fields})

    return change


def first_bucket_only(group: int) -> Callable[[bytearray], bytearray]:
    def change(message: bytearray) -> bytearray:
        if struct.unpack("!I", message[12:16])[0] != group:
            return message
        return message[: 16 + struct.unpack("!H", message[16:18])[0]]

    return change


def group_kind(group: int, kind: int) -> Callable[[bytearray], bytearray]:
    def change(message: bytearray) -> bytearray:
        if struct.unpack("!I", message[12:16])[0] == group:
            message[10] = kind
        return message

    return change


def low_rate(message: bytearray) -> bytearray:
    message[20:28] = struct.pack("!II", 1, 1)
    return message


def mac_of(number: int) -> str:
    return show_mac(0x0251_4800_0000 | number)


TO_A, TO_C = {"eth_dst": mac_of(A)}, {"eth_dst": mac_of(C)}
FROM_D = {"in_port": 1, "eth_dst": None}
"""d's own host; nothing else that is said of port 1 there."""

FAULTS: dict[str, Planted] = {
    "wrong port": Planted(
        of_entry(B, out(1), **TO_C), reach, "b", r"dl_dst=02:51:48:00:00:03.*output:1"
    ),
    "loop": Planted(
        of_entry(B, out(of.OFPP_IN_PORT), **TO_C), reach, "b", r"dl_dst=02:51:48:00:00:03.*IN_PORT"
    ),
    "copy to a third": Planted(
        of_entry(B, out(NEXT, 1), **TO_C), alone, "b", r"dl_dst=02:51:48:00:00:03.*output:1"
    ),
    "flooded": Planted(
        of_entry(C, out(of.OFPP_FLOOD), **TO_A), reach, "c", r"dl_dst=02:51:48:00:00:01.*FLOOD"
    ),
    "entry missing": Planted(
        swallowed(C, TO_A), reach, "c", r"no entry matches"
    ),
    "entry on another switch": Planted(
        swallowed(B, TO_A, elsewhere=D), reach, "b", r"no entry matches"
    ),
    "entry refused": Planted(
        of_entry(B, out(0xFFFFFF77), **TO_C), reach, "b", r"bad.action|BAD_OUT_PORT|bad_out_port"
    ),
    "drop where it goes on": Planted(
        of_entry(B, out(), **TO_C), reach, "b", r"dl_dst=02:51:48:00:00:03.*drop"
    ),
    "hard timeout": Planted(
        of_entry(B, with_(hard_timeout=1), **TO_C), lasting, "b", r"no entry matches"
    ),
    "wrong label": Planted(
        of_entry(A, rewritten(mpls_label=LABEL + 1), eth_dst=show_mac(LABELLED)),
        label, "a", r"set_field:101->mpls_label|set_mpls_label\(101\)",
    ),
    "wrong port in": Planted(
        of_entry(B, matching(in_port=9), mpls_label=LABEL), label, "b", r"no entry matches"
    ),
    "label not taken off": Planted(
        of_entry(C, without("OFPActionPopMpls"), mpls_label=LABEL), label, "c", r"mpls_label=100"
    ),
    "source rewritten": Planted(
        of_entry(B, rewritten(eth_src="02:00:00:00:00:99"), mpls_label=LABEL),
        label, "b", r"02:00:00:00:00:99",
    ),
    "bucket missing": Planted(
        of_bytes(of.OFPT_GROUP_MOD, A, first_bucket_only(COPIES)), twice, "a", r"group:2|group_id=2"
    ),
    "group of another type": Planted(
        of_bytes(of.OFPT_GROUP_MOD, A, group_kind(COPIES, of.OFPGT_SELECT)),
        twice, "a", r"group:2|group_id=2",
    ),
    "standby bucket missing": Planted(
        of_bytes(of.OFPT_GROUP_MOD, A, first_bucket_only(WAYS)),
        way_round, "a", r"group:1|group_id=1",
    ),
    "meter too low": Planted(
        of_bytes(of.OFPT_METER_MOD, A, low_rate), rate, "a", r"meter:7|meter=7"
    ),
    "meter left out": Planted(
        of_entry(A, steps_without("OFPInstructionMeter"), eth_dst=show_mac(METERED)),
        tables, "a", r"00:00:00:00:01:03|02:00:00:00:01:03",
    ),
    "wrong VLAN": Planted(
        of_entry(A, rewritten(vlan_vid=0x1000 | 11), metadata=(TAG, 0xFF)), tag, "a", r"vlan"
    ),
    "table not gone to": Planted(
        of_entry(A, steps_without("OFPInstructionGotoTable"), eth_dst=show_mac(TAGGED)),
        tag, "a", r"02:00:00:00:01:04",
    ),
    "wrong metadata": Planted(
        of_entry(A, matching(metadata=(TAG + 1, 0xFF)), metadata=(TAG, 0xFF)),
        tag, "a", r"no entry matches",
    ),
    "leak by IPv6": Planted(
        of_entry(D, matching(eth_type=0x0800), **FROM_D),
        isolation, "d", r"dl_dst=02:51:48:00:00:01",
    ),
    "priority inverted": Planted(
        of_entry(D, with_(priority=1), **FROM_D), isolation, "d", r"dl_dst=02:51:48:00:00:01"
    ),
    "stale entry": Planted(
        swallowed(
            A, {"eth_dst": show_mac(LABELLED)}, command=(of.OFPFC_DELETE, of.OFPFC_DELETE_STRICT)
        ),
        withdrawn, "a", r"02:00:00:00:01:01",
    ),
}  # fmt: skip


def blamed(words: str, one: Planted) -> bool:
    """Say whether a failed test names switch and entry."""
    return bool(
        re.search(rf"\b{one.switch}\b", words) and re.search(one.entry, words, re.IGNORECASE)
    )


def found(one: Bench, planted: Planted) -> str:
    """Plant a fault and return what the test of its promise says, or '' where it is not found.

    What is said without the name of switch and entry begins with "not named".
    """
    lay(one, planted.fault)
    words = tried(one, planted.promise)
    return words if not words or blamed(words, planted) else f"not named: {words}"


def main(python: str = ".venv-ryu/bin/python") -> int:
    """Plant all faults in both controllers and tiers, and say what was found of each."""
    missed = 0
    tiers: tuple[Tier, ...] = ("lockstep", "mininet")
    for hand, tier in product(HANDS, tiers):
        with TemporaryDirectory() as folder, bench(hand, tier, Path(folder), python) as one:
            lay(one, as_it_is)
            for promise in PROMISES:
                words = tried(one, promise)
                missed += bool(words)
                say(f"{hand} {tier}, as it is: {promise.__name__}: {words or 'kept'}")
            for name, planted in FAULTS.items():
                begun = time.monotonic()
                words = found(one, planted)
                named = bool(words) and not words.startswith("not named")
                missed += not named
                took = f"{time.monotonic() - begun:.1f} s"
                say(f"{hand} {tier}, {name}: {'named' if named else words or 'missed'}, {took}")
    return missed


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) > 0)
