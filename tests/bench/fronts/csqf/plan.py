"""Place streams in networks that are given in whole cycles, with extra waiting.

A front to the planner's own search: a unit is a frame of 64 bytes, a link one wire whose frames may
wait so many cycles at its end. The streams that a linear program would take are placed first,
large ones before small ones, since small ones still fit into what is left; then whatever else finds
room, the cheapest first; rounds of ruin and recreate may follow.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from qnet.errors import Infeasible
from qnet.graph import bounds
from qnet.graph.paths import shortest_paths
from qnet.graph.paths.search import make_net
from qnet.schedule.cycles.kernels.admit import place_rows
from qnet.schedule.cycles.kernels.tables import (
    NO_TREE,
    Candidates,
    FreeBytes,
    Int64Table,
    Pairs,
    Request,
    ReservationRows,
    Scratch,
)
from qnet.schedule.cycles.state import empty_book, make_scratch
from qnet.schedule.cycles.table import Placing
from qnet.schedule.kernels import WEIGHT_BITS, Int64s
from qnet.schedule.repair.kernels import RUINED
from qnet.schedule.repair.search import cheapest_first, favoured_first, priced, repair
from qnet.units import wire_bytes

ROUTE_COUNT = 4
FRAME_BYTES = 64
UNIT_BYTES = wire_bytes(FRAME_BYTES)
CYCLE_PS = 1000
RATE_BPS = 10**18
"""So fast that a frame's line time is next to nothing of a cycle."""


class CycleProblem(NamedTuple):
    """Directed links with a delay in cycles, and streams.

    `streams` has the columns source, target, period in cycles, and units in each cycle it uses; a
    cycle of a link holds `capacity` units. A frame may wait up to `extra` cycles at each hop.
    """

    nodes: int
    source: Int64s
    target: Int64s
    delay: Int64s
    streams: Int64Table
    hypercycle: int
    capacity: int
    extra: int


class CyclePlan(NamedTuple):
    """For each stream its links and the cycle on each, both empty when it is refused."""

    links: tuple[tuple[int, ...], ...]
    cycles: tuple[tuple[int, ...], ...]


class State(NamedTuple):
    """All that placing works on; the book has a row for each stream, and spare ones."""

    grid: FreeBytes
    ways: Candidates
    pairs: Pairs
    book: ReservationRows
    scratch: Scratch


def plan_cycles(
    problem: CycleProblem, route_count: int = ROUTE_COUNT, rounds: int = 0, seed: int = 1
) -> CyclePlan:
    """Place as many streams as are found room for; the same seed gives the same plan."""
    state = prepare(problem, route_count)
    fill(problem, state)
    if rounds:
        ruin_and_recreate(problem, state, rounds, seed)
    return _to_plan(problem, state)


def prepare(problem: CycleProblem, route_count: int = ROUTE_COUNT) -> State:
    """Find the routes of all pairs in use, and make an empty ledger."""
    streams = problem.streams
    if (streams[:, 2:] < 1).any() or (problem.hypercycle % streams[:, 2] != 0).any():
        raise Infeasible(f"a period does not divide the hypercycle of {problem.hypercycle} cycles")
    links, length = len(problem.source), problem.hypercycle
    net = make_net(problem.source.tolist(), problem.target.tolist(), [1] * links, problem.nodes)
    ends, pair = np.unique(streams[:, :2], axis=0, return_inverse=True)
    table = shortest_paths(net, ends, route_count)
    ways = _ways(problem, table.offset, table.edge)
    pairs = Pairs(table.first[:-1].copy(), table.first[1:].copy(), np.zeros(len(ends), np.int64))
    width = int(np.diff(table.offset).max(initial=1))
    book = empty_book(len(streams) + RUINED, width, waits=problem.extra > 0)
    rows = slice(0, len(streams))
    book.asked[rows, Request.PAIR] = pair.reshape(-1)
    book.asked[rows, Request.PERIOD] = streams[:, 2]
    book.asked[rows, Request.PACKETS] = streams[:, 3]
    book.asked[rows, Request.FRAME_BYTES] = FRAME_BYTES
    book.asked[rows, Request.LATENCY_PS_MOST] = -1
    book.asked[rows, Request.VARIATION_PS_MOST] = -1
    book.asked[rows, Request.WAITS] = problem.extra > 0
    capacity = problem.capacity * UNIT_BYTES
    grid = FreeBytes(
        np.full((links, length), capacity, dtype=np.int64),
        np.full(links, capacity * length, dtype=np.int64),
        np.full(links, 2**WEIGHT_BITS // max(capacity, 1), dtype=np.int64),
        np.full(links, RATE_BPS, dtype=np.int64),
        np.ones(links, dtype=np.int64),
    )
    return State(grid, ways, pairs, book, make_scratch(length, width))


def _ways(problem: CycleProblem, offset: Int64s, link: Int64s) -> Candidates:
    hops = np.diff(offset)
    first = np.repeat(offset[:-1], hops)
    sums = np.cumsum(problem.delay[link]) - problem.delay[link]
    shift = sums - sums[first]
    last = np.zeros(len(link), dtype=np.bool_)
    last[offset[1:] - 1] = True
    latency_ps_max = shift[offset[1:] - 1] * CYCLE_PS
    return Candidates(
        hop=offset,
        latency_ps_max=latency_ps_max,
        shift=shift,
        skew_ps=np.where(last, 0, -1),
        window_ps=np.where(last, CYCLE_PS, -1),
        slack_ps=np.where(last, 0, problem.extra * CYCLE_PS),
        before=np.full(len(link), NO_TREE),
        wire=np.arange(len(link) + 1),
        port=link,
        cost=latency_ps_max,
        order=np.arange(len(hops)),
        cycle_ps=CYCLE_PS,
    )


def fill(problem: CycleProblem, state: State) -> None:
    """Place what the linear program takes, then whatever else fits."""
    _, taken, prices = most_streams(problem)
    order = cheapest_first(_field(problem, state, prices), _rows(problem))
    left = dict(taken)
    chosen = []
    weight = _weight(problem)
    for stream in np.argsort(problem.streams[:, 3], kind="stable").tolist():
        key = _class_of(problem, stream, int(weight[stream]))
        if left.get(key, 0) > 0:
            left[key] -= 1
            chosen.append(stream)
    order = favoured_first(state.book, order, np.array(chosen, dtype=np.int64))
    place_rows(*_field(problem, state, prices)[:4], order, state.scratch)


def ruin_and_recreate(problem: CycleProblem, state: State, rounds: int, seed: int) -> None:
    """Take out some streams, and see whether more fit in another order."""
    field = _field(problem, state, most_streams(problem).prices)
    repair(field, _rows(problem), rounds, seed)


def _field(problem: CycleProblem, state: State, prices: list[int]) -> Placing:
    ways = priced(state.ways, state.pairs, np.array(prices, dtype=np.int64))
    return Placing(*state._replace(ways=ways))


def _rows(problem: CycleProblem) -> Int64s:
    return np.arange(len(problem.streams))


def _weight(problem: CycleProblem) -> Int64s:
    return problem.streams[:, 3] * (problem.hypercycle // problem.streams[:, 2])


def _class_of(problem: CycleProblem, stream: int, weight: int) -> bounds.Class:
    source, target = problem.streams[stream, :2].tolist()
    return bounds.Class(source, target, weight)


def most_streams(problem: CycleProblem) -> bounds.Most:
    """Return how many streams any plan can place at most, and how many of each class make it up."""
    weight = _weight(problem).tolist()
    counts = Counter(_class_of(problem, stream, size) for stream, size in enumerate(weight))
    capacity = [problem.capacity * problem.hypercycle] * len(problem.source)
    source, target = problem.source.tolist(), problem.target.tolist()
    return bounds.most_streams(bounds.Load(source, target, capacity, counts))


def _to_plan(problem: CycleProblem, state: State) -> CyclePlan:
    links, cycles = [], []
    ways, book = state.ways, state.book
    for stream, way in enumerate(book.way[: len(problem.streams)].tolist()):
        row = slice(ways.hop[way], ways.hop[way + 1]) if way >= 0 else slice(0, 0)
        ports = ways.port[row]
        start = book.phase[stream] + ways.shift[row]
        if book.waits.size:
            start = start + book.waits[stream, : len(ports)]
        links.append(tuple(ports.tolist()))
        cycles.append(tuple(start.tolist()))
    return CyclePlan(tuple(links), tuple(cycles))
