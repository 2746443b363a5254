from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule.cycles import exact
from qnet.schedule.cycles.kernels.tables import NO_TREE, Candidates, FreeBytes, StreamRequest
from qnet.schedule.cycles.kernels.waits import score_waits
from qnet.schedule.cycles.state import make_scratch
from qnet.schedule.kernels import UNSEEN
from tests.builders import plan_for


@pytest.mark.twin
@settings(max_examples=60)
@given(
    st.integers(1, 4).flatmap(lambda period: st.tuples(st.just(period), st.integers(1, 3))),
    st.integers(1, 4),
    st.integers(1, 5),
    st.data(),
)
def test_the_best_delays_are_those_of_trying_all(
    sizes: tuple[int, int], hop_count: int, need: int, data: st.DataObject
) -> None:
    period, turns = sizes
    length = period * turns
    row = st.lists(st.integers(0, 9), min_size=length, max_size=length)
    free = np.array([data.draw(row) for _ in range(hop_count + 1)])
    shift = np.array([data.draw(st.integers(0, length - 1)) for _ in range(hop_count)])
    extra = np.array([0] + [data.draw(st.integers(0, 2)) for _ in range(hop_count - 1)])
    most = data.draw(st.integers(0, 4))
    # The first hop has two wires to choose from. A cycle lasts 1000 ps, a frame 1 ps.
    wire = np.array([0, *range(2, hop_count + 2)])
    port = np.array([hop_count, *range(hop_count)])
    last = np.arange(hop_count) == hop_count - 1
    ways = Candidates(
        hop=np.array([0, hop_count]),
        latency_ps_max=np.array([0]),
        shift=shift,
        skew_ps=np.where(last, 0, -1),
        window_ps=np.where(last, 1000, -1),
        slack_ps=np.array([*extra[1:] * 1000, 0]),
        before=np.full(hop_count, NO_TREE),
        wire=wire,
        port=port,
        cost=np.array([0]),
        order=np.array([0]),
        cycle_ps=1000,
    )
    ones = np.ones(hop_count + 1, dtype=np.int64)
    grid = FreeBytes(free, free.sum(axis=1), ones, ones * 10**18, ones)
    scratch = make_scratch(length, hop_count)
    want = StreamRequest(need, period, 64, most * 1000, UNSEEN, 1)
    phase = int(score_waits(grid, ways, want, 0, scratch))

    def room(start: int, waits: tuple[int, ...]) -> int:
        worst = []
        waited = np.cumsum(waits)
        for hop in range(hop_count):
            cycles = (start + shift[hop] + waited[hop] + period * np.arange(turns)) % length
            wires = port[wire[hop] : wire[hop + 1]]
            worst.append(max(int(free[one, cycles].min()) - need for one in wires))
        return min(worst)

    choices = [w for w in product(*(range(e + 1) for e in extra)) if sum(w) <= most]
    best = [max(room(start, waits) for waits in choices) for start in range(period)]
    assert scratch.score[:period].tolist() == best
    assert phase == best.index(max(best))
    waits = tuple(np.diff(scratch.waits, prepend=0).tolist())
    assert waits in choices
    assert room(phase, waits) == best[phase]
    assert sum(waits) == min(sum(w) for w in choices if room(phase, w) == best[phase])


def test_a_stream_that_fits_only_by_waiting_is_admitted_and_proven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two ports are full in cycles that only a wait of one cycle avoids on both.

    So small a set would be searched to the end, and stream two moved instead.
    """
    monkeypatch.setattr(exact, "STREAMS_MAX", 0)
    nodes = [{"name": name} for name in "abcde"]
    links = [
        {"between": list(ends), "rate": "1Gbps", "delay": "25us" if ends == "db" else "15us"}
        for ends in ("ab", "bc", "db", "be")
    ]
    topology = Topology.model_validate(
        {"title": "t", "nodes": nodes, "links": links, "tcqf": {"cycle": "10us", "buffers": 6}}
    )

    def profile(mechanism: str) -> Profile:
        big = {"interval": "20us", "max-payload-size": "1100B"}
        return Profile.model_validate(
            {
                "title": "t",
                "topology": "t",
                "classes": [{"name": "reserved", "priority": 6, "mechanism": mechanism}],
                "streams": [
                    {"name": "one", "from": "a", "to": "b", "rank": 1, **big},
                    {"name": "two", "from": "d", "to": "c", "rank": 2, **big},
                    {"name": "three", "from": "a", "to": "c", "rank": 3, **big},
                ],
            }
        )

    statuses = {}
    for mechanism in ("tcqf", "csqf"):
        asked = profile(mechanism)
        plan = plan_for(topology, asked)
        proof = prove(topology, asked, plan)
        assert proof.findings == ()
        statuses[mechanism] = [stream.status for stream in plan.streams]
    assert statuses == {"tcqf": ["admitted", "admitted", "refused"], "csqf": ["admitted"] * 3}
