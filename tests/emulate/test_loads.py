"""What starts, stops and is scaled, and attacks: real frames are born as simulated ones are."""

from __future__ import annotations

import pytest

import qnet
from qnet.check.plan import prove
from qnet.emulate.frames.sample import Sample
from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.tiers.lockstep import run_case
from qnet.simulate.run import simulate
from tests.builders import network, plan_for, profile

REASON = missing_switch() or missing_controller()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))

SQUARE = [{"between": pair} for pair in (("a", "b"), ("b", "d"), ("a", "c"), ("c", "d"))]

CLASSES = {
    "cycles": "tcqf",
    "gates": "qbv",
}


@pytest.mark.parametrize("mechanism", CLASSES.values(), ids=CLASSES)
def test_loads_are_emulated_as_simulated(mechanism: str) -> None:
    net = network(SQUARE, link={"rate": "1Gbps", "delay": "5us"}, tcqf={"cycle": "20us"})
    stream = {"from": "a", "to": "d", "interval": "100us", "max-payload-size": "200B"}
    made = profile(
        [
            stream,
            stream | {"paths": 2, "recovery": {}, "max-pkts-per-interval": 2},
            stream | {"class": "rest", "count": 3},
        ],
        [{"from": "a", "to": "d", "rate": "50Mbps", "class": "rest"}],
        stream={"class": "first"},
        mechanisms={"first": mechanism, "rest": "strict-priority"},
        simulation={"duration": "2ms"},
    )
    happening = (
        qnet.event("stop", "first", at="333us", for_="500us"),
        qnet.event("scale", "d0", at="200us", by="300%", for_="700us"),
        qnet.event("scale", "s2", at="600us", by="50%"),
        qnet.event("start", "s2-3", at="100us"),
        qnet.event(
            "attack", at="1ms", from_="b", to="c", rate="300Mbps", class_="rest", for_="1ms"
        ),
    )
    plan = plan_for(net, made)
    made = made.replace(events=happening)
    seen = simulate(net, made, plan)
    result, _ = run_case(Sample(net, made, plan, frames=10_000), prove(net, made, plan), seen)
    assert not result.findings
    assert {one.difference_ps for one in result.streams} == {0}
    assert result.observation is not None
    real = (*result.observation.streams, *result.observation.demands)
    every = (*seen.streams, *seen.demands)
    assert [(one.name, one.sent, one.received, one.lost) for one in real] == [
        (one.name, one.sent, one.received, one.lost) for one in every
    ]
    assert {one.name: one.sent for one in every}["attack-5"] > 20
