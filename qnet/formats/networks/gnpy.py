"""Networks of GNPy (Telecom Infra Project): ROADMs, and the fibres between them with their lengths.

`elements` have `uid`, `type`, `params` and `metadata.location`; `connections` lead from one to
another, one way. What stands between two ROADMs, fibres and amplifiers in a row, is one direction
of one link, as long as its fibres together; transceivers are part of their ROADM. Fibres are the
cables of a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import number
from qnet.formats.networks.found import (
    FoundLink,
    FoundNetwork,
    FoundNode,
    Spot,
    place,
)
from qnet.formats.networks.json_objects import Item, Objects, below, mapping
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import open_all
from qnet.units import LENGTH, describe

FIBRES = ("Fiber", "RamanFiber")
IN_LINE = (*FIBRES, "Fused", "Edfa", "Multiband_amplifier")
TYPES = ("Transceiver", "Roadm", *IN_LINE)

_UNITS_MM = {"km": 10**6, "m": 10**3}
_PREFIX = re.compile(r"(?:roadm|trx)[ _]+(?=\S)", re.IGNORECASE)
_USED = {"uid", "type", "params", "metadata"}
_NO_PLACE = "left out, for which qnet's files have no place"


@dataclass(slots=True)
class _Element:
    uid: str
    type: str
    spot: Spot
    length_mm: int = 0
    position: Any = None
    before: dict[str, None] = field(default_factory=dict)
    after: dict[str, None] = field(default_factory=dict)
    """The elements beside it, each once, in the order of their connections."""


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a network of GNPy's. Raises InputError with all its faults."""
    source, raw = open_all(files)[0]
    found = FoundNetwork(Path(files[0]).stem, source)
    objects = Objects(found, source, raw, "'elements' and 'connections'")
    found.title = objects.text("network_name") or found.title
    elements: dict[str, _Element] = {}
    for spot, item in objects.list_of("elements"):
        _add_element(found, elements, spot, item, options)
    for spot, item in objects.list_of("connections"):
        _add_connection(found, elements, spot, item)
    objects.list_rest("network_name", "elements", "connections")
    found.refuse_faults()
    nodes = _nodes(found, elements)
    for uid in nodes:
        label = _PREFIX.sub("", uid, count=1)
        if label != uid:
            found.note("names taken without the 'roadm' or 'trx' before them", uid)
        one = elements[uid]
        found.add_node(FoundNode(uid, label, one.spot, one.position))
    found.forget_places_at_zero()
    _add_lines(found, elements, nodes)
    found.refuse_faults()
    return assemble(found, options)


# Elements and connections


def _add_element(
    found: FoundNetwork,
    elements: dict[str, _Element],
    spot: Spot,
    item: Item,
    options: ImportOptions,
) -> None:
    uid, kind = item.get("uid"), item.get("type")
    if not isinstance(uid, str) or not uid.strip():
        found.fault(spot, f"{describe(uid)} is no 'uid'; it is a text" if uid else "no 'uid'")
        return
    if kind not in TYPES:
        words = f"{describe(kind)} is no type of an element; there are {', '.join(TYPES)}"
        found.fault(spot, words if kind is not None else "no 'type'")
        return
    made = _Element(uid, kind, spot)
    first = elements.setdefault(uid, made)
    if first is not made:
        words = f"element {describe(uid)} again; it is there already on line {first.spot.line}"
        found.fault(spot, words)
        return
    params = mapping(found, spot, item, "params")
    if kind in FIBRES:
        made.length_mm = _length_mm(found, spot, params)
    made.position = _position(found, spot, item, options)
    used = ("length", "length_units") if kind in FIBRES else ()
    for name in params:
        if name not in used:
            found.note(f"parameters of {kind} {_NO_PLACE}", name)
    for name in item:
        if name not in _USED:
            found.note(f"'{name[:40]}' of elements {_NO_PLACE}", kind)


def _length_mm(found: FoundNetwork, spot: Spot, params: Item) -> int:
    units = params.get("length_units")
    if not isinstance(units, str) or units not in _UNITS_MM:
        shown = "no 'length_units'" if units is None else f"{describe(units)} is no unit of length"
        found.fault(below(spot, "params"), f"{shown}; there are {', '.join(_UNITS_MM)}")
        return 0
    length = number(params.get("length"))
    if length is None or not 0 <= length * _UNITS_MM[units] <= LENGTH.highest:
        given = describe(params["length"]) if "length" in params else "nothing"
        found.fault(below(spot, "params.length"), f"{given} is not a length; it is zero or more")
        return 0
    return round(length * _UNITS_MM[units])


def _position(found: FoundNetwork, spot: Spot, item: Item, options: ImportOptions) -> Any:
    metadata = mapping(found, spot, item, "metadata")
    location = mapping(found, below(spot, "metadata"), metadata, "location")
    given = location.get("latitude"), location.get("longitude")
    for name in location:
        if name not in ("latitude", "longitude") and location[name]:
            found.note(f"'{name[:40]}' of locations {_NO_PLACE}", str(location[name])[:40])
    if given == (None, None):
        return None
    if item["type"] in IN_LINE:
        found.note("places of what stands between two nodes left out", item["uid"])
        return None
    latitude, longitude = (number(value) for value in given)
    if latitude is None or longitude is None:
        words = f"{describe(given[0])} and {describe(given[1])} are not two numbers"
        found.fault(below(spot, "metadata.location"), f"latitude and longitude: {words}")
        return None
    east, north = float(longitude), float(latitude)
    return place(found, spot, east, north, options, may_be_drawn=True)


def _add_connection(
    found: FoundNetwork, elements: dict[str, _Element], spot: Spot, item: Item
) -> None:
    ends = item.get("from_node"), item.get("to_node")
    for name, end in zip(("from_node", "to_node"), ends, strict=True):
        if not isinstance(end, str):
            shown = f"no '{name}'" if end is None else f"{describe(end)} is not a uid"
            found.fault(spot, shown)
        elif end not in elements:
            found.fault(below(spot, name), f"no element {describe(end)}")
    source, target = (elements.get(end) if isinstance(end, str) else None for end in ends)
    if source is not None and target is not None:
        if target.uid in source.after:
            found.leave_out("connections that come again left out", f"{source.uid} to {target.uid}")
        else:
            source.after[target.uid] = None
            target.before[source.uid] = None
    for name in item:
        if name not in ("from_node", "to_node"):
            found.note(f"'{name[:40]}' of connections {_NO_PLACE}")


# What becomes nodes, and what lies between them


def _nodes(found: FoundNetwork, elements: Mapping[str, _Element]) -> list[str]:
    """Return what becomes a node: ROADMs, what ends a line, and where more than two ends meet."""
    nodes = []
    for uid, one in elements.items():
        if one.type == "Roadm":
            nodes.append(uid)
        elif one.type == "Transceiver":
            if not _is_of_roadm(elements, one):
                nodes.append(uid)
                continue
            count = len(one.before) + len(one.after)
            found.note("transceivers taken as part of their ROADM", uid)
            found.leave_out("connections of these transceivers left out", uid, count)
        elif len(one.before) > 1 or len(one.after) > 1:
            found.note("elements in a line where more than two ends meet, made nodes", uid)
            nodes.append(uid)
        else:
            found.note(f"elements '{one.type}' folded into links", uid)
    return nodes


def _is_of_roadm(elements: Mapping[str, _Element], one: _Element) -> bool:
    beside = {*one.before, *one.after}
    return len(beside) == 1 and elements[next(iter(beside))].type == "Roadm"


def _add_lines(found: FoundNetwork, elements: Mapping[str, _Element], nodes: Sequence[str]) -> None:
    """Add each line of elements from a node to the next one as a directed edge.

    Lines between the same two nodes are put by length, so that both ways of one cable meet.
    """
    ends = set(nodes)
    seen = set(ends)
    lines = []
    for uid in nodes:
        for first in elements[uid].after:
            line = list(_line(elements, ends, first))
            seen.update(one.uid for one in line)
            last = next(iter(line[-1].after), None) if line else first
            if last is None:
                what = "connections of lines that end nowhere left out"
                found.leave_out(what, line[0].uid, len(line))
            elif last in ends:
                lines.append((uid, last, line))
    order: dict[frozenset[str], int] = {}
    for source, target, _ in lines:
        order.setdefault(frozenset((source, target)), len(order))
    lines.sort(key=lambda one: (order[frozenset(one[:2])], _length_of(one[2])))
    for source, target, line in lines:
        _add_line(found, source, target, line, elements[source].spot)
    for uid, one in elements.items():
        if uid not in seen and one.type in IN_LINE:
            what = "connections of lines that begin nowhere left out"
            found.leave_out(what, uid, len(one.after))


def _line(elements: Mapping[str, _Element], ends: set[str], uid: str) -> Iterator[_Element]:
    """Yield the elements of a line up to the next node; each has one before it, and one after."""
    while uid not in ends and elements[uid].type in IN_LINE:
        yield elements[uid]
        if not elements[uid].after:
            return
        uid = next(iter(elements[uid].after))


def _length_of(line: Sequence[_Element]) -> int:
    return sum(one.length_mm for one in line)


def _add_line(
    found: FoundNetwork, source: str, target: str, line: Sequence[_Element], spot: Spot
) -> None:
    fibres = [one for one in line if one.type in FIBRES]
    length_mm = _length_of(fibres)
    cable = fibres[0].uid if fibres else ""
    if len(fibres) > 1:
        found.note("lines of several fibres, their cable named after the first one", cable)
    if not fibres:
        found.note("connections of nodes without a fibre between them", f"{source} to {target}")
    if line:
        found.leave_out("connections within a line, part of its link", line[0].uid, len(line))
    found.add_link(
        FoundLink(
            source,
            target,
            fibres[0].spot if fibres else spot,
            length_mm=length_mm if fibres else None,
            straight_mm=None if fibres else 0,
            cable=cable,
            is_directed=True,
        )
    )
