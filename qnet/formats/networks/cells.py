"""Texts of lines and columns to cells that know where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from qnet.files.tree import Source
from qnet.formats.networks.found import FoundNetwork, Spot

LINES_HIGHEST = 2_000_000
CELLS_HIGHEST = 5_000_000
"""A matrix of more than two thousand nodes."""

WIDEST = 1000
"""Columns of a line, where nothing else is known."""

_MARKS = ",;\t"
_QUOTED = re.compile(r'"((?:[^"]|"")*+)" *')


class Cell(NamedTuple):
    """What stands in one column of a line, without the blanks and quotes around it."""

    text: str
    spot: Spot


def numbered_lines(found: FoundNetwork, source: Source, text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers from 1 on."""
    if text.count("\n") > LINES_HIGHEST:
        found.stop(Spot(), f"more than {LINES_HIGHEST:,} lines; qnet takes no more", source)
    for number, line in enumerate(text.split("\n"), start=1):
        if line and not line.isspace():
            yield number, line.rstrip("\r")


def rows(
    found: FoundNetwork, source: Source, text: str, widest: int = WIDEST
) -> Iterator[list[Cell]]:
    """Yield the cells of each line that is not blank, `widest` of them at most.

    They stand between commas, semicolons or tabs: the one that the first line has most of.
    """
    mark, count = "", 0
    for number, line in numbered_lines(found, source, text):
        mark = mark or max(_MARKS, key=re.sub('"[^"]*"', "", line[:10_000]).count)
        width = line.count(mark) + 1
        count += width
        if width > widest:
            words = f"{width:,} columns; a line of this file has {widest:,} at most"
            found.stop(Spot(number, 1), words, source)
        if count > CELLS_HIGHEST:
            words = f"more than {CELLS_HIGHEST:,} columns in all rows; qnet takes no more"
            found.stop(Spot(number, 1), words, source)
        yield list(_cells(line, number, mark))


def _cells(line: str, number: int, mark: str) -> Iterator[Cell]:
    end = -1
    while end < len(line):
        start = end + 1
        while line.startswith(" ", start):
            start += 1
        quoted = _QUOTED.match(line, start)
        if quoted is not None and line[quoted.end() : quoted.end() + 1] in ("", mark):
            text, end = quoted[1].replace('""', '"'), quoted.end()
        else:
            end = line.find(mark, start)
            end = len(line) if end < 0 else end
            text = line[start:end].strip()
        yield Cell(text, Spot(number, start + 1))


Row = dict[str, Cell]
"""The cells of a line, by their headings."""


def headed(
    found: FoundNetwork, source: Source, text: str
) -> tuple[tuple[str, ...], Iterator[tuple[Spot, Row]]]:
    """Return the headings of a table, in small letters, and its rows by them.

    Rows of another width are faults, and are left out.
    """
    lines = rows(found, source, text)
    head = next(lines, [])
    names = tuple(cell.text.lower().replace(" ", "_") for cell in head)
    for index, cell in enumerate(head):
        if names[index] in names[:index]:
            found.fault(cell.spot, f"heading '{names[index][:40]}' again", source)
    return names, _by_heading(found, source, names, lines)


def _by_heading(
    found: FoundNetwork, source: Source, names: tuple[str, ...], lines: Iterator[list[Cell]]
) -> Iterator[tuple[Spot, Row]]:
    for cells in lines:
        if len(cells) == len(names):
            yield cells[0].spot, dict(zip(names, cells, strict=True))
        else:
            words = f"{len(cells)} columns; the headings are {len(names)}"
            found.fault(cells[0].spot, words, source)
