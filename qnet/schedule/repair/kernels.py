"""One round of ruin and recreate over the rows of a book.

A stream that waits picks one of its ways, a phase and its wires. Of the streams that stand in its
cycles there, some are taken out; it goes in first, then those and some others that wait, each where
most room is left. What is better, or as good, stays; else all is put back as it was.

Better means that of the lowest rank more streams have a place, then of the next, and so on.
"""

from __future__ import annotations

from typing import NamedTuple

from qnet.kernel import bare_kernel, kernel
from qnet.schedule.cycles.kernels.admit import best_fit
from qnet.schedule.cycles.kernels.book import clear_place, copy_place, use, want_of
from qnet.schedule.cycles.kernels.phases import score_phases
from qnet.schedule.cycles.kernels.tables import (
    Candidates,
    FreeBytes,
    Pairs,
    Request,
    ReservationRows,
    Scratch,
)
from qnet.schedule.cycles.kernels.wires import best_wires, emptiest_wires
from qnet.schedule.kernels import Int64s

RUINED = 24
"""Streams taken out in a round, at most."""

TRIED = 96
"""Waiting streams that are tried in a round, at most."""

DRAWS = 8 + RUINED + TRIED
"""Random words of a round."""


class RepairScratch(NamedTuple):
    """The streams that may be moved, and scratch."""

    order: Int64s
    """Their rows, those to be served first in front."""
    place: Int64s
    """By row: where in `order` it stands."""
    level: Int64s
    """By row: the number of its rank."""
    waiting: Int64s
    """Rows without a place."""
    users: Int64s
    """Rows that stand in the way."""
    chosen: Int64s
    """Rows to be placed in this round."""
    out: Int64s
    """Rows that were taken out in it."""
    gain: Int64s
    """By rank: how many streams more have a place."""
    start: Int64s
    """By port: where cycles lack room, or -1."""
    spare: int
    """The first row of the book that holds a place meanwhile."""


@bare_kernel
def common(one: int, other: int) -> int:
    """Return the greatest common divisor."""
    while other > 0:
        one, other = other, one % other
    return one


@bare_kernel
def list_waiting(book: ReservationRows, work: RepairScratch) -> int:
    """Write the rows without a place, those to be served first in front; return how many."""
    count = 0
    for item in range(work.order.shape[0]):
        if book.way[work.order[item]] < 0:
            work.waiting[count] = work.order[item]
            count += 1
    return count


@bare_kernel
def pick_cycles(
    grid: FreeBytes,
    ways: Candidates,
    pairs: Pairs,
    book: ReservationRows,
    row: int,
    draws: Int64s,
    work: RepairScratch,
    scratch: Scratch,
) -> int:
    """Draw a way and a phase for a row; write into `start[port]` where it lacks room, else -1.

    Returns how many ports lack room.
    """
    want = want_of(book.asked, pairs, row)
    low = pairs.low[book.asked[row, Request.PAIR]]
    count = pairs.high[book.asked[row, Request.PAIR]] - low
    way = low + min(draws[0] % count, draws[1] % count)
    while way > low and ways.latency_ps_max[way] > want.latency_ps_most:
        way -= 1
    work.start[:] = -1
    if emptiest_wires(grid, ways, want, way, scratch) < 0:
        return 0
    phase = draws[3] % want.period
    if draws[2] % 2 == 0:
        phase = score_phases(grid, ways, want, way, scratch)
    best_wires(grid, ways, want, way, phase, scratch)
    length = grid.free.shape[1]
    tight = 0
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        port = scratch.ports[hop - ways.hop[way]]
        begin = (phase + ways.shift[hop]) % length
        for turn in range(length // want.period):
            if grid.free[port, (begin + turn * want.period) % length] < want.need:
                if work.start[port] < 0:
                    tight += 1
                work.start[port] = begin
    return tight


@bare_kernel
def list_users(ways: Candidates, book: ReservationRows, period: int, work: RepairScratch) -> int:
    """Write the placed rows that share a cycle of `start`'s ports; return how many there are."""
    count = 0
    waits = book.waits.shape[1] > 0
    for item in range(work.order.shape[0]):
        row = work.order[item]
        way = book.way[row]
        if way >= 0:
            other = common(period, book.asked[row, Request.PERIOD])
            for hop in range(ways.hop[way], ways.hop[way + 1]):
                place = hop - ways.hop[way]
                begin = work.start[ways.port[ways.wire[hop] + book.wires[row, place]]]
                if begin >= 0:
                    cycle = book.phase[row] + ways.shift[hop]
                    if waits:
                        cycle += book.waits[row, place]
                    if (cycle - begin) % other == 0:
                        work.users[count] = row
                        count += 1
                        break
    return count


@bare_kernel
def take_out(
    grid: FreeBytes,
    ways: Candidates,
    book: ReservationRows,
    users: int,
    draws: Int64s,
    work: RepairScratch,
) -> int:
    """Take some of the users out, and note their places in the spare rows; return how many."""
    count = 0
    for item in range(1 + draws[0] % RUINED):
        row = work.users[draws[1 + item] % users]
        if book.way[row] >= 0:
            copy_place(book, row, work.spare + count)
            use(grid, ways, book, row, -1)
            clear_place(book, row)
            work.out[count] = row
            count += 1
    return count


@bare_kernel
def insert(work: RepairScratch, count: int, row: int) -> int:
    """Insert a row into the list of those to place, in their order; return the new length."""
    place = count
    while place > 0 and work.place[work.chosen[place - 1]] > work.place[row]:
        place -= 1
    if place > 0 and work.chosen[place - 1] == row:
        return count
    for item in range(count, place, -1):
        work.chosen[item] = work.chosen[item - 1]
    work.chosen[place] = row
    return count + 1


@bare_kernel
def is_no_worse(gain: Int64s) -> bool:
    """Say whether the first rank whose number of streams has changed has won some."""
    for level in range(gain.shape[0]):
        if gain[level] != 0:
            return gain[level] > 0
    return True


@kernel
def ruin_and_recreate(
    grid: FreeBytes,
    ways: Candidates,
    pairs: Pairs,
    book: ReservationRows,
    draws: Int64s,
    work: RepairScratch,
    scratch: Scratch,
) -> int:
    """Make one round; return how many streams more have a place, or 0."""
    waiting = list_waiting(book, work)
    if waiting == 0:
        return 0
    first = work.waiting[min(draws[0] % waiting, draws[1] % waiting)]
    if pick_cycles(grid, ways, pairs, book, first, draws[2:6], work, scratch) == 0:
        return 0
    users = list_users(ways, book, int(book.asked[first, Request.PERIOD]), work)
    if users == 0:
        return 0
    out = take_out(grid, ways, book, users, draws[6 : 8 + RUINED], work)
    count = 0
    for item in range(out):
        count = insert(work, count, work.out[item])
    near = min(waiting, 4 * TRIED)
    for item in range(min(TRIED, 4 + 4 * out)):
        count = insert(work, count, work.waiting[draws[8 + RUINED + item] % near])
    count = insert(work, count, first)
    work.gain[:] = 0
    best_fit(grid, ways, pairs, book, first, scratch)
    for item in range(count):
        row = work.chosen[item]
        if row != first:
            best_fit(grid, ways, pairs, book, row, scratch)
        if book.way[row] >= 0:
            work.gain[work.level[row]] += 1
    for item in range(out):
        work.gain[work.level[work.out[item]]] -= 1
    if is_no_worse(work.gain):
        return work.gain.sum()
    for item in range(count):
        row = work.chosen[item]
        if book.way[row] >= 0:
            use(grid, ways, book, row, -1)
            clear_place(book, row)
    for item in range(out):
        copy_place(book, work.spare + item, work.out[item])
        use(grid, ways, book, work.out[item], 1)
    return 0


@bare_kernel
def remove_rows(grid: FreeBytes, ways: Candidates, book: ReservationRows, rows: Int64s) -> int:
    """Take those rows out that have a place; return how many."""
    count = 0
    for item in range(rows.shape[0]):
        if book.way[rows[item]] >= 0:
            use(grid, ways, book, rows[item], -1)
            clear_place(book, rows[item])
            count += 1
    return count
