"""Epochs: what is proven between two changes of the network, or of the plan that is in force.

Between two changes the network stays as it is, and the plan too: streams with no whole path left
are cut, those with one path of two are proven on it, those that a move sends otherwise are proven
as they are sent then. All other bounds stay: frames that are lost are in nobody's way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise

from qnet.check.bounds import RunBounds, disturbed_streams
from qnet.check.broken import OF_LOADS, Broken, Thing, broken_things, named, touches
from qnet.check.event_losses import Circumstances, demand_loss, stream_loss
from qnet.check.findings import Findings, exact_time
from qnet.check.links import LinkChanges, link_changes
from qnet.check.load import Beside
from qnet.check.offers import LoadChanges, load_changes
from qnet.check.sequence import (
    AS_PLANNED,
    Bounds,
    EntryInForce,
    PlanSequence,
    Prove,
    SequenceProof,
    prove_sequence,
    sequence_of,
)
from qnet.model.observation import EventUse, Observation
from qnet.model.plan import Plan, StreamPlan
from qnet.model.proof import (
    DemandEventLoss,
    EpochProof,
    EventLoss,
    Finding,
    Proof,
    StreamProof,
)
from qnet.model.timeline import Event
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream

SERVICES_LISTED, EVENTS_LISTED = 6, 3


def with_epochs(
    case: tuple[Topology, Profile, Plan], beyond: Mapping[str, int], whole: Proof, prove: Prove
) -> Proof:
    """Add to the proof of a plan what holds in each epoch, and what events take of whom.

    `beyond` has the nodes of which clocks may be more wrong than in the network, and from when on.
    """
    topology, profile, plan = case
    findings = Findings()
    sequence = sequence_of(topology, profile, plan, findings)
    broken = broken_things(topology, profile)
    links, loads = link_changes(topology, profile), load_changes(topology, profile)
    end_ps = profile.simulation.duration_ps
    changes = {0, end_ps} | {one.from_ps for one in broken} | {one.until_ps for one in broken}
    changes |= sequence.changes_ps | links.times_ps | {one.from_ps for one in loads.attacks}
    changes |= {min(loads.more_from_ps, end_ps), *beyond.values()}
    times = sorted(one for one in changes if one <= end_ps)
    proven = prove_sequence(case, whole, sequence, times, prove, loads=loads)

    def rules(other: Topology, beside: Beside) -> frozenset[Finding]:
        if other is topology and not beside.demands:
            return frozenset([*whole.findings, *chain(*proven.findings.values())])
        again = prove(other, profile, plan, beside=beside)
        moved = prove_sequence((other, profile, plan), again, sequence, times, prove, beside=beside)
        return frozenset([*again.findings, *chain(*moved.findings.values())])

    disturbed = disturbed_streams((topology, profile), sequence, (links, loads, beyond), rules)
    loaded = proven.loaded, loads.more_from_ps
    bounds = RunBounds(topology, sequence, proven.bounds, links, disturbed, *loaded)
    lost, parts = _losses(case, sequence, (broken, links, loads, beyond), bounds)
    rules_broken = (*whole.findings, *chain(*proven.findings.values()))
    short = {one.subject for one in rules_broken if one.rule == "recovery"}
    lost = [one.replace(frames_most=None) if _is_among(one.name, short, sequence) else one
            for one in lost]  # fmt: skip
    epochs = _epochs(case, whole, (sequence, proven, bounds), (broken, times), prove)
    is_still = not broken and not sequence.changes_ps and not profile.events
    return whole.replace(
        streams=tuple(_over_the_run(one, sequence, bounds) for one in whole.streams),
        findings=(*whole.findings, *findings.collected(), *proven.standby),
        epochs=() if is_still else tuple(epochs),
        event_losses=tuple(lost),
        demand_losses=tuple(parts),
        # What is overloaded for ever is so at the rates of the plan.
        overloads=whole.overloads if loads == AS_PLANNED else (),
    )


def _is_among(name: str, subjects: set[str], sequence: PlanSequence) -> bool:
    """Say whether findings are of a stream, or of any of its entries."""
    return any(one.known_as in subjects for one in sequence.streams.get(name, ()))


def _over_the_run(one: StreamProof, sequence: PlanSequence, bounds: RunBounds) -> StreamProof:
    """Return the bounds of a stream over the run, which stay where nothing changes them."""
    if sequence.changes_ps or bounds.is_changed(one.name):
        return _stream_proof(one.name, bounds.over_the_run(one.name))
    return one


def _losses(
    case: tuple[Topology, Profile, Plan],
    sequence: PlanSequence,
    happening: tuple[Sequence[Broken], LinkChanges, LoadChanges, Mapping[str, int]],
    bounds: RunBounds,
) -> tuple[list[EventLoss], list[DemandEventLoss]]:
    """Return what events take of all streams and demands that they touch."""
    topology, profile, _ = case
    broken, links, loads, beyond = happening
    by_thing: dict[Thing, list[Broken]] = defaultdict(list)
    for outage in (*broken, *links.taking(topology)):
        by_thing[outage.thing].append(outage)
    happens = Circumstances(*case, by_thing, links, loads, beyond)
    streams = {one.name: one for one in profile.every_stream}
    demands = {one.name: one for one in profile.demands}
    high = {
        one.known_as: bounds.before_last_fibre(one)
        for each in sequence.streams.values()
        for one in each
    }
    lost = [
        stream_loss(happens, streams[name], versions, high)
        for name, versions in sequence.streams.items()
    ]
    parts = [
        demand_loss(happens, demands[name], versions) for name, versions in sequence.demands.items()
    ]
    return [one for one in lost if one], [one for one in parts if one]


def _stream_proof(name: str, pair: Bounds) -> StreamProof:
    low, high = pair or (None, None)
    return StreamProof(name=name, latency_ps_min=low, latency_ps_max=high)


def _epochs(
    case: tuple[Topology, Profile, Plan],
    whole: Proof,
    entries: tuple[PlanSequence, SequenceProof, RunBounds],
    happening: tuple[Sequence[Broken], Sequence[int]],
    prove: Prove,
) -> Iterable[EpochProof]:
    """Prove every epoch of the run; states that come again are proven once."""
    topology, profile, plan = case
    sequence, proven, bounds = entries
    broken, times = happening
    streams = {one.name: one for one in profile.every_stream}
    known: dict[object, tuple[tuple[str, ...], tuple[StreamProof, ...], Proof]] = {}
    coming = sorted(range(len(broken)), key=lambda one: -broken[one].from_ps)
    present: set[int] = set()
    for from_ps, until_ps in pairwise(times):
        present = {one for one in present if broken[one].until_ps > from_ps}
        while coming and broken[coming[-1]].from_ps <= from_ps:
            if broken[coming[-1]].until_ps > from_ps:
                present.add(coming[-1])
            coming.pop()
        now = [broken[one] for one in sorted(present)]
        things = frozenset(one.thing for one in now)
        sent, demands = sequence.at(from_ps)
        numbers = [(one.entry.name, one.number) for one in sent]
        numbers += [(one.entry.name, one.number) for one in demands]
        state = things, tuple(numbers)
        if state not in known:
            in_force = plan
            if any(number for _, number in numbers):
                in_force = plan.replace(
                    streams=tuple(one.entry for one in sent),
                    demands=tuple(one.entry for one in demands),
                )
            placed = [(streams[one.entry.name], one.entry) for one in sent if one.entry.paths]
            left = {stream.name: _paths_left(topology, entry, things) for stream, entry in placed}
            cut = tuple(name for name, paths in left.items() if not paths)
            known[state] = cut, *_reduced(topology, profile, in_force, placed, left, prove)
        cut, reduced, proof = known[state]
        faults = dict.fromkeys(
            one for one in proof.findings if one not in whole.findings and one.rule != "disjoint"
        )
        yield EpochProof(
            from_ps=from_ps,
            until_ps=until_ps,
            broken=tuple(dict.fromkeys(named(one.event) for one in now)),
            cut=cut,
            reduced=_reduced_at(reduced, sent, bounds, from_ps),
            findings=tuple(dict.fromkeys((*proven.findings.get(from_ps, ()), *faults))),
            moved=tuple(
                _stream_proof(one.entry.name, _bounds_at(one, bounds, from_ps))
                for one in sent
                if one.number and one.entry.paths
            ),
            changed=tuple(
                _stream_proof(one.entry.name, _bounds_at(one, bounds, from_ps))
                for one in sent
                if not one.number and bounds.proven.get(one.known_as) is not None
                if bounds.is_changed(one.entry.name)
            ),
        )


def _bounds_at(one: EntryInForce[StreamPlan], bounds: RunBounds, from_ps: int) -> Bounds:
    return bounds.at(one, bounds.proven.get(one.known_as), from_ps)


def _reduced_at(
    reduced: Iterable[StreamProof],
    sent: Iterable[EntryInForce[StreamPlan]],
    bounds: RunBounds,
    from_ps: int,
) -> tuple[StreamProof, ...]:
    """Return the bounds of streams with one path of two, with links as they are in an epoch."""
    entries = {one.entry.name: one for one in sent}
    found = []
    for one in reduced:
        low, high = one.latency_ps_min, one.latency_ps_max
        pair = None if low is None or high is None else (low, high)
        found.append(_stream_proof(one.name, bounds.at(entries[one.name], pair, from_ps)))
    return tuple(found)


def _paths_left(topology: Topology, entry: StreamPlan, things: frozenset[Thing]) -> list[int]:
    """Return which paths of a stream cross nothing that is broken."""
    ports = topology.port_by_name
    return [
        number
        for number, path in enumerate(entry.paths)
        if not any(touches(ports[name], things) for name in path.ports if name in ports)
    ]


def _reduced(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    placed: Sequence[tuple[Stream, StreamPlan]],
    left: Mapping[str, Sequence[int]],
    prove: Prove,
) -> tuple[tuple[StreamProof, ...], Proof]:
    """Prove the plan without the paths that are broken, where one of two is whole."""
    fewer = {
        stream.name: entry.replace(paths=(entry.paths[left[stream.name][0]],))
        for stream, entry in placed
        if len(left[stream.name]) == 1 and len(entry.paths) > 1
    }
    if not fewer:
        return (), Proof(streams=(), ports=(), findings=())
    # What a plan claims of rates is judged as it was made.
    claimless = plan.replace(
        moves=(),
        standby=(),
        streams=tuple(fewer.get(one.name, one) for one in plan.streams),
        reserved=None,
        egress=tuple(one.replace(placed_bps=0) for one in plan.egress),
    )
    proof = prove(topology, profile, claimless)
    return tuple(one for one in proof.streams if one.name in fewer), proof


def loss_words(one: EventLoss | DemandEventLoss) -> str:
    """Say by which events."""
    more = f" and {len(one.events) - EVENTS_LISTED} more" if one.events[EVENTS_LISTED:] else ""
    return "; ".join(one.events[:EVENTS_LISTED]) + more


TAKES_NONE = OF_LOADS | {"loss", "controller", "clock", "repair", "up"}
"""Kinds of events to which no frame is charged."""


def epoch_lines(
    proof: Proof,
    observations: Mapping[str, Observation],
    services: Mapping[str, str],
    events: Iterable[Event],
) -> list[str]:
    """Say what holds in every epoch, and between them what each event took of which service.

    `observations` are by witness, `services` by the name of a stream or demand. What takes no frame
    by nature is not said to have taken none: what is lost after it counts elsewhere.
    """
    still = {one.words for one in events if one.change in TAKES_NONE or one.rate_bps is not None}
    lines = [(one.from_ps, 1, _epoch_words(one)) for one in proof.epochs]
    for witness, run in observations.items():
        told = [one for one in run.events if one.lost or one.event not in still]
        lines += [(one.at_ps, 0, _event_words(witness, one, services)) for one in told]
    return [words for _, _, words in sorted(lines, key=lambda line: line[:2])]


def _epoch_words(one: EpochProof) -> str:
    when = f"{exact_time(one.from_ps)} to {exact_time(one.until_ps)}"
    what = ", ".join(one.broken) or "nothing is broken"
    words = []
    if one.cut:
        words.append(f"{len(one.cut)} streams are cut")
    if one.reduced:
        words.append(f"{len(one.reduced)} have one path of two and are proven on it")
    if one.moved:
        words.append(f"{len(one.moved)} are moved and are proven as they are sent now")
    lost = sum(each.latency_ps_max is None for each in one.changed)
    if lost:
        words.append(f"{lost} are bounded no more")
    if lost < len(one.changed):
        words.append(f"{len(one.changed) - lost} have bounds of this epoch alone")
    if one.findings:
        words.append("the plan breaks a rule")
    return f"{when}: {what}: {', '.join([*words, 'all else as proven'])}"


def _event_words(witness: str, one: EventUse, services: Mapping[str, str]) -> str:
    total: Counter[str] = Counter()
    for taken in one.lost:
        total[services.get(taken.name, taken.name)] += taken.frames
    if not total:
        return f"{one.event}: {witness}: took no frame"
    most = [f"{name} {frames:,}" for name, frames in total.most_common(SERVICES_LISTED)]
    if len(total) > SERVICES_LISTED:
        most.append(f"{len(total) - SERVICES_LISTED} more")
    return f"{one.event}: {witness}: took {total.total():,} frames: {', '.join(most)}"
