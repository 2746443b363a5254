"""The simulator's door: topology, profile and plan in, observation out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from qnet.model.histogram import bin_low_ps
from qnet.model.observation import Copies, Drops, Observation, PortUse, Traffic
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import kernels as k
from qnet.simulate.ports.account import CAUSES, copies_at, drop_table
from qnet.simulate.ports.kernels import Parts
from qnet.simulate.ports.kernels import run_windows as run_general
from qnet.simulate.ports.setup import add_parts
from qnet.simulate.setup import Owner, build, owners
from qnet.units import PS_PER_S, ceil_div

Ints = NDArray[np.int64]

PROGRESS_STEPS = 100

HOPS_PER_TASK = 400
"""Least frames sent in a window for a thread more; handing a window to it costs some 10 us."""


def simulate(
    topology: Topology,
    profile: Profile,
    plan: Plan,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Observation:
    """Send every frame of the profile over the plan's routes and count what happens to it.

    `progress` is called with the picoseconds simulated and the duration. The same inputs give the
    same observation at any number of threads. Refused streams send nothing.
    """
    found = owners(topology, profile, plan)
    world, parts = add_parts(topology, profile, plan, found, build(topology, profile, plan, found))
    window_s = world.network.block / world.network.windows_per_block / PS_PER_S
    hops = sum(owner.law.frames_per_s * len(owner.ports) for owner in found) * window_s
    most = min(threads or numba.config.NUMBA_NUM_THREADS, numba.config.NUMBA_NUM_THREADS)
    groups = max(min(most, int(hops) // HOPS_PER_TASK), 1)
    numba.set_num_threads(groups)
    order = share_out(found, world.tally.port.shape[0], groups)
    end = profile.simulation.duration_ps
    windows = ceil_div(end, world.network.block) * world.network.windows_per_block
    window = 0
    step = max(ceil_div(windows, PROGRESS_STEPS), 1)
    while window < windows:
        goal = min(window + step, windows)
        if parts is None:
            window = k.run_windows(window, goal, order, *world)
        else:
            window = run_general(window, goal, order, *world, parts)
        if window < goal:
            world = make_room(world)
        elif progress is not None:
            progress(min(end * window // windows, end), end)
    return _observe(topology, profile, found, world, parts)


def share_out(found: Sequence[Owner], port_count: int, groups: int) -> Ints:
    """Share the ports among the groups: the busiest first, each to the group with least to do."""
    work = np.zeros(port_count)
    for owner in found:
        for number in owner.stations:
            work[number] += owner.law.frames_per_s
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


def _observe(
    topology: Topology,
    profile: Profile,
    found: Sequence[Owner],
    world: k.World,
    parts: Parts | None,
) -> Observation:
    rows: dict[str, list[int]] = defaultdict(list)
    for number, owner in enumerate(found):
        rows[owner.name].append(number)
    causes = drop_table(world.routes.lost, parts)
    drops = np.zeros((len(found), len(CAUSES)), dtype=np.int64)
    np.add.at(drops, world.routes.owner, causes)
    late = np.bincount(world.routes.owner, world.routes.late, len(found)).astype(np.int64)
    at_port = np.zeros((world.tally.port.shape[0], len(CAUSES)), dtype=np.int64)
    stations = [number for owner in found for number in owner.stations]
    np.add.at(at_port, stations, causes)
    account = _Accounts(world, drops, late)
    meeting = {owner.name: owner.meeting for owner in found if owner.meeting is not None}
    counts = world.tally.port[: len(topology.ports)]
    return Observation(
        witness="simulated",
        duration_ps=profile.simulation.duration_ps,
        steady_from_ps=min(world.network.steady_from, profile.simulation.duration_ps),
        seed=profile.simulation.seed,
        frames=int(world.sources.state[:, k.SENT].sum()),
        frame_hops=int(counts[:, k.FRAMES].sum()),
        streams=tuple(
            account.of(
                stream.name,
                stream.service,
                rows[stream.name],
                copies=True,
                recovery=copies_at(parts, meeting.get(stream.name)),
            )
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
                queue_bytes_max=int(row[k.DEEPEST]),
                dropped=int(causes.sum()),
                drops=_drops(causes),
            )
            for port, row, causes in zip(
                topology.ports, counts, at_port[: len(topology.ports)], strict=True
            )
        ),
    )


def _drops(counts: Ints) -> tuple[Drops, ...]:
    return tuple(
        Drops(cause, int(count)) for cause, count in zip(CAUSES, counts, strict=True) if count
    )


class _Accounts:
    """Sums the rows of a stream's paths or of a demand's parts."""

    def __init__(self, world: k.World, drops: Ints, late: Ints) -> None:
        self.world = world
        self.drops = drops
        self.late = late

    def of(
        self,
        name: str,
        service: str,
        rows: Sequence[int],
        *,
        copies: bool,
        recovery: Copies | None = None,
    ) -> Traffic:
        """Sum up `rows`. Copies of a frame over two paths count as one frame, lost when both are.

        Latencies are those of all copies, or of those that recovery passed on: a frame of which
        one copy came is not lost then.
        """
        counts = self.world.tally.owner[rows]
        state = self.world.sources.state[rows]
        once = np.max if copies else np.sum
        floor = self.world.routes.floor[rows]
        got = counts[:, k.RECEIVED] > 0
        excess = int(counts[:, k.EXCESS].sum())
        sent = int(once(state[:, k.SENT]))
        passed = int(counts[:, k.RECEIVED].sum())
        lost = int((np.min if copies else np.sum)(self.drops[rows].sum(axis=1)))
        base = int(floor.min())
        return Traffic(
            name=name,
            service=service,
            sent=sent,
            received=int(once(counts[:, k.RECEIVED])) if recovery is None else passed,
            copies=passed,
            lost=lost if recovery is None else min(lost, sent - passed),
            late=int(self.late[rows].sum()),
            sent_bytes=int(once(state[:, k.SENT_BYTES])),
            received_bytes=int((once if recovery is None else np.sum)(counts[:, k.RECEIVED_BYTES])),
            steady_bytes=int(counts[:, k.STEADY_BYTES].sum()),
            latency_ps_min=int((floor + counts[:, k.LEAST])[got].min()) if got.any() else None,
            latency_ps_sum=excess + int((floor * counts[:, k.RECEIVED]).sum()),
            latency_ps_max=int((floor + counts[:, k.MOST])[got].max()) if got.any() else None,
            floor_ps=base,
            histogram=self._histogram(rows, floor - base),
            drops=_drops(self.drops[rows].sum(axis=0)),
            recovery=recovery,
        )

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
