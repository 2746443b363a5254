"""What general ports cost, part by part, beside plain ones. Printed, never asserted: `make bench`.

All on the mesh of data/mesh60.txt, its streams in two classes by turns, on one thread: the same
frames over the same ways. CPU time of the run itself, the best of some runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from qnet.model.fields import BothWays
from qnet.model.gates import GateEntry, GateList
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import Course
from qnet.simulate.world import PortTally
from tests.bench.mesh import nouns, read_mesh
from tests.bench.test_bench import say

Benchmark = Any
"""The fixture of pytest-benchmark, which has no types of its own."""

Case = tuple[Topology, Profile, Plan]

ROUNDS = 3
DURATION_PS = 4 * 10**9
US = 10**6

EXPRESS: dict[str, Any] = {"name": "one", "priority": 5, "mechanism": "strict-priority"}
OTHER: dict[str, Any] = {"name": "two", "priority": 3, "mechanism": "strict-priority"}

PARTS: dict[str, list[dict[str, Any]]] = {
    "plain": [EXPRESS, OTHER],
    "lossy links": [EXPRESS, OTHER],
    "gates": [EXPRESS, OTHER],
    "credit": [EXPRESS | {"idle-slope": "60%"}, OTHER],
    "credit behind gates": [EXPRESS | {"idle-slope": "60%"}, OTHER],
    "shaping": [EXPRESS | {"max-residence": "1ms"}, OTHER],
    "round robin": [
        EXPRESS | {"priority": 3, "weight": 2},
        OTHER | {"weight": 1},
    ],
    "preemption": [EXPRESS, OTHER | {"preemptable": True}],
    "CQF": [EXPRESS | {"mechanism": "cqf"}, OTHER],
    "TCQF, plain": [EXPRESS | {"mechanism": "tcqf"}, OTHER],
}


def changed(case: Case, name: str, classes: Sequence[dict[str, Any]]) -> Case:
    """Put the streams of a case into classes, in turns, and give the ports what these need."""
    topology, profile, plan = case
    names = [one["name"] for one in classes]
    # Frames of classes with cycles are sent in the first cycle that begins after them.
    cyclic = {one["name"] for one in classes if one["mechanism"] in ("cqf", "tcqf")}
    streams, plans = [], []
    for i, (stream, planned) in enumerate(zip(profile.streams, plan.streams, strict=True)):
        mine = names[i % len(names)]
        given: dict[str, Any] = {"traffic_class": mine}
        if mine in cyclic:
            given["interval_ps"] = -(-stream.interval_ps // plan.cycle_ps) * plan.cycle_ps
        streams.append(stream.replace(**given))
        (path,) = planned.paths
        if mine in cyclic:
            assert planned.send_ps is not None, "streams of the mesh begin at a time"
            cycle = planned.send_ps // plan.cycle_ps + 1
            cycles = [cycle]
            for near, _ in pairwise(path.ports):
                passed = topology.port_by_name[near].propagation_ps // plan.cycle_ps
                cycles.append(cycles[-1] + passed + 2)
            path = path.replace(cycles=tuple(cycles))
        status = "admitted" if mine in cyclic else "routed"
        plans.append(planned.replace(paths=(path,), status=status))
    made = Profile.model_validate(
        {
            "title": name,
            "topology": "mesh",
            "classes": classes,
            "simulation": {"duration": f"{profile.simulation.duration_ps}ps"},
        }
    )
    made = Profile(
        title=made.title,
        topology=made.topology,
        classes=made.classes,
        streams=tuple(streams),
        simulation=made.simulation,
    )
    gates: tuple[GateList, ...] = ()
    if "gates" in name:
        # The lower class has nine tenths of the time, in pieces.
        entries = (GateEntry(2_250_000, 3), GateEntry(250_000, 2)) * 10
        gates = tuple(GateList(port=port.name, entries=entries) for port in topology.ports)
    if name == "lossy links":
        links = tuple(link.replace(loss_ppb=BothWays(1, 1)) for link in topology.links)
        topology = Topology(title="mesh", nodes=topology.nodes, links=links)
    fields = {"streams": tuple(plans), "gates": gates, "gate_cycle_ps": 25 * US if gates else None}
    return topology, made, Plan(**dict(plan) | fields)


def pace(case: Case) -> tuple[int, float]:
    """Run a case once; return packet-hops and seconds of CPU time."""
    course = Course(*case, 1)
    begun = time.process_time()
    while not course.is_done:
        course.go_on()
    return int(course.world.tally.port[:, PortTally.FRAMES].sum()), time.process_time() - begun


def test_parts(benchmark: Benchmark) -> None:
    case = nouns(read_mesh(), DURATION_PS)
    cases = {name: changed(case, name, classes) for name, classes in PARTS.items()}
    for one in cases.values():
        pace(one)
    # In turns, so that other work on the machine is in all alike.
    runs = [{name: pace(one) for name, one in cases.items()} for _ in range(ROUNDS)]
    benchmark.pedantic(pace, args=(cases["plain"],), rounds=1)
    plain_ns = 0.0
    for name in cases:
        hops = runs[0][name][0]
        cost_ns = min(run[name][1] for run in runs) / hops * 1e9
        plain_ns = plain_ns or cost_ns
        benchmark.extra_info[name] = round(1e3 / cost_ns, 2)
        say(
            f"{name}: {1e3 / cost_ns:.1f} million packet-hops a CPU second ({hops:,}), "
            f"{cost_ns / plain_ns:.2f} times the cost of plain ports"
        )
