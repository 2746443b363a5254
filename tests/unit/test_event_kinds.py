"""Kinds of events that come down to outages: what each breaks, and when."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

import qnet
from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.errors import InputError
from qnet.files.read import load
from qnet.files.words import to_yaml
from qnet.model.outages import Outage, Wire, outages_of
from qnet.model.scenario import Scenario
from qnet.model.timeline import Event, Timeline
from qnet.model.topology import Topology
from qnet.simulate.run import simulate

US = 10**6
CHAIN = {
    "title": "t",
    "nodes": [{"name": name, "site": name.upper(), "processing": "2us"} for name in "abcd"],
    "links": [
        {"between": ("a", "b"), "rate": "1Gbps", "length": "10km", "members": 4},
        {"between": ("b", "c"), "rate": "1Gbps", "length": "10km", "cable": "duct"},
        {"between": ("c", "d"), "rate": "1Gbps", "length": "10km", "members": 2, "cable": "duct"},
    ],
}


def _broken(*happening: dict[str, Any]) -> list[Outage]:
    read = [Event.model_validate(one) for one in happening]
    found, misfits = outages_of(Topology.model_validate(CHAIN), read)
    assert not misfits
    return found


def test_a_flap_breaks_the_first_share_of_each_period_and_nothing_beyond_its_end() -> None:
    flap = {"at": "10us", "change": "flap", "target": "b--c", "every": "4us", "for": "9us"}
    wire = Wire(1, 0)
    assert _broken(flap) == [
        Outage(0, wire, 10 * US, 12 * US),
        Outage(0, wire, 14 * US, 16 * US),
        Outage(0, wire, 18 * US, 19 * US),
    ]
    third = flap | {"duty": "33.3333333%", "every": "7ps", "for": "14ps"}
    assert [one[2:] for one in _broken(third)] == [
        (10 * US, 10 * US + 2), (10 * US + 7, 10 * US + 9)
    ]  # fmt: skip
    assert _broken(flap | {"duty": "0%"}) == []


@pytest.mark.parametrize(("at", "left"), [("11us", 1), ("13us", 1), ("14us", 1), ("17us", 2)])
def test_a_repair_ends_a_flap_in_whichever_phase_it_is(at: str, left: int) -> None:
    flap = {"at": "10us", "change": "flap", "target": "b--c", "every": "4us", "for": "40us"}
    mended = _broken(flap, {"at": at, "change": "repair", "target": "duct"})
    assert len(mended) == left
    assert max(one.until_ps for one in mended) <= int(at.removesuffix("us")) * US


def test_a_repair_after_a_flap_finds_nothing_broken() -> None:
    flap = {"at": "10us", "change": "flap", "target": "b--c", "every": "4us", "for": "6us"}
    mend = {"at": "16us", "change": "repair", "target": "b--c"}
    read = [Event.model_validate(one) for one in (flap, mend)]
    _, misfits = outages_of(Topology.model_validate(CHAIN), read)
    assert [one.message for one in misfits] == ["'b--c' is not cut at 16us"]


def test_a_partition_cuts_all_between_nodes_of_different_groups() -> None:
    apart = {"at": "1us", "change": "partition", "groups": [["a"], ["B", "d"]], "for": "1us"}
    assert [one.thing for one in _broken(apart)] == [Wire(0, member) for member in range(4)]
    ways = {"at": "1us", "change": "partition", "groups": [["A", "b"], ["c"], ["d"]]}
    found = _broken(ways, {"at": "5us", "change": "repair", "target": "c--d/2"})
    assert [one.thing for one in found] == [Wire(1, 0), Wire(2, 0), Wire(2, 1)]
    assert [one.until_ps == 5 * US for one in found] == [False, False, True]


def test_less_capacity_takes_the_last_wires_of_each_link() -> None:
    fewer = {"at": "1us", "change": "capacity", "members": 3, "for": "1us"}
    assert [one.thing for one in _broken(fewer | {"target": "a--b"})] == [Wire(0, 3)]
    duct = _broken(fewer | {"target": "duct", "members": 1})
    assert [one.thing for one in duct] == [Wire(2, 1)]
    assert len(_broken(fewer | {"target": "a--b", "members": 0})) == 4


ALIKE = [
    (
        [{"at": "2ms", "change": "flap", "target": "xian-qingyang", "every": "1ms",
          "duty": "30%", "for": "4ms"}],
        [{"at": f"{one}ms", "change": "cut", "target": "xian-qingyang", "for": "300us"}
         for one in (2, 3, 4, 5)],
    ),
    (
        [{"at": "3ms", "change": "partition", "groups": [["xian"], ["qingyang", "taiyuan"]]}],
        [{"at": "3ms", "change": "cut", "target": "xian-qingyang"}],
    ),
    (
        [{"at": "3ms", "change": "maintenance", "target": "xian-qingyang", "for": "2ms"},
         {"at": "5ms", "change": "maintenance", "target": "taiyuan", "for": "1ms"},
         {"at": "2ms", "change": "controller", "lost": True},
         {"at": "2ms", "change": "controller", "slow-by": "1s", "for": "2ms"}],
        [{"at": "3ms", "change": "cut", "target": "xian-qingyang", "for": "2ms"},
         {"at": "5ms", "change": "down", "target": "taiyuan", "for": "1ms"}],
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def answered() -> tuple[Scenario, qnet.Plan]:
    scenario = load("zheng-qing-ha").with_(duration="9ms", scale="1/20")
    return scenario, qnet.plan(scenario)


def _with(scenario: Scenario, happening: list[dict[str, Any]]) -> Scenario:
    return scenario.with_(events=[Event.model_validate(one) for one in happening])


@pytest.mark.parametrize(("one", "cuts"), ALIKE)
def test_kinds_take_what_the_cuts_take_that_they_come_down_to(
    answered: tuple[Scenario, qnet.Plan], one: list[dict[str, Any]], cuts: list[dict[str, Any]]
) -> None:
    scenario, plan = answered
    seen, proofs = [], []
    for happening in (one, cuts):
        case = _with(scenario, happening)
        proofs.append(prove(case.topology, case.profile, plan))
        seen.append(simulate(case.topology, case.profile, plan))
        verdict = judge(case.topology, case.profile, plan, proofs[-1], [seen[-1]])
        assert not verdict.findings
    assert seen[0].streams == seen[1].streams
    assert seen[0].demands == seen[1].demands
    lost = [sum(taken.frames for use in run.events for taken in use.lost) for run in seen]
    assert lost[0] == lost[1] > 0
    assert [(one.from_ps, one.until_ps, one.cut) for one in proofs[0].epochs] == [
        (one.from_ps, one.until_ps, one.cut) for one in proofs[1].epochs
    ]
    assert [(one.name, one.frames_least, one.frames_most) for one in proofs[0].event_losses] == [
        (one.name, one.frames_least, one.frames_most) for one in proofs[1].event_losses
    ]


def test_a_flap_of_ten_thousand_edges_takes_what_is_due(
    answered: tuple[Scenario, qnet.Plan],
) -> None:
    scenario, plan = answered
    flap = {"at": "1ms", "change": "flap", "target": "xian-qingyang", "every": "1us", "for": "5ms"}
    case = _with(scenario, [flap])
    proof = prove(case.topology, case.profile, plan)
    assert len(proof.epochs) == 10_001
    seen = simulate(case.topology, case.profile, plan)
    assert not judge(case.topology, case.profile, plan, proof, [seen]).findings
    (use,) = seen.events
    whole = _with(scenario, [flap | {"duty": "100%"}])
    (most,) = simulate(whole.topology, whole.profile, plan).events
    took, could = (sum(one.frames for one in uses.lost) for uses in (use, most))
    assert 0.3 * could < took < could


@pytest.mark.parametrize(
    ("one", "where", "message"),
    [
        ({"change": "flap", "target": "a--b", "every": "1us"}, "",
         "flap has no 'for', how long, after which it is undone"),
        ({"change": "flap", "target": "a--b", "for": "1us"}, "",
         "flap has no 'every', from one break of a flap to the next"),
        ({"change": "flap", "target": "a--b", "every": "1ps", "for": "1ms"}, ".every",
         "what events break breaks more than 200,000 times in all"),
        ({"change": "flap", "target": "a", "every": "1us", "for": "1us"}, ".target",
         "'a' is a node or a site, which goes 'down'"),
        ({"change": "cut", "target": "a--b", "every": "1us"}, "",
         "'every' does not go with cut; leave it out"),
        ({"change": "cut"}, "", "cut has no 'target', what: a link, one wire of it ('a--b/2') or a "
         "cable"),
        ({"change": "partition", "target": "a--b", "groups": [["a"], ["b"]]}, "",
         "'target' does not go with partition; leave it out"),
        ({"change": "partition", "groups": [["a"]]}, "",
         "'groups' of a partition are two at least, each a list of names"),
        ({"change": "partition", "groups": [["a"], []]}, ".groups[1]",
         "the list has 0; at least 1"),
        ({"change": "partition", "groups": [["a"], ["e"]]}, ".groups[1][0]",
         "no node or site 'e' in topology"),
        ({"change": "partition", "groups": [["a"], ["A"]]}, ".groups[1][0]",
         "'a' of 'A' is in 'groups' already"),
        ({"change": "partition", "groups": [["a"], ["b", "a"]]}, "",
         "'a' twice in 'groups'; it is on one side only"),
        ({"change": "capacity", "target": "a--b"}, "",
         "capacity has no 'rate' or 'members'"),
        ({"change": "capacity", "target": "a--b", "members": 4}, ".members",
         "'a--b' has no wire beyond the first 4"),
        ({"change": "maintenance", "target": "a--b"}, "",
         "maintenance has no 'for', how long, after which it is undone"),
        ({"change": "maintenance", "target": "e", "for": "1us"}, ".target",
         "no link, wire, cable, node or site 'e' in topology"),
        ({"change": "controller"}, "", "controller has no 'lost' or 'slow-by'"),
        ({"change": "controller", "lost": True, "slow-by": "1s"}, "",
         "controller has both, keep one of 'lost' or 'slow-by'"),
        ({"change": "controller", "lost": False}, "",
         "'lost: false' says nothing; leave it out"),
        ({"change": "controller", "lost": True, "target": "a"}, "",
         "'target' does not go with controller; leave it out"),
    ],
)  # fmt: skip
def test_kinds_that_cannot_be_are_refused_at_their_place(
    one: dict[str, Any], where: str, message: str
) -> None:
    happening = {"title": "p", "topology": "t", "events": [{"at": "1us", **one}]}
    with pytest.raises(InputError) as caught:
        load(happening, topology=CHAIN)
    (problem,) = caught.value.problems
    assert (problem.where, problem.message) == (f"events[0]{where}", message)


def test_kinds_are_written_as_they_are_read() -> None:
    events = (
        qnet.event("flap", "a--b", at="1us", every="2us", duty="25%", for_="9us"),
        qnet.event("partition", at="1us", groups=[["a"], ["b", "c"]]),
        qnet.event("capacity", "a--b", at="1us", members=2),
        qnet.event("maintenance", "a", at="1us", for_="2us"),
        qnet.event("controller", at="1us", lost=True, for_="2us"),
        qnet.event("controller", at="1us", slow_by="5ms"),
    )
    text = to_yaml(Timeline(title="t", events=events))
    read = load({"title": "p", "topology": "t"}, topology=CHAIN, events=yaml.safe_load(text))
    assert read.profile.events == events
    assert [one.words for one in events] == [
        "flap of a--b at 1us for 9us",
        "partition of a from b, c at 1us",
        "capacity of a--b to 2 of its wires at 1us",
        "maintenance of a at 1us for 2us",
        "controller lost at 1us for 2us",
        "controller slow by 5ms at 1us",
    ]
