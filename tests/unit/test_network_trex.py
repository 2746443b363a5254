"""Streams of TRex: each is a demand, listed, or a fault; no program is run."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from qnet.formats.networks.nouns import Imported
from qnet.interchange import import_network
from tests.unit.test_network_formats import told
from tests.unit.test_network_matrix import NET
from tests.unit.test_networks import fault_of, run, write

ENDS = {"tx": "a", "rx": "b"}


def frame(length: int, tag: str = "") -> str:
    """Return a frame of so many bytes without its check sequence, as a file has it."""
    head = bytes.fromhex("020000000002020000000001" + tag + "0800")
    return base64.b64encode(head.ljust(length, b"x")).decode()


def stream(name: str = "s", length: int = 96, tag: str = "", **words: Any) -> dict[str, Any]:
    """Return a stream as `to_json` of TRex's writes it, sent continuously."""
    return {
        "name": name,
        "action_count": 0,
        "core_id": -1,
        "enabled": True,
        "flags": 0,
        "flow_stats": {"enabled": False},
        "isg": 0.0,
        "mode": {"rate": {"type": "pps", "value": 1000.0}, "type": "continuous"},
        "packet": {"binary": frame(length, tag), "meta": ""},
        "self_start": True,
        "vm": {"instructions": []},
        **words,
    }


def rated(kind: str, value: float, mode: str = "continuous", **words: Any) -> dict[str, Any]:
    return {"mode": {"type": mode, "rate": {"type": kind, "value": value}, **words}}


STREAMS = json.dumps(
    [
        stream(tag="8100a064"),
        {"name": "t", "stream": stream(**rated("bps_L2", 8e6, "single_burst", total_pkts=9))},
        stream("u", **rated("percentage", 10, "multi_burst", pkts_per_burst=5, ibg=10, count=3)),
    ],
    indent=1,
)


@pytest.fixture
def net(tmp_path: Path) -> str:
    return str(write(tmp_path, "net.yaml", NET))


def taken(folder: Path, net: str, *streams: dict[str, Any]) -> Imported:
    file = write(folder, "s.yaml", yaml.safe_dump(list(streams)))
    return import_network("trex", str(file), topology=net, ports=ENDS)


@pytest.mark.parametrize(
    ("kind", "value", "rate_bps"),
    [
        ("pps", 1000, 1000 * 8 * 120),
        ("pps", 0.5, 480),
        ("bps_L1", 1e7, 10**7),
        ("bps_L2", 8e6, 9_600_000),  # frames of 100 bytes, of 120 with preamble and gap
        ("percentage", 12.5, 125 * 10**6),
    ],
)
def test_rates(kind: str, value: float, rate_bps: int, tmp_path: Path, net: str) -> None:
    made = taken(tmp_path, net, stream(**rated(kind, value)))
    assert made.profile is not None
    (demand,) = made.profile.demands
    assert (demand.source, demand.target, demand.rate_bps) == ("a", "b", rate_bps)
    assert (demand.sizes, demand.arrival) == (((100, 1),), "constant-rate")


@pytest.mark.parametrize("tag", ["8100a064", "88a8a064", "8100b064"])
def test_the_priority_is_that_of_the_tag(tag: str, tmp_path: Path, net: str) -> None:
    made = taken(tmp_path, net, stream(tag=tag), stream("t"))
    assert made.profile is not None
    classes = [made.profile.class_by_name[one.traffic_class] for one in made.profile.demands]
    assert [one.priority for one in classes] == [5, 0]


def test_bursts_have_a_mean_rate(tmp_path: Path, net: str) -> None:
    mode = rated("pps", 10**5, "multi_burst", pkts_per_burst=5, ibg=60.0, count=3)
    made = taken(tmp_path, net, stream(**mode))
    assert made.profile is not None
    (demand,) = made.profile.demands
    # 40 us from the first frame to the fifth, 60 us to the next: 5 frames of 960 bits in 100 us.
    assert (demand.burst_packets, demand.rate_bps) == (5, 48 * 10**6)
    assert told(made) == {
        "frames of a burst sent one right after the other": 1,
        "ends of streams left out; they go on for the whole run": 1,
    }


def test_what_cannot_be_said_is_listed(tmp_path: Path, net: str) -> None:
    steps = [{"type": "flow_var", "name": "x"}, {"type": "trim_pkt_size", "name": "x"}]
    made = taken(
        tmp_path,
        net,
        stream("one", isg=10.5, vm={"instructions": steps, "cache": 9}, next="two"),
        stream("two", self_start=False),
        stream("off", enabled=False),
        stream("small one", length=60 - 1),
        stream("idle", **rated("pps", 0)),
        stream("group", packet={"binary": base64.b64encode(b"\x01" * 96).decode()}),
    )
    assert made.profile is not None
    assert [one.name for one in made.profile.demands] == ["one", "small-one", "group"]
    assert {what: count for what, count in told(made).items() if "'" not in what} == {
        "pauses before streams left out; they begin with the run": 1,
        "what streams start when they end left out": 1,
        "programs that change fields of frames left out": 1,
        "frames whose size a program changes taken as of their full size": 1,
        "streams that another one starts left out: they are not sent at the same time": 1,
        "streams that are not enabled left out": 1,
        "frames of less than 64 bytes taken as of so many": 1,
        "streams of no rate left out": 1,
        "frames to a group of receivers sent to one": 1,
        "names of flows written as names can be, each once": 1,
    }


def test_all_faults_come_at_once_with_their_lines(tmp_path: Path, net: str) -> None:
    text = """\
- name: one
  packet: {binary: udp_64B.pcap}
  mode: {type: single, rate: {type: bps_L3, value: -1}, total_pkts: 3}
- name: two
  enabled: 7
  packet: {pcap: udp_64B.pcap}
  mode: {type: multi_burst, pkts_per_burst: 0, rate: {value: 1}}
- name: three
  packet: {binary: AAAA}
  mode: {type: continuous, rate: {type: percentage, value: 101}}
  isg: soon
- 12
- {packet: {}, mode: {}}
"""
    faults = fault_of(tmp_path, "trex", text, topology=net, ports={"tx": "a", "up": "b"})
    assert [one.partition("; did")[0] for one in faults] == [
        " '--map up=b': the ports are tx and rx",
        "2:20: [0].packet.binary: 'udp_64B.pcap' is not a frame in base64, as 'stl-sim -f FILE"
        " --yaml' writes it",
        "3:16: [0].mode.type: 'single' is none of continuous, single_burst, multi_burst",
        "3:37: [0].mode.rate.type: 'bps_L3' is none of pps, bps_L1, bps_L2, percentage",
        "3:52: [0].mode.rate.value: '-1' is not a number from 0 on",
        "5:12: [1].enabled: '7' is neither true nor false",
        "6:18: [1].packet.pcap: a capture; 'stl-sim -f FILE --yaml' writes the frame itself",
        "7:45: [1].mode.pkts_per_burst: '0' is not a whole number from 1 to 100,000",
        "7:54: [1].mode.rate: no 'type' of a rate",
        "9:20: [2].packet.binary: a frame of 3 bytes without its check sequence; qnet takes 14 to"
        " 15,996",
        "10:60: [2].mode.rate.value: '101' is not a number from 0 to 100",
        "11:8: [2].isg: 'soon' is not a number from 0 on",
        "12:3: [3]: '12', not an object",
        "13:12: [4].packet: no 'binary'",
        "13:22: [4].mode: no 'type' of a mode",
        "13:22: [4].mode.rate: no 'type' of a rate",
        "13:22: [4].mode.rate: no 'value' of a rate",
    ]


def test_a_program_is_not_run(tmp_path: Path, net: str) -> None:
    mark = tmp_path / "mark"
    program = write(tmp_path, "profile.py", f"open({str(mark)!r}, 'w')\n")
    words: list[str | Path] = [
        "--topology",
        net,
        "--map",
        "tx=a",
        "--map",
        "rx=b",
        "-o",
        tmp_path / "case",
    ]
    result = run("import", "trex", program, *words)
    assert result.exit_code == 2
    assert "a program, which is not run; write what it makes with 'stl-sim" in result.output
    assert not mark.exists()


def test_on_the_command_line(tmp_path: Path, net: str) -> None:
    file, out = write(tmp_path, "s.json", STREAMS), tmp_path / "case"
    words: list[str | Path] = ["import", "trex", file, "--topology", net, "-o", out]
    for ends in ((), ("--map", "tx=a"), ("--map", "tx=a", "--map", "rx=a")):
        assert run(*words, *ends).exit_code == 2
    assert run(*words, "--map", "tx=a", "--map", "rx=b").exit_code == 0
    assert run("validate", out / "traffic.yaml").exit_code == 0
