"""The verdict as JUnit XML: continuous integration then shows each promise as a test.

A broken promise is a failure. One that is not known to be kept is an error, the state of a test
that came to no result: a skipped one would let a build pass. How a promise is known to be kept
stands in the test's output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from qnet.model.verdict import Outcome, Row, Verdict
from qnet.report.text import printable, reason, subject, witnesses

TAGS = {"fail": "failure", "unknown": "error"}


class SuiteCase(NamedTuple):
    """One test as continuous integration shows it: of a group, with what is wrong and figures."""

    group: str
    name: str
    outcome: Outcome
    reason: str | None = None
    text: str = ""


def junit(verdict: Verdict) -> str:
    """Write one test case for each line of the answer, and a failing one for each finding."""
    return junit_suite(verdict.title, _cases(verdict))


def junit_suite(title: str, cases: Iterable[SuiteCase]) -> str:
    """Write test cases as one suite."""
    every = list(cases)
    counts = {
        "tests": str(len(every)),
        "failures": str(sum(one.outcome == "fail" for one in every)),
        "errors": str(sum(one.outcome == "unknown" for one in every)),
        "skipped": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "qnet", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": printable(title), **counts})
    for one in every:
        named = {"classname": f"qnet.{one.group}", "name": printable(one.name)}
        case = ElementTree.SubElement(suite, "testcase", named)
        if one.outcome == "pass":
            if one.text:
                ElementTree.SubElement(case, "system-out").text = one.text
            continue
        message = {"message": printable(one.reason or "no reason given")}
        said = ElementTree.SubElement(case, TAGS[one.outcome], message)
        said.text = printable(one.text)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _cases(verdict: Verdict) -> Iterator[SuiteCase]:
    for number, finding in enumerate(verdict.findings, start=1):
        yield SuiteCase("findings", f"finding {number}", "fail", finding)
    for row in verdict.rows:
        yield _requirement(row)


def _requirement(row: Row) -> SuiteCase:
    names = ("promised", "proven", "simulated", "emulated")
    figures = ", ".join(
        f"{name} {row.show(value)}" for name, value in zip(names, witnesses(row), strict=True)
    )
    why = row.reason
    if row.outcome == "fail":
        figures += f"\nworst: {row.worst}" if row.worst else ""
    elif row.outcome == "unknown":
        why = f"not known: {reason(row)}"
    else:
        how = {"proven": "\nkept, proven", "seen": f"\nkept, seen by {row.frames} frames"}
        figures += how[row.basis] if row.basis else ""
    return SuiteCase(row.kind, f"{subject(row)}: {row.kind}", row.outcome, why, figures)
