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
            for frame in plan.starts_ps:
                start = frame[hop] % cycle_ps
                end = start + line
                windows[name].append((start, min(end, cycle_ps), states))
                if end > cycle_ps:
                    windows[name].append((0, end - cycle_ps, states))
    lists = []
    for port in problem.ports:
        if port.name in windows:
            used = 0
            for _, _, states in windows[port.name]:
                used |= states
            idle, guard = 0, 0
            if problem.guard_bytes is not None:
                idle = ((1 << port.queues) - 1) & ~used
                guard = problem.line_ps(problem.guard_bytes, port.rate_bps)
            entries = _entries(sorted(windows[port.name]), cycle_ps, idle, guard)
            lists.append(GateList(port=port.name, entries=entries))
    return tuple(lists)


def _entries(
    windows: list[tuple[int, int, int]], cycle_ps: int, idle: int, guard_ps: int
) -> tuple[GateEntry, ...]:
    """Fill the cycle: windows, and between them pauses that end with a guard."""
    entries: list[GateEntry] = []

    def add(interval: int, states: int) -> None:
        if interval == 0:
            return
        if entries and entries[-1].states == states:
            interval += entries.pop().interval_ps
        entries.append(GateEntry(interval, states))

    def pause(interval: int) -> None:
        if idle:
            add(max(0, interval - guard_ps), idle)
            add(min(guard_ps, interval), 0)
        else:
            add(interval, 0)

    time = 0
    for start, end, states in windows:
        pause(start - time)
        add(end - start, states)
        time = end
    # The cycle starts again with its first window or pause, for which the same guard holds.
    pause(cycle_ps - time)
    return tuple(entries)
