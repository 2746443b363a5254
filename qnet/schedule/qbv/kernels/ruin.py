"""Putting a stream where it has no place: what stands there leaves."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.schedule.qbv.kernels.fit import nowait_times, queue_use
from qnet.schedule.qbv.kernels.spans import first_ending_after
from qnet.schedule.qbv.kernels.state import lift, lists_are_short, settle
from qnet.schedule.qbv.kernels.tables import GateSearch, Int64s

DRAW_MODULUS = 2**31 - 1
DRAW_FACTOR = 48271
"""Lehmer's generator: the same words compiled and not, unlike numpy's distributions."""


@bare_kernel
def draw(seed: Int64s, below: int) -> int:
    """Draw an integer from 0 to below - 1."""
    seed[0] = seed[0] * DRAW_FACTOR % DRAW_MODULUS
    return seed[0] % below


@bare_kernel
def draw_start(search: GateSearch, stream: int, route: int) -> int:
    """Draw a start at which a frame that never waits follows or precedes another one closely."""
    streams, spans, work = search.streams, search.spans, search.work
    first = streams.hop_offset[route]
    period = streams.period[stream]
    hop = draw(work.seed, streams.hop_offset[route + 1] - first)
    row = streams.port[first + hop]
    if spans.held[row] == 0:
        return draw(work.seed, period)
    index = spans.offset[row] + draw(work.seed, spans.held[row])
    nowait_times(streams, route, 0, work.time)
    if draw(work.seed, 2):
        return (spans.end[index] - work.time[hop]) % period
    return (spans.start[index] - streams.line[first + hop] - work.time[hop]) % period


@bare_kernel
def weight_met(
    search: GateSearch, row: int, start: int, length: int, step: int, count: int, mark: bool
) -> int:
    """Return the weight of the owners that a train meets in a row, but of those that are marked.

    With `mark` they are marked, as met by this trial; without, an owner may count twice.
    """
    spans, work = search.spans, search.work
    weight = 0
    begin = spans.offset[row]
    stop = begin + spans.held[row]
    for frame in range(count):
        at = (start + frame * step) % spans.hyper
        for lap in range(2):
            low = at - lap * spans.hyper
            index = first_ending_after(spans, row, low) if low >= 0 else begin
            while index < stop and spans.start[index] < low + length:
                owner = spans.owner[index]
                if work.mark[1 + owner] != work.mark[0]:
                    weight += work.weight[owner]
                    if mark:
                        work.mark[1 + owner] = work.mark[0]
                index += 1
    return weight


@bare_kernel
def cost_of(search: GateSearch, stream: int, route: int) -> int:
    """Mark who stands in the way of the times in `work`, choose queues, return the weight."""
    streams, ports, spans, work = search.streams, search.ports, search.spans, search.work
    period = streams.period[stream]
    count = spans.hyper // period
    first = streams.hop_offset[route]
    hops = streams.hop_offset[route + 1] - first
    cost = 0
    work.mark[0] += 1
    for hop in range(hops):
        port, line = streams.port[first + hop], streams.line[first + hop]
        cost += weight_met(search, port, work.time[hop], line, period, count, True)
    for hop in range(hops):
        port = streams.port[first + hop]
        start, length = queue_use(streams, route, hop, work.time)
        least = -1
        for queue in range(ports.queues[port] - 1, -1, -1):
            row = ports.queue_row[port] + queue
            if search.rules.own_queue and spans.held[row] > 0:
                met = weight_met(search, row, 0, spans.hyper, period, 1, False)
            else:
                met = weight_met(search, row, start, length, period, count, False)
            if least < 0 or met < least:
                least = met
                work.queue[hop] = queue
        row = ports.queue_row[port] + work.queue[hop]
        if search.rules.own_queue:
            cost += weight_met(search, row, 0, spans.hyper, period, 1, True)
        else:
            cost += weight_met(search, row, start, length, period, count, True)
    return cost


@bare_kernel
def force(search: GateSearch, stream: int) -> int:
    """Put a stream, without waits, where the least weight of others must leave.

    Those that leave are the ones marked with the current trial; the caller finds them. Return 0
    when the stream had to leave again because a gate list would be too long.
    """
    streams, places, work = search.streams, search.places, search.work
    routes = streams.route_offset[stream + 1] - streams.route_offset[stream]
    best = -1
    best_start = 0
    best_route = 0
    for _ in range(search.rules.trials):
        route = streams.route_offset[stream] + draw(work.seed, routes)
        start = draw_start(search, stream, route)
        nowait_times(streams, route, start, work.time)
        cost = cost_of(search, stream, route)
        if best < 0 or cost < best:
            best = cost
            best_start = start
            best_route = route
    nowait_times(streams, best_route, best_start, work.time)
    cost_of(search, stream, best_route)
    for other in range(places.route.shape[0]):
        if work.mark[1 + other] == work.mark[0] and places.route[other] >= 0:
            lift(search, other)
    settle(search, stream, best_route)
    if lists_are_short(search, best_route) == 1:
        return 1
    lift(search, stream)
    return 0
