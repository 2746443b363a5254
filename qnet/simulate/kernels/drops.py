"""Frames that end before a listener has them: what is noted of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel
from qnet.simulate.kernels.delivery import end_if_followed
from qnet.simulate.kernels.records import write_down
from qnet.simulate.world import POSITIONS, REFUSED, Arrived, PortTally, Tally, Trace

Ints = NDArray[np.int64]


@inline_kernel
def refuse(
    port: int, frame: Arrived, held: int, fate: int, owners: Ints, tally: Tally,
    trace: Trace | None,
) -> None:  # fmt: skip
    """Drop a frame that has found so many bytes held where it was to go, and write that down."""
    owner = owners[(frame.label >> 16) & POSITIONS]
    tally.port[port, PortTally.DROPPED] += 1
    end_if_followed(owner, frame.birth, frame.label, fate, tally)
    if trace is not None:
        times = (frame.came, REFUSED, held, 0)
        write_down(port, owner, times, frame.birth, frame.label, frame.turn, fate, trace)
