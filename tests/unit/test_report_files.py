from __future__ import annotations

from pathlib import Path

from qnet.report.files import write_report
from qnet.report.inputs import ReportInput
from tests.unit.report_case import case


def test_four_files_and_the_same_bytes_again(tmp_path: Path) -> None:
    first = write_report(tmp_path / "deep" / "one", ReportInput(*case()))
    second = write_report(tmp_path / "two", ReportInput(*case()))
    names = ["verdict.json", "plan.json", "junit.xml", "report.html"]
    assert [path.name for path in first] == names
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
