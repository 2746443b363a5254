"""Weigh requirements that the core knows by their data alone: those of layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from qnet.model.requirement import Figure, Requirement
from qnet.model.verdict import Row, row_of


def weigh(asked: Iterable[Requirement], figures: Iterable[Figure]) -> list[Row]:
    """Return a row for each requirement.

    A figure of any witness beyond the promise breaks it. It is kept where a proven figure keeps
    it, and kept as far as was seen where none is proven; without any figure nobody knows.
    """
    found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for one in figures:
        found[one.subject, one.kind][one.witness] = one.value
    return [_row(one, found[one.subject, one.kind]) for one in asked]


def _row(asked: Requirement, figures: Mapping[str, int]) -> Row:
    promised, show = asked.promised, asked.unit.show
    if promised is None:
        return row_of(asked, figures, "pass")
    beyond = {
        witness: abs(value - promised)
        for witness, value in figures.items()
        if (value > promised if asked.keeps == "at most" else value < promised)
    }
    if beyond:
        side = "over" if asked.keeps == "at most" else "short of"
        said = (f"{witness} {show(value)} {side} the promise" for witness, value in beyond.items())
        return row_of(asked, figures, "fail", broken=1, reason="; ".join(said))
    if not figures:
        why = "no witness has a figure of it"
        return row_of(asked, figures, "unknown", not_known=1, reason=why)
    return row_of(asked, figures, "pass", basis="proven" if "proven" in figures else "seen")
