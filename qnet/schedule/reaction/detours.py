"""Detours around what comes next on a way, from the node before it on: local repair (RFC 4090).

A detour is the way of its stream up to the point of local repair, in the same cycles, and another
one from there on: so the node alone decides, and what comes before it need not know. Of a way
a-b-d with a second one b-c-d the detour at b is a-b-c-d.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from qnet.graph.routes import ROUTE_COUNT, Edge, Route, Routes
from qnet.model.plan import PathPlan, StreamPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Stream
from qnet.schedule.cycles.keep import edge_of
from qnet.schedule.cycles.state import latest_ps
from qnet.schedule.timing import buffers_needed, cycle_shift
from qnet.units import last_bit_ps

WireWithRoom = Callable[[Stream, Edge, int], Port | None]
"""A wire of an edge that has room for a stream in a cycle."""


def find_detour(
    topology: Topology,
    routes: Routes,
    asked: tuple[Stream, StreamPlan, int],
    wire: WireWithRoom,
    *,
    waits: bool,
) -> StreamPlan | str:
    """Return the entry of a stream with a detour around one port of its way, or why there is none.

    It goes around the node behind the port if it can, and else around the cable. Where the shortest
    one has no room a longer one is tried. Frames that can wait do so where that makes room.
    """
    stream, entry, hop = asked
    own = [topology.port_by_name[name] for name in entry.paths[0].ports]
    before = {port.source for port in own[:hop]}
    cable = topology.cable(topology.links[own[hop].link])
    found: StreamPlan | Edge | str = f"there is no way around {own[hop].name}"
    for nodes in ({*before, own[hop].target}, before):
        cables = {cable}
        for _ in range(ROUTE_COUNT):
            route = routes.around(own[hop].source, stream.listener, nodes, cables)
            if route is None:
                break
            found = _timed(topology, asked, route, wire, waits=waits)
            if isinstance(found, StreamPlan):
                return found
            if isinstance(found, str):
                break  # longer ones are no better
            assert found.cable is not None, "these edges keep to one cable"
            cables = {*cables, found.cable}
    if isinstance(found, Edge):
        return f"there is no room for it around {own[hop].name}"
    return found


def _timed(
    topology: Topology,
    asked: tuple[Stream, StreamPlan, int],
    route: Route,
    wire: WireWithRoom,
    *,
    waits: bool,
) -> StreamPlan | Edge | str:
    """Return the entry over a route from a hop on, the edge without room, or what it breaks."""
    stream, entry, hop = asked
    (path,) = entry.paths
    ports = [topology.port_by_name[name] for name in path.ports[:hop]]
    cycles = [*path.cycles[:hop]]
    for edge in route.edges:
        choices = [path.cycles[0]]
        if ports:
            near = edge_of(ports[-1])
            needed = buffers_needed(topology, near, ports[-1], edge, stream.frame_bytes)
            left = topology.tcqf.buffers - needed
            if left < 0:
                return f"between {ports[-1].name} and {edge.target} too few cycle buffers"
            least = cycles[-1] + cycle_shift(topology, near, edge)
            choices = [least + more for more in range(left + 1 if waits else 1)]
        roomy = ((wire(stream, edge, cycle), cycle) for cycle in choices)
        port, cycle = next((one for one in roomy if one[0] is not None), (None, 0))
        if port is None:
            return edge
        ports.append(port)
        cycles.append(cycle)
    made = PathPlan(ports=tuple(port.name for port in ports), cycles=tuple(cycles))
    return _promised(topology, stream, entry, made)


def _promised(
    topology: Topology, stream: Stream, entry: StreamPlan, path: PathPlan
) -> StreamPlan | str:
    """Return the entry over a path, or which promise it would break."""
    last = topology.port_by_name[path.ports[-1]]
    clock = topology.node_by_name[last.source].clock
    error_ps = topology.node_by_name[stream.listener].clock.error_ps
    assert entry.send_ps is not None, "what has cycles is sent at a time"
    latency_ps = latest_ps(topology, path) - entry.send_ps
    variation_ps = topology.tcqf.cycle_ps + 2 * clock.error_ps
    variation_ps -= last_bit_ps(stream.frame_bytes, last.rate_bps)
    hold_ps = None
    if stream.damper:
        hold_ps = latency_ps + error_ps
        latency_ps, variation_ps = hold_ps + error_ps, 2 * error_ps
    if stream.max_latency_ps is not None and latency_ps > stream.max_latency_ps:
        return "the way around is too long for its latency"
    most_ps = stream.max_latency_variation_ps
    if most_ps is not None and variation_ps > most_ps:
        return "the way around varies too much for it"
    return entry.replace(hold_ps=hold_ps, paths=(path,))


def same_until(one: StreamPlan, other: StreamPlan) -> int:
    """Return how many ports from the talker on two entries leave in the same cycles."""
    if one.send_ps != other.send_ps or not (len(one.paths) == len(other.paths) == 1):
        return 0
    steps = (zip(each.paths[0].ports, each.paths[0].cycles, strict=True) for each in (one, other))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*steps, strict=False)))


def soonest_ps(topology: Topology, stream: Stream, entry: StreamPlan, way: Sequence[Port]) -> int:
    """Return after how long a frame can be at the end of the first ports of its entry's way."""
    if not way:
        return 0
    assert entry.send_ps is not None, "what has cycles is sent at a time"
    last, cycle = way[-1], entry.paths[0].cycles[len(way) - 1]
    clock = topology.node_by_name[last.source].clock
    begin_ps = clock.phase_ps + cycle * topology.tcqf.cycle_ps - clock.error_ps
    sent_ps = begin_ps + last_bit_ps(stream.frame_bytes, last.rate_bps)
    return sent_ps + last.propagation_ps - entry.send_ps
