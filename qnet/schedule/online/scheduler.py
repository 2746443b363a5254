"""The Scheduler: reservations of a running network, in compact arrays.

    scheduler = Scheduler(read_topology("qingyang"), hypercycle=1000)
    ids = scheduler.admit(scheduler.requests(profile.every_stream))
    scheduler.release(ids[:10])
    scheduler.save("network.state")

An id is the row of a stream. A refused one has the answer of a `Refusal` in its place. An id that
was released may be given to a later stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible
from qnet.model.topology import Topology
from qnet.model.traffic import Stream
from qnet.schedule.kernels import WEIGHT_BITS, Int64s
from qnet.schedule.online import state
from qnet.schedule.online.kernels import (
    BLOCK,
    NO_ROOM,
    NO_ROUTE,
    TOO_SLOW,
    Desk,
    Grid,
    Int32s,
    Pairs,
    Requests,
    Vacancy,
    Ways,
    admit_rows,
    best_wires,
    cut_rows,
    look_up,
    release_rows,
    reroute_rows,
    retry_rows,
    take_all_rows,
    try_all,
    try_few,
    want_of,
)
from qnet.schedule.online.ways import Pair, Way, WayTable
from qnet.schedule.reserve import CELLS_MOST, cycle_capacity
from qnet.units import show_time, wire_bytes

NEED_BYTES_MOST = 2**40

Numbers = NDArray[np.integer[Any]] | Sequence[int] | int
NO_PAIRS = np.zeros(0, dtype=np.int64)


class Refusal(IntEnum):
    """What stands in place of an id when a stream is refused."""

    NO_ROUTE = NO_ROUTE
    """There is no route (or no disjoint pair) between the two nodes."""
    TOO_SLOW = TOO_SLOW
    """No route keeps the latency or its variation, or has wires for the stream's frames."""
    NO_ROOM = NO_ROOM
    """No phase and no wires of any route in time have room."""


class Rerouted(NamedTuple):
    """What became of the streams that a failure cut.

    `moved` had their new place before the old one was given up; `replaced` only fitted into the
    room of the old one; `lost` found no place (a pair of paths may still have one that works).
    """

    moved: Int64s
    replaced: Int64s
    lost: Int64s
    lost_by_rank: dict[int, int]


class Found(NamedTuple):
    """Where streams are; `way` is -1 for an id that is not in use."""

    way: Int64s
    phase: Int64s
    latency_ps_max: Int64s


class Place(NamedTuple):
    """One stream's reservation in full: for each path its ports, and its cycles from phase on."""

    pair: Pair
    period: int
    packets: int
    frame_bytes: int
    ports: tuple[tuple[int, ...], ...]
    cycles: tuple[tuple[int, ...], ...]
    latency_ps_max: int


class Scheduler:
    """Admits, releases, changes and re-routes reserved streams of one network.

    `hypercycle` is how many cycles all intervals must divide; `other_frame_bytes` the longest
    frame of any class that is not reserved, which may be in a cycle's way (rule 4).
    """

    def __init__(self, topology: Topology, hypercycle: int, other_frame_bytes: int = 0) -> None:
        if not 0 < hypercycle * len(topology.ports) <= CELLS_MOST:
            raise Infeasible(
                f"a hypercycle of {hypercycle} cycles is not one that can be counted for "
                f"{len(topology.ports)} ports"
            )
        self.topology = topology
        self.hypercycle = hypercycle
        self.other_frame_bytes = other_frame_bytes
        guard = wire_bytes(other_frame_bytes) if other_frame_bytes else 0
        self.capacity: Int64s = np.array(
            [cycle_capacity(topology, port, guard) for port in topology.ports], dtype=np.int64
        )
        assert int(self.capacity.max()) < 2**WEIGHT_BITS, "scores would not fit into 64 bits"
        self.grid = Grid(
            np.repeat(self.capacity[:, np.newaxis], hypercycle, axis=1),
            self.capacity * hypercycle,
            2**WEIGHT_BITS // np.maximum(self.capacity, 1),
            np.array([port.rate_bps for port in topology.ports], dtype=np.int64),
            np.ones(len(topology.ports), dtype=np.int64),
        )
        self.table = WayTable(topology)
        self.book = state.empty_book(0, 1)
        self._vacancy = Vacancy(np.zeros(0, np.int64), np.zeros(1, np.int64))
        self._down: dict[str, tuple[int, ...]] = {}
        self._make_desk()

    def __len__(self) -> int:
        """Return how many streams there are."""
        return int(self._vacancy.used.sum())

    # What is asked for

    def pair(self, talker: str, listener: str, paths: int = 1) -> int:
        """Return the number by which requests name two nodes."""
        return self.table.number_of(Pair(talker, listener, paths))

    def requests(self, streams: Iterable[Stream]) -> Requests:
        """Return the requests of streams as a traffic file has them; counts are written out."""
        cycle_ps = self.topology.tcqf.cycle_ps
        rows = []
        for stream in streams:
            if stream.interval_ps % cycle_ps:
                raise Infeasible(
                    f"{stream.name}: its interval of {show_time(stream.interval_ps)} is not a "
                    f"multiple of the cycle of {show_time(cycle_ps)}"
                )
            pair = self.pair(stream.talker, stream.listener, stream.paths)
            most = [
                -1 if limit is None else limit
                for limit in (stream.max_latency_ps, stream.max_latency_variation_ps)
            ]
            row = [pair, stream.interval_ps // cycle_ps, stream.max_packets, stream.frame_bytes]
            rows += [[*row, *most, stream.rank]] * stream.count
        columns = np.array(rows, dtype=np.int64).reshape(-1, 7).T
        return self.request(*columns)

    def request(
        self,
        pair: Numbers,
        period: Numbers,
        packets: Numbers,
        frame_bytes: Numbers,
        latency_ps_most: Numbers = -1,
        variation_ps_most: Numbers = -1,
        rank: Numbers = 500,
    ) -> Requests:
        """Return requests from columns; `period` is in cycles, -1 stands for no limit."""
        given = (pair, period, packets, frame_bytes, latency_ps_most, variation_ps_most, rank)
        wide = np.broadcast_arrays(*(np.atleast_1d(np.asarray(one)) for one in given))
        return Requests._make(
            np.ascontiguousarray(column, dtype=kind)
            for column, kind in zip(wide, state.ASKED_KINDS, strict=True)
        )

    # Coming and going

    def admit(self, asked: Requests) -> Int64s:
        """Admit requests in order; return the id of each, or the Refusal in its place."""
        self._check(asked)
        ways, pairs = self._arrays(asked.pair)
        self._reserve_rows(len(asked.pair))
        ids = np.zeros(len(asked.pair), dtype=np.int64)
        admit_rows(self.grid, ways, pairs, self.book, self._vacancy, asked, ids, self._desk)
        return ids

    def release(self, ids: Sequence[int] | Int64s) -> None:
        """Release streams; all of the ids must be in use."""
        rows = np.atleast_1d(np.asarray(ids, dtype=np.int64))
        self._check_ids(rows)
        ways, _ = self._arrays()
        release_rows(self.grid, ways, self.book, self._vacancy, rows)

    def modify(self, stream: int, asked: Requests) -> Refusal | None:
        """Change one stream's request under the same id, its new place reserved before the old
        one is released. Return None, or why it stays as it was.
        """
        self._check_ids(np.array([stream]))
        answer = int(self.admit(asked)[0])
        if answer < 0:
            return Refusal(answer)
        ways, _ = self._arrays()
        state.swap_rows(self.book, stream, answer)
        release_rows(self.grid, ways, self.book, self._vacancy, np.array([answer]))
        return None

    def lookup(self, ids: Sequence[int] | Int64s) -> Found:
        """Say where streams are."""
        rows = np.atleast_1d(np.asarray(ids, dtype=np.int64))
        ways, _ = self._arrays()
        found = Found(*(np.empty(len(rows), dtype=np.int64) for _ in range(3)))
        look_up(ways, self.book, rows, *found)
        return found

    def place(self, stream: int) -> Place:
        """Return one stream's reservation in full."""
        self._check_ids(np.array([stream]))
        book = self.book
        way = self.table.ways[int(book.way[stream])]
        phase = int(book.phase[stream])
        ports: list[list[int]] = [[]]
        cycles: list[list[int]] = [[]]
        for place, hop in enumerate(way.hops):
            ports[-1].append(hop.ports[int(book.wires[stream, place])])
            cycles[-1].append(phase + hop.shift)
            if hop.steady_ps >= 0 and place + 1 < len(way.hops):
                ports.append([])
                cycles.append([])
        return Place(
            self.table.pairs[way.pair],
            int(book.asked.period[stream]),
            int(book.asked.packets[stream]),
            int(book.asked.frame_bytes[stream]),
            tuple(map(tuple, ports)),
            tuple(map(tuple, cycles)),
            way.latency_ps_max,
        )

    def ids(self) -> Int64s:
        """Return the ids that are in use."""
        return np.flatnonzero(self.book.way >= 0).astype(np.int64)

    def explain(self, asked: Requests) -> str:
        """Say why the first of the requests would be refused now, by what binds on its best way."""
        self._check(asked)
        one = Requests._make(column[:1] for column in asked)
        ways, pairs = self._arrays(one.pair)
        pair = self.table.pairs[int(one.pair[0])]
        low, high = (int(side[int(one.pair[0])]) for side in pairs)
        noun = "disjoint pair of routes" if pair.paths == 2 else "route"
        if low == high:
            return f"no {noun} from {pair.talker} to {pair.listener}"
        most_ps = int(one.latency_ps_most[0])
        quickest_ps = int(ways.latency_ps_max[low:high].min())
        if 0 <= most_ps < quickest_ps:
            return (
                f"the quickest {noun} takes {show_time(quickest_ps)} with its cycles, of "
                f"{show_time(most_ps)}"
            )
        fullest = ""
        best = -(2**62)
        for way in range(low, high):
            if 0 <= most_ps < ways.latency_ps_max[way]:
                continue
            answer = self._room(ways, one, way)
            if answer is not None and answer[0] > best:
                best, fullest = answer
        if best >= 0:
            return "it would be admitted"
        return fullest or f"no {noun} in time has wires that keep its variation and its buffers"

    def _room(self, ways: Ways, one: Requests, way: int) -> tuple[int, str] | None:
        """Return the most room on a way, below 0 when it does not fit, and where it is least."""
        desk = self._desk
        want = want_of(one, 0)
        phase = int(try_few(self.grid, ways, want, way, desk))
        if phase == -2:
            return None
        phase = int(try_all(self.grid, ways, want, way, desk))
        phase = max(phase, int(np.argmax(desk.score[: int(one.period[0])])))
        binding = int(best_wires(self.grid, ways, want, way, phase, desk))
        port = int(desk.ports[binding])
        period = int(one.period[0])
        start = phase + int(ways.shift[int(ways.hop[way]) + binding])
        cycles = (start + np.arange(0, self.hypercycle, period)) % self.hypercycle
        cycle = int(cycles[np.argmin(self.grid.free[port, cycles])])
        free = int(self.grid.free[port, cycle])
        need = int(one.packets[0]) * wire_bytes(int(one.frame_bytes[0]))
        return (
            (free - need) * int(self.grid.weight[port]),
            f"port {self.topology.ports[port].name}, cycle {cycle}: {need} bytes needed, "
            f"{free} free",
        )

    # Failures

    def fail_cable(self, cable: str) -> Rerouted:
        """Take a cable out of use and re-route what it carried, low rank first.

        New places are reserved before old ones are given up. What found none beside its old place
        is tried again in the room of it: the old one is cut anyway. Other streams are not touched.
        """
        ports = tuple(
            port.number
            for port in self.topology.ports
            if self.topology.cable(self.topology.links[port.link]) == cable
        )
        if not ports:
            raise Infeasible(f"the network has no cable '{cable}'")
        self._down[cable] = ports
        self._set_up()
        ways, _ = self._arrays()
        cut = np.zeros(len(self.book.way), dtype=np.int64)
        cut = cut[: int(cut_rows(self.grid, ways, self.book, cut))]
        asked = self.book.asked
        size = asked.packets[cut].astype(np.int64) * (asked.frame_bytes[cut] + 20)
        return self._reroute(cut[np.lexsort((cut, -size, asked.rank[cut]))])

    def mend_cable(self, cable: str) -> None:
        """Take a mended cable into use again; streams stay where they are."""
        if cable not in self._down:
            raise Infeasible(f"the cable '{cable}' is not out of use")
        del self._down[cable]
        self._set_up()

    @property
    def cables_down(self) -> tuple[str, ...]:
        """Cables out of use."""
        return tuple(sorted(self._down))

    def _set_up(self) -> None:
        down = {port for ports in self._down.values() for port in ports}
        self.grid.up[:] = 1
        self.grid.up[sorted(down)] = 0
        self.table.fail(down)

    def _reroute(self, ids: Int64s) -> Rerouted:
        ways, pairs = self._arrays(self.book.asked.pair[ids])
        self._reserve_rows(1)
        spare = int(np.argmax(self.book.way < 0))
        answer = np.zeros(len(ids), dtype=np.int64)
        reroute_rows(self.grid, ways, pairs, self.book, spare, ids, answer, self._desk)
        left = ids[answer < 0]
        again = np.zeros(len(left), dtype=np.int64)
        retry_rows(self.grid, ways, pairs, self.book, left, again, self._desk)
        lost = left[again < 0]
        ranks, counts = np.unique(self.book.asked.rank[lost], return_counts=True)
        return Rerouted(
            ids[answer == 0],
            left[again == 0],
            lost,
            dict(zip(ranks.tolist(), counts.tolist(), strict=True)),
        )

    # Files

    def save(self, path: Path | str) -> None:
        """Write the state into one file: the same state gives the same bytes."""
        state.save(path, self.topology, self._to_saved())

    @classmethod
    def restore(cls, path: Path | str, topology: Topology) -> Scheduler:
        """Read a state that was saved for the same network."""
        saved = state.load(path, topology)
        scheduler = cls(topology, saved.hypercycle, saved.other_frame_bytes)
        for cable in saved.cables_down:
            scheduler._down[cable] = tuple(
                port.number
                for port in topology.ports
                if topology.cable(topology.links[port.link]) == cable
            )
        scheduler._set_up()
        table = scheduler.table
        numbers = table.add(
            way._replace(pair=table.number_of(saved.pairs[way.pair])) for way in saved.ways
        )
        assert numbers == list(range(len(numbers)))
        scheduler.book = saved.book
        scheduler._vacancy = state.count_vacancy(saved.book)
        take_all_rows(scheduler.grid, scheduler._arrays()[0], saved.book)
        if scheduler.grid.free.min() < 0:
            state.refuse(path, "has more streams in a cycle than it holds")
        return scheduler

    def _to_saved(self) -> state.Saved:
        return state.canonical(
            self.hypercycle,
            self.other_frame_bytes,
            self.cables_down,
            self.table.pairs,
            self.table.ways,
            self.book,
        )

    # Inner matters

    def _arrays(self, wanted: NDArray[np.integer[Any]] = NO_PAIRS) -> tuple[Ways, Pairs]:
        ways, pairs = self.table.arrays(wanted)
        width = self.table.hop_count_most
        if self.book.wires.shape[1] < width:
            self.book = state.widen(self.book, width)
        if self._desk.ports.size < width:
            self._make_desk()
        return ways, pairs

    def _make_desk(self) -> None:
        width = self.table.hop_count_most
        sizes = [self.hypercycle] * 3 + [width] * 2
        self._desk = Desk(*(np.zeros(size, dtype=np.int64) for size in sizes))

    def _reserve_rows(self, more: int) -> None:
        """Make sure that there are so many vacant rows."""
        rows = len(self.book.way)
        needed = len(self) + more + 1
        if needed > rows:
            blocks = -(-max(needed, rows * 3 // 2) // BLOCK)
            self.book = state.lengthen(self.book, blocks * BLOCK)
            used = np.zeros(blocks, dtype=np.int64)
            used[: self._vacancy.used.size] = self._vacancy.used
            self._vacancy = Vacancy(used, self._vacancy.hint)

    def _check(self, asked: Requests) -> None:
        if not len(asked.pair):
            return
        need = asked.packets.astype(np.int64) * (asked.frame_bytes + 20)
        faults = [
            (asked.pair < 0) | (asked.pair >= len(self.table.pairs)),
            (asked.period < 1) | (self.hypercycle % np.maximum(asked.period, 1) != 0),
            (asked.packets < 1) | (asked.frame_bytes < 1) | (need >= NEED_BYTES_MOST),
            asked.frame_bytes > 16_000,
        ]
        words = [
            "names no pair of nodes",
            f"has a period that does not divide the hypercycle of {self.hypercycle} cycles",
            "has no frames, or more than a cycle can ever hold",
            "has frames of more than 16000 bytes",
        ]
        for fault, word in zip(faults, words, strict=True):
            if fault.any():
                raise Infeasible(f"request {int(np.argmax(fault))} {word}")

    def _check_ids(self, rows: Int64s) -> None:
        known = (rows >= 0) & (rows < len(self.book.way))
        if known.all():
            known = self.book.way[rows] >= 0
        if not known.all():
            raise Infeasible(f"no stream has the id {int(rows[int(np.argmin(known))])}")
        if len(rows) > 1 and len(np.unique(rows)) < len(rows):
            raise Infeasible("an id is given twice")


__all__ = ["Int32s", "Refusal", "Requests", "Rerouted", "Scheduler", "Way"]
