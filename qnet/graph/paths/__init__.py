"""Shortest simple paths of a directed graph, by cost, then edges, then edge numbers."""

from qnet.graph.paths.search import PathTable, shortest_paths

__all__ = ["PathTable", "shortest_paths"]
