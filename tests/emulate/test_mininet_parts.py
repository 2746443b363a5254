"""Tier `mininet` with every mechanism of the simulator: real frames fare as simulated ones do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from qnet.emulate.rules.streams import streams_of
from qnet.emulate.rules.wiring import Wiring
from qnet.emulate.tiers import mininet, probe
from qnet.emulate.tiers.tier import Cut, HostCommand, Meddling, Options
from qnet.model.emulation import Emulation
from qnet.simulate.frame_sources import sources_of
from tests.asking import Answer, ask
from tests.emulate.leftovers import folders, machine
from tests.emulate.networks import every_part, round_about

REASON = probe.missing_tools()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]


def emulate(
    answer: Answer,
    *,
    names: tuple[str, ...] = (),
    meddling: tuple[Meddling, ...] = (),
    cuts: tuple[Cut, ...] = (),
) -> tuple[mininet.Emulated, Emulation]:
    """Make every frame real, or every one of some names; compare them with the simulator."""
    case = answer.scenario
    topology, profile, plan = case.topology, case.profile, answer.plan
    found = enumerate(sources_of(topology, profile, plan))
    strides = {source: 1 for source, one in found if not names or one.name in names}
    options = Options(dilation=500, meddling=meddling, cuts=cuts)
    before = machine()
    run = mininet.run_sample(topology, profile, plan, strides, options)
    assert machine() == before
    assert not folders(os.getpid())
    sample = mininet.case_of(topology, profile, plan, strides, run)
    return run, mininet.witness(sample, answer.proof, answer.observation, run)


def check_as_simulated(answer: Answer, result: Emulation) -> None:
    """Compare all that was counted of each stream, of which every frame was real."""
    assert result.findings == ()
    seen = {one.name: one for one in answer.observation.streams}
    assert result.observation.streams
    for one in result.observation.streams:
        assert one == seen[one.name]
    assert {one.difference_ps for one in result.streams if one.delivered} == {0}


@pytest.mark.twin
def test_frames_are_shaped_metered_weighted_cut_and_lost_as_simulated(tmp_path: Path) -> None:
    answer = every_part(tmp_path)
    run, result = emulate(answer)
    assert run.void == ""
    check_as_simulated(answer, result)
    drops = answer.observation.drops
    assert {one.cause for one in drops} == {
        "beyond the committed rate",
        "lost or damaged on the link",
    }
    assert result.observation.drops == drops
    lost = {one.name: one.lost for one in answer.observation.streams}
    assert {one.name: one.lost for one in result.streams if one.name in lost} == lost


def test_frames_wait_for_their_gates_as_simulated() -> None:
    """Two copies of a frame have gates of their own: one is due a millisecond after the other."""
    answer = ask("factory", duration="1200us")
    run, result = emulate(answer)
    assert run.void == ""
    check_as_simulated(answer, result)
    assert len(result.streams) == 31


@pytest.mark.parametrize("mechanism", [pytest.param("cqf", marks=pytest.mark.twin), "tcqf"])
def test_copies_meet_and_nodes_cut_through_as_simulated(mechanism: str, tmp_path: Path) -> None:
    answer = round_about(tmp_path, mechanism)
    twice = answer.seen("twice")
    assert twice.recovery is not None
    assert twice.recovery.discarded > 0
    run, result = emulate(answer)
    assert run.void == ""
    check_as_simulated(answer, result)
    assert run.wall_clock.eliminated == twice.recovery.discarded


def test_recovery_makes_up_for_a_cut(tmp_path: Path) -> None:
    answer = round_about(tmp_path, "tcqf")
    first = answer.planned("twice").paths[0].ports[0]
    run, result = emulate(answer, cuts=(Cut(first, 1_000_000_000),))
    assert result.findings == ()
    assert run.wall_clock.cut > 0
    twice = next(one for one in result.observation.streams if one.name == "twice")
    simulated = answer.seen("twice")
    assert twice.recovery is not None
    assert simulated.recovery is not None
    assert 0 < twice.recovery.discarded < simulated.recovery.discarded
    assert twice.lost == 0
    assert twice.received >= simulated.received - 2, "at most those of the last interval are late"


def test_a_changed_label_is_found_and_named() -> None:
    answer = ask("factory", duration="1200us")
    case = answer.scenario
    (stream,) = streams_of(case.topology, case.profile, answer.plan, sample=["set-drive-1"])
    label, port = stream.paths[0].label, stream.paths[0].ports[1]
    out = Wiring(case.topology).openflow_port[port]
    wrong = Meddling(
        "bridge-1", f"mpls,mpls_label={label}", f"set_field:{label + 2}->mpls_label,output:{out}"
    )
    run, _ = emulate(answer, names=("set-drive-1",), meddling=(wrong,))
    found = f"set-drive-1: bridge-1: leaves for {port} with label {label + 2}, planned {label}"
    assert any(one.startswith(found) for one in run.findings), run.findings


def test_a_copy_sent_back_is_named_and_the_other_one_is_passed_on(tmp_path: Path) -> None:
    answer = round_about(tmp_path, "cqf")
    case = answer.scenario
    (stream,) = streams_of(case.topology, case.profile, answer.plan, sample=["twice"])
    path = stream.paths[0]
    wrong = Meddling(path.ports[1].split("->")[0], f"mpls,mpls_label={path.label}", "in_port")
    run, result = emulate(answer, meddling=(wrong,))
    assert run.wall_clock.strays > 0
    named = f"twice: {wrong.node}: came out at "
    assert any(one.startswith(named) for one in result.findings), result.findings
    twice = next(one for one in result.streams if one.name == "twice")
    assert twice.difference_ps, "the other copy takes longer"
    assert twice.delivered >= answer.seen("twice").received - 2
    assert run.wall_clock.eliminated == 0


def test_hosts_own_frames_pass_gates() -> None:
    if shutil.which("ping") is None:
        pytest.skip("ping is not here: apt-get install iputils-ping")
    answer = ask("factory", duration="1ms")
    case = answer.scenario
    command = HostCommand("controller", "ping -c 5 -i 0.2 -W 2 10.0.0.10")
    options = Options(dilation=1, commands=(command,), free_run=True)
    run = mininet.run_sample(case.topology, case.profile, answer.plan, {}, options)
    (ping,) = run.commands
    assert ping.exit_code == 0, ping.output
    assert " 0% packet loss" in ping.output
