"""The verdict as JUnit XML: continuous integration then shows each promise as a test.

A broken promise is a failure. One that is not known to be kept is an error, the state of a test
that came to no result: a skipped one would let a build pass. How a promise is known to be kept
stands in the test's output.
"""

from __future__ import annotations

from xml.etree import ElementTree

from qnet.model.verdict import Row, Verdict
from qnet.report.text import printable, reason, subject, witnesses


def junit(verdict: Verdict) -> str:
    """Write one test case for each line of the answer, and a failing one for each finding."""
    failed = sum(row.outcome == "fail" for row in verdict.rows) + len(verdict.findings)
    counts = {
        "tests": str(len(verdict.rows) + len(verdict.findings)),
        "failures": str(failed),
        "errors": str(sum(row.outcome == "unknown" for row in verdict.rows)),
        "skipped": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "qnet", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": printable(verdict.title), **counts})
    for number, finding in enumerate(verdict.findings, start=1):
        case = _case(suite, "findings", f"finding {number}")
        _say(case, "failure", finding)
    for row in verdict.rows:
        _requirement(suite, row)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _case(suite: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    named = {"classname": f"qnet.{group}", "name": printable(name)}
    return ElementTree.SubElement(suite, "testcase", named)


def _say(case: ElementTree.Element, tag: str, message: str, text: str = "") -> None:
    ElementTree.SubElement(case, tag, {"message": printable(message)}).text = printable(text)


def _requirement(suite: ElementTree.Element, row: Row) -> None:
    case = _case(suite, row.kind, f"{subject(row)}: {row.kind}")
    names = ("promised", "proven", "simulated", "emulated")
    figures = ", ".join(
        f"{name} {row.show(value)}" for name, value in zip(names, witnesses(row), strict=True)
    )
    if row.outcome == "fail":
        worst = f"\nworst: {row.worst}" if row.worst else ""
        _say(case, "failure", row.reason or "no reason given", figures + worst)
    elif row.outcome == "unknown":
        _say(case, "error", f"not known: {reason(row)}", figures)
    else:
        how = {"proven": "\nkept, proven", "seen": f"\nkept, seen by {row.frames} frames"}
        told = how[row.basis] if row.basis else ""
        ElementTree.SubElement(case, "system-out").text = figures + told
