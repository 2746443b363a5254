"""Admit, release and re-route streams that are rows of arrays.

A stream goes on the first of its ways, by delay, that has room. On each way two start phases are
looked at first, over the emptiest wire of every hop; where neither fits, all phases and all wires
are. So most streams cost a few dozen reads, and still a stream is refused only when nothing fits.
The two phases are drawn from what the wires have left: streams that share no wire do not see each
other, in whatever order they come.
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

NO_ROUTE = -1
TOO_SLOW = -2
NO_ROOM = -3

TRIES = 2
"""Phases that are looked at before all are."""

BLOCK = 4096
"""Rows that are counted together when a vacant one is looked for."""

PRIME = 2**31 - 1


class Grid(NamedTuple):
    """Bytes left in every cycle of every port, their sum, and what a port is.

    `weight` makes room comparable as in `qnet.schedule.kernels`; `up[port]` is 0 after a failure.
    """

    free: Int64Table
    spare: Int64s
    weight: Int64s
    rate_bps: Int64s
    up: Int64s


class Ways(NamedTuple):
    """Hops of way w are `hop[w]` to `hop[w + 1]`, wires of hop h `wire[h]` to `wire[h + 1]`.

    `steady_ps[h]` is, at the last hop of a path, how much the latency varies for a frame of no
    length, elsewhere -1. `frame_bytes_least` is the shortest frame that a wire may be used for.
    """

    hop: Int64s
    latency_ps_max: Int64s
    shift: Int64s
    steady_ps: Int64s
    wire: Int64s
    port: Int64s
    frame_bytes_least: Int64s


class Want(NamedTuple):
    """One stream: bytes in a cycle, cycles from one to the next, and what wires must fit."""

    need: int
    period: int
    frame_bytes: int
    variation_ps_most: int


class Pairs(NamedTuple):
    """The ways that pair i may use are `low[i]` to `high[i]`, the quickest one first."""

    low: Int64s
    high: Int64s


class Requests(NamedTuple):
    """What streams ask for, one a row; -1 stands for no limit."""

    pair: Int32s
    period: Int32s
    packets: Int32s
    frame_bytes: Int32s
    latency_ps_most: Int64s
    variation_ps_most: Int64s
    rank: Int16s


class Book(NamedTuple):
    """All streams, one a row: what was asked for, the way (-1: vacant), the phase, the wires.

    `wires[row, place]` counts from the first wire of that hop of the way.
    """

    asked: Requests
    way: Int32s
    phase: Int32s
    wires: Int16s


class Vacancy(NamedTuple):
    """How many rows of each block are in use, and in `hint[0]` a row before which none is vacant.

    There is always a vacant row.
    """

    used: Int64s
    hint: Int64s


class Desk(NamedTuple):
    """Room to work in: one number for each phase, and one for each hop."""

    left: Int64s
    best: Int64s
    score: Int64s
    ports: Int64s
    wires: Int64s


@kernel
def draw(seed: int, attempt: int, period: int) -> int:
    """Return a phase that looks random but follows from the seed."""
    value = (seed % PRIME) * 48271 % PRIME
    value = (value + attempt + 1) * 69621 % PRIME
    value ^= value >> 13
    return (value % PRIME) * 39373 % PRIME % period


@inline_kernel
def line_ps(frame_bytes: int, rate_bps: int) -> int:
    """Return the time to send a frame with its preamble and gap, rounded up."""
    return ((frame_bytes + 20) * 8_000_000_000_000 + rate_bps - 1) // rate_bps


@inline_kernel
def may_use(grid: Grid, ways: Ways, want: Want, hop: int, item: int) -> bool:
    """Say whether a wire is up and fits the stream's frames and its limit of variation."""
    port = ways.port[item]
    limited = want.variation_ps_most >= 0 and ways.steady_ps[hop] >= 0
    return (
        grid.up[port] == 1
        and want.frame_bytes >= ways.frame_bytes_least[item]
        and (
            not limited
            or ways.steady_ps[hop] - line_ps(want.frame_bytes, grid.rate_bps[port])
            <= want.variation_ps_most
        )
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
def want_of(asked: Requests, row: int) -> Want:
    """Return what one row asks for."""
    return Want(
        int(asked.packets[row]) * (int(asked.frame_bytes[row]) + 20),
        int(asked.period[row]),
        int(asked.frame_bytes[row]),
        int(asked.variation_ps_most[row]),
    )


@kernel
def try_few(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """Return the better of a few phases if it has room, -1 if none has, -2 if a hop has no wire."""
    seed = emptiest_wires(grid, ways, want, way, desk)
    if seed < 0:
        return -2
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
def add_hop(grid: Grid, ways: Ways, want: Want, hop: int, desk: Desk) -> int:
    """Lower `desk.score` to what the best wire of a hop has; return the best phase's score."""
    period, need = want.period, want.need
    best, left, score = desk.best, desk.left, desk.score
    for phase in range(period):
        best[phase] = -UNSEEN
    for item in range(ways.wire[hop], ways.wire[hop + 1]):
        if may_use(grid, ways, want, hop, item):
            port = ways.port[item]
            weight = grid.weight[port]
            fold(grid.free[port], ways.shift[hop] % grid.free.shape[1], period, left)
            for phase in range(period):
                best[phase] = max(best[phase], (left[phase] - need) * weight)
    most = -UNSEEN
    for phase in range(period):
        score[phase] = min(score[phase], best[phase])
        most = max(most, score[phase])
    return most


@kernel
def try_all(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """Return the phase with the most room over all phases and wires, or -1 if none has any.

    Must follow `try_few`: the hop with the least left is looked at first, which mostly settles it.
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
    chosen = 0
    for phase in range(1, period):
        if desk.score[phase] > desk.score[chosen]:
            chosen = phase
    return chosen


@kernel
def best_wires(grid: Grid, ways: Ways, want: Want, way: int, phase: int, desk: Desk) -> int:
    """Choose at each hop the wire with the most room in a phase; return the hop with the least."""
    length = grid.free.shape[1]
    period, need = want.period, want.need
    binding = 0
    lowest = UNSEEN
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        place = hop - ways.hop[way]
        most = -UNSEEN
        for item in range(ways.wire[hop], ways.wire[hop + 1]):
            if may_use(grid, ways, want, hop, item):
                port = ways.port[item]
                left = UNSEEN
                for turn in range(length // period):
                    cycle = (phase + ways.shift[hop] + turn * period) % length
                    left = min(left, grid.free[port, cycle])
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
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        port = ways.port[ways.wire[hop] + book.wires[row, hop - ways.hop[way]]]
        cycle = (book.phase[row] + ways.shift[hop]) % length
        for _ in range(turns):
            grid.free[port, cycle] -= need
            cycle += period
            if cycle >= length:
                cycle -= length
        grid.spare[port] -= need * turns
    return 0


@kernel
def settle(grid: Grid, ways: Ways, book: Book, row: int, way: int, phase: int, desk: Desk) -> int:
    """Write a way, a phase and the wires chosen on the desk into a row, and take the bytes."""
    book.way[row] = way
    book.phase[row] = phase
    for place in range(ways.hop[way + 1] - ways.hop[way]):
        book.wires[row, place] = desk.wires[place]
    return use(grid, ways, book, row, 1)


@kernel
def admit_row(grid: Grid, ways: Ways, pairs: Pairs, book: Book, row: int, desk: Desk) -> int:
    """Admit the stream of a row whose request is written; return 0 or why not."""
    want = want_of(book.asked, row)
    pair = book.asked.pair[row]
    most_ps = book.asked.latency_ps_most[row]
    answer = NO_ROUTE
    for way in range(pairs.low[pair], pairs.high[pair]):
        if 0 <= most_ps < ways.latency_ps_max[way]:
            answer = min(answer, TOO_SLOW)
            continue
        phase = try_few(grid, ways, want, way, desk)
        if phase == -1:
            answer = NO_ROOM
            phase = try_all(grid, ways, want, way, desk)
            if phase >= 0:
                best_wires(grid, ways, want, way, phase, desk)
        if phase >= 0:
            settle(grid, ways, book, row, way, phase, desk)
            return 0
        answer = min(answer, TOO_SLOW)
    return answer


@kernel
def vacant_row(book: Book, vacancy: Vacancy) -> int:
    """Return the lowest vacant row; there must be one."""
    row = vacancy.hint[0]
    while book.way[row] >= 0:
        row += 1
        if row % BLOCK == 0:
            block = row // BLOCK
            while vacancy.used[block] == BLOCK:
                block += 1
            row = block * BLOCK
    vacancy.hint[0] = row
    return row


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
    book.way[row] = -1
    book.phase[row] = 0
    book.wires[row] = 0
    return 0


@kernel
def admit_rows(
    grid: Grid,
    ways: Ways,
    pairs: Pairs,
    book: Book,
    vacancy: Vacancy,
    asked: Requests,
    ids: Int64s,
    desk: Desk,
) -> int:
    """Admit requests in order; write each one's row or why not; return how many were admitted."""
    admitted = 0
    for place in range(ids.shape[0]):
        row = vacant_row(book, vacancy)
        write_request(book, row, asked, place)
        answer = admit_row(grid, ways, pairs, book, row, desk)
        if answer < 0:
            clear_row(book, row)
            ids[place] = answer
        else:
            ids[place] = row
            vacancy.used[row // BLOCK] += 1
            admitted += 1
    return admitted


@kernel
def release_rows(grid: Grid, ways: Ways, book: Book, vacancy: Vacancy, ids: Int64s) -> int:
    """Release streams; ids must be in use and differ."""
    for place in range(ids.shape[0]):
        row = ids[place]
        use(grid, ways, book, row, -1)
        clear_row(book, row)
        vacancy.used[row // BLOCK] -= 1
        vacancy.hint[0] = min(vacancy.hint[0], row)
    return 0


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
    """Copy way, phase and wires from one row to another."""
    book.way[target] = book.way[source]
    book.phase[target] = book.phase[source]
    for place in range(book.wires.shape[1]):
        book.wires[target, place] = book.wires[source, place]
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
        answer[place] = admit_row(grid, ways, pairs, book, spare_row, desk)
        if answer[place] == 0:
            use(grid, ways, book, row, -1)
            copy_place(book, spare_row, row)
            moved += 1
        clear_row(book, spare_row)
    return moved


@kernel
def retry_rows(
    grid: Grid, ways: Ways, pairs: Pairs, book: Book, ids: Int64s, answer: Int64s, desk: Desk
) -> int:
    """Give streams whose places are cut new ones in the room of the old ones.

    Writes 0 for each that has moved, else why not; it then has its old place again.
    """
    moved = 0
    held = np.zeros(book.wires.shape[1], dtype=np.int16)
    for place in range(ids.shape[0]):
        row = ids[place]
        way, phase = book.way[row], book.phase[row]
        held[:] = book.wires[row]
        use(grid, ways, book, row, -1)
        answer[place] = admit_row(grid, ways, pairs, book, row, desk)
        if answer[place] == 0:
            moved += 1
        else:
            book.way[row], book.phase[row] = way, phase
            book.wires[row] = held
            use(grid, ways, book, row, 1)
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


@kernel
def look_up(
    ways: Ways, book: Book, ids: Int64s, way: Int64s, phase: Int64s, latency_ps_max: Int64s
) -> int:
    """Write where streams are; way -1 for an id that is not in use. Return how many are."""
    known = 0
    for place in range(ids.shape[0]):
        row = ids[place]
        way[place] = -1
        phase[place] = 0
        latency_ps_max[place] = 0
        if 0 <= row < book.way.shape[0] and book.way[row] >= 0:
            way[place] = book.way[row]
            phase[place] = book.phase[row]
            latency_ps_max[place] = ways.latency_ps_max[book.way[row]]
            known += 1
    return known
