"""OpenFlow 1.3 rules as plain frozen nouns, and the file that carries them to a controller.

Nothing here knows a controller framework or a switch. The names of match fields are those of the
OXM fields of the OpenFlow Switch Specification 1.3.5, clause 7.2.3.7; all values are integers
(MAC and IP addresses too). A rule is a flow entry; 'flow' alone is not used for anything else.

All of `qnet.emulate.openflow` uses the standard library only, so that a controller in another
virtual environment can read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

FORMAT = "qnet-rules-1"

OWNER = 0x514E << 48
"""The upper 16 bits of the cookie of every rule of ours; a controller leaves all others alone."""

OWNER_MASK = 0xFFFF << 48

IN_PORT = 0xFFFFFFF8
TABLE = 0xFFFFFFF9
NORMAL = 0xFFFFFFFA
FLOOD = 0xFFFFFFFB
ALL = 0xFFFFFFFC
CONTROLLER = 0xFFFFFFFD
LOCAL = 0xFFFFFFFE
ANY = 0xFFFFFFFF

IPV4 = 0x0800
ARP = 0x0806
IPV6 = 0x86DD
MPLS = 0x8847
MPLS_MULTICAST = 0x8848
VLAN = 0x8100
VLAN_SERVICE = 0x88A8
LLDP = 0x88CC


class Field(NamedTuple):
    """One condition of a match: the field has this value, in the bits of the mask if any."""

    name: str
    value: int
    mask: int | None = None


Match = tuple[Field, ...]
"""Conditions that all hold, sorted by name."""


class Action(NamedTuple):
    """One action.

    `kind` is output, group, set_field, push_mpls, pop_mpls, push_vlan, pop_vlan, set_queue or
    other. `value` is the port, group, value, EtherType or queue; `text` the field of a set_field,
    or the whole of an action that is not known here.
    """

    kind: str
    value: int = 0
    text: str = ""


class Rule(NamedTuple):
    """One flow entry: what it matches and what becomes of the frame.

    `metadata` is (value, mask) of a Write-Metadata instruction. `why` says what the rule is for;
    it is no part of the rule on the switch.
    """

    table: int
    priority: int
    match: Match
    actions: tuple[Action, ...] = ()
    goto: int | None = None
    metadata: tuple[int, int] | None = None
    meter: int | None = None
    cookie: int = OWNER
    why: str = ""

    @property
    def key(self) -> tuple[int, int, Match]:
        """What tells one rule of a switch from another: OpenFlow 1.3.5 clause 6.4."""
        return self.table, self.priority, self.match

    @property
    def is_ours(self) -> bool:
        """Say whether the rule's cookie has our mark."""
        return self.cookie & OWNER_MASK == OWNER


class Bucket(NamedTuple):
    """Actions of one branch of a group; a fast-failover bucket lives while its port does."""

    actions: tuple[Action, ...]
    watch_port: int = ANY


class Group(NamedTuple):
    """A group: `kind` is all, indirect, fast_failover or select."""

    number: int
    kind: str
    buckets: tuple[Bucket, ...]
    why: str = ""


class Meter(NamedTuple):
    """A meter that drops what exceeds `rate_kbps`, after bursts of `burst_kbits`."""

    number: int
    rate_kbps: int
    burst_kbits: int
    why: str = ""


class Switch(NamedTuple):
    """Everything that one switch is told."""

    name: str
    datapath_id: int
    rules: tuple[Rule, ...] = ()
    groups: tuple[Group, ...] = ()
    meters: tuple[Meter, ...] = ()
    unread: tuple[str, ...] = ()
    """What it has beside that and qnet does not understand, in the words of ovs-ofctl."""


def match(**fields: int | tuple[int, int]) -> Match:
    """Build a match: match(in_port=1, metadata=(3, 0xFF))."""
    return tuple(
        Field(name, *value) if isinstance(value, tuple) else Field(name, value)
        for name, value in sorted(fields.items())
    )


def output(port: int) -> Action:
    """Send the frame as it is now to a port."""
    return Action("output", port)


def to_group(number: int) -> Action:
    """Hand a copy of the frame to a group."""
    return Action("group", number)


def set_field(name: str, value: int) -> Action:
    """Rewrite a header field."""
    return Action("set_field", value, name)


def push_mpls() -> Action:
    """Put a label in front of the payload: label 0, TC 0, TTL of the packet below."""
    return Action("push_mpls", MPLS)


def pop_mpls(ether_type: int) -> Action:
    """Take the outermost label off; what follows is of this EtherType."""
    return Action("pop_mpls", ether_type)


def show_mac(address: int) -> str:
    """Write a MAC address: show_mac(0x02514E000001) is '02:51:4e:00:00:01'."""
    return ":".join(f"{address >> shift & 0xFF:02x}" for shift in range(40, -1, -8))


def show_ipv4(address: int) -> str:
    """Write an IPv4 address: show_ipv4(0x0A000001) is '10.0.0.1'."""
    return ".".join(str(address >> shift & 0xFF) for shift in range(24, -1, -8))


def to_text(switches: Iterable[Switch]) -> str:
    """Write the rules file that a controller reads, the same bytes every time."""

    def lines() -> Iterator[str]:
        yield f'{{"format": "{FORMAT}", "switches": ['
        for index, switch in enumerate(switches):
            head = json.dumps({"name": switch.name, "datapath_id": switch.datapath_id})[1:-1]
            yield f"{',' if index else ''}{{{head}"
            for key, elements in (
                ("meters", switch.meters),
                ("groups", switch.groups),
                ("rules", switch.rules),
            ):
                inner = ",\n".join(json.dumps(one, separators=(",", ":")) for one in elements)
                yield f', "{key}": [\n{inner}]'
            yield "}"
        yield "]}\n"

    return "".join(lines())


def from_text(text: str) -> tuple[Switch, ...]:
    """Read what `to_text` wrote. Raises ValueError when it is something else."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not a rules file: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"not a rules file: its format is not '{FORMAT}'")
    try:
        return tuple(
            Switch(
                one["name"],
                one["datapath_id"],
                tuple(_rule(rule) for rule in one["rules"]),
                tuple(_group(group) for group in one["groups"]),
                tuple(Meter(*meter) for meter in one["meters"]),
            )
            for one in data["switches"]
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"not a rules file: {error!r} in its switches") from error


def _actions(values: list[Any]) -> tuple[Action, ...]:
    return tuple(Action(*value) for value in values)


def _rule(values: list[Any]) -> Rule:
    table, priority, fields, actions, goto, metadata, meter, cookie, why = values
    return Rule(
        table,
        priority,
        tuple(Field(*field) for field in fields),
        _actions(actions),
        goto,
        None if metadata is None else (metadata[0], metadata[1]),
        meter,
        cookie,
        why,
    )


def _group(values: list[Any]) -> Group:
    number, kind, buckets, why = values
    return Group(number, kind, tuple(Bucket(_actions(one), port) for one, port in buckets), why)
