"""The verbs that answer: run, plan, check, simulate, explain, diff."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from qnet.api import check_emulated, check_fits, check_port
from qnet.cli.command import main
from qnet.cli.options import (
    events_option,
    output_option,
    report_options,
    scenario_options,
    search_options,
    simulation_options,
)
from qnet.cli.output import say, say_json, say_json_text
from qnet.cli.outputs import check_outputs, of_captures, of_report
from qnet.cli.stages import (
    Left,
    answer,
    check_measure,
    check_out,
    keeping,
    load_scenario,
    observe,
    play,
    progress_bar,
    prove,
)
from qnet.cli.stages import plan as make_plan
from qnet.errors import InputError, Problem
from qnet.units import WHOLE_HIGHEST

HEEDED = ("threads", "at_most", "trace", "trace_frames")
"""Options that `observe` knows by the same names."""


@main.command()
@scenario_options
@search_options
@simulation_options
@report_options
@click.option(
    "--emulate",
    "tier",
    type=click.Choice(["lockstep", "mininet"]),
    help="Send frames through real switches too; see 'qnet doctor' for what this machine can do.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 10**9),
    metavar="N",
    help="lockstep: about as many frames through real switches, default 1000; "
    "mininet: as many streams and demands, default 12.",
)
@click.option(
    "--dilation",
    type=click.IntRange(1, 10**6),
    metavar="D",
    help="mininet: wall-clock time for each unit of virtual time; default: after a calibration.",
)
@click.option(
    "--captures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write what each host sent and got there, with virtual time stamps.",
)
@click.option(
    "--capture-form",
    type=click.Choice(["pcapng", "pcap"]),
    help="Form of the captures; pcapng unless said, pcap has nanoseconds and no names.",
)
@click.option(
    "--capture-switches",
    is_flag=True,
    help="lockstep: write what crossed the ports of each switch too, with labels and cycle tags.",
)
@click.option(
    "--cut",
    "cuts",
    multiple=True,
    metavar="TARGET@TIME",
    help="Take the wires of a port, link or cable down while emulating, as in 'a->b@10ms', so that "
    "switches see it; may be repeated. For what nobody sees at once there are events.",
)
def run(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    out: Path | None,
    port: str | None,
    budget: str | None,
    rounds: int | None,
    **simulation: Any,
) -> None:
    """Plan, prove, simulate, emulate if asked and judge; exit code 1 when a promise is not kept."""
    tier, sample, cuts = (simulation.pop(name) for name in ("tier", "sample", "cuts"))
    dilation, captures = simulation.pop("dilation"), simulation.pop("captures")
    switches, form = (simulation.pop(name) for name in ("capture_switches", "capture_form"))
    options = {"--cut": cuts, "--sample": sample, "--captures": captures, "--dilation": dilation}
    given = [name for name, value in options.items() if value]
    _check_emulation(tier, given, switches=switches, form=form)
    scenario = load_scenario(profile, topology, settings, **simulation)
    check_emulated(scenario, tier, cuts)
    check_port(scenario, port)
    check_out(out)
    check_measure(out, simulation["measure"], simulation["trace"])
    files = [(f"--{name}", simulation[name]) for name in ("trace", "checkpoint")]
    places = (*of_report(out), *of_captures(scenario, captures))
    check_outputs([], *files, *places, scenario=scenario)
    how = {one: simulation[one] for one in HEEDED}
    with keeping(simulation["checkpoint"], simulation["every"], simulation["resume"]) as keep:
        made = make_plan(scenario, budget=budget, rounds=rounds)
        proof = prove(scenario, made)
        observation = observe(scenario, made, checkpoint=keep, **how)
    emulation = None
    if tier is not None:
        other = {"dilation": dilation} if tier == "mininet" else {"capture_switches": switches}
        how = {"tier": tier, "sample": sample, "cut": cuts, "captures": captures, **other}
        how |= {"capture_form": form} if form is not None else {}
        emulation = play(scenario, made, proof, observation, **how)
    left = Left(out, port, run=True, measurements=simulation["measure"])
    answer(scenario, made, proof, observation, as_json, left, emulation)


def _check_emulation(
    tier: str | None, given: list[str], *, switches: bool, form: str | None
) -> None:
    """Refuse options of an emulation that is not asked for, or cannot heed them."""
    problems = []
    if tier is None:
        problems += [Problem(name, 0, 0, "", "goes with --emulate") for name in given]
    elif tier != "mininet" and "--dilation" in given:
        problems.append(Problem("--dilation", 0, 0, "", "goes with --emulate mininet"))
    if switches and (tier != "lockstep" or "--captures" not in given):
        words = "goes with --emulate lockstep and --captures DIR"
        problems.append(Problem("--capture-switches", 0, 0, "", words))
    if form is not None and "--captures" not in given:
        problems.append(Problem("--capture-form", 0, 0, "", "goes with --captures DIR"))
    if problems:
        raise InputError(problems)


@main.command()
@scenario_options
@search_options
@click.option("--seed", type=click.IntRange(0, WHOLE_HIGHEST), help="Another seed for the search.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="PLAN",
    help="Keep the streams of an earlier plan where they are; the others come and go.",
)
@click.option(
    "--fail",
    multiple=True,
    metavar="TARGET",
    help="Plan around a link, wire, cable, node or site that is down; may be repeated.",
)
@output_option("Write the plan there.")
def plan(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    output: Path | None,
    seed: int | None,
    keep: Path | None,
    fail: tuple[str, ...],
    **search: Any,
) -> None:
    """Reserve cycles and route demands.

    Exit code 1 when something is refused, when a port is offered more than it can pass on, or when
    arithmetic excludes what is promised. What else is promised is not judged.
    """
    from qnet.api import excluded as excluded_by
    from qnet.files.write import to_json, write_text
    from qnet.report.text import first_lines, plan_lines

    scenario = load_scenario(profile, topology, settings, seed=seed)
    check_outputs([keep], ("--output", output), scenario=scenario)
    made = make_plan(scenario, keep=keep, fail=fail, **search)
    if output is not None:
        write_text(output, to_json(made))
    if as_json:
        say_json_text(to_json(made))
    else:
        say("\n".join(plan_lines(made)))
    excluded = excluded_by(scenario, made)
    if excluded:
        say("\n".join(first_lines(excluded)), err=as_json)
    if excluded or not made.complete:
        sys.exit(1)


@main.command()
@scenario_options
@events_option
@report_options
@click.argument("plan_file", type=click.Path(path_type=Path), metavar="PLAN")
def check(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    events: Path | None,
    plan_file: Path,
    out: Path | None,
    port: str | None,
) -> None:
    """Prove a plan, whoever made it: exact worst cases, every broken rule."""
    from qnet.files.read import read_plan

    scenario = load_scenario(profile, topology, settings, events=events)
    check_port(scenario, port)
    check_out(out)
    given = read_plan(str(plan_file))
    check_outputs([plan_file], *of_report(out, plan_file, given), scenario=scenario)
    answer(scenario, given, prove(scenario, given), None, as_json, Left(out, port))


@main.command()
@scenario_options
@simulation_options
@report_options
@click.argument("plan_file", type=click.Path(path_type=Path), metavar="[PLAN]", required=False)
def simulate(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    plan_file: Path | None,
    out: Path | None,
    port: str | None,
    **simulation: Any,
) -> None:
    """Send every frame over a plan, broken or not, and show what happens to it.

    A plan that does not fit the files at all (unknown ports, missing streams) is refused.
    """
    from qnet.files.read import read_plan

    scenario = load_scenario(profile, topology, settings, **simulation)
    check_port(scenario, port)
    check_out(out)
    check_measure(out, simulation["measure"], simulation["trace"])
    files = [(f"--{name}", simulation[name]) for name in ("trace", "checkpoint")]
    read = None if plan_file is None else read_plan(str(plan_file))
    check_outputs([plan_file], *files, *of_report(out, plan_file, read), scenario=scenario)
    with keeping(simulation["checkpoint"], simulation["every"], simulation["resume"]) as keep:
        given = read or make_plan(scenario)
        proof = prove(scenario, given)
        check_fits(proof, str(plan_file))
        how = {one: simulation[one] for one in HEEDED}
        observation = observe(scenario, given, checkpoint=keep, **how)
    left = Left(out, port, run=True, measurements=simulation["measure"])
    answer(scenario, given, proof, observation, as_json, left)


@main.command()
@click.argument(
    "folder", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--stream", required=True, metavar="NAME", help="Stream or demand.")
@click.option(
    "--frame",
    default="worst",
    metavar="WHICH",
    help="worst, best, lost (the first), or the frame's number from 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def explain(folder: Path, stream: str, frame: str, as_json: bool) -> None:
    """Tell where a frame waited: its journey hop by hop, every picosecond accounted for.

    RUN is a folder that 'qnet run --out DIR' or 'qnet simulate --out DIR' left. The run is played
    again up to the frame.
    """
    from qnet import api
    from qnet.report.journey import journey_lines, journeys_data

    notes: list[str] = []

    def note(words: str) -> None:
        notes.append(words)
        say(words, err=True)

    with progress_bar("replay") as progress:
        journeys = api.explain(folder, stream, frame, progress=progress, say=note)
    if as_json:
        say_json(journeys_data(journeys, notes))
    else:
        lines = [line for journey in journeys for line in [*journey_lines(journey), ""]]
        say("\n".join(lines[:-1]))


@main.command()
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--tolerance", metavar="SHARE", default="0%", help="Leave out what differs by no more than it."
)
@click.option("--strict", is_flag=True, help="End with 1 where any figure is worse.")
@click.option("--top", type=click.IntRange(0), default=20, help="Differences of a kind to print.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@output_option("Write the comparison there, as JSON.")
def diff(
    before: Path,
    after: Path,
    tolerance: str,
    strict: bool,
    top: int,
    as_json: bool,
    output: Path | None,
) -> None:
    """Say what became better or worse from run A to run B, promise by promise, stream by stream.

    Both are folders that 'qnet run --out DIR' or 'qnet simulate --out DIR' left. Exit code 1 where
    the outcome of a promise is worse.
    """
    from qnet.comparison import diff as compare
    from qnet.files.write import to_json, write_text
    from qnet.report.difference import difference_lines

    check_out(output and output.parent)
    check_outputs([before, after], ("--output", output))
    with progress_bar() as progress:
        made = compare(before, after, tolerance=tolerance, progress=progress)
    if output is not None:
        write_text(output, to_json(made))
    if as_json:
        say_json_text(to_json(made))
    else:
        say("\n".join(difference_lines(made, top)))
    if made.broken or (strict and made.worse):
        sys.exit(1)
