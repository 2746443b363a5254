"""Prove a gate plan: go through every frame of the cycle and every entry of every gate list.

Nothing in a plan is believed. The arithmetic is plain integers, and the search is the plainest
there is: frames are laid out in order and neighbours are compared.

The rules, with p the period, `start[h]` and `line[h]` begin and length of a transmission:

- *route*: ports that exist, from source to target, no node twice. With several targets they are a
  tree: each port is behind the one that leads to its node, no node is entered twice, and every
  branch ends at a target.
- *release*: frame k begins to leave the talker in [k p, (k + 1) p), at each port of a tree there.
- *order*: `start[h + 1] >= start[h] + line[h] + propagation + processing`, equal without waiting.
- *overlap*: transmissions of one port never meet, also not round the end of the cycle.
- *deadline*, *jitter*: last bit in minus first bit out, and how much that differs, by target.
- *queue*: a frame has its queue from when its first bit may be there (one propagation and
  processing after it begins to leave the port before) to the end of its own transmission; no
  other frame does, or with isolation by stream no other stream ever does.
- *gates*: while a frame is sent its gate is open and no other; at all other times the gates of
  queues that streams use are closed, and others only open where no window is near: from the guard
  before a window on they are closed. Behind a window its gate may stay open for less than 120
  bytes while no frame can be in its queue: bridges refuse entries that are shorter than 60.
- *limit*: the list is not longer than the port allows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from math import lcm
from typing import NamedTuple

from qnet.check.gate_hops import GatedHop, guard_of, hops_of, shortest_of
from qnet.model.gates import (
    HELD,
    GateFinding,
    GateList,
    GatePlan,
    GatePort,
    GateProblem,
    GateProof,
    GateRule,
    GateStream,
    GateStreamPlan,
    GateStreamProof,
)
from qnet.units import TIME, format_quantity

FINDINGS_PER_PLACE = 20
"""More findings than this of one rule at one place are counted, not listed."""


LINGERS = 2
"""Times 60 bytes that a gate may stay open behind a window, while its queue is surely empty."""


class _Use(NamedTuple):
    """Something is taken from `start` to `end`, both within the cycle."""

    start: int
    end: int
    queue: int
    stream: str
    frame: int


class _Moment(NamedTuple):
    """Gate states from `low` to `high`, the window that is open, the one before, the next begin."""

    low: int
    high: int
    states: int
    here: _Use | None
    behind: _Use | None
    ahead: int | None


class _Findings:
    def __init__(self) -> None:
        self._found: list[GateFinding] = []
        self._count: Counter[tuple[str, str]] = Counter()

    def add(self, rule: GateRule, subject: str, message: str) -> None:
        self._count[rule, subject] += 1
        if self._count[rule, subject] <= FINDINGS_PER_PLACE:
            self._found.append(GateFinding(rule=rule, subject=subject, message=message))

    def all(self) -> tuple[GateFinding, ...]:
        return tuple(self._found)


class _Uses:
    """What ports and their queues do over one cycle."""

    def __init__(self) -> None:
        self.line: dict[str, list[_Use]] = defaultdict(list)
        self.queue: dict[tuple[str, int], list[_Use]] = defaultdict(list)


def check_gates(problem: GateProblem, plan: GatePlan) -> GateProof:
    """Return the exact latencies of every stream and every rule that the plan breaks."""
    findings = _Findings()
    cycle = lcm(*(stream.period_ps for stream in problem.streams)) if problem.streams else 1
    names = [stream.name for stream in problem.streams]
    ports = {port.name: port for port in problem.ports}
    if len(set(names)) < len(names) or len(ports) < len(problem.ports):
        findings.add("inputs", "problem", "a name stands for two streams or two ports")
    if [made.name for made in plan.streams] != names:
        findings.add("inputs", "plan", "its streams are not those of the problem, in that order")
    if plan.cycle_ps != cycle:
        message = f"its cycle is {_time(plan.cycle_ps)}, the periods repeat after {_time(cycle)}"
        findings.add("inputs", "plan", message)
    if findings.all():
        return GateProof(streams=(), findings=findings.all())
    uses = _Uses()
    proofs = []
    for stream, made in zip(problem.streams, plan.streams, strict=True):
        route = _route(ports, stream, made, findings, frames=cycle // stream.period_ps)
        took: list[list[int]] = [[] for _ in stream.targets]
        if route:
            behind = _behind(route)
            hops = hops_of(problem, stream, route, behind)
            _follow(problem, stream, made, (hops, behind), findings)
            took = [
                _arrive(stream, made, (hops, behind), target, findings) for target in stream.targets
            ]
            _note(stream, made, (hops, behind), cycle, uses)
        for target, latencies in zip(stream.targets, took, strict=True):
            proofs.append(
                GateStreamProof(
                    name=_leg(stream, target),
                    latency_ps_min=min(latencies, default=None),
                    latency_ps_max=max(latencies, default=None),
                )
            )
    _compare(problem, uses, findings)
    _gates(problem, plan, ports, cycle, uses, findings)
    return GateProof(streams=tuple(proofs), findings=findings.all())


def _time(time_ps: int) -> str:
    return format_quantity(TIME, time_ps) if time_ps >= 0 else f"{time_ps} ps"


def _route(
    ports: dict[str, GatePort],
    stream: GateStream,
    made: GateStreamPlan,
    findings: _Findings,
    *,
    frames: int,
) -> list[GatePort]:
    """Return the ports of a scheduled stream, or nothing when they make no sense."""
    if made.status == "refused":
        if made.ports or made.queues or made.starts_ps:
            findings.add("inputs", stream.name, "is refused and has a route all the same")
        return []
    if not _shape_is_good(ports, stream, made, findings, frames=frames):
        return []
    route = [ports[name] for name in made.ports]
    if not _joins(stream, route):
        noun = "simple route" if len(stream.targets) == 1 else "tree"
        ends = f"from {stream.source} to {', '.join(stream.targets)}"
        message = f"{' '.join(made.ports)} is no {noun} {ends}"
        findings.add("route", stream.name, message)
        return []
    wrong = [
        f"{queue} of {port.name}"
        for port, queue in zip(route, made.queues, strict=True)
        if not port.other_queues <= queue < port.queues
    ]
    if wrong:
        findings.add("queue", stream.name, f"no such queue: {', '.join(wrong)}")
        return []
    return route


def _joins(stream: GateStream, route: list[GatePort]) -> bool:
    """Say whether ports lead from a stream's source to all of its targets, and nowhere else."""
    entered = [stream.source]
    left = Counter[str]()
    for port in route:
        if port.source not in entered or port.target in entered:
            return False
        entered.append(port.target)
        left[port.source] += 1
    if any(target not in entered[1:] for target in stream.targets):
        return False
    if any(node not in stream.targets and not left[node] for node in entered):
        return False
    # To one target there is nothing to copy.
    return len(stream.targets) > 1 or (max(left.values()) == 1 and not left[stream.targets[0]])


def _behind(route: list[GatePort]) -> list[int]:
    """Return for each port the place of the one that frames come to it by, -1 at the source."""
    places = []
    for port in route:
        into = [place for place, near in enumerate(route) if near.target == port.source]
        places.append(into[0] if into else -1)
    return places


def _leg(stream: GateStream, target: str) -> str:
    return stream.name if len(stream.targets) == 1 else f"{stream.name}@{target}"


def _shape_is_good(
    ports: dict[str, GatePort],
    stream: GateStream,
    made: GateStreamPlan,
    findings: _Findings,
    *,
    frames: int,
) -> bool:
    """Say whether there is a known port, a queue and a start wherever there should be one."""
    unknown = [name for name in made.ports if name not in ports]
    hops = len(made.ports)
    if unknown or not hops:
        findings.add("route", stream.name, f"no such port: {', '.join(unknown) or '(no route)'}")
    elif len(made.queues) != hops or any(len(frame) != hops for frame in made.starts_ps):
        findings.add("inputs", stream.name, "has not one queue and one start for each port")
    elif len(made.starts_ps) != frames:
        found = len(made.starts_ps)
        findings.add("inputs", stream.name, f"has {found} frames, {frames} periods are in a cycle")
    else:
        return True
    return False


_Way = tuple[list[GatedHop], list[int]]
"""Hops, and for each the place of the one that frames come by."""


def _follow(
    problem: GateProblem,
    stream: GateStream,
    made: GateStreamPlan,
    way: _Way,
    findings: _Findings,
) -> None:
    """Go along the way with each frame."""
    for number, starts in enumerate(made.starts_ps):
        low = number * stream.period_ps
        for start, hop, place in zip(starts, *way, strict=True):
            if place < 0:
                if not low <= start < low + stream.period_ps:
                    message = f"frame {number} is sent at {_time(start)}, outside its period"
                    findings.add("release", stream.name, message)
                continue
            ready = starts[place] + hop.way_most
            if start < ready or (not problem.waiting and start > ready + hop.rounding):
                relation = "not before" if problem.waiting else "exactly at"
                message = (
                    f"frame {number} leaves {hop.port.name} at {_time(start)}; "
                    f"it must do so {relation} {_time(ready)}"
                )
                findings.add("order", stream.name, message)


def _arrive(
    stream: GateStream, made: GateStreamPlan, way: _Way, target: str, findings: _Findings
) -> list[int]:
    """Return how long each frame takes to a target, held against what is allowed."""
    hops, behind = way
    last = next(place for place, hop in enumerate(hops) if hop.port.target == target)
    first = last
    while behind[first] >= 0:
        first = behind[first]
    latencies = []
    for number, starts in enumerate(made.starts_ps):
        last_bit = starts[last] + hops[last].last_bit
        latencies.append(last_bit + hops[last].port.propagation_ps - starts[first])
        if latencies[-1] > stream.deadline_ps:
            message = f"frame {number} takes {_time(latencies[-1])} of {_time(stream.deadline_ps)}"
            findings.add("deadline", _leg(stream, target), message)
    variation = max(latencies) - min(latencies)
    if variation > stream.jitter_ps:
        message = f"latency differs by {_time(variation)}, {_time(stream.jitter_ps)} is allowed"
        findings.add("jitter", _leg(stream, target), message)
    return latencies


def _note(stream: GateStream, made: GateStreamPlan, way: _Way, cycle: int, uses: _Uses) -> None:
    """Write down when a stream takes ports and queues, as time counts in their gate lists."""
    for number, starts in enumerate(made.starts_ps):
        for start, queue, hop, place in zip(starts, made.queues, *way, strict=True):
            first_bit = start if place < 0 else starts[place] + hop.way_least
            phase = hop.port.phase_ps
            end = start + hop.window - phase
            line = uses.line[hop.port.name]
            for low, high in _folded(start - phase, end, cycle):
                line.append(_Use(low, high, queue, stream.name, number))
            taken = uses.queue[hop.port.name, queue]
            for low, high in _folded(first_bit - phase, end, cycle):
                taken.append(_Use(low, high, queue, stream.name, number))


def _folded(start: int, end: int, cycle: int) -> list[tuple[int, int]]:
    """Cut a time into pieces that lie within the cycle; all of it where that is as long."""
    if end - start >= cycle:
        return [(0, cycle)]
    pieces = []
    while start < end:
        low = start % cycle
        length = min(end - start, cycle - low)
        pieces.append((low, low + length))
        start += length
    return pieces


def _compare(problem: GateProblem, uses: _Uses, findings: _Findings) -> None:
    """Find transmissions that meet and queues that are shared."""
    for name, taken in sorted(uses.line.items()):
        for first, second in _meetings(taken):
            message = f"{_label(first)} and {_label(second)} are both sent at {_time(second.start)}"
            findings.add("overlap", name, message)
    for (name, queue), taken in sorted(uses.queue.items()):
        subject = f"{name} queue {queue}"
        for first, second in _meetings(taken):
            message = (
                f"{_label(first)} and {_label(second)} are both in it at {_time(second.start)}"
            )
            findings.add("queue", subject, message)
        owners = sorted({use.stream for use in taken})
        if problem.isolation == "stream" and len(owners) > 1:
            findings.add("queue", subject, f"serves {len(owners)} streams: {', '.join(owners)}")


def _meetings(uses: list[_Use]) -> list[tuple[_Use, _Use]]:
    """Return every use that begins before all earlier ones have ended, with the one to blame."""
    met = []
    longest: _Use | None = None
    for use in sorted(uses):
        if longest is not None and use.start < longest.end:
            met.append((longest, use))
        if longest is None or use.end > longest.end:
            longest = use
    return met


def _label(use: _Use) -> str:
    return f"{use.stream} frame {use.frame}"


def _gates(
    problem: GateProblem,
    plan: GatePlan,
    ports: dict[str, GatePort],
    cycle: int,
    uses: _Uses,
    findings: _Findings,
) -> None:
    """Compare every gate list with what its port sends."""
    lists = {made.port: made for made in plan.gates}
    if len(lists) < len(plan.gates):
        findings.add("gates", "plan", "a port has two gate lists")
    for name in sorted(set(lists) | set(uses.line)):
        made = lists.get(name)
        if name not in ports:
            findings.add("gates", name, "no such port")
        elif made is None:
            findings.add("gates", name, "streams use this port and it has no gate list")
        else:
            _gate_list(problem, ports[name], made, cycle, uses, findings)


def _gate_list(
    problem: GateProblem,
    port: GatePort,
    made: GateList,
    cycle: int,
    uses: _Uses,
    findings: _Findings,
) -> None:
    """Compare one list with the windows of its port."""
    if port.entries_max is not None and len(made.entries) > port.entries_max:
        message = f"its list has {len(made.entries)} entries, it holds {port.entries_max}"
        findings.add("limit", port.name, message)
    if any(
        entry.interval_ps <= 0 or not 0 <= entry.states & ~HELD < 1 << port.queues
        for entry in made.entries
    ):
        findings.add("gates", port.name, "an entry has no length or gates that do not exist")
        return
    if sum(entry.interval_ps for entry in made.entries) != cycle:
        findings.add("gates", port.name, f"its entries do not add up to {_time(cycle)}")
        return
    windows = sorted(uses.line.get(port.name, []))
    if _meetings(windows):
        return
    used = 0
    for window in windows:
        used |= 1 << window.queue
    guard = guard_of(problem, port)
    for moment in _moments(made, windows, cycle, guard):
        gates = moment.states & ~HELD & ~problem.held_queues
        wrong = _wrong(gates, used, moment.here)
        if moment.here is not None and problem.held_queues and not moment.states & HELD:
            wrong = wrong or "where preemptable frames are not held"
        if wrong and moment.here is None and _lingers(problem, port, gates, moment, uses):
            continue
        if wrong is None and moment.here is None and gates:
            if problem.guard_bytes is None:
                wrong = "without a guard for what may be sent then"
            elif moment.ahead is not None and moment.low >= moment.ahead - guard:
                wrong = "within the guard of the next window"
        if wrong is not None:
            findings.add("gates", port.name, f"{moment.states:08b} at {_time(moment.low)}, {wrong}")


def _lingers(
    problem: GateProblem, port: GatePort, gates: int, moment: _Moment, uses: _Uses
) -> bool:
    """Say whether all that is open is the gate of the last window, and its queue is empty.

    Only for a pause that is too short to be an entry of its own.
    """
    behind = moment.behind
    if behind is None or gates != 1 << behind.queue:
        return False
    if moment.high - behind.end >= LINGERS * shortest_of(problem, port):
        return False
    taken = uses.queue[port.name, behind.queue]
    return not any(use.start < moment.high and moment.low < use.end for use in taken)


def _wrong(states: int, used: int, here: _Use | None) -> str | None:
    """Say what is wrong with the gates of the queues that streams use."""
    if here is not None and states != 1 << here.queue:
        return f"where only queue {here.queue} may send"
    if here is None and states & used:
        return "where no stream has a window"
    return None


def _moments(made: GateList, windows: list[_Use], cycle: int, guard: int) -> Iterator[_Moment]:
    """Cut the cycle wherever something changes; between two cuts nothing does."""
    edges = {0, cycle}
    time = 0
    for entry in made.entries:
        time += entry.interval_ps
        edges.add(time)
    for window in windows:
        edges |= {window.start, window.end, (window.start - guard) % cycle}
    begins = [window.start for window in windows]
    begins += [begin + cycle for begin in begins]
    behind = None
    if windows:
        last = windows[-1]
        behind = last._replace(start=last.start - cycle, end=last.end - cycle)
    entry_index, entry_end, window_index, begin_index = -1, 0, 0, 0
    for low, high in pairwise(sorted(edges)):
        while entry_end <= low:
            entry_index += 1
            entry_end += made.entries[entry_index].interval_ps
        while window_index < len(windows) and windows[window_index].end <= low:
            behind = windows[window_index]
            window_index += 1
        while begin_index < len(begins) and begins[begin_index] < low:
            begin_index += 1
        here = None
        if window_index < len(windows) and windows[window_index].start <= low:
            here = windows[window_index]
        ahead = begins[begin_index] if begin_index < len(begins) else None
        yield _Moment(low, high, made.entries[entry_index].states, here, behind, ahead)
