"""The stages that the verbs go through, each with its progress on the terminal."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from qnet.cli.door import NOT_KNOWN, cannot_be_written
from qnet.cli.output import say, say_json
from qnet.errors import EnvironmentMissing, InputError, Interrupted, Problem
from qnet.units import ceil_div, show_size

if TYPE_CHECKING:
    from rich.console import Console

    from qnet.emulate.tiers.follow_frames import Cut
    from qnet.emulate.tiers.lockstep import Options
    from qnet.model.emulation import Emulation
    from qnet.model.observation import Observation
    from qnet.model.plan import Plan
    from qnet.model.proof import Proof
    from qnet.model.scenario import Scenario
    from qnet.model.verdict import Verdict
    from qnet.report.case import Case
    from qnet.schedule.repair.search import Search
    from qnet.simulate.checkpoint import Checkpoint
    from qnet.simulate.run import Extent


def load_scenario(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    *,
    duration: str | None = None,
    seed: int | None = None,
    **_: object,
) -> Scenario:
    """Read the files of a run, with the simulation settings of the command line put in."""
    from qnet.model.read import load

    scenario = load(profile, topology=topology, settings=settings)
    with naming_options():
        return scenario.with_(seed=seed, duration=duration)


@contextmanager
def naming_options() -> Iterator[None]:
    """Name options where faults name arguments: 'duration' is '--duration' here."""
    try:
        yield
    except InputError as error:
        raise InputError(
            replace(one, file=f"--{one.file.replace('_', '-')}") for one in error.problems
        ) from None


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


@contextmanager
def stage_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is at work, with a bar on a terminal, and else a line when a stage begins."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = _console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    last = ""
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("", total=None)

        def show(title: str, done: int, total: int) -> None:
            nonlocal last
            bars.update(bar, description=title, completed=done, total=total or None)
            if title != last and not console.is_terminal:
                say(f"{title} ...", err=True)
            last = title

        yield show


def searching(scenario: Scenario, budget: str | None, rounds: int | None) -> Search | None:
    """Read how long to search; the clock decides how many rounds are made and nothing else."""
    from time import monotonic

    from qnet.schedule.repair.search import Search
    from qnet.units import PS_PER_S, TIME, UnitError, parse

    seed = scenario.profile.simulation.seed
    if budget is not None and rounds is not None:
        raise InputError([Problem("--budget", 0, 0, "", "goes without --rounds; give one of them")])
    if rounds is not None:
        return Search(seed, lambda done: done < rounds)
    if budget is None:
        return None
    try:
        seconds = parse(TIME, budget) / PS_PER_S
    except UnitError as error:
        raise InputError([Problem("--budget", 0, 0, "", str(error))]) from None
    end = monotonic() + seconds
    return Search(seed, lambda done: monotonic() < end)


def ports_down(scenario: Scenario, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the ports of each link or cable; unknown ones are all reported at once."""
    import difflib

    topology = scenario.topology
    down: dict[str, list[int]] = {}
    for port in topology.ports:
        link = topology.links[port.link]
        for name in {topology.link_name(link), topology.cable(link)}:
            down.setdefault(name, []).append(port.number)
    problems = []
    for name in names:
        if name not in down:
            close = difflib.get_close_matches(name, down, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"one is called '{next(iter(down))}'"
            problems.append(Problem("--fail", 0, 0, name, f"no such link or cable; {hint}"))
    if problems:
        raise InputError(problems)
    return {name: tuple(down[name]) for name in names}


def plan_to_keep(scenario: Scenario, path: Path) -> Plan:
    """Read a plan whose streams are to stay; what does not hold for the files as they are is an
    error. A stream that a failure has left one path of two is no fault here.
    """
    from qnet.check.plan import prove_kept
    from qnet.model.read import read_plan

    given = read_plan(str(path))
    names = {stream.name for stream in scenario.profile.every_stream}
    if given.streams and not any(entry.name in names for entry in given.streams):
        what = f"none of its {len(given.streams)} streams is in the profile"
        raise InputError([Problem(str(path), 0, 0, "", what)])
    findings = prove_kept(scenario.topology, scenario.profile, given)
    if findings:
        raise InputError(Problem(str(path), 0, 0, one.subject, one.message) for one in findings)
    return given


def make_plan(
    scenario: Scenario,
    *,
    search: Search | None = None,
    keep: Plan | None = None,
    down: dict[str, tuple[int, ...]] | None = None,
) -> Plan:
    """Schedule the scenario."""
    from qnet.schedule.run import schedule

    with progress_bar("plan") as show:
        return schedule(
            scenario.topology,
            scenario.profile,
            topology_sha256=scenario.topology_sha256,
            traffic_sha256=scenario.traffic_sha256,
            progress=lambda _, done, total: show(done, total),
            search=search,
            keep=keep,
            down=down,
        )


def make_proof(scenario: Scenario, plan: Plan) -> Proof:
    """Have the checker judge a plan."""
    from qnet.check.plan import prove

    with progress_bar("prove"):
        return prove(scenario.topology, scenario.profile, plan)


def check_fits(proof: Proof, where: str) -> None:
    """Refuse to play a plan that does not fit the files at all: unknown ports, missing streams."""
    unfit = [one for one in proof.findings if one.rule in ("inputs", "route")]
    if unfit:
        raise InputError(Problem(where, 0, 0, one.subject, one.message) for one in unfit)


def observe(
    scenario: Scenario,
    plan: Plan,
    threads: int | None,
    keep: Checkpoint | None = None,
    trace: Path | None = None,
    trace_frames: int = 0,
    at_most: int | None = None,
) -> Observation:
    """Simulate a plan, and write its first frames to a trace where one is wanted.

    A run that will take long is announced; one of more than `at_most` frame-hops is not begun.
    """
    from qnet.report.trace import write_trace
    from qnet.simulate.run import simulate
    from qnet.simulate.tracing import Recorder

    recorder = None if trace is None else Recorder(trace_frames)
    with progress_bar("simulate") as show:
        observation = simulate(
            scenario.topology,
            scenario.profile,
            plan,
            threads=threads,
            progress=show,
            checkpoint=keep,
            recorder=recorder,
            announce=lambda extent: _announce(extent, at_most),
        )
    if trace is not None and recorder is not None:
        recording = recorder.recording()
        write_trace(trace, scenario.topology, scenario.profile, plan, recording)
    return observation


LONG_S, LARGE_BYTES = 60, 10**9
"""A run that may take more than this of a core, or of memory for its clocks, is announced."""


def _announce(extent: Extent, at_most: int | None) -> None:
    """Say of a long run how large it is; refuse one that is larger than allowed."""
    if at_most is not None and extent.frame_hops > at_most:
        what = f"the run has some {extent.frame_hops:,} frame-hops, {at_most:,} are allowed"
        why = f"{what}; shorten it with --duration, or allow more"
        raise InputError([Problem("--at-most", 0, 0, "", why)])
    if extent.cpu_s >= LONG_S or extent.memory_bytes >= LARGE_BYTES:
        _console().print(
            f"simulate: some {extent.frames:,} frames, {extent.frame_hops:,} frame-hops; about "
            f"{ceil_div(extent.cpu_s, LONG_S)} min of a core and {show_size(extent.memory_bytes)} "
            "of memory or more; --duration makes it shorter, --at-most sets a limit",
            highlight=False,
        )


def check_measure(out: Path | None, measure: bool, trace: Path | None) -> None:
    """Refuse to measure where there is no place for it, or nothing to write it with."""
    from importlib.util import find_spec

    if measure and out is None:
        raise InputError([Problem("--measure", 0, 0, "", "needs '--out DIR'")])
    if trace is not None:
        check_out(trace.parent)
    in_parquet = measure or (trace is not None and trace.suffix == ".parquet")
    if in_parquet and find_spec("pyarrow") is None:
        raise EnvironmentMissing("Parquet needs pyarrow: pip install 'qnet-emulator[measure]'")


@contextmanager
def keeping(path: Path | None, every: str | None, resume: bool) -> Iterator[Checkpoint | None]:
    """Say where and how often a run is kept; Ctrl-C and SIGTERM end it only once it is kept."""
    from qnet.simulate.checkpoint import Checkpoint

    if path is None:
        if every is not None or resume:
            what = "needs '--checkpoint FILE'"
            raise InputError([Problem("--resume" if resume else "--every", 0, 0, "", what)])
        yield None
        return
    check_out(path.parent)
    every_ps = None if every is None else parse_time("--every", every)
    if resume and not path.exists():
        say(f"{path}: no checkpoint yet; the run begins at the start", err=True)
    asked: list[int] = []
    usual = {int(one): signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        # Who asks twice does not want to wait for the disk.
        asked.append(number)
        before = usual[number]
        if asked[1:] and callable(before):
            before(number, frame)

    for number, before in usual.items():
        if before != signal.SIG_IGN:
            signal.signal(number, ask)
    try:
        yield Checkpoint(
            path,
            every_ps,
            resume,
            asked=lambda: bool(asked),
            failed=lambda why: say(f"{why}; the run goes on without it", err=True),
        )
    except Interrupted as error:
        error.exit_code = 128 + asked[0]
        raise
    finally:
        for number, before in usual.items():
            signal.signal(number, before)


def parse_time(option: str, text: str, highest_ps: int | None = None) -> int:
    """Read the time of an option; zero is none."""
    from qnet.units import TIME, UnitError, format_quantity, parse

    try:
        time_ps = parse(TIME, text)
    except UnitError as error:
        raise InputError([Problem(option, 0, 0, "", str(error))]) from None
    if time_ps == 0:
        raise InputError([Problem(option, 0, 0, "", "0 is no time; write it like '5ms'")])
    if highest_ps is not None and time_ps > highest_ps:
        words = f"{text} is out of range; at most {format_quantity(TIME, highest_ps)}"
        raise InputError([Problem(option, 0, 0, "", words)])
    return time_ps


def emulate(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    simulated: Observation,
    sample: int | None,
    options: Options,
) -> Emulation:
    """Send a sample of the frames through real switches; say wall-clock times on the side."""
    from qnet.emulate.frames.case import SAMPLE, Case
    from qnet.emulate.tiers.lockstep import emulate

    frames = SAMPLE if sample is None else sample
    case = Case(scenario.topology, scenario.profile, plan, frames=frames)
    with progress_bar("emulate") as show:
        result, wall_clock = emulate(case, proof, simulated, options, progress=show)
    for what, seconds in wall_clock.items():
        say(f"wall clock, not virtual: {what} in {seconds:.3f} s", err=True)
    return result


def emulate_stretched(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    simulated: Observation,
    sample: int | None,
    cuts: Sequence[Cut] = (),
    **how: Any,
) -> Emulation:
    """Send a sample through real switches and hosts in stretched time; say how real it was.

    `how` are fields of `qnet.emulate.tiers.mininet.Options`.
    """
    from qnet.emulate.tiers.mininet import (
        SAMPLE,
        Cut,
        Options,
        case_of,
        choose_sample,
        emulate_mininet,
        witness,
    )

    topology, profile = scenario.topology, scenario.profile
    strides = choose_sample(topology, profile, plan, sample or SAMPLE)
    wanted = tuple(Cut(*one) for one in cuts)
    options = Options(strides, cuts=wanted, **how)
    with stage_bar() as show:
        run = emulate_mininet(topology, profile, plan, options, show)
        show("compare frame by frame", 0, 0)
        case = case_of(topology, profile, plan, strides, run)
        result = witness(case, proof, simulated, run)
    for line in run.told():
        say(line, err=True)
    return result


def read_cut(scenario: Scenario, text: str) -> Cut:
    """Read PORT@TIME, such as 'a->b@10ms'."""
    from qnet.emulate.tiers.follow_frames import Cut
    from qnet.units import TIME, UnitError, parse

    port, _, when = text.rpartition("@")
    if port not in scenario.topology.port_by_name:
        example = next(iter(scenario.topology.port_by_name))
        words = f"'{port}' is no port; write it like '{example}@10ms'"
        raise InputError([Problem("--cut", 0, 0, text, words)])
    try:
        return Cut(port, parse(TIME, when))
    except UnitError as error:
        raise InputError([Problem("--cut", 0, 0, text, str(error))]) from None


class Left(NamedTuple):
    """What a command leaves in a folder: reports, and what there was to be asked about."""

    out: Path | None
    port: str | None
    run: bool = False
    measurements: bool = False


def leave(left: Left, scenario: Scenario, case: Case) -> None:
    """Leave all that is to be left, or nothing."""
    from qnet.model.folder import whole_folder
    from qnet.report.files import write_report
    from qnet.report.run_folder import OWN, write_run

    observation = case.observation
    assert left.out is not None
    with whole_folder(left.out, OWN) as folder:
        write_report(folder, case, left.port)
        if left.run and observation is not None:
            write_run(folder, left.out, scenario, observation)
        if left.measurements and observation is not None:
            from qnet.report.measurements import write_measurements

            write_measurements(folder / "measurements", case.topology, case.profile, observation)


def answer(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    observations: Sequence[Observation],
    as_json: bool,
    left: Left,
    emulation: Emulation | None = None,
) -> None:
    """Judge, print, leave the reports in a folder and set the exit code."""
    from rich.console import Console

    from qnet.check.verdict import judge
    from qnet.report.text import answer, print_verdict, print_witnesses

    topology, profile = scenario.topology, scenario.profile
    with progress_bar("judge") as show:
        verdict: Verdict = judge(topology, profile, plan, proof, observations, emulation, show)
    observation = observations[0] if observations else None
    if left.out is not None:
        from qnet.report.case import Case

        case = Case(topology, profile, plan, proof, observation, verdict, emulation)
        leave(left, scenario, case)
    if as_json:
        whole = answer(verdict, plan, proof, observation, scenario.topology, emulation)
        say_json(whole)
    else:
        print_verdict(verdict, Console())
        if emulation is not None:
            print_witnesses(emulation, Console())
        if left.out is not None:
            say(f"report: {left.out / 'report.html'}")
    if verdict.outcome != "pass":
        sys.exit(1 if verdict.outcome == "fail" else NOT_KNOWN)
