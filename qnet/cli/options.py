"""Options and arguments that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from qnet.errors import InputError, Problem

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


def scenario_options(command: Command) -> Command:
    """Add what says which files are meant, and --json."""
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


def simulation_options(command: Command) -> Command:
    """Add what changes the simulation: duration, seed, threads."""
    for option in (
        click.option("--threads", type=click.IntRange(1), help="Threads; default all cores."),
        click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Another seed."),
        click.option("--duration", metavar="TIME", help="Another network time, such as 5ms."),
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
            help="Leave verdict.json, plan.json, junit.xml and report.html there.",
        ),
    ):
        command = option(command)
    return command
