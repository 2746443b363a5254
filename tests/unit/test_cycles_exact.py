"""Small sets of streams with cycles, against an exact solver of another make."""

import pytest

from qnet.check.plan import prove
from qnet.model.plan import Plan
from qnet.schedule.cycles import exact
from tests.bench.tiny_cycles import answer, tiny_set
from tests.builders import plan_for


def plan_of(number: int) -> Plan:
    return plan_for(*tiny_set(number))


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_tiny_sets_are_placed_whole_or_proven_not_to_fit(first: int) -> None:
    said = {answer(*tiny_set(number)) for number in range(first, first + 20)}
    assert said == {"placed", "impossible"}


def test_the_search_places_what_one_pass_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it some sets of the same draws are left open; what was placed stays placed."""
    numbers = range(100)
    with_it = {number: plan_of(number).reserved for number in numbers}
    monkeypatch.setattr(exact, "STREAMS_MAX", 0)
    opened = placed = 0
    for number in numbers:
        (one, other) = (plan_of(number).reserved, with_it[number])
        assert one is not None
        assert other is not None
        assert other.streams_placed >= one.streams_placed
        assert other.streams_bound <= one.streams_bound
        if one.streams_placed < one.streams_bound:
            opened += 1
            placed += other.streams_placed == other.streams
    assert opened > placed > 0


def test_work_that_is_used_up_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [number for number in range(100) if _is_searched(plan_of(number))]
    assert found
    monkeypatch.setattr(exact, "WORK_MAX", 1)
    for number in found:
        plan = plan_of(number)
        assert not _is_searched(plan)
        assert prove(*tiny_set(number), plan).findings == ()


def _is_searched(plan: Plan) -> bool:
    assert plan.reserved is not None
    return "looked at" in (plan.reserved.overload or "")
