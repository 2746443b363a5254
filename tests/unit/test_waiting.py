"""What frames wait for at ports with gates, credit, shapers and preemption."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.model.gates import GateEntry, GateList
from qnet.model.journey import Journey
from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.report.journey import journey_lines
from qnet.simulate.explain import TracedRun, explain
from qnet.simulate.run import simulate
from qnet.simulate.tracing import Recorder
from qnet.simulate.world import REFUSED, TraceRow
from tests.slow_case import slow_run
from tests.unit.test_simulate_parts import GAP, LINE, _net, _plan, _profile, _window_case
from tests.unit.test_simulate_ports import PARTS, Drawing

pytestmark = pytest.mark.twin


def _journey(profile: Profile, name: str, plan: Plan | None = None) -> Journey:
    """Return the journey of the worst frame of a stream from a to b."""
    if plan is None:
        path = PathPlan(ports=("a->b",))
        plan = _plan(
            *(StreamPlan(name=one.name, status="routed", paths=(path,)) for one in profile.streams)
        )
    case = TracedRun(_net(), profile, plan)
    (journey,) = explain(case, simulate(*case, threads=1), name, "worst")
    assert journey.latency_ps == journey.accounted_ps
    return journey


def _told(profile: Profile, name: str, plan: Plan | None = None) -> list[tuple[int, str]]:
    """Return the waits of that frame, as they are printed."""
    journey = _journey(profile, name, plan)
    (hop,) = journey.hops
    lines = journey_lines(journey)[2 : 2 + len(hop.waits)]
    return [(wait.wait_ps, line[20:].strip()) for wait, line in zip(hop.waits, lines, strict=True)]


def test_a_gate_is_named_and_what_passes_while_it_is_closed() -> None:
    """The gate is open from 10 us of each 100 us on; until 8.304 us another frame is sent."""
    profile = _profile(
        [{"name": "tt", "priority": 7, "mechanism": "qbv"}],
        {"class": "tt", "interval": "100us"},
        {"class": "tt", "interval": "100us", "max-payload-size": "1000B"},
        last="350us",
    )
    first = PathPlan(ports=("a->b",), queues=(6,), starts_ps=((0,),))
    second = PathPlan(ports=("a->b",), queues=(7,), starts_ps=((4_000_000,),))
    plan = _plan(
        StreamPlan(name="s0", status="admitted", paths=(second,)),
        StreamPlan(name="s1", status="admitted", paths=(first,)),
        gates=(
            GateList(port="a->b", entries=(GateEntry(10_000_000, 64), GateEntry(90_000_000, 128))),
        ),
    )
    assert _told(profile, "s0", plan) == [
        (4_304_000, "waits for 1 frame of s1, on the wire already"),
        (1_696_000, "its gate is closed, or not open for long enough, until 6.000000 us"),
    ]


def test_credit_and_shapers_are_named() -> None:
    profile = _profile(
        [{"name": "av", "priority": 5, "idle-slope": "75%"}],
        {"class": "av", "max-pkts-per-interval": 2},
    )
    assert _told(profile, "s0") == [
        (LINE, "waits for 1 frame of s0, ahead in the queue"),
        (-(-LINE // 3), "the credit of its queue is negative until 16.405334 us"),
    ]
    shaped = {"class": "ats", "committed-rate": "100Mbps", "committed-burst": "1538B"}
    profile = _profile(
        [{"name": "ats", "priority": 5, "max-residence": "125us"}],
        shaped | {"interval": "400us", "max-pkts-per-interval": 2},
        last="400us",
    )
    assert _told(profile, "s0") == [(10 * LINE, "is shaped, eligible at 123.040000 us")]


def test_a_hold_is_named_beside_what_passes_meanwhile() -> None:
    """474 bytes of the frame, until 48.984 us; then held until 70 us, while one frame passes."""
    profile, plan = _window_case(held=True)
    told = {words: time for time, words in _told(profile, "s0", plan)}
    assert told == {
        "waits for 1 frame of s1, of a higher class": LINE,
        "the port holds preemptable frames for a window until 25.000000 us": 21_016_000 - LINE,
        "on the wire, but cut by express frames; goes on at 25.000000 us": 3_984_000,
    }


def test_a_frame_that_is_cut_counts_its_first_parts() -> None:
    """1518 bytes take longer than the 10 us between express frames; each cut adds 24 bytes."""
    profile = _profile(
        [{"name": "fast", "priority": 5}, {"name": "slow", "priority": 1, "preemptable": True}],
        {"class": "slow", "interval": "100us"},
        {"class": "fast", "interval": "10us", "max-payload-size": "1B"},
        last="400us",
    )
    journey = _journey(profile, "s0")
    (hop,) = journey.hops
    by_cause = {wait.cause: wait for wait in hop.waits}
    express, parts = by_cause["priority"], by_cause["cut"]
    assert express.wait_ps == express.frames * 672_000
    assert parts.wait_ps + hop.ended_ps - hop.started_ps == LINE - GAP + express.frames * 24 * 8_000
    assert any("on the wire, but cut by express frames" in one for one in journey_lines(journey))


def _log_of(case: TracedRun) -> tuple[set[Any], set[Any]]:
    """Return the trace of a run and the slow twin's log."""
    recorder = Recorder(10**6)
    seen = simulate(*case, threads=1, recorder=recorder)
    assert seen == simulate(*case, threads=1)
    port, owner, rows = recorder.recording()
    made = {
        (int(where), int(who), row[TraceRow.BORN], row[TraceRow.LABEL] & 0xFFFF,
         row[TraceRow.QUEUED], row[TraceRow.STARTED], row[TraceRow.ENDED])
        for where, who, row in zip(port, owner, rows.tolist(), strict=True)
        if row[TraceRow.STARTED] != REFUSED
    }  # fmt: skip
    return made, {
        (number, one.source, one.birth, one.size, one.queued, one.started, one.ended)
        for number, log in enumerate(slow_run(*case).log)
        for one in log
    }


@pytest.mark.parametrize(
    "name", ["gates", "credit", "shaping", "cuts", "credit-and-weights", "gates-and-cuts"]
)
def test_every_wait_has_a_cause_and_the_trace_is_the_slow_twins_log(name: str) -> None:
    """On networks drawn at random, with gates anywhere; the parts add up to each latency."""
    causes: set[str] = set()

    @settings(max_examples=8)
    @given(st.composite(lambda draw: Drawing(draw, PARTS[name]).case())())
    def check(drawn: tuple[Topology, Profile, Plan]) -> None:
        case = TracedRun(*drawn)
        made, log = _log_of(case)
        assert made == log
        seen = simulate(*case, threads=1)
        for traffic in seen.streams:
            if not traffic.received:
                continue
            (journey,) = explain(case, seen, traffic.name, "worst")
            assert journey.latency_ps == journey.accounted_ps
            assert journey_lines(journey)
            causes.update(_causes(journey))

    check()
    assert causes


def _causes(journey: Journey) -> set[str]:
    """Return the causes of all waits; without cycles nothing is held for no named reason."""
    found: set[str] = set()
    for hop in journey.hops:
        for wait in hop.waits:
            assert wait.cause != "held" or hop.cycle is not None, (journey, wait)
            found.add(wait.cause)
    return found
