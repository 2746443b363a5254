"""At which load a trial would have lost no more than it may, by the frames that its ports saw.

A guess for the next trial, and evidence of nothing: what came to the ports that dropped is taken to
come earlier or later with the load, over the same lines, to the same buffers. Waiting further up,
and frames that other ports drop, are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnet.loads.kernels import count_dropped, keep_apart
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.scale import Chosen
from qnet.model.scenario import Scenario
from qnet.model.topology import Port
from qnet.simulate.frame_sources import FrameSource, sources_of
from qnet.simulate.tracing import play
from qnet.simulate.world import TraceRow
from qnet.units import PPB, PS_PER_S, PS_PER_US, ceil_div, wire_bytes

Ints = NDArray[np.int64]

PORTS = 5
"""Looked at: those that dropped most."""

FRAMES_HIGHEST = 4_000_000
"""Of all of them."""

FINENESS = 20
"""A guess is as fine as that part of the width."""


class _Came(NamedTuple):
    """What came to one port, a row a frame."""

    born: Ints
    first: Ints
    """When the first frame of its source was born."""
    waited: Ints
    """What of its time of birth another load changes: of flows, the pauses."""
    delay: Ints
    """From birth to the port, where nothing waits."""
    queued: Ints
    line: Ints
    """Number of the port before, or -1."""
    line_ps: Ints
    takes_ps: Ints
    held: Ints
    scaled: Ints
    paced: NDArray[np.float64]
    """Of flows, their load as a share of their access rate; of others 0."""
    buffer_bytes: int


class Forecast:
    """What a trial that lost too much says of lower loads."""

    def __init__(
        self,
        trial: tuple[Scenario, Plan, Observation],
        scale_ppm: int,
        is_scaled: Chosen,
        threads: int | None,
    ) -> None:
        self._case, self._plan, self._seen = trial
        self._scale_ppm, self._threads = scale_ppm, threads
        profile = self._case.profile
        self._demands = {one.name: one for one in profile.demands if is_scaled(one)}
        self._queued = {one.traffic_class for one in self._demands.values()}
        self._end_ps = profile.simulation.duration_ps
        self._came = [*self._look()]

    @property
    def is_known(self) -> bool:
        """Tell whether any port dropped frames, and how many came to it can be looked at."""
        return bool(self._came)

    def lost(self, scale_ppm: int) -> int:
        """Return how many frames of what is scaled the ports would drop at a load."""
        return sum(self._dropped(one, scale_ppm) for one in self._came)

    def highest(self, low_ppm: int, high_ppm: int, share_ppb: int, width_ppm: int) -> int:
        """Return the load between two at which that share of the frames would be lost, about."""
        totals = [
            one for one in (*self._seen.streams, *self._seen.demands) if one.name in self._demands
        ]
        offered = sum(one.sent - one.in_flight for one in totals)
        while high_ppm - low_ppm > max(low_ppm * width_ppm // (FINENESS * 10**6), 1):
            middle = (low_ppm + high_ppm) // 2
            if self.lost(middle) * PPB * self._scale_ppm <= share_ppb * offered * middle:
                low_ppm = middle
            else:
                high_ppm = middle
        return low_ppm

    def _look(self) -> Iterator[_Came]:
        """Play the trial once more, and write down what comes to the ports that dropped most."""
        topology, profile = self._case.topology, self._case.profile
        dropped = sorted(
            (-one.dropped + one.lost_on_link, one.port, one) for one in self._seen.ports
        )
        frames, ports = 0, list[Port]()
        end_ps = self._end_ps
        sizes = [size for one in profile.demands for size, _ in one.sizes]
        longest = wire_bytes(max([*sizes, *(one.frame_bytes for one in profile.streams)]))
        for lost, name, one in dropped[:PORTS]:
            frames += one.came
            if lost < 0 and frames <= FRAMES_HIGHEST:
                port = topology.port_by_name[name]
                ports.append(port)
                # What waits when the trial ends is written down once it leaves.
                drain_ps = one.waiting * longest * 8 * PS_PER_S // port.rate_bps
                end_ps = max(end_ps, self._end_ps + drain_ps)
        if not ports:
            return
        longer = profile.simulation.replace(duration_ps=ceil_div(end_ps, PS_PER_US) * PS_PER_US)
        profile = profile.replace(simulation=longer)
        found = sources_of(topology, profile, self._plan)
        rows: dict[int, list[Ints]] = {port.number: [] for port in ports}
        columns = [TraceRow.LABEL, TraceRow.BORN, TraceRow.QUEUED]
        watch = dict.fromkeys(rows, (0, longer.duration_ps))
        for _, written in play(topology, profile, self._plan, watch=watch, threads=self._threads):
            for each in written:
                some = np.column_stack((each.owner, each.rows[:, columns]))
                rows[each.port].append(some[each.rows[:, TraceRow.QUEUED] <= self._end_ps])
        for port in ports:
            every = np.concatenate(rows[port.number])
            yield self._account(port, every[np.lexsort(every.T)], found)

    def _account(self, port: Port, rows: Ints, found: tuple[FrameSource, ...]) -> _Came:
        """Return what came to a port: of each frame source, label, birth and when it came."""
        owner, label, born, queued = rows.T
        size = label & 0xFFFF
        before: list[Port | None] = [None] * len(found)
        for number, one in enumerate(found):
            for near, far in zip(one.ports, one.ports[1:], strict=False):
                if far.number == port.number:
                    before[number] = near
        line = np.array([-1 if one is None else one.number for one in before])[owner]
        rate = np.array([1 if one is None else one.rate_bps for one in before])[owner]
        # What waits nowhere takes the least time, of all frames of its source and its size.
        _, kind = np.unique(owner << 16 | size, return_inverse=True)
        least = np.full(kind.max(initial=0) + 1, np.iinfo(np.int64).max)
        np.minimum.at(least, kind, queued - born)
        first = np.full(len(found), np.iinfo(np.int64).max)
        np.minimum.at(first, owner, born)
        node = self._case.topology.node_by_name[port.source]
        is_queued = np.array([one.traffic_class.name in self._queued for one in found])[owner]
        bits = 8 * (size + wire_bytes(0)) * PS_PER_S
        return _Came(
            born,
            first[owner],
            self._waited(born, size, owner, found),
            least[kind],
            queued,
            line,
            np.where(line < 0, 0, -(-bits // rate)),
            -(-bits // port.rate_bps),
            np.where(is_queued, size, 0),
            np.array([one.name in self._demands for one in found])[owner].astype(np.int64),
            np.array([self._paced(one.name) for one in found])[owner],
            node.buffer_bytes,
        )

    def _paced(self, name: str) -> float:
        one = self._demands.get(name)
        return 0.0 if one is None or not one.access_rate_bps else one.rate_bps / one.access_rate_bps

    def _waited(self, born: Ints, size: Ints, owner: Ints, found: tuple[FrameSource, ...]) -> Ints:
        """Return what of the times of birth another load changes."""
        waited = born.copy()
        for number in np.unique(owner).tolist():
            demand = self._demands.get(found[number].name)
            if demand is None or demand.access_rate_bps is None:
                continue
            (mine,) = np.nonzero(owner == number)
            mine = mine[np.argsort(born[mine], kind="stable")]
            gap = np.diff(born[mine])
            line = 8 * (size[mine][:-1] + wire_bytes(0)) * PS_PER_S // demand.access_rate_bps
            waited[mine[1:]] -= np.cumsum(np.minimum(gap, line + 1))
        return waited

    def _dropped(self, came: _Came, scale_ppm: int) -> int:
        longer = self._scale_ppm / scale_ppm - 1
        pauses = longer / (1 - came.paced)
        later = np.rint(came.first * longer + (came.waited - came.first) * pauses).astype(np.int64)
        come = np.where(came.scaled == 1, came.born + came.delay + later, came.queued)
        free = np.full(len(self._case.topology.ports), -(2**62))
        keep_apart(come, came.line, came.line_ps, free)
        order = np.argsort(come, kind="stable")
        order = order[come[order] <= self._end_ps]
        return count_dropped(
            come[order],
            came.takes_ps[order],
            came.held[order],
            came.scaled[order],
            came.buffer_bytes,
        )
