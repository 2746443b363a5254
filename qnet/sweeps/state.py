"""What is left of the services: with a plan as it was, and with one that was made anew."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from qnet.check.routes import ONE_PATH_LEFT
from qnet.model.plan import Plan, StreamPlan
from qnet.model.proof import Proof
from qnet.model.sweep import CaseState, SiteEgress
from qnet.model.topology import Topology
from qnet.model.traffic import Demand, Profile
from qnet.schedule.capacity import mean_rate_bps

FINDINGS_LISTED = 3

LATE = {"latency", "variation"}
"""Rules of the checker that a stream breaks by itself when it may come too late."""


class _Thing(NamedTuple):
    """A stream, with all its listeners, or a demand: what the plan has of it."""

    name: str
    service: str
    rate_bps: int
    copies: int
    sites: tuple[str, ...]
    """Sites with an egress promise that it leaves."""


class Services:
    """The services of a profile, asked what is left of them state by state."""

    def __init__(self, topology: Topology, profile: Profile) -> None:
        self._profile = profile
        self._ports = topology.port_by_name
        self._inside = {
            one.site: {node.name for node in topology.nodes if node.site == one.site}
            for one in profile.egress
        }
        self._streams = [
            _Thing(
                one.name,
                one.group or one.name,
                mean_rate_bps(one),
                one.paths,
                tuple(self._sites_of(one.talker, one.listeners)),
            )
            for one in profile.every_tree
        ]
        self._demands = [
            _Thing(one.name, one.group or one.name, one.rate_bps, 1, self._sites_of_demand(one))
            for one in profile.demands
        ]
        self._tree_of = {leg.name: one.name for one in profile.every_tree for leg in one.legs}

    def _sites_of(self, source: str, targets: Sequence[str]) -> Iterable[str]:
        for site, inside in self._inside.items():
            if source in inside and not inside.issuperset(targets):
                yield site

    def _sites_of_demand(self, demand: Demand) -> tuple[str, ...]:
        return tuple(self._sites_of(demand.source, (demand.target,)))

    def kept(self, plan: Plan, down: Collection[int]) -> CaseState:
        """Say what is left of a plan whose ports fail in part, and nobody has reacted yet.

        The checker proves that what is left keeps its bounds: frames that are lost are in nobody's
        way, and what holds for two paths holds for each of them.
        """
        broken = {name for name, port in self._ports.items() if port.number in down}
        paths: dict[str, int] = {}
        for entry in plan.streams:
            left = sum(broken.isdisjoint(path.ports) for path in entry.paths)
            self._least(paths, entry, left)
        placed = {
            one.name: sum(part.rate_bps for part in one.parts if broken.isdisjoint(part.ports))
            for one in plan.demands
        }
        return self._state(paths, placed, late=())

    def replanned(self, plan: Plan, proof: Proof) -> CaseState:
        """Say what a plan that was made anew has, as the checker judges it."""
        paths: dict[str, int] = {}
        for entry in plan.streams:
            self._least(paths, entry, len(entry.paths))
        late = {one.subject for one in proof.findings if one.rule in LATE}
        state = self._state(
            paths, {one.name: one.placed_bps for one in plan.demands}, {*map(self._tree, late)}
        )
        changes = plan.changes
        moved = () if changes is None else (*changes.moved, *changes.replaced)
        wrong = [
            f"{one.subject}: {one.message}"
            for one in proof.findings
            if one.message != ONE_PATH_LEFT
        ]
        bounds = {one.site: one for one in plan.egress}
        return state.replace(
            streams_moved=len({self._tree(name) for name in moved}),
            findings=tuple(wrong[:FINDINGS_LISTED]),
            egress=tuple(
                SiteEgress(
                    site=one.site, placed_bps=one.placed_bps, bound_bps=bounds[one.site].bound_bps
                )
                for one in state.egress
            ),
        )

    def _tree(self, name: str) -> str:
        return self._tree_of.get(name, name)

    def _least(self, paths: dict[str, int], entry: StreamPlan, left: int) -> None:
        """Count for a stream the paths of the listener that has fewest."""
        tree = self._tree(entry.name)
        if entry.status == "refused":
            left = 0
        paths[tree] = min(left, paths.get(tree, left))

    def _state(
        self, paths: dict[str, int], placed: dict[str, int], late: Collection[str]
    ) -> CaseState:
        cut = [one for one in self._streams if not paths.get(one.name)]
        short = [one for one in self._demands if placed.get(one.name, 0) < one.rate_bps]
        leaving: dict[str, int] = defaultdict(int)
        for one in self._streams:
            for site in one.sites:
                leaving[site] += one.rate_bps * paths.get(one.name, 0)
        for one in self._demands:
            for site in one.sites:
                leaving[site] += placed.get(one.name, 0)
        broken = Counter(one.service for one in (*cut, *short))
        broken.update(one.service for one in self._streams if one.name in late)
        low = sum(leaving[one.site] < one.rate_bps for one in self._profile.egress)
        return CaseState(
            streams_cut=len(cut),
            streams_reduced=sum(0 < paths.get(one.name, 0) < one.copies for one in self._streams),
            demands_short=len(short),
            promises_broken=sum(broken.values()) + low,
            lost_bps=sum(one.rate_bps for one in cut)
            + sum(one.rate_bps - placed.get(one.name, 0) for one in short),
            egress=tuple(
                SiteEgress(site=one.site, placed_bps=leaving[one.site])
                for one in self._profile.egress
            ),
            services=tuple(sorted(broken.items())),
        )
