"""Devices and cables of NetBox, as its CSV tables have them, and as nrx exports them (`.cyjs`).

Tables are those that NetBox takes in bulk, told apart by their headings: cables (`side_a_device`,
`side_a_type`, `side_a_name` and those of side b, `length`, `length_unit`), devices (`name`, `site`,
`role`), interfaces (`device`, `name`, `type`, `speed` in kbit/s), sites (`name`, `slug`,
`latitude`, `longitude`). nrx (netreplica/nrx) writes a graph of devices and their interfaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from qnet.files.tree import Source
from qnet.formats.networks.assemble import assemble
from qnet.formats.networks.attributes import number
from qnet.formats.networks.cells import Row, headed
from qnet.formats.networks.found import FoundNetwork, Spot, place
from qnet.formats.networks.json_objects import Item, Objects, below, mapping
from qnet.formats.networks.netbox_cables import (
    INTERFACE,
    PANEL_PORTS,
    Book,
    Cable,
    CableEnd,
    Device,
)
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import decode, open_all
from qnet.model.fields import Position
from qnet.units import LENGTH, RATE, describe

_UNITS_MM = {
    "km": Fraction(10**6),
    "m": Fraction(1000),
    "cm": Fraction(10),
    "mi": Fraction(1_609_344),
    "ft": Fraction("304.8"),
    "in": Fraction("25.4"),
}
_SIDES = [f"side_{side}_{what}" for side in "ab" for what in ("device", "type", "name")]
_PHY = re.compile(r"([0-9]{1,4}(?:\.[0-9])?)([gt]?)base-.*")
_PHY_BPS = {"": 10**6, "g": 10**9, "t": 10**12}
_TABLES = (
    "cables (side_a_device ...), devices (name, site), interfaces (device, name), sites (slug)"
)


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read files of NetBox's, in any order. Raises InputError with all their faults."""
    opened = open_all(files)
    found = FoundNetwork(Path(files[0]).stem, *(source for source, _ in opened))
    book = Book(found)
    for source, raw in opened:
        if raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
            _add_graph(book, source, raw, options)
        else:
            _add_table(book, source, decode(source, raw), options)
    book.add_to_network()
    return assemble(found, options)


# Tables


def _add_table(book: Book, source: Source, text: str, options: ImportOptions) -> None:
    names, table = headed(book.found, source, text)
    if set(_SIDES) <= set(names):
        used = {*_SIDES, "length", "length_unit", "status"}
        for spot, row in table:
            _add_cable(book, source, spot, row)
            _list_rest(book.found, "cables", row, used)
    elif {"device", "name"} <= set(names):
        for spot, row in table:
            _add_interface(book, source, spot, row)
            _list_rest(book.found, "interfaces", row, {"device", "name", "type", "speed"})
    elif {"name", "slug"} <= set(names) and "device_type" not in names:
        for spot, row in table:
            name = row["name"].text
            if name in book.sites:
                book.found.fault(spot, f"site {describe(name)} again", source)
            book.sites[name] = _position(book.found, source, spot, row, options)
            _list_rest(book.found, "sites", row, {"name", "slug", "latitude", "longitude"})
    elif {"name", "site"} <= set(names):
        used = {"name", "site", "role", "device_role", "latitude", "longitude"}
        for spot, row in table:
            _add_device(book, source, spot, row, options)
            _list_rest(book.found, "devices", row, used)
    else:
        words = f"headings of no table that is read; there are {_TABLES}"
        book.found.fault(Spot(1, 1), words, source)


def _list_rest(found: FoundNetwork, of: str, row: Row, used: Iterable[str]) -> None:
    for name, cell in row.items():
        if name not in used and cell.text:
            found.note(f"columns of {of} left out, for which qnet's files have no place", name)


def _text(row: Row, name: str) -> str:
    return row[name].text if name in row else ""


def _position(
    found: FoundNetwork, source: Source, spot: Spot, row: Row, options: ImportOptions
) -> Position | None:
    given = [_text(row, name) for name in ("longitude", "latitude")]
    if not any(given):
        return None
    east, north = (number(one) for one in given)
    if east is None or north is None:
        words = f"latitude {describe(given[1])} and longitude {describe(given[0])} are no numbers"
        found.fault(spot, words, source)
        return None
    return place(found, spot, float(east), float(north), options, source=source)


def _add_device(book: Book, source: Source, spot: Spot, row: Row, options: ImportOptions) -> None:
    name = row["name"].text
    if not name:
        book.found.note("devices without a name left out")
        return
    position = _position(book.found, source, spot, row, options)
    role = _text(row, "role") or _text(row, "device_role")
    book.add_device(name, Device(name, row["site"].text, role, position, spot, source))


def _add_interface(book: Book, source: Source, spot: Spot, row: Row) -> None:
    key = row["device"].text, row["name"].text
    speed, kind = _text(row, "speed"), _text(row, "type").lower()
    rate_bps = None
    phy = _PHY.fullmatch(kind)
    if speed:
        read = number(speed)
        if read is None or not 0 < read * 1000 <= RATE.highest:
            words = f"{describe(speed)} is not a speed; it is more than zero, in kbit/s"
            book.found.fault(row["speed"].spot._replace(where=" ".join(key)), words, source)
        else:
            rate_bps = round(read * 1000)
    elif phy is not None:
        rate_bps = round(Fraction(phy[1]) * _PHY_BPS[phy[2]])
        book.found.note("rates of interfaces taken from their types", kind)
    if key in book.rates_bps:
        book.found.fault(spot, f"interface {' '.join(key)} again", source)
    book.rates_bps[key] = rate_bps


def _add_cable(book: Book, source: Source, spot: Spot, row: Row) -> None:
    ends = []
    for side in "ab":
        device, kind, name = (row[f"side_{side}_{what}"] for what in ("device", "type", "name"))
        ends.append(CableEnd(device.text, kind.text.lower().removeprefix("dcim."), name.text))
        for cell, what in ((device, "device"), (name, "name")):
            if not cell.text:
                book.found.fault(cell.spot, f"no {what} on side {side}", source)
    status = _text(row, "status")
    if status and status != "connected":
        book.found.note("cables with a status, taken like all others", status)
    length_mm = _length_mm(book.found, source, row)
    if all(end.kind in (INTERFACE, *PANEL_PORTS) for end in ends):
        book.add_cable(Cable(ends[0], ends[1], length_mm, spot, source))
    else:
        other = next(end.kind for end in ends if end.kind not in (INTERFACE, *PANEL_PORTS))
        book.found.leave_out("cables of other things than interfaces left out", other)


def _length_mm(found: FoundNetwork, source: Source, row: Row) -> int | None:
    length, unit = _text(row, "length"), _text(row, "length_unit")
    if not length:
        return None
    read = number(length)
    if read is None or read < 0:
        words = f"{describe(length)} is not a length; it is zero or more"
        found.fault(row["length"].spot, words, source)
    elif unit not in _UNITS_MM:
        shown = f"{describe(unit)} is no unit of length" if unit else "a length without its unit"
        words = f"{shown}; 'length_unit' is one of {', '.join(_UNITS_MM)}"
        found.fault(row["length"].spot, words, source)
    elif read * _UNITS_MM[unit] > LENGTH.highest:
        found.fault(row["length"].spot, f"{describe(length)} is longer than any cable", source)
    else:
        return round(read * _UNITS_MM[unit])
    return None


# Graphs of nrx


def _add_graph(book: Book, source: Source, raw: bytes, options: ImportOptions) -> None:
    """Add the devices of a graph; its interfaces are nodes, too, beside their devices."""
    found = book.found
    objects = Objects(found, source, raw, "'elements', as nrx writes it")
    interfaces: dict[str, str] = {}
    for spot, item in objects.list_of("elements", "nodes"):
        _add_node(book, interfaces, source, spot, item, options)
    edges = [
        _edge(found, source, spot, item) for spot, item in objects.list_of("elements", "edges")
    ]
    owners: dict[str, str] = {}
    for spot, *ends in edges:
        for end in ends:
            if end and end not in interfaces and end not in book.devices:
                found.fault(spot, f"no node {describe(end)}", source)
        for near, far in (ends, ends[::-1]):
            if near in book.devices and far in interfaces:
                owners[far] = near
                found.leave_out(
                    "edges between a device and its interface left out", interfaces[far]
                )
        if all(end in book.devices for end in ends):
            found.leave_out("edges between two devices without interfaces left out", ends[0])
    for spot, *ends in edges:
        if all(end in interfaces for end in ends):
            _add_wire(book, interfaces, owners, source, spot, ends)


def _add_node(
    book: Book,
    interfaces: dict[str, str],
    source: Source,
    spot: Spot,
    item: Item,
    options: ImportOptions,
) -> None:
    found = book.found
    data = mapping(found, spot, item, "data")
    key, kind = data.get("id"), data.get("type")
    if not isinstance(key, str) or kind not in ("device", "interface"):
        words = "no 'id', or no 'type' of device or interface"
        found.fault(below(spot, "data"), words, source)
        return
    noun = mapping(found, spot, data, kind)
    name = noun.get("name")
    if not isinstance(name, str) or not name:
        found.fault(below(spot, f"data.{kind}"), "no 'name'", source)
    elif key in interfaces or key in book.devices:
        found.fault(spot, f"node {describe(key)} again", source)
    elif kind == "interface":
        interfaces[key] = name
    else:
        book.add_device(key, _device(found, source, spot, name, noun, options))


def _add_wire(
    book: Book,
    interfaces: dict[str, str],
    owners: dict[str, str],
    source: Source,
    spot: Spot,
    ends: Sequence[str],
) -> None:
    missing = [interfaces[end] for end in ends if end not in owners]
    if missing:
        words = f"interface {describe(missing[0])} is of no device"
        book.found.fault(spot, words, source)
    else:
        near, far = (CableEnd(owners[end], INTERFACE, interfaces[end]) for end in ends)
        book.add_cable(Cable(near, far, None, spot, source))


def _edge(found: FoundNetwork, source: Source, spot: Spot, item: Item) -> tuple[Spot, str, str]:
    data = mapping(found, spot, item, "data")
    ends = [data.get("source"), data.get("target")]
    shown = [str(end) if isinstance(end, (str, int)) else "" for end in ends]
    if "" in shown:
        found.fault(below(spot, "data"), "an edge has 'source' and 'target'", source)
    return spot, shown[0], shown[1]


def _device(
    found: FoundNetwork, source: Source, spot: Spot, name: str, noun: Item, options: ImportOptions
) -> Device:
    given = [noun.get("longitude"), noun.get("latitude")]
    position = None
    if given != [None, None]:
        east, north = (number(one) for one in given)
        if east is None or north is None:
            words = f"latitude {describe(given[1])} and longitude {describe(given[0])}, no numbers"
            found.fault(below(spot, "data.device"), words, source)
        else:
            position = place(found, spot, float(east), float(north), options, source=source)
    site, role = (str(noun.get(key) or "") for key in ("site", "role"))
    for key, value in noun.items():
        if key not in ("name", "site", "role", "latitude", "longitude") and value:
            found.note("attributes of devices left out, for which qnet's files have no place", key)
    return Device(name, site, role, position, spot, source)
