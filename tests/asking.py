"""Ask qnet as users do: by its Python, or by the command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import qnet
from qnet import Result, Scenario
from qnet.model.plan import Plan

Answer = Result

NO_SETTINGS: Mapping[str, object] = MappingProxyType({})

COMMAND = (sys.executable, "-c", "from qnet.cli import main; main()")


def ask(
    profile: str | Path,
    *,
    topology: str | Path | None = None,
    duration: str | None = None,
    threads: int | None = None,
    settings: Mapping[str, object] = NO_SETTINGS,
) -> Answer:
    case = qnet.load(profile, topology=topology, settings=settings)
    return qnet.run(case, duration=duration, threads=threads)


def judged(scenario: Scenario, plan: Plan, threads: int | None = None) -> Answer:
    return qnet.run(scenario, plan=plan, threads=threads)


def command(
    *arguments: str | Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command `qnet` in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
