"""What the scheduler promises: routes, cycles and placed rates. Written as plan.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from qnet.model.fields import Noun
from qnet.model.gates import GateList
from qnet.model.traffic import LEG
from qnet.units import PPB, show_rate, show_time

QUEUES_MOST = 8
"""Queues of a port (IEEE Std 802.1Q clause 8.6.6)."""


class PathPlan(Noun):
    """One route of a stream and, when reserved, the cycle it uses at each of its ports.

    `cycles[h]` is the absolute cycle, counted from each node's own cycle 0, in which the frames of
    the stream's interval 0 leave port `ports[h]`; those of interval k leave
    `k * interval / cycle` cycles later. Empty for streams that reserve nothing.

    For streams of gated classes (IEEE 802.1Q clause 8.6.8.4), `starts_ps[k][h]` is when frame k of
    the gate cycle begins to leave port `ports[h]` by that node's own clock, counting on over the
    end of the gate cycle, and `queues[h]` is its queue there. Both are empty for all others.
    Frame k is packet `k % max_packets` of interval `k // max_packets`; the same comes again every
    gate cycle. A node's clock shows t at the true time phase + t + error. The talker puts frame k
    into the queue of its first port when its own clock shows `starts_ps[k][0]`, so not before
    that gate opens; latency counts from there, for each copy of a stream with two paths.
    """

    ports: tuple[str, ...]
    cycles: tuple[int, ...] = ()
    queues: tuple[int, ...] = ()
    starts_ps: tuple[tuple[int, ...], ...] = ()


class StreamPlan(Noun):
    """What became of one stream, or of one leg of a stream with several listeners.

    All legs have a way, or none has. Their paths are a tree from the talker on: they come to each
    node over one port, with the same numbers at the ports that they share, where there is one frame
    of all of them.

    `send_ps` is when the talker sends the first frame of interval 0, for streams that reserve
    cycles; those of interval k follow k intervals later. Gated streams have their starts instead.
    With a damper, the listener's node hands a frame over
    when its clock shows `hold_ps` after the frame's send time.
    """

    name: str
    status: Literal["admitted", "routed", "refused"]
    reason: str | None = None
    send_ps: int | None = None
    hold_ps: int | None = None
    paths: tuple[PathPlan, ...] = ()

    @property
    def tree(self) -> str:
        """Name of the stream that this is a leg of, or its own."""
        return self.name.partition(LEG)[0]

    @property
    def routes(self) -> tuple[tuple[str, ...], ...]:
        """The ports of every path."""
        return tuple(path.ports for path in self.paths)


class HashedPlan(Noun):
    """Which microflows of a demand the plan sends over the links of a part's ports.

    Those from `first` to `last - 1`; of them the hash sends `count` over these very wires.
    """

    first: int
    last: int
    count: int


class DemandPart(Noun):
    """The share of a demand that takes one route.

    For a demand of N microflows, microflow m has `rate // N` bit/s, and one more if m is less than
    `rate % N`. The wire that it takes at a node with a link of k wires is the one of number
    `mix(mix(K(demand) + m * 0x9E3779B97F4A7C15) ^ K(node)) % k`, from 0 on, where all is modulo
    2**64, K(name) is the number that the first eight bytes of the name's SHA-256 are, the highest
    first, and mix is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """

    ports: tuple[str, ...]
    rate_bps: int
    hashed: HashedPlan | None = None


class DemandPlan(Noun):
    """Where one demand goes; `placed_bps` is the sum over its parts."""

    name: str
    rate_bps: int
    placed_bps: int
    parts: tuple[DemandPart, ...] = ()
    reason: str | None = None

    @property
    def routes(self) -> tuple[tuple[str, ...], ...]:
        """The ports of every part."""
        return tuple(part.ports for part in self.parts)


Entry = StreamPlan | DemandPlan
"""By what a stream or a demand is sent."""


class Move(Noun):
    """A stream or a demand that is sent by another entry from an instant of the run on.

    An interval of a stream is sent whole by one entry: the one in force when its first frame is
    born by that entry's own times. What is under way goes on where it was sent. The acts on the way
    are none where nobody had to see, decide or install anything.

    A node on the way may be who sends it another way: the entry is then the same up to that node,
    the acts are done there, and what is born from `at_ps` on comes there when it is installed.
    """

    at_ps: int = Field(ge=0)
    stream: StreamPlan | None = None
    demand: DemandPlan | None = None
    """One of the two."""
    cause: str = ""
    """What made it necessary: the words of an event."""
    detected_ps: int | None = None
    decided_ps: int | None = None
    installed_ps: int | None = None
    repaired_at: str = Field("", exclude_if=lambda name: not name)
    """The node before what broke, where it repairs (point of local repair, RFC 4090)."""

    @model_validator(mode="after")
    def _check(self) -> Move:
        if (self.stream is None) == (self.demand is None):
            raise ValueError("a move is of one stream or of one demand")
        return self

    @property
    def entry(self) -> Entry:
        """What is in force from then on."""
        entry = self.stream or self.demand
        assert entry is not None, "one of the two is there"
        return entry


class Unmoved(Noun):
    """A stream or demand that something broke and for which no other way was found."""

    name: str
    at_ps: int
    """When it was given up, for the time being."""
    cause: str
    reason: str


class EgressPlan(Noun):
    """What a site can send to the outside: required, placed, and what no plan can exceed.

    `offered_bps` is what streams and demands from inside the site to outside ask for.
    """

    site: str
    required_bps: int
    offered_bps: int
    placed_bps: int
    bound_bps: int


Stopped = Literal["all placed", "the rest is impossible", "bound reached", "rounds used"]
"""Why a search ended; what is impossible, no empty network could carry."""


class SearchPlan(Noun):
    """How the reservations were searched for: the same seed and rounds give the same plan."""

    seed: int
    rounds: int
    stopped: Stopped


class ReservedPlan(Noun):
    """What reserved streams take of the wire, each on every path it asks for, a tree once.

    `bound_bps` is what no plan can exceed beside the streams that were kept, `streams_bound` how
    many of them no plan can. `overload` says why none can hold all of them, if that is known: it
    names a node that they must leave or enter, or says that all was looked at.
    """

    streams: int
    streams_placed: int
    streams_bound: int
    offered_bps: int
    placed_bps: int
    bound_bps: int
    overload: str | None = None
    search: SearchPlan | None = None

    def lines(self) -> list[str]:
        """Say in a sentence each what is placed of what could be, and how it was searched for."""
        lines = [
            f"reserved: {show_rate(self.placed_bps)} placed of {show_rate(self.offered_bps)} "
            f"offered, at most {show_rate(self.bound_bps)}; {self.streams_placed} of "
            f"{self.streams} streams, at most {self.streams_bound}"
        ]
        if self.overload:
            lines.append(f"not all can be placed: {self.overload}")
        if self.search:
            lines.append(
                f"searched {self.search.rounds} rounds with seed {self.search.seed}: "
                f"{self.search.stopped}; '--rounds {self.search.rounds}' gives this plan again"
            )
        return lines


class ChangesPlan(Noun):
    """What became of the streams of an earlier plan, and of those that a failure cut.

    `kept` streams are where they were; `moved` ones had their new place before the old one was
    given up, `replaced` ones only fitted into the room of the old one; of `reduced` ones only the
    path that still works is left of two; `lost` ones have no place any more; `released` ones are
    no longer asked for.
    """

    down: tuple[str, ...] = ()
    kept: int = 0
    released: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    reduced: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    lost_by_rank: tuple[tuple[int, int], ...] = ()
    """Ranks and how many streams of each are lost or reduced, the first to be served in front."""

    def lines(self) -> list[str]:
        """Say in a sentence each what changed."""
        lines = []
        if self.down:
            lines.append(f"out of use: {', '.join(self.down)}")
        counts = [f"{self.kept} streams stay where they were"]
        for names, words in (
            (self.released, "released"),
            (self.moved, "moved"),
            (self.replaced, "moved into the room of their old place"),
            (self.reduced, "with one path left"),
            (self.lost, "lost"),
        ):
            if names:
                counts.append(f"{len(names)} {words}")
        lines.append(", ".join(counts))
        for rank, count in self.lost_by_rank:
            lines.append(f"rank {rank}: {count} could not be kept whole")
        return lines


class Plan(Noun):
    """One plan for one network and one profile; all witnesses are asked about the same one."""

    format: Literal["qnet-plan-1"] = "qnet-plan-1"
    qnet_version: str
    topology_sha256: str
    traffic_sha256: str
    cycle_ps: int = Field(gt=0)
    buffers: int = Field(ge=2)
    """Cycle buffers per port: the network's, or two where the cycles are those of CQF."""
    hypercycle: int = Field(gt=0)
    """Cycles after which all reservations repeat."""
    gate_cycle_ps: int | None = Field(default=None, gt=0)
    """Least common multiple of the intervals of all gated streams; None where there are none."""
    gates_bound: int | None = Field(default=None, ge=0)
    """Gated streams that a plan can hold at most; None where there are none."""
    gates: tuple[GateList, ...] = ()
    """Gate control lists, by each node's own clock; ports without one have all gates open.

    They are made for gated streams, or as the traffic file gives them.
    A list begins when its node's clock shows 0. Bit q is queue q: see `Profile.queue_by_class`
    for the classes that have no gates of their own.
    """
    reserved: ReservedPlan | None = None
    """What reserved cycles take of the wire; None where nothing reserves any."""
    changes: ChangesPlan | None = None
    streams: tuple[StreamPlan, ...]
    demands: tuple[DemandPlan, ...]
    egress: tuple[EgressPlan, ...]
    standby: tuple[StreamPlan, ...] = Field((), exclude_if=lambda entries: not entries)
    """Second ways of streams that switch to them when something breaks, reserved beside the first:
    one that is apart from it, or detours that are the same up to where they leave it.
    """
    moves: tuple[Move, ...] = Field((), exclude_if=lambda moves: not moves)
    """What is sent another way in the course of the run, in order of time: a sequence of plans."""
    unmoved: tuple[Unmoved, ...] = Field((), exclude_if=lambda unmoved: not unmoved)
    """For what no other way was found, in order of time."""
    layers: Mapping[str, JsonValue] = Field({}, exclude_if=lambda layers: not layers)
    """What layers add, by their names."""

    @property
    def complete(self) -> bool:
        """Whether every stream has its place, and every demand all of its rate."""
        return all(one.status != "refused" for one in self.streams) and all(
            one.placed_bps >= one.rate_bps for one in self.demands
        )

    @property
    def first_legs(self) -> list[StreamPlan]:
        """Return the entry of each stream, and of one with several listeners the first leg's."""
        apart: dict[str, StreamPlan] = {}
        return [
            one
            for one in self.streams
            if one.tree == one.name or apart.setdefault(one.tree, one) is one
        ]

    def gate_lines(self) -> list[str]:
        """Say in a sentence what is placed with gates, and how long and full the lists are."""
        if not self.gates:
            return []
        if self.gate_cycle_ps is None:
            ports = "a port" if len(self.gates) == 1 else f"{len(self.gates)} ports"
            return [f"gates: lists of {ports} as the traffic file gives them"]
        placed = sum(any(path.starts_ps for path in entry.paths) for entry in self.first_legs)
        most = "" if self.gates_bound is None else f" of at most {self.gates_bound}"
        longest = max(self.gates, key=lambda made: len(made.entries))
        shares = self.window_shares_ppb()
        fullest = max(shares, key=lambda port: shares[port])
        return [
            f"gates: {placed}{most} streams placed, cycle {show_time(self.gate_cycle_ps)}; longest "
            f"list {len(longest.entries)} entries ({longest.port}), fullest port {fullest}, "
            f"{shares[fullest] * 100 / PPB:.1f} % of its time in windows"
        ]

    def window_shares_ppb(self) -> dict[str, int]:
        """Return for each port with a gate list what of its time is windows of gated streams."""
        used: dict[str, int] = {}
        for entry in self.streams:
            for path in entry.paths:
                for port, queue in zip(path.ports, path.queues, strict=False):
                    if 0 <= queue < QUEUES_MOST:  # nothing in a plan is believed
                        used[port] = used.get(port, 0) | 1 << queue
        shares = {}
        for made in self.gates:
            whole_ps = max(sum(one.interval_ps for one in made.entries), 1)
            windows = (one for one in made.entries if one.states & used.get(made.port, 0))
            shares[made.port] = sum(one.interval_ps for one in windows) * PPB // whole_ps
        return shares
