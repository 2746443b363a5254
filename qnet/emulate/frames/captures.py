"""Captures of real frames for tshark and its like, stamped with virtual time (pcapng or pcap).

One file for each host, with what it sent and what it got; where asked for, one for each switch,
with what crossed its ports. Times are picoseconds since the start of the run, which a reader shows
as a time after 1970-01-01 00:00 UTC, cut to what it can show. A frame is there as hosts and
switches have it, without check sequence. A switch takes no virtual time: a node's processing delay
has passed when a frame from a wire comes in, and what leaves by a port goes into its queue then.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from qnet import __version__
from qnet.emulate.openflow.nouns import show_ipv4, show_mac
from qnet.emulate.rules.wiring import HOST_PORT, Wiring
from qnet.files.folder import whole_folder
from qnet.files.write import write_bytes
from qnet.formats.pcap import nanosecond_capture
from qnet.formats.pcapng import Interface, Packet, capture
from qnet.model.topology import Topology

HOST = 0
"""In place of a switch's port: the interface of the node's host."""

CaptureForm = Literal["pcapng", "pcap"]

SWITCHES = "switches"
"""Folder of the switches' files."""

TIMES = "times are virtual: picoseconds since the start of the run; no check sequence"


class Sight(NamedTuple):
    """A frame seen at a port of a node's switch, or at its host (`port` is HOST)."""

    time_ps: int
    node: str
    port: int
    direction: int
    """INBOUND or OUTBOUND, as the switch or the host sees it."""
    data: bytes
    comment: str
    frame: int = -1
    """Number of the real frame."""


def write_captures(
    folder: Path, wiring: Wiring, sights: Iterable[Sight], form: CaptureForm = "pcapng"
) -> list[Path]:
    """Write one capture for each host and each switch at which frames were seen.

    Frames are in order of time and, of one time, in the order given. Returns the files: hosts in
    order of their names, then switches. What an earlier run left there for one of the nodes goes.
    """
    with whole_folder(folder, names_of(wiring.topology)) as new:
        written = _write(new, wiring, sights, form)
    return [folder / path.relative_to(new) for path in written]


def names_of(topology: Topology) -> list[str]:
    """Return what captures can be called in their folder."""
    names = [f"{node.name}.{form}" for form in get_args(CaptureForm) for node in topology.nodes]
    return [*names, *(f"{SWITCHES}/{name}" for name in names)]


def _write(folder: Path, wiring: Wiring, sights: Iterable[Sight], form: CaptureForm) -> list[Path]:
    by_file: dict[tuple[bool, str], list[Sight]] = {}
    for one in sights:
        by_file.setdefault((one.port != HOST, one.node), []).append(one)
    hosts = {wiring.host_ip(node.name): node.name for node in wiring.topology.nodes}
    written = []
    for (is_switch, node), found in sorted(by_file.items()):
        path = (folder / SWITCHES if is_switch else folder) / f"{node}.{form}"
        path.parent.mkdir(parents=True, exist_ok=True)
        ports = sorted({one.port for one in found})
        packets = (
            Packet(
                ports.index(one.port),
                one.time_ps,
                one.data,
                len(one.data),
                one.comment,
                one.direction,
            )
            for one in sorted(found, key=lambda one: one.time_ps)
        )
        blocks = (
            nanosecond_capture(packets)
            if form == "pcap"
            else capture(
                f"qnet {__version__}",
                [_interface(wiring, node, port) for port in ports],
                packets,
                comment=f"{'switch' if is_switch else 'host'} of {node}; {TIMES}",
                hosts=hosts,
            )
        )
        write_bytes(path, blocks)
        written.append(path)
    return written


def _interface(wiring: Wiring, node: str, port: int) -> Interface:
    """Name a host's interface after its node, a switch's ports as they are everywhere else."""
    if port == HOST:
        addresses = show_ipv4(wiring.host_ip(node)), show_mac(wiring.host_mac(node))
        return Interface(node, 0, f"host of {node}, {', '.join(addresses)}")
    if port == HOST_PORT:
        return Interface(f"{node} host", 0, f"OpenFlow port {port}: the host of {node}")
    wire = wiring.port_at.get((node, port))
    if wire is None:
        into = wiring.only_into.get((node, port))
        words = "which has no wire" if into is None else f"where {into.name} comes in"
        return Interface(into.name if into else f"port {port}", 0, f"OpenFlow port {port}, {words}")
    back = wiring.reverse.get(wire.name)
    comes_in = f", {back.name} comes in" if back else ""
    words = f"OpenFlow port {port}: {wire.name} goes out{comes_in}"
    return Interface(wire.name, wire.rate_bps, words)
