"""No command writes over what it reads, whatever the name it is given by."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qnet.cli import main

NET = """\
title: Two switches
nodes: [{name: a}, {name: b}]
links: [{between: [a, b], rate: 1Gbps, delay: 1us}]
"""

TRAFFIC = """\
title: One stream
topology: net
classes: [{name: c, priority: 5, mechanism: csqf}, {name: be, priority: 0, mechanism: strict-priority}]
streams: [{name: s, class: c, from: a, to: b, interval: 10us, max-payload-size: 100B, max-latency: 1ms}]
"""  # noqa: E501

TASK = "stream,src,dst,size,period,deadline,jitter\n0,0,[1],100,100000,100000,0\n"
TOPO = "link,q_num,rate,t_proc,t_prop\n\"(0, 1)\",8,1,1000,0\n\"(1, 0)\",8,1,1000,0\n"  # fmt: skip


def qnet(*words: str) -> Result:
    return CliRunner().invoke(main, words, env={"COLUMNS": "200"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    texts = {"net.yaml": NET, "traffic.yaml": TRAFFIC, "task.csv": TASK, "topo.csv": TOPO}
    for name, text in texts.items():
        Path(name).write_text(text)
    for words in (
        "plan traffic.yaml -o plan.json",
        "import tsnkit task.csv topo.csv -o set.json",
        "gates set.json -o gates.json",
        "export tsnkit set.json gates.json --out sheets",
    ):
        result = qnet(*words.split())
        assert result.exit_code == 0, result.output
    return tmp_path


COMMANDS = [
    ("plan traffic.yaml -o", "traffic.yaml net.yaml"),
    ("plan traffic.yaml --keep plan.json -o", "plan.json"),
    ("run traffic.yaml --trace", "traffic.yaml net.yaml"),
    ("run traffic.yaml --checkpoint", "traffic.yaml net.yaml"),
    ("simulate traffic.yaml plan.json --trace", "traffic.yaml net.yaml plan.json"),
    ("simulate traffic.yaml plan.json --checkpoint", "traffic.yaml net.yaml plan.json"),
    ("gates set.json -o", "set.json"),
    ("gates set.json --plan gates.json -o", "set.json gates.json"),
    ("import tsnkit task.csv topo.csv -o", "task.csv topo.csv"),
    ("import tsnkit-schedule set.json sheets/qnet -o", "set.json sheets/qnet-GCL.csv"),
    (
        "emulate traffic.yaml --controller tcp:127.0.0.1:9 --against plan --rules-file",
        "traffic.yaml net.yaml",
    ),
]


def by_name(path: str) -> str:
    return path


def by_another_way(path: str) -> str:
    return f"sheets/../{path}"


def by_symlink(path: str) -> str:
    Path("link").symlink_to(path)
    return "link"


def by_hard_link(path: str) -> str:
    os.link(path, "twin")
    return "twin"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("way", [by_name, by_another_way, by_symlink, by_hard_link])
@pytest.mark.parametrize(("command", "inputs"), COMMANDS)
def test_a_file_written_is_no_input(
    command: str, inputs: str, way: Callable[[str], str], tmp_path: Path
) -> None:
    for name in inputs.split():
        before = Path(name).read_bytes()
        given = way(name)
        result = qnet(*command.split(), given)
        last = command.rpartition(" ")[2]
        option = "--output" if last == "-o" else last
        assert result.exit_code == 2, result.output
        assert f"{given}: is an input of this command ({name})" in result.output
        assert result.output.startswith(f"{option}: ")
        assert Path(name).read_bytes() == before
        for made in ("link", "twin"):
            (tmp_path / made).unlink(missing_ok=True)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("run PROFILE --topology NETWORK --out", "inputs/traffic.yaml"),
        ("simulate PROFILE plan.json --topology NETWORK --out", "verdict.json"),
        ("check PROFILE plan.json --topology NETWORK --out", "inputs/topology.yaml"),
        ("run PROFILE --topology NETWORK --emulate lockstep --captures", "a.pcapng"),
        ("run PROFILE --topology NETWORK --emulate lockstep --captures", "switches/b.pcapng"),
        ("emulate PROFILE --topology NETWORK --controller tcp:127.0.0.1:9 --out", "junit.xml"),
        ("export mpls PROFILE plan.json --topology NETWORK --out", "mpls.json"),
        ("export srv6 PROFILE plan.json --topology NETWORK --out", "srv6.json"),
    ],
)
def test_a_folder_written_holds_no_input(command: str, place: str) -> None:
    for role, name in (("PROFILE", "traffic.yaml"), ("NETWORK", "net.yaml")):
        path = Path("out") / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(name).rename(path)
        words = command.replace(role, str(path))
        words = words.replace("PROFILE", "traffic.yaml").replace("NETWORK", "net.yaml")
        before = path.read_bytes()
        result = qnet(*words.split(), "out")
        assert result.exit_code == 2, result.output
        assert f"{path}: is an input of this command" in result.output
        assert path.read_bytes() == before
        path.rename(name)


@pytest.mark.usefixtures("folder")
def test_gate_lists_are_not_written_over_their_problem() -> None:
    Path("lists").mkdir()
    for name in ("set.json", "gates.json"):
        for kind, ending in (("yang", "json"), ("taprio", "sh"), ("tsnkit", "csv")):
            place = f"lists/{'qnet-GCL' if kind == 'tsnkit' else '0'}.{ending}"
            words = f"export {kind} set.json gates.json --out lists".replace(name, place)
            if kind == "taprio" and name == "set.json":
                continue  # a problem's name ends in .json
            Path(name).rename(place)
            result = qnet(*words.split())
            assert (result.exit_code, "is an input of this command" in result.output) == (2, True)
            Path(place).rename(name)


@pytest.mark.usefixtures("folder")
def test_a_plan_is_put_back_to_the_byte_or_not_at_all() -> None:
    assert qnet("run", "traffic.yaml", "--out", "out").exit_code == 0
    assert qnet("check", "traffic.yaml", "out/plan.json", "--out", "out").exit_code == 0
    path = Path("out/plan.json")
    path.write_text(path.read_text() + "\n")
    assert qnet("check", "traffic.yaml", "out/plan.json", "--out", "out").exit_code == 2
    assert path.read_text().endswith("\n\n")


@pytest.mark.usefixtures("folder")
def test_two_outputs_are_not_one_file() -> None:
    result = qnet("run", "traffic.yaml", "--trace", "one", "--checkpoint", "./one")
    assert result.exit_code == 2
    assert "--checkpoint: one: --trace writes the same file" in result.output
