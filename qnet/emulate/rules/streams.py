"""What the emulated network carries: every sampled stream and part of a demand, with its labels.

How a frame carries its path, its class and its cycle is written down in docs/emulation.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count
from math import gcd
from typing import NamedTuple

from qnet.emulate.rules.wiring import PATH_MAC, STREAM_MAC
from qnet.errors import Infeasible, InputError, Problem
from qnet.model.loads import every_demand
from qnet.model.plan import DemandPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Demand, Profile, Stream
from qnet.simulate.versions import Version, attack_versions, versions_of

LABEL_PATH_BITS = 17
"""A label is the class's priority (3 bits) and the number of the path (17 bits)."""

FIRST_PATH = 16
"""Labels 0 to 15 mean other things (RFC 3032 clause 2.1)."""

BUFFERS_HIGHEST = 7
"""The MPLS traffic class has 3 bits: 0 for frames without a cycle, 1 to 7 for cycles 0 to 6."""


class LabelledPath(NamedTuple):
    """One path of a stream: its label, its ports and the planned cycle at each of them.

    `cycles` is as in the plan, and empty where frames carry no cycle: what reserves none, and CQF.
    """

    label: int
    ports: tuple[str, ...]
    cycles: tuple[int, ...] = ()


class SwitchedStream(NamedTuple):
    """Frames that enter at one host with one destination address: a stream, or a part of a demand.

    `step` is the number of cycles from one interval to the next, 0 for what reserves nothing.
    `demand` names the demand that the stream is a part of.
    """

    number: int
    name: str
    talker: str
    listener: str
    priority: int
    paths: tuple[LabelledPath, ...]
    buffers: int
    step: int = 0
    waits: bool = False
    demand: str | None = None
    rate_bps: int = 0
    version: int = 0
    """Which entry of its stream or demand it is of: 0 is the plan's own, moves have others."""

    @property
    def mac(self) -> int:
        """Destination address that the talker's switch knows the stream by (802.1CB clause 6.4)."""
        return STREAM_MAC | self.number

    @property
    def intervals(self) -> range:
        """Intervals after which the cycle tags repeat."""
        return range(self.buffers // gcd(self.buffers, self.step) if self.step else 1)

    def tag(self, path: LabelledPath, hop: int, interval: int) -> int | None:
        """Return the cycle modulo the buffers in which an interval's frames leave a port."""
        if not path.cycles:
            return None
        return (path.cycles[hop] + interval * self.step) % self.buffers

    def dscp(self, interval: int) -> int:
        """Return the DSCP that the talker gives the frames of an interval."""
        tag = self.tag(self.paths[0], 0, interval)
        return 0 if tag is None else dscp_of(tag)


def dscp_of(tag: int) -> int:
    """Write a cycle tag as a DSCP: 'xxxx11', as draft-ietf-detnet-tcqf proposes."""
    return tag << 2 | 0b11


def path_mac(label: int) -> int:
    """Return the source address that the last switch gives to a frame of the path."""
    return PATH_MAC | label


def check_listeners(profile: Profile) -> None:
    """Raise InputError where frames would have to be copied on their way to several listeners."""
    problems = [
        Problem(
            "emulation",
            0,
            0,
            f"stream {one.name}",
            f"has {len(one.listeners)} listeners; switches here have rules for one listener of a "
            "stream. Emulate a profile without it, or leave the emulation out",
        )
        for one in profile.streams
        if len(one.listeners) > 1 and one.count
    ]
    if problems:
        raise InputError(problems)


def streams_of(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    sample: Collection[str] | None = None,
    generation: int = 0,
) -> tuple[SwitchedStream, ...]:
    """Return every placed stream and demand part, or those of the sampled names, in plan order.

    A stream's number is its place in the plan, whatever the sample; labels are given to the sample.
    What it is moved to is another stream to switches, with rules of its own from the beginning.
    `generation`, 0 or 1, picks one of two disjoint sets of labels, so that the rules of a new plan
    can be laid beside those of the old one. Raises Infeasible when labels or tags do not suffice,
    and InputError for streams with several listeners.
    """
    check_listeners(profile)
    labels = _labels(generation)
    numbers = count(1)
    asked = {one.name: one for one in profile.every_stream}
    demands = {one.name: one for one in every_demand(profile)}
    streams: list[SwitchedStream] = []
    for version in (*versions_of(profile, plan), *attack_versions(topology, profile)):
        is_wanted = sample is None or version.entry.name in sample
        if isinstance(version.entry, DemandPlan):
            demand = demands[version.entry.name]
            made = _parts(profile, plan, demand, version, numbers)
        else:
            stream = asked[version.entry.name]
            made = [_stream(profile, plan, stream, version, next(numbers))]
        for one in made:
            if not is_wanted or not one.paths:
                continue
            if one.step and plan.buffers > BUFFERS_HIGHEST:
                raise Infeasible(
                    f"{topology.title}: {plan.buffers} cycle buffers; the traffic class of an MPLS "
                    f"label tells {BUFFERS_HIGHEST} apart, so emulate with at most as many"
                )
            paths = (
                path._replace(label=one.priority << LABEL_PATH_BITS | next(labels))
                for path in one.paths
            )
            streams.append(one._replace(paths=tuple(paths)))
    return tuple(streams)


def _stream(
    profile: Profile, plan: Plan, stream: Stream, version: Version, number: int
) -> SwitchedStream:
    """Return what carries one entry of a stream, without labels."""
    planned = version.entry
    assert isinstance(planned, StreamPlan)
    one = profile.class_by_name[stream.traffic_class]
    # In CQF a frame's time of arrival says its cycle, and nothing in the frame does.
    tagged = one.mechanism != "cqf"
    paths = tuple(
        LabelledPath(0, path.ports, path.cycles if tagged else ()) for path in planned.paths
    )
    reserves = bool(paths and paths[0].cycles)
    return SwitchedStream(
        number,
        planned.name,
        stream.talker,
        stream.listener,
        one.priority,
        paths,
        plan.buffers,
        step=stream.interval_ps // plan.cycle_ps if reserves else 0,
        waits=reserves and profile.may_wait(stream),
        version=version.number,
    )


def _parts(
    profile: Profile, plan: Plan, demand: Demand, version: Version, numbers: Iterator[int]
) -> list[SwitchedStream]:
    """Return what carries the parts of one entry of a demand, without labels."""
    placed = version.entry
    assert isinstance(placed, DemandPlan)
    return [
        SwitchedStream(
            next(numbers),
            f"{placed.name}/{place + 1}",
            demand.source,
            demand.target,
            profile.class_by_name[demand.traffic_class].priority,
            (LabelledPath(0, part.ports),),
            plan.buffers,
            demand=placed.name,
            rate_bps=version.rate_bps(part.rate_bps),
            version=version.number,
        )
        for place, part in enumerate(placed.parts)
        if version.is_sent(part.rate_bps)
    ]


def _labels(generation: int) -> Iterator[int]:
    highest = 1 << LABEL_PATH_BITS
    yield from range(FIRST_PATH + generation, highest, 2)
    raise Infeasible(
        f"more than {(highest - FIRST_PATH) // 2} paths; labels do not go further: take a sample"
    )
