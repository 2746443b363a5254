"""Every single failure of topohub's Chinanet with 156 drawn demands, beside NetGraph.

    python -m venv tests/bench/.venv && tests/bench/.venv/bin/pip install ngraph topohub
    .venv/bin/python -m tests.bench.sweep_netgraph tests/bench/.venv/bin/python

Both place the same demands (pairs and rates drawn, wires of 100 Gb/s) around the same failures, one
after the other in one process with one thread; the network is loaded before. NetGraph fills
shortest paths, by what is left of them (TE_WCMP_UNLIM), qnet's depth `lp` solves for the most,
`planned` makes whole plans and has them proven. Printed are seconds of the processor and volumes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import qnet
from qnet.model.scenario import Scenario
from qnet.model.sweep import Depth, Failure, SweepCase
from qnet.sweeps.look import Work, look
from qnet.sweeps.reach import Reach

SIDE = "tests/bench/netgraph_side.py"


def scenario_of(drawn: dict[str, Any]) -> Scenario:
    """Return the drawn network and demands as a scenario."""
    network = {
        "title": "Chinanet",
        "nodes": [{"name": one} for one in drawn["nodes"]],
        "links": [
            {
                "between": [near, far],
                "rate": "100Gbps",
                "length": f"{max(round(km), 1)}km",
                "name": f"l{number}",
            }
            for number, (near, far, km) in enumerate(drawn["links"])
        ],
    }
    demands = [
        {"name": f"d{number}", "from": one, "to": other, "rate": f"{rate}Gbps"}
        for number, (one, other, rate) in enumerate(drawn["demands"])
    ]
    classes = [{"name": "best", "priority": 0, "mechanism": "strict-priority"}]
    for one in demands:
        one["class"] = "best"
    traffic = {"title": "Drawn", "topology": "chinanet", "classes": classes, "demands": demands}
    return qnet.load(traffic, topology=network)


def failures_of(scenario: Scenario, drawn: dict[str, Any]) -> list[Failure]:
    """Return what NetGraph had fail, by the ports of the links."""
    return [
        Failure(ports=tuple(one.number for one in scenario.topology.ports if one.link in links))
        for links in drawn["cases"]
    ]


def timed(
    scenario: Scenario, failures: list[Failure], depth: Depth
) -> tuple[list[float], list[float]]:
    """Return for each failure the seconds it takes and the Gb/s that are placed."""
    wanted_bps = sum(one.rate_bps for one in scenario.profile.demands)
    plan = None if depth == "lp" else qnet.plan(scenario)
    work = Work("bench", depth, 10**9, (scenario,), (plan,))
    reach = Reach(scenario.topology, scenario.profile)

    def placed(number: int, failure: Failure) -> float:
        if depth == "lp":
            return (wanted_bps - reach.replanned(frozenset(failure.ports)).lost_bps) / 1e9
        case = SweepCase(number=number, variant=0, seed=1, failure=failure)
        found = look(work, case)
        assert found.replanned is not None, found.reason
        return (wanted_bps - found.replanned.lost_bps) / 1e9

    placed(0, failures[1])
    seconds, volumes = [], []
    for number, failure in enumerate(failures):
        begun = time.process_time()
        volumes.append(placed(number, failure))
        seconds.append(time.process_time() - begun)
    return seconds, volumes


def main() -> None:
    """Run both, one after the other, and print what they took and placed."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    side = subprocess.run(
        [sys.argv[1], SIDE],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, **one_thread},
    )
    drawn = json.loads(side.stdout)
    scenario = scenario_of(drawn)
    failures = failures_of(scenario, drawn)
    say = sys.stdout.write
    wanted = sum(rate for _, _, rate in drawn["demands"])
    say(f"{len(drawn['nodes'])} nodes, {len(drawn['links'])} links, ")
    say(f"{len(drawn['demands'])} demands ")
    say(f"of {wanted} Gb/s, {len(failures) - 1} distinct failures\n")
    say("| | ms a failure, median | mean | Gb/s placed, mean | least | Gb/s intact |\n")
    say("|---|---|---|---|---|---|\n")
    rows = [
        ("NetGraph", drawn["seconds"], drawn["placed_gbps"]),
        ("qnet `lp`", *timed(scenario, failures, "lp")),
        ("qnet `planned`", *timed(scenario, failures, "planned")),
    ]
    for name, seconds, volumes in rows:
        times = [1000 * one for one in seconds[1:]]
        say(f"| {name} | {statistics.median(times):.1f} | {statistics.mean(times):.1f} ")
        say(f"| {statistics.mean(volumes[1:]):.1f} | {min(volumes[1:]):.1f} | {volumes[0]:.1f} |\n")
    ratios = [ours / theirs for ours, theirs in zip(rows[1][2], rows[0][2], strict=True)]
    say(f"`lp` over NetGraph: {min(ratios):.4f} to {max(ratios):.4f}, ")
    say(f"mean {statistics.mean(ratios):.4f}\n")


if __name__ == "__main__":
    main()
