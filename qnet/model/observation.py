"""What a witness saw: the simulator's (and later the emulator's) account of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qnet.model.fields import Noun
from qnet.model.requirement import Figure


class Copies(Noun):
    """Account of sequence recovery (IEEE 802.1CB clause 7.4.3), in the counters of the standard.

    `out_of_order` counts frames passed on whose number was not the next; `rogue` those discarded
    since their number was beyond the history.
    """

    passed: int
    discarded: int
    out_of_order: int
    rogue: int
    resets: int


class Lost(Noun):
    """Frames that were lost, or discarded and so lost, for one cause.

    Of a frame that is sent over two paths it has the causes of both copies, if they differ.
    """

    cause: str
    frames: int


class Traffic(Noun):
    """Account of one stream or one demand.

    Latency runs from the last bit's being handed to the talker's port to the last bit received.
    Books balance: `sent` is `received`, `lost` and `in_flight` (when the run ended) together, and
    `lost` is the sum of `lost_by`. A frame that is sent over two paths counts once: it is received
    when a copy of it is, and lost when both are lost or discarded. `copies_sent` is `copies`,
    `copies_lost` (dropped: see `Observation.drops`), those that recovery discarded and those in
    flight together. `late` counts each time that a
    frame reached a port after its cycle had begun or left in a cycle other than its own.
    `copies` is `received`, or the copies that arrived when each frame is sent over two paths;
    latencies and histogram are those of all copies. `histogram` has pairs of bin and frames: the
    frames whose latency above `floor_ps`, the least that the route allows, falls in the bin (see
    `qnet.model.histogram`). `steady_bytes` are bytes of line time, with preamble and gap, of all
    copies delivered in the steady part of the run. `best_birth_ps` is when the first frame that had
    the least latency was handed to its first port, `worst_birth_ps` when the first with the largest
    was. With sequence recovery all of these are of the copies that were passed on.
    """

    name: str
    service: str
    sent: int
    received: int
    copies: int
    lost: int
    in_flight: int
    late: int
    copies_sent: int
    copies_lost: int
    sent_bytes: int
    received_bytes: int
    steady_bytes: int
    latency_ps_min: int | None
    latency_ps_sum: int
    latency_ps_max: int | None
    floor_ps: int
    histogram: tuple[tuple[int, int], ...]
    best_birth_ps: int | None = None
    worst_birth_ps: int | None = None
    recovery: Copies | None = None
    lost_by: tuple[Lost, ...] = ()

    @property
    def copies_in_flight(self) -> int:
        """Copies that were neither received nor dropped nor discarded when the run ended."""
        discarded = self.recovery.discarded if self.recovery else 0
        return self.copies_sent - self.copies - self.copies_lost - discarded

    @property
    def latency_ps_mean(self) -> int | None:
        """Mean latency, rounded down."""
        return self.latency_ps_sum // self.copies if self.copies else None

    @property
    def variation_ps(self) -> int | None:
        """Largest latency minus smallest."""
        if self.latency_ps_min is None or self.latency_ps_max is None:
            return None
        return self.latency_ps_max - self.latency_ps_min


class PortUse(Noun):
    """Account of one port: wire bytes, the deepest queue over all classes, frames dropped.

    `came` frames came to it; they are those sent, those dropped here (`dropped`, less those that
    its link has lost after they were sent, `lost_on_link`) and those `waiting` when the run ended.
    A preemptable frame waits until all of it is sent.
    """

    port: str
    came: int
    sent_frames: int
    sent_bytes: int
    steady_bytes: int
    queue_bytes_max: int
    dropped: int
    lost_on_link: int
    waiting: int


class ClassUse(Noun):
    """Account of one traffic class in copies: a frame over two paths counts twice, and one for
    several listeners once for each.

    `sent` is `received`, `lost_by`, `discarded` (by sequence recovery) and `in_flight` together.
    """

    traffic_class: str
    sent: int
    received: int
    lost_by: tuple[Lost, ...]
    discarded: int
    in_flight: int


class Drop(Noun):
    """Frames of one stream or demand that one port dropped, or its link lost, and why.

    A frame on its way to several listeners is lost to each of them: every leg has it.
    """

    port: str
    name: str
    cause: str
    frames: int


class MeterUse(Noun):
    """Account of a meter of two rates: frames in the committed rate, the excess rate, neither."""

    port: str
    name: str
    green: int
    yellow: int
    red: int


class Taken(Noun):
    """Frames of a stream or demand that an event took; of several paths or listeners each copy."""

    name: str
    frames: int


class EventUse(Noun):
    """What one event, in words, took of whom; a frame that meets several counts at the first."""

    event: str
    at_ps: int
    lost: tuple[Taken, ...]


class PortSeries(Noun):
    """Account of one port over time, one entry per interval of `Observation.series_end_ps`.

    Frames and wire bytes are those whose first bit left in the interval. The deepest queue is the
    fullest that any one queue of the port was in the interval, frames that wait for the wire only.
    """

    port: str
    sent_frames: tuple[int, ...]
    sent_bytes: tuple[int, ...]
    queue_bytes_max: tuple[int, ...]
    dropped: tuple[int, ...]


class LatencySeries(Noun):
    """Latencies of one stream or demand over time, by when its frames were born.

    One entry for each interval of `Observation.series_end_ps` of which frames were received, with
    its number; of copies that meet, those that were passed on count.
    """

    name: str
    intervals: tuple[int, ...]
    frames: tuple[int, ...]
    least_ps: tuple[int, ...]
    sum_ps: tuple[int, ...]
    most_ps: tuple[int, ...]


class Observation(Noun):
    """One run. `steady_*` figures count from `steady_from_ps` to the end.

    `series` has the ports that sent or dropped anything; interval i ends at `series_end_ps[i]`,
    where the next begins. Both are left out of the JSON: they go to Parquet. So are `latencies`, of
    those that were asked for.
    """

    witness: Literal["simulated", "emulated"]
    duration_ps: int
    steady_from_ps: int
    seed: int
    frames: int
    frame_hops: int
    streams: tuple[Traffic, ...]
    demands: tuple[Traffic, ...]
    ports: tuple[PortUse, ...]
    classes: tuple[ClassUse, ...] = ()
    drops: tuple[Drop, ...] = ()
    meters: tuple[MeterUse, ...] = Field((), exclude_if=lambda meters: not meters)
    """Of two rates; of one rate, `drops` have what was red."""
    events: tuple[EventUse, ...] = Field((), exclude_if=lambda events: not events)
    figures: tuple[Figure, ...] = Field((), exclude_if=lambda figures: not figures)
    """Of layers."""
    series_end_ps: tuple[int, ...] = Field((), exclude=True)
    series: tuple[PortSeries, ...] = Field((), exclude=True)
    latencies: tuple[LatencySeries, ...] = Field((), exclude=True)
