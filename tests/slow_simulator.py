"""The simulator's slow, obvious twin: one heap of events, plain integers, no windows.

It follows "The model of time" in docs/design.md and shares nothing with qnet.simulate. It knows
sources that say when they send, and clock errors that are given; what is drawn at random is tested
apart, or handed in as a function.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

BLOCK_PS = 10**9
HOLD = 8
"""Bit of gate states: preemptable frames are held."""


@dataclass(frozen=True)
class SlowClock:
    """A clock's errors at 0, 1, 2 ... times `block_ps`; in between they change evenly."""

    errors: tuple[int, ...] = (0,)
    block_ps: int = BLOCK_PS
    later: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """From when on it goes by which other errors, in order."""

    def now(self, time: int) -> SlowClock:
        """A clock that always goes as this one does at a time."""
        for since, errors in reversed(self.later):
            if since <= time:
                return SlowClock(errors, self.block_ps)
        return SlowClock(self.errors, self.block_ps)

    def error(self, time: int) -> int:
        if self.later:
            return self.now(time).error(time)
        number = time // self.block_ps
        if time < 0 or number + 1 >= len(self.errors):
            return self.errors[0 if time < 0 else -1]
        begin, end = self.errors[number : number + 2]
        return begin + (end - begin) * (time - number * self.block_ps) // self.block_ps

    def shows(self, time: int) -> int:
        return time - self.error(time)

    def first(self, shown: int, after: int) -> int:
        """The first time from one on at which it shows so much or more, however it is set then."""
        edges = [after, *(since for since, _ in self.later if since > after)]
        for low, end in pairwise([*edges, 10**18]):
            time = max(low, self.now(low).when(shown))
            if time < end:
                return time
        raise AssertionError("some time it does")

    def has_shown(self, shown: int, time: int) -> bool:
        """Whether it has shown so much before a time, as it is set then."""
        return self.now(time) == self.now(time - 1) and self.shows(time - 1) >= shown

    def when(self, shown: int) -> int:
        """The first time at which it shows so much: bisection."""
        low, high = shown + min(self.errors) - 2, shown + max(self.errors)
        while low + 1 < high:
            middle = (low + high) // 2
            if self.shows(middle) >= shown:
                high = middle
            else:
                low = middle
        return high


@dataclass(frozen=True)
class SlowQueue:
    """One queue of a port. Higher priority goes first; equal ones with a weight take turns."""

    priority: int
    gate: int = 0
    weight: int = 0
    idle_slope: Fraction | None = None
    """Part of the port's rate."""
    residence_ps: int | None = None
    preemptable: bool = False


@dataclass(frozen=True)
class SlowPort:
    rate_bps: int
    propagation_ps: int
    processing_ps: int
    """In the node after the port, without what `processes` adds."""
    buffer_bytes: int
    phase_ps: int
    clock: SlowClock = SlowClock()
    """Of the port's node."""
    queues: tuple[SlowQueue, ...] = ()
    gates: tuple[tuple[int, int], ...] = ()
    """Lengths of time and the gates open in them, from 0 of the clock on, again and again."""
    fixed_guard: bool = False
    by_arrival: bool = False
    """CQF: a frame's cycle is the one after that in which it comes."""
    loses: Callable[[int, int], bool] | None = None
    """Asked with the bytes of each frame that leaves, and when the last of it began to."""
    cut_through_bytes: int | None = None
    """Of the node that owns the port."""
    processes: Callable[[], int] | None = None
    """Asked for each frame that goes on to another port: what it stays longer in the node."""
    ends: tuple[str, str] = ("", "")
    """The node that owns the port, and the one after it."""
    rates: tuple[tuple[int, int], ...] = ()
    """From when on it has which other rate, in order; what has begun to leave goes on."""
    delays: tuple[tuple[int, int], ...] = ()
    """From when on what begins to leave takes another fibre, and its propagation."""

    def rate(self, time: int) -> int:
        return in_force(self.rates, time, self.rate_bps)

    def delay(self, time: int) -> int:
        return in_force(self.delays, time, self.propagation_ps)


def in_force(changes: Sequence[tuple[int, int]], time: int, before: int) -> int:
    for since, value in changes:
        if since <= time:
            before = value
    return before


@dataclass(frozen=True)
class SlowCut:
    """A line that is cut, at a share of the way from the link's first node, from when to before
    when; a port is at that node or at the other.
    """

    port: int
    where: Fraction
    is_there: bool
    begins: int
    ends: int

    def far_ps(self, propagation_ps: int) -> int:
        share = int(propagation_ps * self.where)
        return share if self.is_there else propagation_ps - share


@dataclass(frozen=True)
class SlowDown:
    """A node that is down from when to before when."""

    node: str
    begins: int
    ends: int


@dataclass(frozen=True)
class SlowSource:
    ports: tuple[int, ...]
    births: tuple[tuple[int, int, int], ...]
    """Time, frame bytes, cycle at the first port."""
    queues: tuple[int, ...] = ()
    """Its queue at each port; empty for frames that go by cycles."""
    shifts: tuple[int, ...] = ()
    hold_ps: int | None = None
    hold_clock: SlowClock = SlowClock()
    """Of the listener's node."""
    meter: tuple[tuple[int, int], ...] = ()
    """Rates and bursts, committed first, of which a frame needs one, at the first port."""
    shaper: tuple[int, int] | None = None
    """Committed rate and burst, for queues with a residence time."""
    recovery: tuple[str, int, int] | None = None
    """Name of the stream, history and time to reset."""
    first: int = 0
    """Number of the first birth: frames before it were left out."""
    numbers: tuple[int, ...] | None = None
    """Of each birth, where they do not count on from the first one's."""
    name: str = ""
    """Of its stream or demand, whose meters and shapers are one for all that sends it."""
    tree: str = ""
    """Sources of one tree send the same frames: one is there for all that have come the same way.
    """

    def sends(self, number: int) -> bool:
        """Whether it has a frame of a number, born or to be born."""
        return number in self.numbers if self.numbers is not None else number >= self.first


@dataclass
class SlowCount:
    sent: int = 0
    lost: int = 0
    late: int = 0
    latencies: list[int] = field(default_factory=list)
    causes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    fates: dict[int, str] = field(default_factory=dict)
    """By number, of every frame that was born: received, in flight, or the cause of its end."""


@dataclass
class SlowUse:
    came: int = 0
    frames: int = 0
    wire_bytes: int = 0
    deepest: int = 0
    dropped: int = 0
    lost_on_link: int = 0


@dataclass
class SlowRecovery:
    """IEEE 802.1CB clause 7.4.3.4, word for word: a shift register of flags."""

    history: list[int]
    newest: int = 0
    take_any: bool = True
    accepted_at: int = 0
    passed: int = 0
    discarded: int = 0
    out_of_order: int = 0
    rogue: int = 0
    resets: int = 0

    def passes(self, number: int, now: int, reset_ps: int) -> bool:
        if not self.take_any and now - self.accepted_at >= reset_ps:
            self.take_any = True
            self.resets += 1
        delta = (number - self.newest) % 65536
        if delta >= 32768:
            delta -= 65536
        if self.take_any:
            self.take_any = False
            self.history = [1] + [0] * (len(self.history) - 1)
            self.newest = number
        elif abs(delta) >= len(self.history):
            self.rogue += 1
            self.discarded += 1
            return False
        elif delta <= 0:
            if self.history[-delta]:
                self.discarded += 1
                return False
            self.history[-delta] = 1
            self.out_of_order += 1
        else:
            self.out_of_order += delta != 1
            for _ in range(delta - 1):
                self.history = [0, *self.history[:-1]]
            self.history = [1, *self.history[:-1]]
            self.newest = number
        self.accepted_at = now
        self.passed += 1
        return True


@dataclass
class _Frame:
    source: int
    hop: int
    birth: int
    size: int
    cycle: int
    number: int
    legs: tuple[int, ...] = ()
    """Sources that it is a frame of, the one that it is called after with them."""
    queued: int = 0
    eligible: int = 0
    stored_after: int = 0
    """Cut-through: how long after its arrival all of it is in."""
    entered: int = -1
    """When its last bit came into the node it is in."""
    parts: list[tuple[int, int]] = field(default_factory=list)
    """Parts that it was cut into and that have left this port: begin and last bit."""


@dataclass(frozen=True)
class SlowHop:
    """One frame leaving one port: the log that journeys are compared with.

    A frame that was cut has started when its last part did.
    """

    source: int
    hop: int
    birth: int
    size: int
    queued: int
    started: int
    ended: int
    """Its last bit has left."""
    free: int
    """The wire may be used again."""
    legs: tuple[int, ...]
    """Sources that it is a frame of."""


@dataclass
class _State:
    """What a port remembers beside its queues."""

    free_at: int = 0
    turn: dict[int, int] = field(default_factory=dict)
    """Of each priority with weights: the queue whose turn it is."""
    granted: dict[int, bool] = field(default_factory=dict)
    deficit: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    credit: dict[int, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    """In bits."""
    credit_at: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Until when credit is counted."""
    group: dict[tuple[int | str, int], int] = field(default_factory=lambda: defaultdict(int))
    wire: tuple[_Frame, int, int] | None = None
    """A preemptable frame being sent: begin of this fragment, bytes left."""
    cut: tuple[_Frame, int] | None = None
    """A preemptable frame that was cut, and its bytes left."""


class SlowSimulator:
    def __init__(
        self,
        ports: list[SlowPort],
        sources: list[SlowSource],
        *,
        cycle_ps: int,
        buffers: int,
        end_ps: int,
        broken: Sequence[SlowCut | SlowDown] = (),
    ) -> None:
        self.broken = [one for one in broken if one.begins < end_ps]
        self.ports, self.sources = ports, sources
        self.cycle_ps, self.buffers, self.end_ps = cycle_ps, buffers, end_ps
        self.counts = [SlowCount() for _ in sources]
        self.latency: dict[tuple[int, int], int] = {}
        """Of the frames that were received, by source and number."""
        self.uses = [SlowUse() for _ in ports]
        self.states = [_State() for _ in ports]
        self.log: list[list[SlowHop]] = [[] for _ in ports]
        self.reserved: dict[tuple[int, int], deque[_Frame]] = defaultdict(deque)
        self.queues: dict[tuple[int, int], list[_Frame]] = defaultdict(list)
        self.last_arrival: dict[tuple[int, int], int] = defaultdict(int)
        self.meters: dict[tuple[str, int, int], tuple[Fraction, int]] = {}
        self.coloured: Counter[int] = Counter()
        """Frames that were green (0) and yellow (1)."""
        self.buckets: dict[tuple[str, int], Fraction] = {}
        self.recoveries: dict[str, SlowRecovery] = {}
        # Events: time, nodes that go down, arrivals, wake-ups; sources before lanes, by number.
        self.events: list[tuple[int, int, int, int, int, int, _Frame | None]] = []
        self.serial = 0
        self.now = 0
        self.wakes: set[tuple[int, int]] = set()
        """Those among the events: a port that asks for several later times asks for each once."""

    def run(self) -> None:
        self.lay_out()
        while self.events:
            time, kind, port, _, _, _, frame = heapq.heappop(self.events)
            self.now = time
            if time >= self.end_ps:
                continue
            if kind == -2:
                self.settle(time, port)
                self.push(time, 1, port, 0, 0, None)
            elif kind == -1:
                stops = self.broken[port]
                assert isinstance(stops, SlowDown)
                self.stop(time, stops.node)
            elif kind == 0:
                assert frame is not None
                if port == len(self.ports):
                    self.meet(time, frame)
                    continue
                self.arrive(time, port, frame)
                self.push(time, 1, port, 0, 0, None)
            else:
                self.wakes.discard((time, port))
                self.wake(time, port)

    def lay_out(self) -> None:
        """Put all that is known beforehand among the events."""
        for number, source in enumerate(self.sources):
            legs = self.same_way(number, 0)
            if number == legs[0]:
                self.bear(number, source, legs)
        for place, one in enumerate(self.broken):
            if isinstance(one, SlowDown):
                self.push(one.begins, -1, place, 0, 0, None)
        for number, port in enumerate(self.ports):
            for since, _ in port.rates:
                self.push(since, -2, number, 0, 0, None)
            for since, _ in port.clock.later:
                self.push(since, 1, number, 0, 0, None)

    def bear(self, number: int, source: SlowSource, legs: tuple[int, ...]) -> None:
        for i, (time, size, cycle) in enumerate(source.births):
            if time < self.end_ps:
                own = source.numbers[i] if source.numbers is not None else source.first + i
                born = _Frame(number, 0, time, size, cycle, own, legs)
                for leg in legs:
                    self.counts[leg].fates[born.number] = "in flight"
                self.push(time, 0, source.ports[0], 0, number, born)

    def same_way(self, number: int, hop: int) -> tuple[int, ...]:
        """The sources whose frames have come the same way as one's, by the port of a hop too."""
        mine = self.sources[number]
        return tuple(
            other
            for other, source in enumerate(self.sources)
            if other == number
            or (
                (mine.tree and source.tree == mine.tree)
                and source.ports[: hop + 1] == mine.ports[: hop + 1]
            )
        )

    def push(
        self, time: int, kind: int, port: int, who: int, number: int, frame: _Frame | None
    ) -> None:
        if kind == 1:
            if (time, port) in self.wakes:
                return
            self.wakes.add((time, port))
        self.serial += 1
        heapq.heappush(self.events, (time, kind, port, who, number, self.serial, frame))

    def shown(self, time: int, port: int) -> int:
        """What the clock of the port's node shows, from the begin of its cycle 0 on."""
        return self.ports[port].clock.shows(time) - self.ports[port].phase_ps

    def when(self, shown: int, port: int) -> int:
        return self.ports[port].clock.now(self.now).when(shown + self.ports[port].phase_ps)

    def cycle_at(self, time: int, port: int) -> int:
        return self.shown(time, port) // self.cycle_ps

    def line_time(self, port: int, size: int, begun: int) -> int:
        return -int(-Fraction((size + 20) * 8 * 10**12, self.ports[port].rate(begun)) // 1)

    def to_last_bit(self, port: int, size: int, begun: int) -> int:
        """From a frame's begin to its last bit: the gap, 12 bytes, follows that."""
        return -int(-Fraction((size + 8) * 8 * 10**12, self.ports[port].rate(begun)) // 1)

    def to_whole(self, port: int, rest: int, begun: int) -> int:
        """From a fragment's begin to when fewer than 64 bytes would be left: it goes on whole."""
        if rest < 60 + 64:
            return 0
        rate = self.ports[port].rate(begun)
        return int(Fraction((rest - 64 + 8) * 8 * 10**12, rate) // 1) + 1

    # Coming in

    def arrive(self, time: int, number: int, frame: _Frame) -> None:
        port, source = self.ports[number], self.sources[frame.source]
        for leg in frame.legs:
            self.counts[leg].sent += frame.hop == 0
        self.uses[number].came += 1
        if frame.hop == 0 and self.is_down(port.ends[0], time):
            self.drop(number, frame, "down")
            return
        queue: deque[_Frame] | list[_Frame]
        if not source.queues:
            planned = frame.cycle
            self.find_cycle(time, number, frame)
            for leg in frame.legs:
                late = frame.cycle != planned or self.is_late(time, number, planned)
                self.counts[leg].late += late
            queue = self.reserved[number, frame.cycle % self.buffers]
            room = self.cycle_ps * port.rate_bps // (8 * 10**12)
        else:
            queue = self.queues[number, source.queues[frame.hop]]
            room = port.buffer_bytes
        if source.meter and frame.hop == 0 and not self.conforms(time, frame):
            self.drop(number, frame, "policed")
            return
        frame.queued = frame.eligible = time
        if source.queues and not self.shape(time, number, frame):
            self.drop(number, frame, "residence")
            return
        depth = sum(waiting.size for waiting in queue) + frame.size
        if depth > room:
            self.drop(number, frame, "buffer")
            return
        self.uses[number].deepest = max(self.uses[number].deepest, depth)
        state = self.states[number]
        is_idle = state.free_at <= time and state.wire is None and state.cut is None
        if frame.stored_after and not (is_idle and self.is_empty(number)):
            frame.eligible = max(frame.eligible, time + frame.stored_after)
        frame.stored_after = 0
        queue.append(frame)
        if source.queues:
            mine = source.queues[frame.hop]
            law = port.queues[mine]
            if law.residence_ps is not None:
                self.queues[number, mine].sort(key=lambda one: one.eligible)
            if law.idle_slope is not None and len(queue) == 1 and time > state.credit_at[mine]:
                grown = self.credit(number, mine, time)
                state.credit[mine], state.credit_at[mine] = min(grown, Fraction(0)), time

    def find_cycle(self, time: int, number: int, frame: _Frame) -> None:
        if self.ports[number].by_arrival:
            frame.cycle = self.cycle_at(time, number) + 1
        elif self.is_late(time, number, frame.cycle):
            turn = self.cycle_at(time, number)
            while turn % self.buffers != frame.cycle % self.buffers:
                turn += 1
            frame.cycle = turn

    def is_late(self, time: int, number: int, cycle: int) -> bool:
        if self.ports[number].by_arrival:
            return False
        begin = cycle * self.cycle_ps
        shown = self.shown(time, number)
        return not begin - (self.buffers - 1) * self.cycle_ps <= shown <= begin

    def drop(self, number: int, frame: _Frame, cause: str, *, sent: bool = False) -> None:
        for leg in frame.legs:
            self.counts[leg].lost += 1
            self.counts[leg].causes[cause] += 1
            self.counts[leg].fates[frame.number] = cause
        self.uses[number].dropped += 1
        self.uses[number].lost_on_link += sent

    # What is broken

    def is_down(self, node: str, time: int) -> bool:
        return any(
            isinstance(one, SlowDown) and one.node == node and one.begins <= time < one.ends
            for one in self.broken
        )

    def stops_between(self, node: str, after: int, until: int) -> list[int]:
        """When a node goes down later than one time, and no later than another."""
        return [
            one.begins
            for one in self.broken
            if isinstance(one, SlowDown) and one.node == node and after < one.begins <= until
        ]

    def stop(self, time: int, node: str) -> None:
        """A node goes down: all that is in it is lost, queued or on its way to a queue."""
        for number, port in enumerate(self.ports):
            if port.ends[0] != node:
                continue
            state = self.states[number]
            inside = [held[0] for held in (state.wire, state.cut) if held is not None]
            state.wire = state.cut = None
            for queues in (self.reserved, self.queues):
                for (where, _), waiting in queues.items():
                    if where == number:
                        inside += waiting
                        waiting.clear()
            state.deficit.clear()
            state.granted.clear()
            for frame in inside:
                self.drop(number, frame, "down")
            coming = [
                one
                for one in self.events
                if one[1] == 0 and one[2] == number and one[6] and 0 <= one[6].entered < time
            ]
            for one in coming:
                self.events.remove(one)
                assert one[6] is not None
                self.uses[number].came += 1
                self.drop(number, one[6], "down")
            heapq.heapify(self.events)

    def broken_by(self, number: int, begun: int, left: int) -> str:
        """What takes a frame, or a part of one, that leaves a port, from its line; or nothing.

        Some of it is at a place while that is broken. The first such place on its way counts.
        """
        port = self.ports[number]
        delay = port.delay(begun)
        met = []
        for since, other in port.delays:
            # Another fibre: what is being sent is torn, and what comes after its first light is
            # not listened to any more.
            if begun < since <= left:
                met.append((0, 0, "cut"))
            elif begun < since and left + delay >= since + other:
                met.append((0, delay, "cut"))
        for one in self.broken:
            # A node is at the end of the line, before and behind all that is on it.
            places = []
            if isinstance(one, SlowCut):
                places += [(0, one.far_ps(delay), "cut")] * (one.port == number)
            else:
                places += [(-1, 0, "down")] * (one.node == port.ends[0])
                places += [(1, delay, "down")] * (one.node == port.ends[1])
            for order, far_ps, what in places:
                if begun + far_ps < one.ends and left + far_ps >= one.begins:
                    met.append((order, far_ps, what))
        return min(met)[2] if met else ""

    def is_empty(self, number: int) -> bool:
        return not any(
            waiting
            for queues in (self.reserved, self.queues)
            for (port, _), waiting in queues.items()
            if port == number
        )

    def conforms(self, time: int, frame: _Frame) -> bool:
        """Buckets of tokens, in bits."""
        source = self.sources[frame.source]
        need = 8 * (frame.size + 20)
        # Green in the first bucket that has room, or yellow; both fill whatever comes of it.
        conforms = False
        for colour, (rate_bps, burst_bytes) in enumerate(source.meter):
            key = source.name, source.ports[0], colour
            tokens, at = self.meters.get(key, (Fraction(8 * burst_bytes), 0))
            tokens = min(
                tokens + Fraction((time - at) * rate_bps, 10**12), Fraction(8 * burst_bytes)
            )
            takes = not conforms and need <= tokens
            self.meters[key] = (tokens - need if takes else tokens, time)
            conforms = conforms or takes
            self.coloured[colour] += takes
        return conforms

    def shape(self, time: int, number: int, frame: _Frame) -> bool:
        """IEEE 802.1Q clause 8.6.11.3, with the names of its pseudo-code."""
        source = self.sources[frame.source]
        law = self.ports[number].queues[source.queues[frame.hop]]
        if law.residence_ps is None or source.shaper is None:
            return True
        rate_bps, burst_bytes = source.shaper
        before = source.ports[frame.hop - 1] if frame.hop else source.name
        group = self.states[number].group
        key = (before, source.queues[frame.hop])

        def up(bits: int) -> int:
            return -int(-Fraction(bits * 10**12, rate_bps) // 1)

        length_recovery = up(8 * (frame.size + 20))
        empty_to_full = up(8 * burst_bytes)
        bucket_empty = int(self.buckets.get((source.name, number), Fraction(-empty_to_full)))
        scheduler_eligibility = bucket_empty + length_recovery
        bucket_full = bucket_empty + empty_to_full
        eligibility = max(time, group[key], scheduler_eligibility)
        if eligibility > time + law.residence_ps:
            return False
        group[key] = eligibility
        if eligibility >= bucket_full:
            scheduler_eligibility += eligibility - bucket_full
        self.buckets[source.name, number] = Fraction(scheduler_eligibility)
        frame.eligible = eligibility
        return True

    # Choosing

    def entries(self, shown: int, number: int) -> Iterator[tuple[int, int, int]]:
        """The entries of a port's gate list from what its clock shows on: begin, end, states."""
        entries = self.ports[number].gates
        cycle = sum(length for length, _ in entries)
        begin = shown // cycle * cycle
        # Three times round: a gate that does not change by then never does.
        for length, states in entries * 3:
            if begin + length > shown:
                yield begin, begin + length, states
            begin += length

    def may_go(self, time: int, number: int, frame: _Frame, gate: int) -> tuple[bool, int]:
        """Whether the gate lets a frame begin; and a time to ask again."""
        if frame.eligible > time:
            return False, frame.eligible
        if not self.ports[number].gates:
            return True, 10**18
        shown = self.shown(time, number)
        following = list(self.entries(shown, number))
        later = self.when(following[0][1], number)
        if not following[0][2] >> gate & 1:
            return False, later
        closes = [begin for begin, _, states in following if not states >> gate & 1]
        if self.ports[number].fixed_guard or not closes:
            return True, later
        ends = time + self.line_time(number, frame.size, time)
        return ends <= self.when(closes[0], number), later

    def held(self, time: int, number: int) -> tuple[bool, int]:
        """Whether preemptable frames are held; and a time to ask again, or -1 for never.

        IEEE 802.1Q: from so long before an entry with HOLD that the longest rest of a frame that
        cannot be cut, 123 bytes, is off the wire then, and as long as there is one.
        """
        if not any(states >> HOLD & 1 for _, states in self.ports[number].gates):
            return False, -1
        advance = self.line_time(number, 123, time)
        following = list(self.entries(self.shown(time, number), number))
        for begin, end, states in following:
            if states >> HOLD & 1:
                begins = self.when(begin, number) - advance
                if time >= begins:
                    return True, self.when(end, number)
                return False, begins
        raise AssertionError("there is one in every cycle")

    def credit(self, number: int, queue: int, time: int) -> Fraction:
        """Credit in bits: it grows while the gate is open, by the node's clock."""
        state, port = self.states[number], self.ports[number]
        law = port.queues[queue]
        since = state.credit_at[queue]
        waited = max(time - since, 0)
        if port.gates and waited:
            until, waited = self.shown(time, number), 0
            since = self.shown(since, number)
            while since < until:
                _, end, states = next(self.entries(since, number))
                if states >> law.gate & 1:
                    waited += min(end, until) - since
                since = min(end, until)
        # At a change of rate all is settled by the rate before it.
        slope = self.slope_bps(number, queue, state.credit_at[queue])
        return state.credit[queue] + waited * slope / 10**12

    def settle(self, time: int, number: int) -> None:
        """Count credit until a change of rate."""
        state = self.states[number]
        for queue, law in enumerate(self.ports[number].queues):
            if law.idle_slope is not None and time > state.credit_at[queue]:
                state.credit[queue] = self.credit(number, queue, time)
                state.credit_at[queue] = time

    def slope_bps(self, number: int, queue: int, time: int) -> Fraction:
        """In bits a second: as it was laid out, and no more than the port has."""
        port = self.ports[number]
        return min(self.slope(number, queue) * port.rate_bps, Fraction(port.rate(time)))

    def slope(self, number: int, queue: int) -> Fraction:
        """Of the rate: larger behind a gate, in the ratio of the cycle to the time it is open."""
        port = self.ports[number]
        law = port.queues[queue]
        assert law.idle_slope is not None
        if not port.gates:
            return law.idle_slope
        cycle = sum(length for length, _ in port.gates)
        opened = sum(length for length, states in port.gates if states >> law.gate & 1)
        if not opened:
            return Fraction(1, 10**6)
        share = int(law.idle_slope * 10**9 * cycle / opened // 1)
        return min(Fraction(max(share // 1000, 1), 10**6), Fraction(1))

    def ready(self, time: int, number: int, queue: int) -> tuple[bool, list[int]]:
        law = self.ports[number].queues[queue]
        fits, again = self.may_go(time, number, self.queues[number, queue][0], law.gate)
        if law.idle_slope is not None:
            credit = self.credit(number, queue, time)
            state = self.states[number]
            if time > state.credit_at[queue]:
                state.credit[queue], state.credit_at[queue] = credit, time
            if credit < 0:
                slope = self.slope_bps(number, queue, time)
                wait = -int(credit * 10**12 / slope // 1)
                if not self.ports[number].gates:
                    return False, [time + wait]
                shown = self.shown(time, number)
                _, end, states = next(self.entries(shown, number))
                # Nothing is earned while the gate is closed; it is looked at again at every entry.
                soon = min(shown + wait, end) if states >> law.gate & 1 else end
                return False, [self.when(soon, number)]
        return fits, [again]

    def choose(self, time: int, number: int, express: bool) -> tuple[int | None, list[int]]:
        """The queue to send from (-1 is the present cycle's); and times to ask again."""
        again: list[int] = []
        if self.held(time, number)[0]:
            express = True
        cycle = self.cycle_at(time, number)
        mine = self.reserved[number, cycle % self.buffers]
        cycle_end = self.when((cycle + 1) * self.cycle_ps, number)
        if any(self.reserved[number, i] for i in range(self.buffers)):
            again.append(cycle_end)
        if mine:
            fits, later = self.may_go(time, number, mine[0], self.cycle_gate)
            again.append(later)
            if fits and time + self.line_time(number, mine[0].size, time) <= cycle_end:
                return -1, []
        laws = self.ports[number].queues
        for priority in sorted({law.priority for law in laws}, reverse=True):
            same = [i for i, law in enumerate(laws) if law.priority == priority]
            if express:
                same = [i for i in same if not laws[i].preemptable]
            able = []
            for i in same:
                if self.queues[number, i]:
                    fits, times = self.ready(time, number, i)
                    able += [i] * fits
                    again += times
            if able:
                if laws[able[0]].weight:
                    return self.turn(number, priority, same, able), []
                return able[0], []
        return None, again

    cycle_gate = 0
    """Gate of the class that goes by cycles."""

    def turn(self, number: int, priority: int, same: Sequence[int], able: Sequence[int]) -> int:
        """Deficit round robin (Shreedhar and Varghese): visit after visit, a quantum at each."""
        state = self.states[number]
        here = state.turn.get(priority, same[0])
        while True:
            if here in able:
                if not state.granted.get(priority):
                    state.deficit[here] += 1538 * self.ports[number].queues[here].weight
                    state.granted[priority] = True
                if self.queues[number, here][0].size + 20 <= state.deficit[here]:
                    state.turn[priority] = here
                    return here
            here = same[(same.index(here) + 1) % len(same)]
            state.turn[priority] = here
            state.granted[priority] = False

    # Going out

    def wake(self, time: int, number: int) -> None:
        state = self.states[number]
        if state.wire is not None:
            frame, begun, rest = state.wire
            if time >= begun + self.to_whole(number, rest, begun):
                last_bit = begun + self.to_last_bit(number, rest, begun)
                state.wire = None
                state.free_at = begun + self.line_time(number, rest, begun)
                self.push(state.free_at, 1, number, 0, 0, None)
                self.uses[number].wire_bytes += rest + 20
                self.leave(last_bit, begun, number, frame, cut_through=False)
            else:
                self.try_to_cut(time, number)
                return
        if state.free_at > time:
            return
        chosen, again = self.choose(time, number, express=state.cut is not None)
        is_held, changes = self.held(time, number)
        if is_held:
            again.append(changes)
        if chosen is None and state.cut is not None and not is_held:
            frame, rest = state.cut
            state.cut = None
            self.begin_preemptable(time, number, frame, rest)
        elif chosen is None:
            for later in again:
                self.push(later, 1, number, 0, 0, None)
        else:
            self.send(time, number, chosen)

    def begin_preemptable(self, time: int, number: int, frame: _Frame, rest: int) -> None:
        self.states[number].wire = (frame, time, rest)
        self.push(time + self.to_whole(number, rest, time), 1, number, 0, 0, None)
        self.try_to_cut(time, number)

    def try_to_cut(self, time: int, number: int) -> None:
        """IEEE 802.3 clause 99: 60 bytes and more, and a check of 4; 64 and more are left."""
        state = self.states[number]
        assert state.wire is not None
        frame, begun, rest = state.wire
        chosen, again = self.choose(time, number, express=True)
        is_held, changes = self.held(time, number)
        if chosen is None and not is_held:
            for later in (*again, changes) if changes >= 0 else again:
                self.push(later, 1, number, 0, 0, None)
            return
        sent = 60
        while (8 + sent) * 8 * 10**12 < (time - begun) * self.ports[number].rate(begun):
            sent += 1
        if rest - sent < 64:
            return
        state.wire, state.cut = None, (frame, rest - sent)
        self.uses[number].wire_bytes += sent + 4 + 20
        frame.parts.append((begun, begun + self.to_last_bit(number, sent + 4, begun)))
        state.free_at = begun + self.line_time(number, sent + 4, begun)
        self.push(state.free_at, 1, number, 0, 0, None)

    def send(self, time: int, number: int, chosen: int) -> None:
        port, state = self.ports[number], self.states[number]
        if chosen == -1:
            frame = self.reserved[number, self.cycle_at(time, number) % self.buffers].popleft()
        else:
            frame = self.queues[number, chosen].pop(0)
        line = self.line_time(number, frame.size, time)
        if chosen >= 0:
            law = port.queues[chosen]
            if law.idle_slope is not None:
                slope = self.slope_bps(number, chosen, time) - port.rate(time)
                credit = self.credit(number, chosen, time)
                state.credit[chosen] = credit + line * slope / 10**12
                state.credit_at[chosen] = time + line
            if law.weight:
                state.deficit[chosen] -= frame.size + 20
                if not self.queues[number, chosen]:
                    same = [i for i, one in enumerate(port.queues) if one.priority == law.priority]
                    state.deficit[chosen] = 0
                    state.turn[law.priority] = same[(same.index(chosen) + 1) % len(same)]
                    state.granted[law.priority] = False
            if law.preemptable:
                self.begin_preemptable(time, number, frame, frame.size)
                return
        else:
            cycle = self.cycle_at(time, number)
            for leg in frame.legs:
                self.counts[leg].late += cycle != frame.cycle
            frame.cycle = cycle
        state.free_at = time + line
        self.push(state.free_at, 1, number, 0, 0, None)
        self.uses[number].wire_bytes += frame.size + 20
        last_bit = time + self.to_last_bit(number, frame.size, time)
        self.leave(last_bit, time, number, frame, cut_through=True)

    def leave(
        self, left: int, begun: int, number: int, frame: _Frame, *, cut_through: bool
    ) -> None:
        port = self.ports[number]
        delay = port.delay(begun)
        self.uses[number].frames += 1
        self.log[number].append(
            SlowHop(
                frame.source,
                frame.hop,
                frame.birth,
                frame.size,
                frame.queued,
                begun,
                left,
                self.states[number].free_at,
                frame.legs,
            )
        )
        parts = [*frame.parts, (begun, left)]
        frame.parts = []
        taken = next((why for one in parts if (why := self.broken_by(number, *one))), "")
        if taken:
            self.drop(number, frame, taken, sent=True)
            return
        if port.loses is not None and port.loses(frame.size, begun):
            self.drop(number, frame, "link", sent=True)
            return
        ways: dict[int, list[int]] = defaultdict(list)
        for leg in frame.legs:
            following = self.sources[leg].ports[frame.hop + 1 :]
            ways[following[0] if following else -1].append(leg)
        at_listener = ways.pop(-1, [])
        for leg in at_listener:
            self.hand_over(left + delay, number, frame, leg)
        arrival = left + delay + port.processing_ps
        if ways and port.processes is not None:
            arrival += port.processes()
        for after, legs in ways.items():
            copy = replace(frame, source=legs[0], legs=tuple(legs))
            copy.entered = left + delay
            copy.parts = []
            self.go_on(arrival, left, begun, number, after, copy, cut_through=cut_through)

    def hand_over(self, time: int, number: int, frame: _Frame, leg: int) -> None:
        frame = replace(frame, source=leg, legs=(leg,))
        if self.sources[leg].recovery is None:
            self.deliver(time, frame, self.ports[number].ends[1], number)
        else:
            frame.hop += 1
            self.push(time, 0, len(self.ports), 1, number, frame)

    def go_on(
        self,
        arrival: int,
        left: int,
        begun: int,
        number: int,
        after: int,
        frame: _Frame,
        *,
        cut_through: bool,
    ) -> None:
        port, source = self.ports[number], self.sources[frame.source]
        head = self.ports[after].cut_through_bytes
        frame.stored_after = 0
        if (
            cut_through
            and source.queues
            and head is not None
            and self.ports[after].rate(begun) == port.rate(begun)
        ):
            needed = -int(-Fraction((head + 8) * 8 * 10**12, port.rate(begun)) // 1)
            if begun + needed < left:
                arrival -= left - begun - needed
            frame.stored_after = max(left - begun - needed, 0)
        arrival = max(arrival, self.last_arrival[number, after])
        # What is lost in the node meanwhile holds back nobody any more.
        stops = self.stops_between(port.ends[1], frame.entered, arrival)
        self.last_arrival[number, after] = min([arrival, *stops])
        if source.shifts:
            frame.cycle += source.shifts[frame.hop]
        frame.hop += 1
        self.push(arrival, 0, after, 1, number, frame)

    def meet(self, time: int, frame: _Frame) -> None:
        recovery = self.sources[frame.source].recovery
        assert recovery is not None
        name, history, reset_ps = recovery
        point = self.recoveries.setdefault(name, SlowRecovery([0] * history))
        rogue = point.rogue
        if point.passes(frame.number % 65536, time, reset_ps):
            last = self.sources[frame.source].ports[-1]
            self.deliver(time, frame, self.ports[last].ends[1], last)
        else:
            why = "rogue" if point.rogue > rogue else "duplicate"
            self.counts[frame.source].fates[frame.number] = why

    def deliver(self, delivered: int, frame: _Frame, node: str, number: int) -> None:
        """Hand a frame over; it came by a port, or was passed on where copies meet."""
        count, hold_ps = self.counts[frame.source], self.sources[frame.source].hold_ps
        if hold_ps is not None:
            clock, shown = self.sources[frame.source].hold_clock, frame.birth + hold_ps
            count.late += clock.has_shown(shown, delivered)
            due = clock.first(shown, delivered)
            if self.stops_between(node, delivered, due):
                self.drop(number, frame, "down", sent=True)
                return
            delivered = max(delivered, due)
        if delivered <= self.end_ps:
            count.latencies.append(delivered - frame.birth)
            self.latency[frame.source, frame.number] = delivered - frame.birth
            count.fates[frame.number] = "received"

    def waiting(self, number: int) -> int:
        """Frames in a port at the end, those included of which a part is sent."""
        state = self.states[number]
        queues = (self.reserved, self.queues)
        held = sum(len(one) for each in queues for (port, _), one in each.items() if port == number)
        return held + (state.wire is not None) + (state.cut is not None)
