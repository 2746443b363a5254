"""Compile the inner loops, each once, before the tests ask for them: `make test` begins with it.

    python -m tests.warm

Each family is compiled in a process of its own, so many at a time as there are cores; tests that
find one missing compile it themselves, in every process that needs it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from qnet.emulate.frames.ports import RealFrames, VirtualPorts
from qnet.emulate.wires.records import EmulatorOptions
from qnet.emulate.wires.run import Emulator
from qnet.schedule import schedule
from qnet.schedule.repair.search import Search
from qnet.simulate.run import simulate
from qnet.simulate.tracing import Recorder
from tests.asking import ask
from tests.bench.hard import crowded
from tests.bench.mesh import nouns, random_mesh
from tests.bench.test_bench_ports import PARTS, changed
from tests.emulate.networks import GOLDEN, every_part

ROOT = Path(__file__).parents[1]


def schedule_once() -> None:
    """Plan gates and cycles, and reserve, re-route and search by the library."""
    import_module("tests.unit.test_check_gates")
    import_module("tests.unit.test_check_gated")
    text = (ROOT / "docs" / "scheduler.md").read_text(encoding="utf-8")
    with TemporaryDirectory() as folder, chdir(folder):  # the examples write files
        for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]:
            exec(compile(example, "docs/scheduler.md", "exec"), {})
    full = crowded(nodes=6, streams=600, seed=3, mechanism="csqf")
    search = Search(5, lambda done: done < 3)
    schedule(*full, topology_sha256="", traffic_sha256="", search=search)


def simulate_once() -> None:
    """Run meshes that are planned already by all of the simulator's servers, traced and not.

    Ports of the busy one are served in windows, those of the quiet one when something is due.
    """
    for streams, load, threads in ((40, 0.5, 2), (4, 0.001, 1)):
        mesh = nouns(random_mesh(10, streams, load, seed=1), 10**9)
        for case in (mesh, changed(mesh, "preemption", PARTS["preemption"])):
            simulate(*case, threads=threads)
            simulate(*case, threads=threads, recorder=Recorder(10))


def emulate_once() -> None:
    """Lay out both tiers around plain ports and around general ones; no switch is needed."""
    with TemporaryDirectory() as folder:
        answers = ask(GOLDEN / "line" / "traffic.yaml"), every_part(Path(folder))
    for answer in answers:
        case = answer.scenario.topology, answer.scenario.profile, answer.plan
        Emulator(*case, (), (), EmulatorOptions(dilation=1)).warm()
        ports = VirtualPorts(*case, want=[RealFrames(0)])
        while not ports.done:
            ports.serve_window()


FAMILIES: dict[str, Callable[[], None]] = {
    "simulate": simulate_once,
    "schedule": schedule_once,
    "emulate": emulate_once,
}


def main() -> int:
    if len(sys.argv) > 1:
        FAMILIES[sys.argv[1]]()
        return 0

    def started(family: str) -> int:
        return subprocess.run([sys.executable, "-m", "tests.warm", family], check=False).returncode

    with ThreadPoolExecutor(os.cpu_count()) as cores:
        return max(cores.map(started, FAMILIES))


if __name__ == "__main__":
    sys.exit(main())
