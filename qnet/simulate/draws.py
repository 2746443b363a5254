"""Seeded draws that are the same on every machine and with every version of NumPy.

Raw words of PCG64, which NumPy promises to keep, are mapped to integers here; its distributions,
which it does not promise to keep, are not used.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray


def _sequence(seed: int, name: str) -> np.random.SeedSequence:
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.SeedSequence([seed, int.from_bytes(digest[:16], "big")])


def dice(seed: int, name: str) -> NDArray[np.int64]:
    """Return four 32-bit words to start a kernel's generator with, never all zero."""
    words = _sequence(seed, name).generate_state(4, np.uint32).astype(np.int64)
    words[0] |= 1
    return words


def integers(seed: int, name: str, count: int, span: int) -> list[int]:
    """Draw `count` integers from 0 to `span - 1`."""
    words = np.random.PCG64(_sequence(seed, name)).random_raw(count)
    return [int(word) * span >> 64 for word in words]


def words_of(seed: int, name: str) -> np.random.PCG64:
    """Return the raw words that a name draws."""
    return np.random.PCG64(_sequence(seed, name))


def exponentials(words: np.random.PCG64, count: int) -> NDArray[np.float64]:
    """Draw from the exponential law of mean 1, from 32 bits each, to two millionths.

    The logarithm is a straight line between the points of a table, as in the kernels.
    """
    bits = (words.random_raw(count) >> np.uint64(32)).astype(np.float64) + 0.5
    mantissa, exponent = np.frexp(bits)
    place = (mantissa - 0.5) * 512
    below = place.astype(np.int64)
    table = log_table() / 2**32
    line = table[below] + (table[below + 1] - table[below]) * (place - below)
    return line + (32 - exponent) * math.log(2)


def log_table() -> NDArray[np.int64]:
    """Return -ln((256 + i) / 512) for i = 0 to 256, in units of 2**-32."""
    return np.array([round(-math.log((256 + i) / 512) * 2**32) for i in range(257)], dtype=np.int64)
