"""The stages that the verbs go through, each with its progress on the terminal."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qnet.cli.door import cannot_be_written
from qnet.errors import EnvironmentMissing, InputError, Problem

if TYPE_CHECKING:
    from rich.console import Console

    from qnet.model.emulation import Emulation
    from qnet.model.observation import Observation
    from qnet.model.plan import Plan
    from qnet.model.proof import Proof
    from qnet.model.read import Scenario
    from qnet.model.verdict import Verdict


def load_scenario(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    *,
    duration: str | None = None,
    seed: int | None = None,
    threads: int | None = None,
) -> Scenario:
    """Read the files of a run, with the simulation settings of the command line put in."""
    del threads
    from qnet.model.read import load
    from qnet.units import TIME, UnitError, parse

    changes: dict[str, int] = {}
    if duration is not None:
        try:
            changes["duration_ps"] = parse(TIME, duration)
        except UnitError as error:
            raise InputError([Problem("--duration", 0, 0, "", str(error))]) from None
        if changes["duration_ps"] == 0:
            raise InputError([Problem("--duration", 0, 0, "", "0 is no time; write it like '5ms'")])
    if seed is not None:
        changes["seed"] = seed
    scenario = load(profile, topology=topology, settings=settings)
    simulation = scenario.profile.simulation.model_copy(update=changes)
    return replace(scenario, profile=scenario.profile.model_copy(update={"simulation": simulation}))


def check_port(scenario: Scenario, port: str | None) -> None:
    """Refuse an unknown port before anything long is run."""
    import difflib

    names = scenario.topology.port_by_name
    if port is None or port in names:
        return
    close = difflib.get_close_matches(port, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"ports are named like '{next(iter(names))}'"
    raise InputError([Problem("--port", 0, 0, port, f"no such port; {hint}")])


def check_out(out: Path | None) -> None:
    """Refuse a folder that cannot be made or written before anything long is run."""
    if out is None:
        return
    place = out.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        wrong = errno.EACCES if place.is_dir() else errno.ENOTDIR
        raise EnvironmentMissing(cannot_be_written(out, OSError(wrong, os.strerror(wrong))))


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, and nothing when standard error is a file."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    console = _console()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def make_plan(scenario: Scenario) -> Plan:
    """Schedule the scenario."""
    from qnet.schedule.run import schedule

    with progress_bar("plan") as show:
        return schedule(
            scenario.topology,
            scenario.profile,
            topology_sha256=scenario.topology_sha256,
            traffic_sha256=scenario.traffic_sha256,
            progress=lambda _, done, total: show(done, total),
        )


def make_proof(scenario: Scenario, plan: Plan) -> Proof:
    """Have the checker judge a plan."""
    from qnet.check.plan import prove

    with progress_bar("prove"):
        return prove(scenario.topology, scenario.profile, plan)


def observe(scenario: Scenario, plan: Plan, threads: int | None) -> Observation:
    """Simulate a plan."""
    from qnet.simulate.run import simulate

    with progress_bar("simulate") as show:
        return simulate(scenario.topology, scenario.profile, plan, threads=threads, progress=show)


def emulate(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    simulated: Observation,
    sample: int | None,
    controller: str | None = None,
    rules_file: Path | None = None,
) -> Emulation:
    """Send a sample of the frames through real switches; say wall-clock times on the side."""
    from qnet.emulate.lockstep import SAMPLE, Lockstep, emulate

    frames = SAMPLE if sample is None else sample
    case = Lockstep(scenario.topology, scenario.profile, plan, frames=frames)
    with progress_bar("emulate") as show:
        result, wall_clock = emulate(
            case,
            proof,
            simulated,
            controller=controller,
            rules_file=rules_file,
            progress=show,
        )
    for what, seconds in wall_clock.items():
        click.echo(f"wall clock, not virtual: {what} in {seconds:.3f} s", err=True)
    return result


def emulate_stretched(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    simulated: Observation,
    sample: int | None,
    dilation: int | None,
    captures: Path | None,
) -> Emulation:
    """Send a sample through real switches and hosts in stretched time; say how real it was."""
    from qnet.emulate.lockstep import Lockstep
    from qnet.emulate.tier import SAMPLE, Options, choose_sample, emulate_mininet, witness

    topology, profile = scenario.topology, scenario.profile
    strides = choose_sample(topology, profile, plan, sample or SAMPLE)
    options = Options(strides, dilation=dilation, captures=captures)
    with progress_bar("emulate"):
        run = emulate_mininet(topology, profile, plan, options)
    for line in run.told():
        click.echo(line, err=True)
    case = Lockstep(topology, profile, plan, strides=strides)
    with progress_bar("compare"):
        return witness(case, proof, simulated, run)


def answer(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    observations: Sequence[Observation],
    as_json: bool,
    out: Path | None,
    port: str | None,
    emulation: Emulation | None = None,
) -> None:
    """Judge, print, write the reports and set the exit code."""
    from rich.console import Console

    from qnet.check.verdict import judge
    from qnet.report.text import answer, print_verdict, print_witnesses

    verdict: Verdict = judge(
        scenario.topology, scenario.profile, plan, proof, observations, emulation
    )
    observation = observations[0] if observations else None
    if out is not None:
        from qnet.report.files import write_report

        write_report(
            out,
            scenario.topology,
            scenario.profile,
            plan,
            proof,
            observation,
            verdict,
            port,
        )
        if emulation is not None:
            from qnet.model.write import to_json, write_text

            write_text(out / "emulation.json", to_json(emulation))
    if as_json:
        whole = answer(verdict, plan, proof, observation, scenario.topology, emulation)
        click.echo(json.dumps(whole, ensure_ascii=False, indent=1))
    else:
        print_verdict(verdict, Console())
        if emulation is not None:
            print_witnesses(emulation, Console())
        if out is not None:
            click.echo(f"report: {out / 'report.html'}")
    if verdict.outcome == "fail":
        sys.exit(1)
