"""What clocks are by the begin of a window, told as events at its first instant.

A clock goes on in a window as it went: it is as far ahead as events have made it, drifts as much,
and hears the grandmaster or not. When a grandmaster sets it next is counted from the begin of the
window, and what is drawn for a clock is drawn anew, as in every window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from qnet.errors import Infeasible
from qnet.model.outages import nodes_by_name
from qnet.model.timeline import FOREVER_PS, Event, event
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.clocks.walks import own_drift_ppb
from qnet.units import OFFSET, PPB

STEPS_MOST = 100
"""Of the largest step there is: so far ahead a clock can be when a window begins."""

Numbered = tuple[int, Event]
"""An event of the timeline, and its number."""


class CarriedClock(NamedTuple):
    """An event that began before a window, or what is left of several."""

    number: int
    event: Event


def carried_clocks(topology: Topology, profile: Profile, from_ps: int) -> Iterator[CarriedClock]:
    """Yield what is left at a time of all events of clocks before it, as from 0 on.

    Raises Infeasible for a clock that is too far off by then.
    """
    names = nodes_by_name(topology)
    before = [
        (number, event)
        for number, event in enumerate(profile.events)
        if event.change == "clock" and event.at_ps < from_ps
    ]
    for number, one in before:
        if one.grandmaster_lost and one.end_ps > from_ps:
            yield CarriedClock(number, _rest(one, from_ps, None))
    for node in topology.nodes if before else ():
        mine = [
            (number, event)
            for number, event in before
            if _is_of(event, node.name, topology, names.get(event.target or "", ()))
        ]
        yield from _Past(topology, profile, node.name, mine, before).left(from_ps)


def _is_of(event: Event, node: str, topology: Topology, targets: Iterable[str]) -> bool:
    return node in (topology.sync_ways if event.grandmaster_lost else targets)


def _rest(event: Event, from_ps: int, node: str | None) -> Event:
    lasts_ps = None if event.end_ps == FOREVER_PS else event.end_ps - from_ps
    return event.replace(at_ps=0, duration_ps=lasts_ps, target=node)


class _Past:
    """What has happened to one clock."""

    def __init__(
        self,
        topology: Topology,
        profile: Profile,
        node: str,
        mine: Sequence[Numbered],
        before: Sequence[Numbered],
    ) -> None:
        self.topology, self.profile, self.node = topology, profile, node
        self.mine, self.before = mine, before
        sync = topology.sync
        self.follows = sync is not None and node in topology.sync_ways and node != sync.grandmaster

    def left(self, from_ps: int) -> Iterator[CarriedClock]:
        """Yield what the clock is at a time, as events that begin then."""
        since_ps = self.set_right_ps(from_ps)
        ahead_ps, by = self.gained_ps(since_ps, from_ps), -1
        for number, one in self.mine:
            by = number if one.step_ps is None else by
            is_left = one.step_ps is None or one.at_ps >= since_ps
            if one.end_ps > from_ps and is_left and not one.grandmaster_lost:
                yield CarriedClock(number, _rest(one, from_ps, self.node))
        if self.follows and since_ps > 0:
            sync = self.topology.sync
            assert sync is not None, "it follows the grandmaster"
            names = nodes_by_name(self.topology)
            of_master = [
                (number, event)
                for number, event in self.before
                if sync.grandmaster in names.get(event.target or "", ())
            ]
            master = _Past(self.topology, self.profile, sync.grandmaster, of_master, self.before)
            ahead_ps += master.ahead_ps(since_ps)
            by = of_master[-1][0] if of_master and by < 0 else by
        yield from self._steps(ahead_ps, by)

    def _steps(self, ahead_ps: int, by: int) -> Iterator[CarriedClock]:
        if abs(ahead_ps) > STEPS_MOST * OFFSET.highest:
            raise Infeasible(
                f"a clock of {self.node} that events have put off by more than "
                f"{STEPS_MOST * OFFSET.highest // 10**12} s when a window begins"
            )
        while ahead_ps:
            step_ps = max(min(ahead_ps, OFFSET.highest), OFFSET.lowest)
            ahead_ps -= step_ps
            made = event("clock", self.node, at="0ps", step=f"{step_ps}ps")
            yield CarriedClock(by, made)

    def set_right_ps(self, time_ps: int) -> int:
        """Return when the grandmaster last set the clock right, or 0."""
        sync = self.topology.sync
        if sync is None or not self.follows:
            return 0
        last_ps = min(time_ps, (sync.lost_at_ps or FOREVER_PS) - 1) // sync.interval_ps
        silent = [one for _, one in self.mine if one.holdover or one.grandmaster_lost]
        while last_ps > 0:
            now_ps = last_ps * sync.interval_ps
            deaf = [one.at_ps for one in silent if one.at_ps < now_ps < one.end_ps]
            if not deaf:
                return now_ps
            last_ps = min(deaf) // sync.interval_ps
        return 0

    def gained_ps(self, since_ps: int, until_ps: int) -> int:
        """Return what drifts have come to, and its own frequency while it was alone."""
        edges = {since_ps, until_ps}
        for _, one in self.mine:
            edges |= {time for time in (one.at_ps, one.end_ps) if since_ps < time < until_ps}
        order, gained = sorted(edges), 0
        own_ppb = own_drift_ppb(self.topology, self.profile, self.node)
        for begin_ps, end_ps in pairwise(order):
            drifts = [
                (one.at_ps, number, one.drift_ppb)
                for number, one in self.mine
                if one.drift_ppb is not None and one.at_ps <= begin_ps < one.end_ps
            ]
            drift_ppb = max(drifts)[2] if drifts else 0
            if self._is_alone(since_ps, begin_ps):
                drift_ppb -= own_ppb
            gained += drift_ppb * (end_ps - begin_ps) // PPB
        return gained

    def _is_alone(self, since_ps: int, time_ps: int) -> bool:
        silent = [one for _, one in self.mine if one.holdover or one.grandmaster_lost]
        if self.follows:
            return any(since_ps <= one.at_ps <= time_ps for one in silent)
        return any(one.at_ps <= time_ps < one.end_ps for one in silent)

    def ahead_ps(self, time_ps: int) -> int:
        """Return how far ahead a grandmaster is by steps and drifts, but for what begins then."""
        steps = sum(one.step_ps or 0 for _, one in self.mine if one.at_ps < time_ps < one.end_ps)
        return steps + self.gained_ps(0, time_ps)
