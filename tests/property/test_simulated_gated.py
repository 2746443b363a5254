"""What is simulated of gated and CQF streams stays inside what is proven, and reaches it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.model.observation import Observation
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests.builders import plan_for

NODES = ("a", "b", "c", "d")


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """A line of four, or a ring; 1 us of cycle error at most, and cycles in phase for CQF."""
    wires = [("a", "b"), ("b", "c"), ("c", "d"), *draw(st.sampled_from([[], [("a", "d")]]))]
    links = [
        {
            "between": pair,
            "rate": draw(st.sampled_from(["1Gbps", "2.5Gbps"])),
            "delay": f"{draw(st.integers(1_000_000, 5_000_000))}ps",
        }
        for pair in wires
    ]
    phase = draw(st.booleans())
    nodes = []
    for name in NODES:
        low = draw(st.integers(100_000, 2_000_000))
        clock = {
            "phase": f"{draw(st.integers(0, 900_000)) if phase else 0}ps",
            "error": f"{draw(st.sampled_from([0, 0, 100_000, 400_000]))}ps",
            "wander": f"{draw(st.sampled_from([0, 0, 10_001]))}ps",
        }
        high = low + draw(st.integers(0, 500_000))
        nodes.append({"name": name, "processing": f"{low}ps..{high}ps", "clock": clock})
    return Topology.model_validate(
        {"title": "t", "nodes": nodes, "links": links, "tcqf": {"cycle": "100us"}}
    )


@st.composite
def profiles(draw: st.DrawFn, mechanism: str) -> Profile:
    ends = st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(
        lambda pair: pair[0] != pair[1]
    )
    streams: list[dict[str, Any]] = []
    for place in range(draw(st.integers(1, 5))):
        talker, listener = draw(ends)
        paths = draw(st.sampled_from([1, 1, 2]))
        streams.append(
            {
                "name": f"s{place}",
                "class": "reserved",
                "from": talker,
                "to": listener,
                "count": draw(st.integers(1, 2)),
                "interval": f"{draw(st.sampled_from([2, 4])) * 100}us",
                "max-pkts-per-interval": draw(st.sampled_from([1, 1, 3])),
                "max-payload-size": f"{draw(st.integers(46, 1500))}B",
                "paths": paths,
                "damper": paths == 1 and draw(st.booleans()),
            }
        )
    demands = [
        {"name": f"d{place}", "from": one, "to": other, "rate": "200Mbps", "class": "plain"}
        for place, (one, other) in enumerate(draw(st.lists(ends, max_size=2)))
    ]
    reserved = {"name": "reserved", "priority": 6, "mechanism": mechanism}
    if mechanism == "qbv":
        reserved["guard"] = draw(st.sampled_from(["length-aware", "fixed"]))
        reserved["waiting"] = draw(st.booleans())
    return Profile.model_validate(
        {
            "title": "t",
            "topology": "t",
            "classes": [reserved, {"name": "plain", "priority": 1, "mechanism": "strict-priority"}],
            "streams": streams,
            "demands": demands,
            "simulation": {"duration": "4ms", "seed": draw(st.integers(0, 99))},
        }
    )


def answers(topology: Topology, profile: Profile) -> tuple[Proof, Observation]:
    plan = plan_for(topology, profile)
    proof = prove(topology, profile, plan)
    assert proof.findings == ()
    return proof, simulate(topology, profile, plan, threads=1)


def assert_inside(proof: Proof, seen: Observation) -> None:
    accounts = {one.name: one for one in seen.streams}
    for bound in proof.streams:
        if bound.latency_ps_max is None or bound.latency_ps_min is None:
            continue
        account = accounts[bound.name]
        assert account.lost == 0
        assert account.late == 0
        assert account.received > 0
        assert account.latency_ps_min is not None
        assert account.latency_ps_max is not None
        assert bound.latency_ps_min <= account.latency_ps_min
        assert account.latency_ps_max <= bound.latency_ps_max


@settings(max_examples=12, deadline=None)
@given(topologies(), profiles("qbv"))
def test_gated_streams_stay_inside_their_bounds(topology: Topology, profile: Profile) -> None:
    assert_inside(*answers(topology, profile))


@settings(max_examples=12, deadline=None)
@given(topologies(), profiles("cqf"))
def test_cqf_streams_stay_inside_their_bounds(topology: Topology, profile: Profile) -> None:
    assert_inside(*answers(topology, profile))


LINE = {
    "title": "t",
    "nodes": [{"name": name, "processing": "1us"} for name in "abc"],
    "links": [
        {"between": pair, "rate": "1Gbps", "delay": "500ns"} for pair in (("a", "b"), ("b", "c"))
    ],
}


@pytest.mark.parametrize(
    ("mechanism", "payload", "packets"), [("qbv", "962B", 3), ("cqf", "1024B", 1)]
)
def test_bounds_are_reached_to_the_picosecond(mechanism: str, payload: str, packets: int) -> None:
    """With clocks that are right a gate opens when it should, and a full cycle ends at dead time.

    All but the 4 ns, less one picosecond, that a CQF cycle has left, and the gap of 96 ns that ends
    within the cycle too.

    CQF: 10 us, 1.5 us of dead time, frames of 1062 B on the wire: 8.496 of the 8.5 us are used.
    """
    profile = Profile.model_validate(
        {
            "title": "t",
            "topology": "t",
            "classes": [{"name": "reserved", "priority": 6, "mechanism": mechanism}],
            "streams": [
                {
                    "name": "s",
                    "from": "a",
                    "to": "c",
                    "interval": "100us",
                    "max-payload-size": payload,
                    "max-pkts-per-interval": packets,
                }
            ],
            "simulation": {"duration": "2ms"},
        }
    )
    proof, seen = answers(Topology.model_validate(LINE), profile)
    assert_inside(proof, seen)
    (bound,), (account,) = proof.streams, seen.streams
    assert bound.latency_ps_max is not None
    assert account.latency_ps_max is not None
    left_ps = {"qbv": 0, "cqf": 99_999}[mechanism]
    assert account.latency_ps_max == bound.latency_ps_max - left_ps
