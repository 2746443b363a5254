"""What a command looks like from outside, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from qnet.cli import about, main
from qnet.errors import EnvironmentMissing, Infeasible, InputError, Problem

QNET = [sys.executable, "-c", "from qnet.cli import main; main()"]


def raising(error: BaseException) -> Callable[..., None]:
    def verb(*_: object, **__: object) -> None:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ValueError("x"), 70, "Traceback"),
        (KeyError("x"), 70, "an error of qnet's own"),
        (RecursionError(), 70, "Traceback"),
        (AssertionError(), 70, "Traceback"),
        (EOFError(), 70, "Traceback"),
        (SystemExit(1), 70, "Traceback"),
        (SystemExit("no"), 70, "Traceback"),
        (SystemExit(0), 70, "Traceback"),
        (MemoryError(), 3, "memory does not suffice"),
        (OSError(28, "No space left on device", "x"), 3, "x cannot be written: no space left"),
        (EnvironmentMissing("no root"), 3, "no root"),
        (InputError([Problem("f", 1, 2, "", "wrong \x1b[2J")]), 2, "f:1:2: wrong \ufffd[2J"),
        (click.UsageError("no such option"), 2, "no such option"),
        (click.FileError("f"), 2, "f"),
        (click.Abort(), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 141, ""),
        (Infeasible("one stream"), 1, "one stream"),
    ],
)
def test_whatever_ends_a_verb_has_its_code_and_its_words(
    error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(about.schema, "callback", raising(error))
    run = CliRunner().invoke(main, ["schema", "traffic"])
    assert run.exit_code == code
    assert words in run.stderr
    assert "\x1b" not in run.stderr
    assert ("Traceback" in run.stderr) == (code == 70)


def command(*words: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QNET, *words], capture_output=True, text=True, check=False, **how)


NET = """\
title: "two \\e]0;x\\a \\x9b2J nodes"
nodes: [{name: a}, {name: b}]
links: [{between: [a, b], rate: 10Gbps, length: 300km}]
"""
TRAFFIC = """\
title: "a \\e[7m promise \\u202e \\x9b"
topology: net
streams: [{name: s, from: a, to: b, interval: 100us, max-payload-size: 100B, max-latency: WITHIN}]
simulation: {duration: 1ms}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "kept.yaml").write_text(TRAFFIC.replace("WITHIN", "10ms"))
    (tmp_path / "broken.yaml").write_text(TRAFFIC.replace("WITHIN", "1ms"))
    return tmp_path


def into_a_pipe_without_reader(folder: Path, *words: str) -> tuple[int, str]:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*QNET, *words], cwd=folder, stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_verdict_is_the_same_with_nobody_to_read_it(files: Path, more: tuple[str, ...]) -> None:
    assert into_a_pipe_without_reader(files, "run", "broken.yaml", *more) == (1, "")
    kept = command("run", "kept.yaml", *more, cwd=files).returncode
    assert into_a_pipe_without_reader(files, "run", "kept.yaml", *more) == (kept, "")


def test_without_a_verdict_nobody_reading_is_none(files: Path) -> None:
    for words in (["list"], ["--help"], ["run", "--help"], ["validate", "kept.yaml"]):
        assert into_a_pipe_without_reader(files, *words) == (141, ""), words
    code, said = into_a_pipe_without_reader(files, "validate", "no.yaml")
    assert code == 2
    assert "no.yaml" in said


@pytest.mark.parametrize("verb", ["list", "run"])
def test_an_answer_that_does_not_fit_is_said_once(files: Path, verb: str) -> None:
    words = [verb] if verb == "list" else [verb, "broken.yaml"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*QNET, *words], cwd=files, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 3
    assert done.stderr == b"the output cannot be written: no space left on device\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_what_an_encoding_lacks_is_escaped(files: Path, encoding: str) -> None:
    title = "庆阳 Zürich 😀"
    (files / "kept.yaml").write_text(TRAFFIC.replace("a \\e[7m", title).replace("WITHIN", "10ms"))
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for words in (["validate", "kept.yaml"], ["run", "kept.yaml"]):
        for more in ([], ["--json"]):
            done = subprocess.run(
                [*QNET, *words, *more], cwd=files, capture_output=True, check=False, env=environment
            )
            assert done.stderr == b""
            text = done.stdout.decode(encoding)
            assert all(char.isprintable() or char == "\n" for char in text)
            if more:
                assert title in json.dumps(json.loads(text), ensure_ascii=False)


def test_nothing_steers_the_terminal(files: Path) -> None:
    def everything(*words: str) -> str:
        done = command(*words, cwd=files)
        return done.stdout + done.stderr

    said = "".join(
        everything(*words)
        for words in (
            ["validate", "kept.yaml", "net.yaml"],
            ["validate", "kept.yaml", "net.yaml", "--json"],
            ["validate", "\x1b[2J.yaml"],
            ["run", "\x1b[2J"],
            ["run", "kept.yaml", "--port", "\x1b[2J"],
            ["run", "kept.yaml", "--set", "\x1b[2J"],
            ["run", "kept.yaml", "--duration", "\x1b[2J"],
            ["run", "kept.yaml", "--json"],
            ["plan", "kept.yaml", "-o", "\x1b[2J/plan.json"],
            ["check", "kept.yaml", "\x1b[2J"],
            ["run", "kept.yaml", "--out", "kept.yaml/\x1b[2J"],
            ["explain", "\x1b[2J", "--stream", "\x1b"],
        )
    )
    assert len(said) > 1000
    assert {char for char in said if not char.isprintable()} <= {"\n", "\ufffd"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_at_any_moment(number: signal.Signals) -> None:
    # What comes before is the interpreter's own start.
    begun = [*QNET[:2], f"import os; os.write(2, b'.'); {QNET[2]}"]
    words = ["run", "ceni-beijing-loop", "--duration", "20s"]
    for moment_s in (0.08, 0.2, 0.4, 0.9):
        process = subprocess.Popen([*begun, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stderr is not None
        assert process.stderr.read(1) == b"."
        time.sleep(moment_s)
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
        # Before qnet has begun SIGTERM ends the process in its own way.
        assert process.returncode in {128 + number, -number} - {-signal.SIGINT}
        assert out == b""
        assert b"Traceback" not in error
