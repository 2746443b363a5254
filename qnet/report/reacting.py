"""What a controller did about the events of a timeline, in lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from qnet.model.reacting import PairReaction, Reacting, ReactingChange
from qnet.report.replay import promise_line, show_at, show_long
from qnet.report.text import OUTCOME_WORD, counted, printable
from qnet.units import show_time

PAIRS_LISTED = 6


def reacting_lines(made: Reacting) -> Iterator[str]:
    """Yield the whole answer, a line of text at a time."""
    broken = sum(one.outcome == "fail" for one in made.promises)
    words = [f"{counted(broken, 'promise')} broken"] if broken else []
    words += [counted(len(made.findings), "finding")] if made.findings else []
    words += [f"not known: {made.void}"] if made.void else []
    said = ", ".join(words) or "every promise was kept"
    who = f"{printable(made.controller)} on {printable(made.title)}"
    yield f"{OUTCOME_WORD[made.outcome]}  {who}: {said}"
    pairs = len(made.changes[0].pairs) if made.changes else 0
    yield (
        f"{show_long(made.until_ps)} with {counted(len(made.changes), 'change')} of wires, on the "
        f"wall ({made.tier}); frames of {counted(pairs, 'pair')} of hosts, waited for "
        f"{show_time(made.longest_ps)} at most after each"
    )
    for finding in made.findings:
        yield f"finding: {printable(finding)}"
    yield ""
    yield "Events"
    for change in made.changes:
        yield from (f"- {line}" if not number else f"  {line}"
                    for number, line in enumerate(change_lines(change, made.epoch)))  # fmt: skip
    if made.promises:
        yield ""
        yield "Promises"
    for promise in sorted(made.promises, key=lambda one: one.outcome == "pass"):
        yield f"- {promise_line(promise, made.epoch)}"


def change_lines(change: ReactingChange, epoch: str | None) -> list[str]:
    """Say what happened, who lost frames, and when they came again."""
    what = [*change.events, *(f"over: {one}" for one in change.undone)]
    words = [f"{counted(change.down, 'wire')} down"] if change.down else []
    words += [f"{counted(change.up, 'wire')} up"] if change.up else []
    words += [f"seen by switches within {show_time(change.seen_ps)}"]
    at = show_at(epoch, change.at_ps)
    lines = [f"{at}: {printable('; '.join(what))} ({', '.join(words)})"]
    hit = [one for one in change.pairs if one.lost]
    if not hit:
        return [*lines, "no frame was lost"]
    if all(one.restored for one in hit):
        slowest = max(one.converged_ps or 0 for one in hit)
        lines.append(
            f"convergence time {show_time(slowest)}, give or take {show_time(change.resolution_ps)}"
        )
    lines += [_pair_words(one) for one in sorted(hit, key=_worst)[:PAIRS_LISTED]]
    if len(hit) > PAIRS_LISTED:
        lines.append(f"{len(hit) - PAIRS_LISTED} more lost frames")
    return lines


def _worst(one: PairReaction) -> tuple[bool, int]:
    return one.restored, -one.blocked_ps


def _pair_words(one: PairReaction) -> str:
    words = f"{one.source} to {one.target}: {one.lost:,} of {one.sent:,} frames lost"
    if not one.restored:
        return f"{words}, none came again" + ("" if one.has_way else "; no wires lead there")
    way = "-".join(one.path)
    return f"{words}, blocked for {show_time(one.blocked_ps)}, then by {way}"
