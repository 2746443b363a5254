"""Start controller apps as a child process and read what they report."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import qnet
from qnet.emulate.process.all_or_nothing import AllOrNothing
from qnet.emulate.process.daemons import end, tied
from qnet.emulate.process.watch import LOOK_S, Part, Watch, how, is_stopped
from qnet.errors import EnvironmentMissing, QnetError
from qnet.progress import Heeded

START_S = 30.0
"""Longest wait for a controller to listen; it takes about a second."""

LINES_SHOWN = 8
LINE_BYTES = 4096

KEPT = 10_000
"""Events that nobody has asked for yet; older ones are forgotten."""

Event = Mapping[str, Any]


class ShownCertificate(NamedTuple):
    """What apps show of themselves over TLS, and who may sign their switches; files in PEM."""

    cert: Path
    key: Path
    ca: Path


class ControllerFailure(QnetError):
    """A controller ended, or did not answer in time."""

    exit_code = 3


def folder() -> Path:
    """Return the folder of the shipped apps: beside the package, or inside it when installed."""
    package = Path(qnet.__file__).parent
    for one in (package.parent / "controllers", package / "bundled" / "controllers"):
        if (one / "run.py").exists():
            return one
    raise EnvironmentMissing("the controller apps are not here; install qnet anew")


def missing_controller(
    framework: Literal["os_ken", "ryu"] = "os_ken", python: str = sys.executable
) -> str:
    """Say what keeps the apps from running on a framework, or '' when nothing does."""
    if shutil.which(python) is None:
        return f"{python} is not here; 'make ryu' builds .venv-ryu"
    test = f"import importlib.util as u, sys; sys.exit(u.find_spec('{framework}') is None)"
    if subprocess.run([python, "-c", test], check=False, timeout=60).returncode == 0:
        return ""
    install = "pip install 'qnet-emulator[emulate]'" if framework == "os_ken" else "make ryu"
    return f"{python} has no {framework}; {install}"


class Controller(AllOrNothing):
    """Controller apps in a process of their own; a context manager.

    `apps` are names of modules: shipped ones ('reservation'), or any that the framework can load.
    `arguments` are their options, `modules` is a folder where modules are looked for first.
    `port` 0 takes a free one. Raises ControllerFailure when the
    process ends, with the end of what it wrote.
    """

    def __init__(
        self,
        apps: Sequence[str],
        arguments: Sequence[str] = (),
        *,
        port: int = 0,
        python: str = sys.executable,
        framework: Literal["os_ken", "ryu"] = "os_ken",
        modules: Path | None = None,
        tls: ShownCertificate | None = None,
        heeded: Heeded | None = None,
    ) -> None:
        """Prepare to start them; `heeded` may cancel the start. With `tls` they speak TLS alone."""
        self._tls = tls
        self.modules = modules
        self._heeded = heeded
        self.apps = tuple(apps)
        self.arguments = tuple(arguments)
        self.port = port or _free_port()
        self.python = python
        self.framework = framework
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._incoming: queue.Queue[Event | None] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._words: IO[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._open = ExitStack()

    @property
    def target(self) -> str:
        """Where switches connect to, in the words of Open vSwitch."""
        return f"{'tcp' if self._tls is None else 'ssl'}:127.0.0.1:{self.port}"

    def _start(self) -> None:
        reason = missing_controller(self.framework, self.python)
        if reason:
            raise EnvironmentMissing(reason)
        listen = ["--ofp-listen-host", "127.0.0.1"]
        if self._tls is None:
            listen += ["--ofp-tcp-listen-port", str(self.port)]
        else:
            listen += ["--ofp-ssl-listen-port", str(self.port)]
            listen += ["--ctl-cert", str(self._tls.cert), "--ctl-privkey", str(self._tls.key)]
            listen += ["--ca-certs", str(self._tls.ca)]
        command = [self.python, str(folder() / "run.py"), *self.apps, *listen, *self.arguments]
        root = str(Path(qnet.__file__).parent.parent)
        environment = {**os.environ, "QNET_ROOT": root, "QNET_FRAMEWORK": self.framework}
        if self.modules is not None:
            known = environment.get("PYTHONPATH", "")
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(self.modules), known]))
        with ExitStack() as begun:
            self._words = begun.enter_context(tempfile.TemporaryFile())
            flags = fcntl.fcntl(self._words, fcntl.F_GETFL) | os.O_APPEND
            fcntl.fcntl(self._words, fcntl.F_SETFL, flags)
            self._open = begun.pop_all()
        self._process = subprocess.Popen(
            tied(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        listening = (self._process, self._words)
        self._reader = threading.Thread(target=self._listen, args=listening, daemon=True)
        self._reader.start()
        self.wait(lambda event: event["event"] == "listening", START_S, self._heeded)

    def close(self) -> None:
        """End the process; may be called again."""
        process, self._process = self._process, None
        if process is not None:
            end(process)
        if self._reader is not None:
            self._reader.join()
        self._words = None
        self._open.close()

    def restart(self) -> None:
        """End the process and start it anew, at the same port; what it had said is forgotten."""
        self.close()
        self._kept.clear()
        self._incoming = queue.Queue()
        self._start()

    def parts(self) -> list[Part]:
        """Return the process, for who looks whether it is at work."""
        process = self._process
        return [] if process is None else [Part("the controller", process, self.words)]

    def wait(
        self, wanted: Callable[[Event], bool], seconds: float, heeded: Heeded | None = None
    ) -> Event:
        """Return the first wanted event that no call has returned yet; the others are kept."""
        deadline = time.monotonic() + seconds
        for place, event in enumerate(self._kept):
            if wanted(event):
                del self._kept[place]
                return event
        for event in self._until(deadline, heeded or Heeded(None)):
            if wanted(event):
                return event
            self._kept.append(event)
        raise ControllerFailure(f"the controller did not answer in {seconds:.0f} s{self._said()}")

    def wait_converged(
        self, datapath_ids: Sequence[int], seconds: float, heeded: Heeded | None = None
    ) -> list[Event]:
        """Wait until the reservation app has brought each of the switches to its rules.

        Raises ControllerFailure when a switch refused a rule, and Cancelled.
        """
        missing_ids = set(datapath_ids)
        found: list[Event] = []
        while missing_ids:
            event = self.wait(lambda one: one["event"] in ("converged", "error"), seconds, heeded)
            if event["event"] == "error":
                raise ControllerFailure(f"{event.get('switch')}: {event['message']}")
            missing_ids.discard(event["datapath_id"])
            found.append(event)
        return found

    def _until(self, deadline: float, heeded: Heeded) -> Iterator[Event]:
        watch = Watch()
        while (left := deadline - time.monotonic()) > 0:
            heeded.look()
            try:
                event = self._incoming.get(timeout=min(left, LOOK_S))
            except queue.Empty:
                watch.check(self.parts())
                continue
            if event is None:
                watch.blame(self.parts)
                raise ControllerFailure(f"the controller closed its output{self._said()}")
            yield event

    def _listen(self, process: subprocess.Popen[str], words: IO[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with contextlib.suppress(json.JSONDecodeError):
                    event = json.loads(line)
                    if isinstance(event, dict) and "event" in event:
                        self._incoming.put(event)
                        continue
                os.write(words.fileno(), line.encode())
        self._incoming.put(None)

    def state(self) -> str:
        """Say what has become of the process: nothing while it is at work."""
        if self._process is None:
            return ""
        code = self._process.poll()
        if code is not None:
            return f"it has ended ({how(code)})"
        return "it is stopped (SIGSTOP)" if is_stopped(self._process.pid) else ""

    def words(self, most: int = LINES_SHOWN) -> str:
        """Return the last lines that the process wrote, output and log alike, events aside."""
        if self._words is None:
            return ""
        size = os.fstat(self._words.fileno()).st_size
        begin = max(size - LINES_SHOWN * LINE_BYTES, 0) if most == LINES_SHOWN else 0
        text = os.pread(self._words.fileno(), size - begin, begin).decode(errors="replace")
        return "\n".join(text.strip().splitlines()[-most:])

    def written(self) -> int:
        """Return how many bytes the process has written so far, for `words_since`."""
        return 0 if self._words is None else os.fstat(self._words.fileno()).st_size

    def words_since(self, written: int) -> str:
        """Return what the process wrote after so many bytes, the end of it if it is much."""
        if self._words is None:
            return ""
        begin = max(written, self.written() - LINES_SHOWN * LINE_BYTES)
        most = LINES_SHOWN * LINE_BYTES
        return os.pread(self._words.fileno(), most, begin).decode(errors="replace")

    def _said(self) -> str:
        return "".join(f"\n  {line}" for line in self.words().splitlines())


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
