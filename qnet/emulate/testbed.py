"""A network of real switches and hosts for somebody's own controller, judged without a plan.

Every node of the topology is a switch with one host on port 1 (`qnet.emulate.wiring`). Frames go
from switch to switch at once: what is judged is where they go, not when. Times are wall-clock
times of the controller.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

from qnet.emulate.attached import CONNECT_S
from qnet.emulate.fabric import Entry, Fabric
from qnet.emulate.held import Held
from qnet.emulate.openflow import ARP, IPV4, Switch, show_ipv4
from qnet.emulate.table import Difference, differences
from qnet.emulate.wiring import HOST_PORT, Wiring
from qnet.errors import EnvironmentMissing
from qnet.model.emulation import Tier
from qnet.model.topology import Topology

if TYPE_CHECKING:
    from qnet.emulate.distant import Distant, Ran

PATIENCE_S = 0.4
"""A controller has this long to send on a frame for which a switch has no rule."""

RUN_S = 30.0
"""Longest time for a host's command, unless told otherwise."""

PAIRS = 50
"""Pairs of hosts tried, unless another number is asked for."""

HOPS_HIGHEST = 32
COPIES_HIGHEST = 256

BROADCAST = (1 << 48) - 1


class Delivery(NamedTuple):
    """A frame that a host got: whose host, the frame, and the switches it went through."""

    host: str
    data: bytes
    path: tuple[str, ...]


class Trip(NamedTuple):
    """What became of one frame: who got it, and the switches that had it more than once."""

    deliveries: tuple[Delivery, ...]
    looped: tuple[str, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts that got the frame, once for each copy."""
        return tuple(one.host for one in self.deliveries)


class Ping(NamedTuple):
    """What a host's frames to another one met with."""

    sent: int
    received: int
    """Frames that came to the listener, copies not counted."""
    copies: int
    """Copies too many at the listener."""
    others: tuple[str, ...]
    """Other hosts that got a frame once all addresses were learnt."""
    path: tuple[str, ...]
    """Switches on the way of the last frame that came."""
    looped: tuple[str, ...]

    @property
    def lost(self) -> int:
        """Frames that did not come."""
        return self.sent - self.received


class Testbed(Held):
    """Switches of a topology under one controller, in the hands of a test; a context manager.

    Raises EnvironmentMissing where Open vSwitch is not installed, or when the controller does not
    answer.
    """

    __test__ = False  # the name begins with Test, which pytest would collect

    def __init__(
        self,
        topology: Topology,
        controller: str,
        *,
        tier: Tier = "lockstep",
        patience_s: float = PATIENCE_S,
        connect_s: float = CONNECT_S,
    ) -> None:
        """Prepare; `controller` is where it listens, as in tcp:127.0.0.1:6653.

        In tier `mininet` switches have devices, and hosts are real ones; it needs root.
        """
        self.connect_s = connect_s
        self.topology = topology
        self.wiring = Wiring(topology)
        self.controller = controller
        self.patience_s = patience_s
        self.tier = tier
        self.fabric: Fabric | Distant
        if tier == "mininet":
            from qnet.emulate.distant import Distant  # noqa: PLC0415

            self.fabric = Distant(topology, controller)
        else:
            ports = {node.name: {HOST_PORT} for node in topology.nodes}
            for port in topology.ports:
                ports[port.source].add(self.wiring.openflow_port[port.name])
            self.fabric = Fabric(self.wiring, ports, controllers=[controller], carry_control=True)
        self.hosts = tuple(node.name for node in topology.nodes)

    def _start(self) -> None:
        self.fabric.__enter__()
        self.fabric.wait_connected(self.controller, self.connect_s)
        self.settle()

    def close(self) -> None:
        """Stop all switches, and hosts where there are some."""
        self.fabric.close()

    def settle(self) -> None:
        """Wait until the controller has left all tables alone for a while."""
        self.fabric.wait_quiet()
        self.fabric.fence()

    # Frames

    def send(self, host: str, data: bytes) -> Trip:
        """Send a frame from a host and follow all its copies until hosts have them."""
        deliveries: list[Delivery] = []
        looped: list[str] = []
        waiting: list[tuple[Entry, tuple[str, ...]]] = [(Entry(host, HOST_PORT, data), (host,))]
        copies = 0
        while waiting and copies < COPIES_HIGHEST:
            now, waiting = waiting, []
            copies += len(now)
            outs_of = self.fabric.react([entry for entry, _ in now], self.patience_s)
            for (entry, path), outs in zip(now, outs_of, strict=True):
                for out in outs:
                    if out.port == HOST_PORT:
                        deliveries.append(Delivery(entry.node, out.data, path))
                        continue
                    port = self.wiring.port_at[entry.node, out.port]
                    if port.target in path:
                        looped.append(port.target)
                    if len(path) < HOPS_HIGHEST and path.count(port.target) < 2:
                        following = Entry(port.target, self.wiring.in_port(port), out.data)
                        waiting.append((following, (*path, port.target)))
        return Trip(tuple(sorted(deliveries)), tuple(sorted(set(looped))))

    def arp(self, host: str, target: str) -> Trip:
        """Ask for a host's address, as a host does before anything else."""
        body = b"\x00\x01\x08\x00\x06\x04\x00\x01" + self._mac(host) + self._ip(host)
        body += bytes(6) + self._ip(target)
        head = BROADCAST.to_bytes(6, "big") + self._mac(host) + ARP.to_bytes(2, "big")
        return self.send(host, (head + body).ljust(60, b"\0"))

    def ping(self, host: str, target: str, count: int = 3) -> Ping:
        """Ask for the target's address, let it answer, then send `count` UDP frames to it."""
        looped = {*self.arp(host, target).looped, *self.udp(target, host).looped}
        got, copies = 0, 0
        path: tuple[str, ...] = ()
        others: set[str] = set()
        for _ in range(count):
            trip = self.udp(host, target)
            came = [one for one in trip.deliveries if one.host == target]
            got += bool(came)
            copies += max(len(came) - 1, 0)
            others = {one.host for one in trip.deliveries if one.host != target}
            path = came[-1].path if came else path
            looped |= set(trip.looped)
        return Ping(count, got, copies, tuple(sorted(others)), path, tuple(sorted(looped)))

    def udp(self, host: str, target: str, size: int = 100) -> Trip:
        """Send one UDP frame to a host's own address."""
        payload = bytes(size - 42)
        datagram = b"\x13\x88\x13\x88" + (8 + len(payload)).to_bytes(2, "big") + b"\0\0" + payload
        head = b"\x45\0" + (20 + len(datagram)).to_bytes(2, "big") + b"\0\0\0\0\x40\x11\0\0"
        head += self._ip(host) + self._ip(target)
        total = sum(int.from_bytes(head[i : i + 2], "big") for i in range(0, 20, 2))
        total = (total & 0xFFFF) + (total >> 16)
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        head = head[:10] + total.to_bytes(2, "big") + head[12:]
        ethernet = self._mac(target) + self._mac(host) + IPV4.to_bytes(2, "big")
        return self.send(host, ethernet + head + datagram)

    def reaches(self, host: str, target: str) -> bool:
        """Tell whether a host's frames come to another one, each exactly once."""
        found = self.ping(host, target)
        return not found.lost and not found.copies

    def isolated(self, host: str, target: str) -> bool:
        """Tell whether nothing that a host sends comes to another one."""
        trips = [self.arp(host, target), *(self.udp(host, target) for _ in range(2))]
        return all(target not in trip.hosts for trip in trips)

    def run(self, host: str, command: str, most_s: float = RUN_S) -> Ran:
        """Run a shell command in a host, for so long at most; in tier mininet.

        Wires carry its frames at once, at what rate they can. Raises EnvironmentMissing in tier
        lockstep, which has no hosts.
        """
        if isinstance(self.fabric, Fabric):
            raise EnvironmentMissing(f"{command}: hosts run commands in tier mininet only")
        return self.fabric.run(host, command, most_s)

    def ip(self, host: str) -> str:
        """Return the address of a host, as in 10.0.0.1."""
        return show_ipv4(self.wiring.host_ip(host))

    # Links and rules

    @contextmanager
    def cut(self, first: str, second: str) -> Iterator[None]:
        """Take all wires between two nodes down for a while."""
        wires = [
            port.name
            for port in self.topology.ports
            if (port.source, port.target) == (first, second)
        ]
        for name in wires:
            self.fabric.set_wire(name, up=False)
        try:
            yield
        finally:
            for name in wires:
                self.fabric.set_wire(name, up=True)

    def failover_s(self, host: str, target: str, most_s: float = 10.0) -> float | None:
        """Cut the first wire on the way and return how long nothing came; None: for too long.

        A wall-clock time, the sending of one frame included.
        """
        path = self.ping(host, target).path
        if len(path) < 2:
            return None
        with self.cut(path[0], path[1]):
            start = time.monotonic()
            while time.monotonic() - start < most_s:
                if target in self.udp(host, target).hosts:
                    return time.monotonic() - start
                self.fabric.pump(0.01)
        return None

    def tables(self, node: str) -> Switch:
        """Read what a switch has now: entries, groups and meters."""
        return self.fabric.tables(node)

    def differences(self, wanted: Sequence[Switch]) -> tuple[Difference, ...]:
        """Compare what the switches have with rules such as `qnet.emulate.rules` computes."""
        return tuple(
            one for switch in wanted for one in differences(switch, self.tables(switch.name))
        )

    def _mac(self, host: str) -> bytes:
        return self.wiring.host_mac(host).to_bytes(6, "big")

    def _ip(self, host: str) -> bytes:
        return self.wiring.host_ip(host).to_bytes(4, "big")


class Judgement(NamedTuple):
    """What was found of a controller on a topology; good when there are no findings."""

    pairs: int
    frames: int
    lost: int
    findings: tuple[str, ...]
    failover_s: float | None
    """Wall clock; None where it was not tried, or nothing came any more."""
    rules: int


def judge_reach(testbed: Testbed, *, most_pairs: int = PAIRS, failover: bool = True) -> Judgement:
    """Judge plain forwarding: every pair reached once, nobody else, no loops, a way round a cut."""
    pairs = list(permutations(testbed.hosts, 2))
    pairs = pairs[:: -(-len(pairs) // most_pairs)]
    findings: dict[str, None] = {}
    sent = lost = 0
    longest: tuple[str, ...] = ()
    for host, target in pairs:
        found = testbed.ping(host, target)
        sent += found.sent
        lost += found.lost
        findings |= dict.fromkeys(_faults(host, target, found))
        if len(found.path) > len(longest):
            longest = found.path
    seconds = None
    if failover and len(longest) > 1 and _has_way_round(testbed, longest):
        seconds = testbed.failover_s(longest[0], longest[-1])
        if seconds is None:
            findings[
                f"{longest[0]} to {longest[-1]}: nothing comes any more when {longest[0]} to "
                f"{longest[1]} is cut, though there is a way round"
            ] = None
    rules = sum(
        len(switch.rules) + len(switch.unread) for switch in map(testbed.tables, testbed.hosts)
    )
    return Judgement(len(pairs), sent, lost, tuple(findings), seconds, rules)


def _faults(host: str, target: str, found: Ping) -> Iterator[str]:
    way = f"{host} to {target}"
    if found.lost:
        yield f"{way}: {found.lost} of {found.sent} frames lost"
    if found.copies:
        yield f"{way}: {found.copies} copies too many"
    if found.others:
        yield f"{way}: {', '.join(found.others)} got its frames too"
    if found.looped:
        yield f"{way}: a loop: a frame came back to {', '.join(found.looped)}"


def _has_way_round(testbed: Testbed, path: Sequence[str]) -> bool:
    """Tell whether the ends of a path are joined without its first link."""
    reached, waiting = {path[0]}, [path[0]]
    while waiting:
        node = waiting.pop()
        for port in testbed.topology.ports:
            cut = {port.source, port.target} == {path[0], path[1]}
            if port.source == node and port.target not in reached and not cut:
                reached.add(port.target)
                waiting.append(port.target)
    return path[-1] in reached
