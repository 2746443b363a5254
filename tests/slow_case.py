"""The slow twin's view of a case, and the comparison of what both simulators counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

from qnet.model.observation import Observation
from qnet.model.plan import DemandPart, DemandPlan, PathPlan, Plan, StreamPlan
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Profile, RecordedDemand, Stream, TrafficClass
from qnet.simulate.draws import dice, integers, log_table
from qnet.simulate.kernels.sources import draw, exponential
from qnet.simulate.ports.setup import chances
from qnet.units import PPB
from tests import slow_loads
from tests.slow_clocks import clocks_of
from tests.slow_simulator import (
    SlowClock,
    SlowCount,
    SlowCut,
    SlowDown,
    SlowPort,
    SlowQueue,
    SlowSimulator,
    SlowSource,
)

CAUSES = {
    "buffer": "buffer full",
    "policed": "committed rate",
    "residence": "residence",
    "link": "on the link",
    "cut": "link down",
    "down": "node down",
}
"""The twin's causes of drops, and a part of what the fast simulator calls them."""

WORDS = {
    "buffer": "class buffer full",
    "policed": "beyond the committed rate",
    "residence": "beyond the longest residence",
    "link": "lost or damaged on the link",
    "duplicate": "discarded by recovery, another copy was passed on",
    "rogue": "discarded by recovery, beyond its history",
    "cut": "link down",
    "down": "node down",
}
"""All of what the fast simulator calls the end of a frame, in the order in which it names them."""

Case = tuple[Topology, Profile, Plan]


@dataclass
class Way:
    """One path of an entry of a stream, or one part of an entry of a demand: one source."""

    name: str
    traffic_class: str
    ports: tuple[Port, ...]
    path: PathPlan
    entry: StreamPlan | DemandPlan
    stream: Stream | None = None
    demand: Demand | None = None
    part: int = 0
    rate_bps: int = 0
    meets: bool = False
    """Whether its frames pass the point where the copies of a stream meet."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """From when to before when its frames are born."""

    @property
    def hold_ps(self) -> int | None:
        return self.entry.hold_ps if isinstance(self.entry, StreamPlan) else None

    def is_in_force(self, time: int) -> bool:
        return any(begin <= time < end for begin, end in self.spans)


def ways_of(topology: Topology, profile: Profile, plan: Plan) -> list[Way]:
    """All that sends: the plan's own entries in its order, then what moves put in their place."""
    made: list[Way] = []
    known: dict[object, list[tuple[StreamPlan | DemandPlan, list[Way]]]] = defaultdict(list)
    for entry, by_ppb, spans in _entries(profile, plan):
        named = (type(entry), entry.name)
        same = [ways for other, ways in known[named, by_ppb] if other == entry]
        if not same:
            same = [list(_ways(topology, profile, entry, by_ppb))]
            known[named, by_ppb].append((entry, same[0]))
            made += same[0]
        for way in same[0]:
            way.spans += spans
    for versions in known.values():
        copied = any(len(one.paths) > 1 for one, _ in versions if isinstance(one, StreamPlan))
        for _, ways in versions:
            for way in ways:
                recovers = way.stream is not None and way.stream.recovery is not None
                way.meets = copied and recovers
                name = way.stream.tree if way.stream is not None else way.name
                for silence in slow_loads.silences(profile, name):
                    way.spans = without(way.spans, silence)
    return made + list(_attacks(topology, profile))


def without(spans: list[tuple[int, int]], silence: tuple[int, int]) -> list[tuple[int, int]]:
    """What is left of spans where nothing is sent for a time."""
    begin, end = silence
    parts = [(a, min(b, begin)) for a, b in spans] + [(max(a, end), b) for a, b in spans]
    return sorted((a, b) for a, b in parts if a < b)


def _attacks(topology: Topology, profile: Profile) -> Iterator[Way]:
    for demand, ports, span in slow_loads.attacks(topology, profile):
        rate_bps = demand.rate_bps
        part = DemandPart(ports=tuple(one.name for one in ports), rate_bps=rate_bps)
        entry = DemandPlan(name=demand.name, rate_bps=rate_bps, placed_bps=rate_bps, parts=(part,))
        path = PathPlan(ports=part.ports)
        yield Way(
            demand.name, demand.traffic_class, tuple(ports), path, entry, None, demand, 0, rate_bps,
            spans=[span],
        )  # fmt: skip


def _entries(
    profile: Profile, plan: Plan
) -> Iterator[tuple[StreamPlan | DemandPlan, int, list[tuple[int, int]]]]:
    """Entries, and billionths of their rates, with the times in which each is in force."""
    own: list[StreamPlan | DemandPlan] = [*plan.streams, *plan.demands]
    place = {(type(one), one.name): i for i, one in enumerate(own)}
    later: dict[int, list[tuple[int, StreamPlan | DemandPlan]]] = defaultdict(list)
    end_ps = profile.simulation.duration_ps
    for move in plan.moves:
        put = move.stream or move.demand
        assert put is not None
        if move.at_ps >= end_ps:
            continue
        later[place[type(put), put.name]].append((move.at_ps, put))
    after = []
    for i, entry in enumerate(own):
        yield entry, PPB, []
        begins = [at for at, _ in later[i]] + [EVER]
        in_force = [(0, begins[0], entry)]
        in_force += [(at, begins[j + 1], put) for j, (at, put) in enumerate(later[i])]
        shares = slow_loads.factors(profile, entry.name) if isinstance(entry, DemandPlan) else []
        for at, until, put in in_force:
            changes = sorted({at, *(t for a, b, _ in shares for t in (a, b) if at < t < until)})
            for begin, over in pairwise([*changes, until]):
                now = [by for a, b, by in shares if a <= begin < b]
                if begin < over and begin < end_ps:
                    after.append((begin, i, put, (now or [PPB])[-1], over))
    for at, _, put, by, until in sorted(after, key=lambda one: one[:2]):
        yield put, by, [(at, until)]


EVER = 10**18


def _ways(
    topology: Topology, profile: Profile, entry: StreamPlan | DemandPlan, by_ppb: int
) -> Iterator[Way]:
    if isinstance(entry, StreamPlan):
        (stream,) = (one for one in profile.every_stream if one.name == entry.name)
        for path in entry.paths:
            ports = tuple(topology.port_by_name[name] for name in path.ports)
            yield Way(entry.name, stream.traffic_class, ports, path, entry, stream)
        return
    (demand,) = (one for one in profile.demands if one.name == entry.name)
    for number, part in enumerate(entry.parts):
        ports = tuple(topology.port_by_name[name] for name in part.ports)
        path = PathPlan(ports=part.ports)
        rate_bps = part.rate_bps if by_ppb == PPB else part.rate_bps * by_ppb // PPB
        if rate_bps or by_ppb == PPB:
            yield Way(
                entry.name, demand.traffic_class, ports, path, entry, None, demand, number,
                rate_bps,
            )  # fmt: skip


def slow_run(topology: Topology, profile: Profile, plan: Plan) -> SlowSimulator:
    """Run a case in the slow twin."""
    seed, end_ps = profile.simulation.seed, profile.simulation.duration_ps
    clocks = clocks_of(topology, profile)
    plain = sorted((c for c in profile.classes if not c.reserves), key=lambda c: -c.priority)
    plain.sort(key=lambda c: -profile.queue_by_class[c.name])
    number = {c.name: i for i, c in enumerate(plain)}
    gates = {one.port: tuple((e.interval_ps, e.states) for e in one.entries) for one in plan.gates}
    fixed = any(c.gated and c.guard == "fixed" for c in profile.classes)
    queues = [
        SlowQueue(
            c.priority,
            profile.queue_by_class[c.name],
            c.weight or 0,
            None,
            c.residence_ps,
            c.preemptable,
        )
        for c in plain
    ] + [SlowQueue(10 + q, q) for q in range(8)]
    ways = ways_of(topology, profile, plan)
    ports = [
        SlowPort(
            port.rate_bps,
            port.propagation_ps,
            topology.node_by_name[port.target].processing.low_ps,
            topology.node_by_name[port.source].buffer_bytes,
            topology.node_by_name[port.source].clock.phase_ps,
            clocks[port.source],
            tuple(
                replace(queue, idle_slope=_idle_slope(c, port, profile, ways))
                for c, queue in zip(plain, queues, strict=False)
            )
            + tuple(queues[len(plain) :]),
            gates.get(port.name, ()),
            fixed,
            any(c.mechanism == "cqf" for c in profile.classes),
            _losses(port, seed, _chances(topology, profile, port)),
            topology.node_by_name[port.source].cut_through_bytes,
            _processing(topology, port, seed),
            (port.source, port.target),
            tuple(_values(topology, profile, port, ("capacity", "restore-optical"), _rate)),
            tuple(_values(topology, profile, port, ("delay",), _delay)),
        )
        for port in topology.ports
    ]
    births = _all_births(ways, topology, plan, profile, clocks)
    sources = []
    for way, (first, born, numbers) in zip(ways, births, strict=True):
        stream = way.stream
        recovery = None
        if way.meets and stream is not None and stream.recovery is not None:
            recovery = (stream.name, stream.recovery.history, stream.recovery.reset_ps)
        mine: tuple[int, ...] = ()
        if way.path.queues:
            mine = tuple(len(plain) + q for q in way.path.queues)
        elif not way.path.cycles:
            mine = (number[way.traffic_class],) * len(way.ports)
        sources.append(
            SlowSource(
                tuple(port.number for port in way.ports),
                born,
                mine,
                tuple(b - a for a, b in pairwise(way.path.cycles)),
                way.hold_ps,
                clocks[way.ports[-1].target],
                _meter(stream),
                (stream.rate_bps, stream.burst_bytes) if stream else None,
                recovery,
                first,
                numbers,
                way.name,
                stream.tree if stream is not None and stream.tree != stream.name else "",
            )
        )
    slow = SlowSimulator(
        ports,
        sources,
        cycle_ps=plan.cycle_ps,
        buffers=plan.buffers,
        end_ps=end_ps,
        broken=broken(topology, profile),
    )
    cyclic = [c for c in profile.classes if c.takes_cycles]
    if cyclic:
        slow.cycle_gate = profile.queue_by_class[cyclic[0].name]
    slow.run()
    return slow


def _meter(stream: Stream | None) -> tuple[tuple[int, int], ...]:
    if stream is None or not stream.police:
        return ()
    committed = (stream.rate_bps, stream.burst_bytes)
    if stream.excess_rate_bps is None:
        return (committed,)
    burst_bytes = stream.excess_burst_bytes or stream.burst_bytes
    return (committed, (stream.excess_rate_bps, burst_bytes))


def broken(topology: Topology, profile: Profile) -> list[SlowCut | SlowDown]:
    """What the events of a profile break, each wire and node by itself, by walking through time."""
    open_now: dict[tuple[int, object], int] = {}
    mended: set[tuple[int, object]] = set()
    begun: set[int] = set()
    made: list[SlowCut | SlowDown] = []
    acts = [act for number, event in enumerate(profile.events) for act in _acts(number, event)]
    for now, is_begin, number in [*sorted(acts), (10**18, -1, -1)]:
        if number < 0:
            over = list(open_now)
        else:
            event = profile.events[number]
            things = _things(topology, event)
            if is_begin and event.change not in ("repair", "up", "restore-optical"):
                begun.add(number)
                due = {(number, thing) for thing in things} - mended
                open_now |= dict.fromkeys(due - open_now.keys(), now)
                continue
            over = [one for one in open_now if (one[1] in things if is_begin else one[0] == number)]
            if is_begin:
                # A flap that is mended is over.
                mended |= {(other, thing) for other in begun for thing in things}
        for by, thing in over:
            begins = open_now.pop((by, thing))
            if begins < now:
                made += _slow(topology, profile.events[by], thing, begins, now)
    return made


def _acts(number: int, event: Event) -> Iterator[tuple[int, int, int]]:
    """When an event breaks or mends something (1), and when that is over (0)."""
    still = ("delay", "loss", "controller", "start", "stop", "scale", "attack", "clock")
    if event.change in still:
        return
    if event.change == "capacity" and event.members is None:
        return
    if event.change != "flap":
        yield event.at_ps, 1, number
        if event.duration_ps is not None:
            yield event.at_ps + event.duration_ps, 0, number
        return
    assert event.every_ps is not None
    assert event.duration_ps is not None
    duty = Fraction(1, 2) if event.duty_ppb is None else Fraction(event.duty_ppb, PPB)
    turn = 0
    while turn * event.every_ps < event.duration_ps:
        begin = event.at_ps + turn * event.every_ps
        end = min(begin + int(duty * event.every_ps), event.at_ps + event.duration_ps)
        if begin < end:
            yield begin, 1, number
            yield end, 0, number
        turn += 1


def _things(topology: Topology, event: Event) -> set[object]:
    """Wires, as link and member, or nodes that an event names."""
    if event.change in ("down", "up"):
        assert event.target is not None
        return _nodes(topology, event.target)
    if event.groups is not None:
        sides = [set().union(*(_nodes(topology, one) for one in each)) for each in event.groups]
        return {
            (port.link, port.member)
            for port in topology.ports
            for one in sides
            for other in sides
            if one is not other and port.source in one and port.target in other
        }
    found: set[object] = set()
    for port in topology.ports:
        link = topology.links[port.link]
        between = "--".join(link.between)
        plain = link.name or between
        names = {plain, f"{between}[{link.name}]", link.cable or plain, port.name}
        if event.target in names | {f"{plain}/{port.member + 1}"} and (
            event.members is None or port.member >= event.members
        ):
            found.add((port.link, port.member))
    if not found and event.change == "maintenance":
        return _nodes(topology, event.target or "")
    return found


def _nodes(topology: Topology, name: str) -> set[object]:
    if name in topology.node_by_name:
        return {name}
    return {one.name for one in topology.nodes if name == one.site}


def _slow(
    topology: Topology, event: Event, thing: object, begins: int, ends: int
) -> list[SlowCut | SlowDown]:
    if isinstance(thing, str):
        return [SlowDown(thing, begins, ends)]
    where = Fraction(event.where_ppb, PPB)
    return [
        SlowCut(
            port.number,
            where,
            topology.links[port.link].between == (port.source, port.target),
            begins,
            ends,
        )
        for port in topology.ports
        if (port.link, port.member) == thing
    ]


Births = tuple[tuple[int, int, int], ...]


def _all_births(
    ways: Sequence[Way],
    topology: Topology,
    plan: Plan,
    profile: Profile,
    clocks: dict[str, SlowClock],
) -> list[tuple[int, Births, tuple[int, ...] | None]]:
    """Of each source the number of its first frame, its births, and their numbers if given."""
    end_ps = profile.simulation.duration_ps
    made: list[tuple[int, Births, tuple[int, ...] | None]] = []
    intervals: dict[str, set[tuple[int, int]]] = defaultdict(set)
    due: list[list[tuple[tuple[int, int], Births]]] = []
    gated: dict[int, list[Births]] = {}
    for number, way in enumerate(ways):
        if way.stream is None:
            born = _drawn_births(number, way, profile)
            made.append((0, tuple(one for one in born if way.is_in_force(one[0])), None))
            due.append([])
            continue
        phase_ps = topology.node_by_name[way.ports[0].source].clock.phase_ps
        clock = clocks[way.ports[0].source]
        every = _intervals(way, way.stream, plan, profile, (phase_ps, clock), end_ps)
        if way.path.starts_ps:
            gated[number] = every
            made.append((0, (), None))
            due.append([])
            continue
        mine = [(one[0][0], one) for one in every if way.is_in_force(one[0][0])]
        # Copies of one entry are born together and have the same numbers.
        keyed = [((time, number - _copy(ways, number)), one) for time, one in mine]
        intervals[way.name] |= {key for key, _ in keyed}
        due.append(keyed)
        made.append((0, tuple(one for _, each in keyed for one in each), None))
    for number, way in enumerate(ways):
        if way.stream is None or way.path.starts_ps or way.spans == [(0, EVER)]:
            continue
        order = {key: place for place, key in enumerate(sorted(intervals[way.name]))}
        each = way.stream.max_packets + way.stream.excess_packets
        numbers = tuple(order[key] * each + i for key, _ in due[number] for i in range(each))
        made[number] = (0, made[number][1], numbers)
    for number, every in gated.items():
        copies = [gated[i] for i in gated if ways[i].entry is ways[number].entry]
        made[number] = _gated_births(ways[number], every, copies)
    return made


def _gated_births(
    way: Way, every: list[Births], copies: list[list[Births]]
) -> tuple[int, Births, tuple[int, ...] | None]:
    """Of an interval all copies of all frames are sent or none, by when the first of them is born;
    but for those on a path on which it would begin before the run.
    """
    sent = [True] * len(every)
    # What is always sent is: also of paths whose tables are not of one length, as no plan's are.
    for number, each in enumerate(zip(*copies, strict=way.spans != [(0, EVER)])):
        times = [min(one)[0] for one in each if min(one)[0] >= 0]
        sent[number] = not times or way.is_in_force(min(times))
    kept = [one for one, is_sent in zip(every, sent, strict=True) if is_sent]
    left_out = sum(len(one) for one in kept if min(one)[0] < 0)
    births = tuple(one for each in kept if min(each)[0] >= 0 for one in each)
    return left_out, births, None


def _copy(ways: Sequence[Way], number: int) -> int:
    """Which path of its entry a source is."""
    before = [one for one in ways[:number] if one.entry is ways[number].entry]
    return len(before)


def _intervals(
    way: Way,
    stream: Stream,
    plan: Plan,
    profile: Profile,
    talker: tuple[int, SlowClock],
    end_ps: int,
) -> list[Births]:
    """The frames of each interval, by the words of the plan: of cycles, of gates, or neither."""
    size = stream.frame_bytes
    if way.path.starts_ps:
        # Of an interval all frames are sent, or none.
        phase_ps, clock = talker
        gap = plan.gate_cycle_ps
        assert gap is not None
        table = [phase_ps + starts[0] for starts in way.path.starts_ps]
        ahead = max((-min(errors) for _, errors in clock.later), default=0)
        shown = [one + i * gap for i in range((end_ps + max(ahead, 0)) // gap + 2) for one in table]
        times: list[int] = []
        for one in shown:
            time = clock.now(0).when(one)
            times.append(time if time < 0 else clock.first(one, max([0, *times[-1:]])))
        return [
            tuple(
                (one, size, 0)
                for one in times[first : first + stream.max_packets]
                for _ in range(1 + stream.excess_packets)
            )
            for first in range(0, len(shown), stream.max_packets)
        ]
    assert isinstance(way.entry, StreamPlan)
    first_ps = way.entry.send_ps
    if first_ps is None:
        who = stream.service + stream.talker if stream.start == "together" else stream.tree
        seed = profile.simulation.seed
        (first_ps,) = integers(seed, f"start {who}", 1, stream.interval_ps)
    cycle = way.path.cycles[0] if way.path.cycles else 0
    turn = stream.interval_ps // plan.cycle_ps
    packets = stream.max_packets + stream.excess_packets
    return [
        ((first_ps + i * stream.interval_ps, size, cycle + i * turn),) * packets
        for i in range(end_ps // stream.interval_ps + 1)
    ]


def _drawn_births(number: int, way: Way, profile: Profile) -> Births:
    """When a part of a demand sends, by its words in the file; the draws are qnet's own."""
    demand, rate_bps = way.demand, way.rate_bps
    assert demand is not None
    if isinstance(demand, RecordedDemand):
        seen = zip(demand.recording.times_ps, demand.recording.frame_bytes, strict=True)
        return tuple((at, size, 0) for at, size in seen if at < profile.simulation.duration_ps)
    simulation = profile.simulation
    state = dice(simulation.seed, f"source {number} {way.name}").reshape(1, 4)
    table = log_table()
    total = sum(weight for _, weight in demand.sizes)
    sums = accumulate(Fraction(weight, total) for _, weight in demand.sizes)
    below = list(zip(sums, (size for size, _ in demand.sizes), strict=True))
    mean = sum(Fraction((size + 20) * 8 * 10**12 * weight, total) for size, weight in demand.sizes)
    mean_gap = mean / rate_bps
    if demand.arrival == "flows":
        return _flow_births(way, profile, state, below, Fraction(mean_gap))
    span = -int(-mean_gap // 1) * demand.burst_packets
    (first_ps,) = integers(simulation.seed, f"start {demand.name} {way.part}", 1, span)
    poisson = demand.arrival == "poisson"
    shift = 62 - 25 - (-int(-mean_gap // 1)).bit_length()
    births: list[tuple[int, int, int]] = []
    passed = Fraction(0)
    while first_ps + passed < simulation.duration_ps:
        due = first_ps + int(passed)
        for _ in range(1 if poisson else demand.burst_packets):
            drawn = int(draw(state, 0, 0)) if len(below) > 1 else 0
            size = next(size for part, size in below if Fraction(drawn, 2**32) < part)
            births.append((due, size, 0))
            if not poisson:
                passed += Fraction((size + 20) * 8 * 10**12, rate_bps)
        if poisson:
            gap = int(exponential(draw(state, 0, 0), table)) >> 12
            passed += Fraction(gap * int(mean_gap * 2**shift), 2 ** (shift + 20))
    return tuple(births)


def _flow_births(
    way: Way, profile: Profile, state: Any, below: Sequence[tuple[Fraction, int]], gap: Fraction
) -> Births:
    """When a demand of flows sends: frames at the access rate, and a pause behind each flow.

    A length is found by counting them up: of each point's share of draws, all between have as many.
    """
    demand, simulation = way.demand, profile.simulation
    assert demand is not None
    assert demand.flow_sizes is not None
    assert demand.access_rate_bps is not None
    table = log_table()
    mean, low, reached = Fraction(0), 0, 0
    spans = []
    for frames, share in demand.flow_sizes:
        first = low + 1 if low else frames
        mean += Fraction(share - reached, PPB) * Fraction(first + frames, 2)
        spans.append((share * 2**32 // PPB, first, frames))
        low, reached = frames, share
    (first_ps,) = integers(
        simulation.seed,
        f"start {demand.name} {way.part}",
        1,
        -int(-gap // 1) * -int(-mean // 1),
    )
    pause = mean * (gap - gap * way.rate_bps / demand.access_rate_bps)
    shift = 62 - 25 - (-int(-pause // 1)).bit_length()

    def length() -> int:
        drawn, from_ = int(draw(state, 0, 0)), 0
        for until, first, last in spans:
            if drawn < until:
                return first + (drawn - from_) * (last - first + 1) // (until - from_)
            from_ = until
        raise AssertionError("the last share is all")

    births: list[tuple[int, int, int]] = []
    passed = Fraction(0)
    left = length()
    while first_ps + passed < simulation.duration_ps:
        drawn = int(draw(state, 0, 0)) if len(below) > 1 else 0
        size = next(size for part, size in below if Fraction(drawn, 2**32) < part)
        births.append((first_ps + int(passed), size, 0))
        passed += Fraction((size + 20) * 8 * 10**12, demand.access_rate_bps)
        left -= 1
        if left == 0:
            drawn = int(exponential(draw(state, 0, 0), table)) >> 12
            passed += drawn * int(pause * 2**shift) // 2 ** (shift + 20)
            left = length()
    return tuple(births)


def _processing(topology: Topology, port: Port, seed: int) -> Callable[[], int] | None:
    node = topology.node_by_name[port.target]
    span = node.processing.high_ps - node.processing.low_ps + 1
    if span == 1:
        return None
    state = dice(seed, f"port {port.name}").reshape(1, 4)
    return lambda: int(draw(state, 0, 0)) * span // 2**32


def _idle_slope(
    c: TrafficClass, port: Port, profile: Profile, ways: Sequence[Way]
) -> Fraction | None:
    """Of the port's rate: as given, or what the streams of the class take of its time."""
    if c.idle_slope is None:
        return None
    if c.idle_slope.share_ppb is not None:
        return Fraction(c.idle_slope.share_ppb, PPB)
    total = c.idle_slope.rate_bps
    if total is None:
        total = 0
        streams = {one.name: one for one in profile.every_stream if one.traffic_class == c.name}
        counted = set()
        for way in ways:
            if way.name in streams and port in way.ports:
                one = streams[way.name]
                if one.tree in counted:
                    continue
                counted.add(one.tree)
                line = -(-(one.frame_bytes + 20) * 8 * 10**12 // port.rate_bps)
                share = Fraction(line * one.max_packets, one.interval_ps)
                total += max(-(-share * port.rate_bps // 1), one.committed_rate_bps or 0)
    return min(Fraction(total, port.rate_bps), Fraction(1))


def _values(
    topology: Topology,
    profile: Profile,
    port: Port,
    changes: tuple[str, ...],
    value: Callable[[Event | None, Port], int],
) -> Iterator[tuple[int, int]]:
    """From when on what an event of some kind makes of a port is in force, where it changes."""
    mine = [
        (one.at_ps, number, one)
        for number, one in enumerate(profile.events)
        if one.change in changes and (port.link, port.member) in _things(topology, one)
    ]
    mine = [(at, number, one) for at, number, one in mine if one.members is None]
    spliced = _spliced(topology, profile, (port.link, port.member))
    mine = [
        (at, number, one.replace(duration_ps=spliced[number] - at) if number in spliced else one)
        for at, number, one in mine
        if number in spliced or one.share_ppb is None
    ]
    times = {at for at, _, _ in mine}
    times |= {at + one.duration_ps for at, _, one in mine if one.duration_ps is not None}
    before = value(None, port)
    for now in sorted(times):
        lasting = [
            (at, number, one)
            for at, number, one in mine
            if at <= now and (one.duration_ps is None or now < at + one.duration_ps)
        ]
        after = value(max(lasting, key=lambda one: one[:2])[2] if lasting else None, port)
        if after != before and now < profile.simulation.duration_ps:
            yield now, after
        before = after


def _spliced(topology: Topology, profile: Profile, wire: object) -> dict[int, int]:
    """Until when each event that brings a wire back over other fibre does so."""
    whole = 0
    made: dict[int, int] = {}
    order = sorted(enumerate(profile.events), key=lambda one: (one[1].at_ps, one[0]))
    for number, event in order:
        if wire not in _things(topology, event) or event.rate_bps is not None:
            continue
        ends = EVER if event.duration_ps is None else event.at_ps + event.duration_ps
        if event.change in ("cut", "flap", "partition", "capacity", "maintenance"):
            whole = max(whole, ends)
        if event.change in ("repair", "restore-optical"):
            made = {other: min(until, event.at_ps) for other, until in made.items()}
            if event.change == "repair":
                whole = event.at_ps
            elif whole > event.at_ps:
                whole = made[number] = min(whole, ends)
    return {number: ends for number, ends in made.items() if ends > profile.events[number].at_ps}


def _rate(event: Event | None, port: Port) -> int:
    if event is not None and event.share_ppb is not None:
        return int(Fraction(event.share_ppb, PPB) * port.rate_bps) or 1
    return port.rate_bps if event is None or event.rate_bps is None else event.rate_bps


def _delay(event: Event | None, port: Port) -> int:
    if event is None:
        return port.propagation_ps
    if event.delay_ps is not None:
        return event.delay_ps
    assert event.length_mm is not None
    return -(-event.length_mm * 49 // 10)  # 4.9 us a kilometre


def _chances(topology: Topology, profile: Profile, port: Port) -> list[tuple[int, list[int]]]:
    """From when on which draws lose a frame, by its bytes."""

    def number(event: Event | None, _: Port) -> int:
        return -1 if event is None else profile.events.index(event)

    found = [(0, chances(port.loss_ppb, port.bit_errors))]
    for since, one in _values(topology, profile, port, ("loss",), number):
        event = profile.events[one]
        if one < 0:
            found.append((since, found[0][1]))
        else:
            found.append((since, chances(event.ratio_ppb or 0, event.bit_errors or 0)))
    end_ps = profile.simulation.duration_ps
    return [one for one in found if one[0] < end_ps]


def _losses(
    port: Port, seed: int, below: list[tuple[int, list[int]]]
) -> Callable[[int, int], bool] | None:
    if not any(map(any, (table for _, table in below))):
        return None
    state = dice(seed, f"loss {port.name}").reshape(1, 4)

    def loses(size: int, begun: int) -> bool:
        high = int(draw(state, 0, 0)) // 2
        drawn = high * 2**32 + int(draw(state, 0, 0))
        return drawn < [table for since, table in below if since <= begun][-1][size]

    return loses


def compare(case: Case, fast: Observation) -> SlowSimulator:
    """Assert that both simulators counted the same; return the slow one."""
    topology, profile, plan = case
    slow = slow_run(*case)
    found = ways_of(topology, profile, plan)
    for traffic in (*fast.streams, *fast.demands):
        mine = [number for number, owner in enumerate(found) if owner.name == traffic.name]
        counts = [slow.counts[number] for number in mine]
        latencies = [one for count in counts for one in count.latencies]
        born = [slow.sources[number] for number in mine]
        ends = frames_of(counts, born, copies=traffic in fast.streams)
        assert traffic.sent == ends.total()
        assert traffic.received == ends.pop(("received",), 0)
        assert traffic.in_flight == ends.pop(("in flight",), 0)
        assert traffic.lost == ends.total()
        assert {one.cause: one.frames for one in traffic.lost_by} == {
            _words(causes, found[mine[0]]): frames for causes, frames in ends.items()
        }
        assert traffic.copies_sent == sum(count.sent for count in counts)
        assert traffic.copies == len(latencies)
        assert traffic.late == sum(count.late for count in counts)
        assert traffic.latency_ps_sum == sum(latencies)
        if latencies:
            assert traffic.latency_ps_min == min(latencies)
            assert traffic.latency_ps_max == max(latencies)
        for cause, words in CAUSES.items():
            dropped = sum(
                one.frames for one in fast.drops if one.name == traffic.name and words in one.cause
            )
            assert dropped == sum(count.causes[cause] for count in counts)
        if traffic.recovery is not None and traffic.name in slow.recoveries:
            seen, other = traffic.recovery, slow.recoveries[traffic.name]
            assert (seen.passed, seen.discarded) == (other.passed, other.discarded)
            assert (seen.out_of_order, seen.rogue) == (other.out_of_order, other.rogue)
            assert seen.resets == other.resets
    assert sum(one.yellow for one in fast.meters) == slow.coloured[1]
    for number, (port, use) in enumerate(zip(fast.ports, slow.uses, strict=True)):
        assert (port.came, port.waiting) == (use.came, slow.waiting(number))
        assert port.lost_on_link == use.lost_on_link
        assert (port.sent_frames, port.sent_bytes) == (use.frames, use.wire_bytes)
        assert (port.queue_bytes_max, port.dropped) == (use.deepest, use.dropped)
    return slow


def _words(causes: tuple[str, ...], owner: Way) -> str:
    every = " and ".join(WORDS[cause] for cause in WORDS if cause in causes)
    return every.replace("class", "cycle") if owner.path.cycles else every


def frames_of(
    counts: Sequence[SlowCount], sources: Sequence[SlowSource], *, copies: bool
) -> Counter[tuple[str, ...]]:
    """What became of each frame, in words; of one that was lost, what became of its copies."""
    if not copies:
        return Counter((fate,) for count in counts for fate in count.fates.values())
    ends: Counter[tuple[str, ...]] = Counter()
    for number in sorted({number for count in counts for number in count.fates}):
        # A copy that is not born yet is still to come.
        fates = {
            count.fates.get(number, "in flight")
            for count, source in zip(counts, sources, strict=True)
            if source.sends(number)
        }
        for still in ("received", "in flight"):
            if still in fates:
                fates = {still}
        ends[tuple(sorted(fates))] += 1
    return ends
