"""A case that is written otherwise has the same answer: a sample of tests/bench/relations.py."""

from __future__ import annotations

import pytest

from tests.random_sets import KINDS
from tests.relations import broken


@pytest.mark.parametrize("mechanism", KINDS)
def test_what_is_written_otherwise_is_answered_the_same(mechanism: str) -> None:
    assert [words for number in range(12) for words in broken(mechanism, number)] == []
