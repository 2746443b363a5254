"""What both READMEs tell people to type is the same, and works as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from qnet.files.read import read_topology

ROOT = Path(__file__).parents[2]
QNET = Path(sys.executable).with_name("qnet")
READMES = ("README.md", "README.zh-CN.md")
LONG = {"run", "simulate", "explain", "emulate", "diff"}
"""Verbs that other tests run; here their options are read, and no more."""

ENDS = {"sweep": 1, "--fail": 1, "check": 4}
"""Not all fits when a cable is cut; what needs a run is not known without one."""

STANDS_FOR = {"TASK.csv": "001_task.csv", "TOPO.csv": "001_topo.csv"}


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[str]:
    lines = (line for block in blocks(name, "console") for line in block.splitlines())
    return [re.sub(r"\s+#\s.*", "", line.removeprefix("$ ")).strip() for line in lines]


def test_both_readmes_have_the_same_commands_and_documents() -> None:
    first, second = (commands(name) for name in READMES)
    assert first == second
    assert len(first) > 10
    for name in READMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / target).exists(), f"{name} leads to {target}, which is not there"


@pytest.mark.parametrize("name", READMES)
def test_the_example_of_a_file_is_one(name: str, tmp_path: Path) -> None:
    (example,) = (block for block in blocks(name, "yaml"))
    path = tmp_path / "net.yaml"
    path.write_text(example, encoding="utf-8")
    assert len(read_topology(str(path)).nodes) == len(yaml.safe_load(example)["nodes"])


def test_commands_work_in_their_order(tmp_path: Path) -> None:
    for folder in ("topologies", "traffic"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for name, path in STANDS_FOR.items():
        (tmp_path / name).symlink_to(ROOT / "tests/data/tsn" / path)
    for command in commands(READMES[0]):
        for part in command.split(" && "):
            words = [str(one) for word in shlex.split(part) for one in _expanded(word, tmp_path)]
            if words[0] != "qnet":
                continue
            if words[1] in LONG:
                words.append("--help")
            run = subprocess.run(
                [str(QNET), *words[1:]],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )
            wanted = next((code for what, code in ENDS.items() if what in words), 0)
            assert run.returncode == wanted, f"{part}: {run.stdout}{run.stderr}"


def _expanded(word: str, folder: Path) -> list[str]:
    if "*" in word:
        return [str(path.relative_to(folder)) for path in sorted(folder.glob(word))]
    return [word]
