"""The egress ports of the emulated network: the simulator's own kernel around real frames.

`qnet.simulate.kernels.serve` serves one port up to a virtual time: rate, priority, cycles, gates
and buffers are its arithmetic, and there is no second one. This module adds to the simulator's
world what an emulator needs to hand frames in and to see them leave:

- an *input lane* into every port, for frames that a switch or a host hands to it, in order of
  arrival (after all other lanes when times are equal);
- an *output lane* out of every port, its wire's far end: what leaves the port is there with the
  time of its last bit, without the processing of the node it comes to;
- a *position* for every port and rank, for frames that no planned route brought there: they leave
  over the output lane.

A real frame carries -1 minus its number in place of its birth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.emulate import kernels as own
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import kernels as k
from qnet.simulate.run import make_room, share_out
from qnet.simulate.setup import build, owners
from qnet.units import ceil_div

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
        simulated = build(topology, profile, plan, self.found)
        if not loaded:
            simulated.sources.heap[:, k.TIME] = k.NEVER
        self.frames, self.span = _births(simulated, want, len(self.found))
        """[frame]: birth, bytes and cycle of each real frame; [source]: first and last + 1."""
        port_count = len(topology.ports)
        self.ranks = simulated.network.classes + 1
        self.planned_positions = simulated.routes.lane.size
        self.stray_positions = 2 * self.planned_positions
        self.world = _with_ends(simulated, self.ranks)
        self.inputs = self.world.network.lane_first[1:] - 1
        """[port]: its input lane."""
        self.outputs = self.inputs[-1] + 1 + np.arange(port_count)
        """[port]: its output lane."""
        self._feeder = {
            lane + far: near
            for lane, (far, near) in enumerate(
                sorted(
                    {
                        (far.number, near.number)
                        for owner in self.found
                        for near, far in pairwise(owner.ports)
                    }
                )
            )
        }
        self.now_ps = 0
        self._window = 0
        self._windows = ceil_div(self.world.network.end, self.world.network.block)
        self._windows *= self.world.network.windows_per_block
        order = share_out(self.found, port_count, 1)
        idle = sorted(set(range(port_count)) - set(order[0].tolist()))
        busy = [port for port in order[0].tolist() if port >= 0]
        self._order = np.array([[*busy, *idle, -1]], dtype=np.int64)
        self._seen = np.zeros(self.world.lanes.base.size, dtype=np.int64)
        self._caught = np.empty((1024, 2), dtype=np.int64)
        self._following = self.span.copy()
        self._wanted = np.ascontiguousarray(self.frames[:, own.TIME])
        self._source_after, self._relabel = self._mark()

    def _mark(self) -> tuple[Ints, Ints]:
        """Give real frames positions of their own, the last one leading to the wire's end."""
        lane = self.world.routes.lane
        source_after = np.full(lane.size + 1, -1, dtype=np.int64)
        relabel = np.zeros(len(self.found), dtype=np.int64)
        start = 0
        for source, owner in enumerate(self.found):
            last = start + len(owner.ports) - 1
            lane[self.planned_positions + last] = self.outputs[owner.ports[-1].number]
            if self.span[source, 0] < self.span[source, 1]:
                source_after[start + 1] = source
                if last > start:
                    relabel[source] = self.planned_positions
                else:  # a single hop: all its frames are seen at the end of the wire
                    lane[start] = self.outputs[owner.ports[0].number]
            start = last + 1
        return source_after, relabel

    @property
    def done(self) -> bool:
        """Tell whether the run's end is reached."""
        return self._window >= self._windows

    def window_end_ps(self) -> int:
        """Return when the next window ends: frames born before it enter before it is served."""
        return int(k.window_end(self._window, self.world.network))

    def position(self, port: int, rank: int) -> int:
        """Return the position of a frame of a rank that no planned route brings to a port."""
        return self.stray_positions + port * self.ranks + rank

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

    def serve_window(self) -> list[Passage]:
        """Serve every port to the end of the next window; return the real frames that left.

        In order of time, then port, then order of leaving.
        """
        until = self.window_end_ps()
        while k.run_windows(self._window, self._window + 1, self._order, *self.world) == (
            self._window
        ):
            self.world = make_room(self.world)
        self._window += 1
        self.now_ps = until
        count = self._catch()
        lanes = self.world.lanes
        found = []
        for lane, place in self._caught[:count].tolist():
            time_ps, birth, label, turn = self._cell(lane, place).tolist()
            if birth < 0:
                port = self._port_before(lane)
                found.append(Passage(time_ps, port, -1 - birth, lane, place, label, turn))
            else:
                self._deliver(time_ps, birth, label)
        lanes.receiver[self.outputs, k.HEAD] = lanes.sender[self.outputs, k.TAIL]
        found.sort(key=lambda one: (one.time_ps, one.port, one.place))
        return found

    def withdraw(self, passages: Iterable[Passage]) -> None:
        """Take frames that have left a port, in the window just served, out of their lanes."""
        lanes = self.world.lanes
        for one in sorted(passages, key=lambda one: -one.place):
            if one.lane >= self.outputs[0]:
                continue
            for place in range(one.place, int(lanes.sender[one.lane, k.TAIL]) - 1):
                self._cell(one.lane, place)[:] = self._cell(one.lane, place + 1)
            lanes.sender[one.lane, k.TAIL] -= 1
            self._seen[one.lane] -= 1

    def retag(self, passage: Passage, turn: int) -> None:
        """Give a frame on its way to a port another cycle there."""
        self._cell(passage.lane, passage.place)[k.CYCLE] = turn

    def under_way(self) -> set[int]:
        """Return the real frames that are in a queue or between two ports."""
        lanes, queues = self.world.lanes, self.world.queues
        found: set[int] = set()
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
        routes, network = self.world.routes, self.world.network
        hold = int(routes.hold[source])
        if hold < 0:
            return arrival_ps
        due = birth + hold
        block = min(due // network.block, network.clock_error.shape[1] - 1)
        return max(arrival_ps, due + int(network.clock_error[routes.damper_clock[source], block]))

    def _cell(self, lane: int, place: int) -> Ints:
        lanes = self.world.lanes
        return lanes.cells[lanes.base[lane] + (place & lanes.mask[lane])]  # type: ignore[no-any-return]

    def _port_before(self, lane: int) -> int:
        first = int(self.outputs[0])
        return lane - first if lane >= first else self._feeder[lane]

    def _deliver(self, time_ps: int, birth: int, label: int) -> None:
        """Count a frame of a single hop, which the port cannot tell from the real ones there."""
        source = int(self._source_after[label >> 16])
        arrival = self.due_ps(source, birth, time_ps)
        if arrival <= self.world.network.end:
            frame_bytes = label & 0xFFFF
            excess = arrival - birth - int(self.world.routes.floor[source])
            steady = arrival >= self.world.network.steady_from
            k.deliver(source, excess, frame_bytes, steady, self.world.tally)

    def _catch(self) -> int:
        while True:
            count = own.catch(
                self.world.lanes,
                self._seen,
                self._source_after,
                self._relabel,
                self._wanted,
                self._following,
                self._caught,
            )
            if count >= 0:
                return int(count)
            self._caught = np.empty((2 * len(self._caught), 2), dtype=np.int64)


def _births(world: k.World, want: Sequence[Want], source_count: int) -> tuple[Ints, Ints]:
    """Return birth, bytes and cycle of all frames wanted, and which are whose."""
    sources = world.sources._replace(state=world.sources.state.copy())
    span = np.zeros((source_count, 2), dtype=np.int64)
    parts = [np.empty((0, 3), dtype=np.int64)]
    total = 0
    for one in sorted(want):
        rows = 1024
        while True:
            noted = np.empty((min(rows, one.most), 3), dtype=np.int64)
            sources.state[one.source] = world.sources.state[one.source]
            count = own.births(
                one.source, one.first, one.stride, int(world.network.end), sources, noted
            )
            if count < rows:
                break
            rows *= 8
        span[one.source] = total, total + count
        total += count
        parts.append(noted[:count])
    return np.concatenate(parts), span


def _with_ends(world: k.World, ranks: int) -> k.World:
    """Add an input lane to every port, an output lane after it, and positions for real frames."""
    network, routes, lanes = world.network, world.routes, world.lanes
    ports = network.rate.size
    lane_first = network.lane_first + np.arange(ports + 1)
    into = np.repeat(np.arange(ports), np.diff(network.lane_first))
    planned = (
        np.where(routes.lane >= 0, routes.lane + into[routes.lane], -1)
        if into.size
        else (routes.lane)
    )
    total = int(lane_first[-1]) + ports
    mask = np.full(total, 63, dtype=np.int64)
    mask[np.arange(into.size) + into] = lanes.mask
    base = np.cumsum(mask + 1) - (mask + 1)
    receiver = np.zeros((total, 8), dtype=np.int64)
    receiver[:, k.NEXT_ARRIVAL] = k.NEVER
    stray = np.repeat(int(lane_first[-1]) + np.arange(ports), ranks)
    rank = np.tile(np.arange(ranks), ports)
    nothing = np.zeros_like(rank)
    return world._replace(
        network=network._replace(lane_first=lane_first),
        routes=routes._replace(
            lane=np.concatenate((planned, planned, stray)),
            rank=np.concatenate((routes.rank, routes.rank, rank)),
            shift=np.concatenate((routes.shift, routes.shift, nothing)),
            owner=np.concatenate((routes.owner, routes.owner, nothing)),
            lost=np.zeros(2 * planned.size + stray.size, dtype=np.int64),
            late=np.zeros(2 * planned.size + stray.size, dtype=np.int64),
        ),
        lanes=k.Lanes(
            base=base,
            mask=mask,
            sender=np.zeros((total, 8), dtype=np.int64),
            receiver=receiver,
            cells=np.empty((int((mask + 1).sum()), 4), dtype=np.int64),
        ),
    )
