from typing import Any

import pytest

from qnet.graph.trees import Arc, grow, merge
from qnet.model.plan import PathPlan, Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule import schedule
from tests.slow_trees import tree_faults

NODES = ("talker", "left", "right", "one", "two", "three")


def network(*ends: tuple[str, str], **more: Any) -> Topology:
    link = {"rate": "1Gbps", "delay": "1us", **more}
    return Topology.model_validate(
        {
            "title": "t",
            "nodes": [{"name": name, "site": name} for name in NODES],
            "links": [{"between": pair, **link} for pair in ends],
        }
    )


def profile(mechanism: str, *streams: dict[str, Any]) -> Profile:
    given = {
        "class": "control",
        "from": "talker",
        "to": ["one", "two"],
        "interval": "100us",
        "max-payload-size": "1000B",
    }
    return Profile.model_validate(
        {
            "title": "t",
            "topology": "t",
            "classes": [{"name": "control", "priority": 6, "mechanism": mechanism}],
            "streams": [{"name": f"s{place}", **given, **one} for place, one in enumerate(streams)],
        }
    )


def plan_of(topology: Topology, traffic: Profile) -> Plan:
    plan = schedule(topology, traffic, topology_sha256="t", traffic_sha256="p")
    assert tree_faults(topology, traffic, plan) == []
    return plan


STAR = network(("talker", "left"), ("left", "one"), ("left", "two"))
SQUARE = network(
    ("talker", "left"),
    ("talker", "right"),
    ("left", "one"),
    ("right", "one"),
    ("left", "two"),
    ("right", "two"),
)


def ways(plan: Plan) -> list[tuple[str, ...]]:
    return [entry.paths[0].ports for entry in plan.streams]


def test_chains_are_one_as_far_as_they_go_together() -> None:
    arcs = [
        Arc("t", "a"),
        Arc("t", "b"),
        Arc("a", "c"),
        Arc("b", "c"),
        Arc("c", "x"),
        Arc("c", "y"),
    ]
    tree = merge(arcs, [(0, 2, 4), (1, 3, 5)])
    assert tree.arcs == (0, 2, 4, 5)
    assert tree.paths == ((0, 1, 2), (0, 1, 3))
    # A node on the way may listen, too.
    assert merge(arcs, [(0, 2, 4), (1, 3)]).paths == ((0, 1, 2), (0, 1))


def test_trees_go_round_each_part_of_the_first_one() -> None:
    arcs = [
        Arc("t", "a"),
        Arc("t", "b"),
        Arc("a", "x"),
        Arc("b", "x"),
        Arc("a", "y"),
        Arc("b", "y"),
    ]
    ranked = [[(0, 2), (1, 3)], [(0, 4), (1, 5)]]
    found = grow(arcs, ranked, lambda _node, _arc: None)
    assert [tree.arcs for tree in found[:2]] == [(0, 2, 4), (1, 3, 5)]
    assert {(0, 2, 1, 5), (0, 4, 1, 3)} & {tree.arcs for tree in found[2:]}
    assert grow(arcs, [ranked[0], []], lambda _node, _arc: None) == []


def test_what_is_shared_carries_each_frame_once() -> None:
    # 450 Mb/s each: two unicast streams would need all of the first wire for one tree.
    pair = [{"max-payload-size": "1400B", "max-pkts-per-interval": 4}] * 2
    plan = plan_of(STAR, profile("strict-priority", *pair))
    assert [one.status for one in plan.streams] == ["routed"] * 4
    assert ways(plan)[:2] == [("talker->left", "left->one"), ("talker->left", "left->two")]


def test_the_next_tree_is_taken_where_the_first_is_full() -> None:
    large = {"max-payload-size": "1400B", "max-pkts-per-interval": 6}
    plan = plan_of(SQUARE, profile("strict-priority", large, large))
    assert {path[0] for path in ways(plan)[:2]} != {path[0] for path in ways(plan)[2:]}


def test_a_listener_that_no_way_leads_to_refuses_all() -> None:
    plan = plan_of(STAR, profile("strict-priority", {"to": ["one", "three"]}))
    assert [one.reason for one in plan.streams] == ["no route from talker to three"] * 2


@pytest.mark.parametrize(
    ("one", "two", "word"),
    [
        ("talker->left left->one", "talker->right right->two", None),
        ("talker->left left->one", "talker->left left->one", "ends at one"),
        ("left->one", "talker->left left->two", "no way over"),
        (
            "talker->left left->two two->right right->one",
            "talker->right right->one one->left left->two",
            "in another way",
        ),
    ],
)
def test_the_witness_notices(one: str, two: str, word: str | None) -> None:
    traffic = profile("strict-priority", {})
    plan = plan_of(SQUARE, traffic)
    planted = tuple(
        entry.replace(paths=(PathPlan(ports=tuple(path.split())),))
        for entry, path in zip(plan.streams, (one, two), strict=True)
    )
    faults = tree_faults(SQUARE, traffic, plan.replace(streams=planted))
    assert any(word in fault for fault in faults) if word else faults == []
