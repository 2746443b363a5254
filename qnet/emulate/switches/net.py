"""The Mininet network of a run: real hosts and switches, every wire in the emulator's hands.

It is built inside a network namespace of the run's own (see `qnet.emulate.tiers.mininet`), so no
name can meet one of another run and nothing outlives it. Every node of the topology that takes part
is an Open vSwitch bridge of the run's private instance, with one Mininet host on port 1. A link is
two veth pairs: from either switch to the node `wires`, where the link emulator sends and receives.
"""

from __future__ import annotations

import array
import fcntl
import re
import socket
import struct
import subprocess
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from qnet.emulate.openflow.counters import Counters
from qnet.emulate.openflow.nouns import Switch
from qnet.emulate.process.all_or_nothing import AllOrNothing
from qnet.emulate.process.namespaces import Inside
from qnet.emulate.process.watch import Part, Watch, blaming
from qnet.emulate.rules.wiring import HOST_PORT, Wiring
from qnet.emulate.switches.ovs import Bridge, Ovs, SwitchFailure, SwitchPort
from qnet.emulate.switches.switch_set import (
    Controllers,
    SwitchSet,
    controllers_of,
    read_counters,
    read_switch,
)
from qnet.emulate.switches.table_limits import close_tables, open_tables
from qnet.emulate.switches.talk import USUAL, Talk, Version
from qnet.emulate.wires.kernels.tables import EDGE_END, HOST_END, SWITCH_END
from qnet.emulate.wires.records import WireEnd
from qnet.errors import EnvironmentMissing
from qnet.model.topology import Port, Topology

MTU = 16_100
"""Between switches: the longest frame, labels and the trailer."""

HOST_MTU = 1500
"""For what hosts send themselves; probes may be longer."""

WIRES = "wires"
"""Node whose namespace has the ends of all wires."""

SEEN_S = 5.0
"""How long a switch may take to see that a wire is down."""

SIOCETHTOOL = 0x8946
OFFLOADS = (0x1F, 0x24, 0x2C, 0x17)
"""ETHTOOL_STSO, _SGSO, _SGRO and _STXCSUM of linux/ethtool.h."""


def missing_namespaces() -> str | None:
    """Say what keeps Mininet from running here, or None when nothing does."""
    try:
        import mininet.node  # noqa: F401, PLC0415
    except ImportError:
        return "the Python package mininet is not here; try: pip install 'qnet-emulator[emulate]'"
    import shutil  # noqa: PLC0415

    if shutil.which("mnexec") is None:
        return "mnexec is not here; it comes with: apt-get install mininet"
    return None


class SwitchNetwork(SwitchSet, AllOrNothing):
    """Switches, hosts and wire ends of the nodes in `nodes`, with the wires in `ports`; a context.

    `ports` are numbers of the topology's ports; the other direction of each comes with it.
    With `hosts_ask`, hosts find each other's addresses by ARP, else they know them.
    Raises EnvironmentMissing where Mininet is not installed.
    """

    def __init__(
        self,
        topology: Topology,
        nodes: Collection[str],
        ports: Collection[int],
        folder: Path,
        controllers: Controllers = (),
        *,
        hosts_ask: bool = False,
        plain_hosts: bool = False,
        versions: Sequence[Version] = USUAL,
    ) -> None:
        """Choose what takes part; nothing is built yet.

        With `plain_hosts`, controllers have only switches that are no host's card.
        """
        super().__init__()
        self.hosts_ask = hosts_ask
        self.topology = topology
        self.wiring = Wiring(topology)
        wanted = {
            number
            for port in (topology.ports[one] for one in ports)
            for number in (one.number for one in self.wiring.both(port))
        }
        self.ports = [port for port in topology.ports if port.number in wanted]
        named = set(nodes) | {name for port in self.ports for name in (port.source, port.target)}
        self.nodes = [node.name for node in topology.nodes if node.name in named]
        self.controllers = controllers
        self._cards = self.wiring.plain_hosts if plain_hosts else frozenset[str]()
        self.ovs = Ovs(dummy=False, folder=folder, versions=versions)
        self.mininet: Any = None
        self._bridges: dict[str, Bridge] = {}
        self._begun: list[Any] = []
        """Hosts, those too whose shell is still to give its first prompt."""
        self._closing = False
        self.ends: list[WireEnd] = []
        self.edge: dict[str, int] = {}
        """[node]: place in `ends` of its switch's side of its host's wire."""

    def _start(self) -> None:
        reason = missing_namespaces()
        if reason is not None:
            raise EnvironmentMissing(reason)
        self.ovs.__enter__()
        with blaming(self.parts):
            self._build()

    def close(self) -> None:
        """Stop everything; may be called at any time, and again."""
        self._closing = True
        if self.mininet is not None:
            for host in self.mininet.hosts:
                host.terminate()
            self.mininet = None
        self.ovs.close()

    def confirm(self) -> None:
        """Raise TestbedBroken when a switch or a host is not at work."""
        Watch().blame(self.parts, 0)

    def parts(self) -> list[Part]:
        """Return daemons and hosts, for who looks whether they are at work."""
        if self._closing:
            return []
        shells = [(one, getattr(one, "shell", None)) for one in tuple(self._begun)]
        return [
            *self.ovs.parts(),
            *(
                Part(
                    "the host of all wires" if one.name == WIRES else f"the host {one.name}", shell
                )
                for one, shell in shells
                if shell is not None
            ),
        ]

    @property
    def namespace(self) -> str:
        """Path of the network namespace that the wire ends are in."""
        return f"/proc/{self.mininet.get('wires').pid}/ns/net"

    def device(self, node: str, number: int) -> str:
        """Return the switch's interface of an OpenFlow port."""
        return f"s{self.wiring.datapath_id(node)}-{number}"

    def host(self, node: str) -> Any:
        """Return the Mininet host of a node."""
        return self.mininet.get(node)

    def bridge(self, node: str) -> str:
        """Return the name of a node's switch."""
        return f"s{self.wiring.datapath_id(node)}"

    def logged_talks(self, place: int = 0) -> dict[str, Talk]:
        """Return, by node, what the logs of switches say of their controller."""
        switches = [node for node in self.nodes if node not in self._cards]
        targets = {
            self.bridge(node): one
            for node in switches
            for one in self._bridges[node].controllers[place : place + 1]
        }
        found = self.ovs.talks(map(self.bridge, switches), targets)
        return {node: found[self.bridge(node)] for node in switches}

    def entry_count(self) -> int:
        """Return how many entries all tables have together."""
        bridges = (self.bridge(node) for node in self.nodes)
        return sum(self.ovs.appctl("bridge/dump-flows", one).count("\n") for one in bridges)

    def tables(self, node: str) -> Switch:
        """Read what a switch has now: entries, groups and meters."""
        return read_switch(self.ovs, self.bridge(node), node, self.wiring.datapath_id(node))

    def counters(self, node: str) -> Counters:
        """Read what a switch has counted by now."""
        return read_counters(self.ovs, self.bridge(node), node)

    def restart_switch(self, node: str) -> None:
        """Take a switch away and make it anew, with its ports and without entries."""
        self.ovs.vsctl("del-br", self.bridge(node))
        self.ovs.add_bridges([self._bridges[node]])

    def close_tables(self, node: str) -> dict[int, int]:
        """Have a switch take no more entries than it has now; return how many, by table."""
        return close_tables(self.ovs, self.bridge(node))

    def open_tables(self, node: str) -> None:
        """Have a switch take entries again."""
        open_tables(self.ovs, self.bridge(node))

    def trace(self, node: str, port: int, data: bytes) -> str:
        """Have a switch explain what it does with a frame that comes in by an OpenFlow port."""
        return self.ovs.trace(self.bridge(node), port, data)

    def pump(self, seconds: float) -> None:
        """Let switches and controller talk for a while of wall-clock time."""
        time.sleep(seconds)

    def take_down(self, port: Port) -> None:
        """Cut a port's wire, in both directions; returns when both switches have seen it."""
        self._set_wire(port, "down")

    def bring_up(self, port: Port) -> None:
        """Mend a port's wire; returns when both switches have seen it."""
        self._set_wire(port, "up")

    def _set_wire(self, port: Port, state: str) -> None:
        self.set_wires(self.wiring.both(port), state)

    def set_wires(self, ports: Sequence[Port], state: str) -> None:
        """Set the devices of ports "up" or "down"; returns when their switches have seen it."""
        if not ports:
            return
        batch([f"link set w{one.number} {state}" for one in ports], self.mininet.get(WIRES).pid)
        give_up = time.monotonic() + SEEN_S
        for one in ports:
            bridge = self.bridge(one.source)
            number = self.wiring.openflow_port[one.name]
            while self._link_is_down(bridge, number) != (state == "down"):
                if time.monotonic() > give_up:
                    raise SwitchFailure(f"{bridge} does not see that {one.name} is {state}")
        self.ovs.fence()

    def _link_is_down(self, bridge: str, number: int) -> bool:
        """Say what a switch says of a port; it tells of all its ports, whichever is asked for."""
        text = self.ovs.ofctl("dump-ports-desc", bridge)
        found = re.search(
            rf"^ {number}\(.*?^ +state: +(?P<state>.*?)$", text, re.MULTILINE | re.DOTALL
        )
        assert found is not None, f"{bridge} has no port {number}"
        return "LINK_DOWN" in found["state"]

    def _build(self) -> None:
        from mininet.net import Mininet  # noqa: PLC0415
        from mininet.node import Host  # noqa: PLC0415

        begun = self._begun

        class Begun(Host):  # type: ignore[misc]
            """A host that is known before it waits, for ever, for its shell's first prompt."""

            def __init__(self, name: str, **params: Any) -> None:
                begun.append(self)
                super().__init__(name, **params)

        # Otherwise it would change system-wide limits, which this run does not need.
        Mininet.inited = True
        net = Mininet(topo=None, build=False, controller=None, host=Begun)
        self.mininet = net
        wires = net.addHost(WIRES, ip=None)
        lines: list[str] = []
        far: list[str] = []
        mine: dict[str, list[SwitchPort]] = {node: [] for node in self.nodes}
        numbers = self.wiring.openflow_port

        def pair(near: str, end: str) -> None:
            lines.append(
                f"link add {near} mtu {MTU} type veth peer name {end} mtu {MTU} netns {wires.pid}"
            )
            lines.append(f"link set {near} up")
            far.append(f"link set {end} up")

        for port in self.ports:
            name = self.device(port.source, numbers[port.name])
            pair(name, f"w{port.number}")
            mine[port.source].append(SwitchPort(name, numbers[port.name], name))
            self.ends.append(WireEnd(f"w{port.number}", SWITCH_END, port.number))
            if port.name not in self.wiring.reverse:
                number = self.wiring.in_port(port)
                name = self.device(port.target, number)
                pair(name, f"v{port.number}")
                mine[port.target].append(SwitchPort(name, number, name))
                self.ends.append(WireEnd(f"v{port.number}", SWITCH_END, goes_in=port.number))
        hosts = {}
        for node in self.nodes:
            host = hosts[node] = net.addHost(node, ip=None)
            number = self.wiring.datapath_id(node)
            name = self.device(node, HOST_PORT)
            pair(name, f"e{number}")
            mine[node].append(SwitchPort(name, HOST_PORT, name))
            self.edge[node] = len(self.ends)
            self.ends.append(WireEnd(f"e{number}", EDGE_END, -1, len(self.ends) + 1))
            self.ends.append(WireEnd(f"h{number}", HOST_END, -1, len(self.ends) - 1))
            lines.append(
                f"link add h{number} mtu {MTU} netns {wires.pid} type veth "
                f"peer name eth0 mtu {MTU} netns {host.pid}"
            )
            far.append(f"link set h{number} up")
        quiet = "net.ipv6.conf.all.disable_ipv6=1"
        subprocess.run(["sysctl", "-qw", quiet], check=True, stdin=subprocess.DEVNULL)
        within(wires.pid, ["sysctl", "-qw", quiet])
        batch(lines)
        batch(far, wires.pid)
        for node, host in hosts.items():
            self._equip(node, host)
        for node in self.nodes:
            self._bridges[node] = Bridge(
                self.bridge(node),
                self.wiring.datapath_id(node),
                tuple(mine[node]),
                () if node in self._cards else controllers_of(self.controllers, node),
                datapath="netdev",
                rules=self.wiring.card_rules(node) if node in self._cards else (),
            )
        self.ovs.add_bridges(self._bridges.values())

    def _equip(self, node: str, host: Any) -> None:
        """Give a host its addresses, and others' unless it asks for them; no offload, no IPv6."""
        lines = [
            "link set lo up",
            f"link set eth0 address {mac_text(self.wiring.host_mac(node))} up",
            f"address add {ip_text(self.wiring.host_ip(node))}/8 dev eth0 noprefixroute",
            f"route add 10.0.0.0/8 dev eth0 mtu lock {HOST_MTU}",
        ]
        others = () if self.hosts_ask else self.nodes
        lines += [
            f"neighbour add {ip_text(self.wiring.host_ip(other))} dev eth0 "
            f"lladdr {mac_text(self.wiring.host_mac(other))} nud permanent"
            for other in others
            if other != node
        ]
        within(host.pid, ["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])
        batch(lines, host.pid)
        without_offload("eth0", f"/proc/{host.pid}/ns/net")
        host.params["ip"] = ip_text(self.wiring.host_ip(node))
        from mininet.link import Intf  # noqa: PLC0415

        interface = Intf("eth0", node=host, port=0, moveIntfFn=lambda *_: None)
        interface.ip, interface.prefixLen = host.params["ip"], "8"
        interface.mac = mac_text(self.wiring.host_mac(node))


def mac_text(number: int) -> str:
    """Write a MAC address."""
    return number.to_bytes(6, "big").hex(":")


def ip_text(number: int) -> str:
    """Write an IPv4 address."""
    return ".".join(str(byte) for byte in number.to_bytes(4, "big"))


def without_offload(device: str, namespace: str) -> None:
    """Have a device's frames cut and summed by its own host: no peer's hardware will do it."""
    values = [array.array("I", (command, 0)) for command in OFFLOADS]
    with Inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for value in values:
            request = struct.pack("16sP16x", device.encode(), value.buffer_info()[0])
            fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def batch(lines: Sequence[str], pid: int | None = None) -> None:
    """Run many commands of `ip` at once, in the namespace of a process where one is given."""
    command = ["ip", "-batch", "-"]
    if pid is not None:
        command = ["nsenter", "-t", str(pid), "-n", *command]
    subprocess.run(
        command, input="\n".join(lines) + "\n", text=True, check=True, capture_output=True
    )


def within(pid: int, command: Sequence[str]) -> None:
    """Run a command in the network namespace of a process."""
    subprocess.run(
        ["nsenter", "-t", str(pid), "-n", *command],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
