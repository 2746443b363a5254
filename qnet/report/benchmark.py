"""Benchmarks of RFC 2544 and 9004 for their readers: lines, one table, test cases."""

from __future__ import annotations

from collections.abc import Iterator

from qnet.model.benchmark import BackToBack, Benchmark, SizeBenchmark
from qnet.model.load_limit import PPM, LoadPoint, loads_looked_at, show_load
from qnet.report.columns import Table
from qnet.report.junit import SuiteCase
from qnet.report.lines import aligned
from qnet.units import show_share, show_time


def benchmark_lines(found: Benchmark) -> list[str]:
    """Say in lines what each test found, size by size."""
    lines = [
        f"{found.title}: RFC 2544 and RFC 9004, {found.scaled}, trials of "
        f"{show_time(found.duration_ps)}",
        "",
        "throughput (26.1) and back-to-back frames (RFC 9004):",
        *aligned([THROUGHPUT_HEAD, *map(throughput_cells, found.sizes)], (), "  "),
        "",
        "latency (26.2), at shares of the throughput:",
    ]
    rows = [cells for one in found.sizes for cells in latency_rows(one)]
    lines += aligned([LATENCY_HEAD, *rows], (2,), "  ")
    lines += ["", "frame loss rate (26.3), at shares of the input rate:"]
    lines += aligned(loss_rows(found), (), "  ")
    trials = [trial for one in found.sizes for trial in one.throughput.trials]
    real = [one for one in trials if one.real_frames is not None]
    if real:
        sent, lost = (
            sum(one.real_frames or 0 for one in real),
            sum(one.real_lost or 0 for one in real),
        )
        lines.append(
            f"{len(real)} trials sent {sent:,} frames through real switches; {lost:,} lost"
        )
    return lines + [f"irregular: {one}" for one in irregular(found)]


THROUGHPUT_HEAD = (
    "size", "input frames/s", "throughput frames/s", "load", "of input", "bursts",
    "frames least", "mean", "most", "deviation", "buffer time", "corrected",
)  # fmt: skip


def throughput_cells(one: SizeBenchmark) -> tuple[str, ...]:
    """Return throughput and bursts of a size as the cells of a row under `THROUGHPUT_HEAD`."""
    lower_ppm, bursts = one.throughput.lower_ppm, one.back_to_back
    frames = (bursts.frames_min, bursts.frames_mean, bursts.frames_max, bursts.frames_deviation)
    return (
        f"{one.frame_bytes} B",
        f"{one.input_frames_per_s:,}",
        _count(one.throughput_frames_per_s),
        "-" if lower_ppm is None else show_load(lower_ppm),
        "-" if lower_ppm is None else _percent(lower_ppm * PPM // one.input_ppm),
        str(bursts.repeats),
        *map(_count, frames),
        show_time(bursts.implied_ps),
        show_time(bursts.corrected_ps),
    )


LATENCY_HEAD = ("size", "of throughput", "class", "frames", "least", "mean", "most", "variation")


def latency_rows(one: SizeBenchmark) -> Iterator[tuple[str, ...]]:
    """Yield what frames of a size met at shares of its throughput, class by class."""
    for share_ppm, point in at_shares(one):
        for met in point.classes:
            times = (met.latency_ps_min, met.latency_ps_mean, met.latency_ps_max, met.variation_ps)
            size, share = f"{one.frame_bytes} B", _percent(share_ppm)
            yield (size, share, met.traffic_class, f"{met.frames:,}", *map(show_time, times))


def at_shares(one: SizeBenchmark) -> Iterator[tuple[int, LoadPoint]]:
    """Yield what was seen at shares of the throughput, each with its share."""
    points = {point.scale_ppm: point for point in one.throughput.points}
    for share_ppm, at_ppm in loads_looked_at(one.throughput.lower_ppm).items():
        if at_ppm in points:
            yield share_ppm, points[at_ppm]


def loss_rows(found: Benchmark) -> list[tuple[str, ...]]:
    """Return a row for each share of the input rate that was tried, a column for each size."""
    shares = sorted({step.share_ppm for one in found.sizes for step in one.loss}, reverse=True)
    rows = [("of input", *(f"{one.frame_bytes} B" for one in found.sizes))]
    for share_ppm in shares:
        at = [
            next((step for step in one.loss if step.share_ppm == share_ppm), None)
            for one in found.sizes
        ]
        rows.append(
            (_percent(share_ppm), *("" if one is None else show_share(one.loss_ppb) for one in at))
        )
    return rows


def irregular(found: Benchmark) -> Iterator[str]:
    """Yield what is to be known of results before they are used (RFC 9971, RFC 9004)."""
    for one in found.sizes:
        for what, why in (
            ("throughput", one.throughput.irregular),
            ("back-to-back", one.back_to_back.irregular),
        ):
            if why is not None:
                yield f"{one.frame_bytes} B, {what}: {why}"


def benchmark_table(found: Benchmark) -> Table:
    """Return a row for each load of each test, and each class of it where there are several."""
    rows = [row for one in found.sizes for row in _rows(one)]
    return Table({name: [row.get(name) for row in rows] for name in COLUMNS})


COLUMNS = (
    "kind", "frame_bytes", "scale_ppm", "share_ppm", "traffic_class", "frames", "lost", "loss_ppb",
    "latency_ps_min", "latency_ps_mean", "latency_ps_max", "variation_ps", "repeats", "frames_min",
    "frames_mean", "frames_max", "frames_deviation", "implied_ps", "corrected_ps",
)  # fmt: skip


def _rows(one: SizeBenchmark) -> Iterator[dict[str, int | str | None]]:
    size = {"frame_bytes": one.frame_bytes}
    lower_ppm = one.throughput.lower_ppm
    share_ppm = None if lower_ppm is None else lower_ppm * PPM // one.input_ppm
    yield {"kind": "throughput", **size, "scale_ppm": lower_ppm, "share_ppm": share_ppm}
    for share, point in at_shares(one):
        for met in point.classes:
            at = {"scale_ppm": point.scale_ppm, "share_ppm": share}
            yield {"kind": "latency", **size, **at, **met.model_dump()}
    for step in one.loss:
        yield {"kind": "loss", **size, **step.model_dump(), "loss_ppb": step.loss_ppb}
    yield {"kind": "back-to-back", **size, **one.back_to_back.model_dump()}


def benchmark_cases(found: Benchmark, least_ppm: int | None) -> Iterator[SuiteCase]:
    """Yield a test case for each test of each size; a throughput below `least_ppm` fails."""
    for one in found.sizes:
        lower_ppm = one.throughput.lower_ppm
        said = "; ".join(
            f"{name} {cell}"
            for name, cell in zip(THROUGHPUT_HEAD, throughput_cells(one), strict=True)
        )
        name = f"{one.frame_bytes} B: "
        if lower_ppm is None:
            yield SuiteCase(
                "rfc2544", name + "throughput", "unknown", one.throughput.irregular, said
            )
        elif least_ppm is not None and lower_ppm < least_ppm:
            why = f"{show_load(lower_ppm)}, of {show_load(least_ppm)} at least"
            yield SuiteCase("rfc2544", name + "throughput", "fail", why, said)
        else:
            yield SuiteCase("rfc2544", name + "throughput", "pass", None, said)
        losses = "; ".join(
            f"{_percent(step.share_ppm)}: {show_share(step.loss_ppb)}" for step in one.loss
        )
        yield SuiteCase("rfc2544", name + "frame loss rate", "pass", None, losses)
        yield SuiteCase("rfc2544", name + "back-to-back", "pass", None, _bursts(one.back_to_back))


def _bursts(one: BackToBack) -> str:
    if one.frames_mean is None:
        return one.irregular or ""
    return f"{one.frames_mean:,} frames, corrected buffer time {show_time(one.corrected_ps)}"


def _percent(share_ppm: int) -> str:
    return f"{share_ppm / 10**4:.4g} %"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
