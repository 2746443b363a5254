"""Service activation by ITU-T Y.1564: what each step finds, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import qnet
from qnet.cli import main
from qnet.errors import ArgumentError
from qnet.files.write import to_json
from qnet.loads.activation import activation_test
from qnet.model.activation import ActivatedService, ServiceActivation
from qnet.model.scenario import Scenario
from qnet.report.activation import activation_lines
from tests.builders import network, profile

CLASSES = [
    {"name": "reserved", "priority": 6, "mechanism": "tcqf"},
    {"name": "video", "priority": 3, "mechanism": "strict-priority"},
    {"name": "best-effort", "priority": 0, "mechanism": "strict-priority"},
]
# Two frames of 1500 B, 1520 B on the wire: 2 * 12,160 bits in 400 us are 60.8 Mb/s.
SERVICE = {
    "name": "v", "from": "a", "to": "c", "class": "video", "interval": "400us",
    "max-pkts-per-interval": 2, "max-payload-size": "1482B", "police": True,
    "committed-burst": "6080B", "max-latency": "1ms", "max-loss": "0%",
}  # fmt: skip
RESERVED = {
    "name": "r", "from": "a", "to": "c", "class": "reserved", "interval": "100us",
    "max-pkts-per-interval": 4, "max-payload-size": "1000B", "police": True,
}  # fmt: skip
EXCESS = {"excess-rate": "30Mbps"}
CIR, EIR = 60_800_000, 30_000_000


def _case(*streams: dict[str, Any], rate: str = "10Gbps", **more: Any) -> Scenario:
    links = [
        {"between": ["a", "b"], "rate": "10Gbps", "length": "1km", **more},
        {"between": ["b", "c"], "rate": rate, "length": "1km"},
    ]
    simulation = {"duration": "4ms", "seed": 1}
    made = profile(streams, (), classes=CLASSES, simulation=simulation)
    return qnet.load(made, topology=network(links))


def _one(found: ServiceActivation) -> ActivatedService:
    (service,) = found.services
    return service


def _failing(service: ActivatedService) -> set[tuple[str, int]]:
    return {(one.step, one.share_ppm) for one in service.steps if one.outcome != "pass"}


def test_a_service_whose_meter_is_as_promised_passes_all_steps() -> None:
    found = activation_test(_case({**SERVICE, **EXCESS}))
    service = _one(found)
    assert (service.cir_bps, service.eir_bps, found.outcome) == (CIR, EIR, "pass")
    assert (service.cbs_bytes, service.ebs_bytes) == (6080, 6080)
    sent = [one.ir_sent_bps for one in service.steps]
    assert sent == pytest.approx(
        [CIR // 4, CIR // 2, CIR * 3 // 4, CIR, CIR + EIR, (CIR + EIR) * 1.25, CIR], rel=1e-6
    )
    assert [one.step for one in service.steps] == ["1"] * 4 + ["2", "3", "performance"]
    *within, second, third, performance = service.steps
    assert {one.yellow + one.lost for one in (*within, performance)} == {0}
    # Of 30 in 90.8 frames the first dozen, for which the buckets were full, are green.
    assert second.lost == 0
    assert 0.25 * second.frames < second.yellow < second.frames * 30 / 90.8
    assert third.ir_received_bps == pytest.approx(CIR + EIR, rel=0.01)
    assert performance.duration_ps >= 100 * 400 * 10**6


@pytest.mark.parametrize("excess", [{}, EXCESS])
def test_a_meter_set_a_tenth_too_high_fails_policing_and_no_other_step(
    excess: dict[str, Any],
) -> None:
    found = activation_test(_case({**SERVICE, **excess, "committed-rate": "66.88Mbps"}))
    assert _failing(_one(found)) == {("3", 1_250_000)}
    assert found.outcome == "fail"
    right = activation_test(_case({**SERVICE, **excess, "committed-rate": "60.8Mbps"}))
    assert right.outcome == "pass"


def test_a_meter_set_a_tenth_too_low_fails_at_cir() -> None:
    low = {**SERVICE, "committed-rate": "54.72Mbps"}
    assert _failing(_one(activation_test(_case(low)))) == {
        ("1", 10**6), ("3", 1_250_000), ("performance", 10**6)
    }  # fmt: skip
    # With an excess rate all of it comes, but some of it yellow.
    yellow = _one(activation_test(_case({**low, **EXCESS})))
    assert _failing(yellow) == {("1", 10**6), ("performance", 10**6)}
    assert "are yellow; within CIR all are green" in yellow.steps[3].reasons[0]


def test_the_rates_of_a_contract_may_be_others_than_those_of_the_files() -> None:
    case = _case({**SERVICE, **EXCESS})
    assert _failing(_one(activation_test(case, eir="33Mbps"))) == set()
    assert _failing(_one(activation_test(case, eir="20Mbps"))) == {("3", 1_250_000)}
    assert ("1", 10**6) in _failing(_one(activation_test(case, cir="70Mbps")))


def test_delay_variation_and_loss_are_held_against_what_was_promised() -> None:
    slow = _one(activation_test(_case({**SERVICE, "max-latency": "12us"})))
    assert {step for step, _ in _failing(slow)} == {"1", "performance"}
    assert slow.steps[0].reasons[0].startswith("FTD 13.429 us; accepted 12.000 us")
    lossy = [{**SERVICE, "max-loss": None}]
    for accepted, outcome in (("0%", "fail"), ("10%", "pass")):
        case = _case(*lossy, loss="1%")
        assert activation_test(case, loss=accepted, duration="40ms").outcome == outcome


def test_a_reservation_is_tested_in_whole_frames_and_intervals() -> None:
    service = _one(activation_test(_case(RESERVED)))
    cir = 4 * 8 * 1038 * 10**4
    assert service.cir_bps == cir
    shares = [one.ir_sent_bps / cir for one in service.steps]
    assert shares == [0.25, 0.5, 0.75, 1, 1.25, 1]
    assert service.outcome == "pass"
    policed = service.steps[4]
    assert (policed.step, policed.ir_received_bps, policed.lost * 5) == ("3", cir, policed.frames)


def test_what_has_no_place_fails_and_what_cannot_be_another_load_is_said() -> None:
    many = {**RESERVED, "max-pkts-per-interval": 1, "count": 2}
    found = activation_test(_case(many, SERVICE, rate="500Mbps"))
    assert [one.name for one in found.left_out if one.fails] == ["r-1", "r-2"]
    assert (_one(found).outcome, found.outcome) == ("pass", "fail")
    slope = {"name": "video", "priority": 3, "mechanism": "strict-priority"}
    made = profile(
        [SERVICE], (), classes=[{**slope, "idle-slope": "as-reserved"}],
        simulation={"duration": "4ms"},
    )  # fmt: skip
    links = [{"between": ["a", "c"], "rate": "10Gbps", "length": "1km"}]
    found = activation_test(qnet.load(made, topology=network(links)))
    assert (found.services, found.outcome) == ((), "unknown")
    assert "idle slope" in found.left_out[0].reason


def test_without_a_policed_stream_there_is_nothing_to_test() -> None:
    with pytest.raises(ArgumentError, match="no stream is policed"):
        activation_test(_case({**SERVICE, "police": False}))


def test_the_same_bytes_at_any_number_of_threads() -> None:
    case = _case({**SERVICE, **EXCESS}, RESERVED)
    one, two = (to_json(activation_test(case, threads=threads)) for threads in (1, 2))
    assert one == two
    assert "step 2 does not apply" in "\n".join(activation_lines(activation_test(case)))


TOPOLOGY = """\
title: A line
nodes: [{name: a}, {name: b}]
links: [{between: [a, b], rate: 1Gbps, length: 1km}]
"""
TRAFFIC = """\
title: A service
topology: line
simulation: {duration: 4ms}
streams:
  - {name: v, class: best-effort, from: a, to: b, interval: 400us, max-pkts-per-interval: 2,
     max-payload-size: 1482B, police: true, committed-burst: 6080B, committed-rate: RATE}
"""


@pytest.mark.parametrize(("rate", "code"), [("60.8Mbps", 0), ("66.88Mbps", 1)])
def test_the_command_writes_all_its_files_and_ends_with_the_outcome(
    tmp_path: Path, rate: str, code: int
) -> None:
    (tmp_path / "line.yaml").write_text(TOPOLOGY)
    traffic = tmp_path / "service.yaml"
    traffic.write_text(TRAFFIC.replace("RATE", rate))
    names = {"-o": "a.json", "--csv": "a.csv", "--html": "a.html", "--junit": "a.xml",
             "--parquet": "a.parquet"}  # fmt: skip
    outputs = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    ended = CliRunner().invoke(main, ["load", str(traffic), "--test", "y1564", *outputs])
    assert ended.exit_code == code, ended.output
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["format"] == "qnet-y1564-1"
    suite = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("6", str(code))
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 7
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "a.parquet")
    assert parquet.column("step").to_pylist() == ["1", "1", "1", "1", "3", "performance"]
    page = (tmp_path / "a.html").read_text()
    assert "IR received over IR sent" in page
    assert ("FAIL" in page) == bool(code)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--test", "y1564", "--width", "1%"], "goes with '--test limit'"),
        (["--test", "rfc2544", "--cir", "1Mbps"], "goes with '--test y1564'"),
        (["--repeats", "3"], "goes with '--test rfc2544'"),
        (["--test", "rfc2544", "--frame-sizes", "64,small"], "are no sizes of frames"),
        (["--test", "y1564", "--cir", "1"], "has no unit"),
    ],
)
def test_options_of_another_test_are_refused(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "line.yaml").write_text(TOPOLOGY)
    traffic = tmp_path / "service.yaml"
    traffic.write_text(TRAFFIC.replace("RATE", "60.8Mbps"))
    ended = CliRunner().invoke(main, ["load", str(traffic), *words])
    assert ended.exit_code == 2
    assert said in ended.output
