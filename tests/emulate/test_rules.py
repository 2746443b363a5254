"""Rules from plans, judged on the model of the tables: no switch is needed."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from qnet.emulate.openflow.frame import FrameHeaders, Label
from qnet.emulate.openflow.nouns import (
    IPV4,
    OWNER,
    Action,
    Rule,
    Switch,
    from_text,
    match,
    output,
    set_field,
    to_text,
)
from qnet.emulate.openflow.table import Tables, differences
from qnet.emulate.rules.audit import audit_streams, host_frame
from qnet.emulate.rules.plan_rules import CYCLE_TABLE, FLOW_TABLE, Policing, rules_of
from qnet.emulate.rules.streams import LABEL_PATH_BITS, streams_of
from qnet.emulate.rules.wiring import HOST_PORT
from qnet.errors import Infeasible
from tests.emulate.networks import Case, all_but, case, golden, waiting


@pytest.fixture(scope="module")
def two_paths() -> Case:
    return golden("two-paths")


@pytest.fixture(scope="module")
def parts() -> Case:
    return golden("demands-over-lag")


def changed(case: Case, name: str, old: Rule, *new: Rule) -> tuple[Switch, ...]:
    """Put other rules in the place of one."""
    return tuple(
        one._replace(rules=(*(rule for rule in one.rules if rule != old), *new))
        if one.name == name
        else one
        for one in case.switches
    )


def cycle_row(case: Case, stream: str, node: str) -> Rule:
    """Return the row of the cycle table that a stream's frames of interval 0 take at a node."""
    for path in case.stream(stream).paths:
        for hop, (before, port) in enumerate(pairwise(path.ports)):
            if case.topology.port_by_name[port].source == node:
                in_port = case.wiring.in_port(case.topology.port_by_name[before])
                wanted = {("in_port", in_port), ("mpls_tc", path.cycles[hop] % 4 + 1)}
                return next(
                    rule
                    for rule in case.switch(node).rules
                    if rule.table == CYCLE_TABLE
                    and wanted <= {(field.name, field.value) for field in rule.match}
                )
    raise AssertionError(f"{stream} does not pass {node}")


@pytest.mark.parametrize(
    "profile", ["dual-node", "ceni-beijing-loop", "qingyang", "su-qing-ba", "zheng-qing-ha"]
)
def test_every_flow_of_a_bundled_profile_goes_as_planned(profile: str) -> None:
    found = case(profile)
    assert audit_streams(found.wiring, found.streams, found.switches) == ()
    assert len(found.streams) >= len([one for one in found.plan.streams if one.paths])


def test_tags_on_the_wires_are_the_cycles_of_the_plan(two_paths: Case) -> None:
    """Walk by hand, with nothing of the judge: labels, tags and both copies."""
    stream = two_paths.stream("twice")
    buffers = two_paths.plan.buffers
    tables = {one.name: Tables(one) for one in two_paths.switches}
    planned = next(one for one in two_paths.plan.streams if one.name == "twice")
    per_interval = 10  # cycles of 10 us in 100 us
    for interval in range(2 * buffers):
        frame = host_frame(two_paths.wiring, stream, interval)
        sent = tables["talker"].send(frame, HOST_PORT)
        assert len(sent.copies) == 2
        for path, (_, entered) in zip(planned.paths, sent.copies, strict=True):
            copy = entered
            for hop, (before, port) in enumerate(pairwise([None, *path.ports])):
                if before is not None:
                    arrival = two_paths.wiring.in_port(two_paths.topology.port_by_name[before])
                    node = two_paths.topology.port_by_name[str(port)].source
                    ((out, copy),) = tables[node].send(copy, arrival).copies
                    assert out == two_paths.wiring.openflow_port[str(port)]
                tag = (path.cycles[hop] + interval * per_interval) % buffers
                assert copy.labels[0].label >> LABEL_PATH_BITS == 6
                assert copy.labels[0].traffic_class == tag + 1


def test_a_wrong_cycle_is_named_with_stream_switch_and_rule(two_paths: Case) -> None:
    rule = cycle_row(two_paths, "twice", "south-1")
    right = rule.actions[0].value
    wrong = rule._replace(actions=(set_field("mpls_tc", right % 4 + 1), rule.actions[1]))
    findings = audit_streams(
        two_paths.wiring, two_paths.streams, changed(two_paths, "south-1", rule, wrong)
    )
    assert {(one.stream, one.switch, one.rule) for one in findings} == {("twice", "south-1", wrong)}
    (finding,) = findings
    assert f"the tag of cycle {right % 4}, the plan says cycle {right - 1}" in finding.message
    (difference,) = differences(
        two_paths.switch("south-1"), changed(two_paths, "south-1", rule, wrong)[2]
    )
    assert (difference.kind, difference.wanted, difference.found) == ("changed", rule, wrong)


def test_a_frame_sent_elsewhere_too_is_a_finding(two_paths: Case) -> None:
    message = "the frame is sent to the host of south-2, which is not on its path"
    rule = cycle_row(two_paths, "twice", "south-2")
    leak = rule._replace(actions=(*rule.actions, output(HOST_PORT)))
    findings = audit_streams(
        two_paths.wiring, two_paths.streams, changed(two_paths, "south-2", rule, leak)
    )
    assert {(one.stream, one.switch, one.rule, one.message) for one in findings} == {
        ("twice", "south-2", leak, message)
    }


def test_a_missing_rule_is_a_finding(two_paths: Case) -> None:
    rule = next(
        one
        for one in two_paths.switch("north").rules
        if one.table == FLOW_TABLE and one.why.startswith("once")
    )
    (finding,) = audit_streams(
        two_paths.wiring, two_paths.streams, changed(two_paths, "north", rule)
    )
    assert (finding.stream, finding.switch, finding.rule) == ("once", "north", None)
    assert "not sent to north->listener" in finding.message


def test_what_a_controller_would_decide_is_said_not_guessed(two_paths: Case) -> None:
    flood = Rule(0, 1, (), (Action("output", 0xFFFFFFFB),))
    bare = [one._replace(rules=(flood,)) for one in two_paths.switches]
    findings = audit_streams(two_paths.wiring, two_paths.streams, bare)
    assert all(one.switch == "talker" for one in findings)
    assert any("floods or learns" in one.message for one in findings)


def test_frames_in_a_cycle_that_is_not_the_streams_do_not_enter(two_paths: Case) -> None:
    stream = two_paths.stream("twice")
    allowed = {stream.dscp(interval) for interval in stream.intervals}
    assert len(allowed) == 2  # ten cycles from one interval to the next, four buffers
    tables = Tables(two_paths.switch("talker"))
    frame = host_frame(two_paths.wiring, stream, 0)
    for dscp in range(64):
        inner = {**dict(frame.inner), "ip_dscp": dscp}
        sent = tables.send(frame._replace(inner=tuple(inner.items())), HOST_PORT)
        assert bool(sent.copies) == (dscp in allowed)


def test_only_the_named_flows_get_rules_and_numbers_do_not_depend_on_it(two_paths: Case) -> None:
    some = streams_of(two_paths.topology, two_paths.profile, two_paths.plan, sample={"once"})
    assert [one.name for one in some] == ["once"]
    assert some[0].number == two_paths.stream("once").number
    switches = rules_of(two_paths.topology, some)
    assert {rule.cookie for one in switches for rule in one.rules} == {
        OWNER,
        OWNER | some[0].number,
    }
    assert audit_streams(two_paths.wiring, some, switches) == ()


def test_streams_that_wait_have_a_shift_of_their_own(tmp_path: Path) -> None:
    found = waiting(tmp_path)
    assert audit_streams(found.wiring, found.streams, found.switches) == ()
    shifts = {
        path.cycles[1] - path.cycles[0]
        for stream in found.streams
        for path in stream.paths
        if len(path.cycles) > 1
    }
    rows = {rule.match for rule in found.switch("b").rules if rule.table == CYCLE_TABLE}
    assert len(shifts) > 1
    assert len(rows) == 7 * len(shifts)


def test_eight_buffers_are_more_than_a_traffic_class_tells_apart(tmp_path: Path) -> None:
    with pytest.raises(Infeasible, match=r"8 cycle buffers; .* tells 7 apart"):
        waiting(tmp_path, buffers=8)


def test_two_generations_of_rules_share_no_label_group_or_meter(parts: Case) -> None:
    other = parts.again(1)
    for stream, twin in zip(parts.streams, other.streams, strict=True):
        assert stream.mac == twin.mac
        assert not {one.label for one in stream.paths} & {one.label for one in twin.paths}
    for one, twin_switch in zip(parts.switches, other.switches, strict=True):
        assert not {g.number for g in one.groups} & {g.number for g in twin_switch.groups}
        assert not {m.number for m in one.meters} & {m.number for m in twin_switch.meters}
    assert audit_streams(other.wiring, other.streams, other.switches) == ()


def test_a_part_of_a_demand_changes_over_when_its_first_port_goes_down(parts: Case) -> None:
    by_demand = defaultdict(list)
    for stream in parts.streams:
        if stream.demand is not None:
            by_demand[stream.demand].append(stream)
    split = next(streams for streams in by_demand.values() if len(streams) > 1)
    tables = Tables(parts.switch(split[0].talker))
    for stream in split:
        first = parts.wiring.openflow_port[stream.paths[0].ports[0]]
        frame = host_frame(parts.wiring, stream, 0)
        sent = tables.send(frame, HOST_PORT, all_but(first))
        ((port, frame),) = sent.copies
        assert port != first
        assert frame.labels[0].label in {
            one.paths[0].label
            for one in split
            if parts.wiring.openflow_port[one.paths[0].ports[0]] == port
        }


def test_meters_have_the_placed_rate(parts: Case) -> None:
    demand = parts.plan.demands[0]
    (switch,) = [
        one for one in parts.switches if any(m.why.startswith(demand.name) for m in one.meters)
    ]
    (meter,) = [one for one in switch.meters if one.why.startswith(f"{demand.name}:")]
    assert meter.rate_kbps == pytest.approx(2 * demand.placed_bps / 1000, abs=len(demand.parts))
    slow = rules_of(parts.topology, parts.streams, policing=Policing(percent=100, dilation=1000))
    (meter,) = [
        one for other in slow for one in other.meters if one.why.startswith(f"{demand.name}:")
    ]
    assert meter.rate_kbps == pytest.approx(demand.placed_bps / 10**6, abs=len(demand.parts))


def reached(case: Case, source: str, target: str, down: frozenset[str] = frozenset()) -> bool:
    """Send a host's frame to another host's address; `down` are ports that are down."""
    tables = {one.name: Tables(one) for one in case.switches}
    dead: defaultdict[str, set[int]] = defaultdict(set)
    for name in down:
        dead[case.topology.port_by_name[name].source].add(case.wiring.openflow_port[name])
    node, in_port = source, HOST_PORT
    frame = FrameHeaders(case.wiring.host_mac(target), case.wiring.host_mac(source), IPV4)
    for _ in range(2 * len(case.topology.nodes)):
        sent = tables[node].send(frame, in_port, all_but(*dead.get(node, ())))
        if not sent.copies:
            return False
        ((port_number, frame),) = sent.copies
        if port_number == HOST_PORT:
            return node == target
        port = case.wiring.port_at[node, port_number]
        if port_number in dead[node]:
            return False  # no alternate here: the frame is lost, as on any wire that is down
        node, in_port = port.target, case.wiring.in_port(port)
    raise AssertionError(f"a loop from {source} to {target} without {sorted(down)}")


def test_hosts_reach_each_other_and_no_failure_makes_a_loop(two_paths: Case) -> None:
    nodes = [node.name for node in two_paths.topology.nodes]
    pairs = [(one, other) for one in nodes for other in nodes if one != other]
    assert all(reached(two_paths, *pair) for pair in pairs)
    survived = 0
    for port in two_paths.topology.ports:
        down = frozenset({port.name, two_paths.wiring.reverse[port.name].name})
        survived += sum(reached(two_paths, *pair, down) for pair in pairs)
    assert survived > 0.8 * len(pairs) * len(two_paths.topology.ports)


def test_labelled_frames_from_a_host_do_not_enter(two_paths: Case) -> None:
    """No host can put itself on the path of a stream: labels count on wires only."""
    for stream in two_paths.streams:
        for path in stream.paths:
            label = (Label(path.label, 1, 64),)
            frame = FrameHeaders(stream.mac, two_paths.wiring.host_mac("north"), IPV4, labels=label)
            for switch in two_paths.switches:
                assert Tables(switch).send(frame, HOST_PORT).copies == ()


def test_the_rules_file_says_the_same_when_read_back(parts: Case) -> None:
    text = to_text(parts.switches)
    assert from_text(text) == parts.switches
    assert to_text(from_text(text)) == text
    for bad in ("", "[]", '{"format": "qnet-rules-9"}'):
        with pytest.raises(ValueError, match="not a rules file"):
            from_text(bad)


def test_match_sorts_its_fields() -> None:
    assert match(in_port=1, eth_type=IPV4) == match(eth_type=IPV4, in_port=1)
