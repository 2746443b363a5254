"""The general port: small parts, each one rule of IEEE 802.1Q, 802.1CB or 802.3, and their loop.

A frame comes in: `emit` or a lane brings it, `meter` may drop it, `shape` may delay it, then it
joins its ring. Whenever the wire is free, `choose` asks the rings from the highest class down when
the first frame of each may go: at the latest time that eligibility (`shape`), credit and gate say.
Among rings of one priority with weights, `take_turns` decides. Preemptable frames go while the port
is not held (`hold_state`), and are cut by what is express (`cut_after`). What leaves may be lost on
the link (`is_lost`). `serve_port` puts the parts together; where none is in use it gives the same
bytes as `qnet.simulate.kernels.serve`. `recover` stands at a listener and passes on first copies.

The parts take plain arrays. Those that every frame meets are copied into the server: handing over
an array costs some seven words for each call.

Frames are rows as in `qnet.simulate.kernels`. In the queues of a general port the column CYCLE
holds the time from when the frame may go. A label is
`number << 48 | position << 16 | frame bytes`; the number is a frame's sequence number (IEEE 802.1CB
clause 7.4.1) where copies are told apart. FOLLOWED may be set beside it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.clocks.kernels import error_at, when_shown
from qnet.simulate.kernels import (
    ARRIVAL,
    BASE,
    BIRTH,
    BYTES,
    COUNT,
    CYCLE,
    DEEPEST,
    DONE,
    DROPPED,
    DUPLICATE,
    FOLLOWED,
    FRAMES,
    FREE_AT,
    FRONT,
    GAP,
    GAP_BYTES,
    HEAD,
    HOLD,
    KIND,
    LABEL,
    LANE,
    LAST_ARRIVAL,
    LEFT,
    LINK_LOST,
    MASK,
    NEVER,
    NEXT,
    NEXT_CYCLE,
    NEXT_TIME,
    NO_ROOM,
    NOTED,
    PACKETS,
    PASSED_ON,
    POSITIONS,
    QUEUE_FULL,
    RED,
    REFUSED,
    ROGUE_NUMBER,
    SENT,
    SENT_BYTES,
    SOURCE,
    START,
    STAYED,
    STEADY,
    TIME,
    TRACE_FULL,
    WAKE,
    WIRE_BYTES,
    Counts,
    Lanes,
    Network,
    Queues,
    Routes,
    Sources,
    Tally,
    Trace,
    advance,
    damper_due,
    deliver,
    draw,
    draw_size,
    earliest,
    end_following,
    follow,
    hand_on,
    is_nearly_full,
    next_arrival,
    note_counts,
    note_ends,
    pass_damper,
    room_ahead,
    serve,
    settle,
    wake_at,
    write_down,
)

Ints = NDArray[np.int64]

WHOLE = 0x7FFFFFFFFFFF
"""A label without its sequence number, and without FOLLOWED."""

NUMBERS = 0x10000

TIMED = 3
"""A further kind of source: it follows a table of times by its node's own clock."""

BYTE_PS = 8 * 10**12
"""Bytes times this, divided by bit/s, are picoseconds; bit/s times ps are 1e-12 bits."""

QUANTUM = 1538
"""Bytes on the wire that a weight of 1 is good for in each round."""

# Kinds of port.
PLAIN, GENERAL, RECOVERY = 0, 1, 2

# Columns of `Parts.port`: rings from FIRST are the cycle buffers, those from QUEUES to LAST the
# queues in falling priority, those before PREEMPTABLE express.
WHAT, FIRST, QUEUES, PREEMPTABLE, LAST, BY_ARRIVAL, GATE_FIRST, GATE_LAST, FIXED, LOSS, RATE = (
    range(11)
)
PHASE, HOLD_ADVANCE = 11, 12
"""When the node's clock shows 0; how long before an entry that holds the MAC it is told so."""

HELD_GATE = 8
"""Stands in gate tables for the time that preemptable frames are held."""

# Columns of `Parts.ring`.
BIT, GROUP_LAST, WEIGHT, IDLE, LINE, SORTED = range(6)

# Columns of `Parts.ring_state`; TURN and GRANTED count in the first ring of a group.
CREDIT, CREDIT_AT, DEFICIT, TURN, GRANTED, READY, OPEN_AT = range(7)

CREDIT_MOST = 1 << 62
"""Credit beyond this would come near the end of 64 bits."""

# Columns of `Parts.wire`: a preemptable frame that is being sent (SENDING) or has been cut (CUT).
WIRE_IS, BEGUN, REST, W_LABEL, W_BIRTH, W_CAME, W_RING = range(7)
NOTHING, SENDING, CUT = 0, 1, 2

AT_LISTENER = -2
"""In place of a ring: the position is a point of recovery."""

# Columns of `Parts.position`.
RING, METER, SHAPER, GROUP = range(4)

# Columns of `Parts.dropped`.
POLICED, RESIDENCE, LINK = range(3)


# Columns of `Parts.source_state`.
TABLE_FIRST, TABLE_COUNT, STEP, ROUND, NUMBER, NUMBERED, CLOCK = range(7)

# Columns of `Parts.recovery`.
NEWEST, TAKE_ANY, ACCEPTED_AT, PASSED, DISCARDED, DISORDERED, ROGUE, RESETS, LENGTH, PATIENCE = (
    range(10)
)

FRAGMENT_LEAST = 60
"""Least bytes of a frame in a fragment; its check makes them 64 (IEEE 802.3 clause 99.4.4)."""

REST_LEAST = 64
"""Least bytes of a frame, its check included, that must be left to cut it."""


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
    """[meter]: rate, full level, level, time; levels in 1e-12 bits."""
    shaper: Ints
    """[shaper]: rate, time from empty to full, longest residence, time when the bucket is empty."""
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


@inline_kernel
def shown_by(now: int, law: Ints, errors: Ints, block: int) -> int:
    """Return what the clock of a port's node shows, counted from the begin of its lists."""
    return now - law[PHASE] - error_at(now, errors, block)


@bare_kernel
def when_shown_by(shown: int, law: Ints, errors: Ints, block: int) -> int:
    """Return the first time at which it shows so much."""
    return when_shown(law[PHASE] + shown, errors, block)


@inline_kernel
def entry_at(shown: int, law: Ints, gate_end: Ints) -> tuple[int, int]:
    """Return the entry of a port's gate list that is in force, and what was shown at its begin."""
    first, low, high = law[GATE_FIRST], law[GATE_FIRST], law[GATE_LAST] - 1
    into = shown % gate_end[high]
    while low < high:
        middle = (low + high) >> 1
        if gate_end[middle] <= into:
            low = middle + 1
        else:
            high = middle
    return low, shown - into + (gate_end[low - 1] if low > first else 0)


@inline_kernel
def gate_ready(now: int, line: int, bit: int, shown: int, entry: int, begin: int, law: Ints,
               errors: Ints, block: int, gate_change: Ints) -> int:  # fmt: skip
    """Return `now` if a frame of a queue may begin, else a time to ask again.

    IEEE 802.1Q clause 8.6.8.4: the gate is open, and not enough time is left for the frame where
    the gate closes before its end. With `fixed` guards a frame may begin while its gate is open:
    the gate control list itself closes the gate soon enough for the longest frame.
    """
    closes = gate_change[entry, 2 * bit]
    if closes == 0:
        opens = begin + gate_change[entry, 2 * bit + 1]
        return when_shown_by(opens, law, errors, block)
    # No clock goes twice as fast as time: most frames need not know when the gate closes.
    if law[FIXED] > 0 or begin + closes - shown > 2 * line:
        return now
    closed = when_shown_by(begin + closes, law, errors, block)
    return now if now + line <= closed else closed


@bare_kernel
def hold_state(now: int, entry: int, begin: int, law: Ints, errors: Ints, block: int,
               gate_change: Ints) -> tuple[bool, int]:  # fmt: skip
    """Say whether preemptable frames are held, and a time before which that does not change.

    IEEE 802.1Q clauses 8.6.8 and 8.6.8.4: an entry that holds the MAC is announced to it so long
    before its begin that no preemptable frame is on the wire then (holdAdvance, 12.30.1), and it is
    released when the next entry does not.
    """
    ends = gate_change[entry, 2 * HELD_GATE]
    if ends > 0:
        return True, when_shown_by(begin + ends, law, errors, block)
    begins = gate_change[entry, 2 * HELD_GATE + 1]
    holds = when_shown_by(begin + begins, law, errors, block)
    if now + law[HOLD_ADVANCE] >= holds:
        return True, holds
    return False, holds - law[HOLD_ADVANCE]


@inline_kernel
def open_time(shown: int, bit: int, entry: int, begin: int, law: Ints, gate_end: Ints,
              gate_change: Ints, gate_open: Ints) -> int:  # fmt: skip
    """Return for how long a queue's gate has been open, by its clock, since that showed 0."""
    first, last = law[GATE_FIRST], law[GATE_LAST]
    passed = shown // gate_end[last - 1] * gate_open[last - 1, bit]
    if entry > first:
        passed += gate_open[entry - 1, bit]
    if gate_change[entry, 2 * bit] > 0:
        passed += shown - begin
    return passed


@bare_kernel
def open_by(time: int, bit: int, law: Ints, errors: Ints, block: int, gate_end: Ints,
            gate_change: Ints, gate_open: Ints) -> int:  # fmt: skip
    """Return for how long a queue's gate has been open at a time; all the time without gates."""
    if law[GATE_FIRST] == law[GATE_LAST]:
        return time
    shown = shown_by(time, law, errors, block)
    entry, begin = entry_at(shown, law, gate_end)
    return open_time(shown, bit, entry, begin, law, gate_end, gate_change, gate_open)


@inline_kernel
def credit_wait(ring: int, now: int, opened: int, law: Ints, state: Ints) -> int:
    """Return for how long the queue's gate must be open until its credit is not negative.

    IEEE 802.1Q clause 8.6.8.2. `opened` is for how long it has been open, without gates the time
    itself: credit grows meanwhile, while frames wait. Credits are exact: in units in which idle
    slope and port rate are whole numbers (IDLE and LINE) per picosecond.
    """
    credit = state[ring, CREDIT]
    if credit >= 0:
        return 0
    wait = -(credit // law[ring, IDLE])
    if now > state[ring, CREDIT_AT]:
        wait = max(wait - (opened - state[ring, OPEN_AT]), 0)
    return wait


@bare_kernel
def first_in(ring: int, arrival: int, opened: int, law: Ints, state: Ints) -> None:
    """Settle the credit of an empty queue when a frame joins it.

    While it was empty, and its last frame off the wire, a credit above zero was taken away and one
    below zero grew to zero at most (clause 8.6.8.2).
    """
    if arrival > state[ring, CREDIT_AT]:
        credit, grown = state[ring, CREDIT], opened - state[ring, OPEN_AT]
        if credit >= 0 or grown >= -(credit // law[ring, IDLE]):
            state[ring, CREDIT] = 0
        else:
            state[ring, CREDIT] = credit + grown * law[ring, IDLE]
        state[ring, CREDIT_AT], state[ring, OPEN_AT] = arrival, opened


@bare_kernel
def spend(ring: int, now: int, opened: int, line: int, law: Ints, state: Ints) -> None:
    """Lower the credit at the send slope, idle slope minus port rate, while a frame is sent.

    When it has been sent, OPEN_AT is to be set to what the gate has been open by then. No credit
    grows beyond CREDIT_MOST, which at 1 Gb/s is milliseconds of sending without a pause.
    """
    if now > state[ring, CREDIT_AT]:
        credit, grown = state[ring, CREDIT], opened - state[ring, OPEN_AT]
        if grown > (CREDIT_MOST - credit) // law[ring, IDLE]:
            state[ring, CREDIT] = CREDIT_MOST
        else:
            state[ring, CREDIT] = credit + grown * law[ring, IDLE]
    state[ring, CREDIT] += line * (law[ring, IDLE] - law[ring, LINE])
    state[ring, CREDIT_AT] = now + line


@bare_kernel
def take_turns(first: int, last: int, now: int, ring: Ints, cells: Ints, law: Ints,
               state: Ints) -> int:  # fmt: skip
    """Choose among rings of one priority by deficit round robin (Shreedhar and Varghese, 1996).

    Each visit adds WEIGHT quanta to the ring's deficit, which its frames are paid from; what is
    left stays for the next round unless the ring has run empty (`pay`). At least one ring is ready.
    """
    turn = state[first, TURN]
    while True:
        here = first + turn
        if ring[here, COUNT] > 0 and state[here, READY] <= now:
            if state[first, GRANTED] == 0:
                state[here, DEFICIT] += law[here, WEIGHT] * QUANTUM
                state[first, GRANTED] = 1
            place = ring[here, BASE] + (ring[here, FRONT] & ring[here, MASK])
            if (cells[place, LABEL] & 0xFFFF) + 20 <= state[here, DEFICIT]:
                return here
        turn += 1
        if first + turn == last:
            turn = 0
        state[first, TURN] = turn
        state[first, GRANTED] = 0


@bare_kernel
def pay(chosen: int, queues: int, frame_bytes: int, ring: Ints, law: Ints,
        state: Ints) -> None:  # fmt: skip
    """Take a frame from its ring's deficit; an empty ring keeps none and gives up its turn."""
    state[chosen, DEFICIT] -= frame_bytes + 20
    if ring[chosen, COUNT] == 0:
        state[chosen, DEFICIT] = 0
        first = chosen
        while first > queues and law[first - 1, GROUP_LAST] == law[chosen, GROUP_LAST]:
            first -= 1
        state[first, GRANTED] = 0
        state[first, TURN] += 1
        if first + state[first, TURN] == law[chosen, GROUP_LAST]:
            state[first, TURN] = 0


@bare_kernel
def meter(row: int, arrival: int, frame_bytes: int, meters: Ints) -> bool:
    """Say whether a frame conforms to its committed rate and burst; if so, take its tokens.

    IEEE 802.1Q clause 8.6.5.5 with the token bucket of MEF 10.3, one rate, two colours. Bytes are
    those of the frame with preamble and gap.
    """
    rate = meters[row, 0]
    room = meters[row, 1] - meters[row, 2]
    waited = arrival - meters[row, 3]
    if waited >= (room + rate - 1) // rate:
        meters[row, 2] = meters[row, 1]
    else:
        meters[row, 2] += waited * rate
    meters[row, 3] = arrival
    cost = (frame_bytes + 20) * BYTE_PS
    if cost > meters[row, 2]:
        return False
    meters[row, 2] -= cost
    return True


@bare_kernel
def shape(row: int, group: int, arrival: int, frame_bytes: int, shapers: Ints,
          groups: Ints) -> int:  # fmt: skip
    """Return the eligibility time of a frame, or -1 where it would stay too long.

    IEEE 802.1Q clause 8.6.11.3, its pseudo-code: a token bucket per stream, first in first out over
    all streams of a group (frames of one class that came by the same way). Bytes are those of the
    frame with preamble and gap.
    """
    rate = shapers[row, 0]
    recovery = ((frame_bytes + 20) * BYTE_PS + rate - 1) // rate
    tokens_at = shapers[row, 3] + recovery
    full_at = shapers[row, 3] + shapers[row, 1]
    eligible = max(arrival, groups[group], tokens_at)
    if eligible > arrival + shapers[row, 2]:
        return -1
    groups[group] = eligible
    shapers[row, 3] = tokens_at if eligible < full_at else tokens_at + eligible - full_at
    return eligible


@bare_kernel
def is_lost(port: int, row: int, frame_bytes: int, loss: Ints, dice: Ints) -> bool:
    """Draw whether a frame is lost or damaged on the way; the next node's check drops it."""
    high = draw(dice, port, 0) >> 1
    return (high << 32 | draw(dice, port, 0)) < loss[row, frame_bytes]


@bare_kernel
def cut_after(waited: int, rest: int, rate: int) -> int:
    """Return after how many of `rest` bytes a frame is cut, 0 where it is not (IEEE 802.3 99.4).

    `waited` is the time from the begin of this fragment's preamble to the express frame. A fragment
    has 60 bytes and a check of 4 at least, and so has what is left. At 1 Gb/s a frame of 1518 bytes
    that meets an express frame 4 us after its begin is cut after 492 bytes.
    """
    sent = max((waited * rate + BYTE_PS - 1) // BYTE_PS - 8, FRAGMENT_LEAST)
    return sent if rest - sent >= REST_LEAST else 0


@bare_kernel
def whole_after(rest: int, rate: int) -> int:
    """Return the least time from the begin of a fragment after which `rest` bytes are never cut."""
    if rest < FRAGMENT_LEAST + REST_LEAST:
        return 0
    return (rest - REST_LEAST + 8) * BYTE_PS // rate + 1


@inline_kernel
def put(here: int, came: int, birth: int, label: int, turn: int, ring: Ints, cells: Ints,
        is_sorted: bool) -> None:  # fmt: skip
    """Append a frame to its ring; before those that may go later where the ring is sorted."""
    base, front, mask = ring[here, BASE], ring[here, FRONT], ring[here, MASK]
    at = ring[here, COUNT]
    while is_sorted and at > 0:
        before = base + ((front + at - 1) & mask)
        if cells[before, CYCLE] <= turn:
            break
        place = base + ((front + at) & mask)
        for column in range(4):
            cells[place, column] = cells[before, column]
        at -= 1
    place = base + ((front + at) & mask)
    cells[place, ARRIVAL] = came
    cells[place, BIRTH] = birth
    cells[place, LABEL] = label
    cells[place, CYCLE] = turn
    ring[here, COUNT] += 1


@inline_kernel
def refuse(port: int, came: int, held: int, birth: int, label: int, turn: int, fate: int,
           owners: Ints, followed: Ints, fates: Ints, trace: Trace | None) -> None:  # fmt: skip
    """Note what became of a frame that was dropped when it came, and write it down."""
    owner = owners[(label >> 16) & POSITIONS]
    if label & FOLLOWED:
        end_following(owner, birth, label, fate, followed, fates)
    if trace is not None:
        write_down(port, owner, came, REFUSED, held, 0, birth, label, turn, fate, trace)


@inline_kernel
def choose(first: int, last: int, now: int, shown: int, entry: int, begin: int, port_law: Ints,
           errors: Ints, block: int, ring: Ints, cells: Ints, line_time: Ints, law: Ints,
           state: Ints, gate_end: Ints, gate_change: Ints,
           gate_open: Ints) -> tuple[int, int]:  # fmt: skip
    """Return the ring to send from now, or -1; and then a time to ask again (or NEVER).

    Strict priority among groups of rings (IEEE 802.1Q clause 8.6.8.1), turns within a group.
    """
    gated = port_law[GATE_FIRST] < port_law[GATE_LAST]
    wake = NEVER
    here = first
    while here < last:
        group_last = law[here, GROUP_LAST]
        found = -1
        for one in range(here, group_last):
            if ring[one, COUNT] == 0:
                continue
            place = ring[one, BASE] + (ring[one, FRONT] & ring[one, MASK])
            ready = max(cells[place, CYCLE], now)
            if law[one, IDLE] > 0:
                opened = now
                if gated:
                    opened = open_time(
                        shown, law[one, BIT], entry, begin, port_law, gate_end, gate_change,
                        gate_open,
                    )  # fmt: skip
                wait = credit_wait(one, now, opened, law, state)
                if gated and wait > 0:
                    # No sooner than this; a gate that closes meanwhile makes it later.
                    ready = max(ready, when_shown_by(shown + wait, port_law, errors, block))
                else:
                    ready = max(ready, now + wait)
            if gated and (ready == now or law[one, IDLE] > 0):
                line = line_time[cells[place, LABEL] & 0xFFFF]
                opens = gate_ready(
                    now, line, law[one, BIT], shown, entry, begin, port_law, errors, block,
                    gate_change,
                )  # fmt: skip
                ready = max(ready, opens)
            state[one, READY] = ready
            if ready <= now:
                found = one
            wake = min(wake, ready)
        if found >= 0:
            if law[found, WEIGHT] > 0:
                found = take_turns(here, group_last, now, ring, cells, law, state)
            return found, now
        here = group_last
    return -1, wake


@inline_kernel
def choose_cyclic(now: int, shown: int, entry: int, begin: int, cycle_length: int, buffers: int,
                  port_law: Ints, errors: Ints, block: int, ring: Ints, cells: Ints,
                  line_time: Ints, law: Ints, gate_change: Ints) -> tuple[int, int]:  # fmt: skip
    """Return the cycle buffer to send from now, or -1; and a time to ask again.

    The buffer whose cycle it is, when its first frame ends before the cycle does.
    """
    cycle = shown // cycle_length
    cycle_end = when_shown_by((cycle + 1) * cycle_length, port_law, errors, block)
    here = port_law[FIRST] + cycle % buffers
    if ring[here, COUNT] > 0:
        place = ring[here, BASE] + (ring[here, FRONT] & ring[here, MASK])
        line = line_time[cells[place, LABEL] & 0xFFFF]
        ready = now
        if port_law[GATE_FIRST] < port_law[GATE_LAST]:
            ready = gate_ready(
                now, line, law[here, BIT], shown, entry, begin, port_law, errors, block, gate_change
            )
        if ready > now:
            return -1, min(ready, cycle_end)
        if now + line <= cycle_end:
            return here, now
    return -1, cycle_end


@bare_kernel
def emit_next(source: int, frame_bytes: int, state: Ints, law: Ints, mine: Ints, timetable: Ints,
              clock_error: Ints, block: int) -> None:  # fmt: skip
    """Set the time of a timed source's next frame: the table's, by its node's clock."""
    state[source, SENT] += 1
    state[source, SENT_BYTES] += frame_bytes
    state[source, LEFT] -= 1
    if state[source, LEFT] > 0:
        return
    state[source, LEFT] = law[source, PACKETS]
    mine[source, STEP] += 1
    if mine[source, STEP] == mine[source, TABLE_COUNT]:
        mine[source, STEP] = 0
        mine[source, ROUND] += 1
    due = timetable[mine[source, TABLE_FIRST] + mine[source, STEP]]
    due += mine[source, ROUND] * law[source, GAP]
    state[source, NEXT_TIME] = when_shown(due, clock_error[mine[source, CLOCK]], block)


@bare_kernel
def room_for_copies(position: int, port: int, sender: Ints, lane_mask: Ints, counts: Ints,
                    hop: NDArray[np.int32], fork: Ints) -> int:  # fmt: skip
    """Return DONE when all copies that a port makes of a frame can go on; else what is full."""
    status = DONE
    while position >= 0 and status == DONE:
        status = room_ahead(port, int(hop[position, LANE]), sender, lane_mask, counts)
        position = fork[position]
    return status


@bare_kernel
def send_on(port: int, position: int, came: int, started: int, leaves: int, birth: int, label: int,
            left_in: int, cut_through: bool, network: Network, routes: Routes, lanes: Lanes,
            tally: Tally, trace: Trace | None, parts: Parts) -> None:  # fmt: skip
    """Send a frame over the link: to the next port, the point of recovery or the listener.

    Where the ways of a stream part it goes on as one copy for each. The node has it once: it is
    processed once, and what it was lost for on the way is lost for all.
    """
    frame_bytes, mark = label & 0xFFFF, label >> 47 << 47
    owner = routes.owner[position]
    row = parts.port[port, LOSS]
    if row >= 0 and is_lost(port, row, frame_bytes, parts.loss, parts.loss_dice):
        tally.port[port, DROPPED] += 1
        parts.dropped[position, LINK] += 1
        label = (position << 16) | frame_bytes | mark
        if label & FOLLOWED:
            end_following(owner, birth, label, LINK_LOST, tally.followed, tally.fates)
        if trace is not None:
            write_down(
                port, owner, came, started, leaves, leaves, birth, label, left_in, LINK_LOST, trace
            )
        return
    inner = network.lane_first[network.lane_first.size - 1]
    stay = -1
    copy = position
    while copy >= 0:
        owner = routes.owner[copy]
        label = (copy << 16) | frame_bytes | mark
        turn = left_in + routes.shift[copy]
        target, following = int(routes.hop[copy, LANE]), int(routes.hop[copy, NEXT])
        arrives = leaves + network.propagation[port]
        is_met = target >= 0 and parts.position[following, RING] == AT_LISTENER
        if 0 <= target < inner and not is_met:
            if stay < 0:
                stay = network.processing_low[port]
                if network.processing_span[port] > 1:
                    stay += (draw(tally.port_dice, port, 0) * network.processing_span[port]) >> 32
            arrives += stay
            if parts.head[target] > 0 and cut_through:
                line = network.line_time[network.rate[port], frame_bytes - GAP_BYTES]
                arrives -= max(line - parts.head[target], 0)
        if target < 0:
            arrives = hand_over(
                port, copy, birth, arrives, label, routes.late, routes.owner, routes.damper_clock,
                network.clock_error, network.block, network.steady_from, network.end, tally.port,
                tally.owner, tally.block, tally.bins, tally.birth, tally.followed, tally.fates,
            )  # fmt: skip
        reached = arrives
        if trace is not None and target >= 0:
            reached = max(arrives, lanes.sender[target, LAST_ARRIVAL])
            if is_met and tally.owner[owner, HOLD] >= 0:
                due = damper_due(
                    owner, birth, tally.owner[owner, HOLD], routes.damper_clock,
                    network.clock_error, network.block,
                )  # fmt: skip
                reached = max(reached, due)
        # A frame that leaves a port leaves it once; copies are written down for who follows them.
        if trace is not None and (copy == position or trace.followed[owner] > 0):
            write_down(
                port, owner, came, started, leaves, reached, birth, label, left_in, PASSED_ON, trace
            )
        if target >= 0:
            label = (following << 16) | frame_bytes | mark
            hand_on(
                target, arrives, birth, label, turn, lanes.sender, lanes.base, lanes.mask,
                lanes.cells,
            )  # fmt: skip
        copy = parts.fork[copy]


@bare_kernel
def serve_port(
    port: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
    trace: Trace | None,
    parts: Parts,
) -> int:
    """Serve one general port up to a time; return DONE, or what there was no room in.

    In turns: take in what has arrived; choose a frame; send it. A preemptable frame stays on the
    wire until no more than the least rest of it is to come; only then is it known when it leaves.
    Where there is no room nothing is done, and the next call does it.
    """
    receiver, sender, lane_cells = lanes.receiver, lanes.sender, lanes.cells
    lane_base, lane_mask = lanes.base, lanes.mask
    ring, cells, counts = queues.ring, queues.cells, tally.port
    state, law, heap = sources.state, sources.law, sources.heap
    late, wire, dropped = routes.late, parts.wire, parts.dropped
    ring_law, ring_state, mine = parts.ring, parts.ring_state, parts.source_state
    cycle_length, buffers = network.cycle, network.cycle_buffers
    line_time = network.line_time[network.rate[port]]
    first_lane, last_lane = network.lane_first[port], network.lane_first[port + 1]
    heap_base = sources.first[port]
    heap_size = sources.first[port + 1] - heap_base
    first, first_queue = parts.port[port, FIRST], parts.port[port, QUEUES]
    preemptable, last = parts.port[port, PREEMPTABLE], parts.port[port, LAST]
    port_law = parts.port[port]
    errors, block = network.clock_error[network.clock[port]], network.block
    gate_end, gate_change, gate_open = parts.gate_end, parts.gate_change, parts.gate_open
    gated = port_law[GATE_FIRST] < port_law[GATE_LAST]
    by_clock = gated or first < first_queue

    for lane in range(first_lane, last_lane):
        next_arrival(lane, lane_base, lane_mask, receiver, lane_cells)
    source_time = heap[heap_base, TIME] if heap_size else NEVER
    lane, arrival = earliest(first_lane, last_lane, receiver, source_time)
    now = counts[port, FREE_AT]
    waiting, resume = 0, now
    for one in range(first, last):
        waiting += ring[one, COUNT]
    status = DONE
    while True:
        # Take in what has arrived: where it goes first, and whether there is room.
        while arrival <= now and arrival < until:
            if trace is not None and is_nearly_full(port, trace):
                status = TRACE_FULL
                break
            if lane >= 0:
                place = lane_base[lane] + (receiver[lane, HEAD] & lane_mask[lane])
                birth, label = lane_cells[place, BIRTH], lane_cells[place, LABEL]
                turn = lane_cells[place, CYCLE]
                position = (label >> 16) & POSITIONS
            else:
                source = heap[heap_base, SOURCE]
                position = law[source, START]
                turn = state[source, NEXT_CYCLE]
            here = parts.position[position & POSITIONS, RING]
            is_late = False
            if here < 0:
                came_at = shown_by(arrival, port_law, errors, block)
                present = came_at // cycle_length
                if parts.port[port, BY_ARRIVAL] > 0:
                    # CQF (IEEE 802.1Q annex T): what comes in one cycle leaves in the next.
                    is_late = turn != present + 1
                    turn = present + 1
                else:
                    wait = turn * cycle_length - came_at
                    if wait < 0 or wait > (buffers - 1) * cycle_length:
                        is_late = True
                        turn = present + (turn - present) % buffers
                here = first + turn % buffers
            if ring[here, COUNT] > ring[here, MASK]:
                status = QUEUE_FULL
                break
            came = arrival
            head = 0
            if lane >= 0:
                head = parts.head[lane]
                receiver[lane, HEAD] += 1
                next_arrival(lane, lane_base, lane_mask, receiver, lane_cells)
            else:
                frame_bytes = draw_size(source, state, law, sources.size_bytes, sources.size_limit)
                birth = came
                label = (position << 16) | frame_bytes
                position &= POSITIONS
                if label & FOLLOWED:
                    label = follow(source, birth, label, state, tally.followed, tally.fates)
                elif mine[source, NUMBERED] > 0:
                    number = (mine[source, NUMBER] & 0xFFFF ^ 0x8000) - 0x8000
                    label |= number << 48
                    mine[source, NUMBER] += 1
                if law[source, KIND] == TIMED:
                    emit_next(
                        source, frame_bytes, state, law, mine, parts.timetable,
                        network.clock_error, network.block,
                    )  # fmt: skip
                else:
                    advance(source, frame_bytes, state, law, sources.log_table)
                heap[heap_base, TIME] = state[source, NEXT_TIME]
                settle(heap, heap_base, heap_size)
                source_time = heap[heap_base, TIME]
            lane, arrival = earliest(first_lane, last_lane, receiver, source_time)

            # Meter, shaper and buffer.
            frame_bytes = label & 0xFFFF
            late[position] += is_late
            row = parts.position[position, METER]
            if row >= 0 and not meter(row, came, frame_bytes, parts.meter):
                counts[port, DROPPED] += 1
                dropped[position, POLICED] += 1
                refuse(
                    port, came, ring[here, BYTES], birth, label, turn, RED, routes.owner,
                    tally.followed, tally.fates, trace,
                )  # fmt: skip
                continue
            eligible = came
            row = parts.position[position, SHAPER]
            if row >= 0:
                group = parts.position[position, GROUP]
                eligible = shape(row, group, came, frame_bytes, parts.shaper, parts.group)
                if eligible < 0:
                    counts[port, DROPPED] += 1
                    dropped[position, RESIDENCE] += 1
                    refuse(
                        port, came, ring[here, BYTES], birth, label, turn, STAYED, routes.owner,
                        tally.followed, tally.fates, trace,
                    )  # fmt: skip
                    continue
            depth = ring[here, BYTES] + frame_bytes
            limit = network.buffer_bytes[port] if here >= first_queue else network.cycle_bytes[port]
            if depth > limit:
                counts[port, DROPPED] += 1
                routes.lost[position] += 1
                refuse(
                    port, came, ring[here, BYTES], birth, label, turn, NO_ROOM, routes.owner,
                    tally.followed, tally.fates, trace,
                )  # fmt: skip
                continue
            counts[port, DEEPEST] = max(counts[port, DEEPEST], depth)
            if ring_law[here, IDLE] > 0 and ring[here, COUNT] == 0:
                opened = open_by(
                    came, ring_law[here, BIT], port_law, errors, block, gate_end, gate_change,
                    gate_open,
                )  # fmt: skip
                first_in(here, came, opened, ring_law, ring_state)
            # Cut-through is for an idle port; at a busy one all of the frame is waited for.
            busy = now > came or waiting > 0 or wire[port, WIRE_IS] != NOTHING
            if busy and head > 0 and first_queue <= here < preemptable:
                eligible = max(eligible, came + line_time[frame_bytes - GAP_BYTES] - head)
            ring[here, BYTES] = depth
            if here >= first_queue:
                turn = eligible
            put(here, came, birth, label, turn, ring, cells, ring_law[here, SORTED] > 0)
            waiting += 1
        if status == DONE and trace is not None and is_nearly_full(port, trace):
            status = TRACE_FULL
        if status != DONE or now >= until:
            break

        leaves, free_at, sure = 0, 0, 0
        sending = wire[port, WIRE_IS] == SENDING
        unfinished = wire[port, WIRE_IS] != NOTHING
        chosen, wake, held = -1, NEVER, False
        shown, entry, begin = 0, 0, 0
        busy = waiting > 0 or unfinished
        if busy and by_clock:
            shown = shown_by(now, port_law, errors, block)
        if busy and gated:
            entry, begin = entry_at(shown, port_law, gate_end)
        if busy and port_law[HOLD_ADVANCE] > 0:
            held, wake = hold_state(now, entry, begin, port_law, errors, block, gate_change)
        if waiting > 0 and first < first_queue:
            chosen, ready = choose_cyclic(
                now, shown, entry, begin, cycle_length, buffers, port_law, errors, block, ring,
                cells, line_time, ring_law, gate_change,
            )  # fmt: skip
            wake = min(wake, ready)
        if waiting > 0 and chosen < 0:
            chosen, ready = choose(
                first_queue, preemptable if unfinished or held else last, now, shown, entry,
                begin, port_law, errors, block, ring, cells, line_time, ring_law, ring_state,
                gate_end, gate_change, gate_open,
            )  # fmt: skip
            wake = min(wake, ready)
        if sending:
            # A preemptable frame is on the wire: cut it, or send it on when nothing can cut it now.
            begun, rest = wire[port, BEGUN], wire[port, REST]
            sure = begun + whole_after(rest, port_law[RATE])
            cut = 0
            if chosen >= 0 or held:
                cut = cut_after(now - begun, rest, port_law[RATE])
            if cut > 0:
                wire[port, WIRE_IS] = CUT
                wire[port, REST] = rest - cut
                counts[port, WIRE_BYTES] += cut + 24
                if begun >= network.steady_from:
                    counts[port, STEADY] += cut + 24
                now = resume = begun + line_time[cut + 4]
                continue
            if now < sure:
                resume = min(sure, wake)
                now = min(resume, arrival, until)
                continue
            leaves, now, frame_bytes = begun + line_time[rest - GAP_BYTES], begun, rest
            free_at = begun + line_time[rest]
            chosen = wire[port, W_RING]
            label, birth, turn = wire[port, W_LABEL], wire[port, W_BIRTH], wire[port, W_CAME]
            came = turn
        elif chosen < 0:
            if unfinished and not held:
                wire[port, WIRE_IS], wire[port, BEGUN] = SENDING, now
            else:
                resume = wake
                now = min(arrival, wake, until)
            continue
        else:
            place = ring[chosen, BASE] + (ring[chosen, FRONT] & ring[chosen, MASK])
            label, birth, turn = cells[place, LABEL], cells[place, BIRTH], cells[place, CYCLE]
            came = cells[place, ARRIVAL]
            frame_bytes = label & 0xFFFF
        position = (label >> 16) & POSITIONS
        target = int(routes.hop[position, LANE])
        if sending or chosen < preemptable:
            status = room_ahead(port, target, sender, lane_mask, counts)
            if parts.fork[position] >= 0 and status == DONE:
                status = room_for_copies(
                    parts.fork[position], port, sender, lane_mask, counts, routes.hop, parts.fork
                )
        if status != DONE:
            now = max(now, sure) if sending else now
            break

        if not sending:
            # Take it out of its ring; a preemptable frame has not left before its last bit.
            ring[chosen, FRONT] += 1
            ring[chosen, COUNT] -= 1
            waiting -= 1
            ring[chosen, BYTES] -= frame_bytes
            if ring_law[chosen, IDLE] > 0:
                bit, line = ring_law[chosen, BIT], line_time[frame_bytes]
                opened = open_by(
                    now, bit, port_law, errors, block, gate_end, gate_change, gate_open
                )
                spend(chosen, now, opened, line, ring_law, ring_state)
                ring_state[chosen, OPEN_AT] = open_by(
                    now + line, bit, port_law, errors, block, gate_end, gate_change, gate_open
                )
            if ring_law[chosen, WEIGHT] > 0:
                pay(chosen, first_queue, frame_bytes, ring, ring_law, ring_state)
            if chosen >= preemptable:
                wire[port, WIRE_IS], wire[port, BEGUN], wire[port, REST] = SENDING, now, frame_bytes
                wire[port, W_LABEL], wire[port, W_BIRTH] = label, birth
                wire[port, W_CAME], wire[port, W_RING] = came, chosen
                continue
            if chosen < first_queue:
                cycle = shown // cycle_length
                if cycle != turn:
                    late[position] += 1
                turn = cycle + routes.shift[position]
            leaves, free_at = now + line_time[frame_bytes - GAP_BYTES], now + line_time[frame_bytes]
        else:
            wire[port, WIRE_IS] = NOTHING
        counts[port, FRAMES] += 1
        counts[port, WIRE_BYTES] += frame_bytes + 20
        if now >= network.steady_from:
            counts[port, STEADY] += frame_bytes + 20
        frame_bytes = label & 0xFFFF
        started, now = now, free_at
        resume = now

        cut_through = first_queue <= chosen < preemptable
        left_in = turn - routes.shift[position]
        send_on(
            port, position, came, started, leaves, birth, label, left_in, cut_through, network,
            routes, lanes, tally, trace, parts,
        )  # fmt: skip
    counts[port, FREE_AT] = now
    waiting += wire[port, WIRE_IS] != NOTHING
    counts[port, WAKE] = wake_at(now, resume, waiting, status)
    return status


@bare_kernel
def first_copy(point: int, number: int, now: int, state: Ints, remembered: Ints) -> bool:
    """Say whether a frame is passed on: the vector recovery algorithm, IEEE 802.1CB 7.4.3.4.

    Numbers count modulo 2**16. A number beyond the history is a rogue's. After RESET without a
    frame passed on, any is taken (7.4.3.5).
    """
    length = state[point, LENGTH]
    if state[point, TAKE_ANY] == 0 and now - state[point, ACCEPTED_AT] >= state[point, PATIENCE]:
        state[point, TAKE_ANY] = 1
        state[point, RESETS] += 1
    ahead = (number - state[point, NEWEST] + NUMBERS // 2) % NUMBERS - NUMBERS // 2
    counted = state[point, NEWEST] + ahead
    if state[point, TAKE_ANY] > 0:
        state[point, TAKE_ANY] = 0
        remembered[point, :] = 0
        state[point, NEWEST] = counted
    elif ahead >= length or ahead <= -length:
        state[point, ROGUE] += 1
        state[point, DISCARDED] += 1
        return False
    elif ahead <= 0:
        if remembered[point, counted % length] > 0:
            state[point, DISCARDED] += 1
            return False
        state[point, DISORDERED] += 1
    else:
        if ahead > 1:
            state[point, DISORDERED] += 1
        for step in range(1, ahead):
            remembered[point, (state[point, NEWEST] + step) % length] = 0
        state[point, NEWEST] = counted
    remembered[point, counted % length] = 1
    state[point, ACCEPTED_AT] = now
    state[point, PASSED] += 1
    return True


@inline_kernel
def hand_over(port: int, position: int, birth: int, arrives: int, label: int, late: Ints,
              owners: Ints, damper_clock: Ints, clock_error: Ints, block_length: int,
              steady_from: int, end: int, counts: Ints, rows: Ints, block: NDArray[np.int32],
              bins: Ints, births: Ints, followed: Ints, fates: Ints) -> int:  # fmt: skip
    """Hand a frame to the listener, at once or when its damper's time has come; say when."""
    owner = owners[position]
    arrives = pass_damper(
        position, owner, birth, arrives, rows, late, damper_clock, clock_error, block_length
    )
    deliver(
        port, owner, birth, arrives, label & 0xFFFF, steady_from, end, counts, rows, block, bins,
        births,
    )  # fmt: skip
    if label & FOLLOWED and arrives <= end:
        end_following(owner, birth, label, PASSED_ON, followed, fates)
    return arrives


@bare_kernel
def recover(
    station: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    tally: Tally,
    trace: Trace | None,
    parts: Parts,
) -> int:
    """Merge the copies of a stream's frames at its listener; pass on the first of each.

    What is passed on is handed over, or goes into the lane of its position where that has one.
    """
    receiver, cells, counts = lanes.receiver, lanes.cells, tally.port
    first_lane, last_lane = network.lane_first[station], network.lane_first[station + 1]
    point = parts.port[station, FIRST]
    for lane in range(first_lane, last_lane):
        next_arrival(lane, lanes.base, lanes.mask, receiver, cells)
    lane, arrival = earliest(first_lane, last_lane, receiver, NEVER)
    status = DONE
    while arrival < until:
        place = lanes.base[lane] + (receiver[lane, HEAD] & lanes.mask[lane])
        label, birth, turn = cells[place, LABEL], cells[place, BIRTH], cells[place, CYCLE]
        position = (label >> 16) & POSITIONS
        target = int(routes.hop[position, LANE])
        status = room_ahead(station, target, lanes.sender, lanes.mask, counts)
        if status == DONE and trace is not None and is_nearly_full(station, trace):
            status = TRACE_FULL
        if status != DONE:
            break
        receiver[lane, HEAD] += 1
        next_arrival(lane, lanes.base, lanes.mask, receiver, cells)
        fate, came, owner = PASSED_ON, arrival, routes.owner[position]
        rogue = parts.recovery[point, ROGUE]
        if not first_copy(point, (label >> 48) & 0xFFFF, arrival, parts.recovery, parts.remembered):
            fate = ROGUE_NUMBER if parts.recovery[point, ROGUE] > rogue else DUPLICATE
            if label & FOLLOWED:
                end_following(owner, birth, label, fate, tally.followed, tally.fates)
        elif target >= 0:
            hand_on(
                target, arrival, birth, label, turn, lanes.sender, lanes.base, lanes.mask, cells
            )
        else:
            arrival = hand_over(
                station, position, birth, arrival, label, routes.late, routes.owner,
                routes.damper_clock, network.clock_error, network.block, network.steady_from,
                network.end, counts, tally.owner, tally.block, tally.bins, tally.birth,
                tally.followed, tally.fates,
            )  # fmt: skip
        if trace is not None:
            write_down(station, owner, came, came, came, arrival, birth, label, turn, fate, trace)
        lane, arrival = earliest(first_lane, last_lane, receiver, NEVER)
    return status


@bare_kernel
def serve_any(
    port: int,
    until: int,
    network: Network,
    routes: Routes,
    lanes: Lanes,
    queues: Queues,
    sources: Sources,
    tally: Tally,
    counts: Counts | None,
    trace: Trace | None,
    parts: Parts | None,
) -> int:
    """Serve a port, or a point of recovery, by what it is.

    Without `parts` all ports are plain, and the general server is not even compiled: it takes a
    minute.
    """
    if parts is None:
        return serve(port, until, network, routes, lanes, queues, sources, tally, counts, trace)
    if parts.port[port, WHAT] == PLAIN:
        return serve(port, until, network, routes, lanes, queues, sources, tally, counts, trace)
    if parts.port[port, WHAT] == RECOVERY:
        return recover(port, until, network, routes, lanes, tally, trace, parts)
    if counts is None:
        return serve_port(port, until, network, routes, lanes, queues, sources, tally, trace, parts)
    while True:
        ends = note_ends(tally.port[port, NOTED], counts)
        status = serve_port(
            port, min(until, ends), network, routes, lanes, queues, sources, tally, trace, parts
        )
        if status != DONE or ends > until:
            return status
        note_counts(port, queues, tally, counts)
