"""The ways that streams between two nodes may take, as arrays.

A way is a route, two disjoint ones, or a tree, with the cycle of every hop for start cycle 0. What
a way means never changes and its number stays until `forget`: when a cable fails, pairs of nodes
are given other ways, and streams that keep their way still find it under its number.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import cached_property
from itertools import count, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.graph.routes import Branches, Edge, Routes
from qnet.model.topology import Topology
from qnet.model.traffic import Stream
from qnet.schedule.availability import Availabilities
from qnet.schedule.cycles.kernels.tables import NO_TREE, Candidates, Pairs
from qnet.schedule.kernels import Int64s
from qnet.schedule.timing import buffer_turn_ps, ingress_reason, time_route

FAILURES_KEPT = 8
"""Failures whose routes are remembered, beside the network as it is whole."""

WAYS_FREE = 2048
"""Ways and pairs that a table may have beyond twice those in use, before it is to forget some."""


class Pair(NamedTuple):
    """Two nodes, and how many disjoint paths are wanted between them.

    Or a talker and several listeners, `others` behind the first; then ways also depend on whether
    those are `damped`. Only ways of at least that `availability` are any good, in steps of 1e-15.
    """

    talker: str
    listener: str
    paths: int = 1
    others: tuple[str, ...] = ()
    damped: bool = False
    availability: int = 0

    @property
    def listeners(self) -> tuple[str, ...]:
        """Return all listeners."""
        return (self.listener, *self.others)


def pair_of(stream: Stream) -> Pair:
    """Return what a stream's ways depend on."""
    listener, *others = stream.listeners
    damped = stream.damper and bool(others)
    available = stream.availability or 0
    return Pair(stream.talker, listener, stream.paths, tuple(others), damped, available)


class CandidateHop(NamedTuple):
    """One hop of a way: its cycle for start cycle 0, and the wires to choose from.

    At the last hop of a path `skew_ps` is by how much it is quicker than the way, `window_ps` what
    of its latency is open; elsewhere both are -1. `slack_ps` is the time from the end of the last
    turn of its buffer at the next hop to when a frame of no length could come there.
    """

    shift: int
    skew_ps: int
    window_ps: int
    slack_ps: int
    ports: tuple[int, ...]


class CandidatePath(NamedTuple):
    """The hops of one or two paths, one path after the other; or those of a tree.

    A tree's are in an order in which each is behind the one that it follows: `before` is the place
    of that, -1 at the talker. `ends` has the place of the last hop to each listener.
    """

    pair: int
    latency_ps_max: int
    hops: tuple[CandidateHop, ...]
    before: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    @property
    def paths(self) -> list[list[int]]:
        """Return the places of the hops of every path."""
        if self.before:
            return [self._path(end) for end in self.ends]
        paths: list[list[int]] = [[]]
        for place, hop in enumerate(self.hops):
            paths[-1].append(place)
            if hop.skew_ps >= 0 and place + 1 < len(self.hops):
                paths.append([])
        return paths

    def _path(self, place: int) -> list[int]:
        path = []
        while place >= 0:
            path.append(place)
            place = self.before[place]
        return path[::-1]


class Kept(NamedTuple):
    """New numbers of ways and pairs by their old ones; -1 is what was forgotten."""

    way: Int64s
    pair: Int64s


class CandidateTable:
    """The ways that were asked for, by number, and those that each pair may use now."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._down: frozenset[int] = frozenset()
        self._routes = {self._down: Routes(topology)}
        self._slack: dict[tuple[int, int], int] = {}
        self._number: dict[CandidatePath, int] = {}
        self._range: dict[tuple[frozenset[int], int], tuple[int, int]] = {}
        self._stretch: dict[tuple[CandidatePath, ...], tuple[int, int]] = {}
        self.pair_number: dict[Pair, int] = {}
        self.pairs: list[Pair] = []
        self.ways: list[CandidatePath] = []
        self.hop_count_most = 1
        self._arrays = _to_arrays([], topology.tcqf.cycle_ps)
        self._pair_arrays = _no_pairs()
        self._size_most = WAYS_FREE

    @property
    def routes(self) -> Routes:
        """Routes around what is down."""
        return self._routes[self._down]

    def number_of(self, pair: Pair) -> int:
        """Return the number of a pair, given out when it is first asked for."""
        number = self.pair_number.get(pair)
        if number is None:
            number = self.pair_number[pair] = len(self.pairs)
            self.pairs.append(pair)
        return number

    def copy(self) -> CandidateTable:
        """Return a table that goes its own way from here; what does not change is shared."""
        made = copy(self)
        made._routes, made._range = {**self._routes}, {**self._range}
        made._number, made._stretch = {**self._number}, {**self._stretch}
        made.pair_number, made.pairs, made.ways = {**self.pair_number}, [*self.pairs], [*self.ways]
        made._pair_arrays = Pairs(*(side.copy() for side in self._pair_arrays))
        return made

    def add(self, ways: Iterable[CandidatePath]) -> list[int]:
        """Give ways numbers; one that is known keeps its own."""
        numbers = []
        for way in ways:
            if way not in self._number:
                self._number[way] = len(self.ways)
                self._append(way)
            numbers.append(self._number[way])
        return numbers

    def fail(self, ports: Iterable[int]) -> None:
        """From now on offer ways around the ports that are down."""
        self._down = frozenset(ports)
        self._pair_arrays = _no_pairs()
        known = self._routes.pop(self._down, None)
        self._routes[self._down] = known or Routes(self._topology, self._down)
        while len(self._routes) > FAILURES_KEPT:
            self._forget(next(down for down in self._routes if down))

    def _forget(self, down: frozenset[int]) -> None:
        """Forget what a failure was answered with; its ways keep their numbers."""
        del self._routes[down]
        self._range = {key: value for key, value in self._range.items() if key[0] != down}

    @property
    def is_full(self) -> bool:
        """Whether it is time to `forget`: there is twice as much as was last in use."""
        return len(self.ways) + len(self.pairs) > self._size_most

    def forget(self, ways: Int64s, pairs: Int64s | None = None) -> Kept:
        """Forget all but the ways that are in use and those that pairs may use now, or might again.

        With `pairs`, sorted, all other pairs are forgotten as well, and what was found for them.
        What is kept has new numbers; which ways a pair may use, and in what order, stays.
        """
        new_pair = np.arange(len(self.pairs))
        if pairs is not None:
            new_pair[:] = -1
            new_pair[pairs] = np.arange(len(pairs))
            self.pairs = [self.pairs[number] for number in pairs.tolist()]
            self.pair_number = {pair: number for number, pair in enumerate(self.pairs)}
            self._routes = {down: Routes(self._topology, down) for down in self._routes}
        old, ranges = self.ways, self._range
        self.ways, self._number, self._stretch, self._range = [], {}, {}, {}
        self.hop_count_most, self._pair_arrays = 1, _no_pairs()
        self._arrays = _to_arrays([], self._topology.tcqf.cycle_ps)

        def renamed(number: int) -> CandidatePath:
            return old[number]._replace(pair=int(new_pair[old[number].pair]))

        for (down, pair), stretch in ranges.items():
            if new_pair[pair] >= 0:
                found = tuple(renamed(number) for number in range(*stretch))
                self._range[down, int(new_pair[pair])] = self._put_together(found)
        new_way = np.full(len(old), -1, dtype=np.int64)
        new_way[ways] = self.add(renamed(number) for number in ways.tolist())
        self._size_most = 2 * (len(self.ways) + len(self.pairs)) + WAYS_FREE
        return Kept(new_way, new_pair)

    def arrays(self, wanted: NDArray[np.integer[Any]]) -> tuple[Candidates, Pairs]:
        """Return all ways for the kernels, and which of them each of the wanted pairs may use."""
        if self._pair_arrays.low.size < len(self.pairs):
            self._pair_arrays = Pairs(*(_pad(side, len(self.pairs)) for side in self._pair_arrays))
        low, high, damped_ps = self._pair_arrays
        for number in np.unique(wanted[low[wanted] < 0]).tolist():
            low[number], high[number] = self._ways_now(number)
            damped_ps[number] = max(
                damped_variation_ps(self._topology, one) for one in self.pairs[number].listeners
            )
        known = len(self._arrays.order)
        if known < len(self.ways):
            more = _to_arrays(self.ways[known:], self._topology.tcqf.cycle_ps)
            self._arrays = _joined(self._arrays, more)
        return self._arrays, self._pair_arrays

    def _ways_now(self, number: int) -> tuple[int, int]:
        """Return from where to where the ways of a pair are, in order of delay.

        They stand together, so a way that is known already may be written a second time.
        """
        key = (self._down, number)
        if key not in self._range:
            self._range[key] = self._put_together(tuple(self._find(number, self.routes)))
        return self._range[key]

    def _put_together(self, found: tuple[CandidatePath, ...]) -> tuple[int, int]:
        """Return from where to where these ways stand, in this order."""
        if found not in self._stretch:
            low = len(self.ways)
            for way in found:
                self._number.setdefault(way, len(self.ways))
                self._append(way)
            self._stretch[found] = (low, len(self.ways))
        return self._stretch[found]

    def _append(self, way: CandidatePath) -> None:
        self.ways.append(way)
        self.hop_count_most = max(self.hop_count_most, len(way.hops))

    def _find(self, number: int, routes: Routes) -> Iterable[CandidatePath]:
        pair = self.pairs[number]
        names = self._topology.node_by_name
        if pair.talker in pair.listeners or not {pair.talker, *pair.listeners} <= names.keys():
            return
        if ingress_reason(self._topology, pair.talker) is not None:
            return
        for rank in count():
            found = routes.branches(pair.talker, pair.listeners, pair.paths, rank)
            if found is None:
                return
            if not pair.availability or self._share_of(pair, found) >= pair.availability:
                yield self._way(number, found)

    def _share_of(self, pair: Pair, way: Branches) -> int:
        return self._available.of(way, clocked=True, tree=bool(pair.others))

    @cached_property
    def _available(self) -> Availabilities:
        return Availabilities(self._topology)

    def _way(self, number: int, branches: Branches) -> CandidatePath:
        pair, edges = self.pairs[number], branches.edges
        timed = [time_route(self._topology, route) for route in branches.routes]
        late_ps = [one.latency_ps_max for one in timed]
        if pair.damped:
            # What a damper's clock adds differs by listener; that of the worst counts for all.
            left_ps = [damped_variation_ps(self._topology, one) for one in pair.listeners]
            late_ps = [
                late + own - max(left_ps) for late, own in zip(late_ps, left_ps, strict=True)
            ]
        hops = [CandidateHop(0, -1, -1, 0, _wires(edge)) for edge in edges]
        before = [-1] * len(edges)
        for path, one, late in zip(branches.paths, timed, late_ps, strict=True):
            for place, cycle in zip(path, one.cycles, strict=True):
                hops[place] = hops[place]._replace(shift=cycle)
            for place, following in pairwise(path):
                slack_ps = self._slack_ps(edges[place], edges[following])
                hops[place] = hops[place]._replace(slack_ps=slack_ps)
                before[following] = place
            skew_ps = max(late_ps) - late
            window_ps = one.window_ps - (skew_ps if pair.others else 0)
            end = path[-1]
            hops[end] = hops[end]._replace(skew_ps=skew_ps, window_ps=window_ps)
        way = CandidatePath(number, max(late_ps), tuple(hops))
        if not pair.others:
            return way
        return way._replace(before=tuple(before), ends=tuple(path[-1] for path in branches.paths))

    def _slack_ps(self, edge: Edge, following: Edge) -> int:
        ends = (edge.ports[0].number, following.ports[0].number)
        if ends not in self._slack:
            buffers_ps = self._topology.tcqf.buffers * self._topology.tcqf.cycle_ps
            self._slack[ends] = buffers_ps - buffer_turn_ps(self._topology, edge, following)
        return self._slack[ends]


def damped_variation_ps(topology: Topology, listener: str) -> int:
    """Return the variation that a damper leaves, by the error of the listener's clock; or 0."""
    node = topology.node_by_name.get(listener)
    return 0 if node is None else 2 * node.clock.error_ps


def _wires(edge: Edge) -> tuple[int, ...]:
    return tuple(port.number for port in edge.ports)


def _no_pairs() -> Pairs:
    return Pairs(*(np.zeros(0, dtype=np.int64) for _ in Pairs._fields))


def _pad(side: Int64s, size: int) -> Int64s:
    return np.concatenate([side, np.full(size - side.size, -1, dtype=np.int64)])


def _to_arrays(ways: list[CandidatePath], cycle_ps: int) -> Candidates:
    hops = [hop for way in ways for hop in way.hops]

    def offsets(counts: Iterable[int]) -> Int64s:
        return np.concatenate([[0], np.cumsum(list(counts), dtype=np.int64)]).astype(np.int64)

    def flat(numbers: Iterable[int]) -> Int64s:
        return np.fromiter(numbers, dtype=np.int64)

    latency_ps_max = flat(way.latency_ps_max for way in ways)
    return Candidates(
        hop=offsets(len(way.hops) for way in ways),
        latency_ps_max=latency_ps_max,
        shift=flat(hop.shift for hop in hops),
        skew_ps=flat(hop.skew_ps for hop in hops),
        window_ps=flat(hop.window_ps for hop in hops),
        slack_ps=flat(hop.slack_ps for hop in hops),
        before=flat(place for way in ways for place in way.before or (NO_TREE,) * len(way.hops)),
        wire=offsets(len(hop.ports) for hop in hops),
        port=flat(port for hop in hops for port in hop.ports),
        cost=latency_ps_max,
        order=np.arange(len(ways)),
        cycle_ps=cycle_ps,
    )


def _joined(one: Candidates, more: Candidates) -> Candidates:
    """Return ways and those behind them as one."""
    columns = [np.concatenate(pair) for pair in zip(one[:-1], more[:-1], strict=True)]
    both = Candidates._make([*columns, one.cycle_ps])
    return both._replace(
        hop=np.concatenate([one.hop, one.hop[-1] + more.hop[1:]]),
        wire=np.concatenate([one.wire, one.wire[-1] + more.wire[1:]]),
        order=np.arange(len(both.order)),
    )
