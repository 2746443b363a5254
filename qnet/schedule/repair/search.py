"""Rounds of search over a plan that is there: the plan after N rounds follows from seed and N.

Round 1 empties the network and places all afresh, the cheapest first within each rank; round 2 does
so with those in front that the linear program of the bound would take. The best of the three starts
is kept. Every further round ruins and recreates a little. A clock may end the search between
rounds, and decides nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.schedule.cycles.kernels.admit import place_rows
from qnet.schedule.cycles.kernels.tables import Candidates, Pairs, Request, ReservationRows
from qnet.schedule.cycles.state import needs
from qnet.schedule.cycles.table import Placing
from qnet.schedule.kernels import Int64s
from qnet.schedule.repair.kernels import (
    DRAWS,
    RUINED,
    TRIED,
    RepairScratch,
    remove_rows,
    ruin_and_recreate,
)


class Search(NamedTuple):
    """How to search: the seed, and whether to go on after so many rounds."""

    seed: int
    go_on: Callable[[int], bool]


def priced(ways: Candidates, pairs: Pairs, prices: Int64s) -> Candidates:
    """Return ways that cost the sum of the prices of their ports, the cheap ones to be tried first.

    Wires of one hop have one price.
    """
    sums = np.concatenate([[0], np.cumsum(prices[ways.port[ways.wire[:-1]]])])
    cost = sums[ways.hop[1:]] - sums[ways.hop[:-1]]
    order = ways.order.copy()
    for low, high in zip(pairs.low.tolist(), pairs.high.tolist(), strict=True):
        if low >= 0:
            order[low:high] = low + np.argsort(cost[low:high], kind="stable")
    return ways._replace(cost=cost.astype(np.int64), order=order)


def improve(field: Placing, rows: Int64s, favoured: Int64s, most: int, search: Search) -> int:
    """Search until `most` of the rows have a place, or `go_on` says no; return the rounds made.

    `favoured` are those of the rows that the bound's program takes. Never ends with fewer streams
    placed, rank by rank, than it began with.
    """
    book = field.book
    cheap = cheapest_first(field, rows)
    starts = [cheap, favoured_first(book, cheap, favoured)]
    work = _work(field, cheap)
    words = np.random.PCG64(search.seed)
    rounds = 0
    placed = int((book.way[rows] >= 0).sum())
    while placed < most and search.go_on(rounds):
        if rounds < len(starts):
            _start_afresh(field, work, starts[rounds])
            placed = int((book.way[rows] >= 0).sum())
        else:
            placed += _round(field, work, words)
        rounds += 1
    # A last sweep: whoever is refused does not fit beside all others.
    place_rows(*field[:4], cheap, field.scratch)
    return rounds


def repair(field: Placing, rows: Int64s, rounds: int, seed: int) -> None:
    """Make rounds of ruin and recreate, and a last sweep over all that still wait."""
    cheap = cheapest_first(field, rows)
    work = _work(field, cheap)
    words = np.random.PCG64(seed)
    for _ in range(rounds):
        _round(field, work, words)
    place_rows(*field[:4], cheap, field.scratch)


def _round(field: Placing, work: RepairScratch, words: np.random.PCG64) -> int:
    draws = (words.random_raw(DRAWS) >> np.uint64(1)).astype(np.int64)
    return int(ruin_and_recreate(*field[:4], draws, work, field.scratch))


def cheapest_first(field: Placing, rows: Int64s) -> Int64s:
    """Sort by rank; within it by what a stream takes of all links on its cheapest way."""
    asked = field.book.asked[rows]
    cheapest = field.ways.order[field.pairs.low[asked[:, Request.PAIR]]]
    cost = field.ways.cost[cheapest]
    period = asked[:, Request.PERIOD]
    taken = needs(asked) * (field.grid.free.shape[1] // period)
    return rows[np.lexsort((rows, period, taken * cost, asked[:, Request.RANK]))]


def favoured_first(book: ReservationRows, order: Int64s, favoured: Int64s) -> Int64s:
    """Sort by rank; within it those that the bound takes first, the large before the small, then
    all others as they stand: small ones still fit into what is left.
    """
    asked = book.asked[favoured]
    first = favoured[np.lexsort((favoured, asked[:, Request.PERIOD], -needs(asked)))]
    both = np.concatenate([first, order[~np.isin(order, favoured)]])
    return both[np.argsort(book.asked[both, Request.RANK], kind="stable")]


def _work(field: Placing, order: Int64s) -> RepairScratch:
    book = field.book
    ranks = np.unique(book.asked[order, Request.RANK])
    place = np.zeros(len(book.way), dtype=np.int64)
    place[order] = np.arange(len(order))
    return RepairScratch(
        order=order,
        place=place,
        level=np.searchsorted(ranks, book.asked[:, Request.RANK]).astype(np.int64),
        waiting=np.zeros(len(order), dtype=np.int64),
        users=np.zeros(len(order), dtype=np.int64),
        chosen=np.zeros(RUINED + TRIED + 1, dtype=np.int64),
        out=np.zeros(RUINED, dtype=np.int64),
        gain=np.zeros(max(len(ranks), 1), dtype=np.int64),
        start=np.zeros(len(field.grid.spare), dtype=np.int64),
        spare=len(book.way) - RUINED,
    )


def _start_afresh(field: Placing, work: RepairScratch, order: Int64s) -> None:
    """Place all in another order, and keep what is better."""
    grid, book = field.grid, field.book
    columns: list[NDArray[Any]] = [*book[1:], grid.free, grid.spare]
    before = _by_level(book, work)
    held = [column.copy() for column in columns]
    remove_rows(grid, field.ways, book, order)
    place_rows(*field[:4], order, field.scratch)
    if _by_level(book, work) < before:
        for column, old in zip(columns, held, strict=True):
            column[...] = old


def _by_level(book: ReservationRows, work: RepairScratch) -> list[int]:
    placed = work.order[book.way[work.order] >= 0]
    counts: list[int] = np.bincount(work.level[placed], minlength=work.gain.size).tolist()
    return counts
