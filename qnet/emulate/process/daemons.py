"""Processes that a run starts: they end with it, however it ends."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

from qnet.emulate.process.watch import is_stopped

END_S = 5.0
"""Time that a process has to end by itself when asked."""


def tied(command: Sequence[str]) -> list[str]:
    """Return the command for a child that does not outlive a qnet that is killed.

    The signal comes when the starting thread ends, so only the main thread, which is sure to last,
    ties its children.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return list(command)
    return [setpriv, "--pdeathsig", "TERM", *command]


def end(*processes: subprocess.Popen[Any]) -> None:
    """Ask processes to end, all at once, and kill those that do not, or cannot hear."""
    for one in processes:
        if is_stopped(one.pid):
            one.kill()
        one.terminate()
    give_up = time.monotonic() + END_S
    for one in processes:
        try:
            one.wait(max(give_up - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()
