"""Bounds of every stream in every epoch, where events change links.

A frame leaves its last port within what is proven of its cycle, gate or queue, and then takes the
fibre that is there: with another one its bounds are later or sooner by as much. Other fibres on the
way before shift when frames come to the next port. Cycles and gates may bear that; the plan is
proven with those fibres to see. Where it does not hold with them, and where links have another
rate, all that is disturbed has no bound from then on to the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from qnet.check.broken import EVER
from qnet.check.disturbed import Disturbance, Way, behind, disturbed_from, ways_of
from qnet.check.links import LinkChanges, led_otherwise
from qnet.check.load import Beside
from qnet.check.offers import LoadChanges
from qnet.check.sequence import (
    NOTHING_BESIDE,
    Bounds,
    EntryInForce,
    PlanSequence,
    hull,
)
from qnet.model.plan import StreamPlan
from qnet.model.proof import Finding
from qnet.model.topology import Topology
from qnet.model.traffic import Profile

Rules = Callable[[Topology, Beside], frozenset[Finding]]
"""The rules that a plan breaks, with all its moves, in a network that stays as it is, with what may
be in the way beside it."""

OF_PROMISES = {"latency", "variation", "disjoint", "recovery"}
"""Rules that say nothing of whether reservations hold."""


class RunBounds(NamedTuple):
    """Bounds of the entries of a plan, and what becomes of them when links change."""

    topology: Topology
    sequence: PlanSequence
    proven: Mapping[str, Bounds]
    """By what an entry is known as, with links as they are in the files."""
    links: LinkChanges
    lost_from_ps: Mapping[str, int]
    """From when on a stream has none."""
    loaded: Mapping[str, Bounds]
    """Of what reserves nothing, when other things are sent at other rates than planned."""
    loaded_from_ps: int

    def of(self, one: EntryInForce[StreamPlan]) -> Bounds:
        """Return the bounds of what an entry sends at any time of the run."""
        return self._shifted(one.entry, self.before_last_fibre(one), None)

    def before_last_fibre(self, one: EntryInForce[StreamPlan]) -> Bounds:
        """Return the bounds of what an entry sends if its last fibre were that of the files."""
        if one.entry.name in self.lost_from_ps:
            return None
        return self._widest(one)

    def over_the_run(self, name: str) -> Bounds:
        """Return the bounds of a stream over all of its entries."""
        sent = [one for one in self.sequence.streams.get(name, ()) if one.entry.paths]
        return hull([self.of(one) for one in sent])

    def at(self, one: EntryInForce[StreamPlan], pair: Bounds, time_ps: int) -> Bounds:
        """Return the bounds of what is sent by an entry in the epoch that begins at a time, with
        what is proven of it as planned.
        """
        entry = one.entry
        if self.lost_from_ps.get(entry.name, EVER) <= time_ps:
            return None
        if self.loaded_from_ps <= time_ps:
            pair = self.loaded.get(one.known_as, pair)
        every = [one for one in self.sequence.streams[entry.name] if one.entry.paths]
        if len(every) > 1 and any(self._is_led(one.entry) for one in every):
            # What an entry before has sent may be under way over its own last fibre.
            return hull([self._shifted(one.entry, self._widest(one), None) for one in every])
        return self._shifted(entry, pair, time_ps)

    def _widest(self, one: EntryInForce[StreamPlan]) -> Bounds:
        return self.loaded.get(one.known_as, self.proven.get(one.known_as))

    def is_changed(self, name: str) -> bool:
        """Say whether a stream is bounded otherwise in some epoch than in others."""
        every = self.sequence.streams.get(name, ())
        return name in self.lost_from_ps or any(
            self._is_led(one.entry) or self._widest(one) != self.proven.get(one.known_as)
            for one in every
        )

    def _last_ports(self, entry: StreamPlan) -> list[int]:
        ports = self.topology.port_by_name
        return [
            ports[path.ports[-1]].number
            for path in entry.paths
            if path.ports and path.ports[-1] in ports
        ]

    def _is_led(self, entry: StreamPlan) -> bool:
        return any(number in self.links.fibres for number in self._last_ports(entry))

    def _shifted(self, entry: StreamPlan, pair: Bounds, time_ps: int | None) -> Bounds:
        """Shift bounds by what last fibres have more or less at a time, or ever; a damper takes
        that away.
        """
        if pair is None or entry.hold_ps is not None or not self._is_led(entry):
            return pair
        shifts: list[int] = []
        for port in (self.topology.ports[number] for number in self._last_ports(entry)):
            delays_ps: Iterable[int] = self.links.delays_ps(port)
            if time_ps is not None:
                delays_ps = [self.links.delay_ps_at(port, time_ps)]
            shifts += [delay_ps - port.propagation_ps for delay_ps in delays_ps]
        return pair[0] + min(shifts), pair[1] + max(shifts)


def disturbed_streams(
    case: tuple[Topology, Profile],
    sequence: PlanSequence,
    changes: tuple[LinkChanges, LoadChanges, Mapping[str, int]],
    rules: Rules,
) -> Mapping[str, int]:
    """Return from when on streams and demands have no bounds that events take away from them.

    Beside links and loads there are the nodes of which clocks may be beyond what the plan is made
    for, and from when on.
    """
    topology, profile = case
    links, loads, beyond = changes
    if not (beyond or links.slowed_ps or links.led or loads.attacks):
        return {}
    ways = ways_of(topology, profile, sequence)
    begins = [Disturbance(at, port, reserved=True) for port, at in links.slowed_ps.items()]
    begins += _by_clocks(topology, profile, beyond, ways)
    found: dict[str, int] = dict(_held_by_clocks(profile, beyond, sequence))
    broken: dict[tuple[frozenset[int], object, object], bool] = {}
    for event, every in links.led:
        ports = frozenset(one for one in every if one in links.fibres)
        begins += behind(ways, ports, event.at_ps, reserved=False)
        if not ports or not any(_rests_on(sequence, way, ports) for way in ways):
            continue
        key = ports, event.delay_ps, event.length_mm
        if key not in broken:
            other = rules(led_otherwise(topology, event, ports), NOTHING_BESIDE)
            broken[key] = _breaks(other - rules(topology, NOTHING_BESIDE))
        if broken[key]:
            begins += behind(ways, ports, event.at_ps, reserved=True)
            for way in ways:
                if way.reserves and not ports.isdisjoint(way.ports):
                    found[way.name] = min(found.get(way.name, event.at_ps), event.at_ps)
    for attack in loads.attacks:
        # What reserves has a guard for the longest frames of the plan.
        beside = Beside((), [(attack.demand, attack.entry)])
        if _breaks(rules(topology, beside) - rules(topology, NOTHING_BESIDE)):
            begins += [
                Disturbance(attack.from_ps, topology.port_by_name[name].number, reserved=True)
                for part in attack.entry.parts
                for name in part.ports
            ]
    for name, from_ps in disturbed_from(ways, begins).items():
        found[name] = min(found.get(name, from_ps), from_ps)
    return found


def _breaks(found: Iterable[Finding]) -> bool:
    return any(one.rule not in OF_PROMISES for one in found)


def _by_clocks(
    topology: Topology, profile: Profile, beyond: Mapping[str, int], ways: Iterable[Way]
) -> Iterator[Disturbance]:
    """Yield the ports that go by a clock which may be beyond what the plan is made for."""
    lists = {name for control in profile.gates for name in control.at}
    timed = {port for way in ways if way.reserves for port in way.ports}
    timed |= {port.number for port in topology.ports if lists & {port.name, port.source}}
    for port in topology.ports:
        if port.source in beyond and port.number in timed:
            yield Disturbance(beyond[port.source], port.number, reserved=True)


def _held_by_clocks(
    profile: Profile, beyond: Mapping[str, int], sequence: PlanSequence
) -> Iterator[tuple[str, int]]:
    """Yield the streams whose damper goes by such a clock, and from when on."""
    listener = {one.name: one.listener for one in profile.every_stream}
    for name, versions in sequence.streams.items():
        held = any(one.entry.hold_ps is not None for one in versions)
        if held and listener.get(name) in beyond:
            yield name, beyond[listener[name]]


def _rests_on(sequence: PlanSequence, way: Way, ports: frozenset[int]) -> bool:
    """Say whether a way reserves what the delays of some ports are counted in."""
    if not way.reserves or ports.isdisjoint(way.ports):
        return False
    damped = any(one.entry.hold_ps is not None for one in sequence.streams[way.name])
    return damped or not ports.isdisjoint(way.ports[:-1])
