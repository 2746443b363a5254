"""Thousands of random networks, each written in several ways: is the answer the same?

    python -m tests.bench.relations [SETS] [FIRST] [MECHANISM ...]

compares sets FIRST to FIRST + SETS - 1 of each mechanism (1,250 from 0, of all) with their twins
(`tests/relations.py`) and prints what does not hold; the exit code is 1 when there is anything.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tests.bench.bounds import show
from tests.random_sets import KINDS
from tests.relations import RELATIONS, broken


def main(arguments: Sequence[str]) -> int:
    """Compare the sets; return how many faults were found, one at most."""
    count = int(arguments[0]) if arguments else 1_250
    first = int(arguments[1]) if len(arguments) > 1 else 0
    faults = 0
    for mechanism in arguments[2:] or KINDS:
        begin = time.process_time()
        found = 0
        for number in range(first, first + count):
            words = broken(mechanism, number)
            found += len(words)
            for one in words[:3]:
                show(one)
        faults += found
        show(
            f"{mechanism}: {count:,} sets, {len(RELATIONS)} relations, {found} do not hold; "
            f"{time.process_time() - begin:.0f} s"
        )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
