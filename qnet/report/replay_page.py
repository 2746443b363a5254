"""A replay as one HTML page that opens offline: time line, map by epochs, events, promises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from qnet.model.calendar import read_moment
from qnet.model.observation import LatencySeries
from qnet.model.replay import Replay, ReplayWindow, Span
from qnet.report.charts import round_step, time_ticks
from qnet.report.drawing import px
from qnet.report.inputs import ReportInput
from qnet.report.map import network
from qnet.report.page import template
from qnet.report.replay import (
    LONG_PS,
    event_lines,
    promise_line,
    replay_headline,
    show_at,
    show_long,
    span_words,
)
from qnet.report.text import OUTCOME_WORD, counted
from qnet.report.timeline import HEIGHT, steps
from qnet.units import PS_PER_S, ceil_div, show_rate, show_time

WIDTH = 1000.0
"""Of the time line and the charts, in its own units."""

LEAST_PX = 1.5
"""What is too short to be seen is drawn so wide."""

WINDOWS_CHARTED = 60

TICKS_MOST = 8
"""On a time line that is told in hours and days: their words are long."""

STEPS_S = [
    *(60 * one for one in (1, 2, 5, 10, 15, 30)),
    *(3600 * one for one in (1, 2, 3, 6, 12)),
    *(86_400 * one for one in (1, 2, 5, 10, 30, 100, 365)),
]
"""Round times from one tick to the next."""


class LaneBar(NamedTuple):
    """Something that lasts, on the time line."""

    x: float
    width: float
    tip: str


class Lane(NamedTuple):
    """A line of the time line."""

    name: str
    kind: str
    bars: Sequence[LaneBar]


class LatencyChart(NamedTuple):
    """Latencies of one stream or demand in a window."""

    label: str
    range_path: str
    """From the least to the largest of each interval, filled."""
    mean_path: str


class WindowChart(NamedTuple):
    """A window: what all ports sent, and what was lost."""

    title: str
    load_path: str
    load_label: str
    lost_path: str
    lost_label: str
    latencies: Sequence[LatencyChart]
    marks: Sequence[tuple[float, str]]
    ticks: Sequence[tuple[str, float]]


def replay_page(replay: Replay, calm: ReportInput) -> str:
    """Write the page of a replay; `calm` is the network before anything happens."""
    map_, _ = network(calm)
    return template("replay.html.j2").render(
        outcome=replay.outcome,
        word=OUTCOME_WORD[replay.outcome],
        headline=replay_headline(replay),
        replay=replay,
        tiles=_tiles(replay),
        lanes=list(_lanes(replay)),
        ticks=long_ticks(replay.epoch, replay.until_ps),
        map=map_,
        epochs=[
            {
                "when": _when(replay, one.from_ps, one.until_ps),
                "what": "; ".join(one.broken) or "nothing is broken",
                "cut": one.cut,
                "links": one.links,
            }
            for one in replay.epochs
        ],
        events=[event_lines(one, replay) for one in replay.events],
        promises=[
            (one.outcome, promise_line(one, replay.epoch))
            for one in sorted(replay.promises, key=lambda one: one.outcome == "pass")
        ],
        charts=[_chart(replay, one) for one in replay.windows[:WINDOWS_CHARTED]],
        streams=sorted(
            (*replay.streams, *replay.demands), key=lambda one: (-one.blocked_ps, one.name)
        )[:100],
        long=show_long,
        spans=lambda spans: span_words(spans, replay.epoch),
    )


def long_ticks(epoch: str | None, end_ps: int) -> list[tuple[str, float]]:
    """Return round times of a long time line: of the clock on the wall where there is an epoch."""
    if end_ps < LONG_PS:
        return time_ticks(end_ps, WIDTH)
    end_s = end_ps // PS_PER_S
    step_s = next((one for one in STEPS_S if end_s <= one * TICKS_MOST), 0)
    if not step_s:
        step_s = STEPS_S[-1] * round_step(ceil_div(end_s, STEPS_S[-1]), TICKS_MOST)
    begins_s = 0 if epoch is None else _seconds_of(read_moment(epoch))
    first_s = -begins_s % step_s
    return [
        (_tick(epoch, at_s, step_s), at_s * PS_PER_S * WIDTH / end_ps)
        for at_s in range(first_s, end_s + 1, step_s)
    ]


def _seconds_of(moment: datetime) -> int:
    """Return the seconds from a day on that begins by the clock of its zone."""
    return (moment.toordinal() * 24 + moment.hour) * 3600 + moment.minute * 60 + moment.second


def _tick(epoch: str | None, at_s: int, step_s: int) -> str:
    if epoch is None:
        days, rest_s = divmod(at_s, 86_400)
        clock = f"{rest_s // 3600}:{rest_s // 60 % 60:02}"
        return f"{days} d" if days and not rest_s else f"{days} d {clock}" if days else clock
    words = show_at(epoch, at_s * PS_PER_S)
    if " + " in words:
        return f"{at_s // 86_400} d on"
    return words[:10] if step_s >= 86_400 else words[5:16]


def _tiles(replay: Replay) -> list[tuple[str, str, str]]:
    frames = sum(one.frames for one in replay.windows)
    lost = sum(one.lost for one in (*replay.streams, *replay.demands))
    sent = sum(one.sent for one in (*replay.streams, *replay.demands))
    moved = sum(one.moved for one in replay.events)
    return [
        ("Time", show_long(replay.until_ps), counted(len(replay.epochs), "epoch")),
        ("Events", f"{len(replay.events):,}", f"{moved:,} streams and demands moved"),
        ("Frames sent", f"{sent:,}", f"{lost:,} lost"),
        ("Watched", show_time(replay.watched_ps), f"{frames:,} frames, one by one"),
    ]


def _lanes(replay: Replay) -> Iterable[Lane]:
    """Yield the events, the windows, then each service with the times when a part of it was cut."""
    end_ps = replay.until_ps
    bars = [
        _bar(one.at_ps, end_ps if one.until_ps is None else one.until_ps, end_ps, one.event)
        for one in replay.events
    ]
    yield Lane("events", "event", bars)
    words = "every frame is simulated"
    windows = [_bar(one.from_ps, one.until_ps, end_ps, words) for one in replay.windows]
    yield Lane("watched", "window", windows)
    services: dict[str, dict[tuple[int, int], int]] = {}
    for one in (*replay.streams, *replay.demands):
        dark = services.setdefault(one.service, {})
        for span in one.dark:
            key = span.from_ps, span.until_ps
            dark[key] = dark.get(key, 0) + 1
    for service, spans in services.items():
        yield Lane(
            service,
            "dark",
            [
                _bar(a, b, end_ps, f"{count} of {service} had no whole way, {_when(replay, a, b)}")
                for (a, b), count in sorted(spans.items())
            ],
        )


def _when(replay: Replay, from_ps: int, until_ps: int) -> str:
    return span_words([Span(from_ps=from_ps, until_ps=until_ps)], replay.epoch)


def _bar(from_ps: int, until_ps: int, end_ps: int, tip: str) -> LaneBar:
    x = from_ps * WIDTH / end_ps
    return LaneBar(x, max((min(until_ps, end_ps) - from_ps) * WIDTH / end_ps, LEAST_PX), tip)


def _chart(replay: Replay, window: ReplayWindow) -> WindowChart:
    length_ps = window.until_ps - window.from_ps
    begins = (0, *window.end_ps[:-1])
    spans = [end - begin for begin, end in zip(begins, window.end_ps, strict=True)]
    rates = [
        sent * 8 * PS_PER_S // max(span, 1)
        for sent, span in zip(window.sent_bytes, spans, strict=False)
    ]
    most, worst = max(rates, default=0), max(window.lost_frames, default=0)
    edges = [end * WIDTH / length_ps for end in window.end_ps]
    events = [
        ((time - window.from_ps) * WIDTH / length_ps, one.event)
        for one in replay.events
        for time in (one.at_ps, one.until_ps)
        if time is not None and window.from_ps <= time < window.until_ps
    ]
    return WindowChart(
        title=_when(replay, window.from_ps, window.until_ps),
        load_path=steps(edges, [rate / max(most, 1) for rate in rates]),
        load_label=f"all ports together, {show_rate(most)} at most",
        lost_path=steps(edges, [lost / max(worst, 1) for lost in window.lost_frames]),
        lost_label=f"frames lost, {worst:,} in an interval of {show_time(max(spans, default=0))}",
        latencies=[_latency_chart(replay, one, edges) for one in window.latencies],
        marks=events,
        ticks=time_ticks(length_ps, WIDTH),
    )


def _latency_chart(replay: Replay, series: LatencySeries, edges: Sequence[float]) -> LatencyChart:
    """Draw the latencies of a window; the scale is the same in all windows of the replay.

    It goes from the least to the largest, since of reserved streams they differ by little.
    """
    windows = [one for each in replay.windows for one in each.latencies if one.name == series.name]
    lowest = min((latency for one in windows for latency in one.least_ps), default=0)
    highest = max((latency for one in windows for latency in one.most_ps), default=0)

    def y(latency_ps: int | Fraction) -> str:
        return px(HEIGHT * (1 - float(Fraction(latency_ps - lowest) / max(highest - lowest, 1))))

    boxes, means = [], []
    for place, frames, least, total, most in zip(
        series.intervals, series.frames, series.least_ps, series.sum_ps, series.most_ps, strict=True
    ):
        begin, end = (px(edges[place - 1]) if place else "0"), px(edges[place])
        boxes.append(f"M{begin} {y(least)}H{end}V{y(most)}H{begin}z")
        means.append(f"M{begin} {y(Fraction(total, frames))}H{end}")
    scale = f"{show_time(lowest)} at the bottom, {show_time(highest - lowest)} more at the top"
    if not series.frames:
        scale = "of what was born here nothing arrived in time"
    return LatencyChart(f"latency of {series.name}: {scale}", "".join(boxes), "".join(means))
