"""Place time-triggered streams, each accepted or not, on routes found for it."""

from __future__ import annotations

from math import lcm
from typing import NamedTuple

import numpy as np

from qnet.errors import Infeasible
from qnet.graph.flows import most_placed_bps
from qnet.graph.paths.kernels import Heap
from qnet.graph.paths.search import make_net
from qnet.graph.routes import Edge, Graph
from qnet.schedule.kernels import Int64s
from tests.bench.fronts.slots.kernels import (
    Frames,
    Ground,
    Int64Table,
    Places,
    Slots,
    Work,
    fill_links_left,
    place_all,
)


class SlotProblem(NamedTuple):
    """A network of directed links, and streams of one frame every period.

    `streams` has the columns source, target, period and slots of the frame. `delay` is the time
    from the last slot on one link to the first on the next, `tail` that to the end.
    """

    nodes: int
    source: Int64s
    target: Int64s
    streams: Int64Table
    delay: int
    tail: int


class SlotPlan(NamedTuple):
    """For each stream its links and first slots, both empty when it is refused."""

    links: tuple[tuple[int, ...], ...]
    starts: tuple[tuple[int, ...], ...]


class State(NamedTuple):
    """All that placing works on, made once."""

    slots: Slots
    ground: Ground
    frames: Frames
    work: Work
    places: Places


def plan_slots(problem: SlotProblem, order: Int64s | None = None) -> SlotPlan:
    """Place streams one after the other, by default short periods first, then large frames."""
    state = prepare(problem)
    streams = problem.streams
    if order is None:
        order = np.lexsort((-streams[:, 3], streams[:, 2]))
    place_all(state.slots, state.ground, state.frames, order, state.work, state.places)
    places = state.places
    return SlotPlan(
        tuple(tuple(row[:n].tolist()) for row, n in zip(places.link, places.hops, strict=True)),
        tuple(tuple(row[:n].tolist()) for row, n in zip(places.start, places.hops, strict=True)),
    )


def prepare(problem: SlotProblem) -> State:
    """Make an empty table of slots, and the arrays of network and streams."""
    streams = problem.streams
    nodes, links = problem.nodes, len(problem.source)
    periods = np.unique(streams[:, 2])
    if (streams[:, 2:] < 1).any() or lcm(*periods.tolist()) > 2**40:
        raise Infeasible("periods and frames have at least one slot, and a multiple in common")
    ones = [1] * links
    net = make_net(problem.source.tolist(), problem.target.tolist(), ones, nodes)
    together = np.lcm(periods[:, np.newaxis], periods[np.newaxis, :])
    slots = Slots(
        np.zeros((len(periods), links, int(periods.max(initial=1))), dtype=np.int16),
        periods,
        together // periods[:, np.newaxis],
        problem.delay,
        problem.tail,
    )
    ground = Ground(net, np.zeros((nodes, nodes), np.int64), _zeros(links))
    fill_links_left(net, ground.links_left, _zeros(nodes))
    source, target, _, size = (np.ascontiguousarray(column) for column in streams.T)
    frames = Frames(source, target, np.searchsorted(periods, streams[:, 2]), size)
    heap = Heap(_zeros(links + 1), _zeros(links + 1), _zeros(1))
    work = Work(_zeros(nodes), _zeros(nodes), _zeros(links), _zeros(nodes), heap)
    table = np.zeros((len(streams), nodes), dtype=np.int64)
    places = Places(_zeros(len(streams)), table, np.zeros_like(table))
    return State(slots, ground, frames, work, places)


def most_slots_mbps(problem: SlotProblem, rate_mbps: int) -> float:
    """Return the most that any plan can place, in Mb/s on links of that rate (linear program)."""
    edges = tuple(
        Edge(number, str(source), str(target), None, 0, 1, ())
        for number, (source, target) in enumerate(
            zip(problem.source.tolist(), problem.target.tolist(), strict=True)
        )
    )
    wants: dict[tuple[str, str], int] = {}
    for source, target, period, size in problem.streams.tolist():
        pair = (str(source), str(target))
        wants[pair] = wants.get(pair, 0) + size * rate_mbps * 10**6 // period
    capacity_bps = [rate_mbps * 10**6] * len(edges)
    return most_placed_bps(Graph(edges), capacity_bps, wants) / 10**6


def _zeros(count: int) -> Int64s:
    return np.zeros(count, dtype=np.int64)
