"""Switches under a controller that somebody else started: wait until it has done its work.

Nobody says when a stranger's controller is ready. Its switches are connected when Open vSwitch says
so; it is ready when it has left all tables alone for a while, or when they are as they should be.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from qnet.emulate.openflow.counters import (
    Counters,
    read_entry_counters,
    read_group_counters,
    read_meter_counters,
    read_port_counters,
)
from qnet.emulate.openflow.nouns import Switch
from qnet.emulate.openflow.text import read_flows, read_groups, read_meters
from qnet.emulate.process.address import stopped_listener
from qnet.emulate.process.relay import WANTS_TLS, Listener, Relay
from qnet.emulate.process.tls import TlsFiles
from qnet.emulate.rules.audit import audit_streams
from qnet.emulate.rules.streams import SwitchedStream
from qnet.emulate.rules.wiring import Wiring
from qnet.emulate.switches.ovs import Ovs
from qnet.emulate.switches.talk import Talk, never_connected, unspoken
from qnet.errors import EnvironmentMissing
from qnet.progress import Heeded

STOPPED = "is stopped (SIGSTOP)"

CONNECT_S = 20.0
"""Longest wait for a controller that somebody else started."""

SETTLE_S = 45.0
"""A controller that falls short is looked at again until its switches are connected for so long.

Spanning tree needs 30 s for a port, twice the forward delay (IEEE 802.1D)."""


def read_switch(ovs: Ovs, bridge: str, node: str, datapath_id: int) -> Switch:
    """Read what the bridge of a node has now: entries, groups and meters."""
    unread: list[str] = []
    rules = read_flows(ovs.dump("flows", bridge), unread)
    groups = read_groups(ovs.dump("groups", bridge), unread)
    meters = read_meters(ovs.dump("meters", bridge), unread)
    return Switch(node, datapath_id, rules, groups, meters, tuple(unread))


def read_counters(ovs: Ovs, bridge: str, node: str) -> Counters:
    """Read what the bridge of a node has counted by now."""
    ovs.fence()  # what the datapath's flows have counted is theirs until then
    return Counters(
        node,
        read_entry_counters(ovs.statistics("flows", bridge)),
        read_port_counters(ovs.statistics("ports", bridge), ovs.statistics("ports-desc", bridge)),
        read_group_counters(ovs.statistics("groups", bridge)),
        read_meter_counters(ovs.statistics("meters", bridge)),
    )


Controllers = Sequence[str] | Mapping[str, Sequence[str]]
"""Where switches connect to, all of them or each by its node, as in tcp:127.0.0.1:6653."""


def controllers_of(every: Controllers, node: str) -> tuple[str, ...]:
    """Return where the switch of a node connects to."""
    return tuple(every[node] if isinstance(every, Mapping) else every)


class SwitchSet(ABC):
    """What a set of switches can say of itself, whichever way its frames are carried."""

    wiring: Wiring
    relays: tuple[Relay, ...] = ()
    """What stands between switches and each of their controllers."""
    listeners: Sequence[Listener] = ()
    """Who is told what they say, for each controller; given before switches start."""
    tls: TlsFiles | None = None
    """What controllers at ssl:HOST:PORT need; given before switches start."""

    def __init__(self) -> None:
        self.excused: Counter[tuple[str, int]] = Counter()
        """Connections that the testbed itself has ended, by node and the place of the controller
        among several: no controller's doing."""
        self.is_away = False
        """The testbed itself keeps all controllers away now, or has them begin anew."""

    @abstractmethod
    def logged_talks(self, place: int = 0) -> Mapping[str, Talk]:
        """Return, by node, what the logs of switches say of their controller.

        `place` is its place among several.
        """

    def talks(self, place: int = 0) -> dict[str, Talk]:
        """Return, by node, what switches have with their controller, by its own doing."""
        refusal = self.relays[place].refusal if self.relays else ""
        found = {}
        for node, talk in self.logged_talks(place).items():
            ended = self.excused[node, place]
            one = talk._replace(connections=max(talk.connections - ended, 0))
            lost = refusal and not one.connected
            found[node] = one._replace(failed=refusal) if lost else one
        return found

    @abstractmethod
    def confirm(self) -> None:
        """Raise TestbedBroken when a switch is not at work: before a loss is blamed on others."""

    @abstractmethod
    def entry_count(self) -> int:
        """Return how many entries all tables have together."""

    @abstractmethod
    def tables(self, node: str) -> Switch:
        """Read what a switch has now: entries, groups and meters."""

    @abstractmethod
    def counters(self, node: str) -> Counters:
        """Read what a switch has counted by now."""

    @abstractmethod
    def restart_switch(self, node: str) -> None:
        """Take a switch away and make it anew, with its ports and without entries."""

    @abstractmethod
    def close_tables(self, node: str) -> dict[int, int]:
        """Have a switch take no more entries than it has now; return how many, by table."""

    @abstractmethod
    def open_tables(self, node: str) -> None:
        """Have a switch take entries again."""

    @abstractmethod
    def trace(self, node: str, port: int, data: bytes) -> str:
        """Have a switch explain what it does with a frame that comes in by an OpenFlow port."""

    @abstractmethod
    def pump(self, seconds: float) -> None:
        """Let switches and controller talk for a while of wall-clock time."""

    def wait_connected(
        self,
        controller: str,
        most_s: float = CONNECT_S,
        heeded: Heeded | None = None,
        *,
        place: int = 0,
    ) -> None:
        """Wait for every switch's connection; raises EnvironmentMissing when one gets none.

        `place` is that of the controller among several.
        """
        begun = time.monotonic()
        heeded = heeded or Heeded(None)
        while True:
            heeded.look()
            talks = self.talks(place)
            if all(one.connected for one in talks.values()):
                return
            waited_s = time.monotonic() - begun
            words = unspoken(talks, controller)
            if self.relays and self.relays[place].wrong:
                words = f"the controller at {controller}: {self.relays[place].wrong}"
            if words is None and waited_s > most_s:
                process = stopped_listener(controller)
                words = never_connected(talks, controller, waited_s)
                if self.relays and self.relays[place].wants_tls():
                    words = f"the controller at {controller}: {WANTS_TLS}"
                if process is not None:
                    words = f"the controller at {controller} (process {process}) {STOPPED}"
            if words is not None:
                raise EnvironmentMissing(words)
            self.pump(0.05)
            self.confirm()

    def wait_quiet(
        self, quiet_s: float = 1.0, most_s: float = CONNECT_S, heeded: Heeded | None = None
    ) -> None:
        """Wait until the controller has left all tables alone for a while of wall-clock time."""
        end = time.monotonic() + most_s
        heeded = heeded or Heeded(None)
        before, since = -1, time.monotonic()
        while time.monotonic() - since < quiet_s and time.monotonic() < end:
            heeded.look()
            self.pump(0.05)
            now = self.entry_count()
            if now != before:
                before, since = now, time.monotonic()

    def wait_as_planned(
        self,
        streams: Iterable[SwitchedStream],
        nodes: Sequence[str],
        most_s: float = SETTLE_S,
        heeded: Heeded | None = None,
    ) -> bool:
        """Wait until all streams are carried as planned, or for so long; return whether they are.

        A slow controller may be quiet before it begins; what is as planned needs no wait.
        """
        streams, heeded = tuple(streams), heeded or Heeded(None)
        end = time.monotonic() + most_s
        self.wait_quiet(0.1, heeded=heeded)
        while any(
            one.stream
            for one in audit_streams(
                self.wiring, streams, [self.tables(node) for node in heeded.wanted(nodes)]
            )
        ):
            if time.monotonic() >= end:
                return False
            self.wait_quiet(most_s=end - time.monotonic(), heeded=heeded)
        return True
