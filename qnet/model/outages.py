"""What is broken from when to when, by events: outages of wires and nodes, other settings of wires.

What is broken by several events is broken once, for as long as any of them lasts: a cable that is
cut again is no more cut than before. A repair mends all that is broken of what it names, whatever
broke it; a flap of it is over then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from qnet.model.timeline import FOREVER_PS, KINDS, Event, EventKind
from qnet.model.topology import Port, Topology
from qnet.units import INSTANT, PPB, PS_PER_MS, ceil_div, format_quantity

Span = tuple[int, int]
"""From when to before when."""

OUTAGES_HIGHEST = 200_000
"""Of one run: a flap breaks each of its wires as often as it flaps."""


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order of time, those that meet as one; empty ones are none."""
    made: list[Span] = []
    for begin, end in sorted(spans):
        if begin < end and made and begin <= made[-1][1]:
            made[-1] = made[-1][0], max(made[-1][1], end)
        elif begin < end:
            made.append((begin, end))
    return made


class Wire(NamedTuple):
    """One wire: number of the link in the topology, and of the member in the link, from 0."""

    link: int
    member: int


Thing = Wire | str
"""What breaks by itself: a wire, or a node by its name."""


class Outage(NamedTuple):
    """One thing that one event broke, from when to before when."""

    event: int
    thing: Thing
    from_ps: int
    until_ps: int


def cut_ps(topology: Topology, port: Port, event: Event, propagation_ps: int) -> int:
    """Return how long down the line of a port it is to where its link is cut.

    Of 10 us that are cut at 25 %: 2.5 us from the link's first node on, rounded down there.
    """
    share_ps = propagation_ps * event.where_ppb // PPB
    is_there = port.source == topology.links[port.link].between[0]
    return share_ps if is_there else propagation_ps - share_ps


class Misfit(NamedTuple):
    """What is wrong with an event."""

    event: int
    """Its number."""
    where: tuple[str | int, ...]
    """The keys, and places in lists, of what is wrong."""
    message: str
    unknown: str | None = None
    """A name that the network does not have; there is no message then."""


def wires_by_name(topology: Topology) -> Mapping[str, tuple[Wire, ...]]:
    """Return the wires that each link, wire and cable is, by all that it is called.

    A wire is called after its link and its number in it, 'a--b/2', or after either of its ports.
    """
    found: dict[str, dict[Wire, None]] = {}
    for port in topology.ports:
        link, wire = topology.links[port.link], Wire(port.link, port.member)
        name = topology.link_name(link)
        own = (f"{name}/{port.member + 1}",) if link.members > 1 else ()
        for one in dict.fromkeys((name, topology.cable(link), *own, port.name)):
            found.setdefault(one, {})[wire] = None
    return {name: tuple(wires) for name, wires in found.items()}


def nodes_by_name(topology: Topology) -> Mapping[str, tuple[str, ...]]:
    """Return the nodes that each node and each site is, by name; a node before a site."""
    found: dict[str, tuple[str, ...]] = {}
    for node in topology.nodes:
        if node.site is not None:
            found[node.site] = (*found.get(node.site, ()), node.name)
    return found | {node.name: (node.name,) for node in topology.nodes}


def ports_of(topology: Topology, wires: Sequence[Wire]) -> tuple[int, ...]:
    """Return the numbers of the ports at both ends of some wires."""
    wanted = set(wires)
    return tuple(one.number for one in topology.ports if Wire(one.link, one.member) in wanted)


def ports_by_target(topology: Topology) -> Mapping[str, tuple[int, ...]]:
    """Return the numbers of the ports that each target takes along, both directions of a wire.

    With a node, or all nodes of a site, all ports from and to it fail. What is a cable, a link or a
    wire and a node as well is the former.
    """
    at: dict[Thing, set[int]] = {}
    for port in topology.ports:
        for thing in (Wire(port.link, port.member), port.source, port.target):
            at.setdefault(thing, set()).add(port.number)
    things: dict[str, Sequence[Thing]] = {**nodes_by_name(topology), **wires_by_name(topology)}
    return {
        name: tuple(sorted(set().union(*(at.get(one, ()) for one in every))))
        for name, every in things.items()
    }


def outages_of(topology: Topology, events: Sequence[Event]) -> tuple[list[Outage], list[Misfit]]:
    """Apply the events in order of time; return what they break, and what does not fit.

    Outages are in the order of the events. One that is over when it begins is left out.
    """
    breaking = _applied(topology, events)
    kept = [one for one in breaking.found if one.until_ps > one.from_ps]
    return sorted(kept, key=lambda one: one.event), breaking.misfits


def _applied(topology: Topology, events: Sequence[Event]) -> _Breaking:
    breaking = _Breaking(topology)
    # What `for` undoes at an instant is over before an event of that instant.
    for number in sorted(range(len(events)), key=lambda one: events[one].at_ps):
        breaking.apply(number, events[number])
    return breaking


class _Breaking:
    """What is broken while events are applied one by one, in order of time."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.found: list[Outage] = []
        self.misfits: list[Misfit] = []
        self._open: dict[Thing, list[int]] = defaultdict(list)
        """Outages of a thing that no repair has met."""
        self._until_ps: dict[Thing, int] = {}
        """Until when what happened to a thing lasts: a flap between two breaks, too."""
        self.restored: dict[Wire, list[Setting]] = defaultdict(list)
        """When a wire is there over other fibre."""

    @cached_property
    def _wires(self) -> Mapping[str, tuple[Wire, ...]]:
        return wires_by_name(self.topology)

    @cached_property
    def _nodes(self) -> Mapping[str, tuple[str, ...]]:
        return nodes_by_name(self.topology)

    def apply(self, number: int, event: Event) -> None:
        """Break or mend what an event names; where it does not fit nothing is changed."""
        kind = KINDS[event.change]
        if kind.of in ("controllers", "loads"):
            return
        misfits = len(self.misfits)
        things = self._things(number, event, kind)
        if len(self.misfits) > misfits:
            return
        if kind.spans is None:
            self._mend(number, event, kind, things)
            return
        room = OUTAGES_HIGHEST - len(self.found)
        for span in kind.spans(event) if things else ():
            if room < len(things):
                self._misfit(number, _FIRST[event.change], _TOO_MANY)
                return
            room -= len(things)
            for one in things:
                self._open[one].append(len(self.found))
                self.found.append(Outage(number, one, *span))
        if _setting(event) or event.change == "clock":
            return
        for one in things:
            self._until_ps[one] = max(self._until_ps.get(one, 0), event.end_ps)

    def _misfit(self, number: int, key: str, message: str, unknown: str | None = None) -> None:
        self.misfits.append(Misfit(number, (key,), message, unknown))

    def _things(self, number: int, event: Event, kind: EventKind) -> Sequence[Thing]:
        """Return what an event is of, and note what there is not."""
        if event.groups is not None:
            return self._between(number, event.groups)
        if event.change == "clock":
            self._look_at_clocks(number, event)
        if event.target is None:
            return ()
        wires = self._wires.get(event.target) if kind.of != "nodes" else None
        nodes = self._nodes.get(event.target) if kind.of != "wires" else None
        if wires is None:
            if nodes is None:
                self._misfit(number, "target", "", event.target)
            return nodes or ()
        if event.members is not None:
            wires = tuple(one for one in wires if one.member >= event.members)
            if not wires:
                message = f"'{event.target}' has no wire beyond the first {event.members}"
                self._misfit(number, "members", message)
        return wires or ()

    def _between(self, number: int, groups: Sequence[Sequence[str]]) -> Sequence[Wire]:
        """Return the wires from one group to another, in the order of the ports."""
        side: dict[str, int] = {}
        for place, group in enumerate(groups):
            for index, name in enumerate(group):
                where = ("groups", place, index)
                if name not in self._nodes:
                    self.misfits.append(Misfit(number, where, "", name))
                for node in self._nodes.get(name, ()):
                    if node in side:
                        message = f"'{node}' of '{name}' is in 'groups' already"
                        self.misfits.append(Misfit(number, where, message))
                        break
                    side[node] = place
        ends = ((side.get(one.source), side.get(one.target), one) for one in self.topology.ports)
        return tuple(
            dict.fromkeys(
                Wire(port.link, port.member)
                for here, there, port in ends
                if here is not None and there is not None and here != there
            )
        )

    def _look_at_clocks(self, number: int, event: Event) -> None:
        """Note clocks that no event of this kind can be of."""
        topology = self.topology
        sync, nodes = topology.sync, self._nodes.get(event.target or "", ())
        if sync is None and (event.holdover or event.grandmaster_lost):
            key = "holdover" if event.holdover else "grandmaster-lost"
            message = f"'{key}' needs 'sync' in the network: without it no clock follows another"
            self._misfit(number, key, message)
        elif event.holdover and sync is not None:
            for node in nodes:
                if node == sync.grandmaster:
                    message = f"'{node}' is the grandmaster; it is lost by 'grandmaster-lost: true'"
                    self._misfit(number, "target", message)
                elif node not in topology.sync_ways:
                    message = f"the clock of '{node}' does not follow '{sync.grandmaster}'"
                    self._misfit(number, "target", message)
        drift_ppb = abs(event.drift_ppb or 0)
        for node in nodes if drift_ppb else ():
            clock = topology.node_by_name[node].clock
            most_ps = clock.wander_ps + clock.granularity_ps
            most_ps += ceil_div((clock.frequency_ppb + drift_ppb) * PS_PER_MS, PPB)
            if most_ps >= PS_PER_MS:
                message = f"with all else that moves it the clock of '{node}' would stand still"
                self._misfit(number, "drift", message)

    def _mend(self, number: int, event: Event, kind: EventKind, things: Sequence[Thing]) -> None:
        """End all that is broken of some things, and whatever would still break of a flap.

        What comes back over other fibre has a share of its rate until it would be whole anyway, or
        is repaired.
        """
        if all(self._until_ps.get(one, 0) <= event.at_ps for one in things):
            what = "is not cut" if kind.of == "wires" else "is not down"
            when = format_quantity(INSTANT, event.at_ps)
            self._misfit(number, "target", f"'{event.target}' {what} at {when}")
        for one in things:
            for place in self._open.pop(one, ()):
                until_ps = min(self.found[place].until_ps, event.at_ps)
                self.found[place] = self.found[place]._replace(until_ps=until_ps)
            whole_ps = min(event.end_ps, self._until_ps.get(one, 0))
            self._until_ps[one] = event.at_ps
            if isinstance(one, Wire):
                before = self.restored[one]
                before[:] = [
                    each._replace(until_ps=min(each.until_ps, event.at_ps)) for each in before
                ]
                if event.share_ppb is not None and event.at_ps < whole_ps:
                    before.append(Setting(number, event.at_ps, whole_ps))
                    self._until_ps[one] = whole_ps


class Setting(NamedTuple):
    """What an event makes of a wire, from when to before when another counts, or its own again."""

    event: int
    from_ps: int
    until_ps: int


def settings_of(
    topology: Topology, events: Sequence[Event]
) -> dict[tuple[Wire, str], list[Setting]]:
    """Return, by wire and what is changed of it, which event counts from when to before when.

    Of several the one that began last and is not over, of one instant the later in the file; those
    of one wire are in order of time. What the network does not have is left out.
    """
    wires = wires_by_name(topology)
    begun: dict[tuple[Wire, str], list[Setting]] = defaultdict(list)
    for number, event in enumerate(events):
        what = _setting(event)
        for wire in wires.get(event.target or "", ()) if what else ():
            begun[wire, what].append(Setting(number, event.at_ps, event.end_ps))
    if any(one.share_ppb is not None for one in events):
        for wire, restored in _applied(topology, events).restored.items():
            begun[wire, "rate"] += restored
    return {key: last_begun(lasting) for key, lasting in begun.items() if lasting}


def last_begun(lasting: Sequence[Setting]) -> list[Setting]:
    """Return when which of some settings counts: the one that began last and is not over."""
    order = sorted(lasting, key=lambda one: (one.from_ps, one.event))
    times = {time for one in lasting for time in one[1:]}
    begun: list[Setting] = []
    place, spans = 0, list[Setting]()
    for from_ps, until_ps in pairwise(sorted({*times, FOREVER_PS})):
        while place < len(order) and order[place].from_ps <= from_ps:
            begun.append(order[place])
            place += 1
        # What began before the last one and is over meanwhile is met when that is over.
        while begun and begun[-1].until_ps <= from_ps:
            begun.pop()
        if begun and spans and spans[-1][0::2] == (begun[-1].event, from_ps):
            spans[-1] = spans[-1]._replace(until_ps=until_ps)
        elif begun:
            spans.append(Setting(begun[-1].event, from_ps, until_ps))
    return spans


def _setting(event: Event) -> str:
    """Return what of a wire an event changes without breaking it, or nothing."""
    if event.change == "capacity":
        return "rate" if event.rate_bps is not None else ""
    return {"delay": "fibre", "loss": "loss"}.get(event.change, "")


_FIRST: Mapping[str, str] = defaultdict(lambda: "target", flap="every", partition="groups")
"""Key of what makes an event so large."""

_TOO_MANY = f"what events break breaks more than {OUTAGES_HIGHEST:,} times in all"
