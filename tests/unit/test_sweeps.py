"""Sweeps: which cases there are, what is left in each; who does the work changes nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import qnet
from qnet.check.plan import Known, prove
from qnet.cli import main
from qnet.errors import ArgumentError, Cancelled, InputError
from qnet.files.read import read_sweep
from qnet.files.write import to_json
from qnet.graph.flows import FlowProgram, most_placed_bps
from qnet.graph.routes import Routes
from qnet.model.scenario import Scenario
from qnet.model.sweep import KINDS_OF_FAILURE, CaseResult, Depth, Sweep
from qnet.model.timeline import Event
from qnet.model.topology import Topology
from qnet.progress import Heeded
from qnet.report.columns import to_csv
from qnet.report.sweep import case_table, sweep_lines, sweep_page
from qnet.schedule.reserve import Keeping
from qnet.schedule.run import schedule
from qnet.sweeps import failures, run
from qnet.sweeps.failures import double_failures, single_failures
from qnet.sweeps.pool import in_processes
from qnet.sweeps.reach import Reach
from qnet.sweeps.state import Services
from tests import dying

QNET = Path(sys.executable).with_name("qnet")

NETWORK: dict[str, Any] = {
    "title": "A square with a tail",
    "failures": {"nodes": {"mtbf": "5y", "repair": "12h"}},
    "nodes": [
        {"name": "a", "site": "west", "processing": "2us"},
        *({"name": name, "processing": "2us"} for name in "bcde"),
    ],
    "links": [
        {"between": ["a", "b"], "rate": "100Gbps", "length": "100km", "members": 2},
        {"between": ["b", "c"], "rate": "100Gbps", "length": "100km"},
        {"between": ["c", "d"], "rate": "100Gbps", "length": "200km", "cable": "south"},
        {"between": ["d", "a"], "rate": "100Gbps", "length": "200km", "cable": "south"},
        {"between": ["c", "e"], "rate": "100Gbps", "length": "50km"},
    ],
}
TRAFFIC: dict[str, Any] = {
    "title": "Two streams and a demand",
    "topology": "square",
    "classes": [
        {"name": "control", "priority": 6, "mechanism": "tcqf"},
        {"name": "bulk", "priority": 0, "mechanism": "strict-priority"},
    ],
    "streams": [
        {
            "name": "one",
            "from": "a",
            "to": "c",
            "class": "control",
            "interval": "100us",
            "max-payload-size": "300B",
            "max-latency": "3ms",
        },
        {
            "name": "two",
            "from": "a",
            "to": "c",
            "class": "control",
            "paths": 2,
            "interval": "100us",
            "max-payload-size": "300B",
            "max-latency": "4ms",
        },
    ],
    "demands": [
        {"name": "bulk", "from": "a", "to": "c", "rate": "60Gbps", "class": "bulk"},
        {"name": "tail", "from": "a", "to": "e", "rate": "20Gbps", "class": "bulk"},
    ],
    "egress": [{"site": "west", "rate": "70Gbps"}],
    "simulation": {"duration": "2ms"},
}


@pytest.fixture(scope="module")
def square() -> Scenario:
    return qnet.load(TRAFFIC, topology=NETWORK)


@pytest.fixture(scope="module")
def whole(square: Scenario) -> Sweep:
    return qnet.sweep(square, processes=2)


def by_title(sweep: Sweep) -> dict[str, CaseResult]:
    return {one.case.failure.title: one for one in sweep.results}


# Which cases there are


def test_what_takes_the_same_wires_is_one_failure(square: Scenario) -> None:
    listed = single_failures(square.topology, KINDS_OF_FAILURE)
    names = [name for one in listed.failures for name in one.names]
    assert len(names) == len(set(names)) == listed.names == 4 + 5 + 2 + 5 + 1
    assert len({one.ports for one in listed.failures}) == len(listed.failures)
    merged = {one.names for one in listed.failures if len(one.names) > 1}
    assert ("cable c--e", "link c--e", "node e") in merged
    assert ("node a", "site west") in merged
    south = next(one for one in listed.failures if one.names[0] == "cable south")
    assert south.names == ("cable south", "node d")
    assert {square.topology.ports[port].link for port in south.ports} == {2, 3}


def test_a_failure_is_broken_for_as_long_as_its_cable_and_node_are(square: Scenario) -> None:
    listed = single_failures(square.topology, KINDS_OF_FAILURE)
    found = {one.title: one.broken_us_per_year for one in listed.failures}
    hour_us = 3_600_000_000
    assert found["cable b--c"] == pytest.approx(3 * 0.1 * 3 * hour_us)
    assert found["link c--d"] is None  # only its cable has a rate
    assert found["node b"] == pytest.approx(12 / 5 * hour_us, rel=1e-6)
    # What is a cable and a node is broken for about the sum of both.
    assert found["cable c--e"] == pytest.approx((3 * 0.05 * 3 + 12 / 5) * hour_us, rel=1e-3)


def test_doubles_leave_out_less_than_was_asked(square: Scenario) -> None:
    """Against all states of all things, added up one by one."""
    topology = square.topology
    shares = failures._broken_shares(topology)
    things = list(shares)
    left = 1.0
    listed = double_failures(topology, 1e-8)
    pairs = {frozenset(one.targets) for one in listed.failures}
    for broken in product((False, True), repeat=len(things)):
        down = frozenset(one for one, is_down in zip(things, broken, strict=True) if is_down)
        share = 1.0
        for one, is_down in zip(things, broken, strict=True):
            share *= shares[one] if is_down else 1 - shares[one]
        if len(down) < 2 or down in pairs:
            left -= share
    assert listed.unlisted_ppt is not None
    assert left < 1e-8
    assert listed.unlisted_ppt == pytest.approx(left * 1e12, abs=5)
    likely = [
        shares[a] * shares[b] for a, b in map(tuple, (one.targets for one in listed.failures))
    ]
    assert likely == sorted(likely, reverse=True)
    one_less = {frozenset(one.targets) for one in listed.failures[:-1]}
    assert len(one_less) < len(pairs) <= len(list(combinations(things, 2)))
    with pytest.raises(ArgumentError, match="give a larger share"):
        double_failures(topology, 1e-14)


def test_settings_and_seeds_are_cases(tmp_path: Path) -> None:
    found = qnet.sweep(
        "ceni-beijing-loop",
        settings={"interferers": [1, 7]},
        seeds=[1, 2, 3],
        fail=(),
        depth="lp",
        processes=1,
    )
    assert [(one.case.settings, one.case.seed) for one in found.results] == [
        ((("interferers", count),), seed) for count in "17" for seed in (1, 2, 3)
    ]
    few, many = found.results[0].replanned, found.results[3].replanned
    assert few is not None
    assert many is not None
    assert few.lost_bps <= many.lost_bps


# What is left in each


def test_what_is_kept_is_what_the_checker_says_of_the_epoch(square: Scenario, whole: Sweep) -> None:
    plan = qnet.plan(square)
    for one in whole.results:
        assert one.kept is not None
        events = [
            Event.model_validate(
                {
                    "at": "0s",
                    "change": "down" if kind in ("node", "site") else "cut",
                    "target": name,
                }
            )
            for kind, name in one.case.failure.targets
        ]
        if not events:
            continue
        proof = prove(square.topology, square.profile.replace(events=tuple(events)), plan)
        (epoch,) = proof.epochs
        assert len(epoch.cut) == one.kept.streams_cut, one.case.title
        assert len(epoch.reduced) == one.kept.streams_reduced, one.case.title
        assert not epoch.findings
        losses = {loss.name: loss.share_ppb for loss in proof.demand_losses}
        assert sum(share > 0 for share in losses.values()) == one.kept.demands_short


def test_nothing_fails_first_and_is_the_plan_itself(square: Scenario, whole: Sweep) -> None:
    first, plan = whole.results[0], qnet.plan(square)
    assert first.kept is not None
    assert first.replanned is not None
    assert first.kept.egress[0].placed_bps == plan.egress[0].placed_bps
    assert first.kept.promises_broken == first.replanned.promises_broken == 0
    assert first.outcome == "pass"


def test_planned_anew_is_what_keep_and_fail_give(square: Scenario, whole: Sweep) -> None:
    plan = qnet.plan(square)
    for one in whole.results[1:]:
        kind, name = one.case.failure.targets[0]
        again = qnet.plan(square, keep=plan, fail=[name])
        assert one.replanned is not None
        assert one.replanned.egress[0].placed_bps == again.egress[0].placed_bps, (kind, name)
        assert one.replanned.egress[0].bound_bps == again.egress[0].bound_bps
        refused = sum(entry.status == "refused" for entry in again.streams)
        assert one.replanned.streams_cut == refused


def test_the_ring_is_survived_and_the_tail_is_not(whole: Sweep) -> None:
    found = by_title(whole)
    ring, tail = found["cable b--c"], found["cable c--e"]
    assert ring.kept is not None
    assert ring.replanned is not None
    assert (ring.kept.streams_reduced, ring.replanned.streams_reduced) == (1, 1)
    assert ring.kept.lost_bps > ring.replanned.lost_bps == 0
    assert tail.kept is not None
    assert tail.replanned is not None
    assert tail.kept.lost_bps == tail.replanned.lost_bps == 20 * 10**9
    assert dict(tail.replanned.services)["tail"] == 1
    (least,) = whole.survivable
    assert found["cable c--e"].case.number == least.replanned_case or least.replanned_bps == 0


def test_the_checker_judges_each_plan(square: Scenario) -> None:
    """A plan with a fault is no answer that passes."""
    plan = qnet.plan(square)
    late = [one.replace(max_latency_ps=10**9) for one in square.profile.streams]
    profile = square.profile.replace(streams=tuple(late))
    proof = prove(square.topology, profile, plan)
    state = Services(square.topology, profile).replanned(plan, proof)
    assert state.promises_broken == 2
    assert len(state.findings) == 2


def test_what_is_known_of_entries_changes_no_proof(square: Scenario) -> None:
    """Whatever plans come one after the other: sound, broken, and with one stream twice."""
    topology, profile = square.topology, square.profile
    plan = qnet.plan(square)
    listed = single_failures(topology, KINDS_OF_FAILURE).failures
    cable = {"cut": next(one.ports for one in listed if "cable south" in one.names)}
    around = schedule(
        topology, profile, topology_sha256="", traffic_sha256="", keep=plan, down=cable
    )
    assert around.streams[0] is plan.streams[0]
    assert around.streams[1] != plan.streams[1]
    late = plan.streams[0].replace(send_ps=(plan.streams[0].send_ps or 0) + 10**9)
    longer = tuple(path.replace(cycles=(*path.cycles, 1)) for path in late.paths)
    unsound = late.replace(paths=longer)
    others = plan.streams[1:]
    plans = [
        plan,
        around,
        plan.replace(streams=(late, *others)),
        plan.replace(streams=(*others, unsound, plan.streams[0])),
        plan.replace(streams=(plan.streams[0], late, *others)),
        plan.replace(streams=(late, plan.streams[0], *others)),
        plan.replace(hypercycle=7),
        plan.replace(streams=others),
        plan,
    ]
    known = Known(topology, profile)
    for one in (*plans, *plans):
        assert prove(topology, profile, one, known=known) == prove(topology, profile, one)
    assert known.of(plan.streams[0]) is not None
    assert known.of(late) is known.of(plan.streams[0].replace()) is None


def test_a_plan_that_is_kept_again_and_again_is_kept_the_same(square: Scenario) -> None:
    topology, profile = square.topology, square.profile
    plan = qnet.plan(square)
    keeping = Keeping(plan)
    failures = single_failures(topology, KINDS_OF_FAILURE).failures
    for failure in (*failures, *failures[::-1]):
        down = {failure.title: failure.ports}
        again, anew = (
            schedule(topology, profile, topology_sha256="", traffic_sha256="", keep=one, down=down)
            for one in (keeping, plan)
        )
        assert again == anew, failure.title


def test_simulated_the_failure_takes_frames_of_those_that_it_cuts(square: Scenario) -> None:
    found = by_title(
        qnet.sweep(square, depth="simulated", duration="1ms", fail=("cable",), processes=2)
    )
    nothing, cut = found["nothing fails"].seen, found["cable south"]
    assert nothing is not None
    assert cut.seen is not None
    assert cut.kept is not None
    assert nothing.frames_taken == nothing.frames_lost_otherwise == nothing.late == 0
    for one in found.values():
        assert one.seen is not None
        assert one.kept is not None
        assert one.seen.streams == one.kept.streams_cut
        assert one.seen.demands == one.kept.demands_short
        assert (one.seen.frames_taken > 0) == (one.kept.lost_bps > 0)


# Linear programs


def test_programs_begin_at_the_same_place_whatever_came_before(square: Scenario) -> None:
    topology = square.topology
    graph = Routes(topology).graph
    capacity_bps = [sum(port.reservable_bps for port in edge.ports) for edge in graph.edges]
    wants = {("a", "c"): 250 * 10**9, ("a", "e"): 90 * 10**9, ("e", "b"): 30 * 10**9}
    carrier = FlowProgram(graph, capacity_bps, wants)
    edges = range(len(graph.edges))
    first = {number: carrier.carry({number: 0}) for number in edges}
    for number in reversed(edges):
        assert carrier.carry({number: 0}) == first[number]
        left = [0 if edge == number else one for edge, one in enumerate(capacity_bps)]
        assert first[number].served_bps == most_placed_bps(graph, left, wants)


def test_one_more_wire_brings_what_its_price_says() -> None:
    network = {**NETWORK, "links": [dict(one) for one in NETWORK["links"]]}
    traffic = {**TRAFFIC, "demands": [{**TRAFFIC["demands"][1], "rate": "180Gbps"}]}
    full = qnet.load(traffic, topology=network)
    gains = {one.link: one.gain_bps for one in Reach(full.topology, full.profile).wires(())}
    assert gains == {"c--e": 100 * 10**9}
    network["links"][4]["members"] = 2
    wider = qnet.load(traffic, topology=network)
    before = Reach(full.topology, full.profile).replanned(()).lost_bps
    after = Reach(wider.topology, wider.profile).replanned(()).lost_bps
    assert 0 < before - after <= gains["c--e"]


def test_programs_are_never_below_a_plan(square: Scenario, whole: Sweep) -> None:
    copies_bps = 30 * 10**6  # programs count both copies of the stream with two paths
    for one in qnet.sweep(square, depth="lp", processes=1).results:
        planned = whole.results[one.case.number].replanned
        assert one.replanned is not None
        assert planned is not None
        assert one.replanned.lost_bps <= planned.lost_bps + copies_bps
        assert one.replanned.egress[0].placed_bps >= planned.egress[0].placed_bps


# Who does the work


def test_shards_merge_to_the_same_bytes(square: Scenario, whole: Sweep, tmp_path: Path) -> None:
    parts = []
    for index in range(1, 5):
        part = qnet.sweep(square, processes=1, shard=f"{index}/4")
        assert not part.ranking
        path = tmp_path / f"{index}.json"
        path.write_text(to_json(part))
        parts.append(read_sweep(str(path)))
    assert to_json(qnet.merge(parts[::-1])) == to_json(whole)
    with pytest.raises(InputError, match="cases are missing"):
        qnet.merge(parts[1:])
    other = qnet.sweep(square, depth="lp", processes=1)
    with pytest.raises(InputError, match="of another sweep"):
        qnet.merge([*parts, other])
    changed = parts[0].results[0].replace(outcome="fail")
    doubtful = parts[0].replace(results=(changed, *parts[0].results[1:]))
    with pytest.raises(InputError, match="answered in two ways"):
        qnet.merge([parts[0], doubtful, *parts[1:]])


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_change_nothing(square: Scenario, whole: Sweep, processes: int) -> None:
    assert to_json(qnet.sweep(square, processes=processes)) == to_json(whole)


def test_a_process_that_is_killed_changes_nothing(
    square: Scenario, whole: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "look", dying.look_until_killed)
    monkeypatch.setenv("QNET_TEST_DIED", str(tmp_path / "died"))
    assert to_json(qnet.sweep(square, processes=2)) == to_json(whole)
    assert (tmp_path / "died").exists()


def test_a_case_that_kills_its_process_is_named_and_the_rest_finishes(
    square: Scenario, whole: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "look", dying.look)
    found = qnet.sweep(square, processes=2)
    (case,) = found.unfinished
    assert (case.case.failure.title, case.outcome) == (dying.FATAL, "killed")
    assert "kills its process" in (case.reason or "")
    assert "signal 9" in (case.reason or "")
    assert any(f"({dying.FATAL}) kills its process" in line for line in sweep_lines(found))
    others = [one for one in found.results if one is not case]
    assert others == [one for one in whole.results if one.case != case.case]


def test_a_fault_of_ours_is_the_answer_of_its_case(
    square: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(self: Reach, down: object) -> None:
        raise AssertionError("planted")

    monkeypatch.setattr(Reach, "replanned", fault)
    # One case is answered where the sweep was asked for.
    found = qnet.sweep(square, fail=(), depth="lp", processes=1)
    assert [one.outcome for one in found.results] == ["error"]
    assert "planted" in (found.results[0].reason or "")


def test_a_journal_is_gone_on_from(
    square: Scenario, whole: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    assert to_json(qnet.sweep(square, processes=2, journal=path)) == to_json(whole)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + whole.cases
    path.write_bytes(b"".join(lines[:6]) + lines[6][:40])  # killed while it wrote
    looked: list[int] = []
    usual = run._looked_at

    def counted(work: Any, cases: Any, hands: Any, heeded: Any) -> Iterator[CaseResult]:
        looked.append(len(cases))
        yield from usual(work, cases, hands, heeded)

    monkeypatch.setattr(run, "_looked_at", counted)
    assert to_json(qnet.sweep(square, processes=2, journal=path)) == to_json(whole)
    assert looked == [whole.cases - 5]
    with pytest.raises(InputError, match="another sweep"):
        qnet.sweep(square, depth="lp", processes=1, journal=path)
    path.write_bytes(lines[0] + b"nothing\n")
    with pytest.raises(InputError, match="no line of a sweep's journal"):
        qnet.sweep(square, processes=1, journal=path)


def test_a_journal_without_room_says_so_and_is_gone_on_from(tmp_path: Path) -> None:
    """As on a full disk: files may not be longer than eight kibibytes."""
    network, traffic = tmp_path / "square.yaml", tmp_path / "traffic.yaml"
    network.write_text(json.dumps(NETWORK))
    traffic.write_text(json.dumps(TRAFFIC))
    files = ["-o", str(tmp_path / "out.json"), "--journal", str(tmp_path / "journal")]
    command = [str(QNET), "sweep", str(traffic), "--topology", str(network), "--depth", "lp"]
    command += [*files, "--processes", "1"]
    full = subprocess.run(
        ["bash", "-c", 'ulimit -f 8; exec "$@"', "bash", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 3
    assert re.search(r"journal cannot be written: .*; it has \d+ cases, and the same", full.stderr)
    assert not (tmp_path / "journal").read_bytes().endswith(b"\n")
    assert not (tmp_path / "out.json").exists()
    subprocess.run(command, capture_output=True, check=False)
    whole = qnet.sweep(qnet.load(traffic, topology=network), depth="lp", processes=1)
    assert (tmp_path / "out.json").read_text() == to_json(whole)


def test_nothing_is_left_of_what_is_cancelled() -> None:
    class Soon(qnet.Quiet):
        asked = 0

        def cancelled(self) -> bool:
            self.asked += 1
            return self.asked > 3

    with pytest.raises(Cancelled):
        list(in_processes(dying.slow, None, [60.0, 60.0], 2, Heeded(Soon())))


# Answers


def test_tables_and_page_say_the_same(whole: Sweep) -> None:
    table = case_table(whole)
    assert table.rows == whole.cases
    assert to_csv(table).count("\n") == whole.cases + 1
    assert table["promises_broken_replanned"] == [
        one.replanned.promises_broken for one in whole.results if one.replanned
    ]
    assert table.to_arrow().num_rows == whole.cases
    page = sweep_page(whole)
    assert "http" not in page
    assert page.count("<tr title=") == len(whole.ranking)
    first = whole.results[whole.ranking[0].case]
    row = next(line for line in sweep_lines(whole) if line.startswith(first.case.title))
    assert str(first.kept.promises_broken if first.kept else None) in row


def test_the_ranking_is_by_promises_then_by_rate(whole: Sweep) -> None:
    keys = []
    for point in whole.ranking:
        one = whole.results[point.case]
        assert one.replanned is not None
        assert one.kept is not None
        keys.append((one.replanned.promises_broken, one.kept.promises_broken))
        if point.expected_lost_bps is not None:
            assert point.expected_lost_bps <= one.replanned.lost_bps
    assert keys == sorted(keys, reverse=True)
    assert len(keys) == whole.cases - 1


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"shard": "5/4"}, "is no shard"),
        ({"fail": ("cabel",)}, "nothing that fails"),
        ({"doubles": "nothing"}, "doubles"),
        ({"doubles": "0%"}, "never reached"),
        ({"duration": "0s"}, "duration"),
        ({"seeds": [-1]}, "is no seed"),
        ({"settings": {"a": 1}}, "settings"),
        ({"cluster": "tcp://192.0.2.1:8786"}, "is another machine"),
        ({"cluster": "127.0.0.1:8786"}, "no address of a scheduler"),
        ({"cluster": "tls://127.0.0.1:8786"}, "files for TLS"),
    ],
)
def test_what_is_wrong_is_said(square: Scenario, how: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        qnet.sweep(square, processes=1, **how)


def test_the_command_says_how_it_ended(tmp_path: Path) -> None:
    network, traffic = tmp_path / "square.yaml", tmp_path / "traffic.yaml"
    network.write_text(json.dumps(NETWORK))
    traffic.write_text(json.dumps({**TRAFFIC, "topology": "square"}))
    command = [str(QNET), "sweep", str(traffic), "--depth", "lp"]
    command += ["--topology", str(network)]

    def ends(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *options], capture_output=True, text=True, check=False)

    files = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "html")}
    places = [f"--{'output' if name == 'json' else name}={path}" for name, path in files.items()]
    told = ends("--processes", "2", *places)
    assert told.returncode == 1, told.stderr
    assert "least egress of west in any case" in told.stdout
    assert read_sweep(str(files["json"])).cases == files["csv"].read_text().count("\n") - 1
    assert ends("--fail", "none").returncode == 0
    assert ends("--seeds", "x").returncode == 2
    assert ends("--shard", "1/0").returncode == 2
    halves = []
    for index in ("1/2", "2/2"):
        halves.append(tmp_path / f"half{index[0]}.json")
        ends("--shard", index, "-o", str(halves[-1]))
    merged = tmp_path / "merged.json"
    put = subprocess.run(
        [str(QNET), "merge", *map(str, halves), "-o", str(merged)],
        capture_output=True,
        check=False,
    )
    assert put.returncode == 1
    assert merged.read_bytes() == files["json"].read_bytes()


def test_a_network_without_what_fails_has_one_case() -> None:
    topology = Topology.model_validate(NETWORK)
    assert single_failures(topology, ()).failures == ()


def test_a_file_that_is_no_journal_stays_as_it_is(square: Scenario, tmp_path: Path) -> None:
    """Also one whose last line has no end, as a journal has that a kill ended."""
    path = tmp_path / "notes.txt"
    for text in ("what I must not forget", "one\ntwo", '{"sweep": "other"}\n{"case'):
        path.write_text(text)
        with pytest.raises(InputError):
            qnet.sweep(square, depth="lp", processes=1, journal=path)
        assert path.read_text() == text


def test_a_depth_and_seeds_that_are_none_are_refused(square: Scenario) -> None:
    with pytest.raises(ArgumentError) as caught:
        qnet.sweep(square, depth="deep", seeds=[])  # type: ignore[arg-type]
    assert [one.file for one in caught.value.problems] == ["depth", "seeds"]
    answer = CliRunner().invoke(main, ["sweep", "dual-node", "--seeds", "1..1000000000000000"])
    assert answer.exit_code == 2
    assert "are too many seeds; at most 100,000" in answer.stderr


def test_a_sweep_that_is_stopped_says_what_its_journal_has(
    square: Scenario, tmp_path: Path
) -> None:
    """A case or more, and how to go on."""

    class Stop(qnet.Quiet):
        def step(self, done: int, total: int) -> None:
            if done:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        qnet.sweep(square, depth="lp", processes=1, journal=tmp_path / "kept", progress=Stop())
    (note,) = caught.value.__notes__
    assert re.search(r"kept has \d+ cases; the same command goes on", note)


@pytest.mark.parametrize("depth", ["lp", "planned", "simulated"])
def test_where_nothing_is_sent_nothing_is_broken(depth: Depth) -> None:
    """Also in a network of two parts, and with an egress that nobody uses."""
    wire = {"rate": "10Gbps", "length": "10km"}
    network = {
        "title": "Two parts",
        "nodes": [{"name": "a", "site": "west"}, *({"name": name} for name in "bcd")],
        "links": [{**wire, "between": pair} for pair in (["a", "b"], ["c", "d"])],
    }
    traffic: dict[str, Any] = {**TRAFFIC, "streams": [], "demands": [], "egress": []}
    silent = qnet.sweep(qnet.load(traffic, topology=network), depth=depth, duration="1ms")
    assert {one.outcome for one in silent.results} == {"pass"}
    inside = {**TRAFFIC["demands"][0], "from": "c", "to": "d", "rate": "4Gbps"}
    elsewhere = {**traffic, "demands": [inside], "egress": TRAFFIC["egress"]}
    found = by_title(
        qnet.sweep(qnet.load(elsewhere, topology=network), depth=depth, duration="1ms")
    )
    lost = {name: one.replanned.lost_bps for name, one in found.items() if one.replanned}
    assert lost == {
        "nothing fails": 0,
        "cable a--b": 0,
        "cable c--d": 4 * 10**9,
    }
    assert all(one.replanned.egress[0].placed_bps == 0 for one in found.values() if one.replanned)
