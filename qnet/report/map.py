"""The map: nodes that stand together are one place, and labels stay clear of each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, cos, floor, hypot, pi, radians, sin
from typing import NamedTuple

from qnet.model.topology import Topology
from qnet.report.drawing import (
    LABEL_PX,
    DrawnEdge,
    Spot,
    chord,
    draw,
    gather,
    mark_tip,
    place_name,
    text_px,
)
from qnet.report.inputs import Listed, ReportInput
from qnet.report.site import Panel, has_inside, panel

PANELS_DRAWN = 6
SITE_DEGREES = 0.3
"""Nodes this near to each other are one place on the map."""

MAP_WIDTH = 1000.0
MAP_MARGIN = 70.0
MAP_HEIGHT_LOWEST = 360.0
MAP_HEIGHT_HIGHEST = 760.0
MARKER_PX = 7.0
GRID_LABEL_PX = 36.0
SAMPLES_HIGHEST = 1500
"""Points of edges that labels try to keep clear of; more would cost seconds for little."""
NO_ROOM = SAMPLES_HIGHEST + 1

Box = tuple[float, float, float, float]


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


class Drawing(NamedTuple):
    """The map: places, the cables between them, and the degrees behind them."""

    height: float
    edges: Sequence[DrawnEdge]
    marks: Sequence[Mark]
    grid: Sequence[tuple[str, float, float]]
    note: str


def network(case: ReportInput) -> tuple[Drawing | None, Listed[Panel]]:
    """Draw the map, and one diagram for each place of several nodes."""
    places = _places(case.topology)
    if not places:
        groups: list[tuple[str, ...]] = [(name,) for name in around(case.topology)]
        note = "No node has a position: the nodes stand on a circle, each beside what it hangs on."
        return _circle(case, groups, note), Listed((), 0)
    groups = _groups(places)
    several = _joined(case.topology, groups)
    panels = [panel(case, groups, number) for number in several[:PANELS_DRAWN]]
    unplaced = len(case.topology.nodes) - len(places)
    note = f"{unplaced} nodes have no position and are not shown." if unplaced else ""
    whole = _map(case, groups, places, note) if len(groups) > 1 else None
    return whole, Listed(panels, len(several))


def _joined(topology: Topology, groups: Sequence[Sequence[str]]) -> list[int]:
    """Return the places that have links inside, the largest first."""
    several = [number for number, group in enumerate(groups) if has_inside(topology, group)]
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


def _map(
    case: ReportInput, groups: Sequence[Sequence[str]], places: Mapping[str, Spot], note: str
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
        if extent - at < GRID_LABEL_PX and scale > 0:
            continue
        lines.append((label, at, 0.0) if scale > 0 else (label, 0.0, at))
    return lines


def around(topology: Topology) -> list[str]:
    """Order the nodes: those with fewer neighbours than all of these stand around the first."""
    neighbours: dict[str, set[str]] = {node.name: set() for node in topology.nodes}
    for port in topology.ports:
        neighbours[port.source].add(port.target)
    hung: dict[str, list[str]] = {}
    for node in topology.nodes:
        near = [other.name for other in topology.nodes if other.name in neighbours[node.name]]
        if near and all(len(neighbours[one]) > len(near) for one in near):
            hung.setdefault(near[0], []).append(node.name)
    leaves = {name for names in hung.values() for name in names}
    order: list[str] = []
    for node in topology.nodes:
        around = hung.get(node.name, [])
        half = len(around) // 2
        if node.name not in leaves:
            order += [*around[:half], node.name, *around[half:]]
    return order


def _circle(case: ReportInput, groups: Sequence[Sequence[str]], note: str) -> Drawing:
    height = MAP_HEIGHT_HIGHEST
    radius = height / 2 - MAP_MARGIN
    turns = [2 * pi * number / len(groups) - pi / 2 for number in range(len(groups))]
    spots = [(MAP_WIDTH / 2 + radius * cos(a), height / 2 + radius * sin(a)) for a in turns]
    return _drawing(case, groups, spots, height, ([], note))


def _drawing(
    case: ReportInput,
    groups: Sequence[Sequence[str]],
    spots: Sequence[Spot],
    height: float,
    backdrop: tuple[list[tuple[str, float, float]], str],
) -> Drawing:
    bundles = gather(case.topology, groups)
    edges, curves = draw(case, bundles, chord(spots))
    texts = [place_name(case.topology, group) for group in groups]
    every = 12 if len(curves) * 12 <= SAMPLES_HIGHEST else max(SAMPLES_HIGHEST // len(curves), 1)
    lines = [curve.at((i + 0.5) / every) for curve in curves for i in range(every)]
    labels = _place_labels(texts, spots, height, lines)
    marks = [
        Mark(x, y, text, len(group), *label, mark_tip(case.topology, group))
        for (x, y), text, group, label in zip(spots, texts, groups, labels, strict=True)
    ]
    grid, note = backdrop
    hidden = sum(not mark.anchor for mark in marks)
    if hidden:
        label = "1 label" if hidden == 1 else f"{hidden} labels"
        note = f"{note} {label} had no room; point at a place to read its name.".strip()
    return Drawing(height, edges, marks, grid, note)


def _place_labels(
    texts: Sequence[str], spots: Sequence[Spot], height: float, lines: Sequence[Spot]
) -> list[tuple[float, float, str]]:
    """Give each label the side of its mark where it covers least; none when it hides another."""
    reach = MARKER_PX + 2
    marks: list[Box] = [(x - reach, y - reach, x + reach, y + reach) for x, y in spots]
    taken: list[Box] = []
    labels = []
    for number, (text, spot) in enumerate(zip(texts, spots, strict=True)):
        options = _label_options(spot, text_px(text))
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
