"""The inside of one place: its nodes in layers, nearest to the outside first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

from qnet.model.topology import Topology
from qnet.report.drawing import (
    Bundle,
    Curve,
    DrawnEdge,
    Spot,
    chord,
    draw,
    gather,
    mark_tip,
    place_name,
    text_px,
)
from qnet.report.inputs import ReportInput

WIDTH = 1000.0
LAYER_WIDTH = 9
LAYER_PX = 92.0
CHIP_PX = 28.0


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
    edges: Sequence[DrawnEdge]
    chips: Sequence[Chip]


def has_inside(topology: Topology, group: Sequence[str]) -> bool:
    """Tell whether any two nodes of a place are joined: else the map has shown all there is."""
    return any(set(link.between) <= set(group) for link in topology.links)


def panel(case: ReportInput, groups: Sequence[Sequence[str]], number: int) -> Panel:
    """Lay out one place in layers: the other places, the nodes that reach them, and so on in."""
    members = groups[number]
    others = [group for index, group in enumerate(groups) if index != number]
    topology = case.topology
    bundles = [
        bundle
        for bundle in gather(topology, [(name,) for name in members] + list(others))
        if bundle[0] < len(members)
    ]
    layers = _layers(len(members), bundles)
    spots: dict[int, Spot] = {}
    for depth, layer in enumerate(layers):
        for index, item in enumerate(layer):
            x = WIDTH * (index + 0.5) / len(layer)
            spots[item] = (x, CHIP_PX + 12 + depth * LAYER_PX)
    row_of = {item: depth for depth, layer in enumerate(layers) for item in layer}

    def curve(near: int, far: int, bend: float) -> Curve:
        (x0, y0), (x2, y2) = spots[near], spots[far]
        dip = 0.0
        if row_of[near] == row_of[far]:
            dip = LAYER_PX * 0.7 if abs(x2 - x0) > WIDTH / len(layers[row_of[near]]) + 1 else 0
        flat = chord(((x0, y0), (x2, y2)))(0, 1, bend)
        return flat._replace(y1=flat.y1 + dip)

    edges, _ = draw(case, bundles, curve)
    chips = [
        _chip(topology, group, spots[item], item < len(members))
        for item, group in enumerate([*((name,) for name in members), *others])
        if item in spots
    ]
    height = (len(layers) - 1) * LAYER_PX + 2 * CHIP_PX + 24
    title = f"Inside {place_name(topology, members)}: {len(members)} nodes"
    if not others and len({topology.node_by_name[name].site for name in members}) > 1:
        title = f"All {len(members)} nodes are in one place"
    return Panel(title, height, edges, chips)


def _chip(topology: Topology, group: Sequence[str], spot: Spot, inside: bool) -> Chip:
    label = place_name(topology, group)
    kind = "inside" if inside else "outside"
    return Chip(*spot, text_px(label) + 20, kind, label, mark_tip(topology, group))


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
