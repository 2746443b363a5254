"""The testbed's switches with devices and real hosts: inside namespaces, asked from outside.

`RemoteSwitches` is to a testbed what `Fabric` of `qnet.emulate.switches.dummy_switches` is: frames
go into switches and what comes out is told. The work is done by a child process, inside namespaces
of its own (`qnet.emulate.testbed.agent`), which reads requests from a socket that both have from
the start.
"""

from __future__ import annotations

import contextlib
import pickle
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from qnet.emulate.frames.streaming import ChangeSeen, Pace, PacedPair
from qnet.emulate.frames.trips import Delivery, Stall, Traversal, Trip
from qnet.emulate.openflow.counters import Counters
from qnet.emulate.openflow.nouns import Switch
from qnet.emulate.process import cleanup, namespaces
from qnet.emulate.process.all_or_nothing import AllOrNothing
from qnet.emulate.process.relay import Relay, sockets_in
from qnet.emulate.process.watch import LOOK_S, STOPPED_S
from qnet.emulate.rules.wiring import Wiring
from qnet.emulate.switches.switch_set import SwitchSet
from qnet.emulate.switches.talk import USUAL, Talk, Version
from qnet.emulate.tiers import probe
from qnet.emulate.tiers.mininet import JOB
from qnet.errors import EnvironmentMissing, QnetError
from qnet.model.topology import Topology


class Ran(NamedTuple):
    """What a host's command wrote, and its exit code: 124 if it took too long."""

    exit_code: int
    output: str


class RemoteSwitches(SwitchSet, AllOrNothing):
    """Switches and hosts of a topology in namespaces of their own; a context manager.

    `controllers` are where each listens outside, as in tcp:127.0.0.1:6653. Raises
    EnvironmentMissing without root, Open vSwitch or Mininet.
    """

    def __init__(
        self, topology: Topology, controllers: Sequence[str], versions: Sequence[Version] = USUAL
    ) -> None:
        super().__init__()
        self.versions = tuple(versions)
        self.topology = topology
        self.wiring = Wiring(topology)
        self.controllers = tuple(controllers)
        self._open = ExitStack()
        self._words: Any = None
        self._line: Connection | None = None
        self._folder: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End the child and all that is in its namespaces; may be called at any time, and again."""
        self._open.close()

    def _start(self) -> None:
        reason = probe.missing_tools()
        if reason is not None:
            raise EnvironmentMissing(reason)
        folder = cleanup.new_run()
        self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        with (folder / JOB).open("wb") as file:
            pickle.dump((self.topology, self.versions, len(self.controllers)), file)
        self._words = self._open.enter_context((folder / "words").open("w+"))
        numbers = self.wiring.datapath_ids
        self.relays = tuple(
            self._open.enter_context(Relay(sockets_in(folder, numbers, place), *each, self.tls))
            for place, each in enumerate(zip(self.controllers, self.listeners, strict=True))
        )
        mine, childs = socket.socketpair()
        self._line = self._open.enter_context(Connection(mine.detach()))
        with childs:
            inherited = (childs.fileno(),)
            child = namespaces.start(
                "qnet.emulate.testbed.agent", folder, self._words, inherited=inherited
            )
            self._open.callback(namespaces.end, child)
        self._folder, self._child = folder, child
        self._hear()

    def _ask(self, what: str, *arguments: object) -> Any:
        assert self._line is not None, "use RemoteSwitches in a with statement"
        with contextlib.suppress(OSError):  # its last words say more
            self._line.send((what, arguments))
        return self._hear()

    def _hear(self) -> Any:
        assert self._line is not None
        assert self._child is not None
        assert self._folder is not None
        since: float | None = None
        try:
            while not self._line.poll(LOOK_S):
                if not namespaces.stands_still(self._child):
                    since = None
                elif time.monotonic() - (since := since or time.monotonic()) > STOPPED_S:
                    raise namespaces.stopped()
            answer = self._line.recv()
        except (EOFError, OSError):
            code = self._child.wait()
            raise namespaces.broken(self._folder, code, self._words) from None
        if isinstance(answer, QnetError):
            raise answer
        return answer

    def follow(
        self,
        frames: Sequence[tuple[str, bytes]],
        patience_s: float,
        asks: tuple[str, int] | None = None,
        into: int | None = None,
    ) -> list[Trip]:
        """As `qnet.emulate.frames.trips.Follower.follow`."""
        trips: list[Trip] = self._ask("follow", list(frames), patience_s, asks, into)
        return trips

    def discovered(self) -> dict[tuple[str, int], float]:
        """Return when LLDP last came out of each switch and port, on the monotonic clock."""
        found: dict[tuple[str, int], float] = self._ask("discovered")
        return found

    def unexpected(self) -> tuple[tuple[int, Delivery], ...]:
        """Return what came out of switches since this was last asked, each with its port."""
        found: tuple[tuple[int, Delivery], ...] = self._ask("unexpected")
        return found

    def trip(self, number: int) -> Trip:
        """Return what is known by now of a frame that was followed."""
        trip: Trip = self._ask("trip", number)
        return trip

    def passages(self, number: int) -> tuple[Traversal, ...]:
        """Return all copies of a frame that was followed, in the order in which they went in."""
        found: tuple[Traversal, ...] = self._ask("passages", number)
        return found

    def still_s(self) -> float:
        """Return for how long no frame that is followed has moved."""
        return float(self._ask("still_s"))

    def address(self, host: str, ip: int) -> int | None:
        """Return the MAC address that a host has been told for an IP address since it asked."""
        found: int | None = self._ask("address", host, ip)
        return found

    def received(self, host: str) -> tuple[Delivery, ...]:
        """Return what came to a host since this was last asked."""
        found: tuple[Delivery, ...] = self._ask("received", host)
        return found

    def outage(
        self, data: bytes, path: Sequence[str], wires: Sequence[str], most_s: float
    ) -> Stall | None:
        """Take wires down and return how long nothing came to the end of a path over them."""
        found: Stall | None = self._ask("outage", data, tuple(path), tuple(wires), most_s)
        return found

    def stream_through(
        self,
        pairs: Sequence[PacedPair],
        hopeless: Sequence[bool],
        wires: Mapping[str, bool],
        pace: Pace,
    ) -> ChangeSeen:
        """Set wires up (True) or down while pairs of hosts send; return what came when."""
        asked = tuple(pairs), tuple(hopeless), dict(wires), pace
        found: ChangeSeen = self._ask("stream_through", *asked)
        return found

    def pump(self, seconds: float) -> None:
        """Let switches, hosts and controller talk for a while of wall-clock time."""
        self._ask("pump", seconds)

    def advance(self, seconds: float) -> None:
        """Wait for so long: real hosts and wires have the one clock that there is."""
        self.pump(seconds)
        self.fence()

    def set_wire(self, port_name: str, *, up: bool) -> None:
        """Take a wire down, or up again; returns when both its switches have seen it."""
        self._ask("set_wire", port_name, up)

    def undone(self) -> list[tuple[str, int]]:
        """Return ports that are up though their wire is down: none, since they have a carrier."""
        return []

    def tables(self, node: str) -> Switch:
        """Read what a switch has now: entries, groups and meters."""
        found: Switch = self._ask("tables", node)
        return found

    def counters(self, node: str) -> Counters:
        """Read what a switch has counted by now."""
        found: Counters = self._ask("counters", node)
        return found

    def restart_switch(self, node: str) -> None:
        """Take a switch away and make it anew, with its ports and without entries."""
        self._ask("restart_switch", node)

    def close_tables(self, node: str) -> dict[int, int]:
        """Have a switch take no more entries than it has now; return how many, by table."""
        found: dict[int, int] = self._ask("close_tables", node)
        return found

    def open_tables(self, node: str) -> None:
        """Have a switch take entries again."""
        self._ask("open_tables", node)

    def trace(self, node: str, port: int, data: bytes) -> str:
        """Have a switch explain what it does with a frame that comes in by an OpenFlow port."""
        return str(self._ask("trace", node, port, data))

    def fence(self) -> None:
        """Make rule changes hold for every later frame, in all switches."""
        self._ask("fence")

    def confirm(self) -> None:
        """Raise TestbedBroken when a switch or a host is not at work."""
        self._ask("confirm")

    def logged_talks(self, place: int = 0) -> dict[str, Talk]:
        """Return, by node, what the logs of switches say of their controller."""
        found: dict[str, Talk] = self._ask("logged_talks", place)
        return found

    def entry_count(self) -> int:
        """Return how many entries all tables have together."""
        return int(self._ask("entry_count"))

    def run(self, host: str, command: str, most_s: float) -> Ran:
        """Run a shell command in a host, while wires carry what it sends."""
        ran: Ran = self._ask("run", host, command, most_s)
        return ran
