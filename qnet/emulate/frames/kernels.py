"""The inner loops between the simulator's ports and the real frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import kernel
from qnet.simulate.kernels.sources import advance, draw_size
from qnet.simulate.ports.kernels.timed import emit_next
from qnet.simulate.ports.parts import TIMED
from qnet.simulate.world import (
    POSITIONS,
    Frame,
    Lanes,
    Network,
    Receiver,
    Sender,
    SourceLaw,
    Sources,
    SourceState,
)

Ints = NDArray[np.int64]

# Columns of what `births` and `catch` note.
TIME, FRAME_BYTES, TURN, ORDER = 0, 1, 2, 3
LANE, PLACE = 0, 1

# Columns of `following`.
FIRST, LAST, NEXT = 0, 1, 2


@kernel
def births(
    source: int,
    first: int,
    stride: int,
    until: int,
    sources: Sources,
    mine: Ints,
    timetable: Ints,
    network: Network,
    noted: Ints,
) -> int:
    """Note birth, bytes, cycle and place among those of its birth of every `stride`-th frame.

    Counts from frame `first` to the last one born before `until`; returns how many were noted.
    The source's rows of `sources.state` and `mine`, what a timed source knows of its place in the
    `timetable`, are used up: give copies.
    """
    state = sources.state
    count = 0
    number = 0
    before = -1
    order = 0
    while state[source, SourceState.NEXT_TIME] < until and count < noted.shape[0]:
        birth = state[source, SourceState.NEXT_TIME]
        order = order + 1 if birth == before else 0
        before = birth
        turn = state[source, SourceState.NEXT_CYCLE]
        frame_bytes = draw_size(source, state, sources.law, sources.size_bytes, sources.size_limit)
        if sources.law[source, SourceLaw.KIND] == TIMED:
            emit_next(
                source,
                frame_bytes,
                state,
                sources.law,
                mine,
                timetable,
                network.clocks,
            )
        else:
            advance(source, frame_bytes, state, sources.law, sources.log_table, sources.recorded_ps)
        if number >= first and (number - first) % stride == 0:
            noted[count, TIME] = birth
            noted[count, FRAME_BYTES] = frame_bytes
            noted[count, TURN] = turn
            noted[count, ORDER] = order
            count += 1
        number += 1
    return count


@kernel
def catch(
    lanes: Lanes,
    seen: Ints,
    source_after: Ints,
    relabel: Ints,
    wanted: Ints,
    numbered: Ints,
    counted: Ints,
    following: Ints,
    caught: Ints,
) -> int:
    """Find the real frames among those that entered lanes since the last call; return how many.

    `source_after[position]` is the source whose frames come to this position from their first
    port, where frames of it are wanted, else -1. A frame of it is real when its birth, and its
    place among those of the same birth (the ORDER), are among wanted[following[source, FIRST]] to
    wanted[following[source, LAST] - 1]; where `numbered[source]` is not 0, frames have a sequence
    number, and that is their ORDER. It then has -1 minus its number there in place of its
    birth, by which it is known from then on, and `relabel[source]` added to its position.
    following[source, NEXT] is the number after the last one that has come or been overtaken, and
    `counted` the frames of a birth that have come, at the first number of that birth.
    When `caught` is full there may be more: call again.
    """
    base, mask, sender, cells = lanes.base, lanes.mask, lanes.sender, lanes.cells
    count = 0
    for lane in range(base.size):
        # What the next port has had already came and went in windows without a real frame.
        seen[lane] = max(seen[lane], lanes.receiver[lane, Receiver.HEAD])
        while seen[lane] < sender[lane, Sender.TAIL] and count < caught.shape[0]:
            turn = seen[lane]
            seen[lane] = turn + 1
            place = base[lane] + (turn & mask[lane])
            birth = cells[place, Frame.BIRTH]
            if birth >= 0:
                source = source_after[(cells[place, Frame.LABEL] >> 16) & POSITIONS]
                if source < 0:
                    continue
                # By its birth, for frames that miss their cycle are overtaken by later ones.
                number, high = following[source, FIRST], following[source, LAST]
                while number < high:
                    middle = (number + high) >> 1
                    if wanted[middle, TIME] < birth:
                        number = middle + 1
                    else:
                        high = middle
                last = following[source, LAST]
                following[source, NEXT] = max(following[source, NEXT], number)
                order = 0
                if number < last and wanted[number, TIME] == birth:
                    order = counted[number]
                    counted[number] += 1
                if numbered[source] > 0:
                    order = (cells[place, Frame.LABEL] >> 48) & 0xFFFF
                while number < last and (
                    wanted[number, TIME] == birth and wanted[number, ORDER] != order
                ):
                    number += 1
                if number < last and wanted[number, TIME] == birth:
                    following[source, NEXT] = max(following[source, NEXT], number + 1)
                    cells[place, Frame.BIRTH] = -1 - number
                    cells[place, Frame.LABEL] += relabel[source] << 16
                elif relabel[source] > 0:
                    continue
            caught[count, LANE] = lane
            caught[count, PLACE] = turn
            count += 1
    return count
