"""How available the ways of a stream are, and over how many paths its promise has to be planned.

A way works while all that is in it does, its ends and the grandmaster too. Of two paths what they
share is taken out first: W = W(shared) x (1 - (1 - W(one rest)) x (1 - W(other rest))). The checker
has arithmetic of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count

from qnet.graph.routes import Branches, Route, Routes
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream
from qnet.units import show_availabilities

STEPS = 10**15

Part = tuple[str, str]


class Availabilities:
    """The availability of ways through one network."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._broken: dict[Part, Fraction] = {}
        for name, cable in topology.cable_failures.items():
            self._broken["cable", name] = cable.broken_share
        for name, node in topology.node_failures.items():
            self._broken["node", name] = node.broken_share

    def of(self, branches: Branches, *, clocked: bool, tree: bool = False) -> int:
        """Return the share of the time, in steps of 1e-15, for which a way works, rounded down.

        That of a tree is that of its worst path. What is `clocked` needs the grandmaster.
        """
        ways = [self._parts(route, clocked=clocked) for route in branches.routes]
        if len(ways) == 1 or tree:
            return int(min(map(self._works, ways)) * STEPS)
        one, other = ways
        shared = one & other
        both_broken = (1 - self._works(one - shared)) * (1 - self._works(other - shared))
        return int(self._works(shared) * (1 - both_broken) * STEPS)

    def _parts(self, route: Route, *, clocked: bool) -> frozenset[Part]:
        """Return what a path goes over; of wires in several cables the one that breaks most."""
        topology = self._topology
        parts = {("node", name) for edge in route.edges for name in (edge.source, edge.target)}
        for edge in route.edges:
            cables = {topology.cable(topology.links[port.link]) for port in edge.ports}
            parts.add(max((("cable", name) for name in cables), key=self._worst))
        if clocked and topology.sync is not None:
            parts.add(("node", topology.sync.grandmaster))
        return frozenset(parts)

    def _worst(self, part: Part) -> tuple[Fraction, Part]:
        return self._broken[part], part

    def _works(self, parts: frozenset[Part]) -> Fraction:
        share = Fraction(1)
        for part in parts:
            if part in self._broken:
                share *= 1 - self._broken[part]
        return share


def best(
    available: Availabilities, routes: Routes, stream: Stream, paths: int, *, clocked: bool
) -> int | None:
    """Return the availability of the best candidate way over so many paths; None without one."""
    is_tree = len(stream.listeners) > 1
    ways = ways_of(routes, stream, paths)
    return max((available.of(way, clocked=clocked, tree=is_tree) for way in ways), default=None)


def ways_of(routes: Routes, stream: Stream, paths: int) -> Iterator[Branches]:
    """Yield the candidate ways of a stream over so many paths, the shortest first."""
    for rank in count():
        way = routes.branches(stream.talker, stream.listeners, paths, rank)
        if way is None:
            return
        yield way


def with_paths(topology: Topology, profile: Profile) -> Profile:
    """Return the profile with two paths for each stream whose promise one path does not keep.

    Whether two keep it is for admission to say, unless there are no two: then one is left.
    """
    if all(one.availability is None for one in profile.streams):
        return profile
    raise_paths = PathsNeeded(topology, profile)
    return profile.replace(streams=tuple(map(raise_paths.of, profile.streams)))


class PathsNeeded:
    """Says over how many paths streams are planned, by the network as it is when all is well."""

    def __init__(self, topology: Topology, profile: Profile) -> None:
        self._profile = profile
        self._routes = Routes(topology)
        self._available = Availabilities(topology)

    def of(self, stream: Stream) -> Stream:
        """Return the stream, with two paths where its promise needs and its class allows them."""
        profile = self._profile
        reserved = profile.is_reserved(stream)
        held = stream.damper and profile.is_gated(stream)
        alone = stream.paths == len(stream.listeners) == 1
        if stream.availability is None or not (alone and reserved) or held:
            return stream
        single = best(self._available, self._routes, stream, 1, clocked=True)
        if single is None or single >= stream.availability:
            return stream
        if self._routes.pair(stream.talker, stream.listener, 0) is None:
            return stream
        return stream.replace(paths=2)


def too_low(share: int, asked: int, paths: int) -> str:
    """Say that a promise is beyond the best way."""
    given, wanted = show_availabilities(share, asked)
    return f"{'one path gives' if paths == 1 else 'two paths give'} {given}, {wanted} asked"
