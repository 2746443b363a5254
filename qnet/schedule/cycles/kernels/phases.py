"""The phases in which a way has room, for frames that do not wait."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.schedule.cycles.kernels.tables import Candidates, FreeBytes, Scratch, StreamRequest
from qnet.schedule.cycles.kernels.wires import may_use
from qnet.schedule.kernels import UNSEEN, Int64s, fold

TRIES = 2
"""Phases that are looked at before all are."""

PRIME = 2**31 - 1


@bare_kernel
def draw(seed: int, attempt: int, period: int) -> int:
    """Return a phase that looks random but follows from the seed."""
    value = (seed % PRIME) * 48271 % PRIME
    value = (value + attempt + 1) * 69621 % PRIME
    value ^= value >> 13
    return (value % PRIME) * 39373 % PRIME % period


@bare_kernel
def room_of_phase(
    grid: FreeBytes, ways: Candidates, way: int, period: int, phase: int, scratch: Scratch
) -> int:
    """Return the least bytes that the chosen wires have in the cycles of a phase."""
    length = grid.free.shape[1]
    room = UNSEEN
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        port = scratch.ports[hop - ways.hop[way]]
        cycle = (phase + ways.shift[hop]) % length
        left = UNSEEN
        for _ in range(length // period):
            left = min(left, grid.free[port, cycle])
            cycle += period
            if cycle >= length:
                cycle -= length
        room = min(room, left)
    return room


@bare_kernel
def try_few(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, seed: int, scratch: Scratch
) -> int:
    """Return the better of a few phases over the emptiest wires if it has room, else -1."""
    period = want.period
    chosen = -1
    most = want.need - 1
    for attempt in range(min(TRIES, period)):
        phase = draw(seed, attempt, period)
        room = room_of_phase(grid, ways, way, period, phase, scratch)
        if room > most:
            most = room
            chosen = phase
    return chosen


@bare_kernel
def hop_room(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, hop: int, scratch: Scratch
) -> int:
    """Write into `scratch.best[phase]` the room of the hop's best wire."""
    period, need = want.period, want.need
    best, left = scratch.best, scratch.left
    for phase in range(period):
        best[phase] = -UNSEEN
    for item in range(ways.wire[hop], ways.wire[hop + 1]):
        if may_use(grid, ways, want, hop, item):
            port = ways.port[item]
            weight = grid.weight[port]
            fold(grid.free[port], ways.shift[hop] % grid.free.shape[1], period, left)
            for phase in range(period):
                best[phase] = max(best[phase], (left[phase] - need) * weight)
    return 0


@bare_kernel
def add_hop(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, hop: int, scratch: Scratch
) -> int:
    """Lower `scratch.score` to what the best wire of a hop has; return the best phase's score."""
    hop_room(grid, ways, want, hop, scratch)
    best, score = scratch.best, scratch.score
    most = -UNSEEN
    for phase in range(want.period):
        score[phase] = min(score[phase], best[phase])
        most = max(most, score[phase])
    return most


@bare_kernel
def best_phase(score: Int64s, period: int) -> int:
    """Return the phase with the largest score, the lowest of equals."""
    chosen = 0
    for phase in range(1, period):
        if score[phase] > score[chosen]:
            chosen = phase
    return chosen


@bare_kernel
def score_phases(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, scratch: Scratch
) -> int:
    """Fill `scratch.score[phase]` over all hops and wires, no waiting; return the best phase."""
    scratch.score[: want.period] = UNSEEN
    for hop in range(ways.hop[way], ways.hop[way + 1]):
        scratch.waits[hop - ways.hop[way]] = 0
        add_hop(grid, ways, want, hop, scratch)
    return best_phase(scratch.score, want.period)


@bare_kernel
def try_all(
    grid: FreeBytes, ways: Candidates, want: StreamRequest, way: int, scratch: Scratch
) -> int:
    """Return the phase with the most room over all phases and wires, or -1 if none has any.

    Must follow `emptiest_wires`: the hop with the least left is looked at first, which mostly
    settles it.
    """
    period = want.period
    scratch.score[:period] = UNSEEN
    low = ways.hop[way]
    high = ways.hop[way + 1]
    tightest = low
    for hop in range(low + 1, high):
        if grid.spare[scratch.ports[hop - low]] < grid.spare[scratch.ports[tightest - low]]:
            tightest = hop
    if add_hop(grid, ways, want, tightest, scratch) < 0:
        return -1
    for hop in range(low, high):
        if hop != tightest and add_hop(grid, ways, want, hop, scratch) < 0:
            return -1
    return best_phase(scratch.score, period)
