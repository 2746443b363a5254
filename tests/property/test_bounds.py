"""Simulated never beyond proven, and near it: a sample of what tests/bench/bounds.py runs."""

from __future__ import annotations

import pytest

from tests.random_sets import KINDS, judge


@pytest.mark.parametrize("mechanism", KINDS)
def test_no_frame_comes_later_than_proven_and_some_nearly_as_late(mechanism: str) -> None:
    outcomes = [judge(mechanism, number) for number in range(50)]
    assert [fault for one in outcomes for fault in one.broken] == []
    streams = [stream for one in outcomes for stream in one.streams]
    assert len(streams) > 100
    assert max(one.share_ppm for one in streams) > 950_000
    # Not only because propagation is most of both: of the waiting alone, too.
    assert max(one.waiting_ppm for one in streams) > 900_000
