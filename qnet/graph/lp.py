"""Linear programs of flows, solved by HiGHS: the same program gives the same answer everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import highspy
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Entries(NamedTuple):
    """The matrix by columns: those of column c are `start[c]` to `start[c + 1]` of the others."""

    start: list[int]
    row: list[int]
    value: list[float]


class Optimum(NamedTuple):
    """What the variables are, none below zero, what one more of each row is worth, and its sum."""

    values: Floats
    duals: Floats
    sums: Floats


class Program:
    """Maximises what is served, for the first rows in balance and the others within their room.

    The first columns are flows without a limit of their own. Then follow what is served, as many as
    `worth` and `most` have entries: what one of it is worth, and how much of it there is at most.
    The first `balanced` rows are zero, the others at most what `room` says.
    """

    def __init__(
        self,
        flows: int,
        worth: Sequence[float],
        most: Sequence[float],
        balanced: int,
        room: Sequence[float],
        entries: Entries,
    ) -> None:
        self.columns = flows + len(worth)
        self.rows = balanced + len(room)
        lp = highspy.HighsLp()
        lp.num_col_ = self.columns
        lp.num_row_ = balanced + len(room)
        lp.col_cost_ = np.concatenate([np.zeros(flows), -np.array(worth)])
        lp.col_lower_ = np.zeros(self.columns)
        lp.col_upper_ = np.concatenate([np.full(flows, highspy.kHighsInf), most])
        lp.row_lower_ = np.concatenate([np.zeros(balanced), np.full(len(room), -highspy.kHighsInf)])
        lp.row_upper_ = np.concatenate([np.zeros(balanced), room])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.array(entries.start, dtype=np.int32)
        lp.a_matrix_.index_ = np.array(entries.row, dtype=np.int32)
        lp.a_matrix_.value_ = np.array(entries.value)
        self._flows = flows
        self._room = dict(enumerate(room, balanced))
        self._solver = _solver(lp)

    def solve(self) -> Optimum:
        """Return the answer; there is one, since a flow of zero is allowed."""
        if not self.columns:
            nothing: Floats = np.zeros(self.rows)
            return Optimum(np.zeros(0), nothing, nothing)
        self._run()
        found = self._solver.getSolution()
        values: Floats = np.maximum(np.array(found.col_value), 0.0)
        return Optimum(values, np.array(found.row_dual), np.array(found.row_value))

    def _run(self) -> None:
        self._solver.run()
        status = self._solver.getModelStatus()
        assert status == highspy.HighsModelStatus.kOptimal, f"a flow of zero is feasible: {status}"

    def keep_basis(self) -> None:
        """Have every later answer `within` begin where this one ends, whatever their order."""
        self._basis = self._solver.getBasis()

    def solve_within(self, room: Mapping[int, float]) -> Optimum:
        """Solve with other limits of some rows, and put the old ones back; needs `keep_basis`."""
        with self._within(room):
            return self.solve()

    def most_within(self, room: Mapping[int, float]) -> float:
        """Return what is served is worth with other limits of some rows; needs `keep_basis`."""
        if not self.columns:
            return 0.0
        with self._within(room):
            self._run()
            return -float(self._solver.getInfo().objective_function_value)

    @contextmanager
    def _within(self, room: Mapping[int, float]) -> Iterator[None]:
        for row, limit in room.items():
            self._solver.changeRowBounds(row, -highspy.kHighsInf, limit)
        self._solver.setBasis(self._basis)
        yield
        for row in room:
            self._solver.changeRowBounds(row, -highspy.kHighsInf, self._room[row])

    def cheapen(self, costs: Sequence[float], served: float) -> None:
        """Change the goal to the least sum of flows times `costs`, while `served` is kept."""
        count, flows = self.columns, self._flows
        goal = np.concatenate([np.array(costs), np.zeros(count - flows)])
        self._solver.changeColsCost(count, np.arange(count, dtype=np.int32), goal)
        self._solver.addRow(
            served,
            highspy.kHighsInf,
            count - flows,
            np.arange(flows, count, dtype=np.int32),
            np.ones(count - flows),
        )


def _solver(lp: Any) -> Any:
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
    return solver
