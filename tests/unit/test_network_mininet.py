"""The program for Mininet: what it is told, what is listed, and the ways that its flows take."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx
import pytest

from qnet.errors import ArgumentError
from qnet.files.read import bundled_names, read_topology
from qnet.interchange import export_network
from qnet.model.topology import Topology
from tests.unit.test_networks import run

NET = {
    "title": "'''Odd\" %s \\ 庆阳",
    "nodes": [
        {"name": "a"},
        {"name": "b", "processing": "1us"},
        {"name": "c"},
        {"name": "d", "kind": "host"},
    ],
    "links": [
        {"between": ["a", "b"], "rate": ["100Mbps", "20Mbps"], "length": "1000km"},
        {"between": ["b", "c"], "rate": "10Gbps", "delay": "1500ns", "members": 2},
        {"between": ["c", "a"], "rate": "1Gbps", "delay": "0ns", "direction": "one-way"},
        {"between": ["d", "a"], "rate": "100bps", "delay": "300s", "loss": ["1%", "1ppb"]},
        {"between": ["d", "b"], "rate": "1Gbps", "delay": "7us"},
    ],
}


def program(text: str, folder: Path) -> dict[str, Any]:
    """Load a program without running it."""
    pytest.importorskip("mininet")
    path = folder / "net.py"
    path.write_text(text, encoding="utf-8")
    return runpy.run_path(str(path))


def test_what_mininet_is_told(tmp_path: Path) -> None:
    made = export_network("mininet", Topology.model_validate(NET))
    loaded = program(made.text, tmp_path)
    assert loaded["TITLE"] == NET["title"]
    assert loaded["SWITCHES"] == {"s1": "a", "s2": "b", "s3": "c"}
    assert loaded["HOSTS"] == {"h1": "d", "h2": "c"}
    far = {"delay": "4900us", "max_queue_size": 1000 + 730}
    near = {"delay": "2us", "max_queue_size": 1000 + 3}
    assert loaded["LINKS"] == [
        ("s1", "s2", {"bw": 100, **far}, {"bw": 20, **far, "max_queue_size": 1146}, True),
        ("s2", "s3", {"bw": 1000, **near}, {"bw": 1000, **near}, True),
        ("s3", "s1", {"bw": 1000}, None, True),
        ("h1", "s1", {"bw": 0.001, "loss": 1, "max_queue_size": 1000}, {"bw": 0.001}, True),
        (
            "h1",
            "s2",
            {"bw": 1000, "delay": "7us", "max_queue_size": 1011},
            {"bw": 1000, "delay": "7us", "max_queue_size": 1011},
            False,
        ),
        ("h2", "s3", {}, {}, True),
    ]
    assert {one.what: one.count for one in made.left_out} == {
        "'processing' of nodes left out": 1,
        "rates written as 1000 Mbit/s, the highest that Mininet keeps ('--stretch' slows time)": 2,
        "wires of links of several, written as one of all their rates": 2,
        "delays rounded to whole microseconds": 2,
        "links of one direction, built with both": 1,
        "rates written as 1 kbit/s, the lowest": 2,
        "delays left out that are more than 274 s": 2,
        "losses rounded to 0.00001 %, the steps of tc": 1,
        "links of hosts after the first, which are built, and carry nothing": 1,
        "hosts put beside switches, so that there is one to ping": 1,
    }


def test_time_may_be_stretched(tmp_path: Path) -> None:
    made = export_network("mininet", Topology.model_validate(NET), stretch=20)
    loaded = program(made.text, tmp_path)
    there, back = loaded["LINKS"][0][2:4]
    assert (there["bw"], back["bw"], there["delay"]) == (5, 1, "98000us")
    assert loaded["LINKS"][1][2] == {"bw": 1000, "delay": "30us", "max_queue_size": 1045}
    told = {one.what: one.count for one in made.left_out}
    assert told["rates divided and delays multiplied by 20"] == 5
    assert not any(what.startswith("rates written as 1000") for what in told)
    for stretch in (0, -1, 10**7):
        with pytest.raises(ArgumentError, match="is not from 1 to 1,000,000"):
            export_network("mininet", "dual-node", stretch=stretch)
    with pytest.raises(ArgumentError, match="stretch: rfc8345 has no use for it"):
        export_network("rfc8345", "dual-node", stretch=2)
    result = run("export", "mininet", "dual-node", "--stretch", "0")
    assert (result.exit_code, "--stretch: 0 is not from 1" in result.output) == (2, True)


def least_delays(topology: Topology, loaded: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Find the least delay of all pairs with networkx, by the delays that Mininet is told."""
    graph = networkx.DiGraph()
    for near, far, there, back, carries in loaded["LINKS"]:
        for one, other, way in ((near, far, there), (far, near, back)):
            if carries and way is not None:
                delay = int(way.get("delay", "0us").removesuffix("us"))
                known = graph.get_edge_data(one, other, {"delay": delay})["delay"]
                graph.add_edge(one, other, delay=min(delay, known))
    assert len(topology.nodes) <= len(graph)
    return dict(networkx.all_pairs_dijkstra_path_length(graph, weight="delay"))


@pytest.mark.parametrize("name", sorted(bundled_names("topology")))
def test_frames_take_the_way_of_least_delay(name: str, tmp_path: Path) -> None:
    topology = read_topology(name)
    loaded = program(export_network("mininet", topology).text, tmp_path)
    least = least_delays(topology, loaded)
    port_of, ways = {}, []
    for number, (near, far, there, back, carries) in enumerate(loaded["LINKS"]):
        for one, other, way in ((near, far, there), (far, near, back)):
            if carries and way is not None:
                delay = int(way.get("delay", "0us").removesuffix("us"))
                ways.append((one, other, number, delay))
                port_of[one, number] = (other, delay)
    towards: Callable[..., dict[str, int]] = loaded["ports_towards"]
    for target in loaded["HOSTS"]:
        ports = towards(target, ways)
        assert set(ports) == {node for node in loaded["SWITCHES"] if target in least[node]}
        for start in ports:
            node, passed = start, 0
            for _ in range(len(loaded["SWITCHES"])):
                node, delay = port_of[node, ports[node]]
                passed += delay
                if node == target:
                    break
            assert (node, passed) == (target, least[start][target]), json.dumps([start, target])
