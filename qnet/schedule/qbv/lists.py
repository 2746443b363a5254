"""Gate control lists: open for what is sent, and for others while that does no harm."""

from __future__ import annotations

from collections import defaultdict

from qnet.model.gates import HELD, GateEntry, GateList, GateProblem, GateStreamPlan


def gate_lists(
    problem: GateProblem, plans: tuple[GateStreamPlan, ...], cycle_ps: int
) -> tuple[GateList, ...]:
    """Write the list of every port that a stream uses, in the order of the ports."""
    ports = {port.name: port for port in problem.ports}
    windows: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for stream, plan in zip(problem.streams, plans, strict=True):
        for hop, name in enumerate(plan.ports):
            line = problem.window_ps(stream, ports[name])
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
                guard = problem.guard_ps(port)
            entries = _entries(sent, cycle_ps, idle, guard)
            if problem.held_queues:
                entries = _with_holds(entries, sent, problem.held_queues)
            # Ten thousands of entries of our own need no validation.
            made = tuple(map(GateEntry._make, entries))
            lists.append(GateList.model_construct(port=port.name, entries=made))
    return tuple(lists)


def _with_holds(
    entries: list[tuple[int, int]], windows: list[tuple[int, int, int]], held: int
) -> list[tuple[int, int]]:
    """Leave the gates of some queues open all the time, and hold their frames in the windows."""
    used = 0
    for _, _, states in windows:
        used |= states
    return [(length, states | held | (HELD if states & used else 0)) for length, states in entries]


def _entries(
    windows: list[tuple[int, int, int]], cycle_ps: int, idle: int, guard_ps: int
) -> list[tuple[int, int]]:
    """Fill the cycle: windows, and between them pauses that end with a guard.

    The end of the cycle counts as a window: what follows it may be one.
    """
    entries: list[tuple[int, int]] = []
    time = 0
    for start, end, states in (*windows, (cycle_ps, cycle_ps, 0)):
        if start > time:
            open_ps = max(0, start - time - guard_ps) if idle else 0
            if open_ps > 0:
                entries.append((open_ps, idle))
            if start - time > open_ps:
                entries.append((start - time - open_ps, 0))
        if entries and entries[-1][1] == states:
            entries[-1] = (entries[-1][0] + end - start, states)
        elif end > start:
            entries.append((end - start, states))
        time = end
    return entries
