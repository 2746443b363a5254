"""What stands in a file of another program, as far as a reader has come: nodes, edges, demands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, NoReturn

from qnet.errors import InputError
from qnet.files.tree import Source
from qnet.formats.networks.notes import Notes
from qnet.formats.networks.nouns import LEFT_OUT, ImportOptions
from qnet.model.fields import BothWays, Position
from qnet.units import LENGTH, RATE, TIME, Dimension, describe, format_quantity

LINKS_HIGHEST, NODES_HIGHEST, DEMANDS_HIGHEST = 1_000_000, 100_000, 100_000
"""Of one import; docs/performance.md has what it takes."""

LINKS_READ = 200_000
"""About as many are read from a topology file: it holds two million values."""

FAULTS_HIGHEST = 1000
"""Of a file, ten times what is shown."""


class Spot(NamedTuple):
    """Where something stands in its file; line 0 where the parser does not know."""

    line: int = 0
    column: int = 0
    where: str = ""


NOWHERE = Spot()


OwnWords = Mapping[str, Any]
"""Keys of qnet's own files, and what they would say."""


@dataclass(slots=True)
class FoundNode:
    """A node as its file has it; `key` is what edges call it."""

    key: str
    label: str
    spot: Spot = NOWHERE
    position: Position | None = None
    role: str | None = None
    site: str | None = None
    is_host: bool = False
    is_hyperedge: bool = False
    is_named: bool = False
    """Its label is the name that it keeps, to the letter."""

    own: OwnWords | None = None


@dataclass(slots=True)
class FoundLink:
    """An edge; a directed one carries from source to target only, unless one leads back.

    `straight_mm` is the distance of its ends as the file says it. Where the file has interfaces,
    `ports` are those at source and target: only a wire between the same ones leads back.
    """

    source: str
    target: str
    spot: Spot = NOWHERE
    name: str = ""
    rate_bps: int | BothWays | None = None
    length_mm: int | BothWays | None = None
    straight_mm: int | None = None
    delay_ps: int | BothWays | None = None
    loss_ppb: int = 0
    cable: str = ""
    is_directed: bool = False
    ports: tuple[str, str] = ("", "")
    own: OwnWords | None = None


@dataclass(slots=True)
class FoundDemand:
    """An entry of a traffic matrix."""

    source: str
    target: str
    rate_bps: int
    spot: Spot = NOWHERE


class FoundNetwork(Notes):
    """All that a reader found, with the faults of its files and what is to be told of them."""

    def __init__(self, title: str, source: Source, *others: Source) -> None:
        super().__init__()
        self.title = title
        self.description = ""
        self.source = source
        self.sources = (source, *others)
        self.nodes: dict[str, FoundNode] = {}
        self.links: list[FoundLink] = []
        self.demands: list[FoundDemand] = []
        self.edges = 0
        self.interfaces: set[tuple[str, str]] = set()
        """Node and interface of the ends of links, where the file has each once."""

        self.off_globe: list[tuple[Spot, str]] = []
        """Places that are none, unless the coordinates are those of a drawing."""

    def fault(self, spot: Spot, message: str, source: Source | None = None) -> None:
        """Report what is wrong at a place, of the first file unless another one is named.

        Very many faults end the reading: a file of something else has millions.
        """
        chosen = source or self.source
        chosen.report(*spot, message)
        if len(chosen.problems) >= FAULTS_HIGHEST:
            raise self.faults()

    def stop(self, spot: Spot, message: str, source: Source | None = None) -> NoReturn:
        """Report what leaves nothing to go on with."""
        self.fault(spot, message, source)
        raise self.faults()

    def faults(self) -> InputError:
        """Return the faults of all files."""
        if self.off_globe:
            spot, words = self.off_globe[0]
            others = len(self.off_globe) - 1
            more = f", and {others:,} more nodes are off the globe" if others else ""
            hint = "where coordinates are those of a drawing write '--coordinates drawing'"
            self.source.report(*spot, f"{words}{more}; {hint}")
        return InputError(
            [one for source in self.sources for one in source.problems],
            sum(source.unlisted for source in self.sources),
        )

    def refuse_faults(self) -> None:
        """Raise InputError when there are faults."""
        if self.off_globe or any(source.problems for source in self.sources):
            raise self.faults()

    def add_node(self, node: FoundNode) -> None:
        """Add a node; its key stands for no other."""
        first = self.nodes.setdefault(node.key, node)
        if first is not node:
            at = f" on line {first.spot.line}" if first.spot.line else ""
            self.fault(node.spot, f"node {describe(node.key)} again; it is there already{at}")
        if len(self.nodes) > NODES_HIGHEST:
            self.stop(node.spot, f"more than {NODES_HIGHEST:,} nodes; qnet takes no more")

    def add_link(self, link: FoundLink) -> None:
        """Add an edge; whether there are such nodes is looked at when all are known."""
        self.links.append(link)
        self.edges += 1
        if len(self.links) > LINKS_HIGHEST:
            self.stop(link.spot, f"more than {LINKS_HIGHEST:,} edges; qnet takes no more")
        for dimension, amount in (
            (RATE, link.rate_bps),
            (LENGTH, link.length_mm),
            (LENGTH, link.straight_mm),
            (TIME, link.delay_ps),
        ):
            if amount is not None:
                highest = max(amount) if isinstance(amount, BothWays) else amount
                if highest > dimension.highest:
                    self._refuse_amount(dimension, link.spot, self.source)

    def add_demand(self, demand: FoundDemand, source: Source | None = None) -> None:
        """Add an entry of a traffic matrix; its ends are looked at when all nodes are known."""
        self.demands.append(demand)
        if len(self.demands) > DEMANDS_HIGHEST:
            words = f"more than {DEMANDS_HIGHEST:,} demands; qnet takes no more"
            self.stop(demand.spot, words, source)
        if demand.rate_bps > RATE.highest:
            self._refuse_amount(RATE, demand.spot, source)

    def _refuse_amount(self, dimension: Dimension, spot: Spot, source: Source | None) -> None:
        """Report what is more than qnet's files can say."""
        most = format_quantity(dimension, dimension.highest)
        self.fault(spot, f"a {dimension.name} beyond {most}; qnet takes no more", source)

    def leave_out(self, what: str, example: str = "", edges: int = 1) -> None:
        """Count edges of the file that are no wire, and so have not been added."""
        self.edges += edges
        self.note(what, example, count=edges, edges=edges)

    def forget_places_at_zero(self) -> None:
        """Take places for none where all are at 0 0, and note them."""
        nodes = self.nodes.values()
        if any(node.position for node in nodes) and not any(any(n.position or ()) for n in nodes):
            for node in nodes:
                node.position = None
            self.note("nodes without a place, since all are at 0 0", count=len(nodes))


def place(
    found: FoundNetwork,
    spot: Spot,
    longitude: float,
    latitude: float,
    options: ImportOptions,
    *,
    may_be_drawn: bool = False,
    source: Source | None = None,
) -> Position | None:
    """Turn degrees into a position, or report what is not on the globe.

    Coordinates of a drawing are no position, and are listed. Where the file does not say of which
    kind they are, the first one that is off the globe stands for all.
    """
    if options.coordinates == "drawing":
        found.note("nodes placed in a drawing, which says nothing about lengths", spot.where)
        return None
    for value, limit, what in ((latitude, 90, "latitude"), (longitude, 180, "longitude")):
        if not abs(value) <= limit:  # not a number is no place either
            words = f"{value:g} is not a {what}; it is from -{limit} to {limit} degrees"
            if may_be_drawn:
                found.off_globe.append((spot, words))
            else:
                found.fault(spot, words, source)
            return None
    return Position(round(latitude * 10**6), round(longitude * 10**6))


def nearest(dividend: int, divisor: int) -> int:
    """Divide, and round as Python does: half to the even one."""
    whole, rest = divmod(dividend, divisor)
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2))


def scale_of(unit: str) -> Fraction:
    """Return bits a second of a unit of rate, such as 'Mbps'."""
    return RATE.units[unit]


class GivenUnit:
    """The unit of capacities and demands that their file does not name."""

    def __init__(
        self, found: FoundNetwork, options: ImportOptions, known: str | None = None
    ) -> None:
        self._found = found
        self._name = known or options.unit
        self._lacking: dict[str, int] = {}

    def rate_bps(self, amount: Fraction | None, what: str) -> int | None:
        """Turn an amount into a rate in whole bits a second; None where it is not taken."""
        if amount is None:
            return None
        if self._name is None:
            self._lacking[what] = self._lacking.get(what, 0) + 1
            return None
        if self._name == LEFT_OUT:
            self._found.note(
                f"{what} left out, since their unit is not known", of_demands=what == "demands"
            )
            return None
        scale = scale_of(self._name)
        return nearest(amount.numerator * scale.numerator, amount.denominator * scale.denominator)

    def ask(self) -> None:
        """Report that a unit is needed, where one was."""
        if self._lacking:
            what = " and ".join(f"{what} ({count:,})" for what, count in self._lacking.items())
            units = ", ".join(RATE.units)
            words = (
                f"the file has {what} without their unit; write '--unit Mbps' or another one of "
                f"{units}, or '--unit {LEFT_OUT}' to leave them out"
            )
            self._found.fault(NOWHERE, words)
