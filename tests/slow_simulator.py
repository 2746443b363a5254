"""The simulator's slow, obvious twin: one heap of events, plain integers, no windows.

It follows "The model of time" in docs/design.md and shares nothing with qnet.simulate. It knows
periodic and paced sources, fixed processing delays and constant clock errors; what is drawn at
random is tested apart.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True)
class SlowPort:
    rate_bps: int
    propagation_ps: int
    processing_ps: int
    """In the node after the port."""
    buffer_bytes: int
    cycle_start_ps: int
    """Start of cycle 0, clock error included."""


@dataclass(frozen=True)
class SlowSource:
    ports: tuple[int, ...]
    rank: int
    """0 reserved, 1 and more in falling priority."""
    births: tuple[tuple[int, int, int], ...]
    """Time, frame bytes, cycle at the first port."""
    shifts: tuple[int, ...] = ()
    hold_ps: int | None = None


@dataclass
class SlowCount:
    sent: int = 0
    lost: int = 0
    late: int = 0
    latencies: list[int] = field(default_factory=list)


@dataclass
class SlowUse:
    frames: int = 0
    wire_bytes: int = 0
    deepest: int = 0
    dropped: int = 0


@dataclass
class _Frame:
    source: int
    hop: int
    birth: int
    size: int
    cycle: int
    queued: int = 0


@dataclass(frozen=True)
class SlowHop:
    """One frame leaving one port: the log that journeys are compared with."""

    source: int
    hop: int
    birth: int
    size: int
    queued: int
    started: int
    ended: int


class SlowSimulator:
    def __init__(
        self,
        ports: list[SlowPort],
        sources: list[SlowSource],
        *,
        cycle_ps: int,
        buffers: int,
        end_ps: int,
    ) -> None:
        self.ports, self.sources = ports, sources
        self.cycle_ps, self.buffers, self.end_ps = cycle_ps, buffers, end_ps
        self.counts = [SlowCount() for _ in sources]
        self.uses = [SlowUse() for _ in ports]
        self.log: list[list[SlowHop]] = [[] for _ in ports]
        self.reserved: dict[tuple[int, int], deque[_Frame]] = defaultdict(deque)
        self.queues: dict[tuple[int, int], deque[_Frame]] = defaultdict(deque)
        self.free_at = [0] * len(ports)
        self.last_arrival: dict[tuple[int, int], int] = defaultdict(int)
        self.ranks = sorted({source.rank for source in sources} - {0})
        # Events: time, arrivals before wake-ups, sources before lanes, then by number.
        self.events: list[tuple[int, int, int, int, int, int, _Frame | None]] = []
        self.serial = 0

    def run(self) -> None:
        for number, source in enumerate(self.sources):
            for time, size, cycle in source.births:
                if time < self.end_ps:
                    born = _Frame(number, 0, time, size, cycle)
                    self.push(time, 0, source.ports[0], 0, number, born)
        while self.events:
            time, kind, port, _, _, _, frame = heapq.heappop(self.events)
            if time >= self.end_ps:
                continue
            if kind == 0:
                assert frame is not None
                self.arrive(time, port, frame)
                self.push(time, 1, port, 0, 0, None)
            elif self.free_at[port] <= time:
                self.send(time, port)

    def push(
        self, time: int, kind: int, port: int, who: int, number: int, frame: _Frame | None
    ) -> None:
        self.serial += 1
        heapq.heappush(self.events, (time, kind, port, who, number, self.serial, frame))

    def cycle_at(self, time: int, port: int) -> int:
        return (time - self.ports[port].cycle_start_ps) // self.cycle_ps

    def arrive(self, time: int, number: int, frame: _Frame) -> None:
        port = self.ports[number]
        count = self.counts[frame.source]
        rank = self.sources[frame.source].rank
        count.sent += frame.hop == 0
        if rank == 0:
            begin = port.cycle_start_ps + frame.cycle * self.cycle_ps
            last_turn_over = begin - (self.buffers - 1) * self.cycle_ps
            if not last_turn_over <= time <= begin:
                count.late += 1
                turn = self.cycle_at(time, number)
                while turn % self.buffers != frame.cycle % self.buffers:
                    turn += 1
                frame.cycle = turn
            queue = self.reserved[number, frame.cycle % self.buffers]
            room = self.cycle_ps * port.rate_bps // (8 * 10**12)
        else:
            queue = self.queues[number, rank]
            room = port.buffer_bytes
        depth = sum(waiting.size for waiting in queue) + frame.size
        if depth > room:
            count.lost += 1
            self.uses[number].dropped += 1
            return
        frame.queued = time
        queue.append(frame)
        self.uses[number].deepest = max(self.uses[number].deepest, depth)

    def line_time(self, port: int, size: int) -> int:
        return -int(-Fraction((size + 20) * 8 * 10**12, self.ports[port].rate_bps) // 1)

    def send(self, time: int, number: int) -> None:
        port = self.ports[number]
        cycle = self.cycle_at(time, number)
        cycle_end = port.cycle_start_ps + (cycle + 1) * self.cycle_ps
        mine = self.reserved[number, cycle % self.buffers]
        frame: _Frame | None = None
        if mine and time + self.line_time(number, mine[0].size) <= cycle_end:
            frame = mine.popleft()
        else:
            for rank in self.ranks:
                if self.queues[number, rank]:
                    frame = self.queues[number, rank].popleft()
                    break
        if frame is None:
            if any(self.reserved[number, i] for i in range(self.buffers)):
                self.push(cycle_end, 1, number, 0, 0, None)
            return
        source = self.sources[frame.source]
        count = self.counts[frame.source]
        if source.rank == 0:
            if cycle != frame.cycle:
                count.late += 1
            frame.cycle = cycle
        left = time + self.line_time(number, frame.size)
        self.free_at[number] = left
        self.push(left, 1, number, 0, 0, None)
        self.log[number].append(
            SlowHop(frame.source, frame.hop, frame.birth, frame.size, frame.queued, time, left)
        )
        self.uses[number].frames += 1
        self.uses[number].wire_bytes += frame.size + 20
        if frame.hop + 1 == len(source.ports):
            delivered = left + port.propagation_ps
            if source.hold_ps is not None:
                count.late += delivered > frame.birth + source.hold_ps
                delivered = max(delivered, frame.birth + source.hold_ps)
            if delivered <= self.end_ps:
                count.latencies.append(delivered - frame.birth)
            return
        after = source.ports[frame.hop + 1]
        arrival = left + port.propagation_ps + port.processing_ps
        arrival = max(arrival, self.last_arrival[number, after])
        self.last_arrival[number, after] = arrival
        if source.rank == 0:
            frame.cycle += source.shifts[frame.hop]
        frame.hop += 1
        self.push(arrival, 0, after, 1, number, frame)
