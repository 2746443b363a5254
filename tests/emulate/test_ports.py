"""The ports of the emulator are the simulator's: frames followed one by one arrive as simulated."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.emulate.frames.kernels import TIME
from qnet.emulate.frames.ports import RealFrames, VirtualPorts
from qnet.model.observation import Observation
from qnet.simulate.frame_sources import sources_of
from qnet.simulate.run import simulate
from tests.asking import Answer, ask
from tests.builders import network, plan_for, profile
from tests.emulate.networks import every_part
from tests.slow_case import Case
from tests.unit.test_simulate_ports import PARTS, Drawing

GOLDEN = Path(__file__).parents[1] / "golden"


def test_frames_through_every_part_of_a_general_port_arrive_as_simulated(tmp_path: Path) -> None:
    answer = every_part(tmp_path)
    causes = {one.cause for one in answer.observation.drops}
    assert causes >= {"beyond the committed rate", "lost or damaged on the link"}
    _follow(1, answer)


@pytest.mark.parametrize(
    ("stride", "name"),
    [
        (1, "line"),
        (3, "line"),
        pytest.param(1, "two-paths", marks=pytest.mark.twin),
        (1, "demands-over-lag"),
    ],
)
def test_frames_followed_arrive_as_simulated(stride: int, name: str) -> None:
    _follow(stride, ask(GOLDEN / name / "traffic.yaml"))


def test_frames_through_gates_arrive_as_simulated() -> None:
    _follow(1, ask("factory", duration="4ms"))


def test_frames_astray_pass_every_port_of_a_network_with_gates() -> None:
    answer = ask("factory", duration="1ms")
    case = answer.scenario
    ports = VirtualPorts(case.topology, case.profile, answer.plan, loaded=False)
    count = len(case.topology.ports)
    for port in range(count):
        ports.put(port, 1000 * port, port, ports.position(port, port % ports.ranks) << 16 | 100)
    left = {}
    while not ports.done:
        left.update({one.frame: one for one in ports.serve_window()})
    assert {frame: one.port for frame, one in left.items()} == {one: one for one in range(count)}
    for frame, one in left.items():
        crossing_ps = 108 * 8000 + case.topology.ports[frame].propagation_ps  # at 1 Gb/s
        assert one.time_ps >= 1000 * frame + crossing_ps


@pytest.mark.parametrize("name", [one for one in PARTS if "trees" not in PARTS[one]])
def test_frames_of_random_networks_arrive_as_simulated(name: str) -> None:
    """Streams with several listeners are not emulated."""

    @settings(max_examples=20)
    @given(st.composite(lambda draw: Drawing(draw, PARTS[name]).case())())
    def check(case: Case) -> None:
        _follow_all(1, case, simulate(*case, threads=1))

    check()


def test_a_node_that_goes_down_does_so_once_where_frames_find_no_room() -> None:
    """More frames than a lane has room for at first come out behind one hop, after 1 ns of down."""
    topology = network([{"between": ["a", "b"], "rate": "1Gbps", "length": "200m"}])
    stopped = {"at": "0ns", "change": "down", "target": "a", "for": "1ns"}
    sent = profile(
        [{"from": "a", "to": "b", "interval": "10us", "max-pkts-per-interval": 4}],
        mechanisms={"high": "strict-priority"},
        stream={"class": "high", "max-payload-size": "46B", "start": "random"},
        events=[stopped],
        simulation={"duration": "200us", "seed": 0},
    )
    case = topology, sent, plan_for(topology, sent)
    _follow_all(1, case, simulate(*case, threads=1))


def _follow(stride: int, answer: Answer) -> None:
    case = answer.scenario
    _follow_all(stride, (case.topology, case.profile, answer.plan), answer.observation)


def _follow_all(stride: int, case: Case, seen: Observation) -> None:
    topology, profile, plan = case
    found = sources_of(topology, profile, plan)
    want = [RealFrames(source, first=0, stride=stride) for source in range(len(found))]
    ports = VirtualPorts(topology, profile, plan, want=want)
    latencies = defaultdict(list)
    source_of = {n: i for i, (a, b) in enumerate(ports.span.tolist()) for n in range(a, b)}
    while not ports.done:
        for one in ports.serve_window():
            if one.lane >= ports.outputs[0]:
                source = source_of[one.frame]
                birth = int(ports.frames[one.frame, TIME])
                arrival = ports.hand_over(source, birth, one.time_ps)
                is_lost = ports.stops(source, one.time_ps, arrival)
                if arrival <= ports.world.network.end and not is_lost:
                    latencies[found[source].name].append(arrival - birth)
    for account in (*seen.streams, *seen.demands):
        got = latencies[account.name]
        if stride == 1:
            assert len(got) == account.copies
            assert sum(got) == account.latency_ps_sum
            assert min(got, default=None) == account.latency_ps_min
            assert max(got, default=None) == account.latency_ps_max
        else:
            assert account.latency_ps_min is not None
            assert account.latency_ps_max is not None
            assert abs(len(got) * stride - account.copies) <= 2 * stride
            assert min(got) >= account.latency_ps_min
            assert max(got) <= account.latency_ps_max
