"""What a year of the network costs, who shares it, and what a terabyte comes to.

    cost/TB = (wires + ports + fibre km + energy) / (R u Y)

for a wire of rate R that is used to a part u; Y is a year, of 365.25 days, and R Y of 400 Gb/s is
1.578e6 TB. A wire of CNY 1 M a year comes to 0.63 CNY/TB when it is full, and to 3.96 at 16 %.

Each wire is paid by what it carries, both directions together, by bytes on the wire: what it costs
does not depend on who uses it, so half the use is twice the price. What nothing uses nobody pays;
it is in the price of the whole network. All of it is exact, in millionths of a CNY.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from qnet.layers.cost.nouns import Cost
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.scale import mean_rate_bps
from qnet.model.topology import Topology, length_km
from qnet.model.traffic import LEG, Profile
from qnet.units import PS_PER_S

YEAR_HOURS = 8766
YEAR_S = YEAR_HOURS * 3600

Wire = tuple[int, int]
"""A link, by its place in the file, and one of its members."""


class Yearly(NamedTuple):
    """What a year of one wire costs, in millionths of a CNY."""

    wire: Fraction
    fibre: Fraction
    ports: Fraction
    energy: Fraction


class Carried(NamedTuple):
    """What one stream or demand brings to its end, and sends over wires on the way, in bit/s."""

    service: str
    leaves: str | None
    """Site that it leaves, if any."""
    rate_bps: Fraction
    wires: Mapping[Wire, Fraction]


class Account(NamedTuple):
    """What some traffic costs in a year, and how much it is."""

    ucny: Fraction
    rate_bps: Fraction

    @property
    def tb(self) -> Fraction:
        """Terabytes in a year."""
        return self.rate_bps * YEAR_S / (8 * 10**12)

    @property
    def per_tb_ucny(self) -> Fraction | None:
        """What a terabyte costs; None where there are none."""
        return self.ucny / self.tb if self.rate_bps else None


def yearly(cost: Cost, topology: Topology) -> dict[Wire, Yearly]:
    """Return what a year of each wire costs."""
    kwh = Fraction(2 * (cost.power_mw or 0) * YEAR_HOURS, 10**6)
    return {
        (index, member): Yearly(
            Fraction(cost.wire_ucny or 0),
            (cost.km_ucny or 0) * length_km(link, topology.node_by_name),
            Fraction(2 * (cost.port_ucny or 0)),
            (cost.kwh_ucny or 0) * kwh,
        )
        for index, link in enumerate(topology.links)
        for member in range(link.members)
    }


def planned(topology: Topology, profile: Profile, plan: Plan) -> dict[str, Carried]:
    """Return what the plan carries: streams at the mean of what they send, demands as placed.

    A stream with several listeners is one, and takes each wire once.
    """
    wires = {port.name: (port.link, port.member) for port in topology.ports}
    sites = {node.name: node.site for node in topology.nodes}
    ways: dict[str, list[str]] = defaultdict(list)
    for entry in plan.streams:
        own = [port for path in entry.paths for port in path.ports if port in wires]
        apart = own if entry.tree == entry.name else [x for x in own if x not in ways[entry.tree]]
        if entry.status != "refused":
            ways[entry.tree] += apart
    found = {}
    for stream in profile.every_tree:
        if stream.name in ways:
            rate_bps = mean_rate_bps(stream)
            used = Counter(wires[port] for port in ways[stream.name])
            found[stream.name] = Carried(
                stream.service,
                _left(sites, stream.talker, stream.listeners),
                rate_bps,
                {wire: count * rate_bps for wire, count in used.items()},
            )
    placed = {entry.name: entry for entry in plan.demands}
    for demand in profile.demands:
        parts = placed[demand.name].parts if demand.name in placed else ()
        load: Counter[Wire] = Counter()
        for part in parts:
            for port in part.ports:
                if port in wires:
                    load[wires[port]] += part.rate_bps
        found[demand.name] = Carried(
            demand.service,
            _left(sites, demand.source, (demand.target,)),
            Fraction(sum(part.rate_bps for part in parts)),
            {wire: Fraction(rate_bps) for wire, rate_bps in load.items()},
        )
    return found


def _left(sites: Mapping[str, str | None], source: str, ends: Iterable[str]) -> str | None:
    site = sites.get(source)
    return site if any(sites.get(end) != site for end in ends) else None


def delivered(plans: Mapping[str, Carried], run: Observation) -> dict[str, Carried]:
    """Return what a run brought to its end in steady state, over the wires of the plan.

    A stream with several listeners counts by the one that got least, a frame over two paths once.
    """
    steady_ps = run.duration_ps - run.steady_from_ps
    if steady_ps <= 0:
        return {}
    got: dict[str, Fraction] = {}
    for one in (*run.streams, *run.demands):
        name = one.name if one.name in plans else one.name.partition(LEG)[0]
        came = Fraction(one.steady_bytes * one.received, max(one.copies, 1))
        got[name] = min(came, got.get(name, came))
    found = {}
    for name, carried in plans.items():
        rate_bps = got.get(name, Fraction(0)) * 8 * PS_PER_S / steady_ps
        part = rate_bps / carried.rate_bps if carried.rate_bps else Fraction(0)
        used = {wire: part * planned_bps for wire, planned_bps in carried.wires.items()}
        found[name] = carried._replace(rate_bps=rate_bps, wires=used)
    return found


class Bill:
    """A year of the network, and who pays for it."""

    def __init__(self, wires: Mapping[Wire, Yearly], carried: Mapping[str, Carried]) -> None:
        self.wires = {wire: sum(price, Fraction(0)) for wire, price in wires.items()}
        self.carried = carried
        self._load: dict[Wire, Fraction] = defaultdict(Fraction)
        for one in carried.values():
            for wire, rate_bps in one.wires.items():
                self._load[wire] += rate_bps

    @property
    def services(self) -> dict[str, Account]:
        """What each service costs, in the order of the file."""
        names = dict.fromkeys(one.service for one in self.carried.values())
        groups: dict[str, list[Carried]] = {name: [] for name in names}
        for one in self.carried.values():
            groups[one.service].append(one)
        return {name: self._account(group) for name, group in groups.items()}

    def egress(self, site: str) -> Account:
        """Return what the traffic costs that leaves a site."""
        return self._account(one for one in self.carried.values() if one.leaves == site)

    @property
    def unused_ucny(self) -> Fraction:
        """What wires cost that nothing uses."""
        return sum(
            (price for wire, price in self.wires.items() if not self._load[wire]), Fraction(0)
        )

    @property
    def whole(self) -> Account:
        """All wires, used or not, beside all that is carried."""
        rate_bps = sum((one.rate_bps for one in self.carried.values()), Fraction(0))
        return Account(sum(self.wires.values(), Fraction(0)), rate_bps)

    def _account(self, group: Iterable[Carried]) -> Account:
        load: dict[Wire, Fraction] = defaultdict(Fraction)
        rate_bps = Fraction(0)
        for one in group:
            rate_bps += one.rate_bps
            for wire, used_bps in one.wires.items():
                load[wire] += used_bps
        shares = (
            self.wires[wire] * used_bps / self._load[wire]
            for wire, used_bps in load.items()
            if used_bps
        )
        return Account(sum(shares, Fraction(0)), rate_bps)
