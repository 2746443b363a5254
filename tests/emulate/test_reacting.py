"""A timeline played to somebody's own controller, which sees ports go down, and reacts or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.tiers import probe
from qnet.errors import ArgumentError
from qnet.files.write import to_json
from qnet.model.reacting import Reacting
from qnet.replays.reacting import replay_to_controller
from tests.asking import command
from tests.emulate.leftovers import machine
from tests.unit.test_replay import _case

NO_SWITCH = missing_switch() or missing_controller()
NO_ROOT = probe.missing_tools()
MS, S = 10**9, 10**12

pytestmark = pytest.mark.xdist_group("mininet")

APP = """
from os_ken.base.app_manager import OSKenApp
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPPortStatus, EventOFPSwitchFeatures
from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser

REACTS = %s
A, B, C, D = 1, 2, 3, 4
# Ports 2 and 3 of a and d lead to b and c; those of b and c to a and d.
WAYS = {"b": {A: (1, 2), B: (2, 3), D: (1, 2)}, "c": {A: (1, 3), C: (2, 3), D: (1, 3)}}


class Diamond(OSKenApp):
    OFP_VERSIONS = (of.OFP_VERSION,)
    switches = {}

    @set_ev_cls(EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        self.switches[event.msg.datapath.id] = event.msg.datapath
        self.lay("b")

    @set_ev_cls(EventOFPPortStatus, MAIN_DISPATCHER)
    def port(self, event):
        switch, port = event.msg.datapath, event.msg.desc
        if REACTS and switch.id in (A, D) and port.port_no == 2:
            self.lay("c" if port.state & of.OFPPS_LINK_DOWN else "b")

    def lay(self, way):
        for number, ports in WAYS[way].items():
            switch = self.switches.get(number)
            if switch is None:
                continue
            for came, goes in (ports, ports[::-1]):
                send = [parser.OFPActionOutput(goes)]
                apply = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, send)]
                match = parser.OFPMatch(in_port=came)
                switch.send_msg(parser.OFPFlowMod(switch, match=match, instructions=apply))
"""


def _played(folder: Path, happening: list[dict[str, Any]], *, reacts: bool, **how: Any) -> Reacting:
    (folder / "diamond.py").write_text(APP % reacts)
    case = _case(happening)
    # Streams from b to c have no rules there.
    profile = case.profile.replace(demands=())
    for _ in range(4):  # on a crowded machine it may be void
        made = replay_to_controller(
            case.with_(profile=profile), str(folder / "diamond.py"), sample=2, **how
        )
        if not made.void:
            return made
    pytest.skip(made.void)


CUT: Mapping[str, Any] = {"at": "100000s", "change": "cut", "target": "a--b", "for": "50000s"}


@pytest.mark.parametrize("tier", ["lockstep", "mininet"])
def test_a_controller_that_reacts_is_timed(tmp_path: Path, tier: Any) -> None:
    """Frames are lost until it has laid its rules, and by which way they come then."""
    reason = NO_ROOT if tier == "mininet" else NO_SWITCH
    if reason:
        pytest.skip(reason)
    before = machine()
    made = _played(tmp_path, [dict(CUT)], reacts=True, tier=tier)
    assert machine() == before
    assert made.findings == ()
    cut, mended = made.changes
    words = "cut of a--b at 100000s for 50000s"
    assert (cut.at_ps, cut.events, cut.undone) == (100_000 * S, (words,), ())
    assert (mended.at_ps, mended.undone) == (150_000 * S, (words,))
    assert {(one.source, one.target) for one in cut.pairs} == {("a", "d"), ("d", "a")}
    for one in cut.pairs:
        assert one.restored
        assert one.has_way
        assert one.path in (("a", "c", "d"), ("d", "c", "a"))
    assert {one.path for one in mended.pairs} == {("a", "b", "d"), ("d", "b", "a")}
    hit = [one for one in cut.pairs if one.lost]
    for one in hit:
        assert one.converged_ps is not None
        assert 0 < one.blocked_ps <= one.converged_ps + 2 * cut.resolution_ps
    streams = {one.name: one for one in made.streams}
    assert streams["one"].blocked_ps < 50_000 * S // 100, "the outage is over for it much earlier"
    kept = {one.service: one.outcome for one in made.promises}
    assert kept["one"] == "pass", "it may lose 0.1 % of two days"
    assert Reacting.model_validate_json(to_json(made)) == made


@pytest.mark.skipif(bool(NO_SWITCH), reason=str(NO_SWITCH))
def test_a_controller_that_does_not_react_fails(tmp_path: Path) -> None:
    """A way was left, and nobody found it; what is lost counts until the wire is whole."""
    made = _played(tmp_path, [dict(CUT)], reacts=False, tier="lockstep", after="1500ms")
    assert made.outcome == "fail"
    cut, mended = made.changes
    assert not any(one.restored for one in cut.pairs)
    assert {one.converged_ps for one in cut.pairs} == {None}
    assert all(one.restored for one in mended.pairs)
    assert len(made.findings) == 2
    assert "did not come again in 1.500 s, though wires lead there" in made.findings[0]
    streams = {one.name: one for one in made.streams}
    assert 50_000 * S <= streams["one"].blocked_ps < 50_100 * S
    assert abs(streams["one"].lost - streams["one"].blocked_ps // (100 * 10**6)) <= 1
    assert {one.service: one.outcome for one in made.promises}["one"] == "fail"


@pytest.mark.skipif(bool(NO_SWITCH), reason=str(NO_SWITCH))
def test_where_no_wire_leads_nobody_is_to_blame(tmp_path: Path) -> None:
    """A talker that is down is no finding, and the next change comes when it is due."""
    down = {"at": "100s", "change": "down", "target": "a", "for": "1s"}
    made = _played(tmp_path, [down], reacts=True, tier="lockstep", after="2s")
    stopped, started = made.changes
    assert (stopped.down, started.up) == (2, 2)
    assert not any(one.has_way or one.restored for one in stopped.pairs)
    assert all(one.restored for one in started.pairs)
    assert made.findings == ()


def test_what_no_switch_sees_is_refused(tmp_path: Path) -> None:
    """By name, and all at once."""
    slow = {"at": "1s", "change": "capacity", "target": "a--b", "rate": "1Mbps"}
    loss = {"at": "1s", "change": "loss", "target": "a--b", "ratio": "1%"}
    with pytest.raises(ArgumentError) as caught:
        _played(tmp_path, [slow, loss], reacts=True)
    assert [one.where for one in caught.value.problems] == [
        "capacity of a--b to 1Mbps at 1s",
        "loss of a--b to 1% at 1s",
    ]
    assert "no switch sees it" in caught.value.problems[0].message


def test_the_command_refuses_what_does_not_go_together(tmp_path: Path) -> None:
    """Options of a simulation, and a controller without a tier."""
    asked = ("replay", "zheng-qing-ha", "--controller", "x.py", "--before", "1ms")
    done = command(*asked)
    assert done.returncode == 2
    assert "--before: goes without '--controller'" in done.stderr
    assert "--controller: needs '--emulate mininet'" in done.stderr
