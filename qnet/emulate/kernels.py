"""The inner loops between the simulator's ports and the real frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import kernel
from qnet.simulate import kernels as k

Ints = NDArray[np.int64]

# Columns of what `births` and `catch` note.
TIME, FRAME_BYTES, TURN = 0, 1, 2
LANE, PLACE = 0, 1


@kernel
def births(
    source: int, first: int, stride: int, until: int, sources: k.Sources, noted: Ints
) -> int:
    """Note birth, bytes and cycle of every `stride`-th frame that a source will send.

    Counts from frame `first` to the last one born before `until`; returns how many were noted.
    The source's row of `sources.state` is used up: give a copy.
    """
    state = sources.state
    count = 0
    number = 0
    while state[source, k.NEXT_TIME] < until and count < noted.shape[0]:
        birth = state[source, k.NEXT_TIME]
        turn = state[source, k.NEXT_CYCLE]
        frame_bytes = k.draw_size(source, sources)
        k.advance(source, frame_bytes, state, sources.law, sources.log_table)
        if number >= first and (number - first) % stride == 0:
            noted[count, TIME] = birth
            noted[count, FRAME_BYTES] = frame_bytes
            noted[count, TURN] = turn
            count += 1
        number += 1
    return count


@kernel
def catch(
    lanes: k.Lanes,
    seen: Ints,
    source_after: Ints,
    relabel: Ints,
    wanted: Ints,
    following: Ints,
    caught: Ints,
) -> int:
    """Find the real frames among those that entered lanes since the last call; return how many.

    `source_after[position]` is the source whose frames come to this position from their first
    port, where frames of it are wanted, else -1. A frame of it is real when its birth is the next
    one of wanted[following[source, 0]] to wanted[following[source, 1] - 1]. It then has -1 minus
    its number there in place of its birth, by which it is known from then on, and
    `relabel[source]` added to its position.
    Returns -1 when `caught` has no room; nothing is lost, make room and call again.
    """
    base, mask, sender, cells = lanes.base, lanes.mask, lanes.sender, lanes.cells
    count = 0
    for lane in range(base.size):
        for turn in range(seen[lane], sender[lane, k.TAIL]):
            place = base[lane] + (turn & mask[lane])
            birth = cells[place, k.BIRTH]
            if birth >= 0:
                source = source_after[cells[place, k.LABEL] >> 16]
                if source < 0:
                    continue
                number = following[source, 0]
                while number < following[source, 1] and wanted[number] < birth:
                    number += 1
                following[source, 0] = number
                if number < following[source, 1] and wanted[number] == birth:
                    following[source, 0] = number + 1
                    cells[place, k.BIRTH] = -1 - number
                    cells[place, k.LABEL] += relabel[source] << 16
                elif relabel[source] > 0:
                    continue
            if count == caught.shape[0]:
                return -1
            caught[count, LANE] = lane
            caught[count, PLACE] = turn
            count += 1
    for lane in range(base.size):
        seen[lane] = sender[lane, k.TAIL]
    return count
