"""Frames that have reached their listener, and what becomes of copies that are followed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, highest_bit, inline_kernel
from qnet.simulate.clocks.kernels import when_shown
from qnet.simulate.world import (
    BLOCK_BINS,
    FOLLOWED,
    PASSED_ON,
    POSITIONS,
    Birth,
    FateRing,
    OwnerTally,
    PortTally,
    Reached,
)

Ints = NDArray[np.int64]


@bare_kernel
def bin_of(value_ps: int) -> int:
    """Return the histogram bin of a value of zero or more (see `qnet.model.histogram`)."""
    units = value_ps >> 10
    if units < 16:
        return units
    octave = highest_bit(units) - 3
    return min(16 * octave + (units >> (octave - 1)) - 16, 591)


@inline_kernel
def deliver(
    port: int,
    owner: int,
    birth: int,
    arrives: int,
    frame_bytes: int,
    steady_from: int,
    end: int,
    counts: Ints,
    row: Ints,
    block: NDArray[np.int32],
    bins: Ints,
    births: Ints,
) -> None:
    """Count a frame that reaches its listener, unless the run is over by then."""
    if arrives > end:
        return
    excess = arrives - birth - row[owner, OwnerTally.FLOOR]
    row[owner, OwnerTally.RECEIVED] += 1
    row[owner, OwnerTally.RECEIVED_BYTES] += frame_bytes
    if arrives >= steady_from:
        row[owner, OwnerTally.STEADY_BYTES] += frame_bytes + 20
    row[owner, OwnerTally.EXCESS] += excess
    if excess < row[owner, OwnerTally.LEAST]:
        row[owner, OwnerTally.LEAST] = excess
        births[owner, Birth.BEST] = birth
    if excess > row[owner, OwnerTally.MOST]:
        row[owner, OwnerTally.MOST] = excess
        births[owner, Birth.WORST] = birth
    bin_number = bin_of(excess)
    octave = bin_number // BLOCK_BINS
    number = np.int64(block[owner, octave])
    if number == 0:
        number = counts[port, PortTally.BLOCKS] + 1
        counts[port, PortTally.BLOCKS] = number
        block[owner, octave] = number
    bins[counts[port, PortTally.BLOCK_BASE] + number - 1, bin_number % BLOCK_BINS] += 1


@bare_kernel
def end_following(
    owner: int, birth: int, label: int, fate: int, followed: Ints, fates: Ints
) -> None:
    """Note what has become of a copy.

    The label has 16 bits of its number: of the copies under way with these it is the one of this
    birth.
    """
    base, mask = followed[owner, FateRing.BASE], followed[owner, FateRing.MASK]
    low = followed[owner, FateRing.LOW]
    number = low + (((label >> 48) - low) & 0xFFFF)
    while number <= low + mask:
        if fates[base + (number & mask)] == birth:
            fates[base + (number & mask)] = -1 - fate
            return
        number += 0x10000


@bare_kernel
def damper_due(
    owner: int, birth: int, hold: int, damper_clock: Ints, clock_error: Ints, block_length: int
) -> int:
    """Return when the damper of a listener's node hands a frame over, by that node's clock."""
    return when_shown(birth + hold, clock_error[damper_clock[owner]], block_length)


@inline_kernel
def pass_damper(
    position: int,
    owner: int,
    birth: int,
    arrives: int,
    row: Ints,
    late: Ints,
    damper_clock: Ints,
    clock_error: Ints,
    block_length: int,
) -> int:
    """Return when the listener has a frame: at once, or when its damper's time has come."""
    if row[owner, OwnerTally.HOLD] >= 0:
        due = damper_due(
            owner, birth, row[owner, OwnerTally.HOLD], damper_clock, clock_error, block_length
        )
        if arrives > due:
            late[position] += 1
        arrives = max(arrives, due)
    return arrives


@inline_kernel
def reach_listener(
    number: int, arrives: int, birth: int, label: int, owner: int, reached: Ints
) -> None:
    """Put a frame behind the `number` others in `reached`."""
    reached[number, Reached.ARRIVAL] = arrives
    reached[number, Reached.BIRTH] = birth
    reached[number, Reached.LABEL] = label
    reached[number, Reached.OWNER] = owner


@inline_kernel
def must_deliver(port: int, target: int, number: int, reached: Ints, counts: Ints) -> bool:
    """Tell whether the `number` frames in `reached` are to be delivered before another goes there.

    There is no room for one more, or perhaps no block for each of them.
    """
    return target < 0 and (
        number == reached.shape[0]
        or counts[port, PortTally.BLOCKS] + number >= counts[port, PortTally.BLOCK_ROOM]
    )


@bare_kernel
def deliver_reached(
    port: int,
    number: int,
    reached: Ints,
    late: Ints,
    damper_clock: Ints,
    clock_error: Ints,
    block_length: int,
    steady_from: int,
    end: int,
    counts: Ints,
    row: Ints,
    block: NDArray[np.int32],
    bins: Ints,
    births: Ints,
    followed: Ints | None,
    fates: Ints | None,
) -> None:
    """Deliver the first `number` frames of `reached`.

    What is kept of one listener lies far from what is kept of another, and in three places of
    which each says where the next one is. Two loops over many frames wait for memory a few times;
    frame by frame it would be three times for each. `followed` and `fates` are None where no copy
    is followed.
    """
    for entry in range(number):
        position = reached[entry, Reached.LABEL] >> 16
        if followed is not None:
            position &= POSITIONS
        reached[entry, Reached.ARRIVAL] = pass_damper(
            position,
            reached[entry, Reached.OWNER],
            reached[entry, Reached.BIRTH],
            reached[entry, Reached.ARRIVAL],
            row,
            late,
            damper_clock,
            clock_error,
            block_length,
        )
    for entry in range(number):
        deliver(
            port,
            reached[entry, Reached.OWNER],
            reached[entry, Reached.BIRTH],
            reached[entry, Reached.ARRIVAL],
            reached[entry, Reached.LABEL] & 0xFFFF,
            steady_from,
            end,
            counts,
            row,
            block,
            bins,
            births,
        )
    if followed is not None and fates is not None:
        for entry in range(number):
            label = reached[entry, Reached.LABEL]
            if label & FOLLOWED and reached[entry, Reached.ARRIVAL] <= end:
                end_following(
                    reached[entry, Reached.OWNER],
                    reached[entry, Reached.BIRTH],
                    label,
                    PASSED_ON,
                    followed,
                    fates,
                )
