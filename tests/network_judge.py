"""Count the edges of a file by itself, and hold them against what an import made and listed.

It shares no code with the importers: edges are found by their words in the text, wires and lists in
the YAML that was written.
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

LESS = (
    "edges from a node to itself left out",
    "edges of these hyperedges left out",
    "edges outside of the largest part left out",
    "directed edges joined with one that leads back",
    "connections of these transceivers left out",
    "connections that come again left out",
    "connections within a line, part of its link",
    "connections of lines that end nowhere left out",
    "connections of lines that begin nowhere left out",
    "cables of other things than interfaces left out",
    "cables over panels, front and rear ports of one name joined, part of their link",
    "cables that end at a port of a panel left out",
    "cables of panels that lead to no interface left out",
    "edges between a device and its interface left out",
    "edges between two devices without interfaces left out",
)
MORE = ("edges put between the neighbours of hyperedges",)


def edges_in_graphml(text: str) -> int:
    """Count `edge` elements outside of comments."""
    return len(re.findall(r"<edge[\s/>]", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)))


def edges_in_node_link(text: str) -> int:
    """Count the entries of the list of edges."""
    graph = json.loads(text)
    return len(graph["edges"] if "edges" in graph else graph["links"])


def edges_in_sndlib_native(text: str) -> int:
    """Count the lines of the section of links."""
    section = re.search(r"^LINKS \(\n(.*?)^\)", text, re.DOTALL | re.MULTILINE)
    lines = section[1].splitlines() if section else []
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def edges_in_sndlib_xml(text: str) -> int:
    """Count `link` elements."""
    return len(re.findall(r"<link[\s>]", text))


def edges_in_repetita(text: str) -> int:
    """Return what the head of the table of edges says."""
    head = re.search(r"^EDGES (\d+)", text, re.MULTILINE)
    assert head is not None
    return int(head[1])


def edges_in_gml(text: str) -> int:
    """Count edges by their brackets, outside of texts."""
    return len(re.findall(r"\bedge\s*\[", re.sub(r'"[^"]*"', "", text)))


def edges_in_gnpy(text: str) -> int:
    """Count the connections by their keys."""
    return len(re.findall(r'"from_node"\s*:', text))


def fibre_km_in_gnpy(text: str) -> float:
    """Add the lengths of all fibres, each of which carries one direction."""
    params = [one["params"] for one in json.loads(text)["elements"] if "Fiber" in one["type"]]
    lengths = [(float(one["length"]), one["length_units"]) for one in params]
    return sum(length if units == "km" else length / 1000 for length, units in lengths)


def edges_in_miniedit(text: str) -> int:
    """Count the links by their keys."""
    return len(re.findall(r'"dest"\s*:', text))


def edges_in_netbox_cables(text: str) -> int:
    """Count the lines below the headings."""
    return sum(1 for line in text.splitlines()[1:] if line.strip())


def edges_in_nrx(text: str) -> int:
    """Count the ends of edges."""
    return len(re.findall(r'"target"\s*:', text))


def topohub_folder() -> Path:
    """Return where topohub's package has its networks."""
    package = find_spec("topohub")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "data"


def topohub_names() -> list[str]:
    """Return the names of all networks of topohub's."""
    folder = topohub_folder()
    return sorted(str(path.relative_to(folder))[: -len(".json")] for path in folder.rglob("*.json"))


def topohub_graph(name: str) -> dict[str, Any]:
    """Read a network of topohub's from its package."""
    path = topohub_folder() / f"{name}.json"
    graph: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return graph


def places(name: str) -> list[tuple[float, float]]:
    """Return the coordinates in a network of topohub's."""
    return [tuple(node["pos"]) for node in topohub_graph(name)["nodes"]]


def listed(assumptions: list[str], words: str) -> int:
    """Return the count behind some words of a list of assumptions, 0 where it has none."""
    found = [re.match(re.escape(words) + r": ([0-9,]+)", line) for line in assumptions]
    return sum(int(match[1].replace(",", "")) for match in found if match)


def judge(edges: int, folder: Path) -> dict[str, int]:
    """Return what the files say; raises AssertionError when an edge is neither there nor listed."""
    with (folder / "topology.yaml").open(encoding="utf-8") as file:
        topology = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    wires = sum(link.get("members", 1) for link in topology["links"])
    assumptions = topology["assumptions"]
    lost = sum(listed(assumptions, words) for words in LESS)
    added = sum(listed(assumptions, words) for words in MORE)
    assert edges == wires + lost - added, f"{edges} edges, {wires} wires, {lost} lost, {added} put"
    names = [node["name"] for node in topology["nodes"]]
    assert len(set(names)) == len(names)
    return {"nodes": len(names), "edges": edges, "wires": wires, "lost": lost, "added": added}
