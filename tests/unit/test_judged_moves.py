"""Why a stream or demand must lose is read along all ways by which a run sends it."""

from __future__ import annotations

from typing import Any

from qnet.check.judged import Judged, can_lose, why_demand_lost, why_impossible, why_lost
from qnet.check.plan import prove
from qnet.check.promises import Seen
from qnet.model.plan import DemandPart, Move, PathPlan, Plan
from qnet.model.timeline import Event
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from tests.builders import plan_for

MS = 10**9


def _judged(own: str, *moves: tuple[int, str], happening: tuple[dict[str, Any], ...] = ()
            ) -> Judged:  # fmt: skip
    """Send a stream and a demand by b, where half is lost and far, or by d, and then otherwise."""
    links = [("a", "b", "50%", "500km"), ("b", "c", "0%", "1km"), ("a", "d", "0%", "1km"),
             ("d", "c", "0%", "1km")]  # fmt: skip
    topology = Topology.model_validate(
        {
            "title": "t",
            "nodes": [{"name": one} for one in "abcd"],
            "links": [
                {"between": (a, b), "rate": "1Gbps", "length": far, "loss": loss}
                for a, b, loss, far in links
            ],
        }
    )
    ends = {"from": "a", "to": "c", "class": "best-effort", "max-loss": "10%"}
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "streams": [
                {"name": "s", "interval": "1ms", "max-payload-size": "500B", "max-latency": "1ms",
                 **ends}
            ],
            "demands": [{"name": "d", "rate": "10Mbps", **ends}],
            "simulation": {"duration": "100ms"},
        }
    ).replace(events=tuple(Event.model_validate(one) for one in happening))  # fmt: skip
    made = plan_for(topology, profile.replace(events=()))

    def by(way: str) -> tuple[str, ...]:
        return f"a->{way}", f"{way}->c"

    stream = {way: made.streams[0].replace(paths=(PathPlan(ports=by(way)),)) for way in "bd"}
    part = DemandPart(ports=by("b"), rate_bps=10**7)
    demand = {way: made.demands[0].replace(parts=(part.replace(ports=by(way)),)) for way in "bd"}
    later = [
        Move(at_ps=at_ms * MS, **{key: every[way]})
        for at_ms, way in moves
        for key, every in (("stream", stream), ("demand", demand))
    ]
    plan: Plan = made.replace(streams=(stream[own],), demands=(demand[own],), moves=tuple(later))
    return Judged.of(topology, profile, plan, prove(topology, profile, plan), Seen([]))


def _must_lose(judged: Judged) -> tuple[bool, bool]:
    (stream,), (demand,) = judged.profile.streams, judged.profile.demands
    return why_lost(judged, stream) is not None, why_demand_lost(judged, demand) is not None


def test_what_is_moved_away_from_a_lossy_way_need_not_lose_so_much() -> None:
    assert _must_lose(_judged("b")) == (True, True)
    assert _must_lose(_judged("d")) == (False, False)
    assert _must_lose(_judged("b", (1, "d"))) == (False, False)
    assert _must_lose(_judged("b", (99, "b"))) == (True, True)


def test_what_is_moved_to_a_lossy_way_can_lose() -> None:
    for judged, lossy in ((_judged("d"), False), (_judged("d", (50, "b")), True)):
        assert can_lose(judged, judged.profile.streams[0]) == lossy


def test_what_is_moved_to_a_way_that_is_too_long_is_late_there() -> None:
    """Of 500 km and more light takes 2.45 ms; for less than two intervals nobody may be sent."""

    def is_late(judged: Judged) -> bool:
        return why_impossible(judged, judged.profile.streams[0], "latency") is not None

    assert not is_late(_judged("d"))
    assert is_late(_judged("b"))
    assert is_late(_judged("d", (50, "b")))
    assert not is_late(_judged("d", (50, "b"), (51, "d")))


def test_links_are_as_good_as_events_ever_make_them() -> None:
    mended = {"at": "1ms", "change": "loss", "target": "a--b", "ratio": "0.1%"}
    assert _must_lose(_judged("b", happening=(mended,))) == (False, False)
    nearer = {"at": "1ms", "change": "delay", "target": "a--b", "length": "1km"}
    judged = _judged("b", happening=(nearer,))
    assert why_impossible(judged, judged.profile.streams[0], "latency") is None
