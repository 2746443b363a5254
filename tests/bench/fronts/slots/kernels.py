"""Time slots for single frames on store-and-forward links, frames waiting where they must.

A stream of period P sends a frame of `size` slots every P slots. On each link of its route the
frame has slots of its own; it may start on the next link `delay` slots after its last slot, or
later, and must have come to the end `P` slots after it started.

`busy[number, link, slot]` counts the frames of all streams that are in that slot of the link,
counted modulo the period with that number: a stream sees at once what is free for it. Periods may
be any numbers; a longer period's frame is in one slot of a shorter one, a shorter period's frame in
several of a longer one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.graph.paths.kernels import DirectedGraph, Heap, pop, push
from qnet.kernel import kernel
from qnet.schedule.kernels import UNSEEN, Int64s

Int16Cube = NDArray[np.int16]
Int64Table = NDArray[np.int64]


LINK_COST = 64
"""What an empty link costs; a full one costs 1024 more."""

FULL = 2**30
ATTEMPTS = 4
FAR = 2**20


class Slots(NamedTuple):
    """What is taken, by period and link; `period[number]` are the periods.

    A frame of one period is in `copies[number, other]` places of another one. `delay` is the time
    from the last slot on one link to the first on the next, `tail` that from the last slot on the
    last link to the end.
    """

    busy: Int16Cube
    period: Int64s
    copies: Int64Table
    delay: int
    tail: int


class Ground(NamedTuple):
    """The network, the fewest links from each node to each target, and how full each link is."""

    net: DirectedGraph
    links_left: Int64Table
    load: Int64s


class Frames(NamedTuple):
    """What streams ask for: ends, number of the period, and slots of a frame."""

    source: Int64s
    target: Int64s
    period: Int64s
    size: Int64s


class Places(NamedTuple):
    """Where streams are: how many links (0: nowhere), which, and the first slot on each.

    Slots are counted on from the first one, beyond the period.
    """

    hops: Int64s
    link: Int64Table
    start: Int64Table


class Work(NamedTuple):
    """Room to work in: cost to each node and the link it was reached by; dearer links; a route."""

    far: Int64s
    came: Int64s
    penalty: Int64s
    links: Int64s
    heap: Heap


@kernel
def next_start(row: NDArray[np.int16], period: int, size: int, low: int, high: int) -> int:
    """Return the first slot from `low` to `high` after which `size` slots are free, or -1.

    Slots are counted on beyond the period. Where a slot is busy the search goes on behind it.
    """
    start = low
    place = low % period
    free = 0
    slot = low
    while start <= high:
        if row[place] == 0:
            free += 1
            if free == size:
                return start
        else:
            free = 0
            start = slot + 1
        slot += 1
        place += 1
        if place == period:
            place = 0
    return -1


@kernel
def run_on(slots: Slots, links: Int64s, number: int, size: int, start: int, out: Int64s) -> int:
    """Let a frame that starts in a slot go on as early as it can.

    Returns how many slots it is late for its period: 0 or less is in time. Writes the starts.
    """
    period = slots.period[number]
    out[0] = start
    now = start
    for hop in range(1, links.shape[0]):
        ready = now + size + slots.delay
        now = next_start(slots.busy[number, links[hop]], period, size, ready, ready + period - 1)
        if now < 0:
            return UNSEEN
        out[hop] = now
    return now + size + slots.tail - start - period


@kernel
def last_start(row: NDArray[np.int16], period: int, size: int, low: int, high: int) -> int:
    """Return the last slot from `high` down to `low` after which `size` slots are free, or -1."""
    slot = high + size - 1
    place = slot % period
    free = 0
    while slot >= low:
        if row[place] == 0:
            free += 1
            if free >= size:
                return slot
        else:
            free = 0
        slot -= 1
        place -= 1
        if place < 0:
            place = period - 1
    return -1


@kernel
def pull_back(slots: Slots, links: Int64s, number: int, size: int, out: Int64s) -> int:
    """Keep the last start and make all before it as late as can be; return by how much it is late.

    No start between the old first one and the new one comes to the end sooner.
    """
    period = slots.period[number]
    last = links.shape[0] - 1
    for hop in range(last - 1, -1, -1):
        high = out[hop + 1] - size - slots.delay
        out[hop] = last_start(slots.busy[number, links[hop]], period, size, out[hop], high)
    return out[last] + size + slots.tail - out[0] - period


@kernel
def find_starts(slots: Slots, links: Int64s, number: int, size: int, out: Int64s) -> int:
    """Look through all starts of a route for one in time, the earliest first; return 1 if found."""
    period = slots.period[number]
    low = 0
    while low < period:
        start = next_start(slots.busy[number, links[0]], period, size, low, period - 1)
        if start < 0:
            return 0
        late = run_on(slots, links, number, size, start, out)
        if late == UNSEEN:
            return 0
        if late <= 0 or pull_back(slots, links, number, size, out) <= 0:
            return 1
        low = out[0] + 1
    return 0


@kernel
def take(slots: Slots, links: Int64s, number: int, size: int, starts: Int64s, sign: int) -> int:
    """Take the slots of a placed stream (sign 1) or give them back (sign -1)."""
    period = slots.period[number]
    for hop in range(links.shape[0]):
        for other in range(slots.period.shape[0]):
            seen = slots.period[other]
            row = slots.busy[other, links[hop]]
            for copy in range(slots.copies[number, other]):
                at = (starts[hop] + copy * period) % seen
                for _ in range(size):
                    row[at] += sign
                    at += 1
                    if at == seen:
                        at = 0
    return 0


@kernel
def find_route(
    ground: Ground, source: int, target: int, share: int, work: Work, out: Int64s
) -> int:
    """Find the cheapest route now (A*, by how many links there are left at least).

    A link costs more the fuller it is, and cannot be used when it would be more than full. Writes
    the links and returns how many there are, 0 if there is no route.
    """
    far, came, heap, net = work.far, work.came, work.heap, ground.net
    for node in range(far.shape[0]):
        far[node] = UNSEEN
    far[source] = 0
    heap.size[0] = 0
    push(heap, 0, source)
    while heap.size[0] > 0:
        node = pop(heap)
        if node == target:
            break
        if heap.key[heap.size[0]] > far[node] + ground.links_left[target, node] * LINK_COST:
            continue
        for item in range(net.out_first[node], net.out_first[node + 1]):
            link = net.out[item]
            onward = net.target[link]
            if ground.load[link] + share > FULL:
                continue
            used = (ground.load[link] * 1024) // FULL
            cost = far[node] + LINK_COST + used * used * used // 2**20 + work.penalty[link]
            if cost < far[onward]:
                far[onward] = cost
                came[onward] = link
                push(heap, cost + ground.links_left[target, onward] * LINK_COST, onward)
    if far[target] == UNSEEN:
        return 0
    count = 0
    node = target
    while node != source:
        out[count] = came[node]
        node = net.source[came[node]]
        count += 1
    for place in range(count // 2):
        out[place], out[count - 1 - place] = out[count - 1 - place], out[place]
    return count


@kernel
def place(
    slots: Slots, ground: Ground, frames: Frames, stream: int, work: Work, places: Places
) -> int:
    """Route one stream and give it slots; return 1 if it has them.

    Where a route has no slots in time, its links are made dearer and another one is looked for.
    """
    number, size = frames.period[stream], frames.size[stream]
    share = share_of(slots, number, size)
    found = 0
    for attempt in range(ATTEMPTS):
        count = find_route(
            ground, frames.source[stream], frames.target[stream], share, work, work.links
        )
        if count == 0 or size > slots.period[number]:
            break
        links = work.links[:count]
        if find_starts(slots, links, number, size, places.start[stream]) == 1:
            take(slots, links, number, size, places.start[stream], 1)
            places.hops[stream] = count
            for hop in range(count):
                places.link[stream, hop] = links[hop]
                ground.load[links[hop]] += share
            found = 1
            break
        for hop in range(count):
            work.penalty[links[hop]] += LINK_COST
        if attempt + 1 < ATTEMPTS and is_hopeless(slots, links, number, size):
            break
    work.penalty[:] = 0
    if found == 0:
        places.start[stream] = 0
    return found


@kernel
def is_hopeless(slots: Slots, links: Int64s, number: int, size: int) -> bool:
    """Say whether the first or the last link has no room at all; mostly there is no way around."""
    period = slots.period[number]
    first = next_start(slots.busy[number, links[0]], period, size, 0, period - 1)
    last = next_start(slots.busy[number, links[-1]], period, size, 0, period - 1)
    return first < 0 or last < 0


@kernel
def share_of(slots: Slots, number: int, size: int) -> int:
    """Return how much of a link a stream takes, of FULL, rounded down."""
    return size * FULL // slots.period[number]


@kernel
def place_all(
    slots: Slots, ground: Ground, frames: Frames, order: Int64s, work: Work, places: Places
) -> int:
    """Place the streams that have no place yet, in that order; return how many found one."""
    placed = 0
    for item in range(order.shape[0]):
        if places.hops[order[item]] == 0:
            placed += place(slots, ground, frames, order[item], work, places)
    return placed


@kernel
def remove_all(slots: Slots, ground: Ground, frames: Frames, order: Int64s, places: Places) -> int:
    """Take streams out again; return how many there were."""
    removed = 0
    for item in range(order.shape[0]):
        stream = order[item]
        number, size = frames.period[stream], frames.size[stream]
        count = places.hops[stream]
        if count > 0:
            links = places.link[stream, :count]
            take(slots, links, number, size, places.start[stream], -1)
            for hop in range(count):
                ground.load[links[hop]] -= share_of(slots, number, size)
            places.hops[stream] = 0
            places.start[stream] = 0
            places.link[stream] = 0
            removed += 1
    return removed


@kernel
def fill_links_left(net: DirectedGraph, links_left: Int64Table, queue: Int64s) -> int:
    """Fill `links_left[target, node]` with the fewest links from node to target, FAR if none."""
    for target in range(links_left.shape[0]):
        row = links_left[target]
        row[:] = FAR
        row[target] = 0
        queue[0] = target
        done = 0
        known = 1
        while done < known:
            node = queue[done]
            done += 1
            for item in range(net.into_first[node], net.into_first[node + 1]):
                near = net.source[net.into[item]]
                if row[near] == FAR:
                    row[near] = row[node] + 1
                    queue[known] = near
                    known += 1
    return 0
