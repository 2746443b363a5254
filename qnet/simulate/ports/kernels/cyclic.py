"""Cycle buffers of general ports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel
from qnet.simulate.ports.kernels.gates import gate_ready, when_shown_by
from qnet.simulate.ports.parts import PortLaw, RingLaw
from qnet.simulate.world import Frame, Ring

Ints = NDArray[np.int64]


@inline_kernel
def choose_cyclic(now: int, shown: int, entry: int, begin: int, cycle_length: int, buffers: int,
                  port_law: Ints, errors: Ints, block: int, ring: Ints, cells: Ints,
                  line_time: Ints, law: Ints, gate_change: Ints) -> tuple[int, int]:  # fmt: skip
    """Return the cycle buffer to send from now, or -1; and a time to ask again.

    The buffer whose cycle it is, when its first frame ends before the cycle does.
    """
    cycle = shown // cycle_length
    cycle_end = when_shown_by((cycle + 1) * cycle_length, port_law, errors, block)
    here = port_law[PortLaw.FIRST] + cycle % buffers
    if ring[here, Ring.COUNT] > 0:
        place = ring[here, Ring.BASE] + (ring[here, Ring.FRONT] & ring[here, Ring.MASK])
        line = line_time[cells[place, Frame.LABEL] & 0xFFFF]
        ready = now
        if port_law[PortLaw.GATE_FIRST] < port_law[PortLaw.GATE_LAST]:
            ready = gate_ready(
                now,
                line,
                law[here, RingLaw.BIT],
                shown,
                entry,
                begin,
                port_law,
                errors,
                block,
                gate_change,
            )
        if ready > now:
            return -1, min(ready, cycle_end)
        if now + line <= cycle_end:
            return here, now
    return -1, cycle_end
