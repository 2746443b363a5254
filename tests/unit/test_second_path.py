"""The second of two paths, restored when one is broken: three ways from a to d, of 98 to 196 us."""

from __future__ import annotations

from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests.builders import network, plan_for, profile
from tests.slow_case import compare
from tests.unit.test_reaction import MS, US

LOCAL = {"policy": "local", "detection-time": "1ms", "planning": "1ms", "restore-second": True}
CUT = {"at": "5ms", "change": "cut", "target": "a--b"}
OTHER = {"at": "15ms", "change": "cut", "target": "a--e"}
LIGHT_PS = 49 * US // 2


def _three_ways() -> Topology:
    return network(
        [
            {"between": [one, other], "length": length}
            for one, other, length in (
                ("a", "b", "10km"), ("b", "d", "10km"), ("a", "c", "20km"),
                ("c", "d", "20km"), ("a", "e", "15km"), ("e", "d", "15km"),
            )
        ],
        node={"processing": "2us"},
        link={"rate": "1Gbps"},
        tcqf={"cycle": "20us", "buffers": 4},
    )  # fmt: skip


def _asked(
    reaction: dict[str, Any], happening: list[Any], mechanism: str = "tcqf", history: int = 100
) -> Profile:
    one = {
        "from": "a", "to": "d", "interval": "100us", "max-payload-size": "500B", "paths": 2,
        "recovery": {"history": history, "reset": "10ms"},
    }  # fmt: skip
    return profile(
        [one],
        classes=[{"name": "r", "priority": 6, "mechanism": mechanism, "reaction": reaction}],
        stream={"class": "r"},
        events=happening,
        simulation={"duration": "50ms"},
    )


def _moves(made: Plan) -> list[tuple[int, str]]:
    """When, and over which nodes the two paths lead."""
    return [
        (one.at_ps, "".join(path.ports[1][0] for path in one.stream.paths))
        for one in made.moves
        if one.stream is not None
    ]


def _lost(topology: Topology, asked: Profile, made: Plan) -> int:
    seen = simulate(topology, asked, made)
    compare((topology, asked, made), seen)
    proof = prove(topology, asked, made)
    assert not proof.findings
    assert not any(one.findings for one in proof.epochs)
    return seen.streams[0].lost


@pytest.mark.parametrize("mechanism", ["tcqf", "strict-priority"])
def test_a_second_path_is_restored_and_nothing_is_lost_by_two_cuts(mechanism: str) -> None:
    topology, asked = _three_ways(), _asked(LOCAL, [CUT, OTHER], mechanism)
    made = plan_for(topology, asked)
    first = "".join(path.ports[1][0] for path in made.streams[0].paths)
    assert first == "be"
    assert _moves(made) == [(7 * MS + LIGHT_PS, "ec")]
    assert [one.cause for one in made.unmoved] == ["cut of a--e at 15ms"]
    assert _lost(topology, asked, made) == 0


def test_a_class_that_does_not_say_so_goes_on_with_the_path_that_is_left() -> None:
    """Until that is cut as well, by another event: both copies are lost until it is moved."""
    plain = {key: one for key, one in LOCAL.items() if key != "restore-second"}
    topology, asked = _three_ways(), _asked(plain, [CUT, OTHER])
    made = plan_for(topology, asked)
    assert [at for at, _ in _moves(made)] == [17 * MS + 147 * US // 4]
    seen = simulate(topology, asked, made)
    assert 20 <= seen.streams[0].lost <= 22


def test_it_goes_back_after_the_repair_and_loses_nothing() -> None:
    reaction = LOCAL | {"wait-to-restore": "3ms"}
    topology, asked = _three_ways(), _asked(reaction, [CUT | {"for": "10ms"}])
    made = plan_for(topology, asked)
    assert _moves(made) == [(7 * MS + LIGHT_PS, "ec"), (19 * MS + LIGHT_PS, "be")]
    assert _lost(topology, asked, made) == 0


def test_a_controller_restores_it_by_its_own_acts() -> None:
    central = LOCAL | {"policy": "central", "telemetry": "3ms"}
    made = plan_for(_three_ways(), _asked(central, [CUT]))
    assert _moves(made) == [(14 * MS + LIGHT_PS, "ec")]


def test_it_is_restored_before_maintenance_begins() -> None:
    work = {"at": "20ms", "change": "maintenance", "target": "b", "for": "10ms"}
    topology, asked = _three_ways(), _asked(LOCAL, [work])
    made = plan_for(topology, asked)
    ((at_ps, ways),) = _moves(made)
    assert ways == "ec"
    assert at_ps < 20 * MS - 147 * US
    seen = simulate(topology, asked, made)
    assert (seen.streams[0].lost, seen.streams[0].copies_lost) == (0, 0)


def test_a_listener_that_remembers_too_little_keeps_one_path() -> None:
    """The longest way takes 248 us at most, light 98 us by the shortest: two intervals, and one."""
    enough = plan_for(_three_ways(), _asked(LOCAL, [CUT], history=4))
    assert _moves(enough) == [(7 * MS + LIGHT_PS, "ec")]
    assert _lost(_three_ways(), _asked(LOCAL, [CUT], history=4), enough) == 0
    made = plan_for(_three_ways(), _asked(LOCAL, [CUT], history=3))
    assert made.moves == ()
    (one,) = made.unmoved
    assert one.reason == "its listener would have to remember 4 frames while it changes over"


def test_only_who_looks_for_new_ways_restores_a_second_path() -> None:
    with pytest.raises(ValueError, match="'restore-second' does not go with the policy failover"):
        _asked({"policy": "failover", "restore-second": True}, [])
