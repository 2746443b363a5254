"""The verbs that answer: run, plan, check, simulate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from qnet.cli.door import main
from qnet.cli.options import report_options, scenario_options, simulation_options
from qnet.cli.stages import (
    answer,
    check_out,
    check_port,
    emulate,
    emulate_stretched,
    load_scenario,
    make_plan,
    make_proof,
    observe,
)
from qnet.errors import InputError, Problem


@main.command()
@scenario_options
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
    type=click.IntRange(1),
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
    help="mininet: write what each host got there, with virtual time stamps (pcap).",
)
def run(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    out: Path | None,
    port: str | None,
    tier: str | None,
    sample: int | None,
    dilation: int | None,
    captures: Path | None,
    **simulation: Any,
) -> None:
    """Plan, prove, simulate, emulate if asked and judge; exit code 1 when a promise is not kept."""
    scenario = load_scenario(profile, topology, settings, **simulation)
    check_port(scenario, port)
    check_out(out)
    plan = make_plan(scenario)
    proof = make_proof(scenario, plan)
    observation = observe(scenario, plan, simulation["threads"])
    emulation = None
    if tier == "mininet":
        emulation = emulate_stretched(
            scenario, plan, proof, observation, sample, dilation, captures
        )
    elif tier == "lockstep":
        emulation = emulate(scenario, plan, proof, observation, sample)
    answer(scenario, plan, proof, [observation], as_json, out, port, emulation)


@main.command()
@scenario_options
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the plan there.",
)
def plan(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    output: Path | None,
) -> None:
    """Reserve cycles and route demands; exit code 1 when something is refused."""
    from qnet.model.write import to_json, write_text
    from qnet.report.text import plan_lines

    made = make_plan(load_scenario(profile, topology, settings))
    if output is not None:
        write_text(output, to_json(made))
    if as_json:
        click.echo(to_json(made), nl=False)
    else:
        click.echo("\n".join(plan_lines(made)))
    short = any(one.placed_bps < one.rate_bps for one in made.demands)
    if short or any(one.status == "refused" for one in made.streams):
        sys.exit(1)


@main.command()
@scenario_options
@report_options
@click.argument("plan_file", type=click.Path(path_type=Path), metavar="PLAN")
def check(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    plan_file: Path,
    out: Path | None,
    port: str | None,
) -> None:
    """Prove a plan, whoever made it: exact worst cases, every broken rule."""
    from qnet.model.read import read_plan

    scenario = load_scenario(profile, topology, settings)
    check_port(scenario, port)
    check_out(out)
    given = read_plan(str(plan_file))
    answer(scenario, given, make_proof(scenario, given), [], as_json, out, port)


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
    from qnet.model.read import read_plan

    scenario = load_scenario(profile, topology, settings, **simulation)
    check_port(scenario, port)
    check_out(out)
    given = read_plan(str(plan_file)) if plan_file else make_plan(scenario)
    proof = make_proof(scenario, given)
    unfit = [one for one in proof.findings if one.rule in ("inputs", "route")]
    if unfit:
        raise InputError(Problem(str(plan_file), 0, 0, one.subject, one.message) for one in unfit)
    observation = observe(scenario, given, simulation["threads"])
    answer(scenario, given, proof, [observation], as_json, out, port)
