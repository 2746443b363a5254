from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from pathlib import Path

import pytest
import yaml

from qnet.errors import EnvironmentMissing, InputError
from qnet.files import tree
from qnet.files.read import bundled_names, kind_of, load, read_plan, read_topology
from qnet.files.write import to_json, write_text
from qnet.model.plan import Plan
from qnet.model.scenario import Scenario

NET = """\
title: Three nodes in a row
defaults:
  node: {processing: 1us..2us}
  link: {rate: 100Gbps, length: 10km}
nodes:
  - {name: a, site: west}
  - {name: b, processing: 5us}
  - {name: c}
links:
  - {between: [a, b]}
  - {between: [b, c], delay: 7us, rate: 400Gbps}
"""

FLOW = """\
title: ${what} from a to c
topology: net
parameters:
  count: 3
  what: Samples
defaults:
  stream: {max-payload-size: 100B, interval: 100us}
streams:
  - name: one
    count: ${count}
    from: a
    to: c
  - name: two
    from: c
    to: a
    interval: 1ms
demands:
  - {name: bulk, from: a, to: c, rate: 10Gbps, sizes: 1518B}
egress:
  - {site: west, rate: 1Gbps}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(NET, encoding="utf-8")
    (tmp_path / "flow.yaml").write_text(FLOW, encoding="utf-8")
    return tmp_path


def plan() -> Plan:
    return Plan(
        qnet_version="0",
        topology_sha256="0",
        traffic_sha256="0",
        cycle_ps=10,
        buffers=4,
        hypercycle=1,
        streams=(),
        demands=(),
        egress=(),
    )


def complaint(text: str, name: str = "bad.yaml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    read = read_topology if "\nnodes:" in text else load
    with pytest.raises(InputError) as caught:
        read(name)
    return str(caught.value)


def test_defaults_fill_what_an_element_lacks(folder: Path) -> None:
    network = load("flow.yaml").topology
    assert [node.processing for node in network.nodes] == [
        (1_000_000, 2_000_000),
        (5_000_000, 5_000_000),
        (1_000_000, 2_000_000),
    ]
    assert [link.rate_bps.there for link in network.links] == [100 * 10**9, 400 * 10**9]


def test_a_default_length_gives_way_to_a_delay(folder: Path) -> None:
    second = load("flow.yaml").topology.links[1]
    assert (second.length_mm, second.delay_ps) == (None, (7_000_000, 7_000_000))


def test_parameters_are_filled_in_and_settings_replace_them(folder: Path) -> None:
    profile = load("flow.yaml").profile
    assert profile.title == "Samples from a to c"
    assert [stream.name for stream in profile.every_stream] == ["one-1", "one-2", "one-3", "two"]
    changed = load("flow.yaml", settings={"count": "5", "what": "Words"}).profile
    assert (changed.streams[0].count, changed.title) == (5, "Words from a to c")
    assert changed.parameters == {"count": 5, "what": "Words"}


def test_faulty_settings_are_said_with_the_faults_of_the_file(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        load("flow.yaml", settings={"cuont": "5", "count": "many", "what": "x" * 201})
    text = str(caught.value)
    assert "flow.yaml: --set cuont: no such parameter; did you mean 'count'?" in text
    assert "flow.yaml:10:12: streams[0].count: 'many' is not a whole number" in text
    assert "--set what" in text
    assert "at most 200 characters" in text


def test_hashes_follow_bytes_and_settings(folder: Path) -> None:
    first = load("flow.yaml")
    assert first.topology_sha256 == hashlib.sha256(NET.encode()).hexdigest()
    assert first.traffic_sha256 == hashlib.sha256(FLOW.encode()).hexdigest()
    changed = load("flow.yaml", settings={"count": "3", "what": "Samples"})
    again = load("flow.yaml", settings={"what": "Samples", "count": "3"})
    assert changed.traffic_sha256 == again.traffic_sha256 != first.traffic_sha256
    assert changed.topology_sha256 == first.topology_sha256


def files(scenario: Scenario) -> tuple[str, str]:
    assert scenario.profile_origin is not None
    assert scenario.topology_origin is not None
    return scenario.profile_origin.file, scenario.topology_origin.file


def test_files_are_named_from_where_the_user_stands(folder: Path) -> None:
    assert files(load(str(folder / "flow.yaml"))) == ("flow.yaml", "net.yaml")


def test_the_topology_may_lie_in_the_next_folder(folder: Path) -> None:
    for name in ("topologies", "traffic"):
        (folder / name).mkdir()
    (folder / "net.yaml").rename(folder / "topologies" / "net.yaml")
    (folder / "flow.yaml").rename(folder / "traffic" / "net.yaml")
    assert files(load("traffic/net.yaml")) == ("traffic/net.yaml", "topologies/net.yaml")


def test_another_topology_can_be_asked_for(folder: Path) -> None:
    (folder / "wide.yaml").write_text(NET.replace("Three", "The same three"), encoding="utf-8")
    assert load("flow.yaml", topology="wide.yaml").topology.title.startswith("The same")
    with pytest.raises(InputError, match=r"^wide2.yaml: no such file"):
        load("flow.yaml", topology="wide2.yaml")
    with pytest.raises(InputError, match="no topology file of that name"):
        load("flow.yaml", topology="wide")


@pytest.mark.parametrize("name", bundled_names("traffic"))
def test_bundled_traffic_loads(name: str) -> None:
    assert [kind_of(one) for one in files(load(name))] == ["traffic", "topology"]


def test_bundled_names_are_suggested() -> None:
    with pytest.raises(InputError, match=r"did you mean 'qingyang'\?.*factory, qingyang"):
        load("qingyan")
    with pytest.raises(InputError, match="no topology file of that name"):
        read_topology("")
    assert kind_of("qingyang") == "topology"


def test_a_file_may_open_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "net.yaml").write_bytes(b"\xef\xbb\xbf" + NET.encode())
    assert len(read_topology("net.yaml").nodes) == 3
    assert "bad.yaml:1:8: title: a list is not a text" in complaint("\ufefftitle: [1]\nnodes: []\n")


def test_plain_words_are_never_numbers_by_accident(folder: Path) -> None:
    branch = tree.Source("x.yaml")
    words = "[1:30, 010, 1e3, .nan, 0x10, 1_000, yes, No, ~, null, '', true, -7, 0, 12.0, '5', -]"
    tree.compose(branch, words.replace(", -]", "]").encode())
    assert branch.root is not None
    assert branch.root.value() == [
        "1:30", "010", "1e3", ".nan", "0x10", "1_000", "yes", "No", None, None, "", True, -7, 0,
        "12.0", "5",
    ]  # fmt: skip


def test_what_is_not_a_readable_file_is_said(folder: Path) -> None:
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "large.yaml").write_bytes(b"#" * (32 * 2**20 + 1))
    for name, says in (
        ("folder.yaml", "folder.yaml: a folder, not a file"),
        ("pipe.yaml", "pipe.yaml: not a regular file"),
        ("large.yaml", "large.yaml: too large; at most 32 MiB"),
        ("absent.yaml", "absent.yaml: no such file"),
        ("a\0.yaml", "cannot be read"),
        ("x" * 300 + ".yaml", "cannot be read: file name too long"),
    ):
        with pytest.raises(InputError) as caught:
            read_topology(name)
        assert says in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_said(folder: Path) -> None:
    (folder / "net.yaml").chmod(0)
    with pytest.raises(InputError, match=r"net\.yaml: cannot be read: permission denied"):
        read_topology("net.yaml")


def test_too_many_values_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "VALUES_HIGHEST", 10)
    assert "more than 10 values" in complaint(NET)


def test_defaults_stay_small(folder: Path) -> None:
    block = "\n".join(f"    key{i}: 1" for i in range(200))
    assert "defaults: more than 100 values" in complaint(
        f"title: t\ndefaults:\n  node:\n{block}\n" + NET[NET.index("nodes:") :]
    )


def test_without_libyaml_the_reader_is_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = load("flow.yaml")
    monkeypatch.setattr(tree, "LOADER", yaml.SafeLoader)
    assert load("flow.yaml") == fast


def test_large_files_with_many_faults_take_seconds(folder: Path) -> None:
    nodes = "".join(f"  - {{name: node{i}}}\n" for i in range(5000))
    links = "".join(
        f"  - {{between: [node{i % 5000}, nod{i}], rate: 1Gbps, length: 1km}}\n"
        for i in range(10_000)
    )
    began = time.process_time()
    text = complaint(f"title: large\nnodes:\n{nodes}links:\n{links}")
    assert "10000 problems" in text
    assert time.process_time() - began < 30


def test_ten_thousand_links_load_in_seconds(folder: Path) -> None:
    nodes = "".join(f"  - {{name: node{i}}}\n" for i in range(5001))
    links = "".join(
        f"  - {{name: l{i}, between: [node{i % 5000}, node{i % 5000 + 1}], rate: 1Gbps, "
        "length: 1km}\n"
        for i in range(10_000)
    )
    Path("large.yaml").write_text(f"title: large\nnodes:\n{nodes}links:\n{links}", encoding="utf-8")
    began = time.process_time()
    assert len(read_topology("large.yaml").ports) == 20_000
    assert time.process_time() - began < 15


def test_a_plan_survives_the_way_through_its_file(folder: Path) -> None:
    text = to_json(plan())
    write_text("plan.json", text)
    assert read_plan("plan.json") == plan()
    assert text == to_json(read_plan("plan.json"))
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"cycle_ps": 10', '"cycle_ps": 10.0', "10.0 is not a whole number"),
        ('"cycle_ps": 10', '"cycle_ps": NaN', "NaN is not a whole number"),
        ('"cycle_ps": 10', '"cycle_ps": "10"', "cycle_ps: '10' is a text"),
        ('"cycle_ps": 10', '"cycle_ps": 0', "cycle_ps: '0' is out of range; more than 0"),
        ('"cycle_ps": 10', '"cycle_ps": ' + "9" * 5000, "too large a number"),
        ('"buffers": 4,', '"buffers": 4, "buffers": 5,', "key 'buffers' twice in one object"),
        ('"buffers": 4,', '"bufers": 4,', "bufers: no such key; did you mean 'buffers'?"),
        ('"buffers": 4,', "", "buffers: missing"),
        ('"qnet-plan-1"', '"qnet-plan-9"', "'qnet-plan-9' is none of 'qnet-plan-1'"),
        ('"streams": []', '"streams": [7]', "streams[0]: '7' is not a mapping"),
        ('"streams": []', '"streams": [', "not JSON: "),
        ('"streams": []', '"streams": ' + "[" * 100_000, "nested too deeply"),
        ('"streams": []', '"streams": "\\ud800"', "not JSON: "),
    ],
)
def test_faulty_plans_are_refused(folder: Path, old: str, new: str, says: str) -> None:
    text = to_json(plan())
    assert old in text
    Path("plan.json").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_plan("plan.json")
    assert says in str(caught.value)


def test_plans_that_are_no_text_are_refused(folder: Path) -> None:
    Path("plan.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not a text file"):
        read_plan("plan.json")
    with pytest.raises(InputError, match="no such file"):
        read_plan("other.json")


def test_json_is_integers_in_field_order(folder: Path) -> None:
    made = to_json(load("flow.yaml").topology)
    assert list(json.loads(made))[:3] == ["title", "description", "assumptions"]
    assert json.loads(made)["links"][1]["rate_bps"] == [400 * 10**9] * 2


def test_write_text_is_all_or_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = folder / "out.json"
    write_text(target, "old")
    (folder / "plain").touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((folder / "plain").stat().st_mode)
    (folder / "plain").unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EnvironmentMissing, match=r"out.json cannot be written: no space left"):
        write_text(target, "new")
    assert target.read_text(encoding="utf-8") == "old"
    assert sorted(path.name for path in folder.iterdir()) == ["flow.yaml", "net.yaml", "out.json"]
    with pytest.raises(EnvironmentMissing, match="cannot be written"):
        write_text(folder / "absent" / "out.json", "new")


def test_of_very_many_faults_the_first_are_told_and_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    rest = "x: 1, from: ix-spine1, to: ix-leaf1, interval: 1ms, max-payload-size: 1B"
    streams = "".join(f"- {{name: s{number}, {rest}}}\n" for number in range(12_000))
    path.write_text("title: t\ntopology: dual-node\nstreams:\n" + streams)
    with pytest.raises(InputError) as caught:
        load(str(path))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path}:4:")
    assert lines[-2:] == ["and 11,900 more", "12000 problems; nothing was run"]
    assert len(lines) == 102


@pytest.mark.parametrize(
    "name",
    [
        *("Zürich", "São-Paulo", "서울", "庆阳", "Ελλάδα", "Нур-Султан", "القاهرة", "दिल्ली"),
        *("กรุงเทพ", "a" * 63, "٣"),
    ],
)  # fmt: skip
def test_names_are_of_any_script(name: str, tmp_path: Path) -> None:
    assert name_faults(name, tmp_path) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a b", "' ' U+0020 SPACE cannot be in it"),
        ("a/b", "'/' U+002F SOLIDUS cannot be in it"),
        ("-a", "'-' U+002D HYPHEN-MINUS cannot begin it"),
        ("\u0301a", "U+0301 COMBINING ACUTE ACCENT cannot begin it"),
        ("Zu\u0308rich", "U+0308 COMBINING DIAERESIS stands apart from its letter; write 'Zürich'"),
        ("\u212b", "a character stands apart from its letter; write '\u00c5'"),
        ("a\u200bb", "U+200B ZERO WIDTH SPACE cannot be in it"),
        ("a\u202eb", "U+202E RIGHT-TO-LEFT OVERRIDE cannot be in it"),
        ("a\u3164b", "U+3164 HANGUL FILLER cannot be in it"),
        ("a😀", "'😀' U+1F600 GRINNING FACE cannot be in it"),
        ("$(id)", "'$' U+0024 DOLLAR SIGN cannot be in it"),
        ("a;b", "';' U+003B SEMICOLON cannot be in it"),
        ("a" * 64, "at most 63 characters"),
        ("\U00020000" * 60, "at most 63 characters"),
        ("", "at most 63 characters"),
    ],
)
def test_the_character_that_is_wrong_in_a_name_is_told(
    name: str, said: str, tmp_path: Path
) -> None:
    (fault,) = name_faults(name, tmp_path)
    assert said in fault


def name_faults(name: str, folder: Path) -> list[str]:
    data = {
        "title": "t",
        "nodes": [{"name": name}, {"name": "other"}],
        "links": [{"between": ["other", "x"], "rate": "1Gbps", "length": "1km"}],
    }
    path = folder / "net.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    try:
        read_topology(str(path))
    except InputError as error:
        return [one.message for one in error.problems if one.where == "nodes[0].name"]
    return []
