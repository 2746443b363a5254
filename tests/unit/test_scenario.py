"""A scenario: one identity for one meaning, checked copies, more of the same load."""

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from qnet.errors import InputError
from qnet.files.read import bundled_names, load
from qnet.files.words import to_yaml
from qnet.model.scenario import Scenario

NET: dict[str, Any] = {
    "title": "Two switches",
    "nodes": [
        {"name": "a", "processing": "2us..3us", "clock": {"phase": "4us", "error": "100ns"}},
        {"name": "b", "position": "35.71N 107.64W"},
        {"name": "c", "position": "35.5S 107E", "queues": 4},
    ],
    "links": [
        {"between": ["a", "b"], "rate": "100Gbps", "length": "30km", "bit-error-ratio": "1.25e-12"},
        {"between": ["b", "c"], "rate": ["10Gbps", "1Gbps"], "loss": ["0%", "0.1%"]},
    ],
}
FLOW: dict[str, Any] = {
    "title": "Some of everything",
    "topology": "two",
    "classes": [
        {"name": "reserved", "priority": 6, "mechanism": "tcqf"},
        {"name": "video", "priority": 4, "mechanism": "strict-priority", "idle-slope": "75%"},
        {"name": "rest", "priority": 0, "mechanism": "strict-priority"},
    ],
    "streams": [
        {"name": "s", "from": "a", "to": "b", "interval": "1ms", "max-payload-size": "300B"},
        {"name": "v", "from": "a", "to": "c", "interval": "1ms", "max-payload-size": "1kB",
         "class": "video", "count": 3},
    ],
    "demands": [{"name": "d", "from": "a", "to": "b", "rate": "1Gbps", "class": "rest"}],
    "simulation": {"duration": "2ms"},
}  # fmt: skip


def scenario(**changes: Any) -> Scenario:
    return load({**FLOW, **changes}, topology=NET)


@pytest.mark.parametrize("name", bundled_names("traffic"))
def test_what_is_written_out_means_the_same(name: str, tmp_path: Path) -> None:
    read = load(name)
    topology, traffic = tmp_path / "topology.yaml", tmp_path / "traffic.yaml"
    topology.write_text(to_yaml(read.topology), encoding="utf-8")
    traffic.write_text(to_yaml(read.profile), encoding="utf-8")
    again = load(traffic, topology=topology)
    assert again.topology == read.topology
    assert again.profile == read.profile.replace(parameters={})
    assert again.identity == read.identity
    assert again.traffic_sha256 != read.traffic_sha256  # that is of bytes


def test_the_words_of_files_come_back() -> None:
    made = scenario(
        classes=[
            {
                "name": "a",
                "priority": 1,
                "mechanism": "strict-priority",
                "idle-slope": "as-reserved",
            },
            {"name": "b", "priority": 2, "mechanism": "strict-priority", "idle-slope": "2.5Mbps"},
            {"name": "no", "priority": 3, "mechanism": "strict-priority"},
        ],
        streams=[],
        demands=[{**FLOW["demands"][0], "class": "no", "sizes": "128B"}],
        gates=[{"at": ["a->b"], "entries": [{"open": ["no", "a"], "for": "10us", "hold": True}]}],
    )
    again = load(
        yaml.safe_load(to_yaml(made.profile)), topology=yaml.safe_load(to_yaml(made.topology))
    )
    assert again == made
    for text in ("1.25e-12", "35.71N 107.64W", "35.5S 107E", "2us..3us", "1000ppm", "10Gbps"):
        assert text in to_yaml(made.topology)
    for text in ("as-reserved", "2.5Mbps", "128B", "'no'", "hold: true"):
        assert text in to_yaml(made.profile)


def test_spelling_is_not_meaning() -> None:
    spelled = {
        "links": [
            {"length": "30000m", "between": ["a", "b"], "rate": "0.1Tbps", "reservable": "100Gbps",
             "bit-error-ratio": "125e-14"},
            NET["links"][1],
        ],
        "nodes": [{"clock": {"error": "0.1us", "phase": "4000ns"}, "name": "a",
                   "processing": "2000ns..3us", "buffer": "64MB"}, *NET["nodes"][1:]],
        "title": "Deux commutateurs",
        "assumptions": ["None."],
    }  # fmt: skip
    flow = {
        "parameters": {"what": "s", "many": 3},
        "defaults": {"stream": {"interval": "1000us"}},
        **FLOW,
        "streams": [
            {"name": "${what}", "from": "a", "to": "b", "max-payload-size": "0.3kB", "group": "s"},
            {"name": "v", "from": "a", "to": "c", "max-payload-size": "1000B", "class": "video",
             "count": "${many}"},
        ],
    }  # fmt: skip
    assert load(flow, topology=spelled).identity == scenario().identity


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("profile", {"simulation": {"duration": "3ms"}}),
        ("profile", {"simulation": {"duration": "2ms", "seed": 2}}),
        ("profile", {"egress": [{"site": "x", "rate": "1bps"}]}),
        ("profile", {"streams": FLOW["streams"][::-1]}),
        ("topology", {"nodes": NET["nodes"][::-1]}),
        ("topology", {"tcqf": {"buffers": 5}}),
    ],
)
def test_another_meaning_has_another_identity(where: str, change: dict[str, Any]) -> None:
    net = {**NET, "nodes": [{**one, "site": "x"} for one in NET["nodes"]]}
    before = load(FLOW, topology=net)
    nodes = [{**one, "site": "x"} for one in change.get("nodes", net["nodes"])]
    if where == "topology":
        after = load(FLOW, topology={**net, **change, "nodes": nodes})
    else:
        after = load({**FLOW, **change}, topology=net)
    assert after.identity != before.identity


def test_a_plan_is_for_any_seed_and_duration() -> None:
    made = scenario()
    other = made.with_(seed=7, duration="5ms")
    assert other.identity != made.identity
    assert other.traffic_sha256 == made.traffic_sha256
    assert (other.profile.simulation.seed, other.profile.simulation.duration_ps) == (7, 5 * 10**9)
    assert load("qingyang").with_(seed=7).traffic_sha256 == load("qingyang").traffic_sha256


def test_a_changed_copy_keeps_nothing_of_the_original() -> None:
    made = scenario()
    before = made.identity, len(made.profile.every_stream), made.traffic_sha256, hash(made)
    more = made.with_(scale=2)
    assert len(more.profile.every_stream) == 8
    assert more.identity != before[0]
    assert (
        made.identity,
        len(made.profile.every_stream),
        made.traffic_sha256,
        hash(made),
    ) == before
    back = more.with_(profile=made.profile)
    assert back == made
    assert back.identity == made.identity


def test_a_file_that_was_changed_has_no_origin() -> None:
    read = load("zheng-qing-ha")
    assert read.with_(seed=9).profile_origin is read.profile_origin
    more = read.with_(scale="6/5")
    assert more.profile_origin is None
    assert more.topology_sha256 == read.topology_sha256
    assert more.traffic_sha256 not in (read.traffic_sha256, read.with_(scale=1.3).traffic_sha256)
    assert read.with_(scale=1) == read


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": -1}, "seed: '-1' is no seed"),
        ({"seed": True}, "seed: 'true' is no seed"),
        ({"duration": "5"}, "duration: 5 has no unit"),
        ({"duration": "0ms"}, "duration: 0 is no time"),
        ({"duration": "1001s"}, "at most 1000s"),
        ({"scale": 0}, "scale: '0' is no scale"),
        ({"scale": float("nan")}, "scale: 'nan' is no scale"),
        ({"scale": "1/0"}, "scale: '1/0' is no scale"),
        ({"scale": 10**6}, "d: 1Pbps is out of range|is out of range"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    made = scenario(demands=[{**FLOW["demands"][0], "rate": "2Gbps"}])
    with pytest.raises(InputError, match=words):
        made.with_(**change)


def test_faults_of_changes_come_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        scenario().with_(seed=-1, duration="x", scale=-1)
    assert [one.file for one in caught.value.problems] == ["duration", "scale", "seed"]


def test_nouns_that_do_not_meet_are_refused() -> None:
    made = scenario()
    lost = made.profile.streams[0].replace(listeners=("d",))
    with pytest.raises(InputError, match=r"streams\[0\]\.to: no node 'd'"):
        made.with_(profile=made.profile.replace(streams=(lost,)))
    with pytest.raises(InputError, match=r"streams\[0\]\.to: no node 'd'"):
        load(made.profile.replace(streams=(lost,)), topology=made.topology)
    with pytest.raises(InputError, match="give 'topology'"):
        load({**FLOW, "topology": "nowhere"})
    assert load(made.profile, topology=made.topology) == made


def test_a_mapping_has_no_lines() -> None:
    with pytest.raises(InputError) as caught:
        load(
            {**FLOW, "stream": []}, topology={**NET, "links": [{"between": ["a", "b"], "rate": 5}]}
        )
    assert [(one.file, one.line) for one in caught.value.problems] == [
        ("topology", 0), ("traffic", 0),
    ]  # fmt: skip
    with pytest.raises(InputError, match="not what a file can hold"):
        load({"title": object()})


def rates(made: Scenario) -> list[int]:
    return [one.rate_bps for one in made.profile.demands]


def counts(made: Scenario) -> list[int]:
    return [one.count for one in made.profile.streams]


def test_scale_multiplies_what_is_offered() -> None:
    made = load("zheng-qing-ha")
    for factor in (Fraction(1, 2), Fraction(6, 5), Fraction(3)):
        more = made.with_(scale=factor)
        assert rates(more) == [round(one * factor) for one in rates(made)]
        pairs = zip(counts(made), counts(more), strict=True)
        assert all(abs(new - old * factor) <= 1 for old, new in pairs)
        assert sum(counts(more)) == sum(counts(made)) * factor
        assert abs(more.offered_bps - made.offered_bps * factor) <= 10**6 * 3000
    assert made.with_(scale=1.2) == made.with_(scale="1.2") == made.with_(scale=Fraction(6, 5))
    unchanged = {"streams", "demands"}
    for before, after in zip(
        made.profile.streams, made.with_(scale=2).profile.streams, strict=True
    ):
        assert after.replace(count=before.count) == before
    assert all(
        getattr(made.with_(scale=2).profile, name) == getattr(made.profile, name)
        for name in type(made.profile).model_fields
        if name not in unchanged
    )


def test_single_streams_are_scaled_together() -> None:
    one = FLOW["streams"][0]
    singles = [{**one, "name": f"s{i}"} for i in range(10)]
    made = scenario(streams=[*singles, FLOW["streams"][1]])
    assert counts(made.with_(scale=1.2)) == [1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 4]
    assert counts(made.with_(scale=0.5)) == [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2]
    assert len(made.with_(scale=1.2).profile.every_stream) == 16


def test_what_cannot_grow_a_little_says_so() -> None:
    alone = scenario(streams=FLOW["streams"][:1], demands=[])
    with pytest.raises(InputError, match="changes nothing: the profile has 1 stream"):
        alone.with_(scale=1.2)
    assert counts(alone.with_(scale=1.5)) == [2]
    micro = scenario(demands=[{**FLOW["demands"][0], "rate": "100bps", "microflows": 100}])
    with pytest.raises(InputError, match="100 microflows would share 50 bit/s"):
        micro.with_(scale=0.5)


def test_names_that_scaling_makes_may_not_be_taken() -> None:
    one = FLOW["streams"][0]
    made = scenario(streams=[one, {**one, "name": "s-2"}])
    with pytest.raises(InputError, match="'s-2' is also a stream of 's'"):
        made.with_(scale=1.5)


def test_a_scenario_says_what_it_is() -> None:
    made = scenario()
    assert repr(made).startswith(
        "<Scenario: Some of everything on Two switches; 4 streams, 1 demands"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.profile = made.profile  # type: ignore[misc]
