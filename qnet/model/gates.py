"""802.1Qbv scheduling: ports with gates, time-triggered streams, and the plan for both.

Times are integer picoseconds, as everywhere inside. Everything repeats after the cycle, the least
common multiple of the periods.
"""

from __future__ import annotations

from math import lcm
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from qnet.errors import Infeasible
from qnet.model.fields import Noun
from qnet.units import PREAMBLE_BYTES, PS_PER_S, RATE, TIME, ceil_div, format_quantity

CYCLE_PS_MAX = 10**16
"""Beyond this (a few hours) times would come near the end of 64 bits."""

FRAMES_MAX = 2_000_000
"""Frames of one cycle that are placed; each takes some hundred bytes on every hop."""


FRAME_BYTES_HIGHEST = 1_000_000
"""Sets of other programs have frames beyond what Ethernet has; what they take is still counted."""

ENTRY_BYTES = 60
"""No entry of a gate list should be shorter than these on the line: Linux refuses it, since 5.9."""


class GatePort(Noun):
    """One directed egress port with its queues and the wire behind it.

    `processing_ps` passes between the last bit of a frame reaching the port's node and the frame
    being in the port's queue. `entries_max` is the longest gate control list that the port holds;
    the list begins `phase_ps` after time 0 and cuts whatever lasts over that time.
    The lowest `other_queues` serve other traffic; no stream may use them. Every window is longer
    by `margin_ps`, for a clock that steps while the window is open. Propagation and processing
    are the longest that there are; a frame may come earlier by the two spreads together.
    `guard_bytes` goes before that of the problem, where that has one.
    """

    name: str
    source: str
    target: str
    rate_bps: int = Field(gt=0, le=RATE.highest)
    queues: int = Field(default=8, ge=1, le=8)
    processing_ps: int = Field(default=0, ge=0, le=TIME.highest)
    propagation_ps: int = Field(default=0, ge=0, le=TIME.highest)
    entries_max: int | None = Field(default=None, ge=1)
    phase_ps: int = Field(default=0, ge=0, le=TIME.highest)
    other_queues: int = Field(default=0, ge=0, le=7)
    margin_ps: int = Field(default=0, ge=0, le=TIME.highest)
    propagation_spread_ps: int = Field(default=0, ge=0, le=TIME.highest)
    processing_spread_ps: int = Field(default=0, ge=0, le=TIME.highest)
    guard_bytes: int | None = Field(default=None, ge=0, le=FRAME_BYTES_HIGHEST)


class GateStream(Noun):
    """A frame, or some back to back, in every period, at a time that the plan chooses.

    With `packets` above 1 the frames of a period have one window at each port. Where not all
    streams fit, those of low `rank` go before. `routes` are the ways that may be taken, as names
    of ports; none stands for all. `deadline_ps` bounds the time from the first bit leaving the
    talker to the last bit reaching the listener (of the first and the last of some frames),
    `jitter_ps` the difference between the longest and the shortest of these.
    With several listeners `target` is a list. A frame is then sent once by each port of a tree and
    copied where ways part, and a way names the ports of a tree, each behind the one that leads to
    its node; the two limits hold for each listener.
    """

    name: str
    source: str
    target: str | Annotated[tuple[str, ...], Field(min_length=2)]
    frame_bytes: int = Field(gt=0, le=FRAME_BYTES_HIGHEST)
    period_ps: int = Field(gt=0, le=TIME.highest)
    deadline_ps: int = Field(gt=0, le=TIME.highest)
    jitter_ps: int = Field(ge=0, le=TIME.highest)
    packets: int = Field(default=1, ge=1, le=FRAMES_MAX)
    rank: int = Field(default=500, ge=0)
    routes: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """All listeners."""
        return (self.target,) if isinstance(self.target, str) else self.target


class GateProblem(Noun):
    """What is to be scheduled.

    `overhead_bytes` is added to each frame on the wire (20 for preamble and gap). 8 of them go
    before it; what is left is gap, which holds the line after the frame's last bit and does not
    delay it. Problems in tsnkit's format count neither: a frame holds the line for its own bytes.
    With `isolation` "frame" no two frames are in one queue at a time; with "stream" a queue serves
    one stream only. `waiting` allows frames to wait in bridges.
    Where `guard_bytes` is given, queues that no stream uses are open whenever a frame of so many
    bytes still ends before the next window, and up to the window where it is 0, for bridges that
    hold back by themselves what would not end in time. Frames of `held_queues` (bits) can be cut:
    no gate stops them, but windows hold them. Devices count in steps of `step_ps`:
    whatever lasts a part of a step takes the whole of it, so that all times are whole steps.
    """

    format: Literal["qnet-gates-1"] = "qnet-gates-1"
    title: str = ""
    overhead_bytes: int = Field(default=20, ge=0, le=FRAME_BYTES_HIGHEST)
    isolation: Literal["frame", "stream"] = "frame"
    waiting: bool = True
    guard_bytes: int | None = Field(default=None, ge=0, le=FRAME_BYTES_HIGHEST)
    held_queues: int = Field(default=0, ge=0, le=255)
    step_ps: int = Field(default=1000, ge=1, le=TIME.highest)
    ports: tuple[GatePort, ...]
    streams: tuple[GateStream, ...]

    def common_cycle_ps(self) -> int:
        """Return after what time all periods repeat together.

        Raises Infeasible where they have so little in common that it is out of reach.
        """
        cycle = lcm(*(stream.period_ps for stream in self.streams)) if self.streams else 1
        frames = sum(cycle // stream.period_ps for stream in self.streams)
        if cycle > CYCLE_PS_MAX or frames > FRAMES_MAX:
            raise Infeasible(
                f"the periods repeat together only after {format_quantity(TIME, cycle)} and "
                f"{frames} frames; at most {format_quantity(TIME, CYCLE_PS_MAX)} and {FRAMES_MAX}"
            )
        return cycle

    def line_ps(self, frame_bytes: int, rate_bps: int) -> int:
        """Return how long a frame holds the line: 1000 B and 20 B more at 1 Gb/s are 8.16 us."""
        exact = ceil_div((frame_bytes + self.overhead_bytes) * 8 * PS_PER_S, rate_bps)
        return ceil_div(exact, self.step_ps) * self.step_ps

    def sent_ps(self, stream: GateStream, port: GatePort) -> int:
        """Return what passes from the first bit of a period's frames to the last, back to back."""
        before_ps = (stream.packets - 1) * self._exact_ps(stream, port)
        bits = (stream.frame_bytes + min(self.overhead_bytes, PREAMBLE_BYTES)) * 8
        return self._whole_steps(before_ps + ceil_div(bits * PS_PER_S, port.rate_bps))

    def window_ps(self, stream: GateStream, port: GatePort) -> int:
        """Return how long the gate is open for the frames of one period."""
        exact_ps = stream.packets * self._exact_ps(stream, port)
        return self._whole_steps(exact_ps + port.margin_ps)

    def ready_ps(self, stream: GateStream, port: GatePort, following: GatePort) -> int:
        """Return what must pass between the first bits out of two ports in sequence.

        The frames of a period may follow each other over both ports, each behind the one before:
        ten frames of 8 us that leave both ports at the same rate need 8 us, less the gap after a
        frame, and the lead.
        """
        slack = (stream.packets - 1) * min(
            self._exact_ps(stream, port), self._exact_ps(stream, following)
        )
        kept = slack // self.step_ps * self.step_ps
        return self.sent_ps(stream, port) - kept + self.lead_ps(port, following)

    def reach_ps(self, port: GatePort, following: GatePort) -> int:
        """Return what passes from the first bit out of a port to its being in the next queue.

        The least that may pass; below zero where clocks differ by more than the way is long.
        """
        early_ps = port.propagation_spread_ps + following.processing_spread_ps
        return self.lead_ps(port, following) - self._whole_steps(early_ps)

    def guard_ps(self, port: GatePort) -> int:
        """Return how long before a window the gates of other queues close."""
        guard_bytes = self.guard_bytes
        if guard_bytes is not None and port.guard_bytes is not None:
            guard_bytes = port.guard_bytes
        return self.line_ps(guard_bytes, port.rate_bps) if guard_bytes else 0

    def _exact_ps(self, stream: GateStream, port: GatePort) -> int:
        wire = (stream.frame_bytes + self.overhead_bytes) * 8 * PS_PER_S
        return ceil_div(wire, port.rate_bps)

    def _whole_steps(self, time_ps: int) -> int:
        return ceil_div(time_ps, self.step_ps) * self.step_ps

    def lead_ps(self, port: GatePort, following: GatePort) -> int:
        """Return what passes from the last bit out of a port to the frame being in the next."""
        exact = port.propagation_ps + following.processing_ps
        return ceil_div(exact, self.step_ps) * self.step_ps


class GateStreamPlan(Noun):
    """Where and when one stream is sent.

    `starts_ps[k][h]` is when frame k, which belongs to the period that starts at k periods, begins
    to leave port `ports[h]`; it counts on over the end of the cycle. `queues[h]` is its queue.
    With several listeners the ports are those of a tree, each behind the one that leads to its
    node; at the talker's ports a frame may start at different times of its period.
    """

    name: str
    status: Literal["scheduled", "refused"]
    reason: str | None = None
    ports: tuple[str, ...] = ()
    queues: tuple[int, ...] = ()
    starts_ps: tuple[tuple[int, ...], ...] = ()


HELD = 1 << 8
"""In `GateEntry.states`: preemptable frames are held while the entry lasts."""


class GateEntry(NamedTuple):
    """One line of a gate control list; bit q of `states` is the gate of queue q, 1 is open.

    With HELD the entry is a Set-And-Hold-MAC, and what follows it without HELD a
    Set-And-Release-MAC (IEEE 802.1Q clause 8.6.8.4); all others are SetGateStates.
    """

    interval_ps: int
    states: int


class GateList(Noun):
    """The gate control list of a port; its entries fill the cycle exactly.

    They count from time 0 on, or from the port's phase.
    """

    port: str
    entries: tuple[GateEntry, ...]


class GatePlan(Noun):
    """Routes, times, queues and gate control lists for one problem.

    `proof` says why no plan can hold all streams, where that was found out, and `bound` how many
    a plan can hold at most.
    """

    format: Literal["qnet-gate-plan-1"] = "qnet-gate-plan-1"
    qnet_version: str
    seed: int
    cycle_ps: int = Field(gt=0)
    proof: str | None = None
    bound: int | None = Field(default=None, ge=0)
    streams: tuple[GateStreamPlan, ...]
    gates: tuple[GateList, ...]

    @property
    def complete(self) -> bool:
        """Whether all streams are scheduled."""
        return all(stream.status == "scheduled" for stream in self.streams)


GateRule = Literal[
    "inputs",
    "route",
    "release",
    "order",
    "overlap",
    "deadline",
    "jitter",
    "queue",
    "gates",
    "limit",
]


class GateFinding(Noun):
    """One broken rule, in one sentence that names stream, port and time where they matter."""

    rule: GateRule
    subject: str
    message: str


class GateStreamProof(Noun):
    """Exact shortest and longest latency over the frames of one stream; None where refused.

    One with several listeners has a proof for each, under the names NAME@LISTENER.
    """

    name: str
    latency_ps_min: int | None
    latency_ps_max: int | None


class GateProof(Noun):
    """The checker's answer about a gate plan; it holds when there are no findings."""

    streams: tuple[GateStreamProof, ...]
    findings: tuple[GateFinding, ...]
