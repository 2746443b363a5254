"""What a frame means that has come out of a switch or a host."""

from __future__ import annotations

from qnet.emulate.wires.kernels.frames import has_trailer, label_of, read
from qnet.emulate.wires.kernels.rows import (
    insert_free,
    is_cut,
    put_aside,
    renumber,
    take_out,
    way_on,
)
from qnet.emulate.wires.kernels.slots import (
    drop_slot,
    heap_push,
    note_arrival,
    note_fault,
    take_slot,
)
from qnet.emulate.wires.kernels.system import copy
from qnet.emulate.wires.kernels.tables import (
    AWAY,
    BASE,
    BUFFERS,
    BYTES_HELD,
    CAME_OUT,
    COUNTER,
    DELIVERED,
    EDGE_END,
    EXIT,
    EXPECTED,
    FOLLOWED,
    FREE_FRAMES,
    FREE_SLOT,
    HOP,
    HOST_END,
    IN_LANE,
    INSIDE,
    KIND,
    LAG_NS,
    LEAVING,
    MARGIN,
    MARGIN_LEAST,
    OWNER,
    PATH,
    PEER,
    PORT,
    QUEUED,
    RELEASED,
    REPLICA_SLOT,
    REROUTED,
    SEQUENCE,
    STALE,
    STAMP,
    STATE,
    STRAYS,
    STRIDE,
    SWITCH_END,
    TAGGED,
    TARGET,
    TO_HOSTS,
    TRAILER_BYTES,
    TURN,
    VIRTUAL,
    WAITING,
    WRONG_LABEL,
    WRONG_PORT,
    WRONG_TAG,
    WRONG_TAGS,
    Messages,
    Pool,
    Wires,
    virtual_of,
    wall_of,
)
from qnet.kernel import bare_kernel
from qnet.simulate.kernels.delivery import bin_of
from qnet.simulate.world import Frame, Lanes, RouteTable, Tally


@bare_kernel
def send_free(slot: int, target: int, at_wall: int, virtual: int, wires: Wires, pool: Pool) -> None:
    """Have a free frame put into a switch, or handed to a host."""
    one = pool.slot
    one[slot, STATE] = WAITING
    one[slot, TARGET] = target
    one[slot, VIRTUAL] = virtual
    heap_push(at_wall, slot, pool)


@bare_kernel
def keep_bytes(
    slot: int, at: int, length: int, wires: Wires, pool: Pool, messages: Messages
) -> None:
    """Keep the bytes of a frame that has come in."""
    own = slot * wires.law[STRIDE]
    copy(pool.frames.ctypes.data + own, messages.ring.ctypes.data + at, length)


@bare_kernel
def give_to_host(slot: int, now: int, wires: Wires, pool: Pool) -> None:
    """Note a frame that is its listener's, and give it to the listener's host, if it has one."""
    end = wires.probe[pool.slot[slot, OWNER], EXIT]
    note_arrival(slot, end, now, wires, pool)
    pool.counts[DELIVERED] += 1
    peer = wires.end[end, PEER]
    if peer < 0:
        drop_slot(slot, pool)
        return
    pool.slot[slot, OWNER] = -1
    pool.counts[TO_HOSTS] += 1
    send_free(slot, peer, now, pool.slot[slot, VIRTUAL], wires, pool)


@bare_kernel
def came_out(
    end: int, at: int, length: int, now: int, wires: Wires, pool: Pool, messages: Messages,
    routes: RouteTable, lanes: Lanes, tally: Tally,
) -> None:  # fmt: skip
    """Take in one frame that has come out of a switch or a host; its bytes begin at `ring[at]`."""
    data, count, one, law = messages.ring, pool.counts, pool.slot, wires.law
    kind = wires.end[end, KIND]
    trailed = has_trailer(data, at, length) and kind != HOST_END
    slot = FREE_SLOT
    virtual = virtual_of(now, law)
    if trailed:
        length -= TRAILER_BYTES
        virtual = read(data, at + length + 8, 8)
        slot = read(data, at + length + 16, 4)
    if slot != FREE_SLOT:
        turn = read(data, at + length + 20, 4)
        if slot >= one.shape[0] or one[slot, TURN] != turn:
            count[STALE] += 1
            return
        came_out_planned(end, at, length, now, slot, wires, pool, messages, routes, lanes)
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
    keep_bytes(slot, at, length, wires, pool, messages)
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


@bare_kernel
def came_out_planned(
    end: int, at: int, length: int, now: int, slot: int, wires: Wires, pool: Pool,
    messages: Messages, routes: RouteTable, lanes: Lanes,
) -> None:  # fmt: skip
    """Confirm the row of a planned frame, or note where the frame has come out instead."""
    data, count, one, law = messages.ring, pool.counts, pool.slot, wires.law
    port = wires.end[end, PORT]
    released = one[slot, RELEASED]
    replica = one[slot, REPLICA_SLOT]
    if replica >= 0 and one[slot, EXPECTED] != port and port >= 0:
        same = one[replica, REPLICA_SLOT] == slot and one[replica, SEQUENCE] == one[slot, SEQUENCE]
        if same and one[replica, EXPECTED] == port and one[replica, HOP] == 0:
            slot = replica
    if one[slot, STATE] != AWAY and one[slot, STATE] != LEAVING:
        count[STALE] += 1
        return
    inside = now - released
    owner = one[slot, OWNER]
    if one[slot, STATE] == LEAVING:
        if end != wires.probe[owner, EXIT]:
            count[STRAYS] += 1
            note_fault(WRONG_PORT, owner, -1, end, -1, one[slot, VIRTUAL], pool)
            drop_slot(slot, pool)
            return
        count[CAME_OUT] += 1
        pool.histogram[INSIDE, bin_of(max(inside, 0) * 1000)] += 1
        keep_bytes(slot, at, length, wires, pool, messages)
        one[slot, BYTES_HELD] = length
        if one[slot, IN_LANE] >= 0:
            one[slot, STATE] = QUEUED
            renumber(slot, read(data, at + STAMP + 4, 4), pool, lanes)
        else:
            give_to_host(slot, now, wires, pool)
        return
    if one[slot, EXPECTED] != port:
        position = -1
        if is_cut(slot, wires, pool):
            count[REROUTED] += 1
            position = way_on(label_of(data, at, length) >> 3, port, wires, routes)
        else:
            count[STRAYS] += 1
            note_fault(
                WRONG_PORT, owner, one[slot, EXPECTED], end, one[slot, HOP], one[slot, VIRTUAL],
                pool,
            )  # fmt: skip
        take_out(slot, wires, pool, lanes)
        if position < 0 or not put_aside(slot, position, wires, pool, routes, lanes):
            drop_slot(slot, pool)
            return
        count[FOLLOWED] += 1
        count[CAME_OUT] += 1
        pool.histogram[INSIDE, bin_of(max(inside, 0) * 1000)] += 1
        keep_bytes(slot, at, length, wires, pool, messages)
        one[slot, BYTES_HELD] = length
        return
    count[CAME_OUT] += 1
    pool.histogram[INSIDE, bin_of(max(inside, 0) * 1000)] += 1
    keep_bytes(slot, at, length, wires, pool, messages)
    one[slot, BYTES_HELD] = length
    one[slot, STATE] = QUEUED
    label = label_of(data, at, length)
    # That of another source, where a cut has sent the frame another way.
    path = wires.probe[routes.owner[one[slot, BASE]], PATH]
    if path >= 0 and label >> 3 != path:
        note_fault(WRONG_LABEL, owner, port, label >> 3, path, one[slot, VIRTUAL], pool)
    lane = one[slot, IN_LANE]
    if lane < 0:  # a second copy, long before it is due
        return
    margin = wall_of(one[slot, VIRTUAL], law) + law[LAG_NS] - now
    count[MARGIN_LEAST] = min(count[MARGIN_LEAST], margin)
    pool.histogram[MARGIN, bin_of(max(margin, 0) * 1000)] += 1
    if wires.probe[owner, TAGGED] > 0:
        place = lanes.base[lane] + (one[slot, COUNTER] & lanes.mask[lane])
        turn = lanes.cells[place, Frame.CYCLE]
        tag = (label & 7) - 1 if label >= 0 else -1
        wanted = turn % law[BUFFERS]
        if tag != wanted:
            count[WRONG_TAGS] += 1
            note_fault(WRONG_TAG, owner, port, tag, wanted, one[slot, VIRTUAL], pool)
            if tag >= 0:
                lanes.cells[place, Frame.CYCLE] = turn + (tag - wanted) % law[BUFFERS]
