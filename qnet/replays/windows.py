"""Windows: which parts of a timeline are watched frame by frame, and each as a run of its own.

What repeats is the same in a run that begins a whole number of periods later: cycles, gates, and
streams whose intervals divide the period. So a window begins at a multiple of it, long enough
before what happens that the network has filled up, and ends when what was on its way has come. What
is drawn (arrivals of demands, clocks) is drawn anew for each window, from the seed and its number.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import lcm
from typing import NamedTuple

from qnet.model.loads import Loads
from qnet.model.outages import Outage, Wire
from qnet.model.plan import DemandPlan, Move, Plan, StreamPlan
from qnet.model.timeline import Event, event
from qnet.model.topology import Topology
from qnet.model.traffic import Demand, Profile, RecordedDemand
from qnet.replays.clocks import carried_clocks
from qnet.replays.course import Timetable, changes_what_lasts
from qnet.units import PS_PER_S, RATIO, WHOLE_HIGHEST, format_quantity

PERIOD_PS_HIGHEST = PS_PER_S
"""Streams without reservation whose intervals make the period longer than this are left out of it:
they begin somewhere else in each window."""


TOGETHER = -1
"""In place of the number of an event, for what several of the timeline come to together."""


class Window(NamedTuple):
    """A part of the timeline."""

    number: int
    from_ps: int
    until_ps: int


class Case(NamedTuple):
    """A window as a run of its own."""

    profile: Profile
    plan: Plan
    events: tuple[int, ...]
    """By event of the run: the number of the event of the timeline that it is a part of."""


def period_ps(profile: Profile, plan: Plan) -> int:
    """Return after what time everything that repeats is as it was."""
    period = plan.hypercycle * plan.cycle_ps
    if plan.gate_cycle_ps is not None:
        period = lcm(period, plan.gate_cycle_ps)
    for interval_ps in sorted({one.interval_ps for one in profile.streams}):
        longer = lcm(period, interval_ps)
        if longer <= max(PERIOD_PS_HIGHEST, period):
            period = longer
    return period


def cut_time(
    changes_ps: Sequence[int], before_ps: int, after_ps: int, period: int, end_ps: int
) -> list[Window]:
    """Return windows around all changes, in order; those that meet are one.

    Before the first of its changes a window has `before_ps` at least, from a multiple of the period
    on, after the last one `after_ps`. Without any change there is one at the beginning.
    """
    spans: list[list[int]] = []
    for time_ps in changes_ps or [0]:
        begin_ps = max(time_ps - before_ps, 0) // period * period
        until_ps = min(time_ps + after_ps, end_ps)
        if spans and begin_ps <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], until_ps)
        else:
            spans.append([begin_ps, until_ps])
    return [Window(number, *span) for number, span in enumerate(spans)]


def case_of(table: Timetable, window: Window) -> Case:
    """Return a window as a run: events and moves by its own time, and what is broken already."""
    topology, profile = table.topology, table.profile
    from_ps, until_ps = window.from_ps, window.until_ps
    events: list[tuple[int, int, int, Event]] = []
    for one in table.outages:
        begin_ps, end_ps = max(one.from_ps, from_ps), min(one.until_ps, until_ps)
        if begin_ps < end_ps:
            made = _broken(topology, profile.events[one.event], one, begin_ps - from_ps)
            if one.until_ps < until_ps:
                made = made.replace(duration_ps=end_ps - begin_ps)
            events.append((begin_ps, one.from_ps, one.event, made))
    for number, lasting in enumerate(profile.events):
        begin_ps, end_ps = max(lasting.at_ps, from_ps), lasting.end_ps
        is_past = lasting.change == "clock" and lasting.at_ps < from_ps
        if lasting.change in _TOLD or is_past or not changes_what_lasts(lasting):
            continue
        if begin_ps < min(end_ps, until_ps):
            rest_ps = end_ps - begin_ps if end_ps < until_ps else None
            made = lasting.replace(at_ps=begin_ps - from_ps, duration_ps=rest_ps)
            events.append((begin_ps, lasting.at_ps, number, made))
    for wire, back in table.restored:
        begin_ps, end_ps = max(back.from_ps, from_ps), min(back.until_ps, until_ps)
        if begin_ps < end_ps:
            # Cut at that instant, or what broke it before would have to be told too.
            by = profile.events[back.event].replace(
                at_ps=begin_ps - from_ps,
                target=_first_port(topology, wire),
                duration_ps=end_ps - begin_ps if back.until_ps < until_ps else None,
            )
            cut = event("cut", by.target, at=f"{by.at_ps}ps")
            events += [(begin_ps, back.from_ps, back.event, one) for one in (cut, by)]
    for number, made in carried_clocks(topology, profile, from_ps):
        events.append((from_ps, profile.events[number].at_ps, number, made))
    for begin_ps, made in _loads(table, window):
        events.append((begin_ps, begin_ps, TOGETHER, made))
    # Of what began before the window the last one counts, wherever it is in the file.
    events.sort(key=lambda item: item[:3])
    local = profile.replace(
        demands=tuple(_in_window(one, from_ps) for one in profile.demands),
        events=tuple(made for *_, made in events),
        simulation=profile.simulation.replace(
            duration_ps=until_ps - from_ps, seed=seed_of(profile.simulation.seed, window.number)
        ),
    )
    return Case(local, _plan_at(table, window), tuple(number for *_, number, _ in events))


def _in_window(demand: Demand, from_ps: int) -> Demand:
    """Have what was captured go on where it is when a window begins."""
    if not isinstance(demand, RecordedDemand) or not from_ps:
        return demand
    return demand.replace(recording=demand.recording.since(from_ps))


_TOLD = {"start", "stop", "scale"}
"""Kinds that are told by what they come to in a window."""


def _loads(table: Timetable, window: Window) -> Iterator[tuple[int, Event]]:
    """Yield what is silent in a window, and at what rate demands are sent, and from when on."""
    known = Loads(table.profile.streams, table.profile.demands)
    loads: dict[tuple[int, int, int], list[str]] = defaultdict(list)
    for name, silent in table.offer.silent.items():
        for a, b in silent:
            loads[a, b, 0].append(name)
    for name, factors in table.offer.factors.items():
        for a, b, by_ppb in factors:
            loads[a, b, by_ppb].append(name)
    for (a, b, by_ppb), names in loads.items():
        begin_ps, end_ps = max(a, window.from_ps), min(b, window.until_ps)
        if begin_ps >= end_ps:
            continue
        keys = {"at": f"{begin_ps - window.from_ps}ps"}
        if b < window.until_ps:
            keys["for"] = f"{end_ps - begin_ps}ps"
        if by_ppb:
            keys["by"] = f"{by_ppb}ppb"
        for target in known.targets_of(names):
            yield begin_ps, event("scale" if by_ppb else "stop", target, **keys)


def seed_of(seed: int, number: int) -> int:
    """Return the seed of a window: the first has the timeline's own."""
    if number == 0:
        return seed
    digest = hashlib.sha256(f"{seed} window {number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (WHOLE_HIGHEST + 1)


def _broken(topology: Topology, happened: Event, one: Outage, at_ps: int) -> Event:
    """Return the event of one thing that is broken for as long as the run lasts."""
    if isinstance(one.thing, Wire):
        where = format_quantity(RATIO, happened.where_ppb)
        return event("cut", _first_port(topology, one.thing), at=f"{at_ps}ps", where=where)
    return event("down", one.thing, at=f"{at_ps}ps")


def _first_port(topology: Topology, wire: Wire) -> str:
    """Return what a wire is called after: its port at the link's first node."""
    return next(
        port.name
        for port in topology.ports
        if (port.link, port.member) == wire and port.source == topology.links[port.link].between[0]
    )


def _installed_ps(move: Move, window: Window) -> int | None:
    """Return when a node on the way has switched, by the time of a window; None for others."""
    if move.installed_ps is None or not move.repaired_at:
        return None
    return move.installed_ps - window.from_ps


def _plan_at(table: Timetable, window: Window) -> Plan:
    """Return the plan that is in force when a window begins, with the moves within it."""
    plan = table.plan
    streams = [table.entry_at(one.name, window.from_ps) for one in plan.streams]
    demands = [table.entry_at(one.name, window.from_ps) for one in plan.demands]
    moves = [
        Move.replace(one, at_ps=one.at_ps - window.from_ps, detected_ps=None, decided_ps=None,
                     installed_ps=_installed_ps(one, window))
        for one in plan.moves
        if window.from_ps < one.at_ps < window.until_ps
    ]  # fmt: skip
    return plan.replace(
        streams=tuple(one for one in streams if isinstance(one, StreamPlan)),
        demands=tuple(one for one in demands if isinstance(one, DemandPlan)),
        moves=tuple(moves),
        unmoved=(),
    )
