"""Shortest simple paths for many pairs of nodes at once, in compact arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qnet.errors import Infeasible
from qnet.graph.paths.kernels import (
    FAR,
    DirectedGraph,
    Heap,
    Int64s,
    Int64Table,
    PathEnds,
    Paths,
    PathScratch,
    paths_of_pairs,
)


class PathTable(NamedTuple):
    """Paths of pair i are rows `first[i]` to `first[i + 1]`; the edges of path p are
    `edge[offset[p]:offset[p + 1]]`.
    """

    first: Int64s
    offset: Int64s
    edge: Int64s

    def of_pair(self, pair: int) -> list[tuple[int, ...]]:
        """Return the paths of one pair as edge numbers, the best one first."""
        return [
            tuple(self.edge[self.offset[path] : self.offset[path + 1]].tolist())
            for path in range(int(self.first[pair]), int(self.first[pair + 1]))
        ]


def make_net(
    source: Sequence[int], target: Sequence[int], cost: Sequence[int], nodes: int
) -> DirectedGraph:
    """Return the arrays of a directed graph; edges are numbered in the order given."""
    assert min(cost, default=0) >= 0, "costs are not negative"
    if nodes * (max(cost, default=0) * nodes + 1) >= FAR:
        raise Infeasible(f"routes cannot be compared: the dearest of {len(cost)} links is too dear")
    sources, targets, costs = (np.array(x, dtype=np.int64) for x in (source, target, cost))
    out = np.argsort(sources, kind="stable")
    into = np.argsort(targets, kind="stable")
    places = np.arange(nodes + 1)
    return DirectedGraph(
        sources,
        targets,
        costs * nodes + 1,
        np.searchsorted(sources[out], places),
        out,
        np.searchsorted(targets[into], places),
        into,
    )


def shortest_paths(
    net: DirectedGraph, pairs: Sequence[tuple[int, int]] | Int64Table, count: int
) -> PathTable:
    """Return up to `count` simple paths of each pair (source, target)."""
    asked = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    by_target = np.argsort(asked[:, PathEnds.TARGET], kind="stable")
    found = _search(net, asked[by_target], count)
    return _in_order(found, np.argsort(by_target, kind="stable"))


def _search(net: DirectedGraph, pairs: Int64Table, count: int) -> PathTable:
    nodes = net.out_first.size - 1
    edges = net.source.size
    longest = max(nodes - 1, 1)
    heap = Heap(_zeros(edges + 1), _zeros(edges + 1), _zeros(1))
    search = PathScratch(
        tree=_zeros(nodes),
        far=_zeros(nodes),
        marked=_zeros(nodes),
        blocked=_zeros(nodes),
        banned=_zeros(edges),
        round=_zeros(1),
        rest=_zeros(longest),
        heap=heap,
    )
    found, waiting = (
        Paths(np.zeros((rows, longest), np.int64), _zeros(rows), _zeros(rows), _zeros(rows))
        for rows in (count, count + 1)
    )
    first = _zeros(len(pairs) + 1)
    offset = _zeros(len(pairs) * count + 1)
    room = count * longest * (2 + len(pairs) // 4)
    while True:
        edge = _zeros(room)
        done = paths_of_pairs(net, pairs, found, waiting, search, first, offset, edge)
        if done == len(pairs):
            break
        room *= 2
    return PathTable(first, offset[: first[-1] + 1], edge[: offset[first[-1]]])


def _in_order(table: PathTable, rank: Int64s) -> PathTable:
    """Put the pairs back into the order in which they were asked for."""
    counts = np.diff(table.first)[rank]
    first = np.concatenate([[0], np.cumsum(counts)])
    paths = np.repeat(table.first[rank] - first[:-1], counts) + np.arange(first[-1])
    lengths = np.diff(table.offset)[paths]
    offset = np.concatenate([[0], np.cumsum(lengths)])
    edges = np.repeat(table.offset[paths] - offset[:-1], lengths) + np.arange(offset[-1])
    return PathTable(first, offset, table.edge[edges])


def _zeros(count: int) -> Int64s:
    return np.zeros(count, dtype=np.int64)
