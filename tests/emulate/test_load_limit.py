"""The highest load, searched for with trials that send frames through real switches, too."""

from __future__ import annotations

from typing import Any

import pytest

import qnet
from qnet.emulate.process.controller import missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.errors import ArgumentError
from qnet.files.write import to_json
from qnet.loads.activation import activation_test
from qnet.loads.benchmark import benchmark
from qnet.loads.run import load_limit
from qnet.model.scenario import Scenario
from qnet.report.activation import activation_lines
from qnet.report.benchmark import benchmark_lines
from qnet.report.load import load_lines
from tests.builders import network, profile

REASON = missing_switch() or missing_controller()
switches = pytest.mark.skipif(bool(REASON), reason=str(REASON))

SERVICE = {
    "name": "v", "from": "a", "to": "c", "class": "video", "interval": "400us", "police": True,
    "max-pkts-per-interval": 2, "max-payload-size": "1482B", "excess-rate": "60.8Mbps",
}  # fmt: skip


def _case(**more: Any) -> Scenario:
    links = [
        {"between": ["a", "b"], "rate": "1Gbps", "length": "1km"},
        {"between": ["b", "c"], "rate": "500Mbps", "length": "1km"},
    ]
    classes = [
        {"name": "video", "priority": 3, "mechanism": "strict-priority"},
        {"name": "best-effort", "priority": 0, "mechanism": "strict-priority"},
    ]
    demand = {"name": "d", "from": "a", "to": "c", "rate": "100Mbps", "max-loss": "1%"}
    simulation = {"duration": "2ms", "seed": 1}
    made = profile(
        [{**SERVICE, **more}], [demand], classes=classes, simulation=simulation,
        demand={"class": "best-effort"},
    )  # fmt: skip
    return qnet.load(made, topology=network(links))


@switches
def test_trials_of_a_search_are_emulated_and_the_answer_stays_the_same() -> None:
    plain = load_limit(_case(), goal="loss", width="5%")
    found = load_limit(_case(), goal="loss", width="5%", emulate="lockstep", sample=60)
    assert (found.lower_ppm, found.emulated) == (plain.lower_ppm, "lockstep")
    assert [one.scale_ppm for one in found.trials] == [one.scale_ppm for one in plain.trials]
    assert all((one.real_frames or 0) > 20 and one.real_lost == 0 for one in found.trials)
    assert "frames in real switches, 0 lost" in "\n".join(load_lines(found))
    assert '"emulated"' not in to_json(plain)


@switches
def test_yellow_frames_pass_emulated_as_they_do_simulated_and_red_ones_do_not() -> None:
    """Five frames at once: two are green, two yellow by the burst of one interval, one is red."""
    # The last five come at 1.93 ms; until the end there is time for all of them.
    greedy = _case(**{"excess-pkts-per-interval": 3}).with_(duration="2300us")
    made = qnet.run(greedy, emulate="lockstep", sample=400)
    assert made.emulated is not None
    assert made.emulated.findings == ()
    real = next(one for one in made.emulated.streams if one.name == "v")
    (meter,) = made.observation.meters
    assert (meter.green, meter.yellow, meter.red) == (10, 10, 5)
    # The last one that is dropped is still awaited when the run ends.
    assert (real.frames, real.delivered, real.lost) == (25, 20, 4)


@switches
def test_a_benchmark_is_emulated_and_finds_the_same() -> None:
    how: dict[str, Any] = {"sizes": [512], "repeats": 2, "width": "5%"}
    plain = benchmark(_case(), **how)
    found = benchmark(_case(), **how, emulate="lockstep", sample=60)
    same = [(one.throughput.lower_ppm, one.loss, one.back_to_back) for one in found.sizes]
    assert same == [(one.throughput.lower_ppm, one.loss, one.back_to_back) for one in plain.sizes]
    trials = found.sizes[0].throughput.trials
    assert trials
    assert all((one.real_frames or 0) > 20 for one in trials)
    assert "frames through real switches; 0 lost" in "\n".join(benchmark_lines(found))


@switches
def test_a_service_activation_is_emulated_and_finds_the_same() -> None:
    plain = activation_test(_case())
    found = activation_test(_case(), emulate="lockstep", sample=200)
    cleared = {"real_frames": None, "real_lost": None}
    (mine,), (other,) = found.services, plain.services
    assert [one.replace(**cleared) for one in mine.steps] == list(other.steps)
    assert all((one.real_frames or 0) >= 10 for one in mine.steps)
    lost = {one.step: one.real_lost for one in mine.steps}
    assert lost["1"] == lost["2"] == lost["performance"] == 0
    assert lost["3"], "what is red is dropped"
    assert "frames through real switches, " in "\n".join(activation_lines(found))


def test_a_sample_goes_with_emulation() -> None:
    for test in (load_limit, benchmark, activation_test):
        with pytest.raises(ArgumentError, match="goes with emulate only"):
            test(_case(), sample=10)
