"""What breaks, who misses it, and when those who must act have heard of it.

The light of a line that is cut goes out at its ends when the last of it has come: at the node
before the cut after the time from there back, since fibres of both directions lie side by side. A
node that stops is missed by its neighbours. Who missed it tells the talker's node over the way that
frames had come; what tells takes no longer than light.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qnet.model.outages import Thing, Wire, cut_ps, outages_of
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology


class Fault(NamedTuple):
    """What one event breaks at one instant, from when to before when."""

    from_ps: int
    event: int
    until_ps: int
    things: frozenset[Thing]


class Heard(NamedTuple):
    """How long after a fault the light is gone at the node before it, and then to the talker."""

    node: str
    light_ps: int
    back_ps: int


def faults_of(topology: Topology, events: Sequence[Event]) -> list[Fault]:
    """Return what events break, in order of time and then of the file."""
    things: dict[tuple[int, int, int], set[Thing]] = {}
    for one in outages_of(topology, events)[0]:
        things.setdefault((one.from_ps, one.event, one.until_ps), set()).add(one.thing)
    return sorted(Fault(*key, frozenset(every)) for key, every in things.items())


def crosses(port: Port, things: frozenset[Thing]) -> bool:
    """Say whether what leaves a port meets one of these things, at either end or on the line."""
    return not {Wire(port.link, port.member), port.source, port.target}.isdisjoint(things)


def ports_down(topology: Topology, things: frozenset[Thing]) -> frozenset[int]:
    """Return the numbers of the ports that broken things take along."""
    return frozenset(port.number for port in topology.ports if crosses(port, things))


def heard(
    topology: Topology, event: Event, way: Sequence[Port], things: frozenset[Thing]
) -> Heard | None:
    """Return when the talker's node can know that a way is broken; None where it is not.

    None also where the talker itself is down: nobody is left to act.
    """
    for number, port in enumerate(way):
        if port.source in things:
            return None
        if Wire(port.link, port.member) in things:
            light_ps = cut_ps(topology, port, event, port.propagation_ps)
        elif port.target in things:
            light_ps = port.propagation_ps
        else:
            continue
        return Heard(port.source, light_ps, sum(one.propagation_ps for one in way[:number]))
    return None


def first_miss_ps(topology: Topology, event: Event, things: frozenset[Thing]) -> int:
    """Return how long after a fault the light is gone at the first node that can miss it."""
    found = [
        cut_ps(topology, port, event, port.propagation_ps)
        if Wire(port.link, port.member) in things
        else port.propagation_ps
        for port in topology.ports
        if crosses(port, things) and port.source not in things
    ]
    return min(found, default=0)
