"""The slow twin's view of a case, and the comparison of what both simulators counted."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.topology import Link, Port, Topology
from qnet.model.traffic import Profile
from qnet.simulate import kernels
from qnet.simulate.draws import dice
from qnet.simulate.ports.setup import chances
from qnet.simulate.setup import Owner, clock_blocks, clock_walk, owners
from qnet.units import PPB
from tests.slow_simulator import BLOCK_PS, SlowPort, SlowQueue, SlowSimulator, SlowSource

CAUSES = {
    "buffer": "buffer full",
    "policed": "committed rate",
    "residence": "residence",
    "link": "link",
}
"""The twin's causes of drops, and a part of what the fast simulator calls them."""

Case = tuple[Topology, Profile, Plan]


def slow_run(topology: Topology, profile: Profile, plan: Plan) -> SlowSimulator:
    """Run a case in the slow twin."""
    seed, end_ps = profile.simulation.seed, profile.simulation.duration_ps
    walks = {
        node.name: tuple(clock_walk(topology, node.name, clock_blocks(profile), seed))
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
            None if c.idle_slope_ppb is None else Fraction(c.idle_slope_ppb, PPB),
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
            walks[port.source],
            tuple(queues),
            gates.get(port.name, ()),
            fixed,
            any(c.mechanism == "cqf" for c in profile.classes),
            _losses(topology.links[port.link], port, seed),
            topology.node_by_name[port.source].cut_through_bytes,
        )
        for port in topology.ports
    ]
    sources = []
    for owner in owners(topology, profile, plan):
        stream = owner.stream
        assert stream is not None
        recovery = None
        if owner.meeting is not None and stream.recovery is not None:
            recovery = (stream.name, stream.recovery.history, stream.recovery.reset_ps)
        mine: tuple[int, ...] = ()
        if owner.queues:
            mine = tuple(len(plain) + q for q in owner.queues)
        elif not owner.cycles:
            mine = (number[owner.traffic_class.name],) * len(owner.ports)
        sources.append(
            SlowSource(
                tuple(port.number for port in owner.ports),
                _births(owner, walks[owner.ports[0].source], end_ps),
                mine,
                tuple(b - a for a, b in pairwise(owner.cycles)),
                owner.hold_ps,
                (stream.rate_bps, stream.burst_bytes) if stream.police else None,
                (stream.rate_bps, stream.burst_bytes),
                recovery,
            )
        )
    slow = SlowSimulator(
        ports, sources, cycle_ps=plan.cycle_ps, buffers=plan.buffers, end_ps=end_ps
    )
    cyclic = [c for c in profile.classes if c.takes_cycles]
    if cyclic:
        slow.cycle_gate = profile.queue_by_class[cyclic[0].name]
    slow.run()
    return slow


def _births(owner: Owner, walk: tuple[int, ...], end_ps: int) -> tuple[tuple[int, int, int], ...]:
    law = owner.law
    ((size, _),) = law.sizes
    if not law.timetable:
        return tuple(
            (law.first_ps + i * law.gap, size, law.first_cycle + i * law.period_cycles)
            for i in range(end_ps // law.gap + 1)
            for _ in range(law.packets)
        )
    births: list[tuple[int, int, int]] = []
    last = 0
    for i in range(end_ps // law.gap + 2):
        for shown in law.timetable:
            due = shown + i * law.gap
            due += walk[min(due // BLOCK_PS, len(walk) - 1)]
            if due >= 0 or births:
                last = max(last, due)
                births += [(last, size, 0)] * law.packets
    return tuple(births)


def _losses(link: Link, port: Port, seed: int) -> Callable[[int], bool] | None:
    if not link.is_lossy:
        return None
    state = dice(seed, f"loss {port.name}").reshape(1, 4)
    below = chances(link.loss_ppb, link.bit_errors)

    def loses(size: int) -> bool:
        high = int(kernels.draw(state, 0, 0)) // 2
        return high * 2**32 + int(kernels.draw(state, 0, 0)) < below[size]

    return loses


def compare(case: Case, fast: Observation) -> SlowSimulator:
    """Assert that both simulators counted the same; return the slow one."""
    topology, profile, plan = case
    slow = slow_run(*case)
    found = owners(topology, profile, plan)
    for traffic in fast.streams:
        counts = [
            count
            for count, owner in zip(slow.counts, found, strict=True)
            if owner.name == traffic.name
        ]
        latencies = [one for count in counts for one in count.latencies]
        assert traffic.sent == max(count.sent for count in counts)
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
        if len(counts) == 1:
            assert traffic.received == len(latencies)
            assert traffic.lost == counts[0].lost
        if traffic.recovery is not None and traffic.name in slow.recoveries:
            mine, other = traffic.recovery, slow.recoveries[traffic.name]
            assert (mine.passed, mine.discarded) == (other.passed, other.discarded)
            assert (mine.out_of_order, mine.rogue) == (other.out_of_order, other.rogue)
            assert mine.resets == other.resets
    for port, use in zip(fast.ports, slow.uses, strict=True):
        assert (port.sent_frames, port.sent_bytes) == (use.frames, use.wire_bytes)
        assert (port.queue_bytes_max, port.dropped) == (use.deepest, use.dropped)
    return slow
