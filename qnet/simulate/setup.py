"""Nouns to arrays: everything that the kernels need, laid out once before a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import gcd

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible
from qnet.model.histogram import BIN_COUNT
from qnet.model.plan import PathPlan, Plan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import FRAME_BYTES_HIGHEST, Demand, Profile, Stream, TrafficClass
from qnet.simulate import kernels as k
from qnet.simulate.draws import dice, integers, log_table
from qnet.simulate.ports.kernels import TIMED
from qnet.units import PS_PER_MS, PS_PER_S, ceil_div, serialisation_ps, wire_bytes

Ints = NDArray[np.int64]

CLOCK_BLOCK_PS = PS_PER_MS
"""Clock errors change once in a millisecond: Clock.wander is per millisecond."""


@dataclass(frozen=True)
class Law:
    """How one source sends; see `kernels.advance_source` for gap and shift."""

    kind: int
    gap: int
    shift: int
    packets: int
    first_ps: int
    first_cycle: int
    period_cycles: int
    sizes: tuple[tuple[int, int], ...]
    frames_per_s: float
    """Mean, for memory and for sharing out the work only."""
    timetable: tuple[int, ...] = ()
    """Of a timed source: when its frames are due within the `gap`, by the clock of its node."""
    first_step: int = 0
    """How many of these are left out, since the clock would show them before time zero."""


@dataclass(frozen=True)
class Owner:
    """One path of a stream or one part of a demand: a source, a route and a row of counts."""

    name: str
    rank: int
    ports: tuple[Port, ...]
    cycles: tuple[int, ...]
    law: Law
    traffic_class: TrafficClass
    hold_ps: int | None = None
    """When a damper hands a frame over, after its birth."""
    queues: tuple[int, ...] = ()
    """Of a gated stream: its queue at each port."""
    stream: Stream | None = None
    meeting: int | None = None
    """Number, counting on from the last port, of the point where copies of the stream meet."""

    @property
    def stations(self) -> tuple[int, ...]:
        """Numbers of the ports on the way, and of the point where copies meet."""
        numbers = tuple(port.number for port in self.ports)
        return numbers if self.meeting is None else (*numbers, self.meeting)


def owners(topology: Topology, profile: Profile, plan: Plan) -> tuple[Owner, ...]:
    """List what sends frames, in the order of the plan."""
    stream_by_name = {stream.name: stream for stream in profile.every_stream}
    demand_by_name = {demand.name: demand for demand in profile.demands}
    strict = sorted(
        (one for one in profile.classes if not one.reserves), key=lambda one: -one.priority
    )
    rank = {one.name: i + 1 for i, one in enumerate(strict)}
    port = topology.port_by_name
    blocks = clock_blocks(profile)
    walk_of = cache(lambda node: clock_walk(topology, node, blocks, profile.simulation.seed))
    found: list[Owner] = []
    meeting = len(topology.ports)
    for promise in plan.streams:
        stream = stream_by_name[promise.name]
        meets = stream.recovery is not None and len(promise.paths) > 1
        for path in promise.paths:
            ports = tuple(port[name] for name in path.ports)
            if path.starts_ps:
                law = _timed_law(stream, path, topology, plan, walk_of(ports[0].source))
            else:
                law = _stream_law(stream, promise.send_ps, path.cycles, plan, profile)
            found.append(
                Owner(
                    stream.name,
                    rank.get(stream.traffic_class, 0),
                    ports,
                    path.cycles,
                    law,
                    profile.class_by_name[stream.traffic_class],
                    promise.hold_ps,
                    path.queues,
                    stream,
                    meeting if meets else None,
                )
            )
        meeting += meets
    for placed in plan.demands:
        demand = demand_by_name[placed.name]
        for i, part in enumerate(placed.parts):
            law = _demand_law(demand, part.rate_bps, i, profile.simulation.seed)
            ports = tuple(port[name] for name in part.ports)
            one = profile.class_by_name[demand.traffic_class]
            found.append(Owner(demand.name, rank[demand.traffic_class], ports, (), law, one))
    return tuple(found)


def _stream_law(
    stream: Stream, send_ps: int | None, cycles: Sequence[int], plan: Plan, profile: Profile
) -> Law:
    packets = stream.max_packets + stream.excess_packets
    frames_per_s = packets * PS_PER_S / stream.interval_ps
    if send_ps is None:
        who = stream.service + stream.talker if stream.start == "together" else stream.name
        (send_ps,) = integers(profile.simulation.seed, f"start {who}", 1, stream.interval_ps)
    return Law(
        kind=k.PERIODIC,
        gap=stream.interval_ps,
        shift=0,
        packets=packets,
        first_ps=send_ps,
        first_cycle=cycles[0] if cycles else 0,
        period_cycles=stream.interval_ps // plan.cycle_ps,
        sizes=((stream.frame_bytes, 1),),
        frames_per_s=frames_per_s,
    )


def _timed_law(
    stream: Stream, path: PathPlan, topology: Topology, plan: Plan, walk: Sequence[int]
) -> Law:
    """Return the law of a gated stream: its first port has frame k when the plan starts it there.

    The times are those of the talker's clock, whose error goes along `walk`.
    """
    assert plan.gate_cycle_ps is not None, "gated streams have a gate cycle"
    port = topology.port_by_name[path.ports[0]]
    phase_ps = topology.node_by_name[port.source].clock.phase_ps
    table = tuple(phase_ps + starts[0] for starts in path.starts_ps)
    first_step = 0
    while True:
        gone, step = divmod(first_step, len(table))
        due = table[step] + gone * plan.gate_cycle_ps
        due += walk[min(due // CLOCK_BLOCK_PS, len(walk) - 1)]
        if due >= 0:
            break
        first_step += 1
    packets = 1 + stream.excess_packets
    return Law(
        kind=TIMED,
        gap=plan.gate_cycle_ps,
        shift=0,
        packets=packets,
        first_ps=due,
        first_cycle=0,
        period_cycles=0,
        sizes=((stream.frame_bytes, 1),),
        frames_per_s=len(table) * packets * PS_PER_S / plan.gate_cycle_ps,
        timetable=table,
        first_step=first_step,
    )


def _demand_law(demand: Demand, rate_bps: int, part: int, seed: int) -> Law:
    """Return the law of a demand's part; a part of random arrivals is random by itself."""
    weight = sum(weight for _, weight in demand.sizes)
    wire_sum = sum(wire_bytes(size) * weight for size, weight in demand.sizes)
    frames_per_s = rate_bps * weight / (8 * wire_sum)
    mean_gap_ps = ceil_div(8 * PS_PER_S * wire_sum, rate_bps * weight)
    (start_ps,) = integers(
        seed, f"start {demand.name} {part}", 1, mean_gap_ps * demand.burst_packets
    )
    if demand.arrival == "poisson":
        # As fine as 62 bits allow: a gap is a draw below 2**25 (in units of 2**-20) times the mean.
        shift = 62 - 25 - mean_gap_ps.bit_length()
        mean_gap = Fraction(8 * PS_PER_S * wire_sum, rate_bps * weight) * Fraction(2) ** shift
        return Law(
            k.POISSON, int(mean_gap), shift + 20, 1, start_ps, 0, 0, demand.sizes, frames_per_s
        )
    common = gcd(8 * PS_PER_S, rate_bps)
    longest = max(size for size, _ in demand.sizes)
    if demand.burst_packets * wire_bytes(longest) * (8 * PS_PER_S // common) >= k.NEVER:
        raise Infeasible(
            f"demand {demand.name}: a burst of {demand.burst_packets} frames at {rate_bps} bps "
            "is longer than qnet can time; use a rounder rate or a shorter burst"
        )
    return Law(
        k.PACED,
        rate_bps // common,
        8 * PS_PER_S // common,
        demand.burst_packets,
        start_ps,
        0,
        0,
        demand.sizes,
        frames_per_s,
    )


def floor_ps(owner: Owner, topology: Topology) -> int:
    """Return the least latency that a route, or its damper, allows to the shortest frame."""
    if owner.hold_ps is not None:
        listener = topology.node_by_name[owner.ports[-1].target]
        return max(owner.hold_ps - listener.clock.error_ps, 0)
    shortest = min(size for size, _ in owner.law.sizes)
    lines = [serialisation_ps(shortest, port.rate_bps) for port in owner.ports]
    heads = [head_ps(topology, near, far) for near, far in pairwise(owner.ports)]
    return (
        sum(min(line, head or line) for line, head in zip(lines, [*heads, 0], strict=True))
        + sum(port.propagation_ps for port in owner.ports)
        + sum(topology.node_by_name[port.source].processing.low_ps for port in owner.ports[1:])
    )


def head_ps(topology: Topology, near: Port, far: Port) -> int:
    """Return how long after its begin a frame may be sent on without all of it, 0 where it may not.

    Preamble and the bytes that the far port's node wants to see, where both ports have one rate.
    """
    enough = topology.node_by_name[far.source].cut_through_bytes
    if enough is None or near.rate_bps != far.rate_bps:
        return 0
    return ceil_div((enough + 8) * 8 * PS_PER_S, near.rate_bps)


def lookahead_ps(topology: Topology, found: Sequence[Owner]) -> int:
    """Return the shortest time between leaving one port and reaching the next, over all routes."""
    between = (
        near.propagation_ps + topology.node_by_name[far.source].processing.low_ps
        for owner in found
        for near, far in pairwise(owner.ports)
    )
    meeting = (owner.ports[-1].propagation_ps for owner in found if owner.meeting is not None)
    return min((*between, *meeting), default=CLOCK_BLOCK_PS)


def build(topology: Topology, profile: Profile, plan: Plan, found: Sequence[Owner]) -> k.World:
    """Lay out the world at time zero."""
    lanes = sorted({(far, near) for owner in found for near, far in pairwise(owner.stations)})
    stations = 1 + max((number for owner in found for number in owner.stations), default=0)
    network = _network(topology, profile, plan, found, lanes)
    ports = len(topology.ports)
    rings = ports * (network.cycle_buffers + network.classes)
    ring = np.zeros((rings, 8), dtype=np.int64)
    ring[:, k.BASE] = np.arange(rings) * 64
    ring[:, k.MASK] = 63
    stash = np.full((ports, 5), -1, dtype=np.int64)
    port_dice = np.array([dice(profile.simulation.seed, f"port {p.name}") for p in topology.ports])
    counts = np.zeros((len(found), 8), dtype=np.int64)
    counts[:, k.LEAST] = k.NEVER
    return k.World(
        network=network,
        routes=_routes(topology, found, lanes),
        lanes=_lanes(found, lanes, network),
        queues=k.Queues(ring, np.zeros((rings * 64, 4), dtype=np.int64), stash),
        sources=_sources(profile, found, ports),
        tally=k.Tally(
            port=np.zeros((max(ports, stations), 16), dtype=np.int64),
            port_dice=port_dice,
            owner=counts,
            histogram=np.zeros((len(found), BIN_COUNT), dtype=np.int64),
        ),
    )


def _network(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    found: Sequence[Owner],
    lanes: Sequence[tuple[int, int]],
) -> k.Network:
    ports = topology.ports
    steady_from = max((floor_ps(owner, topology) for owner in found), default=0) * 21 // 20
    rates = sorted({port.rate_bps for port in ports})
    line_time = np.zeros((len(rates), FRAME_BYTES_HIGHEST + 1), dtype=np.int64)
    for row, rate_bps in enumerate(rates):
        # Exact where a byte's time is a whole number; otherwise each size is rounded up.
        line_time[row] = [serialisation_ps(size, rate_bps) for size in range(line_time.shape[1])]
    after = [topology.node_by_name[port.target] for port in ports]
    before = [topology.node_by_name[port.source] for port in ports]
    node_number = {node.name: i for i, node in enumerate(topology.nodes)}
    blocks = clock_blocks(profile)
    stations = max((number for owner in found for number in owner.stations), default=0) + 1
    lane_first = np.searchsorted(
        np.array([far for far, _ in lanes]), np.arange(max(len(ports), stations) + 1)
    )
    return k.Network(
        line_time=line_time,
        rate=_ints(rates.index(port.rate_bps) for port in ports),
        propagation=_ints(port.propagation_ps for port in ports),
        processing_low=_ints(node.processing.low_ps for node in after),
        processing_span=_ints(
            node.processing.high_ps - node.processing.low_ps + 1 for node in after
        ),
        buffer_bytes=_ints(node.buffer_bytes for node in before),
        cycle_bytes=_ints(plan.cycle_ps * port.rate_bps // (8 * PS_PER_S) for port in ports),
        phase=_ints(node.clock.phase_ps for node in before),
        clock=_ints(node_number[node.name] for node in before),
        clock_error=np.array(
            [clock_walk(topology, name, blocks, profile.simulation.seed) for name in node_number],
            dtype=np.int64,
        ),
        lane_first=lane_first.astype(np.int64),
        cycle=plan.cycle_ps,
        cycle_buffers=plan.buffers if any(owner.cycles for owner in found) else 0,
        classes=sum(not one.reserves for one in profile.classes),
        block=CLOCK_BLOCK_PS,
        windows_per_block=ceil_div(CLOCK_BLOCK_PS, lookahead_ps(topology, found)),
        steady_from=steady_from,
        end=profile.simulation.duration_ps,
    )


def clock_blocks(profile: Profile) -> int:
    """Return in how many blocks of time the clocks' errors are known."""
    return ceil_div(profile.simulation.duration_ps, CLOCK_BLOCK_PS) + 1


def clock_walk(topology: Topology, node: str, blocks: int, seed: int) -> list[int]:
    """Return a clock's error in each block: a random walk between the bounds of the clock."""
    clock = topology.node_by_name[node].clock
    starts = integers(seed, f"clock {node}", 1, 2 * clock.error_ps + 1)
    steps = integers(seed, f"wander {node}", blocks - 1, 2 * clock.wander_ps + 1)
    walk = [starts[0] - clock.error_ps]
    for step in steps:
        error = walk[-1] + step - clock.wander_ps
        walk.append(max(-clock.error_ps, min(clock.error_ps, error)))
    return walk


def _routes(
    topology: Topology, found: Sequence[Owner], lanes: Sequence[tuple[int, int]]
) -> k.Routes:
    lane_number = {pair: i for i, pair in enumerate(lanes)}
    node_number = {node.name: i for i, node in enumerate(topology.nodes)}
    lane: list[int] = []
    rank: list[int] = []
    shift: list[int] = []
    who: list[int] = []
    for number, owner in enumerate(found):
        stops = len(owner.stations)
        lane += [lane_number[far, near] for near, far in pairwise(owner.stations)] + [-1]
        rank += [owner.rank] * stops
        who += [number] * stops
        steps = [later - sooner for sooner, later in pairwise(owner.cycles)]
        shift += steps + [0] * (stops - len(steps))
    return k.Routes(
        lane=_ints(lane),
        rank=_ints(rank),
        shift=_ints(shift),
        owner=_ints(who),
        lost=np.zeros(len(lane), dtype=np.int64),
        late=np.zeros(len(lane), dtype=np.int64),
        floor=_ints(floor_ps(owner, topology) for owner in found),
        hold=_ints(-1 if owner.hold_ps is None else owner.hold_ps for owner in found),
        damper_clock=_ints(node_number[owner.ports[-1].target] for owner in found),
    )


def _lanes(found: Sequence[Owner], lanes: Sequence[tuple[int, int]], network: k.Network) -> k.Lanes:
    """Make room in each lane for the frames that are under way in it on average, and some more."""
    frames_per_s: dict[tuple[int, int], float] = defaultdict(float)
    for owner in found:
        for near, far in pairwise(owner.stations):
            frames_per_s[far, near] += owner.law.frames_per_s
    window = network.block // network.windows_per_block
    mask = []
    for pair in lanes:
        port = pair[1]
        stay = network.propagation[port] + network.processing_low[port] + 2 * window
        stay += network.processing_span[port]
        held = int(frames_per_s[pair] * float(stay) / PS_PER_S * 1.05) + 64
        mask.append((1 << held.bit_length()) - 1)
    sizes = np.array(mask, dtype=np.int64) + 1
    receiver = np.zeros((len(lanes), 8), dtype=np.int64)
    receiver[:, k.NEXT_ARRIVAL] = k.NEVER
    return k.Lanes(
        base=np.cumsum(sizes) - sizes,
        mask=sizes - 1,
        sender=np.zeros((len(lanes), 8), dtype=np.int64),
        receiver=receiver,
        cells=np.empty((int(sizes.sum()), 4), dtype=np.int64),
    )


def _sources(profile: Profile, found: Sequence[Owner], ports: int) -> k.Sources:
    state = np.zeros((len(found), 16), dtype=np.int64)
    law = np.zeros((len(found), 8), dtype=np.int64)
    sizes: dict[tuple[tuple[int, int], ...], int] = {}
    size_bytes: list[int] = []
    size_limit: list[int] = []
    start = 0
    for number, owner in enumerate(found):
        one = owner.law
        if one.sizes not in sizes:
            sizes[one.sizes] = len(size_bytes)
            size_bytes += [size for size, _ in one.sizes]
            size_limit += _limits([weight for _, weight in one.sizes])
        first = sizes[one.sizes]
        last = first + len(one.sizes)
        law[number] = (
            one.kind, one.gap, one.shift, one.packets, start, first, last, one.period_cycles,
        )  # fmt: skip
        state[number, k.NEXT_TIME] = one.first_ps
        state[number, k.LEFT] = one.packets
        state[number, k.NEXT_CYCLE] = one.first_cycle
        state[number, k.DICE : k.DICE + 4] = dice(
            profile.simulation.seed, f"source {number} {owner.name}"
        )
        start += len(owner.stations)
    first_port = _ints(owner.ports[0].number for owner in found)
    # A list sorted by time is a heap already.
    heap = np.lexsort((np.arange(len(found)), state[:, k.NEXT_TIME], first_port))
    heap_first = np.searchsorted(np.sort(first_port), np.arange(ports + 1))
    return k.Sources(
        first=heap_first.astype(np.int64),
        heap=np.column_stack((state[heap, k.NEXT_TIME], heap)).astype(np.int64),
        state=state,
        law=law,
        size_bytes=_ints(size_bytes),
        size_limit=_ints(size_limit),
        log_table=log_table(),
    )


def _limits(weights: Sequence[int]) -> list[int]:
    """Return the bounds below which a 32-bit draw takes each size."""
    total = sum(weights)
    sums = [sum(weights[: i + 1]) for i in range(len(weights))]
    return [(part << 32) // total for part in sums]


def _ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)
