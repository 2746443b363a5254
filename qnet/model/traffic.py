"""What the network must carry: streams, demands and requirements, as the traffic file says.

Stream fields take the names of the DetNet flow information model (RFC 9016 clauses 5.5 and 5.9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field, SerializeAsAny, WithJsonSchema, model_validator

from qnet.model.calendar import Moment
from qnet.model.failures import Availability
from qnet.model.fields import (
    FRAME_BYTES_HIGHEST,
    FRAME_BYTES_LOWEST,
    IMIX,
    NAME_SCHEMA,
    FrameSizes,
    Name,
    NewName,
    Noun,
    Rate,
    Ratio,
    Size,
    Text,
    Time,
    TimeOrZero,
)
from qnet.model.flow_sizes import FlowSizes
from qnet.model.processes import Process
from qnet.model.reaction import Reaction
from qnet.model.recording import Capture, CapturedFrames
from qnet.model.timeline import LISTED_HIGHEST, PROCESSES_HIGHEST, Event
from qnet.units import (
    PPB,
    PS_PER_MS,
    PS_PER_S,
    RATE,
    RATIO,
    WHOLE_HIGHEST,
    UnitError,
    ceil_div,
    parse,
    wire_bytes,
)

ETHERNET_BYTES = 18
"""Destination, source, type and frame check sequence (IEEE 802.3 clause 3.1)."""

BURST_BYTES_HIGHEST = 10**6
"""A meter counts in bits times 10**12: so many bytes are 8 * 10**18 of them."""

GATE_ENTRIES_HIGHEST = 10_000
"""Of a list given by hand; those that a plan makes may be longer."""

LISTENERS_HIGHEST = 1000
"""Of one stream."""

BURST_PACKETS_HIGHEST = 100_000
"""Frames back to back in one burst of a demand."""

DURATION_PS_HIGHEST = 1000 * PS_PER_S
"""The longest run."""

YEARS_HIGHEST = 10**7
"""Of failures and repairs drawn at random, in whole milliseconds."""

AS_RESERVED = "as-reserved"


class IdleSlope(NamedTuple):
    """How fast credit grows at a port: a share of its rate, a rate, or what streams reserve there.

    That is of each stream of the class the line time of its frames in an interval, as a rate in
    whole bits a second, or its committed rate where that is more: what SRP (IEEE 802.1Q clause
    35) sets the slope to. With neither share nor rate it is that one.
    """

    share_ppb: int | None = None
    rate_bps: int | None = None


def _read_idle_slope(value: object) -> IdleSlope:
    if isinstance(value, IdleSlope):
        return value
    if value == AS_RESERVED:
        return IdleSlope()
    text = str(value).strip()
    if any(text.endswith(unit) for unit in RATE.units):
        rate_bps = parse(RATE, value)
        if not rate_bps:
            raise UnitError(f"{text} is zero; credit would never grow")
        return IdleSlope(rate_bps=rate_bps)
    try:
        share_ppb = parse(RATIO, value)
    except UnitError as error:
        what = f"a share of each port's rate, a rate, or '{AS_RESERVED}'"
        raise UnitError(f"{error}; {what}") from None
    if not 0 < share_ppb < PPB:
        raise UnitError(f"{text} is out of range; more than 0%, less than 100%")
    return IdleSlope(share_ppb=share_ppb)


Slope = Annotated[
    IdleSlope,
    BeforeValidator(_read_idle_slope),
    WithJsonSchema(
        {
            "type": "string",
            "description": "a share of each port's rate, a rate, or what streams reserve there",
            "examples": ["75%", "98688kbps", AS_RESERVED],
        }
    ),
]


class TrafficClass(Noun):
    """A traffic class (IEEE 802.1Q clause 8.6.6)."""

    name: Name = Field(description="name that streams and demands refer to")
    priority: int = Field(
        strict=True, ge=0, le=7, description="IEEE 802.1Q priority; higher goes first"
    )
    mechanism: Literal["tcqf", "csqf", "cqf", "qbv", "strict-priority"] = Field(
        description="tcqf reserves cycles for each stream; csqf does too, and lets frames of a "
        "stream wait extra cycles where that finds room; cqf has two buffers and no tags; qbv "
        "opens a gate for each frame at its time; strict-priority promises nothing"
    )
    isolation: Literal["frame", "stream"] = Field(
        "frame", description="qbv: what a queue holds at a time, one frame or one stream's frames"
    )
    waiting: bool = Field(
        True, strict=True, description="qbv: frames may wait in bridges for a later gate"
    )
    guard: Literal["length-aware", "fixed"] = Field(
        "length-aware",
        description="qbv: before a window, bridges hold back what would not end in time, or the "
        "gates of other classes close for the longest of their frames",
    )

    weight: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=1000,
        description="share among classes of one priority, served by weighted deficit round robin "
        "(IEEE 802.1Q clause 8.6.8.3)",
    )
    idle_slope: Slope | None = Field(
        None,
        alias="idle-slope",
        description="credit-based shaper: how fast credit grows at each port (IEEE 802.1Q clause "
        "8.6.8.2), as a share of its rate, as a rate, or as much as the streams of the class "
        "reserve there; behind gates it grows while its gate is open, so much faster",
    )
    residence_ps: Time | None = Field(
        None,
        alias="max-residence",
        description="asynchronous traffic shaping (IEEE 802.1Q clause 8.6.8.5): frames of each "
        "stream wait for its committed rate; one that would wait longer than this is dropped",
    )
    preemptable: bool = Field(
        False,
        strict=True,
        description="its frames can be cut by those of classes that are not "
        "(IEEE 802.3 clause 99, IEEE 802.1Q clause 6.7.2); windows of gates hold them",
    )
    reaction: Reaction | None = Field(
        None,
        exclude_if=lambda reaction: reaction is None,
        description="what is done when something breaks that its streams or demands are sent over",
    )

    @model_validator(mode="after")
    def _check_selection(self) -> TrafficClass:
        given = [key for key, value in self._selections.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"'{given[0]}' and '{given[1]}' both given; a class has one of them")
        if given and self.mechanism != "strict-priority":
            raise ValueError(f"'{given[0]}' goes with 'mechanism: strict-priority' only")
        if self.preemptable and self.mechanism != "strict-priority":
            raise ValueError("'preemptable' goes with 'mechanism: strict-priority' only")
        if self.idle_slope is not None and self.preemptable:
            raise ValueError("'idle-slope' and 'preemptable' both given; keep one")
        return self

    @property
    def _selections(self) -> Mapping[str, object]:
        return {
            "weight": self.weight,
            "idle-slope": self.idle_slope,
            "max-residence": self.residence_ps,
        }

    @property
    def is_plain(self) -> bool:
        """Say whether frames of the class are served by priority and order of arrival alone."""
        return not self.preemptable and all(one is None for one in self._selections.values())

    @property
    def reserves(self) -> bool:
        """Say whether streams of the class reserve cycles or gates."""
        return self.mechanism != "strict-priority"

    @property
    def takes_cycles(self) -> bool:
        """Say whether streams of the class reserve cycles."""
        return self.mechanism in ("tcqf", "csqf", "cqf")

    @property
    def gated(self) -> bool:
        """Say whether frames of the class have their times in gate control lists."""
        return self.mechanism == "qbv"

    @model_validator(mode="after")
    def _check(self) -> TrafficClass:
        extra = sorted(self.model_fields_set & {"isolation", "waiting", "guard"})
        if extra and not self.gated:
            raise ValueError(f"'{extra[0]}' goes with 'mechanism: qbv' only")
        policy = "none" if self.reaction is None else self.reaction.policy
        if policy == "failover" and self.mechanism not in ("tcqf", "csqf"):
            raise ValueError("'policy: failover' goes with 'tcqf' and 'csqf' only; take 'local'")
        if policy != "none" and self.mechanism in ("cqf", "qbv"):
            raise ValueError(f"streams of '{self.mechanism}' cannot be moved; use 'policy: none'")
        return self


RESERVED = TrafficClass(name="reserved", priority=6, mechanism="tcqf")
BEST_EFFORT = TrafficClass(name="best-effort", priority=0, mechanism="strict-priority")


class Recovery(Noun):
    """Sequence recovery (IEEE 802.1CB clause 7.4.3.4, the vector algorithm) at the listener."""

    history: int = Field(
        64,
        strict=True,
        ge=1,
        le=4096,
        description="frames back that are remembered (frerSeqRcvyHistoryLength)",
    )
    reset_ps: Time = Field(
        100 * PS_PER_MS,
        alias="reset",
        description="after so long without a frame the next one is taken, whatever its number "
        "(frerSeqRcvyResetMSec)",
    )


def _read_listeners(value: object) -> object:
    if isinstance(value, list | tuple):
        return tuple(value)
    return (value,)


Listeners = Annotated[
    tuple[Name, ...],
    BeforeValidator(_read_listeners),
    Field(min_length=1, max_length=LISTENERS_HIGHEST),
    WithJsonSchema(
        {"anyOf": [NAME_SCHEMA, {"type": "array", "items": NAME_SCHEMA, "minItems": 1}]}
    ),
]


def _read_target(value: object) -> object:
    if isinstance(value, list | tuple):
        names = ", ".join(str(one) for one in value if isinstance(one, str | int))
        raise UnitError(
            f"a list of {len(value)} ({names[:40]}); a demand has one target. Write one of each "
            "for every node: each takes room of its own on the wires that they share"
        )
    return value


Target = Annotated[Name, BeforeValidator(_read_target)]

LEG = "@"
"""Between the name of a stream and that of one of its listeners; no name in a file has it."""


class Stream(Noun):
    """Frames of one talker to one listener or several, up to a number of them every interval.

    On the way to several listeners a frame is sent once over each wire and copied where the ways
    part. `Profile.every_stream` has a *leg* for each of them, a stream by itself in all witnesses:
    NAME@LISTENER.
    """

    name: NewName = Field(
        description="unique among streams and demands; with a count, '-1', '-2' ... are added, "
        "with several listeners '@' and the listener"
    )
    talker: Name = Field(alias="from", description="node where the frames enter")
    listeners: Listeners = Field(
        alias="to", description="node where they leave, or a list: frames are copied on the way"
    )
    traffic_class: Name = Field(
        RESERVED.name, alias="class", description="traffic class, see 'classes'"
    )
    group: Name | None = Field(
        None, description="service the stream belongs to; the report sums up each; default its name"
    )
    count: int = Field(
        strict=True, ge=0, le=1_000_000, default=1, description="this many alike streams"
    )
    interval_ps: Time = Field(
        alias="interval", description="RFC 9016 Interval; a multiple of the cycle when reserved"
    )
    max_packets: int = Field(
        strict=True,
        ge=1,
        le=100_000,
        default=1,
        alias="max-pkts-per-interval",
        description="RFC 9016 MaxPacketsPerInterval, sent back to back",
    )
    max_payload_bytes: Size = Field(
        alias="max-payload-size",
        description="RFC 9016 MaxPayloadSize: bytes inside the Ethernet frame",
    )
    encapsulation_bytes: Size = Field(
        ETHERNET_BYTES,
        alias="encapsulation",
        description="bytes around the payload; 18B is untagged Ethernet",
    )
    max_latency_ps: Time | None = Field(
        None,
        alias="max-latency",
        description="RFC 9016 MaxLatency, last bit handed over to last bit received",
    )
    max_latency_variation_ps: Time | None = Field(
        None, alias="max-latency-variation", description="RFC 9016 MaxLatencyVariation"
    )
    max_loss_ppb: Ratio | None = Field(
        None, alias="max-loss", description="RFC 9016 MaxLoss, of the frames sent"
    )
    availability: Availability | None = Field(
        None,
        description="least share of the time for which a way of it works, by 'failures' of the "
        "topology; where one path is not enough two are planned",
        exclude_if=lambda share: share is None,
    )
    paths: int = Field(
        strict=True,
        ge=1,
        le=2,
        default=1,
        description="2 sends each frame twice over disjoint paths (IEEE 802.1CB)",
    )
    damper: bool = Field(
        False,
        strict=True,
        description="the listener's node hands each frame over only when its largest proven "
        "latency is reached; needs synchronised clocks and the send time in the frame",
    )
    recovery: Recovery | None = Field(
        None,
        description="with two paths: the listener's node passes on the first copy of each frame "
        "and drops the other",
    )
    committed_rate_bps: Rate | None = Field(
        None,
        alias="committed-rate",
        description="rate of its meter or shaper, default what its interval asks for",
    )
    committed_burst_bytes: Size | None = Field(
        None,
        alias="committed-burst",
        description="burst of its meter or shaper, default the frames of one interval",
    )
    police: bool = Field(
        False,
        strict=True,
        description="its first port drops what exceeds committed rate and burst "
        "(IEEE 802.1Q clause 8.6.5)",
    )
    excess_rate_bps: Rate | None = Field(
        None,
        alias="excess-rate",
        description="its meter has two rates (RFC 4115, MEF 10.3): what exceeds committed rate and "
        "burst passes as yellow up to this rate, with no promise; the rest is dropped",
        exclude_if=lambda rate: rate is None,
    )
    excess_burst_bytes: Size | None = Field(
        None,
        alias="excess-burst",
        description="burst of yellow frames, default as the committed burst",
        exclude_if=lambda burst: burst is None,
    )
    excess_packets: int = Field(
        0,
        strict=True,
        ge=0,
        le=100_000,
        alias="excess-pkts-per-interval",
        description="frames that the talker sends in each interval beyond what it asked for",
    )
    start: Literal["random", "together"] = Field(
        "random",
        description="first interval of streams that reserve nothing: at random, or for all of a "
        "group and talker together",
    )
    rank: int = Field(
        strict=True,
        ge=0,
        le=1000,
        default=500,
        description="who is served first when not all fit: low before high",
    )

    @property
    def listener(self) -> str:
        """The one listener; asked of legs and of streams that have one only."""
        (one,) = self.listeners
        return one

    @property
    def tree(self) -> str:
        """Name of the stream that this is a leg of, or its own: legs of one tree share frames."""
        return self.name.partition(LEG)[0]

    @property
    def legs(self) -> tuple[Stream, ...]:
        """A stream for each listener; itself where it has one."""
        if len(self.listeners) == 1:
            return (self,)
        return tuple(
            self.replace(name=f"{self.name}{LEG}{one}", listeners=(one,), group=self.service)
            for one in self.listeners
        )

    @cached_property
    def frame_bytes(self) -> int:
        """Bytes of one frame, padded to the shortest Ethernet frame."""
        return max(self.max_payload_bytes + self.encapsulation_bytes, FRAME_BYTES_LOWEST)

    @property
    def rate_bps(self) -> int:
        """Committed rate: as given, or the least that lets every interval's frames pass."""
        if self.committed_rate_bps is not None:
            return self.committed_rate_bps
        bits = 8 * self.max_packets * wire_bytes(self.frame_bytes)
        return ceil_div(bits * PS_PER_S, self.interval_ps)

    @property
    def burst_bytes(self) -> int:
        """Committed burst, with preamble and gap: as given, or the frames of one interval."""
        return self.committed_burst_bytes or self.max_packets * wire_bytes(self.frame_bytes)

    @property
    def yellow_burst_bytes(self) -> int:
        """Excess burst, with preamble and gap: 0 without an excess rate, else as given."""
        if self.excess_rate_bps is None:
            return 0
        return self.excess_burst_bytes or self.burst_bytes

    @property
    def service(self) -> str:
        """Group for the report."""
        return self.group or self.name

    @model_validator(mode="after")
    def _check(self) -> Stream:
        if self.talker in self.listeners:
            raise ValueError(f"'from' and 'to' are both '{self.talker}'; a stream needs two nodes")
        twice = next((one for one, n in Counter(self.listeners).items() if n > 1), None)
        if twice is not None:
            raise ValueError(f"'to' has '{twice}' twice; a listener gets each frame once")
        if len(self.listeners) > 1 and self.paths > 1:
            raise ValueError(
                "'paths: 2' goes with one listener; with several, one path leads to each"
            )
        if self.recovery is not None and self.paths == 1 and self.availability is None:
            raise ValueError("'recovery' goes with 'paths: 2', or with 'availability', only")
        if self.burst_bytes > BURST_BYTES_HIGHEST and self.police:
            raise ValueError(f"a policed burst of {self.burst_bytes}B is too large; at most 1MB")
        if self.burst_bytes < self.frame_bytes:
            raise ValueError("'committed-burst' is less than one frame, which would never pass")
        self._check_excess()
        if self.max_payload_bytes + self.encapsulation_bytes > FRAME_BYTES_HIGHEST:
            raise ValueError(
                f"a frame of {self.max_payload_bytes + self.encapsulation_bytes}B is too long; "
                f"at most {FRAME_BYTES_HIGHEST}B"
            )
        return self

    def _check_excess(self) -> None:
        if self.excess_rate_bps is None:
            if self.excess_burst_bytes is not None:
                raise ValueError("'excess-burst' goes with 'excess-rate' only")
            return
        if not self.police:
            raise ValueError("'excess-rate' goes with 'police: true' only")
        if self.yellow_burst_bytes > BURST_BYTES_HIGHEST:
            raise ValueError(
                f"an excess burst of {self.yellow_burst_bytes}B is too large; at most 1MB"
            )
        if self.yellow_burst_bytes < wire_bytes(self.frame_bytes):
            raise ValueError("'excess-burst' is less than one frame, which would never be yellow")


class Demand(Noun):
    """An entry of the traffic matrix: many small senders together, split over routes to fit."""

    name: Name = Field(description="unique among streams and demands")
    source: Name = Field(alias="from", description="node where the frames enter")
    target: Target = Field(alias="to", description="node where they leave")
    traffic_class: Name = Field(
        BEST_EFFORT.name, alias="class", description="traffic class, see 'classes'"
    )
    group: Name | None = Field(None, description="service it belongs to; default its name")
    rate_bps: Rate = Field(
        alias="rate", description="mean rate on the wire: frames with preamble and gap"
    )
    arrival: Literal["poisson", "constant-rate", "bursts", "flows"] = Field(
        "poisson",
        description="law of the arrivals; flows come one after the other at the access rate, with "
        "pauses of exponential length between them",
    )
    burst_packets: int = Field(
        strict=True,
        ge=1,
        le=BURST_PACKETS_HIGHEST,
        default=1,
        alias="burst",
        description="frames back to back in one burst (arrival: bursts)",
    )
    flow_sizes: FlowSizes | None = Field(
        None,
        alias="flow-sizes",
        description="frames of a flow (arrival: flows): 'web-search' (DCTCP), 'data-mining' (VL2), "
        "or points like '1:50%+20:90%+100:100%', so many frames at most and the share of flows",
        exclude_if=lambda points: points is None,
    )
    access_rate_bps: Rate | None = Field(
        None,
        alias="access-rate",
        description="rate on the wire at which the frames of one flow come (arrival: flows), above "
        "the mean rate",
        exclude_if=lambda rate: rate is None,
    )
    sizes: FrameSizes = Field(
        IMIX, description="one frame size, 'imix' (64, 594, 1518 at 7:4:1) or another mix"
    )
    microflows: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=1_000_000,
        description="conversations of equal rate that it consists of; each keeps to one route, and "
        "a hash picks its wire at every link of several (IEEE 802.1AX clause 6.2.4); default the "
        "plan splits the demand at will",
    )
    max_loss_ppb: Ratio | None = Field(
        None, alias="max-loss", description="largest share of frames lost"
    )

    @property
    def service(self) -> str:
        """Group for the report."""
        return self.group or self.name

    @model_validator(mode="after")
    def _check(self) -> Demand:
        if self.source == self.target:
            raise ValueError(f"'from' and 'to' are both '{self.source}'; a demand needs two nodes")
        if self.burst_packets > 1 and self.arrival != "bursts":
            raise ValueError("'burst' goes with 'arrival: bursts' only")
        flows = {"flow-sizes": self.flow_sizes, "access-rate": self.access_rate_bps}
        for key, value in flows.items():
            if value is not None and self.arrival != "flows":
                raise ValueError(f"'{key}' goes with 'arrival: flows' only")
            if value is None and self.arrival == "flows":
                raise ValueError(f"'arrival: flows' has no '{key}'")
        if self.access_rate_bps is not None and self.access_rate_bps <= self.rate_bps:
            raise ValueError("'access-rate' is not above 'rate'; flows would have no end")
        if self.microflows is not None and self.rate_bps < self.microflows:
            raise ValueError(
                f"{self.microflows} microflows share {self.rate_bps} bit/s; each needs 1 bit/s"
            )
        return self


class RecordedDemand(Demand):
    """A conversation of a capture; no file has one, `qnet.files.captures` makes them.

    Its frames are sent at their own times and with their own sizes, all over the same wires; no
    law of arrivals is theirs. The rate is what the plan has room for.
    """

    recording: CapturedFrames


class Egress(Noun):
    """A site must be able to send this much to the outside, all at once."""

    site: Name = Field(description="site of the nodes, as in the topology")
    rate_bps: Rate = Field(alias="rate", description="on the wire, summed over all leaving ports")
    survives: tuple[Literal["cable", "node"], ...] = Field(
        (),
        description="the wires must let out as much after any one cable is cut, or any one node of "
        "the site is down",
        exclude_if=lambda kinds: not kinds,
    )
    together: tuple[Annotated[tuple[Name, ...], Field(min_length=1)], ...] = Field(
        (),
        description="nodes of the site that count as one node, too, such as both switches of an "
        "exchange centre",
        exclude_if=lambda groups: not groups,
    )


class GateControlEntry(Noun):
    """One entry of a gate control list: which classes may send, and for how long."""

    open_classes: tuple[Name, ...] = Field(
        alias="open", description="classes whose gates are open; [] closes all"
    )
    interval_ps: Time = Field(alias="for", description="how long the entry lasts")
    hold: bool = Field(
        False,
        strict=True,
        description="preemptable frames are held meanwhile (Set-And-Hold-MAC)",
    )


class GateControl(Noun):
    """A gate control list that is there already, at one port or several (802.1Q 8.6.8.4)."""

    at: tuple[Text, ...] = Field(
        min_length=1, description="ports, like 'a->b', or nodes: all ports of each"
    )
    base_time_ps: TimeOrZero = Field(
        0,
        alias="base-time",
        description="what the node's clock shows when the list begins (AdminBaseTime)",
    )
    entries: tuple[GateControlEntry, ...] = Field(
        min_length=1, max_length=GATE_ENTRIES_HIGHEST, description="the list; it goes round"
    )

    @property
    def cycle_ps(self) -> int:
        """Time after which the list begins again."""
        return sum(one.interval_ps for one in self.entries)


class Simulation(Noun):
    """How long to watch, and which dice."""

    duration_ps: Time = Field(40 * 10**9, alias="duration", description="network time to simulate")
    seed: int = Field(
        strict=True, ge=0, le=WHOLE_HIGHEST, default=1, description="seed of every random draw"
    )
    years: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=YEARS_HIGHEST,
        description="so many years of failures and repairs are drawn beside, to see for how much "
        "of them streams have a way",
        exclude_if=lambda years: years is None,
    )


class Profile(Noun):
    """A traffic file."""

    title: Text = Field(description="one line that says what is carried")
    description: Text | None = Field(None, description="what it shows, for the report")
    topology: Name = Field(description="topology file, by name, bundled or beside this file")
    assumptions: tuple[Text, ...] = Field(
        (), description="what was assumed where no source says; printed in every report"
    )
    parameters: Mapping[Name, str | int] = Field(
        {}, description="values for ${name} in this file; '--set name=value' replaces them"
    )
    classes: tuple[TrafficClass, ...] = Field(
        (RESERVED, BEST_EFFORT), min_length=1, max_length=8, description="traffic classes"
    )
    streams: tuple[Stream, ...] = Field((), description="streams, reserved or not")
    demands: tuple[SerializeAsAny[Demand], ...] = Field((), description="aggregate demands")
    captures: tuple[Capture, ...] = Field(
        (),
        max_length=LISTED_HIGHEST,
        description="captures whose conversations are sent again; each is a demand",
        exclude_if=lambda captures: not captures,
    )
    egress: tuple[Egress, ...] = Field((), description="required egress of sites")
    gates: tuple[GateControl, ...] = Field(
        (), description="gate control lists that are given, for classes that reserve nothing"
    )
    events: tuple[Event, ...] = Field(
        (),
        max_length=LISTED_HIGHEST,
        description="what happens meanwhile: what breaks, and is mended",
        exclude_if=lambda events: not events,
    )
    epoch: Moment | None = Field(
        None,
        description="when the run starts by the clock on the wall, with a time zone",
        exclude_if=lambda epoch: epoch is None,
    )
    processes: tuple[Process, ...] = Field(
        (),
        max_length=PROCESSES_HIGHEST,
        description="what happens at random meanwhile, drawn by the seed",
        exclude_if=lambda processes: not processes,
    )
    simulation: Simulation = Field(Simulation(), description="duration and seed")

    @cached_property
    def class_by_name(self) -> Mapping[str, TrafficClass]:
        """Traffic classes by name."""
        return {one.name: one for one in self.classes}

    @cached_property
    def every_stream(self) -> tuple[Stream, ...]:
        """Streams with their counts and listeners written out, in file order."""
        return tuple(leg for stream in self.every_tree for leg in stream.legs)

    @cached_property
    def every_tree(self) -> tuple[Stream, ...]:
        """Streams with their counts written out, in file order; each with all its listeners."""
        return tuple(
            stream
            if stream.count == 1
            else stream.replace(name=f"{stream.name}-{i + 1}", group=stream.service, count=1)
            for stream in self.streams
            for i in range(stream.count)
        )

    @cached_property
    def strict_classes(self) -> tuple[TrafficClass, ...]:
        """Classes that reserve nothing, the highest first."""
        strict = (one for one in self.classes if not one.reserves)
        return tuple(sorted(strict, key=lambda one: -one.priority))

    @cached_property
    def queue_by_class(self) -> Mapping[str, int]:
        """Queues of all classes without gates of their own, from 0 up by priority.

        The same at every port. Streams of a gated class share the queues above these, each in
        the queue that its plan says.
        """
        others = sorted((one.priority, one.name) for one in self.classes if not one.gated)
        return {name: queue for queue, (_, name) in enumerate(others)}

    def is_reserved(self, stream: Stream) -> bool:
        """Say whether the stream's class reserves cycles or gates."""
        return self.class_by_name[stream.traffic_class].reserves

    @property
    def held_queues(self) -> int:
        """Return a bit for each queue of a class that is preemptable: windows of gates hold it."""
        queues = (self.queue_by_class[one.name] for one in self.classes if one.preemptable)
        return sum(1 << queue for queue in queues)

    def is_gated(self, stream: Stream) -> bool:
        """Say whether the stream's frames have their times in gate control lists."""
        return self.class_by_name[stream.traffic_class].gated

    def takes_cycles(self, stream: Stream) -> bool:
        """Say whether the stream reserves cycles."""
        return self.class_by_name[stream.traffic_class].takes_cycles

    def loss_promised_ppb(self, one: Stream | Demand) -> int | None:
        """Return the largest share of frames that may be lost, None where nothing is promised.

        A reservation loses nothing where its stream says nothing of it.
        """
        if one.max_loss_ppb is None and isinstance(one, Stream) and self.is_reserved(one):
            return 0
        return one.max_loss_ppb

    def may_wait(self, stream: Stream) -> bool:
        """Say whether the stream's frames may wait extra cycles on their way (CSQF)."""
        return self.class_by_name[stream.traffic_class].mechanism == "csqf"


def recordings_of(profile: Profile) -> tuple[RecordedDemand, ...]:
    """Return the demands that captures were made of."""
    return tuple(one for one in profile.demands if isinstance(one, RecordedDemand))
