"""The verbs about 802.1Qbv gates and other programs' files: gates, import, export."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click

from qnet.cli.command import NOT_KNOWN, main
from qnet.cli.networks import Exports, Imports, say_list
from qnet.cli.options import Command, output_option, scenario_arguments
from qnet.cli.output import say, say_json_text
from qnet.cli.outputs import check_outputs, files_of, in_folder
from qnet.cli.stages import check_out, load_scenario, progress_bar
from qnet.errors import InputError, Problem
from qnet.units import WHOLE_HIGHEST


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
    from qnet.files.read import read_gate_plan, read_gate_problem
    from qnet.files.write import to_json, write_text
    from qnet.interchange import judge_gates, plan_gates
    from qnet.report.gates import gate_plan_lines

    problem = read_gate_problem(problem_file)
    check_outputs([problem_file, plan_file], ("--output", output))
    if plan_file is not None:
        made = read_gate_plan(plan_file)
    else:
        with progress_bar("gates"):
            made = plan_gates(problem, seed=seed, routes=routes)
    proof, outcome = judge_gates(problem, made, given=plan_file is not None)
    if output is not None:
        write_text(output, to_json(made))
    if as_json:
        say_json_text(to_json(made))
    else:
        say("\n".join(gate_plan_lines(problem, made, proof, outcome)))
    if outcome != "pass":
        sys.exit(1 if outcome == "fail" else NOT_KNOWN)


@main.group("import", cls=Imports)
def import_() -> None:
    """Turn files of other programs into qnet's."""


@import_.command("tsnkit")
@click.argument("task", metavar="TASK.csv")
@click.argument("network", metavar="TOPO.csv")
@output_option("Write the problem there instead of to standard output.")
def import_tsnkit(task: str, network: str, output: Path | None) -> None:
    """Read an 802.1Qbv problem in tsnkit's CSV format; 'qnet gates' schedules it."""
    from qnet.files.write import to_json, write_text
    from qnet.interchange import read_tsnkit

    check_outputs([task, network], ("--output", output))
    problem = read_tsnkit(task, network)
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
    from qnet.files.read import read_gate_problem
    from qnet.files.write import to_json, write_text
    from qnet.interchange import read_tsnkit_schedule, tsnkit_schedule_files

    problem = read_gate_problem(problem_file)
    names = tsnkit_schedule_files(prefix)
    check_outputs([problem_file, *names.values()], ("--output", output))
    text = to_json(read_tsnkit_schedule(problem, prefix))
    if output is None:
        say_json_text(text)
    else:
        write_text(output, text)


@main.group("export", cls=Exports)
def export() -> None:
    """Turn a network or a plan into files of other programs.

    TOPOLOGY is a bundled network or the file of one. WHAT is a PROFILE and PLAN one of 'qnet plan',
    or a problem of 'qnet import' and PLAN one of 'qnet gates'; a plan that breaks a rule is
    refused.
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
    from qnet.interchange import to_tsnkit

    texts = to_tsnkit(problem_file, plan_file)
    files = {f"{name}-{file}": text for file, text in texts.items()}
    _write_all(out, files, [problem_file, plan_file])


@export.command("yang")
@_what
@_gate_files
@_base_time
def export_yang(**options: Any) -> None:
    """Write gate parameter tables (ieee802-dot1q-sched-bridge, JSON), one file a node."""
    _export_gates("yang", **options)


@export.command("taprio")
@_what
@_gate_files
@_base_time
def export_taprio(**options: Any) -> None:
    """Write 'tc qdisc replace ... taprio' lines, one file a node."""
    _export_gates("taprio", **options)


@export.command("otg-metrics")
@click.argument("run", metavar="FOLDER")
@click.option(
    "--latency",
    type=click.Choice(["store_forward", "cut_through"]),
    default="store_forward",
    show_default=True,
    help="To the first bit out, from the last bit in or the first.",
)
@output_option("Write the file there instead of to standard output.")
def export_otg_metrics(
    run: str, latency: Literal["store_forward", "cut_through"], output: Path | None
) -> None:
    """Write what a run saw as flow metrics of the Open Traffic Generator model, JSON.

    FOLDER is what 'qnet run --out' left.
    """
    from qnet.files.write import write_text
    from qnet.interchange import otg_metrics

    check_outputs([], ("--output", output))
    made = otg_metrics(run, latency)
    if output is None:
        say_json_text(made.text)
    else:
        write_text(output, made.text)
    say_list("left out", made.left_out)


@export.command("srv6")
@_profile
@_gate_files
def export_srv6(**options: Any) -> None:
    """Write the SRv6 segment lists of streams whose class has 'mechanism: csqf'."""
    _export_segments("srv6", **options)


@export.command("mpls")
@_profile
@_gate_files
def export_mpls(**options: Any) -> None:
    """Write the MPLS label stacks of streams whose class has 'mechanism: csqf'."""
    _export_segments("mpls", **options)


def _export_gates(
    kind: Literal["yang", "taprio"],
    what: str,
    plan_file: str,
    out: Path,
    base_time: int,
    topology: str | None,
    settings: dict[str, str],
) -> None:
    from qnet.interchange import to_bridges

    if what.endswith(".json"):
        asked = ["--topology"] * (topology is not None) + ["--set"] * bool(settings)
        if asked:
            message = f"{what} is a problem; this goes with a profile"
            raise InputError(Problem(option, 0, 0, "", message) for option in asked)
        _write_all(out, to_bridges(what, plan_file, kind, base_time), [what, plan_file])
        return
    scenario = load_scenario(what, topology, settings)
    texts = to_bridges(scenario, plan_file, kind, base_time)
    _write_all(out, texts, [*files_of(scenario), plan_file])


def _export_segments(
    kind: Literal["srv6", "mpls"],
    profile: str,
    plan_file: str,
    out: Path,
    topology: str | None,
    settings: dict[str, str],
) -> None:
    from qnet.interchange import to_segments

    scenario = load_scenario(profile, topology, settings)
    _write_all(out, to_segments(scenario, plan_file, kind), [*files_of(scenario), plan_file])


def _write_all(folder: Path, texts: Mapping[str, str], inputs: list[str]) -> None:
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
