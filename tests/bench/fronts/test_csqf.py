from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.fronts.csqf import CyclePlan, CycleProblem, most_streams, plan_cycles
from tests.bench.fronts.csqf.plan import fill, prepare, ruin_and_recreate

LINKS = [(0, 1, 2), (1, 2, 3), (2, 3, 1), (0, 2, 7), (1, 3, 4), (3, 0, 2), (2, 1, 3)]


def judge(problem: CycleProblem, plan: CyclePlan) -> int:
    """Count every cycle out again; return how many streams have a place."""
    used: Counter[tuple[int, int]] = Counter()
    placed = 0
    for row, links, cycles in zip(problem.streams.tolist(), plan.links, plan.cycles, strict=True):
        source, target, period, size = row
        if not links:
            continue
        placed += 1
        assert problem.source[links[0]] == source
        assert problem.target[links[-1]] == target
        for (link, cycle), (onward, then) in pairwise(zip(links, cycles, strict=True)):
            assert problem.target[link] == problem.source[onward]
            assert 0 <= then - cycle - problem.delay[link] <= problem.extra
        for link, cycle in zip(links, cycles, strict=True):
            for turn in range(problem.hypercycle // period):
                used[link, (cycle + turn * period) % problem.hypercycle] += size
    assert max(used.values(), default=0) <= problem.capacity
    return placed


@st.composite
def problems(draw: st.DrawFn) -> CycleProblem:
    ends = st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda pair: pair[0] != pair[1])
    stream = st.tuples(ends, st.sampled_from([1, 2, 3, 6]), st.integers(1, 3))
    rows = draw(st.lists(stream, min_size=1, max_size=14))
    source, target, delay = (np.array(column) for column in zip(*LINKS, strict=True))
    streams = np.array([(*pair, period, size) for pair, period, size in rows])
    return CycleProblem(4, source, target, delay, streams, 6, 4, draw(st.integers(0, 2)))


@pytest.mark.twin
@settings(max_examples=40)
@given(problems())
def test_plans_fit_and_stay_below_the_bound(problem: CycleProblem) -> None:
    plan = plan_cycles(problem, rounds=3)
    bound = most_streams(problem).total
    assert judge(problem, plan) <= bound + 1e-6
    assert plan == plan_cycles(problem, rounds=3)


@settings(max_examples=40)
@given(problems())
def test_ruin_and_recreate_never_loses_a_stream(problem: CycleProblem) -> None:
    state = prepare(problem)
    fill(problem, state)
    way = state.book.way[: len(problem.streams)]
    placed = int((way >= 0).sum())
    before = state.grid.free.sum() if placed == len(problem.streams) else None
    ruin_and_recreate(problem, state, 5, 7)
    assert (way >= 0).sum() >= placed
    assert before is None or state.grid.free.sum() == before
    assert (state.grid.free.sum(axis=1) == state.grid.spare).all()
