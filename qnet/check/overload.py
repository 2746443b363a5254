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

from qnet.check.findings import exact_rate, exact_time, round_up
from qnet.check.least import passed_by_meter
from qnet.check.line import serialisation_ps, wire_bytes
from qnet.check.queues import asked_bps, reserved_bps
from qnet.check.trees import ridden
from qnet.check.windows import GivenList, given
from qnet.model.gates import HELD, GateList
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.proof import Overload, OverloadOf
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, IdleSlope, Profile, Stream, TrafficClass
from qnet.units import PPB, PS_PER_S

Rates = Mapping[str, Fraction]
"""Bits per second on the wire by class."""


class _Window(NamedTuple):
    """The longest time that a class is open at a port without a break."""

    length_ps: int
    rate_bps: int


class _Place(NamedTuple):
    """Ports that take traffic together: one, or all wires from a node to the next."""

    name: str
    rate_bps: int
    """Of all wires together, while nothing is closed."""
    slopes_bps: Rates
    """For classes with credit: how fast it grows."""
    open: Rates
    """For classes behind gates: the share of time that they have."""
    windows: Mapping[str, Sequence[_Window]]
    """For classes behind gates that hold back what would not end in time: the longest."""

    def lack(self, name: str, frame_bytes: int) -> tuple[int, int] | None:
        """Return how long a frame takes and the window has, where no wire's is long enough."""
        lacks = [
            (serialisation_ps(frame_bytes, one.rate_bps), one.length_ps)
            for one in self.windows.get(name, ())
        ]
        if not lacks or any(line_ps <= window_ps for line_ps, window_ps in lacks):
            return None
        return max(lacks, key=lambda lack: lack[1])


class _Load(NamedTuple):
    """What comes to a place of one class, and the longest frame of it."""

    rate_bps: Fraction
    longest_bytes: int


class _Flow(NamedTuple):
    """What goes one way in one class, and the places it passes.

    It counts from a number of them on: before, it is in what another leg of its tree offers.
    """

    traffic_class: str
    places: tuple[int, ...]
    rate_bps: Fraction
    longest_bytes: int
    """Its longest frame."""
    counts_from: int = 0


_Way = tuple[str, tuple[str, ...], int]
"""Class, ports, and how many of these count with another leg."""


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
    lists = {made.port: _planned_states(profile, made) for made in plan.gates}
    streams = list(streams)
    by_srp = any(one.idle_slope == IdleSlope() for one in profile.classes)
    reserved = reserved_bps(topology, streams) if by_srp else {}
    places = [
        _Place(
            port.name,
            port.rate_bps,
            _slopes_bps(profile, [port], reserved),
            *_openings(profile, [port], lists),
        )
        for port in topology.ports
    ]
    rides = ridden(streams)
    found: list[Overload] = []
    for stream, entry in streams:
        # Of a tree the meter is that of its first port, where one leg leads.
        if entry.paths and entry.paths[0].ports and not rides.get(stream.name):
            one = profile.class_by_name[stream.traffic_class]
            found += starved(stream, one, entry.paths[0].ports[0])
    flows = _planned_flows(topology, profile, streams, demands)
    # What is reserved beyond a rate is a finding of its own rule.
    reserving = {one.name for one in profile.classes if one.reserves}
    return found + [
        one for one in _overloaded(profile, places, flows) if one.traffic_class not in reserving
    ]


def _planned_flows(
    topology: Topology,
    profile: Profile,
    streams: Iterable[tuple[Stream, StreamPlan]],
    demands: Iterable[tuple[Demand, DemandPlan]],
) -> list[_Flow]:
    """Take together what goes the same way in one class; ways with unknown ports are left out."""
    together: Counter[tuple[_Way, int]] = Counter()
    rates_bps: dict[_Way, Fraction] = defaultdict(Fraction)
    longest: Counter[_Way] = Counter()
    rides = ridden(streams)
    for stream, entry in streams:
        one = profile.class_by_name[stream.traffic_class]
        for path in entry.paths:
            way = one.name, path.ports, rides.get(stream.name, 0)
            longest[way] = max(longest[way], stream.frame_bytes)
            if _is_held(stream, one):
                rates_bps[way] += passing_bps(stream, one)
            else:
                size = sent_frames(stream) * wire_bytes(stream.frame_bytes)
                together[way, stream.interval_ps] += size
    for (way, interval_ps), size in together.items():
        rates_bps[way] += Fraction(size * 8 * PS_PER_S, interval_ps)
    for demand, placed in demands:
        for part in placed.parts:
            way = demand.traffic_class, part.ports, 0
            longest[way] = max(longest[way], *(size for size, _ in demand.sizes))
            rates_bps[way] += max(part.rate_bps, 0)
    numbers = {name: port.number for name, port in topology.port_by_name.items()}
    return [
        _Flow(
            way[0],
            tuple(numbers[port] for port in way[1]),
            rate_bps,
            longest[way],
            counts_from=way[2],
        )
        for way, rate_bps in rates_bps.items()
        if all(port in numbers for port in way[1])
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
    rates_bps: dict[tuple[str, tuple[int, ...], int], Fraction] = defaultdict(Fraction)
    longest: Counter[tuple[str, tuple[int, ...], int]] = Counter()
    reserved: list[Counter[str]] = [Counter() for _ in bridges]
    for stream in profile.streams:
        if not stream.count:
            continue
        one = profile.class_by_name[stream.traffic_class]
        passed: set[int] = set()
        for listener in stream.listeners:
            numbers = route(stream.talker, listener)
            # Of two ways over bridges from one node, what they share is at their begin.
            shared = sum(number in passed for number in numbers)
            passed.update(numbers)
            way = one.name, numbers, shared
            rates_bps[way] += passing_bps(stream, one) * stream.count
            longest[way] = max(longest[way], stream.frame_bytes)
            for place, number in enumerate(numbers if one.idle_slope == IdleSlope() else ()):
                if place < shared and len(bridges[number]) == 1:
                    continue
                # It may go over any of the wires, and over two of them with a copy or another leg.
                asked = max(asked_bps(stream, port) for port in bridges[number])
                reserved[number][one.name] += asked * stream.paths * stream.count
    for demand in profile.demands:
        way = demand.traffic_class, route(demand.source, demand.target), 0
        rates_bps[way] += demand.rate_bps
        longest[way] = max(longest[way], *(size for size, _ in demand.sizes))
    flows = [
        _Flow(name, numbers, rate_bps, longest[name, numbers, shared], counts_from=shared)
        for (name, numbers, shared), rate_bps in rates_bps.items()
    ]
    lists = {name: _given_states(made) for name, made in given(topology, profile).items()}
    places = [_all_wires(profile, *one, lists) for one in zip(bridges, reserved, strict=True)]
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
    passed = passed_by_meter(stream, stream.max_packets)
    if passed == 1 and one.residence_ps is None:
        return
    bits = stream.max_packets * wire_bytes(stream.frame_bytes) * 8
    asked_bps = Fraction(bits * PS_PER_S, stream.interval_ps)
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
        stream=whose.tree if isinstance(whose, Stream) else None,
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
    if one.of == "window":
        takes, has = exact_time(one.frame_ps), exact_time(one.window_ps)
        return (
            f"port {one.port}: a frame of class {one.traffic_class} takes {takes}; "
            f"its longest window is {has}"
        )
    if one.of == "gates" and not one.served_bps:
        return f"port {one.port}: class {one.traffic_class} is sent here, and its gate never opens"
    whole = exact_rate(one.rate_bps)
    has = {
        "rate": f" and has {served} for it"
        if served == whole
        else f" and has {served} of {whole} left",
        "idle-slope": f" and its idle slope is {served} of {whole}",
        "gates": f"; its gate leaves it {served} of {whole}",
        "weight": f" and its weight leaves it {served} of {whole}",
    }[one.of]
    return (
        f"port {one.port} is offered {offered} of class {one.traffic_class}{has}; "
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
) -> dict[int, dict[str, _Load]]:
    """Return what comes to each place, by class, where earlier ones pass on their shares."""
    offered: dict[int, dict[str, _Load]] = defaultdict(dict)
    for flow in flows:
        rate_bps = flow.rate_bps
        for number, place in enumerate(flow.places):
            if not rate_bps:
                break
            if number >= flow.counts_from:
                load = offered[place].get(flow.traffic_class, _Load(Fraction(0), 0))
                longest = max(load.longest_bytes, flow.longest_bytes)
                offered[place][flow.traffic_class] = _Load(load.rate_bps + rate_bps, longest)
            rate_bps *= shares.get((flow.traffic_class, place), 1)
    return offered


def _passed_on(
    profile: Profile, places: Sequence[_Place], flows: Sequence[_Flow]
) -> dict[tuple[str, int], Fraction]:
    """Return what share of each overloaded class its place passes on, at least."""
    shares = {}
    for place, offered in _offered(flows, {}).items():
        for name, (served_bps, _) in _served(profile, places[place], offered).items():
            if served_bps < offered[name].rate_bps:
                shares[name, place] = served_bps / offered[name].rate_bps
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
            load = offered[name]
            if served_bps < load.rate_bps:
                one = _overload(place.name, name, of, (load.rate_bps, served_bps), place.rate_bps)
                frame_ps, window_ps = place.lack(name, load.longest_bytes) or (0, 0)
                lack = {"frame_ps": frame_ps, "window_ps": window_ps} if of == "window" else {}
                found.append(one.replace(**lack))
    return found


def _served(
    profile: Profile, place: _Place, offered: Mapping[str, _Load]
) -> dict[str, tuple[Fraction, OverloadOf]]:
    """Return what each class gets on average, and what keeps it from more."""
    left_bps = Fraction(place.rate_bps)
    served: dict[str, tuple[Fraction, OverloadOf]] = {}
    here = [one for one in profile.classes if one.name in offered]
    here.sort(key=lambda one: -one.priority)
    for _, group in groupby(here, key=lambda one: one.priority):
        classes = list(group)
        wants, limits = {}, dict[str, OverloadOf]()
        for one in classes:
            wants[one.name] = offered[one.name].rate_bps
            for most_bps, of in _limits(place, one, offered[one.name].longest_bytes):
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


def _limits(
    place: _Place, one: TrafficClass, longest_bytes: int
) -> Iterator[tuple[Fraction, OverloadOf]]:
    """Yield what a class can have at most by itself."""
    if one.name in place.open:
        yield place.open[one.name] * place.rate_bps, "gates"
    if place.lack(one.name, longest_bytes):
        yield Fraction(0), "window"
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


class _State(NamedTuple):
    """For so long these classes are open, and preemptable frames held or not."""

    length_ps: int
    classes: frozenset[str]
    holds: bool


def _planned_states(profile: Profile, made: GateList) -> list[_State]:
    """Return what a list of a plan opens, entry by entry."""
    return [
        _State(
            max(entry.interval_ps, 0),
            frozenset(
                name for name, queue in profile.queue_by_class.items() if entry.states >> queue & 1
            ),
            bool(entry.states & HELD),
        )
        for entry in made.entries
    ]


def _given_states(made: GivenList) -> list[_State]:
    """Return what a list of the traffic file opens, from one change to the next."""
    ends = [one.at_ps for one in made.changes[1:]] + [made.changes[0].at_ps + made.cycle_ps]
    return [
        _State(end_ps - one.at_ps, one.classes, one.holds)
        for one, end_ps in zip(made.changes, ends, strict=True)
    ]


def _openings(
    profile: Profile, wires: Sequence[Port], lists: Mapping[str, Sequence[_State]]
) -> tuple[Rates, Mapping[str, Sequence[_Window]]]:
    """Return the share of time that classes have over some wires, and their longest windows."""
    shares: dict[str, Fraction] = {}
    windows: dict[str, list[_Window]] = {}
    states = {port: lists.get(port.name, ()) for port in wires}
    states = {port: some for port, some in states.items() if sum(one.length_ps for one in some)}
    if not states:
        return shares, windows
    fixed = any(one.gated and one.guard == "fixed" for one in profile.classes)
    for one in profile.classes:
        open_bps = Fraction(0)
        longest = []
        for port in wires:
            share, length_ps = _opening(states.get(port, ()), one)
            open_bps += share * port.rate_bps
            longest.append(None if length_ps is None else _Window(length_ps, port.rate_bps))
        shares[one.name] = open_bps / sum(port.rate_bps for port in wires)
        limited = [one for one in longest if one is not None]
        if len(limited) == len(wires) and not fixed:
            windows[one.name] = limited
    return shares, windows


def _opening(states: Sequence[_State], one: TrafficClass) -> tuple[Fraction, int | None]:
    """Return the share of time that a class has, and its longest window; None where none ends.

    Preemptable frames do not begin while they are held, but one that was begun goes on after.
    """
    whole_ps = sum(state.length_ps for state in states)
    if not whole_ps:
        return Fraction(1), None
    used_ps = sum(
        state.length_ps
        for state in states
        if one.name in state.classes and not (state.holds and one.preemptable)
    )
    longest_ps = run_ps = 0
    for state in (*states, *states):
        run_ps = run_ps + state.length_ps if one.name in state.classes else 0
        longest_ps = max(longest_ps, run_ps)
    return Fraction(used_ps, whole_ps), None if longest_ps >= whole_ps else longest_ps


# What every route must take


_Route = Callable[[str, str], tuple[int, ...]]


def _all_wires(
    profile: Profile,
    wires: Sequence[Port],
    reserved: Mapping[str, int],
    lists: Mapping[str, Sequence[_State]],
) -> _Place:
    """Take the wires of a bridge together, with all that streams of each class reserve there."""
    several = f" to {wires[-1].name} ({len(wires)} wires)" if len(wires) > 1 else ""
    rate_bps = sum(port.rate_bps for port in wires)
    slopes_bps = {name: Fraction(min(bps, rate_bps)) for name, bps in reserved.items()}
    slopes_bps.update(_slopes_bps(profile, wires))
    openings = _openings(profile, wires, lists)
    return _Place(wires[0].name + several, rate_bps, slopes_bps, *openings)


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
