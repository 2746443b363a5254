"""Measurements of a run as Parquet: docs/measurements.md has every column.

All columns are text or 64-bit integers, in picoseconds, bytes and bits per second. The same run
gives the same bytes with the same version of pyarrow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qnet.files.run_folder import TABLES
from qnet.files.write import writing
from qnet.model.histogram import bin_low_ps
from qnet.model.loads import sent_by_name
from qnet.model.observation import Observation, Traffic
from qnet.model.topology import Topology
from qnet.model.traffic import Profile

Columns = Mapping[str, Sequence[str] | Sequence[int | None]]

ROWS_PER_GROUP = 1 << 20


def write_measurements(
    folder: Path, topology: Topology, profile: Profile, observation: Observation
) -> tuple[Path, ...]:
    """Write traffic, latency, ports, series and drops; return their paths."""
    tables = (
        _traffic(profile, observation),
        _latency(profile, observation),
        _ports(topology, observation),
        _series(observation),
        _drops(observation),
    )
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(
        write_table(folder / f"{name}.parquet", rows)
        for name, rows in zip(TABLES, tables, strict=True)
    )


def write_table(path: Path, columns: Columns) -> Path:
    """Write one table, whole or not at all."""
    arrow = pa.table({name: _array(values) for name, values in columns.items()})
    return write_arrow(path, arrow)


def write_arrow(path: Path, table: pa.Table) -> Path:
    """Write a table of Arrow, whole or not at all."""
    with writing(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=ROWS_PER_GROUP)
    return path


def _array(values: Sequence[str] | Sequence[int | None]) -> Any:
    if len(values) and isinstance(values[0], str):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, pa.int64())


def _every(observation: Observation) -> list[tuple[str, Traffic]]:
    return [
        *(("stream", one) for one in observation.streams),
        *(("demand", one) for one in observation.demands),
    ]


def _classes(profile: Profile) -> dict[str, str]:
    return {name: one.traffic_class for name, one in sent_by_name(profile).items()}


def _traffic(profile: Profile, observation: Observation) -> Columns:
    every = _every(observation)
    class_of = _classes(profile)
    same = (
        "sent", "received", "copies", "lost", "in_flight", "late", "copies_sent", "copies_lost",
        "sent_bytes", "received_bytes",
        "latency_ps_min", "latency_ps_mean", "latency_ps_max", "best_birth_ps", "worst_birth_ps",
    )  # fmt: skip
    return {
        "kind": [kind for kind, _ in every],
        "name": [one.name for _, one in every],
        "service": [one.service for _, one in every],
        "class": [class_of[one.name] for _, one in every],
    } | {column: [getattr(one, column) for _, one in every] for column in same}


def _latency(profile: Profile, observation: Observation) -> Columns:
    """One row for each bin that holds frames: of each stream and demand, and of each class."""
    class_of = _classes(profile)
    rows: list[tuple[str, str, int, int, int]] = []
    by_class: dict[str, dict[tuple[int, int], int]] = defaultdict(lambda: defaultdict(int))
    for kind, one in _every(observation):
        for index, frames in one.histogram:
            low = one.floor_ps + bin_low_ps(index)
            high = one.floor_ps + bin_low_ps(index + 1)
            rows.append((kind, one.name, low, high, frames))
            by_class[class_of[one.name]][low, high] += frames
    for name in sorted(by_class):
        bins = by_class[name]
        rows += [("class", name, low, high, bins[low, high]) for low, high in sorted(bins)]
    columns = list(zip(*rows, strict=True)) or [()] * 5
    names = ("kind", "name", "from_ps", "before_ps", "frames")
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


def _ports(topology: Topology, observation: Observation) -> Columns:
    uses = observation.ports
    columns: dict[str, list[Any]] = {
        "port": [use.port for use in uses],
        "rate_bps": [topology.port_by_name[use.port].rate_bps for use in uses],
    }
    for column in (
        "came", "sent_frames", "sent_bytes", "queue_bytes_max", "dropped", "lost_on_link",
        "waiting",
    ):  # fmt: skip
        columns[column] = [getattr(use, column) for use in uses]
    return columns


def _series(observation: Observation) -> Columns:
    ends = observation.series_end_ps
    begins = (0, *ends[:-1])
    series = observation.series
    columns: dict[str, list[Any]] = {
        "port": [one.port for one in series for _ in ends],
        "from_ps": [begin for _ in series for begin in begins[: len(ends)]],
        "before_ps": [end for _ in series for end in ends],
    }
    for column in ("sent_frames", "sent_bytes", "queue_bytes_max", "dropped"):
        columns[column] = [value for one in series for value in getattr(one, column)]
    return columns


def _drops(observation: Observation) -> Columns:
    return {
        column: [getattr(drop, column) for drop in observation.drops]
        for column in ("port", "name", "cause", "frames")
    }
