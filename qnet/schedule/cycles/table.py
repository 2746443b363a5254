"""The one book of reservations: streams, a row each, and what they leave of every cycle.

The planner fills one with the streams of a profile. The Scheduler of a running network is one that
hands rows out and takes them back; `Reservations` names its rows and keeps a journal of them. That
streams stay where a plan has them, and what becomes of those that a failure cuts, is here for all:
nobody gives up a place before there is a better one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.graph.routes import Routes
from qnet.model.plan import StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Stream
from qnet.schedule.cycles.candidates import CandidatePath, CandidateTable
from qnet.schedule.cycles.keep import planned_way
from qnet.schedule.cycles.kernels.admit import reroute_rows, retry_rows
from qnet.schedule.cycles.kernels.book import clear_place, cut_rows, use
from qnet.schedule.cycles.kernels.tables import (
    Candidates,
    FreeBytes,
    Pairs,
    Request,
    Requests,
    ReservationRows,
    Scratch,
)
from qnet.schedule.cycles.state import (
    NO_PAIRS,
    CycleState,
    Place,
    empty_book,
    lengthen,
    place_of,
    plans_of,
    widen,
)
from qnet.schedule.kernels import Int64s


class Placing(NamedTuple):
    """All that placing works on."""

    grid: FreeBytes
    ways: Candidates
    pairs: Pairs
    book: ReservationRows
    scratch: Scratch


class Moves(NamedTuple):
    """What became of the rows that were to be given other places.

    `moved` had their new place before the old one was given up; `replaced` only fitted into the
    room of the old one; `reduced` have one path left of two, and the other's room is free again;
    `lost` have the place that they had.
    """

    moved: Int64s
    replaced: Int64s
    reduced: Int64s
    lost: Int64s


class ReservationTable:
    """Streams over `free[port][cycle]`, a row each.

    A row of `book` has what a stream asks for, and where it is, or no place; one that asks for
    nothing (its period is 0) is vacant. `streams` has by row what was asked for by name. All
    periods must divide `hypercycle` cycles; `guards` is as in `CycleState`.
    """

    def __init__(self, topology: Topology, hypercycle: int, guards: Sequence[int]) -> None:
        self.room = CycleState(topology, hypercycle, guards)
        self.book = empty_book(0, 1)
        self.streams: dict[int, Stream] = {}

    def copy(self) -> ReservationTable:
        """Return a table that goes its own way from here."""
        made = copy(self)
        made.room, made.streams = self.room.copy(), {**self.streams}
        made.book = ReservationRows._make(column.copy() for column in self.book)
        return made

    @property
    def topology(self) -> Topology:
        """The network."""
        return self.room.topology

    @property
    def hypercycle(self) -> int:
        """Cycles that all intervals divide."""
        return self.room.hypercycle

    @property
    def grid(self) -> FreeBytes:
        """What every cycle of every port has left."""
        return self.room.grid

    @property
    def table(self) -> CandidateTable:
        """The ways of all pairs."""
        return self.room.table

    @property
    def routes(self) -> Routes:
        """Routes around what is down."""
        return self.table.routes

    def field(self, wanted: NDArray[np.integer[Any]] = NO_PAIRS, *, waits: bool = False) -> Placing:
        """Return the arrays that kernels work on, with the ways of the pairs that are wanted.

        `waits` makes room for waits in the book. Rows that are added, ways that are found and
        failures make other arrays.
        """
        ways, pairs = self.room.arrays(wanted)
        width = self.table.hop_count_most
        waits = waits or self.book.waits.shape[1] > 0
        if self.book.wires.shape[1] < width or (waits and self.book.waits.shape[1] < width):
            self.book = widen(self.book, width, waits)
        return Placing(self.grid, ways, pairs, self.book, self.room.scratch)

    # Rows

    def lengthen(self, rows: int) -> None:
        """Have so many rows; new ones are vacant."""
        self.book = lengthen(self.book, rows)

    def write(self, rows: Int64s, asked: Requests) -> None:
        """Write requests into vacant rows; they have no place yet."""
        if asked[:, Request.WAITS].any():
            self.field(waits=True)
        self.book.asked[rows] = asked

    def place(self, row: int) -> Place:
        """Return the reservation of a row in full."""
        asked, way = self.book.asked[row].tolist(), self.table.ways[int(self.book.way[row])]
        return place_of(
            way,
            self.table.pairs[way.pair],
            (asked[Request.PERIOD], asked[Request.PACKETS], asked[Request.FRAME_BYTES]),
            int(self.book.phase[row]),
            self.book.wires[row].tolist(),
            self.book.waits[row].tolist(),
            self.topology.tcqf.cycle_ps,
        )

    def plans(self, row: int) -> list[StreamPlan]:
        """Return what a plan says of a stream that has a place, of each leg."""
        stream = self.streams[row]
        names = [leg.name for leg in stream.legs]
        return plans_of(self.topology, self.place(row), stream.damper, names)

    # What a plan has, and what failures cut

    def keep(self, rows: Sequence[int], planned: Sequence[Sequence[StreamPlan]]) -> None:
        """Put rows where a plan has them, each with the plans of all its legs.

        Whether there is room for them is not asked: what cycles have left may be less than nothing.
        """
        pairs = self.book.asked[np.array(rows, dtype=np.int64), Request.PAIR].tolist()
        numbers = self.table.add(
            planned_way(self.topology, pair, legs)
            for pair, legs in zip(pairs, planned, strict=True)
        )
        grid, ways, _, book, _ = self.field()
        for row, way, legs in zip(rows, numbers, planned, strict=True):
            book.way[row] = way
            book.phase[row] = legs[0].paths[0].cycles[0] % int(book.asked[row, Request.PERIOD])
            use(grid, ways, book, row, 1)

    def cut(self) -> Int64s:
        """Return the rows that use a port which is down."""
        grid, ways, _, book, _ = self.field()
        rows = np.zeros(len(book.way), dtype=np.int64)
        return rows[: int(cut_rows(grid, ways, book, rows))]

    def move(self, rows: Int64s, *, thorough: bool) -> Moves:
        """Give rows new places in this order, each reserved before the old one is given up.

        What finds none is tried again in the room of its own old place, which is cut anyway; then a
        stream with two paths keeps the one that works. There must be a vacant row. `thorough`
        compares all phases, as the planner does for all streams.
        """
        field = self.field(self.book.asked[rows, Request.PAIR])
        vacant = int(np.argmin(field.book.asked[:, Request.PERIOD]))

        def give(kernel: Callable[..., int], rows: Int64s) -> NDArray[np.bool_]:
            answer: Int64s = np.zeros(len(rows), dtype=np.int64)
            kernel(*field[:4], vacant, rows, answer, int(thorough), field.scratch)
            moved: NDArray[np.bool_] = answer == 0
            return moved

        beside = give(reroute_rows, rows)
        cut = rows[~beside]
        within = give(retry_rows, cut)
        left = cut[~within]
        whole = np.array([self._keep_whole_path(row) for row in left.tolist()], dtype=bool)
        return Moves(rows[beside], cut[within], left[whole], left[~whole])

    def _keep_whole_path(self, row: int) -> bool:
        """Leave a stream the path of its two that works, and say so; else leave all as it is.

        Of a tree nothing is left: who listens gets all frames or the stream has no place.
        """
        grid, ways, _, book, _ = self.field()
        way = self.table.ways[int(book.way[row])]
        whole = []
        for path in way.paths if not way.before else ():
            start, end = path[0], path[-1] + 1
            wires = book.wires[row, start:end].tolist()
            ports = [hop.ports[wire] for hop, wire in zip(way.hops[start:end], wires, strict=True)]
            if all(grid.up[port] for port in ports):
                whole.append((start, end))
        if not whole:
            return False
        use(grid, ways, book, row, -1)
        start, end = whole[0]
        hops = way.hops[start:end]
        latency_ps_max = way.latency_ps_max - hops[-1].skew_ps
        alone = CandidatePath(way.pair, latency_ps_max, (*hops[:-1], hops[-1]._replace(skew_ps=0)))
        held = book.wires[row, start:end].copy(), book.waits[row, start:end].copy()
        phase = int(book.phase[row])
        clear_place(book, row)
        (book.way[row],) = self.table.add([alone])
        book.phase[row] = phase
        book.wires[row, : end - start] = held[0]
        book.waits[row, : len(held[1])] = held[1]
        use(grid, self.field().ways, book, row, 1)
        return True
