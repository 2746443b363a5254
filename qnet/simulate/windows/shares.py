"""Which thread serves which ports, and how far it may go before it looks at the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import ArgumentError, Problem
from qnet.simulate.frame_sources import FrameSource
from qnet.simulate.windows.kernels import Agenda
from qnet.simulate.world import NEVER, World
from qnet.units import PS_PER_S, describe

Ints = NDArray[np.int64]

HOPS_PER_TASK = 400
"""Least frames sent in a window for a thread more; handing a window to it costs some 10 us."""

SOURCE_WORK, DELIVERY_WORK = 5, 7
"""What making a frame costs, and counting it at its listener, in frames sent on.

By the times that two groups of ports took over random shares of `data/mesh60.txt`.
"""

LONGEST_WINDOW = 16
"""Longest window, in shortest reaches: what is under way should stay in the caches, and each visit
of a port should be worth it."""

EVEN = 1.05
"""Most work of a thread, in parts of the mean, for which a longer window is worth having."""


class Shares(NamedTuple):
    """Which thread serves which port: see `windows.kernels.run_group`.

    With an agenda one thread serves all ports, each when it has something to do.
    """

    window_ps: int
    order: Ints
    group_of: Ints
    crossing: Ints
    agenda: Agenda | None = None


def work_per_s(found: Sequence[FrameSource], port_count: int) -> NDArray[np.float64]:
    """Return what each port has to do in a second: frames to send on, or work as long as that."""
    pace = np.array([owner.law.frames_per_s for owner in found])
    ports = np.array([number for owner in found for number in owner.servers], dtype=np.int64)
    hops = np.array([len(owner.servers) for owner in found], dtype=np.int64)
    work = np.ones(ports.size)
    last = np.cumsum(hops) - 1
    work[last - hops + 1] += SOURCE_WORK
    work[last] += DELIVERY_WORK
    for number, owner in enumerate(found):
        if owner.leads:
            begin = int(last[number] - hops[number] + 1)
            work[begin : begin + len(owner.leads)] = 0
    return np.asarray(np.bincount(ports, work * np.repeat(pace, hops), port_count), np.float64)


def share_out(world: World, work: NDArray[np.float64], threads: int | None) -> Shares:
    """Share the ports among threads so that those of different threads are far from each other.

    Ports with a short way between them stay together, for as long a way as leaves the shares even;
    what is longer sets the window. Raises ArgumentError where `threads` is no number of any.
    """
    if threads is not None and (type(threads) is not int or threads < 1):
        words = f"{describe(threads)} is no number of threads; a whole number from 1 on"
        raise ArgumentError([Problem("threads", 0, 0, "", words)])
    reach = world.lanes.reach
    least = int(reach.min(initial=world.network.block))
    most = threads or len(os.sched_getaffinity(0))
    longest = LONGEST_WINDOW * least
    per_window = float(work.sum()) * longest / PS_PER_S
    groups = max(min(most, int(per_window) // HOPS_PER_TASK), 1)
    ways = np.unique(np.minimum(reach, longest))
    low, high = 0, ways.size - 1
    window, group_of = least, _even(_together(world, 0), work, groups)
    while low <= high:
        middle = (low + high) // 2
        shared = _even(_together(world, int(ways[middle])), work, groups)
        load = np.bincount(shared, work, groups)
        if load.max() <= EVEN * load.mean():
            window, group_of = int(ways[middle]), shared
            low = middle + 1
        else:
            high = middle - 1
    lists = [np.flatnonzero((group_of == group) & (work > 0)) for group in range(groups)]
    order = np.full((groups, max(map(len, lists)) + 1), -1, dtype=np.int64)
    for row, ports in zip(order, lists, strict=True):
        row[: len(ports)] = ports
    if groups == 1 and visits_per_s(world, window) > float(work.sum()):
        return Shares(longest, order, group_of, crossing(world, group_of), agenda(world))
    return Shares(window, order, group_of, crossing(world, group_of))


def visits_per_s(world: World, window: int) -> float:
    """Return how often ports are visited in a second when each goes on by its shortest way."""
    step = np.minimum(_soonest(world), window)
    return float((PS_PER_S / step).sum())


def _soonest(world: World) -> Ints:
    """Return, for each port, the least reach of the lanes into it, or NEVER."""
    lane_first = world.network.lane_first
    soonest = np.full(lane_first.size - 1, NEVER, dtype=np.int64)
    after = _after(world)
    np.minimum.at(soonest, after, world.lanes.reach[: after.size])
    return soonest


def _after(world: World) -> Ints:
    """Return the port after each lane; those that lead into none are left out."""
    return np.repeat(
        np.arange(world.network.lane_first.size - 1), np.diff(world.network.lane_first)
    )


def agenda(world: World) -> Agenda:
    """Lay out what `windows.kernels.run_events` works with."""
    ports = world.network.lane_first.size - 1
    feeder = world.lanes.feeder
    after = np.full(feeder.size, -1, dtype=np.int64)
    into = _after(world)
    after[: into.size] = into
    by_feeder = np.argsort(feeder, kind="stable")
    return Agenda(
        after=after,
        out_first=np.searchsorted(feeder[by_feeder], np.arange(ports + 1)).astype(np.int64),
        out_lane=by_feeder.astype(np.int64),
        soonest=_soonest(world),
        due=np.zeros(ports, dtype=np.int64),
        heap=np.zeros(ports, dtype=np.int64),
        place=np.zeros(ports, dtype=np.int64),
    )


def crossing(world: World, group_of: Ints) -> Ints:
    """Return lane, group before it and group after it of all lanes between two groups."""
    after = _after(world)
    before = world.lanes.feeder[: after.size]
    ends = np.column_stack((np.arange(after.size), group_of[before], group_of[after]))
    return np.asarray(ends[ends[:, 1] != ends[:, 2]])


def _together(world: World, way: int) -> Ints:
    """Return a number for each port, the same for those joined by lanes of a shorter reach."""
    lanes, lane_first = world.lanes, world.network.lane_first
    root = list(range(lane_first.size - 1))

    def find(port: int) -> int:
        while root[port] != port:
            root[port] = root[root[port]]
            port = root[port]
        return port

    near = np.flatnonzero(lanes.reach < way)
    targets = np.searchsorted(lane_first, near, side="right") - 1
    for one, other in zip(lanes.feeder[near].tolist(), targets.tolist(), strict=True):
        root[find(one)] = find(other)
    return np.array([find(port) for port in range(len(root))], dtype=np.int64)


def _even(cluster: Ints, work: NDArray[np.float64], groups: int) -> Ints:
    """Share clusters of ports among groups: the busiest first, each to the group with least."""
    load = np.bincount(cluster, work, work.size)
    group_of = np.zeros(work.size, dtype=np.int64)
    shares = [0.0] * groups
    for one in np.argsort(-load, kind="stable"):
        group_of[one] = shares.index(min(shares))
        shares[group_of[one]] += float(load[one])
    return group_of[cluster]
