"""Faults of events that no single value shows: what is not in the network, or not broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qnet.files.tree import Location, Source
from qnet.model.expand import untold
from qnet.model.loads import Loads, load_misfits
from qnet.model.outages import nodes_by_name, outages_of, wires_by_name
from qnet.model.processes import Process
from qnet.model.timeline import EVENTS_HIGHEST, KINDS, Event
from qnet.model.topology import Topology
from qnet.model.traffic import TrafficClass
from qnet.units import describe


class PlacedEvent(NamedTuple):
    """An event and where it stands in a file."""

    event: Event
    source: Source
    at: Location


class PlacedProcess(NamedTuple):
    """A random process and where it stands in a file."""

    process: Process
    source: Source
    at: Location


def check_processes(placed: Sequence[PlacedProcess], topology: Topology, network: str) -> None:
    """Report random processes of what is not there or has no rate, and two of one name."""
    for one in untold(topology, [each.process for each in placed]):
        process, source, at = placed[one.process]
        name = process.targets[one.target]
        message = one.message or unknown(topology, name, process.change, network, source)
        source.fault((*at, "targets", one.target), message)
    first: dict[str, int] = {}
    for number, (process, source, at) in enumerate(placed):
        if process.called in first:
            message = f"a second process called '{process.called}'; give it a name of its own"
            source.fault((*at, "name"), message)
        first.setdefault(process.called, number)


class KnownTraffic(NamedTuple):
    """What a network carries, as far as events are of it."""

    loads: Loads
    classes: Mapping[str, TrafficClass]


def check_events(
    placed: Sequence[PlacedEvent],
    topology: Topology,
    network: str,
    end_ps: int | None,
    carried: KnownTraffic | None,
) -> None:
    """Report events that do not fit the network, called `network`, its traffic, or each other.

    Where the traffic is not understood, `carried` is None, and events of it are not looked at.

    Those of several files are one timeline: a file may repair what another has cut. Of those before
    the end of the run, if that is known, there can only be so many.
    """
    within = [one for one in placed if end_ps is not None and one.event.at_ps < end_ps]
    if len(within) > EVENTS_HIGHEST:
        one = within[EVENTS_HIGHEST]
        words = f"{len(within)} events before the end of the run; at most {EVENTS_HIGHEST}"
        one.source.fault(one.at, words)
        return
    events = [one.event for one in placed]
    _, misfits = outages_of(topology, events)
    if carried is not None:
        misfits += load_misfits(events, carried.loads, carried.classes, topology)
    for misfit in sorted(misfits, key=lambda one: one.event):
        event, source, at = placed[misfit.event]
        if misfit.unknown is None:
            message = misfit.message
        elif event.change == "attack":
            known = topology.node_by_name
            message = f"no node {describe(misfit.unknown)} in {network}"
            message += source.guess(misfit.unknown, known)
        elif carried is not None and KINDS[event.change].of == "loads":
            message = _unknown_load(topology, misfit.unknown, carried.loads, source)
        else:
            message = unknown(topology, misfit.unknown, event.change, network, source)
        source.fault((*at, *misfit.where), message)


def _unknown_load(topology: Topology, target: str, loads: Loads, source: Source) -> str:
    """Say that nothing that is sent has a name; and what is alike."""
    if target in wires_by_name(topology):
        return f"{describe(target)} is a link or cable, which is 'cut'"
    if target in nodes_by_name(topology):
        return f"{describe(target)} is a node or a site, which goes 'down'"
    message = f"no stream, demand, group or class {describe(target)}"
    return message + source.guess(target, loads.names)


def unknown(topology: Topology, target: str, change: str, network: str, source: Source) -> str:
    """Say that a network has nothing of a name that could be cut, or stop; and what is alike."""
    wires, nodes = wires_by_name(topology), nodes_by_name(topology)
    of = KINDS[change].of
    if of == "wires" and target in nodes:
        return f"{describe(target)} is a node or a site, which goes 'down'"
    if of == "nodes" and target in wires:
        return f"{describe(target)} is a link or cable, which is 'cut'"
    what = {"wires": "link, wire or cable", "nodes": "node or site"}.get(
        of, "link, wire, cable, node or site"
    )
    message = f"no {what} {describe(target)} in {network}"
    turned = "--".join(reversed(target.split("--")))
    if of != "nodes" and turned in wires:
        return f"{message}; did you mean '{turned}'?"
    names = {**nodes, **wires} if of == "nodes" else {**wires, **nodes}
    return message + source.guess(target, names.keys())
