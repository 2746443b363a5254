"""All formats of networks: a line each, which the command line and Python go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qnet.formats.networks import gml, graphml, node_link, repetita, topohub
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.sndlib import reader as sndlib

Reader = Callable[[Sequence[str], ImportOptions], Imported]
"""Reads files, or what a format has in their place, such as a name."""


@dataclass(frozen=True)
class Format:
    """One format: how it is read, and what its files do not say."""

    summary: str
    """One line for `qnet import --help`."""

    arguments: tuple[str, ...]
    """What is given; one in brackets may be left out."""

    read: Reader
    asks: frozenset[str] = frozenset()
    """Options of those that only some formats need: hyperedge, unit, coordinates."""

    @property
    def least(self) -> int:
        """How many arguments there must be."""
        return sum(1 for one in self.arguments if not one.startswith("["))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "topohub": Format(
            "Take a network out of the package topohub, such as 'topozoo/Abilene'.",
            ("NAME",),
            topohub.read,
            frozenset({"unit", "coordinates"}),
        ),
        "graphml": Format(
            "Read GraphML, with the attributes of the Internet Topology Zoo.",
            ("GRAPH.graphml",),
            graphml.read,
            frozenset({"hyperedge", "unit", "coordinates"}),
        ),
        "sndlib": Format(
            "Read a network of SNDlib with its demands, native or XML.",
            ("NETWORK",),
            sndlib.read,
            frozenset({"unit", "coordinates"}),
        ),
        "repetita": Format(
            "Read a graph of REPETITA, and demands for it.",
            ("GRAPH.graph", "[MATRIX.demands]"),
            repetita.read,
            frozenset({"unit", "coordinates"}),
        ),
        "gml": Format(
            "Read GML, with the attributes of the Internet Topology Zoo.",
            ("GRAPH.gml",),
            gml.read,
            frozenset({"hyperedge", "unit", "coordinates"}),
        ),
        "node-link": Format(
            "Read node-link JSON, as networkx writes it.",
            ("GRAPH.json",),
            node_link.read,
            frozenset({"hyperedge", "unit", "coordinates"}),
        ),
    }
)
