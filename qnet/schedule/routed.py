"""Route streams that reserve nothing: the shortest way, and the least loaded wire at each hop.

Where the shortest way is too slow for what is promised, or full, the next is tried. A stream for
which all are stays on the shortest: it is sent whether a plan likes it or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from qnet.graph.routes import Branches, Edge
from qnet.model.plan import PathPlan, StreamPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream, TrafficClass
from qnet.schedule.availability import Availabilities, ways_of
from qnet.schedule.capacity import mean_rate_bps
from qnet.schedule.guards import OpenWays, frame_of
from qnet.units import PPB, last_bit_ps


class Routed(NamedTuple):
    """Plans by name of stream or leg, and the streams that fit into what was reservable."""

    plans: dict[str, StreamPlan]
    fitting: frozenset[str]
    class_bps: Mapping[tuple[str, int], int]
    """What they send by class and port."""


def route_streams(
    topology: Topology, profile: Profile, ways: OpenWays, free_bps: list[int]
) -> Routed:
    """Route every stream without a reservation, and take its rate out of `free_bps` of each port.

    Nobody can refuse them for want of room; but only those that fit count as placed. The largest go
    first, so that they spread well over parallel wires. One with several listeners takes its rate
    once of each port of its tree.
    """
    load_bps = [port.reservable_bps - free_bps[port.number] for port in topology.ports]
    class_bps: Counter[tuple[str, int]] = Counter()
    plans: dict[str, StreamPlan] = {}
    fitting = set()
    streams = [stream for stream in profile.every_tree if not profile.is_reserved(stream)]
    available = Availabilities(topology)
    for stream in sorted(streams, key=lambda one: (one.rank, -mean_rate_bps(one), one.name)):
        frame = frame_of(profile, stream)
        routes = ways.routes(frame)
        rate_bps = mean_rate_bps(stream)
        traffic_class = profile.class_by_name[stream.traffic_class]
        taken: list[int] = []
        paths: tuple[tuple[int, ...], ...] = ()
        for found in ways_of(routes, stream, stream.paths):
            way = [_emptiest(edge, load_bps, rate_bps) for edge in found.edges]
            if not taken:
                taken, paths = way, found.paths
            ports = [topology.ports[number] for number in way]
            is_good = all(
                _is_in_time(topology, stream, [ports[place] for place in path])
                for path in found.paths
            ) and _is_available(available, stream, found)
            is_good = is_good and all(
                load_bps[port.number] + rate_bps <= port.rate_bps
                and class_bps[traffic_class.name, port.number] + rate_bps
                <= most_bps(traffic_class, port)
                for port in ports
            )
            if is_good:
                taken, paths = way, found.paths
                break
        if not taken:
            reason = routes.why_none(stream.talker, stream.listeners, stream.paths)
            reason += ways.why_barred(frame, stream.talker, stream.listeners)
            for leg in stream.legs:
                plans[leg.name] = StreamPlan(name=leg.name, status="refused", reason=reason)
            continue
        if all(free_bps[number] >= rate_bps for number in taken):
            fitting.add(stream.name)
        for number in taken:
            load_bps[number] += rate_bps
            class_bps[traffic_class.name, number] += rate_bps
            free_bps[number] = max(free_bps[number] - rate_bps, 0)
        names = [
            PathPlan(ports=tuple(topology.ports[taken[place]].name for place in path))
            for path in paths
        ]
        for number, leg in enumerate(stream.legs):
            own = names if len(stream.listeners) == 1 else names[number : number + 1]
            plans[leg.name] = StreamPlan(name=leg.name, status="routed", paths=tuple(own))
    return Routed(plans, frozenset(fitting), class_bps)


def _is_available(available: Availabilities, stream: Stream, way: Branches) -> bool:
    """Say whether a way works for as much of the time as is promised."""
    if stream.availability is None:
        return True
    is_tree = len(stream.listeners) > 1
    return available.of(way, clocked=stream.damper, tree=is_tree) >= stream.availability


def _is_in_time(topology: Topology, stream: Stream, path: Sequence[Port]) -> bool:
    """Say whether frames that never wait would keep what is promised; none is cut through here."""
    if stream.max_latency_ps is None:
        return True
    taken_ps = sum(
        port.propagation_ps + last_bit_ps(stream.frame_bytes, port.rate_bps) for port in path
    )
    taken_ps += sum(topology.node_by_name[port.source].processing.low_ps for port in path[1:])
    return taken_ps <= stream.max_latency_ps


def most_bps(traffic_class: TrafficClass, port: Port) -> int:
    """Return what a class may send at a port."""
    slope = traffic_class.idle_slope
    if slope is not None and slope.share_ppb is not None:
        return slope.share_ppb * port.rate_bps // PPB
    if slope is not None and slope.rate_bps is not None:
        return min(slope.rate_bps, port.rate_bps)
    return port.rate_bps


def _emptiest(edge: Edge, load_bps: Sequence[int], rate_bps: int) -> int:
    """Return the wire that is least loaded with the stream on it, the first of equals."""
    return min(
        edge.ports,
        key=lambda port: (Fraction(load_bps[port.number] + rate_bps, port.rate_bps), port.number),
    ).number
