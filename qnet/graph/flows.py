"""Multicommodity flows: the most that a network can carry, and routes that carry it.

A linear program over edges (solved by HiGHS), with one commodity for each source: for every source
and edge how much flows, for every pair of nodes how much of what is wanted is served. It bounds
what any plan can place, since whole streams on single routes are only a special case. Where the
flow is to become a plan it is solved twice: first for the most served, then, keeping that, for
the least sum of flow times delay, so that routes are short and without loops.

Inside the program flows are floating-point Gb/s; what leaves this module is whole bits per second
that keep every capacity exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qnet.graph.lp import Entries, Optimum, Program
from qnet.graph.routes import Edge, Graph, Route
from qnet.units import PPB

Pair = tuple[str, str]

BPS_PER_UNIT = 10**9
GRAIN_BPS = 1000
"""Flows are read to the nearest kb/s: far above the solver's error, far below any use."""

COLUMNS_HIGHEST = 100_000
"""Of a program that is solved without a look at whether it has to be."""

SLACK = 1e-8
"""Share of the served total that shortening routes may give up; topping up regains it."""


class RouteRate(NamedTuple):
    """What one pair of nodes sends over one route."""

    route: Route
    rate_bps: int


class _Columns(NamedTuple):
    """The program's variables: a flow for each (source, edge), a served amount for each pair."""

    flows: list[tuple[str, Edge]]
    pairs: list[Pair]


def most_placed_bps(graph: Graph, capacity_bps: Sequence[int], wants: Mapping[Pair, int]) -> int:
    """Return the most that any plan can place of what the pairs of nodes want.

    `capacity_bps` has an entry for each edge of the graph. Right to a few kb/s.
    """
    if not wants:
        return 0
    program, columns = _program(graph, capacity_bps, wants)
    served = program.solve().values[len(columns.flows) :]
    return min(to_bps(float(served.sum())), sum(wants.values()))


class FlowAnswer(NamedTuple):
    """The most of what is wanted that a network carries: over which edges, and where more would go.

    By the numbers of edges: `flow_bps`, and `price_ppb`, how much more were carried for each bit
    per second that the edge had more, in parts per billion; only of the edges that have one.
    """

    served_bps: int
    flow_bps: Mapping[int, int]
    price_ppb: Mapping[int, int]


class FlowProgram:
    """Answers how much a network carries with other capacities, each time from the same start.

    So an answer does not depend on those before it, and it takes a few steps of the dual simplex
    from the network as it is.
    """

    def __init__(
        self, graph: Graph, capacity_bps: Sequence[int], wants: Mapping[Pair, int]
    ) -> None:
        self._most_bps = sum(wants.values())
        self._program, self._columns = _program(graph, capacity_bps, wants)
        edges = [edge for edge in graph.edges if capacity_bps[edge.number] > 0]
        first = self._program.rows - len(edges)
        self._row_of = {edge.number: first + place for place, edge in enumerate(edges)}
        self.intact = self._read(self._program.solve())
        self._program.keep_basis()

    def carry(self, capacity_bps: Mapping[int, int]) -> FlowAnswer:
        """Return the answer with other capacities of some edges that had one."""
        room = {
            self._row_of[number]: rate_bps / BPS_PER_UNIT
            for number, rate_bps in capacity_bps.items()
            if number in self._row_of
        }
        flow_bps = self.intact.flow_bps
        if all(flow_bps.get(number, 0) <= capacity_bps[number] for number in capacity_bps):
            return self.intact  # the best flow still fits
        return self._read(self._program.solve_within(room))

    def _read(self, found: Optimum) -> FlowAnswer:
        flows = self._columns.flows
        flow: dict[int, float] = {}
        for (_, edge), amount in zip(flows, found.values.tolist(), strict=False):
            if amount:
                flow[edge.number] = flow.get(edge.number, 0.0) + amount
        served = min(to_bps(sum(found.values[len(flows) :].tolist())), self._most_bps)
        price = {number: round(-found.duals[row] * PPB) for number, row in self._row_of.items()}
        return FlowAnswer(
            served,
            {number: to_bps(amount) for number, amount in flow.items()},
            {number: one for number, one in price.items() if one > 0},
        )


def place_flows(
    graph: Graph, free_bps: list[int], wants: Mapping[Pair, int]
) -> dict[Pair, list[RouteRate]]:
    """Place as much as fits over short routes, and take it out of `free_bps` of each edge."""
    placed: dict[Pair, dict[tuple[int, ...], int]] = {pair: {} for pair in sorted(wants)}
    left_bps = {pair: wants[pair] for pair in placed}

    def push(pair: Pair, route: Route, most_bps: int) -> int:
        amount = min(most_bps, left_bps[pair], *(free_bps[edge.number] for edge in route.edges))
        if amount > 0:
            chain = tuple(edge.number for edge in route.edges)
            placed[pair][chain] = placed[pair].get(chain, 0) + amount
            left_bps[pair] -= amount
            for number in chain:
                free_bps[number] -= amount
        return amount

    for pair, route, rate in _best_routes(graph, free_bps, wants):
        push(pair, route, to_bps(rate))
    for pair, chains in placed.items():
        # What rounding and the solver's slack left over goes over routes already taken, if it can.
        for chain in list(chains):
            push(pair, Route(tuple(graph.edges[number] for number in chain)), left_bps[pair])
        while left_bps[pair]:
            route_left = graph.shortest(*pair, usable=lambda edge: free_bps[edge.number] > 0)
            if route_left is None:
                break
            push(pair, route_left, left_bps[pair])
    return {
        pair: [
            RouteRate(Route(tuple(graph.edges[number] for number in chain)), rate_bps)
            for chain, rate_bps in chains.items()
        ]
        for pair, chains in placed.items()
    }


def _best_routes(
    graph: Graph, capacity_bps: Sequence[int], wants: Mapping[Pair, int]
) -> list[tuple[Pair, Route, float]]:
    """Solve for the most served over the shortest routes, and take the flows apart."""
    if not wants:
        return []
    if len({source for source, _ in wants}) * len(graph.edges) > COLUMNS_HIGHEST:
        routes = _cheapest_together(graph, capacity_bps, wants)
        if routes is not None:
            return routes
    program, columns = _program(graph, capacity_bps, wants)
    values = program.solve().values
    _shorten(program, columns, float(values[len(columns.flows) :].sum()))
    values = program.solve().values
    flow: dict[str, dict[int, float]] = {}
    for (source, edge), amount in zip(columns.flows, values, strict=False):
        flow.setdefault(source, {})[edge.number] = float(amount)
    routes = []
    for pair, amount in zip(columns.pairs, values[len(columns.flows) :], strict=True):
        for route, rate in _take_apart(graph, flow.get(pair[0], {}), pair, float(amount)):
            routes.append((pair, route, rate))
    return routes


def _cheapest_together(
    graph: Graph, capacity_bps: Sequence[int], wants: Mapping[Pair, int]
) -> list[tuple[Pair, Route, float]] | None:
    """Return the cheapest route of every pair if all of them fit beside each other, else None.

    Where they do, nothing serves more, and nothing costs less: it is what the program would find,
    in a moment where that takes minutes. A pair without any route is served nothing by either.
    """
    longest = max(edge.delay_ps for edge in graph.edges)
    left_bps = list(capacity_bps)
    routes = []
    for pair in sorted(wants):
        route = graph.shortest(
            *pair,
            usable=lambda edge: capacity_bps[edge.number] > 0,
            cost=lambda edge: 1000 * edge.delay_ps + longest,  # as `_shorten` counts
        )
        for edge in () if route is None else route.edges:
            left_bps[edge.number] -= wants[pair]
            if left_bps[edge.number] < 0:
                return None
        if route is not None:
            routes.append((pair, route, wants[pair] / BPS_PER_UNIT))
    return routes


def _take_apart(
    graph: Graph, flow: dict[int, float], pair: Pair, amount: float
) -> list[tuple[Route, float]]:
    """Follow the flow of one source to one target, shortest route first, and use it up."""
    least = GRAIN_BPS / BPS_PER_UNIT / 2
    routes = []
    while amount > least:
        route = graph.shortest(*pair, usable=lambda edge: flow.get(edge.number, 0.0) > least)
        if route is None:
            break
        rate = min(amount, *(flow[edge.number] for edge in route.edges))
        for edge in route.edges:
            flow[edge.number] -= rate
        amount -= rate
        routes.append((route, rate))
    return routes


def to_bps(units: float) -> int:
    """Return a flow of the program in bits per second."""
    return round(units * (BPS_PER_UNIT // GRAIN_BPS)) * GRAIN_BPS


def _program(
    graph: Graph, capacity_bps: Sequence[int], wants: Mapping[Pair, int]
) -> tuple[Program, _Columns]:
    """State the program: what enters a node leaves it or is served there; edges have capacities."""
    pairs = sorted(wants)
    sources = sorted({source for source, _ in pairs})
    edges = [edge for edge in graph.edges if capacity_bps[edge.number] > 0]
    nodes = sorted({name for edge in graph.edges for name in (edge.source, edge.enters)})
    row_of = {
        (source, node): row
        for row, (source, node) in enumerate((s, n) for s in sources for n in nodes if s != n)
    }
    columns = _Columns(
        [(source, edge) for source in sources for edge in edges if edge.enters != source], pairs
    )
    capacity_row = {edge.number: len(row_of) + place for place, edge in enumerate(edges)}
    start, index, value = [0], list[int](), list[float]()
    for source, edge in columns.flows:
        entries = [(row_of[source, edge.enters], 1.0), (capacity_row[edge.number], 1.0)]
        if edge.source != source:
            entries.append((row_of[source, edge.source], -1.0))
        index += [row for row, _ in entries]
        value += [factor for _, factor in entries]
        start.append(len(index))
    served = [(source, graph.end(target)) for source, target in pairs]
    for pair in served:
        if pair in row_of:
            index.append(row_of[pair])
            value.append(-1.0)
        start.append(len(index))
    # A pair with an unconnected end has no row to serve it from.
    most = [
        wants[pair] / BPS_PER_UNIT if end in row_of else 0.0
        for pair, end in zip(pairs, served, strict=True)
    ]
    room = [capacity_bps[edge.number] / BPS_PER_UNIT for edge in edges]
    matrix = Entries(start, index, value)
    worth = [1.0] * len(pairs)
    return Program(len(columns.flows), worth, most, len(row_of), room, matrix), columns


def _shorten(program: Program, columns: _Columns, served: float) -> None:
    """Change the goal to the least sum of flow times delay, while as much is served."""
    longest = max((edge.delay_ps for _, edge in columns.flows), default=1)
    # The constant keeps routes from wandering over edges that cost next to nothing.
    costs = [edge.delay_ps / longest + 1e-3 for _, edge in columns.flows]
    program.cheapen(costs, served * (1 - SLACK))
