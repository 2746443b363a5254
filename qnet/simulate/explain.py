"""Where did this frame wait? The run is played again, and the frame followed.

Runs repeat exactly. So the run itself keeps no more than when the best and the worst frames were
born, and two replays find the rest: one follows the frame, one writes down what left the ports
while it waited there.
"""

from __future__ import annotations

import difflib
import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import count, takewhile
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible, InputError, Problem
from qnet.model.journey import Hop, Journey, Loss, Wait
from qnet.model.observation import Observation, Traffic
from qnet.model.plan import Plan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import FRAME_BYTES_HIGHEST, Profile
from qnet.simulate import kernels as k
from qnet.simulate.clocks.kernels import when_shown
from qnet.simulate.ports.kernels import TIMED, emit_next
from qnet.simulate.run import Course
from qnet.simulate.setup import Owner, owners
from qnet.simulate.tracing import play
from qnet.simulate.waiting import Waiting
from qnet.units import serialisation_ps

Ints = NDArray[np.int64]

CUT_FRAMES = 64
"""A frame that was cut is looked for among what leaves in the time of so many longest frames."""

Which = Literal["worst", "best", "lost"] | int


class Case(NamedTuple):
    """What was run."""

    topology: Topology
    profile: Profile
    plan: Plan


class Step(NamedTuple):
    """One row of a frame's way."""

    port: int
    row: Sequence[int]


class Way(NamedTuple):
    """A frame's way so far: its path or part, its place among those of one birth, its rows."""

    owner: int
    place: int
    steps: tuple[Step, ...]

    @property
    def is_lost(self) -> bool:
        """Tell whether the last port had no room."""
        return self.steps[-1].row[k.STARTED] == k.REFUSED


def explain(
    case: Case,
    observation: Observation,
    name: str,
    which: Which,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Journey, ...]:
    """Return the journey of a frame: the worst, the best, the first lost, or by its number from 1.

    A frame sent over two paths by its number has two journeys. Raises InputError when there is no
    such stream or demand, or no such frame.
    """
    found = owners(*case)
    numbers = [i for i, owner in enumerate(found) if owner.name == name]
    if not numbers:
        raise _unknown(case, found, name)
    replay = _Replay(case, found, progress)
    if isinstance(which, int):
        return _by_number(replay, numbers, which)
    seen = next(one for one in (*observation.streams, *observation.demands) if one.name == name)
    if which == "lost":
        birth = replay.first_lost(numbers)
        if birth is None:
            raise _no_frame(name, "none was lost")
        ways = replay.ways(numbers, birth, until=lambda way: way.is_lost)
        return (replay.journey(next(way for way in ways if way.is_lost)),)
    birth, latency = _extreme(seen, which)
    if birth is None or latency is None:
        raise _no_frame(name, "none was received")

    def is_meant(way: Way) -> bool:
        steps = way.steps
        return replay.is_over(way) and steps[-1].row[k.REACHED] - birth == latency

    ways = [way for way in replay.ways(numbers, birth, until=is_meant) if is_meant(way)]
    if not ways:
        raise Infeasible(
            f"{name}: no frame born at {birth} ps took {latency} ps this time; the run cannot be "
            "repeated, so its files or this version of qnet are not those it was made with"
        )
    return (replay.journey(ways[0]),)


def _extreme(seen: Traffic, which: Literal["worst", "best"]) -> tuple[int | None, int | None]:
    if which == "worst":
        return seen.worst_birth_ps, seen.latency_ps_max
    return seen.best_birth_ps, seen.latency_ps_min


def _unknown(case: Case, found: Sequence[Owner], name: str) -> InputError:
    refused = [one for one in case.plan.streams if one.name == name]
    if refused:
        return _no_frame(name, f"refused, so it sent nothing: {refused[0].reason}")
    near = difflib.get_close_matches(name, [owner.name for owner in found], n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return _no_frame(name, f"no stream or demand of that name{hint}")


def _no_frame(name: str, why: str) -> InputError:
    return InputError([Problem("--stream", 0, 0, name, why)])


def _by_number(replay: _Replay, numbers: Sequence[int], number: int) -> tuple[Journey, ...]:
    """Return the journeys of a stream's frame over each path, or of a demand's frame."""
    name = replay.found[numbers[0]].name
    is_stream = any(one.name == name for one in replay.case.plan.streams)
    groups = [[one] for one in numbers] if is_stream else [list(numbers)]
    journeys = []
    for group in groups:
        named = replay.birth_of(group, number)
        if named is None:
            raise _no_frame(name, f"fewer than {number} frames were sent in this run")
        owner, birth, place = named
        ways = replay.ways([owner], birth, until=None, place=place)
        journeys.append(replay.journey(ways[place]))
    return tuple(journeys)


class _Replay:
    """Plays a run as often as is needed to find one frame and what it waited for."""

    def __init__(
        self,
        case: Case,
        found: Sequence[Owner],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.case, self.found, self.progress = case, found, progress
        self.begin = Course(*case, threads=1)
        self.sources = self.begin.world.sources

    def show(self, course: Course) -> None:
        if self.progress is not None:
            self.progress(course.now_ps, course.end_ps)

    def is_over(self, way: Way) -> bool:
        """Tell whether the frame was received or lost."""
        return way.is_lost or len(way.steps) == len(self.found[way.owner].ports)

    def first_lost(self, numbers: Sequence[int]) -> int | None:
        """Return the birth of the frame that was lost first."""
        for course, found in play(*self.case, follow=numbers):
            self.show(course)
            lost = [
                (int(row[k.QUEUED]), int(row[k.BORN]))
                for one in found
                for row in one.rows[one.rows[:, k.STARTED] == k.REFUSED]
            ]
            if lost:
                return min(lost)[1]
        return None

    def clocks(self) -> tuple[Ints, Ints, Ints, int]:
        """Return what timed sources go by: their tables, afresh, and the clocks' errors."""
        network, parts = self.begin.world.network, self.begin.parts
        if parts is None:
            empty = np.zeros((0, 0), dtype=np.int64)
            return empty, empty.ravel(), network.clock_error, network.block
        return parts.source_state.copy(), parts.timetable, network.clock_error, network.block

    def births(self, number: int) -> Iterator[int]:
        """Yield when a path or part is handed its frames, in order: its source, all by itself."""
        sources = self.sources
        state = sources.state.copy()
        clocks = self.clocks()
        while state[number, k.NEXT_TIME] < self.end_ps:
            yield int(state[number, k.NEXT_TIME])
            size = k.draw_size(number, state, sources.law, sources.size_bytes, sources.size_limit)
            if sources.law[number, k.KIND] == TIMED:
                emit_next(number, size, state, sources.law, *clocks)
            else:
                k.advance(number, size, state, sources.law, sources.log_table)

    def birth_of(self, numbers: Sequence[int], number: int) -> tuple[int, int, int] | None:
        """Return owner and birth of a frame, and how many of the same birth come before it."""
        every = heapq.merge(*(((birth, one) for birth in self.births(one)) for one in numbers))
        last, place = None, 0
        for nth, born in enumerate(every, 1):
            place = place + 1 if born == last else 0
            last = born
            if nth == number:
                return born[1], born[0], place
        return None

    def ways(
        self,
        numbers: Sequence[int],
        birth: int,
        *,
        until: Callable[[Way], bool] | None,
        place: int = 0,
    ) -> list[Way]:
        """Follow all frames of one birth until one of them is what is looked for, or is over."""
        steps: dict[tuple[int, int], list[Step]] = defaultdict(list)
        ways: list[Way] = []
        for course, found in play(*self.case, follow=numbers):
            self.show(course)
            for one in found:
                for owner in numbers:
                    mine = one.rows[(one.owner == owner) & (one.rows[:, k.BORN] == birth)]
                    steps[owner, one.port] += [Step(one.port, row) for row in mine.tolist()]
            ways = [way for owner in numbers for way in self._chains(owner, steps)]
            if until is not None and any(until(way) for way in ways):
                break
            if until is None and len(ways) > place and self.is_over(ways[place]):
                break
        return ways

    def _chains(self, owner: int, steps: dict[tuple[int, int], list[Step]]) -> list[Way]:
        """Join rows to ways: a frame is queued at a port when it has reached it from the last."""
        ports = [port.number for port in self.found[owner].ports]
        chains = [[step] for step in steps[owner, ports[0]]]
        for port in ports[1:]:
            arriving: dict[int, list[Step]] = defaultdict(list)
            for step in steps[owner, port]:
                arriving[step.row[k.QUEUED]].append(step)
            for chain in chains:
                here = arriving[chain[-1].row[k.REACHED]]
                if len(chain) == ports.index(port) and here:
                    chain.append(here.pop(0))
        return [Way(owner, place, tuple(chain)) for place, chain in enumerate(chains)]

    def journey(self, way: Way) -> Journey:
        """Find what the frame waited for, and lay out its way."""
        owner = self.found[way.owner]
        profile = self.case.profile
        stream = {one.name: one for one in profile.every_stream}.get(owner.name)
        demand = {one.name: one for one in profile.demands}.get(owner.name)
        what = stream or demand
        assert what is not None, "a plan names streams and demands of the profile only"
        rows = [i for i, one in enumerate(self.found) if one.name == owner.name]
        sent = [step for step in way.steps if step.row[k.STARTED] != k.REFUSED]
        first = way.steps[0].row
        last = way.steps[-1]
        arrived = len(sent) == len(owner.ports) and last.row[k.REACHED] <= self.end_ps
        loss = None
        if way.is_lost:
            port = self.case.topology.ports[last.port]
            loss = Loss(port=port.name, time_ps=last.row[k.QUEUED], held_bytes=last.row[k.ENDED])
        waits = self.waits(way.owner, sent)
        born = first[k.BORN]
        number = sum(1 for _ in takewhile(lambda one: one < born, self.births(way.owner)))
        return Journey(
            name=owner.name,
            service=what.service,
            traffic_class=what.traffic_class,
            path=rows.index(way.owner) + 1,
            path_count=len(rows),
            number=number + way.place + 1,
            frame_bytes=first[k.TRACED_LABEL] & 0xFFFF,
            birth_ps=first[k.BORN],
            latency_ps=last.row[k.REACHED] - first[k.BORN] if arrived else None,
            hops=tuple(
                self._hop(owner, place, step, wait)
                for place, step, wait in zip(count(), sent, waits, strict=False)
            ),
            loss=loss,
        )

    @property
    def end_ps(self) -> int:
        return self.case.profile.simulation.duration_ps

    def _hop(self, owner: Owner, place: int, step: Step, waits: tuple[Wait, ...]) -> Hop:
        port = owner.ports[place]
        row = step.row
        rest = row[k.REACHED] - row[k.ENDED] - port.propagation_ps
        is_last = place + 1 == len(owner.ports)
        interval = 0
        if owner.cycles:
            interval = (row[k.BORN] - owner.law.first_ps) // owner.law.gap
        return Hop(
            port=port.name,
            queued_ps=row[k.QUEUED],
            started_ps=row[k.STARTED],
            ended_ps=row[k.ENDED],
            reached_ps=row[k.REACHED],
            propagation_ps=port.propagation_ps,
            processing_ps=0 if is_last else rest,
            damper_ps=rest if is_last else 0,
            planned_cycle=(
                owner.cycles[place] + interval * owner.law.period_cycles if owner.cycles else None
            ),
            cycle=row[k.LEFT_IN] if owner.cycles else None,
            waits=waits,
        )

    def waits(self, number: int, sent: Sequence[Step]) -> list[tuple[Wait, ...]]:
        """Return, for each port of a way, what the frame waited for there."""
        owner = self.found[number]
        ports = self.case.topology.ports
        watch = {
            step.port: (
                step.row[k.QUEUED]
                - serialisation_ps(FRAME_BYTES_HIGHEST, ports[step.port].rate_bps),
                step.row[k.STARTED] + self._later_ps(ports[step.port]),
            )
            for step in sent
            if step.row[k.STARTED] > step.row[k.QUEUED]
        }
        tallies = {
            step.port: Waiting(self.begin, number, ports[step.port], step.row) for step in sent
        }
        over = max((until for _, until in watch.values()), default=0)
        if owner.cycles:
            self._begin_cycles(owner, sent, tallies)
        if watch:
            for course, found in play(*self.case, watch=watch):
                self.show(course)
                for one in found:
                    tallies[one.port].add(one)
                if course.now_ps >= over:
                    break
        return [tallies[step.port].parts() for step in sent]

    def _later_ps(self, port: Port) -> int:
        """Return how much later a frame that was cut before may be done, at a port with such."""
        if any(one.preemptable for one in self.case.profile.classes):
            return CUT_FRAMES * serialisation_ps(FRAME_BYTES_HIGHEST, port.rate_bps)
        return 0

    def _begin_cycles(
        self, owner: Owner, sent: Sequence[Step], tallies: dict[int, Waiting]
    ) -> None:
        """Tell when the cycle began in which the frame left each port."""
        network = Course(*self.case, threads=1).world.network
        for place, step in enumerate(sent):
            interval = (step.row[k.BORN] - owner.law.first_ps) // owner.law.gap
            planned = owner.cycles[place] + interval * owner.law.period_cycles
            shown = int(network.phase[step.port]) + step.row[k.LEFT_IN] * network.cycle
            errors = network.clock_error[network.clock[step.port]]
            begin = int(when_shown(shown, errors, network.block))
            tallies[step.port].cycle_begins(begin, missed=step.row[k.LEFT_IN] != planned)
