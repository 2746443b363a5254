"""Topologies that tests name by kind and size: 'ring:4', or 'ring:3..6' for several.

Nodes are s1, s2 and so on. In a line and a ring each has a wire to the next one, in a star s1 has
one to each other, and in a mesh every node has one to every other. The size of these is the number
of nodes; that of a tree is its depth: s1 has two branches, and each of them again, so that tree:2
has seven nodes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, pairwise

from qnet.model.topology import Topology

SIZE_MOST = 64
"""Of what a test names: each node is a switch with two processes of its own."""

DEPTH_MOST = 5

Wires = Iterator[tuple[int, int]]


def _line(size: int) -> Wires:
    return pairwise(range(1, size + 1))


def _ring(size: int) -> Wires:
    yield from _line(size)
    yield size, 1


def _star(size: int) -> Wires:
    return ((1, leaf) for leaf in range(2, size + 1))


def _tree(depth: int) -> Wires:
    return ((node // 2, node) for node in range(2, 2 ** (depth + 1)))


def _mesh(size: int) -> Wires:
    return combinations(range(1, size + 1), 2)


KINDS: Mapping[str, tuple[Callable[[int], Wires], int, int]] = {
    "line": (_line, 2, SIZE_MOST),
    "ring": (_ring, 3, SIZE_MOST),
    "star": (_star, 3, SIZE_MOST),
    "tree": (_tree, 1, DEPTH_MOST),
    "mesh": (_mesh, 3, 12),
}
"""By kind: wires between numbers of nodes, the smallest size and the largest."""

_NAME = re.compile(r"(\w+):(\d+)(?:\.\.(\d+))?")


def expand(name: str) -> list[str]:
    """Return the names that one stands for: 'ring:3..5' for three, any other for itself.

    Raises ValueError for a kind or a size that is not there.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return [name]
    kind, first, last = found[1], int(found[2]), int(found[3] or found[2])
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(KINDS)}"
        raise ValueError(f"no kind of topology '{kind}'; {hint}")
    _, least, most = KINDS[kind]
    if not least <= first <= last <= most:
        raise ValueError(f"{name}: a {kind} has a size from {least} to {most}")
    return [f"{kind}:{size}" for size in range(first, last + 1)]


def drawn(name: str) -> Topology | None:
    """Return the topology of a name such as 'ring:4', or None for any other name.

    Raises ValueError for a kind or a size that is not there, and for several sizes.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    if expand(name) != [name]:
        raise ValueError(f"{name} is several topologies; one is wanted, such as {expand(name)[0]}")
    wires = list(KINDS[found[1]][0](int(found[2])))
    nodes = range(1, max(map(max, wires)) + 1)
    return Topology.model_validate(
        {
            "title": f"A {found[1]} of size {found[2]}",
            "nodes": [{"name": f"s{number}"} for number in nodes],
            "links": [
                {"between": [f"s{one}", f"s{other}"], "rate": "1Gbps", "length": "1km"}
                for one, other in wires
            ],
        }
    )
