"""Files of GNPy, MiniEdit and NetBox, and matrices, changed at random: read, or refused."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.test_hostile_networks import is_whole, mutated, read_or_refused
from tests.unit.test_network_json import gnpy_text
from tests.unit.test_network_matrix import NET, SQUARE
from tests.unit.test_network_netbox import CABLES, DEVICES, INTERFACES, SITES, graph_of_nrx
from tests.unit.test_network_otg import CONFIG
from tests.unit.test_network_trex import STREAMS

LAB = """{"version": "2", "application": {}, "controllers": [{"opts": {"hostname": "c0"}}],
 "hosts": [{"number": "1", "opts": {"hostname": "h1", "nodeNum": 1}, "x": "1", "y": "2"}],
 "switches": [{"number": "1", "opts": {}}, {"opts": {"hostname": "s2", "switchType": "x"}}],
 "links": [{"src": "h1", "dest": "s1", "opts": {"bw": 10, "delay": "5ms", "loss": 1}},
  {"src": "s1", "dest": "s2", "opts": {"max_queue_size": 3, "bw": "2.5"}}]}"""
SAMPLES = {
    "gnpy": [gnpy_text()],
    "miniedit": [LAB],
    "netbox": [CABLES, DEVICES, INTERFACES, SITES, json.dumps(graph_of_nrx())],
    "otg": [CONFIG],
    "trex": [STREAMS],
    "matrix": [SQUARE, "from;to;value\na;b;1.5\nb;New-York;2e1\n"],
}


FOR_A_TOPOLOGY = {"matrix", "otg", "trex"}


@pytest.mark.parametrize("format", sorted(SAMPLES))
@given(data=st.data())
def test_a_file_is_read_or_refused(format: str, data: st.DataObject) -> None:
    text = data.draw(mutated(data.draw(st.sampled_from(SAMPLES[format]))))
    with tempfile.TemporaryDirectory() as folder:
        file, net = Path(folder) / "network", Path(folder) / "net.yaml"
        file.write_bytes(text.encode())
        net.write_text(NET)
        options: dict[str, Any] = {"topology": str(net)} if format in FOR_A_TOPOLOGY else {}
        if format == "matrix":
            options["unit"] = "Gbps"
        if format == "trex":
            options["ports"] = {"tx": "a", "rx": "b"}
        made = read_or_refused(format, str(file), **options)
    assert made is None or is_whole(made)
