"""What linear programs say of a case: what any plan could carry, and who cannot be reached in time.

No plan is made. Kept is what of the best flows without a failure still fits into what is left, over
the same routes; planned anew is the most that flows of any kind could carry. Flows may be split and
wait for nobody, so plans of whole streams carry that at most.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from qnet.graph.distances import distances
from qnet.graph.flows import FlowProgram, Pair, RouteRate, place_flows
from qnet.graph.routes import Routes
from qnet.graph.served import ServedProgram
from qnet.model.sweep import CaseState, SiteEgress, WireValue
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule.capacity import mean_rate_bps
from qnet.units import PPB


class _Wish(NamedTuple):
    """A stream or demand: what it wants to send, and from where to where."""

    service: str
    rate_bps: int
    counted: Pair
    """The pair whose flow it is part of."""
    pairs: tuple[Pair, ...]
    most_ps: int | None
    is_stream: bool
    sites: tuple[str, ...] = ()
    """Sites with a required egress that it leaves."""


class Reach:
    """Answers for one network and profile; each answer starts from the network as it is."""

    def __init__(self, topology: Topology, profile: Profile) -> None:
        self._topology = topology
        self._graph = Routes(topology).graph
        self._edge_of = {
            port.number: edge.number for edge in self._graph.edges for port in edge.ports
        }
        self._capacity_bps = [
            sum(port.reservable_bps for port in edge.ports) for edge in self._graph.edges
        ]
        self._required = {one.site: one.rate_bps for one in profile.egress}
        self._wishes = [
            one._replace(
                sites=tuple(site for site in self._required if _leaves(topology, one, site))
            )
            for one in (*_streams(profile), *_demands(profile))
        ]
        self._ends = {(one.pairs, one.most_ps) for one in self._wishes}
        self._wanted_bps = sum(one.rate_bps for one in self._wishes)
        self._served = self._program(self._wishes)
        self._sites = {
            site: self._program([one for one in self._wishes if site in one.sites])
            for site in self._required
        }
        self._routes: dict[Pair, list[RouteRate]] | None = None
        self._leaving: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for edge in self._graph.edges:
            self._leaving[edge.source].append((edge.number, edge.propagation_ps, edge.enters))
        timed = {one.counted[0] for one in self._wishes if one.most_ps is not None}
        self._least_ps = self._distances(sorted(timed), frozenset())
        names = sorted({name for edge in self._graph.edges for name in (edge.source, edge.enters)})
        self._bit = {name: 1 << place for place, name in enumerate(names)}
        self._intact = self._reached(frozenset())

    def _program(self, wishes: Iterable[_Wish]) -> ServedProgram:
        return ServedProgram(self._graph, self._capacity_bps, _wants(wishes))

    @cached_property
    def _priced(self) -> FlowProgram:
        return FlowProgram(self._graph, self._capacity_bps, _wants(self._wishes))

    def _left_bps(self, down: Collection[int]) -> dict[int, int]:
        """Return by number what is left of the capacity of each edge that loses a wire."""
        touched = {self._edge_of[port] for port in down}
        return {
            number: sum(
                port.reservable_bps
                for port in self._graph.edges[number].ports
                if port.number not in down
            )
            for number in touched
        }

    def wires(self, down: Collection[int]) -> tuple[WireValue, ...]:
        """Return what one more wire of each link is worth, both directions together.

        Wires beside those that fail are left out: they would fail, too.
        """
        left_bps = self._left_bps(down)
        price_ppb = self._priced.carry(left_bps).price_ppb
        gain_bps: dict[str, int] = {}
        for number, price in price_ppb.items():
            if number in left_bps:
                continue
            links = {port.link: port for port in self._graph.edges[number].ports}
            for link, port in links.items():
                name = self._topology.link_name(self._topology.links[link])
                gain = price * port.reservable_bps // PPB
                gain_bps[name] = gain_bps.get(name, 0) + gain
        return tuple(
            WireValue(link=name, gain_bps=gain) for name, gain in sorted(gain_bps.items()) if gain
        )

    # Planned anew

    def replanned(self, down: Collection[int]) -> CaseState:
        """Say what any plan could carry, and who cannot be reached in time by any."""
        left_bps = self._left_bps(down)
        dead = frozenset(number for number, rate_bps in left_bps.items() if not rate_bps)
        least_ps = self._least_ps
        touched = [one for one in least_ps if self._is_on_a_way(one, dead)]
        if touched:
            least_ps = {**least_ps, **self._distances(touched, dead)}
        reached = self._reached(dead) if dead else self._intact
        cut = {one for one in self._ends if not self._is_reached(*one, reached, least_ps)}
        far = [one for one in self._wishes if (one.pairs, one.most_ps) in cut] if cut else []
        served_bps = self._served.served_bps(left_bps)
        egress = {site: one.served_bps(left_bps) for site, one in self._sites.items()}
        return self._state(far, self._wanted_bps - served_bps, egress)

    def _reached(self, dead: frozenset[int]) -> Mapping[str, int]:
        """Return which vertices each one can come to, a bit for each, around dead edges (Warshall).

        Every vertex in turn is allowed to be passed.
        """
        reached = dict(self._bit)
        for edge in self._graph.edges:
            if edge.number not in dead:
                reached[edge.source] |= self._bit[edge.enters]
        for via, bit in self._bit.items():
            beyond = reached[via]
            for name, known in reached.items():
                if known & bit:
                    reached[name] = known | beyond
        return reached

    def _is_reached(
        self,
        pairs: Iterable[Pair],
        most_ps: int | None,
        reached: Mapping[str, int],
        least_ps: Mapping[str, Mapping[str, int]],
    ) -> bool:
        """Say whether light alone comes to every listener, and in time."""
        for source, target in pairs:
            end = self._graph.end(target)
            if not reached.get(source, 0) & self._bit.get(end, 0):
                return False
            if most_ps is not None and least_ps[source][end] > most_ps:
                return False
        return True

    def _distances(
        self, sources: Collection[str], dead: frozenset[int]
    ) -> Mapping[str, Mapping[str, int]]:
        """Return the least propagation from each source to every vertex, around dead edges."""
        edges = self._leaving

        def steps(node: str) -> list[tuple[int, str]]:
            return [
                (ps, enters) for number, ps, enters in edges.get(node, ()) if number not in dead
            ]

        return {one: distances(one, steps) for one in sources}

    def _is_on_a_way(self, source: str, dead: Collection[int]) -> bool:
        """Say whether some shortest way from a source takes one of some edges."""
        found_ps = self._least_ps[source]
        edges = self._graph.edges
        return any(
            found_ps.get(edges[number].source, -1) + edges[number].propagation_ps
            == found_ps.get(edges[number].enters)
            for number in dead
        )

    # Kept

    def kept(self, down: Collection[int]) -> CaseState:
        """Say what of the flows without a failure fits into what is left, over the same routes."""
        if self._routes is None:
            wants = _wants(self._wishes)
            self._routes = place_flows(self._graph, list(self._capacity_bps), wants)
        left_bps = self._left_bps(down)
        carried: dict[Pair, int] = {}
        for pair, routes in self._routes.items():
            for route, rate_bps in routes:
                narrow = [edge.number for edge in route.edges if edge.number in left_bps]
                amount = min([rate_bps, *(left_bps[number] for number in narrow)])
                for number in narrow:
                    left_bps[number] -= amount
                carried[pair] = carried.get(pair, 0) + amount
        short, lost_bps = [], 0
        egress = dict.fromkeys(self._required, 0)
        for one in self._wishes:
            amount = min(carried.get(one.counted, 0), one.rate_bps)
            carried[one.counted] = carried.get(one.counted, 0) - amount
            lost_bps += one.rate_bps - amount
            if amount < one.rate_bps:
                short.append(one)
            for site in one.sites:
                egress[site] += amount
        return self._state(short, lost_bps, egress)

    def _state(
        self, broken: Collection[_Wish], lost_bps: int, egress: Mapping[str, int]
    ) -> CaseState:
        services = Counter(one.service for one in broken)
        low = sum(rate_bps < self._required[site] for site, rate_bps in egress.items())
        return CaseState(
            streams_cut=sum(one.is_stream for one in broken),
            streams_reduced=0,
            demands_short=sum(not one.is_stream for one in broken),
            promises_broken=len(broken) + low,
            lost_bps=lost_bps,
            egress=tuple(
                SiteEgress(site=site, placed_bps=rate_bps) for site, rate_bps in egress.items()
            ),
            services=tuple(sorted(services.items())),
        )


def _streams(profile: Profile) -> Iterable[_Wish]:
    """Yield the streams, each on all paths it asks for; one with several listeners to the first."""
    for one in profile.every_tree:
        pairs = tuple((one.talker, listener) for listener in one.listeners)
        rate_bps = mean_rate_bps(one) * one.paths
        yield _Wish(one.service, rate_bps, pairs[0], pairs, one.max_latency_ps, is_stream=True)


def _demands(profile: Profile) -> Iterable[_Wish]:
    for one in profile.demands:
        pair = (one.source, one.target)
        yield _Wish(one.group or one.name, one.rate_bps, pair, (pair,), None, is_stream=False)


def _wants(wishes: Iterable[_Wish]) -> dict[Pair, int]:
    wants: dict[Pair, int] = {}
    for one in wishes:
        wants[one.counted] = wants.get(one.counted, 0) + one.rate_bps
    return wants


def _leaves(topology: Topology, wish: _Wish, site: str) -> bool:
    nodes = topology.node_by_name
    return nodes[wish.counted[0]].site == site and any(
        nodes[target].site != site for _, target in wish.pairs
    )
