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
    LEADS,
    MADE,
    MADE_REAL,
    OWNER,
    PATTERN_BYTES,
    PATTERN_FRAME,
    PATTERN_TAG,
    RELEASED,
    SEQUENCE,
    STAMP,
    STATE,
    STRIDE,
    TARGET,
    TEMPLATE,
    TEMPLATES,
    TWIN,
    TWIN_SLOT,
    VIRTUAL,
    WAITING,
    Pool,
    Wires,
    wall_of,
)
from qnet.kernel import kernel
from qnet.simulate.kernels import (
    ARRIVAL,
    BIRTH,
    CYCLE,
    DONE,
    FLOOR,
    HEAD,
    HOLD,
    LABEL,
    LANE_FULL,
    NEXT_CYCLE,
    NEXT_TIME,
    SOURCE,
    START,
    TAIL,
    TIME,
    Lanes,
    Routes,
    Sources,
    Tally,
    advance,
    draw_size,
    settle,
)


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
