"""The verb load: how much more a network could carry."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from qnet.cli.command import NOT_KNOWN, main
from qnet.cli.options import output_option, scenario_options
from qnet.cli.output import say, say_json_text
from qnet.cli.outputs import check_outputs
from qnet.cli.stages import check_out, check_parquet, load_scenario, progress_bar
from qnet.errors import InputError, Problem
from qnet.units import WHOLE_HIGHEST

if TYPE_CHECKING:
    from qnet.model.activation import ServiceActivation
    from qnet.model.benchmark import Benchmark
    from qnet.model.load_limit import LoadLimit
    from qnet.model.scenario import Scenario
    from qnet.report.columns import Table
    from qnet.report.junit import SuiteCase


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


def _sizes(context: click.Context, _: click.Parameter, text: str | None) -> list[int] | None:
    """Read sizes of frames like 64,512."""
    del context
    if text is None:
        return None
    try:
        return [int(one.strip().removesuffix("B")) for one in text.split(",")]
    except ValueError:
        words = "are no sizes of frames; write them in bytes, like 64,512,1518"
        raise InputError([Problem("--frame-sizes", 0, 0, text, words)]) from None


_FILE = click.Path(dir_okay=False, path_type=Path)

_OUTPUTS = ("output", "csv", "parquet", "html", "junit")

_OF_TEST = {
    "limit": {"goal", "loss", "width", "at_least", "emulate", "sample"},
    "y1564": {"loss", "cir", "eir", "emulate", "sample"},
    "rfc2544": {"width", "at_least", "sizes", "repeats", "emulate", "sample"},
}
"""What each test may be told, beside what is scaled, and how."""

_SPELT = {"sizes": "--frame-sizes"}


def _output_options(command: Any) -> Any:
    """Add the files that an answer may be written to."""
    for name, what in (
        ("--junit", "Write it there as JUnit XML, a test case for each goal, step or test."),
        ("--html", "Write a page there, with curves of latency, variation and loss."),
        ("--parquet", "As --csv, in Parquet."),
        ("--csv", "Write a line for each load and class, or each step, there."),
    ):
        command = click.option(name, type=_FILE, metavar="FILE", help=what)(command)
    return command


@main.command()
@scenario_options
@click.option("--all", "all_", is_flag=True, help="Scale all streams and demands, the default.")
@click.option("--class", "traffic_class", metavar="NAME", help="Scale one traffic class.")
@click.option("--group", metavar="NAME", help="Scale one service.")
@click.option(
    "--route", callback=_route, metavar="FROM,TO", help="Scale what goes from a node to another."
)
@click.option(
    "--test",
    type=click.Choice(list(_OF_TEST)),
    default="limit",
    show_default=True,
    help="Search for the limit; or ITU-T Y.1564 of policed streams; or RFC 2544 and 9004.",
)
@click.option(
    "--goal",
    type=click.Choice(["promises", "loss"]),
    help="That every promise is kept, the default; or that no more frames are lost, over the ways "
    "as planned.",
)
@click.option(
    "--loss", metavar="SHARE", help="Of frames that may be lost; default none. Of Y.1564 the FLR."
)
@click.option(
    "--width", metavar="SHARE", help="How far apart bounds may be; default 1%, or 0.5% of losses."
)
@click.option("--at-least", metavar="SHARE", help="End with 1 where the lower bound is less.")
@click.option("--cir", metavar="RATE", help="Y.1564: CIR of each service; default what it asks.")
@click.option("--eir", metavar="RATE", help="Y.1564: EIR of each; default its excess-rate.")
@click.option(
    "--frame-sizes", "sizes", callback=_sizes, metavar="BYTES,...", help="RFC 2544; default seven."
)
@click.option(
    "--repeats", type=click.IntRange(1, 10_000), help="RFC 9004: bursts of a size; default 50."
)
@click.option(
    "--emulate",
    type=click.Choice(["lockstep", "mininet"]),
    help="Send a sample of the frames of each trial through real switches, too.",
)
@click.option(
    "--sample", type=click.IntRange(1, 10**9), metavar="N", help="As with 'qnet run --emulate'."
)
@click.option("--duration", metavar="TIME", help="Network time of each trial.")
@click.option("--seed", type=click.IntRange(0, WHOLE_HIGHEST), help="Another seed.")
@click.option("--threads", type=click.IntRange(1, 4096), help="Threads; default all cores.")
@_output_options
@output_option("Write the answer there, as JSON.")
def load(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    test: str,
    at_least: str | None,
    **how: Any,
) -> None:
    """Search for the highest load at which every promise is kept, or no more frames are lost.

    Or test as ITU-T Y.1564 or RFC 2544 say. Loads are shares of the profile's own. Exit code 1
    where the lower bound is below '--at-least' or a service fails, 4 where it is not known.
    """
    from qnet.files.write import to_json
    from qnet.loads.run import read_load_ppm

    _check_options(test, how | {"at_least": at_least})
    del how["all_"]
    least_ppm = None if at_least is None else read_load_ppm("at_least", at_least)
    places = {name: how.pop(name) for name in _OUTPUTS}
    _check_places([profile, topology], places)
    changed = {name: how.pop(name) for name in ("seed", "duration")}
    scenario = load_scenario(profile, topology, settings, **changed)
    given = {name: value for name, value in how.items() if value is not None}
    with progress_bar() as progress:
        answer = _ANSWERS[test](scenario, least_ppm, progress=progress, **given)
    _write(answer, places)
    if as_json:
        say_json_text(to_json(answer.found))
    else:
        say("\n".join(answer.lines))
    outcomes = {one.outcome for one in answer.cases}
    if "fail" in outcomes:
        sys.exit(1)
    if "unknown" in outcomes:
        sys.exit(NOT_KNOWN)


class _Answer(NamedTuple):
    """What was found, and how it is told."""

    found: LoadLimit | ServiceActivation | Benchmark
    lines: list[str]
    table: Table
    cases: list[SuiteCase]
    page: Callable[[], str]


def _limit(scenario: Scenario, least_ppm: int | None, **how: Any) -> _Answer:
    from qnet.loads.run import load_limit
    from qnet.report.load import load_cases, load_lines, load_table
    from qnet.report.load_pages import limit_page

    limit = load_limit(scenario, **how)
    cases = load_cases(limit, least_ppm)
    return _Answer(limit, load_lines(limit), load_table(limit), cases, lambda: limit_page(limit))


def _activation(scenario: Scenario, _: int | None, **how: Any) -> _Answer:
    from qnet.loads.activation import activation_test
    from qnet.report.activation import activation_cases, activation_lines, activation_table
    from qnet.report.load_pages import activation_page

    found = activation_test(scenario, **how)
    return _Answer(
        found,
        activation_lines(found),
        activation_table(found),
        list(activation_cases(found)),
        lambda: activation_page(found),
    )


def _benchmark(scenario: Scenario, least_ppm: int | None, **how: Any) -> _Answer:
    from qnet.loads.benchmark import benchmark
    from qnet.report.benchmark import benchmark_cases, benchmark_lines, benchmark_table
    from qnet.report.load_pages import benchmark_page

    found = benchmark(scenario, **how)
    return _Answer(
        found,
        benchmark_lines(found),
        benchmark_table(found),
        list(benchmark_cases(found, least_ppm)),
        lambda: benchmark_page(found),
    )


_ANSWERS: dict[str, Callable[..., _Answer]] = {
    "limit": _limit,
    "y1564": _activation,
    "rfc2544": _benchmark,
}


def _write(answer: _Answer, places: dict[str, Path | None]) -> None:
    """Write the answer wherever it is wanted."""
    from qnet.files.write import to_json, write_text
    from qnet.report.columns import to_csv
    from qnet.report.junit import junit_suite

    texts: dict[str, Callable[[], str]] = {
        "output": lambda: to_json(answer.found),
        "csv": lambda: to_csv(answer.table),
        "html": answer.page,
        "junit": lambda: junit_suite(answer.found.title, answer.cases),
    }
    for name, text in texts.items():
        if (path := places[name]) is not None:
            write_text(path, text())
    if places["parquet"] is not None:
        from qnet.report.measurements import write_arrow

        write_arrow(places["parquet"], answer.table.to_arrow())


def _check_places(inputs: list[str | None], places: dict[str, Path | None]) -> None:
    """Refuse places that cannot be written, or not with what there is."""
    for path in places.values():
        check_out(path and path.parent)
    check_outputs(inputs, *((f"--{name}", path) for name, path in places.items()))
    check_parquet(places["parquet"] is not None)


def _check_options(test: str, how: dict[str, Any]) -> None:
    """Refuse what is of another test, two answers to what is scaled, a loss without its goal."""
    _check_scaled(how)
    known = {name for names in _OF_TEST.values() for name in names}
    for name in sorted(known - _OF_TEST[test]):
        if how[name] is not None:
            mine = next(key for key, names in _OF_TEST.items() if name in names)
            option = _SPELT.get(name, f"--{name.replace('_', '-')}")
            words = f"goes with '--test {mine}'"
            raise InputError([Problem(option, 0, 0, str(how[name]), words)])
    if test == "limit" and how["loss"] is not None and how["goal"] != "loss":
        raise InputError([Problem("--loss", 0, 0, how["loss"], "goes with '--goal loss'")])
    if how["sample"] is not None and how["emulate"] is None:
        raise InputError([Problem("--sample", 0, 0, str(how["sample"]), "goes with '--emulate'")])


def _check_scaled(how: dict[str, Any]) -> None:
    """Refuse two answers to what is scaled; all of it is no setting of its own."""
    names = {"traffic_class": "--class", "group": "--group", "route": "--route"}
    given = [option for name, option in names.items() if how[name] is not None]
    given += ["--all"] if how["all_"] else []
    if len(given) > 1:
        words = f"goes without {given[1]}; keep one of them"
        raise InputError([Problem(given[0], 0, 0, "", words)])
