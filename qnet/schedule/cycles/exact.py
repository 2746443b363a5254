"""Small sets of streams with cycles, searched to the end.

A stream can be placed in finitely many ways: a route or a pair of them, a wire at each hop, a phase
and, with CSQF, the cycles that its frames wait. Each is the cells (port and cycle) that it takes
bytes of. The search places that stream next which has the fewest ways left, tries each of them, and
goes back when some stream has none left. It counts its work, so the same set has the same answer
everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from qnet.schedule.cycles.kernels.book import want_of
from qnet.schedule.cycles.kernels.tables import NO_TREE, Request, StreamRequest
from qnet.schedule.cycles.kernels.trees import reach_of_tree
from qnet.schedule.cycles.kernels.waits import longest_wait, path_end
from qnet.schedule.cycles.kernels.wires import may_use
from qnet.schedule.cycles.table import Placing
from qnet.schedule.kernels import UNSEEN, Int64s

STREAMS_MAX = 24

WAYS_MAX = 20_000
"""Ways of one stream."""

CELLS_MAX = 10**6
"""Cells of all ways of one stream."""

WORK_MAX = 2 * 10**8
"""Cells that are looked at, some thousand more for each look; about two seconds."""

LOOK = 4000


class PlaceChoice(NamedTuple):
    """One way to place a stream; wires and waits by hop of the way, waits since the start."""

    way: int
    phase: int
    wires: tuple[int, ...]
    waits: tuple[int, ...]


class CyclesAnswer(NamedTuple):
    """Where every stream goes, or the word that some have to be left out, or neither."""

    places: dict[int, PlaceChoice] | None
    impossible: bool


class _Choices(NamedTuple):
    """What streams that are alike can choose from: places and, a row each, cells they take."""

    places: list[PlaceChoice]
    cells: Int64s
    uses: list[Int64s]
    """The cells of each place, each once."""
    ports: frozenset[int]


class _Stream(NamedTuple):
    """What one row can choose from."""

    row: int
    need: int
    choices: _Choices
    kind: tuple[int, ...]
    """Streams of one kind can change places."""


def search(field: Placing, rows: Int64s) -> CyclesAnswer:
    """Find places for all rows at once beside what the grid has taken already.

    That it is impossible is said of the ways that the pairs have.
    """
    if not 0 < len(rows) <= STREAMS_MAX:
        return CyclesAnswer(None, impossible=False)
    streams = []
    alike: dict[tuple[int, StreamRequest], _Choices | None] = {}
    for row in rows.tolist():
        asked = field.book.asked
        pair = int(asked[row, Request.PAIR])
        want = StreamRequest._make(int(part) for part in want_of(asked, field.pairs, row))
        if (pair, want) not in alike:
            alike[pair, want] = _choices(field, pair, want)
        choices = alike[pair, want]
        if choices is None:
            return CyclesAnswer(None, impossible=False)
        if not choices.places:
            return CyclesAnswer(None, impossible=True)
        streams.append(_Stream(row, want.need, choices, (pair, *want)))
    places: dict[int, PlaceChoice] = {}
    known = True
    for part in _parts(streams):
        answer = _Search(field.grid.free.reshape(-1).copy(), field.grid.free.shape[1], part).run()
        if answer.impossible:
            return answer
        known = known and answer.places is not None
        places.update(answer.places or {})
    return CyclesAnswer(places if known else None, impossible=False)


def _parts(streams: list[_Stream]) -> list[list[_Stream]]:
    """Put together the streams that may meet at a port, with others between."""
    parts: list[tuple[set[int], list[_Stream]]] = []
    for stream in streams:
        ports = set(stream.choices.ports)
        met = [part for part in parts if part[0] & ports]
        parts = [part for part in parts if not part[0] & ports]
        together = [one for _, part in met for one in part]
        parts.append((ports.union(*(part[0] for part in met)), [*together, stream]))
    return [sorted(part, key=lambda one: one.row) for _, part in parts]


def put(field: Placing, row: int, place: PlaceChoice) -> None:
    """Write a place into the book; the bytes are taken by `use`."""
    book = field.book
    book.way[row] = place.way
    book.phase[row] = place.phase
    book.wires[row] = 0
    book.wires[row, : len(place.wires)] = place.wires
    if book.waits.shape[1]:
        book.waits[row] = 0
        book.waits[row, : len(place.waits)] = place.waits


def _choices(field: Placing, pair: int, want: StreamRequest) -> _Choices | None:
    """List the places of a stream, quick ways first; None when they are too many."""
    ways = field.ways
    length = field.grid.free.shape[1]
    found: dict[bytes, PlaceChoice] = {}
    cells_left = CELLS_MAX
    for way in range(int(field.pairs.low[pair]), int(field.pairs.high[pair])):
        if ways.latency_ps_max[way] > want.latency_ps_most:
            continue
        first = int(ways.hop[way])
        hops = range(first, int(ways.hop[way + 1]))
        wires = [
            [
                item - int(ways.wire[hop])
                for item in range(int(ways.wire[hop]), int(ways.wire[hop + 1]))
                if may_use(field.grid, ways, want, hop, item)
            ]
            for hop in hops
        ]
        waited = _waits(field, want, way)
        if waited is None:
            return None
        cells_left -= len(waited) * prod(map(len, wires)) * len(hops) * length
        if cells_left < 0:
            return None
        for waits in waited:
            for taken in product(*wires):
                ports = [
                    int(ways.port[int(ways.wire[hop]) + wire])
                    for hop, wire in zip(hops, taken, strict=True)
                ]
                begins = [
                    int(ways.shift[hop]) + wait for hop, wait in zip(hops, waits, strict=True)
                ]
                for phase, cells in enumerate(_cells(ports, begins, want.period, length)):
                    found.setdefault(cells, PlaceChoice(way, phase, taken, waits))
                    if len(found) > WAYS_MAX:
                        return None
    table = _table(list(found))
    # Cells are in order, and what fills a row up is the first one again.
    uses = [cells[np.append(True, cells[1:] > cells[:-1])] for cells in table]
    passed = frozenset(np.unique(table // length).tolist())
    return _Choices(list(found.values()), table, uses, passed)


def _cells(
    ports: Sequence[int], begins: Sequence[int], period: int, length: int
) -> Iterator[bytes]:
    """Yield for each phase the cells of the ports that a place takes, in order, as the bytes."""
    turns = np.arange(0, length, period)[None, None, :]
    begin = np.arange(period)[:, None, None] + np.array(begins)[None, :, None]
    cells = np.array(ports)[None, :, None] * length + (begin + turns) % length
    yield from map(np.ndarray.tobytes, np.sort(cells.reshape(period, -1), axis=1))


def _table(rows: Sequence[bytes]) -> Int64s:
    """Return cells as a table; the rows of shorter ways end with their first cell, again.

    To name a cell twice changes nothing where only the least is looked at.
    """
    sizes = [len(one) // 8 for one in rows]
    width = max(sizes, default=1)
    if all(size == width for size in sizes):
        return np.frombuffer(b"".join(rows), dtype=np.int64).reshape(len(rows), width)
    padded = (one + one[:8] * (width - size) for one, size in zip(rows, sizes, strict=True))
    return np.frombuffer(b"".join(padded), dtype=np.int64).reshape(len(rows), width)


def _waits(field: Placing, want: StreamRequest, way: int) -> list[tuple[int, ...]] | None:
    """Return how long frames may have waited by each hop, short waits first; None if too many."""
    ways, scratch = field.ways, field.scratch
    first, end = int(ways.hop[way]), int(ways.hop[way + 1])
    if not want.waits:
        return [(0,) * (end - first)]
    if ways.before[first] != NO_TREE:
        return _waits_of_tree(field, want, way)
    together: list[tuple[int, ...]] = [()]
    start = first
    while start < end:
        total = int(longest_wait(field.grid, ways, want, way, start, scratch))
        last = int(path_end(ways, start))
        found: list[tuple[int, ...]] = [()]
        for hop in range(start, last + 1):
            # To wait for a whole hypercycle is not to wait.
            most = min(int(scratch.extra[hop - first]), field.grid.free.shape[1] - 1)
            found = [
                (*one, sum(one[-1:]) + more)
                for one in found
                for more in range(most + 1)
                if sum(one[-1:]) + more <= total
            ]
            if len(found) * len(together) > WAYS_MAX:
                return None
        together = [(*one, *more) for one in together for more in found]
        start = last + 1
    return sorted(together, key=lambda one: (sum(one), one))


def _waits_of_tree(field: Placing, want: StreamRequest, way: int) -> list[tuple[int, ...]] | None:
    """As `_waits`: of a tree, in which what has waited at a hop has waited for all behind it."""
    ways, scratch = field.ways, field.scratch
    first, end = int(ways.hop[way]), int(ways.hop[way + 1])
    reach_of_tree(field.grid, ways, want, way, scratch)
    found: list[tuple[int, ...]] = [()]
    for hop in range(first, end):
        before = int(ways.before[hop])
        # To wait for a whole hypercycle is not to wait.
        most = min(int(scratch.extra[hop - first]), field.grid.free.shape[1] - 1)
        longest = int(scratch.reach[hop - first])
        found = [
            (*one, so_far + more)
            for one in found
            for so_far in (one[before] if before >= 0 else 0,)
            for more in range(min(most, longest - so_far) + 1)
        ]
        if len(found) > WAYS_MAX:
            return None
    return sorted(found, key=lambda one: (sum(one), one))


class _Search:
    """The search over one set; `free` has the bytes left in every cell."""

    def __init__(self, free: Int64s, length: int, streams: list[_Stream]) -> None:
        self._free, self._streams = free, streams
        self._work = WORK_MAX
        self._taken: dict[int, int] = {}
        """Of placed streams, by index: the number of the place."""
        ports = free.reshape(-1, length)
        self._even = bool((ports == ports[:, :1]).all())
        """Whether a plan that is shifted by some cycles is a plan as well."""

    def run(self) -> CyclesAnswer:
        """Place all, or find out that this cannot be."""
        done = self._place()
        if self._work <= 0:
            return CyclesAnswer(None, impossible=False)
        if not done:
            return CyclesAnswer(None, impossible=True)
        places = {
            stream.row: stream.choices.places[self._taken[index]]
            for index, stream in enumerate(self._streams)
        }
        return CyclesAnswer(places, impossible=False)

    def _place(self) -> bool:
        """Place the stream with the fewest places left, then the others."""
        if len(self._taken) == len(self._streams):
            return True
        fewest: tuple[int, int] | None = None
        chosen: Int64s = np.zeros(0, dtype=np.int64)
        for index, stream in enumerate(self._streams):
            if index in self._taken:
                continue
            left = self._left(index, stream)
            if not left.size:
                return False
            if fewest is None or (left.size, index) < fewest:
                fewest, chosen = (left.size, index), left
        assert fewest is not None, "somebody is left to be placed"
        _, index = fewest
        need, kind = self._streams[index].need, self._streams[index].kind
        alone = sum(stream.kind == kind for stream in self._streams) == 1
        if self._even and alone and not self._taken:
            places = self._streams[index].choices.places
            chosen = chosen[[places[number].phase == 0 for number in chosen.tolist()]]
        for number in chosen.tolist():
            if self._work <= 0:
                return False
            cells = self._streams[index].choices.uses[number]
            self._free[cells] -= need
            self._taken[index] = number
            if self._place():
                return True
            del self._taken[index]
            self._free[cells] += need
        return False

    def _left(self, index: int, stream: _Stream) -> Int64s:
        """Return the numbers of the places that still have room.

        Of streams of one kind the later ones have places no earlier in the list: to change them
        round is the same plan.
        """
        low, high = 0, len(stream.choices.places)
        for other, number in self._taken.items():
            if self._streams[other].kind == stream.kind:
                low = max(low, number) if other < index else low
                high = min(high, number + 1) if other > index else high
        cells = stream.choices.cells
        self._work -= cells.size + LOOK
        room = self._free[cells[low:high]].min(axis=1, initial=UNSEEN)
        return low + np.flatnonzero(room >= stream.need)
