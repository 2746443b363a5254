"""What a test says that it expects of a network, and what it is told when it does not come."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from qnet.emulate.frames.likeness import Likeness, NoFrame, show_frame
from qnet.emulate.frames.trips import Ended
from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed.cuts import NotThere
from qnet.emulate.testbed.expectations import Unexpected
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.tiers.probe import missing_tools
from qnet.files.read import read_topology
from qnet.model.emulation import Tier
from tests.emulate.imagined import Behaviour, Sends, imagine
from tests.emulate.test_testbed import LINE as LINE_FILE
from tests.emulate.test_trips import LINE, Learning

pytestmark = pytest.mark.xdist_group("mininet")
LACKING = missing_switch() or missing_controller()

A, B, D = (f"02:51:48:00:00:0{number}" for number in (1, 2, 4))


def packet(ttl: int = 64, port: int = 5000, to: str = D) -> Ether:
    return (
        Ether(dst=to, src=A)
        / IP(src="10.0.0.1", dst="10.0.0.4", ttl=ttl)
        / UDP(sport=5000, dport=port)
        / Raw(b"hello, and more")
    )


# One frame and another


def test_what_does_not_matter_takes_with_it_what_follows_from_it() -> None:
    sent, came = packet(), bytes(packet(ttl=61))
    assert Likeness(sent, ["IP.ttl"]).differences(came) == ()
    assert Likeness(bytes(sent), ["IP.ttl"]).differences(came) == ()
    assert Likeness(bytes(sent), [range(22, 23), range(24, 26)]).differences(came) == ()
    ttl, check = Likeness(sent).differences(came)
    assert ttl == "IP.ttl: expected 64, came 61"
    assert check.startswith("IP.chksum: expected 0x")
    longer = packet()
    longer[Raw].load = b"another one of another length"
    assert Likeness(sent, ["Raw.load"]).differences(bytes(longer)) == ()


def test_a_sum_that_is_wrong_in_itself_does_not_follow_from_anything() -> None:
    wrong = bytearray(bytes(packet(ttl=61)))
    wrong[24] ^= 1
    (words,) = Likeness(packet(), ["IP.ttl"]).differences(bytes(wrong))
    assert words.startswith("IP.chksum: expected")


@pytest.mark.parametrize(
    ("came", "words"),
    [
        (packet(port=53), "UDP.dport: expected 5000, came "),
        (Ether(dst=D, src=A) / Dot1Q(vlan=3) / packet().payload, "expected IP, came Dot1Q"),
        (Ether(dst=D, src=A) / IP(bytes(packet()[IP]))[IP].payload, "expected IP, came Raw"),
        (packet() / b"!", "Raw.load: expected b'hello, and more', came b'hello, and more!'"),
    ],
)
def test_what_differs_is_named(came: Ether, words: str) -> None:
    assert any(one.startswith(words) for one in Likeness(packet()).differences(bytes(came)))


def test_bytes_are_compared_by_themselves() -> None:
    sent = bytes(packet())
    assert Likeness(sent).differences(sent) == ()
    assert "udp_dst: expected 5000, came 80" in Likeness(sent).differences(bytes(packet(port=80)))
    assert Likeness(sent).differences(sent[:-1] + b"!") == (
        f"bytes from {len(sent) - 1} on: expected 65, came 21",
    )
    assert Likeness(sent[:20]).differences(sent[:20] + bytes(40)) == (), "padded as on a wire"


@pytest.mark.parametrize(
    ("frame", "ignore", "words"),
    [
        (packet(), ["IP.tll"], "no 'IP.tll'; did you mean 'IP.ttl'"),
        (packet(), "TCP.seq", "the expected frame has no 'TCP.seq'"),
        (IP(dst="10.0.0.4"), (), r"begins with Ether, not with IP: Ether\(...\)/IP"),
        ("text", (), "str is no frame"),
    ],
)
def test_what_is_no_frame_is_refused(frame: Ether, ignore: list[str], words: str) -> None:
    with pytest.raises(NoFrame, match=words):
        Likeness(frame, ignore)


def test_scapy_is_loaded_by_those_who_use_it() -> None:
    asked = (
        "import sys; from qnet.emulate.frames.likeness import Likeness; "
        "assert Likeness(bytes(60)).differences(bytes(59) + b'!'); "
        "assert 'scapy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", asked], check=True)


def test_a_frame_in_one_line() -> None:
    assert show_frame(bytes(ARP())).endswith("bytes")
    words = show_frame(bytes(packet()))
    assert words.startswith(f"{A} > {D}, type 0x0800, ip_dscp=0, ")
    assert words.endswith("ipv4_dst=10.0.0.4, udp_src=5000, udp_dst=5000, 57 bytes")


# Planted faults, in imagined switches


class Faulty(Learning):
    """A learning switch that does one thing wrong at c, or at the port of d."""

    def __init__(self, fault: str) -> None:
        super().__init__(LINE)
        self.fault = fault

    def __call__(self, node: str, port: int, data: bytes) -> Sends:
        for after_s, by, out, frame in super().__call__(node, port, data):
            if self.fault == "drops" and node == "c" and out == 3:
                continue
            changed = frame
            if self.fault == "rewrites" and (node, out) == ("d", 1):
                changed = frame[:36] + (81).to_bytes(2, "big") + frame[38:]
            yield after_s, by, out, changed
            if self.fault == "copies" and (node, out) == ("d", 1):
                yield after_s, by, out, changed


def imagined(behaviour: Behaviour) -> Testbed:
    return imagine(LINE, behaviour, patience_s=0.03)


def told(testbed: Testbed, **how: object) -> str:
    with pytest.raises(Unexpected) as caught:
        testbed.expect("d", packet(), **how)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_frame_that_ends_on_its_way_is_told_with_its_way() -> None:
    testbed = imagined(Faulty("drops"))
    trip = testbed.send("a", packet())
    assert [(one.path, one.port) for one in trip.ended] == []
    testbed.forget()
    testbed.send("d", Ether(dst=B, src=D, type=0x9000) / b"where d is")
    testbed.forget()
    trip = testbed.send("a", packet())
    assert [(one.path, one.port) for one in trip.ended] == [(("a", "b", "c"), 2)]
    assert (
        "nothing that is not expected already came to d\n"
        "the frame that a sent came to nobody\n"
        "    its way so far: a, b, c; it came into c by port 2, and nothing came out\n"
        "        a, in by port 1: "
    ) in told(testbed)
    with testbed.cut("b", "c"):
        assert testbed.send("a", packet()).ended == (Ended(("a", "b"), 2),)
        assert testbed.send("c", packet(), port=2).ended == (Ended(("c",), 2, down=True),)


def test_the_nearest_frame_is_told_with_what_differs() -> None:
    testbed = imagined(Faulty("rewrites"))
    testbed.send("a", packet())
    testbed.send("a", Ether(dst=D, src=A, type=0x9000) / b"another one")
    words = told(testbed)
    assert words.startswith("expected at d within 0.03 s, and did not come:\n    02:51:48")
    assert "the nearest that came, to d by a, b, c, d:" in words
    assert "UDP.dport: expected 5000, came 81" in words
    assert "it came out elsewhere: to b by a, b, to c by a, b, c" in words
    testbed.expect("d", packet(), ignore=["UDP.dport", "UDP.chksum"])


def test_a_copy_too_many_is_something_else() -> None:
    testbed = imagined(Faulty("copies"))
    testbed.send("d", Ether(dst=B, src=D, type=0x9000) / b"where d is")
    testbed.forget()
    testbed.send("a", packet())
    testbed.expect("d", packet())
    with pytest.raises(Unexpected, match=r"1 frames came that nobody.*:\n    to d by a, b, c, d: "):
        testbed.nothing_else()
    testbed.nothing_else()


def test_what_checks_look_at_by_themselves_is_expected() -> None:
    testbed = imagined(Learning(LINE))
    assert testbed.reaches("a", "d")
    testbed.nothing_else()
    testbed.send("a", packet())
    testbed.expect("d", packet())
    testbed.nothing_else()


def test_a_place_that_is_none_is_refused() -> None:
    testbed = imagined(Learning(LINE))
    with pytest.raises(NotThere, match="a has no port 9; it has 1, 2"):
        testbed.send("a", packet(), port=9)
    with pytest.raises(ValueError, match="has no unit"):
        testbed.expect("a", packet(), within="3")


# Real switches


@pytest.fixture(params=["lockstep", "mininet"])
def learning(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    tier: Tier = request.param
    lacking = LACKING or (missing_tools() if tier == "mininet" else None)
    if lacking:
        pytest.skip(lacking)
    with (
        Controller(["learning"]) as controller,
        Testbed(read_topology(LINE_FILE), controller.target, tier=tier) as testbed,
    ):
        yield testbed


def test_frames_are_expected_at_hosts_and_ports_of_real_switches(learning: Testbed) -> None:
    testbed = learning
    assert (testbed.mac("d"), testbed.dpid("d"), testbed.port("b", "c")) == (D, 4, 3)
    trip = testbed.send("a", packet())
    assert testbed.expect("d", packet()).path == trip.at("d")[0].path == ("a", "b", "c", "d")
    testbed.expect("b", packet(), port=testbed.port("b", "c"))
    with pytest.raises(Unexpected, match=r"2 frames .*\n    to [bc] by .*\n    to [bc] by "):
        testbed.nothing_else()
    answer = Ether(dst=A, src=D) / IP(src="10.0.0.4", dst="10.0.0.1") / UDP() / b"here I am"
    testbed.send("d", bytes(answer))
    testbed.expect("a", answer)
    testbed.nothing_else()
    inside = Ether(dst=D, src=B, type=0x9000) / b"from the wire"
    assert testbed.send("c", inside, port=testbed.port("c", "b")).at("d")[0].path == ("c", "d")
    with pytest.raises(Unexpected) as caught:
        testbed.expect("d", packet(ttl=1), within="10ms")
    words = str(caught.value)
    assert re.search(r"nearest that came, to d by c, d:\n .*\n    Ether.src: expected", words)
    testbed.expect("d", inside)
