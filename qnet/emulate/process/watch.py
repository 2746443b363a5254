"""Processes that a testbed rests on: which of them has ended or stands still, and its last words.

A testbed that breaks says nothing of the network in it. Who waits for a switch, a controller or a
host looks here meanwhile; where nobody can look, a thread does (`Guard`).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from qnet.emulate.process.all_or_nothing import AllOrNothing
from qnet.errors import QnetError

STOPPED_S = 0.5
"""A process that has been stopped for so long does not come back by itself."""

LOOK_S = 0.1
"""How often processes are looked at while something is waited for."""

FAILURE = "failure"
"""File in a run's folder: why a guard has ended the run."""

ENDED_CODE = 3


class TestbedBroken(QnetError):
    """A process of the testbed ended or stopped while it was needed: nothing was judged."""

    __test__ = False  # the name begins with Test, which pytest would collect
    exit_code = 3


class Part(NamedTuple):
    """One process of a testbed: who it is, and what it wrote last."""

    name: str
    process: subprocess.Popen[Any]
    words: Callable[[], str] = str


class Watch:
    """Looks at processes, again and again, and remembers since when one is stopped."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def fault(self, parts: Iterable[Part]) -> str | None:
        """Return what has happened to the first process that is not at work, with its last words.

        A process that is stopped has half a second to go on.
        """
        for name, process, words in parts:
            code = process.poll()
            if code is not None:
                return _told(name, f"ended ({how(code)})", words())
            if not is_stopped(process.pid):
                self._since.pop(process.pid, None)
            elif time.monotonic() - self._since.setdefault(process.pid, time.monotonic()) > (
                STOPPED_S
            ):
                return _told(name, "is stopped (SIGSTOP)", words())
        return None

    def check(self, parts: Iterable[Part]) -> None:
        """Raise TestbedBroken when a process is not at work."""
        words = self.fault(parts)
        if words is not None:
            raise TestbedBroken(words)

    def blame(self, parts: Callable[[], Iterable[Part]], grace_s: float = 2 * LOOK_S) -> None:
        """Raise TestbedBroken when a process turns out to have ended, or to stand still, by now.

        Something went wrong that it would explain; the kernel may say so `grace_s` later.
        """
        begun = time.monotonic()
        while True:
            self.check(parts())
            if not self._since and time.monotonic() - begun >= grace_s:
                return
            time.sleep(LOOK_S / 5)


def how(code: int) -> str:
    """Say how a process ended: by a signal, or by itself."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def is_stopped(process: int) -> bool:
    """Tell whether a process stands still since it got SIGSTOP or the like."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] == "T"


def _told(name: str, what: str, words: str) -> str:
    last = f"; its last words:\n{words}" if words else ""
    return f"{name} {what}, so nothing was judged{last}"


class Guard(AllOrNothing):
    """Ends this process, whatever it is doing, when one that it rests on is not at work.

    For the first process of namespaces, whose end is that of all in them. Why is in the file
    FAILURE of the folder then. `add` names processes by a function, asked at every look: it is to
    leave out those that are about to be ended.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked: list[Callable[[], Iterable[Part]]] = []
        self._watch = Watch()
        self._found: str | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.by_hand = False
        """Whoever is at work looks itself (`look`): a thread would take turns with it."""

    def _start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Look no more; may be called again."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def add(self, parts: Callable[[], Iterable[Part]]) -> None:
        """Look at these processes too."""
        self._asked.append(parts)

    def look(self) -> None:
        """Look once. What is seen at two looks is no process that was just being ended."""
        found = self._watch.fault(self.parts())
        if found is not None and self._found is not None:
            leave(self._folder, found)
        self._found = found

    def settle(self) -> None:
        """Raise TestbedBroken when one is not at work; before a result counts, or an error does."""
        Watch().blame(self.parts)

    def parts(self) -> list[Part]:
        """Return all processes."""
        return [part for parts in list(self._asked) for part in parts()]

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            if not self.by_hand:
                self.look()


@contextlib.contextmanager
def blaming(parts: Callable[[], Iterable[Part]]) -> Iterator[None]:
    """Have a command or call that fails say which process broke, or else what failed."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        Watch().blame(parts)
        words = str(error)
        if isinstance(error, subprocess.CalledProcessError):
            said = error.stderr or error.output or ""
            said = said.decode(errors="replace") if isinstance(said, bytes) else said
            words = f"{' '.join(map(str, error.cmd))} failed ({how(error.returncode)}) {said}"
        raise TestbedBroken(f"{words.strip()}; nothing was judged") from error


def leave(folder: Path, words: str) -> None:
    """Note why a run broke, and end this process at once."""
    new = folder / f"{FAILURE}.new"
    with contextlib.suppress(OSError):
        new.write_text(words, encoding="utf-8")
        new.replace(folder / FAILURE)
    os._exit(ENDED_CODE)


def failure(folder: Path) -> str | None:
    """Return why a guard has ended the run of a folder, or None when none has."""
    with contextlib.suppress(OSError):
        return (folder / FAILURE).read_text(encoding="utf-8")
    return None
