"""Schedules as tsnkit writes them, read with their problem, so that they can be judged.

OFFSET says when a frame leaves its talker, after the begin of its period; GCL when the gate of a
queue is open; QUEUE and ROUTE where a frame goes. None says which window is whose. So the frames
are followed: at the talker they leave when OFFSET says, gate or no gate. In bridges a queue is
first in, first out, a frame leaves when its gate stays open for all of it and the port is free,
and of two queues the higher goes first. DELAY is not read: it repeats what follows from the
others, and tsnkit's `dt` gives it frame numbers that mean nothing.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from qnet import __version__
from qnet.errors import InputError, Problem
from qnet.formats.tsnkit import LINK, CsvRows
from qnet.model.gates import (
    GateEntry,
    GateList,
    GatePlan,
    GatePort,
    GateProblem,
    GateStream,
    GateStreamPlan,
)
from qnet.units import PS_PER_NS

COLUMNS = {
    "GCL.csv": ("link", "queue", "start", "end", "cycle"),
    "OFFSET.csv": ("stream", "frame", "offset"),
    "ROUTE.csv": ("stream", "link"),
    "QUEUE.csv": ("stream", "frame", "link", "queue"),
}

TURNS = 8
"""Cycles that are played; what is planned is the one in the middle."""


class _Way(NamedTuple):
    """What the files say of one stream; `offsets_ps` has one for each frame of the cycle."""

    stream: GateStream
    ports: list[GatePort]
    queues: list[int]
    offsets_ps: list[int]


Windows = dict[tuple[str, int], list[tuple[int, int]]]
"""When the gate of a queue of a port is open, in order; over the end of the cycle as two."""


def read_schedule(
    problem: GateProblem, texts: Mapping[str, str], names: Mapping[str, str]
) -> GatePlan:
    """Turn the texts of GCL, OFFSET, ROUTE and QUEUE, keyed like 'GCL.csv', into a plan.

    `names` are the names of the files in messages. A stream with a frame for which no gate opens is
    refused in the plan. Raises InputError with all faults of all files, each at its line.
    """
    cycle = problem.common_cycle_ps()
    files = {kind: CsvRows(names[kind], texts[kind], columns) for kind, columns in COLUMNS.items()}
    windows = _windows(files["GCL.csv"], problem, cycle)
    ways = _ways(files, problem, cycle)
    faults = [fault for rows in files.values() for fault in rows.problems]
    if faults:
        raise InputError(faults)
    return GatePlan(
        qnet_version=__version__,
        seed=0,
        cycle_ps=cycle,
        streams=tuple(_follow(problem, ways, windows, cycle)),
        gates=tuple(_gate_lists(problem, windows, cycle)),
    )


# The files


def _port(
    rows: CsvRows, line: int, row: Mapping[str, str], ports: Mapping[str, GatePort]
) -> GatePort | None:
    text = row.get("link", "")
    match = LINK.fullmatch(text)
    name = f"{int(match[1])}->{int(match[2])}" if match else ""
    if match is None:
        rows.fault(line, "link", f"'{text[:40]}' is not a link; write it like '(0, 1)'")
    elif name not in ports:
        rows.fault(line, "link", f"the problem has no link {text}")
    return ports.get(name)


def _queue(rows: CsvRows, line: int, row: Mapping[str, str], port: GatePort | None) -> int:
    queue = rows.whole(line, row, "queue", 0)
    if port is not None and queue >= port.queues:
        rows.fault(line, "queue", f"{queue}; port {port.name} has 0 to {port.queues - 1}")
    return queue


def _windows(rows: CsvRows, problem: GateProblem, cycle_ps: int) -> Windows:
    """Read when gates are open; windows of one queue that touch or overlap become one."""
    ports = _by_numbers(problem)
    found: Windows = defaultdict(list)
    for line, row in rows.rows:
        port = _port(rows, line, row, ports)
        queue = _queue(rows, line, row, port)
        start = rows.whole(line, row, "start", 0) * PS_PER_NS
        end = rows.whole(line, row, "end", 0) * PS_PER_NS
        cycle = rows.whole(line, row, "cycle", 1) * PS_PER_NS
        if cycle != cycle_ps:
            message = f"{_ns(cycle)}; the periods repeat after {_ns(cycle_ps)}"
            rows.fault(line, "cycle", message)
        if not start < end <= start + cycle_ps:
            message = f"{_ns(end)}; after the start and at most a cycle later"
            rows.fault(line, "end", message)
        elif port is not None:
            low = start % cycle_ps
            high = low + end - start
            found[port.name, queue].append((low, min(high, cycle_ps)))
            if high > cycle_ps:
                found[port.name, queue].append((0, high - cycle_ps))
    return {key: _joined(pieces) for key, pieces in found.items()}


def _joined(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _by_numbers(problem: GateProblem) -> dict[str, GatePort]:
    return {f"{_plain(port.source)}->{_plain(port.target)}": port for port in problem.ports}


def _plain(name: str) -> str:
    """Return a number as tsnkit writes it; a node or stream with another name is never met."""
    return name.lstrip("0") or "0" if name.isascii() and name.isdigit() else name


def _ways(files: Mapping[str, CsvRows], problem: GateProblem, cycle_ps: int) -> list[_Way]:
    """Read where each stream goes, in which queues, and when it is sent."""
    ports = _by_numbers(problem)
    numbers = {_plain(stream.name) for stream in problem.streams}
    links: dict[str, list[GatePort]] = defaultdict(list)
    for line, row, name in _of_streams(files["ROUTE.csv"], numbers):
        port = _port(files["ROUTE.csv"], line, row, ports)
        if port in links[name]:
            files["ROUTE.csv"].fault(line, "link", f"twice in the route of stream {name}")
        elif port is not None:
            links[name].append(port)
    queues: dict[tuple[str, str], int] = {}
    for line, row, name in _of_streams(files["QUEUE.csv"], numbers):
        port = _port(files["QUEUE.csv"], line, row, ports)
        queue = _queue(files["QUEUE.csv"], line, row, port)
        if port is not None and queues.setdefault((name, port.name), queue) != queue:
            message = f"{queue} after {queues[name, port.name]}; all frames of a stream share one"
            files["QUEUE.csv"].fault(line, "queue", message)
    offsets: dict[str, dict[int, int]] = defaultdict(dict)
    for line, row, name in _of_streams(files["OFFSET.csv"], numbers):
        frame = files["OFFSET.csv"].whole(line, row, "frame", 0)
        offset = files["OFFSET.csv"].whole(line, row, "offset", 0) * PS_PER_NS
        if frame in offsets[name]:
            files["OFFSET.csv"].fault(line, "frame", f"{frame} of stream {name} twice")
        offsets[name][frame] = offset
    return [
        _way(files, stream, links[name], queues, offsets[name], cycle_ps // stream.period_ps)
        for stream in problem.streams
        for name in (_plain(stream.name),)
    ]


def _of_streams(rows: CsvRows, numbers: set[str]) -> list[tuple[int, dict[str, str], str]]:
    found = []
    for line, row in rows.rows:
        name = str(rows.whole(line, row, "stream", 0))
        if name not in numbers and row.get("stream", "")[:1].isdigit():
            rows.fault(line, "stream", f"the problem has no stream {name}")
        found.append((line, row, name))
    return found


def _way(
    files: Mapping[str, CsvRows],
    stream: GateStream,
    links: Sequence[GatePort],
    queues: Mapping[tuple[str, str], int],
    offsets: Mapping[int, int],
    frames: int,
) -> _Way:
    """Put the links of a route in order, and give each a queue and each frame its offset."""
    name = _plain(stream.name)
    route = _in_order(stream, links)
    reached = {port.target for port in route}
    if not reached.issuperset(stream.targets) or len(route) < len(links):
        shown = " ".join(port.name for port in links) or "nothing"
        ends = f"from {stream.source} to {', '.join(stream.targets)}"
        message = f"{shown} is no way of stream {name} {ends}"
        _whole_file(files["ROUTE.csv"], message)
    missing = [port.name for port in route if (name, port.name) not in queues]
    if missing:
        _whole_file(files["QUEUE.csv"], f"no queue of stream {name} at {', '.join(missing)}")
    # One offset may stand for all frames: frame k has that of k modulo their number.
    count = len(offsets)
    if sorted(offsets) != list(range(count)) or count == 0 or frames % count:
        found = ", ".join(map(str, sorted(offsets))) or "none"
        message = f"stream {name} has {frames} frames in a cycle; offsets are given for {found}"
        _whole_file(files["OFFSET.csv"], message)
        return _Way(stream, [], [], [])
    return _Way(
        stream,
        route,
        [queues.get((name, port.name), 0) for port in route],
        [frame * stream.period_ps + offsets[frame % count] for frame in range(frames)],
    )


def _in_order(stream: GateStream, links: Sequence[GatePort]) -> list[GatePort]:
    """Put links behind those that lead to them; to one listener none is left where ways part."""
    left = list(links)
    if len(stream.targets) == 1:
        left = list({port.source: port for port in links}.values())
    route: list[GatePort] = []
    reached = {stream.source}
    while True:
        found = [port for port in left if port.source in reached and port.target not in reached]
        if not found:
            return route
        route.append(found[0])
        left.remove(found[0])
        reached.add(found[0].target)


def _whole_file(rows: CsvRows, message: str) -> None:
    """Note a fault that has no line, unless the file has others that may be the cause."""
    if all(problem.line == 0 for problem in rows.problems):
        rows.problems.append(Problem(rows.name, 0, 0, "", message))


def _ns(time_ps: int) -> int:
    return time_ps // PS_PER_NS


# The frames


class _Bridges:
    """Queues and gates of all ports, played event by event.

    An event is (time, 0, way, frame, hop) for a frame that comes into a queue, and (time, 1, port,
    0, 0) for a port that may have something to send: at one instant all frames come in first.
    """

    def __init__(
        self, problem: GateProblem, ways: Sequence[_Way], windows: Windows, cycle_ps: int
    ) -> None:
        self._problem, self._ways, self._windows = problem, ways, windows
        self._cycle_ps = cycle_ps
        self._index = {port.name: index for index, port in enumerate(problem.ports)}
        self._waiting: dict[tuple[int, int], deque[tuple[int, int, int]]] = defaultdict(deque)
        self._free_ps: dict[int, int] = defaultdict(int)
        self._events: list[tuple[int, int, int, int, int]] = []
        self._noted: set[tuple[int, int]] = set()
        self.starts: dict[tuple[int, int, int], int] = {}
        self._behind = [[_leaving(way.ports, port.target) for port in way.ports] for way in ways]

    def send(self, way: int, frame: int, hop: int, time_ps: int) -> None:
        """Let a frame begin to leave, and note when it is in the next queue."""
        self.starts[way, frame, hop] = time_ps
        stream, ports = self._ways[way].stream, self._ways[way].ports
        for behind in self._behind[way][hop]:
            ready = time_ps + self._problem.ready_ps(stream, ports[hop], ports[behind])
            heapq.heappush(self._events, (ready, 0, way, frame, behind))

    def play(self) -> None:
        """Go on until all frames are through or wait for ever."""
        while self._events:
            time, kind, first, frame, hop = heapq.heappop(self._events)
            if kind == 0:
                way = self._ways[first]
                port = self._index[way.ports[hop].name]
                self._waiting[port, way.queues[hop]].append((first, frame, hop))
                self._note(time, port)
            elif self._free_ps[first] <= time:
                self._choose(first, time)

    def _note(self, time_ps: int, port: int) -> None:
        if (time_ps, port) not in self._noted:
            self._noted.add((time_ps, port))
            heapq.heappush(self._events, (time_ps, 1, port, 0, 0))

    def _choose(self, number: int, now_ps: int) -> None:
        """Send what may leave a port now, or look again when something may."""
        port = self._problem.ports[number]
        choices = []
        for queue in range(port.queues):
            line = self._waiting.get((number, queue))
            if line:
                length = self._problem.window_ps(self._ways[line[0][0]].stream, port)
                start = self._opening(port.name, queue, now_ps, length)
                if start is not None:
                    choices.append((start, -queue, length))
        if not choices:
            return
        start, minus, length = min(choices)
        if start > now_ps:
            self._note(start, number)
            return
        way, frame, hop = self._waiting[number, -minus].popleft()
        self._free_ps[number] = start + length
        self._note(start + length, number)
        self.send(way, frame, hop, start)

    def _opening(self, port: str, queue: int, time_ps: int, length_ps: int) -> int | None:
        """Return the first time from which a gate stays open so long, if there is one."""
        spans = self._windows.get((port, queue), [])
        if spans == [(0, self._cycle_ps)]:
            return time_ps
        turn, within = divmod(time_ps, self._cycle_ps)
        first = bisect_right(spans, within, key=_end)
        for step in range(first - 1, first + len(spans) + 1):
            lap, number = divmod(step, max(len(spans), 1))
            if not spans:
                break
            low, high = spans[number]
            if high == self._cycle_ps and spans[0][0] == 0:
                high += spans[0][1]
            begin = (turn + lap) * self._cycle_ps
            start = max(time_ps, begin + low)
            if start + length_ps <= begin + high:
                return start
        return None


def _leaving(ports: Sequence[GatePort], node: str) -> list[int]:
    """Return the places of the ports by which a node sends."""
    return [place for place, port in enumerate(ports) if port.source == node]


def _end(span: tuple[int, int]) -> int:
    return span[1]


def _follow(
    problem: GateProblem, ways: Sequence[_Way], windows: Windows, cycle_ps: int
) -> list[GateStreamPlan]:
    """Follow the frames over some cycles; plan what one in the middle does, as the next one does.

    What came before time 0 must be there and what comes after must be able to get in the way.
    """
    bridges = _Bridges(problem, ways, windows, cycle_ps)
    for index, way in enumerate(ways):
        frames = len(way.offsets_ps)
        for number in range(TURNS * frames):
            turn, frame = divmod(number, frames)
            for hop in _leaving(way.ports, way.stream.source):
                bridges.send(index, number, hop, turn * cycle_ps + way.offsets_ps[frame])
    bridges.play()
    plans = []
    for index, way in enumerate(ways):
        frames = len(way.offsets_ps)
        begin = TURNS // 2 * frames
        reason = None
        rows = []
        for number in range(begin, begin + frames):
            starts = []
            for hop, port in enumerate(way.ports):
                start = bridges.starts.get((index, number, hop))
                after = bridges.starts.get((index, number + frames, hop))
                where = f"queue {way.queues[hop]} of {port.name}"
                if start is None:
                    reason = f"frame {number - begin} never leaves {where}: no gate opens for it"
                    break
                if after != start + cycle_ps:
                    reason = f"frame {number - begin} leaves {where} at another time in each cycle"
                    break
                starts.append(start - TURNS // 2 * cycle_ps)
            if reason is not None:
                break
            rows.append(tuple(starts))
        name = way.stream.name
        if reason is not None:
            plans.append(GateStreamPlan(name=name, status="refused", reason=reason))
            continue
        plans.append(
            GateStreamPlan(
                name=name,
                status="scheduled",
                ports=tuple(port.name for port in way.ports),
                queues=tuple(way.queues),
                starts_ps=tuple(rows),
            )
        )
    return plans


# The gate lists


def _gate_lists(problem: GateProblem, windows: Windows, cycle_ps: int) -> list[GateList]:
    """Write the list of every port that has windows: the gates that are open between two edges."""
    lists = []
    for port in problem.ports:
        changes: dict[int, int] = {0: 0, cycle_ps: 0}
        for queue in range(port.queues):
            for start, end in windows.get((port.name, queue), []):
                # A list counts from the port's phase on. Where two windows touch there, both
                # changes of the gate fall together and it stays open.
                low = (start - port.phase_ps) % cycle_ps
                high = low + end - start
                pieces = [(low, min(high, cycle_ps)), (0, max(high - cycle_ps, 0))]
                for edge in (edge for piece in pieces for edge in piece):
                    changes[edge] = changes.get(edge, 0) ^ 1 << queue
        states, entries = 0, []
        for low, high in pairwise(sorted(changes)):
            states ^= changes[low]
            entries.append(GateEntry(high - low, states))
        if any(entry.states for entry in entries):
            lists.append(GateList(port=port.name, entries=tuple(entries)))
    return lists
