"""Bounds of classes that reserve nothing, by hand and against frames that come just so late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.model.plan import PathPlan, Plan
from qnet.model.proof import StreamProof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.model.verdict import Row
from qnet.simulate.run import simulate
from tests.builders import plan_for

US = 10**6
FRAME = 12_160_000
"""1,500 bytes, preamble and gap at 1 Gb/s."""
BULK = 12_304_000
"""1,518 bytes."""
GAP = 96_000
"""12 bytes, which follow the last bit of a frame and do not delay it."""

Case = tuple[Topology, Profile, Plan]

LINE = ({"between": ("a", "b"), "rate": "1Gbps", "delay": "1us"},)
TWO = (*LINE, {"between": ("b", "c"), "rate": "250Mbps", "delay": "1us"})
MIDDLE: dict[str, Any] = {"name": "middle", "priority": 3, "mechanism": "strict-priority"}
CLASSES = (
    {"name": "high", "priority": 5, "mechanism": "strict-priority"},
    MIDDLE,
    {"name": "low", "priority": 1, "mechanism": "strict-priority"},
)


def stream(name: str, ends: str = "ab", size: int = 1500, **more: Any) -> dict[str, Any]:
    """Return a stream of frames of a size, from one node to another."""
    given = {
        "name": name,
        "from": ends[0],
        "to": ends[1],
        "class": "middle",
        "interval": "1ms",
        "max-payload-size": f"{size - 18}B",
    }
    return given | {key.rstrip("_").replace("_", "-"): value for key, value in more.items()}


def case(
    streams: Sequence[dict[str, Any]],
    *,
    links: Sequence[Mapping[str, Any]] = LINE,
    middle: Mapping[str, Any] = MIDDLE,
    demands: Sequence[dict[str, Any]] = (),
    sends_ps: Mapping[str, int] | None = None,
    node: Mapping[str, Any] | None = None,
    low: Mapping[str, Any] | None = None,
) -> Case:
    """Plan streams over a network without processing; `sends_ps` says when they begin."""
    names = sorted({name for link in links for name in link["between"]})
    nodes = [{"name": name, "processing": "0ps"} | dict(node or {}) for name in names]
    topology = Topology.model_validate({"title": "t", "nodes": nodes, "links": links})
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [CLASSES[0], dict(middle), CLASSES[2] | dict(low or {})],
            "streams": streams,
            "demands": demands,
            "simulation": {"duration": "20ms"},
        }
    )
    plan = plan_for(topology, profile)
    given = sends_ps or {}
    placed = tuple(one.replace(send_ps=given.get(one.name, one.send_ps)) for one in plan.streams)
    return topology, profile, plan.replace(streams=placed)


def proven(made: Case) -> dict[str, StreamProof]:
    """Return what is proven of each stream of a plan without faults, but perhaps of too much."""
    proof = prove(*made)
    assert {one.rule for one in proof.findings} <= {"overload"}
    return {one.name: one for one in proof.streams}


def seen_ps(made: Case, name: str) -> int:
    """Return the largest latency of a stream that is seen."""
    found = next(one for one in simulate(*made, threads=1).streams if one.name == name)
    assert found.latency_ps_max is not None
    return found.latency_ps_max


def test_a_frame_waits_for_its_class_and_for_one_frame_below() -> None:
    streams = [*(stream(f"s{i}") for i in range(3)), stream("below", class_="low", size=1518)]
    made = case(streams, sends_ps={"s0": 1, "s1": 1, "s2": 1, "below": 0})
    found = proven(made)
    assert found["s2"].latency_ps_max == 3 * FRAME - GAP + BULK - 1 + US
    assert found["s2"].latency_ps_min == FRAME - GAP + US
    assert max(seen_ps(made, f"s{i}") for i in range(3)) == found["s2"].latency_ps_max
    # What is below waits for all above it: three frames, and again what comes in that time.
    share = 1 - 3 * FRAME / 1e9
    assert found["below"].latency_ps_max == -int(-3 * FRAME // share) + BULK - GAP + US


def test_a_class_above_is_waited_for_again_while_it_is_waited_for() -> None:
    above = stream("above", class_="high", interval="40us")
    made = case([above, stream("s")], sends_ps={"above": 0, "s": 0})
    # (12.16 + 0) / (1 - 12.16 / 40) + 12.16 - 0.096 us, and 1 us of way.
    before_ps = -(-FRAME * 40 * US // (40 * US - FRAME))
    assert proven(made)["s"].latency_ps_max == before_ps + FRAME - GAP + US
    assert seen_ps(made, "s") == 2 * FRAME - GAP + US


def test_credit_is_waited_for_and_one_frame_below_at_the_end() -> None:
    middle = MIDDLE | {"idle-slope": "50%"}
    streams = [stream("s", max_pkts_per_interval=3), stream("below", class_="low", size=1518)]
    # Credit for the third frame would be there after two frames and as much time again.
    made = case(streams, middle=middle, sends_ps={"s": 0, "below": 4 * FRAME - 1})
    assert proven(made)["s"].latency_ps_max == 5 * FRAME - GAP + BULK - 1 + US
    assert seen_ps(made, "s") == 5 * FRAME - GAP + BULK - 1 + US
    # Nothing is known of what is below, nor of a second class with credit.
    assert proven(made)["below"].latency_ps_max is None


def test_credit_below_the_rate_of_its_streams_proves_nothing() -> None:
    made = case([stream("s", interval="20us")], middle=MIDDLE | {"idle-slope": "50%"})
    assert proven(made)["s"].latency_ps_max is None


def bunched(middle: Mapping[str, Any]) -> Case:
    """Draw up frames that a burst holds up at a quick port, so that they meet at a slow one."""
    streams = [
        stream("held", "ac", 1230, interval="200us"),
        stream("burst", "ab", 1230, max_pkts_per_interval=45, interval="9ms"),
        stream("late", "bc", 1230, interval="10ms"),
    ]
    # Three frames are held from 200 us to 650 us; the third is at b by 681 us.
    sends = {"held": 0, "burst": 200 * US - 1, "late": 681 * US}
    return case(streams, links=TWO, middle=middle, sends_ps=sends)


def test_bursts_grow_with_what_delays_vary_by() -> None:
    made = bunched(MIDDLE)
    found = proven(made)
    late, held = found["late"].latency_ps_max, found["held"].latency_ps_max
    assert late is not None
    # At the first port 10 us and 450 us, so it varies by 450 us, and 130 us of the second port's
    # time can come together (40 us a frame), over a wire that is four times as quick: 40 us and
    # 4 us in each, until there is no more of it at t = (130 - 40) / (4 - 0.2) us. "late" itself
    # brings 40 us, and as much again every 10 ms; in t, t is sent. The gaps, 0.096 us and 0.384 us,
    # are after the last bit at both ports.
    assert late == pytest.approx((80 + (4 + 0.004 - 1) * 90 / 3.8 + 1) * US - 4 * GAP, abs=3)
    assert held == 461 * US - GAP + late
    assert 80 * US < seen_ps(made, "late") <= late


def test_shapers_keep_bursts_as_they_are() -> None:
    made = bunched(MIDDLE | {"max-residence": "10ms"})
    found = proven(made)
    assert found["late"].latency_ps_max == 2 * 40 * US - 4 * GAP + US
    assert found["held"].latency_ps_max == (460 + 1 + 80 + 1) * US - 5 * GAP
    for name in ("held", "late"):
        most = found[name].latency_ps_max
        assert most is not None
        assert seen_ps(made, name) <= most


def test_shapers_may_let_frames_go_together_that_came_over_one_wire() -> None:
    shaped = MIDDLE | {"max-residence": "10ms"}
    streams = [stream(name, "ac", 1230) for name in ("one", "other")]
    found = proven(case(streams, links=TWO, middle=shaped))
    assert found["one"].latency_ps_max == (2 * 10 + 1 + 2 * 40 + 1) * US - 5 * GAP


def test_a_shaper_holds_what_is_beyond_its_rate() -> None:
    shaped = MIDDLE | {"max-residence": "10ms"}
    # Two frames an interval are sent, the bucket fills for one in each: 20 intervals in a run.
    more = stream("s", excess_pkts_per_interval=1)
    found = proven(case([more], middle=shaped))["s"].latency_ps_max
    assert found == 10**10 + FRAME - GAP + US  # all that the shaper may hold a frame
    fair = stream("s", committed_rate="24320kbps", excess_pkts_per_interval=1)
    made = case([fair], middle=shaped, sends_ps={"s": 0})
    # 500 us until the bucket has filled for the second.
    assert proven(made)["s"].latency_ps_max == 500 * US + FRAME - GAP + US
    assert seen_ps(made, "s") == 500 * US + FRAME - GAP + US


@pytest.mark.parametrize(
    ("arrival", "name", "known"),
    [
        ("poisson", "low", True),
        ("poisson", "middle", False),
        ("poisson", "high", False),
        ("constant-rate", "middle", True),
        ("bursts", "high", True),
    ],
)
def test_only_arrivals_with_a_bucket_are_bounded(arrival: str, name: str, known: bool) -> None:
    demand = {
        "name": "d", "from": "a", "to": "b", "class": name, "rate": "100Mbps", "arrival": arrival,
        "sizes": "1518B",
    } | ({"burst": 4} if arrival == "bursts" else {})  # fmt: skip
    made = case([stream("s")], demands=[demand])
    most = proven(made)["s"].latency_ps_max
    assert (most is not None) == known
    if most is not None:
        assert most > FRAME + BULK
        assert seen_ps(made, "s") <= most


@pytest.mark.parametrize("shaped", [False, True])
def test_nothing_is_proven_in_a_circle_but_behind_shapers(shaped: bool) -> None:
    pairs = (("a", "b"), ("b", "c"), ("c", "a"))
    ring = [{"between": pair, "rate": "1Gbps", "delay": "1us"} for pair in pairs]
    ways = {"ac": ("a->b", "b->c"), "ba": ("b->c", "c->a"), "cb": ("c->a", "a->b")}
    middle = MIDDLE | ({"max-residence": "1ms"} if shaped else {})
    streams = [stream(ends, ends) for ends in ways]
    low, high = (stream(name, "ab", class_=name) for name in ("low", "high"))
    topology, profile, plan = case([*streams, low, high], links=ring, middle=middle)
    around = [
        one.replace(paths=(PathPlan(ports=ways.get(one.name, ("a->b",))),)) for one in plan.streams
    ]
    found = proven((topology, profile, plan.replace(streams=tuple(around))))
    known = {name for name, one in found.items() if one.latency_ps_max is not None}
    assert known == ({*ways, "low", "high"} if shaped else {"high"})
    # With one of them on its short way it is no circle.
    around[0] = plan.streams[0]
    found = proven((topology, profile, plan.replace(streams=tuple(around))))
    assert all(one.latency_ps_max is not None for one in found.values())


EVEN = (*LINE, dict(LINE[-1]) | {"between": ("b", "c")})


@pytest.mark.parametrize(
    ("middle", "low"),
    [
        (MIDDLE | {"weight": 1}, {"weight": 2, "priority": 3}),
        (MIDDLE, {"preemptable": True}),
        (MIDDLE, {}),
    ],
)
def test_nothing_is_proven_where_classes_take_turns_or_are_cut_and_only_there(
    middle: dict[str, Any], low: dict[str, Any]
) -> None:
    both = [stream("s"), stream("other", class_="low")]
    is_plain = not low
    found = proven(case(both, middle=middle, low=low))
    assert (found["s"].latency_ps_max is not None) == is_plain
    # Where the others do not come, nobody waits for a turn, and nothing is cut.
    apart = [stream("s"), stream("other", "bc", class_="low")]
    made = case(apart, links=EVEN, middle=middle, low=low)
    for name, one in proven(made).items():
        assert one.latency_ps_max is not None, name
        assert seen_ps(made, name) <= one.latency_ps_max


def test_nothing_is_proven_of_what_is_cut_through_and_only_there() -> None:
    streams = [stream("far", "ac"), stream("near", "ab"), stream("on", "bc", class_="high")]
    made = case(streams, links=EVEN, node={"cut-through": "64B"})
    found = proven(made)
    # What is not all in when it leaves was sent by another node, at the same rate.
    assert found["far"].latency_ps_max is None
    assert found["on"].latency_ps_max is None
    assert found["near"].latency_ps_max is not None
    assert seen_ps(made, "near") <= found["near"].latency_ps_max
    made = case(streams, links=TWO, node={"cut-through": "64B"})
    for name, one in proven(made).items():
        assert one.latency_ps_max is not None, name
        assert seen_ps(made, name) <= one.latency_ps_max


def test_too_much_load_proves_nothing_of_its_class_and_those_below() -> None:
    much = stream("much", interval="12us")
    low = stream("low", class_="low")
    found = proven(case([stream("high", class_="high"), much, low]))
    known = {name: one.latency_ps_max is not None for name, one in found.items()}
    assert known == {"high": True, "much": False, "low": False}


def latency_row(made: Case, *, simulated: bool) -> Row:
    """Judge a case and return its line of latency."""
    observations = [simulate(*made, threads=1)] if simulated else []
    verdict = judge(*made, prove(*made), observations)
    assert not verdict.findings
    return next(row for row in verdict.rows if row.kind == "latency")


def test_a_bound_beyond_the_promise_is_neither_kept_nor_broken() -> None:
    """The bound need not be reached; but what was seen within the promise proves nothing."""
    two = [stream(name, group="g", max_latency="20us") for name in "st"]
    made = case(two, sends_ps={"s": 0, "t": 500 * US})
    row = latency_row(made, simulated=True)
    assert (row.outcome, row.basis, row.not_known) == ("unknown", None, 2)
    assert row.reason is not None
    assert row.reason.startswith("the bound is 5.224 us beyond the promise, what was seen 6.936 us")
    row = latency_row(made, simulated=False)
    assert (row.outcome, row.proven) == ("unknown", 2 * FRAME - GAP + US)
    late = case(two, sends_ps={"s": 0, "t": 0})
    assert latency_row(late, simulated=True).outcome == "fail"
    kept = latency_row(case([stream("s", max_latency="20us")]), simulated=False)
    assert (kept.outcome, kept.basis) == ("pass", "proven")


def test_only_the_simulation_can_disagree() -> None:
    """Hosts that are emulated may send what is in no plan."""
    made = case([stream("s"), stream("t")], sends_ps={"s": 0, "t": 0})
    proof = prove(*made)
    less = proof.replace(
        streams=tuple(one.replace(latency_ps_max=FRAME + US) for one in proof.streams)
    )
    seen = simulate(*made, threads=1)
    (finding,) = judge(*made, less, [seen]).findings
    assert "simulated latency of 25224000 ps, proven at most 13160000 ps" in finding
    assert not judge(*made, less, [seen.replace(witness="emulated")]).findings


def test_frames_that_find_no_room_are_no_disagreement() -> None:
    """The bound is one of frames that arrive."""
    made = case([stream("s", max_pkts_per_interval=10)], node={"buffer": "4kB"})
    seen = simulate(*made, threads=1)
    assert seen.streams[0].lost > 0
    assert not judge(*made, prove(*made), [seen]).findings
