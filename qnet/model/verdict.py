"""The answer: one line per requirement, promised beside proven, simulated and emulated."""

from __future__ import annotations

from typing import Literal

from qnet.model.fields import Noun

Outcome = Literal["pass", "fail", "unknown"]


class Row(Noun):
    """One requirement of one subject.

    Times are picoseconds, rates bits per second, losses parts per billion: `kind` says which.
    `unknown` means that a witness was not asked.
    """

    subject: str
    members: int
    """Streams or demands that the line speaks of."""
    kind: Literal["latency", "variation", "loss", "egress", "placed", "admitted", "late"]
    promised: int | None
    proven: int | None
    simulated: int | None
    emulated: int | None
    outcome: Outcome
    worst: str | None
    """The member that came off worst."""
    reason: str | None


class Verdict(Noun):
    """The whole answer. Findings come first: witnesses that disagree, broken rules of the plan."""

    title: str
    outcome: Outcome
    findings: tuple[str, ...]
    rows: tuple[Row, ...]
    assumptions: tuple[str, ...]
    notes: tuple[str, ...]
