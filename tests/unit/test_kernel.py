"""What is compiled and kept on disk is compiled anew when anything that it is made of changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NUMBERS = "ANSWER = {answer}\n"
INNER = """
from qnet.kernel import kernel

@kernel
def twice(x):
    return {factor} * x
"""
OUTER = """
from qnet.kernel import kernel
from qnet_try.inner import twice
from qnet_try.numbers import ANSWER

@kernel
def ask(x):
    return twice(x) + ANSWER
"""
ASK = "from qnet_try.outer import ask; print(ask(1))"


@pytest.mark.parametrize("changed", ["inner", "numbers"])
def test_a_change_of_what_a_kernel_imports_is_seen(changed: str, tmp_path: Path) -> None:
    package = tmp_path / "qnet_try"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "outer.py").write_text(OUTER)

    def answer(factor: int, number: int) -> int:
        (package / "inner.py").write_text(INNER.format(factor=factor))
        (package / "numbers.py").write_text(NUMBERS.format(answer=number))
        command = [sys.executable, "-B", "-c", ASK]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert answer(2, 40) == 42
    assert list(package.glob("**/*.nbi")), "it is kept"
    assert answer(2, 40) == 42
    if changed == "inner":
        assert answer(3, 40) == 43
    else:
        assert answer(2, 41) == 43
