"""A ring that keeps seven promises, by rules that a shipped or a stranger's controller lays.

What each promise is, a function tells by the means that tests of users have.
"""

from __future__ import annotations

import json
import socket
import struct
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from scapy.contrib.mpls import MPLS
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether

from qnet.emulate.openflow import nouns
from qnet.emulate.openflow.nouns import (
    Action,
    Bucket,
    Group,
    Meter,
    Rule,
    Switch,
    match,
    output,
    pop_mpls,
    push_mpls,
    set_field,
    show_mac,
    to_group,
    to_text,
)
from qnet.emulate.process.controller import Controller
from qnet.emulate.testbed.findings import explanations
from qnet.emulate.testbed.testbed import Testbed
from qnet.files.read import read_topology
from qnet.model.emulation import Tier
from qnet.model.topology import Topology
from tests.emulate.spoiler import Fault, Spoiler, as_it_is

RING = """
title: Four switches in a ring
nodes: [{name: a}, {name: b}, {name: c}, {name: d}]
links:
  - {between: [a, b], rate: 1Gbps, length: 1km}
  - {between: [b, c], rate: 1Gbps, length: 1km}
  - {between: [c, d], rate: 1Gbps, length: 1km}
  - {between: [d, a], rate: 1Gbps, length: 1km}
"""

A, B, C, D = 1, 2, 3, 4
"""Datapath ids."""
NEXT, BACK = 3, 2
"""Ports of b, c; of a, port 2 leads to b and 3 to d, of d 2 to c and 3 to a."""

LABELLED, TWICE, METERED, TAGGED = (0x02_00_00_00_01_00 | one for one in (1, 2, 3, 4))
"""Addresses that a sends to, each with a promise of its own."""
LABEL, LABELS_TWICE, TAG = 100, (200, 202), 10
METERED_FRAMES = 8
METER = Meter(7, 100_000, 8_000)
WAYS, COPIES = 1, 2
"""Groups of a: the first way that is there, and both."""


def wanted(topology: Topology) -> tuple[Switch, ...]:
    """Return what the switches are to be told."""
    mac = {number: 0x0251_4800_0000 | number for number in (A, B, C, D)}

    def to_host(number: int) -> tuple[Action, ...]:
        return set_field("eth_dst", mac[number]), output(1)

    def labelled(port: int, label: int, *actions: Action) -> Rule:
        return Rule(0, 300, match(in_port=port, eth_type=nouns.MPLS, mpls_label=label), actions)

    def by_host(target: int, *actions: Action) -> Rule:
        return Rule(0, 100, match(eth_dst=mac[target]), actions)

    def sent(address: int, *actions: Action, meter: int | None = None) -> Rule:
        fields = match(in_port=1, eth_dst=address, eth_type=nouns.IPV4)
        return Rule(0, 300, fields, actions, meter=meter)

    def copy(port: int, label: int) -> Bucket:
        return Bucket((push_mpls(), set_field("mpls_label", label), output(port)))

    a = Switch(
        "a", A,
        (
            by_host(A, output(1)), by_host(B, output(2)), by_host(C, to_group(WAYS)),
            sent(LABELLED, push_mpls(), set_field("mpls_label", LABEL), output(2)),
            sent(TWICE, to_group(COPIES)),
            sent(METERED, output(2), meter=METER.number),
            Rule(0, 300, match(in_port=1, eth_dst=TAGGED, eth_type=nouns.IPV4),
                 goto=1, metadata=(TAG, 0xFF)),
            Rule(1, 300, match(metadata=(TAG, 0xFF)),
                 (Action("push_vlan", nouns.VLAN), set_field("vlan_vid", 0x1000 | TAG), output(2))),
        ),
        (
            Group(WAYS, "fast_failover", (Bucket((output(2),), 2), Bucket((output(3),), 3))),
            Group(COPIES, "all", (copy(2, LABELS_TWICE[0]), copy(3, LABELS_TWICE[1]))),
        ),
        (METER,),
    )  # fmt: skip
    b = Switch(
        "b", B,
        (
            by_host(A, output(BACK)), by_host(B, output(1)), by_host(C, output(NEXT)),
            labelled(2, LABEL, output(NEXT)), labelled(2, LABELS_TWICE[0], output(NEXT)),
            Rule(0, 300, match(in_port=2, eth_dst=METERED), (output(NEXT),)),
            Rule(0, 300, match(in_port=2, eth_dst=TAGGED), (output(NEXT),)),
        ),
    )  # fmt: skip
    ways = ((2, LABEL), (2, LABELS_TWICE[0]), (3, LABELS_TWICE[1]))
    ends = [labelled(port, label, pop_mpls(nouns.IPV4), *to_host(C)) for port, label in ways]
    c = Switch(
        "c", C,
        (
            by_host(A, output(2)), by_host(B, output(2)), by_host(C, output(1)), *ends,
            Rule(0, 300, match(in_port=2, eth_dst=METERED), to_host(C)),
            Rule(0, 300, match(in_port=2, eth_dst=TAGGED, vlan_vid=0x1000 | TAG),
                 (Action("pop_vlan"), *to_host(C))),
        ),
    )  # fmt: skip
    d = Switch(
        "d", D,
        (
            by_host(A, output(3)), by_host(B, output(3)), by_host(C, output(2)),
            by_host(D, output(1)),
            Rule(0, 200, match(in_port=1)),
            labelled(3, LABELS_TWICE[1], output(2)),
        ),
    )  # fmt: skip
    assert [one.name for one in topology.nodes] == ["a", "b", "c", "d"]
    return a, b, c, d


# Who lays the rules


class Hand(NamedTuple):
    """A controller under way, and how it is told what to lay."""

    controller: Controller
    lay: Callable[[Sequence[Switch]], None]
    known: Callable[[], list[int]]
    """Datapath ids of the switches that it can be told of."""
    asks: bool
    """Whether it learns what switches have when they connect, and only then."""


@contextmanager
def shipped(folder: Path, python: str) -> Iterator[Hand]:
    """Give the shipped reservation app."""
    path = folder / "rules.jsonl"

    def lay(switches: Sequence[Switch]) -> None:
        path.with_suffix(".new").write_text(to_text(switches))
        path.with_suffix(".new").rename(path)

    arguments = ["--rules-file", str(path), "--drain", "0.1"]
    lay(())
    with Controller(["reservation"], arguments) as controller:
        yield Hand(controller, lay, lambda: [A, B, C, D], asks=True)


@contextmanager
def stranger(folder: Path, python: str) -> Iterator[Hand]:
    """Give Ryu's ofctl_rest, which lays what it is told over HTTP."""
    port = free_port()
    listen = ["--wsapi-host", "127.0.0.1", "--wsapi-port", str(port)]
    told: dict[int, Switch] = {}

    def post(path: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/stats/{path}", json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200, (path, body)

    def known() -> list[int]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/stats/switches", timeout=10
            ) as answer:
                return sorted(json.load(answer))
        except OSError:  # it does not listen yet
            return []

    def lay(switches: Sequence[Switch]) -> None:
        for one in switches:
            before = told.get(one.datapath_id, Switch("", 0))
            for meter in one.meters:
                post("meterentry/add", rest_meter(one, meter))
            for group in one.groups:
                post("groupentry/add", rest_group(one, group))
            for rule in one.rules:
                post("flowentry/add", rest_flow(one, rule))
            for rule in set(before.rules) - set(one.rules):
                post("flowentry/delete_strict", rest_flow(one, rule))
            told[one.datapath_id] = one

    with Controller(["ryu.app.ofctl_rest"], listen, python=python, framework="ryu") as controller:
        yield Hand(controller, lay, known, asks=False)


HANDS = {"reservation": shipped, "ofctl_rest": stranger}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def rest_action(one: Action) -> dict[str, Any]:
    if one.kind == "output":
        return {"type": "OUTPUT", "port": one.value}
    if one.kind == "group":
        return {"type": "GROUP", "group_id": one.value}
    if one.kind == "set_field":
        value: Any = show_mac(one.value) if one.text.startswith("eth") else one.value
        return {"type": "SET_FIELD", "field": one.text, "value": value}
    name = one.kind.upper()
    return {"type": name} if one.kind == "pop_vlan" else {"type": name, "ethertype": one.value}


def rest_match(rule: Rule) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in rule.match:
        value: Any = show_mac(one.value) if one.name.startswith("eth_d") else one.value
        if one.name == "vlan_vid":
            value = one.value & 0xFFF
        found[one.name] = value if one.mask is None else f"{one.value}/{one.mask}"
    return found


def rest_flow(switch: Switch, rule: Rule) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    if rule.meter is not None:
        steps.append({"type": "METER", "meter_id": rule.meter})
    steps += [rest_action(one) for one in rule.actions]
    if rule.metadata is not None:
        value, mask = rule.metadata
        steps.append({"type": "WRITE_METADATA", "metadata": value, "metadata_mask": mask})
    if rule.goto is not None:
        steps.append({"type": "GOTO_TABLE", "table_id": rule.goto})
    return {
        "dpid": switch.datapath_id, "table_id": rule.table, "priority": rule.priority,
        "match": rest_match(rule), "actions": steps, "cookie": rule.cookie,
    }  # fmt: skip


def rest_group(switch: Switch, group: Group) -> dict[str, Any]:
    kind = {"all": "ALL", "fast_failover": "FF"}[group.kind]
    buckets = [
        {
            "actions": [rest_action(action) for action in one.actions],
            **({"watch_port": one.watch_port} if kind == "FF" else {}),
        }
        for one in group.buckets
    ]
    return {"dpid": switch.datapath_id, "type": kind, "group_id": group.number, "buckets": buckets}


def rest_meter(switch: Switch, meter: Meter) -> dict[str, Any]:
    band = {"type": "DROP", "rate": meter.rate_kbps, "burst_size": meter.burst_kbits}
    return {
        "dpid": switch.datapath_id, "flags": ["KBPS", "BURST"], "meter_id": meter.number,
        "bands": [band],
    }  # fmt: skip


# Promises, as tests of users would write them


class Bench(NamedTuple):
    """Switches under a controller that somebody may spoil."""

    testbed: Testbed
    spoiler: Spoiler
    hand: Hand


def frame(testbed: Testbed, target: int | str, mark: int = 0) -> Any:
    address = show_mac(target) if isinstance(target, int) else testbed.mac(target)
    return (
        Ether(src=testbed.mac("a"), dst=address)
        / IP(src=testbed.ip("a"), dst=testbed.ip("c"))
        / UDP(sport=5000, dport=6000)
        / struct.pack("!I60s", mark, b"")
    )


def reach(bench: Bench) -> None:
    testbed = bench.testbed
    assert testbed.reaches("a", "c"), why(testbed)
    assert testbed.reaches("c", "a"), why(testbed)


def alone(bench: Bench) -> None:
    found = bench.testbed.ping("a", "c")
    assert not found.others, f"{found.others}\n{why(bench.testbed)}"


def way_round(bench: Bench) -> None:
    with bench.testbed.cut("a", "b"):
        assert bench.testbed.reaches("a", "c"), why(bench.testbed)


def isolation(bench: Bench) -> None:
    found = bench.testbed.isolated("d", "a")
    assert found, f"{found}\n{why(bench.testbed)}"


def label(bench: Bench) -> None:
    testbed = bench.testbed
    testbed.forget()
    sent = frame(testbed, LABELLED)
    testbed.send("a", sent)
    on_wire = Ether(src=sent.src, dst=sent.dst) / MPLS(label=LABEL, ttl=64) / sent[IP]
    testbed.expect("b", on_wire, port=NEXT, ignore=["MPLS.cos"])
    sent.dst = testbed.mac("c")
    testbed.expect("c", sent)
    testbed.nothing_else()


def twice(bench: Bench) -> None:
    testbed = bench.testbed
    testbed.forget()
    sent = frame(testbed, TWICE)
    testbed.send("a", sent)
    sent.dst = testbed.mac("c")
    testbed.expect("c", sent)
    testbed.expect("c", sent)
    testbed.nothing_else()


def rate(bench: Bench) -> None:
    testbed = bench.testbed
    testbed.forget()
    for mark in range(METERED_FRAMES):
        testbed.send("a", frame(testbed, METERED, mark))
    for mark in range(METERED_FRAMES):
        sent = frame(testbed, METERED, mark)
        sent.dst = testbed.mac("c")
        testbed.expect("c", sent)
    assert testbed.counters("a").meter(METER.number).bands[0].packets == 0


def tag(bench: Bench) -> None:
    testbed = bench.testbed
    testbed.forget()
    sent = frame(testbed, TAGGED)
    testbed.send("a", sent)
    on_wire = Ether(src=sent.src, dst=sent.dst) / Dot1Q(vlan=TAG) / sent[IP]
    testbed.expect("b", on_wire, port=NEXT)
    sent.dst = testbed.mac("c")
    testbed.expect("c", sent)


def lasting(bench: Bench) -> None:
    bench.testbed.advance("5s")
    reach(bench)


def withdrawn(bench: Bench) -> None:
    """What is no longer wanted is gone."""
    switches = [
        one._replace(rules=tuple(rule for rule in one.rules if not is_to(rule, LABELLED)))
        for one in wanted(bench.testbed.topology)
    ]
    bench.hand.lay(switches)
    bench.testbed.wait_quiet("0.5s")
    bench.testbed.forget()
    bench.testbed.send("a", frame(bench.testbed, LABELLED))
    bench.testbed.nothing_else()


def is_to(rule: Rule, address: int) -> bool:
    return any(one.name == "eth_dst" and one.value == address for one in rule.match)


def tables(bench: Bench) -> None:
    bench.testbed.assert_tables(wanted(bench.testbed.topology))


def why(testbed: Testbed) -> str:
    """Return what the plugin shows of the last check that failed."""
    assert testbed.suspect is not None, "a check has failed"
    found = explanations(testbed, testbed.suspect)
    return "\n".join(line for one in found.values() for line in (one.where, *one.lines()))


PROMISES: Sequence[Callable[[Bench], None]] = (
    reach, alone, way_round, isolation, label, twice, rate, tag, tables,
)  # fmt: skip


@contextmanager
def bench(hand: str, tier: Tier, folder: Path, python: str) -> Iterator[Bench]:
    """Give the ring under a controller whose words may be spoiled, with nothing laid yet."""
    (folder / "ring.yaml").write_text(RING)
    topology = read_topology(str(folder / "ring.yaml"))
    with (
        HANDS[hand](folder, python) as laid_by,
        Spoiler(laid_by.controller.target) as spoiler,
        Testbed(topology, spoiler.target, tier=tier, arp=True, versions=["1.3"]) as testbed,
    ):
        testbed.controllers.apps[spoiler.target] = laid_by.controller
        yield Bench(testbed, spoiler, laid_by)


def lay(bench: Bench, fault: Fault) -> None:
    """Have everything laid anew, with a fault on the way."""
    testbed, spoiler = bench.testbed, bench.spoiler
    spoiler.fault = as_it_is
    spoiler.wipe()
    spoiler.fault = fault
    if bench.hand.asks:
        spoiler.hang_up()
    testbed.wait_until(
        lambda: sorted(spoiler.switches) == [A, B, C, D], "10s", "all switches again"
    )
    testbed.wait_until(
        lambda: bench.hand.known() == [A, B, C, D], "10s", "a controller that knows all"
    )
    bench.hand.lay(wanted(testbed.topology))
    testbed.wait_quiet("0.3s")


def tried(bench: Bench, promise: Callable[[Bench], None]) -> str:
    """Return what a test of a promise says that fails, or ''."""
    try:
        promise(bench)
    except AssertionError as error:
        return str(error) or "failed"
    return ""
