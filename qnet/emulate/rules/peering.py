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

from qnet.emulate.openflow.frame import checksum
from qnet.emulate.openflow.nouns import (
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
PORT_HIGHEST = 0xFFFFFF00
RATE_HIGHEST = 0xFFFFFFFF
MEMBERS_HIGHEST = 0xFFFF - METER_FIRST
FAULTS_SHOWN = 100
BROADCAST = "255.255.255.255"

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


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
    """Read a member file. Raises ValueError with all its faults, one a line, each at its place."""
    reader = _Reader()
    try:
        data = json.loads(text, object_pairs_hook=reader.pairs)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # too deep, or a number of thousands of digits
        raise ValueError("not a member file: nested too deeply, or too large a number") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"not a member file: its format is not '{FORMAT}'")
    reader.known("", data, ("format", "switches", "trunks", "members"))
    switches: dict[str, int] = {}
    for where, one in reader.entries(data, "switches", ("name", "datapath_id")):
        name = reader.name(where, one)
        number = reader.whole(where, one, "datapath_id", ALL_BITS)
        reader.once(where, {"name": name, "datapath_id": number}, "switches")
        if name is not None:
            switches[name] = number or 0
    if not switches:
        reader.faults.append("switches: none with a name and a datapath_id")
    trunks = [
        reader.trunk(where, one, switches)
        for where, one in reader.entries(data, "trunks", ("between", "ports"))
    ]
    entries = reader.entries(data, "members", Member._fields)
    names = {one["name"] for _, one in entries if isinstance(one.get("name"), str)}
    if len(entries) > MEMBERS_HIGHEST:
        reader.faults.append(f"members: {len(entries):,}; at most {MEMBERS_HIGHEST:,}")
    members = [reader.member(where, one, switches, names) for where, one in entries]
    for place, member in enumerate(members):
        for key in ("name", "mac", "ipv4", "ipv6"):
            reader.once(f"members[{place}]", {key: getattr(member, key) or None}, "members")
    if reader.faults:
        more = len(reader.faults) - FAULTS_SHOWN
        told = [*reader.faults[:FAULTS_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]
        raise ValueError("\n".join(told))
    return Exchange(switches, tuple(one for one in trunks if one), tuple(members))


class _Reader:
    """Takes a member file apart, and notes every fault with its place."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._seen: dict[tuple[str, str, object], str] = {}
        self._ports: dict[tuple[str, int], str] = {}

    def fault(self, where: str, words: str) -> None:
        """Note a fault."""
        text = f"{where}: {words}"
        self.faults.append(text if text.isprintable() else ascii(text)[1:-1])

    def pairs(self, items: list[tuple[str, Any]]) -> dict[str, Any]:
        """Make an object of pairs; a key that is there twice is a fault."""
        made = dict(items)
        if len(made) < len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    self.fault(f"key '{key[:40]}'", "twice in one object")
                seen.add(key)
        return made

    def known(self, where: str, one: Mapping[str, Any], keys: Sequence[str]) -> None:
        """Refuse keys that are not known."""
        for key in one:
            if key not in keys:
                place = f"{where}.{key[:40]}".lstrip(".")
                self.fault(place, f"no such key; one of {', '.join(keys)}")

    def entries(
        self, data: Mapping[str, Any], key: str, keys: Sequence[str]
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the entries of a list, each with its place."""
        value = data.get(key, [])
        if not isinstance(value, list):
            self.fault(key, "is not a list")
            return []
        found: list[tuple[str, Mapping[str, Any]]] = []
        for place, one in enumerate(value):
            where = f"{key}[{place}]"
            if isinstance(one, dict):
                self.known(where, one, keys)
                found.append((where, one))
            else:
                self.fault(where, "is not an object, like {" + f'"{keys[0]}": ...' + "}")
        return found

    def name(self, where: str, one: Mapping[str, Any]) -> str | None:
        """Return the name of an entry."""
        value = one.get("name")
        if isinstance(value, str) and 0 < len(value) <= 63 and value.isprintable():
            return value
        self.fault(f"{where}.name", "a name is needed: a text of at most 63 signs")
        return None

    def whole(
        self, where: str, one: Mapping[str, Any], key: str, highest: int, what: str = ""
    ) -> int | None:
        """Return a whole number from 1 to `highest`."""
        value = one.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest:
            return value
        need = what or "a whole number is needed"
        self.fault(f"{where}.{key}", f"{need}, from 1 to {highest:#x}")
        return None

    def once(self, where: str, values: Mapping[str, object], kind: str) -> None:
        """Refuse what two entries both have and only one may have."""
        for key, value in values.items():
            if value is not None:
                first = self._seen.setdefault((kind, key, value), where)
                if first != where:
                    self.fault(f"{where}.{key}", f"the same as of {first}")

    def port(self, where: str, switch: str, number: int) -> None:
        """Take a port of a switch, which nobody else may have."""
        first = self._ports.setdefault((switch, number), where)
        if first != where:
            self.fault(f"{where}.port", f"the same as of {first}")

    def trunk(
        self, where: str, one: Mapping[str, Any], switches: Mapping[str, int]
    ) -> tuple[str, int, str, int] | None:
        """Return a trunk: switch, port, switch, port."""
        ends, ports = one.get("between"), one.get("ports")
        if (
            isinstance(ends, list)
            and isinstance(ports, list)
            and len(ends) == len(ports) == 2
            and all(isinstance(end, str) and end in switches for end in ends)
            and ends[0] != ends[1]
            and all(type(port) is int and 1 <= port <= PORT_HIGHEST for port in ports)
        ):
            for end, port in zip(ends, ports, strict=True):
                self.port(where, end, port)
            return ends[0], ports[0], ends[1], ports[1]
        self.fault(where, "needs two switches in 'between' and two 'ports'")
        return None

    def member(
        self, where: str, one: Mapping[str, Any], switches: Mapping[str, int], names: set[str]
    ) -> Member:
        """Return a member; what is at fault has some value."""
        name = self.name(where, one)
        mac = one.get("mac")
        if not isinstance(mac, str) or _MAC.fullmatch(mac) is None:
            self.fault(f"{where}.mac", f"{_shown(mac)} is no MAC address, like 02:00:00:00:00:01")
            mac = "0"
        elif int(mac[:2], 16) & 1 or not int(mac.replace(":", ""), 16):
            self.fault(f"{where}.mac", f"'{mac}' is not the address of one station")
        switch = one.get("switch")
        if not isinstance(switch, str) or switch not in switches:
            self.fault(f"{where}.switch", f"no switch {_shown(switch)}")
            switch = None
        port = self.whole(where, one, "port", PORT_HIGHEST, "an OpenFlow port number is needed")
        if switch is not None and port is not None:
            self.port(where, switch, port)
        ipv4 = self.address(where, one, "ipv4", ipaddress.IPv4Address)
        ipv6 = self.address(where, one, "ipv6", ipaddress.IPv6Address)
        rate = None
        if "rate_kbps" in one:
            rate = self.whole(where, one, "rate_kbps", RATE_HIGHEST)
        peers = one.get("peers")
        if peers is not None and not isinstance(peers, list):
            self.fault(f"{where}.peers", "is not a list of names of members")
            peers = None
        for peer in peers or ():
            if not isinstance(peer, str) or peer not in names:
                self.fault(f"{where}.peers", f"no member {_shown(peer)}")
        known = None if peers is None else frozenset(one for one in peers if isinstance(one, str))
        number = int(mac.replace(":", ""), 16)
        return Member(name or "", switch or "", port or 0, number, ipv4, ipv6, rate, known)

    def address(
        self,
        where: str,
        one: Mapping[str, Any],
        key: str,
        kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address],
    ) -> int | None:
        """Return the address of one interface, where one is given."""
        if key not in one:
            return None
        value, where = one[key], f"{where}.{key}"
        try:
            if not isinstance(value, str) or "%" in value:
                raise ValueError(f"{_shown(value)} is no address")
            found = kind(value)
        except ValueError as error:
            self.fault(where, str(error))
            return None
        if found.is_multicast or found.is_unspecified or found.is_loopback or value == BROADCAST:
            self.fault(where, f"'{value}' is not the address of one interface")
        return int(found)


def _shown(value: object) -> str:
    """Write a value of a file in a message."""
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    return f"'{str(value)[:40]}'"


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
