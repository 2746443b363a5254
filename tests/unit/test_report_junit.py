from __future__ import annotations

from xml.etree import ElementTree

from qnet.model.verdict import Verdict
from qnet.report.junit import junit
from tests.unit.report_case import row, verdict


def test_counts_and_cases() -> None:
    suite = ElementTree.fromstring(junit(verdict())).find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert len(cases) == int(suite.attrib["tests"]) == 11
    failed = [one for one in cases if one.find("failure") is not None]
    assert len(failed) == int(suite.attrib["failures"]) == 4
    assert failed[0].attrib["classname"] == "qnet.findings"
    failure = failed[1].find("failure")
    assert failure is not None
    assert failure.text is not None
    assert "promised 0, proven -, simulated 3" in failure.text
    assert "worst: factory-5" in failure.text


def test_hostile_names_stay_valid_xml() -> None:
    hostile = "<&\"'\x00\x1b\ud800\ufffe\r\n]]>"
    bad = Verdict(
        title=hostile,
        outcome="fail",
        findings=(hostile,),
        rows=(
            row(hostile, "latency", None, None, None, reason=hostile, worst=hostile),
            row(hostile, "loss", 0, None, None, outcome="unknown"),
        ),
        assumptions=(),
        notes=(),
    )
    root = ElementTree.fromstring(junit(bad).encode())
    assert root.attrib["skipped"] == "1"
    assert root.attrib["failures"] == "2"
