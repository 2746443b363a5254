"""A verdict for the terminal, and the whole answer as plain data for `--json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qnet.model.observation import Observation, PortUse, Traffic
from qnet.model.plan import Plan, StreamPlan
from qnet.model.proof import PortProof, Proof, StreamProof
from qnet.model.topology import Topology
from qnet.model.verdict import Outcome, Row, Verdict
from qnet.units import PPB, PS_PER_S, show_rate, show_time

FINDINGS_SHOWN = 20
"""A broken plan breaks its rules a thousand times; the first few say enough on a terminal."""

BUSY_PORTS_SHOWN = 20
BUSY_PPB = PPB // 2

WIDE_COLUMNS = 100

OUTCOME_STYLE: dict[Outcome, str] = {"pass": "green", "fail": "bold red", "unknown": "yellow"}

_UNPRINTABLE = dict.fromkeys(
    [
        *(code for code in range(0x20) if chr(code) not in "\n\t"),
        *range(0x7F, 0xA0),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        *range(0xD800, 0xE000),
        0xFFFE,
        0xFFFF,
    ],
    "\ufffd",
)
"""Controls, overrides of the writing direction, and what neither XML nor UTF-8 can hold."""


def printable(text: str) -> str:
    """Replace characters that would steer a terminal, or break XML, by the replacement sign."""
    return text if text.isprintable() else text.translate(_UNPRINTABLE)


def plan_lines(plan: Plan) -> list[str]:
    """Sum up a plan: what was admitted, what was refused and why, what a site can send."""
    states = Counter(entry.status for entry in plan.streams)
    placed = sum(entry.placed_bps for entry in plan.demands)
    wanted = sum(entry.rate_bps for entry in plan.demands)
    lines = [
        f"streams: {states['admitted']} admitted, {states['routed']} routed, "
        f"{states['refused']} refused; hypercycle {plan.hypercycle} x {show_time(plan.cycle_ps)}",
        f"demands: {show_rate(placed)} of {show_rate(wanted)} placed",
    ]
    lines += [
        f"egress of {entry.site}: {show_rate(entry.placed_bps)} placed of "
        f"{show_rate(entry.offered_bps)} offered, at most {show_rate(entry.bound_bps)}"
        for entry in plan.egress
    ]
    reasons = [f"{entry.name}: {entry.reason}" for entry in plan.streams if entry.reason]
    reasons += [f"{entry.name}: {entry.reason}" for entry in plan.demands if entry.reason]
    lines += [printable(reason) for reason in reasons[:FINDINGS_SHOWN]]
    if len(reasons) > FINDINGS_SHOWN:
        lines.append(f"... and {len(reasons) - FINDINGS_SHOWN} more; all are in the plan")
    return lines


def show(kind: str, value: int | None) -> str:
    """Write a value of a row of that kind: show('latency', 12_126_345_678) is '12.126 ms'."""
    if value is None:
        return "-"
    if kind in {"latency", "variation"}:
        return show_time(value)
    if kind in {"egress", "placed"}:
        return show_rate(value)
    return show_share(value) if kind == "loss" else f"{value:,}"


def show_share(share_ppb: int) -> str:
    """Write a ratio as a percentage; more than nothing never reads as nothing.

    show_share(1_000_000) is '0.1 %' and show_share(1) is '0.0000001 %'.
    """
    digits = 3 if share_ppb >= PPB // 100 else 7
    text = f"{share_ppb * 100 / PPB:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def headline(verdict: Verdict) -> str:
    """Say in half a line how many requirements hold."""
    count = Counter(row.outcome for row in verdict.rows)
    parts = []
    if count["fail"]:
        parts.append(f"{count['fail']} of {_counted(len(verdict.rows), 'requirement')} not kept")
    if verdict.findings:
        parts.append(_counted(len(verdict.findings), "finding"))
    if count["unknown"]:
        parts.append(f"{count['unknown']} not known")
    return ", ".join(parts) or f"{_counted(len(verdict.rows), 'requirement')} kept"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def subject(row: Row) -> str:
    """Name what a row speaks of: 'surgery x12' when it stands for twelve streams."""
    return row.subject if row.members == 1 else f"{row.subject} x{row.members:,}"


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print the verdict: PASS or FAIL, findings, the table, then what failed and why."""
    style = OUTCOME_STYLE[verdict.outcome]
    top = Text(verdict.outcome.upper(), style=style)
    _print(console, top.append(f"  {printable(verdict.title)}: {headline(verdict)}", style="bold"))
    _print_list(console, "Findings", verdict.findings, style="red")
    if verdict.rows:
        console.print()
        console.print(_table(verdict.rows, console.width))
    _print_list(console, "Not kept", map(_failure, _failing(verdict)))
    _print_list(console, "Notes", verdict.notes)
    if verdict.assumptions:
        count = _counted(len(verdict.assumptions), "assumption")
        console.print()
        _print(console, Text(f"{count}, listed in the report (--out DIR)", style="dim"))


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=False, overflow="fold", highlight=False)


def _print_list(console: Console, title: str, lines: Iterable[str], style: str = "") -> None:
    every = [printable(line) for line in lines]
    if not every:
        return
    console.print()
    _print(console, Text(title, style="bold"))
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    for line in every[:FINDINGS_SHOWN]:
        grid.add_row("-", Text(line, style=style))
    console.print(grid)
    if len(every) > FINDINGS_SHOWN:
        _print(console, Text(f"  and {len(every) - FINDINGS_SHOWN:,} more, in the report"))


def _table(rows: Iterable[Row], columns: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2 if columns >= WIDE_COLUMNS else 1, 0, 0))
    table.add_column("requirement", overflow="fold", min_width=6)
    table.add_column("what", no_wrap=True)
    for witness in ("promised", "proven", "simulated", "emulated"):
        table.add_column(witness, justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for row in rows:
        table.add_row(
            Text(printable(subject(row))),
            row.kind,
            *(show(row.kind, value) for value in witnesses(row)),
            Text(_result(row.outcome), style=OUTCOME_STYLE[row.outcome]),
        )
    return table


def witnesses(row: Row) -> tuple[int | None, int | None, int | None, int | None]:
    """Return the four figures of a row in the order of its columns."""
    return row.promised, row.proven, row.simulated, row.emulated


def _result(outcome: Outcome) -> str:
    return "FAIL" if outcome == "fail" else outcome


def _failing(verdict: Verdict) -> list[Row]:
    return [row for row in verdict.rows if row.outcome == "fail"]


def _failure(row: Row) -> str:
    worst = f" (worst: {row.worst})" if row.worst and row.worst != row.subject else ""
    return f"{subject(row)}, {row.kind}{worst}: {row.reason or 'no reason given'}"


def port_rate_bps(use: PortUse, observation: Observation) -> int:
    """Mean rate that a port sent, on the wire, over the steady part of a run."""
    steady_ps = observation.duration_ps - observation.steady_from_ps
    return use.steady_bytes * 8 * PS_PER_S // steady_ps if steady_ps > 0 else 0


def answer(
    verdict: Verdict,
    plan: Plan,
    proof: Proof,
    observation: Observation | None,
    topology: Topology | None = None,
) -> dict[str, object]:
    """Collect what a program wants to know.

    Without the topology the line rates are not known, and only cycles say how full a port is.
    """
    return {
        "verdict": verdict.model_dump(mode="json"),
        "plan": _plan_summary(plan),
        "run": _run_summary(observation),
        "streams": _stream_figures(plan, proof, observation),
        "fullest_cycles": [_cycle_figures(port) for port in _fullest(proof)],
        "busy_ports": _busy_ports(observation, topology),
    }


def _plan_summary(plan: Plan) -> dict[str, object]:
    status = Counter(stream.status for stream in plan.streams)
    return {
        "qnet_version": plan.qnet_version,
        "topology_sha256": plan.topology_sha256,
        "traffic_sha256": plan.traffic_sha256,
        "cycle_ps": plan.cycle_ps,
        "buffers": plan.buffers,
        "hypercycle": plan.hypercycle,
        "admitted_count": status["admitted"],
        "routed_count": status["routed"],
        "refused_count": status["refused"],
        "demand_offered_bps": sum(demand.rate_bps for demand in plan.demands),
        "demand_placed_bps": sum(demand.placed_bps for demand in plan.demands),
        "egress": [site.model_dump(mode="json") for site in plan.egress],
    }


def _run_summary(observation: Observation | None) -> dict[str, object] | None:
    if observation is None:
        return None
    return observation.model_dump(mode="json", exclude={"streams", "demands", "ports"})


def _stream_figures(
    plan: Plan, proof: Proof, observation: Observation | None
) -> list[dict[str, object]]:
    proven = {stream.name: stream for stream in proof.streams}
    seen = {} if observation is None else {stream.name: stream for stream in observation.streams}
    witness = "simulated" if observation is None else observation.witness
    return [
        {
            **_planned_figures(stream, proven.get(stream.name)),
            **_seen_figures(witness, seen.get(stream.name)),
        }
        for stream in plan.streams
    ]


def _planned_figures(stream: StreamPlan, proof: StreamProof | None) -> dict[str, object]:
    return {
        "name": stream.name,
        "status": stream.status,
        "reason": stream.reason,
        "proven_latency_ps_min": proof and proof.latency_ps_min,
        "proven_latency_ps_max": proof and proof.latency_ps_max,
        "proven_variation_ps": proof and proof.variation_ps,
    }


def _seen_figures(witness: str, seen: Traffic | None) -> dict[str, object]:
    return {
        f"{witness}_latency_ps_min": seen and seen.latency_ps_min,
        f"{witness}_latency_ps_mean": seen and seen.latency_ps_mean,
        f"{witness}_latency_ps_max": seen and seen.latency_ps_max,
        f"{witness}_variation_ps": seen and seen.variation_ps,
        "sent": seen and seen.sent,
        "received": seen and seen.received,
        "lost": seen and seen.lost,
        "late": seen and seen.late,
    }


def fill_ppb(port: PortProof) -> int:
    """Share of the fullest cycle that is reserved."""
    return port.reserved_bytes * PPB // max(port.capacity_bytes, 1)


def _fullest(proof: Proof) -> list[PortProof]:
    over = [port for port in proof.ports if fill_ppb(port) > BUSY_PPB]
    return sorted(over, key=lambda port: (-fill_ppb(port), port.port))[:BUSY_PORTS_SHOWN]


def _cycle_figures(port: PortProof) -> dict[str, object]:
    return {**port.model_dump(mode="json"), "fill_ppb": fill_ppb(port)}


def _busy_ports(
    observation: Observation | None, topology: Topology | None
) -> list[dict[str, object]] | None:
    if observation is None or topology is None:
        return None
    busy = []
    for use in observation.ports:
        rate_bps = port_rate_bps(use, observation)
        load_ppb = rate_bps * PPB // topology.port_by_name[use.port].rate_bps
        if load_ppb > BUSY_PPB:
            busy.append((-load_ppb, use.port, use, rate_bps))
    return [
        {
            "port": name,
            "load_ppb": -load,
            "rate_bps": rate_bps,
            "queue_bytes_max": use.queue_bytes_max,
            "dropped": use.dropped,
            "sent_frames": use.sent_frames,
        }
        for load, name, use, rate_bps in sorted(busy, key=lambda one: one[:2])[:BUSY_PORTS_SHOWN]
    ]
