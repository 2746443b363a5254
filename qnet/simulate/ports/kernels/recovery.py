"""Points of recovery, where copies of a frame meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel
from qnet.simulate.kernels.delivery import end_if_followed, listeners_of
from qnet.simulate.kernels.lanes import earliest, hand_on, next_arrival, room_ahead
from qnet.simulate.kernels.records import is_nearly_full, write_down
from qnet.simulate.ports.kernels.outages import down_at, stops_in_damper, take_sent
from qnet.simulate.ports.kernels.sending import hand_over
from qnet.simulate.ports.parts import IN_OWN_NODE, Parts, PortLaw, RecoveryState
from qnet.simulate.world import (
    DONE,
    DUPLICATE,
    NEVER,
    PASSED_ON,
    POSITIONS,
    ROGUE_NUMBER,
    TRACE_FULL,
    Frame,
    NextHop,
    Receiver,
    Trace,
    World,
)

Ints = NDArray[np.int64]

NUMBERS = 0x10000


@bare_kernel
def first_copy(point: int, number: int, now: int, state: Ints, remembered: Ints) -> bool:
    """Say whether a frame is passed on: the vector recovery algorithm, IEEE 802.1CB 7.4.3.4.

    Numbers count modulo 2**16. A number beyond the history is a rogue's. After RESET without a
    frame passed on, any is taken (7.4.3.5).
    """
    length = state[point, RecoveryState.LENGTH]
    if (
        state[point, RecoveryState.TAKE_ANY] == 0
        and now - state[point, RecoveryState.ACCEPTED_AT] >= state[point, RecoveryState.PATIENCE]
    ):
        state[point, RecoveryState.TAKE_ANY] = 1
        state[point, RecoveryState.RESETS] += 1
    ahead = (number - state[point, RecoveryState.NEWEST] + NUMBERS // 2) % NUMBERS - NUMBERS // 2
    counted = state[point, RecoveryState.NEWEST] + ahead
    if state[point, RecoveryState.TAKE_ANY] > 0:
        state[point, RecoveryState.TAKE_ANY] = 0
        remembered[point, :] = 0
        state[point, RecoveryState.NEWEST] = counted
    elif ahead >= length or ahead <= -length:
        state[point, RecoveryState.ROGUE] += 1
        state[point, RecoveryState.DISCARDED] += 1
        return False
    elif ahead <= 0:
        if remembered[point, counted % length] > 0:
            state[point, RecoveryState.DISCARDED] += 1
            return False
        state[point, RecoveryState.DISORDERED] += 1
    else:
        if ahead > 1:
            state[point, RecoveryState.DISORDERED] += 1
        for step in range(1, ahead):
            remembered[point, (state[point, RecoveryState.NEWEST] + step) % length] = 0
        state[point, RecoveryState.NEWEST] = counted
    remembered[point, counted % length] = 1
    state[point, RecoveryState.ACCEPTED_AT] = now
    state[point, RecoveryState.PASSED] += 1
    return True


@bare_kernel
def recover(server: int, until: int, world: World, trace: Trace | None, parts: Parts) -> int:
    """Merge the copies of a stream's frames at its listener; pass on the first of each.

    What is passed on is handed over, or goes into the lane of its position where that has one.
    """
    network, routes, lanes, _, _, tally = world
    to = listeners_of(server, network, routes, tally)
    receiver, cells, counts = lanes.receiver, lanes.cells, tally.port
    first_lane, last_lane = network.lane_first[server], network.lane_first[server + 1]
    point = parts.port[server, PortLaw.FIRST]
    for lane in range(first_lane, last_lane):
        next_arrival(lane, lanes.base, lanes.mask, receiver, cells)
    lane, arrival = earliest(first_lane, last_lane, receiver, NEVER)
    status = DONE
    while arrival < until:
        place = lanes.base[lane] + (receiver[lane, Receiver.HEAD] & lanes.mask[lane])
        label, birth = cells[place, Frame.LABEL], cells[place, Frame.BIRTH]
        turn = cells[place, Frame.CYCLE]
        position = (label >> 16) & POSITIONS
        target = int(routes.hop[position, NextHop.LANE])
        status = room_ahead(server, target, lanes.sender, lanes.mask, counts)
        if status == DONE and trace is not None and is_nearly_full(server, trace):
            status = TRACE_FULL
        if status != DONE:
            break
        receiver[lane, Receiver.HEAD] += 1
        next_arrival(lane, lanes.base, lanes.mask, receiver, cells)
        fate, came, owner = PASSED_ON, arrival, routes.owner[position]
        rogue = parts.recovery[point, RecoveryState.ROGUE]
        if not first_copy(point, (label >> 48) & 0xFFFF, arrival, parts.recovery, parts.remembered):
            fate = ROGUE_NUMBER if parts.recovery[point, RecoveryState.ROGUE] > rogue else DUPLICATE
        elif target >= 0:
            hand_on(
                target, arrival, birth, label, turn, lanes.sender, lanes.base, lanes.mask, cells
            )
        else:
            stops = stops_in_damper(
                arrival, 0, birth, owner, IN_OWN_NODE, to, parts.port, parts.outage
            )
            if stops < NEVER:
                row = down_at(server, stops, IN_OWN_NODE, parts.port, parts.outage)
                fate = take_sent(server, position, row, tally, parts)
            else:
                arrival = hand_over(position, owner, birth, arrival, label, tally, to)
        if fate != PASSED_ON:
            end_if_followed(owner, birth, label, fate, tally)
        if trace is not None:
            times = (came, came, came, arrival)
            write_down(server, owner, times, birth, label, turn, fate, trace)
        lane, arrival = earliest(first_lane, last_lane, receiver, NEVER)
    return status
