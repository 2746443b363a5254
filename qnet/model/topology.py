"""The network as its file describes it: nodes, links, and the ports that follow from them.

A link is full duplex. A port is one directed egress: each member of a link gives one port in each
direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from math import asin, cos, radians, sin, sqrt
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from qnet.model.failures import (
    CableFailures,
    Failing,
    NetworkFailures,
    NodeFailures,
    of_cable,
    of_node,
)
from qnet.model.fields import (
    BothWays,
    ErrorRatioWays,
    LengthWays,
    Name,
    Noun,
    Place,
    Position,
    RateWays,
    Ratio,
    RatioWays,
    Size,
    Text,
    Time,
    TimeOrZero,
    TimeRange,
    TimeSpan,
    TimeWays,
)
from qnet.units import PPB, PS_PER_MS, ceil_div

FIBRE_PS_PER_KM = 4_900_000
"""4.9 us per km of fibre (group index 1.468)."""

FIBRE_PER_GREAT_CIRCLE_TENTHS = 18
"""Fibre is 1.8 times the great circle where only the cities are known: the ratio behind CAICT's
national delay figures and the CENI loop's measured 27.142 ms."""

EARTH_RADIUS_M = 6_371_000


class Clock(Noun):
    """When a node's cycles start, and how far its clock may be from true time."""

    phase_ps: TimeOrZero = Field(
        0, alias="phase", description="start of the node's cycle 0, after time zero"
    )
    error_ps: TimeOrZero = Field(
        0, alias="error", description="bound of the clock's error, early or late"
    )
    wander_ps: TimeOrZero = Field(
        0, alias="wander", description="largest change of the error in one millisecond"
    )
    frequency_ppb: Ratio = Field(
        0,
        alias="frequency-offset",
        description="bound of the oscillator's frequency offset, drawn by seed; it tells when "
        "nothing corrects the clock: without 'sync', or after its grandmaster is lost",
    )
    granularity_ps: TimeOrZero = Field(
        0,
        alias="granularity",
        description="step of the clock's counter: errors are whole steps at full milliseconds",
    )

    @model_validator(mode="after")
    def _check(self) -> Clock:
        offset_ps = self.frequency_ppb * PS_PER_MS // PPB
        if self.wander_ps + offset_ps + self.granularity_ps >= PS_PER_MS:
            raise ValueError(
                "'wander', 'frequency-offset' and 'granularity' come to a millisecond in each; "
                "a clock goes on"
            )
        return self


class Sync(Noun):
    """Time from one grandmaster, hop by hop over the shortest way (IEEE 802.1AS).

    Every hop adds an error of its own to that of the node before; the way's asymmetry adds to it.
    A clock follows by at most its 'wander' in a millisecond. After the grandmaster is lost each
    clock runs on with its own frequency offset. A node's 'error' is the bound that plans are made
    for, whether or not it is kept.
    """

    grandmaster: Name = Field(description="node whose clock all others follow")
    hop_error_ps: TimeOrZero = Field(
        0, alias="hop-error", description="bound of what each hop adds to the error, drawn by seed"
    )
    interval_ps: Time = Field(
        125 * PS_PER_MS,
        alias="interval",
        description="how often the errors of the hops are drawn anew; IEEE 802.1AS has powers of "
        "two of a second, such as 125ms (-3) and 31.25ms (-5)",
    )
    lost_at_ps: Time | None = Field(
        None, alias="lost-at", description="when the grandmaster falls silent; default never"
    )


class Node(Noun):
    """A switch, router or host."""

    name: Name = Field(description="unique name of the node")
    kind: Literal["switch", "host"] = Field(
        "switch",
        description="a host has one link or several, sends and receives, and forwards nothing",
    )
    site: Name | None = Field(None, description="place it belongs to; egress is counted per site")
    role: Name | None = Field(None, description="what it is, for the map: hub, city, centre ...")
    position: Place | None = Field(None, description="latitude and longitude, like 35.71N 107.64E")
    processing: TimeSpan = Field(
        TimeRange(0, 0),
        description="delay from the last bit received to the frame queued at its egress port",
    )
    buffer_bytes: Size = Field(
        64_000_000, alias="buffer", description="drop-tail buffer per port and best-effort class"
    )
    clock: Clock = Field(Clock(), description="phase, error and wander of its clock")
    queues: int = Field(
        strict=True, ge=1, le=8, default=8, description="queues of each of its ports, for gates"
    )
    gate_entries: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=1_000_000,
        alias="gate-entries",
        description="longest gate control list that each of its ports holds; default no limit",
    )
    cut_through_bytes: Size | None = Field(
        None,
        alias="cut-through",
        description="bytes that must be in before a frame may leave by an idle port of the same "
        "rate; default all of it (store and forward)",
    )

    failures: NodeFailures | None = Field(
        None,
        description="how often it fails, in place of what the network's nodes do",
        exclude_if=lambda failures: failures is None,
    )

    @property
    def is_host(self) -> bool:
        """Say whether the node is a plain host."""
        return self.kind == "host"


class Link(Noun):
    """A full-duplex link of one or more parallel wires (an IEEE 802.1AX aggregation group).

    What differs by direction has two values: from the first node to the second, and back. A link
    of one direction has the first one only.
    """

    name: Name | None = Field(None, description="needed only to tell parallel links apart")
    between: tuple[Name, Name] = Field(description="the two nodes")
    direction: Literal["both", "one-way"] = Field(
        "both", description="'one-way' sends from the first node to the second only"
    )
    rate_bps: RateWays = Field(alias="rate", description="line rate of one member wire")
    members: int = Field(
        strict=True, ge=1, le=1024, default=1, description="parallel wires, each a port of its own"
    )
    reservable_bps: RateWays | None = Field(
        None,
        alias="reservable",
        description="part of a wire's rate that plans may fill "
        "(RFC 3630 maximum reservable bandwidth); default all",
    )
    length_mm: LengthWays | None = Field(
        None,
        alias="length",
        description="fibre length; default 1.8 x the great circle between the nodes",
    )
    delay_ps: TimeWays | None = Field(
        None, alias="delay", description="propagation delay, in place of a length"
    )
    cable: Name | None = Field(
        None, description="shared-risk group: links of one cable are cut together"
    )
    failures: CableFailures | None = Field(
        None,
        description="how often its cable breaks, in place of what the network's cables do",
        exclude_if=lambda failures: failures is None,
    )
    asymmetry_ps: TimeOrZero = Field(
        0,
        alias="asymmetry",
        description="how much longer the way from the first node to the second is than the way "
        "back; half of it either way, and half of it misleads clocks that are set over the link",
    )
    loss_ppb: RatioWays = Field(
        BothWays(0, 0), alias="loss", description="share of frames lost on the way, at random"
    )
    bit_errors: ErrorRatioWays = Field(
        BothWays(0, 0),
        alias="bit-error-ratio",
        description="share of bits received wrong, like '1e-12'; such a frame is dropped at the "
        "next node (frame check sequence)",
    )

    @property
    def is_one_way(self) -> bool:
        """Say whether nothing can be sent from the second node to the first."""
        return self.direction == "one-way"

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """From where to where frames are sent: there and back, or there only."""
        there = self.between
        return (there,) if self.is_one_way else (there, there[::-1])

    @model_validator(mode="after")
    def _check(self) -> Link:
        if self.between[0] == self.between[1]:
            raise ValueError(f"a link joins two nodes; both ends are '{self.between[0]}'")
        if self.length_mm is not None and self.delay_ps is not None:
            raise ValueError("'length' and 'delay' both given; keep the one that was measured")
        if self.reservable_bps is not None and any(
            part > whole for part, whole in zip(self.reservable_bps, self.rate_bps, strict=True)
        ):
            raise ValueError("'reservable' is more than 'rate'; it is a part of one wire's rate")
        self._check_directions()
        return self

    def _check_directions(self) -> None:
        if not (self.is_one_way or self.asymmetry_ps):
            return
        given = {
            "rate": self.rate_bps,
            "reservable": self.reservable_bps,
            "length": self.length_mm,
            "delay": self.delay_ps,
            "loss": self.loss_ppb,
            "bit-error-ratio": self.bit_errors,
        }
        differing = [key for key, pair in given.items() if pair and pair.there != pair.back]
        if self.is_one_way and differing:
            raise ValueError(f"'{differing[0]}' for both directions of a link that has one")
        if self.is_one_way and self.asymmetry_ps:
            raise ValueError("'asymmetry' of a link that has one direction")
        if self.asymmetry_ps and {"length", "delay"} & set(differing):
            raise ValueError("'asymmetry' and a way back of its own both given; keep one")


class Tcqf(Noun):
    """Cycles of the TCQF domain (draft-ietf-detnet-tcqf)."""

    cycle_ps: Time = Field(
        10_000_000, alias="cycle", description="cycle length T, the same on all hops"
    )
    buffers: int = Field(
        strict=True, ge=3, le=16, default=4, description="cycle buffers per port, C"
    )


class Port(NamedTuple):
    """One directed egress: a wire as seen from the node that sends into it."""

    number: int
    name: str
    link: int
    member: int
    source: str
    target: str
    rate_bps: int
    reservable_bps: int
    propagation_ps: int
    loss_ppb: int
    bit_errors: int

    @property
    def is_lossy(self) -> bool:
        """Say whether frames can be lost on the way."""
        return self.loss_ppb > 0 or self.bit_errors > 0


class Topology(Noun):
    """A network file."""

    title: Text = Field(description="one line that says which network this is")
    description: Text | None = Field(None, description="what it shows, for the report")
    assumptions: tuple[Text, ...] = Field(
        (), description="what was assumed where no source says; printed in every report"
    )
    tcqf: Tcqf = Field(Tcqf(), description="cycle length and buffers of the reserved class")
    sync: Sync | None = Field(
        None, description="where clocks have their time from; default each has its own error"
    )
    failures: NetworkFailures | None = Field(
        None,
        description="how often cables and nodes break; where it is given, or a stream is promised "
        "an availability, the report says which each stream has",
        exclude_if=lambda failures: failures is None,
    )
    nodes: tuple[Node, ...] = Field(min_length=1, description="switches, routers and hosts")
    links: tuple[Link, ...] = Field(min_length=1, description="links between them")

    @cached_property
    def node_by_name(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """Every port, in the order of links, directions and members; `number` is its place here.

        A port is called 'a->b'; parallel links add their name and aggregation groups the member:
        'a->b[north]/2'.
        """
        ports: list[Port] = []
        for link_index, link in enumerate(self.links):
            label = f"[{link.name}]" if link.name else ""
            reservable_bps = link.reservable_bps or link.rate_bps
            ways_ps = propagation_ps(link, self.node_by_name)
            for back, (source, target) in enumerate(link.directions):
                for member in range(link.members):
                    suffix = f"/{member + 1}" if link.members > 1 else ""
                    ports.append(
                        Port(
                            len(ports),
                            f"{source}->{target}{label}{suffix}",
                            link_index,
                            member,
                            source,
                            target,
                            link.rate_bps[back],
                            reservable_bps[back],
                            ways_ps[back],
                            link.loss_ppb[back],
                            link.bit_errors[back],
                        )
                    )
        return tuple(ports)

    @cached_property
    def port_by_name(self) -> Mapping[str, Port]:
        """Ports by name."""
        return {port.name: port for port in self.ports}

    @cached_property
    def _shared_names(self) -> frozenset[str]:
        """Names that links between different nodes have in common."""
        ends: dict[str, set[frozenset[str]]] = {}
        for link in self.links:
            ends.setdefault(link.name or "--".join(link.between), set()).add(
                frozenset(link.between)
            )
        return frozenset(name for name, pairs in ends.items() if len(pairs) > 1)

    @cached_property
    def sync_ways(self) -> Mapping[str, tuple[int, ...]]:
        """For each node that the grandmaster's time reaches: the ports it comes over, in order.

        The shortest way in links; the first in the file among equals. A link of one direction
        does not carry it: nobody could measure its delay.
        """
        if self.sync is None:
            return {}
        ways: dict[str, tuple[int, ...]] = {self.sync.grandmaster: ()}
        waiting = [self.sync.grandmaster]
        for name in waiting:
            if self.node_by_name[name].is_host and name != self.sync.grandmaster:
                continue  # it takes the time and passes none on
            for port in self.ports:
                if self.links[port.link].is_one_way:
                    continue
                if port.source == name and port.target not in ways:
                    ways[port.target] = (*ways[name], port.number)
                    waiting.append(port.target)
        return ways

    def asymmetry_ps(self, port: Port) -> int:
        """Return how much longer than the mean of both directions the way of a port is."""
        link = self.links[port.link]
        there_ps, back_ps = propagation_ps(link, self.node_by_name)
        half_ps = abs(there_ps - back_ps) // 2
        longer = (there_ps > back_ps) == (port.source == link.between[0])
        return half_ps if longer else -half_ps

    def link_name(self, link: Link) -> str:
        """Return the link's name, or its two ends when it has none, or both when it needs both.

        A name need only tell parallel links apart: 'north' may be a link of a--b and one of b--c.
        """
        between = "--".join(link.between)
        if link.name in self._shared_names:
            return f"{between}[{link.name}]"
        return link.name or between

    def cable(self, link: Link) -> str:
        """Return the shared-risk group of a link; a link without one is its own."""
        return link.cable or self.link_name(link)

    @cached_property
    def cable_failures(self) -> Mapping[str, Failing]:
        """How often each cable breaks, and for how long; it is as long as its longest link."""
        general = (self.failures or NetworkFailures()).cables
        found: dict[str, Failing] = {}
        for link in self.links:
            name, km = self.cable(link), length_km(link, self.node_by_name)
            one = of_cable(km, link.failures, general)
            found[name] = max(found.get(name, one), one)
        return found

    @cached_property
    def node_failures(self) -> Mapping[str, Failing]:
        """How often each node fails that does, and for how long."""
        general = (self.failures or NetworkFailures()).nodes
        found = {node.name: of_node(node.failures, general) for node in self.nodes}
        return {name: one for name, one in found.items() if one is not None}


def length_km(link: Link, node_by_name: Mapping[str, Node]) -> Fraction:
    """Return how long a link is, the mean of both directions, from what its file says of it.

    One with a delay only is as long as fibre of that delay.
    """
    if link.length_mm is not None:
        return Fraction(sum(link.length_mm), 2 * 10**6)
    if link.delay_ps is not None:
        return Fraction(sum(link.delay_ps), 2 * FIBRE_PS_PER_KM)
    near, far = (node_by_name[name].position for name in link.between)
    assert near is not None, "read.py refuses links of unknown length"
    assert far is not None, "read.py refuses links of unknown length"
    return Fraction(fibre_length_mm(near, far), 10**6)


def propagation_ps(link: Link, node_by_name: Mapping[str, Node]) -> BothWays:
    """Return a link's propagation delays: as given, or from fibre lengths, or from the map.

    Half of the asymmetry makes the way there longer, half of it the way back shorter.
    """
    half_ps = link.asymmetry_ps // 2
    if link.delay_ps is not None:
        there_ps, back_ps = link.delay_ps
        return BothWays(there_ps + half_ps, back_ps - half_ps)
    length_mm = link.length_mm
    if length_mm is None:
        near, far = (node_by_name[name].position for name in link.between)
        assert near is not None, "read.py refuses links of unknown length"
        assert far is not None, "read.py refuses links of unknown length"
        length_mm = BothWays(*[fibre_length_mm(near, far)] * 2)
    there_ps, back_ps = (ceil_div(one * FIBRE_PS_PER_KM, 10**6) for one in length_mm)
    return BothWays(there_ps + half_ps, back_ps - half_ps)


def fibre_length_mm(near: Position, far: Position) -> int:
    """Estimate the fibre between two places: 1.8 x great circle, in steps of 1 km, at least 1 km.

    Qingyang to Shanghai, 1375 km apart, gives 2474 km or so.
    """
    north, south = (radians(place.latitude_microdegrees / 1e6) for place in (near, far))
    east = radians((near.longitude_microdegrees - far.longitude_microdegrees) / 1e6)
    half_chord = sin((north - south) / 2) ** 2 + cos(north) * cos(south) * sin(east / 2) ** 2
    great_circle_m = round(2 * EARTH_RADIUS_M * asin(sqrt(half_chord)))
    fibre_km = great_circle_m * FIBRE_PER_GREAT_CIRCLE_TENTHS // 10_000
    return max(fibre_km, 1) * 10**6
