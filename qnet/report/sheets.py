"""Long tables of the page: every row is on it, a few are shown, the reader sorts and filters.

A sheet goes into the page once as JSON; the page's script shows its rows. The first few stand in
the page as they are, for whoever reads it without a script.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from qnet.layers import Section
from qnet.model.emulation import Emulation, Witnesses
from qnet.model.observation import Traffic
from qnet.report.charts import ServiceSummary
from qnet.report.inputs import ReportInput, by_load
from qnet.report.tables import StreamLine, in_order, refused, show_load, streams
from qnet.report.text import printable
from qnet.units import show_availability, show_rate, show_size, show_time

ROWS_KEPT = 10_000
"""Rows of one sheet that go into the page: a megabyte of text, which a browser sorts at once."""

EXAMPLES_KEPT = 1_000
"""Rows of a sheet that says in other words what the sheet of streams says of each."""

Kind = Literal["text", "figure", "fault", "share"]
"""How a column looks: a fault is a figure that should be nothing, a share has a bar."""


class Column(NamedTuple):
    """A column of a sheet."""

    title: str
    kind: Kind = "figure"


class Sheet(NamedTuple):
    """A table: `rows` has what the page holds of its `total`, as it is to be read."""

    noun: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    total: int


def _sheet(
    noun: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], most: int = ROWS_KEPT
) -> Sheet:
    every = list(rows)
    kept = [[printable(cell) for cell in row] for row in every[:most]]
    return Sheet(noun, columns, kept, len(every))


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def stream_sheet(case: ReportInput) -> Sheet:
    """List all streams that have a route, those nearest to their promise first."""
    available = any(one.availability is not None for one in case.proof.streams)
    columns = [
        *(Column(title, "text") for title in ("stream", "service", "from, to")),
        *(Column(f"latency {who}") for who in ("promised", "proven", "seen")),
        *(Column(f"variation {who}") for who in ("promised", "proven", "seen")),
        *(Column(f"availability {who}") for who in ("promised", "proven") if available),
        Column("frames"),
        Column("received"),
        Column("lost", "fault"),
        Column("in flight"),
        Column("late events", "fault"),
    ]
    rows = (_stream_row(line, available=available) for line in streams(case))
    return _sheet("streams", columns, rows)


def _stream_row(line: StreamLine, *, available: bool) -> Sequence[str]:
    stream, proof, seen = line.stream, line.proof, line.seen
    shares = (stream.availability, proof.availability if proof else None) if available else ()
    return (
        stream.name,
        stream.service,
        f"{stream.talker} -> {stream.listener}",
        show_time(stream.max_latency_ps),
        show_time(proof.latency_ps_max if proof else None),
        show_time(seen.latency_ps_max if seen else None),
        show_time(stream.max_latency_variation_ps),
        show_time(proof.variation_ps if proof else None),
        show_time(seen.variation_ps if seen else None),
        *("-" if one is None else show_availability(one) for one in shares),
        _count(seen.sent if seen else None),
        _count(seen.received if seen else None),
        _count(seen.lost if seen else None),
        _count(seen.in_flight if seen else None),
        _count(seen.late if seen else None),
    )


def layer_sheets(case: ReportInput) -> list[tuple[Section, Sheet]]:
    """Return each layer's section with its table: a name, then figures."""
    return [
        (
            one,
            _sheet(
                "rows",
                [
                    Column(title, "figure" if place else "text")
                    for place, title in enumerate(one.columns)
                ],
                one.rows,
            ),
        )
        for one in case.sections
    ]


def witness_sheet(emulation: Emulation) -> Sheet:
    """List what each witness has of every sampled stream, the largest difference first."""
    columns = [
        Column("stream", "text"),
        Column("frames"),
        Column("delivered"),
        Column("lost", "fault"),
        *(Column(f"latency {who}") for who in ("proven", "simulated", "emulated")),
        *(Column(f"variation {who}") for who in ("proven", "simulated", "emulated")),
        Column("latency difference", "fault"),
        Column("variation difference", "fault"),
    ]

    def most_first(one: Witnesses) -> tuple[int, int, bool, tuple[tuple[int, str], ...]]:
        unproven = one.proven_latency_ps_max is None
        return -(one.difference_ps or 0), -one.lost, unproven, in_order(one.name)

    rows = map(_witness_row, sorted(emulation.streams, key=most_first))
    return _sheet("sampled streams", columns, rows)


def _witness_row(one: Witnesses) -> Sequence[str]:
    return (
        one.name,
        _count(one.frames),
        _count(one.delivered),
        _count(one.lost),
        show_time(one.proven_latency_ps_max),
        show_time(one.simulated_latency_ps_max),
        show_time(one.emulated_latency_ps_max),
        show_time(one.proven_variation_ps),
        show_time(one.simulated_variation_ps),
        show_time(one.emulated_variation_ps),
        show_time(one.difference_ps),
        show_time(one.variation_difference_ps),
    )


def service_sheet(services: Sequence[ServiceSummary]) -> Sheet:
    """List how long the frames of each service took, in the order of the charts."""
    columns = [
        *(Column(title, "text") for title in ("service", "of", "class")),
        Column("frames"),
        Column("received"),
        Column("lost", "fault"),
        Column("in flight"),
        Column("late events", "fault"),
        *(Column(title) for title in ("least", "mean", "50 %", "99 %", "99.9 %", "most")),
    ]
    rows = (
        (
            one.name,
            one.what,
            one.classes,
            _count(one.sent),
            _count(one.received),
            _count(one.lost),
            _count(one.in_flight),
            _count(one.late),
            *map(show_time, one.latencies_ps),
        )
        for one in services
    )
    return _sheet("services", columns, rows, EXAMPLES_KEPT)


def worst_sheet(case: ReportInput) -> Sheet:
    """List the slowest frame of every stream, nearest to its promise first, then of demands."""
    columns = [
        Column("stream or demand", "text"),
        Column("service", "text"),
        *(
            Column(title)
            for title in (
                "worst latency", "above its best", "above the least possible",
                "of the promised latency", "worst born at", "best born at",
            )
        ),
    ]  # fmt: skip
    if case.observation is None:
        return _sheet("", columns, ())
    lines = [(line.seen, line) for line in streams(case) if line.seen]
    demands = sorted(
        case.observation.demands,
        key=lambda one: (one.floor_ps - (one.latency_ps_max or 0), in_order(one.name)),
    )
    every = [*lines, *((one, None) for one in demands)]
    rows = [_worst_row(seen, line) for seen, line in every if seen.worst_birth_ps is not None]
    return _sheet("streams and demands", columns, rows, EXAMPLES_KEPT)


def _worst_row(seen: Traffic, line: StreamLine | None) -> Sequence[str]:
    promised = line.stream.max_latency_ps if line else None
    most = seen.latency_ps_max
    share = f"{most * 100 / promised:.1f} %" if promised and most is not None else "-"
    return (
        seen.name if line else f"{seen.name} (demand)",
        seen.service,
        show_time(most),
        show_time(seen.variation_ps),
        show_time(None if most is None else most - seen.floor_ps),
        share,
        show_time(seen.worst_birth_ps),
        show_time(seen.best_birth_ps),
    )


def class_sheet(case: ReportInput) -> Sheet:
    """List what became of the frames of each class.

    A frame over two paths counts twice, one to several listeners for each of them.
    """
    columns = [
        Column("class", "text"),
        *(Column(title) for title in ("sent", "received")),
        Column("lost", "fault"),
        *(Column(title) for title in ("discarded", "in flight")),
        Column("lost for", "text"),
    ]
    rows = (
        (
            one.traffic_class,
            _count(one.sent),
            _count(one.received),
            _count(sum(lost.frames for lost in one.lost_by)),
            _count(one.discarded),
            _count(one.in_flight),
            ", ".join(f"{lost.cause}: {lost.frames:,}" for lost in one.lost_by) or "-",
        )
        for one in (case.observation.classes if case.observation else ())
    )
    return _sheet("classes", columns, rows)


def drop_sheet(case: ReportInput) -> Sheet:
    """List where frames were lost, of what, and why; the largest losses first."""
    columns = [
        *(Column(title, "text") for title in ("port", "stream or demand", "cause")),
        Column("frames", "fault"),
    ]
    drops = case.observation.drops if case.observation else ()
    worst = sorted(drops, key=lambda one: (-one.frames, in_order(one.port), in_order(one.name)))
    rows = ((one.port, one.name, one.cause, _count(one.frames)) for one in worst)
    return _sheet("places and causes", columns, rows)


def port_sheet(case: ReportInput) -> Sheet:
    """List all ports, the fullest first."""
    columns = [
        Column("port", "text"),
        Column("rate"),
        Column("load", "share"),
        Column("peak queue"),
        Column("drains in"),
        Column("lost", "fault"),
        Column("frames"),
    ]
    rows = (
        (
            load.port.name,
            show_rate(load.port.rate_bps, 0),
            show_load(load.load_ppb),
            "-" if load.queue_bytes_max is None else show_size(load.queue_bytes_max),
            show_time(load.drain_ps),
            _count(load.dropped),
            _count(load.sent_frames),
        )
        for load in sorted(case.loads.values(), key=by_load)
    )
    return _sheet("ports", columns, rows)


def refused_sheet(case: ReportInput) -> Sheet:
    """List the refused streams with the reason of each."""
    columns = [Column(title, "text") for title in ("stream", "from, to", "reason")]
    rows = (
        (stream.name, f"{stream.talker} -> {stream.listener}", reason)
        for stream, reason in refused(case)
    )
    return _sheet("refused streams", columns, rows)
