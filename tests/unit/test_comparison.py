"""Two runs side by side: what became better or worse, by which figures, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import qnet
from qnet.cli import main
from qnet.errors import ArgumentError, InputError
from qnet.model.difference import Comparison
from qnet.result import Result

LINE = Path(__file__).parents[1] / "golden" / "line" / "traffic.yaml"


@pytest.fixture(scope="module")
def calm() -> Result:
    return qnet.run(str(LINE))


@pytest.fixture(scope="module")
def cut() -> Result:
    """The same with a wire cut for half of the time."""
    return qnet.run(str(LINE), events=[qnet.cut("b--c", at="1ms", for_="200us")])


def test_a_run_is_as_good_as_itself(calm: Result) -> None:
    made = qnet.diff(calm, calm)
    assert made.differences == ()
    assert (made.outcome_before, made.outcome_after) == ("pass", "pass")
    assert made.compared == len(calm.verdict.rows) + calm.streams.rows + calm.demands.rows


def test_what_a_cut_takes_is_worse_and_the_way_back_is_better(calm: Result, cut: Result) -> None:
    made, back = qnet.diff(calm, cut), qnet.diff(cut, calm)
    assert made.outcome_after == "fail"
    broken = {one.name for one in made.broken}
    assert any("control" in name and "loss" in name for name in broken)
    lost = {one.name: one for one in made.differences if one.figure == "lost"}
    assert lost["cross"].direction == "worse"
    row = cut.demands.row(0)
    assert lost["cross"].after == row["lost"] * 10**9 // row["sent"]
    turned = {"better": "worse", "worse": "better", "other": "other"}
    assert [(one.name, one.figure, turned[one.direction]) for one in back.differences] == [
        (one.name, one.figure, one.direction) for one in made.differences
    ]


def test_small_differences_are_left_out_where_they_are_tolerated(calm: Result) -> None:
    other = qnet.run(str(LINE), seed=8)
    exact, rough = qnet.diff(calm, other), qnet.diff(calm, other, tolerance="100%")
    assert any(one.figure == "latency_simulated" for one in exact.differences)
    assert [one for one in rough.differences if one.unit is not None] == []
    assert exact.notes == ("seeds differ: 7 and 8",)


def test_streams_of_one_run_only_are_named(calm: Result) -> None:
    case = calm.scenario
    fewer = case.with_(profile=case.profile.replace(demands=()))
    made = qnet.diff(calm, qnet.run(fewer))
    assert made.only_before == ("cross",)
    assert made.only_after == ()


def test_what_has_lost_its_place_is_worse(calm: Result) -> None:
    case = calm.scenario
    late = [one.replace(max_latency_ps=1000) for one in case.profile.streams[:1]]
    streams = (*late, *case.profile.streams[1:])
    made = qnet.diff(calm, qnet.run(case.with_(profile=case.profile.replace(streams=streams))))
    (status,) = [one for one in made.differences if one.figure == "status"]
    assert (status.name, status.before, status.after) == ("control", "admitted", "refused")
    assert status.direction == "worse"


def test_the_command_reads_folders_and_ends_with_1_where_a_promise_is_worse(
    calm: Result, cut: Result, tmp_path: Path
) -> None:
    calm.save(tmp_path / "calm")
    cut.save(tmp_path / "cut")
    runner = CliRunner()
    folders = [str(tmp_path / name) for name in ("calm", "cut")]
    same = runner.invoke(main, ["diff", folders[0], folders[0]])
    assert same.exit_code == 0, same.output
    assert "PASS -> PASS" in same.output
    worse = runner.invoke(main, ["diff", *folders, "-o", str(tmp_path / "diff.json")])
    assert worse.exit_code == 1, worse.output
    assert "worse:" in worse.output
    written = Comparison.model_validate_json((tmp_path / "diff.json").read_text())
    assert written == qnet.diff(*folders)
    assert [one.name for one in written.broken] == [one.name for one in qnet.diff(calm, cut).broken]
    better = runner.invoke(main, ["diff", *reversed(folders), "--json"])
    assert better.exit_code == 0, better.output
    assert json.loads(better.stdout)["outcome_after"] == "pass"


def test_strict_ends_with_1_where_a_figure_is_worse(calm: Result, tmp_path: Path) -> None:
    calm.save(tmp_path / "a")
    qnet.run(str(LINE), seed=8).save(tmp_path / "b")
    folders = [str(tmp_path / name) for name in ("a", "b")]
    runner = CliRunner()
    assert runner.invoke(main, ["diff", *folders]).exit_code == 0
    codes = {
        runner.invoke(main, ["diff", "--strict", *order]).exit_code
        for order in (folders, folders[::-1])
    }
    assert 1 in codes


def test_what_is_no_run_is_refused(calm: Result, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run here"):
        qnet.diff(calm, tmp_path)
    with pytest.raises(ArgumentError, match="tolerance"):
        qnet.diff(calm, calm, tolerance="much")
