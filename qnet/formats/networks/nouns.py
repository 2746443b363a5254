"""What an importer is asked, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, NamedTuple

from qnet.model.topology import Topology
from qnet.model.traffic import Profile

LEFT_OUT = "none"
"""In place of a unit: capacities and demands whose unit nobody knows are not taken."""


@dataclass(frozen=True)
class ImportOptions:
    """What a file does not say, and the reader of it does not guess."""

    rate_bps: int = 10**10
    """Of links that say none."""

    metro_mm: int = 10 * 10**6
    """Length of links whose ends have no places, or one and the same."""

    detour: Fraction = Fraction(18, 10)
    """Fibre is so much longer than the great circle."""

    largest: bool = False
    """Keep the largest part of a network that falls into several."""

    hyperedge: Literal["switch", "clique", "drop"] | None = None
    """What becomes of a bus or cloud that the file has as a node."""

    unit: str | None = None
    """Of capacities and demands: a unit of rate such as 'Mbps', or 'none' to leave them out."""

    network: str | None = None
    """Which one of a file that has several."""

    coordinates: Literal["degrees", "drawing"] = "degrees"
    """Degrees are longitude and latitude; those of a drawing say nothing about lengths."""

    topology: str | None = None
    """A bundled name or a file: what a matrix is read for."""

    interval: int | None = None
    """Which one of a file of several is taken, from 1 on."""

    ports: Mapping[str, str] = field(default_factory=dict)
    """Ports of a traffic generator and the nodes that they are at, where their names do not say."""


@dataclass(frozen=True)
class Assumption:
    """What was assumed, merged, renamed or left out, and how often."""

    what: str
    count: int
    examples: tuple[str, ...] = ()
    """The first few, and '...' where there are more."""

    edges: int = 0
    """Edges of the file that are no wire for this; below zero, wires that are no edge."""

    of_demands: bool = False

    def __str__(self) -> str:
        """Write it as one line."""
        shown = ", ".join(self.examples)
        return f"{self.what}: {self.count:,}" + (f" ({shown})" if shown else "")


class Imported(NamedTuple):
    """A network in qnet's nouns, and how it differs from its file.

    Edges in the file are wires of the topology plus `edges` of all assumptions.
    """

    topology: Topology
    profile: Profile | None
    assumptions: tuple[Assumption, ...]
    edges: int

    @property
    def wires(self) -> int:
        """Count the members of all links."""
        return sum(link.members for link in self.topology.links)


class Exported(NamedTuple):
    """A network as the file of another program, and what that cannot say."""

    text: str
    left_out: tuple[Assumption, ...]
