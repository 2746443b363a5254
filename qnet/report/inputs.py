"""What the page is made from: all inputs, and how full each port is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

from qnet.check.trees import ridden
from qnet.layers import Section
from qnet.model.emulation import Emulation
from qnet.model.observation import Observation, PortUse, Traffic
from qnet.model.plan import Plan
from qnet.model.proof import Proof, StreamProof
from qnet.model.topology import Port, Topology
from qnet.model.traffic import Profile, Stream
from qnet.model.verdict import Verdict
from qnet.report.text import port_rate_bps
from qnet.units import PPB, PS_PER_S, ceil_div, show_time, wire_bytes

Item = TypeVar("Item")

LISTED = 200
"""Longest list on the page; what it leaves out is counted and said."""


class Listed(NamedTuple, Generic[Item]):
    """The first items of a list, and how many there are in all."""

    shown: Sequence[Item]
    total: int


def listed(items: Sequence[Item], most: int = LISTED) -> Listed[Item]:
    """Cut a list to what the page has room for."""
    return Listed(items[:most], len(items))


class PortLoad(NamedTuple):
    """How full one port is: as simulated, else as planned; None for what nobody watched."""

    port: Port
    load_ppb: int
    queue_bytes_max: int | None = None
    dropped: int | None = None
    sent_frames: int | None = None

    @property
    def drain_ps(self) -> int | None:
        """How long the wire would need for the deepest queue; gaps between frames apart."""
        if self.queue_bytes_max is None:
            return None
        return ceil_div(self.queue_bytes_max * 8 * PS_PER_S, self.port.rate_bps)

    @property
    def level(self) -> int:
        """Colour: 0 is idle, then below 25, 50, 75 and 90 %, and 5 is above."""
        steps = (0, 25, 50, 75, 90)
        return sum(self.load_ppb > step * PPB // 100 for step in steps)


@dataclass(frozen=True)
class ReportInput:
    """All inputs of the page, and what follows from them."""

    topology: Topology
    profile: Profile
    plan: Plan
    proof: Proof
    observation: Observation | None
    verdict: Verdict
    emulation: Emulation | None = None
    sections: tuple[Section, ...] = ()
    """Of layers."""

    @cached_property
    def stream_by_name(self) -> Mapping[str, Stream]:
        """Streams of the profile."""
        return {stream.name: stream for stream in self.profile.every_stream}

    @cached_property
    def proof_by_name(self) -> Mapping[str, StreamProof]:
        """Proven bounds of streams."""
        return {stream.name: stream for stream in self.proof.streams}

    @cached_property
    def seen_by_name(self) -> Mapping[str, Traffic]:
        """Accounts of streams and demands."""
        if self.observation is None:
            return {}
        every = (*self.observation.streams, *self.observation.demands)
        return {traffic.name: traffic for traffic in every}

    @cached_property
    def status_count(self) -> Counter[str]:
        """Streams by what became of them."""
        return Counter(stream.status for stream in self.plan.first_legs)

    @cached_property
    def rides(self) -> Mapping[str, int]:
        """Over how many ports of its way each leg is one frame with another leg of its tree."""
        return ridden((self.stream_by_name[one.name], one) for one in self.plan.streams)

    @property
    def loads_are(self) -> str:
        """From where, and from when, the loads are."""
        seen = self.observation
        if seen is None:
            return "as planned; nothing was simulated"
        if seen.steady_from_ps < seen.duration_ps:
            return f"as {seen.witness}, from {show_time(seen.steady_from_ps)} to the end of the run"
        return f"as {seen.witness}, over the whole run, which was too short to settle"

    @cached_property
    def loads(self) -> Mapping[str, PortLoad]:
        """Load of every port by its name."""
        if self.observation is None:
            planned = _planned_bps(self)
            return {
                port.name: PortLoad(port, planned[port.name] * PPB // port.rate_bps)
                for port in self.topology.ports
            }
        uses = {use.port: use for use in self.observation.ports}
        observation = self.observation
        return {
            port.name: _seen_load(port, uses.get(port.name), observation)
            for port in self.topology.ports
        }


def _seen_load(port: Port, use: PortUse | None, observation: Observation) -> PortLoad:
    if use is None:
        return PortLoad(port, 0)
    load_ppb = port_rate_bps(use, observation) * PPB // port.rate_bps
    return PortLoad(port, load_ppb, use.queue_bytes_max, use.dropped, use.sent_frames)


def _planned_bps(case: ReportInput) -> Counter[str]:
    rates: Counter[str] = Counter()
    for demand in case.plan.demands:
        for part in demand.parts:
            for name in part.ports:
                rates[name] += part.rate_bps
    for planned in case.plan.streams:
        stream = case.stream_by_name[planned.name]
        rate_bps = interval_bytes(stream) * 8 * PS_PER_S // stream.interval_ps
        for path in planned.paths:
            for name in path.ports[case.rides.get(planned.name, 0) :]:
                rates[name] += rate_bps
    return rates


def interval_bytes(stream: Stream) -> int:
    """Return the most line time, in bytes, that a stream takes in one interval."""
    return wire_bytes(stream.frame_bytes) * stream.max_packets


def by_load(load: PortLoad) -> tuple[int, int]:
    """Order ports from the fullest to the emptiest."""
    return -load.load_ppb, load.port.number
