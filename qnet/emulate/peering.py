"""The peering fabric of an Internet exchange: members -> rules, and answers to ARP and ND.

Members are bound to one port and one MAC address. What else comes in at a member's port is dropped:
other sources, broadcast, spanning tree, router advertisements. Nothing is flooded: who has which
address is in the member file, and the exchange answers for its members (RFC 826; RFC 4861 clause
7.2). Two members reach each other only when both name each other as peers, or name nobody. Standard
library only.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from qnet.emulate.frame import checksum
from qnet.emulate.openflow import (
    ARP,
    CONTROLLER,
    IPV4,
    IPV6,
    Meter,
    Rule,
    Switch,
    match,
    output,
)

FORMAT = "qnet-exchange-1"

EXCHANGE_OWNER = 0x5158 << 48
"""The mark in the cookies of the exchange's rules."""

METER_FIRST = 0x8000
MEMBER_TABLE, PEER_TABLE, FORWARD_TABLE = 0, 1, 2
ASK_PRIORITY, REFUSE_PRIORITY, PRIORITY = 300, 290, 200
BURST_MS = 10
ICMPV6 = 58
SOLICITATION, ADVERTISEMENT = 135, 136
REFUSED_ICMPV6 = (133, 134, 136, 137)
"""Router solicitation and advertisement, neighbour advertisement, redirect."""

ALL_BITS = 2**64 - 1


class Member(NamedTuple):
    """One member's router: where it is attached, what it may be called, how much it may send."""

    name: str
    switch: str
    port: int
    mac: int
    ipv4: int | None
    ipv6: int | None
    rate_kbps: int | None
    peers: frozenset[str] | None

    def talks_to(self, other: Member) -> bool:
        """Say whether both let the other in."""
        return (
            self.name != other.name
            and (self.peers is None or other.name in self.peers)
            and (other.peers is None or self.name in other.peers)
        )


class Exchange(NamedTuple):
    """Switches by name with their datapath ids, trunks between their ports, and members."""

    switches: Mapping[str, int]
    trunks: tuple[tuple[str, int, str, int], ...]
    members: tuple[Member, ...]


def read_exchange(text: str) -> Exchange:
    """Read a member file. Raises ValueError with all its faults, one a line."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"not a member file: its format is not '{FORMAT}'")
    faults: list[str] = []
    switches = {
        str(one.get("name")): one["datapath_id"]
        for one in data.get("switches", ())
        if isinstance(one.get("datapath_id"), int)
    }
    if not switches:
        faults.append("switches: none with a name and a datapath_id")
    faults += _twice(
        "switches",
        [
            {"name": one.get("name"), "datapath_id": one.get("datapath_id")}
            for one in data.get("switches", ())
        ],
    )
    trunks = []
    for place, one in enumerate(data.get("trunks", ())):
        ends, ports = one.get("between", ()), one.get("ports", ())
        if len(ends) == len(ports) == 2 and all(end in switches for end in ends):
            trunks.append((ends[0], ports[0], ends[1], ports[1]))
        else:
            faults.append(f"trunks[{place}]: needs two switches in 'between' and two 'ports'")
    names = {str(one.get("name")) for one in data.get("members", ())}
    members = [
        _read_member(one, f"members[{place}]", switches, names, faults)
        for place, one in enumerate(data.get("members", ()))
    ]
    faults += _twice(
        "members",
        [
            {
                "name": one.name,
                "port": (one.switch, one.port),
                "mac": one.mac,
                "ipv4": one.ipv4,
                "ipv6": one.ipv6,
            }
            for one in members
        ],
    )
    if faults:
        raise ValueError("\n".join(faults))
    return Exchange(switches, tuple(trunks), tuple(members))


def _read_member(
    one: Mapping[str, Any],
    where: str,
    switches: Mapping[str, int],
    names: set[str],
    faults: list[str],
) -> Member:
    mac = str(one.get("mac", ""))
    if re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", mac) is None:
        faults.append(f"{where}.mac: '{mac}' is no MAC address, like 02:00:00:00:00:01")
        mac = "0"
    if one.get("switch") not in switches:
        faults.append(f"{where}.switch: no switch '{one.get('switch')}'")
    if not isinstance(one.get("port"), int):
        faults.append(f"{where}.port: an OpenFlow port number is needed")
    addresses: list[int | None] = []
    for key, kind in (("ipv4", ipaddress.IPv4Address), ("ipv6", ipaddress.IPv6Address)):
        try:
            addresses.append(int(kind(one[key])) if key in one else None)
        except ValueError as error:
            faults.append(f"{where}.{key}: {error}")
            addresses.append(None)
    peers = one.get("peers")
    strangers = (peer for peer in peers or () if peer not in names)
    faults += [f"{where}.peers: no member '{peer}'" for peer in strangers]
    return Member(
        str(one.get("name")),
        str(one.get("switch")),
        one["port"] if isinstance(one.get("port"), int) else 0,
        int(mac.replace(":", ""), 16),
        addresses[0],
        addresses[1],
        one.get("rate_kbps"),
        None if peers is None else frozenset(peers),
    )


def _twice(key: str, elements: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Name what two elements of a list both have and only one may have."""
    seen: dict[tuple[str, object], int] = {}
    for place, one in enumerate(elements):
        for field, value in one.items():
            first = seen.setdefault((field, value), place)
            if value is not None and first != place:
                yield f"{key}[{place}].{field}: the same as of {key}[{first}]"


def exchange_rules(exchange: Exchange) -> tuple[Switch, ...]:
    """Return what each switch of the exchange is told."""
    return tuple(
        Switch(
            name,
            datapath_id,
            tuple(
                rule._replace(cookie=EXCHANGE_OWNER)
                for rule in (
                    *_member_rules(exchange, name),
                    *_trunk_rules(exchange, name),
                    *_forward_rules(exchange, name),
                )
            ),
            meters=tuple(
                Meter(_meter(exchange, one), one.rate_kbps, _burst(one.rate_kbps), one.name)
                for one in exchange.members
                if one.switch == name and one.rate_kbps is not None
            ),
        )
        for name, datapath_id in exchange.switches.items()
    )


def _meter(exchange: Exchange, member: Member) -> int:
    return METER_FIRST + exchange.members.index(member)


def _burst(rate_kbps: int) -> int:
    return max(rate_kbps * BURST_MS // 1000, 128)


def _member_rules(exchange: Exchange, switch: str) -> Iterator[Rule]:
    """Let a member's own frames in, ask the controller what is to be answered, drop the rest."""
    for number, one in enumerate(exchange.members, 1):
        if one.switch != switch:
            continue
        source = {"in_port": one.port, "eth_src": one.mac}
        meter = None if one.rate_kbps is None else _meter(exchange, one)
        ask = (output(CONTROLLER),)
        if one.ipv4 is not None:
            asked = match(**source, eth_type=ARP, arp_op=1, arp_sha=one.mac, arp_spa=one.ipv4)
            why = f"{one.name}: asks by ARP"
            yield Rule(MEMBER_TABLE, ASK_PRIORITY, asked, ask, meter=meter, why=why)
        control = {**source, "eth_type": IPV6, "ip_proto": ICMPV6}
        if one.ipv6 is not None:
            asked = match(**control, icmpv6_type=SOLICITATION)
            why = f"{one.name}: asks by ND"
            yield Rule(MEMBER_TABLE, ASK_PRIORITY, asked, ask, meter=meter, why=why)
        for kind in REFUSED_ICMPV6:
            refused = match(**control, icmpv6_type=kind)
            why = f"{one.name}: no ICMPv6 {kind}"
            yield Rule(MEMBER_TABLE, REFUSE_PRIORITY, refused, why=why)
        for ether_type in (IPV4, IPV6):
            yield Rule(
                MEMBER_TABLE,
                PRIORITY,
                match(**source, eth_type=ether_type),
                goto=PEER_TABLE,
                metadata=(number, ALL_BITS),
                meter=meter,
                why=f"{one.name}: its own frames",
            )
        for other in exchange.members:
            if one.talks_to(other):
                yield Rule(
                    PEER_TABLE,
                    PRIORITY,
                    match(metadata=number, eth_dst=other.mac),
                    goto=FORWARD_TABLE,
                    why=f"{one.name} to {other.name}",
                )


def _trunk_rules(exchange: Exchange, switch: str) -> Iterator[Rule]:
    for near, near_port, far, far_port in exchange.trunks:
        for name, port, other in ((near, near_port, far), (far, far_port, near)):
            if name == switch:
                why = f"from {other}, let in there"
                yield Rule(MEMBER_TABLE, PRIORITY, match(in_port=port), goto=FORWARD_TABLE, why=why)


def _forward_rules(exchange: Exchange, switch: str) -> Iterator[Rule]:
    ways = _ways(exchange, switch)
    for one in exchange.members:
        port = one.port if one.switch == switch else ways.get(one.switch)
        if port is not None:
            yield Rule(
                FORWARD_TABLE, PRIORITY, match(eth_dst=one.mac), (output(port),), why=one.name
            )


def _ways(exchange: Exchange, switch: str) -> dict[str, int]:
    """Return the trunk port towards every other switch, by fewest trunks."""
    trunks: dict[str, list[tuple[int, str]]] = {name: [] for name in exchange.switches}
    for near, near_port, far, far_port in exchange.trunks:
        trunks[near].append((near_port, far))
        trunks[far].append((far_port, near))
    ways: dict[str, int] = {}
    waiting = deque((port, other) for port, other in trunks[switch])
    while waiting:
        port, name = waiting.popleft()
        if name != switch and name not in ways:
            ways[name] = port
            waiting.extend((port, other) for _, other in trunks[name])
    return ways


def answer(exchange: Exchange, asker: Member, data: bytes) -> bytes | None:
    """Answer an ARP request or a neighbour solicitation for the member it asks about.

    None when it asks for nobody that `asker` may talk to, or asks in another's name.
    """
    if data[12:14] == ARP.to_bytes(2, "big") and len(data) >= 42:
        return _answer_arp(exchange, asker, data)
    if data[12:14] == IPV6.to_bytes(2, "big") and len(data) >= 78:
        return _answer_solicitation(exchange, asker, data)
    return None


def _answer_arp(exchange: Exchange, asker: Member, data: bytes) -> bytes | None:
    wanted = int.from_bytes(data[38:42], "big")
    target = next((one for one in exchange.members if one.ipv4 == wanted), None)
    if target is None or not asker.talks_to(target) or data[20:22] != b"\0\1":
        return None
    to, by = asker.mac.to_bytes(6, "big"), target.mac.to_bytes(6, "big")
    sender = by + data[38:42]
    return to + by + data[12:20] + b"\0\2" + sender + to + data[28:32]


def _answer_solicitation(exchange: Exchange, asker: Member, data: bytes) -> bytes | None:
    wanted = int.from_bytes(data[62:78], "big")
    target = next((one for one in exchange.members if one.ipv6 == wanted), None)
    from_asker = int.from_bytes(data[22:38], "big") == asker.ipv6
    if target is None or not asker.talks_to(target) or not from_asker or data[54] != SOLICITATION:
        return None
    to, by = asker.mac.to_bytes(6, "big"), target.mac.to_bytes(6, "big")
    router_solicited_override = 0b111 << 29
    body = router_solicited_override.to_bytes(4, "big") + data[62:78] + b"\2\1" + by
    addresses = data[62:78] + data[22:38]
    head = bytes([ADVERTISEMENT, 0])
    length = 4 + len(body)
    pseudo = addresses + length.to_bytes(4, "big") + bytes([0, 0, 0, ICMPV6])
    check = checksum(pseudo + head + b"\0\0" + body)
    hop_limit = 255
    packet = b"\x60\0\0\0" + length.to_bytes(2, "big") + bytes([ICMPV6, hop_limit]) + addresses
    return to + by + data[12:14] + packet + head + check.to_bytes(2, "big") + body
