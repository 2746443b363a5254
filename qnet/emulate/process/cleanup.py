"""What a run leaves on the machine while it lasts, and how to remove it when the run was killed.

Each run has a folder of its own. Its `state.json` says which process the run belongs to, by number
and start time, so that a number that was given to another process since is not mistaken for it.
All else of a run (namespaces, devices, switches, hosts) lives in namespaces that the kernel ends
with the run's first process, which in turn ends with the process that started the run.
What needs no namespaces (tier `lockstep`) has folders with the process's number in their names.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

PREFIX = "qnet-run-"
STATE = "state.json"

PATIENCE_S = 5.0


class Leftover(NamedTuple):
    """A folder of a run whose process is gone, and its processes that are still there."""

    folder: Path
    processes: tuple[int, ...]


def base() -> Path:
    """Return the folder that runs make theirs in: /run for root, else the temporary one."""
    return Path("/run") if os.geteuid() == 0 else Path(tempfile.gettempdir())


def start_time(process: int) -> int | None:
    """Return when a process started, in clock ticks since boot, or None when there is none."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def new_run() -> Path:
    """Make the folder of a new run of this process."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base()))
    note(folder, os.getpid(), "owner")
    return folder


def private_prefix() -> str:
    """Return how the names of this process's temporary folders begin."""
    return f"qnet-{os.getpid()}-"


def note(folder: Path, process: int, role: str) -> None:
    """Write down a process of a run."""
    path = folder / STATE
    known = json.loads(path.read_text()) if path.exists() else []
    known.append({"role": role, "pid": process, "start": start_time(process)})
    new = path.with_suffix(".new")
    new.write_text(json.dumps(known))
    new.replace(path)


def leftovers() -> list[Leftover]:
    """Find the runs of this user whose owner is gone."""
    found = []
    for folder in sorted(base().glob(f"{PREFIX}*")):
        if not folder.is_dir() or folder.stat().st_uid != os.geteuid():
            continue
        try:
            known = json.loads((folder / STATE).read_text())
        except (OSError, ValueError):
            known = []
        alive = [one for one in known if start_time(one["pid"]) == one["start"] is not None]
        if not any(one["role"] == "owner" for one in alive):
            found.append(Leftover(folder, tuple(one["pid"] for one in alive)))
    return [*found, *(Leftover(folder, ()) for folder in _private_leftovers())]


def _private_leftovers() -> list[Path]:
    """Find the temporary folders of this user whose process is gone.

    A process that started after the folder was last changed has only inherited the number.
    """
    found = []
    boot_s = next(
        int(line.split()[1])
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime ")
    )
    for folder in sorted(Path(tempfile.gettempdir()).glob("qnet-*")):
        named = re.fullmatch(r"qnet-(\d+)-.*", folder.name)
        if named is None or not folder.is_dir() or folder.is_symlink():
            continue
        stat = folder.stat()
        ticks = start_time(int(named[1]))
        begun_s = None if ticks is None else boot_s + ticks / os.sysconf("SC_CLK_TCK")
        if stat.st_uid == os.geteuid() and (begun_s is None or begun_s > stat.st_mtime + 2):
            found.append(folder)
    return found


def cleanup() -> list[str]:
    """Remove what killed runs have left; return what was done, one sentence for each run."""
    told = []
    for leftover in leftovers():
        for process in leftover.processes:
            end(process)
        shutil.rmtree(leftover.folder, ignore_errors=True)
        ended = f", ended {len(leftover.processes)} processes" if leftover.processes else ""
        told.append(f"removed {leftover.folder}{ended}")
    return told


def end(process: int) -> None:
    """Kill one process and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    give_up = time.monotonic() + PATIENCE_S
    while start_time(process) is not None and time.monotonic() < give_up:
        time.sleep(0.01)
