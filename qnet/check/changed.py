"""What is not known where events change what is sent."""

from __future__ import annotations

from collections.abc import Iterable

from qnet.check.broken import OF_LOADS
from qnet.model.proof import Proof, StreamProof
from qnet.model.traffic import Profile
from qnet.units import PPB


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
