"""The list of what was assumed, merged, renamed or left out, as it is being written."""

from __future__ import annotations

from dataclasses import dataclass, field

from qnet.files.tree import printable
from qnet.formats.networks.nouns import Assumption

EXAMPLES = 3


@dataclass
class _Noted:
    count: int = 0
    edges: int = 0
    examples: list[str] = field(default_factory=list)


class Notes:
    """What is to be told of an import or an export, each with its count."""

    def __init__(self) -> None:
        self._noted: dict[tuple[str, bool], _Noted] = {}

    def note(
        self,
        what: str,
        example: str = "",
        *,
        count: int = 1,
        edges: int = 0,
        of_demands: bool = False,
    ) -> None:
        """Count what was assumed, merged, renamed or left out."""
        noted = self._noted.get((what, of_demands))
        if noted is None:
            noted = self._noted[what, of_demands] = _Noted()
        noted.count += count
        noted.edges += edges
        if len(noted.examples) > EXAMPLES:
            return
        example = printable(example[:80])
        if example and example not in noted.examples:
            noted.examples.append(example if len(noted.examples) < EXAMPLES else "...")

    @property
    def listed(self) -> tuple[Assumption, ...]:
        """All that was noted, in the order in which it came up."""
        return tuple(
            Assumption(what, one.count, tuple(one.examples), one.edges, of_demands)
            for (what, of_demands), one in self._noted.items()
        )
