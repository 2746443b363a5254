"""Replay: windows and what is between them come to what one long run counts, frame for frame."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import qnet
from qnet.cli import main
from qnet.errors import ArgumentError
from qnet.files.read import bundled_timelines, read_timeline
from qnet.files.words import dump_yaml, file_data
from qnet.files.write import to_json
from qnet.model.replay import Replay
from qnet.model.scenario import Scenario
from qnet.model.timeline import Event
from qnet.model.topology import Sync, Topology
from qnet.model.traffic import Egress
from qnet.replays.clocks import carried_clocks
from qnet.replays.windows import cut_time
from qnet.report.replay import event_lines, promise_line, replay_lines, show_at, show_long
from qnet.report.replay_page import long_ticks, replay_page
from tests.slow_case import compare, ways_of

MS = 10**9
ROOT = Path(__file__).parents[2]


def _case(
    happening: list[dict[str, Any]], reaction: dict[str, Any] | None = None, **stream: Any
) -> Scenario:
    """Send reserved streams over a diamond of 10 km and 20 km ways, one over both."""
    does = {} if reaction is None else {"reaction": reaction}
    return qnet.load(
        {
            "title": "diamond",
            "topology": "net",
            "classes": [
                {"name": "r", "priority": 6, "mechanism": "tcqf", **does},
                {"name": "e", "priority": 0, "mechanism": "strict-priority"},
            ],
            "defaults": {"stream": {"class": "r", "max-payload-size": "500B"}},
            "streams": [
                {"name": "one", "from": "a", "to": "d", "interval": "100us", "max-loss": "0.1%"},
                {"name": "two", "from": "a", "to": "d", "interval": "200us", "paths": 2,
                 "max-loss": "0%", "recovery": {"history": 100, "reset": "10ms"}},
                {"name": "back", "from": "d", "to": "a", "interval": "400us",
                 "max-pkts-per-interval": 2, **stream},
            ],
            "demands": [{"name": "rest", "from": "b", "to": "c", "rate": "10Mbps", "class": "e"}],
            "events": happening,
            "simulation": {"duration": "20ms"},
        },
        topology={
            "title": "net",
            "tcqf": {"cycle": "20us", "buffers": 4},
            "defaults": {"node": {"processing": "2us"}, "link": {"rate": "1Gbps"}},
            "nodes": [{"name": name} for name in "abcd"],
            "links": [
                {"between": ["a", "b"], "length": "10km"},
                {"between": ["b", "d"], "length": "10km"},
                {"between": ["a", "c"], "length": "20km"},
                {"between": ["c", "d"], "length": "20km"},
            ],
        },
    )  # fmt: skip


REACTIONS: list[dict[str, Any]] = [
    {"policy": "failover", "detection-time": "1ms", "switching": "2ms", "wait-to-restore": "9ms"},
    {"policy": "local", "detection-time": "1ms", "planning": "2ms"},
    {"policy": "central", "detection-time": "1ms", "telemetry": "9ms", "planning": "5ms",
     "flows-per-second": 100, "wait-to-restore": "20ms"},
]  # fmt: skip

CUT = {"at": "100ms", "change": "cut", "target": "a--b", "for": "200ms"}


def _replay(scenario: Scenario, **how: Any) -> Replay:
    made: Replay = qnet.replay(scenario, **how).replay
    return made


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 380),
            st.sampled_from([("cut", "a--b"), ("cut", "c--d"), ("down", "b"), ("down", "d")]),
            st.integers(1, 150),
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([None, *REACTIONS]),
)
def test_windows_and_what_is_between_them_come_to_one_long_run(
    drawn: list[tuple[int, tuple[str, str], int]], reaction: dict[str, Any] | None
) -> None:
    """Every frame of a reserved stream is counted once, and lost if it is."""
    happening = [
        {"at": f"{at}ms", "change": change, "target": target, "for": f"{lasts}ms"}
        for at, (change, target), lasts in drawn
    ]
    scenario = _case(happening, reaction)
    made = _replay(scenario, until="400ms")
    assert made.watched_ps < 400 * MS
    assert not made.findings
    whole = scenario.with_(duration="400ms")
    seen = qnet.observe(whole, qnet.plan(whole))
    for told, counted in zip(made.streams, seen.streams, strict=True):
        assert told.name == counted.name
        assert (told.sent, told.lost) == (counted.sent, counted.lost)


LOADS = [
    {"change": "stop", "target": "one"},
    {"change": "stop", "target": "r"},
    {"change": "start", "target": "back"},
    {"change": "start", "target": "two"},
    {"change": "scale", "target": "r", "by": "0%"},
    {"change": "scale", "target": "rest", "by": "250%"},
    {"change": "attack", "from": "a", "to": "d", "rate": "5Mbps", "class": "e"},
]


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, 380_123), st.sampled_from(LOADS), st.integers(0, 150_000)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([None, *REACTIONS]),
)
def test_windows_with_loads_come_to_one_long_run(
    drawn: list[tuple[int, dict[str, str], int]], reaction: dict[str, Any] | None
) -> None:
    """What is silent is so before, in, between and after windows, whatever else is cut."""
    happening = [
        one | {"at": f"{at}us"} | ({"for": f"{lasts}us"} if lasts else {})
        for at, one, lasts in drawn
    ]
    scenario = _case([*happening, CUT], reaction)
    made = _replay(scenario, until="400ms")
    assert not made.findings
    whole = scenario.with_(duration="400ms")
    seen = qnet.observe(whole, qnet.plan(whole))
    for told, counted in zip(made.streams, seen.streams, strict=True):
        assert (told.name, told.sent, told.lost) == (counted.name, counted.sent, counted.lost)
    assert [one.name for one in made.demands] == [one.name for one in seen.demands]
    for told, counted in zip(made.demands, seen.demands, strict=True):
        assert abs(told.sent - counted.sent) <= 6 * (counted.sent + 9) ** 0.5


def test_an_outage_blocks_a_stream_for_as_long_as_it_lasts() -> None:
    """The effective blocked time is the outage, give or take an interval."""
    made = _replay(_case([CUT]))
    one, two, back = made.streams
    for stream in (one, back):
        interval_ps = stream.blocked_ps // max(stream.lost, 1)
        assert abs(stream.blocked_ps - 200 * MS) <= 2 * interval_ps
    assert (two.lost, two.dark) == (0, ())
    assert [(span.from_ps, span.until_ps) for span in one.dark] == [(100 * MS, 300 * MS)]
    (event,) = made.events
    assert (event.at_ps, event.until_ps, event.cut) == (100 * MS, 300 * MS, 2)
    assert {each.service for each in event.lost} == {"one", "back"}
    assert made.outcome == "fail"
    kept = {each.service: each.outcome for each in made.promises if each.kind == "loss"}
    assert kept == {"one": "fail", "two": "pass", "back": "fail"}


def test_a_reservation_is_promised_to_lose_nothing_where_nothing_is_said() -> None:
    """As in a run: a stream without `max-loss` that is cut for hours keeps no promise."""
    case = _case([CUT | {"target": "b", "change": "down", "for": "3h"}])
    streams = tuple(one.replace(max_loss_ppb=None) for one in case.profile.streams)
    silent = qnet.load(case.profile.replace(streams=streams), topology=case.topology)
    made = _replay(silent)
    assert made.outcome == "fail"
    kept = {each.service: each.outcome for each in made.promises if each.kind == "loss"}
    assert kept == {"one": "fail", "two": "pass", "back": "fail"}
    (back,) = (each for each in made.promises if each.service == "back")
    assert [(one.from_ps, one.until_ps) for one in back.spans] == [(100 * MS, 10_800_100 * MS)]


def test_a_longer_fibre_is_watched_until_its_frames_have_come() -> None:
    """Frames that are late for an hour are seen late, though each is longer under way than 5 ms."""
    other = {"at": "100ms", "change": "delay", "target": "b--d", "delay": "20ms", "for": "1h"}
    asked: dict[str, Any] = {"max-latency": "5ms"}
    case = _case([other], **asked)
    made = _replay(case)
    assert made.outcome == "fail"
    (late,) = (each for each in made.promises if each.kind == "latency")
    assert late.service == "back"
    (span,) = late.spans
    assert span.from_ps == 100 * MS
    assert 3_600_100 * MS <= span.until_ps <= 3_600_200 * MS
    assert all(each.lost * each.blocked_ps < each.sent * 30 * MS for each in made.streams)


def test_a_frame_over_two_paths_is_lost_when_both_its_copies_are() -> None:
    """What an event took are frames, in windows as between them."""
    made = _replay(_case([CUT, {"at": "1s", "change": "down", "target": "d", "for": "500ms"}]))
    (two,) = (each for each in made.streams if each.name == "two")
    cut, down = ({each.service: each.frames for each in one.lost} for one in made.events)
    assert "two" not in cut
    assert down["two"] == two.lost
    for one in made.streams:
        assert one.lost == cut.get(one.name, 0) + down[one.name]


def test_egress_is_short_for_as_long_as_what_breaks_it() -> None:
    """Not only in the windows at its begin and end; and not before it begins."""
    plain = _case([])
    case = qnet.load(
        plain.profile.replace(egress=(Egress.model_validate({"site": "west", "rate": "40Mbps"}),)),
        topology=plain.topology.replace(
            nodes=tuple(
                one.replace(site="west") if one.name == "a" else one for one in plain.topology.nodes
            )
        ),
        events={
            "title": "t",
            "events": [
                CUT | {"target": "c--d", "for": "10s"},
                CUT | {"at": "1s", "for": "2s"},
                CUT | {"at": "5s", "for": "1s"},
            ],
        },
    )
    made = _replay(case)
    (short,) = (each for each in made.promises if each.kind == "egress")
    at = [(one.from_ps // MS, one.until_ps // MS) for one in short.spans]
    assert at == [(1000, 3000), (5000, 6000)]
    assert short.reason == "0 b/s left of 40.000 Mb/s at the worst"


def test_what_loses_frames_at_random_is_not_said_to_lose_none() -> None:
    """They are told apart from other losses by nobody."""
    loss = {"at": "5ms", "change": "loss", "target": "a--b", "ratio": "50%", "for": "5ms"}
    made = _replay(_case([loss]))
    (event,) = made.events
    assert made.streams[0].lost > 0
    assert not any("no frame" in line for line in event_lines(event, made))
    (kept,) = (each for each in made.promises if each.service == "one")
    assert promise_line(kept, None).startswith("one: loss: broken; one lost ")


def test_words_say_one_of_one_thing_and_how_long_what_is_short_lasts() -> None:
    """And of what comes after the end that it was not played."""
    brief = CUT | {"at": "1s", "for": "400us"}
    made = _replay(_case([brief, CUT | {"at": "1h"}], None, **{"max-loss": "0%"}), until="1.1s")
    lines = list(replay_lines(made))
    assert lines[0].endswith(": 1 promise broken for some time")
    assert " in 1 window with " in lines[1]
    assert any(line.startswith("- back: loss: broken, 1.000 s for 400.000 us; ") for line in lines)
    assert lines[lines.index("- 1:00:00: cut of a--b at 1h for 200ms") + 1] == (
        "  after the end: not played"
    )


def test_what_is_scaled_while_it_is_cut_is_blocked_for_as_long_as_that() -> None:
    """Twice as many frames are lost in the time, at twice the rate; none while it is silent."""
    surge = {"at": "50ms", "change": "scale", "target": "rest", "by": "200%", "for": "3200ms"}
    cut = {"at": "100ms", "change": "cut", "target": "a--c", "for": "3000ms"}
    cut_too = {"at": "100ms", "change": "cut", "target": "b--d", "for": "3000ms"}
    stop = {"at": "1100ms", "change": "stop", "target": "rest", "for": "1000ms"}
    for happening, blocked_ps in (
        ([], 3000 * MS),
        ([surge], 3000 * MS),
        ([surge, stop], 2000 * MS),
    ):
        made = _replay(_case([*happening, cut, cut_too]))
        (rest,) = made.demands
        assert abs(rest.blocked_ps - blocked_ps) < 200 * MS


def test_what_is_sent_at_drawn_times_is_counted_on_average() -> None:
    """A demand is watched in the windows, and has its mean rate in between."""
    made = _replay(_case([CUT]), until="4000ms")
    (rest,) = made.demands
    mean_bits = Fraction(8 * (7 * 84 + 4 * 614 + 1538), 12)
    due = 4 * 10**7 / mean_bits
    assert rest.watched < rest.sent
    assert abs(rest.sent - due) < 6 * due**0.5


def test_windows_begin_with_a_period_and_meet() -> None:
    """Each has what was asked before its first change and after its last."""
    found = cut_time([50, 57, 200, 1000], 10, 5, 8, 1002)
    assert [(one.from_ps, one.until_ps) for one in found] == [(40, 62), (184, 205), (984, 1002)]
    assert [one.number for one in found] == [0, 1, 2]
    assert [(one.from_ps, one.until_ps) for one in cut_time([], 10, 5, 8, 100)] == [(0, 5)]


def test_it_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    """Windows that are done are not run again, whatever is left of the one that was not."""
    happening = [
        {"at": f"{at}ms", "change": "cut", "target": "a--b", "for": "30ms"} for at in (50, 150, 250)
    ]
    scenario = _case(happening)
    whole = _replay(scenario, folder=tmp_path / "whole")
    lines = (tmp_path / "whole" / "windows.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == len(whole.windows) > 3
    for kept in (b"", lines[0], lines[0] + lines[1][:100], b"".join(lines[:3]), b"junk\n"):
        folder = tmp_path / "part"
        folder.mkdir(exist_ok=True)
        (folder / "windows.jsonl").write_bytes(kept)
        assert to_json(_replay(scenario, folder=folder, resume=True)) == to_json(whole)
        assert (folder / "windows.jsonl").read_bytes() == b"".join(lines)


def test_a_replay_that_is_stopped_says_what_is_kept(tmp_path: Path) -> None:
    """Ctrl-C leaves the windows that are done, and the words say how to go on."""
    events = tmp_path / "events.yaml"
    lines = [f"  - {{at: {at}s, change: cut, target: xian-qingyang, for: 1s}}" for at in (10, 30)]
    events.write_text("\n".join(["title: t", "events:", *lines]) + "\n")
    out = tmp_path / "out"
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "qnet"), "replay", "zheng-qing-ha",
         "--events", str(events), "--out", str(out)], stderr=subprocess.PIPE,
    )  # fmt: skip
    kept = out / "windows.jsonl"
    while process.poll() is None and (not kept.exists() or not kept.read_bytes()):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    count = kept.read_bytes().count(b"\n")
    words = f"interrupted; {kept} has {count} of the windows; '--resume' goes on"
    assert words in said.decode()


def test_windows_of_another_run_are_not_taken(tmp_path: Path) -> None:
    """What is kept is known by what it follows from."""
    scenario = _case([CUT])
    _replay(scenario, folder=tmp_path)
    other = _case([CUT | {"where": "10%"}])
    assert to_json(_replay(other, folder=tmp_path, resume=True)) == to_json(_replay(other))


def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL, and then resume, until it is done."""
    events = tmp_path / "events.yaml"
    lines = [f"  - {{at: {at}ms, change: cut, target: xian-qingyang, for: 40ms}}"
             for at in (100, 300, 500)]  # fmt: skip
    events.write_text("\n".join(["title: t", "events:", *lines]) + "\n")
    command = [
        str(Path(sys.executable).parent / "qnet"),
        "replay",
        "zheng-qing-ha",
        "--events",
        str(events),
    ]
    out, nowhere = tmp_path / "out", subprocess.DEVNULL
    for _ in range(2):
        process = subprocess.Popen([*command, "--out", str(out), "--resume"], stderr=nowhere)
        kept = out / "windows.jsonl"
        before = kept.read_bytes() if kept.exists() else b""
        while process.poll() is None and (not kept.exists() or kept.read_bytes() == before):
            pass
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (out / "replay.json").exists()
    done = subprocess.run([*command, "--out", str(out), "--resume"], check=False,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 1, done.stderr
    fresh = tmp_path / "fresh"
    subprocess.run([*command, "--out", str(fresh)], check=False, capture_output=True)
    for name in ("replay.json", "plan.json", "windows.jsonl"):
        assert (out / name).read_bytes() == (fresh / name).read_bytes()


def test_a_network_that_is_broken_already_is_no_test_of_failures() -> None:
    """The hypothesis is looked at before the first event."""
    asked: dict[str, Any] = {"max-latency": "50us"}
    scenario = _case([CUT], **asked)
    with pytest.raises(ArgumentError, match="before anything happens"):
        _replay(scenario)


def test_without_events_there_is_nothing_to_replay() -> None:
    """It says what is missing, and where times are wrong, all at once."""
    with pytest.raises(ArgumentError, match="nothing happens"):
        _replay(_case([]))
    with pytest.raises(ArgumentError) as caught:
        _replay(_case([CUT]), until="soon", after="5")
    assert {one.file for one in caught.value.problems} == {"until", "after"}


def test_arguments_that_do_not_go_are_refused_before_anything_is_run() -> None:
    """Each by its name, and what goes with another together with it."""
    case = _case([CUT])
    for how, name in (
        ({"until": "0s"}, "until"),
        ({"after": "1y"}, "after"),
        ({"sample": 5}, "sample"),
        ({"resume": True}, "resume"),
        ({"emulate": "x"}, "emulate"),
    ):
        with pytest.raises(ArgumentError) as caught:
            _replay(case, **how)
        assert [one.file for one in caught.value.problems] == [name]


def test_a_scenario_may_be_named_as_for_a_run(tmp_path: Path) -> None:
    """And what comes back says in a line what it is."""
    plain = _case([])
    data = file_data(plain.profile) | {"events": [CUT]}
    (tmp_path / "net.yaml").write_text(dump_yaml(file_data(plain.topology)))
    (tmp_path / "diamond.yaml").write_text(dump_yaml(data))
    played = qnet.replay(str(tmp_path / "diamond.yaml"), until="500ms")
    assert played.replay == qnet.replay(_case([CUT]), until="500ms").replay
    assert repr(played) == "<Replay: FAIL  diamond; events: 1, windows: 2>"


def test_times_of_day_count_from_the_epoch_of_the_traffic(tmp_path: Path) -> None:
    """Also where the command looks for a title; an epoch in another zone is the same instant."""
    traffic, events = tmp_path / "diamond.yaml", tmp_path / "events.yaml"
    plain = _case([])
    (tmp_path / "net.yaml").write_text(dump_yaml(file_data(plain.topology)))
    traffic.write_text(dump_yaml(file_data(plain.profile) | {"epoch": "2026-03-29T00:00+01:00"}))
    cut = "  - {at: 2026-03-29T00:10+01:00, change: cut, target: a--b, for: 1s}\n"
    for epoch in ("", "epoch: 2026-03-28T23:00Z\n"):
        events.write_text(f"title: at night\n{epoch}events:\n{cut}")
        answer = CliRunner().invoke(main, ["replay", str(traffic), "--events", str(events)])
        assert answer.stdout.startswith("FAIL  at night: "), answer.output
        assert "- 2026-03-29 00:10:00+01:00: cut of a--b at 10min for 1s" in answer.stdout
    events.write_text(f"title: at night\nepoch: 2026-03-28T22:00Z\nevents:\n{cut}")
    answer = CliRunner().invoke(main, ["replay", str(traffic), "--events", str(events)])
    assert answer.exit_code == 2
    assert "2:8: epoch: the traffic file has the epoch" in answer.stderr
    assert "1 problem; nothing was run" in answer.stderr


def test_the_command_answers_in_words_and_json(tmp_path: Path) -> None:
    """Exit code 1 where a promise was broken for some time."""
    events = tmp_path / "events.yaml"
    events.write_text(
        "title: t\nevents:\n  - {at: 10s, change: cut, target: xian-qingyang, for: 600s}\n"
    )
    arguments = ["replay", "zheng-qing-ha", "--events", str(events)]
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 1, answer.output
    assert "FAIL" in answer.stdout
    words = (
        r"industrial-control: loss: broken by 100 of 100, 10.000 s to 0:10:10; .* lost 600,000 of"
    )
    assert re.search(words, answer.stdout)
    assert "relay-protection: loss: kept" in answer.stdout
    answer = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "replay.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert 'class="dark"' in page
    epochs = json.loads(page.split('id="epochs">')[1].split("</script>")[0])
    assert [one["cut"] for one in epochs] == [0, 134, 0]
    assert [bool(one["links"]) for one in epochs] == [False, True, False]
    answer = CliRunner().invoke(main, [*arguments, "--json"])
    assert json.loads(answer.stdout)["outcome"] == "fail"
    answer = CliRunner().invoke(main, [*arguments, "--resume"])
    assert answer.exit_code == 2


def test_latencies_over_time_are_those_of_the_twin() -> None:
    """Interval by interval: one that is moved, one over two paths, bursts, a demand."""
    cut = CUT | {"at": "5ms", "for": "8ms"}
    case = _case([cut], REACTIONS[0])
    plan = qnet.plan(case)
    assert plan.moves
    names = ["one", "two", "back", "rest"]
    seen = qnet.observe(case, plan, latencies=names)
    slow = compare((case.topology, case.profile, plan), seen)
    found = ways_of(case.topology, case.profile, plan)
    step = seen.series_end_ps[0]
    assert [one.name for one in seen.latencies] == names
    for made in seen.latencies:
        took: dict[int, list[int]] = defaultdict(list)
        for (source, number), latency in slow.latency.items():
            if found[source].name == made.name:
                own = slow.sources[source]
                place = number - own.first if own.numbers is None else own.numbers.index(number)
                took[own.births[place][0] // step].append(latency)
        assert list(made.intervals) == sorted(took)
        if made.name in ("one", "back"):
            assert len(took) < len(seen.series_end_ps), "they are cut off for a while"
        for place, *figures in zip(
            made.intervals, made.frames, made.least_ps, made.sum_ps, made.most_ps, strict=True
        ):
            here = took[place]
            assert figures == [len(here), min(here), sum(here), max(here)]
    assert seen.replace(latencies=()) == qnet.observe(case, plan)
    alone = qnet.observe(case, plan, latencies=["two"], threads=1).latencies
    assert alone == (seen.latencies[1],)


def test_the_page_draws_latencies_of_those_that_events_touch_most() -> None:
    """Moved ones first, then those that were cut off; or those that are asked for."""
    played = qnet.replay(_case([CUT], REACTIONS[0]))
    for window in played.replay.windows:
        assert [one.name for one in window.latencies] == ["one", "back"]
    page = replay_page(played.replay, played.calm.case)
    assert page.count("latency of one: 133.208 us at the bottom, 89.000 us more at the top") == 3
    asked = _replay(_case([CUT], REACTIONS[0]), latency=["two"])
    assert {one.name for window in asked.windows for one in window.latencies} == {"two"}
    with pytest.raises(ArgumentError, match="no stream or demand of that name; did you mean 'two'"):
        _replay(_case([CUT]), latency=["tow"])


def test_a_window_that_switches_were_too_slow_for_is_not_known(tmp_path: Path) -> None:
    """What was kept of it is read again, as it would be made on a crowded machine."""
    calm = {"at": "100ms", "change": "delay", "target": "c--d", "delay": "101us", "for": "9ms"}
    scenario = _case([calm])
    assert _replay(scenario, folder=tmp_path).outcome == "pass"
    kept = tmp_path / "windows.jsonl"
    line, *others = map(json.loads, kept.read_text().splitlines())
    real = {"tier": "mininet", "frames": 9, "hops": 9, "delivered": 9, "lost": 0}
    line["emulated"] = {**real, "difference_ps": 0, "void": "5 of 9 frames were late"}
    kept.write_text("".join(json.dumps(one) + "\n" for one in (line, *others)))
    made = _replay(scenario, folder=tmp_path, resume=True)
    assert made.outcome == "unknown"
    lines = list(replay_lines(made))
    assert lines[0].startswith("NOT KNOWN")
    assert "1 window that real switches were too slow for" in lines[0]
    assert any("not known: what real switches do" in one and "5 of 9" in one for one in lines)


def test_random_processes_are_drawn_to_the_end_of_a_replay() -> None:
    process = {"change": "cut", "targets": ["a--b"], "mtbf": "100d", "repair": {"mean": "2h"}}
    plain = _case([])
    case = qnet.load(
        plain.profile, topology=plain.topology, events={"title": "t", "processes": [process]}
    )
    with pytest.raises(ArgumentError, match="random processes have no last event"):
        qnet.replay(case)
    played = qnet.replay(case, until="400d")
    cuts = played.scenario.profile.events
    assert 1 <= len(cuts) <= 9
    assert {(one.process, one.target) for one in cuts} == {("cut", "a--b")}
    assert len(played.replay.events) == len(cuts)
    assert played.replay.until_ps == 400 * 86_400 * 10**12


@pytest.mark.parametrize("name", bundled_timelines())
def test_bundled_timelines_fit_their_traffic(name: str) -> None:
    """Each says where it is known from, and when it was."""
    case = qnet.load(name)
    timeline = read_timeline(name)
    assert timeline.epoch
    assert timeline.description
    assert case.profile.epoch == timeline.epoch
    assert len(case.profile.events) == len(timeline.events)
    text = (ROOT / "traffic" / "timelines" / f"{name}.yaml").read_text()
    assert "# Source" in text
    assert "# Assumption" in text


def test_a_trunk_is_cut_at_0840_and_spliced_at_1650() -> None:
    """Streams over both routes lose nothing; what is lost is what is due in 8 h 10 min."""
    answer = CliRunner().invoke(main, ["replay", "zhengzhou-2001-06"])
    assert answer.exit_code == 1, answer.output
    assert answer.stdout.startswith("FAIL  Zhengzhou, 15 June 2001: road works cut the trunk")
    assert "2001-06-15 08:40:00+08:00: road works at Huayuankou: cut of zh" in answer.stdout
    assert "blocked for 8:10:00 at most" in answer.stdout
    assert "relay-protection: loss: kept" in answer.stdout
    again = CliRunner().invoke(main, ["replay", "zheng-qing-ha", "--events", "zhengzhou-2001-06"])
    assert again.stdout == answer.stdout


def test_a_timeline_that_is_not_there_is_named() -> None:
    """With what is alike."""
    answer = CliRunner().invoke(main, ["replay", "qingyang", "--events", "zhengzhou-2001-6"])
    assert answer.exit_code == 2
    assert "zhengzhou-2001-06" in answer.stderr


def test_long_times_are_told_in_days_and_by_the_clock() -> None:
    """Short ones as everywhere."""
    second = 10**12
    assert show_long(9 * MS) == "9.000 ms"
    assert show_long(29_400 * second) == "8:10:00"
    assert show_long(648_000 * second + 23 * MS) == "7 d 12:00:00.023"
    assert show_at("2001-06-15T08:00+08:00", 2400 * second) == "2001-06-15 08:40:00+08:00"
    assert show_at(None, 2 * second) == show_long(2 * second)


def test_a_long_time_line_has_ticks_in_hours_and_days() -> None:
    """Of the clock on the wall where there is an epoch, at round times of it; to its last year."""
    second, day = 10**12, 86_400
    assert [text for text, _ in long_ticks(None, 90 * second)][:2] == ["0 s", "20 s"]
    assert [text for text, _ in long_ticks(None, 2 * day * second)][3:6] == [
        "18:00",
        "1 d",
        "1 d 6:00",
    ]
    ticks = long_ticks("2001-06-15T08:10+08:00", 6 * 3600 * second)
    assert ticks[0][0] == "06-15 09:00"
    assert abs(ticks[0][1] - 1000 * 50 / 360) < 1e-9
    assert [text for text, _ in ticks[1:3]] == ["06-15 10:00", "06-15 11:00"]
    dates = long_ticks("2006-12-26T20:00+08:00", 8 * day * second)
    assert [text for text, _ in dates][:2] == ["2006-12-27", "2006-12-28"]
    far = 20_000 * 365 * day * second
    assert show_at("2001-06-15T08:10+08:00", far) == "2001-06-15T08:10+08:00 + 7300000 d 0:00:00"
    assert long_ticks("2001-06-15T08:10+08:00", far)[-1][0].endswith(" d on")
    assert len(long_ticks(None, far)) <= 9


@pytest.mark.parametrize(
    ("happening", "interval", "left"),
    [
        ({"step": "3us", "for": "250ms"}, None, ["set ahead by 3us at 0ps for 155ms"]),
        ({"step": "3us", "for": "50ms"}, None, []),
        # 4 us by the end of it, and for good; 9.5 us, and it goes on.
        ({"drift": "100ppm", "for": "40ms"}, None, ["set ahead by 4us at 0ps"]),
        (
            {"drift": "-100ppm", "for": "150ms"},
            None,
            ["too slow by 100ppm at 0ps for 55ms", "set back by 9.5us at 0ps"],
        ),
        # Set right at 187.5 ms.
        ({"step": "3us"}, "31.25ms", []),
        (
            {"drift": "100ppm"},
            "31.25ms",
            ["too fast by 100ppm at 0ps", "set ahead by 750ns at 0ps"],
        ),
        ({"holdover": True}, "31.25ms", ["in holdover at 0ps"]),
    ],
)
def test_a_window_begins_with_what_events_have_made_of_clocks(
    happening: dict[str, Any], interval: str | None, left: list[str]
) -> None:
    clock = {"at": "100ms", "change": "clock", "target": "a", **happening}
    scenario = _case([] if "holdover" in happening else [clock])
    topology = scenario.topology
    if interval is not None:
        sync = {"grandmaster": "d", "interval": interval}
        topology = Topology(
            title="t", nodes=topology.nodes, links=topology.links, sync=Sync.model_validate(sync)
        )
    events = (Event.model_validate(clock),)
    made = carried_clocks(topology, scenario.profile.replace(events=events), 195 * MS)
    assert [one.event.words.removeprefix("clock of a ") for one in made] == left


def test_frames_are_watched_by_clocks_that_were_set_long_before() -> None:
    """As late, and as many of them, as in one long run."""
    clock = {"at": "100ms", "change": "clock", "target": "a", "drift": "-100ppm", "for": "150ms"}
    scenario = _case([clock, {"at": "200ms", "change": "cut", "target": "c--d", "for": "10ms"}])
    made, whole = _replay(scenario, until="400ms"), scenario.with_(duration="400ms")
    seen = qnet.observe(whole, qnet.plan(scenario.with_(events=[])))
    for told, counted in zip(made.streams, seen.streams, strict=True):
        assert (told.sent, told.lost) == (counted.sent, counted.lost)
    still = _replay(_case([{"at": "200ms", "change": "cut", "target": "c--d", "for": "10ms"}]))
    assert made.streams[0].latency_ps_max != still.streams[0].latency_ps_max
    assert made.unwatched


def test_what_lasts_is_carried_into_every_window() -> None:
    """A link that is longer, or loses, for a while: in force where frames are watched."""
    longer = {"at": "100ms", "change": "delay", "target": "a--b", "delay": "1ms", "for": "250ms"}
    scenario = _case([longer, {"at": "200ms", "change": "cut", "target": "c--d", "for": "10ms"}])
    made = _replay(scenario, until="400ms")
    whole = scenario.with_(duration="400ms")
    seen = qnet.observe(whole, qnet.plan(scenario.with_(events=[])))
    assert made.unwatched == ()
    for told, counted in zip(made.streams, seen.streams, strict=True):
        assert (told.sent, told.lost) == (counted.sent, counted.lost)
        assert told.latency_ps_max is not None
        assert counted.latency_ps_max is not None
        assert abs(told.latency_ps_max - counted.latency_ps_max) < MS // 10
    lossy = {"at": "100ms", "change": "loss", "target": "a--b", "ratio": "1%", "for": "100ms"}
    short = _replay(_case([lossy]))
    assert len(short.unwatched) == 1
    assert short.outcome != "pass"
    back = [
        {"at": "100ms", "change": "cut", "target": "a--b"},
        {"at": "104ms", "change": "restore-optical", "target": "a--b", "share": "10%",
         "for": "100ms"},
    ]  # fmt: skip
    assert len(_replay(_case(back)).unwatched) == 1
    made, long = _replay(_case(back), after="150ms"), _case(back).with_(duration="400ms")
    seen = qnet.observe(long, qnet.plan(long.with_(events=[])))
    assert made.unwatched == ()
    assert [one.lost for one in made.streams] == [one.lost for one in seen.streams]
    watched = _replay(_case([lossy]), after="150ms")
    assert watched.unwatched == ()
    assert watched.streams[0].lost > 0
