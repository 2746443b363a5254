"""Captures among drawn sets: simulator and twin see the same, and no more than is proven."""

from __future__ import annotations

from array import array

import pytest

from qnet.check.plan import prove
from qnet.model.recording import CapturedFrames
from qnet.model.traffic import Demand, Profile, RecordedDemand
from qnet.simulate.run import simulate
from tests.builders import plan_for
from tests.random_sets import KINDS, Dice, random_set
from tests.slow_case import compare
from tests.timelines import judge_case

FRAMES = 120


def _captured(dice: Dice, profile: Profile, demand: Demand) -> Demand:
    """Draw frames of all sizes, bursts of one instant among them, some after the run's end."""
    span_ps = profile.simulation.duration_ps * 11 // 10
    times = sorted(dice.below(span_ps) for _ in range(FRAMES))
    for place in range(0, FRAMES, 7):
        times[place + 1 : place + 4] = [times[place]] * len(times[place + 1 : place + 4])
    seen = CapturedFrames(
        array("q", sorted(times)), array("H", (dice.between(64, 1518) for _ in times))
    )
    words = {key: getattr(demand, key) for key in ("name", "source", "target", "traffic_class")}
    made = {"rate_bps": "1Mbps", "sizes": seen.size_counts, "microflows": 1, "recording": seen}
    return RecordedDemand.model_validate(words | made)


@pytest.mark.twin
@pytest.mark.parametrize("number", [1])
@pytest.mark.parametrize("mechanism", KINDS)
def test_captures_among_drawn_sets(mechanism: str, number: int) -> None:
    topology, profile = random_set(mechanism, number)
    dice = Dice(f"{mechanism} captured", number)
    profile = profile.replace(
        demands=tuple(_captured(dice, profile, one) for one in profile.demands)
    )
    plan = plan_for(topology, profile)
    case = topology, profile, plan
    seen = simulate(*case)
    slow = compare(case, seen)
    assert not judge_case(case, prove(*case), slow).broken
    assert simulate(*case, threads=1) == seen
    assert not profile.demands or sum(one.sent for one in seen.demands) > FRAMES // 2
