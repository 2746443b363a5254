"""A controller that is lost or slow: how much later it hears, plans and installs, by hand.

On the diamond of `test_reaction` a--b is cut at 5 ms. Its light is gone 24.5 us later and missed
1 ms after that; the controller hears 3 ms later, has planned after 2 ms, and installs two flows,
1 ms each: it works from 6.0245 to 13.0245 ms.
"""

from __future__ import annotations

from typing import Any

import pytest

import qnet
from qnet.check.plan import prove
from qnet.model.plan import Plan
from qnet.simulate.explain import TracedRun, explain
from qnet.simulate.run import simulate
from tests.unit.test_reaction import (
    CUT,
    FAILOVER,
    LONG,
    MS,
    SHORT,
    US,
    _asked,
    _diamond,
    _plan,
    _ways,
)

CENTRAL = {
    "policy": "central", "detection-time": "1ms", "telemetry": "3ms", "planning": "2ms",
    "flows-per-second": 1000,
}  # fmt: skip
AFTER_PS = 49 * US // 2
"""By which all acts are after a whole millisecond."""


def _lost(at: str, lasts: str | None = None) -> dict[str, Any]:
    return {"at": at, "change": "controller", "lost": True} | ({"for": lasts} if lasts else {})


def _slow(at: str, by: str, lasts: str | None = None) -> dict[str, Any]:
    return {"at": at, "change": "controller", "slow-by": by} | ({"for": lasts} if lasts else {})


@pytest.mark.parametrize(
    ("controller", "decided_ps", "moved_ps"),
    [
        ([], 11 * MS, 13 * MS),
        # Nothing waits for it before the cut is missed, nor when all is done.
        ([_lost("1ms", "5ms")], 11 * MS, 13 * MS),
        ([_lost("13025us", "5ms")], 11 * MS, 13 * MS),
        # Lost while it hears, plans or installs: all that is left is done afterwards.
        ([_lost("7ms", "5ms")], 16 * MS, 18 * MS),
        ([_lost("10ms", "5ms")], 16 * MS, 18 * MS),
        ([_lost("12ms", "5ms")], 11 * MS, 18 * MS),
        ([_lost("7ms", "1ms"), _lost("9ms", "2ms"), _lost("14ms", "3ms")], 17 * MS, 19 * MS),
        # Lost twice at once is lost once.
        ([_lost("7ms", "4ms"), _lost("8ms", "1ms"), _lost("10ms", "2ms")], 16 * MS, 18 * MS),
        # Back at the very instant, or lost at that at which a step is over.
        ([_lost("1ms", "5024500ns")], 11 * MS, 13 * MS),
        ([_lost("9024500ns", "1ms")], 12 * MS, 14 * MS),
        # Slow: each of three steps takes longer that begins then; the last begun counts.
        ([_slow("1ms", "500us")], 12 * MS, 14 * MS + 500 * US),
        ([_slow("1ms", "500us", "6ms")], 11 * MS + 500 * US, 13 * MS + 500 * US),
        ([_slow("1ms", "9ms"), _slow("2ms", "500us")], 12 * MS, 14 * MS + 500 * US),
        ([_slow("1ms", "500us"), _slow("2ms", "9ms", "1ms")], 12 * MS, 14 * MS + 500 * US),
        ([_slow("1ms", "500us"), _lost("7ms", "5ms")], 17 * MS, 19 * MS + 500 * US),
    ],
)  # fmt: skip
def test_what_a_controller_does_waits_while_it_is_lost(
    controller: list[dict[str, Any]], decided_ps: int, moved_ps: int
) -> None:
    made = _plan(CENTRAL, [CUT, *controller])
    assert _ways(made.moves) == [(moved_ps + AFTER_PS, LONG)]
    (move,) = made.moves
    assert (move.detected_ps, move.decided_ps) == (6 * MS + AFTER_PS, decided_ps + AFTER_PS)


def test_the_other_policies_need_no_controller() -> None:
    for reaction in (FAILOVER, {"policy": "local", "detection-time": "1ms"}):
        assert _plan(reaction, [CUT, _lost("1ms")]).moves == _plan(reaction, [CUT]).moves


@pytest.mark.parametrize("lost_ms", [1, 7, 20])
def test_the_gap_is_longer_by_exactly_the_time_lost(lost_ms: int) -> None:
    """Between the last frame of the old way and the first one of the new."""
    topology = _diamond()
    gaps, frames = [], []
    for controller in ([], [_lost("8ms", f"{lost_ms}ms")]):
        asked = _asked(CENTRAL, [CUT, *controller])
        made = _plan(CENTRAL, [CUT, *controller])
        case = TracedRun(topology, asked, made)
        seen = simulate(*case)
        (stream,) = seen.streams
        (first,) = explain(case, seen, "s0", "lost")
        (last,) = explain(case, seen, "s0", first.number - 1)
        (again,) = explain(case, seen, "s0", first.number + stream.lost)
        assert last.latency_ps is not None
        assert again.latency_ps is not None
        gaps.append(again.birth_ps + again.latency_ps - last.birth_ps - last.latency_ps)
        frames.append(stream.lost)
        proof = prove(topology, asked, made)
        assert not proof.findings
        assert not any(one.findings for one in proof.epochs)
    assert gaps[1] - gaps[0] == lost_ms * MS
    assert frames[1] - frames[0] == 10 * lost_ms


def test_it_acts_on_what_it_finds_when_it_is_back() -> None:
    """A cut that is over by then moves nobody; of two cuts both are known."""
    assert _plan(CENTRAL, [CUT | {"for": "10ms"}, _lost("8ms", "20ms")]).moves == ()
    other = {"at": "9ms", "change": "cut", "target": "c--d", "for": "10ms"}
    made = _plan(CENTRAL, [CUT, other, _lost("8ms", "3ms")])
    assert made.moves == ()
    assert [one.cause for one in made.unmoved] == ["cut of a--b at 5ms"]
    made = _plan(CENTRAL, [CUT, other, _lost("8ms", "15ms")])
    assert _ways(made.moves) == [(28 * MS + AFTER_PS, LONG)]


def test_what_is_decided_is_installed_when_it_is_back() -> None:
    """Of three streams one is there before; the way back waits for it as well."""
    made = _plan(CENTRAL, [CUT, _lost("14ms", "10ms")], count=3)
    assert [at for at, _ in _ways(made.moves)] == [n * MS + AFTER_PS for n in (13, 25, 27)]
    assert {one.decided_ps for one in made.moves} == {11 * MS + AFTER_PS}
    back = CENTRAL | {"wait-to-restore": "4ms"}
    made = _plan(back, [CUT | {"for": "10ms"}, _lost("20ms", "10ms")])
    # Seen at 16 ms, heard at 19 ms: the wait is over at 23 ms, two flows are there 2 ms after 30.
    assert _ways(made.moves) == [(13 * MS + AFTER_PS, LONG), (32 * MS, SHORT)]


def test_what_is_decided_while_it_installs_is_installed_after_that() -> None:
    """Ten streams are on their way to what is cut then: each is sent back when all are there."""
    other = {"at": "15ms", "change": "cut", "target": "c--d"}
    made = _plan(CENTRAL, [CUT | {"for": "8ms"}, other], count=10)
    by_stream: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for move in made.moves:
        assert move.stream is not None
        by_stream.setdefault(move.stream.name, []).append((move.at_ps, move.stream.paths[0].ports))
    assert all([way for _, way in every] == [LONG, SHORT] for every in by_stream.values())
    assert [one.at_ps for one in made.moves] == [
        (11 + 2 * n) * MS + AFTER_PS for n in range(1, 21)
    ]  # fmt: skip


def test_of_a_controller_that_is_gone_the_plan_says_so() -> None:
    def told(made: Plan) -> list[tuple[str, str]]:
        return [(one.name, one.reason) for one in made.unmoved]

    made = _plan(CENTRAL, [CUT, _lost("7ms")])
    assert (made.moves, told(made)) == ((), [("s0", "the controller is lost")])
    made = _plan(CENTRAL, [CUT, _lost("14ms")], count=2)
    assert [one.at_ps for one in made.moves] == [13 * MS + AFTER_PS]
    assert told(made) == [("s0-2", "the controller is lost")]
    work = {"at": "20ms", "change": "maintenance", "target": "a--b", "for": "10ms"}
    made = _plan(CENTRAL, [work, _lost("1ms")])
    assert (made.moves, {why for _, why in told(made)}) == ((), {"the controller is lost"})


def test_maintenance_waits_for_it_and_is_late() -> None:
    work = {"at": "20ms", "change": "maintenance", "target": "a--b", "for": "10ms"}
    made = _plan(CENTRAL, [work, _lost("10ms", "12ms")])
    assert _ways(made.moves) == [(24 * MS, LONG)]


def test_a_replay_goes_on_until_a_controller_has_acted() -> None:
    """It is lost for two hours: frames are lost until it is back, and watched around its acts."""
    away = _lost("7ms", "2h")
    played = qnet.replay(qnet.load(_asked(CENTRAL, [CUT, away]), topology=_diamond()))
    moved_ps = 7200 * 1000 * MS + 13 * MS + AFTER_PS
    assert _ways(played.plan.moves) == [(moved_ps, LONG)]
    cut, controller = played.replay.events
    assert (cut.moved, cut.cut, cut.installed_last_ps) == (1, 1, moved_ps)
    assert (controller.lost, controller.moved) == ((), 0)
    assert len(played.replay.windows) == 2
    (stream,) = played.replay.streams
    whole = simulate(_diamond(), _asked(CENTRAL, [CUT]), _plan(CENTRAL, [CUT])).streams[0]
    assert stream.lost == whole.lost + 7200 * 10_000
    assert played.replay.unwatched == ()
    assert not played.replay.findings
