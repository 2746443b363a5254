"""What is sent when, read three times: by the model, by the checker, and by the slow twin."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from qnet.check.offers import load_changes, outside
from qnet.model.loads import attack_way, attacks_of, offer_of
from qnet.model.timeline import Event
from qnet.model.traffic import Profile
from qnet.units import PPB
from tests import slow_loads
from tests.builders import network
from tests.random_sets import Dice

US = 10**6

NET = network(
    [{"between": pair} for pair in (("a", "b"), ("b", "d"), ("a", "c"), ("c", "d"))],
    link={"rate": "1Gbps", "delay": "5us"},
)

TARGETS = ("one", "many", "many-2", "many-5", "tree", "bulk", "more", "g", "plain", "low")


def _profile(happening: list[Event]) -> Profile:
    common = {"from": "a", "class": "plain", "interval": "100us", "max-payload-size": "100B"}
    demand = {"from": "a", "to": "d", "class": "low", "rate": "1Gbps"}
    return Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [
                {"name": "plain", "priority": 1, "mechanism": "strict-priority"},
                {"name": "low", "priority": 0, "mechanism": "strict-priority"},
            ],
            "streams": [
                {"name": "one", "to": "d", **common},
                {"name": "many", "to": "d", "count": 5, "group": "g", **common},
                {"name": "tree", "to": ["d", "b"], **common},
            ],
            "demands": [{"name": "bulk", **demand}, {"name": "more", "group": "g", **demand}],
            "simulation": {"duration": "1ms"},
        }
    ).replace(events=tuple(happening))


def _drawn(number: int) -> list[Event]:
    dice = Dice("loads", number)
    made = []
    for _ in range(1 + dice.below(6)):
        kind: dict[str, Any] = {"at": f"{dice.below(12) * 100}us", "change": "attack"}
        chosen = ("start", "stop", "scale", "attack")[dice.below(4)]
        if chosen == "attack":
            kind |= {"from": "a", "to": "d", "rate": "1Mbps"}
        else:
            kind |= {"change": chosen, "target": TARGETS[dice.below(len(TARGETS))]}
        if chosen == "scale":
            kind["by"] = f"{(0, 20, 50, 100)[dice.below(4)]}%"
        if dice.below(2):
            kind["for"] = f"{1 + dice.below(6)}00us"
        made.append(Event.model_validate(kind))
    return made


def test_model_checker_and_twin_read_the_same() -> None:
    told = 0
    for number in range(400):
        profile = _profile(_drawn(number))
        end_ps = profile.simulation.duration_ps
        offer, found = offer_of(profile), load_changes(NET, profile)
        names = {one.tree for one in profile.every_stream} | {one.name for one in profile.demands}
        instants = [50 * US + at * 100 * US for at in range(10)]
        for name in sorted(names):
            slow = slow_loads.silences(profile, name)
            for now in instants:
                silent = [
                    any(begin <= now < end for begin, end in spans)
                    for spans in (offer.silent.get(name, ()), found.silent.get(name, ()), slow)
                ]
                assert len({*silent}) == 1, (number, name)
                told += silent[0]
        for demand in profile.demands:
            every = [
                tuple(one for one in spans if one[2] != PPB and one[0] < end_ps)
                for spans in (
                    offer.factors.get(demand.name, ()),
                    found.factors.get(demand.name, ()),
                    slow_loads.factors(profile, demand.name),
                )
            ]
            for now in instants:
                by = [[one[2] for one in spans if one[0] <= now < one[1]] for spans in every]
                assert by[0] == by[1] == by[2]
        due = [one for one in attacks_of(profile) if one.span[0] < end_ps]
        assert [one.demand for one in found.attacks] == [one.demand for one in due]
        slowly = list(slow_loads.attacks(NET, profile))
        assert [one for one, _, _ in slowly] == [one.demand for one in due]
        for attack, (_, ports, _) in zip(found.attacks, slowly, strict=True):
            way = attack_way(NET, attack.demand.source, attack.demand.target)
            assert tuple(one.name for one in way) == attack.entry.routes[0]
            assert list(way) == ports
    assert told > 500


@pytest.mark.parametrize(
    ("silent", "left"),
    [
        ([], [(0, 10), (20, 30)]),
        ([(0, 30)], []),
        ([(5, 25)], [(0, 5), (25, 30)]),
        ([(2, 4), (22, 24)], [(0, 2), (4, 10), (20, 22), (24, 30)]),
    ],
)
def test_spans_without_silences(silent: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    assert outside([(0, 10), (20, 30)], silent) == left
    assert all(one[1] <= other[0] for one, other in pairwise(left))
