"""TCQF's own promise: variation of at most two cycles, however long the line; and its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests.asking import ask, command, judged
from tests.builders import plan_for

CYCLE_PS = 10 * 10**6


@st.composite
def lines(draw: st.DrawFn, hops: int) -> Topology:
    """A line of nodes with any phase, 2 us of clock error and 5 us of uncertain processing."""
    nodes: list[dict[str, Any]] = []
    for number in range(hops + 1):
        low = draw(st.integers(0, 20_000))
        span = draw(st.integers(0, 5_000))
        clock = {
            "phase": f"{draw(st.integers(0, 9_999_999))}ps",
            "error": f"{draw(st.integers(0, 2_000_000))}ps",
            "wander": f"{draw(st.integers(0, 50_000))}ps",
        }
        processing = f"{low}ns..{low + span}ns"
        nodes.append({"name": f"n{number}", "processing": processing, "clock": clock})
    links = [
        {
            "between": [f"n{number}", f"n{number + 1}"],
            "rate": draw(st.sampled_from(["10Gbps", "25Gbps", "100Gbps"])),
            "delay": f"{draw(st.integers(20_000, 200_000))}ns",
        }
        for number in range(hops)
    ]
    return Topology.model_validate(
        {"title": "line", "tcqf": {"buffers": 5}, "nodes": nodes, "links": links}
    )


def traffic(hops: int) -> Profile:
    """Reserved streams of several frames an interval; best effort fills every wire beyond them."""
    end = f"n{hops}"
    reserved = {"from": "n0", "to": end}
    demands = [
        {"name": f"local-{i}", "from": f"n{i}", "to": f"n{i + 1}", "rate": "6Gbps"}
        | {"sizes": "1518B"}
        for i in range(hops)
    ]
    return Profile.model_validate(
        {
            "title": "line",
            "topology": "line",
            "streams": [
                {"name": "a", "interval": "20us", "max-payload-size": "700B", **reserved}
                | {"max-pkts-per-interval": 3, "count": 2},
                {"name": "b", "interval": "50us", "max-payload-size": "1500B", **reserved}
                | {"max-pkts-per-interval": 2},
                {"name": "c", "interval": "30us", "max-payload-size": "46B", **reserved},
            ],
            "demands": [
                *demands,
                {"name": "end-to-end", "from": "n0", "to": end, "rate": "1Gbps"}
                | {"arrival": "bursts", "burst": 20},
            ],
            "simulation": {"duration": "8ms", "seed": hops},
        }
    )


@pytest.mark.parametrize("hops", range(1, 21))
def test_variation_is_at_most_two_cycles(hops: int) -> None:
    received = 0

    @settings(max_examples=12)
    @given(lines(hops))
    def check(topology: Topology) -> None:
        nonlocal received
        profile = traffic(hops)
        plan = plan_for(topology, profile)
        proof = prove(topology, profile, plan)
        seen = simulate(topology, profile, plan, threads=1)
        assert proof.findings == ()
        assert {one.status for one in plan.streams} == {"admitted"}
        for bounds, one in zip(proof.streams, seen.streams, strict=True):
            assert (one.late, one.lost) == (0, 0)
            assert bounds.variation_ps is not None
            assert bounds.variation_ps <= 2 * CYCLE_PS
            received += one.received
            if one.received:
                assert bounds.latency_ps_min is not None
                assert bounds.latency_ps_max is not None
                assert one.latency_ps_min is not None
                assert one.latency_ps_max is not None
                assert bounds.latency_ps_min <= one.latency_ps_min
                assert one.latency_ps_max <= bounds.latency_ps_max
                assert one.variation_ps is not None
                assert one.variation_ps <= 2 * CYCLE_PS

    check()
    assert received > 500


# A clock that is further off than the plan was made for

LINE = """\
title: A line with clocks within {error}
nodes:
  - {{name: a, clock: {{phase: 1us, error: {error}, wander: {wander}}}}}
  - {{name: b, processing: 1us..2us, clock: {{phase: 4us, error: {error}, wander: {wander}}}}}
  - {{name: c, processing: 1us..2us, clock: {{phase: 8us, error: {error}, wander: {wander}}}}}
  - {{name: d, processing: 1us..2us, clock: {{phase: 3us, error: {error}, wander: {wander}}}}}
links:
  - {{between: [a, b], rate: 10Gbps, length: 20km}}
  - {{between: [b, c], rate: 10Gbps, length: 30km}}
  - {{between: [c, d], rate: 10Gbps, length: 40km}}
"""

PROFILE = """\
title: One reserved stream
topology: good
simulation: {duration: 50ms}
streams:
  - {name: s, from: a, to: d, interval: 20us, max-payload-size: 1000B, max-pkts-per-interval: 2}
"""


def clocks(folder: Path) -> tuple[Path, Path]:
    (folder / "good.yaml").write_text(LINE.format(error="100ns", wander="10ns"))
    bad = folder / "bad.yaml"
    bad.write_text(LINE.format(error="9us", wander="2us"))
    profile = folder / "profile.yaml"
    profile.write_text(PROFILE)
    return profile, bad


def test_a_clock_beyond_the_margin_is_found_by_checker_and_simulator(tmp_path: Path) -> None:
    profile, bad = clocks(tmp_path)
    good = ask(profile)
    assert good.verdict.outcome == "pass"
    assert good.seen("s").late == 0
    assert good.proof.findings == ()

    worse = judged(ask(profile, topology=bad).scenario, good.plan)
    assert "mapping" in {one.rule for one in worse.proof.findings}
    assert worse.proven("s").latency_ps_max is None
    assert worse.seen("s").late > 0
    assert worse.verdict.outcome == "fail"
    assert worse.row("s", "late").simulated == worse.seen("s").late


def test_a_clock_within_the_margin_is_planned_for(tmp_path: Path) -> None:
    # The same bad clocks are no harm to a plan that was made for them, or it is refused.
    profile, bad = clocks(tmp_path)
    answer = ask(profile, topology=bad)
    assert answer.proof.findings == ()
    assert answer.planned("s").status == "refused" or answer.seen("s").late == 0


def test_the_commands_say_so_and_exit_1(tmp_path: Path) -> None:
    profile, bad = clocks(tmp_path)
    plan = tmp_path / "plan.json"
    assert command("plan", profile, "-o", plan).returncode == 0
    assert command("check", profile, plan).returncode == 0
    checked = command("check", profile, plan, "--topology", bad)
    assert checked.returncode == 1
    assert "mapping" in checked.stdout
    assert "late for cycle" in checked.stdout
    simulated = command("simulate", profile, plan, "--topology", bad)
    assert simulated.returncode == 1
    assert "frames came after their cycle had begun" in simulated.stdout
