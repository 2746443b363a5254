"""The first k simple paths between two nodes (Yen, with Lawler's rule), as integer loops.

Paths are ordered by cost, then by how many edges they have, then by their edge numbers. Cost and
count are one number here, the key: an edge of cost c has the key c * nodes + 1, and no simple path
has as many edges as there are nodes.

A path leaves one that was already found at its *spur*: it keeps the edges up to there, the root,
and must not take on from the spur what another found path with the same root takes. The best rest
of the way is mostly the one that the tree of shortest paths to the target already shows. Only
where that runs back into the root a search of its own is made.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, columns

Int64s = NDArray[np.int64]
Int64Table = NDArray[np.int64]

FAR = 2**62


@columns
class PathEnds(IntEnum):
    """Columns of a table of pairs of nodes."""

    SOURCE = 0
    TARGET = 1


class DirectedGraph(NamedTuple):
    """A directed graph."""

    source: Int64s
    target: Int64s
    key: Int64s
    """By edge."""
    out_first: Int64s
    out: Int64s
    """Edges that leave node n are `out[out_first[n] : out_first[n + 1]]`, lowest number first."""
    into_first: Int64s
    into: Int64s
    """Edges that enter it, likewise."""


class Heap(NamedTuple):
    """A binary heap of nodes by key; `size[0]` is how many there are."""

    key: Int64s
    node: Int64s
    size: Int64s


class PathScratch(NamedTuple):
    """Scratch; a mark is the number of the round that set it."""

    tree: Int64s
    """By node: key of the way to the target."""
    far: Int64s
    """By node: key of the way from a spur."""
    marked: Int64s
    """By node: on a way of least key."""
    blocked: Int64s
    """By node: must not be passed."""
    banned: Int64s
    """By edge: must not be taken."""
    round: Int64s
    """The number of the round that is on."""
    rest: Int64s
    """Edges from a spur to the target."""
    heap: Heap


class Paths(NamedTuple):
    """Paths, one a row."""

    edge: Int64Table
    length: Int64s
    """How many edges it has."""
    key: Int64s
    spur: Int64s
    """How many edges it shares with the path that it came from."""


@bare_kernel
def push(heap: Heap, key: int, node: int) -> int:
    """Put a node onto the heap."""
    place = heap.size[0]
    heap.size[0] = place + 1
    while place > 0:
        above = (place - 1) // 2
        if heap.key[above] <= key:
            break
        heap.key[place] = heap.key[above]
        heap.node[place] = heap.node[above]
        place = above
    heap.key[place] = key
    heap.node[place] = node
    return 0


@bare_kernel
def pop(heap: Heap) -> int:
    """Take the node with the least key off the heap; its key is then at `heap.key[size]`."""
    least_key = heap.key[0]
    least = heap.node[0]
    last = heap.size[0] - 1
    heap.size[0] = last
    key = heap.key[last]
    node = heap.node[last]
    place = 0
    while 2 * place + 1 < last:
        below = 2 * place + 1
        if below + 1 < last and heap.key[below + 1] < heap.key[below]:
            below += 1
        if key <= heap.key[below]:
            break
        heap.key[place] = heap.key[below]
        heap.node[place] = heap.node[below]
        place = below
    heap.key[place] = key
    heap.node[place] = node
    heap.key[last] = least_key
    heap.node[last] = least
    return least


@bare_kernel
def grow_tree(net: DirectedGraph, target: int, search: PathScratch) -> int:
    """Fill `search.tree` with the key of every node's way to the target (Dijkstra)."""
    tree, heap = search.tree, search.heap
    for node in range(tree.shape[0]):
        tree[node] = FAR
    tree[target] = 0
    heap.size[0] = 0
    push(heap, 0, target)
    while heap.size[0] > 0:
        node = pop(heap)
        if heap.key[heap.size[0]] > tree[node]:
            continue
        for item in range(net.into_first[node], net.into_first[node + 1]):
            edge = net.into[item]
            near = net.source[edge]
            key = tree[node] + net.key[edge]
            if key < tree[near]:
                tree[near] = key
                push(heap, key, near)
    return 0


@bare_kernel
def search_around(
    net: DirectedGraph, spur: int, target: int, most: int, search: PathScratch
) -> int:
    """Fill `search.far` with keys from the spur, around what is forbidden (A*).

    The tree says how far the target is at least. Goes on through all ways of the least key, and
    returns that key, or FAR when it would be above `most`.
    """
    now = search.round[0]
    far, tree, heap = search.far, search.tree, search.heap
    for node in range(far.shape[0]):
        far[node] = FAR
    far[spur] = 0
    heap.size[0] = 0
    push(heap, tree[spur], spur)
    least = FAR
    while heap.size[0] > 0:
        node = pop(heap)
        reach = heap.key[heap.size[0]]
        if reach > most or reach > least:
            break
        if reach > far[node] + tree[node] or node == target:
            continue
        for item in range(net.out_first[node], net.out_first[node + 1]):
            edge = net.out[item]
            onward = net.target[edge]
            key = far[node] + net.key[edge]
            if (
                key < far[onward]
                and tree[onward] < FAR
                and key + tree[onward] <= min(most, least)
                and search.blocked[onward] != now
                and search.banned[edge] != now
            ):
                far[onward] = key
                if onward == target:
                    least = key
                push(heap, key + tree[onward], onward)
    return least


@bare_kernel
def mark_best(net: DirectedGraph, target: int, search: PathScratch) -> int:
    """Mark the nodes on the ways of least key that `search_around` found."""
    now = search.round[0]
    far, stack = search.far, search.heap.node
    stack[0] = target
    search.marked[target] = now
    count = 1
    while count > 0:
        count -= 1
        node = stack[count]
        for item in range(net.into_first[node], net.into_first[node + 1]):
            edge = net.into[item]
            near = net.source[edge]
            if (
                far[near] + net.key[edge] == far[node]
                and search.marked[near] != now
                and search.banned[edge] != now
            ):
                search.marked[near] = now
                stack[count] = near
                count += 1
    return 0


@bare_kernel
def walk_around(net: DirectedGraph, spur: int, target: int, search: PathScratch) -> int:
    """Write the marked way with the lowest edge numbers into `search.rest`; return its edges."""
    now = search.round[0]
    far = search.far
    node = spur
    count = 0
    while node != target:
        for item in range(net.out_first[node], net.out_first[node + 1]):
            edge = net.out[item]
            onward = net.target[edge]
            if (
                far[node] + net.key[edge] == far[onward]
                and search.marked[onward] == now
                and search.banned[edge] != now
            ):
                search.rest[count] = edge
                break
        node = net.target[search.rest[count]]
        count += 1
    return count


@bare_kernel
def walk_tree(net: DirectedGraph, spur: int, target: int, most: int, search: PathScratch) -> int:
    """Write the way of least key that the tree shows into `search.rest`; return its edges.

    Of equal ways the one with the lowest edge numbers is taken. Returns -1 when it runs into the
    root, -2 when no way has a key up to `most`.
    """
    now = search.round[0]
    tree = search.tree
    node = spur
    count = 0
    while node != target:
        best = FAR
        for item in range(net.out_first[node], net.out_first[node + 1]):
            edge = net.out[item]
            key = net.key[edge] + tree[net.target[edge]]
            if key < best and search.banned[edge] != now:
                best = key
                search.rest[count] = edge
        if best == FAR or (node == spur and best > most):
            return -2
        node = net.target[search.rest[count]]
        if node == spur or search.blocked[node] == now:
            return -1
        count += 1
    return count


@bare_kernel
def rest_of_way(net: DirectedGraph, spur: int, target: int, most: int, search: PathScratch) -> int:
    """Find the way of least key from the spur on; return its edges, or a negative number."""
    count = walk_tree(net, spur, target, most, search)
    if count != -1:
        return count
    if search_around(net, spur, target, most, search) == FAR:
        return -2
    mark_best(net, target, search)
    return walk_around(net, spur, target, search)


@bare_kernel
def is_before(paths: Paths, one: int, other: int) -> bool:
    """Say whether a path comes before another."""
    if paths.key[one] != paths.key[other]:
        return paths.key[one] < paths.key[other]
    for place in range(paths.length[one]):
        if paths.edge[one, place] != paths.edge[other, place]:
            return paths.edge[one, place] < paths.edge[other, place]
    return False


@bare_kernel
def copy_path(paths: Paths, source: int, into: Paths, target: int) -> int:
    """Copy a path from one table to another."""
    into.length[target] = paths.length[source]
    into.key[target] = paths.key[source]
    into.spur[target] = paths.spur[source]
    for place in range(paths.length[source]):
        into.edge[target, place] = paths.edge[source, place]
    return 0


@bare_kernel
def forbid(net: DirectedGraph, found: Paths, count: int, place: int, search: PathScratch) -> int:
    """Forbid the root of the last found path up to a place, and what was taken on from there."""
    last = count - 1
    search.round[0] += 1
    now = search.round[0]
    for earlier in range(place):
        search.blocked[net.source[found.edge[last, earlier]]] = now
    for other in range(count):
        same = found.length[other] > place
        for earlier in range(place):
            same = same and found.edge[other, earlier] == found.edge[last, earlier]
        if same:
            search.banned[found.edge[other, place]] = now
    return 0


@bare_kernel
def join(
    net: DirectedGraph, root: Int64s, rest: Int64s, spur: int, waiting: Paths, row: int
) -> int:
    """Write a root and the rest of a way into a row of the waiting paths."""
    key = 0
    for place in range(root.shape[0]):
        waiting.edge[row, place] = root[place]
        key += net.key[root[place]]
    for place in range(rest.shape[0]):
        waiting.edge[row, root.shape[0] + place] = rest[place]
        key += net.key[rest[place]]
    waiting.length[row] = root.shape[0] + rest.shape[0]
    waiting.key[row] = key
    waiting.spur[row] = spur
    return 0


@bare_kernel
def spur_paths(
    net: DirectedGraph,
    target: int,
    found: Paths,
    count: int,
    waiting: Paths,
    known: int,
    search: PathScratch,
) -> int:
    """Add the candidates that leave the last found path; return how many are waiting.

    No more are kept than can still be asked for; the row behind them is for the one on trial.
    """
    last = count - 1
    wanted = found.length.shape[0] - count
    root = 0
    for place in range(found.length[last]):
        if place >= found.spur[last]:
            worst = -1
            if known == wanted:
                worst = 0
                for other in range(1, known):
                    if is_before(waiting, worst, other):
                        worst = other
            most = FAR - 1 if worst < 0 else waiting.key[worst] - root
            forbid(net, found, count, place, search)
            spur = net.source[found.edge[last, place]]
            more = rest_of_way(net, spur, target, most, search)
            if more > 0:
                join(net, found.edge[last, :place], search.rest[:more], place, waiting, known)
                if worst < 0:
                    known += 1
                elif is_before(waiting, known, worst):
                    copy_path(waiting, known, waiting, worst)
        root += net.key[found.edge[last, place]]
    return known


@bare_kernel
def first_paths(
    net: DirectedGraph, source: int, target: int, found: Paths, waiting: Paths, search: PathScratch
) -> int:
    """Fill `found` in order, from the tree to the target; return how many paths there are."""
    search.round[0] += 1
    if source == target or search.tree[source] == FAR:
        return 0
    length = walk_tree(net, source, target, FAR - 1, search)
    for place in range(length):
        found.edge[0, place] = search.rest[place]
    found.length[0] = length
    found.key[0] = search.tree[source]
    found.spur[0] = 0
    count = 1
    known = 0
    while count < found.length.shape[0]:
        known = spur_paths(net, target, found, count, waiting, known, search)
        if known == 0:
            break
        best = 0
        for other in range(1, known):
            if is_before(waiting, other, best):
                best = other
        copy_path(waiting, best, found, count)
        known -= 1
        copy_path(waiting, known, waiting, best)
        count += 1
    return count


@bare_kernel
def paths_of_pairs(
    net: DirectedGraph,
    pairs: Int64Table,
    found: Paths,
    waiting: Paths,
    search: PathScratch,
    first: Int64s,
    offset: Int64s,
    edges: Int64s,
) -> int:
    """Find the paths of many pairs (source, target), one after the other, in a compact form.

    Those of pair i are `first[i]` to `first[i + 1]`, the edges of path p `offset[p]` to
    `offset[p + 1]`. Returns the pairs done; fewer than given when `edges` might not be enough.
    The tree is kept while the target stays the same.
    """
    target = -1
    path = 0
    for pair in range(pairs.shape[0]):
        if edges.shape[0] - offset[path] < found.edge.shape[0] * found.edge.shape[1]:
            return pair
        if pairs[pair, PathEnds.TARGET] != target:
            target = pairs[pair, PathEnds.TARGET]
            grow_tree(net, target, search)
        count = first_paths(net, pairs[pair, PathEnds.SOURCE], target, found, waiting, search)
        for place in range(count):
            start = offset[path]
            for step in range(found.length[place]):
                edges[start + step] = found.edge[place, step]
            offset[path + 1] = start + found.length[place]
            path += 1
        first[pair + 1] = path
    return pairs.shape[0]
