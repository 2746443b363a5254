"""Captures of a traffic file to demands: one for each conversation, from node to node.

A conversation is what goes from one node to another with one tag. Its frames keep their times,
counted from the first frame of the capture, and their sizes.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

from qnet.errors import InputError
from qnet.files.captures.frames import CapturedFrame, CaptureReader, frames_of, opened
from qnet.files.captures.headers import SHIFTS, FrameEnds, bytes_of, ends_of
from qnet.model.fields import FRAME_BYTES_HIGHEST, FRAME_BYTES_LOWEST
from qnet.model.recording import Capture, CapturedFrames, is_mac
from qnet.model.traffic import RecordedDemand
from qnet.units import PS_PER_S, RATE, ceil_div, format_quantity, wire_bytes

LENGTH_PS_HIGHEST = 1 << 60
"""Of a capture, 13 days."""

LOOK_UPS_HIGHEST = 100_000
"""So many pairs of addresses are kept in mind; who has more looks some up again."""

CONVERSATIONS_HIGHEST = 10_000

TOLD = 5
"""Addresses without a node that are named."""


class Conversations(NamedTuple):
    """What a capture comes to."""

    demands: tuple[RecordedDemand, ...]
    notes: tuple[str, ...]
    """What was left out or made longer, with counts."""


class _Way(NamedTuple):
    """Who a frame goes from and to; or, in place of that, why it goes nowhere."""

    source: str
    target: str
    why: str = ""


@dataclass
class _Talk:
    """The frames of a conversation so far."""

    tag: bytes
    times_ps: array[int] = field(default_factory=lambda: array("q"))
    frame_bytes: array[int] = field(default_factory=lambda: array("H"))
    on_wire: int = 0


def take(capture: Capture, folder: Path) -> Conversations:
    """Read a capture whose file is named from a folder on.

    Raises InputError with the file and the byte of what is wrong.
    """
    path = folder / capture.file
    with opened(path, capture.file) as reader:
        taker = _Taker(capture, reader)
        for seen in frames_of(reader):
            taker.add(seen)
        return taker.taken()


class _Taker:
    """Sorts the frames of a capture into conversations."""

    def __init__(self, capture: Capture, reader: CaptureReader) -> None:
        self.capture, self.reader = capture, reader
        self.nodes = _Nodes(capture.endpoints)
        self.talks: dict[tuple[str, str, bytes], _Talk] = {}
        self.others: Counter[str] = Counter()
        self.other_at: int | None = None
        self.within = self.padded = 0
        self.first_ps = self.last_ps = 0
        self.is_begun = False

    def add(self, seen: CapturedFrame) -> None:
        """Add a frame to its conversation; raises InputError for one that none can have."""
        if seen.interface.link_type not in SHIFTS:
            words = f"frames of link type {seen.interface.link_type}"
            read = "Ethernet, Linux cooked captures and bare IP are read"
            self.reader.refuse(f"{words}; {read}", seen.offset)
        due_ps = self._due_ps(seen)
        ends = ends_of(seen.data, seen.interface)
        way = self.nodes.way(ends)
        if way.why:
            self.others[way.why] += 1
            self.other_at = seen.offset if self.other_at is None else self.other_at
            return
        if way.source == way.target:
            self.within += 1
            return
        size = bytes_of(seen)
        if size > FRAME_BYTES_HIGHEST:
            words = f"at most {FRAME_BYTES_HIGHEST:,}; capture without segmentation offload"
            self.reader.refuse(f"a frame of {size:,} bytes; {words}", seen.offset)
        if size < FRAME_BYTES_LOWEST:
            self.padded += 1
            size = FRAME_BYTES_LOWEST
        talk = self.talks.get((way.source, way.target, ends.tag))
        if talk is None:
            if len(self.talks) == CONVERSATIONS_HIGHEST:
                words = f"more than {CONVERSATIONS_HIGHEST:,} conversations"
                self.reader.refuse(words, seen.offset)
            talk = self.talks[way.source, way.target, ends.tag] = _Talk(ends.tag)
        talk.times_ps.append(due_ps)
        talk.frame_bytes.append(size)
        talk.on_wire += wire_bytes(size)

    def _due_ps(self, seen: CapturedFrame) -> int:
        """Return when a frame is due in the run."""
        if not self.is_begun:
            self.first_ps = self.last_ps = seen.time_ps
            self.is_begun = True
        if seen.time_ps < self.last_ps:
            back = f"{self.last_ps - seen.time_ps:,} ps"
            words = "'reordercap IN OUT' puts frames in order"
            self.reader.refuse(f"a frame {back} before the one ahead of it; {words}", seen.offset)
        self.last_ps = seen.time_ps
        due_ps = seen.time_ps - self.first_ps
        if due_ps > LENGTH_PS_HIGHEST:
            days = LENGTH_PS_HIGHEST // (86_400 * PS_PER_S)
            self.reader.refuse(f"a frame more than {days} days after the first", seen.offset)
        return due_ps + self.capture.at_ps

    def taken(self) -> Conversations:
        """Return all conversations, and what was left out."""
        if self.others and self.capture.others == "fault":
            words = "give their addresses nodes in 'endpoints', or write 'others: drop'"
            self.reader.refuse(f"{self._of_others()}; {words}", self.other_at)
        if not self.talks:
            self.reader.refuse("no frame of the capture goes from one node to another")
        talks = enumerate(self.talks.items(), start=1)
        demands = (
            self._demand(number, (source, target), talk)
            for number, ((source, target, _), talk) in talks
        )
        return Conversations(tuple(demands), tuple(self._notes()))

    def _of_others(self) -> str:
        count, kinds = self.others.total(), self.others.most_common(TOLD)
        named = ", ".join(f"{why} ({frames:,})" for why, frames in kinds)
        more = f" and {len(self.others) - TOLD:,} more" if len(self.others) > TOLD else ""
        return f"{count:,} frame{'s' * (count != 1)} without a node: {named}{more}"

    def _notes(self) -> Iterator[str]:
        where = f"capture {self.capture.name}"
        if self.others:
            yield f"{where}: left out are {self._of_others()}"
        if self.within:
            yield f"{where}: left out are {self.within:,} frames from a node to itself"
        if self.padded:
            yield f"{where}: {self.padded:,} frames are padded to {FRAME_BYTES_LOWEST} bytes"

    def _demand(self, number: int, ends: tuple[str, str], talk: _Talk) -> RecordedDemand:
        capture = self.capture
        name = f"{capture.name}-{number}"
        traffic_class = capture.traffic_class
        if talk.tag:
            tag = int.from_bytes(talk.tag, "big")
            name += f"-vlan{tag & 0xFFF}-p{tag >> 13}"
            traffic_class = capture.priorities.get(tag >> 13, traffic_class)
        recording = CapturedFrames(talk.times_ps, talk.frame_bytes)
        rate_bps = capture.rate_bps
        if rate_bps is None:
            length_ps = self.last_ps - self.first_ps or PS_PER_S
            rate_bps = ceil_div(8 * PS_PER_S * talk.on_wire, length_ps)
            if rate_bps > RATE.highest:
                shown = format_quantity(RATE, rate_bps)
                self.reader.refuse(f"{shown} in so short a capture; give it a 'rate'")
        made = {
            "name": name,
            "source": ends[0],
            "target": ends[1],
            "traffic_class": traffic_class,
            "group": capture.name,
            "rate_bps": f"{rate_bps}bps",
            "sizes": recording.size_counts,
            "microflows": 1,
            "max_loss_ppb": None,
            "recording": recording,
        }
        return RecordedDemand.model_validate(made).replace(max_loss_ppb=capture.max_loss_ppb)


class _Nodes:
    """Which node an address is of."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        self.by_mac: dict[bytes, str] = {}
        self.by_prefix: dict[tuple[int, int], dict[int, str]] = {}
        """By bytes of an address and bits of the prefix: node by these bits."""
        for text, node in endpoints.items():
            if is_mac(text):
                self.by_mac[bytes.fromhex(text.replace("-", ":").replace(":", ""))] = node
                continue
            network = ip_network(text)
            length, bits = len(network.network_address.packed), network.prefixlen
            number = int(network.network_address) >> (8 * length - bits)
            self.by_prefix.setdefault((length, bits), {})[number] = node
        self.longest_first = sorted(self.by_prefix, reverse=True)
        self.known: dict[FrameEnds, _Way] = {}

    def way(self, ends: FrameEnds) -> _Way:
        """Return where a frame goes."""
        way = self.known.get(ends)
        if way is None:
            if len(self.known) == LOOK_UPS_HIGHEST:
                self.known.clear()
            way = self.known[ends] = self._way(ends)
        return way

    def _way(self, ends: FrameEnds) -> _Way:
        nodes = []
        for ip, mac in ((ends.source, ends.mac_source), (ends.target, ends.mac_target)):
            node = self._of_ip(ip) or self.by_mac.get(mac)
            if node is None:
                return _Way("", "", _shown(ip, mac))
            nodes.append(node)
        return _Way(*nodes)

    def _of_ip(self, address: bytes) -> str | None:
        number, length = int.from_bytes(address, "big"), len(address)
        for width, bits in self.longest_first:
            if width == length:
                node = self.by_prefix[width, bits].get(number >> (8 * length - bits))
                if node is not None:
                    return node
        return None


def _shown(ip: bytes, mac: bytes) -> str:
    if ip:
        return str(ip_address(ip))
    return mac.hex(":") if mac else "no address, or cut before it"


def take_all(captures: Sequence[Capture], folder: Path) -> tuple[Conversations, list[InputError]]:
    """Read captures, each as `take` does; returns what there is, and the faults of all."""
    found: list[Conversations] = []
    faults = []
    for capture in captures:
        try:
            found.append(take(capture, folder))
        except InputError as error:
            faults.append(error)
    demands = tuple(one for taken in found for one in taken.demands)
    return Conversations(demands, tuple(note for taken in found for note in taken.notes)), faults
