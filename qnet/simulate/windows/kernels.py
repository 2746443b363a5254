"""Ports side by side: which one may be served next, how far, and on which thread.

Groups of ports, one to a thread, work on their own within a *window* no longer than the shortest
reach of a lane from one group to another: what one group sends in a window reaches the others after
it. After each window a group says how far it has filled and emptied the lanes that it shares with
others (`posted`), and waits until all have. There are two copies of that, for windows by turns: a
group reads what was posted in the window before while others post in this one already.

Where ports have little to do in a window they are not visited one after the other, but in the order
of what comes next (`run_events`): that takes as long as there are frames, however short the wires.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from qnet.kernel import bare_kernel, columns, libc, read_shared, write_shared
from qnet.simulate.kernels.dispatch import serve_any
from qnet.simulate.ports.parts import Parts
from qnet.simulate.world import (
    DONE,
    NEVER,
    Counts,
    Frame,
    Lanes,
    PortTally,
    Receiver,
    Sender,
    SourceHeap,
    Trace,
    World,
)

Ints = NDArray[np.int64]


@columns
class Posted(IntEnum):
    """Rows of what is posted of a lane."""

    FILLED = 0
    """Its TAIL."""
    EMPTIED = 1
    """Its HEAD."""


@columns
class Crossing(IntEnum):
    """Columns of lanes between two groups."""

    LANE = 0
    BEFORE = 1
    """The group of the port before it."""
    AFTER = 2


class Groups(NamedTuple):
    """Ports side by side, one group to a thread."""

    order: Ints
    """[group]: its ports, closed by -1."""
    group_of: Ints
    """[port]: the same."""
    crossing: Ints
    """Lanes between two groups; see `Crossing`."""
    posted: Ints
    """[turn, row, crossing]: see `Posted`; as `open_lanes` left it."""
    progress: Ints
    """How many windows each group has done, in lines of the cache of their own."""


LINE = 8
"""Numbers in a line of the cache: groups write into lines of their own."""

STOPPED = NEVER
"""In place of the number of windows done: the group cannot go on."""

YIELD_AFTER, SLEEP_AFTER, SLEEP_US = 200, 2000, 50
"""Looks at another group's progress before a thread that waits gives way, and before it sleeps."""

_sched_yield = libc("sched_yield", types.int32)
_usleep = libc("usleep", types.int32, types.uint32)


@bare_kernel
def advance_group(
    group: int,
    until: int,
    groups: Groups,
    world: World,
    counts: Counts,
    trace: Trace | None,
    parts: Parts | None,
) -> int:
    """Serve a group's ports, each as far as those before it allow, until all have come to `until`.

    A port waits until it may go on by its shortest lane's reach; the one that is most behind
    always may. No port is served beyond a change of clocks at once. Lanes from other groups hold
    all that arrives before `until` already. Return DONE, or what there was no room in.
    """
    network, lanes, order, group_of = world.network, world.lanes, groups.order, groups.group_of
    served = world.tally.port[:, PortTally.SERVED]
    moving = True
    while moving:
        moving = False
        for item in range(order.shape[1]):
            port = order[group, item]
            if port < 0 or served[port] >= until:
                continue
            goal = until
            step = 0
            first_lane, last_lane = network.lane_first[port], network.lane_first[port + 1]
            for lane in range(first_lane, last_lane):
                feeder = lanes.feeder[lane]
                if group_of[feeder] == group:
                    goal = min(goal, served[feeder] + lanes.reach[lane])
                    step = min(step, lanes.reach[lane]) if step else lanes.reach[lane]
                    lanes.receiver[lane, Receiver.SEEN_TAIL] = lanes.sender[lane, Sender.TAIL]
            if goal < until and goal - served[port] < step:
                moving = True
                continue
            goal = min(goal, (served[port] // network.block + 1) * network.block)
            moving = moving or goal < until
            status = serve_any(port, goal, world, counts, trace, parts)
            if status != DONE:
                return status
            served[port] = goal
            for lane in range(first_lane, last_lane):
                if group_of[lanes.feeder[lane]] == group:
                    lanes.sender[lane, Sender.ROOM_UNTIL] = lanes.receiver[lane, Receiver.HEAD]
    return DONE


@bare_kernel
def read_posted(group: int, crossing: Ints, posted: Ints, lanes: Lanes) -> None:
    """Learn how far other groups have come with the lanes that they share with this one."""
    for i in range(crossing.shape[0]):
        lane = crossing[i, Crossing.LANE]
        if crossing[i, Crossing.AFTER] == group:
            lanes.receiver[lane, Receiver.SEEN_TAIL] = posted[Posted.FILLED, i]
        elif crossing[i, Crossing.BEFORE] == group:
            lanes.sender[lane, Sender.ROOM_UNTIL] = posted[Posted.EMPTIED, i]


@bare_kernel
def post(group: int, crossing: Ints, posted: Ints, lanes: Lanes) -> None:
    """Tell the other groups how far this one has come with the lanes that it shares with them."""
    for i in range(crossing.shape[0]):
        lane = crossing[i, Crossing.LANE]
        if crossing[i, Crossing.BEFORE] == group:
            posted[Posted.FILLED, i] = lanes.sender[lane, Sender.TAIL]
        elif crossing[i, Crossing.AFTER] == group:
            posted[Posted.EMPTIED, i] = lanes.receiver[lane, Receiver.HEAD]


@bare_kernel
def await_others(own: int, window: int, progress: Ints) -> bool:
    """Wait until all groups have done so many windows; False when one has stopped.

    At first the wait keeps the core, then it gives it to any thread that wants it; a long one
    sleeps.
    """
    for group in range(progress.size // LINE):
        turns = 0
        while group != own and read_shared(progress, group * LINE) < window:
            if turns >= SLEEP_AFTER:
                _usleep(SLEEP_US)
            elif turns >= YIELD_AFTER:
                _sched_yield()
            turns += 1
    for group in range(progress.size // LINE):
        if read_shared(progress, group * LINE) == STOPPED:
            return False
    return True


@bare_kernel
def run_group(
    group: int,
    begin: int,
    goal: int,
    window: int,
    groups: Groups,
    world: World,
    counts: Counts,
    trace: Trace | None,
    parts: Parts | None,
) -> int:
    """Run one group from `begin` to `goal`, beside a thread for each other group.

    Return the time to go on from: `goal` when all is done, else the begin of a window that some
    group has not done, for lack of room. `window` is no longer than the reach of any lane between
    two groups.
    """
    progress = groups.progress
    number = 0
    while begin < goal:
        until = min(begin + window, goal)
        read_posted(group, groups.crossing, groups.posted[1 - number % 2], world.lanes)
        status = advance_group(group, until, groups, world, counts, trace, parts)
        if status != DONE:
            write_shared(progress, group * LINE, STOPPED)
            return begin
        post(group, groups.crossing, groups.posted[number % 2], world.lanes)
        number += 1
        write_shared(progress, group * LINE, number)
        if not await_others(group, number, progress):
            # A third group may be a window ahead already, and wait for this one.
            write_shared(progress, group * LINE, STOPPED)
            return begin
        begin = until
    return goal


class Agenda(NamedTuple):
    """When each port has something to do next, and what the others must know of it."""

    after: Ints
    """[lane]: the port after it, or -1."""
    out_first: Ints
    out_lane: Ints
    """[port]: the lanes out of port p are out_lane[out_first[p]:out_first[p + 1]]."""
    soonest: Ints
    """[port]: the least reach of the lanes into it; NEVER where there is none."""
    due: Ints
    """[port]: before this it begins nothing, unless a frame comes that is in no lane yet."""
    heap: Ints
    place: Ints
    """The ports, that which is due first on top; [port]: its place among them."""


@bare_kernel
def due_at(port: int, world: World) -> int:
    """Return the earliest time at which a port may begin something, by what is known now."""
    network, _, lanes, _, sources, tally = world
    time = tally.port[port, PortTally.WAKE]
    if port + 1 < sources.first.size and sources.first[port] < sources.first[port + 1]:
        time = min(time, sources.heap[sources.first[port], SourceHeap.TIME])
    for lane in range(network.lane_first[port], network.lane_first[port + 1]):
        head = lanes.receiver[lane, Receiver.HEAD]
        if head < lanes.sender[lane, Sender.TAIL]:
            place = lanes.base[lane] + (head & lanes.mask[lane])
            time = min(time, lanes.cells[place, Frame.ARRIVAL])
    return max(time, tally.port[port, PortTally.FREE_AT])


@bare_kernel
def rise(port: int, agenda: Agenda) -> None:
    """Let a port rise in the heap to where no other above it is due later."""
    heap, place, due = agenda.heap, agenda.place, agenda.due
    at = place[port]
    while at > 0:
        above = heap[(at - 1) >> 1]
        if due[above] <= due[port]:
            break
        heap[at] = above
        place[above] = at
        at = (at - 1) >> 1
    heap[at] = port
    place[port] = at


@bare_kernel
def sink(port: int, agenda: Agenda) -> None:
    """Let a port sink in the heap to where no other below it is due sooner."""
    heap, place, due = agenda.heap, agenda.place, agenda.due
    at = place[port]
    while 2 * at + 1 < heap.size:
        child = 2 * at + 1
        if child + 1 < heap.size and due[heap[child + 1]] < due[heap[child]]:
            child += 1
        if due[heap[child]] >= due[port]:
            break
        heap[at] = heap[child]
        place[heap[at]] = at
        at = child
    heap[at] = port
    place[port] = at


@bare_kernel
def run_events(
    goal: int,
    agenda: Agenda,
    world: World,
    counts: Counts,
    trace: Trace | None,
    parts: Parts | None,
) -> int:
    """Serve all ports up to `goal`, each time that which is due first; return DONE, or why not.

    What no lane holds yet begins to leave a port no sooner than that is due, or than a frame can
    come to it from any that is: so far the port in hand may go. It always comes beyond its due
    time, for every reach is above 0.
    """
    network, lanes, tally = world.network, world.lanes, world.tally
    for lane in range(lanes.base.size):
        lanes.sender[lane, Sender.ROOM_UNTIL] = lanes.receiver[lane, Receiver.HEAD]
    for port in range(agenda.due.size):
        agenda.due[port] = due_at(port, world)
        agenda.heap[port] = agenda.place[port] = port
        rise(port, agenda)
    while agenda.due[agenda.heap[0]] < goal:
        port = agenda.heap[0]
        now = agenda.due[port]
        until = min(goal, (now // network.block + 1) * network.block)
        for lane in range(network.lane_first[port], network.lane_first[port + 1]):
            feeder = lanes.feeder[lane]
            begins = min(agenda.due[feeder], now + agenda.soonest[feeder])
            until = min(until, begins + lanes.reach[lane])
        status = serve_alone(port, until, world, counts, trace, parts)
        if status != DONE:
            return status
        agenda.due[port] = due_at(port, world)
        sink(port, agenda)
        for item in range(agenda.out_first[port], agenda.out_first[port + 1]):
            lane = agenda.out_lane[item]
            head, target = lanes.receiver[lane, Receiver.HEAD], agenda.after[lane]
            if target >= 0 and head < lanes.sender[lane, Sender.TAIL]:
                arrival = lanes.cells[lanes.base[lane] + (head & lanes.mask[lane]), Frame.ARRIVAL]
                arrival = max(arrival, tally.port[target, PortTally.FREE_AT])
                if arrival < agenda.due[target]:
                    agenda.due[target] = arrival
                    rise(target, agenda)
    # Nothing begins before the goal any more; frames may come, and counts be due.
    for port in range(agenda.due.size):
        status = serve_alone(port, goal, world, counts, trace, parts)
        if status != DONE:
            return status
    return DONE


@bare_kernel
def serve_alone(
    port: int,
    until: int,
    world: World,
    counts: Counts,
    trace: Trace | None,
    parts: Parts | None,
) -> int:
    """Serve one port, which sees all that is in its lanes, and give back the room in them."""
    network, lanes, tally = world.network, world.lanes, world.tally
    if tally.port[port, PortTally.SERVED] >= until:
        return DONE
    first_lane, last_lane = network.lane_first[port], network.lane_first[port + 1]
    for lane in range(first_lane, last_lane):
        lanes.receiver[lane, Receiver.SEEN_TAIL] = lanes.sender[lane, Sender.TAIL]
    status = serve_any(port, until, world, counts, trace, parts)
    if status == DONE:
        tally.port[port, PortTally.SERVED] = until
        for lane in range(first_lane, last_lane):
            lanes.sender[lane, Sender.ROOM_UNTIL] = lanes.receiver[lane, Receiver.HEAD]
    return status


@bare_kernel
def open_lanes(crossing: Ints, posted: Ints, lanes: Lanes) -> None:
    """Show every port what is in its lanes; no group may be at work."""
    for lane in range(lanes.base.size):
        lanes.receiver[lane, Receiver.SEEN_TAIL] = lanes.sender[lane, Sender.TAIL]
        lanes.sender[lane, Sender.ROOM_UNTIL] = lanes.receiver[lane, Receiver.HEAD]
    for i in range(crossing.shape[0]):
        lane = crossing[i, Crossing.LANE]
        for turn in range(2):
            posted[turn, Posted.FILLED, i] = lanes.sender[lane, Sender.TAIL]
            posted[turn, Posted.EMPTIED, i] = lanes.receiver[lane, Receiver.HEAD]
