import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.schedule.kernels import (
    WEIGHT_BITS,
    Hops,
    Ledger,
    Scratch,
    choose_wires,
    score_phases,
    take,
)


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
    ledger = Ledger(
        np.array(free, dtype=np.int64),
        2**WEIGHT_BITS // np.maximum(np.array(capacity, dtype=np.int64), 1),
    )
    arrays = Hops(
        np.cumsum([0, *(len(ports) for _, ports in hops)]).astype(np.int64),
        np.array([port for _, ports in hops for port in ports], dtype=np.int64),
        np.array([shift for shift, _ in hops], dtype=np.int64),
    )
    scratch = Scratch(*(np.zeros(len(free[0]), dtype=np.int64) for _ in range(3)))
    best = score_phases(ledger, arrays, period, need, scratch)
    expected = slow(free, capacity, hops, period, need)
    scores = [min(score for score, _, _ in chosen) for chosen in expected]
    assert scratch.score[:period].tolist() == scores
    assert best == scores.index(max(scores))

    ports, cycles = (np.zeros(len(hops), dtype=np.int64) for _ in range(2))
    binding = choose_wires(ledger, arrays, period, need, best, ports, cycles)
    chosen = expected[best]
    assert list(zip(ports.tolist(), cycles.tolist(), strict=True)) == [
        (port, cycle) for _, port, cycle in chosen
    ]
    assert chosen[binding][0] == scores[best]

    take(ledger, arrays, period, need, best, ports)
    for (shift, _), (_, port, _) in zip(hops, chosen, strict=True):
        for turn in range(0, len(free[0]), period):
            free[port][(best + shift + turn) % len(free[0])] -= need
    assert ledger.free.tolist() == free
