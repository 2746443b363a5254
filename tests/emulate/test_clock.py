"""The clock of switches goes on as a test says: entries with a timeout run out."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.tiers.probe import missing_tools
from qnet.files.read import read_topology
from qnet.model.emulation import Tier
from tests.emulate.test_testbed import LINE

pytestmark = pytest.mark.xdist_group("mininet")
LACKING = missing_switch() or missing_controller()

TIMED = """
import sys

from os_ken.base.app_manager import OSKenApp
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPFlowRemoved, EventOFPSwitchFeatures
from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser


class Timed(OSKenApp):
    OFP_VERSIONS = (of.OFP_VERSION,)

    @set_ev_cls(EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        self.add(event.msg.datapath, 1, idle_timeout=TIMEOUT, flags=of.OFPFF_SEND_FLOW_REM)
        self.add(event.msg.datapath, 2, hard_timeout=TIMEOUT, flags=of.OFPFF_SEND_FLOW_REM)

    @set_ev_cls(EventOFPFlowRemoved, MAIN_DISPATCHER)
    def removed(self, event):
        self.add(event.msg.datapath, 10 * event.msg.priority + event.msg.reason)

    def add(self, switch, priority, **more):
        match = parser.OFPMatch(eth_type=0x9000)
        switch.send_msg(parser.OFPFlowMod(switch, priority=priority, match=match, **more))
"""


@pytest.mark.parametrize(("tier", "timeout_s"), [("lockstep", 60), ("mininet", 1)])
def test_entries_run_out_and_the_controller_is_told(
    tier: Tier, timeout_s: int, tmp_path: Path
) -> None:
    lacking = LACKING or (missing_tools() if tier == "mininet" else None)
    if lacking:
        pytest.skip(lacking)
    (tmp_path / "timed.py").write_text(TIMED.replace("TIMEOUT", str(timeout_s)))

    def priorities() -> list[list[int]]:
        switches = [testbed.tables(name) for name in testbed.switches]
        return [sorted(rule.priority for rule in one.rules) for one in switches]

    with (
        Controller(["timed"], modules=tmp_path) as controller,
        Testbed(read_topology(LINE), controller.target, tier=tier) as testbed,
    ):
        if tier == "lockstep":
            assert priorities() == [[1, 2]] * 4
            testbed.advance(timeout_s / 4)
            assert priorities() == [[1, 2]] * 4
            age_s = testbed.counters("b").entries[0].age_s
            assert timeout_s / 4 <= age_s < timeout_s
            testbed.advance(f"{timeout_s * 3 // 4}s")
        else:
            testbed.advance(timeout_s + 1)
        testbed.wait_until(lambda: priorities() == [[10, 21]] * 4, "10s", "entries to run out")


def test_a_controller_that_has_no_time_to_answer_is_not_given_up() -> None:
    """Switches ask it every five seconds, and wait as long, by the clock that is put forward."""
    if LACKING:
        pytest.skip(LACKING)
    with (
        Controller(["learning"]) as controller,
        Testbed(read_topology(LINE), controller.target) as testbed,
    ):
        before = testbed.fabric.talks()
        (part,) = controller.parts()
        process = part.process.pid
        os.kill(process, signal.SIGSTOP)
        try:
            testbed.advance("60s")
        finally:
            os.kill(process, signal.SIGCONT)
        assert testbed.reaches("a", "d")
        assert testbed.fabric.talks() == before
