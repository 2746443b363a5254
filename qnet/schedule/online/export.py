"""Streams of a scheduler as a profile and a plan, for the judge and for every other witness."""

from __future__ import annotations

from collections.abc import Iterable

from qnet import __version__
from qnet.model.plan import Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import ETHERNET_BYTES, RESERVED, Profile, Stream
from qnet.schedule.cycles.kernels.tables import Request
from qnet.schedule.cycles.state import plans_of
from qnet.schedule.online.scheduler import Scheduler


def to_plan(scheduler: Scheduler, ids: Iterable[int], topology_name: str) -> tuple[Profile, Plan]:
    """Return a profile of those streams, called s0, s1, ... by their ids, and the plan for it."""
    topology = scheduler.topology
    cycle_ps = topology.tcqf.cycle_ps
    streams, plans = [], []
    waits = False
    for number in ids:
        place = scheduler.place(int(number))
        asked = scheduler.book.asked[number].tolist()
        waits = waits or bool(asked[Request.WAITS])
        limits = asked[Request.LATENCY_PS_MOST], asked[Request.VARIATION_PS_MOST]
        latency_ps, variation_ps = (None if limit < 0 else limit for limit in limits)
        streams.append(
            Stream.model_construct(
                name=f"s{number}",
                talker=place.pair.talker,
                listeners=(place.pair.listener,),
                interval_ps=place.period * cycle_ps,
                max_packets=place.packets,
                max_payload_bytes=place.frame_bytes - ETHERNET_BYTES,
                max_latency_ps=latency_ps,
                max_latency_variation_ps=variation_ps,
                paths=place.pair.paths,
                rank=asked[Request.RANK],
                damper=bool(asked[Request.DAMPER]),
            )
        )
        plans += plans_of(topology, place, streams[-1].damper, [streams[-1].name])
    profile = Profile.model_construct(
        title="streams of a scheduler",
        topology=topology_name,
        classes=(RESERVED.replace(mechanism="csqf" if waits else "tcqf"),),
        streams=tuple(streams),
    )
    return profile, plan_of(topology, scheduler.hypercycle, plans)


def plan_of(topology: Topology, hypercycle: int, plans: Iterable[StreamPlan]) -> Plan:
    """Return a plan that has nothing but those streams with cycles."""
    return Plan(
        qnet_version=__version__,
        topology_sha256="",
        traffic_sha256="",
        cycle_ps=topology.tcqf.cycle_ps,
        buffers=topology.tcqf.buffers,
        hypercycle=hypercycle,
        streams=tuple(plans),
        demands=(),
        egress=(),
    )
