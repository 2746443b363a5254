"""A sweep for its readers: lines for the terminal, tables of plain columns, one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

import jinja2

from qnet.model.sweep import CaseResult, CaseState, Sweep
from qnet.report.columns import Table
from qnet.report.lines import aligned
from qnet.report.text import printable
from qnet.units import TIME, format_quantity, show_rate

RANKED = 10
"""Weak points on the terminal, unless asked otherwise."""

DEPTH_WORDS = {
    "lp": "by linear programs: what any plan could carry",
    "planned": "planned, and every plan proven by the checker",
    "simulated": "planned, proven, and simulated with the plan as it was",
}

_STATE_COLUMNS = (
    "streams_cut", "streams_reduced", "streams_moved", "demands_short", "promises_broken",
    "lost_bps",
)  # fmt: skip


def case_table(sweep: Sweep) -> Table:
    """Return a row for each case, in order of their numbers."""
    sites = [site for site, _ in sweep.required]
    rows = [_row(one, sites) for one in sweep.results]
    names = list(rows[0]) if rows else []
    return Table({name: [row[name] for row in rows] for name in names})


def _row(one: CaseResult, sites: Sequence[str]) -> dict[str, int | str | None]:
    failure, seen = one.case.failure, one.seen
    row: dict[str, int | str | None] = {
        "case": one.case.number,
        "name": failure.title,
        "targets": "; ".join(failure.names),
        "settings": ", ".join(f"{name}={value}" for name, value in one.case.settings),
        "seed": one.case.seed,
        "wires": len(failure.ports),
        "broken_us_per_year": failure.broken_us_per_year,
        "outcome": one.outcome,
        "reason": one.reason,
    }
    for what, state in (("kept", one.kept), ("replanned", one.replanned)):
        egress = {} if state is None else {site.site: site for site in state.egress}
        for name in _STATE_COLUMNS:
            row[f"{name}_{what}"] = None if state is None else getattr(state, name)
        for site in sites:
            row[f"egress_bps_{site}_{what}"] = egress[site].placed_bps if site in egress else None
    row["frames_sent"] = None if seen is None else seen.frames_sent
    row["frames_taken"] = None if seen is None else seen.frames_taken
    row["frames_lost_otherwise"] = None if seen is None else seen.frames_lost_otherwise
    row["late"] = None if seen is None else seen.late
    return row


def sweep_lines(sweep: Sweep, ranked: int = RANKED) -> list[str]:
    """Say in lines what a sweep comes to."""
    lines = [_headline(sweep), *_unfinished(sweep)]
    if sweep.shard is not None:
        return [*lines, "a shard has no ranking; 'qnet merge' puts all shards together"]
    intact = [one for one in sweep.results if not one.case.failure.ports and one.kept is not None]
    lines += [f"{_named(sweep, one)}: {_state(one.replanned)}" for one in intact]
    lines += _survivable(sweep)
    table = rank_lines(sweep, ranked)
    if table:
        shown = min(ranked, len(sweep.ranking))
        lines += ["", f"weakest points, {shown} of {len(sweep.ranking)}:", *aligned(table)]
    lines += _wires(sweep, ranked)
    return lines


def _headline(sweep: Sweep) -> str:
    failures = ""
    if sweep.failures:
        failures = (
            f"; {sweep.names} names of {', '.join(f'{one}s' for one in sweep.failures)} are "
            f"{sweep.distinct} distinct failures"
        )
    part = "" if sweep.shard is None else f" (shard {sweep.shard}: {len(sweep.results)})"
    left = ""
    if sweep.unlisted_ppt is not None:
        share = f"{sweep.unlisted_ppt / 10**10:.2g} % of the time"
        left = f"; {share} two or more things are broken that no case is about"
    return f"{sweep.title}: {sweep.cases} cases{part}, {DEPTH_WORDS[sweep.depth]}{failures}{left}"


def _unfinished(sweep: Sweep) -> Iterable[str]:
    for one in sweep.unfinished:
        yield f"case {one.case.number} ({one.case.title}) {one.reason}"


def _named(sweep: Sweep, one: CaseResult) -> str:
    several = sum(not other.case.failure.ports for other in sweep.results) > 1
    return f"{one.case.title}, seed {one.case.seed}" if several else one.case.title


def _state(state: CaseState | None) -> str:
    if state is None:
        return "-"
    egress = ", ".join(f"egress of {one.site} {show_rate(one.placed_bps)}" for one in state.egress)
    words = f"{state.promises_broken} promises broken, {show_rate(state.lost_bps)} without a place"
    return ", ".join(filter(None, [words, egress, *state.findings]))


def _survivable(sweep: Sweep) -> Iterable[str]:
    by_number = {one.case.number: one for one in sweep.results}
    for one in sweep.survivable:
        kept, anew = by_number[one.kept_case], by_number[one.replanned_case]
        yield (
            f"least egress of {one.site} in any case: {show_rate(one.replanned_bps)} of "
            f"{show_rate(one.required_bps)}, planned anew after {anew.case.title}; "
            f"until anybody reacts {show_rate(one.kept_bps)}, after {kept.case.title}"
        )


def rank_lines(sweep: Sweep, most: int) -> list[tuple[str, ...]]:
    """Return the head and the cells of the ranking."""
    by_number = {one.case.number: one for one in sweep.results}
    rows = []
    for point in sweep.ranking[:most]:
        one = by_number[point.case]
        assert one.kept is not None, "it is ranked"
        assert one.replanned is not None, "it is ranked"
        cells = [
            one.case.title,
            _hours(one.case.failure.broken_us_per_year),
            str(one.kept.promises_broken),
            show_rate(one.kept.lost_bps),
            str(one.replanned.promises_broken),
            show_rate(one.replanned.lost_bps),
            "-" if point.expected_lost_bps is None else show_rate(point.expected_lost_bps),
        ]
        if one.seen is not None:
            cells.append(f"{one.seen.frames_taken:,}")
        rows.append(tuple(cells))
    head = ["failure", "h/year", "broken", "lost", "broken anew", "lost anew", "on average"]
    if any(one.seen is not None for one in sweep.results):
        head.append("frames taken")
    return [tuple(head), *rows] if rows else []


def _hours(broken_us: int | None) -> str:
    return "-" if broken_us is None else f"{broken_us / 3.6e9:.3g}"


def _wires(sweep: Sweep, most: int) -> Iterable[str]:
    if not sweep.wires:
        return
    by_number = {one.case.number: one for one in sweep.results}
    yield ""
    yield "one more wire would carry at most, by the duals of the linear program:"
    for one in sweep.wires[:most]:
        where = by_number[one.most_case].case.title if one.cases else "nothing fails"
        words = f"after {where}, in {one.cases} cases more than nothing"
        yield f"{one.link}: {show_rate(max(one.most_bps, one.intact_bps))} {words}"


def sweep_page(sweep: Sweep) -> str:
    """Write one HTML page that opens offline: the ranking with bars, and all cases."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
    )
    text = files("qnet.report").joinpath("sweep.html.j2").read_text("utf-8")
    by_number = {one.case.number: one for one in sweep.results}
    ranked = [by_number[point.case] for point in sweep.ranking]
    most = max((one.kept.lost_bps for one in ranked if one.kept), default=0) or 1
    duration = None if sweep.duration_ps is None else format_quantity(TIME, sweep.duration_ps)
    return environment.from_string(text).render(
        sweep=sweep,
        headline=_headline(sweep),
        unfinished=list(_unfinished(sweep)),
        survivable=list(_survivable(sweep)),
        wires=list(_wires(sweep, len(sweep.wires)))[1:],
        head=rank_lines(sweep, 1)[:1],
        rows=list(zip(ranked, rank_lines(sweep, len(ranked))[1:], strict=True)),
        most=most,
        duration=duration,
        rate=show_rate,
    )
