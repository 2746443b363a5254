"""One HTML page that opens offline: verdict, map, latencies, cycles, ports, and what was refused.

This module computes what is shown and where it stands; `page.html.j2` says how it looks. The page
holds no clock, no address and nothing random: the same inputs give the same bytes.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from math import ceil, cos, floor, hypot, log10, pi, radians, sin
from typing import Generic, NamedTuple, TypeVar

import jinja2

from qnet.errors import InputError, Problem
from qnet.model.histogram import bin_low_ps, quantile_ps
from qnet.model.observation import Observation, PortUse, Traffic
from qnet.model.plan import Plan, StreamPlan
from qnet.model.proof import PortProof, Proof, StreamProof
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.model.verdict import Verdict
from qnet.report.text import (
    fill_ppb,
    headline,
    port_rate_bps,
    printable,
    show,
    show_share,
    subject,
    witnesses,
)
from qnet.units import (
    PPB,
    PS_PER_MS,
    PS_PER_NS,
    PS_PER_S,
    PS_PER_US,
    show_rate,
    show_size,
    show_time,
    wire_bytes,
)

Item = TypeVar("Item")

LISTED = 200
"""Longest list on the page; what it leaves out is counted and said."""

PORTS_LISTED = 20
SERVICES_CHARTED = 16
PANELS_DRAWN = 6
SITE_DEGREES = 0.3
"""Nodes this near to each other are one place on the map."""

MAP_WIDTH = 1000.0
MAP_MARGIN = 70.0
MAP_HEIGHT_LOWEST = 360.0
MAP_HEIGHT_HIGHEST = 760.0
LABEL_PX = 12.0
MARKER_PX = 7.0
SAMPLES_HIGHEST = 1500
"""Points of edges that labels try to keep clear of; more would cost seconds for little."""
NO_ROOM = SAMPLES_HIGHEST + 1

LAYER_WIDTH = 9
LAYER_PX = 92.0
CHIP_PX = 28.0

CHART_WIDTH = 460.0
CHART_HEIGHT = 140.0
CHART_COLUMNS = 92
CHART_TOP = 34.0
LOG_FROM = 30

CYCLE_WIDTH = 1000.0
CYCLE_HEIGHT = 220.0
CYCLE_LEFT = 74.0
CYCLE_BARS = 250
COLOURS = 8


def page(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    proof: Proof,
    observation: Observation | None,
    verdict: Verdict,
    port: str | None = None,
) -> str:
    """Write the page. `port` is the one whose cycles are shown, by default the fullest."""
    case = Case(topology, profile, plan, proof, observation, verdict)
    chosen = _chosen_port(case, port)
    map_, panels = _network(case)
    return _template().render(
        case=case,
        headline=headline(verdict),
        tiles=_tiles(case),
        rows=[
            (row, subject(row), [show(row.kind, value) for value in witnesses(row)])
            for row in verdict.rows
        ],
        findings=_listed(verdict.findings),
        map=map_,
        panels=panels,
        services=_services(case),
        cycles=_cycles(case, chosen) if chosen else None,
        ports=_listed(sorted(case.loads.values(), key=_by_load), PORTS_LISTED),
        egress=plan.egress,
        demands=_listed(_demands(case)),
        refused=_listed(_refused(case)),
        streams=_listed(_streams(case)),
        assumptions=_assumptions(case),
        inputs=_inputs(case),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
    )
    environment.filters.update(
        time=show_time, rate=show_rate, share=show_share, size=show_size, px=_px
    )
    return environment.from_string(files("qnet.report").joinpath("page.html.j2").read_text("utf-8"))


def _px(value: float) -> str:
    """Write a coordinate with one decimal: enough for the eye, and short."""
    return f"{value:.1f}".removesuffix(".0")


class Listed(NamedTuple, Generic[Item]):
    """The first items of a list, and how many there are in all."""

    shown: Sequence[Item]
    total: int


def _listed(items: Sequence[Item], most: int = LISTED) -> Listed[Item]:
    return Listed(items[:most], len(items))


# ---------------------------------------------------------------------------------- the case


class PortLoad(NamedTuple):
    """How full one port is: as simulated, else as planned; None for what nobody watched."""

    port: Port
    load_ppb: int
    queue_bytes_max: int | None = None
    dropped: int | None = None
    sent_frames: int | None = None

    @property
    def level(self) -> int:
        """Colour: 0 is idle, then below 25, 50, 75 and 90 %, and 5 is above."""
        steps = (0, 25, 50, 75, 90)
        return sum(self.load_ppb > step * PPB // 100 for step in steps)


@dataclass(frozen=True)
class Case:
    """All inputs of the page, and what follows from them."""

    topology: Topology
    profile: Profile
    plan: Plan
    proof: Proof
    observation: Observation | None
    verdict: Verdict

    @cached_property
    def stream_by_name(self) -> Mapping[str, Stream]:
        """Streams of the profile."""
        return {stream.name: stream for stream in self.profile.every_stream}

    @cached_property
    def proof_by_name(self) -> Mapping[str, StreamProof]:
        """Proven bounds of streams."""
        return {stream.name: stream for stream in self.proof.streams}

    @cached_property
    def seen_by_name(self) -> Mapping[str, Traffic]:
        """Accounts of streams and demands."""
        if self.observation is None:
            return {}
        every = (*self.observation.streams, *self.observation.demands)
        return {traffic.name: traffic for traffic in every}

    @cached_property
    def status_count(self) -> Counter[str]:
        """Streams by what became of them."""
        return Counter(stream.status for stream in self.plan.streams)

    @cached_property
    def loads(self) -> Mapping[str, PortLoad]:
        """Load of every port by its name."""
        if self.observation is None:
            planned = _planned_bps(self)
            return {
                port.name: PortLoad(port, planned[port.name] * PPB // port.rate_bps)
                for port in self.topology.ports
            }
        uses = {use.port: use for use in self.observation.ports}
        observation = self.observation
        return {
            port.name: _seen_load(port, uses.get(port.name), observation)
            for port in self.topology.ports
        }


def _seen_load(port: Port, use: PortUse | None, observation: Observation) -> PortLoad:
    if use is None:
        return PortLoad(port, 0)
    load_ppb = port_rate_bps(use, observation) * PPB // port.rate_bps
    return PortLoad(port, load_ppb, use.queue_bytes_max, use.dropped, use.sent_frames)


def _planned_bps(case: Case) -> Counter[str]:
    rates: Counter[str] = Counter()
    for demand in case.plan.demands:
        for part in demand.parts:
            for name in part.ports:
                rates[name] += part.rate_bps
    for planned in case.plan.streams:
        stream = case.stream_by_name[planned.name]
        rate_bps = _interval_bytes(stream) * 8 * PS_PER_S // stream.interval_ps
        for path in planned.paths:
            for name in path.ports:
                rates[name] += rate_bps
    return rates


def _interval_bytes(stream: Stream) -> int:
    return wire_bytes(stream.frame_bytes) * stream.max_packets


def _by_load(load: PortLoad) -> tuple[int, int]:
    return -load.load_ppb, load.port.number


def _chosen_port(case: Case, wanted: str | None) -> str | None:
    if wanted is None:
        fullest = max(case.proof.ports, key=fill_ppb, default=None)
        return fullest.port if fullest else None
    if wanted in case.topology.port_by_name:
        return wanted
    close = difflib.get_close_matches(wanted, case.topology.port_by_name, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "; write it like 'a->b'"
    raise InputError([Problem("--port", 0, 0, "", f"no port '{wanted}'{hint}")])


def _tiles(case: Case) -> list[tuple[str, str, str]]:
    """Figures for the top of the page: name, value, remark."""
    refused = case.status_count["refused"]
    kept = len(case.plan.streams) - refused
    tiles = [("Streams carried", f"{kept:,}", f"of {kept + refused:,}; {refused:,} refused")]
    tiles += [
        (
            f"Egress of {site.site}",
            show_rate(site.placed_bps),
            f"required {show_rate(site.required_bps)}, at most {show_rate(site.bound_bps)}",
        )
        for site in case.plan.egress[:3]
    ]
    busiest = min(case.loads.values(), key=_by_load)
    tiles.append(("Busiest port", show_share(busiest.load_ppb), busiest.port.name))
    if case.observation is not None:
        frames = f"{case.observation.frames:,}"
        remark = f"{show_time(case.observation.duration_ps)} of network time"
        tiles.append((f"Frames {case.observation.witness}", frames, remark))
    return tiles


# ----------------------------------------------------------------------------------- the map


class Mark(NamedTuple):
    """A place on the map, with the spot of its label; `anchor` is empty when there is no room."""

    x: float
    y: float
    label: str
    node_count: int
    label_x: float
    label_y: float
    anchor: str
    tip: str


class Edge(NamedTuple):
    """The wires between two places that run together, coloured by the fullest of them."""

    path: str
    level: int
    width: float
    tip: str


class Drawing(NamedTuple):
    """The map: places, the cables between them, and the degrees behind them."""

    height: float
    edges: Sequence[Edge]
    marks: Sequence[Mark]
    grid: Sequence[tuple[str, float, float]]
    note: str


class Chip(NamedTuple):
    """A node in the diagram of a site, or another place at its border."""

    x: float
    y: float
    width: float
    kind: str
    label: str
    tip: str


class Panel(NamedTuple):
    """The diagram of one place."""

    title: str
    height: float
    edges: Sequence[Edge]
    chips: Sequence[Chip]


class Curve(NamedTuple):
    """A quadratic curve from (x0, y0) to (x2, y2)."""

    x0: float
    y0: float
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def path(self) -> str:
        """The curve as SVG path data."""
        start, bend, end = (f"{_px(self[i])} {_px(self[i + 1])}" for i in (0, 2, 4))
        return f"M{start}Q{bend} {end}"

    def at(self, share: float) -> tuple[float, float]:
        """Return the point that lies a share of the way along."""
        rest = 1 - share
        a, b, c = rest * rest, 2 * rest * share, share * share
        return (a * self.x0 + b * self.x1 + c * self.x2, a * self.y0 + b * self.y1 + c * self.y2)


Spot = tuple[float, float]
Bundle = tuple[int, int, tuple[Port, ...]]
"""Two groups of nodes and the ports between them, both directions."""


def _network(case: Case) -> tuple[Drawing | None, Listed[Panel]]:
    """Draw the map, and one diagram for each place of several nodes."""
    places = _places(case.topology)
    if not places:
        groups: list[tuple[str, ...]] = [(node.name,) for node in case.topology.nodes]
        note = "No node has a position: the nodes stand on a circle, in the order of the file."
        return _circle(case, groups, note), Listed((), 0)
    groups = _groups(places)
    several = _by_size(groups)
    panels = [_panel(case, groups, number) for number in several[:PANELS_DRAWN]]
    unplaced = len(case.topology.nodes) - len(places)
    note = f"{unplaced} nodes have no position and are not shown." if unplaced else ""
    whole = _map(case, groups, places, note) if len(groups) > 1 else None
    return whole, Listed(panels, len(several))


def _by_size(groups: Sequence[Sequence[str]]) -> list[int]:
    several = [number for number, group in enumerate(groups) if len(group) > 1]
    return sorted(several, key=lambda number: (-len(groups[number]), number))


def _places(topology: Topology) -> dict[str, Spot]:
    """Return latitude and longitude of nodes; who has none stands with its site or neighbour."""
    places: dict[str, Spot] = {}
    for node in topology.nodes:
        if node.position:
            north, east = node.position
            places[node.name] = (north / 1e6, east / 1e6)
    sites = {node.site: places[node.name] for node in topology.nodes[::-1] if node.name in places}
    for node in topology.nodes:
        if node.site in sites and node.site:
            places.setdefault(node.name, sites[node.site])
    known = 0
    while known != len(places):
        known = len(places)
        for link in topology.links:
            for near, far in (link.between, link.between[::-1]):
                if near in places:
                    places.setdefault(far, places[near])
    return places


def _groups(places: Mapping[str, Spot]) -> list[tuple[str, ...]]:
    """Put nodes that stand together into one group, around the first of them."""
    groups: list[list[str]] = []
    for name, (north, east) in places.items():
        for group in groups:
            centre_north, centre_east = places[group[0]]
            if hypot(north - centre_north, east - centre_east) <= SITE_DEGREES:
                group.append(name)
                break
        else:
            groups.append([name])
    return [tuple(group) for group in groups]


def _label(topology: Topology, group: Sequence[str]) -> str:
    sites = {topology.node_by_name[name].site for name in group}
    site = next(iter(sites)) if len(sites) == 1 else None
    return group[0] if len(group) == 1 else site or group[0]


def _bundles(topology: Topology, groups: Sequence[Sequence[str]]) -> list[Bundle]:
    """Gather the ports between groups; cables between the same two stay apart, up to five."""
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    bundles: dict[tuple[int, int, str], list[Port]] = defaultdict(list)
    cables: dict[tuple[int, int], set[str]] = defaultdict(set)
    for port in topology.ports:
        ends = sorted(group_of.get(name, -1) for name in (port.source, port.target))
        pair = (ends[0], ends[1])
        if pair[0] < 0 or pair[0] == pair[1]:
            continue
        cable = topology.cable(topology.links[port.link])
        if cable not in cables[pair] and len(cables[pair]) >= 5:
            cable = min(cables[pair])
        cables[pair].add(cable)
        bundles[(*pair, cable)].append(port)
    return [(near, far, tuple(ports)) for (near, far, _), ports in bundles.items()]


def _edges(
    case: Case, bundles: Sequence[Bundle], curve: Callable[[int, int, float], Curve]
) -> tuple[list[Edge], list[Curve]]:
    """Draw bundles as curves; parallel ones bend apart."""
    alike = Counter((near, far) for near, far, _ in bundles)
    done: Counter[tuple[int, int]] = Counter()
    edges, curves = [], []
    for near, far, ports in bundles:
        pair = (near, far)
        bend = done[pair] - (alike[pair] - 1) / 2
        done[pair] += 1
        curves.append(curve(near, far, bend))
        fullest = max(case.loads[port.name].level for port in ports)
        capacity_bps = sum(port.rate_bps for port in ports) // 2
        width = min(max(1.5 + log10(max(capacity_bps, 1) / 10**10), 1.5), 5.0)
        edges.append(Edge(curves[-1].path, fullest, width, _bundle_tip(case, ports)))
    return edges, curves


def _bundle_tip(case: Case, ports: Sequence[Port]) -> str:
    by_ends: dict[tuple[str, str], list[PortLoad]] = defaultdict(list)
    for port in ports:
        by_ends[port.source, port.target].append(case.loads[port.name])
    lines = [_direction_tip(ends, loads) for ends, loads in by_ends.items()]
    cable = case.topology.cable(case.topology.links[ports[0].link])
    more = [f"and {len(lines) - 8} more directions"] if len(lines) > 8 else []
    return "\n".join([f"cable {cable}", *lines[:8], *more])


def _direction_tip(ends: tuple[str, str], loads: Sequence[PortLoad]) -> str:
    wires = f"{len(loads)} x " if len(loads) > 1 else ""
    fullest = max(load.load_ppb for load in loads)
    text = f"{ends[0]} -> {ends[1]}: {wires}{show_rate(loads[0].port.rate_bps, 0)}"
    text += f", load {show_share(fullest)}"
    queues = [load.queue_bytes_max for load in loads if load.queue_bytes_max is not None]
    dropped = sum(load.dropped or 0 for load in loads)
    if queues:
        text += f", peak queue {show_size(max(queues))}"
    return f"{text}, {dropped:,} dropped" if dropped else text


def _straight(spots: Sequence[Spot]) -> Callable[[int, int, float], Curve]:
    """Return what joins two spots; parallel curves bend to both sides of the straight line."""

    def curve(near: int, far: int, bend: float) -> Curve:
        (x0, y0), (x2, y2) = spots[near], spots[far]
        length = max(hypot(x2 - x0, y2 - y0), 1.0)
        push = 26.0 * bend
        x1 = (x0 + x2) / 2 - (y2 - y0) / length * push
        y1 = (y0 + y2) / 2 + (x2 - x0) / length * push
        return Curve(x0, y0, x1, y1, x2, y2)

    return curve


def _map(
    case: Case, groups: Sequence[Sequence[str]], places: Mapping[str, Spot], note: str
) -> Drawing:
    centres = [places[group[0]] for group in groups]
    middle = (min(c[0] for c in centres) + max(c[0] for c in centres)) / 2
    squeeze = cos(radians(middle))
    flat = [(east * squeeze, -north) for north, east in centres]
    left, top = (min(spot[axis] for spot in flat) for axis in (0, 1))
    wide, high = (max(spot[axis] for spot in flat) - low for axis, low in ((0, left), (1, top)))
    room = MAP_WIDTH - 2 * MAP_MARGIN
    scale = min(room / max(wide, 0.01), (MAP_HEIGHT_HIGHEST - 2 * MAP_MARGIN) / max(high, 0.01))
    height = max(high * scale + 2 * MAP_MARGIN, MAP_HEIGHT_LOWEST)
    shift_x = (MAP_WIDTH - wide * scale) / 2 - left * scale
    shift_y = (height - high * scale) / 2 - top * scale
    spots = [(x * scale + shift_x, y * scale + shift_y) for x, y in flat]
    grid = _graticule(squeeze * scale, shift_x, MAP_WIDTH, "E", "W")
    grid += _graticule(-scale, shift_y, height, "N", "S")
    return _drawing(case, groups, spots, height, (grid, note))


def _graticule(
    scale: float, shift: float, extent: float, ahead: str, behind: str
) -> list[tuple[str, float, float]]:
    """Return label and position of round degrees: x for meridians, y for parallels."""
    low, high = sorted((-shift / scale, (extent - shift) / scale))
    step = next((step for step in (1, 2, 5, 10, 20) if (high - low) / step <= 9), 45)
    lines = []
    for degrees in range(ceil(low / step) * step, floor(high) + 1, step):
        label = f"{abs(degrees)}\u00b0{ahead if degrees >= 0 else behind}"
        at = degrees * scale + shift
        lines.append((label, at, 0.0) if scale > 0 else (label, 0.0, at))
    return lines


def _circle(case: Case, groups: Sequence[Sequence[str]], note: str) -> Drawing:
    height = MAP_HEIGHT_HIGHEST
    radius = height / 2 - MAP_MARGIN
    turns = [2 * pi * number / len(groups) - pi / 2 for number in range(len(groups))]
    spots = [(MAP_WIDTH / 2 + radius * cos(a), height / 2 + radius * sin(a)) for a in turns]
    return _drawing(case, groups, spots, height, ([], note))


def _drawing(
    case: Case,
    groups: Sequence[Sequence[str]],
    spots: Sequence[Spot],
    height: float,
    backdrop: tuple[list[tuple[str, float, float]], str],
) -> Drawing:
    bundles = _bundles(case.topology, groups)
    edges, curves = _edges(case, bundles, _straight(spots))
    texts = [_label(case.topology, group) for group in groups]
    every = 12 if len(curves) * 12 <= SAMPLES_HIGHEST else max(SAMPLES_HIGHEST // len(curves), 1)
    lines = [curve.at((i + 0.5) / every) for curve in curves for i in range(every)]
    labels = _place_labels(texts, spots, height, lines)
    marks = [
        Mark(x, y, text, len(group), *label, _mark_tip(case.topology, group))
        for (x, y), text, group, label in zip(spots, texts, groups, labels, strict=True)
    ]
    grid, note = backdrop
    hidden = sum(not mark.anchor for mark in marks)
    if hidden:
        label = "1 label" if hidden == 1 else f"{hidden} labels"
        note = f"{note} {label} had no room; point at a place to read its name.".strip()
    return Drawing(height, edges, marks, grid, note)


def _mark_tip(topology: Topology, group: Sequence[str]) -> str:
    nodes = [topology.node_by_name[name] for name in group[:12]]
    lines = [f"{node.name} ({node.role})" if node.role else node.name for node in nodes]
    return "\n".join([*lines, *([f"and {len(group) - 12} more"] if len(group) > 12 else [])])


Box = tuple[float, float, float, float]


def _text_px(text: str) -> float:
    """Estimate the width of a label; Chinese characters are as wide as high."""
    return sum(LABEL_PX if ord(letter) > 0x2E7F else LABEL_PX * 0.6 for letter in text)


def _place_labels(
    texts: Sequence[str], spots: Sequence[Spot], height: float, lines: Sequence[Spot]
) -> list[tuple[float, float, str]]:
    """Give each label the side of its mark where it covers least; none when it hides another."""
    reach = MARKER_PX + 2
    marks: list[Box] = [(x - reach, y - reach, x + reach, y + reach) for x, y in spots]
    taken: list[Box] = []
    labels = []
    for number, (text, spot) in enumerate(zip(texts, spots, strict=True)):
        options = _label_options(spot, _text_px(text))
        others = [*taken, *marks[:number], *marks[number + 1 :]]
        costs = [_label_cost(box, others, height, lines) for _, box in options]
        cost = min(costs)
        (x, y, anchor), box = options[costs.index(cost)]
        if cost < NO_ROOM:
            taken.append(box)
        labels.append((x, y, anchor if cost < NO_ROOM else ""))
    return labels


def _label_options(spot: Spot, width: float) -> list[tuple[tuple[float, float, str], Box]]:
    x, y = spot
    away, rise = MARKER_PX + 7, LABEL_PX * 0.35
    options = []
    for side, up in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)):
        label_x = x + side * (away if not up else away * 0.75)
        label_y = y + rise + up * (away + 3 if not side else away * 0.9)
        left = label_x - (width / 2 if not side else width if side < 0 else 0)
        anchor = ("end", "middle", "start")[side + 1]
        box = (left - 2, label_y - LABEL_PX, left + width + 2, label_y + 4)
        options.append(((label_x, label_y, anchor), box))
    return options


def _label_cost(box: Box, taken: Iterable[Box], height: float, lines: Iterable[Spot]) -> int:
    left, top, right, bottom = box
    if left < 0 or top < 0 or right > MAP_WIDTH or bottom > height:
        return NO_ROOM
    for other_left, other_top, other_right, other_bottom in taken:
        if left < other_right and other_left < right and top < other_bottom and other_top < bottom:
            return NO_ROOM
    return sum(left < x < right and top < y < bottom for x, y in lines)


# ----------------------------------------------------------------------- the inside of a site


def _panel(case: Case, groups: Sequence[Sequence[str]], number: int) -> Panel:
    """Lay out one place in layers: the other places, the nodes that reach them, and so on in."""
    members = groups[number]
    others = [group for index, group in enumerate(groups) if index != number]
    topology = case.topology
    bundles = [
        bundle
        for bundle in _bundles(topology, [(name,) for name in members] + list(others))
        if bundle[0] < len(members)
    ]
    layers = _layers(len(members), bundles)
    spots: dict[int, Spot] = {}
    for depth, layer in enumerate(layers):
        for index, item in enumerate(layer):
            x = MAP_WIDTH * (index + 0.5) / len(layer)
            spots[item] = (x, CHIP_PX + 12 + depth * LAYER_PX)
    row_of = {item: depth for depth, layer in enumerate(layers) for item in layer}

    def curve(near: int, far: int, bend: float) -> Curve:
        (x0, y0), (x2, y2) = spots[near], spots[far]
        dip = 0.0
        if row_of[near] == row_of[far]:
            dip = LAYER_PX * 0.7 if abs(x2 - x0) > MAP_WIDTH / len(layers[row_of[near]]) + 1 else 0
        straight = _straight(((x0, y0), (x2, y2)))(0, 1, bend)
        return straight._replace(y1=straight.y1 + dip)

    edges, _ = _edges(case, bundles, curve)
    chips = [
        _chip(topology, group, spots[item], item < len(members))
        for item, group in enumerate([*((name,) for name in members), *others])
        if item in spots
    ]
    height = (len(layers) - 1) * LAYER_PX + 2 * CHIP_PX + 24
    return Panel(f"Inside {_label(topology, members)}: {len(members)} nodes", height, edges, chips)


def _chip(topology: Topology, group: Sequence[str], spot: Spot, inside: bool) -> Chip:
    label = _label(topology, group)
    kind = "inside" if inside else "outside"
    return Chip(*spot, _text_px(label) + 20, kind, label, _mark_tip(topology, group))


def _layers(member_count: int, bundles: Sequence[Bundle]) -> list[list[int]]:
    """Sort items into rows by their distance from the outside, neighbours under each other."""
    near: dict[int, list[int]] = defaultdict(list)
    for one, other, _ in bundles:
        near[one].append(other)
        near[other].append(one)
    outside = sorted(item for item in near if item >= member_count)
    most = max((len(near[item]) for item in range(member_count)), default=0)
    first = outside or [item for item in range(member_count) if len(near[item]) == most]
    rows, seen = [first], set(first)
    while rows[-1]:
        found = sorted({item for one in rows[-1] for item in near[one]} - seen)
        seen.update(found)
        rows.append(found)
    rows[-1] = [item for item in range(member_count) if item not in seen]
    return _ordered([row for row in rows if row], near)


def _ordered(rows: Sequence[list[int]], near: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """Order each row by the mean place of its neighbours above; break rows that are too long."""
    place: dict[int, float] = {}
    ordered = []
    for row in rows:

        def mean(item: int) -> tuple[float, int]:
            above = [place[other] for other in near.get(item, ()) if other in place]
            return (sum(above) / len(above) if above else 0.5), item

        best = sorted(row, key=mean)
        place.update({item: (i + 0.5) / len(best) for i, item in enumerate(best)})
        count = ceil(len(best) / LAYER_WIDTH)
        size = ceil(len(best) / count)
        ordered += [best[i * size : (i + 1) * size] for i in range(count)]
    return ordered


# --------------------------------------------------------------------------------- latencies


class Line(NamedTuple):
    """A bound drawn across a chart."""

    kind: str
    label: str
    x: float
    y: float
    anchor: str


class Chart(NamedTuple):
    """A distribution: columns as one path, ticks, and the bounds."""

    title: str
    path: str
    ticks: Sequence[tuple[str, float]]
    lines: Sequence[Line]
    logarithmic: bool


class Service(NamedTuple):
    """All streams, or all demands, of one service together."""

    name: str
    what: str
    sent: int
    lost: int
    late: int
    figures: Sequence[tuple[str, str]]
    charts: Sequence[Chart]


class Mass(NamedTuple):
    """Frames somewhere between two latencies."""

    low_ps: int
    high_ps: int
    frames: int


def _services(case: Case) -> Listed[Service]:
    if case.observation is None:
        return Listed((), 0)
    grouped: dict[tuple[str, bool], list[Traffic]] = defaultdict(list)
    for is_demand, every in ((False, case.observation.streams), (True, case.observation.demands)):
        for traffic in every:
            grouped[traffic.service, is_demand].append(traffic)
    carried = {key: members for key, members in grouped.items() if any(m.sent for m in members)}

    def harmed_first(key: tuple[str, bool]) -> tuple[bool, bool, int]:
        sent, lost, late = _sums(carried[key])
        return lost + late == 0, key[1], -sent

    keys = sorted(carried, key=harmed_first)
    charted = [_service(case, *key, carried[key]) for key in keys[:SERVICES_CHARTED]]
    return Listed(charted, len(keys))


def _service(case: Case, name: str, is_demand: bool, members: Sequence[Traffic]) -> Service:
    noun = "demand" if is_demand else "stream"
    what = f"{len(members):,} {noun}{'' if len(members) == 1 else 's'}"
    seen = [one for one in members if one.copies]
    streams = [] if is_demand else [case.stream_by_name[one.name] for one in members]
    proofs = [case.proof_by_name[one.name] for one in members if one.name in case.proof_by_name]
    charts = [_latency_chart(seen, streams, proofs)] if seen else []
    if seen and any(proof.variation_ps is not None for proof in proofs):
        charts.append(_variation_chart(seen, streams, proofs))
    total = _sums(members)
    return Service(name, what, *total, _quantiles(seen) if seen else [], charts)


def _sums(members: Sequence[Traffic]) -> tuple[int, int, int]:
    return (
        sum(one.sent for one in members),
        sum(one.lost for one in members),
        sum(one.late for one in members),
    )


def _quantiles(seen: Sequence[Traffic]) -> list[tuple[str, str]]:
    copies = sum(one.copies for one in seen)
    excess: Counter[int] = Counter()
    for one in seen:
        excess.update(dict(one.histogram))
    above = sorted(excess.items())
    return [
        ("least", show_time(_least(one.latency_ps_min for one in seen))),
        ("mean", show_time(sum(one.latency_ps_sum for one in seen) // copies)),
        ("most", show_time(_most(one.latency_ps_max for one in seen))),
        ("waiting, half of frames at most", show_time(quantile_ps(above, PPB // 2))),
        ("99.9 %", show_time(quantile_ps(above, PPB // 1000 * 999))),
    ]


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _latency_chart(
    seen: Sequence[Traffic], streams: Sequence[Stream], proofs: Sequence[StreamProof]
) -> Chart:
    promised = _least(stream.max_latency_ps for stream in streams)
    proven = _most(proof.latency_ps_max for proof in proofs)
    masses = [mass for one in seen for mass in _masses(one, one.floor_ps)]
    return _chart("latency, end to end", masses, promised, proven)


def _variation_chart(
    seen: Sequence[Traffic], streams: Sequence[Stream], proofs: Sequence[StreamProof]
) -> Chart:
    """Chart how much later than the same stream's fastest frame the others came."""
    promised = _least(stream.max_latency_variation_ps for stream in streams)
    proven = _most(proof.variation_ps for proof in proofs)
    masses = [
        mass for one in seen for mass in _masses(one, one.floor_ps - (one.latency_ps_min or 0))
    ]
    return _chart("variation, above the stream's fastest frame", masses, promised, proven, 0)


def _masses(traffic: Traffic, shift_ps: int) -> list[Mass]:
    """Return the bins of a histogram, cut to the least and most that were seen."""
    origin = shift_ps - traffic.floor_ps
    low = (traffic.latency_ps_min or 0) + origin
    high = (traffic.latency_ps_max or 0) + origin
    return [
        Mass(
            min(max(bin_low_ps(index) + shift_ps, low), high),
            max(min(bin_low_ps(index + 1) + shift_ps, high), low),
            frames,
        )
        for index, frames in traffic.histogram
    ]


def _chart(
    title: str,
    masses: Sequence[Mass],
    promised: int | None,
    proven: int | None,
    start: int | None = None,
) -> Chart:
    values = [mass.low_ps for mass in masses] + [mass.high_ps for mass in masses]
    bounds = [value for value in (promised, proven) if value is not None]
    low = min(values + bounds) if start is None else start
    high = max(values + bounds)
    logarithmic = 0 < low * LOG_FROM < high
    pad = 0 if logarithmic else max((high - low) // 16, 1000)
    scale = _Scale(
        low if logarithmic or start is not None else max(low - pad, 0),
        high * 5 // 4 if logarithmic else high + pad,
        logarithmic,
    )
    lines = [
        _line(kind, f"{kind} {show_time(value)}", scale.x(value), level)
        for level, (kind, value) in enumerate((("promised", promised), ("proven", proven)))
        if value is not None
    ]
    return Chart(title, _columns(masses, scale), scale.ticks(), lines, logarithmic)


class _Scale(NamedTuple):
    """Where a time stands on the x axis of a chart."""

    low_ps: int
    high_ps: int
    logarithmic: bool

    def x(self, time_ps: float) -> float:
        low, high = float(self.low_ps), float(self.high_ps)
        if self.logarithmic:
            low, high, time_ps = log10(low), log10(high), log10(max(time_ps, 1.0))
        return (time_ps - low) / (high - low) * CHART_WIDTH

    def ticks(self) -> list[tuple[str, float]]:
        if self.logarithmic:
            powers = range(ceil(log10(self.low_ps)), floor(log10(self.high_ps)) + 1)
            return [(show_time(10**power, 0), self.x(10**power)) for power in powers]
        step = _round_step(self.high_ps - self.low_ps, 5)
        first = -(-self.low_ps // step) * step
        unit, unit_ps = _unit(self.high_ps)
        digits = max(0, ceil(log10(unit_ps / step)))
        return [
            (f"{value / unit_ps:.{digits}f} {unit}", self.x(value))
            for value in range(first, self.high_ps + 1, step)
        ]


def _unit(time_ps: int) -> tuple[str, int]:
    for unit, unit_ps in (("s", PS_PER_S), ("ms", PS_PER_MS), ("us", PS_PER_US)):
        if time_ps >= unit_ps:
            return unit, unit_ps
    return "ns", PS_PER_NS


def _round_step(extent: int, most: int) -> int:
    """Return the least of 1, 2, 5, 10, 20 ... that divides `extent` into few enough steps."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if extent <= factor * power * most:
                return factor * power
        power *= 10


def _line(kind: str, label: str, x: float, level: int) -> Line:
    return Line(kind, label, x, 11.0 + 12 * level, "end" if x > CHART_WIDTH / 2 else "start")


def _columns(masses: Sequence[Mass], scale: _Scale) -> str:
    """Spread the frames of each bin evenly over its columns; no column is too low to be seen."""
    heights = [0.0] * CHART_COLUMNS
    width = CHART_WIDTH / CHART_COLUMNS
    for mass in masses:
        low, high = scale.x(mass.low_ps) / width, scale.x(mass.high_ps) / width
        first = min(int(low), CHART_COLUMNS - 1)
        last = min(max(ceil(high), first + 1), CHART_COLUMNS)
        span = max(high - low, 1e-9)
        for column in range(first, last):
            cover = (min(high, column + 1) - max(low, column)) / span
            heights[column] += mass.frames * (cover if last - first > 1 else 1.0)
    highest = max(heights, default=0.0) or 1.0
    base, room = CHART_HEIGHT, CHART_HEIGHT - CHART_TOP
    return "".join(
        f"M{_px(column * width)} {_px(base)}v-{_px(max(value / highest * room, 2.0))}"
        f"h{_px(width - 0.6)}V{_px(base)}z"
        for column, value in enumerate(heights)
        if value > 0
    )


# ------------------------------------------------------------------------------------ cycles


class Cycles(NamedTuple):
    """Bytes reserved in each cycle of one port, stacked by service."""

    port: str
    merged: int
    capacity_bytes: int | None
    capacity_y: float
    layers: Sequence[tuple[str, int, str]]
    tips: Sequence[tuple[float, float, str]]
    x_ticks: Sequence[tuple[str, float]]
    y_ticks: Sequence[tuple[str, float]]
    fullest: PortProof | None


def _cycles(case: Case, name: str) -> Cycles:
    by_service = _reserved(case, name)
    hypercycle = case.plan.hypercycle
    totals = [sum(counts) for counts in zip(*by_service.values(), strict=True)]
    merged = ceil(hypercycle / CYCLE_BARS)
    bars = [
        max(range(first, min(first + merged, hypercycle)), key=lambda cycle: totals[cycle])
        for first in range(0, hypercycle if totals else 0, merged)
    ]
    fullest = next((port for port in case.proof.ports if port.port == name), None)
    capacity = fullest.capacity_bytes if fullest else None
    highest = max(capacity or 0, *totals, 1) if totals else max(capacity or 0, 1)
    bar_px = (CYCLE_WIDTH - CYCLE_LEFT) / max(len(bars), 1)
    unit_px = (CYCLE_HEIGHT - 16) / highest
    step = _round_step(highest, 4)
    cycle_step = _round_step(hypercycle, 10)
    return Cycles(
        name,
        merged,
        capacity,
        CYCLE_HEIGHT - (capacity or 0) * unit_px,
        _stack(by_service, bars, bar_px, unit_px),
        [
            (CYCLE_LEFT + i * bar_px, bar_px, _cycle_tip(cycle, by_service, capacity))
            for i, cycle in enumerate(bars)
        ],
        [
            (f"{cycle:,}", CYCLE_LEFT + cycle / merged * bar_px)
            for cycle in range(0, hypercycle, cycle_step)
        ],
        [(f"{n:,} B", CYCLE_HEIGHT - n * unit_px) for n in range(0, highest + 1, step)],
        fullest,
    )


def _reserved(case: Case, name: str) -> dict[str, list[int]]:
    """Return the bytes on the wire in each cycle, by service; small services go together."""
    hypercycle = case.plan.hypercycle
    rows: dict[str, list[int]] = {}
    for planned in case.plan.streams:
        for path in planned.paths:
            for port, cycle in zip(path.ports, path.cycles, strict=False):
                if port != name:
                    continue
                stream = case.stream_by_name[planned.name]
                period = max(stream.interval_ps // case.plan.cycle_ps, 1)
                row = rows.setdefault(stream.service, [0] * hypercycle)
                for turn in range(cycle % period, hypercycle, period):
                    row[turn] += _interval_bytes(stream)
    largest = sorted(rows, key=lambda service: (-sum(rows[service]), service))
    if len(largest) <= COLOURS:
        return {service: rows[service] for service in largest}
    kept = {service: rows[service] for service in largest[: COLOURS - 1]}
    rest = [rows[service] for service in largest[COLOURS - 1 :]]
    summed = [sum(counts) for counts in zip(*rest, strict=True)]
    return {**kept, f"{len(rest)} other services": summed}


def _stack(
    by_service: Mapping[str, Sequence[int]], bars: Sequence[int], bar_px: float, unit_px: float
) -> list[tuple[str, int, str]]:
    """Return name, colour and path of each service, one upon the other."""
    bases = [CYCLE_HEIGHT] * len(bars)
    layers = []
    wide = _px(max(bar_px - (1.0 if bar_px > 4 else 0.2), 0.5))
    for colour, (service, counts) in enumerate(by_service.items()):
        parts = []
        for i, cycle in enumerate(bars):
            high = counts[cycle] * unit_px
            if high:
                left = f"{CYCLE_LEFT + i * bar_px:.2f}"
                parts.append(f"M{left} {_px(bases[i])}v-{high:.2f}h{wide}v{high:.2f}z")
                bases[i] -= high
        layers.append((service, colour, "".join(parts)))
    return layers


def _cycle_tip(cycle: int, by_service: Mapping[str, Sequence[int]], capacity: int | None) -> str:
    counts = {service: row[cycle] for service, row in by_service.items() if row[cycle]}
    of = "" if capacity is None else f" of {capacity:,}"
    lines = [f"{service}: {count:,} B" for service, count in counts.items()]
    return "\n".join([f"cycle {cycle:,}: {sum(counts.values()):,}{of} B", *lines])


# ------------------------------------------------------------------------------------ tables


class StreamLine(NamedTuple):
    """One stream: promise, bound and what was seen."""

    stream: Stream
    planned: StreamPlan
    proof: StreamProof | None
    seen: Traffic | None

    @property
    def pressure(self) -> float:
        """Largest share of a promise that is used up; above 1 it is broken."""
        stream = self.stream
        used = [
            value / promise
            for account in (self.proof, self.seen)
            if account is not None
            for value, promise in (
                (account.latency_ps_max, stream.max_latency_ps),
                (account.variation_ps, stream.max_latency_variation_ps),
            )
            if value is not None and promise
        ]
        return max(used, default=0.0)


def _streams(case: Case) -> list[StreamLine]:
    lines = [
        StreamLine(
            case.stream_by_name[planned.name],
            planned,
            case.proof_by_name.get(planned.name),
            case.seen_by_name.get(planned.name),
        )
        for planned in case.plan.streams
        if planned.status != "refused"
    ]

    def worst_first(line: StreamLine) -> tuple[bool, float, str]:
        harmed = line.seen is not None and line.seen.lost + line.seen.late > 0
        return not harmed, -line.pressure, line.planned.name

    return sorted(lines, key=worst_first)


def _refused(case: Case) -> list[tuple[Stream, str]]:
    return [
        (case.stream_by_name[planned.name], planned.reason or "no reason given")
        for planned in case.plan.streams
        if planned.status == "refused"
    ]


class DemandLine(NamedTuple):
    """One demand: offered, placed, and what was seen."""

    name: str
    ends: str
    offered_bps: int
    placed_bps: int
    route_count: int
    seen: Traffic | None
    reason: str | None

    @property
    def placed_ppb(self) -> int:
        """Share of the demand that has a route."""
        return self.placed_bps * PPB // self.offered_bps


def _demands(case: Case) -> list[DemandLine]:
    ends = {demand.name: (demand.source, demand.target) for demand in case.profile.demands}
    lines = [
        DemandLine(
            demand.name,
            " -> ".join(ends[demand.name]),
            demand.rate_bps,
            demand.placed_bps,
            len(demand.parts),
            case.seen_by_name.get(demand.name),
            demand.reason,
        )
        for demand in case.plan.demands
    ]
    return sorted(lines, key=lambda line: line.placed_ppb)


def _assumptions(case: Case) -> list[str]:
    every = (
        *case.verdict.assumptions,
        *case.topology.assumptions,
        *case.profile.assumptions,
    )
    return list(dict.fromkeys(every))


def _inputs(case: Case) -> list[tuple[str, str]]:
    plan, seen = case.plan, case.observation
    seed = case.profile.simulation.seed if seen is None else seen.seed
    return [
        ("qnet", plan.qnet_version),
        ("topology", case.topology.title),
        ("topology, SHA-256", plan.topology_sha256),
        ("traffic", case.profile.title),
        ("traffic, SHA-256", plan.traffic_sha256),
        ("cycle", f"{show_time(plan.cycle_ps)}, {plan.buffers} buffers"),
        ("hypercycle", f"{plan.hypercycle:,} cycles"),
        ("seed", f"{seed}"),
    ]
