"""The egress ports of the emulated network: the simulator's own kernel around real frames.

`qnet.simulate.kernels.dispatch` serves one port up to a virtual time, or `serve_port` of
`qnet.simulate.ports.kernels` where the port has gates, CQF, shapers, meters, preemption, losses or
a node that cuts through; `recover` is the point at a listener where the copies of a stream meet.
Rate, priority, cycles, buffers and recovery are their arithmetic, and there is no second one. This
module adds to the simulator's world what an emulator needs to hand frames in and to see them leave.
A *server* is a port or such a point, numbered on from the ports:

- an *input lane* into every server, for frames that a switch or a host hands to it, in order of
  arrival (after all other lanes when times are equal);
- an *output lane* out of every server: what leaves a port is there with the time of its last bit
  at the far end of its wire, without the processing of the node it comes to; what a point of
  recovery passes on is there at once;
- a *position* for every port and rank, for frames that no planned route brought there: they leave
  over the output lane.

A real frame carries -1 minus its number in place of its birth.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.emulate.frames import kernels as own
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.clocks.events import ClockChanges
from qnet.simulate.frame_sources import FrameSource, Turn
from qnet.simulate.kernels.delivery import damper_due, deliver, listeners_of
from qnet.simulate.layout import Ends, Extended, lay_out, with_ends
from qnet.simulate.outages import epochs, ports_going_down
from qnet.simulate.ports.kernels.outages import go_down
from qnet.simulate.ports.parts import (
    DOOMED,
    GENERAL,
    NOTHING,
    PLAIN,
    WHOLE,
    MPacket,
    Parts,
    PortLaw,
    PositionLaw,
    SourceTable,
)
from qnet.simulate.run import make_room
from qnet.simulate.series import Series
from qnet.simulate.settings import PortChanges
from qnet.simulate.turns import apply_turns, begin_turn
from qnet.simulate.windows.shares import Shares
from qnet.simulate.windows.threads import run_windows
from qnet.simulate.world import (
    GAP_BYTES,
    NEVER,
    POSITIONS,
    Frame,
    NextHop,
    OwnerTally,
    PortTally,
    Receiver,
    Ring,
    Sender,
    SourceHeap,
    SourceLaw,
    Sources,
    SourceState,
    World,
)

Ints = NDArray[np.int64]


class RealFrames(NamedTuple):
    """Which frames of a source are to be real: from number `first` on, every `stride`-th."""

    source: int
    first: int = 0
    stride: int = 1
    most: int = 1 << 20


class Passage(NamedTuple):
    """A real frame on its way from one port to the next node.

    `lane` and `place` say where it is kept, `time_ps` when it will be queued at the port of that
    lane or, in an output lane, when its last bit reaches the end of the wire. A node that cuts
    through queues a frame before its last bit is there. `port` is the server before the lane, and
    `turn` the cycle for which the frame is meant after it.
    """

    time_ps: int
    port: int
    frame: int
    lane: int
    place: int
    label: int
    turn: int

    @property
    def position(self) -> int:
        """Where it is on its route."""
        return self.label >> 16 & POSITIONS

    @property
    def is_doomed(self) -> bool:
        """Tell whether the node that it comes to goes down before it is in a queue there."""
        return self.label & DOOMED > 0


class VirtualPorts:
    """All ports of a topology in virtual time, from 0 on.

    With `loaded` the sources of the profile send, as in the simulator, and the frames that are
    wanted are noticed on their way. Without, nothing moves but what `put` hands in.
    """

    def __init__(
        self,
        topology: Topology,
        profile: Profile,
        plan: Plan,
        *,
        loaded: bool = True,
        want: Sequence[RealFrames] = (),
    ) -> None:
        """Lay out the simulator's world and add the ends for real frames."""
        self.topology = topology
        laid = lay_out(topology, profile, plan)
        self.found, simulated, parts, self._turns, changes = laid
        if not loaded:
            simulated.sources.heap[:, SourceHeap.TIME] = NEVER
            self._turns = {}
        self.frames, self.numbers, self.span = _births(simulated, parts, want, self.found)
        """[frame]: birth, bytes and cycle of each real frame, and its sequence number, where those
        of its source have any; [source]: first and last + 1."""
        servers = simulated.network.lane_first.size - 1
        self.ranks = simulated.network.classes + 1
        self.planned_positions = len(simulated.routes.hop)
        self.stray_positions = 2 * self.planned_positions
        made = _with_ends(simulated, self.ranks)
        self.world, self.inputs, self.outputs = made.world, made.inputs, made.outputs
        """[server]: its input lane and its output lane."""
        self.parts = parts
        if parts is not None:
            self.parts = _with_strays(parts, self.world, self.ranks, made.kept)
        self._into = np.append(
            np.repeat(np.arange(servers), np.diff(self.world.network.lane_first)),
            np.full(servers, -1),
        )
        """[lane]: the server after it, or -1."""
        self._numbered = _numbered_sources(parts, len(self.found))
        """[source]: whether its frames have sequence numbers."""
        for one in want:
            if self._numbered[one.source]:
                first, last = self.span[one.source].tolist()
                self.frames[first:last, own.ORDER] = self.numbers[first:last] & 0xFFFF
        self.now_ps = 0
        self.end_ps = int(self.world.network.end)
        self._outages = epochs(topology, profile).nodes
        self._changes = ports_going_down(topology, profile)
        """When nodes go down, with their ports; that ends a window."""
        self._settings = PortChanges(changes)
        self._clocks = ClockChanges(self.world.network)
        stops_ps = self._settings.times_ps | self._clocks.times_ps
        self._stops_ps = sorted({*self._changes, *self._turns} | stops_ps)
        self._reach_ps = int(simulated.lanes.reach.min(initial=self.world.network.block))
        order = np.array([[*range(servers), -1]], dtype=np.int64)
        alone, none = np.zeros(servers, dtype=np.int64), np.zeros((0, 3), dtype=np.int64)
        self._shares = Shares(self.end_ps, order, alone, none)
        self._counts = Series(self.world, self.parts, samples=1).counts
        self._awaited = sorted((time_ps, True) for time_ps in self.frames[:, own.TIME].tolist())
        """When real frames will be at a server, and whether it has queues; a heap."""
        self._queued = 0
        """Real frames that are in a queue, or were and have been dropped."""
        self._seen = np.zeros(self.world.lanes.base.size, dtype=np.int64)
        self._caught = np.empty((1024, 2), dtype=np.int64)
        self._counted = np.zeros(len(self.frames), dtype=np.int64)
        self._following = self.span[:, [0, 1, 0]]
        self._source_after, self._relabel = self._mark()

    def _mark(self) -> tuple[Ints, Ints]:
        """Give real frames positions of their own, the last one leading to the wire's end."""
        hop, planned = self.world.routes.hop, self.planned_positions
        source_after = np.full(len(hop), -1, dtype=np.int64)
        relabel = np.zeros(len(self.found), dtype=np.int64)
        for source, (first, last) in enumerate(self.span.tolist()):
            if first == last:
                continue
            way = self.servers(source)
            output = int(self.outputs[self.found[source].servers[-1]])
            hop[planned + way[-1]] = output, planned + way[-1]
            if len(way) > 1:
                source_after[way[1]] = source
                relabel[source] = planned
            else:  # a single hop: all its frames are seen at the end of the wire
                source_after[way[0]] = source
                hop[way[0]] = output, way[0]
        return source_after, relabel

    def positions(self, source: int) -> list[int]:
        """Return the planned positions of a source; its real frames have them further on."""
        return self.servers(source)[: len(self.found[source].ports)]

    def servers(self, source: int) -> list[int]:
        """Return the positions of a source and, where its copies meet others, that after them."""
        hop = self.world.routes.hop
        way = [int(self.world.sources.law[source, SourceLaw.START])]
        while len(way) < len(self.found[source].servers):
            way.append(int(hop[way[-1], NextHop.NEXT]))
        return way

    @property
    def done(self) -> bool:
        """Tell whether the run's end is reached."""
        return self.now_ps >= self.end_ps

    def window_end_ps(self) -> int:
        """Return when the next window ends: frames born before it enter before it is served."""
        block = self.world.network.block
        until_ps = min(self.now_ps + self._reach_ps, (self.now_ps // block + 1) * block)
        return min(until_ps, self._change_after(self.now_ps), self.end_ps)

    def _change_after(self, time_ps: int) -> int:
        place = bisect_right(self._stops_ps, time_ps)
        return self._stops_ps[place] if place < len(self._stops_ps) else NEVER

    def is_down(self, node: str, time_ps: int) -> bool:
        """Tell whether an event has a node down at a time."""
        return any(one.from_ps <= time_ps < one.until_ps for one in self._outages.get(node, ()))

    def stops(self, source: int, after_ps: int, until_ps: int) -> bool:
        """Tell whether the node of a source's listener goes down while its damper has a frame."""
        node = self.found[source].ports[-1].target
        return any(after_ps < one.from_ps <= until_ps for one in self._outages.get(node, ()))

    def position(self, port: int, rank: int) -> int:
        """Return the position of a frame of a rank that no planned route brings to a port."""
        return self.stray_positions + port * self.ranks + rank

    def has_queue(self, port: int) -> bool:
        """Tell whether strays can wait at a port: none can where all is gated and no route goes."""
        network = self.world.network
        is_general = self.parts is not None and self.parts.port[port, PortLaw.WHAT] == GENERAL
        return bool(is_general or network.cycle_buffers + network.classes)

    def put(self, port: int, time_ps: int, frame: int, label: int, turn: int = 0) -> None:
        """Hand a real frame to a port: `label` is `position << 16 | frame bytes`.

        It is queued there at `time_ps`, which the port must not have reached yet. Of equal times
        the first one put goes first.
        """
        assert time_ps >= self.now_ps, "a frame cannot be queued in the past"
        lane = int(self.inputs[port])
        lanes = self.world.lanes
        tail, head = int(lanes.sender[lane, Sender.TAIL]), int(lanes.receiver[lane, Receiver.HEAD])
        if tail - head > int(lanes.mask[lane]):
            self.world = make_room(self.world)
            lanes = self.world.lanes
        base, mask, cells = int(lanes.base[lane]), int(lanes.mask[lane]), lanes.cells
        turn_at = tail
        while turn_at > head and cells[base + (turn_at - 1 & mask), Frame.ARRIVAL] > time_ps:
            cells[base + (turn_at & mask)] = cells[base + (turn_at - 1 & mask)]
            turn_at -= 1
        cells[base + (turn_at & mask)] = (time_ps, -1 - frame, label, turn)
        lanes.sender[lane, Sender.TAIL] = tail + 1
        self._seen[lane] = tail + 1
        heapq.heappush(self._awaited, (time_ps, port < len(self.topology.ports)))

    def skip(self, until_ps: int) -> None:
        """Serve what comes before `until_ps` and before any real frame can leave a port."""
        while self._awaited and self._awaited[0][0] < self.now_ps:
            self._queued += heapq.heappop(self._awaited)[1]
        if self._queued:
            return
        next_ps = self._awaited[0][0] if self._awaited else NEVER
        self._serve(min(next_ps, until_ps, self.end_ps))
        caught = self._collect()
        assert not caught, "real frames leave ports in windows that are looked into"

    def _serve(self, until: int) -> None:
        while self.now_ps < until:
            self._settings.apply(self.now_ps, self.world, self.parts)
            self._clocks.apply(self.now_ps, self.world)
            if self.now_ps > 0:
                changes = self._turns.get(self.now_ps, ())
                apply_turns(changes, self.found, self.world, self.parts)
            for port in self._changes.get(self.now_ps, ()):
                assert self.parts is not None, "ports of nodes that go down are general"
                go_down(port, self.now_ps, self.world, None, self.parts)
            goal = min(until, self._change_after(self.now_ps))
            # For lack of room it may stop where it began, some ports being ahead: no change again.
            while self.now_ps < goal:
                self.now_ps = run_windows(
                    self.now_ps, goal, self._shares, self.world, self._counts, None, self.parts
                )
                if self.now_ps < goal:
                    self.world = make_room(self.world)

    def serve_window(self) -> list[Passage]:
        """Serve every port to the end of the next window; return the real frames that left.

        In order of time, then port, then order of leaving.
        """
        self._serve(self.window_end_ps())
        found = self._collect()
        for one in found:
            self._queued -= not self.has_met(one)
            if one.lane < self.outputs[0]:
                heapq.heappush(self._awaited, (one.time_ps, not self.meets(one)))
        found.sort(key=lambda one: (one.time_ps, one.port, one.place))
        return found

    def _collect(self) -> list[Passage]:
        """Find the real frames that have left a port since the last time."""
        lanes = self.world.lanes
        found = []
        for lane, place in self._catch():
            time_ps, birth, label, turn = self._cell(lane, place).tolist()
            if birth < 0:
                port = int(lanes.feeder[lane])
                found.append(Passage(time_ps, port, -1 - birth, lane, place, label, turn))
            else:
                self._deliver(time_ps, birth, label)
        lanes = self.world.lanes
        lanes.receiver[self.outputs, Receiver.HEAD] = lanes.sender[self.outputs, Sender.TAIL]
        return found

    def withdraw(self, passage: Passage) -> None:
        """Take a frame on its way to a port out of its lane."""
        if passage.lane >= self.outputs[0]:
            return
        lanes = self.world.lanes
        for place in range(self._place(passage), int(lanes.sender[passage.lane, Sender.TAIL]) - 1):
            self._cell(passage.lane, place)[:] = self._cell(passage.lane, place + 1)
        lanes.sender[passage.lane, Sender.TAIL] -= 1
        self._seen[passage.lane] -= 1

    def retag(self, passage: Passage, turn: int) -> None:
        """Give a frame on its way to a port another cycle there."""
        self._cell(passage.lane, self._place(passage))[Frame.CYCLE] = turn

    # Copies that meet

    def meets(self, passage: Passage) -> bool:
        """Tell whether a frame is on its last wire, to where copies of its stream meet."""
        return bool(self._into[passage.lane] >= len(self.topology.ports))

    def has_met(self, passage: Passage) -> bool:
        """Tell whether a frame has been passed on by the point where copies of its stream meet."""
        return passage.port >= len(self.topology.ports)

    def number_of(self, frame: int) -> int:
        """Return the sequence number of a real frame; 0 where there is no such frame."""
        return int(self.numbers[frame]) if 0 <= frame < len(self.numbers) else 0

    def renumber(self, passage: Passage, number: int) -> None:
        """Give a frame on its way to where copies meet the sequence number that it carries."""
        cell = self._cell(passage.lane, self._place(passage))
        cell[Frame.LABEL] = _numbered(int(cell[Frame.LABEL]), number)

    def meet(self, source: int, time_ps: int, frame: int, frame_bytes: int, number: int) -> bool:
        """Hand a frame that came off its route to where copies of its stream meet, if they do."""
        elimination = self.found[source].elimination
        if elimination is None:
            return False
        position = self.planned_positions + self.servers(source)[-1]
        self.put(elimination, time_ps, frame, _numbered(position << 16 | frame_bytes, number))
        return True

    def whole_ps(self, passage: Passage, source: int, hop: int) -> int:
        """Return when the last bit of a frame of a source, that left its port `hop`, is in.

        As `time_ps`, but where the next node queues frames before.
        """
        parts, network = self.parts, self.world.network
        if parts is None or parts.head[passage.lane] == 0:
            return passage.time_ps
        ring = parts.position[self.positions(source)[hop], PositionLaw.RING]
        port = parts.port[passage.port]
        if not port[PortLaw.QUEUES] <= ring < port[PortLaw.PREEMPTABLE]:
            return passage.time_ps
        frame_bytes = passage.label & 0xFFFF
        line_ps = network.line_time[network.rate[passage.port], frame_bytes - GAP_BYTES]
        return passage.time_ps + max(int(line_ps - parts.head[passage.lane]), 0)

    def _place(self, passage: Passage) -> int:
        """Return where a frame is in its lane; those before it may have been withdrawn."""
        place = passage.place
        while self._cell(passage.lane, place)[Frame.BIRTH] != -1 - passage.frame:
            place -= 1
        return place

    def overtaken(self, source: int, frame: int) -> bool:
        """Tell whether a frame after this one has left the source's first port."""
        return bool(self._following[source, own.NEXT] > frame)

    def under_way(self) -> set[int]:
        """Return the real frames that are in a queue or between two ports."""
        lanes, queues = self.world.lanes, self.world.queues
        found: set[int] = set()
        if self.parts is not None:  # a frame that can be cut is on the wire until its last bit
            wire = self.parts.wire
            born = wire[wire[:, MPacket.IS] != NOTHING, MPacket.BIRTH]
            found.update((-1 - born[born < 0]).tolist())
        for rings, front, count, base, mask, cells in (
            (
                lanes.base.size,
                lanes.receiver[:, Receiver.HEAD],
                lanes.sender[:, Sender.TAIL] - lanes.receiver[:, Receiver.HEAD],
                lanes.base,
                lanes.mask,
                lanes.cells,
            ),
            (
                len(queues.ring),
                queues.ring[:, Ring.FRONT],
                queues.ring[:, Ring.COUNT],
                queues.ring[:, Ring.BASE],
                queues.ring[:, Ring.MASK],
                queues.cells,
            ),
        ):
            for ring in range(rings):
                turns = front[ring] + np.arange(count[ring])
                born = cells[base[ring] + (turns & mask[ring]), Frame.BIRTH]
                found.update((-1 - born[born < 0]).tolist())
        return found

    def born_waiting(self, source: int) -> set[int]:
        """Return the births of the frames that are at a source's first port at the run's end."""
        first = int(self.world.sources.law[source, SourceLaw.START]) & POSITIONS
        queues = self.world.queues
        found: set[int] = set()
        for ring in queues.ring[queues.ring[:, Ring.COUNT] > 0]:
            turns = ring[Ring.FRONT] + np.arange(ring[Ring.COUNT])
            cells = queues.cells[ring[Ring.BASE] + (turns & ring[Ring.MASK])]
            mine = (cells[:, Frame.LABEL] >> 16) & POSITIONS == first
            found.update(cells[mine, Frame.BIRTH].tolist())
        if self.parts is not None:
            wire = self.parts.wire
            mine = (wire[:, MPacket.IS] != NOTHING) & (
                (wire[:, MPacket.LABEL] >> 16) & POSITIONS == first
            )
            found.update(wire[mine, MPacket.BIRTH].tolist())
        return found

    def hand_over(self, source: int, birth: int, arrival_ps: int) -> int:
        """Return when a frame that reaches its listener's node is handed over by its damper.

        One that comes after that is counted as late.
        """
        due_ps = self.due_ps(source, birth, arrival_ps)
        if 0 <= due_ps < arrival_ps:
            last = self.planned_positions + self.servers(source)[-1]
            self.world.routes.late[last] += 1
        return max(arrival_ps, due_ps)

    def due_ps(self, source: int, birth: int, arrival_ps: int) -> int:
        """Return when the damper of a source's listener hands over a frame; -1 without a damper."""
        hold = int(self.world.tally.owner[source, OwnerTally.HOLD])
        if hold < 0:
            return -1
        to = listeners_of(0, self.world.network, self.world.routes, self.world.tally)
        return int(damper_due(source, birth, hold, arrival_ps, to))

    def _cell(self, lane: int, place: int) -> Ints:
        lanes = self.world.lanes
        cell: Ints = lanes.cells[lanes.base[lane] + (place & lanes.mask[lane])]
        return cell

    def _deliver(self, time_ps: int, birth: int, label: int) -> None:
        """Count a frame of a single hop, which the port cannot tell from the real ones there."""
        source = int(self._source_after[label >> 16 & POSITIONS])
        arrival = self.hand_over(source, birth, time_ps)
        if arrival > self.end_ps or self.stops(source, time_ps, arrival):
            return
        port = self.found[source].ports[0].number
        if (
            self.world.tally.port[port, PortTally.BLOCKS]
            == self.world.tally.port[port, PortTally.BLOCK_ROOM]
        ):
            self.world = make_room(self.world)
        to = listeners_of(port, self.world.network, self.world.routes, self.world.tally)
        deliver(source, birth, arrival, label & 0xFFFF, to)

    def _catch(self) -> Iterable[list[int]]:
        full = len(self._caught)
        count = full
        while count == full:
            count = own.catch(
                self.world.lanes,
                self._seen,
                self._source_after,
                self._relabel,
                self.frames,
                self._numbered,
                self._counted,
                self._following,
                self._caught,
            )
            yield from self._caught[:count].tolist()


def _births(
    world: World, parts: Parts | None, want: Sequence[RealFrames], found: Sequence[FrameSource]
) -> tuple[Ints, Ints, Ints]:
    """Return birth, bytes and cycle of all frames wanted, their numbers, and which are whose."""
    sources = world.sources._replace(state=world.sources.state.copy())
    timed = (
        np.zeros((len(found), 8), dtype=np.int64) if parts is None else parts.source_state.copy()
    )
    span = np.zeros((len(found), 2), dtype=np.int64)
    rows_of = [np.empty((0, 4), dtype=np.int64)]
    numbers_of = [np.empty(0, dtype=np.int64)]
    total = 0
    for one in sorted(want):
        span[one.source] = total, total
        born = 0
        for turn in found[one.source].turns:
            if turn.from_ps > 0:
                begin_turn(found[one.source], one.source, turn, sources, timed)
            first = one.first - born if born <= one.first else (one.first - born) % one.stride
            most = one.most - int(span[one.source, 1] - total)
            sent = int(sources.state[one.source, SourceState.SENT])
            part = one._replace(first=first, most=most)
            noted = _born_in(part, turn, (world, sources, timed.copy()), parts)
            born += int(sources.state[one.source, SourceState.SENT]) - sent
            span[one.source, 1] += len(noted)
            rows_of.append(noted)
            numbers_of.append(turn.number + first + one.stride * np.arange(len(noted)))
        total = int(span[one.source, 1])
    return np.concatenate(rows_of), np.concatenate(numbers_of), span


def _born_in(
    one: RealFrames, turn: Turn, state: tuple[World, Sources, Ints], parts: Parts | None
) -> Ints:
    """Return birth, bytes and cycle of the frames of one turn of a source; those are used up."""
    world, sources, mine = state
    timetable = np.zeros(0, dtype=np.int64) if parts is None else parts.timetable
    before, mine_before = sources.state[one.source].copy(), mine[one.source].copy()
    until = min(turn.until_ps, int(world.network.end))
    rows = 1024
    while True:
        noted = np.empty((min(rows, one.most), 4), dtype=np.int64)
        sources.state[one.source], mine[one.source] = before, mine_before
        span_of = one.source, one.first, one.stride, until
        count = own.births(*span_of, sources, mine, timetable, world.network, noted)
        if count < rows:
            return noted[:count]
        rows *= 8


def _numbered_sources(parts: Parts | None, source_count: int) -> Ints:
    """Return which sources number their frames."""
    if parts is None:
        return np.zeros(source_count, dtype=np.int64)
    return parts.source_state[:, SourceTable.NUMBERED].copy()


def _numbered(label: int, number: int) -> int:
    """Return a label with a sequence number of 16 bits, as the sources write it."""
    return label & WHOLE | ((number & 0xFFFF ^ 0x8000) - 0x8000) << 48


def stray_rings(parts: Parts, ranks: int) -> tuple[Parts, Ints]:
    """Return [port, rank]: the ring of a frame that no planned route brings to a general port.

    It is the port's last one, and -1, the cycle buffers, for reserved frames where there are any. A
    general port that no route uses has no rings: it becomes a plain one.
    """
    port = parts.port.copy()
    is_unused = (port[:, PortLaw.WHAT] == GENERAL) & (
        port[:, PortLaw.FIRST] == port[:, PortLaw.LAST]
    )
    port[is_unused, PortLaw.WHAT] = PLAIN
    has_cycles = port[:, PortLaw.QUEUES] > port[:, PortLaw.FIRST]
    has_queue = port[:, PortLaw.LAST] > port[:, PortLaw.QUEUES]
    ring = np.repeat(np.where(has_queue, port[:, PortLaw.LAST] - 1, -1), ranks).reshape(-1, ranks)
    ring[has_cycles, 0] = -1
    return parts._replace(port=port), ring


def _with_strays(parts: Parts, world: World, ranks: int, kept: Ints) -> Parts:
    """Give the positions of real frames the queues of planned ones, and strays a port's last one.

    Lanes `kept` are the simulator's.
    """
    parts, ring = stray_rings(parts, ranks)
    ring = ring[: world.network.rate.size]
    stray = np.full((ring.size, parts.position.shape[1]), -1, dtype=np.int64)
    stray[:, PositionLaw.RING] = ring.ravel()
    head = np.zeros(world.lanes.base.size, dtype=np.int64)
    head[kept] = parts.head
    return parts._replace(
        position=np.concatenate((parts.position, parts.position, stray)),
        fork=np.full(len(world.routes.hop), -1, dtype=np.int64),
        dropped=np.zeros((len(world.routes.hop), parts.dropped.shape[1]), dtype=np.int64),
        broken=np.zeros((len(world.routes.hop), parts.broken.shape[1]), dtype=np.int64),
        head=head,
    )


def _with_ends(world: World, ranks: int) -> Extended:
    """Add a lane into every server, one out of it, and positions for real frames and strays."""
    ports, servers = world.network.rate.size, world.network.lane_first.size - 1
    ends = Ends(servers, servers, behind=True, reach_ps=world.network.block)
    made = with_ends(world, ends)
    network, routes = made.world.network, made.world.routes
    planned, real = routes.hop, routes.hop.copy()
    real[real[:, NextHop.LANE] >= 0, NextHop.NEXT] += len(planned)
    stray = np.zeros((ports * ranks, 2), dtype=planned.dtype)
    stray[:, NextHop.LANE] = np.repeat(made.outputs[:ports], ranks)
    stray[:, NextHop.NEXT] = 2 * len(planned) + np.arange(ports * ranks)
    # Where nothing reserves cycles there are no cycle buffers: strays go with the first class.
    lowest = 0 if network.cycle_buffers else min(1, network.classes)
    rank = np.tile(np.maximum(np.arange(ranks, dtype=routes.rank.dtype), lowest), ports)
    nothing = np.zeros_like(rank)
    hop = np.concatenate((planned, real, stray))
    routes = routes._replace(
        hop=hop,
        rank=np.concatenate((routes.rank, routes.rank, rank)),
        shift=np.concatenate((routes.shift, routes.shift, nothing.astype(routes.shift.dtype))),
        owner=np.concatenate((routes.owner, routes.owner, nothing.astype(np.int64))),
        lost=np.zeros(len(hop), dtype=np.int64),
        late=np.zeros(len(hop), dtype=np.int64),
    )
    return made._replace(world=made.world._replace(routes=routes))
