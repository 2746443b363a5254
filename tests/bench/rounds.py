"""The controller of docs/controllers.md written test-first: what each round says, and how long.

    python -m tests.bench.rounds [--busy]

Each round edits a file and runs pytest. With --busy every core has a process beside it that does
nothing but count. pytest has no plugin but qnet's, as in a project of one's own. In brackets is
the time of processors that a round took. docs/test-first.md has the log of a run.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "controllers.md"
NETWORK, CONTROLLER, TESTS = "line.yaml", "my_controller.py", "test_my_controller.py"

REACH = """
import pytest

pytestmark = pytest.mark.qnet(topology="line.yaml", app="my_controller", scope="module")


def test_hosts_reach_each_other(qnet_testbed):
    assert qnet_testbed.reaches("a", "d")
"""
ALONE = """

def test_nobody_else_gets_their_frames(qnet_testbed):
    assert qnet_testbed.ping("a", "d").others == ()
"""
GUEST = """

def test_a_guest_is_isolated(qnet_testbed):
    assert qnet_testbed.isolated("guest", "a")
"""


class Round(NamedTuple):
    """One edit, and whether tests are green after it."""

    edit: str
    file: str
    text: str
    green: bool
    shows: str
    """What of the output leads to the next edit."""


def blocks() -> dict[str, str]:
    """Return the files of the project in docs/controllers.md."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^```\w+\n# ([\w.]+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return dict(found)


def rounds(final: str) -> list[Round]:
    """Return the way to the controller of the page, whose text is given."""
    asks = final.index("    @set_ev_cls(EventOFPSwitchFeatures")
    guest, last = (
        final.index("        if switch.id == GUEST"),
        final.index("    @set_ev_cls(EventOFPP"),
    )
    nothing = final[:asks].rstrip() + "\n"
    asking = final[:guest].rstrip() + "\n"
    learning = f"{asking}\n{final[last:]}"
    known = "self.port_of.get((switch.id, data[:6]), of.OFPP_FLOOD)"
    assert known in learning
    flooding = learning.replace(known, "of.OFPP_FLOOD")
    typo = learning.replace("port = self.port_of.get", "port = self.port_off.get")
    return [
        Round("a first test, no controller", TESTS, REACH, False, r"No module named.*"),
        Round("an app that does nothing", CONTROLLER, nothing, False, r"  ends: .*"),
        Round("switches ask the controller", CONTROLLER, asking, False, r"  (?:asked|ends): .*"),
        Round("it floods", CONTROLLER, flooding, True, ""),
        Round("a second test", TESTS, REACH + ALONE, False, r"AssertionError: assert.*"),
        Round("it learns, with a slip", CONTROLLER, typo, False, r"AttributeError.*"),
        Round("the slip is mended", CONTROLLER, learning, True, ""),
        Round(
            "a third test",
            TESTS,
            REACH + ALONE + GUEST,
            False,
            r"AssertionError: assert Isolation.*",
        ),
        Round("guests' frames are dropped", CONTROLLER, final, True, ""),
    ]


@contextmanager
def busy(cores: int) -> Iterator[None]:
    """Keep so many cores busy."""
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(cores)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def processor_s() -> float:
    """Return what all children that have ended took of processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def play(folder: Path) -> None:
    """Play all rounds in a folder and print the log."""
    files = blocks()
    (folder / NETWORK).write_text(files[NETWORK])
    for number, one in enumerate(rounds(files[CONTROLLER]), 1):
        (folder / one.file).write_text(one.text)
        begun, used = time.monotonic(), processor_s()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "qnet.pytest_plugin"],
            cwd=folder,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        took, used = time.monotonic() - begun, processor_s() - used
        colour = "green" if done.returncode == 0 else "red"
        last = done.stdout.strip().splitlines()[-1]
        sys.stdout.write(
            f"{number}  {took:4.1f} s ({used:.1f} s)  {colour:5}  {one.edit}: {last}\n"
        )
        if one.shows and (found := re.search(one.shows, done.stdout)):
            sys.stdout.write(f"   {found[0].strip()[:140]}\n")
        if (colour == "green") != one.green or (one.shows and not found):
            sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    cores = (os.cpu_count() or 1) if "--busy" in sys.argv else 0
    with busy(cores), tempfile.TemporaryDirectory() as made:
        play(Path(made))
