"""GNPy and MiniEdit: true lengths of fibre, labs of Mininet, and faults at their lines."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from qnet.errors import InputError
from qnet.interchange import import_network
from tests import network_judge as judge
from tests.unit.test_network_formats import links, told
from tests.unit.test_networks import fault_of, imported, write

NO_PLACE = "left out, for which qnet's files have no place"


def lengths_km(made: Any) -> list[tuple[Any, ...]]:
    return [
        (*link.between, *(mm / 10**6 for mm in dict.fromkeys(link.length_mm)), link.cable)
        for link in made.topology.links
    ]


# GNPy


def element(uid: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"uid": uid, "type": kind, **more}


def place(latitude: float, longitude: float) -> dict[str, Any]:
    return {"location": {"city": "x", "region": "", "latitude": latitude, "longitude": longitude}}


def fibre(uid: str, length: float, units: str = "km", kind: str = "Fiber") -> dict[str, Any]:
    params = {"length": length, "length_units": units, "loss_coef": 0.2}
    return element(uid, kind, type_variety="SSMF", params=params, metadata=place(1, 2))


def way(*uids: str) -> list[dict[str, str]]:
    return [{"from_node": near, "to_node": far} for near, far in pairwise(uids)]


ELEMENTS = [
    element("trx A", "Transceiver", metadata=place(35.7, 107.6)),
    element("roadm A", "Roadm", params={"loss": 17}, metadata=place(35.7, 107.6)),
    element("roadm B", "Roadm", metadata=place(34.3, 108.9)),
    element("C", "Transceiver"),
    element("booster", "Edfa", operational={"gain_target": 17}),
    element("east hut", "Fused", params={"loss": 1}),
    fibre("fiber (A -> hut)", 60.5),
    fibre("fiber (hut -> B)", 40_250, "m", "RamanFiber"),
    fibre("fiber (B -> A)", 100.75),
    fibre("fiber (B -> C)", 80),
]
CONNECTIONS = [
    *way("trx A", "roadm A", "booster", "fiber (A -> hut)", "east hut", "fiber (hut -> B)"),
    *way("fiber (hut -> B)", "roadm B", "fiber (B -> A)", "roadm A", "trx A"),
    *way("roadm B", "fiber (B -> C)", "C"),
]
NETWORK = {"network_name": "Loess", "elements": ELEMENTS, "connections": CONNECTIONS}


def gnpy_text(change: Callable[[Any], object] | None = None) -> str:
    data = copy.deepcopy(NETWORK)
    if change is not None:
        change(data)
    heads = (f'"{key}": [\n' for key in ("elements", "connections"))
    parts = [
        ",\n".join(json.dumps(one) for one in data[key]) for key in ("elements", "connections")
    ]
    body = ",\n".join(head + part + "]" for head, part in zip(heads, parts, strict=True))
    return f'{{"network_name": "Loess",\n{body}}}'


def test_gnpy_has_true_lengths_of_fibre(tmp_path: Path) -> None:
    file = write(tmp_path, "n.json", gnpy_text())
    made = import_network("gnpy", str(file))
    assert lengths_km(made) == [
        ("A", "B", 100.75, "fiber-A-hut"),
        ("B", "C", 80.0, "fiber-B-C"),
    ]
    assert [link.direction for link in made.topology.links] == ["both", "one-way"]
    assert made.topology.title == "Loess"
    place_of_a = made.topology.nodes[0].position
    assert place_of_a is not None
    assert place_of_a.latitude_microdegrees == 35_700_000
    assert told(made) == {
        f"'city' of locations {NO_PLACE}": 7,
        f"'operational' of elements {NO_PLACE}": 1,
        f"'type_variety' of elements {NO_PLACE}": 4,
        f"parameters of Fiber {NO_PLACE}": 3,
        f"parameters of Fused {NO_PLACE}": 1,
        f"parameters of RamanFiber {NO_PLACE}": 1,
        f"parameters of Roadm {NO_PLACE}": 1,
        "places of what stands between two nodes left out": 4,
        "transceivers taken as part of their ROADM": 1,
        "connections of these transceivers left out": 2,
        "elements 'Edfa' folded into links": 1,
        "elements 'Fiber' folded into links": 3,
        "elements 'Fused' folded into links": 1,
        "elements 'RamanFiber' folded into links": 1,
        "names taken without the 'roadm' or 'trx' before them": 2,
        "lines of several fibres, their cable named after the first one": 1,
        "connections within a line, part of its link": 6,
        "edges of which no rate is known, taken as 10Gbps": 3,
        "directed edges joined with one that leads back": 1,
        "directed edges without one that leads back, one-way": 1,
        "cables of both directions taken for one": 1,
        "cables whose names are written as names can be": 2,
        "nodes that take no time and have exact clocks, as qnet's defaults are": 3,
    }
    imported(tmp_path / "o", "gnpy", file)
    assert judge.judge(judge.edges_in_gnpy(gnpy_text()), tmp_path / "o")["lost"] == 9
    fibre_km = sum(mm / 10**6 for link in made.topology.links for mm in (link.length_mm or ()))
    one_way_km = 80.0  # carried once, and said twice by the model
    assert fibre_km - one_way_km == judge.fibre_km_in_gnpy(gnpy_text())


def test_lines_of_gnpy_that_lead_nowhere_are_listed(tmp_path: Path) -> None:
    def change(data: Any) -> None:
        data["elements"] += [fibre(f"f{i}", 1) for i in range(6)]
        data["connections"] += [
            *way("roadm A", "f0", "f1"),
            *way("f2", "f3", "roadm B"),
            *way("f4", "f5", "f4"),
            *way("roadm B", "fiber (B -> A)"),
            *way("roadm A", "roadm B"),
        ]

    text = gnpy_text(change)
    file = write(tmp_path, "n.json", text)
    made = import_network("gnpy", str(file))
    counts = told(made)
    assert counts["connections of lines that end nowhere left out"] == 2
    assert counts["connections of lines that begin nowhere left out"] == 4
    assert counts["connections that come again left out"] == 1
    assert counts["connections of nodes without a fibre between them"] == 1
    imported(tmp_path / "o", "gnpy", file)
    judge.judge(judge.edges_in_gnpy(text), tmp_path / "o")


def test_where_more_than_two_fibres_meet_is_a_node(tmp_path: Path) -> None:
    """As in files that have one 'Fused' for both directions."""

    def change(data: Any) -> None:
        data["connections"] += [*way("roadm B", "east hut", "roadm A")]

    text = gnpy_text(change)
    file = write(tmp_path, "n.json", text)
    made = import_network("gnpy", str(file))
    assert [node.name for node in made.topology.nodes] == ["A", "B", "C", "east-hut"]
    imported(tmp_path / "o", "gnpy", file)
    judge.judge(judge.edges_in_gnpy(text), tmp_path / "o")


def test_both_ways_of_parallel_cables_meet_by_length(tmp_path: Path) -> None:
    def change(data: Any) -> None:
        data["elements"] += [fibre("long there", 300), fibre("long back", 300)]
        data["connections"] = [
            *way("roadm B", "long back", "roadm A", "long there", "roadm B"),
            *data["connections"],
        ]

    made = import_network("gnpy", str(write(tmp_path, "n.json", gnpy_text(change))))
    assert lengths_km(made)[:2] == [
        ("A", "B", 100.75, "fiber-A-hut"),
        ("A", "B", 300.0, "long-there"),
    ]


def set_in(*path: Any) -> Callable[[Any], None]:
    """Set the value that comes last under keys and numbers."""
    *keys, last, value = path

    def change(data: Any) -> None:
        for key in keys:
            data = data[key]
        data[last] = value

    return change


def add_to(key: str, *items: Any) -> Callable[[Any], None]:
    return lambda data: data[key].extend(items)


TYPES = "Transceiver, Roadm, Fiber, RamanFiber, Fused, Edfa, Multiband_amplifier"
DRAWING = "where coordinates are those of a drawing write '--coordinates drawing'"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            set_in("elements", 6, "params", "length", -1),
            ["9:1: elements[6].params.length: '-1' is not a length; it is zero or more"],
        ),
        (
            set_in("elements", 6, "params", {"length": 1}),
            ["9:1: elements[6].params: no 'length_units'; there are km, m"],
        ),
        (
            set_in("elements", 6, "params", "length_units", "miles"),
            ["9:1: elements[6].params: 'miles' is no unit of length; there are km, m"],
        ),
        (
            set_in("elements", 6, "params", []),
            [
                "9:1: elements[6].params: a list, not an object",
                "9:1: elements[6].params: no 'length_units'; there are km, m",
            ],
        ),
        (
            set_in("elements", 1, "metadata", place(91, 0)),
            [f"4:1: elements[1]: 91 is not a latitude; it is from -90 to 90 degrees; {DRAWING}"],
        ),
        (
            set_in("elements", 1, "metadata", "location", {"latitude": "north", "longitude": 1}),
            [
                "4:1: elements[1].metadata.location: latitude and longitude: 'north' and '1' "
                "are not two numbers"
            ],
        ),
        (
            set_in("elements", 2, element("roadm A", "Roadm")),
            [
                "5:1: elements[2]: element 'roadm A' again; it is there already on line 4",
                "19:1: connections[5].to_node: no element 'roadm B'",
                "20:1: connections[6].from_node: no element 'roadm B'",
                "23:1: connections[9].from_node: no element 'roadm B'",
            ],
        ),
        (
            add_to(
                "elements", element("t", "Tunnel"), {"type": "Roadm"}, {"uid": 7}, 7, {"uid": "u"}
            ),
            [
                f"13:1: elements[10]: 'Tunnel' is no type of an element; there are {TYPES}",
                "14:1: elements[11]: no 'uid'",
                "15:1: elements[12]: '7' is no 'uid'; it is a text",
                "16:1: elements[13]: '7', not an object",
                "17:1: elements[14]: no 'type'",
            ],
        ),
        (
            add_to("connections", {"from_node": 1}, {"from_node": "C", "to_node": "D"}),
            [
                "25:1: connections[11]: '1' is not a uid",
                "25:1: connections[11]: no 'to_node'",
                "26:1: connections[12].to_node: no element 'D'",
            ],
        ),
    ],
)
def test_faults_of_gnpy(change: Callable[[Any], None], says: list[str], tmp_path: Path) -> None:
    assert fault_of(tmp_path, "gnpy", gnpy_text(change)) == says


# MiniEdit


def saved_by_miniedit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have MiniEdit itself save a lab, without its window."""
    pytest.importorskip("tkinter")
    monkeypatch.setattr("mininet.net.VERSION", "2.3.0")  # it reads no other form
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from mininet.examples import miniedit  # noqa: PLC0415 (needs tkinter)

    file = folder / "lab.mn"
    monkeypatch.setattr(miniedit.tkFileDialog, "asksaveasfilename", lambda **_: str(file))
    monkeypatch.setattr(miniedit, "open", opened_as_text, raising=False)
    tags = {"h1": "Host", "h2": "Host", "s1": "Switch", "r1": "LegacyRouter", "c0": "Controller"}
    widgets = {name: {"text": name} for name in tags}
    items = {name: number for number, name in enumerate(tags)}
    opts = {
        name: {"hostname": name, "nodeNum": number, "switchType": "default", "controllers": ["c0"]}
        for number, name in enumerate(tags)
    }
    opts["r1"]["switchType"] = "legacyRouter"
    wires = [
        ("h1", "s1", {"bw": 10, "delay": "5ms", "loss": 1, "max_queue_size": 20, "jitter": "1ms"}),
        ("h2", "r1", {"bw": 100}),
        ("s1", "r1", {"delay": "250us"}),
    ]
    editor = SimpleNamespace(
        widgetToItem={Widget(name): number for name, number in items.items()},
        canvas=SimpleNamespace(
            gettags=lambda item: [list(tags.values())[item]], coords=lambda item: (item * 91.0, 5.0)
        ),
        switchOpts=opts,
        hostOpts=opts,
        controllers={"c0": {"hostname": "c0", "remotePort": 6633}},
        links={
            i: {"type": "data", "src": widgets[a], "dest": widgets[b], "linkOpts": o}
            for i, (a, b, o) in enumerate(wires)
        },
        appPrefs={"ipBase": "10.0.0.0/8"},
    )
    miniedit.MiniEdit.saveTopology(editor)
    return file


def opened_as_text(name: str, _: str) -> IO[str]:
    """Open what MiniEdit opens for bytes, and then writes text to."""
    return Path(name).open("w", encoding="utf-8")


class Widget:
    """What MiniEdit asks of a widget."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, key: str) -> str:
        assert key == "text"
        return self.name


def test_what_miniedit_saves_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved_by_miniedit(tmp_path, monkeypatch)
    made = import_network("miniedit", str(file))
    assert [(node.name, node.kind, node.role, node.position) for node in made.topology.nodes] == [
        ("h1", "host", None, None),
        ("h2", "host", None, None),
        ("s1", "switch", None, None),
        ("r1", "switch", "router", None),
    ]
    assert links(made) == [
        ("h1", "s1", "10Mbps"),
        ("h2", "r1", "100Mbps"),
        ("s1", "r1", "10Gbps"),
    ]
    assert [link.delay_ps for link in made.topology.links] == [
        (5 * 10**9, 5 * 10**9),
        None,
        (25 * 10**7, 25 * 10**7),
    ]
    assert [link.loss_ppb.there for link in made.topology.links] == [10**7, 0, 0]
    assert told(made) == {
        "controllers left out": 1,
        f"settings of hosts {NO_PLACE}": 2,
        f"settings of links {NO_PLACE}": 2,
        f"settings of switches {NO_PLACE}": 2,
        "parts of the file left out": 1,
        "places left out, which are pixels of a drawing": 4,
        "edges of which no rate is known, taken as 10Gbps": 1,
        "edges between ends without a place, or of one place, taken as 10km long": 1,
        "nodes that take no time and have exact clocks, as qnet's defaults are": 4,
    }
    imported(tmp_path / "o", "miniedit", file)
    judge.judge(judge.edges_in_miniedit(file.read_text()), tmp_path / "o")


def test_a_file_of_miniedit_without_names(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "version": "1",
            "controllers": {"c0": {}},
            "hosts": [{"number": "3", "opts": {}}],
            "switches": [{"number": "1", "opts": {"switchType": None}}],
            "links": [{"src": "h3", "dest": "s1", "opts": {"bw": 0, "delay": "", "loss": ""}}],
        }
    )
    made = import_network("miniedit", str(write(tmp_path, "old.mn", text)))
    assert [node.name for node in made.topology.nodes] == ["h3", "s1"]
    assert told(made)["bandwidths of zero, taken as not known"] == 1


def test_faults_of_miniedit(tmp_path: Path) -> None:
    text = """{"hosts": [{"number": "1", "opts": {"hostname": 7}},
 {"opts": {}}, {"number": "1"}, {"number": 1, "opts": []}],
"switches": [7, {"opts": {"hostname": "s1"}}], "links": [
 {"src": "h1", "dest": "s1", "opts": {"bw": -1, "delay": "5", "loss": 101}},
 {"src": "h1", "dest": "s9", "opts": {"bw": "fast", "delay": 5, "loss": "nan"}},
 {"src": "h1", "opts": {"bw": 1e40, "delay": "-5ms"}}]}"""
    rate = "is not a bandwidth; it is more than zero, in Mbit/s"
    delay = "is not a delay with its unit; write it like '5ms'"
    loss = "is not a loss; it is from 0 to 100 per cent"
    assert fault_of(tmp_path, "miniedit", text) == [
        "1:12: hosts[0].opts.hostname: '7' is not a name",
        "2:2: hosts[1]: neither 'opts.hostname' nor 'number'",
        "2:33: hosts[3]: node 'h1' again; it is there already on line 2",
        "2:33: hosts[3].opts: a list, not an object",
        "3:14: switches[0]: '7', not an object",
        f"4:2: links[0].opts.bw: '-1' {rate}",
        f"4:2: links[0].opts.delay: '5' {delay}",
        f"4:2: links[0].opts.loss: '101' {loss}",
        "5:2: links[1]: no node 's9'",
        f"5:2: links[1].opts.bw: 'fast' {rate}",
        f"5:2: links[1].opts.delay: '5' {delay}",
        f"5:2: links[1].opts.loss: 'nan' {loss}",
        "6:2: links[2]: a link has 'src' and 'dest', the names of its ends",
        f"6:2: links[2].opts.bw: '1e+40' {rate}",
        f"6:2: links[2].opts.delay: '-5ms' {delay}",
    ]


# Both


@pytest.mark.parametrize("format", ["gnpy", "miniedit"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", ["1:2: not JSON: Expecting property name enclosed in double quotes"]),
        (
            '{"hosts": [\n"\x00"]}',
            ["2:2: character U+0000 does not belong in a text file; remove it"],
        ),
        (b"x" * (65 * 2**20), [" too large; at most 64 MiB"]),
        ("[" * 100_000, [" nested too deeply"]),
        ('{"links": [' * 100_000, [" nested too deeply"]),
        ('{"links": [], "links": []}', [" key 'links' twice in one object"]),
        ('{"links": NaN}', [" NaN is not a number"]),
    ],
)
def test_hostile_files(format: str, text: str | bytes, says: list[str], tmp_path: Path) -> None:
    assert fault_of(tmp_path, format, text) == says


@pytest.mark.parametrize(
    ("format", "lists"),
    [("gnpy", ["connections", "elements"]), ("miniedit", ["hosts", "links", "switches"])],
)
def test_files_of_something_else(format: str, lists: list[str], tmp_path: Path) -> None:
    assert fault_of(tmp_path, format, "{}") == [f"1:1: {name}: no such key" for name in lists]
    found = fault_of(tmp_path, format, "[]")
    assert len(found) == 1
    assert found[0].startswith("1:1: a list, not an object with '")
    wrong = json.dumps(dict.fromkeys(lists, 3))
    assert fault_of(tmp_path, format, wrong) == [f"1:1: {name}: '3', not a list" for name in lists]


def test_nesting_just_below_the_limit_is_no_error_of_qnets_own(tmp_path: Path) -> None:
    for depth in range(700, 1010, 2):
        text = '{"hosts": [' + "[" * depth + "]" * depth + '], "switches": [], "links": []}'
        with pytest.raises(InputError):
            import_network("miniedit", str(write(tmp_path, "deep.mn", text)))


@pytest.mark.parametrize("format", ["gnpy", "miniedit"])
@pytest.mark.parametrize("item", ["{}", "[]", "7"])
def test_files_of_very_many_values_end_soon(format: str, item: str, tmp_path: Path) -> None:
    heads = '"connections": [], "switches": [], "elements": [], '
    text = '{%s"links": [], "hosts": [%s]}'
    first = "elements" if format == "gnpy" else "hosts"
    few = text % (heads, ",".join([item] * 200_000))
    few = few.replace('"hosts"', '"elements"').replace('"elements": [], ', "")
    few = few if format == "gnpy" else few.replace('"elements"', '"hosts"')
    found = fault_of(tmp_path, format, few)
    assert len(found) == 1000
    assert f"{first}[999]" in "".join(found)
    many = text % (heads, ",".join([item] * 4_000_001))
    assert fault_of(tmp_path, format, many) == [" more than 4,000,000 values"]
