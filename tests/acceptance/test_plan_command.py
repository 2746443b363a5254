"""`qnet plan` from outside: search, an earlier plan that is kept, and cables that are cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from qnet.cli import main

TOPOLOGY = """\
title: Two ways
nodes: [{name: a}, {name: b}, {name: m}]
links:
  - {between: [a, b], rate: 1Gbps, length: 10km, name: straight, cable: duct}
  - {between: [a, m], rate: 1Gbps, length: 10km}
  - {between: [m, b], rate: 1Gbps, length: 10km}
"""

TRAFFIC = """\
title: Some streams
topology: net
streams:
  - {name: two, from: a, to: b, interval: 20us, max-payload-size: 500B, paths: 2, rank: 1}
  - {name: s, from: a, to: b, interval: 20us, max-payload-size: 300B, count: COUNT}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(TOPOLOGY)
    path = tmp_path / "some.yaml"
    path.write_text(TRAFFIC.replace("COUNT", "3"))
    return path


class Answer(NamedTuple):
    """What the command said."""

    returncode: int
    stdout: str
    stderr: str


def command(*arguments: str | Path) -> Answer:
    """Run the command in this process."""
    result = CliRunner().invoke(main, [str(one) for one in arguments], env={"COLUMNS": "200"})
    return Answer(result.exit_code, result.stdout, result.stderr)


def read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def streams(path: Path) -> dict[str, Any]:
    return {one["name"]: one for one in read(path)["streams"]}


def test_an_earlier_plan_is_kept_and_a_cut_is_planned_around(profile: Path, tmp_path: Path) -> None:
    old, new, cut, mended = (tmp_path / f"{name}.json" for name in ("old", "new", "cut", "mended"))
    assert command("plan", profile, "-o", old).returncode == 0

    profile.write_text(TRAFFIC.replace("COUNT", "4"))
    made = command("plan", profile, "--keep", old, "-o", new)
    assert "4 streams stay where they were" in made.stdout
    assert {name: streams(new)[name] for name in streams(old)} == streams(old)

    made = command("plan", profile, "--keep", new, "--fail", "duct", "-o", cut)
    assert made.returncode == 0
    assert "out of use: duct" in made.stdout
    assert "1 with one path left" in made.stdout
    assert "rank 1: 1 could not be kept whole" in made.stdout
    assert [path["ports"] for path in streams(cut)["two"]["paths"]] == [["a->m", "m->b"]]
    assert streams(cut)["two"]["reason"].startswith("one path left; no disjoint second path")
    judged = command("check", profile, cut)
    assert judged.returncode == 1
    assert "two: asked for 2 paths, the plan has 1" in judged.stdout

    assert command("plan", profile, "--keep", cut, "-o", mended).returncode == 0
    assert len(streams(mended)["two"]["paths"]) == 2
    assert command("check", profile, mended).returncode == 0


def test_what_does_not_fit_is_told(profile: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    command("plan", profile, "-o", old)
    unknown = command("plan", profile, "--fail", "dukt", "--fail", "x")
    assert unknown.returncode == 2
    assert "dukt: no such link, wire, cable, node or site; did you mean 'duct'?" in unknown.stderr
    assert "2 problems" in unknown.stderr
    profile.write_text(TRAFFIC.replace("COUNT", "3").replace("300B", "1400B"))
    grown = command("plan", profile, "--keep", old)
    assert grown.returncode == 2
    assert "cycle" in grown.stderr
    assert "nothing was run" in grown.stderr
    (tmp_path / "net.yaml").write_text(TOPOLOGY.replace("[a, m]", "[a, m], name: up"))
    other = command("plan", profile, "--keep", old)
    assert other.returncode == 2
    assert "port 'a->m' is not in the network" in other.stderr


def test_rounds_give_the_plan_of_a_budget_again(profile: Path, tmp_path: Path) -> None:
    profile.write_text(TRAFFIC.replace("COUNT", "40"))
    timed, counted = tmp_path / "timed.json", tmp_path / "counted.json"
    made = command("plan", profile, "--budget", "200ms", "-o", timed)
    assert made.returncode == 1
    rounds = read(timed)["reserved"]["search"]["rounds"]
    assert f"--rounds {rounds}" in made.stdout
    command("plan", profile, "--rounds", str(rounds), "-o", counted)
    assert timed.read_bytes() == counted.read_bytes()
    wrong = command("plan", profile, "--budget", "10")
    assert wrong.returncode == 2
    assert "--budget" in wrong.stderr
    both = command("run", profile, "--budget", "1s", "--rounds", "3")
    assert both.returncode == 2
