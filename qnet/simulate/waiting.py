"""What one frame waits for at one port.

Other frames on the wire come first. What is left of a wait is shared out by the rules of the port:
a shaper, a gate, credit, or a part of a frame that was cut and is known by its last part only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.model.journey import Cause, Wait
from qnet.model.topology import Port
from qnet.simulate.clocks.kernels import setting_at
from qnet.simulate.frame_sources import FrameSource
from qnet.simulate.ports.kernels.gates import (
    entry_at,
    gate_ready,
    hold_state,
    shown_by,
    when_shown_by,
)
from qnet.simulate.ports.kernels.preemption import FRAGMENT_LEAST
from qnet.simulate.ports.parts import GENERAL, HELD_GATE, PortLaw
from qnet.simulate.run import Course
from qnet.simulate.tracing import TraceRows
from qnet.simulate.world import REFUSED, TraceRow
from qnet.units import PREAMBLE_BYTES, PS_PER_S, WIRE_OVERHEAD_BYTES, ceil_div, serialisation_ps

Ints = NDArray[np.int64]

ABOVE_ALL = 8
"""Stands for the queue of frames that have cycles: no gated frame goes before them."""

_FRAGMENT_MORE = 4
"""Bytes of the check at the end of a part that was cut off."""


class _Piece(NamedTuple):
    """A frame, or one part of it, on the wire."""

    begin: int
    end: int
    frame: int
    """Place in the list of frames; -1 stands for the frame that is asked about."""


class _Sent(NamedTuple):
    """A frame that left the port; `begin` and `end` are of its last part, with the gap."""

    begin: int
    end: int
    frame_bytes: int
    last_bytes: int
    """Bytes of the last part: all of them where it was not cut."""
    owner: int


class Waiting:
    """Shares out the time that one frame waits at one port."""

    def __init__(self, course: Course, number: int, port: Port, row: Sequence[int]) -> None:
        self.course, self.port = course, port
        self.owner = course.found[number]
        self.mine = self._sent(row, number)
        self.row = tuple(row)
        self.queued, self.started = row[TraceRow.QUEUED], row[TraceRow.STARTED]
        self.begin = self.eligible = self.queued
        self.first: Cause | None = None
        self.others: list[_Sent] = []
        one = self.owner.traffic_class
        if self._is_general and not self.owner.cycles and not one.preemptable:
            self.eligible = min(row[TraceRow.LEFT_IN], self.started)
            if one.residence_ps is not None and self.eligible > self.queued:
                self.begin, self.first = self.eligible, "shaper"

    @property
    def _is_general(self) -> bool:
        parts = self.course.parts
        return parts is not None and parts.port[self.port.number, PortLaw.WHAT] == GENERAL

    @property
    def _cuts(self) -> bool:
        """Tell whether frames are cut at this port."""
        parts = self.course.parts
        if parts is None or not self._is_general:
            return False
        row = parts.port[self.port.number]
        return bool(row[PortLaw.PREEMPTABLE] < row[PortLaw.LAST])

    def cycle_begins(self, begin: int, *, missed: bool) -> None:
        """Until its cycle begins, a frame waits for that and for nothing else."""
        self.begin = min(max(begin, self.queued), self.started)
        self.first = "turn" if missed else "cycle"

    def add(self, rows: TraceRows) -> None:
        """Add what left the port meanwhile."""
        for row, owner in zip(rows.rows.tolist(), rows.owner.tolist(), strict=True):
            if row[TraceRow.STARTED] == REFUSED or tuple(row) == self.row:
                continue
            self.others.append(self._sent(row, owner))

    def _sent(self, row: Sequence[int], owner: int) -> _Sent:
        """Return what a row says, with the gap that held the wire after the last bit."""
        begin, size = row[TraceRow.STARTED], row[TraceRow.LABEL] & 0xFFFF
        rate = self.port.rate_bps
        last = min(_bytes_in(row[TraceRow.ENDED] - begin, rate, PREAMBLE_BYTES), size)
        return _Sent(begin, begin + serialisation_ps(last, rate), size, last, owner)

    def parts(self) -> tuple[Wait, ...]:
        """Return the parts of the wait, which sum up to all of it."""
        waits = []
        if self.begin > self.queued:
            assert self.first is not None
            waits.append(
                Wait(cause=self.first, wait_ps=self.begin - self.queued, until_ps=self.begin)
            )
        pieces = sorted(self._pieces())
        passed: dict[tuple[Cause, str], int] = defaultdict(int)
        frames: dict[tuple[Cause, str], set[int]] = defaultdict(set)
        alone: dict[Cause, int] = defaultdict(int)
        until: dict[Cause, int] = {}
        for piece in pieces:
            shared = min(piece.end, self.started) - max(piece.begin, self.begin)
            if shared <= 0:
                continue
            if piece.frame < 0:
                alone["cut"] += shared
                until["cut"] = self.started
                continue
            other = self.course.found[self.others[piece.frame].owner]
            key = self._cause(other, piece.begin), other.called
            passed[key] += shared
            frames[key].add(piece.frame)
        ends = [self.begin, *(min(one.end, self.started) for one in pieces)]
        begins = [*(min(one.begin, self.started) for one in pieces), self.started]
        for end, begin in zip(ends, begins, strict=True):
            for cause, stop, time in self._idle(max(end, self.begin), begin):
                alone[cause] += time
                until[cause] = stop
        waits += [
            Wait(cause=cause, wait_ps=time, of=name, frames=len(frames[cause, name]))
            for (cause, name), time in sorted(passed.items(), key=_longest_first)
        ]
        waits += [
            Wait(cause=cause, wait_ps=time, until_ps=until[cause])
            for cause, time in sorted(alone.items(), key=lambda item: (-item[1], item[0]))
        ]
        assert sum(one.wait_ps for one in waits) == self.started - self.queued, (
            "frames of one port are on the wire one after the other"
        )
        return tuple(waits)

    def _pieces(self) -> Iterator[_Piece]:
        """Yield what was on the wire, with the first parts of frames that were cut."""
        whole = sorted(_Piece(one.begin, one.end, i) for i, one in enumerate(self.others))
        yield from whole
        whole = sorted([*whole, _Piece(self.mine.begin, self.mine.end, -1)])
        yield from self._first_parts(self.mine, -1, whole)
        for i, one in enumerate(self.others):
            yield from self._first_parts(one, i, whole)

    def _first_parts(self, sent: _Sent, frame: int, whole: Sequence[_Piece]) -> Iterator[_Piece]:
        """Yield the parts before the last of a frame that was cut, the latest first.

        From its first bit on, nothing but express frames and holds interrupt it. An express frame
        begins when a part ends: so parts fill the pauses before the last part, as far as its bytes
        go. A part that a hold has cut is known to a byte.
        """
        rate = self.port.rate_bps
        left = sent.frame_bytes - sent.last_bytes
        cursor = sent.begin
        before = [one for one in whole if one.end <= sent.begin]
        while left > 0:
            while before and before[-1].end == cursor:
                cursor = before.pop().begin
            cursor = self._cut_by_hold(cursor)
            while before and before[-1].end > cursor:
                cursor = min(cursor, before.pop().begin)
            begin = cursor - serialisation_ps(left + _FRAGMENT_MORE, rate)
            if before and before[-1].end > begin:
                begin = before[-1].end
            size = _bytes_in(cursor - begin, rate, WIRE_OVERHEAD_BYTES) - _FRAGMENT_MORE
            if size < FRAGMENT_LEAST:
                return
            yield _Piece(begin, cursor, frame)
            left -= size
            cursor = begin

    def _cut_by_hold(self, time: int) -> int:
        """Return when the port was idle for a hold that ends at a time, or that time itself."""
        parts, network = self.course.parts, self.course.world.network
        if parts is None or parts.port[self.port.number, PortLaw.HOLD_ADVANCE] == 0:
            return time
        law = parts.port[self.port.number]
        errors = self._errors(time)
        first, last = int(law[PortLaw.GATE_FIRST]), int(law[PortLaw.GATE_LAST])
        shown = int(shown_by(time - 1, law, errors, network.block))
        entry, begin = entry_at(shown, law, parts.gate_end)
        held = parts.gate_change[:, 2 * HELD_GATE] > 0
        if not held[entry]:
            return time
        while held[entry] and begin > shown - parts.gate_end[last - 1]:
            entry = first + (entry - first - 1) % (last - first)
            begin -= parts.gate_end[entry] - (parts.gate_end[entry - 1] if entry > first else 0)
        begin += parts.gate_end[entry] - (parts.gate_end[entry - 1] if entry > first else 0)
        told = int(when_shown_by(begin, law, errors, network.block)) - int(
            law[PortLaw.HOLD_ADVANCE]
        )
        # Check and gap follow the byte after which it was cut.
        return min(told + ceil_div(16 * 8 * PS_PER_S, self.port.rate_bps), time)

    def _errors(self, time: int) -> Ints:
        """Return the errors of the port's clock as it is set at a time."""
        network = self.course.world.network
        setting = setting_at(time, network.clock[self.port.number], network.clocks)
        errors: Ints = network.clocks.errors[setting]
        return errors

    def _level(self, owner: FrameSource) -> tuple[bool, int, int]:
        """Return what frames are served by at this port, the lowest first."""
        queue = ABOVE_ALL
        if owner.queues:
            queue = owner.queues[owner.ports.index(self.port)]
        return owner.traffic_class.preemptable, owner.rank, -queue

    def _cause(self, other: FrameSource, began: int) -> Cause:
        if began < self.begin:
            return "wire"
        here, there = self._level(self.owner), self._level(other)
        if here == there:
            return "ahead"
        mine, one = self.owner.traffic_class, other.traffic_class
        if mine.weight is not None and one.weight is not None and mine.priority == one.priority:
            return "weight"
        return "priority" if there < here else self._held(began)

    def _held(self, now: int) -> Cause:
        """Say why the frame may not go at a time."""
        cause, _ = self._barred(now)
        if cause is not None:
            return cause
        if self.owner.traffic_class.idle_slope is not None:
            return "credit"
        if self.owner.traffic_class.residence_ps is not None:
            return "shaper"
        # A frame that was cut goes on before others of its kind, or when the run is over.
        return "wire" if self._cuts and not self.owner.cycles else "held"

    def _idle(self, begin: int, end: int) -> Iterator[tuple[Cause, int, int]]:
        """Yield the causes of a pause in which nothing was on the wire: cause, end, time."""
        if begin < min(end, self.eligible):
            stop = min(end, self.eligible)
            yield "arriving", stop, stop - begin
            begin = stop
        while begin < end:
            cause, stop = self._barred(begin)
            if cause is None:
                cause, stop = self._held(begin), end
            stop = min(stop, end)
            yield cause, stop, stop - begin
            begin = stop

    def _barred(self, now: int) -> tuple[Cause | None, int]:
        """Say whether the frame's gate bars it, or its port is held, and when to ask again."""
        parts, network = self.course.parts, self.course.world.network
        if parts is None or not self._is_general:
            return None, now
        law = parts.port[self.port.number]
        if law[PortLaw.GATE_FIRST] == law[PortLaw.GATE_LAST]:
            return None, now
        if self.owner.queues:
            gate = self.owner.queues[self.owner.ports.index(self.port)]
        else:
            gate = self.course.queue_by_class[self.owner.traffic_class.name]
        line = serialisation_ps(self.mine.frame_bytes, self.port.rate_bps)
        errors = self._errors(now)
        shown = int(shown_by(now, law, errors, network.block))
        entry, begin = entry_at(shown, law, parts.gate_end)
        rest = errors, network.block, parts.gate_change
        ready = int(gate_ready(now, line, gate, shown, entry, begin, law, *rest))
        if ready > now:
            return "gate", ready
        if self.owner.traffic_class.preemptable and law[PortLaw.HOLD_ADVANCE] > 0:
            is_held, changes = hold_state(now, entry, begin, law, *rest)
            if is_held:
                return "hold", int(changes)
        return None, now


def _bytes_in(line_ps: int, rate_bps: int, more_bytes: int) -> int:
    """Return the bytes of the frame that takes so long with what is around it."""
    return line_ps * rate_bps // (8 * PS_PER_S) - more_bytes


def _longest_first(item: tuple[tuple[Cause, str], int]) -> tuple[int, str, str]:
    (cause, name), time = item
    return -time, cause, name
