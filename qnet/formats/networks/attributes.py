"""What attributes of graphs mean, in GraphML, GML and node-link JSON alike.

Of nodes: `label` or `name`; `Latitude` and `Longitude` in degrees, or `pos`, longitude first;
`hyperedge` 1; `Internal` 0; `type`. Of edges: `LinkSpeedRaw` in bit/s, `LinkSpeed` with
`LinkSpeedUnits` (the Internet Topology Zoo's); `capacity`, `bandwidth`, `bw` or `rate`, `length`,
`delay` or `latency`, each with its unit in the text. All others are left out, and listed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

from qnet.formats.networks.found import FoundLink, FoundNetwork, FoundNode, GivenUnit, Spot, place
from qnet.formats.networks.naming import plain_name
from qnet.formats.networks.nouns import ImportOptions
from qnet.model.fields import Position
from qnet.units import LENGTH, RATE, TIME, Dimension, UnitError, describe, parse

Attributes = Mapping[str, object]

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?"
)
_ZOO_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_LATITUDE, _LONGITUDE = ("latitude", "lat"), ("longitude", "lon", "lng", "long")
_CAPACITIES = ("capacity", "bandwidth", "bw", "rate")
_DELAYS = ("delay", "latency")
_OF_FORM = {"id", "key", "source", "target"}
"""What makes the graph, and needs no place of its own."""

_NO_PLACE = "attributes left out, for which qnet's files have no place"


def number(value: object) -> Fraction | None:
    """Read a number of a file, whole or decimal; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    return _number_of(str(value).strip())


@lru_cache(maxsize=1 << 12)
def _number_of(text: str) -> Fraction | None:
    match = _NUMBER.fullmatch(text)
    return None if match is None else Fraction(match.group())


class Reading:
    """The attributes of one node or edge; remembers which of them were of use."""

    def __init__(self, found: FoundNetwork, spot: Spot, attributes: Attributes) -> None:
        self.found = found
        self.spot = spot
        self._given = {name.lower(): (name, value) for name, value in attributes.items()}
        self._used = set(_OF_FORM)

    def take(self, *names: str) -> tuple[str, object] | None:
        """Return the first of several attributes that is there, as it is spelt, and its value."""
        self._used.update(names)
        return next((self._given[name] for name in names if name in self._given), None)

    def text(self, *names: str) -> str:
        """Return the first of several attributes as text."""
        taken = self.take(*names)
        return "" if taken is None or taken[1] is None else str(taken[1]).strip()

    def fault(self, name: str, message: str) -> None:
        """Report what is wrong with an attribute."""
        where = f"{self.spot.where}.{name}" if self.spot.where else name
        self.found.fault(self.spot._replace(where=where), message)

    def amount(self, *names: str) -> Fraction | None:
        """Return a number, or report that it is none; less than nothing is wrong for all."""
        taken = self.take(*names)
        if taken is None or taken[1] is None or taken[1] == "":
            return None
        read = number(taken[1])
        if read is None:
            self.fault(taken[0], f"{describe(taken[1])} is not a number")
        return read

    def quantity(self, dimension: Dimension, *names: str) -> int | None:
        """Return a quantity that has its unit; a number without one is left out, and listed."""
        taken = self.take(*names)
        if taken is None or taken[1] is None:
            return None
        if number(taken[1]) is not None:
            self.found.note("attributes left out, since they have no unit", taken[0])
            return None
        try:
            return parse(dimension, taken[1])
        except UnitError as error:
            self.fault(taken[0], str(error))
            return None

    def list_rest(self, of: str) -> None:
        """Note the attributes that nothing asked for."""
        for key, (name, _) in self._given.items():
            if key not in self._used:
                self.found.note(f"{of} {_NO_PLACE}", name)


def add_node(
    found: FoundNetwork, spot: Spot, key: str, attributes: Attributes, options: ImportOptions
) -> None:
    """Add a node by its attributes."""
    reading = Reading(found, spot, attributes)
    label = reading.text("label", "name")
    if label in ("None", "?"):
        label = ""
    kind = reading.text("type")
    role = "external" if reading.text("internal") in ("0", "0.0", "False") else plain_name(kind)
    found.add_node(
        FoundNode(
            key,
            label,
            spot,
            position=_position(reading, options),
            role=role or None,
            is_hyperedge=reading.text("hyperedge") in ("1", "1.0", "True", "true"),
        )
    )
    reading.list_rest("node")


def _position(reading: Reading, options: ImportOptions) -> Position | None:
    taken = reading.take("pos")
    if taken is not None and taken[1] is not None:
        pair = taken[1]
        degrees = [number(one) for one in pair] if isinstance(pair, (list, tuple)) else []
        if len(degrees) != 2 or degrees[0] is None or degrees[1] is None:
            words = f"{describe(pair)} is not a place; it has two numbers, longitude and latitude"
            reading.fault(taken[0], words)
            return None
        spot = reading.spot
        east, north = float(degrees[0]), float(degrees[1])
        return place(reading.found, spot, east, north, options, may_be_drawn=True)
    latitude, longitude = reading.amount(*_LATITUDE), reading.amount(*_LONGITUDE)
    if latitude is None or longitude is None:
        return None
    return place(reading.found, reading.spot, float(longitude), float(latitude), options)


def add_link(
    found: FoundNetwork,
    spot: Spot,
    ends: tuple[str, str],
    attributes: Attributes,
    *,
    unit: GivenUnit,
    is_directed: bool,
    straight: str | None = None,
) -> None:
    """Add an edge by its attributes; `straight` is the one with the distance of its ends in km."""
    if attributes.keys() <= _OF_FORM:  # of a million edges most say nothing more
        found.add_link(FoundLink(*ends, spot, is_directed=is_directed))
        return
    reading = Reading(found, spot, attributes)
    straight_mm = None
    if straight is not None:
        distance_km = reading.amount(straight)
        if distance_km is not None and distance_km < 0:
            reading.fault(straight, f"{float(distance_km):g} is not a distance; it is zero or more")
        elif distance_km is not None:
            straight_mm = round(distance_km * 10**6)
    status = reading.text("linkstatus")
    if status:
        found.note("edges with a status, taken like all others", status)
    length_mm = reading.quantity(LENGTH, "length")
    delay_ps = reading.quantity(TIME, *_DELAYS)
    if length_mm is not None and delay_ps is not None:
        found.note("delays left out, since there is a length", "--".join(ends))
        delay_ps = None
    found.add_link(
        FoundLink(
            *ends,
            spot,
            rate_bps=_rate_bps(reading, unit),
            length_mm=length_mm,
            straight_mm=straight_mm,
            delay_ps=delay_ps,
            is_directed=is_directed,
        )
    )
    reading.list_rest("edge")


def _rate_bps(reading: Reading, unit: GivenUnit) -> int | None:
    """Return the rate of an edge by what says it best; None where nothing does."""
    raw, speed = reading.take("linkspeedraw"), reading.take("linkspeed")
    units = reading.text("linkspeedunits")
    capacity = reading.take(*_CAPACITIES)
    if raw is not None:
        return _checked(reading, raw, 1)
    if speed is not None:
        return _speed_bps(reading, speed, units)
    amount = None if capacity is None else number(capacity[1])
    if capacity is None or amount is None:
        return reading.quantity(RATE, *_CAPACITIES)
    if amount < 0:
        return _checked(reading, capacity, 1)
    return unit.rate_bps(amount, "capacities") or None


def _speed_bps(reading: Reading, speed: tuple[str, object], units: str) -> int | None:
    read = number(speed[1])
    if read is None or (units not in _ZOO_UNITS and read >= 0):
        shown = f"'{str(speed[1])[:20]}{units and ' '}{units[:20]}'"
        reading.found.note("link speeds left out that are no number with a unit", shown)
        return None
    return _checked(reading, speed, _ZOO_UNITS.get(units, 1))


def _checked(reading: Reading, given: tuple[str, object], scale: int) -> int | None:
    """Return a rate in bits a second; nothing, or less, is no rate."""
    name, value = given
    read = number(value)
    if read is None or read < 0 or read * scale > RATE.highest:
        reading.fault(name, f"{describe(value)} is not a rate; it is more than zero, in bit/s")
        return None
    if not round(read * scale):
        reading.found.note("link speeds of nothing, taken as not known")
        return None
    return round(read * scale)
