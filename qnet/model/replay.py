"""What came of a replay: every event of a long timeline, and what it did to whom for how long."""

from __future__ import annotations

from pydantic import Field

from qnet.model.emulation import Tier
from qnet.model.fields import Noun
from qnet.model.observation import LatencySeries
from qnet.model.verdict import Outcome


class Span(Noun):
    """From an instant to before another."""

    from_ps: int
    until_ps: int

    @property
    def lasted_ps(self) -> int:
        """How long it lasts."""
        return self.until_ps - self.from_ps


class EmulatedWindow(Noun):
    """The frames of a window that went through real switches.

    `difference_ps` is the largest difference between emulated and simulated latency of a frame.
    """

    tier: Tier
    frames: int
    hops: int
    delivered: int
    lost: int
    difference_ps: int
    void: str = ""


class ReplayWindow(Noun):
    """A part of the timeline in which every frame was watched.

    `findings` are those of its verdict: witnesses that disagree, broken rules of the plan.
    `frames` were sent in it, `frame_hops` is how often one was sent on by a port.
    """

    from_ps: int
    until_ps: int
    seed: int
    frames: int
    frame_hops: int
    findings: tuple[str, ...] = ()
    end_ps: tuple[int, ...] = ()
    """Ends of intervals of the window, by its own time, each from the one before."""
    sent_bytes: tuple[int, ...] = ()
    """What all ports sent in each, in bytes of the line."""
    lost_frames: tuple[int, ...] = ()
    """What was lost at all ports and on all lines in each."""
    latencies: tuple[LatencySeries, ...] = ()
    """Of the streams and demands that were chosen, in the same intervals."""
    emulated: EmulatedWindow | None = Field(None, exclude_if=lambda one: one is None)


class ReplayEpoch(Noun):
    """A time in which the network stays as it is."""

    from_ps: int
    until_ps: int
    broken: tuple[str, ...]
    """What events broke, as they call it."""
    links: tuple[int, ...]
    """Numbers of links that are cut in part or whole, or end at a node that is down."""
    nodes: tuple[str, ...]
    """Nodes that are down."""
    cut: int
    """Streams and demands that had no whole way at some time of it."""


class ServiceLoss(Noun):
    """What an event took of a service: frames that came by none of their paths."""

    service: str
    frames: int


class ReplayEvent(Noun):
    """One event, what it took, and what was done about it.

    The acts are the first and last of the moves that it made necessary: `detected_ps` when it was
    missed, `decided_ps` when the way was known, `installed_ps` when it was in force (RFC 6413 calls
    the time from the event to the last of these the convergence time). `blocked_ps` is the largest
    effective blocked time of a stream: frames lost over frames a second that it sends.
    """

    event: str
    at_ps: int
    until_ps: int | None
    """None for what is not undone before the end."""
    lost: tuple[ServiceLoss, ...]
    is_told: bool = True
    """Whether what it cost is told apart from other losses; of rates, ratios and loads it is not.
    """
    cut: int
    """Streams and demands that had no whole way left."""
    moved: int
    unmoved: int
    reasons: tuple[str, ...] = ()
    """Why some were not moved, the most frequent first."""
    detected_ps: int | None = None
    decided_ps: int | None = None
    installed_first_ps: int | None = None
    installed_last_ps: int | None = None
    blocked_ps: int = 0
    blocked: str | None = None
    """Whose blocked time that is."""


class ReplayStream(Noun):
    """One stream or demand over the whole timeline.

    Of the `sent` frames `watched` were followed one by one; the others were sent where nothing
    changes, and are counted by when they are due: of them those are lost that were sent while
    there was no whole way (`dark`). Counts of what is sent at drawn times are means, rounded.
    """

    name: str
    service: str
    sent: int
    watched: int
    lost: int
    late: int
    latency_ps_max: int | None
    dark: tuple[Span, ...] = ()
    blocked_ps: int = 0
    moved: int = 0


class ReplayPromise(Noun):
    """A promise of a service, kept, or broken from when to when."""

    service: str
    kind: str
    members: int
    broken: int
    outcome: Outcome
    spans: tuple[Span, ...] = ()
    worst: str | None = None
    reason: str | None = None


class Replay(Noun):
    """The whole answer."""

    title: str
    epoch: str | None
    """When it begins by the clock on the wall."""
    outcome: Outcome
    until_ps: int
    watched_ps: int
    """How much of that was simulated frame by frame."""
    findings: tuple[str, ...]
    unwatched: tuple[str, ...]
    """Events that change what is lost, in force while nobody watched: losses there are not known.
    """
    events: tuple[ReplayEvent, ...]
    promises: tuple[ReplayPromise, ...]
    streams: tuple[ReplayStream, ...]
    demands: tuple[ReplayStream, ...]
    windows: tuple[ReplayWindow, ...]
    epochs: tuple[ReplayEpoch, ...]
    assumptions: tuple[str, ...] = Field(())
