"""Rows that come and go: which are vacant, batches that are admitted and released, look-ups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qnet.kernel import bare_kernel, kernel
from qnet.schedule.cycles.kernels.admit import first_fit
from qnet.schedule.cycles.kernels.book import clear_row, use, write_request
from qnet.schedule.cycles.kernels.tables import (
    Candidates,
    FreeBytes,
    Pairs,
    Requests,
    ReservationRows,
    Scratch,
)
from qnet.schedule.kernels import Int64s

BLOCK = 4096
"""Rows that are counted together when a vacant one is looked for."""


class Vacancy(NamedTuple):
    """How many rows of each block are in use, and in `hint[0]` a row before which none is vacant.

    There is always a vacant row.
    """

    used: Int64s
    hint: Int64s


@bare_kernel
def vacant_row(book: ReservationRows, vacancy: Vacancy) -> int:
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
def admit_rows(
    grid: FreeBytes,
    ways: Candidates,
    pairs: Pairs,
    book: ReservationRows,
    vacancy: Vacancy,
    asked: Requests,
    ids: Int64s,
    scratch: Scratch,
) -> int:
    """Admit requests in order; write each one's row or why not; return how many were admitted."""
    admitted = 0
    for place in range(ids.shape[0]):
        row = vacant_row(book, vacancy)
        write_request(book, row, asked, place)
        answer = first_fit(grid, ways, pairs, book, row, scratch)
        if answer < 0:
            clear_row(book, row)
            ids[place] = answer
        else:
            ids[place] = row
            vacancy.used[row // BLOCK] += 1
            admitted += 1
    return admitted


@bare_kernel
def release_rows(
    grid: FreeBytes, ways: Candidates, book: ReservationRows, vacancy: Vacancy, ids: Int64s
) -> int:
    """Release streams; ids must be in use and differ."""
    for place in range(ids.shape[0]):
        row = ids[place]
        use(grid, ways, book, row, -1)
        clear_row(book, row)
        vacancy.used[row // BLOCK] -= 1
        vacancy.hint[0] = min(vacancy.hint[0], row)
    return 0


@bare_kernel
def latency_of(ways: Candidates, book: ReservationRows, row: int) -> int:
    """Return the largest latency of a stream: that of its way, or of a path that waits longer."""
    way = book.way[row]
    latency = ways.latency_ps_max[way]
    if book.waits.shape[1] > 0:
        for hop in range(ways.hop[way], ways.hop[way + 1]):
            if ways.skew_ps[hop] >= 0:
                waited = np.int64(book.waits[row, hop - ways.hop[way]]) * ways.cycle_ps
                latency = max(latency, ways.latency_ps_max[way] - ways.skew_ps[hop] + waited)
    return latency


@bare_kernel
def look_up(
    ways: Candidates,
    book: ReservationRows,
    ids: Int64s,
    way: Int64s,
    phase: Int64s,
    latency_ps_max: Int64s,
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
            latency_ps_max[place] = latency_of(ways, book, row)
            known += 1
    return known
