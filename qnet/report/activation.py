"""A service activation test (ITU-T Y.1564) for its readers: lines, a table of steps, test cases."""

from __future__ import annotations

from collections.abc import Iterator

from qnet.model.activation import ActivatedService, ServiceActivation, ServiceStep
from qnet.model.verdict import Outcome
from qnet.report.columns import Table
from qnet.report.junit import SuiteCase
from qnet.report.lines import aligned
from qnet.units import show_rate, show_share, show_size, show_time


def activation_lines(found: ServiceActivation) -> list[str]:
    """Say in lines how each service came through."""
    count = len(found.services)
    lines = [
        f"{found.title}: ITU-T Y.1564 service activation, {found.scope}: {found.outcome.upper()}",
        f"{count} service{'' if count == 1 else 's'}; performance test: all at CIR beside what "
        f"else there is, for {found.rounds} times {show_time(found.round_ps)} and more",
    ]
    for one in found.services:
        lines += [
            "",
            profile_words(one),
            *aligned([STEP_HEAD, *map(step_cells, one.steps)], (0, 11), "  "),
        ]
        if not one.eir_bps:
            lines.append("  step 2 does not apply: there is no excess rate")
        for step in one.steps:
            lines += [f"  {_called(step)}: {reason}" for reason in step.reasons]
        real = [step for step in one.steps if step.real_frames is not None]
        if real:
            sent, lost = (sum(getattr(step, name) or 0 for step in real) for name in REAL)
            lines.append(f"  {sent:,} frames through real switches, {lost:,} lost")
    lines += [f"not tested: {one.name}: {one.reason}" for one in found.left_out]
    return lines


def activation_table(found: ServiceActivation) -> Table:
    """Return a row for each step of each service."""
    rows = [
        {
            "name": one.name,
            "traffic_class": one.traffic_class,
            "cir_bps": one.cir_bps,
            "cbs_bytes": one.cbs_bytes,
            "eir_bps": one.eir_bps,
            "ebs_bytes": one.ebs_bytes,
            **step.model_dump(exclude={"reasons"}),
            "flr_ppb": step.flr_ppb,
            "reason": "; ".join(step.reasons) or None,
        }
        for one in found.services
        for step in one.steps
    ]
    names = list(rows[0]) if rows else []
    return Table({name: [row[name] for row in rows] for name in names})


def activation_cases(found: ServiceActivation) -> Iterator[SuiteCase]:
    """Yield a test case for each step of each service."""
    for left in found.left_out:
        outcome: Outcome = "fail" if left.fails else "pass"
        yield SuiteCase("y1564", f"{left.name}: not tested", outcome, left.reason, left.reason)
    for one in found.services:
        for step in one.steps:
            figures = ", ".join(
                f"{head} {cell}"
                for head, cell in zip(STEP_HEAD[1:-1], step_cells(step)[1:-1], strict=True)
            )
            reason = step.reasons[0] if step.reasons else None
            name = f"{one.name}: {_called(step)}"
            yield SuiteCase(
                "y1564", name, step.outcome, reason, "\n".join([*step.reasons, figures])
            )


REAL = ("real_frames", "real_lost")

STEP_HEAD = (
    "step", "IR sent", "IR received", "frames", "yellow", "lost", "FLR",
    "FTD least", "mean", "most", "FDV", "outcome",
)  # fmt: skip


def step_cells(step: ServiceStep) -> tuple[str, ...]:
    """Return a step as the cells of a row under `STEP_HEAD`."""
    times = (step.ftd_ps_min, step.ftd_ps_mean, step.ftd_ps_max, step.fdv_ps)
    return (
        _called(step),
        show_rate(step.ir_sent_bps),
        show_rate(step.ir_received_bps),
        f"{step.frames:,}",
        f"{step.yellow:,}",
        f"{step.lost:,}",
        show_share(step.flr_ppb),
        *map(show_time, times),
        step.outcome,
    )


def _called(step: ServiceStep) -> str:
    if step.step == "1":
        return f"1: {step.share_ppm // 10**4} % of CIR"
    names = {"2": "2: CIR + EIR", "3": "3: policing, 125 %", "performance": "performance, CIR"}
    return names[step.step]


def profile_words(one: ActivatedService) -> str:
    """Say what a service was promised."""
    rates = f"CIR {show_rate(one.cir_bps)}, CBS {show_size(one.cbs_bytes)}"
    if one.eir_bps:
        rates += f", EIR {show_rate(one.eir_bps)}, EBS {show_size(one.ebs_bytes)}"
    accepted = [f"FLR {show_share(one.flr_ppb)}"]
    for what, value in (("FTD", one.ftd_ps), ("FDV", one.fdv_ps)):
        accepted += [f"{what} {show_time(value)}"] if value is not None else []
    return f"{one.name} ({one.traffic_class}): {rates}; accepted: {', '.join(accepted)}"
