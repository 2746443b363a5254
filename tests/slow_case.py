"""The slow twin's view of a case, and the comparison of what both simulators counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, pairwise

from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.timeline import Event
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, TrafficClass
from qnet.simulate.clocks import walks
from qnet.simulate.draws import dice, log_table
from qnet.simulate.kernels.sources import draw, exponential
from qnet.simulate.ports.setup import chances
from qnet.simulate.setup import FrameSource, sources_of
from qnet.units import PPB
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


def slow_run(topology: Topology, profile: Profile, plan: Plan) -> SlowSimulator:
    """Run a case in the slow twin."""
    seed, end_ps = profile.simulation.seed, profile.simulation.duration_ps
    clocks = {
        node.name: SlowClock(
            tuple(walks.clock_walk(topology, profile, node.name)), walks.CLOCK_BLOCK_PS
        )
        for node in topology.nodes
    }
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
    ports = [
        SlowPort(
            port.rate_bps,
            port.propagation_ps,
            topology.node_by_name[port.target].processing.low_ps,
            topology.node_by_name[port.source].buffer_bytes,
            topology.node_by_name[port.source].clock.phase_ps,
            clocks[port.source],
            tuple(
                replace(queue, idle_slope=_idle_slope(c, port, profile, plan))
                for c, queue in zip(plain, queues, strict=False)
            )
            + tuple(queues[len(plain) :]),
            gates.get(port.name, ()),
            fixed,
            any(c.mechanism == "cqf" for c in profile.classes),
            _losses(port, seed),
            topology.node_by_name[port.source].cut_through_bytes,
            _processing(topology, port, seed),
            (port.source, port.target),
        )
        for port in topology.ports
    ]
    placed = {one.name: [part.rate_bps for part in one.parts] for one in plan.demands}
    sources = []
    for i, owner in enumerate(sources_of(topology, profile, plan)):
        stream = owner.stream
        recovery = None
        if owner.elimination is not None and stream is not None and stream.recovery is not None:
            recovery = (stream.name, stream.recovery.history, stream.recovery.reset_ps)
        mine: tuple[int, ...] = ()
        if owner.queues:
            mine = tuple(len(plain) + q for q in owner.queues)
        elif not owner.cycles:
            mine = (number[owner.traffic_class.name],) * len(owner.ports)
        left_out = 0
        if stream is not None:
            left_out, births = _births(owner, clocks[owner.ports[0].source], end_ps)
        else:
            births = _drawn_births(i, owner, profile, placed[owner.name].pop(0))
        sources.append(
            SlowSource(
                tuple(port.number for port in owner.ports),
                births,
                mine,
                tuple(b - a for a, b in pairwise(owner.cycles)),
                owner.hold_ps,
                clocks[owner.ports[-1].target],
                (stream.rate_bps, stream.burst_bytes) if stream and stream.police else None,
                (stream.rate_bps, stream.burst_bytes) if stream else None,
                recovery,
                left_out,
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


def broken(topology: Topology, profile: Profile) -> list[SlowCut | SlowDown]:
    """What the events of a profile break, each wire and node by itself, by walking through time."""
    if not profile.events:
        return []
    acts = []
    for number, event in enumerate(profile.events):
        acts.append((event.at_ps, 1, number))
        if event.duration_ps is not None:
            acts.append((event.at_ps + event.duration_ps, 0, number))
    open_now: dict[tuple[int, object], int] = {}
    made: list[SlowCut | SlowDown] = []
    for now, is_begin, number in [*sorted(acts), (10**18, -1, -1)]:
        event = profile.events[number]
        things = _things(topology, event)
        if is_begin > 0 and event.change in ("cut", "down"):
            open_now |= {(number, thing): now for thing in things}
            continue
        for by, thing in list(open_now):
            if is_begin < 0 or (thing in things if is_begin else by == number):
                begins = open_now.pop((by, thing))
                if begins < now:
                    made += _slow(topology, profile.events[by], thing, begins, now)
    return made


def _things(topology: Topology, event: Event) -> set[object]:
    """Wires, as link and member, or nodes that an event names."""
    if event.change in ("down", "up"):
        if event.target in topology.node_by_name:
            return {event.target}
        return {one.name for one in topology.nodes if event.target == one.site}
    found: set[object] = set()
    for port in topology.ports:
        link = topology.links[port.link]
        between = "--".join(link.between)
        plain = link.name or between
        names = {plain, f"{between}[{link.name}]", link.cable or plain, port.name}
        if event.target in names | {f"{plain}/{port.member + 1}"}:
            found.add((port.link, port.member))
    return found


def _slow(
    topology: Topology, event: Event, thing: object, begins: int, ends: int
) -> list[SlowCut | SlowDown]:
    if isinstance(thing, str):
        return [SlowDown(thing, begins, ends)]
    made: list[SlowCut | SlowDown] = []
    for port in topology.ports:
        if (port.link, port.member) == thing:
            forward = topology.links[port.link].between == (port.source, port.target)
            share = int(port.propagation_ps * Fraction(event.where_ppb, PPB))
            far_ps = share if forward else port.propagation_ps - share
            made.append(SlowCut(port.number, far_ps, begins, ends))
    return made


def _births(
    owner: FrameSource, clock: SlowClock, end_ps: int
) -> tuple[int, tuple[tuple[int, int, int], ...]]:
    """How many frames are left out before the first, and the others."""
    law = owner.law
    ((size, _),) = law.sizes
    if not law.timetable:
        return 0, tuple(
            (law.first_ps + i * law.gap, size, law.first_cycle + i * law.period_cycles)
            for i in range(end_ps // law.gap + 1)
            for _ in range(law.packets)
        )
    # Of an interval all frames are sent, or none.
    assert owner.stream is not None
    together = owner.stream.max_packets
    births: list[tuple[int, int, int]] = []
    left_out = 0
    shown = [one + i * law.gap for i in range(end_ps // law.gap + 2) for one in law.timetable]
    for first in range(0, len(shown), together):
        due = [clock.when(one) for one in shown[first : first + together]]
        if min(due) >= 0:
            births += [(one, size, 0) for one in due for _ in range(law.packets)]
        else:
            left_out += len(due) * law.packets
    return left_out, tuple(births)


def _drawn_births(
    number: int, owner: FrameSource, profile: Profile, rate_bps: int
) -> tuple[tuple[int, int, int], ...]:
    """When a part of a demand sends, by its words in the file; the draws are qnet's own."""
    (demand,) = (one for one in profile.demands if one.name == owner.name)
    simulation = profile.simulation
    state = dice(simulation.seed, f"source {number} {owner.name}").reshape(1, 4)
    table = log_table()
    total = sum(weight for _, weight in demand.sizes)
    sums = accumulate(Fraction(weight, total) for _, weight in demand.sizes)
    below = list(zip(sums, (size for size, _ in demand.sizes), strict=True))
    poisson = demand.arrival == "poisson"
    births: list[tuple[int, int, int]] = []
    passed = Fraction(0)
    while owner.law.first_ps + passed < simulation.duration_ps:
        due = owner.law.first_ps + int(passed)
        for _ in range(1 if poisson else demand.burst_packets):
            drawn = int(draw(state, 0, 0)) if len(below) > 1 else 0
            size = next(size for part, size in below if Fraction(drawn, 2**32) < part)
            births.append((due, size, 0))
            if not poisson:
                passed += Fraction((size + 20) * 8 * 10**12, rate_bps)
        if poisson:
            gap = int(exponential(draw(state, 0, 0), table)) >> 12
            passed += Fraction(gap * owner.law.gap, 2**owner.law.shift)
    return tuple(births)


def _processing(topology: Topology, port: Port, seed: int) -> Callable[[], int] | None:
    node = topology.node_by_name[port.target]
    span = node.processing.high_ps - node.processing.low_ps + 1
    if span == 1:
        return None
    state = dice(seed, f"port {port.name}").reshape(1, 4)
    return lambda: int(draw(state, 0, 0)) * span // 2**32


def _idle_slope(c: TrafficClass, port: Port, profile: Profile, plan: Plan) -> Fraction | None:
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
        for entry in plan.streams:
            if entry.name in streams and any(port.name in path.ports for path in entry.paths):
                one = streams[entry.name]
                if one.tree in counted:
                    continue
                counted.add(one.tree)
                line = -(-(one.frame_bytes + 20) * 8 * 10**12 // port.rate_bps)
                share = Fraction(line * one.max_packets, one.interval_ps)
                total += max(-(-share * port.rate_bps // 1), one.committed_rate_bps or 0)
    return min(Fraction(total, port.rate_bps), Fraction(1))


def _losses(port: Port, seed: int) -> Callable[[int], bool] | None:
    if not port.is_lossy:
        return None
    state = dice(seed, f"loss {port.name}").reshape(1, 4)
    below = chances(port.loss_ppb, port.bit_errors)

    def loses(size: int) -> bool:
        high = int(draw(state, 0, 0)) // 2
        return high * 2**32 + int(draw(state, 0, 0)) < below[size]

    return loses


def compare(case: Case, fast: Observation) -> SlowSimulator:
    """Assert that both simulators counted the same; return the slow one."""
    topology, profile, plan = case
    slow = slow_run(*case)
    found = sources_of(topology, profile, plan)
    for traffic in (*fast.streams, *fast.demands):
        mine = [number for number, owner in enumerate(found) if owner.name == traffic.name]
        counts = [slow.counts[number] for number in mine]
        latencies = [one for count in counts for one in count.latencies]
        ends = frames_of(
            counts,
            [slow.sources[number].first for number in mine],
            copies=traffic in fast.streams,
        )
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
    for number, (port, use) in enumerate(zip(fast.ports, slow.uses, strict=True)):
        assert (port.came, port.waiting) == (use.came, slow.waiting(number))
        assert port.lost_on_link == use.lost_on_link
        assert (port.sent_frames, port.sent_bytes) == (use.frames, use.wire_bytes)
        assert (port.queue_bytes_max, port.dropped) == (use.deepest, use.dropped)
    return slow


def _words(causes: tuple[str, ...], owner: FrameSource) -> str:
    every = " and ".join(WORDS[cause] for cause in WORDS if cause in causes)
    return every.replace("class", "cycle") if owner.cycles else every


def frames_of(
    counts: Sequence[SlowCount], first: Sequence[int], *, copies: bool
) -> Counter[tuple[str, ...]]:
    """What became of each frame, in words; of one that was lost, what became of its copies."""
    if not copies:
        return Counter((fate,) for count in counts for fate in count.fates.values())
    ends: Counter[tuple[str, ...]] = Counter()
    for number in sorted({number for count in counts for number in count.fates}):
        # A copy that is not born yet is still to come.
        fates = {
            count.fates.get(number, "in flight")
            for count, begin in zip(counts, first, strict=True)
            if number >= begin
        }
        for still in ("received", "in flight"):
            if still in fates:
                fates = {still}
        ends[tuple(sorted(fates))] += 1
    return ends
