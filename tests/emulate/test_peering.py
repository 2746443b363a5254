"""The peering fabric without a switch: who reaches whom, and what a wrong member file is told."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.emulate.openflow.frame import FrameHeaders
from qnet.emulate.openflow.nouns import IPV4
from qnet.emulate.openflow.table import Tables
from qnet.emulate.rules.peering import (
    FORMAT,
    Exchange,
    Member,
    exchange_rules,
    read_exchange,
)

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


def delivered(exchange: Exchange, entered: Member, frame: FrameHeaders) -> list[tuple[str, int]]:
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
            frame = FrameHeaders(target.mac, source.mac, IPV4)
            assert delivered(exchange, source, frame) == expected
            stranger = FrameHeaders(target.mac, 0x02FFFFFFFFFF, IPV4)
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
        "members[2].port: the same as of members[0]",
        "members[3].port: an OpenFlow port number is needed, from 1 to 0xffffff00",
        "members[3].peers: no member 'x'",
        "members[1].name: the same as of members[0]",
        "members[2].mac: the same as of members[0]",
    ]


GOOD: dict[str, Any] = {
    "format": FORMAT,
    "switches": [{"name": "s1", "datapath_id": 1}, {"name": "s2", "datapath_id": 2}],
    "trunks": [{"between": ["s1", "s2"], "ports": [10, 11]}],
    "members": [
        {"name": "m1", "switch": "s1", "port": 1, "mac": "02:00:00:00:00:01", "ipv4": "10.0.0.1"},
        {"name": "m2", "switch": "s2", "port": 1, "mac": "02:00:00:00:00:02", "peers": ["m1"]},
    ],
}

FAULTY: list[tuple[tuple[Any, ...], object]] = [
    *((("members", 0, "rate_kbps"), value) for value in (-1, 0, 1.5, True, 2**40, "5", None, [1])),
    *((("members", 0, "port"), value) for value in (-1, 0, True, 2**40, 10, 0xFFFFFF01, "1", None)),
    *((("members", 0, "mac"), one) for one in ("ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00")),
    (("members", 0, "mac"), 1),
    (("members", 0, "mac"), "01:00:5e:00:00:01"),
    *((("switches", 0, "datapath_id"), value) for value in (-1, 0, 2**70, 2, True, "1", 1.0)),
    *((("switches", 0, "name"), value) for value in ("s2", ["s1"], None, "", "a\nb")),
    *((("trunks", 0, "ports"), one) for one in (["10", "11"], [-1, 2**50], [0, 11], 7, [True, 2])),
    *((("trunks", 0, "between"), value) for value in (["s1", "s1"], [["s1"], "s2"], "s1", None)),
    (("members", 0, "name"), {}),
    *((("members", 0, "name"), value) for value in (None, 7, "m2")),
    *((("members", 0, "ipv4"), value) for value in (1, "224.0.0.1", "0.0.0.0", True, None, "::1")),
    *((("members", 0, "ipv4"), value) for value in ("255.255.255.255", "127.0.0.1")),
    *((("members", 0, "ipv6"), value) for value in ("::", "ff02::1", "fe80::1%eth0", 1)),
    *((("members", 1, "peers"), value) for value in (7, ["x"], [["m1"]], "m1", {"m1": 1})),
    *((("members", 0, key), "5Mbps") for key in ("rate", "ip", "Mac", "\x1b")),
    *(((key,), value) for key in ("switches", "members", "trunks") for value in (7, {"a": 1}, [1])),
    (("more",), 1),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value"), FAULTY, ids=str)
def test_every_fault_is_told_with_its_place(place: tuple[Any, ...], value: object) -> None:
    read_exchange(json.dumps(GOOD))
    data = deepcopy(GOOD)
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=rf"(?m)^{place[0]}") as caught:
        read_exchange(json.dumps(data))
    told = str(caught.value)
    where = place[0] if len(place) == 1 else f"{place[0]}[{place[1]}]"
    second = f"{place[0]}[1].{place[-1]}"  # what two have is told at the second
    assert where in told or second in told
    assert told.replace("\n", "").isprintable()


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]),
    st.just({}), st.sampled_from(["s1", "m1", 1, 2, 10]), st.lists(st.integers(), max_size=3),
)  # fmt: skip


@given(st.data())
def test_whatever_a_member_file_holds_it_is_taken_or_refused(data: st.DataObject) -> None:
    changed = deepcopy(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        inner: Any = changed
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            deeper = isinstance(inner[key], dict | list) and data.draw(st.booleans())
            if not deeper:
                inner[key] = data.draw(JUNK)
                break
            inner = inner[key]
    try:
        found = read_exchange(json.dumps(changed))
    except ValueError:
        return
    for switch in exchange_rules(found):
        assert len({(rule.table, rule.priority, rule.match) for rule in switch.rules}) > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "line 1: "), ("[]", "not a member file"), (f'{{"format": "{FORMAT}"}}', "switches:")],
)
def test_what_is_no_member_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_exchange(text)
