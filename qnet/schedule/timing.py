"""Cycles along a route: rules 1 to 3 of docs/design.md ("What a plan must keep").

Everything is counted from start cycle 0 at the talker; another start cycle shifts it all by whole
cycles. So the mapping, the buffers and the latency of a route do not depend on when a stream
starts.
"""

from __future__ import annotations

from typing import NamedTuple

from qnet.graph.routes import Edge, Route
from qnet.model.topology import Port, Topology
from qnet.units import ceil_div, last_bit_ps


class TimedRoute(NamedTuple):
    """A route with the cycle at each of its edges, for start cycle 0."""

    route: Route
    cycles: tuple[int, ...]
    latency_ps_max: int
    window_ps: int
    """What of the latency is open: the last cycle's length and the clock's error on both sides."""

    def latency_ps_min(self, port: Port, frame_bytes: int) -> int:
        """Return the least latency when the last edge is left by that port."""
        return self.latency_ps_max - self.window_ps + last_bit_ps(frame_bytes, port.rate_bps)


def send_ps(topology: Topology, talker: str, cycle: int) -> int:
    """Return the latest time at which a frame surely makes a cycle of the talker (rule 1)."""
    clock = topology.node_by_name[talker].clock
    return clock.phase_ps + cycle * topology.tcqf.cycle_ps - clock.error_ps


def ingress_reason(topology: Topology, talker: str) -> str | None:
    """Say why a frame sent just in time could meet its buffer still being sent (rule 1)."""
    error_ps = topology.node_by_name[talker].clock.error_ps
    room_ps = (topology.tcqf.buffers - 1) * topology.tcqf.cycle_ps
    if 2 * error_ps <= room_ps:
        return None
    return (
        f"the clock of {talker} may be wrong by {error_ps} ps either way, "
        f"more than the {room_ps} ps of its other cycle buffers"
    )


def cycle_shift(topology: Topology, edge: Edge, following: Edge) -> int:
    """Return the least shift of cycles from one edge to the next that is never late (rule 2).

    Cycle 10 us, 500 us of fibre, 2 us of processing, clocks in phase: 52 cycles.
    """
    near = topology.node_by_name[edge.source].clock
    node = topology.node_by_name[following.source]
    cycle_ps = topology.tcqf.cycle_ps
    ready_ps = near.phase_ps + cycle_ps + near.error_ps + edge.propagation_ps
    ready_ps += node.processing.high_ps
    return ceil_div(ready_ps + node.clock.error_ps - node.clock.phase_ps, cycle_ps)


def buffer_turn_ps(topology: Topology, edge: Edge, following: Edge) -> int:
    """Return from when a frame of no length could come to the end of its buffer's turn (rule 3)."""
    near = topology.node_by_name[edge.source].clock
    node = topology.node_by_name[following.source]
    cycle_ps = topology.tcqf.cycle_ps
    earliest_ps = near.phase_ps - near.error_ps + edge.propagation_ps + node.processing.low_ps
    shift = cycle_shift(topology, edge, following)
    turn_ps = node.clock.phase_ps + (shift + 1) * cycle_ps + node.clock.error_ps
    return turn_ps - earliest_ps


def buffers_needed(
    topology: Topology, edge: Edge, port: Port, following: Edge, frame_bytes: int
) -> int:
    """Return the cycle buffers without which a frame could come too early (rule 3)."""
    open_ps = buffer_turn_ps(topology, edge, following)
    open_ps -= last_bit_ps(frame_bytes, port.rate_bps)
    return ceil_div(open_ps, topology.tcqf.cycle_ps)


def time_route(topology: Topology, route: Route) -> TimedRoute:
    """Work out the cycles of a route and the largest latency that they prove."""
    cycles = [0]
    for edge, following in zip(route.edges, route.edges[1:], strict=False):
        cycles.append(cycles[-1] + cycle_shift(topology, edge, following))
    first, last = route.edges[0], route.edges[-1]
    clock = topology.node_by_name[last.source].clock
    cycle_ps = topology.tcqf.cycle_ps
    end_ps = clock.phase_ps + (cycles[-1] + 1) * cycle_ps + clock.error_ps + last.propagation_ps
    return TimedRoute(
        route,
        tuple(cycles),
        end_ps - send_ps(topology, first.source, 0),
        cycle_ps + 2 * clock.error_ps,
    )
