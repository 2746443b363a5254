"""Routes by delay, and pairs of routes that no single failure can cut together.

Parallel wires that take the same time are one edge here: which of them a stream takes is decided
where the room is counted. Otherwise the first eight routes of a pair would often be eight ways to
pick wires along one and the same chain of nodes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from qnet.graph.pairs import two_node_disjoint_chains
from qnet.graph.paths.search import make_net, shortest_paths
from qnet.graph.trees import Arc, grow
from qnet.model.topology import Port, Topology
from qnet.units import serialisation_ps

ROUTE_COUNT = 8
"""Candidate routes of a pair of nodes."""

WIDE_ROUTE_COUNT = 64
"""Routes searched for a disjoint pair when the first eight have none, before giving up."""

REFERENCE_FRAME_BYTES = 1518
"""Frame whose line time counts in the order of routes; a longest untagged Ethernet frame."""


class Edge(NamedTuple):
    """Wires from one node to the next with one propagation delay: `ports` in topology order."""

    number: int
    source: str
    target: str
    cable: str | None
    """Their cable, or None where wires of several cables are taken together."""
    propagation_ps: int
    delay_ps: int
    """Processing at the source, line time of the reference frame, and propagation."""
    ports: tuple[Port, ...]
    is_last: bool = False
    """Whether a way ends where it leads: at a plain host, which forwards nothing."""

    @property
    def enters(self) -> str:
        """Return the vertex that the edge leads to: that of a plain host has no edges out."""
        return arrival(self.target) if self.is_last else self.target


def arrival(host: str) -> str:
    """Return the vertex at which ways to a plain host end; ways from it start at its name."""
    return f"{host} (arriving)"


class Route(NamedTuple):
    """A chain of edges without a repeated node."""

    edges: tuple[Edge, ...]

    @property
    def delay_ps(self) -> int:
        """Return the delay that routes are ordered by."""
        return sum(edge.delay_ps for edge in self.edges)

    @property
    def nodes_between(self) -> frozenset[str]:
        """Return the nodes that the route passes, without its ends."""
        return frozenset(edge.source for edge in self.edges[1:])

    @property
    def cables(self) -> frozenset[str]:
        """Return the cables that the route uses, of edges that keep to one."""
        return frozenset(edge.cable for edge in self.edges if edge.cable is not None)


class Branches(NamedTuple):
    """All that a stream's frames take: edges, each once, and the places in them of every path.

    Paths are one route, two disjoint ones, or those of a tree, one to each listener: they are the
    same up to where they part.
    """

    edges: tuple[Edge, ...]
    paths: tuple[tuple[int, ...], ...]

    @property
    def routes(self) -> tuple[Route, ...]:
        """Return each path by itself."""
        return tuple(Route(tuple(self.edges[place] for place in path)) for path in self.paths)

    @property
    def depths(self) -> tuple[int, ...]:
        """Return how many hops each edge is from the talker."""
        depth = {place: hop for path in self.paths for hop, place in enumerate(path)}
        return tuple(depth[place] for place in range(len(self.edges)))

    @classmethod
    def side_by_side(cls, routes: Sequence[Route]) -> Branches:
        """Put routes that share nothing after each other."""
        edges: list[Edge] = []
        paths = []
        for route in routes:
            paths.append(tuple(range(len(edges), len(edges) + len(route.edges))))
            edges += route.edges
        return cls(tuple(edges), tuple(paths))


def disjoint(one: Route, other: Route) -> bool:
    """Say whether two routes between the same ends share no cable and no node."""
    return not (one.nodes_between & other.nodes_between or one.cables & other.cables)


def make_edges(
    topology: Topology, *, by_cable: bool, down: Collection[int] = ()
) -> tuple[Edge, ...]:
    """Gather parallel wires of equal propagation, within one cable if `by_cable`.

    Ports whose numbers are in `down` are left out.
    """
    together: dict[tuple[str, str, str | None, int], list[Port]] = {}
    for port in topology.ports:
        if port.number in down:
            continue
        cable = topology.cable(topology.links[port.link]) if by_cable else None
        key = (port.source, port.target, cable, port.propagation_ps)
        together.setdefault(key, []).append(port)
    edges: list[Edge] = []
    for (source, target, cable, propagation_ps), ports in together.items():
        processing_ps = topology.node_by_name[source].processing.high_ps
        fastest_bps = max(port.rate_bps for port in ports)
        delay_ps = processing_ps + serialisation_ps(REFERENCE_FRAME_BYTES, fastest_bps)
        edges.append(
            Edge(
                len(edges),
                source,
                target,
                cable,
                propagation_ps,
                delay_ps + propagation_ps,
                tuple(ports),
                topology.node_by_name[target].is_host,
            )
        )
    return tuple(edges)


class Graph:
    """Edges by the node they leave, and the searches over them.

    Every search is by (cost, hops, edge numbers), so that ties never depend on memory or hashes.
    """

    def __init__(self, edges: Sequence[Edge]) -> None:
        self.edges = tuple(edges)
        self._from: dict[str, list[Edge]] = {}
        for edge in edges:
            self._from.setdefault(edge.source, []).append(edge)
        self._hosts = frozenset(edge.target for edge in edges if edge.is_last)
        names = sorted({name for edge in edges for name in (edge.source, edge.enters)})
        self._node = {name: number for number, name in enumerate(names)}
        self._net = make_net(
            [self._node[edge.source] for edge in edges],
            [self._node[edge.enters] for edge in edges],
            [edge.delay_ps for edge in edges],
            len(names),
        )

    def end(self, node: str) -> str:
        """Return the vertex at which ways to a node end."""
        return arrival(node) if node in self._hosts else node

    def leaving(self, node: str) -> Sequence[Edge]:
        """Return the edges that leave a node."""
        return self._from.get(node, ())

    def shortest(
        self,
        source: str,
        target: str,
        usable: Callable[[Edge], bool] = lambda edge: True,
        cost: Callable[[Edge], int] = lambda edge: edge.delay_ps,
    ) -> Route | None:
        """Return the cheapest route over usable edges (Dijkstra), or None."""
        heap: list[tuple[int, int, tuple[int, ...], str]] = [(0, 0, (), source)]
        done: set[str] = set()
        end = self.end(target)
        while heap:
            so_far, hops, chain, node = heapq.heappop(heap)
            if node == end:
                return Route(tuple(self.edges[number] for number in chain))
            if node in done:
                continue
            done.add(node)
            for edge in self.leaving(node):
                if edge.enters not in done and usable(edge):
                    step = (so_far + cost(edge), hops + 1, (*chain, edge.number), edge.enters)
                    heapq.heappush(heap, step)
        return None

    def avoiding(
        self, source: str, target: str, nodes: Collection[str], cables: Collection[str]
    ) -> Route | None:
        """Return the shortest route that enters none of the nodes and uses none of the cables."""
        return self.shortest(
            source,
            target,
            lambda edge: edge.target not in nodes and edge.cable not in cables,
        )

    def by_delay(self, source: str, target: str, count: int) -> list[Route]:
        """Return the first simple routes, shortest first."""
        end = self.end(target)
        if source not in self._node or end not in self._node:
            return []
        pair = (self._node[source], self._node[end])
        chains = shortest_paths(self._net, [pair], count).of_pair(0)
        return [Route(tuple(self.edges[number] for number in chain)) for chain in chains]


class Routes:
    """Candidate routes and disjoint pairs of one topology, each found once."""

    def __init__(self, topology: Topology, down: Collection[int] = ()) -> None:
        self.graph = Graph(make_edges(topology, by_cable=False, down=down))
        self._by_cable = Graph(make_edges(topology, by_cable=True, down=down))
        self._single: dict[tuple[str, str], list[Route]] = {}
        self._pairs: dict[tuple[str, str], tuple[tuple[Route, Route], ...]] = {}
        self._trees: dict[tuple[str, tuple[str, ...]], tuple[Branches, ...]] = {}

    def branches(
        self, source: str, targets: tuple[str, ...], paths: int, index: int
    ) -> Branches | None:
        """Return the candidate of that rank for a stream, or None behind the last one.

        That is a route, a pair of them, or a tree, by what the stream asks for.
        """
        if len(targets) > 1:
            return self._tree(source, targets, index)
        if paths == 2:
            pair = self.pair(source, targets[0], index)
            return None if pair is None else Branches.side_by_side(pair)
        route = self.candidate(source, targets[0], index)
        return None if route is None else Branches.side_by_side([route])

    def why_none(self, source: str, targets: tuple[str, ...], paths: int) -> str:
        """Say why a stream has no candidate."""
        if paths == 2:
            return self.why_no_pair(source, targets[0])
        unreached = (one for one in targets if self.candidate(source, one, 0) is None)
        return f"no route from {source} to {next(unreached)}"

    def _tree(self, source: str, targets: tuple[str, ...], index: int) -> Branches | None:
        """Return the candidate tree of that rank: least delay of its longest path first."""
        trees = self._trees.get((source, targets))
        if trees is None:
            trees = self._trees[source, targets] = self._find_trees(source, targets)
        return trees[index] if index < len(trees) else None

    def _find_trees(self, source: str, targets: tuple[str, ...]) -> tuple[Branches, ...]:
        edges = self.graph.edges
        for target in targets:
            self.candidate(source, target, 0)

        def around(target: int, avoided: int) -> tuple[int, ...] | None:
            found = self.graph.shortest(
                source, targets[target], lambda edge: edge.number != avoided
            )
            return None if found is None else tuple(edge.number for edge in found.edges)

        trees = grow(
            [Arc(edge.source, edge.enters) for edge in edges],
            [
                [tuple(edge.number for edge in route.edges) for route in self._single[source, one]]
                for one in targets
            ],
            around,
        )
        found = [Branches(tuple(edges[arc] for arc in tree.arcs), tree.paths) for tree in trees]
        return tuple(sorted(found, key=_longest_path_first))

    def candidate(self, source: str, target: str, index: int) -> Route | None:
        """Return the candidate route of that rank by delay, or None behind the last one."""
        routes = self._single.get((source, target))
        if routes is None:
            routes = self.graph.by_delay(source, target, ROUTE_COUNT)
            self._single[source, target] = routes
        return routes[index] if index < len(routes) else None

    def ports_of(self, source: str, target: str) -> set[int]:
        """Return the numbers of the wires of all candidate routes."""
        self.candidate(source, target, 0)
        return {
            port.number
            for route in self._single[source, target]
            for edge in route.edges
            for port in edge.ports
        }

    def pair(self, source: str, target: str, index: int) -> tuple[Route, Route] | None:
        """Return the candidate disjoint pair of that rank: least delay of the longer route first.

        The first route of each pair is the shorter one.
        """
        pairs = self._pairs.get((source, target))
        if pairs is None:
            pairs = self._pairs[source, target] = self._find_pairs(source, target)
        return pairs[index] if index < len(pairs) else None

    def _find_pairs(self, source: str, target: str) -> tuple[tuple[Route, Route], ...]:
        return (
            self._pairs_among(source, target, ROUTE_COUNT)
            or self._pair_by_flow(source, target)
            or self._pairs_among(source, target, WIDE_ROUTE_COUNT)
        )

    def _pairs_among(self, source: str, target: str, limit: int) -> tuple[tuple[Route, Route], ...]:
        """Pair each candidate with the shortest route that is disjoint from it.

        That finds every pair of which one route is a candidate, also where the shortest route
        blocks all others.
        """
        pairs: dict[frozenset[tuple[int, ...]], tuple[Route, Route]] = {}
        for one in self._by_cable.by_delay(source, target, limit):
            other = self._by_cable.avoiding(source, target, one.nodes_between, one.cables)
            if other is not None:
                pair = (one, other) if one.delay_ps <= other.delay_ps else (other, one)
                key = frozenset(tuple(edge.number for edge in route.edges) for route in pair)
                pairs.setdefault(key, pair)
        return tuple(sorted(pairs.values(), key=_longer_delay_first))

    def _pair_by_flow(self, source: str, target: str) -> tuple[tuple[Route, Route], ...]:
        """Find a pair without a common node if there is any; good unless it shares a cable."""
        edges = self._by_cable.edges
        chains = two_node_disjoint_chains(
            [(edge.source, edge.enters, edge.delay_ps) for edge in edges],
            source,
            self._by_cable.end(target),
        )
        if chains is None:
            return ()
        one, other = sorted(
            (Route(tuple(edges[number] for number in chain)) for chain in chains),
            key=lambda route: (route.delay_ps, route.edges),
        )
        return ((one, other),) if disjoint(one, other) else ()

    def around(
        self, source: str, target: str, nodes: Collection[str], cables: Collection[str]
    ) -> Route | None:
        """Return the shortest route that enters none of the nodes and uses none of the cables."""
        return self._by_cable.avoiding(source, target, nodes, cables)

    def least_propagation_ps(self, source: str, target: str) -> int | None:
        """Return the smallest sum of propagation delays over any route."""
        route = self.graph.shortest(source, target, cost=lambda edge: edge.propagation_ps)
        return None if route is None else sum(edge.propagation_ps for edge in route.edges)

    def why_no_pair(self, source: str, target: str) -> str:
        """Say why there is no disjoint pair: the node or cable that all routes share, if one is."""
        first = self._by_cable.shortest(source, target)
        if first is None:
            return f"no route from {source} to {target}"
        for edge in first.edges:
            if edge.cable and not self._by_cable.avoiding(source, target, (), {edge.cable}):
                return f"no disjoint second path: every route uses cable {edge.cable}"
            if edge.target != target and not self._by_cable.avoiding(
                source, target, {edge.target}, ()
            ):
                return f"no disjoint second path: every route passes node {edge.target}"
        tried = len(self._by_cable.by_delay(source, target, WIDE_ROUTE_COUNT))
        return (
            f"no disjoint second path: each of the first {tried} routes shares a node "
            "or a cable with every other route"
        )


def _longest_path_first(tree: Branches) -> tuple[int, int, list[int]]:
    """Of two trees whose longest paths are as long, the one that sends less is better."""
    delays_ps = [route.delay_ps for route in tree.routes]
    total_ps = sum(edge.delay_ps for edge in tree.edges)
    return max(delays_ps), total_ps, [edge.number for edge in tree.edges]


def _longer_delay_first(pair: tuple[Route, Route]) -> tuple[int, int, list[int]]:
    numbers = [edge.number for route in pair for edge in route.edges]
    return pair[1].delay_ps, pair[0].delay_ps, numbers
