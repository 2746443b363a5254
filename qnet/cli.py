"""The command `qnet`: verbs over the same files.

Results go to standard output, all else to standard error. Exit codes: 0 the network keeps its
promises, 1 it does not, 2 the input is wrong, 3 this machine lacks something.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from qnet import __version__
from qnet.errors import EnvironmentMissing, InputError, Problem, QnetError

if TYPE_CHECKING:
    from rich.console import Console

    from qnet.model.gates import GatePlan, GateProblem
    from qnet.model.observation import Observation
    from qnet.model.plan import Plan
    from qnet.model.proof import Proof
    from qnet.model.read import Scenario
    from qnet.model.verdict import Verdict

# Rooms are imported inside the verbs: numba alone takes half a second to load.

Command = Callable[..., Any]


class Door(click.Group):
    """Turns deliberate errors into their text and exit code, and Ctrl-C into 130."""

    def invoke(self, context: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(context)
        except QnetError as error:
            _fail(str(error), error.exit_code)
        except BrokenPipeError:
            # The reader of our output (head, less) has left; there is nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except OSError as error:
            # Files that cannot be read are InputErrors; what remains are results that do not fit.
            _fail(_cannot_be_written(error.filename or "the output", error), 3)
        except KeyboardInterrupt:
            _fail("interrupted; nothing was written", 130)


def _cannot_be_written(path: object, error: OSError) -> str:
    return f"{path} cannot be written: {(error.strerror or str(error)).lower()}"


def _fail(text: str, code: int) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(code)


def _settings(context: click.Context, _: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    """Read '--set name=value' options; all wrong ones are reported at once."""
    del context
    problems = [
        Problem("--set", 0, 0, pair, "has no '='; write it like 'interferers=7'")
        for pair in pairs
        if "=" not in pair
    ]
    if problems:
        raise InputError(problems)
    return dict(pair.split("=", 1) for pair in pairs)


def _scenario_options(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="NAME=VALUE",
            callback=_settings,
            help="Set a parameter of the traffic file; may be repeated.",
        ),
        click.option("--topology", metavar="NAME|FILE", help="Another topology for the traffic."),
        click.argument("profile"),
    ):
        command = option(command)
    return command


def _simulation_options(command: Command) -> Command:
    for option in (
        click.option("--threads", type=click.IntRange(1), help="Threads; default all cores."),
        click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Another seed."),
        click.option("--duration", metavar="TIME", help="Another network time, such as 5ms."),
    ):
        command = option(command)
    return command


def _report_options(command: Command) -> Command:
    for option in (
        click.option("--port", metavar="PORT", help="Port whose cycles the report shows."),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="Leave verdict.json, plan.json, junit.xml and report.html there.",
        ),
    ):
        command = option(command)
    return command


@click.group(cls=Door, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qnet")
def main() -> None:
    """Ask a network whether it keeps its microsecond promises and its ten terabits.

    PROFILE is the name of a bundled traffic profile (see 'qnet list') or a traffic file.
    """


@main.command()
@_scenario_options
@_simulation_options
@_report_options
def run(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    out: Path | None,
    port: str | None,
    **simulation: Any,
) -> None:
    """Plan, prove, simulate and judge; exit code 1 when a promise is not kept."""
    scenario = _load(profile, topology, settings, **simulation)
    _check_port(scenario, port)
    _check_out(out)
    plan = _schedule(scenario)
    proof = _prove(scenario, plan)
    observation = _simulate(scenario, plan, simulation["threads"])
    _answer(scenario, plan, proof, [observation], as_json, out, port)


@main.command()
@_scenario_options
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

    made = _schedule(_load(profile, topology, settings))
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
@_scenario_options
@_report_options
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

    scenario = _load(profile, topology, settings)
    _check_port(scenario, port)
    _check_out(out)
    given = read_plan(str(plan_file))
    _answer(scenario, given, _prove(scenario, given), [], as_json, out, port)


@main.command()
@_scenario_options
@_simulation_options
@_report_options
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

    scenario = _load(profile, topology, settings, **simulation)
    _check_port(scenario, port)
    _check_out(out)
    given = read_plan(str(plan_file)) if plan_file else _schedule(scenario)
    proof = _prove(scenario, given)
    unfit = [one for one in proof.findings if one.rule in ("inputs", "route")]
    if unfit:
        raise InputError(Problem(str(plan_file), 0, 0, one.subject, one.message) for one in unfit)
    observation = _simulate(scenario, given, simulation["threads"])
    _answer(scenario, given, proof, [observation], as_json, out, port)


@main.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def validate(files: tuple[str, ...], as_json: bool) -> None:
    """Read topology and traffic files and report every fault of all of them."""
    from qnet.model.read import kind_of, load, read_topology

    problems: list[Problem] = []
    good: list[str] = []
    for name in files:
        try:
            if kind_of(name) == "topology":
                good.append(f"{name}: {read_topology(name).title}")
            else:
                good.append(f"{name}: {load(name).profile.title}")
        except InputError as error:
            problems += error.problems
    if as_json:
        rows = [vars(problem) for problem in sorted(set(problems))]
        click.echo(json.dumps({"valid": good, "problems": rows}, ensure_ascii=False, indent=1))
    else:
        for line in good:
            click.echo(line)
    if problems:
        if as_json:
            sys.exit(InputError.exit_code)
        raise InputError(problems)


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def list_bundled(as_json: bool) -> None:
    """List the topologies and traffic profiles that come with qnet."""
    from qnet.model.read import bundled_names, load, read_topology

    titles = {
        "traffic": {name: load(name).profile.title for name in bundled_names("traffic")},
        "topologies": {name: read_topology(name).title for name in bundled_names("topology")},
    }
    if as_json:
        click.echo(json.dumps(titles, ensure_ascii=False, indent=1))
        return
    for kind, entries in titles.items():
        click.echo(f"{kind}:")
        for name, title in entries.items():
            click.echo(f"  {name:20} {title}")


@main.command()
@click.argument("kind", type=click.Choice(["topology", "traffic"]))
def schema(kind: Literal["topology", "traffic"]) -> None:
    """Print the JSON Schema of a file kind, for editors."""
    from qnet.model.schema import schema as schema_of

    click.echo(json.dumps(schema_of(kind), ensure_ascii=False, indent=1))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def doctor(as_json: bool) -> None:
    """Say what this machine can do, what it cannot, and why."""
    from qnet.report.doctor import examine

    findings = examine()
    if as_json:
        rows = [finding._asdict() for finding in findings]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        for finding in findings:
            mark = "ok     " if finding.good else "missing" if finding.needed else "absent "
            click.echo(f"{mark} {finding.what}: {finding.detail}")
    if any(finding.needed and not finding.good for finding in findings):
        sys.exit(3)


def _load(
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


def _check_port(scenario: Scenario, port: str | None) -> None:
    """Refuse an unknown port before anything long is run."""
    import difflib

    names = scenario.topology.port_by_name
    if port is None or port in names:
        return
    close = difflib.get_close_matches(port, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"ports are named like '{next(iter(names))}'"
    raise InputError([Problem("--port", 0, 0, port, f"no such port; {hint}")])


def _check_out(out: Path | None) -> None:
    """Refuse a folder that cannot be made or written before anything long is run."""
    if out is None:
        return
    place = out.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        wrong = errno.EACCES if place.is_dir() else errno.ENOTDIR
        raise EnvironmentMissing(_cannot_be_written(out, OSError(wrong, os.strerror(wrong))))


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
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


def _schedule(scenario: Scenario) -> Plan:
    from qnet.schedule.run import schedule

    with _progress("plan") as show:
        return schedule(
            scenario.topology,
            scenario.profile,
            topology_sha256=scenario.topology_sha256,
            traffic_sha256=scenario.traffic_sha256,
            progress=lambda _, done, total: show(done, total),
        )


def _prove(scenario: Scenario, plan: Plan) -> Proof:
    from qnet.check.plan import prove

    with _progress("prove"):
        return prove(scenario.topology, scenario.profile, plan)


def _simulate(scenario: Scenario, plan: Plan, threads: int | None) -> Observation:
    from qnet.simulate.run import simulate

    with _progress("simulate") as show:
        return simulate(scenario.topology, scenario.profile, plan, threads=threads, progress=show)


def _answer(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    observations: Sequence[Observation],
    as_json: bool,
    out: Path | None,
    port: str | None,
) -> None:
    """Judge, print, write the reports and set the exit code."""
    from rich.console import Console

    from qnet.check.verdict import judge
    from qnet.report.text import answer, print_verdict

    verdict: Verdict = judge(scenario.topology, scenario.profile, plan, proof, observations)
    observation = observations[0] if observations else None
    if out is not None:
        from qnet.report.files import write_report

        write_report(
            out, scenario.topology, scenario.profile, plan, proof, observation, verdict, port
        )
    if as_json:
        whole = answer(verdict, plan, proof, observation, scenario.topology)
        click.echo(json.dumps(whole, ensure_ascii=False, indent=1))
    else:
        print_verdict(verdict, Console())
        if out is not None:
            click.echo(f"report: {out / 'report.html'}")
    if verdict.outcome == "fail":
        sys.exit(1)


@main.command()
@click.argument("problem_file", metavar="PROBLEM")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON instead of lines.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, help="Another seed.")
@click.option("--routes", type=click.IntRange(1, 16), default=4, help="Routes tried per stream.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the plan there.",
)
def gates(problem_file: str, as_json: bool, seed: int, routes: int, output: Path | None) -> None:
    """Schedule 802.1Qbv gates for a problem and judge the result; exit 1 if a stream is left out.

    PROBLEM is a file from 'qnet import tsnkit'.
    """
    from qnet.check.gates import check_gates
    from qnet.model.read import read_gate_problem
    from qnet.model.write import to_json, write_text
    from qnet.report.gates import gate_plan_lines
    from qnet.schedule.qbv.solve import schedule_gates

    problem = read_gate_problem(problem_file)
    with _progress("gates"):
        made = schedule_gates(problem, seed=seed, routes=routes)
    proof = check_gates(problem, made)
    if output is not None:
        write_text(output, to_json(made))
    if as_json:
        click.echo(to_json(made), nl=False)
    else:
        click.echo("\n".join(gate_plan_lines(problem, made, proof)))
    if proof.findings or not made.complete:
        sys.exit(1)


@main.group("import")
def import_() -> None:
    """Turn files of other programs into qnet's."""


@import_.command("tsnkit")
@click.argument("task", metavar="TASK.csv")
@click.argument("network", metavar="TOPO.csv")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the problem there instead of to standard output.",
)
def import_tsnkit(task: str, network: str, output: Path | None) -> None:
    """Read an 802.1Qbv problem in tsnkit's CSV format; 'qnet gates' schedules it."""
    from qnet.exchange.tsnkit import read_problem
    from qnet.model.read import read_text
    from qnet.model.write import to_json, write_text

    problem = read_problem(
        read_text(task), read_text(network), task_name=task, network_name=network
    )
    if output is None:
        click.echo(to_json(problem), nl=False)
    else:
        write_text(output, to_json(problem))


@main.group("export")
def export() -> None:
    """Turn an 802.1Qbv plan into files of other programs; one that breaks a rule is refused."""


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
        click.argument("problem_file", metavar="PROBLEM"),
    ):
        command = option(command)
    return command


_base_time = click.option(
    "--base-time",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    metavar="NS",
    help="PTP time, in nanoseconds, when time 0 of the plan comes.",
)


@export.command("tsnkit")
@_gate_files
@click.option("--name", default="qnet", help="What the names of the files begin with.")
def export_tsnkit(problem_file: str, plan_file: str, out: Path, name: str) -> None:
    """Write GCL, OFFSET, ROUTE, QUEUE and DELAY as tsnkit's simulator reads them."""
    from qnet.exchange.tsnkit import write_schedule

    problem, made = _judged(problem_file, plan_file)
    texts = write_schedule(problem, made)
    _write_all(out, {f"{name}-{file}": text for file, text in texts.items()})


@export.command("yang")
@_gate_files
@_base_time
def export_yang(problem_file: str, plan_file: str, out: Path, base_time: int) -> None:
    """Write gate parameter tables (ieee802-dot1q-sched-bridge, JSON), one file a node."""
    from qnet.exchange.bridges import gate_parameter_tables

    texts = gate_parameter_tables(*_judged(problem_file, plan_file), base_time)
    _write_all(out, {f"{node}.json": text for node, text in texts.items()})


@export.command("taprio")
@_gate_files
@_base_time
def export_taprio(problem_file: str, plan_file: str, out: Path, base_time: int) -> None:
    """Write 'tc qdisc replace ... taprio' lines, one file a node."""
    from qnet.exchange.bridges import taprio_lines

    texts = taprio_lines(*_judged(problem_file, plan_file), base_time)
    _write_all(out, {f"{node}.sh": text for node, text in texts.items()})


def _judged(problem_file: str, plan_file: str) -> tuple[GateProblem, GatePlan]:
    """Read a problem and its plan; raises InputError with every rule that the plan breaks."""
    from qnet.check.gates import check_gates
    from qnet.model.read import read_gate_plan, read_gate_problem

    problem, made = read_gate_problem(problem_file), read_gate_plan(plan_file)
    findings = check_gates(problem, made).findings
    if findings:
        raise InputError(Problem(plan_file, 0, 0, one.subject, one.message) for one in findings)
    return problem, made


def _write_all(folder: Path, texts: dict[str, str]) -> None:
    """Write all files, or none when a node's name is not one of a file."""
    from qnet.model.write import write_text

    unfit = [name for name in texts if Path(name).name != name]
    if unfit:
        what = "the name of a node is not one of a file"
        raise InputError(Problem(name, 0, 0, "", what) for name in unfit)
    _check_out(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    click.echo(f"{len(texts)} files in {folder}")
