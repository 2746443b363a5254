"""Least distances over any graph that says what leaves a node."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import TypeVar

Node = TypeVar("Node", int, str)


def distances(start: Node, steps: Callable[[Node], Iterable[tuple[int, Node]]]) -> dict[Node, int]:
    """Return the least sum of costs to every node that can be come to from one (Dijkstra).

    `steps` gives costs, none below zero, and nodes. The nearest node is the first of the answer;
    of equally near ones it is the least.
    """
    found: dict[Node, int] = {}
    waiting = [(0, start)]
    while waiting:
        so_far, node = heapq.heappop(waiting)
        if node in found:
            continue
        found[node] = so_far
        for cost, following in steps(node):
            if following not in found:
                heapq.heappush(waiting, (so_far + cost, following))
    return found
