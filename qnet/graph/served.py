"""How much of what is wanted a network carries at most, again and again with other capacities.

The program of `flows`, made smaller where only the amount is asked for. A *leaf* is joined to the
rest by one edge each way, so what begins or ends there takes that edge, and nothing else has a use
for it: no flow has to be kept in balance there, and what leaves a leaf counts as leaving its
neighbour, of which all leaves are one commodity. Of 38 nodes of a backbone 18 are leaves: a third
of the rows, and a third of the time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from qnet.graph.flows import BPS_PER_UNIT, Pair, to_bps
from qnet.graph.lp import Entries, Program
from qnet.graph.routes import Edge, Graph


class ServedProgram:
    """Answers how much a network carries, each time from the network as it is.

    So an answer does not depend on those before it, and it takes a few steps of the dual simplex.
    """

    def __init__(
        self, graph: Graph, capacity_bps: Sequence[int], wants: Mapping[Pair, int]
    ) -> None:
        self._most_bps = sum(wants.values())
        self._row_of: dict[int, int] = {}
        self._program = self._stated(graph, capacity_bps, wants)
        found = self._program.solve()
        self._served = float(found.values[self._flows :].sum())
        self._used = {number: found.sums[row] for number, row in self._row_of.items()}
        self._program.keep_basis()

    def served_bps(self, capacity_bps: Mapping[int, int]) -> int:
        """Return the most with other capacities of some edges that had one."""
        room = {
            self._row_of[number]: rate_bps / BPS_PER_UNIT
            for number, rate_bps in capacity_bps.items()
            if number in self._row_of
        }
        served = self._served
        if any(
            self._used.get(number, 0.0) > rate_bps / BPS_PER_UNIT
            for number, rate_bps in capacity_bps.items()
        ):
            served = self._program.most_within(room)
        return min(to_bps(served), self._most_bps)

    def _stated(
        self, graph: Graph, capacity_bps: Sequence[int], wants: Mapping[Pair, int]
    ) -> Program:
        """State the program; rows of balance have a commodity and a node, the others an edge."""
        edges = [edge for edge in graph.edges if capacity_bps[edge.number] > 0]
        leaves = _leaves(edges)
        core = [edge for edge in edges if not {edge.source, edge.enters} & leaves.keys()]
        nodes = sorted({name for edge in core for name in (edge.source, edge.enters)})
        pairs = [(pair, graph.end(pair[1])) for pair in sorted(wants)]
        roots = sorted({leaves.get(source, source) for (source, _), _ in pairs})
        balance = {
            (root, name): row
            for row, (root, name) in enumerate((r, n) for r in roots for n in nodes if n != r)
        }
        self._row_of = {edge.number: len(balance) + row for row, edge in enumerate(edges)}
        matrix = _Matrix()
        for root in roots:
            for edge in core:
                if edge.enters != root:
                    entries = [(balance[root, edge.enters], 1.0), (self._row_of[edge.number], 1.0)]
                    if edge.source != root:
                        entries.append((balance[root, edge.source], -1.0))
                    matrix.add(entries)
        self._flows = matrix.count
        out = {edge.source: self._row_of[edge.number] for edge in edges if edge.source in leaves}
        into = {edge.enters: self._row_of[edge.number] for edge in edges if edge.enters in leaves}
        most = []
        for (source, target), end in pairs:
            root, last = leaves.get(source, source), leaves.get(end, end)
            asked: list[tuple[int | None, float]] = []
            if source in leaves:
                asked.append((out.get(source), 1.0))
            if end in leaves:
                asked.append((into.get(end), 1.0))
            if last != root:
                asked.append((balance.get((root, last)), -1.0))
            taken = [(row, factor) for row, factor in asked if row is not None]
            matrix.add(taken)
            # A pair with an unconnected end has no way.
            most.append(wants[source, target] / BPS_PER_UNIT if len(taken) == len(asked) else 0.0)
        room = [capacity_bps[edge.number] / BPS_PER_UNIT for edge in edges]
        worth = [1.0] * len(pairs)
        return Program(self._flows, worth, most, len(balance), room, matrix.entries)


class _Matrix:
    """Columns of a matrix, one after the other."""

    def __init__(self) -> None:
        self.entries = Entries([0], [], [])

    @property
    def count(self) -> int:
        """How many columns there are."""
        return len(self.entries.start) - 1

    def add(self, column: Iterable[tuple[int, float]]) -> None:
        """Add a column with these values in these rows."""
        for row, value in column:
            self.entries.row.append(row)
            self.entries.value.append(value)
        self.entries.start.append(len(self.entries.row))


def _leaves(edges: Iterable[Edge]) -> dict[str, str]:
    """Return the neighbour of each leaf: there is one, and no second edge from it or to it.

    Of two that are nothing but each other's neighbours the first one by name is no leaf.
    """
    out, into = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for edge in edges:
        out[edge.source].append(edge.enters)
        into[edge.enters].append(edge.source)
    leaves: dict[str, str] = {}
    for name in sorted({*out, *into}, reverse=True):
        around = {*out[name], *into[name]}
        if len(around) == 1 and len(out[name]) < 2 and len(into[name]) < 2:
            (neighbour,) = around
            if neighbour not in leaves:
                leaves[name] = neighbour
    return leaves
