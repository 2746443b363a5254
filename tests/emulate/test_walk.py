"""The way of real frames, over switches that do what the tables say: no Open vSwitch is needed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.emulate.frames.sample import Sample
from qnet.emulate.openflow.nouns import Switch
from qnet.emulate.tiers.compare import compare
from qnet.emulate.tiers.follow_frames import follow
from qnet.model.emulation import Emulation
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests.builders import plan_for
from tests.emulate.ideal import IdealSwitches
from tests.unit.test_simulate_ports import PARTS, Drawing


def emulated(
    case: Sample, simulated: Observation, switches: Sequence[Switch] | None = None
) -> Emulation:
    """Emulate a sample over ideal switches with the case's rules, or others."""
    plain, _ = follow(case, None)
    ideal = IdealSwitches(case.rules if switches is None else switches)
    course = follow(case, ideal.forward)
    proof = prove(case.topology, case.profile, case.plan)
    return compare(case, proof, simulated, course, plain, tuple(course[0].findings.values()))


@pytest.mark.parametrize(
    "name",
    [
        "cqf",
        "cut-through",
        pytest.param("copies", marks=pytest.mark.twin),
        "copies-and-gates",
        "events",
        "events-and-copies",
        "events-and-gates",
    ],
)
def test_random_networks_are_emulated_as_simulated(name: str) -> None:
    @settings(max_examples=settings().max_examples // 3, phases=[Phase.explicit, Phase.generate])
    @given(st.composite(lambda draw: Drawing(draw, PARTS[name]).case())(), st.integers(1, 3))
    def check(drawn: tuple[Topology, Profile, Plan], stride: int) -> None:
        topology, profile, _ = drawn
        plan = plan_for(topology, profile)
        assume(any(one.paths for one in plan.streams))
        simulated = simulate(topology, profile, plan, threads=1)
        everything = Sample(topology, profile, plan, frames=1 << 20)
        strides = dict.fromkeys((one.source for one in everything.members), stride)
        result = emulated(Sample(topology, profile, plan, strides=strides), simulated)
        assert result.findings == ()
        assert {one.difference_ps for one in result.streams} <= {0, None}
        seen = {one.name: one for one in simulated.streams}
        for one in result.observation.streams:
            if stride == 1:
                # When a frame was lost, and why, is not seen: only that it did not come.
                loose = ("lost", "in_flight", "copies_lost", "lost_by")
                same = {name: getattr(one, name) for name in loose}
                assert one == seen[one.name].replace(**same)
            assert one.sent == one.received + one.lost + one.in_flight
            assert one.lost == sum(part.frames for part in one.lost_by)
            assert one.in_flight >= 0

    check()
