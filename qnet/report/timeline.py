"""The busiest ports over time, and the frames that had the worst of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qnet.model.observation import PortSeries, Traffic
from qnet.report.case import Case, Listed, PortLoad, by_load, listed
from qnet.report.drawing import px
from qnet.report.tables import streams
from qnet.units import PS_PER_S, show_size, show_time

PORTS_CHARTED = 4
FRAMES_LISTED = 20
WIDTH, HEIGHT = 460.0, 60.0


class Timeline(NamedTuple):
    """One port: its load and its deepest queue, each as the outline of a filled shape."""

    load: PortLoad
    load_path: str
    queue_path: str
    queue_label: str
    drop_marks: Sequence[float]
    """Where frames were dropped."""
    ticks: Sequence[tuple[str, float]]


class WorstFrame(NamedTuple):
    """The frame of one stream or demand that took longest, and the one that was quickest."""

    seen: Traffic
    is_demand: bool


def timelines(case: Case) -> Listed[Timeline]:
    """Chart the fullest ports that have a series."""
    if case.observation is None or not case.observation.series:
        return Listed((), 0)
    series = {one.port: one for one in case.observation.series}
    loads = [load for load in sorted(case.loads.values(), key=by_load) if load.port.name in series]
    shown = [_timeline(case, load, series[load.port.name]) for load in loads[:PORTS_CHARTED]]
    return Listed(shown, len(loads))


def _timeline(case: Case, load: PortLoad, series: PortSeries) -> Timeline:
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
    return Timeline(
        load=load,
        load_path=_steps(edges, shares),
        queue_path=_steps(edges, depths),
        queue_label=show_size(deepest),
        drop_marks=[edge for edge, count in zip(edges, series.dropped, strict=True) if count],
        ticks=[(show_time(end_ps * i // 4, 1), WIDTH * i / 4) for i in range(5)],
    )


def _steps(edges: Sequence[float], heights: Sequence[float]) -> str:
    """Draw the outline of a filled step function; heights are from 0 to 1."""
    parts = [f"M0 {px(HEIGHT)}"]
    for edge, height in zip(edges, heights, strict=True):
        parts.append(f"V{px(HEIGHT * (1 - height))}H{px(edge)}")
    return "".join([*parts, f"V{px(HEIGHT)}z"])


def worst_frames(case: Case) -> Listed[WorstFrame]:
    """List streams, nearest to their promise first, then demands, slowest first."""
    if case.observation is None:
        return Listed((), 0)
    found = [
        WorstFrame(line.seen, False)
        for line in streams(case)
        if line.seen is not None and line.seen.worst_birth_ps is not None
    ]
    demands = [one for one in case.observation.demands if one.worst_birth_ps is not None]
    demands.sort(key=lambda one: (-(one.latency_ps_max or 0), one.name))
    return listed([*found, *(WorstFrame(one, True) for one in demands)], FRAMES_LISTED)
