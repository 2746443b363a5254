"""SNDlib's XML: the same as its native format, but that it says of what kind coordinates are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from qnet.formats.networks.attributes import number
from qnet.formats.networks.found import FoundNetwork
from qnet.formats.networks.nouns import ImportOptions
from qnet.formats.networks.sndlib.nouns import SndDemand, SndLink, SndNetwork
from qnet.formats.networks.texts import Element, read_xml
from qnet.formats.networks.tokens import Token
from qnet.units import describe


def read_tree(
    found: FoundNetwork, raw: bytes, options: ImportOptions
) -> tuple[ImportOptions, SndNetwork]:
    """Read a network, and what it says about its coordinates."""
    root = read_xml(found.source, raw, "network")
    made = SndNetwork()
    structure = root.first("networkStructure")
    if structure is None:
        found.stop(root.spot, "no 'networkStructure' in it")
    meta = root.first("meta")
    for entry in meta.children if meta is not None else ():
        if entry.tag == "unit":
            made.unit = entry.text
        else:
            found.note("entries of META left out", entry.tag)
    for nodes in structure.of("nodes"):
        if nodes.attributes.get("coordinatesType") == "pixel":
            options = replace(options, coordinates="drawing")
        for node in nodes.of("node"):
            place = node.first("coordinates")
            x, y = (
                (None, None) if place is None else (_of(found, place, "x"), _of(found, place, "y"))
            )
            made.nodes.append((_name(found, node), x, y))
    for links in structure.of("links"):
        made.links += [_link(found, link) for link in links.of("link")]
    for demands in root.of("demands"):
        made.demands += [_demand(found, demand) for demand in demands.of("demand")]
    return options, made


def _name(found: FoundNetwork, element: Element) -> Token:
    name = element.attributes.get("id", "")
    if not name:
        found.fault(element.spot, f"a {element.tag} without 'id'")
    return Token(name, element.spot)


def _ends(found: FoundNetwork, element: Element) -> tuple[str, str]:
    ends = []
    for tag in ("source", "target"):
        child = element.first(tag)
        if child is None or not child.text:
            found.fault(element.spot, f"a {element.tag} without '{tag}'")
        ends.append("" if child is None else child.text)
    return ends[0], ends[1]


def _of(found: FoundNetwork, element: Element, tag: str) -> Fraction | None:
    """Read the number in a child; None where there is no such child."""
    child = element.first(tag)
    if child is None:
        return None
    read = number(child.text)
    if read is None:
        found.fault(child.spot, f"{describe(child.text)} is not a number")
    return read


def _amount(found: FoundNetwork, element: Element | None, tag: str, missing: int = 0) -> Fraction:
    """Read a number that is zero or more."""
    read = None if element is None else _of(found, element, tag)
    if element is None or read is None:
        return Fraction(missing)
    if read < 0:
        child = element.first(tag)
        assert child is not None
        words = f"{describe(child.text)} is less than nothing; it is zero or more"
        found.fault(child.spot, words)
    return read


def _link(found: FoundNetwork, element: Element) -> SndLink:
    installed = _amount(found, element.first("preInstalledModule"), "capacity")
    modules = [
        _amount(found, module, "capacity")
        for group in element.of("additionalModules")
        for module in group.of("addModule")
    ]
    for tag in ("routingCost", "setupCost"):
        if _amount(found, element, tag):
            found.note("costs left out", f"of {tag.removesuffix('Cost')}")
    if modules:
        found.note("costs left out", "of modules", count=len(modules))
    return SndLink(_name(found, element), _ends(found, element), installed, modules)


def _demand(found: FoundNetwork, element: Element) -> SndDemand:
    amount = _amount(found, element, "routingUnit", 1) * _amount(found, element, "demandValue")
    if element.first("maxPathLength") is not None:
        name = element.attributes.get("id", "")
        found.note("longest paths of demands left out", name, of_demands=True)
    if element.first("admissiblePaths") is not None:
        found.note("lists of admissible paths left out", of_demands=True)
    return SndDemand(_name(found, element), _ends(found, element), amount)
