"""Times and queues of a train along one route, beside all that is placed."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.schedule.qbv.kernels.spans import Spans, delay_to_clear, first_fit, last_fit, next_touch
from qnet.schedule.qbv.kernels.tables import NEVER, GateSearch, Int64s, StreamTable, Train


@bare_kernel
def nowait_times(streams: StreamTable, route: int, start: int, time: Int64s) -> int:
    """Write the start times of a frame that never waits."""
    first = streams.hop_offset[route]
    time[0] = start
    for hop in range(1, streams.hop_offset[route + 1] - first):
        here = first + hop
        before = streams.before[here]
        time[hop] = time[before] + streams.line[first + before] + streams.lead[here]
    return 0


@bare_kernel
def latency(streams: StreamTable, route: int, time: Int64s) -> int:
    """Return the time from first bit out to the last listener's last bit in."""
    longest = 0
    for here in range(streams.hop_offset[route], streams.hop_offset[route + 1]):
        if streams.quick[here] >= 0:
            hop = here - streams.hop_offset[route]
            longest = max(longest, time[hop] + streams.line[here] + streams.tail[here] - time[0])
    return longest


@bare_kernel
def start_in_time(streams: StreamTable, route: int, train: Train, time: Int64s) -> int:
    """Return the first start from which what arrives as it does is in time for all listeners.

    That is by the deadline, and no more than the slack after when it could be there.
    """
    start = time[0]
    for here in range(streams.hop_offset[route], streams.hop_offset[route + 1]):
        if streams.quick[here] >= 0:
            hop = here - streams.hop_offset[route]
            longest = min(train.deadline, streams.quick[here] + train.slack)
            start = max(start, time[hop] + streams.line[here] + streams.tail[here] - longest)
    return start


@bare_kernel
def fit_route(search: GateSearch, route: int, train: Train) -> int:
    """Find the next start times of a train along a route; return 1 when there are any.

    Starting from the earliest, hops are gone through forward as early as may be; then backward as
    late as the arrivals found allow. No earlier start arrives sooner: where these arrivals are too
    late, a search from the first start for which they were not misses nothing.
    """
    streams, spans, time = search.streams, search.spans, search.work.time
    first = streams.hop_offset[route]
    port, line = streams.port[first], streams.line[first]
    low = train.low
    while low < train.high:
        low = first_fit(spans, port, low, train.high - 1, line, train.step, train.frames)
        if low < 0:
            return 0
        time[0] = low
        late = start_early(search, route, train)
        if late == NEVER:
            return 0
        if late > 0:
            low += late
            continue
        start_late(search, route, train)
        low = start_in_time(streams, route, train, time)
        if low == time[0]:
            return 1
    return 0


@bare_kernel
def start_early(search: GateSearch, route: int, train: Train) -> int:
    """Start at all hops behind the first as early as may be; return 0 when done.

    Else return by how much the first has to start later, or NEVER when there is no gap.
    """
    streams, spans, time = search.streams, search.spans, search.work.time
    first = streams.hop_offset[route]
    for hop in range(1, streams.hop_offset[route + 1] - first):
        here = first + hop
        before = streams.before[here]
        ready = time[before] + streams.line[first + before] + streams.lead[here]
        last = train.high - 1 if streams.begins[here] == 1 else train.high + train.deadline
        found = first_fit(
            spans, streams.port[here], ready, last, streams.line[here], train.step, train.frames
        )
        if found < 0:
            return NEVER
        time[hop] = found
        if search.rules.waiting == 0 and found > ready:
            return found - ready
    return 0


@bare_kernel
def start_late(search: GateSearch, route: int, train: Train) -> int:
    """Start at each hop as late as may be for what arrives at the listeners as it does."""
    streams, spans = search.streams, search.spans
    time, latest = search.work.time, search.work.hop
    first = streams.hop_offset[route]
    hops = streams.hop_offset[route + 1] - first
    latest[:hops] = NEVER
    for hop in range(hops - 1, -1, -1):
        here = first + hop
        port, line = streams.port[here], streams.line[here]
        if streams.quick[here] < 0:
            most = latest[hop]
            if streams.begins[here] == 1:
                most = min(most, train.high - 1)
            time[hop] = last_fit(spans, port, most, time[hop], line, train.step, train.frames)
        before = streams.before[here]
        if before >= 0:
            most = time[hop] - streams.lead[here] - streams.line[first + before]
            latest[before] = min(latest[before], most)
    return 0


@bare_kernel
def fit_anchored(search: GateSearch, route: int, train: Train) -> int:
    """As `fit_route`, but the range is that of the anchor, and only touching starts are tried.

    Frames that follow each other without a gap at the busiest port leave no gaps too short to use.
    From the anchor, hops on the way to it are as late and all others as early as may be. Return
    the next start to try at the anchor, or 0 when no start is left.
    """
    streams, spans, time = search.streams, search.spans, search.work.time
    anchor = streams.anchor[route]
    here = streams.hop_offset[route] + anchor
    port, line = streams.port[here], streams.line[here]
    low = train.low
    while low < train.high:
        low = first_fit(spans, port, low, train.high - 1, line, train.step, train.frames)
        if low < 0:
            return 0
        time[anchor] = low
        good = start_before(search, route, train) == 1 and start_behind(search, route, train) == 1
        low = next_touch(spans, port, low, train.step, train.frames)
        if good and start_in_time(streams, route, train, time) == time[0]:
            return low
    return 0


@bare_kernel
def start_before(search: GateSearch, route: int, train: Train) -> int:
    """Start at the hops on the way to the anchor as late as may be; return 1 when done.

    Marks in `work.hop` the hops whose start is known.
    """
    streams, spans = search.streams, search.spans
    time, known = search.work.time, search.work.hop
    first = streams.hop_offset[route]
    hop = streams.anchor[route]
    floor = time[hop] - train.deadline
    known[: streams.hop_offset[route + 1] - first] = 0
    known[hop] = 1
    while hop > 0:
        before = streams.before[first + hop]
        here = first + before
        port, line = streams.port[here], streams.line[here]
        latest = time[hop] - streams.lead[first + hop] - line
        if search.rules.waiting == 0:
            floor = latest
        time[before] = last_fit(spans, port, latest, floor, line, train.step, train.frames)
        if time[before] < floor:
            return 0
        known[before] = 1
        hop = before
    return 1


@bare_kernel
def start_behind(search: GateSearch, route: int, train: Train) -> int:
    """Start at the hops that are not on the way to the anchor as early as may be.

    Return 1 when done, and all ports of the talker start in the same period.
    """
    streams, spans = search.streams, search.spans
    time, known = search.work.time, search.work.hop
    first = streams.hop_offset[route]
    for hop in range(1, streams.hop_offset[route + 1] - first):
        here = first + hop
        before = streams.before[here]
        port, line = streams.port[here], streams.line[here]
        if known[hop] == 0:
            ready = time[before] + streams.line[first + before] + streams.lead[here]
            last = ready if search.rules.waiting == 0 else time[0] + train.deadline
            time[hop] = first_fit(spans, port, ready, last, line, train.step, train.frames)
            if time[hop] < ready:
                return 0
        if streams.begins[here] == 1 and time[hop] // train.step != time[0] // train.step:
            return 0
    return 1


@bare_kernel
def queue_use(streams: StreamTable, route: int, hop: int, time: Int64s) -> tuple[int, int]:
    """Return start and length of the span for which a frame takes a queue at a hop."""
    here = streams.hop_offset[route] + hop
    start = time[hop]
    if streams.begins[here] == 0:
        start = time[streams.before[here]] + streams.reach[here]
    return start, time[hop] + streams.line[here] - start


@bare_kernel
def delay_for_queue(
    spans: Spans, row: int, start: int, length: int, step: int, count: int, own_queue: int
) -> int:
    """Return 0 when a train may take a queue, else by how much it must at least come later."""
    if own_queue and spans.held[row] > 0:
        return spans.hyper
    if length > spans.hyper or (count > 1 and length > step):
        return spans.hyper
    most = 0
    for frame in range(count):
        at = (start + frame * step) % spans.hyper
        most = max(most, delay_to_clear(spans, row, at, length))
    return most


@bare_kernel
def fit_queues(search: GateSearch, route: int, count: int) -> int:
    """Choose the highest free queue at every hop for the times in `work`; return 0 if there is one.

    Else return by how much the frames must at least come later to find one.
    """
    streams, ports, spans, work = search.streams, search.ports, search.spans, search.work
    first = streams.hop_offset[route]
    step = spans.hyper // count
    for hop in range(streams.hop_offset[route + 1] - first):
        start, length = queue_use(streams, route, hop, work.time)
        port = streams.port[first + hop]
        least = spans.hyper
        for queue in range(ports.queues[port] - 1, -1, -1):
            row = ports.queue_row[port] + queue
            delay = delay_for_queue(spans, row, start, length, step, count, search.rules.own_queue)
            if delay < least:
                least = delay
                work.queue[hop] = queue
            if least == 0:
                break
        if least > 0:
            return least
    return 0
