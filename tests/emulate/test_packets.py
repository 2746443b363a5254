"""Frames of the testbed's hosts: right by scapy's reading, and known again when written anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from qnet.emulate.frames import packets
from qnet.emulate.frames.packets import End

A, B = End(0x025148000001, 0x0A000001), End(0x025148000002, 0x0A000002)
KINDS = dict(packets.kinds(A, B, 700))


def without_sums(packet: Packet) -> Packet:
    """Return a copy whose lengths and checksums scapy computes anew."""
    copy = packet.copy()
    for layer in copy.iterpayloads():
        for name in ("chksum", "cksum", "len", "plen"):
            if name in layer.fields:
                del layer.fields[name]
    return Ether(bytes(copy))


@pytest.mark.parametrize("name", KINDS)
def test_lengths_and_checksums_are_those_that_scapy_computes(name: str) -> None:
    read = Ether(KINDS[name])
    anew = without_sums(read)
    if UDP in anew and IP in anew:
        anew[UDP].chksum = 0  # none over IPv4, which may be
    assert bytes(anew) == bytes(read)


def test_every_kind_has_a_number_or_a_content_of_its_own() -> None:
    known = [packets.number_in(data) or packets.content(data) for data in KINDS.values()]
    assert len(set(known)) == len(KINDS) >= 18


def test_a_host_answers_for_its_own_address_only() -> None:
    asked = packets.arp_request(A, B.ip)
    reply = packets.arp_answer(B, asked)
    assert reply is not None
    read = Ether(reply)[ARP]
    assert (read.op, read.psrc, read.pdst) == (2, "10.0.0.2", "10.0.0.1")
    assert packets.address_told(A, reply) == B
    assert packets.address_told(B, reply) is None, "a reply to somebody else"
    assert packets.arp_answer(A, asked) is None
    assert packets.arp_answer(B, reply) is None


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 20), st.booleans())
def test_content_outlives_what_a_router_and_a_parser_change(
    name: str, behind: int, tagged: bool
) -> None:
    data = KINDS[name]
    read = Ether(data)
    if Dot1Q in read or read.type == 0x88A8:
        return
    for kind, field in ((IP, "ttl"), (IPv6, "hlim")):
        if kind in read:
            setattr(read[kind], field, 7)
    if IP in read:
        del read[IP].chksum
    read.src, read.dst = "02:00:00:00:00:09", "02:00:00:00:00:08"
    if tagged:
        read = Ether(src=read.src, dst=read.dst) / Dot1Q(vlan=9, type=read.type) / read.payload
    anew = bytes(read) + bytes(behind)
    assert packets.content(anew) == packets.content(data)
    assert packets.number_in(anew) == packets.number_in(data)
    others = {packets.content(one) for other, one in KINDS.items() if other != name}
    assert packets.content(anew) not in others


@given(st.binary(max_size=120))
def test_any_bytes_can_be_read(data: bytes) -> None:
    packets.content(data)
    packets.is_discovery(data)
    assert packets.arp_answer(A, data) is None or data[12:14] in (b"\x08\x06", b"\x81\x00")
    packets.address_told(A, data)


@given(st.integers(0, 2**63), st.integers(58, 1500))
def test_a_number_comes_back(number: int, size: int) -> None:
    data = packets.udp(A, B, number, size)
    assert len(data) == max(size, 60)
    assert packets.number_in(data) == number
    assert packets.number_in(packets.renumbered(data, 5)) == 5
    assert packets.number_in(bytes(Ether(data)[UDP])) == number
    assert isinstance(Ether(data)[UDP].payload, Raw)
