"""Every faulty file here has its exact complaint beside it; --update-expected rewrites them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnet.errors import InputError
from qnet.files.read import kind_of, load, read_topology

FOLDER = Path(__file__).parent
GOOD = {"clock.yaml", "late.yaml", "net.yaml"}
BAD = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name not in GOOD)


def complaint(name: str) -> str:
    try:
        if kind_of(name) == "topology":
            read_topology(name)
        else:
            load(name)
    except InputError as error:
        return f"{error}\n"
    pytest.fail(f"{name} has no fault")


@pytest.mark.parametrize("name", BAD)
def test_complaint_is_exact(
    name: str, update_expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    expected = Path(name).with_suffix(".txt")
    if update_expected:
        expected.write_text(complaint(name), encoding="utf-8")
    assert complaint(name) == expected.read_text(encoding="utf-8")


def test_the_topologies_that_the_faulty_files_name_are_good() -> None:
    assert read_topology(str(FOLDER / "clock.yaml")).title == "Clocks beyond the cycle"
    assert read_topology(str(FOLDER / "net.yaml")).title == "Two nodes, a lone one and a clock"


def test_no_expected_text_without_its_file() -> None:
    texts = {path.stem for path in FOLDER.glob("*.txt")}
    assert texts == {Path(name).stem for name in BAD}
