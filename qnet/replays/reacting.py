"""Replay a timeline to somebody's own controller: wires go down and up, and it does the reacting.

No plan is carried out. Pairs of hosts that streams and demands go between send frames at an even
distance, on the wall clock, through real switches. What is between two changes is cut short: when
all frames have come for a while, nothing more is waited for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from qnet import api, machine
from qnet.emulate.frames.streaming import ChangeSeen, Pace, SentFrame
from qnet.errors import ArgumentError, Problem
from qnet.graph.distances import distances
from qnet.model.emulation import Tier
from qnet.model.outages import Outage, Wire, joined, outages_of
from qnet.model.reacting import PairReaction, Reacting, ReactingChange, ReactingStream
from qnet.model.replay import ReplayPromise
from qnet.model.scenario import Scenario
from qnet.model.timeline import FOREVER_PS, Event
from qnet.model.topology import Topology
from qnet.model.traffic import Demand, Stream
from qnet.model.verdict import Outcome, worst_of
from qnet.replays.course import Timetable
from qnet.replays.outcome import LOSS, mean_bits
from qnet.replays.run import before_events, drawn, times_of
from qnet.units import PPB, PS_PER_S, show_time

SEEN = frozenset({"cut", "repair", "down", "up", "flap", "partition", "capacity", "maintenance"})
"""Kinds of events that switches see."""

CHANGES_HIGHEST = 100

PAIRS = 4
"""Pairs of hosts that send, unless another number is asked for."""

LONGEST_PS = 10 * PS_PER_S
"""So long a controller has for each change, unless it is told otherwise."""

GAP_S, STEADY_S, SLOW_S = 0.005, 0.5, 0.25
"""Distance of the frames of two pairs; how long all must have come; what is too slow to judge by.
"""


class _Change(NamedTuple):
    """Wires that go down or up at one instant, and the outages that begin or end there."""

    at_ps: int
    wires: Mapping[Wire, bool]
    begun: tuple[int, ...]
    over: tuple[int, ...]


def replay_to_controller(
    scenario: Scenario,
    controller: str,
    *,
    title: str | None = None,
    tier: Tier = "mininet",
    until: str | None = None,
    after: str | None = None,
    sample: int | None = None,
    say: api.Say | None = None,
) -> Reacting:
    """Play the events of a scenario to a controller, and say what was lost until it had reacted.

    `controller` is where it listens, or a module with an os-ken app. `sample` pairs of hosts send,
    those first whose streams the events touch most. After each change frames are waited for as
    long as `after` says, 10 s by default, or until the next one. Raises ArgumentError, InputError,
    Infeasible, EnvironmentMissing and TestbedBroken.
    """
    times = times_of(until=until, after=after)
    scenario = drawn(scenario, times["until"])
    changes = _changes(scenario)
    longest_ps = times["after"] or LONGEST_PS
    until_ps = times["until"] or changes[-1].at_ps + longest_ps
    changes = [one for one in changes if one.at_ps < until_ps]
    names = _names_by_pair(scenario, until_ps)
    pairs = list(names)[: sample or PAIRS]
    ends = [*(one.at_ps for one in changes[1:]), until_ps]
    spans_ps = [min(end - one.at_ps, longest_ps) for one, end in zip(changes, ends, strict=True)]
    topology = scenario.topology
    ways = list(_ways(topology, changes, pairs))
    gap_s = GAP_S * max(len(pairs), 2) / 2
    asked = [
        machine.WireChange(
            {_port_name(topology, wire): up for wire, up in one.wires.items()},
            [not way for way in has_way],
            Pace(gap_s, STEADY_S, span_ps / PS_PER_S),
        )
        for one, has_way, span_ps in zip(changes, ways, spans_ps, strict=True)
    ]
    found = machine.react(scenario, controller, pairs, asked, tier=tier, say=say)
    made: list[ReactingChange] = []
    for change, reaction, has_way in zip(changes, found, ways, strict=True):
        worked = [one.restored for one in made[-1].pairs] if made else [True] * len(pairs)
        each = list(zip(pairs, has_way, worked, strict=True))
        made.append(_told(scenario, change, reaction, each))
    slowest_ps = max(one.resolution_ps for one in made)
    void = ""
    if slowest_ps > max(SLOW_S, 10 * gap_s) * PS_PER_S:
        void = f"the machine was too slow: frames were {show_time(slowest_ps)} apart at most"
    blocked = _blocked(made, ends)
    streams = tuple(_streams(scenario, {pair: names[pair] for pair in pairs}, blocked))
    promises = tuple(_promises(scenario, streams, until_ps, is_void=bool(void)))
    findings = () if void else tuple(_findings(made, spans_ps, longest_ps))
    return Reacting(
        title=title or scenario.profile.title,
        controller=controller,
        tier=tier,
        epoch=scenario.profile.epoch,
        outcome=worst_of(
            (one.outcome for one in promises), has_failed=bool(findings), is_unknown=bool(void)
        ),
        until_ps=until_ps,
        longest_ps=longest_ps,
        findings=findings,
        void=void,
        changes=tuple(made),
        promises=promises,
        streams=streams,
    )


# What happens


def _changes(scenario: Scenario) -> list[_Change]:
    """Return when which wires go down and up; raises ArgumentError for what switches do not see."""
    events = scenario.profile.events
    problems = [
        Problem("events", 0, 0, one.words, "no switch sees it, so no controller can react to it")
        for one in events
        if one.change not in SEEN or one.rate_bps is not None
    ]
    outages, _ = outages_of(scenario.topology, events)
    made = list(_in_order(scenario.topology, outages))
    if not made and not problems:
        words = "nothing breaks in this scenario; 'events:' or '--events FILE' say what does"
        problems.append(Problem("events", 0, 0, "", words))
    if len(made) > CHANGES_HIGHEST:
        most = Counter(number for one in made for number in one.begun).most_common(1)[0][0]
        words = f"{len(made):,} changes in all; a controller is played {CHANGES_HIGHEST} at most"
        problems.append(Problem("events", 0, 0, events[most].words, words))
    if problems:
        raise ArgumentError(problems)
    return made


def _in_order(topology: Topology, outages: Sequence[Outage]) -> Iterable[_Change]:
    by_thing: dict[object, list[tuple[int, int]]] = defaultdict(list)
    for one in outages:
        by_thing[one.thing].append((one.from_ps, one.until_ps))
    wires: dict[int, dict[Wire, bool]] = defaultdict(dict)
    for port in topology.ports:
        wire = Wire(port.link, port.member)
        spans = [span for thing in (wire, port.source, port.target) for span in by_thing[thing]]
        for from_ps, until_ps in joined(spans):
            wires[from_ps][wire] = False
            if until_ps < FOREVER_PS:
                wires[until_ps][wire] = True
    for at_ps in sorted(wires):
        yield _Change(
            at_ps,
            wires[at_ps],
            tuple(sorted({one.event for one in outages if one.from_ps == at_ps})),
            tuple(sorted({one.event for one in outages if one.until_ps == at_ps})),
        )


def _ways(
    topology: Topology, changes: Sequence[_Change], pairs: Sequence[tuple[str, str]]
) -> Iterable[list[bool]]:
    """Yield after each change which pairs have wires between them."""
    down: set[Wire] = set()
    for change in changes:
        down -= {wire for wire, up in change.wires.items() if up}
        down |= {wire for wire, up in change.wires.items() if not up}
        near: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for port in topology.ports:
            if Wire(port.link, port.member) not in down:
                near[port.source].append((1, port.target))
        yield [two in distances(one, partial(_leaving, near)) for one, two in pairs]


def _leaving(near: Mapping[str, list[tuple[int, str]]], node: str) -> list[tuple[int, str]]:
    return near.get(node, [])


def _port_name(topology: Topology, wire: Wire) -> str:
    return next(port.name for port in topology.ports if (port.link, port.member) == wire)


# Who sends


def _names_by_pair(scenario: Scenario, until_ps: int) -> dict[tuple[str, str], list[str]]:
    """Return pairs of hosts with what goes between them; those first that events touch most."""
    profile, topology = scenario.profile, scenario.topology
    hosts = {node.name for node in topology.nodes if node.is_host}
    hosts = hosts or {node.name for node in topology.nodes}
    table = Timetable(topology, profile, api.plan(before_events(scenario)), until_ps)
    dark: Counter[tuple[str, str]] = Counter()
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    ends = [(one.name, one.talker, one.listener) for one in profile.every_stream]
    ends += [(one.name, one.source, one.target) for one in profile.demands]
    for name, one, two in ends:
        if name in table.entries and {one, two} <= hosts:
            names[one, two].append(name)
            dark[one, two] += sum(
                each.until_ps - each.from_ps for each in table.stretches(name) if each.cut_by
            )
    if not names:
        raise ArgumentError([Problem("sample", 0, 0, "", "no stream goes from a host to a host")])
    order = sorted(names, key=lambda pair: -dark[pair])
    return {pair: names[pair] for pair in order}


# What came of it


def _told(
    scenario: Scenario,
    change: _Change,
    reaction: ChangeSeen,
    pairs: Sequence[tuple[tuple[str, str], bool, bool]],
) -> ReactingChange:
    events: Sequence[Event] = scenario.profile.events
    gaps = [
        after.sent_s - before.sent_s for rows in reaction.pairs for before, after in pairwise(rows)
    ]
    return ReactingChange(
        at_ps=change.at_ps,
        events=tuple(events[number].words for number in change.begun),
        undone=tuple(events[number].words for number in change.over),
        down=sum(not up for up in change.wires.values()),
        up=sum(change.wires.values()),
        seen_ps=_ps(reaction.took_s),
        resolution_ps=_ps(max(gaps, default=0.0)),
        pairs=tuple(
            _pair(ends, rows, has_way=has_way, worked=worked)
            for (ends, has_way, worked), rows in zip(pairs, reaction.pairs, strict=True)
        ),
    )


def _pair(
    ends: tuple[str, str], rows: Sequence[SentFrame], *, has_way: bool, worked: bool
) -> PairReaction:
    """Sum up frames around a change; what was lost before it counts where frames came till then."""
    lost = [
        place
        for place, one in enumerate(rows)
        if one.came_s is None and (worked or one.sent_s >= 0)
    ]
    came = [one for one in rows if one.came_s is not None]
    restored = bool(came) and (not lost or lost[-1] + 1 < len(rows))
    first_s = None if not lost or not restored else rows[lost[-1] + 1].came_s
    blocked_s = sum(
        rows[place + 1].sent_s - rows[place].sent_s for place in lost if place + 1 < len(rows)
    )
    return PairReaction(
        source=ends[0],
        target=ends[1],
        sent=len(rows),
        lost=len(lost),
        blocked_ps=_ps(blocked_s),
        converged_ps=None if first_s is None else _ps(first_s),
        restored=restored,
        has_way=has_way,
        path=came[-1].path if came else (),
    )


def _ps(seconds: float) -> int:
    """Return a wall-clock time in whole microseconds, in picoseconds."""
    return max(round(seconds * 10**6), 0) * 10**6


def _blocked(
    changes: Sequence[ReactingChange], ends_ps: Sequence[int]
) -> Mapping[tuple[str, str], int]:
    """Return, by pair, how long frames were lost in all.

    Where none came at the end of what was waited for, none comes until the next change.
    """
    total: Counter[tuple[str, str]] = Counter()
    for change, end_ps in zip(changes, ends_ps, strict=True):
        for one in change.pairs:
            ends = one.source, one.target
            total[ends] += one.blocked_ps if one.restored else end_ps - change.at_ps
    return total


def _streams(
    scenario: Scenario,
    names: Mapping[tuple[str, str], Sequence[str]],
    blocked: Mapping[tuple[str, str], int],
) -> Iterable[ReactingStream]:
    asked: dict[str, Stream | Demand] = {one.name: one for one in scenario.profile.every_stream}
    asked |= {one.name: one for one in scenario.profile.demands}
    for pair, mine in names.items():
        for name in mine:
            one, time_ps = asked[name], blocked[pair]
            if isinstance(one, Stream):
                lost = Fraction(time_ps * one.max_packets, one.interval_ps)
            else:
                lost = Fraction(time_ps * one.rate_bps, PS_PER_S) / mean_bits(one)
            yield ReactingStream(
                name=name,
                service=one.service,
                source=pair[0],
                target=pair[1],
                blocked_ps=time_ps,
                lost=round(lost),
            )


def _promises(
    scenario: Scenario, streams: Sequence[ReactingStream], until_ps: int, *, is_void: bool
) -> Iterable[ReplayPromise]:
    """Yield for each service with a promise of loss whether those that were played keep it."""
    allowed = {one.name: one.max_loss_ppb for one in scenario.profile.every_stream}
    allowed |= {one.name: one.max_loss_ppb for one in scenario.profile.demands}
    services: dict[str, list[ReactingStream]] = defaultdict(list)
    for one in streams:
        if allowed[one.name] is not None:
            services[one.service].append(one)
    for service, members in services.items():
        broken = [
            one for one in members if one.blocked_ps * PPB > (allowed[one.name] or 0) * until_ps
        ]
        worst = max(members, key=lambda one: one.blocked_ps)
        outcome: Outcome = "unknown" if is_void else "fail" if broken else "pass"
        yield ReplayPromise(
            service=service,
            kind=LOSS,
            members=len(members),
            broken=len(broken),
            outcome=outcome,
            worst=worst.name if worst.lost else None,
            reason=f"{worst.name} lost {worst.lost:,} frames" if broken else None,
        )


def _findings(
    changes: Sequence[ReactingChange], spans_ps: Sequence[int], longest_ps: int
) -> Iterable[str]:
    """Yield for whom the controller found no way although there is one."""
    for change, span_ps in zip(changes, spans_ps, strict=True):
        for one in change.pairs:
            if one.has_way and not one.restored and span_ps == longest_ps:
                what = "; ".join((*change.events, *(f"end of {each}" for each in change.undone)))
                yield (
                    f"{what}: frames from {one.source} to {one.target} did not come again in "
                    f"{show_time(longest_ps)}, though wires lead there"
                )
