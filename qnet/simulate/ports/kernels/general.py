"""The general port's queues, and its server."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.kernels.delivery import end_following
from qnet.simulate.kernels.lanes import earliest, next_arrival, room_ahead
from qnet.simulate.kernels.queues import wake_at
from qnet.simulate.kernels.records import is_nearly_full, write_down
from qnet.simulate.kernels.sources import advance, draw_size, follow, settle
from qnet.simulate.ports.kernels.credit import credit_wait, first_in, spend
from qnet.simulate.ports.kernels.cyclic import choose_cyclic
from qnet.simulate.ports.kernels.gates import (
    entry_at,
    gate_ready,
    hold_state,
    open_by,
    open_time,
    shown_by,
    when_shown_by,
)
from qnet.simulate.ports.kernels.meters import meter, shape
from qnet.simulate.ports.kernels.outages import broken_by, down_at, take_held
from qnet.simulate.ports.kernels.preemption import cut_after, whole_after
from qnet.simulate.ports.kernels.sending import room_for_copies, send_on
from qnet.simulate.ports.kernels.timed import emit_next
from qnet.simulate.ports.kernels.weights import pay, take_turns
from qnet.simulate.ports.parts import (
    CUT,
    DOOMED,
    IN_OWN_NODE,
    NOTHING,
    SENDING,
    TIMED,
    Cause,
    Parts,
    PortLaw,
    PositionLaw,
    RingLaw,
    RingState,
    SourceTable,
    Wire,
)
from qnet.simulate.world import (
    DONE,
    FOLLOWED,
    GAP_BYTES,
    NEVER,
    NO_ROOM,
    POSITIONS,
    QUEUE_FULL,
    RED,
    REFUSED,
    STAYED,
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
    SourceHeap,
    SourceLaw,
    Sources,
    SourceState,
    Tally,
    Trace,
)

Ints = NDArray[np.int64]


@inline_kernel
def put(here: int, came: int, birth: int, label: int, turn: int, ring: Ints, cells: Ints,
        is_sorted: bool) -> None:  # fmt: skip
    """Append a frame to its ring; before those that may go later where the ring is sorted."""
    base, front, mask = ring[here, Ring.BASE], ring[here, Ring.FRONT], ring[here, Ring.MASK]
    at = ring[here, Ring.COUNT]
    while is_sorted and at > 0:
        before = base + ((front + at - 1) & mask)
        if cells[before, Frame.CYCLE] <= turn:
            break
        place = base + ((front + at) & mask)
        for column in range(4):
            cells[place, column] = cells[before, column]
        at -= 1
    place = base + ((front + at) & mask)
    cells[place, Frame.ARRIVAL] = came
    cells[place, Frame.BIRTH] = birth
    cells[place, Frame.LABEL] = label
    cells[place, Frame.CYCLE] = turn
    ring[here, Ring.COUNT] += 1


@inline_kernel
def refuse(port: int, came: int, held: int, birth: int, label: int, turn: int, fate: int,
           owners: Ints, followed: Ints, fates: Ints, trace: Trace | None) -> None:  # fmt: skip
    """Note what became of a frame that was dropped when it came, and write it down."""
    owner = owners[(label >> 16) & POSITIONS]
    if label & FOLLOWED:
        end_following(owner, birth, label, fate, followed, fates)
    if trace is not None:
        write_down(port, owner, came, REFUSED, held, 0, birth, label, turn, fate, trace)


@inline_kernel
def choose(first: int, last: int, now: int, shown: int, entry: int, begin: int, port_law: Ints,
           errors: Ints, block: int, ring: Ints, cells: Ints, line_time: Ints, law: Ints,
           state: Ints, gate_end: Ints, gate_change: Ints,
           gate_open: Ints) -> tuple[int, int]:  # fmt: skip
    """Return the ring to send from now, or -1; and then a time to ask again (or NEVER).

    Strict priority among groups of rings (IEEE 802.1Q clause 8.6.8.1), turns within a group.
    """
    gated = port_law[PortLaw.GATE_FIRST] < port_law[PortLaw.GATE_LAST]
    wake = NEVER
    here = first
    while here < last:
        group_last = law[here, RingLaw.GROUP_LAST]
        found = -1
        for one in range(here, group_last):
            if ring[one, Ring.COUNT] == 0:
                continue
            place = ring[one, Ring.BASE] + (ring[one, Ring.FRONT] & ring[one, Ring.MASK])
            ready = max(cells[place, Frame.CYCLE], now)
            if law[one, RingLaw.IDLE] > 0:
                opened = now
                if gated:
                    opened = open_time(
                        shown, law[one, RingLaw.BIT], entry, begin, port_law, gate_end, gate_change,
                        gate_open,
                    )  # fmt: skip
                wait = credit_wait(one, now, opened, law, state)
                if gated and wait > 0:
                    # No sooner than this; a gate that closes meanwhile makes it later.
                    ready = max(ready, when_shown_by(shown + wait, port_law, errors, block))
                else:
                    ready = max(ready, now + wait)
            if gated and (ready == now or law[one, RingLaw.IDLE] > 0):
                line = line_time[cells[place, Frame.LABEL] & 0xFFFF]
                opens = gate_ready(
                    now, line, law[one, RingLaw.BIT], shown, entry, begin, port_law, errors, block,
                    gate_change,
                )  # fmt: skip
                ready = max(ready, opens)
            state[one, RingState.READY] = ready
            if ready <= now:
                found = one
            wake = min(wake, ready)
        if found >= 0:
            if law[found, RingLaw.WEIGHT] > 0:
                found = take_turns(here, group_last, now, ring, cells, law, state)
            return found, now
        here = group_last
    return -1, wake


@bare_kernel
def serve_port(
    port: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
    trace: Trace | None,
    parts: Parts,
) -> int:
    """Serve one general port up to a time; return DONE, or what there was no room in.

    In turns: take in what has arrived; choose a frame; send it. A preemptable frame stays on the
    wire until no more than the least rest of it is to come; only then is it known when it leaves.
    Where there is no room nothing is done, and the next call does it.
    """
    receiver, sender, lane_cells = lanes.receiver, lanes.sender, lanes.cells
    lane_base, lane_mask = lanes.base, lanes.mask
    ring, cells, counts = queues.ring, queues.cells, tally.port
    state, law, heap = sources.state, sources.law, sources.heap
    late, wire, dropped = routes.late, parts.wire, parts.dropped
    ring_law, ring_state, mine = parts.ring, parts.ring_state, parts.source_state
    cycle_length, buffers = network.cycle, network.cycle_buffers
    line_time = network.line_time[network.rate[port]]
    first_lane, last_lane = network.lane_first[port], network.lane_first[port + 1]
    heap_base = sources.first[port]
    heap_size = sources.first[port + 1] - heap_base
    first, first_queue = parts.port[port, PortLaw.FIRST], parts.port[port, PortLaw.QUEUES]
    preemptable, last = parts.port[port, PortLaw.PREEMPTABLE], parts.port[port, PortLaw.LAST]
    port_law = parts.port[port]
    errors, block = network.clock_error[network.clock[port]], network.block
    gate_end, gate_change, gate_open = parts.gate_end, parts.gate_change, parts.gate_open
    gated = port_law[PortLaw.GATE_FIRST] < port_law[PortLaw.GATE_LAST]
    by_clock = gated or first < first_queue

    for lane in range(first_lane, last_lane):
        next_arrival(lane, lane_base, lane_mask, receiver, lane_cells)
    source_time = heap[heap_base, SourceHeap.TIME] if heap_size else NEVER
    lane, arrival = earliest(first_lane, last_lane, receiver, source_time)
    now = counts[port, PortTally.FREE_AT]
    waiting, resume = 0, now
    for one in range(first, last):
        waiting += ring[one, Ring.COUNT]
    status = DONE
    while True:
        # Take in what has arrived: where it goes first, and whether there is room.
        while arrival <= now and arrival < until:
            if trace is not None and is_nearly_full(port, trace):
                status = TRACE_FULL
                break
            if lane >= 0:
                place = lane_base[lane] + (receiver[lane, Receiver.HEAD] & lane_mask[lane])
                birth, label = lane_cells[place, Frame.BIRTH], lane_cells[place, Frame.LABEL]
                turn = lane_cells[place, Frame.CYCLE]
                position = (label >> 16) & POSITIONS
            else:
                source = heap[heap_base, SourceHeap.SOURCE]
                position = law[source, SourceLaw.START]
                turn = state[source, SourceState.NEXT_CYCLE]
            here = parts.position[position & POSITIONS, PositionLaw.RING]
            is_late = False
            if here < 0:
                came_at = shown_by(arrival, port_law, errors, block)
                present = came_at // cycle_length
                if parts.port[port, PortLaw.BY_ARRIVAL] > 0:
                    # CQF (IEEE 802.1Q annex T): what comes in one cycle leaves in the next.
                    is_late = turn != present + 1
                    turn = present + 1
                else:
                    wait = turn * cycle_length - came_at
                    if wait < 0 or wait > (buffers - 1) * cycle_length:
                        is_late = True
                        turn = present + (turn - present) % buffers
                here = first + turn % buffers
            if ring[here, Ring.COUNT] > ring[here, Ring.MASK]:
                status = QUEUE_FULL
                break
            came = arrival
            head = 0
            if lane >= 0:
                head = parts.head[lane]
                receiver[lane, Receiver.HEAD] += 1
                next_arrival(lane, lane_base, lane_mask, receiver, lane_cells)
            else:
                frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
                birth = came
                label = (position << 16) | frame_bytes
                position &= POSITIONS
                if label & FOLLOWED:
                    label = follow(source, birth, label, state, tally.followed, tally.fates)
                elif mine[source, SourceTable.NUMBERED] > 0:
                    number = (mine[source, SourceTable.NUMBER] & 0xFFFF ^ 0x8000) - 0x8000
                    label |= number << 48
                    mine[source, SourceTable.NUMBER] += 1
                if law[source, SourceLaw.KIND] == TIMED:
                    emit_next(
                        source, frame_bytes, state, law, mine, parts.timetable,
                        network.clock_error, network.block,
                    )  # fmt: skip
                else:
                    advance(source, frame_bytes, state, law, sources.log_table)
                heap[heap_base, SourceHeap.TIME] = state[source, SourceState.NEXT_TIME]
                settle(heap, heap_base, heap_size)
                source_time = heap[heap_base, SourceHeap.TIME]
            taken = -1
            if port_law[PortLaw.OUT_FIRST] < port_law[PortLaw.OUT_LAST]:
                if lane < 0 or label & DOOMED:
                    taken = down_at(port, came, IN_OWN_NODE, parts.port, parts.outage)
                label &= ~DOOMED
            lane, arrival = earliest(first_lane, last_lane, receiver, source_time)
            if taken >= 0:
                take_held(
                    port, came, ring[here, Ring.BYTES], birth, label, turn, taken, routes.owner,
                    tally, trace, parts,
                )  # fmt: skip
                continue

            # Meter, shaper and buffer.
            frame_bytes = label & 0xFFFF
            late[position] += is_late
            row = parts.position[position, PositionLaw.METER]
            if row >= 0 and not meter(row, came, frame_bytes, parts.meter):
                counts[port, PortTally.DROPPED] += 1
                dropped[position, Cause.POLICED] += 1
                refuse(
                    port, came, ring[here, Ring.BYTES], birth, label, turn, RED, routes.owner,
                    tally.followed, tally.fates, trace,
                )  # fmt: skip
                continue
            eligible = came
            row = parts.position[position, PositionLaw.SHAPER]
            if row >= 0:
                group = parts.position[position, PositionLaw.GROUP]
                eligible = shape(row, group, came, frame_bytes, parts.shaper, parts.group)
                if eligible < 0:
                    counts[port, PortTally.DROPPED] += 1
                    dropped[position, Cause.RESIDENCE] += 1
                    refuse(
                        port,
                        came,
                        ring[here, Ring.BYTES],
                        birth,
                        label,
                        turn,
                        STAYED,
                        routes.owner,
                        tally.followed,
                        tally.fates,
                        trace,
                    )
                    continue
            depth = ring[here, Ring.BYTES] + frame_bytes
            limit = network.buffer_bytes[port] if here >= first_queue else network.cycle_bytes[port]
            if depth > limit:
                counts[port, PortTally.DROPPED] += 1
                routes.lost[position] += 1
                refuse(
                    port, came, ring[here, Ring.BYTES], birth, label, turn, NO_ROOM, routes.owner,
                    tally.followed, tally.fates, trace,
                )  # fmt: skip
                continue
            counts[port, PortTally.DEEPEST] = max(counts[port, PortTally.DEEPEST], depth)
            if ring_law[here, RingLaw.IDLE] > 0 and ring[here, Ring.COUNT] == 0:
                opened = open_by(
                    came,
                    ring_law[here, RingLaw.BIT],
                    port_law,
                    errors,
                    block,
                    gate_end,
                    gate_change,
                    gate_open,
                )
                first_in(here, came, opened, ring_law, ring_state)
            # Cut-through is for an idle port; at a busy one all of the frame is waited for.
            busy = now > came or waiting > 0 or wire[port, Wire.IS] != NOTHING
            if busy and head > 0 and first_queue <= here < preemptable:
                eligible = max(eligible, came + line_time[frame_bytes - GAP_BYTES] - head)
            ring[here, Ring.BYTES] = depth
            if here >= first_queue:
                turn = eligible
            put(here, came, birth, label, turn, ring, cells, ring_law[here, RingLaw.SORTED] > 0)
            waiting += 1
        if status == DONE and trace is not None and is_nearly_full(port, trace):
            status = TRACE_FULL
        if status != DONE or now >= until:
            break

        leaves, free_at, sure, taken = 0, 0, 0, -1
        sending = wire[port, Wire.IS] == SENDING
        unfinished = wire[port, Wire.IS] != NOTHING
        chosen, wake, held = -1, NEVER, False
        shown, entry, begin = 0, 0, 0
        busy = waiting > 0 or unfinished
        if busy and by_clock:
            shown = shown_by(now, port_law, errors, block)
        if busy and gated:
            entry, begin = entry_at(shown, port_law, gate_end)
        if busy and port_law[PortLaw.HOLD_ADVANCE] > 0:
            held, wake = hold_state(now, entry, begin, port_law, errors, block, gate_change)
        if waiting > 0 and first < first_queue:
            chosen, ready = choose_cyclic(
                now, shown, entry, begin, cycle_length, buffers, port_law, errors, block, ring,
                cells, line_time, ring_law, gate_change,
            )  # fmt: skip
            wake = min(wake, ready)
        if waiting > 0 and chosen < 0:
            chosen, ready = choose(
                first_queue, preemptable if unfinished or held else last, now, shown, entry,
                begin, port_law, errors, block, ring, cells, line_time, ring_law, ring_state,
                gate_end, gate_change, gate_open,
            )  # fmt: skip
            wake = min(wake, ready)
        if sending:
            # A preemptable frame is on the wire: cut it, or send it on when nothing can cut it now.
            begun, rest = wire[port, Wire.BEGUN], wire[port, Wire.REST]
            sure = begun + whole_after(rest, port_law[PortLaw.RATE])
            cut = 0
            if chosen >= 0 or held:
                cut = cut_after(now - begun, rest, port_law[PortLaw.RATE])
            if cut > 0:
                wire[port, Wire.IS] = CUT
                wire[port, Wire.REST] = rest - cut
                counts[port, PortTally.WIRE_BYTES] += cut + 24
                if wire[port, Wire.OUTAGE] == 0:
                    ended = begun + line_time[cut + 4 - GAP_BYTES]
                    wire[port, Wire.OUTAGE] = 1 + broken_by(
                        port, begun, ended, parts.port, parts.outage
                    )
                if begun >= network.steady_from:
                    counts[port, PortTally.STEADY] += cut + 24
                now = resume = begun + line_time[cut + 4]
                continue
            if now < sure:
                resume = min(sure, wake)
                now = min(resume, arrival, until)
                continue
            leaves, now, frame_bytes = begun + line_time[rest - GAP_BYTES], begun, rest
            free_at = begun + line_time[rest]
            chosen = wire[port, Wire.RING]
            label, birth, turn = (
                wire[port, Wire.LABEL],
                wire[port, Wire.BIRTH],
                wire[port, Wire.CAME],
            )
            came = turn
        elif chosen < 0:
            if unfinished and not held:
                wire[port, Wire.IS], wire[port, Wire.BEGUN] = SENDING, now
            else:
                resume = wake
                now = min(arrival, wake, until)
            continue
        else:
            place = ring[chosen, Ring.BASE] + (ring[chosen, Ring.FRONT] & ring[chosen, Ring.MASK])
            label, birth, turn = (
                cells[place, Frame.LABEL],
                cells[place, Frame.BIRTH],
                cells[place, Frame.CYCLE],
            )
            came = cells[place, Frame.ARRIVAL]
            frame_bytes = label & 0xFFFF
        position = (label >> 16) & POSITIONS
        target = int(routes.hop[position, NextHop.LANE])
        if sending or chosen < preemptable:
            status = room_ahead(port, target, sender, lane_mask, counts)
            if parts.fork[position] >= 0 and status == DONE:
                status = room_for_copies(
                    parts.fork[position], port, sender, lane_mask, counts, routes.hop, parts.fork
                )
        if status != DONE:
            now = max(now, sure) if sending else now
            break

        if not sending:
            # Take it out of its ring; a preemptable frame has not left before its last bit.
            ring[chosen, Ring.FRONT] += 1
            ring[chosen, Ring.COUNT] -= 1
            waiting -= 1
            ring[chosen, Ring.BYTES] -= frame_bytes
            if ring_law[chosen, RingLaw.IDLE] > 0:
                bit, line = ring_law[chosen, RingLaw.BIT], line_time[frame_bytes]
                opened = open_by(
                    now, bit, port_law, errors, block, gate_end, gate_change, gate_open
                )
                spend(chosen, now, opened, line, ring_law, ring_state)
                ring_state[chosen, RingState.OPEN_AT] = open_by(
                    now + line, bit, port_law, errors, block, gate_end, gate_change, gate_open
                )
            if ring_law[chosen, RingLaw.WEIGHT] > 0:
                pay(chosen, first_queue, frame_bytes, ring, ring_law, ring_state)
            if chosen >= preemptable:
                wire[port, Wire.IS], wire[port, Wire.BEGUN], wire[port, Wire.REST] = (
                    SENDING,
                    now,
                    frame_bytes,
                )
                wire[port, Wire.LABEL], wire[port, Wire.BIRTH] = label, birth
                wire[port, Wire.CAME], wire[port, Wire.RING] = came, chosen
                continue
            if chosen < first_queue:
                cycle = shown // cycle_length
                if cycle != turn:
                    late[position] += 1
                turn = cycle + routes.shift[position]
            leaves, free_at = now + line_time[frame_bytes - GAP_BYTES], now + line_time[frame_bytes]
        else:
            wire[port, Wire.IS] = NOTHING
            taken = wire[port, Wire.OUTAGE] - 1
            wire[port, Wire.OUTAGE] = 0
        counts[port, PortTally.FRAMES] += 1
        counts[port, PortTally.WIRE_BYTES] += frame_bytes + 20
        if now >= network.steady_from:
            counts[port, PortTally.STEADY] += frame_bytes + 20
        frame_bytes = label & 0xFFFF
        started, now = now, free_at
        resume = now

        cut_through = first_queue <= chosen < preemptable
        left_in = turn - routes.shift[position]
        send_on(
            port, position, came, started, leaves, birth, label, left_in, cut_through, taken,
            network, routes, lanes, tally, trace, parts,
        )  # fmt: skip
    counts[port, PortTally.FREE_AT] = now
    waiting += wire[port, Wire.IS] != NOTHING
    counts[port, PortTally.WAKE] = wake_at(now, resume, waiting, status)
    return status
