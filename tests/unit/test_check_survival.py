"""What a site can send after the worst single failure: beside all cuts of small networks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest

from qnet import api
from qnet.check.survival import survivable_egress
from qnet.check.verdict import judge
from qnet.errors import InputError
from qnet.files.read import load
from qnet.model.proof import Proof, SurvivableEgress
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.model.verdict import Row
from qnet.report.text import SURVIVAL, _sums
from tests.builders import network, plan_for, profile

GBPS = 10**9


def of_site(net: Topology, traffic: Profile) -> SurvivableEgress:
    (found,) = survivable_egress(net, traffic)
    return found


def least_cut(net: Topology, sources: Collection[str], cables: Collection[str] = ()) -> int:
    """Try every set of nodes that has the sources: the least that leaves one is the most that flows
    (max-flow min-cut); hosts pass nothing on, so flows into them count for nothing.
    """
    inside = [node.name for node in net.nodes if node.site == "here"]
    others = [name for name in inside if name not in sources]
    sets = chain.from_iterable(combinations(others, size) for size in range(len(others) + 1))
    least = None
    for more in sets:
        kept = {*sources, *more}
        out = sum(
            port.reservable_bps
            for port in net.ports
            if port.source in kept
            and port.target not in kept
            and net.cable(net.links[port.link]) not in cables
            and not (port.target in inside and net.node_by_name[port.target].is_host)
        )
        least = out if least is None else min(least, out)
    assert least is not None
    return least


class Dice:
    """Whole numbers out of a seed."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def between(self, low: int, high: int) -> int:
        return low + int(self._bits.random_raw()) % (high - low + 1)

    def chance(self, percent: int) -> bool:
        return self.between(1, 100) <= percent

    def some(self, things: Sequence[Any], count: int) -> list[Any]:
        left = list(things)
        return [left.pop(self.between(0, len(left) - 1)) for _ in range(count)]


def drawn(seed: int) -> tuple[Topology, Profile, list[str]]:
    """Draw a site of up to six nodes, cables that share links, and who sends."""
    dice = Dice(seed)
    inside = [f"n{number}" for number in range(dice.between(1, 6))]
    sources = sorted(dice.some(inside, dice.between(1, len(inside))))
    names = [*inside, "far", "off"]
    pairs = [pair for pair in combinations(names, 2) if pair != ("far", "off")]
    links: list[dict[str, Any]] = [
        {
            "between": pair if dice.chance(50) else pair[::-1],
            "rate": f"{dice.between(2, 9)}Gbps",
            "reservable": "2Gbps",
            "members": dice.between(1, 3),
            "length": "1km",
            **({"cable": dice.some("xyz", 1)[0]} if dice.chance(40) else {}),
            **({"direction": "one-way"} if dice.chance(20) else {}),
        }
        for pair in dice.some(pairs, dice.between(len(inside), len(pairs)))
    ]
    nodes = [
        {
            "name": name,
            **({"site": "here"} if name in inside else {}),
            **({"kind": "host"} if dice.chance(20) else {}),
        }
        for name in names
    ]
    demands = [{"from": one, "to": "far", "rate": "1Gbps"} for one in sources]
    traffic = profile(demands=demands, egress=[{"site": "here", "rate": "1Gbps"}])
    return network(links, nodes=nodes), traffic, sources


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_every_failure_of_drawn_sites_is_the_least_cut(start: int) -> None:
    for seed in range(start, start + 100):
        net, traffic, sources = drawn(seed)
        inside = [node.name for node in net.nodes if node.site == "here"]
        found = of_site(net, traffic)
        assert found.whole_bps == least_cut(net, sources), seed
        touching = dict.fromkeys(
            net.cable(net.links[port.link])
            for port in net.ports
            if port.source in inside
            and not (port.target in inside and net.node_by_name[port.target].is_host)
        )
        cut = {cable: least_cut(net, sources, [cable]) for cable in touching}
        assert found.cable_bps == min(cut.values(), default=None), seed
        assert found.cables == tuple(one for one in cut if cut[one] == found.cable_bps), seed
        down = {}
        for name in inside:
            left = [one for one in sources if one != name]
            if left:
                of_node = {
                    net.cable(net.links[port.link])
                    for port in net.ports
                    if name in (port.source, port.target)
                }
                if _alone(net, name, of_node):
                    down[name] = least_cut(net, left, of_node)
        if set(down) == {one for one in inside if set(sources) != {one}}:
            assert found.node_bps == min(down.values(), default=None), seed
            assert found.nodes == tuple(one for one in down if down[one] == found.node_bps), seed


def _alone(net: Topology, name: str, cables: Collection[str]) -> bool:
    """Whether cables are those of one node alone, so that to cut them is to stop the node."""
    return all(name in link.between for link in net.links if net.cable(link) in cables)


def test_qingyang_keeps_9_220_after_a_cable_and_says_which_come_to_the_same() -> None:
    case = load("qingyang")
    found = of_site(case.topology, case.profile)
    assert found == SurvivableEgress(
        site="qingyang",
        whole_bps=10_000 * GBPS,
        cable_bps=9_220 * GBPS,
        cables=("ix-xian", "ix-lanzhou", "ix-shanghai", "ct-xian", "cm-xian", "cu-xian"),
        node_bps=7_320 * GBPS,
        nodes=("qy-ix2",),
    )


LINKS = [
    {"between": ["a", "far"], "rate": "4Gbps", "cable": "west"},
    {"between": ["b", "far"], "rate": "3Gbps", "cable": "west"},
    {"between": ["c", "far"], "rate": "5Gbps", "cable": "east"},
    {"between": ["a", "b"], "rate": "9Gbps"},
    {"between": ["a", "c"], "rate": "9Gbps"},
    {"between": ["b", "c"], "rate": "9Gbps"},
]
NODES = [*({"name": name, "site": "here"} for name in "abc"), {"name": "far"}]


def rows(senders: Sequence[str] = "ab", **egress: Any) -> tuple[SurvivableEgress, list[Row]]:
    net = network(LINKS, nodes=NODES, link={"length": "1km"})
    demands = [{"from": one, "to": "far", "rate": "1Gbps"} for one in senders]
    asked = {"site": "here", "rate": "6Gbps", **egress}
    traffic = profile(demands=demands, egress=[asked])
    found = of_site(net, traffic)
    plan = plan_for(net, traffic)
    proof = Proof(streams=(), ports=(), findings=(), survivable=(found,))
    made = judge(net, traffic, plan, proof, ()).rows
    return found, [row for row in made if row.kind in SURVIVAL]


def test_cables_take_all_that_is_in_them_along() -> None:
    found, (cable, node) = rows()
    assert (found.whole_bps, found.cable_bps, found.cables) == (12 * GBPS, 5 * GBPS, ("west",))
    assert (found.node_bps, found.nodes) == (7 * GBPS, ("c",))
    assert (cable.outcome, cable.promised, cable.worst) == ("pass", None, "west")
    assert cable.reason == "at most 5.000 Gb/s without west"
    assert (node.outcome, node.proven, node.worst) == ("pass", 7 * GBPS, "c")


def test_what_is_promised_to_survive_fails_with_the_figure() -> None:
    _, (cable, node) = rows(survives=["cable", "node"])
    assert (cable.outcome, cable.promised, cable.broken) == ("fail", 6 * GBPS, 1)
    assert cable.reason == ("1.000 Gb/s short of the requirement; at most 5.000 Gb/s without west")
    assert (node.outcome, node.basis) == ("pass", "proven")
    _, (cable, node) = rows(survives=["cable"], rate="5Gbps")
    assert (cable.outcome, cable.basis, node.promised) == ("pass", "proven", None)


def test_nodes_that_are_one_node_fail_together() -> None:
    found, (_, node) = rows(together=[["a", "c"]], survives=["node"])
    assert (found.node_bps, found.nodes) == (3 * GBPS, ("a+c",))
    assert (node.outcome, node.worst) == ("fail", "a+c")


def test_a_node_that_is_the_only_source_does_not_count() -> None:
    found, _ = rows(senders="a")
    assert (found.node_bps, found.nodes) == (7 * GBPS, ("c",))


def test_alike_failures_are_named() -> None:
    links = [
        {**one, "rate": "4Gbps", "cable": name} for one, name in zip(LINKS, "xyz", strict=False)
    ]
    net = network([*links, *LINKS[3:]], nodes=NODES, link={"length": "1km"})
    demand = {"from": "a", "to": "far", "rate": "1Gbps"}
    traffic = profile(demands=[demand], egress=[{"site": "here", "rate": "9Gbps"}])
    assert of_site(net, traffic).cables == ("x", "y", "z")


def test_terminal_and_json_say_it() -> None:
    result = api.run("su-qing-ba", simulate=False)
    row = result.row("qingyang", "cable-egress")
    assert row.reason is not None
    assert f"egress of qingyang, a cable cut: {row.reason}" in _sums(result.verdict)
    said = result.to_dict()["verdict"]["rows"]
    assert [one["proven"] for one in said if one["kind"] == "cable-egress"] == [row.proven]


def test_nodes_of_elsewhere_cannot_fail_together_with_the_site() -> None:
    traffic = {
        "title": "t",
        "topology": "su-qing-ba",
        "egress": [{"site": "qingyang", "rate": "1Gbps", "together": [["qy-ix", "nanjing", "x"]]}],
    }
    with pytest.raises(InputError) as raised:
        api.load(traffic)
    assert [one.where for one in raised.value.problems] == [
        "egress[0].together[0][1]",
        "egress[0].together[0][2]",
    ]


def test_a_node_whose_name_is_no_name_is_the_only_fault() -> None:
    net = {
        "title": "t",
        "nodes": [{"name": ["a"], "site": "here"}, {"name": "b", "site": "here"}],
        "links": [{"between": ["b", "c"], "rate": "1Gbps", "length": "1km"}],
    }
    traffic = {
        "title": "t",
        "topology": "t",
        "egress": [{"site": "here", "rate": "1Gbps", "together": [["b"]]}],
    }
    with pytest.raises(InputError) as raised:
        api.load(traffic, topology=net)
    assert {one.where for one in raised.value.problems} == {"nodes[0].name", "links[0].between[1]"}
