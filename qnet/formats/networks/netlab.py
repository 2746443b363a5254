"""Topologies of netlab (netlab.tools), in and out.

Links are 'a-b', lists of nodes, or mappings with `interfaces` or with nodes as keys. Bandwidths are
in kbit/s, delays (`tc.delay`) in milliseconds; those of an interface go before those of its link,
and hold for what the node sends. What netlab has no words for is in an attribute of our own,
`qnet`, with the words of qnet's files. Groups of links, components and plugins are not followed:
'netlab create -o json=FILE' writes what they come to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from qnet.files.tree import Branch
from qnet.files.words import dump_yaml
from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import number
from qnet.formats.networks.found import FoundLink, FoundNetwork, FoundNode, Spot
from qnet.formats.networks.naming import is_name
from qnet.formats.networks.notes import Notes
from qnet.formats.networks.nouns import Exported, Imported, ImportOptions
from qnet.formats.networks.own_words import Words, own_words, read_link, read_node
from qnet.formats.networks.texts import elements, items, open_all, part, read_yaml, spot_of
from qnet.formats.networks.writing import (
    OWN_WORDS,
    WrittenWire,
    link_words,
    list_unsaid,
    names_within,
    wires,
    word_of_title,
)
from qnet.model.fields import BothWays
from qnet.model.topology import Node, Topology, propagation_ps
from qnet.units import PPB, PS_PER_MS, PS_PER_S, PS_PER_US, RATE, TIME, describe

_OURS = "qnet"
_RESERVED = {"host", "macvlan", "ipvlan"}
_NODES_HIGHEST = 150
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s)")
_OF_FORM = {"interfaces", "type", "linkindex", "node_count", "name", "bandwidth", "tc", _OURS}
_NO_LINKS = {"stub", "loopback", "tunnel", "vlan_member"}
_EXPAND = "import what 'netlab create -o json=FILE' writes"


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read a topology. Raises InputError with all its faults."""
    source, raw = open_all(files)[0]
    root = read_yaml(source, raw)
    found = FoundNetwork(Path(files[0]).stem, source)
    ours = part(found, part(found, root, "defaults", "", needed=False), _OURS, "", needed=False)
    for title in (ours.child("title"), root.child("name")):
        if title is not None and isinstance(title.content, str):
            found.title = title.content
            break
    listed = root.child("nodes")
    if listed is not None and isinstance(listed.content, list):
        for one in listed.content:
            _add_node(found, str(one.value()), Branch(one.line, one.column, {}))
    else:
        for name, node in items(part(found, root, "nodes", "")):
            _add_node(found, name, node)
    links = root.child("links")
    if links is not None and isinstance(links.content, dict):
        found.stop(spot_of(links, "links"), f"groups of links are not read; {_EXPAND}")
    for index, link in enumerate(elements(found, root, "links", "links")):
        _add_link(found, f"links[{index}]", link)
    return assemble(found, options)


def _add_node(found: FoundNetwork, name: str, node: Branch) -> None:
    where = f"nodes.{name}"
    if not isinstance(node.content, dict) and node.value() is not None:
        found.fault(spot_of(node, where), f"{describe(node.value())}, not a mapping")
        return
    own = read_node(found, _words(found, node, where))
    for key, _ in items(node):
        if key.partition(".")[0] not in (_OURS, "name", "role", "id", "interfaces"):
            found.note("settings of nodes left out", key)
    role = node.child("role")
    label = own.name if own.name is not None else name
    found.add_node(
        FoundNode(
            name,
            label,
            spot_of(node, where),
            own.position,
            is_host=role is not None and role.value() == "host",
            is_named=is_name(label),
            own=own.rest or None,
        )
    )


def _words(found: FoundNetwork, holder: Branch, where: str) -> dict[str, tuple[Spot, object]]:
    """Return what stands in an attribute of our own."""
    ours = part(found, holder, _OURS, where, needed=False)
    return {key: (spot_of(one, f"{where}.{_OURS}.{key}"), one.value()) for key, one in items(ours)}


class _End(NamedTuple):
    """The interface of a link at a node."""

    node: str
    branch: Branch
    where: str


def _add_link(found: FoundNetwork, where: str, link: Branch) -> None:
    spot = spot_of(link, where)
    ends = _ends(found, where, link)
    if ends is None:
        return
    kind, disabled = link.child("type"), link.child("disable")
    left_out = None
    if kind is not None and kind.value() in _NO_LINKS:
        left_out = f"of type '{kind.value()}'"
    elif disabled is not None and disabled.value() is True:
        left_out = "that are disabled"
    elif len(ends) < 2:
        left_out = "of one node"
    if left_out is not None:
        found.leave_out(f"links {left_out} left out", where)
        return
    for key, one in items(link):
        if key.partition(".")[0] not in _OF_FORM and one not in [end.branch for end in ends]:
            found.note("settings of links left out", key)
    words: dict[str, tuple[Spot, object]] = _words(found, link, where)
    name = link.child("name")
    if name is not None and "name" not in words and isinstance(name.content, str):
        words["name"] = (spot_of(name, f"{where}.name"), name.content)
    if len(ends) == 2:
        _add_wire(found, spot, link, ends, words)
        return
    bus = f"({where})"
    found.add_node(FoundNode(bus, where, spot, is_hyperedge=True))
    if words:
        found.note("what is said of a link of more than two nodes left out", where)
    for end in ends:
        _add_wire(found, spot, link, [end, _End(bus, Branch(0, 0, {}), where)], {})


def _ends(found: FoundNetwork, where: str, link: Branch) -> list[_End] | None:
    """Return the nodes of a link, however they are written; None where that is wrong."""
    content = link.content
    nothing = Branch(link.line, link.column, {})
    if isinstance(content, str):
        return [_End(name.strip(), nothing, where) for name in content.split("-")]
    if isinstance(content, dict) and "interfaces" in content:
        at = f"{where}.interfaces"
        return _listed(found, at, elements(found, link, "interfaces", at), nothing)
    if isinstance(content, dict):
        if "members" in content or "group" in content:
            found.fault(spot_of(link, where), f"groups of links are not read; {_EXPAND}")
            return None
        named = [(key, one) for key, one in content.items() if key in found.nodes]
        return [_End(key, one, f"{where}.{key}") for key, one in named]
    return _listed(found, where, content, nothing)


def _listed(
    found: FoundNetwork, where: str, listed: list[Branch], nothing: Branch
) -> list[_End] | None:
    ends = []
    for index, one in enumerate(listed):
        value = one.value()
        if isinstance(value, str):
            ends.append(_End(value, nothing, where))
        elif isinstance(value, dict) and isinstance(value.get("node"), str):
            ends.append(_End(value["node"], one, f"{where}[{index}]"))
        else:
            what = f"{describe(value)}; an interface has a 'node'"
            found.fault(spot_of(one, f"{where}[{index}]"), what)
            return None
    return ends


def _add_wire(
    found: FoundNetwork, spot: Spot, link: Branch, ends: list[_End], words: Words
) -> None:
    common = _amounts(found, link, spot.where)
    given = [{**common, **_amounts(found, end.branch, end.where)} for end in ends]
    fields = read_link(found, words)
    if fields["rate_bps"] is None:
        fields["rate_bps"] = _both(found, given, "bandwidth", spot) or _both(
            found, given, "rate", spot
        )
    if fields["length_mm"] is None and fields["delay_ps"] is None:
        fields["delay_ps"] = _both(found, given, "delay", spot)
    if "loss" not in words:
        loss = _both(found, given, "loss", spot)
        if loss is not None:
            fields["own"] = {**(fields["own"] or {}), "loss": [f"{one}ppb" for one in loss]}
    ports = ("one-way", "")  # no other link leads back
    found.add_link(FoundLink(ends[0].node, ends[1].node, spot, ports=ports, **fields))


def _both(
    found: FoundNetwork, given: Sequence[Mapping[str, int]], key: str, spot: Spot
) -> BothWays | None:
    """Return what both ends say, or one of them for both directions."""
    there, back = (one.get(key) for one in given)
    if there is None and back is None:
        return None
    if there is None or back is None:
        found.note(f"{key} of one interface taken for both", spot.where)
        return BothWays(*[there if there is not None else back or 0] * 2)
    return BothWays(there, back)


def _amounts(found: FoundNetwork, holder: Branch, where: str) -> dict[str, int]:
    """Return bandwidth and `tc` of a link or an interface, in our units."""
    made: dict[str, int] = {}
    bandwidth = holder.child("bandwidth")
    if bandwidth is not None:
        _take(found, made, "bandwidth", f"{where}.bandwidth", bandwidth)
    for key, one in _under(found, holder, "tc", where).items():
        if key in _TC:
            _take(found, made, key, f"{where}.tc.{key}", one)
        else:
            found.note("traffic control other than delay, loss and rate left out", key)
    return made


def _under(found: FoundNetwork, holder: Branch, key: str, where: str) -> dict[str, Branch]:
    """Return what is in a mapping, or under keys with a dot, such as `tc.delay`."""
    made = dict(items(part(found, holder, key, where, needed=False)))
    dotted = f"{key}."
    return made | {
        name.removeprefix(dotted): one for name, one in items(holder) if name.startswith(dotted)
    }


class _Measure(NamedTuple):
    """How an amount of netlab's is read: its unit, and what is more than it may be."""

    scale: int
    highest: int
    what: str
    least: int = 0


_KBPS = _Measure(1000, RATE.highest, "rate; it is more than zero, in kbit/s", 1)
_TC = {
    "rate": _KBPS,
    "delay": _Measure(PS_PER_MS, TIME.highest, "delay; it is in ms, or like '1.5s'"),
    "loss": _Measure(PPB // 100, PPB, "loss; it is from 0 to 100 percent"),
}


def _take(found: FoundNetwork, made: dict[str, int], key: str, where: str, one: Branch) -> None:
    """Read an amount into whole units of ours, or report that it is none."""
    measure = _TC.get(key, _KBPS)
    value = one.value()
    timed = _TIME.fullmatch(value) if key == "delay" and isinstance(value, str) else None
    if timed is not None:
        read: Fraction | None = Fraction(timed[1]) * (PS_PER_S // PS_PER_MS) ** (timed[2] == "s")
    else:
        read = number(value)
    amount = None if read is None else round(read * measure.scale)
    if amount is None or not measure.least <= amount <= measure.highest:
        found.fault(spot_of(one, where), f"{describe(value)} is not a {measure.what}")
    else:
        made[key] = amount


def write(topology: Topology) -> Exported:
    """Write a topology; switches are bridges, for which any device can be put."""
    notes = Notes()
    list_unsaid(notes, topology, OWN_WORDS)
    names = names_within(topology, "[A-Za-z0-9_-]", 16, _RESERVED)
    what = "nodes written as Linux bridges and hosts; put your devices there"
    notes.note(what, count=len(topology.nodes))
    if len(topology.nodes) > _NODES_HIGHEST:
        what = f"nodes beyond the {_NODES_HIGHEST} that netlab takes, written all the same"
        notes.note(what, count=len(topology.nodes) - _NODES_HIGHEST)
    data = {
        "name": word_of_title(topology, "[A-Za-z0-9_]", 16).replace("-", "_"),
        "provider": "clab",
        "defaults": {
            "device": "linux",
            "attributes": {kind: {_OURS: "dict"} for kind in ("node", "link", "interface")},
            _OURS: {"title": topology.title},
        },
        "nodes": {names[node.name]: _node(node, names[node.name]) for node in topology.nodes},
        "links": [_link(notes, topology, wire, names) for wire in wires(topology)],
    }
    return Exported(dump_yaml(data), notes.listed)


def _node(node: Node, name: str) -> dict[str, Any]:
    words = own_words(node)
    words.pop("kind", None)
    if name == node.name:
        del words["name"]
    made: dict[str, Any] = {"role": "host" if node.is_host else "bridge"}
    return {**made, _OURS: words} if words else made


def _link(
    notes: Notes, topology: Topology, wire: WrittenWire, names: Mapping[str, str]
) -> dict[str, Any]:
    """Return a link: the exact words, and beside them what netlab acts on."""
    link = wire.link
    example = link.name or "--".join(link.between)
    delays_ps = propagation_ps(link, topology.node_by_name)
    rates_kbps = [rate // 1000 for rate in link.rate_bps]
    ends: list[dict[str, Any]] = [{"node": names[end]} for end in link.between]
    made: dict[str, Any] = {"interfaces": ends, _OURS: link_words(notes, topology, link)}
    if not all(rates_kbps):
        notes.note("rates below 1 kbit/s, which are no bandwidth of netlab's", example)
    elif rates_kbps[0] == rates_kbps[1]:
        made["bandwidth"] = rates_kbps[0]
    else:
        for end, rate_kbps in zip(ends, rates_kbps, strict=True):
            end["bandwidth"] = rate_kbps
    if delays_ps.there != delays_ps.back:
        notes.note("delays by direction left out of 'tc', which bridges have once a link", example)
    elif delays_ps.there >= PS_PER_US:
        made["tc"] = {"delay": delays_ps.there // PS_PER_US / 1000}
    if any(rate % 1000 for rate in link.rate_bps) or any(one % PS_PER_US for one in delays_ps):
        what = "bandwidths and delays cut to whole kbit/s and microseconds for netlab"
        notes.note(what, example)
    return made
