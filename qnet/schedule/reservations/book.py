"""Reservations: the one book of a running network, by the names of its streams.

    book = Reservations.from_plan(scenario, plan, journal="network.journal")
    answers = book.admit(streams)
    changes = book.fail("ix-xian")
    book = Reservations.open("network.journal", topology)   # after a crash: as it was last answered

It stands on the `Scheduler`. One call at a time changes it; others wait. An answer is given when
the journal has it on the disk. Readers wait for nobody: `view` is the state after the last answer,
whole, and never changes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from qnet.errors import ArgumentError, EnvironmentMissing, Infeasible, Problem
from qnet.model.plan import Plan, StreamPlan
from qnet.model.scenario import Scenario
from qnet.model.topology import Topology
from qnet.model.traffic import LEG, RESERVED, Profile, Stream, TrafficClass
from qnet.schedule.availability import PathsNeeded
from qnet.schedule.cycles.keep import kept_legs
from qnet.schedule.cycles.state import Place
from qnet.schedule.guards import guards_of
from qnet.schedule.kernels import Int64s
from qnet.schedule.online import state
from qnet.schedule.online.scheduler import Rerouted, Scheduler
from qnet.schedule.reservations import record
from qnet.schedule.reservations.journal import Journal, refuse
from qnet.schedule.reservations.view import ReservedStream, Terms, View
from qnet.units import show_time

ROWS_MOST = 10**8
"""Streams that a book may have at most."""


class Answer(NamedTuple):
    """What became of a stream that was asked for: its place, or the reason why it has none."""

    name: str
    place: Place | None
    reason: str | None


class Changes(NamedTuple):
    """What became of the streams that a failure cut, by name, see `table.Moves`.

    `lost_by_rank` counts those that are reduced or lost.
    """

    moved: tuple[str, ...]
    replaced: tuple[str, ...]
    reduced: tuple[str, ...]
    lost: tuple[str, ...]
    lost_by_rank: dict[int, int]


class Reservations:
    """Named streams of one network that come and go, with what fails and is repaired.

    All intervals must divide `hypercycle` cycles. Streams are of the `classes`, TCQF or CSQF.
    `other_frame_bytes` is the longest frame of any other class, for all ports or port by port; no
    stream may use the ports that are `closed`. With a `journal` the state is in a new file of that
    name. Raises InputError for one that is there already, EnvironmentMissing for one that cannot be
    written; every change does the latter, and then nothing has changed.
    """

    def __init__(
        self,
        topology: Topology,
        hypercycle: int,
        *,
        classes: Sequence[TrafficClass] = (RESERVED,),
        other_frame_bytes: int | Sequence[int] = 0,
        closed: Collection[int] = (),
        journal: Path | str | None = None,
    ) -> None:
        scheduler = Scheduler(topology, hypercycle, other_frame_bytes, closed)
        guards = tuple(scheduler.room.guards)
        terms = Terms(hypercycle, tuple(classes), guards, tuple(sorted(closed)))
        self._start(View(topology, terms), scheduler)
        if journal is not None:
            self._keep_in(journal)

    def _start(self, view: View, scheduler: Scheduler, journal: Journal | None = None) -> None:
        self._lock = threading.Lock()
        self._journal: Journal | None = journal
        self._view = view
        self._scheduler = scheduler

    def _keep_in(self, journal: Path | str) -> None:
        self._journal = Journal.create(journal, self.to_bytes())

    @classmethod
    def open(cls, journal: Path | str, topology: Topology) -> Reservations:
        """Go on with what a journal has: the state after the last answer that was given.

        Raises InputError for a file that is damaged, or of another network.
        """
        book = cls.__new__(cls)
        file, records = Journal.open(journal)
        try:
            view = _replayed(records, topology, journal)
            book._start(view, _scheduler_of(view, journal), file)
        except BaseException:
            file.close()
            raise
        return book

    @classmethod
    def from_plan(
        cls,
        scenario: Scenario,
        plan: Plan,
        *,
        hypercycle: int | None = None,
        journal: Path | str | None = None,
    ) -> Reservations:
        """Return a book of the admitted streams of a plan, to the bit where the plan has them.

        The plan is one that `qnet.prove` finds no fault with. Frames of what reserves nothing are
        guarded for where the plan sends them. `hypercycle` may be a multiple of the plan's, for
        streams that come later. Raises Infeasible for what has no place here, such as CQF.
        """
        topology, profile = scenario.topology, scenario.profile
        classes = tuple(one for one in profile.classes if one.mechanism in ("tcqf", "csqf"))
        if any(one.mechanism == "cqf" for one in profile.classes):
            raise Infeasible("CQF is a baseline: no plan of it is kept")
        trees = [one for one in profile.every_tree if profile.takes_cycles(one)]
        kept = kept_legs(topology, profile, plan, trees)
        book = cls(
            topology,
            hypercycle or plan.hypercycle,
            classes=classes,
            other_frame_bytes=guards_of(topology, profile, plan).every_longest,
            closed=[topology.port_by_name[one.port].number for one in plan.gates],
        )
        book._adopt([trees[place] for place in kept], list(kept.values()))
        if journal is not None:
            book._keep_in(journal)
        return book

    def _adopt(self, streams: Sequence[Stream], planned: Sequence[Sequence[StreamPlan]]) -> None:
        self._check(streams)
        streams = self._with_paths(streams)
        with self._changing() as commit:
            may_wait = self._view.terms.profile.may_wait
            rows = self._scheduler.adopt(self._scheduler.room.requests(streams, may_wait), planned)
            commit(zip(rows.tolist(), streams, strict=True), ())

    def __enter__(self) -> Self:
        """Return the book; leaving it closes the journal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the journal."""
        self.close()

    def close(self) -> None:
        """Let others have the journal; the view stays, and nothing can be changed any more."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()

    # What anybody may read at any time

    @property
    def view(self) -> View:
        """The state after the last answer."""
        return self._view

    @property
    def topology(self) -> Topology:
        """The network."""
        return self._view.topology

    def __len__(self) -> int:
        """Return how many streams there are."""
        return len(self._view)

    def __contains__(self, name: object) -> bool:
        """Say whether there is a stream of that name."""
        return name in self._view

    @property
    def names(self) -> list[str]:
        """The names of all streams."""
        return self._view.names

    @property
    def down(self) -> tuple[str, ...]:
        """Links, wires, cables, nodes and sites out of use."""
        return self._view.down

    def place(self, name: str) -> Place:
        """Return a stream's reservation in full; raises KeyError."""
        return self._view.place(name)

    def to_plan(self) -> tuple[Profile, Plan]:
        """Return the streams as a profile, and the plan for it, see `View.to_plan`."""
        return self._view.to_plan()

    def to_bytes(self) -> bytes:
        """Return the state as bytes: they are the same for the same state, whatever came before."""
        return record.whole(self._view)

    # Coming and going

    def admit(self, streams: Iterable[Stream]) -> tuple[Answer, ...]:
        """Admit streams in order, each with its count written out; say what became of each.

        The reason of a refusal speaks of the state that the answers leave. Raises ArgumentError,
        and admits none, when one cannot be meant: a name that is there already, no such node.
        """
        streams = list(streams)
        with self._changing() as commit:
            self._check(streams)
            streams = self._with_paths(streams)
            room, may_wait = self._scheduler.room, self._view.terms.profile.may_wait
            asked = room.requests(streams, may_wait)
            ids = self._scheduler.admit(asked).tolist()
            reasons = [
                room.why_not(asked, place) if row < 0 else None for place, row in enumerate(ids)
            ]
            placed = zip(ids, streams, strict=True)
            view = commit([(row, stream) for row, stream in placed if row >= 0], ())
        return tuple(
            Answer(one.name, view.place(one.name) if why is None else None, why)
            for one, why in zip(streams, reasons, strict=True)
        )

    def why_not(self, stream: Stream) -> str | None:
        """Say why a stream would be refused now, or None when it would be admitted."""
        with self._changing():
            self._check([stream])
            (stream,) = self._with_paths([stream])
            room, may_wait = self._scheduler.room, self._view.terms.profile.may_wait
            return room.why_not(room.requests([stream], may_wait), 0)

    def _with_paths(self, streams: Iterable[Stream]) -> list[Stream]:
        """Return streams with two paths where one does not keep the availability promised."""
        every = list(streams)
        if all(one.availability is None for one in every):
            return every
        needed = PathsNeeded(self._view.topology, self._view.terms.profile)
        return [needed.of(one) for one in every]

    def release(self, names: Iterable[str]) -> None:
        """Release streams. Raises ArgumentError, and releases none, when there is no such one."""
        names = list(names)
        with self._changing() as commit:
            rows = self._rows(names)
            self._scheduler.release(rows)
            commit((), names)

    def change(self, stream: Stream) -> Answer:
        """Give the stream of that name another request, its new place reserved before the old one
        is given up. Where there is none beside the old one it stays as it was.
        """
        with self._changing() as commit:
            (row,) = self._rows([stream.name]).tolist()
            _refuse("stream", [(stream.name, why) for why in self._faults(stream)])
            (stream,) = self._with_paths([stream])
            room, may_wait = self._scheduler.room, self._view.terms.profile.may_wait
            asked = room.requests([stream], may_wait)
            if self._scheduler.modify(row, asked) is not None:
                return Answer(stream.name, None, room.why_not(asked, 0))
            return Answer(stream.name, commit([(row, stream)], ()).place(stream.name), None)

    def reroute(self, names: Iterable[str]) -> Changes:
        """Give streams new places, as after a failure: those with one path left two, if it can."""
        names = list(names)
        with self._changing() as commit:
            return self._moved(self._scheduler.reroute(self._rows(names)), commit)

    # Failures

    def fail(self, *targets: str) -> Changes:
        """Take links, wires, cables, nodes or sites out of use, see `Scheduler.fail`."""
        with self._changing() as commit:
            return self._moved(self._scheduler.fail(*targets), commit)

    def repair(self, *targets: str) -> None:
        """Take what was repaired into use again; streams stay where they are."""
        with self._changing() as commit:
            self._scheduler.repair(*targets)
            commit((), ())

    # Inner matters

    @contextmanager
    def _changing(self) -> Iterator[Commit]:
        """Have the book to oneself; what fails before it is committed has never been."""
        with self._lock:
            if self._journal is not None and self._journal.is_closed:
                raise EnvironmentMissing(f"{self._journal.path} is closed")
            try:
                yield self._commit
                self._scheduler.forget(pairs=True)
            except (ArgumentError, Infeasible):  # nothing has been touched
                raise
            except BaseException:
                self._scheduler = _scheduler_of(self._view, "the book")
                raise

    def _commit(self, put: Iterable[tuple[int, Stream]], gone: Collection[str]) -> View:
        """Write down which rows have another place now, and have everybody see it."""
        held = [self._read(row, stream) for row, stream in put]
        down = self._scheduler.down
        if not held and not gone and down == self._view.down:
            return self._view
        view = self._view.changed(held, gone, down)
        if self._journal is not None:
            if self._journal.wants_rewriting:
                self._journal.rewrite(record.whole(view))
            else:
                self._journal.append(record.change(held, gone, down))
        for name in gone:
            del self._scheduler.streams[self._view.held(name).row]
        self._scheduler.streams.update((one.row, one.stream) for one in held)
        self._view = view
        return view

    def _read(self, row: int, stream: Stream) -> ReservedStream:
        book = self._scheduler.book
        way = self._scheduler.table.ways[int(book.way[row])]._replace(pair=0)
        wires, waits = (side[row, : len(way.hops)].tolist() for side in (book.wires, book.waits))
        waited = tuple(waits) if any(waits) else ()
        return ReservedStream(row, stream, way, int(book.phase[row]), tuple(wires), waited)

    def _moved(self, moves: Rerouted, commit: Commit) -> Changes:
        streams = self._scheduler.streams
        moved, replaced, reduced, lost = (
            tuple(streams[row].name for row in rows.tolist()) for rows in moves[:4]
        )
        elsewhere = np.concatenate(moves[:3]).tolist()
        commit([(row, streams[row]) for row in elsewhere], ())
        return Changes(moved, replaced, reduced, lost, moves.lost_by_rank)

    def _rows(self, names: Sequence[str]) -> Int64s:
        """Return the rows of streams; refuse names that are not there or given twice."""
        twice = [name for name, count in Counter(names).items() if count > 1]
        unknown = [name for name in names if name not in self._view]
        _refuse("names", [(name, "no stream has this name") for name in unknown])
        _refuse("names", [(name, "is given twice") for name in twice])
        return np.array([self._view.held(name).row for name in names], dtype=np.int64)

    def _check(self, streams: Sequence[Stream]) -> None:
        """Refuse streams that cannot be meant."""
        names = Counter(stream.name for stream in streams)
        faults = [(name, "is given twice") for name, count in names.items() if count > 1]
        there = "there is a stream of this name already"
        faults += [(one.name, there) for one in streams if one.name in self._view]
        faults += [(one.name, why) for one in streams for why in self._faults(one)]
        _refuse("streams", faults)

    def _faults(self, stream: Stream) -> Iterator[str]:
        terms, topology = self._view.terms, self.topology
        cycle_ps = topology.tcqf.cycle_ps
        if LEG in stream.name:
            yield "is one leg of a stream with several listeners; give the stream"
        if stream.count != 1:
            yield "has a count; write it out, each with a name ('Profile.every_tree')"
        if stream.traffic_class not in {one.name for one in terms.classes}:
            yield f"has the class '{stream.traffic_class}', which this book does not have"
        for node in (stream.talker, *stream.listeners):
            if node not in topology.node_by_name:
                yield f"the network has no node '{node}'"
        period, rest = divmod(stream.interval_ps, cycle_ps)
        if rest or not period or terms.hypercycle % period:
            yield (
                f"has an interval of {show_time(stream.interval_ps)}; those of this book divide "
                f"{terms.hypercycle} cycles of {show_time(cycle_ps)}"
            )


Commit = Callable[[Iterable[tuple[int, Stream]], Collection[str]], View]


def _refuse(argument: str, faults: Sequence[tuple[str, str]]) -> None:
    if faults:
        raise ArgumentError(Problem(argument, 0, 0, name, why) for name, why in faults)


def _replayed(records: Sequence[bytes], topology: Topology, path: Path | str) -> View:
    """Return the state that a journal leads to."""
    try:
        terms = record.read_terms(records[0], topology)
        if terms is not None:
            view = View(topology, terms)
            for one in map(record.read_change, records):
                view = view.changed(one.put, one.gone, one.down)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        refuse(path, f"cannot be read: {error}")
    if terms is None:
        refuse(path, "was written for another network")
    return view


def _scheduler_of(view: View, path: Path | str) -> Scheduler:
    """Return a scheduler that holds the streams of a state; refuse a state that cannot be."""
    rows = {held.row for held in view.everything}
    if len(rows) < len(view) or any(not 0 <= row < ROWS_MOST for row in rows):
        refuse(path, "has streams in rows that cannot be")
    try:
        saved = record.to_saved(view)
        fault = next(state.faults(saved, view.topology), None)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, Infeasible) as error:
        refuse(path, f"cannot be read: {error}")
    if fault is not None:
        refuse(path, fault)
    scheduler = Scheduler.of_saved(saved, view.topology, path)
    scheduler.streams = {held.row: held.stream for held in view.everything}
    return scheduler
