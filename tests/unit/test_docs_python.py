"""The examples of docs/python.md and docs/sweep.md run as they stand, from top to bottom.

So does the notebook.
"""

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, example in enumerate(EXAMPLES):
        exec(compile(example, f"docs/python.md[{number}]", "exec"), names)
    printed = capsys.readouterr().out
    assert "<Result: PASS  The dual node" in printed
    assert "cancelled (simulate); nothing was written" in printed
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_page_of_sweeps_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "sweep.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        exec(compile(example, "docs/sweep.md", "exec"), {})


def test_the_notebook_runs_and_shows_its_answers() -> None:
    """In a kernel of its own, as whoever opens it has it."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(DOCS / "load-search.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "store it without its outputs"
    nbclient.NotebookClient(notebook, timeout=600).execute()
    shown = [
        "".join(str(part) for part in output.get("data", {}).values()) + output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    assert any("not placed" in one for one in shown)
    assert any(one.startswith("<div><p><b") or "<table>" in one for one in shown)
    assert any(" from " in one and " %" in one for one in shown)
