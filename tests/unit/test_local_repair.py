"""Local repair: the node before what broke sends frames by a detour, worked out by hand.

The kite: a--b--d is the short way, a--c--d the long one, and b--c lies between them.
"""

from __future__ import annotations

from typing import Any

import pytest

import qnet
from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.model.plan import Move, PathPlan, Plan
from qnet.model.topology import Topology
from qnet.simulate.explain import TracedRun, explain
from qnet.simulate.run import simulate
from tests.builders import network, plan_for, profile
from tests.slow_case import Case, compare
from tests.unit.test_reaction import FAILOVER, MS, US, _asked

AROUND_B, AROUND_D = ("a->c", "c->d"), ("a->b", "b->c", "c->d")
SHORT = ("a->b", "b->d")
LOCAL = FAILOVER | {"repair": "local"}
BREAK = {"at": "5ms", "change": "cut", "target": "b--d", "where": "25%"}
LIGHT_PS = 49 * US // 4
"""From where b--d is cut back to b."""
SWITCHED_PS = 8 * MS + LIGHT_PS
LINE_PS = (500 + 18 + 8) * 8 * 1000
"""Of 518 bytes and the preamble at 1 Gb/s."""
THERE_PS = LINE_PS + 49 * US
"""After which a frame that is sent at the begin of its cycle is at b."""


def _kite(**link: Any) -> Topology:
    return network(
        [
            {"between": ["a", "b"], "length": "10km"} | link,
            {"between": ["b", "d"], "length": "10km"},
            {"between": ["a", "c"], "length": "20km"},
            {"between": ["c", "d"], "length": "20km"},
            {"between": ["b", "c"], "length": "5km"},
        ],
        node={"processing": "2us"},
        link={"rate": "1Gbps"},
        tcqf={"cycle": "20us", "buffers": 4},
    )


def _case(reaction: dict[str, Any], happening: list[Any], **stream: Any) -> Case:
    topology, asked = _kite(), _asked(reaction, happening, **stream)
    return topology, asked, plan_for(topology, asked)


def _moved(plan: Plan) -> list[tuple[int, str, tuple[str, ...]]]:
    return [
        (one.at_ps, one.repaired_at, one.stream.paths[0].ports) for one in plan.moves if one.stream
    ]


def _told(plan: Plan) -> list[tuple[str, str]]:
    return [(one.name, one.reason) for one in plan.unmoved]


def test_a_detour_is_kept_ready_at_every_node_of_the_way() -> None:
    """Around the node behind, where there is a way, and in the same cycles up to there."""
    _, _, made = _case(LOCAL, [])
    (own,) = made.streams
    assert [one.paths[0].ports for one in made.standby] == [AROUND_B, AROUND_D]
    assert {one.send_ps for one in made.standby} == {own.send_ps}
    assert [one.paths[0].cycles[0] for one in made.standby] == [own.paths[0].cycles[0]] * 2
    assert (made.moves, made.unmoved) == ((), ())


@pytest.mark.parametrize("count", [1, 4])
def test_what_is_lost_is_detection_and_switching_at_that_node(count: int) -> None:
    """No frame waits for news to go back to the talker: exact, frame by frame."""
    case = _case(LOCAL, [BREAK], count=count)
    topology, asked, made = case
    assert _moved(made) == [(SWITCHED_PS - THERE_PS, "b", AROUND_D)] * count
    for move in made.moves:
        acts = (6 * MS + LIGHT_PS, 6 * MS + LIGHT_PS, SWITCHED_PS)
        assert (move.detected_ps, move.decided_ps, move.installed_ps) == acts
    proof = prove(*case)
    assert not proof.findings
    assert not any(one.findings for one in proof.epochs)
    seen = simulate(*case)
    slow = compare(case, seen)
    assert not judge(topology, asked, made, proof, [seen]).findings
    for taken, traffic in zip(proof.event_losses, seen.streams, strict=True):
        assert taken.frames_most is not None
        assert taken.frames_least <= traffic.lost <= taken.frames_most
        assert traffic.lost_by[0].cause == "link down"
    assert slow.sources
    (traffic, *_) = seen.streams
    traced = TracedRun(*case)
    lost = explain(traced, seen, traffic.name, "lost")
    for number in range(lost[0].number - 2, lost[0].number + traffic.lost + 2):
        (one,) = explain(traced, seen, traffic.name, number)
        there_ps = one.hops[0].started_ps + THERE_PS
        dark = one.hops[1].started_ps + LINE_PS + LIGHT_PS >= 5 * MS
        assert (one.latency_ps is None) == (dark and there_ps < SWITCHED_PS)
        assert (len(one.hops) == 3) == (there_ps >= SWITCHED_PS)


def test_the_head_end_takes_the_way_back_longer() -> None:
    """It hears 49 us later, and all that is under way to b by then is lost too."""
    sent = {"interval": "20us"}
    lost = {
        kind: simulate(*_case(FAILOVER | {"repair": kind}, [BREAK], **sent)).streams[0].lost
        for kind in ("head-end", "local")
    }
    more_ps = 49 * US + THERE_PS
    assert lost["head-end"] - lost["local"] in (more_ps // (20 * US), more_ps // (20 * US) + 1)


def test_a_node_that_stops_is_gone_around_by_its_neighbour() -> None:
    _, _, made = _case(LOCAL, [{"at": "5ms", "change": "down", "target": "b"}])
    assert _moved(made) == [(8 * MS + 49 * US, "a", AROUND_B)]


def test_it_goes_back_where_it_left_after_the_repair() -> None:
    case = _case(LOCAL | {"wait-to-restore": "3ms"}, [BREAK | {"for": "10ms"}])
    back_ps = 19 * MS + LIGHT_PS
    assert _moved(case[2]) == [
        (SWITCHED_PS - THERE_PS, "b", AROUND_D),
        (back_ps - THERE_PS, "b", SHORT),
    ]
    compare(case, simulate(*case))
    stays = _case(LOCAL, [BREAK | {"for": "10ms"}])
    assert _moved(stays[2]) == _moved(case[2])[:1]


def test_of_two_breaks_each_node_repairs_its_own() -> None:
    """What is on the detour at b is sent around b from a on, and never back before that."""
    near = BREAK | {"at": "7ms", "target": "a--b", "where": "0%"}
    case = _case(LOCAL, [BREAK, near])
    assert _moved(case[2]) == [
        (SWITCHED_PS - THERE_PS, "b", AROUND_D),
        (10 * MS, "a", AROUND_B),
    ]
    assert not prove(*case).findings
    compare(case, simulate(*case))
    # From a on it is back on the short way 10 us before b repairs, for frames that were sent later.
    short = near | {"at": "1ms", "for": "5ms"}
    later = BREAK | {"at": "4020us", "where": "0%"}
    case = _case(LOCAL | {"wait-to-restore": "10us"}, [short, later])
    times = [at for at, _, _ in _moved(case[2])]
    assert times == sorted(times)
    proof = prove(*case)
    assert not any(one.findings for one in proof.epochs)
    compare(case, simulate(*case))


def test_what_finds_no_detour_says_where() -> None:
    """Behind c nothing is left on the way around; a broken detour is no other way."""
    other = BREAK | {"at": "6ms", "target": "b--c", "where": "0%"}
    _, _, made = _case(LOCAL, [BREAK, other])
    assert (_moved(made), _told(made)) == (
        [],
        [("s0", "its second way from b on is broken too")],
    )
    third = BREAK | {"at": "12ms", "target": "c--d", "where": "100%"}
    _, _, made = _case(LOCAL, [BREAK, third])
    assert _told(made) == [("s0", "no second way is kept ready at c")]
    line = network([{"between": ["a", "d"]}], link={"rate": "1Gbps", "delay": "5us"})
    made = plan_for(line, _asked(LOCAL, []))
    assert _told(made) == [("s0", "there is no way around a->d")]


def test_what_was_announced_is_gone_around_before() -> None:
    case = _case(LOCAL, [{"at": "20ms", "change": "maintenance", "target": "b--d", "for": "5ms"}])
    ((at_ps, node, way),) = _moved(case[2])
    assert (node, way, at_ps < 20 * MS) == ("b", AROUND_D, True)
    seen = simulate(*case)
    assert seen.streams[0].lost == 0
    compare(case, seen)


def test_cycles_that_both_ways_have_hold_a_frame_once() -> None:
    """Of a cycle at a->b more than half is taken: a second time it would not fit."""
    large = {"max-payload-size": "1480B", "interval": "40us"}
    case = _case(LOCAL, [BREAK], **large)
    topology, _, made = case
    first = topology.port_by_name["a->b"]
    assert 2 * 1518 * 8 * 10**12 // first.rate_bps > topology.tcqf.cycle_ps
    assert len(made.standby) == 2
    proof = prove(*case)
    assert not proof.findings
    assert not any(one.findings for one in proof.epochs)
    compare(case, simulate(*case))


def _bad(**changed: Any) -> list[str]:
    """Return what is found of a move with something wrong in it."""
    topology, asked, made = _case(LOCAL, [BREAK])
    (move,) = made.moves
    wrong = made.replace(moves=(Move.replace(move, **changed),))
    return [one.message for one in prove(topology, asked, wrong).findings if one.rule == "move"]


def test_what_no_node_could_do_is_found() -> None:
    """It acts when it has switched, on frames that come to it as they did before."""
    _, _, made = _case(LOCAL, [BREAK])
    (move,) = made.moves
    assert move.stream is not None
    assert _bad() == []
    (words,) = _bad(at_ps=move.at_ps - 1)
    assert "'b'" in words
    assert "1ps before it switches" in words
    assert "nothing says when" in _bad(installed_ps=None)[0]
    assert "not on its one way" in _bad(repaired_at="d")[0]
    assert "not on its one way" in _bad(repaired_at="nowhere")[0]
    (path,) = move.stream.paths
    later = PathPlan(ports=path.ports, cycles=tuple(one + 5 for one in path.cycles))
    other = move.stream.replace(paths=(later,))
    assert "not the same before" in _bad(stream=other)[0]
    other = move.stream.replace(send_ps=(move.stream.send_ps or 0) + 1)
    assert "not the same before" in _bad(stream=other)[0]
    assert "not the same before" in _bad(stream=made.standby[0], repaired_at="c")[0]


def test_what_reserves_nothing_is_moved_by_its_talker() -> None:
    """When it comes to a node is not known beforehand."""
    one = {"from": "a", "to": "d", "interval": "100us", "max-payload-size": "500B"}
    topology, plain = _kite(), profile([one], stream={"class": "best-effort"})
    made = plan_for(topology, plain)
    around = made.streams[0].replace(paths=(PathPlan(ports=AROUND_D),))
    move = Move(at_ps=MS, stream=around, installed_ps=2 * MS, repaired_at="b")
    (found,) = prove(topology, plain, made.replace(moves=(move,))).findings
    assert "reserves no cycles: only its talker can move it" in found.message


def test_a_replay_has_the_same_gap() -> None:
    """Its windows begin and end around the acts of the node."""
    topology, asked, made = _case(LOCAL | {"wait-to-restore": "3ms"}, [BREAK | {"for": "10ms"}])
    played = qnet.replay(qnet.load(asked, topology=topology), before="1ms", after="1ms")
    assert _moved(played.plan) == _moved(made)
    (event,) = played.replay.events
    assert event.lost[0].frames == simulate(topology, asked, made).streams[0].lost
    assert event.installed_first_ps == SWITCHED_PS


def test_it_goes_with_failover_alone() -> None:
    with pytest.raises(ValueError, match="'repair' does not go with the policy local"):
        _asked({"policy": "local", "repair": "local"}, [])
