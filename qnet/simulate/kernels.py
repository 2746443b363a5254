"""The inner loops of the simulator.

Network time is cut into windows no longer than the shortest way from one port to the next
(propagation and least processing). What leaves a port within a window reaches the next port after
the window's end, so within one window every port can be served alone, in any order and on any
thread, with the same result.

A *lane* joins two ports that some route uses in sequence; it holds the frames between them in
order of arrival. Lanes beyond the last port's lead into no port: an emulator sees in them what
comes out of a wire, before the next node has had it. A *source* hands the frames of one stream
path or demand part to its first port. A *position* is one hop of one route; positions of a route
are consecutive.

Frames in lanes and queues are rows of four: time of arrival, time of birth,
`position << 16 | frame bytes`, and cycle of the port they are at (reserved frames only).
A kernel that runs out of room stops and says so; the caller makes room and calls it again.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel, kernel, parallel_kernel

Ints = NDArray[np.int64]

NEVER = 1 << 62
WORD = 0xFFFFFFFF

# Columns of a frame.
ARRIVAL, BIRTH, LABEL, CYCLE = 0, 1, 2, 3

# Columns of `Lanes.sender` and of `Lanes.receiver`: written by the port before and by the port
# after the lane, in rows of one cache line each.
TAIL, LAST_ARRIVAL, ROOM_UNTIL = 0, 1, 2
HEAD, NEXT_ARRIVAL, SEEN_TAIL = 0, 1, 2

# Columns of `Sources.state` and of `Sources.law`.
NEXT_TIME, LEFT, NEXT_CYCLE, CARRY, DICE, SENT, SENT_BYTES = 0, 1, 2, 3, 4, 8, 9
KIND, GAP, SHIFT, PACKETS, START, SIZE_FIRST, SIZE_LAST, PERIOD = 0, 1, 2, 3, 4, 5, 6, 7
PERIODIC, PACED, POISSON = 0, 1, 2

# Columns of `Sources.heap`.
TIME, SOURCE = 0, 1

# Columns of `Queues.ring`.
FRONT, COUNT, BYTES, BASE, MASK = 0, 1, 2, 3, 4

# Columns of `Tally.port` and of `Tally.owner`.
FRAMES, WIRE_BYTES, STEADY, DEEPEST, DROPPED = 0, 1, 2, 3, 4
FREE_AT, STATUS = 5, 6
RECEIVED, RECEIVED_BYTES, STEADY_BYTES, LEAST, EXCESS, MOST = 0, 1, 2, 3, 4, 5

DONE, QUEUE_FULL, LANE_FULL = 0, 1, 2

AT_ONCE = -2
"""In place of a queue: the frame in hand, which has not waited."""


class Network(NamedTuple):
    """What does not change: ports, clocks and the run's own figures."""

    line_time: Ints
    """[rate, frame bytes]: time on the wire, preamble and gap included."""
    rate: Ints
    """[port]: row of `line_time`."""
    propagation: Ints
    processing_low: Ints
    processing_span: Ints
    """[port]: bounds of the delay in the node after the port; the span is exclusive."""
    buffer_bytes: Ints
    cycle_bytes: Ints
    phase: Ints
    clock: Ints
    """[port]: node whose clock times the cycles."""
    clock_error: Ints
    """[node, block of time]."""
    lane_first: Ints
    """[port]: the lanes into port p are lane_first[p] to lane_first[p + 1] - 1."""
    cycle: int
    cycle_buffers: int
    classes: int
    block: int
    """Clock errors change, and windows end, at multiples of this time."""
    windows_per_block: int
    steady_from: int
    end: int


class Routes(NamedTuple):
    """One entry per position."""

    lane: Ints
    """Lane to the next port, or -1 where the frame is delivered."""
    rank: Ints
    """0 for reserved frames, 1 and more for the other classes in order of priority."""
    shift: Ints
    """Cycles from this port's cycle to the next port's."""
    owner: Ints
    lost: Ints
    late: Ints
    floor: Ints
    """[owner]: least latency of the route."""
    hold: Ints
    """[owner]: time from birth after which a damper hands a frame over, or -1."""
    damper_clock: Ints
    """[owner]: node whose clock times the damper."""


class Lanes(NamedTuple):
    """Rings of frames on their way; capacities are powers of two."""

    base: Ints
    mask: Ints
    sender: Ints
    receiver: Ints
    cells: Ints


class Queues(NamedTuple):
    """Per port: `cycle_buffers` rings for reserved frames, then one for each other class."""

    ring: Ints
    cells: Ints
    stash: Ints
    """[port]: a frame that found its ring full, and its queue or -1."""


class Sources(NamedTuple):
    """Laws and states of all sources; a heap per port has the next one to send on top."""

    first: Ints
    """[port]: the port's sources are heap[first[p]] to heap[first[p + 1] - 1]."""
    heap: Ints
    state: Ints
    law: Ints
    size_bytes: Ints
    size_limit: Ints
    """Draws below the limit take the size; the last limit is above every draw."""
    log_table: Ints


class Tally(NamedTuple):
    """What is counted, and each port's dice."""

    port: Ints
    port_dice: Ints
    owner: Ints
    histogram: Ints


class World(NamedTuple):
    """All of it."""

    network: Network
    routes: Routes
    lanes: Lanes
    queues: Queues
    sources: Sources
    tally: Tally


@kernel
def draw(dice: Ints, row: int, column: int) -> int:
    """Return the next 32 random bits: xoshiro128++ (Blackman and Vigna), in int64 arithmetic."""
    a = dice[row, column]
    b = dice[row, column + 1]
    c = dice[row, column + 2]
    d = dice[row, column + 3]
    total = (a + d) & WORD
    result = ((((total << 7) & WORD) | (total >> 25)) + a) & WORD
    c ^= a
    d ^= b
    dice[row, column + 1] = b ^ c
    dice[row, column] = a ^ d
    dice[row, column + 2] = c ^ ((b << 9) & WORD)
    dice[row, column + 3] = ((d << 11) & WORD) | (d >> 21)
    return result


@kernel
def highest_bit(value: int) -> int:
    """Return the position of the highest set bit of a positive number below 2**63."""
    bit = 0
    for step in (32, 16, 8, 4, 2, 1):
        if value >> (bit + step):
            bit += step
    return bit


@kernel
def bin_of(value_ps: int) -> int:
    """Return the histogram bin of a value of zero or more (see `qnet.model.histogram`)."""
    units = value_ps >> 10
    if units < 16:
        return units
    octave = highest_bit(units) - 3
    return min(16 * octave + (units >> (octave - 1)) - 16, 591)


@kernel
def exponential(bits: int, log_table: Ints) -> int:
    """Turn 32 random bits into an exponential draw of mean 1, in units of 2**-32.

    -ln(u) is split into the leading zeros of u and a table of the logarithm with linear
    interpolation; integers only, so the same on every machine. The mean is high by 1e-6.
    """
    bits = max(bits, 1)
    zeros = 31 - highest_bit(bits)
    mantissa = (bits << zeros) & WORD
    index = (mantissa >> 23) & 255
    step = log_table[index] - log_table[index + 1]
    return zeros * log_table[0] + log_table[index] - ((step * (mantissa & 0x7FFFFF)) >> 23)


@kernel
def advance(source: int, frame_bytes: int, state: Ints, law: Ints, log_table: Ints) -> None:
    """Set the time, and the cycle, of a source's next frame after one has been sent.

    PERIODIC: every GAP. PACED: SHIFT / GAP picoseconds for each byte sent. POISSON: exponential
    with mean GAP / 2**(SHIFT - 20). What division leaves over is carried to the next gap.
    """
    state[source, SENT] += 1
    state[source, SENT_BYTES] += frame_bytes
    kind = law[source, KIND]
    if kind == PACED:
        state[source, CARRY] += (frame_bytes + 20) * law[source, SHIFT]
    state[source, LEFT] -= 1
    if state[source, LEFT] > 0:
        return
    state[source, LEFT] = law[source, PACKETS]
    if kind == PERIODIC:
        state[source, NEXT_TIME] += law[source, GAP]
        state[source, NEXT_CYCLE] += law[source, PERIOD]
    elif kind == PACED:
        state[source, NEXT_TIME] += state[source, CARRY] // law[source, GAP]
        state[source, CARRY] %= law[source, GAP]
    else:
        shift = law[source, SHIFT]
        unit = exponential(draw(state, source, DICE), log_table) >> 12
        carry = state[source, CARRY] + unit * law[source, GAP]
        state[source, NEXT_TIME] += carry >> shift
        state[source, CARRY] = carry & ((1 << shift) - 1)


@kernel
def settle(heap: Ints, base: int, size: int) -> None:
    """Let the top of a port's heap sink to its place: earliest first, then lowest number."""
    time = heap[base, TIME]
    moving = heap[base, SOURCE]
    place = base
    child = base + 1
    last = base + size
    while child < last:
        if child + 1 < last:
            gap = heap[child + 1, TIME] - heap[child, TIME]
            if gap < 0 or (gap == 0 and heap[child + 1, SOURCE] < heap[child, SOURCE]):
                child += 1
        gap = heap[child, TIME] - time
        if gap > 0 or (gap == 0 and heap[child, SOURCE] > moving):
            break
        heap[place, TIME] = heap[child, TIME]
        heap[place, SOURCE] = heap[child, SOURCE]
        place = child
        child = 2 * (child - base) + 1 + base
    heap[place, TIME] = time
    heap[place, SOURCE] = moving


@kernel
def draw_size(source: int, sources: Sources) -> int:
    """Return the bytes of a source's next frame."""
    size = sources.law[source, SIZE_FIRST]
    if size + 1 < sources.law[source, SIZE_LAST]:
        bits = draw(sources.state, source, DICE)
        while bits >= sources.size_limit[size]:
            size += 1
    return sources.size_bytes[size]


@inline_kernel
def next_arrival(lane: int, base: Ints, mask: Ints, receiver: Ints, cells: Ints) -> None:
    """Note when the first frame of a lane arrives, as far as this window may see."""
    head = receiver[lane, HEAD]
    if head < receiver[lane, SEEN_TAIL]:
        receiver[lane, NEXT_ARRIVAL] = cells[base[lane] + (head & mask[lane]), ARRIVAL]
    else:
        receiver[lane, NEXT_ARRIVAL] = NEVER


@inline_kernel
def earliest(first: int, last: int, receiver: Ints, source_time: int) -> tuple[int, int]:
    """Return who brings the next frame, and when: a lane, or -1 for the port's sources."""
    best = -1
    time = source_time
    for lane in range(first, last):
        if receiver[lane, NEXT_ARRIVAL] < time:
            time = receiver[lane, NEXT_ARRIVAL]
            best = lane
    return best, time


@inline_kernel
def deliver(owner: int, excess: int, frame_bytes: int, steady: bool, tally: Tally) -> None:
    """Count a frame that has reached its listener, `excess` above the least latency."""
    row = tally.owner
    row[owner, RECEIVED] += 1
    row[owner, RECEIVED_BYTES] += frame_bytes
    if steady:
        row[owner, STEADY_BYTES] += frame_bytes + 20
    row[owner, EXCESS] += excess
    row[owner, LEAST] = min(row[owner, LEAST], excess)
    row[owner, MOST] = max(row[owner, MOST], excess)
    tally.histogram[owner, bin_of(excess)] += 1


@inline_kernel
def keep_back(port: int, queue: int, birth: int, label: int, turn: int, stash: Ints) -> None:
    """Put aside the frame in hand: its ring, or the lane that it is to go to, has no room."""
    stash[port, BIRTH] = birth
    stash[port, LABEL] = label
    stash[port, CYCLE] = turn
    stash[port, 4] = queue


@inline_kernel
def take_back(port: int, queues: Queues) -> None:
    """Queue the frame that was put aside; there is room now, and its bytes are counted already."""
    ring, cells, stash = queues.ring, queues.cells, queues.stash
    queue = stash[port, 4]
    if queue >= 0:
        place = ring[queue, BASE] + ((ring[queue, FRONT] + ring[queue, COUNT]) & ring[queue, MASK])
        for column in range(4):
            cells[place, column] = stash[port, column]
        ring[queue, COUNT] += 1
        stash[port, 4] = -1


@kernel
def serve(
    port: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
) -> int:
    """Serve one port up to a time; return DONE, or what there was no room in.

    At every moment when the wire is free: take in what has arrived, then send the first frame of
    the highest class that has one that may go.
    """
    receiver, sender, lane_cells = lanes.receiver, lanes.sender, lanes.cells
    lane_base, lane_mask = lanes.base, lanes.mask
    ring, cells, counts = queues.ring, queues.cells, tally.port
    state, law, heap = sources.state, sources.law, sources.heap
    rank, late = routes.rank, routes.late
    cycle_length, buffers = network.cycle, network.cycle_buffers
    line_time = network.line_time[network.rate[port]]
    first_lane, last_lane = network.lane_first[port], network.lane_first[port + 1]
    heap_base = sources.first[port]
    heap_size = sources.first[port + 1] - heap_base
    first = port * (buffers + network.classes)
    last = first + buffers + network.classes
    inner = network.lane_first[network.lane_first.size - 1]
    block = (until - 1) // network.block
    phase = network.phase[port] + network.clock_error[network.clock[port], block]

    take_back(port, queues)
    for lane in range(first_lane, last_lane):
        next_arrival(lane, lane_base, lane_mask, receiver, lane_cells)
    source_time = heap[heap_base, TIME] if heap_size else NEVER
    lane, arrival = earliest(first_lane, last_lane, receiver, source_time)
    waiting = 0
    reserved = 0
    for queue in range(first, last):
        waiting += ring[queue, COUNT]
        if queue < first + buffers:
            reserved += ring[queue, COUNT]
    now = counts[port, FREE_AT]
    cycle = (now - phase) // cycle_length
    cycle_end = phase + (cycle + 1) * cycle_length
    status = DONE
    while status == DONE:
        if waiting == 0 and arrival > now:
            if arrival >= until:
                break
            now = arrival

        # Take in what has arrived. A frame that finds nothing waiting goes to the wire at once.
        chosen = -1
        while arrival <= now and arrival < until:
            if lane >= 0:
                place = lane_base[lane] + (receiver[lane, HEAD] & lane_mask[lane])
                birth = lane_cells[place, BIRTH]
                label = lane_cells[place, LABEL]
                turn = lane_cells[place, CYCLE]
                receiver[lane, HEAD] += 1
                next_arrival(lane, lane_base, lane_mask, receiver, lane_cells)
            else:
                source = heap[heap_base, SOURCE]
                frame_bytes = draw_size(source, sources)
                birth = arrival
                label = (law[source, START] << 16) | frame_bytes
                turn = state[source, NEXT_CYCLE]
                advance(source, frame_bytes, state, law, sources.log_table)
                heap[heap_base, TIME] = state[source, NEXT_TIME]
                settle(heap, heap_base, heap_size)
                source_time = heap[heap_base, TIME]
            position = label >> 16
            queue = first + buffers + rank[position] - 1
            limit = network.buffer_bytes[port]
            if rank[position] == 0:
                # The tag, cycle modulo buffers, names the buffer. A frame that comes after its
                # cycle's start, or while the buffer's last turn is under way, waits for the
                # buffer's next turn, which may be under way too; it is late.
                wait = phase + turn * cycle_length - arrival
                if wait < 0 or wait > (buffers - 1) * cycle_length:
                    late[position] += 1
                    present = (arrival - phase) // cycle_length
                    turn = present + (turn - present) % buffers
                queue = first + turn % buffers
                limit = network.cycle_bytes[port]
            depth = ring[queue, BYTES] + (label & 0xFFFF)
            lane, arrival = earliest(first_lane, last_lane, receiver, source_time)
            if depth > limit:
                counts[port, DROPPED] += 1
                routes.lost[position] += 1
                continue
            counts[port, DEEPEST] = max(counts[port, DEEPEST], depth)
            if waiting == 0 and arrival > now and now < until and rank[position] > 0:
                chosen = AT_ONCE
                break
            ring[queue, BYTES] = depth
            waiting += 1
            if rank[position] == 0:
                reserved += 1
            count = ring[queue, COUNT]
            if count > ring[queue, MASK]:
                keep_back(port, queue, birth, label, turn, queues.stash)
                status = QUEUE_FULL
                break
            place = ring[queue, BASE] + ((ring[queue, FRONT] + count) & ring[queue, MASK])
            cells[place, BIRTH] = birth
            cells[place, LABEL] = label
            cells[place, CYCLE] = turn
            ring[queue, COUNT] = count + 1
        if status != DONE or now >= until:
            break
        if waiting == 0 and chosen != AT_ONCE:
            continue

        # Choose the queue to send from; a reserved frame must end before its cycle does.
        if now >= cycle_end:
            cycle = (now - phase) // cycle_length
            cycle_end = phase + (cycle + 1) * cycle_length
        if reserved > 0:
            queue = first + cycle % buffers
            if ring[queue, COUNT] > 0:
                place = ring[queue, BASE] + (ring[queue, FRONT] & ring[queue, MASK])
                if now + line_time[cells[place, LABEL] & 0xFFFF] <= cycle_end:
                    chosen = queue
        queue = first + buffers
        while chosen == -1 and queue < last:
            if ring[queue, COUNT] > 0:
                chosen = queue
            queue += 1
        if chosen == -1:
            now = min(arrival, cycle_end, until)
            continue

        # Send its first frame.
        if chosen >= 0:
            place = ring[chosen, BASE] + (ring[chosen, FRONT] & ring[chosen, MASK])
            label = cells[place, LABEL]
            birth = cells[place, BIRTH]
            turn = cells[place, CYCLE]
            position = label >> 16
        frame_bytes = label & 0xFFFF
        target = routes.lane[position]
        if target >= 0 and (sender[target, TAIL] - sender[target, ROOM_UNTIL] > lane_mask[target]):
            status = LANE_FULL
            if chosen == AT_ONCE:
                queue = first + buffers + rank[position] - 1
                keep_back(port, queue, birth, label, turn, queues.stash)
                ring[queue, BYTES] = frame_bytes
            break
        if chosen >= 0:
            ring[chosen, FRONT] += 1
            ring[chosen, COUNT] -= 1
            ring[chosen, BYTES] -= frame_bytes
            waiting -= 1
        if rank[position] == 0:
            reserved -= 1
            if cycle != turn:
                late[position] += 1
            turn = cycle + routes.shift[position]
        counts[port, FRAMES] += 1
        counts[port, WIRE_BYTES] += frame_bytes + 20
        if now >= network.steady_from:
            counts[port, STEADY] += frame_bytes + 20
        now += line_time[frame_bytes]
        arrives = now + network.propagation[port]
        if target >= 0:
            if target < inner:
                arrives += network.processing_low[port]
                if network.processing_span[port] > 1:
                    bits = draw(tally.port_dice, port, 0)
                    arrives += (bits * network.processing_span[port]) >> 32
            arrives = max(arrives, sender[target, LAST_ARRIVAL])
            sender[target, LAST_ARRIVAL] = arrives
            tail = sender[target, TAIL]
            place = lane_base[target] + (tail & lane_mask[target])
            lane_cells[place, ARRIVAL] = arrives
            lane_cells[place, BIRTH] = birth
            lane_cells[place, LABEL] = label + 65536
            lane_cells[place, CYCLE] = turn
            sender[target, TAIL] = tail + 1
            continue
        owner = routes.owner[position]
        if routes.hold[owner] >= 0:
            due = birth + routes.hold[owner]
            block = min(due // network.block, network.clock_error.shape[1] - 1)
            due += network.clock_error[routes.damper_clock[owner], block]
            if arrives > due:
                late[position] += 1
            arrives = max(arrives, due)
        if arrives <= network.end:
            excess = arrives - birth - routes.floor[owner]
            deliver(owner, excess, frame_bytes, arrives >= network.steady_from, tally)
    counts[port, FREE_AT] = now
    counts[port, STATUS] = status
    return status


@kernel
def window_end(window: int, network: Network) -> int:
    """Return when a window ends; all windows of a block are alike to a picosecond."""
    block, part = divmod(window + 1, network.windows_per_block)
    return min(
        block * network.block + part * network.block // network.windows_per_block, network.end
    )


@parallel_kernel
def run_windows(
    first: int,
    last: int,
    order: Ints,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
) -> int:
    """Run windows `first` to `last - 1`; return the window to go on with, `last` when all is done.

    `order[group]` lists the ports of one task, closed by -1.
    (The parts of the world come one by one: the compiler does not spread nested tuples.)
    """
    for window in range(first, last):
        until = window_end(window, network)
        for lane in range(lanes.base.size):
            lanes.receiver[lane, SEEN_TAIL] = lanes.sender[lane, TAIL]
            lanes.sender[lane, ROOM_UNTIL] = lanes.receiver[lane, HEAD]
        for group in numba.prange(order.shape[0]):
            for item in range(order.shape[1]):
                port = order[group, item]
                if port >= 0:
                    serve(port, until, network, routes, lanes, queues, sources, tally)
        for port in range(tally.port.shape[0]):
            if tally.port[port, STATUS] != DONE:
                return window
    return last
