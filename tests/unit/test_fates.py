"""Frames over two paths: rings that are too short, numbers that wrap, checkpoints, threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnet.errors import Interrupted
from qnet.model.observation import Observation, Traffic
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import fates, run
from qnet.simulate.checkpoint import Checkpoint
from qnet.simulate.run import simulate
from qnet.simulate.windows import shares
from tests.builders import plan_for

Case = tuple[Topology, Profile, Plan]


def case(duration: str, delay: str = "500ns", *, recovery: bool = False) -> Case:
    """Two streams of three frames each 20 us, over two ways that lose 30 % each."""
    links = [
        {"between": (a, b), "rate": "1Gbps", "delay": delay if b == "listener" else "500ns",
         "loss": "30%" if b == "listener" else "0%"}
        for way in ("north", "south")
        for a, b in (("talker", way), (way, "listener"))
    ]  # fmt: skip
    nodes = [{"name": name} for name in ("talker", "north", "south", "listener")]
    topology = Topology.model_validate(
        {"title": "t", "tcqf": {"cycle": "20us"}, "nodes": nodes, "links": links}
    )
    streams = [
        {"name": name, "from": "talker", "to": "listener", "class": "reserved", "paths": 2,
         "interval": "20us", "max-pkts-per-interval": 3, "max-payload-size": "100B"}
        | ({"recovery": {"history": 64}} if recovery else {})
        for name in ("one", "two")
    ]  # fmt: skip
    profile = Profile.model_validate(
        {"title": "p", "topology": "t", "streams": streams, "simulation": {"duration": duration}}
    )
    return topology, profile, plan_for(topology, profile)


def books(seen: Observation) -> list[tuple[int, int, int]]:
    return [(one.sent, one.received, one.lost) for one in seen.streams]


def share_lost(one: Traffic) -> float:
    return one.lost / one.sent


@pytest.mark.parametrize("recovery", [False, True])
def test_a_frame_is_lost_when_both_copies_are(recovery: bool) -> None:
    seen = simulate(*case("40ms", recovery=recovery), threads=1)
    for one in seen.streams:
        assert one.sent == 6000
        assert 0.08 < share_lost(one) < 0.10
        assert one.copies_lost > 0.55 * one.sent


def test_recovery_does_not_change_which_frames_are_lost() -> None:
    first, second = (
        books(simulate(*case("20ms", recovery=recovery), threads=1)) for recovery in (False, True)
    )
    assert first == second


def test_short_rings_many_steps_and_threads_give_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = case("10ms")
    whole = simulate(*drawn, threads=1).model_dump_json()
    monkeypatch.setattr(fates, "LEAST_ROOM", 2)
    monkeypatch.setattr(fates, "MOST_ROOM", 2)
    monkeypatch.setattr(run, "HOPS_PER_STEP", 500)
    monkeypatch.setattr(shares, "HOPS_PER_TASK", 1)
    for threads in (1, 2, 3):
        assert simulate(*drawn, threads=threads).model_dump_json() == whole


def test_a_run_that_is_broken_off_goes_on_with_the_same_books(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn = case("10ms")
    whole = simulate(*drawn, threads=1).model_dump_json()
    monkeypatch.setattr(fates, "MOST_ROOM", 64)
    monkeypatch.setattr(run, "HOPS_PER_STEP", 2000)
    kept = tmp_path / "kept"
    for _ in range(4):
        asked = iter([False, True])
        with pytest.raises(Interrupted):
            simulate(
                *drawn,
                threads=1,
                checkpoint=Checkpoint(kept, 10**12, resume=True, asked=lambda: next(asked)),  # noqa: B023
            )
    last = simulate(*drawn, threads=1, checkpoint=Checkpoint(kept, 10**12, resume=True))
    assert last.model_dump_json() == whole


def test_more_copies_under_way_than_numbers_of_16_bits() -> None:
    """Losses are drawn when frames leave: the same ones, however long the link behind is."""
    near = simulate(*case("500ms"), threads=1)
    far = simulate(*case("500ms", "2s"), threads=1)
    for one, other in zip(near.streams, far.streams, strict=True):
        assert one.sent == other.sent == 75_000
        assert other.received == 0
        assert one.lost == other.lost
        assert other.in_flight == other.sent - other.lost
