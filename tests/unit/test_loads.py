"""Streams and demands that come, go and scale, and attacks: what files say and what it means."""

from __future__ import annotations

from typing import Any

import pytest

import qnet
from qnet.errors import InputError
from qnet.files.read import load
from qnet.files.words import to_yaml
from qnet.model.loads import Loads, attack_way, offer_of
from qnet.model.timeline import FOREVER_PS, Event, Timeline
from qnet.model.topology import Topology
from qnet.model.traffic import Profile

US = 10**6

NET: dict[str, Any] = {
    "title": "n",
    "nodes": [{"name": name, "processing": "2us"} for name in "abcd"],
    "links": [
        {"between": ends, "rate": "1Gbps", "length": "1km"}
        for ends in (("a", "b"), ("b", "c"), ("a", "d"), ("d", "c"))
    ],
}

PROFILE: dict[str, Any] = {
    "title": "p",
    "topology": "n",
    "classes": [
        {"name": "reserved", "priority": 6, "mechanism": "tcqf"},
        {"name": "plain", "priority": 2, "mechanism": "strict-priority"},
        {"name": "best-effort", "priority": 0, "mechanism": "strict-priority"},
    ],
    "streams": [
        {"name": "voice", "from": "a", "to": "c", "class": "plain", "interval": "100us",
         "max-payload-size": "982B", "count": 4, "group": "calls"},
        {"name": "one", "from": "a", "to": "c", "class": "plain", "interval": "100us",
         "max-payload-size": "982B", "group": "calls"},
    ],
    "demands": [{"name": "bulk", "from": "a", "to": "c", "rate": "100Mbps"}],
    "simulation": {"duration": "1ms"},
}  # fmt: skip


def _profile(*happening: dict[str, Any]) -> Profile:
    return Profile.model_validate({**PROFILE, "events": list(happening)})


def _one(change: str, at_us: int, target: str = "one", **keys: str) -> dict[str, Any]:
    return {"at": f"{at_us}us", "change": change, "target": target, **keys}


SILENCES = [
    ([_one("stop", 5)], [(5, None)]),
    ([_one("stop", 5), _one("start", 9)], [(5, 9)]),
    ([_one("start", 9), _one("stop", 5)], [(5, 9)]),
    ([_one("start", 9)], [(0, 9)]),
    ([_one("start", 0)], []),
    ([_one("start", 3), _one("start", 7)], [(0, 3)]),
    ([{**_one("start", 3), "for": "4us"}], [(0, 3), (7, None)]),
    ([{**_one("start", 3), "for": "4us"}, _one("start", 7)], [(0, 3)]),
    ([{**_one("stop", 3), "for": "4us"}], [(3, 7)]),
    ([{**_one("stop", 3), "for": "9us"}, _one("start", 5)], [(3, 5)]),
    # Silent while any stop lasts; a start ends them all.
    ([_one("stop", 2), {**_one("stop", 3), "for": "4us"}], [(2, None)]),
    ([{**_one("stop", 2), "for": "9us"}, {**_one("stop", 3), "for": "4us"}], [(2, 11)]),
    # Of one instant in the order of the file; what `for` ends is over before.
    ([_one("stop", 5), _one("start", 5)], []),
    ([_one("start", 5), _one("stop", 5)], [(0, None)]),
    ([{**_one("stop", 1), "for": "4us"}, _one("stop", 5)], [(1, None)]),
]


@pytest.mark.parametrize(("happening", "silent"), SILENCES)
def test_starts_and_stops_make_silences(
    happening: list[dict[str, Any]], silent: list[tuple[int, int | None]]
) -> None:
    found = offer_of(_profile(*happening)).silent.get("one", ())
    expected = [(a * US, FOREVER_PS if b is None else b * US) for a, b in silent]
    assert list(found) == expected


@pytest.mark.parametrize(
    ("target", "by", "left_out"),
    [
        ("voice", "50%", {"voice-3", "voice-4"}),
        ("voice", "51%", {"voice-4"}),
        ("voice", "0.51", {"voice-4"}),
        ("voice", "1ppb", {"voice-2", "voice-3", "voice-4"}),
        ("voice", "0%", {"voice-1", "voice-2", "voice-3", "voice-4"}),
        ("voice", "100%", set()),
        ("voice-3", "50%", set()),
        ("voice-3", "0%", {"voice-3"}),
        ("calls", "25%", {"voice-2", "voice-3", "voice-4"}),
        ("plain", "0", {"voice-1", "voice-2", "voice-3", "voice-4", "one"}),
    ],
)
def test_of_the_streams_of_an_entry_the_first_ones_are_sent(
    target: str, by: str, left_out: set[str]
) -> None:
    offer = offer_of(_profile(_one("scale", 5, target, by=by, **{"for": "3us"})))
    assert {**offer.silent} == dict.fromkeys(left_out, ((5 * US, 8 * US),))
    assert not offer.factors


def test_the_scale_that_began_last_and_is_not_over_counts() -> None:
    offer = offer_of(
        _profile(
            _one("scale", 2, "bulk", by="200%"),
            {**_one("scale", 4, "best-effort", by="50%"), "for": "5us"},
            {**_one("scale", 6, "bulk", by="3.5"), "for": "1us"},
            _one("scale", 12, "bulk", by="100%"),
        )
    )
    spans = [(2, 4, 2 * 10**9), (4, 6, 5 * 10**8), (6, 7, 35 * 10**8), (7, 9, 5 * 10**8),
             (9, 12, 2 * 10**9)]  # fmt: skip
    assert offer.factors["bulk"] == tuple((a * US, b * US, by) for a, b, by in spans)


def test_targets_are_told_together() -> None:
    loads = Loads(_profile().streams, _profile().demands)
    voices = [f"voice-{number}" for number in (1, 2, 3, 4)]
    for names, together in (
        ([*voices, "one"], ["calls"]),
        ([*voices, "bulk"], ["voice", "bulk"]),
        (["bulk", "voice-2", "one"], ["bulk", "voice-2", "one"]),
        ([*voices, "one", "bulk"], ["calls", "bulk"]),
        ([], []),
    ):
        assert loads.targets_of(names) == together


def test_an_attack_goes_the_fewest_ports_and_by_the_lowest_of_them() -> None:
    topology = Topology.model_validate(NET)
    way = attack_way(topology, "a", "c")
    assert [port.name for port in way] == ["a->b", "b->c"]
    one = {"at": "1us", "change": "attack", "from": "a", "to": "c", "rate": "2Gbps", "for": "2us"}
    (attack,) = offer_of(_profile(_one("stop", 0), one)).attacks
    assert (attack.demand.name, attack.span) == ("attack-2", (US, 3 * US))
    assert (attack.demand.arrival, attack.demand.rate_bps) == ("constant-rate", 2 * 10**9)


REFUSED = [
    (_one("stop", 1, "won"), "no stream, demand, group or class 'won'; did you mean 'one'?"),
    (_one("stop", 1, "voice-5"), "no stream, demand, group or class 'voice-5'"),
    (_one("stop", 1, "voice-03"), "no stream, demand, group or class 'voice-03'"),
    (_one("stop", 1, "a--b"), "'a--b' is a link or cable, which is 'cut'"),
    (_one("stop", 1, "a"), "'a' is a node or a site, which goes 'down'"),
    (_one("scale", 1, "calls", by="101%"), "'calls' has streams, of which there are no more than"),
    (_one("scale", 1, "bulk", by="99999999"), "9999999900% is out of range; at most 100000000%"),
    (_one("scale", 1, "bulk", by="-50%"), "-50% is negative; a factor is zero or more"),
    (_one("scale", 1, "bulk", by="1e-10"), "1e-10 has no unit; write it like '250%'"),
    (_one("scale", 1, "bulk"), "scale has no 'by'"),
    (_one("stop", 1, "bulk", by="50%"), "'by' does not go with stop; leave it out"),
    (_one("attack", 1, "a", rate="1Gbps"), "'target' does not go with attack; leave it out"),
]

ATTACK = {"at": "1us", "change": "attack", "from": "a", "to": "c", "rate": "1Gbps"}

REFUSED += [
    ({**ATTACK, "to": "a"}, "'from' and 'to' are both 'a'; an attack needs two nodes"),
    ({**ATTACK, "to": "x"}, "no node 'x' in topology"),
    ({**ATTACK, "class": "best"}, "no class 'best'; give the attack a 'class': 'plain', 'best-"),
    ({**ATTACK, "class": "reserved"}, "class 'reserved' reserves or shapes what it carries"),
    ({**ATTACK, "rate": "0bps"}, "0bps is zero"),
    ({**ATTACK, "sizes": "63B"}, "63B is out of range"),
]


@pytest.mark.parametrize(("one", "message"), REFUSED)
def test_what_cannot_be_is_refused_with_a_way_out(one: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load({**PROFILE, "events": [one]}, topology=NET)
    assert message in caught.value.problems[0].message


def test_all_faults_are_told_at_once_each_at_its_place() -> None:
    island = {**NET, "nodes": [*NET["nodes"], {"name": "e"}]}
    happening = [
        _one("stop", 1, "won"),
        {**ATTACK, "to": "x", "class": "best"},
        {**ATTACK, "to": "e"},
        _one("scale", 1, "voice", by="200%"),
    ]
    taken = {**PROFILE["demands"][0], "name": "attack-9"}
    asked = {**PROFILE, "demands": [*PROFILE["demands"], taken], "events": happening}
    with pytest.raises(InputError) as caught:
        load(asked, topology=island)
    assert [(one.where, one.message.partition(";")[0]) for one in caught.value.problems] == [
        ("events[0].target", "no stream, demand, group or class 'won'"),
        ("events[1]", "'attack-9' could be taken for an attack"),
        ("events[1].class", "no class 'best'"),
        ("events[1].to", "no node 'x' in topology"),
        ("events[2]", "'attack-9' could be taken for an attack"),
        ("events[2].to", "no links lead from 'a' to 'e'"),
        ("events[3].by", "'voice' has streams, of which there are no more than 100%"),
    ]


def test_a_file_says_them_again_as_they_were_read() -> None:
    happening = [
        qnet.event("scale", "bulk", at="1us", by="2.5"),
        qnet.event("attack", at="2us", from_="a", to="c", rate="1Gbps", sizes="imix", for_="1us"),
        qnet.event(
            "attack", at="2us", from_="a", to="c", rate="1Gbps", sizes="64B", class_="plain"
        ),
    ]
    text = to_yaml(Timeline(title="t", events=tuple(happening)))
    assert "by: 250%" in text
    assert "sizes: imix" in text
    case = load(PROFILE, topology=NET).with_(events=happening)
    assert load(case.profile, topology=NET).profile.events == tuple(happening)
    assert [Event.words.fget(one) for one in happening] == [  # type: ignore[attr-defined]
        "scale of bulk to 250% at 1us",
        "attack of c from a with 1Gbps at 2us for 1us",
        "attack of c from a with 1Gbps at 2us",
    ]


@pytest.mark.parametrize(
    ("happening", "outcome"),
    [
        ([], "pass"),
        ([_one("stop", 0)], "pass"),
        ([_one("stop", 0), _one("stop", 0, "bulk")], "pass"),
        ([_one("start", 30_000)], "pass"),
        ([_one("scale", 0, "bulk", by="0%")], "pass"),
        ([_one("stop", 0, "plain"), _one("stop", 0, "bulk")], "pass"),
        # What was sent for a while, and never seen in the steady part, is not known.
        ([_one("stop", 5)], "unknown"),
        ([_one("stop", 10_000, "bulk")], "pass"),
        ([_one("stop", 0, "bulk", **{"for": "19999us"})], "unknown"),
        # And what shares its queue with an attack breaks what it must keep.
        ([{**ATTACK, "class": "plain", "rate": "5Gbps"}], "fail"),
    ],
)
def test_silence_breaks_no_promise(happening: list[dict[str, Any]], outcome: str) -> None:
    promises = {"max-latency": "5ms", "max-loss": "0%"}
    asked = {
        **PROFILE,
        "streams": [one | promises for one in PROFILE["streams"]],
        "demands": [one | {"max-loss": "1%"} for one in PROFILE["demands"]],
        "events": happening,
        "simulation": {"duration": "20ms"},
    }
    found = qnet.run(load(asked, topology=NET))
    assert not found.verdict.findings
    assert found.outcome == outcome
