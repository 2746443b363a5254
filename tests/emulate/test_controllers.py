"""The shipped apps, and one written by others, at real switches: under os-ken and under Ryu."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from qnet.emulate.openflow.nouns import to_text
from qnet.emulate.openflow.table import differences
from qnet.emulate.openflow.text import show
from qnet.emulate.process import controller
from qnet.emulate.process.controller import Controller
from qnet.emulate.process.watch import TestbedBroken
from qnet.emulate.rules.wiring import HOST_PORT
from qnet.emulate.switches import ovs
from tests.emulate.networks import Case, golden, host_bytes
from tests.emulate.probe import Probe

SECONDS = 20.0
RYU = Path(__file__).parents[2] / ".venv-ryu" / "bin" / "python"

pytestmark = pytest.mark.skipif(ovs.missing_switch() is not None, reason=ovs.missing_switch() or "")


class Framework(NamedTuple):
    """What runs the apps."""

    name: Literal["os_ken", "ryu"]
    python: str

    def start(self, *apps: str, **options: object) -> Controller:
        words = [
            word
            for name, value in options.items()
            for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        return Controller(apps, words, python=self.python, framework=self.name)


@pytest.fixture(scope="module", params=["os_ken", "ryu"])
def framework(request: pytest.FixtureRequest) -> Framework:
    found = Framework(request.param, sys.executable if request.param == "os_ken" else str(RYU))
    reason = controller.missing_controller(found.name, found.python)
    if reason:
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[ovs.Ovs]:
    with ovs.Ovs() as one:
        yield one


@pytest.fixture(scope="module")
def two_paths() -> Case:
    return golden("two-paths")


class Network:
    """Real switches for every node, wired by `carry`."""

    def __init__(self, running: ovs.Ovs, case: Case, target: str) -> None:
        self.case = case
        self.probes = {
            one.name: Probe(
                running,
                one.datapath_id,
                [HOST_PORT, *(port for node, port in case.wiring.port_at if node == one.name)],
                (target,),
            )
            for one in case.switches
        }

    def close(self) -> None:
        for probe in self.probes.values():
            probe.close()

    def point(self, target: str) -> None:
        """Send every switch to another controller, which it has not tried in vain before."""
        for probe in self.probes.values():
            probe.running.vsctl("set-controller", probe.name, target)

    def wrong(self, case: Case) -> list[str]:
        return [
            str(one)
            for switch in case.switches
            for one in differences(switch, self.probes[switch.name].has(switch.name))
        ]

    def carry(self, interval: int) -> int:
        """Send a frame of every stream and return how many copies reach their listener."""
        delivered = 0
        for stream in self.case.streams:
            walking = [(stream.talker, HOST_PORT, host_bytes(self.case, stream, interval, 40))]
            while walking:
                node, port, data = walking.pop()
                for at, out in self.probes[node].send(port, data):
                    if at == HOST_PORT:
                        delivered += node == stream.listener
                    else:
                        wire = self.case.wiring.port_at[node, at]
                        walking.append((wire.target, self.case.wiring.in_port(wire), out))
        return delivered


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def test_an_app_that_handles_nothing_yet_listens(framework: Framework, tmp_path: Path) -> None:
    """Whoever begins with an empty app is told what his tests say of it, not that it hangs."""
    (tmp_path / "beginning.py").write_text(
        "from compat import App\n\nclass Empty(App):\n    pass\n"
    )
    with Controller(
        ["beginning"], python=framework.python, framework=framework.name, modules=tmp_path
    ) as app:
        assert app.state() == ""


def test_switches_converge_and_stay(
    framework: Framework, running: ovs.Ovs, two_paths: Case, tmp_path: Path
) -> None:
    """First all is added, then a new controller changes nothing, then only what was wrong."""
    rules = tmp_path / "rules.json"
    rules.write_text(to_text(two_paths.switches))
    numbers = [one.datapath_id for one in two_paths.switches]
    total = sum(len(one.rules) for one in two_paths.switches)
    with framework.start("reservation", rules_file=rules) as app:
        network = Network(running, two_paths, app.target)
        try:
            events = app.wait_converged(numbers, SECONDS)
            assert sum(one["added"] for one in events) == total
            assert network.wrong(two_paths) == []
            assert network.carry(0) == 3
        except BaseException:
            network.close()
            raise
    try:
        assert network.carry(3) == 3  # there is no controller now
        north = network.probes["north"]
        stranger = "cookie=0x77,table=0,priority=7,in_port=9,actions=drop"
        running.ofctl("add-flow", north.name, stranger)
        row = next(one for one in two_paths.switch("north").rules if one.table == 1)
        spoilt = show(row._replace(actions=())).partition(",")[2]
        running.ofctl("mod-flows", north.name, "--strict", spoilt)
        running.ofctl("del-flows", "s1")  # the talker's switch starts anew
        running.ofctl("del-groups", "s1")
        obsolete = show(row._replace(priority=8))
        running.ofctl("add-flow", north.name, obsolete)
        assert len(network.wrong(two_paths)) > 2
        with framework.start("reservation", rules_file=rules, drain=0) as app:
            network.point(app.target)
            events = app.wait_converged(numbers, SECONDS)
            found = {one["switch"]: (one["added"], one["changed"], one["kept"]) for one in events}
            count = {one.name: len(one.rules) for one in two_paths.switches}
            assert found == {
                "talker": (count["talker"], 0, 0),
                "north": (0, 1, count["north"] - 1),
                **{name: (0, 0, count[name]) for name in ("south-1", "south-2", "listener")},
            }
            app.wait(lambda one: one["event"] == "cleared", SECONDS)
            running.fence()  # the switch answers a barrier before its flow cache has followed
            assert network.carry(1) == 3
            (left,) = network.wrong(two_paths)
            assert "cookie=0x77" in left
    finally:
        network.close()


def test_switches_that_came_before_their_rules_get_them(
    framework: Framework, running: ovs.Ovs, two_paths: Case, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(to_text([]))
    numbers = [one.datapath_id for one in two_paths.switches]
    with framework.start("reservation", rules_file=rules) as app:
        network = Network(running, two_paths, app.target)
        try:
            for _ in numbers:
                app.wait(lambda one: one["event"] == "unknown", SECONDS)
            rules.write_text(to_text(two_paths.switches))
            app.wait_converged(numbers, SECONDS)
            assert network.wrong(two_paths) == []
        finally:
            network.close()


def test_a_new_plan_is_laid_beside_the_old_one_and_no_frame_is_lost(
    framework: Framework, running: ovs.Ovs, two_paths: Case, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(to_text(two_paths.switches))
    other = two_paths.again(generation=1)
    numbers = [one.datapath_id for one in two_paths.switches]
    with framework.start("reservation", rules_file=rules, drain=1.5) as app:
        network = Network(running, two_paths, app.target)
        try:
            app.wait_converged(numbers, SECONDS)
            fresh = tmp_path / "fresh.json"
            fresh.write_text(to_text(other.switches))
            fresh.replace(rules)
            rounds = 0
            while network.wrong(other):
                assert network.carry(rounds % 4) == 3
                rounds += 1
            assert rounds > 1
            for _ in numbers:
                app.wait(lambda one: one["event"] == "cleared", SECONDS)
        finally:
            network.close()


MEMBERS = {
    "format": "qnet-exchange-1",
    "switches": [{"name": "left", "datapath_id": 21}, {"name": "right", "datapath_id": 22}],
    "trunks": [{"between": ["left", "right"], "ports": [9, 9]}],
    "members": [
        {
            "name": name,
            "switch": switch,
            "port": port,
            "mac": f"02:00:00:00:00:0{number}",
            "ipv4": f"192.0.2.{number}",
            "ipv6": f"2001:db8::{number}",
            "rate_kbps": 1_000_000,
            **more,
        }
        for number, (name, switch, port, more) in enumerate(
            [
                ("red", "left", 1, {}),
                ("green", "left", 2, {"peers": ["red"]}),
                ("blue", "right", 1, {}),
            ],
            1,
        )
    ],
}


def test_an_exchange_forwards_between_peers_and_floods_nothing(
    framework: Framework, running: ovs.Ovs, tmp_path: Path
) -> None:
    scapy = pytest.importorskip("scapy.all")
    members = tmp_path / "members.json"
    members.write_text(json.dumps(MEMBERS))
    mac = {name: f"02:00:00:00:00:0{number}" for name, number in zip("rgb", "123", strict=True)}
    with framework.start("exchange", members_file=members) as app:
        left = Probe(running, 21, [1, 2, 9], (app.target,))
        right = Probe(running, 22, [1, 9], (app.target,))
        try:
            app.wait_converged([21, 22], SECONDS)

            def packet(source: str, target: str, **more: object) -> bytes:
                head = scapy.Ether(src=mac[source], dst=mac[target])
                return bytes(head / scapy.IP(**more) / scapy.UDP() / b"hello")

            red_to_blue = packet("r", "b")
            ((port, out),) = left.send(1, red_to_blue)
            assert (port, out) == (9, red_to_blue)
            assert right.send(9, out) == [(1, red_to_blue)]
            red_to_green = packet("r", "g")
            assert left.send(1, red_to_green) == [(2, red_to_green)]
            # Blue is no peer of green's, whichever side begins.
            assert left.send(2, packet("g", "b")) == []
            assert right.send(1, packet("b", "g")) == []
            # Another's address, an unknown target, broadcast, spanning tree: nothing passes.
            assert left.send(2, packet("r", "b")) == []
            assert left.send(1, bytes(scapy.Ether(src=mac["r"], dst="02:00:00:00:00:77"))) == []
            everyone = scapy.Ether(src=mac["r"], dst="ff:ff:ff:ff:ff:ff") / scapy.IP()
            assert left.send(1, bytes(everyone)) == []
            bridge = scapy.Ether(src=mac["r"], dst="01:80:c2:00:00:00", type=0x88CC) / b"x"
            assert left.send(1, bytes(bridge)) == []
            advert = scapy.IPv6(dst="ff02::1") / scapy.ICMPv6ND_RA()
            assert left.send(1, bytes(scapy.Ether(src=mac["r"], dst=mac["b"]) / advert)) == []
            assert {one.rate_kbps for one in left.has().meters} == {1_000_000}
        finally:
            left.close()
            right.close()


def test_an_exchange_answers_for_its_members(
    framework: Framework, running: ovs.Ovs, tmp_path: Path
) -> None:
    scapy = pytest.importorskip("scapy.all")
    members = tmp_path / "members.json"
    members.write_text(json.dumps(MEMBERS))
    mac = {name: f"02:00:00:00:00:0{number}" for name, number in zip("rgb", "123", strict=True)}
    with framework.start("exchange", members_file=members, patience=0) as app:
        left = Probe(running, 21, [1, 2, 9], (app.target,))
        try:
            app.wait_converged([21], SECONDS)
            # The exchange answers for blue, which is at the other switch, and not for strangers.
            asked = scapy.Ether(src=mac["r"], dst="ff:ff:ff:ff:ff:ff") / scapy.ARP(
                hwsrc=mac["r"], psrc="192.0.2.1", pdst="192.0.2.3"
            )
            left.put(1, bytes(asked))
            reply = scapy.Ether(left.take(1, SECONDS))
            assert reply[scapy.ARP].op == 2
            assert (reply.src, reply.dst, reply[scapy.ARP].hwsrc) == (mac["b"], mac["r"], mac["b"])
            assert (reply[scapy.ARP].psrc, reply[scapy.ARP].pdst) == ("192.0.2.3", "192.0.2.1")
            asked[scapy.ARP].pdst = "192.0.2.99"
            assert left.send(1, bytes(asked), 0.1) == []
            asked[scapy.ARP].pdst, asked[scapy.ARP].psrc = "192.0.2.3", "192.0.2.2"
            assert left.send(1, bytes(asked), 0.1) == []
            solicit = (
                scapy.Ether(src=mac["r"], dst="33:33:ff:00:00:03")
                / scapy.IPv6(src="2001:db8::1", dst="ff02::1:ff00:3", hlim=255)
                / scapy.ICMPv6ND_NS(tgt="2001:db8::3")
                / scapy.ICMPv6NDOptSrcLLAddr(lladdr=mac["r"])
            )
            left.put(1, bytes(solicit))
            data = left.take(1, SECONDS)
            assert data is not None
            reply = scapy.Ether(data)
            assert reply[scapy.ICMPv6ND_NA].tgt == "2001:db8::3"
            assert reply[scapy.ICMPv6NDOptDstLLAddr].lladdr == mac["b"]
            assert (reply[scapy.IPv6].src, reply[scapy.IPv6].dst) == ("2001:db8::3", "2001:db8::1")
            check = reply[scapy.ICMPv6ND_NA].cksum
            del reply[scapy.ICMPv6ND_NA].cksum
            assert scapy.Ether(bytes(reply))[scapy.ICMPv6ND_NA].cksum == check
        finally:
            left.close()


def test_wires_are_found_and_ports_counted(
    framework: Framework, running: ovs.Ovs, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    with framework.start("watch", state_file=state, interval=0.2) as app:
        one = Probe(running, 31, [1, 2], (app.target,))
        bridge = ovs.Bridge("s32", 32, (ovs.SwitchPort("s32p2", 2),), (app.target,))
        running.add_bridges([bridge])
        try:
            # Port 1 of switch 32 is the other end of port 2 of switch 31: a wire without a carrier.
            one.ends.pop(2).close()
            stream = f"options:stream=unix:{running.socket_path('s31p2')}"
            running.vsctl(
                *("add-port", "s32", "s32p1"),
                *("--", "set", "interface", "s32p1", "type=dummy", "ofport_request=1", stream),
            )
            wires = {((31, 2), (32, 1)), ((32, 1), (31, 2))}
            found: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
            while found != wires:
                event = app.wait(lambda event: event["event"] == "wire", SECONDS)
                assert event["present"]
                found.add((tuple(event["source"]), tuple(event["target"])))
            until(lambda: len(json.loads(state.read_text())["wires"]) == 2)
            assert json.loads(state.read_text())["switches"] == [31, 32]
            one.put(1, bytes(64))
            counted = app.wait(
                lambda event: (
                    event["event"] == "ports"
                    and event["datapath_id"] == 31
                    and event["ports"]["1"]["received"] == 1
                ),
                SECONDS,
            )
            assert counted["ports"]["1"]["received_bytes"] == 64
        finally:
            one.close()
            running.vsctl("del-br", "s32")


def test_a_controller_written_by_others(running: ovs.Ovs) -> None:
    """Ryu's own learning switch, as it is: it floods what it does not know, then it forwards."""
    reason = controller.missing_controller("ryu", str(RYU))
    if reason:
        pytest.skip(reason)
    with Framework("ryu", str(RYU)).start("ryu.app.simple_switch_13") as app:
        probe = Probe(running, 41, [1, 2, 3], (app.target,))
        try:
            until(lambda: len(probe.has().rules) == 1)  # ask the controller about everything
            there = bytes.fromhex("0200000000020200000000010800") + bytes(50)
            back = bytes.fromhex("0200000000010200000000020800") + bytes(50)
            probe.put(1, there)
            assert [probe.take(port, SECONDS) for port in (2, 3)] == [there, there]
            probe.put(2, back)
            assert probe.take(1, SECONDS) == back
            probe.put(1, there)
            assert probe.take(2, SECONDS) == there
            until(lambda: len(probe.has().rules) == 3)
            assert probe.take(3, 0.05) is None
            assert not any(rule.is_ours for rule in probe.has().rules)
        finally:
            probe.close()


def test_a_controller_that_cannot_start_says_why(tmp_path: Path) -> None:
    found = Framework("os_ken", sys.executable)
    if controller.missing_controller(found.name, found.python):
        pytest.skip("no os-ken here")
    with (
        pytest.raises(TestbedBroken, match=r"(?s)the controller ended.*No module named"),
        found.start("no_such_app"),
    ):
        pass
    members = tmp_path / "members.json"
    members.write_text('{"format": "qnet-exchange-1", "members": [{"name": "a", "mac": "x"}]}')
    with (
        pytest.raises(TestbedBroken, match="'x' is no MAC address"),
        found.start("exchange", members_file=members),
    ):
        pass
