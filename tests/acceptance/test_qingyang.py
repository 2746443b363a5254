"""The main job: 10 Tb/s out of Qingyang, every frame of 40 ms, every reserved stream proven."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest

from qnet.files.read import read_topology
from qnet.model.topology import propagation_ps
from tests.asking import Answer, ask, command

TEN_TERABITS_BPS = 10**13


@pytest.fixture(scope="session")
def answer() -> Answer:
    return ask("qingyang")


def test_the_verdict_is_pass(answer: Answer) -> None:
    assert answer.verdict.findings == ()
    assert answer.proof.findings == ()
    assert answer.verdict.outcome == "pass"
    assert {row.outcome for row in answer.verdict.rows} == {"pass"}


def test_ten_terabits_are_placed_and_no_plan_could_place_more(answer: Answer) -> None:
    (egress,) = answer.plan.egress
    assert egress.placed_bps == egress.bound_bps == egress.required_bps == TEN_TERABITS_BPS


def test_ten_terabits_are_delivered(answer: Answer) -> None:
    delivered_bps = answer.row("qingyang", "egress").simulated
    assert delivered_bps is not None
    # Random arrivals come to their mean within 0.1 % in the steady part of the run.
    assert 0.999 * TEN_TERABITS_BPS <= delivered_bps <= 1.001 * TEN_TERABITS_BPS


def test_every_frame_of_forty_milliseconds_is_sent(answer: Answer) -> None:
    seen = answer.observation
    assert seen.duration_ps == 40 * 10**9
    assert seen.frames > 30_000_000
    assert sum(one.sent for one in (*seen.streams, *seen.demands)) <= seen.frames
    # 10 Tb/s of frames of at most 4158 B on the wire (the largest of the profile) for 40 ms.
    assert seen.frames * 4158 * 8 > TEN_TERABITS_BPS * 0.04


def test_the_longest_route_is_in_steady_state(answer: Answer) -> None:
    seen = answer.observation
    slowest_ps = max(one.latency_ps_max or 0 for one in (*seen.streams, *seen.demands))
    assert slowest_ps < seen.steady_from_ps < seen.duration_ps // 2


def test_every_reserved_stream_is_proven_and_stays_within_its_proof(answer: Answer) -> None:
    profile = answer.scenario.profile
    streams = [stream for stream in profile.every_stream if profile.is_reserved(stream)]
    assert len(streams) == 1575
    planned = {one.name: one for one in answer.plan.streams}
    proven = {one.name: one for one in answer.proof.streams}
    seen = {one.name: one for one in answer.observation.streams}
    for stream in streams:
        name = stream.name
        assert planned[name].status == "admitted"
        least_ps, most_ps = proven[name].latency_ps_min, proven[name].latency_ps_max
        low_ps, high_ps = seen[name].latency_ps_min, seen[name].latency_ps_max
        assert least_ps is not None, name
        assert most_ps is not None, name
        assert low_ps is not None, name
        assert high_ps is not None, name
        assert least_ps <= low_ps <= high_ps <= most_ps, name
        assert stream.max_latency_ps is None or most_ps <= stream.max_latency_ps, name


def test_no_reserved_frame_is_lost_or_late(answer: Answer) -> None:
    assert len(answer.observation.streams) == 1575
    assert sum(one.sent for one in answer.observation.streams) > 1_000_000
    assert sum(one.received for one in answer.observation.streams) > 1_000_000
    assert sum(one.lost for one in answer.observation.streams) == 0
    assert sum(one.late for one in answer.observation.streams) == 0


def test_dampers_leave_a_microsecond_over_two_thousand_kilometres(answer: Answer) -> None:
    """All 10 Tb/s flow beside them; clocks are within 100 ns, so 200 ns are left."""
    seen = {one.name: one for one in answer.observation.streams}
    proven = {one.name: one for one in answer.proof.streams}
    damped = [one for one in answer.scenario.profile.every_stream if one.damper]
    assert len(damped) == 800
    for stream in damped:
        assert proven[stream.name].variation_ps == 200_000
        variation_ps = seen[stream.name].variation_ps
        assert variation_ps is not None
        assert 0 < variation_ps <= 200_000
    fibre_ps_per_km = 4_900_000
    assert shortest_ps("qingyang", "qy-c7", "shanghai") > 2_000 * fibre_ps_per_km
    assert "control-shanghai-200" in {one.name for one in damped}


# Refusals


def shortest_ps(topology_name: str, source: str, target: str) -> int:
    """Propagation along the shortest way, found by another library."""
    topology = read_topology(topology_name)
    graph = nx.Graph()
    for link in topology.links:
        delay_ps = propagation_ps(link, topology.node_by_name).there
        if delay_ps < graph.get_edge_data(*link.between, {"ps": 2**62})["ps"]:
            graph.add_edge(*link.between, ps=delay_ps)
    length: int = nx.dijkstra_path_length(graph, source, target, weight="ps")
    return length


def test_ten_milliseconds_to_shanghai_are_refused_by_the_speed_of_light(tmp_path: Path) -> None:
    profile = tmp_path / "far.yaml"
    profile.write_text(
        "title: Too far\ntopology: qingyang\nsimulation: {duration: 1ms}\nstreams:\n"
        "  - {name: far, from: qy-c1, to: shanghai, interval: 1ms, max-payload-size: 100B, "
        "max-latency: 10ms}\n"
    )
    answer = ask(profile)
    least_ps = shortest_ps("qingyang", "qy-c1", "shanghai")
    assert 12 * 10**9 < least_ps < 13 * 10**9
    far = answer.planned("far")
    assert far.status == "refused"
    assert far.reason == f"propagation alone is {least_ps / 10**9:.3f} ms of 10.000 ms"
    run = command("run", profile)
    assert run.returncode == 1
    assert f"far: {far.reason}" in run.stdout


def test_reserved_streams_fill_ten_terabits_to_the_bit() -> None:
    answer = ask("qingyang-full")
    (egress,) = answer.plan.egress
    assert egress.placed_bps == egress.bound_bps == TEN_TERABITS_BPS
    assert [one.status for one in answer.plan.streams] == ["admitted"] * 10_000
    assert answer.verdict.outcome == "pass"
    # Every wire that leaves the city is full in its fullest cycle, to the byte.
    topology = answer.scenario.topology
    sites = {node.name: node.site for node in topology.nodes}
    leaving = {
        port.name: port.reservable_bps * 10 // (8 * 10**6)
        for port in topology.ports
        if sites[port.source] == "qingyang" and sites[port.target] != "qingyang"
    }
    assert len(leaving) == 20
    fullest = {one.port: one.reserved_bytes for one in answer.proof.ports}
    assert {name: fullest[name] for name in leaving} == leaving


def test_the_first_stream_beyond_ten_terabits_is_refused_with_port_and_cycle() -> None:
    run = command("run", "qingyang-full", "--set", "extra=1")
    assert run.returncode == 1
    answer = ask("qingyang-full", settings={"extra": 1})
    refused = [one for one in answer.plan.streams if one.status == "refused"]
    assert [one.name for one in refused] == ["beyond"]
    reason = refused[0].reason
    assert reason is not None
    assert reason in run.stdout
    words = reason.split()
    assert words[0] == "port"
    assert words[2] == "cycle"
    port = words[1].rstrip(",")
    assert reason == f"port {port}, cycle 0: 1250 bytes needed, 0 free; 8 routes tried"
    assert port in answer.scenario.topology.port_by_name
    fullest = next(one for one in answer.proof.ports if one.port == port)
    assert fullest.reserved_bytes == fullest.capacity_bytes
    assert answer.plan.egress[0].placed_bps == TEN_TERABITS_BPS
