"""Gate control lists: open for what is sent, and for others while that does no harm.

No entry is shorter than a frame of 60 bytes where that can be had: bridges may refuse such a list.
A window with less than that behind it stays open until the next one; that harms nobody while no
other frame can be in its queue.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from qnet.model.gates import (
    ENTRY_BYTES,
    HELD,
    GateEntry,
    GateList,
    GatePort,
    GateProblem,
    GateStreamPlan,
)
from qnet.schedule.qbv.bounds import followed
from qnet.units import PS_PER_S, ceil_div


class _Piece(NamedTuple):
    """Gates from one time to another; times count on over the end of the cycle."""

    start: int
    end: int
    states: int


_Uses = dict[tuple[str, int], list[tuple[int, int]]]
"""When a queue of a port may hold a frame, within the cycle and in order; by the gate's bit."""


def gate_lists(
    problem: GateProblem, plans: tuple[GateStreamPlan, ...], cycle_ps: int
) -> tuple[GateList, ...]:
    """Write the list of every port that a stream uses, in the order of the ports."""
    windows = _windows(problem, plans, cycle_ps)
    ports = {port.name: port for port in problem.ports if port.name in windows}
    least = {name: _shortest(problem, port) for name, port in ports.items()}
    # Nearly all windows are long enough and far enough apart: queues matter for the others only.
    tight = {name for name in ports if _is_tight(windows[name], cycle_ps, least[name])}
    uses = _uses(problem, plans, cycle_ps, tight)
    lists = []
    for name, port in ports.items():
        sent = windows[name]
        if name in tight:
            sent = _stretched(name, sent, cycle_ps, least[name], uses)
        used = 0
        for window in sent:
            used |= window.states
        idle, guard = 0, 0
        if problem.guard_bytes is not None:
            idle = ((1 << port.queues) - 1) & ~used
            guard = problem.guard_ps(port)
            guard = max(guard, least[name]) if guard else 0
        lengths = guard, least[name]
        entries = _fitting(sent, cycle_ps, idle, lengths, port.entries_max)
        if name in tight and port.entries_max is not None and len(entries) > port.entries_max:
            # A gate that is left open over the list's begin takes one entry more.
            entries = _fitting(windows[name], cycle_ps, idle, lengths, port.entries_max)
        if problem.held_queues:
            entries = _with_holds(entries, used, problem.held_queues)
        # Ten thousands of entries of our own need no validation.
        made = tuple(map(GateEntry._make, entries))
        lists.append(GateList.model_construct(port=name, entries=made))
    return tuple(lists)


def _shortest(problem: GateProblem, port: GatePort) -> int:
    exact = ceil_div(ENTRY_BYTES * 8 * PS_PER_S, port.rate_bps)
    return ceil_div(exact, problem.step_ps) * problem.step_ps


def _windows(
    problem: GateProblem, plans: tuple[GateStreamPlan, ...], cycle_ps: int
) -> dict[str, list[_Piece]]:
    """Return for each port its windows, from the begin of its list on, those that touch joined.

    One that runs over the end of the cycle ends behind it.
    """
    ports = {port.name: port for port in problem.ports}
    found: dict[str, list[_Piece]] = defaultdict(list)
    for stream, plan in zip(problem.streams, plans, strict=True):
        for hop, name in enumerate(plan.ports):
            length = problem.window_ps(stream, ports[name])
            states, phase = 1 << plan.queues[hop], ports[name].phase_ps
            here = found[name]
            for frame in plan.starts_ps:
                start = (frame[hop] - phase) % cycle_ps
                here.append(_Piece(start, start + length, states))
    return {name: _joined(sorted(pieces), cycle_ps) for name, pieces in found.items()}


def _joined(pieces: list[_Piece], cycle_ps: int) -> list[_Piece]:
    joined: list[_Piece] = []
    for piece in pieces:
        if joined and joined[-1].end == piece.start and joined[-1].states == piece.states:
            joined[-1] = joined[-1]._replace(end=piece.end)
        else:
            joined.append(piece)
    first, last = joined[0], joined[-1]
    if len(joined) > 1 and first.start + cycle_ps == last.end and first.states == last.states:
        joined[-1] = last._replace(end=first.end + cycle_ps)
        del joined[0]
    return joined


def _nexts(windows: Sequence[_Piece], cycle_ps: int) -> list[int]:
    """Return for each window when the next one begins."""
    return [*(window.start for window in windows[1:]), windows[0].start + cycle_ps]


def _is_tight(windows: Sequence[_Piece], cycle_ps: int, least_ps: int) -> bool:
    """Say whether a window, or what is behind it, is shorter than an entry should be."""
    return any(
        window.end - window.start < least_ps or 0 < following - window.end < least_ps
        for window, following in zip(windows, _nexts(windows, cycle_ps), strict=True)
    )


def _uses(
    problem: GateProblem, plans: tuple[GateStreamPlan, ...], cycle_ps: int, names: set[str]
) -> _Uses:
    """Return when the queues of some ports are in use, from the begin of each port's list on."""
    uses: _Uses = defaultdict(list)
    if not names:
        return uses
    ports = {port.name: port for port in problem.ports}
    for stream, plan in zip(problem.streams, plans, strict=True):
        before = followed(stream, [ports[name] for name in plan.ports])
        for hop, name in enumerate(plan.ports):
            if name not in names:
                continue
            port = ports[name]
            length = problem.window_ps(stream, port)
            near = before[hop]
            reach = problem.reach_ps(ports[plan.ports[near]], port) if near >= 0 else 0
            for frame in plan.starts_ps:
                first = frame[near] + reach if near >= 0 else frame[hop]
                begin, end = first - port.phase_ps, frame[hop] + length - port.phase_ps
                uses[name, 1 << plan.queues[hop]] += _within(begin, end, cycle_ps)
    return {key: sorted(pieces) for key, pieces in uses.items()}


def _within(begin: int, end: int, cycle_ps: int) -> list[tuple[int, int]]:
    """Cut a time that is no longer than the cycle into one or two pieces within it."""
    low = begin % cycle_ps
    high = low + end - begin
    if high <= cycle_ps:
        return [(low, high)]
    return [(low, cycle_ps), (0, high - cycle_ps)]


def _stretched(
    name: str, windows: Sequence[_Piece], cycle_ps: int, least_ps: int, uses: _Uses
) -> list[_Piece]:
    """Leave gates open a little longer, so that neither window nor pause is too short."""
    made = []
    for window, following in zip(windows, _nexts(windows, cycle_ps), strict=True):
        pause_ps = following - window.end
        more_ps = max(least_ps - (window.end - window.start), 0)
        if 0 < pause_ps - more_ps < least_ps:
            more_ps = pause_ps
        if more_ps and more_ps <= min(pause_ps, 2 * least_ps - 1):
            behind = _within(window.end, window.end + more_ps, cycle_ps)
            if all(_is_free(uses[name, window.states], *piece) for piece in behind):
                made.append(window._replace(end=window.end + more_ps))
                continue
        made.append(window)
    return made


def _is_free(pieces: Sequence[tuple[int, int]], low: int, high: int) -> bool:
    index = bisect_right(pieces, low, key=lambda piece: piece[1])
    return index == len(pieces) or pieces[index][0] >= high


def _fitting(
    windows: Sequence[_Piece],
    cycle_ps: int,
    idle: int,
    lengths_ps: tuple[int, int],
    entries_max: int | None,
) -> list[tuple[int, int]]:
    """Return the entries; where they are too many, the shortest pauses stay closed for others."""
    guard_ps, least_ps = lengths_ps
    nexts = _nexts(windows, cycle_ps)
    open_ps = [
        following - window.end - guard_ps if idle else 0
        for window, following in zip(windows, nexts, strict=True)
    ]
    # A short time before a guard is of no use; without a guard there is nothing to join it to.
    open_ps = [0 if length < (least_ps if guard_ps else 1) else length for length in open_ps]
    entries = _entries(windows, nexts, open_ps, cycle_ps, idle)
    if entries_max is not None and len(entries) > entries_max and guard_ps:
        for _, place in sorted((length, place) for place, length in enumerate(open_ps) if length):
            open_ps[place] = 0
            entries = _entries(windows, nexts, open_ps, cycle_ps, idle)
            if len(entries) <= entries_max:
                break
    return entries


def _entries(
    windows: Sequence[_Piece],
    nexts: Sequence[int],
    open_ps: Sequence[int],
    cycle_ps: int,
    idle: int,
) -> list[tuple[int, int]]:
    """Fill the cycle: windows, and between them pauses that are open first and then closed."""
    early: list[_Piece] = []
    late: list[_Piece] = []
    for window, following, length in zip(windows, nexts, open_ps, strict=True):
        closes = window.end + length
        for piece in (window, _Piece(window.end, closes, idle), _Piece(closes, following, 0)):
            # Times from the end of the cycle on are its begin.
            if piece.end > cycle_ps:
                low = max(piece.start - cycle_ps, 0)
                early.append(_Piece(low, piece.end - cycle_ps, piece.states))
            if piece.start < cycle_ps:
                late.append(piece._replace(end=min(piece.end, cycle_ps)))
    entries: list[tuple[int, int]] = []
    for piece in (*early, *late):
        if piece.end == piece.start:
            continue
        if entries and entries[-1][1] == piece.states:
            entries[-1] = (entries[-1][0] + piece.end - piece.start, piece.states)
        else:
            entries.append((piece.end - piece.start, piece.states))
    return entries


def _with_holds(entries: list[tuple[int, int]], used: int, held: int) -> list[tuple[int, int]]:
    """Leave the gates of some queues open all the time, and hold their frames in the windows."""
    return [(length, states | held | (HELD if states & used else 0)) for length, states in entries]
