"""Rules of qnet as OpenFlow messages of the framework, and what a switch answers as rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from compat import ProtocolDesc, ofproto_v1_3, parser

from qnet.emulate.openflow import (
    OWNER_MASK,
    Action,
    Bucket,
    Field,
    Group,
    Meter,
    Rule,
    show_ipv4,
    show_mac,
)

PROTOCOL = ProtocolDesc(version=ofproto_v1_3.OFP_VERSION)
"""Stands for a datapath where messages are made before any switch is there."""

GROUP_KINDS = {
    "all": ofproto_v1_3.OFPGT_ALL,
    "select": ofproto_v1_3.OFPGT_SELECT,
    "indirect": ofproto_v1_3.OFPGT_INDIRECT,
    "fast_failover": ofproto_v1_3.OFPGT_FF,
}
_KIND_OF_GROUP = {number: kind for kind, number in GROUP_KINDS.items()}

_MACS = {"eth_dst", "eth_src", "arp_sha", "arp_tha", "ipv6_nd_sll", "ipv6_nd_tll"}
_IPV4S = {"ipv4_src", "ipv4_dst", "arp_spa", "arp_tpa"}
_IPV6S = {"ipv6_src", "ipv6_dst", "ipv6_nd_target"}


def _outward(name: str, value: int) -> int | str:
    if name in _MACS:
        return show_mac(value)
    if name in _IPV4S:
        return show_ipv4(value)
    return str(ipaddress.IPv6Address(value)) if name in _IPV6S else value


def _inward(name: str, value: int | str) -> int:
    if isinstance(value, int):
        return value
    if name in _MACS:
        return int(value.replace(":", ""), 16)
    return int(ipaddress.ip_address(value))


def _match(rule: Rule) -> Any:
    fields = {}
    for name, value, mask in rule.match:
        outward = _outward(name, value)
        fields[name] = outward if mask is None else (outward, _outward(name, mask))
    return parser.OFPMatch(**fields)


def _actions(actions: Iterable[Action]) -> list[Any]:
    return [_action(one) for one in actions]


def _action(one: Action) -> Any:
    if one.kind == "output":
        return parser.OFPActionOutput(one.value, ofproto_v1_3.OFPCML_NO_BUFFER)
    if one.kind == "set_field":
        return parser.OFPActionSetField(**{one.text: _outward(one.text, one.value)})
    if one.kind == "pop_vlan":
        return parser.OFPActionPopVlan()
    makers = {
        "group": parser.OFPActionGroup,
        "push_mpls": parser.OFPActionPushMpls,
        "pop_mpls": parser.OFPActionPopMpls,
        "push_vlan": parser.OFPActionPushVlan,
        "set_queue": parser.OFPActionSetQueue,
    }
    if one.kind not in makers:
        raise ValueError(f"no OpenFlow 1.3 message for the action {one}")
    return makers[one.kind](one.value)


def flow_mod(rule: Rule, command: int = ofproto_v1_3.OFPFC_ADD) -> Any:
    """Make the message that adds a rule, or takes it away with OFPFC_DELETE_STRICT."""
    instructions: list[Any] = []
    if rule.meter is not None:
        instructions.append(parser.OFPInstructionMeter(rule.meter))
    if rule.actions:
        apply = ofproto_v1_3.OFPIT_APPLY_ACTIONS
        instructions.append(parser.OFPInstructionActions(apply, _actions(rule.actions)))
    if rule.metadata is not None:
        instructions.append(parser.OFPInstructionWriteMetadata(*rule.metadata))
    if rule.goto is not None:
        instructions.append(parser.OFPInstructionGotoTable(rule.goto))
    return parser.OFPFlowMod(
        PROTOCOL,
        cookie=rule.cookie,
        cookie_mask=0 if command == ofproto_v1_3.OFPFC_ADD else OWNER_MASK,
        table_id=rule.table,
        command=command,
        priority=rule.priority,
        out_port=ofproto_v1_3.OFPP_ANY,
        out_group=ofproto_v1_3.OFPG_ANY,
        match=_match(rule),
        instructions=instructions,
    )


def group_mod(group: Group, command: int) -> Any:
    """Make the message that adds, changes or takes away a group."""
    buckets = [
        parser.OFPBucket(watch_port=one.watch_port, actions=_actions(one.actions))
        for one in group.buckets
    ]
    return parser.OFPGroupMod(PROTOCOL, command, GROUP_KINDS[group.kind], group.number, buckets)


def meter_mod(meter: Meter, command: int) -> Any:
    """Make the message that adds, changes or takes away a meter."""
    flags = ofproto_v1_3.OFPMF_KBPS | ofproto_v1_3.OFPMF_BURST
    band = parser.OFPMeterBandDrop(rate=meter.rate_kbps, burst_size=meter.burst_kbits)
    return parser.OFPMeterMod(PROTOCOL, command, flags, meter.number, [band])


def serialised(message: Any, xid: int) -> bytes:
    """Return the message's bytes; an error of the switch names `xid`."""
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


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
