"""A cut makes a fast-failover group act: frames take another path, and tiers agree on when."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from scapy.utils import RawPcapReader

from qnet.check.plan import prove
from qnet.emulate.frames.kernels import TIME
from qnet.emulate.frames.sample import Sample
from qnet.emulate.process.controller import missing_controller
from qnet.emulate.rules.streams import path_mac
from qnet.emulate.switches.dummy_switches import Fabric
from qnet.emulate.tiers import mininet, probe
from qnet.emulate.tiers.follow_frames import follow
from qnet.emulate.tiers.lockstep import CONVERGE_S, reservation
from qnet.emulate.tiers.tier import Cut, Options
from qnet.files.read import load
from qnet.model.scenario import Scenario
from qnet.simulate.run import simulate
from tests.builders import plan_for

REASON = probe.missing_tools() or missing_controller()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]

# Processing takes the same time always: lockstep draws none for a frame that is off its path.
DIAMOND = """
title: Two ways from a to d
tcqf: {cycle: 10us, buffers: 4}
defaults:
  node: {processing: 2us}
nodes:
  - {name: a, clock: {phase: 1us, error: 100ns, wander: 10ns}}
  - {name: b, clock: {phase: 2us, error: 100ns, wander: 10ns}}
  - {name: c, clock: {phase: 3us, error: 100ns, wander: 10ns}}
  - {name: d, clock: {phase: 4us, error: 100ns, wander: 10ns}}
links:
  - {between: [a, b], rate: 10Gbps, length: 20km}
  - {between: [b, d], rate: 10Gbps, length: 20km}
  - {between: [a, c], rate: 10Gbps, length: 30km}
  - {between: [c, d], rate: 10Gbps, length: 30km}
"""

TRAFFIC = """
title: A demand over both ways, beside a stream sent twice
topology: diamond
simulation: {duration: 3ms, seed: 1}
streams:
  - {name: twice, from: a, to: d, interval: 100us, max-payload-size: 300B, paths: 2}
demands:
  - {name: split, from: a, to: d, rate: 14Gbps, arrival: poisson, sizes: imix}
"""

CUT_PS = 1_200_000_000

SETTLED_PS = 50_000_000
"""After this long no queue remembers what was there."""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    folder = tmp_path_factory.mktemp("diamond")
    (folder / "diamond.yaml").write_text(DIAMOND)
    (folder / "traffic.yaml").write_text(TRAFFIC)
    return load(str(folder / "traffic.yaml"))


def test_frames_take_the_other_path_after_a_cut(scenario: Scenario, tmp_path: Path) -> None:
    topology, profile = scenario.topology, scenario.profile
    plan = plan_for(topology, profile)
    (demand,) = plan.demands
    assert {part.ports[0] for part in demand.parts} == {"a->b", "a->c"}
    strides = mininet.choose_sample(topology, profile, plan, 2)
    cut = Cut("a->b", CUT_PS)
    options = Options(dilation=1000, cuts=(cut,), captures=tmp_path)
    run = mininet.run_sample(topology, profile, plan, strides, options)
    assert (run.void, run.findings) == ("", ())
    assert run.wall_clock.rerouted > 20
    assert run.wall_clock.followed == run.wall_clock.rerouted
    assert run.failover_s > 0
    assert any(f"within {run.failover_s * 1e3:.1f} ms" in one for one in run.told()), "apart"

    case = mininet.case_of(topology, profile, plan, strides, run)
    proof, simulated = prove(topology, profile, plan), simulate(topology, profile, plan)
    found = mininet.witness(case, proof, simulated, run)
    assert found.findings == ()
    rows = {one.name: one for one in found.streams}
    assert rows["twice"].lost == 0, "a copy of each frame came by the other path"
    assert rows["twice"].delivered > 25
    lost = sum(one.cause == "the wire was cut" for one in run.losses if one.source in parts(case))
    assert rows["split"].lost >= lost > 0, "what was on the wire"

    # Frames of the part whose wire is cut come with the label of the other part.
    members = [one for one in case.members if one.stream.demand is not None]
    (broken,) = [one for one in members if one.ports[0].name == "a->b"]
    (other,) = [one for one in members if one.ports[0].name == "a->c"]
    path = next(one for one in run.captures if one.name == "d.pcapng")
    with RawPcapReader(str(path)) as capture:
        moved = [
            frame
            for frame, _ in capture
            if int.from_bytes(frame[42:46], "big") == broken.source
            and frame[6:12] == path_mac(other.path.label).to_bytes(6, "big")
        ]
    assert len(moved) > 20

    # Lockstep follows them too, with switches and a clock of another kind. There a cut is followed
    # at once; here frames go into the wire until its devices are down, and are in nobody's way.
    emulated = in_lockstep(case, [Cut("a->b", CUT_PS)])
    _, ports = follow(case, None)
    frames = [
        (source, int(ports.span[source, 0]) + case.by_source[source].place(number), latency_ps)
        for source, number, latency_ps in run.latency_ps
    ]
    born = ports.frames[:, TIME]
    turned_ps = min(
        int(born[frame])
        for source, frame, _ in frames
        if source == broken.source and born[frame] > CUT_PS
    )
    compared = {
        (source, int(born[frame])): int(born[frame]) + latency_ps - emulated[frame]
        for source, frame, latency_ps in frames
        if frame in emulated and not CUT_PS < born[frame] < turned_ps + SETTLED_PS
    }
    assert {key: ps for key, ps in compared.items() if ps} == {}
    assert sum(source == broken.source and when > CUT_PS for source, when in compared) > 20


def parts(case: Sample) -> set[int]:
    return {one.source for one in case.members if one.stream.demand is not None}


def in_lockstep(case: Sample, cuts: list[Cut]) -> Mapping[int, int]:
    """Return when each frame came to its listener in tier lockstep, by the frame's number."""
    rules = [one for one in case.rules if one.name in case.node_ports]
    with (
        reservation(rules) as app,
        Fabric(case.wiring, case.node_ports, controllers=[app.target]) as fabric,
    ):
        app.wait_converged([one.datapath_id for one in rules], CONVERGE_S)
        fabric.fence()

        def set_wire(name: str) -> None:
            fabric.set_wire(name, up=False)
            fabric.fence()

        emulated, _ = follow(case, fabric.forward, None, cuts, set_wire)
        return emulated.arrival_ps
