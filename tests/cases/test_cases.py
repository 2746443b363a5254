"""Situations from outside: a folder each, with its files, what to run, and what is right.

`case.yaml` has a title, what the case needs, and steps. A step runs a command in a fresh copy of
the folder and says its exit code, words that must and must not occur, and values of its JSON; or
it starts a command that goes on beside the later steps. No step may ever show a traceback. A case
that needs nothing and starts nothing has a `qnet` that is loaded already (`served.py`), unless it
says `served: false`: most of the time of a short command is its start.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent

CASES = sorted(path.parent.name for path in HERE.glob("*/case.yaml"))

STEP_KEYS = {"run", "exit", "says", "never", "json", "timeout", "start", "ready"}

PATIENCE_S = 120

ENVIRONMENT = {**os.environ, "COLUMNS": "200", "REPOSITORY": str(HERE.parents[1])}


def _has(*tools: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(tool) for tool in tools)


NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "lockstep": (_has("ovs-vswitchd", "ovsdb-server"), "no Open vSwitch here"),
    "mininet": (
        lambda: os.geteuid() == 0 and _has("ovs-vswitchd", "mnexec")(),
        "tier mininet needs root, Open vSwitch and Mininet",
    ),
    "root": (lambda: os.geteuid() == 0, "needs root"),
}


class Shell:
    """Runs the commands of one case in its folder, and ends what it started."""

    def __init__(self, folder: Path, served: Path | None) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        places = [] if served is None else [str(served)]
        places += [str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = ENVIRONMENT | {"PATH": os.pathsep.join(places), "PORT": str(port)}

    def run(self, command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; what takes too long is ended with all that it started."""
        process = self._begin(command, subprocess.PIPE, subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            out, err = process.communicate()
            words = f"no end in {timeout_s} s: {command}\n{out.decode()}{err.decode()}"
            raise AssertionError(words) from None
        texts = (text.decode(errors="replace") for text in (out, err))
        return subprocess.CompletedProcess(command, process.returncode, *texts)

    def start(self, command: str, ready: str | None, timeout_s: float) -> None:
        """Start a command that goes on, and wait until it has said that it is ready."""
        log = self.folder / f"started-{len(self.started)}.log"
        with log.open("wb") as output:
            process = self._begin(command, output, output)
        self.started.append(process)
        end = time.monotonic() + timeout_s
        while ready is not None and ready not in log.read_text(errors="replace"):
            over = process.poll() is not None or time.monotonic() > end
            assert not over, f"'{ready}' never came from: {command}\n{log.read_text()}"
            time.sleep(0.05)

    def close(self) -> None:
        for process in self.started:
            _end(process)
            process.wait()

    def _begin(self, command: str, out: Any, err: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process and all that it started; after ten seconds, kill them."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            end = time.monotonic() + 10
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.02)


def _value(data: Any, path: str) -> Any:
    """Return what lies at a dotted path, such as rows.0.simulated."""
    for key in path.split("."):
        data = data[int(key)] if isinstance(data, list) else data[key]
    return data


def _judge(step: dict[str, Any], run: subprocess.CompletedProcess[str]) -> None:
    told = f"$ {step['run']}\nexit code {run.returncode}\n{run.stdout}{run.stderr}"
    said = run.stdout + run.stderr
    assert run.returncode == step.get("exit", 0), told
    for words in step.get("says", ()):
        assert words in said or words in re.sub(r"\s+", " ", said), f"not said: {words}\n{told}"
    for words in ("Traceback", *step.get("never", ())):
        assert words not in said, f"said: {words}\n{told}"
    if "json" in step:
        answer = json.loads(run.stdout)
        for path, wanted in step["json"].items():
            assert _value(answer, path) == wanted, f"{path}\n{told}"


@pytest.fixture(scope="session")
def served() -> Iterator[Path]:
    """Serve `qnet` to the cases of this process, from a folder for the front of their PATH."""
    with tempfile.TemporaryDirectory() as folder:  # not pytest's: names of sockets are short
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.cases.served", folder],
            cwd=HERE.parents[1],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        with server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield Path(folder)


@pytest.fixture
def shell(
    tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[Path, dict[str, Any]], Shell]]:
    shells: list[Shell] = []

    def open_in(place: Path, case: dict[str, Any]) -> Shell:
        folder = tmp_path / place.name
        shutil.copytree(place, folder, ignore=shutil.ignore_patterns("__pycache__"))
        begins = any("start" in step for step in case["steps"])
        own = case.get("needs") or begins or not case.get("served", True)
        shells.append(Shell(folder, None if own else request.getfixturevalue("served")))
        return shells[-1]

    yield open_in
    for one in shells:
        one.close()


@pytest.mark.parametrize("name", CASES)
def test_what_came_from_outside_is_right(
    name: str, shell: Callable[[Path, dict[str, Any]], Shell]
) -> None:
    case = yaml.safe_load((HERE / name / "case.yaml").read_text())
    assert set(case) <= {"title", "needs", "served", "steps"}
    for need in case.get("needs", ()):
        here, why = NEEDS[need]
        if not here():
            pytest.skip(why)
    runner = shell(HERE / name, case)
    for step in case["steps"]:
        assert set(step) <= STEP_KEYS, step
        assert ("run" in step) != ("start" in step), step
        patience_s = step.get("timeout", PATIENCE_S)
        if "start" in step:
            runner.start(step["start"], step.get("ready"), patience_s)
        else:
            _judge(step, runner.run(step["run"], patience_s))
