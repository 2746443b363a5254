"""Sorted spans of busy time that do not meet, and the gaps between them that a train fits.

Everything repeats after the hyperperiod. A span that runs over its end is kept as two. A train is
`count` spans of the same length, `step` apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import bare_kernel

Int64s = NDArray[np.int64]


class Spans(NamedTuple):
    """Busy spans; a row has what one port sends, or when one of its queues is in use."""

    hyper: int
    """The hyperperiod."""
    offset: Int64s
    """Row r is `[offset[r] : offset[r] + held[r]]` of what follows."""
    held: Int64s
    start: Int64s
    end: Int64s
    owner: Int64s
    """The stream that a span belongs to."""


@bare_kernel
def first_ending_after(spans: Spans, row: int, time: int) -> int:
    """Return the first span of a row that ends after `time`, as an index into the arrays."""
    low = spans.offset[row]
    high = low + spans.held[row]
    while low < high:
        middle = (low + high) // 2
        if spans.end[middle] > time:
            high = middle
        else:
            low = middle + 1
    return low


@bare_kernel
def delay_to_clear(spans: Spans, row: int, at: int, length: int) -> int:
    """Return by how much `[at, at + length)` must move later to leave the first span it meets."""
    stop = spans.offset[row] + spans.held[row]
    index = first_ending_after(spans, row, at)
    if index < stop and spans.start[index] < at + length:
        return spans.end[index] - at
    index = spans.offset[row]
    if index < stop and spans.start[index] < at + length - spans.hyper:
        return spans.end[index] + spans.hyper - at
    return 0


@bare_kernel
def advance_to_clear(spans: Spans, row: int, at: int, length: int) -> int:
    """Return by how much `[at, at + length)` must move earlier to leave the last span it meets."""
    begin = spans.offset[row]
    past = at + length - spans.hyper
    if past > 0:
        index = first_ending_after(spans, row, past - 1)
        if index < begin + spans.held[row] and spans.start[index] < past:
            return past - spans.start[index]
        if index > begin:
            return past - spans.start[index - 1]
    index = first_ending_after(spans, row, at + length - 1)
    if index < begin + spans.held[row] and spans.start[index] < at + length:
        return at + length - spans.start[index]
    if index > begin and spans.end[index - 1] > at:
        return at + length - spans.start[index - 1]
    return 0


@bare_kernel
def first_fit(
    spans: Spans, row: int, time: int, last: int, length: int, step: int, count: int
) -> int:
    """Return the earliest start from `time` to `last` that keeps the whole train clear, or -1."""
    # All repeats after the hyperperiod; a stream without a deadline would search it forever.
    last = min(last, time + spans.hyper - 1)
    clear = 0
    frame = 0
    while clear < count:
        delay = delay_to_clear(spans, row, (time + frame * step) % spans.hyper, length)
        if delay > 0:
            time += delay
            clear = 0
            if time > last:
                return -1
        else:
            clear += 1
            frame = frame + 1 if frame + 1 < count else 0
    return time if time <= last else -1


@bare_kernel
def last_fit(
    spans: Spans, row: int, time: int, floor: int, length: int, step: int, count: int
) -> int:
    """Return the latest start up to `time` that keeps the train clear, or less than `floor`."""
    clear = 0
    frame = 0
    while clear < count:
        advance = advance_to_clear(spans, row, (time + frame * step) % spans.hyper, length)
        if advance > 0:
            time -= advance
            clear = 0
            if time < floor:
                return floor - 1
        else:
            clear += 1
            frame = frame + 1 if frame + 1 < count else 0
    return time


@bare_kernel
def next_touch(spans: Spans, row: int, time: int, step: int, count: int) -> int:
    """Return the nearest later start at which some frame of a clear train meets a span."""
    begin = spans.offset[row]
    stop = begin + spans.held[row]
    gap = spans.hyper
    for frame in range(count):
        at = (time + frame * step) % spans.hyper
        index = first_ending_after(spans, row, at)
        if index < stop:
            gap = min(gap, spans.start[index] - at)
        elif stop > begin:
            gap = min(gap, spans.start[begin] + spans.hyper - at)
    return time + max(gap, 1)


@bare_kernel
def insert_piece(spans: Spans, row: int, start: int, end: int, owner: int) -> int:
    """Insert one span that does not run over the end of the hyperperiod."""
    place = first_ending_after(spans, row, start)
    index = spans.offset[row] + spans.held[row]
    while index > place:
        spans.start[index] = spans.start[index - 1]
        spans.end[index] = spans.end[index - 1]
        spans.owner[index] = spans.owner[index - 1]
        index -= 1
    spans.start[place] = start
    spans.end[place] = end
    spans.owner[place] = owner
    spans.held[row] += 1
    return 0


@bare_kernel
def insert(spans: Spans, row: int, at: int, length: int, owner: int) -> int:
    """Insert a span at any time, folded into the hyperperiod."""
    at = at % spans.hyper
    over = at + length - spans.hyper
    if over > 0:
        insert_piece(spans, row, at, spans.hyper, owner)
        insert_piece(spans, row, 0, over, owner)
    else:
        insert_piece(spans, row, at, at + length, owner)
    return 0


@bare_kernel
def remove(spans: Spans, row: int, owner: int) -> int:
    """Take all spans of a stream out of a row."""
    begin = spans.offset[row]
    keep = begin
    for index in range(begin, begin + spans.held[row]):
        if spans.owner[index] != owner:
            spans.start[keep] = spans.start[index]
            spans.end[keep] = spans.end[index]
            spans.owner[keep] = spans.owner[index]
            keep += 1
    spans.held[row] = keep - begin
    return 0
