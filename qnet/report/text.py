"""A verdict for the terminal, and the whole answer as plain data for `--json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from qnet.layers import Section
from qnet.model.emulation import Emulation
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

ROWS_SHOWN = 60
"""Lines of the table on a terminal; the failing ones are the first."""

WITNESSES_SHOWN = 128
"""Streams and demands in the table of witnesses: all that the usual sample takes."""

COLUMNS = ("promised", "proven", "simulated", "emulated")
OUTCOME_STYLE: dict[Outcome, str] = {"pass": "green", "fail": "bold red", "unknown": "yellow"}

SURVIVAL = {"cable-egress": "a cable cut", "node-egress": "a node down"}

LOSS_WORDS = ("proven none", "none seen", "not promised and not seen")

OUTCOME_WORD: dict[Outcome, str] = {"pass": "PASS", "fail": "FAIL", "unknown": "NOT KNOWN"}

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
    states = Counter(entry.status for entry in plan.first_legs)
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
    lines += plan.gate_lines()
    lines += plan.reserved.lines() if plan.reserved else []
    lines += plan.changes.lines() if plan.changes else []
    reasons = [f"{entry.tree}: {entry.reason}" for entry in plan.first_legs if entry.reason]
    reasons += [f"{entry.name}: {entry.reason}" for entry in plan.demands if entry.reason]
    return lines + first_lines(reasons, "; all are in the plan")


def first_lines(texts: Sequence[str], where: str = "") -> list[str]:
    """Return what a terminal has room for, and how many more there are."""
    lines = [printable(text) for text in texts[:FINDINGS_SHOWN]]
    if len(texts) > FINDINGS_SHOWN:
        lines.append(f"... and {len(texts) - FINDINGS_SHOWN} more{where}")
    return lines


def headline(verdict: Verdict) -> str:
    """Say in half a line how many requirements hold, and how many of them by seeing alone."""
    rows = requirements(verdict)
    count = Counter(row.outcome for row in rows)
    every = counted(len(rows), "requirement")
    if count["fail"]:
        parts = [f"{count['fail']:,} of {every} not kept"]
    elif count["unknown"]:
        parts = [f"{count['pass']:,} of {every} kept"]
    else:
        parts = [f"{every} kept" if rows else "nothing was promised"]
    if verdict.findings:
        parts.append(counted(len(verdict.findings), "finding"))
    if count["unknown"]:
        parts.append(f"{count['unknown']:,} not known")
    elif verdict.outcome == "unknown":
        parts.append("a witness whose run is void")
    seen = sum(row.basis == "seen" for row in rows)
    if seen:
        parts.append(f"{seen:,} by what was seen alone")
    return ", ".join(parts)


def requirements(verdict: Verdict) -> list[Row]:
    """Return the rows with something to keep; the others only show what was found."""
    return [row for row in verdict.rows if row.promised is not None or row.outcome == "fail"]


def counted(count: int, noun: str) -> str:
    """Say how many of something there are: 1 window, 2 windows."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def subject(row: Row) -> str:
    """Name what a row speaks of: 'surgery x12' when it stands for twelve streams or legs."""
    return row.subject if row.members == 1 else f"{row.subject} x{row.members:,}"


def result(row: Row) -> str:
    """Say how a row came out; where nothing was promised, a pass is no merit."""
    if row.outcome == "fail":
        return "FAIL"
    if row.outcome == "unknown":
        return "not known"
    if row.promised is None:
        return "-"
    return "seen" if row.basis == "seen" else "pass"


def reason(row: Row) -> str:
    """Say why a row failed or is not known, of how many, and which member came off worst.

    Where it is not known, what would decide it follows.
    """
    why = row.reason or "no reason given"
    if row.worst and row.worst != row.subject and row.worst not in why:
        why = f"{row.worst}: {why}"
    count = row.broken if row.outcome == "fail" else row.not_known
    if row.told.of_each and row.members > 1:
        why = f"{count:,} of {row.members:,}; {why}"
    return f"{why}; what would decide it: {row.decided_by}" if row.decided_by else why


def print_verdict(verdict: Verdict, console: Console, sections: Sequence[Section] = ()) -> None:
    """Print the verdict: PASS or FAIL, findings, the table with what failed first, notes.

    The sections of layers follow.
    """
    try:
        _print_verdict(verdict, console)
        for section in sections:
            _print_section(section, console)
    except SystemExit:
        # A console whose reader has left exits with 1, which would say that the network fails.
        raise BrokenPipeError from None


def _print_verdict(verdict: Verdict, console: Console) -> None:
    style, word = OUTCOME_STYLE[verdict.outcome], OUTCOME_WORD[verdict.outcome]
    margin = " " * (len(word) + 2)
    top = Text(f"{word}  ", style=style)
    _print_wrapped(console, Text(printable(verdict.title), style="bold"), margin, top)
    _print_wrapped(console, Text(headline(verdict), style=style), margin)
    _print_list(console, "Findings", verdict.findings, style="red")
    if verdict.rows:
        console.print()
        _print_table(verdict, console)
    _print_list(console, "Events", verdict.events)
    notes = [*_sums(verdict), *verdict.notes]
    if verdict.assumptions:
        count = counted(len(verdict.assumptions), "assumption")
        notes.append(f"{count}, listed in the report (--out DIR)")
    if notes:
        console.print()
    for note in notes:
        _print_wrapped(console, Text(printable(note)))


def _print_section(section: Section, console: Console) -> None:
    """Print a layer's title, its sentences and its table."""
    console.print()
    _print(console, Text(printable(section.title), style="bold"))
    for line in section.lines:
        _print_wrapped(console, Text(printable(line)))
    if not section.rows:
        return
    cells = [tuple(map(_one_line, row)) for row in (section.columns, *section.rows)]
    first, *widths = (max(map(cell_len, column)) for column in zip(*cells, strict=True))
    for number, (name, *figures) in enumerate(cells):
        style = "" if number else "bold"
        _print_cells(console, (name, "", *figures, ""), (first, 0, *widths, 0), style)


WITNESS_COLUMNS = ("frames", "", "proven", "simulated", "emulated", "difference")


def print_witnesses(emulation: Emulation, console: Console) -> None:
    """Print what each witness has of every sampled stream, those that differ most first.

    Differences are between the emulated and the simulated course of the same frames.
    """
    rows: list[tuple[str, ...]] = []
    styles: list[str] = []
    rounding_ps = emulation.rounding_ps
    for one in sorted(emulation.streams, key=lambda one: -(one.difference_ps or 0)):
        latency = (
            one.proven_latency_ps_max,
            one.simulated_latency_ps_max,
            one.emulated_latency_ps_max,
        )
        variation = (
            one.proven_variation_ps,
            one.simulated_variation_ps,
            one.emulated_variation_ps,
        )
        got = f"{one.delivered}/{one.frames}"
        lost = f"{one.lost} lost" if one.lost else ""
        styles += [
            OUTCOME_STYLE["fail" if (difference_ps or 0) > allowed_ps else "pass"]
            for difference_ps, allowed_ps in (
                (one.difference_ps, rounding_ps),
                (one.variation_difference_ps, 2 * rounding_ps),
            )
        ]
        rows.append(
            (one.name, got, "latency", *map(show_time, latency), show_time(one.difference_ps))
        )
        rows.append(
            ("", lost, "variation", *map(show_time, variation),
             show_time(one.variation_difference_ps))
        )  # fmt: skip
    shown = rows[: 2 * WITNESSES_SHOWN]
    columns = zip(WITNESS_COLUMNS, *(row[1:] for row in shown), strict=True)
    widths = [max(map(cell_len, column)) for column in columns]
    first = min(max(map(cell_len, ["emulated", *(row[0] for row in shown)])), 40)
    console.print()
    _print_cells(console, ("emulated", *WITNESS_COLUMNS), (first, *widths), "bold")
    for row, style in zip(shown, styles, strict=False):
        _print_cells(console, (_one_line(row[0]), *row[1:]), (first, *widths), style)
    if len(rows) > len(shown):
        rest = len(rows) // 2 - WITNESSES_SHOWN
        _print(console, Text(f"and {rest:,} more: see --json or --out DIR"))


def _print_wrapped(
    console: Console, text: Text, margin: str = "", first: Text | None = None
) -> None:
    """Print lines that hang from a margin; `first` stands in the margin of the first."""
    start = Text(margin) if first is None else first
    for line in text.wrap(console, max(console.width - len(margin), 20), overflow="fold"):
        line.rstrip()
        _print(console, start + line)
        start = Text(margin)


def _print(console: Console, text: Text) -> None:
    console.print(text, no_wrap=True, overflow="ignore", crop=False, highlight=False)


def _print_list(console: Console, title: str, lines: Sequence[str], style: str = "") -> None:
    if not lines:
        return
    console.print()
    _print(console, Text(title, style="bold"))
    for line in lines[:FINDINGS_SHOWN]:
        _print_wrapped(console, Text(printable(line), style=style), "  ", Text("- "))
    if len(lines) > FINDINGS_SHOWN:
        _print(console, Text(f"  and {len(lines) - FINDINGS_SHOWN:,} more, in the report"))


def _print_table(verdict: Verdict, console: Console) -> None:
    """Print what must be seen: each service's name once, the failing services first.

    Rows that only say 'all of it' are summed up below the table.
    """
    rows = _failing_first([row for row in verdict.rows if not _is_plain(row)])
    columns = [name for name in COLUMNS if name != "emulated" or is_emulated(verdict)]
    cells = [_cells(row, columns) for row in rows[:ROWS_SHOWN]]
    head = ("what", *columns, "")
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    names = [_one_line(subject(row)) for row in rows[:ROWS_SHOWN]]
    room = console.width - sum(widths) - len(widths)
    first = max([len("requirement"), *(n for name in names if (n := cell_len(name)) <= room)])
    _print_cells(console, ("requirement", *head), (first, *widths), "bold")
    above = ""
    for row, name, figures in zip(rows, names, cells, strict=False):
        own = "" if name == above else name
        above = name
        if cell_len(own) > first:
            _print_wrapped(console, Text(own))
            own = ""
        _print_cells(console, (own, *figures), (first, *widths), OUTCOME_STYLE[row.outcome])
        if row.outcome != "pass":
            style = "red" if row.outcome == "fail" else "yellow"
            _print_wrapped(console, Text(printable(reason(row)), style=style), "    ")
    rest = rows[ROWS_SHOWN:]
    if rest:
        failed = sum(row.outcome == "fail" for row in rest)
        unknown = sum(row.outcome == "unknown" for row in rest)
        counts = f"{failed:,} of them FAIL" + (f", {unknown:,} not known" if unknown else "")
        more = f"and {len(rest):,} more lines, {counts}: see --out DIR or --json"
        _print(console, Text(more))


def _failing_first(rows: Sequence[Row]) -> list[Row]:
    """Keep the rows of a subject together, subjects with a failing row first, then not known."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.subject, []).append(row)
    order = ("fail", "unknown", "pass")
    kept = sorted(groups.values(), key=lambda group: min(order.index(o.outcome) for o in group))
    return [row for group in kept for row in group]


def _one_line(name: str) -> str:
    return printable(name).replace("\n", " ").replace("\t", " ")


def _cells(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the texts of a row after its name: what, the figures, the result."""
    figures = zip(COLUMNS, witnesses(row), strict=True)
    shown = (row.show(value) for column, value in figures if column in columns)
    return row.what, *shown, result(row)


def _print_cells(console: Console, cells: Sequence[str], widths: Sequence[int], style: str) -> None:
    """Print a line: name, what and result to the left, figures to the right."""
    text = Text()
    last = len(cells) - 1
    for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        blank = " " * (width - cell_len(cell))
        shown = Text(cell, style=style if number == last or style == "bold" else "")
        text += shown + blank if number < 2 or number == last else Text(blank) + shown
        text += Text(" ")
    text.rstrip()
    _print(console, text)


def is_emulated(verdict: Verdict) -> bool:
    """Tell whether any row has a figure of the emulation."""
    return any(row.emulated is not None for row in verdict.rows)


def _is_plain(row: Row) -> bool:
    """Tell whether a row only says that all was admitted, that none was lost, or what would be left
    of an egress that nobody asked to last.
    """
    if row.kind == "admitted":
        return row.outcome == "pass"
    if row.kind in SURVIVAL:
        return row.promised is None
    figures = row.proven, row.simulated, row.emulated
    return row.kind == "loss" and row.outcome == "pass" and not any(figures)


def _loss_words(row: Row) -> str | None:
    """Say what a plain row of losses says; one without a promise was perhaps not looked at."""
    if not _is_plain(row):
        return None
    if row.basis == "proven":
        return "proven none"
    looked = row.simulated is not None or row.emulated is not None
    return "none seen" if looked else "not promised and not seen"


def _sums(verdict: Verdict) -> list[str]:
    """Say in one line each what plain rows say, and how far egress is from its bound."""
    lines = []
    admitted = [row for row in verdict.rows if row.kind == "admitted"]
    if admitted:
        wanted = sum(row.promised or 0 for row in admitted)
        given = sum(row.proven or 0 for row in admitted)
        lines.append(f"admitted: {given:,} of {counted(wanted, 'stream')}")
    plain = Counter(map(_loss_words, (row for row in verdict.rows if row.kind == "loss")))
    lines += [
        f"loss: {text}, {counted(plain[text], 'service')}" for text in LOSS_WORDS if plain[text]
    ]
    fewest = [row.frames for row in verdict.rows if row.frames is not None]
    if fewest:
        frames = counted(min(fewest), "frame")
        lines.append(f"seen: kept by all that came in steady state, {frames} of each at least")
    for row in verdict.rows:
        if row.kind == "egress" and row.outcome != "fail":
            figures = [
                f"{row.show(value)} {what}"
                for value, what in (
                    (row.proven, "placed"),
                    (row.simulated, "delivered (simulated)"),
                    (row.emulated, "delivered (emulated)"),
                )
                if value is not None
            ]
            said = [", ".join(figures), *([row.reason] if row.reason else [])]
            lines.append(f"egress of {row.subject}: {'; '.join(said)}")
        if row.kind in SURVIVAL and row.outcome != "fail":
            lines.append(f"egress of {row.subject}, {SURVIVAL[row.kind]}: {row.reason}")
    return lines


def witnesses(row: Row) -> tuple[int | None, int | None, int | None, int | None]:
    """Return the four figures of a row in the order of its columns."""
    return row.promised, row.proven, row.simulated, row.emulated


def port_rate_bps(use: PortUse, observation: Observation) -> int:
    """Mean rate that a port sent, on the wire, over the steady part of a run.

    A run too short to have one counts as a whole.
    """
    steady_ps = observation.duration_ps - observation.steady_from_ps
    if steady_ps > 0:
        return use.steady_bytes * 8 * PS_PER_S // steady_ps
    return use.sent_bytes * 8 * PS_PER_S // max(observation.duration_ps, 1)


def answer(
    verdict: Verdict,
    plan: Plan,
    proof: Proof,
    observation: Observation | None,
    topology: Topology | None = None,
    emulation: Emulation | None = None,
) -> dict[str, object]:
    """Collect what a program wants to know.

    Without the topology the line rates are not known, and only cycles say how full a port is.
    """
    return {
        "outcome": verdict.outcome,
        "verdict": verdict.model_dump(mode="json"),
        "plan": _plan_summary(plan),
        "run": _run_summary(observation),
        "streams": _stream_figures(plan, proof, observation),
        "fullest_cycles": [_cycle_figures(port) for port in _fullest(proof)],
        "busy_ports": _busy_ports(observation, topology),
        **({} if emulation is None else {"emulation": emulation.model_dump(mode="json")}),
    }


def _plan_summary(plan: Plan) -> dict[str, object]:
    status = Counter(stream.status for stream in plan.first_legs)
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
        "in_flight": seen and seen.in_flight,
        "lost_by": seen and {one.cause: one.frames for one in seen.lost_by},
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
