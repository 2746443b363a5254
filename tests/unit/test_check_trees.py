"""Streams with several listeners: one frame on each wire, whoever counts, and a bound for each."""

from collections.abc import Callable
from typing import Any

import pytest

from qnet.check.excluded import excluded_always, excluded_by_plan
from qnet.check.overload import certain_overloads
from qnet.check.plan import prove, prove_kept
from qnet.check.verdict import judge
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile

US = 10**6

# t -> m -> x -> e and m -> y, 5 us each at 10 Gb/s; another way to y goes over x.
LINKS = ("tm", "mx", "my", "xe", "xy")
WAYS = {
    "s@x": ["t->m", "m->x"],
    "s@y": ["t->m", "m->y"],
    "s@e": ["t->m", "m->x", "x->e"],
}


def network(rate: str = "10Gbps", links: tuple[str, ...] = LINKS, **more: Any) -> Topology:
    nodes = [{"name": name, "site": f"at-{name}"} for name in "tmxye"]
    return Topology.model_validate(
        {
            "title": "t",
            "tcqf": {"cycle": "10us"},
            "nodes": [one | dict(more.get("node", {})) for one in nodes],
            "links": [
                {"between": list(pair), "rate": rate, "delay": "5us"} | more.get("link", {})
                for pair in links
            ],
        }
    )


def profile(traffic_class: dict[str, Any], *others: dict[str, Any], **more: Any) -> Profile:
    stream = {
        "name": "s",
        "class": traffic_class["name"],
        "from": "t",
        "to": ["x", "y", "e"],
        "interval": "40us",
        "max-payload-size": "1500B",
    }
    keys = {"classes", "demands", "egress", "gates"}
    return Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [traffic_class, *more.pop("classes", [])],
            "streams": [stream | {k: v for k, v in more.items() if k not in keys}, *others],
            **{key: value for key, value in more.items() if key in keys},
        }
    )


def planned(streams: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "qnet_version": "0",
        "topology_sha256": "",
        "traffic_sha256": "",
        "cycle_ps": 10 * US,
        "buffers": 4,
        "hypercycle": 4,
        "streams": streams,
        "demands": [],
        "egress": [],
        **more,
    }


def proven(topology: Topology, asked: Profile, plan: dict[str, Any]) -> Proof:
    return prove(topology, asked, Plan.model_validate(plan))


def said(proof: Proof) -> list[str]:
    return [f"{one.rule}: {one.subject}: {one.message}" for one in proof.findings]


def bounds(proof: Proof) -> dict[str, tuple[int | None, int | None]]:
    return {one.name: (one.latency_ps_min, one.latency_ps_max) for one in proof.streams}


def apart(asked: Profile, plan: dict[str, Any]) -> tuple[Profile, dict[str, Any]]:
    """Make each leg a stream of its own, with its numbers as they are."""
    legs = [one.replace(name=one.name.replace("@", "-")) for one in asked.every_stream]
    entries = [one | {"name": one["name"].replace("@", "-")} for one in plan["streams"]]
    return asked.replace(streams=tuple(legs)), plan | {"streams": entries}


# Cycles: all in phase, so that what leaves in cycle c is there for c + 2.

RESERVED = {"name": "reserved", "priority": 6, "mechanism": "tcqf"}
BULK = {"name": "bulk", "priority": 0, "mechanism": "strict-priority"}


def in_cycles(**more: Any) -> dict[str, Any]:
    legs = [
        {
            "name": name,
            "status": "admitted",
            "send_ps": 0,
            "paths": [{"ports": ports, "cycles": [2 * hop for hop in range(len(ports))]}],
        }
        for name, ports in WAYS.items()
    ]
    return planned(legs, **more)


def test_each_listener_has_its_bound_and_each_wire_one_frame() -> None:
    # Out of m from 20 us on: 20 + 1.2208 + 5 to 30 + 5 us; a hop more is 20 us more.
    proof = proven(network(), profile(RESERVED), in_cycles())
    assert said(proof) == []
    assert bounds(proof) == {
        "s@x": (26_220_800, 35 * US),
        "s@y": (26_220_800, 35 * US),
        "s@e": (46_220_800, 55 * US),
    }
    assert [(one.port, one.cycle, one.reserved_bytes) for one in proof.ports] == [
        ("t->m", 0, 1538),
        ("m->x", 2, 1538),
        ("m->y", 2, 1538),
        ("x->e", 0, 1538),
    ]


def test_a_shared_wire_has_room_for_one_tree_and_not_for_two_streams() -> None:
    """Six frames take 7.3824 of 10 us; a unicast stream for each listener takes thrice that."""
    asked = profile(RESERVED, **{"max-pkts-per-interval": 6})
    assert said(proven(network(), asked, in_cycles())) == []
    proof = proven(network(), *apart(asked, in_cycles()))
    assert {one.rule for one in proof.findings} == {"capacity"}
    assert {one.subject for one in proof.findings} == {"t->m", "m->x"}


Change = Callable[[list[dict[str, Any]]], object]


def with_path(number: int, **values: Any) -> Change:
    return lambda streams: streams[number]["paths"][0].update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            with_path(1, cycles=[1, 3]),
            "tree: s@y: leaves t->m in cycle 1, s@x in cycle 0; one frame is sent there",
        ),
        (
            lambda streams: streams[1].update(send_ps=-1),
            "tree: s@y: is sent at -1ps, s@x at 0ps; it is one frame",
        ),
        (
            lambda streams: streams[1].update(send_ps=-(10**4000)),
            "tree: s@y: is sent at over 1000000000000000000 ps, s@x at 0ps; it is one frame",
        ),
        (
            lambda streams: streams[1].update(send_ps=None),
            "tree: s@y: is sent at no time, s@x at 0ps; it is one frame",
        ),
        (
            lambda streams: streams[1].update(status="refused", paths=[], send_ps=None),
            "tree: s: s@x is admitted and s@y refused; all are, or none is",
        ),
        (
            with_path(2, ports=["t->m", "m->y", "y->x", "x->e"], cycles=[0, 2, 4, 6]),
            "tree: s@e: comes to x over y->x, s@x over m->x; a node gets one frame",
        ),
    ],
)
def test_every_fault_of_a_tree_is_found(change: Change, words: str) -> None:
    plan = in_cycles()
    change(plan["streams"])
    proof = proven(network(), profile(RESERVED), plan)
    assert words in said(proof)
    assert set(bounds(proof).values()) == {(None, None)}


def test_what_is_no_one_frame_takes_room_of_its_own() -> None:
    """Six frames twice in one cycle do not fit; what is sent at another time is not the same."""
    asked = profile(RESERVED, **{"max-pkts-per-interval": 6})
    plan = in_cycles()
    plan["streams"][1]["send_ps"] = -1
    assert {"tree", "capacity"} <= {one.rule for one in proven(network(), asked, plan).findings}


def test_legs_may_be_refused_together() -> None:
    refused = [{"name": name, "status": "refused", "reason": "no room"} for name in WAYS]
    asked, plan = profile(RESERVED), planned(refused)
    proof = proven(network(), asked, plan)
    assert said(proof) == []
    verdict = judge(network(), asked, Plan.model_validate(plan), proof, [])
    (row,) = verdict.rows
    assert (row.subject, row.members, row.broken, row.worst) == ("s", 1, 1, "s")
    assert row.reason == "s: no room"


def test_a_plan_is_kept_for_whole_trees_only() -> None:
    plan = Plan.model_validate(in_cycles())
    assert prove_kept(network(), profile(RESERVED), plan) == ()
    grown = profile(RESERVED, to=["x", "y", "e", "m"])
    assert prove_kept(network(), grown, plan) == ()


def test_demands_have_what_one_frame_of_a_tree_leaves() -> None:
    """307.6 Mb/s once, of 10 Gb/s: 9.6924 Gb/s are left, and with them all that t sends outside."""
    demand = {"name": "d", "from": "t", "to": "e", "class": "bulk", "rate": "9692400001bps"}
    egress = {
        "site": "at-t",
        "required_bps": 10**10,
        "offered_bps": 10**10,
        "bound_bps": 10**10,
    }

    def found(placed_bps: int, claimed_bps: int) -> list[str]:
        asked = profile(
            RESERVED,
            classes=[BULK],
            demands=[demand],
            egress=[{"site": "at-t", "rate": "10Gbps"}],
        )
        part = {"ports": WAYS["s@e"], "rate_bps": placed_bps}
        whole = {"name": "d", "rate_bps": 9_692_400_001, "placed_bps": placed_bps, "parts": [part]}
        plan = in_cycles(demands=[whole], egress=[egress | {"placed_bps": claimed_bps}])
        return [one.message for one in proven(network(), asked, plan).findings]

    assert found(9_692_400_000, 10**10) == []
    over = found(9_692_400_001, 10**10)
    assert len(over) == 3  # one for each port of the way
    assert "307.6Mbps reserved: 1bps more than the reservable 10Gbps" in over[0]
    (claim,) = found(9_692_399_999, 10**10)
    assert "its streams and demands come to 9999999999 b/s" in claim


def test_what_is_claimed_to_be_reserved_counts_a_tree_once() -> None:
    claim = {
        "streams": 1,
        "streams_placed": 1,
        "streams_bound": 1,
        "offered_bps": 307_600_000,
        "placed_bps": 307_600_000,
        "bound_bps": 307_600_000,
    }
    asked = profile(RESERVED)
    assert said(proven(network(), asked, in_cycles(reserved=claim))) == []
    more = claim | {"streams_placed": 2, "streams_bound": 2}
    (found,) = said(proven(network(), asked, in_cycles(reserved=more)))
    assert "claims 2 streams reserved; its streams come to 1 streams" in found


def test_a_damper_has_a_hold_for_each_listener() -> None:
    asked, plan = profile(RESERVED, damper=True), in_cycles()
    for entry, hold_ps in zip(plan["streams"], (35 * US, 40 * US, 55 * US), strict=True):
        entry["hold_ps"] = hold_ps
    proof = proven(network(), asked, plan)
    assert said(proof) == []
    assert [high for _, high in bounds(proof).values()] == [35 * US, 40 * US, 55 * US]
    plan["streams"][2]["hold_ps"] = 54 * US
    (found,) = said(proven(network(), asked, plan))
    assert found.startswith("damper: s@e: ")


# Gates: 980 bytes are 8 us of line time at 1 Gb/s, and out 96 ns before that. Queue 0 is bulk's.

CONTROL = {"name": "control", "priority": 6, "mechanism": "qbv", "isolation": "stream"}
GATED = {"interval": "100us", "max-payload-size": "962B"}


def behind_gates(**more: Any) -> dict[str, Any]:
    """Start at 0, at 13 us behind m (12.904 us of way), and at 26 us behind x."""
    starts = [0, 13 * US, 26 * US]
    legs = [
        {
            "name": name,
            "status": "admitted",
            "paths": [
                {
                    "ports": ports,
                    "queues": [1] * len(ports),
                    "starts_ps": [starts[: len(ports)]],
                }
            ],
        }
        for name, ports in WAYS.items()
    ]
    lists = [
        {
            "port": port,
            "entries": [
                entry for entry in ([start_ps, 1], [8 * US, 2], [92 * US - start_ps, 1]) if entry[0]
            ],
        }
        for port, start_ps in (("t->m", 0), ("m->x", 13 * US), ("m->y", 13 * US), ("x->e", 26 * US))
    ]
    return planned(legs, gate_cycle_ps=100 * US, gates=lists, **more)


def gated_profile() -> Profile:
    return profile(CONTROL, classes=[BULK], **GATED)


def test_a_window_serves_all_legs_that_share_it() -> None:
    proof = proven(network("1Gbps"), gated_profile(), behind_gates())
    assert said(proof) == []
    assert bounds(proof) == {
        "s@x": (25_904_000, 25_904_000),
        "s@y": (25_904_000, 25_904_000),
        "s@e": (38_904_000, 38_904_000),
    }
    # 80 Mb/s of the 100 Mb/s that are reservable, once.
    scarce = network("1Gbps", link={"reservable": "100Mbps"})
    assert said(proven(scarce, gated_profile(), behind_gates())) == []
    assert Plan.model_validate(behind_gates()).gate_lines()[0].startswith("gates: 1 streams placed")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            with_path(1, queues=[2, 1]),
            "tree: s@y: is in queue 2 of t->m, s@x in queue 1; one frame is sent there",
        ),
        (
            with_path(1, starts_ps=[[20 * US, 33 * US]]),
            "tree: s@y: starts frame 0 at t->m at 20us, s@x at 0ps; one frame is sent there",
        ),
        (with_path(1, starts_ps=[[4 * US, 13 * US]]), "overlap: t->m: "),
        (
            with_path(1, starts_ps=[[0, 13 * US], [1, 1]]),
            "tree: s@y: has 2 frames at t->m, s@x 1; one frame is sent there",
        ),
    ],
)
def test_every_fault_of_a_gated_tree_is_found(change: Change, words: str) -> None:
    plan = behind_gates()
    change(plan["streams"])
    proof = proven(network("1Gbps"), gated_profile(), plan)
    assert any(one.startswith(words) for one in said(proof)), said(proof)
    assert bounds(proof)["s@x"] == (None, None)


def test_two_streams_in_one_window_are_still_found() -> None:
    """The same numbers, but each leg a stream of its own: they meet wherever they share a port."""
    proof = proven(network("1Gbps"), *apart(gated_profile(), behind_gates()))
    assert {(one.rule, one.subject) for one in proof.findings} >= {
        ("overlap", "t->m"),
        ("overlap", "m->x"),
        ("queue", "t->m"),
    }


# Classes that reserve nothing. A frame of 1,500 bytes is 12.16 us at 1 Gb/s, out in 12.064 us.

FRAME = 12_160_000
OUT = FRAME - 96_000
PLAIN = {"name": "plain", "priority": 5, "mechanism": "strict-priority"}
SMALL = {"max-payload-size": "1482B", "interval": "1ms"}


def routed(*others: tuple[str, list[str]]) -> dict[str, Any]:
    ways = [*WAYS.items(), *others]
    return planned(
        [{"name": name, "status": "routed", "paths": [{"ports": ports}]} for name, ports in ways]
    )


def test_a_bound_adds_up_along_each_leg_of_what_is_there_once() -> None:
    """Beside one more stream: it waits for that once at t, and nowhere else for itself."""
    other = {"name": "o", "class": "plain", "from": "t", "to": "y", **SMALL}
    asked = profile(PLAIN, other, **SMALL)
    proof = proven(network("1Gbps"), asked, routed(("o", WAYS["s@y"])))
    assert said(proof) == []
    high = {name: pair[1] for name, pair in bounds(proof).items()}
    # At t both, at m the tree's alone, or both one after the other: all but for what is rounded.
    assert high["s@x"] == FRAME + OUT + OUT + 10 * US + 1
    assert high["s@e"] == FRAME + OUT + 2 * OUT + 15 * US + 2
    assert high["s@y"] == high["o"] == high["s@x"]
    twin = proven(network("1Gbps"), *apart(asked, routed(("o", WAYS["s@y"]))))
    # Three of them are at t, of which two go on to x, one after the other.
    assert bounds(twin)["s-x"][1] == high["s@x"] + 2 * FRAME


def test_shapers_have_one_bucket_for_a_tree() -> None:
    law = {
        "name": "plain",
        "priority": 5,
        "mechanism": "strict-priority",
        "max-residence": "1ms",
    }
    proof = proven(network("1Gbps"), profile(law, **SMALL), routed())
    assert said(proof) == []
    assert bounds(proof)["s@x"] == (2 * OUT + 10 * US, 2 * OUT + 10 * US)


@pytest.mark.parametrize(("count", "number"), [(1, 0), (2, 1)])
def test_a_port_is_offered_a_tree_once(count: int, number: int) -> None:
    """750 Mb/s fit once; that of another tree no more. What one port cannot pass on is not lost
    to the legs behind it twice."""
    big = {"max-payload-size": "1482B", "interval": "16213334ps"}
    asked = profile(PLAIN, count=count, **big)
    plan = planned(
        [
            {"name": one.name, "status": "routed", "paths": [{"ports": WAYS[f"s@{one.listener}"]}]}
            for one in asked.every_stream
        ]
    )
    proof = proven(network("1Gbps"), asked, plan)
    assert [one.port for one in proof.overloads] == ["t->m"] * number
    assert [one.port for one in certain_overloads(network("1Gbps", LINKS[:4]), asked)] == [
        "t->m"
    ] * number
    offered = [one.offered_bps for one in proof.overloads]
    assert offered == [1_499_999_939] * number


def test_idle_slopes_as_reserved_count_a_tree_once() -> None:
    """12.16 Mb/s are reserved at each port, and twice that is sent."""
    law = {
        "name": "plain",
        "priority": 5,
        "mechanism": "strict-priority",
        "idle-slope": "as-reserved",
    }
    asked = profile(law, **SMALL, **{"excess-pkts-per-interval": 1})
    proof = proven(network("1Gbps"), asked, routed())
    assert {(one.of, one.served_bps, one.offered_bps) for one in proof.overloads} == {
        ("idle-slope", 12_160_000, 24_320_000)
    }
    certain = certain_overloads(network("1Gbps", LINKS[:4]), asked)
    assert {(one.port, one.served_bps, one.offered_bps) for one in certain} == {
        ("t->m", 12_160_000, 24_320_000)
    }


def test_a_meter_that_starves_a_tree_is_said_once_by_its_name() -> None:
    asked = profile(PLAIN, **SMALL, **{"police": True, "committed-rate": "6.08Mbps"})
    proof = proven(network("1Gbps"), asked, routed())
    assert [(one.stream, one.port, one.of) for one in proof.overloads] == [("s", "t->m", "meter")]


def test_given_windows_have_room_for_a_tree_once() -> None:
    """Open 2 of 100 us: 20 Mb/s, for 12.16 Mb/s of the tree."""
    open_ps = {"open": ["plain"], "for": "20us"}
    gates = [{"at": ["t->m"], "entries": [open_ps, {"open": [], "for": "980us"}]}]
    lists = [{"port": "t->m", "entries": [[20 * US, 1], [980 * US, 0]]}]
    plan = routed() | {"gates": lists}
    assert said(proven(network("1Gbps"), profile(PLAIN, gates=gates, **SMALL), plan)) == []
    both = profile(
        PLAIN,
        {"name": "o", "class": "plain", "from": "t", "to": "m", **SMALL},
        gates=gates,
        **SMALL,
    )
    more = routed(("o", ["t->m"])) | {"gates": lists}
    (found,) = said(proven(network("1Gbps"), both, more))
    assert "24.32Mbps of class plain; its gate leaves it 20Mbps" in found


def test_three_listeners_outside_do_not_make_thrice_the_egress() -> None:
    asked = profile(RESERVED, egress=[{"site": "at-t", "rate": "307601kbps"}])
    (found,) = excluded_always(network(), asked)
    assert found == "at-t: egress: streams and demands come to 307.600 Mb/s of 307.601 Mb/s"
    enough = profile(RESERVED, egress=[{"site": "at-t", "rate": "307600kbps"}])
    assert excluded_always(network(), enough) == []


@pytest.mark.parametrize(("loss", "number"), [("0.1%", 0), ("0.2%", 1)])
def test_of_what_leaves_a_site_the_leg_that_loses_most_counts(loss: str, number: int) -> None:
    """Over three wires 0.3 % are lost, of which half a per cent may be; 0.7 % over all legs."""
    asked = profile(RESERVED, egress=[{"site": "at-t", "rate": "307.6Mbps"}], **{"max-loss": "1%"})
    rate_bps = 307_600_000
    claim = {"site": "at-t"} | dict.fromkeys(
        ("required_bps", "offered_bps", "placed_bps", "bound_bps"), rate_bps
    )
    plan = Plan.model_validate(in_cycles(egress=[claim]))
    found = excluded_by_plan(network(link={"loss": loss}), asked, plan)
    assert [one.partition(":")[0] for one in found] == ["at-t"] * number


def test_what_no_plan_can_keep_is_said_of_the_listener_that_is_too_far() -> None:
    asked = profile(PLAIN, **SMALL, **{"max-latency": "40us"})
    far = network("1Gbps", LINKS[:4])
    (found,) = excluded_always(far, asked)
    assert found.startswith("s@e: max-latency: propagation, line times")
    (found,) = excluded_by_plan(far, asked, Plan.model_validate(routed()))
    assert found.startswith("s@e: max-latency: propagation, line times")


# What was seen


def seen(name: str, steady_bytes: int, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "service": "s",
        "sent": 100,
        "received": 100,
        "copies": 100,
        "lost": 0,
        "in_flight": 0,
        "late": 0,
        "copies_sent": 100,
        "copies_lost": 0,
        "sent_bytes": 0,
        "received_bytes": 0,
        "steady_bytes": steady_bytes,
        "latency_ps_min": 27 * US,
        "latency_ps_sum": 100 * 27 * US,
        "latency_ps_max": 27 * US,
        "floor_ps": 1,
        "histogram": [],
        **changes,
    }


@pytest.mark.parametrize(("lost", "outcome"), [(0, "pass"), (2, "fail")])
def test_the_egress_of_a_tree_is_what_its_worst_listener_got(lost: int, outcome: str) -> None:
    """1 MB in 4 ms are 2 Gb/s, asked and placed; the three together would be three times that."""
    asked = profile(
        RESERVED,
        egress=[{"site": "at-t", "rate": "307.6Mbps"}],
    )
    claim = {
        "site": "at-t",
        "required_bps": 307_600_000,
        "offered_bps": 307_600_000,
        "placed_bps": 307_600_000,
        "bound_bps": 307_600_000,
    }
    size = 307_600_000 // 8 // 1000 * 4
    plan = Plan.model_validate(in_cycles(egress=[claim]))
    rows = [
        seen("s@x", size),
        seen("s@y", size),
        seen("s@e", size, latency_ps_min=50 * US, latency_ps_max=50 * US),
    ]
    rows[1] |= {"lost": lost, "received": 100 - lost, "steady_bytes": size * (100 - lost) // 100}
    run = Observation.model_validate(
        {
            "witness": "simulated",
            "duration_ps": 5 * 10**9,
            "steady_from_ps": 10**9,
            "seed": 1,
            "frames": 1,
            "frame_hops": 1,
            "streams": rows,
            "demands": [],
            "ports": [],
        }
    )
    proof = prove(network(), asked, plan)
    verdict = judge(network(), asked, plan, proof, [run])
    (egress,) = (one for one in verdict.rows if one.kind == "egress")
    assert egress.outcome == outcome
    assert egress.simulated == 307_600_000 * (100 - lost) // 100
    (latency,) = (one for one in verdict.rows if one.kind == "latency")
    assert (latency.members, latency.worst, latency.simulated) == (3, "s@e", 50 * US)
