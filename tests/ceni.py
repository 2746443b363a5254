"""What was published of CENI's Beijing loop (CENI "DIP" report, August 2020), in microseconds."""

from __future__ import annotations

from qnet.model.observation import Observation
from tests.asking import Answer, ask

BEST_EFFORT_US = (54, 371, 689, 1006, 1324, 1641, 1959, 2179, 2402, 2623, 2846)
"""Jitter, largest latency less smallest, with 1 to 11 interferers."""

RESERVED_US = 29
"""Jitter of the DIP stream, the same with each number of interferers that the table has."""

RESERVED_COUNTS = (1, 2, 6, 11)

LEAST_US = 27_142
"""Least latency of the best-effort stream."""

CONGESTED = ("bj1->sjz1", "nj->hf2")


def loop(interferers: int, traffic_class: str) -> Answer:
    settings = {"interferers": interferers, "class": traffic_class}
    return ask("ceni-beijing-loop", settings=settings)


def jitter_us(answer: Answer) -> float:
    variation_ps = answer.seen("target").variation_ps
    assert variation_ps is not None
    return variation_ps / 10**6


def lost(seen: Observation) -> int:
    return sum(one.lost for one in seen.streams)
