"""What can be said before any search: routes that meet the deadline, and proofs of too much.

Two proofs: no route of a stream is short enough, or the streams that cannot avoid a port need more
than all of its time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from qnet.graph.by_hops import CandidatesByHops, Router
from qnet.model.gates import CYCLE_PS_MAX, GatePort, GateProblem, GateStream
from qnet.units import TIME, format_quantity


class Choice(NamedTuple):
    """What one stream may choose from; `latency_ps` is the least over its routes.

    `complete` says that no other route exists.
    """

    stream: int
    routes: tuple[tuple[int, ...], ...]
    latency_ps: int
    reason: str | None
    complete: bool


class Bounds(NamedTuple):
    """Routes of each stream, the one that spreads load best first, and a proof if there is one.

    `overloaded_ports` are those that the streams which cannot avoid them need more than all of,
    with the share that they need.
    """

    choices: tuple[Choice, ...]
    proof: str | None
    overloaded_ports: Mapping[int, Fraction]
    left_out: int
    """Streams that every plan must leave out: without a way, or for the time of one port."""

    @property
    def overloaded(self) -> bool:
        """Say whether not even the streams that have a route can all be placed."""
        return bool(self.overloaded_ports)


def lines_ps(problem: GateProblem, stream: GateStream, route: tuple[int, ...]) -> list[int]:
    """Return how long the frames of one period hold each port of a route."""
    known: dict[tuple[int, int], int] = {}
    lines = []
    for index in route:
        port = problem.ports[index]
        kind = port.rate_bps, port.margin_ps
        if kind not in known:
            known[kind] = problem.window_ps(stream, port)
        lines.append(known[kind])
    return lines


class Times:
    """What passes between ports of a problem, each worked out once for ports that are alike."""

    def __init__(self, problem: GateProblem) -> None:
        self.problem = problem
        kinds: dict[tuple[int, ...], int] = {}
        self._kind = [
            kinds.setdefault(
                (
                    port.rate_bps,
                    port.processing_ps,
                    port.propagation_ps,
                    port.propagation_spread_ps,
                    port.processing_spread_ps,
                ),
                len(kinds),
            )
            for port in problem.ports
        ]
        self._ready: dict[tuple[int, int, int, int], int] = {}
        self._reach: dict[tuple[int, int], int] = {}

    def ready_ps(self, stream: GateStream, port: int, following: int) -> int:
        """Return `GateProblem.ready_ps` of two ports by index."""
        key = (stream.frame_bytes, stream.packets, self._kind[port], self._kind[following])
        if key not in self._ready:
            ports = self.problem.ports
            self._ready[key] = self.problem.ready_ps(stream, ports[port], ports[following])
        return self._ready[key]

    def reach_ps(self, port: int, following: int) -> int:
        """Return `GateProblem.reach_ps` of two ports by index."""
        key = (self._kind[port], self._kind[following])
        if key not in self._reach:
            ports = self.problem.ports
            self._reach[key] = self.problem.reach_ps(ports[port], ports[following])
        return self._reach[key]


def followed(stream: GateStream, route: Sequence[GatePort]) -> list[int]:
    """Return for each port of a route the place of the one that it follows, -1 at the talker."""
    if len(stream.targets) == 1:
        return list(range(-1, len(route) - 1))
    into = {port.target: place for place, port in enumerate(route)}
    return [into.get(port.source, -1) for port in route]


def ends(stream: GateStream, route: Sequence[GatePort]) -> list[int]:
    """Return the place of the last port on the way to each listener."""
    if len(stream.targets) == 1:
        return [len(route) - 1]
    into = {port.target: place for place, port in enumerate(route)}
    return [into[target] for target in stream.targets]


def latencies_ps(times: Times, stream: GateStream, route: tuple[int, ...]) -> list[int]:
    """Return the time from first bit out to last bit in at each listener when no frame waits."""
    problem = times.problem
    ports = [problem.ports[index] for index in route]
    ready: list[int] = []
    for place, before in enumerate(followed(stream, ports)):
        passed = 0 if before < 0 else times.ready_ps(stream, route[before], route[place])
        ready.append(passed + (ready[before] if before >= 0 else 0))
    return [
        ready[end] + problem.sent_ps(stream, ports[end]) + ports[end].propagation_ps
        for end in ends(stream, ports)
    ]


def latency_ps(times: Times, stream: GateStream, route: tuple[int, ...]) -> int:
    """Return the longest of these, of one listener or all."""
    if len(stream.targets) > 1:
        return max(latencies_ps(times, stream, route))
    ready = sum([times.ready_ps(stream, port, following) for port, following in pairwise(route)])
    last = times.problem.ports[route[-1]]
    return ready + times.problem.sent_ps(stream, last) + last.propagation_ps


def bound(problem: GateProblem, router: Router) -> Bounds:
    """Find the routes of all streams and look for proofs that not all can be had."""
    times = Times(problem)
    choices: list[Choice] = []
    proof: str | None = None
    hopeless = 0
    shares: dict[int, list[Fraction]] = defaultdict(list)
    number = {port.name: index for index, port in enumerate(problem.ports)}
    for index, stream in enumerate(problem.streams):
        found = router.ways(stream.source, stream.targets)
        if stream.routes:
            named = tuple(tuple(number[name] for name in way) for way in stream.routes)
            found = CandidatesByHops(named, complete=False)
        timed = [(latency_ps(times, stream, route), route) for route in found.routes]
        good = [pair for pair in timed if pair[0] <= min(stream.deadline_ps, CYCLE_PS_MAX)]
        good = [pair for pair in good if _queues_drain(times, stream, pair[1])]
        if good:
            least_ps = min(latency for latency, _ in good)
            kept = tuple(route for _, route in good)
            choices.append(Choice(index, kept, least_ps, None, found.complete))
            if found.complete or len(stream.targets) > 1:
                for port in _unavoidable(times, stream, router, kept, complete=found.complete):
                    line = problem.window_ps(stream, problem.ports[port])
                    shares[port].append(Fraction(line, stream.period_ps))
            continue
        if len(stream.targets) > 1:
            reason, sure = _why_no_tree(times, stream, router, timed)
        else:
            reason, sure = _why_not(stream, timed, complete=found.complete)
        choices.append(Choice(index, (), 0, reason, found.complete))
        hopeless += sure
        if sure and proof is None:
            proof = f"{stream.name}: {reason}"
    needed = {port: sum(parts, Fraction(0)) for port, parts in shares.items()}
    for port, share in sorted(needed.items(), key=lambda pair: (-pair[1], pair[0])):
        if share > 1 and proof is None:
            name = problem.ports[port].name
            percent = share.numerator * 1000 // share.denominator / 10
            proof = f"port {name}: streams that cannot avoid it need {percent} % of its time"
    overloaded = {port: share for port, share in needed.items() if share > 1}
    beyond = max((_left_out(shares[port]) for port in overloaded), default=0)
    return Bounds(_spread(problem, choices), proof, overloaded, hopeless + beyond)


def _unavoidable(
    times: Times,
    stream: GateStream,
    router: Router,
    kept: Sequence[tuple[int, ...]],
    *,
    complete: bool,
) -> set[int]:
    """Return the ports that every way of a stream in time uses, as far as all ways are known.

    What all ways to one of several listeners use, every tree does.
    """
    if complete:
        return set.intersection(*map(set, kept))
    if stream.routes:
        return set()
    used: set[int] = set()
    for target in stream.targets:
        found = router.candidates(stream.source, target)
        alone = stream.replace(target=target)
        ways = [way for way in found.routes if latency_ps(times, alone, way) <= stream.deadline_ps]
        if found.complete and ways:
            used |= set.intersection(*map(set, ways))
    return used


def _why_no_tree(
    times: Times,
    stream: GateStream,
    router: Router,
    timed: list[tuple[int, tuple[int, ...]]],
) -> tuple[str, bool]:
    """Say why a stream with several listeners has no way: for one of them, if that is so."""
    for target in stream.targets:
        alone = stream.replace(target=target)
        found = router.candidates(stream.source, target)
        ways = [(latency_ps(times, alone, way), way) for way in found.routes]
        if not stream.routes and min([late for late, _ in ways], default=2**63) > min(
            stream.deadline_ps, CYCLE_PS_MAX
        ):
            return _why_not(alone, ways, complete=found.complete)
    return _why_not(stream, timed, complete=False)


def _left_out(shares: list[Fraction]) -> int:
    """Return how many of these cannot be had together: the smallest first, while they fit."""
    taken = Fraction(0)
    for placed, share in enumerate(sorted(shares)):
        taken += share
        if taken > 1:
            return len(shares) - placed
    return 0


def _queues_drain(times: Times, stream: GateStream, route: tuple[int, ...]) -> bool:
    """Say whether a frame leaves each queue before the next one of its stream may be there."""
    lines = lines_ps(times.problem, stream, route)
    ports = [times.problem.ports[index] for index in route]
    used = [0]
    for here, line, before in zip(route, lines, followed(stream, ports), strict=True):
        spent = 0
        if before >= 0:
            near = route[before]
            spent = times.ready_ps(stream, near, here) - times.reach_ps(near, here)
        used.append(spent + line)
    return max(used) <= stream.period_ps


def _why_not(
    stream: GateStream, timed: list[tuple[int, tuple[int, ...]]], *, complete: bool
) -> tuple[str, bool]:
    """Say why a stream has no route, and whether that is certain."""
    if not timed:
        return f"there is no route from {stream.source} to {stream.targets[0]}", complete
    least = min(latency for latency, _ in timed)
    if least > stream.deadline_ps:
        latency = format_quantity(TIME, least)
        allowed = format_quantity(TIME, stream.deadline_ps)
        return f"sending and wires alone take {latency} of {allowed}", complete
    return "its frames follow each other faster than a queue passes them on", complete


def _spread(problem: GateProblem, choices: list[Choice]) -> tuple[Choice, ...]:
    """Put that route first which adds least to the sum of the squares of the ports' loads.

    Streams with one route come first, then those that need most; the squares steer away from
    ports that are full already. Load is in millionths of a port.
    """
    load = [0] * len(problem.ports)
    spread = list(choices)
    shares: dict[int, list[list[int]]] = {}
    for choice in choices:
        stream = problem.streams[choice.stream]
        shares[choice.stream] = [
            [line * 10**6 // stream.period_ps for line in lines_ps(problem, stream, route)]
            for route in choice.routes
        ]
    by_need = sorted(
        (choice for choice in choices if choice.routes),
        key=lambda one: (len(one.routes) > 1, -shares[one.stream][0][0], one.stream),
    )
    for choice in by_need:
        ranked = sorted(
            (
                sum(
                    [
                        (2 * load[port] + part) * part
                        for port, part in zip(route, parts, strict=True)
                    ]
                ),
                len(route),
                route,
                parts,
            )
            for route, parts in zip(choice.routes, shares[choice.stream], strict=True)
        )
        _, _, first, parts = ranked[0]
        for port, part in zip(first, parts, strict=True):
            load[port] += part
        spread[choice.stream] = choice._replace(routes=tuple(route for _, _, route, _ in ranked))
    return tuple(spread)
