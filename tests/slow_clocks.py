"""How events set clocks, by the words of docs/events.md: each error by itself, whatever was before.

What is drawn (how a clock goes without events, its own frequency) is taken from the simulator.
"""

from __future__ import annotations

from collections.abc import Iterator

from qnet.model.timeline import Event
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.clocks import walks
from qnet.simulate.draws import integers
from qnet.units import PPB
from tests.slow_simulator import SlowClock

EVER = 10**30


class SlowSetting:
    """One node's clock, asked at any time."""

    def __init__(self, topology: Topology, profile: Profile, node: str) -> None:
        self.topology, self.profile, self.node = topology, profile, node
        self.end_ps = profile.simulation.duration_ps
        self.base = walks.clock_walk(topology, profile, node)
        frequency = topology.node_by_name[node].clock.frequency_ppb
        seed = profile.simulation.seed
        self.own_ppb = integers(seed, f"frequency {node}", 1, 2 * frequency + 1)[0] - frequency
        sync = topology.sync
        self.is_master = sync is not None and sync.grandmaster == node
        self.follows = sync is not None and node in topology.sync_ways and not self.is_master
        self.mine = [
            (number, one)
            for number, one in enumerate(profile.events)
            if one.change == "clock" and one.at_ps < self.end_ps and self._is_of(one)
        ]
        self.heard: list[int] = []
        """When the grandmaster sets it right."""
        if sync is not None and self.follows:
            until = min(self.end_ps, sync.lost_at_ps or self.end_ps)
            self.heard = [
                time
                for time in range(sync.interval_ps, until, sync.interval_ps)
                if not any(
                    one.at_ps < time < _end(one)
                    for _, one in self.mine
                    if one.holdover or one.grandmaster_lost
                )
            ]

    def _is_of(self, event: Event) -> bool:
        if event.grandmaster_lost:
            return self.node in self.topology.sync_ways
        nodes = [one.name for one in self.topology.nodes if event.target == one.site]
        if event.target in self.topology.node_by_name:
            return self.node == event.target
        return self.node in nodes

    def last(self, time: int) -> int:
        return max([0, *(one for one in self.heard if one <= time)])

    def held_since(self, time: int) -> int | None:
        """Since when it runs by itself, by events."""
        silent = [one for _, one in self.mine if one.holdover or one.grandmaster_lost]
        if self.follows:
            heard = self.last(time)
            return min((one.at_ps for one in silent if heard <= one.at_ps <= time), default=None)
        since: int | None = None
        lasts = [one for one in silent if one.at_ps <= time < _end(one)]
        while lasts:
            since = min(one.at_ps for one in lasts)
            lasts = [one for one in silent if one.at_ps < since < _end(one)]
        return since

    def slope(self, time: int) -> int:
        """Of its error, by the drift in force at a time."""
        lasts = [
            (one.at_ps, number, one.drift_ppb)
            for number, one in self.mine
            if one.drift_ppb is not None and one.at_ps <= time < _end(one)
        ]
        return -max(lasts)[2] if lasts else 0

    def bends(self, since: int, time: int) -> list[int]:
        """When the drift changes, from one time to another, the first included."""
        edges = {since}
        for _, one in self.mine:
            edges |= {edge for edge in (one.at_ps, _end(one)) if since < edge <= time}
        found: list[int] = []
        for edge in sorted(edges):
            if not found or self.slope(edge) != self.slope(found[-1]):
                found.append(edge)
        return found

    def steps(self, since: int, time: int, *, before: bool = False) -> int:
        """By how much steps have set it ahead, those not counted that are corrected or undone."""
        return sum(
            one.step_ps
            for _, one in self.mine
            if one.step_ps is not None and since <= one.at_ps <= time - before and _end(one) > time
        )

    def offset(self, time: int, at: int, *, before: bool = False) -> int:
        """Error by events at a time, as the clock is set at another one, or just before that."""
        since = self.last(at)
        start = 0
        if since and self.follows:
            assert self.topology.sync is not None
            master = SlowSetting(self.topology, self.profile, self.topology.sync.grandmaster)
            start = master.offset(since, since, before=True)
        bends = self.bends(since, at - before)
        for begin, end in zip(bends, [*bends[1:], time], strict=True):
            start += self.slope(begin) * (end - begin) // PPB
        return start - self.steps(since, at, before=before)

    def errors(self, at: int) -> tuple[int, ...]:
        """At full milliseconds, as it goes when it is set at a time."""
        held = self.held_since(at)
        own = list(self.base)
        if held is not None:
            kept = SlowClock(tuple(self.base), walks.CLOCK_BLOCK_PS).error(held)
            own = [
                kept + self.own_ppb * (i * walks.CLOCK_BLOCK_PS - held) // PPB
                for i in range(len(own))
            ]
        return tuple(one + self.offset(i * walks.CLOCK_BLOCK_PS, at) for i, one in enumerate(own))

    def times(self) -> Iterator[int]:
        """When it may be set otherwise."""
        sync = self.topology.sync
        yield from self.heard
        events = self.mine
        if sync is not None and self.follows:
            events = [*events, *SlowSetting(self.topology, self.profile, sync.grandmaster).mine]
        for _, one in events:
            yield one.at_ps
            yield _end(one)


def _end(event: Event) -> int:
    return EVER if event.duration_ps is None else event.at_ps + event.duration_ps


def clocks_of(topology: Topology, profile: Profile) -> dict[str, SlowClock]:
    """All clocks of a network, by node."""
    made = {}
    happens = any(one.change == "clock" for one in profile.events)
    for node in topology.nodes:
        clock = SlowSetting(topology, profile, node.name)
        times = sorted({one for one in clock.times() if 0 < one < clock.end_ps}) if happens else []
        settings = [(one, clock.errors(one)) for one in times]
        first = clock.errors(0) if happens else tuple(clock.base)
        later: list[tuple[int, tuple[int, ...]]] = []
        for since, errors in settings:
            if errors != (later[-1][1] if later else first):
                later.append((since, errors))
        made[node.name] = SlowClock(first, walks.CLOCK_BLOCK_PS, tuple(later))
    return made
