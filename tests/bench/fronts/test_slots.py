from itertools import pairwise
from math import lcm

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.fronts.slots import SlotPlan, SlotProblem, most_slots_mbps, plan_slots
from tests.bench.fronts.slots.kernels import place_all, remove_all
from tests.bench.fronts.slots.plan import prepare

LINKS = [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (3, 0)]


def judge(problem: SlotProblem, plan: SlotPlan) -> float:
    """Go through every slot of the whole; return the share of a link that is placed."""
    whole = lcm(*problem.streams[:, 2].tolist())
    taken: set[tuple[int, int]] = set()
    placed = 0.0
    for row, links, starts in zip(problem.streams.tolist(), plan.links, plan.starts, strict=True):
        source, target, period, size = row
        if not links:
            continue
        placed += size / period
        assert problem.source[links[0]] == source
        assert problem.target[links[-1]] == target
        for (link, start), (onward, then) in pairwise(zip(links, starts, strict=True)):
            assert problem.target[link] == problem.source[onward]
            assert then >= start + size + problem.delay
        assert starts[-1] + size + problem.tail <= starts[0] + period
        for link, start in zip(links, starts, strict=True):
            for turn in range(0, whole, period):
                for slot in range(size):
                    cell = (link, (start + turn + slot) % whole)
                    assert cell not in taken
                    taken.add(cell)
    return placed


@st.composite
def problems(draw: st.DrawFn) -> SlotProblem:
    both = [*LINKS, *((far, near) for near, far in LINKS)]
    ends = st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda pair: pair[0] != pair[1])
    stream = st.tuples(ends, st.sampled_from([12, 16, 24, 48]), st.integers(1, 5))
    rows = draw(st.lists(stream, min_size=1, max_size=30))
    streams = np.array([(*pair, period, size) for pair, period, size in rows])
    source, target = (np.array(column) for column in zip(*both, strict=True))
    return SlotProblem(4, source, target, streams, draw(st.integers(0, 3)), 1)


@pytest.mark.twin
@settings(max_examples=60)
@given(problems())
def test_plans_keep_every_slot_and_deadline(problem: SlotProblem) -> None:
    placed = judge(problem, plan_slots(problem))
    assert placed <= most_slots_mbps(problem, 1000) / 1000 + 1e-3


@settings(max_examples=40)
@given(problems())
def test_taking_all_out_again_leaves_nothing(problem: SlotProblem) -> None:
    state = prepare(problem)
    order = np.arange(len(problem.streams))
    placed = place_all(state.slots, state.ground, state.frames, order, state.work, state.places)
    removed = remove_all(state.slots, state.ground, state.frames, order, state.places)
    assert placed == removed
    assert not state.slots.busy.any()
    assert not state.ground.load.any()
    assert not state.places.hops.any()


def test_a_stream_alone_always_finds_its_way() -> None:
    streams = np.array([[0, 2, 12, 4]])
    problem = SlotProblem(3, np.array([0, 1]), np.array([1, 2]), streams, 3, 1)
    assert plan_slots(problem).starts == ((0, 7),)
    tight = problem._replace(delay=4)
    assert plan_slots(tight).links == ((),)
