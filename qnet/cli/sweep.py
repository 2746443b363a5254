"""The verbs of many cases: sweep, merge."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qnet.cli.command import OURS, main
from qnet.cli.options import Command, output_option, settings_option
from qnet.cli.output import say, say_json_text
from qnet.cli.outputs import check_outputs
from qnet.cli.stages import check_out, progress_bar
from qnet.errors import InputError, Problem

if TYPE_CHECKING:
    from qnet.model.sweep import Sweep

RANGE_MOST = 100_000
"""Seeds of one option."""


def _seeds(context: click.Context, _: click.Parameter, text: str | None) -> list[int] | None:
    """Read '1..5' or '1,2,7'."""
    del context
    if text is None:
        return None
    first, dots, last = text.partition("..")
    words = "are no seeds; write them like '1..5' or '1,2,7'"
    seeds: Sequence[int] = ()
    try:
        if not dots:
            seeds = [*map(int, text.split(","))]
        elif int(last) - int(first) < RANGE_MOST:
            seeds = range(int(first), int(last) + 1)
        else:
            words = f"are too many seeds; at most {RANGE_MOST:,}"
    except ValueError:
        pass
    if not seeds:
        raise InputError([Problem("--seeds", 0, 0, text, words)])
    return list(seeds)


def _kinds(context: click.Context, _: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Read what fails; the API refuses what it does not know."""
    del context
    from qnet.model.sweep import KINDS_OF_FAILURE

    if text is None:
        return KINDS_OF_FAILURE
    return () if text == "none" else tuple(text.split(","))


def _answer_options(command: Command) -> Command:
    """Add where the answer goes."""
    file = click.Path(dir_okay=False, path_type=Path)
    for option in (
        click.option("--html", type=file, metavar="FILE", help="Write a page there."),
        click.option("--csv", type=file, metavar="FILE", help="Write a line for each case there."),
        click.option("--top", type=click.IntRange(0), default=10, help="Weak points to print."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
        output_option("Write the sweep there, as JSON; 'qnet merge' reads it."),
    ):
        command = option(command)
    return command


def _sweep_options(command: Command) -> Command:
    """Add what says which cases there are, and who looks at them."""
    options: tuple[Callable[[Command], Command], ...] = (
        click.option("--tls-key", metavar="FILE", help="Its key."),
        click.option("--tls-cert", metavar="FILE", help="Certificate for a cluster with TLS."),
        click.option("--tls-ca", metavar="FILE", help="Whom a cluster with TLS may be."),
        click.option(
            "--cluster", metavar="ADDRESS", help="A Dask scheduler, like tcp://127.0.0.1:8786."
        ),
        click.option(
            "--journal",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Append finished cases there, and go on from those that it has.",
        ),
        click.option("--shard", metavar="I/N", help="Look at each N-th case only, from the I-th."),
        click.option(
            "--processes", type=click.IntRange(1, 4096), help="Processes; default one a core."
        ),
        click.option(
            "--keep",
            type=click.Path(path_type=Path),
            metavar="PLAN",
            help="The plan that everything fails with; default it is made.",
        ),
        click.option(
            "--duration",
            metavar="TIME",
            default="5ms",
            show_default=True,
            help="Network time of each simulated case; it fails at half of it.",
        ),
        click.option(
            "--depth",
            type=click.Choice(["lp", "planned", "simulated"]),
            default="planned",
            show_default=True,
            help="By linear programs; planned and proven; and simulated too.",
        ),
        click.option("--seeds", callback=_seeds, metavar="A..B", help="Seeds, a case for each."),
        click.option(
            "--doubles",
            metavar="SHARE",
            help="Two at once too, the most likely first, until no more than this share of the "
            "time is left out, such as 0.01%.",
        ),
        click.option(
            "--fail",
            callback=_kinds,
            metavar="KINDS",
            help="What fails, of cable,link,wire,node,site; default all of them; none for nothing.",
        ),
        settings_option(cases=True),
        click.option("--topology", metavar="NAME|FILE", help="Another topology for the traffic."),
        click.argument("profile"),
    )
    for option in options:
        command = option(command)
    return command


@main.command()
@_sweep_options
@_answer_options
def sweep(
    profile: str,
    keep: Path | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    journal: Path | None,
    **how: Any,
) -> None:
    """Look at every failure: what breaks until anybody reacts, and what is left when planned anew.

    Exit code 1 when in some case a promise is broken once it is planned anew; 70 when some case has
    no answer, since its process dies or qnet is at fault. The others have theirs.
    """
    from qnet.files.read import read_plan
    from qnet.sweeps.cluster import Security
    from qnet.sweeps.run import sweep as look

    answer = {name: how.pop(name) for name in ("output", "csv", "html", "as_json", "top")}
    places = [(f"--{name}", answer[name]) for name in ("output", "csv", "html")]
    for _, path in places:
        check_out(path and path.parent)
    check_outputs([keep, profile], *places, ("--journal", journal))
    security = None
    if tls_ca or tls_cert or tls_key:
        if not (tls_ca and tls_cert and tls_key):
            words = "goes with '--tls-cert FILE' and '--tls-key FILE'; give all three"
            raise InputError([Problem("--tls-ca", 0, 0, "", words)])
        security = Security(tls_ca, tls_cert, tls_key)
    plan = None if keep is None else read_plan(str(keep))
    begun, cpu = time.monotonic(), _cpu_s()
    with progress_bar() as progress:
        made = look(
            profile, plan=plan, security=security, journal=journal, progress=progress, **how
        )
    _leave(made, **answer)
    wall = time.monotonic() - begun
    say(f"{wall:.1f} s on the wall, {_cpu_s() - cpu:.1f} s of cores", err=True)
    _end(made)


def _cpu_s() -> float:
    import os

    return sum(os.times()[:4])


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_answer_options
def merge(files: tuple[Path, ...], **answer: Any) -> None:
    """Put the shards of one sweep together, as if it had been looked at in one piece."""
    from qnet.files.read import read_sweep
    from qnet.sweeps.run import merge as put

    places = [(f"--{name}", answer[name]) for name in ("output", "csv", "html")]
    check_outputs(files, *places)
    made = put([read_sweep(str(one)) for one in files])
    _leave(made, **answer)
    _end(made)


def _leave(
    made: Sweep, output: Path | None, csv: Path | None, html: Path | None, as_json: bool, top: int
) -> None:
    """Write and print the answer."""
    from qnet.files.write import to_json, write_text
    from qnet.report.columns import to_csv
    from qnet.report.sweep import case_table, sweep_lines, sweep_page

    if output is not None:
        write_text(output, to_json(made))
    if csv is not None:
        write_text(csv, to_csv(case_table(made)))
    if html is not None:
        write_text(html, sweep_page(made))
    if as_json:
        say_json_text(to_json(made))
    else:
        say("\n".join(sweep_lines(made, top)))


def _end(made: Sweep) -> None:
    if made.unfinished:
        sys.exit(OURS)
    if any(one.outcome == "fail" for one in made.results):
        sys.exit(1)
