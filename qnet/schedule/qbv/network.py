"""Gates for the streams of a profile: nouns to a gate problem, and its plan back.

The problem counts true time, as if all clocks were right; what they may be wrong by is counted as
if it were propagation and processing. So every frame is in its queue before its gate can open, it
leaves when the gate opens, and nothing but the clocks of the two ends makes its latency vary.
A window is longer than its frames by two steps of its node's clock (`wander`), since one may come
while it is open: the frame may begin a step late, the gate close a step early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from qnet.errors import Infeasible
from qnet.graph.by_hops import Router
from qnet.graph.routes import Branches, Route, Routes
from qnet.model.gates import (
    HELD,
    GateList,
    GatePlan,
    GatePort,
    GateProblem,
    GateStream,
    GateStreamPlan,
)
from qnet.model.plan import PathPlan, StreamPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.schedule.availability import Availabilities, best, too_low, ways_of
from qnet.schedule.guards import Guards
from qnet.schedule.qbv.bounds import Times, ends, followed, latency_ps
from qnet.schedule.qbv.lists import gate_lists
from qnet.schedule.qbv.solve import schedule_gates
from qnet.units import (
    PS_PER_NS,
    PS_PER_S,
    TIME,
    ceil_div,
    last_bit_ps,
    serialisation_ps,
    show_rate,
    show_time,
    wire_bytes,
)

ROUTE_COUNT = 4
"""Routes that a stream is tried on."""

WIRE_COUNT = 4
"""Wires of each aggregation group that a stream is tried on."""

NO_DEADLINE_PS = 10**15
SEED = 1

UNCUT_BYTES = 123
"""The longest frame, or rest of one, that is never cut (IEEE 802.3 clause 99.4)."""


class Gated(NamedTuple):
    """What became of the gated streams.

    `free_bps` is by port number, for ports with a list: what the other classes may still send.
    """

    plans: Mapping[str, StreamPlan]
    cycle_ps: int | None
    bound: int | None
    gates: tuple[GateList, ...]
    free_bps: Mapping[int, int]


class _Asked(NamedTuple):
    """One path of a stream, and its stand-in in the problem."""

    stream: Stream
    gate: GateStream


def schedule_gated(
    topology: Topology,
    profile: Profile,
    routes: Routes,
    progress: Callable[[str, int, int], None],
    guards: Guards,
) -> Gated:
    """Give every stream of the gated class its times, or the reason why it has none."""
    streams = [stream for stream in profile.every_tree if profile.is_gated(stream)]
    if not streams:
        return Gated({}, None, None, (), {})
    progress("gates", 0, len(streams))
    case = _Case(topology, profile, routes, guards)
    asked: list[_Asked] = []
    possible = len(streams)
    plans: dict[str, StreamPlan] = {}
    for stream in streams:
        reason = case.hopeless(stream)
        possible -= reason is not None
        paths = [] if reason else case.paths(stream, len(asked))
        if paths:
            asked += [_Asked(stream, gate) for gate in paths]
        else:
            plans.update(_refused(stream, reason or case.why_no_pair(stream)))
    problem = case.problem([one.gate for one in asked])
    made = schedule_gates(problem, seed=SEED, routes=ROUTE_COUNT)
    kept = case.keep(problem, made, asked, plans)
    plans.update(case.admitted(made.cycle_ps, kept))
    by_name = {plan.name: plan for plan in made.streams}
    lists = gate_lists(
        problem.replace(streams=tuple(one.gate for one, _ in kept)),
        tuple(by_name[one.gate.name] for one, _ in kept),
        made.cycle_ps,
    )
    progress("gates", len(streams), len(streams))
    free_bps = {
        number: case.free_bps(number, [one for one in kept if name in one[1].ports], lists)
        for name, number in case.numbers.items()
        if any(made.port == name for made in lists)
    }
    # Copies and wires of groups have given routes, of which nothing is proven: none counts twice.
    lost = len(asked) - (made.bound if made.bound is not None else len(asked))
    bound = possible - lost
    return Gated(plans, made.cycle_ps if kept else None, bound, lists, free_bps)


_Kept = tuple[_Asked, GateStreamPlan]


class _Case:
    """One network and one profile, with what the problem's numbers are made of."""

    def __init__(
        self, topology: Topology, profile: Profile, routes: Routes, guards: Guards
    ) -> None:
        self._guards = guards
        self._topology = topology
        self._profile = profile
        self._routes = routes
        self._available = Availabilities(topology)
        self._class = next(one for one in profile.classes if one.gated)
        self._others = len(profile.queue_by_class)
        self.numbers = {port.name: port.number for port in topology.ports}
        self._gate_ports = {
            port.name: self._port(port)
            for edge in routes.graph.edges
            for port in edge.ports
            if topology.node_by_name[port.source].queues > self._others
        }
        hosts = [node.name for node in topology.nodes if node.is_host]
        self._router = Router(tuple(self._gate_ports.values()), ROUTE_COUNT, hosts)
        self._grouped = any(link.members > 1 for link in topology.links)

    def _error_ps(self, node: str) -> int:
        return self._topology.node_by_name[node].clock.error_ps

    def _port(self, port: Port) -> GatePort:
        node = self._topology.node_by_name[port.source]
        # What of a phase is no whole step makes the node's gates open later by so much.
        rest_ps = node.clock.phase_ps % PS_PER_NS
        longest_ps = max(node.processing.high_ps, port.propagation_ps) + 2 * node.clock.error_ps
        if longest_ps + node.clock.wander_ps + rest_ps > TIME.highest:
            raise Infeasible(
                f"{port.name}: what passes before a gate, with the errors of its clock, comes to "
                f"{show_time(longest_ps)}; gates are planned for at most {show_time(TIME.highest)}"
            )
        return GatePort(
            name=port.name,
            source=port.source,
            target=port.target,
            rate_bps=port.rate_bps,
            queues=node.queues,
            other_queues=self._others,
            processing_ps=node.processing.high_ps + node.clock.error_ps,
            propagation_ps=port.propagation_ps
            + node.clock.error_ps
            + node.clock.wander_ps
            + rest_ps,
            propagation_spread_ps=2 * node.clock.error_ps + node.clock.wander_ps + rest_ps,
            processing_spread_ps=node.processing.high_ps
            - node.processing.low_ps
            + 2 * node.clock.error_ps,
            entries_max=node.gate_entries,
            phase_ps=node.clock.phase_ps - rest_ps,
            margin_ps=2 * node.clock.wander_ps,
            guard_bytes=self._guards.uncut[port.number] if self._class.guard == "fixed" else 0,
        )

    def problem(self, streams: Sequence[GateStream]) -> GateProblem:
        """Return the problem of these streams on all ports that have queues for them."""
        return GateProblem(
            title=self._profile.title,
            isolation=self._class.isolation,
            waiting=self._class.waiting,
            guard_bytes=0,
            held_queues=self._profile.held_queues,
            step_ps=PS_PER_NS,
            ports=tuple(self._gate_ports.values()),
            streams=tuple(streams),
        )

    # One stream

    def hopeless(self, stream: Stream) -> str | None:
        """Say why no gate list can serve a stream, or None."""
        unsteady = (self._unsteady(leg) for leg in stream.legs)
        why = self._unreachable(stream) or next(filter(None, unsteady), None)
        return why or self._unavailable(stream)

    def _unavailable(self, stream: Stream) -> str | None:
        """Say that no way works for as much of the time as is promised."""
        asked = stream.availability
        if asked is None:
            return None
        share = best(self._available, self._routes, stream, stream.paths, clocked=True)
        return None if share is None or share >= asked else too_low(share, asked, stream.paths)

    def _is_available(self, stream: Stream, way: Branches) -> bool:
        if stream.availability is None:
            return True
        is_tree = len(stream.listeners) > 1
        return self._available.of(way, clocked=True, tree=is_tree) >= stream.availability

    def _unreachable(self, stream: Stream) -> str | None:
        for listener in stream.listeners:
            least_ps = self._routes.least_propagation_ps(stream.talker, listener)
            if least_ps is None:
                return f"no route from {stream.talker} to {listener}"
            if stream.max_latency_ps is not None and least_ps > stream.max_latency_ps:
                limit = show_time(stream.max_latency_ps)
                return f"propagation alone is {show_time(least_ps)} of {limit}"
        queues = self._topology.node_by_name[stream.talker].queues
        if queues <= self._others:
            return f"node {stream.talker} has {queues} queues, all for the other classes"
        if not self._router.ways(stream.talker, stream.listeners).routes:
            return f"no route whose nodes have more than {self._others} queues"
        return None

    def _unsteady(self, stream: Stream) -> str | None:
        most_ps, least_ps = stream.max_latency_variation_ps, self._variation_ps(stream, min)
        if most_ps is not None and least_ps > most_ps:
            return f"clocks alone make it vary by {show_time(least_ps)}, of {show_time(most_ps)}"
        if self._deadline_ps(stream) <= 0:
            return f"clocks alone take all of {show_time(stream.max_latency_ps)}"
        return None

    def _lasts(self, stream: Stream) -> list[GatePort]:
        """Return the ports that lead to the listener."""
        return [port for port in self._gate_ports.values() if port.target == stream.listener]

    def _variation_ps(self, stream: Stream, pick: Callable[[Iterable[int]], int]) -> int:
        """Return what the clocks of the ends make a latency vary by, over a last hop so picked."""
        talker_ps = self._error_ps(stream.talker)
        if stream.damper:
            return 2 * (talker_ps + self._error_ps(stream.listener))
        node = self._topology.node_by_name
        last = [node[port.source].clock for port in self._lasts(stream)]
        return 2 * talker_ps + pick(2 * clock.error_ps + clock.wander_ps for clock in last)

    def _drift_ps(self, stream: Stream) -> int:
        """Return how much later than the first the last of some frames may be, beside its start."""
        near = [one.rate_bps for one in self._gate_ports.values() if one.source == stream.talker]
        far = [port.rate_bps for port in self._lasts(stream)]
        times = [serialisation_ps(stream.frame_bytes, rate) for rate in (*near, *far)]
        return (stream.max_packets - 1) * (max(times) - min(times))

    def _deadline_ps(self, stream: Stream) -> int:
        """Return what the stream's max-latency leaves for the problem's way of counting."""
        if stream.max_latency_ps is None:
            return NO_DEADLINE_PS
        talker_ps = self._error_ps(stream.talker)
        if stream.damper:
            talker_ps += talker_ps + 2 * self._error_ps(stream.listener)
        rates = [
            port.rate_bps
            for port in self._gate_ports.values()
            if port.source == stream.talker or port.target == stream.listener
        ]
        between = (stream.max_packets - 1) * serialisation_ps(stream.frame_bytes, max(rates))
        return stream.max_latency_ps - talker_ps + between

    def paths(self, stream: Stream, turn: int) -> list[GateStream]:
        """Return one stand-in for each path; none when there is no pair of routes in time."""
        most_ps = stream.max_latency_variation_ps
        deadline_ps = min(self._deadline_ps(leg) for leg in stream.legs)
        free_ps = NO_DEADLINE_PS
        if most_ps is not None and not stream.damper:
            spent_ps = max(
                self._variation_ps(leg, max) + self._drift_ps(leg) for leg in stream.legs
            )
            free_ps = max(most_ps - spent_ps, 0)
        gate = GateStream(
            name=stream.name,
            source=stream.talker,
            target=stream.listeners if len(stream.listeners) > 1 else stream.listener,
            frame_bytes=stream.frame_bytes,
            period_ps=stream.interval_ps,
            deadline_ps=deadline_ps,
            jitter_ps=free_ps,
            packets=stream.max_packets,
            rank=stream.rank,
        )
        if stream.paths == 1:
            return [gate.replace(routes=self._wires(stream, turn))]
        pair = self._pair(stream, gate)
        if pair is None:
            return []
        return [
            gate.replace(name=f"{stream.name}/{copy + 1}", routes=self._ways([route], turn))
            for copy, route in enumerate(pair)
        ]

    def _wires(self, stream: Stream, turn: int) -> tuple[tuple[str, ...], ...]:
        """Name the routes to try where there are groups of wires; none stands for all."""
        if not self._grouped and stream.availability is None:
            return ()
        found = ways_of(self._routes, stream, 1)
        good = (way for way in found if self._is_available(stream, way))
        return self._ways(islice(good, ROUTE_COUNT), turn)

    def _ways(self, found: Iterable[Route | Branches], turn: int) -> tuple[tuple[str, ...], ...]:
        """Take some wires of each hop, other streams others first."""
        ways: dict[tuple[str, ...], None] = {}
        for route in found:
            wires = [
                [port.name for port in edge.ports if port.name in self._gate_ports]
                for edge in route.edges
            ]
            if all(wires):
                for wire in range(min(WIRE_COUNT, max(map(len, wires)))):
                    ways[tuple(hop[(turn + wire) % len(hop)] for hop in wires)] = None
        return tuple(ways)

    def _pair(self, stream: Stream, gate: GateStream) -> tuple[Route, Route] | None:
        """Return the first disjoint pair whose routes are both quick enough."""
        ports = tuple(self._gate_ports.values())
        number = {port.name: index for index, port in enumerate(ports)}
        times = Times(self.problem([gate]))
        index = 0
        while (pair := self._routes.pair(stream.talker, stream.listener, index)) is not None:
            index += 1
            if not self._is_available(stream, Branches.side_by_side(pair)):
                continue
            ways = [self._ways([route], 0) for route in pair]
            if all(
                way
                and latency_ps(times, gate, tuple(map(number.__getitem__, way[0])))
                <= gate.deadline_ps
                for way in ways
            ):
                return pair
        return None

    def why_no_pair(self, stream: Stream) -> str:
        """Say why a stream with two paths has none."""
        assert stream.paths == 2, "what has one path or a tree is refused with a reason"
        if self._routes.pair(stream.talker, stream.listener, 0) is None:
            return self._routes.why_no_pair(stream.talker, stream.listener)
        return f"no pair of disjoint routes is as quick as {show_time(stream.max_latency_ps)}"

    # The plan back

    def keep(
        self,
        problem: GateProblem,
        made: GatePlan,
        asked: Sequence[_Asked],
        plans: dict[str, StreamPlan],
    ) -> list[_Kept]:
        """Return the paths that stay, with starts by each node's clock; refuse the others."""
        reasons: dict[str, str] = {}
        for one, plan in zip(asked, made.streams, strict=True):
            reason = plan.reason
            if plan.status == "refused" and reason is not None:
                reasons.setdefault(one.stream.name, self._slow(problem, one) or reason)
        kept = [
            (one, self._by_own_clocks(plan, made.cycle_ps))
            for one, plan in zip(asked, made.streams, strict=True)
            if one.stream.name not in reasons
        ]
        spread: dict[str, list[int]] = defaultdict(list)
        for one, plan in kept:
            for leg, path in self._legs(one, plan):
                spread[leg.name] += self._latencies(leg, path)
        for one, plan in kept:
            for leg, _ in self._legs(one, plan):
                # The copies of a stream with two paths count together.
                most_ps = leg.max_latency_variation_ps
                low, high = min(spread[leg.name]), max(spread[leg.name])
                if most_ps is not None and not leg.damper and high - low > most_ps:
                    varies = show_time(high - low)
                    reason = f"on its way it varies by {varies}, of {show_time(most_ps)}"
                    reasons.setdefault(one.stream.name, reason)
        reasons.update(self._beyond_reservable(kept, reasons))
        for one in asked:
            if one.stream.name in reasons:
                plans.update(_refused(one.stream, reasons[one.stream.name]))
        return [pair for pair in kept if pair[0].stream.name not in reasons]

    def _legs(self, one: _Asked, plan: GateStreamPlan) -> list[tuple[Stream, GateStreamPlan]]:
        """Return the paths of what is planned: of a tree, one to each listener."""
        if len(one.stream.listeners) == 1:
            return [(one.stream, plan)]
        ports = [self._gate_ports[name] for name in plan.ports]
        before = followed(one.gate, ports)
        paths = []
        for leg, place in zip(one.stream.legs, ends(one.gate, ports), strict=True):
            path: list[int] = []
            while place >= 0:
                path.insert(0, place)
                place = before[place]  # noqa: PLW2901
            own = plan.replace(
                ports=tuple(plan.ports[hop] for hop in path),
                queues=tuple(plan.queues[hop] for hop in path),
                starts_ps=tuple(tuple(frame[hop] for hop in path) for frame in plan.starts_ps),
            )
            paths.append((leg, own))
        return paths

    def _slow(self, problem: GateProblem, one: _Asked) -> str | None:
        """Say of a stream whose ways are all too slow how long the quickest takes."""
        ports = {port.name: index for index, port in enumerate(problem.ports)}
        ways = [tuple(map(ports.__getitem__, way)) for way in one.gate.routes]
        times = Times(problem)
        ways = ways or list(self._router.ways(one.gate.source, one.gate.targets).routes)
        least_ps = min(latency_ps(times, one.gate, way) for way in ways)
        if least_ps <= one.gate.deadline_ps or one.stream.max_latency_ps is None:
            return None
        least_ps += one.stream.max_latency_ps - one.gate.deadline_ps
        limit = show_time(one.stream.max_latency_ps)
        return f"sending, wires and clocks alone take {show_time(least_ps)} of {limit}"

    def _by_own_clocks(self, plan: GateStreamPlan, cycle_ps: int) -> GateStreamPlan:
        """Count starts from when each node's own clock shows 0; whole gate cycles are added."""
        phases = [self._gate_ports[name].phase_ps for name in plan.ports]
        short_ps = max(
            (
                phase - start
                for frame in plan.starts_ps
                for phase, start in zip(phases, frame, strict=True)
            ),
            default=0,
        )
        lift_ps = max(ceil_div(short_ps, cycle_ps), 0) * cycle_ps
        starts = tuple(
            tuple(start - phase + lift_ps for phase, start in zip(phases, frame, strict=True))
            for frame in plan.starts_ps
        )
        return plan.replace(starts_ps=starts)

    def _beyond_reservable(
        self, kept: Sequence[_Kept], reasons: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Refuse who, by rank, would take a port's reservations beyond what is reservable."""
        free_bps = {port.name: Fraction(port.reservable_bps) for port in self._topology.ports}
        paths: dict[str, list[_Kept]] = defaultdict(list)
        for pair in kept:
            paths[pair[0].stream.name].append(pair)
        refused = {}
        for name in sorted(paths, key=lambda name: (paths[name][0][0].stream.rank, name)):
            stream = paths[name][0][0].stream
            rate_bps = _mean_bps(stream)
            taken = [port for _, plan in paths[name] for port in plan.ports]
            short = [port for port in taken if free_bps[port] < rate_bps]
            if name in reasons:
                continue
            if short:
                left = show_rate(int(free_bps[short[0]]))
                need = show_rate(ceil_div(rate_bps.numerator, rate_bps.denominator))
                refused[name] = f"port {short[0]}: {need} needed, {left} of the reservable free"
                continue
            for port in taken:
                free_bps[port] -= rate_bps
        return refused

    def admitted(self, cycle_ps: int, kept: Sequence[_Kept]) -> Mapping[str, StreamPlan]:
        """Write the plans of the streams that stay."""
        paths: dict[str, list[PathPlan]] = defaultdict(list)
        holds: dict[str, int] = {}
        for one, planned in kept:
            for stream, plan in self._legs(one, planned):
                starts_ps = self._each_frame(stream, plan)
                paths[stream.name].append(
                    PathPlan(ports=plan.ports, queues=plan.queues, starts_ps=starts_ps)
                )
                if stream.damper:
                    _, latest_ps = self._latencies(stream, plan)
                    holds[stream.name] = latest_ps + self._error_ps(stream.listener)
        return {
            name: StreamPlan(
                name=name, status="admitted", hold_ps=holds.get(name), paths=tuple(taken)
            )
            for name, taken in paths.items()
        }

    def _each_frame(self, stream: Stream, plan: GateStreamPlan) -> tuple[tuple[int, ...], ...]:
        """Return the starts of all frames; those of one interval follow each other closely."""
        lines = self._lines_ps(stream, plan)
        return tuple(
            tuple(start + packet * line for start, line in zip(starts, lines, strict=True))
            for starts in plan.starts_ps
            for packet in range(stream.max_packets)
        )

    def _lines_ps(self, stream: Stream, plan: GateStreamPlan) -> list[int]:
        rates = [self._gate_ports[name].rate_bps for name in plan.ports]
        return [serialisation_ps(stream.frame_bytes, rate) for rate in rates]

    def _latencies(self, stream: Stream, plan: GateStreamPlan) -> tuple[int, int]:
        """Return the least and the largest latency of a path, whatever the clocks do."""
        ends = [self._topology.port_by_name[name] for name in (plan.ports[0], plan.ports[-1])]
        first, last = (self._topology.node_by_name[port.source].clock for port in ends)
        sent_ps = last_bit_ps(stream.frame_bytes, ends[1].rate_bps)
        passed = [
            last.phase_ps
            + starts[-1]
            + sent_ps
            + ends[1].propagation_ps
            - first.phase_ps
            - starts[0]
            for starts in self._each_frame(stream, plan)
        ]
        error_ps = first.error_ps + last.error_ps if len(plan.ports) > 1 else 0
        return min(passed) - error_ps, max(passed) + error_ps + last.wander_ps

    def free_bps(self, number: int, kept: Sequence[_Kept], lists: Iterable[GateList]) -> int:
        """Return what other classes may send at a port beside its windows, on average.

        Of every pause the longest of their frames is taken off: bridges hold it back where it
        would not end in time; or what a port needs to be idle when frames are held that can be cut.
        """
        port = self._topology.ports[number]
        gates = next(one for one in lists if one.port == port.name)
        others = (1 << self._others) - 1
        lost_ps = 0
        if self._class.guard == "length-aware" and self._guards.uncut[number]:
            lost_ps = serialisation_ps(self._guards.uncut[number], port.rate_bps)
        if self._guards.cut[number]:
            lost_ps = max(lost_ps, serialisation_ps(UNCUT_BYTES, port.rate_bps))
        open_ps = sum(
            max(entry.interval_ps - lost_ps, 0)
            for entry in gates.entries
            if entry.states & others and not entry.states & HELD
        )
        cycle_ps = sum(entry.interval_ps for entry in gates.entries)
        reserved_bps = sum((_mean_bps(one.stream) for one, _ in kept), Fraction(0))
        left_bps = port.reservable_bps - ceil_div(reserved_bps.numerator, reserved_bps.denominator)
        return max(min(port.rate_bps * open_ps // cycle_ps, left_bps), 0)


def _mean_bps(stream: Stream) -> Fraction:
    bits = stream.max_packets * wire_bytes(stream.frame_bytes) * 8
    return Fraction(bits * PS_PER_S, stream.interval_ps)


def _refused(stream: Stream, reason: str) -> dict[str, StreamPlan]:
    names = (leg.name for leg in stream.legs)
    return {name: StreamPlan(name=name, status="refused", reason=reason) for name in names}
