"""Count a scheduler's state out again, from its rows alone and without its kernels.

The exact judge of a plan is `qnet.check`; it takes streams one by one. This audit is for millions
of them: it adds up by numpy what every stream takes of every cycle and compares.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qnet.schedule.cycles.kernels.tables import Request
from qnet.schedule.kernels import Int64s
from qnet.schedule.online.scheduler import Scheduler

ROWS_AT_ONCE = 1_000_000


def audit(scheduler: Scheduler) -> list[str]:
    """Return what is wrong with a scheduler's state; nothing, if it is sound."""
    length = scheduler.hypercycle
    taken = np.zeros((len(scheduler.topology.ports), length), dtype=np.int64)
    faults: list[str] = []
    ids = scheduler.ids()
    for start in range(0, len(ids), ROWS_AT_ONCE):
        rows = ids[start : start + ROWS_AT_ONCE]
        taken += _taken(scheduler, rows)
        faults += _late(scheduler, rows)
    for word, wrong in (
        ("takes more than there is", taken > scheduler.room.capacity[:, np.newaxis]),
        (
            "is booked wrongly",
            scheduler.room.capacity[:, np.newaxis] - taken != scheduler.grid.free,
        ),
    ):
        for port, cycle in np.argwhere(wrong)[:20].tolist():
            faults.append(f"port {scheduler.topology.ports[port].name}, cycle {cycle} {word}")
    if (scheduler.grid.free.sum(axis=1) != scheduler.grid.spare).any():
        faults.append("the sums of what ports have left are wrong")
    if len(ids) != len(scheduler):
        faults.append(f"{len(scheduler)} streams are counted, {len(ids)} are there")
    return faults


def _hops(scheduler: Scheduler, rows: Int64s) -> Iterator[tuple[Int64s, Int64s, Int64s]]:
    """Yield hop by hop: which of the rows have one, the ports they use there, and the shifts."""
    table = scheduler.table.ways
    numbers, compact = np.unique(scheduler.book.way[rows], return_inverse=True)
    ways = [table[number] for number in numbers.tolist()]
    most = max((len(way.hops) for way in ways), default=0)
    for place in range(most):
        there = [way.hops[place] if place < len(way.hops) else None for way in ways]
        width = max(len(hop.ports) for hop in there if hop is not None)
        port = np.full((len(ways), width), -1, dtype=np.int64)
        shift = np.zeros(len(ways), dtype=np.int64)
        for number, hop in enumerate(there):
            if hop is not None:
                port[number, : len(hop.ports)] = hop.ports
                shift[number] = hop.shift
        have = np.flatnonzero(port[compact, 0] >= 0)
        wire = scheduler.book.wires[rows[have], place]
        waited = scheduler.book.waits[rows[have], place] if scheduler.book.waits.size else 0
        yield have, port[compact[have], wire], shift[compact[have]] + waited


def _taken(scheduler: Scheduler, rows: Int64s) -> Int64s:
    """Return the bytes that some streams take of every cycle of every port."""
    length = scheduler.hypercycle
    ports = len(scheduler.topology.ports)
    asked = scheduler.book.asked[rows]
    period = asked[:, Request.PERIOD]
    size = asked[:, Request.PACKETS] * (asked[:, Request.FRAME_BYTES] + 20)
    phase = scheduler.book.phase[rows].astype(np.int64)
    taken = np.zeros((ports, length), dtype=np.int64)
    for have, port, shift in _hops(scheduler, rows):
        for turn in np.unique(period[have]).tolist():
            some = period[have] == turn
            cycle = (phase[have][some] + shift[some]) % turn
            # Sums of whole numbers far below 2**53 are exact in floating point.
            sums = np.bincount(
                port[some] * turn + cycle, weights=size[have][some], minlength=ports * turn
            )
            taken += np.tile(sums.astype(np.int64).reshape(ports, turn), (1, length // turn))
    return taken


def _late(scheduler: Scheduler, rows: Int64s) -> list[str]:
    most = scheduler.book.asked[rows, Request.LATENCY_PS_MOST]
    latency = scheduler.lookup(rows).latency_ps_max
    late = rows[(most >= 0) & (latency > most)]
    return [f"stream {row} can take longer than it asked for" for row in late[:20].tolist()]
