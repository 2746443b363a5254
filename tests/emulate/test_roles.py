"""Several controllers at every switch: who is master, and what becomes of it when one is away."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.dummy_switches import BRIDGE, Fabric
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.switches.talk import ControllerGone
from qnet.emulate.testbed.apps import named, started
from qnet.emulate.testbed.cuts import NotThere
from qnet.emulate.testbed.expectations import Unexpected
from qnet.emulate.testbed.reach import judge_reach
from qnet.emulate.testbed.roles import Roles
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.testbed.topologies import drawn
from qnet.emulate.tiers.probe import missing_tools
from qnet.model.emulation import Tier
from qnet.report.reach import reach_junit, reach_lines

REASON = missing_switch() or missing_controller()
pytestmark = pytest.mark.xdist_group("mininet")
needs_switch = pytest.mark.skipif(bool(REASON), reason=str(REASON))

LEADER = """
import threading
from os_ken import cfg
from os_ken.base.app_manager import OSKenApp
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPSwitchFeatures, EventOFPRoleReply
from os_ken.controller.ofp_event import EventOFPErrorMsg
from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser

cfg.CONF.register_cli_opts([cfg.StrOpt("watch"), cfg.IntOpt("generation", default=1)])


class Leader(OSKenApp):
    OFP_VERSIONS = (of.OFP_VERSION,)

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.switches = {}
        self.leads = not cfg.CONF.watch
        if cfg.CONF.watch:
            threading.Thread(target=self.wait_for_word, daemon=True).start()

    def wait_for_word(self):  # stands for the election of a cluster
        import os, time
        while not os.path.exists(cfg.CONF.watch):
            time.sleep(0.02)
        self.leads = True
        for switch in list(self.switches.values()):
            self.lead(switch)

    def lead(self, switch):
        role = of.OFPCR_ROLE_MASTER if self.leads else of.OFPCR_ROLE_SLAVE
        term = cfg.CONF.generation if self.leads else 1
        switch.send_msg(parser.OFPRoleRequest(switch, role, term))

    @set_ev_cls(EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        self.switches[event.msg.datapath.id] = event.msg.datapath
        self.lead(event.msg.datapath)

    @set_ev_cls(EventOFPRoleReply, MAIN_DISPATCHER)
    def told(self, event):
        switch = event.msg.datapath
        if event.msg.role == of.OFPCR_ROLE_MASTER:
            flood = [parser.OFPActionOutput(of.OFPP_FLOOD)]
            apply = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, flood)]
            cookie = cfg.CONF.generation
            switch.send_msg(parser.OFPFlowMod(switch, instructions=apply, cookie=cookie))
"""

ELECTED = """
import fcntl, threading, time
from os_ken import cfg
from os_ken.base.app_manager import OSKenApp
from os_ken.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPStateChange, EventOFPSwitchFeatures
from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser

cfg.CONF.register_cli_opts([cfg.StrOpt("seat")])


class Elected(OSKenApp):
    OFP_VERSIONS = (of.OFP_VERSION,)
    switches = {}
    term = None

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        threading.Thread(target=self.stand, daemon=True).start()

    def stand(self):  # who has the seat leads, and gives it up without switches
        with open(cfg.CONF.seat, "a+") as seat:
            while True:
                time.sleep(0.05)
                for switch in list(self.switches.values()):  # or os-ken never sees its end
                    switch.send_msg(parser.OFPEchoRequest(switch))
                if self.term and not self.switches:
                    self.term = None
                    fcntl.flock(seat, fcntl.LOCK_UN)
                elif self.switches and not self.term:
                    try:
                        fcntl.flock(seat, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except OSError:
                        continue
                    seat.write("x")
                    seat.flush()
                    self.term = seat.tell()
                    for switch in list(self.switches.values()):
                        self.lead(switch)

    def lead(self, switch):
        switch.send_msg(parser.OFPRoleRequest(switch, of.OFPCR_ROLE_MASTER, self.term))
        flood = [parser.OFPActionOutput(of.OFPP_FLOOD)]
        apply = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, flood)]
        switch.send_msg(parser.OFPFlowMod(switch, instructions=apply))

    @set_ev_cls(EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        self.switches[event.msg.datapath.id] = event.msg.datapath
        if self.term:
            self.lead(event.msg.datapath)

    @set_ev_cls(EventOFPStateChange, DEAD_DISPATCHER)
    def gone(self, event):
        self.switches.pop(event.datapath.id, None)
"""


@contextmanager
def led(
    folder: Path, tier: Tier = "lockstep", generation: int = 2
) -> Iterator[tuple[Testbed, Path]]:
    """Give two switches under a leader and one that becomes leader when a file is there."""
    (folder / "leader.py").write_text(LEADER)
    word = folder / "word"
    arguments = {"second": ["--watch", str(word), "--generation", str(generation)]}
    topology = drawn("line:2")
    assert topology is not None
    with ExitStack() as stack:
        both = {"first": "leader", "second": "leader"}
        apps = stack.enter_context(started(both, arguments, folder, {}))
        targets = {name: app.target for name, app in apps.items()}
        testbed = stack.enter_context(Testbed(topology, targets, tier=tier))
        testbed.controllers.apps.update(apps)
        yield testbed, word


@needs_switch
@pytest.mark.parametrize("tier", ["lockstep", "mininet"])
def test_the_second_takes_over_when_the_first_is_away(tier: Tier, tmp_path: Path) -> None:
    reason = missing_tools()
    if tier == "mininet" and reason is not None:
        pytest.skip(reason)
    with led(tmp_path, tier) as (testbed, word):
        assert testbed.wait_master("first").seconds == 0
        testbed.wait_until(lambda: set(testbed.roles.of("second").values()) == {"slave"})
        assert testbed.roles.generation_id("s1") == 1
        assert testbed.reaches("s1", "s2")
        with testbed.controller_away("first"):
            assert testbed.roles.role("s1", "first") is None
            assert testbed.roles.master("s1") is None
            word.touch()
            took = testbed.wait_master("second", within="5s")
            assert 0 < took.seconds < 60
            assert testbed.reaches("s2", "s1"), "one controller is left, so frames are judged"
        assert {one.cookie for one in testbed.tables("s1").rules} == {2}
        testbed.wait_until(
            lambda: len(testbed.roles.refused) == 2, what="the first to come too late"
        )
        assert testbed.roles.master("s1") == "second", "its generation is older"
        assert testbed.control() == (
            "s1, s2 refused 2 messages of the controller first: "
            "OFPRRFC_STALE for OFPT_ROLE_REQUEST",
        ), "the rest was the testbed's own doing"


@needs_switch
def test_roles_are_those_that_open_vswitch_says(tmp_path: Path) -> None:
    with led(tmp_path) as (testbed, word):
        testbed.wait_master("first")
        word.touch()
        assert testbed.wait_master("second").seconds == 0, "there was always one"
        assert testbed.roles.role("s2", "first") == "slave"
        assert isinstance(testbed.fabric, Fabric)
        ovs = testbed.fabric.ovs("s2")
        end = time.monotonic() + 20
        said: dict[str, str] = {}
        while said != {"first": "slave", "second": "master"}:
            assert time.monotonic() < end, said
            testbed.wait(0.5)  # the database learns of it every five seconds
            found = {}
            for one in re.findall(
                r"[0-9a-f-]{36}", ovs.vsctl("get", "bridge", BRIDGE, "controller")
            ):
                target, role = ovs.vsctl("get", "controller", one, "target", "role").split()
                found[target.strip('"')] = role
            targets = testbed.fabric._bridges["s2"].controllers
            both = zip(testbed.controllers.names, targets, strict=True)
            said = {name: found[one] for name, one in both}


@needs_switch
def test_one_whose_generation_is_stale_does_not_become_master(tmp_path: Path) -> None:
    with led(tmp_path, generation=0) as (testbed, word):
        testbed.wait_until(lambda: testbed.roles.master("s1") == "first")
        testbed.wait_until(lambda: testbed.roles.master("s2") == "first")
        word.touch()
        with pytest.raises(Unexpected) as caught:
            testbed.wait_master("second", within="1s")
        words = str(caught.value)
        assert "for second to be master of all switches" in words
        assert "first: master: s1, s2" in words
        assert "refused second master with generation id 0: stale, it has 1" in words
        refused = testbed.control()
        assert any("of the controller second: OFPRRFC_STALE" in one for one in refused), refused
        testbed.controllers.apps["first"].close()
        assert not testbed.udp("s1", "s2").ended, "frames go by the entries that are there"
        testbed.controllers.apps["second"].close()
        testbed.wait_until(lambda: sum(" closed the c" in one for one in testbed.control()) == 2)
        with pytest.raises(ControllerGone, match=r"\(first\) closed .*\(second\) closed"):
            testbed.controllers.confirm(testbed.fabric, "")
        with pytest.raises(NotThere, match="no controller 'third'; there are first, second"):
            testbed.wait_master("third")


def _reply(role: int, generation: int, kind: int = 25) -> bytes:
    return struct.pack("!BBHIIxxxxQ", 4, kind, 24, 1, role, generation)


def test_roles_by_their_messages_alone() -> None:
    roles = Roles()
    for place, name in enumerate(("x", "y")):
        roles.opened(1.0, "a", name, place)
    assert roles.of("x") == {"a": "equal"}
    assert roles.generation_id("a") is None
    roles.came(2.0, "a", "x", "role-reply", _reply(2, 7))
    roles.came(3.0, "a", "y", "role-reply", _reply(2, 8))
    assert [(one.controller, one.role) for one in roles.changes[2:]] == [
        ("x", "master"),
        ("x", "slave"),
        ("y", "master"),
    ]
    assert roles.without_s("a") == 0
    roles.closed(4.0, "a", "y", 99)
    assert roles.master("a") == "y", "an older connection has ended"
    roles.closed(4.0, "a", "y", 1)
    roles.came(6.5, "a", "x", "role-reply", _reply(2, 9))
    assert roles.without_s("a") == 2.5
    stale = struct.pack("!BBHIHH", 4, 1, 36, 1, 11, 0) + _reply(2, 3, 24)
    roles.came(7.0, "a", "x", "error", stale)
    (refused,) = roles.refused
    assert refused[3:] == ("stale", "master", 3)
    roles.came(8.0, "a", "x", "role-reply", b"\x01\x19\0\x08\0\0\0\0")
    assert roles.master("a") == "x"


def test_apps_that_are_there_twice_have_names() -> None:
    assert named(["ha", "ha", "hub"]) == {"ha": "ha", "ha-2": "ha", "hub": "hub"}
    assert named({"first": "ha"}) == {"first": "ha"}


@needs_switch
def test_each_is_away_in_turn_when_all_are_judged(tmp_path: Path) -> None:
    (tmp_path / "elected.py").write_text(ELECTED)
    topology = drawn("line:2")
    assert topology is not None
    apps = named(["elected", "elected"])
    with started(apps, ["--seat", str(tmp_path / "seat")], tmp_path, {}) as both:
        targets = {name: app.target for name, app in both.items()}
        with Testbed(topology, targets) as testbed:
            testbed.wait_until(lambda: all(testbed.roles.master(one) for one in ("s1", "s2")))
            found = judge_reach(testbed)
    assert found.outcome == "pass", found.findings
    assert [one.away for one in found.absences] == ["elected", "elected-2"]
    assert [one.masters for one in found.absences if one.seconds] != []
    lines = "\n".join(reach_lines("two", found, None))
    assert "while elected was away: " in lines
    assert " was master after " in lines
    assert lines.count("2 of 2 pairs reached each other") == 2
    assert found.told()["absences"]


@needs_switch
def test_that_nobody_takes_over_is_a_finding(tmp_path: Path) -> None:
    with led(tmp_path) as (testbed, _):
        testbed.wait_master("first")
        found = judge_reach(testbed, most_pairs=1, failover_s=0.3)
        assert found.outcome == "fail"
        (fault,) = found.faults
        assert fault.kind == "takeover"
        assert fault.switches == ("s1", "s2")
        assert fault.message == (
            "while the controller first was away, of which it was master, nobody became master "
            "of s1, s2 (--failover)"
        )
        assert "another controller takes over" in reach_junit("two", found.told())
        assert testbed.roles.master("s1") == "first"
