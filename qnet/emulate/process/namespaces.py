"""Start Python in network, process and mount namespaces of its own, which the kernel ends with it.

Whatever becomes of the process that starts it, the first process inside gets a signal that it
cannot ignore, and the kernel ends with it all that is in the namespaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from qnet.emulate.process import cleanup
from qnet.emulate.process.watch import TestbedBroken, failure, how, is_stopped
from qnet.errors import QnetError

WHO = "the process that holds the emulated network"

GONE_S = 5.0
"""Time that the kernel has to end all processes in the namespaces."""

UNSHARE_KILLED = "unshare: sigprocmask unblock failed"
"""What unshare 2.38 says when its child was killed: it cannot end itself in the same way."""


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module as the first process of new namespaces."""
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"),
        *(sys.executable, "-m", module, *arguments),
    ]


def start(
    module: str,
    folder: Path,
    words: IO[str],
    *,
    terminal: bool = False,
    inherited: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Run a module with a run's folder as its argument; what it writes goes to `words`.

    With `terminal` it has this process's terminal instead, and begins with SIGINT blocked. File
    descriptors that it inherits are further arguments, and keep their numbers.
    """
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT} if terminal else ())
    try:
        child = subprocess.Popen(
            command(module, str(folder), *map(str, inherited)),
            stdin=None if terminal else subprocess.DEVNULL,
            stdout=None if terminal else words,
            stderr=None if terminal else words,
            start_new_session=not terminal,
            pass_fds=inherited,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)
    cleanup.note(folder, child.pid, "namespaces")
    return child


def stands_still(child: subprocess.Popen[bytes]) -> bool:
    """Tell whether the first process in a child's namespaces has been stopped."""
    return any(map(is_stopped, _first(child)))


def _first(child: subprocess.Popen[bytes]) -> list[int]:
    """Return the first process in a child's namespaces, once it is there."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text()
        return [int(one) for one in text.split()]
    return []


class ChildFailed(QnetError):
    """Something of qnet's own went wrong in a child: its traceback."""

    exit_code = 70


def broken(folder: Path, code: int, words: IO[str]) -> QnetError:
    """Return why a child ended before it had said what it was to say, as far as that is known."""
    why = failure(folder)
    if why is not None:
        return TestbedBroken(why)
    last = last_words(words, 100)
    if "Traceback (most recent call last)" in last:
        return ChildFailed(f"{WHO} failed:\n{last}")
    if UNSHARE_KILLED in last:
        return TestbedBroken(f"{WHO} ended (signal 9), so nothing was judged")
    said = f"; its last words:\n{last}" if last else ""
    return TestbedBroken(f"{WHO} ended ({how(code)}), so nothing was judged{said}")


def stopped() -> TestbedBroken:
    """Return the error for a child that stands still."""
    return TestbedBroken(f"{WHO} is stopped (SIGSTOP), so nothing was judged")


def end(child: subprocess.Popen[bytes]) -> None:
    """End the child and, by the kernel, all that is in its namespaces; returns when that is gone.

    The kernel ends the first one when all others have ended, and unshare waits for it. Devices go
    with the namespaces, which nobody has any more, a moment later. Nothing if it has ended.
    """
    if child.poll() is not None:
        return
    found = _first(child)
    with contextlib.suppress(ProcessLookupError):
        for first in found:
            os.kill(first, signal.SIGKILL)
    try:
        child.wait(GONE_S if found else 0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def last_words(words: IO[str], most: int = 12) -> str:
    """Return the last lines of what a child wrote."""
    words.flush()
    words.seek(0)
    return "\n".join(words.read().strip().splitlines()[-most:])


class Inside:
    """Be in another network namespace for a while, with the calling thread only."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.before = -1

    def __enter__(self) -> None:
        if self.path is None:
            return
        self.before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(self.path, os.O_RDONLY)
        try:
            _setns(there)
        finally:
            os.close(there)

    def __exit__(self, *_: object) -> None:
        if self.before >= 0:
            _setns(self.before)
            os.close(self.before)
            self.before = -1


def _setns(handle: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, 0):
        wrong = ctypes.get_errno()
        raise OSError(wrong, os.strerror(wrong))
