"""Between switches and controller: bytes pass as they are, and what they say is told."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qnet.emulate.openflow.reading import Cutter, kind_of
from qnet.emulate.process.controller import Controller, missing_controller
from qnet.emulate.process.relay import Relay
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.switches.talk import Version
from qnet.emulate.testbed.channel import CLOSED, OPENED, ChannelLog
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.tiers.probe import missing_tools
from qnet.files.read import read_topology

REASON = missing_switch() or missing_controller()
pytestmark = pytest.mark.xdist_group("mininet")
needs_switch = pytest.mark.skipif(bool(REASON), reason=str(REASON))

LINE = str(Path(__file__).parents[1] / "golden" / "line" / "topology.yaml")
HELLO = bytes.fromhex("0400000800000001")
ECHO = bytes.fromhex("0402000800000002")


class Between:
    """A relay with a log between two plain sockets."""

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self.log = ChannelLog({"a": 1})
        self.listener = listener
        host, port = listener.getsockname()[:2]
        target = f"tcp:[{host}]:{port}" if ":" in host else f"tcp:{host}:{port}"
        self.relay = Relay({"a": folder / "a.sock"}, target, self.log.ears()[0])

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """Return the switch's socket and the controller's."""
        switch = socket.socket(socket.AF_UNIX)
        switch.connect(str(self.relay.paths["a"]))
        controller, _ = self.listener.accept()
        for one in (switch, controller):
            one.settimeout(20)
        return switch, controller

    def kinds(self) -> list[str]:
        return [one.kind for one in self.log.since(0)]

    def wait_for(self, kind: str) -> None:
        _wait(lambda: kind in self.kinds())


def _wait(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture(params=["127.0.0.1", "::1"])
def between(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Between]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listener:
        listener.settimeout(20)
        one = Between(tmp_path, listener)
        with one.relay:
            yield one
        assert not list(tmp_path.iterdir())


def _all(end: socket.socket) -> bytes:
    parts = b""
    with contextlib.suppress(ConnectionResetError):
        while data := end.recv(1000):
            parts += data
    return parts


def test_bytes_pass_as_they_are(between: Between) -> None:
    switch, controller = between.connect()
    words = HELLO + ECHO[:3]
    switch.sendall(words)
    assert controller.recv(100) == words
    garbage = b"\x00\xff" * 3 + os.urandom(1000)
    controller.sendall(garbage)
    got = b""
    while len(got) < len(garbage):
        got += switch.recv(5000)
    assert got == garbage
    switch.sendall(ECHO[3:])
    assert controller.recv(100) == ECHO[3:]
    between.wait_for("echo-request")
    assert between.kinds()[:2] == [OPENED, "hello"]
    assert "no OpenFlow" in between.kinds()
    switch.close()
    controller.close()


def test_who_ends_a_connection_first_is_known_and_the_other_hears_all(between: Between) -> None:
    for mine in (0, 1):
        ends = between.connect()
        near, far = ends[mine], ends[1 - mine]
        near.sendall(ECHO)
        near.shutdown(socket.SHUT_WR)  # says nothing more, and listens still
        assert _all(far) == ECHO
        far.sendall(HELLO)
        far.close()
        assert _all(near) == HELLO
        near.close()
    _wait(lambda: between.kinds().count(CLOSED) == 2)
    assert [one.by for one in between.log.since(0) if one.kind == CLOSED] == [
        "switch",
        "controller",
    ]
    _wait(lambda: not between.relay.open)


def test_one_that_is_killed_is_hung_up_on(between: Between) -> None:
    port = between.listener.getsockname()[1]
    host = between.listener.getsockname()[0]
    between.listener.close()
    code = (
        "import socket, sys, time\n"
        f"one = socket.create_server(({host!r}, {port}), family={'10' if ':' in host else '2'})\n"
        "print('ready', flush=True)\n"
        "other, _ = one.accept()\n"
        "other.recv(3)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    with socket.socket(socket.AF_UNIX) as switch:
        switch.settimeout(20)
        switch.connect(str(between.relay.paths["a"]))
        switch.sendall(HELLO)
        between.wait_for("hello")
        child.send_signal(signal.SIGKILL)
        assert _all(switch) == b""
    child.wait()
    child.stdout.close()
    between.wait_for(CLOSED)
    assert [one.by for one in between.log.since(0) if one.kind == CLOSED] == ["controller"]
    with socket.socket(socket.AF_UNIX) as switch:
        switch.settimeout(20)
        switch.connect(str(between.relay.paths["a"]))
        assert _all(switch) == b""
    assert between.relay.refusal == "connection refused"


def test_a_controller_that_is_slow_keeps_its_order(between: Between) -> None:
    switch, controller = between.connect()
    between.relay.delay_s = 0.3
    begun = time.monotonic()
    controller.sendall(b"one")
    time.sleep(0.05)
    between.relay.delay_s = 0.0
    controller.sendall(b"two")
    controller.close()
    assert _all(switch) == b"onetwo"
    assert time.monotonic() - begun >= 0.3
    switch.close()


def test_a_side_that_takes_nothing_holds_the_other_up(between: Between) -> None:
    switch, controller = between.connect()
    words = os.urandom(20_000_000)
    thread = threading.Thread(target=switch.sendall, args=(words,))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive(), "more than a few buffers are kept"
    got = bytearray()
    while len(got) < len(words):
        got += controller.recv(1 << 20)
    thread.join()
    assert got == words
    switch.close()
    controller.close()


def test_messages_are_cut_wherever_bytes_come_apart() -> None:
    messages = [HELLO, ECHO, bytes.fromhex("040a0010") + b"x" * 12, ECHO]
    whole = b"".join(messages)
    for size in range(1, len(whole)):
        cutter = Cutter()
        parts = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert [one for part in parts for one in cutter.cut(part)] == messages
    assert kind_of(HELLO) == "hello"
    assert kind_of(b"\x01\x0f\0\0") == "port-mod"
    assert kind_of(b"\x04\x0f\0\0") == "group-mod"
    assert Cutter().cut(b"\x04\x02\x00\x03....") == [b"\x04\x02\x00\x03...."], "too short to be"
    assert kind_of(b"\x09\x02\0\0") == "no OpenFlow"


def test_what_is_kept_is_bounded_and_counts_are_not() -> None:
    log = ChannelLog({"a": 1}, kept_bytes=1000)
    (ear,) = log.ears()
    ear.opened("a", 1, 0.5)
    for number in range(100):
        ear.came("a", 1, float(number + 1), True, ECHO)
    assert log.counts() == {"a": {"echo-request": 100, "opened": 1}}
    kept = log.since(0)
    assert len(kept) == 1000 // (len(ECHO) + 64)
    assert kept[-1].time_s == 100
    assert [one.time_s for one in log.since(99)] == [99, 100]


@needs_switch
@pytest.mark.parametrize("tier", ["lockstep", "mininet"])
def test_tshark_reads_what_a_learning_switch_was_asked(tier: str, tmp_path: Path) -> None:
    reason = missing_tools()
    if tier == "mininet" and reason is not None:
        pytest.skip(reason)
    begun = time.time_ns() / 1e9
    with (
        Controller(["learning"]) as controller,
        Testbed(read_topology(LINE), controller.target, tier=tier) as testbed,  # type: ignore[arg-type]
    ):
        assert testbed.reaches("a", "d")
        counts = testbed.channel.counts()
        path = tmp_path / "channel.pcapng"
        testbed.channel.write(path)
    assert set(counts) == {"a", "b", "c", "d"}
    for one in counts.values():
        assert one[OPENED] == 1
        assert one["hello"] == 2
        assert one["packet-in"] >= 2
        assert one["packet-out"] >= 2
        assert one["flow-mod"] >= 2
        assert "no OpenFlow" not in one
    fields = (
        "ip.src",
        "frame.time_epoch",
        "openflow_v4.type",
        "_ws.malformed",
        "tcp.checksum.status",
    )
    asked = [word for field in fields for word in ("-e", field)]
    options = ["-o", "tcp.check_checksum:TRUE", "-T", "fields", "-E", "occurrence=f", *asked]
    shown = subprocess.run(
        ["tshark", "-r", str(path), *options], capture_output=True, text=True, check=True
    )
    rows = [line.split("\t") for line in shown.stdout.splitlines()]
    told = [(row[0], kind) for row in rows for kind in row[2].split(",") if kind]
    times = [float(row[1]) for row in rows]
    assert begun <= times[0] <= times[-1] <= time.time_ns() / 1e9
    assert times == sorted(times)
    assert {row[3] for row in rows} == {""}
    assert {row[4] for row in rows} == {"1"}, "good checksums"
    for number, name in enumerate("abcd", 1):
        from_switch = [kind for source, kind in told if source == f"198.18.0.{number}"]
        assert from_switch.count("10") == counts[name]["packet-in"]
    from_controller = [kind for source, kind in told if source == "198.19.255.254"]
    assert from_controller.count("13") == sum(one["packet-out"] for one in counts.values())


HUB = """
from os_ken.base.app_manager import OSKenApp
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPPacketIn, EventOFPSwitchFeatures
from os_ken.ofproto import ofproto_{0} as of
from os_ken.ofproto import ofproto_{0}_parser as parser


class Hub(OSKenApp):
    OFP_VERSIONS = (of.OFP_VERSION,)

    @set_ev_cls(EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        switch = event.msg.datapath
        if of.OFP_VERSION > 1:
            ask = [parser.OFPActionOutput(of.OFPP_CONTROLLER, of.OFPCML_NO_BUFFER)]
            apply = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, ask)]
            switch.send_msg(parser.OFPFlowMod(switch, priority=0, instructions=apply))

    @set_ev_cls(EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        switch, message = event.msg.datapath, event.msg
        came = message.in_port if of.OFP_VERSION == 1 else message.match["in_port"]
        where = {{"in_port": came}}
        if of.OFP_VERSION == 6:
            where = {{"match": parser.OFPMatch(in_port=came)}}
        send = [parser.OFPActionOutput(of.OFPP_FLOOD)]
        how = {{"actions": send, "data": message.data, **where}}
        switch.send_msg(parser.OFPPacketOut(switch, buffer_id=0xFFFFFFFF, **how))
"""


@needs_switch
@pytest.mark.parametrize("version", ["1.0", "1.3", "1.5"])
def test_a_frame_is_found_in_what_the_controller_was_asked(
    version: Version, tmp_path: Path
) -> None:
    (tmp_path / "a_hub.py").write_text(HUB.format(f"v{version.replace('.', '_')}"))
    frame = struct.pack("!6s6sH", b"\x02" * 6, b"\x02\x51\x48\0\0\1", 0x88B5) + b"which"
    topology = read_topology(LINE)
    with (
        Controller(["a_hub"], modules=tmp_path) as controller,
        Testbed(topology, controller.target, versions=(version,)) as testbed,
    ):
        assert testbed.send("a", frame).hosts == ("b", "c", "d")
        said = [(one, one.packet) for one in testbed.channel.since(0) if one.switch == "a"]
    found = [(one.kind, of.in_port) for one, of in said if of is not None and frame in of.data]
    assert found == [("packet-in", 1), ("packet-out", 1)]
