"""The shipped controller as a process of its own, beside the run."""

from __future__ import annotations

import json
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from importlib import util
from pathlib import Path
from types import TracebackType
from typing import Any

import qnet
from qnet.emulate.openflow import Switch, to_text
from qnet.errors import EnvironmentMissing, QnetError

READY_S = 30.0

INSTALL = "pip install 'qnet[emulate]'"


class ControllerFailure(QnetError):
    """The controller ended, or did not bring the switches to their rules."""

    exit_code = 3


def folder() -> Path:
    """Return where the controller apps are: beside the package, or inside an installed one."""
    package = Path(qnet.__file__).parent
    beside = package.parent / "controllers"
    return beside if (beside / "run.py").exists() else package / "bundled" / "controllers"


def missing() -> str | None:
    """Say what keeps the shipped controller from running here, or None when nothing does."""
    if util.find_spec("os_ken") is None and util.find_spec("ryu") is None:
        return f"no controller framework is here; os-ken comes with: {INSTALL}"
    return None if (folder() / "run.py").exists() else f"{folder()} has no controller apps"


class Controller:
    """An app under os-ken in a child process; a context manager.

    With rules it is the reservation app, which brings every switch to them.
    """

    def __init__(
        self, switches: Sequence[Switch] = (), *, apps: Sequence[str] = ("reservation",)
    ) -> None:
        """Prepare to run `apps` with these rules."""
        self.apps = tuple(apps)
        self.rules = tuple(switches)
        self.address = ""
        """Where switches connect to."""
        self.events: list[dict[str, Any]] = []
        self._folder: Path | None = None
        self._process: subprocess.Popen[str] | None = None
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def __enter__(self) -> Controller:
        reason = missing()
        if reason is not None:
            raise EnvironmentMissing(reason)
        self._folder = Path(tempfile.mkdtemp(prefix="qnet-controller-"))
        try:
            self._start(self._folder)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove its files."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def wait_converged(self, names: Collection[str]) -> dict[str, dict[str, Any]]:
        """Wait until all switches have their rules; return what the app says of each."""
        found: dict[str, dict[str, Any]] = {}
        while not found.keys() >= set(names):
            event = self._next(f"rules for {', '.join(sorted(set(names) - found.keys()))}")
            if event["event"] == "converged":
                found[event["switch"]] = event
            if event["event"] == "error":
                raise ControllerFailure(
                    f"{event.get('switch') or 'controller'}: {event['message']}"
                )
        return found

    def _start(self, folder_of_run: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, str(folder() / "run.py"), *self.apps]
        command += ["--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", str(port)]
        if self.rules:
            rules_file = folder_of_run / "rules.json"
            rules_file.write_text(to_text(self.rules), encoding="utf-8")
            command += ["--rules-file", str(rules_file)]
        setpriv = shutil.which("setpriv")
        if setpriv and threading.current_thread() is threading.main_thread():
            command = [setpriv, "--pdeathsig", "TERM", *command]
        with (folder_of_run / "stderr").open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                cwd=folder_of_run,
            )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        self._next("the controller", "listening")
        self.address = f"tcp:127.0.0.1:{port}"

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    self._queue.put(json.loads(line))
        except ValueError:
            pass  # closed while it was read
        self._queue.put(None)

    def _next(self, what: str, kind: str | None = None) -> dict[str, Any]:
        """Return the controller's next event, of a kind if given."""
        deadline = time.monotonic() + READY_S
        while True:
            try:
                event = self._queue.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                raise ControllerFailure(
                    f"{what}: nothing after {READY_S:.0f} s{self._errors()}"
                ) from None
            if event is None:
                raise ControllerFailure(f"{what}: the controller ended{self._errors()}")
            self.events.append(event)
            if kind is None or event["event"] == kind:
                return event

    def _errors(self) -> str:
        assert self._folder is not None
        lines = (self._folder / "stderr").read_text(errors="replace").splitlines()
        return "; its last words:\n" + "\n".join(lines[-8:]) if lines else ""
