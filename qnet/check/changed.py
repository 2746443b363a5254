"""What is not known where events change the rate, the fibre or the losses of a link, or a clock.

No epoch of such a change is bounded yet: with another rate or another fibre anywhere no latency of
the run is, for what comes late is in the way of others. Losses of streams that cross such a link
have no most. Nothing is claimed that does not hold; what is seen still counts.
"""

from __future__ import annotations

from collections.abc import Iterable

from qnet.check.broken import OF_LOADS
from qnet.check.line import ceil_div
from qnet.model.plan import Plan
from qnet.model.proof import EventLoss, Proof, StreamProof
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile
from qnet.units import PPB


def without_bounds(topology: Topology, profile: Profile, plan: Plan, proof: Proof) -> Proof:
    """Return a proof without the bounds that changes of links take away."""
    end_ps = profile.simulation.duration_ps
    events = [one for one in profile.events if one.at_ps < end_ps and _changes(one)]
    if not events:
        return proof
    told = {one.name: one for one in proof.event_losses}
    if any(one.change != "loss" for one in events):
        proof = proof.replace(
            streams=_unknown(proof.streams),
            epochs=tuple(
                one.replace(moved=_unknown(one.moved), reduced=_unknown(one.reduced))
                for one in proof.epochs
            ),
        )
        # When a frame is where something breaks follows from its bounds.
        told = {name: one.replace(frames_least=0, frames_most=None) for name, one in told.items()}
    by_name = {one.name: one for one in profile.every_stream}
    for entry in plan.streams:
        stream = by_name.get(entry.name)
        later = [one.stream for one in plan.moves if one.stream and one.stream.name == entry.name]
        ports = {name for one in (entry, *later) for path in one.paths for name in path.ports}
        met = [
            event.words
            for event in events
            if event.change == "clock"
            or any(
                port.name in ports and _is_of(topology, port, event.target)
                for port in topology.ports
            )
        ]
        if stream is None or not met:
            continue
        each = stream.max_packets + stream.excess_packets
        before = told.get(entry.name) or EventLoss(
            name=entry.name,
            frames_least=0,
            frames_most=None,
            sent_least=0,
            sent_most=(ceil_div(end_ps, stream.interval_ps) + 1) * each,
            events=(),
        )
        told[entry.name] = before.replace(
            frames_most=None, events=tuple(dict.fromkeys((*before.events, *met)))
        )
    return proof.replace(event_losses=tuple(told.values()))


def without_offers(profile: Profile, proof: Proof) -> Proof:
    """Return a proof without what more, or less, than the plan was made for takes away.

    Of attacks, and of demands that are scaled up, nothing is bounded yet: no latency of the run is.
    Who sends less than ever loses less than is due; and no port is overloaded for ever.
    """
    end_ps = profile.simulation.duration_ps
    events = [one for one in profile.events if one.at_ps < end_ps and one.change in OF_LOADS]
    if not events:
        return proof
    losses = tuple(one.replace(frames_least=0, sent_least=0) for one in proof.event_losses)
    proof = proof.replace(event_losses=losses, demand_losses=(), overloads=())
    if all(one.change != "attack" and (one.by_ppb or 0) <= PPB for one in events):
        return proof
    return proof.replace(
        streams=_unknown(proof.streams),
        epochs=tuple(
            one.replace(moved=_unknown(one.moved), reduced=_unknown(one.reduced))
            for one in proof.epochs
        ),
        event_losses=tuple(one.replace(frames_most=None) for one in losses),
    )


def _unknown(streams: Iterable[StreamProof]) -> tuple[StreamProof, ...]:
    return tuple(one.replace(latency_ps_min=None, latency_ps_max=None) for one in streams)


def _changes(event: Event) -> bool:
    is_slower = event.change in ("capacity", "restore-optical") and event.members is None
    return event.change in ("delay", "loss", "clock") or is_slower


def _is_of(topology: Topology, port: Port, target: str | None) -> bool:
    """Tell whether a target is the port's wire, its link or its cable."""
    link = topology.links[port.link]
    wire = port.link, port.member
    named = {
        name
        for one in topology.ports
        if (one.link, one.member) == wire
        for name in (one.name, topology.link_name(link), topology.cable(link))
    }
    return target in named | {f"{topology.link_name(link)}/{port.member + 1}"}
