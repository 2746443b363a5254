"""Bins for latencies: 16 to every doubling, so that a bin is at most 1/16 of its value wide.

Bin 0 to 15 are 1024 ps wide; above, bin i begins at (16 + i % 16) << (i // 16 - 1) units of
1024 ps. The simulator's kernel counts into the same bins (`qnet.simulate.kernels.delivery.bin_of`).
"""

from __future__ import annotations

from collections.abc import Sequence

BIN_COUNT = 592
"""The last bin ends at 2**50 ps, more than a quarter of an hour."""


def bin_low_ps(index: int) -> int:
    """Return the smallest value of a bin: bin_low_ps(16) is 16384."""
    if index < 16:
        return index << 10
    return (16 + index % 16) << (index // 16 + 9)


def quantile_ps(histogram: Sequence[tuple[int, int]], share_ppb: int) -> int | None:
    """Return the upper end of the bin that holds the given quantile, or None when empty."""
    total = sum(frames for _, frames in histogram)
    wanted = -(-total * share_ppb // 10**9)
    seen = 0
    for index, frames in sorted(histogram):
        seen += frames
        if seen >= max(wanted, 1):
            return bin_low_ps(index + 1)
    return None
