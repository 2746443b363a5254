"""What hosts send and get: probe frames built with scapy, captures that tshark reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from qnet.emulate.flows import Flow
from qnet.emulate.openflow import show_ipv4, show_mac
from qnet.emulate.wiring import Wiring

if TYPE_CHECKING:
    from qnet.emulate.wires.run import Arrival

PROBE_PORT = 5000
"""UDP port of probe frames; any not in use."""

HEADER_BYTES = 42
"""Ethernet, IPv4 and UDP."""

AROUND_BYTES = 4 + 4
"""Frame check sequence and label: in the network the frame has the bytes that the plan counts."""


def host_frame(wiring: Wiring, flow: Flow, frame_bytes: int, dscp: int) -> bytes:
    """Build a frame of a flow as its host sends it, without check sequence.

    The payload begins with eight bytes for the number of the source and of the frame.
    """
    from scapy.layers.inet import IP, UDP  # noqa: PLC0415
    from scapy.layers.l2 import Ether  # noqa: PLC0415

    length = max(frame_bytes - AROUND_BYTES, 60)
    pattern = bytes((one * 7 + flow.number) & 0xFF for one in range(length - HEADER_BYTES - 8))
    frame = (
        Ether(src=show_mac(wiring.host_mac(flow.talker)), dst=show_mac(flow.mac))
        / IP(
            src=show_ipv4(wiring.host_ip(flow.talker)),
            dst=show_ipv4(wiring.host_ip(flow.listener)),
            tos=dscp << 2,
            id=flow.number & 0xFFFF,
        )
        / UDP(sport=PROBE_PORT, dport=PROBE_PORT, chksum=0)
        / (bytes(8) + pattern)
    )
    return bytes(frame)


def is_whole(flow: Flow, frame: bytes) -> bool:
    """Say whether the payload that came out is the one that was sent."""
    body = frame[HEADER_BYTES + 8 :]
    return body == bytes((one * 7 + flow.number) & 0xFF for one in range(len(body)))


def write_captures(folder: Path, arrivals: Iterable[tuple[str, Arrival]]) -> list[Path]:
    """Write one capture for each host, with virtual time stamps to the nanosecond.

    `arrivals` are hosts and what came out to them. Returns the files, in order of hosts.
    """
    from scapy.utils import PcapWriter  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    by_host: dict[str, list[Arrival]] = {}
    for host, arrival in arrivals:
        by_host.setdefault(host, []).append(arrival)
    written = []
    for host, frames in sorted(by_host.items()):
        path = folder / f"{host}.pcap"
        with PcapWriter(str(path), linktype=1, nano=True) as writer:
            writer.write_header(None)
            for one in sorted(frames, key=lambda one: one.time_ps):
                seconds, rest_ps = divmod(one.time_ps, 10**12)
                writer.write_packet(one.frame, sec=seconds, usec=rest_ps // 1000)
        written.append(path)
    return written
