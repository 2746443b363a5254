"""Sources: when the next frame of each is born, and of how many bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, highest_bit, inline_kernel, prefetch
from qnet.simulate.world import (
    FLOWS,
    NEVER,
    PACED,
    PERIODIC,
    RECORDED,
    FateRing,
    SourceHeap,
    SourceLaw,
    SourceState,
)

Ints = NDArray[np.int64]

WORD = 0xFFFFFFFF


@bare_kernel
def draw(dice: Ints, row: int, column: int) -> int:
    """Return the next 32 random bits: xoshiro128++ (Blackman and Vigna), in int64 arithmetic."""
    a = dice[row, column]
    b = dice[row, column + 1]
    c = dice[row, column + 2]
    d = dice[row, column + 3]
    total = (a + d) & WORD
    result = ((((total << 7) & WORD) | (total >> 25)) + a) & WORD
    c ^= a
    d ^= b
    dice[row, column + 1] = b ^ c
    dice[row, column] = a ^ d
    dice[row, column + 2] = c ^ ((b << 9) & WORD)
    dice[row, column + 3] = ((d << 11) & WORD) | (d >> 21)
    return result


@bare_kernel
def exponential(bits: int, log_table: Ints) -> int:
    """Turn 32 random bits into an exponential draw of mean 1, in units of 2**-32.

    -ln(u) is split into the leading zeros of u and a table of the logarithm with linear
    interpolation; integers only, so the same on every machine. The mean is high by 1e-6.
    """
    bits = max(bits, 1)
    zeros = 31 - highest_bit(bits)
    mantissa = (bits << zeros) & WORD
    index = (mantissa >> 23) & 255
    step = log_table[index] - log_table[index + 1]
    return zeros * log_table[0] + log_table[index] - ((step * (mantissa & 0x7FFFFF)) >> 23)


@inline_kernel
def flow_frames(bits: int, at: int, table: Ints) -> int:
    """Return how many frames a flow has, by 32 random bits and points from a place of the table on.

    A point is two entries: at most so many frames, for draws below a limit; the last limit is above
    every draw. Between two points all lengths are alike, up to the first there is one.
    """
    point = at
    while bits >= table[point + 1]:
        point += 2
    if point == at:
        return int(table[at])
    low, limit = table[point - 2], table[point - 1]
    steps = (table[point] - low) * (bits - limit)
    return int(low + steps // (table[point + 1] - limit) + 1)


@inline_kernel
def begin_flow(source: int, state: Ints, law: Ints, log_table: Ints) -> None:
    """Draw the pause before a source's next flow, and then the frames of that.

    The law of flows has the mean pause and a shift, as GAP and SHIFT of POISSON, then points.
    """
    at = law[source, SourceLaw.PACKETS]
    unit = exponential(draw(state, source, SourceState.DICE), log_table) >> 12
    state[source, SourceState.NEXT_TIME] += (unit * log_table[at]) >> log_table[at + 1]
    bits = draw(state, source, SourceState.DICE)
    state[source, SourceState.LEFT] = flow_frames(bits, at + 2, log_table)


@bare_kernel
def advance(source: int, frame_bytes: int, state: Ints, law: Ints, log_table: Ints,
            recorded: Ints) -> None:  # fmt: skip
    """Set the time, and the cycle, of a source's next frame after one has been sent.

    PERIODIC: every GAP. PACED: SHIFT / GAP picoseconds for each byte sent. POISSON: exponential
    with mean GAP / 2**(SHIFT - 20). FLOWS: as PACED, and a pause after each flow. What division
    leaves over is carried to the next gap.
    RECORDED: when the next frame was seen; never after the last one.
    """
    state[source, SourceState.SENT] += 1
    state[source, SourceState.SENT_BYTES] += frame_bytes
    kind = law[source, SourceLaw.KIND]
    if kind in (PACED, FLOWS):
        state[source, SourceState.CARRY] += (frame_bytes + 20) * law[source, SourceLaw.SHIFT]
    if kind == FLOWS:
        state[source, SourceState.NEXT_TIME] += (
            state[source, SourceState.CARRY] // law[source, SourceLaw.GAP]
        )
        state[source, SourceState.CARRY] %= law[source, SourceLaw.GAP]
    state[source, SourceState.LEFT] -= 1
    if state[source, SourceState.LEFT] > 0:
        return
    if kind == FLOWS:
        begin_flow(source, state, law, log_table)
        return
    state[source, SourceState.LEFT] = law[source, SourceLaw.PACKETS]
    if kind == PERIODIC:
        state[source, SourceState.NEXT_TIME] += law[source, SourceLaw.GAP]
        state[source, SourceState.NEXT_CYCLE] += law[source, SourceLaw.PERIOD]
    elif kind == PACED:
        state[source, SourceState.NEXT_TIME] += (
            state[source, SourceState.CARRY] // law[source, SourceLaw.GAP]
        )
        state[source, SourceState.CARRY] %= law[source, SourceLaw.GAP]
    elif kind == RECORDED:
        step = state[source, SourceState.CARRY] + 1
        state[source, SourceState.CARRY] = step
        is_over = step >= law[source, SourceLaw.SHIFT]
        state[source, SourceState.NEXT_TIME] = (
            NEVER if is_over else recorded[law[source, SourceLaw.GAP] + step]
        )
    else:
        shift = law[source, SourceLaw.SHIFT]
        unit = exponential(draw(state, source, SourceState.DICE), log_table) >> 12
        carry = state[source, SourceState.CARRY] + unit * law[source, SourceLaw.GAP]
        state[source, SourceState.NEXT_TIME] += carry >> shift
        state[source, SourceState.CARRY] = carry & ((1 << shift) - 1)


@bare_kernel
def settle(heap: Ints, base: int, size: int) -> None:
    """Let the top of a port's heap sink to its place: earliest first, then lowest number."""
    time = heap[base, SourceHeap.TIME]
    moving = heap[base, SourceHeap.SOURCE]
    place = base
    child = base + 1
    last = base + size
    while child < last:
        if child + 1 < last:
            # Which of two comes first is anybody's guess: no branch, no wrong guess.
            gap = heap[child + 1, SourceHeap.TIME] - heap[child, SourceHeap.TIME]
            lower = heap[child + 1, SourceHeap.SOURCE] < heap[child, SourceHeap.SOURCE]
            child += (gap < 0) | ((gap == 0) & lower)
        gap = heap[child, SourceHeap.TIME] - time
        if gap > 0 or (gap == 0 and heap[child, SourceHeap.SOURCE] > moving):
            break
        heap[place, SourceHeap.TIME] = heap[child, SourceHeap.TIME]
        heap[place, SourceHeap.SOURCE] = heap[child, SourceHeap.SOURCE]
        place = child
        child = 2 * (child - base) + 1 + base
    heap[place, SourceHeap.TIME] = time
    heap[place, SourceHeap.SOURCE] = moving


@inline_kernel
def draw_size(source: int, state: Ints, law: Ints, size_bytes: Ints, size_limit: Ints) -> int:
    """Return the bytes of a source's next frame."""
    size = law[source, SourceLaw.SIZE_FIRST]
    if size + 1 < law[source, SourceLaw.SIZE_LAST]:
        bits = draw(state, source, SourceState.DICE)
        while bits >= size_limit[size]:
            size += 1
    elif law[source, SourceLaw.KIND] == RECORDED:
        size += state[source, SourceState.CARRY]
    return size_bytes[size]


@bare_kernel
def pass_over(source: int, until: int, state: Ints, law: Ints, size_bytes: Ints, size_limit: Ints,
              log_table: Ints, recorded: Ints) -> None:  # fmt: skip
    """Bring a source to its first frame at `until` or later; those before it are not sent."""
    sent, sent_bytes = state[source, SourceState.SENT], state[source, SourceState.SENT_BYTES]
    while state[source, SourceState.NEXT_TIME] < until:
        frame_bytes = draw_size(source, state, law, size_bytes, size_limit)
        advance(source, frame_bytes, state, law, log_table, recorded)
    state[source, SourceState.SENT], state[source, SourceState.SENT_BYTES] = sent, sent_bytes


@inline_kernel
def prefetch_sources(
    top: int, heap_size: int, heap: Ints, state: Ints, law: Ints, hop: NDArray[np.int32]
) -> None:
    """Ask for what is read of a port's next source, and of those that may be the next after it."""
    prefetch(hop, 2 * law[heap[top, SourceHeap.SOURCE], SourceLaw.START])
    for place in range(top + 1, top + min(heap_size, 3)):
        source = heap[place, SourceHeap.SOURCE]
        prefetch(law, source * law.shape[1])
        prefetch(state, source * state.shape[1])


@bare_kernel
def follow(source: int, birth: int, label: int, state: Ints, followed: Ints, fates: Ints) -> int:
    """Give a copy that is born its number, and note that it is under way; return its label."""
    number = state[source, SourceState.NEXT_NUMBER]
    state[source, SourceState.NEXT_NUMBER] = number + 1
    fates[followed[source, FateRing.BASE] + (number & followed[source, FateRing.MASK])] = birth
    return int(label | ((number & 0xFFFF ^ 0x8000) - 0x8000) << 48)
