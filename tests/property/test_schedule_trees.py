"""Streams with several listeners: what the planner makes of them is looked at the slow way."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.gates import check_gates
from qnet.check.plan import prove
from qnet.model.gates import GatePort, GateProblem, GateStream
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule.qbv.solve import schedule_gates
from tests.builders import plan_for
from tests.property.test_schedule_plan import NODES, topologies
from tests.slow_trees import tree_faults

MECHANISMS = ("strict-priority", "tcqf", "csqf", "qbv", "cqf")


@st.composite
def profiles(draw: st.DrawFn, mechanism: str) -> Profile:
    streams: list[dict[str, Any]] = []
    for place in range(draw(st.integers(1, 5))):
        talker, *listeners = draw(st.permutations(NODES))
        streams.append(
            {
                "name": f"s{place}",
                "class": "control",
                "from": talker,
                "to": listeners[: draw(st.integers(1, 4))],
                "count": draw(st.integers(1, 3)),
                "interval": f"{10 * draw(st.integers(1, 4))}us",
                "max-pkts-per-interval": draw(st.integers(1, 2)),
                "max-payload-size": f"{draw(st.integers(1, 1500))}B",
                **draw(st.sampled_from([{}, {"max-latency": "160us"}])),
                **draw(st.sampled_from([{}, {"max-latency-variation": "40us"}])),
                **draw(st.sampled_from([{}, {"damper": True}, {"rank": 7}])),
            }
        )
    return Profile.model_validate(
        {
            "title": "t",
            "topology": "t",
            "classes": [{"name": "control", "priority": 6, "mechanism": mechanism}],
            "streams": streams,
            "egress": [{"site": "a", "rate": "1Gbps"}],
        }
    )


@pytest.mark.parametrize("mechanism", MECHANISMS)
@settings(max_examples=60)
@given(topology=topologies(), data=st.data())
def test_every_tree_is_one(mechanism: str, topology: Topology, data: st.DataObject) -> None:
    profile = data.draw(profiles(mechanism))
    plan = plan_for(topology, profile)
    assert [one.name for one in plan.streams] == [one.name for one in profile.every_stream]
    assert tree_faults(topology, profile, plan) == []
    # What reserves nothing may ask for more than its ports have.
    findings = prove(topology, profile, plan).findings
    beyond = ("rate", "overload") if mechanism == "strict-priority" else ()
    assert [one for one in findings if one.rule not in beyond] == []


@st.composite
def problems(draw: st.DrawFn) -> GateProblem:
    """A few bridges and hosts, each wire at a rate of its own, and streams to up to three hosts."""
    bridges = draw(st.integers(1, 3))
    wires = {(f"b{one}", f"b{one + 1}") for one in range(bridges - 1)}
    if bridges == 3 and draw(st.booleans()):
        wires.add(("b0", "b2"))
    hosts = [f"h{number}" for number in range(4)]
    for host in hosts:
        near = draw(st.integers(0, bridges - 1))
        wires.add((host, f"b{near}"))
        if draw(st.integers(0, 3)) == 0:
            wires.add((host, f"b{(near + 1) % bridges}"))
    ports = []
    for one, other in sorted(wires):
        rate_bps = draw(st.sampled_from([10**8, 10**9]))
        ports += [
            GatePort(
                name=f"{near}->{far}",
                source=near,
                target=far,
                rate_bps=rate_bps,
                queues=draw(st.integers(1, 3)),
                processing_ps=draw(st.integers(0, 3)) * 10**6,
                propagation_ps=draw(st.integers(0, 5)) * 10**5,
                entries_max=draw(st.sampled_from([None, None, 12])),
            )
            for near, far in ((one, other), (other, one))
        ]
    streams = []
    for number in range(draw(st.integers(1, 6))):
        source, *others = draw(st.permutations(hosts))
        targets = tuple(others[: draw(st.integers(1, 3))])
        streams.append(
            GateStream(
                name=f"s{number}",
                source=source,
                target=targets if len(targets) > 1 else targets[0],
                frame_bytes=draw(st.integers(64, 1500)),
                period_ps=draw(st.sampled_from([500, 1000, 2000])) * 10**6,
                deadline_ps=draw(st.sampled_from([300, 800, 3000])) * 10**6,
                jitter_ps=draw(st.sampled_from([0, 20, 10**6])) * 10**6,
                packets=draw(st.integers(1, 3)),
                rank=draw(st.integers(0, 1)),
            )
        )
    return GateProblem(
        ports=tuple(ports),
        streams=tuple(streams),
        isolation=draw(st.sampled_from(["frame", "stream"])),
        waiting=draw(st.booleans()),
        guard_bytes=draw(st.sampled_from([None, 0, 1500])),
    )


@settings(max_examples=60)
@given(problems())
def test_every_gate_plan_with_trees_passes_the_judge(problem: GateProblem) -> None:
    plan = schedule_gates(problem, restarts=3)
    proof = check_gates(problem, plan)
    assert proof.findings == ()
    assert [one.name for one in proof.streams] == [
        one.name if len(one.targets) == 1 else f"{one.name}@{target}"
        for one in problem.streams
        for target in one.targets
    ]
    for stream, made in zip(problem.streams, plan.streams, strict=True):
        assert made.reason or made.status == "scheduled"
        # Twice over a port never: a tree sends by each port once.
        assert len(set(made.ports)) == len(made.ports)
        assert made.status == "refused" or len(made.ports) >= len(stream.targets)
    assert schedule_gates(problem, restarts=3) == plan
