"""Placing periodic frames between sorted spans of busy time, as integer loops.

Time goes round: everything repeats after `hyper` picoseconds. A row of `Spans` holds what one port
sends, or when one of its queues is in use, as disjoint spans in order; a span that runs over the
end of the hyperperiod is kept as two. A *train* is what is placed at once: `count` frames, `step`
apart, all at the same distance from their releases (one frame alone when they are placed singly).

A stream is sent from hop to hop. From the end of a transmission to the instant when the frame may
leave the next port passes that one's `lead` (propagation and processing). A queue belongs to a
frame from `reach` after the *start* of the transmission before, when its first bit may be there, to
the end of its own: nobody else's frame can leave in its window, even when it is lost.

The hops of a route are those of a chain, or of a tree with a listener behind each hop that has a
`tail`. Each is behind the one that it follows (`before`). Where a tree begins with several ports of
its talker, the others follow the first, from its start on and in the same period.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import kernel

Int64s = NDArray[np.int64]

NEVER = 2**61
"""Later than any time."""

DRAW_MODULUS = 2**31 - 1
DRAW_FACTOR = 48271
"""Lehmer's generator: the same words compiled and not, unlike numpy's distributions."""


class Spans(NamedTuple):
    """Busy spans: row r is `[offset[r] : offset[r] + held[r]]`, owned by streams."""

    hyper: int
    offset: Int64s
    held: Int64s
    start: Int64s
    end: Int64s
    owner: Int64s


class Ports(NamedTuple):
    """Row of a port's first queue, how many it has, and its limit of gate entries (0: none).

    A pause between two windows takes `pause[port]` entries: two where others may send until the
    guard.
    `cut` is when a port's list begins: what lasts over it becomes an entry more.
    """

    pause: Int64s
    queue_row: Int64s
    queues: Int64s
    entries: Int64s
    cut: Int64s


class Streams(NamedTuple):
    """Streams, their candidate routes and the hops of these, ragged.

    Routes of stream s are `route_offset[s] : route_offset[s + 1]`, hops of route r
    `hop_offset[r] : hop_offset[r + 1]`, the busiest of them `anchor[r]` after the first.
    `before` counts from a route's first hop; it is -1 there, and `begins` is 1 at every port of the
    talker. `tail` is what passes from the end of a transmission to a listener's last bit, `quick`
    that time from the first bit out when nothing waits, -1 where nobody listens.
    Frames that are placed singly may take longer than the quickest way by `jitter[s]`.
    """

    period: Int64s
    deadline: Int64s
    jitter: Int64s
    route_offset: Int64s
    hop_offset: Int64s
    anchor: Int64s
    port: Int64s
    line: Int64s
    lead: Int64s
    reach: Int64s
    before: Int64s
    begins: Int64s
    tail: Int64s
    quick: Int64s


class Rules(NamedTuple):
    """May frames wait in bridges; does a queue serve one stream only; how to search.

    With `anchored` a train is first tried where it touches another at its busiest port.
    """

    waiting: int
    own_queue: int
    anchored: int
    steps: int
    trials: int


class Places(NamedTuple):
    """Where streams are: route (-1: nowhere), start of hop h of frame k at base + h * frames + k.

    The queue of hop h of stream s is `queue[queue_base[s] + h]`.
    """

    route: Int64s
    base: Int64s
    begin: Int64s
    queue_base: Int64s
    queue: Int64s


class Work(NamedTuple):
    """Scratch: times and queues of a route, the same saved, who is to be placed, weights, marks.

    Behind the times of a route is the next start to try, and behind that a number for each hop.
    """

    time: Int64s
    queue: Int64s
    saved: Int64s
    ring: Int64s
    weight: Int64s
    mark: Int64s
    seed: Int64s


@kernel
def draw(seed: Int64s, below: int) -> int:
    """Draw an integer from 0 to below - 1."""
    seed[0] = seed[0] * DRAW_FACTOR % DRAW_MODULUS
    return seed[0] % below


@kernel
def first_ending_after(spans: Spans, row: int, time: int) -> int:
    """Return the first span of a row that ends after `time`, as an index into the arrays."""
    low = spans.offset[row]
    high = low + spans.held[row]
    while low < high:
        middle = (low + high) // 2
        if spans.end[middle] > time:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def delay_to_clear(spans: Spans, row: int, at: int, length: int) -> int:
    """Return by how much `[at, at + length)` must move later to leave the first span it meets."""
    stop = spans.offset[row] + spans.held[row]
    index = first_ending_after(spans, row, at)
    if index < stop and spans.start[index] < at + length:
        return spans.end[index] - at
    index = spans.offset[row]
    if index < stop and spans.start[index] < at + length - spans.hyper:
        return spans.end[index] + spans.hyper - at
    return 0


@kernel
def advance_to_clear(spans: Spans, row: int, at: int, length: int) -> int:
    """Return by how much `[at, at + length)` must move earlier to leave the last span it meets."""
    begin = spans.offset[row]
    past = at + length - spans.hyper
    if past > 0:
        index = first_ending_after(spans, row, past - 1)
        if index < begin + spans.held[row] and spans.start[index] < past:
            return past - spans.start[index]
        if index > begin:
            return past - spans.start[index - 1]
    index = first_ending_after(spans, row, at + length - 1)
    if index < begin + spans.held[row] and spans.start[index] < at + length:
        return at + length - spans.start[index]
    if index > begin and spans.end[index - 1] > at:
        return at + length - spans.start[index - 1]
    return 0


@kernel
def first_fit(
    spans: Spans, row: int, time: int, last: int, length: int, step: int, count: int
) -> int:
    """Return the earliest start from `time` to `last` that keeps the whole train clear, or -1."""
    # All repeats after the hyperperiod; a stream without a deadline would search it forever.
    last = min(last, time + spans.hyper - 1)
    clear = 0
    frame = 0
    while clear < count:
        delay = delay_to_clear(spans, row, (time + frame * step) % spans.hyper, length)
        if delay > 0:
            time += delay
            clear = 0
            if time > last:
                return -1
        else:
            clear += 1
            frame = frame + 1 if frame + 1 < count else 0
    return time if time <= last else -1


@kernel
def last_fit(
    spans: Spans, row: int, time: int, floor: int, length: int, step: int, count: int
) -> int:
    """Return the latest start up to `time` that keeps the train clear, or less than `floor`."""
    clear = 0
    frame = 0
    while clear < count:
        advance = advance_to_clear(spans, row, (time + frame * step) % spans.hyper, length)
        if advance > 0:
            time -= advance
            clear = 0
            if time < floor:
                return floor - 1
        else:
            clear += 1
            frame = frame + 1 if frame + 1 < count else 0
    return time


@kernel
def insert_piece(spans: Spans, row: int, start: int, end: int, owner: int) -> int:
    """Insert one span that does not run over the end of the hyperperiod."""
    place = first_ending_after(spans, row, start)
    index = spans.offset[row] + spans.held[row]
    while index > place:
        spans.start[index] = spans.start[index - 1]
        spans.end[index] = spans.end[index - 1]
        spans.owner[index] = spans.owner[index - 1]
        index -= 1
    spans.start[place] = start
    spans.end[place] = end
    spans.owner[place] = owner
    spans.held[row] += 1
    return 0


@kernel
def insert(spans: Spans, row: int, at: int, length: int, owner: int) -> int:
    """Insert a span at any time, folded into the hyperperiod."""
    at = at % spans.hyper
    over = at + length - spans.hyper
    if over > 0:
        insert_piece(spans, row, at, spans.hyper, owner)
        insert_piece(spans, row, 0, over, owner)
    else:
        insert_piece(spans, row, at, at + length, owner)
    return 0


@kernel
def remove(spans: Spans, row: int, owner: int) -> int:
    """Take all spans of a stream out of a row."""
    begin = spans.offset[row]
    keep = begin
    for index in range(begin, begin + spans.held[row]):
        if spans.owner[index] != owner:
            spans.start[keep] = spans.start[index]
            spans.end[keep] = spans.end[index]
            spans.owner[keep] = spans.owner[index]
            keep += 1
    spans.held[row] = keep - begin
    return 0


@kernel
def start_in_time(streams: Streams, route: int, time: Int64s, deadline: int, slack: int) -> int:
    """Return the first start from which what arrives as it does is in time for all listeners.

    That is by the deadline, and no more than `slack` after when it could be there.
    """
    start = time[0]
    for here in range(streams.hop_offset[route], streams.hop_offset[route + 1]):
        if streams.quick[here] >= 0:
            hop = here - streams.hop_offset[route]
            longest = min(deadline, streams.quick[here] + slack)
            start = max(start, time[hop] + streams.line[here] + streams.tail[here] - longest)
    return start


@kernel
def fit_route(
    streams: Streams,
    spans: Spans,
    rules: Rules,
    route: int,
    train: tuple[int, int, int, int, int, int],
    time: Int64s,
) -> int:
    """Find the next start times of a train along a route; return 1 when there are any.

    `train` is (earliest start, end of the starts, step, count, deadline, slack). Starting from the
    earliest, hops are gone through forward as early as may be; then backward as late as the
    arrivals found allow. No earlier start arrives sooner: where these arrivals are too late, a
    search from the first start for which they were not misses nothing.
    """
    low, high, step, count, deadline, slack = train
    first = streams.hop_offset[route]
    hops = streams.hop_offset[route + 1] - first
    latest = time[hops + 1 :]
    while low < high:
        low = first_fit(spans, streams.port[first], low, high - 1, streams.line[first], step, count)
        if low < 0:
            return 0
        time[0] = low
        moved = 0
        for hop in range(1, hops):
            here = first + hop
            before = streams.before[here]
            ready = time[before] + streams.line[first + before] + streams.lead[here]
            last = high - 1 if streams.begins[here] == 1 else high + deadline
            found = first_fit(
                spans, streams.port[here], ready, last, streams.line[here], step, count
            )
            if found < 0:
                return 0
            time[hop] = found
            if rules.waiting == 0 and found > ready:
                moved = found - ready
                break
        if moved > 0:
            low += moved
            continue
        latest[:hops] = NEVER
        for hop in range(hops - 1, -1, -1):
            here = first + hop
            if streams.quick[here] < 0:
                most = latest[hop]
                if streams.begins[here] == 1:
                    most = min(most, high - 1)
                time[hop] = last_fit(
                    spans, streams.port[here], most, time[hop], streams.line[here], step, count
                )
            before = streams.before[here]
            if before >= 0:
                most = time[hop] - streams.lead[here] - streams.line[first + before]
                latest[before] = min(latest[before], most)
        low = start_in_time(streams, route, time, deadline, slack)
        if low == time[0]:
            return 1
    return 0


@kernel
def next_touch(spans: Spans, row: int, time: int, step: int, count: int) -> int:
    """Return the nearest later start at which some frame of a clear train meets a span."""
    begin = spans.offset[row]
    stop = begin + spans.held[row]
    gap = spans.hyper
    for frame in range(count):
        at = (time + frame * step) % spans.hyper
        index = first_ending_after(spans, row, at)
        if index < stop:
            gap = min(gap, spans.start[index] - at)
        elif stop > begin:
            gap = min(gap, spans.start[begin] + spans.hyper - at)
    return time + max(gap, 1)


@kernel
def fit_anchored(
    streams: Streams,
    spans: Spans,
    rules: Rules,
    route: int,
    train: tuple[int, int, int, int, int, int],
    time: Int64s,
) -> int:
    """As `fit_route`, but the range is that of the anchor, and only touching starts are tried.

    Frames that follow each other without a gap at the busiest port leave no gaps too short to use.
    From the anchor, hops on the way to it are as late and all others as early as may be. The next
    start to try is left behind the times.
    """
    low, high, step, count, deadline, slack = train
    first = streams.hop_offset[route]
    hops = streams.hop_offset[route + 1] - first
    anchor = streams.anchor[route]
    known = time[hops + 1 :]
    while low < high:
        row = streams.port[first + anchor]
        low = first_fit(spans, row, low, high - 1, streams.line[first + anchor], step, count)
        if low < 0:
            return 0
        known[:hops] = 0
        known[anchor] = 1
        time[anchor] = low
        good = 1
        hop = anchor
        while good and hop > 0:
            before = streams.before[first + hop]
            here = first + before
            latest = time[hop] - streams.lead[first + hop] - streams.line[here]
            floor = latest if rules.waiting == 0 else low - deadline
            time[before] = last_fit(
                spans, streams.port[here], latest, floor, streams.line[here], step, count
            )
            if time[before] < floor:
                good = 0
            known[before] = 1
            hop = before
        hop = 1
        while good and hop < hops:
            here = first + hop
            before = streams.before[here]
            if known[hop] == 0:
                ready = time[before] + streams.line[first + before] + streams.lead[here]
                last = ready if rules.waiting == 0 else time[0] + deadline
                time[hop] = first_fit(
                    spans, streams.port[here], ready, last, streams.line[here], step, count
                )
                if time[hop] < ready:
                    good = 0
            if streams.begins[here] == 1 and time[hop] // step != time[0] // step:
                good = 0
            hop += 1
        low = next_touch(spans, row, low, step, count)
        if good and start_in_time(streams, route, time, deadline, slack) == time[0]:
            time[hops] = low
            return 1
    return 0


@kernel
def queue_use(streams: Streams, route: int, hop: int, time: Int64s) -> tuple[int, int]:
    """Return start and length of the span for which a frame takes a queue at a hop."""
    here = streams.hop_offset[route] + hop
    start = time[hop]
    if streams.begins[here] == 0:
        start = time[streams.before[here]] + streams.reach[here]
    return start, time[hop] + streams.line[here] - start


@kernel
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


@kernel
def fit_queues(
    streams: Streams, ports: Ports, spans: Spans, rules: Rules, route: int, count: int, work: Work
) -> int:
    """Choose the highest free queue at every hop for the times in `work`; return 0 if there is one.

    Else return by how much the frames must at least come later to find one.
    """
    first = streams.hop_offset[route]
    step = spans.hyper // count
    for hop in range(streams.hop_offset[route + 1] - first):
        start, length = queue_use(streams, route, hop, work.time)
        port = streams.port[first + hop]
        least = spans.hyper
        for queue in range(ports.queues[port] - 1, -1, -1):
            row = ports.queue_row[port] + queue
            delay = delay_for_queue(spans, row, start, length, step, count, rules.own_queue)
            if delay < least:
                least = delay
                work.queue[hop] = queue
            if least == 0:
                break
        if least > 0:
            return least
    return 0


@kernel
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


@kernel
def lists_are_short(streams: Streams, ports: Ports, spans: Spans, route: int) -> int:
    """Return 1 when no port of a route has a longer gate list than it can hold."""
    for here in range(streams.hop_offset[route], streams.hop_offset[route + 1]):
        port = streams.port[here]
        if ports.entries[port] > 0 and gate_entries(spans, ports, port) > ports.entries[port]:
            return 0
    return 1


@kernel
def settle(
    streams: Streams,
    ports: Ports,
    spans: Spans,
    places: Places,
    stream: int,
    route: int,
    work: Work,
) -> int:
    """Write a train with the times and queues in `work` into the state."""
    first = streams.hop_offset[route]
    frames = spans.hyper // streams.period[stream]
    step = streams.period[stream]
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


@kernel
def lift(streams: Streams, ports: Ports, spans: Spans, places: Places, stream: int) -> int:
    """Take a stream out of the state."""
    route = places.route[stream]
    first = streams.hop_offset[route]
    for hop in range(streams.hop_offset[route + 1] - first):
        port = streams.port[first + hop]
        remove(spans, port, stream)
        queue = places.queue[places.queue_base[stream] + hop]
        remove(spans, ports.queue_row[port] + queue, stream)
    places.route[stream] = -1
    return 0


@kernel
def nowait_times(streams: Streams, route: int, start: int, time: Int64s) -> int:
    """Write the start times of a frame that never waits."""
    first = streams.hop_offset[route]
    time[0] = start
    for hop in range(1, streams.hop_offset[route + 1] - first):
        here = first + hop
        before = streams.before[here]
        time[hop] = time[before] + streams.line[first + before] + streams.lead[here]
    return 0


@kernel
def latency(streams: Streams, route: int, time: Int64s) -> int:
    """Return the time from first bit out to the last listener's last bit in."""
    longest = 0
    for here in range(streams.hop_offset[route], streams.hop_offset[route + 1]):
        if streams.quick[here] >= 0:
            hop = here - streams.hop_offset[route]
            longest = max(longest, time[hop] + streams.line[here] + streams.tail[here] - time[0])
    return longest


@kernel
def place_train(
    streams: Streams,
    ports: Ports,
    spans: Spans,
    places: Places,
    rules: Rules,
    stream: int,
    work: Work,
) -> int:
    """Place all frames of a stream at the same distance from their releases; return 1 if done."""
    period = streams.period[stream]
    deadline = streams.deadline[stream]
    count = spans.hyper // period
    for route in range(streams.route_offset[stream], streams.route_offset[stream + 1]):
        hops = streams.hop_offset[route + 1] - streams.hop_offset[route]
        nowait_times(streams, route, 0, work.time)
        if latency(streams, route, work.time) > deadline:
            continue
        low = 0 if rules.anchored else period
        while fit_anchored(
            streams, spans, rules, route, (low, period, period, count, deadline, NEVER), work.time
        ):
            low = work.time[hops]
            shift = work.time[0] // period * period
            for hop in range(hops):
                work.time[hop] -= shift
            if fit_queues(streams, ports, spans, rules, route, count, work) == 0:
                settle(streams, ports, spans, places, stream, route, work)
                if lists_are_short(streams, ports, spans, route):
                    return 1
                lift(streams, ports, spans, places, stream)
        low = 0
        while fit_route(
            streams, spans, rules, route, (low, period, period, count, deadline, NEVER), work.time
        ):
            late = fit_queues(streams, ports, spans, rules, route, count, work)
            if late == 0:
                settle(streams, ports, spans, places, stream, route, work)
                if lists_are_short(streams, ports, spans, route):
                    return 1
                lift(streams, ports, spans, places, stream)
                break
            low = work.time[0] + late
        if place_at_begin(streams, ports, spans, places, rules, stream, route, work):
            return 1
    return 0


@kernel
def place_at_begin(
    streams: Streams,
    ports: Ports,
    spans: Spans,
    places: Places,
    rules: Rules,
    stream: int,
    route: int,
    work: Work,
) -> int:
    """Place a train on a route so that a window begins or ends where a short list begins.

    There it is not cut in two. Return 1 if done.
    """
    period = streams.period[stream]
    count = spans.hyper // period
    first = streams.hop_offset[route]
    hops = streams.hop_offset[route + 1] - first
    anchor = streams.anchor[route]
    done = 0
    for hop in range(hops):
        port = streams.port[first + hop]
        if ports.entries[port] == 0:
            continue
        streams.anchor[route] = hop
        for side in range(2):
            low = (ports.cut[port] - side * streams.line[first + hop]) % period
            train = (low, low + 1, period, count, streams.deadline[stream], NEVER)
            if fit_anchored(streams, spans, rules, route, train, work.time) == 0:
                continue
            shift = work.time[0] // period * period
            for item in range(hops):
                work.time[item] -= shift
            if fit_queues(streams, ports, spans, rules, route, count, work) > 0:
                continue
            settle(streams, ports, spans, places, stream, route, work)
            if lists_are_short(streams, ports, spans, route):
                done = 1
                break
            lift(streams, ports, spans, places, stream)
        streams.anchor[route] = anchor
        if done:
            break
    return done


@kernel
def take_queue(
    streams: Streams, spans: Spans, places: Places, stream: int, hop: int, row: int, work: Work
) -> int:
    """Take a queue for frames that were placed singly; return 1 if it was free for all of them."""
    route = places.route[stream]
    frames = spans.hyper // streams.period[stream]
    base = places.base[stream]
    for frame in range(frames):
        before = streams.before[streams.hop_offset[route] + hop]
        if before >= 0:
            work.time[before] = places.begin[base + before * frames + frame]
        work.time[hop] = places.begin[base + hop * frames + frame]
        start, length = queue_use(streams, route, hop, work.time)
        if delay_for_queue(spans, row, start, length, 0, 1, 0) > 0:
            remove(spans, row, stream)
            return 0
        insert(spans, row, start, length, stream)
    return 1


@kernel
def place_singly(
    streams: Streams,
    ports: Ports,
    spans: Spans,
    places: Places,
    rules: Rules,
    stream: int,
    work: Work,
) -> int:
    """Place each frame of a stream by itself, on one route; return 1 if done."""
    period = streams.period[stream]
    frames = spans.hyper // period
    base = places.base[stream]
    for route in range(streams.route_offset[stream], streams.route_offset[stream + 1]):
        first = streams.hop_offset[route]
        hops = streams.hop_offset[route + 1] - first
        nowait_times(streams, route, 0, work.time)
        slack = streams.jitter[stream]
        longest = min(latency(streams, route, work.time) + slack, streams.deadline[stream])
        done = 1
        for frame in range(frames):
            train = (frame * period, (frame + 1) * period, 0, 1, longest, slack)
            if fit_route(streams, spans, rules, route, train, work.time) == 0:
                done = 0
                break
            for hop in range(hops):
                insert(
                    spans,
                    streams.port[first + hop],
                    work.time[hop],
                    streams.line[first + hop],
                    stream,
                )
                places.begin[base + hop * frames + frame] = work.time[hop]
        places.route[stream] = route
        hop = 0
        while done and hop < hops:
            port = streams.port[first + hop]
            done = 0
            for queue in range(ports.queues[port] - 1, -1, -1):
                row = ports.queue_row[port] + queue
                if rules.own_queue and spans.held[row] > 0:
                    continue
                if take_queue(streams, spans, places, stream, hop, row, work):
                    places.queue[places.queue_base[stream] + hop] = queue
                    done = 1
                    break
            hop += 1
        if done and lists_are_short(streams, ports, spans, route):
            return 1
        for taken in range(hop if done else hop - 1):
            port = streams.port[first + taken]
            queue = places.queue[places.queue_base[stream] + taken]
            remove(spans, ports.queue_row[port] + queue, stream)
        for taken in range(hops):
            remove(spans, streams.port[first + taken], stream)
        places.route[stream] = -1
    return 0


@kernel
def owners_met(
    spans: Spans, row: int, start: int, length: int, step: int, count: int, work: Work
) -> int:
    """Mark the owners that a train meets in a row and return the weight of those newly marked.

    `mark[0]` is the number of the trial, `mark[1 + s]` the last trial that met stream s.
    """
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
                    work.mark[1 + owner] = work.mark[0]
                    weight += work.weight[owner]
                index += 1
    return weight


@kernel
def draw_start(streams: Streams, spans: Spans, route: int, stream: int, work: Work) -> int:
    """Draw a start at which a frame that never waits follows or precedes another one closely."""
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


@kernel
def cost_of(
    streams: Streams, ports: Ports, spans: Spans, rules: Rules, stream: int, route: int, work: Work
) -> int:
    """Mark who stands in the way of the times in `work`, choose queues, return the weight."""
    period = streams.period[stream]
    count = spans.hyper // period
    first = streams.hop_offset[route]
    cost = 0
    work.mark[0] += 1
    for hop in range(streams.hop_offset[route + 1] - first):
        port = streams.port[first + hop]
        cost += owners_met(
            spans, port, work.time[hop], streams.line[first + hop], period, count, work
        )
    for hop in range(streams.hop_offset[route + 1] - first):
        port = streams.port[first + hop]
        start, length = queue_use(streams, route, hop, work.time)
        least = -1
        for queue in range(ports.queues[port] - 1, -1, -1):
            row = ports.queue_row[port] + queue
            met = queue_cost(spans, row, start, length, period, count, work)
            if rules.own_queue and spans.held[row] > 0:
                met = queue_cost(spans, row, 0, spans.hyper, period, 1, work)
            if least < 0 or met < least:
                least = met
                work.queue[hop] = queue
        row = ports.queue_row[port] + work.queue[hop]
        if rules.own_queue:
            cost += owners_met(spans, row, 0, spans.hyper, period, 1, work)
        else:
            cost += owners_met(spans, row, start, length, period, count, work)
    return cost


@kernel
def queue_cost(
    spans: Spans, row: int, start: int, length: int, step: int, count: int, work: Work
) -> int:
    """Return about what `owners_met` would, without marking: an owner may count twice."""
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
                index += 1
    return weight


@kernel
def force(
    streams: Streams,
    ports: Ports,
    spans: Spans,
    places: Places,
    rules: Rules,
    stream: int,
    work: Work,
) -> int:
    """Put a stream, without waits, where the least weight of others must leave.

    Those that leave are the ones marked with the current trial; the caller finds them. Return 0
    when the stream had to leave again because a gate list would be too long.
    """
    routes = streams.route_offset[stream + 1] - streams.route_offset[stream]
    best = -1
    best_start = 0
    best_route = 0
    for _ in range(rules.trials):
        route = streams.route_offset[stream] + draw(work.seed, routes)
        start = draw_start(streams, spans, route, stream, work)
        nowait_times(streams, route, start, work.time)
        cost = cost_of(streams, ports, spans, rules, stream, route, work)
        if best < 0 or cost < best:
            best = cost
            best_start = start
            best_route = route
    nowait_times(streams, best_route, best_start, work.time)
    cost_of(streams, ports, spans, rules, stream, best_route, work)
    for other in range(places.route.shape[0]):
        if work.mark[1 + other] == work.mark[0] and places.route[other] >= 0:
            lift(streams, ports, spans, places, other)
    settle(streams, ports, spans, places, stream, best_route, work)
    if lists_are_short(streams, ports, spans, best_route):
        return 1
    lift(streams, ports, spans, places, stream)
    return 0


@kernel
def place(
    streams: Streams,
    ports: Ports,
    spans: Spans,
    places: Places,
    rules: Rules,
    stream: int,
    work: Work,
) -> int:
    """Place one stream beside those that are placed; return 1 if done."""
    if place_train(streams, ports, spans, places, rules, stream, work):
        return 1
    if streams.period[stream] < spans.hyper:
        return place_singly(streams, ports, spans, places, rules, stream, work)
    return 0


@kernel
def shorten(
    streams: Streams,
    ports: Ports,
    spans: Spans,
    places: Places,
    rules: Rules,
    stream: int,
    work: Work,
) -> int:
    """Place a stream again where its frames wait at most half as long, if there is such a place.

    It stays where it is otherwise. Return 1 when it was moved; frames placed singly are not.
    """
    route = places.route[stream]
    base = places.base[stream]
    period = streams.period[stream]
    frames = spans.hyper // period
    hops = streams.hop_offset[route + 1] - streams.hop_offset[route]
    for hop in range(hops):
        first = base + hop * frames
        for frame in range(frames):
            if places.begin[first + frame] != places.begin[first] + frame * period:
                return 0
        work.saved[2 * hop] = places.begin[first]
        work.saved[2 * hop + 1] = places.queue[places.queue_base[stream] + hop]
        work.time[hop] = places.begin[first]
    now = latency(streams, route, work.time)
    nowait_times(streams, route, 0, work.time)
    least = latency(streams, route, work.time)
    if now == least:
        return 0
    lift(streams, ports, spans, places, stream)
    deadline = streams.deadline[stream]
    moved = 0
    for wait in (0, (now - least) // 2):
        streams.deadline[stream] = least + wait
        if place_train(streams, ports, spans, places, rules, stream, work):
            moved = 1
            break
    streams.deadline[stream] = deadline
    if moved == 0:
        for hop in range(hops):
            work.time[hop] = work.saved[2 * hop]
            work.queue[hop] = work.saved[2 * hop + 1]
        settle(streams, ports, spans, places, stream, route, work)
    return moved


@kernel
def shorten_all(
    streams: Streams,
    ports: Ports,
    spans: Spans,
    places: Places,
    rules: Rules,
    order: Int64s,
    work: Work,
) -> int:
    """Give every stream in turn the chance of a shorter way; return how many took it."""
    moved = 0
    for item in range(order.shape[0]):
        if places.route[order[item]] >= 0:
            moved += shorten(streams, ports, spans, places, rules, order[item], work)
    return moved


@kernel
def solve(
    streams: Streams,
    ports: Ports,
    spans: Spans,
    places: Places,
    rules: Rules,
    order: Int64s,
    work: Work,
) -> int:
    """Place streams in order; who does not fit pushes others out, who queue up again.

    Return how many streams are left over when the steps are used up: 0 is success.
    """
    size = order.shape[0]
    for item in range(size):
        work.ring[item] = order[item]
    head = 0
    waiting = size
    steps = 0
    while waiting > 0:
        stream = work.ring[head]
        head = (head + 1) % size
        waiting -= 1
        if place(streams, ports, spans, places, rules, stream, work):
            continue
        if steps >= rules.steps:
            left = 1
            while waiting > 0:
                stream = work.ring[head]
                head = (head + 1) % size
                waiting -= 1
                left += 1 - place(streams, ports, spans, places, rules, stream, work)
            return left
        steps += 1
        work.weight[stream] += 1
        if force(streams, ports, spans, places, rules, stream, work) == 0:
            work.mark[1 + stream] = work.mark[0]
        for other in range(work.mark.shape[0] - 1):
            if work.mark[1 + other] == work.mark[0]:
                work.ring[(head + waiting) % size] = other
                waiting += 1
                work.mark[1 + other] = 0
    return 0
