"""SNDlib, REPETITA, GML: what their files say, and their faults at their lines."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import networkx
import pytest

from qnet.errors import InputError
from qnet.interchange import import_network
from qnet.units import RATE, format_quantity
from tests import network_judge as judge
from tests.unit.test_networks import ZOO, fault_of, imported, write

DATA = Path(__file__).parents[1] / "data" / "networks"
NATIVE = (DATA / "polska-part.txt").read_text()
SECTIONS = "META, NODES, LINKS, DEMANDS, ADMISSIBLE_PATHS"
NUL = "character U+0000 does not belong in a text file; remove it"
ROW = "a row has label src dest weight bw delay"
DTD = "a document type (DTD), which may hold entities, is not read; remove it"
NO_PLACE = (
    "91 is not a latitude; it is from -90 to 90 degrees; where coordinates are those of a drawing "
    "write '--coordinates drawing'"
)
TREE = (DATA / "polska-part.xml").read_text()
GRAPH = (DATA / "abilene-part.graph").read_text()
MATRIX = (DATA / "abilene-part.demands").read_text()


def told(made: Any) -> dict[str, int]:
    return {one.what: one.count for one in made.assumptions}


def links(made: Any) -> list[tuple[Any, ...]]:
    return [
        (*link.between, *(format_quantity(RATE, rate) for rate in dict.fromkeys(link.rate_bps)))
        for link in made.topology.links
    ]


def demands(made: Any) -> list[tuple[str, str, int]]:
    return [(one.source, one.target, one.rate_bps) for one in made.profile.demands]


# SNDlib


def test_native_has_capacities_modules_and_demands(tmp_path: Path) -> None:
    made = import_network("sndlib", str(DATA / "polska-part.txt"))
    assert links(made) == [
        ("Gdansk", "Warsaw", "622Mbps"),  # the largest module
        ("Gdansk", "Lodz", "40Mbps"),  # what is installed
        ("Lodz", "Warsaw", "10Gbps"),  # nothing is known
    ]
    assert demands(made) == [("Gdansk", "Warsaw", 195 * 10**6), ("Warsaw", "Lodz", 10**6)]
    assert told(made) == {
        "entries of META left out": 3,
        "costs left out": 4,
        "longest paths of demands left out": 1,
        "lists of admissible paths left out": 1,
        "links without installed capacity, taken with their largest module": 1,
        "demands taken one way, from their first node to their second": 2,
        "edges of which no rate is known, taken as 10Gbps": 1,
        "lengths taken as 1.8 x the straight line": 3,
        "nodes that take no time and have exact clocks, as qnet's defaults are": 3,
    }
    gdansk = made.topology.nodes[0].position
    assert gdansk is not None
    assert gdansk.latitude_microdegrees == 54_200_000  # longitude comes first in the file
    imported(tmp_path, "sndlib", DATA / "polska-part.txt")
    counted = judge.judge(judge.edges_in_sndlib_native(NATIVE), tmp_path)
    assert counted["wires"] == 3


def test_xml_says_the_same(tmp_path: Path) -> None:
    made = import_network("sndlib", str(DATA / "polska-part.xml"), unit="Mbps")
    assert links(made) == [("Gdansk", "Lodz", "622Mbps")]
    assert demands(made) == [("Gdansk", "Lodz", 195 * 10**6)]
    imported(tmp_path, "sndlib", DATA / "polska-part.xml", "--unit", "Mbps")
    judge.judge(judge.edges_in_sndlib_xml(TREE), tmp_path)


def test_coordinates_of_a_drawing_are_no_places(tmp_path: Path) -> None:
    drawn = TREE.replace("geographical", "pixel").replace("54.20", "540")
    made = import_network("sndlib", str(write(tmp_path, "n.xml", drawn)), unit="none")
    assert [node.position for node in made.topology.nodes] == [None, None]
    assert told(made)["nodes placed in a drawing, which says nothing about lengths"] == 2
    native = NATIVE.replace("18.60 54.20", "283 248").replace("19.40 51.70", "284 200")
    assert fault_of(tmp_path, "sndlib", native) == [
        "13:3: node Gdansk: 248 is not a latitude; it is from -90 to 90 degrees, and 1 more nodes "
        "are off the globe; where coordinates are those of a drawing write '--coordinates drawing'"
    ]
    made = import_network("sndlib", str(write(tmp_path, "n.txt", native)), coordinates="drawing")
    assert all(link.length_mm == (10**7, 10**7) for link in made.topology.links)


@pytest.mark.parametrize("pairs", [True, False])
def test_links_are_directed_only_if_all_lead_back(pairs: bool, tmp_path: Path) -> None:
    more = "  Link_3 ( Warsaw Gdansk ) 622 0 0 0 ( )\n"
    if pairs:
        more += "  Link_4 ( Lodz Gdansk ) 40 0 0 0 ( )\n  Link_5 ( Warsaw Lodz ) 0 0 0 0 ( )\n"
    text = NATIVE.replace(")\nDEMANDS", f"{more})\nDEMANDS")
    made = import_network("sndlib", str(write(tmp_path, "n.txt", text)))
    assert len(made.topology.links) == 3
    assert made.wires == (3 if pairs else 4)
    assert made.edges == (6 if pairs else 4)
    assert not any(link.is_one_way for link in made.topology.links)


@pytest.mark.parametrize(
    "name", [one for one in judge.topohub_names() if one.startswith("sndlib/")]
)
def test_native_says_of_each_network_what_topohub_does(name: str, tmp_path: Path) -> None:
    """The same 26 networks, written in SNDlib's own format from what topohub has of them."""
    file = write(tmp_path, "native.txt", in_native(judge.topohub_graph(name)))
    off_globe = any(abs(x) > 180 or abs(y) > 90 for x, y in judge.places(name))
    where: Any = "drawing" if off_globe else "degrees"
    mine = import_network("sndlib", str(file), unit="Mbps", coordinates=where)
    other = import_network("topohub", name, unit="Mbps", coordinates=where)
    ends = [sorted(link.between) for link in mine.topology.links]
    assert sorted(ends) == sorted(sorted(link.between) for link in other.topology.links)
    places = {node.name: node.position for node in mine.topology.nodes}
    assert places == {node.name: node.position for node in other.topology.nodes}
    if other.profile is None:
        assert mine.profile is None
    else:
        assert sorted(demands(mine)) == sorted(demands(other))


def in_native(graph: dict[str, Any]) -> str:
    """Write a network of topohub's in SNDlib's native format, version 1.0."""
    name = {node["id"]: "".join(node["name"].split()) for node in graph["nodes"]}
    nodes = [f"  {name[one['id']]} ( {one['pos'][0]} {one['pos'][1]} )" for one in graph["nodes"]]
    wires = [
        f"  Link_{at} ( {name[one['source']]} {name[one['target']]} ) 0.00 0.00 0.00 0.00 ( )"
        for at, one in enumerate(graph["edges"])
    ]
    asked = [
        (name[int(source)], name[int(target)], amount)
        for source, row in (graph["graph"].get("demands") or {}).items()
        for target, amount in row.items()
    ]
    wanted = [
        f"  Demand_{at} ( {source} {target} ) 1 {amount} UNLIMITED"
        for at, (source, target, amount) in enumerate(asked)
    ]
    parts = (("NODES", nodes), ("LINKS", wires), ("DEMANDS", wanted))
    told = [f"{part} (\n" + "\n".join(lines) + "\n)\n" for part, lines in parts]
    return "?SNDlib native format; type: network; version: 1.0\n\n" + "\n".join(told)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("?SND", "SND", [f"1:1: no '{NATIVE.splitlines()[0]}' on top"]),
        ("LINKS (", "LINK (", [f"17:1: 'LINK' is no section; there are {SECTIONS}"]),
        ("LINKS (", "LINKS", ["18:3: 'Link_0', where '(' is due"]),
        ("40.00", "-40", ["19:26: '-40' is not a capacity; it is a number, zero or more"]),
        ("195.00", "many", ["23:32: 'many' is not a demand; it is a number, zero or more"]),
        ("18.60 54.20", "18.60", ["13:3: 1 coordinates; a node has two, x and y"]),
        ("18.60", "x", ["13:12: 'x' is not a coordinate; it is a number"]),
        (
            "Lodz (",
            "Gdansk (",
            [
                "14:3: node Gdansk: node 'Gdansk' again; it is there already on line 13",
                "19:3: link Link_1: no node 'Lodz'",
                "20:3: link Link_2: no node 'Lodz'",
                "24:3: demand Demand_1: no node 'Lodz'",
            ],
        ),
        ("Link_2 ) )\n)\n", "Link_2", ["27:42: the file ends here, in the middle of a section"]),
        ("MBITPERSEC", "\x00", [f"7:11: {NUL}"]),
    ],
)
def test_faults_of_native(old: str, new: str, says: list[str], tmp_path: Path) -> None:
    assert old in NATIVE
    assert fault_of(tmp_path, "sndlib", NATIVE.replace(old, new)) == says


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("networkStructure>", "structure>", ["2:1: no 'networkStructure' in it"]),
        ("<x>18.60</x>", "<x>east</x>", ["5:34: 'east' is not a number"]),
        ("155.0", "-155.0", ["11:34: '-155.0' is less than nothing; it is zero or more"]),
        (' id="Gdansk"', "", ["5:3: a node without 'id'", "9:3: link Link_0: no node 'Gdansk'"]),
        (
            "<source>Gdansk</source>",
            "",
            ["9:3: a link without 'source'", "16:2: a demand without 'source'"],
        ),
        ("<network ", "<!DOCTYPE network>\n<network ", [f"2:1: {DTD}"]),
    ],
)
def test_faults_of_xml(old: str, new: str, says: list[str], tmp_path: Path) -> None:
    assert old in TREE
    found = fault_of(tmp_path, "sndlib", TREE.replace(old, new), unit="none")
    assert [one for one in found if "''" not in one] == says


# REPETITA


def test_repetita_is_directed_and_has_its_demands_beside_it(tmp_path: Path) -> None:
    files = DATA / "abilene-part.graph", DATA / "abilene-part.demands"
    made = import_network("repetita", *map(str, files), unit="kbps")
    assert links(made) == [
        ("0_New_York", "1_Chicago", "9.95328Gbps"),
        ("0_New_York", "2_Washington_DC", "2.48832Gbps", "9.95328Gbps"),
        ("1_Chicago", "2_Washington_DC", "9.95328Gbps"),
    ]
    assert [link.direction for link in made.topology.links] == ["both", "both", "one-way"]
    assert demands(made) == [("0_New_York", "1_Chicago", 135_484_000)]
    assert told(made)["weights and delays of edges left out"] == 5
    assert told(made)["demands of no rate left out"] == 1
    chicago = made.topology.links[0].length_mm
    assert chicago is not None
    assert 1_140 < chicago.there / 1.8e6 < 1_150  # km; not what the column of delays says
    imported(tmp_path, "repetita", *files, "--unit", "kbps")
    assert judge.judge(judge.edges_in_repetita(GRAPH), tmp_path)["lost"] == 2
    alone = import_network("repetita", str(files[0]), unit="none")
    assert alone.profile is None
    assert told(alone)["edges of which no rate is known, taken as 10Gbps"] == 5


def test_repetita_without_places(tmp_path: Path) -> None:
    text = GRAPH.replace("-74.00597 40.71427", "0.0 0.0").replace("-87.65005 41.85003", "0 0")
    text = text.replace("-77.03637 38.89511", "0 -0.0")
    made = import_network("repetita", str(write(tmp_path, "z.graph", text)), unit="Mbps")
    assert [node.position for node in made.topology.nodes] == [None, None, None]
    assert told(made)["nodes without a place, since all are at 0 0"] == 3


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("NODES 3", "NODES 4", ["1:1: NODES: 4 rows announced, and 3 there"]),
        ("NODES 3", "NODES x", ["1:1: NODES: 'x' is no number of rows"]),
        ("EDGES 5\n", "", [" no line 'EDGES' and how many; a table begins like 'EDGES 11'"]),
        ("edge_0 0 1 1", "edge_0 0 1", [f"9:1: edges: 5 values; {ROW}"]),
        ("edge_0 0 1", "edge_0 0 7", ["9:1: edge edge_0: no node '7'"]),
        (
            "1 9953280 1913\nedge_1",
            "1 -1 1913\nedge_1",
            ["9:1: edge edge_0: '-1' is not a bandwidth; it is zero or more"],
        ),
        (
            "41.85003",
            "north",
            ["4:1: node 1_Chicago: '-87.65005 north' are not two numbers, x and y"],
        ),
        (
            "41.85003",
            "91",
            [f"4:1: node 1_Chicago: {NO_PLACE}"],
        ),
    ],
)
def test_faults_of_repetita(old: str, new: str, says: list[str], tmp_path: Path) -> None:
    assert old in GRAPH
    assert fault_of(tmp_path, "repetita", GRAPH.replace(old, new, 1), unit="kbps") == says


def test_faults_of_both_files_of_repetita_at_once(tmp_path: Path) -> None:
    graph = write(tmp_path, "a.graph", GRAPH.replace("edge_0 0 1", "edge_0 0 7"))
    matrix = write(tmp_path, "a.demands", MATRIX.replace("0 1 135484", "0 9 135484"))
    with pytest.raises(InputError) as raised:
        import_network("repetita", str(graph), str(matrix), unit="kbps")
    assert [str(one) for one in raised.value.problems] == [
        f"{matrix}:3:1: demand demand_0: no node '9'",
        f"{graph}:9:1: edge edge_0: no node '7'",
    ]


# GML


def gml_of(name: str) -> str:
    """The same graph in GML, as the Zoo has it: edges repeat, and the graph does not say so."""
    graph = networkx.read_graphml(ZOO / f"{name}.graphml")
    lines = ["graph [", "  directed 0"]
    for key, data in graph.nodes(data=True):
        lines += ["  node [", f"    id {key}"]
        lines += [f"    {name} {text_of(value)}" for name, value in data.items() if name != "id"]
        lines.append("  ]")
    for source, target, data in graph.edges(data=True):
        lines += ["  edge [", f"    source {source}", f"    target {target}"]
        lines += [f"    {name} {text_of(value)}" for name, value in data.items() if name != "id"]
        lines.append("  ]")
    return "\n".join([*lines, "]"])


def text_of(value: object) -> str:
    return f'"{html.escape(value)}"' if isinstance(value, str) else repr(value)


@pytest.mark.parametrize("name", ["Abilene", "Internetmci", "Nsfcnet", "Internet2"])
def test_gml_and_graphml_give_the_same_network(name: str, tmp_path: Path) -> None:
    text = gml_of(name)
    file = write(tmp_path, f"{name}.gml", text)
    if name == "Internetmci":
        with pytest.raises(networkx.NetworkXError, match="duplicated"):
            networkx.read_gml(file, label="id")
    made = import_network("gml", str(file), hyperedge="switch")
    other = import_network("graphml", str(ZOO / f"{name}.graphml"), hyperedge="switch")
    assert made.topology.nodes == other.topology.nodes
    assert made.topology.links == other.topology.links
    imported(tmp_path / "o", "gml", file, "--hyperedge", "drop")
    judge.judge(judge.edges_in_gml(text), tmp_path / "o")


def test_gml_with_comments_entities_and_lists(tmp_path: Path) -> None:
    text = (
        'Creator "me" # made by hand\ngraph [ directed 1\n'
        'node [ id 0 label "S&#227;o Paulo" graphics [ x 1 fill "#FF0000" ] ]\n'
        'node [ id 1 label "]" ] edge [ source 0 target 1 bandwidth "3Gbps" latency "5 ms" ] ]'
    )
    made = import_network("gml", str(write(tmp_path, "g.gml", text)))
    assert [node.name for node in made.topology.nodes] == ["São-Paulo", "node-1"]
    link = made.topology.links[0]
    assert (link.direction, link.rate_bps.there) == ("one-way", 3 * 10**9)
    assert link.delay_ps == (5 * 10**9, 5 * 10**9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["1:1: no 'graph [ ... ]' in it"]),
        ("graph [", ["1:1: the file ends before what begins here does"]),
        ("graph [\nnode", ["2:1: the file ends before what begins here does"]),
        ("graph [ ] ]", ["1:11: ']', where a key is due"]),
        ("graph [ node ] ]", ["1:14: ']' is no value of 'node'; texts stand in \"\""]),
        ("graph [ label x ]", ["1:15: 'x' is no value of 'label'; texts stand in \"\""]),
        ('graph [ label "x ]', ["1:15: '\"' is no value of 'label'; texts stand in \"\""]),
        ("a [ " * 40, ["1:127: nested more than 32 deep"]),
        (
            "graph [ node [ id 0 ]\nnode [ id 0 ] node [ label 1 ]\nedge [ source 0 ]\n"
            "edge [ source 0 target 5 LinkSpeed -1 ] ]",
            [
                "2:1: node 0: node '0' again; it is there already on line 1",
                "2:15: a node without 'id'",
                "3:1: an edge has 'source' and 'target'",
                "4:1: edge 0--5: no node '5'",
                "4:1: edge 0--5.LinkSpeed: '-1' is not a rate; it is more than zero, in bit/s",
            ],
        ),
    ],
)
def test_faults_of_gml(text: str, says: list[str], tmp_path: Path) -> None:
    found = fault_of(tmp_path, "gml", text)
    assert found == says
