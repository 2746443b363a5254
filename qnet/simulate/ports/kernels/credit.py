"""Credit of shaped queues."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.ports.parts import RingLaw, RingState

Ints = NDArray[np.int64]

CREDIT_MOST = 1 << 62
"""Credit beyond this would come near the end of 64 bits."""


@inline_kernel
def credit_wait(ring: int, now: int, opened: int, law: Ints, state: Ints) -> int:
    """Return for how long the queue's gate must be open until its credit is not negative.

    IEEE 802.1Q clause 8.6.8.2. `opened` is for how long it has been open, without gates the time
    itself: credit grows meanwhile, while frames wait. Credits are exact: in units in which idle
    slope and port rate are whole numbers (IDLE and LINE) per picosecond.
    """
    credit = state[ring, RingState.CREDIT]
    if credit >= 0:
        return 0
    wait = -(credit // law[ring, RingLaw.IDLE])
    if now > state[ring, RingState.CREDIT_AT]:
        wait = max(wait - (opened - state[ring, RingState.OPEN_AT]), 0)
    return wait


@bare_kernel
def first_in(ring: int, arrival: int, opened: int, law: Ints, state: Ints) -> None:
    """Settle the credit of an empty queue when a frame joins it.

    While it was empty, and its last frame off the wire, a credit above zero was taken away and one
    below zero grew to zero at most (clause 8.6.8.2).
    """
    if arrival > state[ring, RingState.CREDIT_AT]:
        credit, grown = state[ring, RingState.CREDIT], opened - state[ring, RingState.OPEN_AT]
        if credit >= 0 or grown >= -(credit // law[ring, RingLaw.IDLE]):
            state[ring, RingState.CREDIT] = 0
        else:
            state[ring, RingState.CREDIT] = credit + grown * law[ring, RingLaw.IDLE]
        state[ring, RingState.CREDIT_AT], state[ring, RingState.OPEN_AT] = arrival, opened


@bare_kernel
def spend(ring: int, now: int, opened: int, line: int, law: Ints, state: Ints) -> None:
    """Lower the credit at the send slope, idle slope minus port rate, while a frame is sent.

    When it has been sent, OPEN_AT is to be set to what the gate has been open by then. No credit
    grows beyond CREDIT_MOST, which at 1 Gb/s is milliseconds of sending without a pause.
    """
    if now > state[ring, RingState.CREDIT_AT]:
        credit, grown = state[ring, RingState.CREDIT], opened - state[ring, RingState.OPEN_AT]
        if grown > (CREDIT_MOST - credit) // law[ring, RingLaw.IDLE]:
            state[ring, RingState.CREDIT] = CREDIT_MOST
        else:
            state[ring, RingState.CREDIT] = credit + grown * law[ring, RingLaw.IDLE]
    state[ring, RingState.CREDIT] += line * (law[ring, RingLaw.IDLE] - law[ring, RingLaw.LINE])
    state[ring, RingState.CREDIT_AT] = now + line
