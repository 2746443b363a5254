"""The tables of the link emulator: wires, frames in hand, messages; and what their columns mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]


# The trailer: magic, version, kind of frame, virtual time, slot, turn of the slot.
TRAILER_BYTES = 24
FREE_SLOT = 0xFFFFFFFF

# Columns of `Wires.end`.
KIND, PORT, PEER, INTERFACE = 0, 1, 2, 3
SWITCH_END, EDGE_END, HOST_END = 0, 1, 2
"""Ends at a switch's side of a link, at its side of a host's wire, and at the host's side."""

# Columns of `Wires.probe`, one row per source.
EVERY, ENTRY, EXIT, TEMPLATE, TEMPLATES, REPLICA, MEMBER_STREAM, MADE = range(8)
PATH, TAGGED, TAG_AHEAD, LATE, ALTERNATE = range(8, 13)

# Columns of `Wires.ways`.
WAY_LABEL, WAY_PORT, WAY_POSITION = range(3)

# Columns of `Wires.pattern`.
PATTERN_BYTES, PATTERN_FRAME, PATTERN_TAG = 0, 1, 2
STAMP = 42
"""Where a template has room for its source and number: behind Ethernet, IPv4 and UDP headers."""

# Columns of `Pool.slot`.
STATE, BYTES_HELD, VIRTUAL, OWNER, HOP, TURN, BORN, FRAME, TARGET, IN_LANE, COUNTER = range(11)
EXPECTED, SEQUENCE, REPLICA_SLOT, RELEASED, BASE = range(11, 16)
UNUSED, WAITING, AWAY, QUEUED, LEAVING = 0, 1, 2, 3, 4
"""Not in use; to be put into a switch; in a switch; in the kernel; on the way to its listener."""

# Entries of `Pool.counts`.
FREE_COUNT, LIVE_COUNT, HEAP_COUNT, RECORD_COUNT, FAULT_COUNT, CAPTURE_BYTES = range(6)
COMPLETE, SERVED, PUT_IN, CAME_OUT, VIOLATIONS, STALE, STRAYS, WRONG_TAGS = range(6, 14)
FREE_FRAMES, FREE_LATE, NO_SLOT, DROPPED_FREE, CUT, SENT_ERRORS, DELIVERED = range(14, 21)
MARGIN_LEAST, TIME_NOW, TO_HOSTS, MADE_REAL, BUSY_LONGEST, HELD_NS, HOLDS, WAITED_NS = range(21, 29)
BUSY_NS, AWAITED, REROUTED, LOSS_COUNT, ELIMINATED, FOLLOWED = range(29, 35)

# Columns of `Pool.record` and of `Pool.fault`.
RECORD_OWNER, RECORD_SEQUENCE, RECORD_BORN, RECORD_TIME, RECORD_BYTES, RECORD_AT = range(6)
RECORD_WALL, RECORD_END = 6, 7
FAULT_KIND, FAULT_OWNER, FAULT_PORT, FAULT_FOUND, FAULT_WANTED, FAULT_TIME = range(6)
LATE_OR_LOST, WRONG_PORT, WRONG_TAG, CUT_OFF, WRONG_LABEL = range(5)

# Columns of `Pool.loss`. The causes are these, and those of `Parts.dropped` from 1 on.
LOSS_OWNER, LOSS_SEQUENCE, LOSS_PORT, LOSS_CAUSE = range(4)
NO_QUEUE_ROOM, WIRE_CUT, PORT_DOWN = 0, -1, -2

# Rows of `Pool.histogram`: nanoseconds of wall time, counted as thousands of picoseconds.
INSIDE, MARGIN = 0, 1

# Entries of `Wires.law`.
ORIGIN_NS, DILATION, LAG_NS, LEAD, BASE_POSITION, BASE_OWNER, SOCKET, MEETING_LAG_PS = range(8)
FREE_RUN, SPIN_NS, BUFFERS, STRIDE, END_PS, BATCH, WINDOW_PS, PATIENCE_NS = range(8, 16)
SKIPS, RING_WORDS, STOP_PS, TURN_PS = range(16, 20)
"""The last two are the virtual times up to which ports are served, and sources send, before the
interpreter does what happens then."""

HOLD_LEAST_NS = 200_000
"""What virtual time is held back by is counted from here on; less is the loop's own round."""

HOLD_ROUND_NS = 500_000
"""How often a held frame is looked for, at least."""

RUNNING, FINISHED, NO_ROOM, RECORDS_FULL, AT_STOP, AT_TURN = range(6)


class Wires(NamedTuple):
    """What does not change while the emulator runs."""

    law: Ints
    end: Ints
    """[end]: kind, egress port or -1, end of the other side of an edge or -1, interface."""
    end_of: Ints
    """[interface]: its end, or -1."""
    into: Ints
    """[port]: end by which frames of the port enter the next switch, or -1: not emulated."""
    out_first: Ints
    out_lane: Ints
    """[port]: the lanes out of port p are out_lane[out_first[p]:out_first[p + 1]]."""
    edge_lane: Ints
    """[port]: the lane for frames that come from no port."""
    port_of: Ints
    """[position]: the port of the position."""
    order: Ints
    """Ports to serve."""
    eliminations: Ints
    """Points of recovery, in the numbers that follow those of the ports."""
    probe: Ints
    ways: Ints
    """Every hop of the sources that have probes: label, port and position."""
    pattern: Ints
    """[template]: its bytes, the frame bytes and the cycle tag for which it is used (-1: any)."""
    template: Bytes
    rank_of: Ints
    """[priority code point]: rank of a free frame."""
    down: Ints
    """[port]: from and until when the wire is cut, in virtual time."""
    dark: Ints
    """[port]: since when its device is down, by an event, in virtual time; NEVER while it is up."""
    ring_of: Ints
    """[port, rank]: ring of a free frame at a general port."""
    general: Ints
    """`Parts.position`; without general ports it has no rows, and neither have the next two."""
    dropped: Ints
    timer: Ints
    """`Parts.source_state`."""
    timetable: Ints


class Pool(NamedTuple):
    """Frames in hand, and what has been noted about them."""

    slot: Ints
    frames: Bytes
    free: Ints
    live: Ints
    place: Ints
    """[slot]: its place in `live`."""
    heap: Ints
    """Frames to put into a switch: wall time and slot, earliest on top."""
    scanned: Ints
    """[lane]: rows looked at."""
    sequences: Ints
    """[owner, sequence % 1024]: slot of a frame whose copy goes another way."""
    counts: Ints
    record: Ints
    capture: Bytes
    fault: Ints
    loss: Ints
    """Frames that a port dropped or a link lost, and why."""
    histogram: Ints


class Messages(NamedTuple):
    """Memory shared with the kernel: its ring of received frames, message headers for sendmmsg."""

    ring: Bytes
    """Places of one length: header, link-layer address, frame (linux/if_packet.h)."""
    words: Ints
    """The same memory."""
    turn: Ints
    """One number: the place to be looked at next."""
    sent: Ints
    sent_vector: Ints
    addresses: Bytes
    """[end]: link-layer address of its interface."""
    places: Ints
    """Where `frames` and `addresses` are in memory."""
    poll: Ints
    clock: Ints
    sending: Ints
    """[message]: its slot."""


@inline_kernel
def wall_of(virtual: int, law: Ints) -> int:
    """Return the wall time of a virtual time."""
    return law[ORIGIN_NS] + virtual * law[DILATION] // 1000


@inline_kernel
def virtual_of(wall_ns: int, law: Ints) -> int:
    """Return the virtual time of a wall time."""
    return (wall_ns - law[ORIGIN_NS]) * 1000 // law[DILATION]
