"""The gate control list of one port: a row for each queue, open where it is filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qnet.model.gates import HELD, GateEntry
from qnet.report.charts import round_step
from qnet.report.drawing import px
from qnet.report.inputs import ReportInput
from qnet.units import PS_PER_NS, PS_PER_US, show_share, show_time

LEFT = 92.0
WIDTH = 1000.0
ROW_HEIGHT = 22
COLOURS = 8
TIPS_SHOWN = 2000


class GateRow(NamedTuple):
    """The open times of one queue as a path."""

    label: str
    y: float
    colour: int
    path: str


class GateChart(NamedTuple):
    """One gate control list, drawn."""

    port: str
    entries: int
    cycle_ps: int
    placed: str
    height: int
    rows: Sequence[GateRow]
    tips: Sequence[tuple[float, float, str]]
    hidden: int
    x_ticks: Sequence[tuple[str, float]]
    axis: str


def gate_chart(case: ReportInput, port: str | None) -> GateChart | None:
    """Draw the list of a port over the gate cycle; None where there is none."""
    made = next((one for one in case.plan.gates if one.port == port), None)
    if made is None:
        return None
    whole_ps = max(sum(entry.interval_ps for entry in made.entries), 1)
    unit_px = (WIDTH - LEFT) / whole_ps
    names = {queue: name for name, queue in case.profile.queue_by_class.items()}
    # Queues whose frames are held are drawn as if their gates were closed.
    cut = case.profile.held_queues
    entries = [
        GateEntry(one.interval_ps, one.states & ~cut if one.states & HELD else one.states)
        for one in made.entries
    ]
    used = 0
    for entry in entries:
        used |= entry.states
    queues = [queue for queue in range(7, -1, -1) if used >> queue & 1]
    rows = [
        GateRow(
            f"{queue} {names.get(queue, '')}"[:14],
            float(i * ROW_HEIGHT),
            queue % COLOURS,
            _open_path(entries, queue, i * ROW_HEIGHT + 3, unit_px),
        )
        for i, queue in enumerate(queues)
    ]
    tips = _tips(case, made.port, whole_ps, unit_px)
    # Ticks are in whole steps of the finest unit that keeps them short.
    scale, unit = (PS_PER_US, "us") if whole_ps >= 20 * PS_PER_US else (PS_PER_NS, "ns")
    step = round_step(max(whole_ps // scale, 1), 10)
    return GateChart(
        made.port,
        len(made.entries),
        whole_ps,
        _placed(case, made.port),
        len(queues) * ROW_HEIGHT + 42,
        rows,
        tips[:TIPS_SHOWN],
        max(len(tips) - TIPS_SHOWN, 0),
        [(f"{n:,}", LEFT + n * scale * unit_px) for n in range(0, whole_ps // scale, step)],
        f"{unit} of the gate cycle, by the clock of the node",
    )


def _placed(case: ReportInput, port: str) -> str:
    placed = case.plan.gate_lines()[0].partition(";")[0].capitalize() + "."
    if case.plan.gate_cycle_ps is None:
        return placed
    share = show_share(case.plan.window_shares_ppb()[port])
    return f"Windows of gated streams take {share} of its time. {placed}"


def _open_path(entries: Sequence[GateEntry], queue: int, y: int, unit_px: float) -> str:
    """Return the open times of a queue; those that touch are one."""
    parts = []
    time, begin = 0, -1
    for entry in (*entries, GateEntry(0, 0)):
        is_open = entry.states >> queue & 1
        if is_open and begin < 0:
            begin = time
        if not is_open and begin >= 0:
            # What is too short to see is drawn all the same.
            wide = px(max((time - begin) * unit_px, 0.3))
            parts.append(f"M{LEFT + begin * unit_px:.2f} {y}h{wide}v14h-{wide}z")
            begin = -1
        time += entry.interval_ps
    return "".join(parts)


def _tips(
    case: ReportInput, port: str, cycle_ps: int, unit_px: float
) -> list[tuple[float, float, str]]:
    """Return a tip for each frame that has a window at the port, of a tree one."""
    tips = []
    for planned in case.plan.streams:
        first = case.rides.get(planned.name, 0)
        for path in planned.paths:
            if port not in path.ports[first:] or not path.starts_ps:
                continue
            hop = path.ports.index(port)
            for frame, starts in enumerate(path.starts_ps):
                begin_ps = starts[hop] % cycle_ps
                text = f"{planned.tree} frame {frame}, queue {path.queues[hop]}: "
                tips.append((LEFT + begin_ps * unit_px, 2.0, text + show_time(begin_ps)))
    return sorted(tips)
