"""The rows that stand for real frames in the lanes of the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np

from qnet.emulate.wires.kernels.frames import read
from qnet.emulate.wires.kernels.slots import drop_slot
from qnet.emulate.wires.kernels.tables import (
    ALTERNATE,
    BASE,
    BASE_OWNER,
    BASE_POSITION,
    BORN,
    BYTES_HELD,
    COUNTER,
    DROPPED_FREE,
    EXPECTED,
    FRAME,
    FREE_LATE,
    HOP,
    IN_LANE,
    OWNER,
    QUEUED,
    SERVED,
    STATE,
    STRIDE,
    TAGGED,
    VIRTUAL,
    WAY_LABEL,
    WAY_PORT,
    WAY_POSITION,
    Pool,
    Wires,
)
from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.ports.parts import WHOLE, PositionLaw
from qnet.simulate.world import (
    DONE,
    LANE_FULL,
    NEVER,
    POSITIONS,
    Frame,
    Lanes,
    NextHop,
    OwnerTally,
    Receiver,
    RouteTable,
    Sender,
    Tally,
)


@inline_kernel
def slot_of(label: int, wires: Wires, pool: Pool) -> int:
    """Return the slot of the frame that a row stands for, or -1 where it is simulated only."""
    place = ((label >> 16) & POSITIONS) - wires.law[BASE_POSITION]
    return place % pool.slot.shape[0] if place >= 0 else -1


@bare_kernel
def plan_hop(slot: int, base: int, wires: Wires, pool: Pool, routes: RouteTable) -> None:
    """Let the slot's own position do what a position of its source's route does."""
    own = wires.law[BASE_POSITION] + slot
    hop, ports = routes.hop, wires.into.size
    following = own
    if hop[base, NextHop.LANE] < 0:
        following = wires.law[BASE_OWNER] + slot
    elif wires.port_of[hop[base, NextHop.NEXT]] >= ports:
        following = own + pool.slot.shape[0]
    hop[own, NextHop.LANE] = hop[base, NextHop.LANE]
    hop[own, NextHop.NEXT] = following
    routes.rank[own] = routes.rank[base]
    routes.shift[own] = routes.shift[base]
    if wires.general.shape[0] > 0:
        for column in range(wires.general.shape[1]):
            wires.general[own, column] = wires.general[base, column]
    pool.slot[slot, BASE] = base
    pool.slot[slot, EXPECTED] = wires.port_of[base]


@bare_kernel
def insert_free(
    slot: int, port: int, wires: Wires, pool: Pool, routes: RouteTable, lanes: Lanes, tally: Tally
) -> int:
    """Put the row of a free frame into the edge lane of a port, in order of arrival."""
    lane = wires.edge_lane[port]
    one = pool.slot
    if lanes.sender[lane, Sender.TAIL] - lanes.receiver[lane, Receiver.HEAD] > lanes.mask[lane]:
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
    first = slot * wires.law[STRIDE]
    ether_type = read(pool.frames, first + 12, 2)
    if ether_type in (0x8100, 0x88A8):
        priority = np.int64(pool.frames[first + 14]) >> 5
    routes.hop[own, NextHop.LANE] = -1
    routes.hop[own, NextHop.NEXT] = owner
    routes.rank[own] = wires.rank_of[priority]
    routes.shift[own] = 0
    tally.owner[owner, OwnerTally.FLOOR] = 0
    tally.owner[owner, OwnerTally.HOLD] = -1
    if wires.general.shape[0] > 0:
        wires.general[own, :] = -1
        wires.general[own, PositionLaw.RING] = wires.ring_of[port, routes.rank[own]]
    one[slot, BORN] = arrival
    one[slot, EXPECTED] = port
    insert(slot, lane, arrival, max(one[slot, BYTES_HELD] + 4, 64), wires, pool, lanes)
    return DONE


@bare_kernel
def move_back(lane: int, at: int, wires: Wires, pool: Pool, lanes: Lanes) -> None:
    """Move the row before a lane's place `at` there; a real frame's slot learns of it."""
    cells = lanes.cells
    place = lanes.base[lane] + (at & lanes.mask[lane])
    before = lanes.base[lane] + ((at - 1) & lanes.mask[lane])
    for column in range(4):
        cells[place, column] = cells[before, column]
    moved = slot_of(cells[place, Frame.LABEL], wires, pool)
    if moved >= 0:
        pool.slot[moved, COUNTER] += 1


@bare_kernel
def insert(
    slot: int, lane: int, arrival: int, frame_bytes: int, wires: Wires, pool: Pool, lanes: Lanes
) -> None:
    """Put the row of a frame that is in its slot into an edge lane, in order of arrival."""
    one, cells = pool.slot, lanes.cells
    head = lanes.receiver[lane, Receiver.HEAD]
    tail = lanes.sender[lane, Sender.TAIL]
    at = tail
    while at > head:
        before = lanes.base[lane] + ((at - 1) & lanes.mask[lane])
        if cells[before, Frame.ARRIVAL] <= arrival:
            break
        move_back(lane, at, wires, pool, lanes)
        at -= 1
    place = lanes.base[lane] + (at & lanes.mask[lane])
    cells[place, Frame.ARRIVAL] = arrival
    cells[place, Frame.BIRTH] = one[slot, BORN]
    cells[place, Frame.LABEL] = ((wires.law[BASE_POSITION] + slot) << 16) | frame_bytes
    cells[place, Frame.CYCLE] = 0
    lanes.sender[lane, Sender.TAIL] = tail + 1
    pool.scanned[lane] = tail + 1
    one[slot, STATE] = QUEUED
    one[slot, IN_LANE] = lane
    one[slot, COUNTER] = at


@bare_kernel
def way_on(label: int, port: int, wires: Wires, routes: RouteTable) -> int:
    """Return the position at a port on the path that a label names, or -1 where there is none.

    A path with cycles is none: where its cycles are full, another's frame has no place in them.
    """
    ways = wires.ways
    for i in range(ways.shape[0]):
        if ways[i, WAY_LABEL] == label and ways[i, WAY_PORT] == port:
            position = ways[i, WAY_POSITION]
            return position if wires.probe[routes.owner[position], TAGGED] == 0 else -1
    return -1


@bare_kernel
def put_aside(
    slot: int, position: int, wires: Wires, pool: Pool, routes: RouteTable, lanes: Lanes
) -> bool:
    """Queue a planned frame on another path than its own, at the time at which it is there."""
    lane = wires.edge_lane[wires.port_of[position]]
    if lanes.sender[lane, Sender.TAIL] - lanes.receiver[lane, Receiver.HEAD] > lanes.mask[lane]:
        return False
    plan_hop(slot, position, wires, pool, routes)
    one = pool.slot
    insert(slot, lane, one[slot, VIRTUAL], one[slot, FRAME], wires, pool, lanes)
    return True


@bare_kernel
def take_out(slot: int, wires: Wires, pool: Pool, lanes: Lanes) -> None:
    """Take the row of a planned frame out of its lane."""
    one = pool.slot
    lane = one[slot, IN_LANE]
    at = one[slot, COUNTER]
    head = lanes.receiver[lane, Receiver.HEAD]
    while at > head:
        move_back(lane, at, wires, pool, lanes)
        at -= 1
    lanes.receiver[lane, Receiver.HEAD] = head + 1


@bare_kernel
def renumber(slot: int, number: int, pool: Pool, lanes: Lanes) -> None:
    """Give a row the sequence number that its frame carries: 16 bits of it (802.1CB 7.4.1)."""
    lane = pool.slot[slot, IN_LANE]
    place = lanes.base[lane] + (pool.slot[slot, COUNTER] & lanes.mask[lane])
    signed = (number & 0xFFFF ^ 0x8000) - 0x8000
    lanes.cells[place, Frame.LABEL] = (lanes.cells[place, Frame.LABEL] & WHOLE) | (signed << 48)


@bare_kernel
def is_dark(slot: int, wires: Wires, pool: Pool) -> bool:
    """Say whether the port by which a planned frame is to leave its switch is down by then."""
    port = pool.slot[slot, EXPECTED]
    return port >= 0 and wires.dark[port] <= pool.slot[slot, VIRTUAL] < NEVER


@bare_kernel
def is_cut(slot: int, wires: Wires, pool: Pool) -> bool:
    """Say whether a planned frame cannot leave its switch by its port: cut by then, or down."""
    down, port = wires.down, pool.slot[slot, EXPECTED]
    if port >= 0 and down[port, 0] <= pool.slot[slot, VIRTUAL] < down[port, 1]:
        return True
    return is_dark(slot, wires, pool)


@bare_kernel
def go_on_alone(slot: int, wires: Wires, pool: Pool, lanes: Lanes) -> None:
    """Let the row of a planned frame go on as that of one that is simulated only."""
    one = pool.slot
    place = lanes.base[one[slot, IN_LANE]]
    place += one[slot, COUNTER] & lanes.mask[one[slot, IN_LANE]]
    number = lanes.cells[place, Frame.LABEL] >> 48 << 48
    lanes.cells[place, Frame.LABEL] = (one[slot, BASE] << 16) | one[slot, FRAME] | number


@bare_kernel
def is_hopeless(slot: int, wires: Wires, pool: Pool) -> bool:
    """Say whether a planned frame cannot leave its switch: its wire is cut, with no way round."""
    if not is_cut(slot, wires, pool):
        return False
    one, down = pool.slot, wires.down
    alternate = wires.probe[one[slot, OWNER], ALTERNATE]
    if alternate < 0 or one[slot, HOP] > 0 or is_dark(slot, wires, pool):
        return True
    return down[alternate, 0] <= one[slot, VIRTUAL] < down[alternate, 1]
