"""The testbed's network from inside its namespaces, a program: FOLDER SOCKET are its arguments.

It answers the requests of `qnet.emulate.testbed.remote`. Frames that a request sends are followed
(`qnet.emulate.frames.trips`); real hosts do not get them. All other frames, those of controllers
and hosts, are carried as wires carry them. Either is done at once.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from qnet.emulate.frames.streaming import ChangeSeen, Pace, PacedPair, stream_through
from qnet.emulate.frames.trips import Follower, Stall
from qnet.emulate.process.namespaces import Inside
from qnet.emulate.process.relay import sockets_in
from qnet.emulate.process.watch import Guard, blaming
from qnet.emulate.rules.wiring import HOST_PORT, Wiring
from qnet.emulate.switches.net import SwitchNetwork
from qnet.emulate.switches.talk import Version
from qnet.emulate.testbed.remote import Ran
from qnet.emulate.tiers.mininet import JOB
from qnet.emulate.wires.kernels.tables import HOST_END, SWITCH_END
from qnet.emulate.wires.run import ETH_P_ALL, PACKET_IGNORE_OUTGOING, SOL_PACKET
from qnet.errors import QnetError
from qnet.model.topology import Topology

PACKET_AUXDATA = 8
"""linux/if_packet.h"""

LONGEST_BYTES = 1 << 16

VLAN_VALID, TPID_VALID = 0x10, 0x40
"""Status of a frame whose VLAN tag the kernel has taken off (linux/if_packet.h)."""


class TestbedAgent:
    """What the child does: the requests of `RemoteSwitches`, and wires between them."""

    def __init__(self, net: SwitchNetwork) -> None:
        self.net = net
        self.wiring = net.wiring
        self._end_of = {end.interface: end for end in net.ends}
        wires = {end.port: end.interface for end in net.ends if end.kind == SWITCH_END}
        only_in = {end.goes_in: end.interface for end in net.ends if end.goes_in >= 0}
        self._far: dict[str, str] = {}
        self._place: dict[str, tuple[str, int]] = {}
        for port in net.ports:
            near, back = wires[port.number], self.wiring.reverse.get(port.name)
            self._far[near] = wires[back.number] if back else only_in[port.number]
            self._place[near] = (port.source, self.wiring.openflow_port[port.name])
            if back is None:
                self._place[only_in[port.number]] = (port.target, self.wiring.in_port(port))
        for node, edge in net.edge.items():
            end = net.ends[edge]
            self._place[end.interface] = (node, HOST_PORT)
            peer = net.ends[end.peer].interface
            self._far |= {end.interface: peer, peer: end.interface}
        self._into = {place: interface for interface, place in self._place.items()}
        self.follower = Follower(self.wiring, self._put, self.take, hosts_are_real=True)
        with Inside(net.namespace):
            self.socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL)
            )
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)

    def serve(self, line: Connection) -> None:
        """Answer requests until nobody asks any more."""
        requests: Mapping[str, Callable[..., Any]] = {
            "follow": self.follower.follow,
            "trip": self.follower.trip,
            "still_s": self.follower.still_s,
            "address": self.follower.address,
            "received": self.follower.received,
            "unexpected": self.follower.unexpected,
            "discovered": self.follower.discovered,
            "outage": self.outage,
            "stream_through": self.stream_through,
            "pump": self.pump,
            "set_wire": self.set_wire,
            "run": self.run,
            "tables": self.net.tables,
            "trace": self.net.trace,
            "restart_switch": self.net.restart_switch,
            "close_tables": self.net.close_tables,
            "open_tables": self.net.open_tables,
            "passages": self.follower.passages,
            "counters": self.net.counters,
            "fence": self.net.ovs.fence,
            "confirm": self.net.confirm,
            "logged_talks": self.net.logged_talks,
            "entry_count": self.net.entry_count,
        }
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        poll.register(line.fileno(), select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self.socket.fileno() in ready:
                self.take(0)
            if line.fileno() not in ready:
                continue
            try:
                what, arguments = line.recv()
            except EOFError:
                return
            try:
                answer = requests[what](*arguments)
            except QnetError as error:
                answer = error
            line.send(answer)

    def take(self, patience_s: float) -> bool:
        """Carry what has come, or note it where it is a frame asked about; say whether any had."""
        if not select.select([self.socket], [], [], patience_s)[0]:
            return False
        for _ in range(256):
            try:
                data, control, _, address = self.socket.recvmsg(LONGEST_BYTES, 64)
            except BlockingIOError:
                break
            self._came(address[0], _with_tag(data, control))
        self.follower.looked_at = time.monotonic()
        return True

    def _came(self, interface: str, data: bytes) -> None:
        end = self._end_of.get(interface)
        if end is None:
            return
        if end.kind == HOST_END:
            self.follower.hosts_own(data)
        elif self.follower.came_out(*self._place[interface], data):
            return
        if interface in self._far:  # not the far end of a wire of one direction
            self._send(self._far[interface], data)

    def _put(self, node: str, port: int, data: bytes) -> bool:
        return self._send(self._into[node, port], data)

    def _send(self, interface: str, data: bytes) -> bool:
        try:
            self.socket.sendto(data, (interface, 0))
        except OSError:  # the wire is down, or full
            return False
        return True

    def outage(
        self, data: bytes, path: Sequence[str], wires: Sequence[str], most_s: float
    ) -> Stall | None:
        """As `RemoteSwitches.outage`."""
        return self.follower.outage(data, path, wires, self.take_down, most_s)

    def stream_through(
        self,
        pairs: Sequence[PacedPair],
        hopeless: Sequence[bool],
        wires: Mapping[str, bool],
        pace: Pace,
    ) -> ChangeSeen:
        """As `RemoteSwitches.stream_through`."""

        def change() -> None:
            for state in ("up", "down"):
                named = [name for name, up in wires.items() if up == (state == "up")]
                ports = [self.net.topology.port_by_name[name] for name in named]
                self.net.set_wires([one for port in ports for one in self.wiring.both(port)], state)

        return stream_through(self.follower, pairs, hopeless, change, pace)

    def pump(self, seconds: float) -> None:
        """As `RemoteSwitches.pump`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.take(left)

    def take_down(self, port_name: str) -> None:
        """Take a wire down; returns when both its switches have seen it."""
        self.set_wire(port_name, up=False)

    def set_wire(self, port_name: str, up: bool) -> None:
        """As `RemoteSwitches.set_wire`."""
        port = self.net.topology.port_by_name[port_name]
        (self.net.bring_up if up else self.net.take_down)(port)

    def run(self, host: str, command: str, most_s: float) -> Ran:
        """As `RemoteSwitches.run`."""
        ran: list[Ran] = []

        def work() -> None:
            ran.append(run_in(self.net, host, command, most_s))

        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            self.take(0.01)
        thread.join()
        return ran[0]


def run_in(net: SwitchNetwork, host: str, command: str, most_s: float) -> Ran:
    """Run a shell command in a host; it and what it has started are ended when it takes longer."""
    child = subprocess.Popen(
        ["mnexec", "-a", str(net.host(host).pid), "sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        wrote, _ = child.communicate(timeout=most_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        wrote, _ = child.communicate()
        return Ran(124, wrote)
    return Ran(child.returncode, wrote)


def _with_tag(data: bytes, control: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Put back the VLAN tag that the kernel hands over beside the frame."""
    for level, kind, value in control:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
            if status & VLAN_VALID:
                tag = struct.pack("!HH", tpid if status & TPID_VALID else 0x8100, tci)
                return data[:12] + tag + data[12:]
    return data


def main() -> None:
    """Build the network of the folder that the command line names and serve whoever asks."""
    folder = Path(sys.argv[1])
    with (folder / JOB).open("rb") as file:
        topology: Topology
        versions: tuple[Version, ...]
        controllers: int
        topology, versions, controllers = pickle.load(file)
    every = range(len(topology.ports))
    with Connection(int(sys.argv[2])) as line:
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True, stdin=subprocess.DEVNULL)
            nodes = [node.name for node in topology.nodes]
            numbers = Wiring(topology).datapath_ids
            paths = [sockets_in(folder, numbers, place) for place in range(controllers)]
            net = SwitchNetwork(
                topology,
                nodes,
                every,
                folder,
                {name: [f"unix:{one[name]}" for one in paths] for name in numbers},
                hosts_ask=True,
                plain_hosts=True,
                versions=versions,
            )
            with Guard(folder) as guard, blaming(guard.parts):
                guard.add(net.parts)
                with net:
                    carrier = TestbedAgent(net)
                    line.send(None)
                    carrier.serve(line)
        except QnetError as error:
            line.send(error)


if __name__ == "__main__":
    main()
