"""What a cycle of a port can hold, what a stream takes of it, and when all repeats (rule 4)."""

from __future__ import annotations

from math import lcm

from qnet.errors import Infeasible
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.units import PS_PER_MS, PS_PER_S, ceil_div, serialisation_ps, wire_bytes

CELLS_MOST = 2**27
"""Ports x cycles that a plan may hold: a gibibyte."""


def need_bytes(stream: Stream) -> int:
    """Return the wire bytes that a stream takes in each cycle it uses."""
    return stream.max_packets * wire_bytes(stream.frame_bytes)


def mean_rate_bps(stream: Stream) -> int:
    """Return the largest mean rate of a stream on the wire, rounded up."""
    return ceil_div(need_bytes(stream) * 8 * PS_PER_S, stream.interval_ps)


def reservable_bytes(port: Port, cycle_ps: int) -> int:
    """Return the bytes of a cycle that plans may fill on a port."""
    return port.reservable_bps * cycle_ps // (8 * PS_PER_S)


def cycle_capacity(topology: Topology, port: Port, other_frame_bytes: int) -> int:
    """Return the bytes that reserved frames may fill in one empty cycle of a port (rule 4).

    The time of a byte is rounded up, so that whole frames, each rounded up, fit as well.
    """
    cycle_ps = topology.tcqf.cycle_ps
    wander_ps = topology.node_by_name[port.source].clock.wander_ps
    open_ps = cycle_ps - wander_ps * ceil_div(cycle_ps, PS_PER_MS)
    if other_frame_bytes:
        open_ps -= serialisation_ps(other_frame_bytes, port.rate_bps)
    ps_per_byte = ceil_div(8 * PS_PER_S, port.rate_bps)
    return max(min(open_ps // ps_per_byte, reservable_bytes(port, cycle_ps)), 0)


def hypercycle(topology: Topology, profile: Profile) -> int:
    """Return the cycles after which all reservations repeat."""
    cycle_ps = topology.tcqf.cycle_ps
    periods = {
        stream.interval_ps // cycle_ps
        for stream in profile.streams
        if stream.count and profile.takes_cycles(stream) and stream.interval_ps % cycle_ps == 0
    }
    length = lcm(*periods)
    if length * len(topology.ports) > CELLS_MOST:
        raise Infeasible(
            f"the reserved intervals repeat together only every {length} cycles, too many to count "
            f"for {len(topology.ports)} ports; choose intervals with a smaller common multiple"
        )
    return length
