"""What test frames look like: built once by scapy, with room for the header of 24 bytes."""

from __future__ import annotations

import struct
from typing import NamedTuple

from qnet.errors import ArgumentError, EnvironmentMissing, Problem
from qnet.generator.kernels import HEADER_BYTES, MAGIC

EXPERIMENTAL = 0x88B5
"""EtherType for local experiments (IEEE 802)."""

FCS_BYTES = 4


class Look(NamedTuple):
    """What is on a test frame beside its header."""

    source_mac: str
    target_mac: str
    vlan: int | None = None
    priority: int = 0
    source_ip: str | None = None
    target_ip: str | None = None
    """With both it is UDP over IPv4, else plain Ethernet."""
    ports: tuple[int, int] = (49_152, 7)
    dscp: int = 0


def build(look: Look, stream: int, frame_bytes: int) -> tuple[bytes, int]:
    """Return a frame without its check sequence, and where its header begins.

    `frame_bytes` are those on the wire, check sequence included. Raises ArgumentError where it is
    too short, EnvironmentMissing without scapy.
    """
    try:
        from scapy.layers.inet import IP, UDP  # noqa: PLC0415
        from scapy.layers.l2 import Dot1Q, Ether  # noqa: PLC0415
    except ImportError:
        words = "the Python package scapy is not here; try: pip install 'qnet-emulator[emulate]'"
        raise EnvironmentMissing(words) from None
    frame = Ether(src=look.source_mac, dst=look.target_mac)
    if look.vlan is not None:
        frame = frame / Dot1Q(vlan=look.vlan, prio=look.priority)
    if look.source_ip and look.target_ip:
        source, target = look.ports
        addressed = IP(src=look.source_ip, dst=look.target_ip, tos=look.dscp << 2)
        frame = frame / addressed / UDP(sport=source, dport=target, chksum=0)
        head = len(frame)
    else:
        frame.lastlayer().type = EXPERIMENTAL
        head = len(frame)
    rest = frame_bytes - FCS_BYTES - head
    if rest < HEADER_BYTES:
        least = head + HEADER_BYTES + FCS_BYTES
        words = f"{frame_bytes} bytes have no room for what is on each test frame; at least {least}"
        raise ArgumentError([Problem("sizes", 0, 0, "", words)])
    header = struct.pack(">IIQQ", MAGIC, stream, 0, 0)
    return bytes(frame / (header + bytes(rest - HEADER_BYTES))), head
