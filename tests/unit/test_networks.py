"""Networks of other programs: every edge is a wire or listed, and every fault has its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx
import pytest
import yaml
from click.testing import CliRunner, Result

import qnet
from qnet.cli import main
from qnet.errors import ArgumentError, InputError
from qnet.files.read import load, read_topology
from qnet.files.words import to_lines
from qnet.formats.networks import found
from qnet.formats.networks.naming import plain_name
from qnet.interchange import import_network, network_files, network_formats
from qnet.model.topology import Topology
from tests import all_networks
from tests import network_judge as judge

ZOO = Path(__file__).parents[1] / "data" / "topology-zoo"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], env={"COLUMNS": "200"})


def imported(folder: Path, name: str, *words: str | Path) -> dict[str, Any]:
    result = run("import", name, *words, "-o", folder, "--json")
    assert result.exit_code == 0, result.output
    assert run("validate", folder / "topology.yaml").exit_code == 0
    answer: dict[str, Any] = json.loads(result.output)
    return answer


def graphml(nodes: str, edges: str, keys: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<graphml>\n{keys}\n'
        f'<graph edgedefault="undirected">\n{nodes}\n{edges}\n</graph>\n</graphml>\n'
    )


KEYS = "".join(
    f'<key attr.name="{name}" attr.type="string" for="{domain}" id="{key}"/>'
    for key, name, domain in (
        ("la", "Latitude", "node"),
        ("lo", "Longitude", "node"),
        ("hy", "hyperedge", "node"),
        ("sp", "LinkSpeed", "edge"),
        ("un", "LinkSpeedUnits", "edge"),
        ("raw", "LinkSpeedRaw", "edge"),
        ("bw", "bandwidth", "edge"),
    )
)


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Every edge is a wire, or listed


@pytest.mark.parametrize("name", ["Abilene", "Internet2", "Internetmci", "Nsfcnet"])
@pytest.mark.parametrize(
    "options", [["--hyperedge", "switch"], ["--hyperedge", "clique"], ["--hyperedge", "drop"]]
)
@pytest.mark.parametrize("largest", [[], ["--largest"]])
def test_edges_in_are_edges_out_and_listed(
    name: str, options: list[str], largest: list[str], tmp_path: Path
) -> None:
    file = ZOO / f"{name}.graphml"
    answer = imported(tmp_path / "o", "graphml", file, *options, *largest)
    counted = judge.judge(judge.edges_in_graphml(file.read_text()), tmp_path / "o")
    assert (answer["edges"], answer["wires"]) == (counted["edges"], counted["wires"])
    left_out = sum(one["edges"] for one in answer["assumptions"])
    assert left_out == counted["lost"] - counted["added"]


def test_the_judge_sees_a_lost_edge(tmp_path: Path) -> None:
    file = ZOO / "Internetmci.graphml"
    imported(tmp_path, "graphml", file)
    path = tmp_path / "topology.yaml"
    path.write_text(path.read_text().replace(", members: 2", "", 1))
    with pytest.raises(AssertionError, match="45 edges, 44 wires"):
        judge.judge(judge.edges_in_graphml(file.read_text()), tmp_path)


@pytest.mark.parametrize("name", ["Abilene", "Internetmci", "Nsfcnet"])
def test_networkx_reads_the_same_graph(name: str) -> None:
    graph = networkx.read_graphml(ZOO / f"{name}.graphml")
    topology = import_network("graphml", str(ZOO / f"{name}.graphml")).topology
    degrees = dict.fromkeys((node.name for node in topology.nodes), 0)
    for link in topology.links:
        for end in link.between:
            degrees[end] += link.members
    assert sorted(degrees.values()) == sorted(degree for _, degree in graph.degree())
    speeds = sorted(
        int(data["LinkSpeedRaw"]) for *_, data in graph.edges(data=True) if "LinkSpeedRaw" in data
    )
    assumed = next(
        (
            one.count
            for one in import_network("graphml", str(ZOO / f"{name}.graphml")).assumptions
            if "no rate" in one.what
        ),
        0,
    )
    rates = sorted(link.rate_bps.there for link in topology.links for _ in range(link.members))
    known = sorted(rates)
    for _ in range(assumed):
        known.remove(10**10)
    assert known == speeds


def test_topohub_by_name(tmp_path: Path) -> None:
    pytest.importorskip("topohub")
    answer = imported(tmp_path, "topohub", "topozoo/Abilene")
    graph = judge.topohub_graph("topozoo/Abilene")
    assert answer["edges"] == len(graph["edges"]) == 14
    topology = read_topology(str(tmp_path / "topology.yaml"))
    lengths = sorted(link.length_mm.there for link in topology.links if link.length_mm)
    assert lengths == sorted(round(edge["dist"] * 1.8 * 1000) * 1000 for edge in graph["edges"])
    result = run("import", "topohub", "topozoo/Abilen", "-o", tmp_path / "no")
    assert result.exit_code == 2
    assert "did you mean 'topozoo/Abilene'?" in result.output
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("name", ["../../../pyproject", "topozoo/../sndlib/polska", "", "topozoo"])
def test_topohub_names_are_no_paths(name: str) -> None:
    pytest.importorskip("topohub")
    with pytest.raises(InputError, match="topohub has no such network"):
        import_network("topohub", name)


def test_demands_have_the_unit_that_is_given(tmp_path: Path) -> None:
    pytest.importorskip("topohub")
    result = run("import", "topohub", "sndlib/polska", "-o", tmp_path)
    assert result.exit_code == 2
    assert "the file has demands (66) without their unit; write '--unit Mbps'" in result.output
    answer = imported(tmp_path, "topohub", "sndlib/polska", "--unit", "Mbps")
    wanted = [
        v
        for row in judge.topohub_graph("sndlib/polska")["graph"]["demands"].values()
        for v in row.values()
    ]
    case = load(str(tmp_path / "traffic.yaml"))
    assert answer["demands"] == len(wanted)
    assert sorted(one.rate_bps for one in case.profile.demands) == sorted(
        round(value * 10**6) for value in wanted
    )
    assert imported(tmp_path, "topohub", "sndlib/polska", "--unit", "none")["demands"] == 0
    assert not (tmp_path / "traffic.yaml").exists()


@pytest.mark.parametrize(
    ("format", "name", "edges"),
    [
        ("graphml", str(ZOO / "Internet2.graphml"), 26),
        ("graphml", str(ZOO / "Internetmci.graphml"), 45),
        ("graphml", str(ZOO / "Nsfcnet.graphml"), 10),
        ("topohub", "topozoo/Uunet", 77),
        ("topohub", "sndlib/atlanta", 22),
        ("topohub", "caida/2024-08/1103", 10),
    ],
)
def test_a_few_of_all_networks(format: str, name: str, edges: int, tmp_path: Path) -> None:
    """As `python -m tests.all_networks` does with every one."""
    pytest.importorskip("topohub")
    group = all_networks.Group(graphs=1)
    all_networks.try_network(group, format, name, edges, tmp_path)
    assert group.wrong == []
    assert group.sums["simulated"] == group.sums["planned"] == group.sums["valid"] == 1
    assert group.sums["frames"] > 0
    assert group.outcomes["fail"] == 0


def test_demands_of_a_network_are_carried(tmp_path: Path) -> None:
    pytest.importorskip("topohub")
    imported(tmp_path, "topohub", "sndlib/polska", "--unit", "Mbps")
    result = qnet.run(str(tmp_path / "traffic.yaml"), duration="1ms")
    assert result.outcome == "pass", result.reasons
    assert sum(result.demands["received"]) > 0


# What is asked of the user, and what is done with the answer


def test_a_hyperedge_needs_a_word() -> None:
    with pytest.raises(InputError) as raised:
        import_network("graphml", str(ZOO / "Internet2.graphml"))
    faults = raised.value.problems
    assert len(faults) == 3
    assert all(fault.line and "'--hyperedge switch'" in fault.message for fault in faults)


def star(folder: Path, **data: str) -> str:
    """A cloud between three nodes, and one between it and another."""
    places = (("a", 0), ("b", 1), ("c", 2), ("d", 3))
    nodes = "".join(
        f'<node id="{name}"><data key="la">0</data><data key="lo">{east}</data></node>'
        for name, east in places
    )
    nodes += (
        '<node id="x"><data key="hy">1</data></node><node id="y"><data key="hy">1</data></node>'
    )
    edges = "".join(
        f'<edge source="{one}" target="{other}"><data key="raw">{rate}</data></edge>'
        for one, other, rate in (
            ("a", "x", 4e9), ("b", "x", 2e9), ("x", "y", 3e9), ("y", "c", 1e9), ("y", "d", 5e9)
        )
    )  # fmt: skip
    return str(write(folder, "star.graphml", graphml(nodes, edges, KEYS)))


def test_a_clique_joins_over_clouds_at_the_lowest_rate(tmp_path: Path) -> None:
    made = import_network("graphml", star(tmp_path), hyperedge="clique")
    rates = {"".join(sorted(link.between)): link.rate_bps.there for link in made.topology.links}
    assert rates == {
        "ab": 2 * 10**9,
        "ac": 10**9,
        "ad": 3 * 10**9,
        "bc": 10**9,
        "bd": 2 * 10**9,
        "cd": 10**9,
    }
    assert made.edges == 5
    assert sum(one.edges for one in made.assumptions) == 5 - 6


def test_parallel_edges_alike_are_members_and_others_have_names(tmp_path: Path) -> None:
    edges = "".join(
        f'<edge source="{one}" target="{other}"><data key="raw">{rate}</data></edge>'
        for one, other, rate in (("1", "2", 10**9), ("2", "1", 10**9), ("1", "2", 10**10))
    )
    text = graphml('<node id="1"/><node id="2"/><node id="3"/>', edges, KEYS)
    made = import_network("graphml", str(write(tmp_path, "p.graphml", text)))
    links = made.topology.links
    assert [(link.members, link.rate_bps.there, link.name) for link in links] == [
        (2, 10**9, "link-1"),
        (1, 10**10, "link-2"),
    ]
    assert made.wires == made.edges == 3
    told = {one.what: one.count for one in made.assumptions}
    assert told["parallel edges made members of one link"] == 2
    assert told["parts without a link between them, all kept ('--largest' keeps one)"] == 2


def test_directed_edges_become_two_directions(tmp_path: Path) -> None:
    graph = networkx.MultiDiGraph(name="directed")
    graph.add_edge("a", "b", rate="1Gbps", length="10km")
    graph.add_edge("b", "a", rate="2Gbps", length="10km")
    graph.add_edge("b", "c", rate="3Gbps", length="20km")
    graph.add_edge("c", "c", rate="3Gbps", length="20km")
    text = json.dumps(networkx.node_link_data(graph, edges="edges"))
    file = write(tmp_path, "g.json", text)
    answer = imported(tmp_path / "o", "node-link", file)
    assert judge.judge(judge.edges_in_node_link(text), tmp_path / "o")["lost"] == 2
    topology = read_topology(str(tmp_path / "o" / "topology.yaml"))
    assert [(*link.between, *link.rate_bps, link.direction) for link in topology.links] == [
        ("a", "b", 10**9, 2 * 10**9, "both"),
        ("b", "c", 3 * 10**9, 3 * 10**9, "one-way"),
    ]
    assert answer["wires"] == 2


@pytest.mark.parametrize("key", ["edges", "links"])
def test_node_link_by_either_key(key: str, tmp_path: Path) -> None:
    graph = networkx.path_graph(4)
    file = write(tmp_path, "g.json", json.dumps(networkx.node_link_data(graph, edges=key)))
    topology = import_network("node-link", str(file)).topology
    assert [node.name for node in topology.nodes] == ["node-0", "node-1", "node-2", "node-3"]
    assert len(topology.links) == 3


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("New York, NY", "New-York-NY"),
        ("Zürich", "Zürich"),
        ("Zu\u0308rich", "Zürich"),
        ("庆阳", "庆阳"),
        ("  (PoP) #3 ", "PoP-3"),
        ("a--b", "a-b"),
        ("../../etc", "etc"),
        ("?", ""),
        ("x" * 100, "x" * 55),
    ],
)
def test_labels_become_names(label: str, name: str) -> None:
    assert plain_name(label) == name


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    nodes = [
        {"id": i, "label": name} for i, name in enumerate(["a", "a", "a-2", "a", "b c", "b-c"])
    ]
    edges = [{"source": 0, "target": i} for i in range(1, 6)]
    file = write(tmp_path, "g.json", json.dumps({"nodes": nodes, "edges": edges}))
    made = import_network("node-link", str(file))
    assert [node.name for node in made.topology.nodes] == ["a", "a-3", "a-2", "a-4", "b-c", "b-c-2"]
    assert {one.what: one.count for one in made.assumptions}[
        "equal names told apart by a number"
    ] == 3


@pytest.mark.parametrize(
    "name", ["1e3", "010", "true", "1_000", "0x1F", "12", "2011-01-01", "null"]
)
def test_files_have_names_that_yaml_would_take_for_something_else(name: str) -> None:
    topology = Topology.model_validate(
        {
            "title": "- {it: 's: # odd}",
            "nodes": [{"name": name}, {"name": "b"}],
            "links": [{"between": [name, "b"], "rate": "1Gbps", "length": "1km"}],
        }
    )
    text = to_lines(topology)
    assert yaml.safe_load(text)["nodes"][0]["name"] == name
    assert read_topology_of(text) == topology


def read_topology_of(text: str) -> Topology:
    scenario = load({"title": "t", "topology": "x"}, topology=yaml.safe_load(text))
    return scenario.topology


# Faults


def fault_of(folder: Path, format: str, text: str | bytes, **options: Any) -> list[str]:
    file = write(folder, "bad.txt", text)
    with pytest.raises(InputError) as raised:
        import_network(format, str(file), **options)
    return [str(problem).removeprefix(f"{file}:") for problem in raised.value.problems]


BOMB = (
    '<?xml version="1.0"?>\n<!DOCTYPE graphml [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>\n<graphml><graph><node id='&i;'/></graph></graphml>"
)
OUTSIDE = (
    '<?xml version="1.0"?>\n<!DOCTYPE graphml [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n'
    "<graphml><graph><node id='1'>&x;</node></graph></graphml>"
)
PAIR = '<node id="1"/><node id="2"/>'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, ["2:1: a document type (DTD), which may hold entities, is not read; remove it"]),
        (OUTSIDE, ["2:1: a document type (DTD), which may hold entities, is not read; remove it"]),
        (
            f"\ufeff<?xml version='1.0'?><!-- > -->\n<!-- {'x' * 9} -->" + BOMB[22:],
            ["2:19: a document type (DTD), which may hold entities, is not read; remove it"],
        ),
        (
            BOMB.encode("utf-16"),
            ["2:19: a document type (DTD), which may hold entities, is not read; remove it"],
        ),
        (
            "<graphml><!-- <!DOCTYPE --><graph>" + PAIR + "</graph></graphml>",
            [" no edge between two nodes; a topology has one link at least"],
        ),
        (
            "<graphml><graph>\n\x00",
            ["2:1: character U+0000 does not belong in a text file; remove it"],
        ),
        ("", ["1:1: not XML: no element found"]),
        ("<svg/>", ["1:1: the outermost element is 'svg', not 'graphml'"]),
        ("<graphml/>", ["1:1: no 'graph' in it"]),
        ("<a>" * 200, ["1:301: nested more than 100 deep"]),
        (graphml("", ""), [" no edge between two nodes; a topology has one link at least"]),
        (
            graphml('<node id="1"/>\n<node id="1"/>', '<edge source="1" target="3"/>'),
            [
                "6:1: node 1: node '1' again; it is there already on line 5",
                "7:1: edge 1--3: no node '3'",
            ],
        ),
        (
            graphml(
                '<node id="1"><data key="la">91</data><data key="lo">0</data></node>\n'
                '<node id="2"><data key="la">x</data><data key="lo">-181</data></node>',
                '<edge source="1" target="2"><data key="sp">-1</data></edge>'
                '<edge source="1" target="2"><data key="raw">nan</data></edge>'
                '<edge source="1" target="2"><data key="qq">1</data></edge>',
                KEYS,
            ),
            [
                "5:1: node 1: 91 is not a latitude; it is from -90 to 90 degrees",
                "6:1: node 2.Latitude: 'x' is not a number",
                "7:1: edge 1--2.LinkSpeed: '-1' is not a rate; it is more than zero, in bit/s",
                "7:60: edge 1--2.LinkSpeedRaw: 'nan' is not a rate; it is more than zero, in bit/s",
                "7:149: no key 'qq'",
            ],
        ),
        (
            graphml(PAIR, '<edge source="1" target="2"><data key="bw">3</data></edge>', KEYS),
            [
                " the file has capacities (1) without their unit; write '--unit Mbps' or another "
                "one of bps, kbps, Mbps, Gbps, Tbps, or '--unit none' to leave them out"
            ],
        ),
        (
            graphml(PAIR, "<hyperedge/><edge source='1'/>"),
            [
                "6:1: 'hyperedge' in a graph is not read",
                "6:13: an edge has 'source' and 'target'",
            ],
        ),
    ],
)
def test_faults_of_graphml(text: str | bytes, says: list[str], tmp_path: Path) -> None:
    assert fault_of(tmp_path, "graphml", text) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", ["1:2: not JSON: Expecting property name enclosed in double quotes"]),
        ('{"nodes": []\x00', ["1:13: character U+0000 does not belong in a text file; remove it"]),
        (b"\xff", ["1:1: not a text file in UTF-8"]),
        ("[" * 100_000, [" nested too deeply"]),
        ("[]", [" a list, not an object with 'nodes' and 'edges'"]),
        ('{"nodes": 1, "nodes": 2}', [" key 'nodes' twice in one object"]),
        ("{}", [" edges: no such key", " nodes: no such key"]),
        (
            '{"nodes": [{"id": 1, "pos": [10, 91]}, {"id": 1}, {}, 7], "edges": [{"source": 1}]}',
            [
                "1:12: nodes[0]: 91 is not a latitude; it is from -90 to 90 degrees; where "
                "coordinates are those of a drawing write '--coordinates drawing'",
                "1:40: nodes[1]: node '1' again; it is there already",
                "1:51: nodes[2]: no 'id'",
                "1:55: nodes[3]: '7', not an object",
                "1:69: edges[0]: no 'target'",
            ],
        ),
        (
            '{"nodes": [{"id": 1}, {"id": 2}],'
            ' "edges": [{"source": 1, "target": 2, "rate": "1GBps"}]}',
            ["1:45: edges[0].rate: 1GBps: no unit 'GBps'; did you mean 'Gbps'?"],
        ),
        (
            '{"nodes": [{"id": 1, "pos": [1, NaN]}], "edges": []}',
            [" NaN is not a number"],
        ),
    ],
)
def test_faults_of_node_link(text: str | bytes, says: list[str], tmp_path: Path) -> None:
    assert fault_of(tmp_path, "node-link", text) == says


def large(count: int) -> str:
    return graphml(PAIR, '<edge source="1" target="2"/>\n' * count)


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault_of(tmp_path, "graphml", b"x" * (65 * 2**20)) == [" too large; at most 64 MiB"]
    many = b"<graphml>" + b"<a/>" * 10_000_000
    assert fault_of(tmp_path, "graphml", many) == [
        " more than 5,000,000 elements; qnet takes no more"
    ]
    monkeypatch.setattr(found, "LINKS_HIGHEST", 1000)
    says = fault_of(tmp_path, "graphml", large(1001))
    assert says == ["1006:1: edge 1--2: more than 1,000 edges; qnet takes no more"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"unit": "Mb"}, "unit: 'Mb' is none of bps, kbps, Mbps, Gbps, Tbps, none"),
        ({"rate": "7"}, "rate: 7 has no unit"),
        ({"rate": "0Gbps"}, "rate: 0Gbps is zero"),
        ({"metro_length": "1GB"}, "metro_length: 1GB: 'GB' is not a unit of length"),
        ({"detour": "0.9"}, "detour: '0.9' is not a ratio of 1 or more"),
        ({"hyperedge": "bus"}, "hyperedge: 'bus' is none of switch, clique, drop"),
    ],
)
def test_wrong_arguments_of_python(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        import_network("graphml", str(ZOO / "Abilene.graphml"), **options)
    assert says in str(raised.value)


def test_wrong_commands(tmp_path: Path) -> None:
    pytest.importorskip("topohub")
    file = ZOO / "Abilene.graphml"
    for words, says in (
        (["graphml", file, "--rate", "7"], "--rate: 7 has no unit"),
        (["graphml", file, file], "2 given; graphml takes GRAPH.graphml"),
        (["graphml"], "0 given; graphml takes GRAPH.graphml"),
        (["topohub", "topozoo/Abilene", "--hyperedge", "drop"], "No such option"),
        (["gexf", file], "No such command 'gexf'"),
        (["graphml", tmp_path / "no.graphml"], "no such file"),
        (["graphml", tmp_path], "a folder, not a file"),
    ):
        result = run("import", *words, "-o", tmp_path / "o")
        assert (result.exit_code, says in result.output) == (2, True), result.output
    with pytest.raises(ArgumentError, match="'gexf' is not a format of networks"):
        import_network("gexf", str(file))


def test_no_input_is_written_over(tmp_path: Path) -> None:
    file = write(tmp_path, "topology.yaml", (ZOO / "Abilene.graphml").read_bytes())
    result = run("import", "graphml", file, "-o", tmp_path)
    assert result.exit_code == 2
    assert "is an input of this command" in result.output
    assert file.read_bytes() == (ZOO / "Abilene.graphml").read_bytes()


@pytest.mark.parametrize(
    ("module", "words", "says"),
    [
        ("defusedxml.common", ["graphml", ZOO / "Abilene.graphml"], "XML needs defusedxml"),
        ("topohub", ["topohub", "topozoo/Abilene"], "topohub is not installed"),
    ],
)
def test_a_missing_extra_is_a_sentence(
    module: str, words: list[Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    result = run("import", *words, "-o", tmp_path / "o")
    assert result.exit_code == 3
    assert result.output == f"{says}: pip install 'qnet-emulator[networks]'\n"


def test_every_format_has_its_help() -> None:
    listing = run("import", "--help").output
    for name, one in network_formats().items():
        assert name in listing
        help_text = run("import", name, "--help").output
        assert one.summary in help_text
        assert ("--unit" in help_text) == ("unit" in one.asks)


def test_the_list_is_printed_and_kept(tmp_path: Path) -> None:
    result = run("import", "graphml", ZOO / "Abilene.graphml", "-o", tmp_path)
    told = [line.strip() for line in result.stderr.splitlines() if line.startswith("  ")]
    assert read_topology(str(tmp_path / "topology.yaml")).assumptions == tuple(told)
    assert result.stdout == (
        f"11 nodes, 14 links of 14 wires, from 14 edges: topology.yaml in {tmp_path}\n"
    )
    made = import_network("graphml", str(ZOO / "Abilene.graphml"))
    assert (tmp_path / "topology.yaml").read_text() == network_files(made)["topology.yaml"]
