"""The search for room over ways, phases, wires and waits, as integer loops.

The state is `free[port][cycle]`: the bytes left in each cycle of the hypercycle. A stream whose
frames leave every `period` cycles and which starts in phase p uses, at a hop that its frames reach
`shift` cycles after the start, the cycles p + shift, p + shift + period, and so on round the
hypercycle. What a wire has for a phase is the least of these, and the phase is as good as its
worst hop with the best wire at each hop: wires are chosen hop by hop, so nothing is missed.

Room is compared across ports of different size as (left - need) * weight, where `weight` is
2**WEIGHT_BITS divided by the port's capacity; its sign says whether the stream fits.

There are two ways to choose. `admit_first` takes the first way that has room, and looks at two
phases over the emptiest wires before it looks at all: most streams cost a few dozen reads. The two
phases are drawn from what the wires have left, so that streams which share no wire do not see each
other, in whatever order they come. `admit_best` looks at all phases and wires and takes, among the
cheapest ways with room, the one that keeps the most. A way costs its latency, if no search has set
other prices. Either refuses only when nothing fits.

Frames of a stream that may wait (CSQF) do so where nothing fits without. A frame that starts in
phase p and has waited d extra cycles by hop h uses there the cycle p + shift[h] + d. Let `base[h]`
be what the best wire of the hop has left in the cycles of a phase. The most room that a start p can
find up to hop h, having waited d, is

    table[h][d][p] = min(base[h][p + d], max over e in 0..extra[h] of table[h - 1][d - e][p])

and the best way for a start is the largest value in the last row. Example: two hops with the rooms
[5, 0] and [0, 5] of two phases and nothing between them: without waiting the best minimum is 0,
with one extra cycle it is 5. Two disjoint paths start in the same phase and wait each for itself.

In a tree a frame has waited as long at a hop for all listeners behind it. There the table is filled
from the listeners on: what a hop and all behind it have for a frame that has waited d by then is

    table[h][d][p] = min(base[h][p + d], for each hop c behind it
                         max over e in 0..extra[c] of table[c][d + e][p])
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel, kernel
from qnet.schedule.kernels import UNSEEN, Int64s, fold

Int64Table = NDArray[np.int64]
Int32s = NDArray[np.int32]
Int16s = NDArray[np.int16]
Int8s = NDArray[np.int8]

NO_ROUTE = -1
TOO_SLOW = -2
NO_ROOM = -3

NO_TREE = -2
"""In `Ways.before`: the way is no tree."""

TRIES = 2
"""Phases that are looked at before all are."""

PRIME = 2**31 - 1


class Grid(NamedTuple):
    """Bytes left in every cycle of every port, their sum, and what a port is.

    `up[port]` is 0 after a failure.
    """

    free: Int64Table
    spare: Int64s
    weight: Int64s
    rate_bps: Int64s
    up: Int64s


class Ways(NamedTuple):
    """Hops of way w are `hop[w]` to `hop[w + 1]`, wires of hop h `wire[h]` to `wire[h + 1]`.

    A way is one path, or two disjoint ones after each other. At the last hop of a path `sooner_ps`
    is by how much it is quicker than the way, and `open_ps` how much its latency varies for a frame
    of no length; elsewhere both are -1. `margin_ps` is the time from the end of the last turn of
    its buffer at the next hop to when a frame of no length could come there at the earliest.
    `admit_best` takes the ways of a pair as `order` says, by `cost`.
    Or a way is a tree: `before[hop]` is the place in it of the hop that one follows, -1 at the
    talker, and all paths end as above, `open_ps` less by `sooner_ps`: each has a listener.
    """

    hop: Int64s
    latency_ps_max: Int64s
    shift: Int64s
    sooner_ps: Int64s
    open_ps: Int64s
    margin_ps: Int64s
    before: Int64s
    wire: Int64s
    port: Int64s
    cost: Int64s
    order: Int64s
    cycle_ps: int


class Want(NamedTuple):
    """One stream: bytes in a cycle, cycles from one to the next, limits (UNSEEN: none), waiting."""

    need: int
    period: int
    frame_bytes: int
    latency_ps_most: int
    variation_ps_most: int
    waits: int


class Pairs(NamedTuple):
    """The ways that pair i may use are `low[i]` to `high[i]`, the quickest one first.

    `damped_ps` is the variation that a damper at the listener leaves.
    """

    low: Int64s
    high: Int64s
    damped_ps: Int64s


class Requests(NamedTuple):
    """What streams ask for, one a row; -1 stands for no limit, 1 for yes."""

    pair: Int32s
    period: Int32s
    packets: Int32s
    frame_bytes: Int32s
    latency_ps_most: Int64s
    variation_ps_most: Int64s
    rank: Int16s
    waits: Int8s
    damper: Int8s


class Book(NamedTuple):
    """Streams, one a row: what was asked for, the way (-1: none), the phase, wires and waits.

    `wires[row, place]` counts from the first wire of that hop of the way; `waits[row, place]` is
    how many extra cycles frames have waited by that hop, with no columns when none ever does.
    """

    asked: Requests
    way: Int32s
    phase: Int32s
    wires: NDArray[np.int16]
    waits: NDArray[np.int16]


class Desk(NamedTuple):
    """Room to work in: one number for each phase, and one for each hop."""

    left: Int64s
    best: Int64s
    score: Int64s
    ports: Int64s
    wires: Int64s
    waits: Int64s
    extra: Int64s
    reach: Int64s


@kernel
def draw(seed: int, attempt: int, period: int) -> int:
    """Return a phase that looks random but follows from the seed."""
    value = (seed % PRIME) * 48271 % PRIME
    value = (value + attempt + 1) * 69621 % PRIME
    value ^= value >> 13
    return (value % PRIME) * 39373 % PRIME % period


@inline_kernel
def last_bit_ps(frame_bytes: int, rate_bps: int) -> int:
    """Return the time from a frame's begin to its last bit, rounded up; the gap comes after it."""
    return ((frame_bytes + 8) * 8_000_000_000_000 + rate_bps - 1) // rate_bps


@inline_kernel
def may_use(grid: Grid, ways: Ways, want: Want, hop: int, item: int) -> bool:
    """Say whether a wire is up, fits the cycle buffers and the stream's limit of variation."""
    port = ways.port[item]
    return (
        grid.up[port] == 1
        and (
            ways.margin_ps[hop] >= 0
            or ways.margin_ps[hop] + last_bit_ps(want.frame_bytes, grid.rate_bps[port]) >= 0
        )
        and (
            want.variation_ps_most == UNSEEN
            or ways.sooner_ps[hop] < 0
            or ways.sooner_ps[hop]
            + ways.open_ps[hop]
            - last_bit_ps(want.frame_bytes, grid.rate_bps[port])
            <= want.variation_ps_most
        )
    )


@kernel
def want_of(asked: Requests, pairs: Pairs, row: int) -> Want:
    """Return what one row asks for, its limits as they are before a damper."""
    latency = int(asked.latency_ps_most[row])
    variation = int(asked.variation_ps_most[row])
    if latency < 0:
        latency = UNSEEN
    if variation < 0:
        variation = UNSEEN
    if asked.damper[row] == 1:
        damped = pairs.damped_ps[asked.pair[row]]
        latency = -1 if damped > variation else latency - damped
        variation = UNSEEN
    return Want(
        int(asked.packets[row]) * (int(asked.frame_bytes[row]) + 20),
        int(asked.period[row]),
        int(asked.frame_bytes[row]),
        latency,
        variation,
        int(asked.waits[row]),
    )


@kernel
def emptiest_wires(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """Choose at each hop the usable wire with most left; return what all have left, or -1."""
    total = 0
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        place = hop - ways.hop[way]
        most = -1
        for item in range(ways.wire[hop], ways.wire[hop + 1]):
            spare = grid.spare[ways.port[item]]
            if spare > most and may_use(grid, ways, want, hop, item):
                most = spare
                desk.ports[place] = ways.port[item]
                desk.wires[place] = item - ways.wire[hop]
        if most < 0:
            return -1
        desk.waits[place] = 0
        total += most
    return total


@kernel
def room_of_phase(grid: Grid, ways: Ways, way: int, period: int, phase: int, desk: Desk) -> int:
    """Return the least bytes that the chosen wires have in the cycles of a phase."""
    length = grid.free.shape[1]
    room = UNSEEN
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        port = desk.ports[hop - ways.hop[way]]
        cycle = (phase + ways.shift[hop]) % length
        left = UNSEEN
        for _ in range(length // period):
            left = min(left, grid.free[port, cycle])
            cycle += period
            if cycle >= length:
                cycle -= length
        room = min(room, left)
    return room


@kernel
def try_few(grid: Grid, ways: Ways, want: Want, way: int, seed: int, desk: Desk) -> int:
    """Return the better of a few phases over the emptiest wires if it has room, else -1."""
    period = want.period
    chosen = -1
    most = want.need - 1
    for attempt in range(min(TRIES, period)):
        phase = draw(seed, attempt, period)
        room = room_of_phase(grid, ways, way, period, phase, desk)
        if room > most:
            most = room
            chosen = phase
    return chosen


@kernel
def hop_room(grid: Grid, ways: Ways, want: Want, hop: int, desk: Desk) -> int:
    """Write into `desk.best[phase]` the room of the hop's best wire."""
    period, need = want.period, want.need
    best, left = desk.best, desk.left
    for phase in range(period):
        best[phase] = -UNSEEN
    for item in range(ways.wire[hop], ways.wire[hop + 1]):
        if may_use(grid, ways, want, hop, item):
            port = ways.port[item]
            weight = grid.weight[port]
            fold(grid.free[port], ways.shift[hop] % grid.free.shape[1], period, left)
            for phase in range(period):
                best[phase] = max(best[phase], (left[phase] - need) * weight)
    return 0


@kernel
def add_hop(grid: Grid, ways: Ways, want: Want, hop: int, desk: Desk) -> int:
    """Lower `desk.score` to what the best wire of a hop has; return the best phase's score."""
    hop_room(grid, ways, want, hop, desk)
    best, score = desk.best, desk.score
    most = -UNSEEN
    for phase in range(want.period):
        score[phase] = min(score[phase], best[phase])
        most = max(most, score[phase])
    return most


@kernel
def best_phase(score: Int64s, period: int) -> int:
    """Return the phase with the largest score, the lowest of equals."""
    chosen = 0
    for phase in range(1, period):
        if score[phase] > score[chosen]:
            chosen = phase
    return chosen


@kernel
def score_phases(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """Fill `desk.score[phase]` over all hops and wires, no waiting; return the best phase."""
    desk.score[: want.period] = UNSEEN
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        desk.waits[hop - ways.hop[way]] = 0
        add_hop(grid, ways, want, hop, desk)
    return best_phase(desk.score, want.period)


@kernel
def try_all(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """Return the phase with the most room over all phases and wires, or -1 if none has any.

    Must follow `emptiest_wires`: the hop with the least left is looked at first, which mostly
    settles it.
    """
    period = want.period
    desk.score[:period] = UNSEEN
    low = ways.hop[way]
    high = ways.hop[way + 1]
    tightest = low
    for hop in range(low + 1, high):
        if grid.spare[desk.ports[hop - low]] < grid.spare[desk.ports[tightest - low]]:
            tightest = hop
    if add_hop(grid, ways, want, tightest, desk) < 0:
        return -1
    for hop in range(low, high):
        if hop != tightest and add_hop(grid, ways, want, hop, desk) < 0:
            return -1
    return best_phase(desk.score, period)


@kernel
def path_end(ways: Ways, hop: int) -> int:
    """Return the last hop of the path that a hop belongs to."""
    while ways.sooner_ps[hop] < 0:
        hop += 1
    return hop


@kernel
def longest_wait(grid: Grid, ways: Ways, want: Want, way: int, start: int, desk: Desk) -> int:
    """Write how long frames may wait at each hop of a path, and return how long in all.

    At a hop it is what the cycle buffers leave, whichever wire frames come by; in all what is left
    of the latency. The longer of two paths does not wait when the variation is limited, nor does
    the shorter one beyond it: then neither largest latency nor variation grows.
    """
    last = path_end(ways, start)
    first = ways.hop[way]
    desk.extra[start - first] = 0
    total = 0
    for hop in range(start, last):
        extra = UNSEEN
        for item in range(ways.wire[hop], ways.wire[hop + 1]):
            if may_use(grid, ways, want, hop, item):
                sent = last_bit_ps(want.frame_bytes, grid.rate_bps[ways.port[item]])
                extra = min(extra, (ways.margin_ps[hop] + sent) // ways.cycle_ps)
        desk.extra[hop + 1 - first] = extra
        total += extra
    most_ps = want.latency_ps_most
    two = start > first or last + 1 < ways.hop[way + 1]
    if two and want.variation_ps_most < UNSEEN:
        most_ps = min(most_ps, ways.latency_ps_max[way])
    if most_ps < UNSEEN:
        left_ps = most_ps - ways.latency_ps_max[way] + ways.sooner_ps[last]
        total = min(total, left_ps // ways.cycle_ps)
    return total


@kernel
def fill_path(
    grid: Grid,
    ways: Ways,
    want: Want,
    way: int,
    start: int,
    most: int,
    table: Int64Table,
    desk: Desk,
) -> int:
    """Fill the table of the path that begins at a hop; return the longest wait at its end.

    `table[place, waited, phase]` counts places from the first hop of the way on.
    """
    period, best = want.period, desk.best
    first = ways.hop[way]
    reach = 0
    for hop in range(start, path_end(ways, start) + 1):
        hop_room(grid, ways, want, hop, desk)
        before = reach
        extra = desk.extra[hop - first]
        reach = min(most, reach + extra)
        for waited in range(reach + 1):
            row = table[hop - first, waited]
            if hop == start:
                row[:period] = UNSEEN
            else:
                row[:period] = -UNSEEN
                for sooner in range(max(waited - extra, 0), min(waited, before) + 1):
                    past = table[hop - 1 - first, sooner]
                    for phase in range(period):
                        row[phase] = max(row[phase], past[phase])
            turn = waited % period
            for phase in range(period - turn):
                row[phase] = min(row[phase], best[phase + turn])
            for phase in range(period - turn, period):
                row[phase] = min(row[phase], best[phase + turn - period])
    return reach


@kernel
def trace_path(
    ways: Ways, way: int, start: int, most: int, phase: int, table: Int64Table, desk: Desk
) -> int:
    """Write the waits of one path that keep the score of a phase; return the whole.

    The least total is taken; of equals each wait comes as early as it can.
    """
    first = ways.hop[way]
    last = path_end(ways, start)
    floor = desk.score[phase]
    total = 0
    while table[last - first, total, phase] < floor:
        total += 1
    now = total
    for hop in range(last, start - 1, -1):
        desk.waits[hop - first] = now
        if hop > start:
            reach = 0
            for earlier in range(start + 1, hop):
                reach = min(most, reach + desk.extra[earlier - first])
            now = min(now, reach)
            while table[hop - 1 - first, now, phase] < floor:
                now -= 1
    return total


@kernel
def reach_of_tree(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """Write how long frames may wait at each hop of a tree, and have waited by it; return the most.

    What a listener's latency leaves holds for all hops on the way to it.
    """
    first = ways.hop[way]
    count = ways.hop[way + 1] - first
    desk.reach[:count] = UNSEEN
    for place in range(count - 1, -1, -1):
        hop = first + place
        if ways.sooner_ps[hop] >= 0 and want.latency_ps_most < UNSEEN:
            left_ps = want.latency_ps_most - ways.latency_ps_max[way] + ways.sooner_ps[hop]
            desk.reach[place] = min(desk.reach[place], left_ps // ways.cycle_ps)
        before = ways.before[hop]
        if before >= 0:
            desk.reach[before] = min(desk.reach[before], desk.reach[place])
    most = 0
    for place in range(count):
        before = ways.before[first + place]
        reach = 0
        desk.extra[place] = 0
        if before >= 0:
            extra = UNSEEN
            for item in range(ways.wire[first + before], ways.wire[first + before + 1]):
                if may_use(grid, ways, want, first + before, item):
                    sent = last_bit_ps(want.frame_bytes, grid.rate_bps[ways.port[item]])
                    extra = min(extra, (ways.margin_ps[first + before] + sent) // ways.cycle_ps)
            desk.extra[place] = 0 if extra == UNSEEN else extra
            reach = desk.reach[before] + desk.extra[place]
        desk.reach[place] = min(desk.reach[place], reach)
        most = max(most, desk.reach[place])
    return most


@kernel
def fill_tree(grid: Grid, ways: Ways, want: Want, way: int, table: Int64Table, desk: Desk) -> int:
    """Fill the table of a tree, and `desk.score` with what each phase has at the talker."""
    period, best, score = want.period, desk.best, desk.score
    first = ways.hop[way]
    count = ways.hop[way + 1] - first
    score[:period] = UNSEEN
    for place in range(count):
        hop_room(grid, ways, want, first + place, desk)
        for waited in range(desk.reach[place] + 1):
            for phase in range(period):
                table[place, waited, phase] = best[(phase + waited) % period]
    for place in range(count - 1, -1, -1):
        before = ways.before[first + place]
        if before < 0:
            for phase in range(period):
                score[phase] = min(score[phase], table[place, 0, phase])
            continue
        for waited in range(desk.reach[before] + 1):
            longest = min(waited + desk.extra[place], desk.reach[place])
            for phase in range(period):
                most = table[place, waited, phase]
                for later in range(waited + 1, longest + 1):
                    most = max(most, table[place, later, phase])
                table[before, waited, phase] = min(table[before, waited, phase], most)
    return 0


@kernel
def score_tree(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """As `score_waits`, of a tree: each wait of the best phase is as short as it can be."""
    first = ways.hop[way]
    count = ways.hop[way + 1] - first
    most = reach_of_tree(grid, ways, want, way, desk)
    table = np.empty((count, most + 1, want.period), dtype=np.int64)
    fill_tree(grid, ways, want, way, table, desk)
    phase = best_phase(desk.score, want.period)
    for place in range(count):
        before = ways.before[first + place]
        waited = 0
        if before >= 0:
            waited = desk.waits[before]
        while table[place, waited, phase] < desk.score[phase]:
            waited += 1
        desk.waits[place] = waited
    return phase


@kernel
def score_waits(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """As `score_phases`, for frames that may wait: also write the waits of the best phase."""
    period, score = want.period, desk.score
    low, high = ways.hop[way], ways.hop[way + 1]
    if ways.before[low] != NO_TREE:
        return score_tree(grid, ways, want, way, desk)
    second = path_end(ways, low) + 1
    most = longest_wait(grid, ways, want, way, low, desk)
    most_second = 0
    if second < high:
        most_second = longest_wait(grid, ways, want, way, second, desk)
    table = np.empty((high - low, max(most, most_second) + 1, period), dtype=np.int64)
    score[:period] = UNSEEN
    for start, longest in ((low, most), (second, most_second)):
        if start < high:
            reach = fill_path(grid, ways, want, way, start, longest, table, desk)
            end = path_end(ways, start) - low
            for phase in range(period):
                best = table[end, 0, phase]
                for waited in range(1, reach + 1):
                    best = max(best, table[end, waited, phase])
                score[phase] = min(score[phase], best)
    phase = best_phase(score, period)
    trace_path(ways, way, low, most, phase, table, desk)
    if second < high:
        trace_path(ways, way, second, most_second, phase, table, desk)
    return phase


@kernel
def best_wires(grid: Grid, ways: Ways, want: Want, way: int, phase: int, desk: Desk) -> int:
    """Choose at each hop the wire with the most room in a phase; return the hop with the least.

    Frames wait as `desk.waits` says. Of equal wires the first is chosen, of equal hops the
    earliest.
    """
    length = grid.free.shape[1]
    period, need = want.period, want.need
    binding = 0
    lowest = UNSEEN
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        place = hop - ways.hop[way]
        start = phase + ways.shift[hop] + desk.waits[place]
        most = -UNSEEN
        for item in range(ways.wire[hop], ways.wire[hop + 1]):
            if may_use(grid, ways, want, hop, item):
                port = ways.port[item]
                left = UNSEEN
                for turn in range(length // period):
                    left = min(left, grid.free[port, (start + turn * period) % length])
                room = (left - need) * grid.weight[port]
                if room > most:
                    most = room
                    desk.ports[place] = port
                    desk.wires[place] = item - ways.wire[hop]
        if most < lowest:
            lowest = most
            binding = place
    return binding


@kernel
def use(grid: Grid, ways: Ways, book: Book, row: int, sign: int) -> int:
    """Take a stream's bytes out of its cycles (sign 1) or give them back (sign -1)."""
    length = grid.free.shape[1]
    period = np.int64(book.asked.period[row])
    need = sign * np.int64(book.asked.packets[row]) * (np.int64(book.asked.frame_bytes[row]) + 20)
    turns = length // period
    way = book.way[row]
    waits = book.waits.shape[1] > 0
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        place = hop - ways.hop[way]
        port = ways.port[ways.wire[hop] + book.wires[row, place]]
        cycle = book.phase[row] + ways.shift[hop]
        if waits:
            cycle += book.waits[row, place]
        cycle %= length
        for _ in range(turns):
            grid.free[port, cycle] -= need
            cycle += period
            if cycle >= length:
                cycle -= length
        grid.spare[port] -= need * turns
    return 0


@kernel
def write_place(ways: Ways, book: Book, row: int, way: int, phase: int, desk: Desk) -> int:
    """Write a way, a phase, and the wires and waits on the desk into a row."""
    book.way[row] = way
    book.phase[row] = phase
    for place in range(ways.hop[way + 1] - ways.hop[way]):
        book.wires[row, place] = desk.wires[place]
        if book.waits.shape[1] > 0:
            book.waits[row, place] = desk.waits[place]
    return 0


@kernel
def clear_place(book: Book, row: int) -> int:
    """Write no place into a row; its request stays."""
    book.way[row] = -1
    book.phase[row] = 0
    book.wires[row] = 0
    book.waits[row] = 0
    return 0


@kernel
def phase_with_room(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """Return the phase with the most room on a way, or -1; wires and waits are on the desk."""
    phase = try_all(grid, ways, want, way, desk)
    if phase < 0 and want.waits == 1:
        phase = score_waits(grid, ways, want, way, desk)
        if desk.score[phase] < 0:
            phase = -1
    if phase >= 0:
        best_wires(grid, ways, want, way, phase, desk)
    return phase


@kernel
def admit_first(grid: Grid, ways: Ways, pairs: Pairs, book: Book, row: int, desk: Desk) -> int:
    """Put the stream of a row on the first way with room; return 0 or why there is none."""
    want = want_of(book.asked, pairs, row)
    pair = book.asked.pair[row]
    answer = NO_ROUTE
    for way in range(pairs.low[pair], pairs.high[pair]):
        answer = min(answer, TOO_SLOW)
        if ways.latency_ps_max[way] > want.latency_ps_most:
            continue
        seed = emptiest_wires(grid, ways, want, way, desk)
        if seed < 0:
            continue
        answer = NO_ROOM
        phase = try_few(grid, ways, want, way, seed, desk)
        if phase < 0:
            phase = phase_with_room(grid, ways, want, way, desk)
        if phase >= 0:
            write_place(ways, book, row, way, phase, desk)
            use(grid, ways, book, row, 1)
            return 0
    return answer


@kernel
def admit_best(grid: Grid, ways: Ways, pairs: Pairs, book: Book, row: int, desk: Desk) -> int:
    """Put the stream of a row on the emptiest of the cheapest ways with room; return 0 or why not.

    Ways without room are passed over; then those that cost as the first with room are compared.
    """
    want = want_of(book.asked, pairs, row)
    pair = book.asked.pair[row]
    answer = NO_ROUTE
    chosen = -1
    most = -1
    for item in range(pairs.low[pair], pairs.high[pair]):
        way = ways.order[item]
        answer = min(answer, TOO_SLOW)
        if ways.latency_ps_max[way] > want.latency_ps_most:
            continue
        if chosen >= 0 and ways.cost[way] > ways.cost[chosen]:
            break
        if emptiest_wires(grid, ways, want, way, desk) < 0:
            continue
        answer = NO_ROOM
        phase = phase_with_room(grid, ways, want, way, desk)
        if phase >= 0 and desk.score[phase] > most:
            chosen = way
            most = desk.score[phase]
            write_place(ways, book, row, way, phase, desk)
    if chosen >= 0:
        use(grid, ways, book, row, 1)
        return 0
    return answer


@kernel
def admit_row(
    grid: Grid, ways: Ways, pairs: Pairs, book: Book, row: int, thorough: int, desk: Desk
) -> int:
    """Admit the stream of a row whose request is written; return 0 or why not."""
    if thorough == 1:
        return admit_best(grid, ways, pairs, book, row, desk)
    return admit_first(grid, ways, pairs, book, row, desk)


@kernel
def place_rows(grid: Grid, ways: Ways, pairs: Pairs, book: Book, rows: Int64s, desk: Desk) -> int:
    """Place those rows that have no place yet, in that order; return how many found one."""
    placed = 0
    for item in range(rows.shape[0]):
        row = rows[item]
        if book.way[row] < 0 and admit_best(grid, ways, pairs, book, row, desk) == 0:
            placed += 1
    return placed


@kernel
def write_request(book: Book, row: int, asked: Requests, place: int) -> int:
    """Copy one request into a row."""
    book.asked.pair[row] = asked.pair[place]
    book.asked.period[row] = asked.period[place]
    book.asked.packets[row] = asked.packets[place]
    book.asked.frame_bytes[row] = asked.frame_bytes[place]
    book.asked.latency_ps_most[row] = asked.latency_ps_most[place]
    book.asked.variation_ps_most[row] = asked.variation_ps_most[place]
    book.asked.rank[row] = asked.rank[place]
    book.asked.waits[row] = asked.waits[place]
    book.asked.damper[row] = asked.damper[place]
    return 0


@kernel
def clear_row(book: Book, row: int) -> int:
    """Make a row as if it had never been used."""
    book.asked.pair[row] = 0
    book.asked.period[row] = 0
    book.asked.packets[row] = 0
    book.asked.frame_bytes[row] = 0
    book.asked.latency_ps_most[row] = 0
    book.asked.variation_ps_most[row] = 0
    book.asked.rank[row] = 0
    book.asked.waits[row] = 0
    book.asked.damper[row] = 0
    return clear_place(book, row)


@kernel
def take_all_rows(grid: Grid, ways: Ways, book: Book) -> int:
    """Take the bytes of every stream; return how many there are."""
    count = 0
    for row in range(book.way.shape[0]):
        if book.way[row] >= 0:
            use(grid, ways, book, row, 1)
            count += 1
    return count


@kernel
def copy_place(book: Book, source: int, target: int) -> int:
    """Copy way, phase, wires and waits from one row to another."""
    book.way[target] = book.way[source]
    book.phase[target] = book.phase[source]
    book.wires[target] = book.wires[source]
    book.waits[target] = book.waits[source]
    return 0


@kernel
def reroute_rows(
    grid: Grid,
    ways: Ways,
    pairs: Pairs,
    book: Book,
    spare_row: int,
    ids: Int64s,
    answer: Int64s,
    thorough: int,
    desk: Desk,
) -> int:
    """Give streams new places, the new one reserved before the old one is given up.

    Writes 0 for each that has moved, else why not; it then keeps its old place. `spare_row` is a
    vacant row to hold the new place meanwhile.
    """
    moved = 0
    for place in range(ids.shape[0]):
        row = ids[place]
        write_request(book, spare_row, book.asked, row)
        answer[place] = admit_row(grid, ways, pairs, book, spare_row, thorough, desk)
        if answer[place] == 0:
            use(grid, ways, book, row, -1)
            copy_place(book, spare_row, row)
            moved += 1
        clear_row(book, spare_row)
    return moved


@kernel
def retry_rows(
    grid: Grid,
    ways: Ways,
    pairs: Pairs,
    book: Book,
    spare_row: int,
    ids: Int64s,
    answer: Int64s,
    thorough: int,
    desk: Desk,
) -> int:
    """Give streams whose places are cut new ones in the room of the old ones.

    Writes 0 for each that has moved, else why not; it then has its old place again.
    """
    moved = 0
    for place in range(ids.shape[0]):
        row = ids[place]
        copy_place(book, row, spare_row)
        use(grid, ways, book, row, -1)
        answer[place] = admit_row(grid, ways, pairs, book, row, thorough, desk)
        if answer[place] == 0:
            moved += 1
        else:
            copy_place(book, spare_row, row)
            use(grid, ways, book, row, 1)
        clear_row(book, spare_row)
    return moved


@kernel
def is_cut(grid: Grid, ways: Ways, book: Book, row: int) -> bool:
    """Say whether a stream uses a port that is down."""
    way = book.way[row]
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        if grid.up[ways.port[ways.wire[hop] + book.wires[row, hop - ways.hop[way]]]] == 0:
            return True
    return False


@kernel
def cut_rows(grid: Grid, ways: Ways, book: Book, ids: Int64s) -> int:
    """Write the streams that use a port that is down; return how many there are."""
    count = 0
    for row in range(book.way.shape[0]):
        if book.way[row] >= 0 and is_cut(grid, ways, book, row):
            ids[count] = row
            count += 1
    return count
