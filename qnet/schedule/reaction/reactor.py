"""Plan what is done about every fault: who is moved, where to, and from when on.

Acts are worked through in order of time: somebody hears of a fault, looks for new ways around all
that is known to be broken, and sends by them when they are installed. A new place is reserved
beside the old one, for frames of the old way are still under way when those of the new one set out;
the old place is given up when the last of them must have come, and what found no room tries again.
Low rank comes first.

What is to be taken out of use was announced: what is sent over it is moved so early that all of it
has come before.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count, takewhile
from typing import NamedTuple

from qnet.model.outages import Thing
from qnet.model.plan import Entry, Move, Plan, StreamPlan, Unmoved
from qnet.model.reaction import Reaction
from qnet.model.timeline import FOREVER_PS
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Profile, Stream
from qnet.schedule.availability import with_paths
from qnet.schedule.reaction.controller import ControllerTime, Installing
from qnet.schedule.reaction.detours import same_until, soonest_ps
from qnet.schedule.reaction.faults import (
    Fault,
    crosses,
    faults_of,
    first_miss_ps,
    heard,
    ports_down,
)
from qnet.schedule.reaction.rooms import RoomLeft

NOT_READY = "no second way is kept ready"
LOST = "the controller is lost"


def with_reactions(
    topology: Topology, profile: Profile, plan: Plan, until_ps: int | None = None
) -> Plan:
    """Return a plan with second ways kept ready, and what is moved when something breaks.

    That is until `until_ps`, or the end of a run. Classes without a declared reaction, and those
    with the policy 'none', are left as they are; what a plan has of reactions is planned anew.
    """
    plan = plan.replace(standby=(), moves=(), unmoved=())
    policies = {
        one.name: one.reaction
        for one in profile.classes
        if one.reaction is not None and one.reaction.policy != "none"
    }
    if not policies:
        return plan
    reactor = _Reactor(topology, with_paths(topology, profile), plan, policies)
    reactor.keep_ready()
    reactor.run(profile.simulation.duration_ps if until_ps is None else until_ps)
    return plan.replace(
        standby=tuple(reactor.standby),
        moves=tuple(sorted(reactor.moves, key=lambda one: one.at_ps)),
        unmoved=tuple(sorted(reactor.unmoved, key=lambda one: one.at_ps)),
    )


class _Wanted(NamedTuple):
    """A stream or demand that needs another way, and why."""

    name: str
    cause: str
    detected_ps: int | None
    """None where it was announced."""
    node: str = ""
    """Which node missed it, where that repairs."""


class _Reactor:
    """The acts of a run, worked through in order of time."""

    def __init__(
        self, topology: Topology, profile: Profile, plan: Plan, policies: Mapping[str, Reaction]
    ) -> None:
        self._topology, self._profile = topology, profile
        self._rooms = RoomLeft(topology, profile, plan)
        self.moves: list[Move] = []
        self.unmoved: list[Unmoved] = []
        asked: list[Stream | Demand] = [*profile.every_tree, *profile.demands]
        self._asked = {one.name: one for one in asked if one.traffic_class in policies}
        self._policy = {name: policies[one.traffic_class] for name, one in self._asked.items()}
        entries: list[Entry] = [*plan.streams, *plan.demands]
        self._entries = {one.name: one for one in entries if one.routes}
        """What is in force when all moves that are decided are done."""
        self._first = dict(self._entries)
        self.standby: list[StreamPlan] = []
        self._ready: dict[str, StreamPlan] = {}
        """To what a stream would switch now."""
        self._detours: dict[tuple[str, str], StreamPlan] = {}
        """By stream and point of local repair."""
        self._sent_from_ps: dict[str, int] = defaultdict(int)
        """From when on what is sent goes by its last move, where nodes repair."""
        self._controller = ControllerTime(profile.events)
        self._installing = {
            name: Installing(policy, self._controller) for name, policy in policies.items()
        }
        self._faults = faults_of(topology, profile.events)
        self._announced: list[Fault] = []
        self._lasting: dict[Fault, None] = {}
        """What is broken now, missed or not."""
        self._sent: list[str] = []
        """What was moved by the act that is being done."""
        self._acts: list[tuple[int, int, Callable[[int], None]]] = []
        self._numbers = count()

    # Before anything breaks

    def keep_ready(self) -> None:
        """Reserve a second way for every stream that is to switch to one, or its detours."""
        apart: dict[frozenset[int], list[Stream]] = defaultdict(list)
        repaired: list[Stream] = []
        for name, one in self._asked.items():
            entry = self._entries.get(name)
            if self._policy[name].policy != "failover" or not isinstance(entry, StreamPlan):
                continue
            assert isinstance(one, Stream)
            if len(entry.paths) != 1:
                continue
            if self._policy[name].repairs:
                repaired.append(one)
            else:
                apart[self._beside(entry.paths[0].ports)].append(one)
        groups = (
            (one.rank, one.name, one, ports) for ports, every in apart.items() for one in every
        )
        for _, name, stream, ports in sorted(groups, key=lambda group: group[:2]):
            self._rooms.set_down(ports)
            made = self._rooms.place(stream)
            if isinstance(made, StreamPlan):
                self._ready[name] = made
                self.standby.append(made)
            else:
                self.unmoved.append(Unmoved(name=name, at_ps=0, cause=NOT_READY, reason=made))
        self._rooms.set_down(frozenset())
        for stream in sorted(repaired, key=lambda one: (one.rank, one.name)):
            self._keep_detours(stream)

    def _keep_detours(self, stream: Stream) -> None:
        """Reserve a detour of a stream from each node of its way on around what comes next."""
        name = stream.name
        entry = self._entries[name]
        assert isinstance(entry, StreamPlan)
        for hop, port in enumerate(self._ports(entry.paths[0].ports)):
            made = self._rooms.detour(stream, entry, hop)
            if isinstance(made, StreamPlan):
                self._detours[name, port.source] = made
                self.standby.append(made)
            else:
                self.unmoved.append(Unmoved(name=name, at_ps=0, cause=NOT_READY, reason=made))

    def _beside(self, names: Sequence[str]) -> frozenset[int]:
        """Return the ports of all that shares a cable, or a node between the ends, with a way."""
        topology = self._topology
        way = self._ports(names)
        cables = {topology.cable(topology.links[port.link]) for port in way}
        inner = {port.target for port in way[:-1]}
        return frozenset(
            port.number
            for port in topology.ports
            if topology.cable(topology.links[port.link]) in cables
            or not inner.isdisjoint((port.source, port.target))
        )

    # When something breaks

    def run(self, end_ps: int) -> None:
        """Work through all acts that begin before an end."""
        events = self._profile.events
        known = [one for one in self._faults if events[one.event].change == "maintenance"]
        leads_ps = (self._lead_ps(names) for names in self._names_by_class().values() if known)
        notice_ps = 2 * max(leads_ps, default=0)
        for fault in known:
            self._at(fault.from_ps - notice_ps, partial(self._announce, fault))
        for fault in self._faults:
            self._at(fault.from_ps, partial(self._hear_of, fault))
            self._at(fault.until_ps, partial(self._hear_of_repair, fault))
        while self._acts and self._acts[0][0] < end_ps:
            now_ps, _, act = heapq.heappop(self._acts)
            act(now_ps)
            self._tell_moved(now_ps)

    def _at(self, time_ps: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._acts, (time_ps, next(self._numbers), act))

    def _hear_of(self, fault: Fault, now_ps: int) -> None:
        """Tell those who are to act on a fault when they are to."""
        self._lasting[fault] = None
        self._tell(fault, self._asked, now_ps)

    def _tell_moved(self, now_ps: int) -> None:
        """Tell those who were sent into what is broken, and not missed yet."""
        names, self._sent = self._sent, []
        for fault in self._lasting if names else ():
            self._tell(fault, names, now_ps)

    def _tell(self, fault: Fault, names: Iterable[str], now_ps: int) -> None:
        """Tell who acts for some streams and demands of a fault, all of one instant together."""
        event = self._profile.events[fault.event]
        broken = frozenset(thing for one in self._lasting for thing in one.things)
        told: dict[tuple[str, int], list[_Wanted]] = defaultdict(list)
        for name in names:
            entry, policy = self._entries.get(name), self._policy[name]
            if entry is None or not any(self._cut_ways(entry, fault.things)):
                continue
            if not self._needs(entry, broken):
                continue
            if fault.until_ps - fault.from_ps < policy.missed_ps:
                continue  # it is over before anybody misses it
            news = [heard(self._topology, event, way, fault.things) for way in self._routes(entry)]
            known = [one for one in news if one is not None]
            if not known:
                continue  # the talker itself is down
            detected_ps = fault.from_ps + known[0].light_ps + policy.missed_ps
            told_ps = detected_ps if policy.repairs else detected_ps + known[0].back_ps
            if policy.policy == "central":
                first_ps = first_miss_ps(self._topology, event, fault.things)
                detected_ps = fault.from_ps + first_ps + policy.missed_ps
                told_ps = self._controller.step_ps(detected_ps, policy.telemetry_ps)
            key = self._asked[name].traffic_class, told_ps
            node = known[0].node if policy.repairs else ""
            told[key].append(_Wanted(name, event.words, detected_ps, node))
        for (_, told_ps), every in told.items():
            policy = self._policy[every[0].name]
            at_ps = told_ps + policy.switching_ps
            if policy.policy == "local":
                at_ps = told_ps + policy.thinking_ps
            elif policy.policy == "central":
                at_ps = self._controller.step_ps(told_ps, policy.thinking_ps)
            self._act(max(at_ps, now_ps), every, policy, now_ps)

    def _act(self, at_ps: int, every: Sequence[_Wanted], policy: Reaction, now_ps: int) -> None:
        """Have something done about all that needs another way, if anybody ever comes to it."""
        if at_ps >= FOREVER_PS:
            for wanted in every:
                self._give_up(now_ps, wanted, LOST)
            return
        act = self._switch if policy.policy == "failover" else self._plan_anew
        act = self._repair if policy.repairs else act
        self._at(at_ps, partial(act, every, policy))

    # When something is announced

    def _announce(self, fault: Fault, now_ps: int) -> None:
        """Have all that is sent over something be moved in time; nothing new is sent over it."""
        self._announced.append(fault)
        cause = self._profile.events[fault.event].words
        for names in self._names_by_class().values():
            every = [
                _Wanted(name, cause, None)
                for name in names
                if self._needs(self._entries[name], fault.things)
            ]
            if every:
                policy = self._policy[every[0].name]
                lead_ps = self._lead_ps([one.name for one in every])
                at_ps = max(fault.from_ps - lead_ps, now_ps)
                if policy.policy == "central":
                    at_ps = self._controller.there_ps(at_ps)
                self._act(at_ps, every, policy, now_ps)

    def _names_by_class(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name, one in self._asked.items():
            if name in self._entries:
                found[one.traffic_class].append(name)
        return found

    def _lead_ps(self, names: Sequence[str]) -> int:
        """Return how early things of one class must be moved for all of them to have come.

        A controller installs them before that, each way with as many ports as one can have.
        """
        policy = self._policy[names[0]]
        lead_ps = max(
            self._rooms.drained_ps(self._entries[name], self._asked[name].traffic_class)
            for name in names
        )
        if policy.policy != "central":
            return lead_ps
        longest = len(self._topology.nodes) - 1
        ways = sum(
            max(len(self._entries[name].routes), getattr(self._asked[name], "paths", 1))
            for name in names
        )
        return lead_ps + policy.installing_ps(ways * longest)

    # What is done

    def _known(self, now_ps: int, policy: Reaction) -> frozenset[Thing]:
        """Return what is known to be broken: what has been dark for long enough, and is yet.

        Also what is announced to be.
        """
        late_ps = policy.missed_ps
        missed = [
            one
            for one in self._faults
            if one.from_ps + late_ps <= now_ps and one.until_ps - one.from_ps >= late_ps
        ]
        return frozenset(
            thing
            for one in (*missed, *self._announced)
            if now_ps < one.until_ps + late_ps
            for thing in one.things
        )

    def _switch(self, every: Sequence[_Wanted], policy: Reaction, now_ps: int) -> None:
        """Send streams by their second ways, where these are whole as far as is known."""
        broken = self._known(now_ps, policy)
        for wanted in every:
            name = wanted.name
            entry, spare = self._entries[name], self._ready.get(name)
            if not self._needs(entry, broken):
                continue
            if spare is None or self._needs(spare, broken):
                why = NOT_READY if spare is None else "its second way is broken too"
                self._give_up(now_ps, wanted, why)
                continue
            assert isinstance(entry, StreamPlan)
            self._ready[name] = entry
            self._move(now_ps, wanted, spare, now_ps - policy.switching_ps)

    def _repair(self, every: Sequence[_Wanted], policy: Reaction, now_ps: int) -> None:
        """Send streams by detours from the nodes before what broke on, whose own lines are dark."""
        broken = self._known(now_ps, policy)
        for wanted in every:
            name = wanted.name
            entry = self._entries[name]
            assert isinstance(entry, StreamPlan)
            way = self._ports(entry.paths[0].ports)
            dark = [port for port in way if crosses(port, broken)]
            if not dark or (wanted.node and wanted.node not in {port.source for port in dark}):
                continue
            node = wanted.node or dark[0].source
            hop = next(place for place, port in enumerate(way) if port.source == node)
            spare = self._detours.get((name, node))
            if spare is None or same_until(entry, spare) != hop:
                self._give_up(now_ps, wanted, f"{NOT_READY} at {node}")
            elif crosses(self._ports(spare.paths[0].ports)[hop], broken):
                self._give_up(now_ps, wanted, f"its second way from {node} on is broken too")
            else:
                self._move(now_ps, wanted._replace(node=node), spare, now_ps - policy.switching_ps)

    def _plan_anew(self, every: Sequence[_Wanted], policy: Reaction, now_ps: int) -> None:
        """Find other ways for what is broken, low rank first, and say when they are in force."""
        broken = self._known(now_ps, policy)
        self._rooms.set_down(ports_down(self._topology, broken))
        cut = [one for one in every if self._needs(self._entries[one.name], broken)]
        waiting: list[tuple[_Wanted, str]] = []
        clock = self._clock(every, now_ps)
        releases: list[int] = []
        for wanted, made in self._find(cut, broken):
            old = self._entries[wanted.name]
            if isinstance(made, str):
                waiting.append((wanted, made))
                continue
            at_ps = clock.installed_ps(made)
            if at_ps >= FOREVER_PS:
                if isinstance(made, StreamPlan):
                    self._rooms.give_back(made)
                self._give_up(now_ps, wanted, LOST)
                continue
            self._move(at_ps, wanted, made, now_ps)
            if isinstance(made, StreamPlan) and self._is_held(made, policy):
                self._rooms.give_back(made)  # it is where it was at first, and held there
            if isinstance(old, StreamPlan) and not self._is_held(old, policy):
                releases.append(self._give_back(old, at_ps))
        if releases and waiting:
            again = partial(self._plan_anew, [one for one, _ in waiting], policy)
            self._at(max(releases), again)
        else:
            for wanted, reason in waiting:
                self._give_up(now_ps, wanted, reason)

    def _is_held(self, entry: StreamPlan, policy: Reaction) -> bool:
        """Say whether an entry is where a stream goes back to, which is kept for it."""
        return policy.wait_to_restore_ps is not None and entry == self._first[entry.name]

    def _clock(self, every: Sequence[_Wanted], now_ps: int) -> Installing:
        clock = self._installing[self._asked[every[0].name].traffic_class]
        clock.begin(now_ps)
        return clock

    def _find(
        self, cut: Sequence[_Wanted], broken: frozenset[Thing]
    ) -> Iterable[tuple[_Wanted, Entry | str]]:
        """Yield another entry for everything that is cut, or why there is none."""
        profile = self._profile
        others = []
        for wanted in sorted(cut, key=lambda one: (self._rank(one.name), one.name)):
            one = self._asked[wanted.name]
            if isinstance(one, Demand) or not profile.takes_cycles(one):
                others.append(wanted)
                continue
            yield wanted, self._place(one, broken)
        if others:
            names = {one.name for one in others}
            found = self._rooms.route(names, self._entries.values())
            for wanted in others:
                entry = found[wanted.name]
                yield wanted, entry if entry.routes else entry.reason or "there is no other way"

    def _place(self, stream: Stream, broken: frozenset[Thing]) -> StreamPlan | str:
        """Reserve another place for a stream: where it goes on with one path, only for two."""
        old, made = self._entries[stream.name], self._rooms.place(stream)
        assert isinstance(old, StreamPlan)
        if self._is_cut(old, broken):
            if isinstance(made, str) and stream.paths > 1:
                made = self._rooms.place(stream.replace(paths=1, recovery=None))
        elif isinstance(made, StreamPlan):
            reason = self._rooms.remembers(stream, old, made)
            if reason:
                self._rooms.give_back(made)
                return reason
        return made

    def _rank(self, name: str) -> int:
        one = self._asked[name]
        return one.rank if isinstance(one, Stream) else 0

    def _give_back(self, old: StreamPlan, at_ps: int) -> int:
        """Give an old place back when the last frame that was sent by it must have come."""
        if old.status != "admitted":
            return at_ps
        release_ps = at_ps + self._rooms.latency_ps(old) + self._topology.tcqf.cycle_ps
        self._at(release_ps, lambda _: self._rooms.give_back(old))
        return release_ps

    # When it is repaired

    def _hear_of_repair(self, fault: Fault, now_ps: int) -> None:
        """Have what was moved away go back where it was, a while after the repair."""
        del self._lasting[fault]
        event = self._profile.events[fault.event]
        back: dict[tuple[str, int], list[_Wanted]] = defaultdict(list)
        for name, one in self._asked.items():
            policy, first = self._policy[name], self._first.get(name)
            if policy.wait_to_restore_ps is None or first is None:
                continue
            if self._entries[name] == first or not any(self._cut_ways(first, fault.things)):
                continue
            news = [heard(self._topology, event, way, fault.things) for way in self._routes(first)]
            known = [one for one in news if one is not None]
            if not known:
                continue
            seen_ps = now_ps + known[0].light_ps + policy.missed_ps
            at_ps = seen_ps + policy.wait_to_restore_ps
            at_ps += 0 if policy.repairs else known[0].back_ps
            if policy.policy == "central":
                told_ps = self._controller.step_ps(seen_ps, policy.telemetry_ps)
                at_ps = self._controller.there_ps(told_ps + policy.wait_to_restore_ps)
            wanted = _Wanted(name, f"{event.words} is over", seen_ps)
            back[one.traffic_class, at_ps].append(wanted)
        for (_, at_ps), every in back.items():
            self._at(at_ps, partial(self._restore, every, self._policy[every[0].name]))

    def _restore(self, every: Sequence[_Wanted], policy: Reaction, now_ps: int) -> None:
        broken = self._known(now_ps, policy)
        clock = self._clock(every, now_ps)
        for wanted in every:
            name = wanted.name
            first, entry = self._first[name], self._entries[name]
            if entry == first or any(self._cut_ways(first, broken)):
                continue
            at_ps = clock.installed_ps(first)
            if at_ps >= FOREVER_PS:
                continue  # it stays where it is
            if policy.repairs:
                assert isinstance(entry, StreamPlan)
                assert isinstance(first, StreamPlan)
                leaves = self._ports(first.paths[0].ports)[same_until(entry, first)]
                self._move(at_ps, wanted._replace(node=leaves.source), first, now_ps)
                continue
            self._move(at_ps, wanted, first, now_ps)
            if policy.policy == "failover":
                assert isinstance(entry, StreamPlan)
                self._ready[name] = entry
            elif isinstance(entry, StreamPlan):
                self._give_back(entry, at_ps)

    # What comes of it

    def _move(self, at_ps: int, wanted: _Wanted, entry: Entry, decided_ps: int) -> None:
        is_stream = isinstance(entry, StreamPlan)
        self._entries[wanted.name] = entry
        self._sent.append(wanted.name)
        at_ps, decided_ps = max(at_ps, 0), max(decided_ps, 0)  # what is due before a run begins
        installed_ps = at_ps
        if wanted.node:
            # A node further on can have acted on frames that are sent later.
            at_ps -= self._soonest_ps(entry, wanted.node)
            at_ps = self._sent_from_ps[wanted.name] = max(at_ps, self._sent_from_ps[wanted.name])
        self.moves.append(
            Move(
                at_ps=at_ps,
                stream=entry if is_stream else None,
                demand=None if is_stream else entry,
                cause=wanted.cause,
                detected_ps=wanted.detected_ps,
                decided_ps=decided_ps,
                installed_ps=installed_ps,
                repaired_at=wanted.node,
            )
        )

    def _soonest_ps(self, entry: Entry, node: str) -> int:
        """Return how long after it is sent a frame can be at a node of its way."""
        stream = self._asked[entry.name]
        assert isinstance(entry, StreamPlan)
        assert isinstance(stream, Stream)
        way = self._ports(entry.paths[0].ports)
        before = list(takewhile(lambda port: port.source != node, way))
        return soonest_ps(self._topology, stream, entry, before)

    def _give_up(self, at_ps: int, wanted: _Wanted, reason: str) -> None:
        self.unmoved.append(
            Unmoved(name=wanted.name, at_ps=max(at_ps, 0), cause=wanted.cause, reason=reason)
        )

    def _ports(self, names: Sequence[str]) -> list[Port]:
        return [self._topology.port_by_name[name] for name in names]

    def _routes(self, entry: Entry) -> list[list[Port]]:
        return [self._ports(way) for way in entry.routes]

    def _needs(self, entry: Entry, things: frozenset[Thing]) -> bool:
        """Say whether something is sent over what is broken so that it needs another way.

        A stream with two paths does when both are cut, or one where the second is to be restored.
        """
        if isinstance(entry, StreamPlan) and not self._policy[entry.name].restore_second:
            return self._is_cut(entry, things)
        return any(self._cut_ways(entry, things))

    def _is_cut(self, entry: Entry, things: frozenset[Thing]) -> bool:
        return all(self._cut_ways(entry, things))

    def _cut_ways(self, entry: Entry, things: frozenset[Thing]) -> list[bool]:
        if not things:
            return [False]
        return [any(crosses(port, things) for port in way) for way in self._routes(entry)]
