"""The Scheduler: reservations of a running network, in compact arrays.

    scheduler = Scheduler(read_topology("qingyang"), hypercycle=1000)
    ids = scheduler.admit(scheduler.requests(profile.every_stream))
    scheduler.release(ids[:10])
    scheduler.save("network.state")

An id is the row of a stream. A refused one has the answer of a `Refusal` in its place. An id that
was released may be given to a later stream.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible
from qnet.model.outages import ports_by_target
from qnet.model.plan import StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Stream
from qnet.schedule.cycles.candidates import Pair
from qnet.schedule.cycles.kernels.book import take_all_rows
from qnet.schedule.cycles.kernels.tables import NO_ROOM, NO_ROUTE, TOO_SLOW, Request, Requests
from qnet.schedule.cycles.state import Place, needs
from qnet.schedule.cycles.table import ReservationTable
from qnet.schedule.kernels import Int64s
from qnet.schedule.online import state
from qnet.schedule.online.kernels import BLOCK, Vacancy, admit_rows, look_up, release_rows

NEED_BYTES_MOST = 2**40
PACKETS_MOST = 2**31 - 1
FRAME_BYTES_MOST = 16_000
RANK_MOST = 1000
"""Requests beyond these are mistakes; a state file holds no larger numbers of packets and ranks."""

Numbers = NDArray[np.integer[Any]] | Sequence[int] | int


class Refusal(IntEnum):
    """What stands in place of an id when a stream is refused."""

    NO_ROUTE = NO_ROUTE
    """There is no route (or no disjoint pair) between the two nodes."""
    TOO_SLOW = TOO_SLOW
    """No route keeps the latency or its variation, or has wires for the stream's frames."""
    NO_ROOM = NO_ROOM
    """No phase and no wires of any route in time have room."""


class Rerouted(NamedTuple):
    """What became of the streams that a failure cut, see `table.Moves`.

    `lost_by_rank` counts those that are reduced or lost.
    """

    moved: Int64s
    replaced: Int64s
    reduced: Int64s
    lost: Int64s
    lost_by_rank: dict[int, int]


class Found(NamedTuple):
    """Where streams are; `way` is -1 for an id that is not in use.

    Numbers of ways hold until the next failure or repair.
    """

    way: Int64s
    phase: Int64s
    latency_ps_max: Int64s


class Scheduler(ReservationTable):
    """Admits, releases, changes and re-routes reserved streams of one network.

    `hypercycle` is how many cycles all intervals must divide; `other_frame_bytes` the longest
    frame of any class that is not reserved, which may be in a cycle's way (rule 4), for all ports
    or port by port. No stream may use the ports that are `closed`, such as those with gates.
    """

    def __init__(
        self,
        topology: Topology,
        hypercycle: int,
        other_frame_bytes: int | Sequence[int] = 0,
        closed: Collection[int] = (),
    ) -> None:
        if isinstance(other_frame_bytes, int):
            other_frame_bytes = [other_frame_bytes] * len(topology.ports)
        super().__init__(topology, hypercycle, other_frame_bytes)
        self._closed = frozenset(closed)
        self._vacancy = Vacancy(np.zeros(0, np.int64), np.zeros(1, np.int64))
        self._down: tuple[str, ...] = ()
        self._set_up()

    def __len__(self) -> int:
        """Return how many streams there are."""
        return int(self._vacancy.used.sum())

    # What is asked for

    def pair(self, talker: str, listener: str, paths: int = 1) -> int:
        """Return the number by which requests name two nodes."""
        return self.table.number_of(Pair(talker, listener, paths))

    def requests(
        self, streams: Iterable[Stream], may_wait: Callable[[Stream], bool] = lambda stream: False
    ) -> Requests:
        """Return the requests of streams as a traffic file has them; counts are written out.

        `may_wait` says whose frames may wait extra cycles (CSQF), such as `profile.may_wait`.
        Raises Infeasible for a stream with several listeners, and for a leg of one.
        """
        streams = list(streams)
        for stream in streams:
            if len(stream.listeners) > 1 or stream.tree != stream.name:
                raise Infeasible(
                    f"{stream.name}: has several listeners; a Scheduler has streams with one. "
                    "Reservations and plans for whole profiles have trees"
                )
        return self.room.requests(streams, may_wait)

    def request(  # noqa: PLR0913 - one for each column of a request
        self,
        pair: Numbers,
        period: Numbers,
        packets: Numbers,
        frame_bytes: Numbers,
        latency_ps_most: Numbers = -1,
        variation_ps_most: Numbers = -1,
        rank: Numbers = 500,
        *,
        waits: Numbers = 0,
        damper: Numbers = 0,
    ) -> Requests:
        """Return requests from columns; `period` is in cycles, -1 stands for no limit.

        `waits` is 1 where frames may wait extra cycles (CSQF), `damper` 1 where the listener's node
        holds them.
        """
        asked = (pair, period, packets, frame_bytes, latency_ps_most, variation_ps_most, rank)
        columns = [np.atleast_1d(np.asarray(one, np.int64)) for one in (*asked, waits, damper)]
        return np.stack(np.broadcast_arrays(*columns), axis=1)

    # Coming and going

    def admit(self, asked: Requests) -> Int64s:
        """Admit requests in order; return the id of each, or the Refusal in its place."""
        self._check(asked)
        self._reserve_rows(len(asked))
        field = self.field(asked[:, Request.PAIR], waits=bool(asked[:, Request.WAITS].any()))
        ids = np.zeros(len(asked), dtype=np.int64)
        admit_rows(*field[:4], self._vacancy, asked, ids, field.scratch)
        return ids

    def release(self, ids: Sequence[int] | Int64s) -> None:
        """Release streams; all of the ids must be in use."""
        rows = np.atleast_1d(np.asarray(ids, dtype=np.int64))
        self._check_ids(rows)
        self._release(rows)

    def _release(self, rows: Int64s) -> None:
        release_rows(self.grid, self.field().ways, self.book, self._vacancy, rows)

    def modify(self, stream: int, asked: Requests) -> Refusal | None:
        """Change one stream's request under the same id, its new place reserved before the old
        one is released. Return None, or why it stays as it was.
        """
        self._check_ids(np.array([stream]))
        answer = int(self.admit(asked)[0])
        if answer < 0:
            return Refusal(answer)
        state.swap_rows(self.book, stream, answer)
        self._release(np.array([answer]))
        return None

    def lookup(self, ids: Sequence[int] | Int64s) -> Found:
        """Say where streams are."""
        rows = np.atleast_1d(np.asarray(ids, dtype=np.int64))
        found = Found(*(np.empty(len(rows), dtype=np.int64) for _ in range(3)))
        look_up(self.field().ways, self.book, rows, *found)
        return found

    def place(self, row: int) -> Place:
        """Return one stream's reservation in full."""
        self._check_ids(np.array([row]))
        return super().place(row)

    def ids(self) -> Int64s:
        """Return the ids that are in use."""
        return np.flatnonzero(self.book.way >= 0).astype(np.int64)

    def explain(self, asked: Requests) -> str:
        """Say why the first of the requests would be refused now, by what binds on its best way."""
        self._check(asked)
        return self.room.why_not(asked, 0) or "it would be admitted"

    def adopt(self, asked: Requests, planned: Sequence[Sequence[StreamPlan]]) -> Int64s:
        """Put streams where a plan has them, each with the plans of all its legs; return the ids.

        Raises Infeasible, and leaves all as it is, when that is more than there is room for.
        """
        self._check(asked)
        self._reserve_rows(len(asked))
        rows = np.flatnonzero(self.book.way < 0)[: len(asked)]
        self.write(rows, asked)
        self.keep(rows.tolist(), planned)
        self._vacancy = state.count_vacancy(self.book)
        if self.grid.free.size and self.grid.free.min() < 0:
            self.release(rows)
            raise Infeasible("the plan has more streams in a cycle than it holds")
        return rows

    # Failures

    def fail(self, *targets: str) -> Rerouted:
        """Take links, wires, cables, nodes or sites out of use and re-route what they carried.

        Low rank comes first, and other streams are not touched.
        New places are reserved before old ones are given up. What found none beside its old place
        is tried again in the room of it: the old one is cut anyway. Of two paths the one that works
        is kept. Lost streams keep their reservation: they are whole again when the target is.
        Raises Infeasible, and does nothing, where a target is not known or out of use already.
        """
        self._refuse([name for name in targets if name not in self._ports_of], "is not known here")
        self._refuse([name for name in targets if name in self._down], "is out of use already")
        self._down = tuple(sorted({*self._down, *targets}))
        self._set_up()
        return self.reroute(self.cut())

    def reroute(self, ids: Sequence[int] | Int64s) -> Rerouted:
        """Give streams new places, low rank first, each reserved before the old one is given up.

        Streams that no port is down for only move to a place beside their old one; for the others
        see `fail`. Two paths that a failure has reduced to one become two again if they can.
        """
        rows = np.atleast_1d(np.asarray(ids, dtype=np.int64))
        if not rows.size:
            return Rerouted(rows, rows, rows, rows, {})
        self._check_ids(rows)
        asked = self.book.asked[rows]
        self._reserve_rows(1)
        moves = self.move(
            rows[np.lexsort((rows, -needs(asked), asked[:, Request.RANK]))], thorough=False
        )
        hurt = np.concatenate([moves.reduced, moves.lost])
        ranks, counts = np.unique(self.book.asked[hurt, Request.RANK], return_counts=True)
        return Rerouted(*moves, dict(zip(ranks.tolist(), counts.tolist(), strict=True)))

    def repair(self, *targets: str) -> None:
        """Take what was repaired into use again; streams stay where they are.

        A port is in use when no other target that it belongs to is down.
        """
        self._refuse([name for name in targets if name not in self._down], "is not out of use")
        self._down = tuple(name for name in self._down if name not in targets)
        self._set_up()

    @property
    def down(self) -> tuple[str, ...]:
        """Links, wires, cables, nodes and sites out of use."""
        return self._down

    @cached_property
    def _ports_of(self) -> Mapping[str, tuple[int, ...]]:
        return ports_by_target(self.topology)

    def _refuse(self, targets: Sequence[str], why: str) -> None:
        if targets:
            names = ", ".join(f"'{name}'" for name in targets)
            raise Infeasible(f"link, wire, cable, node or site {names} {why}")

    def _set_up(self) -> None:
        self.forget()
        down = {port for name in self._down for port in self._ports_of[name]}
        self.room.set_down(self._closed | down)

    def forget(self, *, pairs: bool = False) -> None:
        """Forget the ways that nothing uses any more, once there are many; numbers of ways change.

        With `pairs` pairs of nodes that no stream is between are forgotten too: their numbers, and
        requests that were made of them, hold no longer.
        """
        if self.table.is_full:
            used = self.book.way >= 0
            way, pair = self.book.way, self.book.asked[:, Request.PAIR]
            kept = self.table.forget(np.unique(way[used]), np.unique(pair[used]) if pairs else None)
            way[used] = kept.way[way[used]]
            pair[used] = kept.pair[pair[used]]

    # Files

    def save(self, path: Path | str) -> None:
        """Write the state into one file: the same state gives the same bytes."""
        state.save(path, self.topology, self._to_saved())

    @classmethod
    def restore(cls, path: Path | str, topology: Topology) -> Scheduler:
        """Read a state that was saved for the same network."""
        return cls.of_saved(state.load(path, topology), topology, path)

    @classmethod
    def of_saved(cls, saved: state.Saved, topology: Topology, path: Path | str) -> Scheduler:
        """Return a scheduler with a state without faults, from the file `path`."""
        scheduler = cls(topology, saved.hypercycle, saved.guards, saved.closed)
        scheduler._down = saved.down
        scheduler._set_up()
        table = scheduler.table
        numbers = table.add(
            way._replace(pair=table.number_of(saved.pairs[way.pair])) for way in saved.ways
        )
        if numbers != list(range(len(numbers))):
            state.refuse(path, "has one way twice")
        scheduler.book = state.in_blocks(saved.book)
        scheduler._vacancy = state.count_vacancy(scheduler.book)
        take_all_rows(scheduler.grid, scheduler.field().ways, scheduler.book)
        if scheduler.grid.free.min() < 0:
            state.refuse(path, "has more streams in a cycle than it holds")
        return scheduler

    def _to_saved(self) -> state.Saved:
        return state.canonical(
            self.hypercycle,
            tuple(self.room.guards),
            tuple(sorted(self._closed)),
            self._down,
            self.table.pairs,
            self.table.ways,
            self.book,
        )

    # Inner matters

    def _reserve_rows(self, more: int) -> None:
        """Make sure that there are so many vacant rows."""
        rows = len(self.book.way)
        needed = len(self) + more + 1
        if needed > rows:
            blocks = -(-max(needed, rows * 3 // 2) // BLOCK)
            self.lengthen(blocks * BLOCK)
            used = np.zeros(blocks, dtype=np.int64)
            used[: self._vacancy.used.size] = self._vacancy.used
            self._vacancy = Vacancy(used, self._vacancy.hint)

    def _check(self, asked: Requests) -> None:
        if not len(asked):
            return
        pair, period, rank = (asked[:, one] for one in (Request.PAIR, Request.PERIOD, Request.RANK))
        packets, frame_bytes = asked[:, Request.PACKETS], asked[:, Request.FRAME_BYTES]
        faults = [
            (asked[:, [Request.WAITS, Request.DAMPER]] & ~1).any(axis=1),
            (pair < 0) | (pair >= len(self.table.pairs)),
            (period < 1) | (self.hypercycle % np.maximum(period, 1) != 0),
            (packets < 1) | (frame_bytes < 1),
            (packets > PACKETS_MOST) | (needs(asked) >= NEED_BYTES_MOST),
            frame_bytes > FRAME_BYTES_MOST,
            (rank < 0) | (rank > RANK_MOST),
        ]
        words = [
            "says neither 0 nor 1 of waiting or of a damper",
            "names no pair of nodes",
            f"has a period that does not divide the hypercycle of {self.hypercycle} cycles",
            "has no frames",
            "has more frames than a cycle can ever hold",
            f"has frames of more than {FRAME_BYTES_MOST} bytes",
            f"has a rank that is not one of 0 to {RANK_MOST}",
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


__all__ = ["Place", "Refusal", "Requests", "Rerouted", "Scheduler"]
