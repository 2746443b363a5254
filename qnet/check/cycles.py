"""Rules of streams that reserve cycles: when they are sent, where they go, what a cycle holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import lcm
from typing import NamedTuple

from qnet.check.findings import (
    FINDINGS_PER_PLACE,
    NUMBER_HIGHEST,
    Findings,
    exact_number,
    exact_time,
    is_sane,
)
from qnet.check.line import ceil_div, last_bit_ps, serialisation_ps, wire_bytes
from qnet.model.plan import Plan, StreamPlan
from qnet.model.proof import PortProof
from qnet.model.topology import Clock, Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.units import PS_PER_MS, PS_PER_S

CQF_BUFFERS = 2

HYPERCYCLE_HIGHEST = 1_000_000
"""Cycles of one port that are gone through; reservations that repeat later are refused."""

_PS_BITS_PER_BYTE = 8 * PS_PER_S
"""A rate in bit/s over a time in ps, divided by this, is a number of bytes."""


class ReservedHop(NamedTuple):
    """One port of a reserved route: its cycle, and the clock and processing of its node."""

    port: Port
    cycle: int
    clock: Clock
    processing_ps_min: int
    processing_ps_max: int


class Reservation(NamedTuple):
    """An admitted stream whose routes exist and whose cycles are numbers worth checking."""

    stream: Stream
    send_ps: int
    period: int
    """Cycles from one interval to the next."""
    paths: tuple[tuple[ReservedHop, ...], ...]
    hold_ps: int | None
    buffers: int
    is_cqf: bool
    rides: int = 0
    """Hops at the begin of its way where its frames are those of a leg of its tree before it."""

    @property
    def hops(self) -> Iterable[ReservedHop]:
        """Hops of all paths at which its frames count."""
        return (hop for path in self.paths for hop in path[self.rides :])


def reservation(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    pair: tuple[Stream, StreamPlan],
    routes: Sequence[tuple[Port, ...]],
    findings: Findings,
) -> Reservation | None:
    """Return the numbers of an admitted stream, or None when they cannot be checked on."""
    stream, entry = pair
    cycle_ps = topology.tcqf.cycle_ps
    if not is_sane(
        [entry.send_ps or 0, entry.hold_ps or 0, *(c for path in entry.paths for c in path.cycles)]
    ):
        findings.add("inputs", stream.name, f"a time or cycle beyond {NUMBER_HIGHEST}; ignored")
        return None
    if entry.send_ps is None:
        findings.add("ingress", stream.name, "admitted without a send time")
        return None
    if stream.damper != (entry.hold_ps is not None):
        what = "no hold time for its damper" if stream.damper else "a hold time, but no damper"
        findings.add("damper", stream.name, f"the plan has {what}")
        return None
    if stream.interval_ps % cycle_ps:
        findings.add(
            "inputs",
            stream.name,
            f"its interval of {exact_time(stream.interval_ps)} is no multiple of the cycle of "
            f"{exact_time(cycle_ps)}",
        )
        return None
    period = stream.interval_ps // cycle_ps
    if plan.hypercycle % period:
        findings.add(
            "inputs",
            stream.name,
            f"repeats every {period} cycles, which does not divide the hypercycle of "
            f"{exact_number(plan.hypercycle)} cycles",
        )
    paths = tuple(
        tuple(_hop(topology, port, cycle) for port, cycle in zip(ports, path.cycles, strict=True))
        for ports, path in zip(routes, entry.paths, strict=True)
    )
    is_cqf = profile.class_by_name[stream.traffic_class].mechanism == "cqf"
    buffers = CQF_BUFFERS if is_cqf else topology.tcqf.buffers
    return Reservation(stream, entry.send_ps, period, paths, entry.hold_ps, buffers, is_cqf)


def _hop(topology: Topology, port: Port, cycle: int) -> ReservedHop:
    node = topology.node_by_name[port.source]
    return ReservedHop(port, cycle, node.clock, node.processing.low_ps, node.processing.high_ps)


# Rules 1 to 3: each frame is in its buffer before the cycle begins, and not a turn too soon


def check_times(topology: Topology, one: Reservation, findings: Findings) -> None:
    """Rules 1 to 3 and 7 for one stream."""
    _check_hold(topology, one, findings)
    for path in one.paths:
        _check_send(topology, one, path[0], findings)
        for near, far in pairwise(path):
            if one.is_cqf:
                _check_next(one, (near, far), findings)
            else:
                _check_not_late(topology, one, (near, far), findings)
            _check_not_early(topology, one, (near, far), findings)


def _check_hold(topology: Topology, one: Reservation, findings: Findings) -> None:
    """Rule 7: no frame comes after the damper should have handed it over."""
    if one.hold_ps is None:
        return
    _, latest_ps = arrivals(topology, one)
    early_ps = one.hold_ps - topology.node_by_name[one.stream.listener].clock.error_ps
    if early_ps < latest_ps:
        findings.add(
            "damper",
            one.stream.name,
            f"may be handed over {exact_time(early_ps)} after it was sent, and arrive "
            f"{exact_time(latest_ps - early_ps)} later",
        )


def _begin_ps(topology: Topology, hop: ReservedHop, cycle: int) -> int:
    """Return when a cycle of the hop's node begins by a clock without error."""
    return hop.clock.phase_ps + cycle * topology.tcqf.cycle_ps


def _check_send(
    topology: Topology, one: Reservation, first: ReservedHop, findings: Findings
) -> None:
    """Rule 1. With T = 10 us, C = 4 and perfect clocks, cycle 3 takes what is sent in 0..30 us."""
    earliest_ps = _begin_ps(topology, first, first.cycle - one.buffers + 1) + first.clock.error_ps
    # What CQF receives when a cycle begins it sends in the next one.
    latest_ps = _begin_ps(topology, first, first.cycle) - first.clock.error_ps - one.is_cqf
    name, port = one.stream.name, first.port.name
    if one.send_ps < 0:
        findings.add("ingress", name, f"is sent {exact_time(-one.send_ps)} before time zero", port)
    if one.send_ps > latest_ps:
        findings.add(
            "ingress",
            name,
            f"is sent {exact_time(one.send_ps - latest_ps)} too late for cycle {first.cycle} of "
            f"{port}, which can have begun",
            port,
        )
    if one.send_ps < earliest_ps:
        findings.add(
            "ingress",
            name,
            f"is sent {exact_time(earliest_ps - one.send_ps)} too early for cycle {first.cycle} of "
            f"{port}, whose buffer can still be sending cycle "
            f"{first.cycle - one.buffers}",
            port,
        )


def _check_next(
    one: Reservation, hops: tuple[ReservedHop, ReservedHop], findings: Findings
) -> None:
    """See that a frame is sent in the cycle after the one in which it came (CQF)."""
    near, far = hops
    if far.cycle != near.cycle + 1:
        findings.add(
            "mapping",
            one.stream.name,
            f"leaves {near.port.name} in cycle {near.cycle} and {far.port.name} in cycle "
            f"{far.cycle}; CQF has no cycle but the next",
            far.port.name,
        )


def _dead_ps(topology: Topology, port: Port) -> int:
    """Return how long before its end a cycle must be sent for the next node to have it in time.

    10 us of fibre, 1 us of processing, clocks within 0.1 us, cycles in phase: 11.2 us, and 1 ps
    since what comes when a cycle ends is in the next one.
    """
    near, node = topology.node_by_name[port.source], topology.node_by_name[port.target]
    apart_ps = near.clock.phase_ps - node.clock.phase_ps
    clocks_ps = near.clock.error_ps + node.clock.error_ps
    return max(apart_ps + port.propagation_ps + node.processing.high_ps + clocks_ps + 1, 0)


def _check_not_late(
    topology: Topology, one: Reservation, hops: tuple[ReservedHop, ReservedHop], findings: Findings
) -> None:
    """Rule 2. With T = 10 us, 25 us of way and phases zero, cycle 0 goes to cycle 4, not to 3."""
    near, far = hops
    queued_ps = (
        _begin_ps(topology, near, near.cycle + 1)
        + near.clock.error_ps
        + near.port.propagation_ps
        + far.processing_ps_max
    )
    begins_ps = _begin_ps(topology, far, far.cycle) - far.clock.error_ps
    if queued_ps > begins_ps:
        findings.add(
            "mapping",
            one.stream.name,
            f"leaves {near.port.name} in cycle {near.cycle} and can be queued "
            f"{exact_time(queued_ps - begins_ps)} late for cycle {far.cycle} of {far.port.name}",
            far.port.name,
        )


def _check_not_early(
    topology: Topology, one: Reservation, hops: tuple[ReservedHop, ReservedHop], findings: Findings
) -> None:
    """Rule 3. With T = 10 us, C = 4, 25 us of way, cycle 0 goes to cycle 5 at most: 25 >= 20."""
    near, far = hops
    queued_ps = (
        _begin_ps(topology, near, near.cycle)
        - near.clock.error_ps
        + last_bit_ps(one.stream.frame_bytes, near.port.rate_bps)
        + near.port.propagation_ps
        + far.processing_ps_min
    )
    last_turn = far.cycle - one.buffers
    free_ps = _begin_ps(topology, far, last_turn + 1) + far.clock.error_ps
    if queued_ps < free_ps:
        findings.add(
            "mapping",
            one.stream.name,
            f"leaves {near.port.name} in cycle {near.cycle} and can be queued "
            f"{exact_time(free_ps - queued_ps)} early for cycle {far.cycle} of {far.port.name}, "
            f"whose buffer can still be sending cycle {last_turn}",
            far.port.name,
        )


def check_mappings(reservations: Iterable[Reservation], findings: Findings) -> None:
    """See that a tag is rewritten the same way for all frames from one port to the next."""
    first: dict[tuple[int, int], tuple[int, str]] = {}
    for one in reservations:
        for path in one.paths:
            for near, far in pairwise(path):
                shift = far.cycle - near.cycle
                pair = (near.port.number, far.port.number)
                known, whose = first.setdefault(pair, (shift, one.stream.name))
                if known != shift:
                    findings.add(
                        "mapping",
                        one.stream.name,
                        f"goes {shift} cycles on from {near.port.name} to {far.port.name}, "
                        f"{whose} {known}; a tag has one mapping",
                        far.port.name,
                    )


# Rule 4: capacity of every cycle


def check_capacity(
    topology: Topology,
    guard_bytes: Mapping[int, int],
    reservations: Sequence[Reservation],
    findings: Findings,
) -> tuple[tuple[PortProof, ...], set[int]]:
    """Go through every cycle of every port with reservations; also return the overfull ports.

    `guard_bytes` has by port number the longest frame that may begin just before a cycle does.
    """
    booked: dict[int, Counter[tuple[int, int, int, int]]] = defaultdict(Counter)
    for one in reservations:
        for hop in one.hops:
            phase = hop.cycle % one.period
            key = (one.period, phase, one.stream.frame_bytes, one.stream.max_packets)
            booked[hop.port.number][key] += 1
    is_cqf = any(one.is_cqf for one in reservations)
    proofs, overfull = [], set()
    for number in sorted(booked):
        port = topology.ports[number]
        before = findings.total
        dead_ps = _dead_ps(topology, port) if is_cqf else 0
        load = (booked[number], guard_bytes.get(number, 0), dead_ps)
        proof = _check_port(topology, port, load, findings)
        if proof is not None:
            proofs.append(proof)
        if findings.total > before:
            overfull.add(number)
    return tuple(proofs), overfull


def _check_port(
    topology: Topology,
    port: Port,
    load: tuple[Mapping[tuple[int, int, int, int], int], int, int],
    findings: Findings,
) -> PortProof | None:
    booked, guard_bytes, dead_ps = load
    cycle_ps = topology.tcqf.cycle_ps
    count = _repeats_after(period for period, *_ in booked)
    if count is None:
        findings.add(
            "capacity",
            port.name,
            f"its reservations repeat only after more than {HYPERCYCLE_HIGHEST} cycles; "
            "choose intervals that divide each other",
            port.name,
        )
        return None
    bytes_in, line_ps_in = _fill(port, booked, count)
    guard_ps = serialisation_ps(guard_bytes, port.rate_bps) if guard_bytes else 0
    room_ps = cycle_ps - wander_ps(topology, port) - guard_ps - dead_ps
    share_bytes = port.reservable_bps * cycle_ps // _PS_BITS_PER_BYTE
    _note_overfull(
        port,
        line_ps_in,
        room_ps,
        f"ps of line time are reserved, {max(room_ps, 0)} ps are left by guard and wander"
        + (f", and {dead_ps} ps of dead time" if dead_ps else ""),
        findings,
    )
    _note_overfull(
        port,
        bytes_in,
        share_bytes,
        f"bytes on the wire are reserved, {share_bytes} are reservable",
        findings,
    )
    fullest = max(range(count), key=bytes_in.__getitem__)
    return PortProof(
        port=port.name,
        cycle=fullest,
        reserved_bytes=bytes_in[fullest],
        capacity_bytes=max(0, min(share_bytes, room_ps * port.rate_bps // _PS_BITS_PER_BYTE)),
    )


def _note_overfull(
    port: Port, used_in: Sequence[int], room: int, words: str, findings: Findings
) -> None:
    overfull = [cycle for cycle, used in enumerate(used_in) if used > room]
    for cycle in overfull[:FINDINGS_PER_PLACE]:
        findings.add("capacity", port.name, f"cycle {cycle}: {used_in[cycle]} {words}", port.name)
    findings.count("capacity", port.name, len(overfull[FINDINGS_PER_PLACE:]))


def _repeats_after(periods: Iterable[int]) -> int | None:
    """Return the least common multiple, or None when it is too many cycles to go through."""
    count = 1
    for period in periods:
        count = lcm(count, period)
        if count > HYPERCYCLE_HIGHEST:
            return None
    return count


def _fill(
    port: Port, booked: Mapping[tuple[int, int, int, int], int], count: int
) -> tuple[list[int], list[int]]:
    """Return wire bytes and line time reserved in each cycle; each frame's time is rounded up."""
    alike: Counter[tuple[int, int]] = Counter()
    line_ps: Counter[tuple[int, int]] = Counter()
    for (period, phase, frame_bytes, packets), streams in booked.items():
        alike[period, phase] += wire_bytes(frame_bytes) * packets * streams
        line_ps[period, phase] += serialisation_ps(frame_bytes, port.rate_bps) * packets * streams
    bytes_in, line_ps_in = [0] * count, [0] * count
    for (period, phase), size in alike.items():
        duration_ps = line_ps[period, phase]
        for cycle in range(phase, count, period):
            bytes_in[cycle] += size
            line_ps_in[cycle] += duration_ps
    return bytes_in, line_ps_in


def wander_ps(topology: Topology, port: Port) -> int:
    """Return how much shorter one cycle can be: one step for each full millisecond within it."""
    clock = topology.node_by_name[port.source].clock
    return clock.wander_ps * ceil_div(topology.tcqf.cycle_ps, PS_PER_MS)


# Bounds


def bound(topology: Topology, one: Reservation) -> tuple[int, int]:
    """Return the least and the largest latency; a damper leaves the error of its clock."""
    if one.hold_ps is None:
        return arrivals(topology, one)
    error_ps = topology.node_by_name[one.stream.listener].clock.error_ps
    return one.hold_ps - error_ps, one.hold_ps + error_ps


def come_ps(topology: Topology, stream: Stream, entry: StreamPlan, hops: int) -> int:
    """Return how long after it is sent a frame can be behind some ports of its one path."""
    (path,) = entry.paths
    port, cycle = topology.port_by_name[path.ports[hops - 1]], path.cycles[hops - 1]
    last = _hop(topology, port, cycle)
    begin_ps = _begin_ps(topology, last, cycle) - last.clock.error_ps - (entry.send_ps or 0)
    return begin_ps + last_bit_ps(stream.frame_bytes, port.rate_bps) + port.propagation_ps


def arrivals(topology: Topology, one: Reservation) -> tuple[int, int]:
    """Return the least and the largest time from sending to arrival, over all paths.

    A perfect clock, T = 10 us, cycle 7 of the last port, 1.2 us to the last bit, 100 us of fibre
    and a frame sent at 0: from 171.2 us to 180 us. The gap ends within the cycle too, so the last
    bit comes sooner than that; what is left of the cycle is on the safe side.
    """
    low, high = [], []
    for path in one.paths:
        last = path[-1]
        passed_ps = last.port.propagation_ps - one.send_ps
        shortest_ps = last_bit_ps(one.stream.frame_bytes, last.port.rate_bps)
        begin_ps = _begin_ps(topology, last, last.cycle)
        low.append(begin_ps - last.clock.error_ps + shortest_ps + passed_ps)
        dead_ps = _dead_ps(topology, last.port) if one.is_cqf else 0
        end_ps = begin_ps + topology.tcqf.cycle_ps - dead_ps
        high.append(end_ps + last.clock.error_ps + passed_ps)
    return min(low), max(high)
