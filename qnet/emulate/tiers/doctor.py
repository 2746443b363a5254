"""What this machine can do for qnet."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from qnet.emulate.tiers.probe import TierReport, lockstep, mininet, noise_floor

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


class MachineFinding(NamedTuple):
    """One thing looked at. `needed`: without it the main job does not run.

    `apt` and `pip` are packages that would help.
    """

    what: str
    good: bool
    needed: bool
    detail: str
    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


def examine() -> list[MachineFinding]:
    """Look at the machine: starts a private switch for a moment, listens for noise, cleans up."""
    return [
        MachineFinding(
            "python",
            sys.version_info >= (3, 11),
            True,
            f"{platform.python_version()}, 3.11 or newer wanted",
        ),
        *(_package(name) for name in PACKAGES),
        MachineFinding("cores", True, False, f"{len(os.sched_getaffinity(0))} usable"),
        _memory(),
        _kernel_cache(),
        _noise(),
        _tier(lockstep()),
        _tier(mininet()),
    ]


def _package(name: str) -> MachineFinding:
    try:
        return MachineFinding(name, True, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return MachineFinding(name, False, True, "not installed", pip=(name,))


def _memory() -> MachineFinding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    enough = total >= MEMORY_BYTES_WANTED
    detail = f"{total / 2**30:.1f} GiB"
    return MachineFinding(
        "memory", enough, False, detail if enough else f"{detail}; 'qnet run qingyang' wants 4 GiB"
    )


def _kernel_cache() -> MachineFinding:
    """Say whether compiled kernels can be kept: without it, each run compiles for half a minute."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parents[2])
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return MachineFinding("kernel cache", True, False, str(folder))
    except OSError as error:
        return MachineFinding(
            "kernel cache",
            False,
            False,
            f"{folder} cannot be written ({error.strerror}): set NUMBA_CACHE_DIR to a folder of "
            "yours, or every run compiles anew",
        )


def _tier(report: TierReport) -> MachineFinding:
    name = f"emulate {report.name}"
    return MachineFinding(name, report.good, False, report.detail, report.apt, report.pip)


def _noise() -> MachineFinding:
    """Say how quiet the machine is."""
    floor = noise_floor()
    detail = (
        f"a busy loop is held up by {floor.p99_ns / 1000:.1f} us and more in a hundredth of its "
        f"steps, by {floor.most_ns / 1000:,.0f} us at most; latencies in reports are virtual and "
        "free of it, a noisy machine only makes tier mininet slower"
    )
    return MachineFinding("noise floor", True, False, detail)


def advice(findings: Sequence[MachineFinding]) -> list[str]:
    """Sum up what runs here, what does not, and the commands that would change it."""
    whole = all(finding.good for finding in findings if finding.needed)
    tiers = [finding for finding in findings if finding.what.startswith("emulate ")]
    runs = ["plan, prove and simulate"] if whole else []
    runs += [tier.what for tier in tiers if tier.good and whole]
    fails = [] if whole else ["plan, prove and simulate"]
    fails += [tier.what for tier in tiers if not (tier.good and whole)]
    lines = [f"runs here: {', '.join(runs) or 'nothing'}"]
    if fails:
        lines.append(f"does not: {', '.join(fails)}")
    apt = dict.fromkeys(package for finding in findings for package in finding.apt)
    pip = dict.fromkeys(package for finding in findings for package in finding.pip)
    if apt:
        sudo = "" if os.geteuid() == 0 else "sudo "
        command = f"{sudo}apt-get install {' '.join(apt)}"
        other = "" if shutil.which("apt-get") else "   (Debian's names; there is no apt-get here)"
        lines.append(f"to install: {command}{other}")
    if pip:
        names = " ".join(f"'{name}'" if "[" in name else name for name in pip)
        lines.append(f"to install: {sys.executable} -m pip install {names}")
    return lines
