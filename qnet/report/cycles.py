"""The cycles of one port: bytes reserved in each, stacked by service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

from qnet.model.proof import PortProof
from qnet.report.charts import round_step
from qnet.report.drawing import px
from qnet.report.inputs import ReportInput, interval_bytes

CYCLE_WIDTH = 1000.0
CYCLE_HEIGHT = 220.0
CYCLE_LEFT = 92.0
CYCLE_BARS = 250
BAR_PX_HIGHEST = 60.0
COLOURS = 8


class Cycles(NamedTuple):
    """Bytes reserved in each cycle of one port, stacked by service."""

    port: str
    merged: int
    capacity_bytes: int | None
    capacity_y: float
    layers: Sequence[tuple[str, int, str]]
    tips: Sequence[tuple[float, float, str]]
    x_ticks: Sequence[tuple[str, float]]
    y_ticks: Sequence[tuple[str, float]]
    fullest: PortProof | None


def cycles(case: ReportInput, name: str) -> Cycles:
    """Draw the cycles of one port over the hypercycle."""
    by_service = _reserved(case, name)
    hypercycle = case.plan.hypercycle
    totals = [sum(counts) for counts in zip(*by_service.values(), strict=True)]
    merged = ceil(hypercycle / CYCLE_BARS)
    bars = [
        max(range(first, min(first + merged, hypercycle)), key=lambda cycle: totals[cycle])
        for first in range(0, hypercycle if totals else 0, merged)
    ]
    fullest = next((port for port in case.proof.ports if port.port == name), None)
    capacity = fullest.capacity_bytes if fullest else None
    highest = max(capacity or 0, *totals, 1) if totals else max(capacity or 0, 1)
    bar_px = min((CYCLE_WIDTH - CYCLE_LEFT) / max(len(bars), 1), BAR_PX_HIGHEST)
    unit_px = (CYCLE_HEIGHT - 16) / highest
    step = round_step(highest, 4)
    cycle_step = round_step(hypercycle, 10)
    return Cycles(
        name,
        merged,
        capacity,
        CYCLE_HEIGHT - (capacity or 0) * unit_px,
        _stack(by_service, bars, bar_px, unit_px),
        [
            (CYCLE_LEFT + i * bar_px, bar_px, _cycle_tip(cycle, by_service, capacity))
            for i, cycle in enumerate(bars)
        ],
        [
            (f"{cycle:,}", CYCLE_LEFT + cycle / merged * bar_px)
            for cycle in range(0, hypercycle, cycle_step)
        ],
        [(f"{n:,} B", CYCLE_HEIGHT - n * unit_px) for n in range(0, highest + 1, step)],
        fullest,
    )


def _reserved(case: ReportInput, name: str) -> dict[str, list[int]]:
    """Return the bytes on the wire in each cycle, by service; small services go together."""
    hypercycle = case.plan.hypercycle
    uses: dict[str, list[tuple[int, int, int]]] = {}
    for planned in case.plan.streams:
        first = case.rides.get(planned.name, 0)
        for path in planned.paths:
            for port, cycle in zip(path.ports[first:], path.cycles[first:], strict=False):
                if port == name:
                    stream = case.stream_by_name[planned.name]
                    period = max(stream.interval_ps // case.plan.cycle_ps, 1)
                    use = cycle % period, period, interval_bytes(stream)
                    uses.setdefault(stream.service, []).append(use)

    def whole_bytes(service: str) -> int:
        return sum(
            size * len(range(cycle, hypercycle, period)) for cycle, period, size in uses[service]
        )

    largest = sorted(uses, key=lambda service: (-whole_bytes(service), service))
    apart = largest if len(largest) <= COLOURS else largest[: COLOURS - 1]
    rest = f"{len(largest) - len(apart)} other services"
    # One row for each colour, not for each service: a hypercycle may have a million cycles.
    rows: dict[str, list[int]] = {}
    for service in largest:
        drawn = service if service in apart else rest
        if drawn not in rows:
            rows[drawn] = [0] * hypercycle
        row = rows[drawn]
        for cycle, period, size in uses[service]:
            for turn in range(cycle, hypercycle, period):
                row[turn] += size
    return rows


def _stack(
    by_service: Mapping[str, Sequence[int]], bars: Sequence[int], bar_px: float, unit_px: float
) -> list[tuple[str, int, str]]:
    """Return name, colour and path of each service, one upon the other."""
    bases = [CYCLE_HEIGHT] * len(bars)
    layers = []
    wide = px(max(bar_px - (1.0 if bar_px > 4 else 0.2), 0.5))
    for colour, (service, counts) in enumerate(by_service.items()):
        parts = []
        for i, cycle in enumerate(bars):
            high = counts[cycle] * unit_px
            if high:
                left = f"{CYCLE_LEFT + i * bar_px:.2f}"
                parts.append(f"M{left} {px(bases[i])}v-{high:.2f}h{wide}v{high:.2f}z")
                bases[i] -= high
        layers.append((service, colour, "".join(parts)))
    return layers


def _cycle_tip(cycle: int, by_service: Mapping[str, Sequence[int]], capacity: int | None) -> str:
    counts = {service: row[cycle] for service, row in by_service.items() if row[cycle]}
    of = "" if capacity is None else f" of {capacity:,}"
    lines = [f"{service}: {count:,} B" for service, count in counts.items()]
    return "\n".join([f"cycle {cycle:,}: {sum(counts.values()):,}{of} B", *lines])
