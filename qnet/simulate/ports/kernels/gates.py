"""Gates: which are open, for how long, and when the MAC holds preemptable frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.clocks.kernels import error_at, when_shown
from qnet.simulate.ports.parts import HELD_GATE, PortLaw

Ints = NDArray[np.int64]


@inline_kernel
def shown_by(now: int, law: Ints, errors: Ints, block: int) -> int:
    """Return what the clock of a port's node shows, counted from the begin of its lists."""
    return now - law[PortLaw.PHASE] - error_at(now, errors, block)


@bare_kernel
def when_shown_by(shown: int, law: Ints, errors: Ints, block: int) -> int:
    """Return the first time at which it shows so much."""
    return when_shown(law[PortLaw.PHASE] + shown, errors, block)


@inline_kernel
def entry_at(shown: int, law: Ints, gate_end: Ints) -> tuple[int, int]:
    """Return the entry of a port's gate list that is in force, and what was shown at its begin."""
    first, low, high = law[PortLaw.GATE_FIRST], law[PortLaw.GATE_FIRST], law[PortLaw.GATE_LAST] - 1
    into = shown % gate_end[high]
    while low < high:
        middle = (low + high) >> 1
        if gate_end[middle] <= into:
            low = middle + 1
        else:
            high = middle
    return low, shown - into + (gate_end[low - 1] if low > first else 0)


@inline_kernel
def gate_ready(now: int, line: int, bit: int, shown: int, entry: int, begin: int, law: Ints,
               errors: Ints, block: int, gate_change: Ints) -> int:  # fmt: skip
    """Return `now` if a frame of a queue may begin, else a time to ask again.

    IEEE 802.1Q clause 8.6.8.4: the gate is open, and not enough time is left for the frame where
    the gate closes before its end. With `fixed` guards a frame may begin while its gate is open:
    the gate control list itself closes the gate soon enough for the longest frame.
    """
    closes = gate_change[entry, 2 * bit]
    if closes == 0:
        opens = begin + gate_change[entry, 2 * bit + 1]
        return when_shown_by(opens, law, errors, block)
    # No clock goes twice as fast as time: most frames need not know when the gate closes.
    if law[PortLaw.FIXED] > 0 or begin + closes - shown > 2 * line:
        return now
    closed = when_shown_by(begin + closes, law, errors, block)
    return now if now + line <= closed else closed


@bare_kernel
def hold_state(now: int, entry: int, begin: int, law: Ints, errors: Ints, block: int,
               gate_change: Ints) -> tuple[bool, int]:  # fmt: skip
    """Say whether preemptable frames are held, and a time before which that does not change.

    IEEE 802.1Q clauses 8.6.8 and 8.6.8.4: an entry that holds the MAC is announced to it so long
    before its begin that no preemptable frame is on the wire then (holdAdvance, 12.30.1), and it is
    released when the next entry does not.
    """
    ends = gate_change[entry, 2 * HELD_GATE]
    if ends > 0:
        return True, when_shown_by(begin + ends, law, errors, block)
    begins = gate_change[entry, 2 * HELD_GATE + 1]
    holds = when_shown_by(begin + begins, law, errors, block)
    if now + law[PortLaw.HOLD_ADVANCE] >= holds:
        return True, holds
    return False, holds - law[PortLaw.HOLD_ADVANCE]


@inline_kernel
def open_time(shown: int, bit: int, entry: int, begin: int, law: Ints, gate_end: Ints,
              gate_change: Ints, gate_open: Ints) -> int:  # fmt: skip
    """Return for how long a queue's gate has been open, by its clock, since that showed 0."""
    first, last = law[PortLaw.GATE_FIRST], law[PortLaw.GATE_LAST]
    passed = shown // gate_end[last - 1] * gate_open[last - 1, bit]
    if entry > first:
        passed += gate_open[entry - 1, bit]
    if gate_change[entry, 2 * bit] > 0:
        passed += shown - begin
    return passed


@bare_kernel
def open_by(time: int, bit: int, law: Ints, errors: Ints, block: int, gate_end: Ints,
            gate_change: Ints, gate_open: Ints) -> int:  # fmt: skip
    """Return for how long a queue's gate has been open at a time; all the time without gates."""
    if law[PortLaw.GATE_FIRST] == law[PortLaw.GATE_LAST]:
        return time
    shown = shown_by(time, law, errors, block)
    entry, begin = entry_at(shown, law, gate_end)
    return open_time(shown, bit, entry, begin, law, gate_end, gate_change, gate_open)
