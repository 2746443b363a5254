"""Make the plan: reserve first, then route, then place demands, then add up the egress."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from qnet import __version__
from qnet.errors import Infeasible
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
from qnet.schedule.capacity import mean_rate_bps
from qnet.schedule.cqf import CQF_BUFFERS, reserve_cqf
from qnet.schedule.demands import place_demands
from qnet.schedule.flows import Pair, most_placed_bps
from qnet.schedule.qbv.network import Gated, schedule_gated
from qnet.schedule.repair.search import Search
from qnet.schedule.reserve import reserve
from qnet.schedule.routed import route_streams
from qnet.schedule.routes import Graph, Routes
from qnet.schedule.windows import given_gates

Progress = Callable[[str, int, int], None]


def schedule(
    topology: Topology,
    profile: Profile,
    *,
    topology_sha256: str,
    traffic_sha256: str,
    progress: Progress | None = None,
    search: Search | None = None,
    keep: Plan | None = None,
    down: Mapping[str, Collection[int]] | None = None,
) -> Plan:
    """Plan a profile on a topology: every stream and demand gets its place or a reason.

    `progress` is called with the name of the stage, what is done and how much there is. A `search`
    looks for room for more reserved streams; those of the plan `keep` stay where they are. Nothing
    uses the ports of what is `down`. Raises Infeasible when the reserved intervals have no common
    multiple that can be counted out.
    """
    tell = progress or (lambda stage, done, total: None)
    routes = Routes(topology, {port for ports in (down or {}).values() for port in ports})
    gated = (
        given_gates(topology, profile)
        if profile.gates
        else schedule_gated(topology, profile, routes, tell)
    )
    asked = _Asked(topology, profile, search, keep, down)
    made = _reserve_cycles(asked, routes, gated, tell)
    reserved = {**gated.plans, **made.plans}
    free_bps = [
        gated.free_bps.get(port.number, port.reservable_bps - mean_bps)
        for port, mean_bps in zip(topology.ports, made.mean_bps, strict=True)
    ]
    routed = route_streams(topology, profile, routes, free_bps)
    plans = {**reserved, **routed.plans}
    tell("demands", 0, len(profile.demands))
    demands = place_demands(topology, profile, routes.graph, free_bps)
    tell("demands", len(profile.demands), len(profile.demands))
    placed_bps = _placed_bps(profile, reserved, routed.fitting, demands)
    egress = []
    for done, site in enumerate(profile.egress):
        tell("egress", done, len(profile.egress))
        egress.append(_egress(topology, profile, routes.graph, site, placed_bps))
    tell("egress", len(profile.egress), len(profile.egress))
    return Plan(
        qnet_version=__version__,
        topology_sha256=topology_sha256,
        traffic_sha256=traffic_sha256,
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


class _Asked(NamedTuple):
    """What cycles are to be reserved for, and under which conditions."""

    topology: Topology
    profile: Profile
    search: Search | None
    keep: Plan | None
    down: Mapping[str, Collection[int]] | None


class _Cycles(NamedTuple):
    """What became of the streams that reserve cycles; `mean_bps` is by port number."""

    plans: Mapping[str, StreamPlan]
    buffers: int
    hypercycle: int
    mean_bps: list[int]
    reserved: ReservedPlan | None = None
    changes: ChangesPlan | None = None


def _reserve_cycles(asked: _Asked, routes: Routes, gated: Gated, tell: Progress) -> _Cycles:
    """Reserve cycles on the ports that have no gates: a frame that waits for one misses its own."""
    topology, profile, search, keep, down = asked
    closed = frozenset(gated.free_bps)
    if any(one.mechanism == "cqf" for one in profile.classes):
        if search or keep:
            raise Infeasible("CQF is a baseline: it is not searched for, and no plan of it is kept")
        broken = {port for ports in (down or {}).values() for port in ports}
        cqf = reserve_cqf(topology, profile, Routes(topology, closed | broken), tell)
        plans = cqf.plans
        cycles = _Cycles(plans, CQF_BUFFERS, cqf.length, cqf.mean_bps)
    else:
        made = reserve(topology, profile, tell, search=search, keep=keep, down=down, gated=closed)
        plans = made.plans
        cycles = _Cycles(
            plans,
            topology.tcqf.buffers,
            made.hypercycle,
            made.mean_bps,
            made.reserved if plans else None,
            made.changes,
        )
    if closed:
        streams = {stream.name: stream for stream in profile.every_stream}
        plans = {name: _behind_gates(routes, streams[name], plan) for name, plan in plans.items()}
    return cycles._replace(plans=plans)


def _behind_gates(routes: Routes, stream: Stream, plan: StreamPlan) -> StreamPlan:
    """Say of a refused stream when it is gates that leave it without a route."""
    if plan.status != "refused" or not (plan.reason or "").startswith("no "):
        return plan
    if stream.paths == 2:
        found = routes.pair(stream.talker, stream.listener, 0) is not None
    else:
        found = routes.candidate(stream.talker, stream.listener, 0) is not None
    what = "its routes use ports with gates, and cycles need ports without"
    return plan.model_copy(update={"reason": what}) if found else plan


def _placed_bps(
    profile: Profile,
    reserved: Mapping[str, StreamPlan],
    fitting: frozenset[str],
    demands: list[DemandPlan],
) -> Mapping[str, int]:
    """Return by name what of every stream and demand has a place; names of both kinds differ."""
    placed = {
        f"stream {stream.name}": mean_rate_bps(stream)
        * (len(reserved[stream.name].paths) if stream.name in reserved else stream.paths)
        for stream in profile.every_stream
        if stream.name in fitting
        or (stream.name in reserved and reserved[stream.name].status == "admitted")
    }
    return {**placed, **{f"demand {demand.name}": demand.placed_bps for demand in demands}}


def _egress(
    topology: Topology,
    profile: Profile,
    graph: Graph,
    egress: Egress,
    placed_bps: Mapping[str, int],
) -> EgressPlan:
    """Add up what leaves a site, both copies of streams with two paths, and bound what could."""
    inside = {node.name for node in topology.nodes if node.site == egress.site}
    wants: dict[Pair, int] = {}
    placed = 0
    things = [
        (f"stream {one.name}", one.talker, one.listener, mean_rate_bps(one) * one.paths)
        for one in profile.every_stream
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
