"""How far events can take clocks from true time, and how fast.

What a plan is proven for are the `error` of a clock, its distance from true time, and the `wander`,
how much that changes within a millisecond, be it at once. Both are bounded here for the clocks that
events touch: what they can be without events, and what the events come to.

- A step counts at once, until it is undone or the clock is set right by the grandmaster; what a
  drift comes to likewise. What they make of the grandmaster's own clock goes to all that follow it.
- A clock that hears nobody keeps what it has. Its own frequency is known by its bound only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from qnet.check.conditions import clock_bounds
from qnet.model.timeline import Event
from qnet.model.topology import Clock, Topology
from qnet.model.traffic import Profile
from qnet.units import PPB, PS_PER_MS

SETTINGS_MOST = 100_000
"""Beyond so many settings by a grandmaster nothing is worked out."""

ROUNDED_PS = 4
"""What roundings can come to: of drifts, of errors between two milliseconds."""


class ClockReach(NamedTuple):
    """What the clock of a node can come to in a run with events."""

    error_ps: int | None
    """Largest error; None where it is not worked out."""
    wander_ps: int
    """Largest change within a millisecond."""
    beyond_ps: int | None
    """From when on it can be more than plans are made for; None for never."""


@dataclass
class _State:
    """What events have made of a clock by now, in how far it is ahead."""

    ahead_ps: Fraction = Fraction(0)
    now_ps: int = 0
    steps: dict[int, int] = field(default_factory=dict)
    drifts: dict[int, int] = field(default_factory=dict)
    """In force, that begun last at the end."""
    deaf: set[int] = field(default_factory=set)
    alone_from_ps: int | None = None

    @property
    def drift_ppb(self) -> int:
        return [0, *self.drifts.values()][-1]

    def go_on(self, now_ps: int) -> None:
        self.ahead_ps += Fraction(self.drift_ppb * (now_ps - self.now_ps), PPB)
        self.now_ps = now_ps


class _Stretch(NamedTuple):
    """A time in which nothing happens to a clock."""

    from_ps: int
    jump_ps: Fraction
    """By how much it was set at the begin."""
    most_ps: Fraction
    """How far it is off at most, by events."""
    pace_ppb: int
    """How fast it moves, by events."""


class _Clocks:
    """The clocks of a run, one asked after the other."""

    def __init__(self, topology: Topology, profile: Profile) -> None:
        self.topology, self.profile = topology, profile
        self.end_ps = profile.simulation.duration_ps
        self.master = "" if topology.sync is None else topology.sync.grandmaster
        self.mine: dict[str, list[tuple[int, Event]]] = defaultdict(list)
        for number, event in enumerate(profile.events):
            if event.change == "clock" and event.at_ps < self.end_ps:
                for name in self._named(event):
                    self.mine[name].append((number, event))
        self._of_master: list[tuple[int, Fraction, int]] = []
        """When, how far it is ahead by then and by how much it drifts from then on."""

    def _named(self, event: Event) -> Iterable[str]:
        if event.grandmaster_lost:
            return self.topology.sync_ways
        if event.target in self.topology.node_by_name:
            return [event.target] if event.target else []
        return [one.name for one in self.topology.nodes if one.site == event.target]

    def follows(self, name: str) -> bool:
        return name in self.topology.sync_ways and name != self.master

    def touched(self) -> list[str]:
        """Return the nodes whose clocks events do anything to, in the order of the file."""
        followers = {name for name in self.topology.sync_ways if self.mine.get(self.master)}
        followers.update(self.mine)
        return [one.name for one in self.topology.nodes if one.name in followers]

    def acts(self, name: str) -> Iterator[tuple[int, list[int], bool, list[tuple[int, Event]]]]:
        """Yield each instant: what is over, whether the grandmaster speaks, what begins."""
        over: dict[int, list[int]] = defaultdict(list)
        begun: dict[int, list[tuple[int, Event]]] = defaultdict(list)
        for number, event in self.mine.get(name, ()):
            begun[event.at_ps].append((number, event))
            if event.duration_ps is not None:
                over[event.at_ps + event.duration_ps].append(number)
        spoken: range = range(0)
        sync = self.topology.sync
        if sync is not None and self.follows(name):
            until_ps = min(self.end_ps, sync.lost_at_ps or self.end_ps)
            spoken = range(sync.interval_ps, until_ps, sync.interval_ps)
        for now_ps in sorted({0, *over, *begun, *spoken}):
            if now_ps < self.end_ps:
                yield now_ps, over[now_ps], now_ps in spoken, begun[now_ps]

    def stretches(self, name: str) -> Iterator[_Stretch]:
        """Yield the times between what happens to a clock, to the end."""
        clock = self.topology.node_by_name[name].clock
        base_ps, _ = clock_bounds(self.topology, name, self.end_ps)
        state, open_ = _State(), _Stretch(0, Fraction(0), Fraction(0), 0)
        for now_ps, over, is_spoken, begun in self.acts(name):
            if now_ps > 0:
                yield self._closed(open_, state, now_ps, clock)
            state.go_on(now_ps)
            before_ps = state.ahead_ps
            for number in over:
                state.ahead_ps -= state.steps.pop(number, 0)
                state.drifts.pop(number, None)
                state.deaf.discard(number)
            jump_ps = Fraction(0)
            is_heard = not state.deaf and (is_spoken or not self.follows(name))
            if is_heard and state.alone_from_ps is not None:
                alone_ps = now_ps - state.alone_from_ps
                jump_ps += 2 * base_ps + Fraction(clock.frequency_ppb * alone_ps, PPB)
                state.alone_from_ps = None
            if is_spoken and not state.deaf:
                state.ahead_ps, state.steps = self._master_ahead(now_ps), {}
            if name == self.master:
                self._of_master.append((now_ps, state.ahead_ps, state.drift_ppb))
            for number, event in begun:
                self._begin(state, number, event)
            if name == self.master:
                self._of_master.append((now_ps, state.ahead_ps, state.drift_ppb))
            jump_ps += abs(state.ahead_ps - before_ps)
            open_ = _Stretch(now_ps, jump_ps, abs(state.ahead_ps), 0)
        yield self._closed(open_, state, self.end_ps, clock)

    def _closed(self, one: _Stretch, state: _State, until_ps: int, clock: Clock) -> _Stretch:
        last_ps = state.ahead_ps + Fraction(state.drift_ppb * (until_ps - state.now_ps), PPB)
        most_ps, pace_ppb = max(one.most_ps, abs(last_ps)), abs(state.drift_ppb)
        if state.alone_from_ps is not None:
            alone_ps = until_ps - state.alone_from_ps
            most_ps += Fraction(clock.frequency_ppb * alone_ps, PPB)
            pace_ppb += clock.frequency_ppb
        return one._replace(most_ps=most_ps, pace_ppb=pace_ppb)

    def _begin(self, state: _State, number: int, event: Event) -> None:
        if event.step_ps is not None:
            state.steps[number] = event.step_ps
            state.ahead_ps += event.step_ps
        elif event.drift_ppb is not None:
            state.drifts[number] = event.drift_ppb
        else:
            state.deaf.add(number)
            if state.alone_from_ps is None:
                state.alone_from_ps = state.now_ps

    def _master_ahead(self, now_ps: int) -> Fraction:
        """Return how far the grandmaster is ahead by events, before those that begin now."""
        if not self._of_master:
            for _ in self.stretches(self.master):
                pass
        known = [one for one in self._of_master if one[0] < now_ps]
        known += [one for one in self._of_master if one[0] == now_ps][:1]
        at_ps, ahead_ps, drift_ppb = known[-1]
        return ahead_ps + Fraction(drift_ppb * (now_ps - at_ps), PPB)


def clock_reaches(topology: Topology, profile: Profile) -> Mapping[str, ClockReach]:
    """Return what the clocks that events touch can come to, by node."""
    clocks = _Clocks(topology, profile)
    return {name: _reach(clocks, name) for name in clocks.touched()}


def _reach(clocks: _Clocks, name: str) -> ClockReach:
    """Add up what a clock can be without events, and what they make of it.

    A step of 3 us on a clock within 1 us that wanders by 10 ns: 4 us, and 3.01 us at once.
    """
    topology = clocks.topology
    clock, sync = topology.node_by_name[name].clock, topology.sync
    if sync is not None and clocks.end_ps // sync.interval_ps > SETTINGS_MOST:
        return ClockReach(None, 0, 0)
    base_ps, base_wander_ps = clock_bounds(topology, name, clocks.end_ps)
    error_ps, wander_ps, beyond_ps = base_ps, base_wander_ps, None
    recent: list[_Stretch] = []
    for one in clocks.stretches(name):
        recent = [each for each in recent if one.from_ps - each.from_ps <= PS_PER_MS] + [one]
        jumps_ps = sum(each.jump_ps for each in recent)
        pace_ppb = max(each.pace_ppb for each in recent)
        moved_ps = jumps_ps + Fraction(pace_ppb * PS_PER_MS, PPB)
        if not (one.most_ps or moved_ps):
            continue
        error = base_ps + _up(one.most_ps) + ROUNDED_PS
        wander = base_wander_ps + _up(moved_ps) + ROUNDED_PS
        if beyond_ps is None and (error > clock.error_ps or wander > clock.wander_ps):
            beyond_ps = one.from_ps
        error_ps, wander_ps = max(error_ps, error), max(wander_ps, wander)
    return ClockReach(error_ps, wander_ps, beyond_ps)


def clocks_beyond(reaches: Mapping[str, ClockReach]) -> Mapping[str, int]:
    """Return from when on clocks may be beyond what plans are made for, by node."""
    return {name: one.beyond_ps for name, one in reaches.items() if one.beyond_ps is not None}


def _up(exact: Fraction) -> int:
    return -int(-exact // 1)


def with_wider_clocks(topology: Topology, reaches: Mapping[str, ClockReach]) -> Topology | None:
    """Return the network with clocks that may be as wrong as events make them.

    None where some clock is not worked out, or would be no clock any more, or where all are within
    what they have.
    """
    if all(one.beyond_ps is None for one in reaches.values()):
        return None
    nodes = []
    for node in topology.nodes:
        reach = reaches.get(node.name)
        if reach is None or reach.beyond_ps is None:
            nodes.append(node)
            continue
        clock = node.clock
        most_ps = reach.wander_ps + clock.granularity_ps
        most_ps += -(-clock.frequency_ppb * PS_PER_MS // PPB)
        if reach.error_ps is None or most_ps >= PS_PER_MS:
            return None
        wider = clock.replace(
            error_ps=max(clock.error_ps, reach.error_ps),
            wander_ps=max(clock.wander_ps, reach.wander_ps),
        )
        nodes.append(node.replace(clock=wider))
    return topology.replace(nodes=tuple(nodes))
