"""Events in tier `mininet`: devices go down and up, rules follow moves, frames are as simulated."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import qnet
from qnet.emulate.process import cleanup
from qnet.emulate.tiers import mininet, probe
from qnet.emulate.tiers.mininet_child.happenings import Happening, dark_ports, happenings
from qnet.emulate.tiers.tier import Options
from qnet.errors import ArgumentError
from qnet.model.emulation import Emulation
from qnet.model.scenario import Scenario
from qnet.simulate.frame_sources import sources_of
from tests.emulate.leftovers import descendants, end_with_all, folders, machine
from tests.unit.test_replay import REACTIONS, _case

REASON = probe.missing_tools()
MS = 10**9
needs_mininet = pytest.mark.skipif(REASON is not None, reason=str(REASON))
pytestmark = pytest.mark.xdist_group("mininet")


def _ran(happening: list[dict[str, Any]]) -> tuple[Scenario, Emulation, mininet.Emulated]:
    """Emulate 8 ms of the diamond with every frame real; "one" has a second way in 2 ms."""
    quick = REACTIONS[0] | {"switching": "1ms"}
    case = _case(happening, quick).with_(duration="8ms")
    topology, profile, plan = case.topology, case.profile, qnet.plan(case)
    strides = mininet.choose_sample(topology, profile, plan, 5)
    options = Options(dilation=1000, violations_ppm=20_000)
    run = mininet.run_sample(topology, profile, plan, strides, options)
    sample = mininet.case_of(topology, profile, plan, strides, run)
    proof, seen = qnet.prove(case, plan), qnet.observe(case, plan)
    made = mininet.witness(sample, proof, seen, run)
    assert (made.void, made.findings) == ("", ())
    simulated = {one.name: one.lost for one in (*seen.streams, *seen.demands)}
    assert {one.name: one.lost for one in made.streams} == simulated
    assert {one.difference_ps for one in made.streams} == {0}
    return case, made, run


@needs_mininet
def test_a_node_stops_and_the_plan_moves_what_went_over_it() -> None:
    """Switches see their ports go down; the rules of the second way are laid at its time."""
    before = machine()
    case, made, run = _ran(
        [
            {"at": "2ms", "change": "down", "target": "b", "for": "3ms"},
            {"at": "6ms", "change": "flap", "target": "c--d", "every": "600us", "for": "1200us"},
        ]
    )
    assert machine() == before
    plan = qnet.plan(case)
    (moved,) = (one.at_ps for one in plan.moves)
    causes: dict[str, int] = {}
    for one in run.losses:
        causes[one.cause] = causes.get(one.cause, 0) + 1
    assert causes[mininet.PORT_DOWN] > 20, "devices were down, so switches dropped"
    assert run.changes > len(plan.moves)
    by_name = {one.name: one for one in made.streams}
    assert by_name["one"].delivered > by_name["one"].lost > 0
    found = sources_of(case.topology, case.profile, plan)
    second = next(n for n, one in enumerate(found) if (one.name, one.version) == ("one", 1))
    by_it = [latency for source, _, latency in run.latency_ps if source == second]
    assert len(by_it) > 10, "its frames go by rules that were laid at its time"
    assert moved < 6 * MS


@needs_mininet
def test_rates_fibres_losses_and_loads_are_others_for_a_while() -> None:
    """To the picosecond, and the same frames lost."""
    _, made, _ = _ran(
        [
            {"at": "1ms", "change": "attack", "from": "a", "to": "d", "rate": "100Mbps",
             "class": "e", "for": "2ms"},
            {"at": "2ms", "change": "stop", "target": "back", "for": "1ms"},
            {"at": "3ms", "change": "scale", "target": "rest", "by": "300%"},
            {"at": "1ms", "change": "delay", "target": "a--b", "delay": "200us", "for": "3ms"},
            {"at": "2ms", "change": "loss", "target": "b--d", "ratio": "20%", "for": "4ms"},
            {"at": "3ms", "change": "capacity", "target": "c--d", "rate": "100Mbps", "for": "3ms"},
        ]
    )  # fmt: skip
    assert {one.name for one in made.streams} == {"one", "two", "back", "rest", "attack-1"}
    assert {one.name for one in made.streams if one.lost} >= {"one", "back"}


@needs_mininet
def test_killed_while_events_are_played_it_leaves_nothing(tmp_path: Path) -> None:
    """Only a folder, which `qnet cleanup` removes."""
    (tmp_path / "cut.yaml").write_text(
        "title: t\nevents:\n  - {at: 1ms, change: cut, target: xian-qingyang}\n"
    )
    before = machine()
    command = [sys.executable, "-c", "from qnet.cli import main; main()", "run", "zheng-qing-ha"]
    command += ["--events", "cut.yaml", "--duration", "60ms", "--emulate", "mininet"]
    child = subprocess.Popen(
        [*command, "--sample", "3"], cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    inside: list[int] = []
    try:
        give_up = time.monotonic() + 300
        while time.monotonic() < give_up and child.poll() is None:
            inside = descendants(child.pid)
            said = [one / mininet.PROGRESS for one in folders(child.pid)]
            if any(one.exists() and "emulate at" in one.read_text() for one in said):
                break
            time.sleep(0.1)
        assert child.poll() is None
        end_with_all(child, signal.SIGKILL, inside)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    assert folders(child.pid)
    assert cleanup.cleanup()
    assert not folders(child.pid)
    assert machine() == before


def test_what_cannot_be_played_is_refused_by_name() -> None:
    """Before anything is planned."""
    clock = {"at": "1ms", "change": "clock", "target": "a", "drift": "5ppm"}
    flap = {"at": "1ms", "change": "flap", "target": "a--b", "every": "1us", "for": "9ms"}
    with pytest.raises(ArgumentError) as caught:
        qnet.run(_case([clock, flap]), emulate="mininet")
    first, second = caught.value.problems
    assert first.where.startswith("clock of a")
    assert "no clock; use tier lockstep" in first.message
    assert second.where.startswith("flap of a--b at 1ms")
    assert "9,000 times" in second.message


def test_devices_follow_the_light() -> None:
    """Down when the last of it has come, up a little before the wire is whole."""
    cut = {"at": "2ms", "change": "cut", "target": "a--b", "where": "25%", "for": "1ms"}
    down = {"at": "2500us", "change": "down", "target": "b", "for": "2ms"}
    case = _case([cut, down], REACTIONS[0])
    line_ps = case.topology.port_by_name["a->b"].propagation_ps
    dark = dark_ports(case.topology, case.profile)
    assert dark["a->b"] == [(2 * MS + line_ps // 4, 4_500_000_000)]
    assert dark["b->a"] == [(2 * MS + line_ps - line_ps // 4, 4_500_000_000)]
    assert dark["b->d"] == [(2_500_000_000, 4_500_000_000)]
    plan = qnet.plan(case)
    window_ps = 50_000_000
    made = happenings(case.topology, case.profile, plan, ["a->b", "d->b"], window_ps)
    moves = {one.at_ps - 2 * window_ps for one in plan.moves}
    assert made[2 * MS + line_ps // 4] == Happening(down=("a->b",))
    assert made[2_500_000_000 + line_ps] == Happening(down=("d->b",))
    assert made[4_400_000_000] == Happening(up=("a->b", "d->b"))
    assert made.keys() == {2 * MS + line_ps // 4, 2_500_000_000 + line_ps, 4_400_000_000} | moves
    # What would be up again before its light is gone stays up.
    assert not happenings(case.topology, case.profile, plan.replace(moves=()), ["a->b"], 2 * MS)
