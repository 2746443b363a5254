"""Curves over a load, as shapes: axes with round ticks, one path and its dots a curve."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 560.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 74.0, 34.0, 12.0, 30.0
TICKS = 5
"""Of an axis, about."""

FAR_APART = 50
"""Of the largest value and the smallest above zero, from which an axis may go by decades."""


class LoadCurve(NamedTuple):
    """Values over a load, in order of the load."""

    name: str
    points: Sequence[tuple[float, float]]


class DrawnLoadCurve(NamedTuple):
    """A curve as a path, and each of its points as a dot with words."""

    name: str
    path: str
    dots: Sequence[tuple[float, float, str]]


class LoadPlot(NamedTuple):
    """Curves with their axes; marks are loads with a name."""

    title: str
    curves: Sequence[DrawnLoadCurve]
    x_ticks: Sequence[tuple[str, float]]
    y_ticks: Sequence[tuple[str, float]]
    marks: Sequence[tuple[str, float]]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def plot(
    title: str,
    curves: Sequence[LoadCurve],
    show: tuple[Callable[[float], str], Callable[[float], str]],
    marks: Sequence[tuple[str, float]] = (),
    reach: Sequence[float] = (),
    *,
    decades: bool = False,
) -> LoadPlot | None:
    """Draw curves over a load; `show` writes a load and a value. None where there is no point.

    The axis of the values has those of `reach` on it, whatever the curves do. With `decades` it
    goes by powers of ten where values are far apart; what is zero is at its lower end.
    """
    every = [point for one in curves for point in one.points]
    if not every:
        return None
    across = _axis([x for x, _ in every] + [x for _, x in marks])
    above = [y for _, y in every if y > 0]
    by_decades = decades and bool(above) and max(above) >= FAR_APART * min(above)
    up = _decades(above) if by_decades else _axis([*(y for _, y in every), *reach])

    def height(y: float) -> float:
        if by_decades:
            return log10(max(y, up[0]) / up[0]) / log10(up[-1] / up[0])
        return (y - up[0]) / (up[-1] - up[0])

    def place(x: float, y: float) -> tuple[float, float]:
        inner = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        share = (x - across[0]) / (across[-1] - across[0]), height(y)
        return round(LEFT + share[0] * inner[0], 1), round(HEIGHT - BOTTOM - share[1] * inner[1], 1)

    drawn = []
    for one in curves:
        spots = [place(*point) for point in one.points]
        tips = [f"{one.name}: {show[1](y)} at {show[0](x)}" for x, y in one.points]
        path = "M" + "L".join(f"{x} {y}" for x, y in spots) if spots else ""
        dots = [(*spot, tip) for spot, tip in zip(spots, tips, strict=True)]
        drawn.append(DrawnLoadCurve(one.name, path, dots))
    return LoadPlot(
        title,
        drawn,
        [(_short(show[0](x)), place(x, up[0])[0]) for x in across],
        [(_short(show[1](y)), place(across[0], y)[1]) for y in up],
        [(name, place(x, up[0])[0]) for name, x in marks],
    )


def _axis(values: Sequence[float]) -> list[float]:
    """Return round ticks around values: from zero on, unless all are far from it."""
    low, high = min(values), max(values)
    if low <= high / 2:
        low = min(low, 0)
    span = (high - low) or abs(high) or 1
    rough = span / TICKS
    power = 10 ** floor(log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough)
    first, last = floor(low / step), ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _decades(values: Sequence[float]) -> list[float]:
    """Return the powers of ten around values above zero, one below them all."""
    first, last = floor(log10(min(values))), ceil(log10(max(values)))
    return [10.0**number for number in range(first, last + 1)]


def _short(text: str) -> str:
    """Leave out zeros after the point: 100.000 us is 100 us."""
    return re.sub(r"\.0+(?=\D|$)", "", text)
