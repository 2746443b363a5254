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
    assert (root.attrib["errors"], root.attrib["skipped"]) == ("1", "0")
    assert root.attrib["failures"] == "2"


def test_what_is_not_known_is_an_error_and_says_what_would_decide_it() -> None:
    """A test that came to no result; skipped ones let a build pass."""
    rows = (
        row("a", "latency", 10, 5, 4, basis="proven"),
        row("b", "latency", 10, None, 4, basis="seen", frames=7),
        row("c", "latency", 10, None, None, outcome="unknown", decided_by="a run"),
        row("d", "latency", None, None, 4),
    )
    root = ElementTree.fromstring(junit(verdict().replace(rows=rows)))
    cases = {one.attrib["name"]: one for one in root.iter("testcase")}
    error = cases["c: latency"].find("error")
    assert error is not None
    assert error.attrib["message"].startswith("not known: ")
    assert error.attrib["message"].endswith("what would decide it: a run")
    said = {name: one.findtext("system-out") or "" for name, one in cases.items()}
    assert said["a: latency"].endswith("kept, proven")
    assert said["b: latency"].endswith("kept, seen by 7 frames")
    assert "kept" not in said["d: latency"]
