"""The loop: frames in, frames out, and a window when its end has come on the wall."""

from __future__ import annotations

from qnet.emulate.wires.kernels.packets import exchange
from qnet.emulate.wires.kernels.ports import awaited, follow, is_idle, serve_window
from qnet.emulate.wires.kernels.slots import has_record_room
from qnet.emulate.wires.kernels.system import POLL_IN, ppoll, wall
from qnet.emulate.wires.kernels.tables import (
    AT_STOP,
    AT_TURN,
    BUSY_LONGEST,
    BUSY_NS,
    COMPLETE,
    END_PS,
    FINISHED,
    FREE_RUN,
    HEAP_COUNT,
    HELD_NS,
    HOLD_LEAST_NS,
    HOLD_ROUND_NS,
    HOLDS,
    LAG_NS,
    LEAD,
    LIVE_COUNT,
    NO_ROOM,
    ORIGIN_NS,
    PATIENCE_NS,
    RECORDS_FULL,
    RUNNING,
    SERVED,
    SKIPS,
    SOCKET,
    SPIN_NS,
    STOP_PS,
    TIME_NOW,
    TURN_PS,
    WAITED_NS,
    WINDOW_PS,
    Messages,
    Pool,
    Wires,
    virtual_of,
    wall_of,
)
from qnet.emulate.wires.kernels.talkers import generate
from qnet.kernel import bare_kernel
from qnet.simulate.ports.parts import Parts
from qnet.simulate.world import DONE, NEVER, Sources, World


@bare_kernel
def run(
    stop_at: int, wires: Wires, pool: Pool, messages: Messages, world: World, sources: Sources,
    parts: Parts | None,
) -> int:  # fmt: skip
    """Emulate until a wall time; return RUNNING, FINISHED, NO_ROOM or RECORDS_FULL.

    AT_STOP and AT_TURN are what the interpreter has to do at a virtual time before it goes on.

    The world has no sources, as ports see it: `sources` send ahead, see `generate`.
    """
    network, routes, lanes, _, _, tally = world
    law, count = wires.law, pool.counts
    while True:
        exchange(wall(messages.clock), wires, pool, messages, routes, lanes, tally)
        now = wall(messages.clock)
        count[TIME_NOW] = now
        if now >= stop_at:
            return RUNNING
        if not has_record_room(wires, pool):
            return RECORDS_FULL
        if law[FREE_RUN] == 1:
            until = max(virtual_of(now - law[LAG_NS], law), count[SERVED])
            due = now
            wake = stop_at
            if count[LIVE_COUNT] > count[HEAP_COUNT]:
                wake = min(wake, now + 20_000)
        else:
            served = count[COMPLETE]
            until = min(
                served + law[WINDOW_PS], (served // network.block + 1) * network.block,
                law[END_PS], law[STOP_PS],
            )  # fmt: skip
            due = wall_of(until, law) + law[LAG_NS] if served < law[END_PS] else NEVER
            if now < due < NEVER and law[SKIPS] == 1 and is_idle(pool):
                law[ORIGIN_NS] -= due - now
                due = now
            wake = min(due, stop_at)
        if now >= due and law[FREE_RUN] == 0:
            # Virtual time waits for frames that a switch still has, and for this loop itself.
            behind = now - due
            law[ORIGIN_NS] += behind
            if law[STOP_PS] < NEVER:  # what is over a wire when it is mended depends on it
                for place in range(count[HEAP_COUNT]):
                    pool.heap[place, 0] += behind
            if behind > HOLD_LEAST_NS:
                count[HELD_NS] += behind
            if count[WAITED_NS] < law[PATIENCE_NS] and awaited(until, wires, pool):
                count[HOLDS] += 1 if count[WAITED_NS] == 0 else 0
                count[WAITED_NS] += 1 + min(behind, HOLD_ROUND_NS)
                due = NEVER
                wake = min(now + HOLD_ROUND_NS, stop_at)
        if now >= due:
            if law[FREE_RUN] == 0:
                count[WAITED_NS] = 0
                ahead = min(until + law[LEAD] * law[WINDOW_PS], law[END_PS])
                goal = min(ahead, law[TURN_PS])
                if generate(goal, wires, pool, network, routes, lanes, sources, tally) != DONE:
                    return NO_ROOM
                if ahead > goal:
                    return AT_TURN
            status = serve_window(until, wires, pool, messages, world, parts)
            if status != DONE:
                return NO_ROOM
            follow(wires, pool, routes, lanes, tally, network)
            count[COMPLETE] = until
            if law[FREE_RUN] == 0:
                done = wall(messages.clock)
                count[BUSY_LONGEST] = max(count[BUSY_LONGEST], done - now)
                count[BUSY_NS] += done - now
                if until >= law[END_PS] or until == law[STOP_PS]:
                    return FINISHED if until >= law[END_PS] else AT_STOP
                continue
        if count[HEAP_COUNT] > 0:
            wake = min(wake, pool.heap[0, 0])
        rest = wake - wall(messages.clock) - law[SPIN_NS]
        if rest > 0:
            messages.poll[0] = law[SOCKET] | (POLL_IN << 32)
            messages.clock[2] = rest // 1_000_000_000
            messages.clock[3] = rest % 1_000_000_000
            ppoll(messages.poll.ctypes.data, 1, messages.clock.ctypes.data + 16, 0)
