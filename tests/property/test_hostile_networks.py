"""Whatever stands in a network of another program: it is read, or refused; nothing is lost."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qnet.errors import InputError
from qnet.files.read import load
from qnet.formats.networks.nouns import Imported
from qnet.interchange import import_network, network_files, network_formats

DATA = Path(__file__).parents[1] / "data"
GML = """graph [ directed 1 Network "a" node [ id 0 label "x y" Longitude 1 Latitude -2.5 ]
node [ id 1 label "x y" hyperedge 1 ] node [ id 2 ]
edge [ source 0 target 1 LinkSpeed "10" LinkSpeedUnits "G" ] edge [ source 1 target 2 bw 3 ]
edge [ source 2 target 1 ] edge [ source 2 target 2 ] ]"""
NODE_LINK = json.dumps(
    {
        "graph": {"name": "n", "demands": {"0": {"1": 2.5}}},
        "nodes": [{"id": 0, "pos": [1, 2], "label": "x"}, {"id": 1, "label": "x"}, {"id": "2"}],
        "edges": [
            {"source": 0, "target": 1, "capacity": 3},
            {"source": 1, "target": "2", "length": "3km"},
            {"source": 1, "target": 0, "LinkSpeedRaw": 1e9},
        ],
    },
    indent=1,
)
LAB = """name: lab
topology:
  kinds: {linux: {labels: {qnet-role: hub}}}
  nodes:
    a: {kind: linux, labels: {graph-geoCoordinateLat: "1.5", graph-geoCoordinateLng: 2}}
    b: {labels: {qnet-name: Zürich, qnet-queues: 4}}
    c:
  links:
    - {endpoints: [a:e1, b:e1], vars: {qnet-rate: [1Gbps, 2Gbps], qnet-cable: east}}
    - {type: veth, endpoints: [{node: b, interface: e2}, {node: c, interface: e1}]}
    - {type: dummy, endpoint: {node: a, interface: e9}}
"""
NETLAB = """name: lab
nodes:
  a: {role: host, qnet: {position: 1N 2E}}
  b: {device: frr}
  c:
links:
  - a-b
  - {interfaces: [{node: a, bandwidth: 1000}, {node: b}], tc: {delay: 1.5ms, loss: 0.1}}
  - {a: {}, b: {bandwidth: 10}, qnet: {length: 3km, name: north, cable: east}}
  - [a, b, c]
"""
RFC8345 = json.dumps(
    {
        "ietf-network:networks": {
            "network": [
                {
                    "network-id": "n",
                    "node": [
                        {"node-id": "a", "ietf-te-topology:te": {"geolocation": {"latitude": "1"}}},
                        {"node-id": "b", "ietf-l2-topology:l2-node-attributes": {"name": "x y"}},
                    ],
                    "ietf-network-topology:link": [
                        {
                            "link-id": f"{a}-{b}",
                            "source": {"source-node": a, "source-tp": "1"},
                            "destination": {"dest-node": b, "dest-tp": "1"},
                            "supporting-link": [{"network-ref": "m", "link-ref": "east"}],
                            "ietf-l2-topology:l2-link-attributes": {"rate": "7", "delay": 9},
                        }
                        for a, b in ("ab", "ba")
                    ],
                }
            ]
        }
    },
    indent=1,
)
SAMPLES = {
    "containerlab": [LAB],
    "netlab": [NETLAB],
    "rfc8345": [RFC8345],
    "graphml": [(DATA / "topology-zoo/Nsfcnet.graphml").read_text()],
    "gml": [GML],
    "node-link": [NODE_LINK],
    "repetita": [(DATA / "networks/abilene-part.graph").read_text()],
    "sndlib": [(DATA / f"networks/polska-part.{end}").read_text() for end in ("txt", "xml")],
}
PIECES = [
    *"\r\n\0\"',()[]{}<>&#179.eE+-:;\t \ufeff\u2028\x85\u0661",
    "-1",
    "91",
    "nan",
    "1e99",
    "1e-40",
    "9" * 40,
    "&#0;",
    "&x;",
    '"\\ud800"',
    "<!DOCTYPE a>",
    "hyperedge",
    "null",
    "true",
    "[]",
    "{}",
]


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        gone = draw(st.sampled_from([0, 0, 1, 3, 20]))
        text = text[:place] + draw(st.sampled_from(PIECES)) + text[place + gone :]
    return text


def is_whole(made: Imported) -> bool:
    """Hold that no edge is lost, and that the files that are written say what was read."""
    assert made.edges == made.wires + sum(one.edges for one in made.assumptions)
    texts = {name: yaml.safe_load(text) for name, text in network_files(made).items()}
    traffic = texts.get("traffic.yaml", {"title": "none", "topology": "topology"})
    case = load(traffic, topology=texts["topology.yaml"])
    assert case.topology == made.topology
    return made.profile is None or case.profile == made.profile


def read_or_refused(format: str, file: str, **options: Any) -> Imported | None:
    """Return what was read; any exception but faults is a failure."""
    try:
        return import_network(format, file, **options)
    except InputError as error:
        lines = str(error).splitlines()
    assert len(lines) <= 102  # of very many faults the first hundred are shown
    assert all(line.isprintable() for line in lines)
    return None


@pytest.mark.parametrize("format", sorted(SAMPLES))
@given(data=st.data())
def test_a_network_is_read_or_refused(format: str, data: st.DataObject) -> None:
    text = data.draw(mutated(data.draw(st.sampled_from(SAMPLES[format]))))
    asks = network_formats()[format].asks
    options: dict[str, Any] = {"largest": data.draw(st.booleans())}
    if "unit" in asks:
        options["unit"] = "Mbps"
    if "hyperedge" in asks:
        options["hyperedge"] = data.draw(st.sampled_from([None, "switch", "clique", "drop"]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network"
        file.write_bytes(text.encode())
        made = read_or_refused(format, str(file), **options)
    assert made is None or is_whole(made)
