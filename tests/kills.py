"""Kill commands at random moments and look whether what they leave is whole.

    python -m tests.kills 200     # so many kills of each: run --out, simulate --checkpoint, plan -o

A command that is killed leaves what was there before or what it was to leave, and no mixture. Half
of the kills come just after something is first written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

QNET = [sys.executable, "-c", "from qnet.cli import main; main()"]

PROFILE = """\
title: Two streams
topology: net
parameters: {seed: 1}
streams: [{name: s, from: a, to: b, interval: 100us, max-payload-size: 100B, count: 4}]
demands: [{name: d, from: a, to: b, rate: 10Mbps}]
simulation: {duration: 2ms}
"""
NET = """\
title: Two switches
nodes: [{name: a}, {name: b}]
links: [{between: [a, b], rate: 1Gbps, length: 1km}]
"""


class Kind(NamedTuple):
    """A command whose result is looked at, with the options that make two different results."""

    words: list[str]
    variants: tuple[list[str], list[str]]
    target: str
    whole: Callable[[Path, Path], str]
    """Tell one whole result from another; raises AssertionError when it is none."""


def _bytes(target: Path, _: Path) -> str:
    return hashlib.sha256(target.read_bytes()).hexdigest()


def _folder(target: Path, _: Path) -> str:
    names = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    texts = [(name, (target / name).read_bytes()) for name in names]
    assert (target / "mine.txt").read_text() == "mine"
    return hashlib.sha256(repr(texts).encode()).hexdigest()


def _resumes(target: Path, folder: Path) -> str:
    """Go on from a checkpoint: any is whole from which the run comes to its only end."""
    copy = folder / "copy"
    shutil.copy(target, copy)
    words = ["simulate", "t.yaml", *CHECKPOINT, str(copy), "--resume", "--json"]
    done = subprocess.run([*QNET, *words], cwd=folder, capture_output=True, check=False)
    assert done.returncode in (0, 1, 4), done.stderr
    assert done.stderr == b""
    return hashlib.sha256(done.stdout).hexdigest()


CHECKPOINT = ["--duration", "40ms", "--every", "1ms", "--threads", "1", "--checkpoint"]

KINDS = {
    "run --out": Kind(
        ["run", "t.yaml", "--threads", "1", "--out", "out"],
        (["--seed", "1"], ["--seed", "2", "--measure"]),
        "out",
        _folder,
    ),
    "plan -o": Kind(
        ["plan", "t.yaml", "-o", "plan.json"], (["--seed", "1"], ["--set", "seed=2"]),
        "plan.json", _bytes,
    ),
    "simulate --checkpoint": Kind(
        ["simulate", "t.yaml", *CHECKPOINT, "kept"], ([], []), "kept", _resumes
    ),
}  # fmt: skip


def moment(process: subprocess.Popen[bytes], folder: Path, draws: Iterator[int]) -> None:
    """Wait until a random moment: anywhere in the command, or just after it begins to write."""
    near = next(draws) % 2 == 0
    if near:
        before = {path.name for path in folder.iterdir()}
        while process.poll() is None and {path.name for path in folder.iterdir()} <= before:
            time.sleep(0.0002)
        wait_s = (next(draws) % 1000) / 1000 * (0.02, 0.2, 0.8)[next(draws) % 3]
    else:
        wait_s = (next(draws) % 1000) / 1000 * 1.2
    time.sleep(wait_s)


def kill(kind: Kind, times: int, seed: int = 1) -> dict[str, int]:
    """Kill a command so often; return what was found, counted."""
    draws = iter(np.random.PCG64(seed).random_raw(4 * times).tolist())
    found = {"old": 0, "new": 0, "leftovers": 0, "came to its end": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "t.yaml").write_text(PROFILE)
        (folder / "net.yaml").write_text(NET)
        target = folder / kind.target
        if target.suffix == "" and kind.target == "out":
            target.mkdir()
            (target / "mine.txt").write_text("mine")
        results = []
        for variant in kind.variants:
            _end([*kind.words, *variant], folder)
            results.append(kind.whole(target, folder))
        turn = 1
        for _ in range(times):
            process = subprocess.Popen(
                [*QNET, *kind.words, *kind.variants[1 - turn]],
                cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            moment(process, folder, draws)
            process.kill()
            process.wait()
            found["came to its end"] += process.returncode != -signal.SIGKILL
            found["leftovers"] += any(path.name.startswith(".") for path in folder.iterdir())
            now = kind.whole(target, folder)
            assert now in results, f"neither the old result nor the new one: {sorted(results)}"
            found["old" if now == results[turn] else "new"] += 1
            turn = results.index(now)
        _end([*kind.words, *kind.variants[0]], folder)
        left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
        assert left == [], "the next that comes to its end takes leftovers away"
    return found


def _end(words: list[str], folder: Path) -> None:
    done = subprocess.run([*QNET, *words], cwd=folder, capture_output=True, check=False)
    assert done.returncode in (0, 1, 4), done.stderr


if __name__ == "__main__":
    for what in sys.argv[2:] or KINDS:
        one = KINDS[what]
        sys.stdout.write(f"{what}: {json.dumps(kill(one, int(sys.argv[1])))}\n")
        sys.stdout.flush()
