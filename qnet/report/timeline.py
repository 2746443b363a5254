"""Load, queue and losses of ports over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qnet.model.observation import PortSeries
from qnet.report.charts import time_ticks
from qnet.report.drawing import px
from qnet.report.inputs import Listed, PortLoad, ReportInput, by_load
from qnet.units import PS_PER_S, show_size

PORTS_CHARTED = 8
DEEPEST_CHARTED = 2
WIDTH, HEIGHT = 460.0, 60.0


class PortTimeline(NamedTuple):
    """One port: its load and its deepest queue, each as the outline of a filled shape."""

    load: PortLoad
    load_path: str
    queue_path: str
    queue_label: str
    drop_marks: Sequence[float]
    """Where frames were dropped."""
    ticks: Sequence[tuple[str, float]]


def timelines(case: ReportInput) -> Listed[PortTimeline]:
    """Chart the ports with the most losses, then the fullest, and those with the longest queues."""
    if case.observation is None or not case.observation.series:
        return Listed((), 0)
    series = {one.port: one for one in case.observation.series}
    loads = [load for load in sorted(case.loads.values(), key=by_load) if load.port.name in series]
    loads.sort(key=lambda load: -(load.dropped or 0))
    rest = PORTS_CHARTED - DEEPEST_CHARTED
    deepest = sorted(loads[rest:], key=lambda load: -(load.drain_ps or 0))
    chosen = [*loads[:rest], *deepest[:DEEPEST_CHARTED]]
    shown = [_timeline(case, load, series[load.port.name]) for load in chosen]
    return Listed(shown, len(loads))


def _timeline(case: ReportInput, load: PortLoad, series: PortSeries) -> PortTimeline:
    assert case.observation is not None
    ends = case.observation.series_end_ps
    begins = (0, *ends[:-1])
    end_ps = ends[-1]
    edges = [end * WIDTH / end_ps for end in ends]
    full = [
        load.port.rate_bps * (end - begin) // (8 * PS_PER_S)
        for begin, end in zip(begins, ends, strict=True)
    ]
    shares = [
        min(sent / most, 1.0) if most else 0.0
        for sent, most in zip(series.sent_bytes, full, strict=True)
    ]
    deepest = max(series.queue_bytes_max)
    depths = [depth / max(deepest, 1) for depth in series.queue_bytes_max]
    return PortTimeline(
        load=load,
        load_path=steps(edges, shares),
        queue_path=steps(edges, depths),
        queue_label=show_size(deepest),
        drop_marks=[edge for edge, count in zip(edges, series.dropped, strict=True) if count],
        ticks=time_ticks(end_ps, WIDTH),
    )


def steps(edges: Sequence[float], heights: Sequence[float]) -> str:
    """Draw the outline of a filled step function; heights are from 0 to 1."""
    parts = [f"M0 {px(HEIGHT)}"]
    for edge, height in zip(edges, heights, strict=True):
        parts.append(f"V{px(HEIGHT * (1 - height))}H{px(edge)}")
    return "".join([*parts, f"V{px(HEIGHT)}z"])
