"""A controller that is slow, gone or begun anew: one that copes with it, and one that does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.switches.talk import ControllerGone
from qnet.emulate.testbed import injections
from qnet.emulate.testbed.cuts import NotThere
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.tiers.probe import missing_tools
from qnet.errors import EnvironmentMissing
from qnet.files.read import read_topology
from qnet.model.emulation import Tier

REASON = missing_switch() or missing_controller()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]

TWO = """
title: Two switches
nodes: [{name: a}, {name: b}]
links: [{between: [a, b], rate: 1Gbps, length: 1km}]
"""

ONCE = """
from os_ken.base.app_manager import OSKenApp
from os_ken.controller.handler import CONFIG_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPSwitchFeatures
from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser


class Once(OSKenApp):
    OFP_VERSIONS = (of.OFP_VERSION,)
    done = set()

    @set_ev_cls(EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):  # it takes what it has written for lasting
        switch = event.msg.datapath
        if switch.id in self.done:
            return
        self.done.add(switch.id)
        flood = [parser.OFPActionOutput(of.OFPP_FLOOD)]
        apply = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, flood)]
        switch.send_msg(parser.OFPFlowMod(switch, instructions=apply))
"""


@contextmanager
def under(folder: Path, app: str, tier: Tier = "lockstep") -> Iterator[Testbed]:
    (folder / "two.yaml").write_text(TWO)
    (folder / "once.py").write_text(ONCE)
    with (
        Controller([app], modules=folder) as controller,
        Testbed(read_topology(str(folder / "two.yaml")), controller.target, tier=tier) as testbed,
    ):
        (name,) = testbed.controllers.names
        testbed.controllers.apps[name] = controller
        yield testbed


@pytest.mark.parametrize("tier", ["lockstep", "mininet"])
def test_a_controller_that_asks_for_frames_copes_with_all(tier: Tier, tmp_path: Path) -> None:
    reason = missing_tools()
    if tier == "mininet" and reason is not None:
        pytest.skip(reason)
    with under(tmp_path, "learning", tier) as testbed:
        testbed.restart_switch("a")
        testbed.settle()
        assert testbed.reaches("a", "b")
        testbed.restart_controller()
        testbed.settle()
        assert testbed.reaches("a", "b")
        with testbed.controller_away():
            assert testbed.udp("a", "b").hosts == ("b",), "entries are there still"
        testbed.settle()
        assert testbed.reaches("b", "a")
        assert testbed.control() == (), "all of it was the testbed's own doing"


def test_one_that_writes_its_entries_once_does_not_cope_with_a_new_switch(tmp_path: Path) -> None:
    with under(tmp_path, "once") as testbed:
        with testbed.slow_controller("5s"):
            assert testbed.reaches("a", "b"), "it needs no controller"
        with testbed.controller_away():
            assert testbed.reaches("a", "b")
        assert testbed.reaches("a", "b")
        testbed.restart_switch("b")
        testbed.settle()
        assert testbed.tables("b").rules == ()
        assert not testbed.reaches("a", "b")
        testbed.restart_controller()
        testbed.settle()
        assert testbed.reaches("a", "b")
        with pytest.raises(NotThere):
            testbed.restart_switch("c")


def test_one_that_is_asked_is_late_when_it_is_slow(tmp_path: Path) -> None:
    with under(tmp_path, "learning") as testbed:
        with testbed.slow_controller(0.7):
            found = testbed.ping("a", "b", count=1)
            assert found.late == 1
            assert found.slowest_s >= 0.7
        testbed.wait(1)
        assert testbed.ping("b", "a").received == 3
        with testbed.controller_away():
            assert testbed.fabric.talks()["a"].connected is False
        testbed.controllers.apps.clear()
        with pytest.raises(EnvironmentMissing, match="was not started here"):
            testbed.restart_controller()


def test_one_that_does_not_come_back_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injections, "BACK_S", 0.5)
    with under(tmp_path, "learning") as testbed:
        (app,) = testbed.controllers.apps.values()
        with (
            pytest.raises(ControllerGone, match=r"has not taken back a, b in .* it was away"),
            testbed.controller_away(),
        ):
            app.close()
