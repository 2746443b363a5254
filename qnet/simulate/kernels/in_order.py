"""The server of ports that all frames leave in the order in which they came."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel, prefetch
from qnet.simulate.kernels.delivery import (
    deliver_reached,
    listeners_of,
    must_deliver,
    reach_listener,
)
from qnet.simulate.kernels.lanes import AHEAD, SOON, earliest_two, hand_on, room_ahead
from qnet.simulate.kernels.records import note, note_ends
from qnet.simulate.kernels.sources import advance, draw, draw_size, prefetch_sources, settle
from qnet.simulate.world import (
    DONE,
    GAP_BYTES,
    NEVER,
    QUEUE_FULL,
    Counts,
    Frame,
    NextHop,
    PortTally,
    Receiver,
    Ring,
    SourceHeap,
    SourceLaw,
    SourceState,
    World,
)

Ints = NDArray[np.int64]


@inline_kernel
def forget_sent(
    came: int, mask: int, base: int, front: int, count: int, depth: int, cells: Ints
) -> tuple[int, int, int]:
    """Take what has begun to leave before `came` off the record: front, count and bytes left."""
    while count > 0:
        place = base + (front & mask)
        if cells[place, Frame.ARRIVAL] >= came:
            break
        depth -= cells[place, Frame.LABEL]
        front += 1
        count -= 1
    return front, count, depth


@bare_kernel
def serve_in_order(
    port: int,
    until: int,
    world: World,
    counts: Counts | None,
) -> int:
    """Serve a port that all frames leave in the order in which they came: one class, no cycles.

    When a frame will begin to leave is known when it comes, so it is sent on at once. The queue's
    ring is a record of when those before it begin (ARRIVAL) and of their bytes (LABEL): the depth
    of the queue is worked out from it, but only where it may be more than ever before.
    """
    network, routes, lanes, queues, sources, tally = world
    receiver, sender, lane_cells = lanes.receiver, lanes.sender, lanes.cells
    lane_base, lane_mask = lanes.base, lanes.mask
    heap, state, law = sources.heap, sources.state, sources.law
    to = listeners_of(port, network, routes, tally)
    state_of, reached, delivered = tally.port, tally.reached, 0
    hop, line_times, rate = routes.hop, network.line_time, network.rate[port]
    first_lane, last_lane = network.lane_first[port], network.lane_first[port + 1]
    inner = network.lane_first[network.lane_first.size - 1]
    top = sources.first[port]
    heap_size = sources.first[port + 1] - top
    propagation, processing = network.propagation[port], network.processing_low[port]
    span, limit = network.processing_span[port], network.buffer_bytes[port]
    steady_from, end = network.steady_from, network.end
    byte_time = line_times[rate, 1000] // 1020
    queue = port * (network.cycle_buffers + network.classes)
    queue += network.cycle_buffers + network.only_rank[port] - 1
    ring, cells = queues.ring, queues.cells
    base, mask = ring[queue, Ring.BASE], ring[queue, Ring.MASK]
    front, count, depth = ring[queue, Ring.FRONT], ring[queue, Ring.COUNT], ring[queue, Ring.BYTES]
    free_at, deepest = state_of[port, PortTally.FREE_AT], state_of[port, PortTally.DEEPEST]
    frames, wire_bytes, steady = count, depth + 20 * count, 0
    status = DONE
    source_time = heap[top, SourceHeap.TIME] if heap_size else NEVER
    lane, arrival, bound = earliest_two(first_lane, last_lane, receiver, source_time)
    # Of the lane that brings frames: its next frame, what may be seen of it, and its ring.
    head, seen, around, start = 0, 0, 0, 0
    if lane >= 0:
        head, seen = receiver[lane, Receiver.HEAD], receiver[lane, Receiver.SEEN_TAIL]
        around, start = lane_mask[lane], lane_base[lane]
    here = start + (head & around)
    noted, ends = state_of[port, PortTally.NOTED], NEVER
    if counts is not None:
        ends = note_ends(noted, counts)
    while True:
        stop = min(until, ends)
        while arrival < stop:
            # Who brings it, and is there room where it goes?
            came = arrival
            if lane >= 0:
                birth = lane_cells[here, Frame.BIRTH]
                label = lane_cells[here, Frame.LABEL]
                position = label >> 16
            else:
                source = heap[top, SourceHeap.SOURCE]
                birth = came
                position = law[source, SourceLaw.START]
            target = int(hop[position, NextHop.LANE])
            following = int(hop[position, NextHop.NEXT])
            if must_deliver(target, delivered, to):
                deliver_reached(delivered, to, None, None)
                delivered = 0
            status = room_ahead(port, target, sender, lane_mask, state_of)
            if count > mask and status == DONE:
                front, count, depth = forget_sent(came, mask, base, front, count, depth, cells)
                if count > mask:
                    status = QUEUE_FULL
            if status != DONE:
                break

            # Take it in.
            if lane >= 0:
                frame_bytes = label & 0xFFFF
                head += 1
                here = start + (head & around)
                prefetch(lane_cells, 4 * (start + ((head + AHEAD) & around)))
                prefetch(hop, 2 * (lane_cells[start + ((head + SOON) & around), Frame.LABEL] >> 16))
                arrival = lane_cells[here, Frame.ARRIVAL] if head < seen else NEVER
            else:
                frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
                advance(source, frame_bytes, state, law, sources.log_table, sources.recorded_ps)
                heap[top, SourceHeap.TIME] = state[source, SourceState.NEXT_TIME]
                settle(heap, top, heap_size)
                source_time = heap[top, SourceHeap.TIME]
                arrival = source_time
                prefetch_sources(top, heap_size, heap, state, law, hop)
            if arrival >= bound:
                if lane >= 0:
                    receiver[lane, Receiver.HEAD] = head
                    receiver[lane, Receiver.NEXT_ARRIVAL] = arrival
                lane, arrival, bound = earliest_two(first_lane, last_lane, receiver, source_time)
                if lane >= 0:
                    head, seen = receiver[lane, Receiver.HEAD], receiver[lane, Receiver.SEEN_TAIL]
                    around, start = lane_mask[lane], lane_base[lane]
                    here = start + (head & around)
            begins = max(free_at, came)
            if free_at <= came:
                count, depth = 0, 0
            if begins - came > (deepest - frame_bytes) * byte_time:
                front, count, depth = forget_sent(came, mask, base, front, count, depth, cells)
                if depth + frame_bytes > limit:
                    state_of[port, PortTally.DROPPED] += 1
                    routes.lost[position] += 1
                    continue
                deepest = max(deepest, depth + frame_bytes)
            place = base + ((front + count) & mask)
            cells[place, Frame.ARRIVAL] = begins
            cells[place, Frame.LABEL] = frame_bytes
            count += 1
            depth += frame_bytes

            # Send it on.
            free_at = begins + line_times[rate, frame_bytes]
            arrives = begins + line_times[rate, frame_bytes - GAP_BYTES] + propagation
            frames += 1
            wire_bytes += frame_bytes + 20
            if begins >= end:
                continue
            if begins >= steady_from:
                steady += frame_bytes + 20
            if target >= 0:
                if target < inner:
                    arrives += processing
                    if span > 1:
                        arrives += (draw(tally.port_dice, port, 0) * span) >> 32
                label = following << 16 | frame_bytes
                hand_on(target, arrives, birth, label, 0, sender, lane_base, lane_mask, lane_cells)
                continue
            label = position << 16 | frame_bytes
            reach_listener(delivered, arrives, birth, label, following, reached)
            delivered += 1

        # What begins to leave later than this is not yet sent, as far as anybody can see.
        front, count, depth = forget_sent(
            min(arrival, stop), mask, base, front, count, depth, cells
        )
        if counts is None or status != DONE or ends > until:
            break
        note(
            counts.rows[port, noted], state_of[port, PortTally.FRAMES] + frames - count,
            state_of[port, PortTally.WIRE_BYTES] + wire_bytes - depth - 20 * count,
            state_of[port, PortTally.DROPPED], deepest,
        )  # fmt: skip
        deepest = depth
        noted += 1
        ends = note_ends(noted, counts)
    deliver_reached(delivered, to, None, None)
    if lane >= 0:
        receiver[lane, Receiver.HEAD] = head
        receiver[lane, Receiver.NEXT_ARRIVAL] = arrival
    ring[queue, Ring.FRONT], ring[queue, Ring.COUNT], ring[queue, Ring.BYTES] = front, count, depth
    state_of[port, PortTally.FREE_AT], state_of[port, PortTally.DEEPEST] = free_at, deepest
    state_of[port, PortTally.WAKE] = NEVER
    state_of[port, PortTally.FRAMES] += frames - count
    state_of[port, PortTally.WIRE_BYTES] += wire_bytes - depth - 20 * count
    state_of[port, PortTally.STEADY] += steady
    state_of[port, PortTally.NOTED] = noted
    return status
