from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from qnet.graph.distances import distances

EDGES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 9)), max_size=20)


@given(EDGES)
def test_they_are_those_of_another_library(edges: list[tuple[int, int, int]]) -> None:
    def steps(node: int) -> list[tuple[int, int]]:
        return [(cost, target) for source, target, cost in edges if source == node]

    graph = nx.MultiDiGraph()
    graph.add_node(0)
    graph.add_weighted_edges_from(edges)
    found = distances(0, steps)
    assert found == dict(nx.single_source_dijkstra_path_length(graph, 0))
    assert list(found) == sorted(found, key=found.__getitem__)


def test_what_cannot_be_come_to_is_not_there() -> None:
    roads = {"a": [(3, "b"), (1, "c")], "b": [], "c": [(1, "b")], "d": [(1, "a")]}
    assert distances("a", roads.__getitem__) == {"a": 0, "c": 1, "b": 2}
