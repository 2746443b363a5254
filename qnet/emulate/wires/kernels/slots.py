"""Frames in hand, one slot each, and the record of what has come of them."""

from __future__ import annotations

from qnet.emulate.wires.kernels.system import copy
from qnet.emulate.wires.kernels.tables import (
    BATCH,
    BORN,
    BYTES_HELD,
    CAPTURE_BYTES,
    EXPECTED,
    FAULT_COUNT,
    FAULT_FOUND,
    FAULT_KIND,
    FAULT_OWNER,
    FAULT_PORT,
    FAULT_TIME,
    FAULT_WANTED,
    FREE_COUNT,
    HEAP_COUNT,
    IN_LANE,
    LIVE_COUNT,
    LOSS_CAUSE,
    LOSS_COUNT,
    LOSS_OWNER,
    LOSS_PORT,
    LOSS_SEQUENCE,
    NO_SLOT,
    OWNER,
    RECORD_AT,
    RECORD_BORN,
    RECORD_BYTES,
    RECORD_COUNT,
    RECORD_END,
    RECORD_OWNER,
    RECORD_SEQUENCE,
    RECORD_TIME,
    RECORD_WALL,
    REPLICA_SLOT,
    SEQUENCE,
    STATE,
    STRIDE,
    TURN,
    UNUSED,
    VIRTUAL,
    Pool,
    Wires,
)
from qnet.kernel import bare_kernel
from qnet.simulate.kernels.sources import settle


@bare_kernel
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
    row[slot, REPLICA_SLOT] = -1
    row[slot, EXPECTED] = -1
    row[slot, OWNER] = -1
    row[slot, IN_LANE] = -1
    return slot


@bare_kernel
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


@bare_kernel
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


@bare_kernel
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


@bare_kernel
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


@bare_kernel
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


@bare_kernel
def note_loss(slot: int, port: int, cause: int, pool: Pool) -> None:
    """Write down a real frame that is lost on its planned way, as long as there is room."""
    at = pool.counts[LOSS_COUNT]
    if at < pool.loss.shape[0]:
        pool.loss[at, LOSS_OWNER] = pool.slot[slot, OWNER]
        pool.loss[at, LOSS_SEQUENCE] = pool.slot[slot, SEQUENCE]
        pool.loss[at, LOSS_PORT] = port
        pool.loss[at, LOSS_CAUSE] = cause
        pool.counts[LOSS_COUNT] = at + 1


@bare_kernel
def has_record_room(wires: Wires, pool: Pool) -> bool:
    """Say whether a batch of arrivals can be written down."""
    batch, count = wires.law[BATCH], pool.counts
    bytes_left = pool.capture.shape[0] - count[CAPTURE_BYTES]
    return pool.record.shape[0] - count[RECORD_COUNT] >= batch and (
        bytes_left >= batch * wires.law[STRIDE]
    )


@bare_kernel
def note_arrival(slot: int, end: int, now: int, wires: Wires, pool: Pool) -> None:
    """Write down a frame that has come out to its host, and its bytes."""
    at = pool.counts[RECORD_COUNT]
    one, record, length = pool.slot, pool.record, pool.slot[slot, BYTES_HELD]
    record[at, RECORD_OWNER] = one[slot, OWNER]
    record[at, RECORD_SEQUENCE] = one[slot, SEQUENCE]
    record[at, RECORD_BORN] = one[slot, BORN]
    record[at, RECORD_TIME] = one[slot, VIRTUAL]
    record[at, RECORD_WALL] = now
    record[at, RECORD_END] = end
    first, stride = pool.counts[CAPTURE_BYTES], wires.law[STRIDE]
    record[at, RECORD_AT] = first
    record[at, RECORD_BYTES] = length
    copy(pool.capture.ctypes.data + first, pool.frames.ctypes.data + slot * stride, length)
    pool.counts[CAPTURE_BYTES] = first + length
    pool.counts[RECORD_COUNT] = at + 1
