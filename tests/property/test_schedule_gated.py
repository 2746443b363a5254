"""Whatever is planned with gates or CQF, the checker proves, on small random networks."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from tests.builders import plan_for

NODES = ("a", "b", "c", "d")
WIRES = (("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("a", "c"))


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    chosen = [*WIRES[:3], *draw(st.lists(st.sampled_from(WIRES[3:]), max_size=2, unique=True))]
    links = [
        {
            "between": pair,
            "rate": draw(st.sampled_from(["100Mbps", "1Gbps", "2.5Gbps"])),
            "reservable": draw(st.sampled_from(["30Mbps", "100Mbps"])),
            "members": draw(st.sampled_from([1, 1, 1, 2])),
            "delay": f"{draw(st.integers(1, 5_000_000))}ps",
        }
        for pair in chosen
    ]
    nodes = []
    for name in NODES:
        low = draw(st.integers(0, 2_000_000))
        clock = {
            "phase": f"{draw(st.sampled_from([0, 0, 1_000_000, 99_999_999]))}ps",
            "error": f"{draw(st.sampled_from([0, 100_000, 999_999]))}ps",
            "wander": f"{draw(st.sampled_from([0, 0, 10_001]))}ps",
        }
        nodes.append(
            {
                "name": name,
                "processing": f"{low}ps..{low + draw(st.integers(0, 1_000_000))}ps",
                "clock": clock,
                "queues": draw(st.sampled_from([1, 2, 3, 8])),
                **draw(st.sampled_from([{}, {}, {"gate-entries": 20}, {"gate-entries": 5}])),
            }
        )
    tcqf = {"cycle": "100us", "buffers": 4}
    return Topology.model_validate({"title": "t", "nodes": nodes, "links": links, "tcqf": tcqf})


@st.composite
def profiles(draw: st.DrawFn, classes: list[dict[str, Any]]) -> Profile:
    ends = st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(
        lambda pair: pair[0] != pair[1]
    )
    reserved = [one["name"] for one in classes if one["mechanism"] != "strict-priority"]
    streams: list[dict[str, Any]] = []
    for place in range(draw(st.integers(1, 6))):
        talker, listener = draw(ends)
        paths = draw(st.sampled_from([1, 1, 2]))
        streams.append(
            {
                "name": f"s{place}",
                "class": draw(st.sampled_from(reserved)),
                "from": talker,
                "to": listener,
                "count": draw(st.integers(1, 3)),
                "interval": f"{draw(st.sampled_from([2, 3, 4])) * 500}us",
                "max-pkts-per-interval": draw(st.sampled_from([1, 1, 3])),
                "max-payload-size": f"{draw(st.integers(1, 1500))}B",
                "rank": draw(st.sampled_from([100, 500])),
                "paths": paths,
                "damper": paths == 1 and draw(st.booleans()),
                **draw(st.sampled_from([{}, {"max-latency": "200us"}, {"max-latency": "1ms"}])),
                **draw(st.sampled_from([{}, {"max-latency-variation": "5us"}])),
            }
        )
    demands = [
        {"name": f"d{place}", "from": one, "to": other, "rate": "60Mbps", "class": "plain"}
        for place, (one, other) in enumerate(draw(st.lists(ends, max_size=2)))
    ]
    return Profile.model_validate(
        {
            "title": "t",
            "topology": "t",
            "classes": [*classes, {"name": "plain", "priority": 1, "mechanism": "strict-priority"}],
            "streams": streams,
            "demands": demands,
        }
    )


@st.composite
def gated(draw: st.DrawFn) -> Profile:
    gates = {
        "name": "gated",
        "priority": 6,
        "mechanism": "qbv",
        "isolation": draw(st.sampled_from(["frame", "stream"])),
        "waiting": draw(st.booleans()),
        "guard": draw(st.sampled_from(["length-aware", "fixed"])),
    }
    cycles = {"name": "cycles", "priority": 5, "mechanism": draw(st.sampled_from(["tcqf", "cqf"]))}
    return draw(profiles([gates, *draw(st.sampled_from([[], [cycles]]))]))


@settings(max_examples=60, deadline=None)
@given(topologies(), gated())
def test_every_gated_plan_is_proven(topology: Topology, profile: Profile) -> None:
    plan = plan_for(topology, profile)
    proof = prove(topology, profile, plan)
    assert proof.findings == ()
    for one, bound in zip(plan.streams, proof.streams, strict=True):
        assert (one.status == "admitted") == (bound.latency_ps_max is not None)
        assert (one.status == "refused") == (one.reason is not None)


@settings(max_examples=60, deadline=None)
@given(topologies(), profiles([{"name": "cqf", "priority": 6, "mechanism": "cqf"}]))
def test_every_cqf_plan_is_proven_within_its_cycles(topology: Topology, profile: Profile) -> None:
    """The bounds of Annex T, (h - 1) T to (h + 1) T, hold without a damper."""
    plan = plan_for(topology, profile)
    proof = prove(topology, profile, plan)
    assert proof.findings == ()
    assert plan.buffers == 2
    for stream, one, bound in zip(profile.every_stream, plan.streams, proof.streams, strict=True):
        assert (one.status == "refused") == (one.reason is not None)
        if one.status == "admitted" and not stream.damper:
            assert bound.latency_ps_min is not None
            assert bound.latency_ps_max is not None
            hops = [len(path.ports) for path in one.paths]
            # The clocks of the ends count on top: Annex T has none.
            apart_ps = 4 * 10**6
            # Where cycles do not begin together, a frame that is sent at the begin of one can still
            # come in the far node's cycle before, and be a cycle sooner.
            if len({node.clock.phase_ps for node in topology.nodes}) == 1:
                assert (min(hops) - 1) * 10**8 - apart_ps <= bound.latency_ps_min
            assert bound.latency_ps_max <= (max(hops) + 1) * 10**8 + apart_ps
