"""Rule 5: what demands and streams add up to, at every port and at the edge of a site."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from qnet.check.findings import (
    NUMBER_HIGHEST,
    Findings,
    exact_number,
    exact_rate,
    is_sane,
    quoted,
    round_up,
)
from qnet.check.hashing import check_hashing
from qnet.check.line import wire_bytes
from qnet.check.routes import most_paths, route_fault
from qnet.model.plan import DemandPlan, EgressPlan, Plan, StreamPlan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Demand, Profile, Stream
from qnet.units import PS_PER_S

_PS_BITS_PER_BYTE = 8 * PS_PER_S
"""A rate in bit/s over a time in ps, divided by this, is a number of bytes."""


def match_demands(
    profile: Profile, plan: Plan, findings: Findings
) -> list[tuple[Demand, DemandPlan]]:
    """Pair the plan's demands with the profile's; what has no partner is a finding."""
    wanted = {demand.name: demand for demand in profile.demands}
    check_names("demand", wanted, [entry.name for entry in plan.demands], findings)
    pairs = []
    for entry in plan.demands:
        rates = [entry.rate_bps, entry.placed_bps, *(part.rate_bps for part in entry.parts)]
        if entry.name not in wanted:
            continue
        if is_sane(rates):
            pairs.append((wanted[entry.name], entry))
        else:
            findings.add("inputs", entry.name, f"a rate beyond {NUMBER_HIGHEST} b/s; ignored")
    return pairs


def check_names(
    kind: str, wanted: Mapping[str, object], found: Sequence[str], findings: Findings
) -> None:
    """See that the plan has each name of the profile once, and no other."""
    counts = Counter(found)
    for name in wanted:
        if name not in counts:
            findings.add("inputs", name, f"the plan says nothing of this {kind}")
    for name, count in counts.items():
        if name not in wanted:
            findings.add("inputs", quoted(name), f"the profile has no such {kind}")
        elif count > 1:
            findings.add("inputs", name, f"the plan has this {kind} {count} times")


def check_demands(
    topology: Topology, pairs: Iterable[tuple[Demand, DemandPlan]], findings: Findings
) -> Mapping[int, int]:
    """Check the routes and sums of all demands; return what is placed on each port."""
    placed_bps: Counter[int] = Counter()
    for demand, entry in pairs:
        _check_demand_sums(demand, entry, findings)
        check_hashing(topology, demand, entry, findings)
        for part in entry.parts:
            ports = [topology.port_by_name.get(name) for name in part.ports]
            fault = route_fault(topology, part.ports, ports, (demand.source, demand.target))
            if fault:
                findings.add("route", demand.name, fault)
            for port in {port for port in ports if port is not None}:
                placed_bps[port.number] += max(part.rate_bps, 0)
    return placed_bps


class Beside(NamedTuple):
    """What reserves nothing and may be in the way, beside what a plan sends."""

    streams: Sequence[tuple[Stream, StreamPlan]] = ()
    demands: Sequence[tuple[Demand, DemandPlan]] = ()
    rides: Mapping[str, int] = MappingProxyType({})
    """Ports from the talker on at which the frames of a stream are those of another one."""


class Others(NamedTuple):
    """The longest frames that reserve nothing, by port number; 0 where a plan sends none."""

    of_any: Mapping[int, int]
    uncut: Mapping[int, int]
    """Of classes that are not preemptable."""


def longest_others(
    topology: Topology,
    profile: Profile,
    streams: Iterable[tuple[Stream, StreamPlan]],
    demands: Iterable[tuple[Demand, DemandPlan]],
) -> Others:
    """Go along all ways of a plan without a reservation, and note what is sent at each port.

    One of these frames may have begun just before a cycle or a window does.
    """
    sent: list[tuple[str, int, Sequence[str]]] = []
    for stream, entry in streams:
        if not profile.is_reserved(stream):
            sent += [(stream.traffic_class, stream.frame_bytes, one.ports) for one in entry.paths]
    for demand, placed in demands:
        longest = max(size for size, _ in demand.sizes)
        sent += [(demand.traffic_class, longest, part.ports) for part in placed.parts]
    cut = {one.name for one in profile.classes if one.preemptable}
    of_any: Counter[int] = Counter()
    uncut: Counter[int] = Counter()
    for traffic_class, size, names in sent:
        for name in names:
            port = topology.port_by_name.get(name)
            if port is None:
                continue
            of_any[port.number] = max(of_any[port.number], size)
            if traffic_class not in cut:
                uncut[port.number] = max(uncut[port.number], size)
    return Others(of_any, uncut)


def _check_demand_sums(demand: Demand, entry: DemandPlan, findings: Findings) -> None:
    if entry.rate_bps != demand.rate_bps:
        findings.add(
            "inputs",
            demand.name,
            f"planned as a demand of {entry.rate_bps} b/s; the profile asks {demand.rate_bps} b/s",
        )
    rates_bps = [part.rate_bps for part in entry.parts]
    if any(rate_bps <= 0 for rate_bps in rates_bps):
        findings.add("rate", demand.name, f"a part of {min(rates_bps)} b/s; a part carries more")
    if sum(rates_bps) != entry.placed_bps:
        findings.add(
            "rate",
            demand.name,
            f"its parts carry {sum(rates_bps)} b/s, the plan says {entry.placed_bps} b/s",
        )
    if entry.placed_bps > demand.rate_bps:
        findings.add(
            "rate",
            demand.name,
            f"{entry.placed_bps} b/s placed, more than the {demand.rate_bps} b/s offered",
        )


def mean_bps(stream: Stream) -> Fraction:
    """Return the mean rate of a stream on the wire."""
    return _rate_bps(stream.max_packets * wire_bytes(stream.frame_bytes), stream.interval_ps)


@lru_cache(maxsize=1024)
def _rate_bps(on_wire: int, time_ps: int) -> Fraction:
    """Return the rate of so many bytes in a time; many streams are alike."""
    return Fraction(on_wire * _PS_BITS_PER_BYTE, time_ps)


def check_rates(
    topology: Topology,
    reserved: Iterable[tuple[Stream, Sequence[Port]]],
    placed_bps: Mapping[int, int],
    findings: Findings,
) -> None:
    """See that demands and reserved streams with their ports stay within what is reservable."""
    wire_bytes_by_interval: dict[int, Counter[int]] = defaultdict(Counter)
    for stream, ports in reserved:
        size = stream.max_packets * wire_bytes(stream.frame_bytes)
        for port in ports:
            wire_bytes_by_interval[port.number][stream.interval_ps] += size
    for number in sorted({*wire_bytes_by_interval, *placed_bps}):
        port = topology.ports[number]
        reserved_bps = sum(
            (
                Fraction(size * _PS_BITS_PER_BYTE, interval_ps)
                for interval_ps, size in wire_bytes_by_interval[number].items()
            ),
            Fraction(0),
        )
        demands_bps = placed_bps.get(number, 0)
        over_bps = demands_bps + reserved_bps - port.reservable_bps
        if over_bps > 0:
            findings.add(
                "rate",
                port.name,
                f"{exact_rate(demands_bps)} of demands and {exact_rate(reserved_bps)} reserved: "
                f"{exact_rate(over_bps)} more than the reservable "
                f"{exact_rate(port.reservable_bps)}",
                port.name,
            )


def check_egress(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    placed: tuple[Sequence[tuple[Stream, StreamPlan]], Sequence[tuple[Demand, DemandPlan]]],
    findings: Findings,
) -> None:
    """See that the plan claims no more egress than its own streams and demands come to."""
    required = {one.site: one.rate_bps for one in profile.egress}
    check_names("egress", required, [entry.site for entry in plan.egress], findings)
    site = {node.name: node.site for node in topology.nodes}
    out_bps: Counter[str | None] = Counter()
    counted: set[str] = set()
    for stream, route in placed[0]:
        outside = site.get(stream.talker) != site.get(stream.listener)
        # The frames of a tree leave its site once, however many listen to them outside.
        if outside and route.status != "refused" and stream.tree not in counted:
            if stream.tree != stream.name:
                counted.add(stream.tree)
            copies = min(len(route.paths), most_paths(stream))
            out_bps[site.get(stream.talker)] += round_up(mean_bps(stream)) * copies
    for demand, part in placed[1]:
        if site.get(demand.source) != site.get(demand.target):
            out_bps[site.get(demand.source)] += max(part.placed_bps, 0)
    for entry in plan.egress:
        if entry.site in required:
            _check_claim(entry, required[entry.site], out_bps[entry.site], findings)


def check_claims(plan: Plan, placed: Sequence[tuple[Stream, int]], findings: Findings) -> None:
    """See that the plan claims no more reserved than its own streams, with their paths, come to.

    A stream with several listeners counts once.
    """
    claim = plan.reserved
    if claim is None:
        return
    first = [one for one in placed if one[0].tree == one[0].name]
    first += {one[0].tree: one for one in placed if one[0].tree != one[0].name}.values()
    sums_bps = sum(round_up(mean_bps(stream)) * paths for stream, paths in first)
    for claimed, found, bound, unit in (
        (claim.placed_bps, sums_bps, claim.bound_bps, "b/s"),
        (claim.streams_placed, len(first), claim.streams_bound, "streams"),
    ):
        if claimed > found:
            words = f"claims {exact_number(claimed)} {unit} reserved; its streams come to {found} "
            findings.add("rate", "reserved", words + unit)
        if claimed > bound:
            words = f"claims {exact_number(claimed)} {unit}, above its own bound of "
            findings.add("rate", "reserved", words + exact_number(bound))


def _check_claim(entry: EgressPlan, required_bps: int, out_bps: int, findings: Findings) -> None:
    if entry.required_bps != required_bps:
        findings.add(
            "inputs",
            entry.site,
            f"planned for an egress of {exact_number(entry.required_bps)} b/s; the profile asks "
            f"{required_bps} b/s",
        )
    if entry.placed_bps > out_bps:
        findings.add(
            "rate",
            entry.site,
            f"claims {exact_number(entry.placed_bps)} b/s of egress; its streams and demands come "
            f"to {out_bps} b/s",
        )
    if entry.placed_bps > entry.bound_bps:
        findings.add(
            "rate",
            entry.site,
            f"claims {exact_number(entry.placed_bps)} b/s of egress, above its own bound of "
            f"{exact_number(entry.bound_bps)} b/s",
        )
