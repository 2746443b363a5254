"""What happens while a network is watched: events, and what is broken from when to when.

The timeline of a run is the events of its traffic file, or of a file of their own. An event changes
one thing at one instant. Several of one instant are all applied, in the order of the file, before
any frame is served. Between two changes lies an *epoch*, a network that stays as it is.

What is broken by several events is broken once, for as long as any of them lasts: a cable that is
cut again is no more cut than before. A repair mends all that is broken of what it names, whatever
broke it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from qnet.errors import InputError, Problem
from qnet.model.fields import Noun, Ratio, Text, Time, TimeOrZero
from qnet.model.topology import Topology
from qnet.units import PPB, TIME, format_quantity

EVENTS_HIGHEST = 1000
"""Of one run: losses are counted event by event, wherever they happen."""

FOREVER_PS = 1 << 61
"""Until when what is never repaired is broken: later than any run."""

Change = Literal["cut", "repair", "down", "up"]
"""What a file can call a kind of event; `KINDS` has what each is."""

WORDS: Mapping[str, str] = {"cut": "link down", "down": "node down"}
"""Why frames are lost, by what broke: the same words in all witnesses."""


class Event(Noun):
    """One change of one thing at one instant."""

    at_ps: TimeOrZero = Field(alias="at", description="when, from the start of the run")
    change: Change = Field(
        description="cut breaks a link, a wire of it or a cable, and repair mends it; down stops a "
        "node or all nodes of a site, and up starts them again"
    )
    target: Text = Field(
        description="what: a link, one wire of it ('a--b/2') or a cable; a node or a site"
    )
    duration_ps: Time | None = Field(
        None, alias="for", description="how long, after which it is undone; default it stays"
    )
    where_ppb: Ratio = Field(
        PPB // 2,
        alias="where",
        description="where on its way a link is cut, from its first node on",
    )
    name: Text | None = Field(None, description="what the report calls it")
    note: Text | None = Field(None, description="what there is to say of it")
    source: Text | None = Field(None, description="where it is known from")

    @model_validator(mode="after")
    def _check(self) -> Event:
        for field in self.model_fields_set - COMMON:
            if getattr(self, field) is None or field in KINDS[self.change].fields:
                continue
            key = Event.model_fields[field].alias or field
            raise ValueError(f"'{key}' does not go with {self.change}; leave it out")
        return self

    @property
    def words(self) -> str:
        """What happens, in words: "cut of ix-xian at 9ms"; its name, where it has one."""
        what = f"{self.change} of {self.target} at {format_quantity(TIME, self.at_ps)}"
        if self.duration_ps is not None:
            what += f" for {format_quantity(TIME, self.duration_ps)}"
        return f"{self.name}: {what}" if self.name else what


class EventKind(NamedTuple):
    """What a kind of event is of and does. A kind is a line of `KINDS`, and a word of `Change`."""

    of: Literal["wires", "nodes"]
    """What it can name: links, wires and cables, or nodes and sites."""
    spans: Callable[[Event], Iterator[tuple[int, int]]] | None
    """From when to before when it breaks what it names, unless that is mended before; None where it
    mends all that is broken of it.
    """
    fields: frozenset[str] = frozenset()
    """What it has beside the fields of all events."""


def _lasting(event: Event) -> Iterator[tuple[int, int]]:
    """Yield the one time for which something is broken."""
    yield event.at_ps, FOREVER_PS if event.duration_ps is None else event.at_ps + event.duration_ps


COMMON = frozenset({"at_ps", "change", "target", "name", "note", "source"})
"""Fields that every event has."""

KINDS: Mapping[str, EventKind] = {
    "cut": EventKind("wires", _lasting, frozenset({"duration_ps", "where_ppb"})),
    "repair": EventKind("wires", None),
    "down": EventKind("nodes", _lasting, frozenset({"duration_ps"})),
    "up": EventKind("nodes", None),
}


class Timeline(Noun):
    """A file of events."""

    title: Text = Field(description="one line that says what happens")
    description: Text | None = Field(None, description="what it shows, for the reader")
    events: tuple[Event, ...] = Field(
        max_length=EVENTS_HIGHEST, description="what happens, and when"
    )


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


class Misfit(NamedTuple):
    """What is wrong with an event: its number, the key, and why."""

    event: int
    key: str
    message: str


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
    wires = cache(lambda: wires_by_name(topology))
    nodes = cache(lambda: nodes_by_name(topology))
    found: list[Outage] = []
    misfits: list[Misfit] = []
    # What `for` undoes at an instant is over before an event of that instant.
    for number in sorted(range(len(events)), key=lambda one: events[one].at_ps):
        event = events[number]
        kind = KINDS[event.change]
        things: Sequence[Thing] | None = (wires if kind.of == "wires" else nodes)().get(
            event.target
        )
        if things is None:
            misfits.append(Misfit(number, "target", ""))
            continue
        if kind.spans is not None:
            found += [Outage(number, one, *span) for span in kind.spans(event) for one in things]
            continue
        broken = [
            place
            for place, one in enumerate(found)
            if one.thing in things and one.until_ps > event.at_ps
        ]
        if not broken:
            what = "is not cut" if kind.of == "wires" else "is not down"
            when = format_quantity(TIME, event.at_ps)
            misfits.append(Misfit(number, "target", f"'{event.target}' {what} at {when}"))
        for place in broken:
            found[place] = found[place]._replace(until_ps=event.at_ps)
    kept = [one for one in found if one.until_ps > one.from_ps]
    return sorted(kept, key=lambda one: one.event), misfits


def cut(
    target: str,
    *,
    at: str,
    for_: str | None = None,
    where: str | None = None,
    name: str | None = None,
    note: str | None = None,
) -> Event:
    """Return the event of a fibre that breaks: a link's, one wire's, or a cable with all in it.

    `where` is a share of the way from the link's first node on, half of it unless said; `for_` is
    after how long it is repaired. Raises InputError.
    """
    return event("cut", target, at=at, for_=for_, where=where, name=name, note=note)


def repair(target: str, *, at: str, name: str | None = None, note: str | None = None) -> Event:
    """Return the event of a link, wire or cable being repaired. Raises InputError."""
    return event("repair", target, at=at, name=name, note=note)


def down(
    target: str,
    *,
    at: str,
    for_: str | None = None,
    name: str | None = None,
    note: str | None = None,
) -> Event:
    """Return the event of a node, or all nodes of a site, that stops. Raises InputError."""
    return event("down", target, at=at, for_=for_, name=name, note=note)


def up(target: str, *, at: str, name: str | None = None, note: str | None = None) -> Event:
    """Return the event of a node, or all nodes of a site, that starts again. Raises InputError."""
    return event("up", target, at=at, name=name, note=note)


def event(change: str, target: str, **keys: str | None) -> Event:
    """Return an event of any kind, with the keys that a file would have; `for_` is 'for'.

    Raises InputError.
    """
    given = {key.rstrip("_").replace("_", "-"): one for key, one in keys.items() if one is not None}
    try:
        return Event.model_validate({"change": change, "target": target, **given})
    except ValidationError as error:
        raise InputError(
            Problem(change, 0, 0, ".".join(map(str, one["loc"])), _complaint(one["msg"]))
            for one in error.errors(include_url=False)
        ) from None


def _complaint(message: str) -> str:
    return message.removeprefix("Value error, ")
