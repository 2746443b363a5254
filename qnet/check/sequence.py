"""A sequence of plans: which entry of a stream or demand is in force when, and whether all fit.

An entry is in force until a move puts another in its place. Frames that were sent before are still
under way up to their largest latency: for that long the old and the new reservation hold at once,
and the plan is proven with both. A move that needs the room of what it replaces is a finding: it
was not made before the break. With 300 us of latency, a stream that is moved at 2 ms holds its old
cycles until 2.3 ms.

What holds with all entries of the run at once holds with those of any time: so that is tried first,
and every epoch by itself only where it does not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Generic, NamedTuple, Protocol, TypeVar

from qnet.check.broken import EVER, Span
from qnet.check.cycles import come_ps
from qnet.check.findings import NUMBER_HIGHEST, Findings, exact_time, is_sane, quoted
from qnet.check.load import Beside, check_demands, check_rates
from qnet.check.offers import LoadChanges
from qnet.check.queues import asked_bps, queue_bounds, reserved_bps
from qnet.check.routes import ONE_PATH_LEFT, route_fault
from qnet.check.trees import own_ports
from qnet.model.plan import DemandPlan, Move, Plan, StreamPlan
from qnet.model.proof import Finding, Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Demand, Profile, Stream

Bounds = tuple[int, int] | None
"""Least and largest latency; None where nothing is known."""


class Prove(Protocol):
    """Prove a plan for a network that stays as it is."""

    def __call__(
        self, topology: Topology, profile: Profile, plan: Plan, /, *, beside: Beside = ...
    ) -> Proof:
        """Return bounds and findings, with what may be in the way beside the plan."""
        ...


_Entry = TypeVar("_Entry", StreamPlan, DemandPlan)


STANDBY = -1

AS_PLANNED = LoadChanges({}, {}, ())

NOTHING_BESIDE = Beside()


class EntryInForce(NamedTuple, Generic[_Entry]):
    """One entry of a stream or demand, and from when to before when it is in force."""

    number: int
    """0 is the plan's own, STANDBY what is held ready for it, and numbers below what else is."""
    entry: _Entry
    from_ps: int
    until_ps: int

    @property
    def known_as(self) -> str:
        """What findings call it, and it alone."""
        name = self.entry.name
        if self.number <= STANDBY:
            more = "" if self.number == STANDBY else f" {1 + STANDBY - self.number}"
            return f"{name} (standby{more})"
        return f"{name} (from {exact_time(self.from_ps)} on)" if self.number else name


EntriesByName = Mapping[str, Sequence[EntryInForce[_Entry]]]


class PlanSequence(NamedTuple):
    """All entries of a plan by name, in order of time, without those that are never in force."""

    streams: EntriesByName[StreamPlan]
    demands: EntriesByName[DemandPlan]

    @property
    def changes_ps(self) -> set[int]:
        """Return when a move comes into force."""
        streams = {one.from_ps for each in self.streams.values() for one in each if one.number}
        return streams | {
            one.from_ps for each in self.demands.values() for one in each if one.number
        }

    def at(
        self, time_ps: int
    ) -> tuple[list[EntryInForce[StreamPlan]], list[EntryInForce[DemandPlan]]]:
        """Return what is in force at a time."""
        return _at(self.streams, time_ps), _at(self.demands, time_ps)


def _at(versions: EntriesByName[_Entry], time_ps: int) -> list[EntryInForce[_Entry]]:
    return [
        one for each in versions.values() for one in each if one.from_ps <= time_ps < one.until_ps
    ]


def sequence_of(
    topology: Topology, profile: Profile, plan: Plan, findings: Findings
) -> PlanSequence:
    """Put the entries of a plan in order of time; moves that cannot be are findings, and left out.

    Only what plan and profile both know is there.
    """
    streams = {one.name: one for one in profile.every_stream}
    demands = {one.name: one for one in profile.demands}
    moved_streams: dict[str, list[tuple[int, StreamPlan]]] = defaultdict(list)
    moved_demands: dict[str, list[tuple[int, DemandPlan]]] = defaultdict(list)
    own = {one.name: one for one in plan.streams}
    last_ps = 0
    for move in plan.moves:
        name = move.entry.name
        fault = _fault(profile, plan, move, last_ps)
        if move.stream is not None:
            fault = fault or _stream_fault(topology, profile, streams.get(name), move.stream)
            if move.repaired_at and not fault:
                moved = moved_streams[name]
                before = moved[-1][1] if moved else own[name]
                fault = _repair_fault(topology, profile, streams[name], before, move)
        elif move.demand is not None:
            fault = fault or _demand_fault(demands.get(name), move.demand)
        if fault:
            findings.add("move", name if name in streams | demands else quoted(name), fault)
            continue
        last_ps = move.at_ps
        if move.stream is not None:
            moved_streams[name].append((move.at_ps, move.stream))
        elif move.demand is not None:
            moved_demands[name].append((move.at_ps, move.demand))
    return PlanSequence(
        _in_order([one for one in plan.streams if one.name in streams], moved_streams),
        _in_order([one for one in plan.demands if one.name in demands], moved_demands),
    )


def _in_order(
    own: Iterable[_Entry], moved: Mapping[str, Sequence[tuple[int, _Entry]]]
) -> EntriesByName[_Entry]:
    found: dict[str, list[EntryInForce[_Entry]]] = {}
    for one in own:
        every = [(0, one)]
        for at_ps, entry in moved.get(one.name, ()):
            if entry != every[-1][1]:
                every.append((at_ps, entry))
        ends = [at_ps for at_ps, _ in every[1:]] + [EVER]
        found[one.name] = [
            EntryInForce(number, entry, at_ps, end_ps)
            for number, ((at_ps, entry), end_ps) in enumerate(zip(every, ends, strict=True))
            if at_ps < end_ps
        ]
    return found


def _fault(profile: Profile, plan: Plan, move: Move, last_ps: int) -> str | None:
    """Say what is wrong with when a move is."""
    acts = (
        ("detected", move.detected_ps),
        ("decided", move.decided_ps),
        ("installed", move.installed_ps),
    )
    late = [what for what, act_ps in acts if act_ps is not None and act_ps > move.at_ps]
    if move.repaired_at:
        late = []  # the acts are those of a node further on
    if not is_sane([move.at_ps, *(act_ps or 0 for _, act_ps in acts)]):
        return f"moved at a time beyond {NUMBER_HIGHEST} ps; ignored"
    if move.at_ps < last_ps:
        return (
            f"moved at {exact_time(move.at_ps)}, after a move at {exact_time(last_ps)}; moves are "
            "in order of time"
        )
    if late:
        return f"moved at {exact_time(move.at_ps)}, before that is {late[0]}"
    every: Iterable[StreamPlan | DemandPlan] = plan.demands if move.stream is None else plan.streams
    if not any(one.name == move.entry.name for one in every):
        return f"moved at {exact_time(move.at_ps)}; the plan has no entry of it before"
    return None


def _stream_fault(
    topology: Topology, profile: Profile, stream: Stream | None, entry: StreamPlan
) -> str | None:
    """Say why a stream cannot be sent by an entry; reservations are checked with all others."""
    if stream is None:
        return "moved, and the profile has no such stream"
    if profile.is_gated(stream):
        return "moved, and has gates, which stay as they are"
    if stream.tree != stream.name:
        return f"moved, and is a leg of {stream.tree}: a stream with several listeners stays"
    if entry.status == "refused":
        return "moved to a way, and refused" if entry.paths else None
    return None if profile.is_reserved(stream) else _way_fault(topology, stream, entry)


def _repair_fault(
    topology: Topology, profile: Profile, stream: Stream, before: StreamPlan, move: Move
) -> str | None:
    """Say why a node on the way cannot be who sends a stream another way from some time on.

    Up to there both entries are the same, and what is sent from then on is at the node when it has
    switched. A frame that is in cycle 7 of the port before, of 10 us each, with 1.2 us to its last
    bit and 49 us of fibre, is there 120.2 us after it was sent at 0 at the soonest.
    """
    node, after = move.repaired_at, move.stream
    words = f"moved at {quoted(node)}, "
    if after is None or not profile.takes_cycles(stream):
        return words + "and reserves no cycles: only its talker can move it"
    if move.installed_ps is None:
        return words + "and nothing says when that has switched"
    hop = _hops_before(topology, after, node)
    if hop is None:
        return words + "which is not on its one way"
    if len(before.paths) != 1 or _same_ports(before, after) < hop:
        return words + "and is not the same before: its ports, their cycles, when it is sent"
    soonest_ps = come_ps(topology, stream, after, hop) if hop else 0
    early_ps = move.installed_ps - move.at_ps - soonest_ps
    if early_ps <= 0:
        return None
    sent = exact_time(move.at_ps)
    return words + f"where what is sent at {sent} can be {exact_time(early_ps)} before it switches"


def _hops_before(topology: Topology, entry: StreamPlan, node: str) -> int | None:
    """Return how many ports of its one way an entry has before a node; None where it has none."""
    if len(entry.paths) != 1 or entry.send_ps is None:
        return None
    (path,) = entry.paths
    ports = topology.port_by_name
    sources = [ports[name].source if name in ports else None for name in path.ports]
    if node not in sources or len(path.cycles) < len(path.ports):
        return None
    return sources.index(node) if is_sane([entry.send_ps, *path.cycles]) else None


def _way_fault(topology: Topology, stream: Stream, entry: StreamPlan) -> str | None:
    """Say why an entry is no way for a stream that reserves nothing."""
    if entry.status != "routed":
        return f"moved and {entry.status}; a stream of class {stream.traffic_class} is routed"
    if not 1 <= len(entry.paths) <= stream.paths:
        return f"moved to {len(entry.paths)} paths of {stream.paths}"
    if any(path.cycles or path.queues or path.starts_ps for path in entry.paths):
        return "moved with cycles or gates, which only reserved streams have"
    faults = (
        route_fault(
            topology,
            path.ports,
            [topology.port_by_name.get(name) for name in path.ports],
            (stream.talker, stream.listener),
        )
        for path in entry.paths
    )
    fault = next((one for one in faults if one), None)
    return fault and f"moved: {fault}"


def _demand_fault(demand: Demand | None, entry: DemandPlan) -> str | None:
    if demand is None:
        return "moved, and the profile has no such demand"
    rates = [entry.rate_bps, entry.placed_bps, *(part.rate_bps for part in entry.parts)]
    return None if is_sane(rates) else f"moved at a rate beyond {NUMBER_HIGHEST} b/s; ignored"


class SequenceProof(NamedTuple):
    """What is proven of all entries of a plan, and the rules that moves and standby break."""

    bounds: Mapping[str, Bounds]
    """By what an entry is known as."""
    findings: Mapping[int, tuple[Finding, ...]]
    """By the begin of the epoch in which a rule is broken."""
    standby: tuple[Finding, ...]
    loaded: Mapping[str, Bounds]
    """Of what reserves nothing, where more is sent than planned, or at other rates."""


class _Judge:
    """Proves the entries of a plan that are there at the same time."""

    def __init__(
        self,
        case: tuple[Topology, Profile, Plan],
        whole: Proof,
        sequence: PlanSequence,
        prove: Prove,
        more: Beside,
    ) -> None:
        self.topology, self.profile, self.plan = case
        self.more = more
        self.whole, self.sequence, self.prove = whole, sequence, prove
        self.streams = {one.name: one for one in self.profile.every_stream}
        self.demands = {one.name: one for one in self.profile.demands}

    def together(
        self, present: Iterable[EntryInForce[StreamPlan]], until_ps: int
    ) -> tuple[Mapping[str, Bounds], tuple[Finding, ...]]:
        """Prove some entries of streams that reserve cycles at once, with all that is fixed.

        What reserves nothing has frames in the way of theirs from when it is first sent so: all of
        it that is before a time.
        """
        chosen = list(present)
        own = {one.entry.name for one in chosen if not one.number}
        first: dict[tuple[str, str], EntryInForce[StreamPlan]] = {}
        for one in chosen:
            first.setdefault((one.entry.name, one.entry.model_dump_json()), one)
        more = [one for one in first.values() if one.number and one.entry.status != "refused"]
        rides = _ridden([one for one in first.values() if one.entry.status != "refused"])
        streams = [self.streams[one.entry.name].replace(name=one.known_as) for one in more]
        profile = self.profile.replace(streams=(*self.profile.streams, *streams), events=())
        entries = [
            one if one.name in own or not self._moves(one.name) else _gone(one)
            for one in self.plan.streams
        ]
        entries += [one.entry.replace(name=one.known_as) for one in more]
        plan = self.plan.replace(
            streams=tuple(entries),
            moves=(),
            standby=(),
            reserved=None,
            egress=tuple(one.replace(placed_bps=0) for one in self.plan.egress),
        )
        beside = self._beside(until_ps)._replace(rides=rides)
        proof = self.prove(self.topology, profile, plan, beside=beside)
        found = [
            one
            for one in proof.findings
            if one not in self.whole.findings
            and one.rule not in ("rate", "overload")
            and one.message != ONE_PATH_LEFT
        ]
        # Of an entry that is not among them this proof says nothing.
        gone = {one.name for one in entries if one.status == "refused"}
        bounds = {one.name: _pair(one) for one in proof.streams if one.name not in gone}
        # What comes back to a way where it was before is there once.
        again = {
            one.known_as: bounds.get(first[one.entry.name, one.entry.model_dump_json()].known_as)
            for one in chosen
        }
        return bounds | again, tuple(found)

    def _moves(self, name: str) -> bool:
        """Say whether a stream reserves cycles and is moved."""
        stream = self.streams.get(name)
        versions = self.sequence.streams.get(name, ())
        moved = len(versions) > 1 or any(one.number for one in versions)
        return stream is not None and moved and self.profile.takes_cycles(stream)

    def _beside(self, until_ps: int) -> Beside:
        """Return what reserves nothing and is sent by another entry before a time."""
        streams = [
            (self.streams[name], one.entry)
            for name, versions in self.sequence.streams.items()
            for one in versions
            if one.number and one.from_ps < until_ps
        ]
        demands = [
            (self.demands[name], one.entry)
            for name, versions in self.sequence.demands.items()
            for one in versions
            if one.number and one.from_ps < until_ps
        ]
        return Beside(tuple(streams), (*demands, *self.more.demands))

    def reserved(self) -> list[EntryInForce[StreamPlan]]:
        """Return all entries of streams that reserve cycles."""
        return [
            one
            for name, versions in self.sequence.streams.items()
            if self.profile.takes_cycles(self.streams[name])
            for one in versions
        ]

    def standby(self) -> tuple[Finding, ...]:
        """See that what is held ready fits beside what is sent from the beginning."""
        numbers: Counter[str] = Counter()
        ready: list[EntryInForce[StreamPlan]] = []
        for one in self.plan.standby:
            if one.name in self.streams and self.profile.takes_cycles(self.streams[one.name]):
                ready.append(EntryInForce(STANDBY - numbers[one.name], one, 0, EVER))
                numbers[one.name] += 1
        own = [one for one in self.reserved() if not one.number]
        return self.together([*own, *ready], 0)[1] if ready else ()

    def rates(self, time_ps: int) -> tuple[Finding, ...]:
        """See that what is in force at a time stays within what is reservable at each port."""
        findings = Findings()
        streams, demands = self.sequence.at(time_ps)
        pairs = [(self.demands[one.entry.name], one.entry) for one in demands]
        placed_bps = check_demands(self.topology, pairs, findings)
        ports = self.topology.port_by_name
        reserved = [
            (stream, [ports[name] for name in names if name in ports])
            for stream, names in own_ports(
                [(self.streams[one.entry.name], one.entry) for one in streams]
            )
            if self.profile.is_reserved(stream)
        ]
        check_rates(self.topology, reserved, placed_bps, findings)
        return tuple(one for one in findings.collected() if one not in self.whole.findings)

    def queues(self, loads: LoadChanges) -> Mapping[str, Bounds]:
        """Bound what reserves nothing, with all that is sent at any time of the run at once."""
        streams = [
            (self.streams[name].replace(name=one.known_as), one.entry)
            for name, versions in self.sequence.streams.items()
            for one in versions
        ]
        demands = [
            (self.demands[name], one.entry)
            for name, versions in self.sequence.demands.items()
            for one in versions
        ]
        demands += loads.at_other_rates(demands)
        more = [one for one, _ in streams if one.name not in self.streams]
        profile = self.profile.replace(streams=(*self.profile.streams, *more), events=())
        found = queue_bounds(
            self.topology, profile, self.plan, streams, demands, self._slopes_bps()
        )
        # Frames that come to a shaper of a stream over its old way and its new one wait for each
        # other, and all of the class behind them.
        shaped = {
            self.streams[one.entry.name].traffic_class
            for versions in self.sequence.streams.values()
            for one in versions
            if one.number and self._residence_ps(one.entry.name) is not None
        }
        kept = {one.name for one, _ in streams if one.traffic_class not in shaped}
        return {name: pair for name, pair in found.items() if name in kept}

    def _residence_ps(self, name: str) -> int | None:
        return self.profile.class_by_name[self.streams[name].traffic_class].residence_ps

    def _slopes_bps(self) -> Mapping[tuple[int, str], int]:
        """Return what idle slopes are as reserved: by all streams that any of their entries sends
        over a port, each once.
        """
        ports = self.topology.port_by_name
        own = [
            (self.streams[one.name], one) for one in self.plan.streams if one.name in self.streams
        ]
        found = Counter(reserved_bps(self.topology, own))
        for stream, entry in own:
            before = {name for path in entry.paths for name in path.ports}
            later = {
                name
                for one in self.sequence.streams[stream.name]
                for path in one.entry.paths
                for name in path.ports
            }
            for port in (ports[name] for name in later - before):
                found[port.number, stream.traffic_class] += asked_bps(stream, port)
        return found


def _ridden(entries: Iterable[EntryInForce[StreamPlan]]) -> Mapping[str, int]:
    """Return over how many ports from the talker on each entry is as one of its stream before it.

    An interval is sent whole by one of them, so that cycles there hold it once: of a->b, b->d and
    a->b, b->c, c->d, in one cycle of a->b, the second rides over one port.
    """
    before: dict[str, list[StreamPlan]] = defaultdict(list)
    found: dict[str, int] = {}
    for one in entries:
        entry = one.entry
        if len(entry.paths) != 1:
            continue
        others = before[entry.name]
        shared = max((_same_ports(other, entry) for other in others), default=0)
        if shared:
            found[one.known_as] = shared
        others.append(entry)
    return found


def _same_ports(one: StreamPlan, other: StreamPlan) -> int:
    """Return over how many ports from the talker on two entries of one path each are the same."""
    (near,), (far,) = one.paths, other.paths
    count = 0
    if one.send_ps != other.send_ps:
        return count
    for mine, theirs in zip(
        zip(near.ports, near.cycles, strict=False),
        zip(far.ports, far.cycles, strict=False),
        strict=False,
    ):
        if mine != theirs:
            break
        count += 1
    return count


def _gone(entry: StreamPlan) -> StreamPlan:
    return StreamPlan(name=entry.name, status="refused", reason="moved")


def _pair(one: object) -> Bounds:
    low, high = getattr(one, "latency_ps_min", None), getattr(one, "latency_ps_max", None)
    return None if low is None or high is None else (low, high)


def prove_sequence(
    case: tuple[Topology, Profile, Plan],
    whole: Proof,
    sequence: PlanSequence,
    times_ps: Sequence[int],
    prove: Prove,
    *,
    loads: LoadChanges = AS_PLANNED,
    beside: Beside = NOTHING_BESIDE,
) -> SequenceProof:
    """Prove all entries of a plan, in epochs that begin and end at some times in order.

    With what may be in the way `beside` them; what reserves nothing with `loads`, too.
    """
    judge = _Judge(case, whole, sequence, prove, beside)
    bounds: dict[str, Bounds] = {one.name: _pair(one) for one in whole.streams}
    standby = judge.standby()
    findings: dict[int, list[Finding]] = {begin: [] for begin, _ in pairwise(times_ps)}
    if sequence.changes_ps:
        _prove_moves(judge, bounds, findings, times_ps)
    # A queue that grows for ever is a finding, and leaves the others their bounds.
    faults = [one for one in whole.findings if one.rule != "overload"]
    clean = not faults and not standby and not any(findings.values())
    _, profile, _ = case
    plain = [name for name in sequence.streams if not profile.is_reserved(judge.streams[name])]
    entries = [one.known_as for name in plain for one in sequence.streams[name]]
    if sequence.changes_ps:
        queued = judge.queues(AS_PLANNED) if clean else {}
        bounds |= {name: queued.get(name) for name in entries}
    loaded: dict[str, Bounds] = {}
    if loads.more_from_ps < EVER:
        queued = judge.queues(loads) if clean else {}
        loaded = {name: queued.get(name) for name in entries}
    by_epoch = {begin_ps: tuple(each) for begin_ps, each in findings.items() if each}
    return SequenceProof(bounds, by_epoch, standby, loaded)


def _prove_moves(
    judge: _Judge,
    bounds: dict[str, Bounds],
    findings: dict[int, list[Finding]],
    times_ps: Sequence[int],
) -> None:
    """Prove entries that reserve cycles, old ones with new ones, and note the rules broken."""
    epochs = list(pairwise(times_ps))
    reserved = judge.reserved()
    proven, broken = judge.together(reserved, EVER)
    if broken:
        proven = {}
        for begin_ps, end_ps in epochs:
            present = [one for one in reserved if _is_there(one, proven, (begin_ps, end_ps))]
            found, faults = judge.together(present, end_ps)
            findings[begin_ps] += faults
            for name, pair in found.items():
                proven = {**proven, name: hull([proven.get(name, pair), pair])}
    bounds |= proven
    before: object = None
    for begin_ps, _ in epochs:
        state = judge.sequence.at(begin_ps)
        if state != before:
            faults = judge.rates(begin_ps)
        before = state
        findings[begin_ps] += faults
    _recover(judge, bounds, findings)


def _is_there(one: EntryInForce[StreamPlan], proven: Mapping[str, Bounds], epoch: Span) -> bool:
    """Say whether frames of an entry may be under way in an epoch."""
    begin_ps, end_ps = epoch
    if one.from_ps >= end_ps:
        return False
    pair = proven.get(one.known_as)
    return one.until_ps > begin_ps or pair is None or one.until_ps + pair[1] >= begin_ps


def hull(pairs: Sequence[Bounds]) -> Bounds:
    """Return the bounds of all together; None where those of any are not known."""
    known = [one for one in pairs if one is not None]
    if not known or len(known) < len(pairs):
        return None
    return min(low for low, _ in known), max(high for _, high in known)


def _recover(
    judge: _Judge, bounds: Mapping[str, Bounds], findings: Mapping[int, list[Finding]]
) -> None:
    """See that listeners remember enough where copies of the old and the new way meet.

    A frame that was sent last on a way that is 900 us longer comes when nine frames of the new one
    have, at one every 100 us, and one more since an interval may be shorter at the change.
    """
    for name, versions in judge.sequence.streams.items():
        stream = judge.streams[name]
        copied = any(len(one.entry.paths) > 1 for one in versions)
        if stream.recovery is None or not copied:
            continue
        for old, new in pairwise(one for one in versions if one.entry.paths):
            pair = hull([bounds.get(old.known_as), bounds.get(new.known_as)])
            begin_ps = max(one for one in findings if one <= new.from_ps)
            if pair is None:
                continue
            apart_ps = pair[1] - (0 if stream.damper else pair[0])
            needed = (apart_ps // stream.interval_ps + 2) * stream.max_packets + 1
            if needed > stream.recovery.history:
                words = (
                    f"frames of its old and its new way can be {exact_time(apart_ps)} apart, so "
                    f"the listener must remember {needed}; its history has "
                    f"{stream.recovery.history}"
                )
                findings[begin_ps].append(
                    Finding(rule="recovery", subject=new.known_as, message=words)
                )
