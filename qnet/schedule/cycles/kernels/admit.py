"""Placing streams: the first way with room, or the best, and again after a failure.

Where frames may wait an array is made, so nothing here can be a `bare_kernel`.
"""

from __future__ import annotations

from qnet.kernel import kernel
from qnet.schedule.cycles.kernels.book import (
    clear_row,
    copy_place,
    use,
    want_of,
    write_place,
    write_request,
)
from qnet.schedule.cycles.kernels.phases import try_all, try_few
from qnet.schedule.cycles.kernels.tables import (
    NO_ROOM,
    NO_ROUTE,
    TOO_SLOW,
    Candidates,
    FreeBytes,
    Pairs,
    Request,
    ReservationRows,
    Scratch,
    StreamRequest,
)
from qnet.schedule.cycles.kernels.waits import score_waits
from qnet.schedule.cycles.kernels.wires import best_wires, emptiest_wires
from qnet.schedule.kernels import Int64s


@kernel
def phase_with_room(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, scratch: Scratch
) -> int:
    """Return the phase with the most room on a way, or -1; wires and waits are on the scratch."""
    phase = try_all(grid, ways, want, way, scratch)
    if phase < 0 and want.waits == 1:
        phase = score_waits(grid, ways, want, way, scratch)
        if scratch.score[phase] < 0:
            phase = -1
    if phase >= 0:
        best_wires(grid, ways, want, way, phase, scratch)
    return phase


@kernel
def first_fit(
    grid: FreeBytes,
    ways: Candidates,
    pairs: Pairs,
    book: ReservationRows,
    row: int,
    scratch: Scratch,
) -> int:
    """Put the stream of a row on the first way with room; return 0 or why there is none."""
    want = want_of(book.asked, pairs, row)
    pair = book.asked[row, Request.PAIR]
    answer = NO_ROUTE
    for way in range(pairs.low[pair], pairs.high[pair]):
        answer = min(answer, TOO_SLOW)
        if ways.latency_ps_max[way] > want.latency_ps_most:
            continue
        seed = emptiest_wires(grid, ways, want, way, scratch)
        if seed < 0:
            continue
        answer = NO_ROOM
        phase = try_few(grid, ways, want, way, seed, scratch)
        if phase < 0:
            phase = phase_with_room(grid, ways, want, way, scratch)
        if phase >= 0:
            write_place(ways, book, row, way, phase, scratch)
            use(grid, ways, book, row, 1)
            return 0
    return answer


@kernel
def best_fit(
    grid: FreeBytes,
    ways: Candidates,
    pairs: Pairs,
    book: ReservationRows,
    row: int,
    scratch: Scratch,
) -> int:
    """Put the stream of a row on the emptiest of the cheapest ways with room; return 0 or why not.

    Ways without room are passed over; then those that cost as the first with room are compared.
    """
    want = want_of(book.asked, pairs, row)
    pair = book.asked[row, Request.PAIR]
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
        if emptiest_wires(grid, ways, want, way, scratch) < 0:
            continue
        answer = NO_ROOM
        phase = phase_with_room(grid, ways, want, way, scratch)
        if phase >= 0 and scratch.score[phase] > most:
            chosen = way
            most = scratch.score[phase]
            write_place(ways, book, row, way, phase, scratch)
    if chosen >= 0:
        use(grid, ways, book, row, 1)
        return 0
    return answer


@kernel
def admit_row(
    grid: FreeBytes,
    ways: Candidates,
    pairs: Pairs,
    book: ReservationRows,
    row: int,
    thorough: int,
    scratch: Scratch,
) -> int:
    """Admit the stream of a row whose request is written; return 0 or why not."""
    if thorough == 1:
        return best_fit(grid, ways, pairs, book, row, scratch)
    return first_fit(grid, ways, pairs, book, row, scratch)


@kernel
def place_rows(
    grid: FreeBytes,
    ways: Candidates,
    pairs: Pairs,
    book: ReservationRows,
    rows: Int64s,
    scratch: Scratch,
) -> int:
    """Place those rows that have no place yet, in that order; return how many found one."""
    placed = 0
    for item in range(rows.shape[0]):
        row = rows[item]
        if book.way[row] < 0 and best_fit(grid, ways, pairs, book, row, scratch) == 0:
            placed += 1
    return placed


@kernel
def reroute_rows(
    grid: FreeBytes,
    ways: Candidates,
    pairs: Pairs,
    book: ReservationRows,
    spare_row: int,
    ids: Int64s,
    answer: Int64s,
    thorough: int,
    scratch: Scratch,
) -> int:
    """Give streams new places, the new one reserved before the old one is given up.

    Writes 0 for each that has moved, else why not; it then keeps its old place. `spare_row` is a
    vacant row to hold the new place meanwhile.
    """
    moved = 0
    for place in range(ids.shape[0]):
        row = ids[place]
        write_request(book, spare_row, book.asked, row)
        answer[place] = admit_row(grid, ways, pairs, book, spare_row, thorough, scratch)
        if answer[place] == 0:
            use(grid, ways, book, row, -1)
            copy_place(book, spare_row, row)
            moved += 1
        clear_row(book, spare_row)
    return moved


@kernel
def retry_rows(
    grid: FreeBytes,
    ways: Candidates,
    pairs: Pairs,
    book: ReservationRows,
    spare_row: int,
    ids: Int64s,
    answer: Int64s,
    thorough: int,
    scratch: Scratch,
) -> int:
    """Give streams whose places are cut new ones in the room of the old ones.

    Writes 0 for each that has moved, else why not; it then has its old place again.
    """
    moved = 0
    for place in range(ids.shape[0]):
        row = ids[place]
        copy_place(book, row, spare_row)
        use(grid, ways, book, row, -1)
        answer[place] = admit_row(grid, ways, pairs, book, row, thorough, scratch)
        if answer[place] == 0:
            moved += 1
        else:
            copy_place(book, spare_row, row)
            use(grid, ways, book, row, 1)
        clear_row(book, spare_row)
    return moved
