"""What is written down of frames: against the slow twin's log, and as tshark reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings

from qnet.files.captures.frames import frames_of, opened
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.report.trace import write_trace
from qnet.simulate import run, tracing
from qnet.simulate.run import simulate
from qnet.simulate.tracing import Recorder
from qnet.simulate.world import REFUSED, TraceRow
from tests.slow_case import slow_run as _slow
from tests.unit.test_simulate import _busy_case, _plan, cases


@pytest.mark.twin
@given(cases())
@settings(max_examples=20)
def test_the_trace_is_the_slow_twins_log(case: tuple[Topology, Profile, Plan]) -> None:
    slow = _slow(*case)
    recorder = Recorder(10**6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "ROWS_PER_PORT_OF_ALL", 3)  # so that it is full again and again
        seen = simulate(*case, threads=1, recorder=recorder)
    assert seen == simulate(*case, threads=1)
    port, owner, rows = recorder.recording()
    sent = rows[:, TraceRow.STARTED] != REFUSED
    made = {
        (int(where), int(who), row[TraceRow.BORN], row[TraceRow.LABEL] & 0xFFFF,
         row[TraceRow.QUEUED], row[TraceRow.STARTED], row[TraceRow.ENDED])
        for where, who, row in zip(port[sent], owner[sent], rows[sent].tolist(), strict=True)
    }  # fmt: skip
    assert made == {
        (number, one.source, one.birth, one.size, one.queued, one.started, one.ended)
        for number, log in enumerate(slow.log)
        for one in log
    }
    assert int((~sent).sum()) == sum(use.dropped for use in slow.uses)


def test_a_trace_that_is_full_changes_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports of one class hold frames in another way while they are traced, to the run's end."""
    topology, profile, plan = _busy_case("1ms")
    profile = Profile(
        title="p", topology="t", demands=profile.demands, simulation=profile.simulation
    )
    case = topology, profile, _plan((), plan.demands)
    monkeypatch.setattr(run, "HOPS_PER_TRACED_STEP", 1)
    monkeypatch.setattr(run, "HOPS_PER_STEP", 1)
    recorder = Recorder(300)
    assert simulate(*case, recorder=recorder) == simulate(*case)
    assert len(recorder.recording().rows) == 300


def test_the_first_frames_only_at_any_number_of_threads(tmp_path: Path) -> None:
    case = _busy_case("1ms")
    texts = []
    for threads, frames in ((1, 300), (2, 300), (1, 10**6)):
        recorder = Recorder(frames)
        simulate(*case, threads=threads, recorder=recorder)
        recording = recorder.recording()
        first = type(recording)(*(one[:300] for one in recording))
        write_trace(tmp_path / "t.pcapng", *case, first)
        texts.append((tmp_path / "t.pcapng").read_bytes())
        assert len(first.rows) == 300
    assert texts[0] == texts[1] == texts[2]


def test_tshark_reads_it(tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    case = _busy_case("1ms")
    topology = case[0]
    recorder = Recorder(500)
    simulate(*case, recorder=recorder)
    recording = recorder.recording()
    path = tmp_path / "t.pcapng"
    write_trace(path, *case, recording)
    fields = ("frame.time_epoch", "frame.interface_name", "frame.len", "eth.src", "frame.comment")
    made = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", *(f"-e{one}" for one in fields)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    shown = [line.split("\t") for line in made.stdout.splitlines()]
    sent = [
        (topology.ports[port], row)
        for port, row in zip(recording.port.tolist(), recording.rows.tolist(), strict=True)
        if row[TraceRow.STARTED] != REFUSED
    ]
    assert len(shown) == len(sent) > 400
    for (time, name, length, source, comment), (port, row) in zip(shown, sent, strict=True):
        seconds, fraction = time.split(".")
        # tshark shows nanoseconds; the file has picoseconds.
        assert int(seconds) * 10**9 + int(fraction[:9]) == row[TraceRow.STARTED] // 1000
        assert (name, int(length)) == (port.name, (row[TraceRow.LABEL] & 0xFFFF) - 4)
        assert (
            source
            == f"02:00:00:00:00:0{topology.nodes.index(topology.node_by_name[port.source]) + 1}"
        )
        assert f"queued {row[TraceRow.QUEUED]} ps" in comment


def test_the_trace_as_pcap_has_the_same_frames_in_nanoseconds(tmp_path: Path) -> None:
    case = _busy_case("1ms")
    recorder = Recorder(500)
    simulate(*case, recorder=recorder)
    for name in ("t.pcapng", "t.pcap"):
        write_trace(tmp_path / name, *case, recorder.recording())
    seen = []
    for name in ("t.pcapng", "t.pcap"):
        with opened(tmp_path / name, name) as reader:
            seen.append([*frames_of(reader)])
    assert [(one.time_ps // 1000 * 1000, one.length, one.data) for one in seen[0]] == [
        (one.time_ps, one.length, one.data) for one in seen[1]
    ]
    assert len(seen[1]) > 400
    if shutil.which("tshark"):
        words = [
            "tshark",
            "-r",
            str(tmp_path / "t.pcap"),
            "-Tfields",
            "-eframe.time_epoch",
            "-eframe.len",
        ]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        assert [tuple(line.split("\t")) for line in told] == [
            (f"{one.time_ps // 10**12}.{one.time_ps % 10**12 // 1000:09}", str(one.length))
            for one in seen[1]
        ]


def test_the_trace_as_parquet(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    case = _busy_case("1ms")
    recorder = Recorder(10**6)
    seen = simulate(*case, recorder=recorder)
    write_trace(tmp_path / "t.parquet", *case, recorder.recording())
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    sent = [row for row in rows if row["started_ps"] is not None]
    assert len(sent) == seen.frame_hops
    assert len(rows) - len(sent) == sum(one.frames for one in seen.drops)
    assert all((row["cycle"] is not None) == (row["name"] == "s") for row in rows)
    assert sorted(rows, key=lambda row: row["started_ps"] or row["queued_ps"]) == rows
