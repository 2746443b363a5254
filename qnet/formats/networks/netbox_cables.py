"""Cables of NetBox to links: over panels, whose ports of one name are joined, from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from qnet.files.tree import Source
from qnet.formats.networks.found import FoundLink, FoundNetwork, FoundNode, Spot
from qnet.formats.networks.naming import plain_name
from qnet.model.fields import Position
from qnet.units import describe

INTERFACE = "interface"
PANEL_PORTS = {"frontport": "rearport", "rearport": "frontport"}
"""Either side of a patch panel, and the other one."""


class Device(NamedTuple):
    """A device, and the name of the site that it is at."""

    name: str
    site: str
    role: str
    position: Position | None
    spot: Spot
    source: Source


class CableEnd(NamedTuple):
    """Where a cable ends; `device` is the key of one."""

    device: str
    kind: str
    name: str


@dataclass(frozen=True, eq=False)
class Cable:
    """A cable between two ends."""

    near: CableEnd
    far: CableEnd
    length_mm: int | None
    spot: Spot
    source: Source

    @property
    def ends(self) -> tuple[CableEnd, CableEnd]:
        """Both of its ends."""
        return self.near, self.far


class Book:
    """All that the files of NetBox say, before it is a network."""

    def __init__(self, found: FoundNetwork) -> None:
        self.found = found
        self.sites: dict[str, Position | None] = {}
        self.devices: dict[str, Device] = {}
        self.rates_bps: dict[tuple[str, str], int | None] = {}
        self._cables: list[Cable] = []
        self._at: dict[CableEnd, Cable] = {}

    def add_device(self, key: str, device: Device) -> None:
        """Add a device; its key stands for no other."""
        if key in self.devices:
            words = f"device {describe(key)} again; it is there already"
            self.found.fault(device.spot, words, device.source)
        self.devices.setdefault(key, device)

    def add_cable(self, cable: Cable) -> None:
        """Add a cable; at each end there is no other."""
        self._cables.append(cable)
        for end in cable.ends:
            other = self._at.setdefault(end, cable)
            if other is not cable:
                line = other.spot.line
                words = f"{end.device} {end.name} has a cable already, that of line {line}"
                self.found.fault(cable.spot, words, cable.source)

    def add_to_network(self) -> None:
        """Add the nodes and links. Raises InputError where the files have faults."""
        has_table = bool(self.devices)
        for cable in self._cables:
            for key in dict.fromkeys(end.device for end in cable.ends):
                if key not in self.devices and has_table:
                    self.found.fault(cable.spot, f"no device {describe(key)}", cable.source)
                elif key not in self.devices:
                    self.devices[key] = Device(key, "", "", None, cable.spot, cable.source)
                    self.found.note("devices known by their cables only", key)
        self.found.refuse_faults()
        panels = self._panels()
        for key, device in self.devices.items():
            if key in panels:
                self.found.note("devices that are panels, folded into links", device.name)
            else:
                self._add_node(key, device)
        self._add_links()

    def _panels(self) -> set[str]:
        """Return the devices that have cables, and none of them at an interface."""
        kinds: dict[str, set[str]] = {}
        for cable in self._cables:
            for end in cable.ends:
                kinds.setdefault(end.device, set()).add(end.kind)
        return {key for key, of in kinds.items() if INTERFACE not in of}

    def _add_node(self, key: str, device: Device) -> None:
        position = device.position or self.sites.get(device.site)
        if device.site and position is None:
            what = "nodes whose site has no place, or is not in a table of sites"
            self.found.note(what, device.site)
        role, site = (plain_name(label) or None for label in (device.role, device.site))
        self.found.add_node(FoundNode(key, device.name, device.spot, position, role, site))

    def _add_links(self) -> None:
        done: set[Cable] = set()
        for cable in self._cables:
            for start in cable.ends:
                if cable in done or start.kind != INTERFACE:
                    continue
                line = list(self._line(start))
                done.update(one for one, _ in line)
                last = line[-1][1]
                if last.kind != INTERFACE:
                    what = "cables that end at a port of a panel left out"
                    self.found.leave_out(what, f"{last.device} {last.name}", len(line))
                else:
                    self._add_link(start, last, [one for one, _ in line])
        for cable in self._cables:
            if cable not in done:
                what = "cables of panels that lead to no interface left out"
                self.found.leave_out(what, f"{cable.near.device} {cable.near.name}")

    def _line(self, start: CableEnd) -> Iterator[tuple[Cable, CableEnd]]:
        """Yield the cables from an interface on, each with its far end."""
        at = start
        while True:
            cable = self._at[at]
            at = cable.far if cable.near == at else cable.near
            yield cable, at
            if at.kind == INTERFACE:
                return
            behind = CableEnd(at.device, PANEL_PORTS[at.kind], at.name)
            if behind not in self._at:
                return
            at = behind

    def _add_link(self, near: CableEnd, far: CableEnd, line: list[Cable]) -> None:
        if len(line) > 1:
            what = "cables over panels, front and rear ports of one name joined, part of their link"
            self.found.leave_out(what, f"{near.device} {near.name}", len(line) - 1)
        lengths = [cable.length_mm for cable in line if cable.length_mm is not None]
        if len(lengths) not in (0, len(line)):
            self.found.note("lengths left out, since not all cables on the way have one")
        rates = [
            self.rates_bps.get((self.devices[end.device].name, end.name)) for end in (near, far)
        ]
        known = {rate for rate in rates if rate is not None}
        if len(known) > 1:
            what = "links between interfaces of two rates, taken at the lower one"
            self.found.note(what, f"{near.device} {near.name}")
        self.found.add_link(
            FoundLink(
                near.device,
                far.device,
                line[0].spot,
                name="-".join(f"{self.devices[end.device].name}.{end.name}" for end in (near, far)),
                rate_bps=min(known, default=None),
                length_mm=sum(lengths) if len(lengths) == len(line) else None,
            )
        )
