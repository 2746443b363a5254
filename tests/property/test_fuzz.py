"""Files changed at random: a sample of `python -m tests.fuzz 20000`."""

from __future__ import annotations

from tests.fuzz import KINDS, fuzz


def test_whatever_files_hold_it_is_a_verdict_or_refused() -> None:
    found = fuzz([*KINDS], 12 * len(KINDS), seed=11)
    assert sum(found.values()) == 12 * len(KINDS)
    assert {name.split()[0] for name in found} == {*KINDS}
