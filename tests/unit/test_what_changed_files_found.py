"""What files that were changed at random have found: each is refused in words now."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnet.check.plan import prove
from qnet.errors import Infeasible, InputError
from qnet.files.read import read_gate_problem
from qnet.files.write import to_json
from qnet.model.gates import GateEntry, GateList, GateProblem
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.explain import TracedRun, explain
from qnet.simulate.run import simulate
from tests import builders
from tests.builders import plan_for


def network(error: str = "0ns", processing: str = "1us") -> Topology:
    node = {"processing": processing, "clock": {"error": error}}
    links = [{"between": ("a", "b"), "rate": "1Gbps", "length": "1km"}]
    return builders.network(links, node=node)


def profile(mechanism: str) -> Profile:
    stream = {"name": "s", "from": "a", "to": "b", "interval": "1ms", "max-payload-size": "100B"}
    return builders.profile(
        [stream], mechanisms={"reserved": mechanism}, simulation={"duration": "5ms"}
    )


def test_a_route_without_ports_is_refused(tmp_path: Path) -> None:
    problem = GateProblem.model_validate(
        {
            "ports": [{"name": "p", "source": "a", "target": "b", "rate_bps": 10**9}],
            "streams": [
                {
                    "name": "s",
                    "source": "a",
                    "target": "b",
                    "frame_bytes": 100,
                    "period_ps": 10**9,
                    "deadline_ps": 10**9,
                    "jitter_ps": 0,
                    "routes": [["p"]],
                }
            ],
        }
    )
    path = tmp_path / "problem.json"
    text = to_json(problem)
    path.write_text(text)
    assert read_gate_problem(str(path)) == problem
    path.write_text("".join(text.split()).replace('[["p"]]', "[[]]"))
    with pytest.raises(InputError, match="routes"):
        read_gate_problem(str(path))


@pytest.mark.parametrize("mechanism", ["strict-priority", "qbv"])
def test_a_gate_list_of_no_port_does_not_fit_the_files(mechanism: str) -> None:
    topology, asked = network(), profile(mechanism)
    plan = plan_for(topology, asked)
    lists = (*plan.gates, GateList(port="imix", entries=(GateEntry(1000, 1),)))
    findings = prove(topology, asked, plan.replace(gates=lists)).findings
    words = "a gate list for a port that is not in the network"
    assert ("inputs", words) in {(one.rule, one.message) for one in findings}


def test_an_observation_of_another_run_explains_nothing() -> None:
    topology, asked = network(), profile("tcqf")
    plan = plan_for(topology, asked)
    seen = simulate(topology, asked, plan, threads=1)
    other = seen.replace(streams=())
    with pytest.raises(InputError, match="says nothing of it"):
        explain(TracedRun(topology, asked, plan), other, "s", "worst")


def test_times_beyond_all_gates_are_refused_in_words() -> None:
    topology = network(error="90000s", processing="90000s")
    with pytest.raises(Infeasible, match="gates are planned for at most"):
        plan_for(topology, profile("qbv"))
