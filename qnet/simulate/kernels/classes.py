"""The server of ports with cycles or several classes."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.simulate.clocks.kernels import error_at, when_shown
from qnet.simulate.kernels.delivery import (
    deliver,
    deliver_reached,
    end_following,
    must_deliver,
    pass_damper,
    reach_listener,
)
from qnet.simulate.kernels.lanes import earliest, hand_on, next_arrival, room_ahead
from qnet.simulate.kernels.queues import keep_back, wake_at
from qnet.simulate.kernels.records import is_nearly_full, write_down
from qnet.simulate.kernels.sources import advance, draw, draw_size, follow, prefetch_sources, settle
from qnet.simulate.world import (
    DONE,
    FOLLOWED,
    GAP_BYTES,
    NEVER,
    NO_ROOM,
    PASSED_ON,
    POSITIONS,
    QUEUE_FULL,
    REFUSED,
    TRACE_FULL,
    Frame,
    Lanes,
    Network,
    NextHop,
    PortTally,
    Queues,
    Receiver,
    Ring,
    Routes,
    Sender,
    SourceHeap,
    SourceLaw,
    Sources,
    SourceState,
    Tally,
    Trace,
)

AT_ONCE = -2
"""In place of a queue: the frame in hand, which has not waited."""


@bare_kernel
def serve_classes(
    port: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
    trace: Trace | None,
) -> int:
    """Serve a port with cycles or several classes.

    At every moment when the wire is free: take in what has arrived, then send the first frame of
    the highest class that has one that may go.
    """
    receiver, sender, lane_cells = lanes.receiver, lanes.sender, lanes.cells
    lane_base, lane_mask = lanes.base, lanes.mask
    heap, state, law = sources.heap, sources.state, sources.law
    counts, reached, delivered = tally.port, tally.reached, 0
    hop, rank_of, late = routes.hop, routes.rank, routes.late
    ring, cells = queues.ring, queues.cells
    cycle_length, buffers = network.cycle, network.cycle_buffers
    line_time = network.line_time[network.rate[port]]
    first_lane, last_lane = network.lane_first[port], network.lane_first[port + 1]
    inner = network.lane_first[network.lane_first.size - 1]
    top = sources.first[port]
    heap_size = sources.first[port + 1] - top
    first = port * (buffers + network.classes)
    last = first + buffers + network.classes
    phase, every = network.phase[port], network.block
    errors = network.clock_error[network.clock[port]]

    lane, arrival = earliest(
        first_lane, last_lane, receiver, heap[top, SourceHeap.TIME] if heap_size else NEVER
    )
    waiting = 0
    reserved = 0
    for queue in range(first, last):
        waiting += ring[queue, Ring.COUNT]
        if queue < first + buffers:
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
        chosen = -1
        while arrival <= now and arrival < until:
            if trace is not None and is_nearly_full(port, trace):
                status = TRACE_FULL
                break
            came = arrival
            if lane >= 0:
                place = lane_base[lane] + (receiver[lane, Receiver.HEAD] & lane_mask[lane])
                birth = lane_cells[place, Frame.BIRTH]
                label = lane_cells[place, Frame.LABEL]
                turn = lane_cells[place, Frame.CYCLE]
                receiver[lane, Receiver.HEAD] += 1
                next_arrival(lane, lane_base, lane_mask, receiver, lane_cells)
            else:
                source = heap[top, SourceHeap.SOURCE]
                frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
                birth = arrival
                label = (law[source, SourceLaw.START] << 16) | frame_bytes
                if label & FOLLOWED:
                    label = follow(source, birth, label, state, tally.followed, tally.fates)
                turn = state[source, SourceState.NEXT_CYCLE]
                advance(source, frame_bytes, state, law, sources.log_table)
                heap[top, SourceHeap.TIME] = state[source, SourceState.NEXT_TIME]
                settle(heap, top, heap_size)
                prefetch_sources(top, heap_size, heap, state, law, hop)
            lane, arrival = earliest(
                first_lane, last_lane, receiver, heap[top, SourceHeap.TIME] if heap_size else NEVER
            )
            position = (label >> 16) & POSITIONS
            rank = int(rank_of[position])
            queue = first + buffers + rank - 1
            limit = network.buffer_bytes[port]
            if rank == 0:
                # The tag, cycle modulo buffers, names the buffer. A frame that comes after its
                # cycle's start, or while the buffer's last turn is under way, waits for the
                # buffer's next turn, which may be under way too; it is late.
                shown = came - phase - error_at(came, errors, every)
                wait = turn * cycle_length - shown
                if wait < 0 or wait > (buffers - 1) * cycle_length:
                    late[position] += 1
                    present = shown // cycle_length
                    turn = present + (turn - present) % buffers
                queue = first + turn % buffers
                limit = network.cycle_bytes[port]
            depth = ring[queue, Ring.BYTES] + (label & 0xFFFF)
            if depth > limit:
                counts[port, PortTally.DROPPED] += 1
                routes.lost[position] += 1
                owner = routes.owner[position]
                if label & FOLLOWED:
                    end_following(owner, birth, label, NO_ROOM, tally.followed, tally.fates)
                if trace is not None:
                    held = ring[queue, Ring.BYTES]
                    write_down(
                        port, owner, came, REFUSED, held, 0, birth, label, turn, NO_ROOM, trace
                    )
                continue
            counts[port, PortTally.DEEPEST] = max(counts[port, PortTally.DEEPEST], depth)
            if waiting == 0 and arrival > now and now < until and rank > 0:
                chosen = AT_ONCE
                break
            ring[queue, Ring.BYTES] = depth
            waiting += 1
            if rank == 0:
                reserved += 1
            count = ring[queue, Ring.COUNT]
            if count > ring[queue, Ring.MASK]:
                keep_back(port, queue, came, birth, label, turn, queues.stash)
                status = QUEUE_FULL
                break
            place = ring[queue, Ring.BASE] + (
                (ring[queue, Ring.FRONT] + count) & ring[queue, Ring.MASK]
            )
            cells[place, Frame.ARRIVAL] = came
            cells[place, Frame.BIRTH] = birth
            cells[place, Frame.LABEL] = label
            cells[place, Frame.CYCLE] = turn
            ring[queue, Ring.COUNT] = count + 1
        if status != DONE or now >= until:
            break
        if waiting == 0 and chosen != AT_ONCE:
            continue

        if trace is not None and chosen != AT_ONCE and is_nearly_full(port, trace):
            status = TRACE_FULL
            break

        # Choose the queue to send from; a reserved frame must end before its cycle does.
        if now >= cycle_end and buffers > 0:
            cycle = (now - phase - error_at(now, errors, every)) // cycle_length
            cycle_end = when_shown(phase + (cycle + 1) * cycle_length, errors, every)
        if reserved > 0:
            queue = first + cycle % buffers
            if ring[queue, Ring.COUNT] > 0:
                place = ring[queue, Ring.BASE] + (ring[queue, Ring.FRONT] & ring[queue, Ring.MASK])
                if now + line_time[cells[place, Frame.LABEL] & 0xFFFF] <= cycle_end:
                    chosen = queue
        queue = first + buffers
        while chosen == -1 and queue < last:
            if ring[queue, Ring.COUNT] > 0:
                chosen = queue
            queue += 1
        if chosen == -1:
            wake = cycle_end
            now = min(arrival, wake, until)
            continue

        # Send its first frame.
        if chosen >= 0:
            place = ring[chosen, Ring.BASE] + (ring[chosen, Ring.FRONT] & ring[chosen, Ring.MASK])
            came = cells[place, Frame.ARRIVAL]
            label = cells[place, Frame.LABEL]
            birth = cells[place, Frame.BIRTH]
            turn = cells[place, Frame.CYCLE]
        position = (label >> 16) & POSITIONS
        frame_bytes = label & 0xFFFF
        target = int(hop[position, NextHop.LANE])
        rank = int(rank_of[position])
        if must_deliver(port, target, delivered, reached, counts):
            deliver_reached(
                port, delivered, reached, late, routes.damper_clock, network.clock_error,
                network.block, network.steady_from, network.end, counts, tally.owner, tally.block,
                tally.bins, tally.birth, tally.followed, tally.fates,
            )  # fmt: skip
            delivered = 0
        status = room_ahead(port, target, sender, lane_mask, counts)
        if status != DONE:
            if chosen == AT_ONCE:
                queue = first + buffers + rank - 1
                keep_back(port, queue, came, birth, label, turn, queues.stash)
                ring[queue, Ring.BYTES] = frame_bytes
            break
        if chosen >= 0:
            ring[chosen, Ring.FRONT] += 1
            ring[chosen, Ring.COUNT] -= 1
            ring[chosen, Ring.BYTES] -= frame_bytes
            waiting -= 1
        if rank == 0:
            reserved -= 1
            if cycle != turn:
                late[position] += 1
            turn = cycle + routes.shift[position]
        counts[port, PortTally.FRAMES] += 1
        counts[port, PortTally.WIRE_BYTES] += frame_bytes + 20
        if now >= network.steady_from:
            counts[port, PortTally.STEADY] += frame_bytes + 20
        started = now
        now += line_time[frame_bytes]
        wake = now
        ended = started + line_time[frame_bytes - GAP_BYTES]
        arrives = ended + network.propagation[port]
        if target >= 0:
            if target < inner:
                arrives += network.processing_low[port]
                if network.processing_span[port] > 1:
                    bits = draw(tally.port_dice, port, 0)
                    arrives += (bits * network.processing_span[port]) >> 32
            if trace is not None:
                owner = routes.owner[position]
                left_in = turn - routes.shift[position]
                there = max(arrives, sender[target, Sender.LAST_ARRIVAL])
                write_down(
                    port, owner, came, started, ended, there, birth, label, left_in, PASSED_ON,
                    trace,
                )  # fmt: skip
            label = int(hop[position, NextHop.NEXT]) << 16 | frame_bytes | (label >> 47 << 47)
            hand_on(target, arrives, birth, label, turn, sender, lane_base, lane_mask, lane_cells)
            continue
        owner = int(hop[position, NextHop.NEXT])
        if trace is not None:
            arrives = pass_damper(
                position, owner, birth, arrives, tally.owner, late, routes.damper_clock,
                network.clock_error, network.block,
            )  # fmt: skip
            write_down(
                port, owner, came, started, ended, arrives, birth, label, turn, PASSED_ON, trace
            )
            if label & FOLLOWED and arrives <= network.end:
                end_following(owner, birth, label, PASSED_ON, tally.followed, tally.fates)
            deliver(
                port, owner, birth, arrives, frame_bytes, network.steady_from, network.end, counts,
                tally.owner, tally.block, tally.bins, tally.birth,
            )  # fmt: skip
        else:
            reach_listener(delivered, arrives, birth, label, owner, reached)
            delivered += 1
    deliver_reached(
        port, delivered, reached, late, routes.damper_clock, network.clock_error, network.block,
        network.steady_from, network.end, counts, tally.owner, tally.block, tally.bins, tally.birth,
        tally.followed, tally.fates,
    )  # fmt: skip
    counts[port, PortTally.FREE_AT] = now
    counts[port, PortTally.WAKE] = wake_at(now, wake, waiting, status)
    return status
