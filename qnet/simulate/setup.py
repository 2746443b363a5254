"""Nouns to arrays: everything that the kernels need, laid out once before a run."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import chain
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible, InputError, Problem
from qnet.kernel import aligned, zeros
from qnet.model.fields import FRAME_BYTES_HIGHEST, FRAME_BYTES_LOWEST
from qnet.model.histogram import BIN_COUNT
from qnet.model.loads import every_demand
from qnet.model.outages import Span
from qnet.model.plan import DemandPlan, PathPlan, Plan, StreamPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import (
    Demand,
    Profile,
    Stream,
    TrafficClass,
)
from qnet.progress import Heeded
from qnet.simulate.clocks.events import clock_settings, is_set_otherwise, reached_ps
from qnet.simulate.clocks.kernels import ClockTable, due_from
from qnet.simulate.draws import dice, integers, log_table
from qnet.simulate.ports.parts import TIMED
from qnet.simulate.settings import PortState, port_states
from qnet.simulate.versions import ALWAYS, Version, attack_versions, versions_of
from qnet.simulate.world import (
    BLOCK_BINS,
    GAP_BYTES,
    NEVER,
    PACED,
    PERIODIC,
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
    Sources,
    SourceState,
    Tally,
    World,
)
from qnet.units import PS_PER_S, ceil_div, last_bit_ps, wire_bytes

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ArrivalLaw:
    """How one source sends; see `kernels.advance` for gap and shift."""

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
    """How many of these are left out, all of an interval or none, since the clock would show them
    before time zero."""

    @property
    def first_number(self) -> int:
        """Return the number of the first frame that is sent, from 0."""
        return self.first_step * self.packets

    def born_before(self, time_ps: int) -> int:
        """Return how many frames of a stream without gates are born before a time."""
        return max(-(-(time_ps - self.first_ps) // self.gap), 0) * self.packets


class Turn(NamedTuple):
    """A time in which what is born of a source is sent, and the numbers of its frames then.

    Numbers are those of a stream of two paths; the second is one more than the last.
    """

    from_ps: int
    until_ps: int
    number: int = 0
    over: int = NEVER
    step: int = 0
    """Of a timed source: how many frames of its table, in all its rounds, are before the turn."""


@dataclass(frozen=True)
class FrameSource:
    """One path of a stream or one part of a demand: a source, a route and a row of counts."""

    name: str
    rank: int
    ports: tuple[Port, ...]
    cycles: tuple[int, ...]
    law: ArrivalLaw
    traffic_class: TrafficClass
    hold_ps: int | None = None
    """When a damper hands a frame over, after its birth."""
    queues: tuple[int, ...] = ()
    """Of a gated stream: its queue at each port."""
    stream: Stream | None = None
    elimination: int | None = None
    """Number, counting on from the last port, of the point where copies of the stream meet."""
    leads: tuple[int, ...] = ()
    """Of a leg of a stream with several listeners, for the ports from the first on that it *rides*
    at: numbers of the legs whose frames are there for it too. Behind them its frames are its own.
    """
    version: int = 0
    """Which entry of its stream or demand it is of; see `qnet.simulate.versions`."""
    turns: tuple[Turn, ...] = (Turn(0, NEVER),)
    has_copies: bool = False
    """Whether its stream has two paths, by any of its versions: its frames have numbers then."""

    @property
    def is_always_on(self) -> bool:
        """Tell whether all that is born of it is sent."""
        return len(self.turns) == 1 and self.turns[0][:2] == (0, NEVER)

    @property
    def called(self) -> str:
        """What its frames are called on the wire, where they may be there for other legs too."""
        return self.name if self.stream is None else self.stream.tree

    @property
    def own_ports(self) -> int:
        """Ports at which it has frames of its own."""
        return len(self.ports) - len(self.leads)

    @property
    def servers(self) -> tuple[int, ...]:
        """Numbers of the ports on the way, and of the point where copies meet."""
        numbers = tuple(port.number for port in self.ports)
        return numbers if self.elimination is None else (*numbers, self.elimination)


def sources_of(topology: Topology, profile: Profile, plan: Plan) -> tuple[FrameSource, ...]:
    """List what sends frames: of each version of a stream the paths, of a demand the parts.

    Attacks follow, each a source that goes one way. Raises InputError for a move that cannot be.
    """
    versions = [*versions_of(profile, plan), *attack_versions(topology, profile)]
    maker = _SourceMaker(topology, profile, plan, versions)
    found = [
        one
        for version in versions
        for one in (
            maker.of_stream(version, version.entry)
            if isinstance(version.entry, StreamPlan)
            else maker.of_demand(version, version.entry)
        )
    ]
    return tuple(_join_legs(_number_turns(found)))


class _SourceMaker:
    """Makes the sources of versions."""

    def __init__(
        self, topology: Topology, profile: Profile, plan: Plan, versions: Sequence[Version]
    ) -> None:
        self.topology, self.profile, self.plan = topology, profile, plan
        self.stream_by_name = {stream.name: stream for stream in profile.every_stream}
        self.demand_by_name = {demand.name: demand for demand in every_demand(profile)}
        self.rank = {one.name: i + 1 for i, one in enumerate(profile.strict_classes)}
        self.clock_of = cache(clock_settings(topology, profile).table_of)
        twofold = {
            one.entry.name
            for one in versions
            if isinstance(one.entry, StreamPlan) and len(one.entry.paths) > 1
        }
        self.twofold = twofold
        meeting = (
            one.name
            for one in plan.streams
            if one.name in twofold and self.stream_by_name[one.name].recovery is not None
        )
        self.elimination = {name: len(topology.ports) + i for i, name in enumerate(meeting)}

    def of_stream(self, version: Version, promise: StreamPlan) -> Iterator[FrameSource]:
        """Yield the paths of one entry of a stream."""
        profile, stream = self.profile, self.stream_by_name[promise.name]
        tables = {
            place: self._timetable(stream, path)
            for place, path in enumerate(promise.paths)
            if path.starts_ps
        }
        timed: dict[int, tuple[Turn, ...]] = {}
        if tables and version.spans != ALWAYS:
            end_ps = profile.simulation.duration_ps
            turns_by_path = _timed_turns([*tables.values()], version.spans, end_ps)
            timed = dict(zip(tables, turns_by_path, strict=True))
        for place, path in enumerate(promise.paths):
            ports = tuple(self.topology.port_by_name[name] for name in path.ports)
            turns = timed.get(place, tuple(Turn(*span) for span in version.spans))
            if path.starts_ps:
                law = _timed_law(stream, tables[place])
            else:
                law = _stream_law(stream, promise.send_ps, path.cycles, self.plan, profile)
            yield FrameSource(
                stream.name,
                self.rank.get(stream.traffic_class, 0),
                ports,
                path.cycles,
                self._in_its_time(law, version),
                profile.class_by_name[stream.traffic_class],
                promise.hold_ps,
                path.queues,
                stream,
                self.elimination.get(stream.name),
                version=version.number,
                turns=turns,
                has_copies=stream.name in self.twofold,
            )

    def _timetable(self, stream: Stream, path: PathPlan) -> _Timetable:
        """Return the times of a gated stream: those at which its first port has its frames."""
        assert self.plan.gate_cycle_ps is not None, "gated streams have a gate cycle"
        port = self.topology.port_by_name[path.ports[0]]
        phase_ps = self.topology.node_by_name[port.source].clock.phase_ps
        return _Timetable(
            tuple(phase_ps + starts[0] for starts in path.starts_ps),
            self.plan.gate_cycle_ps,
            self.clock_of(port.source),
            stream.max_packets,
            1 + stream.excess_packets,
        )

    def of_demand(self, version: Version, placed: DemandPlan) -> Iterator[FrameSource]:
        """Yield the parts of one entry of a demand."""
        demand = self.demand_by_name[placed.name]
        for i, part in enumerate(placed.parts):
            if not version.is_sent(part.rate_bps):
                continue
            rate_bps = version.rate_bps(part.rate_bps)
            law = _demand_law(demand, rate_bps, i, self.profile.simulation.seed)
            yield FrameSource(
                demand.name,
                self.rank[demand.traffic_class],
                tuple(self.topology.port_by_name[name] for name in part.ports),
                (),
                self._in_its_time(law, version),
                self.profile.class_by_name[demand.traffic_class],
                version=version.number,
                turns=tuple(Turn(*span) for span in version.spans),
            )

    def _in_its_time(self, law: ArrivalLaw, version: Version) -> ArrivalLaw:
        """Have a source that sends at some times only count as much less, where work is shared.

        One that never sends counts a little: ports that nothing goes over are not served, and those
        behind them would wait for them for ever.
        """
        if version.spans == ALWAYS:
            return law
        end_ps = self.profile.simulation.duration_ps
        sends_ps = sum(min(until_ps, end_ps) - from_ps for from_ps, until_ps in version.spans)
        return replace(law, frames_per_s=law.frames_per_s * max(sends_ps, 1) / end_ps)


def _number_turns(found: list[FrameSource]) -> list[FrameSource]:
    """Count the frames of streams with copies, on and on over the turns of all versions."""
    streams: dict[str, list[int]] = defaultdict(list)
    for number, owner in enumerate(found):
        if owner.has_copies:
            streams[owner.name].append(number)
    for rows in streams.values():
        if all(found[row].is_always_on for row in rows):
            for row in rows:
                turn = Turn(0, NEVER, found[row].law.first_number)
                found[row] = replace(found[row], turns=(turn,))
            continue
        if found[rows[0]].law.kind == TIMED:
            continue  # turns of these are made with numbers
        every = {turn[:2]: found[row].law for row in rows for turn in found[row].turns}
        numbered: dict[tuple[int, int], Turn] = {}
        number = 0
        for (from_ps, until_ps), law in sorted(every.items(), key=lambda one: one[0]):
            born = law.born_before(until_ps) - law.born_before(from_ps)
            numbered[from_ps, until_ps] = Turn(from_ps, until_ps, number, number + born)
            number += born
        for row in rows:
            turns = tuple(numbered[turn[:2]] for turn in found[row].turns)
            found[row] = replace(found[row], turns=turns)
    return found


def _join_legs(found: Sequence[FrameSource]) -> list[FrameSource]:
    """Say at which ports the legs of one tree have one frame, and which of them leads there.

    Of those that have come the same way it is the leg with the longest route, or of two of one
    length the first: so none that ends at a port leads others there.
    """
    trees: dict[str, list[int]] = defaultdict(list)
    for number, owner in enumerate(found):
        if owner.stream is not None and owner.stream.tree != owner.name:
            trees[owner.stream.tree].append(number)
    joined = list(found)
    for legs in trees.values():
        lead_of: dict[tuple[int, ...], int] = {}
        for number in sorted(legs, key=lambda one: (-len(found[one].ports), one)):
            way = found[number].servers
            leads = [lead_of.setdefault(way[: hop + 1], number) for hop in range(len(way))]
            riding = sum(lead != number for lead in leads)
            joined[number] = replace(found[number], leads=tuple(leads[:riding]))
    return joined


def _stream_law(
    stream: Stream, send_ps: int | None, cycles: Sequence[int], plan: Plan, profile: Profile
) -> ArrivalLaw:
    packets = stream.max_packets + stream.excess_packets
    frames_per_s = packets * PS_PER_S / stream.interval_ps
    if send_ps is None:
        who = stream.service + stream.talker if stream.start == "together" else stream.tree
        (send_ps,) = integers(profile.simulation.seed, f"start {who}", 1, stream.interval_ps)
    return ArrivalLaw(
        kind=PERIODIC,
        gap=stream.interval_ps,
        shift=0,
        packets=packets,
        first_ps=send_ps,
        first_cycle=cycles[0] if cycles else 0,
        period_cycles=stream.interval_ps // plan.cycle_ps,
        sizes=((stream.frame_bytes, 1),),
        frames_per_s=frames_per_s,
    )


class _Timetable(NamedTuple):
    """When a path of a gated stream has its frames, by the clock of the talker's node."""

    shown_ps: tuple[int, ...]
    """What the clock shows when the frames of one cycle of the gates are due."""
    cycle_ps: int
    clock: ClockTable
    in_interval: int
    """Frames of the table in an interval; those of one window go together."""
    copies: int
    """Frames that are sent at once, for what is sent beyond what was asked for."""

    def due_ps(self, number: int) -> int:
        """Return when a frame of the table is due, counted over all its rounds."""
        gone, step = divmod(number, len(self.shown_ps))
        shown = self.shown_ps[step] + gone * self.cycle_ps
        return int(due_from(shown, 0, 0, self.clock))

    def begins_ps(self, interval: int) -> int:
        """Return when the first frame of an interval is due."""
        first = interval * self.in_interval
        return min(self.due_ps(first + i) for i in range(self.in_interval))

    @property
    def left_out(self) -> int:
        """Intervals that would begin before time zero: none of their frames is sent."""
        interval = 0
        while self.begins_ps(interval) < 0:
            interval += 1
        return interval


def _timed_law(stream: Stream, table: _Timetable) -> ArrivalLaw:
    """Return the law of a gated stream, from the first interval on that it has as a whole."""
    first_step = table.left_out * table.in_interval
    times = len(table.shown_ps)
    return ArrivalLaw(
        kind=TIMED,
        gap=table.cycle_ps,
        shift=0,
        packets=table.copies,
        first_ps=table.due_ps(first_step),
        first_cycle=0,
        period_cycles=0,
        sizes=((stream.frame_bytes, 1),),
        frames_per_s=times * table.copies * PS_PER_S / table.cycle_ps,
        timetable=table.shown_ps,
        first_step=first_step,
    )


def _timed_turns(
    tables: Sequence[_Timetable], spans: Sequence[Span], end_ps: int
) -> list[tuple[Turn, ...]]:
    """Return when each path of a gated stream sends what is born in some spans of time.

    An interval goes over all paths, or over none, by when its first frame on any of them is born:
    so a path ends a turn when its first frame is due of the interval that is not sent any more. Of
    what would begin before time zero each path leaves out its own.
    """

    def first_from(time_ps: int) -> int:
        """Return the first interval that begins at a time or later, where it begins first."""
        return bisect_left(
            range(most), time_ps, key=lambda one: min(each.begins_ps(one) for each in tables)
        )

    one = tables[0]
    shown_ps = end_ps
    if is_set_otherwise(one.clock, 0):
        shown_ps += max(-reached_ps(one.clock, 0)[0], 0)
    most = (shown_ps // one.cycle_ps + 2) * len(one.shown_ps) // one.in_interval
    made: list[list[Turn]] = [[] for _ in tables]
    number = 0
    for from_ps, until_ps in spans:
        begin = first_from(from_ps) if from_ps > 0 else 0
        end = first_from(until_ps) if until_ps < end_ps else None
        for turns, table in zip(made, tables, strict=True):
            mine = max(begin, table.left_out)
            each = table.in_interval * table.copies
            first = number + (mine - begin) * each
            last_ps = NEVER if end is None else table.begins_ps(end)
            over = NEVER if end is None else number + (end - begin) * each
            begins_ps = table.begins_ps(mine) if from_ps > 0 else 0
            if begins_ps < min(last_ps, end_ps):
                step = mine * table.in_interval
                turns.append(Turn(begins_ps, last_ps, first, over, step))
        if end is not None:
            number += (end - begin) * one.in_interval * one.copies
    return [tuple(turns) for turns in made]


def _demand_law(demand: Demand, rate_bps: int, part: int, seed: int) -> ArrivalLaw:
    """Return the law of a demand's part; a part of random arrivals is random by itself."""
    if rate_bps <= 0:
        words = f"a part of {rate_bps} b/s; a part carries more"
        raise InputError([Problem("plan", 0, 0, demand.name, words)])
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
        return ArrivalLaw(
            POISSON, int(mean_gap), shift + 20, 1, start_ps, 0, 0, demand.sizes, frames_per_s
        )
    common = gcd(8 * PS_PER_S, rate_bps)
    longest = max(size for size, _ in demand.sizes)
    if demand.burst_packets * wire_bytes(longest) * (8 * PS_PER_S // common) >= NEVER:
        raise Infeasible(
            f"demand {demand.name}: a burst of {demand.burst_packets} frames at {rate_bps} bps "
            "is longer than qnet can time; use a rounder rate or a shorter burst"
        )
    return ArrivalLaw(
        PACED,
        rate_bps // common,
        8 * PS_PER_S // common,
        demand.burst_packets,
        start_ps,
        0,
        0,
        demand.sizes,
        frames_per_s,
    )


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
    sizes: dict[tuple[tuple[int, int], ...], int] = {}
    size_bytes: list[int] = []
    size_limit: list[int] = []
    for number, owner in enumerate(found):
        one = owner.law
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
        if one.kind == POISSON or len(one.sizes) > 1:
            state[number, SourceState.DICE : SourceState.DICE + 4] = dice(
                profile.simulation.seed, f"source {number} {owner.name}"
            )
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
