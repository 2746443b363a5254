"""How fast the three rooms are. Printed, never asserted: `make bench`.

Everything is warmed first, so that neither compilation nor reading of files is timed.

QNET_BENCH_JUDGED=1000000 python -m pytest tests/bench -k many_streams --benchmark-only
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.files.read import load
from qnet.model.plan import Plan
from qnet.model.scenario import Scenario
from qnet.schedule import schedule
from qnet.simulate.run import simulate

DURATION_PS = 5 * 10**9
JUDGED = int(os.environ.get("QNET_BENCH_JUDGED", "100000"))

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


def many(count: int, name: str) -> Scenario:
    """Return as many streams of a class between all pairs of Qingyang's nodes."""
    nodes = [node.name for node in load("qingyang").topology.nodes]
    pairs = [(talker, listener) for talker in nodes for listener in nodes if talker != listener]
    each = -(-count // len(pairs))
    streams = [
        {
            "name": f"p{number}",
            "from": talker,
            "to": listener,
            "class": name,
            "count": min(each, count - number * each),
            "interval": ("500us", "1ms", "2ms")[number % 3],
            "max-payload-size": f"{46 + number % 200}B",
            "max-latency": "60ms",
        }
        for number, (talker, listener) in enumerate(pairs)
        if number * each < count
    ]
    return load({"title": "many streams", "topology": "qingyang", "streams": streams})


@pytest.mark.parametrize("name", ["reserved", "best-effort"])
def test_judges_of_many_streams(benchmark: Benchmark, name: str) -> None:
    def judged(count: int) -> tuple[float, float]:
        case = many(count, name)
        plan = plan_of(case)
        begun = time.process_time()
        proof = prove(case.topology, case.profile, plan)
        proven = time.process_time()
        judge(case.topology, case.profile, plan, proof, [])
        return proven - begun, time.process_time() - proven

    judged(1000)
    for count in (JUDGED // 10, JUDGED):
        proof_s, verdict_s = judged(count)
        said = f"prove {proof_s:.2f} s, judge {verdict_s:.2f} s of CPU time"
        benchmark.extra_info[f"{count:,} streams"] = said
        say(f"{count:,} {name} streams: {said}")
    benchmark.pedantic(judged, args=(1000,), rounds=1)
