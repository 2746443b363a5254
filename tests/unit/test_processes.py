"""Random processes, wall-clock times and tables of failures: what events come of them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import exp, factorial
from pathlib import Path
from typing import Any

import pytest
import yaml

import qnet
import qnet.model.expand as module
from qnet.errors import InputError
from qnet.files.read import load, read_topology
from qnet.files.run_folder import read_run
from qnet.files.words import to_yaml
from qnet.model.expand import expand
from qnet.model.outages import outages_of
from qnet.model.processes import Process
from qnet.model.timeline import Event, Timeline
from qnet.model.topology import Topology
from qnet.simulate.run import simulate
from qnet.units import INSTANT, PS_PER_S, format_quantity, parse

YEAR_PS = 365 * 86_400 * PS_PER_S
CUTS = {"change": "cut", "rate": "3/1000km/y"}
NET: dict[str, Any] = {
    "title": "t",
    "nodes": [
        {"name": "a"},
        {"name": "b", "failures": {"mtbf": "1y", "repair": "6h"}},
        {"name": "c", "site": "town"},
    ],
    "links": [
        {"between": ["a", "b"], "rate": "1Gbps", "length": "1000km", "cable": "duct"},
        {"between": ["b", "c"], "rate": "1Gbps", "length": "500km"},
    ],
}


def _drawn(process: dict[str, Any], years: int = 1, seed: int = 1, **net: Any) -> list[Event]:
    topology = Topology.model_validate(NET | net)
    return expand(topology, [Process.model_validate(process)], seed, years * YEAR_PS)


def _month(event: Event) -> int:
    return (datetime(2001, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.at_ps // 10**6)).month


def _poisson_99(mean: float) -> tuple[int, int]:
    """Return between which counts 99 % of Poisson variables lie."""
    chances = [exp(-mean) * mean**n / factorial(n) for n in range(150)]
    sums = [sum(chances[: n + 1]) for n in range(150)]
    return next(n for n, one in enumerate(sums) if one > 0.005), next(
        n for n, one in enumerate(sums) if one >= 0.995
    )


@pytest.mark.parametrize("season", [None, "china"])
def test_a_year_of_the_cables_of_qingyang_has_as_many_cuts_as_are_due(season: str | None) -> None:
    topology = read_topology("qingyang")
    own = [one for one in topology.links if any(end.startswith("qy-") for end in one.between)]
    targets = [*dict.fromkeys(topology.cable(one) for one in own)]
    process = Process.model_validate(
        CUTS | {"targets": targets} | ({"season": season} if season else {})
    )
    cuts = expand(topology, [process], 1, YEAR_PS)
    low, high = _poisson_99(58.4)
    assert (low, high) == (40, 79)
    assert low <= len(cuts) <= high
    months = Counter(map(_month, expand(topology, [process], 1, 30 * YEAR_PS)))
    least, most = 1752 / 12 * 0.8, 1752 / 12 * 1.2
    if season:
        assert months[7] > 2 * months[2]
        assert months[7] == max(months.values())
        assert 7 in map(_month, cuts)
    else:
        assert all(least < count < most for count in months.values())


def test_the_season_shows_in_the_first_year_already() -> None:
    topology = read_topology("qingyang")
    cuts = expand(topology, [Process.model_validate(CUTS | {"season": "china"})], 1, YEAR_PS)
    months = Counter(map(_month, cuts))
    assert months[7] > months[2]


def test_every_cable_has_a_random_stream_of_its_own() -> None:
    alone = [one for one in _drawn(CUTS, 50) if one.target == "duct"]
    more = [*NET["links"], {"between": ["a", "c"], "rate": "1Gbps", "length": "9km"}]
    assert [one for one in _drawn(CUTS, 50, links=more) if one.target == "duct"] == alone
    assert _drawn(CUTS, 30) == [one for one in _drawn(CUTS, 50) if one.at_ps < 30 * YEAR_PS]
    assert [one.at_ps for one in _drawn(CUTS, 50, seed=2) if one.target == "duct"] != [
        one.at_ps for one in alone
    ]
    other = _drawn(CUTS | {"name": "other"}, 50)
    assert {one.process for one in other} == {"other"}
    assert [one.at_ps for one in other] != [one.at_ps for one in _drawn(CUTS, 50)]


def test_times_between_cuts_and_places_and_repairs_have_their_laws() -> None:
    cuts = [one for one in _drawn(CUTS | {"repair": {"mean": "8h"}}, 1000) if one.target == "duct"]
    assert 2860 < len(cuts) < 3140
    gaps = [later.at_ps - one.at_ps for one, later in pairwise(cuts)]
    mean = sum(gaps) / len(gaps)
    # Of exponential times a share of 1/e is longer than the mean.
    assert abs(sum(gap > mean for gap in gaps) / len(gaps) - exp(-1)) < 0.03
    assert abs(sum(one.where_ppb for one in cuts) / len(cuts) / 1e9 - 0.5) < 0.02
    assert {one.duration_ps for one in cuts} == {8 * 3600 * PS_PER_S}
    for law, within in (("exponential", exp(-1)), ("lognormal", 0.3384)):
        repair = {"law": law, "mean": "8h"}
        drawn = _drawn(CUTS | {"repair": repair}, 2000)
        hours = [Fraction(one.duration_ps or 0, 3600 * PS_PER_S) for one in drawn]
        assert abs(float(sum(hours)) / len(hours) - 8) < 0.35
        # Longer than the mean: of lognormal ones as long as they vary, Phi(-sigma / 2).
        assert abs(sum(one > 8 for one in hours) / len(hours) - within) < 0.02


def test_rates_are_those_of_the_topology_where_a_process_has_none() -> None:
    plain = _drawn({"change": "cut"}, 200)
    assert Counter(one.target for one in plain) == Counter(one.target for one in _drawn(CUTS, 200))
    assert {one.duration_ps for one in plain} == {3 * 3600 * PS_PER_S}
    stops = _drawn({"change": "down"}, 200)
    assert {one.target for one in stops} == {"b"}
    assert 160 < len(stops) < 240
    assert {one.duration_ps for one in stops} == {6 * 3600 * PS_PER_S}
    town = _drawn({"change": "down", "mtbf": "100d", "targets": ["town"]}, 20)
    assert 45 < len(town) < 105


def test_from_and_until_leave_out_what_is_outside() -> None:
    whole = _drawn(CUTS, 40)
    part = _drawn(CUTS | {"from": "3y", "until": "20y"}, 40)
    assert part == [one for one in whole if 3 * YEAR_PS <= one.at_ps < 20 * YEAR_PS]


def test_rates_of_a_wrong_unit_are_refused_before_anything_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Means are exact in time as months weigh it, so a short stretch late in a run is let in."""
    drawn = module._events
    monkeypatch.setattr(module, "_events", lambda *given: pytest.fail("an event was drawn"))
    for storm in ({"mtbf": "1s"}, {"mtbf": "1s", "season": "china", "from": "3y"}):
        with pytest.raises(InputError, match="a rate has a wrong unit"):
            _drawn({"change": "cut", **storm}, 4)
    monkeypatch.setattr(module, "_events", drawn)
    hour = _drawn({"change": "cut", "mtbf": "60s", "until": "1h"}, 4)
    assert 80 < len(hour) < 160, "60 of each of two cables"
    winter = {"season": [0, *[1] * 11], "mtbf": "1s", "until": "30d"}
    assert not _drawn({"change": "cut", **winter}, 1), "nothing breaks in January here"


def test_instants_far_beyond_64_bits_are_exact() -> None:
    late = parse(INSTANT, "31y")
    assert late > 1 << 63
    assert parse(INSTANT, format_quantity(INSTANT, late + 7)) == late + 7
    happening = [
        Event.model_validate({"at": "30y", "change": "cut", "target": "duct"}),
        Event.model_validate({"at": "31y", "change": "repair", "target": "duct"}),
    ]
    found, misfits = outages_of(Topology.model_validate(NET), happening)
    assert not misfits
    assert [(one.from_ps, one.until_ps) for one in found] == [(parse(INSTANT, "30y"), late)]


TRAFFIC: dict[str, Any] = {
    "title": "p",
    "topology": "t",
    "streams": [
        {"name": "s", "from": "a", "to": "c", "class": "plain", "interval": "100us",
         "max-payload-size": "982B"}
    ],
    "classes": [{"name": "plain", "priority": 1, "mechanism": "strict-priority"}],
    "simulation": {"duration": "5ms"},
}  # fmt: skip


def _load(events: Any = None, **more: Any) -> qnet.Scenario:
    return load(TRAFFIC | more, topology=NET, events=events)


def _faults(events: Any = None, **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        _load(events, **more)
    return [(one.where, one.message) for one in caught.value.problems]


def test_wall_clock_times_count_from_the_epoch(tmp_path: Path) -> None:
    dig = {"at": "2001-06-15T08:40+08:00", "change": "cut", "target": "duct", "for": "8h"}
    read = load(TRAFFIC | {"epoch": "2001-06-15T00:00Z", "events": [dig]}, topology=NET)
    assert read.profile.events[0].at_ps == 40 * 60 * PS_PER_S
    own = {"title": "t", "epoch": "2001-06-15T08:39:59.5+08:00", "events": [dig]}
    assert _load(own).profile.events[0].at_ps == PS_PER_S // 2
    assert _load(own).profile.epoch == own["epoch"]
    shared = {"title": "t", "events": [dig]}
    assert _load(shared, epoch="2001-06-15T00:00Z").profile.events == read.profile.events
    path = tmp_path / "dig.yaml"
    path.write_text(
        "title: t\nepoch: 2001-06-15T08:00+08:00\nevents:\n"
        "  - {at: 2001-06-15T08:40+08:00, change: cut, target: duct, for: 8h}\n"
    )
    assert _load(path).profile.events == read.profile.events
    again = load(to_yaml_data(read), topology=NET)
    assert again.profile.events == read.profile.events


def to_yaml_data(scenario: qnet.Scenario) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(to_yaml(scenario.profile))
    return data


@pytest.mark.parametrize(
    ("at", "epoch", "message"),
    [
        ("2001-06-15T08:40", "2001-06-15T00:00Z",
         "'2001-06-15T08:40' has no time zone; write it like '2001-06-15T08:40+08:00'"),
        ("2001-02-29T08:40Z", "2001-01-15T00:00Z", "'2001-02-29T08:40Z' is not in the calendar"),
        ("2001-06-14T08:40Z", "2001-06-15T00:00Z",
         "'2001-06-14T08:40Z' is before the epoch, '2001-06-15T00:00Z'"),
        ("2001-06-15T08:40Z", None,
         "'2001-06-15T08:40Z' is a wall-clock time, and no 'epoch' says when the run starts; write "
         "it like 'epoch: 2001-06-15T08:40+08:00'"),
    ],
)  # fmt: skip
def test_wall_clock_times_that_cannot_be_are_refused(
    at: str, epoch: str | None, message: str
) -> None:
    more = {} if epoch is None else {"epoch": epoch}
    with pytest.raises(InputError) as caught:
        load(
            TRAFFIC | more | {"events": [{"at": at, "change": "cut", "target": "duct"}]},
            topology=NET,
        )
    assert [(one.where, one.message) for one in caught.value.problems] == [
        ("events[0].at", message)
    ]


def test_a_wrong_epoch_is_one_fault_and_two_epochs_are_another() -> None:
    dig = {"at": "2001-06-15T08:40Z", "change": "cut", "target": "duct"}
    with pytest.raises(InputError) as caught:
        load(TRAFFIC | {"epoch": "yesterday", "events": [dig]}, topology=NET)
    assert [one.where for one in caught.value.problems] == ["epoch"]
    other = {"title": "t", "epoch": "2001-06-15T08:00Z", "events": []}
    assert _faults(other, epoch="2001-06-15T00:00Z") == [
        ("epoch", "the traffic file has the epoch '2001-06-15T00:00Z'; a run starts once")
    ]


def test_what_is_drawn_is_part_of_a_run_and_is_drawn_anew_for_another_seed(
    tmp_path: Path,
) -> None:
    many = {"change": "cut", "rate": "1000000/km/y", "repair": {"mean": "1s"}}
    case = _load(processes=[many], simulation={"duration": "400ms"})
    assert len(case.profile.events) > 5
    assert {one.process for one in case.profile.events} == {"cut"}
    assert case.with_(seed=7).profile.events != case.profile.events
    assert case.with_(seed=7).with_(seed=1) == case
    assert case.with_(duration="100ms").profile.events == tuple(
        one for one in case.profile.events if one.at_ps < 10**11
    )
    assert case.with_(events=[]).profile.processes == ()
    calm = _load(simulation={"duration": "400ms"})
    assert case.traffic_sha256 == calm.traffic_sha256
    seen = simulate(case.topology, case.profile, qnet.plan(case))
    assert sum(taken.frames for use in seen.events for taken in use.lost) > 0
    from_file = _load({"title": "t", "processes": [many]}, simulation={"duration": "400ms"})
    assert from_file.profile.events == case.profile.events
    result = qnet.run(case)
    result.save(tmp_path / "run")
    again = read_run(tmp_path / "run")
    assert again.scenario.profile.events == case.profile.events
    assert again.scenario.profile.processes == case.profile.processes


@pytest.mark.parametrize(
    ("process", "where", "message"),
    [
        ({"change": "cut", "targets": ["dukt"]}, ".targets[0]",
         "no link, wire or cable 'dukt' in topology; did you mean 'duct'?"),
        ({"change": "down", "targets": ["a"]}, ".targets[0]",
         "nothing says how often 'a' fails; give 'mtbf'"),
        ({"change": "cut", "rate": "1/km/y", "mtbf": "1h"}, "",
         "'rate' and 'mtbf' both given; keep one"),
        ({"change": "down", "rate": "1/km/y"}, "",
         "'rate' does not go with down, a node has no length; give 'mtbf'"),
        ({"change": "cut", "season": "moon"}, ".season",
         "'moon' is no season; write 'china', or twelve whole numbers"),
        ({"change": "cut", "season": [1, 2]}, ".season",
         "a list of 2; a season has twelve months"),
        ({"change": "cut", "season": [0] * 12}, ".season",
         "no month has any weight; one at least has more than 0"),
        ({"change": "cut", "repair": {"mean": "0h"}}, ".repair.mean",
         "0h is zero; a duration here is more than zero"),
        ({"change": "cut", "repair": {"deviation": "1h"}}, ".repair",
         "'deviation' does not go with fixed; leave it out"),
    ],
)  # fmt: skip
def test_processes_that_cannot_be_are_refused(
    process: dict[str, Any], where: str, message: str
) -> None:
    assert _faults(processes=[process]) == [(f"processes[0]{where}", message)]


def test_more_than_a_run_can_have_are_refused() -> None:
    storm = {"change": "cut", "mtbf": "1s"}
    twins = _faults(processes=[storm, storm])
    assert twins == [
        ("processes[1].name", "a second process called 'cut'; give it a name of its own")
    ]
    flood = {"change": "cut", "rate": "1000000/km/y"}
    found = _faults(processes=[flood], simulation={"duration": "100s"})
    assert [message for _, message in found] == [
        "1001 events before the end of the run; at most 1000"
    ]


def test_a_file_may_have_more_events_than_a_run_after_its_end() -> None:
    later = [{"at": f"{n + 1}h", "change": "cut", "target": "duct", "for": "1s"}
             for n in range(1500)]  # fmt: skip
    first = {"at": "1ms", "change": "cut", "target": "b--c"}
    case = _load({"title": "t", "events": [*later, first]})
    seen = simulate(case.topology, case.profile, qnet.plan(case))
    assert len(seen.events) == 1501
    assert [sum(one.frames for one in use.lost) > 0 for use in seen.events][-2:] == [False, True]


# Tables of failures


def _table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "failures.csv"
    path.write_text(text)
    return path


def test_a_table_of_failures_is_read_as_events(tmp_path: Path) -> None:
    table = _table(
        tmp_path,
        "start,end,target,name\n"
        "2001-06-15T08:40+08:00,2001-06-15T16:50+08:00,duct,road works\n"
        "\n"
        "90min,,b--c,\n"
        '"2h","3h","town",""\n',
    )
    case = _load(table, epoch="2001-06-15T08:00+08:00")
    assert [one.words for one in case.profile.events] == [
        "road works: cut of duct at 40min for 490min",
        "cut of b--c at 1.5h",
        "down of town at 2h for 1h",
    ]


def test_faults_of_a_table_are_told_at_line_and_column(tmp_path: Path) -> None:
    table = _table(
        tmp_path,
        "start,end,target,wehre\n"
        "1h,30min,duct\n"
        "1h,2h\n"
        "1,2h,duct\n"
        "2001-06-15T08:40Z,,duct\n"
        "1h,2h,dukt\n",
    )
    with pytest.raises(InputError) as caught:
        _load(table)
    assert [(one.line, one.column, one.message) for one in caught.value.problems] == [
        (1, 18, "no such column; one of start, end, target, name, note, source"),
        (2, 4, "30min is not after the start, 1h"),
        (3, 4, "no 'target' in this line"),
        (4, 1, "1 has no unit; write it like '10us'"),
        (5, 1, "'2001-06-15T08:40Z' is a wall-clock time, and no 'epoch' says when the run starts;"
               " write it like 'epoch: 2001-06-15T08:40+08:00'"),
        (6, 7, "no link, wire or cable 'dukt' in topology; did you mean 'duct'?"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\n\n", 'start,end,"target\n'])
def test_what_is_no_table_of_failures_is_said_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        _load(_table(tmp_path, text))
    assert len(caught.value.problems) == 1


def test_nothing_in_a_table_is_passed_over(tmp_path: Path) -> None:
    """Neither a column that is there twice, nor what stands in none, nor what no text has."""
    for text, places in (
        ("start,end,target,target\n1s,2s,duct,b--c\n", [(1, 18, "column again; keep one of them")]),
        (
            "start,end,target\n1s,2s,duct,a note\n1s,2s,duct,,\n",
            [(2, 12, "'a note' is in no column; put a text with commas in quotes")],
        ),
        (
            "start,end,target,name\n1s,2s,duct,\x1b[31mred\n",
            [(2, 12, "character U+001B does not belong in a text file; remove it")],
        ),
        (
            "start,end,target\n" + "1s,2s,duct\n" * 100_002,
            [(100_002, 1, "the table is too long; at most 100,000 failures")],
        ),
    ):
        with pytest.raises(InputError) as caught:
            _load(_table(tmp_path, text))
        assert [(one.line, one.column, one.message) for one in caught.value.problems] == places


def test_a_process_that_could_never_break_anything_is_a_fault() -> None:
    """And one that names a thing twice: it would be drawn twice, at the same instants."""
    found = _faults(
        processes=[
            CUTS | {"from": "2s", "until": "1s"},
            CUTS | {"name": "again", "targets": ["duct", "duct"]},
        ]
    )
    assert found == [
        ("processes[0]", "'until' is not after 'from'; nothing would ever break"),
        ("processes[1]", "'duct' twice in 'targets'; it breaks once"),
    ]


def test_a_link_named_from_its_other_end_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'b--c'"):
        _load(_table(tmp_path, "start,end,target\n1s,2s,c--b\n"))


def test_a_timeline_with_processes_is_written_as_it_is_read() -> None:
    process = Process.model_validate(
        CUTS | {"repair": {"law": "lognormal", "mean": "3h", "deviation": "9h"},
                "season": list(range(12)), "from": "1d", "until": "2y", "targets": ["duct"]}
    )  # fmt: skip
    timeline = Timeline(title="t", epoch="2001-06-15T08:00+08:00", processes=(process,))
    assert _load(timeline).profile.processes == (process,)
    assert _load(yaml.safe_load(to_yaml(timeline))).profile.processes == (process,)
