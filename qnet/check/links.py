"""What events make of links without breaking them: rates, fibres and losses, from when to when.

Of several events of one wire the one that began last, of one instant the later in the file, and is
not over, is in force.

Where a fibre is changed at T, a frame is lost whose first bit left before and whose last bit leaves
at T or later, or would arrive when the far end listens to the new fibre already: from T and the new
delay on. It is as if the wire had been cut at its port from then on, up to T. From 100 us to 30 us
at 9 ms what has its last bit leave from 8.93 ms on is lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from qnet.check.broken import EVER, Broken, Span, Thing, wires_by_name
from qnet.check.line import ceil_div
from qnet.model.fields import BothWays
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile

FIBRE_PS_PER_10_MM = 49
"""4.9 us a kilometre, as in the files."""

OF_RATE = {"capacity", "restore-optical"}


class Fibre(NamedTuple):
    """What leads a wire from a time on, and the event that began or ended then."""

    from_ps: int
    delay_ps: int
    event: Event


class LinkChanges(NamedTuple):
    """What becomes of ports, by number, of wires that events change before the end of a run."""

    slowed_ps: Mapping[int, int]
    """From when on the rate may be another."""
    fibres: Mapping[int, Sequence[Fibre]]
    """Later ones, in order of time, each with another delay than that before it."""
    lossy: Mapping[int, Sequence[Event]]
    rates_bps: Mapping[int, int]
    """The largest rate that it ever has."""
    led: Sequence[tuple[Event, frozenset[int]]]
    """Events that lead wires over another fibre, with the ports of these."""

    def delays_ps(self, port: Port) -> Span:
        """Return the least and the largest delay that a port ever has."""
        later = [one.delay_ps for one in self.fibres.get(port.number, ())]
        return min([port.propagation_ps, *later]), max([port.propagation_ps, *later])

    def delay_ps_at(self, port: Port, time_ps: int) -> int:
        """Return the delay of what begins to leave a port at a time."""
        begun = [one for one in self.fibres.get(port.number, ()) if one.from_ps <= time_ps]
        return begun[-1].delay_ps if begun else port.propagation_ps

    def rate_bps(self, port: Port) -> int:
        """Return the largest rate that a port ever has."""
        return self.rates_bps.get(port.number, port.rate_bps)

    @property
    def times_ps(self) -> set[int]:
        """Return when anything changes of which latencies follow."""
        fibres = {one.from_ps for every in self.fibres.values() for one in every}
        return fibres | {*self.slowed_ps.values()}

    def taking(self, topology: Topology) -> Iterable[Broken]:
        """Yield what changes of links take, as what breaks a wire at its port."""
        for number, events in self.lossy.items():
            thing = _wire(topology.ports[number])
            for event in events:
                until_ps = EVER if event.duration_ps is None else event.at_ps + event.duration_ps
                yield Broken(thing, event, event.at_ps, until_ps, number, by_chance=True)
        for number, fibres in self.fibres.items():
            port = topology.ports[number]
            every = [(-EVER, port.propagation_ps), *(one[:2] for one in fibres)]
            for place, ((begun_ps, delay_ps), fibre) in enumerate(zip(every, fibres, strict=False)):
                late_ps = min(t + d - delay_ps for t, d, _ in fibres[place:])
                from_ps = max(begun_ps, min(fibre.from_ps, late_ps))
                yield Broken(_wire(port), fibre.event, from_ps, fibre.from_ps, number)


def _wire(port: Port) -> Thing:
    return port.link, port.member


def link_changes(topology: Topology, profile: Profile) -> LinkChanges:
    """Read what events before the end of the run make of links."""
    end_ps = profile.simulation.duration_ps
    wires = wires_by_name(topology)
    ports: dict[Thing, list[Port]] = defaultdict(list)
    for port in topology.ports:
        ports[_wire(port)].append(port)
    slowed_ps: dict[int, int] = {}
    rates_bps: dict[int, int] = {}
    lossy: dict[int, list[Event]] = defaultdict(list)
    led: list[tuple[Event, frozenset[int]]] = []
    for event in profile.events:
        met = [port for wire in wires.get(event.target or "", ()) for port in ports[wire]]
        if event.at_ps >= end_ps:
            continue
        if event.change in OF_RATE and event.members is None:
            for port in met:
                first_ps = slowed_ps.get(port.number, event.at_ps)
                slowed_ps[port.number] = min(first_ps, event.at_ps)
                rate_bps = max(port.rate_bps, event.rate_bps or 0)
                rates_bps[port.number] = max(rates_bps.get(port.number, 0), rate_bps)
        elif event.change == "loss" and (event.ratio_ppb or event.bit_errors):
            for port in met:
                lossy[port.number].append(event)
        elif event.change == "delay":
            led.append((event, frozenset(port.number for port in met)))
    fibres = {
        number: _fibres(topology.ports[number], led, end_ps)
        for number in sorted(set().union(*(numbers for _, numbers in led)))
    }
    return LinkChanges(
        slowed_ps, {number: one for number, one in fibres.items() if one}, lossy, rates_bps, led
    )


def _fibres(
    port: Port, led: Iterable[tuple[Event, frozenset[int]]], end_ps: int
) -> Sequence[Fibre]:
    """Return by which fibres events lead a port before the end, one after the other."""
    mine = sorted((one for one, ports in led if port.number in ports), key=lambda one: one.at_ps)
    times: dict[int, Event] = {}
    for event in mine:
        if event.duration_ps is not None:
            times.setdefault(event.at_ps + event.duration_ps, event)
    times |= {event.at_ps: event for event in mine}
    found = [Fibre(-EVER, port.propagation_ps, event) for event in mine[:1]]
    for now_ps in sorted(one for one in times if one < end_ps):
        lasting = [
            event
            for event in mine
            if event.at_ps <= now_ps
            and (event.duration_ps is None or now_ps < event.at_ps + event.duration_ps)
        ]
        delay_ps = event_delay_ps(lasting[-1]) if lasting else port.propagation_ps
        if delay_ps != found[-1].delay_ps:
            found.append(Fibre(now_ps, delay_ps, times[now_ps]))
    return found[1:]


def event_delay_ps(event: Event) -> int:
    """Return how long light takes over the fibre of an event: 49 us for 10 km."""
    if event.delay_ps is not None:
        return event.delay_ps
    return ceil_div((event.length_mm or 0) * FIBRE_PS_PER_10_MM, 10)


def led_otherwise(topology: Topology, event: Event, ports: frozenset[int]) -> Topology:
    """Return a network in which all wires of some links have the fibre of an event."""
    changed = {topology.ports[number].link for number in ports}
    delay_ps = event_delay_ps(event)
    links = [
        link.replace(length_mm=None, delay_ps=BothWays(delay_ps, delay_ps))
        if number in changed
        else link
        for number, link in enumerate(topology.links)
    ]
    return topology.replace(links=tuple(links))
