"""What is sent when: events that start, stop and scale streams and demands, and attacks.

A stream is silent or not. A demand is, too, and its rate has a factor. Nothing of this is in a
plan: what is reserved stays reserved, and a way is kept, while nothing is sent.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from qnet.model.fields import IMIX
from qnet.model.outages import Misfit, Setting, Span, joined, last_begun
from qnet.model.plan import DemandPart, DemandPlan
from qnet.model.timeline import FOREVER_PS, KINDS, Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import (
    BEST_EFFORT,
    Demand,
    IdleSlope,
    Profile,
    RecordedDemand,
    Stream,
    TrafficClass,
)
from qnet.units import PPB, RATE, ceil_div, describe, format_quantity

ATTACK = "attack"

_ATTACK = re.compile(rf"{ATTACK}-[0-9]+")


class Named(NamedTuple):
    """What the target of an event is of: entries of the traffic file, and streams of them."""

    streams: tuple[tuple[Stream, int | None], ...] = ()
    """Entries; with None all streams of one, with a number that one of its count, from 0."""
    demands: tuple[Demand, ...] = ()


class Loads:
    """The streams and demands of a traffic file, by what events call them."""

    def __init__(self, streams: Sequence[Stream], demands: Sequence[Demand]) -> None:
        self.streams, self.demands = streams, demands

    @cached_property
    def names(self) -> frozenset[str]:
        """All that a target can be called, but the single streams of a count."""
        return frozenset(self._entries) | frozenset(self._groups) | frozenset(self._classes)

    @cached_property
    def like_attacks(self) -> tuple[str, ...]:
        """Names of streams and demands that attacks could have."""
        counted = {one.name for one in self.streams if one.count != 1}
        alike = (
            name
            for name in self._entries
            if (_ATTACK.fullmatch(name) if name not in counted else name == ATTACK)
        )
        return tuple(alike)

    def named(self, target: str) -> Named | None:
        """Return what a target is of: a stream or demand before a group, a group before a class.

        The entry of several streams is all of them, a stream to several listeners all of its legs.
        None where there is nothing of that name.
        """
        found = self._entries.get(target)
        if found is None:
            base, _, number = target.rpartition("-")
            entry = self._entries.get(base)
            if entry is not None and entry.streams and number.isdecimal():
                stream = entry.streams[0][0]
                place = int(number) - 1
                if number == str(place + 1) and 0 <= place < stream.count != 1:
                    return Named(((stream, place),))
        return found or self._groups.get(target) or self._classes.get(target)

    def targets_of(self, names: Iterable[str]) -> list[str]:
        """Return as few targets as there are that are of these streams and demands, no others."""
        left = dict.fromkeys(names)
        found = []
        for target, members in self._several:
            if all(one in left for one in members):
                found.append(target)
                for one in members:
                    del left[one]
        return [*found, *left]

    @cached_property
    def _several(self) -> list[tuple[str, list[str]]]:
        """Targets that are of several streams and demands, those of most first."""
        found = []
        for target in sorted(self.names):
            named = self.named(target) or Named()
            members = [one.name for one in named.demands]
            members += (name for entry in named.streams for name in names_of(*entry))
            found += [(target, members)] if len(members) > 1 else []
        return sorted(found, key=lambda one: -len(one[1]))

    @cached_property
    def _entries(self) -> Mapping[str, Named]:
        streams = {one.name: Named(((one, None),)) for one in self.streams}
        return streams | {one.name: Named((), (one,)) for one in self.demands}

    @cached_property
    def _groups(self) -> Mapping[str, Named]:
        return self._gathered([(one.service, one) for one in self._every])

    @property
    def _every(self) -> list[Stream | Demand]:
        return [*self.streams, *self.demands]

    @cached_property
    def _classes(self) -> Mapping[str, Named]:
        return self._gathered([(one.traffic_class, one) for one in self._every])

    def _gathered(self, every: Iterable[tuple[str, Stream | Demand]]) -> Mapping[str, Named]:
        streams: dict[str, list[tuple[Stream, int | None]]] = defaultdict(list)
        demands: dict[str, list[Demand]] = defaultdict(list)
        for name, one in every:
            if isinstance(one, Stream):
                streams[name].append((one, None))
            else:
                demands[name].append(one)
        return {
            name: Named(tuple(streams[name]), tuple(demands[name])) for name in {*streams, *demands}
        }


class Attack(NamedTuple):
    """A demand of an event's own, and when it sends."""

    event: int
    demand: Demand
    span: Span


class Offer(NamedTuple):
    """What events make of what is sent, by name: of streams to several listeners that of all."""

    silent: Mapping[str, tuple[Span, ...]]
    """When nothing is born of a stream or demand, in order of time."""
    factors: Mapping[str, tuple[tuple[int, int, int], ...]]
    """Of demands: from when to before when the rate is multiplied, and by what in ppb."""
    attacks: tuple[Attack, ...]


def attack_entry(topology: Topology, attack: Attack) -> DemandPlan:
    """Return what a plan would have of an attack, if it knew of any."""
    one = attack.demand
    way = attack_way(topology, one.source, one.target)
    part = DemandPart(ports=tuple(port.name for port in way), rate_bps=one.rate_bps)
    return DemandPlan(name=one.name, rate_bps=one.rate_bps, placed_bps=one.rate_bps, parts=(part,))


def attack_name(event: int) -> str:
    """Return what the attack of an event is called: the first event is number 1."""
    return f"{ATTACK}-{event + 1}"


def offer_of(profile: Profile) -> Offer:
    """Return what the events of a profile make of what is sent; events that fit no name do nothing.

    A start ends all stops; a stop with a `for` ends by itself, one for ever by a start only. What
    starts first is silent before; what starts for a time stops for ever after it.
    """
    events = profile.events
    if not any(KINDS[one.change].of == "loads" for one in events):
        return Offer({}, {}, ())
    loads = Loads(profile.streams, profile.demands)
    order = sorted(range(len(events)), key=lambda one: events[one].at_ps)
    switched: dict[str, list[int]] = defaultdict(list)
    scaled: dict[str, list[int]] = defaultdict(list)
    fewer: dict[tuple[str, int], bool] = {}
    for number in order:
        event = events[number]
        named = loads.named(event.target or "")
        if named is None or KINDS[event.change].of != "loads":
            continue
        rows = switched if event.change in ("start", "stop") else scaled
        for demand in named.demands:
            rows[demand.name].append(number)
        for name, is_left in _streams_of(named, event):
            rows[name].append(number)
            fewer[name, number] = not is_left
    silent = {
        name: _silences([(one, events[one]) for one in mine]) for name, mine in switched.items()
    }
    demands = {one.name for one in profile.demands}
    factors = {}
    for name, mine in scaled.items():
        lasting = [Setting(one, events[one].at_ps, events[one].end_ps) for one in mine]
        spans = last_begun(lasting)
        if name in demands:
            factors[name] = _factors(spans, events)
        else:
            left_out = [one[1:] for one in spans if fewer[name, one.event]]
            silent[name] = tuple(joined([*silent.get(name, ()), *left_out]))
    return Offer(
        {name: spans for name, spans in silent.items() if spans},
        {name: spans for name, spans in factors.items() if spans},
        tuple(_attacks(events)),
    )


def attacks_of(profile: Profile) -> list[Attack]:
    """Return the attacks that begin before the end of a run."""
    end_ps = profile.simulation.duration_ps
    return [one for one in _attacks(profile.events) if one.span[0] < end_ps]


def every_demand(profile: Profile) -> tuple[Demand, ...]:
    """Return the demands of a profile, and behind them those of attacks before the run's end."""
    attacks = (one.demand for one in attacks_of(profile))
    return (*profile.demands, *attacks)


def sent_by_name(profile: Profile) -> dict[str, Stream | Demand]:
    """Return all streams and demands of a profile and its attacks by name."""
    every: tuple[Stream | Demand, ...] = (*profile.every_stream, *every_demand(profile))
    return {one.name: one for one in every}


def _streams_of(named: Named, event: Event) -> Iterable[tuple[str, bool]]:
    """Yield all streams that an event names, and whether they are among the first ones of a scale.

    Of each entry so many are sent: its share of those that are named, rounded up.
    """
    by_ppb = PPB if event.by_ppb is None else event.by_ppb
    for entry in named.streams:
        names = names_of(*entry)
        left = ceil_div(by_ppb * len(names), PPB)
        for index, name in enumerate(names):
            yield name, index < left


def names_of(stream: Stream, place: int | None = None) -> list[str]:
    """Return what the streams of an entry are called, or the one of them."""
    if stream.count == 1:
        return [stream.name]
    places = range(stream.count) if place is None else [place]
    return [f"{stream.name}-{one + 1}" for one in places]


def _silences(mine: Sequence[tuple[int, Event]]) -> tuple[Span, ...]:
    """Return when something is silent by its starts and stops, which are in order of time."""
    acts = [(event.at_ps, 1, number, event.change == "start", event) for number, event in mine]
    acts += [  # what `for` ends at an instant is over before an event of that instant
        (event.end_ps, 0, number, False, event)
        for number, event in mine
        if event.change == "start" and event.duration_ps is not None
    ]
    stops: list[list[int]] = []
    first = min(acts, key=lambda one: one[:3])
    if first[3]:
        stops.append([0, first[0]])
    open_from = 0
    for at_ps, phase, _, starts, event in sorted(acts, key=lambda one: one[:3]):
        if starts:
            for one in stops[open_from:]:
                one[1] = min(one[1], at_ps)
            open_from = len(stops)
        else:
            stops.append([at_ps, event.end_ps if phase else FOREVER_PS])
    return tuple(joined((begin, end) for begin, end in stops))


def _factors(spans: Sequence[Setting], events: Sequence[Event]) -> tuple[tuple[int, int, int], ...]:
    made: list[tuple[int, int, int]] = []
    for one in spans:
        by_ppb = events[one.event].by_ppb
        assert by_ppb is not None, "a scale has it"
        if made and made[-1][1:] == (one.from_ps, by_ppb):
            made[-1] = made[-1][0], one.until_ps, by_ppb
        elif by_ppb != PPB:
            made.append((one.from_ps, one.until_ps, by_ppb))
    return tuple(made)


def _attacks(events: Sequence[Event]) -> Iterable[Attack]:
    for number, event in enumerate(events):
        if event.change != "attack":
            continue
        demand = Demand.model_validate(
            {
                "name": attack_name(number),
                "from": event.origin,
                "to": event.sink,
                "class": event.traffic_class or BEST_EFFORT.name,
                "rate": f"{event.rate_bps}bps",
                "arrival": "constant-rate",
                "sizes": event.sizes or IMIX,
            }
        )
        yield Attack(number, demand, (event.at_ps, event.end_ps))


def attack_way(topology: Topology, source: str, target: str) -> tuple[Port, ...]:
    """Return the way of an attack, of the fewest ports, whatever is broken; () without any.

    Node by node from the source on, the port of lowest number that brings it nearer.
    """
    into: dict[str, list[Port]] = defaultdict(list)
    for port in topology.ports:
        into[port.target].append(port)
    hops = {target: 0}
    waiting = deque([target])
    while waiting:
        node = waiting.popleft()
        for port in into[node]:
            if port.source not in hops:
                hops[port.source] = hops[node] + 1
                waiting.append(port.source)
    if source not in hops:
        return ()
    out: dict[tuple[str, int], Port] = {}
    for port in topology.ports:
        if port.target in hops:
            out.setdefault((port.source, hops[port.target]), port)
    way: list[Port] = []
    node = source
    while node != target:
        way.append(out[node, hops[node] - 1])
        node = way[-1].target
    return tuple(way)


def load_misfits(
    events: Sequence[Event],
    loads: Loads,
    classes: Mapping[str, TrafficClass],
    topology: Topology,
) -> list[Misfit]:
    """Return what does not fit of events that change what is sent."""
    made: list[Misfit] = []
    for number, event in enumerate(events):
        if KINDS[event.change].of != "loads":
            continue
        if event.change == "attack":
            made += _attack_misfits(number, event, loads, classes, topology)
            continue
        assert event.target is not None, "it has one"
        named = loads.named(event.target)
        if named is None:
            made.append(Misfit(number, ("target",), "", event.target))
        elif event.by_ppb is not None:
            made += _scale_misfits(number, event.target, event.by_ppb, named)
    return made


def _scale_misfits(number: int, target: str, by_ppb: int, named: Named) -> Iterable[Misfit]:
    if by_ppb > PPB and named.streams:
        words = f"'{target}' has streams, of which there are no more than 100%; scale a demand so"
        yield Misfit(number, ("by",), words)
    for one in named.demands:
        if isinstance(one, RecordedDemand):
            words = f"'{one.name}' was captured: its frames have times of their own, and no scale"
            yield Misfit(number, ("target",), words)
            continue
        rate_bps = one.rate_bps * by_ppb // PPB
        if one.access_rate_bps is not None and rate_bps >= one.access_rate_bps:
            words = f"'{one.name}' would have the access rate of its flows, or more"
            yield Misfit(number, ("by",), words)
        if rate_bps > RATE.highest:
            most = format_quantity(RATE, RATE.highest)
            words = f"'{one.name}' would have {format_quantity(RATE, rate_bps)}; at most {most}"
            yield Misfit(number, ("by",), words)


def _attack_misfits(
    number: int,
    event: Event,
    loads: Loads,
    classes: Mapping[str, TrafficClass],
    topology: Topology,
) -> Iterable[Misfit]:
    assert event.origin is not None, "an attack has it"
    assert event.sink is not None, "an attack has it"
    ends = {"from": event.origin, "to": event.sink}
    lost = [(key, name) for key, name in ends.items() if name not in topology.node_by_name]
    for key, name in lost:
        yield Misfit(number, (key,), "", name)
    if not lost and not attack_way(topology, event.origin, event.sink):
        words = f"no links lead from '{event.origin}' to '{event.sink}'"
        yield Misfit(number, ("to",), words)
    name = event.traffic_class or BEST_EFFORT.name
    where = ("class",) if event.traffic_class is not None else ()
    if name not in classes:
        others = ", ".join(f"'{one.name}'" for one in classes.values() if takes_demands(one))
        words = f"no class {describe(name)}; give the attack a 'class'"
        yield Misfit(number, where, f"{words}: {others}" if others else words)
    elif not takes_demands(classes[name]):
        words = f"class '{name}' reserves or shapes what it carries; an attack reserves nothing"
        yield Misfit(number, where, words)
    for taken in loads.like_attacks:
        yield Misfit(number, (), f"{describe(taken)} could be taken for an attack; rename it")


def takes_demands(one: TrafficClass) -> bool:
    """Say whether a class has demands."""
    return not one.reserves and one.residence_ps is None and one.idle_slope != IdleSlope()
