"""The highest load at which a network does what it must: `qnet.load_limit` and `qnet load`.

Goal `promises`: every promise is known to be kept, planned anew at each load. Linear programs say
which loads no plan carries; the checker says at which no promise is broken; frames are sent only
from there down. Goal `loss`: the plan stays, demands offer more or less, and a share of their
frames at most is lost (RFC 2544's throughput where that is none), in the terms of RFC 9971.
"""

from __future__ import annotations

from typing import get_args

from qnet import api
from qnet.errors import ArgumentError, Problem
from qnet.loads.goals import LoadQuestion, Losses, Promises
from qnet.model.emulation import Tier
from qnet.model.load_limit import PPM, GoalKind, LoadLimit
from qnet.model.scale import Chosen, read_scale
from qnet.model.scenario import Scenario
from qnet.model.traffic import Demand, Stream
from qnet.progress import Progress
from qnet.units import RATIO, UnitError, describe, parse

PROMISES_WIDTH, LOSS_WIDTH = "1%", "0.5%"
"""How far apart bounds may be unless it is said: of 1 %, halving takes eight trials at most."""


def load_limit(
    scenario: Scenario | str,
    *,
    goal: GoalKind = "promises",
    loss: str = "0%",
    width: str | None = None,
    traffic_class: str | None = None,
    group: str | None = None,
    route: tuple[str, str] | None = None,
    duration: str | None = None,
    emulate: Tier | None = None,
    sample: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> LoadLimit:
    """Search for the highest load at which a goal is met, in shares of the profile's own load.

    All streams and demands are scaled, as `Scenario.with_(scale=)` does, or those of a class, a
    group, or a route from one node to another. Bounds are at most `width` apart. With goal `loss`
    that share of the frames at most may be lost. With `emulate` each trial sends a `sample` of its
    frames through real switches, too, which must do as the plan says. The same scenario and
    arguments give the same answer, however long trials take. Raises ArgumentError, InputError,
    Infeasible, Cancelled; and EnvironmentMissing where the machine has not what emulation needs.
    """
    if goal not in get_args(GoalKind):
        words = f"{describe(goal)} is no goal; there are {' and '.join(get_args(GoalKind))}"
        raise ArgumentError([Problem("goal", 0, 0, "", words)])
    case = api.load(scenario) if isinstance(scenario, str) else scenario
    case = case.with_(duration=duration)
    scaled_words, chosen = choose(case, traffic_class, group, route)
    width_ppm = read_width_ppm(width, PROMISES_WIDTH if goal == "promises" else LOSS_WIDTH)
    check_switches(case, emulate, sample)
    asked = LoadQuestion(case, scaled_words, chosen, width_ppm, threads, progress, emulate, sample)
    if goal == "promises":
        return Promises(asked).find()
    return Losses(asked, read_share_ppb("loss", loss)).find()


def check_switches(case: Scenario, emulate: Tier | None, sample: int | None) -> None:
    """Raise ArgumentError or EnvironmentMissing where trials cannot go through real switches."""
    if sample is not None and emulate is None:
        raise ArgumentError([Problem("sample", 0, 0, "", "goes with emulate only")])
    api.check_emulated(case, emulate)


def read_load_ppm(name: str, text: str) -> int:
    """Read a load like '97.5%' or '120%', to the next lower millionth. Raises ArgumentError."""
    try:
        if not text.endswith("%"):
            raise UnitError(f"{describe(text)} is no load; write it like '120%'")
        return int(read_scale(text.removesuffix("%")) * PPM / 100)
    except UnitError as error:
        raise ArgumentError([Problem(name, 0, 0, "", str(error))]) from None


def read_width_ppm(text: str | None, usual: str) -> int:
    """Read how far apart bounds may be, as a share. Raises ArgumentError."""
    width_ppm = read_share_ppb("width", text or usual) // 1000
    if not 100 <= width_ppm < PPM:
        words = f"{text} is out of range; a share from 0.01% to below 100%"
        raise ArgumentError([Problem("width", 0, 0, "", words)])
    return width_ppm


def read_share_ppb(name: str, text: str) -> int:
    """Read a share like '0.1%', in parts per billion. Raises ArgumentError."""
    try:
        return parse(RATIO, text)
    except UnitError as error:
        raise ArgumentError([Problem(name, 0, 0, "", str(error))]) from None


def choose(
    case: Scenario, traffic_class: str | None, group: str | None, route: tuple[str, str] | None
) -> tuple[str, Chosen]:
    """Say what is scaled; raises ArgumentError where nothing is, or several are asked for."""
    given = [one for one in (traffic_class, group, route) if one is not None]
    if len(given) > 1:
        words = "a class, a group or a route is scaled; keep one of them"
        raise ArgumentError([Problem("group", 0, 0, "", words)])
    name, words = "traffic_class", "all streams and demands"
    chosen: Chosen = lambda _: True  # noqa: E731
    if traffic_class is not None:
        words = f"class {traffic_class}"
        chosen = lambda one: one.traffic_class == traffic_class  # noqa: E731
    elif group is not None:
        name, words = "group", f"group {group}"
        chosen = lambda one: (one.group or one.name) == group  # noqa: E731
    elif route is not None:
        name, words = "route", f"all from {route[0]} to {route[1]}"
        chosen = lambda one: _is_of(one, route)  # noqa: E731
    profile = case.profile
    every: list[Stream | Demand] = [*profile.streams, *profile.demands]
    if not any(map(chosen, every)):
        known = {
            "traffic_class": {one.traffic_class for one in every},
            "group": {one.group or one.name for one in every},
            "route": {" to ".join(_ends(one)) for one in every},
        }[name]
        some = ", ".join(sorted(known)[:8]) or "there is neither stream nor demand"
        raise ArgumentError([Problem(name, 0, 0, "", f"{words}: nothing is of it; known: {some}")])
    return words, chosen


def _ends(one: Stream | Demand) -> tuple[str, str]:
    return (one.source, one.target) if isinstance(one, Demand) else (one.talker, one.listeners[0])


def _is_of(one: Stream | Demand, route: tuple[str, str]) -> bool:
    if isinstance(one, Demand):
        return (one.source, one.target) == route
    return one.talker == route[0] and route[1] in one.listeners
