"""What an emulation does to devices and rules while it goes on: at which virtual times, and what.

What events do to frames is in the simulator's world, which serves the ports. Devices follow it, so
that switches and controller see it: those of a wire go down when the last light has come, and up
again two windows before it is whole, so that what comes to the port from then on finds it open.
Rules of what is sent another way are laid two windows before, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from qnet.model.outages import Outage, Thing, Wire, cut_ps, joined, outages_of
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.settings import port_states

AHEAD_WINDOWS = 2
"""How long before a wire is whole, or a move in force, devices are up and rules laid."""


class Happening(NamedTuple):
    """What is done at one virtual time."""

    down: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    """Ports whose devices go down or up."""
    moves: tuple[int, ...] = ()
    """Places in the plan's moves, from 1, of those whose rules are laid."""


def dark_ports(topology: Topology, profile: Profile) -> dict[str, list[tuple[int, int]]]:
    """Return, by port, from when to before when its device is down; in order, apart.

    A switch misses the light when the last of it has come: at an end of a wire so much later than
    it is broken as it is on its way from there. It has light again when the wire is whole.
    """
    found, _ = outages_of(topology, profile.events)
    by_thing: dict[Thing, list[Outage]] = defaultdict(list)
    for one in found:
        by_thing[one.thing].append(one)
    states = port_states(topology, profile)
    made = {}
    for port in topology.ports:
        delays_ps = [one.propagation_ps for one in states.get(port.number, ())]
        line_ps = max([port.propagation_ps, *delays_ps])
        spans = [(one.from_ps, one.until_ps) for one in by_thing[port.source]]
        spans += [(one.from_ps + line_ps, one.until_ps) for one in by_thing[port.target]]
        for one in by_thing[Wire(port.link, port.member)]:
            way_ps = cut_ps(topology, port, profile.events[one.event], line_ps)
            spans.append((one.from_ps + way_ps, one.until_ps))
        if spans:
            made[port.name] = joined(spans)
    return made


def happenings(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    ports: Collection[str],
    window_ps: int,
) -> Mapping[int, Happening]:
    """Return what is done to these ports' devices, and to rules, by virtual time; before 0 is at 0.

    A port that is without light for no longer than it would be up before stays up.
    """
    ahead_ps, end_ps = AHEAD_WINDOWS * window_ps, profile.simulation.duration_ps
    made: dict[int, Happening] = defaultdict(Happening)
    for port, spans in dark_ports(topology, profile).items():
        for from_ps, until_ps in spans if port in ports else ():
            up_ps = until_ps - ahead_ps
            if from_ps < min(up_ps, end_ps):
                made[from_ps] = made[from_ps]._replace(down=(*made[from_ps].down, port))
                made[up_ps] = made[up_ps]._replace(up=(*made[up_ps].up, port))
    for number, move in enumerate(plan.moves, 1):
        at_ps = max(move.at_ps - ahead_ps, 0)
        made[at_ps] = made[at_ps]._replace(moves=(*made[at_ps].moves, number))
    return {at_ps: made[at_ps] for at_ps in sorted(made) if at_ps < end_ps}
