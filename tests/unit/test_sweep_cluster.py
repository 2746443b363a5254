"""Sweeps on Dask workers of this machine: the same bytes as in one process, whoever dies."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import qnet
from qnet.errors import EnvironmentMissing
from qnet.files.write import to_json
from qnet.model.scenario import Scenario
from qnet.model.sweep import Sweep
from qnet.sweeps import cluster, run
from tests import dying
from tests.unit.test_sweeps import NETWORK, TRAFFIC

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="Dask distributed is not installed"
)

DASK = Path(sys.executable).with_name("dask")
ROOT = Path(__file__).parents[2]


class Workers:
    """A scheduler and workers, each a process without a nanny."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"}
        self.started = [self._start("scheduler", "--host", "127.0.0.1", "--port", "0")]
        for _ in range(count):
            self.add()

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [str(DASK), *words, "--no-dashboard", "--scheduler-file", str(self.file)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment,
            )

    def add(self) -> subprocess.Popen[bytes]:
        """Start one worker more."""
        made = self._start("worker", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")
        self.started.append(made)
        return made

    @property
    def address(self) -> str:
        """Return where the scheduler listens, once all workers are there."""
        end = time.monotonic() + 60
        while not self.file.exists():
            assert time.monotonic() < end, "the scheduler did not start"
            time.sleep(0.05)
        address = str(json.loads(self.file.read_text())["address"])
        dask: Any = importlib.import_module("distributed")
        with dask.Client(address, set_as_default=False) as client:
            if self.started[1:]:
                client.wait_for_workers(len(self.started) - 1, timeout=60)
        return address


@contextmanager
def workers(folder: Path, count: int) -> Iterator[Workers]:
    made = Workers(folder, count)
    try:
        yield made
    finally:
        for one in reversed(made.started):
            one.kill()
            one.wait()


@pytest.fixture(scope="module")
def square() -> Scenario:
    return qnet.load(TRAFFIC, topology=NETWORK)


@pytest.fixture(scope="module")
def whole(square: Scenario) -> Sweep:
    return qnet.sweep(square, processes=1)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_workers_give_the_same_bytes(
    square: Scenario, whole: Sweep, tmp_path: Path, count: int
) -> None:
    with workers(tmp_path, count) as made:
        assert to_json(qnet.sweep(square, cluster=made.address)) == to_json(whole)


def test_a_worker_that_is_killed_in_mid_run_changes_nothing(
    square: Scenario, whole: Sweep, tmp_path: Path
) -> None:
    class Killing(qnet.Quiet):
        killed = False

        def step(self, done: int, total: int) -> None:
            if done == 3 and not self.killed:
                self.killed = True
                made.started[1].send_signal(signal.SIGKILL)

    with workers(tmp_path, 2) as made:
        address, killing = made.address, Killing()
        found = qnet.sweep(square, cluster=address, progress=killing)
        assert killing.killed
        assert made.started[1].wait() == -signal.SIGKILL
    assert to_json(found) == to_json(whole)


def test_a_case_that_kills_its_worker_is_named_and_the_rest_finishes(
    square: Scenario, whole: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "look", dying.look)
    over = threading.Event()
    with workers(tmp_path, 2) as made:
        address = made.address

        def renew() -> None:
            while not over.wait(0.1):
                if sum(one.poll() is None for one in made.started) < 3:
                    made.add()

        renewing = threading.Thread(target=renew)
        renewing.start()
        try:
            found = qnet.sweep(square, cluster=address, fail=("cable",), depth="lp")
        finally:
            over.set()
            renewing.join()
    (case,) = found.unfinished
    assert case.case.failure.title == dying.FATAL
    assert "kills its process" in (case.reason or "")
    alone = qnet.sweep(square, fail=("cable",), depth="lp", processes=1)
    monkeypatch.undo()
    usual = qnet.sweep(square, fail=("cable",), depth="lp", processes=1)
    others = [one for one in usual.results if one.case != case.case]
    assert [one for one in found.results if one is not case] == others
    assert [one.case for one in alone.unfinished] == [case.case]


def test_nobody_and_other_versions_are_said(
    square: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    with pytest.raises(EnvironmentMissing, match="no scheduler"):
        qnet.sweep(square, cluster="tcp://127.0.0.1:9")
    with workers(tmp_path, 0) as made:
        with pytest.raises(EnvironmentMissing, match="no workers"):
            qnet.sweep(square, cluster=made.address)
        made.add()
        monkeypatch.setattr(cluster, "__version__", "0.0.0")
        with pytest.raises(EnvironmentMissing, match="its workers have qnet"):
            qnet.sweep(square, cluster=made.address)
