"""Installed from a wheel and far from the source tree, qnet still has all it needs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(
    *arguments: str, cwd: Path, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    others = ("PYTHONPATH", "NUMBA_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("hatchling", "pip")),
    reason="building a wheel needs pip and hatchling",
)
def test_the_wheel_runs_in_an_empty_folder(tmp_path: Path) -> None:
    wheels, target, empty = (tmp_path / name for name in ("wheels", "target", "empty"))
    empty.mkdir()
    made = python(
        *("-m", "pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation"),
        *("--no-index", "--wheel-dir", str(wheels)),
        cwd=tmp_path,
    )
    assert made.returncode == 0, made.stderr
    (wheel,) = wheels.glob("qnet_emulator-*.whl")
    put = python(
        *("-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)),
        cwd=tmp_path,
    )
    assert put.returncode == 0, put.stderr
    # The same source is compiled already; `test_kernel.py` has kernels that are not.
    for code in (ROOT / "qnet").rglob("__pycache__/*.nb[ic]"):
        beside = target / code.relative_to(ROOT)
        beside.parent.mkdir(exist_ok=True)
        shutil.copy2(code, beside)

    # -P keeps the working folder, PYTHONPATH the checkout's own entry, from being found first.
    where = python("-P", "-c", "import qnet; print(qnet.__file__)", cwd=empty, path=target)
    assert Path(where.stdout.strip()) == target / "qnet" / "__init__.py"
    call = "from qnet.cli import main; main()"
    run = python("-P", "-c", call, "run", "dual-node", "--out", "out", cwd=empty, path=target)
    assert run.returncode == 0, run.stderr
    assert "PASS" in run.stdout
    assert (empty / "out" / "report.html").stat().st_size > 10_000
    named = python("-P", "-c", call, "list", cwd=empty, path=target)
    for name in ("qingyang", "zheng-qing-ha", "su-qing-ba", "ceni-beijing-loop", "dual-node"):
        assert f"  {name}" in named.stdout
