"""Small problems searched to the end, against an exact solver of another make."""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from qnet.check.gates import check_gates
from qnet.cli import main
from qnet.files.write import to_json
from qnet.graph.by_hops import Router
from qnet.model.gates import GatePlan, GateProblem, GateStreamPlan
from qnet.schedule.qbv import exact, solve
from qnet.schedule.qbv.bounds import bound
from qnet.schedule.qbv.lists import gate_lists
from tests.bench.tiny_gates import answer, exists, tiny_set

US = 10**6


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_tiny_sets_are_planned_or_proven_impossible(first: int) -> None:
    said = [answer(tiny_set(number)) for number in range(first, first + 20)]
    assert set(said) <= {"planned", "impossible"}


def _judged(problem: GateProblem, placed: tuple[exact.Placed, ...]) -> bool:
    made = tuple(
        GateStreamPlan(
            name=stream.name,
            status="scheduled",
            ports=tuple(problem.ports[port].name for port in one.route),
            queues=one.queues,
            starts_ps=one.starts_ps,
        )
        for stream, one in zip(problem.streams, placed, strict=True)
    )
    cycle = problem.common_cycle_ps()
    lists = gate_lists(problem, made, cycle)
    plan = GatePlan(qnet_version="", seed=0, cycle_ps=cycle, streams=made, gates=lists)
    return not check_gates(problem, plan).findings


def test_the_search_alone_decides_as_the_solver_does() -> None:
    """Without the quick attempts before it; sets that a bound excludes are left out."""
    found: Counter[str] = Counter()
    for number in range(100, 160):
        problem = tiny_set(number)
        bounds = bound(problem, Router(problem.ports, 4))
        if bounds.proof is not None:
            continue
        said = exact.search(problem, problem.common_cycle_ps(), bounds.choices)
        if said.placed is not None:
            assert not said.impossible
            assert _judged(problem, said.placed)
            found["planned"] += 1
        elif said.impossible:
            assert not exists(problem)
            found["impossible"] += 1
        else:
            found["open"] += 1
    assert found["planned"] > 20
    assert found["impossible"] > 0
    # Set 110 is beyond the work allowed; quick attempts place it.
    assert found["open"] <= 1


def test_nothing_is_proven_where_routes_were_left_out() -> None:
    """With one route of two looked at, that no order of its frames fits proves nothing."""
    numbers = (number for number in range(400) if len(tiny_set(number).ports) == 8)
    looked_at = 0
    for number in numbers:
        problem = tiny_set(number)
        bounds = bound(problem, Router(problem.ports, 1))
        if bounds.proof is None and not all(one.complete for one in bounds.choices):
            said = exact.search(problem, problem.common_cycle_ps(), bounds.choices)
            assert not said.impossible
            looked_at += 1
        if looked_at == 10:
            break
    assert looked_at == 10


def test_work_that_is_used_up_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = next(
        problem
        for problem in map(tiny_set, range(1000))
        if solve.schedule_gates(problem).proof == solve.SEARCHED
    )
    problem, plan_file = tmp_path / "problem.json", tmp_path / "plan.json"
    problem.write_text(to_json(impossible))
    proven = CliRunner().invoke(main, ["gates", str(problem), "-o", str(plan_file)])
    assert (proven.exit_code, proven.output[:5]) == (1, "FAIL:")
    monkeypatch.setattr(exact, "WORK_MAX", 1)
    monkeypatch.setattr(exact, "SECOND_WORK_MAX", 1)
    plan = solve.schedule_gates(impossible, restarts=3)
    assert plan.proof is None
    assert not plan.complete
    assert all(made.reason for made in plan.streams if made.status == "refused")
    # That is no failure of the network; a plan of somebody's that leaves streams out is one.
    opened = CliRunner().invoke(main, ["gates", str(problem), "-o", str(plan_file)])
    assert (opened.exit_code, opened.output[:10]) == (4, "NOT KNOWN:")
    given = CliRunner().invoke(main, ["gates", str(problem), "--plan", str(plan_file)])
    assert (given.exit_code, given.output[:5]) == (1, "FAIL:")
