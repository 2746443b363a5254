"""The inner loops of the simulator.

A *lane* joins two ports that some route uses in sequence; it holds the frames between them in
order of arrival. (Lanes beyond those into the last port lead into none: in them an emulator sees
what comes out of a wire, before the next node has had it.) What begins to leave a port at t
reaches the next one no sooner than t and the lane's *reach*: the shortest frame up to its last bit,
or what of it a node that cuts through wants, propagation and least processing. So a port can
be served, alone and at once, up to the earliest time that a port before it has come to, and that
lane's reach: any order of serving that keeps this rule, on any thread, gives the same result
(`qnet.simulate.windows.kernels` chooses one).

A *source* hands the frames of one stream path or demand part to its first port. A *position* is
one hop of one route; those of a port are consecutive, in the order of routes.

Frames in lanes and queues are rows of four: time of arrival, time of birth,
`position << 16 | frame bytes`, and cycle of the port they are at (reserved frames only). A
kernel that runs out of room stops and says so; the caller makes room and calls it again.

Copies of frames that go over two paths are told apart: their label has FOLLOWED and the lowest 16
bits of the frame's number from bit 48 on. What becomes of each is written into `Tally.fates`, by
whichever port it happens at.

Histograms are kept in blocks of 16 bins, one octave each, from a pool that each port has for the
owners whose listener is behind it; an owner takes a block when the first frame falls in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, highest_bit, inline_kernel, prefetch
from qnet.simulate.clocks.kernels import error_at, when_shown

Ints = NDArray[np.int64]

NEVER = 1 << 62
WORD = 0xFFFFFFFF

POSITIONS = 0x7FFFFFFF
"""Mask of a position, in a label that is shifted by 16."""

FOLLOWED = 1 << 47
"""In a label: what becomes of this copy is noted."""

# Columns of a frame; of one that has reached its listener.
ARRIVAL, BIRTH, LABEL, CYCLE = 0, 1, 2, 3
OWNER = 3

# Columns of `Routes.hop`. LANE is -1 where the frame is delivered; NEXT is the position at the
# next port, or the owner where the frame is delivered.
LANE, NEXT = 0, 1

# Columns of `Lanes.sender` and of `Lanes.receiver`: written by the port before and by the port
# after the lane, in rows of one cache line each.
TAIL, LAST_ARRIVAL, ROOM_UNTIL = 0, 1, 2
HEAD, NEXT_ARRIVAL, SEEN_TAIL = 0, 1, 2

# Columns of `Sources.state` and of `Sources.law`.
NEXT_TIME, LEFT, NEXT_CYCLE, CARRY, SENT, SENT_BYTES, NEXT_NUMBER, DICE = 0, 1, 2, 3, 4, 5, 6, 8
KIND, GAP, SHIFT, PACKETS, START, SIZE_FIRST, SIZE_LAST, PERIOD = 0, 1, 2, 3, 4, 5, 6, 7
PERIODIC, PACED, POISSON = 0, 1, 2

# Columns of `Sources.heap`.
TIME, SOURCE = 0, 1

# Columns of `Queues.ring`.
FRONT, COUNT, BYTES, BASE, MASK = 0, 1, 2, 3, 4

# Columns of `Tally.port` and of `Tally.owner`. The blocks of bins of a port begin at BLOCK_BASE; it
# has noted its counts at the end of NOTED intervals. Before WAKE it begins nothing, unless a frame
# comes: NEVER where nothing waits.
FRAMES, WIRE_BYTES, STEADY, DEEPEST, DROPPED = 0, 1, 2, 3, 4
FREE_AT, SERVED, BLOCK_BASE, BLOCKS, BLOCK_ROOM, NOTED, WAKE = 5, 6, 7, 8, 9, 10, 11
RECEIVED, RECEIVED_BYTES, STEADY_BYTES, LEAST, EXCESS, MOST, FLOOR, HOLD = 0, 1, 2, 3, 4, 5, 6, 7

BLOCK_BINS = 16

GAP_BYTES = 12
"""Of line time, after the last bit: a frame that holds the line as long as one of so many bytes
less is this frame up to its last bit."""

AHEAD, SOON = 8, 3
"""How many frames before it is used the place of a frame in a lane is asked for, and its hop."""

REACHED_ROOM = 64
"""Entries of `Tally.reached`."""

# Columns of `Tally.birth`: of the first frame that had the least latency, and the most.
BEST, WORST = 0, 1

# Columns of `Tally.followed`.
FATES_BASE, FATES_MASK, FATES_LOW = 0, 1, 2

# What becomes of a copy.
PASSED_ON, NO_ROOM, RED, STAYED, LINK_LOST, DUPLICATE, ROGUE_NUMBER = 0, 1, 2, 3, 4, 5, 6
"""Received, or sent on; dropped by a full queue, by a meter or since it would stay in a shaper for
too long; lost or damaged on the link; discarded where copies meet, for another came before or its
number is beyond the history."""

# Columns of `Trace.rows`.
QUEUED, STARTED, ENDED, REACHED, BORN, TRACED_LABEL, LEFT_IN, FATE = 0, 1, 2, 3, 4, 5, 6, 7
"""Queued, first bit out, last bit out, at the next port (or handed over), birth, label, cycle, and
what became of it here.

A frame for which there was no room has REFUSED for its start, and the bytes of the queue that it
found in place of its end.
"""
REFUSED = -1

DONE, QUEUE_FULL, LANE_FULL, BLOCKS_FULL, TRACE_FULL = 0, 1, 2, 3, 4

AT_ONCE = -2
"""In place of a queue: the frame in hand, which has not waited."""


class Network(NamedTuple):
    """What does not change: ports, clocks and the run's own figures."""

    line_time: Ints
    """[rate, frame bytes]: time for which the wire is held, preamble and gap included."""
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
    """[node, block]: of its clock, at the block's begin; see `clocks.kernels`."""
    lane_first: Ints
    """[port]: the lanes into port p are lane_first[p] to lane_first[p + 1] - 1."""
    only_rank: Ints
    """[port]: the rank of all its frames, where that is one and not 0; else 0."""
    cycle: int
    cycle_buffers: int
    classes: int
    block: int
    """Clock errors are known at multiples of this time; no call of `serve` goes beyond one."""
    steady_from: int
    end: int


class Routes(NamedTuple):
    """One entry per position, unless said otherwise."""

    hop: NDArray[np.int32]
    """[position, 2]: LANE, NEXT. Eight to a cache line: no table is read more often."""
    rank: NDArray[np.int32]
    """0 for reserved frames, 1 and more for the other classes in order of priority."""
    shift: NDArray[np.int32]
    """Cycles from this port's cycle to the next port's."""
    owner: Ints
    lost: Ints
    late: Ints
    damper_clock: Ints
    """[owner]: node whose clock times the damper."""


class Lanes(NamedTuple):
    """Rings of frames on their way; capacities are powers of two."""

    base: Ints
    mask: Ints
    sender: Ints
    receiver: Ints
    cells: Ints
    feeder: Ints
    """The port before the lane."""
    reach: Ints
    """Least time from beginning to leave the port before to reaching the port after; above 0."""


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
    """[owner, 8]: counts; FLOOR is the least latency of the route, HOLD the time from birth after
    which a damper hands a frame over, or -1."""
    block: NDArray[np.int32]
    """[owner, octave]: number, from 1 on, of the block in its last port's pool; 0 is none yet."""
    bins: Ints
    """[block, 16]."""
    birth: Ints
    """[owner, 2]: BEST and WORST."""
    followed: Ints
    """[owner, 4]: where the ring of its copies' fates is, and the lowest number in it."""
    fates: Ints
    """Of the copy with a number: its birth while it is under way, then -1 - what became of it."""
    settled: Ints
    """[row, 3]: stream of two paths, set of fates and frames that are in no ring any more; see
    `qnet.simulate.fates`."""
    reached: Ints
    """[entry, 4]: frames at their listener that are not yet counted, with ARRIVAL, BIRTH, LABEL and
    OWNER. Each thread has its own; it is empty but while a port is served."""


class Trace(NamedTuple):
    """What is written down frame by frame; None in its place compiles to nothing at all."""

    followed: Ints
    """[owner]: 1 for those whose frames are written down wherever they go."""
    since: Ints
    until: Ints
    """[port]: all frames that start here, or find no room, from one time to before the other."""
    slot: Ints
    """[port]: row of `rows` and of `used`, or -1."""
    used: Ints
    """[slot]: entries written."""
    rows: Ints
    """[slot, entry, column]"""


class Counts(NamedTuple):
    """What each port had done by the end of each interval."""

    step: int
    """Length of an interval; the last one ends with the run."""
    end: int
    rows: Ints
    """[port, interval]: frames, wire bytes and drops since the run began, and the deepest queue
    in the interval."""
    ring_first: Ints
    ring_last: Ints
    """[port]: its queues are the rings ring_first[p] to ring_last[p] - 1."""


class World(NamedTuple):
    """All of it."""

    network: Network
    routes: Routes
    lanes: Lanes
    queues: Queues
    sources: Sources
    tally: Tally


@bare_kernel
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


@bare_kernel
def bin_of(value_ps: int) -> int:
    """Return the histogram bin of a value of zero or more (see `qnet.model.histogram`)."""
    units = value_ps >> 10
    if units < 16:
        return units
    octave = highest_bit(units) - 3
    return min(16 * octave + (units >> (octave - 1)) - 16, 591)


@bare_kernel
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


@bare_kernel
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


@bare_kernel
def settle(heap: Ints, base: int, size: int) -> None:
    """Let the top of a port's heap sink to its place: earliest first, then lowest number."""
    time = heap[base, TIME]
    moving = heap[base, SOURCE]
    place = base
    child = base + 1
    last = base + size
    while child < last:
        if child + 1 < last:
            # Which of two comes first is anybody's guess: no branch, no wrong guess.
            gap = heap[child + 1, TIME] - heap[child, TIME]
            lower = heap[child + 1, SOURCE] < heap[child, SOURCE]
            child += (gap < 0) | ((gap == 0) & lower)
        gap = heap[child, TIME] - time
        if gap > 0 or (gap == 0 and heap[child, SOURCE] > moving):
            break
        heap[place, TIME] = heap[child, TIME]
        heap[place, SOURCE] = heap[child, SOURCE]
        place = child
        child = 2 * (child - base) + 1 + base
    heap[place, TIME] = time
    heap[place, SOURCE] = moving


@inline_kernel
def draw_size(source: int, state: Ints, law: Ints, size_bytes: Ints, size_limit: Ints) -> int:
    """Return the bytes of a source's next frame."""
    size = law[source, SIZE_FIRST]
    if size + 1 < law[source, SIZE_LAST]:
        bits = draw(state, source, DICE)
        while bits >= size_limit[size]:
            size += 1
    return size_bytes[size]


@inline_kernel
def prefetch_frame(lane: int, number: int, base: Ints, mask: Ints, cells: Ints) -> None:
    """Ask for the place of a frame in its lane before it is read, or written."""
    prefetch(cells, 4 * (base[lane] + (number & mask[lane])))


@inline_kernel
def prefetch_sources(
    top: int, heap_size: int, heap: Ints, state: Ints, law: Ints, hop: NDArray[np.int32]
) -> None:
    """Ask for what is read of a port's next source, and of those that may be the next after it."""
    prefetch(hop, 2 * law[heap[top, SOURCE], START])
    for place in range(top + 1, top + min(heap_size, 3)):
        source = heap[place, SOURCE]
        prefetch(law, source * law.shape[1])
        prefetch(state, source * state.shape[1])


@inline_kernel
def next_arrival(lane: int, base: Ints, mask: Ints, receiver: Ints, cells: Ints) -> None:
    """Note when the first frame of a lane arrives, as far as this window may see."""
    head = receiver[lane, HEAD]
    prefetch_frame(lane, head + AHEAD, base, mask, cells)
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
def room_ahead(port: int, target: int, sender: Ints, lane_mask: Ints, counts: Ints) -> int:
    """Return DONE when a frame can go to its lane, or to its listener (-1); else what is full."""
    status = DONE
    if target >= 0:
        if sender[target, TAIL] - sender[target, ROOM_UNTIL] > lane_mask[target]:
            status = LANE_FULL
    elif counts[port, BLOCKS] == counts[port, BLOCK_ROOM]:
        status = BLOCKS_FULL
    return status


@inline_kernel
def hand_on(
    target: int,
    arrives: int,
    birth: int,
    label: int,
    turn: int,
    sender: Ints,
    lane_base: Ints,
    lane_mask: Ints,
    lane_cells: Ints,
) -> None:
    """Put a frame into the lane to the next port, not before the one ahead of it."""
    arrives = max(arrives, sender[target, LAST_ARRIVAL])
    sender[target, LAST_ARRIVAL] = arrives
    tail = sender[target, TAIL]
    place = lane_base[target] + (tail & lane_mask[target])
    lane_cells[place, ARRIVAL] = arrives
    lane_cells[place, BIRTH] = birth
    lane_cells[place, LABEL] = label
    lane_cells[place, CYCLE] = turn
    sender[target, TAIL] = tail + 1
    prefetch_frame(target, tail + AHEAD, lane_base, lane_mask, lane_cells)


@inline_kernel
def deliver(
    port: int,
    owner: int,
    birth: int,
    arrives: int,
    frame_bytes: int,
    steady_from: int,
    end: int,
    counts: Ints,
    row: Ints,
    block: NDArray[np.int32],
    bins: Ints,
    births: Ints,
) -> None:
    """Count a frame that reaches its listener, unless the run is over by then."""
    if arrives > end:
        return
    excess = arrives - birth - row[owner, FLOOR]
    row[owner, RECEIVED] += 1
    row[owner, RECEIVED_BYTES] += frame_bytes
    if arrives >= steady_from:
        row[owner, STEADY_BYTES] += frame_bytes + 20
    row[owner, EXCESS] += excess
    if excess < row[owner, LEAST]:
        row[owner, LEAST] = excess
        births[owner, BEST] = birth
    if excess > row[owner, MOST]:
        row[owner, MOST] = excess
        births[owner, WORST] = birth
    bin_number = bin_of(excess)
    octave = bin_number // BLOCK_BINS
    number = np.int64(block[owner, octave])
    if number == 0:
        number = counts[port, BLOCKS] + 1
        counts[port, BLOCKS] = number
        block[owner, octave] = number
    bins[counts[port, BLOCK_BASE] + number - 1, bin_number % BLOCK_BINS] += 1


@bare_kernel
def follow(source: int, birth: int, label: int, state: Ints, followed: Ints, fates: Ints) -> int:
    """Give a copy that is born its number, and note that it is under way; return its label."""
    number = state[source, NEXT_NUMBER]
    state[source, NEXT_NUMBER] = number + 1
    fates[followed[source, FATES_BASE] + (number & followed[source, FATES_MASK])] = birth
    return int(label | ((number & 0xFFFF ^ 0x8000) - 0x8000) << 48)


@bare_kernel
def end_following(
    owner: int, birth: int, label: int, fate: int, followed: Ints, fates: Ints
) -> None:
    """Note what has become of a copy.

    The label has 16 bits of its number: of the copies under way with these it is the one of this
    birth.
    """
    base, mask = followed[owner, FATES_BASE], followed[owner, FATES_MASK]
    low = followed[owner, FATES_LOW]
    number = low + (((label >> 48) - low) & 0xFFFF)
    while number <= low + mask:
        if fates[base + (number & mask)] == birth:
            fates[base + (number & mask)] = -1 - fate
            return
        number += 0x10000


@bare_kernel
def damper_due(
    owner: int, birth: int, hold: int, damper_clock: Ints, clock_error: Ints, block_length: int
) -> int:
    """Return when the damper of a listener's node hands a frame over, by that node's clock."""
    return when_shown(birth + hold, clock_error[damper_clock[owner]], block_length)


@inline_kernel
def pass_damper(
    position: int,
    owner: int,
    birth: int,
    arrives: int,
    row: Ints,
    late: Ints,
    damper_clock: Ints,
    clock_error: Ints,
    block_length: int,
) -> int:
    """Return when the listener has a frame: at once, or when its damper's time has come."""
    if row[owner, HOLD] >= 0:
        due = damper_due(owner, birth, row[owner, HOLD], damper_clock, clock_error, block_length)
        if arrives > due:
            late[position] += 1
        arrives = max(arrives, due)
    return arrives


@inline_kernel
def reach_listener(
    number: int, arrives: int, birth: int, label: int, owner: int, reached: Ints
) -> None:
    """Put a frame behind the `number` others in `reached`."""
    reached[number, ARRIVAL] = arrives
    reached[number, BIRTH] = birth
    reached[number, LABEL] = label
    reached[number, OWNER] = owner


@inline_kernel
def must_deliver(port: int, target: int, number: int, reached: Ints, counts: Ints) -> bool:
    """Tell whether the `number` frames in `reached` are to be delivered before another goes there.

    There is no room for one more, or perhaps no block for each of them.
    """
    return target < 0 and (
        number == reached.shape[0] or counts[port, BLOCKS] + number >= counts[port, BLOCK_ROOM]
    )


@bare_kernel
def deliver_reached(
    port: int,
    number: int,
    reached: Ints,
    late: Ints,
    damper_clock: Ints,
    clock_error: Ints,
    block_length: int,
    steady_from: int,
    end: int,
    counts: Ints,
    row: Ints,
    block: NDArray[np.int32],
    bins: Ints,
    births: Ints,
    followed: Ints | None,
    fates: Ints | None,
) -> None:
    """Deliver the first `number` frames of `reached`.

    What is kept of one listener lies far from what is kept of another, and in three places of
    which each says where the next one is. Two loops over many frames wait for memory a few times;
    frame by frame it would be three times for each. `followed` and `fates` are None where no copy
    is followed.
    """
    for entry in range(number):
        position = reached[entry, LABEL] >> 16
        if followed is not None:
            position &= POSITIONS
        reached[entry, ARRIVAL] = pass_damper(
            position, reached[entry, OWNER], reached[entry, BIRTH], reached[entry, ARRIVAL], row,
            late, damper_clock, clock_error, block_length,
        )  # fmt: skip
    for entry in range(number):
        deliver(
            port, reached[entry, OWNER], reached[entry, BIRTH], reached[entry, ARRIVAL],
            reached[entry, LABEL] & 0xFFFF, steady_from, end, counts, row, block, bins, births,
        )  # fmt: skip
    if followed is not None and fates is not None:
        for entry in range(number):
            label = reached[entry, LABEL]
            if label & FOLLOWED and reached[entry, ARRIVAL] <= end:
                end_following(
                    reached[entry, OWNER], reached[entry, BIRTH], label, PASSED_ON, followed, fates
                )


@inline_kernel
def keep_back(
    port: int, queue: int, came: int, birth: int, label: int, turn: int, stash: Ints
) -> None:
    """Put aside the frame in hand: its ring, or where it is to go to, has no room."""
    stash[port, ARRIVAL] = came
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


@inline_kernel
def wake_at(now: int, wake: int, waiting: int, status: int) -> int:
    """Return WAKE of a port that has come to a time, knowing that it next looks at `wake`."""
    if status != DONE:
        return now
    return max(now, wake) if waiting > 0 else NEVER


@bare_kernel
def is_nearly_full(port: int, trace: Trace) -> bool:
    """Tell whether the trace may lack room for the two rows that a port may write next."""
    slot = trace.slot[port]
    return slot >= 0 and trace.used[slot] + 2 > trace.rows.shape[1]


@bare_kernel
def write_down(
    port: int,
    owner: int,
    queued: int,
    started: int,
    ended: int,
    reached: int,
    birth: int,
    label: int,
    turn: int,
    fate: int,
    trace: Trace,
) -> None:
    """Add a row to the trace, if the frame is one of those wanted; there is room for it."""
    slot = trace.slot[port]
    when = queued if started == REFUSED else started
    if slot >= 0 and (trace.followed[owner] or trace.since[port] <= when < trace.until[port]):
        row = trace.rows[slot, trace.used[slot]]
        row[QUEUED] = queued
        row[STARTED] = started
        row[ENDED] = ended
        row[REACHED] = reached
        row[BORN] = birth
        row[TRACED_LABEL] = label
        row[LEFT_IN] = turn
        row[FATE] = fate
        trace.used[slot] += 1


@bare_kernel
def note_ends(noted: int, counts: Counts) -> int:
    """Return when a port is to note its counts next that has done so `noted` times."""
    if noted == counts.rows.shape[1]:
        return NEVER
    return min((noted + 1) * counts.step, counts.end)


@bare_kernel
def note_counts(port: int, queues: Queues, tally: Tally, counts: Counts) -> None:
    """Note a port's counts at the end of an interval, and begin the next."""
    now = tally.port
    row = counts.rows[port, now[port, NOTED]]
    row[0] = now[port, FRAMES]
    row[1] = now[port, WIRE_BYTES]
    row[2] = now[port, DROPPED]
    row[3] = now[port, DEEPEST]
    # What waits over the end belongs to the next interval too.
    deepest = 0
    for ring in range(counts.ring_first[port], counts.ring_last[port]):
        deepest = max(deepest, queues.ring[ring, BYTES])
    now[port, DEEPEST] = deepest
    now[port, NOTED] += 1


@bare_kernel
def serve(
    port: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
    counts: Counts | None,
    trace: Trace | None,
) -> int:
    """Serve one port up to a time; return DONE, or what there was no room in.

    The lanes into the port must hold all that arrives before that time. Both ways of
    serving give the same result; only the general one writes a trace.
    """
    take_back(port, queues)
    for lane in range(network.lane_first[port], network.lane_first[port + 1]):
        next_arrival(lane, lanes.base, lanes.mask, lanes.receiver, lanes.cells)
    if trace is None and network.only_rank[port] > 0:
        return serve_in_order(port, until, network, routes, lanes, queues, sources, tally, counts)
    if counts is None:
        return serve_classes(port, until, network, routes, lanes, queues, sources, tally, trace)
    while True:
        ends = note_ends(tally.port[port, NOTED], counts)
        status = serve_classes(
            port, min(until, ends), network, routes, lanes, queues, sources, tally, trace
        )
        if status != DONE or ends > until:
            return status
        note_counts(port, queues, tally, counts)


@inline_kernel
def earliest_two(first: int, last: int, receiver: Ints, source_time: int) -> tuple[int, int, int]:
    """As `earliest`, and return also when somebody else brings a frame."""
    best = -1
    time = source_time
    bound = NEVER
    for lane in range(first, last):
        arrival = receiver[lane, NEXT_ARRIVAL]
        if arrival < time:
            bound = time
            time = arrival
            best = lane
        else:
            bound = min(bound, arrival)
    return best, time, bound


@inline_kernel
def forget_sent(
    came: int, mask: int, base: int, front: int, count: int, depth: int, cells: Ints
) -> tuple[int, int, int]:
    """Take what has begun to leave before `came` off the record: front, count and bytes left."""
    while count > 0:
        place = base + (front & mask)
        if cells[place, ARRIVAL] >= came:
            break
        depth -= cells[place, LABEL]
        front += 1
        count -= 1
    return front, count, depth


@bare_kernel
def serve_in_order(
    port: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
    counts: Counts | None,
) -> int:
    """Serve a port that all frames leave in the order in which they came: one class, no cycles.

    When a frame will begin to leave is known when it comes, so it is sent on at once. The queue's
    ring is a record of when those before it begin (ARRIVAL) and of their bytes (LABEL): the depth
    of the queue is worked out from it, but only where it may be more than ever before.
    """
    receiver, sender, lane_cells = lanes.receiver, lanes.sender, lanes.cells
    lane_base, lane_mask = lanes.base, lanes.mask
    heap, state, law = sources.heap, sources.state, sources.law
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
    base, mask = ring[queue, BASE], ring[queue, MASK]
    front, count, depth = ring[queue, FRONT], ring[queue, COUNT], ring[queue, BYTES]
    free_at, deepest = state_of[port, FREE_AT], state_of[port, DEEPEST]
    frames, wire_bytes, steady = count, depth + 20 * count, 0
    status = DONE
    source_time = heap[top, TIME] if heap_size else NEVER
    lane, arrival, bound = earliest_two(first_lane, last_lane, receiver, source_time)
    # Of the lane that brings frames: its next frame, what may be seen of it, and its ring.
    head, seen, around, start = 0, 0, 0, 0
    if lane >= 0:
        head, seen = receiver[lane, HEAD], receiver[lane, SEEN_TAIL]
        around, start = lane_mask[lane], lane_base[lane]
    here = start + (head & around)
    noted, ends = state_of[port, NOTED], NEVER
    if counts is not None:
        ends = note_ends(noted, counts)
    while True:
        stop = min(until, ends)
        while arrival < stop:
            # Who brings it, and is there room where it goes?
            came = arrival
            if lane >= 0:
                birth = lane_cells[here, BIRTH]
                label = lane_cells[here, LABEL]
                position = label >> 16
            else:
                source = heap[top, SOURCE]
                birth = came
                position = law[source, START]
            target = int(hop[position, LANE])
            following = int(hop[position, NEXT])
            if must_deliver(port, target, delivered, reached, state_of):
                deliver_reached(
                    port, delivered, reached, routes.late, routes.damper_clock,
                    network.clock_error, network.block, steady_from, end, state_of, tally.owner,
                    tally.block, tally.bins, tally.birth, None, None,
                )  # fmt: skip
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
                prefetch(hop, 2 * (lane_cells[start + ((head + SOON) & around), LABEL] >> 16))
                arrival = lane_cells[here, ARRIVAL] if head < seen else NEVER
            else:
                frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
                advance(source, frame_bytes, state, law, sources.log_table)
                heap[top, TIME] = state[source, NEXT_TIME]
                settle(heap, top, heap_size)
                source_time = heap[top, TIME]
                arrival = source_time
                prefetch_sources(top, heap_size, heap, state, law, hop)
            if arrival >= bound:
                if lane >= 0:
                    receiver[lane, HEAD] = head
                    receiver[lane, NEXT_ARRIVAL] = arrival
                lane, arrival, bound = earliest_two(first_lane, last_lane, receiver, source_time)
                if lane >= 0:
                    head, seen = receiver[lane, HEAD], receiver[lane, SEEN_TAIL]
                    around, start = lane_mask[lane], lane_base[lane]
                    here = start + (head & around)
            begins = max(free_at, came)
            if free_at <= came:
                count, depth = 0, 0
            if begins - came > (deepest - frame_bytes) * byte_time:
                front, count, depth = forget_sent(came, mask, base, front, count, depth, cells)
                if depth + frame_bytes > limit:
                    state_of[port, DROPPED] += 1
                    routes.lost[position] += 1
                    continue
                deepest = max(deepest, depth + frame_bytes)
            place = base + ((front + count) & mask)
            cells[place, ARRIVAL] = begins
            cells[place, LABEL] = frame_bytes
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
        row = counts.rows[port, noted]
        row[0] = state_of[port, FRAMES] + frames - count
        row[1] = state_of[port, WIRE_BYTES] + wire_bytes - depth - 20 * count
        row[2] = state_of[port, DROPPED]
        row[3] = deepest
        deepest = depth
        noted += 1
        ends = note_ends(noted, counts)
    deliver_reached(
        port, delivered, reached, routes.late, routes.damper_clock, network.clock_error,
        network.block, steady_from, end, state_of, tally.owner, tally.block, tally.bins,
        tally.birth, None, None,
    )  # fmt: skip
    if lane >= 0:
        receiver[lane, HEAD] = head
        receiver[lane, NEXT_ARRIVAL] = arrival
    ring[queue, FRONT], ring[queue, COUNT], ring[queue, BYTES] = front, count, depth
    state_of[port, FREE_AT], state_of[port, DEEPEST] = free_at, deepest
    state_of[port, WAKE] = NEVER
    state_of[port, FRAMES] += frames - count
    state_of[port, WIRE_BYTES] += wire_bytes - depth - 20 * count
    state_of[port, STEADY] += steady
    state_of[port, NOTED] = noted
    return status


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
        first_lane, last_lane, receiver, heap[top, TIME] if heap_size else NEVER
    )
    waiting = 0
    reserved = 0
    for queue in range(first, last):
        waiting += ring[queue, COUNT]
        if queue < first + buffers:
            reserved += ring[queue, COUNT]
    now = counts[port, FREE_AT]
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
                place = lane_base[lane] + (receiver[lane, HEAD] & lane_mask[lane])
                birth = lane_cells[place, BIRTH]
                label = lane_cells[place, LABEL]
                turn = lane_cells[place, CYCLE]
                receiver[lane, HEAD] += 1
                next_arrival(lane, lane_base, lane_mask, receiver, lane_cells)
            else:
                source = heap[top, SOURCE]
                frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
                birth = arrival
                label = (law[source, START] << 16) | frame_bytes
                if label & FOLLOWED:
                    label = follow(source, birth, label, state, tally.followed, tally.fates)
                turn = state[source, NEXT_CYCLE]
                advance(source, frame_bytes, state, law, sources.log_table)
                heap[top, TIME] = state[source, NEXT_TIME]
                settle(heap, top, heap_size)
                prefetch_sources(top, heap_size, heap, state, law, hop)
            lane, arrival = earliest(
                first_lane, last_lane, receiver, heap[top, TIME] if heap_size else NEVER
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
            depth = ring[queue, BYTES] + (label & 0xFFFF)
            if depth > limit:
                counts[port, DROPPED] += 1
                routes.lost[position] += 1
                owner = routes.owner[position]
                if label & FOLLOWED:
                    end_following(owner, birth, label, NO_ROOM, tally.followed, tally.fates)
                if trace is not None:
                    held = ring[queue, BYTES]
                    write_down(
                        port, owner, came, REFUSED, held, 0, birth, label, turn, NO_ROOM, trace
                    )
                continue
            counts[port, DEEPEST] = max(counts[port, DEEPEST], depth)
            if waiting == 0 and arrival > now and now < until and rank > 0:
                chosen = AT_ONCE
                break
            ring[queue, BYTES] = depth
            waiting += 1
            if rank == 0:
                reserved += 1
            count = ring[queue, COUNT]
            if count > ring[queue, MASK]:
                keep_back(port, queue, came, birth, label, turn, queues.stash)
                status = QUEUE_FULL
                break
            place = ring[queue, BASE] + ((ring[queue, FRONT] + count) & ring[queue, MASK])
            cells[place, ARRIVAL] = came
            cells[place, BIRTH] = birth
            cells[place, LABEL] = label
            cells[place, CYCLE] = turn
            ring[queue, COUNT] = count + 1
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
            wake = cycle_end
            now = min(arrival, wake, until)
            continue

        # Send its first frame.
        if chosen >= 0:
            place = ring[chosen, BASE] + (ring[chosen, FRONT] & ring[chosen, MASK])
            came = cells[place, ARRIVAL]
            label = cells[place, LABEL]
            birth = cells[place, BIRTH]
            turn = cells[place, CYCLE]
        position = (label >> 16) & POSITIONS
        frame_bytes = label & 0xFFFF
        target = int(hop[position, LANE])
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
                ring[queue, BYTES] = frame_bytes
            break
        if chosen >= 0:
            ring[chosen, FRONT] += 1
            ring[chosen, COUNT] -= 1
            ring[chosen, BYTES] -= frame_bytes
            waiting -= 1
        if rank == 0:
            reserved -= 1
            if cycle != turn:
                late[position] += 1
            turn = cycle + routes.shift[position]
        counts[port, FRAMES] += 1
        counts[port, WIRE_BYTES] += frame_bytes + 20
        if now >= network.steady_from:
            counts[port, STEADY] += frame_bytes + 20
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
                there = max(arrives, sender[target, LAST_ARRIVAL])
                write_down(
                    port, owner, came, started, ended, there, birth, label, left_in, PASSED_ON,
                    trace,
                )  # fmt: skip
            label = int(hop[position, NEXT]) << 16 | frame_bytes | (label >> 47 << 47)
            hand_on(target, arrives, birth, label, turn, sender, lane_base, lane_mask, lane_cells)
            continue
        owner = int(hop[position, NEXT])
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
    counts[port, FREE_AT] = now
    counts[port, WAKE] = wake_at(now, wake, waiting, status)
    return status
