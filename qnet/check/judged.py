"""What is judged, and why arithmetic says that a promise cannot be kept, whoever watches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from math import prod
from typing import Literal, NamedTuple, TypeVar

from qnet.check.conditions import may_lose
from qnet.check.epochs import loss_words
from qnet.check.findings import Findings, round_up
from qnet.check.least import (
    late_by_nature,
    least_loss,
    lost_on_links,
    no_room,
    overflow,
    taken_at_once,
    taken_of_burst,
    unsteady_by_nature,
)
from qnet.check.links import LinkChanges, link_changes
from qnet.check.load import mean_bps
from qnet.check.offers import never_sent
from qnet.check.overload import words
from qnet.check.promises import Kind, Seen
from qnet.check.sequence import EntryInForce, sequence_of
from qnet.model.fields import FRAME_BYTES_HIGHEST
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.proof import DemandEventLoss, EventLoss, Overload, Proof, StreamProof
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Egress, Profile, Stream, TrafficClass
from qnet.units import PPB, PS_PER_S, show_rate, show_share

RATE_HIGHEST_BPS = 10**18
"""Rates that a plan claims are shown up to here; the proof has a finding on any above."""

EGRESS_ARRIVES_PPB = 995 * 10**6
"""Share of a required egress that must arrive; a promise of it names no loss.

Less of it in a run is the network's doing only where so much was lost: talkers whose arrivals are
random, or few, send less than their mean in a short time, and the last frames are under way.
"""


NOTHING = Fraction(0)


class Judged(NamedTuple):
    """All that is judged, by name where it is looked up for each stream."""

    topology: Topology
    profile: Profile
    stream_plans: Mapping[str, StreamPlan]
    demand_plans: Mapping[str, DemandPlan]
    proofs: Mapping[str, StreamProof]
    proof: Proof
    seen: Seen
    crowded: Mapping[tuple[str, str], Overload]
    """By port and class."""

    is_lossy: bool
    """Whether any link of the network loses frames."""
    every_entry: Mapping[str, Sequence[StreamPlan]]
    """All that is in force at any time, however short."""
    stream_entries: Mapping[str, Sequence[StreamPlan]]
    """What sends a stream at any time of the run, moves too; what is in force for less than two of
    its intervals is not there beside others.
    """
    demand_entries: Mapping[str, Sequence[DemandPlan]]
    links: LinkChanges
    event_losses: Mapping[str, EventLoss]
    demand_losses: Mapping[str, DemandEventLoss]
    silent: frozenset[str]
    """What sends nothing in all of the run, by the name of a demand or of all legs of a stream."""

    @classmethod
    def of(
        cls, topology: Topology, profile: Profile, plan: Plan, proof: Proof, seen: Seen
    ) -> Judged:
        """Put all of it where it is looked up."""
        sequence = sequence_of(topology, profile, plan, Findings())
        end_ps = profile.simulation.duration_ps
        streams = {one.name: one.interval_ps for one in profile.every_stream}
        return cls(
            topology,
            profile,
            {one.name: one for one in plan.streams},
            {one.name: one for one in plan.demands},
            {one.name: one for one in proof.streams},
            proof,
            seen,
            {(one.port, one.traffic_class): one for one in proof.overloads if one.stream is None},
            any(port.is_lossy for port in topology.ports),
            {name: [one.entry for one in each] for name, each in sequence.streams.items()},
            {
                name: _sending(versions, 2 * streams[name], end_ps)
                for name, versions in sequence.streams.items()
            },
            {name: _sending(versions, 1, end_ps) for name, versions in sequence.demands.items()},
            link_changes(topology, profile),
            {one.name: one for one in proof.event_losses},
            {one.name: one for one in proof.demand_losses},
            never_sent(topology, profile),
        )

    def promised(self, stream: Stream, kind: Kind) -> int | None:
        """Return what a stream is promised; a reservation loses nothing where nothing is said."""
        if kind == "latency":
            return stream.max_latency_ps
        if kind == "variation":
            return stream.max_latency_variation_ps
        reserved = self.profile.is_reserved(stream)
        return 0 if reserved and stream.max_loss_ppb is None else stream.max_loss_ppb

    def ways(self, stream: Stream) -> list[list[list[Port]]]:
        """Return the ports of each path of a stream, entry by entry; none of one of which the
        network has not all.
        """
        ports = self.topology.port_by_name
        return [
            [[self.at_best(ports[name]) for name in path.ports] for path in one.paths if path.ports]
            for one in self.stream_entries.get(stream.name, ())
            if all(name in ports for path in one.paths for name in path.ports)
        ]

    def at_best(self, port: Port) -> Port:
        """Return a port as quick, as near and as free of losses as events ever make it."""
        number = port.number
        if number in self.links.rates_bps or number in self.links.fibres:
            near_ps, _ = self.links.delays_ps(port)
            port = port._replace(rate_bps=self.links.rate_bps(port), propagation_ps=near_ps)
        return port._replace(loss_ppb=0, bit_errors=0) if number in self.links.lossy else port


_Entry = TypeVar("_Entry", StreamPlan, DemandPlan)


def _sending(
    versions: Sequence[EntryInForce[_Entry]], least_ps: int, end_ps: int
) -> Sequence[_Entry]:
    """Return the entries that are in force for so long, before the end."""
    if len(versions) == 1:
        return [versions[0].entry]
    return [one.entry for one in versions if min(one.until_ps, end_ps) - one.from_ps >= least_ps]


def can_lose(judged: Judged, stream: Stream) -> bool:
    """Say whether frames of a stream can be lost by the files alone, on any of its ways."""
    own = judged.stream_plans.get(stream.name)
    entries = [own, *judged.every_entry.get(stream.name, ())]
    return any(may_lose(judged.topology, stream, entry) for entry in entries)


def needs_proof(judged: Judged, stream: Stream) -> bool:
    """Say whether a stream rests on its reservation, which a broken rule takes away.

    One that sends more than it reserved, and is held to it, has no proof and breaks no rule.
    """
    bounds = judged.proofs.get(stream.name)
    is_proven = bounds is not None and bounds.latency_ps_max is not None
    return judged.profile.is_reserved(stream) and (is_proven or bool(judged.proof.findings))


def why_impossible(
    judged: Judged, stream: Stream, kind: Literal["latency", "variation"]
) -> str | None:
    """Say why arithmetic excludes what a stream is promised, whoever watches; None if it can be.

    What is reserved has proofs of its own.
    """
    promised_ps = judged.promised(stream, kind)
    if promised_ps is None or judged.profile.is_reserved(stream):
        return None
    traffic_class = judged.profile.class_by_name[stream.traffic_class]
    for ports in chain.from_iterable(judged.ways(stream)):
        if kind == "latency":
            why = late_by_nature(judged.topology, stream, traffic_class, ports)
        else:
            why = unsteady_by_nature(judged.topology, stream, traffic_class, ports)
        if why is not None:
            return why
    for one in _crowded(judged, stream):
        # A queue grows until its buffer is full; what is promised may be longer than that.
        port = judged.topology.port_by_name[one.port]
        full_bytes = judged.topology.node_by_name[port.source].buffer_bytes - FRAME_BYTES_HIGHEST
        if not one.served_bps or full_bytes * 8 * PS_PER_S > promised_ps * port.rate_bps:
            return words(one)
    return None


def _crowded(judged: Judged, stream: Stream) -> Iterator[Overload]:
    """Yield the overloads that a stream's frames come to."""
    for ports in chain.from_iterable(judged.ways(stream)) if judged.crowded else ():
        for port in ports:
            one = judged.crowded.get((port.name, stream.traffic_class))
            if one is not None:
                yield one


def why_lost(judged: Judged, stream: Stream) -> str | None:
    """Say why a stream must lose more than it is promised, on average; None if it need not."""
    promised_ppb = judged.promised(stream, "loss")
    if promised_ppb is None or promised_ppb >= PPB:
        return None
    taken = judged.event_losses.get(stream.name)
    if taken is not None and taken.frames_least * PPB > promised_ppb * taken.sent_most:
        return (
            f"at least {taken.frames_least:,} of {taken.sent_most:,} frames are due where its way "
            f"is broken: {loss_words(taken)}"
        )
    crowded = next(_crowded(judged, stream), None)
    if crowded is not None:
        return words(crowded)
    traffic_class = judged.profile.class_by_name[stream.traffic_class]
    least = _least_lossy(judged, stream)
    return must_lose(judged.topology, stream, traffic_class, least, promised_ppb)


def _least_lossy(judged: Judged, stream: Stream) -> list[list[Port]]:
    """Return the paths of the entry by which a stream loses least, of those that send it."""
    traffic_class = judged.profile.class_by_name[stream.traffic_class]

    def lost(paths: list[list[Port]]) -> Fraction:
        return certain_loss(judged.topology, stream, traffic_class, paths)[0]

    return min((one for one in judged.ways(stream) if one), key=lost, default=[])


def must_lose(
    topology: Topology,
    stream: Stream,
    traffic_class: TrafficClass,
    paths: Sequence[Sequence[Port]],
    promised_ppb: int,
) -> str | None:
    """Say why a stream loses more than what was promised over its paths, if it does."""
    lost, why = certain_loss(topology, stream, traffic_class, paths)
    return _beyond(lost, promised_ppb, why)


def certain_loss(
    topology: Topology,
    stream: Stream,
    traffic_class: TrafficClass,
    paths: Sequence[Sequence[Port]],
) -> tuple[Fraction, str | None]:
    """Return the share of a stream's frames that is lost at least, and why if queues lose any."""
    if paths and not traffic_class.reserves:
        without = [no_room(topology, path, stream.frame_bytes) for path in paths]
        if all(without):
            return Fraction(1), without[0]
    taken = taken_at_once(topology, stream, traffic_class)
    is_whole = taken == stream.max_packets + stream.excess_packets and not stream.police
    if is_whole and not any(port.is_lossy for path in paths for port in path):
        return NOTHING, None
    lost = least_loss(stream, paths, taken)
    return lost, overflow(topology, stream, traffic_class)


def is_all_lost(judged: Judged, stream: Stream) -> bool:
    """Whether no frame of a stream comes, by arithmetic or as far as witnesses have seen."""
    if judged.seen.is_all_lost(stream):
        return True
    traffic_class = judged.profile.class_by_name[stream.traffic_class]
    least = _least_lossy(judged, stream)
    lost, _ = certain_loss(judged.topology, stream, traffic_class, least)
    return lost >= 1


def _beyond(lost: Fraction, promised_ppb: int, overflows: str | None) -> str | None:
    """Say that the share lost is more than what was promised, if it is."""
    if lost * PPB <= promised_ppb:
        return None
    share = f"{show_share(round_up(lost * PPB))} on average, of {show_share(promised_ppb)}"
    if overflows is not None:
        return f"{overflows}: it loses {share}"
    return f"links and meters of its way take {share}"


def why_demand_lost(judged: Judged, demand: Demand) -> str | None:
    """Say why a demand must lose more than it is promised; its parts by the frames they carry."""
    entry, ports = _least_lossy_entry(judged, demand), judged.topology.port_by_name
    promised_ppb = demand.max_loss_ppb
    if promised_ppb is None or promised_ppb >= PPB or entry is None:
        return None
    broken = judged.demand_losses.get(demand.name)
    if broken is not None and broken.share_ppb > promised_ppb:
        return (
            f"{show_share(broken.share_ppb)} of it is due, on average, where its ways are broken: "
            f"{loss_words(broken)}"
        )
    for part in entry.parts:
        if any(name not in ports for name in part.ports):
            return None
        crowded = [judged.crowded.get((name, demand.traffic_class)) for name in part.ports]
        for one in crowded:
            if one is not None:
                return words(one)
    share = _lost_by_entry(judged, demand, entry)
    taken = taken_of_burst(judged.topology, demand)
    if share is None:
        return None
    ways = ([judged.at_best(ports[name]) for name in part.ports] for part in entry.parts)
    longest = max(size for size, _ in demand.sizes)
    overflows = next(filter(None, (no_room(judged.topology, way, longest) for way in ways)), None)
    if taken < 1 and overflows is None:
        frames = int(taken * demand.burst_packets)
        overflows = (
            f"bursts of {demand.burst_packets} frames come at once, and the queue of "
            f"{demand.source} takes {frames}"
        )
    return _beyond(1 - taken * (1 - share), promised_ppb, overflows)


def _least_lossy_entry(judged: Judged, demand: Demand) -> DemandPlan | None:
    """Return the entry by which a demand loses least on links, of those that send it."""
    entries = judged.demand_entries.get(demand.name, ())
    return min(entries, key=lambda one: _lost_by_entry(judged, demand, one) or 0, default=None)


def _lost_by_entry(judged: Judged, demand: Demand, entry: DemandPlan) -> Fraction | None:
    """Return the share of a demand's frames that links lose at least; None if it has no frames."""
    ports = judged.topology.port_by_name
    weights = sum(weight for _, weight in demand.sizes)
    lost = sent = Fraction(0)
    for part in entry.parts:
        way = [judged.at_best(ports[name]) for name in part.ports if name in ports]
        sent += max(part.rate_bps, 0)
        for size, weight in demand.sizes:
            share = lost_on_links(way, size)
            if no_room(judged.topology, way, size) is not None:
                share = Fraction(1)
            lost += max(part.rate_bps, 0) * Fraction(weight, weights) * share
    return lost / sent if sent else None


def why_egress_lost(judged: Judged, required: Egress, placed_bps: int) -> str | None:
    """Say why what is placed of a site's egress cannot all arrive, on average; None if enough does.

    1 Gb/s of 2 Gb/s that are placed arrive over links that lose a quarter.
    """
    lost_bps = min(int(_lost_on_ways_bps(judged, leaving_site(judged, required.site))), placed_bps)
    due_bps = min(placed_bps, required.rate_bps)
    if (placed_bps - lost_bps) * PPB >= due_bps * EGRESS_ARRIVES_PPB:
        return None
    return f"links of its ways take {show_rate(lost_bps)} on average"


def shown_bps(rate_bps: int) -> int:
    """Return a rate that a plan claims, within what is shown."""
    return min(max(rate_bps, 0), RATE_HIGHEST_BPS)


def leaving_site(judged: Judged, site: str) -> list[Stream | Demand]:
    """Return what is sent inside a site and received outside it."""
    inside = {node.name for node in judged.topology.nodes if node.site == site}
    streams = ((one, one.talker, one.listener) for one in judged.profile.every_stream)
    demands = ((one, one.source, one.target) for one in judged.profile.demands)
    ends: Iterable[tuple[Stream | Demand, str, str]] = (*streams, *demands)
    return [one for one, start, end in ends if start in inside and end not in inside]


def _lost_on_ways_bps(judged: Judged, members: Iterable[Stream | Demand]) -> Fraction:
    """Return how much of what is placed of some streams and demands links lose at least.

    A stream with several listeners counts once, by the leg that loses most.
    """
    lost = Fraction(0)
    worst: dict[str, Fraction] = {}
    for one in members if judged.is_lossy else ():
        if isinstance(one, Demand):
            entry = _least_lossy_entry(judged, one)
            share = _lost_by_entry(judged, one, entry) if entry else None
            lost += max(entry.placed_bps, 0) * (share or 0) if entry else 0
            continue
        ways = [lost_on_links(way, one.frame_bytes) for way in _least_lossy(judged, one)]
        taken = mean_bps(one) * prod(ways) if ways else Fraction(0)
        worst[one.tree] = max(worst.get(one.tree, taken), taken)
    return lost + sum(worst.values())
