"""Break a testbed on purpose: end or stop one process of a running command, at any moment.

    python -m tests.emulate.breaking --rounds 10 [--load 4] [--quiet] [-- COMMAND...]

runs `qnet run qingyang --emulate mininet --sample 12`, or another command, so many times beside a
load, undisturbed (`--quiet`) or with one process killed or stopped. It prints a line for each run
and ends with 1 when one of them ended in a verdict that the testbed is to blame for.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from qnet.emulate.process import cleanup
from tests.emulate.leftovers import command_of, descendants, folders, machine

QNET = str(Path(sys.executable).with_name("qnet"))
WHOLE = ("run", "qingyang", "--emulate", "mininet", "--sample", "12")


class Victim(NamedTuple):
    """A process of the testbed: how its command line is known, and what the reason has to name."""

    pattern: str
    named: str


VICTIMS = {
    "switch": Victim(r"(^|/)ovs-vswitchd ", "ovs-vswitchd"),
    "database": Victim(r"(^|/)ovsdb-server ", "ovsdb-server"),
    "controller": Victim(r"run\.py reservation ", "the controller"),
    "emulator": Victim(
        r"^\S*python\S* -m qnet\.emulate\.tiers\.mininet_child ", "the process that holds"
    ),
    "host": Victim(r"mininet:", "the host "),
}
SIGNALS = (signal.SIGKILL, signal.SIGSTOP)
DONE = {signal.SIGKILL: "ended (signal 9)", signal.SIGSTOP: "is stopped (SIGSTOP)"}


class Broken(NamedTuple):
    """How a command ended: its exit code, how long after the process was broken, what it said."""

    code: int
    seconds: float | None
    """None where it ended first."""
    said: str


def find(process: int, victim: Victim) -> int | None:
    """Return the last process under a command that is such a one."""
    found = [one for one in descendants(process) if re.search(victim.pattern, command_of(one))]
    return found[-1] if found else None


def break_one(
    command: Sequence[str], victim: Victim, number: signal.Signals, moment: str | float
) -> Broken:
    """Run a command and send a signal to one of its processes, at a word of it or after seconds."""
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    begun, broken_at = time.monotonic(), 0.0
    said = b""
    try:
        while child.poll() is None:
            said += child.stdout.read() or b""
            due = (
                moment.encode() in said
                if isinstance(moment, str)
                else time.monotonic() - begun > moment
            )
            if due and not broken_at and (process := find(child.pid, victim)) is not None:
                os.kill(process, number)
                broken_at = time.monotonic()
            time.sleep(0.02)
        ended = time.monotonic()
        said += child.stdout.read() or b""
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        child.stdout.close()
    assert not folders(child.pid), "a folder is left"
    return Broken(child.returncode, ended - broken_at if broken_at else None, said.decode())


def draw(seed: int, what: str, among: int) -> int:
    """Return a number below `among` that is the same everywhere."""
    digest = hashlib.sha256(f"{seed} {what}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % among


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep the machine busy with so many loops."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()


def _round(command: Sequence[str], seed: int, longest_s: float, quiet: bool) -> bool:
    if quiet:
        begun = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        good = done.returncode == 0 or (done.returncode == 4 and "emulated: not known:" in said)
        _say(f"exit {done.returncode} in {time.monotonic() - begun:.0f} s: {_reason(said)}")
        return good
    names = sorted(VICTIMS)
    name = names[draw(seed, "victim", len(names))]
    number = SIGNALS[draw(seed, "signal", len(SIGNALS))]
    moment = draw(seed, "moment", 1000) / 1000 * longest_s
    found = break_one(command, VICTIMS[name], number, moment)
    late = found.seconds is None
    good = found.code == 0 if late else found.code in (3, 4)
    good = good and (late or VICTIMS[name].named in found.said)
    after = "it was over" if late else f"{found.seconds:.1f} s later"
    ended = f"exit {found.code}, {after}: {_reason(found.said)}"
    _say(f"{name} {number.name} at {moment:.1f} s: {ended}")
    return good


def _say(words: str) -> None:
    sys.stdout.write(f"load {os.getloadavg()[0]:.1f}: {words}\n")
    sys.stdout.flush()


def _reason(said: str) -> str:
    words = [line for line in said.splitlines() if re.search(r"judged|not known|^PASS|^FAIL", line)]
    return words[0].strip() if words else said.strip()[-200:]


def main() -> None:
    """Run the rounds that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--load", type=int, default=4, help="busy loops beside the run")
    parser.add_argument("--longest", type=float, default=60.0, help="moments are before that")
    parser.add_argument("--quiet", action="store_true", help="break nothing")
    parser.add_argument("command", nargs="*", default=[QNET, *WHOLE])
    asked = parser.parse_args()
    before = machine()
    with load(asked.load):
        good = [
            _round(asked.command, asked.seed * 1000 + place, asked.longest, asked.quiet)
            for place in range(asked.rounds)
        ]
    left = [str(one) for one in (*cleanup.leftovers(), *(machine() - before))]
    _say(f"{sum(good)} of {len(good)} as they should be; left behind: {left or 'nothing'}")
    sys.exit(0 if all(good) and not left else 1)


if __name__ == "__main__":
    main()
