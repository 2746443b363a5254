"""A replay in lines of text: the answer, each event with what it did, each promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from qnet.model.calendar import read_moment
from qnet.model.replay import Replay, ReplayEvent, ReplayPromise, Span
from qnet.report.text import OUTCOME_WORD, counted, printable
from qnet.units import PS_PER_MS, PS_PER_S, show_time

SERVICES_LISTED = 4
SPANS_LISTED = 3
FINDINGS_LISTED = 20


LONG_PS = 600 * PS_PER_S
"""From here on times are told in days, hours, minutes."""


def show_long(time_ps: int) -> str:
    """Show a time for a reader: 9.000 ms, 8:10:00 or 7 d 12:00:00.023."""
    if time_ps < LONG_PS:
        return show_time(time_ps)
    whole, rest = divmod(time_ps // PS_PER_MS, 1000)
    days, seconds = divmod(whole, 86_400)
    words = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    words += f".{rest:03}" if rest else ""
    return f"{days} d {words}" if days else words


def show_at(epoch: str | None, time_ps: int) -> str:
    """Show an instant: by the clock on the wall where there is an epoch."""
    if epoch is None:
        return show_long(time_ps)
    try:
        moment = read_moment(epoch) + timedelta(milliseconds=time_ps // PS_PER_MS)
    except OverflowError:  # the calendar ends with the year 9999
        return f"{epoch} + {show_long(time_ps)}"
    return moment.isoformat(sep=" ", timespec="milliseconds" if moment.microsecond else "seconds")


def replay_headline(replay: Replay) -> str:
    """Say in a line how many promises were broken, and how much of the time was watched."""
    broken = sum(one.outcome == "fail" for one in replay.promises)
    unknown = sum(one.outcome == "unknown" for one in replay.promises)
    words = [f"{counted(broken, 'promise')} broken for some time"] if broken else []
    words += [f"{unknown} not known to be kept"] if unknown else []
    words += [counted(len(replay.findings), "finding")] if replay.findings else []
    void = sum(one.emulated is not None and bool(one.emulated.void) for one in replay.windows)
    words += [f"{counted(void, 'window')} that real switches were too slow for"] if void else []
    return ", ".join(words) or "every promise was kept"


def replay_lines(replay: Replay) -> Iterator[str]:
    """Yield the whole answer, a line of text at a time."""
    yield f"{OUTCOME_WORD[replay.outcome]}  {printable(replay.title)}: {replay_headline(replay)}"
    hops = sum(one.frame_hops for one in replay.windows)
    watched, windows = show_time(replay.watched_ps), counted(len(replay.windows), "window")
    yield (
        f"{show_long(replay.until_ps)}, of which {watched} were simulated frame by frame, in "
        f"{windows} with {hops:,} frame-hops; in between nothing changes"
    )
    real = [one.emulated for one in replay.windows if one.emulated is not None]
    if real:
        sent, got, lost = (
            sum(getattr(one, name) for one in real) for name in ("frames", "delivered", "lost")
        )
        worst = show_time(max(one.difference_ps for one in real))
        yield (
            f"{sent:,} of the frames went through real switches ({real[0].tier}): {got:,} arrived, "
            f"{lost:,} were lost; their latencies differ from the simulated ones by {worst} at most"
        )
    for one in replay.windows:
        if one.emulated is not None and one.emulated.void:
            when = span_words([Span(from_ps=one.from_ps, until_ps=one.until_ps)], replay.epoch)
            why = printable(one.emulated.void)
            yield f"not known: what real switches do from {when}: {why}"
    for words in replay.unwatched:
        hint = "'--after TIME' watches longer"
        yield f"not known: what {printable(words)} cost between windows; {hint}"
    for finding in replay.findings[:FINDINGS_LISTED]:
        yield f"finding: {printable(finding)}"
    yield ""
    yield "Events"
    for event in replay.events:
        yield from (f"- {line}" if not number else f"  {line}"
                    for number, line in enumerate(event_lines(event, replay)))  # fmt: skip
    yield ""
    yield "Promises"
    for promise in sorted(replay.promises, key=lambda one: one.outcome == "pass"):
        yield f"- {promise_line(promise, replay.epoch)}"


def event_lines(event: ReplayEvent, replay: Replay) -> list[str]:
    """Say what an event was, what it took, and what was done about it."""
    lines = [f"{show_at(replay.epoch, event.at_ps)}: {printable(event.event)}"]
    if event.at_ps >= replay.until_ps:
        return [*lines, "after the end: not played"]
    acts = _acts(event)
    if event.cut:
        acts = f"{_things(event.cut)} had no whole way; {acts}"
    if event.cut or event.moved or event.unmoved:
        lines.append(acts)
    if event.lost:
        listed = [f"{printable(one.service)} {one.frames:,}" for one in event.lost]
        more = len(listed) - SERVICES_LISTED
        words = ", ".join(listed[:SERVICES_LISTED]) + (f", {more} more" if more > 0 else "")
        lines.append(f"frames lost: {words}")
    elif not event.is_told:
        lines.append("what it cost is in the losses of streams and demands, and not told apart")
    else:
        lines.append("no frame was lost")
    if event.blocked is not None and event.blocked_ps:
        blocked = show_long(event.blocked_ps)
        lines.append(f"blocked for {blocked} at most ({printable(event.blocked)})")
    return lines


def _things(count: int) -> str:
    return "1 stream or demand" if count == 1 else f"{count:,} streams and demands"


def _acts(event: ReplayEvent) -> str:
    """Say who was moved, from when to when."""
    at = event.at_ps
    words = "nobody was moved"
    if event.moved and event.installed_first_ps is not None and event.installed_last_ps is not None:
        steps = [
            f"{name} {_since(time - at)}"
            for name, time in (
                ("detected", event.detected_ps),
                ("decided", event.decided_ps),
                ("first in force", event.installed_first_ps),
                ("last", event.installed_last_ps),
            )
            if time is not None
        ]
        words = f"{event.moved} moved ({', '.join(steps)})"
    if event.unmoved:
        words += f", {event.unmoved} found no other way"
        words += f": {printable(event.reasons[0])}" if event.reasons else ""
    return words


def _since(time_ps: int) -> str:
    """Say how long after an event something was, or before one that was announced."""
    return f"{show_time(-time_ps)} before" if time_ps < 0 else f"after {show_time(time_ps)}"


def promise_line(promise: ReplayPromise, epoch: str | None) -> str:
    """Say whether a promise was kept, or from when to when it was broken and why."""
    name = f"{printable(promise.service)}: {promise.kind}"
    if promise.outcome == "pass":
        return f"{name}: kept"
    how = "broken" if promise.outcome == "fail" else "not known to be kept"
    count = f" by {promise.broken} of {promise.members}" if promise.members > 1 else ""
    why = f"; {printable(promise.reason)}" if promise.reason else ""
    spans = f", {span_words(promise.spans, epoch)}" if promise.spans else ""
    return f"{name}: {how}{count}{spans}{why}"


def span_words(spans: Sequence[Span], epoch: str | None) -> str:
    """Say from when to when, the first few."""
    listed = [_span(one, epoch) for one in spans[:SPANS_LISTED]]
    more = len(spans) - SPANS_LISTED
    return ", ".join(listed) + (f" and {counted(more, 'time')} more" if more > 0 else "")


def _span(span: Span, epoch: str | None) -> str:
    """Say from when to when, or how long where both would read the same."""
    begin, end = (show_at(epoch, time_ps) for time_ps in (span.from_ps, span.until_ps))
    return f"{begin} to {end}" if begin != end else f"{begin} for {show_time(span.lasted_ps)}"
