"""Which server a port has, and its intervals."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.simulate.kernels.classes import serve_classes
from qnet.simulate.kernels.in_order import serve_in_order
from qnet.simulate.kernels.lanes import next_arrival
from qnet.simulate.kernels.queues import take_back
from qnet.simulate.kernels.records import note_counts, note_ends
from qnet.simulate.ports.kernels.general import serve_port
from qnet.simulate.ports.kernels.recovery import recover
from qnet.simulate.ports.parts import PLAIN, RECOVERY, Parts, PortLaw
from qnet.simulate.world import (
    DONE,
    Counts,
    Lanes,
    Network,
    PortTally,
    Queues,
    Routes,
    Sources,
    Tally,
    Trace,
)


@bare_kernel
def serve(
    port: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
    counts: Counts | None,
    trace: Trace | None,
) -> int:
    """Serve one port up to a time; return DONE, or what there was no room in.

    The lanes into the port must hold all that arrives before that time. Both ways of
    serving give the same result; only the general one writes a trace.
    """
    take_back(port, queues)
    for lane in range(network.lane_first[port], network.lane_first[port + 1]):
        next_arrival(lane, lanes.base, lanes.mask, lanes.receiver, lanes.cells)
    if trace is None and network.only_rank[port] > 0:
        return serve_in_order(port, until, network, routes, lanes, queues, sources, tally, counts)
    if counts is None:
        return serve_classes(port, until, network, routes, lanes, queues, sources, tally, trace)
    while True:
        ends = note_ends(tally.port[port, PortTally.NOTED], counts)
        status = serve_classes(
            port, min(until, ends), network, routes, lanes, queues, sources, tally, trace
        )
        if status != DONE or ends > until:
            return status
        note_counts(port, queues, tally, counts)


@bare_kernel
def serve_any(
    port: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
    counts: Counts | None,
    trace: Trace | None,
    parts: Parts | None,
) -> int:
    """Serve a port, or a point of recovery, by what it is.

    Without `parts` all ports are plain, and the general server is not even compiled: it takes a
    minute.
    """
    if parts is None:
        return serve(port, until, network, routes, lanes, queues, sources, tally, counts, trace)
    if parts.port[port, PortLaw.WHAT] == PLAIN:
        return serve(port, until, network, routes, lanes, queues, sources, tally, counts, trace)
    if parts.port[port, PortLaw.WHAT] == RECOVERY:
        return recover(port, until, network, routes, lanes, tally, trace, parts)
    if counts is None:
        return serve_port(port, until, network, routes, lanes, queues, sources, tally, trace, parts)
    while True:
        ends = note_ends(tally.port[port, PortTally.NOTED], counts)
        status = serve_port(
            port, min(until, ends), network, routes, lanes, queues, sources, tally, trace, parts
        )
        if status != DONE or ends > until:
            return status
        note_counts(port, queues, tally, counts)
