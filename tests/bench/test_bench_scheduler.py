"""How fast the schedulers are and how much they place. Numbers are shown, never asserted.

make bench
QNET_BENCH_STREAMS=10000000 python -m pytest tests/bench -k ten_million --benchmark-only -s
"""

import csv
import json
import os
import time
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest

import qnet
from qnet.check.plan import prove
from qnet.files.read import read_topology
from qnet.graph.paths import shortest_paths
from qnet.graph.paths.search import make_net
from qnet.model.plan import Plan
from qnet.schedule import schedule
from qnet.schedule.kernels import Int64s
from qnet.schedule.online import Scheduler, audit
from qnet.schedule.repair.search import Search
from qnet.schedule.reservations import Reservations
from tests.bench.fronts.csqf import CycleProblem, most_streams
from tests.bench.fronts.csqf.plan import State, fill, prepare, ruin_and_recreate
from tests.bench.fronts.slots import SlotProblem, most_slots_mbps
from tests.bench.fronts.slots import plan as slots
from tests.bench.fronts.slots.kernels import place_all
from tests.bench.hard import crowded, internet2
from tests.bench.judges import judge_cycles, judge_slots

DATA = Path(__file__).parent / "data"
STREAMS = int(os.environ.get("QNET_BENCH_STREAMS", "200000"))
FAILURES = 10_000


def random(seed: int, low: int, high: int, count: int) -> Int64s:
    words = np.random.PCG64(seed).random_raw(count) >> np.uint64(1)
    return low + words.astype(np.int64) % (high - low)


def csqf(count: int) -> CycleProblem:
    data = json.loads((DATA / "csqf-internet2.json").read_text())
    links = data["links_a_b_delay_ms"]
    delay = np.array([-(-round(ms * 1000) // data["cycle_us"]) for _, _, ms in links])
    source, target = (np.array([link[end] for link in links]) for end in range(2))
    streams = np.array(data["streams_src_dst_period_cycles_packets"][:count])
    return CycleProblem(8, source, target, delay, streams, 256, 10, 1)


@pytest.mark.parametrize(("count", "peer"), [(1000, 98), (2000, 88), (5000, 62)])
def test_csqf(benchmark: Any, count: int, peer: int) -> None:
    problem = csqf(count)
    bound = most_streams(problem).total

    def solve() -> State:
        state = prepare(problem)
        fill(problem, state)
        return state

    state = benchmark.pedantic(solve, rounds=3, warmup_rounds=1)
    judge_cycles(problem, state)
    greedy = int((state.book.way[:count] >= 0).sum())
    begin = time.perf_counter()
    ruin_and_recreate(problem, state, 200, 1)
    seconds = time.perf_counter() - begin
    judge_cycles(problem, state)
    after = int((state.book.way[:count] >= 0).sum())
    benchmark.extra_info.update(
        {
            "placed %": 100 * greedy / count,
            "after 200 rounds %": 100 * after / count,
            "rounds s": round(seconds, 2),
            "bound %": 100 * bound / count,
            "FO-CS %": peer,
        }
    )


@pytest.mark.parametrize("rounds", [None, 2, 200, 1000])
@pytest.mark.parametrize(
    "name", ["internet2 tcqf", "internet2 csqf", "crowded tcqf", "crowded csqf"]
)
def test_search_in_hard_sets(benchmark: Any, name: str, rounds: int | None) -> None:
    kind, mechanism = name.split()
    made = internet2(5000, mechanism) if kind == "internet2" else crowded(20, 1500, 1, mechanism)
    search = None if rounds is None else Search(1, lambda done: done < rounds)

    def solve() -> Plan:
        return schedule(*made, topology_sha256="", traffic_sha256="", search=search)

    plan = benchmark.pedantic(solve, rounds=1, warmup_rounds=1)
    assert prove(*made, plan).findings == ()
    assert plan.reserved is not None
    benchmark.extra_info.update(
        {
            "placed": plan.reserved.streams_placed,
            "at most": plan.reserved.streams_bound,
            "asked": plan.reserved.streams,
            "rate of bound %": 100 * plan.reserved.placed_bps / plan.reserved.bound_bps,
        }
    )


def tt_random(name: str) -> SlotProblem:
    def rows(path: Path) -> list[list[int]]:
        with path.open() as file:
            return [[int(cell) for cell in row] for row in islice(csv.reader(file), 1, None)]

    links = [tuple(ends) for ends in rows(DATA / f"tt-{name}-links.csv")]
    both = np.array([*links, *((other, one) for one, other in links)])
    streams = np.array(rows(DATA / f"tt-{name}.csv"))
    streams[:, 3] = -(-streams[:, 3] * 8 // 1000)
    source, target = (np.ascontiguousarray(both[:, end]) for end in range(2))
    return SlotProblem(int(both.max()) + 1, source, target, streams, delay=5, tail=1)


@pytest.mark.parametrize("name", ["r25_2500", "r60_5000"])
def test_tt_random(benchmark: Any, name: str) -> None:
    problem = tt_random(name)
    rate = problem.streams[:, 3] * 1000 / problem.streams[:, 2]
    order = np.lexsort((-problem.streams[:, 3], problem.streams[:, 2]))

    def solve() -> Any:
        state = slots.prepare(problem)
        place_all(state.slots, state.ground, state.frames, order, state.work, state.places)
        return state

    state = benchmark.pedantic(solve, rounds=3, warmup_rounds=1)
    judge_slots(problem, state)
    placed = float(rate[state.places.hops > 0].sum())
    bound = most_slots_mbps(problem, 1000)
    each_us = benchmark.stats.stats.min / len(rate) * 1e6
    benchmark.extra_info.update(
        {"of bound %": round(100 * placed / bound, 2), "us a stream, routing and all": each_us}
    )


def test_k_shortest_paths(benchmark: Any) -> None:
    graph = networkx.gnm_random_graph(60, 130, seed=1).to_directed()
    cost = random(1, 1, 10**9, graph.size()).tolist()
    for number, (near, far) in enumerate(graph.edges):
        graph[near][far].update(weight=cost[number], number=number)
    source, target = zip(*graph.edges, strict=True)
    net = make_net(source, target, cost, 60)
    pairs = [(near, far) for near in range(60) for far in range(60) if near != far]
    pairs = [pair for pair in pairs if networkx.has_path(graph, *pair)]
    table = benchmark.pedantic(lambda: shortest_paths(net, pairs, 8), rounds=3, warmup_rounds=1)
    begin = time.perf_counter()
    for place in range(0, len(pairs), 50):
        judge = networkx.shortest_simple_paths(graph, *pairs[place], weight="weight")
        expected = [tuple(graph[a][b]["number"] for a, b in pairwise(p)) for p in islice(judge, 8)]
        assert table.of_pair(place) == expected
    peer_us = (time.perf_counter() - begin) / len(range(0, len(pairs), 50)) * 1e6
    own_us = benchmark.stats.stats.min / len(pairs) * 1e6
    benchmark.extra_info.update({"us a pair": own_us, "networkx / qnet": peer_us / own_us})


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


@pytest.mark.parametrize(("hypercycle", "longest"), [(1000, 256), (64, 128)])
def test_ten_million_streams(benchmark: Any, hypercycle: int, longest: int) -> None:
    topology = read_topology("qingyang")
    names = [node.name for node in topology.nodes]
    scheduler = Scheduler(topology, hypercycle)
    pairs = np.array([scheduler.pair(a, b) for a in names for b in names if a != b])
    asked = scheduler.request(
        pairs[random(1, 0, len(pairs), STREAMS)],
        hypercycle,
        1,
        random(2, 64, longest + 1, STREAMS),
    )
    # Routes are found and kernels loaded once, before the clock runs.
    scheduler.release(scheduler.admit(scheduler.request(pairs, hypercycle, 1, 64)))
    ids = benchmark.pedantic(scheduler.admit, args=(asked,), rounds=1)
    ids = ids[ids >= 0]
    assert audit(scheduler) == []
    single = [asked[i : i + 1] for i in range(min(STREAMS, 100_000))]
    once = random(3, 0, len(ids), len(single))
    pair_us = []
    for place, request in zip(once.tolist(), single, strict=True):
        if scheduler.book.way[ids[place]] >= 0:
            gone = ids[place : place + 1]
            pair_us.append(1e6 * timed(lambda g=gone: scheduler.release(g)))  # type: ignore[misc]
            pair_us[-1] = max(
                pair_us[-1],
                1e6 * timed(lambda r=request: scheduler.admit(r)),  # type: ignore[misc]
            )
    looked = ids[random(4, 0, len(ids), min(STREAMS, 5_000_000))]
    seconds = timed(lambda: scheduler.lookup(looked))
    benchmark.extra_info.update(
        {
            "admitted": len(ids),
            "us a stream": benchmark.stats.stats.min / STREAMS * 1e6,
            "p99 us of one admit or release": float(np.percentile(pair_us, 99)),
            "lookups M/s": len(looked) / seconds / 1e6,
        }
    )
    assert audit(scheduler) == []


def test_failure_of_a_cable(benchmark: Any) -> None:
    topology = read_topology("qingyang")
    names = [node.name for node in topology.nodes]
    scheduler = Scheduler(topology, 1000)
    pairs = np.array([scheduler.pair(a, b) for a in names for b in names if a != b])
    scheduler.admit(
        scheduler.request(
            pairs[random(1, 0, len(pairs), 100_000)],
            np.array([50, 100, 200, 500, 1000])[random(2, 0, 5, 100_000)],
            1,
            random(3, 64, 1519, 100_000),
        )
    )
    report = benchmark.pedantic(scheduler.fail, args=("ix-xian",), rounds=1)
    benchmark.extra_info.update({"re-routed": len(report.moved), "lost": len(report.lost)})
    assert audit(scheduler) == []


def test_ten_thousand_failures_of_a_book(benchmark: Any, tmp_path: Path) -> None:
    """Break one or two cables at a time and repair them: how large is the process by then?"""
    scenario = qnet.load("zheng-qing-ha")
    topology = scenario.topology
    cables = sorted({topology.cable(link) for link in topology.links})
    pages = []
    with Reservations.from_plan(scenario, qnet.plan(scenario), journal=tmp_path / "j") as book:
        before = sorted(book.names)

        def fail_and_repair() -> None:
            for one, other in random(1, 0, len(cables), 2 * FAILURES).reshape(-1, 2).tolist():
                down = {cables[one], cables[other]}
                book.fail(*down)
                book.repair(*down)
                pages.append(int(Path("/proc/self/statm").read_text().split()[1]))

        benchmark.pedantic(fail_and_repair, rounds=1)
        assert sorted(book.names) == before
        assert audit(book._scheduler) == []
    mib = np.array(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20
    parts = np.array_split(mib, 10)
    benchmark.extra_info.update(
        {
            "largest MiB, tenth by tenth": [round(float(part.max()), 1) for part in parts],
            "ms a failure and its repair": benchmark.stats.stats.min / FAILURES * 1e3,
            "journal MiB": round((tmp_path / "j").stat().st_size / 2**20, 2),
        }
    )
