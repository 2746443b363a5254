"""Route streams that reserve nothing: the shortest way, and the least loaded wire at each hop."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from qnet.model.plan import PathPlan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream
from qnet.schedule.capacity import mean_rate_bps
from qnet.schedule.guards import OpenWays, frame_of
from qnet.schedule.routes import Edge, Routes


class Routed(NamedTuple):
    """Plans by stream name, and the streams that fit into what was reservable."""

    plans: dict[str, StreamPlan]
    fitting: frozenset[str]


def route_streams(
    topology: Topology, profile: Profile, ways: OpenWays, free_bps: list[int]
) -> Routed:
    """Route every stream without a reservation, and take its rate out of `free_bps` of each port.

    They promise nothing, so none is refused for want of room; but only those that fit count as
    placed. The largest go first, so that they spread well over parallel wires.
    """
    load_bps = [port.reservable_bps - free_bps[port.number] for port in topology.ports]
    plans: dict[str, StreamPlan] = {}
    fitting = set()
    streams = [stream for stream in profile.every_stream if not profile.is_reserved(stream)]
    for stream in sorted(streams, key=lambda one: (one.rank, -mean_rate_bps(one), one.name)):
        frame = frame_of(profile, stream)
        routes = ways.routes(frame)
        chains = _chains(routes, stream)
        if chains is None:
            reason = (
                routes.why_no_pair(stream.talker, stream.listener)
                if stream.paths == 2
                else f"no route from {stream.talker} to {stream.listener}"
            ) + ways.why_barred(frame, stream.talker, stream.listener)
            plans[stream.name] = StreamPlan(name=stream.name, status="refused", reason=reason)
            continue
        rate_bps = mean_rate_bps(stream)
        paths = [[_emptiest(edge, load_bps, rate_bps) for edge in chain] for chain in chains]
        taken = [number for path in paths for number in path]
        if all(free_bps[number] >= rate_bps for number in taken):
            fitting.add(stream.name)
        for number in taken:
            load_bps[number] += rate_bps
            free_bps[number] = max(free_bps[number] - rate_bps, 0)
        plans[stream.name] = StreamPlan(
            name=stream.name,
            status="routed",
            paths=tuple(
                PathPlan(ports=tuple(topology.ports[number].name for number in path))
                for path in paths
            ),
        )
    return Routed(plans, frozenset(fitting))


def _chains(routes: Routes, stream: Stream) -> list[tuple[Edge, ...]] | None:
    if stream.paths == 2:
        pair = routes.pair(stream.talker, stream.listener, 0)
        return None if pair is None else [route.edges for route in pair]
    route = routes.candidate(stream.talker, stream.listener, 0)
    return None if route is None else [route.edges]


def _emptiest(edge: Edge, load_bps: Sequence[int], rate_bps: int) -> int:
    """Return the wire that is least loaded with the stream on it, the first of equals."""
    return min(
        edge.ports,
        key=lambda port: (Fraction(load_bps[port.number] + rate_bps, port.rate_bps), port.number),
    ).number
