"""The search for room over phases and wires, as integer loops.

`free` has a row per port with the bytes left in each cycle of the hypercycle. A stream whose
frames leave every `period` cycles and which starts in phase p uses, at a hop that its frames reach
`shift` cycles after the start, the cycles p + shift, p + shift + period, and so on round the
hypercycle. What a wire has for a phase is the least of these, and the phase is as good as its
worst hop with the best wire at each hop: wires are chosen hop by hop, so nothing is missed.

Room is compared across ports of different size as (left - need) * weight, where `weight` is
2**WEIGHT_BITS divided by the port's capacity; its sign says whether the stream fits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import kernel

Int64s = NDArray[np.int64]

WEIGHT_BITS = 40
"""A port's capacity in bytes per cycle is below 2**WEIGHT_BITS, so a score is too."""

UNSEEN = 2**62
"""More than any number of bytes or any score."""


class Ledger(NamedTuple):
    """Bytes left in every cycle of every port."""

    free: Int64s
    weight: Int64s


class Hops(NamedTuple):
    """Wires to choose from at each hop: those of hop h are `port[offset[h]:offset[h + 1]]`.

    `shift` is the hop's cycle for start cycle 0, modulo the hypercycle.
    """

    offset: Int64s
    port: Int64s
    shift: Int64s


class Scratch(NamedTuple):
    """Room to work in: one number for each phase."""

    left: Int64s
    best: Int64s
    score: Int64s


@kernel
def fold(row: Int64s, shift: int, period: int, left: Int64s) -> int:
    """Write into `left[phase]` the least bytes over the cycles that a phase uses."""
    for phase in range(period):
        left[phase] = UNSEEN
    length = row.shape[0]
    cycle = shift
    for _ in range(length // period):
        before_wrap = min(period, length - cycle)
        for phase in range(before_wrap):
            left[phase] = min(left[phase], row[cycle + phase])
        for phase in range(before_wrap, period):
            left[phase] = min(left[phase], row[cycle + phase - length])
        cycle = (cycle + period) % length
    return 0


@kernel
def score_phases(ledger: Ledger, hops: Hops, period: int, need: int, scratch: Scratch) -> int:
    """Fill `scratch.score[phase]` and return the best phase, the lowest of equals."""
    left, best, score = scratch.left, scratch.best, scratch.score
    for phase in range(period):
        score[phase] = UNSEEN
    for hop in range(hops.shift.shape[0]):
        for phase in range(period):
            best[phase] = -UNSEEN
        for item in range(hops.offset[hop], hops.offset[hop + 1]):
            port = hops.port[item]
            weight = ledger.weight[port]
            fold(ledger.free[port], hops.shift[hop], period, left)
            for phase in range(period):
                best[phase] = max(best[phase], (left[phase] - need) * weight)
        for phase in range(period):
            score[phase] = min(score[phase], best[phase])
    chosen = 0
    for phase in range(1, period):
        if score[phase] > score[chosen]:
            chosen = phase
    return chosen


@kernel
def choose_wires(
    ledger: Ledger, hops: Hops, period: int, need: int, phase: int, ports: Int64s, cycles: Int64s
) -> int:
    """Choose the wire with the most room at each hop; return the hop that has the least.

    `cycles[hop]` is the fullest cycle that the stream uses there. Of equal wires the first is
    chosen, of equal cycles and hops the earliest.
    """
    length = ledger.free.shape[1]
    binding = 0
    lowest = UNSEEN
    for hop in range(hops.shift.shape[0]):
        most = -UNSEEN
        for item in range(hops.offset[hop], hops.offset[hop + 1]):
            port = hops.port[item]
            tightest = 0
            left = UNSEEN
            for turn in range(length // period):
                cycle = (phase + hops.shift[hop] + turn * period) % length
                if ledger.free[port, cycle] < left:
                    left = ledger.free[port, cycle]
                    tightest = cycle
            room = (left - need) * ledger.weight[port]
            if room > most:
                most = room
                ports[hop] = port
                cycles[hop] = tightest
        if most < lowest:
            lowest = most
            binding = hop
    return binding


@kernel
def take(ledger: Ledger, hops: Hops, period: int, need: int, phase: int, ports: Int64s) -> int:
    """Take the bytes of an admitted stream out of every cycle that it uses."""
    length = ledger.free.shape[1]
    for hop in range(hops.shift.shape[0]):
        for turn in range(length // period):
            cycle = (phase + hops.shift[hop] + turn * period) % length
            ledger.free[ports[hop], cycle] -= need
    return 0
