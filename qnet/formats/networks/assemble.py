"""What was found in a file to a topology and a profile, the same way for every format."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from math import asin, cos, radians, sin, sqrt
from typing import NamedTuple

from pydantic import ValidationError

from qnet.errors import InputError
from qnet.files.consistency import Draft, check_topology
from qnet.files.tree import Source, printable
from qnet.formats.networks.found import (
    LINKS_READ,
    NOWHERE,
    FoundLink,
    FoundNetwork,
    OwnWords,
    Spot,
)
from qnet.formats.networks.hyperedges import settle_hyperedges
from qnet.formats.networks.naming import (
    FreeNames,
    give_cable_names,
    give_link_names,
    give_names,
)
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.model.fields import BothWays, Position
from qnet.model.topology import EARTH_RADIUS_M, Link, Node, Topology
from qnet.model.traffic import Demand, Profile
from qnet.units import LENGTH, RATE, describe, format_quantity

TOPOLOGY = "topology"
"""Name of the topology's file, by which the traffic file calls it."""

_NAME_HIGHEST = 63
_TITLE_HIGHEST = 200


def assemble(found: FoundNetwork, options: ImportOptions) -> Imported:
    """Make qnet's nouns of what a reader found. Raises InputError with all faults of its files."""
    _check_ends(found)
    settle_hyperedges(found, options)
    found.refuse_faults()
    _drop_loops(found)
    _keep_parts(found, options)
    if not found.links:
        found.stop(NOWHERE, "no edge between two nodes; a topology has one link at least")
    names = give_names(found)
    positions = {names[node.key]: node.position for node in found.nodes.values()}
    has_own = any(link.own or link.name for link in found.links)
    links = list(_links(found, _both_ways(found, _wires(found, names, positions, options))))
    found.refuse_faults()
    if len(links) > LINKS_READ:
        what = f"links beyond the {LINKS_READ:,} or so that qnet reads from a file"
        found.note(what, count=len(links) - LINKS_READ)
    nodes = [
        Node.model_validate(
            {
                "name": names[node.key],
                "kind": "host" if node.is_host else "switch",
                "role": node.role,
                "site": node.site,
                "position": node.position,
                **(node.own or {}),
            }
        )
        for node in found.nodes.values()
    ]
    plain = sum(1 for node in found.nodes.values() if "processing" not in (node.own or ()))
    if plain:
        what = "nodes that take no time and have exact clocks, as qnet's defaults are"
        found.note(what, count=plain)
    demands = made_demands(found, names)
    title = printable(found.title.strip())[:_TITLE_HIGHEST] or "A network"
    topology = Topology(
        title=title,
        description=printable(found.description) or None,
        assumptions=tuple(str(one) for one in found.listed if not one.of_demands),
        nodes=tuple(nodes),
        links=tuple(links),
    )
    if has_own:
        _check_own(found, topology)
    profile = Profile(
        title=f"Demands of {title}",
        topology=TOPOLOGY,
        assumptions=tuple(str(one) for one in found.listed if one.of_demands),
        demands=tuple(demands),
    )
    return Imported(topology, profile if demands else None, found.listed, found.edges)


def _check_own(found: FoundNetwork, topology: Topology) -> None:
    """See that what a file says in qnet's own words fits together, as in a file of qnet's."""
    source = Source(found.source.display)
    names = [{"name": node.name} for node in topology.nodes]
    check_topology(Draft(source, {"nodes": names}, topology))
    if source.problems:
        raise InputError(source.problems, source.unlisted)


def _check_ends(found: FoundNetwork) -> None:
    for link in found.links:
        for end in (link.source, link.target):
            if end not in found.nodes:
                found.fault(link.spot, f"no node {describe(end)}")
    for demand in found.demands:
        for end in (demand.source, demand.target):
            if end not in found.nodes:
                found.fault(demand.spot, f"no node {describe(end)}", found.sources[-1])


def _drop_loops(found: FoundNetwork) -> None:
    kept = []
    for link in found.links:
        if link.source == link.target:
            found.note("edges from a node to itself left out", link.source, edges=1)
        else:
            kept.append(link)
    found.links = kept


def _keep_parts(found: FoundNetwork, options: ImportOptions) -> None:
    """Note into how many parts a network falls; keep all of them, or the largest."""
    parts = _parts(found)
    if len(parts) < 2:
        return
    sizes = [len(part) for part in parts]
    if not options.largest:
        found.note(
            "parts without a link between them, all kept ('--largest' keeps one)",
            f"{', '.join(map(str, sizes[:8]))}{' ...' if len(sizes) > 8 else ''} nodes",
            count=len(parts),
        )
        return
    largest = set(parts[0])
    links = [link for link in found.links if link.source in largest]
    lost = len(found.links) - len(links)
    for key in set(found.nodes) - largest:
        del found.nodes[key]
    found.links = links
    found.note("nodes outside of the largest part left out", count=sum(sizes[1:]))
    found.note("edges outside of the largest part left out", count=lost, edges=lost)
    gone = [one for one in found.demands if not {one.source, one.target} <= largest]
    if gone:
        what = "demands of nodes outside of the largest part left out"
        found.note(what, count=len(gone), of_demands=True)
        found.demands = [one for one in found.demands if {one.source, one.target} <= largest]


def _parts(found: FoundNetwork) -> list[list[str]]:
    """Return the nodes of each connected part, the largest first, and the first of equals."""
    beside: dict[str, list[str]] = {key: [] for key in found.nodes}
    for link in found.links:
        beside[link.source].append(link.target)
        beside[link.target].append(link.source)
    seen: set[str] = set()
    parts = []
    for start in found.nodes:
        if start in seen:
            continue
        seen.add(start)
        part = [start]
        for key in part:
            new = [other for other in dict.fromkeys(beside[key]) if other not in seen]
            seen.update(new)
            part += new
        parts.append(part)
    return sorted(parts, key=len, reverse=True)


class _Wire(NamedTuple):
    """One edge with everything that a link needs."""

    ends: tuple[str, str]
    name: str
    rate: BothWays
    length: BothWays | None
    delay: BothWays | None
    loss: BothWays
    cable: str
    is_directed: bool
    ports: tuple[str, str]
    own: OwnWords | None
    spot: Spot

    @property
    def alike(self) -> tuple[object, ...]:
        """What wires of one link have in common, whichever way they are written down.

        What a file says in qnet's own words may differ by direction, and is not turned.
        """
        given = (self.rate, self.length, self.delay, self.loss)
        pairs = [one for one in given if one is not None]
        turned = not (self.is_directed or self.own) and self.ends[0] > self.ends[1]
        values = [BothWays(one.back, one.there) if turned else one for one in pairs]
        ends = self.ends[::-1] if turned else self.ends
        own = repr(sorted(self.own.items())) if self.own else ""
        kind = self.delay is None, self.is_directed
        return (ends, self.name, self.cable, own, *kind, *values)


def _wires(
    found: FoundNetwork,
    names: Mapping[str, str],
    positions: Mapping[str, Position | None],
    options: ImportOptions,
) -> Iterator[_Wire]:
    """Yield a wire for each edge, which is forgotten then: of a million both would be too large."""
    found.links.reverse()
    while found.links:
        yield _wire(found, found.links.pop(), names, positions, options)


def _wire(
    found: FoundNetwork,
    link: FoundLink,
    names: Mapping[str, str],
    positions: Mapping[str, Position | None],
    options: ImportOptions,
) -> _Wire:
    ends = names[link.source], names[link.target]
    example = "--".join(ends)
    rate_bps = link.rate_bps
    if rate_bps is None:
        rate_bps = options.rate_bps
        found.note(_no_rate(rate_bps), example)
    length_mm = None
    if link.delay_ps is None:
        length_mm = link.length_mm
        if length_mm is None:
            places = positions[ends[0]], positions[ends[1]]
            length_mm = _length_mm(found, link, places, example, options)
    return _Wire(
        ends,
        link.name,
        _both(rate_bps),
        None if length_mm is None else _both(length_mm),
        None if link.delay_ps is None else _both(link.delay_ps),
        BothWays(link.loss_ppb, link.loss_ppb),
        link.cable,
        link.is_directed,
        link.ports,
        link.own,
        link.spot,
    )


@lru_cache(maxsize=4096)
def _both(value: int | BothWays) -> BothWays:
    return value if isinstance(value, BothWays) else BothWays(value, value)


def _length_mm(
    found: FoundNetwork,
    link: FoundLink,
    places: tuple[Position | None, Position | None],
    example: str,
    options: ImportOptions,
) -> int:
    """Return fibre's length by the straight line between its ends, in whole metres."""
    straight_mm = link.straight_mm
    if straight_mm is None:
        near, far = places
        straight_mm = 0 if near is None or far is None else great_circle_mm(near, far)
    length_mm = round(straight_mm * options.detour / 1000) * 1000 if straight_mm else 0
    if length_mm > LENGTH.highest:
        most = format_quantity(LENGTH, LENGTH.highest)
        found.stop(link.spot, f"a length beyond {most}; qnet takes no more")
    if length_mm:
        found.note(f"lengths taken as {float(options.detour):g} x the straight line", example)
        return length_mm
    found.note(_no_place(options.metro_mm), example)
    return options.metro_mm


@cache
def _no_rate(taken_bps: int) -> str:
    return f"edges of which no rate is known, taken as {format_quantity(RATE, taken_bps)}"


@cache
def _no_place(taken_mm: int) -> str:
    text = format_quantity(LENGTH, taken_mm)
    return f"edges between ends without a place, or of one place, taken as {text} long"


def great_circle_mm(near: Position, far: Position) -> int:
    """Return the distance of two places on the globe."""
    north, south = (radians(place.latitude_microdegrees / 1e6) for place in (near, far))
    east = radians((near.longitude_microdegrees - far.longitude_microdegrees) / 1e6)
    half_chord = sin((north - south) / 2) ** 2 + cos(north) * cos(south) * sin(east / 2) ** 2
    return round(2 * EARTH_RADIUS_M * 1000 * asin(min(1.0, sqrt(half_chord))))


def _both_ways(found: FoundNetwork, wires: Iterable[_Wire]) -> Iterable[_Wire]:
    """Join each directed edge with one that leads back; others stay as they are."""
    waiting: dict[tuple[str, ...], deque[int]] = defaultdict(deque)
    made: list[_Wire] = []
    for wire in wires:
        if not wire.is_directed:
            made.append(wire)
            continue
        back = waiting[*wire.ends[::-1], *wire.ports[::-1]]
        if not back:
            waiting[*wire.ends, *wire.ports].append(len(made))
            made.append(wire)
            continue
        index = back.popleft()
        made[index] = _joined(found, made[index], wire)
        found.note(
            "directed edges joined with one that leads back", "--".join(wire.ends[::-1]), edges=1
        )
    for wire in made:
        if wire.is_directed:
            found.note("directed edges without one that leads back, one-way", "->".join(wire.ends))
    return made


def _joined(found: FoundNetwork, there: _Wire, back: _Wire) -> _Wire:
    def both(one: BothWays | None, other: BothWays | None) -> BothWays | None:
        return None if one is None or other is None else BothWays(one.there, other.there)

    rate = BothWays(there.rate.there, back.rate.there)
    length, delay = both(there.length, back.length), both(there.delay, back.delay)
    if length is None and delay is None:
        found.note("delays left out, since the way back has a length", "--".join(there.ends))
        length = there.length or back.length
    if back.cable and back.cable != there.cable:
        found.note("cables of both directions taken for one", there.cable or back.cable)
    return there._replace(
        name=there.name or back.name,
        rate=rate,
        length=length,
        delay=delay,
        loss=BothWays(there.loss.there, back.loss.there),
        cable=there.cable or back.cable,
        is_directed=False,
    )


def _links(found: FoundNetwork, wires: Iterable[_Wire]) -> Iterable[Link]:
    """Make alike wires members of one link; name what is parallel and not alike."""
    groups: dict[tuple[object, ...], list[_Wire]] = defaultdict(list)
    for wire in wires:
        groups[wire.alike].append(wire)
    links = [(group[0], len(group)) for group in groups.values()]
    groups.clear()
    parallel: Counter[tuple[str, str]] = Counter()
    for wire, _ in links:
        parallel.update(_ways(wire))
    cables = give_cable_names(found, [wire.cable for wire, _ in links if wire.cable])
    names = give_link_names(found, [wire.name for wire, _ in links if wire.name])
    free = FreeNames(names.values())
    used: set[str] = set()
    links.reverse()
    for number in range(1, len(links) + 1):
        wire, members = links.pop()
        if members > 1:
            found.note(
                "parallel edges made members of one link", "--".join(wire.ends), count=members
            )
        name = names.get(wire.name)
        if name is None and any(parallel[way] > 1 for way in _ways(wire)):
            name = free.take(f"link-{number}")
            found.note("parallel edges that differ, made links with names", name)
        elif name in used:
            assert name is not None, "what is used is a name"
            name = free.take(name)
            found.note("equal names of links told apart by a number", name)
        if name is not None:
            used.add(name)
        link = _link(found, wire, name, members, cables.get(wire.cable))
        if link is not None:
            yield link


def _ways(wire: _Wire) -> tuple[tuple[str, str], ...]:
    return (wire.ends,) if wire.is_directed else (wire.ends, wire.ends[::-1])


def _link(
    found: FoundNetwork, wire: _Wire, name: str | None, members: int, cable: str | None
) -> Link | None:
    """Make a link, or report why what its file says in qnet's own words makes none."""
    words = {
        "name": name,
        "between": wire.ends,
        "direction": "one-way" if wire.is_directed else None,
        "rate": wire.rate,
        "members": members if members > 1 else None,
        "length": wire.length,
        "delay": wire.delay,
        "loss": wire.loss if any(wire.loss) else None,
        "cable": cable,
        **(wire.own or {}),
    }
    try:
        return Link.model_validate({key: one for key, one in words.items() if one is not None})
    except ValidationError as error:
        for one in error.errors():
            found.fault(wire.spot, one["msg"].removeprefix("Value error, "))
        return None


def made_demands(found: FoundNetwork, names: Mapping[str, str]) -> list[Demand]:
    """Make the demands; one without a rate, or from a node to itself, is left out and noted."""
    taken: set[str] = set()
    made = []
    for number, demand in enumerate(found.demands, start=1):
        ends = names[demand.source], names[demand.target]
        if ends[0] == ends[1] or not demand.rate_bps:
            what = "from a node to itself" if ends[0] == ends[1] else "of no rate"
            found.note(f"demands {what} left out", "->".join(ends), of_demands=True)
            continue
        name = "--".join(ends)
        if len(name) > _NAME_HIGHEST or len(name.encode()) > 200 or name in taken:
            name = f"demand-{number}"
        taken.add(name)
        rate = format_quantity(RATE, demand.rate_bps)
        words = {"name": name, "from": ends[0], "to": ends[1], "rate": rate}
        made.append(Demand.model_validate(words))
    return made
