"""A gate plan in a few lines."""

from __future__ import annotations

from qnet.model.gates import GatePlan, GateProblem, GateProof
from qnet.model.verdict import Outcome
from qnet.report.text import OUTCOME_WORD
from qnet.units import TIME, format_quantity

REFUSED_SHOWN = 10


def gate_plan_outcome(plan: GatePlan, proof: GateProof, *, given: bool) -> Outcome:
    """Return whether all streams are served: not known where neither a plan nor a proof was found.

    A `given` plan that leaves streams out does not serve them.
    """
    if proof.findings:
        return "fail"
    if plan.complete:
        return "pass"
    return "fail" if given or plan.proof is not None else "unknown"


def gate_plan_lines(
    problem: GateProblem, plan: GatePlan, proof: GateProof, outcome: Outcome
) -> list[str]:
    """Say first whether all is well, then what was proven, then who is left out and why."""
    refused = [made for made in plan.streams if made.status == "refused"]
    placed = len(plan.streams) - len(refused)
    lines = [
        f"{OUTCOME_WORD[outcome]}: {placed} of {len(plan.streams)} streams scheduled, "
        f"cycle {format_quantity(TIME, plan.cycle_ps)}, seed {plan.seed}"
    ]
    if outcome == "unknown":
        lines.append("neither a plan for all nor a proof was found; try another '--seed'")
    if plan.proof is not None:
        lines.append(f"no plan can hold them all: {plan.proof}")
        if plan.bound is not None:
            lines.append(f"{placed} of at most {plan.bound} streams scheduled")
    legs = (stream for stream in problem.streams for _ in stream.targets)
    worst = [
        (one.latency_ps_max * 1000 // stream.deadline_ps, one.latency_ps_max, one.name, stream)
        for one, stream in zip(proof.streams, legs, strict=False)
        if one.latency_ps_max is not None
    ]
    if worst:
        share, latency, name, stream = max(worst, key=lambda row: row[:2])
        lines.append(
            f"nearest to its deadline: {name}, proven {format_quantity(TIME, latency)} "
            f"of {format_quantity(TIME, stream.deadline_ps)} ({share / 10:.1f} %)"
        )
    if plan.gates:
        longest = max(plan.gates, key=lambda made: len(made.entries))
        lines.append(
            f"{len(plan.gates)} gate lists, the longest {len(longest.entries)} entries"
            f" ({longest.port})"
        )
    lines += [f"refused {made.name}: {made.reason}" for made in refused[:REFUSED_SHOWN]]
    if len(refused) > REFUSED_SHOWN:
        lines.append(f"refused: {len(refused) - REFUSED_SHOWN} more")
    lines += [f"broken {one.rule}: {one.subject}: {one.message}" for one in proof.findings]
    return lines
