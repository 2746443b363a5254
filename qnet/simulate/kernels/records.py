"""What is written down: rows of a trace, and counts at the ends of intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.world import (
    NEVER,
    REFUSED,
    CountRow,
    Counts,
    PortTally,
    Queues,
    Ring,
    Tally,
    Trace,
    TraceRow,
)

Ints = NDArray[np.int64]


@bare_kernel
def is_nearly_full(port: int, trace: Trace) -> bool:
    """Tell whether the trace may lack room for the two rows that a port may write next."""
    slot = trace.slot[port]
    return slot >= 0 and trace.used[slot] + 2 > trace.rows.shape[1]


@bare_kernel
def write_down(
    port: int,
    owner: int,
    times: tuple[int, int, int, int],
    birth: int,
    label: int,
    turn: int,
    fate: int,
    trace: Trace,
) -> None:
    """Add a row to the trace, if the frame is one of those wanted; there is room for it.

    `times` are QUEUED, STARTED, ENDED and REACHED.
    """
    slot = trace.slot[port]
    queued, started, ended, reached = times
    when = queued if started == REFUSED else started
    if slot >= 0 and (trace.followed[owner] or trace.since[port] <= when < trace.until[port]):
        row = trace.rows[slot, trace.used[slot]]
        row[TraceRow.QUEUED] = queued
        row[TraceRow.STARTED] = started
        row[TraceRow.ENDED] = ended
        row[TraceRow.REACHED] = reached
        row[TraceRow.BORN] = birth
        row[TraceRow.LABEL] = label
        row[TraceRow.LEFT_IN] = turn
        row[TraceRow.FATE] = fate
        trace.used[slot] += 1


@inline_kernel
def count_sent(port: int, started: int, frame_bytes: int, steady_from: int, counts: Ints) -> None:
    """Count a frame, or the last part of one, that leaves."""
    counts[port, PortTally.FRAMES] += 1
    counts[port, PortTally.WIRE_BYTES] += frame_bytes + 20
    if started >= steady_from:
        counts[port, PortTally.STEADY] += frame_bytes + 20


@bare_kernel
def note_ends(noted: int, counts: Counts) -> int:
    """Return when a port is to note its counts next that has done so `noted` times."""
    if noted == counts.rows.shape[1]:
        return NEVER
    return min((noted + 1) * counts.step, counts.end)


@inline_kernel
def note(row: Ints, frames: int, wire_bytes: int, dropped: int, deepest: int) -> None:
    """Fill a row of counts."""
    row[CountRow.FRAMES] = frames
    row[CountRow.WIRE_BYTES] = wire_bytes
    row[CountRow.DROPPED] = dropped
    row[CountRow.DEEPEST] = deepest


@bare_kernel
def note_counts(port: int, queues: Queues, tally: Tally, counts: Counts) -> None:
    """Note a port's counts at the end of an interval, and begin the next."""
    now = tally.port
    note(
        counts.rows[port, now[port, PortTally.NOTED]], now[port, PortTally.FRAMES],
        now[port, PortTally.WIRE_BYTES], now[port, PortTally.DROPPED], now[port, PortTally.DEEPEST],
    )  # fmt: skip
    # What waits over the end belongs to the next interval too.
    deepest = 0
    for ring in range(counts.ring_first[port], counts.ring_last[port]):
        deepest = max(deepest, queues.ring[ring, Ring.BYTES])
    now[port, PortTally.DEEPEST] = deepest
    now[port, PortTally.NOTED] += 1
