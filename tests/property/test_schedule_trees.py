"""Streams with several listeners: what the planner makes of them is looked at the slow way."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule import schedule
from tests.property.test_schedule_plan import NODES, topologies
from tests.slow_trees import tree_faults

MECHANISMS = ("strict-priority", "tcqf", "csqf")


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


def plan_of(topology: Topology, profile: Profile) -> Plan:
    return schedule(topology, profile, topology_sha256="t", traffic_sha256="p")


@pytest.mark.parametrize("mechanism", MECHANISMS)
@settings(max_examples=60)
@given(topology=topologies(), data=st.data())
def test_every_tree_is_one(mechanism: str, topology: Topology, data: st.DataObject) -> None:
    profile = data.draw(profiles(mechanism))
    plan = plan_of(topology, profile)
    assert [one.name for one in plan.streams] == [one.name for one in profile.every_stream]
    assert tree_faults(topology, profile, plan) == []
    # What reserves nothing may ask for more than its ports have.
    findings = prove(topology, profile, plan).findings
    beyond = ("rate", "overload") if mechanism == "strict-priority" else ()
    assert [one for one in findings if one.rule not in beyond] == []
