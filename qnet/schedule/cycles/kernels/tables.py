"""The tables that a search for room works on."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import columns
from qnet.schedule.kernels import Int64s

Int64Table = NDArray[np.int64]
Int32s = NDArray[np.int32]
Int16s = NDArray[np.int16]

NO_ROUTE = -1
TOO_SLOW = -2
NO_ROOM = -3

NO_TREE = -2
"""In `Candidates.before`: the way is no tree."""


class FreeBytes(NamedTuple):
    """What the ports of a network have left, and what they are."""

    free: Int64Table
    """Bytes left by port and cycle of the hypercycle."""
    spare: Int64s
    """Their sum over all cycles."""
    weight: Int64s
    """2**WEIGHT_BITS divided by the bytes that a cycle of the empty port holds."""
    rate_bps: Int64s
    up: Int64s
    """0 after a failure."""


class Candidates(NamedTuple):
    """Ways, their hops and the wires of these, ragged.

    A way is one path, or two disjoint ones after each other; or it is a tree, and then each path
    ends at a listener.
    """

    hop: Int64s
    """Hops of way w are `hop[w] : hop[w + 1]`."""
    latency_ps_max: Int64s
    shift: Int64s
    """Cycle of a hop for start cycle 0."""
    skew_ps: Int64s
    """At the last hop of a path: by how much it is quicker than the way. Elsewhere -1."""
    window_ps: Int64s
    """There: how much its latency varies for a frame of no length, in a tree less `skew_ps`."""
    slack_ps: Int64s
    """From the last turn of a hop's buffer at the next hop to when a frame of no length could come
    there at the earliest."""
    before: Int64s
    """In a tree the place of the hop that one follows, -1 at the talker; else NO_TREE."""
    wire: Int64s
    """Wires of hop h are `wire[h] : wire[h + 1]`."""
    port: Int64s
    """The port of a wire."""
    cost: Int64s
    """What `admit_best` compares ways by."""
    order: Int64s
    """In which order it takes the ways of a pair."""
    cycle_ps: int


class StreamRequest(NamedTuple):
    """One stream."""

    need: int
    """Bytes of one interval, with preamble and gap."""
    period: int
    """Cycles from one interval to the next."""
    frame_bytes: int
    latency_ps_most: int
    variation_ps_most: int
    """UNSEEN for no limit, as of the latency."""
    waits: int
    """1 where its frames may wait extra cycles."""


class Pairs(NamedTuple):
    """What pairs of nodes may use now."""

    low: Int64s
    high: Int64s
    """Ways of pair i are `low[i] : high[i]`, the quickest one first."""
    damped_ps: Int64s
    """Variation that a damper at the listener leaves."""


@columns
class Request(IntEnum):
    """Columns of `Requests`: what a stream asks for; -1 stands for no limit, 1 for yes."""

    PAIR = 0
    PERIOD = 1
    """Cycles from one of its intervals to the next."""
    PACKETS = 2
    """Frames in one of them."""
    FRAME_BYTES = 3
    LATENCY_PS_MOST = 4
    VARIATION_PS_MOST = 5
    RANK = 6
    WAITS = 7
    """Its frames may wait extra cycles (CSQF)."""
    DAMPER = 8
    """The listener's node holds them."""


REQUEST_COLUMNS = Request.DAMPER + 1

Requests = Int64Table
"""What streams ask for, one a row."""


class ReservationRows(NamedTuple):
    """Streams, one a row."""

    asked: Requests
    way: Int32s
    """-1: none."""
    phase: Int32s
    wires: Int16s
    """By place in the way, counted from the first wire of that hop."""
    waits: Int16s
    """By place in the way, how many extra cycles frames have waited; no columns when none does."""


class Scratch(NamedTuple):
    """Scratch for one stream."""

    left: Int64s
    """By phase: bytes that one wire has."""
    best: Int64s
    """By phase: room of the best wire of a hop."""
    score: Int64s
    """By phase: room of the worst hop."""
    ports: Int64s
    """By place in the way: the chosen port."""
    wires: Int64s
    """By place: the chosen wire, counted from the first of its hop."""
    waits: Int64s
    """By place: extra cycles waited by then."""
    extra: Int64s
    """By place: the longest wait at the hop before it."""
    reach: Int64s
    """By place in a tree: the longest wait by then."""
