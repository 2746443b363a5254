"""Too much for a port, a slope, a share, gates or a meter: by hand, to the bit a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from qnet.check.excluded import excluded_always, excluded_by_plan
from qnet.check.overload import certain_overloads
from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests import builders
from tests.builders import plan_for

Case = tuple[Topology, Profile, Plan]

# 981 bytes and 20 of preamble and gap are 1,001 bytes; 25 such frames in 200.2 us are 1 Gb/s.
FRAME = {"max-payload-size": "963B"}
LINE = ({"between": ("a", "b")}, {"between": ("b", "c")})


def network(links: Sequence[Mapping[str, Any]] = LINE) -> Topology:
    usual = {"rate": "1Gbps", "delay": "1us"}
    return builders.network(links, node={"buffer": "1MB"}, link=usual)


def stream(name: str, ends: str = "ac", **more: Any) -> dict[str, Any]:
    """Return a stream of 40 Mb/s on the wire: one frame of 1,001 bytes every 200.2 us."""
    given = {"name": name, "from": ends[0], "to": ends[1], "class": "video", "interval": "200200ns"}
    return given | FRAME | {key.replace("_", "-"): value for key, value in more.items()}


def demand(name: str, rate: str, ends: str = "ac", **more: Any) -> dict[str, Any]:
    return {"name": name, "from": ends[0], "to": ends[1], "rate": rate, "class": "bulk"} | more


def planned(
    streams: Sequence[Mapping[str, Any]],
    demands: Sequence[Mapping[str, Any]] = (),
    links: Sequence[Mapping[str, Any]] = LINE,
    **classes: Mapping[str, Any],
) -> Case:
    topology = network(links)
    laws = {"video": {"priority": 5}, "bulk": {"priority": 1}} | classes
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [
                {"name": name, "mechanism": "strict-priority"} | dict(law)
                for name, law in laws.items()
            ],
            "streams": streams,
            "demands": demands,
        }
    )
    return topology, profile, plan_for(topology, profile)


def found(case: Case) -> list[str]:
    return [one.message for one in prove(*case).findings]


def test_all_of_a_port_is_no_overload_and_one_bit_a_second_more_is() -> None:
    """24 streams of 40 Mb/s beside 40 Mb/s of demands, and beside one bit a second more."""
    many = [stream("s", count=24)]
    assert found(planned(many, [demand("d", "40Mbps")])) == []
    topology, profile, plan = planned(many, [demand("d", "40Mbps")])
    (one,) = plan.demands
    (part,) = one.parts
    for more_bps in (0, 1):
        rate_bps = 40 * 10**6 + more_bps
        fuller = one.replace(
            rate_bps=rate_bps, placed_bps=rate_bps, parts=(part.replace(rate_bps=rate_bps),)
        )
        asked = profile.replace(demands=(profile.demands[0].replace(rate_bps=rate_bps),))
        said = found((topology, asked, plan.replace(demands=(fuller,))))
        assert len(said) == more_bps
    assert said == [
        "port a->b is offered 40.000001Mbps of class bulk and has 40Mbps of 1Gbps left; the queue "
        "grows without end"
    ]


def test_what_a_port_cannot_pass_on_does_not_come_to_the_next() -> None:
    case = planned([stream("s", count=26)])
    assert found(case) == [
        "port a->b is offered 1.04Gbps of class video and has 1Gbps for it; the queue grows "
        "without end"
    ]
    # The next port has what came through, and 1 Mb/s of another talker is too much for it.
    other = stream("t", "bc", interval="8008us")
    assert [words.split()[1] for words in found(planned([stream("s", count=26), other]))] == [
        "a->b",
        "b->c",
    ]


def test_higher_classes_are_not_blamed_for_what_is_below() -> None:
    case = planned([stream("s", count=20), stream("t", count=10, **{"class": "bulk"})])
    (only,) = found(case)
    assert only.startswith("port a->b is offered 400Mbps of class bulk and has 200Mbps of 1Gbps")


@pytest.mark.parametrize(("slope", "over"), [("12%", False), ("11.9%", True)])
def test_a_class_with_an_idle_slope(slope: str, over: bool) -> None:
    """Three streams are 120 Mb/s; the port is nearly empty."""
    said = found(planned([stream("s", count=3)], video={"priority": 5, "idle-slope": slope}))
    assert said == (
        ["port a->b is offered 120Mbps of class video and its idle slope is 119Mbps of 1Gbps; "
         "the queue grows without end"] if over else []
    )  # fmt: skip


def test_slopes_as_rates_and_as_reserved() -> None:
    rate = {"priority": 5, "idle-slope": "79999999bps"}
    assert (
        "its idle slope is 79.999999Mbps of 1Gbps"
        in found(planned([stream("s", count=2)], video=rate))[0]
    )
    reserved = {"priority": 5, "idle-slope": "as-reserved"}
    assert found(planned([stream("s", count=2)], video=reserved)) == []
    greedy = stream("s", excess_pkts_per_interval=1)
    assert (
        "is offered 80Mbps of class video and its idle slope is 40Mbps"
        in (found(planned([greedy], video=reserved))[0])
    )


def test_weights_leave_to_others_what_a_class_does_not_need() -> None:
    """Of 1 Gb/s with weights 3 and 1, 750 and 250 Mb/s; 600 and 400 fit, 720 and 400 do not."""
    laws: dict[str, Any] = {
        "video": {"priority": 3, "weight": 3},
        "bulk": {"priority": 3, "weight": 1},
    }
    low = stream("t", count=10, **{"class": "bulk"})
    assert found(planned([stream("s", count=15), low], **laws)) == []
    (only,) = found(planned([stream("s", count=18), low], **laws))
    assert only.startswith(
        "port a->b is offered 400Mbps of class bulk and its weight leaves it 280Mbps of 1Gbps"
    )
    both = found(
        planned([stream("s", count=20), stream("t", count=7, **{"class": "bulk"})], **laws)
    )
    assert [words.partition(" and ")[0] for words in both] == [
        "port a->b is offered 800Mbps of class video",
        "port a->b is offered 280Mbps of class bulk",
    ]


def test_meters_and_shapers_below_what_their_streams_ask_for() -> None:
    metered = planned([stream("s", police=True, committed_rate="30Mbps")])
    (finding,) = prove(*metered).findings
    assert (finding.subject, finding.message) == (
        "s",
        "its meter at a->b lets 30Mbps of 40Mbps through; the rest is lost",
    )
    assert not found(planned([stream("s", police=True, committed_rate="40Mbps")]))
    # A bucket of two frames lets two of four through, however fast it fills.
    burst = stream("s", police=True, max_pkts_per_interval=4, committed_burst="2100B")
    assert found(planned([burst])) == [
        "its meter at a->b lets 80Mbps of 160Mbps through; the rest is lost"
    ]
    # What is not green may be yellow: 30 Mb/s of it and 10 at once, 30 and 5.
    yellow = stream("s", police=True, committed_rate="30Mbps", excess_rate="10Mbps")
    assert not found(planned([yellow]))
    assert found(planned([yellow | {"excess-rate": "5Mbps"}])) == [
        "its meter at a->b lets 35Mbps of 40Mbps through; the rest is lost"
    ]
    assert not found(planned([burst | {"excess-rate": "1Gbps", "excess-burst": "2100B"}]))
    shaped = {"priority": 5, "max-residence": "1ms"}
    assert found(planned([stream("s", committed_rate="39999999bps")], video=shaped)) == [
        "its shaper at a->b lets 39.999999Mbps of 40Mbps through; the rest is lost"
    ]
    assert not found(planned([stream("s", committed_rate="40Mbps")], video=shaped))


def test_what_a_meter_takes_out_does_not_crowd_a_port() -> None:
    """One of 26 talkers sends ten times too much, and is held to its share; the others fit."""
    many = stream("s", count=24)
    greedy = stream("t", excess_pkts_per_interval=9)
    assert found(planned([many, greedy]))[0].startswith("port a->b is offered 1.36Gbps")
    assert found(planned([many, greedy | {"police": True}])) == []


def test_promises_of_those_who_wait_for_ever_are_broken_whatever_was_seen() -> None:
    """Up to what a full buffer takes: 984 kB at 1 Gb/s are 7.872 ms; more may be kept."""
    for latency, outcome in (("7ms", "fail"), ("9ms", "pass")):
        case = planned([stream("s", count=26, max_latency=latency)])
        seen = simulate(*case, threads=1)
        verdict = judge(*case, prove(*case), [seen])
        row = next(one for one in verdict.rows if one.kind == "latency")
        assert row.simulated is not None
        assert (row.outcome, verdict.outcome) == (outcome, "fail")
    assert row.broken == 0
    lossless = planned([stream("s", count=26, max_loss="0%")])
    verdict = judge(*lossless, prove(*lossless), [])
    assert next(one for one in verdict.rows if one.kind == "loss").outcome == "fail"


def test_routes_with_room_are_taken_first() -> None:
    """26 streams of 40 Mb/s and two ways of 1 Gb/s."""
    links = ({"between": ("a", "b")}, {"between": ("a", "d"), "delay": "3us"},
             {"between": ("d", "b"), "delay": "3us"})  # fmt: skip
    case = planned([stream("s", "ab", count=26)], links=links)
    assert found(case) == []
    assert {path.ports for one in case[2].streams for path in one.paths} == {
        ("a->b",),
        ("a->d", "d->b"),
    }
    slow = planned([stream("s", "ab", count=26, max_latency="10us")], links=links)
    assert found(slow)[0].startswith("port a->b is offered 1.04Gbps")
    assert not certain_overloads(*case[:2])


def test_what_every_route_must_take_is_known_before_any_plan() -> None:
    """All streams go over the one wire behind a ring; two wires there have room for them."""
    ring: list[dict[str, Any]] = [{"between": tuple(pair)} for pair in ("ab", "bc", "cd", "da")]
    for members, number in ((1, 1), (2, 0)):
        links: list[dict[str, Any]] = [*ring, {"between": ("c", "e"), "members": members}]
        topology, profile, _ = planned([stream("s", "ae", count=26)], links=links)
        assert len(certain_overloads(topology, profile)) == number
    links = [*ring, {"between": ("c", "e"), "members": 2, "rate": "500Mbps"}]
    topology, profile, _ = planned([stream("s", "ae", count=26)], links=links)
    assert excluded_always(topology, profile) == [
        "video: port c->e/1 to c->e/2 (2 wires) is offered 1.04Gbps of class video and has 1Gbps "
        "for it; the queue grows without end"
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_latency": "1999ns"}, "propagation alone is 2.000 us of 1.999 us"),
        (
            {"max_latency": "17us"},
            "propagation, line times and least processing alone are 17.824 us of 17.000 us",
        ),
        # The last of ten frames waits for nine of 8.008 us.
        (
            {"max_latency": "89us", "max_pkts_per_interval": 10},
            "propagation, line times and least processing alone are 89.896 us of 89.000 us",
        ),
        (
            {"max_latency_variation": "72us", "max_pkts_per_interval": 10},
            "10 frames are handed over at once, and the last comes 72.072 us after the first, "
            "of 72.000 us",
        ),
    ],
)
def test_promises_below_what_there_must_be(changes: dict[str, Any], words: str) -> None:
    """2 us of wire, and 989 bytes to the last bit, 7.912 us, at each of two ports."""
    case = planned([stream("s", **changes)])
    assert [one.partition(": ")[2].partition(": ")[2] for one in excluded_by_plan(*case)] == [words]
    verdict = judge(*case, prove(*case), [])
    broken = [row for row in verdict.rows if row.outcome == "fail"]
    assert [row.reason for row in broken] == [words]
    if "max_latency" in changes:
        assert [
            one.partition(": ")[2].partition(": ")[2] for one in excluded_always(*case[:2])
        ] == [words]


def test_a_promise_that_is_just_possible_is_left_to_witnesses() -> None:
    case = planned([stream("s", max_latency="17824ns")])
    assert excluded_by_plan(*case) == excluded_always(*case[:2]) == []
    (row,) = (one for one in judge(*case, prove(*case), []).rows if one.kind == "latency")
    assert (row.outcome, row.basis) == ("pass", "proven")


def test_nodes_that_cut_through_save_a_line_time() -> None:
    nodes = [{"name": "a"}, {"name": "b", "cut-through": "64B"}, {"name": "c"}]
    links = [{"between": tuple(pair), "rate": "1Gbps", "delay": "1us"} for pair in ("ab", "bc")]
    topology = Topology.model_validate({"title": "t", "nodes": nodes, "links": links})
    for latency, number in (("10488ns", 0), ("10487ns", 1)):
        _, profile, plan = planned([stream("s", max_latency=latency)])
        assert len(excluded_by_plan(topology, profile, plan)) == number
        assert len(excluded_always(topology, profile)) == number
        seen = simulate(topology, profile, plan, threads=1)
        assert seen.streams[0].latency_ps_min == 10_488_000


def test_losses_that_links_and_meters_must_cause() -> None:
    """1 % on each of two links are 1.99 %; a frame of 981 bytes is 7,848 bits."""
    lossy = ({"between": ("a", "b"), "loss": "1%"}, {"between": ("b", "c"), "loss": "1%"})
    for allowed, number in (("1.99%", 0), ("1.98%", 1)):
        case = planned([stream("s", max_loss=allowed)], [demand("d", "1Mbps")], lossy)
        assert len(excluded_by_plan(*case)) == number
    wrong = ({"between": ("a", "b"), "bit-error-ratio": "1e-6"}, {"between": ("b", "c")})
    for allowed, number in (("0.79%", 0), ("0.78%", 1)):
        demanded = demand("d", "1Mbps", sizes="981B", **{"max-loss": allowed})
        assert (
            len(excluded_by_plan(*planned([stream("s", max_loss=allowed)], [demanded], wrong)))
            == 2 * number
        )
    greedy = stream("s", police=True, excess_pkts_per_interval=1, max_loss="49%")
    topology, profile, plan = planned([greedy])
    for said in (excluded_always(topology, profile), excluded_by_plan(topology, profile, plan)):
        assert said == ["s: max-loss: links and meters of its way take 50 % on average, of 49 %"]


def test_two_paths_lose_what_both_lose() -> None:
    links = [{"between": tuple(pair), "loss": "10%"} for pair in ("ab", "bc", "ad", "dc")]
    nodes = [{"name": name} for name in "abcd"]
    whole = [{"rate": "1Gbps", "delay": "1us"} | link for link in links]
    topology = Topology.model_validate({"title": "t", "nodes": nodes, "links": whole})
    # 19 % on each way, 3.61 % on both.
    for allowed, outcome in (("3.61%", "unknown"), ("3.6%", "fail")):
        one = stream("s", paths=2, interval="200us", max_loss=allowed, **{"class": "reserved"})
        profile = Profile.model_validate({"title": "p", "topology": "t", "streams": [one]})
        plan = plan_for(topology, profile)
        assert plan.streams[0].status == "admitted"
        verdict = judge(topology, profile, plan, prove(topology, profile, plan), [])
        assert next(row for row in verdict.rows if row.kind == "loss").outcome == outcome


@pytest.mark.parametrize(
    ("law", "changes", "fit"),
    [
        ({}, {}, 3),
        ({"idle-slope": "50%"}, {}, 3),
        ({"weight": 2}, {}, 3),
        ({"preemptable": True}, {}, 3),
        ({"max-residence": "5ms"}, {}, 3),
        ({"max-residence": "20us"}, {"committed_burst": "1001B", "committed_rate": "500Mbps"}, 2),
        ({"max-residence": "33us"}, {"committed_burst": "1001B", "committed_rate": "500Mbps"}, 3),
    ],
)
def test_a_burst_that_its_first_queue_cannot_take_loses_by_arithmetic(
    law: dict[str, Any], changes: dict[str, Any], fit: int
) -> None:
    """Frames of 981 bytes, all at once, into 2.95 kB or a shaper; what is said is what is seen."""
    for sent, loss in ((fit, "0%"), (fit + 1, f"{100 // (fit + 1) - 1}%"), (fit + 1, "50.1%")):
        one = stream("s", interval="20ms", max_pkts_per_interval=sent, max_loss=loss, **changes)
        topology, profile, plan = planned([one], video={"priority": 5} | law)
        nodes = tuple(node.replace(buffer_bytes=2_950) for node in topology.nodes)
        topology = topology.replace(nodes=nodes)
        profile = profile.replace(simulation=profile.simulation.replace(duration_ps=2 * 10**11))
        (seen,) = simulate(topology, profile, plan, threads=1).streams
        assert seen.lost * sent == seen.sent * (sent - fit)
        says = sent > fit and loss != "50.1%"
        said = [*excluded_always(topology, profile), *excluded_by_plan(topology, profile, plan)]
        assert len(said) == 2 * says
        assert all(f"{sent} frames are handed over at once, and the queue of a" in x for x in said)


def test_what_a_queue_cannot_take_does_not_come_late() -> None:
    """The fifth of five frames has no room: the third is the last to come."""
    one = stream("s", interval="20ms", max_pkts_per_interval=5, max_latency="40us")
    topology, profile, plan = planned([one])
    assert excluded_by_plan(topology, profile, plan)
    nodes = tuple(node.replace(buffer_bytes=2_950) for node in topology.nodes)
    topology = topology.replace(nodes=nodes)
    assert not excluded_by_plan(topology, profile, plan)
    assert not excluded_always(topology, profile)
    (seen,) = simulate(topology, profile, plan, threads=1).streams
    assert seen.latency_ps_max is not None
    assert seen.latency_ps_max <= 40_000_000


def test_a_burst_of_a_demand_that_its_source_cannot_take_loses() -> None:
    for loss, says in (("24%", 1), ("25%", 0)):
        many = demand("d", "10Mbps", arrival="bursts", burst=4, sizes="981B", **{"max-loss": loss})
        topology, profile, plan = planned([], [many])
        nodes = tuple(node.replace(buffer_bytes=2_950) for node in topology.nodes)
        topology = topology.replace(nodes=nodes)
        said = excluded_by_plan(topology, profile, plan)
        assert len(said) == says
        assert all("bursts of 4 frames come at once, and the queue of a takes 3" in x for x in said)
        profile = profile.replace(simulation=profile.simulation.replace(duration_ps=2 * 10**11))
        (seen,) = simulate(topology, profile, plan, threads=1).demands
        assert seen.lost * 4 == seen.sent


def test_where_no_frame_has_room_none_is_known_to_come() -> None:
    """A buffer of 500 bytes on the way holds no frame of 981: nothing keeps the latency."""
    demanded = demand("d", "1Mbps", sizes="981B", **{"max-loss": "1%"})
    one = stream("s", max_latency="1s", max_loss="0%")
    topology, profile, plan = planned([one, stream("free", max_latency="1s")], [demanded])
    small = tuple(
        node.replace(buffer_bytes=500 if node.name == "b" else 10**6) for node in topology.nodes
    )
    topology = topology.replace(nodes=small)
    words = "the buffers of b hold 500 bytes, and a frame has 981: it loses 100 % on average"
    said = excluded_by_plan(topology, profile, plan)
    assert [line.partition(", of ")[0] for line in said] == [
        f"s: max-loss: {words}",
        f"d: max-loss: {words}",
    ]
    verdict = judge(topology, profile, plan, prove(topology, profile, plan), [])
    rows = {(row.subject, row.kind): row.outcome for row in verdict.rows}
    assert rows["s", "loss"] == rows["d", "loss"] == "fail"
    assert rows["s", "latency"] == rows["free", "latency"] == "unknown"


def test_links_that_lose_all_leave_no_latency_known() -> None:
    dead = ({"between": ("a", "b"), "loss": "100%"}, {"between": ("b", "c")})
    topology, profile, plan = planned([stream("s", max_latency="1s")], links=dead)
    verdict = judge(topology, profile, plan, prove(topology, profile, plan), [])
    assert verdict.outcome == "unknown"


def test_a_loss_of_all_is_kept_whatever_happens() -> None:
    topology, profile, plan = planned([stream("s", max_loss="100%")])
    verdict = judge(topology, profile, plan, prove(topology, profile, plan), [])
    (row,) = [one for one in verdict.rows if one.kind == "loss"]
    assert (row.outcome, row.basis) == ("pass", "proven")


def test_no_route_goes_through_a_host() -> None:
    topology, profile, _ = planned([stream("s")], [demand("d", "1Mbps")])
    nodes = tuple(
        node.replace(kind="host" if node.name == "b" else "switch") for node in topology.nodes
    )
    assert excluded_always(topology.replace(nodes=nodes), profile) == [
        "s: no route from a to c; hosts forward nothing",
        "d: no route from a to c; hosts forward nothing",
    ]
