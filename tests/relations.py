"""What must stay as it is when a case is written otherwise: relations between two runs.

No judge is needed: a case and its twin are both planned, proven and simulated by the same code, and
compared. docs/design.md says where a relation does not hold, and why.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

from qnet.check.plan import prove
from qnet.model.observation import Observation, Traffic
from qnet.model.plan import Plan, StreamPlan
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests.builders import plan_for
from tests.random_sets import Dice, File, law, random_files


class Run(NamedTuple):
    """One case, all the way."""

    topology: Topology
    profile: Profile
    plan: Plan
    proof: Proof
    observation: Observation


def run(files: tuple[File, File], plan: Plan | None = None) -> Run:
    """Plan (unless a plan is given), prove and simulate."""
    topology, profile = Topology.model_validate(files[0]), Profile.model_validate(files[1])
    made = plan or plan_for(topology, profile)
    proof = prove(topology, profile, made)
    return Run(topology, profile, made, proof, simulate(topology, profile, made, threads=1))


def planned(one: Run, name: Callable[[str], str] = str) -> dict[str, Any]:
    """Return routes, cycles, times and gates of all streams and demands, by name."""

    def path(entry: StreamPlan) -> tuple[object, ...]:
        return tuple(
            (tuple(map(name, each.ports)), each.cycles, each.queues, each.starts_ps)
            for each in entry.paths
        )

    found: dict[str, Any] = {
        name(entry.name): (entry.status, entry.send_ps, entry.hold_ps, path(entry))
        for entry in one.plan.streams
    }
    for entry in one.plan.demands:
        parts = ((tuple(map(name, each.ports)), each.rate_bps) for each in entry.parts)
        found[name(entry.name)] = (entry.placed_bps, sorted(parts))
    found["gates"] = sorted((name(made.port), made.entries) for made in one.plan.gates)
    return found


def proven(one: Run, name: Callable[[str], str] = str, times: int = 1) -> dict[str, Any]:
    """Return the bounds of all streams, in multiples, and how many findings there are."""

    def scaled(time_ps: int | None) -> int | None:
        return None if time_ps is None else time_ps * times

    bounds: dict[str, Any] = {
        name(each.name): (scaled(each.latency_ps_min), scaled(each.latency_ps_max))
        for each in one.proof.streams
    }
    bounds[""] = len(one.proof.findings)
    return bounds


def seen(one: Run) -> dict[str, Traffic]:
    """Return what was counted of all streams and demands, by name."""
    return {each.name: each for each in (*one.observation.streams, *one.observation.demands)}


Relation = Callable[[str, int, tuple[File, File], Run], list[str]]


def _compare(what: str, first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return [
        f"{what}: {key}: {first.get(key)} and {second.get(key)}"
        for key in sorted(first.keys() | second.keys())
        if first.get(key) != second.get(key)
    ][:3]


def streams_in_another_order(
    mechanism: str, number: int, files: tuple[File, File], one: Run
) -> list[str]:
    """The order of streams, classes and demands in a file decides nothing."""
    topology, profile = deepcopy(files)
    dice = Dice(f"order {mechanism}", number)
    for key in ("streams", "classes", "demands"):
        profile[key] = sorted(profile[key], key=lambda _: dice.below(10**9))
    other = run((topology, profile))
    return [
        *_compare("planned", planned(one), planned(other)),
        *_compare("proven", proven(one), proven(other)),
    ]


def listeners_in_another_order(
    mechanism: str, number: int, files: tuple[File, File], one: Run
) -> list[str]:
    """Who of the listeners is written first changes neither what a plan is worth nor what is seen.

    Which of several trees is taken may follow from it; so the plan is the same here.
    """
    topology, profile = deepcopy(files)
    for each in profile["streams"]:
        each["to"] = each["to"][::-1] if isinstance(each["to"], list) else each["to"]
    if profile == files[1]:
        return []
    wanted = Profile.model_validate(profile).every_stream
    legs = {entry.name: entry for entry in one.plan.streams}
    turned = one.plan.replace(streams=tuple(legs[each.name] for each in wanted))
    other = run((topology, profile), turned)
    return [
        *_compare("proven", proven(one), proven(other)),
        *_compare("seen", seen(one), seen(other)),
    ]


def nodes_in_another_order(
    mechanism: str, number: int, files: tuple[File, File], one: Run
) -> list[str]:
    """The order of nodes and links in a file changes neither what a plan is worth nor what is seen.

    Which of several ways of one length is taken may follow from it; so the plan is the same here.
    """
    topology, profile = deepcopy(files)
    dice = Dice(f"nodes {mechanism}", number)
    for key in ("nodes", "links"):
        topology[key] = sorted(topology[key], key=lambda _: dice.below(10**9))
    other = run((topology, profile), one.plan)
    return _compare("proven", proven(one), proven(other))


_NAMES = re.compile(r"\b(n[0-9]+|s[0-9]+|bulk|above)\b")


def other_names(mechanism: str, number: int, files: tuple[File, File], one: Run) -> list[str]:
    """Names that sort as before give the same plan, under the other names."""

    def renamed(text: str) -> str:
        return _NAMES.sub(r"x-\1", text)

    def everywhere(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: everywhere(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [everywhere(each) for each in value]
        return renamed(value) if isinstance(value, str) else value

    # Mechanisms, selections and units have no such words.
    other = run((everywhere(files[0]), everywhere(files[1])))
    return [
        *_compare("planned", planned(one, renamed), planned(other)),
        *_compare("proven", proven(one, renamed), proven(other)),
    ]


_TIME = re.compile(r"([0-9]+)(ps|ns|us|ms|m)\b")
_RATE = re.compile(r"([0-9]+)([MG])bps")


def twice_as_slow(mechanism: str, number: int, files: tuple[File, File], one: Run) -> list[str]:
    """Half of all rates and twice all times give twice all bounds.

    To the picosecond where cycles are reserved; else but for what is rounded to a picosecond on the
    way. Steps of clocks are by the millisecond, and gates in whole nanoseconds: neither is scaled,
    so clocks have no steps here, and gated classes are left out.
    """
    if law(mechanism) == "qbv":
        return []

    def steady(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: steady(each) for key, each in value.items() if key != "wander"}
        return [steady(each) for each in value] if isinstance(value, list) else value

    def slower(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: slower(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [slower(each) for each in value]
        if not isinstance(value, str):
            return value
        rate = _RATE.sub(
            lambda found: f"{int(found[1]) * 1000 ** (found[2] == 'G') // 2}Mbps", value
        )
        return _TIME.sub(lambda found: f"{2 * int(found[1])}{found[2]}", rate)

    plain = steady(files[0]), files[1]
    half = slower(plain[0]), slower(plain[1])
    first, second = (proven(run(each), times=times) for each, times in ((plain, 2), (half, 1)))
    if law(mechanism) in ("tcqf", "csqf"):
        return _compare("proven", first, second)
    coarse = law(mechanism) in ("shaping", "credit as reserved")
    rounded_ps = ROUNDED_SHAPED_PS if coarse else ROUNDED_PS
    return [
        f"proven: {name}: {first[name]} and {second[name]}"
        for name in first
        if not _is_near(first[name], second[name], rounded_ps)
    ]


ROUNDED_PS = 100
"""What is rounded to a picosecond at each hop of a way, taken twice, comes to less than this."""

ROUNDED_SHAPED_PS = 10_000
"""A shaper's times are rounded up for each frame of a run, reserved slopes to bits a second."""


def _is_near(first: Any, second: Any, rounded_ps: int) -> bool:
    if not isinstance(first, tuple) or None in first or None in second:
        return bool(first == second)
    return all(abs(a - b) <= rounded_ps for a, b in zip(first, second, strict=True))


def with_what_nobody_uses(
    mechanism: str, number: int, files: tuple[File, File], one: Run
) -> list[str]:
    """Nodes, links and classes that nothing uses change nothing, to the last frame."""
    topology, profile = deepcopy(files)
    topology["nodes"] += [{"name": "idle"}, {"name": "idler"}]
    rate = topology["links"][0]["rate"]
    topology["links"].append({"between": ("idle", "idler"), "rate": rate, "length": "1km"})
    idle = {"name": "idle-class", "priority": 1, "mechanism": "strict-priority"}
    profile["classes"] = [*profile["classes"], idle]
    other = run((topology, profile))
    same = planned(other)
    if law(mechanism) == "qbv" or profile.get("gates"):
        # Queues are numbered by class from below.
        first, second = ({**planned(each), "gates": ()} for each in (one, other))
        found = _compare(
            "statuses", *({k: v[0] for k, v in p.items() if v} for p in (first, second))
        )
    else:
        found = _compare("planned", planned(one), same)
    return [
        *found,
        *_compare("proven", proven(one), proven(other)),
        *_compare("seen", seen(one), seen(other)),
    ]


def without_the_refused(
    mechanism: str, number: int, files: tuple[File, File], one: Run
) -> list[str]:
    """What is admitted beside streams that were refused is admitted without them, too."""
    refused = {entry.name for entry in one.plan.streams if entry.status == "refused"}
    if not refused or law(mechanism) == "qbv":
        return []
    topology, profile = deepcopy(files)
    trees = {name.partition("@")[0] for name in refused}
    profile["streams"] = [each for each in profile["streams"] if each["name"] not in trees]
    other = run((topology, profile))
    first, second = (
        {name: value[0] for name, value in planned(each).items() if value} for each in (one, other)
    )
    return _compare(
        "statuses", {name: first[name] for name in first if name not in refused}, second
    )


def seen_for_longer(mechanism: str, number: int, files: tuple[File, File], one: Run) -> list[str]:
    """A longer look sees all that a shorter one saw."""
    topology, profile = deepcopy(files)
    simulation = profile["simulation"]
    simulation["duration"] = f"{2 * int(simulation['duration'].removesuffix('us'))}us"
    other = run((topology, profile), one.plan)
    later = seen(other)
    found = []
    for name, account in seen(one).items():
        more = later[name]
        short, long = (
            (each.sent, each.received, each.lost, each.late, each.latency_ps_max or 0)
            for each in (account, more)
        )
        if any(before > after for before, after in zip(short, long, strict=True)):
            found.append(f"seen: {name}: {short}, and for longer {long}")
    return [*found, *_compare("planned", planned(one), planned(other))]


RELATIONS: tuple[Relation, ...] = (
    streams_in_another_order,
    listeners_in_another_order,
    nodes_in_another_order,
    other_names,
    twice_as_slow,
    with_what_nobody_uses,
    without_the_refused,
    seen_for_longer,
)


def broken(mechanism: str, number: int) -> list[str]:
    """Return what does not hold of one drawn set, a sentence each."""
    files = random_files(mechanism, number)
    one = run(files)
    return [
        f"{mechanism} {number}: {relation.__name__}: {words}"
        for relation in RELATIONS
        for words in relation(mechanism, number, files, one)
    ]
