"""The rows of a scheduler, and the file that keeps them.

A state file is one line `qnet-scheduler-state 3`, one line with the SHA-256 of all that follows,
one line of JSON (the network's hash, the pairs and ways in use), and the columns, one after the
other, as little-endian integers. Only what is in use is written, in an order that does not depend
on the past: two schedulers that hold the same streams under the same ids write the same bytes.
What the wires have left is not written: it follows from the streams and is counted out again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from qnet.errors import InputError, Problem
from qnet.files.consistency import HYPERCYCLE_HIGHEST
from qnet.files.read import read_bytes
from qnet.files.write import to_json, write_bytes
from qnet.model.outages import ports_by_target
from qnet.model.topology import Topology
from qnet.schedule.cycles.candidates import CandidateHop, CandidatePath, Pair
from qnet.schedule.cycles.kernels.tables import Request, ReservationRows
from qnet.schedule.cycles.state import empty_book, lengthen, widen
from qnet.schedule.online.kernels import BLOCK, Vacancy
from qnet.units import TIME

MAGIC = b"qnet-scheduler-state 3\n"
BYTES_MOST = 2**33

REQUEST_KINDS = ("<i4", "<i4", "<i4", "<i4", "<i8", "<i8", "<i2", "<i1", "<i1")
KINDS = (*REQUEST_KINDS, "<i4", "<i4", "<i2", "<i2")
"""Columns of a request, way, phase, wires and waits."""


class Saved(NamedTuple):
    """What a state file holds."""

    hypercycle: int
    guards: tuple[int, ...]
    """The longest frame of any class that is not reserved, by port number."""
    closed: tuple[int, ...]
    down: tuple[str, ...]
    pairs: tuple[Pair, ...]
    ways: tuple[CandidatePath, ...]
    book: ReservationRows


def swap_rows(book: ReservationRows, one: int, other: int) -> None:
    """Exchange two rows."""
    for table in book:
        table[[one, other]] = table[[other, one]]


def _columns(book: ReservationRows) -> tuple[NDArray[Any], ...]:
    """Return all columns, in the order of a file."""
    return (*book.asked.T, *book[1:])


def count_vacancy(book: ReservationRows) -> Vacancy:
    """Count the rows in use of every block; there are whole blocks of rows."""
    used = (book.way >= 0).reshape(-1, BLOCK).sum(axis=1)
    return Vacancy(used.astype(np.int64), np.zeros(1, dtype=np.int64))


def canonical(
    hypercycle: int,
    guards: tuple[int, ...],
    closed: tuple[int, ...],
    down: tuple[str, ...],
    pairs: Sequence[Pair],
    ways: Sequence[CandidatePath],
    book: ReservationRows,
) -> Saved:
    """Return only what is in use, with pairs and ways in an order that they give themselves."""
    used = book.way >= 0
    rows = int(np.flatnonzero(used)[-1]) + 1 if used.any() else 0
    numbers = [int(number) for number in np.unique(book.way[used])]
    kept_pairs = sorted({pairs[ways[number].pair] for number in numbers})
    place = {pair: number for number, pair in enumerate(kept_pairs)}
    moved = {
        number: ways[number]._replace(pair=place[pairs[ways[number].pair]]) for number in numbers
    }
    kept_ways = sorted(set(moved.values()))
    rank = {way: number for number, way in enumerate(kept_ways)}
    new_way = np.full(len(ways) + 1, -1, dtype=np.int32)
    for number in numbers:
        new_way[number] = rank[moved[number]]
    width = max((len(way.hops) for way in kept_ways), default=1)
    trimmed = ReservationRows(
        book.asked[:rows].copy(),
        new_way[book.way[:rows]],
        book.phase[:rows].copy(),
        *(column[:rows] for column in widen(book, width, bool(book.waits.any()))[3:]),
    )
    pair_of_way = np.array([*(way.pair for way in kept_ways), 0], dtype=np.int32)
    trimmed.asked[:, Request.PAIR] = pair_of_way[trimmed.way]
    return Saved(hypercycle, guards, closed, down, tuple(kept_pairs), tuple(kept_ways), trimmed)


def save(path: Path | str, topology: Topology, saved: Saved) -> None:
    """Write a state file in one step."""
    header = {
        "topology_sha256": _hash(topology),
        "hypercycle": saved.hypercycle,
        "guards": saved.guards,
        "closed": saved.closed,
        "down": saved.down,
        # What is behind these belongs to trees, which a Scheduler does not have.
        "pairs": [pair[:3] for pair in saved.pairs],
        "ways": [way[:3] for way in saved.ways],
        "rows": len(saved.book.way),
        "width": saved.book.wires.shape[1],
        "waits": saved.book.waits.shape[1] > 0,
    }
    parts = [json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"]
    parts += [
        np.ascontiguousarray(column, dtype=kind).tobytes()
        for column, kind in zip(_columns(saved.book), KINDS, strict=True)
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    write_bytes(path, [MAGIC, digest.hexdigest().encode() + b"\n", *parts])


def load(path: Path | str, topology: Topology) -> Saved:
    """Read a state file; raises InputError when it is not whole or not of this network."""
    raw = read_bytes(path, BYTES_MOST)
    if not raw.startswith(MAGIC):
        found = raw.split(b"\n", 1)[0][:40]
        refuse(path, f"is no scheduler state of version 3; it begins with {found!r}")
    digest, _, body = raw[len(MAGIC) :].partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        refuse(path, "is damaged: its content does not have the SHA-256 that it states")
    line, _, columns = body.partition(b"\n")
    try:
        header = json.loads(line)
        saved = _parse(header, columns)
        fault = next(faults(saved, topology), None)
        network = header["topology_sha256"]
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        refuse(path, f"cannot be read: {error}")
    if network != _hash(topology):
        refuse(path, "was saved for another network")
    if fault is not None:
        refuse(path, fault)
    return saved


def in_blocks(book: ReservationRows) -> ReservationRows:
    """Return the same streams in whole blocks of rows, one of them vacant at least."""
    return lengthen(book, (len(book.way) // BLOCK + 1) * BLOCK)


def _parse(header: Any, columns: bytes) -> Saved:
    rows, width = int(header["rows"]), int(header["width"])
    if rows < 0 or width < 1 or rows * width > len(columns):
        raise ValueError(f"{rows} rows of {width} columns, and {len(columns)} bytes of them")
    book = empty_book(rows, width, bool(header["waits"]))
    start = 0
    for column, kind in zip(_columns(book), KINDS, strict=True):
        size = column.size * np.dtype(kind).itemsize
        part = np.frombuffer(columns[start : start + size], dtype=kind)
        column[:] = part.reshape(column.shape)
        start += size
    if start != len(columns):
        raise ValueError(f"{len(columns)} bytes of columns, {start} are due")
    return Saved(
        int(header["hypercycle"]),
        tuple(header["guards"]),
        tuple(header["closed"]),
        tuple(map(str, header["down"])),
        tuple(Pair(*pair) for pair in header["pairs"]),
        tuple(
            CandidatePath(
                pair,
                latency_ps,
                tuple(CandidateHop(a, b, c, d, tuple(ports)) for a, b, c, d, ports in hops),
            )
            for pair, latency_ps, hops in header["ways"]
        ),
        book,
    )


def faults(saved: Saved, topology: Topology) -> Iterator[str]:
    """Say what in a file cannot be, before anything trusts its numbers."""
    book, used = saved.book, saved.book.way >= 0
    asked = book.asked[used]
    yield from _head_faults(saved, topology)
    yield from _way_faults(saved, topology)
    if (book.way >= len(saved.ways)).any() or (book.way < -1).any():
        yield "has streams on ways that it does not list"
    period = asked[:, Request.PERIOD]
    if (period < 1).any() or (saved.hypercycle % np.maximum(period, 1) != 0).any():
        yield "has a period that does not divide the hypercycle"
    if ((book.phase[used] < 0) | (book.phase[used] >= period)).any():
        yield "has a phase beyond its period"
    if (asked[:, [Request.PACKETS, Request.FRAME_BYTES]] < 1).any():
        yield "has a stream without frames"
    if (asked[:, [Request.WAITS, Request.DAMPER]] & ~1).any() or (book.waits < 0).any():
        yield "has a stream that waits less than nothing"
    choices = np.ones((len(saved.ways) + 1, book.wires.shape[1]), dtype=np.int64)
    for number, way in enumerate(saved.ways):
        choices[number, : len(way.hops)] = [len(hop.ports) for hop in way.hops]
    wires = book.wires[used]
    if ((wires < 0) | (wires >= choices[book.way[used]])).any():
        yield "has a stream on a wire that its way does not have"


def _way_faults(saved: Saved, topology: Topology) -> Iterator[str]:
    """Say which ways in a file cannot be."""
    for way in saved.ways:
        if not (0 <= way.pair < len(saved.pairs) and way.hops):
            yield "has a way without hops or ends"
        if len(way.hops) > saved.book.wires.shape[1]:
            yield "has a way with more hops than its columns"
        if not way.hops or way.hops[-1].skew_ps < 0:
            yield "has a way without an end"
        if way.before and not _is_tree(way):
            yield "has a tree that is none"
        if any(not 0 <= port < len(topology.ports) for hop in way.hops for port in hop.ports):
            yield "names ports that the network does not have"


def _is_tree(way: CandidatePath) -> bool:
    """Say whether every hop of a way is behind an earlier one, and each end is a hop."""
    return (
        len(way.before) == len(way.hops)
        and all(-1 <= before < place for place, before in enumerate(way.before))
        and all(0 <= end < len(way.hops) for end in way.ends)
    )


def _head_faults(saved: Saved, topology: Topology) -> Iterator[str]:
    """Say what in the head of a file cannot be."""
    numbers = [saved.hypercycle, *saved.guards, *saved.closed]
    numbers += [number for way in saved.ways for number in (way.pair, way.latency_ps_max)]
    numbers += [
        number for way in saved.ways for hop in way.hops for number in (*hop[:4], *hop.ports)
    ]
    if any(type(number) is not int or abs(number) > TIME.highest for number in numbers):
        yield "has a number that is none, or out of range"
    if not 1 <= saved.hypercycle <= HYPERCYCLE_HIGHEST:
        yield "has a hypercycle that cannot be"
    ports = range(len(topology.ports))
    if len(saved.guards) != len(ports) or min(saved.guards, default=0) < 0:
        yield "has not one longest frame for each port"
    if not set(saved.closed) <= set(ports) or not set(saved.down) <= set(ports_by_target(topology)):
        yield "has something out of use that the network does not have"
    names = topology.node_by_name
    if any(
        not {pair.talker, *pair.listeners} <= names.keys()
        or pair.paths not in (1, 2)
        or type(pair.availability) is not int
        for pair in saved.pairs
    ):
        yield "has a pair of nodes that the network does not have"


def _hash(topology: Topology) -> str:
    return hashlib.sha256(to_json(topology).encode()).hexdigest()


def refuse(path: Path | str, message: str) -> NoReturn:
    """Refuse a file."""
    raise InputError([Problem(str(path), 0, 0, "", message)])
