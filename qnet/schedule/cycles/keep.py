"""Streams that stay where an earlier plan has them, and what becomes of those that a failure cuts.

The planner that keeps a plan, the Scheduler and the Reservations of a running network do the same
here: nobody gives up a place before there is a better one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible
from qnet.graph.routes import Edge
from qnet.model.plan import StreamPlan
from qnet.model.topology import Port, Topology
from qnet.schedule.cycles.kernels import (
    Book,
    Desk,
    Grid,
    Pairs,
    Ways,
    clear_place,
    reroute_rows,
    retry_rows,
    use,
)
from qnet.schedule.cycles.room import Room
from qnet.schedule.cycles.ways import Hop, Way
from qnet.schedule.kernels import Int64s
from qnet.schedule.timing import cycle_shift


class Field(NamedTuple):
    """All that placing works on."""

    grid: Grid
    ways: Ways
    pairs: Pairs
    book: Book
    desk: Desk


class Moves(NamedTuple):
    """What became of the rows that were to be given other places.

    `moved` had their new place before the old one was given up; `replaced` only fitted into the
    room of the old one; `reduced` have one path left of two, and the other's room is free again;
    `lost` have the place that they had.
    """

    moved: Int64s
    replaced: Int64s
    reduced: Int64s
    lost: Int64s


def reroute(room: Room, field: Field, spare: int, rows: Int64s, *, thorough: bool) -> Moves:
    """Give rows new places, each reserved before the old one is given up.

    What finds none is tried again in the room of its own old place, which is cut anyway; then a
    stream with two paths keeps the one that works. `spare` is a vacant row of the book. `thorough`
    compares all phases, as the planner does for all streams.
    """

    def give(kernel: Callable[..., int], rows: Int64s) -> NDArray[np.bool_]:
        answer: Int64s = np.zeros(len(rows), dtype=np.int64)
        kernel(*field[:4], spare, rows, answer, int(thorough), field.desk)
        moved: NDArray[np.bool_] = answer == 0
        return moved

    beside = give(reroute_rows, rows)
    cut = rows[~beside]
    within = give(retry_rows, cut)
    left = cut[~within]
    whole = np.array([keep_whole_path(room, field.book, row) for row in left.tolist()], dtype=bool)
    return Moves(rows[beside], cut[within], left[whole], left[~whole])


def keep_whole_path(room: Room, book: Book, row: int) -> bool:
    """Leave a stream the path of its two that works, and say so; else leave all as it is.

    Of a tree nothing is left: who listens gets all frames or the stream has no place.
    """
    ways, _ = room.arrays()
    way = room.table.ways[int(book.way[row])]
    whole = []
    for path in way.paths if not way.before else ():
        start, end = path[0], path[-1] + 1
        wires = book.wires[row, start:end].tolist()
        ports = [hop.ports[wire] for hop, wire in zip(way.hops[start:end], wires, strict=True)]
        if all(room.grid.up[port] for port in ports):
            whole.append((start, end))
    if not whole:
        return False
    use(room.grid, ways, book, row, -1)
    start, end = whole[0]
    hops = way.hops[start:end]
    latency_ps_max = way.latency_ps_max - hops[-1].sooner_ps
    alone = Way(way.pair, latency_ps_max, (*hops[:-1], hops[-1]._replace(sooner_ps=0)))
    held = book.wires[row, start:end].copy(), book.waits[row, start:end].copy()
    phase = int(book.phase[row])
    clear_place(book, row)
    (book.way[row],) = room.table.add([alone])
    book.phase[row] = phase
    book.wires[row, : end - start] = held[0]
    book.waits[row, : len(held[1])] = held[1]
    use(room.grid, room.arrays()[0], book, row, 1)
    return True


def planned_way(topology: Topology, pair: int, legs: Sequence[StreamPlan]) -> Way:
    """Return the paths of a planned stream, or of all legs of one, as a way without choices.

    Its cycles are counted from the first one of the first path.
    """
    cycle_ps = topology.tcqf.cycle_ps
    first = legs[0].paths[0].cycles[0]
    hops: list[Hop] = []
    before: list[int] = []
    place_of: dict[str, int] = {}
    ends: list[int] = []
    latest_ps: list[int] = []
    open_ps: list[int] = []
    for entry in legs:
        for path in entry.paths:
            place = -1
            ports = [topology.port_by_name[name] for name in path.ports]
            for port, cycle in zip(ports, path.cycles, strict=True):
                if port.name not in place_of:
                    place_of[port.name] = len(hops)
                    hops.append(Hop(cycle - first, -1, -1, 0, (port.number,)))
                    before.append(place)
                place = place_of[port.name]
            ends.append(place)
            clock = topology.node_by_name[ports[-1].source].clock
            end_ps = clock.phase_ps + (path.cycles[-1] + 1) * cycle_ps + clock.error_ps
            assert entry.send_ps is not None, "a plan that is kept was proven"
            latest_ps.append(end_ps + ports[-1].propagation_ps - entry.send_ps)
            open_ps.append(cycle_ps + 2 * clock.error_ps)
    for end, late, window in zip(ends, latest_ps, open_ps, strict=True):
        hops[end] = hops[end]._replace(sooner_ps=max(latest_ps) - late, open_ps=window)
    way = Way(pair, max(latest_ps), tuple(hops))
    if len(legs) == 1:
        return way
    return way._replace(before=tuple(before), ends=tuple(ends))


def check_shifts(topology: Topology, legs: Sequence[StreamPlan]) -> None:
    """Refuse waits where the class has none: new streams would need the same mapping of cycles."""
    for entry in legs:
        for path in entry.paths:
            edges = [_edge(topology.port_by_name[name]) for name in path.ports]
            for (edge, following), (cycle, then) in zip(
                pairwise(edges), pairwise(path.cycles), strict=True
            ):
                least = cycle_shift(topology, edge, following)
                if then - cycle != least:
                    raise Infeasible(
                        f"{entry.name}: goes {then - cycle} cycles on from {edge.ports[0].name}, "
                        f"{least} are due; its class lets no frame wait"
                    )


def _edge(port: Port) -> Edge:
    return Edge(0, port.source, port.target, None, port.propagation_ps, 0, (port,))


def put_rows(field: Field, rows: Sequence[int], ways: Sequence[int], starts: Sequence[int]) -> None:
    """Put rows on ways without choices, from the cycle on in which the first path starts."""
    book = field.book
    for row, way, start in zip(rows, ways, starts, strict=True):
        book.way[row] = way
        book.phase[row] = start % int(book.asked.period[row])
        use(field.grid, field.ways, book, row, 1)
