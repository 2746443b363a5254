"""What a run gave, as tables of plain columns: for pandas, Arrow and whatever reads them.

Values are those of the nouns: whole numbers in the unit that the column's name ends with or has in
it (`_ps`, `_bps`, `_bytes`, `_ppb`), texts, and None where there is nothing to say. Availabilities
are shares of the time in steps of 1e-15.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from qnet.errors import EnvironmentMissing
from qnet.model.observation import PortUse, Traffic
from qnet.model.plan import StreamPlan
from qnet.model.traffic import Demand, Stream
from qnet.model.verdict import Outcome
from qnet.report.inputs import ReportInput
from qnet.units import PPB

if TYPE_CHECKING:
    import pyarrow

ROWS_SHOWN = 20
"""Of a long table in a notebook."""


TEXTS = {
    "name", "service", "traffic_class", "talker", "listener", "status", "reason", "source",
    "target", "outcome", "link", "cable", "subject", "kind", "basis", "worst", "decided_by",
    "unit", "targets", "settings", "step",
}  # fmt: skip
"""Columns of texts; the others hold whole numbers."""


class Table(dict[str, list[Any]]):
    """Columns by name, all of one length: `pandas.DataFrame(table)` reads it as it is."""

    @property
    def rows(self) -> int:
        """Count the rows."""
        return len(next(iter(self.values()), ()))

    def row(self, number: int) -> dict[str, Any]:
        """Return one row, by its number from 0."""
        return {name: column[number] for name, column in self.items()}

    def to_arrow(self) -> pyarrow.Table:
        """Return the table as Arrow; raises EnvironmentMissing without pyarrow."""
        try:
            import pyarrow  # noqa: PLC0415
        except ImportError:
            raise EnvironmentMissing(
                "Arrow needs pyarrow: pip install 'qnet-emulator[measure]'"
            ) from None
        kinds = {True: pyarrow.string(), False: pyarrow.int64()}
        return pyarrow.table(
            {name: pyarrow.array(column, kinds[name in TEXTS]) for name, column in self.items()}
        )

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give the table to programs that know the Arrow PyCapsule interface: polars, DuckDB ..."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        """Show the first rows in a notebook."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self)
        body = "".join(
            "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in self.row(number).values())
            for number in range(min(self.rows, ROWS_SHOWN))
        )
        rest = self.rows - ROWS_SHOWN
        more = f"<p>and {rest:,} rows more</p>" if rest > 0 else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _table(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> Table:
    every = list(rows)
    return Table({name: [row[name] for row in every] for name in names})


STREAM_COLUMNS = (
    "name", "service", "traffic_class", "talker", "listener", "status", "reason", "paths",
    "interval_ps", "frame_bytes", "latency_ps_promised", "latency_ps_proven",
    "latency_ps_simulated", "latency_ps_emulated", "variation_ps_promised", "variation_ps_proven",
    "variation_ps_simulated", "variation_ps_emulated", "availability_promised",
    "availability_proven", "availability_simulated", "sent", "received", "lost", "late",
)  # fmt: skip


def stream_table(case: ReportInput) -> Table:
    """Return a row for each stream, one for each listener where it has several."""
    plans = {one.name: one for one in case.plan.streams}
    real = {} if case.emulation is None else {one.name: one for one in case.emulation.streams}
    figures = () if case.observation is None else case.observation.figures
    drawn = {one.subject: one.value for one in figures if one.kind == "availability"}

    def row(stream: Stream) -> dict[str, Any]:
        planned: StreamPlan | None = plans.get(stream.name)
        proof, seen = case.proof_by_name.get(stream.name), case.seen_by_name.get(stream.name)
        emulated = real.get(stream.name)
        return {
            "name": stream.name,
            "service": stream.service,
            "traffic_class": stream.traffic_class,
            "talker": stream.talker,
            "listener": stream.listener,
            "status": planned.status if planned else None,
            "reason": planned.reason if planned else None,
            "paths": len(planned.paths) if planned else 0,
            "interval_ps": stream.interval_ps,
            "frame_bytes": stream.frame_bytes,
            "latency_ps_promised": stream.max_latency_ps,
            "latency_ps_proven": proof.latency_ps_max if proof else None,
            "latency_ps_simulated": seen.latency_ps_max if seen else None,
            "latency_ps_emulated": emulated.emulated_latency_ps_max if emulated else None,
            "variation_ps_promised": stream.max_latency_variation_ps,
            "variation_ps_proven": proof.variation_ps if proof else None,
            "variation_ps_simulated": seen.variation_ps if seen else None,
            "variation_ps_emulated": emulated.emulated_variation_ps if emulated else None,
            "availability_promised": stream.availability,
            "availability_proven": proof.availability if proof else None,
            "availability_simulated": drawn.get(stream.name),
            **_counts(seen),
            "late": seen.late if seen else None,
        }

    return _table(map(row, case.profile.every_stream), STREAM_COLUMNS)


def _counts(seen: Traffic | None) -> dict[str, int | None]:
    if seen is None:
        return dict.fromkeys(("sent", "received", "lost"))
    return {"sent": seen.sent, "received": seen.received, "lost": seen.lost}


DEMAND_COLUMNS = (
    "name", "service", "traffic_class", "source", "target", "rate_bps", "placed_bps", "routes",
    "reason", "latency_ps_simulated", "sent", "received", "lost",
)  # fmt: skip


def demand_table(case: ReportInput) -> Table:
    """Return a row for each demand."""
    plans = {one.name: one for one in case.plan.demands}

    def row(demand: Demand) -> dict[str, Any]:
        planned, seen = plans.get(demand.name), case.seen_by_name.get(demand.name)
        return {
            "name": demand.name,
            "service": demand.service,
            "traffic_class": demand.traffic_class,
            "source": demand.source,
            "target": demand.target,
            "rate_bps": demand.rate_bps,
            "placed_bps": planned.placed_bps if planned else None,
            "routes": len(planned.parts) if planned else 0,
            "reason": planned.reason if planned else None,
            "latency_ps_simulated": seen.latency_ps_max if seen else None,
            **_counts(seen),
        }

    return _table(map(row, case.profile.demands), DEMAND_COLUMNS)


SERVICE_COLUMNS = (
    "service", "outcome", "streams", "streams_placed", "demands", "latency_ps_promised",
    "latency_ps_proven", "latency_ps_simulated", "latency_ps_emulated", "sent", "received", "lost",
)  # fmt: skip


def service_table(case: ReportInput) -> Table:
    """Return a row for each service: the tightest promise, the worst of what is known, sums."""
    streams, demands = stream_table(case), demand_table(case)
    members: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]
    members = defaultdict(lambda: ([], []))
    for kind, table in enumerate((streams, demands)):
        for number in range(table.rows):
            members[table["service"][number]][kind].append(table.row(number))
    outcomes: dict[str, set[Outcome]] = defaultdict(set)
    for one in case.verdict.rows:
        outcomes[one.subject].add(one.outcome)

    def row(service: str) -> dict[str, Any]:
        ours, others = members[service]
        every = [*ours, *others]
        worst = {
            f"latency_ps_{witness}": _of(max, every, f"latency_ps_{witness}")
            for witness in ("proven", "simulated", "emulated")
        }
        return {
            "service": service,
            "outcome": next(
                (one for one in ("fail", "unknown", "pass") if one in outcomes[service]), None
            ),
            "streams": len(ours),
            "streams_placed": sum(one["status"] in ("admitted", "routed") for one in ours),
            "demands": len(others),
            "latency_ps_promised": _of(min, ours, "latency_ps_promised"),
            **worst,
            **{name: _of(sum, every, name) for name in ("sent", "received", "lost")},
        }

    return _table(map(row, members), SERVICE_COLUMNS)


def _of(
    function: Callable[[list[int]], int], rows: Iterable[Mapping[str, Any]], name: str
) -> int | None:
    """Add up, or compare, what is known of a column; None where nothing is."""
    known = [row[name] for row in rows if row.get(name) is not None]
    return function(known) if known else None


PORT_COLUMNS = (
    "name", "link", "source", "target", "rate_bps", "propagation_ps", "load_ppb",
    "cycle_reserved_bytes", "cycle_capacity_bytes", "queue_bytes_max", "sent_frames", "sent_bytes",
    "dropped", "lost_on_link",
)  # fmt: skip


def port_table(case: ReportInput) -> Table:
    """Return a row for each port; the load is what was seen, or what is planned (`loads_are`)."""
    uses = _uses(case)
    proofs = {one.port: one for one in case.proof.ports}
    rows = []
    for port in case.topology.ports:
        use, proof = uses.get(port.name), proofs.get(port.name)
        rows.append(
            {
                "name": port.name,
                "link": case.topology.link_name(case.topology.links[port.link]),
                "source": port.source,
                "target": port.target,
                "rate_bps": port.rate_bps,
                "propagation_ps": port.propagation_ps,
                "load_ppb": case.loads[port.name].load_ppb,
                "cycle_reserved_bytes": proof.reserved_bytes if proof else None,
                "cycle_capacity_bytes": proof.capacity_bytes if proof else None,
                "queue_bytes_max": use.queue_bytes_max if use else None,
                "sent_frames": use.sent_frames if use else None,
                "sent_bytes": use.sent_bytes if use else None,
                "dropped": use.dropped if use else None,
                "lost_on_link": use.lost_on_link if use else None,
            }
        )
    return _table(rows, PORT_COLUMNS)


def _uses(case: ReportInput) -> Mapping[str, PortUse]:
    return {} if case.observation is None else {one.port: one for one in case.observation.ports}


LINK_COLUMNS = (
    "name", "cable", "source", "target", "wires", "rate_bps", "propagation_ps", "load_ppb",
    "sent_frames", "sent_bytes", "dropped", "lost_on_link",
)  # fmt: skip


def link_table(case: ReportInput) -> Table:
    """Return a row for each direction of each link, its wires together."""
    wires: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    ports = port_table(case)
    for port in case.topology.ports:
        wires[port.link, port.source].append(ports.row(port.number))
    rows = []
    for (number, source), ours in wires.items():
        link = case.topology.links[number]
        rate_bps = sum(one["rate_bps"] for one in ours)
        used = sum(one["load_ppb"] * one["rate_bps"] for one in ours)
        rows.append(
            {
                "name": case.topology.link_name(link),
                "cable": case.topology.cable(link),
                "source": source,
                "target": ours[0]["target"],
                "wires": len(ours),
                "rate_bps": rate_bps,
                "propagation_ps": ours[0]["propagation_ps"],
                "load_ppb": min(used // rate_bps, PPB),
                **{
                    name: _of(sum, ours, name)
                    for name in ("sent_frames", "sent_bytes", "dropped", "lost_on_link")
                },
            }
        )
    return _table(rows, LINK_COLUMNS)


REQUIREMENT_COLUMNS = (
    "subject", "kind", "unit", "outcome", "basis", "promised", "proven", "simulated",
    "emulated",
    "members", "broken", "not_known", "worst", "reason", "decided_by",
)  # fmt: skip


def requirement_rows(case: ReportInput) -> Table:
    """Return a row for each requirement; `kind` says of what its figures are, `unit` in what."""
    rows = [{**one.model_dump(), "unit": one.told.unit.one_step} for one in case.verdict.rows]
    return _table(rows, REQUIREMENT_COLUMNS)


def to_csv(table: Table) -> str:
    """Write a table as CSV: a line of names, and nothing where there is no value."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(table)
    lines.writerows(zip(*table.values(), strict=True))
    return text.getvalue()
