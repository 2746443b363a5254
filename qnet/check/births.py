"""How many frames of a stream are born within spans of time, at least and at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qnet.check.broken import Span
from qnet.check.conditions import clock_bounds
from qnet.check.findings import is_sane
from qnet.check.line import ceil_div
from qnet.model.plan import Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream


class GatedBirths(NamedTuple):
    """When a talker puts the frames of a gate cycle into its first port, each once a cycle.

    By its clock, with its phase; in true time up to `error_ps` sooner or later. One row for each
    path: copies of a frame have starts of their own.
    """

    starts_ps: Sequence[Sequence[int]]
    error_ps: int
    cycle_ps: int
    each: int
    """Frames at one start."""
    in_interval: int

    @property
    def apart_ps(self) -> int:
        """Return how far apart the copies of one frame can be born."""
        if len(self.starts_ps) < 2:
            return 0
        pairs = zip(*self.starts_ps, strict=True)
        apart: int = max(max(pair) - min(pair) for pair in pairs)
        return apart + 2 * self.error_ps

    @property
    def after_first_ps(self) -> int:
        """Return how much later than the first frame of an interval any of it can be born."""
        count = self.in_interval
        firsts = range(0, len(self.starts_ps[0]), count)
        spans = [[one for row in self.starts_ps for one in row[at : at + count]] for at in firsts]
        return max(max(every) - min(every) for every in spans) + 2 * self.error_ps

    @property
    def left_out(self) -> int:
        """Return how many frames may be missing on one of several paths.

        What would be born before the run is left out, with the rest of its interval.
        """
        if len(self.starts_ps) < 2:
            return 0
        return sum(self._may_be_early(row, place) for row in self.starts_ps
                   for place in range(len(row))) * self.each  # fmt: skip

    def _may_be_early(self, row: Sequence[int], place: int) -> bool:
        """Say whether the interval of a frame of the first cycle may begin before the run."""
        first = place // self.in_interval * self.in_interval
        return min(row[first : first + self.in_interval]) < self.error_ps

    def within(self, spans: Sequence[Span]) -> Span:
        """Return how many frames are born on the first path within some spans.

        With a start of 3 us, a cycle of 10 us and a clock within 1 us, between 2 us and 33 us:
        three for certain, at 3, 13 and 23, and perhaps the one at 33.
        """
        row = self.starts_ps[0]
        least = most = 0
        for begin, end in spans:
            for place, start in enumerate(row):
                sure = ceil_div(begin + self.error_ps - start, self.cycle_ps)
                sure = max(sure, 1 if self._may_be_early(row, place) else 0)
                least += max(ceil_div(end - self.error_ps - start, self.cycle_ps) - sure, 0)
                first = max(ceil_div(begin - self.error_ps - start, self.cycle_ps), 0)
                most += max(ceil_div(end + self.error_ps - start, self.cycle_ps) - first, 0)
        return least * self.each, most * self.each

    def sent(self, spans: Sequence[Span]) -> Span:
        """Return how many frames are sent within some spans, on any path."""
        apart_ps = self.apart_ps
        least, _ = self.within(spans)
        _, most = self.within([(begin - apart_ps, end + apart_ps) for begin, end in spans])
        return least, most


def gated_births(
    topology: Topology, profile: Profile, plan: Plan, stream: Stream, entry: StreamPlan
) -> GatedBirths | None:
    """Return when a gated stream sends; None where the plan makes no sense."""
    cycle_ps = plan.gate_cycle_ps
    if cycle_ps is None or not is_sane([cycle_ps]) or cycle_ps <= 0 or not entry.paths:
        return None
    due = cycle_ps // stream.interval_ps * stream.max_packets
    tables = [path.starts_ps for path in entry.paths]
    if not due or any(len(table) != due or not all(table) for table in tables):
        return None
    starts = [[frame[0] for frame in table] for table in tables]
    if not is_sane([one for row in starts for one in row]):
        return None
    phase_ps = topology.node_by_name[stream.talker].clock.phase_ps
    error_ps, _ = clock_bounds(topology, stream.talker, profile.simulation.duration_ps)
    return GatedBirths(
        [[phase_ps + one for one in row] for row in starts],
        error_ps,
        cycle_ps,
        1 + stream.excess_packets,
        stream.max_packets,
    )


def born(stream: Stream, first_ps: int | None, spans: Sequence[Span]) -> Span:
    """Return how many intervals of a stream without gates begin in some spans.

    The first is at `first_ps`, or anywhere where that is drawn.
    """
    every_ps = stream.interval_ps
    if first_ps is None:
        least = sum(max(b - a, 0) // every_ps for a, b in spans)
        return least, sum(ceil_div(max(b - a, 0), every_ps) for a, b in spans)
    count = 0
    for a, b in spans:
        begin, end = (max(ceil_div(t - first_ps, every_ps), 0) for t in (a, b))
        count += max(end - begin, 0)
    return count, count
