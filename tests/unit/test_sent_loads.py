"""What is born of streams and demands that start, stop and scale, and of attacks, to a picosecond.

Worked out by hand, or from the same run without events: what is born there at the same times.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

import qnet
from qnet.errors import Interrupted
from qnet.model.observation import Observation, Traffic
from qnet.model.plan import Move
from qnet.simulate.checkpoint import Checkpoint
from qnet.simulate.draws import integers
from qnet.simulate.explain import TracedRun, _Replay, explain
from qnet.simulate.frame_sources import sources_of
from qnet.simulate.run import simulate
from qnet.simulate.windows import shares
from tests.builders import network, plan_for, profile
from tests.property.test_books import balance
from tests.slow_case import compare

US = 10**6

SQUARE = [{"between": pair} for pair in (("a", "b"), ("b", "d"), ("a", "c"), ("c", "d"))]
STREAM = {"from": "a", "to": "d", "interval": "100us", "max-payload-size": "200B"}
PLAIN = STREAM | {"class": "best-effort"}
DEMAND = {"from": "a", "to": "d", "rate": "100Mbps", "arrival": "constant-rate", "sizes": "980B"}
BITS = 8000
"""Of a frame of the demand, with preamble and gap: 80 us at 100 Mb/s."""


def _case(
    streams: list[dict[str, Any]], demands: list[dict[str, Any]] | None = None, **more: Any
) -> TracedRun:
    net = network(SQUARE, link={"rate": "1Gbps", "delay": "5us"}, tcqf={"cycle": "20us"})
    made = profile(streams, demands or [], **{"simulation": {"duration": "2ms"}, **more})
    return TracedRun(net, made, plan_for(net, made))


def _one(change: str, at_ps: int, target: str | None = None, **keys: Any) -> qnet.Event:
    return qnet.event(change, target, at=f"{at_ps}ps", **keys)


def _with(case: TracedRun, *happening: qnet.Event) -> TracedRun:
    return case._replace(profile=case.profile.replace(events=happening))


def _births(case: TracedRun, name: str) -> list[list[int]]:
    """When frames are born, source by source."""
    found = sources_of(*case)
    replay = _Replay(case, found, None)
    return [
        [one.birth for one in replay.births(number)]
        for number, owner in enumerate(found)
        if owner.name == name
    ]


def _run(case: TracedRun) -> tuple[Observation, dict[str, Traffic]]:
    """Simulate; what is sent is what is born, and the slow twin counts the same."""
    seen = simulate(*case, threads=1)
    balance(case.profile, seen)
    compare((*case,), seen)
    every = {one.name: one for one in (*seen.streams, *seen.demands)}
    for name, one in every.items():
        assert one.copies_sent == sum(map(len, _births(case, name))), name
    return seen, every


def _within(births: list[int], *spans: tuple[int, int]) -> list[int]:
    return [one for one in births if any(a <= one < b for a, b in spans)]


pytestmark = pytest.mark.twin


@pytest.mark.parametrize(
    ("stop", "start", "left_out"),
    [(0, 0, 0), (0, 1, 1), (1, 1, 0), (0, 100 * US, 1), (0, 100 * US + 1, 2), (1, 100 * US, 0)],
)
@pytest.mark.parametrize("kind", ["plain", "cycles"])
def test_what_is_born_at_the_instant_of_a_stop_is_not_sent(
    stop: int, start: int, left_out: int, kind: str
) -> None:
    case = _case([PLAIN if kind == "plain" else STREAM])
    (births,) = _births(case, "s0")
    fourth = births[3]
    quiet = _with(case, _one("stop", fourth + stop, "s0"), _one("start", fourth + start, "s0"))
    (left,) = _births(quiet, "s0")
    assert left == births[:3] + births[3 + left_out :]
    _, every = _run(quiet)
    assert every["s0"].sent == len(births) - left_out


def test_what_starts_first_was_silent_and_a_start_for_a_time_ends() -> None:
    case = _case([PLAIN, STREAM])
    for name in ("s0", "s1"):
        (births,) = _births(case, name)
        quiet = _with(case, _one("start", births[4], name, for_=f"{300 * US}ps"))
        assert _births(quiet, name) == [births[4:7]]
        _, every = _run(quiet)
        assert every[name].sent == 3


def test_a_scaled_demand_is_born_as_one_of_that_rate_from_the_beginning() -> None:
    case = _case([], [DEMAND])
    from_ps, until_ps = 300 * US, 1234 * US
    seed = case.profile.simulation.seed
    (own,) = _births(case, "d0")
    for by, rate in (("250%", 250), ("0.37", 37), ("1%", 1)):
        gap_ps = BITS * 10**6 // rate
        (first,) = integers(seed, "start d0 0", 1, -(-BITS * 10**6 // rate))
        due = [first + BITS * 10**6 * k // rate for k in range(2 * 10**9 // gap_ps + 2)]
        scaled = _with(case, _one("scale", from_ps, "d0", by=by, for_=f"{until_ps - from_ps}ps"))
        mine, other = _births(scaled, "d0")
        assert mine == _within(own, (0, from_ps), (until_ps, 2 * 10**9))
        assert other == _within(due, (from_ps, until_ps))
        _, every = _run(scaled)
        assert every["d0"].sent == len(mine) + len(other)


def test_at_nothing_nothing_is_sent_and_at_all_of_it_nothing_changes() -> None:
    case = _case([PLAIN | {"count": 3}, STREAM], [DEMAND, DEMAND | {"arrival": "poisson"}])
    whole, _ = _run(case)
    same, _ = _run(_with(case, _one("scale", 5 * US, "best-effort", by="100%")))
    assert same.replace(events=()) == whole
    for by in ("0%", "1ppb", "0.000000001"):
        _, every = _run(_with(case, _one("scale", 0, "d0", by=by)))
        assert every["d0"].sent == 0
    _, every = _run(_with(case, _one("scale", 0, "s0", by="1ppb")))
    assert [every[f"s0-{i}"].sent for i in (1, 2, 3)] == [20, 0, 0]
    _, every = _run(_with(case, _one("scale", 0, "best-effort", by="0%")))
    assert {name for name, one in every.items() if one.sent} == {"s1"}


def test_what_comes_again_is_the_source_that_was_there_before() -> None:
    case = _case([], [DEMAND | {"arrival": "poisson", "sizes": "imix"}])
    twice = [_one("scale", at * US, "d0", by="2", for_=f"{200 * US}ps") for at in (200, 900)]
    once = _one("scale", 200 * US, "d0", by="2", for_=f"{900 * US}ps")
    (own,) = _births(case, "d0")
    _, scaled = _births(_with(case, once), "d0")
    mine, other = _births(_with(case, *twice), "d0")
    assert other == _within(scaled, (200 * US, 400 * US), (900 * US, 1100 * US))
    assert mine == _within(own, (0, 200 * US), (400 * US, 900 * US), (1100 * US, 10**12))
    _run(_with(case, *twice))


def test_flows_are_paced_and_scaled_and_silenced_as_the_twin_has_them() -> None:
    flows = {"arrival": "flows", "flow-sizes": "1:50%+3:80%+7:100%", "access-rate": "400Mbps"}
    case = _case([PLAIN], [DEMAND | flows, DEMAND | flows | {"sizes": "imix"}])
    (births,) = _births(case, "d0")
    line = BITS * 2500
    gaps = [later - one for one, later in itertools.pairwise(births)]
    assert min(gaps) == line
    assert 0.3 < sum(gap == line for gap in gaps) / len(gaps) < 0.8
    _run(case)
    happening = (
        _one("scale", 300 * US, "d0", by="250%", for_=f"{400 * US}ps"),
        _one("stop", 900 * US, "d1", for_=f"{200 * US}ps"),
    )
    _run(_with(case, *happening))


def test_an_attack_is_of_constant_rate_and_its_account_is_behind_the_others() -> None:
    case = _case([PLAIN], [DEMAND])
    keys = {"from": "b", "to": "c", "rate": "4Gbps", "sizes": "980B"}
    at_ps, for_ps = 100 * US, 17 * US
    attacked = _with(
        case,
        _one("stop", 3 * US, "s0"),
        _one("attack", at_ps, for_=f"{for_ps}ps", **keys),
        _one("attack", 2 * 10**9 - 1, **keys),
        _one("attack", 2 * 10**9, **keys),
    )
    (first,) = integers(case.profile.simulation.seed, "start attack-2 0", 1, 2 * US)
    (births,) = _births(attacked, "attack-2")
    assert births == _within([first + 2 * US * k for k in range(100)], (at_ps, at_ps + for_ps))
    seen, every = _run(attacked)
    assert [one.name for one in seen.demands] == ["d0", "attack-2", "attack-3"]
    # Four times what the port has, for 17 us: what waits is sent once that is over.
    assert (every["attack-2"].sent, every["attack-2"].received) == (len(births), len(births))
    assert every["attack-3"].sent <= 1
    (journey,) = explain(attacked, seen, "attack-2", 2)
    assert [hop.port for hop in journey.hops] == ["b->a", "a->c"]
    assert journey.birth_ps == births[1]


def test_an_attack_above_the_port_takes_what_shares_its_queue() -> None:
    case = _case([STREAM, PLAIN], [DEMAND], simulation={"duration": "5ms"})
    case = case._replace(
        topology=network(
            SQUARE, link={"rate": "1Gbps", "delay": "5us"}, node={"buffer": "20kB"},
            tcqf={"cycle": "20us"},
        )
    )  # fmt: skip
    _, calm = _run(case)
    _, every = _run(_with(case, _one("attack", 0, from_="a", to="d", rate="3Gbps")))
    assert not any(one.lost for one in calm.values())
    assert every["attack-1"].lost
    assert every["s1"].lost
    assert not every["s0"].lost
    shut = _with(case, _one("stop", 0, "best-effort"), _one("attack", 0, from_="a", to="d",
                                                            rate="3Gbps"))  # fmt: skip
    _, every = _run(shut)
    assert every["attack-2"].sent > every["attack-2"].received > 0
    assert every["s1"].sent == every["d0"].sent == 0


COPIED = STREAM | {"paths": 2, "recovery": {}}


def test_numbers_of_copies_count_on_over_a_silence() -> None:
    case = _case([COPIED])
    births = _births(case, "s0")
    assert births[0] == births[1]
    at = births[0][5]
    quiet = _with(
        case, _one("stop", at, "s0", for_=f"{300 * US}ps"), _one("stop", at + 700 * US, "s0"),
        _one("start", at + 900 * US, "s0"),
    )  # fmt: skip
    _, every = _run(quiet)
    one = every["s0"]
    assert (one.sent, one.copies_sent, one.lost) == (15, 30, 0)
    assert one.recovery is not None
    assert (one.recovery.rogue, one.recovery.out_of_order) == (0, 0)
    assert one.recovery.passed == one.received
    seen = simulate(*quiet, threads=1)
    both = explain(quiet, seen, "s0", 6)
    assert [journey.birth_ps for journey in both] == [at + 300 * US] * 2


GATED = {
    "classes": [
        {"name": "gated", "priority": 6, "mechanism": "qbv"},
        {"name": "best-effort", "priority": 0, "mechanism": "strict-priority"},
    ],
}


@pytest.mark.parametrize("paths", [1, 2])
def test_an_interval_of_a_gated_stream_goes_whole_or_not_at_all(paths: int) -> None:
    more: dict[str, Any] = {"class": "gated", "max-pkts-per-interval": 3, "paths": paths}
    if paths == 2:
        more["recovery"] = {}
    case = _case([STREAM | more, STREAM | {"class": "gated"}], **GATED)
    births = _births(case, "s0")
    assert len(births) == paths
    intervals = [[one[i : i + 3] for i in range(0, len(one), 3)] for one in births]
    firsts = [min(each) for each in zip(*(one[0::3] for one in births), strict=False)]
    lasts = [max(each) for each in zip(*(one[2::3] for one in births), strict=False)]
    for k, at_ps, until_ps, gone in (
        (4, firsts[4], firsts[6], range(4, 6)),
        (4, firsts[4] + 1, firsts[6] + 1, range(5, 7)),
        (4, lasts[4], lasts[4] + 1, range(0)),
        (4, firsts[4], firsts[4] + 1, range(4, 5)),
        (0, 0, firsts[3], range(3)),
        (0, firsts[15], 10**12, range(15, 99)),
    ):
        quiet = _with(case, _one("stop", at_ps, "s0", for_=f"{until_ps - at_ps}ps"))
        expected = [
            [birth for i, each in enumerate(one) if i not in gone for birth in each]
            for one in intervals
        ]
        assert _births(quiet, "s0") == expected, k
        seen, every = _run(quiet)
        assert every["s0"].lost == 0
        if paths == 2:
            assert every["s0"].copies_sent == sum(map(len, expected))
            number = every["s0"].sent
            assert {one.number for one in explain(quiet, seen, "s0", number)} == {number}


def test_legs_to_several_listeners_are_silent_together() -> None:
    for one in (STREAM, PLAIN):
        case = _case([one | {"to": ["d", "b", "c"]}])
        at_ps = 500 * US
        _, every = _run(_with(case, _one("stop", at_ps, "s0")))
        assert {one.sent for one in every.values()} == {5}


def test_moves_and_silences_and_rates_cut_each_other() -> None:
    case = _case([PLAIN], [DEMAND])
    (stream,), (demand,) = case.plan.streams, case.plan.demands
    swap = {"a->b": "a->c", "b->d": "c->d", "a->c": "a->b", "c->d": "b->d"}
    way = tuple(swap[port] for port in demand.parts[0].ports)
    other = demand.replace(parts=(demand.parts[0].replace(ports=way),))
    path = stream.paths[0].replace(ports=tuple(swap[one] for one in stream.paths[0].ports))
    moved = case._replace(
        plan=case.plan.replace(
            moves=(
                Move(at_ps=500 * US, demand=other),
                Move(at_ps=600 * US, stream=stream.replace(paths=(path,))),
            )
        )
    )
    happening = (
        _one("scale", 300 * US, "d0", by="2", for_=f"{500 * US}ps"),
        _one("stop", 400 * US, "best-effort", for_=f"{300 * US}ps"),
    )
    (births,) = _births(case, "s0")
    (own,) = _births(case, "d0")
    _, scaled = _births(_with(case, _one("scale", 0, "d0", by="2")), "d0")
    busy = _with(moved, *happening)
    assert _births(busy, "s0") == [
        _within(births, (0, 400 * US)), _within(births, (700 * US, 10**12))
    ]  # fmt: skip
    assert _births(busy, "d0") == [
        _within(own, (0, 300 * US)),
        _within(scaled, (300 * US, 400 * US)),
        _within(scaled, (700 * US, 800 * US)),
        _within(own, (800 * US, 10**12)),
    ]
    _run(busy)


def _all_at_once(duration: str = "2ms") -> TracedRun:
    happening = (
        _one("start", 150 * US, "s0"),
        _one("scale", 200 * US, "d1", by="300%", for_=f"{333 * US}ps"),
        _one("stop", 500 * US, "s1", for_=f"{100 * US + 1}ps"),
        _one("attack", 600 * US, from_="b", to="d", rate="2Gbps", for_=f"{200 * US}ps"),
        _one("cut", 700 * US, "b--d", for_=f"{100 * US}ps"),
        _one("scale", 900 * US, "best-effort", by="50%"),
    )
    case = _case(
        [PLAIN | {"max-pkts-per-interval": 9}, COPIED, PLAIN | {"count": 5}],
        [DEMAND, DEMAND | {"arrival": "poisson", "sizes": "imix"}],
        simulation={"duration": duration},
    )
    return _with(case, *happening)


def test_any_number_of_threads_and_pieces_sees_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = _all_at_once()
    whole, _ = _run(case)
    monkeypatch.setattr(shares, "HOPS_PER_TASK", 1)
    assert {simulate(*case, threads=threads).model_dump_json() for threads in (1, 2, 4)} == {
        whole.model_dump_json()
    }
    path, stops, seen = tmp_path / "kept", 0, None
    while seen is None:
        counter = itertools.count(1)
        kept = Checkpoint(path, 7 * US, resume=True, asked=lambda c=counter: next(c) >= 9)  # type: ignore[misc]
        try:
            seen = simulate(*case, threads=1 + stops % 2, checkpoint=kept)
        except Interrupted:
            stops += 1
    assert seen == whole
    assert stops > 3


def test_a_thousand_events_are_played() -> None:
    case = _case([PLAIN, STREAM], [DEMAND])
    happening = [
        _one(("stop", "start")[i % 2], 2 * US * i, ("s0", "s1", "d0")[i // 2 % 3])
        for i in range(1000)
    ]
    case = _with(case, *happening)
    _, every = _run(case)
    for name, one in every.items():
        (births,) = _births(_with(case), name)
        acts = [(e.at_ps, e.change) for e in happening if e.target == name]
        spans, begin = [], 0
        for (at, _), (again, _) in zip(acts[0::2], acts[1::2], strict=True):
            spans.append((begin, at))
            begin = again
        assert one.copies_sent == len(_within(births, *spans, (begin, 10**12)))


def test_ports_that_nothing_goes_over_keep_nobody_waiting() -> None:
    """Where copies meet frames come from two ports; while both are silent the run goes on."""
    case = _case([COPIED], [DEMAND | {"from": "b", "to": "c"}])
    for at_ps in (0, 1000):
        quiet = _with(
            case, _one("stop", at_ps, "s0"), _one("scale", at_ps, "d0", by="2"),
        )  # fmt: skip
        _, every = _run(quiet)
        assert every["s0"].sent == (at_ps > 0 and _births(case, "s0")[0][0] == 0)
        assert every["d0"].sent > 20
