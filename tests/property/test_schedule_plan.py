"""Whatever the scheduler admits, the checker proves, on small random networks."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from tests.builders import plan_for
from tests.refusals import why_false

NODES = ("a", "b", "c", "d", "e")


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    pairs = [(one, other) for one in NODES for other in NODES if one < other]
    chain = draw(st.sampled_from([pairs[:1], [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")]]))
    delays = st.integers(1, 60_000_000).map(lambda delay_ps: f"{delay_ps}ps")
    chosen = chain + draw(st.lists(st.sampled_from(pairs), max_size=6))
    links = [
        {
            "name": f"l{place}",
            "between": pair,
            "rate": draw(st.sampled_from(["3Gbps", "10Gbps", "25Gbps", ["3Gbps", "25Gbps"]])),
            "reservable": draw(st.sampled_from(["2999999999bps", "3Gbps"])),
            "members": draw(st.integers(1, 3)),
            "delay": draw(delays | st.tuples(delays, delays)),
            "cable": draw(st.sampled_from([None, f"l{place}", "duct"])),
        }
        for place, pair in enumerate(chosen)
    ]
    if draw(st.booleans()):
        ends = draw(st.permutations(NODES))[:2]
        links.append(
            {"name": "once", "between": ends, "rate": "10Gbps", "delay": "5us",
             "direction": "one-way"}
        )  # fmt: skip
    nodes = []
    for name in NODES:
        low = draw(st.integers(0, 10_000_000))
        high = low + draw(st.integers(0, 9_000_000))
        clock = {
            "phase": f"{draw(st.integers(0, 30_000_000))}ps",
            "error": f"{draw(st.integers(0, 2_000_000))}ps",
            "wander": f"{draw(st.integers(0, 100_000))}ps",
        }
        nodes.append(
            {"name": name, "site": name, "processing": f"{low}ps..{high}ps", "clock": clock}
        )
    tcqf = {"cycle": "10us", "buffers": draw(st.integers(3, 6))}
    return Topology.model_validate({"title": "t", "nodes": nodes, "links": links, "tcqf": tcqf})


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    ends = st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(
        lambda pair: pair[0] != pair[1]
    )
    streams: list[dict[str, Any]] = []
    for place in range(draw(st.integers(1, 6))):
        talker, listener = draw(ends)
        streams.append(
            {
                "name": f"s{place}",
                "from": talker,
                "to": listener,
                "count": draw(st.integers(1, 4)),
                "interval": f"{10 * draw(st.integers(1, 6))}us",
                "max-pkts-per-interval": draw(st.integers(1, 3)),
                "max-payload-size": f"{draw(st.integers(1, 1500))}B",
                "paths": draw(st.integers(1, 2)),
                **draw(st.sampled_from([{}, {"max-latency": "120us"}])),
                **draw(st.sampled_from([{}, {"max-latency-variation": "40us"}])),
                **draw(st.sampled_from([{}, {"damper": True}, {"rank": 7}, {"class": "plain"}])),
            }
        )
    demands = []
    for place in range(draw(st.integers(0, 4))):
        source, target = draw(ends)
        rate = draw(st.integers(1, 9 * 10**9))
        demands.append(
            {
                "name": f"d{place}",
                "from": source,
                "to": target,
                "rate": f"{rate}bps",
                "class": "plain",
                "sizes": draw(st.sampled_from(["imix", "64B", "1518B", "9000B"])),
            }
        )
    classes = [
        {
            "name": "reserved",
            "priority": 6,
            "mechanism": draw(st.sampled_from(["tcqf", "csqf"])),
        },
        {"name": "plain", "priority": 1, "mechanism": "strict-priority"},
    ]
    egress = [{"site": name, "rate": "1Gbps"} for name in NODES]
    return Profile.model_validate(
        {
            "title": "t",
            "topology": "t",
            "classes": classes,
            "streams": streams,
            "demands": demands,
            "egress": egress,
        }
    )


@settings(max_examples=150)
@given(topologies(), profiles())
def test_every_plan_is_proven(topology: Topology, profile: Profile) -> None:
    plan = plan_for(topology, profile)
    proof = prove(topology, profile, plan)
    # What reserves nothing may ask for more than its ports have.
    assert {one.rule for one in proof.findings} <= {"overload"}
    plain = {one.name for one in profile.every_stream if not profile.is_reserved(one)}
    for one, bound in zip(plan.streams, proof.streams, strict=True):
        if one.status != "routed":  # nothing is promised of these, some are bounded all the same
            assert (one.status == "admitted") == (bound.latency_ps_max is not None)
        assert (one.status == "refused") == (one.reason is not None)
        if one.status == "refused" and bound.name not in plain:
            assert why_false(topology, profile, plan, one.name) is None
    for demand in plan.demands:
        assert (demand.placed_bps < demand.rate_bps) == (demand.reason is not None)
    for site in plan.egress:
        assert site.placed_bps <= site.bound_bps <= site.offered_bps
