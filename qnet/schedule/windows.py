"""Gate control lists that the traffic file gives, as lists of a plan."""

from __future__ import annotations

from collections.abc import Sequence

from qnet.model.gates import HELD, GateEntry, GateList
from qnet.model.topology import Topology
from qnet.model.traffic import GateControl, Profile
from qnet.schedule.qbv.network import Gated


def given_gates(topology: Topology, profile: Profile) -> Gated:
    """Return the list of each port that is given one, and what it leaves to demands there.

    Lists of a plan begin when the node's clock shows 0: one of 3 ms with a base time of 1 ms is
    turned, so that its last 2 ms come first. Demands of all classes together may use what the
    class with the least of the time has, which is on the safe side.
    """
    lists, free_bps = {}, {}
    queues = {profile.queue_by_class[one.traffic_class] for one in profile.demands}
    for control in profile.gates:
        entries = _turned(profile, control)
        for port in topology.ports:
            if port.name in control.at or port.source in control.at:
                lists[port.number] = GateList(port=port.name, entries=entries)
                opens_ps = [_open_ps(entries, queue) for queue in queues]
                least_ps = min(opens_ps, default=control.cycle_ps)
                free_bps[port.number] = port.reservable_bps * least_ps // control.cycle_ps
    return Gated({}, None, None, tuple(lists[number] for number in sorted(lists)), free_bps)


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


def _open_ps(entries: Sequence[GateEntry], queue: int) -> int:
    return sum(one.interval_ps for one in entries if one.states >> queue & 1)
