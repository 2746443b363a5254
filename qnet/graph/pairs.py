"""Two chains of arcs without a common node, of least total cost.

Suurballe's problem, solved as a flow of two units: every node between the ends is split into an
entry and an exit that one unit may pass. Removing the shortest chain first and looking again can
fail where a pair exists; a flow undoes its first choice where that is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

Side = tuple[str, int]
"""A node's entry (0) or exit (1)."""

_ENTRY, _EXIT = 0, 1


def two_node_disjoint_chains(
    arcs: Sequence[tuple[str, str, int]], source: str, target: str
) -> tuple[list[int], list[int]] | None:
    """Return two chains of indices into `arcs` (source, target, cost), or None if there are none.

    Parallel arcs are different arcs: two of them from end to end are a pair.
    """
    steps: list[tuple[Side, Side, int]] = [
        ((tail, _EXIT), (head, _ENTRY), cost) for tail, head, cost in arcs
    ]
    nodes = sorted({name for tail, head, _ in arcs for name in (tail, head)})
    steps += [((n, _ENTRY), (n, _EXIT), 0) for n in nodes if n not in (source, target)]
    used = [False] * len(steps)
    for _ in range(2):
        chain = _cheapest(steps, used, (source, _EXIT), (target, _ENTRY))
        if chain is None:
            return None
        for index in chain:
            used[index] = not used[index]
    taken = [index for index in range(len(arcs)) if used[index]]
    return _follow(arcs, taken, source, target), _follow(arcs, taken, source, target)


def _cheapest(
    steps: Sequence[tuple[Side, Side, int]], used: Sequence[bool], source: Side, target: Side
) -> list[int] | None:
    """Bellman-Ford over unused steps forwards and used ones backwards at minus their cost."""
    cost: dict[Side, int] = {source: 0}
    came: dict[Side, tuple[int, Side]] = {}
    changed = True
    while changed:
        changed = False
        for index, (tail, head, price) in enumerate(steps):
            start, end, step = (head, tail, -price) if used[index] else (tail, head, price)
            if start in cost and cost[start] + step < cost.get(end, cost[start] + step + 1):
                cost[end] = cost[start] + step
                came[end] = (index, start)
                changed = True
    if target not in cost:
        return None
    chain = []
    place = target
    while place != source:
        index, place = came[place]
        chain.append(index)
    return chain


def _follow(
    arcs: Sequence[tuple[str, str, int]], taken: list[int], source: str, target: str
) -> list[int]:
    """Walk from end to end along taken arcs, using them up."""
    chain = []
    place = source
    while place != target:
        index = next(index for index in taken if arcs[index][0] == place)
        taken.remove(index)
        chain.append(index)
        place = arcs[index][1]
    return chain
