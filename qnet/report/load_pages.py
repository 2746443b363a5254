"""Searches for the highest load, service activation and benchmarks as pages that open offline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from qnet.model.activation import ServiceActivation
from qnet.model.benchmark import Benchmark, SizeBenchmark
from qnet.model.load_limit import ClassAtLoad, LoadLimit, LoadPoint, show_load
from qnet.model.verdict import Outcome
from qnet.report import activation, benchmark, load
from qnet.report.curves import LoadCurve, LoadPlot, plot
from qnet.report.page import template
from qnet.report.text import OUTCOME_WORD
from qnet.units import show_rate, show_share, show_time

SOME_LOSS = (0, 10**7)
"""1 % is on every axis of losses, in parts per billion."""


class LoadSheet(NamedTuple):
    """A table under a title; each row has the outcome that colours it, or none."""

    title: str
    words: Sequence[str]
    head: Sequence[str]
    rows: Sequence[tuple[Outcome | None, Sequence[str]]]


class LoadPage(NamedTuple):
    """What a page says."""

    title: str
    outcome: Outcome
    word: str
    headline: str
    tiles: Sequence[tuple[str, str, str]]
    notes: Sequence[str]
    plots: Sequence[LoadPlot]
    sheets: Sequence[LoadSheet]

    @property
    def text(self) -> str:
        """The page as HTML."""
        return template("load.html.j2").render(page=self, outcome=self.outcome)


def limit_page(limit: LoadLimit) -> str:
    """Write the page of a search: curves of latency, variation and loss against load, trials."""
    lines = load.load_lines(limit)
    tried = lines[: lines.index("")]
    lower = "none" if limit.lower_ppm is None else show_load(limit.lower_ppm)
    tiles = [
        ("relevant lower bound", lower, "the goal was met there"),
        ("relevant upper bound", show_load(limit.upper_ppm), f"by {limit.upper_by}"),
        ("bound by arithmetic", show_load(limit.bound_ppm), ", ".join(limit.bound_ports[:3])),
        ("trials", str(len(limit.trials)), f"of {show_time(limit.duration_ps)}"),
    ]
    trials = [(one.outcome, load.trial_cells(one)) for one in limit.trials]
    points = [(None, load.point_cells(at, met)) for at in limit.points for met in at.classes]
    marks = [("limit", float(limit.lower_ppm))] if limit.lower_ppm else []
    outcome: Outcome = "pass" if limit.lower_ppm else "unknown"
    return LoadPage(
        title=f"Load: {limit.title}",
        outcome=outcome,
        word=lower if limit.lower_ppm else OUTCOME_WORD[outcome],
        headline=tried[0],
        tiles=tiles,
        notes=tried[2:],
        plots=[*_class_plots(limit.points, marks)],
        sheets=[
            LoadSheet("Trials", ["In the order in which they were made."], load.TRIAL_HEAD, trials),
            LoadSheet("What frames met", [], load.POINT_HEAD, points),
        ],
    ).text


def activation_page(found: ServiceActivation) -> str:
    """Write the page of a service activation test: steps of each service, and rates in and out."""
    lines = activation.activation_lines(found)
    passed = sum(one.outcome == "pass" for one in found.services)
    tiles = [
        ("services", str(len(found.services)), f"{passed} pass"),
        ("performance test", f"{found.rounds} rounds", f"of {show_time(found.round_ps)}"),
    ]
    plots, sheets = [], []
    for one in found.services:
        steps = [step for step in one.steps if step.step != "performance"]
        received = [(float(step.ir_sent_bps), float(step.ir_received_bps)) for step in steps]
        marks = [("CIR", float(one.cir_bps))]
        marks += [("CIR + EIR", float(one.cir_bps + one.eir_bps))] if one.eir_bps else []
        curve = LoadCurve("IR received", received)
        plots.append(plot(f"{one.name}: IR received over IR sent", [curve], (_rate, _rate), marks))
        rows = [(step.outcome, activation.step_cells(step)) for step in one.steps]
        reasons = [reason for step in one.steps for reason in step.reasons]
        words = [activation.profile_words(one), *reasons]
        sheets.append(LoadSheet(one.name, words, activation.STEP_HEAD, rows))
    return LoadPage(
        title=f"Service activation: {found.title}",
        outcome=found.outcome,
        word=OUTCOME_WORD[found.outcome],
        headline=lines[0],
        tiles=tiles,
        notes=[f"not tested: {one.name}: {one.reason}" for one in found.left_out],
        plots=[one for one in plots if one is not None],
        sheets=sheets,
    ).text


def benchmark_page(found: Benchmark) -> str:
    """Write the page of benchmarks: loss and latency by size, throughput and bursts."""
    losses = [
        LoadCurve(
            f"{one.frame_bytes} B",
            [(float(step.share_ppm), float(step.loss_ppb)) for step in reversed(one.loss)],
        )
        for one in found.sizes
    ]
    plots = [
        plot("Frame loss rate over the input rate", losses, (_load, _share), reach=SOME_LOSS),
        plot("Mean latency over load", [*_latencies(found)], (_load, _time)),
        plot(
            "Throughput over frame size",
            [_throughputs(found.sizes)],
            (_bytes, _share_ppm),
            reach=(0, 10**6),
        ),
    ]
    throughputs = [(None, benchmark.throughput_cells(one)) for one in found.sizes]
    latencies = [(None, row) for one in found.sizes for row in benchmark.latency_rows(one)]
    head, *rows = benchmark.loss_rows(found)
    return LoadPage(
        title=f"RFC 2544: {found.title}",
        outcome="pass" if all(one.throughput.lower_ppm for one in found.sizes) else "unknown",
        word="RFC 2544",
        headline=benchmark.benchmark_lines(found)[0],
        tiles=[],
        notes=[f"irregular: {one}" for one in benchmark.irregular(found)],
        plots=[one for one in plots if one is not None],
        sheets=[
            LoadSheet(
                "Throughput and back-to-back frames", [], benchmark.THROUGHPUT_HEAD, throughputs
            ),
            LoadSheet("Latency", [], benchmark.LATENCY_HEAD, latencies),
            LoadSheet("Frame loss rate", [], head, [(None, row) for row in rows]),
        ],
    ).text


def _class_plots(
    points: Sequence[LoadPoint], marks: Sequence[tuple[str, float]]
) -> Iterator[LoadPlot]:
    """Yield latency of each class, then variation and loss of all of them, over the load."""
    names = list(dict.fromkeys(met.traffic_class for at in points for met in at.classes))

    def curve(
        name: str, traffic_class: str, value: Callable[[ClassAtLoad], int | None]
    ) -> LoadCurve:
        found = [
            (float(at.scale_ppm), float(y))
            for at in points
            for met in at.classes
            if met.traffic_class == traffic_class and (y := value(met)) is not None
        ]
        return LoadCurve(name, found)

    for one in names:
        curves = [
            curve("least", one, lambda met: met.latency_ps_min),
            curve("mean", one, lambda met: met.latency_ps_mean),
            curve("most", one, lambda met: met.latency_ps_max),
        ]
        made = plot(f"Latency of {one} over load", curves, (_load, _time), marks)
        if made is not None:
            yield made
    variations = [curve(one, one, lambda met: met.variation_ps) for one in names]
    losses = [
        curve(one, one, lambda met: met.lost * 10**9 // met.frames if met.frames else None)
        for one in names
    ]
    for made in (
        plot("Variation over load", variations, (_load, _time), marks, decades=True),
        plot("Loss over load", losses, (_load, _share), marks, SOME_LOSS),
    ):
        if made is not None:
            yield made


def _latencies(found: Benchmark) -> Iterator[LoadCurve]:
    """Yield the mean latency of the class that sends most, over shares of the throughput."""
    for one in found.sizes:
        points = []
        for _, at in benchmark.at_shares(one):
            most = max(at.classes, key=lambda met: met.frames, default=None)
            if most is not None and most.latency_ps_mean is not None:
                points.append((float(at.scale_ppm), float(most.latency_ps_mean)))
        yield LoadCurve(f"{one.frame_bytes} B", points)


def _throughputs(sizes: Sequence[SizeBenchmark]) -> LoadCurve:
    points = [
        (float(one.frame_bytes), one.throughput.lower_ppm * 1e6 / one.input_ppm)
        for one in sizes
        if one.throughput.lower_ppm
    ]
    return LoadCurve("share of the input rate", sorted(points))


def _load(value: float) -> str:
    return show_load(round(value))


def _time(value: float) -> str:
    return show_time(round(value))


def _share(value: float) -> str:
    return show_share(round(value))


def _share_ppm(value: float) -> str:
    return show_share(round(value) * 1000)


def _rate(value: float) -> str:
    return show_rate(round(value))


def _bytes(value: float) -> str:
    return f"{round(value)} B"
