"""The page of a controller's judgement: its findings, and a drawing of the way of each."""

from __future__ import annotations

import re

from qnet.emulate.testbed.findings import Explanation
from qnet.emulate.testbed.reach import Judgement, ReachFinding
from qnet.emulate.testbed.scorecard import Amount, ExaminationResult, Examined
from qnet.emulate.testbed.topologies import drawn
from qnet.model.topology import Topology
from qnet.report.reach_page import NODES_DRAWN, reach_page

WHY = Explanation(
    where="s2",
    frame="udp,in_port=1",
    way=("s1 (table 0: in_port=1 => output:2)", "s2"),
    ends="at s2, where it came in by port 2: table 0: no entry matches => drop",
    asked=("+1.0 ms packet-in from s1: <script>alert(1)</script>",),
    refused=(),
    messages=("-3.0 ms flow-mod to s2: ADD",),
    logged=(),
)


def finding(source: str, target: str, why: Explanation | None = WHY) -> ReachFinding:
    words = f"{source} to {target}: 3 of 3 frames lost"
    return ReachFinding("lost", source, target, ("s1",), 3, words, why)


def topology(name: str) -> Topology:
    found = drawn(name)
    assert found is not None
    return found


def judged(*faults: ReachFinding) -> Judgement:
    return Judgement(12, 36, 3, tuple(one.message for one in faults), None, 8, faults=faults)


def test_each_cause_is_told_once_with_its_way() -> None:
    found = judged(finding("s1", "s3"), finding("s1", "s4"))
    page = reach_page("a controller", topology("line:4"), found, None)
    assert "2 findings of one cause" in page
    assert page.count("<svg") == 1
    assert page.count('class="step"') == 1, "from s1 to s2"
    assert page.count('class="link"') == 3
    kinds = re.findall(r'<circle class="dot (\w+)"', page)
    assert sorted(kinds) == ["end", "end", "other", "where"]
    assert "s1 to s4: 3 of 3 frames lost" in page
    assert "<script>" not in page


def test_of_a_large_network_what_is_near_the_way_is_drawn() -> None:
    page = reach_page("a controller", topology("ring:64"), judged(finding("s1", "s3")), None)
    drawn_nodes = page.count("<circle class")
    assert 4 <= drawn_nodes <= NODES_DRAWN
    assert page.count('class="step"') == 1


def test_a_finding_that_nothing_explains_has_no_drawing() -> None:
    page = reach_page("c", topology("line:4"), judged(finding("s1", "s3", None)), 1.0)
    assert "<svg" not in page
    assert "judged once" in page


def test_the_scorecard_and_what_it_found_are_there() -> None:
    leak = ReachFinding("leak", "s1", "s2", (), 1, "s1 reaches s2 by IPv6", WHY)
    card = Examined(
        "isolation", "nothing comes", ExaminationResult((Amount("kinds", 2.0),), (leak,))
    )
    found = judged()._replace(scorecard=(card,))
    page = reach_page("c", topology("line:4"), found, None)
    assert "1 findings of one cause" not in page
    assert "one finding" in page
    assert "s1 reaches s2 by IPv6" in page
    assert "kinds 2" in page
    passed = reach_page("c", topology("line:4"), judged(), None)
    assert "nothing is wrong" in passed
