from itertools import islice, pairwise

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.errors import Infeasible
from qnet.graph.paths import shortest_paths
from qnet.graph.paths.search import make_net

Edges = list[tuple[int, int, int]]


def every_path(edges: Edges, source: int, target: int) -> list[tuple[int, ...]]:
    """All simple paths in order, by trying every edge from every node."""
    done: list[tuple[int, ...]] = []

    def extend(chain: tuple[int, ...], passed: tuple[int, ...]) -> None:
        if passed[-1] == target:
            done.append(chain)
            return
        for number, (near, far, _) in enumerate(edges):
            if near == passed[-1] and far not in passed:
                extend((*chain, number), (*passed, far))

    if source != target:
        extend((), (source,))
    return sorted(done, key=lambda chain: (sum(edges[e][2] for e in chain), len(chain), chain))


@pytest.mark.twin
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)).filter(
            lambda edge: edge[0] != edge[1]
        ),
        max_size=16,
    ),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=4),
    st.integers(1, 9),
)
def test_paths_are_the_first_of_all(edges: Edges, pairs: list[tuple[int, int]], count: int) -> None:
    net = make_net([e[0] for e in edges], [e[1] for e in edges], [e[2] for e in edges], 6)
    table = shortest_paths(net, pairs, count)
    for place, pair in enumerate(pairs):
        assert table.of_pair(place) == every_path(edges, *pair)[:count]


@pytest.mark.parametrize("seed", range(3))
def test_paths_are_those_of_networkx(seed: int) -> None:
    graph = networkx.gnm_random_graph(60, 130, seed=seed, directed=False).to_directed()
    cost = np.random.Generator(np.random.PCG64(seed)).integers(1, 10**9, graph.size()).tolist()
    for number, (near, far) in enumerate(graph.edges):
        graph[near][far].update(weight=cost[number], number=number)
    source, target = zip(*graph.edges, strict=True)
    net = make_net(source, target, cost, 60)
    pairs = [(near, (near * 7 + 3) % 60) for near in range(60) if near != (near * 7 + 3) % 60]
    table = shortest_paths(net, pairs, 8)
    for place, pair in enumerate(pairs):
        if not networkx.has_path(graph, *pair):
            assert table.of_pair(place) == []
            continue
        judge = networkx.shortest_simple_paths(graph, *pair, weight="weight")
        expected = [
            tuple(graph[near][far]["number"] for near, far in pairwise(path))
            for path in islice(judge, 8)
        ]
        assert table.of_pair(place) == expected


def test_costs_too_large_to_compare_are_refused() -> None:
    with pytest.raises(Infeasible, match="too dear"):
        make_net([0], [1], [10**18], 3)
