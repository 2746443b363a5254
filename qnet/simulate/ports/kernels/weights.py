"""Turns among queues of one priority, by their weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel
from qnet.simulate.ports.parts import RingLaw, RingState
from qnet.simulate.world import Frame, Ring

Ints = NDArray[np.int64]

QUANTUM = 1538
"""Bytes on the wire that a weight of 1 is good for in each round."""


@bare_kernel
def take_turns(first: int, last: int, now: int, ring: Ints, cells: Ints, law: Ints,
               state: Ints) -> int:  # fmt: skip
    """Choose among rings of one priority by deficit round robin (Shreedhar and Varghese, 1996).

    Each visit adds WEIGHT quanta to the ring's deficit, which its frames are paid from; what is
    left stays for the next round unless the ring has run empty (`pay`). At least one ring is ready.
    """
    turn = state[first, RingState.TURN]
    while True:
        here = first + turn
        if ring[here, Ring.COUNT] > 0 and state[here, RingState.READY] <= now:
            if state[first, RingState.GRANTED] == 0:
                state[here, RingState.DEFICIT] += law[here, RingLaw.WEIGHT] * QUANTUM
                state[first, RingState.GRANTED] = 1
            place = ring[here, Ring.BASE] + (ring[here, Ring.FRONT] & ring[here, Ring.MASK])
            if (cells[place, Frame.LABEL] & 0xFFFF) + 20 <= state[here, RingState.DEFICIT]:
                return here
        turn += 1
        if first + turn == last:
            turn = 0
        state[first, RingState.TURN] = turn
        state[first, RingState.GRANTED] = 0


@bare_kernel
def pay(chosen: int, queues: int, frame_bytes: int, ring: Ints, law: Ints,
        state: Ints) -> None:  # fmt: skip
    """Take a frame from its ring's deficit; an empty ring keeps none and gives up its turn."""
    state[chosen, RingState.DEFICIT] -= frame_bytes + 20
    if ring[chosen, Ring.COUNT] == 0:
        state[chosen, RingState.DEFICIT] = 0
        first = chosen
        while (
            first > queues and law[first - 1, RingLaw.GROUP_LAST] == law[chosen, RingLaw.GROUP_LAST]
        ):
            first -= 1
        state[first, RingState.GRANTED] = 0
        state[first, RingState.TURN] += 1
        if first + state[first, RingState.TURN] == law[chosen, RingLaw.GROUP_LAST]:
            state[first, RingState.TURN] = 0
