"""The figures at the top of the page, and its tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from qnet.model.loads import attacks_of, every_demand
from qnet.model.observation import Traffic
from qnet.model.plan import EgressPlan, StreamPlan
from qnet.model.proof import StreamProof
from qnet.model.traffic import Stream
from qnet.model.verdict import Row
from qnet.report.inputs import Listed, ReportInput, by_load, listed
from qnet.report.text import (
    COLUMNS,
    is_emulated,
    reason,
    result,
    subject,
    witnesses,
)
from qnet.units import PPB, show_rate, show_time


def tiles(case: ReportInput) -> list[tuple[str, str, str]]:
    """Return figures for the top of the page: name, value, remark."""
    refused_count = case.status_count["refused"]
    total = len(case.plan.first_legs)
    found = []
    if total:
        kept = total - refused_count
        found.append(("Streams planned", f"{kept:,}", f"of {total:,}; {refused_count:,} refused"))
    found += [
        (
            f"Egress of {site.site}, planned",
            show_rate(site.placed_bps),
            f"required {show_rate(site.required_bps)}; LP bound {show_rate(site.bound_bps)}",
        )
        for site in case.plan.egress[:3]
    ]
    witness = "planned" if case.observation is None else case.observation.witness
    busiest = min(case.loads.values(), key=by_load)
    found.append((f"Busiest port, {witness}", show_load(busiest.load_ppb), busiest.port.name))
    if case.observation is not None:
        frames = f"{case.observation.frames:,}"
        remark = f"in {show_time(case.observation.duration_ps)} of network time"
        found.append((f"Frames {witness}", frames, remark))
    return found


def show_load(load_ppb: int) -> str:
    """Write a load to a tenth of a per cent."""
    return f"{load_ppb * 100 / PPB:.1f} %"


class RequirementLine(NamedTuple):
    """One requirement; the name is empty where it stands above already."""

    row: Row
    name: str
    kind: str
    figures: Sequence[str]
    result: str
    why: str


class Requirements(NamedTuple):
    """All requirements, the columns that have figures, what is not kept and what is not known."""

    columns: Sequence[str]
    lines: Sequence[RequirementLine]
    failures: Listed[RequirementLine]
    not_known: Listed[RequirementLine]


def requirement_table(case: ReportInput) -> Requirements:
    """Lay out the verdict's rows in their order; what is not kept, or not known, is at the top."""
    columns = [name for name in COLUMNS if name != "emulated" or is_emulated(case.verdict)]
    lines: list[RequirementLine] = []
    above = ""
    for row in case.verdict.rows:
        name = subject(row)
        figures = zip(COLUMNS, witnesses(row), strict=True)
        shown = [row.show(value) for column, value in figures if column in columns]
        why = reason(row) if row.outcome != "pass" else _frames(row) or row.reason or ""
        own = "" if name == above else name
        lines.append(RequirementLine(row, own, row.what, shown, result(row), why))
        above = name
    failing, unknown = (
        listed([line for line in lines if line.row.outcome == outcome])
        for outcome in ("fail", "unknown")
    )
    return Requirements(columns, lines, failing, unknown)


def _frames(row: Row) -> str:
    """Say how many frames speak for what is kept by seeing alone."""
    if row.frames is None:
        return ""
    each = " of each at least" if row.members > 1 else ""
    return f"kept by {row.frames:,} frame{'' if row.frames == 1 else 's'}{each}; nothing proves it"


class EgressLine(NamedTuple):
    """One site: what its plan places, what no plan can exceed, and what was delivered."""

    planned: EgressPlan
    delivered_bps: int | None

    @property
    def bound_ppb(self) -> int:
        """Share of the bound that is placed."""
        return self.planned.placed_bps * PPB // max(self.planned.bound_bps, 1)


def egress_lines(case: ReportInput) -> list[EgressLine]:
    """Return the egress of each site."""
    rows = {row.subject: row for row in case.verdict.rows if row.kind == "egress"}
    return [
        EgressLine(
            site,
            (row.simulated if row.emulated is None else row.emulated)
            if (row := rows.get(site.site))
            else None,
        )
        for site in case.plan.egress
    ]


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


def in_order(name: str) -> tuple[tuple[int, str], ...]:
    """Sort key by which 'camera-2' comes before 'camera-10'."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in parts)


def streams(case: ReportInput) -> list[StreamLine]:
    """List the streams, those nearest to their promise first."""
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

    def worst_first(line: StreamLine) -> tuple[bool, float, tuple[tuple[int, str], ...]]:
        harmed = line.seen is not None and line.seen.lost + line.seen.late > 0
        return not harmed, -line.pressure, in_order(line.planned.name)

    return sorted(lines, key=worst_first)


def refused(case: ReportInput) -> list[tuple[Stream, str]]:
    """List the refused streams and why."""
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


def demands(case: ReportInput) -> list[DemandLine]:
    """List the demands, those with the least of their rate placed first; attacks go one way."""
    ends = {one.name: (one.source, one.target) for one in every_demand(case.profile)}
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
    lines += [
        DemandLine(
            one.name,
            " -> ".join(ends[one.name]),
            one.rate_bps,
            one.rate_bps,
            1,
            case.seen_by_name.get(one.name),
            None,
        )
        for one in (attack.demand for attack in attacks_of(case.profile))
    ]
    return sorted(lines, key=lambda line: line.placed_ppb)


def assumptions(case: ReportInput) -> list[str]:
    """List every assumption once."""
    every = (
        *case.verdict.assumptions,
        *case.topology.assumptions,
        *case.profile.assumptions,
    )
    return list(dict.fromkeys(every))


def inputs(case: ReportInput) -> list[tuple[str, str]]:
    """List what gives this page again."""
    plan, seen = case.plan, case.observation
    seed = case.profile.simulation.seed if seen is None else seen.seed
    return [
        ("qnet", plan.qnet_version),
        ("topology", case.topology.title),
        ("topology, SHA-256", plan.topology_sha256),
        ("traffic", case.profile.title),
        ("traffic, SHA-256", plan.traffic_sha256),
        ("cycle", f"{show_time(plan.cycle_ps)}, {plan.buffers} buffers"),
        ("hypercycle", f"{plan.hypercycle:,} cycle{'' if plan.hypercycle == 1 else 's'}"),
        ("seed", f"{seed}"),
    ]
