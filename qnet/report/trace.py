"""The first frames of a run, as a capture in pcapng or pcap, or as Parquet."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qnet import __version__
from qnet.files.write import write_bytes
from qnet.formats.pcap import SUFFIX, nanosecond_capture
from qnet.formats.pcapng import FCS_BYTES, Interface, Packet, capture
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.frame_sources import FrameSource, sources_of
from qnet.simulate.world import REFUSED, TraceRow

if TYPE_CHECKING:
    from qnet.simulate.tracing import Recording


LOCAL_EXPERIMENTAL = 0x88B5
"""The EtherType that IEEE 802 leaves for experiments: frames carry nothing but their own story."""

SNAPPED_BYTES = 64


def write_trace(
    path: Path, topology: Topology, profile: Profile, plan: Plan, recording: Recording
) -> None:
    """Write Parquet when the name ends in .parquet, pcap when it ends in .pcap, else pcapng."""
    found = sources_of(topology, profile, plan)
    if path.suffix == ".parquet":
        _write_table(path, topology, found, recording)
        return
    packets = _packets(topology, found, recording)
    if path.suffix == SUFFIX:
        write_bytes(path, nanosecond_capture(packets, longest=SNAPPED_BYTES))
        return
    interfaces = [Interface(port.name, port.rate_bps) for port in topology.ports]
    write_bytes(path, capture(f"qnet {__version__}", interfaces, packets, longest=SNAPPED_BYTES))


def _packets(
    topology: Topology, found: tuple[FrameSource, ...], recording: Recording
) -> Iterator[Packet]:
    """Yield the frames that were on a wire, when their first bit left; the others never were."""
    node_number = {node.name: i for i, node in enumerate(topology.nodes, 1)}
    for number, owner_number, row in zip(
        recording.port.tolist(), recording.owner.tolist(), recording.rows.tolist(), strict=True
    ):
        if row[TraceRow.STARTED] == REFUSED:
            continue
        port, owner = topology.ports[number], found[owner_number]
        cycle = f", cycle {row[TraceRow.LEFT_IN]}" if owner.cycles else ""
        length = (row[TraceRow.LABEL] & 0xFFFF) - FCS_BYTES
        ends = _address(node_number[port.target]) + _address(node_number[port.source])
        story = ends + struct.pack(">HQI", LOCAL_EXPERIMENTAL, row[TraceRow.BORN], owner_number)
        yield Packet(
            interface=number,
            time_ps=row[TraceRow.STARTED],
            data=story.ljust(min(length, SNAPPED_BYTES), b"\0"),
            length=length,
            comment=f"{owner.called}{cycle}, born {row[TraceRow.BORN]} ps, "
            f"queued {row[TraceRow.QUEUED]} ps",
        )


def _address(node: int) -> bytes:
    """Return a locally administered address: node 1 is 02:00:00:00:00:01."""
    return b"\x02" + node.to_bytes(5, "big")


def _write_table(
    path: Path, topology: Topology, found: tuple[FrameSource, ...], recording: Recording
) -> None:
    from qnet.report.measurements import write_table  # noqa: PLC0415 (pyarrow, only when asked for)

    rows = recording.rows
    refused = rows[:, TraceRow.STARTED] == REFUSED

    def unless_refused(column: int) -> list[int | None]:
        pairs = zip(rows[:, column].tolist(), refused.tolist(), strict=True)
        return [None if lost else value for value, lost in pairs]

    owner = recording.owner.tolist()
    write_table(
        path,
        {
            "port": [topology.ports[port].name for port in recording.port.tolist()],
            "name": [found[one].called for one in owner],
            "route": owner,
            "frame_bytes": (rows[:, TraceRow.LABEL] & 0xFFFF).tolist(),
            "birth_ps": rows[:, TraceRow.BORN].tolist(),
            "queued_ps": rows[:, TraceRow.QUEUED].tolist(),
            "started_ps": unless_refused(TraceRow.STARTED),
            "ended_ps": unless_refused(TraceRow.ENDED),
            "reached_ps": unless_refused(TraceRow.REACHED),
            "cycle": [
                value if found[one].cycles else None
                for value, one in zip(rows[:, TraceRow.LEFT_IN].tolist(), owner, strict=True)
            ],
        },
    )
