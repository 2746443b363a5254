"""What came of a timeline that was played to somebody's own controller, in wall-clock time."""

from __future__ import annotations

from typing import Literal

from qnet.model.emulation import Tier
from qnet.model.fields import Noun
from qnet.model.replay import ReplayPromise
from qnet.model.verdict import Outcome


class PairReaction(Noun):
    """Frames from one host to another around one change.

    `blocked_ps` is the effective blocked time: frames lost, each for as long as it was to the next
    one. `converged_ps` is when frames came again, from the change on (RFC 6413: convergence time);
    None where none was lost, or none came again before the next change.
    """

    source: str
    target: str
    sent: int
    lost: int
    blocked_ps: int
    converged_ps: int | None
    restored: bool
    """Frames come at the end."""
    has_way: bool
    """Wires lead from the one to the other after the change."""
    path: tuple[str, ...]
    """Of the last frame that came: its switches."""


class ReactingChange(Noun):
    """One change of wires: what an event broke, or mended."""

    at_ps: int
    """In the timeline."""
    events: tuple[str, ...]
    """What began then, as events call it."""
    undone: tuple[str, ...]
    """What was over then."""
    down: int
    up: int
    """Wires."""
    seen_ps: int
    """Until switches had seen it."""
    resolution_ps: int
    """Longest distance of two frames of a pair: no time is known better."""
    pairs: tuple[PairReaction, ...]


class ReactingStream(Noun):
    """One stream or demand: how long the hosts that it goes between had no way that worked.

    Of frames that are due in that time, `lost` counts all, on average.
    """

    name: str
    service: str
    source: str
    target: str
    blocked_ps: int
    lost: int


class Reacting(Noun):
    """The whole answer."""

    format: Literal["qnet-reacting-1"] = "qnet-reacting-1"
    title: str
    controller: str
    tier: Tier
    epoch: str | None
    outcome: Outcome
    until_ps: int
    longest_ps: int
    """So long, on the wall, frames were waited for after a change; in between nothing changes."""
    findings: tuple[str, ...]
    void: str = ""
    """Why nothing is known of times: the machine was too slow."""
    changes: tuple[ReactingChange, ...]
    promises: tuple[ReplayPromise, ...]
    streams: tuple[ReactingStream, ...]
