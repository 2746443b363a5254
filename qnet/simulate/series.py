"""What each port did over time, in intervals of the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qnet.model.observation import PortSeries
from qnet.model.topology import Port
from qnet.simulate.ports.account import rings_of
from qnet.simulate.ports.parts import Parts
from qnet.simulate.world import CountRow, Counts, World
from qnet.units import ceil_div

Ints = NDArray[np.int64]

SAMPLES = 100
"""Intervals of a run; a port is served to the end of each on its own."""


class Series:
    """Counts of all ports at the ends of the intervals.

    All intervals are alike but the last, which ends with the run.
    """

    def __init__(self, world: World, parts: Parts | None, samples: int = SAMPLES) -> None:
        end_ps = world.network.end
        step_ps = max(ceil_div(end_ps, samples), 1)
        count = ceil_div(end_ps, step_ps)
        self.end_ps = tuple(min((i + 1) * step_ps, end_ps) for i in range(count))
        rows = np.zeros((len(world.tally.port), count, 4), dtype=np.int64)
        self.counts = Counts(step_ps, end_ps, rows, *rings_of(world, parts))

    @property
    def deepest(self) -> Ints:
        """[port]: the deepest queue of all intervals."""
        return np.asarray(self.counts.rows[:, :, CountRow.DEEPEST].max(axis=1, initial=0))

    def by_port(self, ports: Sequence[Port]) -> tuple[PortSeries, ...]:
        """Return the series of the ports that did anything."""
        rows = self.counts.rows[: len(ports)]
        sums = np.diff(rows[:, :, : CountRow.DEEPEST], axis=1, prepend=0)
        busy = rows[:, -1:, : CountRow.DEEPEST].any(axis=(1, 2))
        return tuple(
            PortSeries(
                port=ports[i].name,
                sent_frames=tuple(sums[i, :, 0].tolist()),
                sent_bytes=tuple(sums[i, :, 1].tolist()),
                queue_bytes_max=tuple(rows[i, :, CountRow.DEEPEST].tolist()),
                dropped=tuple(sums[i, :, 2].tolist()),
            )
            for i in np.flatnonzero(busy).tolist()
        )
