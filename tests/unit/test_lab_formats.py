"""containerlab, netlab, RFC 8345 in: what their files say, and their faults at their lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from qnet.files.read import bundled_names
from qnet.interchange import export_network, import_network
from qnet.model.fields import NAME_RULE
from tests.builders import network
from tests.unit.test_network_formats import links, told
from tests.unit.test_networks import fault_of, run, write

ENDS = "a link between nodes has two 'endpoints', like ['a:eth1', 'b:eth1']"

WIRE = "    - {endpoints: [a:1, b:1], "

# containerlab


LAB = """name: lab
topology:
  defaults: {labels: {qnet-site: here}}
  kinds:
    linux: {labels: {qnet-kind: host, qnet-site: there}}
  nodes:
    leaf1: {kind: nokia_srlinux, image: x, labels: {graph-geoCoordinateLat: "35.7", owner: me}}
    leaf2:
      kind: nokia_srlinux
      labels: {graph-geoCoordinateLat: 1.5, graph-geoCoordinateLng: "-2"}
    client: {kind: linux, image: "alpine:${TAG}"}
  links:
    - endpoints: ["leaf1:e1-1", "leaf2:e1-1"]
      vars: {qnet-rate: [10Gbps, 1Gbps], qnet-delay: 3us, qnet-cable: east, isis: 1}
    - endpoints: ["leaf2:e1-2", "leaf1:e1-2"]
    - type: veth
      endpoints: [{node: leaf1, interface: e1-3}, {node: client, interface: eth1}]
      mtu: 9
    - endpoints: ["client:eth2", "mgmt-net:c2"]
    - {type: macvlan, endpoint: {node: client, interface: eth3}, host-interface: enp0}
"""


def test_a_lab(tmp_path: Path) -> None:
    made = import_network("containerlab", str(write(tmp_path, "lab.clab.yml", LAB)))
    assert made.topology.title == "lab"
    assert links(made) == [
        ("leaf1", "leaf2", "10Gbps", "1Gbps"),
        ("leaf2", "leaf1", "10Gbps"),
        ("leaf1", "client", "10Gbps"),
    ]
    first = made.topology.links[0]
    assert (first.name, first.delay_ps, first.cable) == ("link-1", (3_000_000,) * 2, "east")
    leaf1, leaf2, client = made.topology.nodes
    assert leaf2.position == (1_500_000, -2_000_000)
    assert (client.kind, client.site, leaf1.kind, leaf1.site) == ("host", "there", "switch", "here")
    assert made.edges == made.wires + 2
    assert told(made) == {
        "variables '${...}' that nothing is put in the place of": 1,
        "labels of nodes left out": 1,
        "settings of nodes left out": 5,
        "labels and vars of links left out": 1,
        "settings of links left out": 1,
        "links to 'mgmt-net', which join no two nodes, left out": 1,
        "links of type 'macvlan', which join no two nodes, left out": 1,
        "edges of which no rate is known, taken as 10Gbps": 2,
        "edges between ends without a place, or of one place, taken as 10km long": 2,
        "nodes that take no time and have exact clocks, as qnet's defaults are": 3,
        "parallel edges that differ, made links with names": 2,
    }


def lab(nodes: str, links: str = "") -> str:
    return f"name: x\ntopology:\n  nodes: {{{nodes}}}\n  links:\n{links or '    []'}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"name: x\x00", ["1:8: character U+0000 does not belong in a text file; remove it"]),
        ("", ["1:1: the file is empty"]),
        ("[" * 40, ["1:33: nested more than 32 deep"]),
        ("x: &a [1]\ny: *a", [
            "1:4: x: anchor '&a': no anchors here; use 'defaults:'",
            "2:4: y: alias '*a': no aliases here; use 'defaults:'",
        ]),
        ("name: x", ["1:1: no 'topology'", "1:1: topology: no 'nodes'"]),
        (lab("a: , b: ,\n   a: "), ["4:4: topology.nodes: key 'a' again; it is on line 3 already"]),
        (
            lab("a: {labels: {graph-geoCoordinateLat: 91, graph-geoCoordinateLng: 1}}, b: 7"),
            [
                "3:48: topology.nodes.a.labels: 91 is not a latitude; it is from -90 to 90 degrees",
                "3:84: topology.nodes.b: '7', not a mapping",
            ],
        ),
        (
            lab(
                "a: , b: {labels: {qnet-role: -, qnet-queues: '9', qnet-quues: 1}}",
                "    - {endpoints: [a:1, b:1], vars: {qnet-rate: -1Gbps}}\n"
                "    - {endpoints: [a:1, c:1]}\n"
                "    - {endpoints: [a:3]}\n"
                "    - {endpoints: [a, b:4]}\n"
                "    - {endpoints: [a:5, b:5], vars: {qnet-length: 1km, qnet-delay: 1us}}\n",
            ),
            [
                "3:40: topology.nodes.b.labels.qnet-role: '-' is not a name; '-' U+002D "
                f"HYPHEN-MINUS cannot begin it: {NAME_RULE}",
                "3:56: topology.nodes.b.labels.qnet-queues: '9': Input should be less than or "
                "equal to 8",
                "3:73: topology.nodes.b.labels.qnet-quues: no word of qnet's for a node; did you "
                "mean 'queues'?",
                "5:49: topology.links[0].vars.qnet-rate: -1Gbps is negative; a rate is zero "
                "or more",
                "6:7: topology.links[1]: interface 'a:1' again",
                "6:7: topology.links[1]: no node 'c'",
                f"7:19: topology.links[2]: {ENDS}",
                "8:20: topology.links[3].endpoints[0]: 'a'; an endpoint is like 'a:eth1'",
                "9:68: topology.links[4].vars.qnet-delay: 'length' and 'delay' both given; keep "
                "the one that was measured",
            ],
        ),
        (
            lab("a: , b: ", WIRE + "vars: {qnet-delay: 1us, qnet-asymmetry: 1s}}"),
            [
                "links[0].asymmetry: 'asymmetry' is more than twice the link's 1us; one way would "
                "take less than no time"
            ],
        ),
        (
            lab("a: , b: ", WIRE + "vars: {qnet-rate: 1bps, qnet-reservable: 2bps}}"),
            [
                "5:7: topology.links[0]: 'reservable' is more than 'rate'; it is a part of one "
                "wire's rate"
            ],
        ),
    ],
)  # fmt: skip
def test_faults_of_containerlab(text: str | bytes, says: list[str], tmp_path: Path) -> None:
    assert sorted(one.strip() for one in fault_of(tmp_path, "containerlab", text)) == sorted(says)


# netlab


NETLAB = """name: lab
groups: {x: {members: [a]}}
nodes:
  a: {device: frr, role: router, qnet: {position: 35N 107E}}
  b: {role: host}
  c:
links:
- a-b
- interfaces: [{node: a, bandwidth: 2000}, {node: b}]
  bandwidth: 1000
  name: uplink
  tc.jitter: 1
  mtu: 9
- {a: , c: {ipv4: 10.0.0.1/24}, tc: {delay: 1.5ms, loss: 0.1, jitter: 3, rate: 5000}}
- [a, b, c]
- {a: , type: loopback}
- {interfaces: [a]}
- {a: , b: , disable: true}
"""


def test_a_netlab_topology(tmp_path: Path) -> None:
    file = str(write(tmp_path, "topology.yml", NETLAB))
    with pytest.raises(Exception, match="'--hyperedge switch'"):
        import_network("netlab", file)
    made = import_network("netlab", file, hyperedge="clique")
    assert links(made)[:3] == [
        ("a", "b", "10Gbps"),
        ("a", "b", "2Mbps", "1Mbps"),
        ("a", "c", "5Mbps"),
    ]
    uplink, third = made.topology.links[1:3]
    assert uplink.name == "uplink"
    assert (third.delay_ps, third.loss_ppb) == ((1_500_000_000,) * 2, (10**6,) * 2)
    assert [node.kind for node in made.topology.nodes] == ["switch", "host", "switch"]
    assert len(made.topology.links) == 5  # of three over the bus, one is like a-b
    assert made.edges == made.wires + sum(one.edges for one in made.assumptions)
    said = told(made)
    assert said["links of type 'loopback' left out"] == 1
    assert said["links of one node left out"] == said["links that are disabled left out"] == 1
    assert said["traffic control other than delay, loss and rate left out"] == 2


@pytest.mark.parametrize(
    ("links", "says"),
    [
        ("[a-x]", ["2:9: links[0]: no node 'x'"]),
        ("{g: [a-b]}", ["2:8: links: groups of links are not read"]),
        ("[{group: x, members: [a-b]}]", ["2:9: links[0]: groups of links are not read"]),
        ("[{interfaces: [7]}]", ["2:23: links[0].interfaces[0]: '7'; an interface has a 'node'"]),
        (
            "[{a: , b: , bandwidth: -1, tc: {delay: 1m, loss: 101}}]",
            [
                "2:31: links[0].bandwidth: '-1' is not a rate; it is more than zero, in kbit/s",
                "2:47: links[0].tc.delay: '1m' is not a delay; it is in ms, or like '1.5s'",
                "2:57: links[0].tc.loss: '101' is not a loss; it is from 0 to 100 percent",
            ],
        ),
    ],
)
def test_faults_of_netlab(links: str, says: list[str], tmp_path: Path) -> None:
    text = f"nodes: [a, b]\nlinks: {links}\n"
    faults = fault_of(tmp_path, "netlab", text)
    assert len(faults) == len(says)
    assert all(fault.startswith(say) for fault, say in zip(faults, says, strict=True)), faults


# RFC 8345


def net(name: str, *links: dict[str, Any], **more: Any) -> dict[str, Any]:
    nodes = [{"node-id": key} for key in ("a", "b", "c")]
    return {"network-id": name, "node": nodes, "ietf-network-topology:link": [*links], **more}


def link(name: str, ends: str, tps: str = "", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "link-id": name,
        "source": {"source-node": ends[0]},
        "destination": {"dest-node": ends[1]},
        **{f"ietf-{key.replace('_', '-')}-topology:{at}": value
           for key, (at, value) in more.items()},
    }  # fmt: skip
    if tps:
        made["source"]["source-tp"], made["destination"]["dest-tp"] = tps[0], tps[1]
    return made


def of(*networks: dict[str, Any]) -> str:
    return json.dumps({"ietf-network:networks": {"network": [*networks]}})


def layer2(**attributes: Any) -> tuple[str, dict[str, Any]]:
    return "l2-link-attributes", attributes


def test_links_are_joined_by_their_termination_points(tmp_path: Path) -> None:
    text = of(
        net(
            "n",
            link("1", "ab", "12", l2=layer2(rate="1000", delay=5)),
            link("2", "ab", "34", l2=layer2(rate=2000, delay=7)),
            link("3", "ba", "43", l2=layer2(rate="3000", delay=8)),
            link("4", "ba", "21", l2=layer2(rate="4000", delay=6)),
            link("5", "bc", "56"),
            link("6", "cb", "78"),
        )
    )
    made = import_network("rfc8345", str(write(tmp_path, "n.json", text)))
    assert [(*one.between, *one.rate_bps, one.direction) for one in made.topology.links] == [
        ("a", "b", 10**6, 4 * 10**6, "both"),
        ("a", "b", 2 * 10**6, 3 * 10**6, "both"),
        ("b", "c", 10**10, 10**10, "one-way"),
        ("c", "b", 10**10, 10**10, "one-way"),
    ]
    assert made.topology.links[1].delay_ps == (7 * 10**6, 8 * 10**6)
    assert (made.edges, made.wires) == (6, 4)


def test_te_has_bandwidths_and_risk_groups(tmp_path: Path) -> None:
    def te(generic: str, *groups: int) -> tuple[str, dict[str, Any]]:
        bandwidth = {"te-bandwidth": {"generic": generic}}
        own = {"max-link-bandwidth": bandwidth, "te-srlgs": {"value": [*groups]}}
        return "te", {"te-link-attributes": own}

    text = of(net("n", link("1", "ab", te=te("0x1p10", 7)), link("2", "bc", te=te("5", 7, 8))))
    made = import_network("rfc8345", str(write(tmp_path, "n.json", text)))
    assert [(one.rate_bps.there, one.cable) for one in made.topology.links] == [
        (8192, "srlg-7"),
        (10**10, None),
    ]
    said = told(made)
    assert said["bandwidths of TE left out whose form does not say their unit"] == 1
    assert said["links with several cables or risk groups, taken without"] == 1


def test_one_of_several_networks(tmp_path: Path) -> None:
    text = of(net("top", link("1", "ab")), net("below", link("1", "bc")), {"network-id": "x"})
    file = write(tmp_path, "n.json", text)
    result = run("import", "rfc8345", file, "-o", tmp_path / "o")
    assert result.exit_code == 2
    assert "networks top, below; write '--network top' or another one" in result.output
    result = run("import", "rfc8345", file, "-o", tmp_path / "o", "--network", "no")
    assert "no network 'no'; there are top, below, x" in result.output
    made = import_network("rfc8345", str(file), network="below")
    assert [one.between for one in made.topology.links] == [("b", "c")]
    assert told(made)["other networks of the file left out, but for what supports links"] == 2


HERE = "ietf-network:networks.network[0]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", [" a list, not an object with 'ietf-network:networks'"]),
        ("{}", [" no network in it; RFC 8345 has them in 'ietf-network:networks', 'network'"]),
        ("[" * 100_000, [" nested too deeply"]),
        ('{"a": 1, "a": 2}', [" key 'a' twice in one object"]),
        (b"{}\x00", ["1:3: character U+0000 does not belong in a text file; remove it"]),
        (
            of(
                net(
                    "n",
                    link("1", "ax", l2=layer2(rate="-1", delay=1.5)),
                    link("1", "ab", l2=layer2(rate="9" * 30)),
                    {"link-id": 7},
                    node=[
                        {"node-id": "a"},
                        {"node-id": "a"},
                        {},
                        3,
                        {
                            "node-id": "g",
                            "ietf-te-topology:te": {
                                "geolocation": {"latitude": "91", "longitude": 0}
                            },
                        },
                    ],
                )
            ),
            [
                f" {HERE}.ietf-network-topology:link[0].delay: '1.5' is not a delay; it is a whole "
                "number up to 4,294,967,295",
                f" {HERE}.ietf-network-topology:link[0].rate: '-1' is not a rate; it is a whole "
                "number up to 1,000,000,000,000",
                f" {HERE}.ietf-network-topology:link[0]: no node 'x'",
                f" {HERE}.ietf-network-topology:link[1].rate: '{'9' * 30}' is not a rate; it is a "
                "whole number up to 1,000,000,000,000",
                f" {HERE}.ietf-network-topology:link[1]: link '1' again; it is there already",
                f" {HERE}.ietf-network-topology:link[1]: no node 'b'",
                f" {HERE}.ietf-network-topology:link[2]: 'link-id' is '7', no text",
                f" {HERE}.ietf-network-topology:link[2]: no 'dest-node'",
                f" {HERE}.ietf-network-topology:link[2]: no 'source-node'",
                f" {HERE}.node[1]: node 'a' again; it is there already",
                f" {HERE}.node[2]: no 'node-id'",
                f" {HERE}.node[3]: '3', not an object",
                f" {HERE}.node[4]: 91 is not a latitude; it is from -90 to 90 degrees",
            ],
        ),
    ],
)
def test_faults_of_rfc8345(text: str | bytes, says: list[str], tmp_path: Path) -> None:
    assert sorted(fault_of(tmp_path, "rfc8345", text)) == sorted(says)


@pytest.mark.parametrize("format", ["containerlab", "netlab", "rfc8345"])
def test_what_is_large_or_deep_is_refused(format: str, tmp_path: Path) -> None:
    assert fault_of(tmp_path, format, b"x" * (65 * 2**20)) == [" too large; at most 64 MiB"]


# What others take has names that they take


def test_names_that_a_lab_cannot_have_are_labels() -> None:
    topology = network(
        [{"between": ["host", "庆阳"], "rate": "1Gbps", "delay": "1us"}],
        nodes=["host", "庆阳", {"name": "n2"}],
    )
    text = export_network("containerlab", topology).text
    assert "    host-2:\n      labels:\n        qnet-name: host\n" in text
    assert "    n2-2:\n      labels:\n        qnet-name: 庆阳\n" in text
    assert "    n2:\n      labels: {}\n" in text


CLAB_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name", "topology"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "topology": {
            "type": "object",
            "required": ["nodes"],
            "properties": {
                "nodes": {"type": "object", "additionalProperties": {"$ref": "#/$defs/node"}},
                "defaults": {"$ref": "#/$defs/node"},
                "links": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {
                            "endpoints": {
                                "type": "array",
                                "minItems": 2,
                                "uniqueItems": True,
                                "items": {"type": "string", "pattern": r"^\S+:\S+$"},
                            },
                            "vars": {"type": "object"},
                        },
                    },
                },
            },
        },
    },
    "$defs": {
        "node": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "kind": {"enum": ["linux"]},
                "image": {"type": "string"},
                "labels": {
                    "type": "object",
                    "additionalProperties": {"type": ["string", "number"]},
                },
            },
        }
    },
}
"""What containerlab's own schema (schemas/clab.schema.json) asks of the parts that are written."""


@pytest.mark.parametrize("name", sorted(bundled_names("topology")))
def test_a_written_lab_is_what_containerlabs_schema_asks_for(name: str) -> None:
    data = yaml.safe_load(export_network("containerlab", name).text)
    jsonschema.validate(data, CLAB_SCHEMA)
    ends = [end for link in data["topology"]["links"] for end in link["endpoints"]]
    assert len(set(ends)) == len(ends)
    assert {end.partition(":")[0] for end in ends} <= set(data["topology"]["nodes"])
    assert all(len(end.partition(":")[2]) <= 15 for end in ends)  # of Linux's interfaces
