"""The answer: one line per requirement, promised beside proven, simulated and emulated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from qnet.model.fields import Noun
from qnet.model.requirement import COUNT, KINDS, Kind, Requirement, Unit

Outcome = Literal["pass", "fail", "unknown"]


def worst_of(outcomes: Iterable[Outcome], *, has_failed: bool, is_unknown: bool) -> Outcome:
    """Return the outcome of all together: broken when any is, kept when all are known to be."""
    every = set(outcomes)
    if has_failed or "fail" in every:
        return "fail"
    return "unknown" if is_unknown or "unknown" in every else "pass"


Basis = Literal["proven", "seen"]
"""How a promise is known to be kept: by arithmetic over every arrival, or by what was seen."""


class Row(Noun):
    """One requirement of one subject, beside the figure that each witness has of it.

    Times are picoseconds, rates bits per second, losses parts per billion: `kind` says which, and
    rows of layers have their `unit` with them.
    `pass` is a promise known to be kept, `fail` one that is broken, `unknown` one of which neither
    is known. A row without a promise has nothing to break and passes.
    """

    subject: str
    members: int
    """Streams or demands that the line speaks of; of those with several listeners each leg, but for
    `admitted`."""
    kind: str
    """One of `KINDS`, or what a layer calls it."""
    promised: int | None
    proven: int | None
    simulated: int | None
    emulated: int | None
    outcome: Outcome
    worst: str | None
    """The member that came off worst."""
    reason: str | None
    basis: Basis | None = None
    """Of promises that are kept; `seen` when one of the members rests on seeing alone."""
    frames: int | None = None
    """Frames in steady state that speak for a member kept by seeing: the fewest of any."""
    broken: int = 0
    """Members whose promise is broken."""
    not_known: int = 0
    """Members whose promise is neither known to be kept nor broken."""
    decided_by: str | None = None
    """Where it is not known: what would decide it."""
    unit: Unit | None = Field(None, exclude_if=lambda unit: unit is None)
    """Of layers' rows; that of the core's follows from their kind."""

    @property
    def told(self) -> Kind:
        """What is known of the row's kind: its unit, its words."""
        return KINDS.get(self.kind) or Kind(self.unit or COUNT)

    @property
    def what(self) -> str:
        """Name the kind for a reader."""
        return self.told.title or self.kind

    def show(self, value: int | None) -> str:
        """Write one of the row's figures, or its promise, for a reader."""
        return self.told.unit.show(value)


def row_of(
    requirement: Requirement,
    figures: Mapping[str, int | None],
    outcome: Outcome,
    **more: Any,
) -> Row:
    """Return the row of a requirement; `more` are fields of which nothing is said otherwise."""
    return Row(
        subject=requirement.subject,
        members=requirement.members,
        kind=requirement.kind,
        promised=requirement.promised,
        proven=figures.get("proven"),
        simulated=figures.get("simulated"),
        emulated=figures.get("emulated"),
        outcome=outcome,
        unit=None if requirement.kind in KINDS else requirement.unit,
        **{"worst": None, "reason": None, **more},
    )


class Verdict(Noun):
    """The whole answer. Findings come first: witnesses that disagree, broken rules of the plan.

    `pass` only when every promise is known to be kept; `unknown` when none is broken.
    """

    title: str
    outcome: Outcome
    findings: tuple[str, ...]
    rows: tuple[Row, ...]
    assumptions: tuple[str, ...]
    notes: tuple[str, ...]
    events: tuple[str, ...] = Field((), exclude_if=lambda events: not events)
    """In order of time: what holds in each epoch, and what each event took of whom."""
