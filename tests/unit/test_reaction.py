"""Reactions: who is moved when something breaks, where to, and from when on, worked out by hand.

The diamond: a--b--d is the short way, a--c--d the long one; 10 km of fibre take 49 us, 20 km 98 us.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.errors import InputError
from qnet.files.read import load
from qnet.model.plan import Move, Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.explain import TracedRun, explain
from qnet.simulate.run import simulate
from tests.builders import network, plan_for, profile

MS = 10**9
US = 10**6
LIGHT_PS, BACK_PS = 49 * US // 2, 0
"""From half way along a--b to a, where the talker is."""


def _diamond(**short: Any) -> Topology:
    return network(
        [
            {"between": ["a", "b"], "length": "10km", **short},
            {"between": ["b", "d"], "length": "10km"},
            {"between": ["a", "c"], "length": "20km"},
            {"between": ["c", "d"], "length": "20km"},
        ],
        node={"processing": "2us"},
        link={"rate": "1Gbps"},
        tcqf={"cycle": "20us", "buffers": 4},
    )


def _asked(reaction: dict[str, Any] | None, happening: list[Any], **stream: Any) -> Profile:
    one = {"from": "a", "to": "d", "interval": "100us", "max-payload-size": "500B", **stream}
    return profile(
        [one],
        classes=[{"name": "r", "priority": 6, "mechanism": "tcqf"} | _given(reaction)],
        stream={"class": "r"},
        events=happening,
        simulation={"duration": "50ms"},
    )


def _given(reaction: dict[str, Any] | None) -> dict[str, Any]:
    return {} if reaction is None else {"reaction": reaction}


def _plan(reaction: dict[str, Any] | None, happening: list[Any], **stream: Any) -> Plan:
    return plan_for(_diamond(), _asked(reaction, happening, **stream))


CUT = {"at": "5ms", "change": "cut", "target": "a--b"}
FAILOVER = {"policy": "failover", "detection-time": "1ms", "switching": "2ms"}


def _ways(moves: tuple[Move, ...]) -> list[tuple[int, tuple[str, ...]]]:
    return [(one.at_ps, one.stream.paths[0].ports) for one in moves if one.stream]


LONG, SHORT = ("a->c", "c->d"), ("a->b", "b->d")


def test_without_a_reaction_nothing_is_moved() -> None:
    """A plan is what it was before there were reactions."""
    for reaction in (None, {"policy": "none"}):
        made = _plan(reaction, [CUT])
        assert (made.moves, made.standby, made.unmoved) == ((), (), ())


def test_a_stream_switches_to_its_second_way() -> None:
    """The cut is missed when the light is gone and the time of detection is over."""
    made = _plan(FAILOVER, [CUT])
    assert [one.paths[0].ports for one in made.standby] == [LONG]
    assert _ways(made.moves) == [(5 * MS + LIGHT_PS + 3 * MS, LONG)]
    (move,) = made.moves
    assert (move.detected_ps, move.decided_ps) == (6 * MS + LIGHT_PS, 6 * MS + LIGHT_PS)
    assert move.installed_ps == move.at_ps
    assert move.cause == "cut of a--b at 5ms"


def test_news_of_a_cut_further_on_has_to_come_back() -> None:
    """The node before the cut tells the talker's, which takes as long as light does."""
    made = _plan(FAILOVER, [CUT | {"target": "b--d", "where": "25%"}])
    light_ps, back_ps = 49 * US // 4, 49 * US
    assert _ways(made.moves) == [(8 * MS + light_ps + back_ps, LONG)]


def test_a_node_is_missed_by_its_neighbours() -> None:
    """The light of the node itself is gone."""
    made = _plan(FAILOVER, [{"at": "5ms", "change": "down", "target": "b"}])
    assert _ways(made.moves) == [(8 * MS + 49 * US, LONG)]


def test_the_talker_itself_cannot_act() -> None:
    """Nothing is moved when the node of the talker is down."""
    made = _plan(FAILOVER, [{"at": "5ms", "change": "down", "target": "a"}])
    assert made.moves == ()


@pytest.mark.parametrize(("lasts", "count"), [("1ms", 1), ("999us", 0), ("1500us", 1)])
def test_what_is_over_before_it_is_missed_moves_nobody(lasts: str, count: int) -> None:
    """A break shorter than the time of detection is not seen."""
    slow = FAILOVER | {"switching": "0ms"}
    made = _plan(slow, [CUT | {"for": lasts}])
    assert len(made.moves) == count


def test_hold_off_adds_to_detection() -> None:
    """BFD: interval times multiplier, and the hold-off."""
    bfd = {"policy": "failover", "detection": "bfd", "bfd-interval": "1ms", "bfd-multiplier": 3}
    made = _plan(bfd | {"hold-off": "2ms", "switching": "0ms"}, [CUT])
    assert _ways(made.moves) == [(10 * MS + LIGHT_PS, LONG)]


def test_it_goes_back_after_the_repair() -> None:
    """The light is back, has been for the time of detection, and the wait to restore is over."""
    made = _plan(FAILOVER | {"wait-to-restore": "4ms"}, [CUT | {"for": "10ms"}])
    back_ps = 15 * MS + LIGHT_PS + 1 * MS + 4 * MS
    assert _ways(made.moves) == [(8 * MS + LIGHT_PS, LONG), (back_ps, SHORT)]
    assert made.moves[1].stream == made.streams[0]
    assert _ways(_plan(FAILOVER, [CUT | {"for": "10ms"}]).moves) == _ways(made.moves)[:1]


def test_a_second_cut_sends_it_back_or_nowhere() -> None:
    """The way that is mended is the second way now."""
    other = {"at": "25ms", "change": "cut", "target": "a--c"}
    made = _plan(FAILOVER, [CUT | {"for": "10ms"}, other])
    assert [way for _, way in _ways(made.moves)] == [LONG, SHORT]
    made = _plan(FAILOVER, [CUT, other])
    assert [way for _, way in _ways(made.moves)] == [LONG]
    assert [one.reason for one in made.unmoved] == ["its second way is broken too"]


def test_a_talker_that_plans_by_itself() -> None:
    """Local: when it has heard and has found a way."""
    made = _plan({"policy": "local", "detection-time": "1ms", "planning": "7ms"}, [CUT])
    assert made.standby == ()
    assert _ways(made.moves) == [(5 * MS + LIGHT_PS + 8 * MS, LONG)]
    (move,) = made.moves
    assert (move.detected_ps, move.decided_ps) == (6 * MS + LIGHT_PS, 13 * MS + LIGHT_PS)


def test_a_controller_installs_flow_by_flow() -> None:
    """Central: telemetry, planning, then so many flows a second, in order of rank."""
    central = {
        "policy": "central", "detection-time": "1ms", "telemetry": "3ms", "planning": "2ms",
        "flows-per-second": 1000,
    }  # fmt: skip
    made = _plan(central, [CUT], count=3)
    decided_ps = 5 * MS + LIGHT_PS + 6 * MS
    assert _ways(made.moves) == [(decided_ps + n * 2 * MS, LONG) for n in (1, 2, 3)]
    assert {one.decided_ps for one in made.moves} == {decided_ps}


def test_who_finds_no_way_is_told_of_with_the_reason() -> None:
    """The other way is too long for what is promised."""
    local = {"policy": "local", "detection-time": "1ms", "planning": "1ms"}
    made = _plan(local, [CUT], **{"max-latency": "190us"})
    assert made.moves == ()
    assert [one.name for one in made.unmoved] == ["s0"]
    assert "propagation alone" in made.unmoved[0].reason


def test_demands_and_streams_without_reservation_are_moved_too() -> None:
    """They go around what is broken, as far as there is room."""
    reaction = {"policy": "local", "detection-time": "1ms", "planning": "1ms"}
    asked = profile(
        [{"from": "a", "to": "d", "interval": "100us", "max-payload-size": "500B"}],
        [{"from": "a", "to": "d", "rate": "100Mbps"}],
        classes=[
            {"name": "e", "priority": 1, "mechanism": "strict-priority", "reaction": reaction}
        ],
        stream={"class": "e"},
        demand={"class": "e"},
        events=[CUT],
        simulation={"duration": "50ms"},
    )
    made = plan_for(_diamond(), asked)
    at_ps = 7 * MS + LIGHT_PS
    assert {(one.at_ps, one.entry.name) for one in made.moves} == {(at_ps, "s0"), (at_ps, "d0")}
    (demand,) = [one.demand for one in made.moves if one.demand]
    assert [part.ports for part in demand.parts] == [LONG]


def test_copies_on_two_paths_stay_while_one_is_whole() -> None:
    """1+1: nothing is to be done for a single failure."""
    made = _plan(FAILOVER, [CUT], paths=2, recovery={"history": 100, "reset": "10ms"})
    assert made.moves == ()


def test_who_is_sent_back_by_another_cut_is_where_it_was() -> None:
    """Nothing goes back to where it is already, and its place is not taken twice.

    An interval of one cycle leaves one choice, so that the way back is the way it was.
    """
    reaction = {"policy": "local", "detection-time": "1ms", "planning": "1ms"}
    happening = [
        CUT | {"for": "10ms"},
        {"at": "18ms", "change": "cut", "target": "a--c", "for": "4ms"},
        {"at": "30ms", "change": "cut", "target": "a--b", "for": "4ms"},
    ]
    asked = _asked(reaction | {"wait-to-restore": "10ms"}, happening, interval="20us", count=2)
    made = plan_for(_diamond(), asked)
    assert _ways(made.moves) == [
        (7 * MS + LIGHT_PS, LONG),
        (7 * MS + LIGHT_PS, LONG),
        (20 * MS + 2 * LIGHT_PS, SHORT),
        (20 * MS + 2 * LIGHT_PS, SHORT),
        (32 * MS + LIGHT_PS, LONG),
        (32 * MS + LIGHT_PS, LONG),
        (45 * MS + LIGHT_PS, SHORT),
        (45 * MS + LIGHT_PS, SHORT),
    ]
    assert {one.stream for one in made.moves[2:4]} == set(made.streams)


def test_who_is_sent_into_what_is_broken_is_moved_on() -> None:
    """The other way is cut at 2 ms: nobody has missed it when all are sent there, 24.5 us later."""
    happening = [
        {"at": "0ms", "change": "cut", "target": "a--b", "for": "2ms"},
        {"at": "2ms", "change": "cut", "target": "a--c", "for": "2ms"},
    ]
    reaction = {"policy": "local", "detection-time": "1ms", "planning": "1ms"}
    topology, asked = _diamond(), _asked(reaction, happening, count=21)
    made = plan_for(topology, asked)
    times = Counter(_ways(made.moves))
    # Of 21 the last one goes the long way from the beginning, and one of the others has no room.
    assert times == {(2 * MS + LIGHT_PS, LONG): 19, (4 * MS + 2 * LIGHT_PS, SHORT): 19}
    assert [one.cause[:11] for one in made.unmoved] == ["cut of a--b", "cut of a--c"]
    proof = prove(topology, asked, made)
    assert not any(one.findings for one in proof.epochs)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cut", "cut", "maintenance", "controller"]),
            st.integers(0, 45),
            st.sampled_from(["a--b", "b--d", "a--c", "c--d"]),
            st.integers(1, 20),
        ),
        max_size=5,
    ),
    st.sampled_from(["failover", "failover at b", "local", "central"]),
    st.integers(1, 30),
    st.sampled_from([None, "2ms"]),
)
def test_every_state_of_a_plan_that_moves_holds(
    happened: list[tuple[str, int, str, int]], policy: str, count: int, back: str | None
) -> None:
    """Moves are in order, go around what broke when they were decided, and old and new ways fit."""
    happening = [
        {"at": f"{at}ms", "change": change, "for": f"{lasts}ms"}
        | ({"lost": True} if change == "controller" else {"target": target})
        for change, at, target, lasts in happened
    ]
    policy, _, at = policy.partition(" ")
    reaction = {"policy": policy, "detection-time": "1ms"}
    reaction |= {"switching": "1ms"} if policy == "failover" else {"planning": "1ms"}
    reaction |= {"repair": "local"} if at else {}
    reaction |= {"telemetry": "1ms"} if policy == "central" else {}
    reaction |= {"wait-to-restore": back} if back else {}
    topology, asked = _diamond(), _asked(reaction, happening, count=count)
    made = plan_for(topology, asked)
    assert [one.at_ps for one in made.moves] == sorted(one.at_ps for one in made.moves)
    assert all((one.decided_ps or 0) <= (one.installed_ps or 0) for one in made.moves)
    proof = prove(topology, asked, made)
    assert not proof.findings
    assert not any(one.findings for one in proof.epochs)
    state = {one.name: one for one in made.streams}
    for move in made.moves:
        assert move.stream is not None
        assert move.stream != state[move.stream.name]
        state[move.stream.name] = move.stream
        now = made.replace(streams=tuple(state.values()), moves=(), standby=(), unmoved=(),
                           reserved=None)  # fmt: skip
        assert not prove(topology, asked.replace(events=()), now).findings


def test_wrong_keys_are_named(tmp_path: Any) -> None:
    """What does not go with a policy or a mechanism is a fault at its place."""
    text = """title: t
topology: net
classes:
  - {name: r, priority: 6, mechanism: tcqf, reaction: {policy: local, switching: 1ms}}
  - {name: q, priority: 5, mechanism: strict-priority, reaction: {policy: failover}}
"""
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load(str(path), topology="zheng-qing-ha")
    words = str(caught.value)
    assert "'switching' does not go with the policy local" in words
    assert "take 'local'" in words


@pytest.mark.parametrize("policy", ["failover", "local"])
@pytest.mark.parametrize("where", ["10%", "50%"])
def test_the_gap_at_the_listener_is_told_beforehand_to_the_picosecond(
    policy: str, where: str
) -> None:
    """Detection, switching and the difference of the ways, between the births that are due.

    Clocks run true, so that every frame of one way takes as long as any other of it.
    """
    reaction = {"policy": policy, "detection-time": "1ms"}
    reaction |= {"switching": "2ms"} if policy == "failover" else {"planning": "2ms"}
    topology = _diamond()
    asked = _asked(reaction, [CUT | {"where": where}])
    made = plan_for(topology, asked)
    (move,) = made.moves
    assert move.stream is not None
    light_ps = 49 * US * int(where[:-1]) // 100
    assert move.at_ps == 5 * MS + light_ps + 3 * MS
    case = TracedRun(topology, asked, made)
    seen = simulate(*case)
    (traffic,) = seen.streams
    first, second = made.streams[0], move.stream
    assert first.send_ps is not None
    assert second.send_ps is not None
    line_ps = (500 + 18 + 8) * 8 * 1000  # of 518 bytes and the preamble at 1 Gb/s
    (lost,) = explain(case, seen, "s0", "lost")
    before = 100 * US
    assert lost.hops[0].ended_ps + light_ps >= 5 * MS
    (last,) = explain(case, seen, "s0", lost.number - 1)
    assert last.birth_ps == lost.birth_ps - before
    assert last.hops[0].started_ps + line_ps + light_ps < 5 * MS
    (again,) = explain(case, seen, "s0", lost.number + traffic.lost)
    turn = -((second.send_ps - move.at_ps) // before)
    assert again.birth_ps == second.send_ps + turn * before
    assert move.at_ps <= again.birth_ps < move.at_ps + before
    assert [hop.port for hop in again.hops] == list(LONG)
    assert last.latency_ps is not None
    assert again.latency_ps is not None
    gap_ps = again.birth_ps + again.latency_ps - last.birth_ps - last.latency_ps
    sent_ps = 5 * MS - light_ps - last.birth_ps
    """How long before what is lost for certain the last frame was sent that came through."""
    reacted_ps = 2 * light_ps + 3 * MS
    waited_ps = again.birth_ps - move.at_ps
    ways_ps = again.latency_ps - last.latency_ps
    assert gap_ps == sent_ps + reacted_ps + waited_ps + ways_ps
    whole = simulate(topology, asked.replace(events=()), made.replace(moves=()))
    (calm,) = whole.streams
    assert last.latency_ps == calm.latency_ps_min == calm.latency_ps_max


def test_replicas_keep_what_a_damper_promises_through_a_cut() -> None:
    """Copies on two ways, handed over at one time: nothing is lost, and nothing varies more."""
    both = {"paths": 2, "damper": True, "recovery": {"history": 100, "reset": "10ms"}}
    topology, asked = _diamond(), _asked(None, [CUT | {"for": "20ms"}], **both)
    made = plan_for(topology, asked)
    (cut,) = simulate(topology, asked, made).streams
    (calm,) = simulate(topology, asked.replace(events=()), made).streams
    assert cut.copies_lost > 100
    assert (cut.lost, cut.sent) == (0, calm.sent)
    assert cut.variation_ps == calm.variation_ps
    assert cut.latency_ps_max == calm.latency_ps_max
