"""A testbed that breaks is not a network that fails: the reason, and no verdict."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from qnet.check.verdict import judge
from qnet.emulate.frames.sample import Sample
from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.process.watch import TestbedBroken, is_stopped
from qnet.emulate.switches import ovs
from qnet.emulate.switches.dummy_switches import Fabric
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.tiers import probe
from qnet.emulate.tiers.lockstep import run_case
from qnet.files.read import read_topology
from tests.asking import ask
from tests.emulate.breaking import DONE, QNET, SIGNALS, VICTIMS, break_one

REASON = ovs.missing_switch() or missing_controller()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]
needs_mininet = pytest.mark.skipif(
    probe.missing_tools() is not None, reason=str(probe.missing_tools())
)

LINE = Path(__file__).parents[1] / "golden" / "line"


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("name", ["ovsdb-server", "ovs-vswitchd"])
def test_a_switch_of_lockstep_is_named(name: str, number: signal.Signals) -> None:
    answer = ask(str(LINE / "traffic.yaml"))
    case = Sample(answer.scenario.topology, answer.scenario.profile, answer.plan, frames=300)

    def meddle(fabric: Fabric) -> None:
        (found,) = (one for one in fabric.parts() if one.name == f"b: {name}")
        os.kill(found.process.pid, number)

    with pytest.raises(TestbedBroken, match=rf"^b: {name} ") as broken:
        run_case(case, answer.proof, answer.observation, meddle=meddle)
    assert DONE[number] in str(broken.value)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_switch_under_a_test_is_named(number: signal.Signals) -> None:
    topology = read_topology(str(LINE / "topology.yaml"))
    with Controller(["learning"]) as controller, Testbed(topology, controller.target) as testbed:
        assert isinstance(testbed.fabric, Fabric)
        (found,) = (one for one in testbed.fabric.parts() if one.name == "c: ovs-vswitchd")
        os.kill(found.process.pid, number)
        with pytest.raises(TestbedBroken, match=r"^c: ovs-vswitchd ") as broken:
            testbed.ping("a", "d")
    assert DONE[number] in str(broken.value)


def test_a_process_that_goes_on_in_time_is_at_work() -> None:
    with ovs.Ovs() as running:
        (switch,) = (one for one in running.parts() if one.name == "ovs-vswitchd")
        os.kill(switch.process.pid, signal.SIGSTOP)
        try:
            while not is_stopped(switch.process.pid):
                pass
            running.check()
        finally:
            os.kill(switch.process.pid, signal.SIGCONT)
        assert "Open vSwitch" in running.appctl("version")


@needs_mininet
@pytest.mark.parametrize(
    ("name", "number", "moment"),
    [
        ("switch", signal.SIGKILL, "emulate at"),
        ("database", signal.SIGSTOP, "build "),
        ("controller", signal.SIGKILL, "emulate at"),
        ("emulator", signal.SIGSTOP, "emulate at"),
        ("host", signal.SIGKILL, "build "),
    ],
)
def test_a_process_of_tier_mininet_is_named(name: str, number: signal.Signals, moment: str) -> None:
    stretched = ("--emulate", "mininet", "--sample", "2", "--duration", "20ms", "--dilation", "200")
    command = [QNET, "run", str(LINE / "traffic.yaml"), *stretched]
    found = break_one(command, VICTIMS[name], number, moment)
    assert found.code == 3, found.said
    assert VICTIMS[name].named in found.said
    assert f"{DONE[number]}, so nothing was judged" in found.said
    assert "FAIL" not in found.said
    assert "Traceback" not in found.said
    assert found.seconds is not None, "the run did not end before it was broken"
    assert "compare frame by frame" not in found.said, "nor went on to what it could not know"


@needs_mininet
def test_a_host_that_ends_before_its_first_prompt_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mininet would wait for that prompt without end."""
    doomed = tmp_path / "mnexec"
    doomed.write_text("#!/bin/sh\nkill -9 $$\n")
    doomed.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    command = [QNET, "run", str(LINE / "traffic.yaml"), "--emulate", "mininet", "--sample", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "the host of all wires ended (signal 9), so nothing was judged" in done.stderr


def test_a_void_run_is_not_known_and_blames_nobody() -> None:
    """Whatever frames did is left out: what they would have shown, too."""
    answer = ask(str(LINE / "traffic.yaml"))
    case = Sample(answer.scenario.topology, answer.scenario.profile, answer.plan, frames=50)
    seen, _ = run_case(case, answer.proof, answer.observation)
    lost = tuple(one.replace(lost=one.sent, received=0) for one in seen.observation.streams)
    wrong = seen.replace(
        observation=seen.observation.replace(streams=lost),
        streams=tuple(one.replace(difference_ps=10**9) for one in seen.streams),
    )
    void = wrong.replace(void="352 of 368 frames were late")
    blamed = void.replace(findings=("a: the frame is not sent to b",))
    witnesses = (answer.scenario.topology, answer.scenario.profile, answer.plan, answer.proof)
    outcomes = [
        judge(*witnesses, [answer.observation], one).outcome for one in (seen, wrong, void, blamed)
    ]
    assert outcomes == ["pass", "fail", "unknown", "fail"]
