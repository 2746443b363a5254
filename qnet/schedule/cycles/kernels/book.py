"""Bookkeeping: requests and places in rows of a book, and what they take of all cycles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.schedule.cycles.kernels.tables import (
    Candidates,
    FreeBytes,
    Pairs,
    Request,
    Requests,
    ReservationRows,
    Scratch,
    StreamRequest,
)
from qnet.schedule.kernels import UNSEEN, Int64s

Table = NDArray[np.integer[Any]]


@inline_kernel
def need_of(asked: Requests, row: int) -> int:
    """Return the bytes of one interval of a stream, with preamble and gap."""
    return asked[row, Request.PACKETS] * (asked[row, Request.FRAME_BYTES] + 20)


@bare_kernel
def want_of(asked: Requests, pairs: Pairs, row: int) -> StreamRequest:
    """Return what one row asks for, its limits as they are before a damper."""
    latency = asked[row, Request.LATENCY_PS_MOST]
    variation = asked[row, Request.VARIATION_PS_MOST]
    if latency < 0:
        latency = UNSEEN
    if variation < 0:
        variation = UNSEEN
    if asked[row, Request.DAMPER] == 1:
        damped = pairs.damped_ps[asked[row, Request.PAIR]]
        latency = -1 if damped > variation else latency - damped
        variation = UNSEEN
    return StreamRequest(
        need_of(asked, row),
        asked[row, Request.PERIOD],
        asked[row, Request.FRAME_BYTES],
        latency,
        variation,
        asked[row, Request.WAITS],
    )


@bare_kernel
def use(grid: FreeBytes, ways: Candidates, book: ReservationRows, row: int, sign: int) -> int:
    """Take a stream's bytes out of its cycles (sign 1) or give them back (sign -1)."""
    length = grid.free.shape[1]
    period = book.asked[row, Request.PERIOD]
    need = sign * need_of(book.asked, row)
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


@bare_kernel
def write_place(
    ways: Candidates, book: ReservationRows, row: int, way: int, phase: int, scratch: Scratch
) -> int:
    """Write a way, a phase, and the wires and waits on the scratch into a row."""
    book.way[row] = way
    book.phase[row] = phase
    for place in range(ways.hop[way + 1] - ways.hop[way]):
        book.wires[row, place] = scratch.wires[place]
        if book.waits.shape[1] > 0:
            book.waits[row, place] = scratch.waits[place]
    return 0


@bare_kernel
def clear_place(book: ReservationRows, row: int) -> int:
    """Write no place into a row; its request stays."""
    book.way[row] = -1
    book.phase[row] = 0
    book.wires[row] = 0
    book.waits[row] = 0
    return 0


@bare_kernel
def copy_row(table: Table, row: int, other: Table, place: int) -> int:
    """Copy a row of one table into a place of another, or of the same."""
    for column in range(table.shape[1]):
        other[place, column] = table[row, column]
    return 0


@bare_kernel
def copy_place(book: ReservationRows, source: int, target: int) -> int:
    """Copy way, phase, wires and waits from one row to another."""
    book.way[target] = book.way[source]
    book.phase[target] = book.phase[source]
    copy_row(book.wires, source, book.wires, target)
    return copy_row(book.waits, source, book.waits, target)


@bare_kernel
def write_request(book: ReservationRows, row: int, asked: Requests, place: int) -> int:
    """Copy one request into a row."""
    return copy_row(asked, place, book.asked, row)


@bare_kernel
def clear_row(book: ReservationRows, row: int) -> int:
    """Make a row as if it had never been used."""
    book.asked[row] = 0
    return clear_place(book, row)


@bare_kernel
def take_all_rows(grid: FreeBytes, ways: Candidates, book: ReservationRows) -> int:
    """Take the bytes of every stream; return how many there are."""
    count = 0
    for row in range(book.way.shape[0]):
        if book.way[row] >= 0:
            use(grid, ways, book, row, 1)
            count += 1
    return count


@bare_kernel
def is_cut(grid: FreeBytes, ways: Candidates, book: ReservationRows, row: int) -> bool:
    """Say whether a stream uses a port that is down."""
    way = book.way[row]
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        if grid.up[ways.port[ways.wire[hop] + book.wires[row, hop - ways.hop[way]]]] == 0:
            return True
    return False


@bare_kernel
def cut_rows(grid: FreeBytes, ways: Candidates, book: ReservationRows, ids: Int64s) -> int:
    """Write the streams that use a port that is down; return how many there are."""
    count = 0
    for row in range(book.way.shape[0]):
        if book.way[row] >= 0 and is_cut(grid, ways, book, row):
            ids[count] = row
            count += 1
    return count
