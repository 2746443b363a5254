"""Sources that follow a table of times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel
from qnet.simulate.clocks.kernels import ClockTable, due_from
from qnet.simulate.ports.parts import SourceTable
from qnet.simulate.world import SourceLaw, SourceState

Ints = NDArray[np.int64]


@bare_kernel
def emit_next(source: int, frame_bytes: int, state: Ints, law: Ints, mine: Ints, timetable: Ints,
              clocks: ClockTable) -> None:  # fmt: skip
    """Set the time of a timed source's next frame: the table's, by its node's clock.

    What a clock that is set ahead has passed over is due at once.
    """
    state[source, SourceState.SENT] += 1
    state[source, SourceState.SENT_BYTES] += frame_bytes
    state[source, SourceState.LEFT] -= 1
    if state[source, SourceState.LEFT] > 0:
        return
    state[source, SourceState.LEFT] = law[source, SourceLaw.PACKETS]
    mine[source, SourceTable.STEP] += 1
    if mine[source, SourceTable.STEP] == mine[source, SourceTable.TABLE_COUNT]:
        mine[source, SourceTable.STEP] = 0
        mine[source, SourceTable.ROUND] += 1
    due = timetable[mine[source, SourceTable.TABLE_FIRST] + mine[source, SourceTable.STEP]]
    due += mine[source, SourceTable.ROUND] * law[source, SourceLaw.GAP]
    born = state[source, SourceState.NEXT_TIME]
    state[source, SourceState.NEXT_TIME] = max(
        due_from(due, born, mine[source, SourceTable.CLOCK], clocks), born
    )
