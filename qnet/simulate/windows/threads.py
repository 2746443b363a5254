"""Run the groups of a world, each on a thread of its own."""

from __future__ import annotations

from threading import Thread

import numpy as np

from qnet.kernel import zeros
from qnet.simulate.ports.parts import Parts
from qnet.simulate.windows.kernels import LINE, STOPPED, Groups, open_lanes, run_events, run_group
from qnet.simulate.windows.shares import Shares
from qnet.simulate.world import DONE, Counts, Trace, World


def run_windows(
    begin_ps: int,
    goal_ps: int,
    shares: Shares,
    world: World,
    counts: Counts,
    trace: Trace | None,
    parts: Parts | None,
) -> int:
    """Run from one time to another; return the time to go on from, `goal_ps` when all is done.

    Before that, something had no room; see `qnet.simulate.run.make_room`.
    """
    window_ps, order, group_of, crossing, agenda = shares
    if agenda is not None:
        status = run_events(goal_ps, agenda, world, counts, trace, parts)
        return goal_ps if status == DONE else begin_ps
    groups = len(order)
    posted = np.empty((2, 2, len(crossing)), dtype=np.int64)
    progress = np.zeros(groups * LINE, dtype=np.int64)
    sides = Groups(order, group_of, crossing, posted, progress)
    open_lanes(crossing, posted, world.lanes)
    came_to: dict[int, int] = {}

    def work(group: int) -> None:
        tally = world.tally._replace(reached=zeros(world.tally.reached.shape))
        try:
            came_to[group] = run_group(
                group, begin_ps, goal_ps, window_ps, sides, world._replace(tally=tally), counts,
                trace, parts,
            )  # fmt: skip
        finally:
            stop_without(group)

    def stop_without(group: int) -> None:
        # Whatever has broken off, nobody is to wait for a group that is not at work.
        if group not in came_to:
            progress[group * LINE] = STOPPED

    others = [Thread(target=work, args=(group,)) for group in range(1, groups)]
    try:
        for one in others:
            one.start()
        work(0)
    finally:
        stop_without(0)
        for group, one in enumerate(others, 1):
            if one.ident is None:
                stop_without(group)
        for one in others:
            if one.ident is not None:
                one.join()
    return min(came_to[group] for group in range(groups))
