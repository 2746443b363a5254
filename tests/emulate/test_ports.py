"""The ports of the emulator are the simulator's: frames followed one by one arrive as simulated."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from qnet.emulate.kernels import TIME
from qnet.emulate.ports import Ports, Want
from qnet.simulate.setup import owners
from tests.asking import ask

GOLDEN = Path(__file__).parents[1] / "golden"


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
    answer = ask(GOLDEN / name / "traffic.yaml")
    case, plan, seen = answer.scenario, answer.plan, answer.observation
    found = owners(case.topology, case.profile, plan)
    want = [Want(source, first=0, stride=stride) for source in range(len(found))]
    ports = Ports(case.topology, case.profile, plan, want=want)
    latencies = defaultdict(list)
    source_of = {n: i for i, (a, b) in enumerate(ports.span.tolist()) for n in range(a, b)}
    while not ports.done:
        for one in ports.serve_window():
            if one.lane >= ports.outputs[0]:
                source = source_of[one.frame]
                birth = int(ports.frames[one.frame, TIME])
                arrival = ports.due_ps(source, birth, one.time_ps)
                if arrival <= ports.world.network.end:
                    latencies[found[source].name].append(arrival - birth)
    for account in (*seen.streams, *seen.demands):
        got = latencies[account.name]
        if stride == 1:
            assert len(got) == account.copies
            assert sum(got) == account.latency_ps_sum
            assert min(got) == account.latency_ps_min
            assert max(got) == account.latency_ps_max
        else:
            assert account.latency_ps_min is not None
            assert account.latency_ps_max is not None
            assert abs(len(got) * stride - account.copies) <= 2 * stride
            assert min(got) >= account.latency_ps_min
            assert max(got) <= account.latency_ps_max
