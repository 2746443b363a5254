"""The way of one frame through a run, and where its time went."""

from __future__ import annotations

from typing import Literal

from qnet.model.fields import Noun

Cause = Literal[
    "cycle", "turn", "wire", "priority", "ahead", "weight", "shaper", "gate", "credit", "cut",
    "arriving", "held", "hold",
]  # fmt: skip
"""Why a frame waits in a queue.

cycle: its cycle has not begun. turn: it has missed its cycle and waits for a later turn of its
buffer. wire: a frame was on the wire when it came, or when its cycle began. priority: frames of
higher classes go first. ahead: frames of its own queue are before it. weight: it is the turn of
another class of the same priority. shaper: it is not eligible yet. gate: its gate is closed, or
closes before it would end. credit: its queue has spent more than its share. cut: a first part of it
is on the wire, until an express frame cuts it. arriving: not all of it is in yet (cut-through).
held: the wire is free for it but it would not end within its cycle. hold: the port holds what is
preemptable, for a window of gated frames.
"""


class Wait(Noun):
    """A part of a wait: for so many frames of one stream or demand, or for no frame at all.

    Where it is for no frame, `until_ps` is when it was last over.
    """

    cause: Cause
    wait_ps: int
    of: str | None = None
    frames: int = 0
    until_ps: int | None = None


class Hop(Noun):
    """One port of the way; all times are of the run.

    The frame is queued, waits, is on the wire from `started_ps` to `ended_ps` (from the
    first bit of its preamble to its last bit; the gap after it holds the wire for the next one),
    and is at the next port's queue, or handed over, at `reached_ps`. From `ended_ps`
    on that is propagation, then processing (draw, and order kept), then a damper. Where the next
    node cuts through, it has enough of the frame `overlap_ps` before the last bit has left. Cycles
    are those of the port's node, `planned_cycle` as the plan has it for this frame.
    """

    port: str
    queued_ps: int
    started_ps: int
    ended_ps: int
    reached_ps: int
    propagation_ps: int
    overlap_ps: int = 0
    processing_ps: int = 0
    damper_ps: int = 0
    planned_cycle: int | None = None
    cycle: int | None = None
    waits: tuple[Wait, ...] = ()


class Loss(Noun):
    """Where, when and why a frame was lost or discarded.

    `port` is the port, that before the link for a loss there, or the node in which copies meet.
    `held_bytes` were in the queue before it, where it found no room.
    """

    port: str
    time_ps: int
    cause: str
    held_bytes: int | None = None


class Journey(Noun):
    """One frame: the `number`th, from 1, of its stream, or of its demand over all its parts.

    `latency_ps` is the sum of all waits, line times, propagation, processing and the damper, to the
    picosecond; None for a frame that was lost or had not arrived when the run ended.
    """

    name: str
    service: str
    traffic_class: str
    path: int
    path_count: int
    number: int
    frame_bytes: int
    birth_ps: int
    latency_ps: int | None
    hops: tuple[Hop, ...]
    loss: Loss | None = None

    @property
    def accounted_ps(self) -> int:
        """Sum of all the parts of the hops."""
        return sum(
            sum(wait.wait_ps for wait in hop.waits)
            + (hop.ended_ps - hop.started_ps - hop.overlap_ps)
            + hop.propagation_ps
            + hop.processing_ps
            + hop.damper_ps
            for hop in self.hops
        )
