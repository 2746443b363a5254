"""The answer: one line per requirement, promised beside proven, simulated and emulated."""

from __future__ import annotations

from typing import Literal

from qnet.model.fields import Noun

Outcome = Literal["pass", "fail", "unknown"]


Basis = Literal["proven", "seen"]
"""How a promise is known to be kept: by arithmetic over every arrival, or by what was seen."""


class Row(Noun):
    """One requirement of one subject.

    Times are picoseconds, rates bits per second, losses parts per billion: `kind` says which.
    `pass` is a promise known to be kept, `fail` one that is broken, `unknown` one of which neither
    is known. A row without a promise has nothing to break and passes.
    """

    subject: str
    members: int
    """Streams or demands that the line speaks of; of those with several listeners each leg, but for
    `admitted`."""
    kind: Literal["latency", "variation", "loss", "egress", "placed", "admitted", "late"]
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
