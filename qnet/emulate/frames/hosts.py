"""What hosts send and get: probe frames, built with scapy."""

from __future__ import annotations

from qnet.emulate.openflow.nouns import show_ipv4, show_mac
from qnet.emulate.rules.streams import SwitchedStream
from qnet.emulate.rules.wiring import Wiring

PROBE_PORT = 49_152
"""UDP port of probe frames: a dynamic one (RFC 6335), which no protocol that tshark knows uses."""

HEADER_BYTES = 42
"""Ethernet, IPv4 and UDP."""

AROUND_BYTES = 4 + 4
"""Frame check sequence and label: in the network the frame has the bytes that the plan counts."""


def host_frame(wiring: Wiring, stream: SwitchedStream, frame_bytes: int, dscp: int) -> bytes:
    """Build a frame of a stream as its host sends it, without check sequence.

    The payload begins with eight bytes for the number of the source and of the frame.
    """
    from scapy.layers.inet import IP, UDP  # noqa: PLC0415
    from scapy.layers.l2 import Ether  # noqa: PLC0415

    length = max(frame_bytes - AROUND_BYTES, 60)
    pattern = bytes((one * 7 + stream.number) & 0xFF for one in range(length - HEADER_BYTES - 8))
    frame = (
        Ether(src=show_mac(wiring.host_mac(stream.talker)), dst=show_mac(stream.mac))
        / IP(
            src=show_ipv4(wiring.host_ip(stream.talker)),
            dst=show_ipv4(wiring.host_ip(stream.listener)),
            tos=dscp << 2,
            id=stream.number & 0xFFFF,
        )
        / UDP(sport=PROBE_PORT, dport=PROBE_PORT, chksum=0)
        / (bytes(8) + pattern)
    )
    return bytes(frame)


def is_whole(stream: SwitchedStream, frame: bytes) -> bool:
    """Say whether the payload that came out is the one that was sent."""
    body = frame[HEADER_BYTES + 8 :]
    return body == bytes((one * 7 + stream.number) & 0xFF for one in range(len(body)))
