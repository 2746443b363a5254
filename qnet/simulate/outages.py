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
from typing import NamedTuple

from qnet.model.timeline import Outage, Wire, outages_of
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile
from qnet.simulate.ports.parts import IN_NEXT_NODE, IN_OWN_NODE, ON_THE_LINE
from qnet.units import PPB

LATEST_PS = 1 << 61
"""Later than any run, and no more than its arrays hold."""


class Shadow(NamedTuple):
    """When what is broken takes what leaves a port, by the times of leaving it."""

    place: int
    far_ps: int
    event: int
    from_ps: int
    until_ps: int


class Epochs(NamedTuple):
    """What the events of a profile do to a run."""

    shadows: Mapping[int, Sequence[Shadow]]
    """By port number, nearest to the port first."""
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
    shadows: dict[int, Sequence[Shadow]] = {}
    for port in topology.ports if outages else ():
        mine = [_shadow(IN_OWN_NODE, 0, one) for one in nodes.get(port.source, ())]
        far_ps = port.propagation_ps
        mine += [_shadow(IN_NEXT_NODE, far_ps, one) for one in nodes.get(port.target, ())]
        mine += [
            _shadow(ON_THE_LINE, _far_ps(topology, profile, port, one), one)
            for one in wires.get(Wire(port.link, port.member), ())
        ]
        if mine:
            shadows[port.number] = sorted(mine)
    return Epochs(shadows, nodes)


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


def _far_ps(topology: Topology, profile: Profile, port: Port, one: Outage) -> int:
    """Return how far down the line of a port a link is cut: 2.5 us of 10 us for 25 %.

    Counted from the link's first node, rounded down there.
    """
    share_ps = port.propagation_ps * profile.events[one.event].where_ppb // PPB
    is_there = port.source == topology.links[port.link].between[0]
    return share_ps if is_there else port.propagation_ps - share_ps
