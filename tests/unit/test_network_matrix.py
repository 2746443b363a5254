"""Traffic matrices in and out: every name, number and blank of them is a demand, or a fault."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import qnet
from qnet.errors import ArgumentError, InputError
from qnet.files.read import read_topology
from qnet.interchange import export_network, import_network
from tests.unit.test_network_formats import demands, told
from tests.unit.test_networks import fault_of, run, write

NET = """\
title: Three
nodes: [{name: a}, {name: b}, {name: New-York}]
links:
  - {between: [a, b], rate: 1Gbps, length: 1km, members: 2}
  - {between: [b, New-York], rate: 1Gbps, length: 1km}
"""
SQUARE = ',a,b,"New York"\na,7,1.5,0\nb,20,,3e1\nNew York,0,0,0\n'
WANTED = [("a", "b", 1_500_000), ("b", "a", 20 * 10**6), ("b", "New-York", 30 * 10**6)]
HEAD = "a matrix has a blank cell and then the names of two nodes or more in its head row"
NOT_ONE = "is not a demand; it is zero or more"


@pytest.fixture
def net(tmp_path: Path) -> str:
    return str(write(tmp_path, "net.yaml", NET))


def matrix(folder: Path, text: str, net: str, **options: Any) -> Any:
    file = write(folder, "m.csv", text)
    return import_network("matrix", str(file), topology=net, unit="Mbps", **options)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_square_matrix(mark: str, end: str, tmp_path: Path, net: str) -> None:
    made = matrix(tmp_path, SQUARE.replace(",", mark).replace("\n", end), net)
    assert demands(made) == WANTED
    assert told(made) == {
        "names taken as they are in the topology": 2,
        "demands from a node to itself left out": 3,
        "demands of no rate left out": 3,
    }
    assert made.topology == read_topology(net)
    assert (made.wires, made.edges) == (3, 3)


def test_rows_may_stand_in_any_order(tmp_path: Path, net: str) -> None:
    head, *rows = SQUARE.splitlines()
    turned = "\n".join([head, "", *reversed(rows)])
    assert sorted(demands(matrix(tmp_path, turned, net))) == sorted(WANTED)


def test_a_list_of_three_columns(tmp_path: Path, net: str) -> None:
    text = "Source, Target, Mbit/s\na, b, 1.5\nb,a,20\nb , New-York ,30\na,a,9\nNew-York,a,0\n"
    made = matrix(tmp_path, text, net)
    assert demands(made) == WANTED
    assert told(made) == {
        "demands from a node to itself left out": 1,
        "demands of no rate left out": 1,
    }


def test_a_file_of_yates(tmp_path: Path, net: str) -> None:
    """Names in a file of hosts, a line of numbers for each interval, row by row."""
    hosts = str(write(tmp_path, "net.hosts", "a\nb\nNew-York\n"))
    text = "0.0 500e+3 0 0 0 0 0 0 0\n0 1.5e6 0 2e7 0 3e7 0 0 0\n"
    file = str(write(tmp_path, "net.txt", text))
    made = import_network("matrix", file, hosts, topology=net, unit="bps", interval=2)
    assert demands(made) == WANTED
    assert told(made)["other intervals left out"] == 1
    for interval, says in (
        (None, "2 intervals; write '--interval 1' or another one up to 2"),
        (3, "no interval 3; there are 2"),
    ):
        with pytest.raises(InputError) as raised:
            import_network("matrix", file, hosts, topology=net, unit="bps", interval=interval)
        assert [str(one) for one in raised.value.problems] == [f"{file}: {says}"]


def test_the_files_are_a_case_that_runs(tmp_path: Path, net: str) -> None:
    file = write(tmp_path, "m.csv", SQUARE)
    out = tmp_path / "o"
    words: list[str | Path] = ["--topology", net, "--unit", "Mbps", "-o", out, "--json"]
    result = run("import", "matrix", file, *words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["demands"] == 3
    assert qnet.run(str(out / "traffic.yaml"), duration="1ms").outcome == "pass"
    refused = run("import", "matrix", file, "--topology", out / "topology.yaml", *words[2:])
    assert (refused.exit_code, "is an input of this command" in refused.output) == (2, True)


# Faults


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            ",a,B,b,a\na,1,2,3,4\nb,,-1,NaN,x\nc,1,1,1,1\nb,1,1,1,1\na,1\n",
            [
                "1:4: no node 'B' in the topology",
                "1:8: column a again; it is there already, 1:2",
                f"3:3: b to a: a blank {NOT_ONE}",
                f"3:4: b to ?: '-1' {NOT_ONE}",
                f"3:7: b to b: 'NaN' {NOT_ONE}",
                f"3:11: b to a: 'x' {NOT_ONE}",
                "4:1: no node 'c' in the topology",
                "5:1: row b again; it is there already on line 3",
                "6:1: 2 columns; the head row has 5",
                "6:1: row a again; it is there already on line 2",
            ],
        ),
        (
            ",a,b,New-York\na,1,1,1\nb,1,1,1\n",
            ["1:6: column New-York has no row of its name"],
        ),
        (
            ",a,b\na,1,1\nb,1,1\nNew-York,1,1\n",
            ["4:1: row New-York has no column of its name"],
        ),
        (
            "from,to,value\na,b\na,x,1\na,b,-3\na,b,inf\nb,a,\n,a,1",
            [
                "2:1: 2 columns; a row has three: from, to and how much",
                "3:3: no node 'x' in the topology",
                f"4:5: a to b: '-3' {NOT_ONE}",
                "5:1: a to b again; it is there already on line 4",
                f"5:5: a to b: 'inf' {NOT_ONE}",
                f"6:5: b to a: a blank {NOT_ONE}",
                "7:1: no name",
            ],
        ),
        ("", ["1:1: an empty file; a matrix has names in its head row"]),
        ("\n \n", ["1:1: an empty file; a matrix has names in its head row"]),
        (",a,b\na,0,0\nb,0,0\n", [" no demand of a rate between two nodes"]),
        (
            "from,to,value\na,b,1e12\n",
            ["2:5: a to b: a rate beyond 1000Tbps; qnet takes no more"],
        ),
        (",a,\x00", ["1:4: character U+0000 does not belong in a text file; remove it"]),
        (b",a,\xff", ["1:4: not a text file in UTF-8"]),
        (b"x" * (65 * 2**20), [" too large; at most 64 MiB"]),
        (
            "[" * 10_000,
            ["1:1: " + HEAD],
        ),
    ],
)
def test_faults_of_matrices(text: str | bytes, says: list[str], tmp_path: Path, net: str) -> None:
    assert fault_of(tmp_path, "matrix", text, topology=net, unit="Mbps") == says


def test_faults_of_yates(tmp_path: Path, net: str) -> None:
    hosts = str(write(tmp_path, "net.hosts", "a\n  c\na\n"))
    file = str(write(tmp_path, "net.txt", "0 -1 0 nan 0 0 0 0 x\n"))
    with pytest.raises(InputError) as raised:
        import_network("matrix", file, hosts, topology=net, unit="bps")
    assert [str(one) for one in raised.value.problems] == [
        f"{hosts}:2:3: no node 'c' in the topology",
        f"{hosts}:3:1: host a again; it is there already, 1:1",
        f"{file}:1:3: a to ?: '-1' {NOT_ONE}",
        f"{file}:1:8: ? to a: 'nan' {NOT_ONE}",
        f"{file}:1:20: a to a: 'x' {NOT_ONE}",
    ]
    write(tmp_path, "net.hosts", "a\nb\n")
    write(tmp_path, "net.txt", "0 1 0\n")
    with pytest.raises(InputError, match="3 numbers; 2 hosts have 4"):
        import_network("matrix", file, hosts, topology=net, unit="bps")


def test_what_has_to_be_said(tmp_path: Path, net: str) -> None:
    lines = fault_of(tmp_path, "matrix", SQUARE, topology=net)
    assert lines == [
        " the file has demands (3) without their unit; write '--unit Mbps' or another one of bps, "
        "kbps, Mbps, Gbps, Tbps, or '--unit none' to leave them out"
    ]
    assert fault_of(tmp_path, "matrix", SQUARE, unit="Mbps") == [
        " a matrix is read for a topology; write '--topology FILE', or a bundled name"
    ]
    assert fault_of(tmp_path, "matrix", SQUARE, unit="Mbps", topology=net, interval=1) == [
        " '--interval' goes with a file of hosts; leave it out"
    ]
    with pytest.raises(ArgumentError, match="0 is no interval; they are counted from 1 on"):
        matrix(tmp_path, SQUARE, net, interval=0)
    assert "--rate" not in run("import", "matrix", "--help").output


def test_a_file_of_something_else_ends_soon(tmp_path: Path, net: str) -> None:
    found = fault_of(tmp_path, "matrix", ("x," * 990 + "\n") * 9000, topology=net, unit="Mbps")
    assert len(found) == 1000
    says = ["1:1: 4,000,001 columns; a line of this file has 1,006 at most"]
    assert fault_of(tmp_path, "matrix", "," * 4_000_000, topology=net, unit="Mbps") == says
    zeros = ",a\n" + ("b" + ",0" * 900 + "\n") * 9000
    found = fault_of(tmp_path, "matrix", zeros, topology=net, unit="Mbps")
    assert found == ["1:1: " + HEAD]
    says = [" more than 2,000,000 lines; qnet takes no more"]
    assert fault_of(tmp_path, "matrix", "a\n" * 2_000_002, topology=net, unit="Mbps") == says


# Out


def test_out_and_in_again_are_the_same_demands(tmp_path: Path) -> None:
    case = qnet.load("qingyang")
    made = export_network("matrix", case, unit="Gbps")
    sums: Counter[tuple[str, str]] = Counter()
    for demand in case.profile.demands:
        sums[demand.source, demand.target] += demand.rate_bps
    table = list(csv.reader(made.text.splitlines()))
    names = table[0][1:]
    cells = {
        (row[0], name): round(float(cell) * 10**9)
        for row in table[1:]
        for name, cell in zip(names, row[1:], strict=True)
    }
    assert {ends: rate for ends, rate in cells.items() if rate} == dict(sums)
    file = write(tmp_path, "m.csv", made.text)
    again = import_network("matrix", str(file), topology="qingyang", unit="Gbps")
    assert {(a, b): rate for a, b, rate in demands(again)} == dict(sums)
    listed = {one.what: one.count for one in made.left_out}
    assert listed["demands added to another one of the same nodes"] == len(
        case.profile.demands
    ) - len(sums)
    assert listed["'streams' of the traffic left out"] == len(case.profile.streams)


@pytest.mark.parametrize(
    ("unit", "text"),
    [("bps", "1500001"), ("kbps", "1500.001"), ("Mbps", "1.500001"), ("Tbps", "0.000001500001")],
)
def test_rates_are_written_to_the_last_bit(unit: str, text: str, net: str) -> None:
    case = qnet.load(
        {
            "title": "t",
            "topology": "net",
            "demands": [{"name": "d", "from": "a", "to": "b", "rate": "1500001bps"}],
        },
        topology=net,
    )
    assert export_network("matrix", case, unit=unit).text == f",a,b\na,0,{text}\nb,0,0\n"


def test_wrong_words_for_an_export(tmp_path: Path, net: str) -> None:
    for words, says in (
        (["matrix", "qingyang"], "--unit: matrix needs it, such as 'Mbps'"),
        (["matrix", "qingyang", "--unit", "Mb"], "--unit: 'Mb' is none of bps, kbps"),
        (["matrix", net, "--unit", "Mbps"], "a topology, where a traffic file is due"),
        (["rfc8345", net, "--unit", "Mbps"], "No such option '--unit'"),
    ):
        result = run("export", *words)
        assert (result.exit_code, says in result.output) == (2, True), result.output
    with pytest.raises(ArgumentError, match="rfc8345 has no use for it"):
        export_network("rfc8345", net, unit="Mbps")
