"""Network topologies as controllers speak them: RFC 8345 with RFC 8944, in JSON (RFC 7951).

A network has nodes with termination points and links, and each link leads one way; the way back is
a link between the same termination points. RFC 8944 (Layer 2) has the rate in kbit/s and the delay
in whole microseconds; RFC 8795 (TE) bandwidths in bytes a second as hexadecimal floats, shared-risk
groups, and places. Links of one cable are supported by one link of a network of cables.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import number
from qnet.formats.networks.found import FoundLink, FoundNetwork, FoundNode, Spot, place
from qnet.formats.networks.naming import is_name, plain_name
from qnet.formats.networks.notes import Notes
from qnet.formats.networks.nouns import Exported, Imported, ImportOptions
from qnet.formats.networks.texts import open_all, read_json
from qnet.formats.networks.writing import Says, degrees, list_unsaid, wires
from qnet.model.topology import Link, Node, Topology, propagation_ps
from qnet.units import PS_PER_US, RATE, describe

_NETWORK = "ietf-network"
_TOPOLOGY = "ietf-network-topology"
_LAYER_2 = "ietf-l2-topology"
_LAYER_3 = "ietf-l3-unicast-topology"
_TE = "ietf-te-topology"
_CABLES = "cables"
_DELAY_HIGHEST = 2**32 - 1
_WHOLE = re.compile("[0-9]{1,19}")
_FLOAT = re.compile(r"0[xX][01](?:\.[0-9a-fA-F]{0,6})?(?:[pP]\+?[0-9]{1,3})?")
"""Bytes a second, as RFC 8294 writes them: 0x1p10 is 1,024."""

_SAYS = Says(
    node=Says().node | {"position"},
    link=Says().link | {"rate", "length", "delay", "asymmetry", "cable"},
)


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a network. Raises InputError with all its faults."""
    source, raw = open_all(files)[0]
    data = read_json(source, raw)
    found = FoundNetwork(Path(files[0]).stem, source)
    where, network = _network(found, data, options)
    own = _inner(found, network, where, _LAYER_2, "l2-topology-attributes")
    title = own.get("name") or network.get("network-id")
    if isinstance(title, str):
        found.title = title
    for spot, node in _objects(found, network, where, "node"):
        _add_node(found, spot, node, options)
    for spot, link in _objects(found, network, where, f"{_TOPOLOGY}:link"):
        _add_link(found, spot, link)
    return assemble(found, options)


def _network(
    found: FoundNetwork, data: Any, options: ImportOptions
) -> tuple[str, Mapping[str, Any]]:
    """Return the network that is meant: the one that has links between nodes, or the named one."""
    outer = f"{_NETWORK}:networks"
    if not isinstance(data, dict):
        found.stop(Spot(), f"{describe(data)}, not an object with '{outer}'")
    networks = _inner(found, data, "", _NETWORK, "networks") or data
    where = outer if networks is not data else ""
    listed = _objects(found, networks, where, f"{_NETWORK}:network")
    if not listed:
        found.stop(Spot(), f"no network in it; RFC 8345 has them in '{outer}', 'network'")
    names = [str(one.get("network-id")) for _, one in listed]
    able = [i for i, (_, one) in enumerate(listed) if "node" in one and _value(one, "link")]
    if options.network is not None:
        able = [i for i, name in enumerate(names) if name == options.network]
        if not able:
            there = ", ".join(names[:8])
            found.stop(Spot(), f"no network {describe(options.network)}; there are {there}")
    able = able or [0]
    if len(able) > 1:
        several = ", ".join(names[i] for i in able[:8])
        found.stop(Spot(), f"networks {several}; write '--network {names[able[0]]}' or another one")
    for i, name in enumerate(names):
        if i != able[0]:
            found.note("other networks of the file left out, but for what supports links", name)
    return listed[able[0]][0].where, listed[able[0]][1]


def _value(item: Mapping[str, Any], name: str) -> Any:
    """Return what stands under a name, with its module or without."""
    own = item.get(name)
    return item.get(f"{_TOPOLOGY}:{name}") if own is None else own


def _inner(
    found: FoundNetwork, item: Mapping[str, Any], where: str, module: str, name: str
) -> Mapping[str, Any]:
    """Return a container of a module; an empty one where there is none."""
    key = f"{module}:{name}"
    value = item.get(key, item.get(name))
    if value is None:
        return {}
    if not isinstance(value, dict):
        found.fault(Spot(where=f"{where}.{key}"), f"{describe(value)}, not an object")
        return {}
    return value


def _objects(
    found: FoundNetwork, item: Mapping[str, Any], where: str, key: str
) -> list[tuple[Spot, Mapping[str, Any]]]:
    """Return the elements of a list, each with its place."""
    name = key.rpartition(":")[2]
    value = item.get(key, item.get(name))
    at = f"{where}.{key if key in item else name}".lstrip(".")
    if value is not None and not isinstance(value, list):
        found.fault(Spot(where=at), f"{describe(value)}, not a list")
    made: list[tuple[Spot, Mapping[str, Any]]] = []
    for index, one in enumerate(value if isinstance(value, list) else []):
        spot = Spot(where=f"{at}[{index}]")
        if isinstance(one, dict):
            made.append((spot, one))
        else:
            found.fault(spot, f"{describe(one)}, not an object")
    return made


def _add_node(
    found: FoundNetwork, spot: Spot, node: Mapping[str, Any], options: ImportOptions
) -> None:
    key = _text(found, spot, node, "node-id")
    if key is None:
        return
    label = unquote(key)
    for module, name in ((_LAYER_3, "l3-node-attributes"), (_LAYER_2, "l2-node-attributes")):
        given = _inner(found, node, spot.where, module, name).get("name")
        if isinstance(given, str):
            label = given
    te = _inner(found, node, spot.where, _TE, "te")
    globe = _inner(found, te, spot.where, _TE, "geolocation")
    position = None
    if "latitude" in globe and "longitude" in globe:
        north, east = number(globe["latitude"]), number(globe["longitude"])
        if north is None or east is None:
            found.fault(spot, "'latitude' and 'longitude' are numbers of degrees")
        else:
            position = place(found, spot, float(east), float(north), options)
    for name in node:
        if name.rpartition(":")[2] not in _OF_NODES:
            found.note("attributes of nodes left out", name)
    found.add_node(FoundNode(key, label, spot, position, is_named=is_name(label)))


_OF_NODES = {"node-id", "termination-point", "l2-node-attributes", "te", "te-node-id"}
_OF_LINKS = {"link-id", "source", "destination", "l2-link-attributes", "te", "supporting-link"}


def _text(found: FoundNetwork, spot: Spot, item: Mapping[str, Any], key: str) -> str | None:
    value = item.get(key)
    if isinstance(value, str) and value:
        return value
    found.fault(spot, f"no '{key}'" if value is None else f"'{key}' is {describe(value)}, no text")
    return None


def _add_link(found: FoundNetwork, spot: Spot, link: Mapping[str, Any]) -> None:
    name = _text(found, spot, link, "link-id")
    if name is not None and ("", name) in found.interfaces:
        found.fault(spot, f"link {describe(name)} again; it is there already")
    found.interfaces.add(("", name or ""))
    ends = []
    for side, short in (("source", "source"), ("destination", "dest")):
        end = _inner(found, link, spot.where, _TOPOLOGY, side)
        node = _text(found, spot, end, f"{short}-node")
        point = end.get(f"{short}-tp")
        ends.append((node, point if isinstance(point, str) else ""))
    (source, near), (target, far) = ends
    if source is None or target is None:
        return
    own = _inner(found, link, spot.where, _LAYER_2, "l2-link-attributes")
    te = _inner(found, link, spot.where, _TE, "te")
    te = _inner(found, te, spot.where, _TE, "te-link-attributes")
    called = own.get("name")
    cable = _cable(found, spot, link, te)
    for key in link:
        if key.rpartition(":")[2] not in _OF_LINKS:
            found.note("attributes of links left out", key)
    found.add_link(
        FoundLink(
            source,
            target,
            spot,
            name=called if isinstance(called, str) else "",
            rate_bps=_rate_bps(found, spot, own, te),
            delay_ps=_whole_number(found, spot, own, "delay", _DELAY_HIGHEST, PS_PER_US),
            is_directed=True,
            ports=(near, far),
            cable=cable,
        )
    )


def _whole_number(
    found: FoundNetwork, spot: Spot, item: Mapping[str, Any], key: str, highest: int, scale: int
) -> int | None:
    """Read a whole number, which JSON may have as text (RFC 7951), in our units."""
    value = item.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not _WHOLE.fullmatch(str(value)) or int(value) > highest:
        found.fault(
            spot._replace(where=f"{spot.where}.{key}"),
            f"{describe(value)} is not a {key}; it is a whole number up to {highest:,}",
        )
        return None
    return int(value) * scale


def _rate_bps(
    found: FoundNetwork, spot: Spot, own: Mapping[str, Any], te: Mapping[str, Any]
) -> int | None:
    rate_bps = _whole_number(found, spot, own, "rate", RATE.highest // 1000, 1000)
    if rate_bps is not None:
        return rate_bps or None
    bandwidth = _inner(found, te, spot.where, _TE, "max-link-bandwidth")
    generic = _inner(found, bandwidth, spot.where, _TE, "te-bandwidth").get("generic")
    if generic is None:
        return None
    if not isinstance(generic, str) or not _FLOAT.fullmatch(generic):
        found.note("bandwidths of TE left out whose form does not say their unit", str(generic))
        return None
    exact = float.fromhex(generic) * 8
    if not 1 <= exact <= RATE.highest:
        found.fault(spot, f"{describe(generic)} is not a bandwidth of a link")
        return None
    return round(exact)


def _cable(found: FoundNetwork, spot: Spot, link: Mapping[str, Any], te: Mapping[str, Any]) -> str:
    """Return the one link that supports this one, or its one shared-risk group."""
    below = [one.get("link-ref") for _, one in _objects(found, link, spot.where, "supporting-link")]
    names = [unquote(one) for one in below if isinstance(one, str)]
    if not names:
        groups = _inner(found, te, spot.where, _TE, "te-srlgs").get("value")
        names = [f"srlg-{one}" for one in groups] if isinstance(groups, list) else []
    if len(names) > 1:
        found.note("links with several cables or risk groups, taken without", spot.where)
    return names[0] if len(names) == 1 else ""


def write(topology: Topology) -> Exported:
    """Write a topology as a network of Layer 2."""
    notes = Notes()
    list_unsaid(notes, topology, _SAYS)
    name = quote(plain_name(topology.title)) or "network"
    points: dict[str, list[dict[str, str]]] = defaultdict(list)
    links = []
    for wire in wires(topology):
        ends = [(quote(end), str(tp)) for end, tp in zip(wire.link.between, wire[1:], strict=True)]
        for end, (_, point) in zip(wire.link.between, ends, strict=True):
            points[end].append({"tp-id": point})
        links += _both(topology, wire.link, ends, f"{name}/{_CABLES}", notes)
    types: dict[str, Any] = {f"{_LAYER_2}:l2-topology": {}}
    if any(node.position is not None for node in topology.nodes):
        types[f"{_TE}:te-topology"] = {}
    network: dict[str, Any] = {
        "network-id": name,
        "network-types": types,
        f"{_LAYER_2}:l2-topology-attributes": {"name": topology.title},
        "node": [
            _node(node, number, points[node.name])
            for number, node in enumerate(topology.nodes, start=1)
        ],
        f"{_TOPOLOGY}:link": links,
    }
    networks = [network]
    cables = dict.fromkeys(link.cable for link in topology.links if link.cable is not None)
    if cables:
        network["supporting-network"] = [{"network-ref": f"{name}/{_CABLES}"}]
        below = [{"link-id": quote(cable)} for cable in cables]
        networks.append({"network-id": f"{name}/{_CABLES}", f"{_TOPOLOGY}:link": below})
    data = {"ietf-network:networks": {"network": networks}}
    return Exported(json.dumps(data, indent=1, ensure_ascii=False) + "\n", notes.listed)


def _node(node: Node, number: int, points: list[dict[str, str]]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "node-id": quote(node.name),
        f"{_LAYER_2}:l2-node-attributes": {"name": node.name},
        f"{_TOPOLOGY}:termination-point": points,
    }
    if node.position is not None:
        latitude, longitude = map(degrees, node.position)
        made[f"{_TE}:te-node-id"] = ".".join(map(str, number.to_bytes(4, "big")))
        made[f"{_TE}:te"] = {"geolocation": {"latitude": latitude, "longitude": longitude}}
    return made


def _both(
    topology: Topology, link: Link, ends: list[tuple[str, str]], cables: str, notes: Notes
) -> list[dict[str, Any]]:
    """Return a link for each direction of a wire."""
    example = link.name or "--".join(link.between)
    if link.delay_ps is None:
        notes.note("lengths written as delays, 4.9 us per km", example)
    if link.asymmetry_ps:
        notes.note("asymmetries written as delays of either direction", example)
    delays_ps = propagation_ps(link, topology.node_by_name)
    made = []
    for way in range(len(link.directions)):
        (source, source_tp), (target, target_tp) = ends if way == 0 else ends[::-1]
        attributes: dict[str, Any] = {"name": link.name} if link.name else {}
        attributes["rate"] = str(
            _whole(notes, link.rate_bps[way], 1000, "rates", "kbit/s", example)
        )
        delay_us = _whole(notes, delays_ps[way], PS_PER_US, "delays", "microseconds", example)
        if delay_us <= _DELAY_HIGHEST:
            attributes["delay"] = delay_us
        else:
            notes.note("delays left out that are more than 2^32 - 1 microseconds", example)
        one: dict[str, Any] = {
            "link-id": f"{source},{source_tp},{target},{target_tp}",
            "source": {"source-node": source, "source-tp": source_tp},
            "destination": {"dest-node": target, "dest-tp": target_tp},
        }
        if link.cable is not None:
            below = {"network-ref": cables, "link-ref": quote(link.cable)}
            one["supporting-link"] = [below]
        one[f"{_LAYER_2}:l2-link-attributes"] = attributes
        made.append(one)
    return made


def _whole(notes: Notes, amount: int, step: int, what: str, unit: str, example: str) -> int:
    """Return an amount in whole steps, the nearest; one that is none is noted."""
    whole, rest = divmod(amount, step)
    if rest:
        notes.note(f"{what} rounded to whole {unit}", example)
    return whole + (2 * rest >= step)
