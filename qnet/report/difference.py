"""Two runs side by side, in lines for the terminal: what is worse comes first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qnet.model.difference import Comparison, RunDifference
from qnet.report.lines import aligned
from qnet.report.text import OUTCOME_WORD, printable

SHOWN = 20
"""Differences of a kind on the terminal, unless all are asked for."""


def difference_lines(made: Comparison, most: int | None = SHOWN) -> list[str]:
    """Say what became worse, better, or is otherwise: promises first, then streams and demands."""
    before, after = OUTCOME_WORD[made.outcome_before], OUTCOME_WORD[made.outcome_after]
    counts = {
        way: sum(one.direction == way for one in made.differences)
        for way in ("worse", "better", "other")
    }
    head = f"{before} -> {after}: {made.compared:,} promises, streams and demands in both"
    lines = [
        f"{printable(made.before)} -> {printable(made.after)}",
        f"{head}; {counts['worse']:,} figures worse, {counts['better']:,} better, "
        f"{counts['other']:,} otherwise",
        *made.notes,
    ]
    lines += _only("only before", made.only_before)
    lines += _only("only after", made.only_after)
    for way in ("worse", "better", "other"):
        lines += _of(way, [one for one in made.differences if one.direction == way], most)
    return lines


def _only(title: str, names: Sequence[str]) -> Iterable[str]:
    if names:
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        yield f"{title}: {', '.join(map(printable, names[:SHOWN]))}{more}"


def _of(title: str, found: Sequence[RunDifference], most: int | None) -> Iterable[str]:
    if not found:
        return
    yield ""
    yield f"{title}:"
    rows = [
        (printable(one.name), one.figure, one.show(one.before), "->", one.show(one.after))
        for one in found[:most]
    ]
    yield from aligned(rows, (0, 1, 3), "  ")
    if most is not None and len(found) > most:
        yield f"  and {len(found) - most:,} more (--top)"
