"""Make the plan: reserve first, then route, then place demands, then add up the egress."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from qnet import __version__
from qnet.errors import Infeasible
from qnet.graph.flows import Pair, most_placed_bps
from qnet.graph.routes import Graph, Routes
from qnet.model.plan import (
    ChangesPlan,
    DemandPlan,
    EgressPlan,
    Plan,
    ReservedPlan,
    StreamPlan,
)
from qnet.model.topology import Topology
from qnet.model.traffic import Egress, Profile, Stream
from qnet.progress import Heeded, Progress
from qnet.schedule.availability import with_paths
from qnet.schedule.capacity import cycle_capacity, mean_rate_bps
from qnet.schedule.cqf import CQF_BUFFERS, cqf_capacity, reserve_cqf
from qnet.schedule.demands import place_demands
from qnet.schedule.guards import (
    Guards,
    LongestFrame,
    OpenWays,
    frame_of,
    guards_anywhere,
    guards_of,
)
from qnet.schedule.qbv.network import Gated, schedule_gated
from qnet.schedule.reaction.reactor import with_reactions
from qnet.schedule.repair.search import Search
from qnet.schedule.reserve import Keeping, reserve
from qnet.schedule.routed import route_streams
from qnet.schedule.windows import ClassRooms, given_gates

Tell = Callable[[str, int, int], None]
"""Is told a part of planning, how much of it is done, and of how much."""

GUARD_ROUNDS = 8
"""How often a plan is made again with the guards that it turned out to need."""


def schedule(
    topology: Topology,
    profile: Profile,
    *,
    topology_sha256: str,
    traffic_sha256: str,
    progress: Progress | None = None,
    search: Search | None = None,
    keep: Plan | Keeping | None = None,
    down: Mapping[str, Collection[int]] | None = None,
) -> Plan:
    """Plan a profile on a topology: every stream and demand gets its place or a reason.

    A `search` looks for room for more reserved streams; those of the plan `keep` stay where they
    are; where many failures of one are planned for, a `Keeping` of it is quicker. Nothing
    uses the ports of what is `down`. A stream whose promised availability one path does not keep is
    planned over two. Raises Infeasible when the reserved intervals have no common multiple that can
    be counted out, and Cancelled.
    """
    profile = with_paths(topology, profile)
    kept = Keeping(keep) if isinstance(keep, Plan) else keep
    asked = _Asked(topology, profile, search, kept, down, _by_part(Heeded(progress)))
    hashes = (topology_sha256, traffic_sha256)
    made, guards = _plan(asked, guards_anywhere(topology, profile), hashes)
    for _ in range(GUARD_ROUNDS):
        sent = _needed(asked, made)
        if not _costs_a_place(asked, made, guards, sent):
            break
        again, narrowed = _plan(asked, sent, hashes)
        if _admitted(again) < _admitted(made):
            break
        made, guards = again, narrowed
    return with_reactions(topology, profile, made)


def _by_part(heeded: Heeded) -> Tell:
    """Return what has a stage begin with each part of planning."""
    last = ""

    def tell(part: str, done: int, total: int) -> None:
        nonlocal last
        if part != last:
            heeded.stage(f"plan: {part}")
            last = part
        heeded.step(done, total)

    return tell


class _Asked(NamedTuple):
    """What is to be planned, and under which conditions."""

    topology: Topology
    profile: Profile
    search: Search | None
    keep: Keeping | None
    down: Mapping[str, Collection[int]] | None
    tell: Tell

    @property
    def broken(self) -> frozenset[int]:
        """Ports of what is down."""
        return frozenset(port for ports in (self.down or {}).values() for port in ports)


def _plan(asked: _Asked, guards: Guards, hashes: tuple[str, str]) -> tuple[Plan, Guards]:
    """Make a plan with these guards; what is kept may make them narrower."""
    topology, profile, tell = asked.topology, asked.profile, asked.tell
    routes = Routes(topology, asked.broken)
    gated = (
        given_gates(topology, profile)
        if profile.gates
        else schedule_gated(topology, profile, routes, tell, guards)
    )
    made = _reserve_cycles(asked, routes, gated, guards)
    guards = guards.within(made.guards)
    reserved = {**gated.plans, **made.plans}
    free_bps = [
        gated.free_bps.get(port.number, port.reservable_bps - mean_bps)
        for port, mean_bps in zip(topology.ports, made.mean_bps, strict=True)
    ]
    ways = OpenWays(topology, routes, asked.broken, _bearing(asked, gated, made, guards))
    routed = route_streams(topology, profile, ways, free_bps)
    plans = {**reserved, **routed.plans}
    tell("demands", 0, len(profile.demands))
    rooms = ClassRooms(topology, profile, gated.gates, routed.class_bps) if profile.gates else None
    demands = place_demands(topology, profile, ways, free_bps, rooms)
    tell("demands", len(profile.demands), len(profile.demands))
    placed_bps = _placed_bps(profile, reserved, routed.fitting, demands)
    egress = []
    for done, site in enumerate(profile.egress):
        tell("egress", done, len(profile.egress))
        egress.append(_egress(topology, profile, routes.graph, site, placed_bps))
    tell("egress", len(profile.egress), len(profile.egress))
    plan = Plan(
        qnet_version=__version__,
        topology_sha256=hashes[0],
        traffic_sha256=hashes[1],
        cycle_ps=topology.tcqf.cycle_ps,
        buffers=made.buffers,
        hypercycle=made.hypercycle,
        gate_cycle_ps=gated.cycle_ps,
        gates_bound=gated.bound,
        gates=gated.gates,
        reserved=made.reserved,
        changes=made.changes,
        streams=tuple(plans[stream.name] for stream in profile.every_stream),
        demands=tuple(demands),
        egress=tuple(egress),
    )
    return plan, guards


def _bearing(
    asked: _Asked, gated: Gated, made: _Cycles, guards: Guards
) -> Callable[[LongestFrame, int], bool]:
    """Return what says whether a port's guards are long enough for a frame.

    While streams with cycles are refused all guards count, since the reasons do; else what is
    reserved there may leave room for longer frames than the guard was made for.
    """
    topology = asked.topology
    is_cqf = any(one.mechanism == "cqf" for one in asked.profile.classes)
    capacity = cqf_capacity if is_cqf else cycle_capacity
    strict = any(plan.status == "refused" for plan in made.plans.values())
    # Lists that are given were not made for any frame.
    lists = frozenset() if asked.profile.gates else gated.free_bps.keys()

    def bears(frame: LongestFrame, port: int) -> bool:
        if frame.size <= guards.longest(port):
            return port not in lists or frame.size <= guards.of(port, frame)
        if strict or port in lists:
            return False
        most_bytes = made.most_bytes[port]
        return not most_bytes or capacity(topology, topology.ports[port], frame.size) >= most_bytes

    return bears


def _needed(asked: _Asked, plan: Plan) -> Guards:
    """Return guards for what a plan sends, and at gates for what did not find room beside them."""
    topology, profile = asked.topology, asked.profile
    guards = guards_of(topology, profile, plan)
    lists = {topology.port_by_name[made.port].number for made in plan.gates}
    waiting = {one.name for one in plan.demands if one.placed_bps < one.rate_bps}
    if not lists or not waiting:
        return guards
    routes = Routes(topology, asked.broken)
    for demand in profile.demands:
        if demand.name in waiting:
            numbers = routes.ports_of(demand.source, demand.target)
            guards = guards.with_frame(frame_of(profile, demand), numbers & lists)
    return guards


def _admitted(plan: Plan) -> int:
    return sum(one.status == "admitted" for one in plan.streams)


def _costs_a_place(asked: _Asked, plan: Plan, guards: Guards, sent: Guards) -> bool:
    """Say whether guards for frames that do not come may have cost a stream or demand its place."""
    topology, profile = asked.topology, asked.profile
    wide = {
        port.number for port in topology.ports if guards.at(port.number) != sent.at(port.number)
    }
    streams = {stream.name: stream for stream in profile.every_stream}
    refused = [streams[one.name] for one in plan.streams if one.status == "refused"]
    fixed = any(one.guard == "fixed" for one in profile.classes if one.gated)
    if wide and fixed and any(profile.is_gated(one) for one in refused):
        return True
    lists = {topology.port_by_name[made.port].number for made in plan.gates}
    if profile.gates:
        wide -= lists
    if wide & lists and any(one.placed_bps < one.rate_bps for one in plan.demands):
        return True
    is_cqf = any(one.mechanism == "cqf" for one in profile.classes)
    capacity = cqf_capacity if is_cqf else cycle_capacity
    tight = {
        number
        for number in wide - lists
        if capacity(topology, topology.ports[number], guards.longest(number))
        < capacity(topology, topology.ports[number], sent.longest(number))
    }
    if not tight:
        return False
    routes = Routes(topology, asked.broken)
    pairs = {(one.talker, one.listener) for one in refused if profile.takes_cycles(one)}
    return any(tight & routes.ports_of(*pair) for pair in pairs)


class _Cycles(NamedTuple):
    """What became of the streams that reserve cycles.

    By port number: the mean rate, the bytes in the fullest cycle, and the longest frames of others
    that were guarded for.
    """

    plans: Mapping[str, StreamPlan]
    buffers: int
    hypercycle: int
    mean_bps: list[int]
    most_bytes: list[int]
    guards: Sequence[int]
    reserved: ReservedPlan | None = None
    changes: ChangesPlan | None = None


def _reserve_cycles(asked: _Asked, routes: Routes, gated: Gated, guards: Guards) -> _Cycles:
    """Reserve cycles on the ports that have no gates: a frame that waits for one misses its own."""
    topology, profile, search, keep, down, tell = asked
    longest = guards.every_longest
    closed = frozenset(gated.free_bps)
    if any(one.mechanism == "cqf" for one in profile.classes):
        if search or keep:
            raise Infeasible("CQF is a baseline: it is not searched for, and no plan of it is kept")
        cqf = reserve_cqf(topology, profile, Routes(topology, closed | asked.broken), tell, longest)
        plans = cqf.plans
        cycles = _Cycles(plans, CQF_BUFFERS, cqf.length, cqf.mean_bps, cqf.most_bytes, longest)
    else:
        made = reserve(
            topology,
            profile,
            tell,
            search=search,
            keep=keep,
            down=down,
            gated=closed,
            guards=longest,
        )
        plans = made.plans
        cycles = _Cycles(
            plans,
            topology.tcqf.buffers,
            made.hypercycle,
            made.mean_bps,
            made.most_bytes,
            made.guards,
            made.reserved if plans else None,
            made.changes,
        )
    if closed:
        trees = {leg.name: stream for stream in profile.every_tree for leg in stream.legs}
        plans = {name: _behind_gates(routes, trees[name], plan) for name, plan in plans.items()}
    return cycles._replace(plans=plans)


def _behind_gates(routes: Routes, stream: Stream, plan: StreamPlan) -> StreamPlan:
    """Say of a refused stream when it is gates that leave it without a route."""
    if plan.status != "refused" or not (plan.reason or "").startswith("no "):
        return plan
    found = routes.branches(stream.talker, stream.listeners, stream.paths, 0)
    what = "its routes use ports with gates, and cycles need ports without"
    return plan if found is None else plan.replace(reason=what)


def _placed_bps(
    profile: Profile,
    reserved: Mapping[str, StreamPlan],
    fitting: frozenset[str],
    demands: list[DemandPlan],
) -> Mapping[str, int]:
    """Return by name what of every stream and demand has a place; names of both kinds differ."""
    placed = {}
    for stream in profile.every_tree:
        # The legs of a tree are placed together, or none of them is.
        made = reserved.get(stream.legs[0].name)
        if stream.name in fitting or (made is not None and made.status == "admitted"):
            copies = stream.paths if made is None else len(made.paths)
            placed[f"stream {stream.name}"] = mean_rate_bps(stream) * copies
    return {**placed, **{f"demand {demand.name}": demand.placed_bps for demand in demands}}


def _egress(
    topology: Topology,
    profile: Profile,
    graph: Graph,
    egress: Egress,
    placed_bps: Mapping[str, int],
) -> EgressPlan:
    """Add up what leaves a site, both copies of streams with two paths, and bound what could.

    A stream with several listeners counts once, as one to the first that is outside.
    """
    inside = {node.name for node in topology.nodes if node.site == egress.site}
    wants: dict[Pair, int] = {}
    placed = 0
    things = [
        (f"stream {one.name}", one.talker, _outside(one, inside), mean_rate_bps(one) * one.paths)
        for one in profile.every_tree
    ]
    things += [
        (f"demand {one.name}", one.source, one.target, one.rate_bps) for one in profile.demands
    ]
    for name, source, target, rate_bps in things:
        if source in inside and target not in inside:
            wants[source, target] = wants.get((source, target), 0) + rate_bps
            placed += placed_bps.get(name, 0)
    capacity_bps = [sum(port.reservable_bps for port in edge.ports) for edge in graph.edges]
    bound_bps = most_placed_bps(graph, capacity_bps, wants)
    # The solver's bound is right to a few kb/s; a plan that exists proves its own figure.
    return EgressPlan(
        site=egress.site,
        required_bps=egress.rate_bps,
        offered_bps=sum(wants.values()),
        placed_bps=placed,
        bound_bps=max(bound_bps, placed),
    )


def _outside(stream: Stream, inside: Collection[str]) -> str:
    """Return the first listener that is not inside, if one is not."""
    outside = (listener for listener in stream.listeners if listener not in inside)
    return next(outside, stream.listeners[0])
