"""What no plan and no luck can better: the least latency, variation and loss of a way.

A promise below these is broken, whoever watches and for however long.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from qnet.check.line import BEFORE_BYTES, ceil_div, last_bit_ps, serialisation_ps, wire_bytes
from qnet.model.topology import Node, Port, Topology
from qnet.model.traffic import Demand, Stream, TrafficClass
from qnet.units import PPB, PS_PER_S, show_time

BIT_ERRORS_WHOLE = 10**18
"""Wrong bits are counted in so many."""


def least_latency_ps(
    topology: Topology, ports: Sequence[Port], frame_bytes: int, *, stored: bool = True
) -> int:
    """Return what a frame takes over ports that stand empty, with the least processing.

    A frame of 1,518 bytes over two wires of 1 Gb/s and 500 ns: 2 * (12.208 + 0.5) us. Frames that
    are not `stored` are sent on by a node that cuts through, with the bytes that it wants to see.
    """
    total_ps = sum(port.propagation_ps for port in ports)
    total_ps += sum(last_bit_ps(frame_bytes, port.rate_bps) for port in ports)
    for near, far in pairwise(ports):
        node = topology.node_by_name[far.source]
        total_ps += node.processing.low_ps
        if not stored and near.rate_bps == far.rate_bps:
            total_ps -= _saved_ps(node, near.rate_bps, frame_bytes)
    return total_ps


def _saved_ps(node: Node, rate_bps: int, frame_bytes: int) -> int:
    """Return how much sooner a frame may be sent on by a node that need not have all of it."""
    if node.cut_through_bytes is None:
        return 0
    head_ps = ceil_div((node.cut_through_bytes + BEFORE_BYTES) * 8 * PS_PER_S, rate_bps)
    return max(last_bit_ps(frame_bytes, rate_bps) - head_ps, 0)


def burst_ps(stream: Stream, port: Port, taken: int) -> int:
    """Return how long after the first frame of an interval the last one comes over a port.

    They are handed over at once, and follow each other. What a meter may drop does not count, nor
    what is more than the frames `taken` in.
    """
    frames = min(stream.max_packets, taken)
    if stream.police or not frames:
        return 0
    return (frames - 1) * serialisation_ps(stream.frame_bytes, port.rate_bps)


def taken_at_once(topology: Topology, stream: Stream, traffic_class: TrafficClass) -> int:
    """Return how many frames of an interval the queue of their talker takes at most.

    They come at the same moment, before the first of them leaves, so that all must have room in
    the buffer; a shaper drops those that would wait longer than they may. A buffer of 3,000 bytes
    takes 3 frames of 1,000 bytes. Cycles are reserved with the room for them.
    """
    sent = stream.max_packets + stream.excess_packets
    if traffic_class.reserves:
        return sent
    taken = _room(topology, stream.talker, stream.frame_bytes)
    if traffic_class.residence_ps is not None:
        bits = Fraction(stream.burst_bytes * 8)
        bits += Fraction(stream.rate_bps * traffic_class.residence_ps, PS_PER_S)
        taken = min(taken, int(bits / (wire_bytes(stream.frame_bytes) * 8)))
    return min(taken, sent)


def taken_of_burst(topology: Topology, demand: Demand) -> Fraction:
    """Return the share of a demand's frames that the queue of its source takes at most."""
    least = min(size for size, _ in demand.sizes)
    taken = _room(topology, demand.source, least)
    return min(Fraction(taken, demand.burst_packets), Fraction(1))


def no_room(topology: Topology, ports: Sequence[Port], frame_bytes: int) -> str | None:
    """Say at which node of a way the buffers cannot hold even one frame; None where all can.

    So no frame of that size gets there, but of classes that have reserved their room.
    """
    for port in ports:
        buffer_bytes = topology.node_by_name[port.source].buffer_bytes
        if buffer_bytes < frame_bytes:
            return (
                f"the buffers of {port.source} hold {buffer_bytes} bytes, and a frame has "
                f"{frame_bytes}"
            )
    return None


def _room(topology: Topology, name: str, frame_bytes: int) -> int:
    return topology.node_by_name[name].buffer_bytes // frame_bytes


def overflow(topology: Topology, stream: Stream, traffic_class: TrafficClass) -> str | None:
    """Say that the frames of an interval are more than their talker's queue takes, if they are."""
    sent = stream.max_packets + stream.excess_packets
    taken = taken_at_once(topology, stream, traffic_class)
    if taken >= sent:
        return None
    where = f"the queue of {stream.talker} takes {taken}"
    if taken < _room(topology, stream.talker, stream.frame_bytes):
        where += " within its max-residence"
    frames = "1 frame is" if sent == 1 else f"{sent} frames are"
    return f"{frames} handed over at once, and {where}"


def late_by_nature(
    topology: Topology, stream: Stream, traffic_class: TrafficClass, ports: Sequence[Port]
) -> str | None:
    """Say why the latency that a stream is promised cannot be kept over a way; None if it can."""
    if stream.max_latency_ps is None:
        return None
    stored = traffic_class.reserves or traffic_class.preemptable
    least_ps = least_latency_ps(topology, ports, stream.frame_bytes, stored=stored)
    taken = taken_at_once(topology, stream, traffic_class)
    least_ps += max(burst_ps(stream, port, taken) for port in ports)
    return too_late(sum(port.propagation_ps for port in ports), least_ps, stream.max_latency_ps)


def too_late(propagation_ps: int, least_ps: int, promised_ps: int) -> str | None:
    """Say which part of a latency is already more than what was promised."""
    for what, taken_ps in (
        ("propagation alone is", propagation_ps),
        ("propagation, line times and least processing alone are", least_ps),
    ):
        if taken_ps > promised_ps:
            return f"{what} {show_time(taken_ps)} of {show_time(promised_ps)}"
    return None


def unsteady_by_nature(
    topology: Topology, stream: Stream, traffic_class: TrafficClass, ports: Sequence[Port]
) -> str | None:
    """Say why the variation that a stream is promised cannot be kept over a way, or None."""
    promised_ps = stream.max_latency_variation_ps
    taken = taken_at_once(topology, stream, traffic_class)
    apart_ps = burst_ps(stream, ports[-1], taken)
    if promised_ps is None or apart_ps <= promised_ps:
        return None
    return (
        f"{stream.max_packets} frames are handed over at once, and the last comes "
        f"{show_time(apart_ps)} after the first, of {show_time(promised_ps)}"
    )


def least_loss(stream: Stream, paths: Sequence[Sequence[Port]], taken: int) -> Fraction:
    """Return the share of a stream's frames that are lost at least, on average.

    Meters take some, links some, and each first port all but the frames `taken` of an interval. A
    frame over two paths is lost when both copies are.
    """
    both = Fraction(1 if paths else 0)
    for path in paths:
        both *= lost_on_links(path, stream.frame_bytes)
    sent = stream.max_packets + stream.excess_packets
    passed = min(passed_by_meter(stream, sent), Fraction(max(len(paths), 1) * taken, sent))
    return 1 - passed * (1 - both)


def lost_on_links(ports: Sequence[Port], frame_bytes: int) -> Fraction:
    """Return the share of frames that the links of a way lose at least."""
    kept = Fraction(1)
    for port in ports:
        if port.is_lossy:
            kept *= 1 - _lost_on(port, frame_bytes)
    return 1 - kept


def passed_by_meter(stream: Stream, frames: int) -> Fraction:
    """Return the share of so many frames an interval that a stream's meter lets through at most.

    They come at once: the bucket is good for its burst, and on average for its rate; of a meter of
    two rates both buckets are.
    """
    if not stream.police:
        return Fraction(1)
    on_wire = wire_bytes(stream.frame_bytes)
    sent_bps = Fraction(frames * on_wire * 8 * PS_PER_S, stream.interval_ps)
    bursts = stream.burst_bytes // on_wire
    passed_bps = stream.rate_bps
    if stream.excess_rate_bps is not None:
        # What is not green may be yellow, out of a bucket of its own.
        bursts += (stream.excess_burst_bytes or stream.burst_bytes) // on_wire
        passed_bps += stream.excess_rate_bps
    return min(Fraction(1), passed_bps / sent_bps, Fraction(bursts, frames))


def _lost_on(port: Port, frame_bytes: int) -> Fraction:
    """Return the share that a link loses at least: 1 - (1 - b)**n >= n b - n (n - 1) b**2 / 2."""
    lost = Fraction(port.loss_ppb, PPB)
    if port.bit_errors:
        wrong = Fraction(port.bit_errors, BIT_ERRORS_WHOLE)
        bits = min(8 * frame_bytes, int(1 / wrong))
        damaged = bits * wrong - bits * (bits - 1) * wrong**2 / 2
        lost += (1 - lost) * max(damaged, Fraction(0))
    return lost


def quickest_ps(
    topology: Topology, ends: tuple[str, str], frame_bytes: int | None, *, stored: bool = True
) -> int | None:
    """Return the least that any route can take, or its least propagation without a frame.

    None where no route is.
    """
    leaving: dict[str, list[Port]] = {}
    for port in topology.ports:
        leaving.setdefault(port.source, []).append(port)
    heap = [(0, ends[0])]
    done: set[str] = set()
    while heap:
        so_far, name = heapq.heappop(heap)
        if name == ends[1]:
            return so_far
        if name in done:
            continue
        done.add(name)
        if name != ends[0] and topology.node_by_name[name].is_host:
            continue  # it forwards nothing
        for port in leaving.get(name, ()):
            if port.target not in done:
                cost = port.propagation_ps
                if frame_bytes is not None:
                    cost += _passing_ps(topology, port, frame_bytes, ends, stored=stored)
                heapq.heappush(heap, (so_far + cost, port.target))
    return None


def _passing_ps(
    topology: Topology, port: Port, frame_bytes: int, ends: tuple[str, str], *, stored: bool
) -> int:
    """Return the least time on a wire and in the node behind it."""
    passing_ps = last_bit_ps(frame_bytes, port.rate_bps)
    if port.target == ends[1]:
        return passing_ps
    node = topology.node_by_name[port.target]
    passing_ps += node.processing.low_ps
    return passing_ps if stored else passing_ps - _saved_ps(node, port.rate_bps, frame_bytes)
