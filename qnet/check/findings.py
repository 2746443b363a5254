"""Broken rules as they are found, and how they are worded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

from qnet.check.line import ceil_div
from qnet.model.proof import Finding, Rule
from qnet.units import RATE, TIME, describe, format_quantity

FINDINGS_PER_PLACE = 20
"""More findings than this of one rule at one port are counted, not listed."""

NUMBER_HIGHEST = 10**18
"""No honest plan holds a larger number: 10**18 ps are eleven days, 10**18 b/s an exabit."""


class Findings:
    """Broken rules in the order found; a hostile plan cannot make the list explode."""

    def __init__(self) -> None:
        self.total = 0
        self._listed: list[Finding] = []
        self._counts: Counter[tuple[Rule, str]] = Counter()

    def add(self, rule: Rule, subject: str, message: str, port: str = "") -> None:
        """Note one broken rule; `port` is where it broke, '' when at no port in particular."""
        self.count(rule, port, 1)
        if self._counts[rule, port] <= FINDINGS_PER_PLACE:
            self._listed.append(Finding(rule=rule, subject=subject, message=message))

    def has(self, rule: Rule, port: str) -> bool:
        """Say whether a rule is broken at a port."""
        return self._counts[rule, port] > 0

    def count(self, rule: Rule, port: str, more: int) -> None:
        """Count findings without listing them."""
        self.total += more
        self._counts[rule, port] += more

    def collected(self) -> tuple[Finding, ...]:
        """Return what is listed, then how many more there are of each rule and port."""
        rest = [
            Finding(
                rule=rule,
                subject=port or "plan",
                message=f"{count - FINDINGS_PER_PLACE} more findings of this rule",
            )
            for (rule, port), count in self._counts.items()
            if count > FINDINGS_PER_PLACE
        ]
        return (*self._listed, *rest)


# Words and numbers


def is_sane(numbers: Iterable[int]) -> bool:
    """Say whether an honest plan could hold these numbers."""
    return all(abs(number) <= NUMBER_HIGHEST for number in numbers)


def exact_number(number: int) -> str:
    """Write a number of the plan; Python refuses to write those of thousands of digits."""
    return str(number) if abs(number) <= NUMBER_HIGHEST else f"over {NUMBER_HIGHEST}"


def quoted(text: str) -> str:
    """Write a name of the plan that the files do not have, short and without control characters."""
    return describe(text if text.isprintable() else ascii(text))


def exact_time(time_ps: int) -> str:
    """Write a time exactly, also a negative one."""
    return format_quantity(TIME, time_ps) if time_ps >= 0 else f"-{exact_time(-time_ps)}"


def exact_rate(rate_bps: int | Fraction) -> str:
    """Write a rate, rounded up to a whole bit per second."""
    return format_quantity(RATE, round_up(Fraction(rate_bps)))


def round_up(exact: Fraction) -> int:
    """Round up."""
    return ceil_div(exact.numerator, exact.denominator)
