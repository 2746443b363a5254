"""Flows of the Open Traffic Generator model: each is a demand, listed, or a fault; and out."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

import qnet
from qnet.errors import ArgumentError
from qnet.files.read import load
from qnet.formats.networks.nouns import Imported
from qnet.interchange import export_network, import_network, network_files
from qnet.model.traffic import Demand
from tests.unit.test_network_formats import told
from tests.unit.test_network_matrix import NET
from tests.unit.test_networks import fault_of, run, write

DATA = Path(__file__).parents[1] / "data"
PORTS = [{"name": "p1", "location": "a"}, {"name": "b"}, {"name": "p3", "location": "New York"}]
ENDS = {"choice": "port", "port": {"tx_name": "p1", "rx_names": ["b"]}}
CONFIG = json.dumps(
    {
        "ports": PORTS,
        "layer1": [{"name": "l", "port_names": ["p1", "b"], "speed": "speed_1_gbps"}],
        "devices": [{"name": "d", "ethernets": [{"name": "e", "connection": {"port_name": "p1"}}]}],
        "flows": [
            {
                "name": "f 1",
                "tx_rx": ENDS,
                "packet": [{"ethernet": {}}, {"vlan": {"priority": {"value": 5}, "id": {}}}],
                "size": {"weight_pairs": {"custom": [{"size": 64, "weight": 0.5}, {"size": 99}]}},
                "rate": {"choice": "percentage", "percentage": 12.5},
                "metrics": {"enable": True, "latency": {"mode": "cut_through"}},
            },
            {
                "name": "f 2",
                "tx_rx": {"port": {"tx_name": "b", "rx_name": "p3"}},
                "size": {"increment": {"end": 1000, "step": 400}},
                "rate": {"kbps": "70000"},
                "duration": {"burst": {"packets": 3, "inter_burst_gap": {"microseconds": 10}}},
            },
            {"name": "f 3", "tx_rx": {"device": {"tx_names": ["e"], "rx_names": ["d"]}}},
        ],
    },
    indent=1,
)


@pytest.fixture
def net(tmp_path: Path) -> str:
    return str(write(tmp_path, "net.yaml", NET))


def flow(**words: Any) -> dict[str, Any]:
    return {"name": "f", "tx_rx": ENDS, **words}


def config(*flows: dict[str, Any], **parts: Any) -> str:
    return json.dumps({"ports": PORTS, "flows": flows, **parts})


def taken(folder: Path, net: str, text: str, **options: Any) -> Imported:
    """Import a file; what it leaves is read as any other."""
    made = import_network("otg", str(write(folder, "c.json", text)), topology=net, **options)
    assert made.edges == made.wires == 3
    texts = {name: yaml.safe_load(text) for name, text in network_files(made).items()}
    case = load(texts["traffic.yaml"], topology=texts["topology.yaml"])
    assert case.profile == made.profile
    return made


def only(folder: Path, net: str, **words: Any) -> tuple[Demand, dict[str, int]]:
    made = taken(folder, net, config(flow(**words)))
    assert made.profile is not None
    (demand,) = made.profile.demands
    return demand, told(made)


def test_flows_become_demands(tmp_path: Path, net: str) -> None:
    made = taken(tmp_path, net, CONFIG)
    assert made.profile is not None
    first, second = made.profile.demands
    assert (first.name, first.source, first.target) == ("f-1", "a", "b")
    assert (first.rate_bps, first.sizes, first.arrival) == (
        125_000_000,
        ((64, 1), (99, 2)),
        "constant-rate",
    )
    assert made.profile.class_by_name[first.traffic_class].priority == 5
    # 64, 464, 864 bytes: 484 of line time in the mean. Two frames at 70 Mb/s, one at 1 Gb/s.
    bits = 484 * 8
    burst_s = 2 * bits / 70e6 + (bits - 96) / 1e9 + 10e-6
    assert second.rate_bps == round(3 * bits / burst_s)
    assert (second.burst_packets, second.target) == (3, "New-York")
    assert told(made) == {
        "headers of frames left out, but for the priority of a VLAN tag": 1,
        "'id' of 'vlan' left out": 1,
        "sizes one after the other taken at random": 1,
        "rates taken as those on the wire, with gaps": 1,
        "names taken as they are in the topology": 1,
        "frames of a burst sent one right after the other": 1,
        "rates rounded to whole bits a second": 1,
        "flows from a node to itself left out": 1,
        "names of flows written as names can be, each once": 2,
    }


@pytest.mark.parametrize(
    ("rate", "rate_bps"),
    [
        ({}, 1000 * 84 * 8),
        ({"choice": "pps"}, 1000 * 84 * 8),
        ({"pps": 7}, 7 * 84 * 8),
        ({"bps": 672}, 672),
        ({"choice": "kbps", "kbps": 5, "mbps": 6}, 5000),
        ({"mbps": 6}, 6 * 10**6),
        ({"choice": "gbps"}, 10**9),
        ({"percentage": 0.1}, 2 * 10**6 // 2),
    ],
)
def test_rates(rate: dict[str, Any], rate_bps: int, tmp_path: Path, net: str) -> None:
    assert only(tmp_path, net, rate=rate)[0].rate_bps == rate_bps


@pytest.mark.parametrize(
    ("size", "sizes", "note"),
    [
        ({"fixed": 1518}, ((1518, 1),), ""),
        ({"fixed": 60}, ((64, 1),), "frames of less than 64 bytes taken as of so many"),
        ({"random": {"min": 64, "max": 65}}, ((64, 1), (65, 1)), ""),
        ({"weight_pairs": {}}, ((64, 7), (570, 4), (1518, 1)), ""),
        (
            {"weight_pairs": {"predefined": "standard_imix"}},
            ((64, 6067), (594, 2366), (1518, 1567)),
            "frames of less than 64 bytes taken as of so many",
        ),
        (
            {"weight_pairs": {"custom": [{"size": 70, "weight": 1e-9}, {"size": 80}]}},
            ((70, 1), (80, 10**6)),
            "weights of sizes rounded to a millionth",
        ),
    ],
)
def test_sizes(size: Any, sizes: Any, note: str, tmp_path: Path, net: str) -> None:
    demand, notes = only(tmp_path, net, size=size)
    assert demand.sizes == sizes
    assert {one for one in notes if "bytes" in one or "weights" in one} == (
        {note} if note else set()
    )


@pytest.mark.parametrize("kind", ["random", "increment"])
def test_a_range_of_many_sizes_keeps_its_mean(kind: str, tmp_path: Path, net: str) -> None:
    demand, notes = only(tmp_path, net, size={kind: {}})
    each = [size for size, _ in demand.sizes]
    assert (len(each), min(each), max(each), sum(each) / 64) == (64, 64, 1518, (64 + 1518) / 2)
    assert notes["ranges of sizes taken as 64 of them, with the same mean"] == 1


def test_several_receivers_share_a_flow_or_get_a_copy(tmp_path: Path, net: str) -> None:
    ends = {"port": {"tx_name": "p1", "rx_names": ["b", "p3"]}}
    group = [{"ethernet": {"dst": {"value": "01:00:5e:00:00:01"}}}]
    for packet, rate_bps, how in (([], 500, "an equal share"), (group, 1000, "a copy")):
        text = config(flow(tx_rx=ends, rate={"bps": 1000}, packet=packet))
        made = taken(tmp_path, net, text)
        assert made.profile is not None
        assert [(one.target, one.rate_bps) for one in made.profile.demands] == [
            ("b", rate_bps),
            ("New-York", rate_bps),
        ]
        assert told(made)[f"flows to several ports, of which each gets {how}"] == 1


def test_what_cannot_be_said_is_listed(tmp_path: Path, net: str) -> None:
    text = config(
        flow(duration={"fixed_packets": {"packets": 3, "gap": 20, "delay": {"bytes": 3}}}),
        {"name": "g", "tx_rx": {"port": {"tx_name": "p1"}}},
        {"name": "h", "tx_rx": {"port": {"tx_name": "l", "rx_names": ["b"]}}},
        lags=[{"name": "l", "ports": [{"port_name": "b"}]}],
        captures=[{"name": "c", "port_names": ["b"]}],
        options={"port_options": {}},
        layer1=[{"name": "l", "port_names": ["p1"], "speed": "speed_10_gbps", "mtu": 1500}],
        new_part=[1, 2, 3],
    )
    assert told(taken(tmp_path, net, text)) == {
        "'mtu' of layer1 left out": 1,
        "ends of flows left out; they go on for the whole run": 1,
        "least gaps between frames left out": 1,
        "'delay' of durations left out": 1,
        "ports of another speed than the links of their node": 1,
        "flows without a port that receives left out": 1,
        "flows of link aggregation groups left out; say them port by port": 1,
        "'captures' of the file left out": 1,
        "'options' of the file left out": 1,
        "'new_part' of the file left out": 3,
    }


def test_all_faults_come_at_once_with_their_lines(tmp_path: Path, net: str) -> None:
    text = """{
\t"ports": [{"name": "p1", "location": "host:1"}, {"name": "b"}, {"name": "b"}],
  "layer1": [{"name": "l", "port_names": ["p9"], "speed": "speed_3_gbps"}],
  "flows": [
    {"name": "f", "tx_rx": {"port": {"tx_name": "p1", "rx_names": ["b"]}},
     "rate": {"bps": 12}, "size": {"choice": "fixd"}, "duration": {"burst": {"packets": 0.5}}},
    {"name": "f", "tx_rx": {"port": {"tx_name": "b", "rx_names": ["bb"]}}, "rates": {"pps": 1},
     "packet": [{"vlan": {"priority": {"value": 8}}}, 7], "rate": {"pps": 1, "bps": 672}},
    {"tx_rx": {"device": {"tx_names": ["x"], "rx_names": [1]}}, "size": [],
     "metrics": {"enable": "yes"}}
  ]
}"""
    faults = fault_of(tmp_path, "otg", text, topology=net, ports={"q": "a", "b": "c"})
    assert [one.partition("; did")[0][:88] for one in faults] == [
        " '--map b=c': no such node",
        " '--map q=a': no such port in the file",
        "2:12: ports[0]: port 'p1' at 'host:1' is no node of the topology; write '--map p1=NODE'",
        "2:74: ports[2].name: port 'b' again; it is there already on line 2",
        "3:42: layer1[0].port_names: no port 'p9'",
        "3:59: layer1[0].speed: 'speed_3_gbps' is none of speed_10_fd_mbps, speed_10_hd_mbps, spe",
        "6:22: flows[0].rate.bps: '12' is not a whole number from 672 to 18,446,744,073,709,551,6",
        "6:46: flows[0].size.choice: 'fixd' is none of fixed, increment, random, weight_pairs",
        "6:89: flows[0].duration.burst.packets: '0.5' is not a whole number from 1 to 100,000",
        "7:14: flows[1].name: flow 'f' again; it is there already on line 5",
        "7:66: flows[1].tx_rx.port.rx_names: no port 'bb'",
        "7:85: flows[1].rates: no key of flows",
        "8:49: flows[1].packet[0].vlan.priority.value: '8' is not a whole number from 0 to 7",
        "8:55: flows[1].packet[1]: '7', not an object",
        "8:67: flows[1].rate: 'pps' and 'bps' both given; 'choice' says which one counts",
        "9:5: flows[2]: no 'name'",
        "9:39: flows[2].tx_rx.device.tx_names: no device 'x' of one port",
        "9:59: flows[2].tx_rx.device.rx_names[0]: '1', not a text",
        "9:73: flows[2].size: a list, not an object",
        "10:28: flows[2].metrics.enable: 'yes' is neither true nor false",
    ]


def test_what_is_no_config_is_refused(tmp_path: Path, net: str) -> None:
    assert fault_of(tmp_path, "otg", "[]", topology=net) == ["1:1: a list, not an object"]
    says = ["no flow of a rate between two nodes"]
    assert [one.strip() for one in fault_of(tmp_path, "otg", "{}", topology=net)] == says
    says = ["flows are read for a topology; write '--topology FILE', or a bundled name"]
    assert [one.strip() for one in fault_of(tmp_path, "otg", CONFIG)] == says
    with pytest.raises(ArgumentError, match="ports: graphml has no use for it"):
        import_network("graphml", "x", ports={"a": "b"})


def test_out_and_in_on_the_command_line(tmp_path: Path) -> None:
    out, again = tmp_path / "flows.json", tmp_path / "again"
    result = run("export", "otg", "dual-node", "-o", out)
    assert result.exit_code == 0, result.output
    result = run("import", "otg", out, "--topology", "dual-node", "-o", again)
    assert result.exit_code == 0, result.output
    assert run("validate", again / "traffic.yaml").exit_code == 0
    bad = write(tmp_path, "c.json", config(flow()).replace('"a"', '"x"').replace("p1", "p"))
    words = ("import", "otg", bad, "--topology", write(tmp_path, "net.yaml", NET), "-o", again)
    assert run(*words, "--map", "p=a").exit_code == 0
    assert run(*words).exit_code == 2
    assert run(*words, "--map", "p").exit_code == 2
    assert run(*words, "--map", "p=a", "--map", "p=b").exit_code == 2


def test_streams_go_out_as_flows_of_their_rate() -> None:
    case = qnet.load("qingyang")
    made = export_network("otg", case)
    flows = {one["name"]: one for one in json.loads(made.text)["flows"]}
    assert len(flows) == len(case.profile.every_tree) + len(case.profile.demands)
    for stream in case.profile.every_tree:
        one = flows[stream.name]
        assert one["size"] == {"choice": "fixed", "fixed": stream.frame_bytes}
        assert one["tx_rx"]["port"] == {"tx_name": stream.talker, "rx_names": [stream.listener]}
        if stream.max_packets == 1:
            exact = (stream.frame_bytes + 20) * 8 * 10**12 / stream.interval_ps
            assert abs(one["rate"]["bps"] - exact) <= 0.5
        else:
            assert one["duration"]["burst"]["packets"] == stream.max_packets
    left_out = {one.what: one.count for one in made.left_out}
    words = "streams written as flows, with nothing reserved for them"
    assert left_out[words] == len(case.profile.every_tree)


def test_a_config_that_snappi_wrote(tmp_path: Path) -> None:
    made = import_network("otg", str(DATA / "otg-snappi-1.62.json"), topology="qingyang")
    assert made.profile is not None
    found = [(one.name, one.source, one.target, one.rate_bps) for one in made.profile.demands]
    # Frames of tcp_imix: 400.3 bytes of line time in the mean, 12,345 a second within a burst.
    bits = Fraction(8 * (5867 * 110 + 200 * 112 + 2366 * 614 + 1567 * 1538), 10_000)
    burst_s = Fraction(99, 12_345) + (bits - 96) / (400 * 10**9) + Fraction(12_345, 10**10)
    assert found == [
        ("tcp-flow", "qy-c1", "xian", 42 * 10**9),
        ("udp", "xian", "shanghai", 5 * 10**9),
        ("mix", "xian", "qy-c1", round(100 * bits / burst_s)),
        ("bgp", "qy-c1", "xian", 10**12),
    ]
    notes = told(made)
    assert notes["flows among several devices left out; say them port by port"] == 1
    assert notes["headers of frames left out, but for the priority of a VLAN tag"] == 3
    assert len(notes) == 15
