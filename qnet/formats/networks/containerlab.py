"""Topology files of containerlab (containerlab.dev), in and out; nothing of them is run.

Nodes and links are under `topology`. A link between nodes has `endpoints` such as 'a:eth1', or is
of type veth or veth-stitch; others lead out of the lab, and are listed. What containerlab has no
words for is in `labels` and `vars` called after qnet's keys, such as `qnet-rate: 10Gbps`; places
are in the labels `graph-geoCoordinateLat` and `graph-geoCoordinateLng`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qnet.files.tree import Branch
from qnet.files.words import dump_yaml
from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import number
from qnet.formats.networks.found import FoundLink, FoundNetwork, FoundNode, place
from qnet.formats.networks.naming import is_name
from qnet.formats.networks.notes import Notes
from qnet.formats.networks.nouns import Exported, Imported, ImportOptions
from qnet.formats.networks.own_words import Words, own_words, read_link, read_node
from qnet.formats.networks.texts import elements, items, open_all, part, read_yaml, spot_of
from qnet.formats.networks.writing import (
    OWN_WORDS,
    degrees,
    link_words,
    list_unsaid,
    names_within,
    wires,
    word_of_title,
)
from qnet.model.fields import Position
from qnet.model.topology import Node, Topology
from qnet.units import describe

_OURS = "qnet-"
_TITLE = f"{_OURS}title"
_LATITUDE, _LONGITUDE = "graph-geoCoordinateLat", "graph-geoCoordinateLng"
_BETWEEN_NODES = {"veth", "veth-stitch"}
_OUTSIDE = {"host", "mgmt-net", "macvlan", "dummy", "vxlan", "vxlan-stitch"}
"""What stands in the place of a node where a link leads out of the lab."""

_IMAGE = "alpine:3"


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a topology file. Raises InputError with all its faults."""
    source, raw = open_all(files)[0]
    root = read_yaml(source, raw)
    found = FoundNetwork(Path(files[0]).name.partition(".")[0], source)
    lab = part(found, root, "topology", "")
    title = root.child("name")
    if title is not None and isinstance(title.content, str):
        found.title = title.content
    variables = raw.count(b"${")
    if variables:
        found.note("variables '${...}' that nothing is put in the place of", count=variables)
    defaults = part(found, lab, "defaults", "topology", needed=False)
    labels = part(found, defaults, "labels", "topology.defaults", needed=False)
    own_title = labels.child(_TITLE)
    if own_title is not None and isinstance(own_title.content, str):
        found.title = own_title.content
    kinds = part(found, lab, "kinds", "topology", needed=False)
    for name, node in items(part(found, lab, "nodes", "topology")):
        _add_node(found, name, node, (defaults, kinds), options)
    for index, link in enumerate(elements(found, lab, "links", "topology.links")):
        _add_link(found, f"topology.links[{index}]", link)
    return assemble(found, options)


def _add_node(
    found: FoundNetwork,
    name: str,
    node: Branch,
    above: tuple[Branch, Branch],
    options: ImportOptions,
) -> None:
    where = f"topology.nodes.{name}"
    spot = spot_of(node, where)
    if not isinstance(node.content, dict) and node.value() is not None:
        found.fault(spot, f"{describe(node.value())}, not a mapping")
        return
    defaults, kinds = above
    kind = node.child("kind") or defaults.child("kind")
    of_kind = kinds.child(str(kind.content)) if kind is not None else None
    labels: dict[str, Branch] = {}
    for holder in (defaults, of_kind, node):
        if holder is not None:
            labels |= dict(items(part(found, holder, "labels", where, needed=False)))
    labels.pop(_TITLE, None)
    at = f"{where}.labels"
    own = read_node(found, _ours(at, labels))
    latitude, longitude = labels.get(_LATITUDE), labels.get(_LONGITUDE)
    position = own.position
    if latitude is not None and longitude is not None:
        position = _position(found, at, latitude, longitude, options) or position
    for key in labels:
        if not key.startswith(_OURS) and key not in (_LATITUDE, _LONGITUDE):
            found.note("labels of nodes left out", key)
    for key, _ in items(node):
        if key != "labels":
            found.note("settings of nodes left out", key)
    label = own.name if own.name is not None else name
    found.add_node(
        FoundNode(name, label, spot, position, is_named=is_name(label), own=own.rest or None)
    )


def _ours(where: str, labels: dict[str, Branch]) -> Words:
    """Return the labels with qnet's words."""
    return {
        key.removeprefix(_OURS): (spot_of(one, f"{where}.{key}"), one.value())
        for key, one in labels.items()
        if key.startswith(_OURS)
    }


def _position(
    found: FoundNetwork, where: str, latitude: Branch, longitude: Branch, options: ImportOptions
) -> Position | None:
    degrees = []
    for key, one in ((_LATITUDE, latitude), (_LONGITUDE, longitude)):
        read = number(one.value())
        if read is None:
            found.fault(spot_of(one, f"{where}.{key}"), f"{describe(one.value())} is not a number")
        else:
            degrees.append(float(read))
    if len(degrees) < 2:
        return None
    return place(found, spot_of(latitude, where), degrees[1], degrees[0], options)


def _add_link(found: FoundNetwork, where: str, link: Branch) -> None:
    spot = spot_of(link, where)
    if not isinstance(link.content, dict):
        found.fault(spot, f"{describe(link.value())}, not a mapping")
        return
    kind = link.child("type")
    if kind is not None and kind.value() not in _BETWEEN_NODES:
        _leave_out(found, f"of type {describe(kind.value())}", where)
        return
    ends = _ends(found, where, link)
    if ends is None:
        return
    outside = [node for node, _ in ends if node in _OUTSIDE and node not in found.nodes]
    if outside:
        _leave_out(found, f"to '{outside[0]}'", where)
        return
    labels: dict[str, Branch] = {}
    for key in ("labels", "vars"):
        labels |= dict(items(part(found, link, key, where, needed=False)))
    for key in labels:
        if not key.startswith(_OURS):
            found.note("labels and vars of links left out", key)
    for key, _ in items(link):
        if key not in ("type", "endpoints", "labels", "vars"):
            found.note("settings of links left out", key)
    fields = read_link(found, _ours(f"{where}.vars", labels))
    _refuse_twice(found, where, link, ends)
    (source, near), (target, far) = ends
    found.add_link(FoundLink(source, target, spot, ports=(near, far), **fields))


def _refuse_twice(
    found: FoundNetwork, where: str, link: Branch, ends: list[tuple[str, str]]
) -> None:
    """Report an interface that another link, or the other end, has already."""
    for end in ends:
        if end[1] and end in found.interfaces:
            found.fault(spot_of(link, where), f"interface '{':'.join(end)}' again")
        found.interfaces.add(end)


def _leave_out(found: FoundNetwork, what: str, where: str) -> None:
    found.leave_out(f"links {what}, which join no two nodes, left out", where)


def _ends(found: FoundNetwork, where: str, link: Branch) -> list[tuple[str, str]] | None:
    """Return node and interface of both endpoints, or report what is wrong."""
    listed = link.child("endpoints")
    inner = listed.content if listed is not None else []
    if not isinstance(inner, list) or len(inner) != 2:
        what = "a link between nodes has two 'endpoints', like ['a:eth1', 'b:eth1']"
        found.fault(spot_of(listed or link, where), what)
        return None
    ends = []
    for index, one in enumerate(inner):
        value = one.value()
        if isinstance(value, str) and ":" in value:
            node, _, interface = value.partition(":")
            ends.append((node, interface))
        elif isinstance(value, dict) and isinstance(value.get("node"), str):
            ends.append((value["node"], str(value.get("interface", ""))))
        else:
            what = f"{describe(value)}; an endpoint is like 'a:eth1'"
            found.fault(spot_of(one, f"{where}.endpoints[{index}]"), what)
    return ends if len(ends) == 2 else None


def write(topology: Topology) -> Exported:
    """Write a topology file; nodes are plain containers, for which anything else can be put."""
    notes = Notes()
    list_unsaid(notes, topology, OWN_WORDS)
    names = names_within(topology, "[A-Za-z0-9_.-]", 50, _OUTSIDE)
    what = f"nodes written as containers of the image '{_IMAGE}', which forward nothing"
    notes.note(f"{what}; put yours there", count=len(topology.nodes))
    links = []
    for wire in wires(topology):
        near, far = (names[end] for end in wire.link.between)
        ends = [f"{near}:eth{wire.near}", f"{far}:eth{wire.far}"]
        words = link_words(notes, topology, wire.link)
        links.append(
            {"endpoints": ends, "vars": {f"{_OURS}{key}": word for key, word in words.items()}}
        )
    what = "rates, lengths, delays and losses written as vars, which containerlab does not act on"
    notes.note(what, count=len(links))
    data = {
        "name": word_of_title(topology, "[A-Za-z0-9_-]", 40),
        "topology": {
            "defaults": {
                "kind": "linux",
                "image": _IMAGE,
                "labels": {_TITLE: topology.title},
            },
            "nodes": {
                names[node.name]: {"labels": _labels(node, names[node.name])}
                for node in topology.nodes
            },
            "links": links,
        },
    }
    return Exported(dump_yaml(data), notes.listed)


def _labels(node: Node, name: str) -> dict[str, str]:
    """Return what is known of a node as labels, which are texts."""
    words = own_words(node)
    words.pop("position", None)
    if name == node.name:
        del words["name"]
    labels = {f"{_OURS}{key}": str(word) for key, word in words.items()}
    if node.position is not None:
        labels[_LATITUDE], labels[_LONGITUDE] = map(degrees, node.position)
    return labels
