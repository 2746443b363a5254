"""The phases in which trees have room for frames that may wait, at a hop for all behind it."""

from __future__ import annotations

import numpy as np

from qnet.kernel import bare_kernel, kernel
from qnet.schedule.cycles.kernels.phases import best_phase, hop_room
from qnet.schedule.cycles.kernels.tables import (
    Candidates,
    FreeBytes,
    Int64Table,
    Scratch,
    StreamRequest,
)
from qnet.schedule.cycles.kernels.wires import wait_behind
from qnet.schedule.kernels import UNSEEN


@bare_kernel
def reach_of_tree(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, scratch: Scratch
) -> int:
    """Write how long frames may wait at each hop of a tree, and have waited by it; return the most.

    What a listener's latency leaves holds for all hops on the way to it.
    """
    first = ways.hop[way]
    count = ways.hop[way + 1] - first
    scratch.reach[:count] = UNSEEN
    for place in range(count - 1, -1, -1):
        hop = first + place
        if ways.skew_ps[hop] >= 0 and want.latency_ps_most < UNSEEN:
            left_ps = want.latency_ps_most - ways.latency_ps_max[way] + ways.skew_ps[hop]
            scratch.reach[place] = min(scratch.reach[place], left_ps // ways.cycle_ps)
        before = ways.before[hop]
        if before >= 0:
            scratch.reach[before] = min(scratch.reach[before], scratch.reach[place])
    most = 0
    for place in range(count):
        before = ways.before[first + place]
        reach = 0
        scratch.extra[place] = 0
        if before >= 0:
            extra = wait_behind(grid, ways, want, first + before)
            scratch.extra[place] = 0 if extra == UNSEEN else extra
            reach = scratch.reach[before] + scratch.extra[place]
        scratch.reach[place] = min(scratch.reach[place], reach)
        most = max(most, scratch.reach[place])
    return most


@bare_kernel
def fill_tree(
    grid: FreeBytes,
    ways: Candidates,
    want: StreamRequest,
    way: int,
    table: Int64Table,
    scratch: Scratch,
) -> int:
    """Fill the table of a tree, and `scratch.score` with what each phase has at the talker."""
    period, best, score = want.period, scratch.best, scratch.score
    first = ways.hop[way]
    count = ways.hop[way + 1] - first
    score[:period] = UNSEEN
    for place in range(count):
        hop_room(grid, ways, want, first + place, scratch)
        for waited in range(scratch.reach[place] + 1):
            for phase in range(period):
                table[place, waited, phase] = best[(phase + waited) % period]
    for place in range(count - 1, -1, -1):
        before = ways.before[first + place]
        if before < 0:
            for phase in range(period):
                score[phase] = min(score[phase], table[place, 0, phase])
            continue
        for waited in range(scratch.reach[before] + 1):
            longest = min(waited + scratch.extra[place], scratch.reach[place])
            for phase in range(period):
                most = table[place, waited, phase]
                for later in range(waited + 1, longest + 1):
                    most = max(most, table[place, later, phase])
                table[before, waited, phase] = min(table[before, waited, phase], most)
    return 0


@kernel
def score_tree(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, scratch: Scratch
) -> int:
    """As `score_waits`, of a tree: each wait of the best phase is as short as it can be."""
    first = ways.hop[way]
    count = ways.hop[way + 1] - first
    most = reach_of_tree(grid, ways, want, way, scratch)
    table = np.empty((count, most + 1, want.period), dtype=np.int64)
    fill_tree(grid, ways, want, way, table, scratch)
    phase = best_phase(scratch.score, want.period)
    for place in range(count):
        before = ways.before[first + place]
        waited = 0
        if before >= 0:
            waited = scratch.waits[before]
        while table[place, waited, phase] < scratch.score[phase]:
            waited += 1
        scratch.waits[place] = waited
    return phase
