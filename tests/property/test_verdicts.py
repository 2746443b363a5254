"""Every answer over drawn traffic is held against a judge that goes through promises one by one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream
from qnet.model.verdict import Verdict
from qnet.simulate.run import simulate
from tests.builders import plan_for

WIRE_BPS = 10**8

NETWORK = Topology.model_validate(
    {
        "title": "n",
        "nodes": [{"name": name} for name in "abcd"],
        "links": [
            {"between": ends, "rate": "100Mbps", "delay": "2us"}
            for ends in (("a", "c"), ("b", "c"), ("c", "d"))
        ],
    }
)

CLASSES = [
    {"name": "reserved", "priority": 6, "mechanism": "tcqf"},
    {"name": "high", "priority": 5, "mechanism": "strict-priority"},
    {"name": "paced", "priority": 4, "mechanism": "strict-priority", "idle-slope": "30%"},
    {"name": "low", "priority": 1, "mechanism": "strict-priority"},
]

PROMISES = ("20us", "40us", "200us", "400us", "1ms", "5ms")


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Draw some streams to one node, quick and slow, with promises near what there can be."""
    names = [one["name"] for one in CLASSES]
    streams: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 6))):
        one: dict[str, Any] = {
            "name": f"s{number}",
            "group": draw(st.sampled_from(("g", "h"))),
            "from": draw(st.sampled_from("ab")),
            "to": "d",
            "class": draw(st.sampled_from(names)),
            "interval": draw(st.sampled_from(("200us", "1ms", "10ms", "1s"))),
            "max-pkts-per-interval": draw(st.integers(1, 3)),
            "max-payload-size": draw(st.sampled_from(("46B", "400B", "1500B"))),
        }
        for key, values in (
            ("max-latency", PROMISES),
            ("max-latency-variation", PROMISES),
            ("max-loss", ("0%", "1%")),
        ):
            value = draw(st.none() | st.sampled_from(values))
            one |= {} if value is None else {key: value}
        streams.append(one)
    demands = []
    if draw(st.booleans()):
        rate = draw(st.sampled_from(("1Mbps", "30Mbps")))
        demands.append({"name": "d", "from": "a", "to": "d", "class": "low", "rate": rate})
    return Profile.model_validate(
        {
            "title": "p",
            "topology": "n",
            "classes": CLASSES,
            "streams": streams,
            "demands": demands,
            "simulation": {"duration": draw(st.sampled_from(("100us", "2ms", "8ms")))},
        }
    )


class Figures(NamedTuple):
    """One promise of one stream, and what speaks for or against it."""

    promised: int | None
    proven: int | None
    seen: int | None
    least: int
    is_steady: bool
    is_reserved: bool


def figures(
    profile: Profile, stream: Stream, kind: str, proof: Proof, run: Observation | None
) -> Figures:
    bounds = next(one for one in proof.streams if one.name == stream.name)
    account = next((one for one in run.streams if one.name == stream.name), None) if run else None
    reserved = profile.is_reserved(stream)
    frame_ps = (stream.frame_bytes + 8) * 80_000
    hold_ps = (stream.frame_bytes + 20) * 80_000 * (stream.max_packets - 1)
    steady = account is not None and account.steady_bytes > 0
    if kind == "latency":
        seen = None if account is None else account.latency_ps_max
        least = 0 if reserved else 2 * (frame_ps + 2_000_000) + hold_ps
        most = stream.max_latency_ps
        return Figures(most, bounds.latency_ps_max, seen, least, steady, reserved)
    if kind == "variation":
        seen = None if account is None else account.variation_ps
        steady &= account is not None and account.copies > 1
        most, least = stream.max_latency_variation_ps, 0 if reserved else hold_ps
        return Figures(most, bounds.variation_ps, seen, least, steady, reserved)
    most = 0 if reserved and stream.max_loss_ppb is None else stream.max_loss_ppb
    proven = 0 if reserved and bounds.latency_ps_max is not None else None
    lost = None
    if account is not None and account.sent:
        lost = -(-account.lost * 10**9 // account.sent)
    return Figures(most, proven, lost, 0, steady, False)


def state(one: Figures) -> str:
    """Say what is known of a promise: the rule as the documents have it, put plainly."""
    if one.promised is None:
        return "nothing promised"
    if max(one.seen or 0, one.least) > one.promised:
        return "broken"
    if one.proven is not None and one.proven <= one.promised:
        return "kept"
    if one.is_reserved:
        return "broken"
    return "kept" if one.is_steady and one.proven is None else "not known"


def overloaded(profile: Profile, plan: Plan) -> bool:
    """Say whether the last wire, or a slope on the way, is offered more than it has."""
    ways = {one.name: [set(path.ports) for path in one.paths] for one in plan.streams}
    for port in ("a->c", "b->c", "c->d"):
        bps = {one.name: Fraction(0) for one in profile.classes}
        for one in profile.every_stream:
            if any(port in way for way in ways[one.name]):
                bits = (one.frame_bytes + 20) * 8 * one.max_packets
                bps[one.traffic_class] += Fraction(bits * 10**12, one.interval_ps)
        for demand in plan.demands:
            bps["low"] += sum(part.rate_bps for part in demand.parts if port in part.ports)
        if sum(bps.values()) > WIRE_BPS or bps["paced"] * 10 > 3 * WIRE_BPS:
            return True
    return False


def outcomes(verdict: Verdict) -> set[tuple[str, str, str, int, int]]:
    return {(one.subject, one.kind, one.outcome, one.broken, one.not_known) for one in verdict.rows}


@settings(max_examples=80, deadline=None)
@given(profiles())
def test_answers_are_what_is_known(profile: Profile) -> None:
    plan = plan_for(NETWORK, profile)
    proof = prove(NETWORK, profile, plan)
    crowded = overloaded(profile, plan)
    assert any(one.rule == "overload" for one in proof.findings) == crowded
    seen = simulate(NETWORK, profile, plan, threads=1)
    for witness in (None, seen):
        verdict = judge(NETWORK, profile, plan, proof, [witness] if witness else [])
        found = [row.outcome for row in verdict.rows]
        failed = bool(verdict.findings) or "fail" in found
        assert (verdict.outcome == "fail") == failed
        assert (verdict.outcome == "pass") == (not failed and "unknown" not in found)
        if not crowded:
            _compare(profile, plan, proof, witness, verdict)
        turned = Profile.model_construct(
            **{name: getattr(profile, name) for name in Profile.model_fields}
            | {"streams": profile.streams[::-1]}
        )
        again = judge(NETWORK, turned, plan, proof, [witness] if witness else [])
        assert outcomes(again) == outcomes(verdict)
        assert again.outcome == verdict.outcome


def _compare(
    profile: Profile, plan: Plan, proof: Proof, seen: Observation | None, verdict: Verdict
) -> None:
    admitted = {one.name for one in plan.streams if one.status != "refused"}
    for kind in ("latency", "variation", "loss"):
        for reserved in (True, False):
            for group in ("g", "h"):
                members = [
                    one
                    for one in profile.every_stream
                    if one.group == group
                    and one.name in admitted
                    and profile.is_reserved(one) == reserved
                ]
                states = [state(figures(profile, one, kind, proof, seen)) for one in members]
                rows = [
                    row
                    for row in verdict.rows
                    if (row.subject, row.kind) == (group, kind)
                    and row.worst in {one.name for one in members}
                ]
                assert len(rows) == bool(members)
                for row in rows:
                    counted = row.broken, row.not_known
                    assert counted == (states.count("broken"), states.count("not known"))
                    worst = "fail" if row.broken else "unknown" if row.not_known else "pass"
                    assert row.outcome == worst
                    assert (row.basis is not None) == (worst == "pass" and "kept" in states)


@settings(max_examples=25, deadline=None)
@given(profiles(), st.lists(st.sampled_from((10**8, 10**9, 5 * 10**9)), min_size=2, max_size=2))
def test_too_much_is_too_much_however_long_one_watches(
    profile: Profile, durations_ps: list[int]
) -> None:
    """Findings of overload, and rows that they break, are the same after 100 us and after 5 ms."""
    told = []
    for duration_ps in durations_ps:
        simulation = profile.simulation.replace(duration_ps=duration_ps)
        watched = profile.replace(simulation=simulation)
        plan = plan_for(NETWORK, watched)
        proof = prove(NETWORK, watched, plan)
        seen = simulate(NETWORK, watched, plan, threads=1)
        verdict = judge(NETWORK, watched, plan, proof, [seen])
        told.append([one for one in verdict.findings if one.startswith("overload")])
        assert not told[-1] or verdict.outcome == "fail"
    assert told[0] == told[1]
