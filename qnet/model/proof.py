"""What the checker found: the proven bounds of every stream, and every rule that a plan breaks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qnet.model.fields import Noun
from qnet.model.requirement import Figure

Rule = Literal[
    "inputs",
    "route",
    "mapping",
    "capacity",
    "disjoint",
    "latency",
    "variation",
    "ingress",
    "rate",
    "damper",
    "release",
    "order",
    "overlap",
    "queue",
    "gates",
    "limit",
    "clock",
    "recovery",
    "overload",
    "tree",
    "move",
    "layer",
]

OverloadOf = Literal["rate", "idle-slope", "weight", "gates", "window", "meter", "shaper"]
"""What there is too little of."""


class Finding(Noun):
    """One broken rule, in one sentence that names stream, port and cycle where they matter."""

    rule: Rule
    subject: str
    message: str


class StreamProof(Noun):
    """Worst cases of one stream, from the last bit handed over to the last one received.

    None where nothing can be proven: the stream is refused, its plan is broken, or it reserves
    nothing and what may be in its way has no bound.
    """

    name: str
    latency_ps_min: int | None
    latency_ps_max: int | None
    availability: int | None = Field(None, exclude_if=lambda share: share is None)
    """Share of the time, in steps of 1e-15 and rounded down, for which one of its ways works."""

    @property
    def variation_ps(self) -> int | None:
        """Largest latency minus smallest."""
        if self.latency_ps_min is None or self.latency_ps_max is None:
            return None
        return self.latency_ps_max - self.latency_ps_min


class PortProof(Noun):
    """The fullest cycle of one port, for ports that carry reserved streams."""

    port: str
    cycle: int
    reserved_bytes: int
    capacity_bytes: int


class Overload(Noun):
    """A port to which more of a class comes, for ever, than can go: its queue grows without end.

    Mean rates on the wire, rounded apart. `rate_bps` is what the port has in all. A meter or shaper
    is that of one `stream`, and what it does not let through is lost.
    """

    port: str
    traffic_class: str
    stream: str | None = None
    of: OverloadOf
    offered_bps: int
    served_bps: int
    rate_bps: int
    frame_ps: int = 0
    """Line time of the longest frame, where no window of its class is as long."""
    window_ps: int = 0


class EpochProof(Noun):
    """What holds between two changes of the network, with the plan as it is.

    Streams of which every path crosses something broken are `cut`: their frames are lost. Of two
    paths one is left to those that are `reduced`, whose bounds are those of that path. What is
    proven of all others stays so: less is in their way.
    """

    from_ps: int
    until_ps: int
    broken: tuple[str, ...]
    """What is cut or down, as the events call it."""
    cut: tuple[str, ...]
    reduced: tuple[StreamProof, ...]
    findings: tuple[Finding, ...] = ()
    moved: tuple[StreamProof, ...] = Field((), exclude_if=lambda moved: not moved)
    """Streams that another entry than the plan's own sends meanwhile. What is sent before and
    received in it keeps within the bounds of both.
    """
    changed: tuple[StreamProof, ...] = Field((), exclude_if=lambda changed: not changed)
    """Streams whose bounds are not the same in all epochs, where events change links: with another
    fibre at their listener, or none from then on where they are disturbed.
    """


class EventLoss(Noun):
    """How many frames of a stream events take, of those that are sent in the run.

    `frames_least` are lost whatever happens, `frames_most` at most, None where that is not known;
    `sent_least` and `sent_most` are sent.
    """

    name: str
    frames_least: int
    frames_most: int | None
    sent_least: int
    sent_most: int
    events: tuple[str, ...]


class DemandEventLoss(Noun):
    """Which share of a demand is due on average where its ways are broken, rounded down."""

    name: str
    share_ppb: int
    events: tuple[str, ...]


class SurvivableEgress(Noun):
    """What wires let out of a site at most: of all of them, and after the worst single failure.

    `cables` and `nodes` are all that leave so little when they fail, in the order of the files;
    nodes that fail together are joined by '+'. None where nothing of the kind can fail: a node that
    is the only source does not count.
    """

    site: str
    whole_bps: int
    cable_bps: int | None
    cables: tuple[str, ...]
    node_bps: int | None
    nodes: tuple[str, ...]


class Proof(Noun):
    """The checker's answer; the plan holds when there are no findings."""

    streams: tuple[StreamProof, ...]
    ports: tuple[PortProof, ...]
    findings: tuple[Finding, ...]
    overloads: tuple[Overload, ...] = ()
    survivable: tuple[SurvivableEgress, ...] = Field((), exclude_if=lambda found: not found)
    """Where an egress is required."""
    epochs: tuple[EpochProof, ...] = Field((), exclude_if=lambda epochs: not epochs)
    """Where there are events: from the start of the run to its end."""
    event_losses: tuple[EventLoss, ...] = Field((), exclude_if=lambda losses: not losses)
    demand_losses: tuple[DemandEventLoss, ...] = Field((), exclude_if=lambda losses: not losses)
    figures: tuple[Figure, ...] = Field((), exclude_if=lambda figures: not figures)
    """Of layers, which the core does not know the meaning of."""
