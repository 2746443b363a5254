"""One network of three nodes, one answer per requirement, and witnesses that are made to differ."""

from typing import Any

import pytest

from qnet.check.excluded import excluded_by_plan
from qnet.check.plan import prove
from qnet.check.promises import MemberFigures, Seen
from qnet.check.verdict import FINDINGS_LISTED, judge
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Finding, Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Egress, Profile
from qnet.model.verdict import Row, Verdict

TOPOLOGY = Topology.model_validate(
    {
        "title": "a line",
        "assumptions": ["the map is right"],
        "nodes": [
            {"name": "a", "site": "west", "position": "35.71N 107.64E"},
            {"name": "b", "position": "34.34N 108.94E"},
            {"name": "c", "site": "east"},
        ],
        "links": [
            {"between": ["a", "b"], "rate": "10Gbps"},
            {"between": ["b", "c"], "rate": "10Gbps", "delay": "5us"},
        ],
    }
)


def profile(**control: Any) -> Profile:
    reserved = {"from": "b", "to": "c", "interval": "40us", "max-payload-size": "1500B"}
    return Profile.model_validate(
        {
            "title": "a little of all",
            "topology": "line",
            "assumptions": ["the load is right"],
            "streams": [
                {"name": "slow", "group": "control", "max-latency": "30us", **reserved, **control},
                {"name": "fast", "group": "control", "max-latency": "20us", **reserved},
                {"name": "free", **reserved},
                {"name": "plain", "class": "best-effort", **reserved, "max-latency": "1ms"},
            ],
            "demands": [
                {"name": "bulk", "from": "a", "to": "c", "rate": "2Gbps", "max-loss": "0.1%"},
                {"name": "more", "from": "a", "to": "c", "rate": "1Gbps", "group": "bulk"},
            ],
            "egress": [{"site": "west", "rate": "3Gbps"}],
        }
    )


def plan_data() -> dict[str, Any]:
    def admitted(name: str, cycle: int) -> dict[str, Any]:
        path = {"ports": ["b->c"], "cycles": [cycle]}
        return {"name": name, "status": "admitted", "send_ps": 0, "paths": [path]}

    def demand(name: str, rate_bps: int) -> dict[str, Any]:
        part = {"ports": ["a->b", "b->c"], "rate_bps": rate_bps}
        return {"name": name, "rate_bps": rate_bps, "placed_bps": rate_bps, "parts": [part]}

    return {
        "qnet_version": "0",
        "topology_sha256": "0",
        "traffic_sha256": "0",
        "cycle_ps": 10**7,
        "buffers": 4,
        "hypercycle": 4,
        "streams": [
            admitted("slow", 1),
            admitted("fast", 0),
            admitted("free", 2),
            {"name": "plain", "status": "routed", "paths": [{"ports": ["b->c"]}]},
        ],
        "demands": [demand("bulk", 2 * 10**9), demand("more", 10**9)],
        "egress": [
            {
                "site": "west",
                "required_bps": 3 * 10**9,
                "offered_bps": 3 * 10**9,
                "placed_bps": 3 * 10**9,
                "bound_bps": 10**10,
            }
        ],
    }


# Sent at 0, 1.2304 us of line time, 5 us of fibre: 'fast' takes 6.2304 to 15 us, 'slow' 10 us more.
LATENCY_PS = {
    "slow": (17_000_000, 24_000_000),
    "fast": (6_500_000, 14_000_000),
    "free": (27_000_000, 34_000_000),
    "plain": (7_000_000, 400_000_000),
}


def traffic(name: str, **changes: Any) -> dict[str, Any]:
    low, high = LATENCY_PS.get(name, (10**9, 2 * 10**9))
    return {
        "name": name,
        "service": name,
        "sent": 1000,
        "received": 990,
        "copies": 990,
        "in_flight": 10,
        "copies_sent": 1000,
        "copies_lost": 0,
        "lost": 0,
        "late": 0,
        "sent_bytes": 1_538_000,
        "received_bytes": 1_500_000,
        "steady_bytes": 1_000_000,
        "latency_ps_min": low,
        "latency_ps_sum": 990 * high,
        "latency_ps_max": high,
        "floor_ps": low,
        "histogram": [],
        **changes,
    }


def observation(egress_bytes: int = 1_500_000, **changes: dict[str, Any]) -> Observation:
    """Watch for 5 ms, 4 of them steady: 1.5 MB of both demands, half each, are 3 Gb/s.

    Streams from b to c are no egress of west, and neither is what leaves the ports: nothing is
    delivered until the far end has it.
    """
    halves = {"bulk": egress_bytes - egress_bytes // 2, "more": egress_bytes // 2}
    changes = {
        name: {"steady_bytes": size} | changes.get(name, {}) for name, size in halves.items()
    } | {name: change for name, change in changes.items() if name not in halves}
    return Observation.model_validate(
        {
            "witness": "simulated",
            "duration_ps": 5 * 10**9,
            "steady_from_ps": 10**9,
            "seed": 7,
            "frames": 4000,
            "frame_hops": 5000,
            "streams": [traffic(name, **changes.get(name, {})) for name in LATENCY_PS],
            "demands": [traffic(name, **changes.get(name, {})) for name in ("bulk", "more")],
            "ports": [
                {
                    "port": port,
                    "came": 1000,
                    "lost_on_link": 0,
                    "waiting": 0,
                    "sent_frames": 1000,
                    "sent_bytes": size,
                    "steady_bytes": size,
                    "queue_bytes_max": 0,
                    "dropped": 0,
                }
                for port, size in (("a->b", 2 * 10**9), ("b->a", 10**9), ("b->c", 10**9))
            ],
        }
    )


def judged(
    *observations: Observation, plan: dict[str, Any] | None = None, asked: Profile | None = None
) -> Verdict:
    asked = asked or profile()
    the_plan = Plan.model_validate(plan or plan_data())
    return judge(TOPOLOGY, asked, the_plan, prove(TOPOLOGY, asked, the_plan), observations)


def row(verdict: Verdict, subject: str, kind: str) -> Row:
    (found,) = (one for one in verdict.rows if (one.subject, one.kind) == (subject, kind))
    return found


def figures(one: Row) -> tuple[int | None, int | None, int | None, str]:
    return one.promised, one.proven, one.simulated, one.outcome


def test_all_is_well() -> None:
    verdict = judged(observation())
    assert verdict.findings == ()
    assert verdict.outcome == "pass"
    assert verdict.title == "a little of all on a line"
    assert {one.outcome for one in verdict.rows} == {"pass"}
    assert [(one.subject, one.kind) for one in verdict.rows] == [
        ("control", "admitted"),
        ("control", "latency"),
        ("control", "variation"),
        ("control", "loss"),
        ("free", "admitted"),
        ("free", "latency"),
        ("free", "variation"),
        ("free", "loss"),
        ("plain", "latency"),
        ("plain", "variation"),
        ("plain", "loss"),
        ("bulk", "placed"),
        ("bulk", "loss"),
        ("west", "egress"),
        ("west", "cable-egress"),
    ]
    assert figures(row(verdict, "control", "admitted")) == (2, 2, None, "pass")
    assert figures(row(verdict, "free", "latency")) == (None, 35_000_000, 34_000_000, "pass")
    assert figures(row(verdict, "plain", "latency")) == (10**9, None, 400_000_000, "pass")
    assert figures(row(verdict, "bulk", "placed")) == (3 * 10**9, 3 * 10**9, None, "pass")
    assert figures(row(verdict, "bulk", "loss")) == (10**6, None, 0, "pass")
    assert figures(row(verdict, "west", "egress")) == (3 * 10**9, 3 * 10**9, 3 * 10**9, "pass")
    assert row(verdict, "west", "egress").reason == "at most 10.000 Gb/s by the LP bound"
    assert verdict.assumptions[:2] == ("the map is right", "the load is right")
    assert verdict.assumptions[2].startswith("fibre length of 1 of 2 links estimated")
    assert verdict.notes == (
        "simulated: 4,000 frames, 5,000 frame-hops in 5.000 ms of network time, seed 7",
        "emulated: not asked",
    )


def test_the_worst_member_is_shown_with_its_own_promise() -> None:
    # Both have 5 us to spare: 'slow' is proven 25 of 30 us, 'fast' 15 of 20. A tighter promise
    # of 'slow' makes it the worse, though 'fast' has the lower bound.
    tight = judged(observation(), asked=profile(**{"max-latency": "26us"}))
    one = row(tight, "control", "latency")
    assert (one.worst, one.members) == ("slow", 2)
    assert figures(one) == (26_000_000, 25_000_000, 24_000_000, "pass")


def test_a_promise_that_the_proof_does_not_keep() -> None:
    verdict = judged(observation(), asked=profile(**{"max-latency": "24us"}))
    one = row(verdict, "control", "latency")
    assert figures(one) == (24_000_000, 25_000_000, 24_000_000, "fail")
    assert one.reason == "1.000 us over the promise"
    assert verdict.outcome == "fail"
    assert verdict.findings[0].startswith("latency: slow: can take 25us")


def test_nothing_simulated() -> None:
    """What is proven is kept without a witness; what needs one is not known, promised or not."""
    verdict = judged()
    assert verdict.outcome == "unknown"
    known = {(one.subject, one.kind): one.basis for one in verdict.rows if one.outcome == "pass"}
    assert known["control", "latency"] == known["west", "egress"] == "proven"
    assert known["control", "loss"] == known["free", "loss"] == "proven"
    assert known["plain", "variation"] is None
    unknown = {(one.subject, one.kind) for one in verdict.rows if one.outcome == "unknown"}
    assert unknown == {("plain", "latency"), ("bulk", "loss")}
    for subject, kind in unknown:
        one = row(verdict, subject, kind)
        assert one.reason == "nothing is proven of it, and no witness was asked"
        assert (one.decided_by or "").startswith("a run ('qnet run', 'qnet simulate')")
    assert verdict.notes[0] == "simulated: not asked"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latency_ps_max": 15_000_001}, "fast: simulated latency of 15000001 ps, proven at most"),
        ({"latency_ps_min": 6_220_799}, "fast: simulated latency of 6220799 ps, proven at least"),
        ({"late": 3}, "fast: simulated 3 late events"),
        ({"lost": 2}, "fast: simulated 2 of 1000 frames lost"),
    ],
)
def test_witnesses_that_disagree_come_first(changes: dict[str, Any], words: str) -> None:
    verdict = judged(observation(fast=changes), asked=profile(**{"max-latency": "24us"}))
    assert verdict.outcome == "fail"
    assert verdict.findings[0].startswith(f"witnesses disagree: {words}")
    assert verdict.findings[1].startswith("latency: slow")


def test_what_the_bounds_themselves_allow_is_no_disagreement() -> None:
    edge = {"latency_ps_min": 6_220_800, "latency_ps_max": 15_000_000}
    assert judged(observation(fast=edge)).findings == ()


def test_the_emulator_is_judged_alike() -> None:
    seen = observation(fast={"latency_ps_max": 16_000_000})
    emulated = seen.replace(witness="emulated")
    verdict = judged(observation(), emulated)
    assert "fast: emulated latency of 16000000 ps" in verdict.findings[0]
    one = row(verdict, "control", "latency")
    assert (one.simulated, one.emulated) == (14_000_000, 16_000_000)


def test_late_frames_of_a_broken_plan_are_no_disagreement() -> None:
    plan = plan_data()
    plan["streams"][1]["send_ps"] = 1
    verdict = judged(observation(fast={"late": 3}), plan=plan)
    assert [one.split(":")[0] for one in verdict.findings] == ["ingress"]
    late = row(verdict, "control", "late")
    assert figures(late) == (0, None, 3, "fail")
    assert late.worst == "fast"
    latency = row(verdict, "control", "latency")
    assert latency.outcome == "fail"
    assert latency.proven is None
    assert latency.reason == "nothing is proven: a broken rule can reach it"


def test_refused_streams() -> None:
    plan = plan_data()
    for index in (0, 3):
        entry = plan["streams"][index]
        entry.update(status="refused", paths=[], send_ps=None, reason="no room")
    verdict = judged(observation(), plan=plan)
    assert verdict.findings == ()
    assert verdict.outcome == "fail"
    one = row(verdict, "control", "admitted")
    assert figures(one) == (2, 1, None, "fail")
    assert (one.worst, one.reason) == ("slow", "slow: no room")
    assert row(verdict, "control", "latency").members == 1
    assert figures(row(verdict, "plain", "admitted")) == (1, 0, None, "fail")
    assert all(one.kind == "admitted" for one in verdict.rows if one.subject == "plain")


def test_losses_are_rounded_up_and_judged_exactly() -> None:
    # 1 of 1000 is just the 0.1 % that is promised; 1 of 999 is more.
    kept = judged(observation(bulk={"lost": 1}))
    assert figures(row(kept, "bulk", "loss")) == (10**6, None, 10**6, "pass")
    broken = judged(observation(bulk={"lost": 1, "sent": 999}))
    assert figures(row(broken, "bulk", "loss")) == (10**6, None, 1_001_002, "fail")
    assert row(broken, "bulk", "loss").reason == "0.0001002 % over the promise"
    assert broken.outcome == "fail"


SILENT = {
    "sent": 0,
    "received": 0,
    "copies": 0,
    "steady_bytes": 0,
    "latency_ps_min": None,
    "latency_ps_max": None,
}


def test_nothing_sent_is_not_known() -> None:
    """Of what reserves nothing; a proof needs no frame."""
    verdict = judged(observation(plain=SILENT, fast=SILENT))
    assert verdict.outcome == "unknown"
    one = row(verdict, "plain", "latency")
    assert (one.outcome, one.not_known, one.basis) == ("unknown", 1, None)
    assert one.reason == (
        "no frame of it was due in the 5.000 ms of the run, one comes every 40.000 us"
    )
    loss = row(verdict, "control", "loss")
    assert (loss.outcome, loss.basis, loss.proven) == ("pass", "proven", 0)


def test_what_was_seen_speaks_in_steady_state_only() -> None:
    """A million wire bytes of 1,538 each are 650 frames; what came before is no steady state."""
    kept = row(judged(observation()), "plain", "latency")
    assert (kept.outcome, kept.basis, kept.frames) == ("pass", "seen", 650)
    early = row(judged(observation(plain={"steady_bytes": 0})), "plain", "latency")
    assert (early.outcome, early.frames) == ("unknown", None)
    assert early.reason == (
        "nothing of it was seen in the steady part of the run, 1.000 ms to 5.000 ms"
    )
    unsettled = {"steady_bytes": 0}
    short = observation(plain=unsettled).replace(duration_ps=10**9)
    assert row(judged(short), "plain", "latency").reason == (
        "the run of 1.000 ms ended before it was steady"
    )


def test_one_frame_says_nothing_of_variation() -> None:
    asked = profile()
    plain = asked.streams[3].replace(max_latency_variation_ps=10**9)
    asked = asked.replace(streams=(*asked.streams[:3], plain))
    for copies, outcome in ((1, "unknown"), (2, "pass")):
        seen = observation(plain={"steady_bytes": 1538 * copies, "copies": copies})
        one = row(judged(seen, asked=asked), "plain", "variation")
        assert (one.outcome, one.promised) == (outcome, 10**9)
    assert row(judged(seen, asked=asked), "plain", "latency").frames == 2


def test_one_member_that_was_not_seen_leaves_its_service_unknown() -> None:
    """One of a hundred: the others do not make up for it, and it is named."""
    asked = profile()
    hundred = asked.streams[3].replace(count=100, interval_ps=10**9)
    asked = Profile.model_validate(asked.replace(streams=(*asked.streams[:3], hundred)))
    plan = plan_data()
    plain = plan["streams"].pop()
    plan["streams"] += [plain | {"name": f"plain-{number}"} for number in range(1, 101)]
    seen = observation()
    others = [one for one in seen.streams if one.name != "plain"]
    some = [
        seen.streams[3].replace(**{"name": f"plain-{number}"} | (SILENT if number == 37 else {}))
        for number in range(1, 101)
    ]
    seen = seen.replace(streams=(*others, *some))
    one = row(judged(seen, asked=asked, plan=plan), "plain", "latency")
    assert (one.outcome, one.members, one.not_known) == ("unknown", 100, 1)
    assert one.worst == "plain-37"


@pytest.mark.parametrize(("duration", "words"), [("10s", "11s"), ("1000s", "no run, which lasts")])
def test_how_long_a_run_must_be(duration: str, words: str) -> None:
    asked = profile()
    slow = asked.streams[3].replace(interval_ps=int(duration[:-1]) * 10**12)
    asked = asked.replace(streams=(*asked.streams[:3], slow))
    one = row(judged(observation(plain=SILENT), asked=asked), "plain", "latency")
    assert words in (one.decided_by or "")


def test_a_demand_placed_in_part() -> None:
    plan = plan_data()
    plan["demands"][1].update(placed_bps=4 * 10**8, reason="a->b is full")
    plan["demands"][1]["parts"][0]["rate_bps"] = 4 * 10**8
    plan["egress"][0]["placed_bps"] = 24 * 10**8
    verdict = judged(observation(egress_bytes=1_200_000), plan=plan)
    one = row(verdict, "bulk", "placed")
    assert figures(one) == (3 * 10**9, 24 * 10**8, None, "fail")
    assert one.worst == "more"
    assert one.reason == "more: 600.000 Mb/s not placed: a->b is full"
    egress = row(verdict, "west", "egress")
    assert figures(egress) == (3 * 10**9, 24 * 10**8, 24 * 10**8, "fail")
    assert egress.reason == (
        "600.000 Mb/s short of the requirement; at most 10.000 Gb/s by the LP bound"
    )


@pytest.mark.parametrize(("size", "outcome"), [(1_492_500, "pass"), (1_492_499, "fail")])
def test_egress_that_a_witness_does_not_see(size: int, outcome: str) -> None:
    # 99.5 % of 1.5 MB are 1.4925 MB.
    some_lost = {"lost": 10, "in_flight": 0}
    seen = observation(egress_bytes=size)
    lost = [one.replace(**some_lost) for one in seen.demands]
    egress = row(judged(seen.replace(demands=tuple(lost))), "west", "egress")
    assert egress.outcome == outcome
    assert egress.simulated == size * 2000
    assert ("less than placed" in (egress.reason or "")) == (outcome == "fail")


def test_only_what_is_sent_inside_and_delivered_outside_is_egress() -> None:
    # As much again by a stream from b to c changes nothing; both demands lost on the way are 0 b/s,
    # whatever the ports of the site sent.
    more = judged(observation(plain={"steady_bytes": 10**9}, fast={"steady_bytes": 10**9}))
    assert row(more, "west", "egress").simulated == 3 * 10**9
    lost = {"lost": 1000, "received": 0, "in_flight": 0, "steady_bytes": 0}
    gone = row(judged(observation(bulk=lost, more=lost)), "west", "egress")
    assert figures(gone) == (3 * 10**9, 3 * 10**9, 0, "fail")


@pytest.mark.parametrize(
    ("lost", "in_flight", "outcome"), [(1000, 0, "unknown"), (2, 998, "pass"), (0, 1000, "pass")]
)
def test_a_bound_of_frames_that_are_all_lost_keeps_no_latency(
    lost: int, in_flight: int, outcome: str
) -> None:
    counts = {"sent": 1000, "lost": lost, "in_flight": in_flight}
    none = SILENT | {"received": 0, "copies": 0} | counts
    seen, plain = Seen([observation(plain=none)]), profile().streams[3]
    case = MemberFigures(plain, "latency", 9, 8, {}, 0, False, None, seen.is_all_lost(plain))
    assert case.outcome == outcome
    assert ("was lost" in (case.reason(str, seen) or "")) == (outcome == "unknown")


@pytest.mark.parametrize("size", [0, 900_000, 1_492_499])
def test_talkers_that_send_less_in_a_short_time_break_no_egress(size: int) -> None:
    egress = row(judged(observation(egress_bytes=size)), "west", "egress")
    assert figures(egress) == (3 * 10**9, 3 * 10**9, size * 2000, "pass")


@pytest.mark.parametrize(("loss", "outcome"), [("0.5%", "pass"), ("0.5001%", "fail")])
def test_egress_that_links_take_fails_whatever_is_seen(loss: str, outcome: str) -> None:
    nodes = [{"name": "a", "site": "west"}, {"name": "b"}, {"name": "c", "site": "east"}]
    links = [
        {"between": ["a", "b"], "rate": "10Gbps", "delay": "1ms", "loss": loss},
        {"between": ["b", "c"], "rate": "10Gbps", "delay": "5us"},
    ]
    lossy = Topology.model_validate({"title": "a line", "nodes": nodes, "links": links})
    the_plan = Plan.model_validate(plan_data())
    verdict = judge(lossy, profile(), the_plan, prove(lossy, profile(), the_plan), [])
    egress = row(verdict, "west", "egress")
    assert (egress.outcome, "links of its ways take" in (egress.reason or "")) == (
        outcome,
        outcome == "fail",
    )
    said = [one for one in excluded_by_plan(lossy, profile(), the_plan) if "egress" in one]
    assert bool(said) == (outcome == "fail")
    assert all(one.startswith("west: egress: links of its ways take 15.") for one in said)


def test_an_egress_that_is_placed_with_room_may_lose_it() -> None:
    """Of 3 Gb/s a tenth is lost on average, and 2.7 Gb/s arrive."""
    link = {"between": ["a", "b"], "rate": "10Gbps", "delay": "1ms", "loss": "10%"}
    onward = {"between": ["b", "c"], "rate": "10Gbps", "delay": "5us"}
    nodes = [{"name": "a", "site": "west"}, {"name": "b"}, {"name": "c", "site": "east"}]
    lossy = Topology.model_validate({"title": "t", "nodes": nodes, "links": [link, onward]})
    data = plan_data()
    for rate, expected in (("2Gbps", "pass"), ("2700Mbps", "pass"), ("2715Mbps", "fail")):
        egress = (Egress.model_validate({"site": "west", "rate": rate}),)
        wanted = profile().replace(egress=egress)
        data["egress"][0]["required_bps"] = egress[0].rate_bps
        the_plan = Plan.model_validate(data)
        verdict = judge(lossy, wanted, the_plan, prove(lossy, wanted, the_plan), [])
        assert row(verdict, "west", "egress").outcome == expected
        said = [one for one in excluded_by_plan(lossy, wanted, the_plan) if "egress" in one]
        assert bool(said) == (expected == "fail")


def test_a_run_that_ends_before_it_is_steady_says_nothing_of_egress() -> None:
    short = observation(egress_bytes=0).replace(duration_ps=10**9)
    assert figures(row(judged(short), "west", "egress")) == (3 * 10**9, 3 * 10**9, None, "pass")


def test_a_plan_that_says_nothing_or_nonsense() -> None:
    plan = plan_data() | {"streams": [], "demands": [], "egress": []}
    verdict = judged(observation(), plan=plan)
    assert verdict.outcome == "fail"
    assert row(verdict, "control", "admitted").reason == (
        "slow: not in the plan; fast: not in the plan"
    )
    assert row(verdict, "west", "egress").reason == "not in the plan"
    plan = plan_data()
    plan["egress"][0].update(placed_bps=10**4000, bound_bps=10**4000)
    plan["demands"][0]["placed_bps"] = -(10**4000)
    assert judged(observation(), plan=plan).outcome == "fail"


def test_findings_are_counted_when_there_are_many() -> None:
    plan = Plan.model_validate(plan_data())
    good = prove(TOPOLOGY, profile(), plan)
    many = [Finding(rule="rate", subject="x", message=str(i)) for i in range(FINDINGS_LISTED + 7)]
    proof = Proof(streams=good.streams, ports=good.ports, findings=tuple(many))
    verdict = judge(TOPOLOGY, profile(), plan, proof, [])
    assert len(verdict.findings) == FINDINGS_LISTED + 1
    assert verdict.findings[-1] == "and 7 more findings"
