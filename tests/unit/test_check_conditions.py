"""What proofs take for granted of recovery, of nodes that cut through, and of lossy links."""

from __future__ import annotations

from typing import Any

import pytest

from qnet.check.conditions import check_recovery, may_lose
from qnet.check.findings import Findings
from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.model.plan import Plan
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream
from qnet.simulate.run import simulate
from tests.builders import plan_for

US = 10**6


def _ring(*, node: dict[str, Any] | None = None, link: dict[str, Any] | None = None) -> Topology:
    """Draw four nodes in a ring; the way by c is 35 us longer."""
    ways = [("a", "b", "5us"), ("b", "d", "5us"), ("a", "c", "5us"), ("c", "d", "40us")]
    return Topology.model_validate(
        {
            "title": "t",
            "tcqf": {"cycle": "10us"},
            "nodes": [{"name": name} | (node or {}) for name in "abcd"],
            "links": [
                {"between": (near, far), "rate": "1Gbps", "delay": delay} | (link or {})
                for near, far, delay in ways
            ],
        }
    )


def _stream(**more: Any) -> dict[str, Any]:
    usual = {"name": "s", "from": "a", "to": "d", "interval": "100us", "max-payload-size": "500B"}
    return usual | more


def _proven(
    topology: Topology, stream: dict[str, Any], mechanism: str = "tcqf"
) -> tuple[Profile, Plan, Proof]:
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [{"name": "reserved", "priority": 6, "mechanism": mechanism}],
            "streams": [stream],
            "simulation": {"duration": "5ms"},
        }
    )
    plan = plan_for(topology, profile)
    assert plan.streams[0].status == "admitted"
    return profile, plan, prove(topology, profile, plan)


def _rules(proof: Proof) -> set[str]:
    return {one.rule for one in proof.findings}


# Recovery


@pytest.mark.parametrize(
    ("apart_us", "packets", "history", "is_enough"),
    [(35, 1, 5, True), (35, 1, 4, False), (9, 1, 2, True), (10, 1, 2, False), (35, 2, 9, True),
     (35, 2, 8, False)],
)  # fmt: skip
def test_a_history_holds_what_one_copy_can_be_ahead(
    apart_us: int, packets: int, history: int, *, is_enough: bool
) -> None:
    """Frames every 10 us: 35 us apart, three more came meanwhile, with the one on each side."""
    stream = Stream.model_validate(
        _stream(
            interval="10us",
            paths=2,
            recovery={"history": history},
            **{"max-pkts-per-interval": packets},
        )
    )
    findings = Findings()
    check_recovery(stream, apart_us * US, findings)
    assert (findings.total == 0) == is_enough


@pytest.mark.parametrize(("reset", "is_enough"), [("45001ns", True), ("45us", False)])
def test_a_reset_is_longer_than_the_longest_pause(reset: str, *, is_enough: bool) -> None:
    stream = Stream.model_validate(_stream(interval="10us", paths=2, recovery={"reset": reset}))
    findings = Findings()
    check_recovery(stream, 35 * US, findings)
    assert (findings.total == 0) == is_enough


def test_the_plan_of_two_paths_is_held_to_what_its_listener_remembers() -> None:
    """Copies come some 35 us apart, a frame every 10 us."""
    few = _stream(paths=2, interval="10us", recovery={"history": 2, "reset": "20us"})
    _, _, proof = _proven(_ring(), few)
    assert _rules(proof) == {"recovery"}
    assert len(proof.findings) == 2
    _, _, proof = _proven(_ring(), _stream(paths=2, interval="10us", recovery={"history": 16}))
    assert _rules(proof) == set()


# Cut-through


def test_gated_streams_are_not_proven_where_a_node_cuts_through() -> None:
    for node, rules in (({}, set()), ({"cut-through": "64B"}, {"queue"})):
        _, _, proof = _proven(_ring(node=node), _stream(), "qbv")
        assert _rules(proof) == rules
        assert (proof.streams[0].latency_ps_max is None) == bool(rules)


def test_streams_with_cycles_are_proven_where_a_node_cuts_through() -> None:
    """A frame waits for its cycle however early it comes."""
    _, _, proof = _proven(_ring(node={"cut-through": "64B"}), _stream())
    assert _rules(proof) == set()
    assert proof.streams[0].latency_ps_max is not None


# Loss


def test_lost_frames_contradict_the_proof_of_a_good_link_only() -> None:
    """The bounds stay; that no frame is lost is claimed where no link of the way loses any."""
    topology = _ring(link={"loss": "20%"})
    profile, plan, proof = _proven(topology, _stream())
    assert _rules(proof) == set()
    assert proof.streams[0].latency_ps_max is not None
    seen = simulate(topology, profile, plan, threads=1)
    assert seen.streams[0].lost > 0
    good = _ring()
    (stream,) = profile.every_stream
    assert may_lose(topology, stream, plan.streams[0])
    assert not may_lose(good, stream, plan.streams[0])
    for network, contradicted in ((topology, False), (good, True)):
        verdict = judge(network, profile, plan, proof, [seen])
        assert any("witnesses disagree" in one for one in verdict.findings) == contradicted


def test_frames_beyond_a_reservation_are_lost_at_its_meter() -> None:
    stream = _stream(police=True, **{"excess-pkts-per-interval": 1})
    profile, plan, proof = _proven(_ring(), stream)
    assert may_lose(_ring(), profile.every_stream[0], plan.streams[0])
    assert proof.streams[0].latency_ps_max is None
