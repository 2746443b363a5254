"""Traffic matrices for a topology that is there: square CSV, lists of three columns, YATES.

A square matrix has the names of nodes in its head row and in its first column; a list has a head
row such as `from,to,value`. A file of YATES has a line for each interval, the numbers of a matrix
row by row, and goes with a file of hosts, whose lines name the rows (its `data/README.md`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from qnet.files.tree import Source, printable
from qnet.formats.networks.assemble import TOPOLOGY, made_demands
from qnet.formats.networks.attributes import number
from qnet.formats.networks.cells import WIDEST, Cell, numbered_lines, rows
from qnet.formats.networks.flow_demands import given_topology
from qnet.formats.networks.found import FoundDemand, FoundNetwork, GivenUnit, Spot, scale_of
from qnet.formats.networks.naming import plain_name
from qnet.formats.networks.notes import Notes
from qnet.formats.networks.nouns import Exported, Imported, ImportOptions
from qnet.formats.networks.texts import decode, open_all
from qnet.formats.networks.writing import list_keys
from qnet.model.scenario import Scenario
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.units import describe

_FROM = {"from", "source", "src", "origin"}
_TO = {"to", "target", "dest", "dst", "destination"}
_NO_RATE = "demands of no rate left out"
_TO_ITSELF = "demands from a node to itself left out"


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a matrix. Raises InputError with all its faults."""
    topology = given_topology(files, options, "a matrix is")
    opened = open_all(files)
    found = FoundNetwork(Path(files[0]).stem, *(source for source, _ in opened))
    reading = _Reading(found, topology, GivenUnit(found, options))
    if len(opened) > 1:
        hosts = _hosts(reading, *opened[1])
        _add_interval(reading, *opened[0], hosts, options.interval)
    else:
        if options.interval is not None:
            found.fault(Spot(), "'--interval' goes with a file of hosts; leave it out")
        _add_table(reading, *opened[0])
    reading.unit.ask()
    found.refuse_faults()
    demands = made_demands(found, {node.name: node.name for node in topology.nodes})
    if not demands:
        found.stop(Spot(), "no demand of a rate between two nodes")
    profile = Profile(
        title=f"Demands of {printable(found.title)[:150]}",
        topology=TOPOLOGY,
        assumptions=tuple(str(one) for one in found.listed),
        demands=tuple(demands),
    )
    wires = sum(link.members for link in topology.links)
    return Imported(topology, profile, found.listed, wires)


class _Reading:
    """What the rows and columns of a matrix are held against."""

    def __init__(self, found: FoundNetwork, topology: Topology, unit: GivenUnit) -> None:
        self.found = found
        self.unit = unit
        self._names = topology.node_by_name
        self.widest = WIDEST + 2 * len(self._names)
        """More columns than this are no matrix for the topology; fewer are told one by one."""

    def name(self, cell: Cell, source: Source) -> str | None:
        """Return the node that a cell names, or report that there is none."""
        if cell.text in self._names:
            return cell.text
        name = plain_name(cell.text)
        if name in self._names:
            self.found.note("names taken as they are in the topology", f"'{cell.text}' is {name}")
            return name
        words = f"no node {describe(cell.text)} in the topology" if cell.text else "no name"
        guess = source.guess(cell.text, self._names) if cell.text else ""
        self.fault(cell, "", words + guess, source)
        return None

    def names(self, cells: Iterable[Cell], what: str, source: Source) -> list[str | None]:
        """Return the nodes that cells name, each of them once."""
        first: dict[str, Cell] = {}
        made = []
        for cell in cells:
            name = self.name(cell, source)
            if name is not None and first.setdefault(name, cell) is not cell:
                line, column = first[name].spot[:2]
                words = f"{what} {name} again; it is there already, {line}:{column}"
                self.fault(cell, "", words, source)
            made.append(name)
        return made

    def fault(self, cell: Cell, where: str, message: str, source: Source) -> None:
        """Report what is wrong in a cell."""
        self.found.fault(cell.spot._replace(where=where), message, source)

    def add(self, ends: tuple[str | None, str | None], cell: Cell, source: Source) -> None:
        """Add what one node sends to another, or report that it is no amount."""
        where = " to ".join(end or "?" for end in ends)
        to_itself = ends[0] is not None and ends[0] == ends[1]
        read = number(cell.text)
        if (read is None or read < 0) and not (to_itself and not cell.text):
            shown = describe(cell.text) if cell.text else "a blank"
            self.fault(cell, where, f"{shown} is not a demand; it is zero or more", source)
        if to_itself or read is None or read <= 0 or ends[0] is None or ends[1] is None:
            if to_itself or not read:
                what = _TO_ITSELF if to_itself else _NO_RATE
                self.found.note(what, where, of_demands=True)
            return
        rate_bps = self.unit.rate_bps(read, "demands")
        if rate_bps is not None:
            spot = cell.spot._replace(where=where)
            self.found.add_demand(FoundDemand(ends[0], ends[1], rate_bps, spot), source)


# Tables


def _add_table(reading: _Reading, source: Source, raw: bytes) -> None:
    table = rows(reading.found, source, decode(source, raw), reading.widest)
    head = next(table, None)
    if head is None:
        reading.found.stop(Spot(1, 1), "an empty file; a matrix has names in its head row", source)
    words = [cell.text.lower() for cell in head]
    if len(head) == 3 and words[0] in _FROM and words[1] in _TO:
        _add_list(reading, table, source)
    else:
        _add_square(reading, head, table, source)


def _add_list(reading: _Reading, table: Iterator[list[Cell]], source: Source) -> None:
    first: dict[tuple[str, str], int] = {}
    for row in table:
        if len(row) != 3:
            words = f"{len(row)} columns; a row has three: from, to and how much"
            reading.fault(row[0], "", words, source)
            continue
        near, far = (reading.name(cell, source) for cell in row[:2])
        if near is not None and far is not None:
            line = first.setdefault((near, far), row[0].spot.line)
            if line != row[0].spot.line:
                words = f"{near} to {far} again; it is there already on line {line}"
                reading.fault(row[0], "", words, source)
        reading.add((near, far), row[2], source)


def _add_square(
    reading: _Reading, head: list[Cell], table: Iterator[list[Cell]], source: Source
) -> None:
    if len(head) < 3:
        words = "a matrix has a blank cell and then the names of two nodes or more in its head row"
        reading.found.stop(head[0].spot, words, source)
    columns = reading.names(head[1:], "column", source)
    missing = {name: cell for name, cell in zip(columns, head[1:], strict=True) if name}
    first: dict[str, int] = {}
    for row in table:
        name = reading.name(row[0], source)
        if name is not None:
            if name not in columns:
                reading.fault(row[0], "", f"row {name} has no column of its name", source)
            line = first.setdefault(name, row[0].spot.line)
            if line != row[0].spot.line:
                words = f"row {name} again; it is there already on line {line}"
                reading.fault(row[0], "", words, source)
            missing.pop(name, None)
        if len(row) != len(head):
            words = f"{len(row)} columns; the head row has {len(head)}"
            reading.fault(row[0], "", words, source)
            continue
        for column, cell in zip(columns, row[1:], strict=True):
            reading.add((name, column), cell, source)
    for name, cell in missing.items():
        reading.fault(cell, "", f"column {name} has no row of its name", source)


# YATES


def _hosts(reading: _Reading, source: Source, raw: bytes) -> list[str | None]:
    lines = numbered_lines(reading.found, source, decode(source, raw))
    cells = [
        Cell(text.strip(), Spot(line, len(text) - len(text.lstrip()) + 1)) for line, text in lines
    ]
    return reading.names(cells, "host", source)


def _add_interval(
    reading: _Reading,
    source: Source,
    raw: bytes,
    hosts: Sequence[str | None],
    interval: int | None,
) -> None:
    found = reading.found
    lines = list(numbered_lines(found, source, decode(source, raw)))
    if not lines:
        found.stop(Spot(1, 1), "an empty file; it has a line of numbers for each interval", source)
    if interval is None and len(lines) > 1:
        words = f"{len(lines):,} intervals; write '--interval 1' or another one up to {len(lines)}"
        found.stop(Spot(), words, source)
    if interval is not None and interval > len(lines):
        found.stop(Spot(), f"no interval {interval:,}; there are {len(lines):,}", source)
    if len(lines) > 1:
        found.note("other intervals left out", count=len(lines) - 1, of_demands=True)
    line, text = lines[(interval or 1) - 1]
    pairs = [(near, far) for near in hosts for far in hosts]
    words_of = re.finditer(r"\S+", text)
    cells = [
        Cell(word.group(), Spot(line, word.start() + 1)) for word in islice(words_of, len(pairs))
    ]
    more = sum(1 for _ in words_of)
    if len(cells) + more != len(pairs):
        words = f"{len(cells) + more:,} numbers; {len(hosts):,} hosts have {len(pairs):,}"
        found.stop(Spot(line, 1), words, source)
    for ends, cell in zip(pairs, cells, strict=True):
        reading.add(ends, cell, source)


# Writing


def write(scenario: Scenario, *, unit: str) -> Exported:
    """Write the demands as a square matrix of the nodes that send or receive any, exactly."""
    notes = Notes()
    profile = scenario.profile
    list_keys(notes, profile, "the traffic", frozenset({"title", "topology", "demands"}), "")
    sent: Counter[tuple[str, str]] = Counter()
    for demand in profile.demands:
        list_keys(notes, demand, "demands", frozenset({"name", "from", "to", "rate"}), demand.name)
        ends = demand.source, demand.target
        if ends in sent:
            notes.note("demands added to another one of the same nodes", demand.name)
        sent[ends] += demand.rate_bps
    talking = {end for ends in sent for end in ends}
    names = [node.name for node in scenario.topology.nodes if node.name in talking]
    silent = len(scenario.topology.nodes) - len(names)
    if silent:
        notes.note("nodes without a demand left out", count=silent)
    digits = len(str(scale_of(unit))) - 1
    lines = [",".join(["", *names])]
    for near in names:
        cells = (_decimal(sent[near, far], digits) for far in names)
        lines.append(",".join([near, *cells]))
    return Exported("\n".join(lines) + "\n", notes.listed)


def _decimal(rate_bps: int, digits: int) -> str:
    """Write a rate in a unit that is a power of ten of bit/s, to the last bit."""
    whole, part = divmod(rate_bps, 10**digits)
    return f"{whole}.{part:0{digits}}".rstrip("0") if part else str(whole)
