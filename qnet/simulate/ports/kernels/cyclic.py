"""Cycle buffers of general ports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel
from qnet.simulate.ports.kernels.gates import gate_ready, when_shown_by
from qnet.simulate.ports.parts import Gates, Moment, PortLaw, RingLaw, Rings
from qnet.simulate.world import Frame, Ring

Ints = NDArray[np.int64]


@inline_kernel
def choose_cyclic(
    at: Moment, cycle_length: int, buffers: int, gates: Gates, rings: Rings
) -> tuple[int, int]:
    """Return the cycle buffer to send from now, or -1; and a time to ask again.

    The buffer whose cycle it is, when its first frame ends before the cycle does.
    """
    law, errors, block = gates.law, gates.errors, gates.block
    ring, cells = rings.ring, rings.cells
    cycle = at.shown // cycle_length
    cycle_end = when_shown_by((cycle + 1) * cycle_length, law, errors, block)
    here = law[PortLaw.FIRST] + cycle % buffers
    if ring[here, Ring.COUNT] > 0:
        place = ring[here, Ring.BASE] + (ring[here, Ring.FRONT] & ring[here, Ring.MASK])
        line = rings.line_time[cells[place, Frame.LABEL] & 0xFFFF]
        ready = at.now
        if gates.is_gated:
            bit = rings.law[here, RingLaw.BIT]
            ready = gate_ready(
                at.now, line, bit, at.shown, at.entry, at.begin, law, errors, block, gates.change
            )
        if ready > at.now:
            return -1, min(ready, cycle_end)
        if at.now + line <= cycle_end:
            return here, at.now
    return -1, cycle_end


@inline_kernel
def turn_by_arrival(turn: int, came_at: int, cycle_length: int) -> tuple[int, bool]:
    """Return in which cycle a frame of CQF leaves, and whether that is not the plan's.

    IEEE 802.1Q annex T: what comes in one cycle leaves in the next.
    """
    present = came_at // cycle_length
    return present + 1, turn != present + 1
