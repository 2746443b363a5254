"""Two runs side by side: `qnet.diff` and `qnet diff`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from qnet import api
from qnet.errors import ArgumentError, Problem
from qnet.files.run_folder import read_run
from qnet.model.difference import Comparison, Direction, RunDifference
from qnet.model.requirement import BPS, COUNT, OF_TIME, PPB, PS, Keeps, Unit
from qnet.model.verdict import Outcome, Row
from qnet.progress import Progress
from qnet.report.columns import Table
from qnet.result import Result
from qnet.units import PPB as WHOLE_PPB
from qnet.units import RATIO, UnitError, parse

_RANK: Mapping[Outcome, int] = {"pass": 0, "unknown": 1, "fail": 2}


class _Figure(NamedTuple):
    """A column of streams or demands that is compared: its unit, and which side is better."""

    unit: Unit
    keeps: Keeps = "at most"


_OF_STREAMS: Mapping[str, _Figure] = {
    "latency_ps_proven": _Figure(PS),
    "latency_ps_simulated": _Figure(PS),
    "latency_ps_emulated": _Figure(PS),
    "variation_ps_proven": _Figure(PS),
    "variation_ps_simulated": _Figure(PS),
    "variation_ps_emulated": _Figure(PS),
    "availability_proven": _Figure(OF_TIME, "at least"),
    "lost_ppb": _Figure(PPB),
    "late": _Figure(COUNT),
}

_OF_DEMANDS: Mapping[str, _Figure] = {
    "placed_bps": _Figure(BPS, "at least"),
    "latency_ps_simulated": _Figure(PS),
    "lost_ppb": _Figure(PPB),
}


def diff(
    before: Result | Path | str,
    after: Result | Path | str,
    *,
    tolerance: str = "0%",
    progress: Progress | None = None,
) -> Comparison:
    """Say what became better or worse from one run to another.

    Runs are results, or folders that `qnet run --out` left; their plans are proven and judged anew.
    Figures that differ by no more than `tolerance`, a share of the larger one, count as the same.
    Raises ArgumentError, InputError and Cancelled.
    """
    try:
        tolerance_ppb = parse(RATIO, tolerance)
    except UnitError as error:
        raise ArgumentError([Problem("tolerance", 0, 0, "", str(error))]) from None
    old, new = (_result(one, progress) for one in (before, after))
    notes = [_noted(name, one) for name, one in (("before", before), ("after", after))]
    every = list(_promises(old, new, tolerance_ppb))
    compared = len(_by_promise(old).keys() & _by_promise(new).keys())
    only: list[list[str]] = [[], []]
    for what, first, second, figures in (
        ("stream", old.streams, new.streams, _OF_STREAMS),
        ("demand", old.demands, new.demands, _OF_DEMANDS),
    ):
        rows, others = _rows(first), _rows(second)
        only[0] += [name for name in rows if name not in others]
        only[1] += [name for name in others if name not in rows]
        both = [name for name in rows if name in others]
        compared += len(both)
        for name in both:
            every += _of_rows(what, name, rows[name], others[name], figures, tolerance_ppb)
    return Comparison(
        before=_name(before),
        after=_name(after),
        outcome_before=old.outcome,
        outcome_after=new.outcome,
        notes=(*filter(None, notes), *_settings(old, new)),
        only_before=tuple(only[0]),
        only_after=tuple(only[1]),
        compared=compared,
        differences=tuple(every),
    )


def _result(what: Result | Path | str, progress: Progress | None) -> Result:
    """Return a result, or that of a folder, judged anew."""
    if isinstance(what, Result):
        return what
    saved = read_run(Path(what))
    proof = api.prove(saved.scenario, saved.plan, progress=progress)
    api.check_fits(proof, str(Path(what) / "plan.json"))
    return api.answer(saved.scenario, saved.plan, proof, saved.observation, progress=progress)


def _name(what: Result | Path | str) -> str:
    return what.scenario.profile.title if isinstance(what, Result) else str(what)


def _noted(where: str, what: Result | Path | str) -> str:
    """Say where a folder holds a run with real frames, which is judged without them here."""
    if isinstance(what, Result) or not (Path(what) / "emulation.json").is_file():
        return ""
    return f"{where}: what was emulated is not in the comparison"


def _settings(old: Result, new: Result) -> Iterator[str]:
    """Say what else differs, which may be why figures do."""
    one, other = old.scenario.profile.simulation, new.scenario.profile.simulation
    if one.duration_ps != other.duration_ps:
        yield f"durations differ: {PS.show(one.duration_ps)} and {PS.show(other.duration_ps)}"
    if one.seed != other.seed:
        yield f"seeds differ: {one.seed} and {other.seed}"
    if old.scenario.topology_sha256 != new.scenario.topology_sha256:
        yield "topologies differ"


def _by_promise(run: Result) -> Mapping[tuple[str, str], Row]:
    return {(one.subject, one.kind): one for one in run.verdict.rows}


def _promises(old: Result, new: Result, tolerance_ppb: int) -> Iterator[RunDifference]:
    """Yield how outcomes and figures differ of the promises that both have."""
    rows = _by_promise(old)
    for row in new.verdict.rows:
        was = rows.get((row.subject, row.kind))
        if was is None:
            continue
        name, unit = f"{row.subject}: {row.what}", row.told.unit
        differs = partial(RunDifference, what="promise", name=name)
        if was.outcome != row.outcome:
            is_better = _RANK[row.outcome] < _RANK[was.outcome]
            yield differs(
                figure="outcome",
                before=was.outcome,
                after=row.outcome,
                direction="better" if is_better else "worse",
            )
        for figure in ("promised", "proven", "simulated", "emulated"):
            first, second = getattr(was, figure), getattr(row, figure)
            made = _differ(first, second, _Figure(unit, row.told.keeps), tolerance_ppb)
            if made is not None:
                direction = "other" if figure == "promised" else made
                yield differs(
                    figure=figure, before=first, after=second, unit=unit, direction=direction
                )


def _rows(table: Table) -> dict[str, dict[str, Any]]:
    """Return the rows of a table by name, with the share of the frames that were lost."""
    found = {}
    for number in range(table.rows):
        row = table.row(number)
        if row["sent"]:
            row["lost_ppb"] = row["lost"] * WHOLE_PPB // row["sent"]
        found[row["name"]] = row
    return found


def _of_rows(
    what: Any,
    name: str,
    was: Mapping[str, Any],
    row: Mapping[str, Any],
    figures: Mapping[str, _Figure],
    tolerance_ppb: int,
) -> Iterable[RunDifference]:
    """Yield how a stream or demand differs: whether it has a place, and its figures."""
    first, second = was.get("status"), row.get("status")
    if first != second:
        lost_place = second in (None, "refused")
        worse: Direction = "worse" if lost_place else "other"
        direction: Direction = "better" if first in (None, "refused") else worse
        yield RunDifference(
            what=what, name=name, figure="status", before=first, after=second, direction=direction
        )
    for column, figure in figures.items():
        made = _differ(was.get(column), row.get(column), figure, tolerance_ppb)
        if made is not None:
            yield RunDifference(
                what=what,
                name=name,
                figure=column.replace("_ps", "").replace("_ppb", "").replace("_bps", ""),
                before=was.get(column),
                after=row.get(column),
                unit=figure.unit,
                direction=made,
            )


def _differ(
    first: int | None, second: int | None, figure: _Figure, tolerance_ppb: int
) -> Direction | None:
    """Say to which side a figure has moved, or None where it has not."""
    if first == second:
        return None
    if first is None or second is None:
        return "other"
    if abs(second - first) * WHOLE_PPB <= tolerance_ppb * max(abs(first), abs(second)):
        return None
    is_less = second < first
    return "better" if is_less == (figure.keeps == "at most") else "worse"
