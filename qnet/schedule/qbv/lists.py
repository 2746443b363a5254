"""Gate control lists: open for what is sent, and for others while that does no harm."""

from __future__ import annotations

from collections import defaultdict

from qnet.model.gates import GateEntry, GateList, GateProblem, GateStreamPlan


def gate_lists(
    problem: GateProblem, plans: tuple[GateStreamPlan, ...], cycle_ps: int
) -> tuple[GateList, ...]:
    """Write the list of every port that a stream uses, in the order of the ports."""
    ports = {port.name: port for port in problem.ports}
    windows: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for stream, plan in zip(problem.streams, plans, strict=True):
        for hop, name in enumerate(plan.ports):
            line = problem.line_ps(stream.frame_bytes, ports[name].rate_bps)
            states = 1 << plan.queues[hop]
            here = windows[name]
            for frame in plan.starts_ps:
                start = frame[hop] % cycle_ps
                end = start + line
                if end <= cycle_ps:
                    here.append((start, end, states))
                else:
                    here.append((start, cycle_ps, states))
                    here.append((0, end - cycle_ps, states))
    lists = []
    for port in problem.ports:
        if port.name in windows:
            sent = sorted(windows[port.name])
            idle, guard = 0, 0
            if problem.guard_bytes is not None:
                idle = (1 << port.queues) - 1
                for used in {states for _, _, states in sent}:
                    idle &= ~used
                guard = problem.line_ps(problem.guard_bytes, port.rate_bps)
            lists.append(GateList(port=port.name, entries=_entries(sent, cycle_ps, idle, guard)))
    return tuple(lists)


def _entries(
    windows: list[tuple[int, int, int]], cycle_ps: int, idle: int, guard_ps: int
) -> tuple[GateEntry, ...]:
    """Fill the cycle: windows, and between them pauses that end with a guard.

    The end of the cycle counts as a window: what follows it may be one.
    """
    pieces: list[tuple[int, int]] = []
    time = 0
    for start, end, states in (*windows, (cycle_ps, cycle_ps, 0)):
        if start > time:
            open_ps = max(0, start - time - guard_ps) if idle else 0
            pieces += ((open_ps, idle), (start - time - open_ps, 0))
        pieces.append((end - start, states))
        time = end
    entries: list[GateEntry] = []
    for interval, states in pieces:
        if interval > 0 and entries and entries[-1].states == states:
            entries[-1] = GateEntry(entries[-1].interval_ps + interval, states)
        elif interval > 0:
            entries.append(GateEntry(interval, states))
    return tuple(entries)
