"""Small problems searched to the end: a plan for all streams, or the proof that there is none.

Every frame has a variable for its start at each port (one for all ports where nothing waits). What
must be apart is a disjunction: the one, or the other, or the one a cycle later comes first. The
search keeps the least differences of all pairs of variables that follow from what was decided
(longest paths, in integers), and takes the earliest times that they allow. Where these break a
disjunction, each of its alternatives is tried in turn; alternatives that the differences exclude
are dropped, and what has only one left is decided at once. When every alternative of some
disjunction is gone there is no plan below that decision. Work is counted, not timed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.model.gates import GatePort, GateProblem, GateStream
from qnet.schedule.qbv.bounds import Choice, Times, ends, followed

Int64s = NDArray[np.int64]

STREAMS_MAX = 12
STARTS_MAX = 160
"""Variables of a problem that counts as small."""

WAYS_MAX = 4096
"""Choices of routes and queues for all streams together."""

WORK_MAX = 5 * 10**8
"""Differences that are looked at, some thousand more for each look; a few seconds."""

SECOND_WORK_MAX = 2 * 10**8
"""The same for the second attempt, which decides the pairs in another order."""

LOOK = 4000

NEVER = -(10**17)
"""A difference that is not bounded."""


class Placed(NamedTuple):
    """Where one stream goes: ports by index, queues, and starts by frame and hop."""

    route: tuple[int, ...]
    queues: tuple[int, ...]
    starts_ps: tuple[tuple[int, ...], ...]


class GatesAnswer(NamedTuple):
    """All streams placed, or the word that this cannot be, or neither: the work was used up."""

    placed: tuple[Placed, ...] | None
    impossible: bool


def is_small(problem: GateProblem, cycle_ps: int, choices: Sequence[Choice]) -> bool:
    """Say whether a search to the end is worth its time."""
    if not 0 < len(choices) <= STREAMS_MAX or not all(choice.routes for choice in choices):
        return False
    starts = 0
    for choice in choices:
        hops = max(map(len, choice.routes)) if problem.waiting else 1
        starts += hops * (cycle_ps // problem.streams[choice.stream].period_ps)
    return starts <= STARTS_MAX


def search(problem: GateProblem, cycle_ps: int, choices: Sequence[Choice]) -> GatesAnswer:
    """Try every choice of routes and queues, the likeliest first, in two orders of decisions."""
    answer = _search(problem, cycle_ps, choices, [WORK_MAX], dearest=True)
    if answer.placed is None and not answer.impossible:
        answer = _search(problem, cycle_ps, choices, [SECOND_WORK_MAX], dearest=False)
    return answer


def _search(
    problem: GateProblem,
    cycle_ps: int,
    choices: Sequence[Choice],
    work: list[int],
    *,
    dearest: bool,
) -> GatesAnswer:
    sure = all(choice.complete for choice in choices)
    times = Times(problem)
    count = 0
    for routes in product(*(choice.routes for choice in choices)):
        full = _is_full(problem, cycle_ps, choices, routes)
        ways = iter([None]) if full else _queues(problem, choices, routes)
        if ways is None:
            return GatesAnswer(None, impossible=False)
        for queues in ways:
            count += 1
            if count > WAYS_MAX:
                return GatesAnswer(None, impossible=False)
            if queues is None:
                continue
            way = _Way(problem, times, cycle_ps, choices, routes, queues)
            placed = way.search(work, dearest=dearest)
            if placed is not None:
                return GatesAnswer(placed, impossible=False)
            if work[0] <= 0:
                return GatesAnswer(None, impossible=False)
    return GatesAnswer(None, impossible=sure)


def _is_full(
    problem: GateProblem,
    cycle_ps: int,
    choices: Sequence[Choice],
    routes: Sequence[tuple[int, ...]],
) -> bool:
    """Say whether some port would have to send for longer than there is time."""
    used: dict[int, int] = {}
    for choice, route in zip(choices, routes, strict=True):
        stream = problem.streams[choice.stream]
        for port in route:
            window = problem.window_ps(stream, problem.ports[port])
            used[port] = used.get(port, 0) + cycle_ps // stream.period_ps * window
    return any(needed > cycle_ps for needed in used.values())


def _queues(
    problem: GateProblem, choices: Sequence[Choice], routes: Sequence[tuple[int, ...]]
) -> Iterator[list[dict[int, int]]] | None:
    """Return for each stream the queue at each of its ports, all ways that differ.

    None where there are too many to go through.
    """
    at: dict[int, list[int]] = {}
    for index, route in enumerate(routes):
        for port in route:
            at.setdefault(port, []).append(index)
    shares = []
    for port, streams in at.items():
        free = problem.ports[port].queues - problem.ports[port].other_queues
        if free < len(streams) and (free < 1 or problem.isolation == "stream"):
            return iter(())
        if free < len(streams) and free ** len(streams) > WAYS_MAX:
            return None
        shares.append(_shares(len(streams), free))

    def taken(share: Sequence[tuple[int, ...]]) -> list[dict[int, int]]:
        queues: list[dict[int, int]] = [{} for _ in choices]
        for (port, streams), numbers in zip(at.items(), share, strict=True):
            for index, number in zip(streams, numbers, strict=True):
                queues[index][port] = problem.ports[port].queues - 1 - number
        return queues

    return map(taken, product(*shares))


def _shares(streams: int, queues: int) -> list[tuple[int, ...]]:
    """Return how streams can share queues, up to their names; alone where there are enough.

    To use fewer queues than there are is never better.
    """
    if streams <= queues:
        return [tuple(range(streams))]
    found: list[tuple[int, ...]] = [()]
    for _ in range(streams):
        found = [(*one, queue) for one in found for queue in range(min(len(set(one)) + 1, queues))]
    return [one for one in found if len(set(one)) == queues]


def _spans(stream: GateStream, ports: Sequence[GatePort]) -> list[tuple[int, int]]:
    """Return for each listener the places of the first and the last port on the way to it."""
    before = followed(stream, ports)
    found = []
    for end in ends(stream, ports):
        begin = end
        while before[begin] >= 0:
            begin = before[begin]
        found.append((begin, end))
    return found


_At = tuple[int, int]
"""A time: so long after the start that is this variable."""


class _Way:
    """The search for one choice of routes and queues."""

    def __init__(
        self,
        problem: GateProblem,
        times: Times,
        cycle_ps: int,
        choices: Sequence[Choice],
        routes: Sequence[tuple[int, ...]],
        queues: Sequence[dict[int, int]],
    ) -> None:
        self._problem, self._times, self._cycle = problem, times, cycle_ps
        self._routes, self._queues = routes, queues
        self._streams = [problem.streams[choice.stream] for choice in choices]
        step = problem.step_ps
        self._step = step if all(one.period_ps % step == 0 for one in self._streams) else 1
        self._bounds: list[tuple[int, int, int]] = []
        self._count = 1
        self._starts: list[list[list[tuple[int, int]]]] = []
        for stream, route in zip(self._streams, routes, strict=True):
            self._starts.append(
                [self._frame(stream, route, k) for k in range(cycle_ps // stream.period_ps)]
            )
        self._lay_out_pairs()

    def _frame(self, stream: GateStream, route: tuple[int, ...], k: int) -> list[tuple[int, int]]:
        """Make the variables of one frame; return (variable, time after it) for every hop."""
        period = stream.period_ps
        ports = [self._problem.ports[index] for index in route]
        at: list[tuple[int, int]] = []
        for place, near in enumerate(followed(stream, ports)):
            here = self._count
            if near < 0:
                self._bounds += [(0, here, k * period), (here, 0, 1 - (k + 1) * period)]
                at.append((here, 0))
                self._count += 1
                continue
            ready = self._times.ready_ps(stream, route[near], route[place])
            variable, after = at[near]
            if not self._problem.waiting:
                at.append((variable, after + ready))
                continue
            self._bounds.append((variable, here, ready))
            # A frame that had its queue for longer than the cycle would meet itself there.
            window = self._problem.window_ps(stream, ports[place])
            most = self._cycle + self._times.reach_ps(route[near], route[place]) - window
            self._bounds.append((here, variable, -most))
            at.append((here, 0))
            self._count += 1
        for begin, end in _spans(stream, ports):
            # From the start at the last port until the last bit has arrived.
            tail = self._problem.sent_ps(stream, ports[end]) + ports[end].propagation_ps
            # All times are whole steps, so what a deadline has beyond them is of no use.
            left_ps = (stream.deadline_ps - tail) // self._step * self._step
            variable, after = at[end]
            self._bounds.append((variable, at[begin][0], after - left_ps))
        return at

    def _lay_out_pairs(self) -> None:
        """List what must be apart: the windows of a port, the frames of a queue."""
        used: dict[tuple[int, int], list[tuple[_At, _At]]] = {}
        for index, (stream, route) in enumerate(zip(self._streams, self._routes, strict=True)):
            before = followed(stream, [self._problem.ports[port] for port in route])
            for at in self._starts[index]:
                for hop, port in enumerate(route):
                    variable, after = at[hop]
                    window = self._problem.window_ps(stream, self._problem.ports[port])
                    end = (variable, after + window)
                    used.setdefault((port, -1), []).append((at[hop], end))
                    begin = at[hop]
                    if before[hop] >= 0:
                        near, sent = at[before[hop]]
                        begin = (near, sent + self._times.reach_ps(route[before[hop]], port))
                    used.setdefault((port, self._queues[index][port]), []).append((begin, end))
        rows = [
            [*one[0], *one[1], *other[0], *other[1]]
            for uses in used.values()
            for place, one in enumerate(uses)
            for other in uses[:place]
        ]
        table = np.array(rows, dtype=np.int64).reshape(-1, 8)
        self._begin, self._end = table[:, 0], table[:, 2]
        self._other_begin, self._other_end = table[:, 4], table[:, 6]
        # With n cycles between them: x[other begin] - x[end] >= n cycles + gap, and
        # x[begin] - x[other end] >= back - (n + 1) cycles.
        self._gap = table[:, 3] - table[:, 5]
        self._back = table[:, 7] - table[:, 1]

    def search(self, work: list[int], *, dearest: bool) -> tuple[Placed, ...] | None:
        """Return a plan, or None when there is none or the work is used up.

        Of pairs with as many alternatives that one is decided first whose second best is dearest,
        or else the one that is nearest to being right.
        """
        least = self._closed(work)
        stack = [] if least is None else [least]
        while stack and work[0] > 0:
            decided = self._decided(stack.pop(), work)
            if decided is None:
                continue
            children = self._children(decided, dearest=dearest)
            if children is None:
                return self._placed(decided[0])
            for edges in reversed(children):
                child = decided.copy()
                work[0] -= child.size + LOOK
                if all(self._add(child, *edge, work) for edge in edges):
                    stack.append(child)
        return None

    def _closed(self, work: list[int]) -> Int64s | None:
        """Return the least differences that releases, ways and deadlines ask for."""
        least = np.full((self._count, self._count), NEVER, dtype=np.int64)
        np.fill_diagonal(least, 0)
        for near, far, apart in self._bounds:
            least[near, far] = max(least[near, far], apart)
        for between in range(self._count):
            np.maximum(least, least[:, between, None] + least[None, between, :], out=least)
            work[0] -= least.size
        return None if least.diagonal().any() else least

    def _add(self, least: Int64s, near: int, far: int, apart: int, work: list[int]) -> bool:
        """Ask for a difference; return whether that is possible."""
        if least[near, far] >= apart:
            return True
        if apart + least[far, near] > 0:
            return False
        np.maximum(least, least[:, near, None] + (apart + least[None, far, :]), out=least)
        work[0] -= least.size + LOOK
        return True

    def _turns(self, least: Int64s) -> tuple[Int64s, Int64s]:
        """Return for each pair the least and the most cycles that may lie between."""
        most = (-least[self._other_begin, self._end] - self._gap) // self._cycle
        needed = self._back + least[self._begin, self._other_end]
        return -(-needed // self._cycle) - 1, most

    def _decided(self, least: Int64s, work: list[int]) -> Int64s | None:
        """Decide what has one alternative left, again and again; None where one has none."""
        while True:
            low, high = self._turns(least)
            work[0] -= low.size + LOOK
            if (low > high).any():
                return None
            first = self._gap + low * self._cycle
            second = self._back - (low + 1) * self._cycle
            asks = (least[self._end, self._other_begin] < first) | (
                least[self._other_end, self._begin] < second
            )
            forced = np.flatnonzero((low == high) & asks)
            if not forced.size:
                return least
            for pair in forced.tolist():
                for near, far, apart in self._edges(pair, int(low[pair])):
                    if not self._add(least, near, far, apart, work):
                        return None

    def _edges(self, pair: int, turn: int) -> list[tuple[int, int, int]]:
        return [
            (
                int(self._end[pair]),
                int(self._other_begin[pair]),
                int(self._gap[pair]) + turn * self._cycle,
            ),
            (
                int(self._other_end[pair]),
                int(self._begin[pair]),
                int(self._back[pair]) - (turn + 1) * self._cycle,
            ),
        ]

    def _children(self, least: Int64s, *, dearest: bool) -> list[list[tuple[int, int, int]]] | None:
        """Return the alternatives of what the earliest times break; None if nothing is broken."""
        times = least[0]
        ahead = times[self._other_begin] - times[self._end] - self._gap
        turn = ahead // self._cycle
        slack = times[self._begin] - times[self._other_end] - self._back
        slack += (turn + 1) * self._cycle
        broken = np.flatnonzero(slack < 0)
        if not broken.size:
            return self._steadier(times)
        low, high = self._turns(least)
        fewest = int((high - low)[broken].min())
        ranked = []
        for pair in broken[(high - low)[broken] == fewest].tolist():
            ways = self._alternatives(times, pair, range(int(low[pair]), int(high[pair]) + 1))
            dear = ways[0][0] - ways[1][0] if fewest else 0
            ranked.append((dear if dearest else -int(slack[pair]), pair, ways))
        return [edges for _, _, edges in min(ranked)[2]]

    def _alternatives(
        self, times: Int64s, pair: int, turns: Sequence[int]
    ) -> list[tuple[int, int, list[tuple[int, int, int]]]]:
        """Return what each alternative moves, its cycles between, and what it asks, in order."""
        ways = []
        for turn in turns:
            edges = self._edges(pair, turn)
            moved = sum(max(apart - int(times[far] - times[near]), 0) for near, far, apart in edges)
            ways.append((moved, turn, edges))
        return sorted(ways)

    def _steadier(self, times: Int64s) -> list[list[tuple[int, int, int]]] | None:
        """Return the alternatives where a latency varies too much: all below a bound, or above."""
        for stream, route, frames in zip(self._streams, self._routes, self._starts, strict=True):
            for begin, end in _spans(stream, [self._problem.ports[port] for port in route]):
                sent = [(at[begin][0], *at[end]) for at in frames]
                took = [int(times[last] - times[first]) + after for first, last, after in sent]
                varies = stream.jitter_ps // self._step * self._step
                over = max(took) - min(took) - varies
                if over <= 0:
                    continue
                middle = min(took) + (over - self._step) // 2 // self._step * self._step
                below = [(last, first, after - middle - varies) for first, last, after in sent]
                above = [(first, last, middle + self._step - after) for first, last, after in sent]
                return [below, above]
        return None

    def _placed(self, times: Int64s) -> tuple[Placed, ...]:
        return tuple(
            Placed(
                route,
                tuple(queues[port] for port in route),
                tuple(
                    tuple(int(times[variable]) + after for variable, after in at) for at in frames
                ),
            )
            for route, queues, frames in zip(self._routes, self._queues, self._starts, strict=True)
        )
