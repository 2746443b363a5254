"""What is written down: rows of a trace, and counts at the ends of intervals."""

from __future__ import annotations

from qnet.kernel import bare_kernel
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


@bare_kernel
def is_nearly_full(port: int, trace: Trace) -> bool:
    """Tell whether the trace may lack room for the two rows that a port may write next."""
    slot = trace.slot[port]
    return slot >= 0 and trace.used[slot] + 2 > trace.rows.shape[1]


@bare_kernel
def write_down(
    port: int,
    owner: int,
    queued: int,
    started: int,
    ended: int,
    reached: int,
    birth: int,
    label: int,
    turn: int,
    fate: int,
    trace: Trace,
) -> None:
    """Add a row to the trace, if the frame is one of those wanted; there is room for it."""
    slot = trace.slot[port]
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


@bare_kernel
def note_ends(noted: int, counts: Counts) -> int:
    """Return when a port is to note its counts next that has done so `noted` times."""
    if noted == counts.rows.shape[1]:
        return NEVER
    return min((noted + 1) * counts.step, counts.end)


@bare_kernel
def note_counts(port: int, queues: Queues, tally: Tally, counts: Counts) -> None:
    """Note a port's counts at the end of an interval, and begin the next."""
    now = tally.port
    row = counts.rows[port, now[port, PortTally.NOTED]]
    row[CountRow.FRAMES] = now[port, PortTally.FRAMES]
    row[CountRow.WIRE_BYTES] = now[port, PortTally.WIRE_BYTES]
    row[CountRow.DROPPED] = now[port, PortTally.DROPPED]
    row[CountRow.DEEPEST] = now[port, PortTally.DEEPEST]
    # What waits over the end belongs to the next interval too.
    deepest = 0
    for ring in range(counts.ring_first[port], counts.ring_last[port]):
        deepest = max(deepest, queues.ring[ring, Ring.BYTES])
    now[port, PortTally.DEEPEST] = deepest
    now[port, PortTally.NOTED] += 1
