"""Tables of failures, `start,end,target`, as trees of files of events.

Each row is a cut of a link, wire or cable, or a stop of a node or site, for as long as it took; one
without an end stays. Times are as in files of events: from the start of the run on, or by the clock
on the wall where the traffic file has an `epoch`. `name`, `note` and `source` may follow.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from qnet.files.instants import instant_ps
from qnet.files.tree import Branch, Source, decode, guess
from qnet.model.calendar import is_moment
from qnet.model.outages import nodes_by_name, wires_by_name
from qnet.model.timeline import LISTED_HIGHEST
from qnet.model.topology import Topology
from qnet.units import INSTANT, UnitError, describe, format_quantity, parse

NEEDED = ("start", "end", "target")
COLUMNS = (*NEEDED, "name", "note", "source")


class _Cell(NamedTuple):
    text: str
    line: int
    column: int

    def branch(self, content: str | None = None) -> Branch:
        return Branch(self.line, self.column, self.text if content is None else content)


def compose_failures(source: Source, raw: bytes, epoch: object, topology: Topology | None) -> None:
    """Read a table into `source.root`, which stays None when it cannot be used.

    What a target is, and so what happens to it, the network says; it may be unknown.
    """
    text = decode(source, raw)
    if text is None:
        return
    try:
        rows = list(islice(_rows(text), LISTED_HIGHEST + 2))
    except csv.Error as error:
        source.report(0, 0, "", f"not CSV: {error}")
        return
    if len(rows) > LISTED_HIGHEST + 1:
        row, words = rows[-1], f"the table is too long; at most {LISTED_HIGHEST:,} failures"
        source.report(row[0].line, 1, "", words)
        return
    header = _header(source, rows[0] if rows else [])
    if header is None:
        return
    nodes = set() if topology is None else {*nodes_by_name(topology)}
    wires = set() if topology is None else {*wires_by_name(topology)}
    events = []
    for row in rows[1:]:
        cells = {name: row[place] for name, place in header.items() if place < len(row)}
        for cell in row[len(rows[0]) :]:
            if cell.text:
                words = f"{describe(cell.text)} is in no column; put a text with commas in quotes"
                source.report(cell.line, cell.column, "", words)
        event = _event(source, row, cells, epoch, is_node=_is_in(cells, nodes - wires))
        if event is not None:
            events.append(event)
    title = Branch(1, 1, f"failures of {source.display}"[:200])
    listed = Branch(1, 1, events)
    source.root = Branch(1, 1, {"title": title, "events": listed})


def _header(source: Source, row: Sequence[_Cell]) -> dict[str, int] | None:
    """Return the place of each column; None where one is missing."""
    header: dict[str, int] = {}
    for place, cell in enumerate(row):
        if cell.text in header:
            source.report(cell.line, cell.column, cell.text, "column again; keep one of them")
        header.setdefault(cell.text, place)
    missing = [name for name in NEEDED if name not in header]
    if missing:
        words = f"no column '{missing[0]}'; the first line is like '{','.join(NEEDED)}'"
        source.report(row[0].line if row else 1, 1, "", words)
        return None
    for cell in row:
        if cell.text not in COLUMNS:
            hint = guess(cell.text, COLUMNS) or f"; one of {', '.join(COLUMNS)}"
            source.report(cell.line, cell.column, cell.text, f"no such column{hint}")
    return header


def _rows(text: str) -> Iterator[list[_Cell]]:
    """Split a table into cells with their places; empty lines are none."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    for row in reader:
        cells, column = [], 1
        for one in row:
            cells.append(_Cell(one.strip(), line, column))
            column += len(one) + 1
        if any(cell.text for cell in cells):
            yield cells
        line = reader.line_num + 1


def _is_in(cells: dict[str, _Cell], names: set[str]) -> bool:
    return "target" in cells and cells["target"].text in names


def _event(
    source: Source, row: Sequence[_Cell], cells: dict[str, _Cell], epoch: object, *, is_node: bool
) -> Branch | None:
    """Return the event of a row; None where its times or its target are wrong."""
    short = [name for name in NEEDED if name not in cells]
    if short or not cells["target"].text:
        words = f"no '{short[0] if short else 'target'}' in this line"
        source.report(row[0].line, row[-1].column, short[0] if short else "target", words)
        return None
    start, end = cells["start"], cells["end"]
    start_ps = _time(source, "start", start, epoch)
    end_ps = _time(source, "end", end, epoch) if end.text else None
    if start_ps is None or (end.text and end_ps is None):
        return None
    content = {
        "at": start.branch(f"{start_ps}ps"),
        "change": cells["target"].branch("down" if is_node else "cut"),
        "target": cells["target"].branch(),
    }
    if end_ps is not None:
        if end_ps <= start_ps:
            words = f"{end.text} is not after the start, {start.text}"
            source.report(end.line, end.column, "end", words)
            return None
        content["for"] = end.branch(f"{end_ps - start_ps}ps")
    for name in COLUMNS[len(NEEDED) :]:
        if name in cells and cells[name].text:
            content[name] = cells[name].branch()
    return Branch(row[0].line, row[0].column, content)


def _time(source: Source, name: str, cell: _Cell, epoch: object) -> int | None:
    """Return a time in picoseconds from the start of the run on; None where it is none."""
    try:
        if not is_moment(cell.text):
            return parse(INSTANT, cell.text)
        at_ps = instant_ps(cell.text, epoch)
        if at_ps is not None and at_ps > INSTANT.highest:
            most = format_quantity(INSTANT, INSTANT.highest)
            raise UnitError(f"{cell.text} is out of range; at most {most} after the epoch")
    except UnitError as error:
        source.report(cell.line, cell.column, name, str(error))
        return None
    return at_ps
