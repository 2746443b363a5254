"""The layer cost: what a terabyte of each service costs, by the user's own prices.

It has one key of a traffic file, `cost`; without prices there nothing is worked out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil
from types import MappingProxyType

from qnet.layers import Faults, FileKind, Layer, Section
from qnet.layers.cost.bill import Bill, Wire, Yearly, delivered, planned, yearly
from qnet.layers.cost.nouns import Cost
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Finding, Proof
from qnet.model.requirement import Figure, Requirement, Unit, Witness
from qnet.model.topology import Topology, length_km
from qnet.model.traffic import Profile
from qnet.model.verdict import Row
from qnet.units import describe

OF_SERVICE, OF_EGRESS = "cost", "egress-cost"
PER_TB = Unit(name="CNY/TB", decimals=6)
MONEY = Unit(name="CNY")
HIGHEST_UCNY = 10**18
"""What next to nothing costs over a long wire is not written out: tables hold int64."""

COLUMNS = ("who pays", "TB a year", "CNY a year", "planned", "simulated")


class CostLayer(Layer):
    """Prices in, CNY/TB out; a limit is a requirement like any other."""

    name = "cost"
    models = MappingProxyType({"traffic": Cost})

    def check(
        self, topology: Topology, profile: Profile, faults: Mapping[FileKind, Faults]
    ) -> None:
        """Refuse limits of what there is none, and two for one."""
        known = {"service": list(_services(profile)), "site": [one.site for one in profile.egress]}
        seen: set[tuple[str, str]] = set()
        at = faults["traffic"]
        for index, limit in enumerate(self.of(profile).limits):
            key, name = ("service", limit.service) if limit.service else ("site", limit.site)
            where = ("cost", "limits", index, key)
            if name not in known[key]:
                what = "no service" if key == "service" else "no required egress of"
                at.fault(where, f"{what} {describe(name)}{at.guess(name, known[key])}")
            elif (key, name) in seen:
                at.fault(where, f"{describe(name)} again; it has a limit already")
            seen.add((key, name))

    def require(self, topology: Topology, profile: Profile, plan: Plan) -> Iterator[Requirement]:
        """Show each service and each required egress; where there is a limit, it is a promise."""
        cost: Cost = self.of(profile)
        limits = {(one.service, one.site): one.per_tb_ucny for one in cost.limits}
        asked = [
            (OF_SERVICE, name, limits.get((name, None)), members)
            for name, members in _services(profile).items()
        ]
        asked += [(OF_EGRESS, one.site, limits.get((None, one.site)), 1) for one in profile.egress]
        for kind, name, most, members in asked:
            if cost.has_prices or most is not None:
                yield Requirement(
                    subject=name, kind=kind, unit=PER_TB, promised=most, members=members
                )

    def prove(
        self, topology: Topology, profile: Profile, plan: Plan, proof: Proof
    ) -> Iterable[Figure | Finding]:
        """Work out what the plan comes to."""
        return self._figures("proven", profile, self._bill(topology, profile, plan))

    def observe(
        self, topology: Topology, profile: Profile, plan: Plan, observation: Observation
    ) -> Iterable[Figure]:
        """Work out what a run comes to; what is emulated is a sample, and no load."""
        if observation.witness == "emulated":
            return ()
        bill = self._bill(topology, profile, plan)
        bill = Bill(yearly(self.of(profile), topology), delivered(bill.carried, observation))
        return self._figures("simulated", profile, bill)

    def report(
        self, topology: Topology, profile: Profile, plan: Plan, rows: Sequence[Row]
    ) -> Section:
        """Say what a year costs, for what, and who pays it."""
        cost: Cost = self.of(profile)
        if not cost.has_prices:
            return Section("Cost", ["no prices given"])
        bill, wires = self._bill(topology, profile, plan), yearly(cost, topology)
        simulated = {(one.kind, one.subject): one.simulated for one in rows}
        accounts = [(OF_SERVICE, name, name, one) for name, one in bill.services.items()]
        accounts += [
            (OF_EGRESS, one.site, f"egress of {one.site}", bill.egress(one.site))
            for one in profile.egress
        ]
        accounts.append(("", "", "whole network", bill.whole))
        table = [
            (
                title,
                f"{float(one.tb):,.1f}",
                _money(one.ucny),
                PER_TB.show(_rounded(one.per_tb_ucny)),
                PER_TB.show(simulated.get((kind, subject))),
            )
            for kind, subject, title, one in accounts
        ]
        return Section("Cost", _lines(topology, wires, bill), COLUMNS, table)

    def _bill(self, topology: Topology, profile: Profile, plan: Plan) -> Bill:
        return Bill(yearly(self.of(profile), topology), planned(topology, profile, plan))

    def _figures(self, witness: Witness, profile: Profile, bill: Bill) -> Iterator[Figure]:
        if not self.of(profile).has_prices:
            return
        accounts = [(OF_SERVICE, name, one) for name, one in bill.services.items()]
        accounts += [(OF_EGRESS, one.site, bill.egress(one.site)) for one in profile.egress]
        for kind, name, one in accounts:
            value = _rounded(one.per_tb_ucny)
            if value is not None:
                yield Figure(subject=name, kind=kind, witness=witness, value=value)


def _services(profile: Profile) -> Counter[str]:
    """Count streams, of those with several listeners each leg, and demands of each service."""
    services = [one.service for one in profile.every_stream]
    return Counter([*services, *(one.service for one in profile.demands)])


def _rounded(ucny: Fraction | None) -> int | None:
    """Round up to a millionth of a CNY, so that a limit never reads as kept when it is not."""
    return None if ucny is None else min(ceil(ucny), HIGHEST_UCNY)


def _money(ucny: Fraction) -> str:
    return MONEY.show(round(ucny / 10**6))


def _lines(topology: Topology, wires: Mapping[Wire, Yearly], bill: Bill) -> list[str]:
    names = ("wires", "fibre", "ports", "energy")
    sums = zip(names, zip(*wires.values(), strict=True), strict=True)
    parts = ", ".join(f"{name} {_money(sum(some, Fraction(0)))}" for name, some in sums)
    km = sum(length_km(link, topology.node_by_name) * link.members for link in topology.links)
    unused = _money(bill.unused_ucny)
    return [
        f"A year of {len(wires):,} wires, {float(km):,.0f} km: {parts}. Prices are those of the "
        f"traffic file. Of it, {unused} are for wires that nothing uses.",
        "Each wire is paid by what it carries, by bytes on the wire, so half the use is twice the "
        "price; the whole network is all wires over all that is carried.",
    ]


layer = CostLayer()
