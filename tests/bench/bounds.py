"""Thousands of random networks: no frame later than proven, and how near the bounds frames come.

    python -m tests.bench.bounds [SETS] [FIRST] [MECHANISM ...]

runs sets FIRST to FIRST + SETS - 1 of each mechanism (10,000 from 0, of all) and prints what it
found; the exit code is 1 when anything came later than proven, was late or was lost.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tests.random_sets import KINDS, Tightness, judge


def main(arguments: Sequence[str]) -> int:
    """Judge the sets; return how many faults were found, one at most."""
    count = int(arguments[0]) if arguments else 10_000
    first = int(arguments[1]) if len(arguments) > 1 else 0
    faults = 0
    for mechanism in arguments[2:] or KINDS:
        begin = time.process_time()
        streams: list[Tightness] = []
        proven = broken = 0
        for number in range(first, first + count):
            outcome = judge(mechanism, number)
            proven += outcome.proven
            broken += bool(outcome.broken)
            for fault in outcome.broken[:3]:
                show(fault)
            streams += outcome.streams
        faults += broken
        show(
            f"{mechanism}: {count:,} sets, {proven:,} streams proven, {len(streams):,} got "
            f"frames through, {broken} sets broke a bound; {time.process_time() - begin:.0f} s"
        )
        for what, shares in (
            ("latency", sorted(one.share_ppm for one in streams)),
            ("waiting", sorted(one.waiting_ppm for one in streams)),
        ):
            near = sum(share > 950_000 for share in shares)
            show(
                f"  {what}: largest {shares[-1] / 10**4:.2f} % of the bound, median "
                f"{shares[len(shares) // 2] / 10**4:.1f} %, within 5 % in {near:,} streams"
            )
    return int(faults > 0)


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
