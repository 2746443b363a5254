"""Named scenes: what they are written out as, that each runs, what is refused, and their page."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import qnet
from qnet.cli import main
from qnet.errors import InputError
from qnet.files.read import bundled_scenes, load, read_topology
from qnet.files.scenes import Scene
from qnet.files.words import to_yaml
from qnet.model.topology import propagation_ps

DOCS = Path(__file__).parents[2] / "docs" / "profiles.md"
BEGIN, END = "<!-- scenes: begin -->\n", "<!-- scenes: end -->\n"
SCENES = {one.name: one for one in bundled_scenes()}

QBV = [
    {"name": "control", "priority": 6, "mechanism": "qbv"},
    {"name": "best-effort", "priority": 0, "mechanism": "strict-priority"},
]
WEIGHTS = {"qingyang": 2, "zhongwei": 1, "shanghai": 3}
ELSEWHERE: dict[str, dict[str, Any]] = {
    "isochronous-control": {"topology": "factory", "from": "controller", "to": "drive-1"},
    "cyclic-control": {"topology": "factory", "from": "controller", "to": "drive-2"},
    "goose": {"topology": "zheng-qing-ha", "from": "qy-c1", "to": "xian"},
    "sampled-values": {"topology": "zheng-qing-ha", "from": "qy-c1", "to": "xian"},
    "line-protection": {"topology": "zheng-qing-ha", "from": "qy-c1", "to": "xian"},
    "telesurgery-laparoscopic": {"topology": "qingyang", "from": "qy-c1", "to": "xian"},
    "gravity": {"weights": WEIGHTS, "rate": "10Gbps", "from": None, "to": None},
    "day-and-night": {"target": "other", "day": "12ms", "from": None, "to": None},
}
"""Where scenes are tried that are not for two of the hubs."""

NET = {
    "title": "n",
    "nodes": [{"name": name} for name in ("a", "b", "c")],
    "links": [
        {"between": ["a", "b"], "rate": "100Gbps", "length": "100km"},
        {"between": ["b", "c"], "rate": "100Gbps", "length": "100km"},
    ],
}


def _load(*scenes: dict[str, Any], **more: Any) -> qnet.Scenario:
    return load({"title": "t", "topology": "n", "scenes": list(scenes)} | more, topology=NET)


def _faults(*scenes: Any, **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        _load(*scenes, **more)
    return [(one.where, one.message) for one in caught.value.problems]


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_is_planned_proven_and_simulated(name: str) -> None:
    given = {"topology": "eight-hubs", "from": "qingyang", "to": "zhongwei"}
    given |= ELSEWHERE.get(name, {})
    topology = given.pop("topology")
    taken = [{"scene": name, **{key: one for key, one in given.items() if one is not None}}]
    if name == "day-and-night":
        taken.append({"scene": "internet-mix", "name": "other", "from": "guian", "to": "wuhu"})
    traffic = {"title": "t", "topology": topology, "scenes": taken}
    if topology == "factory":
        taken[0]["class"] = "control"
        traffic["classes"] = QBV
    case = load(traffic).with_(duration="10ms")
    result = qnet.run(case)
    assert "fail" not in {row.outcome for row in result.verdict.rows}
    assert sum(one.sent for one in (*result.observation.streams, *result.observation.demands))
    assert result.plan.complete
    assert load(yaml.safe_load(to_yaml(case.profile))).identity == case.identity


def test_strict_telesurgery_reaches_as_far_as_light_does_in_ten_milliseconds() -> None:
    near, far = ("xian", "zhengzhou", "chengdu", "beijing"), ("shanghai", "guangzhou")
    case = load(
        {
            "title": "t",
            "topology": "qingyang",
            "scenes": [
                {"scene": "telesurgery-strict", "name": city, "from": "qy-c1", "to": city}
                for city in (*near, *far)
            ],
        }
    )
    refused = {
        one.name: one.reason or "" for one in qnet.plan(case).streams if one.status == "refused"
    }
    assert set(refused) == {f"{city}-{way}" for city in far for way in ("there", "back")}
    for name, reason in refused.items():
        least = "12.230 ms" if name.startswith("shanghai") else "13."
        assert f"propagation alone is {least}" in reason


def test_the_trial_over_2200_km_is_within_its_own_figures() -> None:
    line = {"between": ["a", "b"], "rate": "10Gbps", "length": f"{22 * 18}0km"}
    net = {"title": "n", "nodes": [{"name": "a"}, {"name": "b"}], "links": [line]}
    taken = [{"scene": "telesurgery-trial", "from": "a", "to": "b"}]
    case = load({"title": "t", "topology": "n", "scenes": taken}, topology=net)
    result = qnet.run(case.with_(duration="100ms"))
    assert result.passed
    trip_ms = sum(one.latency_ps_max or 0 for one in result.observation.streams) / 1e9
    assert 38.38 - 13.25 < trip_ms < 38.38 + 13.25
    assert abs(trip_ms - 38.8) < 0.1
    video = case.profile.streams[1]
    assert abs(video.rate_bps - 12_770_000) < 10_000


@pytest.mark.parametrize(
    ("duration", "frames"),
    [("2.9ms", 0), ("5.9ms", 3), ("7.9ms", 4), ("11.9ms", 5), ("40ms", 7), ("600ms", 11)],
)
def test_goose_repeats_a_trip_after_1_1_2_4_milliseconds(duration: str, frames: int) -> None:
    case = _load({"scene": "goose", "from": "a", "to": "b", "at": "3ms"})
    seen = qnet.run(case.with_(duration=duration)).observation.streams
    assert [one.sent for one in seen] == [frames]


def test_gravity_shares_by_the_product_of_weights() -> None:
    weights = {"a": 1, "b": 2, "c": 3}
    made = _load({"scene": "gravity", "weights": weights, "rate": "22Gbps"}).profile.demands
    rates = {(one.source, one.target): one.rate_bps for one in made}
    assert rates == {
        (a, b): weights[a] * weights[b] * 10**9 for a in weights for b in weights if a != b
    }
    assert {one.group for one in made} == {"gravity"}
    few = _load({"scene": "gravity", "weights": weights, "rate": "21bps"}).profile.demands
    assert sum(one.rate_bps for one in few) <= 21
    assert all(one.rate_bps > 0 for one in few)


def test_a_day_goes_round_from_the_hour_on() -> None:
    mix = {"scene": "internet-mix", "name": "mix", "from": "a", "to": "c"}
    day = {"scene": "day-and-night", "target": "mix", "day": "24h", "days": 2, "hour": 21}
    events = _load(mix, day).profile.events
    assert len(events) == 48
    assert [one.at_ps for one in events] == [hour * 3600 * 10**12 for hour in range(48)]
    factors = [Fraction(one.by_ppb or 0, 10**9) for one in events]
    assert max(factors) == factors[0] == 1
    assert min(factors) == factors[7] == Fraction(35, 100)
    assert factors[:24] == factors[24:]
    short = _load(mix, day | {"day": "10ms", "days": 1, "hour": 0, "curve": ["50%", "100%", 2]})
    assert [one.at_ps for one in short.profile.events] == [0, 3_333_333_333, 6_666_666_666]
    assert short.profile.events[2].by_ppb == 2 * 10**9


def test_scenes_stand_beside_what_a_file_says_itself() -> None:
    own = {"name": "own", "from": "a", "to": "c", "interval": "1ms", "max-payload-size": "10B"}
    taken = {"scene": "sampled-values", "from": "${far}", "to": "b", "count": 3}
    case = _load(
        taken,
        streams=[own],
        parameters={"far": "c"},
        defaults={"stream": {"max-latency": "9ms"}},
        assumptions=["mine"],
    )
    mine, values = case.profile.streams
    assert (mine.max_latency_ps, values.max_latency_ps) == (9 * 10**9, 3 * 10**9)
    assert (values.name, values.talker, values.count) == ("sampled-values", "c", 3)
    assert case.profile.assumptions[0] == "mine"
    assert any("sampled-values: latency" in one for one in case.profile.assumptions[1:])


@pytest.mark.parametrize(
    ("scene", "where", "message"),
    [
        ({"from": "a"}, "scenes[0]",
         "no scene; write it like '- {scene: sampled-values, from: a, to: b}'"),
        ({"scene": "goos"}, "scenes[0].scene", "no scene 'goos'; did you mean 'goose'?"),
        ({"scene": "goose", "from": "a"}, "scenes[0]",
         "no 'to', which the scene 'goose' asks for"),
        ({"scene": "goose", "from": "a", "to": "b", "class_": "x"}, "scenes[0].class_",
         "no such key; did you mean 'class'?"),
        ({"scene": "goose", "from": "a", "to": "b", "name": ["x"]}, "scenes[0].name",
         "a list is not a text"),
        ({"scene": "goose", "from": "a", "to": "b", "max-latency": 3}, "scenes[0].max-latency",
         "3 has no unit; write it like '10us'"),
        ({"scene": "goose", "from": "a", "to": "d"}, "scenes[0].to", "no node 'd' in topology"),
        ({"scene": "goose", "from": "a", "to": "b", "at": "soon"}, "scenes[0]",
         "'soon+4ms' is not a time"),
        ({"scene": "gravity", "weights": {"a": 1}, "rate": "1Gbps"}, "scenes[0].weights",
         "'weights' are nodes with whole numbers from 1 on, two to 300 of them"),
        ({"scene": "gravity", "weights": {"a": 1, "b": 2}, "rate": "1"}, "scenes[0].rate",
         "1 has no unit; write it like '400Gbps'"),
        ({"scene": "day-and-night", "target": "x", "hour": 24}, "scenes[0].hour",
         "'hour' is a whole number from 0 to 23"),
        ({"scene": "day-and-night", "target": "x", "days": 367}, "scenes[0].days",
         "'days' is a whole number from 1 to 366"),
    ],
)  # fmt: skip
def test_scenes_that_cannot_be_are_refused_at_their_place(
    scene: dict[str, Any], where: str, message: str
) -> None:
    assert (where, message) in [(place, words[: len(message)]) for place, words in _faults(scene)]


def test_a_scene_twice_needs_two_names_and_scenes_are_a_list(tmp_path: Path) -> None:
    one = {"scene": "goose", "from": "a", "to": "b"}
    words = "a second scene called 'goose'; give it a 'name' of its own"
    assert _faults(one, one) == [("scenes[1]", words)]
    assert len(_load(one, one | {"name": "other"}).profile.streams) == 2
    path = tmp_path / "t.yaml"
    path.write_text("title: t\ntopology: eight-hubs\nscenes:\n  - {scene: goose,\n     from: q}\n")
    with pytest.raises(InputError) as caught:
        load(path)
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (4, 5)
    path.write_text("title: t\ntopology: eight-hubs\nscenes: goose\n")
    with pytest.raises(InputError, match="not a list"):
        load(path)


def test_the_hubs_are_as_far_apart_as_monitoring_says() -> None:
    """Mean one-way delay 9.7 ms, 17.1 ms at most: CAICT, first quarter of 2024."""
    topology = read_topology("eight-hubs")
    delays = [propagation_ps(one, topology.node_by_name).there / 1e9 for one in topology.links]
    assert len(delays) == 45
    assert abs(sum(delays) / 45 / 9.7 - 1) < 0.1
    assert max(delays) < 17.1
    assert len({node.site for node in topology.nodes}) == 8


def test_the_eight_hubs_keep_their_promises() -> None:
    assert qnet.run("eight-hubs").passed


def test_plain_shows_what_scenes_are_and_their_sources() -> None:
    shown = CliRunner().invoke(main, ["validate", "--plain", "eight-hubs"]).output
    assert "# telesurgery-strict: one-way latency: under 10 ms (ATIS, 6G KPIs)" in shown
    assert "- name: telesurgery-strict-there" in shown
    listed = CliRunner().invoke(main, ["list"]).output
    assert all(f"  {name:24} {one.title}" in listed for name, one in SCENES.items())


def _rows(scene: Scene) -> list[str]:
    keys = [*scene.needs, *(key for key in scene.parameters if key != "curve")]
    settings = ", ".join(f"`{key}`" for key in [*keys, *{"curve"} & set(scene.parameters)])
    head = f"| **{scene.title}** `{scene.name}` | keys | {settings} | |"
    return [head, *(f"| | {what} | {value} | {source} |" for what, value, source in scene.figures)]


def test_the_page_has_every_figure_with_its_source(update_expected: bool) -> None:
    text = DOCS.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    rows = [row for scene in SCENES.values() for row in _rows(scene)]
    table = "\n".join(["| Scene | What | Figure | Source |", "|---|---|---|---|", *rows])
    fresh = f"{head}{BEGIN}\n{table}\n\n{END}{rest.partition(END)[2]}"
    if update_expected:
        DOCS.write_text(fresh, encoding="utf-8")
    assert DOCS.read_text(encoding="utf-8") == fresh, (
        "docs/profiles.md is stale; run: pytest tests/unit/test_scenes.py --update-expected"
    )
    assert all(one.figures for one in SCENES.values())
    assert all(figure.source for one in SCENES.values() for figure in one.figures)
