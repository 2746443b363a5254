"""Frames that have reached their listener, and what becomes of copies that are followed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, highest_bit, inline_kernel
from qnet.simulate.clocks.kernels import ClockTable, due_from
from qnet.simulate.world import (
    BLOCK_BINS,
    FOLLOWED,
    PASSED_ON,
    POSITIONS,
    Birth,
    FateRing,
    Network,
    OwnerTally,
    PortTally,
    Reached,
    RouteTable,
    Tally,
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


class Listeners(NamedTuple):
    """What a port's deliveries are counted in: tables of the world, bound once a visit."""

    port: int
    steady_from: int
    end: int
    reached: Ints
    late: Ints
    damper_clock: Ints
    clocks: ClockTable
    counts: Ints
    row: Ints
    block: NDArray[np.int32]
    bins: Ints
    births: Ints


@inline_kernel
def listeners_of(port: int, network: Network, routes: RouteTable, tally: Tally) -> Listeners:
    """Bind what a port's deliveries are counted in."""
    return Listeners(
        port, network.steady_from, network.end, tally.reached, routes.late, routes.damper_clock,
        network.clocks, tally.port, tally.owner, tally.block, tally.bins, tally.birth,
    )  # fmt: skip


@inline_kernel
def deliver(owner: int, birth: int, arrives: int, frame_bytes: int, to: Listeners) -> None:
    """Count a frame that reaches its listener, unless the run is over by then."""
    if arrives > to.end:
        return
    row, counts, block = to.row, to.counts, to.block
    excess = arrives - birth - row[owner, OwnerTally.FLOOR]
    row[owner, OwnerTally.RECEIVED] += 1
    row[owner, OwnerTally.RECEIVED_BYTES] += frame_bytes
    if arrives >= to.steady_from:
        row[owner, OwnerTally.STEADY_BYTES] += frame_bytes + 20
    row[owner, OwnerTally.EXCESS] += excess
    if excess < row[owner, OwnerTally.LEAST]:
        row[owner, OwnerTally.LEAST] = excess
        to.births[owner, Birth.BEST] = birth
    if excess > row[owner, OwnerTally.MOST]:
        row[owner, OwnerTally.MOST] = excess
        to.births[owner, Birth.WORST] = birth
    bin_number = bin_of(excess)
    octave = bin_number // BLOCK_BINS
    number = np.int64(block[owner, octave])
    if number == 0:
        number = counts[to.port, PortTally.BLOCKS] + 1
        counts[to.port, PortTally.BLOCKS] = number
        block[owner, octave] = number
    place = counts[to.port, PortTally.BLOCK_BASE] + number - 1
    to.bins[place, bin_number % BLOCK_BINS] += 1


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


@inline_kernel
def end_if_followed(owner: int, birth: int, label: int, fate: int, tally: Tally) -> None:
    """Note what has become of a copy, if it is one of those that are followed."""
    if label & FOLLOWED:
        end_following(owner, birth, label, fate, tally.followed, tally.fates)


@bare_kernel
def damper_due(owner: int, birth: int, hold: int, arrives: int, to: Listeners) -> int:
    """Return when the damper of a listener's node hands a frame over, by that node's clock."""
    return due_from(birth + hold, arrives, to.damper_clock[owner], to.clocks)


@inline_kernel
def pass_damper(position: int, owner: int, birth: int, arrives: int, to: Listeners) -> int:
    """Return when the listener has a frame: at once, or when its damper's time has come."""
    hold = to.row[owner, OwnerTally.HOLD]
    if hold >= 0:
        due = damper_due(owner, birth, hold, arrives, to)
        if arrives > due:
            to.late[position] += 1
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
def must_deliver(target: int, number: int, to: Listeners) -> bool:
    """Tell whether the `number` frames in `reached` are to be delivered before another goes there.

    There is no room for one more, or perhaps no block for each of them.
    """
    return target < 0 and (
        number == to.reached.shape[0]
        or to.counts[to.port, PortTally.BLOCKS] + number >= to.counts[to.port, PortTally.BLOCK_ROOM]
    )


@bare_kernel
def deliver_reached(number: int, to: Listeners, followed: Ints | None, fates: Ints | None) -> None:
    """Deliver the first `number` frames of `reached`.

    What is kept of one listener lies far from what is kept of another, and in three places of
    which each says where the next one is. Two loops over many frames wait for memory a few times;
    frame by frame it would be three times for each. `followed` and `fates` are None where no copy
    is followed.
    """
    reached = to.reached
    for entry in range(number):
        position = reached[entry, Reached.LABEL] >> 16
        if followed is not None:
            position &= POSITIONS
        owner, birth = reached[entry, Reached.OWNER], reached[entry, Reached.BIRTH]
        arrives = pass_damper(position, owner, birth, reached[entry, Reached.ARRIVAL], to)
        reached[entry, Reached.ARRIVAL] = arrives
    for entry in range(number):
        owner, birth = reached[entry, Reached.OWNER], reached[entry, Reached.BIRTH]
        frame_bytes = reached[entry, Reached.LABEL] & 0xFFFF
        deliver(owner, birth, reached[entry, Reached.ARRIVAL], frame_bytes, to)
    if followed is not None and fates is not None:
        for entry in range(number):
            owner, birth = reached[entry, Reached.OWNER], reached[entry, Reached.BIRTH]
            label = reached[entry, Reached.LABEL]
            if label & FOLLOWED and reached[entry, Reached.ARRIVAL] <= to.end:
                end_following(owner, birth, label, PASSED_ON, followed, fates)
