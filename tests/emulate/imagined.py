"""A network of imagined switches for a testbed: what a switch does is a function."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from qnet.emulate.frames.trips import Follower, Stall
from qnet.emulate.openflow.nouns import Switch
from qnet.emulate.rules.wiring import HOST_PORT
from qnet.emulate.switches.talk import Talk
from qnet.emulate.testbed.cuts import Cuts
from qnet.emulate.testbed.testbed import Testbed
from qnet.model.topology import Topology

Sends = Iterable[tuple[float, str, int, bytes]]
"""After how long, out of which switch and port, which frame."""

Behaviour = Callable[[str, int, bytes], Sends]
"""What comes of a frame that comes into a switch by a port."""


class Fabric:
    """Does what a testbed asks of its switches."""

    is_away = False

    def __init__(self, testbed: Testbed, behaviour: Behaviour) -> None:
        self.wiring = testbed.wiring
        self.behaviour = behaviour
        self.down: set[tuple[str, int]] = set()
        self.follower = Follower(self.wiring, self.put, self.take, hosts_are_real=False)
        self._due: list[tuple[float, int, str, int, bytes]] = []
        self._order = count()

    def confirm(self) -> None:
        """Imagined switches are always at work."""

    def talks(self, place: int = 0) -> dict[str, Talk]:
        """Nobody hangs up on them."""
        del place
        return {}

    def put(self, node: str, port: int, data: bytes) -> bool:
        if (node, port) in self.down:
            return False
        for after_s, by, out, sent in self.behaviour(node, port, data):
            due = (time.monotonic() + after_s, next(self._order), by, out, sent)
            heapq.heappush(self._due, due)
        return True

    def take(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        wait_s = min(until, self._due[0][0] if self._due else until) - time.monotonic()
        time.sleep(max(wait_s, 0))
        if not self._due or self._due[0][0] > time.monotonic():
            return False
        _, _, node, port, data = heapq.heappop(self._due)
        followed = (node, port) in self.down or self.follower.came_out(node, port, data)
        if not followed and port != HOST_PORT:
            wire = self.wiring.port_at[node, port]
            self.put(wire.target, self.wiring.in_port(wire), data)
        return True

    def pump(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.follower.look(left)

    def set_wire(self, name: str, *, up: bool) -> None:
        port = self.wiring.topology.port_by_name[name]
        for one in (port, self.wiring.reverse[name]):
            place = (one.source, self.wiring.openflow_port[one.name])
            (self.down.discard if up else self.down.add)(place)

    def undone(self) -> list[tuple[str, int]]:
        return []

    def outage(
        self, data: bytes, path: Sequence[str], wires: Sequence[str], most_s: float
    ) -> Stall | None:
        return self.follower.outage(
            data, path, wires, lambda name: self.set_wire(name, up=False), most_s
        )

    def trace(self, node: str, port: int, data: bytes) -> str:
        return ""

    def tables(self, node: str) -> Switch:
        return Switch(node, 0, (), (), ())

    def close(self) -> None: ...


def imagine(topology: Topology, behaviour: Behaviour, **how: float | bool) -> Testbed:
    """Return a testbed whose switches are imagined."""
    testbed = Testbed(topology, "tcp:127.0.0.1:9", **how)  # type: ignore[arg-type]
    fabric = Fabric(testbed, behaviour)
    testbed.fabric, testbed._net = fabric, fabric.follower  # type: ignore[assignment]
    testbed._cuts = Cuts(fabric, testbed.wiring)  # type: ignore[arg-type]
    testbed.connected_at = time.monotonic()
    return testbed
