"""Follow frames through switches: every copy, over every wire, until hosts have them.

Wires carry at once, whoever sends: nobody waits for a switch before a frame goes on. At every
switch a copy gets twelve bytes behind it, by which it is known when it comes out, however late;
where a controller has written the frame anew and left them out, it is known by the number in its
payload or by its content. Hosts answer ARP requests, as hosts do.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

from qnet.emulate.frames import packets
from qnet.emulate.openflow.nouns import IPV4
from qnet.emulate.rules.wiring import HOST_PORT, Wiring

MAGIC = b"qLST"
TRAILER_BYTES = 12

QUIET_S = 0.008
"""One message of a controller may send many copies: this long after the last one, all are out."""

SLOW_MOST_S = 2.0
"""Longest wait at one switch that a slow controller brings about beyond the patience."""

LOOKS_AWAY_S = 0.05
"""When nobody has read the switches' ports for longer, what is there may have come at any time."""

KEPT = 20_000
"""Copies and trips that are known again when something comes out of a switch late."""

HEARD = 4096
"""Frames that are kept for one host until they are asked for."""

OPEN_S = 5.0
"""So long a frame of an earlier trip is known by its content alone, if it has not come out."""

COPIES_LEAST = 256
"""Copies of one frame that are followed in the smallest network."""

STRAGGLE_S = 0.2
"""Frames that are under way when the first one has come a new way have so long to come too."""

PACE_S = 0.005
"""Distance of the frames by which a failover is timed; a hundredth of the time, if that is more."""

PACED = 1 << 62
"""In the number of such a frame, so that it is not that of any other."""

BEFORE_CUT = 3
"""Frames that come by the old way before it is cut."""


class Delivery(NamedTuple):
    """A frame that a host got: whose host, the frame, and the switches it went through.

    What no host has sent has no path: it comes from the controller.
    """

    host: str
    data: bytes
    path: tuple[str, ...]
    slow_s: float = 0.0
    """Longest time that a switch, or the controller behind it, has kept it; wall clock."""


class Ended(NamedTuple):
    """Where a copy of a frame ended: it went into the last switch of its path by this port.

    Nothing has come out of it there, or it did not even get in, since the port was down.
    """

    path: tuple[str, ...]
    port: int
    down: bool = False


class Exit(NamedTuple):
    """That a copy came out of a switch."""

    node: str
    """Another one than it went into, where the controller has sent it out of that."""
    port: int
    time_s: float
    """Monotonic clock."""
    end: Literal["", "host", "looped", "no wire", "wire down", "not followed"] = ""
    """Why it went into no other switch, if it did not."""


class Traversal(NamedTuple):
    """A copy of a frame that went into a switch, and what came out of it."""

    node: str
    port: int
    time_s: float
    """Monotonic clock."""
    data: bytes
    """As it went in, with the twelve bytes behind it by which it is known."""
    before: int
    """Place of the passage that it comes from, or -1."""
    exits: tuple[Exit, ...]

    @property
    def mark(self) -> bytes:
        """The twelve bytes."""
        return self.data[-TRAILER_BYTES:]


class Trip(NamedTuple):
    """What became of one frame, or of what hosts and controller sent because of it."""

    deliveries: tuple[Delivery, ...]
    looped: tuple[str, ...]
    """Switches into which it came by the same port twice, or out of which by the same port."""
    answers: tuple[Delivery, ...] = ()
    """Who got what hosts answered by themselves: their ARP replies."""
    notes: tuple[str, ...] = ()
    """What a controller did to the frame beside sending it on."""
    number: int = 0
    ended: tuple[Ended, ...] = ()
    """Where copies ended that no host got."""
    replies: tuple[int, ...] = ()
    """Numbers of what hosts answered by themselves."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts that got the frame, or what the controller sent meanwhile; once for each copy."""
        return tuple(one.host for one in self.deliveries)

    def at(self, host: str) -> tuple[Delivery, ...]:
        """Return the copies of the frame itself that a host got."""
        return tuple(one for one in self.deliveries if one.host == host and one.path)


class Stall(NamedTuple):
    """How long nothing came, on the wall clock, and how far apart frames were sent then."""

    seconds: float
    resolution_s: float
    lost: int = 0
    """Frames sent meanwhile that have not come."""


@dataclass
class _Trip:
    """A frame that is followed."""

    number: int
    of: _Trip | None
    """The frame that it answers."""
    expected: bool = False
    """Somebody expects it, or nothing: it is kept for `Follower.unexpected`."""
    copies: list[_Copy] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    answers: list[_Trip] = field(default_factory=list)
    down: list[Ended] = field(default_factory=list)
    looped: set[str] = field(default_factory=set)
    notes: dict[str, None] = field(default_factory=dict)

    def told(self) -> Trip:
        """Return what is known by now."""
        answers = sorted(one for trip in self.answers for one in trip.deliveries)
        looped = self.looped.union(*(trip.looped for trip in self.answers))
        notes = [*self.notes, *(note for trip in self.answers for note in trip.notes)]
        return Trip(
            tuple(sorted(self.deliveries)),
            tuple(sorted(looped)),
            tuple(answers),
            tuple(notes),
            self.number,
            tuple(sorted([*self.down, *(one.ended for one in self.copies if not one.outs)])),
            tuple(one.number for one in self.answers),
        )

    def family(self) -> Iterator[_Trip]:
        """Give the frame and what answers it."""
        yield self
        for one in self.answers:
            yield from one.family()


class _Way(NamedTuple):
    """How a copy came where it is; as in `_Copy`."""

    path: tuple[str, ...]
    steps: frozenset[tuple[str, str, int]]
    slow_s: float
    before: _Copy | None


@dataclass(eq=False)
class _Copy:
    """A copy that went into a switch."""

    trip: _Trip
    node: str
    data: bytes
    path: tuple[str, ...]
    """Switches up to this one."""
    steps: frozenset[tuple[str, str, int]]
    """Ports by which it came in or went out so far: 'in' or 'out', switch, port."""
    since: float
    slow_s: float
    port: int
    """By which it went in."""
    mark: bytes
    """Twelve bytes behind it by which it is known."""
    before: _Copy | None
    """The copy that came out of the switch before."""
    exits: list[Exit] = field(default_factory=list)

    @property
    def outs(self) -> int:
        """How many copies have come out."""
        return len(self.exits)

    @property
    def ended(self) -> Ended:
        """Where it has ended, if nothing comes out any more."""
        return Ended(self.path, self.port)

    @cached_property
    def content(self) -> tuple[int, bytes] | None:
        """By what it is known when it has been written anew."""
        return packets.content(self.data)


class Follower:
    """Frames under way between the switches of one network.

    `put` sends a frame into a switch: node, OpenFlow port, frame; it returns False where the port
    is down. `take` waits so long for what comes out, has `came_out` told of each frame, and
    returns whether any came. `hosts_are_real` where hosts answer for themselves what is not
    followed.
    """

    def __init__(
        self,
        wiring: Wiring,
        put: Callable[[str, int, bytes], bool],
        take: Callable[[float], bool],
        *,
        hosts_are_real: bool,
    ) -> None:
        self.wiring = wiring
        self.hosts_are_real = hosts_are_real
        self.slowest_s = 0.0
        """Longest time after which something has come out of a switch."""
        self.looked_at = time.monotonic()
        """When somebody last read what has come out."""
        self._put, self._take = put, take
        self._moved_at = 0.0
        self._came_at: float | None = None
        self._ends = {one.name: packets.end_of(wiring, one.name) for one in wiring.topology.nodes}
        self._copies: dict[int, _Copy] = {}
        self._trips: dict[int, _Trip] = {}
        self._by_mark: dict[int, _Trip] = {}
        self._recent: deque[_Copy] = deque(maxlen=256)
        self._active: list[_Trip] = []
        self._key = self._number = 0
        self._heard: defaultdict[str, list[Delivery]] = defaultdict(list)
        self._unexpected: list[tuple[int, Delivery]] = []
        self._discovered: dict[tuple[str, int], float] = {}
        self._judging = False
        self._told: dict[tuple[str, int], packets.End] = {}
        self._hosts_own: deque[tuple[int, bytes]] = deque(maxlen=256)
        self._copies_most = max(COPIES_LEAST, 4 * len(wiring.port_at))

    # What a testbed asks for

    def follow(
        self,
        frames: Sequence[tuple[str, bytes]],
        patience_s: float,
        asks: tuple[str, int] | None = None,
        into: int | None = None,
    ) -> list[Trip]:
        """Send frames from hosts at once and follow them all until nothing more is expected.

        A copy of which nothing comes out of a switch is given up after `patience_s`, or twice the
        longest time that anything has taken. With `asks`, a host and the IP address that it wants
        to find, its answer ends the waiting. With `into`, a port of the hosts' switches, what
        comes of the frames is kept for `unexpected`, else the caller judges it.
        """
        if asks is not None:
            self._told.pop(asks, None)
        self._judging = into is None
        port = HOST_PORT if into is None else into
        trips = self._active = [
            self._begin(host, data, port=port, expected=into is not None) for host, data in frames
        ]
        while not self._is_over(patience_s, asks):
            self.look(0.002)
        self._active = []
        self._judging = False
        return [one.told() for one in trips]

    def send_paced(self, host: str, data: bytes) -> _Trip:
        """Send one more of frames that are told apart by the number in their payload."""
        return self._begin(host, packets.renumbered(data, self._number + 1 | PACED))

    def trip(self, number: int) -> Trip:
        """Return what is known by now of a frame that was followed."""
        return self._trips[number].told()

    def passages(self, number: int) -> tuple[Traversal, ...]:
        """Return all copies of a frame that was followed, in the order in which they went in.

        None of one that is forgotten.
        """
        copies = self._trips[number].copies if number in self._trips else []
        place = {id(one): at for at, one in enumerate(copies)}
        return tuple(
            Traversal(
                one.node,
                one.port,
                one.since,
                one.data + one.mark,
                place.get(id(one.before), -1),
                tuple(one.exits),
            )
            for one in copies
        )

    def still_s(self) -> float:
        """Return for how long no frame that is followed has moved."""
        return time.monotonic() - self._moved_at

    def address(self, host: str, ip: int) -> int | None:
        """Return the MAC address that a host has been told for an IP address since it asked."""
        found = self._told.get((host, ip))
        return None if found is None else found.mac

    def received(self, host: str) -> tuple[Delivery, ...]:
        """Return what came to a host since this was last asked."""
        return tuple(self._heard.pop(host, ()))

    def unexpected(self) -> tuple[tuple[int, Delivery], ...]:
        """Return what came out of switches since this was last asked, each with its port.

        Left out is what came of frames whose caller judges it. A delivery's host is the switch.
        """
        found, self._unexpected = tuple(self._unexpected), []
        return found

    def discovered(self) -> dict[tuple[str, int], float]:
        """Return when LLDP last came out of each switch and port, on the monotonic clock."""
        return dict(self._discovered)

    def outage(
        self,
        data: bytes,
        path: Sequence[str],
        wires: Sequence[str],
        take_down: Callable[[str], None],
        most_s: float,
    ) -> Stall | None:
        """Take the wires of a path's first link down; return how long nothing came to its end.

        Frames go out at a small distance, whatever comes of them: from the last one that came
        over the link to the first that came by another way.
        """

        def cut() -> None:
            for name in wires:
                take_down(name)

        pace = _Pace(self, data, path)
        last = time.monotonic()
        while pace.came < BEFORE_CUT and time.monotonic() - last < 1:
            pace.step(PACE_S)
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(cut)
            last = time.monotonic()
            while (now := time.monotonic()) - last < most_s:
                gap = max(PACE_S, (now - last) / 100)
                for one in pace.step(gap):
                    now = time.monotonic()
                    if not pace.goes_over_link(one):
                        done.result()
                        return Stall(now - last, gap, pace.lost())
                    last = now
            done.result()
        return None

    # What comes out

    def look(self, seconds: float) -> bool:
        """Wait so long for what comes out of switches; return whether anything did."""
        if time.monotonic() - self.looked_at > LOOKS_AWAY_S:
            self._came_at = self.looked_at
            try:
                while self._take(0):
                    pass
            finally:
                self._came_at = None
        found = self._take(seconds)
        self.looked_at = time.monotonic()
        return found

    def came_out(self, node: str, port: int, data: bytes) -> bool:
        """Take note of what came out of a switch; False if it is not a frame that is followed."""
        now = self._came_at or time.monotonic()
        copy, data = self._whose(node, data)
        if copy is None:
            if data[-TRAILER_BYTES:-8] == MAGIC:
                return True  # one that is forgotten
            if packets.finds_wires(data):
                self._discovered[node, port] = now
            if not self._judging:
                self._keep(port, Delivery(node, data, ()))
            if port == HOST_PORT:
                self._from_nobody(node, data)
            return False
        self._moved_at = time.monotonic()
        slow_s = max(now - copy.since, 0.0)
        self.slowest_s = max(self.slowest_s, slow_s)
        copy.exits.append(Exit(node, port, now, self._goes_on(copy, node, port, data, slow_s)))
        return True

    def _goes_on(
        self, copy: _Copy, node: str, port: int, data: bytes, slow_s: float
    ) -> Literal["", "host", "looped", "no wire", "wire down", "not followed"]:
        """Have what came out of a switch go on; say why it does not."""
        path = copy.path if node == copy.path[-1] else (*copy.path, node)
        longest_s = max(copy.slow_s, slow_s)
        if copy.trip.expected:
            self._keep(port, Delivery(node, data, path, longest_s))
        if port == HOST_PORT:
            self._deliver(copy.trip, Delivery(node, data, path, longest_s))
            return "host"
        wire = self.wiring.port_at.get((node, port))
        if wire is None:  # nothing is sent by that end of a wire of one direction
            return "no wire"
        out = ("out", node, port)
        into = ("in", wire.target, self.wiring.in_port(wire))
        if out in copy.steps or into in copy.steps:
            copy.trip.looped.add(node if out in copy.steps else wire.target)
            return "looped"
        if len(copy.trip.copies) >= self._copies_most:
            note = f"more than {self._copies_most} copies; the others were not followed"
            copy.trip.notes[note] = None
            return "not followed"
        way = _Way((*path, wire.target), copy.steps | {out, into}, longest_s, copy)
        return "" if self._enter(copy.trip, into[2], data, way) else "wire down"

    def hosts_own(self, data: bytes) -> None:
        """Take note of what a real host sends: it is not the controller's when it comes out."""
        known = packets.content(data)
        if known is not None:
            self._hosts_own.append(known)

    def _keep(self, port: int, one: Delivery) -> None:
        """Keep what came out of a switch until it is asked for."""
        self._unexpected.append((port, one))
        if len(self._unexpected) > KEPT:
            del self._unexpected[: KEPT // 2]

    def _begin(
        self,
        host: str,
        data: bytes,
        of: _Trip | None = None,
        *,
        port: int = HOST_PORT,
        expected: bool = False,
    ) -> _Trip:
        """Send a frame into a switch, as its host does unless it is by another port."""
        self._number += 1
        trip = _Trip(self._number, of, expected)
        self._trips[trip.number] = trip
        mark = packets.number_in(data)
        if mark is not None:
            self._by_mark[mark] = trip
        for known in (self._trips, self._by_mark):
            if len(known) > KEPT:
                del known[next(iter(known))]
        way = _Way((host,), frozenset({("in", host, port)}), 0.0, None)
        self._enter(trip, port, data, way)
        return trip

    def _enter(self, trip: _Trip, port: int, data: bytes, way: _Way) -> bool:
        """Put a copy into the last switch of its path; False where the port is down."""
        self._key += 1
        self._moved_at = now = time.monotonic()
        mark = MAGIC + self._key.to_bytes(8, "big")
        path, steps, slow_s, before = way
        copy = _Copy(trip, path[-1], data, path, steps, now, slow_s, port, mark, before)
        if not self._put(copy.node, port, data + mark):
            trip.down.append(Ended(path, port, down=True))
            return False
        self._copies[self._key] = copy
        self._recent.append(copy)
        trip.copies.append(copy)
        if len(self._copies) > KEPT:
            del self._copies[next(iter(self._copies))]
        return True

    def _whose(self, node: str, data: bytes) -> tuple[_Copy | None, bytes]:
        """Return the copy that came out, and the frame without what was put behind it."""
        if data[-TRAILER_BYTES:-8] == MAGIC:
            copy = self._copies.get(int.from_bytes(data[-8:], "big"))
            return copy, data if copy is None else data[:-TRAILER_BYTES]
        mark = packets.number_in(data)
        if mark is not None and mark in self._by_mark:
            return _nearest(self._by_mark[mark].copies, node), data
        now = time.monotonic()
        active = {one.number for trip in self._active for one in trip.family()}
        possible = [
            copy
            for copy in self._recent
            if copy.trip.number in active
            or (copy.node == node and not copy.outs and now - copy.since < OPEN_S)
        ]
        known = packets.content(data) if possible else None
        if known is None:
            return None, data
        same = [copy for copy in possible if copy.content == known]
        copy = _nearest([one for one in same if one.trip.number in active] or same, node)
        if copy is not None and len(data) < len(copy.data):
            end = "the IPv4 length" if known[0] == IPV4 else "its end"
            copy.trip.notes[f"{node}: came out without the bytes behind {end}"] = None
        return copy, data

    def _deliver(self, trip: _Trip, one: Delivery) -> None:
        trip.deliveries.append(one)
        self._hear(one)
        self._answer(one, trip)

    def _from_nobody(self, node: str, data: bytes) -> None:
        """Keep for a host what a controller sent it, or a real host without being followed."""
        one = Delivery(node, data, ())
        self._hear(one)
        if self._active and not packets.is_discovery(data):
            if packets.content(data) in self._hosts_own:
                return
            self._active[-1].deliveries.append(one)
        if not self.hosts_are_real:
            self._answer(one, self._active[-1] if self._active else None)

    def _hear(self, one: Delivery) -> None:
        heard = self._heard[one.host]
        heard.append(one)
        if len(heard) > HEARD:
            del heard[0]
        told = packets.address_told(self._ends[one.host], one.data)
        if told is not None:
            self._told[one.host, told.ip] = told

    def _answer(self, one: Delivery, trip: _Trip | None) -> None:
        """Have a host answer what asks for its address."""
        reply = packets.arp_answer(self._ends[one.host], one.data)
        if reply is None or (trip is not None and len(trip.answers) >= COPIES_LEAST):
            return
        answer = self._begin(one.host, reply, trip, expected=trip is not None and trip.expected)
        if trip is not None:
            trip.answers.append(answer)

    def _is_over(self, patience_s: float, asks: tuple[str, int] | None) -> bool:
        """Tell whether all copies have come out of their switches or are given up."""
        now = time.monotonic()
        if now - self._moved_at < QUIET_S:
            return False
        if asks is not None and asks in self._told:
            return True
        wait_s = max(patience_s, min(2 * self.slowest_s, SLOW_MOST_S))
        return all(
            copy.outs or now - copy.since > wait_s
            for trip in self._active
            for one in trip.family()
            for copy in one.copies
        )


class _Pace:
    """Frames from the start of a path to its end, at a distance, whatever comes of them."""

    def __init__(self, follower: Follower, data: bytes, path: Sequence[str]) -> None:
        self.follower, self.data, self.path = follower, data, path
        self.link = set(follower.wiring.first_link(path) or ())
        self.came = 0
        """Frames that came over the first link."""
        self._sent: list[_Trip] = []
        self._told: defaultdict[int, int] = defaultdict(int)
        self._next_at = time.monotonic()

    def step(self, gap_s: float) -> list[Delivery]:
        """Send one frame if it is time, wait until it is, and return what came to the end."""
        if time.monotonic() >= self._next_at:
            self._sent.append(self.follower.send_paced(self.path[0], self.data))
            self._next_at = time.monotonic() + gap_s
        self.follower.look(max(self._next_at - time.monotonic(), 0))
        found = []
        for trip in self._sent:
            found += trip.deliveries[self._told[trip.number] :]
            self._told[trip.number] = len(trip.deliveries)
        found = [one for one in found if one.host == self.path[-1]]
        self.came += sum(map(self.goes_over_link, found))
        return found

    def lost(self) -> int:
        """Return how many of the frames have not come to the end, nor come a little later."""
        end = time.monotonic() + STRAGGLE_S
        while (left := end - time.monotonic()) > 0:
            self.follower.look(left)
        return sum(
            not any(one.host == self.path[-1] for one in trip.deliveries) for trip in self._sent
        )

    def goes_over_link(self, one: Delivery) -> bool:
        """Tell whether a frame came over the first link of the path."""
        return any(set(step) == self.link for step in pairwise(one.path))


def _nearest(copies: Sequence[_Copy], node: str) -> _Copy | None:
    """Return the copy of a frame that came out of a switch, as far as can be told."""
    return max(
        copies,
        key=lambda one: (one.node == node, not one.outs, one.since),
        default=None,
    )
