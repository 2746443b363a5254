"""Play a run and write down what some of its frames, or all frames of some ports, do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import kernels as k
from qnet.simulate.run import Course

Ints = NDArray[np.int64]

ROWS_PER_PORT = 4096


class Rows(NamedTuple):
    """What one port wrote down, in the order of its sending: columns of `kernels.Trace.rows`."""

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
) -> Iterator[tuple[Course, list[Rows]]]:
    """Play a run, and yield what was written down after every step of it.

    `follow` has the numbers of paths and parts whose frames are written down at every port. `watch`
    has ports, and from when to before when all that they send or refuse is.
    """
    course = Course(topology, profile, plan, threads)
    trace = _trace(course, set(follow), watch or {}, len(topology.ports))
    port_of = np.flatnonzero(trace.slot >= 0)
    while not course.is_done:
        found: list[Rows] = []

        def collect(trace: k.Trace, found: list[Rows] = found) -> None:
            for slot in np.flatnonzero(trace.used).tolist():
                rows = trace.rows[slot, : trace.used[slot]].copy()
                owner = course.world.routes.owner[rows[:, k.TRACED_LABEL] >> 16]
                found.append(Rows(int(port_of[slot]), rows, owner))
            trace.used[:] = 0

        course.go_on(trace, collect)
        yield course, found


def _trace(
    course: Course, follow: set[int], watch: Mapping[int, tuple[int, int]], ports: int
) -> k.Trace:
    followed = np.zeros(len(course.found), dtype=np.int64)
    followed[sorted(follow)] = 1
    since = np.zeros(ports, dtype=np.int64)
    until = np.zeros(ports, dtype=np.int64)
    for port, (begin, end) in watch.items():
        since[port], until[port] = begin, end
    wanted = {port.number for one in follow for port in course.found[one].ports} | set(watch)
    slot = np.full(ports, -1, dtype=np.int64)
    slot[sorted(wanted)] = np.arange(len(wanted))
    rows = np.zeros((len(wanted), ROWS_PER_PORT, 8), dtype=np.int64)
    return k.Trace(followed, since, until, slot, np.zeros(len(wanted), dtype=np.int64), rows)
