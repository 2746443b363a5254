"""The simulator's door: topology, profile and plan in, observation out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from qnet.model.histogram import bin_low_ps
from qnet.model.observation import Drop, Observation, PortUse, Traffic
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import kernels as k
from qnet.simulate.checkpoint import Checkpoint, Keeper
from qnet.simulate.series import Series
from qnet.simulate.setup import Owner, build, owners
from qnet.units import PS_PER_S, ceil_div

Ints = NDArray[np.int64]

HOPS_PER_TASK = 400
"""Least frames sent in a window for a thread more; handing a window to it costs some 10 us."""

HOPS_PER_STEP = 2_000_000
"""Frames sent, or so, between two looks at the world: a fifth of a second at most."""


def simulate(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Observation:
    """Send every frame of the profile over the plan's routes and count what happens to it.

    `progress` is called with the picoseconds simulated and the duration. The same inputs give the
    same observation at any number of threads, and whether or not the run went on from a
    checkpoint. Refused streams send nothing. Raises Interrupted, and InputError for a checkpoint
    that does not belong to this run.
    """
    course = Course(topology, profile, plan, threads)
    keeper = None
    if checkpoint is not None:
        keeper = Keeper(checkpoint, topology, profile, plan)
        keeper.begin(course)
    while not course.is_done:
        course.go_on()
        if progress is not None:
            progress(course.now_ps, course.end_ps)
        if keeper is not None:
            keeper.look(course)
    return _observe(topology, profile, course)


class Course:
    """A run under way: its world, the next window, and the series of its ports so far."""

    def __init__(
        self, topology: Topology, profile: Profile, plan: Plan, threads: int | None = None
    ) -> None:
        self.found = owners(topology, profile, plan)
        self.world = build(topology, profile, plan, self.found)
        self.end_ps = profile.simulation.duration_ps
        network = self.world.network
        self.windows = ceil_div(self.end_ps, network.block) * network.windows_per_block
        self.window = 0
        window_s = network.block / network.windows_per_block / PS_PER_S
        hops = sum(one.law.frames_per_s * len(one.ports) for one in self.found) * window_s
        most = min(threads or numba.config.NUMBA_NUM_THREADS, numba.config.NUMBA_NUM_THREADS)
        groups = max(min(most, int(hops) // HOPS_PER_TASK), 1)
        numba.set_num_threads(groups)
        self.order = share_out(self.found, len(topology.ports), groups)
        self.windows_per_step = max(int(HOPS_PER_STEP / max(hops, 1)), 1)
        self.series = Series(len(topology.ports), self.windows)

    @property
    def is_done(self) -> bool:
        """Tell whether the run has reached its end."""
        return self.window == self.windows

    @property
    def now_ps(self) -> int:
        """Return the time up to which all ports have been served."""
        return int(k.window_end(self.window - 1, self.world.network)) if self.window else 0

    def go_on(
        self, trace: k.Trace | None = None, written: Callable[[k.Trace], None] | None = None
    ) -> None:
        """Run some windows; with a trace, `written` is to empty it whenever it is called."""
        sample = (self.window // self.series.step + 1) * self.series.step
        goal = min(self.window + self.windows_per_step, sample, self.windows)
        while self.window < goal:
            self.window = k.run_windows(self.window, goal, self.order, *self.world, trace)
            if trace is not None and written is not None:
                written(trace)
            if self.window < goal:
                self.world = make_room(self.world)
        if goal in (sample, self.windows):
            self.series.take(self.world, self.now_ps)


def share_out(found: Sequence[Owner], port_count: int, groups: int) -> Ints:
    """Share the ports among the groups: the busiest first, each to the group with least to do."""
    work = np.zeros(port_count)
    for owner in found:
        for port in owner.ports:
            work[port.number] += owner.law.frames_per_s
    lists: list[list[int]] = [[] for _ in range(groups)]
    load = [0.0] * groups
    for port in np.argsort(-work, kind="stable"):
        if work[port] > 0:
            least = load.index(min(load))
            lists[least].append(int(port))
            load[least] += float(work[port])
    order = np.full((groups, max(map(len, lists)) + 1), -1, dtype=np.int64)
    for row, ports in zip(order, lists, strict=True):
        row[: len(ports)] = sorted(ports)
    return order


def make_room(world: k.World) -> k.World:
    """Double every ring that is full, or nearly so."""
    lanes, queues = world.lanes, world.queues
    held = lanes.sender[:, k.TAIL] - lanes.receiver[:, k.HEAD]
    tight = held * 8 > (lanes.mask + 1) * 7
    base, mask, cells = _regrow(
        lanes.base, lanes.mask, lanes.receiver[:, k.HEAD], held, tight, lanes.cells
    )
    world = world._replace(lanes=lanes._replace(base=base, mask=mask, cells=cells))
    ring = queues.ring.copy()
    full = ring[:, k.COUNT] > ring[:, k.MASK]
    base, mask, cells = _regrow(
        ring[:, k.BASE], ring[:, k.MASK], ring[:, k.FRONT], ring[:, k.COUNT], full, queues.cells
    )
    ring[:, k.BASE], ring[:, k.MASK] = base, mask
    return world._replace(queues=queues._replace(ring=ring, cells=cells))


def _regrow(
    base: Ints, mask: Ints, front: Ints, count: Ints, grow: NDArray[np.bool_], cells: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return base, mask and cells of rings of which those marked are twice as long."""
    if not grow.any():
        return base, mask, cells
    sizes = np.where(grow, 2 * (mask + 1), mask + 1)
    new_base = np.cumsum(sizes) - sizes
    new_cells = np.empty((int(sizes.sum()), 4), dtype=np.int64)
    for i in np.flatnonzero(count):
        turn = front[i] + np.arange(count[i])
        new_cells[new_base[i] + (turn & (sizes[i] - 1))] = cells[base[i] + (turn & mask[i])]
    return new_base, sizes - 1, new_cells


def _observe(topology: Topology, profile: Profile, course: Course) -> Observation:
    found, world, series = course.found, course.world, course.series
    rows: dict[str, list[int]] = defaultdict(list)
    for number, owner in enumerate(found):
        rows[owner.name].append(number)
    lost = np.bincount(world.routes.owner, world.routes.lost, len(found)).astype(np.int64)
    late = np.bincount(world.routes.owner, world.routes.late, len(found)).astype(np.int64)
    account = _Accounts(world, lost, late)
    counts = world.tally.port
    return Observation(
        witness="simulated",
        duration_ps=profile.simulation.duration_ps,
        steady_from_ps=min(world.network.steady_from, profile.simulation.duration_ps),
        seed=profile.simulation.seed,
        frames=int(world.sources.state[:, k.SENT].sum()),
        frame_hops=int(counts[:, k.FRAMES].sum()),
        streams=tuple(
            account.of(stream.name, stream.service, rows[stream.name], copies=True)
            for stream in profile.every_stream
            if stream.name in rows
        ),
        demands=tuple(
            account.of(demand.name, demand.service, rows[demand.name], copies=False)
            for demand in profile.demands
            if demand.name in rows
        ),
        ports=tuple(
            PortUse(
                port=port.name,
                sent_frames=int(row[k.FRAMES]),
                sent_bytes=int(row[k.WIRE_BYTES]),
                steady_bytes=int(row[k.STEADY]),
                queue_bytes_max=int(deepest),
                dropped=int(row[k.DROPPED]),
            )
            for port, row, deepest in zip(topology.ports, counts, series.deepest, strict=True)
        ),
        drops=_drops(found, world),
        series_end_ps=tuple(series.end_ps[: series.count].tolist()),
        series=series.by_port(topology.ports),
    )


def _drops(found: Sequence[Owner], world: k.World) -> tuple[Drop, ...]:
    """List who lost frames where, by port and name."""
    count: Counter[tuple[int, str, str, str]] = Counter()
    first = world.sources.law[:, k.START]
    for position in np.flatnonzero(world.routes.lost):
        number = int(world.routes.owner[position])
        owner = found[number]
        port = owner.ports[position - first[number]]
        cause = "cycle buffer full" if owner.rank == 0 else "class buffer full"
        frames = int(world.routes.lost[position])
        count[port.number, port.name, owner.name, cause] += frames
    return tuple(
        Drop(port=port, name=name, cause=cause, frames=count[number, port, name, cause])
        for number, port, name, cause in sorted(count)
    )


class _Accounts:
    """Sums the rows of a stream's paths or of a demand's parts."""

    def __init__(self, world: k.World, lost: Ints, late: Ints) -> None:
        self.world = world
        self.lost = lost
        self.late = late

    def of(self, name: str, service: str, rows: Sequence[int], *, copies: bool) -> Traffic:
        """Sum up `rows`. Copies of a frame over two paths count as one frame, lost when both are.

        Latencies are those of all copies.
        """
        counts = self.world.tally.owner[rows]
        state = self.world.sources.state[rows]
        once = np.max if copies else np.sum
        floor = self.world.routes.floor[rows]
        got = counts[:, k.RECEIVED] > 0
        excess = int(counts[:, k.EXCESS].sum())
        base = int(floor.min())
        return Traffic(
            name=name,
            service=service,
            sent=int(once(state[:, k.SENT])),
            received=int(once(counts[:, k.RECEIVED])),
            copies=int(counts[:, k.RECEIVED].sum()),
            lost=int((np.min if copies else np.sum)(self.lost[rows])),
            late=int(self.late[rows].sum()),
            sent_bytes=int(once(state[:, k.SENT_BYTES])),
            received_bytes=int(once(counts[:, k.RECEIVED_BYTES])),
            steady_bytes=int(counts[:, k.STEADY_BYTES].sum()),
            latency_ps_min=int((floor + counts[:, k.LEAST])[got].min()) if got.any() else None,
            latency_ps_sum=excess + int((floor * counts[:, k.RECEIVED]).sum()),
            latency_ps_max=int((floor + counts[:, k.MOST])[got].max()) if got.any() else None,
            floor_ps=base,
            histogram=self._histogram(rows, floor - base),
            best_birth_ps=self._birth(rows, floor + counts[:, k.LEAST], k.LEAST_BIRTH),
            worst_birth_ps=self._birth(rows, -floor - counts[:, k.MOST], k.MOST_BIRTH),
        )

    def _birth(self, rows: Sequence[int], order: Ints, column: int) -> int | None:
        """Return the birth in a column of the first row in order of those that received frames."""
        counts = self.world.tally.owner
        some = [(int(key), int(counts[row, column])) for key, row in zip(order, rows, strict=True)
                if counts[row, k.RECEIVED]]  # fmt: skip
        return min(some)[1] if some else None

    def _histogram(self, rows: Sequence[int], offset: Ints) -> tuple[tuple[int, int], ...]:
        """Merge histograms; those of longer routes are moved up by the difference of the floors."""
        total = np.zeros_like(self.world.tally.histogram[0])
        for row, moved in zip(rows, offset, strict=True):
            bins = self.world.tally.histogram[row]
            if moved == 0:
                total += bins
                continue
            for index in np.flatnonzero(bins):
                total[k.bin_of(bin_low_ps(int(index)) + int(moved))] += bins[index]
        return tuple((int(i), int(total[i])) for i in np.flatnonzero(total))
