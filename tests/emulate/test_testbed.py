"""Somebody else's controller on the testbed: judged by where frames go."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from qnet.cli import main
from qnet.emulate.openflow.nouns import to_text
from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed.cuts import CutUndone
from qnet.emulate.testbed.reach import judge_reach
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.tiers.probe import missing_tools
from qnet.errors import EnvironmentMissing
from qnet.files.read import read_topology
from tests.asking import command

REASON = missing_switch() or missing_controller()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]

LINE = str(Path(__file__).parents[1] / "golden" / "line" / "topology.yaml")
SWITCH = "learning"
RYU = str(Path(__file__).parents[2] / ".venv-ryu" / "bin" / "python")


@pytest.mark.skipif(bool(missing_controller("ryu", RYU)), reason=missing_controller("ryu", RYU))
def test_ryus_own_learning_switch_is_good_on_a_line() -> None:
    with (
        Controller(["ryu.app.simple_switch_13"], python=RYU, framework="ryu") as controller,
        Testbed(read_topology(LINE), controller.target) as testbed,
    ):
        judgement = judge_reach(testbed, most_pairs=3)
        assert judgement.findings == ()


def test_a_learning_switch_is_good_on_a_line() -> None:
    with (
        Controller([SWITCH]) as controller,
        Testbed(read_topology(LINE), controller.target) as testbed,
    ):
        judgement = judge_reach(testbed, most_pairs=4)
        assert judgement.findings == ()
        assert judgement.lost == 0
        assert testbed.ping("a", "d").path == ("a", "b", "c", "d")


def test_a_learning_switch_loops_on_a_ring(tmp_path: Path) -> None:
    ring = tmp_path / "ring.yaml"
    ring.write_text(
        "title: A ring\n"
        "nodes: [{name: a}, {name: b}, {name: c}]\n"
        "links:\n"
        "  - {between: [a, b], rate: 1Gbps, length: 1km}\n"
        "  - {between: [b, c], rate: 1Gbps, length: 1km}\n"
        "  - {between: [c, a], rate: 1Gbps, length: 1km}\n"
    )
    with (
        Controller([SWITCH]) as controller,
        Testbed(read_topology(str(ring)), controller.target) as testbed,
    ):
        judgement = judge_reach(testbed, most_pairs=1, failover=False, settle_s=0)
        assert any("a loop" in words for words in judgement.findings)


def test_nobody_listens() -> None:
    with pytest.raises(EnvironmentMissing, match="start it first"):
        Testbed(read_topology(LINE), "tcp:127.0.0.1:9", connect_s=0.3).__enter__()


def test_a_project_writes_its_tests_in_ten_lines(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        pytestmark = pytest.mark.qnet(topology={LINE!r}, app={SWITCH!r})

        def test_hosts_reach_each_other(qnet_testbed):
            assert qnet_testbed.reaches("a", "d")

        def test_nobody_is_isolated_and_this_says_so(qnet_testbed):
            assert qnet_testbed.isolated("a", "b")
        """
    )
    known = pytester._request.config.pluginmanager.has_plugin("qnet")
    found = pytester.runpytest("-q", *([] if known else ["-p", "qnet.pytest_plugin"]))
    found.assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize("tier", ["lockstep", "mininet"])
def test_the_project_of_the_documents_runs_as_printed(tier: str, pytester: pytest.Pytester) -> None:
    reason = missing_tools()
    if tier == "mininet" and reason is not None:
        pytest.skip(reason)
    text = (Path(__file__).parents[2] / "docs" / "controllers.md").read_text()
    files = re.findall(r"(?ms)^```\w+\n(# (\w+\.\w+)\n.*?)^```$", text)
    names = ["line.yaml", "my_controller.py", "test_my_controller.py", "test_my_hosts.py"]
    assert [name for _, name in files] == names
    for words, name in files:
        (pytester.path / name).write_text(words)
    known = pytester._request.config.pluginmanager.has_plugin("qnet")
    options = ["-q", f"--qnet-tier={tier}", *([] if known else ["-p", "qnet.pytest_plugin"])]
    which = {
        "lockstep": [names[2]],
        "mininet": [f"{names[2]}::test_a_guest_is_isolated", names[3]],
    }
    pytester.runpytest(*options, *which[tier]).assert_outcomes(passed=2)


PORTS_UP = """
from os_ken.base.app_manager import OSKenApp
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPPortStatus, EventOFPSwitchFeatures
from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser


class PortsUp(OSKenApp):
    OFP_VERSIONS = (of.OFP_VERSION,)

    @set_ev_cls(EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):  # always the one way, from a to b and back
        switch = event.msg.datapath
        for came in (1, 2):
            send = [parser.OFPActionOutput(3 - came)]
            apply = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, send)]
            match = parser.OFPMatch(in_port=came)
            switch.send_msg(parser.OFPFlowMod(switch, match=match, instructions=apply))

    @set_ev_cls(EventOFPPortStatus, MAIN_DISPATCHER)
    def port(self, event):
        switch, port = event.msg.datapath, event.msg.desc
        if port.state & of.OFPPS_LINK_DOWN:
            switch.send_msg(parser.OFPPortMod(switch, port.port_no, port.hw_addr, 0, 0x7F, 0))
"""


def test_a_cut_that_the_controller_undoes_judges_nothing(tmp_path: Path) -> None:
    """Spanning tree writes all bits of a port's configuration, and so sets it up again."""
    (tmp_path / "ports_up.py").write_text(PORTS_UP)
    (tmp_path / "ring.yaml").write_text(
        "title: A ring\n"
        "nodes: [{name: a}, {name: b}, {name: c}]\n"
        "links:\n"
        "  - {between: [a, b], rate: 1Gbps, length: 1km}\n"
        "  - {between: [b, c], rate: 1Gbps, length: 1km}\n"
        "  - {between: [c, a], rate: 1Gbps, length: 1km}\n"
    )
    (tmp_path / "traffic.yaml").write_text("title: Nothing\ntopology: ring\n")
    with Controller(["ports_up"], modules=tmp_path) as controller:
        with Testbed(read_topology(str(tmp_path / "ring.yaml")), controller.target) as testbed:
            with pytest.raises(CutUndone, match=r"of [ab] at the cut wire [ab]->[ab] up again"):
                testbed.failover("a", "b", 0.5)
            assert testbed.reaches("a", "b")
            with pytest.raises(AssertionError) as caught, testbed.cut("a", "b"):
                assert testbed.wait_until(lambda: testbed.reaches("a", "b"), 0.5)
            assert "up again" in caught.value.__notes__[0]
        asking = ("--controller", controller.target, "--sample", "1", "--failover", "1s")
        how = ("--settle", "0s", "--out", tmp_path / "out")
        done = command("emulate", tmp_path / "traffic.yaml", *asking, *how)
    assert done.returncode == 4, done.stderr + done.stdout
    assert done.stdout.startswith("NOT KNOWN")
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["outcome"] == "unknown"
    assert (tmp_path / "out" / "channel.pcapng").read_bytes().count(b"controller") >= 1
    assert '<error message="not known: no failover' in (tmp_path / "out" / "junit.xml").read_text()


@pytest.mark.parametrize(
    ("address", "words"),
    [("6653", "write it like"), ("udp:1.2.3.4:1", "write it like"), ("tcp:h:99999", "write it")],
)
def test_an_address_that_is_none(address: str, words: str) -> None:
    done = command("emulate", "dual-node", "--controller", address)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--arp", "--against", "plan"], "--arp: goes with --exec or --cli, or --against reach"),
        (["--settle", "3s", "--exec", "a=true"], "--settle: goes with --against reach"),
        (["--patience", "3s", "--against", "plan"], "--patience: goes with --against reach"),
        (["--no-failover", "--exec", "a=true"], "--no-failover: goes with --against reach"),
        (["--no-failover", "--failover", "3s"], "--no-failover: or --failover"),
        (["--patience", "0s"], "--patience: must be more than 0"),
        (["--patience", "3"], "--patience: 3 has no unit"),
        (["--settle", "3 apples"], "--settle: 3 apples: 'apples' is not a unit of time"),
        (["--dilation", "7"], "--dilation: goes with"),
        (["--tier", "mininet", "--dilation", "7"], "--dilation: goes with"),
        (["--rules-file", "x"], "--rules-file: goes with --against plan"),
        (["--cli", "--against", "plan"], "--against: leave out"),
        (["--exec", "a=true", "--sample", "3"], "--sample: is for judging"),
    ],
)
def test_options_that_nothing_would_heed_are_refused(options: list[str], words: str) -> None:
    asking = ["emulate", "dual-node", "--controller", "tcp:127.0.0.1:6653", *options]
    done = CliRunner().invoke(main, asking)
    assert done.exit_code == 2
    assert words in done.output


def test_the_command_judges_a_controller() -> None:
    traffic = str(Path(LINE).with_name("traffic.yaml"))
    with Controller([SWITCH]) as controller:
        done = command("emulate", traffic, "--controller", controller.target, "--sample", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PASS")


def test_the_command_judges_a_controller_against_the_plan(tmp_path: Path) -> None:
    """The shipped app stands for somebody's own: it is only told the rules by a file."""
    traffic = str(Path(LINE).with_name("traffic.yaml"))
    rules = tmp_path / "rules.jsonl"
    rules.write_text(to_text([]))
    arguments = ("--rules-file", str(rules), "--drain", "0.1")
    with Controller(["reservation"], arguments) as controller:
        options = ("--against", "plan", "--rules-file", str(rules), "--duration", "500us")
        done = command("emulate", traffic, "--controller", controller.target, *options, "--json")
    answer = json.loads(done.stdout)
    assert answer["emulation"]["findings"] == []
    apart = {one["difference_ps"] for one in answer["emulation"]["streams"] if one["delivered"]}
    assert apart == {0}
    assert answer["emulation"]["controller"] == controller.target
