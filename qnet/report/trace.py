"""The first frames of a run, as a capture or as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qnet import __version__
from qnet.exchange.pcapng import Interface, Packet, capture
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.model.write import write_bytes
from qnet.simulate import kernels as k
from qnet.simulate.setup import Owner, owners

if TYPE_CHECKING:
    from qnet.simulate.tracing import Recording


def write_trace(
    path: Path, topology: Topology, profile: Profile, plan: Plan, recording: Recording
) -> None:
    """Write Parquet when the name ends in .parquet, else pcapng."""
    found = owners(topology, profile, plan)
    if path.suffix == ".parquet":
        _write_table(path, topology, found, recording)
        return
    interfaces = [Interface(port.name, port.rate_bps) for port in topology.ports]
    packets = _packets(topology, found, recording)
    write_bytes(path, capture(f"qnet {__version__}", interfaces, packets))


def _packets(
    topology: Topology, found: tuple[Owner, ...], recording: Recording
) -> Iterator[Packet]:
    """Yield the frames that were on a wire; those without room never were."""
    node_number = {node.name: i for i, node in enumerate(topology.nodes, 1)}
    for number, owner_number, row in zip(
        recording.port.tolist(), recording.owner.tolist(), recording.rows.tolist(), strict=True
    ):
        if row[k.STARTED] == k.REFUSED:
            continue
        port, owner = topology.ports[number], found[owner_number]
        cycle = f", cycle {row[k.LEFT_IN]}" if owner.cycles else ""
        yield Packet(
            interface=number,
            time_ps=row[k.STARTED],
            source=node_number[port.source],
            target=node_number[port.target],
            frame_bytes=row[k.TRACED_LABEL] & 0xFFFF,
            number=owner_number,
            birth_ps=row[k.BORN],
            comment=f"{owner.name}{cycle}, born {row[k.BORN]} ps, queued {row[k.QUEUED]} ps",
        )


def _write_table(
    path: Path, topology: Topology, found: tuple[Owner, ...], recording: Recording
) -> None:
    from qnet.report.measurements import write_table  # noqa: PLC0415 (pyarrow, only when asked for)

    rows = recording.rows
    refused = rows[:, k.STARTED] == k.REFUSED

    def unless_refused(column: int) -> list[int | None]:
        pairs = zip(rows[:, column].tolist(), refused.tolist(), strict=True)
        return [None if lost else value for value, lost in pairs]

    owner = recording.owner.tolist()
    write_table(
        path,
        {
            "port": [topology.ports[port].name for port in recording.port.tolist()],
            "name": [found[one].name for one in owner],
            "route": owner,
            "frame_bytes": (rows[:, k.TRACED_LABEL] & 0xFFFF).tolist(),
            "birth_ps": rows[:, k.BORN].tolist(),
            "queued_ps": rows[:, k.QUEUED].tolist(),
            "started_ps": unless_refused(k.STARTED),
            "ended_ps": unless_refused(k.ENDED),
            "reached_ps": unless_refused(k.REACHED),
            "cycle": [
                value if found[one].cycles else None
                for value, one in zip(rows[:, k.LEFT_IN].tolist(), owner, strict=True)
            ],
        },
    )
