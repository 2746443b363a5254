"""The stages that the verbs go through, each with its progress on the terminal."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from qnet.cli.command import NOT_KNOWN, cannot_be_written
from qnet.cli.output import say, say_json
from qnet.errors import EnvironmentMissing, InputError, Interrupted, Problem
from qnet.progress import Quiet

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from qnet.api import Checkpoint
    from qnet.model.emulation import Emulation
    from qnet.model.observation import Observation
    from qnet.model.plan import Plan
    from qnet.model.proof import Proof
    from qnet.model.scenario import Scenario
    from qnet.progress import Progress


def load_scenario(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    *,
    duration: str | None = None,
    seed: int | None = None,
    events: Path | None = None,
    **_: object,
) -> Scenario:
    """Read the files of a run, with the simulation settings of the command line put in."""
    from qnet.api import load

    scenario = load(profile, topology=topology, settings=settings, events=events)
    return scenario.with_(seed=seed, duration=duration)


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


class _Bar(Quiet):
    """A bar for all stages of one piece of work."""

    def __init__(self, bars: Bars, title: str) -> None:
        self._bars = bars
        self._bar = bars.add_task(title, total=None)

    def step(self, done: int, total: int) -> None:
        """Show how much is done."""
        self._bars.update(self._bar, completed=done, total=total)


class _StageBar(Quiet):
    """A bar under the title of what is at work; where there is no terminal, a line for each."""

    def __init__(self, bars: Bars, *, terminal: bool) -> None:
        self._bars, self._terminal = bars, terminal
        self._bar = bars.add_task("", total=None)

    def stage(self, title: str) -> None:
        """Show what begins."""
        self._bars.update(self._bar, description=title, completed=0, total=None)
        if not self._terminal:
            say(f"{title} ...", err=True)

    def step(self, done: int, total: int) -> None:
        """Show how much is done."""
        self._bars.update(self._bar, completed=done, total=total or None)


@contextmanager
def progress_bar(title: str | None = None) -> Iterator[Progress]:
    """Show a bar on a terminal, and nothing when standard error is a file.

    Without a title of its own it has that of what is at work, and says that in a file, too.
    """
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    percentage = [TextColumn("{task.percentage:>3.0f}%")] if title else []
    columns = (TextColumn("{task.description}"), BarColumn(), *percentage, TimeElapsedColumn())
    console = _console()
    terminal = console.is_terminal
    with Bars(*columns, console=console, disable=not terminal) as bars:
        yield _Bar(bars, title) if title else _StageBar(bars, terminal=terminal)


def plan(scenario: Scenario, **how: Any) -> Plan:
    """Schedule the scenario; `how` are arguments of `qnet.api.plan`."""
    from qnet import api

    with progress_bar("plan") as progress:
        return api.plan(scenario, **how, progress=progress)


def prove(scenario: Scenario, plan: Plan) -> Proof:
    """Have the checker judge a plan."""
    from qnet import api

    with progress_bar("prove") as progress:
        return api.prove(scenario, plan, progress=progress)


def observe(scenario: Scenario, plan: Plan, **how: Any) -> Observation:
    """Simulate a plan; `how` are arguments of `qnet.api.observe`."""
    from qnet import api

    def announce(words: str) -> None:
        _console().print(words, highlight=False)

    with progress_bar("simulate") as progress:
        return api.observe(scenario, plan, **how, progress=progress, say=announce)


def check_measure(out: Path | None, measure: bool, trace: Path | None) -> None:
    """Refuse to measure where there is no place for it, or nothing to write it with."""
    if measure and out is None:
        raise InputError([Problem("--measure", 0, 0, "", "needs '--out DIR'")])
    if trace is not None:
        check_out(trace.parent)
    check_parquet(measure or (trace is not None and trace.suffix == ".parquet"))


def check_parquet(is_asked: bool) -> None:
    """Refuse Parquet where there is nothing to write it with."""
    from importlib.util import find_spec

    if is_asked and find_spec("pyarrow") is None:
        raise EnvironmentMissing("Parquet needs pyarrow: pip install 'qnet-emulator[measure]'")


@contextmanager
def keeping(path: Path | None, every: str | None, resume: bool) -> Iterator[Checkpoint | None]:
    """Say where and how often a run is kept; Ctrl-C and SIGTERM end it only once it is kept."""
    from qnet.api import checkpoint

    if path is None:
        if every is not None or resume:
            what = "needs '--checkpoint FILE'"
            raise InputError([Problem("--resume" if resume else "--every", 0, 0, "", what)])
        yield None
        return
    check_out(path.parent)
    asked: list[int] = []
    kept = checkpoint(
        path,
        every=every,
        resume=resume,
        asked=lambda: bool(asked),
        failed=lambda why: say(f"{why}; the run goes on without it", err=True),
    )
    if resume and not path.exists():
        say(f"{path}: no checkpoint yet; the run begins at the start", err=True)
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
        yield kept
    except Interrupted as error:
        error.exit_code = 128 + asked[0]
        raise
    finally:
        for number, before in usual.items():
            signal.signal(number, before)


def play(
    scenario: Scenario, plan: Plan, proof: Proof, observation: Observation, **how: Any
) -> Emulation:
    """Send a sample through real switches; `how` are arguments of `qnet.api.play`.

    Wall-clock times are said on the side.
    """
    from qnet import api

    told: list[str] = []
    with progress_bar(None if how["tier"] == "mininet" else "emulate") as progress:
        how = {**how, "progress": progress, "say": told.append}
        made = api.play(scenario, plan, proof, observation, **how)
    for line in told:
        say(line, err=True)
    return made


class Left(NamedTuple):
    """What a command leaves in a folder: reports, and what there was to be asked about."""

    out: Path | None
    port: str | None
    run: bool = False
    measurements: bool = False


def answer(
    scenario: Scenario,
    plan: Plan,
    proof: Proof,
    observation: Observation | None,
    as_json: bool,
    left: Left,
    emulation: Emulation | None = None,
) -> None:
    """Judge, print, leave the reports in a folder and set the exit code."""
    from rich.console import Console

    from qnet import api
    from qnet.report.text import print_verdict, print_witnesses

    with progress_bar("judge") as progress:
        result = api.answer(scenario, plan, proof, observation, emulation, progress=progress)
    if left.out is not None:
        result.save(left.out, port=left.port, keep_run=left.run, measurements=left.measurements)
    if as_json:
        say_json(result.to_dict())
    else:
        print_verdict(result.verdict, Console(), result.case.sections)
        if emulation is not None:
            print_witnesses(emulation, Console())
        if left.out is not None:
            say(f"report: {left.out / 'report.html'}")
    if not result.passed:
        sys.exit(1 if result.outcome == "fail" else NOT_KNOWN)
