"""Who sends frames in a run, over which ports, by which law of arrivals, and when at all."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from math import ceil, gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible, InputError, Problem
from qnet.model.flow_sizes import mean_frames
from qnet.model.loads import every_demand
from qnet.model.outages import Span
from qnet.model.plan import DemandPlan, PathPlan, Plan, StreamPlan
from qnet.model.recording import CapturedFrames
from qnet.model.topology import Port, Topology
from qnet.model.traffic import (
    Demand,
    Profile,
    RecordedDemand,
    Stream,
    TrafficClass,
)
from qnet.simulate.clocks.events import clock_settings, is_set_otherwise, reached_ps
from qnet.simulate.clocks.kernels import ClockTable, due_from
from qnet.simulate.draws import integers
from qnet.simulate.ports.parts import TIMED
from qnet.simulate.versions import ALWAYS, Version, attack_versions, versions_of
from qnet.simulate.world import (
    FLOWS,
    NEVER,
    PACED,
    PERIODIC,
    POISSON,
    RECORDED,
)
from qnet.units import PPB, PS_PER_S, ceil_div, wire_bytes

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
    flows: tuple[int, ...] = ()
    """Of a source of flows: mean pause and shift, then frames and limit of each point."""
    first_step: int = 0
    """How many of these are left out, all of an interval or none, since the clock would show them
    before time zero."""
    recording: CapturedFrames | None = None
    """Of a recorded source: its frames."""

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
            if isinstance(demand, RecordedDemand):
                law = _recorded_law(demand, self.profile.simulation.duration_ps)
            else:
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


def _recorded_law(demand: RecordedDemand, end_ps: int) -> ArrivalLaw:
    """Return the law of what was captured; one that sends nothing counts a little all the same."""
    recording = demand.recording
    return ArrivalLaw(
        RECORDED,
        gap=0,
        shift=0,
        packets=1,
        first_ps=recording.times_ps[0] if recording.times_ps else NEVER,
        first_cycle=0,
        period_cycles=0,
        sizes=demand.sizes,
        frames_per_s=max(recording.frames_before(end_ps), 1) * PS_PER_S / end_ps,
        recording=recording,
    )


def _as_fine(mean_ps: Fraction) -> tuple[int, int]:
    """Return an exponential law of a mean as fine as 62 bits allow, as gap and shift.

    A draw is below 2**25, in units of 2**-20 times the mean.
    """
    shift = 62 - 25 - ceil_div(mean_ps.numerator, mean_ps.denominator).bit_length()
    return int(mean_ps * Fraction(2) ** shift), shift + 20


def _flow_law(demand: Demand, left: Fraction, start_ps: int, frames_per_s: float) -> ArrivalLaw:
    """Return the law of flows that come one after the other, each at the access rate.

    What a frame leaves of its mean time, `left`, is on average what it adds to the pause behind.
    """
    points, access_bps = demand.flow_sizes, demand.access_rate_bps
    assert points is not None, "it was asked for"
    assert access_bps is not None, "it goes with flow sizes"
    common = gcd(8 * PS_PER_S, access_bps)
    pause = max(mean_frames(points) * left, Fraction(0))
    limits = [(frames, (share << 32) // PPB) for frames, share in points]
    return ArrivalLaw(
        FLOWS,
        access_bps // common,
        8 * PS_PER_S // common,
        0,
        start_ps,
        0,
        0,
        demand.sizes,
        frames_per_s,
        flows=(*_as_fine(pause), *(one for limit in limits for one in limit)),
    )


def _demand_law(demand: Demand, rate_bps: int, part: int, seed: int) -> ArrivalLaw:
    """Return the law of a demand's part; a part of random arrivals is random by itself."""
    if rate_bps <= 0:
        words = f"a part of {rate_bps} b/s; a part carries more"
        raise InputError([Problem("plan", 0, 0, demand.name, words)])
    weight = sum(weight for _, weight in demand.sizes)
    wire_sum = sum(wire_bytes(size) * weight for size, weight in demand.sizes)
    frames_per_s = rate_bps * weight / (8 * wire_sum)
    mean_gap_ps = ceil_div(8 * PS_PER_S * wire_sum, rate_bps * weight)
    at_once = demand.burst_packets
    if demand.flow_sizes is not None:
        at_once = ceil(mean_frames(demand.flow_sizes))
    (start_ps,) = integers(seed, f"start {demand.name} {part}", 1, mean_gap_ps * at_once)
    mean_gap = Fraction(8 * PS_PER_S * wire_sum, rate_bps * weight)
    if demand.arrival == "poisson":
        gap, shift = _as_fine(mean_gap)
        return ArrivalLaw(POISSON, gap, shift, 1, start_ps, 0, 0, demand.sizes, frames_per_s)
    if demand.flow_sizes is not None:
        assert demand.access_rate_bps is not None, "it goes with flow sizes"
        mean_line = mean_gap * rate_bps / demand.access_rate_bps
        return _flow_law(demand, mean_gap - mean_line, start_ps, frames_per_s)
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
