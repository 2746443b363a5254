"""Tier `mininet`: real switches, hosts and wires, beside the simulator."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from qnet.check.plan import prove
from qnet.emulate.frames.sample import Sample
from qnet.emulate.process import cleanup
from qnet.emulate.tiers import mininet, probe
from qnet.emulate.tiers.tier import Cut, HostCommand, Meddling, Options
from qnet.errors import Cancelled
from qnet.files.read import load
from qnet.model.plan import Plan
from qnet.model.scenario import Scenario
from qnet.progress import Quiet
from qnet.simulate.frame_sources import sources_of
from qnet.simulate.run import simulate
from tests.builders import plan_for
from tests.emulate.leftovers import command_of, descendants, end_early, folders, machine

REASON = probe.missing_tools()
GOLDEN = Path(__file__).parent.parent / "golden"
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]

LINE = """
title: three switches in a line
tcqf: {cycle: 10us, buffers: 4}
defaults:
  node: {processing: 2us..3us}
nodes:
  - {name: a, clock: {phase: 1us, error: 100ns, wander: 10ns}}
  - {name: b, clock: {phase: 2us, error: 100ns, wander: 10ns}}
  - {name: c, clock: {phase: 3us, error: 100ns, wander: 10ns}}
links:
  - {between: [a, b], rate: 10Gbps, length: 20km}
  - {between: [b, c], rate: 10Gbps, length: 20km}
"""

TRAFFIC = """
title: streams beside a load
topology: line3
simulation: {duration: 2ms, seed: 1}
streams:
  - {name: pair, from: a, to: c, interval: 100us, max-payload-size: 200B, max-pkts-per-interval: 2}
  - {name: back, from: c, to: a, interval: 50us, max-payload-size: 300B}
demands:
  - {name: mix, from: a, to: c, rate: 8Gbps, arrival: poisson, sizes: imix}
  - {name: bursts, from: b, to: c, rate: 1.5Gbps, arrival: bursts, burst: 20, sizes: 1518B}
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    folder = tmp_path_factory.mktemp("line3")
    (folder / "line3.yaml").write_text(LINE)
    (folder / "traffic.yaml").write_text(TRAFFIC)
    return load(str(folder / "traffic.yaml"))


@pytest.fixture(scope="module")
def plan(scenario: Scenario) -> Plan:
    return plan_for(scenario.topology, scenario.profile)


def test_what_comes_out_is_what_was_simulated(
    scenario: Scenario, plan: Plan, tmp_path: Path
) -> None:
    before = machine()
    topology, profile = scenario.topology, scenario.profile
    strides = mininet.choose_sample(topology, profile, plan, 4)
    options = Options(dilation=1000, captures=tmp_path)
    run = mininet.run_sample(topology, profile, plan, strides, options)
    assert machine() == before
    assert not folders(os.getpid())
    assert run.void == ""
    assert run.findings == ()
    assert run.damaged == 0
    assert (run.switches, run.wall_clock.strays, run.wall_clock.wrong_tags) == (3, 0, 0)
    simulated = simulate(topology, profile, plan)
    proof = prove(topology, profile, plan)
    case = Sample(topology, profile, plan, strides=strides)
    result = mininet.witness(case, proof, simulated, run)
    assert {one.name for one in result.streams} == {"pair", "back", "mix", "bursts"}
    assert all(one.difference_ps == 0 for one in result.streams)
    assert all(one.delivered > 20 for one in result.streams)
    assert result.findings == ()
    # Captures carry virtual time: the talkers' intervals and the latency, to the nanosecond.
    assert [path.name for path in run.captures] == ["a.pcapng", "b.pcapng", "c.pcapng"]
    if shutil.which("tshark"):
        by_name = {one.name: one for one in result.streams}
        got, sent = (_times(tmp_path / "a.pcapng", direction) for direction in (1, 2))
        assert len(got) == by_name["back"].delivered
        assert len(sent) == by_name["pair"].frames + by_name["mix"].frames
        assert (sorted(got), sorted(sent)) == (got, sent)


def test_a_run_ends_when_its_wall_clock_time_is_used_up(scenario: Scenario, plan: Plan) -> None:
    topology, profile = scenario.topology, scenario.profile
    strides = mininet.choose_sample(topology, profile, plan, 4)
    said: set[str] = set()

    class Listening(Quiet):
        def stage(self, title: str) -> None:
            said.add(title.split(maxsplit=1)[0])

    run = mininet.run_sample(
        topology,
        profile,
        plan,
        strides,
        Options(budget_s=0.1),
        Listening(),
    )
    assert 0 < run.reached_ps < profile.simulation.duration_ps
    assert "emulate" in said or "calibrate" in said
    assert run.calibrated
    case = mininet.case_of(topology, profile, plan, strides, run)
    simulated = simulate(topology, profile, plan)
    result = mininet.witness(case, prove(topology, profile, plan), simulated, run)
    assert result.findings == ()
    assert result.observation.duration_ps == run.reached_ps
    assert sum(one.delivered for one in result.streams) > 20
    assert all(one.difference_ps == 0 for one in result.streams if one.delivered)


def test_a_cut_is_seen_by_the_switches_and_replication_makes_up_for_it() -> None:
    case = load(str(GOLDEN / "two-paths" / "traffic.yaml"))
    topology, profile = case.topology, case.profile
    plan = plan_for(topology, profile)
    twice = next(one for one in plan.streams if len(one.paths) == 2)
    strides = mininet.choose_sample(topology, profile, plan, 4)
    cut = Cut(twice.paths[0].ports[0], 500_000_000)
    run = mininet.run_sample(topology, profile, plan, strides, Options(dilation=1000, cuts=(cut,)))
    assert (run.void, run.findings) == ("", ())
    assert run.failover_s > 0
    assert run.wall_clock.cut > 0
    sources = [
        n for n, one in enumerate(sources_of(topology, profile, plan)) if one.name == twice.name
    ]
    came = {source: {n for s, n, _ in run.latency_ps if s == source} for source in sources}
    first, second = (came[source] for source in sources)
    assert len(first) < len(second)
    assert first | second == set(range(max(second) + 1)), "every frame came by one path at least"
    simulated = simulate(topology, profile, plan)
    sample = mininet.case_of(topology, profile, plan, strides, run)
    result = mininet.witness(sample, prove(topology, profile, plan), simulated, run)
    assert result.findings == ()
    replicated = next(one for one in result.streams if one.name == twice.name)
    assert (replicated.lost, replicated.difference_ps) == (0, 0)


def test_folders_of_dead_processes_are_removed() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    dead = Path(tempfile.mkdtemp(prefix=f"qnet-{child.pid}-"))
    mine = Path(tempfile.mkdtemp(prefix=cleanup.private_prefix()))
    try:
        cleanup.cleanup()
        assert not dead.exists()
        assert mine.exists()
    finally:
        shutil.rmtree(dead, ignore_errors=True)
        mine.rmdir()


def _times(path: Path, direction: int) -> list[int]:
    wanted = f"udp and frame.packet_flags_direction == {direction}"
    command = ["tshark", "-r", str(path), "-T", "fields", "-e", "frame.time_epoch", "-Y", wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(line.replace(".", "")) for line in done.stdout.split()]


def test_a_wrong_cycle_rewrite_is_named(scenario: Scenario, plan: Plan) -> None:
    topology, profile = scenario.topology, scenario.profile
    strides = mininet.choose_sample(topology, profile, plan, 4)
    swap = Meddling("b", "table=1,mpls,in_port=2", "set_field:4->mpls_tc,output:3")
    options = Options(dilation=1000, meddling=(swap,))
    run = mininet.run_sample(topology, profile, plan, strides, options)
    assert run.wall_clock.wrong_tags > 0
    assert any(
        one.startswith("pair: b: leaves for b->c tagged for cycle 3") for one in run.findings
    )


def test_hosts_reach_each_other_without_stretching(scenario: Scenario, plan: Plan) -> None:
    if shutil.which("ping") is None or shutil.which("iperf3") is None:
        pytest.skip("ping or iperf3 is not here: apt-get install iputils-ping iperf3")
    commands = (
        HostCommand("a", "ping -c 3 -i 0.2 -W 2 10.0.0.3"),
        HostCommand("c", "iperf3 -s -1 -D"),
        HostCommand("a", "sleep 0.5; iperf3 -c 10.0.0.3 -t 1 -J"),
    )
    options = Options(dilation=1, commands=commands, free_run=True)
    run = mininet.run_sample(scenario.topology, scenario.profile, plan, {}, options)
    ping, _, iperf = run.commands
    assert ping.exit_code == 0, ping.output
    assert " 0% packet loss" in ping.output
    assert iperf.exit_code == 0, iperf.output
    assert '"sum_received"' in iperf.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_is_ended_early(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "line3.yaml").write_text(LINE)
    (tmp_path / "traffic.yaml").write_text(TRAFFIC)
    command = [sys.executable, "-c", "from qnet.cli import main; main()"]
    end_early([*command, "emulate", "traffic.yaml", "--exec", "a=sleep 60"], number, tmp_path)


STAGES = "start the namespaces", "build 3 switches and their hosts"


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_nobody_wants_ends_whole(scenario: Scenario, plan: Plan, stage: str) -> None:
    """When the caller is told, every process of the run is gone, not about to go.

    On a busy machine the run may be in a later stage by the time that anybody looks.
    """

    class Enough(Quiet):
        title = ""
        began = False
        inside: tuple[int, ...] = ()

        def stage(self, title: str) -> None:
            self.began = self.began or title == stage or self.title == STAGES[0]
            self.title = title

        def cancelled(self) -> bool:
            self.inside = tuple(descendants(os.getpid()))
            return self.began and len(self.inside) >= 2

    before, enough = machine(), Enough()
    strides = mininet.choose_sample(scenario.topology, scenario.profile, plan, 4)
    with pytest.raises(Cancelled) as cancelled:
        mininet.run_sample(
            scenario.topology, scenario.profile, plan, strides, Options(dilation=1000), enough
        )
    assert cancelled.value.stage == enough.title
    assert [command_of(one) for one in enough.inside if cleanup.start_time(one)] == []
    assert not folders(os.getpid())
    assert machine() == before
