"""Preemptable frames: where one can be cut, and what of it has left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.ports.kernels.outages import broken_by
from qnet.simulate.ports.parts import BYTE_PS, CUT, NOTHING, SENDING, MPacket, Parts, PortLaw
from qnet.simulate.world import GAP_BYTES, Arrived, Network, PortTally

Ints = NDArray[np.int64]

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


@inline_kernel
def put_on_wire(port: int, chosen: int, frame: Arrived, wire: Ints) -> None:
    """Take a preemptable frame of a ring, which has not left before its last bit."""
    wire[port, MPacket.REST] = frame.label & 0xFFFF
    wire[port, MPacket.LABEL] = frame.label
    wire[port, MPacket.BIRTH] = frame.birth
    wire[port, MPacket.CAME] = frame.came
    wire[port, MPacket.RING] = chosen


@inline_kernel
def begin_on_wire(port: int, now: int, law: Ints, network: Network, wire: Ints) -> None:
    """Begin to send what is left of a preemptable frame, at the rate that the port has now."""
    wire[port, MPacket.IS] = SENDING
    wire[port, MPacket.BEGUN] = now
    wire[port, MPacket.RATE] = law[PortLaw.RATE]
    wire[port, MPacket.LINE] = network.rate[port]
    wire[port, MPacket.LOSS] = law[PortLaw.LOSS]


@inline_kernel
def preempt(
    port: int, sent: int, line_time: Ints, steady_from: int, counts: Ints, parts: Parts
) -> int:
    """Cut the frame on the wire after so many bytes; return when the wire is free."""
    wire, begun = parts.wire, parts.wire[port, MPacket.BEGUN]
    wire[port, MPacket.IS] = CUT
    wire[port, MPacket.REST] -= sent
    counts[port, PortTally.WIRE_BYTES] += sent + 24
    if begun >= steady_from:
        counts[port, PortTally.STEADY] += sent + 24
    if wire[port, MPacket.OUTAGE] == 0:
        ended = begun + line_time[sent + 4 - GAP_BYTES]
        wire[port, MPacket.OUTAGE] = 1 + broken_by(port, begun, ended, parts.port, parts.outage)
    return int(begun + line_time[sent + 4])


@inline_kernel
def take_off_wire(port: int, wire: Ints) -> int:
    """Let go of the frame on the wire; return the outage that has taken a part of it, or -1."""
    taken = wire[port, MPacket.OUTAGE] - 1
    wire[port, MPacket.IS] = NOTHING
    wire[port, MPacket.OUTAGE] = 0
    return int(taken)
