"""What a switch answers, in the framework's objects, as the plain rules of qnet."""

from __future__ import annotations

import ipaddress
from typing import Any

from compat import parser

from qnet.emulate.openflow.messages import GROUP_TYPES
from qnet.emulate.openflow.nouns import Action, Bucket, Field, Group, Meter, Rule

_KIND_OF_GROUP = {number: kind for kind, number in GROUP_TYPES.items()}

_MACS = {"eth_dst", "eth_src", "arp_sha", "arp_tha", "ipv6_nd_sll", "ipv6_nd_tll"}


def _inward(name: str, value: int | str) -> int:
    if isinstance(value, int):
        return value
    if name in _MACS:
        return int(value.replace(":", ""), 16)
    return int(ipaddress.ip_address(value))


def read_rule(stats: Any) -> Rule:
    """Read one entry of a flow statistics reply."""
    actions: list[Action] = []
    goto = metadata = meter = None
    for one in stats.instructions:
        if isinstance(one, parser.OFPInstructionActions):
            actions += [_read_action(action) for action in one.actions]
        elif isinstance(one, parser.OFPInstructionWriteMetadata):
            metadata = (one.metadata, one.metadata_mask)
        elif isinstance(one, parser.OFPInstructionGotoTable):
            goto = one.table_id
        elif isinstance(one, parser.OFPInstructionMeter):
            meter = one.meter_id
    found = tuple(_read_field(name, value) for name, value in sorted(stats.match.items()))
    return Rule(
        stats.table_id, stats.priority, found, tuple(actions), goto, metadata, meter, stats.cookie
    )


def _read_field(name: str, value: Any) -> Field:
    if isinstance(value, tuple):
        return Field(name, _inward(name, value[0]), _inward(name, value[1]))
    return Field(name, _inward(name, value))


def _read_action(one: Any) -> Action:
    if isinstance(one, parser.OFPActionSetField):
        return Action("set_field", _inward(one.key, one.value), one.key)
    kinds = {
        parser.OFPActionOutput: ("output", "port"),
        parser.OFPActionGroup: ("group", "group_id"),
        parser.OFPActionPushMpls: ("push_mpls", "ethertype"),
        parser.OFPActionPopMpls: ("pop_mpls", "ethertype"),
        parser.OFPActionPushVlan: ("push_vlan", "ethertype"),
        parser.OFPActionSetQueue: ("set_queue", "queue_id"),
    }
    if isinstance(one, parser.OFPActionPopVlan):
        return Action("pop_vlan")
    kind, name = kinds.get(type(one), ("other", ""))
    return Action(kind, getattr(one, name)) if name else Action("other", 0, str(one))


def read_group(stats: Any) -> Group:
    """Read one entry of a group description reply."""
    return Group(
        stats.group_id,
        _KIND_OF_GROUP[stats.type],
        tuple(
            Bucket(tuple(_read_action(action) for action in one.actions), one.watch_port)
            for one in stats.buckets
        ),
    )


def read_meter(stats: Any) -> Meter:
    """Read one entry of a meter configuration reply."""
    band = stats.bands[0]
    return Meter(stats.meter_id, band.rate, band.burst_size)
