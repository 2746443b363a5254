"""The world that the simulator's kernels work on: its tables, and what their columns mean.

A *lane* joins two ports that some route uses in sequence; it holds the frames between them in
order of arrival. (Lanes beyond those into the last port lead into none: in them an emulator sees
what comes out of a wire, before the next node has had it.) What begins to leave a port at t
reaches the next one no sooner than t and the lane's *reach*: the shortest frame up to its last bit,
or what of it a node that cuts through wants, propagation and least processing. So a port can
be served, alone and at once, up to the earliest time that a port before it has come to, and that
lane's reach: any order of serving that keeps this rule, on any thread, gives the same result
(`qnet.simulate.windows.kernels` chooses one).

A *source* hands the frames of one stream path or demand part to its first port. A *position* is
one hop of one route; those of a port are consecutive, in the order of routes.

Frames in lanes and queues are rows of four: time of arrival, time of birth,
`position << 16 | frame bytes`, and cycle of the port they are at (reserved frames only). A
kernel that runs out of room stops and says so; the caller makes room and calls it again.

Copies of frames that go over two paths are told apart: their label has FOLLOWED and the lowest 16
bits of the frame's number from bit 48 on. What becomes of each is written into `Tally.fates`, by
whichever port it happens at.

Histograms are kept in blocks of 16 bins, one octave each, from a pool that each port has for the
owners whose listener is behind it; an owner takes a block when the first frame falls in it.

The columns of each table are one enumeration, and cost compiled code nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import columns
from qnet.simulate.clocks.kernels import ClockTable

Ints = NDArray[np.int64]


NEVER = 1 << 62


POSITIONS = 0x7FFFFFFF
"""Mask of a position, in a label that is shifted by 16."""


FOLLOWED = 1 << 47
"""In a label: what becomes of this copy is noted."""


PERIODIC, PACED, POISSON, RECORDED = 0, 1, 2, 4


FLOWS = 5
"""Flow after flow, each paced, with a pause between them; see `kernels.sources.begin_flow`."""


BLOCK_BINS = 16


GAP_BYTES = 12
"""Of line time, after the last bit: a frame that holds the line as long as one of so many bytes
less is this frame up to its last bit."""


REACHED_ROOM = 64
"""Entries of `Tally.reached`."""


# What becomes of a copy.
PASSED_ON, NO_ROOM, RED, STAYED, LINK_LOST, DUPLICATE, ROGUE_NUMBER = 0, 1, 2, 3, 4, 5, 6
LINK_DOWN, NODE_DOWN = 7, 8
"""Received, or sent on; dropped by a full queue, by a meter or since it would stay in a shaper for
too long; lost or damaged on the link; discarded where copies meet, for another came before or its
number is beyond the history; on a link that is cut, or in a node that is down."""


REFUSED = -1


DONE, QUEUE_FULL, LANE_FULL, BLOCKS_FULL, TRACE_FULL = 0, 1, 2, 3, 4


@columns
class Frame(IntEnum):
    """Columns of a frame in a lane, in a queue, or put aside (`Queues.stash`)."""

    ARRIVAL = 0
    BIRTH = 1
    LABEL = 2
    CYCLE = 3
    QUEUE = 4
    """Of one put aside: the queue that it is to join, or -1."""


@columns
class Reached(IntEnum):
    """Columns of `Tally.reached`: a frame that has reached its listener."""

    ARRIVAL = 0
    BIRTH = 1
    LABEL = 2
    OWNER = 3


@columns
class NextHop(IntEnum):
    """Columns of `Routes.hop`."""

    LANE = 0
    """-1 where the frame is delivered."""
    NEXT = 1
    """The position at the next port, or the owner where the frame is delivered."""


@columns
class Sender(IntEnum):
    """Columns of `Lanes.sender`, written by the port before the lane."""

    TAIL = 0
    LAST_ARRIVAL = 1
    ROOM_UNTIL = 2


@columns
class Receiver(IntEnum):
    """Columns of `Lanes.receiver`, written by the port after the lane."""

    HEAD = 0
    NEXT_ARRIVAL = 1
    SEEN_TAIL = 2


@columns
class SourceState(IntEnum):
    """Columns of `Sources.state`."""

    NEXT_TIME = 0
    LEFT = 1
    NEXT_CYCLE = 2
    CARRY = 3
    """What division left over; of a recorded one the frames that it is past."""
    SENT = 4
    SENT_BYTES = 5
    NEXT_NUMBER = 6
    DICE = 8
    """The first of four."""


@columns
class SourceLaw(IntEnum):
    """Columns of `Sources.law`."""

    KIND = 0
    """PERIODIC, PACED, POISSON, RECORDED, FLOWS or, where ports are general, TIMED."""
    GAP = 1
    """Of a recorded one: where its times begin in `Sources.recorded_ps`."""
    SHIFT = 2
    """Of a recorded one: how many frames it has."""
    PACKETS = 3
    """Of flows: where their law begins in `Sources.log_table`."""
    START = 4
    """Position of its first hop."""
    SIZE_FIRST = 5
    SIZE_LAST = 6
    PERIOD = 7
    """Cycles in a gap."""


@columns
class SourceHeap(IntEnum):
    """Columns of `Sources.heap`."""

    TIME = 0
    SOURCE = 1


@columns
class Ring(IntEnum):
    """Columns of `Queues.ring`."""

    FRONT = 0
    COUNT = 1
    BYTES = 2
    BASE = 3
    MASK = 4


@columns
class PortTally(IntEnum):
    """Columns of `Tally.port`."""

    FRAMES = 0
    WIRE_BYTES = 1
    STEADY = 2
    DEEPEST = 3
    DROPPED = 4
    FREE_AT = 5
    SERVED = 6
    BLOCK_BASE = 7
    """Where the port's blocks of bins begin."""
    BLOCKS = 8
    BLOCK_ROOM = 9
    NOTED = 10
    """At the end of how many intervals the port has noted its counts."""
    WAKE = 11
    """Before this it begins nothing, unless a frame comes: NEVER where nothing waits."""


@columns
class OwnerTally(IntEnum):
    """Columns of `Tally.owner`."""

    RECEIVED = 0
    RECEIVED_BYTES = 1
    STEADY_BYTES = 2
    LEAST = 3
    EXCESS = 4
    MOST = 5
    FLOOR = 6
    """The least latency of the route."""
    HOLD = 7
    """Time from birth after which a damper hands a frame over, or -1."""


@columns
class Birth(IntEnum):
    """Columns of `Tally.birth`: of the first frame that had the least latency, and the most."""

    BEST = 0
    WORST = 1


@columns
class FateRing(IntEnum):
    """Columns of `Tally.followed`."""

    BASE = 0
    MASK = 1
    LOW = 2


@columns
class TraceRow(IntEnum):
    """Columns of `Trace.rows`.

    A frame for which there was no room has REFUSED for its start, and the bytes of the queue that
    it found in place of its end.
    """

    QUEUED = 0
    STARTED = 1
    """First bit out."""
    ENDED = 2
    """Last bit out."""
    REACHED = 3
    """At the next port, or handed over."""
    BORN = 4
    LABEL = 5
    LEFT_IN = 6
    """Cycle."""
    FATE = 7
    """What became of it here."""


@columns
class CountRow(IntEnum):
    """Columns of `Counts.rows`."""

    FRAMES = 0
    WIRE_BYTES = 1
    DROPPED = 2
    DEEPEST = 3


class Arrived(NamedTuple):
    """A frame that has come to a port: a row of `Frame` in hand."""

    came: int
    birth: int
    label: int
    turn: int
    """What is in CYCLE: the cycle in which it is to leave, or the time from when it may."""


class Network(NamedTuple):
    """What does not change: ports, clocks and the run's own figures."""

    line_time: Ints
    """[rate, frame bytes]: time for which the wire is held, preamble and gap included."""
    rate: Ints
    """[port]: row of `line_time`."""
    propagation: Ints
    processing_low: Ints
    processing_span: Ints
    """[port]: bounds of the delay in the node after the port; the span is exclusive."""
    buffer_bytes: Ints
    cycle_bytes: Ints
    phase: Ints
    clock: Ints
    """[port]: node whose clock times the cycles."""
    clock_error: Ints
    """[node, block]: of its clock as it is set now, at the block's begin; see `clocks.kernels`."""
    clocks: ClockTable
    """How each clock goes in all of the run."""
    lane_first: Ints
    """[port]: the lanes into port p are lane_first[p] to lane_first[p + 1] - 1."""
    only_rank: Ints
    """[port]: the rank of all its frames, where that is one and not 0; else 0."""
    cycle: int
    cycle_buffers: int
    classes: int
    block: int
    """Clock errors are known at multiples of this time; no call of `serve` goes beyond one."""
    steady_from: int
    end: int


class RouteTable(NamedTuple):
    """One entry per position, unless said otherwise."""

    hop: NDArray[np.int32]
    """[position, 2]: LANE, NEXT. Eight to a cache line: no table is read more often."""
    rank: NDArray[np.int32]
    """0 for reserved frames, 1 and more for the other classes in order of priority."""
    shift: NDArray[np.int32]
    """Cycles from this port's cycle to the next port's."""
    owner: Ints
    lost: Ints
    late: Ints
    damper_clock: Ints
    """[owner]: node whose clock times the damper."""


class Lanes(NamedTuple):
    """Rings of frames on their way; capacities are powers of two."""

    base: Ints
    mask: Ints
    sender: Ints
    receiver: Ints
    cells: Ints
    feeder: Ints
    """The port before the lane."""
    reach: Ints
    """Least time from beginning to leave the port before to reaching the port after; above 0."""


class Queues(NamedTuple):
    """Per port: `cycle_buffers` rings for reserved frames, then one for each other class."""

    ring: Ints
    cells: Ints
    stash: Ints
    """[port]: a frame that found its ring full, and its queue or -1."""


class Sources(NamedTuple):
    """Laws and states of all sources; a heap per port has the next one to send on top."""

    first: Ints
    """[port]: the port's sources are heap[first[p]] to heap[first[p + 1] - 1]."""
    heap: Ints
    state: Ints
    law: Ints
    size_bytes: Ints
    size_limit: Ints
    """Draws below the limit take the size; the last limit is above every draw."""
    log_table: Ints
    """The logarithm (`draws.log_table`), and behind it the law of each source of flows."""
    recorded_ps: Ints
    """When the frames of recorded sources are born; their sizes are in `size_bytes`."""


class Tally(NamedTuple):
    """What is counted, and each port's dice."""

    port: Ints
    port_dice: Ints
    owner: Ints
    """[owner, 8]: counts; FLOOR is the least latency of the route, HOLD the time from birth after
    which a damper hands a frame over, or -1."""
    block: NDArray[np.int32]
    """[owner, octave]: number, from 1 on, of the block in its last port's pool; 0 is none yet."""
    bins: Ints
    """[block, 16]."""
    birth: Ints
    """[owner, 2]: BEST and WORST."""
    followed: Ints
    """[owner, 4]: where the ring of its copies' fates is, and the lowest number in it."""
    fates: Ints
    """Of the copy with a number: its birth while it is under way, then -1 - what became of it."""
    settled: Ints
    """[row, 3]: stream of two paths, set of fates and frames that are in no ring any more; see
    `qnet.simulate.fates`."""
    reached: Ints
    """[entry, 4]: frames at their listener that are not yet counted, with ARRIVAL, BIRTH, LABEL and
    OWNER. Each thread has its own; it is empty but while a port is served."""


class Trace(NamedTuple):
    """What is written down frame by frame; None in its place compiles to nothing at all."""

    followed: Ints
    """[owner]: 1 for those whose frames are written down wherever they go."""
    since: Ints
    until: Ints
    """[port]: all frames that start here, or find no room, from one time to before the other."""
    slot: Ints
    """[port]: row of `rows` and of `used`, or -1."""
    used: Ints
    """[slot]: entries written."""
    rows: Ints
    """[slot, entry, column]"""


class Counts(NamedTuple):
    """What each port had done by the end of each interval."""

    step: int
    """Length of an interval; the last one ends with the run."""
    end: int
    rows: Ints
    """[port, interval]: frames, wire bytes and drops since the run began, and the deepest queue
    in the interval."""
    ring_first: Ints
    ring_last: Ints
    """[port]: its queues are the rings ring_first[p] to ring_last[p] - 1."""


class World(NamedTuple):
    """All of it."""

    network: Network
    routes: RouteTable
    lanes: Lanes
    queues: Queues
    sources: Sources
    tally: Tally
