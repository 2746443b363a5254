"""Candidate routes: the shortest simple ones, with word of whether they are all there are."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection
from typing import NamedTuple, TypeAlias

from qnet.graph.distances import distances
from qnet.graph.trees import Arc, grow
from qnet.model.gates import GatePort

EXPANSIONS_MAX = 2000
"""Partial routes that are looked at for one pair of ends."""

_Partial: TypeAlias = "tuple[int, _Partial] | None"
"""The last port of a partial route and the route before it."""


class CandidatesByHops(NamedTuple):
    """Routes as indices of ports, shortest first; `complete` when no other simple route exists."""

    routes: tuple[tuple[int, ...], ...]
    complete: bool


class Router:
    """Finds routes over one set of ports; remembers pairs that were asked before.

    Nodes are numbered, and sets of nodes are the bits of an integer.
    """

    def __init__(
        self, ports: tuple[GatePort, ...], count: int, hosts: Collection[str] = ()
    ) -> None:
        """Put the nodes into numbers; no route goes on from one of the `hosts`."""
        self._count = count
        names = sorted({name for port in ports for name in (port.source, port.target)})
        self._number = {name: number for number, name in enumerate(names)}
        self._hosts = sum(1 << self._number[name] for name in hosts if name in self._number)
        self._out: list[list[tuple[int, int, int]]] = [[] for _ in names]
        self._into: list[list[int]] = [[] for _ in names]
        for index, port in enumerate(ports):
            source, target = self._number[port.source], self._number[port.target]
            self._out[source].append((index, target, 1 << target))
            self._into[target].append(source)
        self._holder = self._strip()
        self._stripped = sum(1 << node for node in self._holder)
        self._hops_to: dict[int, list[int]] = {}
        self._known: dict[tuple[str, str], CandidatesByHops] = {}
        self._arcs = [Arc(port.source, port.target) for port in ports]
        self._trees: dict[tuple[str, tuple[str, ...]], CandidatesByHops] = {}

    def candidates(self, source: str, target: str) -> CandidatesByHops:
        """Return up to `count` routes, by number of hops."""
        key = (source, target)
        if key not in self._known:
            if source == target or source not in self._number or target not in self._number:
                self._known[key] = CandidatesByHops((), True)
            else:
                self._known[key] = self._search(self._number[source], self._number[target])
        return self._known[key]

    def ways(self, source: str, targets: tuple[str, ...]) -> CandidatesByHops:
        """Return up to `count` routes, or trees to several nodes, by hops to the furthest.

        No other tree exists where there is one route to each node.
        """
        if len(targets) == 1:
            return self.candidates(source, targets[0])
        key = (source, targets)
        if key not in self._trees:
            found = [self.candidates(source, target) for target in targets]
            trees = grow(self._arcs, [one.routes for one in found], lambda _node, _arc: None)
            trees.sort(key=lambda tree: (max(map(len, tree.paths)), len(tree.arcs), tree.arcs))
            sure = all(one.complete and len(one.routes) < 2 for one in found)
            routes = tuple(tree.arcs for tree in trees)[: self._count]
            self._trees[key] = CandidatesByHops(routes, sure)
        return self._trees[key]

    def _strip(self) -> dict[int, int]:
        """Take off nodes with one neighbour, again and again; return who held each of them.

        What remains are the nodes between which detours exist. A route enters a part that was
        taken off only where one of its own ends lies in it.
        """
        near: list[set[int]] = [set() for _ in self._out]
        for source, steps in enumerate(self._out):
            for _, target, _ in steps:
                if target != source:
                    near[source].add(target)
                    near[target].add(source)
        holder: dict[int, int] = {}
        leaves = deque(node for node, others in enumerate(near) if len(others) == 1)
        while leaves:
            leaf = leaves.popleft()
            if len(near[leaf]) != 1:
                continue
            held_by = near[leaf].pop()
            holder[leaf] = held_by
            near[held_by].discard(leaf)
            if len(near[held_by]) == 1:
                leaves.append(held_by)
        return holder

    def _chain(self, node: int) -> int:
        """Return the set of a node and those that hold it, up to one that was not taken off."""
        chain = 1 << node
        while node in self._holder:
            node = self._holder[node]
            chain |= 1 << node
        return chain

    def _distances(self, target: int) -> list[int]:
        """Return the hops from every node to the target, -1 where there is no way."""
        if target not in self._hops_to:
            found = distances(target, lambda node: ((1, before) for before in self._into[node]))
            self._hops_to[target] = [found.get(node, -1) for node in range(len(self._out))]
        return self._hops_to[target]

    def _search(self, source: int, target: int) -> CandidatesByHops:
        """Go on with the partial route that may become the shortest, until enough are whole.

        An entry of the heap is (hops at least, order of finding, hops so far, node, nodes that are
        not to be entered, route).
        """
        hops_to = self._distances(target)
        if hops_to[source] < 0:
            return CandidatesByHops((), True)
        closed = self._stripped & ~self._chain(source) & ~self._chain(target)
        closed |= self._hosts & ~(1 << target) | 1 << source
        found: list[tuple[int, ...]] = []
        order = 0
        heap: list[tuple[int, int, int, int, int, _Partial]] = [
            (hops_to[source], 0, 0, source, closed, None)
        ]
        for _ in range(EXPANSIONS_MAX):
            if not heap:
                return CandidatesByHops(tuple(found), True)
            _, _, hops, node, closed, route = heapq.heappop(heap)
            if node == target:
                found.append(_unroll(route))
                if len(found) == self._count:
                    return CandidatesByHops(tuple(found), not heap)
                continue
            hops += 1
            for index, following, bit in self._out[node]:
                if not closed & bit and hops_to[following] >= 0:
                    order += 1
                    entry = (
                        hops + hops_to[following],
                        order,
                        hops,
                        following,
                        closed | bit,
                        (index, route),
                    )
                    heapq.heappush(heap, entry)
        return CandidatesByHops(tuple(found), False)


def _unroll(route: _Partial) -> tuple[int, ...]:
    ports: list[int] = []
    while route is not None:
        port, route = route
        ports.append(port)
    return tuple(reversed(ports))
