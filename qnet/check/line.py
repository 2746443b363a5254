"""What a frame takes of a line, in the checker's own arithmetic.

The scheduler, the simulator and the reports have theirs in `qnet.units`; a mistake there is not
repeated here. A frame goes with 8 bytes of preamble before it (IEEE 802.3 clause 3.1.1) and 12 of
gap behind it (clause 4.4.2).
"""

from __future__ import annotations

BEFORE_BYTES = 8
BEHIND_BYTES = 12

_PS_BITS_PER_BYTE = 8 * 10**12
"""A number of bytes times this, divided by bit/s, is picoseconds."""


def ceil_div(dividend: int, divisor: int) -> int:
    """Return the least whole number that is no less than a quotient; the divisor is positive."""
    whole, rest = divmod(dividend, divisor)
    return whole + (rest > 0)


def wire_bytes(frame_bytes: int) -> int:
    """Return the bytes that a frame takes of a line: preamble, frame and gap."""
    return BEFORE_BYTES + frame_bytes + BEHIND_BYTES


def serialisation_ps(frame_bytes: int, rate_bps: int) -> int:
    """Return how long a frame holds a line, its gap included, rounded up."""
    return ceil_div(wire_bytes(frame_bytes) * _PS_BITS_PER_BYTE, rate_bps)


def last_bit_ps(frame_bytes: int, rate_bps: int) -> int:
    """Return how long it takes from the first bit of the preamble to a frame's last bit."""
    return ceil_div((BEFORE_BYTES + frame_bytes) * _PS_BITS_PER_BYTE, rate_bps)
