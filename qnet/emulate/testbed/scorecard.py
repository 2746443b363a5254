"""What a controller was examined in, one line each: a verdict, figures with units, findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from qnet.emulate.testbed.reach import Judgement, ReachFinding
from qnet.model.verdict import Outcome

if TYPE_CHECKING:
    from qnet.emulate.testbed.examiner import Examiner


class Amount(NamedTuple):
    """A figure of an examination: a number where it has no unit.

    `value` is None where there is none, as of what never came.
    """

    name: str
    value: float | None
    unit: str = ""


class ExaminationResult(NamedTuple):
    """What came of an examination."""

    figures: tuple[Amount, ...]
    findings: tuple[ReachFinding, ...] = ()
    unknown: tuple[str, ...] = ()
    """Why it is not known, where nothing was found."""


class Examined(NamedTuple):
    """One line of the scorecard."""

    name: str
    about: str
    """What a controller passes by."""
    found: ExaminationResult

    @property
    def outcome(self) -> Outcome:
        """Whether the controller passes it."""
        return "fail" if self.found.findings else "unknown" if self.found.unknown else "pass"

    def told(self) -> dict[str, object]:
        """Return it under the names that the answer in JSON has."""
        return {
            "name": self.name,
            "about": self.about,
            "outcome": self.outcome,
            "figures": [one._asdict() for one in self.found.figures],
            "findings": [one.told() for one in self.found.findings],
            "unknown": list(self.found.unknown),
        }


class Examination(NamedTuple):
    """Something that a controller can be examined in."""

    about: str
    examine: Callable[[Examiner], ExaminationResult | None]
    """None where the network has nothing to try it by, such as a link with a way round."""
    is_trouble: bool = False
    """A controller that fails it may leave switches astray: one begins anew for the next."""


REACH = {
    "reach": "every host finds every other, and each frame comes once and in time",
    "loops": "no frame comes into a switch, or out of it, by one port twice",
    "others": "nobody else gets the frames",
    "failover": "frames find a way round a cut link",
    "takeover": "others take over from each of several controllers",
}
"""Examined always, with what a controller passes by; failover where there is a way round, takeover
where there are several controllers."""

_KINDS = {
    "reach": ("address", "lost", "late", "copies"),
    "loops": ("loop",),
    "others": ("others",),
    "failover": ("failover",),
    "takeover": ("takeover",),
}


def scored(reached: Judgement) -> list[Examined]:
    """Give what is known of reach as the first lines of a scorecard."""
    without_s = [one.seconds for one in reached.absences if one.seconds is not None]
    tried = {
        "failover": reached.failover_s is not None,
        "takeover": bool(reached.absences),
    }
    figures = {
        "reach": (
            Amount("pairs", reached.pairs),
            Amount("frames", reached.frames),
            Amount("lost", reached.lost),
            Amount("late", reached.late),
        ),
        "failover": (
            Amount("way round after", reached.failover_s, "s"),
            Amount("frames lost", reached.failover_lost),
        ),
        "takeover": (
            Amount("controllers away in turn", len(reached.absences)),
            Amount("longest without master", max(without_s, default=None), "s"),
        ),
    }
    lines = []
    for name, about in REACH.items():
        findings = tuple(one for one in reached.faults if one.kind in _KINDS[name])
        unknown = reached.unknown if name == "failover" else ()
        if tried.get(name, True) or findings or unknown:
            found = ExaminationResult(figures.get(name, _seen(findings)), findings, unknown)
            lines.append(Examined(name, about, found))
    return lines


def _seen(findings: Sequence[ReachFinding]) -> tuple[Amount, ...]:
    return (Amount("pairs at fault", len({(one.source, one.target) for one in findings})),)
