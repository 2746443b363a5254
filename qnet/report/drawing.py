"""Places, cables and labels as shapes: what the map and the diagrams of sites have in common."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from math import hypot, log10
from typing import NamedTuple

from qnet.model.topology import Port, Topology
from qnet.report.inputs import PortLoad, ReportInput
from qnet.units import show_rate, show_share, show_size

LABEL_PX = 12.0
BEND_HIGHEST = 0.16
"""Parallel curves between near places bend less, or they would be circles."""

Spot = tuple[float, float]
Bundle = tuple[int, int, tuple[Port, ...]]
"""Two groups of nodes and the ports between them, both directions."""


def px(value: float) -> str:
    """Write a coordinate with one decimal: enough for the eye, and short."""
    return f"{value:.1f}".removesuffix(".0")


class DrawnEdge(NamedTuple):
    """The wires between two places that run together, coloured by the fullest of them."""

    path: str
    level: int
    width: float
    tip: str
    links: tuple[int, ...]
    """Their numbers in the topology."""


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
        start, bend, end = (f"{px(self[i])} {px(self[i + 1])}" for i in (0, 2, 4))
        return f"M{start}Q{bend} {end}"

    def at(self, share: float) -> tuple[float, float]:
        """Return the point that lies a share of the way along."""
        rest = 1 - share
        a, b, c = rest * rest, 2 * rest * share, share * share
        return (a * self.x0 + b * self.x1 + c * self.x2, a * self.y0 + b * self.y1 + c * self.y2)


def place_name(topology: Topology, group: Sequence[str]) -> str:
    """Name nodes that stand together: by their site, else by the first of them."""
    sites = {topology.node_by_name[name].site for name in group} - {None}
    site = next(iter(sites)) if len(sites) == 1 else None
    if len(group) == 1 or site:
        return (site if len(group) > 1 else None) or group[0]
    return ", ".join(group) if len(group) == 2 else f"{group[0]} and {len(group) - 1} more"


def gather(topology: Topology, groups: Sequence[Sequence[str]]) -> list[Bundle]:
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


def draw(
    case: ReportInput, bundles: Sequence[Bundle], curve: Callable[[int, int, float], Curve]
) -> tuple[list[DrawnEdge], list[Curve]]:
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
        links = tuple(dict.fromkeys(port.link for port in ports))
        edges.append(DrawnEdge(curves[-1].path, fullest, width, _bundle_tip(case, ports), links))
    return edges, curves


def _bundle_tip(case: ReportInput, ports: Sequence[Port]) -> str:
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


def chord(spots: Sequence[Spot]) -> Callable[[int, int, float], Curve]:
    """Return what joins two spots; parallel curves bend to both sides of the straight line."""

    def curve(near: int, far: int, bend: float) -> Curve:
        (x0, y0), (x2, y2) = spots[near], spots[far]
        length = max(hypot(x2 - x0, y2 - y0), 1.0)
        push = min(26.0, BEND_HIGHEST * length) * bend
        x1 = (x0 + x2) / 2 - (y2 - y0) / length * push
        y1 = (y0 + y2) / 2 + (x2 - x0) / length * push
        return Curve(x0, y0, x1, y1, x2, y2)

    return curve


def mark_tip(topology: Topology, group: Sequence[str]) -> str:
    """List the nodes of a group with their roles."""
    nodes = [topology.node_by_name[name] for name in group[:12]]
    lines = [f"{node.name} ({node.role})" if node.role else node.name for node in nodes]
    return "\n".join([*lines, *([f"and {len(group) - 12} more"] if len(group) > 12 else [])])


Box = tuple[float, float, float, float]


def text_px(text: str) -> float:
    """Estimate the width of a label; Chinese characters are as wide as high."""
    return sum(LABEL_PX if ord(letter) > 0x2E7F else LABEL_PX * 0.6 for letter in text)
