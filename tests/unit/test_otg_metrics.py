"""Flow metrics of the Open Traffic Generator model, by hand on a line of three wires."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import qnet
from qnet.errors import ArgumentError, InputError
from qnet.formats.otg_metrics import LatencyMode
from qnet.interchange import otg_metrics
from qnet.result import Result
from tests.unit.test_networks import run

LINE: dict[str, Any] = {
    "title": "A line",
    "nodes": [{"name": name, "processing": "1us"} for name in "abcd"],
    "links": [
        {"between": ["a", "b"], "rate": "1Gbps", "delay": "5us"},
        {"between": ["b", "c"], "rate": "10Gbps", "delay": "5us"},
        {"between": ["c", "d"], "rate": "4Gbps", "delay": "5us"},
    ],
}
TRAFFIC: dict[str, Any] = {
    "title": "A stream, and demands that meet it nowhere",
    "topology": "line",
    "classes": [{"name": "best-effort", "priority": 0, "mechanism": "strict-priority"}],
    "streams": [
        {
            "name": "s",
            "from": "a",
            "to": "d",
            "class": "best-effort",
            "interval": "100us",
            "max-payload-size": "982B",
        }
    ],
    "demands": [
        {"name": "one", "from": "d", "to": "c", "rate": "1Mbps", "sizes": "500B"},
        {"name": "mix", "from": "c", "to": "b", "rate": "1Mbps", "sizes": "1x64B+1x1518B"},
    ],
    "simulation": {"duration": "20ms"},
}
LAST_BIT_NS = 1008 * 8 * (1 + 0.1 + 0.25) + 3 * 5000 + 2 * 1000
"""A frame of 1000 bytes with its preamble on three wires, their delays, two nodes in between."""


@cache
def result() -> Result:
    return qnet.run(qnet.load(TRAFFIC, topology=LINE))


def metrics(latency: LatencyMode = "store_forward") -> dict[str, dict[str, Any]]:
    data = json.loads(otg_metrics(result(), latency).text)
    assert data["choice"] == "flow_metrics"
    return {one["name"]: one for one in data["flow_metrics"]}


@pytest.mark.parametrize(
    ("latency", "first_bits_ns"),
    [("store_forward", -2000), ("cut_through", 8000 - 2000)],
)
def test_latency_is_to_the_first_bit_out(latency: LatencyMode, first_bits_ns: int) -> None:
    found = metrics(latency)["s"]["latency"]
    wanted = LAST_BIT_NS + first_bits_ns
    assert found == pytest.approx(dict.fromkeys(found, wanted), abs=0.01)
    assert set(found) == {"minimum_ns", "maximum_ns", "average_ns"}
    assert result().seen("s").latency_ps_max == round(1000 * LAST_BIT_NS)


def test_frames_bytes_and_rates_are_counted() -> None:
    found, seen = metrics()["s"], result().seen("s")
    assert seen.sent == 200
    assert {key: value for key, value in found.items() if key != "latency"} == {
        "name": "s",
        "port_tx": "a",
        "port_rx": "d",
        "transmit": "stopped",
        "frames_tx": 200,
        "frames_rx": seen.received,
        "bytes_tx": 200 * 1000,
        "bytes_rx": seen.received * 1000,
        "frames_tx_rate": 10_000.0,
        "frames_rx_rate": seen.received * 50.0,
        "loss": 0.0,
        "packet_loss_duration": {"value": 0.0},
    }
    one, of_one = metrics()["one"], result().seen("one")
    assert one["bytes_tx"] == of_one.sent * 500
    assert one["latency"]["minimum_ns"] == pytest.approx(508 * 2 + 5000 - 500 * 2)


def test_of_a_mix_the_mean_alone_is_known() -> None:
    seen = result().seen("mix")
    mean_bits = 8 * seen.received_bytes / seen.received
    found = metrics()["mix"]["latency"]
    mean_ns = seen.latency_ps_sum / seen.copies / 1000 - mean_bits / 10
    assert found == {"average_ns": pytest.approx(mean_ns)}
    words = "least and largest latencies left out of flows of several frame sizes"
    assert [(one.what, one.count) for one in otg_metrics(result()).left_out] == [(words, 1)]


def test_lost_frames_are_a_share_and_a_time() -> None:
    links = [*LINE["links"][:2], {**LINE["links"][2], "loss": "50%"}]
    case = qnet.load(TRAFFIC, topology={**LINE, "links": links})
    made = qnet.run(case)
    seen = made.seen("s")
    found = json.loads(otg_metrics(made).text)["flow_metrics"][0]
    assert 50 < seen.lost < 150
    assert found["loss"] == seen.lost / 2
    # Milliseconds in which as many frames come as were lost.
    assert found["packet_loss_duration"]["value"] == pytest.approx(20 * seen.lost / seen.received)


def test_a_folder_and_what_is_refused(tmp_path: Path) -> None:
    result().save(tmp_path / "run")
    out = tmp_path / "metrics.json"
    assert run("export", "otg-metrics", tmp_path / "run", "-o", out).exit_code == 0
    assert out.read_text() == otg_metrics(result()).text
    printed = run("export", "otg-metrics", tmp_path / "run", "--latency", "cut_through")
    assert otg_metrics(result(), "cut_through").text.strip() in printed.output
    assert run("export", "otg-metrics", tmp_path).exit_code == 2
    with pytest.raises(InputError, match="no run here"):
        otg_metrics(str(tmp_path))
    with pytest.raises(ArgumentError, match="latency: 'x' is none of store_forward, cut_through"):
        otg_metrics(result(), "x")  # type: ignore[arg-type]
