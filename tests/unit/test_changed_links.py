"""What is proven where events change links, or what is sent: otherwise, or not at all any more."""

from __future__ import annotations

from typing import Any

import pytest

from qnet.check.disturbed import Disturbance, Way, behind, disturbed_from
from qnet.check.plan import prove
from qnet.model.plan import Plan
from qnet.model.proof import Proof
from qnet.model.timeline import Event
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests.builders import network, plan_for
from tests.builders import profile as profile_of
from tests.slow_case import compare
from tests.timelines import judge_case

US = 10**6

Case = tuple[Topology, Profile, Plan]


def _case(
    *happening: dict[str, Any],
    reserves: bool = True,
    interval: str = "100us",
    payload: str = "982B",
) -> Case:
    """Two streams meet at b on their way to c, and one comes back from there."""
    mechanism = "tcqf" if reserves else "strict-priority"
    links = [("a", "b", "10km"), ("d", "b", "7km"), ("b", "c", "20km")]
    topology = Topology.model_validate(
        {
            "title": "t",
            "tcqf": {"cycle": "20us", "buffers": 4},
            "nodes": [{"name": one, "processing": "2us"} for one in "abcd"],
            "links": [{"between": (a, b), "rate": "1Gbps", "length": far} for a, b, far in links],
        }
    )
    common = {"class": "reserved", "interval": interval, "max-payload-size": payload}
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [
                {"name": "reserved", "priority": 6, "mechanism": mechanism},
                {"name": "best-effort", "priority": 0, "mechanism": "strict-priority"},
            ],
            "streams": [
                {"name": "ac", "from": "a", "to": "c", **common},
                {"name": "dc", "from": "d", "to": "c", **common},
                {"name": "cb", "from": "c", "to": "b", **common},
            ],
            "events": happening,
            "simulation": {"duration": "2ms"},
        }
    )
    return topology, profile, plan_for(topology, profile.replace(events=()))


Pair = tuple[int | None, int | None]


def _pairs(case: Case) -> tuple[dict[str, Pair], list[dict[str, Pair]], Proof]:
    """Return the bounds over the run, and those of each epoch where they are others."""
    proof = prove(*case)
    judged = judge_case(case, proof, compare(case, simulate(*case, threads=1)))
    assert judged.broken == ()
    assert judged.bounded
    run = {one.name: (one.latency_ps_min, one.latency_ps_max) for one in proof.streams}
    epochs = [
        {one.name: (one.latency_ps_min, one.latency_ps_max) for one in epoch.changed}
        for epoch in proof.epochs
    ]
    return run, epochs, proof


NONE = (None, None)


def test_another_rate_leaves_those_without_bounds_whom_it_disturbs_from_then_on() -> None:
    own, _, _ = _pairs(_case())
    slower = {"at": "500us", "change": "capacity", "target": "a--b", "rate": "100Mbps",
              "for": "300us"}  # fmt: skip
    run, epochs, _ = _pairs(_case(slower))
    assert run == own | {"ac": NONE, "dc": NONE}
    known = {"ac": own["ac"], "dc": own["dc"]}
    assert epochs == [known, {"ac": NONE, "dc": NONE}]


def test_another_fibre_at_the_listener_shifts_bounds_while_it_is_there() -> None:
    own, _, _ = _pairs(_case())
    other = {"at": "500us", "change": "delay", "target": "b--c", "delay": "130us", "for": "700us"}
    run, epochs, _ = _pairs(_case(other))
    more = 130 * US - 98 * US
    later = {
        name: (low + more, high + more)
        for name, (low, high) in own.items()
        if low is not None and high is not None
    }
    assert epochs == [own, later, own]
    assert run == own | {name: (own[name][0], later[name][1]) for name in later}


@pytest.mark.parametrize(("delay", "held"), [("50us", True), ("10us", True), ("99us", False)])
def test_another_fibre_on_the_way_is_borne_by_cycles_or_not(delay: str, held: bool) -> None:
    """Of 49 us of way a cycle has some microseconds to spare."""
    own, _, _ = _pairs(_case())
    run, epochs, proof = _pairs(
        _case({"at": "500us", "change": "delay", "target": "a--b", "delay": delay})
    )
    assert proof.findings == ()
    if held:
        assert run == own
        assert not any(epochs)
    else:
        assert run == own | {"ac": NONE, "dc": NONE}
        assert epochs[1] == {"ac": NONE, "dc": NONE}


def test_a_lossy_link_takes_nothing_for_certain_and_at_most_what_passes_it_meanwhile() -> None:
    lossy = {"at": "500us", "change": "loss", "target": "a--b", "ratio": "90%", "for": "400us"}
    own, _, _ = _pairs(_case())
    run, _, proof = _pairs(_case(lossy))
    assert run == own
    (taken,) = proof.event_losses
    assert (taken.name, taken.frames_least) == ("ac", 0)
    assert taken.frames_most in (4, 5)
    harmless = lossy | {"ratio": "0%"}
    assert prove(*_case(harmless)).event_losses == ()


def test_what_is_on_a_fibre_when_a_shorter_one_takes_over_is_lost_for_certain() -> None:
    """Of 98 us the far end misses all but the first 8: 90 us, with a frame every 20 us."""
    other = {"at": "1ms", "change": "delay", "target": "b--c", "delay": "8us"}
    _, _, proof = _pairs(_case(other, interval="20us", payload="46B"))
    taken = {one.name: one for one in proof.event_losses}
    assert set(taken) == {"ac", "dc", "cb"}
    for one in taken.values():
        assert one.frames_least >= 3
        assert one.frames_most in range(4, 8)


def test_before_a_clock_is_set_bounds_hold_and_an_epoch_ends_there() -> None:
    own, _, _ = _pairs(_case())
    _, epochs, proof = _pairs(_case({"at": "1ms", "change": "clock", "target": "b", "step": "9us"}))
    assert [one.until_ps for one in proof.epochs] == [1000 * US, 2000 * US]
    assert epochs[0] == {name: own[name] for name in epochs[0]}
    assert epochs[1]["ac"] == NONE


ATTACK = {"at": "500us", "change": "attack", "from": "d", "to": "c", "rate": "100Mbps"}


def test_an_attack_is_within_the_guard_of_what_reserves_or_leaves_it_no_bound_from_then_on() -> (
    None
):
    """A frame of 9000 bytes takes 72 us of a cycle of 20 us."""
    own, _, _ = _pairs(_case())
    run, _, _ = _pairs(_case(ATTACK | {"sizes": "64B"}))
    assert run == own
    run, epochs, proof = _pairs(_case(ATTACK | {"sizes": "9000B"}))
    assert proof.findings == ()
    assert run == own | {"ac": NONE, "dc": NONE}
    assert epochs == [{name: own[name] for name in ("ac", "dc")}, {"ac": NONE, "dc": NONE}]


def test_an_attack_counts_in_the_bounds_of_what_reserves_nothing() -> None:
    """One frame of 1000 bytes, 8.16 us at 1 Gb/s, may have begun before one of theirs."""
    own, _, _ = _pairs(_case(reserves=False))
    run, epochs, _ = _pairs(_case(ATTACK | {"sizes": "1000B"}, reserves=False))
    assert epochs[0] == {name: own[name] for name in ("ac", "dc")}
    for name, ports in (("ac", 1), ("dc", 2)):
        high, before = run[name][1], own[name][1]
        assert high is not None
        assert before is not None
        assert high - before >= ports * 8_160_000
        assert epochs[1][name] == run[name]
    assert run["cb"] == own["cb"]


def test_who_is_silent_has_sent_less_and_loses_nothing_meanwhile() -> None:
    cut = {"at": "1ms", "change": "cut", "target": "b--c", "for": "500us"}
    stop = {"at": "900us", "change": "stop", "target": "ac", "for": "500us"}
    _, _, proof = _pairs(_case(cut))
    (before,) = [one for one in proof.event_losses if one.name == "ac"]
    _, _, proof = _pairs(_case(cut, stop))
    (after,) = [one for one in proof.event_losses if one.name == "ac"]
    assert (before.sent_least, after.sent_least, after.sent_most) == (20, 15, 15)
    assert before.frames_least > 2
    assert after.frames_least <= 1
    assert after.frames_most is not None
    assert after.frames_most <= 2


@pytest.mark.parametrize(("history", "is_known"), [(3, False), (64, True)])
def test_behind_a_gap_longer_than_its_history_a_listener_takes_nothing(
    history: int, is_known: bool
) -> None:
    """Both ways are cut for 400 us, four intervals; then nothing comes until the reset."""
    ways = [("a", "b"), ("b", "d"), ("a", "c"), ("c", "d")]
    topology = network(
        [{"between": pair} for pair in ways],
        link={"rate": "1Gbps", "length": "1km"},
        tcqf={"cycle": "20us", "buffers": 4},
    )
    stream = {"name": "s", "from": "a", "to": "d", "class": "reserved", "interval": "100us",
              "max-payload-size": "100B", "paths": 2,
              "recovery": {"history": history, "reset": "10ms"}}  # fmt: skip
    made = profile_of([stream], [], simulation={"duration": "6ms"})
    cuts = [
        Event.model_validate({"at": "300us", "change": "cut", "target": one, "for": "400us"})
        for one in ("a--b", "a--c")
    ]
    profile = made.replace(events=tuple(cuts))
    case = topology, profile, plan_for(topology, made)
    proof = prove(*case)
    judged = judge_case(case, proof, compare(case, simulate(*case, threads=1)))
    assert judged.broken == ()
    (taken,) = proof.event_losses
    assert (taken.frames_most is not None) == is_known
    assert (judged.lost > 40) != is_known


def test_disturbances_go_on_behind_a_port_and_spare_reservations() -> None:
    ways = [
        Way("slow", reserves=False, ports=[0, 1, 2]),
        Way("beside", reserves=False, ports=[4, 2, 5]),
        Way("before", reserves=False, ports=[0]),
        Way("behind", reserves=False, ports=[5]),
        Way("held", reserves=True, ports=[1, 2]),
    ]
    found = disturbed_from(ways, [Disturbance(7, 1, reserved=False)])
    assert found == {"slow": 7, "beside": 7, "behind": 7}
    every = disturbed_from(ways, [Disturbance(7, 1, reserved=False), Disturbance(3, 2, True)])
    assert every == {"slow": 3, "beside": 3, "behind": 3, "held": 3}
    assert [one.port for one in behind(ways, [1], 7, reserved=False)] == [2]
    assert [one.port for one in behind(ways, [1], 7, reserved=True)] == [2, 2]
