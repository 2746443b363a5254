"""Rates, fibres and losses of ports that events change while a run goes on.

What a port is does not change within a window: a run ends one at every change, and what begins to
leave from then on finds other figures in the same tables. Frames that are torn or come too late
where a fibre is changed are taken as by an outage of the line (`qnet.simulate.outages`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qnet.model.outages import Setting, Wire, settings_of
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile
from qnet.simulate.ports.parts import SENDING, MPacket, Parts, PortLaw
from qnet.simulate.world import NEVER, PortTally, World


class PortState(NamedTuple):
    """What a port is from a time on."""

    at_ps: int
    event: int
    """The event that began or ended then; -1 for what the network says."""
    rate_bps: int
    propagation_ps: int
    losses: tuple[int, int]
    """Share of frames in ppb, and of bits in 1e-18."""


class PortChange(NamedTuple):
    """What is written into the tables of a port at a time."""

    at_ps: int
    port: int
    rate_row: int
    state: PortState
    loss_row: int
    outages: tuple[int, int]
    """First row of `Parts.outage` that takes frames from then on, and the one after the last."""
    torn_row: int
    """Of `Parts.outage`, for what is being sent when the fibre is changed; -1 where it is not."""


def port_states(topology: Topology, profile: Profile) -> Mapping[int, Sequence[PortState]]:
    """Return what each port is that events change, from time 0 on, in order of time."""
    end_ps = profile.simulation.duration_ps
    changing = settings_of(topology, profile.events)
    wires: dict[Wire, dict[str, list[Setting]]] = defaultdict(dict)
    for (wire, what), spans in changing.items():
        wires[wire][what] = [one for one in spans if one.from_ps < end_ps]
    found = {}
    for port in topology.ports:
        own = wires.get(Wire(port.link, port.member))
        if own is not None and any(own.values()):
            states = _states(port, own, profile.events, end_ps)
            if len(states) > 1:
                found[port.number] = states
    return found


def _states(
    port: Port, own: Mapping[str, Sequence[Setting]], events: Sequence[Event], end_ps: int
) -> list[PortState]:
    acts = {0: -1}
    for spans in own.values():
        acts |= {one.until_ps: one.event for one in spans}
    for spans in own.values():
        acts |= {one.from_ps: one.event for one in spans}
    plain = PortState(0, -1, port.rate_bps, port.propagation_ps, (port.loss_ppb, port.bit_errors))
    states = [plain]
    for at_ps, number in sorted(acts.items()):
        now = {
            what: events[one.event]
            for what, spans in own.items()
            for one in spans
            if one.from_ps <= at_ps < one.until_ps
        }
        rate, fibre, loss = (now.get(what) for what in ("rate", "fibre", "loss"))
        fibre_ps = None if fibre is None else fibre.fibre_ps
        state = plain._replace(
            at_ps=at_ps,
            event=number,
            rate_bps=rate.rate_of(plain.rate_bps) if rate else plain.rate_bps,
            propagation_ps=plain.propagation_ps if fibre_ps is None else fibre_ps,
            losses=(loss.ratio_ppb or 0, loss.bit_errors or 0) if loss else plain.losses,
        )
        if at_ps < end_ps and state[2:] != states[-1][2:]:
            states.append(state)
    return states


class PortChanges:
    """What is due to be written into the tables of a world, in order of time."""

    def __init__(self, changes: Sequence[PortChange]) -> None:
        self._by_time: dict[int, list[PortChange]] = defaultdict(list)
        for one in sorted(changes):
            self._by_time[one.at_ps].append(one)
        self._due_ps = sorted(self._by_time, reverse=True)

    @property
    def times_ps(self) -> set[int]:
        """When a window ends."""
        return {*self._by_time}

    def apply(self, now_ps: int, world: World, parts: Parts | None) -> None:
        """Write what is due now; of what was due before, as after a checkpoint, what it left."""
        while self._due_ps and self._due_ps[-1] <= now_ps:
            at_ps = self._due_ps.pop()
            for one in self._by_time[at_ps]:
                assert parts is not None, "ports that change are general"
                world.network.rate[one.port] = one.rate_row
                world.network.propagation[one.port] = one.state.propagation_ps
                if at_ps == now_ps:
                    _write(one, world, parts)


def _write(one: PortChange, world: World, parts: Parts) -> None:
    law, wire = parts.port[one.port], parts.wire[one.port]
    law[PortLaw.OUT_FIRST], law[PortLaw.OUT_LAST] = one.outages
    law[PortLaw.LOSS], law[PortLaw.RATE] = one.loss_row, one.state.rate_bps
    if one.torn_row >= 0 and wire[MPacket.IS] == SENDING and wire[MPacket.OUTAGE] == 0:
        wire[MPacket.OUTAGE] = 1 + one.torn_row
    tally = world.tally.port[one.port]
    if tally[PortTally.WAKE] != NEVER:  # it may send now what did not fit before
        tally[PortTally.WAKE] = one.at_ps
