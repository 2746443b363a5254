"""Options and arguments that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from qnet.errors import InputError, Problem
from qnet.units import WHOLE_HIGHEST

Command = Callable[..., Any]


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


def _settings_of_cases(
    context: click.Context, parameter: click.Parameter, pairs: Sequence[str]
) -> dict[str, list[str]]:
    """Read '--set name=a,b,c' options."""
    return {
        name: values.split(",") for name, values in _settings(context, parameter, pairs).items()
    }


def settings_option(*, cases: bool = False) -> Callable[[Command], Command]:
    """Add what sets parameters of the traffic file; with `cases`, each to a value or to several."""
    words = "Values of a parameter of the traffic file, a case for each; may be repeated."
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=A,B" if cases else "NAME=VALUE",
        callback=_settings_of_cases if cases else _settings,
        help=words if cases else "Set a parameter of the traffic file; may be repeated.",
    )


def scenario_arguments(name: str, metavar: str | None = None) -> Callable[[Command], Command]:
    """Add what says which files are meant; the profile is given as `name`."""

    def add(command: Command) -> Command:
        for option in (
            settings_option(),
            click.option(
                "--topology", metavar="NAME|FILE", help="Another topology for the traffic."
            ),
            click.argument(name, metavar=metavar),
        ):
            command = option(command)
        return command

    return add


def scenario_options(command: Command) -> Command:
    """Add what says which files are meant, and --json."""
    json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
    return scenario_arguments("profile")(json(command))


def events_option(command: Command) -> Command:
    """Add what says which file of events there is."""
    return click.option(
        "--events",
        metavar="NAME|FILE",
        help="What breaks and is mended meanwhile, a bundled timeline or a file; docs/events.md.",
    )(command)


def simulation_options(command: Command) -> Command:
    """Add what changes the simulation, or keeps it: events, duration, seed, checkpoints."""
    command = events_option(command)
    for option in (
        click.option(
            "--measure",
            is_flag=True,
            help="Leave measurements in DIR/measurements, as Parquet (needs pyarrow).",
        ),
        click.option(
            "--trace-frames",
            type=click.IntRange(1, 100_000_000),
            default=100_000,
            show_default=True,
            help="Frames in the trace: the first of the run, counted at every port.",
        ),
        click.option(
            "--trace",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Write frames there as pcapng, or as its end says: .pcap, .parquet.",
        ),
        click.option("--resume", is_flag=True, help="Go on from the checkpoint, if there is one."),
        click.option(
            "--every",
            metavar="TIME",
            help="Network time between checkpoints; default a tenth, at least a thousandth.",
        ),
        click.option(
            "--checkpoint",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Keep the run there, to go on from with --resume after whatever may happen.",
        ),
        click.option(
            "--at-most",
            type=click.IntRange(1, WHOLE_HIGHEST),
            metavar="FRAME-HOPS",
            help="Do not begin to simulate more than this: frames times the ports they leave.",
        ),
        click.option("--threads", type=click.IntRange(1, 4096), help="Threads; default all cores."),
        click.option("--seed", type=click.IntRange(0, WHOLE_HIGHEST), help="Another seed."),
        click.option("--duration", metavar="TIME", help="Another network time, such as 5ms."),
    ):
        command = option(command)
    return command


def search_options(command: Command) -> Command:
    """Add what says how long to look for room for more reserved streams."""
    for option in (
        click.option(
            "--rounds",
            type=click.IntRange(0, 10**9),
            help="Search so many rounds; the same seed and rounds give the same plan.",
        ),
        click.option(
            "--budget",
            metavar="TIME",
            help="Search so long for room for more reserved streams, such as 10s.",
        ),
    ):
        command = option(command)
    return command


def report_options(command: Command) -> Command:
    """Add what says where the report goes and what it shows."""
    for option in (
        click.option("--port", metavar="PORT", help="Port whose cycles the report shows."),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="Leave verdict.json, plan.json, junit.xml, report.html and the run there.",
        ),
    ):
        command = option(command)
    return command


def output_option(text: str) -> Callable[[Command], Command]:
    """Add what says which file is written; `text` says what to."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help=text,
    )
