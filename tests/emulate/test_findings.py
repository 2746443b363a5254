"""Why frames went astray: a planted fault each, and the words that lead to it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, LLC, STP, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP

from qnet.emulate.frames import packets
from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed.findings import Explanation, entries, explanations, in_words, suspect
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.tiers.probe import missing_tools
from qnet.files.read import read_topology
from qnet.model.emulation import Tier
from tests.asking import command

REASON = missing_switch() or missing_controller()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]

LINE = str(Path(__file__).parents[1] / "golden" / "line" / "topology.yaml")

APP = """
import sys
from os_ken.base.app_manager import OSKenApp
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPPacketIn, EventOFPSwitchFeatures
from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser

PORTS = {1: {1: [2], 2: [1]}, 2: {2: [3], 3: [2]}, 3: {2: [3], 3: [2]}, 4: {1: [2], 2: [1]}}
# PORTS[switch][port in] are the ports out: from the host of a to that of d and back
FAULT


class Fixed(OSKenApp):
    OFP_VERSIONS = (of.OFP_VERSION,)

    @set_ev_cls(EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        switch = event.msg.datapath
        for came, ports in PORTS[switch.id].items():
            send = [parser.OFPActionOutput(one) for one in ports]
            apply = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, send)]
            match = parser.OFPMatch(in_port=came)
            switch.send_msg(parser.OFPFlowMod(switch, match=match, instructions=apply))

    @set_ev_cls(EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        print("nothing is known of this one", file=sys.stderr, flush=True)
"""


@contextmanager
def fixed(folder: Path, fault: str, tier: Tier = "lockstep") -> Iterator[Testbed]:
    """Give a line of switches under a controller with a fault."""
    (folder / "fixed.py").write_text(APP.replace("FAULT", fault))
    with (
        Controller(["fixed"], modules=folder) as controller,
        Testbed(read_topology(LINE), controller.target, tier=tier) as testbed,
    ):
        testbed.controllers.apps[controller.target] = controller
        yield testbed


def why(testbed: Testbed, kind: str, host: str = "a", target: str = "d") -> Explanation:
    found = testbed.ping(host, target)
    return explanations(testbed, suspect(host, target, found))[kind]


FAULTS = {
    "no entry": (
        "del PORTS[3][2]",
        "address",
        "c",
        ("a (table 0: in_port=1", "=> output:2)", "b (table 0: in_port=2", "=> output:3)"),
        "at c, where it came in by port 2: table 0: no entry matches => drop",
    ),
    "an entry that drops": (
        "PORTS[2][2] = []",
        "address",
        "b",
        ("a (table 0: in_port=1",),
        "at b, where it came in by port 2: table 0: in_port=2, priority 32768 => drop",
    ),
    "a wrong port": (
        "PORTS[3][2] = [1]",
        "address",
        "c",
        ("a (table 0", "b (table 0"),
        "at the host of c: table 0: in_port=2, priority 32768 => output:1",
    ),
    "the way back": (
        "PORTS[2][3] = [1]",
        "address",
        "b",
        ("d (table 0", "c (table 0"),
        "at the host of b: table 0: in_port=3, priority 32768 => output:1",
    ),
    "two copies": (
        "PORTS[3][2] = [3, 3]",
        "copies",
        "c",
        ("c (table 0: in_port=2, priority 32768 => output:3, output:3)",),
        "at the host of d: table 0: in_port=2",
    ),
    "somebody else": (
        "PORTS[2][2] = [3, 1]",
        "others",
        "b",
        ("a (table 0",),
        "at the host of b: table 0: in_port=2, priority 32768 => output:3, output:1",
    ),
    "there and back": (
        "PORTS[3][2] = [3, 0xfffffff8]\nPORTS[2][3] = [2, 0xfffffff8]",
        "loop",
        "b",
        ("c (table 0: in_port=2, priority 32768 => output:3, IN_PORT)",),
        "at port 3 of b, by which it was there before: a loop",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_at_its_switch_and_entry(name: str, tmp_path: Path) -> None:
    fault, kind, where, way, ends = FAULTS[name]
    with fixed(tmp_path, fault) as testbed:
        found = why(testbed, kind)
    assert found.where == where
    for words in way:
        assert words in " -> ".join(found.way)
    assert found.ends.startswith(ends), found.ends
    assert len(found.lines()) <= 6


@pytest.mark.parametrize("tier", ["lockstep", "mininet"])
def test_a_frame_that_the_controller_keeps_is_told_with_what_it_wrote(
    tier: Tier, tmp_path: Path
) -> None:
    reason = missing_tools()
    if tier == "mininet" and reason is not None:
        pytest.skip(reason)
    with fixed(tmp_path, "PORTS[3][2] = [of.OFPP_CONTROLLER]", tier) as testbed:
        found = why(testbed, "address")
        assert testbed.trace("c", 2, bytes(60)).startswith("Flow: in_port=2")
    assert found.where == "c"
    assert "CONTROLLER" in found.ends
    assert found.ends.endswith("the controller has not sent it on")
    assert re.fullmatch(
        r"\+\d+\.\d ms packet-in from c: .*in_port=2 \(via action\).*", found.asked[0]
    )
    assert found.logged[-1] == "nothing is known of this one"
    assert any("packet-in from c" in one for one in found.messages)


def test_what_switches_refused_stands_beside_the_frame(tmp_path: Path) -> None:
    fault = "PORTS[3][2] = [0xfffffff0]  # no port at all"
    with fixed(tmp_path, fault) as testbed:
        found = why(testbed, "address")
    assert "OFPBAC_BAD_OUT_PORT for flow-mod" in found.refused[0]
    assert "error from c" in found.refused[0]
    assert found.ends == "at c, where it came in by port 2: table 0: no entry matches => drop"


def test_to_ask_what_becomes_of_a_frame_tells_the_controller_nothing() -> None:
    with (
        Controller(["learning"]) as controller,
        Testbed(read_topology(LINE), controller.target) as testbed,
    ):
        a, d = (
            packets.End(testbed.wiring.host_mac(one), testbed.wiring.host_ip(one)) for one in "ad"
        )
        tried = dict(packets.kinds(a, d, 1))
        two_tags = Ether() / Dot1Q(vlan=3, type=0x8100) / Dot1Q(vlan=4) / IP() / UDP()
        labels = Ether() / MPLS(label=100, s=0) / MPLS(label=3) / IP() / UDP()
        others = (two_tags, labels, Ether() / IP() / TCP(flags="SA"), Ether() / IP() / SCTP(),
                  Ether() / IP(proto=2) / bytes(8), Ether() / IP(frag=10) / bytes(8),
                  Ether() / ARP(), Dot3() / LLC() / STP(), Ether(type=0x88CC))  # fmt: skip
        for data in (*tried.values(), *(bytes(one) for one in others)):
            assert "CONTROLLER" in testbed.trace("a", 1, data)
        testbed.settle()
        assert testbed.channel.counts()["a"].get("packet-in", 0) == 0


def test_a_frame_under_a_learning_switch_is_followed_through_its_answers() -> None:
    with (
        Controller(["learning"]) as controller,
        Testbed(read_topology(LINE), controller.target) as testbed,
    ):
        trip = testbed.udp("a", "d")
        of = suspect("a", "d", testbed.ping("a", "d"))
        assert of.kinds == ()
        of = of._replace(kinds=("leak",), followed=((trip.number, "d"),))
        found = explanations(testbed, of)["leak"]
    assert found.way[0] == "a (the controller sent it by 2)"
    kinds = [one.split()[2] for one in found.asked]
    assert kinds == ["packet-in", "packet-out"] * 4
    assert found.asked[1].endswith("to a: in_port=1 actions=FLOOD")


def test_the_test_that_fails_says_where(pytester: pytest.Pytester) -> None:
    (pytester.path / "fixed.py").write_text(APP.replace("FAULT", "del PORTS[3][2]"))
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.qnet(topology={LINE!r}, app="fixed")
        def test_hosts_reach_each_other(qnet_testbed):
            assert qnet_testbed.reaches("a", "d")

        @pytest.mark.qnet(topology={LINE!r}, app="fixed")
        def test_nothing_leaks(qnet_testbed):
            assert qnet_testbed.isolated("a", "d")
            assert qnet_testbed.isolated("b", "a")
            assert False
        """
    )
    known = pytester._request.config.pluginmanager.has_plugin("qnet")
    done = pytester.runpytest("-q", *([] if known else ["-p", "qnet.pytest_plugin"]))
    done.assert_outcomes(failed=2)
    text = done.stdout.str()
    assert text.count("a to d, address:") == 1
    assert "ends: at c, where it came in by port 2: table 0: no entry matches" in text


def check_wires(path: Path, frames: int) -> None:
    """Have tshark read a capture of the wires, where it is there."""
    if shutil.which("tshark") is None:
        return
    fields = ["-e", "frame.interface_name", "-e", "frame.comment", "-e", "eth.src"]
    asking = ["tshark", "-r", str(path), "-T", "fields", *fields]
    read = subprocess.run(asking, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in read.splitlines()]
    sent = [row for row in rows if row[0].endswith(":1")]
    assert {row[1] for row in rows} == {row[1] for row in sent}, "each begins at a host's port"
    assert len(rows) > len(sent) >= frames


def test_a_loop_is_told_once_and_whole_in_files(tmp_path: Path) -> None:
    (tmp_path / "ring.yaml").write_text(
        "title: A ring\n"
        "nodes: [{name: a}, {name: b}, {name: c}]\n"
        "links:\n"
        "  - {between: [a, b], rate: 1Gbps, length: 1km}\n"
        "  - {between: [b, c], rate: 1Gbps, length: 1km}\n"
        "  - {between: [c, a], rate: 1Gbps, length: 1km}\n"
    )
    (tmp_path / "traffic.yaml").write_text("title: Nothing\ntopology: ring\n")
    with Controller(["learning"]) as controller:
        asking = ("--controller", controller.target, "--no-failover", "--settle", "0s")
        how = (*asking, "--sample", "6", "--out", tmp_path / "out")
        done = command("emulate", tmp_path / "traffic.yaml", *how)
    assert done.returncode == 1, done.stderr + done.stdout
    loops = [line for line in done.stdout.splitlines() if ": a loop: a frame" in line]
    assert len(loops) == 1, done.stdout
    assert len(done.stdout.splitlines()) < 40
    answer = json.loads((tmp_path / "out" / "verdict.json").read_text())
    every = [one for one in answer["findings"] if one["kind"] == "loop"]
    assert len(every) > 1
    asked = sum(one["packet-in"] for one in answer["messages"].values())
    assert answer["packet_ins"] == asked > answer["frames"]
    assert answer["rules"] / 3 <= answer["rules_most"] < answer["rules"]
    assert f"{asked} frames given to the controller" in done.stdout
    assert all(one["why"]["way"] and one["why"]["messages"] for one in every)
    assert "ends: at port" in (tmp_path / "out" / "junit.xml").read_text()
    assert "It ends at port" in (tmp_path / "out" / "report.html").read_text()
    check_wires(tmp_path / "out" / "wires.pcapng", answer["frames"])


def test_a_trace_in_one_line() -> None:
    text = (
        'Flow: arp,in_port=2\n\nbridge("br0")\n-------------\n'
        " 0. in_port=2, priority 1, cookie 0x12ab\n    set_field:5->metadata\n    goto_table:1\n"
        " 1. No match.\n    drop\n\nFinal flow: unchanged\nMegaflow: x\n"
    )
    assert entries(text) == (
        "table 0: in_port=2, priority 1 => set_field:5->metadata, goto_table:1; "
        "table 1: no entry matches => drop"
    )
    assert entries("") == "it says nothing of it"


def test_messages_in_the_words_of_open_vswitch() -> None:
    echo = bytes.fromhex("0402000800000002")
    assert in_words([]) == []
    assert in_words([echo, echo]) == ["0 bytes of payload"] * 2
    error = bytes.fromhex("0401 0014 00000007 0002 0004 040e 0008 00000007".replace(" ", ""))
    assert in_words([error, echo])[0].startswith("OFPBAC_BAD_OUT_PORT")
    assert len(in_words([echo, b"\xff" * 8, echo])) == 3
