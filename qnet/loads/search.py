"""Where the highest load is at which something holds: of a grid, or between close bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

WRONG_GUESSES = 3
"""After so many, bounds are halved."""

LEAST_PPM = 1000
"""No lower load is tried: a thousandth of what the profile offers."""


def highest(holds: Callable[[int], bool], top: int) -> int:
    """Return the largest whole number from 1 to `top` that holds, or 0.

    What holds at a number is taken to hold at all below it. Asks for `top` first, then halves: no
    more than 1 + log2(top), rounded up, times.
    """
    if top < 1 or holds(top):
        return max(top, 0)
    low, high = 0, top
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


class Counted(NamedTuple):
    """Frames of one trial: those that were offered, and of these those that were lost."""

    offered: int
    lost: int

    def is_beyond(self, loss_ppb: int) -> bool:
        """Tell whether more was lost than that share."""
        return self.lost * 10**9 > loss_ppb * self.offered


class RelevantBounds(NamedTuple):
    """Relevant lower and upper bound of a goal, in parts per million; None where there is none."""

    lower_ppm: int | None
    upper_ppm: int | None


Guess = Callable[[int, int], int | None]
"""Between two loads, of which the upper one has failed, say where the limit may be."""


def search_losses(
    measure: Callable[[int], Counted],
    guess_after: Callable[[int], Guess],
    most_ppm: int,
    loss_ppb: int,
    width_ppm: int,
) -> RelevantBounds:
    """Search for the highest load at which no more is lost, in the terms of RFC 9971.

    The goal is that of RFC 2544: a single trial of the whole duration decides. A trial is the same
    whenever it is asked for, so none is made twice. Where the next one is made is said by the
    guess that the lowest trial that failed gives, or else by the share that it forwarded; where
    guesses are wrong, steps grow, and bounds are halved in the end.
    """
    found = _Bounds(low=0, high=most_ppm, width_ppm=width_ppm)
    least_ppm = min(LEAST_PPM, most_ppm // 2)
    load, counted = most_ppm, measure(most_ppm)
    if not counted.is_beyond(loss_ppb):
        return RelevantBounds(most_ppm, None)
    guess, forwarded = guess_after(load), counted
    row, wrong, has_failed = 0, 0, True
    while not found.are_close:
        if found.high <= least_ppm:
            return RelevantBounds(None, found.high)
        limit = guess(max(found.low, least_ppm), found.high)
        if limit is None:
            limit = found.high - found.high * forwarded.lost // (forwarded.offered or 1)
        load = found.next_load(limit, row, has_failed=has_failed)
        if wrong >= WRONG_GUESSES and (found.low or row > 2 * WRONG_GUESSES):
            load = (found.low + found.high) // 2
        load = max(load, least_ppm)
        counted, was = measure(load), has_failed
        has_failed = counted.is_beyond(loss_ppb)
        wrong += load < limit if has_failed else load > limit
        row = row + 1 if has_failed == was else 1
        if has_failed:
            found.high, guess, forwarded = load, guess_after(load), counted
        else:
            found.low = load
    return RelevantBounds(found.low, found.high)


@dataclass
class _Bounds:
    """The loads between which the limit is, and where the next trial is made."""

    low: int
    high: int
    width_ppm: int

    @property
    def width(self) -> int:
        return self.high * self.width_ppm // 10**6

    @property
    def are_close(self) -> bool:
        """Tell whether they are as close as is asked for."""
        return bool(self.low) and self.high - self.low <= max(self.width, 1)

    def next_load(self, limit: int, row: int, *, has_failed: bool) -> int:
        """Return a load next to the limit that is guessed, a little below it.

        Where the guess is at a bound, it is a width away from that; steps grow with the number of
        trials in a row that ended alike.
        """
        step = max(self.width * 19 // 20, 1)
        below = limit - limit * self.width_ppm * 3 // 10**7 * (max(row, 1) if has_failed else 1)
        if self.low and limit - self.low < step:
            load = self.low + step * (1 if has_failed else row**2)
        elif self.high - limit < self.width // 2:
            load = self.high - step * max(row, 1) ** 2
        else:
            load = below
        if self.low:
            load = max(min(load, self.high - self.width // 2), self.low + self.width // 2)
        return max(min(load, self.high - 1), self.low + 1)
