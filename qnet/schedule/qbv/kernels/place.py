"""Placing one stream beside those that are placed: all its frames alike, or each by itself."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.schedule.qbv.kernels.fit import (
    delay_for_queue,
    fit_anchored,
    fit_queues,
    fit_route,
    latency,
    nowait_times,
    queue_use,
)
from qnet.schedule.qbv.kernels.spans import insert, remove
from qnet.schedule.qbv.kernels.state import lift, lists_are_short, settle
from qnet.schedule.qbv.kernels.tables import NEVER, GateSearch, Train


@bare_kernel
def place(search: GateSearch, stream: int) -> int:
    """Place one stream; return 1 if done."""
    if place_train(search, stream) == 1:
        return 1
    if search.streams.period[stream] < search.spans.hyper:
        return place_singly(search, stream)
    return 0


@bare_kernel
def place_train(search: GateSearch, stream: int) -> int:
    """Place all frames of a stream at the same distance from their releases; return 1 if done."""
    streams, time = search.streams, search.work.time
    period, deadline = streams.period[stream], streams.deadline[stream]
    count = search.spans.hyper // period
    for route in range(streams.route_offset[stream], streams.route_offset[stream + 1]):
        nowait_times(streams, route, 0, time)
        if latency(streams, route, time) > deadline:
            continue
        low = 0
        while True:
            low = fit_anchored(search, route, Train(low, period, period, count, deadline, NEVER))
            if low == 0:
                break
            move_to_first_period(search, stream, route)
            if settle_where_free(search, stream, route) == 0:
                return 1
        low = 0
        while fit_route(search, route, Train(low, period, period, count, deadline, NEVER)) == 1:
            late = settle_where_free(search, stream, route)
            if late == 0:
                return 1
            if late == NEVER:
                break
            low = time[0] + late
        if place_at_begin(search, stream, route) == 1:
            return 1
    return 0


@bare_kernel
def settle_where_free(search: GateSearch, stream: int, route: int) -> int:
    """Settle a train at the times in `work` where queues are free and gate lists hold it.

    Return 0 when done, else by how much it must at least come later for queues, or NEVER for lists.
    """
    late = fit_queues(search, route, search.spans.hyper // search.streams.period[stream])
    if late > 0:
        return late
    settle(search, stream, route)
    if lists_are_short(search, route) == 1:
        return 0
    lift(search, stream)
    return NEVER


@bare_kernel
def move_to_first_period(search: GateSearch, stream: int, route: int) -> int:
    """Move the times in `work` by whole periods, so that the first is in the first one."""
    streams, time = search.streams, search.work.time
    shift = time[0] // streams.period[stream] * streams.period[stream]
    for hop in range(streams.hop_offset[route + 1] - streams.hop_offset[route]):
        time[hop] -= shift
    return 0


@bare_kernel
def place_at_begin(search: GateSearch, stream: int, route: int) -> int:
    """Place a train on a route so that a window begins or ends where a short list begins.

    There it is not cut in two. Return 1 if done.
    """
    streams, ports = search.streams, search.ports
    period, deadline = streams.period[stream], streams.deadline[stream]
    count = search.spans.hyper // period
    first = streams.hop_offset[route]
    anchor = streams.anchor[route]
    done = 0
    for hop in range(streams.hop_offset[route + 1] - first):
        port = streams.port[first + hop]
        if ports.entries[port] == 0:
            continue
        streams.anchor[route] = hop
        for side in range(2):
            low = (ports.cut[port] - side * streams.line[first + hop]) % period
            train = Train(low, low + 1, period, count, deadline, NEVER)
            if fit_anchored(search, route, train) > 0:
                move_to_first_period(search, stream, route)
                if settle_where_free(search, stream, route) == 0:
                    done = 1
                    break
        streams.anchor[route] = anchor
        if done:
            break
    return done


@bare_kernel
def place_singly(search: GateSearch, stream: int) -> int:
    """Place each frame of a stream by itself, on one route; return 1 if done."""
    streams = search.streams
    for route in range(streams.route_offset[stream], streams.route_offset[stream + 1]):
        hops = streams.hop_offset[route + 1] - streams.hop_offset[route]
        taken = 0
        done = fit_frames(search, stream, route)
        search.places.route[stream] = route
        while done == 1 and taken < hops:
            done = take_any_queue(search, stream, taken)
            taken += done
        if done == 1 and lists_are_short(search, route) == 1:
            return 1
        drop_frames(search, stream, taken)
    return 0


@bare_kernel
def fit_frames(search: GateSearch, stream: int, route: int) -> int:
    """Find times for one frame after the other; return 1 when there are some for all."""
    streams, spans = search.streams, search.spans
    places, time = search.places, search.work.time
    period, slack = streams.period[stream], streams.jitter[stream]
    frames = spans.hyper // period
    first = streams.hop_offset[route]
    nowait_times(streams, route, 0, time)
    longest = min(latency(streams, route, time) + slack, streams.deadline[stream])
    for frame in range(frames):
        train = Train(frame * period, (frame + 1) * period, 0, 1, longest, slack)
        if fit_route(search, route, train) == 0:
            return 0
        for hop in range(streams.hop_offset[route + 1] - first):
            here = first + hop
            insert(spans, streams.port[here], time[hop], streams.line[here], stream)
            places.begin[places.base[stream] + hop * frames + frame] = time[hop]
    return 1


@bare_kernel
def take_any_queue(search: GateSearch, stream: int, hop: int) -> int:
    """Take the highest free queue of a hop for frames that have times; return 1 if there is one."""
    ports, places = search.ports, search.places
    port = search.streams.port[search.streams.hop_offset[places.route[stream]] + hop]
    for queue in range(ports.queues[port] - 1, -1, -1):
        row = ports.queue_row[port] + queue
        if search.rules.own_queue and search.spans.held[row] > 0:
            continue
        if take_queue(search, stream, hop, row) == 1:
            places.queue[places.queue_base[stream] + hop] = queue
            return 1
    return 0


@bare_kernel
def take_queue(search: GateSearch, stream: int, hop: int, row: int) -> int:
    """Take a queue for frames that have times; return 1 if it was free for all of them."""
    streams, spans = search.streams, search.spans
    places, time = search.places, search.work.time
    route = places.route[stream]
    frames = spans.hyper // streams.period[stream]
    base = places.base[stream]
    before = streams.before[streams.hop_offset[route] + hop]
    for frame in range(frames):
        if before >= 0:
            time[before] = places.begin[base + before * frames + frame]
        time[hop] = places.begin[base + hop * frames + frame]
        start, length = queue_use(streams, route, hop, time)
        if delay_for_queue(spans, row, start, length, 0, 1, 0) > 0:
            remove(spans, row, stream)
            return 0
        insert(spans, row, start, length, stream)
    return 1


@bare_kernel
def drop_frames(search: GateSearch, stream: int, taken: int) -> int:
    """Take out of the state a stream that has queues at some of its first hops only."""
    streams, places = search.streams, search.places
    first = streams.hop_offset[places.route[stream]]
    hops = streams.hop_offset[places.route[stream] + 1] - first
    for hop in range(hops):
        port = streams.port[first + hop]
        remove(search.spans, port, stream)
        if hop < taken:
            queue = places.queue[places.queue_base[stream] + hop]
            remove(search.spans, search.ports.queue_row[port] + queue, stream)
    places.route[stream] = -1
    return 0
