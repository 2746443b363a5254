"""The egress ports of the emulated network: the simulator's own kernel around real frames.

`qnet.simulate.kernels.serve` serves one port up to a virtual time, or `serve_port` of
`qnet.simulate.ports.kernels` where the port has gates, shapers, meters, preemption or losses: rate,
priority, cycles and buffers are their arithmetic, and there is no second one. This module adds to
the simulator's world what an emulator needs to hand frames in and to see them leave:

- an *input lane* into every port, for frames that a switch or a host hands to it, in order of
  arrival (after all other lanes when times are equal);
- an *output lane* out of every port, its wire's far end: what leaves the port is there with the
  time of its last bit, without the processing of the node it comes to;
- a *position* for every port and rank, for frames that no planned route brought there: they leave
  over the output lane.

A real frame carries -1 minus its number in place of its birth.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.emulate import kernels as own
from qnet.errors import Infeasible
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import kernels as k
from qnet.simulate.ports import kernels as g
from qnet.simulate.ports.setup import add_parts
from qnet.simulate.run import make_room
from qnet.simulate.series import Series
from qnet.simulate.setup import build, owners
from qnet.simulate.windows.shares import Shares
from qnet.simulate.windows.threads import run_windows

Ints = NDArray[np.int64]


class Want(NamedTuple):
    """Which frames of a source are to be real: from number `first` on, every `stride`-th."""

    source: int
    first: int = 0
    stride: int = 1
    most: int = 1 << 20


class Passage(NamedTuple):
    """A real frame on its way from one port to the next node.

    `lane` and `place` say where it is kept, `time_ps` when it will be queued at the port of that
    lane or, in an output lane, when its last bit reaches the end of the wire; `turn` is the cycle
    for which it is meant there.
    """

    time_ps: int
    port: int
    frame: int
    lane: int
    place: int
    label: int
    turn: int


class Ports:
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
        want: Sequence[Want] = (),
    ) -> None:
        """Lay out the simulator's world and add the ends for real frames."""
        self.topology = topology
        self.found = owners(topology, profile, plan)
        simulated, parts = add_parts(
            topology, profile, plan, self.found, build(topology, profile, plan, self.found)
        )
        if parts is not None:
            _refuse(topology, profile, parts)
        if not loaded:
            simulated.sources.heap[:, k.TIME] = k.NEVER
        self.frames, self.span = _births(simulated, parts, want, len(self.found))
        """[frame]: birth, bytes and cycle of each real frame; [source]: first and last + 1."""
        port_count = len(topology.ports)
        self.ranks = simulated.network.classes + 1
        self.planned_positions = len(simulated.routes.hop)
        self.stray_positions = 2 * self.planned_positions
        self.world = _with_ends(simulated, self.ranks)
        self.parts = parts if parts is None else _with_strays(parts, self.world, self.ranks)
        self.inputs = self.world.network.lane_first[1:] - 1
        """[port]: its input lane."""
        self.outputs = self.inputs[-1] + 1 + np.arange(port_count)
        """[port]: its output lane."""
        self.now_ps = 0
        self.end_ps = int(self.world.network.end)
        self._reach_ps = int(simulated.lanes.reach.min(initial=self.world.network.block))
        order = np.array([[*range(port_count), -1]], dtype=np.int64)
        alone, none = np.zeros(port_count, dtype=np.int64), np.zeros((0, 3), dtype=np.int64)
        self._shares = Shares(self.end_ps, order, alone, none)
        self._counts = Series(self.world, self.parts, samples=1).counts
        self._awaited = sorted(self.frames[:, own.TIME].tolist())
        """When real frames will be queued at a port; a heap."""
        self._queued = 0
        """Real frames that are in a queue, or were and have been dropped."""
        self._seen = np.zeros(self.world.lanes.base.size, dtype=np.int64)
        self._caught = np.empty((1024, 2), dtype=np.int64)
        self._following = np.full((len(self.found), 4), -1, dtype=np.int64)
        self._following[:, :2] = self.span
        self._source_after, self._relabel = self._mark()

    def _mark(self) -> tuple[Ints, Ints]:
        """Give real frames positions of their own, the last one leading to the wire's end."""
        hop, planned = self.world.routes.hop, self.planned_positions
        source_after = np.full(len(hop), -1, dtype=np.int64)
        relabel = np.zeros(len(self.found), dtype=np.int64)
        for source, (first, last) in enumerate(self.span.tolist()):
            if first == last:
                continue
            way = self.positions(source)
            output = int(self.outputs[self.found[source].ports[-1].number])
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
        hop = self.world.routes.hop
        way = [int(self.world.sources.law[source, k.START])]
        while len(way) < len(self.found[source].ports):
            way.append(int(hop[way[-1], k.NEXT]))
        return way

    @property
    def done(self) -> bool:
        """Tell whether the run's end is reached."""
        return self.now_ps >= self.end_ps

    def window_end_ps(self) -> int:
        """Return when the next window ends: frames born before it enter before it is served."""
        block = self.world.network.block
        return min(self.now_ps + self._reach_ps, (self.now_ps // block + 1) * block, self.end_ps)

    def position(self, port: int, rank: int) -> int:
        """Return the position of a frame of a rank that no planned route brings to a port."""
        return self.stray_positions + port * self.ranks + rank

    def has_queue(self, port: int) -> bool:
        """Tell whether strays can wait at a port: none can where all is gated and no route goes."""
        network = self.world.network
        is_general = self.parts is not None and self.parts.port[port, g.WHAT] == g.GENERAL
        return bool(is_general or network.cycle_buffers + network.classes)

    def put(self, port: int, time_ps: int, frame: int, label: int, turn: int = 0) -> None:
        """Hand a real frame to a port: `label` is `position << 16 | frame bytes`.

        It is queued there at `time_ps`, which the port must not have reached yet. Of equal times
        the first one put goes first.
        """
        assert time_ps >= self.now_ps, "a frame cannot be queued in the past"
        lane = int(self.inputs[port])
        lanes = self.world.lanes
        tail, head = int(lanes.sender[lane, k.TAIL]), int(lanes.receiver[lane, k.HEAD])
        if tail - head > int(lanes.mask[lane]):
            self.world = make_room(self.world)
            lanes = self.world.lanes
        base, mask, cells = int(lanes.base[lane]), int(lanes.mask[lane]), lanes.cells
        turn_at = tail
        while turn_at > head and cells[base + (turn_at - 1 & mask), k.ARRIVAL] > time_ps:
            cells[base + (turn_at & mask)] = cells[base + (turn_at - 1 & mask)]
            turn_at -= 1
        cells[base + (turn_at & mask)] = (time_ps, -1 - frame, label, turn)
        lanes.sender[lane, k.TAIL] = tail + 1
        self._seen[lane] = tail + 1
        heapq.heappush(self._awaited, time_ps)

    def skip(self, until_ps: int) -> None:
        """Serve what comes before `until_ps` and before any real frame can leave a port."""
        while self._awaited and self._awaited[0] < self.now_ps:
            heapq.heappop(self._awaited)
            self._queued += 1
        if self._queued:
            return
        next_ps = self._awaited[0] if self._awaited else k.NEVER
        self._serve(min(next_ps, until_ps, self.end_ps))
        caught = self._collect()
        assert not caught, "real frames leave ports in windows that are looked into"

    def _serve(self, until: int) -> None:
        while self.now_ps < until:
            self.now_ps = run_windows(
                self.now_ps, until, self._shares, self.world, self._counts, None, self.parts
            )
            if self.now_ps < until:
                self.world = make_room(self.world)

    def serve_window(self) -> list[Passage]:
        """Serve every port to the end of the next window; return the real frames that left.

        In order of time, then port, then order of leaving.
        """
        self._serve(self.window_end_ps())
        found = self._collect()
        for one in found:
            self._queued -= 1
            if one.lane < self.outputs[0]:
                heapq.heappush(self._awaited, one.time_ps)
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
        lanes.receiver[self.outputs, k.HEAD] = lanes.sender[self.outputs, k.TAIL]
        return found

    def withdraw(self, passage: Passage) -> None:
        """Take a frame on its way to a port out of its lane."""
        if passage.lane >= self.outputs[0]:
            return
        lanes = self.world.lanes
        for place in range(self._place(passage), int(lanes.sender[passage.lane, k.TAIL]) - 1):
            self._cell(passage.lane, place)[:] = self._cell(passage.lane, place + 1)
        lanes.sender[passage.lane, k.TAIL] -= 1
        self._seen[passage.lane] -= 1

    def retag(self, passage: Passage, turn: int) -> None:
        """Give a frame on its way to a port another cycle there."""
        self._cell(passage.lane, self._place(passage))[k.CYCLE] = turn

    def _place(self, passage: Passage) -> int:
        """Return where a frame is in its lane; those before it may have been withdrawn."""
        place = passage.place
        while self._cell(passage.lane, place)[k.BIRTH] != -1 - passage.frame:
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
            born = wire[wire[:, g.WIRE_IS] != g.NOTHING, g.W_BIRTH]
            found.update((-1 - born[born < 0]).tolist())
        for rings, front, count, base, mask, cells in (
            (
                lanes.base.size,
                lanes.receiver[:, k.HEAD],
                lanes.sender[:, k.TAIL] - lanes.receiver[:, k.HEAD],
                lanes.base,
                lanes.mask,
                lanes.cells,
            ),
            (
                len(queues.ring),
                queues.ring[:, k.FRONT],
                queues.ring[:, k.COUNT],
                queues.ring[:, k.BASE],
                queues.ring[:, k.MASK],
                queues.cells,
            ),
        ):
            for ring in range(rings):
                turns = front[ring] + np.arange(count[ring])
                born = cells[base[ring] + (turns & mask[ring]), k.BIRTH]
                found.update((-1 - born[born < 0]).tolist())
        return found

    def due_ps(self, source: int, birth: int, arrival_ps: int) -> int:
        """Return when a frame that reaches its listener's node is handed over: see the damper."""
        network, routes = self.world.network, self.world.routes
        hold = int(self.world.tally.owner[source, k.HOLD])
        if hold < 0:
            return arrival_ps
        due = k.damper_due(
            source, birth, hold, routes.damper_clock, network.clock_error, network.block
        )
        return max(arrival_ps, int(due))

    def _cell(self, lane: int, place: int) -> Ints:
        lanes = self.world.lanes
        return lanes.cells[lanes.base[lane] + (place & lanes.mask[lane])]  # type: ignore[no-any-return]

    def _deliver(self, time_ps: int, birth: int, label: int) -> None:
        """Count a frame of a single hop, which the port cannot tell from the real ones there."""
        source = int(self._source_after[label >> 16])
        arrival = self.due_ps(source, birth, time_ps)
        if arrival > self.end_ps:
            return
        port = self.found[source].ports[0].number
        if self.world.tally.port[port, k.BLOCKS] == self.world.tally.port[port, k.BLOCK_ROOM]:
            self.world = make_room(self.world)
        tally = self.world.tally
        frame_bytes = label & 0xFFFF
        excess = arrival - birth - int(tally.owner[source, k.FLOOR])
        steady = frame_bytes + 20 if arrival >= self.world.network.steady_from else 0
        counts = tally.port, tally.owner, tally.block, tally.bins, tally.birth
        k.deliver(port, source, excess, frame_bytes, steady, *counts, birth)

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
                self._following,
                self._caught,
            )
            yield from self._caught[:count].tolist()


def _refuse(topology: Topology, profile: Profile, parts: g.Parts) -> None:
    """Raise Infeasible where what is simulated has no counterpart in real frames and switches."""
    what = ""
    if (parts.port[:, g.WHAT] == g.RECOVERY).any():
        what = "sequence recovery"
    elif any(one.cut_through_bytes for one in topology.nodes):
        what = "cut-through"
    elif any(one.mechanism == "cqf" for one in profile.classes):
        what = "CQF"
    if what:
        raise Infeasible(f"{profile.title}: {what} is simulated, but not emulated yet")


def _births(
    world: k.World, parts: g.Parts | None, want: Sequence[Want], source_count: int
) -> tuple[Ints, Ints]:
    """Return birth, bytes and cycle of all frames wanted, and which are whose."""
    sources = world.sources._replace(state=world.sources.state.copy())
    nothing = np.zeros(0, dtype=np.int64)
    timed = np.zeros((source_count, 8), dtype=np.int64) if parts is None else parts.source_state
    mine = timed.copy()
    timetable = nothing if parts is None else parts.timetable
    span = np.zeros((source_count, 2), dtype=np.int64)
    rows_of = [np.empty((0, 4), dtype=np.int64)]
    total = 0
    for one in sorted(want):
        rows = 1024
        while True:
            noted = np.empty((min(rows, one.most), 4), dtype=np.int64)
            sources.state[one.source] = world.sources.state[one.source]
            mine[one.source] = timed[one.source]
            until = int(world.network.end)
            span_of = one.source, one.first, one.stride, until
            count = own.births(*span_of, sources, mine, timetable, world.network, noted)
            if count < rows:
                break
            rows *= 8
        span[one.source] = total, total + count
        total += count
        rows_of.append(noted[:count])
    return np.concatenate(rows_of), span


def _with_strays(parts: g.Parts, world: k.World, ranks: int) -> g.Parts:
    """Give the positions of real frames the queues of planned ones, and strays a port's last one.

    Strays of reserved classes take cycles where the port has any. A general port that no route
    uses has no queues: it becomes a plain one.
    """
    port = parts.port.copy()
    port[port[:, g.FIRST] == port[:, g.LAST], g.WHAT] = g.PLAIN
    stray = np.full((len(port) * ranks, parts.position.shape[1]), -1, dtype=np.int64)
    ring = np.repeat(port[:, g.LAST] - 1, ranks)
    takes_cycles = np.repeat(port[:, g.QUEUES] > port[:, g.FIRST], ranks)
    takes_cycles &= np.tile(np.arange(ranks) == 0, len(port))
    takes_cycles |= np.repeat(port[:, g.QUEUES] == port[:, g.LAST], ranks)  # it has no other queue
    stray[:, g.RING] = np.where(takes_cycles, -1, ring)
    return parts._replace(
        port=port,
        position=np.concatenate((parts.position, parts.position, stray)),
        dropped=np.zeros((len(world.routes.hop), parts.dropped.shape[1]), dtype=np.int64),
        head=np.zeros(world.lanes.base.size, dtype=np.int64),
    )


def _with_ends(world: k.World, ranks: int) -> k.World:
    """Add an input lane to every port, an output lane after it, and positions for real frames."""
    network, routes, lanes = world.network, world.routes, world.lanes
    ports = network.rate.size
    lane_first = network.lane_first + np.arange(ports + 1)
    into = np.repeat(np.arange(ports), np.diff(network.lane_first))
    kept = np.arange(into.size) + into
    total = int(lane_first[-1]) + ports
    inputs, outputs = lane_first[1:] - 1, int(lane_first[-1]) + np.arange(ports)

    mask = np.full(total, 63, dtype=np.int64)
    mask[kept] = lanes.mask
    feeder = np.empty(total, dtype=np.int64)
    feeder[kept], feeder[inputs], feeder[outputs] = lanes.feeder, np.arange(ports), np.arange(ports)
    reach = np.full(total, network.block, dtype=np.int64)
    reach[kept] = lanes.reach
    receiver = np.zeros((total, 8), dtype=np.int64)
    receiver[:, k.NEXT_ARRIVAL] = k.NEVER

    planned = routes.hop.copy()
    on = planned[:, k.LANE] >= 0
    planned[on, k.LANE] = kept[planned[on, k.LANE]]
    real = planned.copy()
    real[on, k.NEXT] += len(planned)
    stray = np.zeros((ports * ranks, 2), dtype=routes.hop.dtype)
    stray[:, k.LANE] = np.repeat(outputs, ranks)
    stray[:, k.NEXT] = 2 * len(planned) + np.arange(ports * ranks)
    # Where nothing reserves cycles there are no cycle buffers: strays go with the first class.
    lowest = 0 if network.cycle_buffers else min(1, network.classes)
    rank = np.tile(np.maximum(np.arange(ranks, dtype=routes.rank.dtype), lowest), ports)
    nothing = np.zeros_like(rank)
    hop = np.concatenate((planned, real, stray))
    return world._replace(
        network=network._replace(lane_first=lane_first, only_rank=np.zeros_like(network.only_rank)),
        routes=routes._replace(
            hop=hop,
            rank=np.concatenate((routes.rank, routes.rank, rank)),
            shift=np.concatenate((routes.shift, routes.shift, nothing.astype(routes.shift.dtype))),
            owner=np.concatenate((routes.owner, routes.owner, nothing.astype(np.int64))),
            lost=np.zeros(len(hop), dtype=np.int64),
            late=np.zeros(len(hop), dtype=np.int64),
        ),
        lanes=k.Lanes(
            base=np.cumsum(mask + 1) - (mask + 1),
            mask=mask,
            sender=np.zeros((total, 8), dtype=np.int64),
            receiver=receiver,
            cells=np.empty((int((mask + 1).sum()), 4), dtype=np.int64),
            feeder=feeder,
            reach=reach,
        ),
    )
