"""What events make of clocks: how each is set, and from when on.

An error is what a clock is behind true time. On top of what it is without events there is an offset
that events give it and a drift that makes it grow; a clock that hears the grandmaster no more keeps
what it has, and its own frequency offset adds up. Where a grandmaster sets clocks, each setting
right takes that away again, and gives what events have made of the grandmaster's own clock.

A run ends a window at every setting and goes by its errors from then on. They are known at full
milliseconds, also before it, as if the clock had always gone so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.errors import Infeasible
from qnet.model.outages import nodes_by_name
from qnet.model.timeline import Event
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.clocks import walks
from qnet.simulate.clocks.kernels import ClockTable, error_at
from qnet.simulate.clocks.walks import clock_walk, own_drift_ppb
from qnet.simulate.world import NEVER, Network, PortTally, World
from qnet.units import PPB

Ints = NDArray[np.int64]

SETTINGS_HIGHEST = 10_000
"""Of one clock in a run."""

SETS_HIGHEST = 100_000
"""By the grandmaster, while events tell for a clock."""

ERRORS_HIGHEST = 50_000_000
"""Kept of all settings of all clocks."""


class ClockSetting(NamedTuple):
    """How a clock goes from a time on, until it is set otherwise."""

    from_ps: int
    errors: Ints
    """At full milliseconds."""


class _Acts(NamedTuple):
    """What happens to a clock at one instant, in this order."""

    over: list[int]
    """Numbers of events of which `for` is over."""
    is_set: bool
    """Whether the grandmaster would set it."""
    begun: list[int]


@dataclass
class _Clock:
    """A clock while its events are gone through in order of time."""

    base: Ints
    own_ppb: int
    """How much it falls behind when nobody corrects it."""
    events: Sequence[Event]
    offset_ps: int = 0
    """Error by events at `since_ps`."""
    since_ps: int = 0
    drift_ppb: int = 0
    held: tuple[int, int] | None = None
    """From when on nobody sets it, and the error that it has then."""
    steps: dict[int, int] = field(default_factory=dict)
    """Steps that nothing has corrected, by event."""
    drifts: list[int] = field(default_factory=list)
    silent: set[int] = field(default_factory=set)
    """Events by which it hears nobody."""

    def offset_at(self, time_ps: int) -> int:
        """Return its error by events: what it was at `since_ps`, and the drift, rounded down."""
        return self.offset_ps + self.drift_ppb * (time_ps - self.since_ps) // PPB

    def end(self, number: int, time_ps: int) -> None:
        """Undo an event."""
        self.offset_ps += self.steps.pop(number, 0)
        self.silent.discard(number)
        if number in self.drifts:
            self.drifts.remove(number)
            self._drift(time_ps)

    def begin(self, number: int, time_ps: int) -> None:
        """Apply an event."""
        event = self.events[number]
        if event.step_ps is not None:
            self.steps[number] = event.step_ps
            self.offset_ps -= event.step_ps
        elif event.drift_ppb is not None:
            self.drifts.append(number)
            self._drift(time_ps)
        else:
            self.silent.add(number)
            if self.held is None:
                self.held = time_ps, int(error_at(time_ps, self.base, walks.CLOCK_BLOCK_PS))

    def set_right(self, time_ps: int, offset_ps: int) -> None:
        """Set it as the grandmaster says, whose clock events have put off by so much."""
        self.offset_ps, self.since_ps, self.held = offset_ps, time_ps, None
        self.steps.clear()

    def setting(self, time_ps: int) -> ClockSetting:
        """Return how it goes from now on."""
        blocks = np.arange(self.base.size) * walks.CLOCK_BLOCK_PS
        errors = self.base
        if self.held is not None:
            errors = self.held[1] + _grown(self.own_ppb, blocks - self.held[0])
        grown = self.offset_ps + _grown(self.drift_ppb, blocks - self.since_ps)
        return ClockSetting(time_ps, errors + grown)

    @property
    def is_usual(self) -> bool:
        """Tell whether setting it right changes nothing, if the grandmaster is right."""
        return self.held is None and not (self.offset_ps or self.drift_ppb)

    def _drift(self, time_ps: int) -> None:
        """Let it drift by the event that began last and is not over."""
        last = self.events[self.drifts[-1]].drift_ppb if self.drifts else None
        drift_ppb = -last if last is not None else 0
        if drift_ppb != self.drift_ppb:
            self.offset_ps, self.since_ps = self.offset_at(time_ps), time_ps
            self.drift_ppb = drift_ppb


def _grown(drift_ppb: int, times_ps: Ints) -> Ints:
    """Return what a drift comes to in some times: exact, where a product would not fit."""
    whole, rest = np.divmod(times_ps, PPB)
    grown: Ints = whole * drift_ppb + rest * drift_ppb // PPB
    return grown


class ClockSettings:
    """How all clocks of a run go."""

    def __init__(self, topology: Topology, profile: Profile) -> None:
        self.topology, self.profile = topology, profile
        self.end_ps = profile.simulation.duration_ps
        self._known: dict[str, list[ClockSetting]] = {}
        self._master = topology.sync.grandmaster if topology.sync is not None else ""
        self._told: list[tuple[int, int, int, int, int]] = []
        """Of the grandmaster: when, before (0) or after (1) what begins then, error by events then,
        since when it drifts, and how much."""

    @cached_property
    def _events_by_node(self) -> Mapping[str, Sequence[int]]:
        """Numbers of the events of each node's clock, before the end of the run."""
        names = nodes_by_name(self.topology)
        found: dict[str, list[int]] = defaultdict(list)
        for number, event in enumerate(self.profile.events):
            if event.change == "clock" and event.at_ps < self.end_ps:
                of = names.get(event.target or "", ())
                for node in self.topology.sync_ways if event.grandmaster_lost else of:
                    found[node].append(number)
        return found

    def settings(self, node: str) -> Sequence[ClockSetting]:
        """Return how a node's clock goes, from time 0 on. Raises Infeasible for too many."""
        if node not in self._known:
            self._known[node] = list(self._settings(node))
        return self._known[node]

    def table_of(self, node: str) -> ClockTable:
        """Return the settings of one clock, which has the number 0."""
        return _table([self.settings(node)])

    def table(self, nodes: Iterable[str]) -> ClockTable:
        """Return the settings of several clocks, numbered in their order."""
        every = [self.settings(node) for node in nodes]
        blocks = sum(one.errors.size for each in every if len(each) > 1 for one in each)
        if blocks > ERRORS_HIGHEST:
            raise Infeasible(
                "events of clocks that are set so often in so long a run; drift for a shorter "
                "time, or simulate less"
            )
        return _table(every)

    def _follows(self, node: str) -> bool:
        """Tell whether a clock follows another one."""
        sync = self.topology.sync
        return sync is not None and node in self.topology.sync_ways and node != sync.grandmaster

    def _settings(self, node: str) -> Iterator[ClockSetting]:
        base = np.array(clock_walk(self.topology, self.profile, node), dtype=np.int64)
        if not self._events_by_node:
            yield ClockSetting(0, base)
            return
        own_ppb = own_drift_ppb(self.topology, self.profile, node)
        clock = _Clock(base, own_ppb, self.profile.events)
        made: ClockSetting | None = None
        count = 0
        for now_ps, acts in self._acts(node):
            master_ps = self._master_offset(now_ps) if acts.is_set else 0
            if acts.is_set and clock.is_usual and not (master_ps or acts.over or acts.begun):
                continue
            self._apply(node, clock, now_ps, acts, master_ps)
            setting = clock.setting(now_ps)
            if made is not None and np.array_equal(setting.errors, made.errors):
                continue
            made, count = setting, count + 1
            if count > SETTINGS_HIGHEST:
                raise _too_many(node)
            yield made

    def _apply(self, node: str, clock: _Clock, now_ps: int, acts: _Acts, master_ps: int) -> None:
        """Apply what happens at one instant: what is over, the grandmaster, what begins."""
        for number in acts.over:
            clock.end(number, now_ps)
        if not clock.silent and acts.is_set:
            clock.set_right(now_ps, master_ps)
        elif not clock.silent and not self._follows(node):
            clock.held = None  # the grandmaster has its own source again
        if node == self._master:
            self._told.append((now_ps, 0, clock.offset_ps, clock.since_ps, clock.drift_ppb))
        for number in acts.begun:
            clock.begin(number, now_ps)
        if node == self._master:
            self._told.append((now_ps, 1, clock.offset_ps, clock.since_ps, clock.drift_ppb))

    def _master_offset(self, now_ps: int) -> int:
        """Return the error by events of the grandmaster, without those that begin now."""
        self.settings(self._master)
        _, _, offset_ps, since_ps, drift_ppb = self._told[
            bisect_right(self._told, (now_ps, 0, NEVER, NEVER, NEVER)) - 1
        ]
        return offset_ps + drift_ppb * (now_ps - since_ps) // PPB

    def _acts(self, node: str) -> Iterator[tuple[int, _Acts]]:
        """Yield what happens to a clock at each instant before the end, from 0 on."""
        over: dict[int, list[int]] = defaultdict(list)
        begun: dict[int, list[int]] = defaultdict(list)
        for number in self._events_by_node.get(node, ()):
            event = self.profile.events[number]
            begun[event.at_ps].append(number)
            if event.end_ps < self.end_ps:
                over[event.end_ps].append(number)
        sets = self._sets(node) if self._follows(node) else range(0)
        for now_ps in sorted({0, *over, *begun, *sets}):
            yield now_ps, _Acts(over[now_ps], now_ps in sets, begun[now_ps])

    def _sets(self, node: str) -> range:
        """Return when the grandmaster sets a clock, from the first event on that counts for it."""
        sync = self.topology.sync
        assert sync is not None, "it follows the grandmaster"
        of = [*self._events_by_node.get(node, ()), *self._events_by_node.get(self._master, ())]
        if not of:
            return range(0)
        first_ps = min(self.profile.events[number].at_ps for number in of)
        end_ps = min(self.end_ps, sync.lost_at_ps or self.end_ps)
        begin_ps = max(first_ps // sync.interval_ps, 1) * sync.interval_ps
        found = range(begin_ps, end_ps, sync.interval_ps)
        if len(found) > SETS_HIGHEST:
            raise _too_many(node)
        return found


def _too_many(node: str) -> Infeasible:
    return Infeasible(
        f"the clock of {node} would be set more than {SETTINGS_HIGHEST} times by events; let it "
        "drift for a shorter time, or simulate less"
    )


def _table(every: Sequence[Sequence[ClockSetting]]) -> ClockTable:
    first = np.cumsum([0, *(len(each) for each in every)])
    since = [one.from_ps for each in every for one in each]
    errors = [one.errors for each in every for one in each]
    return ClockTable(
        first, np.array(since, dtype=np.int64), np.array(errors), walks.CLOCK_BLOCK_PS
    )


def clock_settings(topology: Topology, profile: Profile) -> ClockSettings:
    """Return how all clocks of a run go."""
    return ClockSettings(topology, profile)


def is_set_otherwise(clocks: ClockTable, node: int) -> bool:
    """Tell whether events make anything of a clock while the run goes on."""
    return bool(clocks.first[node + 1] - clocks.first[node] > 1)


def reached_ps(clocks: ClockTable, node: int) -> tuple[int, int]:
    """Return the least and the largest error that a clock has in a run."""
    least, most = [], []
    for setting in range(clocks.first[node], clocks.first[node + 1]):
        begin, end = clocks.since[setting] // clocks.block, clocks.errors.shape[1]
        if setting + 1 < clocks.first[node + 1]:
            end = clocks.since[setting + 1] // clocks.block + 2
        errors = clocks.errors[setting, begin:end]
        least.append(int(errors.min()))
        most.append(int(errors.max()))
    return min(least), max(most)


class ClockChanges:
    """When clocks are set otherwise: what is written into the network's tables."""

    def __init__(self, network: Network) -> None:
        clocks = network.clocks
        self._by_time: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for node in range(clocks.first.size - 1):
            for setting in range(clocks.first[node] + 1, clocks.first[node + 1]):
                self._by_time[int(clocks.since[setting])].append((node, setting))
        self._due_ps = sorted(self._by_time, reverse=True)

    @property
    def times_ps(self) -> set[int]:
        """When a window ends."""
        return {*self._by_time}

    def apply(self, now_ps: int, world: World) -> None:
        """Let clocks go as they are set now; of what was set before, as after a checkpoint, too.

        Ports are asked again what may be sent: what has begun to leave goes on.
        """
        network, counts = world.network, world.tally.port
        while self._due_ps and self._due_ps[-1] <= now_ps:
            at_ps = self._due_ps.pop()
            for node, setting in self._by_time[at_ps]:
                network.clock_error[node] = network.clocks.errors[setting]
                if at_ps < now_ps:
                    continue
                for port in np.flatnonzero(network.clock == node):
                    if counts[port, PortTally.WAKE] != NEVER:
                        counts[port, PortTally.WAKE] = at_ps
