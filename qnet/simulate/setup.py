"""Nouns to arrays: everything that the kernels need, laid out once before a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import aligned, zeros
from qnet.model.fields import FRAME_BYTES_HIGHEST, FRAME_BYTES_LOWEST
from qnet.model.histogram import BIN_COUNT
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import (
    Profile,
)
from qnet.progress import Heeded
from qnet.simulate.clocks.events import clock_settings, reached_ps
from qnet.simulate.draws import dice, log_table
from qnet.simulate.frame_sources import FrameSource
from qnet.simulate.kernels.sources import draw, flow_frames
from qnet.simulate.settings import PortState, port_states
from qnet.simulate.world import (
    BLOCK_BINS,
    GAP_BYTES,
    NEVER,
    POISSON,
    REACHED_ROOM,
    Lanes,
    Network,
    NextHop,
    OwnerTally,
    PortTally,
    Queues,
    Receiver,
    Ring,
    RouteTable,
    SourceLaw,
    Sources,
    SourceState,
    Tally,
    World,
)
from qnet.units import PS_PER_S, ceil_div, last_bit_ps

Ints = NDArray[np.int64]


class Hops(NamedTuple):
    """All hops of all owners, one after the other, as arrays.

    A point where copies meet counts as a port, with a number from that of the last port on.
    """

    owner: Ints
    port: Ints
    last: NDArray[np.bool_]
    """Whether it is the last hop of its owner."""
    first: Ints
    """[owner]: its first hop."""
    lead: Ints
    """The hop whose frames are there for this one too, or itself."""
    lane: Ints
    """Lane to the next port, or -1."""
    lane_feeder: Ints
    """[lane]: port before it; lanes are in the order of the ports after them."""
    lane_target: Ints


def hops_of(found: Sequence[FrameSource]) -> Hops:
    """Flatten the routes, and number the lanes that they use."""
    length = _ints(len(owner.servers) for owner in found)
    first = np.cumsum(length) - length
    port = _ints(chain.from_iterable(owner.servers for owner in found))
    last = np.zeros(port.size, dtype=np.bool_)
    last[first + length - 1] = True
    lead = np.arange(port.size)
    for number, owner in enumerate(found):
        for hop, leading in enumerate(owner.leads):
            lead[first[number] + hop] = first[leading] + hop
    near = np.flatnonzero(~last)
    ports = int(port.max(initial=0)) + 1
    pairs, lane_of = np.unique(port[near + 1] * ports + port[near], return_inverse=True)
    lane = np.full(port.size, -1, dtype=np.int64)
    lane[near] = lane_of
    return Hops(
        owner=np.repeat(np.arange(length.size), length),
        port=port,
        last=last,
        first=first,
        lead=lead,
        lane=lane,
        lane_feeder=pairs % ports,
        lane_target=pairs // ports,
    )


def positions(hops: Hops) -> tuple[Ints, Ints]:
    """Return the hops in the order of ports, and the place of each hop in that order."""
    order = np.argsort(hops.port, kind="stable")
    position = np.empty_like(order)
    position[order] = np.arange(order.size)
    return order, position


def heads_ps(topology: Topology, hops: Hops) -> Ints:
    """Return, lane by lane, how long after its begin a frame may be sent on without all of it.

    Preamble and the bytes that the node after the lane wants to see, where the ports before and
    after have one rate; 0 where it wants all of them.
    """
    heads = np.zeros(hops.lane_feeder.size, dtype=np.int64)
    ports = topology.ports
    for lane, (near, far) in enumerate(zip(hops.lane_feeder, hops.lane_target, strict=True)):
        if far < len(ports) and ports[far].rate_bps == ports[near].rate_bps:
            enough = topology.node_by_name[ports[far].source].cut_through_bytes
            if enough is not None:
                heads[lane] = ceil_div((enough + 8) * 8 * PS_PER_S, ports[near].rate_bps)
    return heads


def build(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    found: Sequence[FrameSource],
    heeded: Heeded | None = None,
) -> World:
    """Lay out the world at time zero. Raises Cancelled."""
    hops = hops_of(found)
    states = port_states(topology, profile)
    rates = rates_of(topology, states)
    network = _network(topology, profile, plan, found, hops, heeded or Heeded(None), rates)
    best = _at_best(network, states, rates)
    ports = len(topology.ports)
    rings = ports * (network.cycle_buffers + network.classes)
    ring = zeros((rings, 8))
    ring[:, Ring.BASE] = np.arange(rings) * 64
    ring[:, Ring.MASK] = 63
    stash = np.full((ports, 5), -1, dtype=np.int64)
    port_dice = np.array([dice(profile.simulation.seed, f"port {p.name}") for p in topology.ports])
    floor = floors_ps(topology, found, hops, best)
    network = network._replace(steady_from=int(floor.max(initial=0)) * 21 // 20)
    counts = zeros((len(found), 8))
    counts[:, OwnerTally.LEAST] = NEVER
    counts[:, OwnerTally.MOST] = -1
    counts[:, OwnerTally.FLOOR] = floor
    counts[:, OwnerTally.HOLD] = _ints(-1 if one.hold_ps is None else one.hold_ps for one in found)
    servers = max(ports, int(hops.port.max(initial=0)) + 1)
    tally = zeros((servers, 16))
    # Four octaves for each owner to begin with; more are made when they are needed.
    room = 4 * np.bincount(hops.port[hops.last], minlength=servers) + 8
    tally[:, PortTally.BLOCK_ROOM] = room
    tally[:, PortTally.WAKE] = NEVER
    tally[:, PortTally.BLOCK_BASE] = np.cumsum(room) - room
    order, position = positions(hops)
    return World(
        network=network,
        routes=_routes(topology, found, hops, order, position),
        lanes=_lanes(topology, profile, found, hops, best, rates),
        queues=Queues(ring, zeros((rings * 64, 4)), stash),
        sources=_sources(profile, found, ports, position[hops.first]),
        tally=Tally(
            port=tally,
            port_dice=port_dice,
            owner=counts,
            block=zeros((len(found), BIN_COUNT // BLOCK_BINS), np.int32),
            bins=zeros((int(room.sum()), BLOCK_BINS)),
            birth=np.zeros((len(found), 2), dtype=np.int64),
            followed=zeros((len(found), 4)),
            fates=zeros((1,)),
            settled=np.zeros((0, 3), dtype=np.int64),
            reached=zeros((REACHED_ROOM, 4)),
        ),
    )


def number_by_node(topology: Topology) -> dict[str, int]:
    """Return the numbers of nodes, which those of their clocks are, by name."""
    return {node.name: number for number, node in enumerate(topology.nodes)}


def floors_ps(
    topology: Topology, found: Sequence[FrameSource], hops: Hops, network: Network
) -> Ints:
    """Return the least latency that each route, or its damper, allows to the shortest frame."""
    shortest = _ints(min(size for size, _ in owner.law.sizes) for owner in found)
    is_port = hops.port < network.rate.size
    port = np.where(is_port, hops.port, 0)
    # Reserved frames wait for a cycle at each port: none of them is sent on before all is in.
    cyclic = np.array([bool(owner.cycles) for owner in found])[hops.owner]
    head = np.where(cyclic, 0, np.append(heads_ps(topology, hops), 0)[hops.lane])
    line = network.line_time[network.rate[port], shortest[hops.owner] - GAP_BYTES]
    stay = np.where(head > 0, np.minimum(line, head), line) + network.propagation[port]
    stay += np.where(hops.last | ~np.roll(is_port, -1), 0, network.processing_low[port])
    stay[~is_port] = 0
    floor = np.add.reduceat(stay, hops.first) if len(found) else stay
    node_number = number_by_node(topology)
    for number, owner in enumerate(found):
        if owner.hold_ps is not None:
            listener = topology.node_by_name[owner.ports[-1].target]
            # A clock that follows others may be further ahead than its own bound.
            ahead_ps = -reached_ps(network.clocks, node_number[listener.name])[0]
            floor[number] = max(owner.hold_ps - max(listener.clock.error_ps, ahead_ps), 0)
    return floor


def rates_of(topology: Topology, states: Mapping[int, Sequence[PortState]]) -> list[int]:
    """Return all rates that ports have at some time, the lowest first: the rows of `line_time`."""
    changed = {one.rate_bps for every in states.values() for one in every}
    return sorted({port.rate_bps for port in topology.ports} | changed)


def _at_best(network: Network, states: Mapping[int, Sequence[PortState]], rates: Sequence[int],
             ) -> Network:  # fmt: skip
    """Return a network in which each port is as quick, and its fibre as short, as they ever are."""
    rate, propagation = network.rate.copy(), network.propagation.copy()
    for number, every in states.items():
        rate[number] = rates.index(max(one.rate_bps for one in every))
        propagation[number] = min(one.propagation_ps for one in every)
    return network._replace(rate=rate, propagation=propagation)


def _network(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    found: Sequence[FrameSource],
    hops: Hops,
    heeded: Heeded,
    rates: Sequence[int],
) -> Network:
    ports = topology.ports
    line_time = np.zeros((len(rates), FRAME_BYTES_HIGHEST + 1), dtype=np.int64)
    for row, rate_bps in enumerate(rates):
        # Exact where a byte's time is a whole number; otherwise each size is rounded up.
        line_time[row] = -(-(np.arange(line_time.shape[1]) + 20) * 8 * PS_PER_S // rate_bps)
    after = [topology.node_by_name[port.target] for port in ports]
    before = [topology.node_by_name[port.source] for port in ports]
    node_number = number_by_node(topology)
    clocks = clock_settings(topology, profile).table(heeded.wanted(node_number))
    is_still = len(clocks.since) == len(node_number)
    errors = clocks.errors if is_still else clocks.errors[clocks.first[:-1]]
    servers = max(len(ports), int(hops.port.max(initial=0)) + 1)
    lane_first = np.searchsorted(hops.lane_target, np.arange(servers + 1))
    rank = _ints(owner.rank for owner in found)[hops.owner]
    lowest, highest = np.full(servers, len(profile.classes)), np.zeros(servers, np.int64)
    np.minimum.at(lowest, hops.port, rank)
    np.maximum.at(highest, hops.port, rank)
    return Network(
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
        clock_error=errors,
        clocks=clocks,
        lane_first=lane_first.astype(np.int64),
        only_rank=np.where(lowest == highest, lowest, 0).astype(np.int64),
        cycle=plan.cycle_ps,
        cycle_buffers=plan.buffers if any(owner.cycles for owner in found) else 0,
        classes=len(profile.strict_classes),
        block=clocks.block,
        steady_from=0,
        end=profile.simulation.duration_ps,
    )


def _routes(
    topology: Topology, found: Sequence[FrameSource], hops: Hops, order: Ints, position: Ints
) -> RouteTable:
    """Lay out the hops by port: `order` lists them so, `position` says where each one is."""
    node_number = number_by_node(topology)
    hop = np.empty((hops.port.size, 2), dtype=np.int32)
    hop[:, NextHop.LANE] = hops.lane
    hop[:, NextHop.NEXT] = np.where(hops.last, hops.owner, np.roll(position, -1))
    rank = _ints(owner.rank for owner in found)[hops.owner]
    shift = np.zeros(hops.port.size, dtype=np.int32)
    for number, owner in enumerate(found):
        if owner.cycles:
            first = hops.first[number]
            shift[first : first + len(owner.cycles) - 1] = np.diff(owner.cycles)
    return RouteTable(
        hop=hop[order],
        rank=rank[order].astype(np.int32),
        shift=shift[order],
        owner=hops.owner[order],
        lost=np.zeros(hops.port.size, dtype=np.int64),
        late=np.zeros(hops.port.size, dtype=np.int64),
        damper_clock=_ints(node_number[owner.ports[-1].target] for owner in found),
    )


def _least_ps(topology: Topology, profile: Profile, hops: Hops, rates_bps: Sequence[int]) -> Ints:
    """Return, lane by lane, the least time from when a port decides on a frame to its last bit.

    Emulators bring frames of any length. One that can be cut is decided on when it no longer can:
    64 bytes, less what is within a picosecond, are still to come then. A node that cuts through
    does not wait for the last bit.
    """
    if any(one.preemptable for one in profile.classes):
        least = _ints(ceil_div(64 * 8 * PS_PER_S, rate_bps) - 1 for rate_bps in rates_bps)
    else:
        least = _ints(last_bit_ps(FRAME_BYTES_LOWEST, rate_bps) for rate_bps in rates_bps)
    head, least = heads_ps(topology, hops), least[hops.lane_feeder]
    return np.where(head > 0, np.minimum(head, least), least)


def _lanes(
    topology: Topology,
    profile: Profile,
    found: Sequence[FrameSource],
    hops: Hops,
    network: Network,
    rates: Sequence[int],
) -> Lanes:
    """Make room in each lane for the frames that are under way in it on average, and some more."""
    pace = np.array([owner.law.frames_per_s for owner in found])[hops.owner]
    # Where legs part each has a frame of its own; until then one is there for all.
    own = np.roll(hops.lead == np.arange(hops.port.size), -1)
    used = (hops.lane >= 0) & own
    frames_per_s = np.bincount(hops.lane[used], pace[used], hops.lane_feeder.size)
    feeder = hops.lane_feeder
    at_listener = hops.lane_target >= network.rate.size
    reach = network.propagation[feeder] + np.where(at_listener, 0, network.processing_low[feeder])
    reach += _least_ps(topology, profile, hops, [rates[one] for one in network.rate])
    # A port may be a window ahead of the next one, but seldom by more than half of the longest.
    # A ring is gone through from end to end: one that is too long fills the caches.
    ahead = 9 * reach.min(initial=network.block)
    stay = reach + network.processing_span[feeder] + ahead
    held = (frames_per_s * stay / PS_PER_S * 1.25).astype(np.int64) + 64
    sizes = np.array([1 << int(one).bit_length() for one in held], dtype=np.int64)
    return empty_lanes(sizes - 1, feeder, reach)


def empty_lanes(mask: Ints, feeder: Ints, reach: Ints) -> Lanes:
    """Return lanes with so many rows, less one, that nothing is under way in."""
    receiver = zeros((mask.size, 8))
    receiver[:, Receiver.NEXT_ARRIVAL] = NEVER
    return Lanes(
        base=np.cumsum(mask + 1) - (mask + 1),
        mask=mask,
        sender=zeros((mask.size, 8)),
        receiver=receiver,
        cells=zeros((int((mask + 1).sum()), 4)),
        feeder=feeder,
        reach=reach,
    )


def _sources(profile: Profile, found: Sequence[FrameSource], ports: int, start: Ints) -> Sources:
    state = zeros((len(found), 16))
    law = zeros((len(found), 8))
    table = [*log_table().tolist()]
    sizes: dict[tuple[tuple[int, int], ...], int] = {}
    size_bytes: list[int] = []
    size_limit: list[int] = []
    for number, owner in enumerate(found):
        one = owner.law
        if one.recording is not None:
            continue
        if one.sizes not in sizes:
            sizes[one.sizes] = len(size_bytes)
            size_bytes += [size for size, _ in one.sizes]
            size_limit += _limits([weight for _, weight in one.sizes])
        first = sizes[one.sizes]
        last = first + len(one.sizes)
        law[number] = (
            one.kind, one.gap, one.shift, one.packets, start[number], first, last,
            one.period_cycles,
        )  # fmt: skip
        state[number, SourceState.NEXT_TIME] = one.first_ps
        state[number, SourceState.LEFT] = one.packets
        state[number, SourceState.NEXT_CYCLE] = one.first_cycle
        if one.kind == POISSON or one.flows or len(one.sizes) > 1:
            state[number, SourceState.DICE : SourceState.DICE + 4] = dice(
                profile.simulation.seed, f"source {number} {owner.name}"
            )
        if one.flows:
            law[number, SourceLaw.PACKETS] = len(table)
            table += one.flows
            bits = draw(state, number, SourceState.DICE)
            state[number, SourceState.LEFT] = flow_frames(bits, 2, _ints(one.flows))
    recorded = _Recorded(len(size_bytes))
    for number, owner in enumerate(found):
        if owner.law.recording is not None:
            law[number] = recorded.add(owner, int(start[number]))
            state[number, SourceState.NEXT_TIME] = owner.law.first_ps
            state[number, SourceState.LEFT] = owner.law.packets
    # What rides from the talker on has no frames of its own there.
    talking = np.flatnonzero([not owner.leads for owner in found])
    first_port = _ints(found[number].ports[0].number for number in talking.tolist())
    # A list sorted by time is a heap already.
    heap = talking[np.lexsort((talking, state[talking, SourceState.NEXT_TIME], first_port))]
    heap_first = np.searchsorted(np.sort(first_port), np.arange(ports + 1))
    return Sources(
        first=heap_first.astype(np.int64),
        heap=aligned(np.column_stack((state[heap, SourceState.NEXT_TIME], heap))),
        state=state,
        law=law,
        size_bytes=np.concatenate((_ints(size_bytes), *recorded.sizes)),
        size_limit=_ints(size_limit),
        log_table=_ints(table),
        recorded_ps=np.concatenate((zeros((0,)), *recorded.times)),
    )


class _Recorded:
    """Times and sizes of recorded sources, one behind the other; sizes behind those of others."""

    def __init__(self, sizes_before: int) -> None:
        self.times: list[Ints] = []
        self.sizes: list[Ints] = []
        self.length, self.before = 0, sizes_before

    def add(self, owner: FrameSource, start: int) -> tuple[int, ...]:
        """Add a source, and return its row of laws."""
        law, recording = owner.law, owner.law.recording
        assert recording is not None, "a recorded source has one"
        at, count = self.length, len(recording.times_ps)
        self.times.append(np.array(recording.times_ps, dtype=np.int64))
        self.sizes.append(np.array(recording.frame_bytes, dtype=np.int64))
        self.length += count
        first = self.before + at
        return law.kind, at, count, law.packets, start, first, first + 1, 0


def _limits(weights: Sequence[int]) -> list[int]:
    """Return the bounds below which a 32-bit draw takes each size."""
    total = sum(weights)
    sums = [sum(weights[: i + 1]) for i in range(len(weights))]
    return [(part << 32) // total for part in sums]


def _ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)
