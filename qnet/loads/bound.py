"""What arithmetic alone excludes: loads that no flow of any kind, or no port of a plan, carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from qnet.graph.flows import FlowProgram, Pair, most_placed_bps
from qnet.graph.routes import Routes
from qnet.model.load_limit import PPM
from qnet.model.plan import Plan
from qnet.model.scale import SCALE_HIGHEST, Chosen
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule.capacity import mean_rate_bps
from qnet.units import PPB, ceil_div

SURE_BPS, SURE_PPB = 10**4, 10
"""Of all that is wanted so little may be missing by the solver's error."""


GRAIN_PPM = 100


class LoadBound(NamedTuple):
    """Loads close to each other of which the higher one is excluded, and the ports that do so."""

    carried_ppm: int
    excluded_ppm: int
    ports: tuple[str, ...]


class FlowBound:
    """The highest load that flows which may be split and wait for nobody carry.

    Streams count with their mean rate over as many paths as they ask for; of several listeners one.
    No plan carries more.
    """

    def __init__(self, topology: Topology, profile: Profile, chosen: Chosen) -> None:
        self._graph = Routes(topology).graph
        kept = all(profile.takes_cycles(one) for one in profile.streams)
        self._capacity_bps = [
            sum(port.reservable_bps if kept else port.rate_bps for port in edge.ports)
            for edge in self._graph.edges
        ]
        self._fixed: dict[Pair, int] = {}
        self._scaled: dict[Pair, int] = {}
        for stream in profile.streams:
            pair = (stream.talker, stream.listeners[0])
            rate_bps = mean_rate_bps(stream) * stream.paths * stream.count
            self._add(pair, rate_bps, is_scaled=chosen(stream))
        for demand in profile.demands:
            pair = (demand.source, demand.target)
            self._add(pair, demand.rate_bps, is_scaled=chosen(demand))

    def _add(self, pair: Pair, rate_bps: int, *, is_scaled: bool) -> None:
        wants = self._scaled if is_scaled else self._fixed
        wants[pair] = wants.get(pair, 0) + rate_bps

    def find(self) -> LoadBound:
        """Return the bound, to a grain of the load; the profile's own where it may be carried."""
        low, high = 0, GRAIN_PPM
        while self._carries(high):
            low, high = high, high * 2
            if high > SCALE_HIGHEST * PPM:
                return LoadBound(low, high, ())
        while high - low > GRAIN_PPM:
            middle = (low + high) // 2
            if self._carries(middle):
                low = middle
            else:
                high = middle
        # What the solver cannot tell from all of it may be more than all of it.
        unsure_ppm = ceil_div(self._unsure_bps(low) * PPM, sum(self._scaled.values()) or 1)
        low = max(low - unsure_ppm, 0)
        if low < PPM < high:
            low = PPM
        edges = self._graph.edges
        full = FlowProgram(self._graph, self._capacity_bps, self._wants(high))
        prices = full.intact.price_ppb
        ports = (port.name for number in sorted(prices) for port in edges[number].ports)
        return LoadBound(low, high, tuple(ports))

    def _carries(self, scale_ppm: int) -> bool:
        wants = self._wants(scale_ppm)
        wanted_bps = sum(wants.values())
        missing_bps = wanted_bps - most_placed_bps(self._graph, self._capacity_bps, wants)
        return missing_bps <= self._unsure_bps(scale_ppm)

    def _unsure_bps(self, scale_ppm: int) -> int:
        return max(SURE_BPS, sum(self._wants(scale_ppm).values()) * SURE_PPB // PPB)

    def _wants(self, scale_ppm: int) -> Mapping[Pair, int]:
        wants = dict(self._fixed)
        for pair, rate_bps in self._scaled.items():
            wants[pair] = wants.get(pair, 0) + rate_bps * scale_ppm // PPM
        return wants


def port_bound(
    topology: Topology, profile: Profile, plan: Plan, chosen: Chosen, loss_ppb: int
) -> LoadBound:
    """Return at which load some port, for ever, can send so little that too much is lost.

    Demands go where they are planned. Of n bit/s in all, s of them at a port that has c for them:
    it loses more than a share L once s - c > L n. What reserves room there comes first, with its
    mean rate; what else is not scaled is left out. Buffers only put it off.
    """
    kept_bps: dict[str, Fraction] = {}
    scaled_bps: dict[str, Fraction] = {}
    for name, rate_bps, is_demand, is_chosen in _loads(profile, plan, chosen):
        if is_demand and is_chosen:
            scaled_bps[name] = scaled_bps.get(name, Fraction(0)) + rate_bps
        elif not is_demand:
            kept_bps[name] = kept_bps.get(name, Fraction(0)) + rate_bps
    every_bps = sum(one.rate_bps for one in profile.demands if chosen(one))
    most = {}
    for port in topology.ports:
        here_bps = scaled_bps.get(port.name, Fraction(0)) - Fraction(loss_ppb * every_bps, PPB)
        if here_bps > 0:
            left_bps = max(port.rate_bps - kept_bps.get(port.name, Fraction(0)), Fraction(0))
            most[port.name] = left_bps / here_bps
    least = min(most.values(), default=Fraction(SCALE_HIGHEST))
    ports = sorted(name for name, one in most.items() if one == least)
    return LoadBound(int(least * PPM), int(least * PPM) + 1, tuple(ports))


def fullest(topology: Topology, profile: Profile, plan: Plan, most: int) -> list[tuple[str, int]]:
    """Return the ports that a plan fills most, and their fill in parts per billion of the line.

    What is planned counts with its mean rate, but for streams that reserve nothing.
    """
    used: dict[str, Fraction] = {}
    for name, rate_bps, _, _ in _loads(profile, plan, lambda _: True):
        used[name] = used.get(name, Fraction(0)) + rate_bps
    found = [
        (-int(used[port.name] * PPB / port.rate_bps), port.name)
        for port in topology.ports
        if port.name in used
    ]
    return [(name, -fill) for fill, name in sorted(found)[:most]]


def _loads(
    profile: Profile, plan: Plan, chosen: Chosen
) -> Iterable[tuple[str, Fraction, bool, bool]]:
    """Yield port, rate, whether it is a demand's, and whether that is chosen, of every way.

    Streams that reserve nothing are left out.
    """
    by_name = {one.name: one for one in profile.every_stream}
    for stream in plan.streams:
        made = by_name.get(stream.name)
        if made is not None and (profile.takes_cycles(made) or profile.is_gated(made)):
            for path in stream.paths:
                yield from (
                    (port, Fraction(mean_rate_bps(made)), False, chosen(made))
                    for port in path.ports
                )
    demands = {one.name: one for one in profile.demands}
    for demand in plan.demands:
        for part in demand.parts:
            for port in part.ports:
                yield port, Fraction(part.rate_bps), True, chosen(demands[demand.name])
