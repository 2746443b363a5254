"""The layer symmetry: pairs of streams whose latencies may differ by so much, by hand."""

from __future__ import annotations

from typing import Any

import pytest

import qnet
from qnet.errors import InputError

US = 10**6
LINE = {"between": ["a", "b"], "rate": "10Gbps", "delay": "300us"}
STREAM = {"interval": "1ms", "max-payload-size": "962B", "class": "plain"}
CLASSES = [{"name": "plain", "priority": 6, "mechanism": "strict-priority"}]


def _case(most: str, back: str = "300us", count: int = 1, **more: Any) -> qnet.Scenario:
    """Two hosts and a line; a frame takes 0.7904 us of line time, and 300 us or so of fibre."""
    net = {
        "title": "n",
        "nodes": [{"name": "a"}, {"name": "b"}],
        "links": [LINE | {"delay": ["300us", back]}],
    }
    streams = [
        {"name": "there", "from": "a", "to": "b", "count": count, **STREAM},
        {"name": "back", "from": "b", "to": "a", "count": count, **STREAM},
    ]
    pair = {"between": ["there", "back"], "most": most}
    traffic = {"title": "t", "topology": "n", "classes": CLASSES, "streams": streams}
    return qnet.load(traffic | {"symmetry": {"pairs": [pair]}} | more, topology=net)


@pytest.mark.parametrize(("back", "differ_us"), [("300us", 0), ("420us", 120), ("250us", 50)])
def test_both_ways_are_compared_frame_by_frame(back: str, differ_us: int) -> None:
    result = qnet.run(_case("200us", back).with_(duration="5ms"))
    row = result.row("there and back", "asymmetry")
    assert (row.promised, row.simulated, row.outcome) == (200 * US, differ_us * US, "pass")
    assert row.proven is not None
    assert differ_us * US <= row.proven < differ_us * US + 2 * US


def test_more_than_promised_fails_and_the_worst_of_several_counts() -> None:
    result = qnet.run(_case("100us", "420us", count=3).with_(duration="5ms"))
    row = result.row("there and back", "asymmetry")
    assert (row.outcome, row.members) == ("fail", 3)
    assert not result.passed
    assert row.simulated is not None
    assert row.simulated >= 120 * US


def test_a_fibre_that_changes_meanwhile_counts() -> None:
    longer = {"at": "2ms", "change": "delay", "target": "a--b", "delay": "500us"}
    row = qnet.run(_case("100us", events=[longer]).with_(duration="6ms")).row(
        "there and back", "asymmetry"
    )
    assert row.simulated is not None
    assert row.simulated >= 200 * US, "frames of before beside frames of after"
    assert row.outcome == "fail"


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (["there", "bakc"], "no stream 'bakc'; did you mean 'back'?"),
        (["there", "more"], "1 streams and 2; a pair has as many each"),
        (["there", "tree"], "a stream with several listeners; it has no one latency"),
    ],
)
def test_pairs_that_cannot_be_are_refused(between: list[str], message: str) -> None:
    nodes = [{"name": name} for name in ("a", "b", "c")]
    links = [LINE, LINE | {"between": ["b", "c"]}]
    streams = [
        {"name": "there", "from": "a", "to": "b", **STREAM},
        {"name": "back", "from": "b", "to": "a", **STREAM},
        {"name": "more", "from": "b", "to": "a", "count": 2, **STREAM},
        {"name": "tree", "from": "a", "to": ["b", "c"], **STREAM},
    ]
    traffic: dict[str, Any] = {
        "title": "t",
        "topology": "n",
        "classes": CLASSES,
        "streams": streams,
    }
    traffic |= {"symmetry": {"pairs": [{"between": between, "most": "1us"}]}}
    with pytest.raises(InputError) as caught:
        qnet.load(traffic, topology={"title": "n", "nodes": nodes, "links": links})
    assert [(one.where, one.message) for one in caught.value.problems] == [
        ("symmetry.pairs[0].between", message)
    ]
