"""Graphs and demands of REPETITA (github.com/svissicchio/Repetita).

`NODES n`, a line of headings, `label x y` n times; `EDGES m`, headings, `label src dest weight bw
delay` m times; in a file of its own `DEMANDS k`, headings, `label src dest bw`. Nodes are called by
their numbers from 0 on, edges are directed. The delays of its data set are no times: read as
microseconds they are half of what light takes in a vacuum, so lengths come from the coordinates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from qnet.files.tree import Source
from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import number
from qnet.formats.networks.cells import numbered_lines
from qnet.formats.networks.found import (
    LINKS_HIGHEST,
    FoundDemand,
    FoundLink,
    FoundNetwork,
    FoundNode,
    GivenUnit,
    Spot,
    place,
)
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import decode, open_all
from qnet.units import describe


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a graph, and its demands from a second file. Raises InputError with all faults."""
    opened = open_all(files)
    found = FoundNetwork(Path(files[0]).stem, *(source for source, _ in opened))
    tables = [_Tables(found, source, decode(source, raw)) for source, raw in opened]
    unit = GivenUnit(found, options)
    _add_nodes(found, tables[0], options)
    _add_edges(found, tables[0], unit)
    for table in tables[1:]:
        _add_demands(found, table, unit)
    unit.ask()
    return assemble(found, options)


class _Tables:
    """The tables of one file: a name and a number of rows, headings, rows."""

    def __init__(self, found: FoundNetwork, source: Source, text: str) -> None:
        self.found = found
        self.source = source
        self._lines = list(numbered_lines(found, source, text))

    def fault(self, line: int, where: str, message: str) -> None:
        """Report what is wrong in a line."""
        self.found.fault(Spot(line, 1, where), message, self.source)

    def rows(self, name: str, headings: str) -> Iterator[tuple[int, list[str]]]:
        """Yield line and words of each row of a table; how many there are is held to its head."""
        heads = (i for i, (_, text) in enumerate(self._lines) if _word(text) == name)
        start = next(heads, None)
        if start is None:
            self.fault(0, "", f"no line '{name}' and how many; a table begins like '{name} 11'")
            return
        line, text = self._lines[start]
        head = text.split()
        count = int(head[1]) if len(head) == 2 and re.fullmatch("[0-9]{1,9}", head[1]) else None
        if count is None and len(head) > 1:
            self.fault(line, name, f"{describe(' '.join(head[1:]))} is no number of rows")
        if count is not None and count > LINKS_HIGHEST:
            self.found.stop(Spot(line, 1, name), f"{count:,} rows; qnet takes {LINKS_HIGHEST:,}")
        width = len(headings.split())
        first = start + 1
        if first < len(self._lines) and _word(self._lines[first][1]) == "label":
            first += 1
        given = 0
        for row, text in self._lines[first:][:count]:
            words = text.split()
            if len(words) < 3 and words[0] in ("NODES", "EDGES", "DEMANDS"):
                break
            given += 1
            if len(words) < width or (len(words) > width and name != "NODES"):
                what = f"{len(words)} values; a row has {headings}"
                self.fault(row, name.lower(), what)
            else:
                yield row, words
        if count is not None and given < count:
            self.fault(line, name, f"{count:,} rows announced, and {given:,} there")


def _word(text: str) -> str:
    """Return the first word of a line."""
    return text.split(None, 1)[0]


def _add_nodes(found: FoundNetwork, tables: _Tables, options: ImportOptions) -> None:
    for index, (line, words) in enumerate(tables.rows("NODES", "label x y")):
        label = " ".join(words[:-2])
        spot = Spot(line, 1, f"node {label}")
        x, y = number(words[-2]), number(words[-1])
        position = None
        if x is None or y is None:
            found.fault(spot, f"'{words[-2][:20]} {words[-1][:20]}' are not two numbers, x and y")
        else:
            position = place(found, spot, float(x), float(y), options, may_be_drawn=True)
        found.add_node(FoundNode(str(index), label, spot, position))
    found.forget_places_at_zero()


def _add_edges(found: FoundNetwork, tables: _Tables, unit: GivenUnit) -> None:
    for line, words in tables.rows("EDGES", "label src dest weight bw delay"):
        label, source, target, _, amount, _ = words
        spot = Spot(line, 1, f"edge {label}")
        read = number(amount)
        rate_bps = None
        if read is None or read < 0:
            found.fault(spot, f"{describe(amount)} is not a bandwidth; it is zero or more")
        else:
            rate_bps = unit.rate_bps(read or None, "capacities")
        found.add_link(FoundLink(source, target, spot, rate_bps=rate_bps, is_directed=True))
        found.note("weights and delays of edges left out")


def _add_demands(found: FoundNetwork, tables: _Tables, unit: GivenUnit) -> None:
    for line, (label, source, target, amount) in tables.rows("DEMANDS", "label src dest bw"):
        spot = Spot(line, 1, f"demand {label}")
        read = number(amount)
        if read is None or read < 0:
            words = f"{describe(amount)} is not a bandwidth; it is zero or more"
            found.fault(spot, words, tables.source)
            continue
        rate_bps = unit.rate_bps(read, "demands")
        if rate_bps is not None:
            found.add_demand(FoundDemand(source, target, rate_bps, spot), tables.source)
