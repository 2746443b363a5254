"""What is compiled and kept on disk is compiled anew when anything that it is made of changes."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
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


def ask(folder: Path, kept: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-c", ASK]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(kept or folder / "kept")}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize("changed", ["inner", "numbers"])
def test_a_change_of_what_a_kernel_imports_is_seen(changed: str, tmp_path: Path) -> None:
    package = tmp_path / "qnet_try"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "outer.py").write_text(OUTER)

    def answer(factor: int, number: int) -> int:
        (package / "inner.py").write_text(INNER.format(factor=factor))
        (package / "numbers.py").write_text(NUMBERS.format(answer=number))
        done = ask(tmp_path)
        return int(done.stdout)

    assert answer(2, 40) == 42
    assert list(tmp_path.glob("kept/**/*.nbi")), "it is kept"
    assert answer(2, 40) == 42
    if changed == "inner":
        assert answer(3, 40) == 43
    else:
        assert answer(2, 41) == 43


def flip(raw: bytes, place: int) -> bytes:
    place %= len(raw)
    return raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "cut": lambda raw: raw[: len(raw) // 2],
    "one byte": lambda raw: raw[:1],
    "longer": lambda raw: raw + b"x",
    "bit at the start": lambda raw: flip(raw, 40),
    "bit in the middle": lambda raw: flip(raw, len(raw) // 2),
    "bit at the end": lambda raw: flip(raw, -3),
    "of numba itself": lambda raw: pickle.dumps("0.60") + pickle.dumps(("stamp", {})),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kernels")
    package = folder / "qnet_try"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "outer.py").write_text(OUTER)
    (package / "inner.py").write_text(INNER.format(factor=2))
    (package / "numbers.py").write_text(NUMBERS.format(answer=40))
    assert ask(folder).stdout == "42\n"
    return folder


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("how", DAMAGE)
def test_what_is_damaged_is_compiled_anew_and_replaced(
    how: str, ending: str, compiled: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(compiled / "kept", kept)
    files = sorted(kept.glob(f"**/*.{ending}"))
    assert files
    damaged = {}
    for path in files:
        damaged[path] = DAMAGE[how](path.read_bytes())
        path.write_bytes(damaged[path])
    run = ask(compiled, kept)
    assert (run.returncode, run.stdout, run.stderr) == (0, "42\n", "")
    replaced = [path for path, raw in damaged.items() if path.read_bytes() != raw]
    assert any("ask" in path.name for path in replaced)


def test_code_of_another_source_is_not_run(compiled: Path, tmp_path: Path) -> None:
    """Killed between the index and the code, a process leaves the code of an earlier source."""
    kept = tmp_path / "kept"
    shutil.copytree(compiled / "kept", kept)
    code = {path: path.read_bytes() for path in kept.glob("**/*.nbc")}
    numbers = compiled / "qnet_try" / "numbers.py"
    try:
        numbers.write_text(NUMBERS.format(answer=41))
        assert ask(compiled, kept).stdout == "43\n"
        for path, raw in code.items():
            path.write_bytes(raw)
        assert ask(compiled, kept).stdout == "43\n"
    finally:
        numbers.write_text(NUMBERS.format(answer=40))


def test_without_room_for_code_the_run_goes_on_and_says_so_once(
    compiled: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    command = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); {ASK}"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(kept)}
    run = subprocess.run(
        [sys.executable, "-B", "-c", command],
        cwd=compiled, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "42\n")
    assert run.stderr.count("compiled code cannot be kept") == 1
    assert "file too large" in run.stderr


def test_without_a_folder_for_code_the_run_goes_on_and_says_so_once(
    compiled: Path, tmp_path: Path
) -> None:
    """Neither where it is asked for, nor beside the source, nor in the user's folder."""
    nowhere = tmp_path / "kept"
    nowhere.touch()
    shutil.copytree(compiled / "qnet_try", tmp_path / "qnet_try")
    (tmp_path / "qnet_try" / "__pycache__").touch()
    places = dict.fromkeys(("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME"), str(nowhere))
    run = subprocess.run(
        [sys.executable, "-B", "-c", ASK],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, **places},
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "42\n")
    assert run.stderr.count("compiled code cannot be kept") == 1
