"""docs/cookbook.md: its twenty tests pass, in a folder that has its blocks as files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch

PAGE = Path(__file__).parents[2] / "docs" / "cookbook.md"
LACKING = missing_switch() or missing_controller()
RECIPES = 20


def write_files(text: str, folder: Path) -> None:
    """Write the blocks of a page that begin with the name of a file, each behind the last."""
    blocks = re.findall(r"^```\w+\n# ([\w.]+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for name, block in blocks:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(f"\n\n{block}" if file.tell() else block)


@pytest.mark.xdist_group("mininet")
@pytest.mark.skipif(bool(LACKING), reason=str(LACKING))
def test_all_recipes_pass_as_printed(tmp_path: Path) -> None:
    write_files(PAGE.read_text(encoding="utf-8"), tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{RECIPES} passed" in done.stdout, done.stdout


def test_recipes_are_numbered_and_each_has_one_test() -> None:
    text = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^\*\*(\d+)\. ", text, flags=re.MULTILINE)
    assert [int(one) for one in parts[1::2]] == list(range(1, RECIPES + 1))
    assert [len(re.findall(r"^def test_", one, re.MULTILINE)) for one in parts[2::2]] == (
        [1] * RECIPES
    )
