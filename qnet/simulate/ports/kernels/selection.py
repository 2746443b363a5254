"""Transmission selection: which queue of a general port sends next (IEEE 802.1Q clause 8.6.8)."""

from __future__ import annotations

from qnet.kernel import inline_kernel
from qnet.simulate.ports.kernels.credit import credit_wait
from qnet.simulate.ports.kernels.cyclic import choose_cyclic
from qnet.simulate.ports.kernels.gates import (
    entry_at,
    gate_ready,
    hold_state,
    open_time,
    shown_by,
    when_shown_by,
)
from qnet.simulate.ports.kernels.weights import take_turns
from qnet.simulate.ports.parts import Gates, Moment, PortLaw, RingLaw, Rings, RingState
from qnet.simulate.world import NEVER, Frame, Network, Ring


@inline_kernel
def look_at_clock(now: int, is_busy: bool, gates: Gates) -> tuple[Moment, bool, int]:
    """Return where the gate list is, whether the MAC is held, and until when; NEVER without gates.

    A port that has nothing to do, or no list and no cycles, does not look.
    """
    law, held, wake, shown, entry, begin = gates.law, False, NEVER, 0, 0, 0
    if is_busy and (gates.is_gated or law[PortLaw.FIRST] < law[PortLaw.QUEUES]):
        shown = shown_by(now, law, gates.errors, gates.block)
    if is_busy and gates.is_gated:
        entry, begin = entry_at(shown, law, gates.end)
    if is_busy and law[PortLaw.HOLD_ADVANCE] > 0:
        held, wake = hold_state(now, entry, begin, law, gates.errors, gates.block, gates.change)
    return Moment(now, shown, entry, begin), held, wake


@inline_kernel
def choose(first: int, last: int, at: Moment, gates: Gates, rings: Rings) -> tuple[int, int]:
    """Return the ring to send from now, or -1; and then a time to ask again (or NEVER).

    Strict priority among groups of rings (clause 8.6.8.1), turns within a group.
    """
    now, shown, entry, begin = at
    port_law, errors, block = gates.law, gates.errors, gates.block
    ring, cells, law, state = rings.ring, rings.cells, rings.law, rings.state
    wake = NEVER
    here = first
    while here < last:
        group_last = law[here, RingLaw.GROUP_LAST]
        found = -1
        for one in range(here, group_last):
            if ring[one, Ring.COUNT] == 0:
                continue
            place = ring[one, Ring.BASE] + (ring[one, Ring.FRONT] & ring[one, Ring.MASK])
            ready, bit = max(cells[place, Frame.CYCLE], now), law[one, RingLaw.BIT]
            if law[one, RingLaw.IDLE] > 0:
                opened = now
                if gates.is_gated:
                    opened = open_time(
                        shown, bit, entry, begin, port_law, gates.end, gates.change, gates.open
                    )
                wait = credit_wait(one, now, opened, law, state)
                if gates.is_gated and wait > 0:
                    # No sooner than this; a gate that closes meanwhile makes it later.
                    ready = max(ready, when_shown_by(shown + wait, port_law, errors, block))
                else:
                    ready = max(ready, now + wait)
            if gates.is_gated and (ready == now or law[one, RingLaw.IDLE] > 0):
                line = rings.line_time[cells[place, Frame.LABEL] & 0xFFFF]
                opens = gate_ready(
                    now, line, bit, shown, entry, begin, port_law, errors, block, gates.change
                )
                ready = max(ready, opens)
            state[one, RingState.READY] = ready
            if ready <= now:
                found = one
            wake = min(wake, ready)
        if found >= 0:
            if law[found, RingLaw.WEIGHT] > 0:
                found = take_turns(here, group_last, now, ring, cells, law, state)
            return found, now
        here = group_last
    return -1, wake


@inline_kernel
def choose_next(
    at: Moment, wake: int, waiting: int, last: int, network: Network, gates: Gates, rings: Rings
) -> tuple[int, int]:
    """Return the ring before `last` to send from now, or -1; and when to ask again."""
    chosen = -1
    first_queue = gates.law[PortLaw.QUEUES]
    if waiting > 0 and gates.law[PortLaw.FIRST] < first_queue:
        chosen, ready = choose_cyclic(at, network.cycle, network.cycle_buffers, gates, rings)
        wake = min(wake, ready)
    if waiting > 0 and chosen < 0:
        chosen, ready = choose(first_queue, last, at, gates, rings)
        wake = min(wake, ready)
    return chosen, wake
