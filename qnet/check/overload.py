"""Where more comes than can go, on average and for ever, however short a run is.

Mean rates on the wire are all that counts here: what talkers send, less what meters and shapers
hold back, beside the rate of a port, the idle slope of a class, what gates leave open, and the
shares of weights. A port serves its classes from the highest down; each has what those above
leave it, and no more than its slope. Classes of one priority share what is left by their weights,
and what one does not need goes to the others. Exactly all of it is no overload; one bit a second
more is: the queue then grows until its buffer is full.

Three streams of 406.896 Mb/s into a port of 1 Gb/s are 1220.688 Mb/s of 1 Gb/s.

What an overloaded port cannot pass on does not come to the ports behind it, so that these are not
blamed for it. All of it is exact arithmetic of fractions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

from qnet.check.findings import exact_rate, round_up
from qnet.check.least import passed_by_meter
from qnet.check.queues import asked_bps, reserved_bps
from qnet.model.gates import HELD
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.proof import Overload, OverloadOf
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, IdleSlope, Profile, Stream, TrafficClass
from qnet.units import PPB, PS_PER_S, wire_bytes

Rates = Mapping[str, Fraction]
"""Bits per second on the wire by class."""


class _Place(NamedTuple):
    """Ports that take traffic together: one, or all wires from a node to the next."""

    name: str
    rate_bps: int
    """Of all wires together, while nothing is closed."""
    open: Rates
    """For classes behind gates: the share of time that they have."""
    slopes_bps: Rates
    """For classes with credit: how fast it grows."""


class _Flow(NamedTuple):
    """What goes one way in one class, and the places it passes."""

    traffic_class: str
    rate_bps: Fraction
    places: tuple[int, ...]


def overloads(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    streams: Iterable[tuple[Stream, StreamPlan]],
    demands: Iterable[tuple[Demand, DemandPlan]],
) -> list[Overload]:
    """Return every overload of a plan: ports by class, and streams that their own meters starve.

    Routes that do not join up must have been left out.
    """
    open_shares = _open_shares(profile, plan)
    streams = list(streams)
    by_srp = any(one.idle_slope == IdleSlope() for one in profile.classes)
    reserved = reserved_bps(topology, streams) if by_srp else {}
    places = [
        _Place(
            port.name,
            port.rate_bps,
            open_shares.get(port.name, {}),
            _slopes_bps(profile, [port], reserved),
        )
        for port in topology.ports
    ]
    together: Counter[tuple[str, tuple[str, ...], int]] = Counter()
    gathered: dict[tuple[str, tuple[str, ...]], Fraction] = defaultdict(Fraction)
    found: list[Overload] = []
    for stream, entry in streams:
        one = profile.class_by_name[stream.traffic_class]
        for path in entry.paths:
            if _is_held(stream, one):
                gathered[one.name, path.ports] += passing_bps(stream, one)
            else:
                size = sent_frames(stream) * wire_bytes(stream.frame_bytes)
                together[one.name, path.ports, stream.interval_ps] += size
        if entry.paths and entry.paths[0].ports:
            found += starved(stream, one, entry.paths[0].ports[0])
    for (name, ports, interval_ps), size in together.items():
        gathered[name, ports] += Fraction(size * 8 * PS_PER_S, interval_ps)
    for demand, placed in demands:
        for part in placed.parts:
            gathered[demand.traffic_class, part.ports] += max(part.rate_bps, 0)
    numbers = {name: port.number for name, port in topology.port_by_name.items()}
    flows = [
        _Flow(name, rate_bps, tuple(numbers[port] for port in ports))
        for (name, ports), rate_bps in gathered.items()
        if all(port in numbers for port in ports)
    ]
    # What is reserved beyond a rate is a finding of its own rule.
    reserving = {one.name for one in profile.classes if one.reserves}
    return found + [
        one for one in _overloaded(profile, places, flows) if one.traffic_class not in reserving
    ]


def certain_overloads(topology: Topology, profile: Profile) -> list[Overload]:
    """Return what no plan can avoid: too much for all wires of a link that every route must take.

    Streams that their own meters starve are there whatever the plan.
    """
    found: list[Overload] = []
    for stream in profile.streams:
        if stream.count:
            found += starved(stream, profile.class_by_name[stream.traffic_class], stream.talker)
    bridges, route = _bridges(topology)
    gathered: dict[tuple[str, tuple[int, ...]], Fraction] = defaultdict(Fraction)
    reserved: list[Counter[str]] = [Counter() for _ in bridges]
    for stream in profile.streams:
        one = profile.class_by_name[stream.traffic_class]
        way = route(stream.talker, stream.listener)
        gathered[one.name, way] += passing_bps(stream, one) * stream.count
        for number in way if one.idle_slope == IdleSlope() else ():
            # It may go over any of the wires, and over two of them with a copy.
            asked = max(asked_bps(stream, port) for port in bridges[number])
            reserved[number][one.name] += asked * stream.paths * stream.count
    for demand in profile.demands:
        way = route(demand.source, demand.target)
        gathered[demand.traffic_class, way] += demand.rate_bps
    flows = [_Flow(name, rate_bps, way) for (name, way), rate_bps in gathered.items()]
    places = [_all_wires(profile, *wires_of) for wires_of in zip(bridges, reserved, strict=True)]
    return found + _overloaded(profile, places, flows)


def sent_frames(stream: Stream) -> int:
    """Return the frames that a talker sends in an interval, asked for or not."""
    return stream.max_packets + stream.excess_packets


def passing_bps(stream: Stream, one: TrafficClass) -> Fraction:
    """Return what comes to the queues of a stream on average: sent, metered or shaped."""
    bits = sent_frames(stream) * wire_bytes(stream.frame_bytes) * 8
    sent_bps = Fraction(bits * PS_PER_S, stream.interval_ps)
    sent_bps *= passed_by_meter(stream, sent_frames(stream))
    return sent_bps if one.residence_ps is None else min(sent_bps, Fraction(stream.rate_bps))


def starved(stream: Stream, one: TrafficClass, where: str) -> Iterator[Overload]:
    """Say where a stream's own meter or shaper is set below what it asks for.

    What a talker sends beyond that is no overload: meters are there to take it out.
    """
    bits = stream.max_packets * wire_bytes(stream.frame_bytes) * 8
    asked_bps = Fraction(bits * PS_PER_S, stream.interval_ps)
    passed = passed_by_meter(stream, stream.max_packets)
    if passed < 1:
        yield _overload(where, stream, "meter", (asked_bps, asked_bps * passed))
    elif one.residence_ps is not None and asked_bps > stream.rate_bps:
        rates = (asked_bps, Fraction(stream.rate_bps))
        yield _overload(where, stream, "shaper", rates)


def _is_held(stream: Stream, one: TrafficClass) -> bool:
    return stream.police or one.residence_ps is not None


def _overload(
    where: str,
    whose: Stream | str,
    of: OverloadOf,
    rates_bps: tuple[Fraction, Fraction],
    of_bps: int = 0,
) -> Overload:
    """Round what is offered up and what can go down, so that the one is more than the other."""
    offered_bps, served_bps = rates_bps
    return Overload(
        port=where,
        traffic_class=whose.traffic_class if isinstance(whose, Stream) else whose,
        stream=whose.name if isinstance(whose, Stream) else None,
        of=of,
        offered_bps=round_up(offered_bps),
        served_bps=served_bps.numerator // served_bps.denominator,
        rate_bps=of_bps,
    )


def words(one: Overload) -> str:
    """Say what is offered where, and what there is for it."""
    offered, served = exact_rate(one.offered_bps), exact_rate(one.served_bps)
    if one.stream is not None:
        return f"its {one.of} at {one.port} lets {served} of {offered} through; the rest is lost"
    whole = exact_rate(one.rate_bps)
    has = {
        "rate": f"has {served} for it" if served == whole else f"has {served} of {whole} left",
        "idle-slope": f"its idle slope is {served} of {whole}",
        "gates": f"gates leave it {served} of {whole}",
        "weight": f"its weight leaves it {served} of {whole}",
    }[one.of]
    return (
        f"port {one.port} is offered {offered} of class {one.traffic_class} and {has}; "
        "the queue grows without end"
    )


# What a place can pass on


def _overloaded(
    profile: Profile, places: Sequence[_Place], flows: Sequence[_Flow]
) -> list[Overload]:
    """Return the overloads at all places, those left out that only others upstream would cause."""
    whole: dict[tuple[str, int], Fraction] = {}
    first = _at_places(profile, places, flows, whole)
    if not first:
        return []
    return _at_places(profile, places, flows, _passed_on(profile, places, flows)) or first


def _offered(
    flows: Iterable[_Flow], shares: Mapping[tuple[str, int], Fraction]
) -> dict[int, dict[str, Fraction]]:
    """Return what comes to each place, by class, where earlier ones pass on their shares."""
    offered: dict[int, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for flow in flows:
        rate_bps = flow.rate_bps
        for place in flow.places:
            offered[place][flow.traffic_class] += rate_bps
            rate_bps *= shares.get((flow.traffic_class, place), 1)
    return offered


def _passed_on(
    profile: Profile, places: Sequence[_Place], flows: Sequence[_Flow]
) -> dict[tuple[str, int], Fraction]:
    """Return what share of each overloaded class its place passes on, at least."""
    shares = {}
    for place, offered in _offered(flows, {}).items():
        for name, (served_bps, _) in _served(profile, places[place], offered).items():
            if served_bps < offered[name]:
                shares[name, place] = served_bps / offered[name]
    return shares


def _at_places(
    profile: Profile,
    places: Sequence[_Place],
    flows: Sequence[_Flow],
    shares: Mapping[tuple[str, int], Fraction],
) -> list[Overload]:
    found = []
    for number, offered in sorted(_offered(flows, shares).items()):
        place = places[number]
        for name, (served_bps, of) in _served(profile, place, offered).items():
            if served_bps < offered[name]:
                rates = (offered[name], served_bps)
                found.append(_overload(place.name, name, of, rates, place.rate_bps))
    return found


def _served(
    profile: Profile, place: _Place, offered: Rates
) -> dict[str, tuple[Fraction, OverloadOf]]:
    """Return what each class gets on average, and what keeps it from more."""
    left_bps = Fraction(place.rate_bps)
    served: dict[str, tuple[Fraction, OverloadOf]] = {}
    here = [one for one in profile.classes if offered.get(one.name)]
    here.sort(key=lambda one: -one.priority)
    for _, group in groupby(here, key=lambda one: one.priority):
        classes = list(group)
        wants, limits = {}, dict[str, OverloadOf]()
        for one in classes:
            wants[one.name] = offered[one.name]
            for most_bps, of in _limits(place, one):
                if most_bps < wants[one.name]:
                    wants[one.name], limits[one.name] = most_bps, of
        shares = _shared(left_bps, wants, {one.name: one.weight or 1 for one in classes})
        for one in classes:
            short = shares[one.name] < wants[one.name]
            by: OverloadOf = "weight" if len(classes) > 1 else "rate"
            of = by if short else limits.get(one.name, "rate")
            served[one.name] = shares[one.name], of
        left_bps -= sum(shares.values())
    return served


def _limits(place: _Place, one: TrafficClass) -> Iterator[tuple[Fraction, OverloadOf]]:
    """Yield what a class can have at most by itself."""
    if one.name in place.open:
        yield place.open[one.name] * place.rate_bps, "gates"
    if one.name in place.slopes_bps:
        yield place.slopes_bps[one.name], "idle-slope"


def _slopes_bps(
    profile: Profile,
    ports: Sequence[Port],
    reserved: Mapping[tuple[int, str], int] | None = None,
) -> Rates:
    """Return the idle slopes of classes over some wires; what streams reserve may not be known."""
    slopes_bps = {}
    for one in profile.classes:
        if one.idle_slope is None:
            continue
        share_ppb, rate_bps = one.idle_slope
        if share_ppb is not None:
            parts = [Fraction(share_ppb * port.rate_bps, PPB) for port in ports]
        elif rate_bps is not None:
            parts = [Fraction(min(rate_bps, port.rate_bps)) for port in ports]
        elif reserved is not None:
            parts = [
                Fraction(min(reserved.get((port.number, one.name), 0), port.rate_bps))
                for port in ports
            ]
        else:
            continue
        slopes_bps[one.name] = sum(parts, Fraction(0))
    return slopes_bps


def _shared(left_bps: Fraction, wants: Rates, weights: Mapping[str, int]) -> dict[str, Fraction]:
    """Share a rate by weights; what one does not need goes to the others.

    Of 10 with weights 1 and 1, those that want 3 and 9 get 3 and 7.
    """
    shares: dict[str, Fraction] = {}
    open_names = list(wants)
    while open_names:
        whole = sum(weights[name] for name in open_names)
        modest = [
            name for name in open_names if wants[name] * whole <= left_bps * weights[name]
        ] or open_names
        got = {name: min(wants[name], left_bps * Fraction(weights[name], whole)) for name in modest}
        shares.update(got)
        left_bps -= sum(got.values())
        open_names = [name for name in open_names if name not in got]
    return shares


def _open_shares(profile: Profile, plan: Plan) -> dict[str, dict[str, Fraction]]:
    """Return for each port with a gate list the share of time that each other class has."""
    shares: dict[str, dict[str, Fraction]] = {}
    preemptable = {one.name for one in profile.classes if one.preemptable}
    for made in plan.gates:
        whole_ps = sum(max(entry.interval_ps, 0) for entry in made.entries)
        if not whole_ps:
            continue
        shares[made.port] = {
            name: Fraction(
                sum(
                    max(entry.interval_ps, 0)
                    for entry in made.entries
                    if entry.states & 1 << queue
                    and not (entry.states & HELD and name in preemptable)
                ),
                whole_ps,
            )
            for name, queue in profile.queue_by_class.items()
        }
    return shares


# What every route must take


_Route = Callable[[str, str], tuple[int, ...]]


def _all_wires(profile: Profile, wires: Sequence[Port], reserved: Mapping[str, int]) -> _Place:
    """Take the wires of a bridge together, with all that streams of each class reserve there."""
    several = f" to {wires[-1].name} ({len(wires)} wires)" if len(wires) > 1 else ""
    rate_bps = sum(port.rate_bps for port in wires)
    slopes_bps = {name: Fraction(min(bps, rate_bps)) for name, bps in reserved.items()}
    slopes_bps.update(_slopes_bps(profile, wires))
    return _Place(wires[0].name + several, rate_bps, {}, slopes_bps)


def _bridges(topology: Topology) -> tuple[list[Sequence[Port]], _Route]:
    """Return what joins two halves of the network, its wires each way, and who must take them.

    All wires between two nodes are taken together: a bridge is a pair of neighbours without another
    way between them.
    """
    wires: dict[tuple[str, str], list[Port]] = defaultdict(list)
    for port in topology.ports:
        wires[port.source, port.target].append(port)
    parent, depth, cut = _bridge_tree(wires, [node.name for node in topology.nodes])
    bridges = sorted((a, b) for a, b in wires if (a, b) in cut or (b, a) in cut)
    number = {ends: place for place, ends in enumerate(bridges)}

    def route(source: str, target: str) -> tuple[int, ...]:
        up, down = [], []
        while source != target:
            if depth[source] >= depth[target]:
                up.append((source, parent[source]))
                source = parent[source]
            else:
                down.append((parent[target], target))
                target = parent[target]
        return tuple(number[step] for step in (*up, *reversed(down)) if step in number)

    return [wires[ends] for ends in bridges], route


def _bridge_tree(
    wires: Mapping[tuple[str, str], Sequence[Port]], names: Sequence[str]
) -> tuple[dict[str, str], dict[str, int], set[tuple[str, str]]]:
    """Walk the network depth first: each node's parent and depth, and which steps are bridges.

    A step down is a bridge when nothing below it leads back up to where it began (Tarjan). Two
    nodes that only bridges join have all of them on their way through this tree, and bridges alone
    count there: what the tree shows in between is one way of many.
    """
    neighbours: dict[str, list[str]] = defaultdict(list)
    for near, far in wires:
        neighbours[near].append(far)
        neighbours[far].append(near)
    parent: dict[str, str] = {}
    depth: dict[str, int] = {}
    lowest: dict[str, int] = {}
    bridges = set()
    for root in names:
        if root in depth:
            continue
        depth[root] = lowest[root] = 0
        waiting = [(root, iter(neighbours[root]))]
        while waiting:
            name, others = waiting[-1]
            other = next(others, None)
            if other is None:
                waiting.pop()
                if waiting:
                    above = waiting[-1][0]
                    lowest[above] = min(lowest[above], lowest[name])
                    if lowest[name] > depth[above]:
                        bridges.add((above, name))
            elif other not in depth:
                parent[other] = name
                depth[other] = lowest[other] = depth[name] + 1
                waiting.append((other, iter(neighbours[other])))
            elif other != parent.get(name):
                lowest[name] = min(lowest[name], depth[other])
    return parent, depth, bridges
