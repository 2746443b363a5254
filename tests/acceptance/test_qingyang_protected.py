"""Qingyang with more wires: 10 Tb/s leave through any one failure, and with any wire less not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from qnet import api
from qnet.check.survival import survivable_egress
from qnet.files.read import read_topology
from qnet.graph.flows import most_placed_bps
from qnet.graph.routes import Graph, make_edges
from qnet.model.outages import ports_by_target
from qnet.model.topology import Link, Topology
from qnet.result import Result
from qnet.schedule.capacity import mean_rate_bps

TEN_TERABITS_BPS = 10**13
CENTRE, POINT = ("qy-ix1", "qy-ix2"), ("qy-dp1", "qy-dp2")


@pytest.fixture(scope="module")
def result() -> Result:
    return api.run("qingyang-protected")


def test_every_promise_is_kept(result: Result) -> None:
    assert result.passed, result.reasons
    cable, node = (result.row("qingyang", f"{what}-egress") for what in ("cable", "node"))
    assert (cable.promised, cable.proven, cable.worst) == (10**13, 12_340 * 10**9, "cm-xian")
    assert (node.promised, node.proven, node.worst) == (10**13, 10_460 * 10**9, "qy-ix1+qy-ix2")


def added(topology: Topology) -> dict[tuple[str, str], int]:
    """Return by their ends how many wires links have that those of qingyang lack."""

    def wires(net: Topology) -> Counter[tuple[str, str]]:
        return Counter({one.between: 0 for one in net.links}) + Counter(
            {one.between: one.members for one in net.links}
        )

    return dict(wires(topology) - wires(read_topology("qingyang")))


def test_it_is_qingyang_with_fourteen_wires_and_2520_km_more(result: Result) -> None:
    topology, before = result.scenario.topology, read_topology("qingyang")
    assert added(topology) == {
        ("qy-ct", "xian"): 2,
        ("qy-cm", "xian"): 3,
        ("qy-cu", "xian"): 2,
        ("qy-ix1", "qy-ct"): 2,
        ("qy-ix1", "qy-cm"): 3,
        ("qy-ix2", "qy-cu"): 2,
    }
    known = {one.between: one for one in before.links}
    length_km = {one.between: sum(one.length_mm or ()) // 2 // 10**6 for one in topology.links}
    assert sum(count * length_km[ends] for ends, count in added(topology).items()) == 2520
    # All else is the same, to the last phase of a clock.
    assert topology.nodes == before.nodes
    for link in topology.links:
        if link.between in known:
            old = known[link.between]
            members = link.members - added(topology).get(link.between, 0)
            assert _as_noun(link, members) == old
    words = " ".join(topology.assumptions)
    assert "14 wires and 2520 km" in words


def _as_noun(link: Link, members: int) -> Link:
    return link.replace(members=members)


def test_with_any_wire_less_it_does_not_survive(result: Result) -> None:
    topology, profile = result.scenario.topology, result.scenario.profile
    for ends in added(topology):
        links = tuple(
            one.replace(members=one.members - 1) if one.between == ends else one
            for one in topology.links
        )
        (left,) = survivable_egress(topology.replace(links=links), profile)
        assert left.node_bps is not None
        assert left.node_bps < TEN_TERABITS_BPS, ends


def test_the_linear_program_places_all_after_every_failure_of_the_promise(result: Result) -> None:
    """Not only can 10 Tb/s leave: what is asked for comes to where it is to go."""
    topology, profile = result.scenario.topology, result.scenario.profile
    wants: Counter[tuple[str, str]] = Counter()
    for demand in profile.demands:
        wants[demand.source, demand.target] += demand.rate_bps
    for stream in profile.every_stream:
        wants[stream.talker, stream.listener] += mean_rate_bps(stream)
    by_name = ports_by_target(topology)
    failures = [{topology.cable(link)} for link in topology.links]
    failures += [{"qy-ct"}, {"qy-cm"}, {"qy-cu"}, *({one} for one in (*CENTRE, *POINT))]
    failures += [set(CENTRE), set(POINT)]
    for names in failures:
        down = {port for name in names for port in by_name[name]}
        graph = Graph(make_edges(topology, by_cable=False, down=down))
        room = [sum(port.reservable_bps for port in edge.ports) for edge in graph.edges]
        assert most_placed_bps(graph, room, wants) >= TEN_TERABITS_BPS, names


def test_the_scenes_of_qingyang_fit_there_too() -> None:
    words = (Path(__file__).parents[2] / "traffic/qingyang-protected.yaml").read_text()
    assert "qnet run qingyang --topology qingyang-protected" in words
    plan = api.plan(api.load("qingyang", topology="qingyang-protected"))
    assert plan.complete
    assert plan.egress[0].placed_bps == TEN_TERABITS_BPS
