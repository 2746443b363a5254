"""Network topologies as controllers speak them: RFC 8345 with RFC 8944, in JSON (RFC 7951).

A network has nodes with termination points and links, and each link leads one way; the way back is
a link between the same termination points. RFC 8944 (Layer 2) has the rate in kbit/s and the delay
in whole microseconds. Links of one cable are supported by one link of a network of cables.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any
from urllib.parse import quote

from qnet.formats.networks.naming import plain_name
from qnet.formats.networks.notes import Notes
from qnet.formats.networks.nouns import Exported
from qnet.formats.networks.writing import Says, list_unsaid, wires
from qnet.model.topology import Link, Topology, propagation_ps
from qnet.units import PS_PER_US

_TOPOLOGY = "ietf-network-topology"
_LAYER_2 = "ietf-l2-topology"
_CABLES = "cables"
_DELAY_HIGHEST = 2**32 - 1
_SAYS = Says(link=Says().link | {"rate", "length", "delay", "asymmetry", "cable"})


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
    network: dict[str, Any] = {
        "network-id": name,
        "network-types": {f"{_LAYER_2}:l2-topology": {}},
        f"{_LAYER_2}:l2-topology-attributes": {"name": topology.title},
        "node": [
            {
                "node-id": quote(node.name),
                f"{_LAYER_2}:l2-node-attributes": {"name": node.name},
                f"{_TOPOLOGY}:termination-point": points[node.name],
            }
            for node in topology.nodes
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
