"""What general ports know beyond the plain world: their tables, and what their columns mean.

Frames are rows as in `qnet.simulate.world`. In the queues of a general port the column CYCLE
holds the time from when the frame may go. A label is
`number << 48 | position << 16 | frame bytes`; the number is a frame's sequence number (IEEE 802.1CB
clause 7.4.1) where copies are told apart. FOLLOWED may be set beside it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import columns

Ints = NDArray[np.int64]


DOOMED = 0x8000
"""In a label, beside the frame bytes: the node is down before the frame is in a queue there."""


WHOLE = 0x7FFFFFFFFFFF
"""A label without its sequence number, and without FOLLOWED."""


TIMED = 3
"""A further kind of source: it follows a table of times by its node's own clock."""


BYTE_PS = 8 * 10**12
"""Bytes times this, divided by bit/s, are picoseconds; bit/s times ps are 1e-12 bits."""


# Kinds of port.
PLAIN, GENERAL, RECOVERY = 0, 1, 2


HELD_GATE = 8
"""Stands in gate tables for the time that preemptable frames are held."""


NOTHING, SENDING, CUT = 0, 1, 2


AT_LISTENER = -2
"""In place of a ring: the position is a point of recovery."""


@columns
class PortLaw(IntEnum):
    """Columns of `Parts.port`.

    Rings from FIRST are the cycle buffers, those from QUEUES to LAST the queues in falling
    priority, those before PREEMPTABLE express.
    """

    WHAT = 0
    FIRST = 1
    QUEUES = 2
    PREEMPTABLE = 3
    LAST = 4
    BY_ARRIVAL = 5
    GATE_FIRST = 6
    GATE_LAST = 7
    FIXED = 8
    LOSS = 9
    RATE = 10
    PHASE = 11
    """When the node's clock shows 0."""
    HOLD_ADVANCE = 12
    """How long before an entry that holds the MAC it is told so."""
    OUT_FIRST = 13
    OUT_LAST = 14
    """Rows of `Parts.outage` that take frames from the port."""


@columns
class RingLaw(IntEnum):
    """Columns of `Parts.ring`."""

    BIT = 0
    GROUP_LAST = 1
    WEIGHT = 2
    IDLE = 3
    LINE = 4
    SORTED = 5


@columns
class RingState(IntEnum):
    """Columns of `Parts.ring_state`; TURN and GRANTED count in the first ring of a group."""

    CREDIT = 0
    CREDIT_AT = 1
    DEFICIT = 2
    TURN = 3
    GRANTED = 4
    READY = 5
    OPEN_AT = 6


@columns
class MPacket(IntEnum):
    """Columns of `Parts.wire`: a preemptable frame that is sent in mPackets (802.3 clause 99)."""

    IS = 0
    BEGUN = 1
    REST = 2
    LABEL = 3
    BIRTH = 4
    CAME = 5
    RING = 6
    OUTAGE = 7
    """One more than the outage that has taken an earlier part of the frame, or 0."""
    RATE = 8
    LINE = 9
    """Row of `Network.line_time` of that rate, with which the part on the wire was begun."""
    LOSS = 10
    """Row of `Parts.loss` then, or -1."""


@columns
class PositionLaw(IntEnum):
    """Columns of `Parts.position`."""

    RING = 0
    METER = 1
    SHAPER = 2
    GROUP = 3


@columns
class Cause(IntEnum):
    """Columns of `Parts.dropped`."""

    POLICED = 0
    RESIDENCE = 1
    LINK = 2
    ON_CUT_LINK = 3
    SENT_AND_DOWN = 4
    """By a node that is down, after a port has sent the frame."""
    IN_NODE_DOWN = 5
    """Before."""


# Where a thing is that is broken, seen from a port.
IN_OWN_NODE, ON_THE_LINE, IN_NEXT_NODE = 0, 1, 2


@columns
class OutageState(IntEnum):
    """Columns of `Parts.outage`."""

    FROM = 0
    UNTIL = 1
    PLACE = 2
    EVENT = 3
    NEXT = 4
    """Row after those of this event at this place; they do not overlap, and are in order of
    time."""


@columns
class MeterState(IntEnum):
    """Columns of `Parts.meter`; levels in 1e-12 bits, and frames by their colours."""

    RATE = 0
    FULL = 1
    LEVEL = 2
    EXCESS_RATE = 3
    EXCESS_FULL = 4
    """0 of a meter of one rate."""
    EXCESS_LEVEL = 5
    TIME = 6
    GREEN = 7
    YELLOW = 8
    RED = 9


@columns
class Shaper(IntEnum):
    """Columns of `Parts.shaper`."""

    RATE = 0
    FILL = 1
    """Time from empty to full."""
    RESIDENCE = 2
    """The longest."""
    EMPTY_AT = 3
    """Time when the bucket is empty."""


@columns
class SourceTable(IntEnum):
    """Columns of `Parts.source_state`."""

    TABLE_FIRST = 0
    TABLE_COUNT = 1
    STEP = 2
    ROUND = 3
    NUMBER = 4
    NUMBERED = 5
    CLOCK = 6


@columns
class RecoveryState(IntEnum):
    """Columns of `Parts.recovery`."""

    NEWEST = 0
    TAKE_ANY = 1
    ACCEPTED_AT = 2
    PASSED = 3
    DISCARDED = 4
    DISORDERED = 5
    ROGUE = 6
    RESETS = 7
    LENGTH = 8
    PATIENCE = 9


class Leaving(NamedTuple):
    """A frame that leaves a port."""

    came: int
    started: int
    """First bit out."""
    leaves: int
    """Last bit out."""
    birth: int
    label: int
    left_in: int
    """The cycle in which it does."""
    loss_row: int
    """Row of `Parts.loss` when its last part was begun, or -1."""


class Moment(NamedTuple):
    """A time, and where a port's gate list is then by its node's clock."""

    now: int
    shown: int
    entry: int
    begin: int
    """What is shown at the entry's begin."""


class Gates(NamedTuple):
    """The gates of one port."""

    law: Ints
    """Its row of `Parts.port`."""
    errors: Ints
    block: int
    """Errors of its clock, known at multiples of a block."""
    end: Ints
    change: Ints
    open: Ints
    """As in `Parts`."""
    is_gated: bool


class Rings(NamedTuple):
    """Queues of general ports, with their laws and states; and the line time of one port."""

    ring: Ints
    cells: Ints
    law: Ints
    state: Ints
    line_time: Ints


class Parts(NamedTuple):
    """What general ports know beyond the plain world; rings are numbered as in `Queues`."""

    port: Ints
    ring: Ints
    ring_state: Ints
    position: Ints
    fork: Ints
    """[position]: the next that a copy of a frame leaves from when it leaves from here, or -1."""
    dropped: Ints
    """[position, cause]."""
    outage: Ints
    """[row]: what takes frames that leave a port, or are in its node, from when to before when, by
    the times of leaving the port; of which event. Those of one port are in the order in which a
    frame comes to them."""
    broken: Ints
    """[position, event]: frames that it took there, of the events before the run's end."""
    wire: Ints
    gate_end: Ints
    """[entry]: when it ends, from the start of the gate cycle; the last one ends the cycle."""
    gate_change: Ints
    """[entry, 2 * gate]: how long after the entry's begin the gate closes, 0 where it is closed;
    and in the next column, how long after it the gate opens, 0 where it is open. Gate 8 is open
    where preemptable frames are held."""
    gate_open: Ints
    """[entry, gate]: how long the gate has been open when the entry ends, in this gate cycle."""
    meter: Ints
    shaper: Ints
    group: Ints
    """[group of shapers]: latest eligibility time."""
    loss: Ints
    """[row, frame bytes]: draws of 63 bits below this lose the frame."""
    loss_dice: Ints
    head: Ints
    """[lane]: time from a frame's begin until enough of it is in to send it on, or 0: all of it."""
    source_state: Ints
    timetable: Ints
    recovery: Ints
    remembered: Ints
    """[recovery point, history]: flags, at sequence number modulo history."""
