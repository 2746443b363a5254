"""What was found in a file to a topology and a profile, the same way for every format."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
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
    nearest,
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
    nodes = found.nodes
    for link in found.links:
        if link.source in nodes and link.target in nodes:
            continue
        for end in (link.source, link.target):
            if end not in nodes:
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
    numbers = {key: number for number, key in enumerate(found.nodes)}
    above = list(range(len(numbers)))
    for link in found.links:
        one, other = numbers[link.source], numbers[link.target]
        while above[one] != one:
            above[one] = one = above[above[one]]
        while above[other] != other:
            above[other] = other = above[above[other]]
        above[max(one, other)] = min(one, other)
    parts: dict[int, list[str]] = {}
    for key, number in numbers.items():  # what is above has the lower number, and is settled
        above[number] = top = above[above[number]]
        parts.setdefault(top, []).append(key)
    return sorted(parts.values(), key=len, reverse=True)


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
    def alike(self) -> tuple[tuple[str, str], tuple[object, ...]]:
        """What wires of one link have in common, whichever way they are written down: ends, rest.

        What a file says in qnet's own words may differ by direction, and is not turned.
        """
        ends, rate, length, delay, loss = self.ends, self.rate, self.length, self.delay, self.loss
        if ends[0] > ends[1] and not (self.is_directed or self.own):
            ends, rate, loss = ends[::-1], _turned(rate), _turned(loss)
            length, delay = length and _turned(length), delay and _turned(delay)
        own = repr(sorted(self.own.items())) if self.own else ""
        return ends, (self.name, self.cable, own, self.is_directed, rate, length, delay, loss)


def _turned(pair: BothWays) -> BothWays:
    return pair if pair.there == pair.back else BothWays(pair.back, pair.there)


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
        _both(link.loss_ppb),
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
    detour = options.detour
    length_mm = nearest(straight_mm * detour.numerator, detour.denominator * 1000) * 1000
    if length_mm > LENGTH.highest:
        most = format_quantity(LENGTH, LENGTH.highest)
        found.stop(link.spot, f"a length beyond {most}; qnet takes no more")
    if length_mm:
        found.note(_taken_as(detour), example)
        return length_mm
    found.note(_no_place(options.metro_mm), example)
    return options.metro_mm


@cache
def _no_rate(taken_bps: int) -> str:
    return f"edges of which no rate is known, taken as {format_quantity(RATE, taken_bps)}"


@cache
def _taken_as(detour: Fraction) -> str:
    return f"lengths taken as {float(detour):g} x the straight line"


@cache
def _no_place(taken_mm: int) -> str:
    text = format_quantity(LENGTH, taken_mm)
    return f"edges between ends without a place, or of one place, taken as {text} long"


def great_circle_mm(near: Position, far: Position) -> int:
    """Return the distance of two places on the globe."""
    north = radians(near.latitude_microdegrees / 1e6)
    south = radians(far.latitude_microdegrees / 1e6)
    east = radians((near.longitude_microdegrees - far.longitude_microdegrees) / 1e6)
    half_chord = sin((north - south) / 2) ** 2 + cos(north) * cos(south) * sin(east / 2) ** 2
    return round(2 * EARTH_RADIUS_M * 1000 * asin(min(1.0, sqrt(half_chord))))


def _both_ways(found: FoundNetwork, wires: Iterable[_Wire]) -> Iterable[_Wire]:
    """Join each directed edge with one that leads back; others stay as they are."""
    first: dict[tuple[str, ...], int] = {}
    later: dict[tuple[str, ...], deque[int]] = {}
    made: list[_Wire] = []
    for wire in wires:
        if not wire.is_directed:
            made.append(wire)
            continue
        back = (*wire.ends[::-1], *wire.ports[::-1])
        index = first.pop(back, None)
        if index is None:
            own = (*wire.ends, *wire.ports)
            if first.setdefault(own, len(made)) != len(made):
                later.setdefault(own, deque()).append(len(made))
            made.append(wire)
            continue
        if later.get(back):
            first[back] = later[back].popleft()
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
    return _Wire(
        there.ends,
        there.name or back.name,
        rate,
        length,
        delay,
        BothWays(there.loss.there, back.loss.there),
        there.cable or back.cable,
        False,
        there.ports,
        there.own,
        there.spot,
    )


def _links(found: FoundNetwork, wires: Iterable[_Wire]) -> Iterable[Link]:
    """Make alike wires members of one link; name what is parallel and not alike."""
    links = _groups(wires)
    parallel = _parallel(wire for wire, _ in links)
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
        if name is None and parallel and any(parallel[way] > 1 for way in _ways(wire)):
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


def _groups(wires: Iterable[_Wire]) -> list[tuple[_Wire, int]]:
    """Return the first one of wires that are alike, and how many they are."""
    shapes: dict[tuple[object, ...], int] = {}
    places: dict[tuple[str, str, int], int] = {}
    firsts: list[_Wire] = []
    counts: list[int] = []
    for wire in wires:
        ends, shape = wire.alike
        number = shapes.setdefault(shape, len(shapes))
        place = places.setdefault((*ends, number), len(firsts))
        if place == len(firsts):
            firsts.append(wire)
            counts.append(1)
        else:
            counts[place] += 1
    return list(zip(firsts, counts, strict=True))


def _parallel(wires: Iterable[_Wire]) -> Counter[tuple[str, str]]:
    """Count the wires of each way, of such nodes as several join: most are joined by one."""
    kept = list(wires)
    once: set[tuple[str, str]] = set()
    more: set[tuple[str, str]] = set()
    for wire in kept:
        ends = wire.ends if wire.ends[0] < wire.ends[1] else wire.ends[::-1]
        (more if ends in once else once).add(ends)
    parallel: Counter[tuple[str, str]] = Counter()
    for wire in kept if more else ():
        if wire.ends in more or wire.ends[::-1] in more:
            parallel.update(_ways(wire))
    return parallel


def _ways(wire: _Wire) -> tuple[tuple[str, str], ...]:
    return (wire.ends,) if wire.is_directed else (wire.ends, wire.ends[::-1])


def _link(
    found: FoundNetwork, wire: _Wire, name: str | None, members: int, cable: str | None
) -> Link | None:
    """Make a link, or report why what its file says makes none."""
    length = wire.length
    if wire.own is None and (not wire.is_directed or not length or length.there == length.back):
        kinds = length is not None, name is not None, cable is not None
        try:
            link = _link_like(wire.rate, members, wire.delay, wire.loss, wire.is_directed, *kinds)
        except ValidationError:
            pass  # it is said below, of the link itself
        else:
            own = {"between": wire.ends, "length_mm": length, "name": name, "cable": cable}
            return link.repeat(own)
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


@lru_cache(maxsize=4096)
def _link_like(
    rate: BothWays,
    members: int,
    delay: BothWays | None,
    loss: BothWays,
    is_directed: bool,
    has_length: bool,
    has_name: bool,
    has_cable: bool,
) -> Link:
    """Make a link for all that differ in ends, length and names only, which are right already."""
    words = {
        "name": "any" if has_name else None,
        "between": ("a", "b"),
        "direction": "one-way" if is_directed else None,
        "rate": rate,
        "members": members if members > 1 else None,
        "length": BothWays(1, 1) if has_length else None,
        "delay": delay,
        "loss": loss if any(loss) else None,
        "cable": "any" if has_cable else None,
    }
    return Link.model_validate({key: one for key, one in words.items() if one is not None})


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
