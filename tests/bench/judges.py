"""Count the plans of the benchmarks out again, by numpy and without kernels."""

from typing import Any

import numpy as np

from tests.bench.fronts.csqf import CycleProblem
from tests.bench.fronts.csqf.plan import UNIT_BYTES, State
from tests.bench.fronts.slots import SlotProblem


def judge_cycles(problem: CycleProblem, state: State) -> None:
    used = np.zeros((len(problem.source), problem.hypercycle), dtype=np.int64)
    ways, book = state.ways, state.book
    for stream, way in enumerate(book.way[: len(problem.streams)].tolist()):
        if way < 0:
            continue
        source, target, period, size = problem.streams[stream].tolist()
        links = ways.port[ways.hop[way] : ways.hop[way + 1]]
        waited = book.waits[stream, : len(links)]
        assert problem.source[links[0]] == source
        assert problem.target[links[-1]] == target
        assert (problem.target[links[:-1]] == problem.source[links[1:]]).all()
        waits = np.diff(waited)
        assert waited[0] == 0
        assert ((waits >= 0) & (waits <= problem.extra)).all()
        before = np.cumsum(problem.delay[links]) - problem.delay[links]
        for link, start in zip(links, book.phase[stream] + before + waited, strict=True):
            cycles = (start + np.arange(0, problem.hypercycle, period)) % problem.hypercycle
            used[link, cycles] += size
    assert used.max() <= problem.capacity
    assert ((problem.capacity - used) * UNIT_BYTES == state.grid.free).all()


def judge_slots(problem: SlotProblem, state: Any) -> None:
    whole = int(np.lcm.reduce(problem.streams[:, 2]))
    taken = np.zeros((len(problem.source), whole), dtype=np.int64)
    for stream, count in enumerate(state.places.hops.tolist()):
        if not count:
            continue
        source, target, period, size = problem.streams[stream].tolist()
        links = state.places.link[stream, :count]
        starts = state.places.start[stream, :count]
        assert problem.source[links[0]] == source
        assert problem.target[links[-1]] == target
        assert (problem.target[links[:-1]] == problem.source[links[1:]]).all()
        assert (np.diff(starts) >= size + problem.delay).all()
        assert starts[-1] + size + problem.tail <= starts[0] + period
        slots = np.arange(0, whole, period)[:, np.newaxis] + np.arange(size)
        for link, start in zip(links, starts, strict=True):
            np.add.at(taken[link], ((start + slots) % whole).reshape(-1), 1)
    assert taken.max() <= 1
