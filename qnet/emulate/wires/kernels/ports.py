"""Ports served up to the end of a window by the simulator's own kernel."""

from __future__ import annotations

from qnet.emulate.wires.kernels.arrivals import send_free
from qnet.emulate.wires.kernels.packets import exchange
from qnet.emulate.wires.kernels.rows import is_cut, plan_hop, take_out
from qnet.emulate.wires.kernels.slots import drop_slot, forget, heap_push, note_fault
from qnet.emulate.wires.kernels.system import wall
from qnet.emulate.wires.kernels.tables import (
    AWAITED,
    AWAY,
    BASE,
    BASE_OWNER,
    BASE_POSITION,
    BORN,
    COUNTER,
    CUT,
    CUT_OFF,
    DROPPED_FREE,
    EXPECTED,
    FRAME,
    HOP,
    IN_LANE,
    LATE_OR_LOST,
    LIVE_COUNT,
    OVERFLOW,
    OWNER,
    QUEUED,
    SERVED,
    STATE,
    TARGET,
    UNUSED,
    VIOLATIONS,
    VIRTUAL,
    WAITING,
    Messages,
    Pool,
    Wires,
    wall_of,
)
from qnet.kernel import bare_kernel
from qnet.simulate.kernels import (
    ARRIVAL,
    DONE,
    EXCESS,
    HEAD,
    LABEL,
    LEAST,
    MOST,
    NEVER,
    NEXT,
    RECEIVED,
    ROOM_UNTIL,
    SEEN_TAIL,
    TAIL,
    Lanes,
    Network,
    Queues,
    Routes,
    Sources,
    Tally,
)
from qnet.simulate.ports.kernels import Parts, serve_any


@bare_kernel
def is_awaited(slot: int, until: int, pool: Pool) -> bool:
    """Say whether the frame of a slot is in a switch, or on its way, and must be served now."""
    one = pool.slot
    if one[slot, STATE] != WAITING and one[slot, STATE] != AWAY:
        return False
    planned = one[slot, OWNER] >= 0 and one[slot, EXPECTED] >= 0
    return planned and one[slot, VIRTUAL] < until


@bare_kernel
def awaited(until: int, wires: Wires, pool: Pool) -> bool:
    """Say whether a frame is still in a switch, or on its way there, that must be served now.

    The one found last is looked at first: it is asked time and again while it is not there.
    """
    last = pool.counts[AWAITED]
    if is_awaited(last, until, pool) and not is_cut(last, wires, pool):
        return True
    for i in range(pool.counts[LIVE_COUNT]):
        if is_awaited(pool.live[i], until, pool) and not is_cut(pool.live[i], wires, pool):
            pool.counts[AWAITED] = pool.live[i]
            return True
    return False


@bare_kernel
def expire(until: int, wires: Wires, pool: Pool, lanes: Lanes) -> None:
    """Give up the frames that have not come back although their rows must be served now.

    The row goes on as one of a frame that is simulated only: those behind it see no difference.
    """
    one, count = pool.slot, pool.counts
    for i in range(count[LIVE_COUNT] - 1, -1, -1):
        slot = pool.live[i]
        state = one[slot, STATE]
        if is_awaited(slot, until, pool):
            kind = LATE_OR_LOST
            if is_cut(slot, wires, pool):
                kind = CUT_OFF
                count[CUT] += 1
            else:
                count[VIOLATIONS] += 1
            note_fault(
                kind, one[slot, OWNER], one[slot, EXPECTED], state, one[slot, HOP],
                one[slot, VIRTUAL], pool,
            )  # fmt: skip
            place = lanes.base[one[slot, IN_LANE]]
            place += one[slot, COUNTER] & lanes.mask[one[slot, IN_LANE]]
            lanes.cells[place, LABEL] = (one[slot, BASE] << 16) | one[slot, FRAME]
            if state == AWAY:
                drop_slot(slot, pool)
            else:
                one[slot, STATE] = UNUSED
                forget(slot, pool)


@bare_kernel
def serve_window(
    until: int, wires: Wires, pool: Pool, messages: Messages, network: Network, routes: Routes,
    lanes: Lanes, queues: Queues, sources: Sources, tally: Tally, parts: Parts | None,
) -> int:  # fmt: skip
    """Serve every port up to the end of a window; return DONE, or what there was no room in."""
    expire(until, wires, pool, lanes)
    pool.counts[SERVED] = until
    for lane in range(lanes.base.size):
        lanes.receiver[lane, SEEN_TAIL] = lanes.sender[lane, TAIL]
        lanes.sender[lane, ROOM_UNTIL] = lanes.receiver[lane, HEAD]
    status = DONE
    last = wall(messages.clock)
    for port in wires.order:
        found = serve_any(
            port, until, network, routes, lanes, queues, sources, tally, None, None, parts
        )
        if found != DONE:
            status = found
        now = wall(messages.clock)
        if now > last + 500_000:
            exchange(now, wires, pool, messages, routes, lanes, tally)
            last = now
    return status


@bare_kernel
def follow(
    wires: Wires, pool: Pool, routes: Routes, lanes: Lanes, tally: Tally, network: Network
) -> None:
    """After a window: send on the frames that ports have sent, and note those they dropped."""
    one, count, law, cells = pool.slot, pool.counts, wires.law, lanes.cells
    base_position, base_owner = law[BASE_POSITION], law[BASE_OWNER]
    # Frames on their way to the next port: new rows of lanes.
    for port in wires.order:
        for item in range(wires.out_first[port], wires.out_first[port + 1]):
            lane = wires.out_lane[item]
            tail = lanes.sender[lane, TAIL]
            for at in range(pool.scanned[lane], tail):
                place = lanes.base[lane] + (at & lanes.mask[lane])
                position = cells[place, LABEL] >> 16
                if position < base_position:
                    continue
                slot = position - base_position
                owner = one[slot, OWNER]
                one[slot, HOP] += 1
                routes.late[one[slot, BASE]] += routes.late[position]
                routes.late[position] = 0
                plan_hop(slot, int(routes.hop[one[slot, BASE], NEXT]), wires, pool, routes)
                one[slot, VIRTUAL] = cells[place, ARRIVAL]
                one[slot, IN_LANE] = lane
                one[slot, COUNTER] = at
                one[slot, STATE] = WAITING
                one[slot, TARGET] = wires.into[port]
                leaves = cells[place, ARRIVAL] - network.propagation[port]
                enters = cells[place, ARRIVAL] - network.processing_low[port]
                # What is on the wire is lost with it.
                if wires.down[port, 0] <= enters and leaves < wires.down[port, 1]:
                    count[CUT] += 1
                    note_fault(CUT_OFF, owner, port, 0, 0, leaves, pool)
                    take_out(slot, wires, pool, lanes)
                    drop_slot(slot, pool)
                    continue
                heap_push(wall_of(enters, law), slot, pool)
            pool.scanned[lane] = tail
    # Frames that have left their last port, and those that found no room.
    for i in range(count[LIVE_COUNT] - 1, -1, -1):
        slot = pool.live[i]
        if one[slot, STATE] != QUEUED:
            continue
        own = base_position + slot
        owner = base_owner + slot
        if routes.lost[own] > 0:
            routes.lost[own] = 0
            routes.late[own] = 0
            if one[slot, OWNER] >= 0:
                routes.lost[one[slot, BASE]] += 1
                note_fault(
                    OVERFLOW, one[slot, OWNER], one[slot, EXPECTED], 0, 0, one[slot, VIRTUAL], pool
                )
            else:
                count[DROPPED_FREE] += 1
            drop_slot(slot, pool)
            continue
        if tally.owner[owner, RECEIVED] == 0:
            continue
        leaves = one[slot, BORN] + tally.owner[owner, EXCESS]
        tally.owner[owner, RECEIVED : MOST + 1] = 0
        tally.owner[owner, LEAST] = NEVER
        tally.owner[owner, MOST] = -1
        port = one[slot, EXPECTED]
        begins = leaves - network.propagation[port]
        cut = wires.down[port, 0] <= leaves and begins < wires.down[port, 1]
        if cut or wires.into[port] < 0:
            count[CUT] += 1
            note_fault(CUT_OFF, one[slot, OWNER], port, 0, 0, leaves, pool)
            drop_slot(slot, pool)
        elif one[slot, OWNER] >= 0:
            routes.late[one[slot, BASE]] += routes.late[own]
            routes.late[own] = 0
            one[slot, EXPECTED] = -1
            one[slot, STATE] = WAITING
            one[slot, TARGET] = wires.into[port]
            one[slot, VIRTUAL] = leaves
            heap_push(wall_of(leaves, law), slot, pool)
        else:
            virtual = leaves + network.processing_low[port]
            send_free(slot, wires.into[port], wall_of(leaves, law), virtual, wires, pool)
