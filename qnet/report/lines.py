"""Tables in lines of plain text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def aligned(
    rows: Sequence[Sequence[str]], left: Collection[int] = (0,), indent: str = ""
) -> Iterable[str]:
    """Yield the rows with columns of one width each, numbers of columns in `left` to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield (indent + "  ".join(cells)).rstrip()
