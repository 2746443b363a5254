"""What the scheduler promises: routes, cycles and placed rates. Written as plan.json."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qnet.model.fields import Noun
from qnet.model.gates import GateList


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
    """What became of one stream.

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


class DemandPart(Noun):
    """The share of a demand that takes one route."""

    ports: tuple[str, ...]
    rate_bps: int


class DemandPlan(Noun):
    """Where one demand goes; `placed_bps` is the sum over its parts."""

    name: str
    rate_bps: int
    placed_bps: int
    parts: tuple[DemandPart, ...] = ()
    reason: str | None = None


class EgressPlan(Noun):
    """What a site can send to the outside: required, placed, and what no plan can exceed.

    `offered_bps` is what streams and demands from inside the site to outside ask for.
    """

    site: str
    required_bps: int
    offered_bps: int
    placed_bps: int
    bound_bps: int


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
    gates: tuple[GateList, ...] = ()
    """Gate control lists, by each node's own clock; ports without one have all gates open.

    A list begins when its node's clock shows 0. Bit q is queue q: see `Profile.queue_by_class`
    for the classes that have no gates of their own.
    """
    streams: tuple[StreamPlan, ...]
    demands: tuple[DemandPlan, ...]
    egress: tuple[EgressPlan, ...]
