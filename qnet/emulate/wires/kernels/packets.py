"""Frames through the packet socket, many a call."""

from __future__ import annotations

from typing import Any

import numpy as np

from qnet.emulate.wires.kernels.arrivals import came_out
from qnet.emulate.wires.kernels.frames import put_trailer
from qnet.emulate.wires.kernels.slots import drop_slot, has_record_room, heap_pop
from qnet.emulate.wires.kernels.system import DONT_WAIT, recvmmsg, sendmmsg, wall
from qnet.emulate.wires.kernels.tables import (
    AWAY,
    BATCH,
    BYTES_HELD,
    EXPECTED,
    FREE_SLOT,
    HEAP_COUNT,
    HOST_END,
    KIND,
    LEAVING,
    OWNER,
    PUT_IN,
    RELEASED,
    SENT_ERRORS,
    SOCKET,
    STATE,
    STRIDE,
    TARGET,
    TIME_NOW,
    TURN,
    VIRTUAL,
    WAITING,
    Messages,
    Pool,
    Wires,
)
from qnet.kernel import bare_kernel
from qnet.simulate.kernels import Lanes, Routes, Tally


@bare_kernel
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
        if not has_record_room(wires, pool):
            break
        for i in range(batch):
            received[i, 1] = 32
            received[i, 5] = 64
            received[i, 7] = 0
        got = recvmmsg(socket, received.ctypes.data, batch, DONT_WAIT, 0)
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


@bare_kernel
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
            one[slot, RELEASED] = now
            if one[slot, STATE] == WAITING:
                one[slot, STATE] = LEAVING if one[slot, EXPECTED] < 0 else AWAY
        total += filled
    return total
