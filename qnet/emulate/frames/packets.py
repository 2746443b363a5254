"""Frames of the testbed's hosts, as bytes: what they send by themselves, how one is known again.

A frame has its number in the payload, behind a mark, so that it is known when a controller has
written it anew and left out what was behind it; one without a payload is known by its content.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from qnet.emulate.openflow.frame import ICMP, ICMPV6, TCP, UDP, FrameHeaders, checksum, read_frame
from qnet.emulate.openflow.nouns import ARP, IPV4, IPV6, LLDP, VLAN, VLAN_SERVICE
from qnet.emulate.rules.wiring import Wiring

MARK = b"qnetsent"
"""Before the number in the payload of a frame."""

NUMBER_BYTES = 8

SHORTEST_BYTES = 60
"""Of an Ethernet frame without check sequence."""

PORT = 5000
"""UDP source and destination."""

BROADCAST = 0xFFFFFFFFFFFF
NOBODYS_MAC = 0x02514B00FFFE
NOBODYS_IP = 0xC6336401
"""198.51.100.1, of RFC 5737's addresses for documents."""

EXPERIMENTAL = 0x88B5
"""An EtherType for local experiments (IEEE 802, clause 9.2.4)."""

EXPERIMENTAL_PROTOCOL = 253
"""An IP protocol for experiments (RFC 3692)."""

VLAN_TRIED = 100

DISCOVERY_TYPES = (LLDP, 0x8942)
"""LLDP and the broadcast discovery of some controllers."""

BRIDGE_GROUP = 0x0180C2000000
"""The first of sixteen addresses that bridges do not forward (IEEE 802.1Q, table 8-1)."""

LINK_LOCAL = 0xFE80 << 112
ALL_NODES = (0xFF02 << 112) | 1
SOLICITED_NODE = 0xFF02 << 112 | 0x1FF000000
"""To be completed with the last 24 bits of an address (RFC 4291 clause 2.7.1)."""

ARP_REQUEST, ARP_REPLY = 1, 2


class End(NamedTuple):
    """A host's addresses."""

    mac: int
    ip: int

    @property
    def ipv6(self) -> int:
        """Its link-local address, by the number of its node."""
        return LINK_LOCAL | self.ip & 0xFFFFFF


def end_of(wiring: Wiring, node: str) -> End:
    """Return the addresses of a node's host."""
    return End(wiring.host_mac(node), wiring.host_ip(node))


def ethernet(to: int, by: int, ether_type: int, body: bytes) -> bytes:
    """Return a frame, padded to the shortest that there is."""
    head = to.to_bytes(6, "big") + by.to_bytes(6, "big") + ether_type.to_bytes(2, "big")
    return (head + body).ljust(SHORTEST_BYTES, b"\0")


def _payload(number: int, size: int) -> bytes:
    return (MARK + number.to_bytes(NUMBER_BYTES, "big")).ljust(size, b"\0")


def _ipv4(by: End, to_ip: int, protocol: int, body: bytes) -> bytes:
    head = b"\x45\0" + (20 + len(body)).to_bytes(2, "big") + b"\0\0\0\0\x40" + bytes([protocol])
    addresses = by.ip.to_bytes(4, "big") + to_ip.to_bytes(4, "big")
    check = checksum(head + b"\0\0" + addresses)
    return head + check.to_bytes(2, "big") + addresses + body


def _datagram(payload: bytes) -> bytes:
    ports = PORT.to_bytes(2, "big") * 2
    return ports + (8 + len(payload)).to_bytes(2, "big") + b"\0\0" + payload


def udp(by: End, to: End, number: int, size: int = 100) -> bytes:
    """Return a UDP frame of so many bytes, its number in the payload."""
    payload = _payload(number, size - 14 - 20 - 8)
    return ethernet(to.mac, by.mac, IPV4, _ipv4(by, to.ip, UDP, _datagram(payload)))


def renumbered(data: bytes, number: int) -> bytes:
    """Return the frame with another number in its payload."""
    at = data.rindex(MARK) + len(MARK)
    return data[:at] + number.to_bytes(NUMBER_BYTES, "big") + data[at + NUMBER_BYTES :]


def number_in(data: bytes) -> int | None:
    """Return the number in the payload of a frame of ours, wherever it is by now."""
    at = data.rfind(MARK)
    if at < 0 or len(data) < at + len(MARK) + NUMBER_BYTES:
        return None
    return int.from_bytes(data[at + len(MARK) : at + len(MARK) + NUMBER_BYTES], "big")


def arp_request(by: End, wanted_ip: int) -> bytes:
    """Return the question for an address, to everybody."""
    return _arp(BROADCAST, ARP_REQUEST, by, End(0, wanted_ip))


def arp_answer(me: End, data: bytes) -> bytes | None:
    """Return the ARP reply of a host to a frame that came to it; None if it is not asked."""
    fields = _fields(data)
    if (fields.get("arp_op"), fields.get("arp_tpa")) != (ARP_REQUEST, me.ip):
        return None
    asker = End(fields["arp_sha"], fields["arp_spa"])
    return _arp(asker.mac, ARP_REPLY, me, asker)


def address_told(me: End, data: bytes) -> End | None:
    """Return the addresses that an ARP reply to a host tells it of; None for any other frame."""
    fields = _fields(data)
    if (fields.get("arp_op"), fields.get("arp_tpa")) != (ARP_REPLY, me.ip):
        return None
    return End(fields["arp_sha"], fields["arp_spa"])


def _arp(to_mac: int, operation: int, by: End, about: End) -> bytes:
    body = b"\0\1\x08\0\6\4" + operation.to_bytes(2, "big")
    for one in (by, about):
        body += one.mac.to_bytes(6, "big") + one.ip.to_bytes(4, "big")
    return ethernet(to_mac, by.mac, ARP, body)


def is_discovery(data: bytes) -> bool:
    """Tell whether a frame is between switches and controllers: LLDP, spanning tree and such."""
    near_bridge = int.from_bytes(data[:6], "big") & ~0xF == BRIDGE_GROUP
    return near_bridge or finds_wires(data)


def finds_wires(data: bytes) -> bool:
    """Tell whether a frame is what a controller finds wires by."""
    return int.from_bytes(data[12:14], "big") in DISCOVERY_TYPES


def _fields(data: bytes) -> dict[str, int]:
    frame = _read(data)
    return {} if frame is None else frame.fields()


def _read(data: bytes) -> FrameHeaders | None:
    try:
        return read_frame(data)
    except ValueError:
        return None


# Known again by content


def content(data: bytes) -> tuple[int, bytes] | None:
    """Return what two forms of one frame have in common: the packet, without what changes.

    Addresses of Ethernet, tags, what is behind the length in the header, and TTL and header
    checksum of IPv4 or the hop limit of IPv6 are left out.
    """
    frame = _read(data)
    if frame is None or frame.labels:
        return None
    at = 14 + 4 * len(frame.tags)
    packet = data[at : at + packet_bytes(frame.ether_type, data[at:])]
    if frame.ether_type == IPV4 and len(packet) >= 20:
        packet = packet[:8] + packet[9:10] + packet[12:]
    elif frame.ether_type == IPV6 and len(packet) >= 40:
        packet = packet[:7] + packet[8:]
    return frame.ether_type, packet.rstrip(b"\0")


def packet_bytes(ether_type: int, packet: bytes) -> int:
    """Return how long a packet says that it is; all that is there where it does not say."""
    if ether_type == IPV4:
        return int.from_bytes(packet[2:4], "big")
    if ether_type == IPV6:
        return 40 + int.from_bytes(packet[4:6], "big")
    return 28 if ether_type == ARP else len(packet)


# What leaks first


def kinds(by: End, to: End, number: int) -> Iterator[tuple[str, bytes]]:
    """Name and build what a host may try to reach another one with, numbered from `number`."""
    numbers = iter(range(number, number + 100))

    def mark() -> bytes:
        return _payload(next(numbers), 32)

    def datagram(source: End, mac: int, ip: int) -> bytes:
        return ethernet(mac, source.mac, IPV4, _ipv4(source, ip, UDP, _datagram(mark())))

    yield "an ARP request", arp_request(by, to.ip)
    yield "an ARP reply", _arp(to.mac, ARP_REPLY, by, to)
    plain = udp(by, to, next(numbers))
    yield "UDP", plain
    yield "an ICMP echo request", ethernet(to.mac, by.mac, IPV4, _echo(by, to, mark()))
    yield "a TCP SYN", ethernet(to.mac, by.mac, IPV4, _syn(by, to, mark()))
    other = _ipv4(by, to.ip, EXPERIMENTAL_PROTOCOL, mark())
    yield f"IP protocol {EXPERIMENTAL_PROTOCOL}", ethernet(to.mac, by.mac, IPV4, other)
    yield "a broadcast in IPv4", datagram(by, BROADCAST, 0xFFFFFFFF)
    yield "a multicast in IPv4", datagram(by, 0x01005E0000FB, 0xE00000FB)
    to_group = SOLICITED_NODE | to.ipv6 & 0xFFFFFF
    asked = b"\0\0\0\0" + to.ipv6.to_bytes(16, "big") + b"\1\1" + by.mac.to_bytes(6, "big")
    group_mac = 0x333300000000 | to_group & 0xFFFFFFFF
    solicitation = _icmpv6(by, to_group, 135, asked)
    yield "an IPv6 neighbour solicitation", ethernet(group_mac, by.mac, IPV6, solicitation)
    echo = _icmpv6(by, to.ipv6, 128, b"\0\1\0\1" + mark())
    yield "an IPv6 echo request", ethernet(to.mac, by.mac, IPV6, echo)
    yield "UDP in IPv6", ethernet(to.mac, by.mac, IPV6, _udp_in_ipv6(by, to, mark()))
    all_nodes = _icmpv6(by, ALL_NODES, 128, b"\0\1\0\1" + mark())
    yield "a multicast in IPv6", ethernet(0x333300000001, by.mac, IPV6, all_nodes)
    kind = EXPERIMENTAL
    yield f"EtherType 0x{kind:04x}", ethernet(to.mac, by.mac, kind, mark())
    yield f"a broadcast of EtherType 0x{kind:04x}", ethernet(BROADCAST, by.mac, kind, mark())
    tag = VLAN_TRIED.to_bytes(2, "big")
    tagged = renumbered(plain, next(numbers))[12:]
    yield f"UDP tagged for VLAN {VLAN_TRIED}", ethernet(to.mac, by.mac, VLAN, tag + tagged)
    outer = renumbered(plain, next(numbers))[12:]
    yield (
        f"UDP with a service tag of VLAN {VLAN_TRIED}",
        ethernet(to.mac, by.mac, VLAN_SERVICE, tag + outer),
    )
    untagged = renumbered(plain, next(numbers))[12:]
    yield "UDP with a priority tag", ethernet(to.mac, by.mac, VLAN, b"\0\0" + untagged)
    yield "UDP from a forged MAC address", datagram(by._replace(mac=NOBODYS_MAC), to.mac, to.ip)
    yield "UDP from a forged IP address", datagram(by._replace(ip=NOBODYS_IP), to.mac, to.ip)


def _echo(by: End, to: End, payload: bytes) -> bytes:
    rest = b"\0\1\0\1" + payload
    check = checksum(b"\x08\0\0\0" + rest)
    return _ipv4(by, to.ip, ICMP, b"\x08\0" + check.to_bytes(2, "big") + rest)


def _syn(by: End, to: End, payload: bytes) -> bytes:
    """Return a request for a connection to port 80, with a payload, as TCP Fast Open has one."""
    head = PORT.to_bytes(2, "big") + b"\0\x50" + bytes(8) + b"\x50\x02\xff\xff"
    addresses = by.ip.to_bytes(4, "big") + to.ip.to_bytes(4, "big")
    length = (20 + len(payload)).to_bytes(2, "big")
    check = checksum(addresses + bytes([0, TCP]) + length + head + bytes(4) + payload)
    return _ipv4(by, to.ip, TCP, head + check.to_bytes(2, "big") + b"\0\0" + payload)


def _icmpv6(by: End, to_ip: int, kind: int, rest: bytes) -> bytes:
    head = bytes([kind, 0])
    check = _checksum_in_ipv6(by, to_ip, ICMPV6, head + b"\0\0" + rest)
    return _ipv6(by, to_ip, ICMPV6, 255, head + check + rest)


def _udp_in_ipv6(by: End, to: End, payload: bytes) -> bytes:
    head = PORT.to_bytes(2, "big") * 2 + (8 + len(payload)).to_bytes(2, "big")
    check = _checksum_in_ipv6(by, to.ipv6, UDP, head + b"\0\0" + payload)
    return _ipv6(by, to.ipv6, UDP, 64, head + check + payload)


def _checksum_in_ipv6(by: End, to_ip: int, protocol: int, body: bytes) -> bytes:
    """Return the checksum over the pseudo-header too (RFC 8200 clause 8.1)."""
    addresses = by.ipv6.to_bytes(16, "big") + to_ip.to_bytes(16, "big")
    pseudo = addresses + len(body).to_bytes(4, "big") + bytes([0, 0, 0, protocol])
    return checksum(pseudo + body).to_bytes(2, "big")


def _ipv6(by: End, to_ip: int, protocol: int, hop_limit: int, body: bytes) -> bytes:
    head = b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes([protocol, hop_limit])
    return head + by.ipv6.to_bytes(16, "big") + to_ip.to_bytes(16, "big") + body
