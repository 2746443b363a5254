"""Real switches without devices: one private Open vSwitch for each node, frames over Unix sockets.

Every switch has daemons of its own: the main thread of Open vSwitch visits all ports of all its
bridges for every frame, so that a frame through thirty switches in one process takes twenty times
as long as through thirty processes.

A frame on its way into a switch gets twelve bytes behind it, by which it is known when it comes
out, whatever the rules did to its head. That a frame has not come out is known from the switch's
own count of frames, not from a clock.
"""

from __future__ import annotations

import math
import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from qnet.emulate.frames.streaming import ChangeSeen, Pace, PacedPair, stream_through
from qnet.emulate.frames.trips import MAGIC, TRAILER_BYTES, Follower, Stall
from qnet.emulate.openflow.counters import Counters
from qnet.emulate.openflow.nouns import Switch
from qnet.emulate.process.all_or_nothing import AllOrNothing
from qnet.emulate.process.relay import Listener, Relay
from qnet.emulate.process.watch import LOOK_S, Part, Watch
from qnet.emulate.rules.wiring import HOST_PORT, Wiring
from qnet.emulate.switches.ovs import READY_S, Bridge, Ovs, SwitchFailure, SwitchPort, close_all
from qnet.emulate.switches.switch_set import SwitchSet, read_counters, read_switch
from qnet.emulate.switches.table_limits import close_tables, open_tables
from qnet.emulate.switches.talk import USUAL, Talk, Version
from qnet.progress import Heeded

OUTSTANDING = 24
"""Frames in one switch at a time; Open vSwitch drops what is beyond 100 in a dummy port's queue."""

PATIENCE_MS = 3
"""After this long without a frame coming out, the switch is asked whether it has seen all."""

EMPTY_TURNS = 4
"""Turns in a row that bring nothing within a millisecond before a switch has written all. One
should do; on a crowded machine frames have been seen to come after one, and why is not known."""

KEPT = 4096
"""Frames after which copies that nobody expected are looked for, and the rest is forgotten."""

BRIDGE = "br0"


class Entry(NamedTuple):
    """A frame that comes into a switch; `copies` are expected out of it, or None if not known."""

    node: str
    port: int
    data: bytes
    copies: int | None = None


class Out(NamedTuple):
    """A frame that came out of a switch."""

    port: int
    data: bytes


class Stray(NamedTuple):
    """A copy that came out of a switch when nobody expected one more."""

    entry: Entry
    out: Out


class _Node:
    """One switch with its sockets."""

    def __init__(self, name: str, ovs: Ovs) -> None:
        self.name = name
        self.ovs = ovs
        self.sockets: dict[int, socket.socket] = {}
        self.sent = 0
        self.outstanding: set[int] = set()
        self.waiting: deque[int] = deque()


class Fabric(SwitchSet, AllOrNothing):
    """The switches of some nodes, each connected to the controller; a context manager."""

    def __init__(
        self,
        wiring: Wiring,
        ports: Mapping[str, Iterable[int]],
        *,
        controllers: Sequence[str] = (),
        carry_control: bool = False,
        follow: bool = False,
        plain_hosts: bool = False,
        versions: Sequence[Version] = USUAL,
        heeded: Heeded | None = None,
    ) -> None:
        """Prepare switches with these OpenFlow ports; `controllers` as in tcp:127.0.0.1:6653.

        With `carry_control`, frames that a controller sends by itself (LLDP) go over the wires;
        with `follow` all frames do, `follower` knows what became of them, and `forward` is not
        for use. With `plain_hosts`, controllers have only switches that are no host's card.
        `heeded` may cancel the start.
        """
        super().__init__()
        self._heeded = heeded or Heeded(None)
        self.wiring = wiring
        self.ports = {node: sorted(numbers) for node, numbers in ports.items()}
        self.controllers = tuple(controllers)
        self._between = ExitStack()
        self._bridges: dict[str, Bridge] = {}
        self._cards = wiring.plain_hosts if plain_hosts else frozenset[str]()
        self.versions = tuple(versions)
        self.carry_control = carry_control or follow
        self.follower = Follower(wiring, self._put, self._look, hosts_are_real=False)
        self.follows = follow
        self.frames = 0
        """Frames that went through a switch."""
        self.strays: list[Stray] = []
        self._nodes: dict[str, _Node] = {}
        self._place: dict[int, tuple[_Node, int]] = {}
        self._rest: dict[int, bytearray] = {}
        self._poll = select.epoll()
        self._entries: dict[int, tuple[Entry, list[Out]]] = {}
        self._key = 0
        self._down: set[tuple[str, int]] = set()
        self._watch = Watch()
        self._next_check = 0.0

    def _start(self) -> None:
        if self.listeners or self.tls is not None:
            listeners: Sequence[Listener | None] = self.listeners or [None] * len(self.controllers)
            self.relays = tuple(
                self._between.enter_context(Relay({}, *each, self.tls))
                for each in zip(self.controllers, listeners, strict=True)
            )
        for node, numbers in self._heeded.wanted(self.ports.items()):
            ovs = Ovs(whose=node, versions=self.versions)
            self._nodes[node] = _Node(node, ovs)
            ovs.__enter__()
            bridge = self._bridges[node] = Bridge(
                BRIDGE,
                self.wiring.datapath_id(node),
                tuple(SwitchPort(f"p{number}", number) for number in numbers),
                self._controllers_for(node),
                rules=self.wiring.card_rules(node) if node in self._cards else (),
            )
            ovs.add_bridges([bridge])
        for one in self._nodes.values():
            self._plug(one)

    def _plug(self, one: _Node) -> None:
        """Take the ends of a switch's ports."""
        for number in self.ports[one.name]:
            end = one.ovs.connect(f"p{number}")
            end.settimeout(LOOK_S)
            one.sockets[number] = end
            self._place[end.fileno()] = (one, number)
            self._rest[end.fileno()] = bytearray()
            self._poll.register(end, select.EPOLLIN)

    def restart_switch(self, node: str) -> None:
        """Take a switch away and make it anew, with its ports and without entries."""
        one = self._nodes[node]
        for end in one.sockets.values():
            self._poll.unregister(end)
            del self._place[end.fileno()]
            end.close()
        one.ovs.vsctl("del-br", BRIDGE)
        one.ovs.add_bridges([self._bridges[node]])
        one.sent = 0
        self._plug(one)
        for cut, number in self._down:
            if cut == node:
                one.ovs.appctl("netdev-dummy/set-admin-state", f"p{number}", "down")

    def close(self) -> None:
        """Stop all switches."""
        for one in self._nodes.values():
            for end in one.sockets.values():
                end.close()
        close_all([one.ovs for one in self._nodes.values()])
        self._nodes.clear()
        self._poll.close()
        self._between.close()

    def _controllers_for(self, node: str) -> tuple[str, ...]:
        """Return where a switch connects to: relays before its controllers, if there are some."""
        if node in self._cards:
            return ()
        return tuple(one.listen(node) for one in self.relays) or self.controllers

    def ovs(self, node: str) -> Ovs:
        """Return the private Open vSwitch of a node."""
        return self._nodes[node].ovs

    def tables(self, node: str) -> Switch:
        """Read what a switch has now: entries, groups and meters."""
        return read_switch(self.ovs(node), BRIDGE, node, self.wiring.datapath_id(node))

    def counters(self, node: str) -> Counters:
        """Read what a switch has counted by now."""
        return read_counters(self.ovs(node), BRIDGE, node)

    def close_tables(self, node: str) -> dict[int, int]:
        """Have a switch take no more entries than it has now; return how many, by table."""
        return close_tables(self.ovs(node), BRIDGE)

    def open_tables(self, node: str) -> None:
        """Have a switch take entries again."""
        open_tables(self.ovs(node), BRIDGE)

    def trace(self, node: str, port: int, data: bytes) -> str:
        """Have a switch explain what it does with a frame that comes in by an OpenFlow port."""
        return self.ovs(node).trace(BRIDGE, port, data)

    def fence(self) -> None:
        """Make rule changes hold for every later frame, in all switches."""
        for one in self._nodes.values():
            one.ovs.fence()

    def advance(self, seconds: float) -> None:
        """Put the clocks of all switches forward, while wires carry what comes of it."""
        with ThreadPoolExecutor(len(self._nodes)) as threads:
            going = [
                threads.submit(one.ovs.advance, seconds, BRIDGE) for one in self._nodes.values()
            ]
            while not all(one.done() for one in going):
                self.pump(0.01)
            for one in going:
                one.result()

    def set_wire(self, port_name: str, *, up: bool) -> None:
        """Take the ports at both ends of a wire down, or up again; returns when it has happened."""
        port = self.wiring.topology.port_by_name[port_name]
        ends = (
            (port.source, self.wiring.openflow_port[port.name]),
            (port.target, self.wiring.in_port(port)),
        )
        for node, number in ends:
            if node in self._nodes and number in self._nodes[node].sockets:
                state = "up" if up else "down"
                self.ovs(node).appctl("netdev-dummy/set-admin-state", f"p{number}", state)
                (self._down.discard if up else self._down.add)((node, number))

    def undone(self) -> list[tuple[str, int]]:
        """Return ports that are to be down and that the controller has set up again.

        A dummy port knows no carrier: the wire is cut by the port's administrative state, which an
        OpenFlow port modification changes too.
        """
        return [
            (node, number)
            for node, number in sorted(self._down)
            if not _is_down(self.ovs(node).ofctl("dump-ports-desc", BRIDGE), number)
        ]

    def outage(
        self, data: bytes, path: Sequence[str], wires: Sequence[str], most_s: float
    ) -> Stall | None:
        """Take wires down and return how long nothing came to the end of a path over them."""
        return self.follower.outage(
            data, path, wires, lambda name: self.set_wire(name, up=False), most_s
        )

    def stream_through(
        self,
        pairs: Sequence[PacedPair],
        hopeless: Sequence[bool],
        wires: Mapping[str, bool],
        pace: Pace,
    ) -> ChangeSeen:
        """Set wires up (True) or down while pairs of hosts send; return what came when."""
        return stream_through(self.follower, pairs, hopeless, partial(self.set_wires, wires), pace)

    def set_wires(self, wires: Mapping[str, bool]) -> None:
        """Set wires up (True) or down, by the names of their ports."""
        for name, up in wires.items():
            self.set_wire(name, up=up)

    def forward(self, entries: Sequence[Entry]) -> list[list[Out]]:
        """Send frames into switches, in order, and return what came out for each, by port.

        A frame whose number of copies is not known is waited for until the switch has counted it.
        """
        if len(self._entries) > KEPT:
            self.settle()
            self._entries.clear()
        keys = []
        for entry in entries:
            self._key += 1
            keys.append(self._key)
            self._entries[self._key] = (entry, [])
            self._nodes[entry.node].waiting.append(self._key)
        self.frames += len(entries)
        busy = {entry.node: self._nodes[entry.node] for entry in entries}
        since = time.monotonic()
        while busy:
            for one in busy.values():
                self._feed(one)
            if self._take(PATIENCE_MS if self._hopeful(busy.values()) else 0):
                since = time.monotonic()
            else:
                for one in busy.values():
                    self._settle(one)
                self._check_pace(since, busy.values())
            busy = {name: one for name, one in busy.items() if one.waiting or one.outstanding}
        return [sorted(self._entries[key][1]) for key in keys]

    def pump(self, seconds: float) -> None:
        """Let switches and controller talk for a while of wall-clock time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.follower.look(max(left, 0.001))

    def confirm(self) -> None:
        """Raise TestbedBroken when a switch is not at work: before a loss is blamed on others."""
        self._watch.blame(self.parts, 0)

    def parts(self) -> list[Part]:
        """Return the daemons of all switches, for who looks whether they are at work."""
        return [part for one in self._nodes.values() for part in one.ovs.parts()]

    def logged_talks(self, place: int = 0) -> dict[str, Talk]:
        """Return, by node, what the logs of switches say of their controller."""
        found = {}
        for name in (one for one in self._nodes if one not in self._cards):
            targets = {BRIDGE: self._bridges[name].controllers[place]}
            found[name] = self.ovs(name).talks([BRIDGE], targets)[BRIDGE]
        return found

    def entry_count(self) -> int:
        """Return how many entries all tables have together."""
        flows = (one.ovs.appctl("bridge/dump-flows", BRIDGE) for one in self._nodes.values())
        return sum(text.count("\n") for text in flows)

    def _hopeful(self, busy: Iterable[_Node]) -> bool:
        """Tell whether a frame whose number of copies is known is still to come out."""
        return any(
            self._entries[key][0].copies is not None for one in busy for key in one.outstanding
        )

    def _check_pace(self, since: float, busy: Iterable[_Node]) -> None:
        """Look at switches that have taken nothing for a while; raise when it was long."""
        waited = time.monotonic() - since
        if waited > LOOK_S:
            for one in busy:
                one.ovs.check()
        if waited > READY_S:
            names = ", ".join(one.name for one in busy if one.waiting or one.outstanding)
            raise SwitchFailure(f"{names}: frames were not taken in {READY_S:.0f} s")

    def _feed(self, one: _Node) -> None:
        while one.waiting and len(one.outstanding) < OUTSTANDING:
            key = one.waiting.popleft()
            entry = self._entries[key][0]
            self._send(one, entry.port, entry.data + MAGIC + key.to_bytes(8, "big"))
            one.outstanding.add(key)

    def _put(self, node: str, port: int, data: bytes) -> bool:
        """Send a frame into a switch; return False where the port is not there or down."""
        one = self._nodes.get(node)
        return one is not None and self._send(one, port, data)

    def _look(self, seconds: float) -> bool:
        if time.monotonic() >= self._next_check:
            self._watch.check(self.parts())
            self._next_check = time.monotonic() + LOOK_S
        return self._take(math.ceil(seconds * 1000))

    def _send(self, one: _Node, port: int, data: bytes) -> bool:
        if (one.name, port) in self._down:
            return False
        left = memoryview(len(data).to_bytes(2, "big") + data)
        give_up = time.monotonic() + READY_S
        while left:
            try:
                left = left[one.sockets[port].send(left) :]
            except TimeoutError as error:
                one.ovs.check()
                if time.monotonic() > give_up:
                    raise one.ovs.broken(f"port {port} takes no frame") from error
            except OSError as error:
                raise one.ovs.broken(f"port {port} takes no frame: {error}") from error
        one.sent += 1
        return True

    def _take(self, patience_ms: int) -> bool:
        """Read what has come out; return whether anything had."""
        events = self._poll.poll(patience_ms / 1000)
        for handle, _ in events:
            one, number = self._place[handle]
            try:
                received = one.sockets[number].recv(1 << 18)
            except OSError as error:
                raise one.ovs.broken(f"port {number} closed: {error}") from error
            if not received:
                raise one.ovs.broken(f"port {number} closed")
            rest = self._rest[handle]
            rest += received
            while len(rest) >= 2 and len(rest) >= (size := int.from_bytes(rest[:2], "big")) + 2:
                self._came_out(one, number, bytes(rest[2 : size + 2]))
                del rest[: size + 2]
        return bool(events)

    def _came_out(self, one: _Node, number: int, data: bytes) -> None:
        if self.follows and self.follower.came_out(one.name, number, data):
            return
        if self.follows or data[-TRAILER_BYTES:-8] != MAGIC:
            if self.carry_control and number != HOST_PORT:
                port = self.wiring.port_at.get((one.name, number))
                if port is not None:
                    self._put(port.target, self.wiring.in_port(port), data)
            return
        key = int.from_bytes(data[-8:], "big")
        out = Out(number, data[:-TRAILER_BYTES])
        entry, outs = self._entries[key]
        if entry.copies is not None and key not in one.outstanding:
            self.strays.append(Stray(entry, out))
            return
        outs.append(out)
        if len(outs) == entry.copies:
            one.outstanding.discard(key)

    def _settle(self, one: _Node) -> None:
        """Give up on frames that the switch has dealt with: nothing more comes out for them."""
        if not one.outstanding:
            return
        if one.ovs.frames_seen() < one.sent:
            return
        self._drain(one)
        one.outstanding.clear()

    def _drain(self, one: _Node) -> None:
        """Read all that a switch has for frames that it has counted."""
        empty = 0
        while empty < EMPTY_TURNS:
            one.ovs.turn()
            empty = 0 if self._take(1) else empty + 1

    def settle(self, heeded: Heeded | None = None) -> None:
        """Read copies that nobody expected, out of all switches; they are in `strays` then."""
        for one in (heeded or Heeded(None)).wanted(self._nodes.values()):
            since = time.monotonic()
            while one.ovs.frames_seen() < one.sent:
                self._check_pace(since, [one])
                time.sleep(0.001)
            self._drain(one)
        self.strays.sort()


def _is_down(ports: str, number: int) -> bool:
    """Tell from what ovs-ofctl says of all ports whether one is down."""
    found = re.search(rf"^ {number}\(.*?^ +config: +(.*?)$", ports, re.MULTILINE | re.DOTALL)
    return found is not None and "PORT_DOWN" in found[1]
