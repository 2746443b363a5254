"""How many frames of a gated stream are born in a time, by hand."""

from __future__ import annotations

from qnet.check.births import GatedBirths
from tests.timelines import judge


def _births(*starts_ps: list[int], error_ps: int = 0, in_interval: int = 1) -> GatedBirths:
    return GatedBirths(starts_ps, error_ps, 100, 1, in_interval)


def test_starts_come_again_each_cycle_and_near_an_edge_the_clock_decides() -> None:
    births = _births([30], error_ps=10)
    assert births.within([(20, 330)]) == (3, 4)
    assert births.within([(0, 20)]) == (0, 0)
    assert births.within([(0, 21)]) == (0, 1)
    assert births.within([(0, 41), (120, 141)]) == (2, 2)


def test_before_the_first_start_nothing_is_sent() -> None:
    assert _births([430]).sent([(0, 1000)]) == (6, 6)
    assert _births([430, 480], in_interval=2).sent([(0, 1000)]) == (12, 12)


def test_what_may_begin_before_the_run_is_not_certain_with_the_rest_of_its_interval() -> None:
    early = _births([5, 50], error_ps=10, in_interval=2)
    assert early.sent([(0, 290)]) == (4, 6)
    assert _births([5, 50], error_ps=10).sent([(0, 290)]) == (5, 6)


def test_copies_have_starts_of_their_own() -> None:
    births = _births([30, 60], [35, 90])
    assert births.apart_ps == 30
    assert births.left_out == 0
    assert _births([5], [35], error_ps=10).left_out == 1


def test_streams_that_begin_late_are_sent_as_often_as_is_proven() -> None:
    """Proven were 59 frames of s1 of the first, 52 were sent: it begins in its eighth interval."""
    for number in (1000, 1007, 1008):
        assert judge("qbv", number).broken == ()
