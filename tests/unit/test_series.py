"""Ports over time, drops with their cause, and what is written of them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings

from qnet.model.histogram import bin_low_ps
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests.slow_case import slow_run as _slow
from tests.unit.test_simulate import _busy_case, cases


@pytest.mark.twin
@given(cases())
@settings(max_examples=20)
def test_series_and_drops_add_up_to_the_slow_twins_log(
    case: tuple[Topology, Profile, Plan],
) -> None:
    slow = _slow(*case)
    seen = simulate(*case, threads=1)
    ends = seen.series_end_ps
    assert list(ends) == sorted(set(ends))
    assert ends[-1] == seen.duration_ps
    by_name = {one.port: one for one in seen.series}
    for port, log, use in zip(case[0].ports, slow.log, seen.ports, strict=True):
        series = by_name.get(port.name)
        if series is None:
            assert not log
            assert not use.dropped
            continue
        begins = (0, *ends[:-1])
        wanted = [
            sum(begin <= one.started < end for one in log)
            for begin, end in zip(begins, ends, strict=True)
        ]
        assert list(series.sent_frames) == wanted
        assert sum(series.sent_bytes) == use.sent_bytes
        assert max(series.queue_bytes_max) == use.queue_bytes_max
        assert sum(series.dropped) == use.dropped
        assert use.dropped == sum(one.frames for one in seen.drops if one.port == port.name)
    for traffic in seen.streams:
        assert traffic.lost == sum(one.frames for one in seen.drops if one.name == traffic.name)


def test_the_same_at_one_thread_and_two() -> None:
    case = _busy_case("2ms")
    assert simulate(*case, threads=1) == simulate(*case, threads=2)  # series and all


def test_measurements_in_parquet(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    from qnet.report.measurements import write_measurements  # noqa: PLC0415

    topology, profile, plan = _busy_case("1ms")
    seen = simulate(topology, profile, plan, threads=2)
    paths = write_measurements(tmp_path / "one", topology, profile, seen)
    again = write_measurements(
        tmp_path / "two", topology, profile, simulate(topology, profile, plan, threads=1)
    )
    assert [one.read_bytes() for one in paths] == [one.read_bytes() for one in again]
    tables = {path.stem: pq.read_table(path).to_pylist() for path in paths}
    documented = (Path(__file__).parents[2] / "docs" / "measurements.md").read_text()
    for path in paths:
        assert f"`{path.name}`" in documented
        assert all(f"`{name}`" in documented for name in pq.read_schema(path).names)
    assert [row["frames"] for row in tables["drops"]] == [one.frames for one in seen.drops]
    assert {row["cause"] for row in tables["drops"]} == {"class buffer full"}
    assert sum(row["sent_bytes"] for row in tables["series"]) == sum(
        port.sent_bytes for port in seen.ports
    )
    every = (*seen.streams, *seen.demands)
    for traffic in every:
        rows = [one for one in tables["latency"] if one["name"] == traffic.name]
        assert sum(row["frames"] for row in rows) == traffic.copies
        assert rows[0]["from_ps"] <= (traffic.latency_ps_min or 0) < rows[0]["before_ps"]
        assert rows[-1]["from_ps"] <= (traffic.latency_ps_max or 0) < rows[-1]["before_ps"]
    best_effort = [one for one in tables["latency"] if one["kind"] == "class"]
    assert sum(row["frames"] for row in best_effort) == sum(one.copies for one in every)
    assert {row["name"]: row["worst_birth_ps"] for row in tables["traffic"]} == {
        one.name: one.worst_birth_ps for one in every
    }


def test_bins_are_as_narrow_as_is_said() -> None:
    """A sixteenth of their value, or a nanosecond and a bit."""
    for index, low in enumerate(
        itertools.takewhile(lambda x: x < 10**14, map(bin_low_ps, range(592)))
    ):
        width = bin_low_ps(index + 1) - low
        assert width <= max(1024, low / 16)
