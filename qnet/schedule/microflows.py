"""Demands of microflows: the plan picks the links of each, a hash the wire at each link.

A frame distributor keeps every conversation on one wire, so that its frames stay in order (IEEE
802.1AX clause 6.2.4); which one is up to a hash of what the frame's header says. Here the name
of the demand and the number of the microflow stand for the header, and each node has a seed
of its own: see `qnet.model.plan.DemandPart` for the hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.graph.flows import RouteRate
from qnet.graph.routes import Edge
from qnet.model.plan import DemandPart, HashedPlan
from qnet.model.topology import Port
from qnet.model.traffic import Demand
from qnet.units import ceil_div

Words = NDArray[np.uint64]

STEP = np.uint64(0x9E3779B97F4A7C15)

Wires = tuple[Port, ...]
"""The wires of one link in one direction, by member."""


class Bundle(NamedTuple):
    """Microflows from `first` to `last - 1`, and the links that they take."""

    links: tuple[Wires, ...]
    first: int
    last: int


class Rooms:
    """How much every link can still be given, and every edge beyond what others were promised.

    An edge gathers parallel links; a microflow takes one of them.
    """

    def __init__(self, free_bps: Sequence[int], edge_spare_bps: Sequence[int]) -> None:
        """`free_bps` is by port, before any demand; `edge_spare_bps` by edge, after all."""
        self._free_bps = free_bps
        self._spare_bps = list(edge_spare_bps)
        self._used_bps: dict[int, int] = {}

    def bundle(self, demand: Demand, drawn: Sequence[RouteRate]) -> list[Bundle]:
        """Give a demand's microflows routes of links, about as many as each route was drawn for.

        Each route, the shortest first, takes what it was drawn for, rounded up where there is
        room, and what those before it could not take. What then has no room is left out.
        """
        for route, rate_bps in drawn:
            for edge in route.edges:
                self._spare_bps[edge.number] += rate_bps
        bundles: list[Bundle] = []
        begin = drawn_bps = 0
        for route, rate_bps in drawn:
            assert demand.microflows is not None, "asked of demands with microflows"
            drawn_bps += rate_bps
            end = ceil_div(drawn_bps * demand.microflows, demand.rate_bps)
            while begin < end:
                links = tuple(self._widest(edge) for edge in route.edges)
                room_bps = min(
                    *(self._spare_bps[edge.number] for edge in route.edges),
                    *(self._room_bps(wires) for wires in links),
                )
                last = min(_fitting(demand, begin, room_bps), end)
                if last == begin:
                    break
                taken_bps = rate_of(demand, begin, last)
                for edge, wires in zip(route.edges, links, strict=True):
                    self._spare_bps[edge.number] -= taken_bps
                    first = wires[0].number
                    self._used_bps[first] = self._used_bps.get(first, 0) + taken_bps
                bundles.append(Bundle(links, begin, last))
                begin = last
        return bundles

    def _widest(self, edge: Edge) -> Wires:
        links: dict[int, list[Port]] = {}
        for port in edge.ports:
            links.setdefault(port.link, []).append(port)
        return max((tuple(ports) for ports in links.values()), key=self._room_bps)

    def _room_bps(self, wires: Wires) -> int:
        free_bps = sum(self._free_bps[port.number] for port in wires)
        return free_bps - self._used_bps.get(wires[0].number, 0)


def rate_of(demand: Demand, first: int, last: int) -> int:
    """Return the rate of the microflows from `first` to `last - 1`."""
    assert demand.microflows is not None, "asked of demands with microflows"
    least, larger = divmod(demand.rate_bps, demand.microflows)
    return least * (last - first) + min(last, larger) - min(first, larger)


def _fitting(demand: Demand, first: int, room_bps: int) -> int:
    """Return up to which microflow those from `first` on fit into a room."""
    assert demand.microflows is not None, "asked of demands with microflows"
    low, high = first, demand.microflows
    while low < high:
        middle = (low + high + 1) // 2
        if rate_of(demand, first, middle) <= room_bps:
            low = middle
        else:
            high = middle - 1
    return low


def parts_of(demand: Demand, bundle: Bundle) -> list[DemandPart]:
    """Send the microflows of a bundle over wires, in the order of the wires' members."""
    numbers = np.arange(bundle.first, bundle.last, dtype=np.uint64)
    keys = mix(_key(demand.name) + numbers * STEP)
    groups: list[Wires] = [()]
    group_of = np.zeros(len(keys), dtype=np.int64)
    for wires in bundle.links:
        picked = mix(keys ^ _key(wires[0].source)) % np.uint64(len(wires))
        codes, group_of = np.unique(
            group_of * len(wires) + picked.astype(np.int64), return_inverse=True
        )
        groups = [
            (*groups[code // len(wires)], wires[code % len(wires)]) for code in codes.tolist()
        ]
    assert demand.microflows is not None, "asked of demands with microflows"
    least, larger = divmod(demand.rate_bps, demand.microflows)
    counts = np.bincount(group_of, minlength=len(groups)).tolist()
    more = np.bincount(group_of[: max(larger - bundle.first, 0)], minlength=len(groups)).tolist()
    return [
        DemandPart(
            ports=tuple(port.name for port in ports),
            rate_bps=least * count + extra,
            hashed=HashedPlan(first=bundle.first, last=bundle.last, count=count),
        )
        for ports, count, extra in zip(groups, counts, more, strict=True)
    ]


def mix(words: Words) -> Words:
    """Return the finaliser of SplitMix64 of each word."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _key(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
