"""The verbs about 802.1Qbv gates and other programs' files: gates, import, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qnet.cli.door import NOT_KNOWN, main
from qnet.cli.options import Command, output_option, scenario_arguments
from qnet.cli.output import say, say_json_text
from qnet.cli.outputs import check_outputs, files_of, in_folder
from qnet.cli.stages import check_out, load_scenario, progress_bar
from qnet.errors import Infeasible, InputError, Problem
from qnet.units import WHOLE_HIGHEST

if TYPE_CHECKING:
    from qnet.files.scenario import Scenario
    from qnet.formats.bridges import GateTable
    from qnet.model.gates import GatePlan, GateProblem
    from qnet.model.plan import Plan


@main.command()
@click.argument("problem_file", metavar="PROBLEM")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON instead of lines.")
@click.option("--seed", type=click.IntRange(0, WHOLE_HIGHEST), default=1, help="Another seed.")
@click.option("--routes", type=click.IntRange(1, 16), default=4, help="Routes tried per stream.")
@output_option("Write the plan there.")
@click.option("--plan", "plan_file", metavar="FILE", help="Judge this plan instead of making one.")
def gates(
    problem_file: str,
    as_json: bool,
    seed: int,
    routes: int,
    output: Path | None,
    plan_file: str | None,
) -> None:
    """Schedule 802.1Qbv gates for a problem and judge the result.

    Exit 1 if the plan breaks a rule or no plan can hold all streams, 4 if neither a plan for all
    was found nor that there is none.

    PROBLEM is a file from 'qnet import tsnkit'. A plan that another program made comes from
    'qnet import tsnkit-schedule'.
    """
    from qnet.check.gates import check_gates
    from qnet.files.read import read_gate_plan, read_gate_problem
    from qnet.files.write import to_json, write_text
    from qnet.report.gates import gate_plan_lines, gate_plan_outcome

    problem = read_gate_problem(problem_file)
    check_outputs([problem_file, plan_file], ("--output", output))
    if plan_file is not None:
        made = read_gate_plan(plan_file)
    else:
        from qnet.schedule.qbv.solve import schedule_gates

        with progress_bar("gates"):
            made = schedule_gates(problem, seed=seed, routes=routes)
    proof = check_gates(problem, made)
    outcome = gate_plan_outcome(made, proof, given=plan_file is not None)
    if output is not None:
        write_text(output, to_json(made))
    if as_json:
        say_json_text(to_json(made))
    else:
        say("\n".join(gate_plan_lines(problem, made, proof, outcome)))
    if outcome != "pass":
        sys.exit(1 if outcome == "fail" else NOT_KNOWN)


@main.group("import")
def import_() -> None:
    """Turn files of other programs into qnet's."""


@import_.command("tsnkit")
@click.argument("task", metavar="TASK.csv")
@click.argument("network", metavar="TOPO.csv")
@output_option("Write the problem there instead of to standard output.")
def import_tsnkit(task: str, network: str, output: Path | None) -> None:
    """Read an 802.1Qbv problem in tsnkit's CSV format; 'qnet gates' schedules it."""
    from qnet.files.read import read_text
    from qnet.files.write import to_json, write_text
    from qnet.formats.tsnkit import read_problem

    check_outputs([task, network], ("--output", output))
    problem = read_problem(
        read_text(task), read_text(network), task_name=task, network_name=network
    )
    if output is None:
        say_json_text(to_json(problem))
    else:
        write_text(output, to_json(problem))


@import_.command("tsnkit-schedule")
@click.argument("problem_file", metavar="PROBLEM")
@click.argument("prefix", metavar="PREFIX")
@output_option("Write the plan there instead of to standard output.")
def import_tsnkit_schedule(problem_file: str, prefix: str, output: Path | None) -> None:
    """Read PREFIX-GCL.csv, -OFFSET.csv, -ROUTE.csv and -QUEUE.csv; 'qnet gates --plan' judges them.

    PROBLEM is what 'qnet import tsnkit' made of the problem that they are for.
    """
    from qnet.files.read import read_gate_problem, read_text
    from qnet.files.write import to_json, write_text
    from qnet.formats.tsnkit_schedule import COLUMNS, read_schedule

    problem = read_gate_problem(problem_file)
    names = {kind: f"{prefix}-{kind}" for kind in COLUMNS}
    check_outputs([problem_file, *names.values()], ("--output", output))
    faults: list[Problem] = []
    texts = {}
    for kind, name in names.items():
        try:
            texts[kind] = read_text(name)
        except InputError as error:
            faults += error.problems
    if faults:
        raise InputError(faults)
    text = to_json(read_schedule(problem, texts, names))
    if output is None:
        say_json_text(text)
    else:
        write_text(output, text)


@main.group("export")
def export() -> None:
    """Turn a plan into files of other programs; one that breaks a rule is refused.

    WHAT is a PROFILE and PLAN one of 'qnet plan', or a problem of 'qnet import' and PLAN one of
    'qnet gates'.
    """


def _gate_files(command: Command) -> Command:
    for option in (
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            required=True,
            metavar="DIR",
            help="Leave the files there.",
        ),
        click.argument("plan_file", metavar="PLAN"),
    ):
        command = option(command)
    return command


_problem = click.argument("problem_file", metavar="PROBLEM")
_what = scenario_arguments("what", metavar="WHAT")
_profile = scenario_arguments("profile")
_base_time = click.option(
    "--base-time",
    type=click.IntRange(0, WHOLE_HIGHEST),
    default=0,
    metavar="NS",
    help="PTP time, in nanoseconds, when time 0 of the plan comes.",
)


@export.command("tsnkit")
@_problem
@_gate_files
@click.option("--name", default="qnet", help="What the names of the files begin with.")
def export_tsnkit(problem_file: str, plan_file: str, out: Path, name: str) -> None:
    """Write the problem (task, topo) and GCL, OFFSET, ROUTE, QUEUE, DELAY as tsnkit reads them."""
    from qnet.formats.tsnkit import write_problem, write_schedule

    problem, made = _judged(problem_file, plan_file)
    try:
        texts = {**write_problem(problem), **write_schedule(problem, made)}
    except Infeasible as error:
        raise InputError([Problem(plan_file, 0, 0, "", str(error))]) from None
    files = {f"{name}-{file}": text for file, text in texts.items()}
    _write_all(out, files, [problem_file, plan_file])


@export.command("yang")
@_what
@_gate_files
@_base_time
def export_yang(
    what: str,
    plan_file: str,
    out: Path,
    base_time: int,
    topology: str | None,
    settings: dict[str, str],
) -> None:
    """Write gate parameter tables (ieee802-dot1q-sched-bridge, JSON), one file a node."""
    from qnet.formats.bridges import gate_parameter_tables

    tables, inputs = _tables(what, plan_file, topology, settings)
    texts = gate_parameter_tables(tables, base_time, name=plan_file)
    _write_all(out, {f"{node}.json": text for node, text in texts.items()}, inputs)


@export.command("taprio")
@_what
@_gate_files
@_base_time
def export_taprio(
    what: str,
    plan_file: str,
    out: Path,
    base_time: int,
    topology: str | None,
    settings: dict[str, str],
) -> None:
    """Write 'tc qdisc replace ... taprio' lines, one file a node."""
    from qnet.formats.bridges import taprio_lines

    tables, inputs = _tables(what, plan_file, topology, settings)
    texts = taprio_lines(tables, base_time, name=plan_file)
    _write_all(out, {f"{node}.sh": text for node, text in texts.items()}, inputs)


@export.command("srv6")
@_profile
@_gate_files
def export_srv6(
    profile: str, plan_file: str, out: Path, topology: str | None, settings: dict[str, str]
) -> None:
    """Write the SRv6 segment lists of streams whose class has 'mechanism: csqf'."""
    from qnet.formats.segments import segment_lists

    scenario, made = _proven(profile, plan_file, topology, settings)
    text = segment_lists(scenario.topology, scenario.profile, made, "srv6")
    _write_all(out, {"srv6.json": text}, [*files_of(scenario), plan_file])


@export.command("mpls")
@_profile
@_gate_files
def export_mpls(
    profile: str, plan_file: str, out: Path, topology: str | None, settings: dict[str, str]
) -> None:
    """Write the MPLS label stacks of streams whose class has 'mechanism: csqf'."""
    from qnet.formats.segments import segment_lists

    scenario, made = _proven(profile, plan_file, topology, settings)
    text = segment_lists(scenario.topology, scenario.profile, made, "mpls")
    _write_all(out, {"mpls.json": text}, [*files_of(scenario), plan_file])


def _tables(
    what: str, plan_file: str, topology: str | None, settings: dict[str, str]
) -> tuple[list[GateTable], list[str]]:
    """Return the gate tables of a problem's plan, or of a profile's, and the files read."""
    from qnet.formats.bridges import tables_of_plan, tables_of_problem

    if what.endswith(".json"):
        asked = ["--topology"] * (topology is not None) + ["--set"] * bool(settings)
        if asked:
            message = f"{what} is a problem; this goes with a profile"
            raise InputError(Problem(option, 0, 0, "", message) for option in asked)
        return tables_of_problem(*_judged(what, plan_file)), [what, plan_file]
    scenario, made = _proven(what, plan_file, topology, settings)
    if not made.gates:
        message = "has no gates; they come from a class with 'mechanism: qbv', or from 'gates'"
        raise InputError([Problem(plan_file, 0, 0, "", message)])
    tables = tables_of_plan(scenario.topology, scenario.profile, made)
    return tables, [*files_of(scenario), plan_file]


def _proven(
    profile: str, plan_file: str, topology: str | None, settings: dict[str, str]
) -> tuple[Scenario, Plan]:
    """Read a profile and its plan; raises InputError with every rule that the plan breaks."""
    from qnet.check.plan import prove
    from qnet.files.read import read_plan

    scenario, made = load_scenario(profile, topology, settings), read_plan(plan_file)
    findings = prove(scenario.topology, scenario.profile, made).findings
    if findings:
        raise InputError(Problem(plan_file, 0, 0, one.subject, one.message) for one in findings)
    return scenario, made


def _judged(problem_file: str, plan_file: str) -> tuple[GateProblem, GatePlan]:
    """Read a problem and its plan; raises InputError with every rule that the plan breaks."""
    from qnet.check.gates import check_gates
    from qnet.files.read import read_gate_plan, read_gate_problem

    problem, made = read_gate_problem(problem_file), read_gate_plan(plan_file)
    findings = check_gates(problem, made).findings
    if findings:
        raise InputError(Problem(plan_file, 0, 0, one.subject, one.message) for one in findings)
    return problem, made


def _write_all(folder: Path, texts: dict[str, str], inputs: list[str]) -> None:
    """Write all files, or none when a node's name is not one of a file."""
    from qnet.files.folder import whole_folder
    from qnet.files.write import write_text

    unfit = [name for name in texts if Path(name).name != name]
    if unfit:
        what = "the name of a node is not one of a file"
        raise InputError(Problem(name, 0, 0, "", what) for name in unfit)
    check_outputs(inputs, *in_folder("--out", folder, texts))
    check_out(folder)
    with whole_folder(folder, tuple(texts)) as new:
        for name, text in texts.items():
            write_text(new / name, text)
    say(f"{len(texts)} files in {folder}")
