"""How fast the three rooms are. Printed, never asserted: `make bench`.

Everything is warmed first, so that neither compilation nor reading of files is timed.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.files.read import load
from qnet.files.scenario import Scenario
from qnet.model.plan import Plan
from qnet.schedule import schedule
from qnet.simulate.run import simulate

DURATION_PS = 5 * 10**9

Benchmark = Any
"""The fixture of pytest-benchmark, which has no types of its own."""


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("qingyang")


@pytest.fixture(scope="module")
def full() -> Scenario:
    return load("qingyang-full")


def plan_of(case: Scenario) -> Plan:
    return schedule(
        case.topology,
        case.profile,
        topology_sha256=case.topology_sha256,
        traffic_sha256=case.traffic_sha256,
    )


@pytest.fixture(scope="module")
def plan(scenario: Scenario) -> Plan:
    return plan_of(scenario)


def say(words: str) -> None:
    sys.stdout.write(f"\n{words}\n")


def run(scenario: Scenario, plan: Plan, threads: int) -> tuple[int, float]:
    """Simulate 5 ms of the whole of Qingyang; return packet-hops and seconds."""
    simulation = scenario.profile.simulation.replace(duration_ps=DURATION_PS)
    profile = scenario.profile.replace(simulation=simulation)
    begun = time.perf_counter()
    seen = simulate(scenario.topology, profile, plan, threads=threads)
    return seen.frame_hops, time.perf_counter() - begun


@pytest.mark.parametrize("threads", [1, 2])
def test_simulate(benchmark: Benchmark, scenario: Scenario, plan: Plan, threads: int) -> None:
    hops, _ = benchmark.pedantic(
        run, args=(scenario, plan, threads), rounds=3, iterations=1, warmup_rounds=1
    )
    rate = hops / benchmark.stats.stats.min
    benchmark.extra_info["packet_hops_per_s"] = round(rate)
    say(f"simulate, {threads} thread(s): {rate / 1e6:.1f} million packet-hops a second")


def test_two_threads_beside_one(benchmark: Benchmark, scenario: Scenario, plan: Plan) -> None:
    run(scenario, plan, 2)
    one, two = (min(run(scenario, plan, threads)[1] for _ in range(3)) for threads in (1, 2))
    benchmark.extra_info["ratio"] = round(one / two, 2)
    benchmark.pedantic(run, args=(scenario, plan, 2), rounds=1, iterations=1)
    say(f"simulate, two threads beside one: {one / two:.2f} times as fast")


def test_schedule(benchmark: Benchmark, full: Scenario) -> None:
    plan = benchmark.pedantic(plan_of, args=(full,), rounds=3, iterations=1, warmup_rounds=1)
    rate = len(plan.streams) / benchmark.stats.stats.min
    benchmark.extra_info["streams_per_s"] = round(rate)
    say(f"schedule: {rate:,.0f} streams a second ({len(plan.streams):,} streams)")


def test_prove(benchmark: Benchmark, full: Scenario) -> None:
    plan = plan_of(full)
    proof = benchmark.pedantic(
        prove, args=(full.topology, full.profile, plan), rounds=3, iterations=1, warmup_rounds=1
    )
    rate = len(proof.streams) / benchmark.stats.stats.min
    benchmark.extra_info["streams_per_s"] = round(rate)
    say(f"prove: {rate:,.0f} streams a second ({len(proof.streams):,} streams)")
