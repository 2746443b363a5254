"""Sources that send at some times only: each turn is taken up and ended between two windows.

So the loops over frames know nothing of turns. A source that is silent is in its port's heap at a
time that never comes; what it would have been is gone through when it is its turn again, draws and
all, and not sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from qnet.simulate.frame_sources import FrameSource, Turn
from qnet.simulate.kernels.sources import pass_over
from qnet.simulate.ports.parts import Parts, SourceTable
from qnet.simulate.world import NEVER, SourceHeap, Sources, SourceState, World

Ints = NDArray[np.int64]

Change = tuple[int, Turn | None]
"""Number of a source, and the turn that begins; None where one is over."""


def turns_by_time(found: Sequence[FrameSource], end_ps: int) -> Mapping[int, Sequence[Change]]:
    """Return which sources fall silent, and which begin, at each instant before the end."""
    changes: dict[int, list[Change]] = defaultdict(list)
    for number, owner in enumerate(found):
        if owner.is_always_on or owner.leads:
            continue
        if not owner.turns or owner.turns[0].from_ps > 0:
            changes[0].append((number, None))
        for turn in owner.turns:
            if 0 < turn.from_ps < end_ps:
                changes[turn.from_ps].append((number, turn))
            if turn.until_ps < end_ps:
                changes[turn.until_ps].append((number, None))
    return dict(sorted(changes.items()))


def apply_turns(
    changes: Iterable[Change], found: Sequence[FrameSource], world: World, parts: Parts | None
) -> None:
    """Let sources fall silent or begin: all that was born before has been sent."""
    sources = world.sources
    touched: set[int] = set()
    for number, turn in changes:
        port = found[number].ports[0].number
        place = _place(number, port, sources)
        if turn is None:
            sources.heap[place, SourceHeap.TIME] = NEVER
        else:
            begin_turn(found[number], number, turn, sources, parts and parts.source_state)
            sources.heap[place, SourceHeap.TIME] = sources.state[number, SourceState.NEXT_TIME]
        touched.add(port)
    for port in touched:
        mine = sources.heap[sources.first[port] : sources.first[port + 1]]
        # A list sorted by time, and number of the source, is a heap already.
        mine[:] = mine[np.lexsort((mine[:, SourceHeap.SOURCE], mine[:, SourceHeap.TIME]))]


def begin_turn(
    owner: FrameSource, number: int, turn: Turn, sources: Sources, table: Ints | None
) -> None:
    """Bring a source to its first frame of a turn; `table` has the rows of `Parts.source_state`."""
    state = sources.state
    if owner.law.timetable:
        assert table is not None, "ports of gated streams are general"
        round_, step = divmod(turn.step, len(owner.law.timetable))
        table[number, [SourceTable.ROUND, SourceTable.STEP]] = round_, step
        state[number, SourceState.NEXT_TIME] = turn.from_ps
        state[number, SourceState.LEFT] = owner.law.packets
    else:
        pass_over(
            number,
            turn.from_ps,
            state,
            sources.law,
            sources.size_bytes,
            sources.size_limit,
            sources.log_table,
            sources.recorded_ps,
        )
    state[number, SourceState.NEXT_NUMBER] = turn.number
    if table is not None and len(table):
        table[number, SourceTable.NUMBER] = turn.number


def _place(number: int, port: int, sources: Sources) -> int:
    """Return where a source is in the heap of its port."""
    first = int(sources.first[port])
    mine = sources.heap[first : sources.first[port + 1], SourceHeap.SOURCE]
    return first + int(np.flatnonzero(mine == number)[0])
