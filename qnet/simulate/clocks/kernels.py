"""What a clock shows at a true time, and when it shows something.

A clock's error is known at the full milliseconds (`block`); from one to the next it changes evenly,
as that of an oscillator does whose frequency is a little off, and that of one whose frequency is
set anew. It is rounded down to picoseconds; after the last of them it stays. `errors` has those of
one clock. One that is off by 100 ppm, 100 ns a millisecond, is wrong by 50 ns halfway.

Events set a clock otherwise: it then goes by other errors, from an instant on. Those before are as
if it had always gone so. `ClockTable` has all settings of all clocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel

Ints = NDArray[np.int64]


class ClockTable(NamedTuple):
    """How clocks go, and from when on: one setting after the other."""

    first: Ints
    """[node]: its settings are first[node] to first[node + 1] - 1."""
    since: Ints
    """[setting]: from when on it is in force."""
    errors: Ints
    """[setting, block]: errors, also before it is in force and after it is over."""
    block: int


@bare_kernel
def error_at(time: int, errors: Ints, block: int) -> int:
    """Return a clock's error at a true time; what it shows is the time less its error."""
    number = min(max(time // block, 0), errors.size - 1)
    error = errors[number]
    if number + 1 < errors.size and errors[number + 1] != error and time > 0:
        error += (errors[number + 1] - error) * (time - number * block) // block
    return error


@bare_kernel
def when_shown(shown: int, errors: Ints, block: int) -> int:
    """Return the first true time at which a clock shows as much as `shown`.

    Errors change by less than the time that passes, so no clock stands still or goes back.
    """
    last = errors.size - 1
    number = min(max(shown // block, 0), last)
    while number > 0 and number * block - errors[number] >= shown:
        number -= 1
    while number < last and (number + 1) * block - errors[number + 1] < shown:
        number += 1
    error = errors[number]
    into = shown - number * block + error
    if number == last or into <= 0 or errors[number + 1] == error:
        return shown + error
    # The least u for which u - floor(drift * u / block) is `into` or more.
    drift = errors[number + 1] - error
    return number * block + (into - 1) * block // (block - drift) + 1


@bare_kernel
def setting_at(time: int, node: int, clocks: ClockTable) -> int:
    """Return which setting of a clock is in force at a time."""
    low, high = clocks.first[node], clocks.first[node + 1] - 1
    while low < high:
        middle = (low + high + 1) >> 1
        if clocks.since[middle] <= time:
            low = middle
        else:
            high = middle - 1
    return int(low)


@bare_kernel
def due_from(shown: int, after: int, node: int, clocks: ClockTable) -> int:
    """Return when a clock first shows so much, as it is set at a time and later on.

    That is before `after` where it has shown so much already since it was set.
    """
    here, last = setting_at(after, node, clocks), clocks.first[node + 1] - 1
    due = when_shown(shown, clocks.errors[here], clocks.block)
    if here > clocks.first[node]:
        due = max(due, clocks.since[here])
    while here < last and due >= clocks.since[here + 1]:
        here += 1
        due = max(when_shown(shown, clocks.errors[here], clocks.block), clocks.since[here])
    return int(due)
