"""What events take of every stream and demand, told by when its frames are sent.

A frame sent at t is at a broken point at t + e at the soonest and at t + l at the latest: those
sent so that this is within an outage are lost for certain, those sent so that it is at no time
within are not lost by it. The outage of a cable from 9 ms on, 1.7 ms down the way with 20 us of
variation, takes for certain what is sent from 7.3 ms on, and nothing that is sent before 7.28 ms.
What is sent by another entry of the plan from some time on counts by that entry.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from qnet.check.births import born, gated_births
from qnet.check.broken import EVER, Broken, Span, Thing, joined
from qnet.check.line import last_bit_ps
from qnet.check.links import LinkChanges
from qnet.check.offers import LoadChanges, outside
from qnet.check.sequence import EntryInForce
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.proof import DemandEventLoss, EventLoss
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Profile, Stream
from qnet.units import PPB


class _Place(NamedTuple):
    """Where a broken thing is on a way, in times from when a frame is sent.

    The first bit is there `low_ps` later at the soonest and `high_ps` at the latest, the last bit
    `last_low_ps` and `last_high_ps`; what is not known is None. It is `far_ps` down the line of the
    port before it, at least and at most: witnesses count what is lost there when it leaves that
    port.
    """

    low_ps: int
    high_ps: int | None
    last_low_ps: int
    last_high_ps: int | None
    far_ps: Span = (0, 0)

    def down_the_line(self, far_ps: Span) -> _Place:
        """Return the place that is so far down the line of a port, at least and at most."""
        high, last = self.high_ps, self.last_high_ps
        return _Place(
            self.low_ps + far_ps[0],
            None if high is None else high + far_ps[1],
            self.last_low_ps + far_ps[0],
            None if last is None else last + far_ps[1],
            far_ps,
        )


class Circumstances(NamedTuple):
    """A network, its traffic and a plan, when each thing is broken, what becomes of links and
    of what is sent.
    """

    topology: Topology
    profile: Profile
    plan: Plan
    broken: Mapping[Thing, Sequence[Broken]]
    links: LinkChanges
    loads: LoadChanges
    wrong_clocks: Collection[str]
    """Nodes of which the clocks may be more wrong than plans are made for."""


class _Count(NamedTuple):
    """Frames of a stream: lost at least and at most, sent at least and at most."""

    least: int
    most: int
    sent_least: int
    sent_most: int


def stream_loss(
    happening: Circumstances,
    stream: Stream,
    versions: Sequence[EntryInForce[StreamPlan]],
    bounds: Mapping[str, tuple[int, int] | None],
) -> EventLoss | None:
    """Return how many frames events take of a stream; None where they touch none of its paths."""
    if happening.profile.is_gated(stream) and _sets_clocks(happening.profile):
        return None  # when it is sent follows from its talker's clock
    met: list[Broken] = []
    counts: list[_Count] = []
    is_known = not stream.excess_packets
    for one in versions:
        pair = bounds.get(one.known_as)
        high_ps = None if pair is None else pair[1]
        count, outages = _version_loss(happening, stream, one, high_ps)
        counts.append(count)
        met += outages
        is_known &= high_ps is not None or not one.entry.paths
        is_known &= stream.recovery is None or not _is_led(happening, one.entry)
    if not met:
        return None
    total = _Count(*(sum(column) for column in zip(*counts, strict=True)))
    copied = any(len(one.entry.paths) > 1 for one in versions)
    if stream.recovery is not None and copied:
        # Behind a gap as long as its history a listener takes nothing, until it resets.
        is_known &= total.most < stream.recovery.history - 1 or not total.most
    return EventLoss(
        name=stream.name,
        frames_least=total.least,
        frames_most=total.most if is_known else None,
        sent_least=total.sent_least,
        sent_most=total.sent_most,
        events=_words(met),
    )


def _sets_clocks(profile: Profile) -> bool:
    end_ps = profile.simulation.duration_ps
    return any(one.change == "clock" and one.at_ps < end_ps for one in profile.events)


def _is_led(happening: Circumstances, entry: StreamPlan) -> bool:
    """Say whether a fibre on the way of an entry is changed: then copies may be too far apart."""
    ports = happening.topology.port_by_name
    names = {name for path in entry.paths for name in path.ports if name in ports}
    return any(ports[name].number in happening.links.fibres for name in names)


def _version_loss(
    happening: Circumstances, stream: Stream, one: EntryInForce[StreamPlan], high_ps: int | None
) -> tuple[_Count, list[Broken]]:
    """Count what events take of what is sent by one entry while it is in force."""
    topology, profile, plan, broken, _, loads, _ = happening
    ports, entry = topology.port_by_name, one.entry
    ways = [[ports[name] for name in path.ports if name in ports] for path in entry.paths]
    met = [
        [
            outage
            for thing in dict.fromkeys(chain.from_iterable(map(_things_at, way)))
            for outage in broken.get(thing, ())
            if outage.port is None or outage.port in [port.number for port in way]
        ]
        for way in ways
    ]
    end_ps = profile.simulation.duration_ps
    span = [(one.from_ps, min(one.until_ps, end_ps))] if ways else []
    span = surely = maybe_sent = outside(joined(span), loads.silent.get(stream.tree, ()))
    gated = gated_births(topology, profile, plan, stream, entry)
    gated = gated if profile.is_gated(stream) else None
    # Copies of a frame have starts of their own.
    slack_ps = gated.apart_ps if gated else stream.interval_ps if profile.is_gated(stream) else 0
    slack_ps = slack_ps if len(ways) > 1 else 0
    if gated is not None:
        # Of an interval all is sent or nothing, by when the first of it is born.
        after_first_ps = gated.after_first_ps
        surely = [(begin and begin + after_first_ps, end) for begin, end in span]
        maybe_sent = joined((begin, min(end + after_first_ps, end_ps)) for begin, end in span)
    certain, possible = joined(surely), maybe_sent
    for way, outages in zip(ways, met, strict=True):
        sure, maybe = _windows(happening, stream, way, outages, high_ps)
        certain = _common(certain, [(a + slack_ps, b - slack_ps) for a, b in sure])
        possible = _common(possible, joined([(a - slack_ps, b + slack_ps) for a, b in maybe]))
    every = list(chain.from_iterable(met))
    if gated is not None:
        most = gated.within(possible)[1] + gated.left_out
        sent = gated.sent(surely)[0], gated.sent(maybe_sent)[1]
        if stream.talker in happening.wrong_clocks:
            return _Count(0, most, 0, sent[1]), every
        return _Count(gated.within(certain)[0], most, *sent), every
    first_ps = entry.send_ps
    if plan.cycle_ps <= 0 or profile.is_gated(stream):
        first_ps = None
    each = stream.max_packets
    sent_least, sent_most = born(stream, first_ps, span)
    least, most = born(stream, first_ps, certain)[0], born(stream, first_ps, possible)[1]
    if profile.is_gated(stream):  # of starts that make no sense nothing is certain
        least = sent_least = 0
    sent_most *= each + stream.excess_packets
    return _Count(least * each, most * each, sent_least * each, sent_most), every


def _things_at(port: Port) -> tuple[Thing, ...]:
    return port.source, (port.link, port.member), port.target


def _words(outages: Iterable[Broken]) -> tuple[str, ...]:
    """Name the events of some outages, each once, in order of time."""
    events = {id(one.event): one.event for one in outages}
    ordered = sorted(events.values(), key=lambda one: one.at_ps)
    return tuple(dict.fromkeys(one.words for one in ordered))


def _windows(
    happening: Circumstances,
    stream: Stream,
    way: Sequence[Port],
    outages: Sequence[Broken],
    high_ps: int | None,
) -> tuple[list[Span], list[Span]]:
    """Return when what is sent is lost for certain on a way, and when it may be."""
    one = happening.profile.class_by_name[stream.traffic_class]
    end_ps = happening.profile.simulation.duration_ps
    is_stored = one.reserves or one.preemptable
    sure: list[Span] = []
    maybe: list[Span] = []
    places: dict[tuple[Thing, int, int | None], list[tuple[_Place, bool]]] = {}
    for outage in outages:
        if outage.from_ps >= end_ps:
            continue  # no witness comes so far
        at = outage.thing, outage.event.where_ppb, outage.port
        if at not in places:
            found = _places(happening, stream, way, outage, high_ps, is_stored=is_stored)
            places[at] = list(found)
        for place, is_node in places[at]:
            begin_ps, until_ps = outage.from_ps, min(outage.until_ps, EVER)
            begin = begin_ps - (EVER if place.last_high_ps is None else place.last_high_ps)
            maybe.append((begin, min(until_ps, end_ps + place.far_ps[1]) - place.low_ps))
            if outage.by_chance:
                continue
            if is_node and place.low_ps == 0 and place.last_low_ps == 0:
                sure.append((begin_ps, until_ps))  # what is born there
            elif place.high_ps is not None:
                last = min(until_ps, end_ps + place.far_ps[0]) - place.high_ps
                sure.append((begin_ps - place.last_low_ps, last))
    return joined(sure), joined(maybe)


def _places(
    happening: Circumstances,
    stream: Stream,
    way: Sequence[Port],
    outage: Broken,
    high_ps: int | None,
    *,
    is_stored: bool,
) -> Iterable[tuple[_Place, bool]]:
    """Yield where on a way a broken thing is met, and whether it is a node.

    Links are as quick, and fibres as short or as long, as they ever are in the run. The largest
    latency is that with the last fibre of the files.
    """
    topology, links = happening.topology, happening.links
    line = [last_bit_ps(stream.frame_bytes, links.rate_bps(port)) for port in way]
    far = [links.delays_ps(port) for port in way]
    behind = [low for low, _ in far[:-1]] + [port.propagation_ps for port in way[-1:]]
    begins_ps = 0
    for number, port in enumerate(way):
        stays_ps = topology.node_by_name[port.target].processing.low_ps
        rest_ps = sum(behind[number:]) + sum(line[number + 1 :])
        rest_ps += sum(
            topology.node_by_name[one.source].processing.low_ps for one in way[number + 1 :]
        )
        leaves = None if high_ps is None else high_ps - rest_ps
        starts = None if leaves is None else leaves - line[number]
        ends_ps = begins_ps + line[number]
        here = _Place(begins_ps, starts, ends_ps, leaves)
        if outage.port is not None:
            if outage.port == port.number:
                yield here, False
        elif outage.thing == (port.link, port.member):
            yield here.down_the_line(_cut_ps(topology, port, outage.event, far[number])), False
        if outage.thing == port.source and number == 0:
            yield _Place(0, 0, 0, leaves), True
        if outage.thing == port.target:
            there = here.down_the_line(far[number])
            # It stays in the node until its last bit has left it, or a damper hands it over.
            is_last = number == len(way) - 1
            gone = high_ps
            if high_ps is not None and is_last:
                gone = high_ps + far[number][1] - port.propagation_ps
            elif high_ps is not None:
                gone = high_ps - sum(behind[number + 1 :]) - sum(line[number + 2 :])
            yield there._replace(last_high_ps=gone), True
        begins_ps = ends_ps + far[number][0] + stays_ps
        if not is_stored:
            begins_ps = max(begins_ps - line[number], 0)  # it may be sent on before all is in


def _cut_ps(topology: Topology, port: Port, event: Event, delays_ps: Span) -> Span:
    """Return how far down the line of a port a link is cut, from its first node on.

    It is at the same share of any fibre: at least and at most so far.
    """
    shares = [delay_ps * event.where_ppb // PPB for delay_ps in delays_ps]
    is_there = port.source == topology.links[port.link].between[0]
    low, high = (
        share if is_there else delay_ps - share
        for share, delay_ps in zip(shares, delays_ps, strict=True)
    )
    return low, high


def _common(first: Sequence[Span], second: Sequence[Span]) -> list[Span]:
    """Return what is in a span of both; each has its own in order, apart from each other."""
    both: list[Span] = []
    one = other = 0
    while one < len(first) and other < len(second):
        (a, b), (c, d) = first[one], second[other]
        both.append((max(a, c), min(b, d)))
        one, other = (one + 1, other) if b < d else (one, other + 1)
    return joined(both)


def demand_loss(
    happening: Circumstances, demand: Demand, versions: Sequence[EntryInForce[DemandPlan]]
) -> DemandEventLoss | None:
    """Return the share of a demand that is sent, on average, while its ways are broken.

    Parts by their rates; of each the time counts from when what is sent can be at what breaks.
    """
    topology, profile, _, broken, _, loads, _ = happening
    end_ps = profile.simulation.duration_ps
    ports = topology.port_by_name
    lost = sent = 0
    met: list[Broken] = []
    for version in versions:
        in_force = joined([(version.from_ps, min(version.until_ps, end_ps))])
        in_force = outside(in_force, loads.silent.get(demand.name, ()))
        factors = loads.factors.get(demand.name, ())
        at_rates = [(outside(in_force, [one[:2] for one in factors]), PPB)]
        at_rates += [(_common(in_force, [(a, b)]), by_ppb) for a, b, by_ppb in factors]
        for part in version.entry.parts:
            spans = []
            before_ps = 0
            for port in (ports[name] for name in part.ports if name in ports):
                there_ps = before_ps + port.propagation_ps
                for one in (one for thing in _things_at(port) for one in broken.get(thing, ())):
                    if one.port is not None:
                        continue
                    until_ps = min(one.until_ps, end_ps) - there_ps
                    spans.append((max(one.from_ps - there_ps, 0), until_ps))
                    met.append(one)
                before_ps += port.propagation_ps
            rate_bps = max(part.rate_bps, 0)
            for now, by_ppb in at_rates:
                sent += rate_bps * by_ppb * sum(b - a for a, b in now)
                both = _common(now, joined(spans))
                lost += rate_bps * by_ppb * sum(b - a for a, b in both)
    if not met:
        return None
    return DemandEventLoss(
        name=demand.name, share_ppb=lost * PPB // sent if sent else 0, events=_words(met)
    )
