"""Captures in pcap (draft-ietf-opsawg-pcap), with times in nanoseconds, for what reads no pcapng.

It has no place for names of interfaces, directions and comments, and times are cut to nanoseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from qnet.formats.pcapng import ETHERNET, Packet
from qnet.units import PS_PER_NS, PS_PER_S

SUFFIX = ".pcap"

NANOSECONDS = 0xA1B23C4D

FRAME_BYTES_KEPT = 262_144
"""What the header says that frames are cut to, where they are not cut: readers make room for it."""


def nanosecond_capture(packets: Iterable[Packet], *, longest: int = 0) -> Iterator[bytes]:
    """Yield the records of a capture, the header first.

    Frames are cut to `longest` bytes by the caller; 0 is none.
    """
    yield struct.pack("<IHHiIII", NANOSECONDS, 2, 4, 0, 0, longest or FRAME_BYTES_KEPT, ETHERNET)
    for one in packets:
        seconds, rest_ps = divmod(one.time_ps, PS_PER_S)
        times = seconds, rest_ps // PS_PER_NS
        yield struct.pack("<IIII", *times, len(one.data), one.length) + one.data
