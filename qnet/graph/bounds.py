"""How many streams, or how much of their rate, any plan can place at most.

A linear program lets streams be split over routes and over cycles, and a stream with two paths be
two of half its worth that may share what they like: whole streams in whole cycles are only a
special case. So nothing that it excludes can be planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from qnet.graph.lp import Entries, Program

SERVED_ERROR = 1e-6
"""More than the solver is ever wrong by."""


PRICE_MOST = 1000
PRICE_LEAST = 50


class Class(NamedTuple):
    """Streams that are alike to the program: ends, and what one takes of each link on its way."""

    source: int
    target: int
    weight: int


class Load(NamedTuple):
    """Directed links between numbered nodes, what each holds, and how many streams of a class."""

    source: Sequence[int]
    target: Sequence[int]
    capacity: Sequence[int]
    counts: Mapping[Class, int]


class Most(NamedTuple):
    """The largest sum, and how many streams of each class make it up, as whole numbers.

    `prices` are what room on each link is worth, by the program's duals, the dearest link costs
    PRICE_MOST; a hop costs a little in any case, so that of two ways the shorter is cheaper.
    """

    total: float
    taken: dict[Class, int]
    prices: list[int]


def most_streams(load: Load, *, by_weight: bool = False) -> Most:
    """Return how many streams fit at most; with `by_weight` how large their sum of weights is."""
    classes = [one for one in sorted(load.counts) if one.source != one.target]
    if not classes:
        return Most(0.0, {}, [1] * len(load.source))
    largest = max(one.weight for one in classes)
    sources = sorted({one.source for one in classes})
    nodes = sorted({*load.source, *load.target})
    # What enters a node for a source, and does not leave it, is served there.
    row_of = {
        (s, n): row for row, (s, n) in enumerate((s, n) for s in sources for n in nodes if s != n)
    }
    links = len(load.source)
    start, index, value = [0], list[int](), list[float]()
    for source in sources:
        for link, (tail, head) in enumerate(zip(load.source, load.target, strict=True)):
            if head != source:
                index.append(row_of[source, head])
                value.append(1.0)
            if tail != source:
                index.append(row_of[source, tail])
                value.append(-1.0)
            index.append(len(row_of) + link)
            value.append(1.0)
            start.append(len(index))
    for one in classes:
        if (one.source, one.target) in row_of:
            index.append(row_of[one.source, one.target])
            value.append(-one.weight / largest)
        start.append(len(index))
    flows = len(sources) * links
    upper = [
        float(load.counts[one]) if (one.source, one.target) in row_of else 0.0 for one in classes
    ]
    worth = [one.weight / largest if by_weight else 1.0 for one in classes]
    room = [size / largest for size in load.capacity]
    matrix = Entries(start, index, value)
    best = Program(flows, worth, upper, len(row_of), room, matrix).solve()
    served = best.values[flows:]
    total = float(served.dot(worth)) * (largest if by_weight else 1)
    whole = {one: int(amount + SERVED_ERROR) for one, amount in zip(classes, served, strict=True)}
    return Most(total, whole, _prices(best.duals[len(row_of) :]))


def _prices(duals: Any) -> list[int]:
    worth = np.abs(duals)
    dearest = max(float(worth.max(initial=0.0)), SERVED_ERROR)
    prices: list[int] = (np.round(worth / dearest * PRICE_MOST) + PRICE_LEAST).astype(int).tolist()
    return prices
