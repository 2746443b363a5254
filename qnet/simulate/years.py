"""Draw failures and repairs for many years, and see for how much of them streams have a way.

Each cable and node that can break lives by itself: it works for a time that is drawn from an
exponential law, then it is broken for as long as its repair takes. Times are whole milliseconds.
What is broken of a path is the union of what is broken of its parts, piece by piece; over two paths
a stream has no way while both are broken, |A| + |B| - |A or B| of the time. Nothing is multiplied:
that is what the formula is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qnet.model.failures import Failing
from qnet.model.plan import Plan, StreamPlan
from qnet.model.requirement import Figure
from qnet.model.topology import Topology
from qnet.model.traffic import Profile, Stream
from qnet.progress import Heeded, Progress
from qnet.simulate.draws import exponentials, words_of
from qnet.units import YEAR_S

STEPS = 10**15
MS_PER_S = 1000

BLOCK_YEARS = 5000
"""Years that are drawn at a time, so that memory does not grow with them."""

Part = tuple[str, str]
"""'cable' or 'node', and its name."""

Spans = tuple[NDArray[np.int64], NDArray[np.int64]]
"""From when to when something is broken, in milliseconds, one span after the other."""


def drawn_availability(
    topology: Topology, profile: Profile, plan: Plan, progress: Progress | None = None
) -> tuple[Figure, ...]:
    """Return for each stream with a way the share of the years for which one worked, rounded down.

    None where no years are asked for. Raises Cancelled.
    """
    years = profile.simulation.years
    entries = {one.name: one for one in plan.streams if one.paths}
    streams = [one for one in profile.every_stream if one.name in entries]
    if years is None or not streams:
        return ()
    heeded = Heeded(progress, "draw failures")
    ways = {one.name: _ways(topology, profile, one, entries[one.name]) for one in streams}
    kinds = (("cable", topology.cable_failures), ("node", topology.node_failures))
    failing = {(kind, name): one for kind, every in kinds for name, one in every.items()}
    used = sorted({part for way in ways.values() for path in way for part in path} & set(failing))
    lives = {part: _Life(part, failing[part], profile.simulation.seed) for part in used}
    distinct = set(ways.values())
    broken_ms = dict.fromkeys(distinct, 0)
    blocks = range(0, years, BLOCK_YEARS)
    for number, first in enumerate(blocks):
        begin, end = (min(year, years) * YEAR_S * MS_PER_S for year in (first, first + BLOCK_YEARS))
        spans = {part: life.spans(begin, end) for part, life in lives.items()}
        measure = cache(lambda parts, spans=spans: _covered_ms(spans, parts))
        for way in distinct:
            one, other = way[0], way[-1]
            broken_ms[way] += measure(one) + measure(other) - measure(one | other)
        heeded.step(number + 1, len(blocks))
    whole_ms = years * YEAR_S * MS_PER_S
    return tuple(
        Figure(
            subject=name,
            kind="availability",
            witness="simulated",
            value=(whole_ms - broken_ms[way]) * STEPS // whole_ms,
        )
        for name, way in ways.items()
    )


def _ways(
    topology: Topology, profile: Profile, stream: Stream, entry: StreamPlan
) -> tuple[frozenset[Part], ...]:
    """Return the parts of each path of a stream: cables, nodes, and the clock that it goes by."""
    found = []
    for path in entry.paths:
        ports = [topology.port_by_name[name] for name in path.ports]
        parts = {("cable", topology.cable(topology.links[port.link])) for port in ports}
        parts |= {("node", name) for port in ports for name in (port.source, port.target)}
        if topology.sync is not None and (profile.is_reserved(stream) or stream.damper):
            parts.add(("node", topology.sync.grandmaster))
        found.append(frozenset(parts))
    return tuple(found)


class _Life:
    """When one thing is broken, drawn as far as it is asked for."""

    def __init__(self, part: Part, failing: Failing, seed: int) -> None:
        self._words = words_of(seed, f"failures of {' '.join(part)}")
        self._repair_ms = failing.repair_s * MS_PER_S
        # It breaks so often in a year of the calendar, in which it is broken for a part.
        self._works_ms = float(YEAR_S * MS_PER_S / failing.per_year) - self._repair_ms
        self._starts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._drawn_ms = 0

    def spans(self, begin: int, end: int) -> Spans:
        """Return what lies in a time that follows the one before, cut off at both ends."""
        while self._drawn_ms < end:
            most = (end - self._drawn_ms) / (self._works_ms + self._repair_ms)
            works = exponentials(self._words, int(most) + 64) * self._works_ms
            gaps = np.rint(works).astype(np.int64) + self._repair_ms
            ends = self._drawn_ms + np.cumsum(gaps)
            self._starts = np.concatenate([self._starts, ends - self._repair_ms])
            self._drawn_ms = int(ends[-1])
        starts = self._starts[: np.searchsorted(self._starts, end)]
        ends = np.minimum(starts + self._repair_ms, end)
        # One that lasts on is there again at the begin of the next time.
        self._starts = self._starts[np.searchsorted(self._starts + self._repair_ms, end, "right") :]
        return np.maximum(starts, begin), ends


def _covered_ms(spans: Mapping[Part, Spans], parts: Iterable[Part]) -> int:
    """Return for how long any of the parts is broken."""
    some = [spans[part] for part in sorted(parts) if part in spans]
    if not some:
        return 0
    starts, ends = (np.concatenate(sides) for sides in zip(*some, strict=True))
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    reached = np.maximum.accumulate(ends)
    before = np.concatenate([starts[:1], reached[:-1]])
    return int((reached - np.maximum(starts, before)).clip(0).sum())
