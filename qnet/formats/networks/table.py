"""All formats of networks: a line each, which the command line and Python go by.

A format has a reader, or a writer, or both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from qnet.formats.networks import (
    containerlab,
    gml,
    gnpy,
    graphml,
    matrix,
    miniedit,
    mininet_script,
    netbox,
    netlab,
    node_link,
    otg,
    otg_writing,
    repetita,
    rfc8345,
    topohub,
    trex,
)
from qnet.formats.networks.nouns import Exported, Imported, ImportOptions
from qnet.formats.networks.sndlib import reader as sndlib

Reader = Callable[[Sequence[str], ImportOptions], Imported]
"""Reads files, or what a format has in their place, such as a name."""


Writer = Callable[..., Exported]
"""Writes a topology, or topology and traffic, by options of its own."""


@dataclass(frozen=True)
class Import:
    """How a format is read, and what its files do not say."""

    summary: str
    """One line for `qnet import --help`."""

    arguments: tuple[str, ...]
    """What is given; one in brackets may be left out."""

    read: Reader
    asks: frozenset[str] = frozenset()
    """Options of those that only some formats need: hyperedge, unit, coordinates, and others."""

    has_links: bool = True
    """Whether options of links are of use: rate, metro-length, detour, largest."""

    @property
    def least(self) -> int:
        """How many arguments there must be."""
        return sum(1 for one in self.arguments if not one.startswith("["))


@dataclass(frozen=True)
class Export:
    """How a format is written."""

    summary: str
    """One line for `qnet export --help`."""

    write: Writer
    asks: frozenset[str] = frozenset()
    """Options that it takes, by their names: unit, which it needs, and stretch."""

    of_traffic: bool = False
    """Whether demands are written, and so a traffic file is given."""


class Format(NamedTuple):
    """One format; None for the way that it does not go."""

    into: Import | None = None
    out: Export | None = None


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "topohub": Format(
            Import(
                "Take a network out of the package topohub, such as 'topozoo/Abilene'.",
                ("NAME",),
                topohub.read,
                frozenset({"unit", "coordinates"}),
            )
        ),
        "graphml": Format(
            Import(
                "Read GraphML, with the attributes of the Internet Topology Zoo.",
                ("GRAPH.graphml",),
                graphml.read,
                frozenset({"hyperedge", "unit", "coordinates"}),
            )
        ),
        "sndlib": Format(
            Import(
                "Read a network of SNDlib with its demands, native or XML.",
                ("NETWORK",),
                sndlib.read,
                frozenset({"unit", "coordinates"}),
            )
        ),
        "repetita": Format(
            Import(
                "Read a graph of REPETITA, and demands for it.",
                ("GRAPH.graph", "[MATRIX.demands]"),
                repetita.read,
                frozenset({"unit", "coordinates"}),
            )
        ),
        "gml": Format(
            Import(
                "Read GML, with the attributes of the Internet Topology Zoo.",
                ("GRAPH.gml",),
                gml.read,
                frozenset({"hyperedge", "unit", "coordinates"}),
            )
        ),
        "node-link": Format(
            Import(
                "Read node-link JSON, as networkx writes it.",
                ("GRAPH.json",),
                node_link.read,
                frozenset({"hyperedge", "unit", "coordinates"}),
            )
        ),
        "containerlab": Format(
            Import("Read a topology file of containerlab.", ("LAB.clab.yml",), containerlab.read),
            Export("Write a topology file of containerlab.", containerlab.write),
        ),
        "netlab": Format(
            Import(
                "Read a topology of netlab, its links one by one.",
                ("TOPOLOGY.yml",),
                netlab.read,
                frozenset({"hyperedge"}),
            ),
            Export("Write a topology of netlab.", netlab.write),
        ),
        "rfc8345": Format(
            Import(
                "Read RFC 8345 JSON with rates and delays of RFC 8944, and what RFC 8795 adds.",
                ("NETWORK.json",),
                rfc8345.read,
                frozenset({"network"}),
            ),
            Export("Write RFC 8345 JSON, rates and delays by RFC 8944.", rfc8345.write),
        ),
        "gnpy": Format(
            Import(
                "Read a network of GNPy, with the lengths of its fibres.",
                ("NETWORK.json",),
                gnpy.read,
                frozenset({"coordinates"}),
            )
        ),
        "miniedit": Format(
            Import(
                "Read a topology of MiniEdit, Mininet's editor.", ("TOPOLOGY.mn",), miniedit.read
            )
        ),
        "matrix": Format(
            Import(
                "Read a traffic matrix, CSV or YATES, for a topology that is there.",
                ("MATRIX.csv", "[HOSTS]"),
                matrix.read,
                frozenset({"unit", "topology", "interval"}),
                has_links=False,
            ),
            Export(
                "Write the demands as a square matrix, CSV.",
                matrix.write,
                frozenset({"unit"}),
                of_traffic=True,
            ),
        ),
        "otg": Format(
            Import(
                "Read flows of the Open Traffic Generator model, for a topology that is there.",
                ("CONFIG",),
                otg.read,
                frozenset({"topology", "ports"}),
                has_links=False,
            ),
            Export(
                "Write demands and streams as flows of the Open Traffic Generator model.",
                otg_writing.write,
                of_traffic=True,
            ),
        ),
        "trex": Format(
            Import(
                "Read stateless streams of TRex, YAML or JSON, between two nodes (tx and rx).",
                ("STREAMS",),
                trex.read,
                frozenset({"topology", "ports"}),
                has_links=False,
            )
        ),
        "netbox": Format(
            Import(
                "Read cables of NetBox: its CSV tables, or what nrx exports (.cyjs).",
                ("FILE", "[FILE]", "[FILE]", "[FILE]"),
                netbox.read,
            )
        ),
        "mininet": Format(
            out=Export(
                "Write a Python program that builds the network in Mininet, and pings.",
                mininet_script.write,
                frozenset({"stretch"}),
            )
        ),
    }
)
