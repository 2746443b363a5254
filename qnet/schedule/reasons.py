"""Why a stream is refused whatever else is admitted: routes, latency, variation, buffers, wires.

Each sentence is true of all candidate ways that an earlier one does not exclude.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, pairwise
from typing import NamedTuple

from qnet.graph.routes import Branches, Route, Routes
from qnet.model.topology import Port, Topology
from qnet.schedule.availability import Availabilities, too_low
from qnet.schedule.capacity import cycle_capacity
from qnet.schedule.cycles.candidates import Pair, damped_variation_ps
from qnet.schedule.kernels import Int64s
from qnet.schedule.timing import TimedRoute, buffers_needed, ingress_reason, time_route
from qnet.units import serialisation_ps, show_time, wire_bytes


class PathLimits(NamedTuple):
    """All that the usable ways of a stream depend on; None stands for no limit."""

    pair: Pair
    packets: int
    frame_bytes: int
    latency_ps_most: int | None
    variation_ps_most: int | None
    damper: bool

    @property
    def need_bytes(self) -> int:
        """Wire bytes in each cycle that is used."""
        return self.packets * wire_bytes(self.frame_bytes)


class Reasons:
    """Looks at the candidate ways of one kind of stream in an empty network."""

    def __init__(
        self,
        topology: Topology,
        routes: Routes,
        capacity: Int64s,
        guards: Sequence[int],
        kind: PathLimits,
    ) -> None:
        self._topology = topology
        self._routes = routes
        self._capacity = capacity
        self._guards = guards
        self._kind = kind
        self._noun = "route"
        if kind.pair.others:
            self._noun = "tree"
        elif kind.pair.paths == 2:
            self._noun = "pair of routes"
        self._timed: list[tuple[TimedRoute, ...]] = []

    def reason(self) -> str | None:
        """Say why no way is usable, or None when one is."""
        pair, most_ps = self._kind.pair, self._kind.latency_ps_most
        reason = ingress_reason(self._topology, pair.talker)
        if reason is not None:
            return reason
        for listener in pair.listeners:
            least_ps = self._routes.least_propagation_ps(pair.talker, listener)
            if least_ps is None:
                return f"no route from {pair.talker} to {listener}"
            if most_ps is not None and least_ps > most_ps:
                return f"propagation alone is {show_time(least_ps)} of {show_time(most_ps)}"
        found = self._candidates()
        if not found:
            return self._routes.why_none(pair.talker, pair.listeners, pair.paths)
        if pair.availability:
            available = Availabilities(self._topology)
            shares = [available.of(o, clocked=True, tree=bool(pair.others)) for o in found]
            if max(shares) < pair.availability:
                return self._too_low(max(shares))
            ranked = zip(found, shares, strict=True)
            found = [way for way, share in ranked if share >= pair.availability]
        self._timed = [
            tuple(time_route(self._topology, route) for route in way.routes) for way in found
        ]
        return self._timing_reason() or self._wire_reason()

    def _too_low(self, share: int) -> str:
        """Say that the best way is not available enough, and why there are not two."""
        pair = self._kind.pair
        why = too_low(share, pair.availability, pair.paths)
        if pair.others:
            return f"{why}; with several listeners one path leads to each"
        if pair.paths == 1:
            return f"{why}; {self._routes.why_no_pair(pair.talker, pair.listener)}"
        return why

    def _candidates(self) -> list[Branches]:
        pair = self._kind.pair
        found: list[Branches] = []
        for rank in count():
            branches = self._routes.branches(pair.talker, pair.listeners, pair.paths, rank)
            if branches is None:
                break
            found.append(branches)
        return found

    def _damped_ps(self, route: TimedRoute) -> int:
        """Return what a damper's clock adds to a path's latency."""
        if not self._kind.damper:
            return 0
        return damped_variation_ps(self._topology, route.route.edges[-1].target)

    def _late_ps(self, timed: tuple[TimedRoute, ...]) -> int:
        """Return by how much a way is too slow, or at most 0."""
        if self._kind.latency_ps_most is None:
            return 0
        latest_ps = max(route.latency_ps_max + self._damped_ps(route) for route in timed)
        return latest_ps - self._kind.latency_ps_most

    def _together(self, timed: tuple[TimedRoute, ...]) -> list[tuple[TimedRoute, ...]]:
        """Return the paths of a way by listener: what comes to one varies by all of its paths."""
        return [(route,) for route in timed] if self._kind.pair.others else [timed]

    def _variation_ps(self, timed: tuple[TimedRoute, ...]) -> int:
        """Return the least variation that a way can have, over its last wires."""
        if self._kind.damper:
            return max(self._damped_ps(route) for route in timed)
        varies_ps = []
        for together in self._together(timed):
            low_ps = min(
                max(
                    route.latency_ps_min(port, self._kind.frame_bytes)
                    for port in route.route.edges[-1].ports
                )
                for route in together
            )
            varies_ps.append(max(route.latency_ps_max for route in together) - low_ps)
        return max(varies_ps)

    def _unsteady_ps(self, timed: tuple[TimedRoute, ...]) -> int:
        if self._kind.variation_ps_most is None:
            return 0
        return self._variation_ps(timed) - self._kind.variation_ps_most

    def _timing_reason(self) -> str | None:
        kind = self._kind
        if min(self._late_ps(timed) for timed in self._timed) > 0:
            assert kind.latency_ps_most is not None
            least_ps = kind.latency_ps_most + min(self._late_ps(timed) for timed in self._timed)
            return (
                f"the quickest {self._noun} takes at least {show_time(least_ps)} with its cycles, "
                f"of {show_time(kind.latency_ps_most)}"
            )
        in_time = [timed for timed in self._timed if self._late_ps(timed) <= 0]
        if min(self._unsteady_ps(timed) for timed in in_time) > 0:
            assert kind.variation_ps_most is not None
            least_ps = min(self._variation_ps(timed) for timed in in_time)
            return (
                f"the steadiest {self._noun} varies by {show_time(least_ps)}, "
                f"of {show_time(kind.variation_ps_most)}"
            )
        return None

    def _wires(self, route: TimedRoute, together: tuple[TimedRoute, ...]) -> list[list[Port]]:
        """Return the wires of each hop that the stream may use."""
        kind = self._kind
        edges = route.route.edges
        wires = [
            [port for port in edge.ports if self._capacity[port.number] >= kind.need_bytes]
            for edge in edges
        ]
        buffers = self._topology.tcqf.buffers
        for hop, (edge, following) in enumerate(pairwise(edges)):
            wires[hop] = [
                port
                for port in wires[hop]
                if buffers_needed(self._topology, edge, port, following, kind.frame_bytes)
                <= buffers
            ]
        if kind.variation_ps_most is not None and not kind.damper:
            latest_ps = max(other.latency_ps_max for other in together)
            wires[-1] = [
                port
                for port in wires[-1]
                if latest_ps - route.latency_ps_min(port, kind.frame_bytes)
                <= kind.variation_ps_most
            ]
        return wires

    def _wire_reason(self) -> str | None:
        """Name the first hop of the first way in time that no wire can serve, if no way is left."""
        first: tuple[Route, int] | None = None
        for timed in self._timed:
            if self._late_ps(timed) > 0 or self._unsteady_ps(timed) > 0:
                continue
            bare = [
                (route.route, hop)
                for together in self._together(timed)
                for route in together
                for hop, wires in enumerate(self._wires(route, together))
                if not wires
            ]
            if not bare:
                return None
            first = first or bare[0]
        assert first is not None, "a way in time is there"
        return self._hop_reason(*first)

    def _hop_reason(self, route: Route, hop: int) -> str:
        kind = self._kind
        edge = route.edges[hop]
        fitting = [port for port in edge.ports if self._capacity[port.number] >= kind.need_bytes]
        if not fitting:
            widest = max(edge.ports, key=lambda port: int(self._capacity[port.number]))
            return self._capacity_reason(widest)
        slowest = min(fitting, key=lambda port: port.rate_bps)
        if hop + 1 == len(route.edges):
            assert kind.variation_ps_most is not None
            return (
                f"no wire of {edge.source}->{edge.target} that is large enough keeps the "
                f"variation within {show_time(kind.variation_ps_most)}"
            )
        following = route.edges[hop + 1]
        needed = buffers_needed(self._topology, edge, slowest, following, kind.frame_bytes)
        return (
            f"needs {needed} cycle buffers of {self._topology.tcqf.buffers} between "
            f"{edge.source}->{edge.target} and {following.source}->{following.target}"
        )

    def _capacity_reason(self, port: Port) -> str:
        """Say that a cycle is too small, and whether frames of other classes make it so."""
        kind, cycle_ps = self._kind, self._topology.tcqf.cycle_ps
        capacity = int(self._capacity[port.number])
        reason = (
            f"{kind.packets} frame{'' if kind.packets == 1 else 's'} x "
            f"{wire_bytes(kind.frame_bytes)} bytes need {kind.need_bytes} of at most {capacity} "
            f"bytes in one cycle of port {port.name}"
        )
        if cycle_capacity(self._topology, port, 0) == capacity:
            return reason
        guard_bytes = self._guards[port.number]
        guard_ps = serialisation_ps(guard_bytes, port.rate_bps)
        return (
            f"{reason}; a frame of {guard_bytes} bytes of another class may hold the "
            f"line for {show_time(guard_ps)} of the {show_time(cycle_ps)}"
        )
