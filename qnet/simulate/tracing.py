"""Write down what frames do: some of them, all of some ports, or the first of a whole run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import Course
from qnet.simulate.world import POSITIONS, REFUSED, Trace, TraceRow

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
    trace = _trace(course, set(follow), watch or {}, ROWS_PER_PORT)
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


class Recorder:
    """Writes down the first frames of a run, wherever they leave a port or find no room."""

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
        self.trace = _trace(course, set(), watch, ROWS_PER_PORT_OF_ALL)

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


class Recording(NamedTuple):
    """The first frames of a run: port and number of the path or part, and rows of the trace."""

    port: Ints
    owner: Ints
    rows: Ints


def _trace(
    course: Course,
    follow: set[int],
    watch: Mapping[int, tuple[int, int]],
    room: int,
) -> Trace:
    followed = np.zeros(len(course.found), dtype=np.int64)
    followed[sorted(follow)] = 1
    # Points where copies meet are served as ports are, and write what they pass on or discard.
    ports = len(course.world.tally.port)
    since = np.zeros(ports, dtype=np.int64)
    until = np.zeros(ports, dtype=np.int64)
    for port, (begin, end) in watch.items():
        since[port], until[port] = begin, end
    wanted = {number for one in follow for number in course.found[one].servers} | set(watch)
    slot = np.full(ports, -1, dtype=np.int64)
    slot[sorted(wanted)] = np.arange(len(wanted))
    rows = np.zeros((len(wanted), room, 8), dtype=np.int64)
    return Trace(followed, since, until, slot, np.zeros(len(wanted), dtype=np.int64), rows)
