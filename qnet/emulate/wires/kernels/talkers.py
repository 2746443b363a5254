"""What talkers send: rows for all frames, a slot for each real one."""

from __future__ import annotations

from qnet.emulate.wires.kernels.frames import write
from qnet.emulate.wires.kernels.rows import plan_hop
from qnet.emulate.wires.kernels.slots import heap_push, take_slot
from qnet.emulate.wires.kernels.system import copy
from qnet.emulate.wires.kernels.tables import (
    AWAY,
    BASE_OWNER,
    BASE_POSITION,
    BORN,
    BUFFERS,
    BYTES_HELD,
    COUNTER,
    ENTRY,
    EVERY,
    FRAME,
    HOP,
    IN_LANE,
    MADE,
    MADE_REAL,
    MEMBER_STREAM,
    OWNER,
    PATTERN_BYTES,
    PATTERN_FRAME,
    PATTERN_TAG,
    RELEASED,
    REPLICA,
    REPLICA_SLOT,
    SEQUENCE,
    STAMP,
    STATE,
    STRIDE,
    TAG_AHEAD,
    TARGET,
    TEMPLATE,
    TEMPLATES,
    VIRTUAL,
    WAITING,
    Pool,
    Wires,
    wall_of,
)
from qnet.kernel import bare_kernel
from qnet.simulate.kernels.sources import advance, draw_size, settle
from qnet.simulate.ports.kernels.timed import emit_next
from qnet.simulate.ports.parts import TIMED, SourceTable
from qnet.simulate.world import (
    DONE,
    LANE_FULL,
    NEVER,
    Frame,
    Lanes,
    Network,
    OwnerTally,
    Receiver,
    RouteTable,
    Sender,
    SourceHeap,
    SourceLaw,
    Sources,
    SourceState,
    Tally,
)


@bare_kernel
def start_planned(
    slot: int, source: int, number: int, frame_bytes: int, wires: Wires, pool: Pool,
    routes: RouteTable, sources: Sources, tally: Tally,
) -> None:  # fmt: skip
    """Fill the slot of a frame that a source makes, or will make, as its one of that number."""
    one, probe, own = pool.slot, wires.probe, wires.law[BASE_OWNER] + slot
    one[slot, OWNER] = source
    one[slot, HOP] = 0
    one[slot, VIRTUAL] = NEVER
    one[slot, FRAME] = frame_bytes
    one[slot, TARGET] = probe[source, ENTRY]
    one[slot, SEQUENCE] = number
    tally.owner[own, OwnerTally.FLOOR] = 0
    tally.owner[own, OwnerTally.HOLD] = tally.owner[source, OwnerTally.HOLD]
    routes.damper_clock[own] = routes.damper_clock[source]
    plan_hop(slot, sources.law[source, SourceLaw.START], wires, pool, routes)
    pool.sequences[source, number & 1023] = slot


@bare_kernel
def fill_bytes(slot: int, turn: int, wires: Wires, pool: Pool) -> None:
    """Write the frame as the talker's host sends it, with its source and number."""
    one, probe, source = pool.slot, wires.probe, pool.slot[slot, OWNER]
    row = probe[source, TEMPLATE]
    tag = (turn + probe[source, TAG_AHEAD]) % wires.law[BUFFERS]
    for other in range(row, row + probe[source, TEMPLATES]):
        wanted = wires.pattern[other, PATTERN_TAG]
        fits = wires.pattern[other, PATTERN_FRAME] == one[slot, FRAME]
        if fits and (wanted < 0 or wanted == tag):
            row = other
    length = wires.pattern[row, PATTERN_BYTES]
    one[slot, BYTES_HELD] = length
    stride = wires.law[STRIDE]
    copy(pool.frames.ctypes.data + slot * stride, wires.template.ctypes.data + row * stride, length)
    write(pool.frames, slot * stride + STAMP, 4, probe[source, MEMBER_STREAM])
    write(pool.frames, slot * stride + STAMP + 4, 4, one[slot, SEQUENCE])


@bare_kernel
def enter(
    source: int, number: int, birth: int, frame_bytes: int, turn: int, wires: Wires, pool: Pool,
    routes: RouteTable, sources: Sources, tally: Tally,
) -> int:  # fmt: skip
    """Return the slot of a real frame that a source has just made, or -1 without a free one.

    Of a frame that goes over two paths the talker's host sends one, when the first copy is due at
    its port; the switch makes the second. That one may come out long before it is due: it has a
    slot from the beginning.
    """
    one, replica = pool.slot, wires.probe[source, REPLICA]
    slot = pool.sequences[source, number & 1023]
    known = slot >= 0 and one[slot, OWNER] == source and one[slot, SEQUENCE] == number
    if not known or one[slot, VIRTUAL] != NEVER:
        slot = take_slot(pool)
        if slot < 0:
            return -1
        start_planned(slot, source, number, frame_bytes, wires, pool, routes, sources, tally)
        fill_bytes(slot, turn, wires, pool)
        one[slot, STATE] = WAITING
        pool.counts[MADE_REAL] += 1
        enters = wall_of(birth, wires.law)
        heap_push(enters, slot, pool)
        if replica >= 0 and wires.probe[replica, MADE] <= number:
            other = take_slot(pool)
            if other >= 0:
                start_planned(
                    other, replica, number, frame_bytes, wires, pool, routes, sources, tally
                )
                one[other, STATE] = AWAY
                one[other, RELEASED] = enters
                one[other, REPLICA_SLOT] = slot
                one[slot, REPLICA_SLOT] = other
    one[slot, BORN] = birth
    one[slot, VIRTUAL] = birth
    return slot


@bare_kernel
def generate(
    until: int,
    wires: Wires,
    pool: Pool,
    network: Network,
    routes: RouteTable,
    lanes: Lanes,
    sources: Sources,
    tally: Tally,
) -> int:
    """Let every source send what it sends before a virtual time, into the edge lane of its port.

    Every n-th frame of a probe is real: it gets a slot, and is put into the talker's switch at
    its wall time. The others are rows only. Return DONE or LANE_FULL.
    """
    heap, law, state = sources.heap, sources.law, sources.state
    probe, timer = wires.probe, wires.timer
    for port in wires.order:
        base = sources.first[port]
        size = sources.first[port + 1] - base
        lane = wires.edge_lane[port]
        while size > 0 and heap[base, SourceHeap.TIME] < until:
            tail = lanes.sender[lane, Sender.TAIL]
            if tail - lanes.receiver[lane, Receiver.HEAD] > lanes.mask[lane]:
                return LANE_FULL
            source = heap[base, SourceHeap.SOURCE]
            birth = heap[base, SourceHeap.TIME]
            frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
            turn = state[source, SourceState.NEXT_CYCLE]
            if law[source, SourceLaw.KIND] == TIMED:
                emit_next(
                    source, frame_bytes, state, law, timer, wires.timetable, network.clocks
                )  # fmt: skip
            else:
                advance(source, frame_bytes, state, law, sources.log_table, sources.recorded_ps)
            heap[base, SourceHeap.TIME] = state[source, SourceState.NEXT_TIME]
            settle(heap, base, size)
            label = (law[source, SourceLaw.START] << 16) | frame_bytes
            number = probe[source, MADE]
            if probe[source, EVERY] > 0 and number % probe[source, EVERY] == 0:
                slot = enter(
                    source, number, birth, frame_bytes, turn, wires, pool, routes, sources, tally
                )
                if slot >= 0:
                    pool.slot[slot, IN_LANE] = lane
                    pool.slot[slot, COUNTER] = tail
                    label = ((wires.law[BASE_POSITION] + slot) << 16) | frame_bytes
            probe[source, MADE] += 1
            if timer[source, SourceTable.NUMBERED] > 0:
                label |= ((timer[source, SourceTable.NUMBER] & 0xFFFF ^ 0x8000) - 0x8000) << 48
                timer[source, SourceTable.NUMBER] += 1
            place = lanes.base[lane] + (tail & lanes.mask[lane])
            lanes.cells[place, Frame.ARRIVAL] = birth
            lanes.cells[place, Frame.BIRTH] = birth
            lanes.cells[place, Frame.LABEL] = label
            lanes.cells[place, Frame.CYCLE] = turn
            lanes.sender[lane, Sender.TAIL] = tail + 1
            pool.scanned[lane] = tail + 1
    return DONE
