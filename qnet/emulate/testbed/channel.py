"""What switches and their controller said to each other: the last messages, counts, a capture."""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from qnet import __version__
from qnet.emulate.openflow.frame import checksum
from qnet.emulate.openflow.reading import CarriedFrame, Cutter, kind_of, packet_of
from qnet.emulate.process.relay import By
from qnet.emulate.testbed.roles import Roles
from qnet.files.write import write_bytes
from qnet.formats import pcapng
from qnet.units import PS_PER_S

KEPT_BYTES = 1 << 26
"""Of messages; the oldest are forgotten."""

MESSAGE_BYTES = 64
"""What a message takes beside its bytes, about."""

OPENED, CLOSED = "opened", "closed"

NETWORK = 0xC612_0000
"""198.18.0.0/15, for tests of networks (RFC 2544): switches have its addresses in a capture."""

CONTROLLER = NETWORK | 0x1_FFFE
"""The first; others have the addresses below."""

PORT = 6653
"""Of the controller in a capture: IANA's for OpenFlow, by which a reader knows it."""

FIRST_PORT = 1 << 15
SEGMENT_BYTES = 16_000
FIN, SYN, RST, PUSH, ACK = 1, 2, 4, 8, 16


class Message(NamedTuple):
    """A message, or that a connection was opened or closed (`data` is empty then)."""

    time_s: float
    """When it went by; monotonic clock."""
    switch: str
    connection: int
    from_switch: bool
    data: bytes
    kind: str
    """As in packet-in; or opened, or closed."""
    by: By | None = None
    """Who closed the connection."""
    controller: str = ""
    """Its name, where there are several."""

    @property
    def packet(self) -> CarriedFrame | None:
        """The frame of a packet-in or a packet-out."""
        return packet_of(self.data)


class ChannelLog:
    """What is said to one controller or several; may be asked by any thread."""

    def __init__(
        self,
        datapath_ids: Mapping[str, int],
        kept_bytes: int = KEPT_BYTES,
        controllers: Sequence[str] = ("",),
    ) -> None:
        self.datapath_ids = dict(datapath_ids)
        self.controllers = tuple(controllers)
        """Their names."""
        self.roles = Roles()
        self._clock_ps = time.time_ns() * 1000 - int(time.monotonic() * PS_PER_S)
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._messages: deque[Message] = deque()
        self._counts: Counter[tuple[str, str, bool, str]] = Counter()

    def ears(self) -> tuple[Ear, ...]:
        """Return who listens to the relay of each controller."""
        return tuple(Ear(self, name) for name in self.controllers)

    def keep(self, one: Message) -> None:
        """Keep a message."""
        with self._lock:
            self._messages.append(one)
            self._counts[one.controller, one.switch, one.from_switch, one.kind] += 1
            self._bytes += len(one.data) + MESSAGE_BYTES
            while self._bytes > self._kept_bytes:
                self._bytes -= len(self._messages.popleft().data) + MESSAGE_BYTES

    # What is asked

    def since(self, time_s: float) -> list[Message]:
        """Return the messages that are kept since a time of the monotonic clock, in order."""
        found = []
        with self._lock:
            for one in reversed(self._messages):
                if one.time_s < time_s:
                    break
                found.append(one)
        return found[::-1]

    def counts(self, controller: str | None = None) -> dict[str, dict[str, int]]:
        """Return how many messages of each kind each switch sent and got, by switch and kind.

        Those of one controller alone, where one is named.
        """
        with self._lock:
            counted = sorted((one[1:], one[0], count) for one, count in self._counts.items())
        found: dict[str, dict[str, int]] = {}
        for (switch, _, kind), whose, count in counted:
            if controller in (None, whose):
                of = found.setdefault(switch, {})
                of[kind] = of.get(kind, 0) + count
        return found

    def write(self, path: Path) -> None:
        """Write what is kept as a capture (pcapng) that Wireshark reads as OpenFlow over TCP.

        The switch with datapath id n has the address 198.18.0.0 + n; times are the wall clock's.
        """
        hosts = {
            CONTROLLER - place: name if len(self.controllers) > 1 else "controller"
            for place, name in enumerate(self.controllers)
        }
        hosts |= {NETWORK | number: name for name, number in self.datapath_ids.items()}
        comment = "of TCP only what switches and controller said is as it was"
        blocks = pcapng.capture(
            f"qnet {__version__}",
            [pcapng.Interface("control channel", 0)],
            self._segments(),
            comment=comment,
            hosts=hosts,
            digits=9,
        )
        write_bytes(path, blocks)

    def _segments(self) -> Iterator[pcapng.Packet]:
        sent: Counter[tuple[tuple[str, int], bool]] = Counter()
        for one in self.since(0.0):
            near = NETWORK | self.datapath_ids[one.switch], FIRST_PORT + one.connection % FIRST_PORT
            place = self.controllers.index(one.controller)
            ends = (near, (CONTROLLER - place, PORT))
            connection = one.controller, one.connection
            mine, theirs = (connection, one.from_switch), (connection, not one.from_switch)
            flags = {OPENED: SYN, CLOSED: RST if one.by == "relay" else FIN | ACK}
            for begin in range(0, max(len(one.data), 1), SEGMENT_BYTES):
                part = one.data[begin : begin + SEGMENT_BYTES]
                data = _segment(
                    ends if one.from_switch else ends[::-1],
                    (sent[mine] + 1 if one.kind != OPENED else 0, sent[theirs] + 1),
                    flags.get(one.kind, PUSH | ACK),
                    part,
                )
                sent[mine] += len(part)
                yield pcapng.Packet(0, self.wall_ps(one.time_s), data, len(data))

    def wall_ps(self, time_s: float) -> int:
        """Return what a time of the monotonic clock was on the wall clock."""
        return self._clock_ps + int(time_s * PS_PER_S)


class Ear:
    """Listens to the relay of one controller (`qnet.emulate.process.relay.Listener`)."""

    def __init__(self, log: ChannelLog, controller: str) -> None:
        self._log, self._controller = log, controller
        self._cutters: dict[tuple[int, bool], Cutter] = {}

    def opened(self, switch: str, connection: int, time_s: float) -> None:
        """Note a connection."""
        self._cutters |= {(connection, side): Cutter() for side in (True, False)}
        self._log.roles.opened(time_s, switch, self._controller, connection)
        self._keep(Message(time_s, switch, connection, True, b"", OPENED))

    def came(
        self, switch: str, connection: int, time_s: float, from_switch: bool, data: bytes
    ) -> None:
        """Note what came, message by message."""
        for one in self._cutters[connection, from_switch].cut(data):
            kind = kind_of(one)
            if from_switch:
                self._log.roles.came(time_s, switch, self._controller, kind, one)
            self._keep(Message(time_s, switch, connection, from_switch, one, kind))

    def closed(self, switch: str, connection: int, time_s: float, by: By) -> None:
        """Note the end of a connection; what comes after is passed on, and noted still."""
        self._log.roles.closed(time_s, switch, self._controller, connection)
        self._keep(Message(time_s, switch, connection, by == "switch", b"", CLOSED, by))

    def _keep(self, one: Message) -> None:
        self._log.keep(one._replace(controller=self._controller))


def _segment(
    ends: tuple[tuple[int, int], tuple[int, int]], numbers: tuple[int, int], flags: int, data: bytes
) -> bytes:
    """Return an Ethernet frame with a TCP segment from one end to the other (RFC 9293)."""
    (source, by), (target, to) = ends
    sequence, acknowledged = (one & 0xFFFFFFFF for one in numbers)
    acknowledged = acknowledged if flags & ACK else 0
    head = struct.pack("!HHIIBBHHH", by, to, sequence, acknowledged, 5 << 4, flags, 0xFFFF, 0, 0)
    pseudo = struct.pack("!IIBBH", source, target, 0, 6, len(head) + len(data))
    head = head[:16] + struct.pack("!H", checksum(pseudo + head + data)) + head[18:]
    length = 20 + len(head) + len(data)
    ip = struct.pack("!BBHIBBHII", 0x45, 0, length, 0x4000, 64, 6, 0, source, target)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    macs = b"".join(b"\x02\x51" + one.to_bytes(4, "big") for one in (target, source))
    return macs + b"\x08\x00" + ip + head + data
