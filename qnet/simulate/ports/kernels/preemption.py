"""Where a preemptable frame can be cut."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.simulate.ports.parts import BYTE_PS

FRAGMENT_LEAST = 60
"""Least bytes of a frame in a fragment; its check makes them 64 (IEEE 802.3 clause 99.4.4)."""


REST_LEAST = 64
"""Least bytes of a frame, its check included, that must be left to cut it."""


@bare_kernel
def cut_after(waited: int, rest: int, rate: int) -> int:
    """Return after how many of `rest` bytes a frame is cut, 0 where it is not (IEEE 802.3 99.4).

    `waited` is the time from the begin of this fragment's preamble to the express frame. A fragment
    has 60 bytes and a check of 4 at least, and so has what is left. At 1 Gb/s a frame of 1518 bytes
    that meets an express frame 4 us after its begin is cut after 492 bytes.
    """
    sent = max((waited * rate + BYTE_PS - 1) // BYTE_PS - 8, FRAGMENT_LEAST)
    return sent if rest - sent >= REST_LEAST else 0


@bare_kernel
def whole_after(rest: int, rate: int) -> int:
    """Return the least time from the begin of a fragment after which `rest` bytes are never cut."""
    if rest < FRAGMENT_LEAST + REST_LEAST:
        return 0
    return (rest - REST_LEAST + 8) * BYTE_PS // rate + 1
