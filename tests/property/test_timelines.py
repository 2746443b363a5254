"""Seen by simulator and twin alike, and never beyond what is proven, while things break and move.

A few of what `python -m tests.timelines 1000` judges; and each check can fail.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qnet.check.plan import prove
from qnet.model.plan import Move, Plan
from qnet.model.proof import Proof
from qnet.model.timeline import Event
from tests.builders import plan_for
from tests.random_sets import KINDS, random_set
from tests.slow_case import Case, slow_run
from tests.timelines import drawn_case, judge, judge_case


@pytest.mark.parametrize("mechanism", KINDS)
def test_drawn_timelines_keep_within_what_is_proven(mechanism: str) -> None:
    outcomes = [judge(mechanism, number) for number in range(4)]
    assert [fault for one in outcomes for fault in one.broken] == []
    assert sum(one.moves + one.epochs for one in outcomes) > 8


def _first(mechanism: str, has: Callable[[Case, Proof], object]) -> tuple[Case, Proof]:
    """Return the first drawn case that has something, and clocks that can be relied on."""
    for number in range(60):
        case = drawn_case(mechanism, number)
        proof = prove(*case)
        if not any(one.rule == "clock" for one in proof.findings) and has(case, proof):
            return case, proof
    raise AssertionError


def _moved(case: Case, _: Proof) -> Move | None:
    """Return the first move of a stream to something else than it had."""
    own = {one.name: one for one in case[2].streams}
    return next(
        (
            one
            for one in case[2].moves
            if one.stream is not None and one.stream != own[one.stream.name]
        ),
        None,
    )


def test_a_bound_that_is_too_small_is_seen() -> None:
    case, proof = _first("tcqf", lambda case, _: case[2].moves)
    slow = slow_run(*case)
    assert not judge_case(case, proof, slow).broken
    small = tuple(
        one.replace(latency_ps_max=(one.latency_ps_min or 0) + 1) for one in proof.streams
    )
    epochs = tuple(one.replace(moved=()) for one in proof.epochs)
    assert judge_case(case, proof.replace(streams=small, epochs=epochs), slow).broken


def test_a_loss_that_is_counted_wrong_is_seen() -> None:
    case, proof = _first("tcqf", lambda _, proof: proof.event_losses)
    slow = slow_run(*case)
    for field in ("frames_least", "sent_least"):
        wrong = tuple(
            one.replace(**{field: getattr(one, field) + 10**6}) for one in proof.event_losses
        )
        assert judge_case(case, proof.replace(event_losses=wrong), slow).broken


# What drawn timelines have found


def test_a_frame_leaves_in_the_place_of_a_lost_one_of_its_interval() -> None:
    """Of two frames of an interval the first was lost; the second had come 73 ns before its own
    place at the gate, and left at once.
    """
    topology, profile = random_set("qbv to several", 1006)
    flap = {"change": "flap", "target": "n1--n2", "at": "7367860324ps", "for": "654041303ps",
            "every": "561652133ps", "duty": "49%"}  # fmt: skip
    events = (Event.model_validate(flap),)
    case = topology, profile.replace(events=events), plan_for(topology, profile)
    proof = prove(*case)
    assert not judge_case(case, proof, slow_run(*case)).broken
    whole = prove(*case[:1], profile, case[2])
    assert judge_case(case, whole.replace(epochs=proof.epochs), slow_run(*case)).broken


# What is wrong with moves


@pytest.fixture(scope="module")
def moved() -> tuple[Case, Move]:
    case, proof = _first("tcqf", _moved)
    move = _moved(case, proof)
    assert move is not None
    return case, move


def _findings(case: Case, *moves: Move) -> list[str]:
    topology, profile, plan = case
    changed: Plan = plan.replace(moves=moves)
    proof = prove(topology, profile.replace(events=()), changed)
    every = [*proof.findings, *(one for epoch in proof.epochs for one in epoch.findings)]
    return [f"{one.rule}: {one.message}" for one in every]


def test_moves_that_cannot_be_are_findings(moved: tuple[Case, Move]) -> None:
    case, move = moved
    assert move.stream is not None
    assert _findings(case, move) == []
    back = move.replace(at_ps=move.at_ps - 1)
    nobody = move.replace(stream=move.stream.replace(name="nobody"))
    soon = move.replace(installed_ps=move.at_ps + 1)
    for wrong, words in (
        ((move, back), "in order of time"),
        ((nobody,), "no entry of it before"),
        ((soon,), "before that is installed"),
    ):
        assert any(one.startswith("move: ") and words in one for one in _findings(case, *wrong))


def test_a_move_to_a_way_that_is_none_or_cycles_that_do_not_fit_is_a_finding(
    moved: tuple[Case, Move],
) -> None:
    case, move = moved
    assert move.stream is not None
    (path,) = move.stream.paths

    def put(**changes: object) -> Move:
        entry = move.stream and move.stream.replace(paths=(path.replace(**changes),))
        return move.replace(stream=entry)

    assert any(one.startswith("route: ") for one in _findings(case, put(ports=(), cycles=())))
    late = tuple(cycle - 1 for cycle in path.cycles)
    assert any(one.startswith("ingress: ") for one in _findings(case, put(cycles=late)))


def test_old_and_new_reservations_hold_at_once_until_the_last_old_frame_is_through(
    moved: tuple[Case, Move],
) -> None:
    """What takes the room that another has just left comes too soon; later it does not."""
    case, _ = moved
    topology, profile, plan = case
    stream = next(one for one in profile.every_stream if profile.takes_cycles(one))
    own = next(one for one in plan.streams if one.name == stream.name)
    # So many frames that its cycle is full: two of it have no room there.
    size = stream.frame_bytes + 20
    ports = [topology.port_by_name[name] for path in own.paths for name in path.ports]
    room = min(one.reservable_bps for one in ports) * plan.cycle_ps // (8 * 10**12)
    fuller = stream.replace(max_packets=room * 2 // 3 // size)
    second = fuller.replace(name="other")
    alone = profile.replace(streams=(fuller, second), demands=(), events=())
    end_ps = profile.simulation.duration_ps
    gone = own.replace(status="refused", reason="not yet", paths=(), send_ps=None)
    both: Plan = plan.replace(
        streams=(own, gone.replace(name="other")), demands=(), egress=(), reserved=None
    )

    def full(gap_ps: int) -> bool:
        moves = (
            Move(at_ps=end_ps // 4, stream=gone),
            Move(at_ps=end_ps // 4 + gap_ps, stream=own.replace(name="other")),
        )
        proof = prove(topology, alone, both.replace(moves=moves))
        return any(one.rule == "capacity" for each in proof.epochs for one in each.findings)

    assert full(0)
    high_ps = next(
        one.latency_ps_max for one in prove(topology, alone, both).streams if one.latency_ps_max
    )
    assert full(high_ps)
    assert not full(high_ps + 1)
