"""From a gate problem to a gate plan: routes, orders, restarts.

Streams are placed one after the other, the hardest first; one that finds no room takes the place
of others, those that lose the fewest struggles so far, and these queue up again. An attempt that
uses up its steps is started afresh with another order. The steps are counted, not timed: the same
seed gives the same plan on any machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from qnet import __version__
from qnet.graph.by_hops import Router
from qnet.model.gates import CYCLE_PS_MAX, GatePlan, GateProblem, GateStream, GateStreamPlan
from qnet.schedule.qbv import exact
from qnet.schedule.qbv.bounds import (
    Bounds,
    Choice,
    Times,
    bound,
    ends,
    followed,
    latencies_ps,
    lines_ps,
)
from qnet.schedule.qbv.kernels.shorten import shorten_all
from qnet.schedule.qbv.kernels.solve import solve
from qnet.schedule.qbv.kernels.spans import Spans
from qnet.schedule.qbv.kernels.state import gate_entries, lift
from qnet.schedule.qbv.kernels.tables import (
    GateScratch,
    GateSearch,
    Places,
    Ports,
    Rules,
    StreamTable,
)
from qnet.schedule.qbv.lists import gate_lists

STEPS = (20, 20, 20, 100, 100, 100, 500, 500, 500, 3000)
"""Struggles allowed in each attempt: many short ones, since another order often does at once."""

TRIES_BEFORE = 3
"""Attempts before a small problem is searched to the end."""

SEARCHED = "every route, queue and order of their frames was looked at"

TRIALS = 48
"""Starts that are drawn when a stream is put in by force."""


class Arrays(NamedTuple):
    """One problem as the kernels see it."""

    streams: StreamTable
    ports: Ports
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]]
    base: np.ndarray[tuple[int], np.dtype[np.int64]]
    queue_base: np.ndarray[tuple[int], np.dtype[np.int64]]
    hops: int


def schedule_gates(
    problem: GateProblem, *, seed: int = 1, routes: int = 4, restarts: int = len(STEPS)
) -> GatePlan:
    """Place every stream, or say why that cannot be done, or place as many as were managed.

    Raises Infeasible when the periods have so little in common that the cycle is out of reach.
    """
    cycle = problem.common_cycle_ps()
    bounds = bound(problem, Router(problem.ports, routes))
    chosen = [choice for choice in bounds.choices if choice.routes]
    if not chosen:
        return _plan(problem, cycle, seed, bounds, None, None, {})
    arrays = _arrays(problem, cycle, chosen)
    case = _Case(problem, cycle, arrays, chosen, seed)
    ranks = sorted({problem.streams[choice.stream].rank for choice in chosen})
    tries = 1 if bounds.overloaded else max(1, restarts)
    small = bounds.proof is None and exact.is_small(problem, cycle, bounds.choices)
    quick = min(tries, TRIES_BEFORE) if small else tries
    best = _best(case, ranks[-1], quick, bounds.overloaded)
    if small and best.lost.total():
        made, bounds = _searched(problem, cycle, bounds)
        if made is not None:
            return _written(problem, cycle, seed, bounds, made, {})
        if bounds.proof is None:
            best = _best(case, ranks[-1], tries, overloaded=False)
    for rank in ranks[:-1]:
        # Ranks that could all be had without the others must not suffer from them.
        if best.lost[rank] == 0:
            continue
        alone = _best(case, rank, max(1, restarts), overloaded=False)
        best = min(best, alone, key=lambda one: [one.lost[rank] for rank in ranks])
        if alone.lost[rank]:
            break
    held = _held_by_lists(case, best)
    return _plan(problem, cycle, seed, bounds, arrays, best.search.places, held)


def _searched(
    problem: GateProblem, cycle: int, bounds: Bounds
) -> tuple[list[GateStreamPlan] | None, Bounds]:
    """Search a small problem to the end; return the plans of all its streams, or a proof."""
    answer = exact.search(problem, cycle, bounds.choices)
    if answer.impossible:
        return None, bounds._replace(proof=SEARCHED, left_out=max(bounds.left_out, 1))
    if answer.placed is None:
        return None, bounds
    made = [
        GateStreamPlan(
            name=stream.name,
            status="scheduled",
            ports=tuple(problem.ports[port].name for port in one.route),
            queues=one.queues,
            starts_ps=one.starts_ps,
        )
        for stream, one in zip(problem.streams, answer.placed, strict=True)
    ]
    limits = {port.name: port.entries_max for port in problem.ports}
    lists = gate_lists(problem, tuple(made), cycle)
    if any(len(one.entries) > (limits[one.port] or len(one.entries)) for one in lists):
        return None, bounds
    return made, bounds


class _Case(NamedTuple):
    """What all attempts have in common."""

    problem: GateProblem
    cycle: int
    arrays: Arrays
    chosen: list[Choice]
    seed: int

    def rank(self, index: int) -> int:
        """Return the rank of a stream of `chosen`."""
        return self.problem.streams[self.chosen[index].stream].rank


class _Attempt(NamedTuple):
    """Where the streams are, how many of each rank are nowhere, and what trying more takes."""

    search: GateSearch
    lost: Counter[int]


def _best(case: _Case, rank: int, restarts: int, overloaded: bool) -> _Attempt:
    """Try until all streams of up to a rank are in; the others take what is left."""
    best: _Attempt | None = None
    fewest = 0
    for attempt in range(restarts):
        steps = 0 if overloaded else STEPS[min(attempt, len(STEPS) - 1)]
        made = _attempt(case, rank, attempt, steps)
        left = sum(count for lost, count in made.lost.items() if lost <= rank)
        if best is None or left < fewest:
            fewest, best = left, made
        if left == 0:
            break
    assert best is not None
    return best


def _attempt(case: _Case, rank: int, attempt: int, steps: int) -> _Attempt:
    """Place streams of up to a rank in an empty network, then the others around them."""
    problem, cycle, arrays, chosen, seed = case
    count = len(chosen)
    offset = np.zeros(arrays.sizes.shape[0] + 1, dtype=np.int64)
    np.cumsum(arrays.sizes, out=offset[1:])
    room = int(offset[-1])
    spans = Spans(
        cycle,
        offset,
        np.zeros(arrays.sizes.shape[0], dtype=np.int64),
        np.empty(room, dtype=np.int64),
        np.empty(room, dtype=np.int64),
        np.empty(room, dtype=np.int64),
    )
    places = Places(
        np.full(count, -1, dtype=np.int64),
        arrays.base,
        np.zeros(int(arrays.base[-1]), dtype=np.int64),
        arrays.queue_base,
        np.zeros(int(arrays.queue_base[-1]), dtype=np.int64),
    )
    work = GateScratch(
        np.zeros(arrays.hops, dtype=np.int64),
        np.zeros(arrays.hops, dtype=np.int64),
        np.zeros(arrays.hops, dtype=np.int64),
        np.zeros(2 * arrays.hops, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.ones(count, dtype=np.int64),
        np.zeros(count + 1, dtype=np.int64),
        np.array([(seed * 7919 + attempt * 104729) % (2**31 - 2) + 1], dtype=np.int64),
    )
    rules = Rules(int(problem.waiting), int(problem.isolation == "stream"), steps, TRIALS)
    search = GateSearch(arrays.streams, arrays.ports, rules, spans, places, work)
    order = _order(problem, chosen, attempt)
    if steps == 0:
        order.sort(key=case.rank)
    first = _int64s([index for index in order if case.rank(index) <= rank])
    if solve(search, first) == 0:
        # All are in: those that wait much may now look for a better place.
        shorten_all(search, first)
    others = sorted((index for index in order if case.rank(index) > rank), key=case.rank)
    if others:
        solve(search._replace(rules=rules._replace(steps=0)), _int64s(others))
    lost = Counter(case.rank(index) for index in order if places.route[index] < 0)
    return _Attempt(search, lost)


def _held_by_lists(case: _Case, best: _Attempt) -> dict[int, tuple[int, int, int]]:
    """Find the streams that have a place but for the limits of gate lists.

    Return, by number of the stream, the port whose list would be the most too long, how many
    entries it would need by the count of the search, and how many it holds. A stream that has a
    place within the limits after all, now that others have moved, is placed.
    """
    arrays = case.arrays
    found: dict[int, tuple[int, int, int]] = {}
    limits = arrays.ports.entries
    if not limits.any():
        return found
    ports = arrays.ports._replace(entries=np.zeros_like(limits))
    search = best.search._replace(ports=ports, rules=best.search.rules._replace(steps=0))
    route, route_offset = search.places.route, arrays.streams.route_offset
    for index, choice in enumerate(case.chosen):
        if route[index] >= 0 or solve(search, _int64s([index])):
            continue
        number = int(route[index]) - int(route_offset[index])
        needs = [(gate_entries(search.spans, ports, port), port) for port in choice.routes[number]]
        long = [(count - int(limits[port]), port, count) for count, port in needs if limits[port]]
        most, port, count = max(long, default=(0, 0, 0))
        if most > 0:
            found[choice.stream] = port, count, int(limits[port])
            lift(search, index)
    return found


def _order(problem: GateProblem, chosen: list[Choice], attempt: int) -> list[int]:
    """Sort streams by how hard they are to place; attempts take turns at what hard means."""
    keys = []
    for index, choice in enumerate(chosen):
        stream = problem.streams[choice.stream]
        slack = stream.deadline_ps - choice.latency_ps
        length = problem.line_ps(stream.frame_bytes, 10**9) * len(choice.routes[0])
        keys.append(
            (
                (stream.period_ps, -length, slack, index),
                (stream.period_ps, slack, -length, index),
                (slack, stream.period_ps, -length, index),
            )[attempt % 3]
        )
    return [key[-1] for key in sorted(keys)]


def _arrays(problem: GateProblem, cycle: int, chosen: list[Choice]) -> Arrays:
    ports, times = problem.ports, Times(problem)
    queues = [max(port.queues - port.other_queues, 0) for port in ports]
    queue_row = len(ports) + np.cumsum([0, *queues])
    frames_at = np.zeros(len(ports), dtype=np.int64)
    route_offset, hop_offset = [0], [0]
    hops: list[_Hop] = []
    anchor: list[int] = []
    load = [0] * len(ports)
    for choice in chosen:
        stream = problem.streams[choice.stream]
        lines = lines_ps(problem, stream, choice.routes[0])
        for port, length in zip(choice.routes[0], lines, strict=True):
            load[port] += length * 10**6 // stream.period_ps
    base, queue_base = [0], [0]
    hops_most = 1
    for choice in chosen:
        stream = problem.streams[choice.stream]
        frames = cycle // stream.period_ps
        longest = 0
        for route in choice.routes:
            hops += _hops(times, stream, route)
            hop_offset.append(len(hops))
            anchor.append(max(range(len(route)), key=[load[port] for port in route].__getitem__))
            longest = max(longest, len(route))
        for here in {port for route in choice.routes for port in route}:
            frames_at[here] += frames + 1
        route_offset.append(len(hop_offset) - 1)
        base.append(base[-1] + longest * frames)
        queue_base.append(queue_base[-1] + longest)
        hops_most = max(hops_most, longest)
    sizes = np.concatenate([frames_at + 1, np.repeat(frames_at + 1, queues)])
    taken = [problem.streams[choice.stream] for choice in chosen]
    return Arrays(
        StreamTable(
            _int64s([stream.period_ps for stream in taken]),
            _int64s([min(stream.deadline_ps, CYCLE_PS_MAX) for stream in taken]),
            _int64s([min(stream.jitter_ps, CYCLE_PS_MAX) for stream in taken]),
            _int64s(route_offset),
            _int64s(hop_offset),
            _int64s(anchor),
            *(_int64s([hop[part] for hop in hops]) for part in range(len(_Hop._fields))),
        ),
        Ports(
            _int64s([2 if problem.guard_ps(port) else 1 for port in ports]),
            queue_row[:-1].astype(np.int64),
            _int64s(queues),
            _int64s([port.entries_max or 0 for port in ports]),
            _int64s([port.phase_ps % cycle for port in ports]),
        ),
        sizes.astype(np.int64),
        _int64s(base),
        _int64s(queue_base),
        hops_most,
    )


class _Hop(NamedTuple):
    """One hop of a route, in the order of the kernels' columns."""

    port: int
    line: int
    lead: int
    reach: int
    before: int
    begins: int
    tail: int
    quick: int


def _hops(times: Times, stream: GateStream, route: tuple[int, ...]) -> list[_Hop]:
    problem = times.problem
    ports = [problem.ports[index] for index in route]
    lines = lines_ps(problem, stream, route)
    quick = dict(zip(ends(stream, ports), latencies_ps(times, stream, route), strict=True))
    hops = []
    for place, before in enumerate(followed(stream, ports)):
        index, line = route[place], lines[place]
        lead = reach = 0
        if before >= 0:
            # A burst may still be on its way out when it goes on: a lead may be negative.
            lead = times.ready_ps(stream, route[before], index) - lines[before]
            reach = times.reach_ps(route[before], index)
        elif place:
            # Another port of the talker, where a frame may leave when it does at the first.
            lead = -lines[0]
        tail = problem.sent_ps(stream, ports[place]) + ports[place].propagation_ps - line
        hops.append(
            _Hop(
                index,
                line,
                lead,
                reach,
                before if before >= 0 else min(place, 1) - 1,
                int(before < 0),
                tail if place in quick else 0,
                quick.get(place, -1),
            )
        )
    return hops


def _int64s(numbers: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, dtype=np.int64)


def _plan(
    problem: GateProblem,
    cycle: int,
    seed: int,
    bounds: Bounds,
    arrays: Arrays | None,
    places: Places | None,
    held: Mapping[int, tuple[int, int, int]],
) -> GatePlan:
    """Turn the kernel's arrays into a plan."""
    made: list[GateStreamPlan] = []
    row = 0
    for choice, stream in zip(bounds.choices, problem.streams, strict=True):
        if not choice.routes or arrays is None or places is None:
            made.append(GateStreamPlan(name=stream.name, status="refused", reason=choice.reason))
            continue
        index, row = row, row + 1
        number = int(places.route[index])
        if number < 0:
            made.append(GateStreamPlan(name=stream.name, status="refused"))
            continue
        route = choice.routes[number - int(arrays.streams.route_offset[index])]
        frames = cycle // stream.period_ps
        begin = int(places.base[index])
        starts = places.begin[begin : begin + len(route) * frames].reshape(len(route), frames)
        first = int(places.queue_base[index])
        made.append(
            GateStreamPlan(
                name=stream.name,
                status="scheduled",
                ports=tuple(problem.ports[port].name for port in route),
                queues=tuple(
                    problem.ports[port].other_queues + queue
                    for port, queue in zip(
                        route, places.queue[first : first + len(route)].tolist(), strict=True
                    )
                ),
                starts_ps=tuple(tuple(frame) for frame in starts.T.tolist()),
            )
        )
    return _written(problem, cycle, seed, bounds, made, held)


def _written(
    problem: GateProblem,
    cycle: int,
    seed: int,
    bounds: Bounds,
    made: list[GateStreamPlan],
    held: Mapping[int, tuple[int, int, int]],
) -> GatePlan:
    """Add the gate lists, and what is known of streams without a place."""
    return GatePlan(
        qnet_version=__version__,
        seed=seed,
        cycle_ps=cycle,
        proof=bounds.proof,
        bound=len(problem.streams) - bounds.left_out,
        streams=tuple(_with_reasons(problem, bounds, made, held)),
        gates=gate_lists(problem, tuple(made), cycle),
    )


def _with_reasons(
    problem: GateProblem,
    bounds: Bounds,
    made: list[GateStreamPlan],
    held: Mapping[int, tuple[int, int, int]],
) -> Iterator[GateStreamPlan]:
    """Say of streams without room what binds: a gate list, a port's time, else the fullest port."""
    number = {port.name: index for index, port in enumerate(problem.ports)}
    taken = [Fraction(0)] * len(problem.ports)
    for stream, plan in zip(problem.streams, made, strict=True):
        for name in plan.ports:
            window = problem.window_ps(stream, problem.ports[number[name]])
            taken[number[name]] += Fraction(window, stream.period_ps)
    for choice, stream, plan in zip(bounds.choices, problem.streams, made, strict=True):
        if plan.status == "scheduled" or plan.reason is not None:
            yield plan
            continue
        if choice.stream in held:
            longest, needed, holds = held[choice.stream]
            reason = (
                f"port {problem.ports[longest].name}: its gate list holds {holds} entries; where a "
                f"gap and a queue were found it would need {needed}, counting every window"
            )
            yield plan.replace(reason=reason)
            continue
        fullest = []
        for route in choice.routes:
            lines = zip(route, lines_ps(problem, stream, route), strict=True)
            fullest.append(
                max((taken[port] + Fraction(line, stream.period_ps), port) for port, line in lines)
            )
        share, port = min(fullest)
        need = Fraction(problem.window_ps(stream, problem.ports[port]), stream.period_ps)
        noun = "route" if len(stream.targets) == 1 else "tree"
        count = f"{len(fullest)} {noun}{'' if len(fullest) == 1 else 's'} tried"
        full = f"port {problem.ports[port].name}: {_percent(need)} of its time needed"
        if share > 1:
            reason = f"{full}, {_percent(1 - share + need)} free; {count}"
        else:
            left = f"{_percent(1 - share + need)} free"
            reason = f"{full}, {left}, but no start with a gap and a queue was found; {count}"
        if port in bounds.overloaded_ports:
            whole = _percent(bounds.overloaded_ports[port])
            reason += f"; those that cannot avoid it need {whole} of it"
        yield plan.replace(reason=reason)


def _percent(share: Fraction) -> str:
    """Write a share rounded down to tenths of a percent."""
    return f"{share.numerator * 1000 // share.denominator / 10:.1f} %"
