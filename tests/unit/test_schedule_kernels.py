import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.schedule.cycles.kernels.admit import best_fit
from qnet.schedule.cycles.kernels.book import use
from qnet.schedule.cycles.kernels.phases import score_phases
from qnet.schedule.cycles.kernels.tables import NO_TREE, Candidates, FreeBytes, Pairs, StreamRequest
from qnet.schedule.cycles.kernels.wires import best_wires
from qnet.schedule.cycles.state import empty_book, make_scratch
from qnet.schedule.kernels import UNSEEN, WEIGHT_BITS


def slow(
    free: list[list[int]],
    capacity: list[int],
    hops: list[tuple[int, list[int]]],
    period: int,
    need: int,
) -> list[list[tuple[int, int, int]]]:
    """Score, wires and fullest cycles of every phase, straight from the definition."""
    length = len(free[0])
    answer = []
    for phase in range(period):
        chosen = []
        for shift, ports in hops:
            cycles = [(phase + shift + turn) % length for turn in range(0, length, period)]
            wires = []
            for port in ports:
                left, place = min((free[port][cycle], i) for i, cycle in enumerate(cycles))
                score = (left - need) * (2**WEIGHT_BITS // max(capacity[port], 1))
                wires.append((score, port, cycles[place]))
            chosen.append(max(wires, key=lambda wire: wire[0]))
        answer.append(chosen)
    return answer


@st.composite
def cases(draw):  # type: ignore[no-untyped-def]
    period = draw(st.integers(1, 5))
    length = period * draw(st.integers(1, 4))
    capacity = draw(st.lists(st.integers(0, 100), min_size=4, max_size=4))
    free = [
        draw(st.lists(st.integers(0, most), min_size=length, max_size=length)) for most in capacity
    ]
    hop = st.tuples(
        st.integers(0, length - 1), st.lists(st.integers(0, 3), min_size=1, unique=True)
    )
    return free, capacity, draw(st.lists(hop, min_size=1, max_size=4)), period


@pytest.mark.twin
@given(cases(), st.integers(1, 120))
def test_kernels_agree_with_the_definition(case, need):  # type: ignore[no-untyped-def]
    free, capacity, hops, period = case
    count, length = len(hops), len(free[0])
    last = np.arange(count) == count - 1
    ways = Candidates(
        hop=np.array([0, count]),
        latency_ps_max=np.array([0]),
        shift=np.array([shift for shift, _ in hops]),
        skew_ps=np.where(last, 0, -1),
        window_ps=np.where(last, 1000, -1),
        slack_ps=np.zeros(count, dtype=np.int64),
        before=np.full(count, NO_TREE),
        wire=np.cumsum([0, *(len(ports) for _, ports in hops)]),
        port=np.array([port for _, ports in hops for port in ports]),
        cost=np.array([0]),
        order=np.array([0]),
        cycle_ps=1000,
    )
    ones = np.ones(len(free), dtype=np.int64)
    left = np.array(free, dtype=np.int64)
    weight = 2**WEIGHT_BITS // np.maximum(np.array(capacity, dtype=np.int64), 1)
    grid = FreeBytes(left, left.sum(axis=1), weight, ones * 10**9, ones)
    scratch = make_scratch(length, count)
    want = StreamRequest(need, period, need - 20, UNSEEN, UNSEEN, 0)
    best = int(score_phases(grid, ways, want, 0, scratch))
    expected = slow(free, capacity, hops, period, need)
    scores = [min(score for score, _, _ in chosen) for chosen in expected]
    assert scratch.score[:period].tolist() == scores
    assert best == scores.index(max(scores))

    binding = int(best_wires(grid, ways, want, 0, best, scratch))
    chosen = expected[best]
    assert scratch.ports.tolist() == [port for _, port, _ in chosen]
    assert chosen[binding][0] == scores[best]

    book = empty_book(1, count)
    asked = (0, period, 1, need - 20, -1, -1, 0, 0, 0)
    book = book._replace(asked=np.array([asked], dtype=np.int64))
    none = np.zeros(1, dtype=np.int64)
    answer = int(best_fit(grid, ways, Pairs(none, none + 1, none), book, 0, scratch))
    assert (answer == 0) == (scores[best] >= 0)
    if answer < 0:
        assert grid.free.tolist() == free
        return
    taken = [row.copy() for row in free]
    for (shift, _), (_, port, _) in zip(hops, chosen, strict=True):
        for turn in range(0, length, period):
            taken[port][(best + shift + turn) % length] -= need
    assert grid.free.tolist() == taken
    assert grid.spare.tolist() == grid.free.sum(axis=1).tolist()
    use(grid, ways, book, 0, -1)
    assert grid.free.tolist() == free
