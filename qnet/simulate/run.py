"""Run the simulator: topology, profile and plan in, observation out."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.kernel import aligned, zeros
from qnet.model.histogram import bin_low_ps
from qnet.model.loads import every_demand, sent_by_name
from qnet.model.observation import (
    ClassUse,
    Drop,
    EventUse,
    Lost,
    MeterUse,
    Observation,
    PortUse,
    Taken,
    Traffic,
)
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.progress import Heeded, Progress
from qnet.simulate.checkpoint import Checkpoint, Keeper
from qnet.simulate.clocks.events import ClockChanges
from qnet.simulate.clocks.walks import CLOCK_BLOCK_PS
from qnet.simulate.fates import Followed
from qnet.simulate.frame_sources import FrameSource, sources_of
from qnet.simulate.kernels.delivery import bin_of
from qnet.simulate.layout import lay_out
from qnet.simulate.outages import events_within, ports_going_down
from qnet.simulate.ports.account import (
    AFTER_SENDING,
    came_to,
    causes_at,
    copies_at,
    drops_of,
    no_room,
    why_gone,
)
from qnet.simulate.ports.kernels.outages import go_down
from qnet.simulate.ports.parts import MeterState, Parts, PositionLaw
from qnet.simulate.series import Series
from qnet.simulate.settings import PortChanges
from qnet.simulate.turns import apply_turns
from qnet.simulate.windows.shares import share_out, work_per_s
from qnet.simulate.windows.threads import run_windows
from qnet.simulate.world import (
    BLOCK_BINS,
    DONE,
    NEVER,
    Birth,
    OwnerTally,
    PortTally,
    Receiver,
    Ring,
    Sender,
    SourceState,
    Tally,
    Trace,
    World,
)
from qnet.units import PS_PER_S

if TYPE_CHECKING:
    from qnet.simulate.tracing import LatencyRecorder, Recorder

Ints = NDArray[np.int64]

HOPS_PER_STEP = 4_000_000
"""Frames sent on, or as much work, between two looks at the world: some fifth of a second."""

HOPS_PER_TRACED_STEP = 100_000

EVENTS_PER_STEP = 500_000
"""In place of `HOPS_PER_STEP` where ports are served in the order of what comes next."""

HOP_NS, CLOCK_NS, CLOCK_BYTES = 50, 1000, 40
"""About what a frame sent on takes of a core; and a clock's error at one millisecond, of a core and
of memory."""


class Extent(NamedTuple):
    """How large a run is going to be, by the mean rates of what sends; the last two are guesses."""

    frames: int
    frame_hops: int
    cpu_s: int
    memory_bytes: int


def extent(topology: Topology, profile: Profile, found: Sequence[FrameSource]) -> Extent:
    """Say how large a run is going to be, before anything of it is laid out."""
    seconds = profile.simulation.duration_ps / PS_PER_S
    hops = sum(one.law.frames_per_s * one.own_ports for one in found) * seconds
    clocks = len(topology.nodes) * (profile.simulation.duration_ps // CLOCK_BLOCK_PS + 1)
    return Extent(
        round(sum(one.law.frames_per_s for one in found if not one.leads) * seconds),
        round(hops),
        int((hops * HOP_NS + clocks * CLOCK_NS) / 1e9),
        clocks * CLOCK_BYTES,
    )


def simulate(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    recorder: Recorder | LatencyRecorder | None = None,
    announce: Callable[[Extent], None] | None = None,
) -> Observation:
    """Send every frame of the profile over the plan's routes and count what happens to it.

    `announce` is told at the start how large the run is going to be, and may raise what ends it;
    steps of `progress` are picoseconds of the duration. The same inputs give the
    same observation at any number of threads, and whether or not the run went on from a
    checkpoint; a `recorder` is told of the first frames, or of latencies. Refused streams send
    nothing. Raises Interrupted, Cancelled, and InputError for a checkpoint that does not belong to
    this run.
    """
    heeded = Heeded(progress, "simulate")
    if announce is not None:
        announce(extent(topology, profile, sources_of(topology, profile, plan)))
    course = Course(topology, profile, plan, threads, heeded)
    keeper = None
    if recorder is not None:
        recorder.begin(course)
    if checkpoint is not None:
        assert recorder is None or recorder.can_be_kept, "sums of latencies are in no checkpoint"
        keeper = Keeper(checkpoint, topology, profile, plan, recorder)
        keeper.begin(course)
    while not course.is_done:
        if recorder is not None:
            recorder.go_on(course)
        else:
            course.go_on(until_ps=keeper.due_ps if keeper is not None else NEVER)
        heeded.step(course.now_ps, course.end_ps)
        if keeper is not None:
            keeper.look(course)
    return _observe(topology, profile, course)


class Course:
    """A run under way: its world, the time it has come to, and the series of its ports so far."""

    def __init__(
        self,
        topology: Topology,
        profile: Profile,
        plan: Plan,
        threads: int | None = None,
        heeded: Heeded | None = None,
    ) -> None:
        laid = lay_out(topology, profile, plan, heeded)
        self.found, world, self.parts, self.turns, changes = laid
        self.followed = Followed(self.found)
        self.world = self.followed.begin(world)
        self.queue_by_class = profile.queue_by_class
        self.downs = ports_going_down(topology, profile)
        """When nodes go down, and their general ports."""
        self.settings = PortChanges(changes)
        self.clocks = ClockChanges(self.world.network)
        stops_ps = self.settings.times_ps | self.clocks.times_ps
        self.stops_ps = sorted({*self.downs, *self.turns} | stops_ps)
        self.end_ps = profile.simulation.duration_ps
        self.now_ps = 0
        work = work_per_s(self.found, len(self.world.tally.port))
        self.shares = share_out(self.world, work, threads)
        window_ps = self.shares.window_ps
        hop_ps = PS_PER_S / max(float(work.sum()), 1)
        hops = HOPS_PER_STEP if self.shares.agenda is None else EVENTS_PER_STEP
        self.step_ps = max(int(hops * hop_ps) // window_ps, 1) * window_ps
        self.traced_step_ps = max(int(HOPS_PER_TRACED_STEP * hop_ps) // window_ps, 1) * window_ps
        self.series = Series(self.world, self.parts)

    @property
    def is_done(self) -> bool:
        """Tell whether the run has reached its end."""
        return self.now_ps == self.end_ps

    def go_on(
        self,
        trace: Trace | None = None,
        written: Callable[[Trace], None] | None = None,
        until_ps: int = NEVER,
    ) -> None:
        """Run some windows, until `until_ps` at most.

        With a trace, `written` is to empty it whenever it is called.
        """
        # What is written down is held in memory until the step is over.
        step_ps = self.step_ps if trace is None else min(self.step_ps, self.traced_step_ps)
        self._apply(trace, written)
        following = self.stops_ps[bisect_right(self.stops_ps, self.now_ps) :][:1]
        goal_ps = min(self.now_ps + step_ps, until_ps, self.end_ps, *following)
        self.world = self.followed.make_room(self.world, goal_ps - self.now_ps)
        while self.now_ps < goal_ps:
            self.now_ps = run_windows(
                self.now_ps, goal_ps, self.shares, self.world, self.series.counts, trace, self.parts
            )
            if trace is not None and written is not None:
                written(trace)
            if self.now_ps < goal_ps:
                self.world = make_room(self.world)

    def _apply(self, trace: Trace | None, written: Callable[[Trace], None] | None) -> None:
        """Apply what changes now, between two windows: rates, fibres and losses of ports are
        others, clocks are set otherwise, and nodes that go down lose what is in them.

        Sources begin to send, or end. What is cut takes frames from lines by itself. To do it again
        changes nothing.
        """
        self.settings.apply(self.now_ps, self.world, self.parts)
        self.clocks.apply(self.now_ps, self.world)
        if self.now_ps > 0:
            changes = self.turns.get(self.now_ps, ())
            apply_turns(changes, self.found, self.world, self.parts)
        for port in self.downs.get(self.now_ps, ()):
            assert self.parts is not None, "ports of nodes that go down are general"
            while go_down(port, self.now_ps, self.world, trace, self.parts) != DONE:
                assert trace is not None, "only a trace can be full"
                assert written is not None, "a trace that is full is emptied"
                written(trace)


def make_room(world: World) -> World:
    """Double every ring that is full, or nearly so."""
    lanes, queues = world.lanes, world.queues
    held = lanes.sender[:, Sender.TAIL] - lanes.receiver[:, Receiver.HEAD]
    tight = held * 8 > (lanes.mask + 1) * 7
    base, mask, cells = _regrow(
        lanes.base, lanes.mask, lanes.receiver[:, Receiver.HEAD], held, tight, lanes.cells
    )
    world = world._replace(
        lanes=lanes._replace(base=base, mask=mask, cells=cells), tally=_more_blocks(world.tally)
    )
    ring = aligned(queues.ring)
    full = ring[:, Ring.COUNT] > ring[:, Ring.MASK]
    if full.any():  # and those that would be next
        full = 2 * ring[:, Ring.COUNT] > ring[:, Ring.MASK]
    base, mask, cells = _regrow(
        ring[:, Ring.BASE],
        ring[:, Ring.MASK],
        ring[:, Ring.FRONT],
        ring[:, Ring.COUNT],
        full,
        queues.cells,
    )
    ring[:, Ring.BASE], ring[:, Ring.MASK] = base, mask
    return world._replace(queues=queues._replace(ring=ring, cells=cells))


def _more_blocks(tally: Tally) -> Tally:
    """Double the room for histograms where it is used up."""
    counts = tally.port
    room, used, base = (
        counts[:, i].copy() for i in (PortTally.BLOCK_ROOM, PortTally.BLOCKS, PortTally.BLOCK_BASE)
    )
    if not (used == room).any():
        return tally
    full = used * 8 > room * 7
    counts[:, PortTally.BLOCK_ROOM] = np.where(full, 2 * room, room)
    counts[:, PortTally.BLOCK_BASE] = (
        np.cumsum(counts[:, PortTally.BLOCK_ROOM]) - counts[:, PortTally.BLOCK_ROOM]
    )
    bins = zeros((int(counts[:, PortTally.BLOCK_ROOM].sum()), BLOCK_BINS))
    for port in np.flatnonzero(used):
        begin = counts[port, PortTally.BLOCK_BASE]
        bins[begin : begin + used[port]] = tally.bins[base[port] : base[port] + used[port]]
    return tally._replace(bins=bins)


def _regrow(
    base: Ints, mask: Ints, front: Ints, count: Ints, grow: NDArray[np.bool_], cells: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return base, mask and cells of rings of which those marked are twice as long.

    They move behind all others, which stay where they are, so that it takes as long as what grows
    is. What they leave behind is less than what they have then; a half more is laid out when there
    is no room for them.
    """
    if not grow.any():
        return base, mask, cells
    growing = np.flatnonzero(grow)
    sizes = 2 * (mask[growing] + 1)
    used = int((base + mask + 1).max())
    ends = used + np.cumsum(sizes)
    if ends[-1] > len(cells):
        larger = zeros((int(ends[-1]) * 3 // 2, 4))
        larger[:used] = cells[:used]
        cells = larger
    new_base, new_mask = base.copy(), mask.copy()
    new_base[growing], new_mask[growing] = ends - sizes, sizes - 1
    for i in growing[count[growing] > 0]:
        turn = front[i] + np.arange(count[i])
        cells[new_base[i] + (turn & new_mask[i])] = cells[base[i] + (turn & mask[i])]
    return new_base, new_mask, cells


def _riders(found: Sequence[FrameSource]) -> dict[tuple[int, int], list[int]]:
    """Return, by leading leg and port, the legs whose frames are its own there."""
    riders: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, owner in enumerate(found):
        for lead, port in zip(owner.leads, owner.ports, strict=False):
            riders[lead, port.number].append(number)
    return dict(riders)


def _observe(topology: Topology, profile: Profile, course: Course) -> Observation:
    found, world, series = course.found, course.world, course.series
    account = _Accounts(found, world, course)
    counts = world.tally.port[: len(topology.ports)]
    streams = tuple(
        account.of(stream.name, stream.service, account.streams[stream.name])
        for stream in profile.every_stream
        if stream.name in account.streams
    )
    demands = tuple(
        account.of(demand.name, demand.service, account.demands[demand.name])
        for demand in every_demand(profile)
        if demand.name in account.demands
    )
    return Observation(
        witness="simulated",
        duration_ps=profile.simulation.duration_ps,
        steady_from_ps=min(world.network.steady_from, profile.simulation.duration_ps),
        seed=profile.simulation.seed,
        frames=int(world.sources.state[:, SourceState.SENT].sum()),
        frame_hops=int(counts[:, PortTally.FRAMES].sum()),
        streams=streams,
        demands=demands,
        ports=tuple(
            PortUse(
                port=port.name,
                came=came,
                sent_frames=int(row[PortTally.FRAMES]),
                sent_bytes=int(row[PortTally.WIRE_BYTES]),
                steady_bytes=int(row[PortTally.STEADY]),
                queue_bytes_max=int(deepest),
                dropped=int(row[PortTally.DROPPED]) + after,
                lost_on_link=lost,
                waiting=came - int(row[PortTally.FRAMES] + row[PortTally.DROPPED]) - after + lost,
            )
            for port, row, deepest, came, lost, after in zip(
                topology.ports,
                counts,
                series.deepest[: len(counts)],
                came_to(world, found).tolist(),
                account.lost_on_link(len(counts)),
                account.lost_where_copies_meet(len(counts)),
                strict=True,
            )
        ),
        classes=_class_uses(profile, account, (*streams, *demands)),
        drops=_drops(topology, account, world, course.parts),
        meters=_meter_uses(topology, account, world, course.parts),
        events=_event_uses(profile, account, world, course.parts),
        series_end_ps=series.end_ps,
        series=series.by_port(topology.ports),
    )


def _drops(
    topology: Topology, account: _Accounts, world: World, parts: Parts | None
) -> tuple[Drop, ...]:
    """List who lost frames where, by port and name: each leg of a stream that all of them lost."""
    count: Counter[tuple[int, str, str, str]] = Counter()
    for position in np.flatnonzero(drops_of(world, parts)).tolist():
        for number in account.all_at(position, int(world.routes.owner[position])):
            owner = account.found[number]
            port = topology.ports[account.sent_from[position]]
            for cause, frames in _causes(position, owner, world, parts):
                count[port.number, port.name, owner.name, cause] += frames
    return tuple(
        Drop(port=port, name=name, cause=cause, frames=count[number, port, name, cause])
        for number, port, name, cause in sorted(+count)
    )


def _meter_uses(
    topology: Topology, account: _Accounts, world: World, parts: Parts | None
) -> tuple[MeterUse, ...]:
    """List the frames of each meter of two rates by colour, in the order of ports and names."""
    if parts is None:
        return ()
    uses: dict[tuple[int, str], MeterUse] = {}
    rows = parts.position[:, PositionLaw.METER]
    for position in np.flatnonzero(rows >= 0).tolist():
        law = parts.meter[rows[position]]
        if law[MeterState.EXCESS_FULL]:
            port = topology.ports[account.sent_from[position]]
            owner = account.found[int(world.routes.owner[position])]
            uses[port.number, owner.name] = MeterUse(
                port=port.name,
                name=owner.name,
                green=int(law[MeterState.GREEN]),
                yellow=int(law[MeterState.YELLOW]),
                red=int(law[MeterState.RED]),
            )
    return tuple(uses[key] for key in sorted(uses))


def _event_uses(
    profile: Profile, account: _Accounts, world: World, parts: Parts | None
) -> tuple[EventUse, ...]:
    """List what each event took of whom, in the order of the names."""
    uses = []
    column = {number: place for place, number in enumerate(events_within(profile))}
    for number, event in enumerate(profile.events):
        count: Counter[str] = Counter()
        broken = parts.broken[:, column[number]] if parts and number in column else np.zeros(0)
        for position in np.flatnonzero(broken).tolist():
            frames = int(broken[position])
            for one in account.all_at(position, int(world.routes.owner[position])):
                count[account.found[one].name] += frames
        lost = tuple(Taken(name=name, frames=count[name]) for name in sorted(count))
        uses.append(EventUse(event=event.words, at_ps=event.at_ps, lost=lost))
    return tuple(uses)


def _causes(
    position: int, owner: FrameSource, world: World, parts: Parts | None
) -> Iterator[tuple[str, int]]:
    """Yield why frames were dropped at a position, and how many."""
    yield no_room(owner), int(world.routes.lost[position])
    yield from causes_at(position, parts)


def _class_uses(
    profile: Profile, account: _Accounts, every: Sequence[Traffic]
) -> tuple[ClassUse, ...]:
    """Add up streams and demands by class, copy by copy."""
    by_name = sent_by_name(profile)
    members: dict[str, list[Traffic]] = {one.name: [] for one in profile.classes}
    for traffic in every:
        members[by_name[traffic.name].traffic_class].append(traffic)
    uses = []
    for one in profile.classes:
        mine = members[one.name]
        lost: Counter[str] = Counter()
        for traffic in mine:
            if traffic.copies_lost:
                lost.update(account.copies_lost_by(traffic.name))
        sent = sum([traffic.copies_sent for traffic in mine])
        received = sum([traffic.copies for traffic in mine])
        discarded = sum([traffic.recovery.discarded for traffic in mine if traffic.recovery])
        uses.append(
            ClassUse(
                traffic_class=one.name,
                sent=sent,
                received=received,
                lost_by=_lost(lost),
                discarded=discarded,
                in_flight=sent - received - lost.total() - discarded,
            )
        )
    return tuple(uses)


def _lost(count: Mapping[str, int]) -> tuple[Lost, ...]:
    return tuple(Lost(cause=cause, frames=count[cause]) for cause in sorted(count) if count[cause])


class _Accounts:
    """Sums the rows of a stream's paths or of a demand's parts."""

    def __init__(self, found: Sequence[FrameSource], world: World, course: Course) -> None:
        parts = course.parts
        self.found = found
        self.streams: dict[str, list[int]] = defaultdict(list)
        self.demands: dict[str, list[int]] = defaultdict(list)
        for number, owner in enumerate(found):
            rows = self.demands if owner.stream is None else self.streams
            rows[owner.name].append(number)
        routes, tally = world.routes, world.tally
        servers = [owner.servers for owner in found]
        # Positions are in the order of ports.
        self.port_of = np.sort(np.array(list(chain.from_iterable(servers)), dtype=np.int64))
        self.fates = dict(course.followed.fates(world))
        self.riders = _riders(found)
        self.lost_by: dict[int, Counter[str]] = defaultdict(Counter)
        """Of those that lost any."""
        for position in np.flatnonzero(drops_of(world, parts)).tolist():
            for number in self.all_at(position, int(routes.owner[position])):
                for cause, frames in _causes(position, found[number], world, parts):
                    self.lost_by[number][cause] += frames
        self.link = np.zeros(routes.owner.size, dtype=np.int64)
        if parts is not None:
            self.link = parts.dropped[:, AFTER_SENDING].sum(axis=1)
        self.sent_from = self.port_of.copy()
        """As `port_of`; what is lost where copies meet has come by the last port."""
        for position in np.flatnonzero(self.port_of >= world.network.rate.size).tolist():
            self.sent_from[position] = found[routes.owner[position]].ports[-1].number
        self.copies = [copies_at(parts, owner.elimination) for owner in found]
        self.late = np.bincount(routes.owner, routes.late, len(found)).astype(np.int64).tolist()
        if self.riders:
            for position in np.flatnonzero(routes.late).tolist():
                for number in self.all_at(position, int(routes.owner[position]))[1:]:
                    self.late[number] += int(routes.late[position])
        talking = [owner.leads[0] if owner.leads else i for i, owner in enumerate(found)]
        self.sent = world.sources.state[talking, SourceState.SENT].tolist()
        self.sent_bytes = world.sources.state[talking, SourceState.SENT_BYTES].tolist()
        self.counts = tally.owner.tolist()
        self.births = tally.birth.tolist()
        # All bins that hold frames, in the order of owners.
        last_port = np.array([one[-1] for one in servers], dtype=np.int64)
        who, octave = np.nonzero(tally.block)
        base = tally.port[last_port[who], PortTally.BLOCK_BASE]
        blocks = tally.bins[base + tally.block[who, octave] - 1]
        entry, place = np.nonzero(blocks)
        self.bins = list(
            zip(
                (octave[entry] * BLOCK_BINS + place).tolist(),
                blocks[entry, place].tolist(),
                strict=True,
            )
        )
        self.first_bin = np.searchsorted(who[entry], np.arange(len(found) + 1)).tolist()

    def all_at(self, position: int, owner: int) -> list[int]:
        """Return whose frames are those at a position: its owner's, and of legs that ride there."""
        return [owner, *self.riders.get((owner, int(self.port_of[position])), ())]

    def lost_on_link(self, ports: int) -> list[int]:
        """Return the frames that the link after each port has lost."""
        counted = np.bincount(self.sent_from, self.link, ports)
        return [int(one) for one in counted[:ports]]

    def lost_where_copies_meet(self, ports: int) -> list[int]:
        """Return the frames of each port that are lost behind its link, where copies meet."""
        there = self.sent_from != self.port_of
        counted = np.bincount(self.sent_from[there], self.link[there], ports)
        return [int(one) for one in counted[:ports]]

    def copies_lost_by(self, name: str) -> Counter[str]:
        """Return why copies of a stream, or frames of a demand, were dropped."""
        return self._lost_in(self.streams.get(name) or self.demands[name])

    def _lost_in(self, rows: Sequence[int]) -> Counter[str]:
        total: Counter[str] = Counter()
        for row in rows:
            if row in self.lost_by:
                total.update(self.lost_by[row])
        return total

    def of(self, name: str, service: str, rows: Sequence[int]) -> Traffic:
        """Sum up `rows`. Copies of a frame over two paths count as one frame, lost when both are.

        Latencies are those of all copies, or of those that recovery passed on.
        """
        # Lists, since a generator costs more than the one or two rows that it goes through.
        counts = [self.counts[row] for row in rows]
        base = min([one[OwnerTally.FLOOR] for one in counts])
        copies_sent = sent = sum([self.sent[row] for row in rows])
        copies = received = sum([one[OwnerTally.RECEIVED] for one in counts])
        sent_bytes = sum([self.sent_bytes[row] for row in rows])
        received_bytes = sum([one[OwnerTally.RECEIVED_BYTES] for one in counts])
        by_copy: Mapping[str, int] = {}
        if not self.lost_by.keys().isdisjoint(rows):
            by_copy = self._lost_in(rows)
        copies_lost = lost = sum(by_copy.values())
        lost_by = by_copy
        stream = self.found[rows[0]].stream
        if stream is not None and name in self.fates:
            fates = self.fates[name]
            sent, received = fates.sent, fates.received
            sent_bytes, received_bytes = (n * stream.frame_bytes for n in (sent, received))
            owner = self.found[rows[0]]
            lost_by = {
                " and ".join(why_gone(owner, fate) for fate in both): frames
                for both, frames in fates.lost.items()
            }
            lost = sum(lost_by.values())
        got = [row for row in rows if self.counts[row][OwnerTally.RECEIVED]]
        least_ps = most_ps = best = worst = None
        if got:
            least_ps, best = min([self._least(row) for row in got])
            most_ps, worst = min([self._most(row) for row in got])
            most_ps = -most_ps
        return Traffic(
            name=name,
            service=service,
            sent=sent,
            received=received,
            copies=copies,
            lost=lost,
            in_flight=sent - received - lost,
            late=sum([self.late[row] for row in rows]),
            copies_sent=copies_sent,
            copies_lost=copies_lost,
            sent_bytes=sent_bytes,
            received_bytes=received_bytes,
            steady_bytes=sum([one[OwnerTally.STEADY_BYTES] for one in counts]),
            latency_ps_min=least_ps,
            latency_ps_sum=sum(
                [
                    one[OwnerTally.EXCESS] + one[OwnerTally.FLOOR] * one[OwnerTally.RECEIVED]
                    for one in counts
                ]
            ),
            latency_ps_max=most_ps,
            floor_ps=base,
            histogram=self._histogram(rows, base),
            best_birth_ps=best,
            worst_birth_ps=worst,
            recovery=self.copies[rows[0]],
            lost_by=_lost(lost_by) if lost_by else (),
        )

    def _least(self, row: int) -> tuple[int, int]:
        """Return the least latency of a row that received any, and the birth of its frame."""
        return self.counts[row][OwnerTally.FLOOR] + self.counts[row][OwnerTally.LEAST], self.births[
            row
        ][Birth.BEST]

    def _most(self, row: int) -> tuple[int, int]:
        """Return the largest latency, negative so that the least is it, and the frame's birth."""
        return -self.counts[row][OwnerTally.FLOOR] - self.counts[row][OwnerTally.MOST], self.births[
            row
        ][Birth.WORST]

    def _histogram(self, rows: Sequence[int], base: int) -> tuple[tuple[int, int], ...]:
        """Merge histograms; those of longer routes are moved up by the difference of the floors."""
        total: dict[int, int] = defaultdict(int)
        for row in rows:
            bins = self.bins[self.first_bin[row] : self.first_bin[row + 1]]
            moved = self.counts[row][OwnerTally.FLOOR] - base
            if moved == 0 and len(rows) == 1:
                return tuple(bins)
            for index, frames in bins:
                total[bin_of(bin_low_ps(index) + moved) if moved else index] += frames
        return tuple(sorted(total.items()))
