"""Write down what frames do: some of them, all of some ports, or the first of a whole run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.model.observation import LatencySeries
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.frame_sources import FrameSource
from qnet.simulate.run import Course
from qnet.simulate.world import NEVER, PASSED_ON, POSITIONS, REFUSED, Trace, TraceRow

Ints = NDArray[np.int64]

ROWS_PER_PORT = 4096
ROWS_PER_PORT_OF_ALL = 512
"""Where every port writes, there are thousands of them."""


class TraceRows(NamedTuple):
    """What one port wrote down, in the order of its sending: columns of `TraceRow`."""

    port: int
    rows: Ints
    owner: Ints
    """[row]: number of the path or part that the frame belongs to."""


def play(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    *,
    follow: Iterable[int] = (),
    watch: Mapping[int, tuple[int, int]] | None = None,
    threads: int | None = None,
) -> Iterator[tuple[Course, list[TraceRows]]]:
    """Play a run, and yield what was written down after every step of it.

    `follow` has the numbers of paths and parts whose frames are written down at every port. `watch`
    has ports, and from when to before when all that they send or refuse is.
    """
    course = Course(topology, profile, plan, threads)
    followed = set(follow)
    ports = {number for one in followed for number in course.found[one].servers}
    trace = _trace(course, followed, ports, watch or {}, ROWS_PER_PORT)
    while not course.is_done:
        found: list[TraceRows] = []

        def collect(trace: Trace, found: list[TraceRows] = found) -> None:
            found += _empty(trace, course)

        course.go_on(trace, collect)
        yield course, found


def _empty(trace: Trace, course: Course) -> Iterator[TraceRows]:
    """Yield what has been written down, and make room for more."""
    port_of = np.flatnonzero(trace.slot >= 0)
    for slot in np.flatnonzero(trace.used).tolist():
        rows = trace.rows[slot, : trace.used[slot]].copy()
        owner = course.world.routes.owner[(rows[:, TraceRow.LABEL] >> 16) & POSITIONS]
        yield TraceRows(int(port_of[slot]), rows, owner)
    trace.used[:] = 0


def leading(found: Sequence[FrameSource], numbers: Iterable[int]) -> set[int]:
    """Return these, and the legs whose frames are theirs too on a part of the way."""
    return {one for number in numbers for one in (number, *found[number].leads)}


def rows_of(found: Sequence[FrameSource], number: int, one: TraceRows) -> Ints:
    """Return what a port wrote down of the frames of a path or part.

    Of a leg it is what was written of the leg that leads there; where their ways part, its own
    copies are written down beside the frames that were lost for both.
    """
    leads = found[number].leads
    mine = one.owner == number
    for hop, (lead, port) in enumerate(zip(leads, found[number].ports, strict=False)):
        if port.number == one.port:
            theirs = one.owner == lead
            if hop == len(leads) - 1:
                theirs &= one.rows[:, TraceRow.FATE] != PASSED_ON
            mine |= theirs
    return np.asarray(one.rows[mine])


class Recorder:
    """Writes down the first frames of a run, wherever they leave a port or find no room."""

    can_be_kept: Literal[True] = True
    """With a run that goes on from a checkpoint."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.found: list[Recording] = []
        self.trace: Trace | None = None

    @property
    def is_full(self) -> bool:
        """Tell whether there are as many frames as are wanted."""
        return sum(len(one.rows) for one in self.found) >= self.frames

    def begin(self, course: Course) -> None:
        """Have every port write, and look at what they wrote in steps of so many frames."""
        ports = {port.number for owner in course.found for port in owner.ports}
        watch = dict.fromkeys(ports, (0, course.end_ps))
        self.trace = _trace(course, set(), set(), watch, ROWS_PER_PORT_OF_ALL)

    def go_on(self, course: Course) -> None:
        """Run some windows of the run, and write them down until there are enough frames.

        The run stays one that is traced: its ports hold their frames as traced ones do.
        """
        assert self.trace is not None, "begin() comes first"
        if self.is_full:
            self.trace.until[:] = 0
        course.go_on(self.trace, lambda trace: self._take(trace, course))

    def _take(self, trace: Trace, course: Course) -> None:
        for port, rows, owner in _empty(trace, course):
            self.found.append(Recording(np.full(len(rows), port), owner, rows))

    def so_far(self) -> Recording:
        """Return all that is written down, port by port; `found` may begin with it."""
        if not self.found:
            none = np.zeros(0, dtype=np.int64)
            return Recording(none, none, np.zeros((0, 8), dtype=np.int64))
        port, owner, rows = (np.concatenate(one) for one in zip(*self.found, strict=True))
        return Recording(port, owner, rows)

    def recording(self) -> Recording:
        """Return the frames in the order of their start, or of their refusal."""
        port, owner, rows = self.so_far()
        refused = rows[:, TraceRow.STARTED] == REFUSED
        when = np.where(refused, rows[:, TraceRow.QUEUED], rows[:, TraceRow.STARTED])
        order = np.lexsort((rows[:, TraceRow.QUEUED], refused, port, when))[: self.frames]
        return Recording(port[order], owner[order], rows[order])


class LatencyRecorder:
    """Sums up latencies of some streams and demands by the interval in which frames were born."""

    can_be_kept: Literal[False] = False

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.trace: Trace | None = None
        self._sums: dict[str, Ints] = {}
        """By name, [interval]: frames, least, sum and most of their latencies."""

    def begin(self, course: Course) -> None:
        """Have those ports write that these leave last."""
        self._owners = {
            name: [i for i, one in enumerate(course.found) if one.name == name]
            for name in self.names
        }
        mine = [one for numbers in self._owners.values() for one in numbers]
        last = {course.found[one].servers[-1] for one in mine}
        self.trace = _trace(course, leading(course.found, mine), last, {}, ROWS_PER_PORT)
        count = len(course.series.end_ps)
        empty = np.tile(np.array([0, NEVER, 0, 0], dtype=np.int64), (count, 1))
        self._sums = {name: empty.copy() for name in self.names}

    def go_on(self, course: Course) -> None:
        """Run some windows of the run, and sum up what has arrived."""
        course.go_on(self.trace, lambda trace: self._take(trace, course))

    def _take(self, trace: Trace, course: Course) -> None:
        step_ps = course.series.counts.step
        for one in _empty(trace, course):
            for name, numbers in self._owners.items():
                for number in numbers:
                    if course.found[number].servers[-1] == one.port:
                        rows = rows_of(course.found, number, one)
                        passed = rows[:, TraceRow.FATE] == PASSED_ON
                        rows = rows[passed & (rows[:, TraceRow.REACHED] <= course.end_ps)]
                        took_ps = rows[:, TraceRow.REACHED] - rows[:, TraceRow.BORN]
                        sums, interval = self._sums[name], rows[:, TraceRow.BORN] // step_ps
                        np.add.at(sums[:, 0], interval, 1)
                        np.minimum.at(sums[:, 1], interval, took_ps)
                        np.add.at(sums[:, 2], interval, took_ps)
                        np.maximum.at(sums[:, 3], interval, took_ps)

    def series(self) -> tuple[LatencySeries, ...]:
        """Return what has come, interval by interval."""
        found = []
        for name, sums in self._sums.items():
            some = np.flatnonzero(sums[:, 0])
            frames, least, total, most = (tuple(one) for one in sums[some].T.tolist())
            found.append(
                LatencySeries(
                    name=name,
                    intervals=tuple(some.tolist()),
                    frames=frames,
                    least_ps=least,
                    sum_ps=total,
                    most_ps=most,
                )
            )
        return tuple(found)


class Recording(NamedTuple):
    """The first frames of a run: port and number of the path or part, and rows of the trace."""

    port: Ints
    owner: Ints
    rows: Ints


def _trace(
    course: Course,
    follow: set[int],
    at: set[int],
    watch: Mapping[int, tuple[int, int]],
    room: int,
) -> Trace:
    """Return an empty trace: the paths and parts in `follow` at the ports `at`, and of others all
    that is to be watched.
    """
    followed = np.zeros(len(course.found), dtype=np.int64)
    followed[sorted(follow)] = 1
    # Points where copies meet are served as ports are, and write what they pass on or discard.
    ports = len(course.world.tally.port)
    since = np.zeros(ports, dtype=np.int64)
    until = np.zeros(ports, dtype=np.int64)
    for port, (begin, end) in watch.items():
        since[port], until[port] = begin, end
    wanted = at | set(watch)
    slot = np.full(ports, -1, dtype=np.int64)
    slot[sorted(wanted)] = np.arange(len(wanted))
    rows = np.zeros((len(wanted), room, 8), dtype=np.int64)
    return Trace(followed, since, until, slot, np.zeros(len(wanted), dtype=np.int64), rows)
