"""Where did this frame wait? The run is played again, and the frame followed.

Runs repeat exactly. So the run itself keeps no more than when the best and the worst frames were
born, and two replays find the rest: one follows the frame, one writes down what left the ports
while it waited there.
"""

from __future__ import annotations

import difflib
import heapq
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, takewhile
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import ArgumentError, Infeasible, InputError, Problem
from qnet.model.fields import FRAME_BYTES_HIGHEST
from qnet.model.journey import Hop, Journey, Loss, Wait
from qnet.model.loads import every_demand
from qnet.model.observation import Observation, Traffic
from qnet.model.plan import Plan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import LEG, Profile
from qnet.progress import Heeded, Progress
from qnet.simulate.clocks.kernels import ClockTable, setting_at, when_shown
from qnet.simulate.frame_sources import FrameSource, sources_of
from qnet.simulate.kernels.sources import advance, draw_size
from qnet.simulate.ports.account import why_gone
from qnet.simulate.ports.kernels.timed import emit_next
from qnet.simulate.ports.parts import TIMED
from qnet.simulate.run import Course
from qnet.simulate.tracing import leading, play, rows_of
from qnet.simulate.turns import begin_turn
from qnet.simulate.waiting import Waiting
from qnet.simulate.world import (
    LINK_DOWN,
    LINK_LOST,
    NO_ROOM,
    PASSED_ON,
    POSITIONS,
    REFUSED,
    NextHop,
    SourceLaw,
    SourceState,
    TraceRow,
)
from qnet.units import serialisation_ps

Ints = NDArray[np.int64]

CUT_FRAMES = 64
"""A frame that was cut is looked for among what leaves in the time of so many longest frames."""

Which = Literal["worst", "best", "lost"] | int


class TracedRun(NamedTuple):
    """What was run."""

    topology: Topology
    profile: Profile
    plan: Plan


class Step(NamedTuple):
    """One row of a frame's way: at a port, or where its copies meet."""

    port: int
    row: Sequence[int]


@dataclass(frozen=True, order=True)
class Born:
    """One frame of a path or part: its place in the order of its source, from 0, and its birth.

    `number` is that of a stream of two paths.
    """

    index: int
    birth: int
    size: int
    number: int


class FrameTrace(NamedTuple):
    """A frame's way so far: its path or part, the frame, its rows."""

    owner: int
    born: Born
    steps: tuple[Step, ...]

    @property
    def is_gone(self) -> bool:
        """Tell whether the frame was lost or discarded."""
        return bool(self.steps) and self.steps[-1].row[TraceRow.FATE] != PASSED_ON


def explain(
    case: TracedRun,
    observation: Observation,
    name: str,
    which: Which,
    progress: Progress | None = None,
) -> tuple[Journey, ...]:
    """Return the journey of a frame: the worst, the best, the first lost, or by its number from 1.

    A frame that is sent over two paths has two journeys when it is asked for by its number, or as
    the first that was lost: it was on both. Raises InputError when there is no such stream or
    demand, or no such frame.
    """
    found = sources_of(*case)
    numbers = [i for i, owner in enumerate(found) if owner.name == name]
    if not numbers:
        raise _unknown(case, found, name)
    replay = _Replay(case, found, progress)
    if isinstance(which, int):
        frames = replay.frames(numbers, which)
        if not frames:
            raise _no_frame(name, f"fewer than {which} frames were sent in this run")
        return tuple(replay.journey(replay.way(owner, born)) for owner, born in frames)
    accounts = (*observation.streams, *observation.demands)
    seen = next((one for one in accounts if one.name == name), None)
    if seen is None:
        raise _no_frame(name, "the run's observation.json says nothing of it; it is not the run's")
    if which == "lost":
        lost = replay.first_lost(numbers)
        if lost is None:
            raise _no_frame(name, "none was lost")
        return tuple(replay.journey(replay.way(owner, born)) for owner, born in lost)
    birth, latency = _extreme(seen, which)
    if birth is None or latency is None:
        raise _no_frame(name, "none was received")
    way = replay.first_way(
        numbers,
        birth,
        lambda way: (
            replay.has_arrived(way) and way.steps[-1].row[TraceRow.REACHED] - birth == latency
        ),
    )
    if way is None:
        raise Infeasible(
            f"{name}: no frame born at {birth} ps took {latency} ps this time; the run cannot be "
            "repeated, so its files or this version of qnet are not those it was made with"
        )
    return (replay.journey(way),)


def _extreme(seen: Traffic, which: Literal["worst", "best"]) -> tuple[int | None, int | None]:
    if which == "worst":
        return seen.worst_birth_ps, seen.latency_ps_max
    return seen.best_birth_ps, seen.latency_ps_min


def _unknown(case: TracedRun, found: Sequence[FrameSource], name: str) -> InputError:
    refused = [one for one in case.plan.streams if one.name == name]
    if refused:
        return _no_frame(name, f"refused, so it sent nothing: {refused[0].reason}")
    if any(one.name == name for one in case.plan.demands):
        return _no_frame(name, "nothing of it is placed, so it sent nothing")
    legs = [owner.name for owner in found if owner.name.startswith(f"{name}{LEG}")]
    if legs:
        return _no_frame(name, f"a stream to several listeners; write one of {', '.join(legs[:9])}")
    near = difflib.get_close_matches(name, [owner.name for owner in found], n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return _no_frame(name, f"no stream or demand of that name{hint}")


def _no_frame(name: str, why: str) -> InputError:
    return ArgumentError([Problem("stream", 0, 0, name, why)])


class _Replay:
    """Plays a run as often as is needed to find one frame and what it waited for."""

    def __init__(
        self,
        case: TracedRun,
        found: Sequence[FrameSource],
        progress: Progress | None,
    ) -> None:
        self.case, self.found, self.heeded = case, found, Heeded(progress, "replay")
        self.begin = Course(*case, threads=1)
        self.sources = self.begin.world.sources
        self.followed = {
            one: self.begin.followed.first[pair[0]]
            for pair in self.begin.followed.streams
            for one in pair
        }
        """Number of the first frame of its stream, by each path of two."""

    def show(self, course: Course) -> None:
        self.heeded.step(course.now_ps, course.end_ps)

    def has_arrived(self, way: FrameTrace) -> bool:
        """Tell whether the frame came to the end of its way."""
        return len(way.steps) == len(self.found[way.owner].servers) and not way.is_gone

    def _clocks(self) -> tuple[Ints, Ints, ClockTable]:
        """Return what timed sources go by: their tables, afresh, and the clocks."""
        network, parts = self.begin.world.network, self.begin.parts
        if parts is None:
            empty = np.zeros((0, 0), dtype=np.int64)
            return empty, empty.ravel(), network.clocks
        return parts.source_state.copy(), parts.timetable, network.clocks

    def births(self, number: int) -> Iterator[Born]:
        """Yield the frames that a path or part is handed, in order: its source, all by itself."""
        sources = self.sources._replace(state=self.sources.state.copy())
        state, clocks = sources.state, self._clocks()
        index = 0
        owner = self.found[number]
        for turn in owner.turns:
            if turn.from_ps > 0:
                begin_turn(owner, number, turn, sources, clocks[0])
            in_turn = count(turn.number)
            while True:
                birth = int(state[number, SourceState.NEXT_TIME])
                if birth >= min(turn.until_ps, self.end_ps):
                    break
                size = draw_size(number, state, sources.law, sources.size_bytes, sources.size_limit)
                yield Born(index, birth, int(size), next(in_turn))
                index += 1
                if sources.law[number, SourceLaw.KIND] == TIMED:
                    emit_next(number, size, state, sources.law, *clocks)
                else:
                    advance(
                        number, size, state, sources.law, sources.log_table, sources.recorded_ps
                    )

    def _in_order(self, numbers: Sequence[int]) -> Iterator[tuple[int, int, Born]]:
        """Yield birth, path or part, and frame of all frames of these, in the order of birth."""

        def labelled(number: int) -> Iterator[tuple[int, int, Born]]:
            return ((born.birth, number, born) for born in self.births(number))

        return heapq.merge(*(labelled(number) for number in numbers))

    def frames(self, numbers: Sequence[int], number: int) -> list[tuple[int, Born]]:
        """Return the frame with a number, from 1: its path or part; both its copies' if it has two.

        Frames of a demand count in the order of their births, over all its parts.
        """
        if numbers[0] not in self.followed:
            nth = next(islice(self._in_order(numbers), number - 1, None), None)
            return [] if nth is None else [(nth[1], nth[2])]
        wanted = self.followed[numbers[0]] + number - 1
        frames = []
        for one in numbers:
            copy = next((born for born in self.births(one) if born.number >= wanted), None)
            if copy is not None and copy.number == wanted:
                frames.append((one, copy))
        return frames

    def number_of(self, owner: int, born: Born) -> int:
        """Return the number of a frame, from 1; see `frames`."""
        if owner in self.followed:
            return born.number + 1 - self.followed[owner]
        numbers = self._same_name(owner)
        before = takewhile(
            lambda one: one[:2] < (born.birth, owner),
            self._in_order([one for one in numbers if one != owner]),
        )
        return born.index + 1 + sum(1 for _ in before)

    def _same_name(self, owner: int) -> list[int]:
        name = self.found[owner].name
        return [i for i, one in enumerate(self.found) if one.name == name]

    def first_lost(self, numbers: Sequence[int]) -> list[tuple[int, Born]] | None:
        """Return the frame that was lost first, with all its copies."""
        copies = _Copies(self, numbers)
        for course, found in play(*self.case, follow=leading(self.found, numbers)):
            self.show(course)
            gone = [
                (_when(row), owner, row)
                for one in found
                for owner in numbers
                for row in rows_of(self.found, owner, one).tolist()
                if row[TraceRow.FATE] != PASSED_ON
            ]
            for _, owner, row in sorted(gone, key=lambda one: one[:2]):
                if owner in self.followed:
                    lost = copies.lose(owner, row)
                    if lost is not None:
                        return lost
                else:
                    return self._that_row(owner, row)
        return None

    def _that_row(self, owner: int, row: Sequence[int]) -> list[tuple[int, Born]]:
        """Return the frame that a row is of: of those of its birth, that which has it."""
        way = self.first_way(
            [owner],
            row[TraceRow.BORN],
            lambda way: way.is_gone and list(way.steps[-1].row) == list(row),
        )
        assert way is not None, "a row is of some frame"
        return [(owner, way.born)]

    def of_birth(self, owner: int, birth: int) -> list[Born]:
        """Return the frames of a path or part that are born at a time."""
        until = takewhile(lambda one: one.birth <= birth, self.births(owner))
        return [born for born in until if born.birth == birth]

    def way(self, owner: int, born: Born) -> FrameTrace:
        """Follow one frame to the end of its way, or of the run."""
        way = self.first_way(
            [owner],
            born.birth,
            lambda way: way.born == born and (way.is_gone or self.has_arrived(way)),
        )
        if way is not None:
            return way
        return next(way for way in self.last if way.born == born)

    last: Sequence[FrameTrace] = ()
    """All ways that were followed last, as far as they went."""

    def first_way(
        self, numbers: Sequence[int], birth: int, wanted: Callable[[FrameTrace], bool]
    ) -> FrameTrace | None:
        """Follow all frames of one birth until one of them is what is looked for."""
        steps: dict[tuple[int, int], list[Step]] = defaultdict(list)
        born = {owner: self.of_birth(owner, birth) for owner in numbers}
        numbers = [owner for owner in numbers if born[owner]]
        self.last = [way for owner in numbers for way in self._chains(owner, born[owner], steps)]
        for course, found in play(*self.case, follow=leading(self.found, numbers)):
            self.show(course)
            for one in found:
                for owner in numbers:
                    rows = rows_of(self.found, owner, one)
                    mine = rows[rows[:, TraceRow.BORN] == birth]
                    steps[owner, one.port] += [Step(one.port, row) for row in mine.tolist()]
            self.last = [
                way for owner in numbers for way in self._chains(owner, born[owner], steps)
            ]
            for way in self.last:
                if wanted(way):
                    return way
        return None

    def _chains(
        self, owner: int, born: Sequence[Born], steps: dict[tuple[int, int], list[Step]]
    ) -> list[FrameTrace]:
        """Join rows to ways: by the number of a copy, or by when one port ends and the next begins.

        Frames of one birth are in the queue of their first port one behind the other. Of those of
        one size the first are sent, the last find no room; others are in it still.
        """
        servers = self.found[owner].servers
        ways = []
        if owner in self.followed:
            for one in born:
                number = one.number & 0xFFFF
                chain: list[Step] = []
                for port in servers:
                    chain += (
                        step
                        for step in steps[owner, port]
                        if step.row[TraceRow.LABEL] >> 48 & 0xFFFF == number
                    )
                ways.append(FrameTrace(owner, one, tuple(chain)))
            return ways
        chains = dict(_first_steps(born, steps[owner, servers[0]]))
        for hop, port in enumerate(servers[1:], 1):
            arriving: dict[int, list[Step]] = defaultdict(list)
            for step in steps[owner, port]:
                arriving[step.row[TraceRow.QUEUED]].append(step)
            for one in born:
                own = chains[one]
                here = arriving[own[-1].row[TraceRow.REACHED]] if len(own) == hop else []
                if here:
                    own.append(here.pop(0))
        return [FrameTrace(owner, one, tuple(chains[one])) for one in born]

    def journey(self, way: FrameTrace) -> Journey:
        """Find what the frame waited for, and lay out its way."""
        owner = self.found[way.owner]
        profile = self.case.profile
        stream = {one.name: one for one in profile.every_stream}.get(owner.name)
        demand = {one.name: one for one in every_demand(profile)}.get(owner.name)
        what = stream or demand
        assert what is not None, "a plan names streams and demands of the profile only"
        rows = [
            one for one in self._same_name(way.owner) if self.found[one].version == owner.version
        ]
        at_ports = way.steps[: len(owner.ports)]
        sent = [step for step in at_ports if step.row[TraceRow.STARTED] != REFUSED]
        met = way.steps[-1] if len(way.steps) > len(owner.ports) else None
        arrived = self.has_arrived(way) and way.steps[-1].row[TraceRow.REACHED] <= self.end_ps
        waits = self.waits(way.owner, sent)
        hops = [
            self._hop(owner, place, step, wait)
            for place, step, wait in zip(count(), sent, waits, strict=False)
        ]
        if met is not None and met.row[TraceRow.FATE] == PASSED_ON:
            left_ps = hops[-1].ended_ps + hops[-1].propagation_ps
            damper = {
                "damper_ps": met.row[TraceRow.REACHED] - left_ps,
                "reached_ps": met.row[TraceRow.REACHED],
            }
            hops[-1] = hops[-1].replace(**damper)
        return Journey(
            name=owner.name,
            service=what.service,
            traffic_class=what.traffic_class,
            path=rows.index(way.owner) + 1,
            path_count=len(rows),
            number=self.number_of(way.owner, way.born),
            frame_bytes=way.born.size,
            birth_ps=way.born.birth,
            latency_ps=way.steps[-1].row[TraceRow.REACHED] - way.born.birth if arrived else None,
            hops=tuple(hops),
            loss=self._loss(owner, way),
        )

    def _loss(self, owner: FrameSource, way: FrameTrace) -> Loss | None:
        """Say where and why a frame was lost or discarded."""
        if not way.is_gone:
            return None
        last = way.steps[-1]
        full = last.row[TraceRow.FATE] == NO_ROOM
        is_port = last.port < len(self.case.topology.ports)
        where = self.case.topology.ports[last.port].name if is_port else owner.ports[-1].target
        cause = why_gone(owner, last.row[TraceRow.FATE])
        topology = self.case.topology
        if last.row[TraceRow.FATE] in (LINK_LOST, LINK_DOWN):
            cause += f" {topology.link_name(topology.links[topology.ports[last.port].link])}"
        return Loss(
            port=where,
            time_ps=_when(last.row),
            cause=cause,
            held_bytes=last.row[TraceRow.ENDED] if full else None,
        )

    @property
    def end_ps(self) -> int:
        return self.case.profile.simulation.duration_ps

    def _hop(self, owner: FrameSource, place: int, step: Step, waits: tuple[Wait, ...]) -> Hop:
        port = owner.ports[place]
        row = step.row
        is_last = place + 1 == len(owner.ports)
        lost = row[TraceRow.FATE] != PASSED_ON
        overlap = 0 if lost else self._overlap(owner, row)
        propagation = 0 if lost else port.propagation_ps
        rest = row[TraceRow.REACHED] - row[TraceRow.ENDED] - propagation + overlap
        if is_last and owner.elimination is not None:
            rest = 0
        interval = 0
        if owner.cycles:
            interval = (row[TraceRow.BORN] - owner.law.first_ps) // owner.law.gap
        return Hop(
            port=port.name,
            queued_ps=row[TraceRow.QUEUED],
            started_ps=row[TraceRow.STARTED],
            ended_ps=row[TraceRow.ENDED],
            reached_ps=row[TraceRow.ENDED] + propagation - overlap + rest,
            propagation_ps=propagation,
            overlap_ps=overlap,
            processing_ps=0 if is_last else rest,
            damper_ps=rest if is_last else 0,
            planned_cycle=(
                owner.cycles[place] + interval * owner.law.period_cycles if owner.cycles else None
            ),
            cycle=row[TraceRow.LEFT_IN] if owner.cycles else None,
            waits=waits,
        )

    def _overlap(self, owner: FrameSource, row: Sequence[int]) -> int:
        """Return how long before its last bit the next port might send the frame on."""
        parts, world = self.begin.parts, self.begin.world
        if parts is None or owner.cycles or owner.traffic_class.preemptable:
            return 0
        lane = int(world.routes.hop[(row[TraceRow.LABEL] >> 16) & POSITIONS, NextHop.LANE])
        head = int(parts.head[lane]) if lane >= 0 else 0
        return max(row[TraceRow.ENDED] - row[TraceRow.STARTED] - head, 0) if head > 0 else 0

    def waits(self, number: int, sent: Sequence[Step]) -> list[tuple[Wait, ...]]:
        """Return, for each port of a way, what the frame waited for there."""
        owner = self.found[number]
        ports = self.case.topology.ports
        watch = {
            step.port: (
                step.row[TraceRow.QUEUED]
                - serialisation_ps(FRAME_BYTES_HIGHEST, ports[step.port].rate_bps),
                step.row[TraceRow.STARTED] + self._later_ps(ports[step.port]),
            )
            for step in sent
            if step.row[TraceRow.STARTED] > step.row[TraceRow.QUEUED]
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
        self, owner: FrameSource, sent: Sequence[Step], tallies: dict[int, Waiting]
    ) -> None:
        """Tell when the cycle began in which the frame left each port."""
        network = Course(*self.case, threads=1).world.network
        for place, step in enumerate(sent):
            interval = (step.row[TraceRow.BORN] - owner.law.first_ps) // owner.law.gap
            planned = owner.cycles[place] + interval * owner.law.period_cycles
            shown = int(network.phase[step.port]) + step.row[TraceRow.LEFT_IN] * network.cycle
            clock, clocks = network.clock[step.port], network.clocks
            here = setting_at(step.row[TraceRow.STARTED], clock, clocks)
            begin = int(when_shown(shown, clocks.errors[here], clocks.block))
            if here > clocks.first[clock]:
                begin = max(begin, int(clocks.since[here]))
            tallies[step.port].cycle_begins(begin, missed=step.row[TraceRow.LEFT_IN] != planned)


class _Copies:
    """Which copies of frames are gone, until all of one are."""

    def __init__(self, replay: _Replay, numbers: Sequence[int]) -> None:
        self.turns = {one: replay.found[one].turns for one in numbers if one in replay.followed}
        self.sources = {one: replay.births(one) for one in self.turns}
        self.born: dict[int, list[Born]] = defaultdict(list)
        self.gone: dict[int, dict[int, Born]] = defaultdict(dict)

    def lose(self, owner: int, row: Sequence[int]) -> list[tuple[int, Born]] | None:
        """Note that a copy is gone; return all copies of its frame when none is left."""
        birth, label = row[TraceRow.BORN], row[TraceRow.LABEL]
        born = self.born[owner]
        while not born or born[-1].birth <= birth:
            more = next(self.sources[owner], None)
            if more is None:
                break
            born.append(more)
        place = bisect_left(born, birth, key=lambda one: one.birth)
        while (born[place].number - (label >> 48)) & 0xFFFF:
            place += 1
        number = born[place].number
        self.gone[number][owner] = born[place]
        sent = {
            one
            for one, turns in self.turns.items()
            if any(turn.number <= number < turn.over for turn in turns)
        }
        return sorted(self.gone[number].items()) if sent <= self.gone[number].keys() else None


def _when(row: Sequence[int]) -> int:
    """Return when a frame was lost or discarded."""
    return row[TraceRow.QUEUED] if row[TraceRow.STARTED] == REFUSED else row[TraceRow.ENDED]


def _first_steps(born: Sequence[Born], steps: Sequence[Step]) -> Iterator[tuple[Born, list[Step]]]:
    """Yield frames of one birth and their rows at their first port, which are those of one size."""
    for size in {one.size for one in born}:
        mine = [one for one in born if one.size == size]
        rows = [step for step in steps if step.row[TraceRow.LABEL] & 0xFFFF == size]
        sent = [step for step in rows if step.row[TraceRow.STARTED] != REFUSED]
        refused = [step for step in rows if step.row[TraceRow.STARTED] == REFUSED]
        inside = len(mine) - len(sent) - len(refused)
        chains = [[step] for step in sent] + [[] for _ in range(inside)]
        chains += [[step] for step in refused]
        yield from zip(mine, chains, strict=True)
