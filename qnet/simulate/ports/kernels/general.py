"""The server of general ports: what they have in common, whichever parts are in use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, inline_kernel
from qnet.simulate.kernels.lanes import next_arrival, who_comes
from qnet.simulate.kernels.queues import first_of, wake_at
from qnet.simulate.kernels.records import count_sent, is_nearly_full
from qnet.simulate.ports.kernels.admission import take_in
from qnet.simulate.ports.kernels.credit import spend
from qnet.simulate.ports.kernels.gates import open_by
from qnet.simulate.ports.kernels.preemption import (
    begin_on_wire,
    cut_after,
    preempt,
    put_on_wire,
    take_off_wire,
    whole_after,
)
from qnet.simulate.ports.kernels.selection import choose_next, look_at_clock
from qnet.simulate.ports.kernels.sending import room_for, send_on
from qnet.simulate.ports.kernels.weights import pay
from qnet.simulate.ports.parts import (
    NOTHING,
    SENDING,
    Gates,
    Leaving,
    MPacket,
    Parts,
    PortLaw,
    RingLaw,
    Rings,
    RingState,
)
from qnet.simulate.world import (
    DONE,
    GAP_BYTES,
    POSITIONS,
    TRACE_FULL,
    Arrived,
    PortTally,
    Ring,
    Trace,
    World,
)

Ints = NDArray[np.int64]


@inline_kernel
def bind(port: int, world: World, parts: Parts) -> tuple[Gates, Rings]:
    """Bind what a port's gates and queues are."""
    network, queues, law = world.network, world.queues, parts.port[port]
    gates = Gates(
        law, network.clock_error[network.clock[port]], network.block, parts.gate_end,
        parts.gate_change, parts.gate_open, law[PortLaw.GATE_FIRST] < law[PortLaw.GATE_LAST],
    )  # fmt: skip
    line_time = network.line_time[network.rate[port]]
    return gates, Rings(queues.ring, queues.cells, parts.ring, parts.ring_state, line_time)


@inline_kernel
def take_out(here: int, now: int, frame_bytes: int, gates: Gates, rings: Rings) -> None:
    """Take the first frame out of its ring, to be sent; credit and turns pay for it."""
    ring, law = rings.ring, rings.law
    ring[here, Ring.FRONT] += 1
    ring[here, Ring.COUNT] -= 1
    ring[here, Ring.BYTES] -= frame_bytes
    if law[here, RingLaw.IDLE] > 0:
        bit, line = law[here, RingLaw.BIT], rings.line_time[frame_bytes]
        opened = open_by(
            now, bit, gates.law, gates.errors, gates.block, gates.end, gates.change, gates.open
        )
        spend(here, now, opened, line, law, rings.state)
        rings.state[here, RingState.OPEN_AT] = open_by(
            now + line, bit, gates.law, gates.errors, gates.block, gates.end, gates.change,
            gates.open,
        )  # fmt: skip
    if law[here, RingLaw.WEIGHT] > 0:
        pay(here, gates.law[PortLaw.QUEUES], frame_bytes, ring, law, rings.state)


@bare_kernel
def serve_port(port: int, until: int, world: World, trace: Trace | None, parts: Parts) -> int:
    """Serve one general port up to a time; return DONE, or what there was no room in.

    In turns: take in what has arrived; choose a frame; send it. A preemptable frame stays on the
    wire until no more than the least rest of it is to come; only then is it known when it leaves.
    Where there is no room nothing is done, and the next call does it.
    """
    network, routes, lanes, _, sources, tally = world
    counts, wire, steady_from = tally.port, parts.wire, network.steady_from
    gates, rings = bind(port, world, parts)
    law, line = gates.law, rings.line_time
    first_queue, preemptable = law[PortLaw.QUEUES], law[PortLaw.PREEMPTABLE]
    for lane in range(network.lane_first[port], network.lane_first[port + 1]):
        next_arrival(lane, lanes.base, lanes.mask, lanes.receiver, lanes.cells)
    lane, arrival = who_comes(port, network, lanes, sources)
    now = counts[port, PortTally.FREE_AT]
    waiting, resume = 0, now
    for one in range(law[PortLaw.FIRST], law[PortLaw.LAST]):
        waiting += rings.ring[one, Ring.COUNT]
    status = DONE
    while True:
        while arrival <= now and arrival < until:
            if trace is not None and is_nearly_full(port, trace):
                status = TRACE_FULL
                break
            is_busy = now > arrival or waiting > 0 or wire[port, MPacket.IS] != NOTHING
            status, more = take_in(port, lane, arrival, is_busy, world, gates, rings, trace, parts)
            if status != DONE:
                break
            waiting += more
            lane, arrival = who_comes(port, network, lanes, sources)
        if status == DONE and trace is not None and is_nearly_full(port, trace):
            status = TRACE_FULL
        if status != DONE or now >= until:
            break

        # Choose the next frame, before which no other may go.
        sending, unfinished = wire[port, MPacket.IS] == SENDING, wire[port, MPacket.IS] != NOTHING
        at, held, wake = look_at_clock(now, waiting > 0 or unfinished, gates)
        last, sure = preemptable if unfinished or held else law[PortLaw.LAST], 0
        chosen, wake = choose_next(at, wake, waiting, last, network, gates, rings)
        if sending:
            # A preemptable frame is on the wire: cut it, or send it on when nothing can cut it now.
            started, frame_bytes = wire[port, MPacket.BEGUN], wire[port, MPacket.REST]
            line, loss_row = network.line_time[wire[port, MPacket.LINE]], wire[port, MPacket.LOSS]
            sure = started + whole_after(frame_bytes, wire[port, MPacket.RATE])
            may_cut, rate = chosen >= 0 or held, wire[port, MPacket.RATE]
            sent = cut_after(now - started, frame_bytes, rate) if may_cut else 0
            if sent > 0:
                now = resume = preempt(port, sent, line, steady_from, counts, parts)
                continue
            if now < sure:
                resume = min(sure, wake)
                now = min(resume, arrival, until)
                continue
            came = wire[port, MPacket.CAME]
            frame = Arrived(came, wire[port, MPacket.BIRTH], wire[port, MPacket.LABEL], came)
            chosen = wire[port, MPacket.RING]
        elif chosen < 0:
            if unfinished and not held:
                begin_on_wire(port, now, law, network, wire)
            else:
                resume, now = wake, min(arrival, wake, until)
            continue
        else:
            frame, line = first_of(chosen, rings.ring, rings.cells), rings.line_time
            loss_row, started, frame_bytes = law[PortLaw.LOSS], now, frame.label & 0xFFFF

        # Send it.
        position, turn, taken = (frame.label >> 16) & POSITIONS, frame.turn, -1
        if sending or chosen < preemptable:
            status = room_for(port, position, world, parts)
        if status != DONE:
            now = sure if sending else now
            break
        if sending:
            taken = take_off_wire(port, wire)
        else:
            take_out(chosen, now, frame_bytes, gates, rings)
            waiting -= 1
            if chosen >= preemptable:
                put_on_wire(port, chosen, frame, wire)
                begin_on_wire(port, now, law, network, wire)
                continue
        if chosen < first_queue:
            cycle = at.shown // network.cycle
            if cycle != turn:
                routes.late[position] += 1
            turn = cycle + routes.shift[position]
        count_sent(port, started, frame_bytes, steady_from, counts)
        leaves = started + line[frame_bytes - GAP_BYTES]
        now = resume = started + line[frame_bytes]
        left = turn - routes.shift[position]
        leaving = Leaving(frame.came, started, leaves, frame.birth, frame.label, left, loss_row)
        cut_through = first_queue <= chosen < preemptable
        send_on(port, leaving, cut_through, taken, network, routes, lanes, tally, trace, parts)
    counts[port, PortTally.FREE_AT] = now
    waiting += wire[port, MPacket.IS] != NOTHING
    counts[port, PortTally.WAKE] = wake_at(now, resume, waiting, status)
    return status
