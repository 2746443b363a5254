"""Folders that a user could run, with what qnet must say of them to the byte.

`python -m pytest tests/golden --update-expected` writes the expected files anew.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from qnet.files.write import to_json
from qnet.report.text import print_verdict
from qnet.simulate.frame_sources import sources_of
from qnet.simulate.setup import build
from qnet.simulate.windows.shares import share_out, work_per_s
from tests.asking import Answer, ask, command

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/traffic.yaml"))
REPORT = ("verdict.json", "plan.json", "junit.xml", "report.html")


def texts(answer: Answer) -> dict[str, str]:
    screen = io.StringIO()
    print_verdict(answer.verdict, Console(file=screen, width=100, color_system=None))
    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    return {
        "plan.json": to_json(answer.plan),
        "result.json": to_json(answer.observation),
        "report.txt": "\n".join(lines) + "\n",
    }


@pytest.mark.twin
@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, update_expected: bool) -> None:
    answer = ask(HERE / case / "traffic.yaml")
    folder = HERE / case / "expected"
    made = texts(answer)
    if update_expected:
        folder.mkdir(exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
    expected = {name: (folder / name).read_text(encoding="utf-8") for name in made}
    assert made == expected


def test_the_cases_show_what_they_say() -> None:
    assert CASES == ["demands-over-lag", "line", "refusals", "two-paths"]
    outcomes = {case: ask(HERE / case / "traffic.yaml").verdict.outcome for case in CASES}
    assert outcomes == {case: "fail" if case == "refusals" else "pass" for case in CASES}
    refused = [
        one.reason
        for one in ask(HERE / "refusals" / "traffic.yaml").plan.streams
        if one.status == "refused"
    ]
    assert len(refused) == 7  # and three of the crowd of five are served
    assert len({(one or "").split()[1] for one in refused}) >= 5


# The same bytes from other processes


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return report(tmp_path_factory.mktemp("reference"), "0", 1)


def report(folder: Path, hash_seed: str, threads: int, **more: str) -> dict[str, bytes]:
    """Run the busiest case in a process of its own; return what it printed and wrote."""
    profile = HERE / "demands-over-lag" / "traffic.yaml"
    run = command(
        *("run", profile, "--threads", str(threads), "--out", "out"),
        cwd=folder,
        environment={"PYTHONHASHSEED": hash_seed, **more},
    )
    assert (run.returncode, run.stderr) == (0, "")
    found = {name: (folder / "out" / name).read_bytes() for name in REPORT}
    return found | {"stdout": run.stdout.encode()}


@pytest.mark.parametrize(("hash_seed", "threads"), [("0", 2), ("1", 1), ("1", 2)])
def test_hash_seed_and_threads_change_no_byte(
    reference: dict[str, bytes], tmp_path: Path, hash_seed: str, threads: int
) -> None:
    assert report(tmp_path, hash_seed, threads) == reference


def test_the_twin_without_the_compiler_gives_the_same_bytes(
    reference: dict[str, bytes], tmp_path: Path
) -> None:
    assert report(tmp_path, "random", 1, NUMBA_DISABLE_JIT="1") == reference


def test_the_busiest_case_is_worth_two_threads() -> None:
    answer = ask(HERE / "demands-over-lag" / "traffic.yaml")
    topology, profile = answer.scenario.topology, answer.scenario.profile
    found = sources_of(topology, profile, answer.plan)
    world = build(topology, profile, answer.plan, found)
    shares = share_out(world, work_per_s(found, len(topology.ports)), 2)
    assert len(shares.order) == 2
