"""The verbs about files and the machine: validate, list, schema, doctor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from qnet.cli.command import main
from qnet.cli.options import events_option
from qnet.cli.output import say, say_json
from qnet.errors import InputError, Problem

if TYPE_CHECKING:
    from qnet.model.traffic import Profile


@main.command()
@click.argument("files", nargs=-1, required=True)
@events_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.option("--plain", is_flag=True, help="Print traffic files with all scenes written out.")
def validate(files: tuple[str, ...], events: str | None, as_json: bool, plain: bool) -> None:
    """Read topology and traffic files and report every fault of all of them.

    Events are read with each traffic file, and must be of what that has. With --plain a traffic
    file follows as plain classes, streams, demands and events, the figures of its scenes and their
    sources before it.

    Exit code 1 when they are right, but ask for what no plan can give: more than the wires that
    every route must take can carry, or less time than light and line take.
    """
    from qnet.api import excluded as excluded_by
    from qnet.files.read import bundled_names, kind_of, load, read_topology
    from qnet.report.text import first_lines

    problems: list[Problem] = []
    good: list[str] = []
    unlisted = 0
    excluded: list[str] = []
    is_read = events is None
    # Of a name that is both a topology's and a traffic file's the second is meant then.
    both = bundled_names("traffic") if plain or events is not None else []
    for name in files:
        try:
            if name not in both and kind_of(name) == "topology":
                good.append(f"{name}: {read_topology(name).title}")
            else:
                is_read = True
                scenario = load(name, events=events)
                good.append(f"{name}: {scenario.profile.title}")
                if plain:
                    good += _plain_lines(name, scenario.profile)
                excluded += [f"{name}: {text}" for text in excluded_by(scenario)]
        except InputError as error:
            problems += error.problems
            unlisted += error.unlisted
    if not is_read and not problems:
        words = "events go with a traffic file, and none is given"
        problems.append(Problem("--events", 0, 0, "", words))
    problems = sorted(set(problems))
    if as_json:
        rows = [vars(problem) for problem in problems]
        say_json({"valid": good, "problems": rows, "unlisted": unlisted, "excluded": excluded})
    else:
        for line in [*good, *first_lines(excluded)]:
            say(line)
    if problems:
        if as_json:
            sys.exit(InputError.exit_code)
        raise InputError(problems, unlisted)
    if excluded:
        sys.exit(1)


def _plain_lines(name: str, profile: Profile) -> list[str]:
    """Return a traffic file with its scenes written out, and what is known of them."""
    from qnet.files.read import scenes_in
    from qnet.files.words import to_yaml

    told = [
        f"# {scene.name}: {figure.what}: {figure.value} ({figure.source})"
        for scene in scenes_in(name)
        for figure in scene.figures
    ]
    return [*told, *to_yaml(profile).splitlines()]


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def list_bundled(as_json: bool) -> None:
    """List the topologies, traffic profiles, scenes and timelines that come with qnet."""
    from qnet.files.read import (
        bundled_names,
        bundled_scenes,
        bundled_timelines,
        load,
        read_timeline,
        read_topology,
    )

    titles = {
        "traffic": {name: load(name).profile.title for name in bundled_names("traffic")},
        "topologies": {name: read_topology(name).title for name in bundled_names("topology")},
        "timelines": {name: read_timeline(name).title for name in bundled_timelines()},
        "scenes": {scene.name: scene.title for scene in bundled_scenes()},
    }
    if as_json:
        say_json(titles)
        return
    for kind, entries in titles.items():
        say(f"{kind}:")
        for name, title in entries.items():
            say(f"  {name:24} {title}")


@main.command()
@click.argument("kind", type=click.Choice(["topology", "traffic", "events"]))
def schema(kind: Literal["topology", "traffic", "events"]) -> None:
    """Print the JSON Schema of a file kind, for editors."""
    from qnet.files.schema import schema as schema_of

    say_json(schema_of(kind))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def doctor(as_json: bool) -> None:
    """Say what this machine can do, what it cannot, and why."""
    from qnet.machine import doctor as examine

    findings, advice = examine()
    if as_json:
        rows = [finding._asdict() for finding in findings]
        say_json(rows)
    else:
        for finding in findings:
            mark = "ok     " if finding.good else "missing" if finding.needed else "absent "
            say(f"{mark} {finding.what}: {finding.detail}")
        for line in advice:
            say(line)
    if any(finding.needed and not finding.good for finding in findings):
        sys.exit(3)
