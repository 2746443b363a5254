"""The verb load: how much more a network could carry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from qnet.cli.command import NOT_KNOWN, main
from qnet.cli.options import output_option, scenario_options
from qnet.cli.output import say, say_json_text
from qnet.cli.outputs import check_outputs
from qnet.cli.stages import check_out, load_scenario, progress_bar
from qnet.errors import InputError, Problem
from qnet.units import WHOLE_HIGHEST


def _route(context: click.Context, _: click.Parameter, text: str | None) -> tuple[str, str] | None:
    """Read FROM,TO."""
    del context
    if text is None:
        return None
    source, comma, target = text.partition(",")
    if not (comma and source and target):
        words = "is no route; write the two nodes like 'xian,beijing'"
        raise InputError([Problem("--route", 0, 0, text, words)])
    return source, target


@main.command()
@scenario_options
@click.option("--all", "all_", is_flag=True, help="Scale all streams and demands, the default.")
@click.option("--class", "traffic_class", metavar="NAME", help="Scale one traffic class.")
@click.option("--group", metavar="NAME", help="Scale one service.")
@click.option(
    "--route", callback=_route, metavar="FROM,TO", help="Scale what goes from a node to another."
)
@click.option(
    "--goal",
    type=click.Choice(["promises", "loss"]),
    default="promises",
    show_default=True,
    help="That every promise is kept; or that no more frames are lost, over the ways as planned.",
)
@click.option("--loss", metavar="SHARE", help="Of frames that may be lost; default none.")
@click.option(
    "--width", metavar="SHARE", help="How far apart bounds may be; default 1%, or 0.5% of losses."
)
@click.option("--at-least", metavar="SHARE", help="End with 1 where the lower bound is less.")
@click.option("--duration", metavar="TIME", help="Network time of each trial.")
@click.option("--seed", type=click.IntRange(0, WHOLE_HIGHEST), help="Another seed.")
@click.option("--threads", type=click.IntRange(1, 4096), help="Threads; default all cores.")
@click.option(
    "--csv",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a line for each load and class there.",
)
@output_option("Write the answer there, as JSON.")
def load(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    csv: Path | None,
    output: Path | None,
    at_least: str | None,
    **how: Any,
) -> None:
    """Search for the highest load at which every promise is kept, or no more frames are lost.

    Loads are shares of the profile's own. Exit code 1 where the lower bound is below '--at-least',
    4 where there is none.
    """
    from qnet.files.write import to_json, write_text
    from qnet.loads.run import load_limit, read_load_ppm
    from qnet.report.columns import to_csv
    from qnet.report.load import load_lines, load_table

    _check_scaled(how)
    if how["loss"] is not None and how["goal"] != "loss":
        raise InputError([Problem("--loss", 0, 0, how["loss"], "goes with '--goal loss'")])
    how["loss"] = how["loss"] or "0%"
    least_ppm = None if at_least is None else read_load_ppm("at_least", at_least)
    places = [("--csv", csv), ("--output", output)]
    for _, path in places:
        check_out(path and path.parent)
    check_outputs([profile, topology], *places)
    changed = {name: how.pop(name) for name in ("seed", "duration")}
    scenario = load_scenario(profile, topology, settings, **changed)
    with progress_bar() as progress:
        limit = load_limit(scenario, progress=progress, **how)
    if csv is not None:
        write_text(csv, to_csv(load_table(limit)))
    if output is not None:
        write_text(output, to_json(limit))
    if as_json:
        say_json_text(to_json(limit))
    else:
        say("\n".join(load_lines(limit)))
    if least_ppm is not None and (limit.lower_ppm or 0) < least_ppm:
        sys.exit(1)
    if limit.lower_ppm is None:
        sys.exit(NOT_KNOWN)


def _check_scaled(how: dict[str, Any]) -> None:
    """Refuse two answers to what is scaled; all of it is no setting of its own."""
    names = {"traffic_class": "--class", "group": "--group", "route": "--route"}
    given = [option for name, option in names.items() if how[name] is not None]
    given += ["--all"] if how.pop("all_") else []
    if len(given) > 1:
        words = f"goes without {given[1]}; keep one of them"
        raise InputError([Problem(given[0], 0, 0, "", words)])
