"""Runs on disk: the same final bytes after any interruption; what is not ours is refused."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from qnet.cli import main
from qnet.errors import InputError, Interrupted
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import checkpoint, run
from qnet.simulate.checkpoint import Checkpoint
from qnet.simulate.run import Course, simulate
from qnet.simulate.tracing import Recorder
from tests.asking import COMMAND, command
from tests.builders import plan_for
from tests.unit.test_simulate import _busy_case

US = 10**6
CASE = Path(__file__).parents[1] / "golden" / "demands-over-lag" / "traffic.yaml"


def stop_after(looks: int, path: Path) -> Checkpoint:
    """Return a checkpoint that ends its run at a look, as Ctrl-C would; it looks every 10 us."""
    counter = itertools.count(1)
    return Checkpoint(path, 10 * US, resume=True, asked=lambda: next(counter) >= looks)


@pytest.mark.twin
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_in_pieces_is_the_run_in_one(tmp_path: Path, threads: int) -> None:
    """Ended at every few looks and gone on with, at another number of threads each time."""
    case = _busy_case("500us")
    whole = simulate(*case, threads=1)
    path = tmp_path / "kept"
    at: list[int] = []
    seen = None
    while seen is None:
        now = 1 + (threads + len(at)) % 2
        try:
            seen = simulate(*case, threads=now, checkpoint=stop_after(13, path))
        except Interrupted as error:
            at.append(error.now_ps)
    assert seen == whole
    assert at == sorted(set(at))
    assert len(at) > 2
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]


def _general_case() -> tuple[Topology, Profile, Plan]:
    """Draw credit, preemption, a meter, loss and weights: state of every part is on its way."""
    ends = [("a", "b"), ("b", "c")]
    topology = Topology.model_validate(
        {
            "title": "t",
            "nodes": [{"name": name, "processing": "1us..2us"} for name in "abc"],
            "links": [
                {"between": pair, "rate": "1Gbps", "length": "300m", "loss": "5%"} for pair in ends
            ],
        }
    )
    classes = [
        {"name": "av", "priority": 5, "idle-slope": "40%"},
        {"name": "ats", "priority": 4, "max-residence": "1ms"},
        {"name": "one", "priority": 2, "weight": 2},
        {"name": "two", "priority": 2, "weight": 1},
        {"name": "slow", "priority": 1, "preemptable": True},
    ]
    streams = [
        {"name": one["name"], "class": one["name"], "from": "a", "to": "c", "interval": "50us",
         "max-pkts-per-interval": 2, "max-payload-size": "600B", "police": one["name"] == "one",
         "excess-pkts-per-interval": int(one["name"] == "one")}
        for one in classes
    ]  # fmt: skip
    profile = Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "classes": [{"mechanism": "strict-priority"} | one for one in classes],
            "streams": streams,
            "simulation": {"duration": "500us"},
        }
    )
    plan = plan_for(topology, profile)
    return topology, profile, plan


@pytest.mark.twin
def test_general_ports_go_on_where_they_were(tmp_path: Path) -> None:
    case = _general_case()
    whole = simulate(*case, threads=1)
    causes = {drop.cause for drop in whole.drops}
    assert {"beyond the committed rate", "lost or damaged on the link"} <= causes
    path = tmp_path / "kept"
    pieces = 0
    seen = None
    while seen is None:
        try:
            seen = simulate(*case, threads=1 + pieces % 2, checkpoint=stop_after(13, path))
        except Interrupted:
            pieces += 1
    assert seen.model_dump_json() == whole.model_dump_json()
    assert pieces > 2


@pytest.mark.twin
@pytest.mark.parametrize("frames", [40, 10**6])
def test_a_trace_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    """The same frames in the trace, whether it is full early or never; and the same counts."""
    monkeypatch.setattr(run, "HOPS_PER_TRACED_STEP", 100)
    for number, case in enumerate((_busy_case("500us"), _general_case())):
        whole = Recorder(frames)
        seen = simulate(*case, threads=1, recorder=whole)
        path = tmp_path / str(number)
        pieces = 0
        again = None
        while again is None:
            recorder = Recorder(frames)
            keep = stop_after(4, path)
            try:
                again = simulate(*case, threads=1, checkpoint=keep, recorder=recorder)
            except Interrupted:
                pieces += 1
        assert again == seen
        assert pieces > 2
        for mine, other in zip(recorder.recording(), whole.recording(), strict=True):
            assert np.array_equal(mine, other)
        with pytest.raises(InputError, match="the trace: the checkpoint was made with another"):
            simulate(*case, checkpoint=Checkpoint(path, resume=True))


def test_it_is_saved_as_often_as_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept"
    saved = []
    save = checkpoint.save

    def counted(where: Path, course: Course, *more: Any) -> None:
        saved.append(course.now_ps)
        save(where, course, *more)

    monkeypatch.setattr(checkpoint, "save", counted)
    simulate(*_busy_case("1ms"), checkpoint=Checkpoint(path, every_ps=300 * US))
    assert [at // (300 * US) for at in saved] == [1, 2, 3]
    # The last one is gone on from without another second of the rest.
    assert simulate(*_busy_case("1ms"), checkpoint=Checkpoint(path, resume=True)) == simulate(
        *_busy_case("1ms")
    )


def kept(path: Path) -> bytes:
    with pytest.raises(Interrupted):
        simulate(*_busy_case(), checkpoint=stop_after(10, path))
    return path.read_bytes()


def test_a_checkpoint_of_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    kept(path)
    topology, profile, plan = _busy_case()
    for what, case in (
        ("the duration", _busy_case("400us")),
        ("the topology", (topology.replace(title="other"), profile, plan)),
        ("the traffic", (topology, profile.replace(title="other"), plan)),
        ("the plan", (topology, profile, plan.replace(hypercycle=24))),
        (
            "the seed",
            (
                topology,
                profile.replace(simulation=profile.simulation.replace(seed=6)),
                plan,
            ),
        ),
    ):
        with pytest.raises(InputError, match=f"{what}: the checkpoint was made with another one"):
            simulate(*case, checkpoint=Checkpoint(path, resume=True))
    monkeypatch.setattr("qnet.simulate.checkpoint.__version__", "9.9")
    with pytest.raises(InputError, match="qnet's version"):
        simulate(*_busy_case(), checkpoint=Checkpoint(path, resume=True))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    whole = kept(path)
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 1
    arrays = dict(np.load(path))
    del arrays["lanes.cells"]
    np.savez(tmp_path / "less.npz", **arrays)
    for damaged in (
        b"",
        b"PK",
        b"some text\n",
        whole[: len(whole) // 3],
        whole[:-1],
        bytes(middle),
        (tmp_path / "less.npz").read_bytes(),
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"not a checkpoint|damaged"):
            simulate(*_busy_case(), checkpoint=Checkpoint(path, resume=True))


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no series": lambda a: a.pop("series.rows"),
    "no time": lambda a: a.update(now_ps=np.zeros(0, np.int64)),
    "another time": lambda a: a.update(now_ps=a["now_ps"] + 1),
    "series too short": lambda a: a.update({"series.rows": a["series.rows"].ravel()[:5]}),
    "shorter tally": lambda a: a.update({"tally.owner": a["tally.owner"][:1]}),
    "one row of another length": lambda a: a.update({"lanes.cells": a["lanes.cells"][:-1]}),
    "laws of -1": lambda a: a.update({"sources.law": a["sources.law"] * 0 - 1}),
    "another type": lambda a: a.update({"tally.owner": a["tally.owner"].astype(np.int32)}),
    "another shape": lambda a: a.update({"lanes.cells": a["lanes.cells"].T}),
    "one more": lambda a: a.update(more=np.zeros(1)),
    "no hash": lambda a: a.pop(checkpoint.HASH),
    "a hash of nothing": lambda a: a.update({checkpoint.HASH: np.zeros(0, np.uint8)}),
    "a text for a hash": lambda a: a.update({checkpoint.HASH: np.array("x")}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_checkpoint_that_was_changed_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "kept"
    kept(path)
    arrays = dict(np.load(path))
    CHANGES[what](arrays)
    with path.open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(InputError, match="not a checkpoint of qnet, or not whole"):
        simulate(*_busy_case(), checkpoint=Checkpoint(path, resume=True))


def test_bytes_that_are_changed_change_nothing_or_are_refused(tmp_path: Path) -> None:
    """Headers of arrays and the archive's own list too, which no checksum of it covers."""
    path = tmp_path / "kept"
    whole = kept(path)
    draws = iter(np.random.PCG64(5).random_raw(2400).tolist())
    arrays = dict(np.load(path))
    places = [next(draws) % len(whole) for _ in range(400)]
    places += [len(whole) - 1 - next(draws) % 4000 for _ in range(200)]  # the archive's list
    heads = [place for place in range(len(whole)) if whole.startswith(b"\x93NUMPY", place)]
    places += [heads[next(draws) % len(heads)] + next(draws) % 128 for _ in range(300)]
    refused = 0
    for place in places:
        path.write_bytes(whole[:place] + bytes([next(draws) % 256]) + whole[place + 1 :])
        try:
            found = checkpoint._read(path)
        except InputError:
            refused += 1
        else:
            assert all(np.array_equal(found[name], arrays[name]) for name in found)
            assert {*found, checkpoint.HASH} == {*arrays}
    assert refused > 400


def test_a_full_disk_ends_no_run(tmp_path: Path) -> None:
    """The run goes on and says so; the last checkpoint that fitted stands."""
    path = tmp_path / "kept"
    before = kept(path)
    said: list[str] = []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        seen = simulate(*_busy_case(), checkpoint=Checkpoint(path, 50 * US, failed=said.append))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert seen == simulate(*_busy_case())
    assert said
    assert all("kept cannot be written: file too large" in one for one in said)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]


# The command, killed for real


RUN = ("simulate", str(CASE), "--duration", "60ms", "--threads", "2", "--json")


def start(path: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *RUN, "--checkpoint", str(path), "--every", "1ms", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=path.parent,
        env={**os.environ, "COLUMNS": "200"},
    )


def await_change(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has written a checkpoint, or has ended."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.stat().st_mtime_ns != before:
            return
        time.sleep(0.002)


def test_killed_at_random_moments_and_resumed_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """What is printed, and the trace."""
    trace = ("--trace-frames", "30000", "--trace")
    whole = command(*RUN, *trace, "whole.pcapng", cwd=tmp_path)
    assert whole.stderr == ""
    path = tmp_path / "kept"
    more = ("--resume", *trace, "pieces.pcapng")
    moments = np.random.PCG64(7).random_raw(3) % 100
    killed = 0
    for moment in moments.tolist():
        process = start(path, *more)
        await_change(path, process)
        time.sleep(moment / 1000)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 2  # those after may have had little left to do
    process = start(path, *more)
    out, error = process.communicate(timeout=180)
    assert (process.returncode, error) == (whole.returncode, b"")
    assert out.decode() == whole.stdout
    assert (tmp_path / "pieces.pcapng").read_bytes() == (tmp_path / "whole.pcapng").read_bytes()


def test_ctrl_c_keeps_the_run(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    process = start(path)
    await_change(path, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted at " in error
    assert b"'--resume' goes on" in error
    assert process.poll() is not None


def test_options_that_want_each_other() -> None:
    for wrong, said in (
        (["--resume"], "needs '--checkpoint FILE'"),
        (["--every", "1ms"], "needs '--checkpoint FILE'"),
        (["--checkpoint", "c", "--every", "1"], "has no unit"),
        (["--measure"], "needs '--out DIR'"),
    ):
        run = CliRunner().invoke(main, ["simulate", str(CASE), *wrong])
        assert (run.exit_code, run.stdout) == (2, "")
        assert said in run.stderr
