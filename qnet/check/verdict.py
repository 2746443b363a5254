"""Judge a network: what was promised beside what is proven and what each witness saw.

One line per requirement of each service, and findings before them: a witness that saw what the
proof excludes is the most important thing that a report can say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal, TypeVar

from qnet.check.availability import drawn_otherwise
from qnet.check.epochs import epoch_lines
from qnet.check.findings import exact_time
from qnet.check.judged import (
    EGRESS_ARRIVES_PPB,
    Judged,
    can_lose,
    is_all_lost,
    leaving_site,
    needs_proof,
    shown_bps,
    why_demand_lost,
    why_egress_lost,
    why_impossible,
    why_lost,
)
from qnet.check.line import ceil_div
from qnet.check.promises import Kind, Member, MemberFigures, Seen, lost_ppb
from qnet.check.recorded import sent_otherwise
from qnet.check.requirements import weigh
from qnet.model.emulation import Emulation
from qnet.model.observation import Observation, Traffic
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.proof import EventLoss, Proof, StreamProof
from qnet.model.requirement import KINDS, Requirement, ask
from qnet.model.topology import Topology
from qnet.model.traffic import Demand, Egress, Profile, Stream
from qnet.model.verdict import Outcome, Row, Verdict, row_of
from qnet.progress import Heeded, Progress
from qnet.units import PPB, PS_PER_S, YEAR_S, show_availabilities, show_rate, show_time

FINDINGS_LISTED = 50

REASONS_LISTED = 3

SHARE_STEPS = 10**15

WORST_LISTED = 5
"""Of cables or nodes whose failures cost the same."""

_Member = TypeVar("_Member", Stream, Demand)


def judge(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    proof: Proof,
    observations: Sequence[Observation],
    emulation: Emulation | None = None,
    progress: Progress | None = None,
    asked: Iterable[Requirement] = (),
) -> Verdict:
    """Weigh every requirement of the profile on the proof and on all observations of the plan.

    What the emulation saw of single frames counts with the rest; it carries a sample of the load,
    so that rates are not taken from it. What is `asked` for beside the profile's requirements has
    its figures in proof and observations. Raises Cancelled.
    """
    heeded = Heeded(progress, "judge")
    if emulation is not None and not emulation.void:
        observations = [*observations, emulation.observation]
    seen = Seen(observations)
    judged = Judged.of(topology, profile, plan, proof, seen)
    findings = [
        *_emulated_findings(emulation),  # first what explains what follows
        *_disagreements(judged),
        *(f"{one.rule}: {one.subject}: {one.message}" for one in proof.findings),
        *(
            f"{one.rule}: {one.subject}: {one.message} (from {exact_time(epoch.from_ps)} on)"
            for epoch in proof.epochs
            for one in epoch.findings
        ),
    ]
    rows = (
        *_stream_rows(judged, heeded),
        *_demand_rows(judged),
        *(row for one in profile.egress for row in _egress_rows(judged, plan, one)),
        *weigh(asked, [*proof.figures, *(one for run in observations for one in run.figures)]),
    )
    return Verdict(
        title=f"{profile.title} on {topology.title}",
        outcome=_together(findings, rows, is_void=emulation is not None and bool(emulation.void)),
        findings=_first(findings, FINDINGS_LISTED, "findings"),
        rows=rows,
        assumptions=(*topology.assumptions, *profile.assumptions, *_map_lengths(topology)),
        notes=(
            *(plan.reserved.lines() if plan.reserved else ()),
            *plan.gate_lines(),
            _note("simulated", seen.runs.get("simulated")),
            *_emulation_notes(emulation, seen.runs),
        ),
        events=tuple(epoch_lines(proof, seen.runs, _services(profile), profile.events)),
    )


def _services(profile: Profile) -> Mapping[str, str]:
    """Return the service of each stream and demand by name."""
    services = {one.name: one.service for one in profile.every_stream}
    return services | {one.name: one.service for one in profile.demands}


def _together(findings: Sequence[str], rows: Sequence[Row], *, is_void: bool) -> Outcome:
    """Return the answer: broken when anything is, known to be kept when everything is.

    A witness that was asked and whose run is void leaves it unknown.
    """
    outcomes = {row.outcome for row in rows}
    if findings or "fail" in outcomes:
        return "fail"
    return "unknown" if is_void or "unknown" in outcomes else "pass"


# Findings: a witness saw what the proof excludes


def _disagreements(judged: Judged) -> list[str]:
    found = []
    for witness, traffic in judged.seen.streams.items():
        for stream in judged.profile.every_stream:
            bounds, account = judged.proofs.get(stream.name), traffic.get(stream.name)
            reserved = judged.profile.is_reserved(stream)
            # What hosts send of their own while they are emulated is in no plan, and shares the
            # queues of what reserves nothing.
            counts = reserved or witness == "simulated"
            if account is not None and bounds is not None and counts and _is_proven(bounds):
                lossy = not reserved or can_lose(judged, stream)
                taken = judged.event_losses.get(stream.name)
                is_whole = witness == "simulated"
                found += [
                    f"witnesses disagree: {stream.name}: {words}"
                    for words in (
                        *_excluded(witness, bounds, account, lossy or taken is not None),
                        *(_lost_otherwise(taken, account, lossy) if taken and is_whole else ()),
                    )
                ]
    drawn = drawn_otherwise(judged.topology, judged.profile, judged.proof, judged.seen.drawn)
    others = (*drawn, *sent_otherwise(judged))
    return [*found, *(f"witnesses disagree: {words}" for words in others)]


def _lost_otherwise(taken: EventLoss, account: Traffic, lossy: bool) -> Iterable[str]:
    """Say where the simulator lost more or less than events take."""
    most = taken.frames_most
    if account.lost < taken.frames_least:
        yield f"simulated {account.lost} frames lost, proven at least {taken.frames_least}"
    if most is not None and account.lost > most and not lossy:
        yield f"simulated {account.lost} frames lost, proven at most {most}"


def _emulated_findings(emulation: Emulation | None) -> list[str]:
    """Say what the rules did otherwise than planned, and where emulated is not simulated."""
    if emulation is None:
        return []
    found = [f"emulated: {words}" for words in emulation.findings]
    if emulation.void:
        return found
    found += [
        f"witnesses disagree: {one.name}: emulated and simulated latency of one frame differ by "
        f"{one.difference_ps} ps, of which {emulation.rounding_ps} ps may be rounding; emulated "
        f"at most {one.emulated_latency_ps_max} ps, "
        f"simulated at most {one.simulated_latency_ps_max} ps"
        for one in emulation.streams
        if one.difference_ps is not None and one.difference_ps > emulation.rounding_ps
    ]
    # Each end of a variation may be rounded.
    found += [
        f"witnesses disagree: {one.name}: the variations of the same frames, emulated and "
        f"simulated, differ by {one.variation_difference_ps} ps, of which "
        f"{2 * emulation.rounding_ps} ps may be rounding"
        for one in emulation.streams
        if one.variation_difference_ps is not None
        and one.variation_difference_ps > 2 * emulation.rounding_ps
    ]
    return found


def _is_proven(bounds: StreamProof) -> bool:
    return bounds.latency_ps_min is not None and bounds.latency_ps_max is not None


def _excluded(witness: str, bounds: StreamProof, account: Traffic, lossy: bool) -> Iterable[str]:
    high, most = account.latency_ps_max, bounds.latency_ps_max
    if high is not None and most is not None and high > most:
        yield f"{witness} latency of {high} ps, proven at most {most} ps"
    low, least = account.latency_ps_min, bounds.latency_ps_min
    if low is not None and least is not None and low < least:
        yield f"{witness} latency of {low} ps, proven at least {least} ps"
    if account.late:
        yield f"{witness} {account.late} late events, proven none"
    if account.lost and not lossy:
        yield f"{witness} {account.lost} of {account.sent} frames lost, proven none"


# Streams


def _stream_rows(judged: Judged, heeded: Heeded) -> Iterable[Row]:
    profile, plans = judged.profile, judged.stream_plans
    done, total = 0, len(profile.every_stream)
    for reserved in (True, False):
        streams = [one for one in profile.every_stream if profile.is_reserved(one) == reserved]
        for service, members in _by_service(streams).items():
            admitted = [one for one in members if _has_way(plans.get(one.name))]
            if reserved or len(admitted) < len(members):
                yield _admitted_row(service, members, plans)
            if admitted:
                yield _bound_row(judged, service, "latency", admitted)
                yield _bound_row(judged, service, "variation", admitted)
                yield _loss_row(judged, service, admitted)
                yield from _availability_row(judged, service, admitted)
            if reserved:
                yield from _late_row(service, admitted, judged.seen)
            done += len(members)
            heeded.step(done, total)


def _has_way(entry: StreamPlan | None) -> bool:
    return entry is not None and entry.status != "refused"


def _by_service(members: Iterable[_Member]) -> dict[str, list[_Member]]:
    """Group members by service, in file order."""
    groups: dict[str, list[_Member]] = {}
    for one in members:
        groups.setdefault(one.service, []).append(one)
    return groups


def _admitted_row(service: str, members: Sequence[Stream], plans: Mapping[str, StreamPlan]) -> Row:
    refused = [one for one in members if not _has_way(plans.get(one.name))]
    # All legs of a tree are admitted together, or refused for one reason.
    trees, short = ({one.tree for one in some} for some in (members, refused))
    reasons = dict.fromkeys(f"{one.tree}: {_why_refused(plans.get(one.name))}" for one in refused)
    return row_of(
        ask("admitted", service, len(trees), len(trees)),
        {"proven": len(trees) - len(short)},
        "fail" if refused else "pass",
        basis=None if refused else "proven",
        broken=len(short),
        worst=refused[0].tree if refused else None,
        reason="; ".join(_first(list(reasons), REASONS_LISTED, "refusals")) or None,
    )


def _why_refused(entry: StreamPlan | None) -> str:
    return "not in the plan" if entry is None else entry.reason or "refused"


def _bound_row(
    judged: Judged, service: str, kind: Literal["latency", "variation"], members: Iterable[Stream]
) -> Row:
    """Judge latencies or their variation: promised, proven and the most that was seen."""
    of_latency = kind == "latency"

    def most(account: StreamProof | Traffic) -> int | None:
        return account.latency_ps_max if of_latency else account.variation_ps

    def case(one: Stream) -> MemberFigures:
        bounds = judged.proofs.get(one.name)
        return MemberFigures(
            one,
            kind,
            judged.promised(one, kind),
            None if bounds is None else most(bounds),
            judged.seen.figures(one, most),
            judged.seen.speaking(one, kind),
            needs_proof(judged, one),
            why_impossible(judged, one, kind),
            is_all_lost(judged, one),
            one.tree in judged.silent,
        )

    return _worst_row(service, kind, [case(one) for one in members], judged.seen)


def _loss_row(judged: Judged, service: str, members: Iterable[Member]) -> Row:
    """Judge losses; reserved streams lose nothing where the profile gives no max-loss."""

    def case(one: Member) -> MemberFigures:
        if isinstance(one, Stream):
            promised, why = judged.promised(one, "loss"), why_lost(judged, one)
            proven = _proven_loss_ppb(judged, one)
        else:
            promised, why, proven = one.max_loss_ppb, why_demand_lost(judged, one), None
        if promised is not None and promised >= PPB:
            proven = PPB  # nothing can break it
        figures = judged.seen.figures(one, lost_ppb)
        speaking = judged.seen.speaking(one, "loss")
        is_silent = (one.tree if isinstance(one, Stream) else one.name) in judged.silent
        return MemberFigures(
            one, "loss", promised, proven, figures, speaking, False, why, is_silent=is_silent
        )

    return _worst_row(service, "loss", [case(one) for one in members], judged.seen)


def _availability_row(judged: Judged, service: str, members: Sequence[Stream]) -> Iterable[Row]:
    """Judge for what share of the time streams have a way, where the files ask for it.

    It is all arithmetic: what was drawn of failures is shown beside it and decides nothing.
    """
    shares = {one.name: judged.proofs[one.name].availability for one in members}
    promised = {one.name: one.availability for one in members}
    if not any(promised.values()) and all(one is None for one in shares.values()):
        return

    def beyond(name: str) -> int:
        """Return by how much one is better than its promise, or than nothing promised."""
        return (shares[name] or 0) - (promised[name] or 0)

    short = [name for name in shares if promised[name] is not None and beyond(name) < 0]
    asked = [name for name in shares if promised[name] is not None]
    worst = min(short or asked or shares, key=beyond)
    drawn = judged.seen.drawn.get(worst)
    yield row_of(
        ask("availability", service, promised[worst], len(members)),
        {"proven": shares[worst], "simulated": drawn},
        "fail" if short else "pass",
        basis="proven" if asked and not short else None,
        worst=worst,
        broken=len(short),
        reason=_availability_words(judged.stream_plans[worst], shares[worst], promised[worst]),
    )


def _availability_words(entry: StreamPlan, share: int | None, promised: int | None) -> str:
    if share is None:
        return "nothing is proven of its way"
    paths = "one path gives" if len(entry.paths) == 1 else "two paths give"
    if promised is not None and share < promised:
        given, asked = show_availabilities(share, promised)
        return f"{paths} {given}, {asked} asked"
    seconds = round(Fraction((SHARE_STEPS - share) * YEAR_S, SHARE_STEPS))
    return f"{paths} it; without a way for {seconds:,} s a year on average"


def _proven_loss_ppb(judged: Judged, stream: Stream) -> int | None:
    """Return what a stream loses at most, where that is proven: its reservation is, and its way.

    What events take is all it loses then.
    """
    bounds = judged.proofs.get(stream.name)
    is_proven = bounds is not None and _is_proven(bounds)
    if not (judged.profile.is_reserved(stream) and is_proven) or can_lose(judged, stream):
        return None
    taken = judged.event_losses.get(stream.name)
    if taken is None:
        return 0
    if taken.frames_most is None or not taken.sent_least:
        return None
    return min(ceil_div(taken.frames_most * PPB, taken.sent_least), PPB)


def _worst_row(subject: str, kind: Kind, cases: Sequence[MemberFigures], seen: Seen) -> Row:
    """Show the member that came off worst, beside its own promise; the others did better."""
    worst = min(cases, key=lambda case: case.merit)
    outcomes = Counter(case.outcome for case in cases)
    bases = {case.basis for case in cases} if worst.outcome == "pass" else set()
    frames = (case.frames for case in cases if case.basis == "seen")
    return row_of(
        ask(kind, subject, worst.promised, len(cases)),
        {"proven": worst.proven, **worst.seen},
        worst.outcome,
        worst=worst.member.name,
        reason=worst.reason(KINDS[kind].unit.show, seen),
        basis="seen" if "seen" in bases else "proven" if "proven" in bases else None,
        frames=min(frames, default=None) if "seen" in bases else None,
        broken=outcomes["fail"],
        not_known=outcomes["unknown"],
        decided_by=worst.decided_by(seen),
    )


def _late_row(service: str, members: Sequence[Stream], seen: Seen) -> Iterable[Row]:
    """Give a line when any frame missed its cycle; none is the rule and needs no line."""
    late = {
        witness: {one.name: traffic[one.name].late for one in members if one.name in traffic}
        for witness, traffic in seen.streams.items()
    }
    totals: dict[str, int | None] = {
        witness: sum(counts.values()) for witness, counts in late.items()
    }
    if not any(totals.values()):
        return
    counts = max(late.values(), key=lambda one: sum(one.values()))
    yield row_of(
        ask("late", service, 0, len(members)),
        totals,
        "fail",
        broken=sum(count > 0 for count in counts.values()),
        worst=max(counts, key=counts.__getitem__),
        reason="frames came after their cycle had begun, or left in another cycle",
    )


# Demands and egress


def _demand_rows(judged: Judged) -> Iterable[Row]:
    for service, members in _by_service(judged.profile.demands).items():
        yield _placed_row(service, members, judged.demand_plans)
        yield _loss_row(judged, service, members)


def _placed_row(service: str, members: Sequence[Demand], plans: Mapping[str, DemandPlan]) -> Row:
    placed_bps = {
        one.name: shown_bps(plans[one.name].placed_bps) if one.name in plans else 0
        for one in members
    }
    short = [one for one in members if placed_bps[one.name] < one.rate_bps]
    reasons = [_shortfall(one, placed_bps[one.name], plans.get(one.name)) for one in short]
    worst = max(short, key=lambda one: one.rate_bps - placed_bps[one.name], default=None)
    return row_of(
        ask("placed", service, sum(one.rate_bps for one in members), len(members)),
        {"proven": sum(placed_bps.values())},
        "fail" if short else "pass",
        basis=None if short else "proven",
        broken=len(short),
        worst=worst.name if worst else None,
        reason="; ".join(_first(reasons, REASONS_LISTED, "demands not placed in full")) or None,
    )


def _shortfall(demand: Demand, placed_bps: int, entry: DemandPlan | None) -> str:
    if entry is None:
        return f"{demand.name}: not in the plan"
    why = f": {entry.reason}" if entry.reason else ""
    return f"{demand.name}: {show_rate(demand.rate_bps - placed_bps)} not placed{why}"


def _egress_row(judged: Judged, plan: Plan, required: Egress) -> Row:
    entry = next((one for one in plan.egress if one.site == required.site), None)
    placed_bps = shown_bps(entry.placed_bps) if entry else None
    leaving = leaving_site(judged, required.site)
    run = judged.seen.runs.get("simulated")
    seen_bps, is_lossy = _delivered(leaving, run) if run else (None, False)
    reasons = [] if entry else ["not in the plan"]
    if placed_bps is not None and placed_bps < required.rate_bps:
        reasons.append(f"{show_rate(required.rate_bps - placed_bps)} short of the requirement")
    if placed_bps is not None:
        why = why_egress_lost(judged, required, placed_bps)
        reasons += [] if why is None else [why]
        due_bps = min(placed_bps, required.rate_bps)
        if seen_bps is not None and is_lossy and seen_bps * PPB < due_bps * EGRESS_ARRIVES_PPB:
            of = "placed" if due_bps == placed_bps else "required"
            reasons.append(f"simulated {show_rate(due_bps - seen_bps)} less than {of}")
    bound = [f"at most {show_rate(shown_bps(entry.bound_bps))} by the LP bound"] if entry else []
    return row_of(
        ask("egress", required.site, required.rate_bps),
        {"proven": placed_bps, "simulated": seen_bps},
        "fail" if reasons else "pass",
        basis=None if reasons else "proven",
        broken=int(bool(reasons)),
        reason="; ".join([*reasons, *bound]),
    )


def _egress_rows(judged: Judged, plan: Plan, required: Egress) -> Iterable[Row]:
    """Give the egress, and what is left of it at most after the worst single failure."""
    yield _egress_row(judged, plan, required)
    for one in judged.proof.survivable:
        if one.site != required.site:
            continue
        if one.cable_bps is not None:
            asked = required.rate_bps if "cable" in required.survives else None
            yield _survival_row("cable", required.site, asked, one.cable_bps, one.cables)
        if one.node_bps is not None:
            asked = required.rate_bps if "node" in required.survives else None
            yield _survival_row("node", required.site, asked, one.node_bps, one.nodes)


def _survival_row(
    what: Literal["cable", "node"],
    site: str,
    asked: int | None,
    left_bps: int,
    worst: Sequence[str],
) -> Row:
    broken = asked is not None and left_bps < asked
    reason = f"at most {show_rate(left_bps)} without {worst[0]}"
    if len(worst) > 1:
        others = ", ".join(_first(worst[1:], WORST_LISTED, "alike"))
        reason += f"; as much without each of {others}"
    if asked is not None and broken:
        reason = f"{show_rate(asked - left_bps)} short of the requirement; {reason}"
    return row_of(
        ask("cable-egress" if what == "cable" else "node-egress", site, asked),
        {"proven": left_bps},
        "fail" if broken else "pass",
        basis=None if broken or asked is None else "proven",
        broken=int(broken),
        worst=worst[0],
        reason=reason,
    )


def _delivered(leaving: Iterable[Stream | Demand], run: Observation) -> tuple[int | None, bool]:
    """Return the wire rate that arrives, and whether too many frames were lost on the way.

    50 MB in the 4 ms after the start has settled are 100 Gb/s. A stream with several listeners
    counts once, by the one that got least.
    """
    trees = {one.name: one.tree if isinstance(one, Stream) else one.name for one in leaving}
    least: dict[str, Traffic] = {}
    for one in (*run.streams, *run.demands):
        tree = trees.get(one.name)
        if tree is not None and (tree not in least or one.steady_bytes < least[tree].steady_bytes):
            least[tree] = one
    accounts = least.values()
    lost = sum(one.lost for one in accounts)
    ended = lost + sum(one.received for one in accounts)
    is_lossy = lost * PPB > ended * (PPB - EGRESS_ARRIVES_PPB)
    steady_ps = run.duration_ps - run.steady_from_ps
    if steady_ps <= 0:
        return None, is_lossy
    return sum(one.steady_bytes for one in accounts) * 8 * PS_PER_S // steady_ps, is_lossy


# Words around the answer


def _map_lengths(topology: Topology) -> tuple[str, ...]:
    """Say how many links are as long as the map and a factor make them."""
    count = sum(one.length_mm is None and one.delay_ps is None for one in topology.links)
    if not count:
        return ()
    return (
        f"fibre length of {count} of {len(topology.links)} links estimated from the map: "
        "1.8 times the great circle",
    )


def _note(witness: str, run: Observation | None) -> str:
    if run is None:
        return f"{witness}: not asked"
    return (
        f"{witness}: {run.frames:,} frames, {run.frame_hops:,} frame-hops in "
        f"{show_time(run.duration_ps)} of network time, seed {run.seed}"
    )


def _emulation_notes(
    emulation: Emulation | None, runs: Mapping[str, Observation]
) -> tuple[str, ...]:
    """Name tier, dilation and lateness of the emulation, and where it ended before its time."""
    if emulation is None:
        return (_note("emulated", runs.get("emulated")),)
    late = emulation.lateness
    void = (
        f"emulated: not known: {emulation.void}; nothing that frames did counts, and a run on a "
        "machine with less to do, or with a larger --dilation, would decide it",
    )
    whose = emulation.controller
    whose = f"controller at {whose}" if whose.startswith("tcp:") else whose
    reached_ps = emulation.observation.duration_ps
    whole_ps = max(run.duration_ps for run in runs.values())
    shorter = (
        f"emulated: the first {show_time(reached_ps)} of {show_time(whole_ps)} only, "
        "for its wall-clock time was used up",
    )
    clock = (
        "the clock waits for every frame"
        if emulation.dilation is None
        else f"time stretched {emulation.dilation} times"
    )
    return (
        *(void if emulation.void else ()),
        f"emulated ({emulation.tier}): {emulation.frames:,} frames through {emulation.switches} "
        f"real switches with {emulation.rules:,} rules of the {whose}, "
        f"{emulation.hops:,} times through a switch; the rest of the load simulated around them",
        f"emulated: {clock}; {late.violations:,} of {late.frames:,} came too late; virtual time "
        f"waited {late.holds:,} times, {show_time(late.held_ps)} in all; "
        f"rounding {show_time(emulation.rounding_ps)}",
        *(shorter if reached_ps < whole_ps else ()),
    )


def _first(lines: Sequence[str], most: int, what: str) -> tuple[str, ...]:
    """Keep the first lines and count the rest."""
    rest = len(lines) - most
    return (*lines[:most], f"and {rest} more {what}") if rest > 0 else tuple(lines)
