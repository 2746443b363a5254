"""From windows to the answer: what each event did to whom, and which promises held how long.

Between windows nothing changes, so nothing has to be watched: what is sent there is counted by when
it is due, and all of it is lost that has no whole way, and nothing else.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from qnet.model.outages import Wire, joined
from qnet.model.plan import StreamPlan
from qnet.model.replay import (
    Replay,
    ReplayEpoch,
    ReplayEvent,
    ReplayPromise,
    ReplayStream,
    ReplayWindow,
    ServiceLoss,
    Span,
)
from qnet.model.timeline import FOREVER_PS
from qnet.model.traffic import Demand, Profile, RecordedDemand, Stream
from qnet.model.verdict import Outcome, worst_of
from qnet.replays.account import Count, Share, WindowAccount, WindowRow
from qnet.replays.course import Stretch, Timetable, breaks_nothing, changes_what_lasts
from qnet.replays.egress import short_egress
from qnet.units import PPB, PS_PER_S, ceil_div, show_rate, wire_bytes

REASONS_LISTED = 3

LOSS = "loss"
"""The kind of promise that is weighed over the whole timeline, not window by window."""


@dataclass
class _Sum:
    """One stream or demand so far."""

    asked: Stream | Demand
    sent: Fraction = Fraction(0)
    watched: int = 0
    lost: Fraction = Fraction(0)
    late: int = 0
    latency_ps_max: int | None = None
    dark: list[tuple[int, int]] = field(default_factory=list)
    by_event: Counter[int] = field(default_factory=Counter)
    counts: list[tuple[WindowAccount, Count]] = field(default_factory=list)
    """Of every window."""
    taken: dict[int, list[Share]] = field(default_factory=lambda: defaultdict(list))
    """By number of a window, what events took in it."""
    stretches: list[Stretch] = field(default_factory=list)


def outcome_of(table: Timetable, accounts: Sequence[WindowAccount]) -> Replay:
    """Put the accounts of all windows together, with what is between them."""
    asked: list[Stream | Demand] = [*table.profile.every_stream, *table.profile.demands]
    asked += [one.demand for one in table.offer.attacks]
    sums = {one.name: _Sum(one) for one in asked if one.name in table.entries}
    outside = _outside(accounts, table.until_ps)
    for account in accounts:
        for count in (*account.streams, *account.demands):
            _add_watched(sums[count.name], account, count)
        for share in account.taken:
            sums[share.name].taken[account.number].append(share)
    for name, one in sums.items():
        one.stretches = list(table.stretches(name))
        _add_taken(one)
        _add_between(one, outside)
    promises = _promises(table, sums, accounts)
    findings = tuple(dict.fromkeys(finding for account in accounts for finding in account.findings))
    unwatched = tuple(_unwatched(table, outside))
    is_void = any(one.emulated is not None and one.emulated.void for one in accounts)
    streams = {one.name for one in table.profile.every_stream}
    told = [(name, _stream(table, one)) for name, one in sums.items()]
    return Replay(
        title=table.profile.title,
        epoch=table.profile.epoch,
        outcome=worst_of(
            (one.outcome for one in promises),
            has_failed=bool(findings),
            is_unknown=bool(unwatched) or is_void,
        ),
        until_ps=table.until_ps,
        watched_ps=sum(one.until_ps - one.from_ps for one in accounts),
        findings=findings,
        unwatched=unwatched,
        events=tuple(_event(table, number, sums) for number in range(len(table.profile.events))),
        promises=promises,
        streams=tuple(one for name, one in told if name in streams),
        demands=tuple(one for name, one in told if name not in streams),
        windows=tuple(_window(one) for one in accounts),
        epochs=tuple(_epochs(table, sums)),
        assumptions=(*table.topology.assumptions, *table.profile.assumptions),
    )


def _outside(accounts: Sequence[WindowAccount], until_ps: int) -> list[tuple[int, int]]:
    """Return the times in which nothing was watched."""
    ends = [0, *(one.until_ps for one in accounts)]
    begins = [*(one.from_ps for one in accounts), until_ps]
    return [(a, b) for a, b in zip(ends, begins, strict=True) if a < b]


LOSSLESS = {"delay", "start", "stop"}
"""What changes while nobody watches, and costs no frame once the change is over."""


def _unwatched(table: Timetable, outside: Sequence[tuple[int, int]]) -> Iterable[str]:
    """Yield what is in force outside of windows and may cost frames that are not counted."""
    for event in table.profile.events:
        if (
            changes_what_lasts(event)
            and event.change not in LOSSLESS
            and (event.by_ppb is None or event.by_ppb > PPB)
            and _reaches(outside, event.at_ps, event.end_ps)
        ):
            yield event.words
    back = {one.event for _, one in table.restored if _reaches(outside, one.from_ps, one.until_ps)}
    for number in sorted(back):
        yield table.profile.events[number].words


def _reaches(outside: Sequence[tuple[int, int]], from_ps: int, until_ps: int) -> bool:
    return any(max(a, from_ps) < min(b, until_ps) for a, b in outside)


def _add_watched(one: _Sum, account: WindowAccount, count: Count) -> None:
    one.counts.append((account, count))
    one.watched += count.sent
    one.lost += count.lost
    one.late += count.late
    if count.latency_ps_max is not None:
        one.latency_ps_max = max(one.latency_ps_max or 0, count.latency_ps_max)


def _add_taken(one: _Sum) -> None:
    """Add up what events took in windows: of frames over several paths those that came by none.

    Of several events those are named first that left it no whole way.
    """
    paths = [each.entry.paths for each in one.stretches if isinstance(each.entry, StreamPlan)]
    is_copied = any(len(each) > 1 for each in paths)
    for account, count in one.counts:
        shares, left = one.taken.get(account.number, []), count.lost
        blamed = {
            each.cut_by.event
            for each in one.stretches
            if shares and each.cut_by is not None
            if each.from_ps < account.until_ps and each.until_ps > account.from_ps
        }
        for share in sorted(shares, key=lambda share: share.event not in blamed):
            frames = min(share.frames, left) if is_copied else share.frames
            left -= frames
            one.by_event[share.event] += frames


def _add_between(one: _Sum, outside: Sequence[tuple[int, int]]) -> None:
    """Count what is sent while nobody watches, and of it what has no whole way.

    The frames of a window that are under way at its end have their fate from what comes after it;
    and what a window leaves out at its begin, while cycles fill up, was sent nevertheless.
    """
    stretches = one.stretches
    is_exact = _is_exact(one.asked, stretches)
    one.sent = Fraction(one.watched)
    for stretch in stretches:
        if stretch.cut_by is not None:
            one.dark.append((stretch.from_ps, stretch.until_ps))
        for begin_ps, end_ps in outside:
            a, b = max(begin_ps, stretch.from_ps), min(end_ps, stretch.until_ps)
            if a < b:
                _add(one, stretch, frames_due(one.asked, stretch, a, b))
    for account, count in one.counts:
        inside = [each for each in stretches if each.from_ps < account.until_ps]
        last = [each for each in inside if each.until_ps > account.from_ps]
        if not last:
            continue
        if last[-1].cut_by is not None and last[-1].until_ps > account.until_ps:
            _lose(one, last[-1], count.in_flight * last[-1].cut_share)
        if is_exact:
            due = sum(
                (frames_due(one.asked, each, max(each.from_ps, account.from_ps),
                           min(each.until_ps, account.until_ps))
                for each in last), Fraction(0)
            )  # fmt: skip
            _add(one, last[0], due - count.sent)


def _add(one: _Sum, stretch: Stretch, frames: Fraction) -> None:
    one.sent += frames
    if stretch.cut_by is not None:
        _lose(one, stretch, frames * stretch.cut_share)


def _lose(one: _Sum, stretch: Stretch, frames: Fraction) -> None:
    assert stretch.cut_by is not None
    one.lost += frames
    one.by_event[stretch.cut_by.event] += round(frames)


def _is_exact(asked: Stream | Demand, stretches: Sequence[Stretch]) -> bool:
    entries = (each.entry for each in stretches)
    return isinstance(asked, Stream) and all(
        isinstance(entry, StreamPlan) and entry.send_ps is not None for entry in entries
    )


def frames_due(asked: Stream | Demand, stretch: Stretch, from_ps: int, until_ps: int) -> Fraction:
    """Return how many frames are due in a part of a stretch; where they are drawn, on average."""
    entry = stretch.entry
    if stretch.by_ppb == 0:
        return Fraction(0)
    if isinstance(entry, StreamPlan):
        assert isinstance(asked, Stream)
        if not entry.paths:
            return Fraction(0)
        each, every_ps = asked.max_packets, asked.interval_ps
        if entry.send_ps is None:
            return Fraction((until_ps - from_ps) * each, every_ps)
        first, last = (
            max(ceil_div(time - entry.send_ps, every_ps), 0) for time in (from_ps, until_ps)
        )
        return Fraction((last - first) * each)
    assert isinstance(asked, Demand)
    if isinstance(asked, RecordedDemand):
        before, until = map(asked.recording.frames_before, (from_ps, until_ps))
        return Fraction(until - before if entry.parts else 0)
    rate_bps = sum(part.rate_bps * stretch.by_ppb // PPB for part in entry.parts)
    return Fraction((until_ps - from_ps) * rate_bps, PS_PER_S) / mean_bits(asked)


def mean_bits(asked: Demand) -> Fraction:
    """Return the bits of line time of a frame, on average."""
    weights = sum(weight for _, weight in asked.sizes)
    return Fraction(sum(8 * wire_bytes(size) * weight for size, weight in asked.sizes), weights)


# What is said of it


def _blocked_ps(one: _Sum, lost: Fraction, event: int | None = None) -> int:
    """Return the effective blocked time: frames lost over frames a second (RFC 6413).

    Of a demand that was scaled at the mean rate while it had no whole way, by one event or any.
    """
    asked = one.asked
    if isinstance(asked, Stream):
        return round(lost * asked.interval_ps / asked.max_packets)
    sent = [
        (each.until_ps - each.from_ps, each.by_ppb)
        for each in one.stretches
        if each.cut_by is not None and each.by_ppb and event in (None, each.cut_by.event)
    ]
    long_ps = sum(time_ps for time_ps, _ in sent)
    by_ppb = Fraction(sum(time_ps * by for time_ps, by in sent), long_ps) if long_ps else PPB
    return round(lost * mean_bits(asked) * PS_PER_S / (asked.rate_bps * by_ppb / PPB))


def _stream(table: Timetable, one: _Sum) -> ReplayStream:
    name = one.asked.name
    return ReplayStream(
        name=name,
        service=one.asked.service,
        sent=round(one.sent),
        watched=one.watched,
        lost=round(one.lost),
        late=one.late,
        latency_ps_max=one.latency_ps_max,
        dark=_spans(one.dark),
        blocked_ps=_blocked_ps(one, one.lost),
        moved=len(table.entries[name]) - 1,
    )


def _spans(spans: Iterable[tuple[int, int]]) -> tuple[Span, ...]:
    """Return spans of time in order, those that meet as one."""
    return tuple(Span(from_ps=begin, until_ps=end) for begin, end in joined(spans))


def _window(one: WindowAccount) -> ReplayWindow:
    return ReplayWindow(
        from_ps=one.from_ps,
        until_ps=one.until_ps,
        seed=one.seed,
        frames=one.frames,
        frame_hops=one.frame_hops,
        findings=one.findings,
        end_ps=one.end_ps,
        sent_bytes=one.sent_bytes,
        lost_frames=one.lost_frames,
        latencies=one.latencies,
        emulated=one.emulated,
    )


def _epochs(table: Timetable, sums: Mapping[str, _Sum]) -> Iterable[ReplayEpoch]:
    """Yield the times between changes of the network."""
    times = {0, table.until_ps}
    times |= {time for one in table.outages for time in (one.from_ps, one.until_ps)}
    order = sorted(time for time in times if time <= table.until_ps)
    for from_ps, until_ps in pairwise(order):
        now = [one for one in table.outages if one.from_ps <= from_ps < one.until_ps]
        nodes = {one.thing for one in now if isinstance(one.thing, str)}
        links = {one.thing.link for one in now if isinstance(one.thing, Wire)}
        ends = {port.link for port in table.topology.ports if {port.source, port.target} & nodes}
        yield ReplayEpoch(
            from_ps=from_ps,
            until_ps=until_ps,
            broken=tuple(dict.fromkeys(table.profile.events[one.event].words for one in now)),
            links=tuple(sorted(links | ends)),
            nodes=tuple(sorted(nodes)),
            cut=sum(
                any(a < until_ps and b > from_ps for a, b in one.dark) for one in sums.values()
            ),
        )


def _event(table: Timetable, number: int, sums: Mapping[str, _Sum]) -> ReplayEvent:
    """Return what one event of the timeline took, and what was done about it."""
    event = table.profile.events[number]
    outages = [one for one in table.outages if one.event == number]
    ends = [one.until_ps for one in outages]
    ends += [event.end_ps] if changes_what_lasts(event) else []
    until_ps = None if not ends or max(ends) >= FOREVER_PS else max(ends)
    lost: Counter[str] = Counter()
    worst: tuple[int, str | None] = (0, None)
    cut = 0
    for name, one in sums.items():
        frames = one.by_event.get(number, 0)
        lost[one.asked.service] += frames
        if any(each.cut_by.event == number for each in one.stretches if each.cut_by):
            cut += 1
            worst = max(
                worst, (_blocked_ps(one, Fraction(frames), number), name), key=lambda pair: pair[0]
            )
    moves = [one for one in table.plan.moves if one.cause == event.words]
    installed_ps = [
        one.installed_ps if one.repaired_at and one.installed_ps is not None else one.at_ps
        for one in moves
    ]
    unmoved = [one for one in table.plan.unmoved if one.cause == event.words]
    reasons = Counter(one.reason for one in unmoved)
    return ReplayEvent(
        event=event.words,
        at_ps=event.at_ps,
        until_ps=until_ps,
        lost=tuple(
            ServiceLoss(service=service, frames=frames)
            for service, frames in lost.most_common()
            if frames
        ),
        is_told=event.change in LOSSLESS or not breaks_nothing(event),
        cut=cut,
        moved=len({one.entry.name for one in moves}),
        unmoved=len({one.name for one in unmoved}),
        reasons=tuple(why for why, _ in reasons.most_common(REASONS_LISTED)),
        detected_ps=_first(one.detected_ps for one in moves),
        decided_ps=_first(one.decided_ps for one in moves),
        installed_first_ps=min(installed_ps, default=None),
        installed_last_ps=max(installed_ps, default=None),
        blocked_ps=worst[0],
        blocked=worst[1],
    )


def _first(times_ps: Iterable[int | None]) -> int | None:
    return min((time_ps for time_ps in times_ps if time_ps is not None), default=None)


def _promises(
    table: Timetable, sums: Mapping[str, _Sum], accounts: Sequence[WindowAccount]
) -> tuple[ReplayPromise, ...]:
    """Weigh losses and egress over the whole timeline, and everything else window by window."""
    found = [*_losses(table.profile, sums), *_egress(table, sums)]
    weighed = {(one.service, one.kind) for one in found}
    rows: dict[tuple[str, str], list[tuple[WindowAccount, WindowRow]]] = defaultdict(list)
    for account in accounts:
        for row in account.rows:
            if row.kind != LOSS:
                rows[row.subject, row.kind].append((account, row))
    for (subject, kind), every in rows.items():
        if (subject, kind) in weighed:
            continue
        fails = [(account, row) for account, row in every if row.outcome == "fail"]
        shown = fails or every
        outcome: Outcome = "fail" if fails else "unknown"
        members = [one for one in sums.values() if one.asked.service == subject]
        found.append(
            ReplayPromise(
                service=subject,
                kind=kind,
                members=len(members),
                broken=max(row.broken for _, row in shown),
                outcome=outcome,
                spans=_broken_spans(table, [account for account, _ in shown]),
                worst=shown[0][1].worst,
                reason=shown[0][1].reason,
            )
        )
    return tuple(found)


def _egress(table: Timetable, sums: Mapping[str, _Sum]) -> Iterable[ReplayPromise]:
    """Yield each required egress that is not there at some time."""
    for one in short_egress(table, ((each.asked, each.stretches) for each in sums.values())):
        yield ReplayPromise(
            service=one.site,
            kind="egress",
            members=1,
            broken=1,
            outcome="fail",
            spans=_spans(one.spans),
            reason=f"{show_rate(one.least_bps)} left of {show_rate(one.due_bps)} at the worst",
        )


def _broken_spans(table: Timetable, windows: Sequence[WindowAccount]) -> tuple[Span, ...]:
    """Return when a promise was broken that is weighed in windows, from those where it was.

    It was not before the first change of them, and it was from one to the next as well where that
    lasts which began in one of them and ended in one of them, or never: in between nothing changes.
    """

    def is_in(time_ps: int) -> bool:
        place = bisect_right(windows, time_ps, key=lambda one: one.from_ps) - 1
        return place >= 0 and time_ps < windows[place].until_ps

    lasting = _spans(
        (from_ps, until_ps)
        for from_ps, until_ps in table.lasting
        if is_in(from_ps) and (until_ps >= table.until_ps or is_in(until_ps))
    )
    spans: list[tuple[int, int]] = []
    for before, window in pairwise([None, *windows]):
        assert window is not None
        begin_ps = window.from_ps
        if before is not None and before.number + 1 == window.number:
            place = bisect_right(lasting, before.until_ps, key=lambda one: one.from_ps) - 1
            if place >= 0 and lasting[place].until_ps >= begin_ps:
                spans.append((before.until_ps, begin_ps))
        if not spans or spans[-1][1] < begin_ps:
            place = bisect_left(table.changes_ps, begin_ps)
            if place < len(table.changes_ps) and table.changes_ps[place] < window.until_ps:
                begin_ps = table.changes_ps[place]
        spans.append((begin_ps, window.until_ps))
    return _spans(spans)


def _losses(profile: Profile, sums: Mapping[str, _Sum]) -> Iterable[ReplayPromise]:
    """Yield for each service with a promise of loss whether it is kept over the whole timeline."""
    services: dict[str, list[tuple[_Sum, int]]] = defaultdict(list)
    for one in sums.values():
        promised_ppb = profile.loss_promised_ppb(one.asked)
        if promised_ppb is not None:
            services[one.asked.service].append((one, promised_ppb))
    for service, promised in services.items():
        members = [one for one, _ in promised]
        broken = [one for one, most_ppb in promised if _loss_ratio(one) * PPB > most_ppb]
        worst = max(members, key=_loss_ratio)
        yield ReplayPromise(
            service=service,
            kind=LOSS,
            members=len(members),
            broken=len(broken),
            outcome="fail" if broken else "pass",
            spans=_spans(span for one in broken for span in one.dark),
            worst=worst.asked.name if worst.lost else None,
            reason=None
            if not broken
            else f"{worst.asked.name} lost {round(worst.lost):,} of {round(worst.sent):,} frames",
        )


def _loss_ratio(one: _Sum) -> Fraction:
    return one.lost / one.sent if one.sent else Fraction(0)
