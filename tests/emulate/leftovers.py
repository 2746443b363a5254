"""What runs of tier mininet may not leave: devices, namespaces, processes, folders."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qnet.emulate.process import cleanup


def machine() -> set[str]:
    """Devices and namespaces named as those of a run, which must leave none; others may come."""
    devices = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True)
    every = [line.split()[1].partition("@")[0].rstrip(":") for line in devices.stdout.splitlines()]
    every += [line.split()[0] for line in names.stdout.splitlines()]
    return {one for one in every if re.fullmatch(r"[ehsw]\d+(-\d+)?|.*qnet.*", one)}


def folders(process: int) -> list[Path]:
    """Return the folders of a process's runs; other runs on the machine have theirs."""
    found = []
    for folder in cleanup.base().glob(f"{cleanup.PREFIX}*"):
        with contextlib.suppress(OSError):
            if f'"pid": {process},' in (folder / cleanup.STATE).read_text():
                found.append(folder)
    return found


def end_with_all(
    child: subprocess.Popen[Any], number: signal.Signals, inside: Sequence[int]
) -> None:
    """End a command by a signal, and see that all that ran under it ends as well."""
    child.send_signal(number)
    child.wait(20)
    give_up = time.monotonic() + 10
    while any(map(cleanup.start_time, inside)) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not [one for one in inside if cleanup.start_time(one)]


def descendants(process: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process:
            child = int(stat.parent.name)
            found += [child, *descendants(child)]
    return found


def command_of(process: int) -> str:
    """Return the command line of a process."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def end_early(command: Sequence[str], number: signal.Signals, cwd: Path | None = None) -> None:
    """Start a run, and end it when `sleep 60` is under way in a host; nothing of it may be left."""
    before = machine()
    child = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 300  # the first run on a machine compiles
        inside: list[int] = []
        while time.monotonic() < give_up and child.poll() is None:
            inside = descendants(child.pid)
            if any("sleep 60" in command_of(one) for one in inside):
                break
            time.sleep(0.1)
        assert len(inside) > 5, "switches and hosts are running"
        end_with_all(child, number, inside)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if number == signal.SIGKILL:
        assert folders(child.pid)
        assert cleanup.cleanup()
    assert not folders(child.pid)
    assert machine() == before
