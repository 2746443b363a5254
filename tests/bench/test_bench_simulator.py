"""How fast the simulator is as networks grow. Printed, never asserted: `make bench`.

Times are those of the run itself: the world is built before, and what was seen is put into nouns
after it; both are printed beside. The best of several runs is taken, since other work disturbs.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import pytest

from qnet.simulate import kernels as k
from qnet.simulate.run import Course, simulate
from tests.bench.mesh import Mesh, nouns, random_mesh, read_mesh, sends
from tests.bench.test_bench import say

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


def pace(mesh: Mesh, duration_ps: int, threads: int) -> Pace:
    """Run a mesh once."""
    case = nouns(mesh, duration_ps)
    begun = time.perf_counter()
    course = Course(*case, threads)
    built = time.perf_counter()
    while not course.is_done:
        course.go_on()
    done = time.perf_counter()
    hops = int(course.world.tally.port[:, k.FRAMES].sum())
    return Pace(hops, built - begun, done - built)


def best(mesh: Mesh, duration_ps: int, threads: int, rounds: int = ROUNDS) -> Pace:
    """Return the quickest of several runs, after one that is not counted."""
    pace(mesh, duration_ps, threads)
    return min((pace(mesh, duration_ps, threads) for _ in range(rounds)), key=lambda one: one.run_s)


def test_mesh60(benchmark: Benchmark) -> None:
    mesh = read_mesh()
    one = best(mesh, MESH60_PS, 1)
    two = best(mesh, MESH60_PS, 2)
    case = nouns(mesh, MESH60_PS)
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
    mesh = random_mesh(nodes, 80 * nodes, 0.88, seed=1)
    one = best(mesh, NODES_PS, 1, rounds=3)
    benchmark.pedantic(pace, args=(mesh, NODES_PS, 1), rounds=1)
    cost_ns = one.run_s / one.hops * 1e9
    benchmark.extra_info["ns_per_packet_hop"] = round(cost_ns, 1)
    say(f"{nodes} nodes, {80 * nodes:,} streams: {cost_ns:.1f} ns a packet-hop ({one.hops:,})")
