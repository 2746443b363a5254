"""Prove a plan: check every rule of docs/design.md ("What a plan must keep") and bound each stream.

Nothing in a plan is believed: it may have been written by hand, for another network, or in malice.
The arithmetic is plain integers and the rules are written out one by one, so that this file can be
read aloud beside the design. A rule that is broken becomes a Finding; a bound is given only where
no broken rule can reach the stream.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import lcm
from typing import NamedTuple

from qnet.model.plan import DemandPlan, EgressPlan, PathPlan, Plan, StreamPlan
from qnet.model.proof import Finding, PortProof, Proof, Rule, StreamProof
from qnet.model.topology import Clock, Port, Topology
from qnet.model.traffic import Demand, Profile, Stream
from qnet.units import (
    PS_PER_MS,
    PS_PER_S,
    RATE,
    TIME,
    ceil_div,
    describe,
    format_quantity,
    serialisation_ps,
    wire_bytes,
)

FINDINGS_PER_PLACE = 20
"""More findings than this of one rule at one port are counted, not listed."""

NUMBER_HIGHEST = 10**18
"""No honest plan holds a larger number: 10**18 ps are eleven days, 10**18 b/s an exabit."""

HYPERCYCLE_HIGHEST = 1_000_000
"""Cycles of one port that are gone through; reservations that repeat later are refused."""

ONE_PATH_LEFT = "asked for 2 paths, the plan has 1"

_PS_BITS_PER_BYTE = 8 * PS_PER_S
"""A rate in bit/s over a time in ps, divided by this, is a number of bytes."""


class _Hop(NamedTuple):
    """One port of a reserved route: its cycle, and the clock and processing of its node."""

    port: Port
    cycle: int
    clock: Clock
    processing_ps_min: int
    processing_ps_max: int


class _Reservation(NamedTuple):
    """An admitted stream whose routes exist and whose cycles are numbers worth checking."""

    stream: Stream
    send_ps: int
    period: int
    """Cycles from one interval to the next."""
    paths: tuple[tuple[_Hop, ...], ...]
    hold_ps: int | None

    @property
    def hops(self) -> Iterable[_Hop]:
        """Hops of all paths."""
        return (hop for path in self.paths for hop in path)


class _Findings:
    """Broken rules in the order found; a hostile plan cannot make the list explode."""

    def __init__(self) -> None:
        self.total = 0
        self._listed: list[Finding] = []
        self._counts: Counter[tuple[Rule, str]] = Counter()

    def add(self, rule: Rule, subject: str, message: str, port: str = "") -> None:
        """Note one broken rule; `port` is where it broke, '' when at no port in particular."""
        self.count(rule, port, 1)
        if self._counts[rule, port] <= FINDINGS_PER_PLACE:
            self._listed.append(Finding(rule=rule, subject=subject, message=message))

    def count(self, rule: Rule, port: str, more: int) -> None:
        """Count findings without listing them."""
        self.total += more
        self._counts[rule, port] += more

    def collected(self) -> tuple[Finding, ...]:
        """Return what is listed, then how many more there are of each rule and port."""
        rest = [
            Finding(
                rule=rule,
                subject=port or "plan",
                message=f"{count - FINDINGS_PER_PLACE} more findings of this rule",
            )
            for (rule, port), count in self._counts.items()
            if count > FINDINGS_PER_PLACE
        ]
        return (*self._listed, *rest)


def prove(topology: Topology, profile: Profile, plan: Plan) -> Proof:
    """Check the plan against the network and the profile given, and bound every reserved stream.

    The hashes in the plan are not compared: judging an old plan against a changed network, such as
    one with worse clocks, is what a proof is for.
    """
    findings = _Findings()
    _check_head(topology, plan, findings)
    stream_plans = _match_streams(profile, plan, findings)
    demand_plans = _match_demands(profile, plan, findings)
    placed_bps = _check_demands(topology, demand_plans, findings)

    counts = Counter(stream.name for stream, _ in stream_plans)
    broken_streams = {name for name, count in counts.items() if count > 1}
    reservations: list[_Reservation] = []
    for stream, entry in stream_plans:
        before = findings.total
        reservation = _check_stream(topology, profile, plan, (stream, entry), findings)
        if reservation is not None:
            _check_times(topology, reservation, findings)
            reservations.append(reservation)
        if findings.total > before:
            broken_streams.add(stream.name)

    before = findings.total
    _check_mappings([one for one in reservations if not profile.may_wait(one.stream)], findings)
    mappings_hold = findings.total == before
    ports, overfull = _check_capacity(topology, profile, reservations, findings)
    _check_rates(topology, reservations, placed_bps, findings)
    _check_egress(topology, profile, plan, (stream_plans, demand_plans), findings)
    _check_reserved(plan, reservations, findings)

    touched = _touched_streams(topology, stream_plans, broken_streams, overfull)
    certain = mappings_hold and plan.cycle_ps == topology.tcqf.cycle_ps
    bounds = {
        one.stream.name: _bound(topology, one)
        for one in reservations
        if certain and one.stream.name not in touched
    }
    for one in reservations:
        _check_promises(topology, one, findings)
        _check_disjoint(topology, one, findings)
    return Proof(
        streams=tuple(_stream_proof(stream, bounds) for stream in profile.every_stream),
        ports=ports,
        findings=findings.collected(),
    )


def prove_kept(topology: Topology, profile: Profile, plan: Plan) -> tuple[Finding, ...]:
    """Return what keeps the admitted streams of a plan from staying where they are.

    Only those count that the profile still asks for; one path of two may be missing.
    """
    kept = {entry.name: entry for entry in plan.streams if entry.status == "admitted"}
    streams = [one for one in profile.every_stream if profile.is_reserved(one)]
    periods = [
        one.interval_ps // topology.tcqf.cycle_ps
        for one in streams
        if one.interval_ps % topology.tcqf.cycle_ps == 0
    ]
    alone = Plan(
        qnet_version=plan.qnet_version,
        topology_sha256="",
        traffic_sha256="",
        cycle_ps=plan.cycle_ps,
        buffers=plan.buffers,
        hypercycle=lcm(*periods),
        streams=tuple(
            kept.get(one.name, StreamPlan(name=one.name, status="refused"))
            for one in profile.every_stream
        ),
        demands=tuple(
            DemandPlan(name=one.name, rate_bps=one.rate_bps, placed_bps=0)
            for one in profile.demands
        ),
        egress=tuple(
            EgressPlan(
                site=one.site, required_bps=one.rate_bps, offered_bps=0, placed_bps=0, bound_bps=0
            )
            for one in profile.egress
        ),
    )
    findings = prove(topology, profile, alone).findings
    return tuple(one for one in findings if one.message != ONE_PATH_LEFT)


def _stream_proof(stream: Stream, bounds: Mapping[str, tuple[int, int]]) -> StreamProof:
    low, high = bounds.get(stream.name, (None, None))
    return StreamProof(name=stream.name, latency_ps_min=low, latency_ps_max=high)


# Inputs: is this a plan for this network and this profile?


def _check_head(topology: Topology, plan: Plan, findings: _Findings) -> None:
    tcqf = topology.tcqf
    if plan.cycle_ps != tcqf.cycle_ps:
        findings.add(
            "inputs",
            "plan",
            f"made for cycles of {_number(plan.cycle_ps)} ps, the network's last "
            f"{tcqf.cycle_ps} ps; nothing is proven of its reservations",
        )
    if plan.buffers != tcqf.buffers:
        findings.add(
            "inputs",
            "plan",
            f"made for {_number(plan.buffers)} cycle buffers, the network has {tcqf.buffers}",
        )


def _match_streams(
    profile: Profile, plan: Plan, findings: _Findings
) -> list[tuple[Stream, StreamPlan]]:
    """Pair the plan's streams with the profile's; what has no partner is a finding."""
    wanted = {stream.name: stream for stream in profile.every_stream}
    _check_names("stream", wanted, [entry.name for entry in plan.streams], findings)
    return [(wanted[entry.name], entry) for entry in plan.streams if entry.name in wanted]


def _match_demands(
    profile: Profile, plan: Plan, findings: _Findings
) -> list[tuple[Demand, DemandPlan]]:
    wanted = {demand.name: demand for demand in profile.demands}
    _check_names("demand", wanted, [entry.name for entry in plan.demands], findings)
    pairs = []
    for entry in plan.demands:
        rates = [entry.rate_bps, entry.placed_bps, *(part.rate_bps for part in entry.parts)]
        if entry.name not in wanted:
            continue
        if _is_sane(rates):
            pairs.append((wanted[entry.name], entry))
        else:
            findings.add("inputs", entry.name, f"a rate beyond {NUMBER_HIGHEST} b/s; ignored")
    return pairs


def _check_names(
    kind: str, wanted: Mapping[str, object], found: Sequence[str], findings: _Findings
) -> None:
    counts = Counter(found)
    for name in wanted:
        if name not in counts:
            findings.add("inputs", name, f"the plan says nothing of this {kind}")
    for name, count in counts.items():
        if name not in wanted:
            findings.add("inputs", _quoted(name), f"the profile has no such {kind}")
        elif count > 1:
            findings.add("inputs", name, f"the plan has this {kind} {count} times")


# Routes


def _check_stream(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    pair: tuple[Stream, StreamPlan],
    findings: _Findings,
) -> _Reservation | None:
    """Check status and routes of a stream; return its reservation if that can be checked on."""
    stream, entry = pair
    if entry.status == "refused":
        if entry.paths:
            findings.add("route", stream.name, "refused, yet it has a route")
        return None
    due = "admitted" if profile.is_reserved(stream) else "routed"
    if entry.status != due:
        findings.add(
            "route",
            stream.name,
            f"is {entry.status}; a stream of class {stream.traffic_class} can only be {due}",
        )
        return None
    routes = _check_routes(topology, stream, entry, findings)
    if entry.status == "routed" or routes is None or plan.cycle_ps != topology.tcqf.cycle_ps:
        return None
    return _reservation(topology, plan, pair, routes, findings)


def _check_routes(
    topology: Topology, stream: Stream, entry: StreamPlan, findings: _Findings
) -> list[tuple[Port, ...]] | None:
    """Return the ports of each path, or None when there is a fault in any of them."""
    before = findings.total
    if not 1 <= len(entry.paths) <= stream.paths:
        findings.add(
            "route", stream.name, f"asked for {stream.paths} paths, the plan has {len(entry.paths)}"
        )
    routes = []
    for path in entry.paths[: stream.paths]:
        ports = [topology.port_by_name.get(name) for name in path.ports]
        fault = _route_fault(path.ports, ports, (stream.talker, stream.listener))
        fault = fault or _cycles_fault(entry, path)
        if fault:
            findings.add("route", stream.name, fault)
        routes.append(tuple(port for port in ports if port is not None))
    return routes if findings.total == before else None


def _route_fault(
    names: Sequence[str], ports: Sequence[Port | None], ends: tuple[str, str]
) -> str | None:
    """Say what keeps the ports from being a way between the two ends; None when they are one."""
    if not ports:
        return "a path without ports"
    at, seen = ends[0], {ends[0]}
    for index, port in enumerate(ports):
        if port is None:
            return f"port {_quoted(names[index])} is not in the network"
        if port.source != at:
            start = f"begins at {ends[0]}" if index == 0 else f"has come to {at}"
            return f"port {port.name} does not join up: the path {start}"
        at = port.target
        if at in seen:
            return f"port {port.name} comes to {at} a second time"
        seen.add(at)
    return None if at == ends[1] else f"the path ends at {at}, not at {ends[1]}"


def _cycles_fault(entry: StreamPlan, path: PathPlan) -> str | None:
    due = len(path.ports) if entry.status == "admitted" else 0
    if len(path.cycles) == due:
        return None
    return f"{len(path.cycles)} cycles for {len(path.ports)} ports; {due} are due"


def _reservation(
    topology: Topology,
    plan: Plan,
    pair: tuple[Stream, StreamPlan],
    routes: Sequence[tuple[Port, ...]],
    findings: _Findings,
) -> _Reservation | None:
    stream, entry = pair
    cycle_ps = topology.tcqf.cycle_ps
    if not _is_sane(
        [entry.send_ps or 0, entry.hold_ps or 0, *(c for path in entry.paths for c in path.cycles)]
    ):
        findings.add("inputs", stream.name, f"a time or cycle beyond {NUMBER_HIGHEST}; ignored")
        return None
    if entry.send_ps is None:
        findings.add("ingress", stream.name, "admitted without a send time")
        return None
    if stream.damper != (entry.hold_ps is not None):
        what = "no hold time for its damper" if stream.damper else "a hold time, but no damper"
        findings.add("damper", stream.name, f"the plan has {what}")
        return None
    if stream.interval_ps % cycle_ps:
        findings.add(
            "inputs",
            stream.name,
            f"its interval of {_time(stream.interval_ps)} is no multiple of the cycle of "
            f"{_time(cycle_ps)}",
        )
        return None
    period = stream.interval_ps // cycle_ps
    if plan.hypercycle % period:
        findings.add(
            "inputs",
            stream.name,
            f"repeats every {period} cycles, which does not divide the hypercycle of "
            f"{_number(plan.hypercycle)} cycles",
        )
    paths = tuple(
        tuple(_hop(topology, port, cycle) for port, cycle in zip(ports, path.cycles, strict=True))
        for ports, path in zip(routes, entry.paths, strict=True)
    )
    return _Reservation(stream, entry.send_ps, period, paths, entry.hold_ps)


def _hop(topology: Topology, port: Port, cycle: int) -> _Hop:
    node = topology.node_by_name[port.source]
    return _Hop(port, cycle, node.clock, node.processing.low_ps, node.processing.high_ps)


# Rules 1 to 3: each frame is in its buffer before the cycle begins, and not a turn too soon


def _check_times(topology: Topology, one: _Reservation, findings: _Findings) -> None:
    _check_hold(topology, one, findings)
    for path in one.paths:
        _check_send(topology, one, path[0], findings)
        for near, far in pairwise(path):
            _check_not_late(topology, one, (near, far), findings)
            _check_not_early(topology, one, (near, far), findings)


def _check_hold(topology: Topology, one: _Reservation, findings: _Findings) -> None:
    """Rule 7: no frame comes after the damper should have handed it over."""
    if one.hold_ps is None:
        return
    _, latest_ps = _arrivals(topology, one)
    early_ps = one.hold_ps - topology.node_by_name[one.stream.listener].clock.error_ps
    if early_ps < latest_ps:
        findings.add(
            "damper",
            one.stream.name,
            f"may be handed over {_time(early_ps)} after it was sent, and arrive "
            f"{_time(latest_ps - early_ps)} later",
        )


def _begin_ps(topology: Topology, hop: _Hop, cycle: int) -> int:
    """Return when a cycle of the hop's node begins by a clock without error."""
    return hop.clock.phase_ps + cycle * topology.tcqf.cycle_ps


def _check_send(topology: Topology, one: _Reservation, first: _Hop, findings: _Findings) -> None:
    """Rule 1. With T = 10 us, C = 4 and perfect clocks, cycle 3 takes what is sent in 0..30 us."""
    earliest_ps = (
        _begin_ps(topology, first, first.cycle - topology.tcqf.buffers + 1) + first.clock.error_ps
    )
    latest_ps = _begin_ps(topology, first, first.cycle) - first.clock.error_ps
    name, port = one.stream.name, first.port.name
    if one.send_ps < 0:
        findings.add("ingress", name, f"is sent {_time(-one.send_ps)} before time zero", port)
    if one.send_ps > latest_ps:
        findings.add(
            "ingress",
            name,
            f"is sent {_time(one.send_ps - latest_ps)} too late for cycle {first.cycle} of {port}, "
            "which can have begun",
            port,
        )
    if one.send_ps < earliest_ps:
        findings.add(
            "ingress",
            name,
            f"is sent {_time(earliest_ps - one.send_ps)} too early for cycle {first.cycle} of "
            f"{port}, whose buffer can still be sending cycle "
            f"{first.cycle - topology.tcqf.buffers}",
            port,
        )


def _check_not_late(
    topology: Topology, one: _Reservation, hops: tuple[_Hop, _Hop], findings: _Findings
) -> None:
    """Rule 2. With T = 10 us, 25 us of way and phases zero, cycle 0 goes to cycle 4, not to 3."""
    near, far = hops
    queued_ps = (
        _begin_ps(topology, near, near.cycle + 1)
        + near.clock.error_ps
        + near.port.propagation_ps
        + far.processing_ps_max
    )
    begins_ps = _begin_ps(topology, far, far.cycle) - far.clock.error_ps
    if queued_ps > begins_ps:
        findings.add(
            "mapping",
            one.stream.name,
            f"leaves {near.port.name} in cycle {near.cycle} and can be queued "
            f"{_time(queued_ps - begins_ps)} late for cycle {far.cycle} of {far.port.name}",
            far.port.name,
        )


def _check_not_early(
    topology: Topology, one: _Reservation, hops: tuple[_Hop, _Hop], findings: _Findings
) -> None:
    """Rule 3. With T = 10 us, C = 4, 25 us of way, cycle 0 goes to cycle 5 at most: 25 >= 20."""
    near, far = hops
    queued_ps = (
        _begin_ps(topology, near, near.cycle)
        - near.clock.error_ps
        + serialisation_ps(one.stream.frame_bytes, near.port.rate_bps)
        + near.port.propagation_ps
        + far.processing_ps_min
    )
    last_turn = far.cycle - topology.tcqf.buffers
    free_ps = _begin_ps(topology, far, last_turn + 1) + far.clock.error_ps
    if queued_ps < free_ps:
        findings.add(
            "mapping",
            one.stream.name,
            f"leaves {near.port.name} in cycle {near.cycle} and can be queued "
            f"{_time(free_ps - queued_ps)} early for cycle {far.cycle} of {far.port.name}, "
            f"whose buffer can still be sending cycle {last_turn}",
            far.port.name,
        )


def _check_mappings(reservations: Iterable[_Reservation], findings: _Findings) -> None:
    """See that a tag is rewritten the same way for all frames from one port to the next."""
    first: dict[tuple[int, int], tuple[int, str]] = {}
    for one in reservations:
        for path in one.paths:
            for near, far in pairwise(path):
                shift = far.cycle - near.cycle
                pair = (near.port.number, far.port.number)
                known, whose = first.setdefault(pair, (shift, one.stream.name))
                if known != shift:
                    findings.add(
                        "mapping",
                        one.stream.name,
                        f"goes {shift} cycles on from {near.port.name} to {far.port.name}, "
                        f"{whose} {known}; a tag has one mapping",
                        far.port.name,
                    )


# Rule 4: capacity of every cycle


def _check_capacity(
    topology: Topology,
    profile: Profile,
    reservations: Iterable[_Reservation],
    findings: _Findings,
) -> tuple[tuple[PortProof, ...], set[int]]:
    """Go through every cycle of every port with reservations; also return the overfull ports."""
    booked: dict[int, Counter[tuple[int, int, int, int]]] = defaultdict(Counter)
    for one in reservations:
        for hop in one.hops:
            phase = hop.cycle % one.period
            key = (one.period, phase, one.stream.frame_bytes, one.stream.max_packets)
            booked[hop.port.number][key] += 1
    guard_bytes = _guard_bytes(profile)
    proofs, overfull = [], set()
    for number in sorted(booked):
        port = topology.ports[number]
        before = findings.total
        proof = _check_port(topology, port, (booked[number], guard_bytes), findings)
        if proof is not None:
            proofs.append(proof)
        if findings.total > before:
            overfull.add(number)
    return tuple(proofs), overfull


def _guard_bytes(profile: Profile) -> int:
    """Return the longest frame that is not reserved: it may begin just before a cycle does."""
    streams = [
        one.frame_bytes for one in profile.streams if one.count and not profile.is_reserved(one)
    ]
    demands = [size for one in profile.demands for size, _ in one.sizes]
    return max([*streams, *demands], default=0)


def _check_port(
    topology: Topology,
    port: Port,
    load: tuple[Mapping[tuple[int, int, int, int], int], int],
    findings: _Findings,
) -> PortProof | None:
    booked, guard_bytes = load
    cycle_ps = topology.tcqf.cycle_ps
    count = _repeats_after(period for period, *_ in booked)
    if count is None:
        findings.add(
            "capacity",
            port.name,
            f"its reservations repeat only after more than {HYPERCYCLE_HIGHEST} cycles; "
            "choose intervals that divide each other",
            port.name,
        )
        return None
    bytes_in, line_ps_in = _fill(port, booked, count)
    guard_ps = serialisation_ps(guard_bytes, port.rate_bps) if guard_bytes else 0
    room_ps = cycle_ps - _wander_ps(topology, port) - guard_ps
    share_bytes = port.reservable_bps * cycle_ps // _PS_BITS_PER_BYTE
    _note_overfull(
        port,
        line_ps_in,
        room_ps,
        f"ps of line time are reserved, {max(room_ps, 0)} ps are left by guard and wander",
        findings,
    )
    _note_overfull(
        port,
        bytes_in,
        share_bytes,
        f"bytes on the wire are reserved, {share_bytes} are reservable",
        findings,
    )
    fullest = max(range(count), key=bytes_in.__getitem__)
    return PortProof(
        port=port.name,
        cycle=fullest,
        reserved_bytes=bytes_in[fullest],
        capacity_bytes=max(0, min(share_bytes, room_ps * port.rate_bps // _PS_BITS_PER_BYTE)),
    )


def _note_overfull(
    port: Port, used_in: Sequence[int], room: int, words: str, findings: _Findings
) -> None:
    overfull = [cycle for cycle, used in enumerate(used_in) if used > room]
    for cycle in overfull[:FINDINGS_PER_PLACE]:
        findings.add("capacity", port.name, f"cycle {cycle}: {used_in[cycle]} {words}", port.name)
    findings.count("capacity", port.name, len(overfull[FINDINGS_PER_PLACE:]))


def _repeats_after(periods: Iterable[int]) -> int | None:
    """Return the least common multiple, or None when it is too many cycles to go through."""
    count = 1
    for period in periods:
        count = lcm(count, period)
        if count > HYPERCYCLE_HIGHEST:
            return None
    return count


def _fill(
    port: Port, booked: Mapping[tuple[int, int, int, int], int], count: int
) -> tuple[list[int], list[int]]:
    """Return wire bytes and line time reserved in each cycle; each frame's time is rounded up."""
    alike: Counter[tuple[int, int]] = Counter()
    line_ps: Counter[tuple[int, int]] = Counter()
    for (period, phase, frame_bytes, packets), streams in booked.items():
        alike[period, phase] += wire_bytes(frame_bytes) * packets * streams
        line_ps[period, phase] += serialisation_ps(frame_bytes, port.rate_bps) * packets * streams
    bytes_in, line_ps_in = [0] * count, [0] * count
    for (period, phase), size in alike.items():
        duration_ps = line_ps[period, phase]
        for cycle in range(phase, count, period):
            bytes_in[cycle] += size
            line_ps_in[cycle] += duration_ps
    return bytes_in, line_ps_in


def _wander_ps(topology: Topology, port: Port) -> int:
    """Return how much shorter one cycle can be: one step for each full millisecond within it."""
    clock = topology.node_by_name[port.source].clock
    return clock.wander_ps * ceil_div(topology.tcqf.cycle_ps, PS_PER_MS)


# Rule 5: rates


def _check_demands(
    topology: Topology, pairs: Iterable[tuple[Demand, DemandPlan]], findings: _Findings
) -> Mapping[int, int]:
    """Check the routes and sums of all demands; return what is placed on each port."""
    placed_bps: Counter[int] = Counter()
    for demand, entry in pairs:
        _check_demand_sums(demand, entry, findings)
        for part in entry.parts:
            ports = [topology.port_by_name.get(name) for name in part.ports]
            fault = _route_fault(part.ports, ports, (demand.source, demand.target))
            if fault:
                findings.add("route", demand.name, fault)
            for port in {port for port in ports if port is not None}:
                placed_bps[port.number] += max(part.rate_bps, 0)
    return placed_bps


def _check_demand_sums(demand: Demand, entry: DemandPlan, findings: _Findings) -> None:
    if entry.rate_bps != demand.rate_bps:
        findings.add(
            "inputs",
            demand.name,
            f"planned as a demand of {entry.rate_bps} b/s; the profile asks {demand.rate_bps} b/s",
        )
    rates_bps = [part.rate_bps for part in entry.parts]
    if any(rate_bps <= 0 for rate_bps in rates_bps):
        findings.add("rate", demand.name, f"a part of {min(rates_bps)} b/s; a part carries more")
    if sum(rates_bps) != entry.placed_bps:
        findings.add(
            "rate",
            demand.name,
            f"its parts carry {sum(rates_bps)} b/s, the plan says {entry.placed_bps} b/s",
        )
    if entry.placed_bps > demand.rate_bps:
        findings.add(
            "rate",
            demand.name,
            f"{entry.placed_bps} b/s placed, more than the {demand.rate_bps} b/s offered",
        )


def _mean_bps(stream: Stream) -> Fraction:
    bits = stream.max_packets * wire_bytes(stream.frame_bytes) * 8
    return Fraction(bits * PS_PER_S, stream.interval_ps)


def _check_rates(
    topology: Topology,
    reservations: Iterable[_Reservation],
    placed_bps: Mapping[int, int],
    findings: _Findings,
) -> None:
    wire_bytes_by_interval: dict[int, Counter[int]] = defaultdict(Counter)
    for one in reservations:
        size = one.stream.max_packets * wire_bytes(one.stream.frame_bytes)
        for hop in one.hops:
            wire_bytes_by_interval[hop.port.number][one.stream.interval_ps] += size
    for number in sorted({*wire_bytes_by_interval, *placed_bps}):
        port = topology.ports[number]
        reserved_bps = sum(
            (
                Fraction(size * _PS_BITS_PER_BYTE, interval_ps)
                for interval_ps, size in wire_bytes_by_interval[number].items()
            ),
            Fraction(0),
        )
        demands_bps = placed_bps.get(number, 0)
        over_bps = demands_bps + reserved_bps - port.reservable_bps
        if over_bps > 0:
            findings.add(
                "rate",
                port.name,
                f"{_rate(demands_bps)} of demands and {_rate(reserved_bps)} reserved: "
                f"{_rate(over_bps)} more than the reservable {_rate(port.reservable_bps)}",
                port.name,
            )


def _check_egress(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    placed: tuple[Sequence[tuple[Stream, StreamPlan]], Sequence[tuple[Demand, DemandPlan]]],
    findings: _Findings,
) -> None:
    """See that the plan claims no more egress than its own streams and demands come to."""
    required = {one.site: one.rate_bps for one in profile.egress}
    _check_names("egress", required, [entry.site for entry in plan.egress], findings)
    site = {node.name: node.site for node in topology.nodes}
    out_bps: Counter[str | None] = Counter()
    for stream, route in placed[0]:
        if site.get(stream.talker) != site.get(stream.listener) and route.status != "refused":
            copies = min(len(route.paths), stream.paths)
            out_bps[site.get(stream.talker)] += _round_up(_mean_bps(stream)) * copies
    for demand, part in placed[1]:
        if site.get(demand.source) != site.get(demand.target):
            out_bps[site.get(demand.source)] += max(part.placed_bps, 0)
    for entry in plan.egress:
        if entry.site in required:
            _check_claim(entry, required[entry.site], out_bps[entry.site], findings)


def _check_reserved(plan: Plan, reservations: Sequence[_Reservation], findings: _Findings) -> None:
    """See that the plan claims no more reserved than its own streams come to."""
    claim = plan.reserved
    if claim is None:
        return
    sums_bps = sum(_round_up(_mean_bps(one.stream)) * len(one.paths) for one in reservations)
    for claimed, found, bound, unit in (
        (claim.placed_bps, sums_bps, claim.bound_bps, "b/s"),
        (claim.streams_placed, len(reservations), claim.streams_bound, "streams"),
    ):
        if claimed > found:
            words = f"claims {_number(claimed)} {unit} reserved; its streams come to {found} {unit}"
            findings.add("rate", "reserved", words)
        if claimed > bound:
            words = f"claims {_number(claimed)} {unit}, above its own bound of {_number(bound)}"
            findings.add("rate", "reserved", words)


def _check_claim(entry: EgressPlan, required_bps: int, out_bps: int, findings: _Findings) -> None:
    if entry.required_bps != required_bps:
        findings.add(
            "inputs",
            entry.site,
            f"planned for an egress of {_number(entry.required_bps)} b/s; the profile asks "
            f"{required_bps} b/s",
        )
    if entry.placed_bps > out_bps:
        findings.add(
            "rate",
            entry.site,
            f"claims {_number(entry.placed_bps)} b/s of egress; its streams and demands come to "
            f"{out_bps} b/s",
        )
    if entry.placed_bps > entry.bound_bps:
        findings.add(
            "rate",
            entry.site,
            f"claims {_number(entry.placed_bps)} b/s of egress, above its own bound of "
            f"{_number(entry.bound_bps)} b/s",
        )


# Rule 6: two paths share nothing that can fail


def _check_disjoint(topology: Topology, one: _Reservation, findings: _Findings) -> None:
    if len(one.paths) < 2:
        if one.stream.paths == 2:
            findings.add("disjoint", one.stream.name, ONE_PATH_LEFT)
        return
    first, second = ([hop.port for hop in path] for path in one.paths)
    links = _links(topology, first) & _links(topology, second)
    cables = _cables(topology, first) & _cables(topology, second)
    nodes = {port.target for port in first[:-1]} & {port.target for port in second[:-1]}
    # A shared link is in a shared cable too: one finding says it.
    for kind, shared in (("link", links), ("cable", cables if not links else ()), ("node", nodes)):
        if shared:
            findings.add("disjoint", one.stream.name, f"its two paths share {kind} {min(shared)}")


def _links(topology: Topology, ports: Sequence[Port]) -> set[str]:
    return {topology.link_name(topology.links[port.link]) for port in ports}


def _cables(topology: Topology, ports: Sequence[Port]) -> set[str]:
    return {topology.cable(topology.links[port.link]) for port in ports}


# Bounds


def _bound(topology: Topology, one: _Reservation) -> tuple[int, int]:
    """Return the least and the largest latency; a damper leaves the error of its clock."""
    if one.hold_ps is None:
        return _arrivals(topology, one)
    error_ps = topology.node_by_name[one.stream.listener].clock.error_ps
    return one.hold_ps - error_ps, one.hold_ps + error_ps


def _arrivals(topology: Topology, one: _Reservation) -> tuple[int, int]:
    """Return the least and the largest time from sending to arrival, over all paths.

    A perfect clock, T = 10 us, cycle 7 of the last port, a line time of 1.2 us, 100 us of fibre and
    a frame sent at 0: from 171.2 us to 180 us.
    """
    low, high = [], []
    for path in one.paths:
        last = path[-1]
        passed_ps = last.port.propagation_ps - one.send_ps
        shortest_ps = serialisation_ps(one.stream.frame_bytes, last.port.rate_bps)
        begin_ps = _begin_ps(topology, last, last.cycle)
        low.append(begin_ps - last.clock.error_ps + shortest_ps + passed_ps)
        high.append(begin_ps + topology.tcqf.cycle_ps + last.clock.error_ps + passed_ps)
    return min(low), max(high)


def _check_promises(topology: Topology, one: _Reservation, findings: _Findings) -> None:
    low, high = _bound(topology, one)
    stream = one.stream
    if stream.max_latency_ps is not None and high > stream.max_latency_ps:
        findings.add(
            "latency",
            stream.name,
            f"can take {_time(high)}, {_time(high - stream.max_latency_ps)} more than its "
            f"max-latency of {_time(stream.max_latency_ps)}",
        )
    most = stream.max_latency_variation_ps
    if most is not None and high - low > most:
        findings.add(
            "variation",
            stream.name,
            f"can vary by {_time(high - low)}, {_time(high - low - most)} more than its "
            f"max-latency-variation of {_time(most)}",
        )


def _touched_streams(
    topology: Topology,
    pairs: Sequence[tuple[Stream, StreamPlan]],
    broken: Iterable[str],
    overfull: Iterable[int],
) -> set[str]:
    """Return every stream that a fault can reach from port to port.

    A frame that misses its cycle takes room that others have reserved, and can make them miss
    theirs; so a fault spreads along all streams that share a port with a touched one.
    """
    ports_of: dict[str, set[str]] = defaultdict(set)
    streams_at: dict[str, set[str]] = defaultdict(set)
    for stream, entry in pairs:
        for name in {name for path in entry.paths for name in path.ports}:
            ports_of[stream.name].add(name)
            streams_at[name].add(stream.name)
    touched = set(broken)
    for number in overfull:
        touched |= streams_at[topology.ports[number].name]
    waiting = list(touched)
    while waiting:
        for name in ports_of.pop(waiting.pop(), ()):
            reached = streams_at.pop(name, set()) - touched
            touched |= reached
            waiting.extend(reached)
    return touched


# Words and numbers


def _is_sane(numbers: Iterable[int]) -> bool:
    return all(abs(number) <= NUMBER_HIGHEST for number in numbers)


def _number(number: int) -> str:
    """Write a number of the plan; Python refuses to write those of thousands of digits."""
    return str(number) if abs(number) <= NUMBER_HIGHEST else f"over {NUMBER_HIGHEST}"


def _quoted(text: str) -> str:
    """Write a name of the plan that the files do not have, short and without control characters."""
    return describe(text if text.isprintable() else ascii(text))


def _time(time_ps: int) -> str:
    return format_quantity(TIME, time_ps) if time_ps >= 0 else f"-{_time(-time_ps)}"


def _rate(rate_bps: int | Fraction) -> str:
    return format_quantity(RATE, _round_up(Fraction(rate_bps)))


def _round_up(exact: Fraction) -> int:
    """Round up."""
    return ceil_div(exact.numerator, exact.denominator)
