"""Meters and asynchronous shapers: token buckets at the way in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel
from qnet.simulate.ports.parts import BYTE_PS, MeterState, Shaper

Ints = NDArray[np.int64]


@bare_kernel
def refilled(level: int, full: int, rate: int, waited: int) -> int:
    """Return what is in a bucket of tokens after a while."""
    if waited >= (full - level + rate - 1) // rate:
        return full
    return level + waited * rate


@bare_kernel
def meter(row: int, arrival: int, frame_bytes: int, meters: Ints) -> bool:
    """Say whether a frame is green or yellow; if so, take its tokens. Red ones are dropped.

    IEEE 802.1Q clause 8.6.5.5 with the algorithm of MEF 10.3, colour-blind, no coupling, which is
    that of RFC 4115: green by committed rate and burst, else yellow by excess rate and burst, each
    bucket filled on its own. Bytes are those of the frame with preamble and gap.
    """
    mine = meters[row]
    waited = arrival - mine[MeterState.TIME]
    mine[MeterState.TIME] = arrival
    cost = (frame_bytes + 20) * BYTE_PS
    mine[MeterState.LEVEL] = refilled(
        mine[MeterState.LEVEL], mine[MeterState.FULL], mine[MeterState.RATE], waited
    )
    if mine[MeterState.EXCESS_FULL] > 0:
        mine[MeterState.EXCESS_LEVEL] = refilled(
            mine[MeterState.EXCESS_LEVEL],
            mine[MeterState.EXCESS_FULL],
            mine[MeterState.EXCESS_RATE],
            waited,
        )
    if cost <= mine[MeterState.LEVEL]:
        mine[MeterState.LEVEL] -= cost
        mine[MeterState.GREEN] += 1
        return True
    if cost <= mine[MeterState.EXCESS_LEVEL]:
        mine[MeterState.EXCESS_LEVEL] -= cost
        mine[MeterState.YELLOW] += 1
        return True
    mine[MeterState.RED] += 1
    return False


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
