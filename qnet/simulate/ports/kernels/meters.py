"""Meters and asynchronous shapers: token buckets at the way in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel
from qnet.simulate.ports.parts import BYTE_PS, MeterState, Shaper

Ints = NDArray[np.int64]


@bare_kernel
def meter(row: int, arrival: int, frame_bytes: int, meters: Ints) -> bool:
    """Say whether a frame conforms to its committed rate and burst; if so, take its tokens.

    IEEE 802.1Q clause 8.6.5.5 with the token bucket of MEF 10.3, one rate, two colours. Bytes are
    those of the frame with preamble and gap.
    """
    rate = meters[row, MeterState.RATE]
    room = meters[row, MeterState.FULL] - meters[row, MeterState.LEVEL]
    waited = arrival - meters[row, MeterState.TIME]
    if waited >= (room + rate - 1) // rate:
        meters[row, MeterState.LEVEL] = meters[row, MeterState.FULL]
    else:
        meters[row, MeterState.LEVEL] += waited * rate
    meters[row, MeterState.TIME] = arrival
    cost = (frame_bytes + 20) * BYTE_PS
    if cost > meters[row, MeterState.LEVEL]:
        return False
    meters[row, MeterState.LEVEL] -= cost
    return True


@bare_kernel
def shape(row: int, group: int, arrival: int, frame_bytes: int, shapers: Ints,
          groups: Ints) -> int:  # fmt: skip
    """Return the eligibility time of a frame, or -1 where it would stay too long.

    IEEE 802.1Q clause 8.6.11.3, its pseudo-code: a token bucket per stream, first in first out over
    all streams of a group (frames of one class that came by the same way). Bytes are those of the
    frame with preamble and gap.
    """
    rate = shapers[row, Shaper.RATE]
    recovery = ((frame_bytes + 20) * BYTE_PS + rate - 1) // rate
    tokens_at = shapers[row, Shaper.EMPTY_AT] + recovery
    full_at = shapers[row, Shaper.EMPTY_AT] + shapers[row, Shaper.FILL]
    eligible = max(arrival, groups[group], tokens_at)
    if eligible > arrival + shapers[row, Shaper.RESIDENCE]:
        return -1
    groups[group] = eligible
    shapers[row, Shaper.EMPTY_AT] = (
        tokens_at if eligible < full_at else tokens_at + eligible - full_at
    )
    return eligible
