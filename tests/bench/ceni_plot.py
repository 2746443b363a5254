"""Simulate CENI's Beijing loop with 1 to 11 interferers; draw it beside what was published.

`python -m tests.bench.ceni_plot` from the checkout takes two minutes, rewrites
docs/ceni-beijing-loop.svg and prints the table of docs/ceni-beijing-loop.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests import ceni

TARGET = Path(__file__).parents[2] / "docs" / "ceni-beijing-loop.svg"
COUNTS = range(1, 12)

WIDTH, HEIGHT = 760, 640
LEFT, RIGHT = 78, 20
STYLE = """
  .paper { fill: #ffffff }
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .quiet, .tick { fill: #57606a }
  .tick { font-size: 12px }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .axis { stroke: #57606a; stroke-width: 1 }
  .beyond { fill: #f3f1ea }
  .published { fill: none; stroke: #b3530a; stroke-width: 2 }
  .simulated { fill: #1f6feb; stroke: none }
  .line { fill: none; stroke: #1f6feb; stroke-width: 1.5 }
  .proven { stroke: #1a7f37; stroke-width: 1.5; stroke-dasharray: 6 4 }
  .proven-text { fill: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 }
    text { fill: #e6edf3 }
    .quiet, .tick { fill: #9da7b1 }
    .grid { stroke: #2b323b }
    .axis { stroke: #9da7b1 }
    .beyond { fill: #1c1f1c }
    .published { stroke: #f0a35e }
    .simulated { fill: #6cb0ff }
    .line { stroke: #6cb0ff }
    .proven { stroke: #56d364 }
    .proven-text { fill: #56d364 }
  }
"""


class Row(NamedTuple):
    """One number of interferers, jitter in microseconds."""

    best_effort_us: float
    lost_share: float
    reserved_us: float
    proven_us: float


class Panel(NamedTuple):
    """One pair of axes: where it stands and how far up it counts."""

    top: int
    bottom: int
    most_us: int
    step_us: int

    def x(self, interferers: float) -> float:
        """Place a number of interferers."""
        span = WIDTH - LEFT - RIGHT
        return LEFT + span * (interferers - 0.5) / 11

    def y(self, amount_us: float) -> float:
        """Place a jitter."""
        return self.bottom - (self.bottom - self.top) * amount_us / self.most_us


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def axes(panel: Panel) -> list[str]:
    drawn = []
    for amount in range(0, panel.most_us + 1, panel.step_us):
        y = panel.y(amount)
        drawn.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        drawn.append(text(LEFT - 8, y + 4, f"{amount:,}", "tick", "end"))
    drawn.append(
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{panel.bottom}" '
        f'y2="{panel.bottom}"/>'
    )
    drawn += [text(panel.x(n), panel.bottom + 18, str(n), "tick", "middle") for n in COUNTS]
    middle = (panel.top + panel.bottom) / 2
    drawn.append(
        f'<text transform="translate(20 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        "jitter (µs)</text>"
    )
    return drawn


def beyond(panel: Panel) -> str:
    x = panel.x(7.5)
    return (
        f'<rect class="beyond" x="{x:.1f}" y="{panel.top}" width="{WIDTH - RIGHT - x:.1f}" '
        f'height="{panel.bottom - panel.top}"/>'
    )


def points(panel: Panel, amounts_us: Mapping[int, float], kind: str, size: int) -> list[str]:
    return [
        f'<circle class="{kind}" cx="{panel.x(n):.1f}" cy="{panel.y(amount):.1f}" r="{size}"/>'
        for n, amount in amounts_us.items()
    ]


def line(panel: Panel, amounts_us: Mapping[int, float]) -> str:
    places = " ".join(f"{panel.x(n):.1f},{panel.y(amount):.1f}" for n, amount in amounts_us.items())
    return f'<polyline class="line" points="{places}"/>'


def draw(rows: Sequence[Row]) -> str:
    upper, lower = Panel(70, 400, 3500, 500), Panel(468, 588, 40, 10)
    best_effort = {n: row.best_effort_us for n, row in zip(COUNTS, rows, strict=True)}
    reserved = {n: row.reserved_us for n, row in zip(COUNTS, rows, strict=True)}
    proven_us = max(row.proven_us for row in rows)
    proven_y = lower.y(proven_us)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="Jitter of the target stream over the number of interferers, published and '
        'simulated, best effort and reserved">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        text(LEFT, 24, "CENI’s Beijing loop: jitter of one stream among bursts", "title"),
        f'<circle class="published" cx="{LEFT + 6}" cy="44" r="6"/>',
        text(LEFT + 18, 48, "published (2020)"),
        f'<circle class="simulated" cx="{LEFT + 148}" cy="44" r="4"/>',
        text(LEFT + 160, 48, "simulated by qnet"),
        beyond(upper),
        *axes(upper),
        text(upper.x(7.5) + 8, 370, "overload: set by the buffers,", "quiet"),
        text(upper.x(7.5) + 8, 388, "no prediction", "quiet"),
        text(LEFT + 8, 88, "Best effort"),
        line(upper, best_effort),
        *points(upper, dict(zip(COUNTS, map(float, ceni.BEST_EFFORT_US), strict=True)),
                "published", 6),
        *points(upper, best_effort, "simulated", 4),
        beyond(lower),
        *axes(lower),
        text(LEFT + 8, 484, "Reserved (TCQF)"),
        f'<line class="proven" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{proven_y:.1f}" '
        f'y2="{proven_y:.1f}"/>',
        text(WIDTH - RIGHT - 6, proven_y - 5, f"proven: at most {proven_us:.2f} µs",
             "proven-text", "end"),
        line(lower, reserved),
        *points(lower, {n: float(ceni.RESERVED_US) for n in ceni.RESERVED_COUNTS}, "published", 6),
        *points(lower, reserved, "simulated", 4),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "interferers at either place", "", "middle"),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def measure() -> list[Row]:
    rows = []
    for interferers in COUNTS:
        plain = ceni.loop(interferers, "best-effort")
        target = plain.seen("target")
        kept = ceni.loop(interferers, "reserved")
        proven_ps = kept.proven("target").variation_ps
        assert proven_ps is not None, "the reserved stream is admitted"
        rows.append(
            Row(
                ceni.jitter_us(plain),
                target.lost / target.sent,
                ceni.jitter_us(kept),
                proven_ps / 10**6,
            )
        )
        print_row(interferers, rows[-1])
    return rows


def print_row(interferers: int, row: Row) -> None:
    published = ceni.BEST_EFFORT_US[interferers - 1]
    off = f"{row.best_effort_us / published - 1:+.1%}"
    reserved = str(ceni.RESERVED_US) if interferers in ceni.RESERVED_COUNTS else ""
    sys.stdout.write(
        f"| {interferers} | {published} | {row.best_effort_us:.1f} | {off} "
        f"| {row.lost_share:.1%} | {reserved} | {row.reserved_us:.1f} |\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    TARGET.write_text(draw(measure()), encoding="utf-8")
