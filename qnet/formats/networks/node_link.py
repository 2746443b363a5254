"""Node-link JSON, as networkx writes it: `nodes` with `id`, `edges` (or `links`) with their ends.

A graph may have `demands`, source to target to amount, as topohub's have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qnet.errors import InputError
from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import add_link, add_node, number
from qnet.formats.networks.found import FoundDemand, FoundNetwork, GivenUnit, Spot
from qnet.formats.networks.json_objects import with_places
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import decode, open_all, read_json
from qnet.units import describe


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a graph. Raises InputError with all its faults."""
    source, raw = open_all(files)[0]
    data = read_json(source, raw)
    found = FoundNetwork(Path(files[0]).stem, source)
    try:
        add_graph(found, data, options)
        del data  # a million edges are noted; as objects they are too large to be kept beside
        return assemble(found, options)
    except InputError as error:
        raise with_places(error, source.display, decode(source, raw)) from None


def add_graph(
    found: FoundNetwork, data: Any, options: ImportOptions, *, straight: str | None = None
) -> None:
    """Add what a node-link mapping says; `straight` as in `add_link`."""
    if not isinstance(data, dict):
        found.stop(Spot(), f"{describe(data)}, not an object with 'nodes' and 'edges'")
    edges = "links" if "links" in data and "edges" not in data else "edges"
    graph = data.get("graph", {})
    graph = dict(graph) if isinstance(graph, dict) else {}
    title = graph.get("name")
    if isinstance(title, str) and title.strip():
        found.title = title.strip()
    for index, node in _objects(found, data, "nodes"):
        spot = Spot(where=f"nodes[{index}]")
        key = _key(node, "id", spot, found)
        if key is not None:
            add_node(found, spot, key, node, options)
    unit = GivenUnit(found, options)
    is_directed = data.get("directed") is True
    for index, edge in _objects(found, data, edges):
        spot = Spot(where=f"{edges}[{index}]")
        ends = [_key(edge, end, spot, found) for end in ("source", "target")]
        if ends[0] is not None and ends[1] is not None:
            pair = ends[0], ends[1]
            add_link(found, spot, pair, edge, unit=unit, is_directed=is_directed, straight=straight)
    _add_demands(found, graph.pop("demands", None), unit)
    for name in graph:
        if name != "name":
            found.note("attributes of the graph left out", name)
    unit.ask()


def _objects(
    found: FoundNetwork, data: Mapping[str, Any], key: str
) -> list[tuple[int, dict[str, Any]]]:
    value = data.get(key)
    if not isinstance(value, list):
        words = "no such key" if value is None else f"{describe(value)}, not a list"
        found.fault(Spot(where=key), words)
        return []
    for index, one in enumerate(value):
        if not isinstance(one, dict):
            found.fault(Spot(where=f"{key}[{index}]"), f"{describe(one)}, not an object")
    return [(index, one) for index, one in enumerate(value) if isinstance(one, dict)]


def _key(item: Mapping[str, Any], name: str, spot: Spot, found: FoundNetwork) -> str | None:
    value = item.get(name)
    if value is None:
        found.fault(spot, f"no '{name}'")
        return None
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else json.dumps(value, ensure_ascii=False)


def _add_demands(found: FoundNetwork, demands: Any, unit: GivenUnit) -> None:
    if not isinstance(demands, dict):
        return
    for source, row in demands.items():
        for target, amount in row.items() if isinstance(row, dict) else ():
            spot = Spot(where=f"graph.demands.{source}.{target}")
            read = number(amount)
            if read is None or read < 0:
                found.fault(spot, f"{describe(amount)} is not a demand; it is zero or more")
                continue
            rate_bps = unit.rate_bps(read, "demands")
            if rate_bps is not None:
                found.add_demand(FoundDemand(source, target, rate_bps, spot))
