"""What the link emulator is given of wires and sources, and what it tells of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

SLOTS = 8192


class EmulatorOptions(NamedTuple):
    """How virtual time goes, and how much of it there is."""

    dilation: int
    """Wall-clock time in parts of virtual time."""
    lag_ns: int | None = None
    """How long, on the wall, ports are served after their time; half a window if not said."""
    end_ps: int | None = None
    """Where virtual time ends, if before the profile's duration."""
    free_run: bool = False
    """Nothing is simulated, no probes are sent: real hosts' frames only, served as they come."""
    skips: bool = True
    """Time is stretched only while a real frame is in a switch or about to go into one."""
    slots: int = SLOTS
    """Room for real frames under way."""


class WireEnd(NamedTuple):
    """A packet interface. `port` is the egress port whose frames come out of it, or -1.

    Of a wire of one direction the far end has only frames that go in, those of the port `goes_in`.
    `kind` is SWITCH_END, EDGE_END or HOST_END of the kernels; `peer` is the place, in the list of
    all ends, of the other side of a host's wire, or -1.
    """

    interface: str
    kind: int
    port: int = -1
    peer: int = -1
    goes_in: int = -1


class Probe(NamedTuple):
    """A source of which every `every`-th frame is real.

    `entry` and `exit` are the places of the edge ends at the talker's and the listener's switch.
    `templates` are (frame bytes, cycle tag or -1, the host's frame without check sequence).
    `replica` is the source whose frames are copies of this one's, or -1; the host sends one for
    both. `label` is that of its frames between switches, or -1. Frames that are `tagged` carry
    their cycle; the talker's host says that of the first path, by so much `tag_ahead` of this
    one's. `member_stream` is the source that frames are marked with, this one where it is -1.
    `alternate` is the port by which the talker's switch sends them when their own is down, or -1.
    """

    source: int
    every: int
    entry: int
    exit: int
    templates: Sequence[tuple[int, int, bytes]]
    replica: int = -1
    label: int = -1
    tagged: bool = False
    tag_ahead: int = 0
    member_stream: int = -1
    alternate: int = -1


class Arrival(NamedTuple):
    """A real frame that has come out to its host; `owner` is its source's number."""

    owner: int
    sequence: int
    born_ps: int
    time_ps: int
    wall_ns: int
    end: int
    frame: bytes


class FrameFault(NamedTuple):
    """What went wrong with one frame; `kind` is one of the kernels' kinds of fault."""

    kind: int
    owner: int
    port: int
    found: int
    wanted: int
    time_ps: int


class FrameLoss(NamedTuple):
    """A real frame that a port dropped, or that was lost behind it, as the simulator has it.

    `cause` is NO_QUEUE_ROOM, or one more than a column of `Parts.dropped`.
    """

    owner: int
    sequence: int
    port: int
    cause: int


@dataclass(frozen=True)
class WallClock:
    """How real the run was: counts of frames, and histograms of wall time.

    `inside` is the time that frames spent in switches; `margin` what was left of their slack when
    they came back. Pairs of bin and frames, nanoseconds counted as thousands of picoseconds.
    """

    put_in: int
    came_out: int
    violations: int
    stale: int
    strays: int
    wrong_tags: int
    cut: int
    rerouted: int
    """Frames that a switch sent by another port than planned, the planned one's wire being cut."""
    followed: int
    """Those of them that were on another path of the plan then."""
    eliminated: int
    """Copies that came to their listener's switch after the first one of their frame."""
    no_slot: int
    send_errors: int
    free_frames: int
    free_late: int
    margin_least_ns: int
    busy_longest_ns: int
    """Longest time that one window took to serve."""
    busy_ns: int
    """Time that all windows took together."""
    held_ns: int
    holds: int
    """For how long, and how often, virtual time was held for frames, or for the emulator."""
    inside: tuple[tuple[int, int], ...]
    margin: tuple[tuple[int, int], ...]
