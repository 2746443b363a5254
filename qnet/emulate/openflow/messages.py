"""OpenFlow 1.3 messages as bytes: rules, groups and meters, ready for a controller to send.

A controller framework makes such a message from objects, some five thousand a second; this module
makes the same bytes many times as fast (docs/performance.md). What a switch answers is read by the
framework. Layouts: OpenFlow Switch Specification 1.3.5, clauses 7.2.3, 7.2.4, 7.2.5 and 7.3.4.
Standard library only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache

from qnet.emulate.openflow.nouns import (
    ANY,
    OWNER_MASK,
    Action,
    Bucket,
    Field,
    Group,
    Match,
    Meter,
    Rule,
)

VERSION = 4
FLOW_MOD, GROUP_MOD, METER_MOD = 14, 15, 29
NO_BUFFER = 0xFFFFFFFF
WHOLE_FRAME = 0xFFFF

# Number and bytes of each OXM field of the basic class (clause 7.2.3.7).
FIELDS: dict[str, tuple[int, int]] = {
    "in_port": (0, 4),
    "in_phy_port": (1, 4),
    "metadata": (2, 8),
    "eth_dst": (3, 6),
    "eth_src": (4, 6),
    "eth_type": (5, 2),
    "vlan_vid": (6, 2),
    "vlan_pcp": (7, 1),
    "ip_dscp": (8, 1),
    "ip_ecn": (9, 1),
    "ip_proto": (10, 1),
    "ipv4_src": (11, 4),
    "ipv4_dst": (12, 4),
    "tcp_src": (13, 2),
    "tcp_dst": (14, 2),
    "udp_src": (15, 2),
    "udp_dst": (16, 2),
    "sctp_src": (17, 2),
    "sctp_dst": (18, 2),
    "icmpv4_type": (19, 1),
    "icmpv4_code": (20, 1),
    "arp_op": (21, 2),
    "arp_spa": (22, 4),
    "arp_tpa": (23, 4),
    "arp_sha": (24, 6),
    "arp_tha": (25, 6),
    "ipv6_src": (26, 16),
    "ipv6_dst": (27, 16),
    "ipv6_flabel": (28, 4),
    "icmpv6_type": (29, 1),
    "icmpv6_code": (30, 1),
    "ipv6_nd_target": (31, 16),
    "ipv6_nd_sll": (32, 6),
    "ipv6_nd_tll": (33, 6),
    "mpls_label": (34, 4),
    "mpls_tc": (35, 1),
    "mpls_bos": (36, 1),
    "pbb_isid": (37, 3),
    "tunnel_id": (38, 8),
    "ipv6_exthdr": (39, 2),
}

GROUP_TYPES = {"all": 0, "select": 1, "indirect": 2, "fast_failover": 3}
_NUMBERED = {"group": 22, "set_queue": 21}
_TYPED = {"push_vlan": 17, "push_mpls": 19, "pop_mpls": 20}


class Command(IntEnum):
    """What to do with a rule, a group or a meter: add, change or take away."""

    ADD = 0
    CHANGE = 1
    DELETE = 2


_FLOW_COMMAND = {Command.ADD: 0, Command.CHANGE: 0, Command.DELETE: 4}
"""A rule is changed by adding it again, and only the very same one is deleted (strictly)."""


def encode(one: Rule | Group | Meter, command: Command, xid: int) -> bytes:
    """Return the message that does so; an error of the switch names `xid`.

    Raises ValueError for what OpenFlow 1.3 has no message for.
    """
    if isinstance(one, Rule):
        return _message(FLOW_MOD, xid, _flow(one, command))
    if isinstance(one, Group):
        buckets = b"" if command == Command.DELETE else b"".join(map(_bucket, one.buckets))
        head = struct.pack("!HBxI", command, GROUP_TYPES[one.kind], one.number)
        return _message(GROUP_MOD, xid, head + buckets)
    kbps_and_burst = 0b101
    head = struct.pack("!HHI", command, kbps_and_burst, one.number)
    band = struct.pack("!HHII4x", 1, 16, one.rate_kbps, one.burst_kbits)
    return _message(METER_MOD, xid, head + band)


def _message(kind: int, xid: int, body: bytes) -> bytes:
    return struct.pack("!BBHI", VERSION, kind, 8 + len(body), xid) + body


def _flow(rule: Rule, command: Command) -> bytes:
    head = struct.pack(
        "!QQBBHHHIIIHxx",
        rule.cookie,
        OWNER_MASK if command == Command.DELETE else 0,
        rule.table,
        _FLOW_COMMAND[command],
        0,
        0,
        rule.priority,
        NO_BUFFER,
        ANY,
        ANY,
        0,
    )
    parts = [head, _match(rule.match)]
    if command == Command.DELETE:
        return b"".join(parts)
    if rule.meter is not None:
        parts.append(struct.pack("!HHI", 6, 8, rule.meter))
    if rule.actions:
        actions = _actions(rule.actions)
        parts.append(struct.pack("!HH4x", 4, 8 + len(actions)) + actions)
    if rule.metadata is not None:
        parts.append(struct.pack("!HH4xQQ", 2, 24, *rule.metadata))
    if rule.goto is not None:
        parts.append(struct.pack("!HHB3x", 1, 8, rule.goto))
    return b"".join(parts)


def _match(fields: Match) -> bytes:
    """Encode conditions in the order of their numbers, which puts prerequisites first."""
    ordered = sorted(fields, key=lambda one: FIELDS[one.name])
    body = b"".join(map(_field, ordered))
    return _padded(struct.pack("!HH", 1, 4 + len(body)) + body)


@lru_cache(1 << 14)
def _field(one: Field) -> bytes:
    number, size = FIELDS[one.name]
    value = one.value.to_bytes(size, "big")
    mask = b"" if one.mask is None else one.mask.to_bytes(size, "big")
    head = struct.pack("!HBB", 0x8000, number << 1 | bool(mask), len(value) + len(mask))
    return head + value + mask


def _actions(actions: Iterable[Action]) -> bytes:
    return b"".join(map(_action, actions))


@lru_cache(1 << 14)
def _action(one: Action) -> bytes:
    if one.kind == "output":
        return struct.pack("!HHIH6x", 0, 16, one.value, WHOLE_FRAME)
    if one.kind == "set_field":
        body = _field(Field(one.text, one.value))
        length = 4 + len(body)
        return _padded(struct.pack("!HH", 25, length + -length % 8) + body)
    if one.kind in _TYPED:
        return struct.pack("!HHH2x", _TYPED[one.kind], 8, one.value)
    if one.kind in _NUMBERED:
        return struct.pack("!HHI", _NUMBERED[one.kind], 8, one.value)
    if one.kind == "pop_vlan":
        return struct.pack("!HH4x", 18, 8)
    raise ValueError(f"no OpenFlow 1.3 message for the action '{one.text or one.kind}'")


def _bucket(one: Bucket) -> bytes:
    actions = _actions(one.actions)
    return struct.pack("!HHII4x", 16 + len(actions), 0, one.watch_port, ANY) + actions


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)
