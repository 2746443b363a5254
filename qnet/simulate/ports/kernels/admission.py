"""The way into a general port: frames are made or come from a lane, pass, and join a queue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel
from qnet.simulate.kernels.drops import refuse
from qnet.simulate.kernels.lanes import next_arrival
from qnet.simulate.kernels.queues import turn_of_tag
from qnet.simulate.kernels.sources import advance, draw_size, follow, settle
from qnet.simulate.ports.kernels.credit import first_in
from qnet.simulate.ports.kernels.cyclic import turn_by_arrival
from qnet.simulate.ports.kernels.gates import open_by, shown_by
from qnet.simulate.ports.kernels.meters import meter, shape
from qnet.simulate.ports.kernels.outages import down_at, take_held
from qnet.simulate.ports.kernels.timed import emit_next
from qnet.simulate.ports.parts import (
    DOOMED,
    IN_OWN_NODE,
    TIMED,
    Cause,
    Gates,
    Parts,
    PortLaw,
    PositionLaw,
    RingLaw,
    Rings,
    SourceTable,
)
from qnet.simulate.world import (
    DONE,
    FOLLOWED,
    GAP_BYTES,
    NO_ROOM,
    PASSED_ON,
    POSITIONS,
    QUEUE_FULL,
    RED,
    STAYED,
    Arrived,
    Frame,
    PortTally,
    Receiver,
    Ring,
    SourceHeap,
    SourceLaw,
    SourceState,
    Trace,
    World,
)

Ints = NDArray[np.int64]


@inline_kernel
def put(here: int, frame: Arrived, turn: int, is_sorted: bool, ring: Ints, cells: Ints) -> None:
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
    cells[place, Frame.ARRIVAL] = frame.came
    cells[place, Frame.BIRTH] = frame.birth
    cells[place, Frame.LABEL] = frame.label
    cells[place, Frame.CYCLE] = turn
    ring[here, Ring.COUNT] += 1


@inline_kernel
def emit(port: int, source: int, came: int, world: World, parts: Parts) -> int:
    """Make a source's next frame, and say when the one after it comes; return its label."""
    sources, tally = world.sources, world.tally
    heap, state, law, mine = sources.heap, sources.state, sources.law, parts.source_state
    frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
    label = (law[source, SourceLaw.START] << 16) | frame_bytes
    if label & FOLLOWED:
        label = follow(source, came, label, state, tally.followed, tally.fates)
    elif mine[source, SourceTable.NUMBERED] > 0:
        number = (mine[source, SourceTable.NUMBER] & 0xFFFF ^ 0x8000) - 0x8000
        label |= number << 48
        mine[source, SourceTable.NUMBER] += 1
    if law[source, SourceLaw.KIND] == TIMED:
        emit_next(
            source, frame_bytes, state, law, mine, parts.timetable, world.network.clocks
        )  # fmt: skip
    else:
        advance(source, frame_bytes, state, law, sources.log_table, sources.recorded_ps)
    top = sources.first[port]
    heap[top, SourceHeap.TIME] = state[source, SourceState.NEXT_TIME]
    settle(heap, top, sources.first[port + 1] - top)
    return label


@inline_kernel
def admit(
    port: int, here: int, frame: Arrived, world: World, trace: Trace | None, parts: Parts
) -> tuple[bool, int]:
    """Say whether meter, shaper and buffer let a frame in, and from when it may go."""
    position, frame_bytes = (frame.label >> 16) & POSITIONS, frame.label & 0xFFFF
    held = world.queues.ring[here, Ring.BYTES]
    is_queue = here >= parts.port[port, PortLaw.QUEUES]
    limit = world.network.buffer_bytes[port] if is_queue else world.network.cycle_bytes[port]
    fate, eligible = PASSED_ON, frame.came
    row = parts.position[position, PositionLaw.METER]
    if row >= 0 and not meter(row, frame.came, frame_bytes, parts.meter):
        parts.dropped[position, Cause.POLICED] += 1
        fate = RED
    row = parts.position[position, PositionLaw.SHAPER]
    if row >= 0 and fate == PASSED_ON:
        group = parts.position[position, PositionLaw.GROUP]
        eligible = shape(row, group, frame.came, frame_bytes, parts.shaper, parts.group)
        if eligible < 0:
            parts.dropped[position, Cause.RESIDENCE] += 1
            fate = STAYED
    if fate == PASSED_ON and held + frame_bytes > limit:
        world.routes.lost[position] += 1
        fate = NO_ROOM
    if fate == PASSED_ON:
        return True, eligible
    refuse(port, frame, held, fate, world.routes.owner, world.tally, trace)
    return False, eligible


@inline_kernel
def join(port: int, here: int, frame: Arrived, eligible: int, counts: Ints, gates: Gates,
         rings: Rings) -> None:  # fmt: skip
    """Queue a frame, which may go from a time on; those of cycles have their cycle for it."""
    ring, law = rings.ring, gates.law
    depth = ring[here, Ring.BYTES] + (frame.label & 0xFFFF)
    counts[port, PortTally.DEEPEST] = max(counts[port, PortTally.DEEPEST], depth)
    if rings.law[here, RingLaw.IDLE] > 0 and ring[here, Ring.COUNT] == 0:
        bit = rings.law[here, RingLaw.BIT]
        opened = open_by(
            frame.came, bit, law, gates.errors, gates.block, gates.end, gates.change, gates.open
        )
        first_in(here, frame.came, opened, rings.law, rings.state)
    ring[here, Ring.BYTES] = depth
    turn = eligible if here >= law[PortLaw.QUEUES] else frame.turn
    put(here, frame, turn, rings.law[here, RingLaw.SORTED] > 0, ring, rings.cells)


@inline_kernel
def take_in(port: int, lane: int, came: int, is_busy: bool, world: World, gates: Gates,
            rings: Rings, trace: Trace | None, parts: Parts) -> tuple[int, int]:  # fmt: skip
    """Take in the next frame; return DONE and how many wait more for it, or what has no room.

    It comes from a lane, or from the port's sources (-1). `is_busy` says that others wait, or that
    one is on the wire.
    """
    network, lanes, sources, law = world.network, world.lanes, world.sources, gates.law
    source, birth, label, head = 0, came, 0, 0
    if lane >= 0:
        place = lanes.base[lane] + (lanes.receiver[lane, Receiver.HEAD] & lanes.mask[lane])
        birth, label = lanes.cells[place, Frame.BIRTH], lanes.cells[place, Frame.LABEL]
        turn, position = lanes.cells[place, Frame.CYCLE], (label >> 16) & POSITIONS
    else:
        source = sources.heap[sources.first[port], SourceHeap.SOURCE]
        turn = sources.state[source, SourceState.NEXT_CYCLE]
        position = sources.law[source, SourceLaw.START] & POSITIONS

    # Where it goes, and whether there is room.
    here, is_late = parts.position[position, PositionLaw.RING], False
    if here < 0:
        shown = shown_by(came, law, gates.errors, gates.block)
        if law[PortLaw.BY_ARRIVAL] > 0:
            turn, is_late = turn_by_arrival(turn, shown, network.cycle)
        else:
            turn, is_late = turn_of_tag(turn, shown, network.cycle, network.cycle_buffers)
        here = law[PortLaw.FIRST] + turn % network.cycle_buffers
    if rings.ring[here, Ring.COUNT] > rings.ring[here, Ring.MASK]:
        return QUEUE_FULL, 0
    if lane >= 0:
        head = parts.head[lane]
        lanes.receiver[lane, Receiver.HEAD] += 1
        next_arrival(lane, lanes.base, lanes.mask, lanes.receiver, lanes.cells)
    else:
        label = emit(port, source, came, world, parts)

    # Whether it may; what is in a node that is down ends there.
    taken = -1
    if law[PortLaw.OUT_FIRST] < law[PortLaw.OUT_LAST]:
        if lane < 0 or label & DOOMED:
            taken = down_at(port, came, IN_OWN_NODE, parts.port, parts.outage)
        label &= ~DOOMED
    frame = Arrived(came, birth, label, turn)
    if taken >= 0:
        held = rings.ring[here, Ring.BYTES]
        take_held(port, frame, held, taken, world.routes.owner, world.tally, trace, parts)
        return DONE, 0
    if is_late:
        world.routes.late[position] += 1
    is_let_in, eligible = admit(port, here, frame, world, trace, parts)
    if not is_let_in:
        return DONE, 0
    # Cut-through is for an idle port; at a busy one all of the frame is waited for.
    if is_busy and head > 0 and law[PortLaw.QUEUES] <= here < law[PortLaw.PREEMPTABLE]:
        whole = came + rings.line_time[(label & 0xFFFF) - GAP_BYTES] - head
        eligible = max(eligible, whole)
    join(port, here, frame, eligible, world.tally.port, gates, rings)
    return DONE, 1
