"""What became better or worse from one run to another, promise by promise and stream by stream."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qnet.model.fields import Noun
from qnet.model.requirement import Unit
from qnet.model.verdict import Outcome

Direction = Literal["better", "worse", "other"]
"""`other` is what is neither: a promise that is asked for otherwise, a figure only one run has."""


class RunDifference(Noun):
    """One figure, or one outcome, of one subject in both runs."""

    what: Literal["promise", "stream", "demand"]
    name: str
    figure: str
    before: int | str | None
    after: int | str | None
    unit: Unit | None = Field(None, exclude_if=lambda unit: unit is None)
    """Of figures that are numbers."""
    direction: Direction

    def show(self, value: int | str | None) -> str:
        """Write one of the two values for a reader."""
        if self.unit is None or isinstance(value, str):
            return "-" if value is None else str(value)
        return self.unit.show(value)


class Comparison(Noun):
    """Two runs side by side. Promises come first, then streams, then demands, each by name."""

    format: Literal["qnet-diff-1"] = "qnet-diff-1"
    before: str
    after: str
    outcome_before: Outcome
    outcome_after: Outcome
    notes: tuple[str, ...] = ()
    only_before: tuple[str, ...] = ()
    """Streams and demands that the other run does not have."""
    only_after: tuple[str, ...] = ()
    compared: int
    """Promises, streams and demands that both have."""
    differences: tuple[RunDifference, ...]

    @property
    def worse(self) -> tuple[RunDifference, ...]:
        """What became worse."""
        return tuple(one for one in self.differences if one.direction == "worse")

    @property
    def broken(self) -> tuple[RunDifference, ...]:
        """Promises whose outcome became worse."""
        return tuple(one for one in self.worse if one.figure == "outcome")
