"""The benchmarks of RFC 2544 and 9004 against lines whose answers are known by hand."""

from __future__ import annotations

from fractions import Fraction
from threading import Event
from typing import Any

import pytest

import qnet
from qnet.errors import ArgumentError
from qnet.files.write import to_json
from qnet.loads.benchmark import benchmark
from qnet.model.benchmark import Benchmark
from qnet.model.scenario import Scenario
from qnet.report.benchmark import benchmark_cases, benchmark_lines, benchmark_table
from qnet.report.load_pages import benchmark_page
from tests.builders import network, profile

CLASSES = [{"name": "best-effort", "priority": 0, "mechanism": "strict-priority"}]


def _case(far: str = "500Mbps", **more: Any) -> Scenario:
    links = [
        {"between": ["a", "b"], "rate": "1Gbps", "length": "1km"},
        {"between": ["b", "c"], "rate": far, "length": "1km"},
    ]
    net = network(links)
    small = [one.replace(buffer_bytes=100_000) if one.name == "b" else one for one in net.nodes]
    made = profile(
        (), [{"name": "d", "from": "a", "to": "c", "rate": "100Mbps", "sizes": "imix", **more}],
        classes=CLASSES, demand={"class": "best-effort"},
        simulation={"duration": "10ms", "seed": 1},
    )  # fmt: skip
    return qnet.load(made, topology=net.replace(nodes=tuple(small)))


def test_a_line_of_half_the_rate_has_half_the_throughput_and_all_of_its_buffer() -> None:
    """The port holds 65 frames of 1518 bytes, and sends one of two that come.

    Frame n comes at n line times, from frame 0 on, and every second one takes another from the
    queue. At an even n the port does so only after the frame has come: frame 130 is the first to
    find 130 - 65 there.
    """
    found = benchmark(_case(), sizes=(1518,), repeats=50)
    (one,) = found.sizes
    assert (one.input_ppm, one.input_frames_per_s) == (10_000_000, 81_274)
    assert one.throughput.lower_ppm == pytest.approx(5_000_000, rel=0.005)
    bursts = one.back_to_back
    assert bursts.repeats == 50
    assert bursts.irregular is None
    assert (bursts.frames_min, bursts.frames_max, bursts.frames_deviation) == (130, 130, 0)
    assert bursts.frames_mean == 130
    assert bursts.implied_ps == 130 * 12_304_000
    assert bursts.corrected_ps == pytest.approx(bursts.implied_ps / 2, rel=0.01)
    shares = [step.share_ppm for step in one.loss]
    assert shares == list(range(1_000_000, 300_000, -100_000))
    # What the line has no time for is lost, but for what is in the buffer at the end.
    assert one.loss[0].loss_ppb == pytest.approx(0.5 * 10**9, rel=0.2)
    assert [step.lost > 0 for step in one.loss] == [True] * 5 + [False] * 2


@pytest.mark.parametrize("size", [64, 1518])
def test_latency_at_half_the_throughput_is_that_of_an_empty_network(size: int) -> None:
    (one,) = benchmark(_case(), sizes=(size,), repeats=1).sizes
    point = next(
        at for at in one.throughput.points
        if at.scale_ppm == (one.throughput.lower_ppm or 0) // 2
    )  # fmt: skip
    (met,) = point.classes
    assert met.latency_ps_min == met.latency_ps_max
    lines = sum(Fraction((size + 8) * 8 * 10**12, rate) for rate in (10**9, 5 * 10**8))
    assert met.latency_ps_min is not None
    assert met.latency_ps_min > lines


def test_as_fast_as_frames_can_come_no_burst_is_too_long() -> None:
    found = benchmark(_case("1Gbps"), sizes=(512,), repeats=2)
    (one,) = found.sizes
    assert one.back_to_back.frames_mean is None
    assert one.back_to_back.irregular is not None
    assert [step.lost for step in one.loss] == [0, 0]
    assert "irregular: 512 B, back-to-back: frames are sent on" in "\n".join(benchmark_lines(found))


def _small() -> Benchmark:
    return benchmark(_case(), sizes=(256, 1024), repeats=2)


class _Slow(qnet.Quiet):
    """Holds work up at every stage, as a machine does that has much else to do."""

    def stage(self, title: str) -> None:
        del title
        Event().wait(0.02)


def test_the_same_bytes_at_any_number_of_threads_and_where_work_is_held_up() -> None:
    case = _case(arrival="poisson")
    small = [one.replace(buffer_bytes=5_000) for one in case.topology.nodes]
    beside = case.profile.demands[0].replace(name="e", traffic_class="other")
    classes = [*case.profile.classes, case.profile.classes[0].replace(name="other", priority=1)]
    profile = case.profile.replace(demands=(*case.profile.demands, beside), classes=tuple(classes))
    case = case.with_(profile=profile, topology=case.topology.replace(nodes=tuple(small)))
    how: dict[str, Any] = {"sizes": (256,), "repeats": 2, "traffic_class": "best-effort"}
    one, two, slow = (
        to_json(benchmark(case, **how, **more))
        for more in ({"threads": 1}, {"threads": 2}, {"threads": 2, "progress": _Slow()})
    )
    assert one == two == slow
    assert '"outcome": "fail"' in one, "a trial that fails is guessed from, too"


def test_what_is_written() -> None:
    found = _small()
    table = benchmark_table(found)
    kinds = {"throughput", "latency", "loss", "back-to-back"}
    assert {*table["kind"]} == kinds
    assert next(iter(benchmark_cases(found, None))).outcome == "pass"
    cases = [*benchmark_cases(found, 6_000_000)]
    assert [one.outcome for one in cases] == ["fail", "pass", "pass"] * 2
    assert "2 repeats; RFC 9004 asks for 50 at least" in benchmark_page(found)


def test_sizes_and_repeats_out_of_range_are_refused() -> None:
    with pytest.raises(ArgumentError, match="63B is out of range"):
        benchmark(_case(), sizes=(63,))
    with pytest.raises(ArgumentError, match="is less than 1"):
        benchmark(_case(), repeats=0)
