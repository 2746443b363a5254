"""A network of real switches and hosts for somebody's own controller, judged without a plan.

Every node of the topology is a switch with one host on port 1 (`qnet.emulate.rules.wiring`). Frames
go from switch to switch at once: what is judged is where they go, not when. Times are wall-clock
times of the controller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from qnet.emulate.frames import packets
from qnet.emulate.frames.likeness import Frame, Ignored, Likeness, frame_bytes
from qnet.emulate.frames.streaming import ChangeSeen, Pace, PacedPair
from qnet.emulate.frames.trips import Delivery, Follower, Stall, Traversal, Trip
from qnet.emulate.openflow.counters import Counters
from qnet.emulate.openflow.diff import Differences, read_tables, tables_apart
from qnet.emulate.openflow.nouns import Switch, show_ipv4, show_mac
from qnet.emulate.process.all_or_nothing import AllOrNothing
from qnet.emulate.rules.wiring import HOST_PORT, Wiring
from qnet.emulate.switches.dummy_switches import Fabric
from qnet.emulate.switches.switch_set import CONNECT_S, SETTLE_S
from qnet.emulate.switches.talk import USUAL, Version
from qnet.emulate.testbed import injections
from qnet.emulate.testbed.channel import ChannelLog
from qnet.emulate.testbed.controller_set import ControllerSet, Given
from qnet.emulate.testbed.cuts import Cuts, NotThere, check_names
from qnet.emulate.testbed.expectations import Expectations, Unexpected
from qnet.emulate.testbed.findings import Suspect, steps, suspect
from qnet.emulate.testbed.latency import WayLatency, way_latencies
from qnet.emulate.testbed.pings import Ping, not_found, summed
from qnet.emulate.testbed.spoken import spoken
from qnet.emulate.testbed.takeovers import Takeover, wait_master
from qnet.emulate.testbed.waiting import Stillness, seconds, wait_until
from qnet.errors import EnvironmentMissing
from qnet.model.emulation import Tier
from qnet.model.topology import Topology

if TYPE_CHECKING:
    from qnet.emulate.testbed.refusals import RefusingSwitch
    from qnet.emulate.testbed.remote import Ran, RemoteSwitches

_T = TypeVar("_T")

PATIENCE_S = 0.4
"""A controller has this long to send on a frame for which a switch has no rule."""

LATE_S = 1.0
"""Least time without any frame moving after which those that have not come are lost, not late."""

LATE_MOST_S = 10.0
"""Longest wait for late frames."""

VAIN_WAITS = 3
"""After so many waits for late frames in a row that brought none, there are no more."""

FAILOVER_S = 10.0
"""Longest wait for a way round a cut link, unless told otherwise."""

RUN_S = 30.0
"""Longest time for a host's command, unless told otherwise."""

ACTS_S = 0.1
"""A controller has so long to act on what has run out."""

NOTHING_S = 0.1
"""So long it is waited for what nobody expects, unless told otherwise."""


class Isolation(NamedTuple):
    """What of all that a host sent came to another one; true where nothing did."""

    came: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.came


class Testbed(AllOrNothing):
    """Switches of a topology under one controller, in the hands of a test; a context manager.

    Raises EnvironmentMissing where Open vSwitch is not installed, or when the controller does not
    answer.
    """

    __test__ = False  # the name begins with Test, which pytest would collect

    def __init__(
        self,
        topology: Topology,
        controller: Given | ControllerSet,
        *,
        tier: Tier = "lockstep",
        patience_s: float = PATIENCE_S,
        connect_s: float = CONNECT_S,
        settle_s: float = 0.0,
        arp: bool = False,
        versions: Sequence[Version] = USUAL,
    ) -> None:
        """Prepare; `controller` is where it listens, as in tcp:127.0.0.1:6653.

        Of several, where each does, also by names of theirs: switches are connected to all. Those
        at ssl:HOST:PORT need the files that a ControllerSet has.

        In tier `mininet` switches have devices, and hosts are real ones; it needs root. A
        controller has `settle_s` after its switches are connected before anything is sent.
        With `arp`, hosts know all addresses, else they ask for them. Switches speak these
        `versions` of OpenFlow.
        """
        self.connect_s = connect_s
        self.settle_s = settle_s
        self.knows_addresses = arp
        self.suspect: Suspect | None = None
        """Frames of the last check that failed."""
        self.connected_at = 0.0
        """When the last switch was connected, on the monotonic clock."""
        self._number = 0
        self.frames = 0
        """Frames that hosts have sent so far, their answers included."""
        self._vain_waits = 0
        self.topology = topology
        self.wiring = Wiring(topology)
        if not isinstance(controller, ControllerSet):
            controller = ControllerSet(controller)
        self.controllers: ControllerSet = controller
        self.patience_s = patience_s
        self.tier = tier
        names = self.controllers.names
        self.channel = ChannelLog(self.wiring.datapath_ids, controllers=names)
        """What switches and controllers said to each other."""
        self.roles = self.channel.roles
        """Which of several controllers is master, by switch."""
        where = tuple(self.controllers.addresses.values())
        self.fabric: Fabric | RemoteSwitches
        self._net: Follower | RemoteSwitches
        if tier == "mininet":
            from qnet.emulate.testbed.remote import RemoteSwitches  # noqa: PLC0415

            self.fabric = self._net = RemoteSwitches(topology, where, versions)
        else:
            ports = {node.name: {HOST_PORT} for node in topology.nodes}
            for port in topology.ports:
                ports[port.source].add(self.wiring.openflow_port[port.name])
                ports[port.target].add(self.wiring.in_port(port))
            self.fabric = Fabric(
                self.wiring,
                ports,
                controllers=where,
                follow=True,
                plain_hosts=True,
                versions=versions,
            )
            self._net = self.fabric.follower
        self._expectations = Expectations(self)
        self._cuts = Cuts(self.fabric, self.wiring)
        self.fabric.listeners = self.channel.ears()
        self.fabric.tls = self.controllers.tls
        self.hosts = self.wiring.hosts
        self.switches = self.wiring.switches

    def _start(self) -> None:
        self.fabric.__enter__()
        self.controllers.wait_connected(self.fabric, self.connect_s)
        self.connected_at = time.monotonic()
        self.wait(self.settle_s)
        self.settle()

    def close(self) -> None:
        """Stop all switches, and hosts where there are some."""
        self.fabric.close()

    def settle(self) -> None:
        """Wait until the controller has left all tables alone for a while."""
        self.fabric.wait_quiet()
        self.fabric.fence()

    def wait(self, seconds: float) -> None:
        """Let switches and controller talk for so long: while a test sleeps, wires stand still."""
        self.fabric.pump(seconds)

    def advance(self, time_on: float | str) -> None:
        """Let so much time go by for the switches: entries with a timeout run out.

        In tier lockstep their clocks are put forward, by a minute in a second or two; the
        controller has no more time than that. In tier mininet the time is waited for.
        """
        self.fabric.advance(seconds(time_on))
        self.wait(ACTS_S)

    def wait_until(
        self, condition: Callable[[], _T], within: float | str = SETTLE_S, what: str = ""
    ) -> _T:
        """Return what a condition gives as soon as it holds, while switches and controller talk.

        Raises Unexpected when it does not `within` the time: it says `what` was waited for, how
        the condition stands and how switches and controller do. A condition that raises an
        AssertionError, as `expect` does, or a LookupError, as counters do, does not hold.
        """
        __tracebackhide__ = True
        return wait_until(condition, seconds(within), what, self.wait, self._stands)

    def wait_quiet(self, quiet: float | str = 1.0, within: float | str = SETTLE_S) -> None:
        """Wait until the controller has left the tables alone for a while.

        Raises Unexpected when it has not `within` the time.
        """
        __tracebackhide__ = True
        still = Stillness(self.fabric.entry_count, seconds(quiet))
        what = f"tables to be quiet for {seconds(quiet):g} s"
        wait_until(still, seconds(within), what, self.wait, lambda: (str(still), *self.control()))
        self.fabric.fence()

    def wait_discovered(self, within: float | str = SETTLE_S) -> None:
        """Wait until LLDP has gone over every wire, since it was last mended.

        Raises Unexpected with the wires that it has not gone over `within` the time.
        """

        def undiscovered() -> list[str]:
            seen = self._net.discovered()
            return [
                name
                for (node, number), name in places.items()
                if seen.get((node, number), 0.0) <= self._cuts.mended_at.get(name, 0.0)
            ]

        places = {
            place: port.name
            for place, port in self.wiring.port_at.items()
            if {port.source, port.target} <= set(self.switches)
        }
        __tracebackhide__ = True
        what = "LLDP to go over every wire"
        wait_until(
            lambda: not undiscovered(),
            seconds(within),
            what,
            self.wait,
            lambda: (f"none has gone over {', '.join(undiscovered())}", *self.control()),
        )

    def _stands(self) -> tuple[str, ...]:
        """Say how switches and controller are."""
        return (f"all tables together have {self.fabric.entry_count()} entries", *self.control())

    # Frames

    def _follow(
        self,
        frames: Sequence[tuple[str, bytes]],
        patience_s: float,
        asks: tuple[str, int] | None = None,
        into: int | None = None,
    ) -> list[Trip]:
        trips = self._net.follow(frames, patience_s, asks, into)
        self.frames = max(self.frames, *(one.number for one in trips))
        return trips

    def send(self, host: str, frame: Frame, *, port: int = HOST_PORT) -> Trip:
        """Send a frame from a host and follow all its copies until hosts have them.

        With `port`, it comes into that port of the node's switch instead. What the controller sent
        to hosts meanwhile is in the trip too, without a path. Raises NoFrame for what is none.
        """
        self._check_place(host, port)
        trip = self._follow([(host, frame_bytes(frame))], self.patience_s, into=port)[0]
        self._expectations.sent(host, trip.number)
        if not trip.deliveries:
            self._confirm()
        return trip

    def expect(
        self,
        host: str,
        frame: Frame,
        *,
        within: float | str | None = None,
        ignore: Sequence[Ignored] = (),
        port: int = HOST_PORT,
    ) -> Delivery:
        """Return the next copy of a frame that came to a host, or out of a port of a switch.

        Looked through is what came of `send`, and what controllers and programs of hosts sent, as
        far as it was not expected already. Of the frame, fields such as "IP.ttl" and ranges of
        bytes in `ignore` may be otherwise. Raises Unexpected with what came instead when none has
        come `within` the patience of the testbed, or the time that is given.
        """
        __tracebackhide__ = True
        self._check_place(host, port)
        within_s = self.patience_s if within is None else seconds(within)
        return self._expectations.expect(host, port, Likeness(frame, ignore), within_s)

    def nothing_else(self, *hosts: str, within: float | str = NOTHING_S) -> None:
        """Raise Unexpected when hosts, all of them unless some are named, got anything else.

        Anything but what was expected, and what controllers find wires by (LLDP and such).
        """
        __tracebackhide__ = True
        self._check(*hosts)
        self._expectations.nothing_else(hosts or self.hosts, seconds(within))

    def forget(self) -> None:
        """Forget what has come so far: neither `expect` nor `nothing_else` looks at it."""
        self.suspect = None
        self._expectations.forget()

    def unexpected(self) -> tuple[tuple[int, Delivery], ...]:
        """Return what came out of switches since this was last asked, each with its port."""
        return self._net.unexpected()

    def trip(self, number: int) -> Trip:
        """Return what is known by now of a frame that was sent, by the number of its trip."""
        return self._net.trip(number)

    def latencies(self, trip: Trip, host: str) -> tuple[WayLatency, ...]:
        """Return how long each copy that a host got would have been on its way in the network.

        By the wires, rates and nodes of the topology, where nothing else is sent.
        """
        self._check(host)
        return way_latencies(self.wiring, self.passages(trip.number), host)

    def steps(self, number: int) -> list[str]:
        """Say what each switch did with each copy of a frame, by its entries: a line each."""
        return steps(self, number)

    def arp(self, host: str, target: str) -> Trip:
        """Ask for a host's address, as a host does before anything else.

        A host that is asked answers, as hosts do: who got its reply is in `answers`.
        """
        self._check(host, target)
        request = packets.arp_request(self._end(host), self._end(target).ip)
        asks = (host, self._end(target).ip)
        return self._follow([(host, request)], self.patience_s, asks)[0]

    def received(self, host: str) -> tuple[Delivery, ...]:
        """Return all that a host got since this was last asked, or since the start.

        What has no path came from the controller, or was sent by a real host's program.
        """
        self._check(host)
        return self._net.received(host)

    def ping(self, host: str, target: str, count: int = 3) -> Ping:
        """Find the target's address by ARP, then send `count` UDP frames to it.

        The target answers the ARP request; where the controller has answered for it, it answers
        the first UDP frame, so that a switch can learn where it is. Of frames before that it is
        not asked who else got them.
        """
        self._check(host, target)
        mac, speaks = self._end(target).mac, False
        written = self.controllers.written()
        looped: set[str] = set()
        followed: list[tuple[int, str]] = []
        if not self.knows_addresses:
            found, request = self._find(host, target)
            looped |= set(request.looped)
            followed += [(request.number, target), *((one, host) for one in request.replies)]
            if found is None:
                words = not_found(host, target, request)
                vain = self._pinged_in_vain(host, target, count, words, looped)
                return vain._replace(followed=tuple(followed), written=written)
            mac, speaks = found, any(one.host == host for one in request.answers)
        answered = speaks
        sent: list[tuple[int, bool]] = []
        for _ in range(count):
            trip = self._udp(host, target, mac)
            sent.append((trip.number, speaks))
            followed.append((trip.number, target))
            if trip.at(target) and not speaks:
                speaks = True
                if self.knows_addresses or self._find(target, host)[0] is not None:
                    back = self._udp(target, host, self._end(host).mac)
                    looped |= set(back.looped)
                    followed.insert(0, (back.number, host))
        self._wait_for_late(lambda: all(self._net.trip(one).at(target) for one, _ in sent))
        trips = [(self._net.trip(number), learnt) for number, learnt in sent]
        found_now = summed(target, trips, looped, self.patience_s)._replace(
            answered=answered, followed=tuple(followed), written=written
        )
        if found_now.lost:
            self._confirm()
        astray = suspect(host, target, found_now)
        if astray.kinds:
            self.suspect = astray
        return found_now

    def udp(self, host: str, target: str, size: int = 100) -> Trip:
        """Send one UDP frame of so many bytes to a host's own address."""
        self._check(host, target)
        trip = self._udp(host, target, self._end(target).mac, size)
        if not trip.deliveries:
            self._confirm()
        return trip

    def reaches(self, host: str, target: str) -> bool:
        """Tell whether a host finds another one, and its frames come there, each exactly once."""
        found = self.ping(host, target)
        good = found.received == found.sent and not found.copies
        self.suspect = None if good else suspect(host, target, found)
        return good

    def isolated(self, host: str, target: str) -> Isolation:
        """Tell whether nothing that a host sends comes to another one, and if so, what does.

        Tried are, each twice: ARP, UDP, ICMP, broadcast and multicast of IPv4 and IPv6, an IPv6
        neighbour solicitation and echo request, an unknown EtherType to the host and to all,
        frames tagged for a VLAN and with a priority only, and forged source addresses.
        """
        names: dict[int, str] = {}
        for _ in range(2):  # the first one may be what a controller makes a rule of
            tried = self.every_kind(host, target)
            names |= {trip.number: kind for kind, trip in tried.items()}
        self._confirm()
        came = {number: one for number, one in names.items() if self._net.trip(number).at(target)}
        leaks = tuple((number, target) for number in came)
        self.suspect = Suspect(f"{host} to {target}", ("leak",), leaks, ()) if came else None
        return Isolation(tuple(dict.fromkeys(came.values())))

    def every_kind(self, host: str, target: str) -> dict[str, Trip]:
        """Send one frame of each kind to a host (`packets.kinds`); return the trips by kind."""
        self._check(host, target)
        tried = dict(packets.kinds(self._end(host), self._end(target), self._number + 1))
        self._number += len(tried)
        trips = self._follow([(host, data) for data in tried.values()], self.patience_s)
        return dict(zip(tried, trips, strict=True))

    def _udp(self, host: str, target: str, mac: int, size: int = 100) -> Trip:
        return self._follow([(host, self._datagram(host, target, mac, size))], self.patience_s)[0]

    def _datagram(self, host: str, target: str, mac: int, size: int = 100) -> bytes:
        self._number += 1
        to = self._end(target)._replace(mac=mac)
        return packets.udp(self._end(host), to, self._number, size)

    def _find(self, host: str, target: str) -> tuple[int | None, Trip]:
        """Have a host ask for another one's address; return what it was told, and the request."""
        trip, ip = self.arp(host, target), self._end(target).ip
        self._wait_for_late(lambda: self._net.address(host, ip) is not None)
        return self._net.address(host, ip), self._net.trip(trip.number)

    def _wait_for_late(self, have_come: Callable[[], bool]) -> None:
        """Wait for frames that have not come in time, unless such waits have been in vain."""
        if have_come() or self._vain_waits >= VAIN_WAITS:
            return
        end = time.monotonic() + LATE_MOST_S
        least_s = max(LATE_S, 2 * self.patience_s)
        while not (came := have_come()) and self._net.still_s() < least_s:
            if time.monotonic() > end:
                break
            self.wait(0.05)
        self._vain_waits = 0 if came else self._vain_waits + 1

    def _pinged_in_vain(
        self, host: str, target: str, count: int, words: str, looped: set[str]
    ) -> Ping:
        """Say of a host without the target's address why, and what a frame would meet with."""
        self._confirm()
        trip = self._udp(host, target, self._end(target).mac)
        path = tuple(one.path for one in trip.at(target))
        if path:
            words += "; with --arp its frames would come"
        return Ping(
            count,
            0,
            0,
            (),
            path[-1] if path else (),
            tuple(sorted(looped | set(trip.looped))),
            not_found=words,
            good=(False,) * count,
        )

    def run(self, host: str, command: str, most_s: float = RUN_S) -> Ran:
        """Run a shell command in a host, for so long at most; in tier mininet.

        Wires carry its frames at once, at what rate they can. Raises EnvironmentMissing in tier
        lockstep, which has no hosts.
        """
        self._check(host)
        if isinstance(self.fabric, Fabric):
            raise EnvironmentMissing(f"{command}: hosts run commands in tier mininet only")
        return self.fabric.run(host, command, most_s)

    def ip(self, host: str) -> str:
        """Return the address of a host, as in 10.0.0.1."""
        self._check(host)
        return show_ipv4(self.wiring.host_ip(host))

    def mac(self, host: str) -> str:
        """Return the MAC address of a host, as in 02:51:48:00:00:01."""
        self._check(host)
        return show_mac(self.wiring.host_mac(host))

    def dpid(self, switch: str) -> int:
        """Return the datapath id of a switch."""
        check_names("switch", self.switches, switch)
        return self.wiring.datapath_id(switch)

    def port(self, node: str, far: str) -> int:
        """Return the OpenFlow port of a node's first wire to another one; its host is on 1."""
        return self.wiring.openflow_port[self._cuts.wires(node, far)[0]]

    # Links and rules

    def cut(self, first: str, second: str) -> AbstractContextManager[None]:
        """Take all wires between two nodes down for a while; raises NotThere without one."""
        return self._cuts.down(self._cuts.wires(first, second))

    def slow_controller(
        self, delay: float | str, controller: str | None = None
    ) -> AbstractContextManager[None]:
        """Have what the controller says come so much later for a while, as in "300ms".

        Of several, all are slow unless one is named.
        """
        return injections.slow_controller(self, seconds(delay), controller)

    def controller_away(self, controller: str | None = None) -> AbstractContextManager[None]:
        """Take the controller's connections away for a while; at its end all are there again.

        Of several, all are away unless one is named. Raises ControllerGone when a controller does
        not take them back.
        """
        return injections.controller_away(self, controller)

    def restart_switch(self, node: str) -> None:
        """Start a switch anew, without entries; returns when it is connected again."""
        check_names("switch", self.switches, node)
        injections.restart_switch(self, node)

    def restart_controller(self, controller: str | None = None) -> None:
        """End the controller and start it anew; returns when all switches are connected again.

        Of several, all are unless one is named. Raises EnvironmentMissing when it was not started
        for this testbed.
        """
        injections.restart_controller(self, controller)

    def full_tables(self, node: str) -> AbstractContextManager[Mapping[int, int]]:
        """Have a switch take no more entries than it has for a while: how many, by table.

        Open vSwitch refuses what is beyond with OFPFMFC_TABLE_FULL.
        """
        check_names("switch", self.switches, node)
        return injections.full_tables(self, node)

    def refusing_switch(self, node: str) -> AbstractContextManager[RefusingSwitch]:
        """Start a switch anew that for a while refuses each entry once: what it `refused`.

        What stands between switch and controller answers with OFPFMFC_EPERM in its place.
        """
        check_names("switch", self.switches, node)
        return injections.refusing_switch(self, node)

    def wait_master(self, controller: str, within: float | str = SETTLE_S) -> Takeover:
        """Wait until a controller is master of all switches; return how long they had none.

        Raises Unexpected when it is not `within` the time.
        """
        __tracebackhide__ = True
        return wait_master(self, controller, seconds(within))

    def react(
        self,
        pairs: Sequence[tuple[str, str]],
        wires: Mapping[str, bool],
        hopeless: Sequence[bool],
        pace: Pace,
    ) -> ChangeSeen:
        """Set wires up (True) or down while pairs of hosts send; return what came when.

        Each pair has found its addresses before, by `ping`. Raises CutUndone when the controller
        has set a port up whose wire is cut.
        """
        frames = [
            PacedPair(one, two, self._datagram(one, two, self._mac_for(one, two)))
            for one, two in pairs
        ]
        found = self.fabric.stream_through(frames, hopeless, wires, pace)
        self._confirm()
        self._cuts.check()
        return found

    def failover(self, host: str, target: str, most_s: float = FAILOVER_S) -> Stall | None:
        """Cut the first wire on the way and return how long nothing came; None: for too long.

        Frames go out at a small distance, without waiting for each: how far apart they were when
        the first one came another way is the resolution. A wall-clock time. Raises NotThere when
        nothing comes before anything is cut, and CutUndone when the controller undid it.
        """
        path = self.ping(host, target).path
        if self.wiring.first_link(path) is None:
            raise NotThere(f"there is no way from {host} to {target} that could be cut")
        return self.failover_on(path, most_s)

    def failover_on(self, path: Sequence[str], most_s: float = FAILOVER_S) -> Stall | None:
        """As `failover`, where the way of the frames is known."""
        host, target = path[0], path[-1]
        data = self._datagram(host, target, self._mac_for(host, target))
        link = self.wiring.first_link(path)
        assert link is not None, "a way that can be cut has two switches"
        wires = self._cuts.wires(*link)
        try:
            found = self.fabric.outage(data, path, wires, most_s)
            if found is None:
                self._confirm()
                self._cuts.check()
            return found
        finally:
            self._cuts.mend(wires)

    def failover_s(self, host: str, target: str, most_s: float = FAILOVER_S) -> float | None:
        """As `failover`, the time alone."""
        found = self.failover(host, target, most_s)
        return None if found is None else found.seconds

    def _mac_for(self, host: str, target: str) -> int:
        """Return the address that a host has for another one."""
        told = None if self.knows_addresses else self._net.address(host, self._end(target).ip)
        return self._end(target).mac if told is None else told

    def tables(self, node: str) -> Switch:
        """Read what a switch has now: entries, groups and meters."""
        check_names("switch", self.switches, node)
        return self.fabric.tables(node)

    def counters(self, node: str) -> Counters:
        """Read what a switch has counted: frames and bytes of entries, ports, groups and meters.

        What has come into the switch by now is counted.
        """
        check_names("switch", self.switches, node)
        return self.fabric.counters(node)

    def differences(self, wanted: Sequence[Switch]) -> Differences:
        """Compare what the switches have with rules such as `qnet.emulate.rules` computes.

        As text they are a unified diff in the words of ovs-ofctl.
        """
        return tables_apart(wanted, {one.name: self.tables(one.name) for one in wanted})

    def assert_tables(self, wanted: Sequence[Switch] | Mapping[str, str]) -> None:
        """Raise Unexpected with a diff where switches do not have just what they are to have.

        `wanted` are rules such as `qnet.emulate.rules` computes, or for each switch lines as
        ovs-ofctl dumps them: "priority=1,in_port=2 actions=output:3". Those that say no cookie mean
        any; groups and meters are compared where there are some. Raises ValueError with a line that
        is none.
        """
        __tracebackhide__ = True
        if isinstance(wanted, Mapping):
            every = [read_tables(name, text, self.tables(name)) for name, text in wanted.items()]
            found = tables_apart([one for one, _ in every], {one.name: one for _, one in every})
        else:
            found = self.differences(wanted)
        if found:
            raise Unexpected(f"tables are not as wanted:\n{found}")

    def passages(self, number: int) -> tuple[Traversal, ...]:
        """Return all copies of a frame that hosts sent: where they went in and came out."""
        return self._net.passages(number)

    def trace(self, node: str, port: int, data: bytes) -> str:
        """Have a switch explain what it does with a frame that comes in by an OpenFlow port."""
        check_names("switch", tuple(self.topology.node_by_name), node)
        return self.fabric.trace(node, port, data)

    def control(self) -> tuple[str, ...]:
        """Say what the switches have to say of the controller that explains a failure."""
        return (*spoken(self.channel), *self.controllers.control(self.fabric))

    def _confirm(self) -> None:
        """Raise what else explains that a frame has not come.

        A switch that is not at work, or a controller that has gone: one that hangs up has a moment
        to be there again, as it has when it is started anew.
        """
        self.fabric.confirm()
        self.controllers.confirm(self.fabric, f"after frame {self.frames}" if self.frames else "")

    def _end(self, host: str) -> packets.End:
        return packets.end_of(self.wiring, host)

    def _check_place(self, node: str, port: int) -> None:
        """Refuse a host that is not there, or a port that a switch does not have."""
        if port == HOST_PORT:
            self._check(node)
            return
        check_names("switch", self.switches, node)
        there = sorted(number for name, number in self.wiring.port_at if name == node)
        if port not in there:
            has = ", ".join(map(str, [HOST_PORT, *there]))
            raise NotThere(f"{node} has no port {port}; it has {has}")

    def _check(self, *hosts: str) -> None:
        """Refuse names of hosts that are not there, and a host with itself."""
        check_names("host", self.hosts, *hosts)
        if len(hosts) == 2 and hosts[0] == hosts[1]:
            raise NotThere(f"{hosts[0]} and {hosts[1]} are one host; name two")
