"""GML (Himsolt, 1996), with the attributes of the Internet Topology Zoo (see `attributes.py`).

`graph [ node [ id 0 label "a" ] edge [ source 0 target 1 ] ]`. Labels may repeat, and so may edges,
whether or not the graph says `multigraph 1`: files of the Zoo do both.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import add_link, add_node
from qnet.formats.networks.found import LINKS_HIGHEST, FoundNetwork, GivenUnit, Spot
from qnet.formats.networks.graphml import name_network
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import decode, open_all
from qnet.formats.networks.tokens import Token, tokens
from qnet.units import describe

_TOKEN = re.compile(
    r"#[^\n]*|\s+"
    r'|(?P<text>"[^"]*")|(?P<bracket>[\[\]])|(?P<key>[A-Za-z][A-Za-z0-9_]*)'
    r"|(?P<number>[+-]?[0-9.][0-9.eE+-]*)|(?P<other>\S)"
)
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_DEPTH_HIGHEST = 32


@dataclass(slots=True)
class _List:
    """What stands between brackets: keys with texts, numbers or lists."""

    spot: Spot
    entries: list[tuple[str, str | _List]] = field(default_factory=list)

    def lists(self, key: str) -> list[_List]:
        return [one for name, one in self.entries if name == key and isinstance(one, _List)]

    def values(self) -> dict[str, object]:
        """Return texts and numbers by their keys; of a list only that it is there."""
        return {
            name: "" if isinstance(one, _List) else one
            for name, one in self.entries
            if name not in ("node", "edge")
        }


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a graph. Raises InputError with all its faults."""
    source, raw = open_all(files)[0]
    found = FoundNetwork(Path(files[0]).stem, source)
    root = _parse(found, decode(source, raw))
    graphs = root.lists("graph")
    if not graphs:
        found.stop(Spot(1, 1), "no 'graph [ ... ]' in it")
    for other in graphs[1:]:
        found.fault(other.spot, "a second graph; one file has one network")
    graph = graphs[0]
    own = graph.values()
    is_directed = own.pop("directed", "0") == "1"
    own.pop("multigraph", None)
    name_network(found, own)
    unit = GivenUnit(found, options)
    for node in graph.lists("node"):
        values = node.values()
        key = values.get("id")
        if not isinstance(key, str):
            found.fault(node.spot, "a node without 'id'")
        else:
            add_node(found, node.spot._replace(where=f"node {key}"), key, values, options)
    for edge in graph.lists("edge"):
        values = edge.values()
        ends = str(values.get("source", "")), str(values.get("target", ""))
        if not all(ends):
            found.fault(edge.spot, "an edge has 'source' and 'target'")
            continue
        spot = edge.spot._replace(where=f"edge {'--'.join(ends)}")
        add_link(found, spot, ends, values, unit=unit, is_directed=is_directed)
    unit.ask()
    return assemble(found, options)


def _parse(found: FoundNetwork, text: str) -> _List:
    """Turn keys, values and brackets into lists; what does not belong ends the reading."""
    root = _List(Spot(1, 1))
    open_lists = [root]
    key: Token | None = None
    edges = 0
    for token in tokens(found, text, _TOKEN):
        if key is None and token.text == "]" and len(open_lists) > 1:
            open_lists.pop()
        elif key is None:
            if not _KEY.fullmatch(token.text):
                found.stop(token.spot, f"{describe(token.text)}, where a key is due")
            key = token
        elif token.text == "[":
            made = _List(key.spot)
            open_lists[-1].entries.append((key.text, made))
            open_lists.append(made)
            edges += key.text == "edge"
            if edges > LINKS_HIGHEST:
                found.stop(key.spot, f"more than {LINKS_HIGHEST:,} edges; qnet takes no more")
            key = None
            if len(open_lists) > _DEPTH_HIGHEST:
                found.stop(token.spot, f"nested more than {_DEPTH_HIGHEST} deep")
        else:
            open_lists[-1].entries.append((key.text, _value(found, key, token)))
            key = None
    if key is not None or len(open_lists) > 1:
        spot = key.spot if key is not None else open_lists[-1].spot
        found.stop(spot, "the file ends before what begins here does")
    return root


def _value(found: FoundNetwork, key: Token, token: Token) -> str:
    if token.text.startswith('"') and len(token.text) > 1:
        return html.unescape(token.text[1:-1])
    if token.text[0] not in "+-.0123456789":
        words = f"{describe(token.text)} is no value of '{key.text[:40]}'; texts stand in \"\""
        found.stop(token.spot, words)
    return token.text
