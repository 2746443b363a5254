"""What events take from lines and nodes, laid out for the ports: known before the run begins.

A frame that begins to leave a port at b, and of which the last bit leaves at e, is lost where some
of it is at a broken point while that is broken: a point that is x down the line and broken from f
to before u takes it when b + x < u and e + x >= f. A node that is down is broken at both ends of
its lines. What is in a node when it goes down is lost too: `go_down` of the kernels empties its
queues between two windows of the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from qnet.model.outages import Outage, Wire, cut_ps, outages_of
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile
from qnet.simulate.ports.parts import IN_NEXT_NODE, IN_OWN_NODE, ON_THE_LINE
from qnet.simulate.settings import PortState, port_states

LATEST_PS = 1 << 61
"""Later than any run, and no more than its arrays hold."""


class Shadow(NamedTuple):
    """When what is broken takes what leaves a port, by the times of leaving it."""

    place: int
    far_ps: int
    event: int
    from_ps: int
    until_ps: int


Met = tuple[int, Outage]
"""Where a frame meets what is broken, seen from its port."""


class Epochs(NamedTuple):
    """What the events of a profile do to a run."""

    shadows: Mapping[int, Sequence[Shadow]]
    """By port number, nearest to the port first."""
    states: Mapping[int, Sequence[PortState]]
    """By port number, where events change what it is."""
    later: Mapping[int, Sequence[Sequence[Shadow]]]
    """By port number: what takes frames that leave it in each of its states."""
    nodes: Mapping[str, Sequence[Outage]]
    """When nodes are down."""


def epochs(topology: Topology, profile: Profile) -> Epochs:
    """Lay out what events do; what is broken after the end does nothing."""
    end_ps = profile.simulation.duration_ps
    found, _ = outages_of(topology, profile.events)
    outages = [
        one._replace(until_ps=min(one.until_ps, LATEST_PS)) for one in found if one.from_ps < end_ps
    ]
    wires: dict[Wire, list[Outage]] = defaultdict(list)
    nodes: dict[str, list[Outage]] = defaultdict(list)
    for one in outages:
        if isinstance(one.thing, str):
            nodes[one.thing].append(one)
        else:
            wires[one.thing].append(one)
    states = port_states(topology, profile)
    shadows: dict[int, Sequence[Shadow]] = {}
    later: dict[int, Sequence[Sequence[Shadow]]] = {}
    for port in topology.ports if outages or states else ():
        met = [
            *((IN_OWN_NODE, one) for one in nodes.get(port.source, ())),
            *((IN_NEXT_NODE, one) for one in nodes.get(port.target, ())),
            *((ON_THE_LINE, one) for one in wires.get(Wire(port.link, port.member), ())),
        ]

        def cast(propagation_ps: int, port: Port = port, met: Sequence[Met] = met) -> list[Shadow]:
            return sorted(
                _shadow(place, _far_ps(topology, profile, port, place, one, propagation_ps), one)
                for place, one in met
            )

        if met:
            shadows[port.number] = cast(port.propagation_ps)
        if port.number in states:
            mine = states[port.number]
            later[port.number] = [
                sorted([*cast(one.propagation_ps), *_torn(mine, number)])
                for number, one in enumerate(mine)
            ]
    return Epochs(shadows, states, later, nodes)


def _torn(states: Sequence[PortState], number: int) -> list[Shadow]:
    """Return what the next changes of fibre take of what begins to leave in a state.

    What is being sent when the fibre is changed; and what comes by it when the far end listens to a
    later one, which it does from that one's delay after its change on. Counted for the next change.
    """
    delay_ps = states[number].propagation_ps
    changes = [
        one
        for before, one in pairwise(states[number:])
        if one.propagation_ps != before.propagation_ps
    ]
    if not changes:
        return []
    heard_ps = min(one.at_ps + one.propagation_ps - delay_ps for one in changes)
    from_ps = min(changes[0].at_ps, heard_ps)
    return [Shadow(ON_THE_LINE, 0, changes[0].event, from_ps, LATEST_PS)]


def events_within(profile: Profile) -> Sequence[int]:
    """Return the numbers of the events that begin before the run's end; none else does anything."""
    end_ps = profile.simulation.duration_ps
    return [number for number, one in enumerate(profile.events) if one.at_ps < end_ps]


def ports_going_down(topology: Topology, profile: Profile) -> Mapping[int, Sequence[int]]:
    """Return when nodes go down, in order of time, with the ports of those nodes.

    A run stops there: what is cut takes frames from lines by itself, but queues are emptied.
    """
    ports: dict[str, list[int]] = defaultdict(list)
    for port in topology.ports:
        ports[port.source].append(port.number)
    downs = {
        (one.from_ps, name)
        for name, every in epochs(topology, profile).nodes.items()
        for one in every
    }
    going: dict[int, list[int]] = defaultdict(list)
    for time_ps, name in sorted(downs):
        going[time_ps] += ports[name]
    return {time_ps: sorted(numbers) for time_ps, numbers in going.items()}


def _shadow(place: int, far_ps: int, one: Outage) -> Shadow:
    until_ps = LATEST_PS if one.until_ps == LATEST_PS else one.until_ps - far_ps
    return Shadow(place, far_ps, one.event, one.from_ps - far_ps, until_ps)


def _far_ps(
    topology: Topology, profile: Profile, port: Port, place: int, one: Outage, propagation_ps: int
) -> int:
    """Return how far down the line of a port a thing is that is broken."""
    if place != ON_THE_LINE:
        return propagation_ps if place == IN_NEXT_NODE else 0
    return cut_ps(topology, port, profile.events[one.event], propagation_ps)
