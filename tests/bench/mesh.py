"""Meshes to measure the simulator with: the one in data/mesh60.txt, and random ones of any size.

data/mesh60.txt: `L n`, then the propagation of n directed links in picoseconds; `F m`, then for
each of m streams `gap_ps start_ps hops link link ...`. Links run at 100 Gb/s; a stream sends a
packet of 1,500 bytes, with preamble and gap, every `gap_ps` from `start_ps` on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np

from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile

MESH60 = Path(__file__).parent / "data" / "mesh60.txt"
PAYLOAD_BYTES = 1462
LINE_TIME_PS = 120_000
"""1,500 bytes at 100 Gb/s."""


class Flow(NamedTuple):
    """One periodic stream: its gap, first send time and directed links."""

    gap_ps: int
    start_ps: int
    links: tuple[int, ...]


class Mesh(NamedTuple):
    """Ends and propagation of every directed link, and what is sent over them."""

    ends: list[tuple[str, str]]
    propagation_ps: list[int]
    flows: list[Flow]


def read_mesh(path: Path = MESH60) -> Mesh:
    """Read the file; nodes are found from which link follows which."""
    lines = path.read_text().splitlines()
    count = int(lines[0].split()[1])
    propagation = [int(line) for line in lines[1 : count + 1]]
    flows = []
    for line in lines[count + 2 :]:
        gap, start, _, *links = map(int, line.split())
        flows.append(Flow(gap, start, tuple(links)))
    # The end of a link and the start of the one after it are one node.
    same = nx.Graph()
    same.add_nodes_from((side, link) for link in range(count) for side in ("to", "from"))
    for flow in flows:
        for near, far in pairwise(flow.links):
            same.add_edge(("to", near), ("from", far))
    name = {
        place: f"n{number}"
        for number, places in enumerate(nx.connected_components(same))
        for place in places
    }
    ends = [(name["from", link], name["to", link]) for link in range(count)]
    return Mesh(ends, propagation, flows)


def random_mesh(nodes: int, streams: int, load: float, seed: int) -> Mesh:
    """Draw a mesh of some three links a node, 50 to 500 us long, and streams on shortest paths.

    Gaps are such that the busiest link is loaded to `load`.
    """
    dice = np.random.Generator(np.random.PCG64(seed))
    graph = nx.Graph()
    for node in range(1, nodes):
        graph.add_edge(node, int(dice.integers(node)))
    while graph.number_of_edges() < min(nodes * 9 // 5, nodes * (nodes - 1) // 2):
        a, b = (int(one) for one in dice.integers(nodes, size=2))
        if a != b:
            graph.add_edge(a, b)
    for a, b in graph.edges:
        graph[a][b]["delay"] = int(dice.integers(50_000_000, 500_000_000))
    directed = [pair for a, b in graph.edges for pair in ((a, b), (b, a))]
    number = {pair: i for i, pair in enumerate(directed)}
    routes: list[tuple[int, ...]] = []
    while len(routes) < streams:
        source = int(dice.integers(nodes))
        paths = nx.single_source_dijkstra_path(graph, source, weight="delay")
        for target in dice.integers(nodes, size=max(streams // nodes, 1)):
            path = paths[int(target)]
            if len(path) > 1 and len(routes) < streams:
                links = tuple(number[pair] for pair in pairwise(path))
                routes.append(links)
    weight = dice.integers(1, 10, size=streams)
    use = np.zeros(len(directed))
    for one, links in zip(weight, routes, strict=True):
        use[list(links)] += one
    unit = use.max() * LINE_TIME_PS / load
    flows = [
        Flow(gap := int(unit / one), int(dice.integers(gap)), links)
        for one, links in zip(weight, routes, strict=True)
    ]
    return Mesh(
        [(f"n{a}", f"n{b}") for a, b in directed],
        [graph[a][b]["delay"] for a, b in directed],
        flows,
    )


def nouns(mesh: Mesh, duration_ps: int) -> tuple[Topology, Profile, Plan]:
    """Return what `simulate` takes; each directed link is the first port of a link of its own."""
    names = sorted({name for ends in mesh.ends for name in ends})
    links = [
        {"name": f"l{i}", "between": ends, "rate": "100Gbps", "delay": f"{delay}ps"}
        for i, (ends, delay) in enumerate(zip(mesh.ends, mesh.propagation_ps, strict=True))
    ]
    topology = Topology.model_validate(
        {"title": "mesh", "nodes": [{"name": name} for name in names], "links": links}
    )
    port = [topology.ports[2 * i].name for i in range(len(links))]
    streams = [
        {
            "name": f"s{i}",
            "from": mesh.ends[flow.links[0]][0],
            "to": mesh.ends[flow.links[-1]][1],
            "class": "best-effort",
            "interval": f"{flow.gap_ps}ps",
            "max-payload-size": f"{PAYLOAD_BYTES}B",
        }
        for i, flow in enumerate(mesh.flows)
    ]
    profile = Profile.model_validate(
        {
            "title": "mesh",
            "topology": "mesh",
            "streams": streams,
            "simulation": {"duration": f"{duration_ps}ps"},
        }
    )
    routed = tuple(
        StreamPlan(
            name=f"s{i}",
            status="routed",
            send_ps=flow.start_ps,
            paths=(PathPlan(ports=tuple(port[link] for link in flow.links)),),
        )
        for i, flow in enumerate(mesh.flows)
    )
    plan = Plan(
        qnet_version="0",
        topology_sha256="",
        traffic_sha256="",
        cycle_ps=topology.tcqf.cycle_ps,
        buffers=topology.tcqf.buffers,
        hypercycle=1,
        streams=routed,
        demands=(),
        egress=(),
    )
    return topology, profile, plan


def sends(flows: Sequence[Flow], duration_ps: int) -> list[int]:
    """Return how many packets each stream must send, by its gap alone."""
    return [-(-max(duration_ps - flow.start_ps, 0) // flow.gap_ps) for flow in flows]
