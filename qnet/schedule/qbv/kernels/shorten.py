"""Placing streams again where their frames wait less."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.schedule.qbv.kernels.fit import latency, nowait_times
from qnet.schedule.qbv.kernels.place import place_train
from qnet.schedule.qbv.kernels.state import lift, settle
from qnet.schedule.qbv.kernels.tables import GateSearch, Int64s


@bare_kernel
def save_train(search: GateSearch, stream: int) -> int:
    """Write starts and queues of a stream into `work.saved`, and its starts into `work.time`.

    Return 1 when done; frames that were placed singly are no train.
    """
    streams, places, work = search.streams, search.places, search.work
    route, period = places.route[stream], streams.period[stream]
    frames = search.spans.hyper // period
    for hop in range(streams.hop_offset[route + 1] - streams.hop_offset[route]):
        first = places.base[stream] + hop * frames
        for frame in range(frames):
            if places.begin[first + frame] != places.begin[first] + frame * period:
                return 0
        work.saved[2 * hop] = places.begin[first]
        work.saved[2 * hop + 1] = places.queue[places.queue_base[stream] + hop]
        work.time[hop] = places.begin[first]
    return 1


@bare_kernel
def shorten(search: GateSearch, stream: int) -> int:
    """Place a stream again where its frames wait at most half as long, if there is such a place.

    It stays where it is otherwise. Return 1 when it was moved; frames placed singly are not.
    """
    streams, work = search.streams, search.work
    route = search.places.route[stream]
    if save_train(search, stream) == 0:
        return 0
    now = latency(streams, route, work.time)
    nowait_times(streams, route, 0, work.time)
    least = latency(streams, route, work.time)
    if now == least:
        return 0
    lift(search, stream)
    deadline = streams.deadline[stream]
    moved = 0
    for wait in (0, (now - least) // 2):
        streams.deadline[stream] = least + wait
        if place_train(search, stream) == 1:
            moved = 1
            break
    streams.deadline[stream] = deadline
    if moved == 0:
        for hop in range(streams.hop_offset[route + 1] - streams.hop_offset[route]):
            work.time[hop] = work.saved[2 * hop]
            work.queue[hop] = work.saved[2 * hop + 1]
        settle(search, stream, route)
    return moved


@bare_kernel
def shorten_all(search: GateSearch, order: Int64s) -> int:
    """Give every stream in turn the chance of a shorter way; return how many took it."""
    moved = 0
    for item in range(order.shape[0]):
        if search.places.route[order[item]] >= 0:
            moved += shorten(search, order[item])
    return moved
