"""The scorecard of a controller: each examination finds the fault that is planted for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from qnet.cli import main
from qnet.emulate.openflow.messages import Command, encode
from qnet.emulate.openflow.nouns import Rule, match, output
from qnet.emulate.process.controller import Controller, folder, missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed import examinations, testbed, troubles
from qnet.emulate.testbed.examinations import EXAMINATIONS, chosen, examine
from qnet.emulate.testbed.examiner import ExaminationTerms
from qnet.emulate.testbed.findings import in_words
from qnet.emulate.testbed.reach import Judgement, judge_reach
from qnet.emulate.testbed.refusals import RuleRefusals, adds_entry, permission_error
from qnet.emulate.testbed.scorecard import REACH
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

RING = """
title: A ring
nodes: [{name: a}, {name: b}, {name: c}]
links:
  - {between: [a, b], rate: 1Gbps, length: 1km}
  - {between: [b, c], rate: 1Gbps, length: 1km}
  - {between: [c, a], rate: 1Gbps, length: 1km}
"""
COURSE = ExaminationTerms(recover_s=20.0, isolated=(("a", "c"),))
REFUSED = {"refused": "fail"}
RUN = folder() / "run.py"
LINE = Path(__file__).parents[1] / "golden" / "line" / "traffic.yaml"


@contextmanager
def ring(where: Path, tier: Tier = "lockstep") -> Iterator[Testbed]:
    """Give a ring under the controller whose faults are in a file."""
    (where / "ring.yaml").write_text(RING)
    (where / "faults").write_text("")
    shutil.copy(Path(__file__).with_name("examined.py"), where)
    with (
        Controller(["examined"], modules=where) as controller,
        Testbed(
            read_topology(str(where / "ring.yaml")), controller.target, tier=tier, patience_s=0.2
        ) as made,
    ):
        made.controllers.apps[controller.target] = controller
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Testbed]]:
    """Give one testbed for all faults; a controller lays all anew when it is back."""
    where = tmp_path_factory.mktemp("examined")
    with ring(where) as made:
        yield where, made


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examinations, "REST_S", 0.2)
    monkeypatch.setattr(testbed, "LATE_S", 0.2)
    monkeypatch.setattr(troubles, "AWAY_S", 1.2)


def judged(where: Path, ring: Testbed, faults: Sequence[str]) -> Judgement:
    """Plant faults and examine what they are to be found by, or all where there are none."""
    (where / "faults").write_text(" ".join(faults))
    with ring.controller_away():
        pass
    ring.fabric.wait_quiet(0.2)
    names = tuple(faults) or chosen(["all"], COURSE, ring.hosts, started_here=True)
    reached = judge_reach(
        ring,
        failover="failover" in names,
        failover_s=0.5,
        settle_s=0,
        isolated=COURSE.isolated,
    )
    return examine(ring, reached, names, COURSE._replace(recover_s=0.6) if faults else COURSE)


def outcomes(found: Judgement) -> dict[str, str]:
    return {one.name: one.outcome for one in found.scorecard}


FAULTS = {
    "reach": ("b", "in_port=2,dl_dst=02:51:48:00:00:02, priority 50 => drop"),
    "loops": ("a", "priority 60 => output:2"),
    "others": ("b", "priority 5000 => output:1, output:3"),
    "failover": ("a", "nothing came for 0.5 s when"),
    "ethertypes": ("b", "an IPv6 echo request came to c too"),
    "isolation": ("a", "an ARP reply, an IPv6 echo request, UDP in IPv6, EtherType 0x88b5"),
    "packet-ins": ("b", "to the controller by table 0: dl_dst=02:51:48:00:00:02, priority 1"),
    "tables": ("b", "such as cookie=0x0,table=0,priority=1"),
    "mended": ("b", "was cut and mended"),
    "slow": ("b", "closed the connections of b when its answers came 0.2 s late"),
    "away": ("a", "frames lost while the controller was away"),
    "restart": ("a", "after the controller began anew"),
    "switch": ("b", "no entry matches => drop"),
    "full": ("b", "frames lost when b was full"),
    "refused": ("b", "dl_dst=02:51:48:00:00:02 actions=output:1' (OFPFMFC_EPERM), not sent again"),
}
"""Where the fault of an examination is found, and a part of what is said of it."""


@pytest.mark.parametrize(
    "faults",
    [
        ("reach",),
        ("loops",),
        ("others",),
        ("failover",),
        ("ethertypes", "isolation", "packet-ins", "tables", "mended"),
        ("slow", "full", "refused"),
        ("away",),
        ("restart",),
        ("switch",),
    ],
    ids="-".join,
)
def test_planted_faults_fail_their_examinations(
    faults: tuple[str, ...], shared: tuple[Path, Testbed]
) -> None:
    found = judged(*shared, faults)
    told = {one.name: json.dumps(one.told(), ensure_ascii=False) for one in found.scorecard}
    failed = {name for name, outcome in outcomes(found).items() if outcome == "fail"}
    assert failed >= set(faults), told
    if not set(faults) & set(REACH):
        assert failed == set(faults), "they are found there alone"
    for line in found.scorecard:
        if line.name in faults:
            place, words = FAULTS[line.name]
            assert words in told[line.name], told[line.name]
            places = {one for each in line.found.findings for one in each.switches}
            places |= {each.why.where for each in line.found.findings if each.why is not None}
            assert place in places


def test_one_without_faults_passes_all(shared: tuple[Path, Testbed]) -> None:
    found = judged(*shared, ())
    lines = {one.name: one for one in found.scorecard}
    assert set(outcomes(found).values()) == {"pass"}, [one.told() for one in found.scorecard]
    assert tuple(lines) == tuple(one for one in (*REACH, *EXAMINATIONS) if one != "takeover")
    figures = {
        (name, one.name): one.value for name, line in lines.items() for one in line.found.figures
    }
    assert figures["full", "refused"] == figures["full", "frames of new addresses"] == 8
    assert figures["full", "lost"] == 0
    assert figures["refused", "sent again"] == figures["refused", "entries refused"] == 8
    assert figures["failover", "frames lost"] is not None
    assert figures["packet-ins", "a frame later"] == 0
    assert figures["switch", "reach after"] is not None


@pytest.mark.skipif(missing_tools() is not None, reason=str(missing_tools()))
def test_the_same_on_switches_with_devices(tmp_path: Path) -> None:
    with ring(tmp_path, "mininet") as made:
        found = judged(tmp_path, made, ("full", "refused"))
    for name in ("full", "refused"):
        (line,) = (one for one in found.scorecard if one.name == name)
        assert FAULTS[name][1] in json.dumps(line.told(), ensure_ascii=False)


def test_the_command_gives_a_scorecard(tmp_path: Path) -> None:
    """The learning switch, begun anew by a shell command: a line in each of the files."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        pid, port = tmp_path / "pid", free.getsockname()[1]
    start = f"{sys.executable} {RUN} learning --ofp-tcp-listen-port {port} & echo $! > {pid}"
    subprocess.run(f"({start}) 2>/dev/null >/dev/null", shell=True, check=True)
    try:
        asking = ("--controller", f"tcp:127.0.0.1:{port}", "--sample", "3", "--no-failover")
        again = f"kill $(cat {pid}); {start}; sleep 2"
        how = ("--judge", "restart,refused", "--restart", again, "--recover", "500ms")
        done = command("emulate", LINE, *asking, *how, "--out", tmp_path / "out")
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    assert done.returncode == 1, done.stderr + done.stdout
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line[:1].islower()}
    assert re.search(r"PASS +connected after \d.*, frames [1-9]\d*, lost \d", lines["restart"])
    assert re.search(r"FAIL +entries refused 1, sent again 0, reach after -$", lines["refused"])
    assert "had refused 'ADD priority=0 actions=CONTROLLER:65535' (OFPFMFC_EPERM)" in done.stdout
    answer = json.loads((tmp_path / "out" / "verdict.json").read_text())
    card = {one["name"]: one["outcome"] for one in answer["scorecard"]}
    assert card == {**dict.fromkeys(("reach", "loops", "others", "restart"), "pass"), **REFUSED}
    assert (answer["outcome"], answer["findings"]) == ("fail", [])
    suite = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    cases = [one for one in suite.iter("testcase") if one.get("classname") == "qnet.scorecard"]
    assert [one.get("name") for one in cases] == list(card)
    assert [one.get("name") for one in cases if one.find("failure") is not None] == ["refused"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--judge", "al"], "--judge: no examination 'al'; there are all, reach, loops, others"),
        (["--judge", "isolation"], "--judge: isolation: give the pairs"),
        (["--judge", "restart"], "--judge: restart: give a command"),
        (["--judge", "all", "--isolated", "a,x"], "--isolated: 'a,x' is no pair of hosts; there"),
        (["--judge", "all", "--isolated", "a"], "--isolated: 'a' is no pair of hosts; write it"),
        (["--isolated", "a,b"], "--isolated: goes with --judge"),
        (["--recover", "3s"], "--recover: goes with --judge"),
        (["--judge", "all", "--against", "plan"], "--judge: goes with --against reach"),
    ],
)
def test_what_cannot_be_examined_is_refused(options: list[str], words: str) -> None:
    asking = ["emulate", str(LINE), "--controller", "tcp:127.0.0.1:9", *options]
    done = CliRunner().invoke(main, asking)
    assert done.exit_code == 2, done.output
    assert words in done.output


def test_what_a_sieve_refuses_it_takes_the_second_time() -> None:
    rule = Rule(0, 7, match(in_port=1), (output(2),))
    add, other = (encode(one, Command.ADD, 5) for one in (rule, rule._replace(priority=8)))
    again, delete = encode(rule, Command.ADD, 6), encode(rule, Command.DELETE, 7)
    assert [adds_entry(one) for one in (add, again, delete, b"\4\0\0\10\0\0\0\1")] == [
        True,
        True,
        False,
        False,
    ]
    sieve = RuleRefusals(connections=3)
    sieve.begin("a")
    assert sieve.sift("a", 3, False, add) == (add, b""), "of a connection that was there before"
    assert sieve.sift("b", 4, False, add) == (add, b""), "of another switch"
    assert sieve.sift("a", 5, False, delete + add[:9]) == (delete, b"")
    passed, answer = sieve.sift("a", 5, False, add[9:] + other)
    assert passed == b""
    assert len(sieve.refused) == 2
    assert in_words([answer])[0].startswith("OFPFMFC_EPERM for flow-mod: ADD priority=7,in_port=1")
    assert sieve.sift("a", 5, False, again) == (again, b"")
    assert [one.again_s is None for one in sieve.refused] == [False, True]
    sieve.end()
    assert sieve.sift("a", 5, False, other) == (other, b"")
    assert sieve.sift("a", 5, True, add[:9]) == (b"", b""), "whole messages the other way too"
    assert sieve.sift("a", 5, True, add[9:]) == (add, b"")


def test_an_error_of_version_1_0_has_its_own_numbers() -> None:
    message = struct.pack("!BBHI", 1, 14, 72, 9) + bytes(64)
    assert adds_entry(message)
    assert permission_error(message)[:12] == struct.pack("!BBHIHH", 1, 1, 84, 9, 3, 2)
