"""Captures in, through real switches, and out again: what tshark and qnet read of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from qnet.cli import main
from qnet.emulate.process.controller import missing_controller
from qnet.emulate.rules.wiring import Wiring
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.tiers import probe
from qnet.files.captures.recordings import take
from qnet.files.read import load
from qnet.files.words import dump_yaml
from qnet.model.recording import Capture
from qnet.model.traffic import recordings_of
from tests.captured import Shot, frame, pcapng
from tests.random_sets import Dice

REASON = missing_switch() or missing_controller()
NO_MININET = probe.missing_tools()
pytestmark = pytest.mark.skipif(bool(REASON), reason=str(REASON))

NODES = ("a", "s", "b")


def _files(folder: Path, *, step_ps: int) -> None:
    """Write a line of two wires, and a capture of a conversation both ways, one of them tagged."""
    dice = Dice("captured", 1)
    time_ps, shots = 10**18, []
    for _ in range(60):
        time_ps += dice.between(10**6, 10**8) // step_ps * step_ps
        is_there = dice.below(2)
        ends = ("10.0.0.1", "10.0.0.2")[:: 1 if is_there else -1]
        tag = 5 << 13 | 7 if is_there else None
        shots.append(Shot(time_ps, frame(*ends, length=dice.between(64, 1400), tag=tag)))
    (folder / "in.pcapng").write_bytes(pcapng(shots))
    links = [{"between": list(pair), "rate": "1Gbps", "length": "1km"} for pair in ("as", "sb")]
    net = {"title": "Line", "nodes": [{"name": name} for name in NODES], "links": links}
    capture = {"name": "x", "file": "in.pcapng", "endpoints": {"10.0.0.1": "a", "10.0.0.2": "b"}}
    asked = {
        "title": "t",
        "topology": "net",
        "captures": [capture],
        "simulation": {"duration": "4ms"},
    }
    (folder / "net.yaml").write_text(dump_yaml(net))
    (folder / "t.yaml").write_text(dump_yaml(asked))


def _read_again(folder: Path, name: str) -> dict[str, list[tuple[int, int]]]:
    """Read what a host has of both ways, by the addresses of the emulation's hosts."""
    wiring = Wiring(load(str(folder / "t.yaml")).topology)
    endpoints = {}
    for node in ("a", "b"):
        number = wiring.host_ip(node)
        endpoints[".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))] = node
    asked = Capture.model_validate({"name": "y", "file": name, "endpoints": endpoints})
    return {
        one.source: [*zip(one.recording.times_ps, one.recording.frame_bytes, strict=True)]
        for one in take(asked, folder).demands
    }


def _run(folder: Path, *words: str) -> None:
    made = CliRunner().invoke(main, ["run", str(folder / "t.yaml"), *words])
    assert made.exit_code == 0, made.output


def _due(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """What was sent; a host has no label, which takes four bytes of a frame in the network."""
    made = recordings_of(load(str(folder / "t.yaml")).profile)
    return {
        one.source: [
            (at, max(size - 4, 64))
            for at, size in zip(one.recording.times_ps, one.recording.frame_bytes, strict=True)
        ]
        for one in made
    }


@pytest.mark.parametrize(("form", "step_ps"), [("pcapng", 1), ("pcap", 1000)])
def test_a_capture_comes_back_from_real_switches(tmp_path: Path, form: str, step_ps: int) -> None:
    _files(tmp_path, step_ps=step_ps)
    out = tmp_path / "out"
    how = ["--emulate", "lockstep", "--sample", "1000", "--captures", str(out)]
    _run(tmp_path, *how, "--capture-form", form, "--capture-switches")
    due = _due(tmp_path)
    files = {str(one.relative_to(out)) for one in out.glob("**/*.*")}
    assert files == {f"a.{form}", f"b.{form}", *(f"switches/{one}.{form}" for one in NODES)}
    # What a sent is there at the times of the capture, to the picosecond or nanosecond.
    seen = _read_again(tmp_path, f"out/a.{form}")
    first = min(rows[0][0] for rows in due.values() if rows)
    sent = [(at - seen["a"][0][0], size) for at, size in seen["a"]]
    assert sent == [(at - due["a"][0][0], size) for at, size in due["a"]]
    assert first == 0
    assert [size for _, size in seen["b"]] == [size for _, size in due["b"]]
    if shutil.which("tshark"):
        words = ["tshark", "-r", str(out / f"a.{form}"), "-T", "fields", "-e", "frame.len"]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        assert sorted(int(one) + 4 for one in told) == sorted(
            size for rows in seen.values() for _, size in rows
        )


@pytest.mark.xdist_group("mininet")
@pytest.mark.skipif(NO_MININET is not None, reason=str(NO_MININET))
def test_a_capture_is_sent_by_mininet(tmp_path: Path) -> None:
    _files(tmp_path, step_ps=1000)
    how = ["--emulate", "mininet", "--dilation", "2000", "--captures", str(tmp_path / "out")]
    _run(tmp_path, *how)
    due, seen = _due(tmp_path), _read_again(tmp_path, "out/b.pcapng")
    assert [(at - seen["b"][0][0], size) for at, size in seen["b"]] == [
        (at - due["b"][0][0], size) for at, size in due["b"]
    ]
    assert [size for _, size in seen["a"]] == [size for _, size in due["a"]]
