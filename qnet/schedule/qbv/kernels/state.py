"""Putting a train into the state and taking a stream out, and how long gate lists get by it."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.schedule.qbv.kernels.fit import queue_use
from qnet.schedule.qbv.kernels.spans import Spans, insert, remove
from qnet.schedule.qbv.kernels.tables import GateSearch, Ports


@bare_kernel
def settle(search: GateSearch, stream: int, route: int) -> int:
    """Write a train with the times and queues in `work` into the state."""
    streams, ports, spans = search.streams, search.ports, search.spans
    places, work = search.places, search.work
    first = streams.hop_offset[route]
    step = streams.period[stream]
    frames = spans.hyper // step
    for hop in range(streams.hop_offset[route + 1] - first):
        port = streams.port[first + hop]
        row = ports.queue_row[port] + work.queue[hop]
        start, length = queue_use(streams, route, hop, work.time)
        for frame in range(frames):
            begin = work.time[hop] + frame * step
            insert(spans, port, begin, streams.line[first + hop], stream)
            insert(spans, row, start + frame * step, length, stream)
            places.begin[places.base[stream] + hop * frames + frame] = begin
        places.queue[places.queue_base[stream] + hop] = work.queue[hop]
    places.route[stream] = route
    return 0


@bare_kernel
def lift(search: GateSearch, stream: int) -> int:
    """Take a stream out of the state."""
    streams, places = search.streams, search.places
    route = places.route[stream]
    first = streams.hop_offset[route]
    for hop in range(streams.hop_offset[route + 1] - first):
        port = streams.port[first + hop]
        remove(search.spans, port, stream)
        queue = places.queue[places.queue_base[stream] + hop]
        remove(search.spans, search.ports.queue_row[port] + queue, stream)
    places.route[stream] = -1
    return 0


@bare_kernel
def gate_entries(spans: Spans, ports: Ports, port: int) -> int:
    """Return how many entries a port's gate list has at most: windows and the pauses between.

    Windows of one queue that touch become one entry; they are counted as several here.
    """
    begin = spans.offset[port]
    stop = begin + spans.held[port]
    if begin == stop:
        return ports.pause[port]
    cut = ports.cut[port]
    entries = stop - begin
    over = spans.start[begin] == 0 and spans.end[stop - 1] == spans.hyper
    if over and cut > 0 and entries > 1 and spans.owner[begin] == spans.owner[stop - 1]:
        # One window over the end of the cycle is kept as two.
        entries -= 1
    time = spans.end[stop - 1] - spans.hyper
    for index in range(begin, stop):
        if spans.start[index] > time:
            entries += ports.pause[port]
            if time < cut < spans.start[index] or time < cut - spans.hyper < spans.start[index]:
                entries += 1
        if spans.start[index] < cut < spans.end[index]:
            entries += 1
        time = spans.end[index]
    return entries


@bare_kernel
def lists_are_short(search: GateSearch, route: int) -> int:
    """Return 1 when no port of a route has a longer gate list than it can hold."""
    streams, limits = search.streams, search.ports.entries
    for here in range(streams.hop_offset[route], streams.hop_offset[route + 1]):
        port = streams.port[here]
        if limits[port] > 0 and gate_entries(search.spans, search.ports, port) > limits[port]:
            return 0
    return 1
