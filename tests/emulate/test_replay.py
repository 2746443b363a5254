"""A replay through real switches: a sample of every window, at the picoseconds of the simulator."""

from __future__ import annotations

import pytest

import qnet
from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch

REASON = missing_switch() or missing_controller()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))


def test_windows_are_emulated_too() -> None:
    """A cut of five minutes: two windows, each with its own real frames."""
    whole = qnet.load("zheng-qing-ha")
    case = whole.with_(
        profile=whole.profile.replace(egress=()),
        scale="1/20",
        events=[qnet.cut("xian-qingyang", at="100s", for_="300s")],
    )
    made = qnet.replay(case, emulate="lockstep", sample=300).replay
    assert not made.findings
    for window in made.windows:
        assert window.emulated is not None
        assert window.emulated.difference_ps == 0
        assert min(window.emulated.delivered, window.emulated.lost) > 0
    assert {one.outcome for one in made.promises if one.service == "relay-protection"} == {"pass"}
