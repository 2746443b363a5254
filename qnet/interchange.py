"""Sets of gated streams, and files of other programs: what `qnet gates`, `import`, `export` do.

A plan goes to others only when it keeps every rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from qnet.errors import Infeasible, InputError, Problem

if TYPE_CHECKING:
    from qnet.formats.bridges import GateTable
    from qnet.model.gates import GatePlan, GateProblem, GateProof
    from qnet.model.plan import Plan
    from qnet.model.scenario import Scenario
    from qnet.model.verdict import Outcome

Texts = Mapping[str, str]
"""File name to contents."""


def plan_gates(problem: GateProblem, *, seed: int = 1, routes: int = 4) -> GatePlan:
    """Schedule 802.1Qbv gates; `routes` are tried for each stream."""
    from qnet.schedule.qbv.solve import schedule_gates

    return schedule_gates(problem, seed=seed, routes=routes)


def judge_gates(problem: GateProblem, plan: GatePlan, *, given: bool) -> tuple[GateProof, Outcome]:
    """Judge a plan; one that was `given`, and leaves streams out, fails."""
    from qnet.check.gates import check_gates
    from qnet.report.gates import gate_plan_outcome

    proof = check_gates(problem, plan)
    return proof, gate_plan_outcome(plan, proof, given=given)


def read_tsnkit(task: str, network: str) -> GateProblem:
    """Read a problem from two CSV files of tsnkit's."""
    from qnet.files.read import read_text
    from qnet.formats.tsnkit import read_problem

    return read_problem(read_text(task), read_text(network), task_name=task, network_name=network)


def tsnkit_schedule_files(prefix: str) -> dict[str, str]:
    """Return the names of the files that a schedule of tsnkit's consists of, by their kinds."""
    from qnet.formats.tsnkit_schedule import COLUMNS

    return {kind: f"{prefix}-{kind}" for kind in COLUMNS}


def read_tsnkit_schedule(problem: GateProblem, prefix: str) -> GatePlan:
    """Read a schedule of tsnkit's; all that is wrong with any of its files is said at once."""
    from qnet.files.read import read_text
    from qnet.formats.tsnkit_schedule import read_schedule

    names = tsnkit_schedule_files(prefix)
    faults: list[Problem] = []
    texts = {}
    for kind, name in names.items():
        try:
            texts[kind] = read_text(name)
        except InputError as error:
            faults += error.problems
    if faults:
        raise InputError(faults)
    return read_schedule(problem, texts, names)


def to_tsnkit(problem_file: str, plan_file: str) -> Texts:
    """Return a problem and its plan as tsnkit's files, by the ends of their names."""
    from qnet.formats.tsnkit import write_problem, write_schedule

    problem, plan = _judged(problem_file, plan_file)
    try:
        return {**write_problem(problem), **write_schedule(problem, plan)}
    except Infeasible as error:
        raise InputError([Problem(plan_file, 0, 0, "", str(error))]) from None


def to_bridges(
    what: Scenario | str, plan_file: str, kind: Literal["yang", "taprio"], base_time_ns: int = 0
) -> Texts:
    """Return the gate lists of a plan as files, one a node; time 0 of the plan is `base_time_ns`.

    `what` the plan is for is a scenario, or the file of a problem.
    """
    from qnet.formats.bridges import gate_parameter_tables, taprio_lines

    write = gate_parameter_tables if kind == "yang" else taprio_lines
    end = "json" if kind == "yang" else "sh"
    texts = write(_tables(what, plan_file), base_time_ns, name=plan_file)
    return {f"{node}.{end}": text for node, text in texts.items()}


def to_segments(scenario: Scenario, plan_file: str, kind: Literal["srv6", "mpls"]) -> Texts:
    """Return the segment lists of streams whose class has 'mechanism: csqf' as a file."""
    from qnet.formats.segments import segment_lists

    plan = _proven(scenario, plan_file)
    return {f"{kind}.json": segment_lists(scenario.topology, scenario.profile, plan, kind)}


def _tables(what: Scenario | str, plan_file: str) -> list[GateTable]:
    from qnet.formats.bridges import tables_of_plan, tables_of_problem

    if isinstance(what, str):
        return tables_of_problem(*_judged(what, plan_file))
    plan = _proven(what, plan_file)
    if not plan.gates:
        message = "has no gates; they come from a class with 'mechanism: qbv', or from 'gates'"
        raise InputError([Problem(plan_file, 0, 0, "", message)])
    return tables_of_plan(what.topology, what.profile, plan)


def _proven(scenario: Scenario, plan_file: str) -> Plan:
    """Read a plan; raises InputError with every rule that it breaks."""
    from qnet.check.plan import prove
    from qnet.files.read import read_plan

    plan = read_plan(plan_file)
    findings = prove(scenario.topology, scenario.profile, plan).findings
    if findings:
        raise InputError(Problem(plan_file, 0, 0, one.subject, one.message) for one in findings)
    return plan


def _judged(problem_file: str, plan_file: str) -> tuple[GateProblem, GatePlan]:
    """Read a problem and its plan; raises InputError with every rule that the plan breaks."""
    from qnet.check.gates import check_gates
    from qnet.files.read import read_gate_plan, read_gate_problem

    problem, plan = read_gate_problem(problem_file), read_gate_plan(plan_file)
    findings = check_gates(problem, plan).findings
    if findings:
        raise InputError(Problem(plan_file, 0, 0, one.subject, one.message) for one in findings)
    return problem, plan
