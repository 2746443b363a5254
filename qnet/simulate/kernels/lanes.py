"""Lanes: who brings the next frame, and where a frame that has left goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import inline_kernel, prefetch
from qnet.simulate.kernels.sources import draw
from qnet.simulate.world import (
    BLOCKS_FULL,
    DONE,
    LANE_FULL,
    NEVER,
    Frame,
    Lanes,
    Network,
    PortTally,
    Receiver,
    Sender,
    SourceHeap,
    Sources,
)

Ints = NDArray[np.int64]

AHEAD, SOON = 8, 3
"""How many frames before it is used the place of a frame in a lane is asked for, and its hop."""


@inline_kernel
def prefetch_frame(lane: int, number: int, base: Ints, mask: Ints, cells: Ints) -> None:
    """Ask for the place of a frame in its lane before it is read, or written."""
    prefetch(cells, 4 * (base[lane] + (number & mask[lane])))


@inline_kernel
def next_arrival(lane: int, base: Ints, mask: Ints, receiver: Ints, cells: Ints) -> None:
    """Note when the first frame of a lane arrives, as far as this window may see."""
    head = receiver[lane, Receiver.HEAD]
    prefetch_frame(lane, head + AHEAD, base, mask, cells)
    if head < receiver[lane, Receiver.SEEN_TAIL]:
        receiver[lane, Receiver.NEXT_ARRIVAL] = cells[
            base[lane] + (head & mask[lane]), Frame.ARRIVAL
        ]
    else:
        receiver[lane, Receiver.NEXT_ARRIVAL] = NEVER


@inline_kernel
def earliest(first: int, last: int, receiver: Ints, source_time: int) -> tuple[int, int]:
    """Return who brings the next frame, and when: a lane, or -1 for the port's sources."""
    best = -1
    time = source_time
    for lane in range(first, last):
        if receiver[lane, Receiver.NEXT_ARRIVAL] < time:
            time = receiver[lane, Receiver.NEXT_ARRIVAL]
            best = lane
    return best, time


@inline_kernel
def who_comes(port: int, network: Network, lanes: Lanes, sources: Sources) -> tuple[int, int]:
    """Return who brings the next frame, and when: a lane, or -1 for the port's sources."""
    top, time = sources.first[port], NEVER
    if top < sources.first[port + 1]:
        time = sources.heap[top, SourceHeap.TIME]
    return earliest(network.lane_first[port], network.lane_first[port + 1], lanes.receiver, time)


@inline_kernel
def earliest_two(first: int, last: int, receiver: Ints, source_time: int) -> tuple[int, int, int]:
    """As `earliest`, and return also when somebody else brings a frame."""
    best = -1
    time = source_time
    bound = NEVER
    for lane in range(first, last):
        arrival = receiver[lane, Receiver.NEXT_ARRIVAL]
        if arrival < time:
            bound = time
            time = arrival
            best = lane
        else:
            bound = min(bound, arrival)
    return best, time, bound


@inline_kernel
def room_ahead(port: int, target: int, sender: Ints, lane_mask: Ints, counts: Ints) -> int:
    """Return DONE when a frame can go to its lane, or to its listener (-1); else what is full."""
    status = DONE
    if target >= 0:
        if sender[target, Sender.TAIL] - sender[target, Sender.ROOM_UNTIL] > lane_mask[target]:
            status = LANE_FULL
    elif counts[port, PortTally.BLOCKS] == counts[port, PortTally.BLOCK_ROOM]:
        status = BLOCKS_FULL
    return status


@inline_kernel
def stay_in_node(port: int, dice: Ints, network: Network) -> int:
    """Draw how long the node after a port takes to bring a frame to its next port."""
    stay = network.processing_low[port]
    if network.processing_span[port] > 1:
        stay += (draw(dice, port, 0) * network.processing_span[port]) >> 32
    return stay


@inline_kernel
def hand_on(
    target: int,
    arrives: int,
    birth: int,
    label: int,
    turn: int,
    sender: Ints,
    lane_base: Ints,
    lane_mask: Ints,
    lane_cells: Ints,
) -> None:
    """Put a frame into the lane to the next port, not before the one ahead of it."""
    arrives = max(arrives, sender[target, Sender.LAST_ARRIVAL])
    sender[target, Sender.LAST_ARRIVAL] = arrives
    tail = sender[target, Sender.TAIL]
    place = lane_base[target] + (tail & lane_mask[target])
    lane_cells[place, Frame.ARRIVAL] = arrives
    lane_cells[place, Frame.BIRTH] = birth
    lane_cells[place, Frame.LABEL] = label
    lane_cells[place, Frame.CYCLE] = turn
    sender[target, Sender.TAIL] = tail + 1
    prefetch_frame(target, tail + AHEAD, lane_base, lane_mask, lane_cells)
