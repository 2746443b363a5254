"""Layers: somebody else's, as docs/layers.md has it, every hook, and none loaded unasked."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from qnet import api, layers
from qnet.errors import EnvironmentMissing, InputError
from qnet.files.read import load, read_observation, read_plan
from qnet.files.schema import schema, tables
from qnet.files.words import to_yaml
from qnet.model.traffic import Profile

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")

NET: dict[str, Any] = {
    "title": "Three in a row",
    "nodes": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
    "links": [
        {"between": ["a", "b"], "rate": "1Gbps", "length": "10m"},
        {"between": ["b", "c"], "rate": "1Gbps", "length": "10m"},
    ],
}
FLOW: dict[str, Any] = {
    "title": "One stream",
    "topology": "row",
    "streams": [
        {"name": "s", "from": "a", "to": "c", "interval": "1ms", "max-payload-size": "100B"}
    ],
    "simulation": {"duration": "3ms"},
}

COST = {"wire": "1MCNY"}

MARKS = '''
from pydantic import Field
from qnet.layers import Layer, Section
from qnet.model.fields import Name, Noun
from qnet.model.proof import Finding
from qnet.model.requirement import Figure, Requirement, Unit


class Marked(Noun):
    """Which node is marked (layer both-marks)."""

    node: Name = Field(description="a node")


class Marks(Noun):
    """How many marks there are to be (layer both-marks)."""

    least: int = Field(strict=True, ge=0, description="marks")


class BothMarks(Layer):
    name = "both-marks"
    models = {"topology": Marked, "traffic": Marks}

    def check(self, topology, profile, faults):
        marked = self.of(topology)
        if marked and marked.node not in topology.node_by_name:
            known = topology.node_by_name
            words = "no such node" + faults["topology"].guess(marked.node, known)
            faults["topology"].fault(("both-marks", "node"), words)

    def plan(self, topology, profile, plan):
        return {"passed": sum(self.of(topology).node in path.ports[0] for path in ways(plan))}

    def require(self, topology, profile, plan):
        unit = Unit(name="marks", decimals=1)
        least = self.of(profile).least
        yield Requirement(subject="m", kind="mark", unit=unit, promised=least, keeps="at least")

    def prove(self, topology, profile, plan, proof):
        if "both-marks" not in plan.layers:
            yield Finding(rule="layer", subject="m", message="a plan without marks")
            return
        value = plan.layers["both-marks"]["passed"]
        yield Figure(subject="m", kind="mark", witness="proven", value=value)

    def observe(self, topology, profile, plan, observation):
        yield Figure(subject="m", kind="mark", witness="simulated", value=observation.frames)

    def report(self, topology, profile, plan, rows):
        (row,) = (one for one in rows if one.kind == "mark")
        return Section("Marks", ["Of <b> nodes."], ("", "seen"), [("m", row.show(row.simulated))])


def ways(plan):
    return [path for one in plan.streams for path in one.paths]


layer = BothMarks()
'''


def distribution(folder: Path, name: str, module: str, text: str) -> None:
    """Put a distribution with a layer into a folder, as an installer would."""
    (folder / f"{module}.py").write_text(text, encoding="utf-8")
    about = folder / f"{module}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[qnet.layers]\n{name} = {module}:layer\n")


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "both-marks", "both_marks_layer", MARKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "both_marks_layer", raising=False)


def marked(node: str = "a", least: int = 1, **more: Any) -> Any:
    net = {**NET, "both-marks": {"node": node}}
    return load({**FLOW, "both-marks": {"least": least}, **more}, topology=net)


# One of somebody else's


def test_the_example_of_the_docs(tmp_path: Path) -> None:
    """As its user has it: another distribution, the command line, and no line of qnet touched."""
    code, entry, key = (
        re.findall(rf"```{kind}\n(.*?)```", DOCS, re.DOTALL)[0]
        for kind in ("python", "toml", "yaml")
    )
    assert 'hops = "hops:layer"' in entry
    site = tmp_path / "site"
    site.mkdir()
    distribution(site, "hops", "hops", code)
    (tmp_path / "row.yaml").write_text(yaml.safe_dump(NET), encoding="utf-8")

    def qnet(*words: str, path: str = str(site), **change: Any) -> subprocess.CompletedProcess[str]:
        text = yaml.safe_dump({**FLOW, **yaml.safe_load(key), **change})
        (tmp_path / "flow.yaml").write_text(text, encoding="utf-8")
        start = "from qnet.cli import main; main()"
        command = [sys.executable, "-c", start, words[0], "flow.yaml", *words[1:]]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((path, str(ROOT)))}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    kept = qnet("plan", "--output", "plan.json")
    assert kept.returncode == 0, kept.stderr
    checked = qnet("check", "plan.json", "--json")
    rows = json.loads(checked.stdout)["verdict"]["rows"]
    (row,) = (one for one in rows if one["kind"] == "hops")
    assert (row["promised"], row["proven"], row["outcome"]) == (3, 2, "pass")
    assert row["unit"] == {"name": "wires", "decimals": 0}
    broken = qnet("check", "plan.json", hops={"most": 1})
    assert "proven 1 wires over the promise" in broken.stdout, broken
    assert broken.returncode == 1
    wrong = qnet("validate", hops={"most": 0})
    assert "hops.most: '0' is out of range; at least 1" in wrong.stderr
    assert re.match(r"flow.yaml:[1-9][0-9]*:[1-9][0-9]*: ", wrong.stderr)
    absent = qnet("validate", path="")
    assert "hops: no such key" in absent.stderr
    assert absent.returncode == 2


# Every hook


@pytest.mark.usefixtures("marks")
def test_every_hook_is_called_at_its_stage(tmp_path: Path) -> None:
    result = api.run(marked())
    assert result.plan.layers == {"both-marks": {"passed": 1}}
    assert [one.value for one in result.proof.figures] == [1]
    row = result.row("m", "mark")
    assert (row.promised, row.proven, row.outcome, row.basis) == (1, 1, "pass", "proven")
    assert row.simulated == result.observation.frames > 1
    assert result.requirements["unit"][-1] == "1e-1 marks"
    page = result.save(tmp_path / "out").read_text(encoding="utf-8")
    assert "<h2>Marks</h2>" in page
    assert "Of &lt;b&gt; nodes." in page
    assert row.show(row.simulated) in page
    assert read_plan(str(tmp_path / "out" / "plan.json")) == result.plan
    seen = read_observation(str(tmp_path / "out" / "observation.json"))
    assert seen.figures == result.observation.figures
    assert "mark" in (tmp_path / "out" / "junit.xml").read_text(encoding="utf-8")
    assert api.run(marked(least=2), simulate=False).row("m", "mark").reason == (
        "proven 0.1 marks short of the promise"
    )


@pytest.mark.usefixtures("marks")
def test_a_layer_judges_a_plan_that_is_not_its_own() -> None:
    scenario = marked()
    bare = api.plan(scenario).replace(layers={})
    result = api.run(scenario, plan=bare, simulate=False)
    assert result.verdict.findings == ("layer: m: a plan without marks",)
    assert result.row("m", "mark").outcome == "unknown"
    assert result.outcome == "fail"


@pytest.mark.usefixtures("marks")
def test_faults_of_a_layer_are_at_their_places(tmp_path: Path) -> None:
    net = yaml.safe_dump(NET) + "both-marks:\n  node: aa\n"
    (tmp_path / "row.yaml").write_text(net, encoding="utf-8")
    flow = yaml.safe_dump({**FLOW, "both-marks": {"least": 1}})
    (tmp_path / "flow.yaml").write_text(flow, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(tmp_path / "flow.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (len(net.splitlines()), 9)
    assert problem.where == "both-marks.node"
    assert Path(problem.file).name == "row.yaml"


@pytest.mark.usefixtures("marks")
def test_a_noun_with_keys_of_layers_is_one_like_any_other() -> None:
    scenario = marked(cost=COST)
    profile = scenario.profile
    assert isinstance(profile, Profile)
    assert type(profile).__name__ == "Profile"
    assert pickle.loads(pickle.dumps(profile)) == profile
    assert pickle.loads(pickle.dumps(scenario.topology)) == scenario.topology
    again = load(
        yaml.safe_load(to_yaml(profile)), topology=yaml.safe_load(to_yaml(scenario.topology))
    )
    assert again.identity == scenario.identity
    assert again.profile == profile.replace(parameters={})
    assert scenario.with_(seed=7).profile != profile
    other = marked(cost={"wire": "2MCNY"})
    assert other.identity != scenario.identity
    found = [one.name for one in layers.active(scenario.topology, profile)]
    assert found == ["both-marks", "cost"]
    assert {"cost", "both-marks"} <= set(schema("traffic")["properties"])
    assert "cost" not in schema("topology")["properties"]
    assert "| `least` | whole number, at least 0 | required | marks |" in tables()


def test_parameters_reach_into_the_keys_of_layers() -> None:
    given = {**FLOW, "parameters": {"price": "1MCNY"}, "cost": {"wire": "${price}"}}
    wires = [
        getattr(load(given, topology=NET, settings=settings).profile, "cost").wire_ucny  # noqa: B009
        for settings in ({}, {"price": "3MCNY"})
    ]
    assert wires == [10**12, 3 * 10**12]


# What is not asked for


def test_nothing_of_layers_is_loaded_unasked() -> None:
    """Nor are entry points looked for: `import qnet`, --help, and files without such a key."""
    watched = (
        "import sys, qnet, qnet.cli\n"
        "from click.testing import CliRunner\n"
        "assert CliRunner().invoke(qnet.cli.main, ['--help']).exit_code == 0\n"
        "assert not [one for one in sys.modules if one.startswith('qnet.layers')]\n"
        "import qnet.layers\n"
        "qnet.layers.entry_points = None\n"
        "case = qnet.load('dual-node')\n"
        "assert not list(qnet.layers.active(case.topology, case.profile))\n"
        "assert 'qnet.layers.cost' not in sys.modules\n"
    )
    command = [sys.executable, "-c", watched]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_key_is_guessed_and_belongs_into_its_kind_of_file() -> None:
    with pytest.raises(InputError, match="no such key; did you mean 'cost'"):
        load({**FLOW, "cots": COST}, topology=NET)
    with pytest.raises(InputError, match="cost: no such key; one of title"):
        load(FLOW, topology={**NET, "cost": COST})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_module", "cannot be loaded: No module named 'no_such_module'"),
        ("layer = 3", "is no layer of that name"),
    ],
)
def test_a_layer_that_is_none(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path, "spoilt", "spoilt_layer", text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spoilt_layer", raising=False)
    with pytest.raises(EnvironmentMissing, match=words):
        load({**FLOW, "spoilt": {}}, topology=NET)
    load(FLOW, topology=NET)
    with pytest.raises(InputError, match="no such key"):
        load({**FLOW, "other": {}}, topology=NET)
