"""What arithmetic excludes before anything is watched: too much for a port, too little time.

Of a plan, or of every plan that there could be: what all routes of a stream must take is known from
the network alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from qnet.check.findings import round_up
from qnet.check.judged import (
    Judged,
    must_lose,
    shown_bps,
    why_demand_lost,
    why_egress_lost,
    why_impossible,
    why_lost,
)
from qnet.check.least import burst_ps, quickest_ps, taken_at_once, too_late
from qnet.check.load import mean_bps
from qnet.check.overload import certain_overloads, overloads, words
from qnet.check.promises import Seen
from qnet.check.routes import most_paths
from qnet.model.plan import Plan
from qnet.model.proof import Overload, Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream
from qnet.units import PPB, show_rate


def excluded_by_plan(topology: Topology, profile: Profile, plan: Plan) -> list[str]:
    """Say which promises a plan cannot keep, and where it brings too much to a port."""
    streams = {one.name: one for one in profile.every_stream}
    demands = {one.name: one for one in profile.demands}
    found = overloads(
        topology,
        profile,
        plan,
        [(streams[one.name], one) for one in plan.streams if one.name in streams],
        [(demands[one.name], one) for one in plan.demands if one.name in demands],
    )
    # Each overload is said once, and not again for each stream that it reaches.
    proof = Proof(streams=(), ports=(), findings=())
    judged = Judged.of(topology, profile, plan, proof, Seen([]))
    said = [_said(one) for one in found]
    for entry in plan.streams:
        stream = streams.get(entry.name)
        if stream is not None and entry.status != "refused":
            said += [f"{stream.name}: {what}: {why}" for what, why in _broken(judged, stream)]
    for demand in profile.demands:
        why = why_demand_lost(judged, demand)
        said += [] if why is None else [f"{demand.name}: max-loss: {why}"]
    placed_bps = {one.site: shown_bps(one.placed_bps) for one in plan.egress}
    for required in profile.egress:
        placed = placed_bps.get(required.site, 0)
        why = why_egress_lost(judged, required, placed)
        if placed < required.rate_bps:
            why = f"{show_rate(required.rate_bps - placed)} short of the requirement"
        said += [] if why is None else [f"{required.site}: egress: {why}"]
    return said


def excluded_always(topology: Topology, profile: Profile) -> list[str]:
    """Say what no plan can keep: what every route lacks, and what no route is quick enough for."""
    said = [_said(one) for one in certain_overloads(topology, profile)]
    quickest: dict[tuple[str, str, int | None, bool], int | None] = {}

    def least_ps(leg: Stream, frame_bytes: int | None, *, stored: bool) -> int | None:
        key = leg.talker, leg.listener, frame_bytes, stored
        if key not in quickest:
            quickest[key] = quickest_ps(topology, key[:2], frame_bytes, stored=stored)
        return quickest[key]

    for stream in profile.streams:
        if not stream.count:
            continue
        one = profile.class_by_name[stream.traffic_class]
        stored = one.reserves or one.preemptable
        for leg in stream.legs:
            propagation_ps = least_ps(leg, None, stored=stored)
            if propagation_ps is None:
                said.append(f"{leg.name}: {_no_route(leg.talker, leg.listener)}")
                continue
            way_ps = least_ps(leg, leg.frame_bytes, stored=stored)
            if leg.max_latency_ps is None or way_ps is None:
                continue
            if not one.reserves:
                leaving = (port for port in topology.ports if port.source == leg.talker)
                taken = taken_at_once(topology, leg, one)
                way_ps += min(burst_ps(leg, port, taken) for port in leaving)
            why = too_late(propagation_ps, way_ps, leg.max_latency_ps)
            said += [] if why is None else [f"{leg.name}: max-latency: {why}"]
        promised = 0 if one.reserves and stream.max_loss_ppb is None else stream.max_loss_ppb
        if promised is not None and promised < PPB:
            why = must_lose(topology, stream, one, [()] * most_paths(stream), promised)
            said += [] if why is None else [f"{stream.name}: max-loss: {why}"]
    ways = {(one.source, one.target) for one in profile.demands}
    cut = {ends for ends in ways if quickest_ps(topology, ends, None) is None}
    for demand in profile.demands:
        if (demand.source, demand.target) in cut:
            said.append(f"{demand.name}: {_no_route(demand.source, demand.target)}")
    return [*said, *_too_little_egress(topology, profile)]


def _no_route(start: str, end: str) -> str:
    return f"no route from {start} to {end}; hosts forward nothing"


def _too_little_egress(topology: Topology, profile: Profile) -> Iterator[str]:
    """Say which sites send less than the egress that is required of them, all copies counted."""
    site = {node.name: node.site for node in topology.nodes}
    offered_bps: dict[str | None, Fraction] = defaultdict(Fraction)
    for stream in profile.streams:
        # However many listen outside, a frame leaves once.
        if any(site[one] != site[stream.talker] for one in stream.listeners):
            offered_bps[site[stream.talker]] += mean_bps(stream) * stream.count * most_paths(stream)
    for demand in profile.demands:
        if site[demand.source] != site[demand.target]:
            offered_bps[site[demand.source]] += demand.rate_bps
    for required in profile.egress:
        offered = round_up(offered_bps[required.site])
        if offered < required.rate_bps:
            yield (
                f"{required.site}: egress: streams and demands come to {show_rate(offered)} of "
                f"{show_rate(required.rate_bps)}"
            )


def _said(one: Overload) -> str:
    return f"{one.stream or one.traffic_class}: {words(one)}"


def _broken(judged: Judged, stream: Stream) -> Iterator[tuple[str, str]]:
    """Yield each promise of a stream that cannot be kept on its way, and why."""
    for what, why in (
        ("max-latency", why_impossible(judged, stream, "latency")),
        ("max-latency-variation", why_impossible(judged, stream, "variation")),
        ("max-loss", why_lost(judged, stream)),
    ):
        if why is not None:
            yield what, why
