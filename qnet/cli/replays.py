"""The verb replay: a long timeline, watched wherever something changes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qnet.cli.command import NOT_KNOWN, main
from qnet.cli.options import events_option, scenario_options
from qnet.cli.output import say, say_json_text
from qnet.cli.stages import check_out, load_scenario, progress_bar
from qnet.errors import InputError, Problem
from qnet.units import WHOLE_HIGHEST

if TYPE_CHECKING:
    from qnet.model.scenario import Scenario


@main.command()
@scenario_options
@events_option
@click.option("--until", metavar="TIME", help="The end; default a little after the last change.")
@click.option("--before", metavar="TIME", help="How long before a change frames are watched.")
@click.option("--after", metavar="TIME", help="How long after a change frames are watched.")
@click.option("--seed", type=click.IntRange(0, WHOLE_HIGHEST), help="Another seed.")
@click.option("--threads", type=click.IntRange(1, 4096), help="Threads; default all cores.")
@click.option(
    "--emulate",
    type=click.Choice(["lockstep", "mininet"]),
    help="Send frames of every window through real switches too.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, 10**9),
    metavar="N",
    help="About as many frames of each window through real switches; default 1000.",
)
@click.option(
    "--latency",
    multiple=True,
    metavar="NAME",
    help="Draw the latency of this stream or demand over time; default some that are touched most.",
)
@click.option(
    "--controller",
    metavar="WHERE",
    help="With --emulate: leave the reacting to your own controller, tcp:HOST:PORT or the module "
    "of an os-ken app. No plan is carried out; times are those of the wall clock.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Leave replay.json, replay.html, plan.json and the windows that are done there.",
)
@click.option("--resume", is_flag=True, help="Go on with the windows that are done in DIR.")
def replay(
    profile: str,
    topology: str | None,
    settings: dict[str, str],
    as_json: bool,
    out: Path | None,
    resume: bool,
    controller: str | None,
    **how: Any,
) -> None:
    """Replay the events of a timeline, however far apart, and say which promises held how long.

    Every frame is simulated wherever something changes; in between frames are counted by when they
    are due. Exit code 1 when a promise was broken for some time.
    """
    from qnet.files.read import title_of
    from qnet.files.write import to_json, write_text
    from qnet.replays.run import replay as play
    from qnet.report.replay import replay_lines
    from qnet.report.replay_page import replay_page

    if resume and out is None:
        raise InputError([Problem("--resume", 0, 0, "", "needs '--out DIR'")])
    _check_controller(controller, resume, how)
    title = title_of(profile, how["events"])
    scenario = load_scenario(
        profile, topology, settings, seed=how.pop("seed"), events=how.pop("events")
    )
    check_out(out)
    if controller is not None:
        asked = {"tier": how["emulate"], **{one: how[one] for one in ("until", "after", "sample")}}
        _to_controller(scenario, controller, out, as_json, {**asked, "title": title})
        return
    with progress_bar() as progress:
        played = play(scenario, title=title, folder=out, resume=resume, progress=progress, **how)
    made = played.replay
    if out is not None:
        write_text(out / "plan.json", to_json(played.plan))
        write_text(out / "replay.json", to_json(made))
        write_text(out / "replay.html", replay_page(made, played.calm.case))
    if as_json:
        say_json_text(to_json(made))
    else:
        for line in replay_lines(made):
            say(line)
        if out is not None:
            say(f"page: {out / 'replay.html'}")
    if made.outcome != "pass":
        sys.exit(1 if made.outcome == "fail" else NOT_KNOWN)


def _check_controller(controller: str | None, resume: bool, how: Mapping[str, Any]) -> None:
    """Refuse what does not go with a controller of one's own; all at once."""
    if controller is None:
        return
    words = "goes without '--controller': nothing is simulated there"
    given = {
        "--resume": resume,
        **{f"--{one}": how[one] for one in ("before", "threads", "latency")},
    }
    problems = [Problem(name, 0, 0, "", words) for name, value in given.items() if value]
    if how["emulate"] is None:
        words = "needs '--emulate mininet', or lockstep where you are not root"
        problems.append(Problem("--controller", 0, 0, "", words))
    if problems:
        raise InputError(problems)


def _to_controller(
    scenario: Scenario, controller: str, out: Path | None, as_json: bool, how: dict[str, Any]
) -> None:
    """Play the events to a controller, and leave what it did about them."""
    from qnet.files.write import to_json, write_text
    from qnet.replays.reacting import replay_to_controller
    from qnet.report.reacting import reacting_lines

    made = replay_to_controller(scenario, controller, say=lambda words: say(words, err=True), **how)
    if out is not None:
        write_text(out / "replay.json", to_json(made))
    if as_json:
        say_json_text(to_json(made))
    else:
        for line in reacting_lines(made):
            say(line)
    if made.outcome != "pass":
        sys.exit(1 if made.outcome == "fail" else NOT_KNOWN)
