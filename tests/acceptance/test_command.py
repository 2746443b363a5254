"""The command from outside: exit codes, what is said, and what is left behind."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from qnet.errors import EnvironmentMissing
from qnet.files.write import write_text
from tests.asking import COMMAND, command

SIX_FAULTS = Path(__file__).parents[1] / "bad_inputs" / "six-faults.yaml"

SMALL_TOPOLOGY = """\
title: Two nodes
nodes: [{name: a}, {name: b}]
links: [{between: [a, b], rate: 10Gbps, length: 10km}]
"""

SMALL_TRAFFIC = """\
title: One stream
topology: small-net
simulation: {duration: 1ms}
streams:
  - {name: s, from: a, to: b, interval: 20us, max-payload-size: 1000B, max-latency: LATENCY}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A profile whose promise is kept; nothing else is in the working folder."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "small-net.yaml").write_text(SMALL_TOPOLOGY)
    profile = folder / "small.yaml"
    profile.write_text(SMALL_TRAFFIC.replace("LATENCY", "1ms"))
    return profile


def test_exit_0_when_promises_are_kept(small: Path, tmp_path: Path) -> None:
    run = command("run", small, "--out", tmp_path / "out")
    assert (run.returncode, run.stderr) == (0, "")
    assert "PASS" in run.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "inputs",
        "junit.xml",
        "observation.json",
        "plan.json",
        "report.html",
        "run.json",
        "verdict.json",
    ]


def test_exit_1_when_one_is_not(small: Path) -> None:
    small.write_text(SMALL_TRAFFIC.replace("LATENCY", "55us"))
    run = command("run", small)
    assert (run.returncode, run.stderr) == (1, "")
    assert "FAIL" in run.stdout
    assert "s: the quickest route takes at least" in run.stdout


def faults_of(stderr: str) -> list[str]:
    """Return the lines about the file, from the line number on."""
    *lines, tail = stderr.splitlines()
    assert tail == f"{len(lines)} problems; nothing was run"
    return [line.partition("six-faults.yaml:")[2] for line in lines if "six-faults.yaml:" in line]


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_exit_2_with_every_fault_at_its_line_and_nothing_run(tmp_path: Path, verb: str) -> None:
    out = ["--out", str(tmp_path / "out")] if verb == "run" else []
    run = command(verb, SIX_FAULTS, *out)
    assert (run.returncode, run.stdout) == (2, "")
    found = faults_of(run.stderr)
    expected = faults_of(SIX_FAULTS.with_suffix(".txt").read_text())
    assert len(expected) == 11
    assert [one for one in found if one in expected] == expected
    # The expected lines are those of the file: each says a word that stands in its line.
    text = SIX_FAULTS.read_text().splitlines()
    for fault, word in (
        ("3:10: tcqf.cycle", "cycle: 10"),
        ("7:5: nodes[0].procesing", "procesing"),
        ("13:11: links[0].rate", "rate: 400"),
        ("14:5: links[0].dealy", "dealy"),
        ("19:14: links[2].members", "members: many"),
        ("22:5: links[3]: key 'rate' again", "rate: 100Gbps"),
    ):
        assert any(one.startswith(fault) for one in found)
        assert word in text[int(fault.partition(":")[0]) - 1]
    # A topology is no traffic file: 'run' says so besides.
    assert len(found) == len(expected) + (verb == "run")
    assert not list(tmp_path.iterdir())


def test_exit_2_for_a_topology_with_faults(small: Path, tmp_path: Path) -> None:
    run = command("run", small, "--topology", SIX_FAULTS, "--out", tmp_path / "out")
    assert (run.returncode, run.stdout) == (2, "")
    expected = faults_of(SIX_FAULTS.with_suffix(".txt").read_text())
    assert [one for one in faults_of(run.stderr) if one in expected] == expected
    assert not (tmp_path / "out").exists()


def test_exit_2_for_a_wrong_option(small: Path) -> None:
    for wrong in (["--duration", "5"], ["--set", "x"], ["--set", "x=1"], ["--port", "a->z"]):
        run = command("run", small, *wrong)
        assert (run.returncode, run.stdout) == (2, ""), wrong
        assert "Traceback" not in run.stderr


@pytest.mark.parametrize("below", ["a-file/out", "a-file/deeper/out"])
def test_exit_3_before_anything_is_run_when_the_folder_cannot_be(
    small: Path, tmp_path: Path, below: str
) -> None:
    (tmp_path / "a-file").write_text("mine")
    run = command("run", small, "--out", tmp_path / below)
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr == f"{tmp_path / below} cannot be written: not a directory\n"
    assert (tmp_path / "a-file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file", "files"]


def test_exit_3_and_no_part_of_a_result_when_the_disk_is_full(small: Path, tmp_path: Path) -> None:
    # A disk with room for verdict and plan, and not for the page.
    out = tmp_path / "out"
    limit = 8_000
    run = subprocess.run(
        [*COMMAND, "run", str(small), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert run.returncode == 3, run.stderr
    assert run.stdout == ""
    assert run.stderr == f"{out / 'report.html'} cannot be written: file too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["files"], "neither results nor leftovers"


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
def test_exit_3_when_the_output_is_full(small: Path) -> None:
    for verb in (["plan", "--json"], ["run"], ["run", "--json"]):
        with Path("/dev/full").open("w") as full:
            run = subprocess.run(
                [*COMMAND, verb[0], str(small), *verb[1:]],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=60,
            )
        assert run.returncode == 3
        assert run.stderr == "the output cannot be written: no space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full here")
def test_a_device_is_written_to_and_never_replaced(small: Path) -> None:
    run = command("plan", small, "-o", "/dev/full")
    assert run.returncode == 3
    assert run.stderr == "/dev/full cannot be written: no space left on device\n"
    assert Path("/dev/full").is_char_device()
    before = Path("/dev/stdout").lstat().st_ino
    run = command("plan", small, "-o", "/dev/stdout")
    assert run.returncode == 0
    assert '"format": "qnet-plan-1"' in run.stdout
    assert Path("/dev/stdout").lstat().st_ino == before


def test_what_cannot_be_written_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "plan.json"
    write_text(target, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EnvironmentMissing, match="no space left on device"):
        write_text(target, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    assert target.read_text() == "old"


def test_control_c_while_simulating(tmp_path: Path) -> None:
    # The bar is drawn on a terminal only: it tells when the simulation has begun.
    ours, theirs = pty.openpty()
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, "simulate", "ceni-beijing-loop", "--duration", "60s", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    said = b""
    try:
        while b"simulate" not in said:
            said += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
        said = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other side of a terminal is gone
                break
            if not part:
                break
            said += part
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 130
    assert printed == b""
    assert b"interrupted; nothing was written" in said
    assert b"Traceback" not in said
    assert not out.exists()
