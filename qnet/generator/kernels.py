"""Frames sent when they are due, many a call, and taken out of a ring that the kernel fills.

Every test frame has a header of 24 bytes, big-endian: MAGIC, the number of its stream, its sequence
number, and when it was handed to the kernel, in nanoseconds of the clock on the wall.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from qnet.emulate.wires.kernels.frames import read, write
from qnet.emulate.wires.kernels.system import (
    DONT_WAIT,
    REALTIME,
    copy,
    ppoll,
    sendmmsg,
    time_of,
)
from qnet.kernel import bare_kernel, columns, kernel, read_shared, write_shared
from qnet.simulate.kernels.delivery import bin_of

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

MAGIC = 0x716E6574
"""'qnet'."""

HEADER_BYTES = 24
BATCH = 64
"""Frames handed to the kernel in one call, at most."""

SLEEP_NS = 200_000
"""A gap longer than this is slept through, but for its end."""

STALLED_NS = 2_000_000_000
"""A device that takes nothing for so long will take no more."""

WINDOW = 1 << 16
"""Sequence numbers that are remembered of a stream, to know duplicates by."""

RING_STATUS, RING_LENGTH, RING_TIME = 0, 1, 2
USER = 1


@columns
class SendState(IntEnum):
    """What the sender knows between two calls; see `send_due`."""

    SOCKET = 0
    COUNT = 1
    SENT = 2
    SENT_BYTES = 3
    ORIGIN_NS = 4
    DUE_PS = 5
    STREAM = 6
    STRIDE = 7
    AT = 8
    BURST = 9
    OWED_PS = 10
    REFUSED = 11
    LATE_MOST_NS = 12
    LATE_SUM_NS = 13
    FIRST_NS = 14
    LAST_NS = 15


@columns
class StreamSeen(IntEnum):
    """What the receiver knows of one stream; see `take`."""

    FRAMES = 0
    BYTES = 1
    NEXT = 2
    DUPLICATES = 3
    REORDERED = 4
    LEAST_NS = 5
    MOST_NS = 6
    SUM_NS = 7
    LAST_NS = 8
    JITTER = 9
    STEP_SUM_NS = 10
    STEP_MOST_NS = 11
    FIRST_AT_NS = 12
    LAST_AT_NS = 13
    TOO_OLD = 14


@kernel
def send_due(
    until_ns: int,
    law: Ints,
    clock: Ints,
    pattern: Ints,
    sizes: Ints,
    templates: Bytes,
    frames: Bytes,
    vectors: Ints,
    messages: Ints,
    late: Ints,
) -> bool:
    """Send frames as they fall due, until all are sent or a time; say whether all are.

    `pattern` has the size of each frame by its row in `sizes`, over and over; sizes[row] is its
    bytes and the picoseconds to the next frame; `templates` has a whole frame for each row. The
    first frame is due at ORIGIN_NS, BURST at once. What is late is sent at once, and what is due
    after it is not put off. `late` counts how late frames were handed over, in bins of
    `qnet.model.histogram`.
    """
    stride, at, burst = law[SendState.STRIDE], law[SendState.AT], law[SendState.BURST]
    taken_ns = time_of(REALTIME, clock)
    while law[SendState.SENT] < law[SendState.COUNT]:
        now = time_of(REALTIME, clock)
        if now >= until_ns:
            return False
        filled = 0
        number, due_ps, owed_ps = law[SendState.SENT], law[SendState.DUE_PS], law[SendState.OWED_PS]
        while filled < BATCH and number < law[SendState.COUNT]:
            if law[SendState.ORIGIN_NS] + due_ps // 1000 > now:
                break
            row = pattern[number % pattern.size]
            place = filled * stride
            length = sizes[row, 0]
            copy(frames.ctypes.data + place, templates.ctypes.data + row * stride, length)
            write(frames, place + at + 8, 8, number)
            write(frames, place + at + 16, 8, now)
            vectors[filled, 1] = length
            vectors[filled, 2] = due_ps
            number += 1
            owed_ps += sizes[row, 1]
            if number % burst == 0:
                due_ps += owed_ps
                owed_ps = 0
            vectors[filled, 3] = due_ps
            vectors[filled, 4] = owed_ps
            filled += 1
        if filled == 0:
            _rest(law[SendState.ORIGIN_NS] + due_ps // 1000 - now, until_ns - now, messages, clock)
            taken_ns = time_of(REALTIME, clock)
            continue
        sent = sendmmsg(law[SendState.SOCKET], messages.ctypes.data, filled, DONT_WAIT)
        if sent <= 0:
            law[SendState.REFUSED] += 1
            if now - taken_ns > STALLED_NS:
                return False
            continue
        taken_ns = now
        if law[SendState.SENT] == 0:
            law[SendState.FIRST_NS] = now
        law[SendState.LAST_NS] = now
        for i in range(sent):
            law[SendState.SENT_BYTES] += vectors[i, 1]
            behind = now - (law[SendState.ORIGIN_NS] + vectors[i, 2] // 1000)
            late[bin_of(behind * 1000)] += 1
            law[SendState.LATE_SUM_NS] += behind
            law[SendState.LATE_MOST_NS] = max(law[SendState.LATE_MOST_NS], behind)
        law[SendState.SENT] += sent
        law[SendState.DUE_PS], law[SendState.OWED_PS] = vectors[sent - 1, 3], vectors[sent - 1, 4]
    return True


@bare_kernel
def _rest(gap_ns: int, most_ns: int, messages: Ints, clock: Ints) -> None:
    """Sleep through most of a long gap; a short one is waited for at work."""
    gap = min(gap_ns, most_ns)
    if gap > SLEEP_NS:
        clock[2] = 0
        clock[3] = gap - SLEEP_NS // 2
        ppoll(messages.ctypes.data, 0, clock.ctypes.data + 16, 0)


@kernel
def take(
    until_ns: int,
    socket: int,
    clock: Ints,
    ring: Bytes,
    words: Ints,
    turn: Ints,
    step: int,
    seen: Ints,
    known: Ints,
    bins: Ints,
) -> int:
    """Take test frames out of the ring until a time; return how many there were.

    `seen` has a row for each stream, `known` a bit for each of its last WINDOW sequence numbers,
    `bins` its latencies: from the sender's stamp to the kernel's. Frames of streams that have no
    row, and others than test frames, are passed by.
    """
    places = words.size // step
    total = 0
    while True:
        head = turn[0] * step
        if read_shared(words, head + RING_STATUS) & USER == 0:
            now = time_of(REALTIME, clock)
            if now >= until_ns:
                return total
            # struct pollfd, then struct timespec.
            clock[2], clock[3] = 0, min(until_ns - now, 1_000_000)
            clock[4] = socket | (1 << 32)
            ppoll(clock.ctypes.data + 32, 1, clock.ctypes.data + 16, 0)
            continue
        length = words[head + RING_LENGTH] & 0xFFFFFFFF
        at = 8 * head + ((words[head + RING_LENGTH] >> 32) & 0xFFFF)
        stamp = words[head + RING_TIME]
        came_ns = (stamp & 0xFFFFFFFF) * 1_000_000_000 + ((stamp >> 32) & 0xFFFFFFFF)
        start = _header(ring, at, length)
        if start >= 0:
            stream = read(ring, start + 4, 4)
            if stream < seen.shape[0]:
                number, sent_ns = read(ring, start + 8, 8), read(ring, start + 16, 8)
                _count(stream, number, length, came_ns - sent_ns, came_ns, seen, known, bins)
                total += 1
        write_shared(words, head + RING_STATUS, 0)
        turn[0] = (turn[0] + 1) % places
        if total & 1023 == 1023 and time_of(REALTIME, clock) >= until_ns:
            return total


@bare_kernel
def _header(ring: Bytes, at: int, length: int) -> int:
    """Return where the header of a test frame begins, or -1 where it is none."""
    start = at + 12
    kind = read(ring, start, 2)
    if kind == 0x8100:
        start += 4
        kind = read(ring, start, 2)
    start += 2
    if kind == 0x0800:
        start += 4 * (int(ring[start]) & 15) + 8
    if start + HEADER_BYTES > at + length:
        return -1
    return start if read(ring, start, 4) == MAGIC else -1


@bare_kernel
def _count(
    stream: int, number: int, length: int, latency_ns: int, came_ns: int, seen: Ints, known: Ints,
    bins: Ints,
) -> None:  # fmt: skip
    """Count a frame: what is new of it, whether it was overtaken, how long it took."""
    behind = seen[stream, StreamSeen.NEXT] - 1 - number
    if behind >= WINDOW:
        seen[stream, StreamSeen.TOO_OLD] += 1
        return
    if behind < 0:
        first = max(number - WINDOW + 1, seen[stream, StreamSeen.NEXT])
        for one in range(first, number + 1):
            known[stream, (one % WINDOW) >> 5] &= ~(1 << (one & 31))
        seen[stream, StreamSeen.NEXT] = number + 1
    elif known[stream, (number % WINDOW) >> 5] >> (number & 31) & 1:
        seen[stream, StreamSeen.DUPLICATES] += 1
        return
    else:
        seen[stream, StreamSeen.REORDERED] += 1
    known[stream, (number % WINDOW) >> 5] |= 1 << (number & 31)
    seen[stream, StreamSeen.BYTES] += length
    if seen[stream, StreamSeen.FRAMES] == 0:
        seen[stream, StreamSeen.FIRST_AT_NS] = came_ns
        seen[stream, StreamSeen.LEAST_NS] = latency_ns
        seen[stream, StreamSeen.MOST_NS] = latency_ns
    else:
        step = abs(latency_ns - seen[stream, StreamSeen.LAST_NS])
        # RFC 3550 section 6.4.1: J += (|D| - J) / 16, in sixteenths as its appendix A.8 does.
        seen[stream, StreamSeen.JITTER] += step - ((seen[stream, StreamSeen.JITTER] + 8) >> 4)
        seen[stream, StreamSeen.STEP_SUM_NS] += step
        seen[stream, StreamSeen.STEP_MOST_NS] = max(seen[stream, StreamSeen.STEP_MOST_NS], step)
    seen[stream, StreamSeen.FRAMES] += 1
    seen[stream, StreamSeen.LEAST_NS] = min(seen[stream, StreamSeen.LEAST_NS], latency_ns)
    seen[stream, StreamSeen.MOST_NS] = max(seen[stream, StreamSeen.MOST_NS], latency_ns)
    seen[stream, StreamSeen.SUM_NS] += latency_ns
    seen[stream, StreamSeen.LAST_NS] = latency_ns
    seen[stream, StreamSeen.LAST_AT_NS] = max(seen[stream, StreamSeen.LAST_AT_NS], came_ns)
    bins[stream, bin_of(max(latency_ns, 0) * 1000)] += 1
