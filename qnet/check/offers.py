"""What events make of what is sent: silences, other rates, and attacks, read by the checker itself.

A target is the name of a stream or a demand, or of one stream of several; else a group; else a
class. All legs of a stream to several listeners are silent together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from qnet.check.broken import EVER, Span, joined
from qnet.check.line import ceil_div
from qnet.model.fields import IMIX
from qnet.model.plan import DemandPart, DemandPlan
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Profile, Stream
from qnet.units import PPB

Factor = tuple[int, int, int]
"""From when to before when, and by how many billionths a rate is multiplied."""


class AttackSent(NamedTuple):
    """What an attack sends, as a demand with a way of its own, and when."""

    demand: Demand
    entry: DemandPlan
    from_ps: int


class LoadChanges(NamedTuple):
    """What events make of what is sent in a run."""

    silent: Mapping[str, Sequence[Span]]
    """By the name of a demand, or of a stream with all of its legs; in order, apart."""
    factors: Mapping[str, Sequence[Factor]]
    """Of demands, in order of time, where they have other rates than their own."""
    attacks: Sequence[AttackSent]

    @property
    def more_from_ps(self) -> int:
        """Return from when on anything is sent at another rate than planned."""
        every = [one.from_ps for one in self.attacks]
        return min(every + [one[0] for each in self.factors.values() for one in each], default=EVER)

    def at_other_rates(
        self, pairs: Iterable[tuple[Demand, DemandPlan]]
    ) -> list[tuple[Demand, DemandPlan]]:
        """Return what is sent beside the entries of a plan: theirs at other rates, and attacks."""
        found = []
        for demand, entry in pairs:
            for by_ppb in dict.fromkeys(one[2] for one in self.factors.get(demand.name, ())):
                parts = tuple(
                    one.replace(rate_bps=one.rate_bps * by_ppb // PPB) for one in entry.parts
                )
                kept = tuple(one for one in parts if one.rate_bps > 0)
                found.append((demand, entry.replace(parts=kept)))
        return found + [(one.demand, one.entry) for one in self.attacks]


def outside(spans: Iterable[Span], silent: Iterable[Span]) -> list[Span]:
    """Return what is left of spans in order without the silences in order that are in them."""
    left = list(spans)
    for still_ps, over_ps in silent:
        left = [
            part
            for begin, end in left
            for part in ((begin, min(end, still_ps)), (max(begin, over_ps), end))
            if part[0] < part[1]
        ]
    return left


def never_sent(topology: Topology, profile: Profile) -> frozenset[str]:
    """Return what is silent for all of the run, by the name of a demand or of all legs of a stream.

    Nothing of it can be lost, or late.
    """
    loads = load_changes(topology, profile)
    span = [(0, profile.simulation.duration_ps)]
    none = {
        name: [(begin, end) for begin, end, by_ppb in factors if by_ppb == 0]
        for name, factors in loads.factors.items()
    }
    return frozenset(
        name
        for name in {*loads.silent, *none}
        if not outside(outside(span, loads.silent.get(name, ())), none.get(name, ()))
    )


def load_changes(topology: Topology, profile: Profile) -> LoadChanges:
    """Read what events make of what is sent."""
    end_ps = profile.simulation.duration_ps
    # What starts after the end is silent all the run.
    numbered = [
        one
        for one in enumerate(profile.events)
        if one[1].at_ps < end_ps or one[1].change in ("start", "stop")
    ]
    switched: dict[str, list[tuple[int, Event]]] = defaultdict(list)
    scaled: dict[str, list[tuple[int, Event, int]]] = defaultdict(list)
    demands = {one.name for one in profile.demands}
    for number, event in numbered:
        if event.change in ("start", "stop"):
            for names in _named(profile, event.target or ""):
                for name in names:
                    switched[name].append((number, event))
        elif event.change == "scale":
            by_ppb = event.by_ppb or 0
            for names in _named(profile, event.target or ""):
                kept = ceil_div(by_ppb * len(names), PPB)
                for place, name in enumerate(names):
                    share = by_ppb if name in demands else PPB * (place < kept)
                    scaled[name].append((number, event, share))
    silent = {name: _silences(acts) for name, acts in switched.items()}
    factors: dict[str, list[Factor]] = {}
    for name, shares in scaled.items():
        found = [one for one in _in_force(shares) if one[2] != PPB and one[0] < end_ps]
        if name in demands:
            factors[name] = found
        else:
            silent[name] = joined([*silent.get(name, ()), *(one[:2] for one in found)])
    attacks = tuple(
        _attack(topology, number, event) for number, event in numbered if event.change == "attack"
    )
    return LoadChanges(
        {name: one for name, one in silent.items() if one},
        {name: one for name, one in factors.items() if one},
        attacks,
    )


def _named(profile: Profile, target: str) -> list[list[str]]:
    """Return the streams of each entry that a target names, and each demand, by name."""

    def of(wanted: Iterable[Stream | Demand]) -> list[list[str]]:
        return [_names(one) for one in wanted]

    every: list[Stream | Demand] = [*profile.streams, *profile.demands]
    own = of(one for one in every if one.name == target)
    single = [[target] for one in profile.streams if one.count > 1 and target in _names(one)]
    group = of(one for one in every if one.service == target)
    return own or single or group or of(one for one in every if one.traffic_class == target)


def _names(one: Stream | Demand) -> list[str]:
    if isinstance(one, Demand) or one.count == 1:
        return [one.name]
    return [f"{one.name}-{number + 1}" for number in range(one.count)]


def _until(event: Event) -> int:
    return EVER if event.duration_ps is None else event.at_ps + event.duration_ps


def _silences(acts: Iterable[tuple[int, Event]]) -> list[Span]:
    """Return when something is silent: a start ends all that has begun, a stop ends by itself.

    What starts first is silent before; what starts for a time stops for ever after it, which is
    before what else happens at that instant.
    """
    turns: list[tuple[int, int, int, bool, int]] = []
    for number, event in acts:
        starts = event.change == "start"
        turns.append((event.at_ps, 1, number, starts, _until(event)))
        if starts and event.duration_ps is not None:
            turns.append((_until(event), 0, number, False, EVER))
    turns.sort()
    found: list[Span] = []
    lasting: list[Span] = [(0, EVER)] if turns and turns[0][3] else []
    for at_ps, _, _, starts, until_ps in turns:
        if starts:
            found += [(begin, min(end, at_ps)) for begin, end in lasting]
            lasting = []
        else:
            lasting.append((at_ps, until_ps))
    return joined(found + lasting)


def _in_force(shares: Sequence[tuple[int, Event, int]]) -> list[Factor]:
    """Return which of several scales is in force when: the one that began last and is not over."""
    order = sorted(shares, key=lambda one: (one[1].at_ps, one[0]))
    times = sorted({at for _, one, _ in order for at in (one.at_ps, _until(one))} | {EVER})
    found: list[Factor] = []
    for begin, end in pairwise(times):
        lasting = [share for _, one, share in order if one.at_ps <= begin < _until(one)]
        if lasting:
            found.append((begin, end, lasting[-1]))
    return found


def _attack(topology: Topology, number: int, event: Event) -> AttackSent:
    rate_bps = event.rate_bps or 0
    demand = Demand.model_validate(
        {
            "name": f"attack-{number + 1}",
            "from": event.origin,
            "to": event.sink,
            "class": event.traffic_class or "best-effort",
            "rate": f"{rate_bps}bps",
            "arrival": "constant-rate",
            "sizes": event.sizes or IMIX,
        }
    )
    way = tuple(port.name for port in _way(topology, demand.source, demand.target))
    parts = (DemandPart(ports=way, rate_bps=rate_bps),) if way else ()
    entry = DemandPlan(name=demand.name, rate_bps=rate_bps, placed_bps=rate_bps, parts=parts)
    return AttackSent(demand, entry, event.at_ps)


def _way(topology: Topology, source: str, target: str) -> list[Port]:
    """Return the ports of an attack: at each node the first that is one port nearer."""
    hops = {target: 0}
    reached = [target]
    for node in reached:
        for port in topology.ports:
            if port.target == node and port.source not in hops:
                hops[port.source] = hops[node] + 1
                reached.append(port.source)
    way: list[Port] = []
    while source != target and source in hops:
        nearer = (
            port
            for port in topology.ports
            if port.source == source and hops.get(port.target, EVER) == hops[source] - 1
        )
        way.append(next(nearer))
        source = way[-1].target
    return way
