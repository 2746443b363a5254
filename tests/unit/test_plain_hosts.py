"""Plain hosts send and receive, and forward nothing: no way goes on from one."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest

from qnet.check.plan import prove
from qnet.emulate.rules.wiring import Wiring
from qnet.graph.routes import Routes
from qnet.model.plan import PathPlan, Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from tests import builders
from tests.builders import plan_for
from tests.random_sets import Dice


def drawn(number: int) -> Topology:
    """Draw switches and hosts, some hosts with several links."""
    dice = Dice("hosts", number)
    switches = [f"s{i}" for i in range(dice.between(2, 5))]
    hosts = [f"h{i}" for i in range(dice.between(2, 4))]
    links = [(switches[dice.below(i)], switches[i]) for i in range(1, len(switches))]
    for host in hosts:
        near = sorted({dice.below(len(switches)) for _ in range(dice.between(1, 3))})
        links += [(host, switches[i]) for i in near]
    return Topology.model_validate(
        {
            "title": "t",
            "nodes": [{"name": one} for one in switches]
            + [{"name": one, "kind": "host"} for one in hosts],
            "links": [
                {"between": pair, "rate": "10Gbps", "length": f"{dice.between(1, 300)}km"}
                for pair in links
            ],
        }
    )


def without_other_hosts(topology: Topology, source: str, target: str) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    for port in topology.ports:
        ends = {port.source, port.target}
        inner = {node.name for node in topology.nodes if node.kind == "host"} - {source, target}
        if not ends & inner:
            graph.add_edge(port.source, port.target, key=port.name)
    return graph


def profile(mechanism: str, streams: list[dict[str, object]], **more: Any) -> Profile:
    classes = {"reserved": mechanism, "best-effort": "strict-priority"}
    return builders.profile(streams, mechanisms=classes, **more)


@pytest.mark.parametrize("number", range(40))
def test_routes_are_those_of_the_network_without_other_hosts(number: int) -> None:
    topology = drawn(number)
    routes = Routes(topology)
    names = [node.name for node in topology.nodes]
    for source in names:
        for target in names:
            if source == target:
                continue
            graph = without_other_hosts(topology, source, target)
            able = source in graph and target in graph and nx.has_path(graph, source, target)
            found = routes.candidate(source, target, 0)
            assert (found is not None) == able
            pair = routes.pair(source, target, 0)
            for route in [found, *(pair or ())]:
                kinds = (
                    [topology.node_by_name[edge.source].kind for edge in route.edges[1:]]
                    if route
                    else []
                )
                assert "host" not in kinds


@pytest.mark.parametrize("mechanism", ["tcqf", "csqf", "qbv"])
def test_plans_and_demands_go_round_hosts(mechanism: str) -> None:
    for number in range(12):
        topology = drawn(number)
        hosts = [node.name for node in topology.nodes if node.kind == "host"]
        asked = profile(
            mechanism,
            [
                {
                    "name": f"{one}-{other}",
                    "from": one,
                    "to": other,
                    "interval": "100us",
                    "max-payload-size": "200B",
                }
                for one in hosts
                for other in hosts
                if one != other
            ],
            demands=[{"name": "bulk", "from": hosts[0], "to": hosts[-1], "rate": "25Gbps"}],
        )
        plan = plan_for(topology, asked)
        assert prove(topology, asked, plan).findings == ()
        paths = [path.ports for one in plan.streams for path in one.paths]
        paths += [part.ports for one in plan.demands for part in one.parts]
        assert paths
        for path in paths:
            inner = [topology.port_by_name[name].source for name in path[1:]]
            assert not {topology.node_by_name[name].kind for name in inner} & {"host"}


def test_a_plan_that_goes_on_from_a_host_is_refused() -> None:
    topology = Topology.model_validate(
        {
            "title": "t",
            "nodes": [{"name": "a"}, {"name": "h", "kind": "host"}, {"name": "b"}],
            "links": [
                {"between": ("a", "h"), "rate": "1Gbps", "length": "1km"},
                {"between": ("h", "b"), "rate": "1Gbps", "length": "1km"},
            ],
        }
    )
    asked = profile(
        "tcqf",
        [
            {
                "name": "s",
                "from": "a",
                "to": "b",
                "interval": "100us",
                "max-payload-size": "200B",
                "class": "best-effort",
            }
        ],
    )
    plan = plan_for(topology, asked)
    (refused,) = plan.streams
    assert refused.reason == "no route from a to b"
    forged = Plan.model_validate(
        plan.model_dump()
        | {
            "streams": [
                refused.replace(
                    status="routed", reason=None, paths=(PathPlan(ports=("a->h", "h->b")),)
                )
            ]
        }
    )
    (finding,) = prove(topology, asked, forged).findings
    assert finding.message == "port h->b goes on from h, a host, which forwards nothing"


def test_a_hosts_card_hands_on_and_is_no_link_to_cut() -> None:
    ends = [("a", "b"), ("h", "a"), ("h", "b"), ("i", "b")]
    topology = Topology.model_validate(
        {
            "title": "t",
            "nodes": [{"name": "a"}, {"name": "b"}]
            + [{"name": one, "kind": "host"} for one in ("h", "i")],
            "links": [{"between": pair, "rate": "1Gbps", "length": "1km"} for pair in ends],
        }
    )
    wiring = Wiring(topology)
    assert wiring.hosts == ("h", "i")
    rules = ("in_port=1,actions=output:2", "priority=1,actions=output:1")
    assert wiring.card_rules("h") == rules
    assert wiring.first_link(("h", "a", "b", "i")) == ("a", "b")
    assert wiring.first_link(("h", "b", "i")) is None
