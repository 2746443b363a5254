"""Cyclic queuing and forwarding (IEEE Std 802.1Q, Annex T), as a baseline.

Two buffers per port take turns: what a node receives in one cycle it sends in the next. No tag
says which cycle a frame belongs to; its time of arrival does. So all frames of a cycle must leave
early enough to be received, processed and stored at the next node before the cycle ends there:
the last part of each cycle, the dead time, cannot be used. It holds propagation, processing and
what the two clocks may differ by, and on a long link it is longer than any cycle.

A stream is tried on its candidate routes in order of delay, over all start phases and wires, as
with TCQF; docs/design.md has the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.graph.routes import Branches, Route, Routes
from qnet.model.plan import PathPlan, StreamPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.schedule.availability import Availabilities, too_low
from qnet.schedule.capacity import cycle_capacity, hypercycle, need_bytes
from qnet.schedule.kernels import Int64s
from qnet.schedule.reserve import placing_order
from qnet.units import PS_PER_S, ceil_div, last_bit_ps, serialisation_ps, show_time

CQF_BUFFERS = 2
PROGRESS_STEP = 256


class CqfPlans(NamedTuple):
    """What became of each stream.

    By port number, `mean_bps` is reserved on average and `most_bytes` in the fullest cycle.
    """

    plans: Mapping[str, StreamPlan]
    length: int
    mean_bps: list[int]
    most_bytes: list[int]


def reserve_cqf(
    topology: Topology,
    profile: Profile,
    routes: Routes,
    progress: Callable[[str, int, int], None],
    guards: Sequence[int],
) -> CqfPlans:
    """Place every stream that reserves cycles, in the order of TCQF's.

    `guards` has the longest frame that reserves nothing, by port number.
    """
    state = _State(topology, profile, routes, guards)
    order = placing_order(profile, routes)
    plans: dict[str, StreamPlan] = {}
    for done, stream in enumerate(order):
        if done % PROGRESS_STEP == 0:
            progress("reserve", done, len(order))
        plans.update((plan.name, plan) for plan in state.place(stream))
    progress("reserve", len(order), len(order))
    most_bytes = (state.capacity - state.free.min(axis=1)).tolist()
    return CqfPlans(plans, state.length, state.mean_bps(), most_bytes)


def dead_time_ps(topology: Topology, port: Port) -> int:
    """Return how long before its end a cycle must be over at a port for the next node to have all.

    10 us of fibre, 1 us of processing, clocks within 0.1 us, cycles in phase: 11.2 us, and 1 ps
    since what comes when a cycle ends is in the next one.
    """
    near = topology.node_by_name[port.source].clock
    node = topology.node_by_name[port.target]
    apart_ps = near.phase_ps - node.clock.phase_ps
    clocks_ps = near.error_ps + node.clock.error_ps
    return max(port.propagation_ps + node.processing.high_ps + clocks_ps + apart_ps + 1, 0)


def cqf_capacity(topology: Topology, port: Port, guard_bytes: int) -> int:
    """Return the bytes of a cycle before its dead time; the time of a byte is rounded up."""
    cycle_ps = topology.tcqf.cycle_ps
    wander_ps = topology.node_by_name[port.source].clock.wander_ps
    open_ps = cycle_ps - dead_time_ps(topology, port) - wander_ps * ceil_div(cycle_ps, 10**9)
    if guard_bytes:
        open_ps -= serialisation_ps(guard_bytes, port.rate_bps)
    whole = cycle_capacity(topology, port, guard_bytes)
    return max(min(whole, open_ps // ceil_div(8 * PS_PER_S, port.rate_bps)), 0)


def why_not_crossed(topology: Topology, port: Port, frame_bytes: int) -> str | None:
    """Say why no frame can be received in the cycle in which it is sent, or None."""
    cycle_ps = topology.tcqf.cycle_ps
    near = topology.node_by_name[port.source].clock
    node = topology.node_by_name[port.target]
    what = f"CQF cannot cross {port.name}"
    if port.propagation_ps >= cycle_ps:
        return f"{what}: propagation {_us(port.propagation_ps)}, cycle {_us(cycle_ps)}"
    dead_ps = dead_time_ps(topology, port)
    if dead_ps >= cycle_ps:
        parts = (
            f"propagation {_us(port.propagation_ps)}, processing {_us(node.processing.high_ps)}, "
            f"clocks {_us(near.error_ps + node.clock.error_ps)}, "
            f"phases {_us(near.phase_ps - node.clock.phase_ps)}"
        )
        return f"{what}: dead time {_us(dead_ps)} ({parts}), cycle {_us(cycle_ps)}"
    arrives_ps = near.phase_ps - near.error_ps + port.propagation_ps + node.processing.low_ps
    arrives_ps += last_bit_ps(frame_bytes, port.rate_bps)
    early_ps = node.clock.phase_ps + node.clock.error_ps - arrives_ps
    if early_ps > 0:
        return f"{what}: a frame can come {_us(early_ps)} before its cycle begins at {port.target}"
    return None


def _us(time_ps: int) -> str:
    """Write a time in microseconds, exactly: 560 us, 0.12 us."""
    sign = "-" if time_ps < 0 else ""
    whole, rest = divmod(abs(time_ps), 10**6)
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".") + " us"


def _by_leg(stream: Stream, found: Branches) -> list[tuple[Stream, tuple[Route, ...]]]:
    """Return each leg of a stream with its routes; itself with all where it is no tree."""
    if len(stream.listeners) == 1:
        return [(stream, found.routes)]
    return [(leg, (route,)) for leg, route in zip(stream.legs, found.routes, strict=True)]


class _State:
    """What every cycle of every port has left, while streams are being placed."""

    def __init__(
        self, topology: Topology, profile: Profile, routes: Routes, guards: Sequence[int]
    ) -> None:
        self._topology = topology
        self._routes = routes
        self._available = Availabilities(topology)
        self.length = hypercycle(topology, profile)
        capacity = [
            cqf_capacity(topology, *pair) for pair in zip(topology.ports, guards, strict=True)
        ]
        self.capacity: Int64s = np.array(capacity, dtype=np.int64)
        self.free: Int64s = np.repeat(self.capacity[:, np.newaxis], self.length, axis=1)

    def mean_bps(self) -> list[int]:
        """Return the mean reserved rate of every port, rounded up."""
        window_ps = self.length * self._topology.tcqf.cycle_ps
        taken = (self.capacity[:, np.newaxis] - self.free).sum(axis=1)
        return [ceil_div(size * 8 * PS_PER_S, window_ps) for size in taken.tolist()]

    def place(self, stream: Stream) -> list[StreamPlan]:
        """Admit a stream on the first route, pair of routes, or tree that has room.

        Returns a plan for each leg of a tree.
        """
        reason: str | None = None
        for index in count():
            found = self._routes.branches(stream.talker, stream.listeners, stream.paths, index)
            if found is None:
                break
            fault = self._fault(stream, found) or self._too_low(stream, found)
            if fault is None:
                start = self._start(stream, found)
                fault = self._full(stream, found, start)
                if fault is None:
                    return self._admit(stream, found, start)
            reason = reason or fault
        if reason is None:
            reason = self._routes.why_none(stream.talker, stream.listeners, stream.paths)
        elif index > 1:
            noun = "routes" if len(stream.listeners) == 1 else "trees"
            reason += f"; {index} {noun} tried, this is the first"
        return [StreamPlan(name=leg.name, status="refused", reason=reason) for leg in stream.legs]

    def _too_low(self, stream: Stream, found: Branches) -> str | None:
        """Say that these routes do not work for as much of the time as is promised."""
        if stream.availability is None:
            return None
        share = self._available.of(found, clocked=True, tree=len(stream.listeners) > 1)
        if share >= stream.availability:
            return None
        return too_low(share, stream.availability, stream.paths)

    def _fault(self, stream: Stream, found: Branches) -> str | None:
        """Say why these routes cannot serve a stream even in an empty network, or None."""
        error_ps = self._topology.node_by_name[stream.talker].clock.error_ps
        cycle_ps = self._topology.tcqf.cycle_ps
        if 2 * error_ps > cycle_ps:
            return f"the clock of {stream.talker} may be wrong by {_us(error_ps)} either way"
        for edge in found.edges:
            faults = [
                why_not_crossed(self._topology, port, stream.frame_bytes) for port in edge.ports
            ]
            if all(faults):
                return faults[0]
        for leg, routes in _by_leg(stream, found):
            low, high = self._bounds(leg, routes)
            if stream.max_latency_ps is not None and high > stream.max_latency_ps:
                return f"takes up to {show_time(high)} of {show_time(stream.max_latency_ps)}"
            most_ps = stream.max_latency_variation_ps
            if most_ps is not None and high - low > most_ps:
                return f"varies by {show_time(high - low)}, of {show_time(most_ps)}"
        return self._narrow(stream, found)

    def _narrow(self, stream: Stream, found: Branches) -> str | None:
        """Name the first hop of which no wire is large enough, in an empty network."""
        need = need_bytes(stream)
        for edge in found.edges:
            widest = max(edge.ports, key=lambda port: int(self.capacity[port.number]))
            if self.capacity[widest.number] < need:
                dead = _us(dead_time_ps(self._topology, widest))
                return (
                    f"{need} bytes of at most {self.capacity[widest.number]} in one cycle of "
                    f"port {widest.name}, whose dead time is {dead}"
                )
        return None

    def _bounds(self, stream: Stream, routes: tuple[Route, ...]) -> tuple[int, int]:
        """Return the least and the largest latency over routes, and over the wires at their ends.

        The damper's listener holds each frame until the largest of all.
        """
        low, high = [], []
        for route in routes:
            for port in route.edges[-1].ports:
                early_ps, late_ps = self._passed(stream, len(route.edges), port)
                low.append(early_ps)
                high.append(late_ps)
        if stream.damper:
            error_ps = self._topology.node_by_name[stream.listener].clock.error_ps
            return max(high), max(high) + 2 * error_ps
        return min(low), max(high)

    def _passed(self, stream: Stream, hops: int, last: Port) -> tuple[int, int]:
        """Return the least and the largest latency over so many hops: (h - 1) T to h T and less."""
        cycle_ps = self._topology.tcqf.cycle_ps
        clock = self._topology.node_by_name[last.source].clock
        begin_ps = clock.phase_ps + (hops - 1) * cycle_ps + last.propagation_ps
        begin_ps -= self._send_ps(stream, 0)
        early_ps = begin_ps - clock.error_ps + last_bit_ps(stream.frame_bytes, last.rate_bps)
        used_ps = cycle_ps - dead_time_ps(self._topology, last)
        return early_ps, begin_ps + used_ps + clock.error_ps

    def _send_ps(self, stream: Stream, cycle: int) -> int:
        clock = self._topology.node_by_name[stream.talker].clock
        return clock.phase_ps + cycle * self._topology.tcqf.cycle_ps - clock.error_ps - 1

    def _start(self, stream: Stream, found: Branches) -> tuple[int, list[int]]:
        """Return the best start, and the wire at each hop."""
        need = need_bytes(stream)
        period = stream.interval_ps // self._topology.tcqf.cycle_ps
        wires = [
            [
                port.number
                for port in edge.ports
                if self.capacity[port.number] >= need
                and why_not_crossed(self._topology, port, stream.frame_bytes) is None
            ]
            for edge in found.edges
        ]
        return self._best(wires, list(found.depths), period)

    def _full(self, stream: Stream, found: Branches, start: tuple[int, list[int]]) -> str | None:
        """Say which cycle has no room for a stream, at its best start and wires, or None."""
        need = need_bytes(stream)
        period = stream.interval_ps // self._topology.tcqf.cycle_ps
        phase, ports = start
        for port, depth in zip(ports, found.depths, strict=True):
            tightest = int(self._used(port, phase + depth, period).argmin())
            cycle = (phase + depth + tightest * period) % self.length
            left = int(self.free[port, cycle])
            if left < need:
                return (
                    f"port {self._topology.ports[port].name}, cycle {cycle}: {need} bytes needed, "
                    f"{left} free before its dead time"
                )
        return None

    def _admit(
        self, stream: Stream, found: Branches, start: tuple[int, list[int]]
    ) -> list[StreamPlan]:
        """Take the best start and wires, which have room."""
        need = need_bytes(stream)
        period = stream.interval_ps // self._topology.tcqf.cycle_ps
        phase, ports = start
        for port, depth in zip(ports, found.depths, strict=True):
            self.free[port, (phase + depth) % period :: period] -= need
        while self._send_ps(stream, phase) < 0:
            phase += period
        names = [self._topology.ports[port].name for port in ports]
        paths = [
            PathPlan(
                ports=tuple(names[place] for place in path),
                cycles=tuple(phase + hop for hop in range(len(path))),
            )
            for path in found.paths
        ]
        plans = []
        for number, (leg, routes) in enumerate(_by_leg(stream, found)):
            own = paths if len(stream.listeners) == 1 else paths[number : number + 1]
            plans.append(
                StreamPlan(
                    name=leg.name,
                    status="admitted",
                    send_ps=self._send_ps(stream, phase),
                    hold_ps=self._hold_ps(leg, routes) if stream.damper else None,
                    paths=tuple(own),
                )
            )
        return plans

    def _best(
        self, wires: list[list[int]], cycles: list[int], period: int
    ) -> tuple[int, list[int]]:
        """Return the phase, and the wire at each hop, that leave the largest share of a cycle."""
        shares: list[NDArray[np.float64]] = []
        for hop, cycle in zip(wires, cycles, strict=True):
            rows = np.roll(self.free[hop], -cycle, axis=1).reshape(len(hop), -1, period)
            shares.append(rows.min(axis=1) / self.capacity[hop][:, np.newaxis])
        least = np.min([share.max(axis=0) for share in shares], axis=0)
        phase = int(least.argmax())
        chosen = [int(share[:, phase].argmax()) for share in shares]
        return phase, [hop[wire] for hop, wire in zip(wires, chosen, strict=True)]

    def _used(self, port: int, cycle: int, period: int) -> Int64s:
        """Return what the cycles that a stream uses have left, from its start on."""
        used: Int64s = np.roll(self.free[port], -cycle)[::period]
        return used

    def _hold_ps(self, stream: Stream, routes: tuple[Route, ...]) -> int:
        """Return how long after sending no frame can still be on its way, by the worst clock."""
        latest_ps, _ = self._bounds(stream, routes)
        return latest_ps + self._topology.node_by_name[stream.listener].clock.error_ps
