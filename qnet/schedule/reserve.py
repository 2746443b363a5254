"""Reserve cycles for streams, one after the other, and say exactly why one is refused.

A stream is tried on its candidate ways in order of delay: on each, over all start phases and all
parallel wires. It takes the first way that has room; among ways of the same proven latency the one
with the most room left, and there the phase and the wires with the most. So load spreads over
wires and cycles, and nobody takes a longer way while the shortest has room.

A refusal means that no candidate way fits with any phase and any choice of wires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count, pairwise
from math import lcm
from typing import NamedTuple

import numpy as np

from qnet.errors import Infeasible
from qnet.model.plan import PathPlan, StreamPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.schedule.csqf.kernels import Desk, Slack, room_by_delay, trace_delays
from qnet.schedule.kernels import (
    WEIGHT_BITS,
    Hops,
    Int64s,
    Ledger,
    Scratch,
    choose_wires,
    score_phases,
    take,
)
from qnet.schedule.routes import Route, Routes
from qnet.schedule.timing import (
    TimedRoute,
    buffers_needed,
    ingress_reason,
    send_ps,
    time_route,
)
from qnet.units import PS_PER_MS, PS_PER_S, ceil_div, show_time, wire_bytes

CELLS_MOST = 2**27
"""Ports x cycles that a plan may hold: a gibibyte."""

PROGRESS_STEP = 256


class Way(NamedTuple):
    """One usable way for streams of one kind: one route, or two disjoint ones."""

    routes: tuple[TimedRoute, ...]
    hops: Hops
    latency_ps_max: int
    slack: Slack | None
    """How long frames may wait, for streams that may (CSQF)."""


class Kind(NamedTuple):
    """All that the usable ways of a stream depend on."""

    talker: str
    listener: str
    paths: int
    frame_bytes: int
    need_bytes: int
    max_latency_ps: int | None
    max_latency_variation_ps: int | None
    damper: bool
    may_wait: bool


class Fit(NamedTuple):
    """The best start on one way; it has room for the stream if the score is not negative."""

    way: Way
    phase: int
    score: int
    waited: Int64s
    """Extra cycles by each hop."""

    @property
    def hops(self) -> Hops:
        """Hops of the way with the extra cycles in their shifts."""
        hops = self.way.hops
        return hops._replace(shift=hops.shift + self.waited)


def need_bytes(stream: Stream) -> int:
    """Return the wire bytes that a stream takes in each cycle it uses."""
    return stream.max_packets * wire_bytes(stream.frame_bytes)


def mean_rate_bps(stream: Stream) -> int:
    """Return the largest mean rate of a stream on the wire, rounded up."""
    return ceil_div(need_bytes(stream) * 8 * PS_PER_S, stream.interval_ps)


def guard_bytes(profile: Profile) -> int:
    """Return the wire bytes of the longest frame that may be in a reserved cycle's way, or 0."""
    frames = [
        stream.frame_bytes
        for stream in profile.streams
        if stream.count and not profile.is_reserved(stream)
    ]
    frames += [frame_bytes for demand in profile.demands for frame_bytes, _ in demand.sizes]
    return wire_bytes(max(frames)) if frames else 0


def reservable_bytes(port: Port, cycle_ps: int) -> int:
    """Return the bytes of a cycle that plans may fill on a port."""
    return port.reservable_bps * cycle_ps // (8 * PS_PER_S)


def cycle_capacity(topology: Topology, port: Port, guard: int) -> int:
    """Return the bytes that reserved frames may fill in one empty cycle of a port (rule 4).

    The time of a byte is rounded up, so that whole frames, each rounded up, fit as well.
    """
    cycle_ps = topology.tcqf.cycle_ps
    wander_ps = topology.node_by_name[port.source].clock.wander_ps
    open_ps = cycle_ps - wander_ps * ceil_div(cycle_ps, PS_PER_MS)
    if guard:
        open_ps -= ceil_div(guard * 8 * PS_PER_S, port.rate_bps)
    ps_per_byte = ceil_div(8 * PS_PER_S, port.rate_bps)
    return max(min(open_ps // ps_per_byte, reservable_bytes(port, cycle_ps)), 0)


def hypercycle(topology: Topology, profile: Profile) -> int:
    """Return the cycles after which all reservations repeat."""
    cycle_ps = topology.tcqf.cycle_ps
    periods = {
        stream.interval_ps // cycle_ps
        for stream in profile.streams
        if stream.count and profile.takes_cycles(stream) and stream.interval_ps % cycle_ps == 0
    }
    length = lcm(*periods)
    if length * len(topology.ports) > CELLS_MOST:
        raise Infeasible(
            f"the reserved intervals repeat together only every {length} cycles, too many to count "
            f"for {len(topology.ports)} ports; choose intervals with a smaller common multiple"
        )
    return length


class Reservation:
    """The state while streams are being placed: what every cycle of every port has left."""

    def __init__(self, topology: Topology, profile: Profile, routes: Routes) -> None:
        self._topology = topology
        self._profile = profile
        self._routes = routes
        self._cycle_ps = topology.tcqf.cycle_ps
        self.length = hypercycle(topology, profile)
        guard = guard_bytes(profile)
        capacity = [cycle_capacity(topology, port, guard) for port in topology.ports]
        assert max(capacity) < 2**WEIGHT_BITS, "scores would not fit into 64 bits"
        self.capacity: Int64s = np.array(capacity, dtype=np.int64)
        self.ledger = Ledger(
            np.repeat(self.capacity[:, np.newaxis], self.length, axis=1),
            2**WEIGHT_BITS // np.maximum(self.capacity, 1),
        )
        self._scratch = Scratch(*(np.zeros(self.length, dtype=np.int64) for _ in range(3)))
        self._ways: dict[Kind, _Ways] = {}

    def mean_bps(self) -> list[int]:
        """Return the mean reserved rate of every port, rounded up."""
        window_ps = self.length * self._cycle_ps
        taken = (self.capacity[:, np.newaxis] - self.ledger.free).sum(axis=1)
        return [ceil_div(size * 8 * PS_PER_S, window_ps) for size in taken.tolist()]

    def place(self, stream: Stream) -> StreamPlan:
        """Admit a stream and take its bytes, or refuse it with the reason that binds."""
        if stream.interval_ps % self._cycle_ps:
            return _refused(
                stream,
                f"its interval of {show_time(stream.interval_ps)} is not a multiple "
                f"of the cycle of {show_time(self._cycle_ps)}",
            )
        ways = self._ways_of(stream)
        period = stream.interval_ps // self._cycle_ps
        need = need_bytes(stream)
        best: Fit | None = None
        tried = 0
        for index in count():
            way = ways.get(index)
            fits = best is not None and best.score >= 0
            if way is None or (best and fits and way.latency_ps_max > best.way.latency_ps_max):
                break
            tried += 1
            fit = self._fit(way, period, need)
            if best is None or fit.score > best.score:
                best = fit
        if best is None:
            return _refused(stream, ways.reason())
        return self._settle(stream, best, period, tried)

    def _fit(self, way: Way, period: int, need: int) -> Fit:
        """Find the best start on a way; frames wait only where nothing fits without."""
        phase = int(score_phases(self.ledger, way.hops, period, need, self._scratch))
        fit = Fit(way, phase, int(self._scratch.score[phase]), np.zeros_like(way.hops.shift))
        if fit.score >= 0 or way.slack is None or way.slack.most == 0:
            return fit
        table = np.zeros((way.hops.shift.size, way.slack.most + 1, period), dtype=np.int64)
        desk = Desk(table, *self._scratch)
        phase = int(room_by_delay(self.ledger, way.hops, way.slack, period, need, desk))
        waited = np.zeros_like(way.hops.shift)
        trace_delays(way.hops, way.slack, phase, desk, waited)
        return Fit(way, phase, int(desk.score[phase]), waited)

    def _settle(self, stream: Stream, fit: Fit, period: int, tried: int) -> StreamPlan:
        need = need_bytes(stream)
        hops = fit.hops._replace(shift=fit.hops.shift % self.length)
        ports: Int64s = np.zeros(hops.shift.size, dtype=np.int64)
        cycles: Int64s = np.zeros(hops.shift.size, dtype=np.int64)
        binding = choose_wires(self.ledger, hops, period, need, fit.phase, ports, cycles)
        if fit.score < 0:
            port, cycle = int(ports[binding]), int(cycles[binding])
            return _refused(
                stream,
                f"port {self._topology.ports[port].name}, cycle {cycle}: {need} bytes needed, "
                f"{self.ledger.free[port, cycle]} free; {self._tried(hops, binding, tried)}",
            )
        take(self.ledger, hops, period, need, fit.phase, ports)
        return self._admitted(stream, fit, period, ports.tolist())

    @staticmethod
    def _tried(hops: Hops, binding: int, tried: int) -> str:
        """Say over how much the search went, so that the reader knows what a refusal covers."""
        wires = int(hops.offset[binding + 1] - hops.offset[binding])
        routes = f"{tried} route{'' if tried == 1 else 's'} tried"
        return routes if wires == 1 else f"best of {wires} wires, {routes}"

    def _admitted(self, stream: Stream, fit: Fit, period: int, ports: list[int]) -> StreamPlan:
        start = fit.phase
        lowest = min(0, *(min(route.cycles) for route in fit.way.routes))
        while start + lowest < 0 or send_ps(self._topology, stream.talker, start) < 0:
            start += period
        paths = []
        done = 0
        for route in fit.way.routes:
            wires = ports[done : done + len(route.cycles)]
            waited = fit.waited[done : done + len(route.cycles)].tolist()
            done += len(route.cycles)
            paths.append(
                PathPlan(
                    ports=tuple(self._topology.ports[port].name for port in wires),
                    cycles=tuple(
                        start + cycle + extra
                        for cycle, extra in zip(route.cycles, waited, strict=True)
                    ),
                )
            )
        return StreamPlan(
            name=stream.name,
            status="admitted",
            send_ps=send_ps(self._topology, stream.talker, start),
            hold_ps=self._hold_ps(stream, fit.way) if stream.damper else None,
            paths=tuple(paths),
        )

    def _hold_ps(self, stream: Stream, way: Way) -> int:
        """Return how long after sending no frame can still be on its way, by the worst clock."""
        return way.latency_ps_max + self._topology.node_by_name[stream.listener].clock.error_ps

    def _ways_of(self, stream: Stream) -> _Ways:
        kind = Kind(
            stream.talker,
            stream.listener,
            stream.paths,
            stream.frame_bytes,
            need_bytes(stream),
            stream.max_latency_ps,
            stream.max_latency_variation_ps,
            stream.damper,
            stream.paths == 1 and not stream.damper and self._profile.may_wait(stream),
        )
        ways = self._ways.get(kind)
        if ways is None:
            ways = _Ways(self._topology, self._routes, self.capacity, self.length, kind)
            self._ways[kind] = ways
        return ways


class _Ways:
    """The usable ways of one kind of stream, worked out as far as they are asked for."""

    def __init__(
        self, topology: Topology, routes: Routes, capacity: Int64s, length: int, kind: Kind
    ) -> None:
        self._topology = topology
        self._routes = routes
        self._capacity = capacity
        self._length = length
        self._kind = kind
        self._ways: list[Way] = []
        self._timed: list[tuple[TimedRoute, ...]] = []
        self._ended = ingress_reason(topology, kind.talker) is not None

    def get(self, index: int) -> Way | None:
        """Return the usable way of that rank by delay, or None behind the last one."""
        while len(self._ways) <= index and not self._ended:
            routes = self._candidate(len(self._timed))
            if routes is None:
                self._ended = True
                break
            timed = tuple(time_route(self._topology, route) for route in routes)
            self._timed.append(timed)
            if self._late_ps(timed) <= 0 and self._unsteady_ps(timed) <= 0:
                wires = [self._wires(route, timed) for route in timed]
                if all(wire for hops in wires for wire in hops):
                    self._ways.append(self._way(timed, [hop for hops in wires for hop in hops]))
        return self._ways[index] if index < len(self._ways) else None

    def _candidate(self, index: int) -> tuple[Route, ...] | None:
        kind = self._kind
        if kind.paths == 2:
            return self._routes.pair(kind.talker, kind.listener, index)
        route = self._routes.candidate(kind.talker, kind.listener, index)
        return None if route is None else (route,)

    def _way(self, timed: tuple[TimedRoute, ...], wires: list[list[Port]]) -> Way:
        offset = np.cumsum([0, *(len(ports) for ports in wires)]).astype(np.int64)
        port = np.array([port.number for ports in wires for port in ports], dtype=np.int64)
        cycles = [cycle % self._length for route in timed for cycle in route.cycles]
        hops = Hops(offset, port, np.array(cycles, dtype=np.int64))
        latency_ps_max = max(route.latency_ps_max for route in timed)
        return Way(timed, hops, latency_ps_max, self._slack(timed[0], wires, latency_ps_max))

    def _slack(
        self, timed: TimedRoute, wires: list[list[Port]], latency_ps_max: int
    ) -> Slack | None:
        """Return how long frames may wait at each hop, whichever wire they come by, and in all."""
        kind = self._kind
        if not kind.may_wait:
            return None
        extra = [0]
        for hop, (edge, following) in enumerate(pairwise(timed.route.edges)):
            needed = max(
                buffers_needed(self._topology, edge, port, following, kind.frame_bytes)
                for port in wires[hop]
            )
            extra.append(self._topology.tcqf.buffers - needed)
        most = sum(extra)
        if kind.max_latency_ps is not None:
            left_ps = kind.max_latency_ps - latency_ps_max
            most = min(most, left_ps // self._topology.tcqf.cycle_ps)
        return Slack(np.array(extra, dtype=np.int64), most)

    def _wires(self, route: TimedRoute, together: tuple[TimedRoute, ...]) -> list[list[Port]]:
        """Return the wires of each hop that the stream may use."""
        edges = route.route.edges
        wires = [
            [port for port in edge.ports if self._capacity[port.number] >= self._kind.need_bytes]
            for edge in edges
        ]
        for hop, (edge, following) in enumerate(pairwise(edges)):
            wires[hop] = [
                port
                for port in wires[hop]
                if buffers_needed(self._topology, edge, port, following, self._kind.frame_bytes)
                <= self._topology.tcqf.buffers
            ]
        most_ps = self._kind.max_latency_variation_ps
        if most_ps is not None and not self._kind.damper:
            latest_ps = max(other.latency_ps_max for other in together)
            wires[-1] = [
                port
                for port in wires[-1]
                if latest_ps - route.latency_ps_min(port, self._kind.frame_bytes) <= most_ps
            ]
        return wires

    def _late_ps(self, timed: tuple[TimedRoute, ...]) -> int:
        """Return by how much a way is too slow, or at most 0."""
        if self._kind.max_latency_ps is None:
            return 0
        latest_ps = max(route.latency_ps_max for route in timed)
        return latest_ps + self._damped_ps() - self._kind.max_latency_ps

    def _damped_ps(self) -> int:
        """Return the variation that a damper leaves, by the error of the listener's clock."""
        clock = self._topology.node_by_name[self._kind.listener].clock
        return 2 * clock.error_ps if self._kind.damper else 0

    def _variation_ps(self, timed: tuple[TimedRoute, ...]) -> int:
        """Return the least variation that a way can have, over its last wires."""
        if self._kind.damper:
            return self._damped_ps()
        low_ps = min(
            max(
                route.latency_ps_min(port, self._kind.frame_bytes)
                for port in route.route.edges[-1].ports
            )
            for route in timed
        )
        return max(route.latency_ps_max for route in timed) - low_ps

    def _unsteady_ps(self, timed: tuple[TimedRoute, ...]) -> int:
        if self._kind.max_latency_variation_ps is None:
            return 0
        return self._variation_ps(timed) - self._kind.max_latency_variation_ps

    def reason(self) -> str:
        """Say why there is no usable way; each sentence is true of all ways it does not exclude."""
        assert self._ended, "asked before all candidates were looked at"
        kind = self._kind
        reason = ingress_reason(self._topology, kind.talker)
        if reason is not None:
            return reason
        least_ps = self._routes.least_propagation_ps(kind.talker, kind.listener)
        if least_ps is None:
            return f"no route from {kind.talker} to {kind.listener}"
        if kind.max_latency_ps is not None and least_ps > kind.max_latency_ps:
            limit = show_time(kind.max_latency_ps)
            return f"propagation alone is {show_time(least_ps)} of {limit}"
        if not self._timed:
            return self._routes.why_no_pair(kind.talker, kind.listener)
        return self._timing_reason() or self._wire_reason()

    def _timing_reason(self) -> str | None:
        kind = self._kind
        noun = "pair of routes" if kind.paths == 2 else "route"
        if min(self._late_ps(timed) for timed in self._timed) > 0:
            assert kind.max_latency_ps is not None
            least_ps = kind.max_latency_ps + min(self._late_ps(timed) for timed in self._timed)
            return (
                f"the quickest {noun} takes at least {show_time(least_ps)} with its cycles, "
                f"of {show_time(kind.max_latency_ps)}"
            )
        in_time = [timed for timed in self._timed if self._late_ps(timed) <= 0]
        if min(self._unsteady_ps(timed) for timed in in_time) > 0:
            assert kind.max_latency_variation_ps is not None
            least_ps = min(self._variation_ps(timed) for timed in in_time)
            return (
                f"the steadiest {noun} varies by {show_time(least_ps)}, "
                f"of {show_time(kind.max_latency_variation_ps)}"
            )
        return None

    def _wire_reason(self) -> str:
        """Name the first hop of the first way in time that no wire can serve."""
        timed = next(
            timed
            for timed in self._timed
            if self._late_ps(timed) <= 0 and self._unsteady_ps(timed) <= 0
        )
        for route in timed:
            for hop, wires in enumerate(self._wires(route, timed)):
                if not wires:
                    return self._hop_reason(route.route, hop)
        raise AssertionError("a way without a fault was not used")

    def _hop_reason(self, route: Route, hop: int) -> str:
        kind = self._kind
        edge = route.edges[hop]
        fitting = [port for port in edge.ports if self._capacity[port.number] >= kind.need_bytes]
        if not fitting:
            widest = max(edge.ports, key=lambda port: int(self._capacity[port.number]))
            frame = wire_bytes(kind.frame_bytes)
            count = kind.need_bytes // frame
            return (
                f"{count} frame{'' if count == 1 else 's'} x {frame} bytes need {kind.need_bytes} "
                f"of at most {self._capacity[widest.number]} bytes in one cycle of port "
                f"{widest.name}"
            )
        slowest = min(fitting, key=lambda port: port.rate_bps)
        if hop + 1 == len(route.edges):
            assert kind.max_latency_variation_ps is not None
            return (
                f"no wire of {edge.source}->{edge.target} that is large enough keeps the "
                f"variation within {show_time(kind.max_latency_variation_ps)}"
            )
        following = route.edges[hop + 1]
        needed = buffers_needed(self._topology, edge, slowest, following, kind.frame_bytes)
        return (
            f"needs {needed} cycle buffers of {self._topology.tcqf.buffers} between "
            f"{edge.source}->{edge.target} and {following.source}->{following.target}"
        )


def _refused(stream: Stream, reason: str) -> StreamPlan:
    return StreamPlan(name=stream.name, status="refused", reason=reason)


def placing_order(profile: Profile, routes: Routes) -> list[Stream]:
    """Sort the reserved streams: low rank first, then little slack, then large, then by name.

    The order of the file plays no part.
    """

    def slack_ps(stream: Stream) -> int:
        route = routes.candidate(stream.talker, stream.listener, 0)
        if stream.max_latency_ps is None or route is None:
            return 2**63
        return stream.max_latency_ps - route.delay_ps

    reserved = [stream for stream in profile.every_stream if profile.takes_cycles(stream)]
    return sorted(
        reserved,
        key=lambda stream: (stream.rank, slack_ps(stream), -need_bytes(stream), stream.name),
    )


def reserve(
    topology: Topology,
    profile: Profile,
    routes: Routes,
    progress: Callable[[str, int, int], None],
) -> tuple[Mapping[str, StreamPlan], Reservation]:
    """Place every reserved stream; return what became of each, and what is left."""
    state = Reservation(topology, profile, routes)
    order = placing_order(profile, routes)
    plans: dict[str, StreamPlan] = {}
    for done, stream in enumerate(order):
        if done % PROGRESS_STEP == 0:
            progress("reserve", done, len(order))
        plans[stream.name] = state.place(stream)
    progress("reserve", len(order), len(order))
    return plans, state
