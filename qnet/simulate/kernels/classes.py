"""The server of ports with cycles or several classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.clocks.kernels import error_at, when_shown
from qnet.simulate.kernels.delivery import (
    Listeners,
    deliver,
    deliver_reached,
    end_if_followed,
    listeners_of,
    must_deliver,
    pass_damper,
    reach_listener,
)
from qnet.simulate.kernels.drops import refuse
from qnet.simulate.kernels.lanes import (
    hand_on,
    next_arrival,
    room_ahead,
    stay_in_node,
    who_comes,
)
from qnet.simulate.kernels.queues import first_of, keep_back, put_last, turn_of_tag, wake_at
from qnet.simulate.kernels.records import count_sent, is_nearly_full, write_down
from qnet.simulate.kernels.sources import advance, draw_size, follow, prefetch_sources, settle
from qnet.simulate.world import (
    DONE,
    FOLLOWED,
    GAP_BYTES,
    NO_ROOM,
    PASSED_ON,
    POSITIONS,
    QUEUE_FULL,
    TRACE_FULL,
    Arrived,
    Frame,
    NextHop,
    PortTally,
    Receiver,
    Ring,
    Sender,
    SourceHeap,
    SourceLaw,
    SourceState,
    Trace,
    World,
)

Ints = NDArray[np.int64]

NONE, AT_ONCE = -1, -2
"""In place of a queue: none may send; the frame in hand goes, which has not waited."""


class Own(NamedTuple):
    """What a port has of its own."""

    first: int
    queues: int
    last: int
    """Its rings: from `first` on its cycle buffers, from `queues` to `last` those of the other
    classes in falling priority."""
    buffers: int
    cycle_length: int
    phase: int
    errors: Ints
    block: int
    """Errors of its clock, known at multiples of a block."""
    ring: Ints
    cells: Ints
    line_time: Ints


@inline_kernel
def bind(port: int, world: World) -> Own:
    """Bind what a port has of its own."""
    network, buffers = world.network, world.network.cycle_buffers
    first = port * (buffers + network.classes)
    return Own(
        first, first + buffers, first + buffers + network.classes, buffers, network.cycle,
        network.phase[port], network.clock_error[network.clock[port]], network.block,
        world.queues.ring, world.queues.cells, network.line_time[network.rate[port]],
    )  # fmt: skip


@inline_kernel
def take_next(port: int, lane: int, came: int, world: World) -> Arrived:
    """Take the next frame off its lane, or let the port's sources (-1) make it."""
    lanes, sources, tally = world.lanes, world.sources, world.tally
    if lane >= 0:
        place = lanes.base[lane] + (lanes.receiver[lane, Receiver.HEAD] & lanes.mask[lane])
        birth, label = lanes.cells[place, Frame.BIRTH], lanes.cells[place, Frame.LABEL]
        turn = lanes.cells[place, Frame.CYCLE]
        lanes.receiver[lane, Receiver.HEAD] += 1
        next_arrival(lane, lanes.base, lanes.mask, lanes.receiver, lanes.cells)
    else:
        heap, state, law, top = sources.heap, sources.state, sources.law, sources.first[port]
        heap_size = sources.first[port + 1] - top
        source = heap[top, SourceHeap.SOURCE]
        birth, turn = came, state[source, SourceState.NEXT_CYCLE]
        frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
        label = (law[source, SourceLaw.START] << 16) | frame_bytes
        if label & FOLLOWED:
            label = follow(source, birth, label, state, tally.followed, tally.fates)
        advance(source, frame_bytes, state, law, sources.log_table, sources.recorded_ps)
        heap[top, SourceHeap.TIME] = state[source, SourceState.NEXT_TIME]
        settle(heap, top, heap_size)
        prefetch_sources(top, heap_size, heap, state, law, world.routes.hop)
    return Arrived(came, birth, label, turn)


@inline_kernel
def find_queue(frame: Arrived, rank: int, late: Ints, own: Own) -> tuple[int, int]:
    """Return the ring that a frame is to join, and in which cycle it leaves; count it if late."""
    queue, turn = own.queues + rank - 1, frame.turn
    if rank == 0:
        shown = frame.came - own.phase - error_at(frame.came, own.errors, own.block)
        turn, is_late = turn_of_tag(turn, shown, own.cycle_length, own.buffers)
        queue = own.first + turn % own.buffers
        if is_late:
            late[(frame.label >> 16) & POSITIONS] += 1
    return queue, turn


@inline_kernel
def admit(port: int, queue: int, rank: int, frame: Arrived, world: World, own: Own,
          trace: Trace | None) -> bool:  # fmt: skip
    """Say whether a frame has room in its ring; it is dropped where it has none."""
    network, routes, tally = world.network, world.routes, world.tally
    held = own.ring[queue, Ring.BYTES]
    depth = held + (frame.label & 0xFFFF)
    if depth > (network.buffer_bytes[port] if rank > 0 else network.cycle_bytes[port]):
        routes.lost[(frame.label >> 16) & POSITIONS] += 1
        refuse(port, frame, held, NO_ROOM, routes.owner, tally, trace)
        return False
    tally.port[port, PortTally.DEEPEST] = max(tally.port[port, PortTally.DEEPEST], depth)
    return True


@inline_kernel
def choose(now: int, cycle: int, cycle_end: int, reserved: int, own: Own) -> int:
    """Return the queue to send from, or NONE; a reserved frame must end before its cycle does."""
    ring = own.ring
    if reserved > 0:
        queue = own.first + cycle % own.buffers
        if ring[queue, Ring.COUNT] > 0:
            place = ring[queue, Ring.BASE] + (ring[queue, Ring.FRONT] & ring[queue, Ring.MASK])
            if now + own.line_time[own.cells[place, Frame.LABEL] & 0xFFFF] <= cycle_end:
                return queue
    for queue in range(own.queues, own.last):
        if ring[queue, Ring.COUNT] > 0:
            return queue
    return NONE


@inline_kernel
def send_on(port: int, frame: Arrived, turn: int, started: int, delivered: int, world: World,
            own: Own, to: Listeners, trace: Trace | None) -> int:  # fmt: skip
    """Send a frame to the next port, where its cycle is `turn`, or to its listener.

    Return how many of those that have reached their listener are not yet delivered.
    """
    network, routes, lanes, _, _, tally = world
    position, frame_bytes = (frame.label >> 16) & POSITIONS, frame.label & 0xFFFF
    target = int(routes.hop[position, NextHop.LANE])
    following = int(routes.hop[position, NextHop.NEXT])
    ended = started + own.line_time[frame_bytes - GAP_BYTES]
    arrives = ended + network.propagation[port]
    if target >= 0:
        if target < network.lane_first[network.lane_first.size - 1]:
            arrives += stay_in_node(port, tally.port_dice, network)
        if trace is not None:
            there = max(arrives, lanes.sender[target, Sender.LAST_ARRIVAL])
            times, left_in = (frame.came, started, ended, there), turn - routes.shift[position]
            owner = routes.owner[position]
            write_down(
                port, owner, times, frame.birth, frame.label, left_in, PASSED_ON, trace
            )  # fmt: skip
        label = following << 16 | frame_bytes | (frame.label >> 47 << 47)
        hand_on(
            target, arrives, frame.birth, label, turn, lanes.sender, lanes.base, lanes.mask,
            lanes.cells,
        )  # fmt: skip
    elif trace is not None:
        arrives = pass_damper(position, following, frame.birth, arrives, to)
        times = (frame.came, started, ended, arrives)
        write_down(port, following, times, frame.birth, frame.label, turn, PASSED_ON, trace)
        if arrives <= network.end:
            end_if_followed(following, frame.birth, frame.label, PASSED_ON, tally)
        deliver(following, frame.birth, arrives, frame_bytes, to)
    else:
        reach_listener(delivered, arrives, frame.birth, frame.label, following, tally.reached)
        delivered += 1
    return delivered


@bare_kernel
def serve_classes(port: int, until: int, world: World, trace: Trace | None) -> int:
    """Serve a port with cycles or several classes.

    At every moment when the wire is free: take in what has arrived, then send the first frame of
    the highest class that has one that may go.
    """
    network, routes, lanes, queues, sources, tally = world
    own, to = bind(port, world), listeners_of(port, network, routes, tally)
    counts, ring, delivered = tally.port, own.ring, 0
    lane, arrival = who_comes(port, network, lanes, sources)
    waiting, reserved = 0, 0
    for queue in range(own.first, own.last):
        waiting += ring[queue, Ring.COUNT]
        if queue < own.queues:
            reserved += ring[queue, Ring.COUNT]
    now = counts[port, PortTally.FREE_AT]
    cycle, cycle_end, wake = 0, now, now
    status = DONE
    while status == DONE:
        if waiting == 0 and arrival > now:
            if arrival >= until:
                break
            now = arrival

        # Take in what has arrived. A frame that finds nothing waiting goes to the wire at once.
        chosen = NONE
        while arrival <= now and arrival < until:
            if trace is not None and is_nearly_full(port, trace):
                status = TRACE_FULL
                break
            frame = take_next(port, lane, arrival, world)
            lane, arrival = who_comes(port, network, lanes, sources)
            rank = int(routes.rank[(frame.label >> 16) & POSITIONS])
            queue, turn = find_queue(frame, rank, routes.late, own)
            frame = Arrived(frame.came, frame.birth, frame.label, turn)
            if not admit(port, queue, rank, frame, world, own, trace):
                continue
            if waiting == 0 and arrival > now and now < until and rank > 0:
                chosen = AT_ONCE
                break
            ring[queue, Ring.BYTES] += frame.label & 0xFFFF
            waiting += 1
            reserved += rank == 0
            if ring[queue, Ring.COUNT] > ring[queue, Ring.MASK]:
                keep_back(port, queue, frame, queues.stash)
                status = QUEUE_FULL
                break
            put_last(queue, frame, ring, own.cells)
        if status != DONE or now >= until:
            break
        if waiting == 0 and chosen != AT_ONCE:
            continue

        if chosen != AT_ONCE:
            if trace is not None and is_nearly_full(port, trace):
                status = TRACE_FULL
                break
            if now >= cycle_end and own.buffers > 0:
                cycle = (now - own.phase - error_at(now, own.errors, own.block)) // own.cycle_length
                cycle_end = own.phase + (cycle + 1) * own.cycle_length
                cycle_end = when_shown(cycle_end, own.errors, own.block)
            chosen = choose(now, cycle, cycle_end, reserved, own)
            if chosen == NONE:
                wake = cycle_end
                now = min(arrival, wake, until)
                continue
            frame = first_of(chosen, ring, own.cells)

        # Send it.
        position, frame_bytes = (frame.label >> 16) & POSITIONS, frame.label & 0xFFFF
        target, rank = int(routes.hop[position, NextHop.LANE]), int(routes.rank[position])
        if must_deliver(target, delivered, to):
            deliver_reached(delivered, to, tally.followed, tally.fates)
            delivered = 0
        status = room_ahead(port, target, lanes.sender, lanes.mask, counts)
        if status != DONE:
            if chosen == AT_ONCE:
                keep_back(port, own.queues + rank - 1, frame, queues.stash)
                ring[own.queues + rank - 1, Ring.BYTES] = frame_bytes
            break
        if chosen != AT_ONCE:
            ring[chosen, Ring.FRONT] += 1
            ring[chosen, Ring.COUNT] -= 1
            ring[chosen, Ring.BYTES] -= frame_bytes
            waiting -= 1
        turn = frame.turn
        if rank == 0:
            reserved -= 1
            if cycle != turn:
                routes.late[position] += 1
            turn = cycle + routes.shift[position]
        count_sent(port, now, frame_bytes, network.steady_from, counts)
        delivered = send_on(port, frame, turn, now, delivered, world, own, to, trace)
        now += own.line_time[frame_bytes]
        wake = now
    deliver_reached(delivered, to, tally.followed, tally.fates)
    counts[port, PortTally.FREE_AT] = now
    counts[port, PortTally.WAKE] = wake_at(now, wake, waiting, status)
    return status
