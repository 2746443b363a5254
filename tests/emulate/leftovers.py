"""What runs of tier mininet may not leave: devices, namespaces, processes, folders."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path

from qnet.emulate import cleanup


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
