"""What a switch has counted: read from the words of ovs-ofctl.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from qnet.emulate.openflow.nouns import Rule
from qnet.emulate.openflow.text import read_flows, show, show_value


class CountedFrames(NamedTuple):
    """Frames and their bytes."""

    packets: int
    bytes: int


class EntryCounters(NamedTuple):
    """A flow entry and what it has counted; times in seconds, timeouts 0 where there are none."""

    rule: Rule
    packets: int
    bytes: int
    age_s: float
    idle_timeout_s: int = 0
    hard_timeout_s: int = 0


class PortCounters(NamedTuple):
    """A port and what went through it; None of what the switch does not count there."""

    number: int
    up: bool
    config: tuple[str, ...]
    """Such as PORT_DOWN and NO_FLOOD."""
    state: tuple[str, ...]
    """Such as LINK_DOWN and LIVE."""
    rx_packets: int | None
    rx_bytes: int | None
    rx_dropped: int | None
    rx_errors: int | None
    tx_packets: int | None
    tx_bytes: int | None
    tx_dropped: int | None
    tx_errors: int | None


class GroupCounters(NamedTuple):
    """What has gone to a group, and to each of its buckets."""

    number: int
    packets: int
    bytes: int
    buckets: tuple[CountedFrames, ...]


class MeterCounters(NamedTuple):
    """What has come to a meter, and what each of its bands has taken."""

    number: int
    packets: int
    bytes: int
    bands: tuple[CountedFrames, ...]


_Numbered = TypeVar("_Numbered", PortCounters, GroupCounters, MeterCounters)


class Counters(NamedTuple):
    """All that one switch has counted.

    Bytes are those that the switch saw: 12 more than a frame has, where its way is followed.
    """

    switch: str
    entries: tuple[EntryCounters, ...]
    ports: tuple[PortCounters, ...]
    groups: tuple[GroupCounters, ...]
    meters: tuple[MeterCounters, ...]

    def packets(self, **fields: int | str) -> int:
        """Return how many frames have met entries that match these fields, in all tables.

        packets(table=0, in_port=2, eth_dst="02:51:48:00:00:04"): names are OpenFlow's; `table`,
        `priority` and `cookie` are the entry's own. Raises KeyError where there is no such entry.
        """
        found = [one for one in self.entries if _matches(one.rule, fields)]
        if not found:
            there = "; ".join(show(one.rule) for one in self.entries) or "none"
            raise KeyError(f"{self.switch} has no entry with {fields}; there are: {there}")
        return sum(one.packets for one in found)

    def port(self, number: int) -> PortCounters:
        """Return what a port has counted; raises KeyError without it."""
        return self._numbered("port", self.ports, number)

    def group(self, number: int) -> GroupCounters:
        """Return what a group has counted; raises KeyError without it."""
        return self._numbered("group", self.groups, number)

    def meter(self, number: int) -> MeterCounters:
        """Return what a meter has counted; raises KeyError without it."""
        return self._numbered("meter", self.meters, number)

    def _numbered(self, kind: str, every: Sequence[_Numbered], number: int) -> _Numbered:
        for one in every:
            if one.number == number:
                return one
        there = ", ".join(str(one.number) for one in every) or "none"
        raise KeyError(f"{self.switch} has no {kind} {number}; there are: {there}")


def _matches(rule: Rule, fields: Mapping[str, int | str]) -> bool:
    own = {"table": rule.table, "priority": rule.priority, "cookie": rule.cookie}
    has = {one.name: one.value for one in rule.match if one.mask is None}
    for name, value in fields.items():
        number = own[name] if name in own else has.get(name)
        if number is None or value not in (number, show_value(name, number)):
            return False
    return True


def read_entry_counters(text: str) -> tuple[EntryCounters, ...]:
    """Read `ovs-ofctl dump-flows`; entries that are not understood are left out."""
    found = []
    for line in text.splitlines():
        for rule in read_flows(line, []):
            head = line.partition("actions=")[0]
            has = dict(re.findall(r"(\w+)=([\d.]+)", head))
            found.append(
                EntryCounters(
                    rule,
                    int(has.get("n_packets", 0)),
                    int(has.get("n_bytes", 0)),
                    float(has.get("duration", 0)),
                    int(has.get("idle_timeout", 0)),
                    int(has.get("hard_timeout", 0)),
                )
            )
    return tuple(found)


def read_port_counters(text: str, description: str) -> tuple[PortCounters, ...]:
    """Read `ovs-ofctl dump-ports` and `dump-ports-desc`; only ports with a number are returned."""
    counts = {}
    for number, block in re.findall(r"^ +port +(\d+):(.*(?:\n {6,}.*)*)", text, re.MULTILINE):
        receives, _, sends = block.partition(" tx ")
        counts[int(number)] = (_count(receives), _count(sends))
    found = []
    pattern = r"^ (\d+)\(.*\n +config: +(.*)\n +state: +(.*)"
    for number, config, state in re.findall(pattern, description, re.MULTILINE):
        words = [tuple(one.split()) if one != "0" else () for one in (config, state)]
        receives, sends = counts.get(int(number), (_count(""), _count("")))
        is_up = "PORT_DOWN" not in words[0] and "LINK_DOWN" not in words[1]
        found.append(PortCounters(int(number), is_up, words[0], words[1], *receives, *sends))
    return tuple(found)


def _count(text: str) -> tuple[int | None, ...]:
    has = dict(re.findall(r"(\w+)=(\d+)", text))
    return tuple(int(has[key]) if key in has else None for key in ("pkts", "bytes", "drop", "errs"))


def read_group_counters(text: str) -> tuple[GroupCounters, ...]:
    """Read `ovs-ofctl dump-group-stats`."""
    return tuple(
        GroupCounters(int(line[1]), *counted[0], tuple(counted[1:]))
        for line in re.finditer(r"group_id=(\d+).*", text)
        if (counted := list(_pairs(line[0], "packet_count=", "byte_count=")))
    )


def read_meter_counters(text: str) -> tuple[MeterCounters, ...]:
    """Read `ovs-ofctl meter-stats`."""
    found = []
    for block in re.split(r"(?=\bmeter:)", text)[1:]:
        head, _, bands = block.partition("bands:")
        number = int(block.removeprefix("meter:").split()[0])
        ((packets, octets),) = _pairs(head, "packet_in_count:", "byte_in_count:")
        counted = tuple(_pairs(bands, "packet_count:", "byte_count:"))
        found.append(MeterCounters(number, packets, octets, counted))
    return tuple(found)


def _pairs(text: str, packets: str, octets: str) -> Iterator[CountedFrames]:
    for one, other in re.findall(rf"\b{packets}(\d+)[ ,]+{octets}(\d+)", text):
        yield CountedFrames(int(one), int(other))
