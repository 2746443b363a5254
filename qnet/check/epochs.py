"""Events: what is proven of each epoch, and what they take of every stream whatever happens.

The checker reads the events by itself: it walks through the changes in order of time and keeps what
is broken. Between two changes the network stays as it is, and the plan too, since nobody acts on
what breaks: streams with no whole path left are cut, those with one path of two are proven on it.
All other bounds stay: frames that are lost are in nobody's way.

What events take of a stream is told by when its frames are sent. A frame sent at t is at a broken
point at t + e at the soonest and at t + l at the latest: those sent so that this is within an
outage are lost for certain, those sent so that it is at no time within are not lost by it. The
outage of a cable from 9 ms on, 1.7 ms down the way with 20 us of variation, takes for certain what
is sent from 7.3 ms on, and nothing that is sent before 7.28 ms.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from qnet.check.findings import exact_time
from qnet.check.line import ceil_div, last_bit_ps
from qnet.model.observation import EventUse, Observation
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.proof import DemandEventLoss, EpochProof, EventLoss, Proof, StreamProof
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Profile, Stream
from qnet.units import PPB

Prove = Callable[[Topology, Profile, Plan], Proof]

Thing = tuple[int, int] | str
"""A wire, by link and member, or a node by its name."""

Span = tuple[int, int]
"""From a time to before another."""

EVER = 1 << 61

OF_WIRES, MENDS = {"cut", "repair", "flap", "partition", "capacity"}, {"repair", "up"}
"""Kinds of events that are of wires, not nodes; and that mend what others broke."""

SERVICES_LISTED, EVENTS_LISTED = 6, 3


class _Broken(NamedTuple):
    """One thing that an event broke, for how long."""

    thing: Thing
    event: Event
    from_ps: int
    until_ps: int


def with_epochs(
    topology: Topology, profile: Profile, plan: Plan, whole: Proof, prove: Prove
) -> Proof:
    """Add to the proof of a plan what holds in each epoch, and what events take of whom."""
    broken = _walk(topology, profile)
    streams = {one.name: one for one in profile.every_stream}
    placed = [(streams[one.name], one) for one in plan.streams if one.name in streams and one.paths]
    bounds = {one.name: one for one in whole.streams}
    demands = {one.name: one for one in profile.demands}
    by_thing: dict[Thing, list[_Broken]] = defaultdict(list)
    for outage in broken:
        by_thing[outage.thing].append(outage)
    lost = [
        _loss(topology, profile, pair, bounds.get(pair[0].name), by_thing, plan) for pair in placed
    ]
    parts = [
        _demand_loss(topology, profile, demands[one.name], one, by_thing)
        for one in plan.demands
        if one.name in demands
    ]
    return whole.replace(
        epochs=tuple(_epochs(topology, profile, plan, whole, placed, broken, prove)),
        event_losses=tuple(one for one in lost if one is not None),
        demand_losses=tuple(one for one in parts if one is not None),
    )


def _walk(topology: Topology, profile: Profile) -> list[_Broken]:
    """Walk through the changes in order of time, and note what is broken from when to when.

    What lasts for a time is over before what else happens at that instant.
    """
    names = _things_by_name(topology)
    acts: list[tuple[int, int, int]] = []
    for number, event in enumerate(profile.events):
        for begin_ps, end_ps in _spans(event):
            acts += [(begin_ps, 1, number), (end_ps, 0, number)]
    since: dict[tuple[int, Thing], int] = {}
    things_of: dict[int, set[Thing]] = {}
    begun: dict[int, None] = {}
    healed: dict[int, set[Thing]] = defaultdict(set)
    found: list[_Broken] = []

    def mend(keys: Iterable[tuple[int, Thing]], now_ps: int) -> None:
        for number, thing in keys:
            begun_ps = since.pop((number, thing))
            if begun_ps < now_ps:
                found.append(_Broken(thing, profile.events[number], begun_ps, now_ps))

    for now_ps, is_act, number in sorted(acts):
        event = profile.events[number]
        if number not in things_of:
            things_of[number] = _things(topology, event, names)
        things = things_of[number] - healed[number]
        if not is_act:
            mend([key for key in since if key[0] == number], now_ps)
        elif event.change in MENDS:
            mend([key for key in since if key[1] in things], now_ps)
            for other in begun:
                healed[other] |= things & things_of[other]
        else:
            begun[number] = None
            since |= {(number, thing): now_ps for thing in things}
    mend(list(since), EVER)
    return found


def _spans(event: Event) -> Sequence[Span]:
    """Return from when to before when an event breaks what it does, if nothing mends it before."""
    if event.change in ("delay", "loss") or event.rate_bps is not None:
        return []
    if event.duration_ps is None:
        return [(event.at_ps, EVER)]
    end_ps = event.at_ps + event.duration_ps
    if event.every_ps is None:
        return [(event.at_ps, end_ps)]
    share_ppb = PPB // 2 if event.duty_ppb is None else event.duty_ppb
    spans: list[Span] = []
    begin_ps = event.at_ps
    while begin_ps < end_ps:
        until_ps = min(begin_ps + event.every_ps * share_ppb // PPB, end_ps)
        if begin_ps < until_ps:
            spans.append((begin_ps, until_ps))
        begin_ps += event.every_ps
    return spans


def _things(
    topology: Topology, event: Event, names: Mapping[bool, Mapping[str, set[Thing]]]
) -> set[Thing]:
    """Return the wires or nodes that an event is of."""
    if event.groups is not None:
        sides: list[set[Thing]] = [
            set().union(*(names[False].get(one, set()) for one in group)) for group in event.groups
        ]
        return {
            (port.link, port.member)
            for port in topology.ports
            for near, side in enumerate(sides)
            if port.source in side
            and any(port.target in far for place, far in enumerate(sides) if place != near)
        }
    things = set(names[event.change in OF_WIRES].get(event.target or "", set()))
    if event.members is not None:
        return {one for one in things if isinstance(one, tuple) and one[1] >= event.members}
    return things


def _things_by_name(topology: Topology) -> Mapping[bool, Mapping[str, set[Thing]]]:
    """Return by name what is cut (True), wires, and what goes down (False), nodes."""
    wires: dict[str, set[Thing]] = defaultdict(set)
    nodes: dict[str, set[Thing]] = defaultdict(set)
    for port in topology.ports:
        link, wire = topology.links[port.link], (port.link, port.member)
        name = topology.link_name(link)
        for one in (name, topology.cable(link), port.name, f"{name}/{port.member + 1}"):
            wires[one].add(wire)
    for node in topology.nodes:
        if node.site is not None:
            nodes[node.site].add(node.name)
    nodes |= {node.name: {node.name} for node in topology.nodes}
    return {True: wires, False: nodes}


# Epochs


def _epochs(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    whole: Proof,
    placed: Sequence[tuple[Stream, StreamPlan]],
    broken: Sequence[_Broken],
    prove: Prove,
) -> Iterable[EpochProof]:
    """Prove every epoch of the run; states that come again are proven once."""
    end_ps = profile.simulation.duration_ps
    changes = {0, end_ps} | {one.from_ps for one in broken} | {one.until_ps for one in broken}
    times = sorted(time_ps for time_ps in changes if time_ps <= end_ps)
    known: dict[frozenset[Thing], tuple[tuple[str, ...], tuple[StreamProof, ...], Proof]] = {}
    coming = sorted(range(len(broken)), key=lambda one: -broken[one].from_ps)
    present: set[int] = set()
    for from_ps, until_ps in pairwise(times):
        present = {one for one in present if broken[one].until_ps > from_ps}
        while coming and broken[coming[-1]].from_ps <= from_ps:
            if broken[coming[-1]].until_ps > from_ps:
                present.add(coming[-1])
            coming.pop()
        now = [broken[one] for one in sorted(present)]
        things = frozenset(one.thing for one in now)
        if things not in known:
            left = {stream.name: _paths_left(topology, entry, things) for stream, entry in placed}
            cut = tuple(name for name, paths in left.items() if not paths)
            known[things] = cut, *_reduced(topology, profile, plan, placed, left, prove)
        cut, reduced, proof = known[things]
        yield EpochProof(
            from_ps=from_ps,
            until_ps=until_ps,
            broken=tuple(dict.fromkeys(_named(one.event) for one in now)),
            cut=cut,
            reduced=reduced,
            findings=tuple(
                one
                for one in proof.findings
                if one not in whole.findings and one.rule != "disjoint"
            ),
        )


def _named(event: Event) -> str:
    if event.groups is not None:
        return f"{' from '.join(', '.join(group) for group in event.groups)} cut"
    if event.members is not None:
        return f"{event.target} cut to {event.members} of its wires"
    return f"{event.target} {'cut' if event.change in OF_WIRES else 'down'}"


def _paths_left(topology: Topology, entry: StreamPlan, things: frozenset[Thing]) -> list[int]:
    """Return which paths of a stream cross nothing that is broken."""
    ports = topology.port_by_name
    return [
        number
        for number, path in enumerate(entry.paths)
        if not any(_touches(ports[name], things) for name in path.ports if name in ports)
    ]


def _touches(port: Port, things: frozenset[Thing]) -> bool:
    return bool({(port.link, port.member), port.source, port.target} & things)


def _reduced(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    placed: Sequence[tuple[Stream, StreamPlan]],
    left: Mapping[str, Sequence[int]],
    prove: Prove,
) -> tuple[tuple[StreamProof, ...], Proof]:
    """Prove the plan without the paths that are broken, where one of two is whole."""
    fewer = {
        stream.name: entry.replace(paths=(entry.paths[left[stream.name][0]],))
        for stream, entry in placed
        if len(left[stream.name]) == 1 and len(entry.paths) > 1
    }
    if not fewer:
        return (), Proof(streams=(), ports=(), findings=())
    # What a plan claims of rates is judged as it was made.
    claimless = plan.replace(
        streams=tuple(fewer.get(one.name, one) for one in plan.streams),
        reserved=None,
        egress=tuple(one.replace(placed_bps=0) for one in plan.egress),
    )
    proof = prove(topology, profile, claimless)
    return tuple(one for one in proof.streams if one.name in fewer), proof


# What events take


class _Place(NamedTuple):
    """Where a broken thing is on a way, in times from when a frame is sent.

    The first bit is there `low_ps` later at the soonest and `high_ps` at the latest, the last bit
    `last_low_ps` and `last_high_ps`; what is not known is None. It is `far_ps` down the line of the
    port before it: witnesses count what is lost there when it leaves that port.
    """

    low_ps: int
    high_ps: int | None
    last_low_ps: int
    last_high_ps: int | None
    far_ps: int = 0

    def down_the_line(self, far_ps: int) -> _Place:
        """Return the place that is so far down the line of a port."""
        high, last = self.high_ps, self.last_high_ps
        return _Place(
            self.low_ps + far_ps,
            None if high is None else high + far_ps,
            self.last_low_ps + far_ps,
            None if last is None else last + far_ps,
            far_ps,
        )


def _loss(
    topology: Topology,
    profile: Profile,
    pair: tuple[Stream, StreamPlan],
    bounds: StreamProof | None,
    broken: Mapping[Thing, Sequence[_Broken]],
    plan: Plan,
) -> EventLoss | None:
    """Return how many frames events take of a stream; None where they touch none of its paths."""
    stream, entry = pair
    ports = topology.port_by_name
    ways = [[ports[name] for name in path.ports if name in ports] for path in entry.paths]
    met = [
        [one for thing in dict.fromkeys(chain.from_iterable(map(_things_at, way)))
         for one in broken.get(thing, ())]
        for way in ways
    ]  # fmt: skip
    if not any(met):
        return None
    end_ps = profile.simulation.duration_ps
    slack_ps = stream.interval_ps if profile.is_gated(stream) and len(ways) > 1 else 0
    certain, possible = [(0, end_ps)], [(0, end_ps)]
    high_ps = None if bounds is None else bounds.latency_ps_max
    for way, outages in zip(ways, met, strict=True):
        sure, maybe = _windows(topology, profile, stream, way, outages, high_ps, end_ps)
        certain = _common(certain, [(a + slack_ps, b - slack_ps) for a, b in sure])
        possible = _common(possible, _joined([(a - slack_ps, b + slack_ps) for a, b in maybe]))
    first_ps = entry.send_ps
    if plan.cycle_ps <= 0 or profile.is_gated(stream):
        first_ps = None
    each = stream.max_packets
    sent = _counted(stream, first_ps, [(0, end_ps)])
    if profile.is_gated(stream):
        sent = max(sent[0] - 1, 0), sent[1]  # what would begin before the run is left out
    least, most = _counted(stream, first_ps, certain)[0], _counted(stream, first_ps, possible)[1]
    is_known = high_ps is not None and not stream.excess_packets
    return EventLoss(
        name=stream.name,
        frames_least=least * each,
        frames_most=most * each if is_known else None,
        sent_least=sent[0] * each,
        sent_most=sent[1] * (each + stream.excess_packets),
        events=_words(chain.from_iterable(met)),
    )


def _things_at(port: Port) -> tuple[Thing, ...]:
    return port.source, (port.link, port.member), port.target


def _words(outages: Iterable[_Broken]) -> tuple[str, ...]:
    """Name the events of some outages, each once, in order of time."""
    events = {id(one.event): one.event for one in outages}
    ordered = sorted(events.values(), key=lambda one: one.at_ps)
    return tuple(dict.fromkeys(one.words for one in ordered))


def _counted(stream: Stream, first_ps: int | None, spans: Sequence[Span]) -> Span:
    """Return how many intervals begin in some spans of time, at least and at most."""
    every_ps = stream.interval_ps
    if first_ps is None:
        least = sum(max(b - a, 0) // every_ps for a, b in spans)
        return least, sum(ceil_div(max(b - a, 0), every_ps) for a, b in spans)
    count = 0
    for a, b in spans:
        begin, end = (max(ceil_div(t - first_ps, every_ps), 0) for t in (a, b))
        count += max(end - begin, 0)
    return count, count


def _windows(
    topology: Topology,
    profile: Profile,
    stream: Stream,
    way: Sequence[Port],
    outages: Sequence[_Broken],
    high_ps: int | None,
    end_ps: int,
) -> tuple[list[Span], list[Span]]:
    """Return when what is sent is lost for certain on a way, and when it may be."""
    one = profile.class_by_name[stream.traffic_class]
    is_stored = one.reserves or one.preemptable
    sure: list[Span] = []
    maybe: list[Span] = []
    places: dict[tuple[Thing, int], list[tuple[_Place, bool]]] = {}
    for outage in outages:
        at = outage.thing, outage.event.where_ppb
        if at not in places:
            found = _places(topology, stream, way, outage, high_ps, is_stored=is_stored)
            places[at] = list(found)
        for place, is_node in places[at]:
            begin_ps, until_ps = outage.from_ps, min(outage.until_ps, EVER)
            begin = begin_ps - (EVER if place.last_high_ps is None else place.last_high_ps)
            maybe.append((begin, min(until_ps, end_ps + place.far_ps) - place.low_ps))
            if is_node and place.low_ps == 0 and place.last_low_ps == 0:
                sure.append((begin_ps, until_ps))  # what is born there
            elif place.high_ps is not None:
                last = min(until_ps, end_ps + place.far_ps) - place.high_ps
                sure.append((begin_ps - place.last_low_ps, last))
    return _joined(sure), _joined(maybe)


def _places(
    topology: Topology,
    stream: Stream,
    way: Sequence[Port],
    outage: _Broken,
    high_ps: int | None,
    *,
    is_stored: bool,
) -> Iterable[tuple[_Place, bool]]:
    """Yield where on a way a broken thing is met, and whether it is a node."""
    line = [last_bit_ps(stream.frame_bytes, port.rate_bps) for port in way]
    begins_ps = 0
    for number, port in enumerate(way):
        stays_ps = topology.node_by_name[port.target].processing.low_ps
        rest_ps = port.propagation_ps + sum(line[number + 1 :])
        rest_ps += sum(one.propagation_ps for one in way[number + 1 :])
        rest_ps += sum(
            topology.node_by_name[one.source].processing.low_ps for one in way[number + 1 :]
        )
        leaves = None if high_ps is None else high_ps - rest_ps
        starts = None if leaves is None else leaves - line[number]
        ends_ps = begins_ps + line[number]
        if outage.thing == (port.link, port.member):
            far_ps = _far_ps(topology, port, outage.event)
            yield _Place(begins_ps, starts, ends_ps, leaves).down_the_line(far_ps), False
        if outage.thing == port.source and number == 0:
            yield _Place(0, 0, 0, leaves), True
        if outage.thing == port.target:
            there = _Place(begins_ps, starts, ends_ps, leaves).down_the_line(port.propagation_ps)
            # It stays in the node until its last bit has left it, or a damper hands it over.
            is_last = number == len(way) - 1
            gone = high_ps
            if high_ps is not None and not is_last:
                after = way[number + 1 :]
                gone = high_ps - sum(one.propagation_ps for one in after) - sum(line[number + 2 :])
            yield there._replace(last_high_ps=gone), True
        begins_ps = ends_ps + port.propagation_ps + stays_ps
        if not is_stored:
            begins_ps = max(begins_ps - line[number], 0)  # it may be sent on before all is in


def _far_ps(topology: Topology, port: Port, event: Event) -> int:
    """Return how far down the line of a port a link is cut, from its first node on."""
    share = port.propagation_ps * event.where_ppb // PPB
    is_there = port.source == topology.links[port.link].between[0]
    return share if is_there else port.propagation_ps - share


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Join spans of time that touch; empty ones are none."""
    found: list[Span] = []
    for begin, end in sorted(one for one in spans if one[0] < one[1]):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def _common(first: Sequence[Span], second: Sequence[Span]) -> list[Span]:
    """Return what is in a span of both; each has its own in order, apart from each other."""
    both: list[Span] = []
    one = other = 0
    while one < len(first) and other < len(second):
        (a, b), (c, d) = first[one], second[other]
        both.append((max(a, c), min(b, d)))
        one, other = (one + 1, other) if b < d else (one, other + 1)
    return _joined(both)


def _demand_loss(
    topology: Topology,
    profile: Profile,
    demand: Demand,
    entry: DemandPlan,
    broken: Mapping[Thing, Sequence[_Broken]],
) -> DemandEventLoss | None:
    """Return the share of a demand that is sent, on average, while its ways are broken.

    Parts by their rates; of each the time counts from when what is sent can be at what breaks.
    """
    end_ps = profile.simulation.duration_ps
    ports = topology.port_by_name
    lost = sent = 0
    met: list[_Broken] = []
    for part in entry.parts:
        way = [ports[name] for name in part.ports if name in ports]
        spans = []
        before_ps = 0
        for port in way:
            there_ps = before_ps + port.propagation_ps
            for one in (one for thing in _things_at(port) for one in broken.get(thing, ())):
                until_ps = min(one.until_ps, end_ps) - there_ps
                spans.append((max(one.from_ps - there_ps, 0), until_ps))
                met.append(one)
            before_ps += port.propagation_ps
        rate_bps = max(part.rate_bps, 0)
        sent += rate_bps * end_ps
        lost += rate_bps * sum(max(b - a, 0) for a, b in _joined(spans))
    if not met:
        return None
    return DemandEventLoss(
        name=demand.name, share_ppb=lost * PPB // sent if sent else 0, events=_words(met)
    )


def loss_words(one: EventLoss | DemandEventLoss) -> str:
    """Say by which events."""
    more = f" and {len(one.events) - EVENTS_LISTED} more" if one.events[EVENTS_LISTED:] else ""
    return "; ".join(one.events[:EVENTS_LISTED]) + more


def epoch_lines(proof: Proof, observations: Mapping[str, Observation], services: Mapping[str, str],
                ) -> list[str]:  # fmt: skip
    """Say what holds in every epoch, and between them what each event took of which service.

    `observations` are by witness, `services` by the name of a stream or demand.
    """
    lines = [(one.from_ps, 1, _epoch_words(one)) for one in proof.epochs]
    for witness, run in observations.items():
        lines += [(one.at_ps, 0, _event_words(witness, one, services)) for one in run.events]
    return [words for _, _, words in sorted(lines, key=lambda line: line[:2])]


def _epoch_words(one: EpochProof) -> str:
    when = f"{exact_time(one.from_ps)} to {exact_time(one.until_ps)}"
    what = ", ".join(one.broken) or "nothing is broken"
    words = []
    if one.cut:
        words.append(f"{len(one.cut)} streams are cut")
    if one.reduced:
        words.append(f"{len(one.reduced)} have one path of two and are proven on it")
    if one.findings:
        words.append("the plan breaks a rule")
    return f"{when}: {what}: {', '.join([*words, 'all else as proven'])}"


def _event_words(witness: str, one: EventUse, services: Mapping[str, str]) -> str:
    total: Counter[str] = Counter()
    for taken in one.lost:
        total[services.get(taken.name, taken.name)] += taken.frames
    if not total:
        return f"{one.event}: {witness}: took no frame"
    most = [f"{name} {frames:,}" for name, frames in total.most_common(SERVICES_LISTED)]
    if len(total) > SERVICES_LISTED:
        most.append(f"{len(total) - SERVICES_LISTED} more")
    return f"{one.event}: {witness}: took {total.total():,} frames: {', '.join(most)}"
