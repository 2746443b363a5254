"""Networks for other programs: what a format can say is in its file, all else is listed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qnet.errors import ArgumentError, InputError
from qnet.files.read import bundled_names, read_topology
from qnet.interchange import export_network, network_exports
from qnet.model.topology import propagation_ps
from tests.builders import network
from tests.unit.test_networks import run


def told(made: Any) -> dict[str, int]:
    return {one.what: one.count for one in made.left_out}


def test_every_export_has_its_help() -> None:
    listing = run("export", "--help").output
    for name, one in network_exports().items():
        assert name in listing
        assert one.summary in run("export", name, "--help").output


@pytest.mark.parametrize("name", sorted(network_exports()))
def test_the_list_is_printed_beside_the_network(name: str, tmp_path: Path) -> None:
    unit = "Mbps" if "unit" in network_exports()[name].asks else None
    words = ["--unit", unit] if unit else []
    made = export_network(name, "qingyang", unit=unit)
    lines = "left out:\n" + "".join(f"  {one}\n" for one in made.left_out)
    result = run("export", name, "qingyang", *words)
    assert (result.exit_code, result.stdout, result.stderr) == (0, made.text, lines)
    file = tmp_path / "q"
    result = run("export", name, "qingyang", *words, "-o", file)
    assert result.stdout == f"33 nodes, 75 links of 344 wires: {file}\n"
    assert result.stderr == lines
    assert file.read_text() == made.text
    answer = json.loads(run("export", name, "qingyang", *words, "-o", file, "--json").stdout)
    assert (answer["wires"], len(answer["left_out"])) == (344, len(made.left_out))


def test_wrong_exports(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text("title: t\nnodes: 7\n")
    for words, says in (
        (["rfc8345", "qingyan"], "did you mean 'qingyang'?"),
        (["rfc8345", file], f"{file}:2:8: nodes: "),
        (["rfc8345", tmp_path / "no.yaml"], "no such file"),
        (["rfc8345", "qingyang", "--json"], "'--json' needs '-o'"),
        (["rfc8345", file, "-o", file], "is an input of this command"),
        (["gexf", "qingyang"], "No such command 'gexf'"),
    ):
        result = run("export", *words)
        assert (result.exit_code, says in result.output) == (2, True), result.output
    assert file.read_text() == "title: t\nnodes: 7\n"
    with pytest.raises(ArgumentError, match="'gexf' is not a format of networks; there are "):
        export_network("gexf", "qingyang")
    with pytest.raises(InputError, match="no such"):
        export_network("rfc8345", str(tmp_path / "no.yaml"))


# RFC 8345


def rfc8345(topology: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the nodes by name and the links of what was written."""
    networks = json.loads(export_network("rfc8345", topology).text)
    first = networks["ietf-network:networks"]["network"][0]
    nodes = {one["ietf-l2-topology:l2-node-attributes"]["name"]: one for one in first["node"]}
    return nodes, first["ietf-network-topology:link"]


@pytest.mark.parametrize("name", sorted(bundled_names("topology")))
def test_each_direction_of_a_wire_is_a_link_between_its_points(name: str) -> None:
    topology = read_topology(name)
    nodes, links = rfc8345(topology)
    assert set(nodes) == set(topology.node_by_name)
    points = {
        (node["node-id"], point["tp-id"])
        for node in nodes.values()
        for point in node["ietf-network-topology:termination-point"]
    }
    ways: Counter[tuple[object, ...]] = Counter()
    for link in links:
        near = tuple(link["source"].values())
        far = tuple(link["destination"].values())
        assert {near, far} <= points
        ways[near, far] += 1
        attributes = link["ietf-l2-topology:l2-link-attributes"]
        ways[near[0], far[0], int(attributes["rate"]), attributes["delay"]] += 1
    assert len({link["link-id"] for link in links}) == len(links)
    for wire in topology.links:
        delays_ps = propagation_ps(wire, topology.node_by_name)
        for way, (source, target) in enumerate(wire.directions):
            delay_us = (delays_ps[way] + 500_000) // 10**6
            ways[source, target, wire.rate_bps[way] // 1000, delay_us] -= wire.members
    assert set(ways.values()) <= {0, 1}
    assert sum(ways.values()) == len(links) == len(topology.ports)


def test_what_rfc8345_cannot_say_is_listed() -> None:
    topology = network(
        [
            {"between": ["a", "b"], "rate": ["1.0005Mbps", "2Mbps"], "delay": "1.5us"},
            {"between": ["b", "庆阳"], "length": "10km", "cable": "east", "members": 2},
            {"between": ["a", "庆阳"], "delay": "5000s", "direction": "one-way", "loss": "1%"},
        ],
        nodes=["a", {"name": "b", "kind": "host", "buffer": "1kB"}, "庆阳"],
        link={"rate": "1Gbps"},
        description="d",
        assumptions=["x", "y"],
    )
    made = export_network("rfc8345", topology)
    assert told(made) == {
        "'description' of the network left out": 1,
        "'assumptions' of the network left out": 2,
        "'kind' of nodes left out": 1,
        "'buffer' of nodes left out": 1,
        "'loss' of links left out": 1,
        "rates rounded to whole kbit/s": 1,
        "delays rounded to whole microseconds": 2,
        "lengths written as delays, 4.9 us per km": 2,
        "delays left out that are more than 2^32 - 1 microseconds": 1,
    }
    nodes, links = rfc8345(topology)
    assert nodes["庆阳"]["node-id"] == "%E5%BA%86%E9%98%B3"
    assert [one["ietf-l2-topology:l2-link-attributes"] for one in links[:2]] == [
        {"rate": "1001", "delay": 2},
        {"rate": "2000", "delay": 2},
    ]
    supports = [one.get("supporting-link") for one in links]
    assert supports == [None, None, *[[{"network-ref": "t/cables", "link-ref": "east"}]] * 4, None]
    below = json.loads(made.text)["ietf-network:networks"]["network"][1]
    assert below["ietf-network-topology:link"] == [{"link-id": "east"}]
