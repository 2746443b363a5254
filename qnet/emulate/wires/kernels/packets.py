"""Frames through the packet socket, many a call."""

from __future__ import annotations

from qnet.emulate.wires.kernels.arrivals import came_out
from qnet.emulate.wires.kernels.frames import put_trailer, write
from qnet.emulate.wires.kernels.slots import drop_slot, has_record_room, heap_pop
from qnet.emulate.wires.kernels.system import DONT_WAIT, sendmmsg, wall
from qnet.emulate.wires.kernels.tables import (
    AWAY,
    BATCH,
    BYTES_HELD,
    DROPPED_FREE,
    EXPECTED,
    FREE_SLOT,
    HEAP_COUNT,
    HOST_END,
    KIND,
    LEAVING,
    OWNER,
    PUT_IN,
    RELEASED,
    RING_WORDS,
    SENT_ERRORS,
    SOCKET,
    STATE,
    STRIDE,
    TARGET,
    TIME_NOW,
    TRAILER_BYTES,
    TURN,
    VIRTUAL,
    WAITING,
    Messages,
    Pool,
    Wires,
)
from qnet.kernel import bare_kernel, read_shared, write_shared
from qnet.simulate.world import Lanes, RouteTable, Tally

# Words of a place in the ring, and bits of its status: struct tpacket2_hdr and struct sockaddr_ll.
RING_STATUS, RING_LENGTH, RING_TAGS, RING_ADDRESS = 0, 1, 3, 4
RING_KERNEL, RING_USER, RING_TAG, RING_TAG_KIND = 0, 1, 16, 64

ROUNDS = 8
"""So many batches are taken in before anything else is looked at."""


@bare_kernel
def receive(
    wires: Wires, pool: Pool, messages: Messages, routes: RouteTable, lanes: Lanes,
    tally: Tally,
) -> int:  # fmt: skip
    """Take in the frames that the kernel has put into the ring; return how many."""
    batch, ring, words, turn = wires.law[BATCH], messages.ring, messages.words, messages.turn
    step = wires.law[RING_WORDS]
    places = words.size // step
    longest = wires.law[STRIDE] - TRAILER_BYTES
    total = 0
    for _ in range(ROUNDS):
        if read_shared(words, turn[0] * step + RING_STATUS) & RING_USER == 0:
            break
        if not has_record_room(wires, pool):
            break
        now = wall(messages.clock)
        pool.counts[TIME_NOW] = now
        for _ in range(batch):
            place = turn[0]
            head = place * step
            status = read_shared(words, head + RING_STATUS)
            if status & RING_USER == 0:
                break
            length = words[head + RING_LENGTH] & 0xFFFFFFFF
            at = 8 * head + ((words[head + RING_LENGTH] >> 32) & 0xFFFF)
            interface = words[head + RING_ADDRESS] >> 32
            if status & RING_TAG and length >= 14:
                # A VLAN tag that the kernel has taken off comes beside the frame.
                tags = words[head + RING_TAGS]
                for i in range(12):
                    ring[at - 4 + i] = ring[at + i]
                kind = (tags >> 16) & 0xFFFF if status & RING_TAG_KIND else 0x8100
                write(ring, at + 8, 4, (kind << 16) | (tags & 0xFFFF))
                at -= 4
                length += 4
            if length > longest:
                pool.counts[DROPPED_FREE] += 1
            elif interface < wires.end_of.size and wires.end_of[interface] >= 0:
                came_out(
                    wires.end_of[interface], at, length, now, wires, pool, messages, routes, lanes,
                    tally,
                )  # fmt: skip
            write_shared(words, head + RING_STATUS, RING_KERNEL)
            turn[0] = (place + 1) % places
            total += 1
    return total


@bare_kernel
def release(now: int, wires: Wires, pool: Pool, messages: Messages) -> int:
    """Put into switches, and hand to hosts, frames whose wall time has come: a batch at most."""
    one, count, heap, law = pool.slot, pool.counts, pool.heap, wires.law
    batch = law[BATCH]
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
            put_trailer(
                pool.frames, slot * law[STRIDE] + length, one[slot, VIRTUAL], mark,
                one[slot, TURN],
            )  # fmt: skip
            length += TRAILER_BYTES
        messages.sent_vector[filled, 0] = messages.places[0] + slot * law[STRIDE]
        messages.sent_vector[filled, 1] = length
        messages.sent[filled, 0] = messages.places[1] + target * 32
        messages.sent[filled, 7] = 0
        messages.sending[filled] = slot
        filled += 1
    if filled == 0:
        return 0
    begins = wall(messages.clock)
    first = 0
    while first < filled:
        sent = sendmmsg(
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
        one[slot, RELEASED] = begins
        if one[slot, STATE] == WAITING:
            one[slot, STATE] = LEAVING if one[slot, EXPECTED] < 0 else AWAY
    return filled


@bare_kernel
def exchange(
    now: int, wires: Wires, pool: Pool, messages: Messages, routes: RouteTable, lanes: Lanes,
    tally: Tally,
) -> None:  # fmt: skip
    """Take in what has come out of switches, and put in what is due by then, in turns.

    So the ring never has to hold much more than what was put in at once.
    """
    receive(wires, pool, messages, routes, lanes, tally)
    while release(now, wires, pool, messages) > 0:
        receive(wires, pool, messages, routes, lanes, tally)
