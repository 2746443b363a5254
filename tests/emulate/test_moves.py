"""Streams and demands that are moved: real frames go the way of the entry that sends them."""

from __future__ import annotations

import pytest

from qnet.check.plan import prove
from qnet.emulate.frames.sample import Sample
from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.tiers.lockstep import run_case
from qnet.model.plan import DemandPlan, Move, PathPlan, Plan, StreamPlan
from qnet.simulate.run import simulate
from tests.builders import network, plan_for, profile
from tests.slow_case import Case, compare

REASON = missing_switch() or missing_controller()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))

OTHER = {"a->b": "a->c", "b->d": "c->d", "a->c": "a->b", "c->d": "b->d"}


def _round(entry: StreamPlan, delay_ps: int = 0) -> StreamPlan:
    paths = tuple(
        PathPlan(ports=tuple(OTHER[one] for one in path.ports), cycles=path.cycles)
        for path in entry.paths
    )
    send_ps = None if entry.send_ps is None else entry.send_ps + delay_ps
    return entry.replace(paths=paths, send_ps=send_ps)


def _round_about(entry: DemandPlan) -> DemandPlan:
    parts = tuple(
        one.replace(ports=tuple(OTHER[port] for port in one.ports)) for one in entry.parts
    )
    return entry.replace(parts=parts)


def _moved() -> Case:
    """Move one stream there and back, another with two paths, a third and a demand."""
    net = network(
        [{"between": pair} for pair in (("a", "b"), ("b", "d"), ("a", "c"), ("c", "d"))],
        link={"rate": "1Gbps", "delay": "5us"},
        tcqf={"cycle": "20us"},
    )
    stream = {"from": "a", "to": "d", "interval": "100us", "max-payload-size": "200B"}
    made = profile(
        [
            stream,
            stream | {"paths": 2, "recovery": {}},
            stream | {"class": "best-effort", "max-pkts-per-interval": 3},
        ],
        [{"from": "a", "to": "d", "rate": "50Mbps"}],
        simulation={"duration": "2ms"},
    )
    plan: Plan = plan_for(net, made)
    one, two, plain = plan.streams
    single = two.replace(paths=two.paths[1:])
    moves = (
        Move(at_ps=400_000_000, stream=_round(one, 20_000_000)),
        Move(at_ps=600_000_000, stream=single),
        Move(at_ps=700_000_001, stream=_round(plain)),
        Move(at_ps=800_000_000, demand=_round_about(plan.demands[0])),
        Move(at_ps=1_200_000_000, stream=one),
        Move(at_ps=1_400_000_000, stream=two),
    )
    return net, made, plan.replace(moves=moves)


def test_moved_streams_are_emulated_as_simulated() -> None:
    case = _moved()
    net, made, plan = case
    seen = simulate(*case)
    compare(case, seen)
    result, _ = run_case(Sample(net, made, plan, frames=10_000), prove(net, made, plan), seen)
    assert not result.findings
    assert {one.difference_ps for one in result.streams} == {0}
    assert result.observation is not None
    every = (*seen.streams, *seen.demands)
    real = (*result.observation.streams, *result.observation.demands)
    for mine, other in zip(real, every, strict=True):
        assert (mine.name, mine.sent, mine.received) == (other.name, other.sent, other.received)
        assert (mine.lost, mine.copies, mine.copies_sent) == (
            other.lost,
            other.copies,
            other.copies_sent,
        )
        assert mine.latency_ps_sum == other.latency_ps_sum
        assert mine.recovery == other.recovery


def test_a_sample_of_a_moved_stream_is_emulated_as_simulated() -> None:
    case = _moved()
    net, made, plan = case
    sampled = Sample(net, made, plan, frames=60)
    result, _ = run_case(sampled, prove(net, made, plan), simulate(*case))
    assert not result.findings
    assert {one.difference_ps for one in result.streams} == {0}


def test_a_repair_on_the_way_is_emulated_as_simulated() -> None:
    """Frames go by the detour from the node before the break on, and the same ones are lost."""
    net = network(
        [
            {"between": pair}
            for pair in (("a", "b"), ("b", "d"), ("a", "c"), ("c", "d"), ("b", "c"))
        ],
        link={"rate": "1Gbps", "delay": "50us"},
        tcqf={"cycle": "20us"},
    )
    reaction = {"policy": "failover", "repair": "local"}
    reaction |= {"detection-time": "100us", "switching": "200us", "wait-to-restore": "0ms"}
    made = profile(
        [{"from": "a", "to": "d", "interval": "100us", "max-payload-size": "200B"}],
        classes=[{"name": "r", "priority": 6, "mechanism": "tcqf", "reaction": reaction}],
        stream={"class": "r"},
        events=[{"at": "1ms", "change": "cut", "target": "b--d", "for": "1500us"}],
        simulation={"duration": "4ms"},
    )
    plan: Plan = plan_for(net, made)
    assert [one.repaired_at for one in plan.moves] == ["b", "b"]
    case = net, made, plan
    seen = simulate(*case)
    compare(case, seen)
    result, _ = run_case(Sample(net, made, plan, frames=10_000), prove(*case), seen)
    assert not result.findings
    assert {one.difference_ps for one in result.streams} == {0}
    assert result.observation is not None
    ((mine,), (other,)) = result.observation.streams, seen.streams
    assert 0 < mine.lost == other.lost < 5
    assert (mine.sent, mine.latency_ps_sum) == (other.sent, other.latency_ps_sum)
