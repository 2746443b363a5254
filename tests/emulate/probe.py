"""One bridge of a private Open vSwitch without devices, its ports in the hands of a test."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Sequence

from qnet.emulate.openflow.nouns import Switch
from qnet.emulate.openflow.text import read_flows, read_groups, read_meters
from qnet.emulate.switches import ovs

PATIENCE_S = 10.0


class Probe:
    """A switch and the other ends of its ports."""

    def __init__(
        self,
        running: ovs.Ovs,
        datapath_id: int,
        ports: Sequence[int],
        controllers: tuple[str, ...] = (),
    ) -> None:
        self.running = running
        self.name = f"s{datapath_id}"
        names = {port: f"{self.name}p{port}" for port in ports}
        wanted = tuple(ovs.SwitchPort(name, port) for port, name in names.items())
        running.add_bridges([ovs.Bridge(self.name, datapath_id, wanted, controllers)])
        self.ends = {port: running.connect(name) for port, name in names.items()}

    def close(self) -> None:
        for end in self.ends.values():
            end.close()
        self.running.vsctl("del-br", self.name)

    def has(self, name: str = "") -> Switch:
        """Return what the switch has, under the name of a node."""
        return Switch(
            name,
            int(self.name[1:]),
            read_flows(self.running.ofctl("dump-flows", self.name, "--no-stats", "--no-names")),
            read_groups(self.running.ofctl("dump-groups", self.name)),
            read_meters(self.running.ofctl("dump-meters", self.name)),
        )

    def put(self, port: int, data: bytes) -> None:
        self.ends[port].sendall(struct.pack("!H", len(data)) + data)

    def take(self, port: int, seconds: float) -> bytes | None:
        """Return the next frame that comes out of a port, or None."""
        end = self.ends[port]
        end.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            (length,) = struct.unpack("!H", _exactly(end, 2))
            return _exactly(end, length)
        return None

    def send(self, port: int, data: bytes, seconds: float = 0.005) -> list[tuple[int, bytes]]:
        """Send a frame into a port and return all that comes out when the switch has seen it."""
        before = self.running.frames_seen()
        self.put(port, data)
        deadline = time.monotonic() + PATIENCE_S
        while self.running.frames_seen() == before:
            assert time.monotonic() < deadline, "the switch does not take frames"
        found: list[tuple[int, bytes]] = []
        for number in self.ends:
            while (out := self.take(number, seconds)) is not None:
                found.append((number, out))
        return found


def _exactly(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = end.recv(size - len(data))
        assert more, "the switch closed a port"
        data += more
    return data
