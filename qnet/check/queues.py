"""Bounds for classes that reserve nothing: strict priority, credit and asynchronous shaping.

What a stream or a demand sends, or a shaper lets through, is held by a token bucket: in any time t,
no more than `burst + rate * t` bytes. At a port, all times in line time, with B and R the sums of
the bursts and rates of a frame's own class, B_H and R_H those of the classes above it, l the frame
itself and L the longest frame below:

- *Strict priority.* Its last bit has left after (B_H + B - l + L) / (1 - R_H) + m at most, if
  R + R_H <= 1, with m the frame without the gap that follows it: from when its class and those
  above last had nothing to send, one frame below was in the way, and the rest is what came before
  it and what came above it until it began to leave.
- *Credit*, of the highest class, with S its idle slope in parts of the rate: L + (B - l) / S + m,
  if R <= S. When a frame begins, either credit has just come to zero, and all that was sent since
  it last was zero took S of the time, or one frame below was in the way after that.
- *Asynchronous shaping.* As strict priority, but streams have their buckets anew at each port,
  since the shaper's wait is within the bound of the port before (Le Boudec, A theory of traffic
  regulators for deterministic networks, 2018). At the first port it may be short of its rate.

What comes over one wire comes one after the other: one frame at once, and then no more than the
wire's rate, but for what processing varies by. Instead of B there stands the most that can have
come in any time, less what has been sent in it. Without a shaper, a burst grows with all that a
frame's delay may vary by before a port. A class is gone through from port to port in the order of
ways, so nothing is proven of one whose traffic goes in a circle without shapers, nor of those below
it; nor below or beside arrivals that have no bucket (poisson) and reserved cycles, nor with gates
that a plan makes, weights, preemption or nodes that cut through. Lists of gates that are given are
counted in `windows`. All is counted in whole numbers, rounded up.

Three streams of one 1,500-byte frame (12.16 us at 1 Gb/s with preamble and gap) and bulk of 1,518
bytes below (12.304 us), of which one has just begun: 3 * 12.16 + 12.304 - 0.096 = 48.688 us.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from qnet.check.line import ceil_div, last_bit_ps, serialisation_ps, wire_bytes
from qnet.check.trees import own_ports, ridden
from qnet.check.windows import ClassArrivals, GivenList, begins_after_ps, given
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.recording import CapturedFrames
from qnet.model.topology import Port, Topology
from qnet.model.traffic import (
    Demand,
    IdleSlope,
    Profile,
    RecordedDemand,
    Stream,
    TrafficClass,
)
from qnet.units import PPB, PS_PER_S

RESERVED = -1
"""In place of the rank of a class: above all others, and without a bucket."""

WHOLE = 10**18
"""Rates are counted in parts of 10**-18: of a byte per picosecond, and of a port's rate."""

BYTE = 10**9
"""Bursts are counted in parts of 10**-9 bytes."""


@dataclass
class _Flow:
    """One path of a stream or part of a demand, as it is from port to port."""

    name: str
    rank: int
    ports: Sequence[Port]
    sizes: Sequence[int]
    rate: int
    """Wire bytes per picosecond, in parts of WHOLE."""
    burst: int | None
    """Wire bytes at the port that is next, in parts of BYTE; None where nothing bounds them."""
    high_ps: int | None
    """Bound of the latency so far."""
    is_shaped: bool = False
    low_ps: int = 0
    ridden: frozenset[Port] = frozenset()
    """Ports at which its frames are those of another flow, a leg of the same tree, and no more."""

    def load(self, port: Port) -> _Load:
        """Return what the flow may bring to a port."""
        assert self.burst is not None, "asked only where there is a bucket"
        # A size takes whole picoseconds, so that small ones may take more than their share.
        lines = [(wire_bytes(one), serialisation_ps(one, port.rate_bps)) for one in self.sizes]
        return _Load(
            max(ceil_div(self.burst * line_ps, BYTE * size) for size, line_ps in lines),
            max(ceil_div(self.rate * line_ps, size) for size, line_ps in lines),
        )


class _Load(NamedTuple):
    """A token bucket in line time of a port: picoseconds, and parts of WHOLE."""

    burst_ps: int
    rate: int

    def within(self, time_ps: int) -> int:
        """Return what may come in a time."""
        return self.burst_ps + ceil_div(self.rate * time_ps, WHOLE)


_NOTHING = _Load(0, 0)


@dataclass
class _Above:
    """What the classes above one bring to a port, one by one where a gate list is given."""

    is_known: bool
    load: _Load = _NOTHING
    gates: GivenList | None = None
    members: dict[str, tuple[_Load, int] | None] = field(default_factory=dict)
    """By class: its load, and how long its own frames may take; None where that is not known."""


_Flows = Mapping[int, Mapping[int, Mapping[Port | None, Sequence[_Flow]]]]
"""[port][rank][port before]: what passes there; None before a talker's own port."""


def queue_bounds(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    streams: Sequence[tuple[Stream, StreamPlan]],
    demands: Sequence[tuple[Demand, DemandPlan]],
    slopes_bps: Mapping[tuple[int, str], int] | None = None,
) -> dict[str, tuple[int, int]]:
    """Return least and largest latency of each stream that reserves nothing, where there is one.

    The plan must have no faults. Idle slopes as reserved, by port and class, are those of the
    streams unless they are given.
    """
    flows = list(_flows(topology, profile, streams, demands))
    lists = given(topology, profile)
    gated = {made.port for made in plan.gates} - lists.keys()
    at: dict[int, dict[int, dict[Port | None, list[_Flow]]]] = {}
    for flow in flows:
        for near, port in pairwise((None, *flow.ports)):
            assert port is not None, "only the first has none before it"
            ranks = at.setdefault(port.number, {})
            ranks.setdefault(flow.rank, defaultdict(list))[near].append(flow)
    above = {}
    for port in map(topology.ports.__getitem__, at):
        made = lists.get(port.name)
        holds = made is not None and any(change.holds for change in made.changes)
        is_covered = _is_covered(topology, profile, port, at[port.number], holds=holds)
        is_known = is_covered and port.name not in gated
        above[port.number] = _Above(is_known, gates=made if is_covered else None)
    by_srp = any(one.idle_slope == IdleSlope() for one in profile.classes)
    if slopes_bps is None:
        slopes_bps = reserved_bps(topology, streams) if by_srp else {}
    done = set()
    for number, rank in _in_order(flows, at):
        done.add((number, rank))
        one = None if rank == RESERVED else profile.strict_classes[rank]
        port = topology.ports[number]
        if above[number].gates is None or one is None:
            slope = None if one is None else _slope(one, port, slopes_bps)
            _pass(topology, port, at[number], rank, slope, above[number])
        else:
            _pass_windows(topology, profile, port, at[number], rank, above[number])
    wanted = {one.name for one in profile.every_stream if not profile.is_reserved(one)}
    unproven = {one.name for one in profile.every_stream if one.damper}
    found: dict[str, tuple[int, int]] = {}
    for flow in flows:
        if flow.high_ps is None or any((port.number, flow.rank) not in done for port in flow.ports):
            unproven.add(flow.name)
        else:
            low_ps, high_ps = found.get(flow.name, (flow.low_ps, flow.high_ps))
            found[flow.name] = min(low_ps, flow.low_ps), max(high_ps, flow.high_ps)
    wanted -= unproven
    return {name: pair for name, pair in found.items() if name in wanted}


def _is_covered(
    topology: Topology,
    profile: Profile,
    port: Port,
    here: Mapping[int, Mapping[Port | None, Sequence[_Flow]]],
    *,
    holds: bool,
) -> bool:
    """Say whether nothing that passes a port takes turns, is cut, is held or cuts through.

    Preemptable frames are cut by others, and held by a gate list that holds any.
    """
    classes = [None if rank == RESERVED else profile.strict_classes[rank] for rank in here]
    turns = Counter(one.priority for one in classes if one and one.weight is not None)
    cut = {bool(one and one.preemptable) for one in classes}
    befores = {near for groups in here.values() for near in groups if near is not None}
    quick = topology.node_by_name[port.source].cut_through_bytes is not None
    return (
        all(count == 1 for count in turns.values())
        and len(cut) == 1
        and not (holds and True in cut)
        and not (quick and any(near.rate_bps == port.rate_bps for near in befores))
    )


def _flows(
    topology: Topology,
    profile: Profile,
    streams: Sequence[tuple[Stream, StreamPlan]],
    demands: Sequence[tuple[Demand, DemandPlan]],
) -> Iterator[_Flow]:
    rank = {one.name: number for number, one in enumerate(profile.strict_classes)}
    rides = ridden(streams)
    for stream, entry in streams:
        for path in entry.paths:
            ports = [topology.port_by_name[name] for name in path.ports]
            shared = frozenset(ports[: rides.get(stream.name, 0)])
            one = profile.class_by_name[stream.traffic_class]
            if one.residence_ps is not None:
                shaped = _shaped(stream, rank[one.name], ports, one.residence_ps, profile)
                shaped.ridden = shared
                yield shaped
            else:
                sent = (stream.max_packets + stream.excess_packets) * wire_bytes(stream.frame_bytes)
                yield _Flow(
                    stream.name,
                    rank.get(one.name, RESERVED),
                    ports,
                    (stream.frame_bytes,),
                    ceil_div(sent * WHOLE, stream.interval_ps),
                    None if one.reserves else sent * BYTE,
                    None if one.reserves else 0,
                    ridden=shared,
                )
    for demand, placed in demands:
        sizes = [size for size, _ in demand.sizes]
        for part in placed.parts:
            rate = ceil_div(part.rate_bps * WHOLE, 8 * PS_PER_S)
            burst = None if demand.arrival in ("poisson", "flows") else _burst(demand, rate)
            if isinstance(demand, RecordedDemand):
                burst = recorded_burst(demand.recording, rate)
            yield _Flow(
                "",
                rank[demand.traffic_class],
                [topology.port_by_name[name] for name in part.ports],
                sizes,
                rate,
                burst,
                None,
            )


def _burst(demand: Demand, rate: int) -> int:
    """Return the burst of a demand of even arrivals, in parts of BYTE.

    Times of sending are rounded down to a picosecond, which what one brings makes good.
    """
    longest = max(wire_bytes(size) for size, _ in demand.sizes)
    return demand.burst_packets * longest * BYTE + ceil_div(rate * BYTE, WHOLE)


@lru_cache(maxsize=4096)
def recorded_burst(recording: CapturedFrames, rate: int) -> int:
    """Return the burst of what was captured, beside a rate: more never comes in any window.

    The rate is in wire bytes per picosecond, in parts of WHOLE, the burst in parts of BYTE. It is
    the highest that a bucket of that rate stands after any frame. Three frames of 84 bytes on the
    wire at 0, 10 and 1000 ns beside 8 Gb/s, a byte a nanosecond: 84, 158, 84; so 158 bytes.
    """
    highest = level = last_ps = 0
    for time_ps, size in zip(recording.times_ps, recording.frame_bytes, strict=True):
        level = max(level - rate * (time_ps - last_ps), 0) + wire_bytes(size) * WHOLE
        highest, last_ps = max(highest, level), time_ps
    return ceil_div(highest * BYTE, WHOLE)


def _shaped(
    stream: Stream, rank: int, ports: Sequence[Port], residence_ps: int, profile: Profile
) -> _Flow:
    """Return a stream behind shapers: what they let through, and how long the first may hold it.

    A frame takes `recovery` of the time that the bucket fills in, in whole picoseconds; so the
    frames of an interval may take a little more than that, which adds up over a run.
    """
    on_wire = wire_bytes(stream.frame_bytes)
    recovery_ps = ceil_div(on_wire * 8 * PS_PER_S, stream.rate_bps)
    filling_ps = ceil_div(stream.burst_bytes * 8 * PS_PER_S, stream.rate_bps)
    taken_ps = (stream.max_packets + stream.excess_packets) * recovery_ps
    intervals = ceil_div(profile.simulation.duration_ps, stream.interval_ps)
    held_ps = max(taken_ps - filling_ps, 0)
    held_ps += max(taken_ps - stream.interval_ps, 0) * intervals
    return _Flow(
        stream.name,
        rank,
        ports,
        (stream.frame_bytes,),
        ceil_div(on_wire * WHOLE, recovery_ps),
        ceil_div(filling_ps * on_wire * BYTE, recovery_ps),
        min(held_ps, residence_ps),
        is_shaped=True,
    )


def _in_order(flows: Iterable[_Flow], at: _Flows) -> Iterator[tuple[int, int]]:
    """Yield ports with ranks, each after what its bound is made of.

    Those are the ranks above at the port, and the ports before it of flows whose bursts grow. What
    is in a circle is left out, and all that needs it.
    """
    after: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for number, ranks in at.items():
        for high, low in pairwise(sorted(ranks)):
            after[number, high].add((number, low))
    for flow in flows:
        if flow.burst is not None and not flow.is_shaped:
            for near, far in pairwise(flow.ports):
                after[near.number, flow.rank].add((far.number, flow.rank))
    needed = Counter(one for found in after.values() for one in found)
    every = [(number, rank) for number, ranks in at.items() for rank in ranks]
    ready = [one for one in every if not needed[one]]
    while ready:
        one = ready.pop()
        yield one
        for onward in after[one]:
            needed[onward] -= 1
            if not needed[onward]:
                ready.append(onward)


def reserved_bps(
    topology: Topology, streams: Sequence[tuple[Stream, StreamPlan]]
) -> Mapping[tuple[int, str], int]:
    """Return by port and class what SRP reserves: line time of an interval's frames, as a rate."""
    ports = topology.port_by_name
    found: Counter[tuple[int, str]] = Counter()
    for stream, names in own_ports(streams):
        for port in (ports[name] for name in names if name in ports):
            found[port.number, stream.traffic_class] += asked_bps(stream, port)
    return found


def asked_bps(stream: Stream, port: Port) -> int:
    """Return what SRP reserves for one stream at a port."""
    taken_ps = serialisation_ps(stream.frame_bytes, port.rate_bps) * stream.max_packets
    asked = ceil_div(taken_ps * port.rate_bps, stream.interval_ps)
    return max(asked, stream.committed_rate_bps or 0)


def _slope(
    one: TrafficClass, port: Port, reserved_bps: Mapping[tuple[int, str], int]
) -> int | None:
    """Return a class's idle slope at a port in parts of its rate, or None without credit."""
    if one.idle_slope is None:
        return None
    if one.idle_slope.share_ppb is not None:
        return one.idle_slope.share_ppb * (WHOLE // PPB)
    slope_bps = one.idle_slope.rate_bps
    if slope_bps is None:
        slope_bps = reserved_bps.get((port.number, one.name), 0)
    return min(slope_bps * WHOLE // port.rate_bps, WHOLE)


def _pass(
    topology: Topology,
    port: Port,
    here: Mapping[int, Mapping[Port | None, Sequence[_Flow]]],
    rank: int,
    slope: int | None,
    above: _Above,
) -> None:
    """Take the flows of one class through a port; with credit, `slope` is its share of the rate."""
    flows = [flow for members in here[rank].values() for flow in members]
    above.is_known &= all(flow.burst is not None for flow in flows)
    above.is_known &= slope is None or rank == min(here)
    share = WHOLE - above.load.rate if slope is None else slope
    whole, backlog_ps = _NOTHING, 0
    if above.is_known:
        buckets = [_bucket(port, members) for members in here[rank].values()]
        wires = [_wire(topology, near, port, members) for near, members in here[rank].items()]
        whole = _sum(buckets)
        above.is_known = 0 < share >= whole.rate
        backlog_ps = _backlog_ps(buckets, wires, share)
    below = [
        max(flow.sizes)
        for other, groups in here.items()
        if other > rank
        for members in groups.values()
        for flow in members
    ]
    below_ps = serialisation_ps(max(below), port.rate_bps) - 1 if below else 0
    for flow in flows:
        most_ps = None
        if above.is_known:
            first_ps, once_ps = backlog_ps, below_ps
            if slope is None:
                first_ps, once_ps = backlog_ps + above.load.burst_ps + below_ps, 0
            most_ps = once_ps + max(
                ceil_div((first_ps - serialisation_ps(size, port.rate_bps)) * WHOLE, share)
                + last_bit_ps(size, port.rate_bps)
                for size in flow.sizes
            )
        _leave(topology, port, flow, most_ps)
    above.load = _sum([above.load, whole])
    # What leaves a queue that waits for credit comes in other bursts than it came in.
    above.is_known &= slope is None


def _pass_windows(
    topology: Topology,
    profile: Profile,
    port: Port,
    here: Mapping[int, Mapping[Port | None, Sequence[_Flow]]],
    rank: int,
    above: _Above,
) -> None:
    """Take the flows of one class through a port whose gate list is given."""
    gates, name = above.gates, profile.strict_classes[rank].name
    assert gates is not None, "only ports with a list that is given come here"
    flows = [flow for members in here[rank].values() for flow in members]
    higher = [one for other, one in above.members.items() if gates.meet(other, name)]
    known = [one for one in higher if one is not None]
    load = None
    is_paced = profile.strict_classes[rank].idle_slope is not None
    if not is_paced and len(known) == len(higher) and all(one.burst is not None for one in flows):
        load = _bucket(port, flows)
    slowest_ps: int | None = 0
    begins: dict[int, int | None] = {}
    for flow in flows:
        own_ps = serialisation_ps(min(flow.sizes), port.rate_bps)
        if load is not None and own_ps not in begins:
            waiting = ClassArrivals(
                name,
                load.burst_ps - own_ps,
                load.rate,
                WHOLE,
                max(serialisation_ps(max(one.sizes), port.rate_bps) for one in flows),
                sum(each.within(most_ps) for each, most_ps in known),
                sum(each.rate for each, _ in known),
                _below_ps(profile, port, here, rank),
            )
            clock = topology.node_by_name[port.source].clock
            begins[own_ps] = begins_after_ps(gates, clock, waiting)
        begin_ps = begins.get(own_ps)
        most_ps = None if begin_ps is None else begin_ps + own_ps
        # A longer frame ends no later than this; before its end is a gap, of one its rounding more.
        gap_ps = min(
            serialisation_ps(size, port.rate_bps) - last_bit_ps(size, port.rate_bps)
            for size in flow.sizes
        )
        _leave(topology, port, flow, None if most_ps is None else most_ps - gap_ps)
        slowest_ps = None if most_ps is None or slowest_ps is None else max(slowest_ps, most_ps)
    above.members[name] = None if load is None or slowest_ps is None else (load, slowest_ps)


def _below_ps(
    profile: Profile,
    port: Port,
    here: Mapping[int, Mapping[Port | None, Sequence[_Flow]]],
    rank: int,
) -> dict[str, int]:
    """Return how long a frame of each class below one may be in the way, once it has begun."""
    return {
        profile.strict_classes[other].name: max(
            serialisation_ps(max(flow.sizes), port.rate_bps) - 1
            for members in groups.values()
            for flow in members
        )
        for other, groups in here.items()
        if other > rank
    }


def _bucket(port: Port, flows: Iterable[_Flow]) -> _Load:
    """Return what some flows may bring to a port together, of each tree one frame."""
    return _sum(flow.load(port) for flow in flows if port not in flow.ridden)


def _sum(loads: Iterable[_Load]) -> _Load:
    bursts_ps, rates = zip(*loads, strict=True)
    return _Load(sum(bursts_ps), sum(rates))


def _wire(
    topology: Topology, near: Port | None, port: Port, flows: Sequence[_Flow]
) -> _Load | None:
    """Return what a wire lets through to a port; None for a talker, and behind shapers.

    There frames that came one after the other may be let go together.
    """
    if near is None or any(flow.is_shaped for flow in flows):
        return None
    processing = topology.node_by_name[port.source].processing
    varies_ps = processing.high_ps - processing.low_ps
    sizes = {size for flow in flows for size in flow.sizes}
    lines = {
        one: (serialisation_ps(one, port.rate_bps), serialisation_ps(one, near.rate_bps))
        for one in sizes
    }
    rate = max(ceil_div(WHOLE * here_ps, there_ps) for here_ps, there_ps in lines.values())
    first_ps = max(here_ps for here_ps, _ in lines.values())
    # Frames are in with their last bits, which are a gap before the end of line times: as far
    # apart as these, but for what the gap of one is rounded up more than that of another.
    gaps_ps = {there_ps - last_bit_ps(one, near.rate_bps) for one, (_, there_ps) in lines.items()}
    varies_ps += max(gaps_ps) - min(gaps_ps)
    return _Load(first_ps + ceil_div(rate * varies_ps, WHOLE), rate)


def _backlog_ps(buckets: Sequence[_Load], wires: Sequence[_Load | None], share: int) -> int:
    """Return the most that has come in any time, less what is sent in it with a share of the rate.

    It is largest at once, or where a bucket and its wire let the same through.
    """
    pairs = list(zip(buckets, wires, strict=True))
    times = [(0, 0)]
    for bucket, wire in pairs:
        if wire is not None and wire.rate != bucket.rate:
            apart, faster = (bucket.burst_ps - wire.burst_ps) * WHOLE, wire.rate - bucket.rate
            times.append((max(apart // faster, 0), max(ceil_div(apart, faster), 0)))
    return max(
        sum(min(one.within(most_ps) for one in pair if one is not None) for pair in pairs)
        - share * least_ps // WHOLE
        for least_ps, most_ps in times
    )


def _leave(topology: Topology, port: Port, flow: _Flow, most_ps: int | None) -> None:
    """Take a flow to the node after a port, that it leaves after `most_ps` if that is known."""
    own_ps = last_bit_ps(min(flow.sizes), port.rate_bps)
    low_ps = high_ps = port.propagation_ps
    if port is not flow.ports[-1]:
        processing = topology.node_by_name[port.target].processing
        low_ps += processing.low_ps
        high_ps += processing.high_ps
    flow.low_ps += own_ps + low_ps
    if most_ps is None:
        flow.high_ps = None
        if not flow.is_shaped:
            flow.burst = None
        return
    if flow.high_ps is not None:
        flow.high_ps += most_ps + high_ps
    if not flow.is_shaped and flow.burst is not None:
        varies_ps = most_ps + high_ps - own_ps - low_ps
        flow.burst += ceil_div(flow.rate * varies_ps * BYTE, WHOLE)
