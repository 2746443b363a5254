"""`qnet new controller-project`: a red test at first, a green one after what the README says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch
from tests.asking import command

LACKING = missing_switch() or missing_controller()
ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "my-controller"
    done = command("new", "controller-project", folder)
    assert done.returncode == 0, done.stderr
    return folder


def run_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.xdist_group("mininet")
@pytest.mark.skipif(bool(LACKING), reason=str(LACKING))
def test_it_is_red_until_the_gap_is_filled(project: Path) -> None:
    readme = (project / "README.md").read_text()
    red = run_tests(project)
    assert "1 failed, 2 passed" in red.stdout, red.stdout + red.stderr
    (shown,) = re.findall(r"^```\n( +def .*?)```", readme, re.DOTALL | re.MULTILINE)
    assert all(line in red.stdout for line in shown.splitlines()), "as the README shows it"
    gap, filling = re.findall(r"^```python\n(.*?)```", readme, re.DOTALL | re.MULTILINE)
    code = project / "controller.py"
    assert code.read_text().count(gap) == 1
    code.write_text(code.read_text().replace(gap, filling))
    green = run_tests(project)
    assert "3 passed" in green.stdout, green.stdout + green.stderr


def test_its_files_are_whole_and_have_its_name(project: Path) -> None:
    inside = {str(one.relative_to(project)) for one in project.rglob("*") if one.is_file()}
    listed = set(re.findall(r"^\| `(.*?)` \|", (project / "README.md").read_text(), re.MULTILINE))
    assert inside == listed | {"README.md", "pyproject.toml"}
    assert not any("@NAME@" in (project / one).read_text() for one in inside)
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    theirs = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert theirs["name"] == "my-controller"
    assert f"{own['name']}[emulate]" in theirs["optional-dependencies"]["test"]
    jobs = yaml.safe_load((project / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    assert jobs["tests"]["steps"][-1]["run"] == "pytest --qnet-require"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("there", "is there already, and nothing was written"),
        ("1st", "'1st' names no project: letters"),
        ("nowhere/at-all", "cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_is_refused(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "README.md").write_text("mine")
    done = command("new", "controller-project", tmp_path / name)
    assert done.returncode == 2
    assert words in done.stderr
    assert [one.name for one in tmp_path.rglob("*")] == ["there", "README.md"]
    assert (tmp_path / "there" / "README.md").read_text() == "mine"
