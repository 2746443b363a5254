"""Somebody else's controller on the testbed: judged by where frames go."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from qnet.cli import main
from qnet.emulate.apart import missing as missing_namespaces
from qnet.emulate.controller import Controller
from qnet.emulate.controller import missing as missing_controller
from qnet.emulate.openflow import to_text
from qnet.emulate.ovs import missing as missing_switch
from qnet.emulate.testbed import Testbed, judge_reach
from qnet.errors import EnvironmentMissing
from qnet.model.read import read_topology
from tests.asking import command

REASON = missing_switch() or missing_controller()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))

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
    reason = missing_namespaces()
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
        (["--settle", "3s", "--against", "plan"], "--settle: goes with --against reach"),
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
