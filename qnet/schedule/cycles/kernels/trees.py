"""The phases in which trees have room for frames that may wait, at a hop for all behind it."""

from __future__ import annotations

import numpy as np

from qnet.kernel import bare_kernel, kernel
from qnet.schedule.cycles.kernels.phases import best_phase, hop_room
from qnet.schedule.cycles.kernels.tables import Desk, Grid, Int64Table, Want, Ways
from qnet.schedule.cycles.kernels.wires import wait_behind
from qnet.schedule.kernels import UNSEEN


@bare_kernel
def reach_of_tree(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """Write how long frames may wait at each hop of a tree, and have waited by it; return the most.

    What a listener's latency leaves holds for all hops on the way to it.
    """
    first = ways.hop[way]
    count = ways.hop[way + 1] - first
    desk.reach[:count] = UNSEEN
    for place in range(count - 1, -1, -1):
        hop = first + place
        if ways.sooner_ps[hop] >= 0 and want.latency_ps_most < UNSEEN:
            left_ps = want.latency_ps_most - ways.latency_ps_max[way] + ways.sooner_ps[hop]
            desk.reach[place] = min(desk.reach[place], left_ps // ways.cycle_ps)
        before = ways.before[hop]
        if before >= 0:
            desk.reach[before] = min(desk.reach[before], desk.reach[place])
    most = 0
    for place in range(count):
        before = ways.before[first + place]
        reach = 0
        desk.extra[place] = 0
        if before >= 0:
            extra = wait_behind(grid, ways, want, first + before)
            desk.extra[place] = 0 if extra == UNSEEN else extra
            reach = desk.reach[before] + desk.extra[place]
        desk.reach[place] = min(desk.reach[place], reach)
        most = max(most, desk.reach[place])
    return most


@bare_kernel
def fill_tree(grid: Grid, ways: Ways, want: Want, way: int, table: Int64Table, desk: Desk) -> int:
    """Fill the table of a tree, and `desk.score` with what each phase has at the talker."""
    period, best, score = want.period, desk.best, desk.score
    first = ways.hop[way]
    count = ways.hop[way + 1] - first
    score[:period] = UNSEEN
    for place in range(count):
        hop_room(grid, ways, want, first + place, desk)
        for waited in range(desk.reach[place] + 1):
            for phase in range(period):
                table[place, waited, phase] = best[(phase + waited) % period]
    for place in range(count - 1, -1, -1):
        before = ways.before[first + place]
        if before < 0:
            for phase in range(period):
                score[phase] = min(score[phase], table[place, 0, phase])
            continue
        for waited in range(desk.reach[before] + 1):
            longest = min(waited + desk.extra[place], desk.reach[place])
            for phase in range(period):
                most = table[place, waited, phase]
                for later in range(waited + 1, longest + 1):
                    most = max(most, table[place, later, phase])
                table[before, waited, phase] = min(table[before, waited, phase], most)
    return 0


@kernel
def score_tree(grid: Grid, ways: Ways, want: Want, way: int, desk: Desk) -> int:
    """As `score_waits`, of a tree: each wait of the best phase is as short as it can be."""
    first = ways.hop[way]
    count = ways.hop[way + 1] - first
    most = reach_of_tree(grid, ways, want, way, desk)
    table = np.empty((count, most + 1, want.period), dtype=np.int64)
    fill_tree(grid, ways, want, way, table, desk)
    phase = best_phase(desk.score, want.period)
    for place in range(count):
        before = ways.before[first + place]
        waited = 0
        if before >= 0:
            waited = desk.waits[before]
        while table[place, waited, phase] < desk.score[phase]:
            waited += 1
        desk.waits[place] = waited
    return phase
