"""What is broken from when to when: the checker walks through the changes by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile
from qnet.units import PPB

Thing = tuple[int, int] | str
"""A wire, by link and member, or a node by its name."""

Span = tuple[int, int]
"""From a time to before another."""

EVER = 1 << 100
"""Later than any instant."""

OF_WIRES = {"cut", "repair", "restore-optical", "flap", "partition", "capacity"}
MENDS = {"repair", "restore-optical", "up"}
"""Kinds of events that are of wires, not nodes; and that mend what others broke."""

OF_LOADS = {"start", "stop", "scale", "attack"}
"""Kinds that change what is sent, and break nothing."""


class Broken(NamedTuple):
    """One thing that an event broke, for how long."""

    thing: Thing
    event: Event
    from_ps: int
    until_ps: int
    port: int | None = None
    """The port at which it takes frames as they leave, where a link is changed and not broken."""
    by_chance: bool = False
    """Whether it takes some of them only."""


def broken_things(topology: Topology, profile: Profile) -> list[Broken]:
    """Walk through the changes in order of time, and note what is broken from when to when.

    What lasts for a time is over before what else happens at that instant.
    """
    names = _things_by_name(topology)
    acts: list[tuple[int, int, int]] = []
    for number, event in enumerate(profile.events):
        for begin_ps, end_ps in _spans(event):
            acts += [(begin_ps, 1, number), (end_ps, 0, number)]
    since: dict[tuple[int, Thing], int] = {}
    things_of: dict[int, set[Thing]] = {}
    begun: dict[int, None] = {}
    healed: dict[int, set[Thing]] = defaultdict(set)
    found: list[Broken] = []

    def mend(keys: Iterable[tuple[int, Thing]], now_ps: int) -> None:
        for number, thing in keys:
            begun_ps = since.pop((number, thing))
            if begun_ps < now_ps:
                found.append(Broken(thing, profile.events[number], begun_ps, now_ps))

    for now_ps, is_act, number in sorted(acts):
        event = profile.events[number]
        if number not in things_of:
            things_of[number] = _things(topology, event, names)
        things = things_of[number] - healed[number]
        if not is_act:
            mend([key for key in since if key[0] == number], now_ps)
        elif event.change in MENDS:
            mend([key for key in since if key[1] in things], now_ps)
            for other in begun:
                healed[other] |= things & things_of[other]
        else:
            begun[number] = None
            since |= {(number, thing): now_ps for thing in things}
    mend(list(since), EVER)
    return found


def _spans(event: Event) -> Sequence[Span]:
    """Return from when to before when an event breaks what it does, if nothing mends it before."""
    still = {"delay", "loss", "controller", "clock"} | OF_LOADS
    if event.change in still or event.rate_bps is not None:
        return []
    if event.duration_ps is None:
        return [(event.at_ps, EVER)]
    end_ps = event.at_ps + event.duration_ps
    if event.every_ps is None:
        return [(event.at_ps, end_ps)]
    share_ppb = PPB // 2 if event.duty_ppb is None else event.duty_ppb
    spans: list[Span] = []
    begin_ps = event.at_ps
    while begin_ps < end_ps:
        until_ps = min(begin_ps + event.every_ps * share_ppb // PPB, end_ps)
        if begin_ps < until_ps:
            spans.append((begin_ps, until_ps))
        begin_ps += event.every_ps
    return spans


def _things(
    topology: Topology, event: Event, names: Mapping[bool, Mapping[str, set[Thing]]]
) -> set[Thing]:
    """Return the wires or nodes that an event is of."""
    if event.groups is not None:
        sides: list[set[Thing]] = [
            set().union(*(names[False].get(one, set()) for one in group)) for group in event.groups
        ]
        return {
            (port.link, port.member)
            for port in topology.ports
            for near, side in enumerate(sides)
            if port.source in side
            and any(port.target in far for place, far in enumerate(sides) if place != near)
        }
    name = event.target or ""
    is_cut = event.change in OF_WIRES or (event.change == "maintenance" and name in names[True])
    things = set(names[is_cut].get(name, set()))
    if event.members is not None:
        return {one for one in things if isinstance(one, tuple) and one[1] >= event.members}
    return things


def wires_by_name(topology: Topology) -> Mapping[str, set[Thing]]:
    """Return the wires that links, wires and cables are, by all that they are called."""
    return _things_by_name(topology)[True]


def _things_by_name(topology: Topology) -> Mapping[bool, Mapping[str, set[Thing]]]:
    """Return by name what is cut (True), wires, and what goes down (False), nodes."""
    wires: dict[str, set[Thing]] = defaultdict(set)
    nodes: dict[str, set[Thing]] = defaultdict(set)
    for port in topology.ports:
        link, wire = topology.links[port.link], (port.link, port.member)
        name = topology.link_name(link)
        for one in (name, topology.cable(link), port.name, f"{name}/{port.member + 1}"):
            wires[one].add(wire)
    for node in topology.nodes:
        if node.site is not None:
            nodes[node.site].add(node.name)
    nodes |= {node.name: {node.name} for node in topology.nodes}
    return {True: wires, False: nodes}


def named(event: Event) -> str:
    """Say in words what is broken while an event lasts."""
    if event.groups is not None:
        return f"{' from '.join(', '.join(group) for group in event.groups)} cut"
    if event.members is not None:
        return f"{event.target} cut to {event.members} of its wires"
    if event.change == "maintenance":
        return f"{event.target} in maintenance"
    return f"{event.target} {'cut' if event.change in OF_WIRES else 'down'}"


def touches(port: Port, things: frozenset[Thing]) -> bool:
    """Say whether what leaves a port meets any of what is broken."""
    return bool({(port.link, port.member), port.source, port.target} & things)


def joined(spans: Iterable[Span]) -> list[Span]:
    """Join spans of time that touch; empty ones are none."""
    found: list[Span] = []
    for begin, end in sorted(one for one in spans if one[0] < one[1]):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found
