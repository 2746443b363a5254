"""What switches have counted, and what they have otherwise than wanted, as tests read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.l2 import Ether

from qnet.emulate.openflow.counters import (
    CountedFrames,
    PortCounters,
    read_entry_counters,
    read_group_counters,
    read_meter_counters,
    read_port_counters,
)
from qnet.emulate.openflow.diff import read_tables, tables_apart
from qnet.emulate.openflow.nouns import (
    Bucket,
    Group,
    Meter,
    Rule,
    Switch,
    match,
    output,
    to_group,
    to_text,
)
from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed.expectations import Unexpected
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.tiers.probe import missing_tools
from qnet.files.read import read_topology
from qnet.model.emulation import Tier
from tests.emulate.test_testbed import LINE

pytestmark = pytest.mark.xdist_group("mininet")
LACKING = missing_switch() or missing_controller()


# As ovs-ofctl of Open vSwitch 3.1 writes them

FLOWS = """OFPST_FLOW reply (OF1.3) (xid=0x2):
 cookie=0x5, duration=2.475s, table=1, n_packets=7, n_bytes=270, idle_timeout=10, hard_timeout=30, \
send_flow_rem priority=9,dl_type=0x9000 actions=meter:3,group:7
 cookie=0x0, duration=4s, table=0, n_packets=3, n_bytes=256, priority=0 actions=CONTROLLER:65535
"""

PORTS = """OFPST_PORT reply (OF1.3) (xid=0x2): 3 ports
  port LOCAL: rx pkts=0, bytes=0, drop=?, errs=?, frame=?, over=?, crc=?
           tx pkts=1, bytes=72, drop=?, errs=?, coll=?
           duration=4.322s
  port  1: rx pkts=1, bytes=27, drop=?, errs=?, frame=?, over=?, crc=?
           tx pkts=2, bytes=72, drop=?, errs=?, coll=?
           duration=4.322s
  port  2: rx pkts=5, bytes=520, drop=3, errs=2, frame=0, over=0, crc=0
           tx pkts=1, bytes=72, drop=0, errs=1, coll=0
           duration=4.322s
"""

DESCRIPTION = """OFPST_PORT_DESC reply (OF1.3) (xid=0x2):
 1(p1): addr:aa:55:aa:55:00:10
     config:     0
     state:      LIVE
     speed: 0 Mbps now, 0 Mbps max
 2(p2): addr:aa:55:aa:55:00:0e
     config:     PORT_DOWN NO_FLOOD
     state:      LINK_DOWN
     speed: 0 Mbps now, 0 Mbps max
"""

GROUPS = """OFPST_GROUP reply (OF1.3) (xid=0x2):
 group_id=7,duration=2.580s,ref_count=1,packet_count=5,byte_count=27,bucket0:packet_count=4,\
byte_count=20,bucket1:packet_count=1,byte_count=7
"""

METERS = """OFPST_METER reply (OF1.3) (xid=0x2):
meter:3 flow_count:1 packet_in_count:9 byte_in_count:270 duration:2.667s bands:
0: packet_count:2 byte_count:60
"""


def test_counters_are_read_from_the_words_of_ovs_ofctl() -> None:
    first, last = read_entry_counters(FLOWS)
    assert (first.rule.table, first.rule.priority, first.rule.cookie) == (1, 9, 5)
    assert first[1:] == (7, 270, 2.475, 10, 30)
    assert last[1:] == (3, 256, 4.0, 0, 0)
    none = (None, None)
    assert read_port_counters(PORTS, DESCRIPTION) == (
        PortCounters(1, True, (), ("LIVE",), 1, 27, *none, 2, 72, *none),
        PortCounters(
            2, False, ("PORT_DOWN", "NO_FLOOD"), ("LINK_DOWN",), 5, 520, 3, 2, 1, 72, 0, 1
        ),
    )
    (group,) = read_group_counters(GROUPS)
    assert group == (7, 5, 27, (CountedFrames(4, 20), CountedFrames(1, 7)))
    assert read_meter_counters(METERS) == ((3, 9, 270, (CountedFrames(2, 60),)),)


# Differences

FOUND = Switch(
    "b",
    2,
    (
        Rule(0, 1, match(in_port=2), (output(3),), cookie=1),
        Rule(0, 5, match(in_port=3), (output(2),), cookie=1),
        Rule(1, 0, match(), (), cookie=1),
    ),
    (Group(7, "all", (Bucket((output(2),)),)),),
)


def test_differences_are_a_unified_diff() -> None:
    wanted, found = read_tables(
        "b",
        """
        table=0, priority=5,in_port=3 actions=output:1
        table=0, priority=1,in_port=2 actions=output:3
        table=0, priority=7,in_port=4 actions=drop
        group_id=7,type=all,bucket=actions=output:3
        """,
        FOUND,
    )
    assert str(tables_apart([wanted], {"b": found})).splitlines() == [
        "--- b, wanted",
        "+++ b, found",
        "@@ table 0, priority 7 @@",
        "-cookie=0x0,table=0,priority=7,in_port=4,actions=drop",
        "@@ table 0, priority 5 @@",
        "-cookie=0x0,table=0,priority=5,in_port=3,actions=output:1",
        "+cookie=0x0,table=0,priority=5,in_port=3,actions=output:2",
        "@@ table 1, priority 0 @@",
        "+cookie=0x0,table=1,priority=0,actions=drop",
        "@@ groups @@",
        "-group_id=7,type=all,bucket=actions=output:3",
        "+group_id=7,type=all,bucket=actions=output:2",
    ]
    with pytest.raises(ValueError, match="'priority=1' is no entry; write it like"):
        read_tables("b", "priority=1", FOUND)


# Real switches

POLICED = Switch(
    "b",
    2,
    (
        Rule(0, 9, match(in_port=2), (to_group(7),), meter=3),
        Rule(0, 9, match(in_port=3), (output(2),)),
    ),
    (Group(7, "all", (Bucket((output(3),)), Bucket((output(1),)))),),
    (Meter(3, 1, 12),),
)
"""The meter lets a frame of 1,400 bytes pass, and the next one eleven seconds later."""


def through(name: str, number: int, out: int) -> Switch:
    rules = (
        Rule(0, 9, match(in_port=1), (output(out),)),
        Rule(0, 9, match(in_port=2), (output(1),)),
    )
    return Switch(name, number, rules)


@pytest.mark.parametrize("tier", ["lockstep", "mininet"])
def test_real_switches_say_what_they_counted_and_have(tier: Tier, tmp_path: Path) -> None:
    lacking = LACKING or (missing_tools() if tier == "mininet" else None)
    if lacking:
        pytest.skip(lacking)
    rules = [through("a", 1, 2), POLICED, through("c", 3, 2), through("d", 4, 2)]
    (tmp_path / "rules.jsonl").write_text(to_text(rules))
    arguments = ["--rules-file", str(tmp_path / "rules.jsonl")]
    with (
        Controller(["reservation"], arguments) as controller,
        Testbed(read_topology(LINE), controller.target, tier=tier) as testbed,
    ):
        controller.wait_converged([1, 2, 3, 4], 30)
        testbed.assert_tables(rules)
        with pytest.raises(Unexpected, match=r"as wanted:\n--- b, wanted\n\+\+\+ b, found\n@@ tab"):
            testbed.assert_tables({"b": "priority=9,in_port=2 actions=output:3"})
        frame = Ether(dst=testbed.mac("c"), src=testbed.mac("a"), type=0x9000) / bytes(1400)
        for _ in range(5):
            testbed.send("a", frame)
        counters = testbed.counters("b")
        passed = counters.port(3).tx_packets
        assert passed is not None
        assert 0 < passed < 5, "the meter drops some"
        assert counters.packets(in_port=2) == counters.meter(3).packets == 5
        assert counters.meter(3).bands[0].packets == 5 - passed
        # Open vSwitch counts what comes to a group, though its meter drops some of it.
        assert [one.packets for one in counters.group(7).buckets] == [5, 5]
        assert counters.port(2).rx_packets == 5
        assert counters.port(1).tx_packets == passed
        assert counters.packets(table=0, priority=9, in_port=3) == 0
        with pytest.raises(
            KeyError, match=r"b has no entry with {'in_port': 8}; there are: cookie"
        ):
            counters.packets(in_port=8)
        with pytest.raises(KeyError, match="b has no port 9; there are: 1, 2, 3"):
            counters.port(9)
        with testbed.cut("b", "c"):
            assert [one.up for one in testbed.counters("b").ports] == [True, True, False]


def test_a_failed_comparison_shows_the_diff(pytester: pytest.Pytester) -> None:
    if LACKING:
        pytest.skip(LACKING)
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.qnet(topology={LINE!r}, app="learning")
        def test_b_sends_back(qnet_testbed):
            has = qnet_testbed.tables("b")
            wanted = has._replace(rules=(has.rules[0]._replace(actions=()),))
            assert qnet_testbed.differences([wanted]) == ()
        """
    )
    known = pytester._request.config.pluginmanager.has_plugin("qnet")
    found = pytester.runpytest("-q", *([] if known else ["-p", "qnet.pytest_plugin"]))
    found.stdout.fnmatch_lines(
        [
            "E*assert tables are not as wanted",
            "E*--- b, wanted",
            "E*+++ b, found",
            "E*@@ table 0, priority 0 @@",
            "E*-cookie=0x0,table=0,priority=0,actions=drop",
            "E*+cookie=0x0,table=0,priority=0,actions=CONTROLLER",
        ]
    )
