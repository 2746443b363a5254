"""Which server a port has, and its intervals."""

from __future__ import annotations

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.kernels.classes import serve_classes
from qnet.simulate.kernels.in_order import serve_in_order
from qnet.simulate.kernels.lanes import next_arrival
from qnet.simulate.kernels.queues import take_back
from qnet.simulate.kernels.records import note_counts, note_ends
from qnet.simulate.ports.kernels.general import serve_port
from qnet.simulate.ports.kernels.recovery import recover
from qnet.simulate.ports.parts import PLAIN, RECOVERY, Parts, PortLaw
from qnet.simulate.world import DONE, Counts, PortTally, Trace, World


@inline_kernel
def open_port(port: int, world: World) -> None:
    """Queue what was put aside for lack of room, and look who brings the next frame."""
    lanes = world.lanes
    take_back(port, world.queues)
    for lane in range(world.network.lane_first[port], world.network.lane_first[port + 1]):
        next_arrival(lane, lanes.base, lanes.mask, lanes.receiver, lanes.cells)


@bare_kernel
def serve_plain(
    port: int, until: int, world: World, counts: Counts | None, trace: Trace | None
) -> int:
    """Serve a port that needs no parts: all its intervals in one, or in turns."""
    open_port(port, world)
    if trace is None and world.network.only_rank[port] > 0:
        return serve_in_order(port, until, world, counts)
    if counts is None:
        return serve_classes(port, until, world, trace)
    while True:
        ends = note_ends(world.tally.port[port, PortTally.NOTED], counts)
        status = serve_classes(port, min(until, ends), world, trace)
        if status != DONE or ends > until:
            return status
        note_counts(port, world.queues, world.tally, counts)


@bare_kernel
def serve_any(
    port: int,
    until: int,
    world: World,
    counts: Counts | None,
    trace: Trace | None,
    parts: Parts | None,
) -> int:
    """Serve a port, or a point of recovery, up to a time; return DONE, or what had no room.

    The lanes into the port must hold all that arrives before that time. All servers give the same
    result where they can serve the same port; that in the order of arrival writes no trace.
    Without `parts` all ports are plain, and the general server is not even compiled: it takes a
    minute.
    """
    if parts is None:
        return serve_plain(port, until, world, counts, trace)
    if parts.port[port, PortLaw.WHAT] == PLAIN:
        return serve_plain(port, until, world, counts, trace)
    if parts.port[port, PortLaw.WHAT] == RECOVERY:
        return recover(port, until, world, trace, parts)
    if counts is None:
        return serve_port(port, until, world, trace, parts)
    while True:
        ends = note_ends(world.tally.port[port, PortTally.NOTED], counts)
        status = serve_port(port, min(until, ends), world, trace, parts)
        if status != DONE or ends > until:
            return status
        note_counts(port, world.queues, world.tally, counts)
