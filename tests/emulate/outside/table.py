"""What is right of controllers that others wrote: the lines of `table.csv`.

`verdict` is right where the findings are of the kinds `findings`, each of them, and of `perhaps`:
in a storm of copies it is chance what else is seen. `why` says how it is known to be right. A
controller has `settle_s` to find its feet, and `failover_s` to find a way round a cut link (empty:
none is cut). A line that `make test` has no time for is run by `make long` alone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("table.csv")

NETWORKS = ("line:4", "ring:4", "zheng-qing-ha", "dual-node")

UNDECIDED = {
    ("faucet", "dual-node"): "its stack of 31 switches takes more processor than two shared cores",
    (
        "simple_switch_igmp_13",
        "dual-node",
    ): "its storm of floods did not end in 15 minutes",
}
"""What has no line since nothing is known to be right of it, and why."""


class Row(NamedTuple):
    """A controller on a network, and what is right of it."""

    controller: str
    network: str
    tier: str
    run: str
    settle_s: float
    failover_s: float | None
    verdict: str
    findings: frozenset[str]
    perhaps: frozenset[str]
    why: str

    @property
    def name(self) -> str:
        """Return what no other line has."""
        return f"{self.controller}-{self.network}-{self.tier}"

    @property
    def at_most_s(self) -> float:
        """Return how long it can take at most, on a machine that has other things to do."""
        return 120 + 2 * self.settle_s + 3 * (self.failover_s or 0)


def read(lines: Iterable[str]) -> list[Row]:
    """Read a table."""
    return [
        Row(
            one["controller"],
            one["network"],
            one["tier"],
            one["run"],
            float(one["settle_s"]),
            float(one["failover_s"]) if one["failover_s"] else None,
            one["verdict"],
            frozenset(one["findings"].split()),
            frozenset(one["perhaps"].split()),
            one["why"],
        )
        for one in csv.DictReader(lines)
    ]


ROWS = read(FILE.read_text(encoding="utf-8").splitlines())


def differences(row: Row, verdict: str, kinds: Iterable[str]) -> list[str]:
    """Say in what an answer differs from what is right."""
    found = frozenset(kinds)
    apart = [] if verdict == row.verdict else [f"{verdict}, not {row.verdict}"]
    apart += [f"no finding of kind {one}" for one in sorted(row.findings - found)]
    return apart + [
        f"a finding of kind {one}" for one in sorted(found - row.findings - row.perhaps)
    ]
