"""The inner loops of the link emulator: one loop for all wires and all egress ports.

A real frame leaves a switch by a *wire end*, a packet socket's interface. Behind its last byte it
carries a trailer: the virtual time at which it is queued at the egress port it has come out of,
and the slot in which the emulator remembers it. Its bytes stay in the slot; a row of four numbers
goes through the simulator's own `serve`, among the rows of all the frames that are simulated only.
So a real frame waits, in virtual time, for the whole load of the network. When `serve` has sent
the row on its way, the bytes go into the next switch, with a new trailer.

*Planned* frames follow a route of the plan. Their rows lie in the simulator's lanes already while
the frame is inside a switch; when it comes out of the port that the plan names, the row is
*confirmed*, with the cycle that the frame's tag says. A row that is not confirmed when its window
is served goes on without its frame, which counts as a violation: the switch dropped it or was too
slow for the stretch of time. That of a frame which came out elsewhere is taken out. *Free* frames,
those of real hosts, go where the switches send them: each port is one hop for them.

Virtual time is in picoseconds, wall time in nanoseconds; `wall = origin + virtual * dilation`.
A window, no longer than the shortest way from one port to the next, is served at the wall time of
its end plus a lag; sources run ahead of it, so that their frames have been through the first switch
by then. When a frame is not back in time, virtual time is held, for a while, and so it is when this
loop itself is late: the origin moves.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
from numba import config, types
from numpy.typing import NDArray

from qnet.kernel import inline_kernel, kernel
from qnet.simulate.kernels import (
    ARRIVAL,
    BIRTH,
    CYCLE,
    DONE,
    EXCESS,
    FLOOR,
    HEAD,
    HOLD,
    LABEL,
    LANE,
    LANE_FULL,
    LEAST,
    MOST,
    NEVER,
    NEXT,
    NEXT_CYCLE,
    NEXT_TIME,
    RECEIVED,
    ROOM_UNTIL,
    SEEN_TAIL,
    SOURCE,
    START,
    TAIL,
    TIME,
    Lanes,
    Network,
    Queues,
    Routes,
    Sources,
    Tally,
    advance,
    bin_of,
    draw_size,
    serve,
    settle,
)

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]


def libc(name: str, result: Any, *arguments: Any) -> Any:
    """Return a function of the C library that kernels can call.

    Compiled code finds it by its name, so that it can be cached; the twin calls it by ctypes.
    """
    if config.DISABLE_JIT:
        function = ctypes.CDLL(None, use_errno=True)[name]
        function.argtypes = [ctypes.c_int64] * len(arguments)
        return function
    return types.ExternalFunction(name, result(*arguments))


_recvmmsg = libc(
    "recvmmsg", types.int32, types.int32, types.intp, types.uint32, types.int32, types.intp
)
_sendmmsg = libc("sendmmsg", types.int32, types.int32, types.intp, types.uint32, types.int32)
_ppoll = libc("ppoll", types.int32, types.intp, types.uint64, types.intp, types.intp)
_memcpy = libc("memcpy", types.intp, types.intp, types.intp, types.intp)
_clock_gettime = libc("clock_gettime", types.int32, types.int32, types.intp)

DONT_WAIT = 0x40
POLL_IN = 1
MONOTONIC = 1

# The trailer: magic, version, kind of frame, virtual time, slot, turn of the slot.
TRAILER_BYTES = 24
MAGIC = 0x716E6574
VERSION = 1
FREE_SLOT = 0xFFFFFFFF

# Columns of `Wires.end`.
KIND, PORT, PEER, INTERFACE = 0, 1, 2, 3
SWITCH_END, EDGE_END, HOST_END = 0, 1, 2
"""Ends at a switch's side of a link, at its side of a host's wire, and at the host's side."""

# Columns of `Wires.probe`, one row per source.
EVERY, ENTRY, EXIT, TEMPLATE, TEMPLATES, TWIN, LEADS, MADE = range(8)

# Columns of `Wires.pattern`.
PATTERN_BYTES, PATTERN_FRAME, PATTERN_TAG = 0, 1, 2
STAMP = 42
"""Where a template has room for its source and number: behind Ethernet, IPv4 and UDP headers."""

# Columns of `Pool.slot`.
STATE, BYTES_HELD, VIRTUAL, OWNER, HOP, TURN, BORN, FRAME, TARGET, IN_LANE, COUNTER = range(11)
EXPECTED, SEQUENCE, TWIN_SLOT, RELEASED, BASE = range(11, 16)
UNUSED, WAITING, AWAY, QUEUED, LEAVING = 0, 1, 2, 3, 4
"""Not in use; to be put into a switch; in a switch; in the kernel; on the way to its listener."""

# Entries of `Pool.counts`.
FREE_COUNT, LIVE_COUNT, HEAP_COUNT, RECORD_COUNT, FAULT_COUNT, CAPTURE_BYTES = range(6)
COMPLETE, SERVED, PUT_IN, CAME_OUT, VIOLATIONS, STALE, STRAYS, WRONG_TAGS = range(6, 14)
FREE_FRAMES, FREE_LATE, NO_SLOT, DROPPED_FREE, CUT, SENT_ERRORS, DELIVERED = range(14, 21)
MARGIN_LEAST, TIME_NOW, TO_HOSTS, MADE_REAL, BUSY_LONGEST, HELD_NS, HOLDS, WAITED_NS = range(21, 29)
BUSY_NS, AWAITED, REROUTED = 29, 30, 31

# Columns of `Pool.record` and of `Pool.fault`.
RECORD_OWNER, RECORD_SEQUENCE, RECORD_BORN, RECORD_TIME, RECORD_BYTES, RECORD_AT = range(6)
RECORD_WALL, RECORD_END = 6, 7
FAULT_KIND, FAULT_OWNER, FAULT_PORT, FAULT_FOUND, FAULT_WANTED, FAULT_TIME = range(6)
LATE_OR_LOST, WRONG_PORT, WRONG_TAG, CUT_OFF, OVERFLOW = range(5)

# Rows of `Pool.histogram`: nanoseconds of wall time, counted as thousands of picoseconds.
INSIDE, MARGIN = 0, 1

# Entries of `Wires.law`.
ORIGIN_NS, DILATION, LAG_NS, LEAD, BASE_POSITION, BASE_OWNER, SOCKET, FREE_RANK = range(8)
FREE_RUN, SPIN_NS, BUFFERS, STRIDE, END_PS, BATCH, WINDOW_PS, PATIENCE_NS = range(8, 16)

HOLD_LEAST_NS = 200_000
"""What virtual time is held back by is counted from here on; less is the loop's own round."""

HOLD_ROUND_NS = 500_000
"""How often a held frame is looked for, at least."""

RUNNING, FINISHED, NO_ROOM, RECORDS_FULL = 0, 1, 2, 3


class Wires(NamedTuple):
    """What does not change while the emulator runs."""

    law: Ints
    end: Ints
    """[end]: kind, egress port or -1, end of the other side of an edge or -1, interface."""
    end_of: Ints
    """[interface]: its end, or -1."""
    into: Ints
    """[port]: end by which frames of the port enter the next switch, or -1: not emulated."""
    out_first: Ints
    out_lane: Ints
    """[port]: the lanes out of port p are out_lane[out_first[p]:out_first[p + 1]]."""
    edge_lane: Ints
    """[port]: the lane for frames that come from no port."""
    port_of: Ints
    """[position]: the port of the position."""
    order: Ints
    """Ports to serve."""
    probe: Ints
    pattern: Ints
    """[template]: its bytes, the frame bytes and the cycle tag for which it is used (-1: any)."""
    template: Bytes
    rank_of: Ints
    """[priority code point]: rank of a free frame."""
    down: Ints
    """[port]: from and until when the wire is cut, in virtual time."""


class Pool(NamedTuple):
    """Frames in hand, and what has been noted about them."""

    slot: Ints
    frames: Bytes
    free: Ints
    live: Ints
    place: Ints
    """[slot]: its place in `live`."""
    heap: Ints
    """Frames to put into a switch: wall time and slot, earliest on top."""
    scanned: Ints
    """[lane]: rows looked at."""
    sequences: Ints
    """[owner, sequence % 1024]: slot of a frame whose copy goes another way."""
    counts: Ints
    record: Ints
    capture: Bytes
    fault: Ints
    histogram: Ints


class Messages(NamedTuple):
    """Arrays laid out as the C library's message headers, and what they point to."""

    received: Ints
    names: Bytes
    control: Bytes
    data: Bytes
    sent: Ints
    sent_vector: Ints
    addresses: Bytes
    """[end]: link-layer address of its interface."""
    places: Ints
    """Where `frames` and `addresses` are in memory."""
    poll: Ints
    clock: Ints
    sending: Ints
    """[message]: its slot."""


@kernel
def wall(clock: Ints) -> int:
    """Return the wall time."""
    _clock_gettime(MONOTONIC, clock.ctypes.data)
    return clock[0] * 1_000_000_000 + clock[1]


@inline_kernel
def wall_of(virtual: int, law: Ints) -> int:
    """Return the wall time of a virtual time."""
    return law[ORIGIN_NS] + virtual * law[DILATION] // 1000


@inline_kernel
def virtual_of(wall_ns: int, law: Ints) -> int:
    """Return the virtual time of a wall time."""
    return (wall_ns - law[ORIGIN_NS]) * 1000 // law[DILATION]


@kernel
def copy(target: int, source: int, length: int) -> None:
    """Copy bytes from one address to another; compiled slices go byte by byte."""
    _memcpy(target, source, length)


@kernel
def write(data: Bytes, row: int, first: int, length: int, value: int) -> None:
    """Write a number into a row of bytes, most significant byte first."""
    for i in range(length):
        data[row, first + i] = (value >> (8 * (length - 1 - i))) & 0xFF


@kernel
def read(data: Bytes, row: int, first: int, length: int) -> int:
    """Read a number from a row of bytes, most significant byte first."""
    value: Any = 0
    for i in range(length):
        value = (value << 8) | np.int64(data[row, first + i])
    return value


@kernel
def put_trailer(data: Bytes, row: int, length: int, virtual: int, slot: int, turn: int) -> int:
    """Write the trailer behind a frame; return the new length."""
    write(data, row, length, 4, MAGIC)
    write(data, row, length + 4, 2, VERSION)
    write(data, row, length + 6, 2, 0)
    write(data, row, length + 8, 8, virtual)
    write(data, row, length + 16, 4, slot)
    write(data, row, length + 20, 4, turn)
    return length + TRAILER_BYTES


@kernel
def has_trailer(data: Bytes, row: int, length: int) -> bool:
    """Say whether a frame ends with a trailer."""
    first = length - TRAILER_BYTES
    if first < 14:
        return False
    return read(data, row, first, 4) == MAGIC and read(data, row, first + 4, 2) == VERSION


@kernel
def tag_of(data: Bytes, row: int, length: int) -> int:
    """Return the cycle tag of a frame, or -1 where it has none.

    It is the traffic class of the top MPLS label (RFC 5462) less one, behind VLAN tags, if any.
    """
    at = 12
    while at + 6 <= length:
        ether_type = read(data, row, at, 2)
        if ether_type in (0x8100, 0x88A8):
            at += 4
            continue
        if ether_type == 0x8847:
            tag: Any = ((np.int64(data[row, at + 4]) >> 1) & 7) - 1
            return tag
        return -1
    return -1


@kernel
def take_slot(pool: Pool) -> int:
    """Return an unused slot, or -1."""
    count = pool.counts
    if count[FREE_COUNT] == 0:
        count[NO_SLOT] += 1
        return -1
    count[FREE_COUNT] -= 1
    slot = pool.free[count[FREE_COUNT]]
    pool.place[slot] = count[LIVE_COUNT]
    pool.live[count[LIVE_COUNT]] = slot
    count[LIVE_COUNT] += 1
    row = pool.slot
    row[slot, TURN] = (row[slot, TURN] + 1) & 0x7FFFFFFF
    row[slot, TWIN_SLOT] = -1
    row[slot, EXPECTED] = -1
    row[slot, OWNER] = -1
    row[slot, IN_LANE] = -1
    return slot


@kernel
def drop_slot(slot: int, pool: Pool) -> None:
    """Give a slot back."""
    count = pool.counts
    pool.slot[slot, STATE] = UNUSED
    pool.slot[slot, TURN] += 1
    count[LIVE_COUNT] -= 1
    last = pool.live[count[LIVE_COUNT]]
    pool.live[pool.place[slot]] = last
    pool.place[last] = pool.place[slot]
    pool.free[count[FREE_COUNT]] = slot
    count[FREE_COUNT] += 1


@kernel
def heap_push(time: int, slot: int, pool: Pool) -> None:
    """Note that a frame is to be put into a switch at a wall time."""
    heap, count = pool.heap, pool.counts
    place = count[HEAP_COUNT]
    count[HEAP_COUNT] += 1
    while place > 0:
        parent = (place - 1) >> 1
        if heap[parent, 0] <= time:
            break
        heap[place, 0], heap[place, 1] = heap[parent, 0], heap[parent, 1]
        place = parent
    heap[place, 0], heap[place, 1] = time, slot


@kernel
def heap_pop(pool: Pool) -> int:
    """Take the slot with the earliest time off the heap."""
    heap, count = pool.heap, pool.counts
    slot = heap[0, 1]
    count[HEAP_COUNT] -= 1
    size = count[HEAP_COUNT]
    if size > 0:
        heap[0, 0], heap[0, 1] = heap[size, 0], heap[size, 1]
        settle(heap, 0, size)
    return slot


@kernel
def note_fault(
    kind: int, owner: int, port: int, found: int, wanted: int, time: int, pool: Pool
) -> None:
    """Write down what went wrong with a frame, as long as there is room."""
    at = pool.counts[FAULT_COUNT]
    if at < pool.fault.shape[0]:
        row = pool.fault
        row[at, FAULT_KIND], row[at, FAULT_OWNER], row[at, FAULT_PORT] = kind, owner, port
        row[at, FAULT_FOUND], row[at, FAULT_WANTED], row[at, FAULT_TIME] = found, wanted, time
        pool.counts[FAULT_COUNT] = at + 1


@kernel
def note_arrival(slot: int, end: int, data: Bytes, row: int, length: int, pool: Pool) -> None:
    """Write down a frame that has come out to its host, and its bytes."""
    at = pool.counts[RECORD_COUNT]
    one, record = pool.slot, pool.record
    record[at, RECORD_OWNER] = one[slot, OWNER]
    record[at, RECORD_SEQUENCE] = one[slot, SEQUENCE]
    record[at, RECORD_BORN] = one[slot, BORN]
    record[at, RECORD_TIME] = one[slot, VIRTUAL]
    record[at, RECORD_WALL] = pool.counts[TIME_NOW]
    record[at, RECORD_END] = end
    first = pool.counts[CAPTURE_BYTES]
    record[at, RECORD_AT] = first
    record[at, RECORD_BYTES] = length
    copy(pool.capture.ctypes.data + first, data.ctypes.data + row * data.shape[1], length)
    pool.counts[CAPTURE_BYTES] = first + length
    pool.counts[RECORD_COUNT] = at + 1


@kernel
def plan_hop(slot: int, base: int, wires: Wires, pool: Pool, routes: Routes) -> None:
    """Let the slot's own position do what a position of its source's route does."""
    own = wires.law[BASE_POSITION] + slot
    hop = routes.hop
    delivers = hop[base, LANE] < 0
    hop[own, LANE] = hop[base, LANE]
    hop[own, NEXT] = wires.law[BASE_OWNER] + slot if delivers else own
    routes.rank[own] = routes.rank[base]
    routes.shift[own] = routes.shift[base]
    pool.slot[slot, BASE] = base
    pool.slot[slot, EXPECTED] = wires.port_of[base]


@kernel
def start_planned(
    slot: int, source: int, birth: int, frame_bytes: int, turn: int, wires: Wires, pool: Pool,
    routes: Routes, tally: Tally,
) -> None:  # fmt: skip
    """Fill the slot of a frame that a source has just made."""
    one, probe, own = pool.slot, wires.probe, wires.law[BASE_OWNER] + slot
    made = probe[source, MADE]
    pool.counts[MADE_REAL] += wires.probe[source, LEADS]
    one[slot, STATE] = WAITING
    one[slot, OWNER] = source
    one[slot, HOP] = 0
    one[slot, BORN] = birth
    one[slot, VIRTUAL] = birth
    one[slot, FRAME] = frame_bytes
    one[slot, TARGET] = probe[source, ENTRY]
    one[slot, SEQUENCE] = made
    row = probe[source, TEMPLATE]
    tag = turn % wires.law[BUFFERS]
    for other in range(row, row + probe[source, TEMPLATES]):
        wanted = wires.pattern[other, PATTERN_TAG]
        if wires.pattern[other, PATTERN_FRAME] == frame_bytes and (wanted < 0 or wanted == tag):
            row = other
    length = wires.pattern[row, PATTERN_BYTES]
    one[slot, BYTES_HELD] = length
    stride = wires.law[STRIDE]
    copy(pool.frames.ctypes.data + slot * stride, wires.template.ctypes.data + row * stride, length)
    write(pool.frames, slot, STAMP, 4, source)
    write(pool.frames, slot, STAMP + 4, 4, made)
    tally.owner[own, FLOOR] = 0
    tally.owner[own, HOLD] = tally.owner[source, HOLD]
    routes.damper_clock[own] = routes.damper_clock[source]


@kernel
def pair(slot: int, source: int, pool: Pool, wires: Wires) -> None:
    """Join the two slots of a frame that the talker's switch sends over two paths."""
    one, twin, sequence = pool.slot, wires.probe[source, TWIN], wires.probe[source, MADE]
    pool.sequences[source, sequence & 1023] = slot
    other = pool.sequences[twin, sequence & 1023]
    if other >= 0 and one[other, OWNER] == twin and one[other, SEQUENCE] == sequence:
        one[other, TWIN_SLOT] = slot
        one[slot, TWIN_SLOT] = other


@kernel
def generate(
    until: int,
    wires: Wires,
    pool: Pool,
    routes: Routes,
    lanes: Lanes,
    sources: Sources,
    tally: Tally,
) -> int:
    """Let every source send what it sends before a virtual time, into the edge lane of its port.

    Every n-th frame of a probe is real: it gets a slot, and is put into the talker's switch at
    its wall time. The others are rows only. Return DONE or LANE_FULL.
    """
    heap, law, state, probe = sources.heap, sources.law, sources.state, wires.probe
    for port in wires.order:
        base = sources.first[port]
        size = sources.first[port + 1] - base
        lane = wires.edge_lane[port]
        while size > 0 and heap[base, TIME] < until:
            tail = lanes.sender[lane, TAIL]
            if tail - lanes.receiver[lane, HEAD] > lanes.mask[lane]:
                return LANE_FULL
            source = heap[base, SOURCE]
            birth = heap[base, TIME]
            frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
            turn = state[source, NEXT_CYCLE]
            position = law[source, START]
            advance(source, frame_bytes, state, law, sources.log_table)
            heap[base, TIME] = state[source, NEXT_TIME]
            settle(heap, base, size)
            every = probe[source, EVERY]
            if every > 0:
                if probe[source, MADE] % every == 0:
                    slot = take_slot(pool)
                    if slot >= 0:
                        start_planned(
                            slot, source, birth, frame_bytes, turn, wires, pool, routes, tally
                        )
                        plan_hop(slot, position, wires, pool, routes)
                        one = pool.slot
                        one[slot, IN_LANE] = lane
                        one[slot, COUNTER] = tail
                        position = wires.law[BASE_POSITION] + slot
                        enters = wall_of(birth, wires.law)
                        if probe[source, TWIN] >= 0:
                            pair(slot, source, pool, wires)
                        if probe[source, LEADS] == 1:
                            heap_push(enters, slot, pool)
                        else:
                            one[slot, STATE] = AWAY
                            one[slot, RELEASED] = enters
                probe[source, MADE] += 1
            place = lanes.base[lane] + (tail & lanes.mask[lane])
            lanes.cells[place, ARRIVAL] = birth
            lanes.cells[place, BIRTH] = birth
            lanes.cells[place, LABEL] = (position << 16) | frame_bytes
            lanes.cells[place, CYCLE] = turn
            lanes.sender[lane, TAIL] = tail + 1
            pool.scanned[lane] = tail + 1
    return DONE


@kernel
def insert_free(
    slot: int, port: int, wires: Wires, pool: Pool, routes: Routes, lanes: Lanes, tally: Tally
) -> int:
    """Put the row of a free frame into the edge lane of a port, in order of arrival."""
    lane = wires.edge_lane[port]
    one, cells = pool.slot, lanes.cells
    tail = lanes.sender[lane, TAIL]
    head = lanes.receiver[lane, HEAD]
    if tail - head > lanes.mask[lane]:
        pool.counts[DROPPED_FREE] += 1
        drop_slot(slot, pool)
        return LANE_FULL
    arrival = one[slot, VIRTUAL]
    if arrival < pool.counts[SERVED]:
        arrival = pool.counts[SERVED]
        pool.counts[FREE_LATE] += 1
    own = wires.law[BASE_POSITION] + slot
    owner = wires.law[BASE_OWNER] + slot
    priority: Any = 0
    ether_type = read(pool.frames, slot, 12, 2)
    if ether_type in (0x8100, 0x88A8):
        priority = np.int64(pool.frames[slot, 14]) >> 5
    routes.hop[own, LANE] = -1
    routes.hop[own, NEXT] = owner
    routes.rank[own] = wires.rank_of[priority]
    routes.shift[own] = 0
    tally.owner[owner, FLOOR] = 0
    tally.owner[owner, HOLD] = -1
    at = tail
    while at > head:
        before = lanes.base[lane] + ((at - 1) & lanes.mask[lane])
        if cells[before, ARRIVAL] <= arrival:
            break
        place = lanes.base[lane] + (at & lanes.mask[lane])
        for column in range(4):
            cells[place, column] = cells[before, column]
        moved = (cells[place, LABEL] >> 16) - wires.law[BASE_POSITION]
        if moved >= 0:
            one[moved, COUNTER] += 1
        at -= 1
    place = lanes.base[lane] + (at & lanes.mask[lane])
    cells[place, ARRIVAL] = arrival
    cells[place, BIRTH] = arrival
    cells[place, LABEL] = (own << 16) | max(one[slot, BYTES_HELD] + 4, 64)
    cells[place, CYCLE] = 0
    lanes.sender[lane, TAIL] = tail + 1
    pool.scanned[lane] = tail + 1
    one[slot, STATE] = QUEUED
    one[slot, IN_LANE] = lane
    one[slot, COUNTER] = at
    one[slot, BORN] = arrival
    one[slot, EXPECTED] = port
    return DONE


@kernel
def take_out(slot: int, wires: Wires, pool: Pool, lanes: Lanes) -> None:
    """Take the row of a planned frame out of its lane."""
    one, cells = pool.slot, lanes.cells
    lane = one[slot, IN_LANE]
    at = one[slot, COUNTER]
    head = lanes.receiver[lane, HEAD]
    while at > head:
        place = lanes.base[lane] + (at & lanes.mask[lane])
        before = lanes.base[lane] + ((at - 1) & lanes.mask[lane])
        for column in range(4):
            cells[place, column] = cells[before, column]
        moved = (cells[place, LABEL] >> 16) - wires.law[BASE_POSITION]
        if moved >= 0:
            one[moved, COUNTER] += 1
        at -= 1
    lanes.receiver[lane, HEAD] = head + 1


@kernel
def send_free(slot: int, target: int, at_wall: int, virtual: int, wires: Wires, pool: Pool) -> None:
    """Have a free frame put into a switch, or handed to a host."""
    one = pool.slot
    one[slot, STATE] = WAITING
    one[slot, TARGET] = target
    one[slot, VIRTUAL] = virtual
    heap_push(at_wall, slot, pool)


@kernel
def keep_bytes(slot: int, row: int, length: int, pool: Pool, messages: Messages) -> None:
    """Keep the bytes of a frame that has come in."""
    stride = pool.frames.shape[1]
    copy(pool.frames.ctypes.data + slot * stride, messages.data.ctypes.data + row * stride, length)


@kernel
def came_out(
    end: int, row: int, length: int, now: int, wires: Wires, pool: Pool, messages: Messages,
    routes: Routes, lanes: Lanes, tally: Tally,
) -> None:  # fmt: skip
    """Take in one frame that has come out of a switch or a host; its bytes are `data[row]`."""
    data, count, one, law = messages.data, pool.counts, pool.slot, wires.law
    kind = wires.end[end, KIND]
    trailed = has_trailer(data, row, length) and kind != HOST_END
    slot = FREE_SLOT
    virtual = virtual_of(now, law)
    if trailed:
        length -= TRAILER_BYTES
        virtual = read(data, row, length + 8, 8)
        slot = read(data, row, length + 16, 4)
    if slot != FREE_SLOT:
        turn = read(data, row, length + 20, 4)
        if slot >= one.shape[0] or one[slot, TURN] != turn:
            count[STALE] += 1
            return
        came_out_planned(end, row, length, now, slot, wires, pool, messages, routes, lanes)
        return
    count[FREE_FRAMES] += 1
    port = wires.end[end, PORT]
    if kind == SWITCH_END and port < 0:
        return
    slot = take_slot(pool)
    if slot < 0:
        return
    one[slot, BYTES_HELD] = length
    one[slot, VIRTUAL] = virtual
    keep_bytes(slot, row, length, pool, messages)
    if kind == SWITCH_END:
        insert_free(slot, port, wires, pool, routes, lanes, tally)
    elif kind == EDGE_END:
        if wires.end[end, PEER] < 0:
            drop_slot(slot, pool)
        else:
            send_free(
                slot, wires.end[end, PEER], max(now, wall_of(virtual, law)), virtual, wires, pool
            )
    else:
        send_free(slot, wires.end[end, PEER], now, virtual, wires, pool)


@kernel
def came_out_planned(
    end: int, row: int, length: int, now: int, slot: int, wires: Wires, pool: Pool,
    messages: Messages, routes: Routes, lanes: Lanes,
) -> None:  # fmt: skip
    """Confirm the row of a planned frame, or note where the frame has come out instead."""
    data, count, one, law = messages.data, pool.counts, pool.slot, wires.law
    port = wires.end[end, PORT]
    twin = one[slot, TWIN_SLOT]
    if twin >= 0 and one[slot, EXPECTED] != port and port >= 0:
        same = one[twin, TWIN_SLOT] == slot and one[twin, SEQUENCE] == one[slot, SEQUENCE]
        if same and one[twin, EXPECTED] == port and one[twin, HOP] == 0:
            slot = twin
    if one[slot, STATE] != AWAY and one[slot, STATE] != LEAVING:
        count[STALE] += 1
        return
    inside = now - one[slot, RELEASED]
    owner = one[slot, OWNER]
    if one[slot, STATE] == LEAVING:
        if end != wires.probe[owner, EXIT]:
            count[STRAYS] += 1
            note_fault(WRONG_PORT, owner, -1, end, -1, one[slot, VIRTUAL], pool)
            drop_slot(slot, pool)
            return
        count[CAME_OUT] += 1
        count[DELIVERED] += 1
        pool.histogram[INSIDE, bin_of(max(inside, 0) * 1000)] += 1
        note_arrival(slot, end, data, row, length, pool)
        peer = wires.end[end, PEER]
        if peer < 0:
            drop_slot(slot, pool)
            return
        keep_bytes(slot, row, length, pool, messages)
        one[slot, BYTES_HELD] = length
        one[slot, OWNER] = -1
        count[TO_HOSTS] += 1
        send_free(slot, peer, now, one[slot, VIRTUAL], wires, pool)
        return
    if one[slot, EXPECTED] != port:
        if is_cut(slot, wires, pool):
            count[REROUTED] += 1
        else:
            count[STRAYS] += 1
            note_fault(
                WRONG_PORT, owner, one[slot, EXPECTED], end, one[slot, HOP], one[slot, VIRTUAL],
                pool,
            )  # fmt: skip
        take_out(slot, wires, pool, lanes)
        drop_slot(slot, pool)
        return
    count[CAME_OUT] += 1
    pool.histogram[INSIDE, bin_of(max(inside, 0) * 1000)] += 1
    until = one[slot, VIRTUAL]
    margin = wall_of(until, law) + law[LAG_NS] - now
    count[MARGIN_LEAST] = min(count[MARGIN_LEAST], margin)
    pool.histogram[MARGIN, bin_of(max(margin, 0) * 1000)] += 1
    keep_bytes(slot, row, length, pool, messages)
    one[slot, BYTES_HELD] = length
    one[slot, STATE] = QUEUED
    if routes.rank[one[slot, BASE]] == 0:
        lane = one[slot, IN_LANE]
        place = lanes.base[lane] + (one[slot, COUNTER] & lanes.mask[lane])
        turn = lanes.cells[place, CYCLE]
        tag = tag_of(data, row, length)
        wanted = turn % law[BUFFERS]
        if tag != wanted:
            count[WRONG_TAGS] += 1
            note_fault(WRONG_TAG, owner, port, tag, wanted, one[slot, VIRTUAL], pool)
            if tag >= 0:
                lanes.cells[place, CYCLE] = turn + (tag - wanted) % law[BUFFERS]


@kernel
def receive(
    rounds: int, wires: Wires, pool: Pool, messages: Messages, routes: Routes, lanes: Lanes,
    tally: Tally,
) -> int:  # fmt: skip
    """Take in the frames that wait at the socket; return how many."""
    batch = wires.law[BATCH]
    received, data, control = messages.received, messages.data, messages.control
    socket = wires.law[SOCKET]
    total = 0
    for _ in range(rounds):
        if pool.counts[RECORD_COUNT] + batch > pool.record.shape[0]:
            break
        if pool.counts[CAPTURE_BYTES] + batch * wires.law[STRIDE] > pool.capture.shape[0]:
            break
        for i in range(batch):
            received[i, 1] = 32
            received[i, 5] = 64
            received[i, 7] = 0
        got = _recvmmsg(socket, received.ctypes.data, batch, DONT_WAIT, 0)
        if got <= 0:
            break
        now = wall(messages.clock)
        pool.counts[TIME_NOW] = now
        for i in range(got):
            length = received[i, 7] & 0xFFFFFFFF
            interface: Any = 0
            for j in range(4):
                interface |= np.int64(messages.names[i, 4 + j]) << (8 * j)
            if interface >= wires.end_of.size or wires.end_of[interface] < 0:
                continue
            # A VLAN tag that the kernel has taken off comes beside the frame.
            status = np.int64(control[i, 16])
            if received[i, 5] >= 36 and status & 16 and length >= 14:
                for j in range(length - 1, 11, -1):
                    data[i, j + 4] = data[i, j]
                if status & 64:
                    data[i, 12], data[i, 13] = control[i, 35], control[i, 34]
                else:
                    data[i, 12], data[i, 13] = 0x81, 0
                data[i, 14], data[i, 15] = control[i, 33], control[i, 32]
                length += 4
            came_out(
                wires.end_of[interface], i, length, now, wires, pool, messages, routes, lanes,
                tally,
            )  # fmt: skip
        total += got
        if got < batch:
            break
    return total


@kernel
def release(now: int, wires: Wires, pool: Pool, messages: Messages) -> int:
    """Put into switches, and hand to hosts, the frames whose wall time has come."""
    one, count, heap, law = pool.slot, pool.counts, pool.heap, wires.law
    batch = law[BATCH]
    total = 0
    while count[HEAP_COUNT] > 0 and heap[0, 0] <= now:
        filled = 0
        while filled < batch and count[HEAP_COUNT] > 0 and heap[0, 0] <= now:
            slot = heap_pop(pool)
            if one[slot, STATE] != WAITING:
                continue
            target = one[slot, TARGET]
            length = one[slot, BYTES_HELD]
            kind = wires.end[target, KIND]
            if kind != HOST_END:
                planned = one[slot, OWNER] >= 0
                mark = slot if planned else FREE_SLOT
                length = put_trailer(
                    pool.frames, slot, length, one[slot, VIRTUAL], mark, one[slot, TURN]
                )
            messages.sent_vector[filled, 0] = messages.places[0] + slot * law[STRIDE]
            messages.sent_vector[filled, 1] = length
            messages.sent[filled, 0] = messages.places[1] + target * 32
            messages.sent[filled, 7] = 0
            messages.sending[filled] = slot
            filled += 1
        first = 0
        while first < filled:
            sent = _sendmmsg(
                law[SOCKET], messages.sent.ctypes.data + 64 * first, filled - first, DONT_WAIT
            )
            if sent <= 0:
                # This one cannot go: the interface is down, or its queue is full.
                count[SENT_ERRORS] += 1
                sent = 1
            first += sent
        for i in range(filled):
            slot = messages.sending[i]
            if one[slot, OWNER] < 0:
                drop_slot(slot, pool)
                continue
            count[PUT_IN] += 1
            one[slot, RELEASED] = now
            if one[slot, STATE] == WAITING:
                one[slot, STATE] = LEAVING if one[slot, EXPECTED] < 0 else AWAY
        total += filled
    return total


@kernel
def is_awaited(slot: int, until: int, pool: Pool) -> bool:
    """Say whether the frame of a slot is in a switch, or on its way, and must be served now."""
    one = pool.slot
    if one[slot, STATE] != WAITING and one[slot, STATE] != AWAY:
        return False
    planned = one[slot, OWNER] >= 0 and one[slot, EXPECTED] >= 0
    return planned and one[slot, VIRTUAL] < until


@kernel
def is_cut(slot: int, wires: Wires, pool: Pool) -> bool:
    """Say whether the wire on which a planned frame is to leave its switch has been cut by then."""
    down, port = wires.down, pool.slot[slot, EXPECTED]
    return down[port, 0] <= pool.slot[slot, VIRTUAL] < down[port, 1]


@kernel
def awaited(until: int, wires: Wires, pool: Pool) -> bool:
    """Say whether a frame is still in a switch, or on its way there, that must be served now.

    The one found last is looked at first: it is asked time and again while it is not there.
    """
    last = pool.counts[AWAITED]
    if is_awaited(last, until, pool) and not is_cut(last, wires, pool):
        return True
    for i in range(pool.counts[LIVE_COUNT]):
        if is_awaited(pool.live[i], until, pool) and not is_cut(pool.live[i], wires, pool):
            pool.counts[AWAITED] = pool.live[i]
            return True
    return False


@kernel
def expire(until: int, wires: Wires, pool: Pool, lanes: Lanes) -> None:
    """Give up the frames that have not come back although their rows must be served now.

    The row goes on as one of a frame that is simulated only: those behind it see no difference.
    """
    one, count = pool.slot, pool.counts
    for i in range(count[LIVE_COUNT] - 1, -1, -1):
        slot = pool.live[i]
        state = one[slot, STATE]
        if is_awaited(slot, until, pool):
            kind = LATE_OR_LOST
            if is_cut(slot, wires, pool):
                kind = CUT_OFF
                count[CUT] += 1
            else:
                count[VIOLATIONS] += 1
            note_fault(
                kind, one[slot, OWNER], one[slot, EXPECTED], state, one[slot, HOP],
                one[slot, VIRTUAL], pool,
            )  # fmt: skip
            place = lanes.base[one[slot, IN_LANE]]
            place += one[slot, COUNTER] & lanes.mask[one[slot, IN_LANE]]
            lanes.cells[place, LABEL] = (one[slot, BASE] << 16) | one[slot, FRAME]
            if state == AWAY:
                drop_slot(slot, pool)
            else:
                one[slot, STATE] = UNUSED
                forget(slot, pool)


@kernel
def forget(slot: int, pool: Pool) -> None:
    """Take a waiting frame off the heap and give its slot back."""
    heap, count = pool.heap, pool.counts
    kept = 0
    size = count[HEAP_COUNT]
    for i in range(size):
        if heap[i, 1] != slot:
            heap[kept, 0], heap[kept, 1] = heap[i, 0], heap[i, 1]
            kept += 1
    count[HEAP_COUNT] = 0
    for i in range(kept):
        heap_push(heap[i, 0], heap[i, 1], pool)
    drop_slot(slot, pool)


@kernel
def follow(
    wires: Wires, pool: Pool, routes: Routes, lanes: Lanes, tally: Tally, network: Network
) -> None:
    """After a window: send on the frames that ports have sent, and note those they dropped."""
    one, count, law, cells = pool.slot, pool.counts, wires.law, lanes.cells
    base_position, base_owner = law[BASE_POSITION], law[BASE_OWNER]
    # Frames on their way to the next port: new rows of lanes.
    for port in wires.order:
        for item in range(wires.out_first[port], wires.out_first[port + 1]):
            lane = wires.out_lane[item]
            tail = lanes.sender[lane, TAIL]
            for at in range(pool.scanned[lane], tail):
                place = lanes.base[lane] + (at & lanes.mask[lane])
                position = cells[place, LABEL] >> 16
                if position < base_position:
                    continue
                slot = position - base_position
                owner = one[slot, OWNER]
                one[slot, HOP] += 1
                routes.late[one[slot, BASE]] += routes.late[position]
                routes.late[position] = 0
                plan_hop(slot, int(routes.hop[one[slot, BASE], NEXT]), wires, pool, routes)
                one[slot, VIRTUAL] = cells[place, ARRIVAL]
                one[slot, IN_LANE] = lane
                one[slot, COUNTER] = at
                one[slot, STATE] = WAITING
                one[slot, TARGET] = wires.into[port]
                leaves = cells[place, ARRIVAL] - network.propagation[port]
                enters = cells[place, ARRIVAL] - network.processing_low[port]
                # What is on the wire is lost with it.
                if wires.down[port, 0] <= enters and leaves < wires.down[port, 1]:
                    count[CUT] += 1
                    note_fault(CUT_OFF, owner, port, 0, 0, leaves, pool)
                    take_out(slot, wires, pool, lanes)
                    drop_slot(slot, pool)
                    continue
                heap_push(wall_of(enters, law), slot, pool)
            pool.scanned[lane] = tail
    # Frames that have left their last port, and those that found no room.
    for i in range(count[LIVE_COUNT] - 1, -1, -1):
        slot = pool.live[i]
        if one[slot, STATE] != QUEUED:
            continue
        own = base_position + slot
        owner = base_owner + slot
        if routes.lost[own] > 0:
            routes.lost[own] = 0
            routes.late[own] = 0
            if one[slot, OWNER] >= 0:
                routes.lost[one[slot, BASE]] += 1
                note_fault(
                    OVERFLOW, one[slot, OWNER], one[slot, EXPECTED], 0, 0, one[slot, VIRTUAL], pool
                )
            else:
                count[DROPPED_FREE] += 1
            drop_slot(slot, pool)
            continue
        if tally.owner[owner, RECEIVED] == 0:
            continue
        leaves = one[slot, BORN] + tally.owner[owner, EXCESS]
        tally.owner[owner, RECEIVED : MOST + 1] = 0
        tally.owner[owner, LEAST] = NEVER
        tally.owner[owner, MOST] = -1
        port = one[slot, EXPECTED]
        begins = leaves - network.propagation[port]
        cut = wires.down[port, 0] <= leaves and begins < wires.down[port, 1]
        if cut or wires.into[port] < 0:
            count[CUT] += 1
            note_fault(CUT_OFF, one[slot, OWNER], port, 0, 0, leaves, pool)
            drop_slot(slot, pool)
        elif one[slot, OWNER] >= 0:
            routes.late[one[slot, BASE]] += routes.late[own]
            routes.late[own] = 0
            one[slot, EXPECTED] = -1
            one[slot, STATE] = WAITING
            one[slot, TARGET] = wires.into[port]
            one[slot, VIRTUAL] = leaves
            heap_push(wall_of(leaves, law), slot, pool)
        else:
            virtual = leaves + network.processing_low[port]
            send_free(slot, wires.into[port], wall_of(leaves, law), virtual, wires, pool)


@kernel
def serve_window(
    until: int, wires: Wires, pool: Pool, messages: Messages, network: Network, routes: Routes,
    lanes: Lanes, queues: Queues, sources: Sources, tally: Tally,
) -> int:  # fmt: skip
    """Serve every port up to the end of a window; return DONE, or what there was no room in."""
    expire(until, wires, pool, lanes)
    pool.counts[SERVED] = until
    for lane in range(lanes.base.size):
        lanes.receiver[lane, SEEN_TAIL] = lanes.sender[lane, TAIL]
        lanes.sender[lane, ROOM_UNTIL] = lanes.receiver[lane, HEAD]
    status = DONE
    last = wall(messages.clock)
    for port in wires.order:
        found = serve(port, until, network, routes, lanes, queues, sources, tally, None)
        if found != DONE:
            status = found
        now = wall(messages.clock)
        if now > last + 500_000:
            receive(4, wires, pool, messages, routes, lanes, tally)
            release(now, wires, pool, messages)
            last = now
    return status


@kernel
def run(
    stop_at: int, wires: Wires, pool: Pool, messages: Messages, network: Network, routes: Routes,
    lanes: Lanes, queues: Queues, idle: Sources, sources: Sources, tally: Tally,
) -> int:  # fmt: skip
    """Emulate until a wall time; return RUNNING, FINISHED, NO_ROOM or RECORDS_FULL.

    `idle` are the sources as `serve` sees them: none. `sources` send ahead, see `generate`.
    """
    law, count = wires.law, pool.counts
    batch = law[BATCH]
    while True:
        receive(8, wires, pool, messages, routes, lanes, tally)
        now = wall(messages.clock)
        count[TIME_NOW] = now
        release(now, wires, pool, messages)
        if now >= stop_at:
            return RUNNING
        if pool.counts[RECORD_COUNT] + batch > pool.record.shape[0] or (
            pool.counts[CAPTURE_BYTES] + batch * law[STRIDE] > pool.capture.shape[0]
        ):
            return RECORDS_FULL
        if law[FREE_RUN] == 1:
            until = max(virtual_of(now - law[LAG_NS], law), count[SERVED])
            due = now
            wake = stop_at
            if count[LIVE_COUNT] > count[HEAP_COUNT]:
                wake = min(wake, now + 20_000)
        else:
            served = count[COMPLETE]
            until = min(
                served + law[WINDOW_PS], (served // network.block + 1) * network.block, law[END_PS]
            )
            due = wall_of(until, law) + law[LAG_NS] if served < law[END_PS] else NEVER
            wake = min(due, stop_at)
        if now >= due and law[FREE_RUN] == 0:
            # Virtual time waits for frames that a switch still has, and for this loop itself.
            behind = now - due
            law[ORIGIN_NS] += behind
            if behind > HOLD_LEAST_NS:
                count[HELD_NS] += behind
            if count[WAITED_NS] < law[PATIENCE_NS] and awaited(until, wires, pool):
                count[HOLDS] += 1 if count[WAITED_NS] == 0 else 0
                count[WAITED_NS] += 1 + min(behind, HOLD_ROUND_NS)
                due = NEVER
                wake = min(now + HOLD_ROUND_NS, stop_at)
        if now >= due:
            if law[FREE_RUN] == 0:
                count[WAITED_NS] = 0
                ahead = min(until + law[LEAD] * law[WINDOW_PS], law[END_PS])
                if generate(ahead, wires, pool, routes, lanes, sources, tally) != DONE:
                    return NO_ROOM
            status = serve_window(
                until, wires, pool, messages, network, routes, lanes, queues, idle, tally
            )
            if status != DONE:
                return NO_ROOM
            follow(wires, pool, routes, lanes, tally, network)
            count[COMPLETE] = until
            if law[FREE_RUN] == 0:
                done = wall(messages.clock)
                count[BUSY_LONGEST] = max(count[BUSY_LONGEST], done - now)
                count[BUSY_NS] += done - now
                if until >= law[END_PS]:
                    return FINISHED
                continue
        if count[HEAP_COUNT] > 0:
            wake = min(wake, pool.heap[0, 0])
        rest = wake - wall(messages.clock) - law[SPIN_NS]
        if rest > 0:
            messages.poll[0] = law[SOCKET] | (POLL_IN << 32)
            messages.clock[2] = rest // 1_000_000_000
            messages.clock[3] = rest % 1_000_000_000
            _ppoll(messages.poll.ctypes.data, 1, messages.clock.ctypes.data + 16, 0)
