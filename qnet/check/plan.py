"""Prove a plan: check every rule of docs/design.md ("What a plan must keep") and bound each stream.

Nothing in a plan is believed: it may have been written by hand, for another network, or in malice.
The arithmetic is plain integers and the rules are written out one by one, so that this file can be
read aloud beside the design. A rule that is broken becomes a Finding; a bound is given only where
no broken rule can reach the stream.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from math import lcm

from qnet.check.availability import with_availability
from qnet.check.clocks import clock_reaches, clocks_beyond, with_wider_clocks
from qnet.check.conditions import check_recovery, may_lose, unproven
from qnet.check.cycles import (
    CQF_BUFFERS,
    Reservation,
    arrivals,
    bound,
    check_capacity,
    check_mappings,
    check_times,
    reservation,
)
from qnet.check.epochs import with_epochs
from qnet.check.findings import Findings, exact_number, exact_time
from qnet.check.gated import (
    GatedStream,
    apart_ps,
    check_frames,
    check_gate_lists,
    gated_bound,
    gated_stream,
)
from qnet.check.load import (
    Beside,
    check_claims,
    check_demands,
    check_egress,
    check_names,
    check_rates,
    longest_others,
    match_demands,
)
from qnet.check.overload import overloads, words
from qnet.check.queues import queue_bounds
from qnet.check.routes import ONE_PATH_LEFT, check_disjoint, most_paths, route_fault
from qnet.check.survival import survivable_egress
from qnet.check.trees import check_trees, ridden
from qnet.check.windows import check_given
from qnet.model.plan import DemandPlan, EgressPlan, PathPlan, Plan, StreamPlan
from qnet.model.proof import Finding, Overload, Proof, Rule, StreamProof, SurvivableEgress
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Profile, Stream
from qnet.progress import Heeded, Progress

NOTHING_BESIDE = Beside()


class Known:
    """What was found without fault in earlier plans of a network and a profile: no need to repeat.

    The rules of one stream by itself (1 to 3, 6 and 7, its route and its promises) hang on nothing
    but its entry, the network, the profile, and the cycle and hypercycle of the plan. So where a
    later plan has the very same object as entry, what was found of it then is what would be found
    again. All that streams and demands come to together is gone through in every plan.
    """

    def __init__(self, topology: Topology, profile: Profile) -> None:
        self.topology, self.profile = topology, profile
        self._turns = (0, 0)
        self._sound: dict[str, tuple[StreamPlan, Reservation, tuple[int, int]]] = {}

    @cached_property
    def survivable(self) -> tuple[SurvivableEgress, ...]:
        """What sites can still send when something fails, whatever the plan."""
        return survivable_egress(self.topology, self.profile)

    def begin(self, plan: Plan) -> None:
        """Forget all of plans that repeat otherwise than this one."""
        turns = (plan.cycle_ps, plan.hypercycle)
        if self._turns != turns:
            self._turns, self._sound = turns, {}

    def of(self, entry: StreamPlan) -> tuple[Reservation, tuple[int, int]] | None:
        """Return the reservation and the bound of an entry in which there was no fault."""
        known = self._sound.get(entry.name)
        return None if known is None or known[0] is not entry else known[1:]

    def note(self, entry: StreamPlan, one: Reservation, bounds: tuple[int, int]) -> None:
        """Remember an entry in which there is no fault."""
        self._sound[entry.name] = (entry, one, bounds)


def prove(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    progress: Progress | None = None,
    *,
    known: Known | None = None,
) -> Proof:
    """Check the plan against the network and the profile given, and bound every reserved stream.

    The hashes in the plan are not compared: judging an old plan against a changed network, such as
    one with worse clocks, is what a proof is for. Where events change the network every epoch is
    proven by itself, with clocks that may be as wrong as events make them, if its rules bear that.
    `known` has what need not be gone through again since it was in an earlier plan of the same
    network and profile. Raises Cancelled.
    """
    known = known or Known(topology, profile)
    assert known.topology is topology, "what is known is of this network"
    assert known.profile is profile, "what is known is of this profile"
    proof = _prove_whole(topology, profile, plan, progress, known=known)
    proof = proof.replace(survivable=known.survivable)
    proof = with_availability(topology, profile, plan, proof)
    if not profile.events and not plan.moves and not plan.standby:
        return proof
    reaches = clock_reaches(topology, profile)
    beyond, wider = clocks_beyond(reaches), with_wider_clocks(topology, reaches)
    if wider is not None:
        again = _prove_whole(wider, profile, plan, progress)
        if set(again.findings) <= set(proof.findings):
            # All rules bear clocks that are so wrong: that is what is proven.
            proof = proof.replace(streams=again.streams, ports=again.ports)
            topology, beyond = wider, {}
    return with_epochs((topology, profile, plan), beyond, proof, _prove_whole)


def _prove_whole(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    progress: Progress | None = None,
    *,
    beside: Beside = NOTHING_BESIDE,
    known: Known | None = None,
) -> Proof:
    """Prove a plan for a network that stays as it is."""
    heeded = Heeded(progress, "prove")
    findings = Findings()
    known = known or Known(topology, profile)
    known.begin(plan)
    _check_head(topology, profile, plan, findings)
    stream_plans = _match_streams(profile, plan, findings)
    demand_plans = match_demands(profile, plan, findings)
    placed_bps = check_demands(topology, demand_plans, findings)

    placed = (stream_plans, demand_plans)
    reservations, gated, broken_streams = _check_streams(
        topology, profile, plan, stream_plans, (known, findings, heeded), beside.rides
    )
    in_the_way = ([*stream_plans, *beside.streams], [*demand_plans, *beside.demands])
    others = longest_others(topology, profile, *in_the_way)
    before = findings.total
    check_mappings([one for one in reservations if not profile.may_wait(one.stream)], findings)
    mappings_hold = findings.total == before
    ports, overfull = check_capacity(topology, others.of_any, reservations, findings)
    overfull |= check_gate_lists(
        topology, profile, plan, gated, (placed_bps, others.uncut), findings
    )
    check_given(topology, profile, plan, findings)
    overfull |= _check_apart(topology, plan, reservations, findings)
    reserved = [
        *((one.stream, [hop.port for hop in one.hops]) for one in reservations),
        *((other.stream, other.ports) for other in gated),
    ]
    check_rates(topology, reserved, placed_bps, findings)
    check_egress(topology, profile, plan, placed, findings)
    check_claims(plan, [(one.stream, len(one.paths)) for one in reservations], findings)

    untouchable = unproven(topology, profile, stream_plans, findings)
    touched = untouchable | _touched_streams(topology, stream_plans, broken_streams, overfull)
    certain = mappings_hold and plan.cycle_ps == topology.tcqf.cycle_ps
    each = heeded.each(reservations)
    found = _check_promised(topology, stream_plans, each, broken_streams, known, findings)
    found = {
        **(found if certain else {}),
        **{one.stream.name: gated_bound(topology, one) for one in gated},
    }
    bounds = {name: pair for name, pair in found.items() if name not in touched}
    for other in heeded.each(gated):
        _check_promises(other.stream, gated_bound(topology, other), findings)
        ports_of = [[hop.port for hop in path.hops] for path in other.paths]
        check_disjoint(topology, other.stream, ports_of, findings)
        check_recovery(other.stream, apart_ps(topology, other), findings)
    if not findings.total:
        bounds |= queue_bounds(topology, profile, plan, stream_plans, demand_plans)
    crowded = _overloads(topology, profile, plan, placed, findings)
    return Proof(
        streams=tuple(_stream_proof(stream, bounds) for stream in profile.every_stream),
        ports=ports,
        findings=findings.collected(),
        overloads=crowded,
    )


def _overloads(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    placed: tuple[Sequence[tuple[Stream, StreamPlan]], Sequence[tuple[Demand, DemandPlan]]],
    findings: Findings,
) -> tuple[Overload, ...]:
    """Find overloads, each a finding unless another rule has said so of the same port."""
    found = overloads(topology, profile, plan, *placed)
    for one in found:
        by_gates = one.of in ("gates", "window")
        rules: tuple[Rule, ...] = ("rate", "gates") if by_gates else ("rate",)
        if not any(findings.has(rule, one.port) for rule in rules):
            findings.add("overload", one.stream or one.traffic_class, words(one), one.port)
    return tuple(found)


def prove_kept(topology: Topology, profile: Profile, plan: Plan) -> tuple[Finding, ...]:
    """Return what keeps the admitted streams of a plan from staying where they are.

    Only those count that the profile still asks for, with all their listeners, and that reserve
    cycles; one path of two may be missing.
    """
    streams = [one for one in profile.every_stream if profile.takes_cycles(one)]
    admitted = {entry.name: entry for entry in plan.streams if entry.status == "admitted"}
    grown = {one.tree for one in streams if one.name not in admitted}
    names = {one.name for one in streams if one.tree not in grown}
    kept = {name: entry for name, entry in admitted.items() if name in names}
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
        gates=plan.gates if profile.gates else (),
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


def _check_head(topology: Topology, profile: Profile, plan: Plan, findings: Findings) -> None:
    tcqf = topology.tcqf
    is_cqf = any(one.mechanism == "cqf" for one in profile.classes)
    buffers = CQF_BUFFERS if is_cqf else tcqf.buffers
    if plan.cycle_ps != tcqf.cycle_ps:
        findings.add(
            "inputs",
            "plan",
            f"made for cycles of {exact_number(plan.cycle_ps)} ps, the network's last "
            f"{tcqf.cycle_ps} ps; nothing is proven of its reservations",
        )
    if plan.buffers != buffers:
        findings.add(
            "inputs",
            "plan",
            f"made for {exact_number(plan.buffers)} cycle buffers, the network has {buffers}",
        )


def _match_streams(
    profile: Profile, plan: Plan, findings: Findings
) -> list[tuple[Stream, StreamPlan]]:
    """Pair the plan's streams with the profile's; what has no partner is a finding."""
    wanted = {stream.name: stream for stream in profile.every_stream}
    check_names("stream", wanted, [entry.name for entry in plan.streams], findings)
    return [(wanted[entry.name], entry) for entry in plan.streams if entry.name in wanted]


# Routes


def _check_streams(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    pairs: Sequence[tuple[Stream, StreamPlan]],
    told: tuple[Known, Findings, Heeded],
    riding: Mapping[str, int],
) -> tuple[list[Reservation], list[GatedStream], set[str]]:
    """Check each stream and each tree by itself; return what is reserved, and who is at fault."""
    known, findings, heeded = told
    counts = Counter(stream.name for stream, _ in pairs)
    broken = {name for name, count in counts.items() if count > 1}
    reservations: list[Reservation] = []
    gated: list[GatedStream] = []
    rides = {**ridden(pairs), **riding}
    for stream, entry in heeded.each(pairs):
        sound = known.of(entry)
        if sound is not None:
            reservations.append(sound[0]._replace(rides=rides.get(stream.name, 0)))
            continue
        before = findings.total
        made = _check_stream(topology, profile, plan, (stream, entry), findings)
        if isinstance(made, Reservation):
            check_times(topology, made, findings)
            reservations.append(made._replace(rides=rides.get(stream.name, 0)))
        elif made is not None:
            check_frames(topology, profile, plan, made, findings)
            loses = bool(profile.events) or may_lose(topology, stream, entry)
            gated.append(made._replace(rides=rides.get(stream.name, 0), may_be_lost=loses))
        if findings.total > before:
            broken.add(stream.name)
    return reservations, gated, broken | check_trees(topology, pairs, findings)


def _check_stream(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    pair: tuple[Stream, StreamPlan],
    findings: Findings,
) -> Reservation | GatedStream | None:
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
    gated = profile.is_gated(stream)
    routes = _check_routes(topology, stream, entry, findings, gated=gated)
    if gated:
        return gated_stream(topology, plan, pair, routes, findings) if routes else None
    if entry.status == "routed" or routes is None or plan.cycle_ps != topology.tcqf.cycle_ps:
        return None
    return reservation(topology, profile, plan, pair, routes, findings)


def _check_routes(
    topology: Topology, stream: Stream, entry: StreamPlan, findings: Findings, *, gated: bool
) -> list[tuple[Port, ...]] | None:
    """Return the ports of each path, or None when there is a fault in any of them."""
    before = findings.total
    most = most_paths(stream)
    if not 1 <= len(entry.paths) <= most:
        findings.add(
            "route", stream.name, f"asked for {most} paths, the plan has {len(entry.paths)}"
        )
    routes = []
    for path in entry.paths[:most]:
        ports = [topology.port_by_name.get(name) for name in path.ports]
        fault = route_fault(topology, path.ports, ports, (stream.talker, stream.listener))
        fault = fault or _cycles_fault(entry, path, gated=gated)
        if fault:
            findings.add("route", stream.name, fault)
        routes.append(tuple(port for port in ports if port is not None))
    return routes if findings.total == before else None


def _cycles_fault(entry: StreamPlan, path: PathPlan, *, gated: bool) -> str | None:
    if not gated and (path.queues or path.starts_ps):
        return "has queues or start times, which only gated streams have"
    due = len(path.ports) if entry.status == "admitted" and not gated else 0
    if len(path.cycles) == due:
        return None
    return f"{len(path.cycles)} cycles for {len(path.ports)} ports; {due} are due"


def _check_apart(
    topology: Topology, plan: Plan, reservations: Sequence[Reservation], findings: Findings
) -> set[int]:
    """See that no cycles are reserved where gates close: a frame would miss its cycle."""
    gated = {made.port for made in plan.gates}
    shared = {hop.port for one in reservations for hop in one.hops if hop.port.name in gated}
    for port in sorted(shared):
        what = "has cycles of reserved streams and gates; they cannot share a port"
        findings.add("gates", port.name, what, port.name)
    return {port.number for port in shared}


# Promises


def _check_promised(
    topology: Topology,
    pairs: Sequence[tuple[Stream, StreamPlan]],
    reservations: Iterable[Reservation],
    broken: Collection[str],
    known: Known,
    findings: Findings,
) -> dict[str, tuple[int, int]]:
    """Check what was promised to the streams with cycles; return the bounds by their rules alone.

    Those without a fault, who are not among the `broken`, are known from now on.
    """
    entries = {entry.name: entry for _, entry in pairs}
    bounds = {}
    for one in reservations:
        name = one.stream.name
        sound = None if name in broken else known.of(entries[name])
        if sound is not None:
            bounds[name] = sound[1]
            continue
        before = findings.total
        bounds[name] = bound(topology, one)
        _check_promises(one.stream, bounds[name], findings)
        ports_of = [[hop.port for hop in path] for path in one.paths]
        check_disjoint(topology, one.stream, ports_of, findings)
        low, high = arrivals(topology, one)
        check_recovery(one.stream, high - low, findings)
        if findings.total == before and name not in broken:
            known.note(entries[name], one, bounds[name])
    return bounds


def _check_promises(stream: Stream, bounds: tuple[int, int], findings: Findings) -> None:
    low, high = bounds
    if stream.max_latency_ps is not None and high > stream.max_latency_ps:
        findings.add(
            "latency",
            stream.name,
            f"can take {exact_time(high)}, {exact_time(high - stream.max_latency_ps)} more than "
            f"its max-latency of {exact_time(stream.max_latency_ps)}",
        )
    most = stream.max_latency_variation_ps
    if most is not None and high - low > most:
        findings.add(
            "variation",
            stream.name,
            f"can vary by {exact_time(high - low)}, {exact_time(high - low - most)} more than its "
            f"max-latency-variation of {exact_time(most)}",
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
