"""The phases in which paths have room for frames that may wait."""

from __future__ import annotations

import numpy as np

from qnet.kernel import bare_kernel, kernel
from qnet.schedule.cycles.kernels.phases import best_phase, hop_room
from qnet.schedule.cycles.kernels.tables import (
    NO_TREE,
    Candidates,
    FreeBytes,
    Int64Table,
    Scratch,
    StreamRequest,
)
from qnet.schedule.cycles.kernels.trees import score_tree
from qnet.schedule.cycles.kernels.wires import wait_behind
from qnet.schedule.kernels import UNSEEN


@bare_kernel
def path_end(ways: Candidates, hop: int) -> int:
    """Return the last hop of the path that a hop belongs to."""
    while ways.skew_ps[hop] < 0:
        hop += 1
    return hop


@bare_kernel
def longest_wait(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, start: int, scratch: Scratch
) -> int:
    """Write how long frames may wait at each hop of a path, and return how long in all.

    At a hop it is what the cycle buffers leave, whichever wire frames come by; in all what is left
    of the latency. The longer of two paths does not wait when the variation is limited, nor does
    the shorter one beyond it: then neither largest latency nor variation grows.
    """
    last = path_end(ways, start)
    first = ways.hop[way]
    scratch.extra[start - first] = 0
    total = 0
    for hop in range(start, last):
        extra = wait_behind(grid, ways, want, hop)
        scratch.extra[hop + 1 - first] = extra
        total += extra
    most_ps = want.latency_ps_most
    two = start > first or last + 1 < ways.hop[way + 1]
    if two and want.variation_ps_most < UNSEEN:
        most_ps = min(most_ps, ways.latency_ps_max[way])
    if most_ps < UNSEEN:
        left_ps = most_ps - ways.latency_ps_max[way] + ways.skew_ps[last]
        total = min(total, left_ps // ways.cycle_ps)
    return total


@bare_kernel
def fill_path(
    grid: FreeBytes,
    ways: Candidates,
    want: StreamRequest,
    way: int,
    start: int,
    most: int,
    table: Int64Table,
    scratch: Scratch,
) -> int:
    """Fill the table of the path that begins at a hop; return the longest wait at its end.

    `table[place, waited, phase]` counts places from the first hop of the way on.
    """
    period, best = want.period, scratch.best
    first = ways.hop[way]
    reach = 0
    for hop in range(start, path_end(ways, start) + 1):
        hop_room(grid, ways, want, hop, scratch)
        before = reach
        extra = scratch.extra[hop - first]
        reach = min(most, reach + extra)
        for waited in range(reach + 1):
            row = table[hop - first, waited]
            if hop == start:
                row[:period] = UNSEEN
            else:
                row[:period] = -UNSEEN
                for sooner in range(max(waited - extra, 0), min(waited, before) + 1):
                    past = table[hop - 1 - first, sooner]
                    for phase in range(period):
                        row[phase] = max(row[phase], past[phase])
            turn = waited % period
            for phase in range(period - turn):
                row[phase] = min(row[phase], best[phase + turn])
            for phase in range(period - turn, period):
                row[phase] = min(row[phase], best[phase + turn - period])
    return reach


@bare_kernel
def trace_path(
    ways: Candidates,
    way: int,
    start: int,
    most: int,
    phase: int,
    table: Int64Table,
    scratch: Scratch,
) -> int:
    """Write the waits of one path that keep the score of a phase; return the whole.

    The least total is taken; of equals each wait comes as early as it can.
    """
    first = ways.hop[way]
    last = path_end(ways, start)
    floor = scratch.score[phase]
    total = 0
    while table[last - first, total, phase] < floor:
        total += 1
    now = total
    for hop in range(last, start - 1, -1):
        scratch.waits[hop - first] = now
        if hop > start:
            reach = 0
            for earlier in range(start + 1, hop):
                reach = min(most, reach + scratch.extra[earlier - first])
            now = min(now, reach)
            while table[hop - 1 - first, now, phase] < floor:
                now -= 1
    return total


@kernel
def score_waits(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, scratch: Scratch
) -> int:
    """As `score_phases`, for frames that may wait: also write the waits of the best phase."""
    period, score = want.period, scratch.score
    low, high = ways.hop[way], ways.hop[way + 1]
    if ways.before[low] != NO_TREE:
        return score_tree(grid, ways, want, way, scratch)
    second = path_end(ways, low) + 1
    most = longest_wait(grid, ways, want, way, low, scratch)
    most_second = 0
    if second < high:
        most_second = longest_wait(grid, ways, want, way, second, scratch)
    table = np.empty((high - low, max(most, most_second) + 1, period), dtype=np.int64)
    score[:period] = UNSEEN
    for start, longest in ((low, most), (second, most_second)):
        if start < high:
            reach = fill_path(grid, ways, want, way, start, longest, table, scratch)
            end = path_end(ways, start) - low
            for phase in range(period):
                best = table[end, 0, phase]
                for waited in range(1, reach + 1):
                    best = max(best, table[end, waited, phase])
                score[phase] = min(score[phase], best)
    phase = best_phase(score, period)
    trace_path(ways, way, low, most, phase, table, scratch)
    if second < high:
        trace_path(ways, way, second, most_second, phase, table, scratch)
    return phase
