"""What an emulation sends: which frames of a profile are real, by which paths and rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from math import gcd
from typing import NamedTuple

from qnet.emulate.frames.ports import RealFrames
from qnet.emulate.rules.plan_rules import rules_of
from qnet.emulate.rules.streams import LabelledPath, SwitchedStream, streams_of
from qnet.emulate.rules.wiring import HOST_PORT, Wiring
from qnet.model.plan import Plan
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile
from qnet.simulate.frame_sources import FrameSource, sources_of

SAMPLE = 1000
"""Real frames of a run, unless another number is asked for."""

FRAMES_LEAST = 8
"""Frames of each sampled stream, where it sends as many; fewer streams are sampled rather."""


class SampledPath(NamedTuple):
    """One path of a sampled stream or part of a demand: who sends, by which labels and ports."""

    source: int
    stream: SwitchedStream
    path: LabelledPath
    ports: tuple[Port, ...]
    rank: int
    stride: int
    skipped: int = 0
    """Frames of the stream that go only over other paths, since this one's would start too soon."""

    @property
    def first(self) -> int:
        """Which frame of the source is the first real one: of all paths, the same ones are."""
        return -self.skipped % self.stride

    def number(self, place: int) -> int:
        """Return a real frame's number in the stream, by its place among those of the source."""
        return self.skipped + self.first + place * self.stride

    def place(self, number: int) -> int:
        """Return a real frame's place among those of the source, by its number in the stream."""
        return (number - self.skipped - self.first) // self.stride


def sample(
    topology: Topology, profile: Profile, plan: Plan, frames: int = SAMPLE
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Choose about `frames` frames to be real: names of streams and demands, stride per source.

    Every stream is in the sample while it has room for some frames of each; else streams at even
    distances are. Of each, frames at even distances in time are real.
    """
    found = sources_of(topology, profile, plan)
    streams = {one.name for one in plan.streams}
    by_name: dict[str, list[int]] = {}
    for source, owner in enumerate(found):
        by_name.setdefault(owner.name, []).append(source)
    chosen: dict[str, list[int]] = {}
    for kind in (True, False):  # streams first; demands get what they leave
        names = [name for name in by_name if (name in streams) == kind]
        room = max((frames - FRAMES_LEAST * len(chosen)) // FRAMES_LEAST, 1 if kind else 0)
        step = max(-(-len(names) // room), 1) if room else len(names) + 1
        chosen |= {name: by_name[name] for name in names[::step]} if room else {}
    share = max(frames // max(len(chosen), 1), 1)
    seconds = profile.simulation.duration_ps / 1e12
    strides: dict[int, int] = {}
    for sources in chosen.values():
        sent = max(found[source].law.frames_per_s * seconds for source in sources)
        stride = max(round(sent / share), 1)
        while gcd(stride, max(found[source].law.packets for source in sources)) > 1:
            stride += 1  # else the same places of every burst
        strides |= dict.fromkeys(sources, stride)
    return tuple(chosen), strides


class Sample:
    """What is sampled of a profile, with the streams and the rules that its frames need."""

    def __init__(
        self,
        topology: Topology,
        profile: Profile,
        plan: Plan,
        *,
        frames: int = SAMPLE,
        strides: Mapping[int, int] | None = None,
    ) -> None:
        """Choose the sample, or take the given stride of each source, and compute the rules."""
        self.topology, self.profile, self.plan = topology, profile, plan
        self.wiring = Wiring(topology)
        found = sources_of(topology, profile, plan)
        names: Collection[str] = {found[source].name for source in strides or ()}
        if strides is None:
            names, strides = sample(topology, profile, plan, frames)
        self.streams = streams_of(topology, profile, plan, sample=names)
        self.rules = rules_of(topology, self.streams)
        self.members = self._members(found, set(names), strides)
        self.by_source = {one.source: one for one in self.members}
        self.want = [RealFrames(one.source, one.first, one.stride) for one in self.members]

    def _members(
        self, found: Sequence[FrameSource], names: set[str], strides: Mapping[int, int]
    ) -> tuple[SampledPath, ...]:
        sources = [source for source, owner in enumerate(found) if owner.name in names]
        paths = [(stream, path) for stream in self.streams for path in stream.paths]
        made = []
        for source, (stream, path) in zip(sources, paths, strict=True):
            ports = found[source].ports
            assert tuple(port.name for port in ports) == path.ports, "streams follow the owners"
            skipped = found[source].law.first_number
            rank, stride = found[source].rank, strides[source]
            made.append(SampledPath(source, stream, path, ports, rank, stride, skipped))
        return tuple(made)

    @property
    def node_ports(self) -> dict[str, set[int]]:
        """OpenFlow ports of each switch that the sampled routes use."""
        used: dict[str, set[int]] = defaultdict(lambda: {HOST_PORT})
        for member in self.members:
            for port in member.ports:
                used[port.source].add(self.wiring.openflow_port[port.name])
                used[port.target].add(self.wiring.in_port(port))
        return {node.name: used[node.name] for node in self.topology.nodes if node.name in used}
