"""NetGraph's side of `sweep_netgraph.py`: runs in an environment that has `ngraph` and `topohub`.

Reads nothing; writes the network, the demands, and what NetGraph places of them in each failure.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from typing import Any

RATE_GBPS = 100
DEMANDS = 156
SEED = 20240229


def draws(seed: int) -> Any:
    """Yield whole numbers that are the same everywhere (Numerical Recipes' linear generator)."""
    state = seed
    while True:
        state = (1664525 * state + 1013904223) % 2**32
        yield state >> 8


def drawn_demands(nodes: list[str]) -> list[tuple[str, str, int]]:
    """Draw pairs of nodes, each once, and rates from 1 to 40 Gb/s."""
    source = draws(SEED)
    found: dict[tuple[str, str], int] = {}
    while len(found) < DEMANDS:
        one, other = (nodes[next(source) % len(nodes)] for _ in range(2))
        if one != other:
            found.setdefault((one, other), 1 + next(source) % 40)
    return [(one, other, rate) for (one, other), rate in found.items()]


def main() -> None:
    """Place the demands in every single failure of a link or node, and time each."""
    topohub, ngraph = import_module("topohub"), import_module("ngraph")
    functions = import_module("ngraph.analysis.functions")
    graph = topohub.get("topozoo/Chinanet")
    name = {one["id"]: f"n{one['id']}" for one in graph["nodes"]}
    links = [(name[one["source"]], name[one["target"]], one["dist"]) for one in graph["edges"]]
    nodes = sorted(name.values(), key=lambda one: int(one[1:]))
    demands = drawn_demands(nodes)
    network = ngraph.Network()
    for one in nodes:
        network.add_node(ngraph.Node(one))
    added = []
    for near, far, km in links:
        link = ngraph.Link(near, far, capacity=float(RATE_GBPS), cost=round(max(km, 1.0)))
        network.add_link(link)
        added.append(link.id)
    asked = [
        {
            "source": f"^{one}$",
            "target": f"^{other}$",
            "volume": float(rate),
            "mode": "pairwise",
            "flow_policy": "TE_WCMP_UNLIM",
        }
        for one, other, rate in demands
    ]
    known = functions.build_demand_placement_inputs(network, asked)
    inputs = dict(zip(("context", "expansion", "resolved_ids"), known, strict=True))
    cases: dict[frozenset[int], tuple[set[str], set[str]]] = {}
    for number, link_id in enumerate(added):
        cases.setdefault(frozenset([number]), (set(), {link_id}))
    for node in nodes:
        taken = frozenset(i for i, (near, far, _) in enumerate(links) if node in (near, far))
        cases.setdefault(taken, ({node}, set()))
    placed, seconds = [], []
    for excluded_nodes, excluded_links in [(set(), set()), *cases.values()]:
        begun = time.process_time()
        made = functions.demand_placement_analysis(
            network, excluded_nodes, excluded_links, asked, **inputs
        )
        seconds.append(time.process_time() - begun)
        placed.append(made.summary.total_placed)
    json.dump(
        {
            "nodes": nodes,
            "links": links,
            "demands": demands,
            "cases": [[], *map(sorted, cases)],
            "placed_gbps": placed,
            "seconds": seconds,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
