"""Gate control lists that the traffic file gives, as lists of a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import product

from qnet.model.gates import HELD, GateEntry, GateList
from qnet.model.topology import Topology
from qnet.model.traffic import GateControl, Profile
from qnet.schedule.qbv.network import Gated


def given_gates(topology: Topology, profile: Profile) -> Gated:
    """Return the list of each port that is given one.

    Lists of a plan begin when the node's clock shows 0: one of 3 ms with a base time of 1 ms is
    turned, so that its last 2 ms come first. What a list leaves to each class is in `ClassRooms`.
    """
    lists = {}
    for control in profile.gates:
        entries = _turned(profile, control)
        for port in topology.ports:
            if port.name in control.at or port.source in control.at:
                lists[port.number] = GateList(port=port.name, entries=entries)
    free_bps = {number: topology.ports[number].reservable_bps for number in lists}
    return Gated({}, None, None, tuple(lists[number] for number in sorted(lists)), free_bps)


class ClassRooms:
    """What the windows of gate lists leave to each class, beside what others are given there.

    Of the time that a class is open, one of higher or the same priority takes as much as it sends,
    or as they are open together. `load_bps` is what there is already, by class and port.
    """

    def __init__(
        self,
        topology: Topology,
        profile: Profile,
        gates: Sequence[GateList],
        load_bps: Mapping[tuple[str, int], int],
    ) -> None:
        self._priority = {one.name: one.priority for one in profile.classes}
        self._load_bps = Counter(load_bps)
        queues = profile.queue_by_class
        self._together_bps: dict[tuple[str, str, int], int] = {}
        self.ports = tuple(topology.port_by_name[made.port].number for made in gates)
        for made in gates:
            port = topology.port_by_name[made.port]
            cycle_ps = sum(one.interval_ps for one in made.entries)
            for one, other in product(queues, queues):
                both = 1 << queues[one] | 1 << queues[other]
                open_ps = sum(
                    part.interval_ps for part in made.entries if part.states & both == both
                )
                share_bps = port.reservable_bps * open_ps // cycle_ps
                self._together_bps[one, other, port.number] = share_bps

    def least_bps(self, names: Collection[str], port: int) -> int:
        """Return what classes may be given together, in the time of the one that has the least."""
        load_bps = sum(self._load_bps[name, port] for name in self._priority)
        least_bps = min(self._together_bps[name, name, port] for name in names)
        return max(least_bps - load_bps, 0)

    def free_bps(self, name: str, port: int) -> int:
        """Return what a class may still be given at a port with a list."""
        free_bps = self._left_bps(name, port)
        for other, priority in self._priority.items():
            both_bps = self._together_bps[name, other, port]
            load_bps = self._load_bps[name, port]
            if other != name and self._load_bps[other, port] and priority <= self._priority[name]:
                left_bps = self._left_bps(other, port)
                if both_bps - load_bps > left_bps:
                    free_bps = min(free_bps, left_bps)
        return max(free_bps, 0)

    def take(self, name: str, port: int, rate_bps: int) -> None:
        """Give a class some of a port."""
        self._load_bps[name, port] += rate_bps

    def _left_bps(self, name: str, port: int) -> int:
        taken_bps = sum(
            min(self._load_bps[other, port], self._together_bps[name, other, port])
            for other, priority in self._priority.items()
            if other != name and priority >= self._priority[name]
        )
        return self._together_bps[name, name, port] - taken_bps - self._load_bps[name, port]


def _turned(profile: Profile, control: GateControl) -> tuple[GateEntry, ...]:
    queues = profile.queue_by_class
    begin_ps = -control.base_time_ps % control.cycle_ps
    entries = [
        GateEntry(
            one.interval_ps,
            sum(1 << queues[name] for name in set(one.open_classes)) | HELD * one.hold,
        )
        for one in control.entries
    ]
    for number, (interval_ps, states) in enumerate(entries):
        if begin_ps < interval_ps:
            begun = [GateEntry(begin_ps, states)] if begin_ps else []
            here = GateEntry(interval_ps - begin_ps, states)
            return (here, *entries[number + 1 :], *entries[:number], *begun)
        begin_ps -= interval_ps
    raise AssertionError("what is left of the cycle is less than it")
