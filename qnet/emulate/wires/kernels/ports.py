"""Ports served up to the end of a window by the simulator's own kernel."""

from __future__ import annotations

from qnet.emulate.wires.kernels.arrivals import give_to_host, send_free
from qnet.emulate.wires.kernels.packets import exchange
from qnet.emulate.wires.kernels.rows import (
    go_on_alone,
    is_dark,
    is_hopeless,
    plan_hop,
    slot_of,
    take_out,
)
from qnet.emulate.wires.kernels.slots import (
    drop_slot,
    forget,
    has_record_room,
    heap_push,
    note_fault,
    note_loss,
)
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
    ELIMINATED,
    EXPECTED,
    HEAP_COUNT,
    HOP,
    IN_LANE,
    LATE,
    LATE_OR_LOST,
    LEAVING,
    LIVE_COUNT,
    MEETING_LAG_PS,
    NO_QUEUE_ROOM,
    OWNER,
    PORT_DOWN,
    QUEUED,
    SERVED,
    STATE,
    TARGET,
    TIME_NOW,
    UNUSED,
    VIOLATIONS,
    VIRTUAL,
    WAITING,
    WIRE_CUT,
    Messages,
    Pool,
    Wires,
    wall_of,
)
from qnet.kernel import bare_kernel
from qnet.simulate.kernels.dispatch import serve_any
from qnet.simulate.ports.kernels.recovery import recover
from qnet.simulate.ports.parts import Parts
from qnet.simulate.world import (
    DONE,
    NEVER,
    Frame,
    Lanes,
    Network,
    NextHop,
    OwnerTally,
    Receiver,
    RouteTable,
    Sender,
    Tally,
    World,
)


@bare_kernel
def is_awaited(slot: int, until: int, wires: Wires, pool: Pool) -> bool:
    """Say whether the frame of a slot is in a switch, or on its way, and must be served now."""
    one = pool.slot
    state = one[slot, STATE]
    if one[slot, OWNER] < 0:
        return False
    if one[slot, EXPECTED] >= 0:
        return state in (WAITING, AWAY) and one[slot, VIRTUAL] < until
    meets = one[slot, IN_LANE] >= 0
    due = one[slot, VIRTUAL] < until - wires.law[MEETING_LAG_PS]
    return meets and due and state in (WAITING, LEAVING)


@bare_kernel
def awaited(until: int, wires: Wires, pool: Pool) -> bool:
    """Say whether a frame is still in a switch, or on its way there, that must be served now.

    The one found last is looked at first: it is asked time and again while it is not there.
    """
    last = pool.counts[AWAITED]
    if is_awaited(last, until, wires, pool) and not is_hopeless(last, wires, pool):
        return True
    for i in range(pool.counts[LIVE_COUNT]):
        slot = pool.live[i]
        if is_awaited(slot, until, wires, pool) and not is_hopeless(slot, wires, pool):
            pool.counts[AWAITED] = slot
            return True
    return False


@bare_kernel
def is_idle(pool: Pool) -> bool:
    """Say whether no frame is in a switch or about to go into one: the wall's time is for those."""
    under_way = pool.counts[HEAP_COUNT]
    for i in range(pool.counts[LIVE_COUNT]):
        under_way += pool.slot[pool.live[i], STATE] != QUEUED
    return under_way == 0


@bare_kernel
def expire(until: int, wires: Wires, pool: Pool, lanes: Lanes) -> None:
    """Give up the frames that have not come back although their rows must be served now.

    The row goes on as one of a frame that is simulated only: those behind it see no difference, and
    where an event has the port down, the row meets what is broken. That of a frame whose wire has
    been cut is taken out: another copy may make up for it.
    """
    one, count = pool.slot, pool.counts
    for i in range(count[LIVE_COUNT] - 1, -1, -1):
        slot = pool.live[i]
        state = one[slot, STATE]
        if is_awaited(slot, until, wires, pool):
            kind = LATE_OR_LOST
            if is_hopeless(slot, wires, pool):
                kind = CUT_OFF
                count[CUT] += 1
                if is_dark(slot, wires, pool):
                    note_loss(slot, one[slot, EXPECTED], PORT_DOWN, pool)
                    go_on_alone(slot, wires, pool, lanes)
                else:
                    note_loss(slot, one[slot, EXPECTED], WIRE_CUT, pool)
                    take_out(slot, wires, pool, lanes)
            else:
                count[VIOLATIONS] += 1
                go_on_alone(slot, wires, pool, lanes)
            note_fault(
                kind, one[slot, OWNER], one[slot, EXPECTED], state, one[slot, HOP],
                one[slot, VIRTUAL], pool,
            )  # fmt: skip
            if state != WAITING:
                drop_slot(slot, pool)
            else:
                one[slot, STATE] = UNUSED
                forget(slot, pool)


@bare_kernel
def give_up_dark(wires: Wires, pool: Pool, lanes: Lanes) -> None:
    """Lose the frames that switches have had for ports that are down: before those are up again."""
    one, count = pool.slot, pool.counts
    for i in range(count[LIVE_COUNT] - 1, -1, -1):
        slot = pool.live[i]
        is_inside = one[slot, OWNER] >= 0 and one[slot, STATE] == AWAY
        if is_inside and one[slot, IN_LANE] >= 0 and is_dark(slot, wires, pool):
            count[CUT] += 1
            note_loss(slot, one[slot, EXPECTED], PORT_DOWN, pool)
            go_on_alone(slot, wires, pool, lanes)
            drop_slot(slot, pool)


@bare_kernel
def serve_window(
    until: int, wires: Wires, pool: Pool, messages: Messages, world: World, parts: Parts | None
) -> int:
    """Serve every port up to the end of a window; return DONE, or what there was no room in."""
    routes, lanes, tally = world.routes, world.lanes, world.tally
    expire(until, wires, pool, lanes)
    pool.counts[SERVED] = until
    for lane in range(lanes.base.size):
        lanes.receiver[lane, Receiver.SEEN_TAIL] = lanes.sender[lane, Sender.TAIL]
        lanes.sender[lane, Sender.ROOM_UNTIL] = lanes.receiver[lane, Receiver.HEAD]
    status = DONE
    last = wall(messages.clock)
    for port in wires.order:
        found = serve_any(port, until, world, None, None, parts)
        if found != DONE:
            status = found
        now = wall(messages.clock)
        if now > last + 500_000:
            exchange(now, wires, pool, messages, routes, lanes, tally)
            last = now
    found = let_meet(until - wires.law[MEETING_LAG_PS], wires, world, parts)
    return status if found == DONE else found


@bare_kernel
def let_meet(until: int, wires: Wires, world: World, parts: Parts | None) -> int:
    """Pass on the first of the copies that have come to their listeners before a virtual time.

    Nothing waits for the points where copies meet, so they may be behind the ports: by so much that
    their frames have been through the last switch.
    """
    status = DONE
    if parts is not None:
        for server in wires.eliminations:
            found = recover(server, until, world, None, parts)
            if found != DONE:
                status = found
    return status


@bare_kernel
def follow(
    wires: Wires, pool: Pool, routes: RouteTable, lanes: Lanes, tally: Tally, network: Network
) -> None:
    """After a window: send on the frames that ports have sent, and note those they dropped."""
    for port in wires.order:
        for item in range(wires.out_first[port], wires.out_first[port + 1]):
            lane = wires.out_lane[item]
            tail = lanes.sender[lane, Sender.TAIL]
            for at in range(pool.scanned[lane], tail):
                place = lanes.base[lane] + (at & lanes.mask[lane])
                slot = slot_of(lanes.cells[place, Frame.LABEL], wires, pool)
                if slot >= 0:
                    follow_on(slot, port, lane, at, wires, pool, routes, lanes, network)
            pool.scanned[lane] = tail
    count, base_owner = pool.counts, wires.law[BASE_OWNER]
    now = count[TIME_NOW]
    for i in range(count[LIVE_COUNT] - 1, -1, -1):
        slot = pool.live[i]
        if pool.slot[slot, STATE] != QUEUED:
            continue
        if tally.owner[base_owner + slot, OwnerTally.RECEIVED] > 0:
            count_late(slot, wires, pool, routes)
            if pool.slot[slot, EXPECTED] >= 0:
                leave(slot, wires, pool, tally, network)
            elif has_record_room(wires, pool):
                pool.slot[slot, VIRTUAL] = handed_over(slot, wires, pool, tally)
                give_to_host(slot, now, wires, pool)
        elif pool.slot[slot, EXPECTED] >= 0:
            note_drop(slot, wires, pool, routes)
        elif pool.slot[slot, COUNTER] < lanes.receiver[pool.slot[slot, IN_LANE], Receiver.HEAD]:
            count[ELIMINATED] += 1
            drop_slot(slot, pool)


@bare_kernel
def follow_on(
    slot: int, port: int, lane: int, at: int, wires: Wires, pool: Pool, routes: RouteTable,
    lanes: Lanes, network: Network,
) -> None:  # fmt: skip
    """Put a frame that has left a port into the next switch when it is over the wire."""
    one = pool.slot
    arrives = lanes.cells[lanes.base[lane] + (at & lanes.mask[lane]), Frame.ARRIVAL]
    owner = one[slot, OWNER]
    count_late(slot, wires, pool, routes)
    plan_hop(slot, int(routes.hop[one[slot, BASE], NextHop.NEXT]), wires, pool, routes)
    meets = one[slot, EXPECTED] >= wires.into.size
    if meets:
        one[slot, EXPECTED] = -1
    one[slot, HOP] += 1
    one[slot, VIRTUAL] = arrives
    one[slot, IN_LANE] = lane
    one[slot, COUNTER] = at
    one[slot, STATE] = WAITING
    one[slot, TARGET] = wires.into[port]
    leaves = arrives - network.propagation[port]
    enters = arrives if meets else arrives - network.processing_low[port]
    # What is on the wire is lost with it.
    if wires.down[port, 0] <= enters and leaves < wires.down[port, 1]:
        pool.counts[CUT] += 1
        note_fault(CUT_OFF, owner, port, 0, 0, leaves, pool)
        note_loss(slot, port, WIRE_CUT, pool)
        take_out(slot, wires, pool, lanes)
        drop_slot(slot, pool)
        return
    heap_push(wall_of(enters, wires.law), slot, pool)


@bare_kernel
def count_late(slot: int, wires: Wires, pool: Pool, routes: RouteTable) -> None:
    """Add up, for its source, how often a real frame was late."""
    own, source = wires.law[BASE_POSITION] + slot, pool.slot[slot, OWNER]
    for position in (own, own + pool.slot.shape[0]):
        if source >= 0:
            wires.probe[source, LATE] += routes.late[position]
        routes.late[position] = 0


@bare_kernel
def handed_over(slot: int, wires: Wires, pool: Pool, tally: Tally) -> int:
    """Return when the simulator has handed a frame over, and forget that it has."""
    owner = wires.law[BASE_OWNER] + slot
    when = pool.slot[slot, BORN] + tally.owner[owner, OwnerTally.EXCESS]
    tally.owner[owner, OwnerTally.RECEIVED : OwnerTally.MOST + 1] = 0
    tally.owner[owner, OwnerTally.LEAST] = NEVER
    tally.owner[owner, OwnerTally.MOST] = -1
    return when


@bare_kernel
def leave(slot: int, wires: Wires, pool: Pool, tally: Tally, network: Network) -> None:
    """Put a frame that has left its last port into the listener's switch; a free one anywhere."""
    one, count = pool.slot, pool.counts
    leaves = handed_over(slot, wires, pool, tally)
    port = one[slot, EXPECTED]
    begins = leaves - network.propagation[port]
    cut = wires.down[port, 0] <= leaves and begins < wires.down[port, 1]
    if cut or wires.into[port] < 0:
        count[CUT] += 1
        note_fault(CUT_OFF, one[slot, OWNER], port, 0, 0, leaves, pool)
        if one[slot, OWNER] >= 0:
            note_loss(slot, port, WIRE_CUT, pool)
        drop_slot(slot, pool)
    elif one[slot, OWNER] >= 0:
        one[slot, EXPECTED] = -1
        one[slot, IN_LANE] = -1
        one[slot, STATE] = WAITING
        one[slot, TARGET] = wires.into[port]
        one[slot, VIRTUAL] = leaves
        heap_push(wall_of(leaves, wires.law), slot, pool)
    else:
        virtual = leaves + network.processing_low[port]
        send_free(slot, wires.into[port], wall_of(leaves, wires.law), virtual, wires, pool)


@bare_kernel
def note_drop(slot: int, wires: Wires, pool: Pool, routes: RouteTable) -> None:
    """Lose a frame that its port has dropped, or the link behind it lost, and say why."""
    own = wires.law[BASE_POSITION] + slot
    cause = -1
    if routes.lost[own] > 0:
        routes.lost[own] = 0
        cause = NO_QUEUE_ROOM
    if wires.dropped.shape[0] > 0:
        for column in range(wires.dropped.shape[1]):
            if wires.dropped[own, column] > 0:
                wires.dropped[own, column] = 0
                cause = NO_QUEUE_ROOM + 1 + column
    if cause < 0:
        return
    count_late(slot, wires, pool, routes)
    if pool.slot[slot, OWNER] < 0:
        pool.counts[DROPPED_FREE] += 1
    else:
        note_loss(slot, pool.slot[slot, EXPECTED], cause, pool)
    drop_slot(slot, pool)
