"""Maintenance: who is moved away before it begins, and who stays; worked out by hand.

On the diamond of `test_reaction` a frame of a--b--d takes 149 us at most, a cycle 20 us: what was
sent by then has come 169 us later.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnet
from qnet.check.plan import prove
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.report.replay import event_lines
from qnet.simulate.run import simulate
from tests.builders import network, plan_for, profile
from tests.slow_case import compare
from tests.unit.test_reaction import (
    CUT,
    FAILOVER,
    LONG,
    MS,
    SHORT,
    US,
    _asked,
    _diamond,
    _ways,
)

WORK = {"at": "20ms", "change": "maintenance", "target": "a--b", "for": "10ms"}
LOCAL = {"policy": "local", "detection-time": "1ms", "planning": "7ms"}
CENTRAL = {"policy": "central", "detection-time": "1ms", "telemetry": "3ms", "planning": "2ms"}
COME_PS = 169 * US


def _proven(topology: Topology, asked: Profile, made: Plan) -> None:
    proof = prove(topology, asked, made)
    assert not proof.findings
    assert not any(one.findings for one in proof.epochs)


@pytest.mark.parametrize(
    ("reaction", "count", "at_ps", "decided_ps"),
    [
        (FAILOVER, 3, [20 * MS - COME_PS] * 3, 18 * MS - COME_PS),
        (LOCAL, 3, [20 * MS - COME_PS] * 3, 20 * MS - COME_PS),
        # It begins early enough to install three flows a stream, and needs two: one each ms.
        (CENTRAL, 3, [n * MS - COME_PS for n in (13, 15, 17)], 11 * MS - COME_PS),
    ],
)
@pytest.mark.parametrize("target", ["a--b", "b"])
def test_what_is_in_maintenance_is_left_before_and_loses_nothing(
    reaction: dict[str, Any], count: int, at_ps: list[int], decided_ps: int, target: str
) -> None:
    topology = _diamond()
    asked = _asked(reaction, [WORK | {"target": target}], count=count)
    made = plan_for(topology, asked)
    assert _ways(made.moves) == [(time, LONG) for time in at_ps]
    assert {(one.detected_ps, one.decided_ps) for one in made.moves} == {(None, decided_ps)}
    assert {one.cause for one in made.moves} == {f"maintenance of {target} at 20ms for 10ms"}
    assert made.unmoved == ()
    _proven(topology, asked, made)
    seen = simulate(topology, asked, made)
    compare((topology, asked, made), seen)
    assert [one.lost for one in seen.streams] == [0] * count
    assert not any(use.lost for use in seen.events)
    alone = simulate(topology, asked, made.replace(moves=()))
    assert sum(one.lost for one in alone.streams) >= 99 * count


def test_it_goes_back_when_the_work_is_over() -> None:
    made = plan_for(_diamond(), _asked(FAILOVER | {"wait-to-restore": "4ms"}, [WORK]))
    light_ps = 49 * US // 2
    assert _ways(made.moves) == [(20 * MS - COME_PS, LONG), (35 * MS + light_ps, SHORT)]
    _proven(_diamond(), _asked(FAILOVER, [WORK]), made)


def test_what_has_no_reaction_or_no_other_way_stays_and_is_cut() -> None:
    topology = _diamond()
    for reaction in (None, {"policy": "none"}, LOCAL):
        asked = _asked(reaction, [WORK], **{"max-latency": "190us"})
        made = plan_for(topology, asked)
        assert made.moves == ()
        (stream,) = simulate(topology, asked, made).streams
        assert 99 <= stream.lost <= 101
    # Once when it was announced, and once more when it was missed.
    light_ps = 49 * US // 2
    times = [one.at_ps for one in made.unmoved]
    assert times == [20 * MS - COME_PS, 28 * MS + light_ps]
    assert all("propagation alone" in one.reason for one in made.unmoved)


def test_of_two_paths_one_is_lost_and_nothing_else() -> None:
    both = {"paths": 2, "damper": True, "recovery": {"history": 100, "reset": "10ms"}}
    topology, asked = _diamond(), _asked(LOCAL, [WORK], **both)
    made = plan_for(topology, asked)
    assert (made.moves, made.unmoved) == ((), ())
    (stream,) = simulate(topology, asked, made).streams
    assert (stream.lost, stream.copies_lost > 90) == (0, True)


@pytest.mark.parametrize("reaction", [FAILOVER, LOCAL, CENTRAL])
def test_what_is_due_before_the_run_is_done_at_its_begin(reaction: dict[str, Any]) -> None:
    """It was announced before that, and planned."""
    topology, asked = _diamond(), _asked(reaction, [WORK | {"at": "100us"}], count=2)
    made = plan_for(topology, asked)
    assert _ways(made.moves) == [(0, LONG), (0, LONG)]
    assert {one.decided_ps for one in made.moves} == {0}
    _proven(topology, asked, made)
    seen = simulate(topology, asked, made)
    compare((topology, asked, made), seen)
    assert [one.lost for one in seen.streams] == [0, 0]
    asked = _asked(CENTRAL, [WORK | {"at": "3ms"}], count=2)
    made = plan_for(topology, asked)
    # Six flows at most, one each ms, begin 3.169 ms before the run, two of each are needed.
    assert _ways(made.moves) == [(0, LONG), (1 * MS - COME_PS, LONG)]


def test_nobody_is_sent_over_what_is_announced() -> None:
    """The cut of the long way is over, and would be gone back from, when work is about to begin."""
    reaction = FAILOVER | {"wait-to-restore": "4ms"}
    cut = {"at": "2ms", "change": "cut", "target": "a--b", "for": "12830us"}
    # Back at 14.83 + 1 + 4 ms and the light's way, which is 20 us after it would be left again.
    made = plan_for(_diamond(), _asked(reaction, [cut, WORK | {"for": "1ms"}]))
    light_ps = 49 * US // 2
    assert _ways(made.moves) == [(5 * MS + light_ps, LONG), (26 * MS + light_ps, SHORT)]


def test_a_cut_of_the_other_way_leaves_no_way() -> None:
    made = plan_for(_diamond(), _asked(LOCAL, [CUT | {"target": "c--d"}, WORK]))
    assert made.moves == ()
    assert {one.cause for one in made.unmoved} == {"maintenance of a--b at 20ms for 10ms"}


def test_two_works_at_once_are_left_at_once() -> None:
    """Neither way is taken to get away from the other one."""
    more = network(
        [
            {"between": [one, other], "length": "10km"}
            for one, other in ("ab", "bd", "ac", "cd", "ae", "ed")
        ],
        node={"processing": "2us"},
        link={"rate": "1Gbps"},
        tcqf={"cycle": "20us", "buffers": 4},
    )
    works = [WORK, WORK | {"target": "c"}]
    asked = _asked(LOCAL, works)
    made = plan_for(more, asked)
    assert [way for _, way in _ways(made.moves)] == [("a->e", "e->d")]
    assert simulate(more, asked, made).streams[0].lost == 0


def test_what_reserves_nothing_is_moved_by_what_full_buffers_take() -> None:
    """Two buffers of 1,000 bytes at 1 Gb/s, 2 us of processing each, and 98 us of fibre."""
    topology = network(
        [
            {"between": ["a", "b"], "length": "10km"},
            {"between": ["b", "d"], "length": "10km"},
            {"between": ["a", "c"], "length": "20km"},
            {"between": ["c", "d"], "length": "20km"},
        ],
        node={"processing": "2us", "buffer": "1000B"},
        link={"rate": "1Gbps"},
    )
    asked = profile(
        [{"from": "a", "to": "d", "interval": "100us", "max-payload-size": "500B"}],
        [{"from": "a", "to": "d", "rate": "10Mbps", "sizes": "500B"}],
        classes=[{"name": "e", "priority": 1, "mechanism": "strict-priority", "reaction": LOCAL}],
        stream={"class": "e"},
        demand={"class": "e"},
        events=[WORK],
        simulation={"duration": "50ms"},
    )
    made = plan_for(topology, asked)
    at_ps = 20 * MS - (16 + 4 + 98) * US
    assert {(one.at_ps, one.entry.name) for one in made.moves} == {(at_ps, "s0"), (at_ps, "d0")}
    seen = simulate(topology, asked, made)
    assert [one.lost for one in (*seen.streams, *seen.demands)] == [0, 0]
    assert seen.demands[0].sent > 100


def test_a_replay_of_maintenance_far_away_loses_nothing() -> None:
    """A site in maintenance for an hour, hours after the start: windows around all changes."""
    asked = _asked(LOCAL | {"wait-to-restore": "4ms"}, [WORK | {"at": "2h", "for": "1h"}])
    played = qnet.replay(qnet.load(asked, topology=_diamond()))
    (event,) = played.replay.events
    assert (event.moved, event.cut, event.unmoved, event.lost) == (1, 0, 0, ())
    assert played.replay.streams[0].lost == 0
    assert played.replay.streams[0].moved == 2
    assert event.installed_first_ps == 7200 * 1000 * MS - COME_PS
    assert event_lines(event, played.replay)[1:] == [
        "1 moved (decided 169.000 us before, first in force 169.000 us before, last 169.000 us "
        "before)",
        "no frame was lost",
    ]


@given(
    clocks=st.lists(
        st.tuples(st.integers(0, 19), st.sampled_from([0, 50, 400])), min_size=4, max_size=4
    ),
    target=st.sampled_from(["a--b", "b--d", "b", "c", "a--c", "c--d"]),
    at_ns=st.integers(1_000_000, 12_000_000),
    policy=st.sampled_from([FAILOVER, LOCAL, CENTRAL | {"flows-per-second": 20_000}]),
    stream=st.tuples(st.integers(1, 5), st.sampled_from([100, 200, 400]), st.integers(1, 3)),
    back=st.booleans(),
)
def test_whoever_is_moved_for_maintenance_loses_nothing(
    clocks: list[tuple[int, int]],
    target: str,
    at_ns: int,
    policy: dict[str, Any],
    stream: tuple[int, int, int],
    back: bool,
) -> None:
    """Whatever clocks show, and also what reserves nothing."""
    topology = network(
        [
            {"between": [one, other], "length": length}
            for one, other, length in (
                ("a", "b", "10km"), ("b", "d", "10km"), ("a", "c", "20km"), ("c", "d", "20km"),
            )
        ],
        nodes=[
            {
                "name": name,
                "processing": "1us..2us",
                "buffer": "5000B",
                "clock": {"phase": f"{phase}us", "error": f"{off}ns", "wander": "10ns"},
            }
            for name, (phase, off) in zip("abcd", clocks, strict=True)
        ],
        link={"rate": "1Gbps"},
        tcqf={"cycle": "20us", "buffers": 4},
    )  # fmt: skip
    count, interval, packets = stream
    reaction = policy | ({"wait-to-restore": "1ms"} if back else {})
    work = {"at": f"{at_ns}ns", "change": "maintenance", "target": target, "for": "3ms"}
    plain = reaction if policy is not FAILOVER else LOCAL
    asked = profile(
        [
            {"from": "a", "to": "d", "interval": f"{interval}us", "max-payload-size": "300B",
             "count": count, "max-pkts-per-interval": packets, "class": "r"},
            {"from": "a", "to": "d", "interval": "300us", "max-payload-size": "300B", "class": "e"},
        ],
        [{"from": "a", "to": "d", "rate": "20Mbps", "sizes": "500B", "class": "e"}],
        classes=[
            {"name": "r", "priority": 6, "mechanism": "tcqf", "reaction": reaction},
            {"name": "e", "priority": 1, "mechanism": "strict-priority", "reaction": plain},
        ],
        events=[work],
        simulation={"duration": "20ms"},
    )  # fmt: skip
    made = plan_for(topology, asked)
    stay = {one.name for one in made.unmoved}
    assert len(stay) < count
    seen = simulate(topology, asked, made)
    assert {one.name for one in (*seen.streams, *seen.demands) if one.lost} <= stay
    _proven(topology, asked, made)
