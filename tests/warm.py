"""Compile the inner loops, each once, before the tests ask for them: `make test` begins with it.

    python -m tests.warm

What schedules and what simulates is compiled in a process each, side by side; tests that find it
missing compile it themselves, in every process that needs it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from qnet.simulate.run import simulate
from tests.bench.mesh import nouns, random_mesh
from tests.bench.test_bench_ports import PARTS, changed

ROOT = Path(__file__).parents[1]


def schedule_once() -> None:
    """Plan gates and cycles, and reserve and re-route by the library."""
    import_module("tests.unit.test_check_gates")
    import_module("tests.unit.test_check_gated")
    text = (ROOT / "docs" / "scheduler.md").read_text(encoding="utf-8")
    with TemporaryDirectory() as folder, chdir(folder):  # the examples write files
        for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]:
            exec(compile(example, "docs/scheduler.md", "exec"), {})


def simulate_once() -> None:
    """Run a mesh that is planned already, by both of the simulator's servers."""
    mesh = nouns(random_mesh(10, 40, 0.5, seed=1), 10**9)
    for case in (mesh, changed(mesh, "preemption", PARTS["preemption"])):
        for threads in (1, 2):
            simulate(*case, threads=threads)


FAMILIES: dict[str, Callable[[], None]] = {"schedule": schedule_once, "simulate": simulate_once}


def main() -> int:
    if len(sys.argv) > 1:
        FAMILIES[sys.argv[1]]()
        return 0
    started = [subprocess.Popen([sys.executable, "-m", "tests.warm", one]) for one in FAMILIES]
    return max(one.wait() for one in started)


if __name__ == "__main__":
    sys.exit(main())
