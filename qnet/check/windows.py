"""Judge a plan by the gate control lists that the traffic file gives, and bound what they delay.

A class may send in its windows only: between two of them its frames wait, and at the end of one no
frame begins that would not end in it. All that is said of a port is said by its node's clock.

How long the last of some frames waits (after Le Boudec and Thiran, Network Calculus, 2001: the
horizontal distance of what comes and what is served at least):

- Of a window of length w, w - b - l is sure to be used by frames that wait: b is a frame of a class
  below whose gate is open on both sides of the begin, and that may be on the wire then; l is the
  longest frame of the class, which may not fit at the end.
- What has come before the frame, since its class last had nothing to send, is at most that class's
  token bucket. A frame of a class below that began just before may be in the way once more.
- A class above takes what it sends, if its gate is ever open in the same moment. In a time t that
  is no more than its bucket lets through in t and the time its own frames may wait.
- The worst begin is when the longest frame just no longer fits into a window. Of all amounts of
  work the worst are nothing but the burst, and what just no longer fits into some window.

One class open 1 ms of 3 ms, frames of 84 bytes at 1 Gb/s (672 ns) one at a time: a frame that comes
671 ns before the close waits those and 2 ms, and takes 672 ns, less the gap that follows its last
bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qnet.check.findings import Findings, quoted
from qnet.check.line import ceil_div
from qnet.model.gates import HELD
from qnet.model.plan import Plan
from qnet.model.topology import Clock, Topology
from qnet.model.traffic import GateControl, Profile
from qnet.units import PS_PER_MS

STEPS_HIGHEST = 2_000_000
"""Nothing is proven where more windows than this would have to be gone through."""


class GateChange(NamedTuple):
    """From `at_ps` in the cycle on, by the node's clock, these classes may send."""

    at_ps: int
    classes: frozenset[str]
    holds: bool


class GivenList(NamedTuple):
    """The list of one port: what changes, in order; the last lasts until the first comes again."""

    cycle_ps: int
    changes: tuple[GateChange, ...]

    def windows(self, name: str) -> list[tuple[int, int]]:
        """Return begin and length of each time that a class is open, over the cycle's end too."""
        states = [name in one.classes for one in self.changes]
        if all(states):
            return [(0, self.cycle_ps)]
        first = next((i for i, state in enumerate(states) if state and not states[i - 1]), None)
        if first is None:
            return []
        found: list[tuple[int, int]] = []
        for i in (*range(first, len(states)), *range(first)):
            begin, length = self.changes[i].at_ps, self._length_ps(i)
            if not states[i]:
                continue
            if states[i - 1] and found:
                found[-1] = (found[-1][0], found[-1][1] + length)
            else:
                found.append((begin, length))
        return sorted(found)

    def meet(self, one: str, other: str) -> bool:
        """Say whether two classes are ever open in the same moment."""
        return any({one, other} <= change.classes for change in self.changes)

    def open_through(self) -> dict[int, frozenset[str]]:
        """Return, by each moment of change, the classes that are open just before and in it."""
        return {
            change.at_ps: change.classes & self.changes[i - 1].classes
            for i, change in enumerate(self.changes)
        }

    def _length_ps(self, number: int) -> int:
        following = self.changes[(number + 1) % len(self.changes)].at_ps
        return (following - self.changes[number].at_ps) % self.cycle_ps or self.cycle_ps


def given(topology: Topology, profile: Profile) -> dict[str, GivenList]:
    """Return the list that the file gives each port, by the port's name."""
    return {
        port.name: _list(one)
        for one in profile.gates
        for port in topology.ports
        if port.name in one.at or port.source in one.at
    }


def _list(control: GateControl) -> GivenList:
    """Put the changes where the clock shows them, and leave out those that change nothing."""
    at_ps, cycle_ps = control.base_time_ps, control.cycle_ps
    found = {}
    for entry in control.entries:
        begin_ps = at_ps % cycle_ps
        found[begin_ps] = GateChange(begin_ps, frozenset(entry.open_classes), entry.hold)
        at_ps += entry.interval_ps
    return GivenList(cycle_ps, _real_changes([found[begin] for begin in sorted(found)]))


def _real_changes(changes: Sequence[GateChange]) -> tuple[GateChange, ...]:
    real = [
        one
        for i, one in enumerate(changes)
        if (one.classes, one.holds) != (changes[i - 1].classes, changes[i - 1].holds)
    ]
    return tuple(real) or (GateChange(0, changes[0].classes, changes[0].holds),)


def check_given(topology: Topology, profile: Profile, plan: Plan, findings: Findings) -> None:
    """See that the plan has each list that the file gives."""
    if not profile.gates:
        return
    lists = given(topology, profile)
    planned = {made.port: made for made in plan.gates}
    for name in sorted(planned.keys() - lists.keys()):
        findings.add("gates", quoted(name), "a gate list that the traffic file does not give", name)
    for name, wanted in lists.items():
        node = topology.node_by_name[topology.port_by_name[name].source]
        if len(profile.queue_by_class) > node.queues:
            what = f"{len(profile.queue_by_class)} classes; {node.name} has {node.queues} queues"
            findings.add("gates", name, what, name)
        entries = planned[name].entries if name in planned else ()
        if node.gate_entries is not None and len(entries) > node.gate_entries:
            what = f"its list has {len(entries)} entries, {node.name} holds {node.gate_entries}"
            findings.add("limit", name, what, name)
        if _planned(profile, entries) != wanted:
            findings.add("gates", name, "its list is not the one that the traffic file gives", name)


def _planned(profile: Profile, entries: Sequence[tuple[int, int]]) -> GivenList | None:
    """Return a list of a plan as the file would give it; None where it cannot be one."""
    names = {queue: name for name, queue in profile.queue_by_class.items()}
    at_ps, changes = 0, []
    for interval_ps, states in entries:
        bits = states & ~HELD
        if interval_ps <= 0 or bits < 0 or bits >> 8:
            return None
        classes = frozenset(name for queue, name in names.items() if bits >> queue & 1)
        changes.append(GateChange(at_ps, classes, bool(states & HELD)))
        at_ps += interval_ps
    return GivenList(at_ps, _real_changes(changes)) if changes else None


class ClassArrivals(NamedTuple):
    """What one class brings to a port, in line time: see the head of this file.

    Rates are parts of `whole`. `above_burst_ps` has what classes above may send at once and while
    their frames wait; `below_ps` by class what may be in the way.
    """

    name: str
    burst_ps: int
    rate: int
    whole: int
    longest_ps: int
    above_burst_ps: int
    above_rate: int
    below_ps: Mapping[str, int]


def begins_after_ps(made: GivenList, clock: Clock, one: ClassArrivals) -> int | None:
    """Return how long, at the most, the last of all that may have come waits until it begins.

    The burst includes that frame: take its own line time from what comes out. None where the
    windows do not suffice, or would be too many to go through.
    """
    below_ps = max(
        (ps for name, ps in one.below_ps.items() if made.meet(one.name, name)), default=0
    )
    least_ps = one.burst_ps + below_ps
    windows = made.windows(one.name)
    if windows == [(0, made.cycle_ps)]:
        if one.rate + one.above_rate > one.whole or one.above_rate >= one.whole:
            return None
        busy = (least_ps + one.above_burst_ps) * one.whole
        return ceil_div(busy, one.whole - one.above_rate)
    through = made.open_through()
    in_the_way = [
        max((ps for name, ps in one.below_ps.items() if name in through[begin]), default=0)
        for begin, _ in windows
    ]
    surely = [
        length - _stretch_ps(clock, length) - blocked_ps - one.longest_ps
        for (_, length), blocked_ps in zip(windows, in_the_way, strict=True)
    ]
    cycle_ps = made.cycle_ps + _stretch_ps(clock, made.cycle_ps)
    gain_ps = sum(max(used_ps, 0) for used_ps in surely)
    if (one.rate + one.above_rate) * cycle_ps > gain_ps * one.whole or one.above_rate >= one.whole:
        return None
    each_ps = gain_ps - ceil_div(one.above_rate * cycle_ps, one.whole)
    if each_ps <= 0:
        return None
    steps = ((least_ps + one.above_burst_ps) // each_ps + 4) * len(windows)
    if steps * len(windows) > STEPS_HIGHEST:
        return None
    return max(
        _from_ps(
            number, windows, (surely, in_the_way), made.cycle_ps, clock, one, (least_ps, steps)
        )
        for number, used_ps in enumerate(surely)
        if used_ps >= 0
    )


def _from_ps(
    start: int,
    windows: Sequence[tuple[int, int]],
    uses: tuple[Sequence[int], Sequence[int]],
    cycle_ps: int,
    clock: Clock,
    one: ClassArrivals,
    work: tuple[int, int],
) -> int:
    """Return the longest wait of work that begins to come when a window is just missed."""
    (surely, in_the_way), (least_ps, steps) = uses, work
    count, most_ps = len(windows), 0
    zero_ps = max(windows[start][0] + windows[start][1] - one.longest_ps, windows[start][0])
    done_ps, reached_ps = 0, least_ps
    for number in range(start + 1, start + 1 + steps):
        rounds, place = divmod(number, count)
        used_ps = surely[place]
        if used_ps < 0:
            continue
        begin_ps = windows[place][0] + rounds * cycle_ps - zero_ps
        begin_ps += min(2 * clock.error_ps, _stretch_ps(clock, begin_ps))
        begin_ps += in_the_way[place]
        lacking = reached_ps - done_ps + one.above_burst_ps + (reached_ps > least_ps)
        above = one.above_rate * begin_ps
        into_ps = max(ceil_div(lacking * one.whole + above, one.whole - one.above_rate), 0)
        if into_ps <= used_ps:
            came_ps = (reached_ps - least_ps) * one.whole // one.rate
            most_ps = max(most_ps, begin_ps + into_ps - came_ps)
            end_ps = begin_ps + used_ps
            above_ps = one.above_burst_ps + ceil_div(one.above_rate * end_ps, one.whole)
            reached_ps = max(reached_ps, done_ps + used_ps - above_ps)
        done_ps += used_ps
    return most_ps


def _stretch_ps(clock: Clock, time_ps: int) -> int:
    """Return how much longer or shorter a time by the clock may be: its error changes evenly."""
    return clock.wander_ps * (time_ps // PS_PER_MS + 2)
