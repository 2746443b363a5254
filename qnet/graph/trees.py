"""Trees from one node to several: chains of arcs that are the same as far as they go together.

A chain is put into a tree behind the last node that it shares with it, so every node of the tree is
entered once, and chains that part never meet again. The first tree has the shortest chain to each
node. Others take chains of a lower rank, or go round an arc of the first one; which of all trees
has the most room is not looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

Chain = Sequence[int]
"""Numbers of arcs, one behind the other."""

TREE_COUNT = 16
"""Trees that are tried for the same nodes."""


class Arc(NamedTuple):
    """What leads from one node to another."""

    source: str
    target: str


class Tree(NamedTuple):
    """Numbers of arcs, each behind the one that leads to it, and the places of each chain's."""

    arcs: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]


def merge(arcs: Sequence[Arc], chains: Sequence[Chain]) -> Tree:
    """Make one tree of chains from the same node, those in front before the ones behind."""
    place_of: dict[str, int] = {}
    before: list[int] = []
    taken: list[int] = []
    for chain in chains:
        known = [at for at, number in enumerate(chain) if arcs[number].target in place_of]
        start = known[-1] + 1 if known else 0
        place = place_of[arcs[chain[known[-1]]].target] if known else -1
        for number in chain[start:]:
            before.append(place)
            place = len(taken)
            taken.append(number)
            place_of[arcs[number].target] = place
    return Tree(
        tuple(taken), tuple(_path(before, place_of[arcs[chain[-1]].target]) for chain in chains)
    )


def _path(before: Sequence[int], place: int) -> tuple[int, ...]:
    path = []
    while place >= 0:
        path.append(place)
        place = before[place]
    return tuple(reversed(path))


def grow(
    arcs: Sequence[Arc],
    ranked: Sequence[Sequence[Chain]],
    around: Callable[[int, int], Chain | None],
) -> list[Tree]:
    """Return some trees, none twice; the first one has the first chain to every node.

    `ranked` has the chains to each node, the shortest first; `around(node, arc)` finds one that
    does without an arc.
    """
    if not all(ranked):
        return []
    found: dict[tuple[int, ...], Tree] = {}

    def add(chains: Sequence[Chain]) -> None:
        tree = merge(arcs, chains)
        found.setdefault(tuple(sorted(tree.arcs)), tree)

    first = [chains[0] for chains in ranked]
    add(first)
    for rank in range(1, max(map(len, ranked))):
        add([chains[min(rank, len(chains) - 1)] for chains in ranked])
    for avoided in next(iter(found.values())).arcs:
        if len(found) >= TREE_COUNT:
            break
        chains = [
            next((one for one in others if avoided not in one), None) or around(node, avoided)
            for node, others in enumerate(ranked)
        ]
        whole = [chain for chain in chains if chain is not None]
        if len(whole) == len(chains):
            add(whole)
    for node, others in enumerate(ranked):
        for chain in others[1:]:
            if len(found) >= TREE_COUNT:
                break
            # All others follow this one as far as they can.
            order = [chain, *first[:node], *first[node + 1 :]]
            tree = merge(arcs, order)
            paths = [*tree.paths[1 : node + 1], tree.paths[0], *tree.paths[node + 1 :]]
            found.setdefault(tuple(sorted(tree.arcs)), Tree(tree.arcs, tuple(paths)))
    return list(found.values())[:TREE_COUNT]
