"""The course of a timeline: what is broken when, which entry each stream is sent by, who is cut.

Everything here is arithmetic over the plan and the events, in integers that know no largest one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from qnet.model.loads import Offer, attack_entry, offer_of
from qnet.model.outages import Outage, Setting, Thing, Wire, outages_of, settings_of
from qnet.model.plan import Entry, Plan, StreamPlan
from qnet.model.timeline import FOREVER_PS, KINDS, Event
from qnet.model.topology import Topology
from qnet.model.traffic import LEG, Profile
from qnet.units import PPB


class Stretch(NamedTuple):
    """A time in which one thing is sent by one entry, with the outages that are on its way."""

    from_ps: int
    until_ps: int
    entry: Entry
    cut_by: Outage | None
    """The first outage that leaves it no whole way, or takes some part of a demand."""
    cut_share: Fraction
    """Of what is sent, that which has no whole way."""
    by_ppb: int = PPB
    """What the rate is multiplied by, 0 where nothing is sent."""


@dataclass(frozen=True)
class Timetable:
    """A network, its traffic with events, a plan with moves, and the end of what is told of it."""

    topology: Topology
    profile: Profile
    plan: Plan
    until_ps: int

    @cached_property
    def outages(self) -> tuple[Outage, ...]:
        """What is broken before the end, in order of time."""
        found, _ = outages_of(self.topology, self.profile.events)
        before = (one for one in found if one.from_ps < self.until_ps)
        return tuple(sorted(before, key=lambda one: (one.from_ps, one.event)))

    @cached_property
    def offer(self) -> Offer:
        """What events make of what is sent, with the attacks that begin before the end."""
        found = offer_of(self.profile)
        attacks = (one for one in found.attacks if one.span[0] < self.until_ps)
        return found._replace(attacks=tuple(attacks))

    @cached_property
    def restored(self) -> tuple[tuple[Wire, Setting], ...]:
        """When wires are there over other fibre, at a share of their rate, and by which event."""
        found = settings_of(self.topology, self.profile.events)
        return tuple(
            (wire, one)
            for (wire, what), spans in found.items()
            for one in spans
            if what == "rate" and self.profile.events[one.event].share_ppb is not None
        )

    @cached_property
    def lasting(self) -> tuple[tuple[int, int], ...]:
        """From when to before when something is otherwise than at the beginning."""
        found = [(one.from_ps, one.until_ps) for one in self.outages]
        found += [(one.from_ps, one.until_ps) for _, one in self.restored]
        events = self.profile.events
        found += [(one.at_ps, one.end_ps) for one in events if changes_what_lasts(one)]
        return tuple(sorted(set(found)))

    @cached_property
    def changes_ps(self) -> tuple[int, ...]:
        """When anything changes: the network, or what is sent where."""
        times = {one.at_ps for one in self.plan.moves}
        times |= {one.from_ps for one in self.outages}
        times |= {one.until_ps for one in self.outages if one.until_ps < FOREVER_PS}
        times |= {one.at_ps for one in self.profile.events if is_seen(one)}
        times |= {one.until_ps for _, one in self.restored}
        times |= {one.end_ps for one in self.profile.events if changes_what_lasts(one)}
        return tuple(sorted(time for time in times if 0 <= time < self.until_ps))

    @cached_property
    def entries(self) -> Mapping[str, list[tuple[int, Entry]]]:
        """Return by name the entries of everything that is sent, each with from when on."""
        own: list[Entry] = [*self.plan.streams, *self.plan.demands]
        own += [attack_entry(self.topology, one) for one in self.offer.attacks]
        every = {entry.name: [(0, entry)] for entry in own}
        for move in self.plan.moves:
            every[move.entry.name].append((move.at_ps, move.entry))
        return every

    def entry_at(self, name: str, time_ps: int) -> Entry:
        """Return by which entry something is sent at an instant."""
        known = self.entries[name]
        return known[bisect_right(known, time_ps, key=lambda pair: pair[0]) - 1][1]

    @cached_property
    def _by_thing(self) -> Mapping[Thing, list[Outage]]:
        found: dict[Thing, list[Outage]] = defaultdict(list)
        for one in self.outages:
            found[one.thing].append(one)
        return found

    def stretches(self, name: str) -> Iterator[Stretch]:
        """Yield the times from 0 to the end in which nothing changes for one stream or demand."""
        known = self.entries[name]
        rates = self._rates(name)
        for (from_ps, entry), (until_ps, _) in pairwise([*known, (self.until_ps, known[-1][1])]):
            ways = [self._outages_on(names) for names in entry.routes]
            times = {from_ps, until_ps, *(time for time, _ in rates)}
            for outages in ways:
                for one in outages:
                    times |= {one.from_ps, one.until_ps}
            order = sorted(time for time in times if from_ps <= time <= until_ps)
            for begin_ps, end_ps in pairwise(order):
                first = [
                    next((one for one in outages if one.from_ps <= begin_ps < one.until_ps), None)
                    for outages in ways
                ]
                share = _cut_share(entry, [one is not None for one in first])
                by = next((one for one in first if one), None) if share else None
                by_ppb = rates[bisect_right(rates, begin_ps, key=lambda pair: pair[0]) - 1][1]
                yield Stretch(begin_ps, end_ps, entry, by, share, by_ppb)

    def _rates(self, name: str) -> list[tuple[int, int]]:
        """Return from when on what a rate is multiplied by, 0 where nothing is sent."""
        factors = self.offer.factors.get(name, ())
        silent = self.offer.silent.get(name.partition(LEG)[0], ())
        silent += tuple(
            span
            for one in self.offer.attacks
            if one.demand.name == name
            for span in ((0, one.span[0]), (one.span[1], FOREVER_PS))
        )
        times = {0, *(time for one in factors for time in one[:2])}
        times |= {time for span in silent for time in span}
        return [
            (
                time,
                0
                if any(a <= time < b for a, b in silent)
                else next((by for a, b, by in factors if a <= time < b), PPB),
            )
            for time in sorted(times)
        ]

    def _outages_on(self, names: Sequence[str]) -> list[Outage]:
        """Return what is broken on a way at some time, in order of time."""
        ports = [self.topology.port_by_name[name] for name in names]
        things: dict[Thing, None] = {}
        for port in ports:
            for thing in (port.source, Wire(port.link, port.member), port.target):
                things[thing] = None
        found = [one for thing in things for one in self._by_thing.get(thing, ())]
        return sorted(found, key=lambda one: (one.from_ps, one.event))


def most_touched(table: Timetable, most: int) -> tuple[str, ...]:
    """Return the names that events touched most: moved most often, then cut off the longest.

    Of each service one, in the order of the plan where they are alike.
    """
    service = {one.name: one.service for one in table.profile.every_stream}
    service |= {one.name: one.service for one in table.profile.demands}
    touched: dict[str, tuple[tuple[int, int], str]] = {}
    for name, known in table.entries.items():
        if name not in service:
            continue  # an attack
        dark_ps = sum(
            one.until_ps - one.from_ps for one in table.stretches(name) if one.cut_by is not None
        )
        score = len(known) - 1, dark_ps
        if score > touched.get(service[name], ((0, 0), ""))[0]:
            touched[service[name]] = score, name
    order = sorted(touched.values(), key=lambda one: one[0], reverse=True)
    return tuple(name for _, name in order[:most])


def _cut_share(entry: Entry, cut: Sequence[bool]) -> Fraction:
    if isinstance(entry, StreamPlan):
        return Fraction(bool(cut) and all(cut))
    whole = sum(part.rate_bps for part in entry.parts)
    lost = sum(part.rate_bps for part, is_cut in zip(entry.parts, cut, strict=True) if is_cut)
    return Fraction(lost, whole) if whole else Fraction(0)


def is_seen(event: Event) -> bool:
    """Tell what changes the network: what happens to a controller is in the moves of the plan."""
    return KINDS[event.change].of != "controllers"


def breaks_nothing(event: Event) -> bool:
    """Tell an event that breaks and mends nothing."""
    spans = KINDS[event.change].spans
    return spans is not None and next(spans(event), None) is None


def changes_what_lasts(event: Event) -> bool:
    """Tell an event that breaks and mends nothing: what it changes lasts, as a rate or a delay."""
    return is_seen(event) and breaks_nothing(event)
