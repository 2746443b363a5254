"""What this machine can do for qnet."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from qnet.emulate.probe import TierReport, lockstep, mininet, noise_floor

PACKAGES = (
    "click",
    "highspy",
    "jinja2",
    "numba",
    "numpy",
    "pydantic",
    "pyyaml",
    "rich",
)
MEMORY_BYTES_WANTED = 4 * 2**30


class Finding(NamedTuple):
    """One thing looked at. `needed`: without it the main job does not run."""

    what: str
    good: bool
    needed: bool
    detail: str


def examine() -> list[Finding]:
    """Look at the machine: starts a private switch for a moment, listens for noise, cleans up."""
    return [
        Finding(
            "python",
            sys.version_info >= (3, 11),
            True,
            f"{platform.python_version()}, 3.11 or newer wanted",
        ),
        *(_package(name) for name in PACKAGES),
        Finding("cores", True, False, f"{len(os.sched_getaffinity(0))} usable"),
        _memory(),
        _kernel_cache(),
        _noise(),
        _tier(lockstep()),
        _tier(mininet()),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, True, f"not installed; pip install {name}")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    enough = total >= MEMORY_BYTES_WANTED
    detail = f"{total / 2**30:.1f} GiB"
    return Finding(
        "memory", enough, False, detail if enough else f"{detail}; 'qnet run qingyang' wants 4 GiB"
    )


def _kernel_cache() -> Finding:
    """Say whether compiled kernels can be kept: without it, each run compiles for half a minute."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parents[1])
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return Finding("kernel cache", True, False, str(folder))
    except OSError as error:
        return Finding(
            "kernel cache",
            False,
            False,
            f"{folder} cannot be written ({error.strerror}): set NUMBA_CACHE_DIR to a folder of "
            "yours, or every run compiles anew",
        )


def _tier(report: TierReport) -> Finding:
    return Finding(f"emulate {report.name}", report.good, False, report.detail)


def _noise() -> Finding:
    """Say how quiet the machine is; the emulator's virtual time does not depend on it."""
    floor = noise_floor()
    detail = f"a busy loop is held up by {floor.p99_ns / 1000:.1f} us in a hundredth of its steps, "
    detail += f"by {floor.most_ns / 1000:,.0f} us at most"
    return Finding("noise floor", True, False, detail)
