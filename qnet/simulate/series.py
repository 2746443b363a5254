"""What each port did over time, read off its counts between windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qnet.model.observation import PortSeries
from qnet.model.topology import Port
from qnet.simulate import kernels as k
from qnet.units import ceil_div

Ints = NDArray[np.int64]

SAMPLES = 100
"""Intervals of a run; each cuts a window short, which costs nothing to speak of."""


class Series:
    """Counts of all ports at the ends of the intervals so far.

    `rows[interval, port]` has frames, wire bytes and drops since the run began, and the deepest
    queue of the interval. All intervals are alike but the last, which ends with the run.
    """

    def __init__(self, ports: int, end_ps: int, least_ps: int) -> None:
        self.step_ps = max(ceil_div(end_ps, SAMPLES), least_ps)
        self.rows: Ints = np.zeros((ceil_div(end_ps, self.step_ps), ports, 4), dtype=np.int64)
        self.end_ps: Ints = np.zeros(len(self.rows), dtype=np.int64)
        self.count = 0

    def next_ps(self, now_ps: int) -> int:
        """Return the end of the interval that is under way."""
        return (now_ps // self.step_ps + 1) * self.step_ps

    def take(self, world: k.World, now_ps: int, port_of_ring: Ints) -> None:
        """Note the counts at the end of an interval, and begin the next."""
        counts = world.tally.port[: self.rows.shape[1]]
        columns = [k.FRAMES, k.WIRE_BYTES, k.DROPPED, k.DEEPEST]
        self.rows[self.count] = counts[:, columns]
        self.end_ps[self.count] = now_ps
        self.count += 1
        # What waits over the end belongs to the next interval too.
        counts[:, k.DEEPEST] = 0
        np.maximum.at(counts[:, k.DEEPEST], port_of_ring, world.queues.ring[:, k.BYTES])

    @property
    def deepest(self) -> Ints:
        """[port]: the deepest queue of the intervals taken."""
        return np.asarray(self.rows[: self.count, :, 3].max(axis=0, initial=0))

    def by_port(self, ports: Sequence[Port]) -> tuple[PortSeries, ...]:
        """Return the series of the ports that did anything."""
        taken = self.rows[: self.count]
        sums = np.diff(taken[:, :, :3], axis=0, prepend=0)
        busy = taken[-1, :, :3].any(axis=1) if self.count else np.zeros(len(ports), dtype=bool)
        return tuple(
            PortSeries(
                port=ports[i].name,
                sent_frames=tuple(sums[:, i, 0].tolist()),
                sent_bytes=tuple(sums[:, i, 1].tolist()),
                queue_bytes_max=tuple(taken[:, i, 3].tolist()),
                dropped=tuple(sums[:, i, 2].tolist()),
            )
            for i in np.flatnonzero(busy).tolist()
        )
