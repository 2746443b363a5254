from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qnet.emulate.switches import ovs
from qnet.emulate.tiers import probe
from qnet.emulate.tiers.doctor import MachineFinding, advice

GOOD = MachineFinding("python", True, True, "3.13")
LOCKSTEP = MachineFinding("emulate lockstep", True, False, "runs")


def ask(*options: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ if path is None else {**os.environ, "PATH": path}
    command = [sys.executable, "-c", "from qnet.cli import main; main()", "doctor", *options]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_what_runs_comes_first() -> None:
    assert advice([GOOD, LOCKSTEP]) == ["runs here: plan, prove and simulate, emulate lockstep"]


def test_each_package_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lacking = [
        GOOD,
        LOCKSTEP._replace(good=False, apt=("openvswitch-switch",), pip=("qnet-emulator[emulate]",)),
        MachineFinding("emulate mininet", False, False, "", ("openvswitch-switch", "mininet")),
    ]
    said = advice(lacking)
    assert said[:2] == [
        "runs here: plan, prove and simulate",
        "does not: emulate lockstep, emulate mininet",
    ]
    assert said[2].startswith("to install: sudo apt-get install openvswitch-switch mininet")
    assert said[3].endswith("-m pip install 'qnet-emulator[emulate]'")


def test_without_the_main_job_nothing_runs() -> None:
    said = advice([GOOD._replace(good=False), LOCKSTEP])
    assert said == ["runs here: nothing", "does not: plan, prove and simulate, emulate lockstep"]


def test_a_machine_without_tools_is_told_what_to_install(tmp_path: Path) -> None:
    done = ask("--json", path=str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert "openvswitch-switch" in rows["emulate lockstep"]["apt"]
    assert "mininet" in rows["emulate mininet"]["apt"]
    assert not rows["emulate mininet"]["good"]
    words = ask(path=str(tmp_path)).stdout
    assert "does not: emulate lockstep, emulate mininet" in words
    assert "apt-get install openvswitch-switch" in words


@pytest.mark.skipif(ovs.missing_switch() is not None, reason=f"{ovs.missing_switch()}")
def test_frames_pass_the_switch_without_devices() -> None:
    rate = probe.frames_per_s()
    assert rate.per_s > 0
    assert 0 < rate.median_ns <= rate.p99_ns


@pytest.mark.skipif(probe.missing_tools() is not None, reason=f"{probe.missing_tools()}")
def test_frames_pass_the_switch_between_devices_and_nothing_is_left() -> None:
    rate = probe.frames_per_s_between_devices()
    assert 0 < rate.median_ns <= rate.p99_ns
    left = {device.name for device in Path("/sys/class/net").iterdir()}
    assert not left & {"p1", "e1", "p2", "e2"}
