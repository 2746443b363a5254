"""Rules in the words of ovs-ofctl: shown in messages, read back from what a switch has.

`ovs-ofctl -O OpenFlow13 --no-names dump-flows`, `dump-groups` and `dump-meters` give the texts that
are read here; see ovs-fields(7) and ovs-actions(7). Standard library only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from qnet.emulate.openflow.nouns import (
    ALL,
    ANY,
    ARP,
    CONTROLLER,
    FLOOD,
    IN_PORT,
    IPV4,
    IPV6,
    LOCAL,
    MPLS,
    MPLS_MULTICAST,
    NORMAL,
    TABLE,
    Action,
    Bucket,
    Field,
    Group,
    Meter,
    Rule,
    show_ipv4,
    show_mac,
)

_T = TypeVar("_T")

_PORTS: Mapping[int, str] = {
    IN_PORT: "IN_PORT",
    TABLE: "TABLE",
    NORMAL: "NORMAL",
    FLOOD: "FLOOD",
    ALL: "ALL",
    CONTROLLER: "CONTROLLER",
    LOCAL: "LOCAL",
    ANY: "ANY",
}
_PORT_NUMBERS = {name: number for number, name in _PORTS.items()}

_SHORT: Mapping[str, Mapping[str, int]] = {
    "ip": {"eth_type": IPV4},
    "ipv6": {"eth_type": IPV6},
    "arp": {"eth_type": ARP},
    "rarp": {"eth_type": 0x8035},
    "mpls": {"eth_type": MPLS},
    "mplsm": {"eth_type": MPLS_MULTICAST},
    "icmp": {"eth_type": IPV4, "ip_proto": 1},
    "tcp": {"eth_type": IPV4, "ip_proto": 6},
    "udp": {"eth_type": IPV4, "ip_proto": 17},
    "icmp6": {"eth_type": IPV6, "ip_proto": 58},
    "tcp6": {"eth_type": IPV6, "ip_proto": 6},
    "udp6": {"eth_type": IPV6, "ip_proto": 17},
    "sctp": {"eth_type": IPV4, "ip_proto": 132},
    "sctp6": {"eth_type": IPV6, "ip_proto": 132},
}

_NAMES: Mapping[str, str] = {
    "dl_dst": "eth_dst",
    "dl_src": "eth_src",
    "dl_type": "eth_type",
    "dl_vlan": "vlan_vid",
    "dl_vlan_pcp": "vlan_pcp",
    "nw_src": "ipv4_src",
    "nw_dst": "ipv4_dst",
    "nw_proto": "ip_proto",
    "nw_tos": "ip_dscp",
    "nw_ecn": "ip_ecn",
    "nd_target": "ipv6_nd_target",
    "nd_sll": "ipv6_nd_sll",
    "nd_tll": "ipv6_nd_tll",
    "ipv6_label": "ipv6_flabel",
    "tun_id": "tunnel_id",
    "arp_op": "arp_op",
    "icmp_type": "icmpv4_type",
    "icmp_code": "icmpv4_code",
}

_MACS = {"eth_dst", "eth_src", "arp_sha", "arp_tha", "ipv6_nd_sll", "ipv6_nd_tll"}
_IPV4S = {"ipv4_src", "ipv4_dst", "arp_spa", "arp_tpa"}
_IPV6S = {"ipv6_src", "ipv6_dst", "ipv6_nd_target"}
_IN_HEX = {"metadata", "eth_type", "vlan_vid", "tunnel_id", "ipv6_flabel"}
_KNOWN = {
    *_MACS,
    *_IPV4S,
    *_IPV6S,
    *_NAMES.values(),
    "in_port",
    "metadata",
    "vlan_vid",
    "mpls_label",
    "mpls_tc",
    "mpls_bos",
    "mpls_ttl",
    "tcp_src",
    "tcp_dst",
    "udp_src",
    "udp_dst",
    "sctp_src",
    "sctp_dst",
    "tunnel_id",
    "actset_output",
    "icmpv6_type",
    "icmpv6_code",
}
_VLAN_PRESENT = 0x1000
_VLAN_BITS = 0x1FFF
_PRIORITY_SHIFT = 13
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
_STATISTICS = {"duration", "n_packets", "n_bytes", "idle_age", "hard_age"}
_FLAGS = {"send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"}


def show(one: Rule | Group | Meter) -> str:
    """Write a rule, group or meter as ovs-ofctl takes it."""
    if isinstance(one, Meter):
        band = f"band=type=drop,rate={one.rate_kbps},burst_size={one.burst_kbits}"
        return f"meter={one.number},kbps,burst,{band}"
    if isinstance(one, Group):
        words = [f"group_id={one.number},type={one.kind.replace('fast_failover', 'ff')}"]
        for bucket in one.buckets:
            watch = "" if bucket.watch_port == ANY else f"watch_port:{bucket.watch_port},"
            words.append(f"bucket={watch}actions={show_actions(bucket.actions)}")
        return ",".join(words)
    head = f"cookie=0x{one.cookie:x},table={one.table},priority={one.priority}"
    conditions = "".join(f",{show_field(field)}" for field in one.match)
    return f"{head}{conditions},actions={_instructions(one)}"


def show_field(field: Field) -> str:
    """Write one condition of a match."""
    mask = "" if field.mask is None else f"/{show_value(field.name, field.mask)}"
    return f"{field.name}={show_value(field.name, field.value)}{mask}"


def show_value(name: str, value: int) -> str:
    """Write the value of a match field as people do."""
    if name in _MACS:
        return show_mac(value)
    if name in _IPV4S:
        return show_ipv4(value)
    if name in _IPV6S:
        return str(ipaddress.IPv6Address(value))
    return f"0x{value:x}" if name in _IN_HEX else str(value)


def show_actions(actions: Iterable[Action]) -> str:
    """Write a list of actions; an empty one drops the frame."""
    return ",".join(_action(one) for one in actions) or "drop"


def _action(one: Action) -> str:
    if one.kind == "set_field":
        return f"set_field:{show_value(one.text, one.value)}->{one.text}"
    if one.kind == "output":
        return _PORTS.get(one.value) or f"output:{one.value}"
    if one.kind in ("push_mpls", "pop_mpls", "push_vlan"):
        return f"{one.kind}:0x{one.value:04x}"
    if one.kind in ("group", "set_queue"):
        return f"{one.kind}:{one.value}"
    return one.text or one.kind


def _instructions(rule: Rule) -> str:
    words = [] if rule.meter is None else [f"meter:{rule.meter}"]
    words += [_action(one) for one in rule.actions]
    if rule.metadata is not None:
        value, mask = rule.metadata
        words.append(f"write_metadata:0x{value:x}" + ("" if mask == 2**64 - 1 else f"/0x{mask:x}"))
    if rule.goto is not None:
        words.append(f"goto_table:{rule.goto}")
    return ",".join(words) or "drop"


def read_flows(text: str, unread: list[str] | None = None) -> tuple[Rule, ...]:
    """Read `ovs-ofctl dump-flows`.

    A line that is not understood goes to `unread`; without it, raises ValueError with the line.
    """
    lines = (line.strip() for line in text.splitlines() if "actions=" in line)
    return _read_each(lines, _read_rule, unread)


def read_groups(text: str, unread: list[str] | None = None) -> tuple[Group, ...]:
    """Read `ovs-ofctl dump-groups`; what is not understood goes as in `read_flows`."""
    lines = (line.strip() for line in text.splitlines() if "group_id=" in line)
    return _read_each(lines, _read_group, unread)


def read_meters(text: str, unread: list[str] | None = None) -> tuple[Meter, ...]:
    """Read `ovs-ofctl dump-meters`; what is not understood goes as in `read_flows`."""
    blocks = (" ".join(block.split()) for block in re.split(r"(?=\bmeter=)", text))
    return _read_each((one for one in blocks if one.startswith("meter=")), _read_meter, unread)


def _read_each(
    lines: Iterable[str], read: Callable[[str], _T], unread: list[str] | None
) -> tuple[_T, ...]:
    found = []
    for line in lines:
        try:
            found.append(read(line))
        except ValueError as error:
            if unread is None:
                raise ValueError(f"cannot read: {line}: {error}") from error
            unread.append(line)
    return tuple(found)


def _read_meter(text: str) -> Meter:
    found = re.fullmatch(
        r"meter=(\d+) kbps[\w ]*bands?= ?type=drop rate=(\d+)(?: burst_size=(\d+))?", text
    )
    if found is None:
        raise ValueError("not a meter that drops at a rate in kbit/s")
    return Meter(int(found[1]), int(found[2]), int(found[3] or 0))


def _read_rule(line: str) -> Rule:
    head, _, tail = line.partition("actions=")
    cookie, table, priority = 0, 0, 0x8000
    fields: dict[str, Field] = {}
    for word in re.split(r"[,\s]+", head.strip(" ,")):
        name, _, value = word.partition("=")
        if name == "cookie":
            cookie = int(value, 0)
        elif name == "table":
            table = int(value)
        elif name == "priority":
            priority = int(value)
        elif name in _SHORT and not value:
            fields |= {key: Field(key, number) for key, number in _SHORT[name].items()}
        elif name == "vlan_tci":
            fields |= {field.name: field for field in _read_vlan(value)}
        elif name and name not in _STATISTICS | _FLAGS and not name.endswith("timeout"):
            field = _read_field(name, value, fields)
            fields[field.name] = field
    if "vlan_pcp" in fields:  # which implies a tag, of any VLAN where none is named
        fields.setdefault("vlan_vid", Field("vlan_vid", _VLAN_PRESENT, _VLAN_PRESENT))
    found = tuple(fields[name] for name in sorted(fields))
    return _read_instructions(Rule(table, priority, found, cookie=cookie), tail)


def _read_vlan(value: str) -> Iterator[Field]:
    """Read the bits of a VLAN tag as Open vSwitch has them: priority, presence and identifier."""
    text, _, given = value.partition("/")
    number, mask = int(text, 0), int(given, 0) if given else 0xFFFF
    bits = mask & _VLAN_BITS
    if bits:
        yield Field("vlan_vid", number & _VLAN_BITS, None if bits == _VLAN_BITS else bits)
    bits = mask >> _PRIORITY_SHIFT
    if bits:
        yield Field("vlan_pcp", number >> _PRIORITY_SHIFT, None if bits == 7 else bits)


def _read_field(name: str, value: str, known: Mapping[str, Field]) -> Field:
    protocol = known.get("ip_proto", Field("ip_proto", 0)).value
    if name in ("tp_src", "tp_dst"):
        name = _PROTOCOLS.get(protocol, "?") + name[2:]
    full = _NAMES.get(name, name)
    if protocol == 58 and name in ("icmp_type", "icmp_code"):
        full = full.replace("icmpv4", "icmpv6")
    if full not in _KNOWN:
        raise ValueError(f"the match field '{name}'")
    text, _, mask = value.partition("/")
    number = _read_value(full, text)
    if name == "dl_vlan":
        number |= _VLAN_PRESENT
    elif name == "nw_tos":
        number >>= 2
    if not mask:
        return Field(full, number)
    if full in _IPV4S | _IPV6S and mask.isdigit():
        bits = 32 if full in _IPV4S else 128
        return Field(full, number, (1 << bits) - (1 << bits - int(mask)))
    return Field(full, number, _read_value(full, mask))


def _read_value(name: str, text: str) -> int:
    if name in _MACS:
        return int(text.replace(":", ""), 16)
    if name in _IPV4S:
        return int(ipaddress.IPv4Address(text))
    if name in _IPV6S:
        return int(ipaddress.IPv6Address(text))
    if name == "in_port" and text in _PORT_NUMBERS:
        return _PORT_NUMBERS[text]
    return int(text, 0)


def _split(text: str) -> Iterator[str]:
    """Split at commas that are not inside parentheses."""
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _read_instructions(rule: Rule, text: str) -> Rule:
    actions: list[Action] = []
    for word in _split(text.strip()):
        name, _, value = word.partition(":")
        if name == "goto_table":
            rule = rule._replace(goto=int(value))
        elif name == "meter":
            rule = rule._replace(meter=int(value))
        elif name == "write_metadata":
            number, _, mask = value.partition("/")
            rule = rule._replace(metadata=(int(number, 0), int(mask, 0) if mask else 2**64 - 1))
        elif word and word != "drop":
            actions.append(_read_action(word))
    return rule._replace(actions=tuple(actions))


def _read_action(word: str) -> Action:
    name, _, value = word.partition(":")
    if name == "output" and value.isdigit():
        return Action("output", int(value))
    if name in _PORT_NUMBERS:
        return Action("output", _PORT_NUMBERS[name])
    if name in ("group", "set_queue", "push_mpls", "pop_mpls", "push_vlan"):
        return Action(name, int(value, 0))
    if name in ("pop_vlan", "strip_vlan"):
        return Action("pop_vlan")
    if name == "set_field" and "->" in value:
        number, _, target = value.partition("->")
        field = _NAMES.get(target, target)
        if field in _KNOWN and "/" not in number:
            amount = _read_value(field, number)
            return Action("set_field", amount >> 2 if target == "nw_tos" else amount, field)
    return Action("other", 0, word)


def _read_group(line: str) -> Group:
    head, *buckets = line.split(",bucket=")
    found = re.search(r"group_id=(\d+),type=(\w+)", head)
    if found is None:
        raise ValueError("not a group")
    number, kind = int(found[1]), found[2].replace("ff", "fast_failover")
    return Group(number, kind, tuple(_read_bucket(text) for text in buckets))


def _read_bucket(text: str) -> Bucket:
    head, _, tail = text.partition("actions=")
    watch = re.search(r"watch_port:(\w+)", head)
    port = ANY
    if watch is not None:
        port = _PORT_NUMBERS.get(watch[1]) or int(watch[1])
    actions = [_read_action(word) for word in _split(tail) if word and word != "drop"]
    return Bucket(tuple(actions), port)
