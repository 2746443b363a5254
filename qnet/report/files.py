"""The folder that `--out DIR` leaves behind."""

from __future__ import annotations

from pathlib import Path

from qnet.files.write import to_json, write_text
from qnet.report.inputs import ReportInput
from qnet.report.junit import junit
from qnet.report.page import page


def write_report(folder: Path, case: ReportInput, port: str | None = None) -> tuple[Path, ...]:
    """Write verdict.json, plan.json, junit.xml, report.html, and emulation.json where there was
    one; return their paths.
    """
    texts = {
        "verdict.json": to_json(case.verdict),
        "plan.json": to_json(case.plan),
        "junit.xml": junit(case.verdict),
        "report.html": page(case, port),
    }
    if case.emulation is not None:
        texts["emulation.json"] = to_json(case.emulation)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    return tuple(folder / name for name in texts)
