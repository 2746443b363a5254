"""Every match field of OpenFlow 1.3, through a real Open vSwitch and back (clause 7.2.3.7)."""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Iterator
from itertools import count

import pytest

from qnet.emulate.openflow.messages import FIELDS, Command, encode
from qnet.emulate.openflow.nouns import ARP, IPV4, IPV6, MPLS, Field, Rule, Switch, output
from qnet.emulate.openflow.table import differences
from qnet.emulate.openflow.text import read_flows, read_groups, read_meters
from qnet.emulate.rules.audit import audit_streams
from qnet.emulate.switches import ovs
from qnet.emulate.switches.switch_set import read_switch
from tests.emulate.networks import golden

pytestmark = pytest.mark.skipif(ovs.missing_switch() is not None, reason=ovs.missing_switch() or "")

BRIDGE = "s1"
PRESENT = 0x1000
VLAN = (Field("vlan_vid", PRESENT, PRESENT),)
OVER_IP = (Field("eth_type", IPV4),)
OVER_IPV6 = (Field("eth_type", IPV6),)
ICMPV6 = (*OVER_IPV6, Field("ip_proto", 58))


Needs = list[tuple[Field, ...]]


def _over(protocol: int) -> Needs:
    return [(*below, Field("ip_proto", protocol)) for below in (OVER_IP, OVER_IPV6)]


def _neighbour(kind: int) -> Needs:
    return [(*ICMPV6, Field("icmpv6_type", kind), Field("icmpv6_code", 0))]


LABELLED: Needs = [(Field("eth_type", number),) for number in (MPLS, 0x8848)]
BY_ARP: Needs = [(Field("eth_type", number),) for number in (ARP, 0x8035)]

# Name: bits, whether a switch may take a mask, and what else must be matched.
TABLE: dict[str, tuple[int, bool, Needs]] = {
    "in_port": (15, False, [()]),
    "metadata": (64, True, [()]),
    "eth_dst": (48, True, [()]),
    "eth_src": (48, True, [()]),
    "eth_type": (16, False, [()]),
    "vlan_vid": (13, True, [()]),
    "vlan_pcp": (3, False, [VLAN]),
    "ip_dscp": (6, False, [OVER_IP, OVER_IPV6]),
    "ip_ecn": (2, False, [OVER_IP, OVER_IPV6]),
    "ip_proto": (8, False, [OVER_IP, OVER_IPV6]),
    "ipv4_src": (32, True, [OVER_IP]),
    "ipv4_dst": (32, True, [OVER_IP]),
    "tcp_src": (16, True, _over(6)),
    "tcp_dst": (16, True, _over(6)),
    "udp_src": (16, True, _over(17)),
    "udp_dst": (16, True, _over(17)),
    "sctp_src": (16, True, _over(132)),
    "sctp_dst": (16, True, _over(132)),
    "icmpv4_type": (8, False, [(*OVER_IP, Field("ip_proto", 1))]),
    "icmpv4_code": (8, False, [(*OVER_IP, Field("ip_proto", 1))]),
    "arp_op": (8, False, BY_ARP),
    "arp_spa": (32, True, BY_ARP),
    "arp_tpa": (32, True, BY_ARP),
    "arp_sha": (48, True, BY_ARP),
    "arp_tha": (48, True, BY_ARP),
    "ipv6_src": (128, True, [OVER_IPV6]),
    "ipv6_dst": (128, True, [OVER_IPV6]),
    "ipv6_flabel": (20, True, [OVER_IPV6]),
    "icmpv6_type": (8, False, [ICMPV6]),
    "icmpv6_code": (8, False, [ICMPV6]),
    "ipv6_nd_target": (128, True, [*_neighbour(135), *_neighbour(136)]),
    "ipv6_nd_sll": (48, True, _neighbour(135)),
    "ipv6_nd_tll": (48, True, _neighbour(136)),
    "mpls_label": (20, False, LABELLED),
    "mpls_tc": (3, False, LABELLED),
    "mpls_bos": (1, False, LABELLED),
    "tunnel_id": (64, True, [()]),
}
NOT_TAKEN = {"in_phy_port", "pbb_isid", "ipv6_exthdr"}
"""Fields of the specification that Open vSwitch refuses."""


@pytest.fixture(scope="module")
def running() -> Iterator[ovs.Ovs]:
    with ovs.Ovs() as one:
        one.add_bridges([ovs.Bridge(BRIDGE, 1, (ovs.SwitchPort("p1", 1),))])
        yield one


def _errors(running: ovs.Ovs, rules: list[Rule]) -> list[int]:
    """Lay rules as a controller does; return the places of those that the switch refused."""
    refused = []
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        assert running.folder is not None
        line.connect(str(running.folder / f"{BRIDGE}.mgmt"))
        line.sendall(struct.pack("!BBHI", 4, 0, 8, 0))
        for place, rule in enumerate(rules):
            line.sendall(encode(rule, Command.ADD, place + 1))
        line.sendall(struct.pack("!BBHI", 4, 20, 8, 0))  # a barrier
        rest = b""
        while True:
            rest += line.recv(1 << 16)
            while len(rest) >= 8 and len(rest) >= (length := struct.unpack("!H", rest[2:4])[0]):
                kind, number = rest[1], struct.unpack("!I", rest[4:8])[0]
                rest = rest[length:]
                if kind == 1:
                    refused.append(number - 1)
                if kind == 21:
                    return refused


class _Draw:
    """Numbers that are the same everywhere."""

    def __init__(self, seed: int) -> None:
        self.texts = (f"{seed} {place}".encode() for place in count())

    def getrandbits(self, bits: int) -> int:
        digest = hashlib.sha256(next(self.texts)).digest()
        return int.from_bytes(digest, "big") % (1 << bits)


def _rules(draw: _Draw) -> Iterator[Rule]:
    """Draw each field by itself, with each of what it needs: whole, and masked where it may be."""
    for name, (bits, maskable, needs) in TABLE.items():
        for need in needs:
            values = {0, 1, (1 << bits) - 1, draw.getrandbits(bits), draw.getrandbits(bits)}
            if name == "in_port":
                values = {1, 7, 0xFFFFFFFE, 0xFFFFFFFD}
            if name == "eth_type":
                values = {IPV4, IPV6, ARP, MPLS, 0x8848, 0x8035, 0x88CC, 0x1234}
            for value in sorted(values):
                yield Rule(0, 0, _sorted(*need, Field(name, value)))
            masks = [draw.getrandbits(bits) or 1 for _ in range(4)] if maskable else []
            masks += [(1 << bits) - (1 << bits // 2), (1 << bits // 2) - 1] if maskable else []
            for mask in masks:
                value = draw.getrandbits(bits) & mask
                yield Rule(0, 0, _sorted(*need, Field(name, value, mask)))
    for _ in range(20):  # a tag's fields are printed together
        mask = draw.getrandbits(13) | PRESENT
        vlan = Field("vlan_vid", (draw.getrandbits(13) | PRESENT) & mask, mask)
        yield Rule(0, 0, _sorted(vlan, Field("vlan_pcp", draw.getrandbits(3))))


def _sorted(*fields: Field) -> tuple[Field, ...]:
    """Sort conditions; one of a field is its last, and a mask of all bits is none."""
    last = {one.name: one for one in fields}
    whole = {name: (1 << bits) - 1 for name, (bits, _, _) in TABLE.items()}
    return tuple(
        one._replace(mask=None) if one.mask == whole[name] else one
        for name, one in sorted(last.items())
    )


def test_the_table_is_the_specifications() -> None:
    assert set(TABLE) | NOT_TAKEN == set(FIELDS)


def test_every_field_comes_back_from_a_switch_as_it_went_in(running: ovs.Ovs) -> None:
    asked = [
        rule._replace(priority=place, cookie=place, actions=(output(1),))
        for place, rule in enumerate(_rules(_Draw(7)))
    ]
    assert len(asked) > 400
    assert _errors(running, asked) == []
    found = read_flows(running.dump("flows", BRIDGE))
    assert {one.priority: one for one in found} == {one.priority: one for one in asked}
    running.ofctl("del-flows", BRIDGE)


def test_fields_that_open_vswitch_does_not_know_are_refused_by_it(running: ovs.Ovs) -> None:
    rules = [Rule(0, 1, (Field(name, 1),), (output(1),)) for name in sorted(NOT_TAKEN)]
    assert sorted(_errors(running, rules)) == list(range(len(rules)))


STRANGE = [
    "ip,nw_ttl=64",
    "tcp,tcp_flags=+syn-ack",
    "ip,nw_frag=not_later",
    "reg0=5",
    "ct_state=+trk+est",
    "pkt_mark=4",
    "tun_src=1.2.3.4",
    "conj_id=5",
    "dl_type=0x894f,nsh_spi=4",
    "mpls,mpls_ttl=4",
]


@pytest.mark.parametrize("words", STRANGE)
def test_what_is_not_openflow_13_is_shown_and_counted(running: ovs.Ovs, words: str) -> None:
    case = golden("line")
    node = case.topology.nodes[0].name
    running.ofctl("add-flow", BRIDGE, f"priority=77,{words},actions=drop")
    running.ofctl("add-flow", BRIDGE, "priority=5,actions=output:1")
    try:
        has = read_switch(running, BRIDGE, node, 1)
    finally:
        running.ofctl("del-flows", BRIDGE)
    assert len(has.rules) + len(has.unread) == 2
    if has.unread:
        (line,) = has.unread
        assert "priority=77" in line
        shown = f"{node}: not understood: {line}"
        assert shown in map(str, audit_streams(case.wiring, (), [has]))
        assert shown in map(str, differences(Switch(node, 1), has))
    else:
        assert has.rules[0].match  # understood, then, as it stands


def test_groups_and_meters_that_are_not_understood_are_shown(running: ovs.Ovs) -> None:
    unread: list[str] = []
    text = "meter=1 pktps bands=\ntype=drop rate=5\n\nmeter=2 kbps stats bands=\ntype=drop rate=9\n"
    assert [one.number for one in read_meters(text, unread)] == [2]
    assert (
        read_groups(" group_id=4\n group_id=5,type=all,bucket=actions=drop", unread)[0].number == 5
    )
    assert len(unread) == 2
    with pytest.raises(ValueError, match="pktps"):
        read_meters(text)
