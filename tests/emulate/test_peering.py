"""The peering fabric without a switch: who reaches whom, and what a wrong member file is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.emulate.frame import Frame
from qnet.emulate.openflow import IPV4
from qnet.emulate.peering import (
    FORMAT,
    Exchange,
    Member,
    exchange_rules,
    read_exchange,
)
from qnet.emulate.table import Tables

NAMES = ("a", "b", "c", "d")


def members(peers: list[list[str] | None], places: list[int]) -> Exchange:
    return Exchange(
        {"s0": 1, "s1": 2, "s2": 3},
        (("s0", 91, "s1", 92), ("s1", 93, "s2", 94)),
        tuple(
            Member(
                name,
                f"s{place}",
                10 + number,
                0x020000000000 + number,
                None,
                None,
                None,
                None if names is None else frozenset(names),
            )
            for number, (name, names, place) in enumerate(zip(NAMES, peers, places, strict=True))
        ),
    )


def delivered(exchange: Exchange, entered: Member, frame: Frame) -> list[tuple[str, int]]:
    """Follow a frame through the fabric; return the ports of members that it leaves by."""
    tables = {one.name: Tables(one) for one in exchange_rules(exchange)}
    wires = {(a, p): (b, q) for a, p, b, q in exchange.trunks}
    wires |= {far: near for near, far in wires.items()}
    left: list[tuple[str, int]] = []
    walking = [(entered.switch, entered.port, frame)]
    for _ in range(20):
        if not walking:
            return left
        switch, port, one = walking.pop()
        for out, copy in tables[switch].send(one, port).copies:
            if (switch, out) in wires:
                walking.append((*wires[switch, out], copy))
            else:
                left.append((switch, out))
    raise AssertionError("a loop")


@given(
    st.lists(st.none() | st.lists(st.sampled_from(NAMES)), min_size=4, max_size=4),
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
def test_exactly_those_reach_each_other_who_both_want_to(
    peers: list[list[str] | None], places: list[int]
) -> None:
    exchange = members(peers, places)
    for source, wants in zip(exchange.members, peers, strict=True):
        for target, lets in zip(exchange.members, peers, strict=True):
            agreed = (wants is None or target.name in wants) and (
                lets is None or source.name in lets
            )
            expected = [(target.switch, target.port)] if agreed and source != target else []
            frame = Frame(target.mac, source.mac, IPV4)
            assert delivered(exchange, source, frame) == expected
            stranger = Frame(target.mac, 0x02FFFFFFFFFF, IPV4)
            assert delivered(exchange, source, stranger) == []


def test_all_faults_of_a_member_file_are_told_at_once() -> None:
    text = json.dumps(
        {
            "format": FORMAT,
            "switches": [{"name": "left", "datapath_id": 1}],
            "trunks": [{"between": ["left", "nowhere"], "ports": [1, 2]}],
            "members": [
                {"name": "a", "switch": "left", "port": 1, "mac": "02:00:00:00:00:01"},
                {"name": "a", "switch": "right", "port": 1, "mac": "02-00", "ipv4": "1.2.3"},
                {"name": "c", "switch": "left", "port": 1, "mac": "02:00:00:00:00:01"},
                {"name": "d", "switch": "left", "mac": "02:00:00:00:00:03", "peers": ["x"]},
            ],
        }
    )
    with pytest.raises(ValueError, match="trunks") as caught:
        read_exchange(text)
    assert str(caught.value).splitlines() == [
        "trunks[0]: needs two switches in 'between' and two 'ports'",
        "members[1].mac: '02-00' is no MAC address, like 02:00:00:00:00:01",
        "members[1].switch: no switch 'right'",
        "members[1].ipv4: Expected 4 octets in '1.2.3'",
        "members[3].port: an OpenFlow port number is needed",
        "members[3].peers: no member 'x'",
        "members[1].name: the same as of members[0]",
        "members[2].port: the same as of members[0]",
        "members[2].mac: the same as of members[0]",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "line 1: "), ("[]", "not a member file"), (f'{{"format": "{FORMAT}"}}', "switches:")],
)
def test_what_is_no_member_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_exchange(text)
