"""Candidate routes: the shortest simple ones, with word of whether they are all there are."""

from __future__ import annotations

import heapq
from collections import deque
from typing import NamedTuple

from qnet.model.gates import GatePort

EXPANSIONS_MAX = 2000
"""Partial routes that are looked at for one pair of ends."""


class Candidates(NamedTuple):
    """Routes as indices of ports, shortest first; `complete` when no other simple route exists."""

    routes: tuple[tuple[int, ...], ...]
    complete: bool


class Router:
    """Finds routes over one set of ports; remembers pairs that were asked before."""

    def __init__(self, ports: tuple[GatePort, ...], count: int) -> None:
        self._ports = ports
        self._count = count
        self._out: dict[str, list[int]] = {}
        self._into: dict[str, list[int]] = {}
        for index, port in enumerate(ports):
            self._out.setdefault(port.source, []).append(index)
            self._into.setdefault(port.target, []).append(index)
        self._parent = self._strip()
        self._hops_to: dict[str, dict[str, int]] = {}
        self._known: dict[tuple[str, str], Candidates] = {}

    def candidates(self, source: str, target: str) -> Candidates:
        """Return up to `count` routes, by number of hops and then by order of the ports."""
        key = (source, target)
        if key not in self._known:
            self._known[key] = self._search(source, target)
        return self._known[key]

    def _strip(self) -> dict[str, str]:
        """Take off nodes with one neighbour, again and again; return who held each of them.

        What remains are the nodes between which detours exist. A route enters a part that was
        taken off only where one of its own ends lies in it.
        """
        near: dict[str, set[str]] = {}
        for port in self._ports:
            if port.source != port.target:
                near.setdefault(port.source, set()).add(port.target)
                near.setdefault(port.target, set()).add(port.source)
        parent: dict[str, str] = {}
        leaves = deque(sorted(node for node, others in near.items() if len(others) == 1))
        while leaves:
            leaf = leaves.popleft()
            if len(near[leaf]) != 1:
                continue
            (holder,) = near[leaf]
            parent[leaf] = holder
            near[leaf].clear()
            near[holder].discard(leaf)
            if len(near[holder]) == 1:
                leaves.append(holder)
        return parent

    def _chain(self, node: str) -> set[str]:
        chain = {node}
        while node in self._parent:
            node = self._parent[node]
            chain.add(node)
        return chain

    def _distances(self, target: str) -> dict[str, int]:
        if target not in self._hops_to:
            hops = {target: 0}
            queue = deque([target])
            while queue:
                node = queue.popleft()
                for index in self._into.get(node, ()):
                    before = self._ports[index].source
                    if before not in hops:
                        hops[before] = hops[node] + 1
                        queue.append(before)
            self._hops_to[target] = hops
        return self._hops_to[target]

    def _search(self, source: str, target: str) -> Candidates:
        """Go on with the partial route that may become the shortest, until enough are whole."""
        hops_to = self._distances(target)
        if source == target or source not in hops_to:
            return Candidates((), True)
        open_ends = self._chain(source) | self._chain(target)
        found: list[tuple[int, ...]] = []
        heap: list[tuple[int, tuple[int, ...], tuple[str, ...]]] = [
            (hops_to[source], (), (source,))
        ]
        for _ in range(EXPANSIONS_MAX):
            if not heap:
                return Candidates(tuple(found), True)
            _, route, nodes = heapq.heappop(heap)
            if nodes[-1] == target:
                found.append(route)
                if len(found) == self._count:
                    return Candidates(tuple(found), False)
                continue
            for index in self._out.get(nodes[-1], ()):
                following = self._ports[index].target
                if (
                    following in nodes
                    or following not in hops_to
                    or (following in self._parent and following not in open_ends)
                ):
                    continue
                ahead = len(route) + 1 + hops_to[following]
                heapq.heappush(heap, (ahead, (*route, index), (*nodes, following)))
        return Candidates(tuple(found), False)
