"""The model of the tables, and the texts read back, against a real Open vSwitch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.emulate.openflow.frame import FrameHeaders, Label, Tag, read_frame
from qnet.emulate.openflow.messages import Command, encode
from qnet.emulate.openflow.nouns import (
    ANY,
    IPV4,
    OWNER,
    Action,
    Bucket,
    Field,
    Group,
    Meter,
    Rule,
    Switch,
    match,
    output,
    pop_mpls,
    push_mpls,
    set_field,
    to_group,
)
from qnet.emulate.openflow.table import Tables, differences
from qnet.emulate.openflow.text import read_flows, read_groups, read_meters, show
from qnet.emulate.rules.wiring import HOST_PORT
from qnet.emulate.switches import ovs
from tests.emulate.networks import Case, all_but, golden, host_bytes, waiting
from tests.emulate.probe import Probe

needs_ovs = pytest.mark.skipif(ovs.missing_switch() is not None, reason=ovs.missing_switch() or "")


@pytest.fixture(scope="module")
def running() -> Iterator[ovs.Ovs]:
    with ovs.Ovs() as one:
        yield one


def install(running: ovs.Ovs, case: Case, switch: Switch) -> Probe:
    """Make one node's switch and give it its rules by hand."""
    ports = [port for node, port in case.wiring.port_at if node == switch.name]
    probe = Probe(running, switch.datapath_id, [HOST_PORT, *ports])
    for meter in switch.meters:
        running.ofctl("add-meter", probe.name, show(meter))
    for group in switch.groups:
        running.ofctl("add-group", probe.name, show(group))
    lines = "".join(f"{show(rule)}\n" for rule in switch.rules)
    running.ofctl("add-flows", probe.name, "-", stdin=lines)
    return probe


@needs_ovs
@pytest.mark.parametrize("name", ["two-paths", "demands-over-lag", "waiting"])
def test_a_real_switch_does_what_the_model_says(
    running: ovs.Ovs, name: str, tmp_path: Path
) -> None:
    """Every stream, cycle and hop: same ports, same headers, and nothing of the frame lost."""
    case = waiting(tmp_path) if name == "waiting" else golden(name)
    switches = {one.name: one for one in case.switches}
    real = {one.name: install(running, case, one) for one in case.switches}
    try:
        for node, probe in real.items():
            assert differences(switches[node], probe.has(node)) == ()
        delivered = 0
        for stream in case.streams:
            for interval in stream.intervals:
                data = host_bytes(case, stream, interval, payload=7 * interval)
                walking = [(stream.talker, HOST_PORT, data)]
                while walking:
                    node, port, frame = walking.pop()
                    expected = Tables(switches[node]).send(read_frame(frame), port)
                    found = real[node].send(port, frame)
                    assert sorted((at, read_frame(out)) for at, out in found) == sorted(
                        expected.copies
                    )
                    for at, out in found:
                        assert out.endswith(data[14:])
                        if at == HOST_PORT:
                            delivered += 1
                            assert node == stream.listener
                        else:
                            wire = case.wiring.port_at[node, at]
                            walking.append((wire.target, case.wiring.in_port(wire), out))
        assert delivered == sum(len(one.intervals) * len(one.paths) for one in case.streams)
    finally:
        for probe in real.values():
            probe.close()


def fields() -> st.SearchStrategy[tuple[Field, ...]]:
    """Draw matches that a switch accepts: prerequisites and all."""
    values = {
        "eth_dst": st.integers(0, 2**48 - 1),
        "in_port": st.integers(1, 99),
        "metadata": st.integers(0, 2**64 - 1),
    }
    plain = st.fixed_dictionaries({}, optional=values)
    kinds = st.sampled_from(
        [
            {},
            {"eth_type": 0x8847, "mpls_label": 77, "mpls_tc": 5, "mpls_bos": 1},
            {"eth_type": IPV4, "ip_dscp": 47, "ipv4_dst": (0x0A010000, 0xFFFF0000)},
            {"eth_type": IPV4, "ip_proto": 17, "udp_dst": 5000, "udp_src": 1},
            {"eth_type": 0x0806, "arp_op": 1, "arp_spa": 0x0A000001, "arp_tpa": 0x0A000002},
            {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135, "ipv6_nd_target": 2**120},
            {"vlan_vid": 0x1005, "vlan_pcp": 3},
        ]
    )
    return st.builds(lambda one, other: match(**one, **other), plain, kinds)


ACTIONS = st.sampled_from(
    [
        output(3),
        output(0xFFFFFFFD),
        push_mpls(),
        pop_mpls(IPV4),
        Action("push_vlan", 0x8100),
        Action("pop_vlan"),
        Action("set_queue", 7),
        to_group(9),
        set_field("eth_dst", 0x020000000001),
        set_field("mpls_label", 77),
        set_field("mpls_tc", 3),
        set_field("vlan_vid", 0x1005),
    ]
)
RULES = st.builds(
    Rule,
    table=st.integers(0, 3),
    priority=st.integers(0, 0xFFFF),
    match=fields(),
    actions=st.lists(ACTIONS, max_size=5).map(tuple),
    goto=st.none() | st.integers(4, 9),
    metadata=st.none() | st.tuples(st.integers(0, 255), st.sampled_from([255, 2**64 - 1])),
    meter=st.none() | st.integers(1, 99),
    cookie=st.integers(0, 2**64 - 1),
    why=st.just(""),
)
GROUPS = st.builds(
    Group,
    number=st.integers(1, 9999),
    kind=st.sampled_from(["all", "fast_failover", "indirect", "select"]),
    buckets=st.lists(
        st.builds(Bucket, st.lists(ACTIONS, max_size=3).map(tuple), st.sampled_from([ANY, 1, 77])),
        max_size=3,
    ).map(tuple),
    why=st.just(""),
)
METERS = st.builds(
    Meter,
    number=st.integers(1, 9999),
    rate_kbps=st.integers(1, 2**32 - 1),
    burst_kbits=st.integers(0, 2**32 - 1),
    why=st.just(""),
)


@given(RULES)
def test_rules_read_back_as_they_were_written(rule: Rule) -> None:
    assert read_flows(show(rule)) == (rule,)


@given(GROUPS, METERS)
def test_groups_and_meters_read_back_as_they_were_written(group: Group, meter: Meter) -> None:
    assert read_groups(show(group)) == (group,)
    assert read_meters(show(meter).replace(",", " ")) == (meter,)


@given(RULES)
def test_a_message_read_and_written_by_the_framework_is_the_same(rule: Rule) -> None:
    protocol = pytest.importorskip("os_ken.ofproto.ofproto_protocol")
    v13 = pytest.importorskip("os_ken.ofproto.ofproto_v1_3_parser")
    data = encode(rule, Command.ADD, 77)
    described = protocol.ProtocolDesc(version=4)
    message = v13.OFPFlowMod.parser(described, 4, 14, len(data), 77, bytearray(data))
    assert written(message) == data


@given(GROUPS, METERS, st.sampled_from(Command))
def test_groups_and_meters_are_as_the_framework_makes_them(
    group: Group, meter: Meter, command: Command
) -> None:
    protocol = pytest.importorskip("os_ken.ofproto.ofproto_protocol")
    v13 = pytest.importorskip("os_ken.ofproto.ofproto_v1_3_parser")
    described = protocol.ProtocolDesc(version=4)
    band = v13.OFPMeterBandDrop(rate=meter.rate_kbps, burst_size=meter.burst_kbits)
    flags = v13.ofproto.OFPMF_KBPS | v13.ofproto.OFPMF_BURST
    message = v13.OFPMeterMod(described, int(command), flags, meter.number, [band])
    assert written(message) == encode(meter, command, 77)
    if command == Command.DELETE:
        return
    kinds = {"all": "ALL", "fast_failover": "FF", "indirect": "INDIRECT", "select": "SELECT"}
    kind = getattr(v13.ofproto, f"OFPGT_{kinds[group.kind]}")
    plain = group._replace(
        buckets=tuple(one._replace(actions=(output(3),)) for one in group.buckets)
    )
    buckets = [
        v13.OFPBucket(watch_port=one.watch_port, actions=[v13.OFPActionOutput(3, 0xFFFF)])
        for one in group.buckets
    ]
    message = v13.OFPGroupMod(described, int(command), kind, group.number, buckets)
    assert written(message) == encode(plain, command, 77)


def written(message: Any) -> bytes:
    message.set_xid(77) if message.xid is None else None
    message.serialize()
    return bytes(message.buf)


@given(
    st.lists(st.builds(Tag, st.just(0x8100), st.integers(0, 4095), st.integers(0, 7)), max_size=2),
    st.lists(
        st.builds(Label, st.integers(16, 2**20 - 1), st.integers(0, 7), st.integers(0, 255)),
        max_size=3,
    ),
    st.integers(0, 63),
)
def test_headers_are_what_scapy_wrote(tags: list[Tag], labels: list[Label], dscp: int) -> None:
    scapy = pytest.importorskip("scapy.all")
    mpls = pytest.importorskip("scapy.contrib.mpls").MPLS
    frame = scapy.Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")
    for tag in tags:
        frame /= scapy.Dot1Q(vlan=tag.identifier, prio=tag.priority)
    for place, label in enumerate(labels):
        bottom = int(place == len(labels) - 1)
        frame /= mpls(label=label.label, cos=label.traffic_class, s=bottom, ttl=label.ttl)
    frame /= scapy.IP(dst="10.0.0.2", src="10.0.0.1", tos=dscp << 2) / scapy.UDP(dport=5, sport=6)
    found = read_frame(bytes(frame))
    inner = {
        "ip_dscp": dscp,
        "ip_ecn": 0,
        "ttl": 64,
        "ip_proto": 17,
        "ipv4_src": 0x0A000001,
        "ipv4_dst": 0x0A000002,
        "udp_src": 6,
        "udp_dst": 5,
    }
    assert found == FrameHeaders(
        0x020000000001, 0x020000000002, IPV4, tuple(tags), tuple(labels), tuple(inner.items())
    )


def test_a_frame_that_ends_inside_its_headers_is_refused() -> None:
    for size in (0, 13, 15):
        with pytest.raises(ValueError, match="ends inside"):
            read_frame(bytes.fromhex("0200000000010200000000028100")[:size] + b"\0" * (size == 15))


def test_a_line_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"cannot read: nw_ttl=5 actions=drop: .*'nw_ttl'"):
        read_flows("nw_ttl=5 actions=drop")


def test_rules_of_others_are_told_apart_by_the_cookie() -> None:
    assert Rule(0, 1, ()).is_ours
    assert not Rule(0, 1, (), cookie=0).is_ours
    assert Rule(0, 1, (), cookie=OWNER | 5).is_ours


@needs_ovs
def test_a_real_switch_changes_over_when_a_port_goes_down(running: ovs.Ovs) -> None:
    """No controller has a part in it, and when the port is back so is the first path."""
    case = golden("demands-over-lag")
    stream = next(
        one
        for one in case.streams
        if one.demand is not None
        and any(
            rule.cookie == OWNER | one.number and rule.actions[0].kind == "group"
            for rule in case.switch(one.talker).rules
        )
    )
    switch = case.switch(stream.talker)
    first = case.wiring.openflow_port[stream.paths[0].ports[0]]
    data = host_bytes(case, stream, 0, payload=40)
    probe = install(running, case, switch)
    try:
        for down in (False, True, False):
            state = "down" if down else "up"
            running.appctl("netdev-dummy/set-admin-state", f"{probe.name}p{first}", state)
            running.fence()
            expected = Tables(switch).send(
                read_frame(data), HOST_PORT, all_but(first) if down else all_but()
            )
            assert [port == first for port, _ in expected.copies] == [not down]
            for _ in range(100):  # the switch looks at its ports when it comes round to it
                found = probe.send(HOST_PORT, data)
                if [port for port, _ in found] == [port for port, _ in expected.copies]:
                    break
            assert [(at, read_frame(out)) for at, out in found] == list(expected.copies)
    finally:
        probe.close()


@pytest.mark.parametrize(("refusals", "good"), [(3, True), (4, False)])
def test_a_question_is_asked_again_when_the_switch_takes_no_connection(
    refusals: int, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run(_: ovs.Ovs, name: str, *words: str, stdin: str | None) -> str:
        asked.append(name)
        if len(asked) <= refusals:
            raise ovs.SwitchFailure(
                "ovs-ofctl: br0.mgmt: failed to connect to socket (Broken pipe)"
            )
        return "answer"

    monkeypatch.setattr(ovs.Ovs, "_run", run)
    if good:
        assert ovs.Ovs().dump("flows", "br0") == "answer"
    else:
        with pytest.raises(ovs.SwitchFailure, match="Broken pipe"):
            ovs.Ovs().dump("flows", "br0")
    asked.clear()
    with pytest.raises(ovs.SwitchFailure, match="Broken pipe"):
        ovs.Ovs().ofctl("add-flow", "br0", "actions=drop")
    assert len(asked) == 1, "a change is not repeated"
