"""The best extra cycles per hop, by dynamic programming over cycles.

A frame that starts in phase p and has waited d extra cycles by hop h uses there the cycle
p + shift[h] + d. Let `base[h]` be what the best wire of the hop has left in the cycles of a phase.
The most room that a start p can find up to hop h, having waited d, is

    table[h][d][p] = min(base[h][p + d], max over e in 0..extra[h] of table[h - 1][d - e][p])

and the best way for a start is the largest value in the last row. Example: two hops with the rooms
[5, 0] and [0, 5] of two phases and nothing between them: without waiting the best minimum is 0,
with one extra cycle it is 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import kernel
from qnet.schedule.kernels import UNSEEN, Hops, Int64s, Ledger, fold

Int64Table = NDArray[np.int64]


class Slack(NamedTuple):
    """How long frames may wait: `extra[hop]` at each hop, `most` over a whole path."""

    extra: Int64s
    most: int


class Desk(NamedTuple):
    """Room to work in: `table[hop, waited, phase]`, and one number for each phase."""

    table: Int64Table
    left: Int64s
    base: Int64s
    score: Int64s


class Ways(NamedTuple):
    """Routes of all pairs: those of pair i are `first[i]` to `first[i + 1]`, the best one first.

    The hops of route w are `offset[w]` to `offset[w + 1]` of `port`, `shift` and `extra`; `most`
    is how long a frame may wait over the whole route.
    """

    first: Int64s
    offset: Int64s
    port: Int64s
    shift: Int64s
    extra: Int64s
    most: Int64s


class Requests(NamedTuple):
    """Streams to place: pair, cycles between frames, and bytes in each cycle that is used."""

    pair: Int64s
    period: Int64s
    need: Int64s


class Places(NamedTuple):
    """Where each stream is: route or -1, start cycle, and what it has waited by each hop."""

    way: Int64s
    phase: Int64s
    waited: Int64Table


@kernel
def best_wires(ledger: Ledger, hops: Hops, hop: int, period: int, need: int, desk: Desk) -> int:
    """Write into `desk.base[phase]` the room of the hop's best wire."""
    for phase in range(period):
        desk.base[phase] = -UNSEEN
    for item in range(hops.offset[hop], hops.offset[hop + 1]):
        port = hops.port[item]
        weight = ledger.weight[port]
        fold(ledger.free[port], hops.shift[hop], period, desk.left)
        for phase in range(period):
            desk.base[phase] = max(desk.base[phase], (desk.left[phase] - need) * weight)
    return 0


@kernel
def room_by_delay(
    ledger: Ledger, hops: Hops, slack: Slack, period: int, need: int, desk: Desk
) -> int:
    """Fill the table and `desk.score`; return the best phase, the lowest of equals."""
    table, base, score = desk.table, desk.base, desk.score
    reach = 0
    last = hops.shift.shape[0] - 1
    for hop in range(last + 1):
        best_wires(ledger, hops, hop, period, need, desk)
        before = reach
        if hop > 0:
            reach = min(slack.most, reach + slack.extra[hop])
        for waited in range(reach + 1):
            row = table[hop, waited]
            if hop == 0:
                row[:period] = UNSEEN
            else:
                row[:period] = -UNSEEN
                for sooner in range(max(waited - slack.extra[hop], 0), min(waited, before) + 1):
                    past = table[hop - 1, sooner]
                    for phase in range(period):
                        row[phase] = max(row[phase], past[phase])
            turn = waited % period
            for phase in range(period - turn):
                row[phase] = min(row[phase], base[phase + turn])
            for phase in range(period - turn, period):
                row[phase] = min(row[phase], base[phase + turn - period])
    for phase in range(period):
        score[phase] = table[last, 0, phase]
    for waited in range(1, reach + 1):
        for phase in range(period):
            score[phase] = max(score[phase], table[last, waited, phase])
    chosen = 0
    for phase in range(1, period):
        if score[phase] > score[chosen]:
            chosen = phase
    return chosen


@kernel
def trace_delays(hops: Hops, slack: Slack, phase: int, desk: Desk, waited: Int64s) -> int:
    """Write how long a frame of that phase has waited by each hop; return the whole.

    The least total is taken that finds the score of the phase; of equals each wait comes as early
    as it can.
    """
    last = hops.shift.shape[0] - 1
    total = 0
    while desk.table[last, total, phase] < desk.score[phase]:
        total += 1
    now = total
    floor = desk.score[phase]
    for hop in range(last, -1, -1):
        waited[hop] = now
        if hop > 0:
            reach = 0
            for earlier in range(1, hop):
                reach = min(slack.most, reach + slack.extra[earlier])
            sooner = min(now, reach)
            while desk.table[hop - 1, sooner, phase] < floor:
                sooner -= 1
            now = sooner
    return total


@kernel
def use(
    ledger: Ledger, ways: Ways, requests: Requests, places: Places, stream: int, sign: int
) -> int:
    """Take a placed stream's bytes out of its cycles (sign 1), or give them back (sign -1)."""
    length = ledger.free.shape[1]
    period = requests.period[stream]
    low = ways.offset[places.way[stream]]
    high = ways.offset[places.way[stream] + 1]
    for hop in range(low, high):
        start = places.phase[stream] + ways.shift[hop] + places.waited[stream, hop - low]
        for turn in range(length // period):
            cycle = (start + turn * period) % length
            ledger.free[ways.port[hop], cycle] -= sign * requests.need[stream]
    return 0


@kernel
def place(
    ledger: Ledger, ways: Ways, requests: Requests, stream: int, desk: Desk, places: Places
) -> int:
    """Put one stream on the first of its routes that has room; return 1 if one has."""
    period = requests.period[stream]
    need = requests.need[stream]
    pair = requests.pair[stream]
    for way in range(ways.first[pair], ways.first[pair + 1]):
        low, high = ways.offset[way], ways.offset[way + 1]
        hops = Hops(
            np.arange(high - low + 1),
            ways.port[low:high],
            ways.shift[low:high],
        )
        slack = Slack(ways.extra[low:high], ways.most[way])
        phase = room_by_delay(ledger, hops, slack, period, need, desk)
        if desk.score[phase] >= 0:
            trace_delays(hops, slack, phase, desk, places.waited[stream])
            places.way[stream] = way
            places.phase[stream] = phase
            use(ledger, ways, requests, places, stream, 1)
            return 1
    return 0


@kernel
def place_all(
    ledger: Ledger, ways: Ways, requests: Requests, order: Int64s, desk: Desk, places: Places
) -> int:
    """Place the streams that have no place yet, in that order; return how many found one."""
    placed = 0
    for item in range(order.shape[0]):
        stream = order[item]
        if places.way[stream] < 0:
            placed += place(ledger, ways, requests, stream, desk, places)
    return placed


@kernel
def remove_all(
    ledger: Ledger, ways: Ways, requests: Requests, order: Int64s, places: Places
) -> int:
    """Take those streams out of the plan again; return how many there were."""
    removed = 0
    for item in range(order.shape[0]):
        stream = order[item]
        if places.way[stream] >= 0:
            use(ledger, ways, requests, places, stream, -1)
            places.way[stream] = -1
            places.phase[stream] = 0
            places.waited[stream] = 0
            removed += 1
    return removed
