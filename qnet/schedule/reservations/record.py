"""A change of a book, or all of it, as the bytes of one record: the same state, the same bytes.

A record is JSON: the network's hash and the terms (in the first record of a file), what is out of
use, ways, the streams that have a place now (row, stream, number of its way, phase, wires, waits),
by row, and the names of those that have none any more. Where streams are is written down, not what
was asked: reading needs no search, and a later version that would place them otherwise reads the
same state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from qnet.files.words import file_data
from qnet.files.write import to_json
from qnet.model.topology import Topology
from qnet.model.traffic import Recovery, Stream, TrafficClass
from qnet.schedule.cycles.candidates import CandidateHop, CandidatePath, pair_of
from qnet.schedule.cycles.kernels.tables import Request, ReservationRows
from qnet.schedule.cycles.state import CycleState, empty_book
from qnet.schedule.online.state import Saved
from qnet.schedule.reservations.view import ReservedStream, Terms, View

_NEEDED = [name for name, info in Stream.model_fields.items() if info.is_required()]


class Change(NamedTuple):
    """What a record says."""

    down: tuple[str, ...]
    put: list[ReservedStream]
    gone: list[str]


def whole(view: View) -> bytes:
    """Write all of a state, from nothing."""
    terms = view.terms
    head = {
        "topology_sha256": _hash(view.topology),
        "hypercycle": terms.hypercycle,
        "classes": [file_data(one) for one in terms.classes],
        "guards": terms.guards,
        "closed": terms.closed,
    }
    return _dump({**head, **_change(view.everything, (), view.down)})


def change(put: Sequence[ReservedStream], gone: Collection[str], down: tuple[str, ...]) -> bytes:
    """Write what has changed."""
    return _dump(_change(sorted(put, key=lambda held: held.row), sorted(gone), down))


def _change(
    put: Sequence[ReservedStream], gone: Collection[str], down: tuple[str, ...]
) -> dict[str, Any]:
    ways = sorted({held.way for held in put})
    number = {way: place for place, way in enumerate(ways)}
    streams = [
        (
            held.row,
            held.stream.model_dump(mode="json", exclude_defaults=True),
            number[held.way],
            held.phase,
            held.wires,
            held.waits,
        )
        for held in put
    ]
    return {"down": down, "gone": list(gone), "ways": [way[1:] for way in ways], "streams": streams}


def _dump(data: dict[str, Any]) -> bytes:
    # Fields of a noun come in the order in which they were set: sorted they have one order only.
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()


def _hash(topology: Topology) -> str:
    return hashlib.sha256(to_json(topology).encode()).hexdigest()


def read_terms(record: bytes, topology: Topology) -> Terms | None:
    """Read the terms of a first record; None when they are those of another network."""
    data = json.loads(record)
    if data["topology_sha256"] != _hash(topology):
        return None
    return Terms(
        data["hypercycle"],
        tuple(TrafficClass.model_validate(one) for one in data["classes"]),
        tuple(data["guards"]),
        tuple(data["closed"]),
    )


def read_change(record: bytes) -> Change:
    """Read what a record says."""
    data = json.loads(record)
    ways = [_way(*way) for way in data["ways"]]
    put = []
    for row, stream, way, phase, wires, waits in data["streams"]:
        numbers = (row, way, phase, *wires, *waits)
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"row {row} is made of {numbers}")
        put.append(
            ReservedStream(row, _stream(stream), ways[way], phase, tuple(wires), tuple(waits))
        )
    return Change(tuple(data["down"]), put, data["gone"])


def _way(latency_ps: int, hops: list[Any], before: list[int], ends: list[int]) -> CandidatePath:
    made = tuple(CandidateHop._make((*numbers, tuple(ports))) for *numbers, ports in hops)
    return CandidatePath(0, latency_ps, made, tuple(before), tuple(ends))


def _stream(data: dict[str, Any]) -> Stream:
    """Make a stream of its fields in internal units; raises ValueError for what cannot be."""
    data["listeners"] = tuple(data["listeners"])
    if data.get("recovery") is not None:
        data["recovery"] = Recovery().replace(**data["recovery"])
    needed = {name: data[name] for name in _NEEDED}
    return Stream.model_construct(**needed).replace(**data)


def to_saved(view: View) -> Saved:
    """Return a state as a Scheduler keeps it."""
    terms, everything = view.terms, view.everything
    room = CycleState(view.topology, terms.hypercycle, terms.guards)
    pairs = sorted({pair_of(held.stream) for held in everything})
    pair_number = {pair: number for number, pair in enumerate(pairs)}
    ways = sorted(
        {held.way._replace(pair=pair_number[pair_of(held.stream)]) for held in everything}
    )
    way_number = {way: number for number, way in enumerate(ways)}
    rows = [held.row for held in everything]
    width = max((len(way.hops) for way in ways), default=1)
    asked = room.requests((held.stream for held in everything), terms.profile.may_wait)
    book = empty_book(max(rows, default=-1) + 1, width, bool(asked[:, Request.WAITS].any()))
    book.asked[rows] = asked
    for held in everything:
        _write(book, held, pair_number[pair_of(held.stream)], way_number)
    return Saved(
        terms.hypercycle, terms.guards, terms.closed, view.down, tuple(pairs), tuple(ways), book
    )


def _write(
    book: ReservationRows, held: ReservedStream, pair: int, way_number: dict[CandidatePath, int]
) -> None:
    book.asked[held.row, Request.PAIR] = pair
    book.way[held.row] = way_number[held.way._replace(pair=pair)]
    book.phase[held.row] = held.phase
    book.wires[held.row, : len(held.wires)] = np.array(held.wires, dtype=np.int16)
    book.waits[held.row, : len(held.waits)] = np.array(held.waits, dtype=np.int16)
