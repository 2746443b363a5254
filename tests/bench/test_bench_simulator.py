"""How fast the simulator is as networks grow. Printed, never asserted: `make bench`.

Times are those of the run itself: the world is built before, and what was seen is put into nouns
after it; both are printed beside. The best of several runs is taken, since other work disturbs.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import pytest

from qnet.simulate.run import Course, simulate
from qnet.simulate.world import PortTally
from tests.bench.mesh import nouns, random_mesh, read_mesh, sends
from tests.bench.test_bench import say
from tests.bench.test_bench_ports import PARTS, Case, changed

Benchmark = Any
"""The fixture of pytest-benchmark, which has no types of its own."""

ROUNDS = 7
MESH60_PS = 10 * 10**9
NODES_PS = 10 * 10**9


class Pace(NamedTuple):
    """One run: packet-hops, and seconds to build the world and to run."""

    hops: int
    build_s: float
    run_s: float


def pace(case: Case, threads: int) -> Pace:
    """Run a mesh once."""
    begun = time.perf_counter()
    course = Course(*case, threads)
    built = time.perf_counter()
    while not course.is_done:
        course.go_on()
    done = time.perf_counter()
    hops = int(course.world.tally.port[:, PortTally.FRAMES].sum())
    return Pace(hops, built - begun, done - built)


def best(case: Case, threads: int, rounds: int = ROUNDS) -> Pace:
    """Return the quickest of several runs, after one that is not counted."""
    pace(case, threads)
    return min((pace(case, threads) for _ in range(rounds)), key=lambda one: one.run_s)


def test_mesh60(benchmark: Benchmark) -> None:
    mesh = read_mesh()
    case = nouns(mesh, MESH60_PS)
    one = best(case, 1)
    two = best(case, 2)
    seen = benchmark.pedantic(simulate, args=case, kwargs={"threads": 1}, rounds=ROUNDS)
    assert [stream.sent for stream in seen.streams] == sends(mesh.flows, MESH60_PS)
    assert seen.frame_hops == one.hops == two.hops
    benchmark.extra_info["packet_hops_per_s"] = round(one.hops / one.run_s)
    benchmark.extra_info["ratio"] = round(one.run_s / two.run_s, 2)
    say(
        f"mesh60, 10 ms, {one.hops:,} packet-hops: {one.hops / one.run_s / 1e6:.1f} million "
        f"packet-hops a second on one thread, {one.run_s / two.run_s:.2f} times that on two "
        f"({one.build_s * 1e3:.0f} ms to build; the whole call "
        f"{benchmark.stats.stats.min * 1e3:.0f} ms)"
    )


@pytest.mark.parametrize("nodes", [10, 60, 250, 1000])
def test_nodes(benchmark: Benchmark, nodes: int) -> None:
    case = nouns(random_mesh(nodes, 80 * nodes, 0.88, seed=1), NODES_PS)
    cases = {"one class": case} | {
        name: changed(case, part, PARTS[part])
        for name, part in (("two classes", "plain"), ("TCQF and another class", "TCQF, plain"))
    }
    for name, one in cases.items():
        seen = best(one, 1, rounds=3)
        cost_ns = seen.run_s / seen.hops * 1e9
        benchmark.extra_info[name] = round(cost_ns, 1)
        say(
            f"{nodes} nodes, {80 * nodes:,} streams, {name}: {cost_ns:.1f} ns a packet-hop "
            f"({seen.hops:,})"
        )
    benchmark.pedantic(pace, args=(case, 1), rounds=1)
