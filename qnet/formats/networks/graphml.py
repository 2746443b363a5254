"""GraphML, with the attributes of the Internet Topology Zoo (see `attributes.py`).

http://graphml.graphdrawing.org: one graph of nodes and edges, each with `data` whose meaning the
`key` elements say. Hyperedge elements, ports and graphs within nodes are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import add_link, add_node
from qnet.formats.networks.found import FoundNetwork, GivenUnit
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import Element, open_all, read_xml
from qnet.units import describe

ZOO = "Topology Zoo Toolset"


class _Key(NamedTuple):
    name: str
    domain: str
    default: str | None


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a graph. Raises InputError with all its faults."""
    source, raw = open_all(files)[0]
    root = read_xml(source, raw, "graphml")
    found = FoundNetwork(Path(files[0]).stem, source)
    keys = _keys(found, root)
    graphs = root.of("graph")
    if not graphs:
        found.stop(root.spot, "no 'graph' in it")
    for other in graphs[1:]:
        found.fault(other.spot, "a second graph; one file has one network")
    graph = graphs[0]
    name_network(found, _data(found, graph, keys, "graph"))
    unit = GivenUnit(found, options)
    is_directed = graph.attributes.get("edgedefault") == "directed"
    graph.children.reverse()
    while graph.children:  # each is forgotten then: of a million both would be too large
        child = graph.children.pop()
        if child.tag == "node":
            _add_node(found, child, keys, options)
        elif child.tag == "edge":
            _add_edge(found, child, keys, unit, is_directed)
        elif child.tag not in ("data", "desc"):
            found.fault(child.spot, f"'{child.tag[:40]}' in a graph is not read")
    unit.ask()
    return assemble(found, options)


def _keys(found: FoundNetwork, root: Element) -> dict[str, _Key]:
    keys: dict[str, _Key] = {}
    for element in root.of("key"):
        own = element.attributes
        key, default = own.get("id", ""), element.first("default")
        if key in keys:
            found.fault(element.spot, f"key {describe(key)} again")
        text = None if default is None else default.text
        keys[key] = _Key(own.get("attr.name", key), own.get("for", "all"), text)
    return keys


def _data(
    found: FoundNetwork, element: Element, keys: Mapping[str, _Key], domain: str
) -> dict[str, object]:
    """Return the attributes of an element, by their names."""
    made: dict[str, object] = {
        key.name: key.default
        for key in keys.values()
        if key.default is not None and key.domain in (domain, "all")
    }
    for data in element.of("data"):
        name = data.attributes.get("key", "")
        key = keys.get(name)
        if key is None:
            found.fault(data.spot, f"no key {describe(name)}")
        else:
            made[key.name] = data.text
    return made


def name_network(found: FoundNetwork, data: Mapping[str, object]) -> None:
    """Give the network the name that its file has, and say where it is from."""
    name = data.get("Network") or data.get("label") or data.get("name")
    if name:
        found.title = str(name)
    if data.get("Creator") == ZOO:
        date = f" ({data['NetworkDate']})" if data.get("NetworkDate") else ""
        found.description = (
            f"{found.title}{date}, from the Internet Topology Zoo (S. Knight et al., IEEE JSAC "
            "29(9), 2011; CC BY 4.0), as qnet reads it"
        )
    rest = [one for one in data if one not in ("Network", "NetworkDate", "Creator")]
    if rest:
        found.note("attributes of the graph left out", ", ".join(rest[:3]), count=len(rest))


def _add_node(
    found: FoundNetwork, element: Element, keys: Mapping[str, _Key], options: ImportOptions
) -> None:
    key = element.attributes.get("id")
    spot = element.spot._replace(where=f"node {key}")
    if key is None:
        found.fault(element.spot, "a node without 'id'")
        return
    for child in element.children:
        if child.tag not in ("data", "desc", "port"):
            found.fault(child.spot, f"'{child.tag[:40]}' in a node is not read")
    add_node(found, spot, key, _data(found, element, keys, "node"), options)


def _add_edge(
    found: FoundNetwork,
    element: Element,
    keys: Mapping[str, _Key],
    unit: GivenUnit,
    is_directed: bool,
) -> None:
    own = element.attributes
    source, target = own.get("source"), own.get("target")
    if source is None or target is None:
        found.fault(element.spot, "an edge has 'source' and 'target'")
        return
    directed = own.get("directed", "true" if is_directed else "false") == "true"
    spot = element.spot._replace(where=f"edge {source}--{target}")
    data = _data(found, element, keys, "edge")
    add_link(found, spot, (source, target), data, unit=unit, is_directed=directed)
