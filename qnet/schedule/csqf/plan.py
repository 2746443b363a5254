"""Place streams in cycles with extra waiting, as many as can be, and bound how many that is.

A linear program says which streams a plan that could split them over routes would take. Those are
placed first, large ones before small ones, since small ones still fit into what is left; then
whatever else finds room, the cheapest first. Rounds of ruin and recreate may follow: some streams
of one link are taken out, those that wait and then they are placed again, and what was there
before comes back unless at least as many have found a place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import highspy
import numpy as np

from qnet.errors import Infeasible
from qnet.schedule.csqf.kernels import (
    Desk,
    Int64Table,
    Places,
    Requests,
    Ways,
    place_all,
    remove_all,
)
from qnet.schedule.kernels import WEIGHT_BITS, Int64s, Ledger
from qnet.schedule.paths import shortest_paths
from qnet.schedule.paths.search import make_net

ROUTE_COUNT = 4
RUINED = 24
WAITING_TRIED = 96


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
    """All that placing works on."""

    ledger: Ledger
    ways: Ways
    requests: Requests
    desk: Desk
    places: Places


Wants = Mapping[tuple[int, int, int], int]


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
    links = len(problem.source)
    ones = [1] * links
    net = make_net(problem.source.tolist(), problem.target.tolist(), ones, problem.nodes)
    pairs, pair = np.unique(streams[:, :2], axis=0, return_inverse=True)
    table = shortest_paths(net, pairs, route_count)
    hops = np.diff(table.offset)
    delay = problem.delay[table.edge]
    first = np.repeat(table.offset[:-1], hops)
    place = np.arange(len(table.edge)) - first
    sums = np.cumsum(delay) - delay
    ways = Ways(
        table.first,
        table.offset,
        table.edge,
        (sums - sums[first]) % problem.hypercycle,
        np.where(place > 0, problem.extra, 0),
        np.maximum(hops - 1, 0) * problem.extra,
    )
    longest = int(hops.max(initial=1))
    length = problem.hypercycle
    waits = max(longest - 1, 0) * problem.extra + 1
    desk = Desk(
        np.zeros((longest, waits, length), dtype=np.int64),
        *(np.zeros(length, dtype=np.int64) for _ in range(3)),
    )
    places = Places(
        np.full(len(streams), -1, dtype=np.int64),
        np.zeros(len(streams), dtype=np.int64),
        np.zeros((len(streams), longest), dtype=np.int64),
    )
    ledger = Ledger(
        np.full((links, length), problem.capacity, dtype=np.int64),
        np.full(links, 2**WEIGHT_BITS // max(problem.capacity, 1), dtype=np.int64),
    )
    requests = Requests(pair.reshape(-1), streams[:, 2].copy(), streams[:, 3].copy())
    return State(ledger, ways, requests, desk, places)


def fill(problem: CycleProblem, state: State) -> None:
    """Place what the linear program takes, then whatever else fits."""
    _, taken = most_streams(problem)
    weight = problem.streams[:, 3] * (problem.hypercycle // problem.streams[:, 2])
    left = dict(taken)
    chosen = np.zeros(len(weight), dtype=np.bool_)
    for stream in np.argsort(problem.streams[:, 3], kind="stable").tolist():
        key = _class_of(problem, stream, int(weight[stream]))
        if left[key] > 0:
            left[key] -= 1
            chosen[stream] = True
    first = np.lexsort((problem.streams[:, 2], -problem.streams[:, 3]))
    place_all(
        state.ledger, state.ways, state.requests, first[chosen[first]], state.desk, state.places
    )
    place_all(*state[:3], cheapest_first(problem, state), *state[3:])


def cheapest_first(problem: CycleProblem, state: State) -> Int64s:
    """Sort streams by what they take of all links on their shortest route."""
    hops = np.append(np.diff(state.ways.offset), 0)[state.ways.first[state.requests.pair]]
    weight = problem.streams[:, 3] * (problem.hypercycle // problem.streams[:, 2])
    return np.lexsort((problem.streams[:, 2], weight * hops))


def ruin_and_recreate(problem: CycleProblem, state: State, rounds: int, seed: int) -> None:
    """Take out some streams of a link, and see whether more fit in another order."""
    words = np.random.PCG64(seed)
    cheap = cheapest_first(problem, state)
    rank = np.empty_like(cheap)
    rank[cheap] = np.arange(len(cheap))
    links = len(problem.source)
    for _ in range(rounds):
        waiting = np.flatnonzero(state.places.way < 0)
        if not len(waiting):
            return
        draws = words.random_raw(RUINED + WAITING_TRIED + 1) >> np.uint64(1)
        draws = draws.astype(np.int64)
        on_link = _users(state, int(draws[0]) % links)
        if not len(on_link):
            continue
        out = np.unique(on_link[draws[1 : RUINED + 1] % len(on_link)])
        tried = waiting[np.argsort(rank[waiting])]
        tried = np.unique(tried[draws[RUINED + 1 :] % min(len(tried), 4 * WAITING_TRIED)])
        free = state.ledger.free.copy()
        held = [column[out].copy() for column in state.places]
        remove_all(*state[:3], out, state.places)
        both = np.concatenate([tried, out])
        placed = place_all(*state[:3], both[np.argsort(rank[both])], *state[3:])
        if placed < len(out):
            state.ledger.free[:] = free
            for column, old in zip(state.places, held, strict=True):
                column[tried] = 0
                column[out] = old
            state.places.way[tried] = -1


def _users(state: State, link: int) -> Int64s:
    """Return the placed streams that use a link."""
    ways = np.repeat(np.arange(len(state.ways.most)), np.diff(state.ways.offset))
    over = np.zeros(len(state.ways.most) + 1, dtype=np.bool_)
    over[ways[state.ways.port == link]] = True
    return np.flatnonzero(over[state.places.way])


def _class_of(problem: CycleProblem, stream: int, weight: int) -> tuple[int, int, int]:
    source, target = problem.streams[stream, :2].tolist()
    return source, target, weight


def most_streams(problem: CycleProblem) -> tuple[float, dict[tuple[int, int, int], int]]:
    """Return how many streams any plan can place at most, and how many of each class make it up.

    A class is (source, target, units in a hypercycle). The linear program lets streams be split
    over routes and moments; the whole part of each class is returned.
    """
    weight = problem.streams[:, 3] * (problem.hypercycle // problem.streams[:, 2])
    counts = Counter(
        _class_of(problem, stream, size) for stream, size in enumerate(weight.tolist())
    )
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    served = {key: solver.addVariable(0, count) for key, count in counts.items()}
    sources = sorted({key[0] for key in counts})
    ends = list(zip(problem.source.tolist(), problem.target.tolist(), strict=True))
    flow = {(s, link): solver.addVariable(0) for s in sources for link in range(len(ends))}
    for source in sources:
        for node in range(problem.nodes):
            if node != source:
                into = [flow[source, link] for link, end in enumerate(ends) if end[1] == node]
                out = [-flow[source, link] for link, end in enumerate(ends) if end[0] == node]
                here = [
                    -key[2] * variable
                    for key, variable in served.items()
                    if key[:2] == (source, node)
                ]
                if terms := into + out + here:
                    solver.addConstr(solver.qsum(terms) == 0)
    for link in range(len(ends)):
        whole = solver.qsum([flow[source, link] for source in sources])
        solver.addConstr(whole <= problem.capacity * problem.hypercycle)
    solver.maximize(solver.qsum(list(served.values())))
    values = solver.getSolution().col_value
    amounts = {key: values[variable.index] for key, variable in served.items()}
    return sum(amounts.values()), {key: int(amount + 1e-6) for key, amount in amounts.items()}


def _to_plan(problem: CycleProblem, state: State) -> CyclePlan:
    links, cycles = [], []
    ways, places = state.ways, state.places
    for stream, way in enumerate(places.way.tolist()):
        row = slice(ways.offset[way], ways.offset[way + 1]) if way >= 0 else slice(0, 0)
        ports = ways.port[row]
        waited = places.waited[stream, : len(ports)]
        start = int(places.phase[stream])
        before = np.cumsum(problem.delay[ports]) - problem.delay[ports]
        links.append(tuple(ports.tolist()))
        cycles.append(tuple((start + before + waited).tolist()))
    return CyclePlan(tuple(links), tuple(cycles))
