"""A cable that is cut and a node that stops, seen by simulator, slow twin and real switches."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

import qnet
from qnet.emulate.frames.ports import VirtualPorts
from qnet.emulate.frames.sample import Sample
from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.tiers import follow_frames, lockstep
from qnet.emulate.tiers.follow_frames import Walk
from qnet.model.emulation import Emulation
from qnet.model.plan import Plan
from qnet.model.scenario import Scenario
from tests.slow_case import compare
from tests.slow_simulator import SlowSimulator

REASON = missing_switch() or missing_controller()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))


@pytest.fixture(scope="module")
def planned() -> tuple[Scenario, Plan]:
    scenario = qnet.load("zheng-qing-ha").with_(duration="14ms", scale="1/20")
    return scenario, qnet.plan(scenario)


class _Seen(NamedTuple):
    result: Emulation
    walk: Walk
    ports: VirtualPorts
    case: Sample
    slow: SlowSimulator


def _three(planned: tuple[Scenario, Plan], *events: qnet.Event) -> _Seen:
    """Ask three witnesses; the slow twin has counted what the simulator has."""
    scenario, plan = planned
    happened = scenario.with_(events=events)
    topology, profile = happened.topology, happened.profile
    seen = qnet.observe(happened, plan)
    slow = compare((topology, profile, plan), seen)
    case = Sample(topology, profile, plan, frames=1500)
    walks: list[tuple[Walk, VirtualPorts]] = []
    follow = follow_frames.follow

    def kept(*arguments: Any) -> tuple[Walk, VirtualPorts]:
        walks.append(follow(*arguments))
        return walks[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lockstep, "follow", kept)
        result, _ = lockstep.run_case(case, qnet.prove(happened, plan), seen)
    return _Seen(result, *walks[-1], case, slow)


def _lost_alike(seen: _Seen) -> int:
    """Hold every real frame against the twin: lost in both, or as late; return how many were."""
    _, walk, ports, case, slow = seen
    lost = 0
    for member in case.members:
        count = slow.counts[member.source]
        first, last = ports.span[member.source].tolist()
        for real in range(first, last):
            number = member.number(real - first)
            fate = count.fates[number]
            is_lost = fate in ("cut", "down")
            assert (real in walk.lost) == is_lost, (member.stream.name, number, fate)
            assert (real in walk.arrival_ps) == (fate == "received")
            lost += is_lost
            if real in walk.arrival_ps:
                birth = int(ports.frames[real, 0])
                assert walk.arrival_ps[real] - birth == slow.latency[member.source, number]
    return lost


def test_the_cut_of_a_cable_is_the_same_to_three_witnesses(
    planned: tuple[Scenario, Plan],
) -> None:
    seen = _three(planned, qnet.cut("xian-qingyang", at="9ms"))
    assert not seen.result.findings
    assert {one.difference_ps for one in seen.result.streams if one.delivered} == {0}
    assert _lost_alike(seen) > 50


def test_so_is_a_node_that_stops_and_starts_again(planned: tuple[Scenario, Plan]) -> None:
    seen = _three(
        planned,
        qnet.down("qy-ix", at="5ms", for_="1ms"),
        qnet.down("zhengzhou", at="2ms", for_="500us"),
        qnet.cut("qy-ix--lanzhou/1", at="8ms", for_="700us", where="10%"),
    )
    assert not seen.result.findings
    assert {one.difference_ps for one in seen.result.streams if one.delivered} == {0}
    assert _lost_alike(seen) > 50


def test_real_frames_go_by_clocks_as_events_set_them(planned: tuple[Scenario, Plan]) -> None:
    """A clock is 30 us ahead for a while, another one drifts; as the twin, to the picosecond."""
    happening = [
        qnet.event("clock", "xian", at="3ms", step="30us", for_="4ms"),
        qnet.event("clock", "taiyuan", at="2ms", drift="-300ppm"),
    ]
    seen = _three(planned, *happening)
    assert seen.result.findings == ()
    calm = _three(planned)
    assert _lost_alike(seen) == _lost_alike(calm)
    assert seen.walk.arrival_ps != calm.walk.arrival_ps
