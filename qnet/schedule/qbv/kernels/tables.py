"""What a search for places works on: the problem, the state, and scratch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.schedule.qbv.kernels.spans import Spans

Int64s = NDArray[np.int64]

NEVER = 2**61
"""Later than any time."""


class Ports(NamedTuple):
    """What a port is, by its number."""

    pause: Int64s
    """Entries of a pause between two windows: two where others may send until the guard."""
    queue_row: Int64s
    """Row of `Spans` of its first queue; the row of the port is its number."""
    queues: Int64s
    """How many queues it has."""
    entries: Int64s
    """Most entries of its gate list, 0 for no limit."""
    cut: Int64s
    """When its gate list begins: what lasts over that becomes an entry more."""


class StreamTable(NamedTuple):
    """Streams, their candidate routes and the hops of these, ragged."""

    period: Int64s
    deadline: Int64s
    jitter: Int64s
    """By how much frames that are placed singly may take longer than the quickest way."""
    route_offset: Int64s
    """Routes of stream s are `route_offset[s] : route_offset[s + 1]`."""
    hop_offset: Int64s
    """Hops of route r are `hop_offset[r] : hop_offset[r + 1]`."""
    anchor: Int64s
    """The busiest hop of a route, counted from its first."""
    port: Int64s
    line: Int64s
    """How long the window of a hop is."""
    lead: Int64s
    reach: Int64s
    before: Int64s
    """The hop that one follows, counted from the route's first; -1 there."""
    begins: Int64s
    """1 at every port of the talker."""
    tail: Int64s
    """From the end of a transmission to a listener's last bit."""
    quick: Int64s
    """From the first bit out to a listener's last bit when nothing waits; -1: nobody listens."""


class Rules(NamedTuple):
    """What is allowed, and how long to search."""

    waiting: int
    """1 where frames may wait in bridges."""
    own_queue: int
    """1 where a queue serves one stream only."""
    steps: int
    """How often a stream may push others out."""
    trials: int
    """Starts that are drawn for a stream that does."""


class Places(NamedTuple):
    """Where streams are."""

    route: Int64s
    """-1: nowhere."""
    base: Int64s
    begin: Int64s
    """Start of hop h of frame k of stream s, which has n frames, at `base[s] + h * n + k`."""
    queue_base: Int64s
    queue: Int64s
    """Queue of hop h of stream s at `queue_base[s] + h`."""


class GateScratch(NamedTuple):
    """Scratch."""

    time: Int64s
    """A start for each hop of a route."""
    queue: Int64s
    """A queue for each hop of a route."""
    hop: Int64s
    """A number for each hop of a route: how late it may be, or whether its start is known."""
    saved: Int64s
    """Starts and queues of a route, by turns."""
    ring: Int64s
    """Who is to be placed."""
    weight: Int64s
    """How often a stream has struggled."""
    mark: Int64s
    """The number of the trial; behind it for each stream the last trial that met it."""
    seed: Int64s


class GateSearch(NamedTuple):
    """All that a search works on."""

    streams: StreamTable
    ports: Ports
    rules: Rules
    spans: Spans
    places: Places
    work: GateScratch


class Train(NamedTuple):
    """What is to be placed at once, and where it may start."""

    low: int
    """The earliest start."""
    high: int
    """The end of the starts."""
    step: int
    """From one frame to the next."""
    frames: int
    deadline: int
    slack: int
    """By how much its frames may take longer than the quickest way."""
