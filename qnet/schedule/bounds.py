"""How many streams, or how much of their rate, any plan can place at most.

A linear program lets streams be split over routes and over cycles, and a stream with two paths be
two of half its worth that may share what they like: whole streams in whole cycles are only a
special case. So nothing that it excludes can be planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import highspy
import numpy as np

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
    lp = highspy.HighsLp()
    lp.num_col_ = flows + len(classes)
    lp.num_row_ = len(row_of) + links
    lp.col_cost_ = np.concatenate([np.zeros(flows), -np.array(worth)])
    lp.col_lower_ = np.zeros(lp.num_col_)
    lp.col_upper_ = np.concatenate([np.full(flows, highspy.kHighsInf), upper])
    lp.row_lower_ = np.concatenate([np.zeros(len(row_of)), np.full(links, -highspy.kHighsInf)])
    lp.row_upper_ = np.concatenate(
        [np.zeros(len(row_of)), np.array([size / largest for size in load.capacity])]
    )
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.array(start, dtype=np.int32)
    lp.a_matrix_.index_ = np.array(index, dtype=np.int32)
    lp.a_matrix_.value_ = np.array(value)
    values, duals = _solve(lp)
    served = values[flows:]
    total = float(served.dot(worth)) * (largest if by_weight else 1)
    whole = {one: int(amount + SERVED_ERROR) for one, amount in zip(classes, served, strict=True)}
    return Most(total, whole, _prices(duals[len(row_of) :]))


def _prices(duals: Any) -> list[int]:
    worth = np.abs(duals)
    dearest = max(float(worth.max(initial=0.0)), SERVED_ERROR)
    prices: list[int] = (np.round(worth / dearest * PRICE_MOST) + PRICE_LEAST).astype(int).tolist()
    return prices


def _solve(lp: Any) -> Any:
    """Solve so that the same program gives the same answer everywhere."""
    solver = highspy.Highs()
    for option, setting in (
        ("output_flag", False),
        ("threads", 1),
        ("parallel", "off"),
        ("solver", "simplex"),
        ("random_seed", 0),
    ):
        solver.setOptionValue(option, setting)
    solver.passModel(lp)
    solver.run()
    status = solver.getModelStatus()
    assert status == highspy.HighsModelStatus.kOptimal, f"a flow of zero is feasible: {status}"
    solution = solver.getSolution()
    return np.maximum(np.array(solution.col_value), 0.0), np.array(solution.row_dual)
