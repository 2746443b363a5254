"""A search for the highest load, for its readers: lines for the terminal, a table of trials."""

from __future__ import annotations

from qnet.model.load_limit import ClassAtLoad, LoadLimit, LoadPoint, LoadTrial, show_load
from qnet.report.columns import Table
from qnet.report.junit import SuiteCase
from qnet.report.lines import aligned
from qnet.units import show_rate, show_time

GOAL_WORDS = {
    "promises": "every promise is known to be kept",
    "loss": "at most {loss} of the frames are lost",
}


def load_lines(limit: LoadLimit) -> list[str]:
    """Say in lines what was found: the bounds, who holds the load there, trials, latencies."""
    goal = GOAL_WORDS[limit.goal]
    if limit.loss_ppb is not None:
        goal = goal.format(loss=_share(limit.loss_ppb))
    lines = [f"{limit.title}: {limit.scaled}; goal: {goal}", _bounds(limit)]
    if limit.irregular is not None:
        lines.append(f"irregular: {limit.irregular}")
    lines += [f"above: {one}" for one in limit.limited_by]
    for site in limit.egress:
        most = "" if site.bound_bps is None else f"; no plan exceeds {show_rate(site.bound_bps)}"
        lines.append(f"egress of {site.site} there: {show_rate(site.placed_bps)}{most}")
    on = "" if limit.emulated is None else f", emulated in {limit.emulated}, too"
    length = show_time(limit.duration_ps)
    lines += ["", f"{len(limit.trials)} trials of {length}{on}, as they were made:"]
    lines += aligned([TRIAL_HEAD, *map(trial_cells, limit.trials)], (0, 5), "  ")
    if limit.points:
        lines += ["", "what frames met, all classes:"]
        rows = [point_cells(point, one) for point in limit.points for one in point.classes]
        lines += aligned([POINT_HEAD, *rows], (0, 1), "  ")
    return lines


def load_table(limit: LoadLimit) -> Table:
    """Return a row for each load and class of it: what frames met there."""
    trials = {one.scale_ppm: one for one in limit.trials}
    rows: list[dict[str, int | str | None]] = [
        {
            "scale_ppm": point.scale_ppm,
            "offered_bps": point.offered_bps,
            "outcome": trials[point.scale_ppm].outcome if point.scale_ppm in trials else None,
            **one.model_dump(),
        }
        for point in limit.points
        for one in point.classes
    ]
    names = list(rows[0]) if rows else []
    return Table({name: [row[name] for row in rows] for name in names})


def load_cases(limit: LoadLimit, least_ppm: int | None) -> list[SuiteCase]:
    """Return the goal as a test case; it fails where the limit is below `least_ppm`."""
    name = f"{limit.scaled}: {limit.goal}"
    said = "\n".join(load_lines(limit)[:2])
    if limit.lower_ppm is None:
        return [SuiteCase("load", name, "unknown", limit.irregular, said)]
    if least_ppm is not None and limit.lower_ppm < least_ppm:
        why = f"the limit is {show_load(limit.lower_ppm)}, of {show_load(least_ppm)} at least"
        return [SuiteCase("load", name, "fail", why, said)]
    return [SuiteCase("load", name, "pass", None, said)]


def _bounds(limit: LoadLimit) -> str:
    lower = "none" if limit.lower_ppm is None else show_load(limit.lower_ppm)
    upper = f"{show_load(limit.upper_ppm)} (by {limit.upper_by})"
    bound = f"{show_load(limit.bound_ppm)} is the most that arithmetic allows"
    if limit.proven_ppm is not None and limit.proven_ppm < limit.bound_ppm:
        bound += f", {show_load(limit.proven_ppm)} what the checker does"
    return f"relevant lower bound {lower}, relevant upper bound {upper}; {bound}"


TRIAL_HEAD = ("load", "offered", "frames", "lost", "loss", "outcome")


def trial_cells(one: LoadTrial) -> tuple[str, ...]:
    """Return a trial as the cells of a row under `TRIAL_HEAD`."""
    real: tuple[str, ...] = ()
    if one.real_frames is not None:
        real = (f"{one.real_frames:,} frames in real switches, {one.real_lost:,} lost",)
    return (
        show_load(one.scale_ppm),
        show_rate(one.offered_bps),
        f"{one.offered:,}",
        f"{one.lost:,}",
        _share(one.loss_ppb),
        "; ".join([one.outcome, *one.reasons[:1], *real]),
    )


POINT_HEAD = (
    "load", "class", "frames", "lost", "latency from", "to", "waited 50 %", "99 %", "99.9 %",
    "variation",
)  # fmt: skip


def point_cells(point: LoadPoint, one: ClassAtLoad) -> tuple[str, ...]:
    """Return what a class met at a load as the cells of a row under `POINT_HEAD`."""
    times = (
        one.latency_ps_min,
        one.latency_ps_max,
        one.wait_ps_p50,
        one.wait_ps_p99,
        one.wait_ps_p999,
        one.variation_ps,
    )
    counts = (f"{one.frames:,}", f"{one.lost:,}")
    return (show_load(point.scale_ppm), one.traffic_class, *counts, *map(show_time, times))


def _share(ppb: int) -> str:
    return f"{ppb / 10**7:.5g} %"
