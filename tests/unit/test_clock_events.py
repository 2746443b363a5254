"""What events make of clocks, by hand and to the picosecond; and as in the slow twin."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.errors import Infeasible, InputError, Interrupted
from qnet.files.read import load
from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.checkpoint import Checkpoint
from qnet.simulate.clocks import events
from qnet.simulate.clocks.walks import own_drift_ppb
from qnet.simulate.explain import TracedRun, explain
from qnet.simulate.run import simulate
from tests.builders import plan_for
from tests.slow_case import compare

US, MS = 10**6, 10**9
LINE_PS, WAY_PS = 1008 * 8 * 1000, 5 * US
"""To the last bit of 1000 bytes at 1 Gb/s; and the fibre."""

SYNC = {"grandmaster": "b", "interval": "1ms"}


def _net(sync: dict[str, str] | None = None, frequency: str = "0ppb") -> dict[str, Any]:
    clock = {"frequency-offset": frequency}
    return {
        "title": "t",
        "nodes": [{"name": name, "clock": clock} for name in "ab"],
        "links": [{"between": ("a", "b"), "rate": "1Gbps", "delay": "5us"}],
        **({} if sync is None else {"sync": sync}),
    }


def _case(
    happening: list[dict[str, Any]],
    sync: dict[str, str] | None = None,
    frequency: str = "0ppb",
    hold_ps: int | None = None,
) -> TracedRun:
    """Send a frame at 1 us, and every 100 us, which leaves when the clock of a shows 10 us."""
    profile = {
        "title": "p",
        "topology": "t",
        "streams": [
            {"name": "s", "from": "a", "to": "b", "interval": "100us", "max-payload-size": "982B"}
        ],
        "events": happening,
        "simulation": {"duration": "3ms"},
    }
    path = PathPlan(ports=("a->b",), cycles=(1,))
    entry = StreamPlan(name="s", status="admitted", send_ps=US, paths=(path,), hold_ps=hold_ps)
    plan = Plan(
        qnet_version="0",
        topology_sha256="",
        traffic_sha256="",
        cycle_ps=10 * US,
        buffers=4,
        hypercycle=10,
        streams=(entry,),
        demands=(),
        egress=(),
    )
    topology = Topology.model_validate(_net(sync, frequency))
    return TracedRun(topology, Profile.model_validate(profile), plan)


def _left_ps(case: TracedRun) -> list[int]:
    """When each frame begins to leave; the twin says the same."""
    slow = compare(case, simulate(*case, threads=1))
    assert simulate(*case, threads=2) == simulate(*case, threads=1)
    return [hop.started for hop in slow.log[0]]


def _usual(number: int) -> int:
    return (10 + 100 * number) * US


@pytest.mark.twin
@pytest.mark.parametrize(
    ("event", "left"),
    [
        # 3 us ahead: what is to leave at 310 us by the clock does at 307.
        ({"at": "250us", "step": "3us", "for": "300us"}, dict.fromkeys((3, 4, 5), -3 * US)),
        # It waits for 310 us when the clock goes from 305 us to 311.84: at once, for it ends with
        # its cycle. A picosecond more, and its buffer's turn is next at 350 us.
        ({"at": "305us", "step": "6840ns", "for": "50us"}, {3: -5 * US}),
        ({"at": "305us", "step": "6840001ps", "for": "50us"}, {3: 40 * US - 6_840_001}),
        ({"at": "305us", "step": "5000000ps", "for": "50us"}, {3: -5 * US}),
        ({"at": "305us", "step": "4999999ps", "for": "50us"}, {3: -4_999_999}),
        # Back by 20 us: it shows 285 us, and 310 us at 330.
        ({"at": "305us", "step": "-20us", "for": "50us"}, {3: 20 * US}),
        # 100 ppm too fast from 200 us on: t + (t - 200 us) / 10^4 = 310 us.
        ({"at": "200us", "drift": "100ppm", "for": "150us"},
         {2: -1000, 3: -10_999, **dict.fromkeys(range(4, 30), -15_000)}),
        ({"at": "200us", "drift": "-100ppm", "for": "150us"},
         {2: 1000, 3: 11_001, **dict.fromkeys(range(4, 30), 15_000)}),
    ],
)  # fmt: skip
def test_a_clock_that_no_other_sets_goes_as_events_say(
    event: dict[str, str], left: dict[int, int]
) -> None:
    seen = _left_ps(_case([{"change": "clock", "target": "a"} | event]))
    off = {n: time - _usual(n) for n, time in enumerate(seen) if time != _usual(n)}
    assert off == left


@pytest.mark.twin
@pytest.mark.parametrize(
    ("event", "left"),
    [
        # Set right at 1 ms.
        ({"at": "250us", "target": "a", "step": "3us"}, dict.fromkeys(range(3, 10), -3 * US)),
        # At 1 ms: after it was set right, so until 2 ms.
        ({"at": "1ms", "target": "a", "step": "3us"}, dict.fromkeys(range(10, 20), -3 * US)),
        # The grandmaster itself: a has it from 1 ms on, from 2 ms on not any more.
        ({"at": "250us", "target": "b", "step": "3us", "for": "1ms"},
         dict.fromkeys(range(10, 20), -3 * US)),
        # 1 % too fast, set right every millisecond.
        ({"at": "500us", "target": "a", "drift": "1%", "for": "700us"}, None),
    ],
)  # fmt: skip
def test_a_clock_that_follows_another_is_set_right_at_the_next_interval(
    event: dict[str, str], left: dict[int, int] | None
) -> None:
    seen = _left_ps(_case([{"change": "clock"} | event], SYNC))
    off = {n: time - _usual(n) for n, time in enumerate(seen) if time != _usual(n)}
    if left is None:
        # From 500 us on, from 1 ms on, and 2 us that it has gathered from 1.2 ms to 2 ms.
        begins = {**dict.fromkeys(range(5, 10), 500 * US), 10: MS, 11: MS}
        left = {n: (_usual(n) - at) * 100 // 101 + at - _usual(n) for n, at in begins.items()}
        left |= dict.fromkeys(range(12, 20), -2 * US)
        assert {*off} == {*left}
        assert all(abs(off[n] - left[n]) <= 1 for n in off)
    else:
        assert off == left


@pytest.mark.twin
@pytest.mark.parametrize("lost", [{"target": "a", "holdover": True}, {"grandmaster-lost": True}])
def test_in_holdover_a_clock_runs_by_itself_until_it_is_set_again(lost: dict[str, Any]) -> None:
    held = {"at": "500us", "change": "clock", "for": "700us", **lost}
    case = _case([held], SYNC, "1000ppm")
    own_ppb = own_drift_ppb(case.topology, case.profile, "a")
    assert abs(own_ppb) > 10**5
    off = [time - _usual(n) for n, time in enumerate(_left_ps(case))]
    assert off[:5] == [0] * 5
    # It is not heard at 1 ms, but at 2 ms.
    assert off[20:] == [0] * 10
    for n in range(5, 20):
        behind_ps = own_ppb * (_usual(n) - 500 * US) / 10**9
        assert abs(off[n] - behind_ps) < abs(behind_ps) / 500 + 2
    stepped = [held, {"at": "600us", "change": "clock", "target": "a", "step": "1us"}]
    again = [time - _usual(n) for n, time in enumerate(_left_ps(_case(stepped, SYNC, "1000ppm")))]
    assert [abs(a - b + US) <= 1000 for a, b in zip(again, off, strict=True)] == [
        6 <= n < 20 for n in range(30)
    ]


@pytest.mark.twin
def test_a_damper_hands_over_by_the_clock_as_it_is_by_then() -> None:
    """Frame 3 is born at 301 us, is there at 323.064 us and due at 331 us by the clock of b."""
    for event, latency in (
        ({"at": "250us", "step": "3us", "for": "90us"}, 27 * US),
        ({"at": "325us", "step": "3us", "for": "9us"}, 27 * US),
        ({"at": "325us", "step": "7us", "for": "9us"}, 24 * US),
        ({"at": "325us", "step": "-7us", "for": "90us"}, 37 * US),
        # So much ahead that it comes too late.
        ({"at": "250us", "step": "30us", "for": "90us"}, 9 * US + LINE_PS + WAY_PS),
    ):
        case = _case([{"change": "clock", "target": "b"} | event], hold_ps=30 * US)
        seen = simulate(*case, threads=1)
        slow = compare(case, seen)
        assert [slow.latency[0, n] for n in (2, 3, 4)] == [30 * US, latency, 30 * US]
        assert seen.streams[0].late == (latency == 9 * US + LINE_PS + WAY_PS)


def _gated(happening: list[dict[str, Any]], **clock: Any) -> TracedRun:
    """Send a frame every 100 us by the clock of a, in gates."""
    topology = Topology.model_validate(_net())
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [{"name": "g", "priority": 6, "mechanism": "qbv"}],
            "streams": [
                {"name": "s", "from": "a", "to": "b", "interval": "100us", "class": "g",
                 "max-payload-size": "982B"}
            ],
            "simulation": {"duration": "3ms"},
        }
    )  # fmt: skip
    plan = plan_for(topology, profile)
    events = Profile.model_validate({"title": "p", "topology": "t", "events": happening}).events
    return TracedRun(topology, profile.replace(events=events), plan)


@pytest.mark.twin
def test_talkers_send_what_a_step_passed_over_at_once_and_nothing_twice() -> None:
    plain = simulate(*_gated([]), threads=1)
    step = {"at": "1050us", "change": "clock", "target": "a"}
    for size, more, at_once in (("250us", 3, {2, 3}), ("-250us", -3, {0}), ("40us", 0, {0, 1})):
        case = _gated([step | {"step": size}])
        seen = simulate(*case, threads=1)
        slow = compare(case, seen)
        births = [time for time, _, _ in slow.sources[0].births if time < 3 * MS]
        assert births == sorted(births)
        assert abs(seen.streams[0].sent - plain.streams[0].sent - more) <= 1
        assert births.count(1050 * US) in at_once
        for number in (1, 11, 12, 13, 20):
            (journey,) = explain(case, seen, "s", number)
            assert journey.birth_ps == births[number - 1]


HAPPENING: list[dict[str, Any]] = [
    {"at": "250us", "change": "clock", "target": "a", "step": "23us", "for": "500us"},
    {"at": "333us", "change": "clock", "target": "a", "drift": "-2000ppm"},
    {"at": "400us", "change": "down", "target": "a", "for": "17us"},
    {"at": "777us", "change": "clock", "target": "b", "drift": "5%", "for": "1ms"},
    {"at": "1500us", "change": "clock", "grandmaster-lost": True, "for": "1ms"},
]


@pytest.mark.twin
def test_a_run_whose_clocks_are_set_in_pieces_is_the_run_in_one(tmp_path: Path) -> None:
    case = _case(HAPPENING, SYNC, "10ppm", 50 * US)
    whole = simulate(*case, threads=1)
    compare(case, whole)
    path, pieces, seen = tmp_path / "kept", 1, None
    while seen is None:
        counter = itertools.count(1)
        kept = Checkpoint(path, 7 * US, resume=True, asked=lambda c=counter: next(c) >= 9)  # type: ignore[misc]
        try:
            seen = simulate(*case, threads=1, checkpoint=kept)
        except Interrupted:
            pieces += 1
    assert seen == whole
    assert pieces > 3


def test_clocks_that_cannot_be_set_so_are_refused() -> None:
    clock: dict[str, Any] = {"at": "1us", "change": "clock"}
    for sync, event, message in (
        (None, {"target": "a", "holdover": True},
         "'holdover' needs 'sync' in the network: without it no clock follows another"),
        (None, {"grandmaster-lost": True},
         "'grandmaster-lost' needs 'sync' in the network: without it no clock follows another"),
        (SYNC, {"target": "b", "holdover": True},
         "'b' is the grandmaster; it is lost by 'grandmaster-lost: true'"),
        (SYNC, {"target": "c", "step": "1us"}, "no node or site 'c' in topology"),
        (None, {"target": "a", "drift": "-10%"},
         "with all else that moves it the clock of 'a' would stand still"),
    ):  # fmt: skip
        network = _net(sync, "95%")
        with pytest.raises(InputError) as caught:
            load({"title": "p", "topology": "t", "events": [clock | event]}, topology=network)
        assert [problem.message for problem in caught.value.problems] == [message]
    drifting: dict[str, Any] = clock | {"target": "a", "drift": "1%"}
    often = _case([drifting], SYNC | {"interval": "100ns"})
    with pytest.raises(Infeasible, match="the clock of a would be set more than 10000 times"):
        simulate(*often, threads=1)


@pytest.mark.parametrize(
    ("event", "bounds"),
    [
        # Within what plans are made for.
        ({"target": "b", "step": "90ns"}, "usual"),
        # Beyond, but cycles bear it: 300 ns and 100 ns, at both ends.
        ({"target": "c", "step": "300ns"}, "wider"),
        ({"target": "c", "step": "3ms"}, "none"),
        ({"target": "a", "drift": "1%"}, "none"),
        # Nothing goes by the clock of a node that only listens.
        ({"target": "d", "step": "3ms"}, "usual"),
    ],
)
def test_bounds_hold_for_clocks_as_wrong_as_events_make_them(
    event: dict[str, str], bounds: str
) -> None:
    clock = {"error": "100ns", "wander": "100ns"}
    network = {
        "title": "t",
        "nodes": [{"name": name, "clock": clock} for name in "abcd"],
        "links": [
            {"between": tuple(pair), "rate": "1Gbps", "delay": "5us"} for pair in ("ab", "bc", "cd")
        ],
    }
    topology = Topology.model_validate(network)
    asked = {
        "title": "p",
        "topology": "t",
        "streams": [
            {"name": "s", "from": "a", "to": "d", "interval": "100us", "max-payload-size": "500B"}
        ],
    }
    profile = Profile.model_validate(asked)
    plan = plan_for(topology, profile)
    happening = {"at": "5ms", "change": "clock", **event}
    happens = Profile.model_validate(asked | {"events": [happening]})
    usual, made = prove(topology, profile, plan), prove(topology, happens, plan)
    assert usual.findings == made.findings == ()
    (before,), (after,) = usual.streams, made.streams
    assert before.latency_ps_max is not None
    if bounds == "none":
        assert after.latency_ps_max is None
    elif bounds == "usual":
        assert after == before
    else:
        # Of the last port's clock: 300 ns more on either side, and what roundings may be.
        assert after.latency_ps_max == before.latency_ps_max + 300_004


@pytest.mark.twin
@pytest.mark.parametrize("fault", ["set_right", "begin", "_drift"])
def test_a_fault_of_a_clock_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin works out errors by itself: what the simulator forgets, it has."""
    happening: list[dict[str, Any]] = [
        {"at": "250us", "change": "clock", "target": "a", "step": "3us"},
        {"at": "600us", "change": "clock", "target": "a", "drift": "100ppm"},
    ]
    _left_ps(_case(happening, SYNC))
    monkeypatch.setattr(events._Clock, fault, lambda *_: None)
    case = _case(happening, SYNC)
    with pytest.raises(AssertionError):
        compare(case, simulate(*case, threads=1))
