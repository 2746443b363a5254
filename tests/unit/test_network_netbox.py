"""NetBox's tables and nrx's graphs: cables over panels, rates, places, and faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx
import pytest

from qnet.errors import InputError
from qnet.interchange import import_network
from qnet.units import RATE, format_quantity
from tests import network_judge as judge
from tests.unit.test_network_formats import told
from tests.unit.test_networks import fault_of, imported, run, write

HEAD = (
    "side_a_device,side_a_type,side_a_name,side_b_device,side_b_type,side_b_name,status,"
    "length,length_unit,color\n"
)
CABLES = HEAD + "".join(
    f"{a},dcim.{kind},{x},{b},dcim.{other},{y},{status},{length},{unit},\n"
    for a, kind, x, b, other, y, status, length, unit in (
        ("sw1", "interface", "eth1/1", "pp1", "frontport", "Port 1", "connected", "3", "m"),
        ("pp1", "rearport", "Port 1", "pp2", "rearport", "Port 1", "", "2.5", "km"),
        ("pp1", "rearport", "Port 2", "pp2", "rearport", "Port 2", "", "2.5", "km"),
        ("pp1", "rearport", "Port 3", "pp2", "rearport", "Port 3", "", "2.5", "km"),
        ("pp2", "frontport", "Port 1", "sw2", "interface", "eth1/1", "planned", "10", "ft"),
        ("sw2", "interface", "eth3", "pp2", "frontport", "Port 2", "", "", ""),
        ("sw1", "interface", "eth2", "sw2", "interface", "eth2", "", "1", "mi"),
        ("sw2", "interface", "eth4", "srv", "interface", "nic 0", "", "", ""),
        ("sw1", "poweroutlet", "p", "srv", "powerport", "q", "", "", ""),
    )
)
DEVICES = (
    "name,role,device_type,site\nsw1,Core Switch,X,West Hall\nsw2,Core Switch,X,East Hall\n"
    'pp1,Patch Panel,P,West Hall\npp2,"Patch Panel",P,East Hall\n'
    "srv,Server,S,East Hall\n,Server,S,\n"
)
SITES = "name,slug,latitude,longitude\nWest Hall,west,35.7,107.6\nEast Hall,east,34.3,\n"
INTERFACES = (
    "device,name,type,speed\nsw1,eth1/1,100gbase-x-qsfp28,\nsw2,eth1/1,10gbase-x-sfpp,40000000\n"
    "sw1,eth2,1000base-t,\nsw2,eth2,2.5gbase-t,\nsrv,nic 0,virtual,\nsw2,lag1,lag,\n"
)


def files(folder: Path, **texts: str) -> list[str]:
    return [str(write(folder, f"{name}.csv", text)) for name, text in texts.items()]


def links(made: Any) -> list[tuple[Any, ...]]:
    return [
        (link.name, *link.between, format_quantity(RATE, link.rate_bps.there), link.length_mm.there)
        for link in made.topology.links
    ]


def test_tables_are_told_apart_by_their_headings(tmp_path: Path) -> None:
    sites = SITES.replace("34.3,\n", "34.3,108.9\n")
    given = files(tmp_path, i=INTERFACES, s=sites, d=DEVICES, c=CABLES)
    made = import_network("netbox", *given, metro_length="30m")
    assert links(made) == [
        ("sw1.eth1-1-sw2.eth1-1", "sw1", "sw2", "40Gbps", 3000 + 2_500_000 + 3048),
        ("sw1.eth2-sw2.eth2", "sw1", "sw2", "1Gbps", 1_609_344),
        ("sw2.eth4-srv.nic-0", "sw2", "srv", "10Gbps", 30_000),
    ]
    assert [(node.name, node.role, node.site) for node in made.topology.nodes] == [
        ("sw1", "Core-Switch", "West-Hall"),
        ("sw2", "Core-Switch", "East-Hall"),
        ("srv", "Server", "East-Hall"),
    ]
    place = made.topology.nodes[1].position
    assert place is not None
    assert (place.latitude_microdegrees, place.longitude_microdegrees) == (34_300_000, 108_900_000)
    no_place = "left out, for which qnet's files have no place"
    assert told(made) == {
        "rates of interfaces taken from their types": 3,
        f"columns of devices {no_place}": 6,
        "devices without a name left out": 1,
        "cables with a status, taken like all others": 1,
        "cables of other things than interfaces left out": 1,
        "devices that are panels, folded into links": 2,
        "cables over panels, front and rear ports of one name joined, part of their link": 2,
        "links between interfaces of two rates, taken at the lower one": 2,
        "cables that end at a port of a panel left out": 2,
        "cables of panels that lead to no interface left out": 1,
        "edges of which no rate is known, taken as 10Gbps": 1,
        "edges between ends without a place, or of one place, taken as 30m long": 1,
        "links whose names are written as names can be": 2,
        "nodes that take no time and have exact clocks, as qnet's defaults are": 3,
    }
    imported(tmp_path / "o", "netbox", *given)
    counted = judge.judge(judge.edges_in_netbox_cables(CABLES), tmp_path / "o")
    assert (counted["edges"], counted["wires"], counted["lost"]) == (9, 3, 6)


def test_cables_alone_are_a_network(tmp_path: Path) -> None:
    made = import_network("netbox", *files(tmp_path, c=CABLES))
    assert [node.name for node in made.topology.nodes] == ["sw1", "sw2", "srv"]
    assert told(made)["devices known by their cables only"] == 5


def graph_of_nrx() -> dict[str, Any]:
    """As nrx makes it of the same cables: it follows them over panels, and asks NetBox for more."""
    graph = networkx.Graph(name="halls")
    for key, name in enumerate(("sw1", "sw2", "srv")):
        device: dict[str, Any] = {
            "id": key + 7,
            "name": name,
            "site": "Hall",
            "role": "core",
            "latitude": None,
        }
        graph.add_node(key, side="a", type="device", device={**device, "longitude": None})
    for key, (owner, name) in enumerate(
        ((0, "eth1/1"), (1, "eth1/1"), (0, "eth2"), (1, "eth2"), (1, "eth4"), (2, "nic 0")), 10
    ):
        graph.add_node(key, side="a", type="interface", interface={"id": key, "name": name})
        graph.add_edge(owner, key)
    graph.add_edges_from([(10, 11), (12, 13), (14, 15)])
    data: dict[str, Any] = networkx.cytoscape_data(graph)
    return data


def test_a_graph_of_nrx_has_the_same_links_as_the_tables(tmp_path: Path) -> None:
    text = json.dumps(graph_of_nrx(), indent=4)
    file = write(tmp_path, "halls.cyjs", text)
    made = import_network("netbox", str(file))
    tables = import_network("netbox", *files(tmp_path, c=CABLES))
    assert [(one.name, one.between) for one in made.topology.links] == [
        (one.name, one.between) for one in tables.topology.links
    ]
    assert told(made)["edges between a device and its interface left out"] == 6
    imported(tmp_path / "o", "netbox", file)
    assert judge.judge(judge.edges_in_nrx(text), tmp_path / "o")["lost"] == 6
    sites = write(tmp_path, "s.csv", "name,slug,latitude,longitude\nHall,h,10,20\n")
    placed = import_network("netbox", str(sites), str(file))
    assert all(node.position == (10_000_000, 20_000_000) for node in placed.topology.nodes)


def faults(folder: Path, **texts: str) -> list[str]:
    with pytest.raises(InputError) as raised:
        import_network("netbox", *files(folder, **texts))
    return [str(one).removeprefix(f"{folder}/") for one in raised.value.problems]


ROW = "a,dcim.interface,x{0},b,dcim.interface,y{0},,{1},{2},\n"


def test_faults_of_tables(tmp_path: Path) -> None:
    cables = HEAD + "".join(
        ROW.format(index, *of)
        for index, of in enumerate(
            (("-1", "m"), ("5", ""), ("5", "feet"), ("x", "m"), ("1e30", "km"), ("0", "m"))
        )
    )
    cables += ROW.format(5, "", "") + "a,dcim.interface,,c,dcim.interface,z,,,,\na,b\n"
    assert faults(
        tmp_path,
        c=cables,
        d="name,site,latitude,longitude\na,s,91,0\nb,s,x,1\na,s,,\n",
        i="device,name,speed\na,x0,-1\na,x0,fast\n",
        s="name,slug,latitude,longitude,slug\ns,s,0,181,s\ns,s,,,\n",
    ) == [
        "c.csv:2:42: '-1' is not a length; it is zero or more",
        "c.csv:3:42: a length without its unit; 'length_unit' is one of km, m, cm, mi, ft, in",
        "c.csv:4:42: 'feet' is no unit of length; 'length_unit' is one of km, m, cm, mi, ft, in",
        "c.csv:5:42: 'x' is not a length; it is zero or more",
        "c.csv:6:42: '1e30' is longer than any cable",
        "c.csv:8:1: a x5 has a cable already, that of line 7",
        "c.csv:8:1: b y5 has a cable already, that of line 7",
        "c.csv:9:1: no device 'c'",
        "c.csv:9:18: no name on side a",
        "c.csv:10:1: 2 columns; the headings are 10",
        "d.csv:2:1: 91 is not a latitude; it is from -90 to 90 degrees",
        "d.csv:3:1: latitude 'x' and longitude '1' are no numbers",
        "d.csv:4:1: device 'a' again; it is there already",
        "i.csv:2:6: a x0: '-1' is not a speed; it is more than zero, in kbit/s",
        "i.csv:3:1: interface a x0 again",
        "i.csv:3:6: a x0: 'fast' is not a speed; it is more than zero, in kbit/s",
        "s.csv:1:30: heading 'slug' again",
        "s.csv:2:1: 181 is not a longitude; it is from -180 to 180 degrees",
        "s.csv:3:1: site 's' again",
    ]


def test_faults_of_graphs(tmp_path: Path) -> None:
    data = graph_of_nrx()
    nodes, edges = data["elements"]["nodes"], data["elements"]["edges"]
    nodes[0]["data"]["device"]["latitude"] = 91
    nodes[0]["data"]["device"]["longitude"] = 1
    nodes[1]["data"]["device"]["name"] = 7
    nodes[2]["data"]["type"] = "tunnel"
    nodes.append(nodes[3])
    nodes.append(3)
    edges[0]["data"].pop("source")
    edges.append({"data": {"source": 10, "target": 99}})
    heads = [json.dumps({"data": data["data"]})[:-1], ', "elements": {"nodes": [']
    text = "".join(heads) + ",\n".join(map(json.dumps, nodes)) + '], "edges": [\n'
    text += ",\n".join(map(json.dumps, edges)) + "]}}"
    found = fault_of(tmp_path, "netbox", text)
    assert [one.partition(": ")[2] for one in found if "no node" not in one] == [
        "elements.nodes[0]: 91 is not a latitude; it is from -90 to 90 degrees",
        "elements.nodes[1].data.device: no 'name'",
        "elements.nodes[2].data: no 'id', or no 'type' of device or interface",
        "elements.nodes[9]: node '10' again",
        "elements.nodes[10]: '3', not an object",
        "elements.edges[0].data: an edge has 'source' and 'target'",
        "elements.edges[6]: interface 'eth1/1' is of no device",
        "elements.edges[7]: interface 'eth2' is of no device",
        "elements.edges[8]: interface 'eth4' is of no device",
    ]


TABLES = "cables (side_a_device ...), devices (name, site), interfaces (device, name), sites (slug)"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", [f"1:1: headings of no table that is read; there are {TABLES}"]),
        ("a,b\n1,2\n", [f"1:1: headings of no table that is read; there are {TABLES}"]),
        (HEAD, [" no edge between two nodes; a topology has one link at least"]),
        (HEAD + "\x00", ["2:1: character U+0000 does not belong in a text file; remove it"]),
        (b"x" * (65 * 2**20), [" too large; at most 64 MiB"]),
        ("," * 6_000_000, ["1:1: 6,000,001 columns; a line of this file has 1,000 at most"]),
        ("{" * 100_000, ["1:2: not JSON: Expecting property name enclosed in double quotes"]),
        ('{"elements": ' * 100_000, [" nested too deeply"]),
        (
            "{}",
            ["1:1: elements.edges: no such key", "1:1: elements.nodes: no such key"],
        ),
        (
            '{"elements": {"nodes": 3, "edges": {}}}',
            [
                "1:1: elements.edges: a mapping, not a list",
                "1:1: elements.nodes: '3', not a list",
            ],
        ),
    ],
)
def test_hostile_files(text: str | bytes, says: list[str], tmp_path: Path) -> None:
    assert fault_of(tmp_path, "netbox", text) == says


def test_more_files_than_there_are_tables(tmp_path: Path) -> None:
    result = run("import", "netbox", *["x.csv"] * 5, "-o", tmp_path / "o")
    assert (result.exit_code, "5 given; netbox takes" in result.output) == (2, True)
