"""Mininet's command line on a terminal, as a user has it: `qnet emulate --cli`."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qnet.emulate.process import cleanup
from qnet.emulate.tiers import probe
from tests.asking import COMMAND
from tests.emulate.leftovers import descendants, folders, machine

REASON = probe.missing_tools()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]

PROFILE = Path(__file__).parents[1] / "golden" / "line" / "traffic.yaml"
PROMPT = "mininet> "
PATIENCE_S = 90.0
AGAIN_S = 10.0
"""After so long a user types again: Ctrl-C between a prompt and its reading is heard by nobody."""


class Terminal:
    """A process that has a terminal of its own, and what it wrote there."""

    def __init__(self, child: subprocess.Popen[bytes], end: int) -> None:
        self.child, self.end = child, end
        self.settings = termios.tcgetattr(end)

    def type(self, text: str) -> None:
        os.write(self.end, text.encode())

    def until(self, words: str, again: str = "") -> str:
        """Return what is written up to these words; type something again while nothing comes."""
        written = ""
        give_up = time.monotonic() + PATIENCE_S
        type_at = time.monotonic() + AGAIN_S
        while words not in written:
            if again and not written and time.monotonic() > type_at:
                self.type(again)
                type_at = time.monotonic() + AGAIN_S
            if time.monotonic() > give_up or self.child.poll() is not None:
                pytest.fail(f"no {words!r} after {written[-500:]!r}")
            if not select.select([self.end], [], [], 0.2)[0]:
                continue
            with contextlib.suppress(OSError):  # nobody has the other end any more
                written += os.read(self.end, 4096).decode(errors="replace")
        return written

    def wait(self) -> int:
        """Read on until the process has ended; return its exit code."""
        give_up = time.monotonic() + PATIENCE_S
        while self.child.poll() is None and time.monotonic() < give_up:
            if select.select([self.end], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # nobody has the other end any more
                    os.read(self.end, 4096)
        assert self.child.returncode is not None, "it does not end"
        return self.child.returncode


@contextmanager
def on_a_terminal(home: Path) -> Iterator[Terminal]:
    """Run `qnet emulate --cli`; its user lives in `home`."""
    end, its_end = pty.openpty()
    # It leads a session of its own, whose terminal this is: Ctrl-C goes to all its children.
    child = subprocess.Popen(
        ["setsid", "--ctty", *COMMAND, "emulate", str(PROFILE), "--cli"],
        env={**os.environ, "HOME": str(home), "TERM": "xterm", "NO_COLOR": "1"},
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
    )
    os.close(its_end)
    try:
        yield Terminal(child, end)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        with contextlib.suppress(OSError):  # a test has closed it
            os.close(end)


def is_gone(terminal: Terminal, inside: list[int], before: set[str]) -> bool:
    """Say whether nothing of a run is left, once the kernel has had time to end its namespaces."""
    give_up = time.monotonic() + 10
    while any(map(cleanup.start_time, inside)) and time.monotonic() < give_up:
        time.sleep(0.05)
    return (
        not any(map(cleanup.start_time, inside))
        and not folders(terminal.child.pid)
        and machine() == before
    )


def test_the_command_line_on_a_terminal(tmp_path: Path) -> None:
    before = machine()
    with on_a_terminal(tmp_path) as terminal:
        terminal.until(PROMPT)
        inside = descendants(terminal.child.pid)
        assert len(inside) > 5, "switches and hosts are running"
        terminal.type("nodes\n")
        assert "a b c d" in terminal.until(PROMPT)
        terminal.type("a ping -c 2 -i 0.2 -W 5 d\n")
        assert " 0% packet loss" in terminal.until(PROMPT)
        terminal.type("\x03")
        assert "Interrupt" in terminal.until(PROMPT, "\x03"), "Ctrl-C is the command line's own"
        terminal.type("a ping d\n")
        terminal.until("icmp_seq=2")
        terminal.type("\x03")
        assert re.search(r"\d+ packets transmitted", terminal.until(PROMPT)), "it ends the ping"
        terminal.type("b echo still here\n")
        assert "still here\r" in terminal.until(PROMPT)
        terminal.type("exit\n")
        assert terminal.wait() == 0
        assert termios.tcgetattr(terminal.end) == terminal.settings
    assert is_gone(terminal, inside, before)
    assert not (tmp_path / ".mininet_history").exists()


def test_ctrl_d_leaves(tmp_path: Path) -> None:
    before = machine()
    with on_a_terminal(tmp_path) as terminal:
        terminal.until(PROMPT)
        inside = descendants(terminal.child.pid)
        terminal.type("\x04")
        assert terminal.wait() == 0
        assert termios.tcgetattr(terminal.end) == terminal.settings
    assert is_gone(terminal, inside, before)


def test_ctrl_c_before_the_prompt(tmp_path: Path) -> None:
    before = machine()
    with on_a_terminal(tmp_path) as terminal:
        give_up = time.monotonic() + PATIENCE_S
        while not (inside := descendants(terminal.child.pid)) and time.monotonic() < give_up:
            time.sleep(0.05)
        terminal.type("\x03")
        assert terminal.wait() != 0
        assert termios.tcgetattr(terminal.end) == terminal.settings
    assert is_gone(terminal, inside, before)


def test_a_terminal_that_is_closed_ends_the_run(tmp_path: Path) -> None:
    before = machine()
    with on_a_terminal(tmp_path) as terminal:
        terminal.until(PROMPT)
        inside = descendants(terminal.child.pid)
        os.close(terminal.end)
        assert terminal.child.wait(PATIENCE_S) != 0
    assert is_gone(terminal, inside, before)
