"""Processes that a run starts: they end with it, however it ends."""

from __future__ import annotations

import shutil
import subprocess
import threading
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


def end(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and kill it if it does not, or cannot hear."""
    if is_stopped(process.pid):
        process.kill()
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
