"""Frames that are followed through imagined switches, and what a judge makes of them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from qnet.emulate.frames.trips import MAGIC
from qnet.emulate.openflow.nouns import ARP as ARP_TYPE
from qnet.emulate.rules.wiring import HOST_PORT
from qnet.emulate.testbed.cuts import NotThere
from qnet.emulate.testbed.reach import judge_reach
from qnet.emulate.testbed.testbed import Testbed
from qnet.model.topology import Topology
from tests.emulate.imagined import Behaviour, Sends, imagine

DISTANCE_S = 0.0005
"""How long an imagined switch has a frame."""


def network(links: Sequence[tuple[str, str]]) -> Topology:
    names = sorted({name for link in links for name in link})
    return Topology.model_validate(
        {
            "title": "A network",
            "nodes": [{"name": name} for name in names],
            "links": [
                {"between": [one, other], "rate": "1Gbps", "length": "1km"} for one, other in links
            ],
        }
    )


LINE = network([("a", "b"), ("b", "c"), ("c", "d")])
RING = network([("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")])


class Learning:
    """A learning switch in every node, made slow, forgetful or odd by what is set."""

    def __init__(self, topology: Topology) -> None:
        self.ports: defaultdict[str, list[int]] = defaultdict(lambda: [HOST_PORT])
        for port in topology.ports:
            self.ports[port.source].append(len(self.ports[port.source]) + 1)
        self.port_of: dict[tuple[str, bytes], int] = {}
        self.blocked: set[tuple[str, int]] = set()

    def __call__(self, node: str, port: int, data: bytes) -> Sends:
        if (node, port) in self.blocked:
            return
        self.port_of[node, data[6:12]] = port
        known = self.port_of.get((node, data[:6]))
        for out in [known] if known else self.ports[node]:
            if out != port and (node, out) not in self.blocked:
                yield DISTANCE_S, node, out, data


# Following


def walks(
    topology: Topology, testbed: Testbed, sends: dict[tuple[str, int], list[int]], start: str
) -> tuple[list[str], bool]:
    """Follow every copy with its whole history as text: who gets it, and is there a loop."""
    hosts, loop = [], False
    waiting = [[f"{start}<1"]]
    while waiting:
        steps = waiting.pop()
        node, port = steps[-1].split("<")
        for out in sends.get((node, int(port)), []):
            if out == HOST_PORT:
                hosts.append(node)
                continue
            wire = next(
                one
                for one in topology.ports
                if one.source == node and testbed.wiring.openflow_port[one.name] == out
            )
            far = testbed.wiring.openflow_port[testbed.wiring.reverse[wire.name].name]
            more = [*steps, f"{node}>{out}", f"{wire.target}<{far}"]
            if len(set(more)) < len(more):
                loop = True
            else:
                waiting.append(more)
    return sorted(hosts), loop


@settings(max_examples=60)
@given(st.data())
def test_every_copy_is_followed_to_its_end(data: st.DataObject) -> None:
    names = "abcde"[: data.draw(st.integers(2, 5))]
    every = [(one, other) for one in names for other in names if one < other]
    links = [*pairwise(names), *data.draw(st.lists(st.sampled_from(every), max_size=3))]
    topology = network(links)
    sends: dict[tuple[str, int], list[int]] = {}
    testbed = imagine(topology, lambda *_: [], patience_s=0.02)
    for node in names:
        ports = [HOST_PORT, *(out for at, out in testbed.wiring.port_at if at == node)]
        for port in ports:
            some = st.lists(st.sampled_from(ports), max_size=2, unique=True)
            sends[node, port] = data.draw(some)
    testbed.fabric.behaviour = lambda node, port, frame: [  # type: ignore[union-attr]
        (0.0, node, out, frame) for out in sends[node, port]
    ]
    trip = testbed.udp(names[0], names[1])
    hosts, loop = walks(topology, testbed, sends, names[0])
    if len(hosts) < 200:
        assert list(trip.hosts) == hosts
        assert bool(trip.looped) == loop


def test_a_frame_that_a_blocked_port_drops_is_no_loop() -> None:
    learning = Learning(RING)
    learning.blocked.add(("a", 3))
    testbed = imagine(RING, learning, patience_s=0.02)
    judgement = judge_reach(testbed, failover=False, settle_s=0)
    assert judgement.findings == ()
    learning.blocked.clear()
    learning.port_of.clear()
    assert any("a loop" in one for one in judge_reach(testbed, settle_s=0).findings)


def test_a_root_that_reflects_is_no_loop_but_two_that_do_are() -> None:
    """Frames of a go to c and come back to b; a and b reflecting each other never end."""

    def reflect(node: str, port: int, data: bytes) -> Sends:
        forth = {("a", 1): 2, ("b", 2): 3, ("c", 2): 2, ("b", 3): 1}
        yield DISTANCE_S, node, forth[node, port], data

    testbed = imagine(network([("a", "b"), ("b", "c")]), reflect, patience_s=0.05)
    trip = testbed.udp("a", "b")
    assert (trip.hosts, trip.looped) == (("b",), ())
    assert trip.deliveries[0].path == ("a", "b", "c", "b")

    def for_ever(node: str, port: int, data: bytes) -> Sends:
        yield DISTANCE_S, node, 2, data

    testbed = imagine(network([("a", "b")]), for_ever, patience_s=0.05)
    assert testbed.udp("a", "b").looped == ("a",)


def test_a_frame_that_comes_out_of_another_switch_is_followed() -> None:
    """As a controller does that sends what came to one switch out where the listener is."""

    def jump(node: str, port: int, data: bytes) -> Sends:
        if data[12:14] == ARP_TYPE.to_bytes(2, "big"):
            wanted = Ether(data)[ARP].pdst.rsplit(".", 1)[1]
            yield DISTANCE_S, "abcd"[int(wanted) - 1], HOST_PORT, data
        else:
            yield DISTANCE_S, "abcd"[data[5] - 1], HOST_PORT, data

    testbed = imagine(LINE, jump, patience_s=0.05)
    assert judge_reach(testbed, settle_s=0).findings == ()
    assert testbed.ping("a", "d").path == ("a", "d")
    with pytest.raises(NotThere, match="no wire between a and d"):
        testbed.failover("a", "d")


@pytest.mark.parametrize("with_number", [True, False])
def test_a_frame_that_is_written_anew_is_known_again(with_number: bool) -> None:
    """A router between every two nodes: other Ethernet addresses, TTL less, nothing behind IP."""

    def route(node: str, port: int, data: bytes) -> Sends:
        if data[12:14] == ARP_TYPE.to_bytes(2, "big"):
            return
        read = Ether(data)
        read.src, read[IP].ttl = f"02:00:00:00:00:0{ord(node) - 96}", read[IP].ttl - 1
        del read[IP].chksum
        whole = bytes(read)[: 14 + read[IP].len]
        assert MAGIC in data
        assert MAGIC not in whole
        back = {("d", 1): 2, ("c", 3): 2, ("b", 3): 2, ("a", 2): 1}
        out = {("a", 1): 2, ("b", 2): 3, ("c", 2): 3, ("d", 2): 1, **back}[node, port]
        yield DISTANCE_S, node, out, whole

    testbed = imagine(LINE, route, patience_s=0.05, arp=True)
    if with_number:
        assert testbed.reaches("a", "d")
        return
    frame = Ether(src="02:51:48:00:00:01", dst="02:51:48:00:00:04") / IP() / UDP() / b"hello"
    for behind, notes in ((b"", ()), (b"and more", True)):
        trip = testbed.send("a", bytes(frame) + behind)
        assert [one.path for one in trip.deliveries] == [("a", "b", "c", "d")]
        assert trip.deliveries[0].data == trip.deliveries[0].data[: len(bytes(frame))]
        if notes:
            assert trip.notes == ("a: came out without the bytes behind the IPv4 length",)
        else:
            assert trip.notes == ()


def test_a_frame_is_known_by_its_number_when_nothing_else_is_left() -> None:
    """As behind a load balancer that writes other addresses and ports, and a tag beside."""

    def balance(node: str, port: int, data: bytes) -> Sends:
        read = Ether(data)
        anew = IP(src="192.0.2.1", dst=read[IP].dst) / UDP(dport=80) / read[UDP].payload
        whole = bytes(Ether(src=read.src, dst=read.dst) / Dot1Q(vlan=7) / anew)
        yield DISTANCE_S, node, 2 if port == HOST_PORT else HOST_PORT, whole[:70]

    testbed = imagine(network([("a", "b")]), balance, patience_s=0.05, arp=True)
    assert [one.path for one in testbed.udp("a", "b").deliveries] == [("a", "b")]


def test_what_the_controller_sends_comes_to_hosts() -> None:
    """A gateway asks for b's address before it passes on what a sends; LLDP comes in between."""
    lldp = bytes.fromhex("0180c200000e 025150000001 88cc") + bytes(46)
    asked = bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, psrc="10.0.0.99", pdst="10.0.0.2"))
    told: list[bytes] = []

    def gateway(node: str, port: int, data: bytes) -> Sends:
        if port == HOST_PORT and data[12:14] == ARP_TYPE.to_bytes(2, "big"):
            told.append(data)
        elif port == HOST_PORT:
            yield DISTANCE_S, "b", HOST_PORT, lldp
            yield DISTANCE_S, "b", HOST_PORT, asked

    testbed = imagine(network([("a", "b")]), gateway, patience_s=0.05)
    trip = testbed.udp("a", "b")
    assert [(one.host, one.data, one.path) for one in trip.deliveries] == [("b", asked, ())]
    assert [Ether(one)[ARP].psrc for one in told] == ["10.0.0.2"], "the host has answered"
    assert [one.data for one in testbed.received("b")] == [lldp, asked]
    assert testbed.received("b") == ()


def test_a_real_hosts_frame_is_not_taken_for_the_controllers() -> None:
    testbed = imagine(network([("a", "b")]), lambda *_: [], patience_s=0.05)
    follower = testbed.fabric.follower  # type: ignore[union-attr]
    frame = bytes(Ether() / IP(dst="10.0.0.2") / UDP() / b"of a program")

    def meanwhile(node: str, port: int, data: bytes) -> Sends:
        yield DISTANCE_S, "b", HOST_PORT, frame

    testbed.fabric.behaviour = meanwhile  # type: ignore[union-attr]
    assert testbed.send("a", bytes(Ether() / (b"x" * 60))).hosts == ("b",)
    follower.hosts_own(frame)
    assert testbed.send("a", bytes(Ether() / (b"y" * 60))).hosts == ()
    assert len(testbed.received("b")) == 2


# Judging


def after(behaviour: Behaviour, asks: Callable[[str, int, bytes], float]) -> Behaviour:
    """Return a behaviour that takes longer, by what is asked; a negative time drops."""

    def slower(node: str, port: int, data: bytes) -> Iterator[tuple[float, str, int, bytes]]:
        more_s = asks(node, port, data)
        sends = list(behaviour(node, port, data))
        if more_s >= 0:
            yield from ((by_s + more_s, *rest) for by_s, *rest in sends)  # type: ignore[misc]

    return slower


def test_late_is_not_lost() -> None:
    at_b = after(Learning(LINE), lambda node, *_: 0.15 if node == "b" else 0.0)
    testbed = imagine(LINE, at_b, patience_s=0.1)
    found = testbed.ping("a", "c")
    assert (found.received, found.late, found.lost) == (0, 3, 0)
    assert 0.14 < found.slowest_s < 0.3
    assert not testbed.reaches("a", "c")
    assert testbed.reaches("c", "d")
    (words,) = judge_reach(testbed, most_pairs=1, settle_s=0).findings
    assert "a to b: 3 of 3 frames came after 0.1" in words
    assert words.endswith("later than the 0.1 s given (--patience)")
    patient = imagine(LINE, at_b, patience_s=0.4)
    assert judge_reach(patient, most_pairs=2, settle_s=0).findings == ()


def test_frames_that_wait_while_nobody_looks_are_not_late() -> None:
    testbed = imagine(LINE, after(Learning(LINE), lambda *_: 0.03), patience_s=0.1)
    testbed.wait(0.01)
    number = testbed._net.follow([("a", testbed._datagram("a", "d", 5))], 0.0)[0].number
    assert testbed._net.trip(number).hosts == ()
    time.sleep(0.4)
    testbed.wait(0.2)
    trip = testbed._net.trip(number)
    assert trip.hosts == ("b", "c", "d")
    assert max(one.slow_s for one in trip.deliveries) < 0.1


def test_a_controller_that_is_slow_to_begin_is_looked_at_again() -> None:
    begun = time.monotonic()
    late = after(Learning(LINE), lambda *_: 0.0 if time.monotonic() - begun > 2.5 else -1.0)
    judgement = judge_reach(imagine(LINE, late, patience_s=0.05))
    assert judgement.findings == ()
    assert judgement.lost == 0
    assert judgement.at_first == (
        "a cannot find b: its ARP request came to nobody and was not answered",
    )
    assert 2 < judgement.waited_s < 6


class FirstIsLost:
    """Lays a rule for each pair at the first frame, and loses that frame; ARP passes."""

    def __init__(self, topology: Topology) -> None:
        self.learning = Learning(topology)
        self.seen: set[bytes] = set()

    def __call__(self, node: str, port: int, data: bytes) -> Sends:
        first = data[:12] not in self.seen
        is_arp = data[12:14] == ARP_TYPE.to_bytes(2, "big")
        if port == HOST_PORT and not is_arp:
            self.seen.add(data[:12])
            if first:
                return ()
        return self.learning(node, port, data)


@pytest.mark.parametrize("topology", [LINE, network([("a", "b")])])
def test_first_frames_that_are_lost_are_not_hidden_by_looking_again(topology: Topology) -> None:
    testbed = imagine(topology, FirstIsLost(topology), patience_s=0.05)
    judgement = judge_reach(testbed, most_pairs=4, settle_s=3)
    assert judgement.lost == judgement.pairs
    assert judgement.findings[0] == "a to b: 1 of 3 frames lost, the first"


def test_a_controller_that_drops_arp_is_told_so_once_for_each_pair() -> None:
    without = after(Learning(LINE), lambda _, __, data: -1.0 if data[12:14] == b"\x08\x06" else 0.0)
    judgement = judge_reach(imagine(LINE, without, patience_s=0.03), settle_s=0)
    assert judgement.findings[0].startswith(
        "a cannot find b: its ARP request came to nobody and was not answered"
    )
    assert len(judgement.findings) == judgement.pairs == 12
    assert judgement.lost == 36
    known = imagine(LINE, without, patience_s=2.0, arp=True)
    assert judge_reach(known, settle_s=0).findings == ()


def test_where_the_question_or_the_reply_ends_is_told() -> None:
    def ends(reply: bool) -> Behaviour:
        def drops(node: str, _: int, data: bytes) -> float:
            about_arp = data[12:14] == ARP_TYPE.to_bytes(2, "big")
            at = "b" if reply else "c"
            return -1.0 if about_arp and node == at and (data[21] == 2) == reply else 0.0

        return after(Learning(LINE), drops)

    request = imagine(LINE, ends(False), patience_s=0.03).ping("a", "d")
    assert "its ARP request came to b, not to d, and was not answered" in request.not_found
    reply = imagine(LINE, ends(True), patience_s=0.03).ping("a", "d")
    assert "d answered its ARP request, and the reply came to nobody" in reply.not_found
    assert reply.lost == 3


@pytest.mark.parametrize(("patience_s", "cutting_s"), [(0.02, 0.0), (0.6, 0.0), (0.02, 0.2)])
def test_the_time_of_a_failover_is_that_in_which_nothing_came(
    patience_s: float, cutting_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ring whose frames turn 60 ms after the cut; what goes into the wire till then is lost.

    How long the testbed takes to cut it does not matter.
    """
    cut_at: list[float] = []

    def turns(node: str, port: int, data: bytes) -> Sends:
        down = testbed.fabric.down  # type: ignore[union-attr]
        if down and not cut_at:
            cut_at.append(time.monotonic())
        turned = bool(cut_at) and time.monotonic() - cut_at[0] > 0.06
        ways = {("a", 1): 3 if turned else 2, ("b", 2): 1, ("d", 3): 2, ("c", 3): 2, ("b", 3): 1}
        if (node, port) in ways:
            yield DISTANCE_S, node, ways[node, port], data

    testbed = imagine(RING, turns, patience_s=patience_s, arp=True)
    set_wire = testbed.fabric.set_wire

    def slowly(name: str, *, up: bool) -> None:
        time.sleep(cutting_s)
        set_wire(name, up=up)

    monkeypatch.setattr(testbed.fabric, "set_wire", slowly)
    outage = testbed.failover("a", "b")
    assert outage is not None
    assert outage.resolution_s == 0.005
    assert 0.05 < outage.seconds < 0.1
    assert 1 <= outage.lost <= 1 + outage.seconds / outage.resolution_s
    assert not testbed.fabric.down  # type: ignore[union-attr]


def test_without_a_way_round_the_limit_is_told() -> None:
    tree = Learning(RING)
    tree.blocked |= {("a", 3), ("d", 3)}
    testbed = imagine(RING, tree, patience_s=0.05)
    judgement = judge_reach(testbed, most_pairs=4, failover_s=0.3, settle_s=0)
    assert judgement.findings == (
        "d to a: nothing came for 0.3 s when d to c was cut, though there is a way round "
        "(--failover)",
    )


# Names


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda one: one.cut("a", "c"), "no wire between a and c; a has wires to b"),
        (lambda one: one.cut("nosuch", "c"), "no node 'nosuch'; there are a, b, c, d"),
        (lambda one: one.cut("a", "nosuch"), "no node 'nosuch'; there are a, b, c, d"),
        (lambda one: one.tables("nosuch"), "no switch 'nosuch'; there are a, b, c, d"),
        (lambda one: one.reaches("a", "a"), "a and a are one host; name two"),
        *(
            (ask, "no host 'nosuch'; there are a, b, c, d")
            for ask in (
                lambda one: one.ping("a", "nosuch"),
                lambda one: one.isolated("nosuch", "a"),
                lambda one: one.arp("a", "nosuch"),
                lambda one: one.udp("nosuch", "a"),
                lambda one: one.send("nosuch", b"x" * 60),
                lambda one: one.received("nosuch"),
                lambda one: one.failover_s("a", "nosuch"),
                lambda one: one.ip("nosuch"),
                lambda one: one.run("nosuch", "true"),
            )
        ),
    ],
)
def test_names_that_are_not_there_are_refused(ask: Callable[[Testbed], object], words: str) -> None:
    with pytest.raises(NotThere) as caught:
        ask(imagine(LINE, lambda *_: []))
    assert str(caught.value) == words


def test_everything_that_a_host_sends_is_tried() -> None:
    """Keep back what is known so far, one kind after the other: each time the next one leaks."""
    learning = Learning(LINE)
    testbed = imagine(LINE, learning, patience_s=0.03)
    leaks = testbed.isolated("a", "d").came
    assert not testbed.isolated("a", "d")
    assert len(leaks) >= 18
    testbed = imagine(LINE, lambda *_: [], patience_s=0.03)
    assert testbed.isolated("a", "d")
